package twitterflex;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.ERROR;
import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;
import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static twitterflex.Bridge.Setting.*;

import com.fasterxml.jackson.core.JsonPointer;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.*;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.*;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.nio.charset.CharacterCodingException;
import java.nio.file.*;
import java.nio.file.attribute.*;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.text.Normalizer;
import java.time.*;
import java.time.format.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.regex.*;
import java.util.stream.*;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Carries X (Twitter) Direct Messages into Twilio Flex, and the agents' answers back: every message, once, in order.
 *
 * <pre>
 *   X ────POST /fromTwitter──▶ signature ▶ read ▶ journal (on disk) ▶ 200
 *                                                    │
 *                                    lane of this customer, in order
 *                                                    ▼
 *                  live conversation found or opened ▶ message posted ▶ settled in the journal
 *
 *   Flex ──POST /fromFlex────▶ signature ▶ read ▶ journal ▶ 200 ▶ lane ▶ Direct Message sent ▶ settled
 * </pre>
 *
 * What it promises, most important first:
 * <ol>
 *   <li>Nothing unsigned gets in: the signature is checked over the raw bytes before anything is parsed. And nothing is
 *       signed for strangers.
 *   <li>200 means on disk: a webhook is acknowledged after its messages are synced, never before.
 *   <li>Each accepted message arrives once, in order per customer; customers do not wait for each other.
 *   <li>One live conversation, task and webhook per customer, and a message always ends where an agent can take it; the
 *       state of record is at Twilio, memory is a cache.
 *   <li>Nothing is dropped silently: what a service refuses for good is kept, logged, counted and told to the agent.
 *       What is wrong with us refuses nothing: it pauses the service, and the health says so.
 *   <li>Bounded in everything a stranger could make grow: bodies, queues, threads, memory, disk, time.
 *   <li>Private: no secret and no message text in a log; data files are their owner's alone.
 * </ol>
 *
 * Two parts. <b>Part I, the story</b>, is read from top to bottom: {@code main}, the routes with their guards and
 * handlers, the message, from X, from Flex, the relay, Flex, X, catching up. Callers stand above what they call, and a
 * message's way goes down the page.
 * <b>Part II, the craft</b>, can be skipped at first: the HTTP server, signatures and forms, calling out, the journal,
 * media, rich messages, settings. This file is the server, alone: the tool beside it, which sets the bridge up and
 * checks it, may be deleted.
 */
public final class Bridge {

    // Read once by the JDK, when its first server, client and logger are made; -D on the command line wins.
    static {
        // JDK 22 to 24 find a terminal even where there is none.
        preset("jdk.console", "java.base");
        // Without it JDK 17 to 22 answer a kept-alive connection 40 ms late: Nagle's algorithm meets delayed ACKs.
        preset("sun.net.httpserver.nodelay", "true");
        // Bytes of request line and headers together. X's and Twilio's have 4,000 at most.
        preset("sun.net.httpserver.maxReqHeaderSize", "16384");
        // Seconds (not milliseconds, as its documentation says) a client may take to send its request.
        preset("sun.net.httpserver.maxReqTime", "10");
        // Seconds from then on until the answer is written; a webhook may wait 10 of them for the disk.
        preset("sun.net.httpserver.maxRspTime", "15");
        // Seconds, 10 more or less. A webhook on a connection that is being closed is lost: the proxies in front, which
        // keep theirs for 60 (nginx) to 120 (Caddy), have to be the first to close one.
        preset("sun.net.httpserver.idleInterval", "130");
        // Beyond it connections are closed at once.
        preset("jdk.httpserver.maxConnections", "2000");
        // Seconds. Here we are the ones in front: services' front ends were seen to close connections idle for 15.
        preset("jdk.httpclient.keepalive.timeout", "10");
        // One try: a GET the client repeats by itself has an OAuth nonce that X has seen, and is refused.
        preset("jdk.httpclient.redirects.retrylimit", "1");
        preset("jdk.httpclient.disableRetryConnect", "true");
        // The client ends each exchange on the common pool; on two cores that is so small that each starts a thread.
        preset("java.util.concurrent.ForkJoinPool.common.parallelism", "2");
    }

    private static void preset(String property, String value) { System.getProperties().putIfAbsent(property, value); }

    static final Log LOG = new Log();
    static final JsonMapper JSON = JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

    // -----------------------------------------------------------------------------------------------------------------
    // Part I, the story
    //
    // 1. main: serving. Exit status 0 after a clean stop, 1 when something failed at run time, 2 for wrong settings.

    /** Serves until SIGTERM or Ctrl-C, with the settings of the environment and of {@code .env}. */
    public static void main(String[] arguments) {
        run("serve", () -> {
            if (arguments.length > 0) throw new CommandFailed(2,
                    List.of("the bridge alone serves, and takes no '" + arguments[0] + "'"));
            serve(Settings.from(environment()), Caretaker.NONE);
        });
    }

    /** Something one can ask the program to do. */
    interface Command {
        void run() throws CommandFailed, IOException;
    }

    /** Runs a command. What stands in its way is told in sentences, never as a stack trace. */
    static void run(String name, Command command) {
        try {
            command.run();
        } catch (CommandFailed wrong) {
            wrong.sentences.forEach(System.err::println);
            System.exit(wrong.status);
        } catch (IOException failed) {
            System.err.println(name + " failed: " + reason(failed));
            System.exit(1);
        } catch (RuntimeException bug) {
            // The exception's message is left out: it may contain a secret.
            System.err.println(name + " failed: a bug of the bridge (" + bug.getClass().getSimpleName()
                    + " at " + bug.getStackTrace()[0] + ")");
            System.exit(1);
        }
    }

