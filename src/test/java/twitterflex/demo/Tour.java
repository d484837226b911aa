package twitterflex.demo;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import twitterflex.demo.Stage.Person;
import twitterflex.demo.Stage.Trouble;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.MediaFile;
import twitterflex.sandbox.SimulatedFlex;

/**
 * The guided tour: a customer nobody knows yet writes, and what happens then is shown step by step. A step is one or more hops: something
 * is done at one end, and must be seen at the other. The terminal plays it in one go, the page at its own pace.
 */
final class Tour {

    /** @param shown what arrived, where it looks different from what was sent, else empty */
    record Hop(String route, String what, String expected, Runnable act, BooleanSupplier arrived, Supplier<String> shown) { }

    record Step(String title, String explanation, List<Hop> hops) { }

    enum State { WAITING, PLAYING, ARRIVED, FAILED }

    /** How a hop went; {@code trouble} only if it failed. */
    record Result(Hop hop, State state, long millis, String trouble) { }

    /** For one hop; a test of failure has less. */
    private static final Duration PATIENCE = Duration.ofMillis(Long.getLong("demo.patience", 30_000));

    private final Stage stage;
    final Person person;
    private final List<String> sentToAgent = new ArrayList<>();
    private int sentToCustomer;
    private int inboxBefore;
    private long duplicatesBefore;
    private long changeBefore;
    private int chatsBefore;
    private final int lostBefore;
    final List<Step> steps;
    private final List<List<Result>> results = new ArrayList<>();
    private int next;
    private int current = -1;
    private boolean playing;
    private long millis;

    Tour(Stage stage) {
        this.stage = stage;
        person = stage.stranger();
        lostBefore = stage.lost().size();
        steps = List.of(proof(), firstMessage(), answer(), pictures(), quickReplies(), twice(), flexDown(),
                answerLost(), rateLimit(), killed(), missed(), ended());
        steps.forEach(step -> results.add(step.hops().stream().map(hop -> new Result(hop, State.WAITING, 0, "")).toList()));
    }

    // The steps.

    private Step proof() {
        return new Step("Who is there?", """
                X asks the bridge to prove that it knows the secret, once a day at least. The bridge is as strict: a webhook that is \
                not signed with the right key is refused before anything in it is read.""", List.of(
                hop("X ▶ bridge ▶ X", "challenge-response check", "the token, signed", () -> { }, stage.x::challengeHolds),
                hop("forger ▶ bridge", "webhooks with the signatures of others are refused", "status 403", () -> expect(List.of(403, 403),
                        stage.forges()), () -> true)));
    }

    private Step firstMessage() {
        return new Step("A customer writes", """
                The Direct Message is on disk before X gets its 200. Then the bridge opens a chat in Flex, with one webhook and one \
                task for an agent. Whatever the script, the text stays as it is, and never becomes HTML.""", List.of(
                customerWrites("Hello, where is my box?", " opens a chat with one task and one webhook", () -> served(1)),
                customerWrites("תודה רבה! شكراً 👩‍🌾 & <3", "", () -> true)));
    }

    private Step answer() {
        return new Step("The agent answers", """
                The agent accepts the task and types. Flex posts a webhook, signed over its URL and form; the bridge sends a Direct \
                Message, signed with OAuth 1.0a.""", List.of(
                agentWrites("It left this morning 🚚", "the same text", dm -> dm.text().equals("It left this morning 🚚"))));
    }

    private Step pictures() {
        MediaFile crushed = DemoServer.sample("crushed-box.jpg");
        MediaFile whole = DemoServer.sample("new-box.png");
        String caption = "It came like this";
        String answer = "A new one is packed";
        Hop photo = toAgent("a photo and \"" + caption + "\": two messages, the caption first", List.of(caption, ""),
                () -> stage.sends(person, crushed, caption), () -> carried(crushed, lastRead().files()));
        return new Step("Pictures", """
                A picture arrives after its caption, as a message of its own. The journal keeps only where it is: the \
                bridge fetches it from X with its signature and hands it to Flex; the agent's it fetches by a link that \
                Twilio has signed for a while.""",
                List.of(shows(photo, () -> lastRead().files()), new Hop("agent ▶ Flex ▶ bridge ▶ X",
                        "\"" + answer + "\" and a picture: two messages as well", "the text, then the picture", () -> {
                            inboxBefore = inbox().size();
                            Chat chat = chat();
                            sentToCustomer += 2;
                            stage.accepts(chat);
                            stage.attaches(chat, whole, answer);
                        }, () -> inbox().size() == inboxBefore + 2
                                && carried(whole, lastDm().media().stream().toList()),
                        () -> shown(lastDm()))));
    }

