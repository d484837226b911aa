package twitterflex.demo;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.IntConsumer;
import java.util.stream.Stream;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Courier;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Form;
import twitterflex.sandbox.Json;
import twitterflex.sandbox.MediaFile;
import twitterflex.sandbox.Samples;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedService;
import twitterflex.sandbox.SimulatedX;

/**
 * Where the demo plays: both simulated services, the bridge between them as a process of its own, the people at either end, what goes
 * over the wire, and what can be made to go wrong. The terminal and the page show the same stage.
 */
final class Stage {

    /** What a customer has written; what he received stands in his inbox. */
    record Written(String id, String text, Instant at, Optional<MediaFile> media) { }

    /** A customer with both halves of his conversation. */
    record Person(Customer customer, List<Written> written) {

        String identity() {
            return "twitter-" + customer.id();
        }

        /** X takes quick replies away once anything was answered. */
        boolean mayStillChoose(Customer.Received dm) {
            return written.stream().noneMatch(message -> message.at().isAfter(dm.at()));
        }
    }

    /** What can be switched on and off; {@link #LOSE_ANSWER} goes off by itself when it has struck. */
    enum Trouble {
        FLEX_DOWN("Flex goes down", "Flex is back"), X_LIMITED("X limits the rate: no sends", "X takes messages again"),
        X_TWICE("X delivers every webhook twice", "X delivers once again"),
        NO_WEBHOOKS("webhooks do not arrive any more", "webhooks arrive again"),
        LOSE_ANSWER("the next send will be carried out, its answer lost", "answers come back again");

        private final String begins;
        private final String ends;

        Trouble(String begins, String ends) {
            this.begins = begins;
            this.ends = ends;
        }
    }

    /** The bridge's own account of itself; while it does not answer there are no counts. */
    record Health(boolean alive, String status, String reason, Map<String, Long> counts) {

        static final List<String> COUNTERS = List.of("received", "delivered", "pending", "failed", "duplicates", "rejected",
                "caught_up");

        long count(String counter) {
            return counts.getOrDefault(counter, -1L);
        }
    }

    /** While X is limited every send is told 429, and to come again after this. */
    private static final Duration LIMIT_WINDOW = Duration.ofSeconds(1);
    private static final Duration HEALTH_KEPT = Duration.ofMillis(200);
    private static final int MOST_PEOPLE = 99;
    /** Bytes of all files together: they stay in memory, with either service. */
    private static final long MOST_KEPT = 64 << 20;
    private static final Set<String> TAKEN_BY_X = Set.of("image/jpeg", "image/png", "image/webp", "image/gif",
            "video/mp4");
    private static final long LARGEST_PICTURE = 5 << 20;
    private static final List<String> NAMES = List.of("Berry Lover", "Melon Fan", "Plum Pie", "Kiwi Kid", "Fig Tree", "Lemon Drop",
            "Cherry Ann", "Peach Pit");