    static void serve(Settings settings, Function<Bridge, Caretaker> caretaker) throws CommandFailed {
        Bridge bridge = new Bridge(settings, Timing.NORMAL, caretaker);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                bridge.stop();
            } finally {
                // The JVM would end with 143 or 130; a clean stop is 0.
                Runtime.getRuntime().halt(0);
            }
        }, "stop"));
        bridge.start();
    }

    /**
     * Looks after what is registered at X while the bridge serves. The bridge needs none; the operator's tool brings
     * one.
     */
    interface Caretaker {
        Function<Bridge, Caretaker> NONE = bridge -> new Caretaker() { };

        default void start() { }
        default void stop() { }

        /** X has said something that may mean it sends no more. */
        default void lookNow() { }

        /** What is not well there, for the health. */
        default List<String> troubles() { return List.of(); }
    }

    static final Path DOT_ENV = Path.of(".env");

    static Map<String, String> environment() throws CommandFailed {
        Map<String, String> all = new HashMap<>(Settings.canonical(Settings.readDotEnv(DOT_ENV)));
        all.putAll(Settings.canonical(System.getenv()));
        return all;
    }

    /** Ends a command with sentences for the one who typed it, instead of a stack trace. */
    static final class CommandFailed extends Exception {
        private static final long serialVersionUID = 1;
        final transient List<String> sentences;
        final int status;

        CommandFailed(int status, List<String> sentences) {
            super(String.join("; ", sentences));
            this.status = status;
            this.sentences = sentences;
        }
    }

    /**
     * How long things take: in one place, because a test must be able to compress it.
     *
     * @param initialBackoff backoff begins here and doubles up to {@code maxBackoff}
     * @param callTimeout a whole exchange with a service, body included
     * @param notifyAgentAfter after this an agent hears that a reply waits
     * @param takeOverAfter a conversation without a task is being opened until it is this old: 15 s for a slow call, 15
     *     s until TaskRouter lists the task, 15 s to spare
     * @param quietAfter after this a known conversation is asked for its task again
     * @param webhookCheck from one look at X's webhook to the next
     * @param catchUp from one reading of an open conversation to the next
     */
    record Timing(Duration initialBackoff, Duration maxBackoff, Duration callTimeout, Duration notifyAgentAfter,
            Duration takeOverAfter, Duration quietAfter, Duration webhookCheck, Duration catchUp) {
        static final Timing NORMAL = new Timing(Duration.ofSeconds(1), Duration.ofMinutes(1), Duration.ofSeconds(15),
                Duration.ofMinutes(1), Duration.ofSeconds(45), Duration.ofMinutes(10), Duration.ofMinutes(30),
                Duration.ofMinutes(5));
    }

    final Settings settings;
    final Timing timing;
    final Client client;
    private final Map<String, String> noticed = lruCache();
    private final Metrics metrics = new Metrics();
    final Journal journal;
    private final Edge edge;
    private final Relay relay;
    final CatchUp catchUp;
    final XAccess access;
    private final Caretaker caretaker;

    /**
     * Takes the data folder and the port; nothing moves before {@link #start}. @param caretaker {@link Caretaker#NONE}
     * will do
     */
    Bridge(Settings settings, Timing timing, Function<Bridge, Caretaker> caretaker) throws CommandFailed {
        this.settings = settings;
        this.timing = timing;
        LOG.level = settings.logLevel();
        journal = Journal.open(settings.dataDir(), settings.maxPending(), settings.maxJournalBytes());
        try {
            edge = new Edge(settings, routes());
        } catch (CommandFailed taken) {
            journal.close();
            throw taken;
        }
        client = new Client(timing.callTimeout(), metrics::failed);
        NumberedLists choices = new NumberedLists(settings.get(TWITTER_API).equals("2"));
        access = new XAccess(client, settings, timing, true);
        Twilio twilio = new Twilio(client, settings);
        Media media = new Media(client, access, twilio, settings, timing);
        Flex flex = new Flex(twilio, settings, choices, journal, timing, media);
        X x = new X(access, settings, choices, journal, media);
        relay = new Relay(journal, flex::deliver, reply -> reply.message.direction() == Direction.SENT_IN_APP
                ? flex.overheard(reply, x) : flex.forItsCustomer(reply, x::deliver), timing, metrics);
        catchUp = new CatchUp(journal, relay, flex, x, settings, timing, metrics);
        this.caretaker = caretaker.apply(this);
    }

    void start() {
        LOG.log(INFO, () -> "settings " + settings);
        relay.start();
        catchUp.start();
        edge.start();
        LOG.log(INFO, () -> "listening on " + address() + ", reached by X at " + settings.publicUrl() + "/fromTwitter");
        settings.shutIn(Path.of("/")).ifPresent(line -> LOG.log(WARNING, () -> line));
        caretaker.start();
    }

    String address() { return "http://" + settings.get(HOST) + ":" + edge.port(); }
    Reply answer(Request request) { return edge.answer(request); }

    /** Takes no more, finishes what is in hand (10 s at most) and leaves the rest in the journal for the next start. */
    void stop() {
        edge.stop();
        caretaker.stop();
        catchUp.stop();
        relay.stop();
        journal.close();
        LOG.log(INFO, () -> "stopped pending=" + journal.counts().get("pending"));
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 2. The routes: everything the outside can ask for, on one screen. Guards wrap handlers, handlers see only checked
    //    requests, and one place alone touches the JDK's HttpExchange: the edge, further down.

    private Map<String, Handler> routes() {
        return Map.of(
                "GET /", request -> Reply.ok(object().put("message", "Alive!")),
                "GET /healthz", this::health,
                "GET /metrics", Edge.local(request -> Reply.text(metrics.text(counts()))),
                "GET /fromTwitter", request -> challenge(settings, request),
                "POST /fromTwitter", signedByX(this::fromTwitter),
                "POST /fromFlex", signedByTwilio(this::fromFlex));
    }

    /**
     * Answers a request. An {@link IllegalArgumentException} is the caller's mistake and becomes a 400 with its
     * sentence.
     */
    interface Handler {
        Reply answer(Request request);
    }

    /**
     * A request, whole. {@code target} is path and query exactly as received: Twilio signs those bytes. Header names in
     * lower case.
     */
    record Request(String method, String path, String target, Map<String, List<String>> headers, byte[] body) {
        String header(String name) { return headers.getOrDefault(name, List.of("")).get(0); }
        String query(String name) {
            return Form.decode(target.substring(path.length()).replaceFirst("\\?", "")).get(name);
        }

        /** From this side of the tunnel or proxy, which all name the client they speak for. */
        boolean local() { return !headers.containsKey("x-forwarded-for") && !headers.containsKey("forwarded"); }

        /** The body's fields; none if it is not a form. */
        Form form() {
            String type = header("content-type").toLowerCase(Locale.ROOT);
            boolean is = type.startsWith("application/x-www-form-urlencoded");
            try {
                return is ? Form.decode(new String(body, UTF_8)) : Form.of();
            } catch (IllegalArgumentException garbled) {
                return Form.of();
            }
        }
    }

    record Reply(int status, String body, Map<String, String> headers) {
        /** Without a body, for whom the status says it all. */
        static final Reply DONE = new Reply(200, "", Map.of());

        Reply(int status, String body, String type) { this(status, body, Map.of("Content-Type", type)); }
        static Reply json(int status, ObjectNode body) {
            return new Reply(status, body.toString(), "application/json");
        }
        static Reply ok(ObjectNode body) { return json(200, body); }
        static Reply error(int status, String sentence) { return json(status, object().put("error", sentence)); }
        static Reply text(String text) { return new Reply(200, text, "text/plain; version=0.0.4; charset=utf-8"); }

        /** Whether the request was turned away: by its sender's fault, or to come again later. */
        boolean refuses() { return status / 100 == 4 || headers.containsKey("Retry-After"); }

        Reply with(String header, String value) {
            Map<String, String> all = new HashMap<>(headers);
            all.put(header, value);
            return new Reply(status, body, all);
        }
    }

    /**
     * Lets in what X signed: HMAC-SHA256 over the raw body, by the consumer secret or, for apps that have one, by the
     * OAuth 2.0 client secret in a header of its own (X API, webhooks quickstart).
     */
    private Handler signedByX(Handler next) {
        return request -> {
            String consumer = settings.get(TWITTER_CONSUMER_SECRET);
            String client = settings.get(TWITTER_CLIENT_SECRET);
            if (signedWith(consumer, request, "x-twitter-webhooks-signature")
                    || signedWith(client, request, "x-twitter-webhooks-signature-oauth2")) {
                return next.answer(request);
            }
            catchUp.fromX.refused();
            return Reply.error(403, "no valid signature of X");
        };
    }

    private static boolean signedWith(String secret, Request request, String header) {
        return !secret.isEmpty() && Signatures.equalInConstantTime(Signatures.xWebhook(secret, request.body()),
                request.header(header));
    }

    /**
     * Lets in what Twilio signed, its public URL as Twilio knows it, never the one of the socket, plus the form; and of
     * that only what is whole. What it hands on is the customer, empty if the URL names none, and the form.
     */
    private Handler signedByTwilio(BiFunction<String, Form, Reply> next) {
        return request -> {
            Form form;
            // One form at a time: to be taken apart it needs seven times its bytes.
            synchronized (this) {
                form = request.form();
                if (!Signatures.isTwilios(settings.webhookTokens(), request.header("x-twilio-signature"),
                        settings.publicUrl() + request.target(), form)) {
                    catchUp.fromFlex.refused();
                    return Reply.error(403, "no valid signature of Twilio");
                }
            }
            Matcher target = FROM_FLEX.matcher(request.target());
            if (!target.matches() || !FromFlex.isWhole(form, settings.get(TWILIO_ACCOUNT_SID))) {
                return Reply.error(403, "not as Twilio sends it, or of another account of Twilio");
            }
            return next.apply(Objects.toString(target.group(1), ""), form);
        };
    }

    /** The addresses that {@link Settings#fromFlexUrl} makes, and the Node original's, which names no customer. */
    static final Pattern FROM_FLEX = Pattern.compile("/fromFlex(?:\\?customer=([0-9]{1,19}))?");

    /**
     * X's challenge-response check, at least once a day: proves that whoever answers knows the secret. The answer is
     * also the signature of a webhook with the token as its body, so a token that could be one is not answered.
     */
    static Reply challenge(Settings settings, Request request) {
        String token = request.query("crc_token");
        if (!token.matches("[^{}\"\\p{Cc}]{1,512}")) {
            throw new IllegalArgumentException("crc_token is missing, or could be a webhook's body");
        }
        String client = settings.get(TWITTER_CLIENT_SECRET);
        String secret = client.isEmpty() ? settings.get(TWITTER_CONSUMER_SECRET) : client;
        return Reply.ok(object().put("response_token", Signatures.xWebhook(secret, token.getBytes(UTF_8))));
    }

    private Reply fromTwitter(Request request) {
        FromX events = FromX.read(json(request.body()), settings.ownId());
        events.warnings().forEach(warning -> LOG.log(WARNING, () -> warning));
        if (!events.warnings().isEmpty()) caretaker.lookNow();
        events.notices().stream().filter(notice -> noticed.put(notice, "") == null)
                .forEach(notice -> LOG.log(WARNING, () -> notice));
        metrics.add("ignored", events.ignored());
        if (!events.encrypted().isEmpty()) {
            journal.conversations().stream().filter(open -> events.encrypted().contains(open.customer()))
                    .forEach(open -> journal.tell(unreadable(open)));
        }
        catchUp.heardFromX(events.sent());
        if (events.messages().isEmpty()) return Reply.DONE;
        if (catchUp.await(CatchUp.X_EVENTS) && relay.accept(events.messages())) return Reply.DONE;
        catchUp.missedAtX();
        return NO_ROOM;
    }

    /** What agents read once: its id is always the same. */
    private static Message unreadable(Conversation open) {
        String words = "The customer now writes encrypted (X Chat), which cannot be read here: ask them for another way"
                + " to reach them.";
        return new Message(Direction.NOTE, "note-encrypted-" + open.sid(), open.customer(), "", "", words, List.of(),
                "", open.sid(), Instant.now());
    }

    private Reply fromFlex(String customer, Form form) {
        FromFlex event = FromFlex.read(form, customer);
        catchUp.heardFromFlex(event);
        metrics.add("ignored", event.messages().isEmpty() ? 1 : 0);
        if (event.messages().isEmpty()) return Reply.DONE;
        boolean kept = catchUp.await(event.conversation()) && relay.accept(event.messages());
        catchUp.taken(event, kept);
        return kept ? Reply.DONE : NO_ROOM;
    }

    /** 200 means on disk; this, that the sender has to come again, or that the message is caught up. */
    private static final Reply NO_ROOM =
            Reply.error(503, "no room for more messages at the moment").with("Retry-After", "5");

    private Map<String, Long> counts() {
        Map<String, Long> all = new LinkedHashMap<>(journal.counts());
        all.put("rejected", edge.refusals.count());
        all.putAll(metrics.counters());
        return all;
    }

    /** Strangers learn whether all is well, and no more. */
    private Reply health(Request request) {
        List<String> troubles = Stream.of(journal.trouble().stream(), relay.troubles().stream(),
                catchUp.troubles().stream(), caretaker.troubles().stream()).flatMap(all -> all).toList();
        ObjectNode body = object().put("status", troubles.isEmpty() ? "ok" : "degraded");
        if (request.local()) {
            counts().forEach(body::put);
            if (!troubles.isEmpty()) body.put("reason", String.join("; ", troubles));
        }
        return Reply.json(troubles.isEmpty() ? 200 : 503, body);
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 3. The message: what travels all the way.

    /**
     * From customer to agent, from agent to customer, from the bridge itself to the agent; and what our account has
     * sent to a customer, be it by the bridge or by somebody in the X app.
     */
    enum Direction { TO_FLEX, TO_X, NOTE, SENT_IN_APP }

    /**
     * The one type that travels all the way; X's JSON and Twilio's forms stay at the edges.
     *
     * @param customer the X user's id; empty if only {@code conversation} tells whose it is
     * @param answer the metadata of the quick reply that was tapped, or empty
     */
    record Message(Direction direction, String id, String customer, String handle, String name, String text,
            List<Attachment> attachments, String answer, String conversation, Instant time) {

        /**
         * No decoration keeps a message from an agent. What X allows (a name of 50 emoji, a handle of 15 letters,
         * metadata of 1,000) fits what Twilio takes: a title of 256, 4 KB of attributes of a message or a task.
         */
        Message {
            handle = cut(handle, 50);
            name = cut(name, 100);
            text = encodable(text);
            attachments = List.copyOf(attachments);
            answer = cut(answer, 1_000);
        }

        /** Messages of a lane are delivered one after the other, different lanes side by side. */
        String lane() {
            boolean x = direction == Direction.TO_X || direction == Direction.SENT_IN_APP;
            return (x ? "x/" : "flex/") + (customer.isEmpty() ? conversation : customer);
        }

        /** What agents and customers sent as files; what our account sent is only told of. */
        List<Attachment> files() {
            return direction == Direction.SENT_IN_APP ? List.of()
                    : attachments.stream().filter(Attachment::isFile).toList();
        }

        /** What can be read of it: this text, and what stands for the attachments that are not carried as files. */
        String words(String text, String between) {
            List<Attachment> files = files();
            return Stream.concat(Stream.of(text), attachments.stream().filter(one -> !files.contains(one))
                    .map(Attachment::text)).filter(line -> !line.isBlank()).collect(Collectors.joining(between));
        }

        /** What agents read as the customer's name. */
        String title() { return name.equals(handle) ? "@" + handle : name + " (@" + handle + ")"; }

        /** What the bridge itself has to say to the agent about this message. */
        Message note(String about, String conversation, String text) {
            return new Message(Direction.NOTE, "note-" + about, customer, handle, name, text, List.of(), "",
                    conversation, time);
        }
    }

    /**
     * What is attached to a message, by reference. A location is only told, and so is what older journals hold.
     *
     * @param id the file's at its service, or empty
     * @param text what stands for it where it cannot be carried
     * @param sources its addresses at X, the best first
     */
    record Attachment(String id, String text, List<String> sources) {
        Attachment {
            id = encodable(id);
            text = encodable(text);
            sources = sources.stream().map(Bridge::encodable).toList();
        }

        static Attachment told(String text) { return new Attachment("", text, List.of()); }
        boolean isFile() { return !id.isEmpty() || !sources.isEmpty(); }

        /** The id of the first of them that has one, else empty. */
        static String id(List<Attachment> all) { return all.stream().map(Attachment::id).findFirst().orElse(""); }
    }

    /**
     * A customer's conversation that is open, as the journal remembers it.
     *
     * @param url of our webhook there
     * @param index of the last message of which all that came before is known here
     * @param checked when an agent was last known to have it before them
     */
    record Conversation(String sid, String customer, String url, long index, Instant checked) { }

    /**
     * A customer's identity in Flex. Their id, not their handle: a handle can be renamed or taken over in the middle of
     * a chat.
     */
    static String identity(String customer) { return "twitter-" + customer; }

    /** The author of the bridge's own notes to agents. */
    static final String NOTE_AUTHOR = "twitter-bridge";

    // -----------------------------------------------------------------------------------------------------------------
    // 4. From X: a webhook's JSON becomes messages. Many events may come in one body; what is not a customer's message
    //    (typing, read, follow, our own sends, kinds unknown today) is counted and left alone.

    /**
     * What a webhook of X says.
     *
     * @param sent what our account has sent, by the bridge or by somebody in the X app; the customer is who got it
     * @param warnings what the operator should know each time
     * @param notices what is worth saying once
     * @param encrypted who writes in X's encrypted Chat
     */
    record FromX(List<Message> messages, List<Message> sent, int ignored, List<String> warnings, Set<String> notices,
            Set<String> encrypted) {
        /**
         * Reads both envelopes: the Account Activity API's, which ends on 1 January 2027, and the X Activity API's,
         * which wraps the same events in {@code data.payload} and the users in another {@code data}.
         *
         * @param ownId the account the bridge sends as, empty if not known: what it wrote itself comes back as an event
         *              and is not echoed; what is for another account of the same app is not ours to answer
         */
        static FromX read(JsonNode envelope, String ownId) {
            JsonNode activity = envelope.path("data");
            String kind = activity.path("event_type").asText();
            JsonNode payload = kind.isEmpty() ? envelope : activity.path("payload");
            List<String> subscribers = List.of(payload.path("for_user_id").asText(),
                    activity.path("filter").path("user_id").asText());
            Predicate<String> anothers = account -> !account.isEmpty() && !ownId.isEmpty() && !account.equals(ownId);
            List<Message> messages = new ArrayList<>(), ours = new ArrayList<>();
            List<String> warnings = new ArrayList<>();
            Set<String> notices = new LinkedHashSet<>();
            JsonNode revoked = kind.equals("oauth.revoke") ? payload.path("user_id")
                    : payload.path("user_event").path("revoke").path("source").path("user_id");
            if (!revoked.isMissingNode()) {
                warnings.add("account " + revoked.asText()
                        + " has revoked the app's access: X sends no more events for it");
            }
            Set<String> encrypted = new LinkedHashSet<>();
            boolean chat = kind.startsWith("chat.") && subscribers.stream().noneMatch(anothers);
            String writer = chat ? payload.findPath("sender_id").asText("unknown") : ownId;
            if (!writer.equals(ownId)) {
                encrypted.add(writer);
                notices.add("customer " + writer + " writes end-to-end encrypted (XChat): no bridge can read that");
            }
            JsonNode events = payload.path("direct_message_events"), users = payload.path("users");
            int ignored = events.isArray() && !events.isEmpty() ? 0 : 1;
            for (JsonNode event : events) {
                JsonNode created = event.path("message_create");
                String sender = created.path("sender_id").asText();
                String recipient = created.path("target").path("recipient_id").asText();
                boolean sent = sender.equals(ownId) || subscribers.contains(sender) || kind.equals("dm.sent");
                boolean numbered = X.isId(event.path("id").asText()) && X.isId(sender);
                Optional<String> other = Stream.concat(subscribers.stream(), Stream.of(recipient)).filter(anothers)
                        .findFirst();
                if (!event.path("type").asText().equals("message_create") || sent) {
                    ignored++;
                    boolean readable = sent && numbered && X.isId(recipient);
                    if (readable) ours.add(message(Direction.SENT_IN_APP, event, recipient, users.path(recipient)));
                } else if (!numbered) {
                    ignored++;
                    warnings.add("a Direct Message event without a numeric id or sender was left alone");
                } else if (other.isPresent()) {
                    ignored++;
                    notices.add("events for account " + other.get() + " arrive here too and are left alone:"
                            + " this bridge answers as account " + ownId);
                } else {
                    messages.add(message(Direction.TO_FLEX, event, sender, users.path(sender)));
                }
            }
            // X promises no order but that of the ids.
            messages.sort(Comparator.comparing(Message::id, X.BY_ID));
            ours.sort(Comparator.comparing(Message::id, X.BY_ID));
            return new FromX(messages, ours, ignored, warnings, notices, encrypted);
        }

        /** A customer is looked up by id; one who is missing from the users goes by their id. */
        private static Message message(Direction direction, JsonNode event, String customer, JsonNode listed) {
            JsonNode user = listed.has("data") ? listed.path("data") : listed;
            String handle = user.path("screen_name").asText(user.path("username").asText(customer));
            JsonNode data = event.path("message_create").path("message_data");
            List<Attachment> attached = attachments(data);
            return new Message(direction, event.path("id").asText(), customer, handle,
                    user.path("name").asText(handle),
                    text(data, attached), attached, data.path("quick_reply_response").path("metadata").asText(""), "",
                    Instant.ofEpochMilli(event.path("created_timestamp").asLong(System.currentTimeMillis())));
        }

        /** One of X's short links, as {@code https://t.co/abc123DEF4}. */
        private static final Pattern LINK = Pattern.compile("https?://[A-Za-z0-9.-]+/[A-Za-z0-9]+");

        /** Characters up to which links are replaced: a text has 10,000, and a short link leads there too. */
        private static final int MAX_LINKED = 4 * X.MAX_TEXT;

        /**
         * The text as its author typed it: t.co links replaced by where they lead, the link X appends for an attachment
         * removed, and {@code &lt; &gt; &amp;} decoded last of all.
         */
        static String text(JsonNode data, List<Attachment> attached) {
            Map<String, String> links = new HashMap<>();
            data.path("entities").path("urls").forEach(url -> links.put(url.path("url").asText(),
                    url.path("expanded_url").asText(url.path("url").asText())));
            links.put(data.path("attachment").path("media").path("url").asText(), "");
            links.replaceAll((link, target) -> MEDIA_PAGE.matcher(target).matches() ? "" : target);
            // All in one pass: a target may look like a short link.
            Matcher link = LINK.matcher(data.path("text").asText(""));
            StringBuilder linked = new StringBuilder();
            while (linked.length() < MAX_LINKED && link.find()) {
                String target = links.getOrDefault(link.group(), link.group());
                link.appendReplacement(linked, Matcher.quoteReplacement(target));
            }
            link.appendTail(linked);
            String plain = linked.toString().replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            return attached.isEmpty() ? plain : plain.stripTrailing();
        }

        /** Where X shows the account what is attached to an event. */
        static final Pattern MEDIA_PAGE = Pattern.compile("https://(twitter|x)\\.com/messages/media/[0-9]+");

        /** Its kind, also one unknown today, and where it is. What an event lacks is still at the page of its link. */
        static List<Attachment> attachments(JsonNode data) {
            JsonNode attachment = data.path("attachment");
            JsonNode media = attachment.path("media");
            Stream<JsonNode> links =
                    Stream.concat(Stream.of(media), data.path("entities").path("urls").valueStream());
            List<String> page = links.map(link -> link.path("expanded_url").asText())
                    .filter(url -> MEDIA_PAGE.matcher(url).matches()).limit(1).toList();
            boolean none = attachment.isMissingNode() || attachment.isNull();
            if (none && page.isEmpty()) return List.of();
            String kind = media.path("type").asText(attachment.path("type").asText("attachment"));
            String shown = media.path("media_url_https").asText();
            List<String> sources = new ArrayList<>(kind.equals("photo") ? List.of(shown) : List.of());
            media.at("/video_info/variants").valueStream()
                    .filter(variant -> variant.path("content_type").asText().equals("video/mp4"))
                    .sorted(Comparator.comparingLong(FromX::bitRate).reversed())
                    .forEach(variant -> sources.add(variant.path("url").asText()));
            sources.removeIf(String::isBlank);
            if (sources.isEmpty()) sources.addAll(page);
            String where = Stream.of(sources.stream(), Stream.of(shown, location(attachment.path("location"))))
                    .flatMap(all -> all).filter(text -> !text.isBlank()).findFirst().orElse("");
            return List.of(new Attachment(media.path("id_str").asText(), ("[" + kind + "] " + where).strip(), sources));
        }

        /** Bits a second, as webhooks or API 2 have it. */
        private static long bitRate(JsonNode variant) {
            return variant.path("bitrate").asLong(variant.path("bit_rate").asLong());
        }

        /** A place's name, and a point as maps take it, latitude first: X has it second ("Attaching location"). */
        private static String location(JsonNode location) {
            JsonNode place = location.at("/shared_place/place");
            JsonNode shared = location.at("/shared_coordinate/coordinates/coordinates");
            JsonNode point = shared.isMissingNode() ? place.path("centroid") : shared;
            String name = place.path("full_name").asText(place.path("name").asText(place.path("id").asText()));
            double latitude = point.path(1).asDouble(Double.NaN);
            double longitude = point.path(0).asDouble(Double.NaN);
            if (!(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180)) return name;
            // Six decimals are 11 cm.
            String map = "%1$s %2$.6f, %3$.6f https://www.google.com/maps/search/?api=1&query=%2$.6f,%3$.6f";
            return String.format(Locale.ROOT, map, name, latitude, longitude).strip();
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 5. From Flex: a webhook's form becomes a message, or tells that a conversation has ended.

    /**
     * What a webhook of Flex says (Twilio, "Chat Webhooks" and "Conversations Webhooks"; the names differ, the meaning
     * does not).
     *
     * @param customer the X user's id from our own URL, or empty for a webhook that somebody else registered
     * @param ended whether the conversation is over
     */
    record FromFlex(String customer, String conversation, List<Message> messages, boolean ended) {
        private static final List<String> CHAT = List.of("ChannelSid", "MessageSid", "From");
        /** What an event cannot be understood without; of one that is not here, nothing is. */
        private static final Map<String, List<String>> NEEDED = Map.of(
                "onMessageSent", CHAT, "onMediaMessageSent", CHAT,
                "onChannelUpdated", List.of("ChannelSid", "Attributes"),
                "onMessageAdded", List.of("ConversationSid", "MessageSid", "Author"),
                "onConversationStateUpdated", List.of("ConversationSid", "StateTo"));
        private static final Pattern NAME = Pattern.compile("[A-Z][A-Za-z0-9_.]*");
        private static final Pattern CHANNEL = Pattern.compile("CH" + HEX), ANYTHING = Pattern.compile("(?s).*");
        private static final Map<String, Pattern> SIDS = Map.of("ConversationSid", CHANNEL, "ChannelSid", CHANNEL,
                "MessageSid", Pattern.compile("IM" + HEX), "MediaSid", Pattern.compile("ME" + HEX));

        /**
         * Twilio signs names and values with nothing between them, so a captured webhook can be split anew into others
         * of the same signature: a digit of the customer begins a name, a sid takes in the field after it. None of
         * those is whole: with our account and what it needs, each name once and like a name, and sids like sids.
         */
        static boolean isWhole(Form form, String account) {
            Set<String> names = new HashSet<>();
            return form.get("AccountSid").equalsIgnoreCase(account)
                    && form.fields().stream().allMatch(field -> names.add(field.getKey())
                            && NAME.matcher(field.getKey()).matches()
                            && SIDS.getOrDefault(field.getKey(), ANYTHING).matcher(field.getValue()).matches())
                    && names.containsAll(NEEDED.getOrDefault(form.get("EventType"), List.of()));
        }

        static FromFlex read(Form form, String customer) {
            String conversation = form.get("ConversationSid").isEmpty() ? form.get("ChannelSid")
                    : form.get("ConversationSid");
            boolean over = switch (form.get("EventType")) {
                case "onChannelUpdated" -> jsonOrMissing(form.get("Attributes")).path("status").asText()
                        .equals("INACTIVE");
                case "onConversationStateUpdated" -> form.get("StateTo").matches("closed|inactive");
                default -> false;
            };
            boolean written = Set.of("onMessageSent", "onMediaMessageSent", "onMessageAdded")
                    .contains(form.get("EventType"));
            List<Message> messages = written ? messages(form, customer, conversation) : List.of();
            return new FromFlex(customer, conversation, messages, over);
        }

        /** A message as its conversation lists it, in the form its webhook would have had. */
        static Form asWebhook(JsonNode listed, String conversation) {
            JsonNode media = listed.path("media");
            ArrayNode files = JSON.createArrayNode();
            // Programmable Chat lists one file, Conversations an array of them.
            for (JsonNode file : media.isObject() ? List.of(media) : media) {
                files.addObject().put("Sid", file.path("sid").asText());
            }
            return Form.of("EventType", "onMessageAdded", "ConversationSid", conversation,
                    "MessageSid", listed.path("sid").asText(),
                    "Author", Flex.author(listed),
                    "Body", listed.path("body").asText(""), "Media", files.toString(),
                    "DateCreated", listed.path("date_created").asText());
        }

        /**
         * What anybody but the customer and the bridge wrote: agents ({@code Source=SDK}) and bots
         * ({@code Source=API}).
         */
        private static List<Message> messages(Form form, String customer, String conversation) {
            String author = form.get("Author").isEmpty() ? form.get("From") : form.get("Author");
            boolean customers = customer.isEmpty() ? author.matches("twitter-[0-9]+")
                    : author.equals(identity(customer));
            String id = form.get("MessageSid");
            if (customers || author.equals(NOTE_AUTHOR) || id.isEmpty()) return List.of();
            List<String> files = new ArrayList<>();
            jsonOrMissing(form.get("Media")).forEach(file -> files.add(file.path("Sid").asText()));
            if (!form.get("MediaSid").isEmpty()) files.add(form.get("MediaSid"));
            Instant at = written(form);
            List<Message> messages = new ArrayList<>();
            if (!form.get("Body").isEmpty()) {
                messages.add(new Message(Direction.TO_X, id, customer, "", author, form.get("Body"), List.of(), "",
                        conversation, at));
            }
            for (int i = 0; i < files.size(); i++) {
                messages.add(new Message(Direction.TO_X, id + "-media" + (i == 0 ? "" : i), customer, "", author, "",
                        List.of(new Attachment(files.get(i), "", List.of())), "", conversation, at));
            }
            return messages;
        }

        /** When it was written, by Twilio's clock; by ours where that is not told, or not to be believed. */
        private static Instant written(Form form) {
            Instant created = time(form.get("DateCreated")), now = Instant.now();
            boolean sound = created.isAfter(Instant.EPOCH) && created.isBefore(now.plus(Duration.ofDays(1)));
            return sound ? created : now;
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 6. The relay: accept, keep, order, deliver, retry, settle. A lane is one customer's queue in one direction; its
    //    head is tried until it is settled, and only then the next. A lane that waits holds no thread.

    /** What became of one try to deliver a message. */
    sealed interface Outcome {
        /**
         * @param id what the other side calls it now; @param remark what the agent should know all the same, or empty
         */
        record Delivered(String id, String remark) implements Outcome { }

        /**
         * Refused for good, no repetition would help. @param conversationClosed because the conversation it was for is
         * over
         */
        record Refused(String reason, boolean conversationClosed) implements Outcome { }

        /**
         * To be tried again.
         *
         * @param after what the service asked for; the backoff may make it longer
         * @param mayHaveArrived true if it may have been done all the same: look before repeating
         */
        record RetryLater(String reason, Duration after, Scope scope, boolean mayHaveArrived) implements Outcome { }

        /** Who would fare no better now: this message alone, this customer, or everybody who wants this service. */
        enum Scope { MESSAGE, CUSTOMER, SERVICE }

        /** Whether the conversation that the message was for is over; only a refusal can say so. */
        default boolean conversationClosed() { return false; }

        /** What a failed look-up means for the message that it was made for: trouble of its own, and nobody else's. */
        default Outcome forThisMessageOnly() {
            return this instanceof RetryLater later
                    ? new RetryLater(later.reason(), later.after(), Scope.MESSAGE, false) : this;
        }
    }

    /**
     * A message under way: made by the journal when it is acknowledged, driven by the relay until it is settled, by one
     * thread at a time.
     */
    static final class Delivery {
        final Message message;
        /** When it was acknowledged: by our clock, which may jump; and since this start, in {@link System#nanoTime}. */
        final Instant at;
        final long accepted = System.nanoTime();
        /** Its place among all messages; guarded by the relay's lock. */
        long order;
        /** Whether a try was begun, by this bridge before its start or by another; guarded by the journal's lock. */
        boolean attempted;
        /** Whether another bridge was left the time to deliver it. */
        boolean yielded;
        /** Whether an earlier try may have delivered the next part without our knowing. */
        boolean mayHaveArrived;
        /** Whether that has to be looked up before the next try. */
        boolean lookFirst;
        /** The conversation the last try was made in; empty before the first. */
        String conversation = "";
        /** Whether an agent has, or will have, that conversation before them. */
        boolean beforeAgent;
        /** Parts of a long message that have arrived, and what the other side called the last of them. */
        int parts;
        String lastId = "found";
        /** What X calls the next part's file, and what it called it while it was looking into it. */
        String uploaded = "", processing = "";
        /** Where the next part's file is, by X's answer to a question. */
        List<String> found = List.of();
        /** Since when it could not be carried, in {@link System#nanoTime}. */
        Optional<Long> stuck = Optional.empty();
        int tries;
        /** Whether its agent has been told that it waits; guarded by the relay's lock. */
        boolean told;
        /** What the last try met, while it waits for the next. */
        volatile Optional<Outcome.RetryLater> trouble = Optional.empty();

        Delivery(Message message, Instant at, boolean attempted) {
            this.message = message;
            this.at = at;
            this.attempted = attempted;
        }

        void doubt() {
            mayHaveArrived = true;
            lookFirst = true;
        }

        /** The next part is where it belongs. */
        void arrived(String id) { arrived(parts + 1, id); }

        /** A part is where it belongs; said twice, it is one part all the same. */
        synchronized void arrived(int part, String id) {
            if (part <= parts) return;
            parts = part;
            lastId = id;
            mayHaveArrived = false;
            uploaded = "";
            processing = "";
            found = List.of();
            stuck = Optional.empty();
        }

        /**
         * From when on it is looked for on the other side: nothing arrives before it was written. Both times are the
         * services' own, and a minute is more than their clocks are apart.
         */
        Instant lookFrom() { return message.time().minusSeconds(60); }
    }

    static final class Relay {
        /**
         * Threads per service: what a service that hangs can hold at most, and how many customers are served side by
         * side.
         */
        private static final int WORKERS = 16;
        /** How many of them may carry files: the others' texts go on. */
        private static final int CARRIERS = 4;
        /**
         * How many times longer than one message's longest backoff a pause grows that waits for somebody to mend
         * something.
         */
        static final int PATIENT = 15;
        /** How long a refusal that is our fault shows in the health. */
        private static final Duration SHOWN = Duration.ofMinutes(10);

        private final Journal journal;
        private final Timing timing;
        private final Metrics metrics;
        private final Destination toFlex;
        private final Destination toX;
        private final ScheduledExecutorService clock =
                Executors.newSingleThreadScheduledExecutor(daemonThreads("clock"));
        // The relay's lock guards the lanes, the destinations, and these.
        private final Map<String, Lane> lanes = new HashMap<>();
        private Optional<Refusal> ourFault = Optional.empty();
        private long order;
        private boolean stopping;

        /** One customer's messages in one direction, the oldest first. */
        private record Lane(String key, Destination destination, ArrayDeque<Delivery> waiting) {
            Delivery head() { return waiting.element(); }
            boolean carries() { return !head().message.files().isEmpty(); }
        }

        private record Refusal(long nanos, String reason) { }

        Relay(Journal journal, Function<Delivery, Outcome> toFlex, Function<Delivery, Outcome> toX, Timing timing,
                Metrics metrics) {
            this.journal = journal;
            this.timing = timing;
            this.metrics = metrics;
            this.toFlex = new Destination("Flex", toFlex);
            this.toX = new Destination("X", toX);
        }

        void start() {
            journal.start(this::add);
            long patience = timing.notifyAgentAfter().toMillis();
            clock.scheduleWithFixedDelay(logFailures(this::tellWhoWaits, "who waits could not be told"), patience,
                    Math.max(1, patience / 12), TimeUnit.MILLISECONDS);
        }

        /** @return false if there is no room for them: nothing was kept */
        boolean accept(List<Message> messages) { return kept(journal.accept(messages)); }

        /** The same for messages that another bridge may have delivered: they are looked for first. */
        boolean acceptShared(List<Message> messages) { return kept(journal.acceptShared(messages)); }

        private static boolean kept(Future<Boolean> onDisk) {
            try {
                return onDisk.get(10, TimeUnit.SECONDS);
            } catch (InterruptedException | ExecutionException | TimeoutException notKept) {
                return false;
            }
        }

        /** Why messages do not get through; a rate limit that is over after its pause is normal operation. */
        synchronized List<String> troubles() {
            List<String> troubles = new ArrayList<>();
            for (Destination destination : List.of(toFlex, toX)) destination.trouble().ifPresent(troubles::add);
            ourFault.filter(refusal -> System.nanoTime() - refusal.nanos() < SHOWN.toNanos())
                    .ifPresent(refusal -> troubles.add("a message was refused: " + refusal.reason()));
            return troubles;
        }

        /**
         * What our account sent takes its turn behind the replies under way, one of which it may be. It is not on disk:
         * what is lost with this process is found at X by the next.
         */
        void overhear(Message sent) { add(new Delivery(sent, Instant.now(), false)); }

        /** Called by the journal, in its order, with what is on disk. */
        private synchronized void add(Delivery delivery) {
            Destination destination = delivery.message.lane().startsWith("x/") ? toX : toFlex;
            Lane lane = lanes.computeIfAbsent(delivery.message.lane(),
                    key -> new Lane(key, destination, new ArrayDeque<>()));
            delivery.order = order++;
            lane.waiting.add(delivery);
            if (lane.waiting.size() == 1) lane.destination.ready(lane);
        }

        /** Tries a lane's first message once, and sees to what follows from that. */
        private void work(Lane lane, Delivery delivery) {
            Outcome outcome;
            try {
                outcome = attempt(lane, delivery);
            } catch (Error broken) {
                // Out of memory, as a rule: this try is over, the message is not.
                LOG.log(ERROR, "a delivery was cut short", broken);
                outcome = new Outcome.RetryLater("cut short", Duration.ZERO, Outcome.Scope.MESSAGE, true);
            }
            if (outcome instanceof Outcome.RetryLater later && later.mayHaveArrived()) delivery.doubt();
            synchronized (this) {
                lane.destination.tried(lane, outcome);
            }
        }

        private Outcome attempt(Lane lane, Delivery delivery) {
            Message message = delivery.message;
            // The way to X is looked up at a price, so that a try is marked first, a file's when it is there; Flex is
            // looked at for free after every restart.
            boolean marked = message.direction() == Direction.TO_X && message.files().isEmpty();
            if (delivery.tries++ == 0 && marked) journal.markAttempted(message.id());
            long began = System.nanoTime();
            Outcome outcome;
            boolean bug = false;
            try {
                outcome = lane.destination.service.apply(delivery);
            } catch (RuntimeException broken) {
                LOG.log(ERROR, "message " + message.id() + " could not be handled", broken);
                outcome = new Outcome.Refused("the bridge could not handle it (" + broken.getClass().getSimpleName()
                        + ")", false);
                bug = true;
            }
            String what = " id=" + message.id() + " to=" + lane.destination.name + " customer=" + message.customer()
                    + " try=" + delivery.tries;
            if (outcome instanceof Outcome.RetryLater later) {
                LOG.log(WARNING, () -> "waiting" + what + ": " + later.reason());
            } else if (outcome instanceof Outcome.Refused refused) {
                LOG.log(ERROR, () -> "refused" + what + ": " + refused.reason());
                // What X refuses is for its author or reader to mend; what Flex refuses of a customer is for us.
                if (bug || message.direction() == Direction.TO_FLEX) fault(refused.reason());
                String known = delivery.mayHaveArrived ? "It is not known whether this was delivered" : "Not delivered";
                String whose = message.direction() == Direction.TO_X ? " to the customer: "
                        : ", a message of the customer: ";
                journal.failed(message.id(), refused.reason(), remark(delivery, known + whose + refused.reason()));
            } else if (outcome instanceof Outcome.Delivered delivered) {
                long millis = (System.nanoTime() - began) / 1_000_000;
                List<Message> remarks = delivered.remark().isEmpty() ? List.of() : remark(delivery, delivered.remark());
                if (message.direction() == Direction.SENT_IN_APP) {
                    remarks.forEach(journal::tell);
                    return outcome;
                }
                LOG.log(INFO, () -> "delivered" + what + " as=" + delivered.id() + " ms=" + millis);
                metrics.delivered(lane.destination.name, System.nanoTime() - delivery.accepted);
                journal.delivered(message.id(), delivered.id(), remarks);
            }
            return outcome;
        }

        private synchronized void fault(String reason) {
            ourFault = Optional.of(new Refusal(System.nanoTime(), reason));
        }

        /** What the agent is to know, in the conversation it is about, if there is one; notes have no notes. */
        private static List<Message> remark(Delivery delivery, String text) {
            Message message = delivery.message;
            String conversation = message.conversation().isEmpty() ? delivery.conversation : message.conversation();
            // A sentence, not a page; but what a colleague wrote is there in full.
            String said = message.direction() == Direction.SENT_IN_APP ? text : cut(text, 1_000);
            return message.direction() == Direction.NOTE || conversation.isEmpty() ? List.of()
                    : List.of(message.note(message.id(), conversation, said));
        }

        /** Once per conversation, thanks to the note's id: the journal keeps no message twice. */
        private synchronized void tellWhoWaits() {
            for (Lane lane : lanes.values()) {
                Delivery reply = lane.waiting.stream().filter(one -> one.message.direction() == Direction.TO_X)
                        .findFirst().orElse(lane.head());
                Message message = reply.message;
                if (message.direction() == Direction.TO_X && waitsLong(lane) && !reply.told) {
                    reply.told = true;
                    journal.tell(message.note("waits-" + message.conversation(), message.conversation(),
                            "X is not accepting messages right now. Your replies are queued and will be sent in"
                            + " order."));
                }
            }
        }

        private boolean waitsLong(Lane lane) {
            return System.nanoTime() - lane.head().accepted > timing.notifyAgentAfter().toNanos();
        }

        /** Lets what is being sent end within 6 s, and sends nothing more. */
        void stop() {
            synchronized (this) {
                stopping = true;
            }
            clock.shutdownNow();
            Instant until = Instant.now().plusSeconds(6);
            Stream.of(toFlex, toX).forEach(destination -> destination.workers.shutdown());
            Stream.of(toFlex, toX).forEach(destination -> await(destination.workers, until));
        }

        /**
         * One service behind a circuit breaker. Closed, 16 deliveries run at a time, oldest message first. When the
         * service turns everybody away (rate limit, our keys, our account) it opens: nothing runs. After the pause it
         * is half-open: one delivery is the probe, and if the service looks at that on its merits, all follow.
         */
        private final class Destination {
            final String name;
            final Function<Delivery, Outcome> service;
            final ThreadPoolExecutor workers;
            private final PriorityQueue<Lane> ready =
                    new PriorityQueue<>(Comparator.comparingLong(lane -> lane.head().order));
            /** Those that wait for a carrier. */
            private final ArrayDeque<Lane> files = new ArrayDeque<>();
            private int running, carrying;
            /** Deliveries at a time: all workers, 0 while the breaker is open, 1 while it is half-open. */
            private int limit = WORKERS;
            private int pauses;
            private boolean longPause;
            private String reason = "";

            Destination(String name, Function<Delivery, Outcome> service) {
                this.name = name;
                this.service = service;
                workers = pool("to-" + name, WORKERS, Duration.ofSeconds(30));
            }

            void ready(Lane lane) {
                ready.add(lane);
                go();
            }

            private void go() {
                while (running < limit && !ready.isEmpty() && !stopping) {
                    Lane lane = ready.remove();
                    Delivery head = lane.head();
                    if (lane.carries() && carrying == CARRIERS) {
                        files.add(lane);
                        continue;
                    }
                    try {
                        workers.execute(() -> work(lane, head));
                        running++;
                        if (lane.carries()) carrying++;
                    } catch (RejectedExecutionException | OutOfMemoryError noThread) {
                        LOG.log(ERROR, () -> "no thread to be had for a delivery: " + Bridge.reason(noThread));
                        after(Duration.ofSeconds(1), 1, false, () -> ready(lane));
                        return;
                    }
                }
            }

            void tried(Lane lane, Outcome outcome) {
                running--;
                if (lane.carries()) {
                    carrying--;
                    Optional.ofNullable(files.poll()).ifPresent(ready::add);
                }
                if (outcome instanceof Outcome.RetryLater later) {
                    Delivery head = lane.head();
                    head.trouble = Optional.of(later);
                    if (later.scope() == Outcome.Scope.SERVICE) {
                        if (limit > 0) pause(later);
                        ready(lane);
                        return;
                    }
                    boolean patient = later.scope() == Outcome.Scope.CUSTOMER;
                    after(later.after(), head.tries, patient, () -> ready(lane));
                } else {
                    lane.waiting.remove();
                    if (lane.waiting.isEmpty()) lanes.remove(lane.key);
                    else ready.add(lane);
                }
                // A look-up of its own that failed says nothing of how the others would fare.
                boolean onItsMerits = !(outcome instanceof Outcome.RetryLater later)
                        || later.scope() == Outcome.Scope.CUSTOMER;
                if (limit == 1 && onItsMerits) {
                    LOG.log(INFO, () -> name + " takes messages again");
                    limit = WORKERS;
                    pauses = 0;
                }
                go();
            }

            private void pause(Outcome.RetryLater later) {
                if (pauses++ == 0) LOG.log(WARNING, () -> name + " is paused for all customers: " + later.reason());
                limit = 0;
                reason = later.reason();
                longPause = later.after().compareTo(timing.notifyAgentAfter()) > 0;
                after(later.after(), pauses, true, () -> {
                    limit = 1;
                    go();
                });
            }

            Optional<String> trouble() {
                if (limit < WORKERS && (pauses > 1 || longPause)) return Optional.of(name + " takes no messages: "
                        + reason);
                return lanes.values().stream().filter(lane -> lane.destination == this
                        && (waitsLong(lane) || misconfigured(lane)))
                        .min(ready.comparator()).map(lane -> "messages to " + name + " wait: " + lane.head().trouble
                                .map(Outcome.RetryLater::reason).orElse("their turn has not come yet"));
            }

            private boolean misconfigured(Lane lane) {
                return lane.head().trouble.filter(later -> later.scope() == Outcome.Scope.CUSTOMER).isPresent();
            }

            /** Backoff, exponential with full jitter: many lanes that failed together do not come back together. */
            private void after(Duration asked, int tries, boolean patient, Runnable then) {
                if (stopping) return;
                long longest = timing.maxBackoff().toMillis() * (patient ? PATIENT : 1);
                long ceiling = Math.min(longest, timing.initialBackoff().toMillis() << Math.min(tries - 1, 20));
                clock.schedule(() -> {
                    synchronized (Relay.this) {
                        then.run();
                    }
                }, Math.max(asked.toMillis(), ThreadLocalRandom.current().nextLong(ceiling + 1)),
                        TimeUnit.MILLISECONDS);
            }
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 7. Flex: a customer's live conversation is found or opened, and the message posted. Every step can be repeated
    //    after a failure at any point. The state of record is at Twilio; what is remembered here saves calls.

    /** The two generations of Flex: rows of one table. */
    enum FlexApi {
        /**
         * Flex Conversations and Interactions, the current generation (Twilio, "Conversations API" and "Interactions
         * API").
         */
        CONVERSATIONS("conversations", "/v1/Services/%s/Conversations/", "Author", "/author", "/unique_name",
                "twitter-([0-9]{1,19})-[0-9]{1,8}",
                conversation -> conversation.path("state").asText().equals("closed"),
                Form.of("Target", "webhook", "Configuration.Method", "post", "Configuration.Filters", "onMessageAdded",
                        "Configuration.Filters", "onConversationStateUpdated")),
        /**
         * Programmable Chat with Flex Flows, the original's. Twilio calls it at its end (June 2026); accounts that have
         * it use it.
         */
        CHAT("chat", "/v2/Services/%s/Channels/", "From", "/from", "/friendly_name", "([0-9]{1,19})",
                channel -> jsonOrMissing(channel.path("attributes").asText()).path("status").asText()
                        .equals("INACTIVE"),
                Form.of("Type", "webhook", "Configuration.Method", "POST", "Configuration.Filters", "onMessageSent",
                        "Configuration.Filters", "onMediaMessageSent", "Configuration.Filters", "onChannelUpdated",
                        "Configuration.RetryCount", "3"));

        final String product;
        final String path;
        /** The parameter that names a message's author, and the field of an answer that does. */
        final String author;
        /** The field of a conversation that tells the customer's id, and how. */
        final String owner;
        final Pattern customer;
        final Form webhook;
        final Promise conversation;
        final Promise messages;
        /** Whether a conversation is over for good. */
        final Predicate<JsonNode> over;

        FlexApi(String product, String path, String author, String authorField, String owner, String customer,
                Predicate<JsonNode> over, Form webhook) {
            this.product = product;
            this.path = path;
            this.author = author;
            this.owner = owner;
            this.customer = Pattern.compile(customer);
            this.over = over;
            this.webhook = webhook;
            conversation = Promise.fields("/sid", Promise.CONVERSATION, owner, "(?s).*", "/date_updated", Promise.TIME);
            messages = Promise.list("messages",
                    Promise.fields("/sid", Promise.MESSAGE, authorField, "(?s).+", "/date_created",
                    Promise.TIME).and(Promise.json("/attributes")).and(Promise.number("/index")));
        }
    }

    static final class Flex {
        /**
         * Bytes of a message's body, in UTF-8 (Twilio, "Conversations limits"). X's 10,000 characters can be 40,000
         * bytes.
         */
        static final int MAX_BODY = 32 * 1024;
        /**
         * Conversation unique name exists; participant exists; its channel is being made (Twilio, "Error and warning
         * dictionary").
         */
        private static final int TAKEN = 50353, ALREADY_IN = 50433, ALREADY_ASKED = 45353;
        /** A conversation, or a channel, has five webhooks, and Twilio takes no more. */
        private static final Set<Integer> NO_ROOM = Set.of(50361, 50321);
        /** A file that no message can have. */
        private static final int BAD_MEDIA = 50512;

        private static final Promise LISTED =
                Promise.list("conversations", Promise.fields("/conversation_sid", Promise.CONVERSATION,
                "/conversation_state", Promise.STATE, "/conversation_unique_name", "(?s).*",
                "/conversation_date_updated", Promise.TIME));
        private static final Promise NAMED =
                Promise.fields("/sid", Promise.CONVERSATION, "/state", Promise.STATE, "/date_updated",
                Promise.TIME);
        private static final Promise WEBHOOKS = Promise.list("webhooks", Promise.fields("/sid", Promise.WEBHOOK)
                .and(Promise.fields("/configuration/url", "https?://\\S+").or(Promise.fields("/target", "studio"))
                        .or(Promise.fields("/type", "studio"))));
        private static final Promise POSTED = Promise.fields("/sid", Promise.MESSAGE);
        private static final Promise TASKS =
                Promise.list("tasks", Promise.fields("/sid", Promise.TASK, "/assignment_status", "[a-z]+"));
        /** States of a task that an agent has or can still get (TaskRouter, "Task lifecycle"). */
        private static final Set<String> TAKEABLE = Set.of("pending", "reserved", "assigned", "wrapping");

        private final Twilio twilio;
        private final Settings settings;
        private final NumberedLists lists;
        private final Journal journal;
        private final Timing timing;
        private final Media media;
        private final FlexApi api;
        /** Each customer's live conversation; losing an entry costs a few calls. */
        private final Map<String, Known> openConversations = lruCache();
        /** Conversations without room for our webhook, by customer: replies written there do not reach the bridge. */
        private final Map<String, Known> deaf = lruCache();

        /** @param checked when it was last known to be so, in {@link System#nanoTime} */
        private record Known(String sid, long checked) {
            static final Known NONE = new Known("", 0);

            static Known now(String sid) { return new Known(sid, System.nanoTime()); }
            boolean isOlderThan(Duration age) { return System.nanoTime() - checked > age.toNanos(); }
        }

        Flex(Twilio twilio, Settings settings, NumberedLists lists, Journal journal, Timing timing, Media media) {
            this.media = media;
            this.twilio = twilio;
            this.settings = settings;
            this.lists = lists;
            this.journal = journal;
            this.timing = timing;
            api = settings.get(FLEX_API).equals("chat") ? FlexApi.CHAT : FlexApi.CONVERSATIONS;
            for (Conversation open : journal.conversations()) {
                Duration age = Duration.between(open.checked(), Instant.now());
                // A clock that was set back must not make it fresh.
                Duration known = age.isNegative() ? timing.quietAfter() : age;
                openConversations.put(open.customer(), new Known(open.sid(), System.nanoTime() - known.toNanos()));
            }
        }

        /**
         * Posts a customer's message into their live conversation, which is opened if there is none; a note where it
         * belongs.
         */
        Outcome deliver(Delivery delivery) {
            Message message = delivery.message;
            if (message.direction() == Direction.NOTE) return post(delivery, Opening.known(message.conversation()));
            // Where an earlier try may have left it before an agent is looked at first, be it ended since.
            if (delivery.lookFirst && delivery.beforeAgent) {
                Outcome posted = post(delivery, Opening.found(delivery.conversation));
                if (!posted.conversationClosed()) return posted;
            }
            return api == FlexApi.CHAT ? deliver(delivery, channel(message)) : deliverToConversation(delivery);
        }

        private Outcome deliver(Delivery delivery, Opening opening) {
            String customer = delivery.message.customer();
            if (opening.failure().isPresent()) return opening.failure().get();
            Outcome posted = post(delivery, opening);
            if (posted.conversationClosed()) {
                return new Outcome.RetryLater("it was closed while it was opened", Duration.ZERO, Outcome.Scope.MESSAGE,
                        false);
            }
            if (posted instanceof Outcome.Delivered && !opening.taskSeen()) {
                Response tasks = tasks(opening.sid());
                if (!tasks.ok()) return notOpened(tasks);
                // It takes Flex some seconds as a rule; if it goes on, something is wrong with the workflow.
                Outcome.Scope scope = delivery.tries > 8 ? Outcome.Scope.CUSTOMER : Outcome.Scope.MESSAGE;
                if (!canBeTaken(tasks)) return new Outcome.RetryLater("posted, but Flex has made no task of it yet",
                        Duration.ZERO, scope, false);
            }
            if (!(posted instanceof Outcome.Delivered delivered)) return posted;
            Known before = openConversations.put(customer, Known.now(opening.sid()));
            boolean fresh = opening.looked() && journal.conversation(opening.sid()).isEmpty();
            if (fresh) adopt(opening.sid(), customer, -1);
            boolean told = before != null && before.sid().equals(opening.sid());
            return told || !opening.sid().equals(deaf.getOrDefault(customer, Known.NONE).sid()) ? posted
                    : new Outcome.Delivered(delivered.id(), UNHEARD);
        }

        /**
         * One call for a message in a known conversation, seven for the first message of a new customer, five for the
         * first in a conversation that another process has opened.
         */
        private Outcome deliverToConversation(Delivery delivery) {
            String customer = delivery.message.customer();
            Known known = openConversations.getOrDefault(customer, Known.NONE);
            if (!known.sid().isEmpty() && known.isOlderThan(timing.quietAfter())) {
                Response tasks = tasks(known.sid());
                if (!tasks.ok()) return notOpened(tasks);
                known = Known.now(canBeTaken(tasks) ? known.sid() : "");
                openConversations.put(customer, known);
                journal.conversation(known.sid()).ifPresent(open -> adopt(open.sid(), customer, open.index()));
            }
            if (!known.sid().isEmpty()) {
                Outcome posted = post(delivery, Opening.known(known.sid()));
                if (!posted.conversationClosed()) return posted;
            }
            openConversations.remove(customer);
            return deliver(delivery, open(delivery.message));
        }

        /**
         * A conversation to post into, or why there is none yet.
         *
         * @param looked whether nothing of this message can be in it that this process has not seen
         * @param taskSeen whether it is known to be before an agent, so that the message will be read
         * @param inactive whether an agent has left it, to come back when somebody writes
         */
        private record Opening(String sid, boolean looked, boolean taskSeen, boolean inactive,
                Optional<Outcome> failure) {
            static Opening known(String sid) { return new Opening(sid, true, true, false, Optional.empty()); }
            static Opening found(String sid) { return new Opening(sid, false, true, false, Optional.empty()); }
            static Opening parked(String sid) { return new Opening(sid, false, true, true, Optional.empty()); }
            static Opening opened(String sid, boolean fresh, boolean taskSeen) {
                return new Opening(sid, fresh, taskSeen, false, Optional.empty());
            }
            static Opening failed(Response answer) {
                return new Opening("", false, false, false, Optional.of(notOpened(answer)));
            }
        }

        /**
         * A refused step of opening says nothing of the message, but something of our configuration: the customer
         * waits.
         */
        private static Outcome notOpened(Response answer) {
            return answer.outcome() instanceof Outcome.RetryLater later
                    ? new Outcome.RetryLater(later.reason(), later.after(), later.scope(), false)
                    : new Outcome.RetryLater("no conversation can be opened: " + answer.sentence(), Duration.ZERO,
                            Outcome.Scope.CUSTOMER, false);
        }

        /**
         * The unique name {@code twitter-<customer>-<n>} is the lock: n counts the customer's conversations, so all who
         * want to open the next one ask for the same name, and one of them gets it. The others are told 409 and join.
         */
        private Opening open(Message message) {
            AtomicInteger free = new AtomicInteger();
            List<JsonNode> open = new ArrayList<>();
            String theirs = service() + "/ParticipantConversations?Identity=" + identity(message.customer());
            Response listed = twilio.pages("conversations", theirs, "conversations", LISTED, page -> {
                for (JsonNode known : page) {
                    Matcher name = NAME.matcher(known.path("conversation_unique_name").asText());
                    // Not their number: some may have been deleted.
                    if (name.matches()) free.accumulateAndGet(Integer.parseInt(name.group(1)) + 1, Math::max);
                    if (!known.path("conversation_state").asText().equals("closed")) open.add(known);
                }
                return open.isEmpty();
            });
            if (!listed.ok()) return Opening.failed(listed);
            for (JsonNode known : open) {
                Optional<Opening> live = resume(listed, known, "conversation_", message);
                if (live.isPresent()) return live.get();
            }
            // Names of closed conversations stay taken; one that was joined by nobody yet shows only here.
            for (int n = free.get(); n <= free.get() + 20; n++) {
                Response next = create(message, n);
                if (next.ok()) return complete(next.body().path("sid").asText(), message, true);
                if (next.code() != TAKEN) return Opening.failed(next);
                Response taken = twilio.get(api.product, path(identity(message.customer()) + "-" + n), NAMED);
                if (!taken.ok()) return Opening.failed(taken);
                Optional<Opening> live = resume(taken, taken.body(), "", message);
                if (live.isPresent()) return live.get();
            }
            return new Opening("", false, false, false,
                    Optional.of(new Outcome.RetryLater("no free name for a conversation",
                    Duration.ZERO, Outcome.Scope.CUSTOMER, false)));
        }

        private static final Pattern NAME = Pattern.compile("twitter-[0-9]{1,19}-([0-9]{1,8})");

        private Response create(Message message, int n) {
            return twilio.post("conversations", service()
                    + "/Conversations", Promise.fields("/sid", Promise.CONVERSATION),
                    Form.of("UniqueName", identity(message.customer()) + "-" + n, "FriendlyName", message.title(),
                            "Attributes", object().put("customer", message.customer()).toString()));
        }

        /**
         * What becomes of a conversation that is there already. It is live while an agent has left it and comes back
         * (inactive, or put aside by a webhook of somebody's own), or while it has a task that an agent can take. One
         * without such a task, but touched a moment ago or still empty, is being opened: every step is done again, as
         * each can be done twice. Or nobody will read it any more: its task timed out, was cancelled or never came.
         * Then it is closed.
         *
         * @param answer in which {@code conversation} stood, with its field names prefixed
         * @return empty if it is over
         */
        private Optional<Opening> resume(Response answer, JsonNode conversation, String prefix, Message message) {
            String sid = conversation.path(prefix + "sid").asText();
            String state = conversation.path(prefix + "state").asText();
            if (state.equals("closed")) return Optional.empty();
            Hook hook = hook(sid, message.customer(), false);
            if (!hook.answer().ok()) return Optional.of(Opening.failed(hook.answer()));
            if (state.equals("inactive") || hook.parked()) return Optional.of(Opening.parked(sid));
            Response tasks = tasks(sid);
            if (!tasks.ok()) return Optional.of(Opening.failed(tasks));
            if (canBeTaken(tasks)) return Optional.of(Opening.found(sid));
            Instant touched = time(conversation.path(prefix + "date_updated").asText());
            boolean touchedJustNow = Duration.between(touched, answer.date()).compareTo(timing.takeOverAfter()) < 0;
            Response written = touchedJustNow ? Response.NONE
                    : twilio.get(api.product, path(sid) + "/Messages?PageSize=1", api.messages);
            if (!touchedJustNow && !written.ok()) return Optional.of(Opening.failed(written));
            if (written.body().path("messages").isEmpty()) return Optional.of(complete(sid, message, false));
            LOG.log(WARNING, () -> "conversation " + sid
                    + " has no task that an agent could take: it is closed, and another opened");
            Response closed = twilio.post(api.product, path(sid), Promise.ANYTHING, Form.of("State", "closed"));
            return closed.ok() || closed.outcome().conversationClosed() ? Optional.empty()
                    : Optional.of(Opening.failed(closed));
        }

        /** Participant, webhook, task: Twilio lets none of them be there twice. */
        private Opening complete(String sid, Message message, boolean fresh) {
            Response joined = twilio.post(api.product, path(sid)
                    + "/Participants", Promise.fields("/sid", Promise.PARTICIPANT),
                    Form.of("Identity", identity(message.customer())));
            if (!joined.ok() && joined.code() != ALREADY_IN) return Opening.failed(joined);
            if (fresh) {
                lists.learn(message.customer(), JSON.missingNode());
                Hook hook = hook(sid, message.customer(), true);
                if (!hook.answer().ok()) return Opening.failed(hook.answer());
            }
            Response asked = twilio.post("flex-api", "/v1/Interactions", Promise.fields("/sid", Promise.INTERACTION),
                    Form.of("Channel", channel(sid).toString(), "Routing", routing(message).toString()));
            if (!asked.ok() && asked.code() != ALREADY_ASKED) return Opening.failed(asked);
            // Accepted is not done: only where the answer names its task is that known to be there.
            boolean taskSeen = asked.body().at("/routing/properties/sid").asText().matches(Promise.TASK);
            return Opening.opened(sid, fresh, taskSeen);
        }

        private Response tasks(String sid) {
            return twilio.get("taskrouter", "/v1/Workspaces/" + settings.get(FLEX_WORKSPACE_SID)
                    + "/Tasks?EvaluateTaskAttributes="
                    + Form.escape("conversationSid == \"" + sid + "\""), TASKS);
        }

        private static boolean canBeTaken(Response tasks) {
            return tasks.body().path("tasks").valueStream()
                    .anyMatch(task -> TAKEABLE.contains(task.path("assignment_status").asText()));
        }

        private static ObjectNode channel(String sid) {
            ObjectNode channel = object().put("type", "web").put("initiated_by", "customer");
            channel.putObject("properties").put("media_channel_sid", sid);
            return channel;
        }

        /** What the agent sees of the customer before the first word. */
        private ObjectNode routing(Message message) {
            ObjectNode routing = object();
            routing.putObject("properties").put("workspace_sid", settings.get(FLEX_WORKSPACE_SID))
                    .put("workflow_sid", settings.get(FLEX_WORKFLOW_SID))
                    .put("task_channel_unique_name", settings.get(FLEX_TASK_CHANNEL)).putObject("attributes")
                    .put("from", "@" + message.handle())
                    .put("name", message.title()).put("customerName", message.name())
                    .put("customerAddress", identity(message.customer()))
                    .put("customerId", message.customer()).put("handle", message.handle())
                    .put("customChannel", "twitter")
                    .put("profile", "https://x.com/i/user/" + message.customer());
            return routing;
        }

        /**
         * Programmable Chat: two calls for a message in a known chat, five for the first of a chat. Creating the
         * channel is asked for every time: it gives back the customer's channel while that is active, and a new one
         * after the agent has ended it.
         */
        private Opening channel(Message message) {
            String customer = message.customer();
            Response opened = twilio.post("flex-api", "/v1/Channels", Promise.fields("/sid", Promise.CONVERSATION),
                    Form.of("FlexFlowSid", settings.get(FLEX_FLOW_SID), "Identity", identity(customer),
                    "ChatUserFriendlyName", cut(message.title(), 64), "ChatFriendlyName", customer,
                    "Target", "@" + message.handle()));
            if (!opened.ok()) return Opening.failed(opened);
            String sid = opened.body().path("sid").asText();
            if (sid.equals(openConversations.getOrDefault(customer, Known.NONE).sid())) return Opening.known(sid);
            Hook hook = hook(sid, customer, false);
            if (!hook.answer().ok()) return Opening.failed(hook.answer());
            // Where no webhook of ours was, no message of ours is.
            if (hook.added()) lists.learn(customer, JSON.missingNode());
            return Opening.opened(sid, hook.added(), true);
        }

        /**
         * @param parked whether somebody else's webhook waits for the next message, as Twilio's template for parked
         *     chats has it
         * @param added whether none of ours was there, and no other bridge has added one at the same moment
         */
        private record Hook(Response answer, boolean parked, boolean added) {
            static Hook failed(Response answer) { return new Hook(answer, false, false); }
        }

        /**
         * Makes sure that exactly one webhook of the bridge hangs on a conversation, at today's public URL. Two bridges
         * may both see that there is none and both add one; so each lists them again after adding, and all but the
         * first are removed.
         *
         * @param fresh whether there is surely none yet
         */
        private Hook hook(String sid, String customer, boolean fresh) {
            String webhooks = path(sid) + "/Webhooks";
            String url = settings.fromFlexUrl(customer);
            Response listed = fresh ? Response.NONE : twilio.get(api.product, webhooks + "?PageSize=5", WEBHOOKS);
            if (!fresh && !listed.ok()) return Hook.failed(listed);
            List<JsonNode> ours = ours(listed, url);
            String added = "";
            if (ours.isEmpty()) {
                Response posted = twilio.post(api.product, webhooks, Promise.fields("/sid", Promise.WEBHOOK),
                        api.webhook.and(Form.of("Configuration.Url", url)));
                boolean full = NO_ROOM.contains(posted.code());
                if (!posted.ok() && !full) return Hook.failed(posted);
                added = posted.body().path("sid").asText();
                if (full && deaf.put(customer, Known.now(sid)) == null) LOG.log(ERROR, () -> DEAF + ": " + sid);
                listed = twilio.get(api.product, webhooks + "?PageSize=5", WEBHOOKS);
                if (!listed.ok()) return Hook.failed(listed);
                ours = ours(listed, url);
            }
            if (!ours.isEmpty()) deaf.remove(customer);
            for (JsonNode surplus : ours.subList(Math.min(1, ours.size()), ours.size())) {
                Response removed = twilio.delete(api.product, webhooks + "/" + surplus.path("sid").asText());
                if (!removed.ok() && removed.status() != 404) return Hook.failed(removed);
            }
            boolean moved = !ours.isEmpty() && !ours.get(0).at("/configuration/url").asText().equals(url);
            Response last = !moved ? listed
                    : twilio.post(api.product, webhooks + "/" + ours.get(0).path("sid").asText(),
                    Promise.fields("/sid", Promise.WEBHOOK), Form.of("Configuration.Url", url));
            boolean parked = listed.body().path("webhooks").valueStream().anyMatch(hook -> !isOurs(hook, url)
                    && hook.at("/configuration/filters").toString().contains("onMessageAdded"));
            boolean first = !ours.isEmpty() && ours.get(0).path("sid").asText().equals(added);
            return new Hook(last, parked, first);
        }

        private static final String UNHEARD =
                "Your replies cannot reach the customer from here: this conversation has five webhooks,"
                + " as many as Twilio takes, and none of them is the bridge's.";
        private static final String DEAF = "a conversation has no room for the bridge's webhook (Twilio takes five):"
                + " what agents write there does not reach the customer";

        /**
         * The one that is right already stays first; with equals the order of listing decides, the same for every
         * bridge.
         */
        private static List<JsonNode> ours(Response listed, String url) {
            List<JsonNode> ours = new ArrayList<>();
            listed.body().path("webhooks").valueStream().filter(hook -> isOurs(hook, url)).forEach(ours::add);
            ours.sort(Comparator.comparing(hook -> !hook.at("/configuration/url").asText().equals(url)));
            return ours;
        }

        /** With our parameter, at whatever address, or without it as the original registered it. */
        private static boolean isOurs(JsonNode hook, String url) {
            String known = hook.at("/configuration/url").asText();
            return known.endsWith(url.substring(url.indexOf("/fromFlex?"))) || known.endsWith("/fromFlex");
        }

        /**
         * Posts a message, in parts if it is too long for one. Each is marked with the message's id: after a failure,
         * or when this process meets a conversation for the first time, the marks tell which parts have arrived.
         */
        private Outcome post(Delivery delivery, Opening opening) {
            Message message = delivery.message;
            boolean note = message.direction() == Direction.NOTE;
            String messages = path(opening.sid()) + "/Messages";
            if (!opening.sid().equals(delivery.conversation)) delivery.parts = 0;
            delivery.conversation = opening.sid();
            delivery.beforeAgent = opening.taskSeen();
            if (delivery.lookFirst || !opening.looked() || !note && lists.mayBeAnswer(message)) {
                Set<String> bridges = new HashSet<>();
                Response found = look(delivery, messages, bridges);
                if (!found.ok()) return found.outcome() instanceof Outcome.Refused refused
                        && !refused.conversationClosed() ? notOpened(found) : found.outcome();
                // Another that goes first by its name, or that opens this conversation at this moment.
                String own = journal.name();
                boolean another = bridges.stream().anyMatch(name -> !name.isEmpty() && name.compareTo(own) < 0)
                        || bridges.isEmpty() && !opening.looked();
                if (delivery.attempted && another && delivery.parts == 0 && !delivery.yielded) {
                    delivery.yielded = true;
                    return new Outcome.RetryLater("another bridge may be delivering it", timing.callTimeout(),
                            Outcome.Scope.MESSAGE, false);
                }
                delivery.lookFirst = false;
            }
            NumberedLists.Read read = note ? new NumberedLists.Read(message.text(), false) : lists.read(message);
            List<Attachment> files = message.files();
            String text = message.words(read.text(), "\n");
            List<String> parts = split(text.isEmpty() && files.isEmpty() ? "(a message without text)" : text, MAX_BODY,
                    Bridge::utf8Length);
            while (delivery.parts < parts.size() + files.size()) {
                ObjectNode attributes = object().put("x_dm_id", message.id()).put("part", delivery.parts + 1)
                        .put(BRIDGE, journal.name());
                if (!message.answer().isEmpty()) attributes.put("quick_reply_metadata", message.answer());
                if (read.chosen()) attributes.put("chosen_by", message.text().strip());
                Form form = Form.of(api.author, note ? NOTE_AUTHOR : identity(message.customer()),
                        "Attributes", attributes.toString());
                // REST calls fire no webhooks by default. In Programmable Chat the flow hears of a chat by them, and so
                // does whatever wakes a conversation that an agent has left.
                Function<Form, Response> post = content -> twilio.post(api.product, messages, POSTED, form.and(content),
                        !note && (api == FlexApi.CHAT || opening.inactive()));
                Response posted;
                if (delivery.parts < parts.size()) {
                    posted = post.apply(Form.of("Body", parts.get(delivery.parts)));
                } else {
                    Attachment file = files.get(delivery.parts - parts.size());
                    Outcome carried = media.toFlex(delivery, file);
                    if (carried instanceof Outcome.RetryLater) return carried;
                    posted = carried instanceof Outcome.Delivered there ? post.apply(Form.of("MediaSid", there.id()))
                            : Response.NONE;
                    String why = carried instanceof Outcome.Refused refused ? refused.reason()
                            : posted.code() == BAD_MEDIA ? posted.sentence() : "";
                    String told = cut(file.text() + " (" + why + ")", 8_000);
                    if (!why.isEmpty()) posted = post.apply(Form.of("Body", told));
                }
                if (!posted.ok()) return posted.outcome();
                delivery.arrived(posted.body().path("sid").asText());
            }
            if (read.chosen()) lists.answered(message.customer());
            return new Outcome.Delivered(delivery.lastId, "");
        }

        /**
         * Goes back through the conversation until a part of the message is found, or what is older than the message.
         *
         * @param bridges is told whose names stand on the newest page
         */
        private Response look(Delivery delivery, String messages, Set<String> bridges) {
            Message message = delivery.message;
            AtomicInteger pages = new AtomicInteger();
            return twilio.pages(api.product, messages + "?Order=desc&PageSize=100", "messages", api.messages, page -> {
                if (pages.getAndIncrement() == 0 && message.direction() != Direction.NOTE) {
                    lists.learn(message.customer(), page);
                    page.forEach(posted -> bridges.add(mark(posted).path(BRIDGE).asText()));
                    adopt(delivery.conversation, message.customer(), page);
                }
                for (JsonNode posted : page) {
                    JsonNode mark = mark(posted);
                    if (mark.path("x_dm_id").asText().equals(message.id())) {
                        delivery.parts = Math.max(delivery.parts, mark.path("part").asInt());
                        delivery.mayHaveArrived = false;
                        return false;
                    }
                    if (written(posted).isBefore(delivery.lookFrom())) return false;
                }
                return true;
            });
        }

        /** A reply from a webhook without our parameter names no customer: the conversation itself is asked. */
        Outcome forItsCustomer(Delivery delivery, BiFunction<Delivery, String, Outcome> deliver) {
            if (!delivery.message.customer().isEmpty()) return deliver.apply(delivery, delivery.message.customer());
            Response answer = twilio.get(api.product, path(delivery.message.conversation()), api.conversation);
            if (!answer.ok()) return answer.outcome().forThisMessageOnly();
            Matcher id = api.customer.matcher(answer.body().at(api.owner).asText());
            return id.matches() ? deliver.apply(delivery, id.group(1))
                    : new Outcome.Refused("this conversation does not tell which X user it belongs to", false);
        }

        void ended(String customer, String conversation) {
            openConversations.computeIfPresent(customer, (id, known) -> known.sid().equals(conversation) ? null
                    : known);
            deaf.computeIfPresent(customer, (id, known) -> known.sid().equals(conversation) ? null : known);
        }

        Optional<String> trouble() {
            synchronized (deaf) {
                // Without our webhook nothing tells when it ends: after an hour it is no news any more.
                deaf.values().removeIf(known -> known.isOlderThan(Duration.ofHours(1)));
                return deaf.values().stream().map(Known::sid).reduce((one, more) -> one + ", " + more)
                        .map(sids -> DEAF + ": " + sids);
            }
        }

        /** From now on a conversation is read that another bridge has opened, or another process: one call. */
        void meet(String sid, String customer) {
            Response newest = twilio.get(api.product, newestOf(sid), api.messages);
            if (newest.ok()) adopt(sid, customer, newest.body().path("messages"));
        }

        private String newestOf(String sid) { return path(sid) + "/Messages?Order=desc&PageSize=50"; }

        /** Where all that the customer wrote was posted by this bridge, all that was answered is its own to deliver. */
        private void adopt(String sid, String customer, JsonNode newest) {
            if (journal.conversation(sid).isPresent()) return;
            boolean others = newest.valueStream()
                    .anyMatch(message -> author(message).equals(identity(customer)) && !isNamed(message));
            long first = newest.valueStream().filter(this::isNamed).mapToLong(Flex::index).min()
                    .orElse(index(newest.path(0)));
            adopt(sid, customer, others ? first : -1);
        }

        static Instant written(JsonNode message) { return time(message.path("date_created").asText()); }

        static String author(JsonNode message) {
            return message.path("author").asText(message.path("from").asText());
        }

        /** From now on it is read, past the message of this index. */
        private void adopt(String sid, String customer, long index) {
            journal.remember(new Conversation(sid, customer, settings.fromFlexUrl(customer), index, Instant.now()));
        }

        /**
         * Gives a conversation that had our former address the one of today: three calls.
         *
         * @return empty if its webhook has gone elsewhere: it has become another bridge's
         */
        Optional<Response> tell(Conversation open) {
            String sid = open.sid();
            String url = settings.fromFlexUrl(open.customer());
            if (open.url().equals(url)) return Optional.of(Response.DONE);
            Response hooks = twilio.get(api.product, path(sid) + "/Webhooks?PageSize=5", WEBHOOKS);
            List<String> urls = ours(hooks, url).stream().map(one -> one.at("/configuration/url").asText()).toList();
            if (!urls.isEmpty() && !urls.contains(open.url()) && !urls.contains(url)) return Optional.empty();
            Response told = hook(sid, open.customer(), false).answer();
            if (told.ok()) LOG.log(INFO, () -> "conversation " + sid + " is told the address " + settings.publicUrl());
            // One that is closed needs none; what was said there is read all the same.
            return Optional.of(told.outcome() instanceof Outcome.RetryLater ? told : Response.DONE);
        }

        /** The same conversation, with today's address, read up to there. */
        Conversation upTo(Conversation open, long index) {
            return new Conversation(open.sid(), open.customer(), settings.fromFlexUrl(open.customer()), index,
                    open.checked());
        }

        /**
         * Reads what is newer in a conversation than what is known of it: one call per fifty messages.
         *
         * @param newer is given them, the oldest first
         * @param bridges is given the names of those that have posted there
         */
        Response read(Conversation open, List<JsonNode> newer, Set<String> bridges) {
            return twilio.pages(api.product, newestOf(open.sid()), "messages", api.messages, page -> {
                if (newer.isEmpty()) lists.suppose(open.customer(), page);
                for (JsonNode message : page) {
                    bridges.add(mark(message).path(BRIDGE).asText());
                    if (index(message) > open.index()) newer.add(0, message);
                }
                return !page.isEmpty() && index(page.path(page.size() - 1)) > open.index();
            });
        }

        /** Asks whether nobody will write there any more: {@code over} is told. */
        Response state(String sid, Runnable over) {
            Response state = twilio.get(api.product, path(sid), api.conversation);
            if (state.ok() && api.over.test(state.body())) over.run();
            return state;
        }

        /** The name of the bridge in a message's attributes, and since when it asks whether another knows of it. */
        static final String BRIDGE = "bridge", ASKED = "asked";

        static JsonNode mark(JsonNode message) { return jsonOrMissing(message.path("attributes").asText()); }
        static long index(JsonNode message) { return message.path("index").asLong(-1); }

        private boolean isNamed(JsonNode message) {
            return mark(message).path(BRIDGE).asText().equals(journal.name());
        }

        /** Puts this bridge's name on a message, beside what is there. */
        Response name(JsonNode message, String sid, Instant now) {
            ObjectNode attributes = mark(message) instanceof ObjectNode there ? there.deepCopy() : object();
            attributes.put(BRIDGE, journal.name()).put(ASKED, now.toEpochMilli());
            return twilio.post(api.product, path(sid) + "/Messages/" + message.path("sid").asText(), Promise.ANYTHING,
                    Form.of("Attributes", attributes.toString()));
        }

        /**
         * What our account has sent and no reply of this bridge: one of another bridge is in the conversation too, else
         * a colleague wrote it in the X app, and the agent should know.
         */
        Outcome overheard(Delivery sent, X x) {
            Outcome.Delivered nothing = new Outcome.Delivered("", "");
            String sid = openConversations.getOrDefault(sent.message.customer(), Known.NONE).sid();
            if (sid.isEmpty() || x.isOurs(sent.message.id())) return nothing;
            boolean file = sent.message.text().isBlank();
            Instant at = sent.message.time(), before = at.minus(timing.quietAfter());
            AtomicBoolean ours = new AtomicBoolean();
            Response read = twilio.pages(api.product, newestOf(sid), "messages", api.messages, page -> {
                ours.set(page.valueStream().anyMatch(message -> file
                        ? isFile(message) && written(message).isAfter(before)
                        : x.isPartOf(message.path("body").asText(""), sent.message.text())));
                // A reply may have waited for X, but not for a day.
                return !ours.get() && written(page.path(page.size() - 1)).isAfter(at.minus(Journal.REMEMBERED));
            });
            if (!read.ok()) {
                return read.outcome() instanceof Outcome.RetryLater later ? later.forThisMessageOnly() : nothing;
            }
            sent.conversation = sid;
            String said = sent.message.words(sent.message.text(), " ");
            return ours.get() ? nothing : new Outcome.Delivered("", "A colleague wrote in the X app: " + said);
        }

        /** Of an agent, and just like one of theirs at X. */
        private static boolean isFile(JsonNode message) {
            return !message.path("media").isEmpty() && !mark(message).has("x_dm_id");
        }

        private String service() { return "/v1/Services/" + settings.get(FLEX_CHAT_SERVICE); }
        private String path(String conversation) {
            return api.path.replace("%s", settings.get(FLEX_CHAT_SERVICE)) + Form.escape(conversation);
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 8. X: one sender, the two APIs it speaks, and the lists that customers answer.

    /**
     * Sends Direct Messages. Both of X's APIs have JSON, 10,000 characters and a rate limit told in headers.
     */
    static final class X {
        static final String SERVICE = "X";
        /** Code points of one Direct Message. */
        static final int MAX_TEXT = 10_000;
        /** How far back a message is looked for, in pages: X allows 15 of them in 15 minutes. */
        private static final int MAX_PAGES = 10;
        /** How far back all that was missed is read: some 5,000 events. */
        private static final int MAX_BACKLOG = 50;

        private final XAccess access;
        private final Settings settings;
        private final NumberedLists lists;
        private final Journal journal;
        private final Media media;
        private final XApi api;
        /** When the rate limit allows more, in {@link System#nanoTime}. */
        private volatile long open = System.nanoTime();
        /** The last that X has told of what our account sent, free of charge; guarded by itself. */
        private final ArrayDeque<Sent> told = new ArrayDeque<>();
        private static final int MOST_TOLD = 1_000;
        /** The ids of what was sent since the start: the journal hears of them a moment later. */
        private final Map<String, String> own = lruCache();

        X(XAccess access, Settings settings, NumberedLists lists, Journal journal, Media media) {
            this.media = media;
            this.access = access;
            this.settings = settings;
            this.lists = lists;
            this.journal = journal;
            api = settings.get(TWITTER_API).equals("1.1") ? XApi.V1_1 : XApi.V2;
        }

        /** X's ids grow with time: as numbers, which no long can hold without care. */
        static final Comparator<String> BY_ID = Comparator.comparingInt(String::length)
                .thenComparing(Comparator.naturalOrder());

        /**
         * A message found at X. @param to who got it; @param text as it was before X shortened the links
         * @param file the id of what is attached, or empty
         */
        record Sent(String id, String to, String text, String file, Instant at) {
            static Sent of(JsonNode event) {
                JsonNode message = event.path("message_create"), data = message.path("message_data");
                List<Attachment> attached = FromX.attachments(data);
                return new Sent(event.path("id").asText(), message.at("/target/recipient_id").asText(),
                        FromX.text(data, attached), Attachment.id(attached),
                        Instant.ofEpochMilli(event.path("created_timestamp").asLong()));
            }
        }

        /** X has told that our account sent this. */
        void sent(Message message) {
            synchronized (told) {
                String file = Attachment.id(message.attachments());
                told.add(new Sent(message.id(), message.customer(), message.text(), file, message.time()));
                if (told.size() > MOST_TOLD) told.remove();
            }
        }

        /** Whether X gave this id to a message of this bridge. */
        boolean isOurs(String id) { return own.containsKey(id) || journal.knows(id); }

        /** Whether a Direct Message is what becomes of a part of this text. */
        boolean isPartOf(String text, String sent) {
            return parts(Rich.read(text)).stream().anyMatch(part -> bare(part).equals(bare(sent)));
        }

        private List<String> parts(Rich rich) {
            return split(api == XApi.V2 ? rich.plain() : rich.text(), MAX_TEXT, point -> 1);
        }

        /** Sends what an agent wrote to a customer, and looks first if an earlier try may have done so. */
        Outcome deliver(Delivery delivery, String customer) {
            Message message = delivery.message;
            boolean file = !message.attachments().isEmpty();
            if (!file && message.text().isBlank()) {
                return new Outcome.Refused("a message without text cannot be sent", false);
            }
            long closed = open - System.nanoTime();
            if (closed > 0) {
                Duration wait = Duration.ofNanos(closed);
                return new Outcome.RetryLater("X's rate limit is used up for " + wait.toSeconds() + " s more", wait,
                        Outcome.Scope.SERVICE, false);
            }
            Rich rich = Rich.read(message.text());
            List<String> parts = file ? List.of("") : parts(rich);
            if (delivery.lookFirst) {
                Response looked = look(delivery, customer, parts);
                if (!looked.ok()) return looked.outcome().forThisMessageOnly();
                delivery.lookFirst = false;
            }
            while (delivery.parts < parts.size()) {
                boolean last = delivery.parts == parts.size() - 1;
                boolean again = !delivery.uploaded.isEmpty();
                if (file && !again) {
                    Outcome carried = media.toX(delivery, message.attachments().get(0));
                    if (!(carried instanceof Outcome.Delivered there)) return carried;
                    delivery.uploaded = there.id();
                    journal.uploaded(delivery);
                }
                ObjectNode body = body(customer, parts.get(delivery.parts), last ? rich : Rich.read(""),
                        delivery.uploaded);
                Response sent = access.call(access.request(api.send.formatted(customer), Form.of())
                        .header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(body.toString())), api.sent);
                open = System.nanoTime() + sent.untilReset().toNanos();
                // Said already, by a try whose answer was lost and whose message is not listed yet.
                boolean repeated = delivery.mayHaveArrived && (file ? sent.sentAlready() : sent.saidAlready());
                if (!sent.ok() && !repeated && again && sent.outcome() instanceof Outcome.Refused) {
                    // Perhaps its file is too old by now: it is carried once more.
                    delivery.uploaded = "";
                    return new Outcome.RetryLater(sent.sentence(), Duration.ZERO, Outcome.Scope.MESSAGE, false);
                }
                if (!sent.ok() && !repeated) return sent.outcome();
                delivery.arrived(repeated ? delivery.lastId : sent.body().at(api.id).asText());
                own.put(delivery.lastId, "");
                if (!last) journal.arrived(delivery);
            }
            if (!file) lists.sent(customer, rich);
            return new Outcome.Delivered(delivery.lastId, rich.complaint());
        }

        /** @param file what X calls it, or empty where the message is a text */
        private ObjectNode body(String customer, String text, Rich rich, String file) {
            if (api == XApi.V1_1) return event(customer, text, rich, file);
            ObjectNode body = object();
            if (file.isEmpty()) body.put("text", text);
            else body.putArray("attachments").addObject().put("media_id", file);
            return body;
        }

        /** Counts as arrived the parts that X has told of, or lists when it is asked. */
        private Response look(Delivery delivery, String customer, List<String> parts) {
            List<Sent> found;
            synchronized (told) {
                found = new ArrayList<>(told);
            }
            match(delivery, found, customer, parts);
            if (delivery.parts == parts.size()) return Response.DONE;
            found.clear();
            Response page = Response.NONE;
            String cursor = "";
            for (int pages = 0; pages < MAX_PAGES; pages++) {
                page = list(api.list.formatted(customer), cursor, api.most, customer);
                if (!page.ok()) return page;
                List<Sent> read = api.events(page.body(), customer, false).stream().map(Sent::of).toList();
                found.addAll(read);
                cursor = page.body().at(api.nextPage).asText("");
                if (cursor.isEmpty() || read.stream().anyMatch(sent -> sent.at().isBefore(delivery.lookFrom()))) break;
            }
            match(delivery, found, customer, parts);
            return page;
        }

        private Response list(String path, String cursor, int most, String customer) {
            return access.call(access.request(path, api.query(cursor, most)), api.listed(customer));
        }

        /** What arrived before is settled under its own id; each message found counts for one part. */
        private void match(Delivery delivery, List<Sent> found, String customer, List<String> parts) {
            found.removeIf(sent -> !sent.to().equals(customer) || sent.at().isBefore(delivery.lookFrom())
                    || isOurs(sent.id()) || delivery.parts > 0 && BY_ID.compare(sent.id(), delivery.lastId) <= 0);
            found.sort(Comparator.comparing(Sent::id, BY_ID));
            while (delivery.parts < parts.size()) {
                String part = bare(parts.get(delivery.parts)), file = delivery.uploaded;
                // Another bridge knows by which id it has sent a file.
                boolean any = file.isEmpty() && !delivery.message.attachments().isEmpty();
                Optional<Sent> same = found.stream().filter(sent -> file.isEmpty() ? bare(sent.text()).equals(part)
                        && any != sent.file().isEmpty() : sent.file().equals(file)).findFirst();
                if (same.isEmpty()) return;
                found.remove(same.get());
                delivery.arrived(same.get().id());
                own.put(same.get().id(), "");
            }
        }

        /** What was read so far of the events that no webhook brought; a page that fails is asked for again. */
        static final class Backlog {
            private final List<JsonNode> events = new ArrayList<>();
            private final ObjectNode users = object();
            private String cursor = "";
            private int pages;
            private boolean complete;

            boolean isNew() { return pages == 0; }
            Optional<Instant> newest() { return events.stream().map(event -> Sent.of(event).at()).findFirst(); }

            JsonNode asWebhook() {
                ObjectNode webhook = object().set("users", users);
                webhook.putArray("direct_message_events").addAll(events);
                return webhook;
            }
        }

        /** What the events say that were read, by the reader of webhooks. */
        FromX read(Backlog backlog) { return FromX.read(backlog.asWebhook(), settings.ownId()); }

        /**
         * Reads all events since then, the newest first. X wants to be paid for each, so the first
         * page is a small one: as a rule nothing was missed. (X could also send its webhooks again, but none that is
         * younger than half an hour, and without order.) X keeps them for 30 days.
         *
         * @return the last answer: {@code backlog} is complete if it is a good one
         */
        Response readBack(Instant since, Backlog backlog) {
            Response page = Response.DONE;
            while (!backlog.complete && page.ok()) {
                page = list(api.all, backlog.cursor, backlog.pages == 0 ? 5 : api.most, "");
                if (!page.ok()) return page;
                backlog.pages++;
                for (JsonNode event : api.events(page.body(), settings.ownId(), true)) {
                    boolean old = Sent.of(event).at().isBefore(since);
                    if (!old) backlog.events.add(event);
                    backlog.complete |= old;
                }
                page.body().at("/includes/users").forEach(user -> backlog.users.set(user.path("id").asText(), user));
                backlog.cursor = page.body().at(api.nextPage).asText("");
                backlog.complete |= backlog.cursor.isEmpty() || backlog.pages == MAX_BACKLOG;
            }
            return page;
        }

        /**
         * What X leaves of a text in its lists. It composes letters (NFC), has line feeds only, strips, and lists
         * "www.example.com" as "http://www.example.com/"; what nobody sees makes no other message either.
         */
        static String bare(String text) {
            String schemeless = seen(text, Normalizer.Form.NFC).replaceAll("(?i)https?://", "");
            return schemeless.replaceAll("/(?![\\p{L}\\p{N}])", "");
        }

        private static final Pattern INVISIBLE = Pattern.compile("[\\p{Cc}\\p{Cf}&&\\S]");
        private static final Pattern WHITE = Pattern.compile("(?U)\\s+");

        /** One space for all that is white, and nothing for what is invisible. */
        static String seen(String text, Normalizer.Form form) {
            String visible = INVISIBLE.matcher(Normalizer.normalize(text, form)).replaceAll("");
            return WHITE.matcher(visible).replaceAll(" ").strip();
        }

        private static final Pattern ID = Pattern.compile(Promise.NUMBER);

        /** Of an event, an account or a file. */
        static boolean isId(String text) { return ID.matcher(text).matches(); }

        /** The message of API 1.1, with its quick replies and buttons. */
        private static ObjectNode event(String customer, String text, Rich rich, String file) {
            ObjectNode event = object();
            ObjectNode create = event.putObject("event").put("type", "message_create").putObject("message_create");
            create.putObject("target").put("recipient_id", customer);
            ObjectNode data = create.putObject("message_data").put("text", text);
            if (!file.isEmpty()) {
                data.putObject("attachment").put("type", "media").putObject("media").put("id", file);
            }
            if (!rich.options().isEmpty()) {
                ArrayNode list = data.putObject("quick_reply").put("type", "options").putArray("options");
                for (Rich.Option option : rich.options()) {
                    // The metadata comes back with the customer's answer.
                    ObjectNode shown = list.addObject().put("label", option.label())
                            .put("metadata", "option_" + list.size());
                    if (!option.description().isEmpty()) shown.put("description", option.description());
                }
            }
            if (!rich.buttons().isEmpty()) {
                ArrayNode list = data.putArray("ctas");
                rich.buttons().forEach(button -> list.addObject().put("type", "web_url").put("label", button.label())
                        .put("url", button.url()));
            }
            return event;
        }
    }

    /** The two Direct Message APIs of X: rows of one table. {@code %s} is the customer's id. */
    enum XApi {
        /**
         * Today's: text only, so lists become numbered and buttons plain links (X API v2, "Manage Direct Messages").
         */
        V2("/2/dm_conversations/with/%s/messages", "/data/dm_event_id", "/2/dm_conversations/with/%s/dm_events",
                "/2/dm_events", "data", "max_results", 100,
                Form.of("event_types", "MessageCreate", "expansions", "attachments.media_keys,sender_id",
                        "dm_event.fields", "attachments,created_at,dm_conversation_id,entities,event_type,id,text",
                        "media.fields", "media_key,type,url,variants,preview_image_url"),
                "pagination_token", "/meta/next_token",
                Promise.fields("/id", Promise.NUMBER, "/sender_id", Promise.NUMBER, "/created_at", Promise.TIME,
                        "/text", Promise.TEXT)),
        /**
         * The original's, the only one with quick replies and buttons (X API v1.1, "direct_messages/events/new"). Its
         * list is that of all customers together: 50 may be the work of seconds.
         */
        V1_1("/1.1/direct_messages/events/new.json", "/event/id", "/1.1/direct_messages/events/list.json",
                "/1.1/direct_messages/events/list.json", "events", "count", 50, Form.of(), "cursor", "/next_cursor",
                Promise.fields("/id", Promise.NUMBER, "/message_create/sender_id", Promise.NUMBER,
                        "/message_create/target/recipient_id", Promise.NUMBER, "/created_timestamp", Promise.NUMBER,
                        "/message_create/message_data/text", Promise.TEXT));

        final String send;
        /** The field of the answer with the Direct Message's id. */
        final String id;
        final Promise sent;
        /** Where the messages of one customer are listed, and where those of all. */
        final String list;
        final String all;
        final String events;
        /** How many are asked for at a time, and how many at most. */
        final String count;
        final int most;
        final Form query;
        final String cursor;
        final String nextPage;
        final Promise event;

        XApi(String send, String id, String list, String all, String events, String count, int most, Form query,
                String cursor, String nextPage, Promise event) {
            this.send = send;
            this.id = id;
            sent = Promise.fields(id, Promise.NUMBER);
            this.list = list;
            this.all = all;
            this.events = events;
            this.count = count;
            this.most = most;
            this.query = query;
            this.cursor = cursor;
            this.nextPage = nextPage;
            this.event = event;
        }

        Form query(String from, int most) {
            Form page = query.and(Form.of(count, String.valueOf(most)));
            return from.isEmpty() ? page : page.and(Form.of(cursor, from));
        }

        /** A page of events: what we sent ourselves has a text, and an empty page says that it is meant. */
        Promise listed(String customer) {
            return page -> {
                JsonNode listed = page.path(events);
                int said = page.at("/meta/result_count").asInt(listed.isMissingNode() ? -1 : 0);
                if (listed.isEmpty()) return (listed.isArray() || listed.isMissingNode()) && said == 0;
                if (!listed.isArray() || !listed.valueStream().allMatch(event::keptBy)) return false;
                Stream<JsonNode> ours = events(page, customer, customer.isEmpty()).stream()
                        .filter(one -> one.at(RECIPIENT).asText().equals(customer));
                return ours.allMatch(one -> !X.Sent.of(one).text().isBlank()
                        || one.at("/message_create/message_data").has("attachment"))
                        && Promise.fields(nextPage, "|[!-~]+").keptBy(page);
            };
        }

        /** What is asked for of a single event of API 2. */
        static Form shown() {
            return new Form(V2.query.fields().stream().filter(one -> !one.getKey().equals("event_types")).toList());
        }

        private static final String RECIPIENT = "/message_create/target/recipient_id";

        /**
         * A page's events in the one shape that all webhooks have, too.
         *
         * @param other of whom they are: the customer, or our own account
         */
        List<JsonNode> events(JsonNode page, String other, boolean ofAll) {
            JsonNode media = page.at("/includes/media");
            return page.path(events).valueStream().map(one -> this == V2 ? asWebhook(one, other, ofAll, media) : one)
                    .toList();
        }

        static JsonNode asWebhook(JsonNode listed, String other, boolean ofAll, JsonNode media) {
            String sender = listed.path("sender_id").asText();
            // A conversation's id names both, the smaller one first; a group's names nobody, and is no customer's. With
            // one customer there is no group.
            String conversation = listed.path("dm_conversation_id").asText();
            boolean toOther = !sender.equals(other) && !(ofAll && X.isId(conversation));
            String recipient = toOther ? other : Stream.of(conversation.split("-"))
                    .filter(one -> !one.equals(sender)).findFirst().orElse("");
            ObjectNode event = object().put("type", "message_create").put("id", listed.path("id").asText())
                    .put("created_timestamp", String.valueOf(time(listed.path("created_at").asText()).toEpochMilli()));
            ObjectNode create = event.putObject("message_create").put("sender_id", sender);
            create.putObject("target").put("recipient_id", recipient);
            ObjectNode data = create.putObject("message_data").put("text", listed.path("text").asText(""));
            data.set("entities", listed.path("entities"));
            if (listed.has("attachments")) {
                JsonNode file = media.valueStream().filter(one -> one.path("media_key")
                        .equals(listed.at("/attachments/media_keys/0"))).findFirst().orElse(JSON.missingNode());
                ObjectNode shown = data.putObject("attachment").putObject("media");
                shown.put("type", file.path("type").asText("attachment"))
                        .put("id_str", file.path("media_key").asText().replaceFirst(".*_", ""))
                        .put("media_url_https", file.path("url").asText(file.path("preview_image_url").asText()));
                shown.putObject("video_info").set("variants", file.path("variants"));
                listed.at("/entities/urls").forEach(url -> {
                    String page = url.path("expanded_url").asText();
                    if (page.contains("/messages/media/")) shown.set("url", url.path("url"));
                    if (page.contains("/messages/media/")) shown.put("expanded_url", page);
                });
            }
            return event;
        }
    }

    /**
     * The numbered lists that stand in for quick replies: a customer's {@code 2}, or a label in any case, is read as
     * the label, as long as the list is the last thing they were sent. It is the agent's own message in the
     * conversation, so it is found there after a restart, or if another bridge sent it.
     */
    static final class NumberedLists {
        /** The labels each customer may choose from: none after prose, or a choice. Losing an entry costs a call. */
        private final Map<String, List<String>> last = lruCache();
        private static final Pattern NUMBER = Pattern.compile("#?(\\p{Nd}{1,2})[.)]?");
        private final boolean numbered;

        /** @param numbered false where X shows real quick replies, and nothing is to be read */
        NumberedLists(boolean numbered) {
            this.numbered = numbered;
        }

        record Read(String text, boolean chosen) { }
        void sent(String customer, Rich rich) { if (numbered) last.put(customer, labels(rich)); }
        void answered(String customer) { last.put(customer, List.of()); }

        /** Whether the conversation has to be looked at before this can be read. */
        boolean mayBeAnswer(Message message) {
            String typed = typed(message);
            return !typed.isEmpty() && (NUMBER.matcher(typed).matches() || last.get(message.customer()) == null);
        }

        /** @param newest the conversation's messages, the newest first */
        void learn(String customer, JsonNode newest) { last.put(customer, find(newest, customer)); }

        /** The same where nothing is known yet. */
        void suppose(String customer, JsonNode newest) {
            if (last.get(customer) == null) learn(customer, newest);
        }

        Read read(Message message) {
            List<String> labels = last.getOrDefault(message.customer(), List.of());
            List<String> known = labels.stream().map(NumberedLists::folded).toList();
            String typed = typed(message);
            Matcher number = NUMBER.matcher(typed);
            int index = known.indexOf(typed);
            if (index < 0 && number.matches()) index = position(Integer.parseInt(number.group(1)), known);
            return index < 0 ? new Read(message.text(), false) : new Read(labels.get(index), true);
        }

        /** What may be an answer, else empty. A character of a label may be typed as several: letter and accents. */
        private String typed(Message message) {
            String text = message.text().strip();
            return numbered && text.length() <= 4 * Rich.MAX_LABEL ? folded(text) : "";
        }

        /** @return -1 also if another label has the number in it: of "1 box, 2 boxes, 4 boxes, 6 boxes" 4 is not one */
        private static int position(int number, List<String> known) {
            Pattern word = Pattern.compile("\\b" + number + "\\b");
            int index = number > known.size() ? -1 : number - 1;
            IntStream others = IntStream.range(0, known.size()).filter(other -> other != index);
            return others.anyMatch(other -> word.matcher(known.get(other)).find()) ? -1 : index;
        }

        /** As labels are compared: in any case (ß is SS, İ is i), however composed, and without what nobody sees. */
        private static String folded(String text) {
            String seen = X.seen(text, Normalizer.Form.NFKC);
            return seen.toUpperCase(Locale.ROOT).toLowerCase(Locale.ROOT).replace("i\u0307", "i");
        }

        private static List<String> find(JsonNode newest, String customer) {
            for (JsonNode message : newest) {
                String author = Flex.author(message);
                if (author.equals(identity(customer))) {
                    if (jsonOrMissing(message.path("attributes").asText()).has("chosen_by")) return List.of();
                } else if (!author.equals(NOTE_AUTHOR) && !message.path("body").asText("").isBlank()) {
                    return labels(Rich.read(message.path("body").asText()));
                }
            }
            return List.of();
        }

        private static List<String> labels(Rich rich) {
            return rich.options().stream().map(Rich.Option::label).toList();
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 9. Catching up: a webhook is a doorbell, the services' own logs are the truth. What no webhook brought, because
    //    the bridge was down, had no room, another address or another secret, is read there and goes the same way.

    static final class CatchUp {
        /** The events of X, among the conversations that are to be read. */
        static final String X_EVENTS = "X's events";
        /** Conversations read at a time. */
        private static final int READERS = 4;
        /** A webhook waits so long for what was missed before it; Twilio waits for five seconds. */
        private static final Duration PATIENCE = Duration.ofSeconds(3);
        /** Rounds from one question whether a conversation is over to the next: an hour. */
        private static final int ROUNDS_TO_STATE = 12;
        /** Rounds without a webhook of X until its events are read, which costs money: six hours, or one. */
        private static final int QUIET = 72, SUSPICIOUS = 12;

        final Doorbell fromX;
        final Doorbell fromFlex;
        private final Journal journal;
        private final Relay relay;
        private final Flex flex;
        private final X x;
        private final Timing timing;
        private final ScheduledExecutorService readers = new ScheduledThreadPoolExecutor(READERS,
                daemonThreads("catch-up"), new ThreadPoolExecutor.DiscardPolicy());
        /** What waits for its turn to be read. */
        private final Set<String> queued = ConcurrentHashMap.newKeySet();
        /** Of what webhooks surely did not bring all: the bridge was down, or had no room. Done once it is read. */
        private final Map<String, CompletableFuture<Void>> missed = new ConcurrentHashMap<>();
        /** Conversations of which a webhook has said that they are over. */
        private final Set<String> ended = ConcurrentHashMap.newKeySet();
        private final Service atX = new Service(), atTwilio = new Service();
        /** So many failures in a row are no trouble yet. */
        private static final int FEW = 6;
        private volatile int rounds;
        /** From then on the events of X that came may not be all: by X's clock, as all its times. */
        private volatile Optional<Instant> since = Optional.empty();
        private X.Backlog backlog = new X.Backlog();
        /** Whether something was missed since that was begun, and so is not in it. */
        private volatile boolean more;

        CatchUp(Journal journal, Relay relay, Flex flex, X x, Settings settings, Timing timing, Metrics metrics) {
            this.journal = journal;
            this.relay = relay;
            this.flex = flex;
            this.x = x;
            this.timing = timing;
            fromX = new Doorbell("X", "TWITTER_CONSUMER_SECRET or TWITTER_CLIENT_SECRET is not the app's any more",
                    settings, metrics);
            fromFlex = new Doorbell("Flex", "TWILIO_AUTH_TOKEN is not the account's any more", settings, metrics);
        }

        /** One whose log is read, and what stands in the way of that. */
        private static final class Service {
            /** Until then nothing is read there, in {@link System#nanoTime}. */
            volatile long paused = System.nanoTime();
            /** In a row. */
            final AtomicInteger failures = new AtomicInteger();
            /** Why that goes on, for the health. */
            volatile Optional<String> trouble = Optional.empty();

            boolean isPaused() { return paused - System.nanoTime() > 0; }
        }

        private Service of(String key) { return key.equals(X_EVENTS) ? atX : atTwilio; }

        /** To be called before the first webhook is taken, so that none overtakes what was missed. */
        void start() {
            List<Conversation> open = journal.conversations();
            open.forEach(one -> missed.put(one.sid(), new CompletableFuture<>()));
            missed.put(X_EVENTS, new CompletableFuture<>());
            expectMissedAtX();
            if (since.isEmpty()) journal.begun();
            // X first: it tells which replies have arrived.
            readers.execute(() -> {
                read(X_EVENTS);
                open.forEach(one -> soon(one.sid(), Duration.ZERO));
            });
            long round = timing.catchUp().toMillis();
            readers.scheduleWithFixedDelay(logFailures(this::round, TROUBLE), round, round, TimeUnit.MILLISECONDS);
        }

        private static final String TROUBLE = "what no webhook brought cannot be read";

        void stop() {
            readers.shutdownNow();
            Bridge.await(readers, Instant.now().plusSeconds(1));
        }

        List<String> troubles() {
            Stream<String> others = Stream.of(fromX.trouble(), fromFlex.trouble(), flex.trouble())
                    .flatMap(Optional::stream);
            Stream<String> unreadable = Stream.of(atX.trouble, atTwilio.trouble).flatMap(Optional::stream);
            return Stream.concat(others, unreadable).toList();
        }

        /** @param sent what our account sent: each reply, and what a colleague writes in the X app */
        void heardFromX(List<Message> sent) {
            // After long silence nobody knows whether nothing was written, or nothing came through.
            boolean silent = fromX.isSilentFor(timing.catchUp().multipliedBy(SUSPICIOUS));
            if (fromX.rang() || silent) {
                expectMissedAtX();
                readFirst(X_EVENTS);
            }
            overhear(sent);
        }

        void heardFromFlex(FromFlex event) {
            if (fromFlex.rang()) journal.conversations().forEach(open -> readFirst(open.sid()));
            if (event.ended()) ended(event);
        }

        /** Webhooks come again: what was missed meanwhile is read before what they bring is taken. */
        private void readFirst(String key) {
            missed.putIfAbsent(key, new CompletableFuture<>());
            soon(key, Duration.ZERO);
        }

        /**
         * What was missed goes first; if that takes too long, order is given up rather than the message.
         *
         * @return false if the bridge stops: what has come now is caught up, too
         */
        boolean await(String key) {
            try {
                CompletableFuture<Void> tried = missed.get(key);
                if (tried != null) tried.get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
            } catch (InterruptedException stopping) {
                return false;
            } catch (ExecutionException | TimeoutException slow) {
                LOG.log(WARNING, () -> "a message that has just come goes before what was missed of " + key);
            }
            return true;
        }

        /** A webhook has brought a message of a conversation. @param kept whether there was room for it */
        void taken(FromFlex event, boolean kept) {
            String sid = event.conversation();
            boolean known = journal.conversation(sid).isPresent() || event.customer().isEmpty();
            if (!known) readers.execute(logFailures(() -> flex.meet(sid, event.customer()), TROUBLE));
            if (!kept) readLater(sid);
        }

        /** Something that should have come by webhook has not, through no fault of the webhook's. */
        private void readLater(String key) {
            missed.putIfAbsent(key, CompletableFuture.completedFuture(null));
            soon(key, timing.maxBackoff());
        }

        /** X's webhook was out of order, or there was no room for what it brought. */
        void missedAtX() {
            expectMissedAtX();
            readLater(X_EVENTS);
        }

        /** A webhook older than the newest that came may still have been under way. */
        private void expectMissedAtX() {
            more = true;
            if (since.isPresent()) return;
            since = journal.behind().or(() -> journal.newest().map(newest -> newest.minus(timing.callTimeout())));
            since.ifPresent(journal::behind);
        }

        /** An agent has ended or left a conversation: the customer's next message looks at it anew. */
        private void ended(FromFlex event) {
            flex.ended(event.customer(), event.conversation());
            ended.add(event.conversation());
            soon(event.conversation(), timing.initialBackoff());
        }

        private void overhear(List<Message> sent) {
            for (Message message : sent) {
                x.sent(message);
                if (!x.isOurs(message.id())) relay.overhear(message);
            }
        }

        private void round() {
            rounds++;
            if (fromX.isSilentFor(timing.catchUp().multipliedBy(fromX.isSuspicious() ? SUSPICIOUS : QUIET))) {
                fromX.expectAnew();
                expectMissedAtX();
                soon(X_EVENTS, Duration.ZERO);
            }
            if (atTwilio.isPaused()) return;
            journal.conversations().forEach(open -> soon(open.sid(), Duration.ZERO));
        }

        private void soon(String key, Duration delay) {
            if (!queued.add(key)) return;
            long pause = of(key).paused - System.nanoTime();
            readers.schedule(() -> {
                queued.remove(key);
                read(key);
            }, Math.max(delay.toNanos(), pause), TimeUnit.NANOSECONDS);
        }

        private void read(String key) {
            if (of(key).isPaused()) {
                soon(key, Duration.ZERO);
                return;
            }
            boolean due = !missed.containsKey(key);
            Optional<Conversation> open = journal.conversation(key);
            if (open.isEmpty()) ended.remove(key);
            boolean done = false;
            try {
                if (key.equals(X_EVENTS)) done = readX(due);
                else done = open.isEmpty() || readFlex(open.get(), due);
            } catch (RuntimeException | Error bug) {
                LOG.log(ERROR, TROUBLE, bug);
            }
            if (done) Optional.ofNullable(missed.remove(key)).ifPresent(waiting -> waiting.complete(null));
            else soon(key, timing.maxBackoff());
        }

        /** @return false if it is to be read again soon */
        private boolean readFlex(Conversation open, boolean due) {
            String sid = open.sid();
            Optional<Response> told = flex.tell(open);
            if (told.isEmpty()) {
                journal.forget(sid);
                return true;
            }
            if (!told.get().ok() && failed(told.get(), sid)) return false;
            List<JsonNode> newer = new ArrayList<>();
            Set<String> bridges = new HashSet<>();
            Response listed = flex.read(open, newer, bridges);
            if (listed.outcome().conversationClosed()) journal.forget(sid);
            if (!listed.ok()) return !failed(listed, sid);
            bridges.remove("");
            boolean shared = bridges.stream().anyMatch(name -> !name.equals(journal.name()));
            Missed found = missed(open, newer, shared ? bridges : Set.of(), due, listed);
            if (!kept(found.messages(), shared, fromFlex, due && found.late())) return false;
            Conversation read = flex.upTo(open, found.upTo());
            if (!read.equals(open)) journal.remember(read);
            // Forgotten it would be with what is left to the next round.
            boolean all = newer.isEmpty() || found.upTo() == Flex.index(newer.get(newer.size() - 1));
            boolean ask = all && (ended.contains(sid) || rounds % ROUNDS_TO_STATE == ROUNDS_TO_STATE - 1);
            Response last = ask && found.answer().ok() ? flex.state(sid, () -> journal.forget(sid)) : found.answer();
            if (failed(last, sid)) return false;
            if (all) ended.remove(sid);
            return true;
        }

        /**
         * What was missed in a conversation.
         *
         * @param upTo index of the last message of which all that came before is known
         * @param late whether a webhook has had time enough to bring some of it
         * @param answer of the last call
         */
        private record Missed(List<Message> messages, long upTo, boolean late, Response answer) { }

        /**
         * Which of these messages were missed. What is not known here may be known to another bridge: so a message is
         * marked as asked for, by the bridge whose name comes first, and taken one round later, when the other has read
         * the mark and not put its own in its place.
         *
         * @param newer the oldest first
         * @param bridges all whose names stand in this conversation; none if there is only this one
         */
        private Missed missed(Conversation open, List<JsonNode> newer, Set<String> bridges, boolean due,
                Response listed) {
            String own = journal.name();
            boolean first = bridges.stream().allMatch(name -> name.compareTo(own) >= 0);
            boolean marks = !bridges.isEmpty(), named = bridges.contains(own), late = false, waiting = false;
            Instant now = listed.date();
            List<Message> missed = new ArrayList<>();
            long upTo = open.index();
            for (JsonNode message : newer) {
                List<Message> all = FromFlex.read(FromFlex.asWebhook(message, open.sid()), open.customer()).messages();
                List<Message> unknown = all.stream().filter(one -> !journal.knows(one.id())).toList();
                Instant written = Flex.written(message);
                JsonNode mark = Flex.mark(message);
                String owner = mark.path(Flex.BRIDGE).asText();
                boolean another = !owner.isEmpty() && !owner.equals(own);
                boolean toName = !all.isEmpty() && unknown.isEmpty() && (another || !named);
                boolean aRoundOld = due && now.isAfter(written.plus(timing.catchUp()));
                boolean toAsk = !unknown.isEmpty() && owner.isEmpty() && (first || aRoundOld);
                if (marks && (toName || toAsk)) {
                    Response put = flex.name(message, open.sid(), now);
                    named |= toName;
                    // A closed conversation takes no marks: there X alone is asked.
                    marks = !put.outcome().conversationClosed();
                    if (marks && !put.ok()) return new Missed(missed, upTo, late, put);
                }
                if (!unknown.isEmpty() && !another) {
                    long asked = mark.path(Flex.ASKED).asLong(now.toEpochMilli());
                    waiting |= marks && now.isBefore(Instant.ofEpochMilli(asked).plus(timing.catchUp()));
                    if (!waiting) missed.addAll(unknown);
                    late |= !waiting && now.isAfter(written.plus(timing.callTimeout()));
                }
                if (!waiting) upTo = Flex.index(message);
            }
            return new Missed(missed, upTo, late, listed);
        }

        private synchronized boolean readX(boolean due) {
            if (since.isEmpty()) return true;
            if (backlog.isNew()) more = false;
            Response page = x.readBack(since.get(), backlog);
            if (failed(page, X_EVENTS)) return false;
            if (!page.ok()) {
                // A page that is refused, perhaps as its cursor is too old, is no end: all is asked for again.
                backlog = new X.Backlog();
                Optional.ofNullable(missed.get(X_EVENTS)).ifPresent(waiting -> waiting.complete(null));
                return false;
            }
            FromX events = x.read(backlog);
            List<Message> unknown = events.messages().stream().filter(one -> !journal.knows(one.id())).toList();
            if (!kept(unknown, true, fromX, due)) return false;
            overhear(events.sent());
            Instant next = backlog.newest().map(newest -> newest.minus(timing.callTimeout())).orElse(since.get());
            backlog = new X.Backlog();
            journal.behind(Instant.EPOCH);
            since = Optional.empty();
            if (!more) return true;
            // There was no room for a while: what came meanwhile is newer than what was read.
            journal.behind(next);
            since = Optional.of(next);
            return false;
        }

        private boolean kept(List<Message> messages, boolean shared, Doorbell doorbell, boolean due) {
            if (messages.isEmpty()) return true;
            boolean kept = shared ? relay.acceptShared(messages) : relay.accept(messages);
            if (kept) doorbell.missed(messages.size(), due);
            // There may be room for some of them: for all at once there may never be.
            int half = messages.size() / 2;
            return kept || half > 0 && kept(messages.subList(0, half), shared, doorbell, due)
                    && kept(messages.subList(half, messages.size()), shared, doorbell, due);
        }

        /** Whether it is to be read again. While a service turns everybody away, nothing is read there. */
        private boolean failed(Response answer, String key) {
            Service service = of(key);
            if (!(answer.outcome() instanceof Outcome.RetryLater later)) {
                service.failures.set(0);
                service.trouble = Optional.empty();
                if (!answer.ok()) LOG.log(WARNING, () -> TROUBLE + " (" + key + "): " + answer.sentence());
                return false;
            }
            int failures = service.failures.incrementAndGet();
            if (failures == 1) LOG.log(WARNING, () -> TROUBLE + " yet (" + key + "): " + later.reason());
            boolean all = later.scope() == Outcome.Scope.SERVICE;
            Duration most = timing.maxBackoff().multipliedBy(all ? Relay.PATIENT : 1);
            Duration pause = timing.initialBackoff().multipliedBy(1L << Math.min(failures - 1, 10));
            if (pause.compareTo(most) > 0) pause = most;
            if (later.after().compareTo(pause) > 0) pause = later.after();
            boolean goesOn = failures > FEW || all;
            // A rate limit that is over after its pause is no trouble.
            if (goesOn && failures > 2) service.trouble = Optional.of(TROUBLE + ": " + later.reason());
            if (goesOn) service.paused = System.nanoTime() + pause.toNanos();
            if (goesOn) Optional.ofNullable(missed.get(key)).ifPresent(waiting -> waiting.complete(null));
            soon(key, pause);
            return true;
        }
    }

    /** Whether a service's webhooks come, and if not, why that may be. */
    static final class Doorbell {
        private final String service;
        private final String wrongSecret;
        private final Settings settings;
        private final Metrics metrics;
        private long rang = System.nanoTime();
        private Optional<Long> refused = Optional.empty();
        private String trouble = "";

        Doorbell(String service, String wrongSecret, Settings settings, Metrics metrics) {
            this.service = service;
            this.wrongSecret = wrongSecret;
            this.settings = settings;
            this.metrics = metrics;
            metrics.add("caught_up", 0);
        }

        /** A webhook of its came. @return whether none did before */
        synchronized boolean rang() {
            boolean again = !trouble.isEmpty();
            if (again) LOG.log(INFO, () -> "webhooks of " + service + " arrive again");
            rang = System.nanoTime();
            refused = Optional.empty();
            trouble = "";
            return again;
        }

        /** Somebody, perhaps the service, came with a signature that is not right. */
        synchronized void refused() { refused = Optional.of(System.nanoTime()); }
        synchronized boolean isSuspicious() { return refused.isPresent(); }
        synchronized boolean isSilentFor(Duration time) { return System.nanoTime() - rang > time.toNanos(); }
        synchronized void expectAnew() { rang = System.nanoTime(); }

        /** @param due whether a webhook should have brought them */
        synchronized void missed(int messages, boolean due) {
            metrics.add("caught_up", messages);
            LOG.log(INFO, () -> messages + " messages were caught up that no webhook of " + service + " brought");
            if (!due) return;
            String why = "webhooks of " + service + " do not arrive: " + (isSuspicious()
                    ? "some come with a signature that is not right, so perhaps " + wrongSecret
                    : "is " + settings.publicUrl() + " the address that leads here?");
            if (!why.equals(trouble)) LOG.log(ERROR, () -> why);
            trouble = why;
        }

        synchronized Optional<String> trouble() { return Optional.of(trouble).filter(text -> !text.isEmpty()); }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Part II, the craft: what the story stands on. It can be skipped at first.
    //
    // 10. The edge: the JDK's HTTP server behind the table of routes.

    /** The JDK's HTTP server behind a table of routes: the one place that knows {@link HttpExchange}. */
    static final class Edge {
        /**
         * Bytes of a request body: X's largest webhook is some 45 KB (10,000 four-byte characters), Twilio's is
         * smaller.
         */
        static final int MAX_BODY = 1 << 20;

        // The worst that strangers can cause takes 54 MiB of this process, and 64 MiB is what it may take:
        //   28 for threads: 82 KB each outside of the heap, and 70 KB for the JDK's buffers and 16 KB of headers;
        //    9 for bodies that are being read: all there is room for, three times while it is copied;
        //    7 for a form of 1 MiB that is taken apart, and no two are at a time;
        //    6 for idle connections: the JDK keeps 200, with 28 KB of buffers each;
        //    4 for 2,000 connections on which nothing comes, or that wait for a thread.
        private static final int THREADS = 192;
        private static final int ROOM = 3 << 20;
        private static final int PIECE = 2 << 10;
        private static final Duration TICK = Duration.ofMillis(250);

        final Refusals refusals = new Refusals();
        private final Map<String, Handler> routes;
        private final String prefix;
        private final ThreadPoolExecutor requests = pool("request", THREADS, Duration.ofSeconds(10));
        private final Semaphore room = new Semaphore(ROOM);
        /** Threads that wait for their client, the longest first, and since which tick; guarded by itself. */
        private final Map<Thread, Long> waiting = new LinkedHashMap<>();
        private long ticks;
        private final ScheduledExecutorService clock =
                Executors.newSingleThreadScheduledExecutor(daemonThreads("edge"));
        private final HttpServer server;

        Edge(Settings settings, Map<String, Handler> routes) throws CommandFailed {
            this.routes = routes;
            prefix = settings.publicPath();
            try {
                // The default backlog of 50 makes a burst of connections wait for seconds.
                server = HttpServer.create(new InetSocketAddress(settings.get(HOST), settings.port()), 1024);
            } catch (IOException taken) {
                String where = settings.get(HOST) + ":" + settings.port();
                throw new CommandFailed(1, List.of("cannot listen on " + where + " ("
                        + reason(taken)
                        + "): set PORT to a free port, or HOST to an address of this machine"));
            }
        }

        void start() {
            server.createContext("/", this::serve);
            server.setExecutor(this::attend);
            server.start();
            Runnable tick = logFailures(this::tick, "the edge's clock has missed a tick");
            clock.scheduleWithFixedDelay(tick, 0, TICK.toMillis(), TimeUnit.MILLISECONDS);
        }

        private void tick() {
            refusals.news(System.nanoTime()).ifPresent(news -> LOG.log(WARNING, () -> news));
            synchronized (waiting) {
                ticks++;
            }
            giveWay(room.availablePermits() < ROOM / 2 ? 1 : 0);
        }

        /** Takes a request from its first byte to the last of its answer. */
        private void attend(Runnable request) {
            requests.execute(() -> {
                clientIsAwaited();
                try {
                    request.run();
                } finally {
                    clientIsThrough();
                }
            });
            giveWay(0);
        }

        /** From now on this thread waits for its client, to read from it or to write to it. */
        private void clientIsAwaited() {
            synchronized (waiting) {
                waiting.put(Thread.currentThread(), ticks);
            }
        }

        /** And from now on not; if it was to give way, it is through. */
        private void clientIsThrough() {
            synchronized (waiting) {
                waiting.remove(Thread.currentThread());
                Thread.interrupted();
            }
        }

        /**
         * When threads or room for bodies are short, those give way whose clients have kept them waiting, the longest
         * first: an interrupt closes the connection. A request that arrives whole is through in a fraction of a tick.
         */
        private void giveWay(int least) {
            boolean idle = requests.getActiveCount() < requests.getPoolSize();
            int wanted = Math.max(least, idle ? 0 : requests.getQueue().size());
            if (wanted == 0) return;
            synchronized (waiting) {
                List<Thread> stalled = waiting.entrySet().stream().filter(one -> ticks - one.getValue() >= 2)
                        .map(Map.Entry::getKey).limit(wanted).toList();
                stalled.forEach(Thread::interrupt);
                waiting.keySet().removeAll(stalled);
            }
        }

        int port() { return server.getAddress().getPort(); }

        void stop() {
            // JDK 17's own stop(1) would sit out the second even when idle.
            requests.shutdown();
            await(requests, Instant.now().plusSeconds(1));
            server.stop(0);
            clock.shutdownNow();
        }

        static Handler local(Handler next) {
            return request -> request.local() ? next.answer(request) : Reply.error(404, NOTHING);
        }

        private static final String NOTHING = "there is nothing here";

        /** An exception let out here closes the connection and the JDK forgets it, which close() does not always do. */
        private void serve(HttpExchange exchange) throws IOException {
            boolean head = exchange.getRequestMethod().equals("HEAD");
            Reply reply = answer(exchange);
            if (reply.refuses()) refusals.add(reply);
            byte[] body = reply.body().getBytes(UTF_8);
            reply.headers().forEach(exchange.getResponseHeaders()::set);
            // The JDK closes where it is asked to, but does not say so: a proxy would use the connection once more.
            boolean last = "close".equalsIgnoreCase(exchange.getRequestHeaders().getFirst("Connection"));
            if (last) exchange.getResponseHeaders().set("Connection", "close");
            boolean bare = head || body.length == 0;
            exchange.sendResponseHeaders(reply.status(), bare ? -1 : body.length);
            if (!bare) exchange.getResponseBody().write(body);
            exchange.close();
        }

        /**
         * Turns whatever happens into a reply: an Error let out here would leave the client hanging (the JDK rethrows
         * it).
         */
        private Reply answer(HttpExchange exchange) throws IOException {
            int held = 0;
            try {
                // Read to its end, or a refusal would be lost. Each body may hold as much as is left, so that some is.
                InputStream in = exchange.getRequestBody();
                ByteArrayOutputStream body = new ByteArrayOutputStream();
                byte[] piece = new byte[PIECE];
                long length = 0;
                for (int n = in.read(piece); n > 0; n = in.read(piece)) {
                    length += n;
                    boolean fits = length <= MAX_BODY && body.size() + n == length && length <= room.availablePermits();
                    if (fits && room.tryAcquire(n)) {
                        held += n;
                        body.write(piece, 0, n);
                    } else {
                        room.release(held);
                        held = 0;
                        body = new ByteArrayOutputStream();
                    }
                }
                clientIsThrough();
                if (length > MAX_BODY) return Reply.error(413, "the body is larger than " + MAX_BODY + " bytes");
                if (length > held) {
                    return Reply.error(503, "too many large requests at the moment").with("Retry-After", "5");
                }
                URI uri = exchange.getRequestURI();
                Map<String, List<String>> headers = new HashMap<>();
                exchange.getRequestHeaders().forEach((name, values) -> headers.put(name.toLowerCase(Locale.ROOT),
                        values));
                String raw = uri.getRawPath();
                String path = raw.startsWith(prefix + "/") ? raw.substring(prefix.length()) : raw;
                String target = path + (uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery());
                return answer(new Request(exchange.getRequestMethod(), path, target, headers, body.toByteArray()));
            } catch (RuntimeException | Error bug) {
                LOG.log(ERROR, "a request could not be handled", bug);
                return Reply.error(500, "something went wrong here; the log of the bridge says what");
            } finally {
                room.release(held);
                clientIsAwaited();
            }
        }

        /** Exact matches only: the JDK's own contexts match prefixes, and differently from version to version. */
        Reply answer(Request request) {
            Handler handler = routes.get(request.method() + " " + request.path());
            if (handler == null) {
                String allowed = routes.keySet().stream().filter(route -> route.endsWith(" " + request.path()))
                        .map(route -> route.substring(0, route.indexOf(' '))).sorted()
                        .collect(Collectors.joining(", "));
                return allowed.isEmpty() ? Reply.error(404, NOTHING)
                        : Reply.error(405, "this path takes only " + allowed).with("Allow", allowed);
            }
            try {
                return handler.answer(request);
            } catch (IllegalArgumentException mistake) {
                return Reply.error(400, mistake.getMessage());
            }
        }

        /** What is refused is counted, and told to the log once a minute at most: strangers must not fill it. */
        static final class Refusals {
            private static final long MINUTE = Duration.ofMinutes(1).toNanos();
            private long count, told, toldAt = System.nanoTime() - MINUTE;
            private Reply last;

            synchronized void add(Reply reply) {
                count++;
                last = reply;
            }

            synchronized long count() { return count; }

            /** @param now by {@link System#nanoTime} */
            synchronized Optional<String> news(long now) {
                if (count == told || now - toldAt < MINUTE) return Optional.empty();
                long more = count - told;
                told = count;
                toldAt = now;
                return Optional.of("requests refused: " + more + ", the last: " + last.status() + " " + last.body());
            }
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 11. Signatures and forms: pure functions, each with its published vectors in a test. No clock, no chance, no
    // state.

    static final class Signatures {
        private Signatures() { }

        /** X's webhooks and challenge: {@code sha256=} and the Base64 of HMAC-SHA256 (X API, "Securing webhooks"). */
        static String xWebhook(String secret, byte[] message) {
            return "sha256=" + hmac("HmacSHA256", secret, message);
        }

        /** In constant time: how far a guess is right must not show. */
        static boolean equalInConstantTime(String expected, String given) {
            return MessageDigest.isEqual(expected.getBytes(UTF_8), given.getBytes(UTF_8));
        }

        /** HTTP Basic (RFC 7617). */
        static String basic(String user, String password) {
            return "Basic " + Base64.getEncoder().encodeToString((user + ":" + password).getBytes(UTF_8));
        }

        /**
         * Twilio's webhook signature: Base64 of HMAC-SHA1 over the URL and every parameter's name and value, sorted by
         * name; values of one name sorted, equal ones once (Twilio, "Webhooks security", and its own libraries for the
         * duplicates).
         */
        static String twilioWebhook(String token, String url, Form form) {
            TreeMap<String, Collection<String>> sorted = new TreeMap<>();
            form.fields().forEach(field -> sorted.computeIfAbsent(field.getKey(), name -> new TreeSet<>())
                    .add(field.getValue()));
            StringBuilder signed = new StringBuilder(url);
            sorted.forEach((name, values) -> values.forEach(value -> signed.append(name).append(value)));
            return hmac("HmacSHA1", token, signed.toString().getBytes(UTF_8));
        }

        /** Whether Twilio signed this. It is of two minds about the default port in a URL, so both spellings count. */
        static boolean isTwilios(List<String> tokens, String given, String url, Form form) {
            boolean genuine = false;
            for (String spelling : new TreeSet<>(List.of(url, withPort(url, false), withPort(url, true)))) {
                for (String token : tokens) genuine |= equalInConstantTime(twilioWebhook(token, spelling, form), given);
            }
            return genuine;
        }

        private static final Pattern PARTS = Pattern.compile("(?s)(https?://[^/?#]*?)(?::[0-9]*)?([/?#].*)?");

        /**
         * The URL with its scheme's default port, or with no port; all other bytes untouched, because they are signed.
         */
        static String withPort(String url, boolean port) {
            Matcher parts = PARTS.matcher(url);
            if (!parts.matches()) return url;
            return parts.group(1) + (port ? url.startsWith("https") ? ":443" : ":80" : "")
                    + Objects.toString(parts.group(2), "");
        }

        /**
         * The {@code Authorization} header of OAuth 1.0a with HMAC-SHA1 (RFC 5849, 3.4).
         *
         * @param url without query; @param parameters of the query and of a form body, but not of a JSON body
         * @param nonce any string not used before; @param timestamp seconds since 1970
         */
        static String oauth(String method, String url, Form parameters, String consumerKey, String consumerSecret,
                String token, String tokenSecret, String nonce, String timestamp) {
            Form protocol = Form.of("oauth_consumer_key", consumerKey, "oauth_nonce", nonce, "oauth_signature_method",
                    "HMAC-SHA1",
                    "oauth_timestamp", timestamp, "oauth_token", token, "oauth_version", "1.0");
            String key = Form.escape(consumerSecret) + "&" + Form.escape(tokenSecret);
            String signature = hmac("HmacSHA1", key, oauthBase(method, url, parameters.and(protocol)).getBytes(UTF_8));
            return protocol.and(Form.of("oauth_signature", signature)).fields().stream()
                    .map(field -> field.getKey() + "=\"" + Form.escape(field.getValue()) + "\"").sorted()
                    .collect(Collectors.joining(", ", "OAuth ", ""));
        }

        /** What OAuth 1.0a signs: method, URL and all parameters, sorted by encoded name, then value. */
        static String oauthBase(String method, String url, Form parameters) {
            String sorted = parameters.fields().stream()
                    .map(field -> Map.entry(Form.escape(field.getKey()), Form.escape(field.getValue())))
                    .sorted(Map.Entry.<String, String>comparingByKey().thenComparing(Map.Entry.comparingByValue()))
                    .map(field -> field.getKey() + "=" + field.getValue()).collect(Collectors.joining("&"));
            return method + "&" + Form.escape(url) + "&" + Form.escape(sorted);
        }

        /** In Base64. */
        private static String hmac(String algorithm, String key, byte[] message) {
            try {
                Mac mac = Mac.getInstance(algorithm);
                mac.init(new SecretKeySpec(key.getBytes(UTF_8), algorithm));
                return Base64.getEncoder().encodeToString(mac.doFinal(message));
            } catch (GeneralSecurityException missing) {
                throw new IllegalStateException(missing);
            }
        }
    }

    /** Fields of {@code application/x-www-form-urlencoded}, in order, names repeated where they are. */
    record Form(List<Map.Entry<String, String>> fields) {
        static Form of(String... namesAndValues) {
            List<Map.Entry<String, String>> fields = new ArrayList<>();
            for (int i = 0; i < namesAndValues.length; i += 2) fields.add(Map.entry(namesAndValues[i],
                    namesAndValues[i + 1]));
            return new Form(fields);
        }

        Form and(Form more) { return new Form(Stream.concat(fields.stream(), more.fields.stream()).toList()); }

        /** More fields than any webhook has stay in one piece: each takes many times its bytes. */
        private static final int MOST = 500;

        /** @throws IllegalArgumentException for a broken percent sign */
        static Form decode(String encoded) {
            try {
                return new Form(Stream.of(encoded.split("&", MOST)).filter(field -> !field.isEmpty())
                        .map(field -> field.split("=", 2))
                        .map(halves -> Map.entry(URLDecoder.decode(halves[0], UTF_8),
                                halves.length < 2 ? "" : URLDecoder.decode(halves[1], UTF_8))).toList());
            } catch (IllegalArgumentException broken) {
                throw new IllegalArgumentException("the form or query has a broken percent-encoding", broken);
            }
        }

        String encode() {
            return fields.stream().map(field -> escape(field.getKey()) + "=" + escape(field.getValue()))
                    .collect(Collectors.joining("&"));
        }

        /** A field's first value, or nothing. */
        String get(String name) {
            return fields.stream().filter(field -> field.getKey().equals(name)).map(Map.Entry::getValue).findFirst()
                    .orElse("");
        }

        /** Percent-encoding as RFC 3986 has it and OAuth needs it: the JDK's encoder differs in three places. */
        static String escape(String text) {
            return URLEncoder.encode(text, UTF_8).replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 12. Calling out: one request, one answer, whatever happens in between, and what the answer means.

    /** Twilio's REST APIs: Basic auth, forms in, JSON out, a host per product (Twilio, "Requests to the REST API"). */
    record Twilio(Client client, Settings settings) {
        static final String SERVICE = "Twilio";
        /**
         * Pages of one list: of a list without an end no more is believed. 200 pages are 10,000 conversations or 20,000
         * messages.
         */
        private static final int MAX_PAGES = 200;
        private static final Pattern QUERY = Pattern.compile("[^?]*(\\?(?:%[0-9A-Fa-f]{2}|[\\w.~&=+:/*'(),;@!$-])+)");

        Response get(String product, String path, Promise promise) {
            return client.call(SERVICE, request(product, path).GET(), promise);
        }
        Response get(String product, String path) { return get(product, path, Promise.ANYTHING); }
        Response delete(String product, String path) {
            return client.call(SERVICE, request(product, path).DELETE(), Promise.ANYTHING);
        }
        Response post(String product, String path, Promise promise, Form form) {
            return post(product, path, promise, form, false);
        }

        /** @param webhooks whether webhooks are to fire for it, as they do not for REST calls by default */
        Response post(String product, String path, Promise promise, Form form, boolean webhooks) {
            HttpRequest.Builder request = filled(request(product, path), form);
            return client.call(SERVICE, webhooks ? request.header("X-Twilio-Webhook-Enabled", "true")
                    : request, promise);
        }

        /**
         * Goes through a list page by page. Of what an answer says about its next page only the query is taken:
         * credentials go to the configured address and nowhere else.
         *
         * @param page is given each page's elements, and tells whether to go on
         */
        Response pages(String product, String path, String list, Promise promise, Predicate<JsonNode> page) {
            Response answer = get(product, path, promise);
            for (int pages = 1; answer.ok() && page.test(answer.body().path(list)); pages++) {
                String next = answer.body().at("/meta/next_page_url").asText("");
                if (next.isEmpty()) return answer;
                Matcher query = QUERY.matcher(next);
                if (!query.matches() || pages == MAX_PAGES) {
                    return answer.instead("its list has no end that makes sense");
                }
                answer = get(product, path.replaceFirst("\\?.*", "") + query.group(1), promise);
            }
            return answer;
        }

        HttpRequest.Builder request(String product, String path) {
            boolean key = !settings.get(TWILIO_API_KEY).isEmpty();
            return HttpRequest.newBuilder(URI.create(settings.twilioApiUrl().replace("{product}", product) + path))
                    .header("Authorization",
                    key ? Signatures.basic(settings.get(TWILIO_API_KEY), settings.get(TWILIO_API_SECRET))
                    : Signatures.basic(settings.get(TWILIO_ACCOUNT_SID), settings.get(TWILIO_AUTH_TOKEN)));
        }

        static HttpRequest.Builder filled(HttpRequest.Builder request, Form form) {
            return request.header("Content-Type", "application/x-www-form-urlencoded")
                    .POST(HttpRequest.BodyPublishers.ofString(form.encode()));
        }
    }

    /**
     * The support account's access to X: by its OAuth 2.0 token, or else by the keys of OAuth 1.0a, which X is to
     * retire. The token is what its file says, as the command setup may put another there; it is renewed before it
     * runs out, and when X does not take it (X API, "OAuth 2.0 Authorization Code Flow with PKCE").
     */
    static final class XAccess {
        /** What the token has to allow. */
        static final String SCOPES = "dm.read dm.write media.write tweet.read users.read offline.access";
        static final String NO_TOKEN = "the support account has not let the X app in: run setup, as the bridge's user;"
                + " no token can be read in ";
        private static final Promise GRANTED = Promise.fields("/access_token", "[!-~]+", "/refresh_token", "[!-~]*");

        private final Client client;
        private final Settings settings;
        private final Timing timing;
        private final boolean renews;
        // Guarded by this: no two threads renew at once, as a refresh token is good for one time.
        /** Renewed, but not on disk yet: it is not used before. */
        private Optional<JsonNode> unsaved = Optional.empty();
        /** The access token that could not be renewed, why, and whether X takes it. */
        private String failed = "", why = "";
        private boolean dead;
        /** Whatever X says of its tokens, they are not renewed again before this. */
        private long nextTry = System.nanoTime();

        /** @param renews whether nobody else does */
        XAccess(Client client, Settings settings, Timing timing, boolean renews) {
            this.client = client;
            this.settings = settings;
            this.timing = timing;
            this.renews = renews;
        }

        HttpRequest.Builder request(String path, Form query) {
            String url = settings.twitterApiUrl() + path;
            return HttpRequest.newBuilder(URI.create(query.fields().isEmpty() ? url : url + "?" + query.encode()));
        }

        /** Asks in the account's name. @param request not signed yet, with neither a form nor a secret in its body */
        Response call(HttpRequest.Builder request, Promise promise) {
            return callBy(signed -> client.call(X.SERVICE, signed, promise), request);
        }

        /** @param call sends what is signed */
        Response callBy(Function<HttpRequest.Builder, Response> call, HttpRequest.Builder request) {
            boolean old = request.build().uri().getPath().startsWith("/1.1/");
            if (old || !settings.hasClient()) return call.apply(signed(settings, request));
            Response answer = byToken(call, request);
            // What X refuses it has not done.
            boolean refused = answer.status() == 401 || answer.status() == 403;
            return refused && settings.hasKeys() ? call.apply(signed(settings, request)) : answer;
        }

        /** The same by the token alone. */
        Response byToken(Function<HttpRequest.Builder, Response> call, HttpRequest.Builder request) {
            Response answer = Response.NONE;
            String spent = "";
            for (int tries = 0; tries < 2; tries++) {
                Response token = token(spent);
                if (!token.ok()) return token;
                spent = access(token.body());
                HttpRequest.Builder signed = request.copy().setHeader("Authorization", "Bearer " + spent);
                answer = call.apply(signed);
                if (answer.status() != 401) return answer;
            }
            return failed(spent, true, false, answer.sentence());
        }

        private static String access(JsonNode token) { return token.path("access_token").asText(); }

        /** The token to use. @param spent one that X has not taken, or none; @return with the token as its body */
        private synchronized Response token(String spent) {
            JsonNode token = unsaved.orElseGet(settings::token);
            if (access(token).isEmpty()) return none(NO_TOKEN + settings.tokenFile());
            if (!settings.ownId().equals(token.path("user").asText())) {
                return none("the token in " + settings.tokenFile() + " is of another account than TWITTER_ACCESS_KEY:"
                        + " run setup");
            }
            if (unsaved.isPresent()) return save(token);
            boolean known = access(token).equals(failed);
            boolean over = access(token).equals(spent) || known && dead;
            boolean due = over || System.currentTimeMillis() > token.path("renew_at").asLong();
            if (!due) return good(token);
            if (!renews) return over ? none("the token has run out: start the bridge, which renews it, or run setup")
                    : good(token);
            if (nextTry - System.nanoTime() > 0) {
                if (over && !known) return failed(spent, true, false, why);
                return over ? none(why) : good(token);
            }
            String refresh = token.path("refresh_token").asText();
            Response answer = grant(Form.of("grant_type", "refresh_token", "refresh_token", refresh));
            if (answer.ok()) {
                why = "X does not take the token that it has just given";
                nextTry = System.nanoTime() + timing.maxBackoff().toNanos();
                return save(kept(answer.body(), token));
            }
            boolean refused = (answer.status() == 400 || answer.status() == 401) && answer.body().has("error");
            Response failure = failed(access(token), over, refused, refused ? "X does not renew the support account's"
                    + " token (" + answer.body().path("error").asText() + "), as it was revoked, or not used for six"
                    + " months, or its last renewal was cut off, or TWITTER_CLIENT_ID or TWITTER_CLIENT_SECRET is not"
                    + " the app's: run setup" : answer.sentence());
            return over ? failure : good(token);
        }

        private synchronized Response failed(String token, boolean over, boolean refused, String reason) {
            LOG.log(WARNING, () -> "OAuth 2.0 fails: " + reason
                    + (over && settings.hasKeys() ? "; OAuth 1.0a is used instead" : ""));
            failed = token;
            dead = over;
            why = reason;
            nextTry = System.nanoTime() + timing.maxBackoff().multipliedBy(refused ? Relay.PATIENT : 1).toNanos();
            return none(reason);
        }

        /** Asks for a token, as the app (RFC 6749, 2.3.1 and 3.2). */
        Response grant(Form form) {
            String id = settings.get(TWITTER_CLIENT_ID), secret = settings.get(TWITTER_CLIENT_SECRET);
            HttpRequest.Builder request = request("/2/oauth2/token", Form.of());
            if (!secret.isEmpty()) {
                request.header("Authorization", Signatures.basic(Form.escape(id), Form.escape(secret)));
            }
            Form all = secret.isEmpty() ? form.and(Form.of("client_id", id)) : form;
            return client.call(X.SERVICE, Twilio.filled(request, all), GRANTED);
        }

        /**
         * What is kept of a grant. It is renewed when a tenth of its time is left, as a rule after 108 minutes.
         *
         * @param before what holds where it says nothing else
         */
        static ObjectNode kept(JsonNode granted, JsonNode before) {
            long now = System.currentTimeMillis(), seconds = granted.path("expires_in").asLong(7200);
            ObjectNode kept = object().put("user", before.path("user").asText()).put("got_at", now)
                    .put("renew_at", now + seconds * 900);
            for (String name : List.of("access_token", "refresh_token", "scope")) {
                kept.put(name, granted.path(name).asText(before.path(name).asText()));
            }
            return kept;
        }

        private Response save(JsonNode token) {
            try {
                write(settings.tokenFile(), token);
                unsaved = Optional.empty();
                return good(token);
            } catch (IOException noRoom) {
                unsaved = Optional.of(token);
                return none("the renewed token of X cannot be written to " + settings.tokenFile() + ": "
                        + reason(noRoom));
            }
        }

        static void write(Path file, JsonNode token) throws IOException {
            Path folder = file.toAbsolutePath().getParent();
            replace(file, folder, token::toString);
            Journal.syncNames(folder);
        }

        private static Response good(JsonNode token) { return ours(200, token); }
        private static Response none(String why) { return ours(401, object().put("title", why)); }

        /** In the place of an answer of X's. */
        private static Response ours(int status, JsonNode body) {
            return new Response(X.SERVICE, "", status, Response.NONE.headers(), body, "", false, status == 200,
                    Instant.now());
        }

        /** By OAuth 1.0a: the query is part of the signature, a JSON body is not (RFC 5849, 3.4.1.3.1). */
        static HttpRequest.Builder signed(Settings settings, HttpRequest.Builder request) {
            HttpRequest bare = request.build();
            Form query = Form.decode(Objects.toString(bare.uri().getRawQuery(), ""));
            String url = bare.uri().toString().replaceFirst("\\?.*", "");
            String nonce = UUID.randomUUID().toString().replace("-", "");
            return request.copy().setHeader("Authorization", Signatures.oauth(bare.method(), url, query,
                    settings.get(TWITTER_CONSUMER_KEY), settings.get(TWITTER_CONSUMER_SECRET),
                    settings.get(TWITTER_ACCESS_KEY), settings.get(TWITTER_ACCESS_SECRET),
                    nonce, String.valueOf(Instant.now().getEpochSecond())));
        }
    }

    static final class Client {
        /** Some front ends turn away what does not say who it is. */
        private static final String USER_AGENT = "twitter-flex-bridge/1.0 (Java)";
        /** Bytes of an answer: the largest page of messages has some 3.5 MiB. */
        private static final int MAX_ANSWER = 4 << 20;

        private final Duration timeout;
        private final BiConsumer<String, Integer> failed;
        /** Made at the first call: loading the trust store takes longer than all the rest of the start. */
        Optional<HttpClient> http = Optional.empty();

        /** @param failed hears of each call that did not do what it should: the service, and the status or 0 */
        Client(Duration timeout, BiConsumer<String, Integer> failed) {
            this.timeout = timeout;
            this.failed = failed;
        }

        private synchronized HttpClient http() {
            if (http.isEmpty()) {
                http = Optional.of(HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(timeout)
                        .build());
            }
            return http.get();
        }

        Response call(String service, HttpRequest.Builder builder) { return call(service, builder, Promise.ANYTHING); }

        /**
         * Sends a request once. The time-out covers the answer's body too, as {@link HttpRequest#timeout} before JDK 26
         * does not.
         *
         * @param promise what a good answer holds
         */
        Response call(String service, HttpRequest.Builder builder, Promise promise) {
            return call(service, builder, promise, () -> 0, Optional.empty());
        }

        /**
         * The same for a file, which may take longer, as long as it moves.
         *
         * @param moved how many bytes have; @param into takes the answer's body, in place of memory
         */
        Response call(String service, HttpRequest.Builder builder, Promise promise, LongSupplier moved,
                Optional<HttpResponse.BodyHandler<Void>> into) {
            HttpRequest request = builder.setHeader("User-Agent", USER_AGENT).build();
            Response answer = call(service, request, promise, moved, into);
            if (!answer.ok()) failed.accept(service, answer.status());
            return answer;
        }

        private Response call(String service, HttpRequest request, Promise promise, LongSupplier moved,
                Optional<HttpResponse.BodyHandler<Void>> into) {
            String where = request.method() + " " + request.uri().getHost() + request.uri().getPath();
            Instant asked = Instant.now();
            ByteArrayOutputStream body = new ByteArrayOutputStream();
            CompletableFuture<HttpResponse<Void>> exchange = send(request, into.orElse(
                    HttpResponse.BodyHandlers.ofByteArrayConsumer(
                            piece -> piece.ifPresent(bytes -> append(body, bytes)))));
            try {
                HttpResponse<Void> response = await(exchange, moved);
                LOG.log(DEBUG, () -> where + " -> " + response.statusCode());
                JsonNode json = jsonOrMissing(body.toString(UTF_8));
                boolean kept = response.statusCode() / 100 == 2 && promise.keptBy(json);
                return new Response(service, where, response.statusCode(), response.headers(), json, "", true, kept,
                        asked);
            } catch (ExecutionException failed) {
                Throwable cause = failed.getCause();
                boolean sent = !(cause instanceof ConnectException || cause instanceof HttpConnectTimeoutException);
                if (CLOSED.matcher(String.valueOf(cause)).find()) forget();
                return Response.none(service, where, reason(cause), sent);
            } catch (TimeoutException slow) {
                exchange.cancel(true);
                return Response.none(service, where, "no answer within " + timeout.toMillis() + " ms", true);
            } catch (InterruptedException stopping) {
                exchange.cancel(true);
                return Response.none(service, where, "the bridge stops", true);
            }
        }

        private <T> T await(CompletableFuture<T> exchange, LongSupplier moved)
                throws InterruptedException, ExecutionException, TimeoutException {
            while (true) {
                long before = moved.getAsLong();
                try {
                    return exchange.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
                } catch (TimeoutException slow) {
                    if (moved.getAsLong() == before) throw slow;
                }
            }
        }

        /**
         * A client that has lost its selector or its threads fails every call, for ever: the next call makes a new one.
         */
        private static final Pattern CLOSED = Pattern.compile("selector manager closed");

        private synchronized void forget() { http = Optional.empty(); }

        private CompletableFuture<HttpResponse<Void>> send(HttpRequest request, HttpResponse.BodyHandler<Void> body) {
            try {
                return http().sendAsync(request, body);
            } catch (RejectedExecutionException | UncheckedIOException broken) {
                forget();
                return CompletableFuture.failedFuture(new ConnectException("no call can be made: " + reason(broken)));
            }
        }

        private static void append(ByteArrayOutputStream body, byte[] bytes) {
            if (body.size() + bytes.length > MAX_ANSWER) throw new IllegalStateException("an answer of over 4 MiB");
            body.writeBytes(bytes);
        }
    }

    /** What a good answer to a call holds. One without it is no answer: a proxy's page, half a body, another API. */
    interface Promise {
        boolean keptBy(JsonNode body);

        Promise ANYTHING = body -> true;
        /** Patterns: SIDs of Twilio; ids of X, its texts (10,000 characters, escaped), times in ISO 8601, states. */
        String CONVERSATION = "CH[0-9a-f]{32}", MESSAGE = "IM[0-9a-f]{32}", PARTICIPANT = "MB[0-9a-f]{32}",
                WEBHOOK = "WH[0-9a-f]{32}", TASK = "WT[0-9a-f]{32}", INTERACTION = "KD[0-9a-f]{32}",
                NUMBER = "[0-9]{1,19}", MEDIA = "ME[0-9a-f]{32}", TEXT = "(?s).{0,60000}",
                TIME = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?Z",
                STATE = "initializing|active|inactive|closed";

        default Promise and(Promise other) { return body -> keptBy(body) && other.keptBy(body); }
        default Promise or(Promise other) { return body -> keptBy(body) || other.keptBy(body); }

        /** Texts, by JSON pointer, of these patterns; where a pattern takes the empty text, there may be none. */
        static Promise fields(String... pointersAndPatterns) {
            Map<JsonPointer, Pattern> fields = new LinkedHashMap<>();
            for (int i = 0; i < pointersAndPatterns.length; i += 2) {
                fields.put(JsonPointer.compile(pointersAndPatterns[i]), Pattern.compile(pointersAndPatterns[i + 1]));
            }
            return body -> fields.entrySet().stream().allMatch(field -> {
                JsonNode value = body.at(field.getKey());
                boolean none = value.isMissingNode() || value.isNull();
                return (none || value.isTextual()) && field.getValue().matcher(value.asText("")).matches();
            });
        }

        /** A whole number. */
        static Promise number(String pointer) { return body -> body.at(pointer).isIntegralNumber(); }

        /** A text that is JSON itself. */
        static Promise json(String pointer) {
            return body -> body.at(pointer).isTextual() && !jsonOrMissing(body.at(pointer).asText()).isMissingNode();
        }

        /**
         * Twilio's lists: an array under this name, each of whose elements keeps the promise, and where the next page
         * is.
         */
        static Promise list(String name, Promise element) {
            return body -> body.path(name).isArray() && body.path("meta").has("next_page_url")
                    && fields("/meta/next_page_url", "|\\S+").keptBy(body)
                    && body.path(name).valueStream().allMatch(element::keptBy);
        }
    }

    /**
     * What came back from a service, and what it means: the one place that decides it, for both services and every
     * call.
     *
     * @param status 0 if nothing came
     * @param body missing if it is not JSON, as from a proxy in between
     * @param trouble why nothing came, or why it is not what it should be
     * @param sent whether the request may have been read although nothing came
     * @param ok whether it was done, and the answer holds what the call promises
     * @param asked when the request was sent, by our clock
     */
    record Response(String service, String where, int status, HttpHeaders headers, JsonNode body, String trouble,
            boolean sent,
            boolean ok, Instant asked) {
        static final Response NONE = none("", "", "nothing was asked", false);
        /** There was no need to ask. */
        static final Response DONE = new Response("", "", 200, NONE.headers, JSON.missingNode(), "", false, true,
                Instant.EPOCH);

        static Response none(String service, String where, String trouble, boolean sent) {
            return new Response(service, where, 0, HttpHeaders.of(Map.of(), (name, value) -> true), JSON.missingNode(),
                    trouble, sent,
                    false, Instant.now());
        }

        /** The same, found to be useless after all. */
        Response instead(String why) {
            return new Response(service, where, status, headers, body, why, sent, false, asked);
        }

        /** When it was answered, by the service's own clock: ours may be wrong, and may jump. */
        Instant date() { return headers.firstValue("date").flatMap(Response::httpDate).orElseGet(Instant::now); }

        /**
         * Codes that speak of the app, the account, its keys, plan, limits, the day's share or the address, whatever
         * their status (X API, "Response codes"; Twilio, "Error and warning dictionary").
         */
        private static final Set<Integer> ACCOUNT_CODES =
                Set.of(32, 34, 64, 87, 88, 89, 92, 93, 99, 135, 185, 215, 220, 226, 251, 261,
                326, 344, 416, 453, 10001, 20003, 20005, 20006, 20008, 20429, 45010, 45719, 45780);
        /** The same in API 2 of X, which has problem types instead (RFC 7807). */
        private static final Pattern ACCOUNT_PROBLEMS = Pattern.compile(".*/(client-forbidden|oauth1-permissions"
                + "|unsupported-authentication|usage-capped|credits|noncompliant-rules|client-disconnected)");
        /**
         * CommandFailed keys, no credit, a proxy's log-in, an endpoint that is gone, too many requests: nobody fares
         * better.
         */
        private static final Set<Integer> ACCOUNT_STATUSES = Set.of(401, 402, 405, 407, 410, 429);
        /**
         * What has been said already: "there was an error sending your message", with that reason, and "status is a
         * duplicate".
         */
        private static final Set<Integer> SAID_ALREADY = Set.of(151, 187);
        /** A closed conversation takes no more messages (Twilio, error 50377). */
        private static final int CLOSED = 50377;

        /** What this means for the message, or whatever was asked for. */
        Outcome outcome() {
            if (ok) return new Outcome.Delivered(body.path("sid").asText(), "");
            boolean unknown = status == 0 ? sent : status / 100 == 2 || status == 408 || status >= 500;
            boolean account = status >= 300 && !unknown
                    && (status < 400 || ACCOUNT_STATUSES.contains(status) || !isInItsOwnWords()
                    || ACCOUNT_CODES.contains(code())
                    || ACCOUNT_PROBLEMS.matcher(body.path("type").asText()).matches());
            if (unknown || account || status == 0) {
                return new Outcome.RetryLater(sentence(), pause(), account ? Outcome.Scope.SERVICE
                        : Outcome.Scope.MESSAGE, unknown);
            }
            return new Outcome.Refused(sentence(), status == 404 || code() == CLOSED);
        }

        /** Each file of X can be sent once. */
        boolean sentAlready() { return code() == 324 || sentence().contains("not permitted to attach this media"); }

        boolean saidAlready() { return SAID_ALREADY.contains(code()) || sentence().contains("already said that"); }

        int code() { return body.path("code").asInt(body.at("/errors/0/code").asInt()); }

        /** Whether this is how the service itself refuses something, and not what stands between us and the service. */
        private boolean isInItsOwnWords() {
            // A proxy's JSON has the status as its code; neither service's codes are statuses.
            boolean coded = code() != 0 && code() != status || body.at("/errors/0/message").isTextual();
            boolean problem = body.path("title").isTextual();
            boolean old = body.path("request").isTextual() && body.path("error").isTextual();
            return coded || problem || old || body.path("error_description").isTextual();
        }

        /** The service's own code and words, in one line; or what there is instead of them. */
        String sentence() {
            if (status == 0) return where + ": " + trouble;
            String host = where.substring(where.indexOf(' ') + 1).replaceAll("/.*", "");
            if (status / 100 == 3) {
                String to = headers.firstValue("location").orElse("nowhere");
                return brief(host + " answers with a redirect (" + status + ") to " + to + ": set "
                        + (service.equals("X")
                        ? "TWITTER_API_URL" : "TWILIO_API_URL") + " to the address that answers itself");
            }
            if (!trouble.isEmpty()) return host + " answered " + status + ", but " + trouble;
            if (status / 100 == 2 || status / 100 == 4 && !isInItsOwnWords()) {
                return brief("something stands between the bridge and " + service + " and answers instead (" + host
                        + " answered " + status
                        + ", " + headers.firstValue("content-type").orElse("no type") + headers.firstValue("server")
                        .map(server -> ", server " + server).orElse("") + "): look at the proxy, the firewall and "
                        + service + "'s status");
            }
            String words = Stream.of("/message", "/errors/0/message", "/detail", "/title", "/error_description",
                    "/error").map(path -> body.at(path).asText(""))
                    .filter(text -> !text.isEmpty()).findFirst().orElse("no reason given");
            if (where.isEmpty()) return words;
            return brief(words) + " (" + host + " answered " + status + (code() == 0 ? "" : ", code " + code()) + ")";
        }

        private static String brief(String words) {
            return words.substring(0, Math.min(words.length(), 300)).replaceAll("[\\s\\p{Cntrl}]+", " ");
        }

        /**
         * How long a service may make us wait, and how long if its share for the day is used up: what it says is
         * believed so far.
         */
        private static final Duration HOUR = Duration.ofHours(1), DAY = Duration.ofDays(1);

        /** {@code Retry-After}, in seconds or as a date (RFC 9110, 10.2.3), or what X says instead. */
        Duration pause() {
            Duration asked = headers.firstValue("retry-after").flatMap(this::seconds).orElse(Duration.ZERO);
            return Stream.of(bounded(asked, HOUR), untilReset()).max(Comparator.naturalOrder()).get();
        }

        /** Until the limit that is used up begins anew (X API, "Rate limits": seconds since 1970); zero if none is. */
        Duration untilReset() {
            Duration window = untilReset("x-rate-limit", HOUR, status == 429);
            Duration user = untilReset("x-user-limit-24hour", DAY, false);
            Duration app = untilReset("x-app-limit-24hour", DAY, false);
            return Stream.of(window, user, app).max(Comparator.naturalOrder()).get();
        }

        private Duration untilReset(String limit, Duration longest, boolean usedUp) {
            boolean spent = usedUp || headers.firstValue(limit + "-remaining").orElse("").equals("0");
            return headers.firstValue(limit + "-reset").filter(time -> spent && time.matches("[0-9]{1,12}"))
                    .map(time -> bounded(Duration.between(date(), Instant.ofEpochSecond(Long.parseLong(time))),
                    longest))
                    .orElse(Duration.ZERO);
        }

        private static Duration bounded(Duration pause, Duration longest) {
            if (pause.isNegative()) return Duration.ZERO;
            return pause.compareTo(longest) > 0 ? longest : pause;
        }

        private Optional<Duration> seconds(String value) {
            return value.matches("[0-9]{1,9}") ? Optional.of(Duration.ofSeconds(Long.parseLong(value)))
                    : httpDate(value).map(until -> Duration.between(date(), until));
        }

        private static Optional<Instant> httpDate(String value) {
            try {
                return Optional.of(ZonedDateTime.parse(value, DateTimeFormatter.RFC_1123_DATE_TIME).toInstant());
            } catch (DateTimeParseException neither) {
                return Optional.empty();
            }
        }
    }

    /**
     * Counted since the start, in Prometheus' text format 0.0.4 ("Exposition formats"). Seconds, as its conventions
     * have it.
     */
    static final class Metrics {
        private static final double[] BOUNDS =
                {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, Double.POSITIVE_INFINITY};
        private final Map<String, Long> counters = new TreeMap<>(Map.of("ignored", 0L));
        private final Map<String, Histogram> deliveries = new TreeMap<>();
        private final Map<String, Long> errors = new TreeMap<>();

        synchronized void add(String counter, long more) { counters.merge(counter, more, Long::sum); }
        synchronized Map<String, Long> counters() { return Map.copyOf(counters); }

        /** How many took no longer than each of the bounds, and the seconds of all. */
        private static final class Histogram {
            final long[] within = new long[BOUNDS.length];
            double sum;
        }

        synchronized void delivered(String to, long nanos) {
            double seconds = nanos / 1e9;
            Histogram all = deliveries.computeIfAbsent(to, first -> new Histogram());
            all.sum += seconds;
            for (int i = 0; i < BOUNDS.length; i++) if (seconds <= BOUNDS[i]) all.within[i]++;
        }

        /** @param status 0 if there was no answer */
        synchronized void failed(String service, int status) {
            String told = status == 0 ? "none" : String.valueOf(status);
            errors.merge("{service=\"%s\",status=\"%s\"}".formatted(service, told), 1L, Long::sum);
        }

        /** @param counts the counters and gauges */
        synchronized String text(Map<String, Long> counts) {
            StringBuilder text = new StringBuilder();
            counts.forEach((name, count) -> {
                boolean gauge = name.matches("failed|pending|oldest_pending_seconds");
                String full = "bridge_" + name + (gauge ? "" : "_total");
                text.append("# TYPE %s %s\n%s %s\n".formatted(full, gauge ? "gauge" : "counter", full, count));
            });
            text.append("# HELP bridge_delivery_seconds From the acknowledged webhook, or this start,"
                    + " to the other side's answer.\n# TYPE bridge_delivery_seconds histogram\n");
            deliveries.forEach((to, all) -> {
                String name = "bridge_delivery_seconds_";
                for (int i = 0; i < BOUNDS.length; i++) {
                    String bound = Double.isInfinite(BOUNDS[i]) ? "+Inf" : String.valueOf(BOUNDS[i]);
                    text.append(name + "bucket{to=\"%s\",le=\"%s\"} %d\n".formatted(to, bound, all.within[i]));
                }
                text.append(name + "sum{to=\"%s\"} %s\n".formatted(to, all.sum));
                text.append(name + "count{to=\"%s\"} %d\n".formatted(to, all.within[BOUNDS.length - 1]));
            });
            text.append("# TYPE bridge_service_errors_total counter\n");
            errors.forEach((labels, count) ->
                    text.append("bridge_service_errors_total%s %s\n".formatted(labels, count)));
            return text.toString();
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 13. The journal: what was acknowledged and is not yet delivered outlives the process. JSON lines, only ever
    //     appended to; memory is what reading the file from the start would give, because both come about by applying
    // the same lines.

    static final class Journal implements AutoCloseable {
        /** A message that a service refused for good, some of its parts perhaps delivered. */
        private record RefusedMessage(Delivery delivery, Instant at, String reason) {
            Message message() { return delivery.message; }

            Delivery again(Instant now) {
                Delivery again = new Delivery(delivery.message, now, true);
                again.arrived(delivery.parts, delivery.lastId);
                again.uploaded = delivery.uploaded;
                return again;
            }
        }

        /**
         * Lines to append. What settles a message has to be written in the end; what a webhook brings may be turned
         * away.
         */
        private record WriteRequest(List<Message> messages, List<ObjectNode> lines, boolean settles,
                CompletableFuture<Boolean> done) { }

        /** Bytes below which the file is not worth rewriting. */
        private static final long SMALL = 4 << 20;
        private static final Duration REMEMBERED = Duration.ofDays(1);
        /** Ids kept to know a message that comes again: a day's, but never fewer and never more than these. */
        private static final int FEWEST_IDS = 100_000, MOST_IDS = 500_000;
        /** Refused messages kept for the operator; beyond it the oldest goes. */
        private static final int MOST_REFUSED = 10_000;

        private final Path folder;
        private final Path path;
        // What the lines say; guarded by the journal's lock.
        private final Map<String, Delivery> pending = new LinkedHashMap<>();
        private final Map<String, RefusedMessage> refused = new LinkedHashMap<>();
        private final Map<String, Long> settled = new LinkedHashMap<>();
        private final Map<String, Conversation> conversations = new LinkedHashMap<>();
        /** When a customer's newest message was written, or the first start, in milliseconds since 1970; or 0. */
        private long newest;
        private long behind;
        private String name = "";
        private String address = "";
        private long received, delivered, duplicates, settledSince;
        // The writer's own.
        private final LinkedBlockingQueue<WriteRequest> queue = new LinkedBlockingQueue<>();
        private final Thread writer = new Thread(this::write, "journal");
        private Consumer<Delivery> accepted;
        private int maxPending;
        private long maxBytes, size, rewriteAt;
        private Instant rewritten;
        private FileChannel file, lock;
        private volatile String trouble = "";
        /** Whether new messages are turned away for want of room. */
        private volatile boolean full;
        private volatile boolean open = true;

        private Journal(Path folder) {
            this.folder = folder;
            path = folder.resolve("journal.jsonl");
        }

        /** @throws CommandFailed if the folder cannot be used, is used by another bridge, or its journal is damaged */
        static Journal open(Path folder, int maxPending, long maxBytes) throws CommandFailed {
            Journal journal = new Journal(folder);
            journal.maxPending = maxPending;
            journal.maxBytes = maxBytes;
            try {
                make(folder);
                journal.lock = openPrivately(folder.resolve("lock"));
                if (!locked(journal.lock)) {
                    throw new CommandFailed(1, List.of("another bridge is running on " + folder
                            + ": stop it, or give this one a DATA_DIR of its own"));
                }
                journal.read();
                if (journal.name.isEmpty()) journal.name = UUID.randomUUID().toString().substring(0, 8);
                journal.compact();
                return journal;
            } catch (IOException | CommandFailed failed) {
                journal.closeFiles();
                throw failed instanceof CommandFailed wrong ? wrong
                        : new CommandFailed(1, List.of("the data folder " + folder + " cannot be used ("
                        + reason(failed) + "): make it writable, or set DATA_DIR"));
            }
        }

        static void make(Path folder) throws IOException {
            Files.createDirectories(folder.toAbsolutePath().getParent());
            if (!Files.isDirectory(folder)) Files.createDirectory(folder, only("rwx------"));
        }

        /** Whether no bridge runs on this folder. */
        static boolean isFree(Path folder) {
            try (FileChannel lock = FileChannel.open(folder.resolve("lock"), StandardOpenOption.WRITE)) {
                return locked(lock);
            } catch (IOException none) {
                return none instanceof NoSuchFileException;
            }
        }

        private static boolean locked(FileChannel channel) throws IOException {
            try {
                return channel.tryLock() != null;
            } catch (OverlappingFileLockException sameProcess) {
                return false;
            }
        }

        private static FileChannel openPrivately(Path path) throws IOException {
            return FileChannel.open(path, Set.of(StandardOpenOption.CREATE, StandardOpenOption.READ,
                    StandardOpenOption.WRITE),
                    only("rw-------"));
        }

        /** Permissions for the owner alone, where files have such. */
        static FileAttribute<?>[] only(String permissions) {
            return FileSystems.getDefault().supportedFileAttributeViews().contains("posix")
                    ? new FileAttribute<?>[] {
                            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions))}
                            : new FileAttribute<?>[0];
        }

        /** @param accepted takes over each message that is on disk */
        void start(Consumer<Delivery> accepted) {
            this.accepted = accepted;
            // What was for Flex may have arrived although nothing says so: there a look is free, and a mark before each
            // try is not.
            pending.values().stream().filter(kept -> kept.attempted || kept.message.direction() != Direction.TO_X)
                    .forEach(Delivery::doubt);
            pending.values().forEach(accepted);
            writer.start();
        }

        /** The public URL under which conversations were opened last; empty if none is known. */
        synchronized String address() { return address; }
        void moved(String to) { submit(true, List.of(), line("address", to)); }

        /** By which this bridge is told apart from another beside it: as long-lived as its journal. */
        synchronized String name() { return name; }

        /** Since when events of X may be missing that no process of this bridge has read yet. */
        synchronized Optional<Instant> behind() { return since(behind); }
        void behind(Instant since) { submit(true, List.of(), line("behind", String.valueOf(since.toEpochMilli()))); }

        /** The first start: what is written from now on is missed if it does not come. */
        void begun() { submit(true, List.of(), line("begun", "")); }

        private static Optional<Instant> since(long millis) {
            return millis == 0 ? Optional.empty() : Optional.of(Instant.ofEpochMilli(millis));
        }

        /** When the newest message of a customer's was written, by X's clock; before the first, the first start. */
        synchronized Optional<Instant> newest() { return since(newest); }

        /** The conversations that are open as far as is known. If a power cut loses a line, it is only read again. */
        synchronized List<Conversation> conversations() { return List.copyOf(conversations.values()); }
        synchronized Optional<Conversation> conversation(String sid) {
            return Optional.ofNullable(conversations.get(sid));
        }
        synchronized void remember(Conversation open) {
            conversations.put(open.sid(), open);
            submit(true, List.of(), line(open));
        }

        void forget(String sid) { submit(true, List.of(), line("closed", sid)); }

        private static ObjectNode line(Conversation open) {
            return line(open.checked(), "conversation", open.sid()).put("customer", open.customer())
                    .put("url", open.url()).put("index", open.index());
        }

        /** @return true once all of them are on disk, be it from an earlier time; false if there is no room */
        CompletableFuture<Boolean> accept(List<Message> messages) { return submit(false, messages); }

        /** The same for messages that may have been delivered by another bridge. */
        CompletableFuture<Boolean> acceptShared(List<Message> messages) {
            ObjectNode[] lines = messages.stream().map(message -> line("attempt", message.id()))
                    .toArray(ObjectNode[]::new);
            return submit(false, messages, lines);
        }

        /** Marks that a message is about to be sent: after a crash it is looked for before it is repeated. */
        void markAttempted(String id) { submit(true, List.of(), line("attempt", id)).join(); }

        /** A reply's file is at X, and about to be sent: by its id it is found again. */
        void uploaded(Delivery reply) { submit(true, List.of(), file(reply)).join(); }

        private static ObjectNode file(Delivery reply) {
            return line("upload", reply.message.id()).put("as", reply.uploaded);
        }

        /** A part of a long reply has arrived. If a power cut loses this, the part is found at X. */
        void arrived(Delivery reply) { submit(true, List.of(), part(reply)); }

        private static ObjectNode part(Delivery reply) {
            return line("part", reply.message.id()).put("as", reply.lastId).put("part", reply.parts);
        }

        void delivered(String id, String as, List<Message> notes) {
            submit(true, notes, line("delivered", id).put("as", as));
        }

        void failed(String id, String reason, List<Message> notes) {
            submit(true, notes, line("failed", id).put("reason", reason));
        }

        /** What happened, and to which message; all lines have this shape. */
        private static ObjectNode line(String event, String id) { return line(Instant.now(), event, id); }

        private static ObjectNode line(Instant at, String event, String id) {
            return object().put("at", at.toEpochMilli()).put("do", event).put("id", id);
        }

        /** Keeps a note of the bridge's own, whatever the limits. */
        void tell(Message note) { submit(true, List.of(note)); }

        private CompletableFuture<Boolean> submit(boolean settles, List<Message> messages, ObjectNode... lines) {
            WriteRequest entry = new WriteRequest(messages, List.of(lines), settles, new CompletableFuture<>());
            if (open) queue.add(entry);
            else entry.done().complete(false);
            return entry.done();
        }

        synchronized Map<String, Long> counts() {
            Instant oldest = pending.isEmpty() ? Instant.now() : pending.values().iterator().next().at;
            Map<String, Long> counts = new LinkedHashMap<>();
            counts.put("received", received);
            counts.put("delivered", delivered);
            counts.put("duplicates", duplicates);
            counts.put("failed", (long) refused.size());
            counts.put("pending", (long) pending.size());
            counts.put("oldest_pending_seconds", Math.max(0, Duration.between(oldest, Instant.now()).toSeconds()));
            return counts;
        }

        Optional<String> trouble() {
            boolean broken = !trouble.isEmpty() || !writer.isAlive();
            if (broken) return Optional.of("the journal cannot be written: " + trouble);
            return full ? Optional.of("the journal is full, new messages get 503: see MAX_PENDING and MAX_JOURNAL_MIB")
                    : Optional.empty();
        }

        /** The writer: all that has come in since the last sync shares the next one. */
        private void write() {
            List<WriteRequest> batch = new ArrayList<>();
            while (open || !queue.isEmpty()) {
                try {
                    WriteRequest first = queue.poll(1, TimeUnit.SECONDS);
                    if (first != null) batch.add(first);
                    queue.drainTo(batch, 10_000);
                    takeRetryRequests().ifPresent(batch::add);
                    write(batch);
                    batch.clear();
                    boolean pays = size > rewriteAt && settledSince > pending.size()
                            || size > maxBytes && settledSince > pending.size() / 10
                            || rewritten.isBefore(Instant.now().minusSeconds(3600));
                    if (settledSince > 0 && pays) compact();
                } catch (InterruptedException never) {
                    open = false;
                } catch (IOException full) {
                    if (trouble.isEmpty()) LOG.log(ERROR,
                            () -> "the journal cannot be written, new messages are refused: " + reason(full));
                    trouble = reason(full);
                } catch (RuntimeException | Error failed) {
                    LOG.log(ERROR, "the journal's writer is in trouble", failed);
                }
                // What could not be written: a webhook gets 503 and comes again; what settles a message stays here and
                // is written again. A message may be sent without its mark: if the process dies before the mark is
                // written, it is repeated.
                batch.forEach(entry -> entry.done().complete(entry.settles()));
                batch.removeIf(entry -> !entry.settles());
            }
        }

        /** What must be on disk before anything follows from it. */
        private static final Set<String> SYNCED = Set.of("accept", "attempt", "upload");

        private void write(List<WriteRequest> batch) throws IOException {
            Set<String> fresh = new HashSet<>();
            List<ObjectNode> lines = new ArrayList<>();
            full = pending.size() >= maxPending || size > maxBytes;
            for (WriteRequest entry : batch) {
                List<Message> news = entry.messages().stream()
                        .filter(message -> !knows(message.id()) && fresh.add(message.id())).toList();
                if (!entry.settles() && !news.isEmpty()
                        && (pending.size() + fresh.size() > maxPending || size > maxBytes)) {
                    news.forEach(message -> fresh.remove(message.id()));
                    entry.done().complete(false);
                    continue;
                }
                if (!entry.settles()) duplicates += entry.messages().size() - news.size();
                Instant now = Instant.now();
                news.forEach(message -> lines.add(line(now, "accept", message.id()).set("message", toJson(message))));
                news.stream().filter(message -> forgotten(message, now)).forEach(old -> LOG.log(WARNING,
                        () -> "message " + old.id() + " is of " + old.time() + ": looked for before it is delivered"));
                lines.addAll(entry.lines());
            }
            // Settlements need no sync: if a power cut loses one, the message is looked up before it is sent again.
            boolean sync = lines.stream().anyMatch(line -> SYNCED.contains(line.path("do").asText()));
            if (lines.isEmpty() && !trouble.isEmpty()) lines.add(line("check", ""));
            if (!lines.isEmpty()) append(lines, sync);
            if (!trouble.isEmpty()) LOG.log(INFO, () -> "the journal can be written again");
            trouble = "";
            for (Delivery due : lines.stream().map(this::apply).flatMap(Optional::stream).toList()) {
                if (due.attempted) due.doubt();
                accepted.accept(due);
            }
            batch.forEach(entry -> entry.done().complete(true));
        }

        /** Writes at the end of what is good: what a failed write has left there goes first. */
        private void append(List<ObjectNode> lines, boolean sync) throws IOException {
            if (file.size() > size) file.truncate(size);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            for (ObjectNode line : lines) write(out, line);
            ByteBuffer bytes = ByteBuffer.wrap(out.toByteArray());
            while (bytes.hasRemaining()) file.write(bytes, size + bytes.position());
            if (sync) file.force(false);
            size += bytes.limit();
        }

        /** Leaves out what is settled, if that is possible; if not, the file is as good as before, only longer. */
        private void compact() throws IOException {
            try {
                writeSnapshot();
            } catch (IOException noRoom) {
                LOG.log(WARNING, () -> "the journal cannot be rewritten now: " + reason(noRoom));
                if (file == null) file = openPrivately(path);
            }
            rewriteAt = Math.max(SMALL, 2 * size);
            rewritten = Instant.now();
            settledSince = 0;
        }

        /** Written aside, synced, then put in the place of the old file in one step. */
        private void writeSnapshot() throws IOException {
            Path aside = folder.resolve("journal.new");
            Files.deleteIfExists(aside);
            FileChannel fresh = openPrivately(aside), old = file;
            try {
                OutputStream out = new BufferedOutputStream(Channels.newOutputStream(fresh), 1 << 16);
                snapshot(out);
                out.flush();
                fresh.force(true);
                Files.move(aside, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } catch (IOException | RuntimeException | Error failed) {
                fresh.close();
                Files.deleteIfExists(aside);
                throw failed;
            }
            syncNames(folder);
            file = fresh;
            size = fresh.size();
            if (old != null) old.close();
        }

        static void syncNames(Path folder) {
            try (FileChannel names = FileChannel.open(folder, StandardOpenOption.READ)) {
                names.force(true);
            } catch (IOException notOnThisSystem) {
                LOG.log(DEBUG, () -> "folders cannot be synced here: " + reason(notOnThisSystem));
            }
        }

        /** @throws CommandFailed if a line in the middle cannot be read: starting without it could lose a message */
        private void read() throws IOException, CommandFailed {
            if (!Files.exists(path)) return;
            long number = 0, broken = 0;
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(Files.newInputStream(path), UTF_8))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    number++;
                    JsonNode json = jsonOrMissing(line);
                    boolean good = json.isObject();
                    try {
                        if (good && broken == 0) apply(json);
                    } catch (IllegalArgumentException incomplete) {
                        good = false;
                    }
                    if (good && broken > 0) throw new CommandFailed(1,
                            List.of("the journal " + path + " is damaged at line " + broken
                            + ": nothing was changed; what the line says of a message can be read there, and without"
                            + " the line the bridge starts"));
                    if (!good && broken == 0) broken = number;
                    if (broken == 0) size += line.getBytes(UTF_8).length + 1;
                }
            }
            if (broken > 0) LOG.log(WARNING,
                    () -> "the journal ended in a torn line, which was never acknowledged: it is left out");
        }

        /** Makes memory follow a line. @return the message that is to be delivered because of it, if there is one */
        private synchronized Optional<Delivery> apply(JsonNode written) {
            JsonNode line = modern(written);
            Instant at = Instant.ofEpochMilli(line.path("at").asLong());
            String id = line.path("id").asText();
            switch (line.path("do").asText()) {
                case "accept" -> {
                    Message message = message(line.path("message"));
                    if (message.direction() != Direction.NOTE) received++;
                    return Optional.of(due(new Delivery(message, at, forgotten(message, at))));
                }
                case "attempt" -> take(pending::get, id).ifPresent(kept -> kept.attempted = true);
                case "upload" -> take(pending::get, id).ifPresent(kept -> {
                    kept.attempted = true;
                    kept.uploaded = line.path("as").asText();
                });
                case "part" -> {
                    remember(line.path("as").asText(), at.toEpochMilli());
                    take(pending::get, id).ifPresent(kept -> kept.arrived(line.path("part").asInt(),
                            line.path("as").asText()));
                }
                case "delivered" -> take(pending::remove, id)
                        .ifPresent(kept -> delivered(kept.message, line.path("as").asText(), at));
                case "failed" -> take(pending::remove, id)
                        .ifPresent(kept -> failed(kept, line.path("reason").asText(), at));
                case "retry" -> {
                    return take(refused::remove, id).map(back -> due(back.again(at)));
                }
                case "conversation" -> conversations.put(id, new Conversation(id, line.path("customer").asText(),
                        line.path("url").asText(), line.path("index").asLong(), at));
                case "closed" -> conversations.remove(id);
                case "begun" -> newest = Math.max(newest, line.path("at").asLong());
                case "behind" -> behind = line.path("id").asLong();
                case "seen" -> line.path("ids").properties()
                        .forEach(one -> remember(one.getKey(), one.getValue().asLong()));
                case "address" -> address = id;
                case "head" -> {
                    address = id;
                    name = line.path("name").asText();
                    newest = line.path("newest").asLong();
                    received = line.path("received").asLong();
                    delivered = line.path("delivered").asLong();
                }
                default -> { /* A line of a later version, or one that only tried the disk. */ }
            }
            return Optional.empty();
        }

        /** A line as the version before wrote it, told apart by the field that names the event. */
        private static JsonNode modern(JsonNode line) {
            if (line.has("do")) return line;
            ObjectNode modern = line.deepCopy();
            for (String event : List.of("attempt", "delivered", "failed", "retry", "address")) {
                if (line.has(event)) modern.put("do", event).put("id", line.path(event).asText());
            }
            if (line.has("message")) modern.put("do", "accept");
            if (line.has("seen")) modern.put("do", "seen").set("ids", line.path("seen"));
            // Its first line has the address too, and how many were delivered.
            if (line.has("bridge")) modern.put("do", "head").put("id", line.path("address").asText());
            return modern;
        }

        private Delivery due(Delivery kept) {
            boolean fromX = kept.message.direction() == Direction.TO_FLEX;
            if (fromX) newest = Math.max(newest, kept.message.time().toEpochMilli());
            pending.put(kept.message.id(), kept);
            return kept;
        }

        private static <T> Optional<T> take(Function<String, T> from, String id) {
            return Optional.ofNullable(from.apply(id));
        }

        private void delivered(Message message, String as, Instant at) {
            if (message.direction() != Direction.NOTE) delivered++;
            remember(message.id(), at.toEpochMilli());
            // By its new id a message found at X is known to be an earlier one.
            if (message.direction() == Direction.TO_X) remember(as, at.toEpochMilli());
        }

        private void failed(Delivery delivery, String reason, Instant at) {
            Message message = delivery.message;
            settledSince++;
            if (message.direction() == Direction.NOTE) {
                // It is told once, be it in vain.
                remember(message.id(), at.toEpochMilli());
                return;
            }
            refused.put(message.id(), new RefusedMessage(delivery, at, reason));
            if (refused.size() <= MOST_REFUSED) return;
            String oldest = refused.keySet().iterator().next();
            refused.remove(oldest);
            LOG.log(WARNING, () -> "the refused message " + oldest + " is forgotten: more than " + MOST_REFUSED
                    + " are kept");
        }

        /** Whether its id, had it been delivered long ago, may be forgotten: it is looked for before it is sent. */
        private static boolean forgotten(Message message, Instant at) {
            return message.time().isBefore(at.minus(REMEMBERED));
        }

        private void remember(String id, long at) {
            settledSince++;
            settled.put(id, at);
            long yesterday = Instant.now().minus(REMEMBERED).toEpochMilli();
            for (var eldest = settled.entrySet().iterator(); settled.size() > FEWEST_IDS;) {
                if (eldest.next().getValue() > yesterday && settled.size() <= MOST_IDS) return;
                eldest.remove();
            }
        }

        /** Whether this id has been seen: of a message that was accepted, or one that X gave to a message of ours. */
        synchronized boolean knows(String id) {
            return pending.containsKey(id) || refused.containsKey(id) || settled.containsKey(id);
        }

        /** The fewest lines that say the same. */
        private synchronized void snapshot(OutputStream out) throws IOException {
            // Those that wait and those that were refused are counted again when they are read.
            long waiting = pending.values().stream().filter(kept -> kept.message.direction() != Direction.NOTE).count();
            write(out, line("head", address).put("name", name).put("newest", newest).put("delivered", delivered)
                    .put("received", received - waiting - refused.size()));
            ObjectNode ids = object();
            for (Map.Entry<String, Long> id : settled.entrySet()) {
                ids.put(id.getKey(), id.getValue());
                if (ids.size() == 1000) {
                    write(out, line("seen", "").set("ids", ids));
                    ids = object();
                }
            }
            write(out, line("seen", "").set("ids", ids));
            for (Conversation open : conversations.values()) write(out, line(open));
            write(out, line("behind", String.valueOf(behind)));
            for (RefusedMessage kept : refused.values()) {
                snapshot(kept.delivery(), out);
                write(out, line(kept.at(), "failed", kept.message().id()).put("reason", kept.reason()));
            }
            for (Delivery kept : pending.values()) snapshot(kept, out);
        }

        private static void snapshot(Delivery kept, OutputStream out) throws IOException {
            Message message = kept.message;
            write(out, line(kept.at, "accept", message.id()).set("message", toJson(message)));
            if (kept.attempted) write(out, line(kept.at, "attempt", message.id()));
            if (message.direction() == Direction.TO_X && kept.parts > 0) write(out, part(kept));
            if (!kept.uploaded.isEmpty()) write(out, file(kept));
        }

        static ObjectNode toJson(Message message) {
            ObjectNode json = object().put("direction", message.direction().name()).put("id", message.id())
                    .put("customer", message.customer()).put("handle", message.handle()).put("name", message.name())
                    .put("text", message.text()).put("answer", message.answer())
                    .put("conversation", message.conversation()).put("time", message.time().toEpochMilli());
            ArrayNode attachments = json.putArray("attachments");
            for (Attachment one : message.attachments()) {
                if (!one.isFile()) {
                    attachments.add(one.text());
                } else {
                    ObjectNode file = attachments.addObject().put("id", one.id()).put("text", one.text());
                    one.sources().forEach(file.putArray("sources")::add);
                }
            }
            return json;
        }

        /** @throws IllegalArgumentException if it is not what {@link #toJson} wrote */
        static Message message(JsonNode json) {
            List<Attachment> attachments = json.path("attachments").valueStream().map(Journal::attachment).toList();
            return new Message(Direction.valueOf(json.path("direction").asText()), json.path("id").asText(),
                    json.path("customer").asText(), json.path("handle").asText(), json.path("name").asText(),
                    json.path("text").asText(), attachments, json.path("answer").asText(),
                    json.path("conversation").asText(), Instant.ofEpochMilli(json.path("time").asLong()));
        }

        private static Attachment attachment(JsonNode json) {
            List<String> sources = json.path("sources").valueStream().map(JsonNode::asText).toList();
            return json.isTextual() ? Attachment.told(json.asText())
                    : new Attachment(json.path("id").asText(), json.path("text").asText(), sources);
        }

        private static void write(OutputStream out, ObjectNode line) throws IOException {
            out.write((line + "\n").getBytes(UTF_8));
        }

        /** What a journal says, while a bridge may be writing it. */
        static Journal look(Path folder) throws CommandFailed, IOException {
            Journal journal = new Journal(folder);
            journal.read();
            return journal;
        }

        /** What {@link #look} gives to a command, which may have been typed in another folder or by another user. */
        private static Journal find(Path folder) throws CommandFailed {
            try {
                Journal journal = new Journal(folder);
                Files.readAttributes(journal.path, BasicFileAttributes.class);
                journal.read();
                return journal;
            } catch (IOException failed) {
                // A DATA_DIR that is a file is told in different ways by different JDKs.
                boolean none = failed instanceof NoSuchFileException || Files.isRegularFile(folder);
                throw new CommandFailed(1, List.of(none
                        ? "there is no journal in " + folder + ": set DATA_DIR to the bridge's folder"
                        : "the journal in " + folder + " cannot be read (" + reason(failed)
                                + "): run this as the bridge's user"));
            }
        }

        /** The lines of the {@code failed} command: id, time, customer and reason, and no text. */
        static List<String> failed(Path folder) throws CommandFailed {
            return find(folder).refused.values().stream().map(kept -> String.join("  ", kept.message().id(),
                    kept.at().toString(), kept.message().customer(), kept.reason())).toList();
        }

        /** Leaves a request for the bridge that holds the folder's lock, or the next that will. @return for how many */
        static int requestRetry(Path folder, String given) throws CommandFailed, IOException {
            String id = given.isEmpty() ? "all" : given;
            Set<String> refused = find(folder).refused.keySet();
            if (id.equals("all") ? refused.isEmpty() : !refused.contains(id)) {
                throw new CommandFailed(1, List.of(id.equals("all")
                        ? "no message was refused, by the journal in " + folder
                        : "no refused message has the id " + id + " in " + folder + ": see the command failed"));
            }
            Files.writeString(folder.resolve("retry"), id + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
            // Whoever asks may be another user than the bridge.
            folder.resolve("retry").toFile().setReadable(true, false);
            return id.equals("all") ? refused.size() : 1;
        }

        private Optional<WriteRequest> takeRetryRequests() {
            Path asked = folder.resolve("retry");
            if (!Files.isRegularFile(asked) || !Files.isReadable(asked)) return Optional.empty();
            try {
                Set<String> ids = Set.copyOf(Files.readAllLines(asked));
                // Empty: it is being written at this moment.
                if (ids.isEmpty()) return Optional.empty();
                Files.delete(asked);
                List<ObjectNode> lines = refused.keySet().stream().filter(id -> ids.contains("all") || ids.contains(id))
                        .map(id -> line("retry", id)).toList();
                LOG.log(INFO, () -> lines.size() + " refused messages are put back");
                return Optional.of(new WriteRequest(List.of(), lines, true, new CompletableFuture<>()));
            } catch (IOException failed) {
                LOG.log(WARNING, () -> "what is asked for by " + asked + " cannot be done: " + reason(failed));
                return Optional.empty();
            }
        }

        @Override public void close() {
            // The writer wakes at once, writes what is left, and ends.
            open = false;
            queue.add(new WriteRequest(List.of(), List.of(), true, new CompletableFuture<>()));
            try {
                if (writer.isAlive()) writer.join(2000);
                file.force(false);
            } catch (IOException | InterruptedException failed) {
                LOG.log(WARNING, () -> "closing the journal: " + reason(failed));
            }
            closeFiles();
        }

        private void closeFiles() {
            try {
                if (file != null) file.close();
                if (lock != null) lock.close();
            } catch (IOException failed) {
                LOG.log(DEBUG, () -> "closing the journal: " + reason(failed));
            }
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 14. Media: pictures, videos and files, from one service to the other.

    /**
     * Carries a file by way of one in DATA_DIR that loses its name as soon as it is open: with this process it is gone.
     * What fails here is this one message's trouble, and after an hour its end; doing it again costs nothing.
     */
    static final class Media {
        /** Times the longest backoff that a file is tried, and that X may look into one: an hour, five minutes. */
        private static final int TRIED = 60, PROCESSED = 5;
        /** Bytes of a file that Flex shows, and of a segment (5 MB, as X has it, were refused). */
        private static final long MOST_IN_FLEX = 16 << 20, SEGMENT = 1 << 20;
        private static final long PIECE = 16 << 10;
        /** What X takes in Direct Messages (X API, "Media best practices"). */
        private static final Map<String, String> CATEGORIES = Map.of("image/jpeg", "dm_image", "image/png", "dm_image",
                "image/webp", "dm_image", "image/gif", "dm_gif", "video/mp4", "dm_video");
        private static final Map<String, Long> MOST_AT_X =
                Map.of("dm_image", 5L << 20, "dm_gif", 15L << 20, "dm_video", 512L << 20);
        /** How files begin, as ISO 8859-1. */
        private static final Map<String, Pattern> TYPES = Map.of("image/jpeg", Pattern.compile("\u00ff\u00d8\u00ff"),
                "image/png", Pattern.compile("\u0089PNG"), "image/gif", Pattern.compile("GIF8"),
                "image/webp", Pattern.compile("(?s)RIFF.{4}WEBP"),
                // HEIC and AVIF pictures begin with a box like a video's, of another brand.
                "video/mp4", Pattern.compile("(?s).{4}ftyp(?!avi|he[iv]|mi[af]|msf)"));
        /** With which each picture of an animation begins (GIF89a, "Graphic Control Extension"). */
        private static final String FRAME = "!\u00f9\u0004";
        private static final Promise LINK = Promise.fields("/links/content_direct_temporary", "\\S+")
                .and(Promise.number("/size")).and(file -> file.path("content_type").isTextual());

        private final Client client;
        private final XAccess access;
        private final Twilio twilio;
        private final Settings settings;
        private final Timing timing;
        /** Addresses that are asked, and those of them that get our signature. */
        private final Pattern known, signed;
        /** Where photos are for whoever has a token instead. */
        private final String api2;

        Media(Client client, XAccess access, Twilio twilio, Settings settings, Timing timing) {
            this.client = client;
            this.access = access;
            this.twilio = twilio;
            this.settings = settings;
            this.timing = timing;
            api2 = settings.twitterApiUrl() + "/2/dm_conversations/media/";
            String x = Pattern.quote(settings.twitterApiUrl());
            String product = Pattern.quote(settings.twilioApiUrl()).replace("{product}", "\\E[\\w.-]+\\Q");
            known = Pattern.compile("(https://([\\w-]+\\.)*(twitter|x|twimg)\\.com|" + x + "|" + product + ")/\\S*");
            signed = Pattern.compile("(https://ton\\.(twitter|x)\\.com|" + x + ")/(1\\.1|i)/ton/data/dm/[^?#]*");
        }

        /** A file under way. @param moved bytes of it, back and forth */
        private record Load(FileChannel file, AtomicLong moved) {
            long size() throws IOException { return file.size(); }

            void clear() {
                try {
                    file.truncate(0);
                    moved.set(0);
                } catch (IOException broken) {
                    throw new UncheckedIOException(broken);
                }
            }

            void append(byte[] bytes) {
                try {
                    for (ByteBuffer rest = ByteBuffer.wrap(bytes); rest.hasRemaining();) file.write(rest, size());
                    moved.addAndGet(bytes.length);
                } catch (IOException full) {
                    throw new UncheckedIOException(full);
                }
            }

            byte[] read(long from, long length) {
                try {
                    ByteBuffer bytes = ByteBuffer.allocate((int) Math.min(length, size() - from));
                    while (bytes.hasRemaining() && file.read(bytes, from + bytes.position()) > 0) { /* more */ }
                    moved.addAndGet(bytes.capacity());
                    return bytes.array();
                } catch (IOException broken) {
                    throw new UncheckedIOException(broken);
                }
            }

            /** A part of it as a request's body, read as it is sent. */
            HttpRequest.BodyPublisher body(String before, long from, long length, String after) {
                Iterable<byte[]> pieces = () -> Stream.of(Stream.of(before.getBytes(UTF_8)),
                        LongStream.iterate(from, at -> at < from + length, at -> at + PIECE)
                                .mapToObj(at -> read(at, Math.min(PIECE, from + length - at))),
                        Stream.of(after.getBytes(UTF_8))).reduce(Stream::concat).get().iterator();
                return HttpRequest.BodyPublishers.fromPublisher(HttpRequest.BodyPublishers.ofByteArrays(pieces),
                        before.length() + length + after.length());
            }
        }

        private interface Transfer {
            Outcome of(Load load) throws IOException;
        }

        private Outcome carry(Delivery delivery, int patience, Transfer transfer) {
            Path path = settings.dataDir().resolve("transfer-" + UUID.randomUUID());
            Outcome outcome;
            Set<StandardOpenOption> how = Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.READ,
                    StandardOpenOption.WRITE, StandardOpenOption.DELETE_ON_CLOSE);
            try (FileChannel file = FileChannel.open(path, how, Journal.only("rw-------"))) {
                outcome = transfer.of(new Load(file, new AtomicLong()));
            } catch (IOException | UncheckedIOException full) {
                outcome = later("a file cannot be kept: " + reason(full), Duration.ZERO);
            }
            if (!(outcome instanceof Outcome.RetryLater later)) return outcome;
            long now = System.nanoTime();
            if (delivery.stuck.isEmpty()) delivery.stuck = Optional.of(now);
            boolean over = now - delivery.stuck.get() > timing.maxBackoff().multipliedBy(patience).toNanos();
            // What is wrong with us refuses nothing, however long it takes to be mended.
            boolean itsOwn = later.scope() != Outcome.Scope.SERVICE;
            return over && itsOwn ? refused(later.reason()) : later.forThisMessageOnly();
        }

        private static Outcome refused(String reason) { return new Outcome.Refused(reason, false); }
        private static Outcome later(String reason, Duration after) {
            return new Outcome.RetryLater(reason, after, Outcome.Scope.MESSAGE, false);
        }

        /** @return delivered under the id by which a message can have it */
        Outcome toFlex(Delivery delivery, Attachment attachment) {
            return carry(delivery, TRIED, load -> {
                Outcome asked = ask(delivery, attachment);
                if (!(asked instanceof Outcome.Delivered)) return asked;
                Outcome came = refused("X does not tell where it is");
                for (String source : delivery.found.isEmpty() ? attachment.sources() : delivery.found) {
                    came = fetch(source, load);
                    if (!(came instanceof Outcome.Refused)) break;
                }
                if (!(came instanceof Outcome.Delivered type)) return came;
                String extension = type.id().replaceFirst(".*/", "").replace("jpeg", "jpg");
                String name = "x-" + delivery.message.id() + "." + extension;
                HttpRequest.Builder request = twilio.request("mcs.us1", files() + "?Filename=" + name)
                        .header("Content-Type", type.id()).POST(load.body("", 0, load.size(), ""));
                return client.call(Twilio.SERVICE, request, Promise.fields("/sid", Promise.MEDIA), load.moved()::get,
                        Optional.empty()).outcome();
            });
        }

        private String files() { return "/v1/Services/" + settings.get(FLEX_CHAT_SERVICE) + "/Media"; }

        /** What a webhook has left out X is asked for; once, as it wants to be paid for that. */
        private Outcome ask(Delivery delivery, Attachment attachment) {
            boolean known = attachment.sources().stream().noneMatch(one -> FromX.MEDIA_PAGE.matcher(one).matches());
            Message message = delivery.message;
            if (known || !delivery.found.isEmpty()) return Response.DONE.outcome();
            HttpRequest.Builder request = access.request("/2/dm_events/" + message.id(), XApi.shown()).GET();
            Response answer = access.call(request, Promise.fields("/data/id", Promise.NUMBER));
            boolean soon = answer.outcome() instanceof Outcome.RetryLater later
                    && later.scope() == Outcome.Scope.MESSAGE;
            if (!answer.ok()) return soon ? answer.outcome() : refused(answer.sentence());
            JsonNode event = XApi.asWebhook(answer.body().path("data"), message.customer(), false,
                    answer.body().at("/includes/media"));
            delivery.found = FromX.attachments(event.at("/message_create/message_data")).stream()
                    .flatMap(one -> one.sources().stream()).toList();
            return answer.outcome();
        }

        /** A photo that our signature does not open may open to a token, by API 2. */
        private Outcome fetch(String source, Load load) throws IOException {
            boolean token = signed.matcher(source).matches()
                    && (settings.hasClient() || !settings.get(TWITTER_USER_TOKEN).isEmpty());
            String other = api2 + source.replaceFirst(".*/ton/data/dm/", "");
            boolean only = token && !settings.hasKeys();
            Outcome came = download(X.SERVICE, only ? other : source, MOST_IN_FLEX, load);
            if (came instanceof Outcome.Delivered || !token || only) return came;
            Outcome second = download(X.SERVICE, other, MOST_IN_FLEX, load);
            return second instanceof Outcome.Delivered ? second : came;
        }

        /** @return delivered with its type */
        private Outcome download(String service, String url, long most, Load load) throws IOException {
            if (!known.matcher(url).matches()) return refused("its address is none of " + service + "'s");
            AtomicBoolean large = new AtomicBoolean();
            HttpResponse.BodyHandler<Void> into = answer -> HttpResponse.BodySubscribers.ofByteArrayConsumer(
                    piece -> piece.ifPresent(bytes -> {
                        long least = load.moved().get() + bytes.length;
                        large.set(answer.headers().firstValueAsLong("content-length").orElse(least) > most
                                || least > most);
                        if (large.get()) throw new IllegalStateException("too large");
                        load.append(bytes);
                    }));
            Response answer;
            try {
                HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).GET();
                if (signed.matcher(url).matches()) request = XAccess.signed(settings, request);
                boolean byOthers = url.startsWith(api2) && !settings.hasClient();
                if (byOthers) request.header("Authorization", "Bearer " + settings.get(TWITTER_USER_TOKEN));
                Function<HttpRequest.Builder, Response> call = one -> {
                    load.clear();
                    return client.call(service, one, Promise.ANYTHING, load.moved()::get, Optional.of(into));
                };
                boolean byToken = url.startsWith(api2) && settings.hasClient();
                answer = byToken ? access.byToken(call, request) : call.apply(request);
            } catch (IllegalArgumentException noAddress) {
                return refused("its address makes no sense");
            }
            if (large.get()) return refused("it is larger than " + (most >> 20) + " MiB");
            int status = answer.status();
            // A link of Twilio's is good for a short while, and the next one is another.
            boolean soon = status == 0 || status == 401 || status == 408 || status == 429 || status >= 500
                    || service.equals(Twilio.SERVICE) && !answer.ok();
            if (soon) return later(answer.sentence(), answer.pause());
            if (!answer.ok()) return refused("its address answers " + status);
            if (load.size() == 0) return refused("it is empty");
            String head = new String(load.read(0, 12), ISO_8859_1);
            return TYPES.entrySet().stream().filter(type -> type.getValue().matcher(head).lookingAt()).findFirst()
                    .<Outcome>map(type -> new Outcome.Delivered(type.getKey(), ""))
                    .orElse(refused("what is there is no picture or video"));
        }

        /** @return delivered under the id by which a Direct Message can have it */
        Outcome toX(Delivery delivery, Attachment attachment) {
            if (attachment.id().isEmpty()) return refused("it is not known any more where it is");
            if (!delivery.processing.isEmpty()) return carry(delivery, PROCESSED, load -> {
                Response status = step("STATUS", delivery.processing, Form.of(), Optional.empty(), 0, 0);
                if (status.ok()) return processed(delivery, status);
                // Too old, perhaps.
                delivery.processing = "";
                return later(status.sentence(), status.pause());
            });
            return carry(delivery, TRIED, load -> {
                Response told = twilio.get("mcs.us1", files() + "/" + Form.escape(attachment.id()), LINK);
                if (!told.ok()) return told.outcome();
                String link = told.body().at("/links/content_direct_temporary").asText();
                Outcome came = download(Twilio.SERVICE, link, MOST_AT_X.get("dm_video"), load);
                if (came instanceof Outcome.RetryLater) return came;
                // Its bytes say what it is; what it is called may be wrong.
                String type = came instanceof Outcome.Delivered is ? is.id() : "";
                String category = CATEGORIES.getOrDefault(type, "");
                long size = load.size(), most = MOST_AT_X.getOrDefault(category, 0L);
                String why = came instanceof Outcome.Refused no ? no.reason() : size > most ? "it is too large" : "";
                if (!why.isEmpty()) {
                    String called = cut(told.body().path("content_type").asText(), 50);
                    return refused("X takes pictures (JPEG, PNG, WebP) up to 5 MB, GIFs up to 15 and MP4 videos up to"
                            + " 512: " + why + " (" + called + ", "
                            + (told.body().path("size").asLong() + 999) / 1000 + " KB)");
                }
                boolean small = category.equals("dm_gif") && size <= MOST_AT_X.get("dm_image");
                String gif = small ? new String(load.read(0, size), ISO_8859_1) : "";
                boolean still = small && gif.indexOf(FRAME) == gif.lastIndexOf(FRAME);
                return upload(delivery, still ? "dm_image" : category, type, load);
            });
        }

        private Outcome upload(Delivery delivery, String category, String type, Load load) throws IOException {
            long size = load.size();
            boolean whole = category.equals("dm_image");
            Form kind = Form.of("media_category", category);
            Form about = kind.and(Form.of("media_type", type, "total_bytes", String.valueOf(size)));
            Response begun = whole ? step("", "", kind, Optional.of(load), 0, size)
                    : step("INIT", "", about, Optional.empty(), 0, 0);
            String id = begun.body().path("media_id_string").asText(begun.body().at("/data/id").asText());
            if (whole || !begun.ok()) return begun.ok() ? new Outcome.Delivered(id, "") : notTaken(begun);
            for (long at = 0; at < size; at += SEGMENT) {
                Form index = Form.of("segment_index", String.valueOf(at / SEGMENT));
                Response put = step("APPEND", id, index, Optional.of(load), at, Math.min(SEGMENT, size - at));
                if (!put.ok()) return notTaken(put);
            }
            Response ended = step("FINALIZE", id, Form.of(), Optional.empty(), 0, 0);
            if (!ended.ok()) return notTaken(ended);
            delivery.processing = id;
            delivery.stuck = Optional.empty();
            return processed(delivery, ended);
        }

        private static Outcome notTaken(Response answer) {
            boolean large = answer.status() == 413 || answer.status() == 431;
            return large ? refused(answer.sentence()) : answer.outcome();
        }

        private static Outcome processed(Delivery delivery, Response answer) {
            JsonNode info = answer.body().findPath("processing_info");
            String id = delivery.processing;
            switch (info.isMissingNode() ? "succeeded" : info.path("state").asText()) {
                case "succeeded" -> {
                    return new Outcome.Delivered(id, "");
                }
                case "failed" -> {
                    delivery.processing = "";
                    return refused("X could not make use of the file (" + info.at("/error/name").asText()
                            + "): it takes MP4 videos of at most 140 s in H.264, and GIFs of at most 350 pictures");
                }
                default -> {
                    long seconds = Math.min(10, info.path("check_after_secs").asLong());
                    return later("X is still looking into the file", Duration.ofSeconds(seconds));
                }
            }
        }

        /** One step of an upload: in API 1.1 all about it is in the query, in API 2 in a path and a body of its own. */
        private Response step(String command, String id, Form about, Optional<Load> load, long from, long length) {
            boolean old = settings.get(TWITTER_API).equals("1.1"), asks = command.equals("STATUS");
            Form all = Form.of("command", command, "media_id", id).and(about);
            Form query = new Form(!old && !asks ? List.of()
                    : all.fields().stream().filter(field -> !field.getValue().isEmpty()).toList());
            String path = switch (old ? "" : command) {
                case "INIT" -> "/2/media/upload/initialize";
                case "APPEND", "FINALIZE" -> "/2/media/upload/" + id + "/" + command.toLowerCase(Locale.ROOT);
                default -> old ? "/1.1/media/upload.json" : "/2/media/upload";
            };
            String api = settings.twitterApiUrl();
            // API 1.1 has a host of its own for that.
            String host = old ? api.replaceFirst("^https://api\\.(twitter|x)\\.com$", "https://upload.$1.com") : api;
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(host + path
                    + (query.fields().isEmpty() ? "" : "?" + query.encode())));
            if (load.isPresent()) {
                String boundary = UUID.randomUUID().toString();
                StringBuilder before = new StringBuilder();
                String part = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"";
                if (!old) about.fields().forEach(field -> before.append(part).append(field.getKey())
                        .append("\"\r\n\r\n").append(field.getValue()).append("\r\n"));
                before.append(part).append("media\"; filename=\"media\"\r\n")
                        .append("Content-Type: application/octet-stream\r\n\r\n");
                request.header("Content-Type", "multipart/form-data; boundary=" + boundary)
                        .POST(load.get().body(before.toString(), from, length, "\r\n--" + boundary + "--\r\n"));
            } else if (!old && command.equals("INIT")) {
                ObjectNode body = object().put("total_bytes", Long.parseLong(about.get("total_bytes")));
                about.fields().forEach(field -> body.putIfAbsent(field.getKey(), TextNode.valueOf(field.getValue())));
                request.header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(body.toString()));
            } else if (!asks) {
                request.POST(HttpRequest.BodyPublishers.noBody());
            }
            Promise promise = command.equals("APPEND") ? Promise.ANYTHING
                    : Promise.fields(old ? "/media_id_string" : "/data/id", Promise.NUMBER);
            LongSupplier moved = load.<LongSupplier>map(one -> one.moved()::get).orElse(() -> 0);
            return access.callBy(one -> client.call(X.SERVICE, one, promise, moved, Optional.empty()), request);
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 15. Rich messages: what agents can type for the customer to tap, and texts cut to fit.

    /**
     * What an agent typed, read as X can show it: a text, a list to choose from ({@code Options}) and buttons
     * ({@code Link}).
     *
     * @param text what remains as the message's text; all that was typed, if there is a complaint
     * @param complaint why a list or button went out as plain text, or empty
     */
    record Rich(String text, List<Option> options, List<Button> buttons, String complaint) {
        /** Limits of X: options and buttons of a message, code points of a label and a description. */
        static final int MAX_OPTIONS = 20, MAX_BUTTONS = 3, MAX_LABEL = 36, MAX_DESCRIPTION = 72;

        record Option(String label, String description) { }
        record Button(String label, String url) { }

        /**
         * A label holds neither a comma nor another {@code Link}; what follows the comma has to look like an address.
         */
        private static final Pattern BUTTON = Pattern.compile(
                "(?U)\\bLink\\s++((?:(?!\\bLink\\b)[^,\\n])*?[^,\\s]),\\s*((?:[A-Za-z][A-Za-z0-9+.-]*:/|www\\.)\\S*)");
        private static final Pattern LIST = Pattern.compile("(?U)\\bOptions(?:[ \\t]*:|(?=\\s))\\s*");
        private static final Pattern BLANK_LINE = Pattern.compile("\\n[ \\t]*\\n");
        private static final Pattern SCHEME = Pattern.compile("https?://", Pattern.CASE_INSENSITIVE);
        /** Marks that may follow an address; those that close what it has opened are a part of it. */
        private static final String OPENING = "([{<“‘«「（\"'", CLOSING = ")]}>”’»」）\"'";
        private static final String ENDING = OPENING + CLOSING + ".,;:!?…。，、；：！？";

        static Rich read(String typed) {
            List<Button> buttons = new ArrayList<>();
            // What a button stood on becomes a blank line: it ends a list, and what comes after is text again. The
            // marks behind its address wait after a \r, the only one there is.
            String rest = BUTTON.matcher(typed.replaceAll("\r\n?", "\n")).replaceAll(found -> {
                String run = found.group(2);
                int end = addressEnd(run);
                buttons.add(new Button(found.group(1).strip(), run.substring(0, end)));
                return "\n\n\r" + run.substring(end).replaceAll("[,;:]", "");
            });
            List<Option> options = List.of();
            String text = rest;
            int tries = 0;
            for (Matcher list = LIST.matcher(rest); options.isEmpty() && tries++ < 100 && list.find();) {
                Matcher blank = BLANK_LINE.matcher(rest);
                int end = blank.find(list.end()) ? blank.start() : rest.length();
                List<String> items = Stream.of(rest.substring(list.end(), end).split("[,\\n]")).map(String::strip)
                        .map(item -> item.replaceFirst("^[-*•]\\s+", "")).filter(item -> !item.isEmpty()).toList();
                if (opens(rest.substring(0, list.start()), list.group().contains(":"), items)) {
                    options = options(items);
                    text = rest.substring(0, list.start()) + "\n\n" + rest.substring(end);
                }
            }
            String complaint = complaint(options, buttons);
            if (!complaint.isEmpty() || options.isEmpty() && buttons.isEmpty()) {
                return new Rich(typed, List.of(), List.of(), complaint);
            }
            // They end the sentence before the button if there is one; brackets around the button go with it.
            String unbracketed = text.replaceAll("(?U)[\\Q" + OPENING + "\\E]\\s*\\r[\\Q" + CLOSING + "\\E]", "\n\n\r");
            String ended = unbracketed.replaceAll("(?U)(?<=[^\\s.,;:!?…])\\s*\\r(\\S+)", "$1")
                    .replaceAll("(?U)\\r\\S*", "");
            String tidy = ended.strip().replaceAll("(?<![ \\t])[ \\t]*+\\n(?:[ \\t]*+\\n)++[ \\t]*+", "\n\n");
            boolean blank = X.seen(tidy, Normalizer.Form.NFC).isEmpty();
            return new Rich(blank ? labels(options, buttons) : tidy, options, List.copyOf(buttons), "");
        }

        private static int addressEnd(String run) {
            int[] open = new int[OPENING.length()];
            int end = 0;
            for (int i = 0; i < run.length(); i++) {
                char mark = run.charAt(i);
                int opening = OPENING.indexOf(mark), closing = CLOSING.indexOf(mark);
                boolean closes = closing >= 0 && open[closing] > 0;
                if (closes) open[closing]--;
                else if (opening >= 0) open[opening]++;
                if (closes || ENDING.indexOf(mark) < 0) end = i + 1;
            }
            return end;
        }

        private static String labels(List<Option> options, List<Button> buttons) {
            return Stream.concat(options.stream().map(Option::label), buttons.stream().map(Button::label))
                    .collect(Collectors.joining(" / "));
        }

        /**
         * Whether an {@code Options} is meant as a command: where it stands says so, or in the middle of a sentence
         * what follows.
         */
        private static boolean opens(String before, boolean colon, List<String> items) {
            String sentence = before.stripTrailing();
            boolean stands = colon || sentence.isEmpty() || before.indexOf('\n', sentence.length()) >= 0
                    || ".:?!".indexOf(sentence.charAt(sentence.length() - 1)) >= 0;
            boolean lower = items.stream().anyMatch(item -> Character.isLowerCase(item.codePointAt(0)));
            // One item in lower case is a sentence about options ("Options are limited today"), wherever it begins.
            return items.size() > 1 ? stands || !lower : items.size() == 1 && stands && (colon || !lower);
        }

        /**
         * Label and description are parted by " - "; where no item has that and each has exactly one hyphen, by the
         * hyphen.
         */
        private static List<Option> options(List<String> items) {
            boolean hyphens = items.stream().noneMatch(item -> item.contains(" - "))
                    && items.stream().allMatch(item -> item.matches("[^-]*-[^-]*"));
            return items.stream().map(item -> {
                String[] halves = item.split(hyphens ? "-" : " - ", 2);
                return new Option(halves[0].strip(), halves.length == 2 ? halves[1].strip() : "");
            }).toList();
        }

        private static String complaint(List<Option> options, List<Button> buttons) {
            Set<String> wrong = new LinkedHashSet<>();
            if (options.size() > MAX_OPTIONS) wrong.add("it has " + options.size() + " options, X shows at most "
                    + MAX_OPTIONS);
            if (buttons.size() > MAX_BUTTONS) wrong.add("it has " + buttons.size() + " buttons, X shows at most "
                    + MAX_BUTTONS);
            for (Option option : options) {
                tooLong(option.label(), MAX_LABEL, "label", wrong);
                tooLong(option.description(), MAX_DESCRIPTION, "description", wrong);
                if (NumberedLists.folded(option.label()).isEmpty() || SCHEME.matcher(option.label()).find()) {
                    wrong.add("an option's label is empty or has a link in it");
                }
            }
            long described = options.stream().filter(option -> !option.description().isEmpty()).count();
            if (described > 0 && described < options.size()) {
                wrong.add("only " + described + " of " + options.size()
                        + " options have a description, X wants all or none");
            }
            for (Button button : buttons) {
                tooLong(button.label(), MAX_LABEL, "label", wrong);
                if (NumberedLists.folded(button.label()).isEmpty()) wrong.add("a button's label is empty");
                if (!usable(button.url())) wrong.add("\"" + button.url() + "\" is not a usable http or https address");
            }
            return wrong.isEmpty() ? "" : "Sent as plain text, because " + String.join("; ", wrong) + ".";
        }

        private static void tooLong(String text, int limit, String what, Set<String> wrong) {
            int length = text.codePointCount(0, text.length());
            if (length > limit) wrong.add("the " + what + " \"" + text + "\" has " + length
                    + " characters, X shows at most " + limit);
        }

        private static boolean usable(String url) {
            try {
                URI uri = new URI(url);
                // Not getHost(), which knows neither umlauts nor underscores.
                return String.valueOf(uri.getScheme()).matches("(?i)https?") && uri.getAuthority() != null
                        && uri.getAuthority().matches("[\\p{L}\\p{N}_.-]+(:[0-9]+)?");
            } catch (URISyntaxException broken) {
                return false;
            }
        }

        /** For an API that shows only text. */
        String plain() {
            if (options.isEmpty() && buttons.isEmpty()) return text;
            StringBuilder plain = new StringBuilder(text.equals(labels(options, buttons)) ? "" : text);
            int number = 0;
            for (Option option : options) {
                plain.append(number == 0 ? "\n\n" : "\n").append(++number).append(". ").append(option.label())
                        .append(option.description().isEmpty() ? "" : " - " + option.description());
            }
            buttons.forEach(button -> plain.append("\n\n").append(button.label()).append(": ").append(button.url()));
            return plain.toString().strip();
        }
    }

    /**
     * Cuts a text into parts of at most {@code limit}, as {@code weight} counts code points: at white space if there is
     * some.
     */
    static List<String> split(String text, int limit, IntUnaryOperator weight) {
        List<String> parts = new ArrayList<>();
        int start = 0;
        int used = 0;
        int space = -1;
        for (int at = 0; at < text.length();) {
            int point = text.codePointAt(at);
            while (used + weight.applyAsInt(point) > limit && at > start) {
                int cut = space > start ? space : at;
                parts.add(text.substring(start, cut).stripTrailing());
                start = cut;
                used = text.substring(start, at).codePoints().map(weight).sum();
                space = -1;
            }
            at += Character.charCount(point);
            used += weight.applyAsInt(point);
            if (Character.isWhitespace(point)) space = at;
        }
        parts.add(text.substring(start));
        parts.removeIf(String::isBlank);
        return parts;
    }

    static int utf8Length(int codePoint) {
        return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
    }

    /** Half a surrogate pair is valid in JSON's escapes, but in no encoding: it becomes a question mark. */
    static String encodable(String text) { return new String(text.getBytes(UTF_8), UTF_8); }

    private static final Pattern CONTROL = Pattern.compile("\\p{Cc}");

    /**
     * One line of at most so many characters, in UTF-16 units, the strictest way to count them. In JSON they have three
     * bytes at most, as control characters, which would take six, are replaced.
     */
    static String cut(String text, int most) {
        String line = CONTROL.matcher(encodable(text)).replaceAll(" ");
        if (line.length() <= most) return line;
        int end = Character.isHighSurrogate(line.charAt(most - 2)) ? most - 2 : most - 1;
        return line.substring(0, end) + "…";
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 16. Settings: declared once, read once, checked all together, named in every complaint.

    private static final String HEX = "[0-9a-fA-F]{32}", ANY = "[!-~]+";
    private static final String ADDRESS = "https://[^/?#@\\s]+(/[^?#\\s]*)?|"
            + "http://(127\\.[0-9.]+|localhost|\\[::1\\])(:[0-9]+)?(/[^?#\\s]*)?";
    private static final String TEMPLATE = "(https://|http://(127\\.[0-9.]+|localhost)[:/])\\S*\\{product}\\S*";
    private static final boolean SECRET = true, OPEN = false;

    /** Who cannot do without a setting. What the command setup does not find it asks of the operator. */
    enum Need {
        NOBODY(false), EVERYBODY(false), OAUTH1(false), FLEX(true), CONVERSATIONS(true), CHAT(true);

        final boolean foundBySetup;

        Need(boolean foundBySetup) { this.foundBySetup = foundBySetup; }
    }

    /** Every setting, in the order of the help, the README and .env.example. */
    enum Setting {
        PUBLIC_URL("", ADDRESS, "the https address under which X and Twilio reach the bridge; unset, the local ngrok"
                + " agent is asked for it", "NGROK_URL"),
        PORT("3000", "[0-9]{1,5}", "port to listen on; 0 takes any free one and logs it"),
        HOST("127.0.0.1", ANY, "address to listen on"),
        TWITTER_CONSUMER_KEY(SECRET, Need.EVERYBODY, ANY,
                "the X app's API key: developer.x.com, your app, Keys and tokens"),
        TWITTER_CONSUMER_SECRET(SECRET, Need.EVERYBODY, ANY, "the X app's API key secret, shown beside the key"),
        TWITTER_ACCESS_KEY(SECRET, Need.OAUTH1, ANY, "the support account's access token, on the same page; not needed"
                + " with TWITTER_CLIENT_ID, unless TWITTER_API=1.1", "TWITTER_ACCESS_TOKEN"),
        TWITTER_ACCESS_SECRET(SECRET, Need.OAUTH1, ANY,
                "the support account's access token secret, beside it", "TWITTER_ACCESS_TOKEN_SECRET"),
        TWITTER_CLIENT_ID(OPEN, Need.NOBODY, ANY,
                "the X app's OAuth 2.0 client ID: developer.x.com, your app, Keys and tokens; setup then gets a token"
                + " that the bridge renews"),
        TWITTER_CLIENT_SECRET(SECRET, Need.NOBODY, ANY,
                "the X app's OAuth 2.0 client secret, beside the ID; it also signs webhooks"),
        TWITTER_USER_TOKEN(SECRET, Need.NOBODY, ANY,
                "an OAuth 2.0 user token with dm.read, if X wants one to subscribe to Direct Messages"),
        TWITTER_API("2", "2|1\\.1", "2 or 1.1: which Direct Message API sends"),
        TWITTER_API_URL("https://api.x.com", ADDRESS, "base of the X API"),
        TWITTER_CO_HANDLE("", ".*", "accepted, not needed: our own account is known by its id"),
        TWILIO_ACCOUNT_SID(OPEN, Need.EVERYBODY, "AC" + HEX,
                "the Twilio account's SID, AC and 32 hex digits: console.twilio.com, Account info"),
        TWILIO_AUTH_TOKEN(SECRET, Need.EVERYBODY, ANY,
                "the Twilio account's auth token, beside the SID; it also checks webhook signatures"),
        TWILIO_AUTH_TOKEN_NEXT(SECRET, Need.NOBODY, ANY,
                "a second token whose webhook signatures count too, while the auth token is changed"),
        TWILIO_API_KEY(SECRET, Need.NOBODY, "SK" + HEX,
                "an API key's SID, used for REST calls instead of the auth token"),
        TWILIO_API_SECRET(SECRET, Need.NOBODY, ANY, "the API key's secret"),
        TWILIO_API_URL("https://{product}.twilio.com", TEMPLATE,
                "template of Twilio's addresses, with {product} in it"),
        FLEX_API("conversations", "conversations|chat",
                "conversations (Flex Conversations and Interactions) or chat (Programmable Chat and Flex Flows)"),
        FLEX_CHAT_SERVICE(OPEN, Need.FLEX, "IS" + HEX, "the Flex chat service's SID, IS and 32 hex digits"),
        FLEX_FLOW_SID(OPEN, Need.CHAT, "FO" + HEX, "the Flex Flow's SID, FO and 32 hex digits (FLEX_API=chat)"),
        FLEX_WORKSPACE_SID(OPEN, Need.CONVERSATIONS, "WS" + HEX,
                "the TaskRouter workspace's SID, WS and 32 hex digits (FLEX_API=conversations)"),
        FLEX_WORKFLOW_SID(OPEN, Need.CONVERSATIONS, "WW" + HEX,
                "the TaskRouter workflow's SID, WW and 32 hex digits (FLEX_API=conversations)"),
        FLEX_TASK_CHANNEL("chat", ANY, "the TaskRouter task channel's unique name"),
        AUTO_REGISTER("", "on|off", "on: the bridge registers its webhook at X itself and keeps it so, the default with"
                + " ngrok's address; unset: it only has it validated again; off: what is missing at X is no trouble"),
        NGROK_API_URL("", "https?://\\S+",
                "the local ngrok agent; unset, that at http://127.0.0.1:4040 or the next ports"),
        DATA_DIR("data", ".+", "folder of the journal; one bridge each"),
        MAX_PENDING("100000", "[1-9][0-9]{0,8}",
                "undelivered messages beyond which new ones are refused with 503"),
        MAX_JOURNAL_MIB("256", "[1-9][0-9]{0,5}",
                "size of the journal beyond which new messages are refused with 503"),
        LOG_LEVEL("INFO", "DEBUG|INFO|WARNING|ERROR", "DEBUG, INFO, WARNING or ERROR");

        /** The first is its own, all are understood. */
        final List<String> names;
        final String fallback;
        final String help;
        /** Its value goes into no log, and onto no screen where it is typed. */
        final boolean secret;
        final Need neededBy;
        private final String pattern;

        Setting(boolean secret, Need neededBy, String fallback, String pattern, String help, List<String> otherNames) {
            names = Stream.concat(Stream.of(name()), otherNames.stream()).toList();
            this.fallback = fallback;
            this.help = help;
            this.secret = secret;
            this.neededBy = neededBy;
            this.pattern = pattern;
        }

        /** One with a default, be it the empty value. */
        Setting(String fallback, String pattern, String help, String... otherNames) {
            this(OPEN, Need.NOBODY, fallback, pattern, help, List.of(otherNames));
        }

        Setting(boolean secret, Need neededBy, String pattern, String help, String... otherNames) {
            this(secret, neededBy, "", pattern, help, List.of(otherNames));
        }

        boolean fits(String value) { return value.matches(pattern); }

        /** What is wrong, and where it stands; but not the value, which may be a secret in the wrong place. */
        String wrong(Map<String, String> given) {
            String value = given.getOrDefault(name(), "");
            boolean outside = names.stream()
                    .anyMatch(name -> System.getenv().getOrDefault(name, "").strip().equals(value));
            return this + " is not right (length " + value.length() + ", in "
                    + (outside ? "the environment" : ".env") + "): ";
        }

        String missing() {
            return name() + " is missing: " + help + "; " + (neededBy.foundBySetup
                    ? "the command setup finds it out" : "put it into .env, or run setup on a terminal, which asks");
        }

        private String line() {
            String defaults = fallback.isEmpty() ? "" : " (default " + fallback + ")";
            return "  %-24s %s%s%n".formatted(name(), help, neededBy == Need.EVERYBODY ? " (required)" : defaults);
        }
    }

    /**
     * What was given, or the default, for every setting. Addresses are without a slash at their end, and their hosts in
     * lower case, as the services write them.
     */
    record Settings(Map<Setting, String> values) {
        private static final Set<Setting> ADDRESSES =
                EnumSet.of(PUBLIC_URL, TWITTER_API_URL, TWILIO_API_URL, NGROK_API_URL);
        private static final Pattern SITE = Pattern.compile("^[^/]+//[^/]+");
        private static final Pattern ACCESS_KEY = Pattern.compile("([0-9]+)-.*");

        Settings {
            Map<Setting, String> all = new EnumMap<>(values);
            ADDRESSES.forEach(setting -> all.computeIfPresent(setting, (same, url) -> SITE.matcher(url.replaceAll("/+$",
                    "")).replaceFirst(site -> Matcher.quoteReplacement(site.group().toLowerCase(Locale.ROOT)))));
            values = Collections.unmodifiableMap(all);
        }

        /** The environment's values under their settings' first names; an empty value is none. */
        static Map<String, String> canonical(Map<String, String> environment) {
            Map<String, String> values = new HashMap<>();
            for (Setting setting : Setting.values()) {
                setting.names.stream().map(name -> environment.getOrDefault(name, "").strip())
                        .filter(value -> !value.isEmpty()).findFirst()
                        .ifPresent(value -> values.put(setting.name(), value));
            }
            return values;
        }

        /**
         * What is complete and right, for serving.
         *
         * @param given by their first names, see {@link #canonical}
         * @throws CommandFailed with all that stands in the way
         */
        static Settings from(Map<String, String> given) throws CommandFailed {
            List<String> problems = new ArrayList<>();
            Settings settings = of(given, problems);
            settings.missing().forEach(setting -> problems.add(setting.missing()));
            boolean none = problems.isEmpty() && !settings.hasKeys() && settings.ownId().isEmpty();
            if (none) problems.add(XAccess.NO_TOKEN + settings.tokenFile());
            if (!problems.isEmpty()) throw new CommandFailed(2, problems);
            return settings;
        }

        /**
         * What is there; what is missing stays empty.
         *
         * @param problems is told what is wrong with the values, each alone and all together
         */
        static Settings of(Map<String, String> given, List<String> problems) {
            Map<Setting, String> values = new EnumMap<>(Setting.class);
            for (Setting setting : Setting.values()) {
                String value = given.getOrDefault(setting.name(), setting.fallback);
                boolean fits = value.isEmpty() || setting.fits(value);
                if (isQuoted(value)) problems.add(quoted(setting));
                else if (!fits) problems.add(setting.wrong(given) + setting.help);
                values.put(setting, value);
            }
            Settings settings = new Settings(values);
            if (settings.get(TWILIO_API_KEY).isEmpty() != settings.get(TWILIO_API_SECRET).isEmpty()) {
                problems.add("TWILIO_API_KEY and TWILIO_API_SECRET go together: set both or none");
            }
            for (Setting setting : List.of(PUBLIC_URL, TWITTER_API_URL, NGROK_API_URL)) {
                String url = settings.get(setting);
                if (setting.fits(url) && !isAddress(url)) problems.add(setting.wrong(given) + "it is no address");
            }
            String template = settings.twilioApiUrl();
            if (TWILIO_API_URL.fits(template) && !isAddress(template.replace("{product}", "chat"))) {
                problems.add(TWILIO_API_URL.wrong(given) + "it is no address once {product} is filled in");
            }
            if (PORT.fits(settings.get(PORT)) && settings.port() > 65535) {
                problems.add(PORT.wrong(given) + "the largest port is 65535");
            }
            return settings;
        }

        private static boolean isAddress(String url) {
            try {
                return new URI(url).getHost() != null;
            } catch (URISyntaxException broken) {
                return false;
            }
        }

        /** What serving needs and is not there. */
        List<Setting> missing() {
            return Stream.of(Setting.values()).filter(setting -> needs(setting) && get(setting).isEmpty()).toList();
        }

        private boolean needs(Setting setting) {
            boolean chat = get(FLEX_API).equals("chat");
            return switch (setting.neededBy) {
                case NOBODY -> false;
                case EVERYBODY, FLEX -> true;
                case OAUTH1 -> !hasClient() || get(TWITTER_API).equals("1.1");
                case CONVERSATIONS -> !chat;
                case CHAT -> chat;
            };
        }

        String get(Setting setting) { return values.get(setting); }

        Settings with(Setting setting, String value) {
            Map<Setting, String> changed = new EnumMap<>(values);
            changed.put(setting, value);
            return new Settings(changed);
        }

        private static boolean isQuoted(String value) { return value.matches("([\"']).*\\1"); }

        private static String quoted(Setting setting) {
            return setting + " has quotes around its value, as docker --env-file leaves them there: write it without"
                    + " them";
        }

        /** The folder alone, for commands that need no account. */
        static Path dataFolder(Map<String, String> given) throws CommandFailed {
            String folder = given.getOrDefault(DATA_DIR.name(), DATA_DIR.fallback);
            if (isQuoted(folder)) throw new CommandFailed(2, List.of(quoted(DATA_DIR)));
            return Path.of(folder);
        }

        static String describe() {
            return Stream.of(Setting.values()).map(Setting::line).collect(Collectors.joining());
        }

        int port() { return Integer.parseInt(get(PORT)); }
        boolean autoRegister() { return get(AUTO_REGISTER).equals("on"); }

        private static final List<String> CONTAINER = List.of(".dockerenv", "run/.containerenv",
                "run/secrets/kubernetes.io", "var/run/secrets/kubernetes.io");

        /** @param root of the file system; @return what to do where nobody outside this container reaches the bridge */
        Optional<String> shutIn(Path root) {
            boolean contained = CONTAINER.stream().anyMatch(mark -> Files.exists(root.resolve(mark)));
            try {
                String group = contained ? "" : Files.readString(root.resolve("proc/1/cgroup"));
                contained |= Pattern.compile("docker|kubepods|containerd|libpod|lxc").matcher(group).find();
                if (!contained || !InetAddress.getByName(get(HOST)).isLoopbackAddress()) return Optional.empty();
            } catch (IOException noLinux) {
                return Optional.empty();
            }
            return Optional.of("HOST=" + get(HOST) + " can only be reached from inside this container: set"
                    + " HOST=0.0.0.0, and publish the port to this machine alone"
                    + " (docker run -p 127.0.0.1:3000:" + port() + ")");
        }

        String publicUrl() { return get(PUBLIC_URL); }

        /** The public URL's own path, which a proxy may strip or keep; as a rule empty. */
        String publicPath() { return SITE.matcher(publicUrl()).replaceFirst(""); }

        /**
         * Where Flex sends what happens in a customer's chat. Twilio signs the URL, so nobody else can name a customer.
         */
        String fromFlexUrl(String customer) { return publicUrl() + "/fromFlex?customer=" + customer; }

        /** Our account's id, with which X's OAuth 1.0a tokens begin; empty if it is not known. */
        String ownId() {
            Matcher id = ACCESS_KEY.matcher(get(TWITTER_ACCESS_KEY));
            if (id.matches()) return id.group(1);
            return hasClient() ? token().path("user").asText() : "";
        }

        /** Whether OAuth 2.0 can be used, and OAuth 1.0a. */
        boolean hasClient() { return !get(TWITTER_CLIENT_ID).isEmpty(); }
        boolean hasKeys() { return !get(TWITTER_ACCESS_KEY).isEmpty() && !get(TWITTER_ACCESS_SECRET).isEmpty(); }
        Path tokenFile() { return dataDir().resolve("x-token.json"); }

        /** The OAuth 2.0 token, see {@link XAccess#kept}; missing if there is none that can be read. */
        JsonNode token() {
            try {
                return jsonOrMissing(Files.readString(tokenFile()));
            } catch (IOException none) {
                return JSON.missingNode();
            }
        }

        String twitterApiUrl() { return get(TWITTER_API_URL); }

        /** With which Twilio may sign: while its token is changed, the one after it too. */
        List<String> webhookTokens() {
            return Stream.of(get(TWILIO_AUTH_TOKEN), get(TWILIO_AUTH_TOKEN_NEXT)).filter(token -> !token.isEmpty())
                    .toList();
        }

        String twilioApiUrl() { return get(TWILIO_API_URL); }
        Path dataDir() { return Path.of(get(DATA_DIR)); }
        int maxPending() { return Integer.parseInt(get(MAX_PENDING)); }
        long maxJournalBytes() { return Long.parseLong(get(MAX_JOURNAL_MIB)) << 20; }

        System.Logger.Level logLevel() { return System.Logger.Level.valueOf(get(LOG_LEVEL)); }

        /** What was understood, without the secrets. */
        @Override public String toString() {
            return values.entrySet().stream().filter(value -> !value.getValue().isEmpty())
                    .map(value -> value.getKey() + "=" + (value.getKey().secret ? "***" : value.getValue()))
                    .collect(Collectors.joining(" "));
        }

        /** The file's settings; none if there is no file. */
        static Map<String, String> readDotEnv(Path file) throws CommandFailed {
            try {
                return Files.exists(file) ? dotEnv(Files.readString(file)) : Map.of();
            } catch (IOException unreadable) {
                throw new CommandFailed(2, List.of("the file " + file + " cannot be read: "
                        + (unreadable instanceof CharacterCodingException
                        ? "it is not UTF-8" : reason(unreadable))));
            }
        }

        private static final Pattern ESCAPE = Pattern.compile("\\\\(.)");
        static final Pattern LINE = Pattern.compile("(?:export\\s+)?([A-Za-z_][A-Za-z0-9_]*)\\s*=\\s*"
                + "(?<value>\"((?:[^\"\\\\]|\\\\.)*+)\"|'([^']*)'|"
                + "(?![\"'])((?:[^#\\s]|(?<!\\s)#|[ \\t]+(?![ \\t#]|$))*+))\\s*(?:#.*)?");

        /**
         * {@code NAME=value}, one a line; {@code export}, quotes and {@code #} comments as in shells; the last one
         * counts.
         */
        static Map<String, String> dotEnv(String text) throws CommandFailed {
            Map<String, String> values = new HashMap<>();
            List<String> problems = new ArrayList<>();
            int number = 0;
            for (String raw : text.replaceFirst("^\uFEFF", "").split("\\R")) {
                number++;
                String line = raw.strip();
                Matcher parts = LINE.matcher(line);
                if (parts.matches()) {
                    String quoted = parts.group(3) == null ? parts.group(4)
                            : ESCAPE.matcher(parts.group(3)).replaceAll(one -> one.group(1).equals("n") ? "\n"
                                    : Matcher.quoteReplacement(one.group(1)));
                    values.put(parts.group(1), quoted == null ? parts.group(5) : quoted);
                } else if (!line.isEmpty() && !line.startsWith("#")) {
                    problems.add(".env line " + number + " is not NAME=value");
                }
            }
            if (!problems.isEmpty()) throw new CommandFailed(2, problems);
            return values;
        }

    }

    // -----------------------------------------------------------------------------------------------------------------
    // 17. The log, and small functions.

    /**
     * The log, on standard error: one line per event, {@code key=value}, with message ids and never a text.
     * java.util.logging would switch itself off in a shutdown hook, in a race with ours, and lose the last lines of a
     * stop.
     */
    static final class Log implements System.Logger {
        private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSZ");
        volatile Level level = INFO;

        @Override public String getName() { return "twitterflex"; }
        @Override public boolean isLoggable(Level asked) { return asked.getSeverity() >= level.getSeverity(); }

        @Override public void log(Level asked, ResourceBundle none, String words, Object... parameters) {
            // What strangers write may stand in here: it must not begin a line of its own, or move the terminal's
            // cursor.
            String line = words.replaceAll("[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]+", " ");
            if (isLoggable(asked)) System.err.println(TIME.format(ZonedDateTime.now()) + " " + asked + " " + line);
        }

        /** A bug, with the place and without the exception's message, which may hold what a customer wrote. */
        @Override public void log(Level asked, ResourceBundle none, String words, Throwable bug) {
            log(asked, none, words + ": " + bug.getClass().getName() + Stream.of(bug.getStackTrace()).limit(12)
                    .map(frame -> " at " + frame).collect(Collectors.joining()));
        }
    }

    static ObjectNode object() { return JSON.createObjectNode(); }

    /** @throws IllegalArgumentException if it is not JSON, or nested beyond Jackson's limit of 1,000 */
    static JsonNode json(byte[] body) {
        try {
            JsonNode json = JSON.readTree(body);
            if (!json.isMissingNode()) return json;
        } catch (IOException broken) {
            LOG.log(DEBUG, () -> "not JSON: " + broken.getClass().getSimpleName());
        }
        throw new IllegalArgumentException("the body is not JSON");
    }

    /** JSON from a place where none may be: attributes are a string that anybody can set. */
    static JsonNode jsonOrMissing(String text) {
        try {
            return JSON.readTree(text);
        } catch (JsonProcessingException broken) {
            return JSON.missingNode();
        }
    }

    /** A time in a service's JSON (ISO 8601); long ago if there is none. */
    static Instant time(String iso) {
        try {
            return Instant.parse(iso);
        } catch (DateTimeParseException untold) {
            return Instant.EPOCH;
        }
    }

    interface Text {
        String get() throws IOException;
    }

    /**
     * Puts a text in the place of a file, in one step and for its owner alone: written aside, synced, moved. Of two
     * that do so at once the second waits; what stays aside for a second was left by one that was killed.
     *
     * @param owner a file or folder that is of whoever is to own it, as far as we may give it away
     * @param text is asked for when nobody else writes
     */
    static void replace(Path file, Path owner, Text text) throws IOException {
        Path aside = file.resolveSibling(file.getFileName() + ".new");
        claim(aside);
        try {
            keepOwner(owner, aside);
            Files.writeString(aside, text.get(), StandardOpenOption.WRITE, StandardOpenOption.SYNC);
            Files.move(aside, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException failed) {
            Files.deleteIfExists(aside);
            throw failed;
        }
    }

    private static synchronized void claim(Path aside) throws IOException {
        while (true) {
            try {
                Files.createFile(aside, Journal.only("rw-------"));
                return;
            } catch (FileAlreadyExistsException another) {
                long written = aside.toFile().lastModified();
                boolean left = written > 0 && Math.abs(System.currentTimeMillis() - written) > 1000;
                if (left) Files.deleteIfExists(aside);
                else LockSupport.parkNanos(Duration.ofMillis(20).toNanos());
            }
        }
    }

    private static void keepOwner(Path from, Path to) {
        try {
            Files.setOwner(to, Files.getOwner(from));
        } catch (IOException | UnsupportedOperationException notOurs) {
            LOG.log(DEBUG, () -> "the file keeps the owner it has: " + reason(notOurs));
        }
    }

    /** A failure's own words, or its name where the JDK gives none. */
    static String reason(Throwable failure) {
        String name = failure.getClass().getSimpleName();
        return failure.getMessage() == null ? failure.getCause() == null ? name
                : name + ", " + reason(failure.getCause())
                : name + ": " + failure.getMessage();
    }

    /** A map that forgets what was used longest ago. */
    static <V> Map<String, V> lruCache() {
        return Collections.synchronizedMap(new LinkedHashMap<>(16, 0.75f, true) {
            private static final long serialVersionUID = 1;

            @Override protected boolean removeEldestEntry(Map.Entry<String, V> eldest) { return size() > 100_000; }
        });
    }

    /** A task whose failure is logged: let out, it would end the task's schedule without a word. */
    static Runnable logFailures(Runnable task, String trouble) {
        return () -> {
            try {
                task.run();
            } catch (RuntimeException | Error bug) {
                LOG.log(ERROR, trouble, bug);
            }
        };
    }

    static ThreadFactory daemonThreads(String name) {
        AtomicInteger count = new AtomicInteger();
        return task -> {
            Thread thread = new Thread(task, name + "-" + count.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        };
    }

    /** At most so many threads, and none more while one is idle. Where the system gives none, a task waits for one. */
    static ThreadPoolExecutor pool(String name, int most, Duration idle) {
        LinkedTransferQueue<Runnable> tasks = new LinkedTransferQueue<>() {
            private static final long serialVersionUID = 1;

            /** Taken only by an idle thread: else the pool starts one, and when there are enough, see below. */
            @Override public boolean offer(Runnable task) { return tryTransfer(task); }
        };
        return new ThreadPoolExecutor(0, most, idle.toMillis(), TimeUnit.MILLISECONDS, tasks, daemonThreads(name),
                (task, pool) -> {
                    if (pool.isShutdown()) throw new RejectedExecutionException(name);
                    tasks.put(task);
                }) {
            @Override public void execute(Runnable task) {
                try {
                    super.execute(task);
                } catch (OutOfMemoryError noThread) {
                    if (getPoolSize() == 0) throw noThread;
                    tasks.put(task);
                }
            }
        };
    }

    /** Lets an executor's tasks end, and interrupts what has not ended by then. */
    static void await(ExecutorService executor, Instant until) {
        try {
            executor.awaitTermination(Duration.between(Instant.now(), until).toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException hurried) {
            LOG.log(DEBUG, () -> "the stop was hurried");
        }
        executor.shutdownNow();
    }
}