    private static Hop shows(Hop hop, Supplier<List<MediaFile>> files) {
        return new Hop(hop.route(), hop.what(), hop.expected(), hop.act(), hop.arrived(), () -> shown(files.get()));
    }

    private static boolean carried(MediaFile sent, List<MediaFile> arrived) {
        return arrived.stream().map(MediaFile::sha256).toList().equals(List.of(sent.sha256()));
    }

    private Step quickReplies() {
        String second = "General information 🍓";
        Hop chosen = stage.classic // X gives back what the option carried
                ? toAgent("taps [" + second + "]", List.of(second), () -> stage.chooses(person, 2),
                        () -> lastRead().attributes().contains("option_2"))
                : toAgent("\"2\", read as \"" + second + "\"", List.of(second), () -> stage.chooses(person, 2), () -> true);
        return new Step("Quick replies", stage.classic ? """
                "Options" in what the agent types becomes quick replies, "Link" a button. The tap comes back as a message with the \
                option's mark.""" : """
                "Options" in what the agent types becomes a numbered list, "Link" a plain link: this API has nothing else. A number, \
                or a label, comes back to the agent as the label.""", List.of(
                agentWrites("Ok, this weeks 2 boxes are: Options Missed a delivery 📦 - Reschedule a date and time, General information 🍓 "
                        + "- Available fruit boxes", stage.classic ? "two quick replies" : "a numbered list", this::offersTheBoxes),
                chosen,
                agentWrites("See your order Link Track my order, https://example.com/o/77", stage.classic ? "a button" : "a plain link",
                        this::linksToTheOrder)));
    }

    private Step twice() {
        String text = "Is anybody there?";
        return new Step("X delivers twice", """
                Webhooks come at least once, and now and then twice. The journal knows the message's id: it answers 200 again, and the \
                agent reads it once.""", List.of(
                toAgent("\"" + text + "\", posted twice, arrives once", List.of(text), () -> {
                    duplicatesBefore = stage.health().count("duplicates");
                    stage.trouble(Trouble.X_TWICE, true);
                    stage.writes(person, text);
                }, () -> stage.health().count("duplicates") > duplicatesBefore)));
    }

    private Step flexDown() {
        List<String> texts = List.of("My door is blue", "The bell is broken", "Please knock");
        return new Step("Flex goes down", """
                Every call to Flex is answered 503. X still gets its 200, because the messages are safe in the journal: they wait, \
                tried again with growing pauses, and arrive in order when Flex is back.""", List.of(
                hop("customer ▶ X ▶ bridge", "three messages are taken while Flex is down, and wait", "503, and three waiting", () -> {
                    changeBefore = stage.wire.lastChange();
                    stage.trouble(Trouble.FLEX_DOWN, true);
                    texts.forEach(text -> stage.writes(person, text));
                }, () -> stage.health().count("pending") >= texts.size() && wasAnswered(503)),
                toAgent("Flex is back: all three, once and in order", texts, () -> stage.trouble(Trouble.FLEX_DOWN, false), () -> true)));
    }

    private Step answerLost() {
        String text = "Your box is at the depot";
        return new Step("An answer is lost", """
                X carries out a send, and the connection breaks before its answer is there. The bridge cannot know: so it looks at X \
                for the message before it would send it again. The customer gets it once.""", List.of(
                agentWrites(text, "sent, its answer lost, found: no second one", "the same text, once",
                        () -> stage.trouble(Trouble.LOSE_ANSWER, true),
                        dm -> stage.health().count("pending") == 0 && received(text) == 1)));
    }