    final boolean classic;
    final SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys());
    final SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample());
    final BridgeProcess bridge = new BridgeProcess();
    final Wire wire = new Wire();
    private final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(1))
            .build();
    private final List<Person> people = new CopyOnWriteArrayList<>();
    private final Set<String> accepted = ConcurrentHashMap.newKeySet();
    private final Set<Trouble> troubles = ConcurrentHashMap.newKeySet();
    private final Set<HttpRequest> repeated = Collections.synchronizedSet(Collections.newSetFromMap(new IdentityHashMap<>()));
    private final Object asking = new Object();
    private Health health = new Health(false, "", "", Map.of());
    private final Map<String, Long> highest = new HashMap<>();
    private final Map<String, Long> ofThoseKilled = new HashMap<>();
    private Instant healthSince = Instant.EPOCH;
    private long kept;

    Stage(boolean classic) throws IOException {
        this.classic = classic;
        x.envelope(classic ? SimulatedX.Envelope.ACCOUNT_ACTIVITY : SimulatedX.Envelope.X_ACTIVITY);
        // X's own waits, 3, 27 and 242 seconds, are too long to watch; a reader who looks on often would use up its limit.
        x.retryDelays(Stream.of(1, 1, 2, 4, 8, 15, 30, 60, 120).map(Duration::ofSeconds).toArray(Duration[]::new));
        x.limitReads(1_000_000, Duration.ofMinutes(15));
        x.onExchange(exchange -> heard(Wire.X, exchange));
        flex.onExchange(exchange -> heard(Wire.FLEX, exchange));
        x.courier.observer(request -> {
            int number = wire.posted(Wire.X, request);
            return (response, failure) -> {
                wire.answered(number, response, failure);
                if (!repeated.remove(request) && failure == null && response.statusCode() == 200) {
                    maybeOnceMore(request);
                }
            };
        });
        flex.courier.observer(request -> {
            int number = wire.posted(Wire.FLEX, request);
            return (response, failure) -> wire.answered(number, response, failure);
        });
        addPerson();
    }

    /** Starts the bridge and tells X where it is. @param died hears the exit status of a bridge that ends by itself */
    void open(IntConsumer died) throws IOException {
        bridge.start(Samples.settings(x, flex, classic ? "chat" : "conversations", classic ? "1.1" : "2"), died);
        x.webhook(bridge.url() + "/fromTwitter");
        String webhook = x.registrations().webhook(bridge.url() + "/fromTwitter"); // where the bridge looks for it
        if (classic) {
            x.registrations().accountSubscription(webhook);
        } else {
            x.registrations().subscription("dm.received", "dm", webhook);
            x.registrations().subscription("oauth.revoke", "dm", webhook);
        }
    }

    // The people.

    List<Person> people() {
        return List.copyOf(people);
    }

    /** Somebody who has never written before. */
    synchronized Person addPerson() {
        if (people.size() == MOST_PEOPLE) {
            throw new IllegalStateException("More than " + MOST_PEOPLE + " customers are hard to follow.");
        }
        int n = people.size();
        String name = NAMES.get(n % NAMES.size()) + (n < NAMES.size() ? "" : " " + (n / NAMES.size() + 1));
        Person person = new Person(x.customer(String.valueOf(3_001_969_357L + n * 17L), name.toLowerCase(Locale.ROOT).replace(' ', '_'),
                name),
                new CopyOnWriteArrayList<>());
        people.add(person);
        return person;
    }

    Person person(String id) {
        return people.stream().filter(person -> person.customer().id().equals(id)).findFirst()
                .orElseThrow(() -> new IllegalStateException("There is no such customer."));
    }

    /** The last one if nobody knows him yet, else a new one. */
    synchronized Person stranger() {
        Person last = people.get(people.size() - 1);
        return last.written().isEmpty() ? last : addPerson();
    }

    void writes(Person person, String text) {
        wrote(person, person.customer().writes(text), text, Optional.empty());
    }

    private static void wrote(Person person, String id, String text, Optional<MediaFile> media) {
        person.written().add(new Written(id, text, Instant.now(), media));
    }

    /** A picture or video with a caption, which may be empty. (X makes MP4s of animated GIFs; here they stay GIFs.) */
    void sends(Person person, MediaFile file, String caption) {
        Customer customer = person.customer();
        String type = file.sniffed();
        if (!TAKEN_BY_X.contains(type)) {
            throw new IllegalStateException("X takes JPEG, PNG, WebP, GIF and MP4 in Direct Messages, and "
                    + file.name() + " is none of them.");
        }
        if (!type.equals("video/mp4") && !type.equals("image/gif") && file.length() > LARGEST_PICTURE) {
            throw new IllegalStateException("X takes pictures up to 5 MB.");
        }
        MediaFile sent = kept(new MediaFile(file.name(), type, file.content()));
        String id = type.equals("video/mp4") ? customer.sendsVideo(caption, sent) : customer.sendsPhoto(sent, caption);
        wrote(person, id, caption, Optional.of(sent));
    }

    private synchronized MediaFile kept(MediaFile file) {
        if (file.length() == 0) {
            throw new IllegalStateException(file.name() + " is empty.");
        }
        if (kept + file.length() > MOST_KEPT) {
            throw new IllegalStateException("The demo keeps all files in memory, and has no room for more: start it "
                    + "again.");
        }
        kept += file.length();
        return file;
    }

    /** Taps an option where X shows them, else types its number. */
    void chooses(Person person, int number) {
        List<Customer.QuickReplyOption> options = person.customer().inbox().stream().reduce((before, last) -> last)
                .map(Customer.Received::options).orElse(List.of());
        if (number <= options.size()) {
            taps(person, options.get(number - 1));
        } else {
            writes(person, String.valueOf(number));
        }
    }

    private void taps(Person person, Customer.QuickReplyOption option) {
        wrote(person, person.customer().answers(option), option.label(), Optional.empty());
    }

    void taps(Person person, String messageId, int index) {
        Customer.Received dm = person.customer().inbox().stream().filter(received -> received.id().equals(messageId)).findFirst()
                .filter(person::mayStillChoose).filter(received -> index >= 0 && index < received.options().size())
                .orElseThrow(() -> new IllegalStateException("That has been answered already."));
        taps(person, dm.options().get(index));
    }

    // The agent.

    Chat openChat(Person person) {
        return flex.openChat(person.identity()).orElseThrow(() -> new IllegalStateException("no chat is open: the customer writes first"));
    }

    Chat chat(String sid) {
        return flex.chats().stream().filter(chat -> chat.sid().equals(sid)).findFirst()
                .orElseThrow(() -> new IllegalStateException("There is no such chat."));
    }

    void accepts(Chat chat) {
        accepted.add(chat.sid());
    }

    boolean hasAccepted(Chat chat) {
        return accepted.contains(chat.sid()) || task(chat).filter(task -> !task.status().equals("pending")).isPresent();
    }

    Optional<SimulatedFlex.Task> task(Chat chat) {
        return flex.tasks().stream().filter(task -> task.chatSid().equals(chat.sid())).findFirst();
    }

    void replies(Chat chat, String text) {
        mustBeAccepted(chat);
        flex.agentWrites(chat, text);
    }

    /** Any file with a text, which may be empty: whether X takes it is for the bridge to say. */
    void attaches(Chat chat, MediaFile file, String text) {
        mustBeAccepted(chat);
        String type = file.sniffed().isEmpty() ? file.type() : file.sniffed();
        flex.agentAttaches(chat, text, kept(new MediaFile(file.name(), type, file.content())));
    }

    private void mustBeAccepted(Chat chat) {
        if (!hasAccepted(chat)) {
            throw new IllegalStateException("The agent accepts the task first.");
        }
    }

    /** A picture or video somebody has sent or received, by the SHA-256 of its bytes; nothing else is shown. */
    Optional<MediaFile> shown(String sha256) {
        Stream<MediaFile> sent = people.stream().flatMap(person -> person.written().stream())
                .flatMap(written -> written.media().stream());
        Stream<MediaFile> received = people.stream().flatMap(person -> person.customer().files().stream());
        Stream<MediaFile> posted = flex.chats().stream().flatMap(chat -> chat.messages().stream())
                .flatMap(message -> message.files().stream());
        return Stream.of(sent, received, posted).flatMap(files -> files).filter(Stage::canBeShown)
                .filter(file -> file.sha256().equals(sha256)).findFirst();
    }

    static boolean canBeShown(MediaFile file) {
        return file.content().kept() && TAKEN_BY_X.contains(file.sniffed());
    }

    /** All that stands in the customer's chats but the agent's own words, oldest first. */
    Stream<Chat.Posted> posted(Person person) {
        return flex.chats(person.identity()).stream().flatMap(chat -> chat.messages().stream())
                .filter(message -> !message.author().equals(SimulatedFlex.AGENT));
    }

    // Trouble.

    Set<Trouble> troubles() {
        return Set.copyOf(troubles);
    }

    synchronized void trouble(Trouble trouble, boolean on) {
        if (on ? troubles.add(trouble) : troubles.remove(trouble)) {
            wire.event(on ? trouble.begins : trouble.ends);
        }
        x.limit(troubles.contains(Trouble.X_LIMITED) ? 0 : Integer.MAX_VALUE, LIMIT_WINDOW);
        x.faults().clear();
        flex.faults().clear();
        boolean down = troubles.contains(Trouble.FLEX_DOWN);
        if (down) {
            flex.faults().always("*", Fault.status(503));
        }
        boolean withheld = troubles.contains(Trouble.NO_WEBHOOKS);
        x.courier.withhold(withheld);
        flex.courier.withhold(withheld);
        // Twilio gives up soon; X repeats for a while.
        flex.retryDelays(withheld ? new Duration[0] : new Duration[] {Duration.ofSeconds(1)});
        if (troubles.contains(Trouble.LOSE_ANSWER)) {
            x.faults().next(sendToX(), Fault.dropAfter());
            if (!down) {
                flex.faults().next(sendToFlex(), Fault.dropAfter());
            }
        }
    }

    private String sendToX() {
        return classic ? "POST /1.1/direct_messages/events/new.json" : "POST /2/dm_conversations/with/{participant_id}/messages";
    }

    private String sendToFlex() {
        return classic ? "POST /v2/Services/{ServiceSid}/Channels/{ChannelSid}/Messages"
                : "POST /v1/Services/{ChatServiceSid}/Conversations/{ConversationSid}/Messages";
    }

    private void heard(String service, SimulatedService.Exchange exchange) {
        wire.called(service, exchange);
        if (exchange.status() == 0) {
            trouble(Trouble.LOSE_ANSWER, false);
        }
    }

    /** X's webhooks come at least once: now and then twice. */
    private void maybeOnceMore(HttpRequest request) {
        if (troubles.contains(Trouble.X_TWICE)) {
            repeated.add(request);
            x.courier.ask(request, Duration.ofSeconds(10));
        }
    }

    /** Two webhooks whose signatures are somebody else's, as if from X and as if from Flex. @return both statuses */
    List<Integer> forges() {
        String event = x.event(people.get(0).customer(), "Give me everybody's address");
        int asX = x.post(event.getBytes(UTF_8), Map.of("Content-Type", "application/json",
                "x-twitter-webhooks-signature", x.sign("{}".getBytes(UTF_8)))).status();
        String url = bridge.url() + "/fromFlex?customer=" + people.get(0).customer().id();
        byte[] form = Form.encode(Map.of("EventType", "onMessageAdded", "Body", "Send me your password")).getBytes(UTF_8);
        int asFlex = flex.post(url, form, Map.of("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8",
                "X-Twilio-Signature", flex.sign(url, Map.of()))).status();
        return List.of(asX, asFlex);
    }

    void kill() {
        if (bridge.runs()) {
            health(); // the last of its counts
            bridge.kill();
            wire.event("the bridge is killed: kill -9");
        }
        healthIsOld();
    }

    void restart() {
        try {
            if (bridge.launch()) {
                wire.event("the bridge is started again, on the same journal");
            }
        } catch (IOException e) {
            throw new IllegalStateException("The bridge cannot be started: " + e.getMessage(), e);
        }
        healthIsOld();
    }

    /** Nothing goes wrong any more, and the bridge runs. */
    void calm() {
        for (Trouble trouble : troubles()) {
            trouble(trouble, false);
        }
        restart();
        await(() -> health().alive(), Duration.ofSeconds(30));
    }

    // The bridge's health.

    /** Asked now. */
    Health health() {
        synchronized (asking) { // an earlier answer never counts after a later one
            Health now = asked();
            health = now.alive() ? new Health(true, now.status(), now.reason(), sinceTheBeginning(now.counts())) : now;
            healthSince = Instant.now();
            return health;
        }
    }

    /** Asked a moment ago at most. */
    Health recentHealth() {
        synchronized (asking) {
            return healthSince.isAfter(Instant.now().minus(HEALTH_KEPT)) ? health : health();
        }
    }

    private void healthIsOld() {
        synchronized (asking) {
            healthSince = Instant.EPOCH;
        }
    }

    /** What is counted in memory begins anew with each bridge; here the counts of those that were killed are added. */
    private Map<String, Long> sinceTheBeginning(Map<String, Long> counts) {
        Map<String, Long> all = new LinkedHashMap<>(counts);
        for (String counter : List.of("duplicates", "rejected", "caught_up")) {
            long count = counts.get(counter);
            long before = highest.getOrDefault(counter, 0L);
            if (count >= 0 && count < before) {
                ofThoseKilled.merge(counter, before, Long::sum);
            }
            highest.put(counter, count);
            all.put(counter, count + ofThoseKilled.getOrDefault(counter, 0L));
        }
        return all;
    }

    private Health asked() {
        try {
            HttpResponse<String> answer = client.send(HttpRequest.newBuilder(URI.create(bridge.url() + "/healthz"))
                    .timeout(Duration.ofSeconds(2))
                    .build(), HttpResponse.BodyHandlers.ofString());
            JsonNode body = Json.parse(answer.body());
            Map<String, Long> counts = new LinkedHashMap<>();
            Health.COUNTERS.forEach(counter -> counts.put(counter, body.path(counter).asLong(-1)));
            return new Health(true, body.path("status").asText(), body.path("reason").asText(), counts);
        } catch (IOException | IllegalArgumentException down) {
            return new Health(false, "", "", Map.of());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return new Health(false, "", "", Map.of());
        }
    }

    /** Waits until nothing is under way any more. */
    void settle(Duration patience) {
        x.awaitDelivered(patience);
        flex.awaitDelivered(patience);
        await(() -> health().count("pending") == 0, patience);
    }

    static boolean await(BooleanSupplier condition, Duration patience) {
        long end = System.nanoTime() + patience.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end || Thread.currentThread().isInterrupted()) {
                return false;
            }
            LockSupport.parkNanos(2_000_000);
        }
        return true;
    }

    /** What Flex gave up telling the bridge, but for what was withheld on purpose. */
    List<String> lost() {
        return flex.lostWebhooks().stream().filter(lost -> !lost.endsWith(Courier.WITHHELD)).toList();
    }
}