    private Step rateLimit() {
        List<String> texts = List.of("It will come tomorrow", "Between nine and ten");
        return new Step("X limits the rate", """
                X answers 429 and says until when. The bridge pauses all that goes to X, loses nothing, and goes on in order once the \
                time is over.""", List.of(
                hop("agent ▶ Flex ▶ bridge", "two answers while X takes none: they wait", "429, and two waiting", () -> {
                    changeBefore = stage.wire.lastChange();
                    stage.trouble(Trouble.X_LIMITED, true);
                    inboxBefore = inbox().size();
                    texts.forEach(this::reply);
                }, () -> stage.health().count("pending") >= texts.size() && wasAnswered(429)),
                hop("bridge ▶ X ▶ customer", "the limit is over: both, in order", "both texts, in order",
                        () -> stage.trouble(Trouble.X_LIMITED, false),
                        () -> inbox().stream().skip(inboxBefore).map(Customer.Received::text).toList().equals(texts))));
    }

    private Step killed() {
        List<String> texts = List.of("Is the depot open?", "I could fetch it myself");
        return new Step("The bridge is killed", """
                kill -9 in the middle of a delivery: no hook runs, nothing is flushed. The next bridge finds in the journal what was \
                acknowledged and not yet delivered, and delivers it: once, in order.""", List.of(
                hop("customer ▶ X ▶ bridge", "two messages under way when the bridge is killed", "acknowledged, then dead", () -> {
                    stage.trouble(Trouble.FLEX_DOWN, true);
                    texts.forEach(text -> stage.writes(person, text));
                    check(Stage.await(() -> stage.health().count("pending") >= texts.size(), PATIENCE), "they were not acknowledged");
                    stage.kill();
                    stage.trouble(Trouble.FLEX_DOWN, false);
                }, () -> !stage.bridge.runs()),
                toAgent("started again, on the same journal: both, once and in order", texts, stage::restart, () -> true)));
    }

    private Step missed() {
        List<String> written = List.of("Is it open on Sundays?", "Never mind, I found it");
        List<String> replies = List.of("You could also fetch it", "The depot is open until six");
        return new Step("Webhooks do not arrive", """
                The bridge is down, and nobody tells it what both sides write meanwhile. But a webhook is only a doorbell: when the \
                bridge starts, it reads in the logs of X and Flex what it has missed.""", List.of(
                hop("both ▶ X, Flex", "two messages and two answers while the bridge is down", "webhooks without an answer", () -> {
                    chat();
                    stage.kill();
                    stage.trouble(Trouble.NO_WEBHOOKS, true);
                    changeBefore = stage.wire.lastChange();
                    inboxBefore = inbox().size();
                    written.forEach(text -> stage.writes(person, text));
                    replies.forEach(this::reply);
                }, () -> inbox().size() == inboxBefore && unanswered("/fromTwitter") >= 1 && unanswered("/fromFlex") >= replies.size()),
                toAgent("started again, and still no webhook: all four are read, and arrive in order", written, stage::restart,
                        () -> inbox().stream().skip(inboxBefore).map(Customer.Received::text).toList().equals(replies)),
                hop("X ▶ bridge", "webhooks arrive again: X repeats two, and nothing arrives twice", "two duplicates", () -> {
                    duplicatesBefore = stage.health().count("duplicates");
                    stage.trouble(Trouble.NO_WEBHOOKS, false);
                }, () -> stage.health().count("duplicates") >= duplicatesBefore + written.size()
                        && inbox().size() == inboxBefore + replies.size())));
    }

    private Step ended() {
        return new Step("The chat ends, and opens again", """
                The agent completes the task, and Flex tells the bridge. When the customer writes again, a new chat with a task of its \
                own is opened; the old one stays closed.""", List.of(
                hop("agent ▶ Flex ▶ bridge", "ends the chat", "the chat closed, and the bridge told so",
                        () -> {
                            Chat chat = chat();
                            chatsBefore = stage.flex.chats(person.identity()).size();
                            stage.flex.agentCompletes(chat);
                        }, () -> stage.flex.openChat(person.identity()).isEmpty()
                                && stage.flex.webhookDeliveries().stream().anyMatch(this::tellsTheEnd)),
                customerWrites("One more question", " opens another chat with a task of its own",
                        () -> served(chatsBefore + 1))));
    }

    // What hops are made of.

    private static Hop hop(String route, String what, String expected, Runnable act, BooleanSupplier arrived) {
        return new Hop(route, what, expected, act, arrived, () -> "");
    }

    private Hop customerWrites(String text, String effect, BooleanSupplier also) {
        return toAgent("\"" + text + "\"" + effect, List.of(text), () -> stage.writes(person, text), also);
    }

    private Hop toAgent(String what, List<String> read, Runnable act, BooleanSupplier also) {
        return hop("customer ▶ X ▶ bridge ▶ Flex", what, "the agent reads " + quoted(read), () -> {
            sentToAgent.addAll(read);
            act.run();
        }, () -> {
            List<String> posted = stage.posted(person).map(Chat.Posted::body).toList();
            return posted.size() >= read.size() && posted.subList(posted.size() - read.size(), posted.size()).equals(read)
                    && also.getAsBoolean();
        });
    }

    /** A file has no text. */
    private static String quoted(List<String> read) {
        return read.stream().map(text -> text.isEmpty() ? "the file" : "\"" + text + "\"")
                .collect(Collectors.joining(", "));
    }

    private Hop agentWrites(String typed, String expected, Predicate<Customer.Received> right) {
        return agentWrites(typed, "\"" + typed + "\"", expected, () -> { }, right);
    }

    private Hop agentWrites(String typed, String what, String expected, Runnable before, Predicate<Customer.Received> right) {
        return new Hop("agent ▶ Flex ▶ bridge ▶ X", what, expected, () -> {
            before.run();
            inboxBefore = inbox().size();
            reply(typed);
        }, () -> inbox().size() > inboxBefore && right.test(lastDm()), () -> inbox().size() > inboxBefore && !lastDm().text().equals(typed)
                ? shown(lastDm()) : "");
    }

    /** The customer's chat; if somebody has ended it in the middle of the tour, the customer writes first. */
    private Chat chat() {
        String text = "Are you still there?";
        if (stage.flex.openChat(person.identity()).isEmpty() && !person.written().isEmpty()) {
            sentToAgent.add(text);
            stage.writes(person, text);
            Stage.await(() -> stage.flex.openChat(person.identity()).isPresent() && lastRead().body().equals(text), PATIENCE);
        }
        return stage.openChat(person);
    }

    private void reply(String text) {
        Chat chat = chat();
        sentToCustomer++;
        stage.accepts(chat);
        stage.replies(chat, text);
    }

    /** Webhooks that went out and did not arrive. */
    private long unanswered(String path) {
        return stage.wire.after(changeBefore).stream().filter(call -> call.status() == 0 && call.target().startsWith(path)).count();
    }

    private boolean wasAnswered(int status) {
        return stage.wire.after(changeBefore).stream().anyMatch(call -> call.status() == status);
    }

    private List<Customer.Received> inbox() {
        return person.customer().inbox();
    }

    private long received(String text) {
        return inbox().stream().filter(dm -> dm.text().equals(text)).count();
    }

    private Customer.Received lastDm() {
        return inbox().stream().reduce(new Customer.Received("", "", List.of(), List.of(), null), (before, last) -> last);
    }

    private Chat.Posted lastRead() {
        return stage.posted(person).reduce(new Chat.Posted("", "", "", "", null), (before, last) -> last);
    }

    /** So many chats, one of them open, each with one task, and one webhook on the open one. */
    private boolean served(int count) {
        List<Chat> all = stage.flex.chats(person.identity());
        List<String> tasks = stage.flex.tasks().stream().map(SimulatedFlex.Task::chatSid)
                .filter(all.stream().map(Chat::sid).toList()::contains).toList();
        return all.size() == count && all.stream().filter(Chat::open).count() == 1 && tasks.equals(all.stream().map(Chat::sid).toList())
                && stage.openChat(person).webhookUrls().size() == 1;
    }

    private boolean offersTheBoxes(Customer.Received dm) {
        return stage.classic ? dm.text().equals("Ok, this weeks 2 boxes are:") && dm.options().stream()
                        .map(Customer.QuickReplyOption::description).toList()
                                .equals(List.of("Reschedule a date and time", "Available fruit boxes"))
                : dm.text().contains("1. Missed a delivery 📦") && dm.text().contains("2. General information 🍓");
    }

    private boolean linksToTheOrder(Customer.Received dm) {
        Customer.Button button = new Customer.Button("Track my order", "https://example.com/o/77");
        return stage.classic ? dm.buttons().equals(List.of(button)) : dm.text().contains(button.label())
                && dm.text().contains(button.url());
    }

    private boolean tellsTheEnd(SimulatedFlex.WebhookDelivery delivery) {
        return delivery.event().equals(stage.classic ? "onChannelUpdated" : "onConversationStateUpdated") && delivery.status() == 200
                && delivery.url().endsWith("=" + person.customer().id());
    }

    private static void expect(List<Integer> expected, List<Integer> statuses) {
        check(statuses.equals(expected), "answered " + statuses);
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }

    static String shown(Customer.Received dm) {
        StringBuilder shown = new StringBuilder(dm.text());
        dm.options().forEach(option -> shown.append("\n[").append(option.label()).append("] ").append(option.description()));
        dm.buttons().forEach(button -> shown.append("\n[").append(button.label()).append("] ▶ ").append(button.url()));
        dm.media().map(file -> new MediaFile("", file.type(), file.content()))
                .ifPresent(file -> shown.append("\n[").append(file).append("]"));
        return shown.toString().strip();
    }

    static String shown(List<MediaFile> files) {
        return files.stream().map(file -> "[" + file + "]").collect(Collectors.joining("\n"));
    }

    // Playing it.

    synchronized int next() {
        return next;
    }

    /** The step that is being played, or was played last; -1 before the first. */
    synchronized int current() {
        return current;
    }

    synchronized boolean over() {
        return next == steps.size();
    }

    synchronized List<Result> results(int step) {
        return results.get(step);
    }

    /** Plays the next step, unless one is being played or none is left. @param heard is told of each hop when it is over */
    void play(Consumer<Result> heard) {
        int step;
        synchronized (this) {
            if (playing || over()) {
                return;
            }
            playing = true;
            step = next;
            current = step;
        }
        long started = System.nanoTime();
        try {
            stage.calm();
            for (int i = 0; i < steps.get(step).hops().size(); i++) {
                Hop hop = steps.get(step).hops().get(i);
                result(step, i, new Result(hop, State.PLAYING, 0, ""));
                Result result = played(hop);
                result(step, i, result);
                heard.accept(result);
            }
            stage.calm();
        } finally {
            synchronized (this) {
                playing = false;
                next = step + 1;
                millis += (System.nanoTime() - started) / 1_000_000;
            }
        }
    }

    private synchronized void result(int step, int hop, Result result) {
        List<Result> changed = new ArrayList<>(results.get(step));
        changed.set(hop, result);
        results.set(step, List.copyOf(changed));
    }

    private static Result played(Hop hop) {
        long started = System.nanoTime();
        String trouble = "";
        boolean arrived = false;
        try {
            hop.act().run();
            arrived = Stage.await(hop.arrived(), PATIENCE);
        } catch (RuntimeException failed) {
            trouble = failed.getMessage();
        }
        return new Result(hop, arrived ? State.ARRIVED : State.FAILED, (System.nanoTime() - started) / 1_000_000, trouble);
    }

    /** What the services, or the transcript as a whole, hold against the bridge; only sensible if nobody else has written. */
    List<String> objections() {
        List<String> objections = new ArrayList<>();
        try {
            stage.settle(PATIENCE);
        } catch (IllegalStateException unsettled) {
            objections.add(unsettled.getMessage());
        }
        stage.x.violations().forEach(violation -> objections.add("X objects: " + violation));
        stage.flex.violations().forEach(violation -> objections.add("Flex objects: " + violation));
        stage.lost().stream().skip(lostBefore).forEach(lost -> objections.add("Flex gave up " + lost));
        List<String> read = stage.posted(person).map(Chat.Posted::body).toList();
        if (arrivals() == hops() && !read.equals(sentToAgent)) {
            objections.add("the agent did not read each message once and in order, but " + read);
        }
        if (arrivals() == hops() && inbox().size() != sentToCustomer) {
            objections.add("the customer received " + inbox().size() + " messages, not " + sentToCustomer);
        }
        return objections;
    }

    int hops() {
        return steps.stream().mapToInt(step -> step.hops().size()).sum();
    }

    synchronized int arrivals() {
        return (int) results.stream().flatMap(List::stream).filter(result -> result.state() == State.ARRIVED).count();
    }

    synchronized long millis() {
        return millis;
    }
}
