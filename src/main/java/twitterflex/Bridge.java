package twitterflex;

import static java.lang.System.Logger.Level.*;
import static java.nio.charset.StandardCharsets.UTF_8;

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
import java.time.*;
import java.time.format.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.logging.*;
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
 *                      conversation found or opened ▶ message posted ▶ settled in the journal
 *
 *   Flex ──POST /fromFlex────▶ signature ▶ read ▶ journal ▶ 200 ▶ lane ▶ Direct Message sent ▶ settled
 * </pre>
 *
 * What it promises, most important first:
 * <ol>
 *   <li>Nothing unsigned gets in: the signature is checked over the raw bytes before anything is parsed.
 *   <li>200 means on disk: a webhook is acknowledged after its messages are synced, never before.
 *   <li>Each accepted message arrives once, in order per customer; customers do not wait for each other.
 *   <li>One live conversation, task and webhook per customer; the state of record is at Twilio, memory is a cache.
 *   <li>Nothing is dropped silently: what a service refuses for good is kept, logged, counted and told to the agent.
 *   <li>Bounded in everything a stranger could make grow: bodies, queues, threads, memory, disk, time.
 *   <li>Private: no secret and no message text in a log; data files are their owner's alone.
 * </ol>
 *
 * Read it from {@code main} down: callers stand above what they call, the details of the wire come last.
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
        // Beyond it connections are closed at once.
        preset("jdk.httpserver.maxConnections", "2000");
        // Seconds. The front ends of X and Twilio close idle connections long before JDK 17's 20 minutes.
        preset("jdk.httpclient.keepalive.timeout", "25");
        // One try: a GET the client repeats by itself has an OAuth nonce that X has seen, and is refused.
        preset("jdk.httpclient.redirects.retrylimit", "1");
        preset("jdk.httpclient.disableRetryConnect", "true");
        // The client ends each exchange on the common pool; on two cores that is so small that each starts a thread.
        preset("java.util.concurrent.ForkJoinPool.common.parallelism", "2");
        preset("java.util.logging.SimpleFormatter.format", "%1$tFT%1$tT.%1$tL%1$tz %4$s %5$s%6$s%n");
        preset("java.util.logging.manager", LogsToTheEnd.class.getName());
    }

    private static void preset(String property, String value) { System.getProperties().putIfAbsent(property, value); }

    /** The JDK's logging switches itself off in a shutdown hook, in a race with ours: this one keeps the last lines of a stop. */
    public static final class LogsToTheEnd extends LogManager {
        @Override public void reset() { /* Called by nothing here but that hook. */ }
    }

    private static final Logger LEVELS = Logger.getLogger("twitterflex");

    /** One line per event, {@code key=value}, with message ids and never a text. Suppliers, because patterns would mangle quotes. */
    private static final System.Logger LOG = System.getLogger("twitterflex");

    private static final JsonMapper JSON = JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

    private static ObjectNode object() { return JSON.createObjectNode(); }

    // ------------------------------------------------------------------------------------------------------------------
    // 1. main: the commands. Exit status 0 after a clean stop, 1 when something failed, 2 for wrong settings or usage.

    private static final String HELP = """
            usage: java -jar twitter-flex-bridge.jar [command]

              serve         carry messages until SIGTERM or Ctrl-C (the default)
              setup         find or create what the bridge needs at Twilio and X, and write it to .env; --dry-run only tells
              check         tell whether all of it works, and what to do if not; changes nothing; --json for machines
              failed        list the messages a service refused for good: id, time, customer, reason
              retry [ID]    put a refused message, or all of them, back; a running bridge takes them within seconds
              help          this text

            Settings are read from the environment and from the file .env in this folder (the environment wins):
            """;

    /** What may follow a command. */
    private static final Map<String, String> WORDS = Map.of("setup", "|--dry-run", "check", "|--json", "retry", "\\S*");

    public static void main(String[] arguments) {
        String command = arguments.length == 0 ? "serve" : arguments[0];
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, UTF_8);
        try {
            String word = arguments.length == 2 ? arguments[1] : "";
            if (arguments.length > 2 || !word.matches(WORDS.getOrDefault(command, ""))) {
                throw new Wrong(2, List.of("'" + arguments[arguments.length - 1] + "' says nothing to " + command + ": try help"));
            }
            // The commands talk to the one who typed them; a log is for a bridge that runs.
            if (!command.equals("serve")) LEVELS.setLevel(Level.OFF);
            switch (command) {
                case "serve" -> serve();
                case "setup" -> System.exit(Setup.run(environment(), DOT_ENV, word.isEmpty(), out::println) ? 0 : 1);
                case "check" -> System.exit(Setup.check(environment(), word.equals("--json"), out::println) ? 0 : 1);
                case "failed" -> Journal.failed(Settings.dataFolder(environment())).forEach(out::println);
                case "retry" -> Journal.askForRetry(Settings.dataFolder(environment()), word.isEmpty() ? "all" : word);
                case "help", "-h", "--help" -> out.print(HELP + Settings.describe());
                default -> throw new Wrong(2, List.of("unknown command '" + command + "': try help"));
            }
        } catch (Wrong wrong) {
            wrong.sentences.forEach(System.err::println);
            System.exit(wrong.status);
        } catch (IOException failed) {
            System.err.println(command + " failed: " + reason(failed));
            System.exit(1);
        } catch (RuntimeException bug) {
            // Not its message, in which a secret may stand.
            System.err.println(command + " failed: a bug of the bridge (" + bug.getClass().getSimpleName()
                    + " at " + bug.getStackTrace()[0] + ")");
            System.exit(1);
        }
    }

    /** Ends a command with sentences for the one who typed it, instead of a stack trace. */
    static final class Wrong extends Exception {
        private static final long serialVersionUID = 1;
        final transient List<String> sentences;
        final int status;

        Wrong(int status, List<String> sentences) {
            super(String.join("; ", sentences));
            this.status = status;
            this.sentences = sentences;
        }
    }

    private static void serve() throws Wrong, IOException {
        Bridge bridge = new Bridge(Ngrok.address(Settings.from(environment()), Duration.ofSeconds(30)), Tempo.NORMAL);
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

    private static final Path DOT_ENV = Path.of(".env");

    private static Map<String, String> environment() throws Wrong {
        Map<String, String> all = new HashMap<>(Settings.canonical(Settings.readDotEnv(DOT_ENV)));
        all.putAll(Settings.canonical(System.getenv()));
        return all;
    }

    /**
     * How long things take: in one place, because a test must be able to compress it.
     *
     * @param firstPause backoff begins here and doubles up to {@code longestPause}
     * @param call a whole exchange with a service, body included
     * @param patience after this an agent hears that a reply waits
     * @param claim after this another bridge's half-opened conversation is taken over
     * @param watch from one look at X's webhook to the next
     */
    record Tempo(Duration firstPause, Duration longestPause, Duration call, Duration patience, Duration claim, Duration watch) {
        static final Tempo NORMAL = new Tempo(Duration.ofSeconds(1), Duration.ofMinutes(1), Duration.ofSeconds(15),
                Duration.ofMinutes(1), Duration.ofSeconds(30), Duration.ofMinutes(30));
    }

    // ------------------------------------------------------------------------------------------------------------------
    // 2. The routes: everything the outside can ask for, on one screen. Guards wrap handlers, handlers see only checked
    //    requests, and two methods alone touch the JDK's HttpExchange.

    private Map<String, Handler> routes() {
        return Map.of(
                "GET /", request -> Reply.ok(object().put("message", "Alive!")),
                "GET /healthz", this::health,
                "GET /metrics", Edge.local(request -> Reply.text(metrics.text(counts()))),
                "GET /fromTwitter", request -> challenge(settings, request),
                "POST /fromTwitter", signedByX(this::fromTwitter),
                "POST /fromFlex", signedByTwilio(this::fromFlex));
    }

    /** Answers a request. An {@link IllegalArgumentException} is the caller's mistake and becomes a 400 with its sentence. */
    interface Handler {
        Reply answer(Request request);
    }

    /** A request, whole. {@code target} is path and query exactly as received: Twilio signs those bytes. Header names in lower case. */
    record Request(String method, String path, String target, Map<String, List<String>> headers, byte[] body) {
        String header(String name) { return headers.getOrDefault(name, List.of("")).get(0); }
        String query(String name) { return Form.decode(target.substring(path.length()).replaceFirst("\\?", "")).get(name); }

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
        Reply(int status, String body, String type) { this(status, body, Map.of("Content-Type", type)); }
        static Reply json(int status, ObjectNode body) { return new Reply(status, body.toString(), "application/json"); }
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

    private final Settings settings;
    private final Tempo tempo;
    private final Client client;
    private final AtomicLong ignored = new AtomicLong();
    private final Map<String, String> noticed = cache();
    private final Metrics metrics = new Metrics();
    private final Journal journal;
    private final Edge edge;
    private final Flex flex;
    private final Relay relay;
    private final Watch watch;

    /** Takes the data folder and the port; nothing moves before {@link #start}. */
    Bridge(Settings settings, Tempo tempo) throws Wrong {
        this.settings = settings;
        this.tempo = tempo;
        LEVELS.setLevel(settings.logLevel());
        Stream.of(Logger.getLogger("").getHandlers()).forEach(handler -> handler.setLevel(Level.ALL));
        journal = Journal.open(settings.dataDir(), settings.maxPending(), settings.maxJournalBytes());
        try {
            edge = new Edge(settings, routes());
        } catch (Wrong taken) {
            journal.close();
            throw taken;
        }
        client = new Client(tempo.call(), metrics);
        Choices choices = new Choices(settings.twitterApi().equals("2"));
        Twilio twilio = new Twilio(client, settings, choices);
        flex = settings.flexApi().equals("chat") ? new FlexChat(twilio, settings, cache())
                : new FlexConversations(twilio, settings, journal.bridge(), tempo, cache());
        relay = new Relay(journal, flex, new X(client, settings, choices, journal::knows), tempo, metrics);
        watch = new Watch();
    }

    void start() {
        LOG.log(INFO, () -> "settings " + settings);
        relay.start();
        edge.start();
        LOG.log(INFO, () -> "listening on " + address() + ", reached by X at " + settings.publicUrl() + "/fromTwitter");
        watch.start();
    }

    String address() { return "http://" + settings.host() + ":" + edge.port(); }
    Reply answer(Request request) { return edge.answer(request); }

    /** Takes no more, finishes what is in hand (10 s at most) and leaves the rest in the journal for the next start. */
    void stop() {
        edge.stop();
        watch.stop();
        relay.stop();
        journal.close();
        LOG.log(INFO, () -> "stopped pending=" + journal.counts().pending());
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

    /** The JDK's HTTP server behind a table of routes: the one place that knows {@link HttpExchange}. */
    static final class Edge {
        /** Bytes of a request body: X's largest webhook is some 45 KB (10,000 four-byte characters), Twilio's is smaller. */
        static final int MAX_BODY = 1 << 20;

        // The worst that strangers can cause takes 64 MiB of this process:
        //   38 for threads: 82 KB each outside of the heap, and 70 KB for the JDK's buffers and 16 KB of headers;
        //    9 for bodies that are being read: all there is room for, three times while it is copied;
        //    7 for a form of 1 MiB that is taken apart, and no two are at a time;
        //    6 for idle connections: the JDK keeps 200, with 28 KB of buffers each;
        //    4 for 2,000 connections on which nothing comes, or that wait for a thread.
        private static final int THREADS = 256;
        private static final int ROOM = 3 << 20;
        private static final int PIECE = 8 << 10;
        private static final Duration TICK = Duration.ofMillis(125);

        final Refusals refusals = new Refusals();
        private final Map<String, Handler> routes;
        private final ThreadPoolExecutor requests = pool("request", THREADS, Duration.ofSeconds(1));
        private final Semaphore room = new Semaphore(ROOM);
        /** Threads that wait for their client, the longest first, and since which tick; guarded by itself. */
        private final Map<Thread, Long> waiting = new LinkedHashMap<>();
        private long ticks;
        private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(threads("edge"));
        private final HttpServer server;

        Edge(Settings settings, Map<String, Handler> routes) throws Wrong {
            this.routes = routes;
            try {
                // The default backlog of 50 makes a burst of connections wait for seconds.
                server = HttpServer.create(new InetSocketAddress(settings.host(), settings.port()), 1024);
            } catch (IOException taken) {
                throw new Wrong(1, List.of("cannot listen on " + settings.host() + ":" + settings.port() + " (" + reason(taken)
                        + "): set PORT to a free port, or HOST to an address of this machine"));
            }
        }

        void start() {
            server.createContext("/", this::serve);
            server.setExecutor(this::attend);
            server.start();
            Runnable tick = surviving(this::tick, "the edge's clock has missed a tick");
            clock.scheduleWithFixedDelay(tick, 0, TICK.toMillis(), TimeUnit.MILLISECONDS);
        }

        private void tick() {
            refusals.news(System.nanoTime()).ifPresent(news -> LOG.log(WARNING, () -> news));
            synchronized (waiting) {
                ticks++;
            }
            giveWay();
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
            giveWay();
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
        private void giveWay() {
            boolean idle = requests.getActiveCount() < requests.getPoolSize();
            int wanted = idle ? 0 : requests.getQueue().size();
            if (room.availablePermits() < ROOM / 2) wanted = THREADS;
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
            exchange.sendResponseHeaders(reply.status(), head ? -1 : body.length);
            if (!head) exchange.getResponseBody().write(body);
            exchange.close();
        }

        /** Turns whatever happens into a reply: an Error let out here would leave the client hanging (the JDK rethrows it). */
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
                exchange.getRequestHeaders().forEach((name, values) -> headers.put(name.toLowerCase(Locale.ROOT), values));
                String target = uri.getRawPath() + (uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery());
                String method = exchange.getRequestMethod();
                return answer(new Request(method, uri.getRawPath(), target, headers, body.toByteArray()));
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
                        .map(route -> route.substring(0, route.indexOf(' '))).sorted().collect(Collectors.joining(", "));
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

    /**
     * Lets in what X signed: HMAC-SHA256 over the raw body, by the consumer secret or, for apps that have one, by the OAuth 2.0
     * client secret in a header of its own (X API, webhooks quickstart).
     */
    private Handler signedByX(Handler next) {
        return request -> signedWith(settings.consumerSecret(), request, "x-twitter-webhooks-signature")
                || signedWith(settings.clientSecret(), request, "x-twitter-webhooks-signature-oauth2")
                ? next.answer(request) : Reply.error(403, "no valid signature of X");
    }

    private static boolean signedWith(String secret, Request request, String header) {
        return !secret.isEmpty() && Signatures.same(Signatures.x(secret, request.body()), request.header(header));
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
                    return Reply.error(403, "no valid signature of Twilio");
                }
            }
            Matcher target = FROM_FLEX.matcher(request.target());
            if (!target.matches() || !FromFlex.isWhole(form, settings.accountSid())) {
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
        String secret = settings.clientSecret().isEmpty() ? settings.consumerSecret() : settings.clientSecret();
        return Reply.ok(object().put("response_token", Signatures.x(secret, token.getBytes(UTF_8))));
    }

    private Reply fromTwitter(Request request) {
        FromX events = FromX.read(json(request.body()), settings.ownId());
        events.warnings().forEach(warning -> LOG.log(WARNING, () -> warning));
        if (!events.warnings().isEmpty()) watch.lookNow();
        events.notices().stream().filter(notice -> noticed.put(notice, "") == null)
                .forEach(notice -> LOG.log(WARNING, () -> notice));
        ignored.addAndGet(events.ignored());
        return keep(events.messages());
    }

    private Reply fromFlex(String customer, Form form) {
        FromFlex event = FromFlex.read(form, customer);
        event.ended().ifPresent(conversation -> flex.ended(event.customer(), conversation));
        ignored.addAndGet(event.messages().isEmpty() ? 1 : 0);
        return keep(event.messages());
    }

    /** 200 once the messages are on disk; else 503, and the sender has to come again. */
    private Reply keep(List<Message> messages) {
        return messages.isEmpty() || relay.accept(messages) ? Reply.ok(object())
                : Reply.error(503, "no room for more messages at the moment").with("Retry-After", "5");
    }

    /** In the order of /healthz and /metrics. */
    private Map<String, Long> counts() {
        Journal.Counts counts = journal.counts();
        Map<String, Long> all = new LinkedHashMap<>();
        all.put("received", counts.received());
        all.put("delivered", counts.delivered());
        all.put("duplicates", counts.duplicates());
        all.put("rejected", edge.refusals.count());
        all.put("ignored", ignored.get());
        all.put("failed", counts.failed());
        all.put("pending", counts.pending());
        all.put("oldest_pending_seconds", counts.oldestPendingSeconds());
        return all;
    }

    /** Strangers learn whether all is well, and no more. */
    private Reply health(Request request) {
        List<String> troubles = Stream.of(journal.trouble().stream(), relay.troubles().stream(), watch.troubles().stream())
                .flatMap(all -> all).toList();
        ObjectNode body = object().put("status", troubles.isEmpty() ? "ok" : "degraded");
        if (request.local()) {
            counts().forEach(body::put);
            if (!troubles.isEmpty()) body.put("reason", String.join("; ", troubles));
        }
        return Reply.json(troubles.isEmpty() ? 200 : 503, body);
    }

    /** From customer to agent, from agent to customer, and from the bridge itself to the agent. */
    enum Direction { TO_FLEX, TO_X, NOTE }

    /**
     * The one type that travels all the way; X's JSON and Twilio's forms stay at the edges.
     *
     * @param customer the X user's id; empty if only {@code conversation} tells whose it is
     * @param answer the metadata of the quick reply that was tapped, or empty
     */
    record Message(Direction direction, String id, String customer, String handle, String name, String text,
            List<String> attachments, String answer, String conversation, Instant time) {

        /** Half a surrogate pair is valid in JSON's escapes, but in no encoding that follows: it becomes a question mark. */
        Message {
            handle = new String(handle.getBytes(UTF_8), UTF_8);
            name = new String(name.getBytes(UTF_8), UTF_8);
            text = new String(text.getBytes(UTF_8), UTF_8);
            answer = new String(answer.getBytes(UTF_8), UTF_8);
        }

        /** Messages of a lane are delivered one after the other, different lanes side by side. */
        String lane() { return (direction == Direction.TO_X ? "x/" : "flex/") + (customer.isEmpty() ? conversation : customer); }

        /** What agents read as the customer's name. */
        String title() { return name.equals(handle) ? "@" + handle : name + " (@" + handle + ")"; }

        /** What the bridge itself has to say to the agent about this message: a sentence, not a page. */
        Message note(String about, String conversation, String text) {
            String brief = text.length() > 1000 ? text.substring(0, 1000) + "…" : text;
            return new Message(Direction.NOTE, "note-" + about, customer, handle, name, brief, List.of(), "", conversation, Instant.now());
        }

        ObjectNode toJson() {
            ObjectNode json = object().put("direction", direction.name()).put("id", id).put("customer", customer)
                    .put("handle", handle).put("name", name).put("text", text).put("answer", answer)
                    .put("conversation", conversation).put("time", time.toEpochMilli());
            attachments.forEach(json.putArray("attachments")::add);
            return json;
        }

        /** @throws IllegalArgumentException if it is not what {@link #toJson} wrote */
        static Message fromJson(JsonNode json) {
            List<String> attachments = json.path("attachments").valueStream().map(JsonNode::asText).toList();
            return new Message(Direction.valueOf(json.path("direction").asText()), json.path("id").asText(), json.path("customer").asText(),
                    json.path("handle").asText(), json.path("name").asText(), json.path("text").asText(), attachments,
                    json.path("answer").asText(), json.path("conversation").asText(), Instant.ofEpochMilli(json.path("time").asLong()));
        }
    }

    /** A customer's identity in Flex. His id, not his handle: a handle can be renamed or taken over in the middle of a chat. */
    static String identity(String customer) { return "twitter-" + customer; }

    /** The author of the bridge's own notes to agents. */
    static final String NOTE_AUTHOR = "twitter-bridge";

    // ------------------------------------------------------------------------------------------------------------------
    // 3. From X: a webhook's JSON becomes messages. Many events may come in one body; what is not a customer's message
    //    (typing, read, follow, our own sends, kinds unknown today) is counted and left alone.

    /**
     * What a webhook of X says.
     *
     * @param warnings what the operator should know each time
     * @param notices what is worth saying once
     */
    record FromX(List<Message> messages, int ignored, List<String> warnings, Set<String> notices) {
        /**
         * Reads both envelopes: the Account Activity API's, which ends on 1 January 2027, and the X Activity API's, which wraps the
         * same events in {@code data.payload} and the users in another {@code data}.
         *
         * @param ownId the account the bridge sends as, empty if not known: what it wrote itself comes back as an event
         *              and is not echoed; what is for another account of the same app is not ours to answer
         */
        static FromX read(JsonNode envelope, String ownId) {
            JsonNode activity = envelope.path("data");
            String kind = activity.path("event_type").asText();
            JsonNode payload = kind.isEmpty() ? envelope : activity.path("payload");
            List<String> subscribers = List.of(payload.path("for_user_id").asText(),
                    activity.at("/filter/user_id").asText());
            Predicate<String> anothers = account -> !account.isEmpty() && !ownId.isEmpty() && !account.equals(ownId);
            List<Message> messages = new ArrayList<>();
            List<String> warnings = new ArrayList<>();
            Set<String> notices = new LinkedHashSet<>();
            JsonNode revoked = kind.equals("oauth.revoke") ? payload.path("user_id") : payload.at("/user_event/revoke/source/user_id");
            if (!revoked.isMissingNode()) {
                warnings.add("account " + revoked.asText() + " has revoked the app's access: X sends no more events for it");
            }
            if (kind.startsWith("chat.") && subscribers.stream().noneMatch(anothers)) {
                notices.add("customer " + payload.findPath("sender_id").asText("unknown")
                        + " writes end-to-end encrypted (XChat): no bridge can read that");
            }
            JsonNode events = payload.path("direct_message_events");
            int ignored = events.isArray() && !events.isEmpty() ? 0 : 1;
            for (JsonNode event : events) {
                String sender = event.at("/message_create/sender_id").asText();
                boolean sent = sender.equals(ownId) || subscribers.contains(sender) || kind.equals("dm.sent");
                Stream<String> recipient = Stream.of(event.at("/message_create/target/recipient_id").asText());
                Optional<String> other = Stream.concat(subscribers.stream(), recipient).filter(anothers).findFirst();
                if (!event.path("type").asText().equals("message_create") || sent) {
                    ignored++;
                } else if (event.path("id").asText("").isEmpty() || !sender.matches("[0-9]{1,19}")) {
                    ignored++;
                    warnings.add("a Direct Message event without an id or a numeric sender was left alone");
                } else if (other.isPresent()) {
                    ignored++;
                    notices.add("events for account " + other.get() + " arrive here too and are left alone:"
                            + " this bridge answers as account " + ownId);
                } else {
                    messages.add(message(event, sender, payload.path("users").path(sender)));
                }
            }
            // X promises no order but that of the ids.
            messages.sort(Comparator.<Message>comparingInt(message -> message.id().length()).thenComparing(Message::id));
            return new FromX(messages, ignored, warnings, notices);
        }

        /** The customer is the sender, looked up by id; one who is missing from the users goes by his id. */
        private static Message message(JsonNode event, String sender, JsonNode listed) {
            JsonNode user = listed.has("data") ? listed.path("data") : listed;
            String handle = user.path("screen_name").asText(user.path("username").asText(sender));
            JsonNode data = event.at("/message_create/message_data");
            return new Message(Direction.TO_FLEX, event.path("id").asText(), sender, handle, user.path("name").asText(handle),
                    text(data), attachments(data), data.at("/quick_reply_response/metadata").asText(""), "",
                    Instant.ofEpochMilli(event.path("created_timestamp").asLong(System.currentTimeMillis())));
        }

        /**
         * The text as its author typed it: t.co links replaced by where they lead, the link X appends for an attachment removed,
         * and {@code &lt; &gt; &amp;} decoded last of all.
         */
        static String text(JsonNode data) {
            Map<String, String> links = new HashMap<>();
            data.at("/entities/urls").forEach(url -> links.put(url.path("url").asText(), url.path("expanded_url")
                    .asText(url.path("url").asText())));
            links.put(data.at("/attachment/media/url").asText(), "");
            links.remove("");
            // The longest first: one short link may begin like another. All in one pass: a target may look like a short link.
            String any = links.keySet().stream().sorted(Comparator.comparing(String::length).reversed()).map(Pattern::quote)
                    .collect(Collectors.joining("|"));
            String text = data.path("text").asText("");
            String linked = any.isEmpty() ? text
                    : Pattern.compile(any).matcher(text).replaceAll(found -> Matcher.quoteReplacement(links.get(found.group())));
            String plain = linked.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            return data.has("attachment") ? plain.stripTrailing() : plain;
        }

        /** The kind of an attachment and where it is: of a video, the best quality. */
        private static List<String> attachments(JsonNode data) {
            JsonNode attachment = data.path("attachment");
            if (attachment.isMissingNode() || attachment.isNull()) return List.of();
            JsonNode media = attachment.path("media");
            JsonNode best = media.at("/video_info/variants").valueStream()
                    .filter(variant -> variant.path("content_type").asText().equals("video/mp4"))
                    .max(Comparator.comparingLong(variant -> variant.path("bitrate").asLong()))
                    .map(variant -> variant.path("url")).orElse(media.path("media_url_https"));
            String kind = media.path("type").asText(attachment.path("type").asText("attachment"));
            return List.of(("[" + kind + "] " + best.asText(media.path("expanded_url").asText())).strip());
        }
    }

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
    static JsonNode lenient(String text) {
        try {
            return JSON.readTree(text);
        } catch (JsonProcessingException broken) {
            return JSON.missingNode();
        }
    }

    // ------------------------------------------------------------------------------------------------------------------
    // From Flex: a webhook's form becomes a message, or tells that a conversation has ended.

    /**
     * What a webhook of Flex says (Twilio, "Chat Webhooks" and "Conversations Webhooks"; the names differ, the meaning does not).
     *
     * @param customer the X user's id from our own URL, or empty for a webhook that somebody else registered
     * @param ended the conversation that is over, if this says so
     */
    record FromFlex(String customer, List<Message> messages, Optional<String> ended) {
        private static final List<String> CHAT = List.of("ChannelSid", "MessageSid", "From");
        /** What an event cannot be understood without; of one that is not here, nothing is. */
        private static final Map<String, List<String>> NEEDED = Map.of(
                "onMessageSent", CHAT, "onMediaMessageSent", CHAT,
                "onChannelUpdated", List.of("ChannelSid", "Attributes"),
                "onMessageAdded", List.of("ConversationSid", "MessageSid", "Author"),
                "onConversationStateUpdated", List.of("ConversationSid", "StateTo"));
        private static final Map<String, String> SIDS = Map.of("ConversationSid", "CH" + Settings.HEX,
                "ChannelSid", "CH" + Settings.HEX, "MessageSid", "IM" + Settings.HEX, "MediaSid", "ME" + Settings.HEX);

        /**
         * Twilio signs names and values with nothing between them, so a captured webhook can be split anew into others
         * of the same signature: a digit of the customer begins a name, a sid takes in the field after it. None of
         * those is whole: with our account and what it needs, each name once and like a name, and sids like sids.
         */
        static boolean isWhole(Form form, String account) {
            Set<String> names = new HashSet<>();
            return form.get("AccountSid").equalsIgnoreCase(account)
                    && form.fields().stream().allMatch(field -> names.add(field.getKey())
                            && field.getKey().matches("[A-Z][A-Za-z0-9_.]*")
                            && field.getValue().matches(SIDS.getOrDefault(field.getKey(), "(?s).*")))
                    && names.containsAll(NEEDED.getOrDefault(form.get("EventType"), List.of()));
        }

        static FromFlex read(Form form, String customer) {
            String conversation = form.get("ConversationSid").isEmpty() ? form.get("ChannelSid") : form.get("ConversationSid");
            boolean over = switch (form.get("EventType")) {
                case "onChannelUpdated" -> lenient(form.get("Attributes")).path("status").asText().equals("INACTIVE");
                case "onConversationStateUpdated" -> form.get("StateTo").equals("closed");
                default -> false;
            };
            boolean written = Set.of("onMessageSent", "onMediaMessageSent", "onMessageAdded").contains(form.get("EventType"));
            return new FromFlex(customer, written ? messages(form, customer, conversation) : List.of(),
                    over ? Optional.of(conversation) : Optional.empty());
        }

        /** What anybody but the customer and the bridge wrote: agents ({@code Source=SDK}) and bots ({@code Source=API}). */
        private static List<Message> messages(Form form, String customer, String conversation) {
            String author = form.get("Author").isEmpty() ? form.get("From") : form.get("Author");
            boolean customers = customer.isEmpty() ? author.matches("twitter-[0-9]+") : author.equals(identity(customer));
            String id = form.get("MessageSid");
            if (customers || author.equals(NOTE_AUTHOR) || id.isEmpty()) return List.of();
            List<String> files = new ArrayList<>();
            lenient(form.get("Media")).forEach(file -> files.add(file.path("Filename").asText() + " " + file.path("ContentType").asText()));
            if (!form.get("MediaSid").isEmpty()) files.add(form.get("MediaFilename") + " " + form.get("MediaContentType"));
            Instant now = Instant.now();
            List<Message> messages = new ArrayList<>();
            if (!form.get("Body").isEmpty()) {
                messages.add(new Message(Direction.TO_X, id, customer, "", author, form.get("Body"), List.of(), "", conversation, now));
            }
            if (!files.isEmpty()) {
                messages.add(new Message(Direction.TO_X, id + "-media", customer, "", author, "", files, "", conversation, now));
            }
            return messages;
        }
    }

    // ------------------------------------------------------------------------------------------------------------------
    // 4. The relay: accept, keep, order, deliver, retry, settle. A lane is one customer's queue in one direction; its head is
    //    tried until it is settled, and only then the next. A lane that waits holds no thread.

    /** What became of one try to deliver a message. */
    sealed interface Outcome {
        /** @param id what the other side calls it now; @param remark what the agent should know all the same, or empty */
        record Delivered(String id, String remark) implements Outcome { }

        /** Refused for good, no repetition would help. @param gone because the conversation it was for is over */
        record Refused(String reason, boolean gone) implements Outcome { }

        /**
         * To be tried again.
         *
         * @param after what the service asked for; the backoff may make it longer
         * @param everyone true if no other message to this service would fare better: its rate limit, our keys, our account
         * @param unknown true if it may have been done all the same: look before repeating
         */
        record Later(String reason, Duration after, boolean everyone, boolean unknown) implements Outcome { }

        /** What a failed look-up means for the message that it was made for: trouble of its own, and nobody else's. */
        default Outcome alone() { return this instanceof Later later ? new Later(later.reason(), later.after(), false, false) : this; }
    }

    /** A message on its way, with what earlier tries have left behind. Used by one thread at a time. */
    static final class Attempt {
        final Message message;
        final long order;
        final long accepted = System.nanoTime();
        /** Since when the other side may have it without our knowing; null if it surely has not. */
        Moment unknownSince;
        /** The conversation the last try was made in; empty before the first. */
        String conversation = "";
        /** What X called the parts that have arrived. */
        final Set<String> ids = new HashSet<>();
        /** Parts of a long message that have arrived. */
        int parts;
        int tries;

        Attempt(Message message, long order, boolean unknown) {
            this.message = message;
            this.order = order;
            if (unknown) mayHaveArrived();
        }

        /** Another process may have sent it, at any time since it was written by a clock that was not ours. */
        void mayHaveArrived() {
            Duration age = Duration.between(message.time(), Instant.now()).abs().plus(SKEW);
            unknownSince = Moment.ago(age.compareTo(LONG_AGO) < 0 ? age : LONG_AGO);
        }

        /** From when on it is looked for, by the clock of the service that is asked. */
        Instant lookFrom(Answer page) { return page.date().minus(unknownSince.age()).minus(LATENCY); }

        /** How far clocks may be apart: X takes no signature of one that is further off (its error 135). */
        private static final Duration SKEW = Duration.ofMinutes(5);
        /** Dates of answers are in whole seconds, and some time old when they are read. */
        private static final Duration LATENCY = Duration.ofSeconds(5);
        /** X shows no older messages; and a date that makes no sense must not stop the start. */
        private static final Duration LONG_AGO = Duration.ofDays(30);
    }

    /** A point in time by both clocks: one stands still while the machine sleeps, the other may be set. */
    record Moment(long nanos, Instant time) {
        static Moment now() { return ago(Duration.ZERO); }
        static Moment ago(Duration age) { return new Moment(System.nanoTime() - age.toNanos(), Instant.now().minus(age)); }

        /** How long ago it is, by the clock that says more: to look back too far costs a page, not far enough a message. */
        Duration age() {
            Duration steady = Duration.ofNanos(System.nanoTime() - nanos), set = Duration.between(time, Instant.now());
            return steady.compareTo(set) > 0 ? steady : set;
        }
    }

    static final class Relay {
        /** Threads per service: what a service that hangs can hold at most, and how many customers are served side by side. */
        private static final int WORKERS = 16;

        private final Journal journal;
        private final Tempo tempo;
        private final Metrics metrics;
        private final Side toFlex;
        private final Side toX;
        private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(threads("clock"));
        // The relay's lock guards the lanes, the sides' doors, and these.
        private final Map<String, Lane> lanes = new HashMap<>();
        private long order;
        private boolean stopping;

        /** One customer's messages in one direction, the oldest first. */
        private record Lane(String key, Side side, ArrayDeque<Attempt> waiting) { }

        Relay(Journal journal, Flex flex, X x, Tempo tempo, Metrics metrics) {
            this.journal = journal;
            this.tempo = tempo;
            this.metrics = metrics;
            toFlex = new Side("Flex", attempt -> attempt.message.direction() == Direction.NOTE ? flex.note(attempt.message)
                    : flex.deliver(attempt));
            toX = new Side("X", attempt -> {
                // A webhook without our parameter names no customer: the conversation itself is asked.
                Outcome owner = attempt.message.customer().isEmpty() ? flex.customerOf(attempt.message.conversation())
                        : new Outcome.Delivered(attempt.message.customer(), "");
                return owner instanceof Outcome.Delivered customer ? x.deliver(attempt, customer.id()) : owner;
            });
        }

        void start() {
            journal.start(this::add);
            long patience = tempo.patience().toMillis();
            clock.scheduleWithFixedDelay(surviving(this::tellWhoWaits, "who waits could not be told"), patience, Math.max(1, patience / 12),
                    TimeUnit.MILLISECONDS);
        }

        /** @return false if there is no room for them: nothing was kept */
        boolean accept(List<Message> messages) {
            try {
                return journal.keep(messages).get(10, TimeUnit.SECONDS);
            } catch (InterruptedException | ExecutionException | TimeoutException stopping) {
                return false;
            }
        }

        /** A rate limit that is over after its pause is none. */
        synchronized List<String> troubles() {
            return Stream.of(toFlex, toX).filter(side -> side.closed && side.pauses > 1).map(side -> side.name + " takes no messages")
                    .toList();
        }

        /** Called by the journal, in its order, with what is on disk. */
        private synchronized void add(Message message, boolean unknown) {
            Lane lane = lanes.computeIfAbsent(message.lane(),
                    key -> new Lane(key, message.direction() == Direction.TO_X ? toX : toFlex, new ArrayDeque<>()));
            lane.waiting.add(new Attempt(message, order++, unknown));
            if (lane.waiting.size() == 1) lane.side.ready(lane);
        }

        /** Tries a lane's first message once, and sees to what follows from that. */
        private void work(Lane lane, Attempt attempt) {
            Message message = attempt.message;
            if (attempt.tries++ == 0) journal.attempting(message.id());
            Moment began = Moment.now();
            Outcome outcome;
            try {
                outcome = lane.side.service.apply(attempt);
            } catch (RuntimeException bug) {
                LOG.log(ERROR, "message " + message.id() + " could not be handled", bug);
                outcome = new Outcome.Refused("the bridge could not handle it (" + bug.getClass().getSimpleName() + ")", false);
            }
            String what = " id=" + message.id() + " to=" + lane.side.name + " customer=" + message.customer() + " try=" + attempt.tries;
            if (outcome instanceof Outcome.Later later) {
                if (later.unknown() && attempt.unknownSince == null) attempt.unknownSince = began;
                LOG.log(WARNING, () -> "waiting" + what + ": " + later.reason());
                lane.side.again(lane, attempt.tries, later);
            } else if (outcome instanceof Outcome.Refused refused) {
                LOG.log(ERROR, () -> "refused" + what + ": " + refused.reason());
                String known = attempt.unknownSince == null ? "Not delivered" : "It is not known whether this was delivered";
                String whose = message.direction() == Direction.TO_X ? " to the customer: " : ", a message of the customer: ";
                journal.failed(message.id(), refused.reason(), remark(attempt, known + whose + refused.reason()));
                next(lane);
            } else if (outcome instanceof Outcome.Delivered delivered) {
                LOG.log(INFO, () -> "delivered" + what + " as=" + delivered.id() + " ms=" + began.age().toMillis());
                metrics.delivered(lane.side.name, System.nanoTime() - attempt.accepted);
                journal.delivered(message.id(), delivered.id(), delivered.remark().isEmpty() ? List.of()
                        : remark(attempt, delivered.remark()));
                next(lane);
            }
        }

        /** What the agent is to know, in the conversation it is about, if there is one; notes have no notes. */
        private static List<Message> remark(Attempt attempt, String text) {
            Message message = attempt.message;
            String conversation = message.conversation().isEmpty() ? attempt.conversation : message.conversation();
            return message.direction() == Direction.NOTE || conversation.isEmpty() ? List.of()
                    : List.of(message.note(message.id(), conversation, text));
        }

        private synchronized void next(Lane lane) {
            lane.side.works(lane);
            lane.waiting.remove();
            if (lane.waiting.isEmpty()) lanes.remove(lane.key);
            else lane.side.ready(lane);
        }

        /** Once per conversation, thanks to the note's id: the journal keeps no message twice. */
        private synchronized void tellWhoWaits() {
            Instant since = Instant.now().minus(tempo.patience());
            lanes.values().stream().filter(lane -> lane.side == toX).map(lane -> lane.waiting.element().message)
                    .filter(message -> message.time().isBefore(since))
                    .forEach(message -> journal.tell(message.note("waits-" + message.conversation(), message.conversation(),
                            "X does not take messages at the moment: what you write waits here and will be sent in order.")));
        }

        /** Lets what is being sent end within 6 s, and sends nothing more. */
        void stop() {
            synchronized (this) {
                stopping = true;
            }
            clock.shutdownNow();
            Instant until = Instant.now().plusSeconds(6);
            Stream.of(toFlex, toX).forEach(side -> side.workers.shutdown());
            Stream.of(toFlex, toX).forEach(side -> await(side.workers, until));
        }

        /**
         * One service as the relay sees it. When it turns everybody away (rate limit, our keys, our account), its door closes and
         * the lanes gather before it. After the pause one of them goes ahead as a probe; if it is let in, all follow, oldest first.
         */
        private final class Side {
            final String name;
            final Function<Attempt, Outcome> service;
            final ThreadPoolExecutor workers;
            private final PriorityQueue<Lane> held = new PriorityQueue<>(Comparator.comparingLong(lane -> lane.waiting.element().order));
            private boolean closed;
            private int pauses;
            private Lane probe;

            Side(String name, Function<Attempt, Outcome> service) {
                this.name = name;
                this.service = service;
                workers = new ThreadPoolExecutor(WORKERS, WORKERS, 30, TimeUnit.SECONDS, new LinkedBlockingQueue<>(),
                        threads("to-" + name));
                workers.allowCoreThreadTimeOut(true);
            }

            /** Sends a lane on its way, or before the door if that is closed by the time its turn has come. */
            void ready(Lane lane) {
                if (stopping) return;
                workers.execute(() -> {
                    Attempt head;
                    synchronized (Relay.this) {
                        if (closed && lane != probe) held.add(lane);
                        head = stopping || closed && lane != probe ? null : lane.waiting.element();
                    }
                    try {
                        if (head != null) work(lane, head);
                    } catch (Error broken) {
                        // Out of memory, as a rule: this try is over, the message is not.
                        LOG.log(ERROR, "a delivery was cut short", broken);
                        again(lane, head.tries, new Outcome.Later("cut short", Duration.ZERO, false, true));
                    }
                });
            }

            void again(Lane lane, int tries, Outcome.Later later) {
                synchronized (Relay.this) {
                    if (!later.everyone()) {
                        works(lane);
                        after(later.after(), tries, () -> ready(lane));
                        return;
                    }
                    held.add(lane);
                    // One that was under way when the door closed changes nothing: the pause that runs will do.
                    if (closed && lane != probe) return;
                    if (!closed) LOG.log(WARNING, () -> name + " is paused for all customers: " + later.reason());
                    pauses = closed ? pauses + 1 : 1;
                    closed = true;
                    probe = null;
                    after(later.after(), pauses, () -> {
                        probe = held.remove();
                        ready(probe);
                    });
                }
            }

            /** The service has looked at this lane's message on its merits: if it was the probe, the door opens. */
            void works(Lane lane) {
                if (lane != probe) return;
                probe = null;
                closed = false;
                LOG.log(INFO, () -> name + " takes messages again");
                while (!held.isEmpty()) ready(held.remove());
            }

            /** Backoff, exponential with full jitter: many lanes that failed together do not come back together. */
            private void after(Duration asked, int tries, Runnable then) {
                if (stopping) return;
                long ceiling = Math.min(tempo.longestPause().toMillis(), tempo.firstPause().toMillis() << Math.min(tries - 1, 20));
                clock.schedule(() -> {
                    synchronized (Relay.this) {
                        then.run();
                    }
                }, Math.max(asked.toMillis(), ThreadLocalRandom.current().nextLong(ceiling + 1)), TimeUnit.MILLISECONDS);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------------------
    // 5. Flex: one small interface. Whatever it is asked can be asked again after a failure at any point.

    interface Flex {
        /** Posts a customer's message into his live conversation, which is opened if there is none. */
        Outcome deliver(Attempt attempt);

        /** Tells the agents of a conversation something that does not go on to the customer. */
        Outcome note(Message note);

        /** Whose conversation this is: delivered is the customer's id. */
        Outcome customerOf(String conversation);

        /** The agent has ended it: the customer's next message opens another. */
        void ended(String customer, String conversation);

        /** Gives the public URL to the open conversations that have the one before, where they can be listed. @return what to try again */
        Optional<Answer> moved(String before);

        /** Reads a customer's id from a field of what a service answered. */
        static Outcome customerIn(Answer answer, Pattern pattern, String field) {
            Matcher id = pattern.matcher(answer.body().path(field).asText());
            return !answer.ok() ? answer.outcome().alone() : id.matches() ? new Outcome.Delivered(id.group(1), "")
                    : new Outcome.Refused("this conversation does not tell which X user it belongs to", false);
        }
    }

    /**
     * Flex Conversations and Interactions, the current generation (Twilio, "Conversations API" and "Interactions API").
     *
     * @param bridge the name by which this bridge claims a conversation that it opens
     * @param live each customer's live conversation, complete with webhook and task; losing an entry costs a few calls
     */
    record FlexConversations(Twilio twilio, Settings settings, String bridge, Tempo tempo, Map<String, String> live) implements Flex {
        /** One call for a message in a known conversation, six for the first message of a new customer. */
        @Override public Outcome deliver(Attempt attempt) {
            String customer = attempt.message.customer();
            // Where an earlier try may have left it is looked at first, even if that conversation has been ended since.
            String known = attempt.unknownSince != null && !attempt.conversation.isEmpty() ? attempt.conversation : live.get(customer);
            if (known != null) {
                Outcome posted = post(known, attempt, false);
                if (!(posted instanceof Outcome.Refused refused && refused.gone())) return posted;
                live.remove(customer, known);
            }
            Opening opening = open(attempt.message);
            if (opening.trouble() != null) return opening.trouble();
            live.put(customer, opening.sid());
            // Another bridge may have been given the same message, before this one knew the conversation.
            if (!opening.fresh() && attempt.unknownSince == null) attempt.mayHaveArrived();
            Outcome posted = post(opening.sid(), attempt, opening.fresh());
            return posted instanceof Outcome.Refused refused && refused.gone()
                    ? Opening.later("it was closed while it was opened", Duration.ZERO).trouble() : posted;
        }

        private Outcome post(String sid, Attempt attempt, boolean fresh) {
            attempt.conversation = sid;
            return twilio.postParts("conversations", path(sid) + "/Messages", "Author", false, attempt, fresh);
        }

        /** A complete conversation, or why there is none yet. */
        private record Opening(String sid, boolean fresh, Outcome trouble) {
            static Opening failed(Answer answer) { return new Opening("", false, answer.outcome()); }
            static Opening later(String why, Duration after) {
                return new Opening("", false, new Outcome.Later("the conversation cannot be used yet: " + why, after, false, false));
            }
        }

        /**
         * The unique name {@code twitter-<customer>-<n>} is the lock: n counts the customer's conversations, so all who want to open
         * the next one ask for the same name, and one of them gets it. The others are told 409 and join.
         */
        private Opening open(Message message) {
            AtomicInteger free = new AtomicInteger();
            List<JsonNode> open = new ArrayList<>();
            String his = service() + "/ParticipantConversations?Identity=" + identity(message.customer());
            Answer listed = twilio.pages("conversations", his, "conversations", (page, known) -> {
                if (!known.path("conversation_state").asText().equals("closed")) return !open.add(known);
                Matcher name = NAME.matcher(known.path("conversation_unique_name").asText());
                // Not their number: some may have been deleted.
                if (name.matches()) free.accumulateAndGet(Integer.parseInt(name.group(2)) + 1, Math::max);
                return true;
            });
            if (!listed.ok()) return Opening.failed(listed);
            if (!open.isEmpty()) return complete(listed, open.get(0), message, false);
            // Names of closed conversations stay taken; one that was joined by nobody yet shows only here.
            for (int n = free.get(); n <= free.get() + 20; n++) {
                Answer next = create(message, n);
                if (next.ok()) return complete(next, next.body(), message, true);
                Answer taken = next.code() == TAKEN ? twilio.get("conversations", path(name(message.customer(), n))) : next;
                if (!taken.ok()) return Opening.failed(taken);
                if (!taken.body().path("state").asText().equals("closed")) return complete(taken, taken.body(), message, false);
            }
            return Opening.later("no free name for a conversation", Duration.ZERO);
        }

        /** Conversation unique name exists; participant exists (HTTP 409 both). */
        private static final int TAKEN = 50353;
        private static final int ALREADY_IN = 50433;

        private static final Pattern NAME = Pattern.compile("twitter-([0-9]{1,19})-([0-9]{1,8})");

        private static String name(String customer, int n) { return identity(customer) + "-" + n; }

        private Answer create(Message message, int n) {
            return twilio.post("conversations", service() + "/Conversations", Form.of("UniqueName", name(message.customer(), n),
                    "FriendlyName", message.title(), "Attributes", claim(object().put("customer", message.customer())).toString()));
        }

        /**
         * Who is to complete this conversation, so that a bridge that dies half-way is followed by one other. How long ago that was
         * written tells {@code date_updated}, by Twilio's clock, which is the same for all bridges.
         */
        private ObjectNode claim(ObjectNode attributes) {
            return attributes.put("bridge", bridge).put("since", System.currentTimeMillis());
        }

        /** Too late to ask for a task: another bridge may be about to take over. */
        private boolean late(Answer seen, Duration age) {
            return age.plus(seen.asked().age()).compareTo(tempo.claim().dividedBy(2)) > 0;
        }

        private Duration settle() { return tempo.claim().dividedBy(6); }

        /**
         * Gives a conversation its participant, webhook and task, the task last: where there is one, the rest is there too. As long as
         * there is none only the bridge that holds the claim goes on, from wherever it was cut off.
         *
         * @param seen the answer in which {@code conversation} stood: as created, as fetched, or as listed by participant
         */
        private Opening complete(Answer seen, JsonNode conversation, Message message, boolean fresh) {
            // Listed by participant, the fields have longer names.
            UnaryOperator<String> field = name -> conversation.path("conversation_" + name).asText(conversation.path(name).asText());
            String sid = field.apply("sid");
            ObjectNode attributes = lenient(field.apply("attributes")) instanceof ObjectNode found ? found : object();
            Duration age = Duration.between(time(field.apply("date_updated")), seen.date());
            if (!fresh && !attributes.has("interaction")) {
                Optional<Opening> trouble = findTask(sid, attributes);
                if (trouble.isPresent()) return trouble.get();
            }
            if (attributes.has("interaction")) {
                Answer hooked = hook(sid, message.customer(), false);
                return hooked.ok() ? new Opening(sid, false, null) : Opening.failed(hooked);
            }
            if (!fresh) {
                boolean mine = attributes.path("bridge").asText().equals(bridge);
                // A task that was asked for just before a crash may not be listed yet, and what another bridge does may take its time.
                if (age.compareTo(mine ? settle() : tempo.claim()) < 0) {
                    return Opening.later("it is half opened", mine ? settle() : Duration.ZERO);
                }
                if (!mine || late(seen, age)) {
                    // Several may claim at once: the last one to write holds it, and reads so after a pause longer than a write takes.
                    Answer claimed = twilio.post("conversations", path(sid), Form.of("Attributes", claim(attributes).toString()));
                    return claimed.ok() ? Opening.later("it was left half opened and is taken over", settle()) : Opening.failed(claimed);
                }
            }
            Answer joined = twilio.post("conversations", path(sid) + "/Participants", Form.of("Identity", identity(message.customer())));
            if (!joined.ok() && joined.code() != ALREADY_IN) return Opening.failed(joined);
            Answer hooked = hook(sid, message.customer(), fresh);
            if (!hooked.ok()) return Opening.failed(hooked);
            if (late(seen, age)) return Opening.later("opening it took too long", Duration.ZERO);
            Answer asked = twilio.post("flex-api", "/v1/Interactions",
                    Form.of("Channel", channel(sid).toString(), "Routing", routing(message).toString()));
            if (asked.ok()) return new Opening(sid, fresh, null);
            return asked.outcome() instanceof Outcome.Later late && late.unknown() ? Opening.later(late.reason(), settle())
                    : Opening.failed(asked);
        }

        private Answer hook(String sid, String customer, boolean fresh) {
            Form webhook = Form.of("Target", "webhook", "Configuration.Url", settings.fromFlexUrl(customer), "Configuration.Method", "post",
                    "Configuration.Filters", "onMessageAdded", "Configuration.Filters", "onConversationStateUpdated");
            return fresh ? twilio.post("conversations", path(sid) + "/Webhooks", webhook)
                    : twilio.ensureWebhook("conversations", path(sid) + "/Webhooks", false, webhook);
        }

        /**
         * Looks for a task, which Interactions do not list but TaskRouter does, and writes its ids into the conversation's attributes:
         * the next to ask reads them there. Whoever opens a conversation does not write them, that call is saved until now.
         */
        private Optional<Opening> findTask(String sid, ObjectNode attributes) {
            Answer tasks = twilio.get("taskrouter", "/v1/Workspaces/" + settings.workspace() + "/Tasks?EvaluateTaskAttributes="
                    + Form.escape("conversationSid == \"" + sid + "\""));
            if (!tasks.ok()) return Optional.of(Opening.failed(tasks));
            JsonNode task = tasks.body().at("/tasks/0");
            if (task.isMissingNode()) return Optional.empty();
            JsonNode known = lenient(task.path("attributes").asText());
            attributes.put("interaction", known.path("flexInteractionSid").asText())
                    .put("interaction_channel", known.path("flexInteractionChannelSid").asText())
                    .put("task", task.path("sid").asText());
            Answer noted = twilio.post("conversations", path(sid), Form.of("Attributes", attributes.toString()));
            return noted.ok() ? Optional.empty() : Optional.of(Opening.failed(noted));
        }

        private static ObjectNode channel(String sid) {
            ObjectNode channel = object().put("type", "web").put("initiated_by", "customer");
            channel.putObject("properties").put("media_channel_sid", sid);
            return channel;
        }

        /** What the agent sees of the customer before the first word. */
        private ObjectNode routing(Message message) {
            ObjectNode routing = object();
            routing.putObject("properties").put("workspace_sid", settings.workspace()).put("workflow_sid", settings.workflow())
                    .put("task_channel_unique_name", settings.taskChannel()).putObject("attributes").put("from", "@" + message.handle())
                    .put("name", message.title()).put("customerName", message.name()).put("customerAddress", identity(message.customer()))
                    .put("customerId", message.customer()).put("handle", message.handle()).put("customChannel", "twitter")
                    .put("profile", "https://x.com/i/user/" + message.customer());
            return routing;
        }

        @Override public Outcome note(Message note) {
            return twilio.post("conversations", path(note.conversation()) + "/Messages",
                    Form.of("Author", NOTE_AUTHOR, "Body", note.text())).outcome();
        }

        @Override public Outcome customerOf(String conversation) {
            return Flex.customerIn(twilio.get("conversations", path(conversation)), NAME, "unique_name");
        }

        @Override public void ended(String customer, String conversation) { live.remove(customer, conversation); }

        /** What an agent writes would go to the old address, and Conversations tries only once. */
        @Override public Optional<Answer> moved(String before) {
            List<Answer> answers = new ArrayList<>();
            for (String state : List.of("active", "inactive")) {
                answers.add(twilio.pages("conversations", service() + "/Conversations?PageSize=100&State=" + state, "conversations",
                        (page, conversation) -> {
                            Matcher name = NAME.matcher(conversation.path("unique_name").asText());
                            if (name.matches()) answers.addAll(moved(before, conversation.path("sid").asText(), name.group(1)));
                            return true;
                        }));
            }
            return answers.stream().filter(answer -> answer.outcome() instanceof Outcome.Later).findFirst();
        }

        /** A conversation with a webhook elsewhere belongs to another bridge. */
        private List<Answer> moved(String before, String sid, String customer) {
            Answer hooks = twilio.get("conversations", path(sid) + "/Webhooks?PageSize=5");
            boolean ours = hooks.body().path("webhooks").valueStream()
                    .anyMatch(hook -> hook.at("/configuration/url").asText().startsWith(before + "/fromFlex"));
            if (ours) LOG.log(INFO, () -> "conversation " + sid + " is told the new address");
            return ours ? List.of(hooks, hook(sid, customer, false)) : List.of(hooks);
        }

        private String service() { return "/v1/Services/" + settings.chatService(); }
        private String path(String conversation) { return service() + "/Conversations/" + Form.escape(conversation); }
    }

    /**
     * Programmable Chat with Flex Flows, the original's API. Twilio calls it at its end (June 2026); accounts that have it use it.
     *
     * @param ready the channel of each customer whose webhook has been seen to; losing an entry costs two calls
     */
    record FlexChat(Twilio twilio, Settings settings, Map<String, String> ready) implements Flex {
        /**
         * Two calls for a message in a known chat, four for the first of a chat. Creating the channel is asked for every time: it
         * gives back the customer's channel while that is active, and a new one after the agent has ended it.
         */
        @Override public Outcome deliver(Attempt attempt) {
            Message message = attempt.message;
            String customer = message.customer();
            Answer opened = twilio.post("flex-api", "/v1/Channels",
                    Form.of("FlexFlowSid", settings.flexFlow(), "Identity", identity(customer),
                    "ChatUserFriendlyName", message.title(), "ChatFriendlyName", customer, "Target", "@" + message.handle()));
            if (!opened.ok()) return opened.outcome();
            String channel = opened.body().path("sid").asText();
            if (!channel.equals(ready.get(customer))) {
                Answer hooked = twilio.ensureWebhook("chat", path(channel) + "/Webhooks", opened.isNew(), Form.of("Type", "webhook",
                        "Configuration.Url", settings.fromFlexUrl(customer), "Configuration.Method", "POST",
                        "Configuration.Filters", "onMessageSent", "Configuration.Filters", "onMediaMessageSent",
                        "Configuration.Filters", "onChannelUpdated", "Configuration.RetryCount", "3"));
                if (!hooked.ok()) return hooked.outcome();
                ready.put(customer, channel);
            }
            attempt.conversation = channel;
            // With webhooks, or the flow's Studio hook does not run and no agent hears of the chat.
            return twilio.postParts("chat", path(channel) + "/Messages", "From", true, attempt, false);
        }

        @Override public Outcome note(Message note) {
            return twilio.post("chat", path(note.conversation()) + "/Messages", Form.of("From", NOTE_AUTHOR, "Body", note.text()))
                    .outcome();
        }

        /** The original, and so do we, keeps the customer's id in the channel's friendly name. */
        @Override public Outcome customerOf(String conversation) {
            return Flex.customerIn(twilio.get("chat", path(conversation)), Pattern.compile("([0-9]{1,19})"), "friendly_name");
        }

        @Override public void ended(String customer, String conversation) { ready.remove(customer, conversation); }

        /** Only at each customer's next message: nothing lists the open channels but a walk through all that ever were. */
        @Override public Optional<Answer> moved(String before) { return Optional.empty(); }

        private String path(String channel) { return "/v2/Services/" + settings.chatService() + "/Channels/" + Form.escape(channel); }
    }

    /** Twilio's REST APIs: Basic auth, forms in, JSON out, a host per product (Twilio, "Requests to the REST API"). */
    record Twilio(Client client, Settings settings, Choices choices) {
        private static final String SERVICE = "Twilio";
        /** Bytes of a message's body, in UTF-8 (Twilio, "Conversations limits"). X's 10,000 characters can be 40,000 bytes. */
        static final int MAX_BODY = 32 * 1024;

        Answer get(String product, String path) { return client.call(SERVICE, request(product, path).GET()); }
        Answer delete(String product, String path) { return client.call(SERVICE, request(product, path).DELETE()); }
        Answer post(String product, String path, Form form) { return client.call(SERVICE, filled(request(product, path), form)); }

        /** Goes through a list page by page. @param item is given each page and element, and tells whether to go on */
        Answer pages(String product, String path, String list, BiPredicate<Answer, JsonNode> item) {
            Answer page = get(product, path);
            while (page.ok()) {
                for (JsonNode element : page.body().path(list)) {
                    if (!item.test(page, element)) return page;
                }
                String next = page.body().at("/meta/next_page_url").asText("");
                if (next.isEmpty()) return page;
                page = get(product, next.replaceFirst("^https?://[^/]+(/" + product + ")?(?=/v)", ""));
            }
            return page;
        }

        private HttpRequest.Builder request(String product, String path) {
            boolean key = !settings.apiKey().isEmpty();
            return HttpRequest.newBuilder(URI.create(settings.twilioApiUrl().replace("{product}", product) + path)).header("Authorization",
                    key ? Signatures.basic(settings.apiKey(), settings.apiSecret())
                    : Signatures.basic(settings.accountSid(), settings.authToken()));
        }

        private static HttpRequest.Builder filled(HttpRequest.Builder request, Form form) {
            return request.header("Content-Type", "application/x-www-form-urlencoded")
                    .POST(HttpRequest.BodyPublishers.ofString(form.encode()));
        }

        /**
         * Posts what a customer wrote, in parts if it is too long for one message. Each is marked with the Direct Message's id: after
         * a failure the marks tell which parts have arrived.
         *
         * @param messages the path of the conversation's messages
         * @param author the name of the parameter for the author
         * @param webhooks whether webhooks are to fire for it, as they do not for REST calls by default
         * @param fresh whether the conversation was opened just now, so that nothing can be found in it
         */
        Outcome postParts(String product, String messages, String author, boolean webhooks, Attempt attempt, boolean fresh) {
            Message message = attempt.message;
            String newest = messages + "?Order=desc&PageSize=100";
            if (attempt.unknownSince != null && !fresh) {
                AtomicInteger last = new AtomicInteger();
                Answer found = pages(product, newest, "messages", (page, posted) -> {
                    JsonNode mark = lenient(posted.path("attributes").asText());
                    if (mark.path("x_dm_id").asText().equals(message.id())) last.set(mark.path("part").asInt());
                    return last.get() == 0 && time(posted.path("date_created").asText()).isAfter(attempt.lookFrom(page));
                });
                if (!found.ok()) return found.outcome();
                attempt.parts = Math.max(attempt.parts, last.get());
            }
            attempt.unknownSince = null;
            if (choices.mayBeAnswer(message)) {
                Answer list = fresh ? Answer.none("", "", "", false) : get(product, newest);
                if (!list.ok() && !fresh) return list.outcome();
                choices.learn(message.customer(), list.body().path("messages"));
            }
            Choices.Read read = choices.read(message);
            String text = Stream.concat(Stream.of(read.text()), message.attachments().stream()).filter(line -> !line.isBlank())
                    .collect(Collectors.joining("\n"));
            List<String> parts = split(text.isEmpty() ? "(a message without text)" : text, MAX_BODY, Bridge::utf8Length);
            String sid = "found";
            for (; attempt.parts < parts.size(); attempt.parts++) {
                ObjectNode attributes = object().put("x_dm_id", message.id()).put("part", attempt.parts + 1);
                if (!message.answer().isEmpty()) attributes.put("quick_reply_metadata", message.answer());
                if (read.chosen()) attributes.put("chosen_by", message.text());
                HttpRequest.Builder request = filled(request(product, messages), Form.of(author, identity(message.customer()),
                        "Body", parts.get(attempt.parts), "Attributes", attributes.toString()));
                Answer posted = client.call(SERVICE, webhooks ? request.header("X-Twilio-Webhook-Enabled", "true") : request);
                if (!posted.ok()) return posted.outcome();
                sid = posted.body().path("sid").asText();
            }
            if (read.chosen()) choices.answered(message.customer());
            return new Outcome.Delivered(sid, "");
        }

        /**
         * Makes sure that exactly one webhook of the bridge hangs on a conversation, at today's public URL.
         *
         * @param webhooks the path of the conversation's webhooks; @param form what to register
         * @param missing whether there surely is none: of two bridges that see that at the same moment each adds one, and then looks
         *     again which one stays
         * @return the call that failed, or the last good one
         */
        Answer ensureWebhook(String product, String webhooks, boolean missing, Form form) {
            Answer added = missing ? post(product, webhooks, form) : null;
            Answer last = added == null || added.ok() ? get(product, webhooks + "?PageSize=5") : added;
            String url = form.get("Configuration.Url");
            String route = url.substring(url.indexOf("/fromFlex"));
            List<JsonNode> ours = new ArrayList<>();
            last.body().path("webhooks").forEach(webhook -> {
                String known = webhook.at("/configuration/url").asText();
                // With our parameter, or without it as the original registered it.
                if (known.endsWith(route) || known.endsWith("/fromFlex")) ours.add(webhook);
            });
            // The one that is right already stays first; with equals the order of listing decides, the same for every bridge.
            ours.sort(Comparator.comparing(webhook -> !webhook.at("/configuration/url").asText().equals(url)));
            for (JsonNode surplus : ours.subList(Math.min(1, ours.size()), ours.size())) {
                Answer removed = delete(product, webhooks + "/" + surplus.path("sid").asText());
                if (!removed.ok() && removed.status() != 404) return removed;
            }
            if (last.ok() && ours.isEmpty()) return missing ? added : ensureWebhook(product, webhooks, true, form);
            return last.ok() && !ours.get(0).at("/configuration/url").asText().equals(url)
                    ? post(product, webhooks + "/" + ours.get(0).path("sid").asText(), Form.of("Configuration.Url", url)) : last;
        }
    }

    /** A map that forgets what was used longest ago. */
    static <V> Map<String, V> cache() {
        return Collections.synchronizedMap(new LinkedHashMap<>(16, 0.75f, true) {
            private static final long serialVersionUID = 1;

            @Override protected boolean removeEldestEntry(Map.Entry<String, V> eldest) { return size() > 100_000; }
        });
    }

    /** Cuts a text into parts of at most {@code limit}, as {@code weight} counts code points: at white space if there is some. */
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

    static int utf8Length(int codePoint) { return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4; }

    // ------------------------------------------------------------------------------------------------------------------
    // 6. X: one sender, the two APIs it speaks, and what agents can type for the customer to tap.

    /** Sends Direct Messages. Both of X's APIs have OAuth 1.0a, JSON, 10,000 characters and a rate limit told in headers. */
    static final class X {
        static final String SERVICE = "X";
        /** Code points of one Direct Message. */
        static final int MAX_TEXT = 10_000;
        /** How far back a message is looked for, in pages: X allows 15 of them in 15 minutes. */
        private static final int MAX_PAGES = 10;

        private final Client client;
        private final Settings settings;
        private final Choices choices;
        private final Predicate<String> sentBefore;
        private final Api api;
        /** When the rate limit allows more, by the clock that never jumps; null if it does now. */
        private volatile Long exhausted;

        X(Client client, Settings settings, Choices choices, Predicate<String> sentBefore) {
            this.client = client;
            this.settings = settings;
            this.choices = choices;
            this.sentBefore = sentBefore;
            api = settings.twitterApi().equals("1.1") ? new X11() : new X2();
        }

        /** What the two APIs differ in. */
        interface Api {
            /** The text as this API can show it, with what of the list and buttons it can not. */
            String text(Rich rich);

            String path(String customer);
            ObjectNode body(String customer, String text, Rich rich, boolean last);

            /** The id of a Direct Message in the answer to its sending. */
            String id(JsonNode answer);

            /** Where the newest messages are listed, back in time. */
            String newest(String customer);

            /** @param cursor where the page before ended, or empty */
            Form query(String cursor);
            Stream<Sent> read(JsonNode page, String customer);
            String cursor(JsonNode page);
        }

        /** A message found at X. @param to whom we sent it, empty if we did not; @param text as it was before X shortened the links */
        record Sent(String id, String to, String text, Instant at) { }

        /** Sends what an agent wrote to a customer, and looks first if an earlier try may have done so. */
        Outcome deliver(Attempt attempt, String customer) {
            Message message = attempt.message;
            if (!message.attachments().isEmpty()) return new Outcome.Refused("files are not carried to X yet", false);
            if (message.text().isBlank()) return new Outcome.Refused("a message without text cannot be sent", false);
            Long until = exhausted;
            if (until != null && until - System.nanoTime() > 0) {
                return new Outcome.Later("X's rate limit is used up", Duration.ofNanos(until - System.nanoTime()), true, false);
            }
            Rich rich = Rich.read(message.text());
            List<String> parts = split(api.text(rich), MAX_TEXT, point -> 1);
            String id = "found";
            if (attempt.unknownSince != null) {
                List<Sent> found = new ArrayList<>();
                int pages = 0;
                for (String cursor = ""; cursor != null && pages++ < MAX_PAGES;) {
                    Answer page = client.call(SERVICE, signed(settings, "GET", api.newest(customer), api.query(cursor)).GET());
                    if (!page.ok()) return page.outcome().alone();
                    Instant from = attempt.lookFrom(page);
                    List<Sent> read = api.read(page.body(), customer).toList();
                    read.stream().filter(sent -> !sent.at().isBefore(from)).forEach(found::add);
                    cursor = read.isEmpty() || read.get(read.size() - 1).at().isBefore(from) ? null : api.cursor(page.body());
                }
                // What arrived before is settled under its own id; each message found counts for one part.
                found.removeIf(sent -> !sent.to().equals(customer) || sentBefore.test(sent.id()) || attempt.ids.contains(sent.id()));
                found.sort(Comparator.comparing(Sent::at));
                for (; attempt.parts < parts.size(); attempt.parts++) {
                    String part = bare(parts.get(attempt.parts));
                    Optional<Sent> same = found.stream().filter(sent -> bare(sent.text()).equals(part)).findFirst();
                    if (same.isEmpty()) break;
                    id = same.get().id();
                    found.remove(same.get());
                }
                attempt.unknownSince = null;
            }
            for (; attempt.parts < parts.size(); attempt.parts++) {
                ObjectNode body = api.body(customer, parts.get(attempt.parts), rich, attempt.parts == parts.size() - 1);
                Answer sent = client.call(SERVICE, signed(settings, "POST", api.path(customer), Form.of())
                        .header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(body.toString())));
                boolean last = sent.headers().firstValue("x-rate-limit-remaining").orElse("").equals("0");
                exhausted = last ? (Long) (System.nanoTime() + sent.untilReset().toNanos()) : null;
                if (!sent.ok()) return sent.outcome();
                id = api.id(sent.body());
                attempt.ids.add(id);
            }
            choices.sent(customer, rich);
            return new Outcome.Delivered(id, rich.complaint());
        }

        /** What X leaves of a text when it shortens its links: "www.example.com" comes back as "http://www.example.com/". */
        private static String bare(String text) { return text.strip().replaceAll("(?i)https?://", "").replaceAll("/(?=\\s|$)", ""); }

        /** The query is part of the signature, a JSON body is not (RFC 5849, 3.4.1.3.1). */
        static HttpRequest.Builder signed(Settings settings, String method, String path, Form query) {
            String url = settings.twitterApiUrl() + path;
            String nonce = UUID.randomUUID().toString().replace("-", "");
            return HttpRequest.newBuilder(URI.create(query.fields().isEmpty() ? url : url + "?" + query.encode())).header("Authorization",
                    Signatures.oauth(method, url, query, settings.consumerKey(), settings.consumerSecret(), settings.accessToken(),
                            settings.accessSecret(), nonce, String.valueOf(Instant.now().getEpochSecond())));
        }
    }

    /** Today's API: text only, so lists become numbered and buttons plain links (X API v2, "Manage Direct Messages"). */
    record X2() implements X.Api {
        @Override public String text(Rich rich) { return rich.plain(); }
        @Override public String path(String customer) { return "/2/dm_conversations/with/" + customer + "/messages"; }

        @Override public ObjectNode body(String customer, String text, Rich rich, boolean last) {
            return object().put("text", text);
        }

        @Override public String id(JsonNode answer) { return answer.at("/data/dm_event_id").asText(); }
        @Override public String newest(String customer) { return "/2/dm_conversations/with/" + customer + "/dm_events"; }

        @Override public Form query(String cursor) {
            return Form.of("max_results", "100", "event_types", "MessageCreate", "expansions", "sender_id",
                    "dm_event.fields", "created_at,entities,event_type,id,text")
                    .and(cursor.isEmpty() ? Form.of() : Form.of("pagination_token", cursor));
        }

        @Override public Stream<X.Sent> read(JsonNode page, String customer) {
            return page.path("data").valueStream().map(event -> new X.Sent(event.path("id").asText(),
                    event.path("sender_id").asText().equals(customer) ? "" : customer,
                    FromX.text(event), time(event.path("created_at").asText())));
        }

        @Override public String cursor(JsonNode page) { return page.at("/meta/next_token").asText(null); }
    }

    /** The original's Direct Message API, the only one with quick replies and buttons (X API v1.1, "direct_messages/events/new"). */
    record X11() implements X.Api {
        @Override public String text(Rich rich) { return rich.text(); }
        @Override public String path(String customer) { return "/1.1/direct_messages/events/new.json"; }

        @Override public ObjectNode body(String customer, String text, Rich rich, boolean last) {
            ObjectNode event = object();
            ObjectNode create = event.putObject("event").put("type", "message_create").putObject("message_create");
            create.putObject("target").put("recipient_id", customer);
            ObjectNode data = create.putObject("message_data").put("text", text);
            if (last && !rich.options().isEmpty()) {
                ArrayNode list = data.putObject("quick_reply").put("type", "options").putArray("options");
                for (Rich.Option option : rich.options()) {
                    // The metadata comes back with the customer's answer.
                    ObjectNode shown = list.addObject().put("label", option.label()).put("metadata", "option_" + list.size());
                    if (!option.description().isEmpty()) shown.put("description", option.description());
                }
            }
            if (last && !rich.buttons().isEmpty()) {
                ArrayNode list = data.putArray("ctas");
                rich.buttons().forEach(button -> list.addObject().put("type", "web_url").put("label", button.label())
                        .put("url", button.url()));
            }
            return event;
        }

        @Override public String id(JsonNode answer) { return answer.at("/event/id").asText(); }

        /** Of all customers together: these 50 may be the work of seconds. */
        @Override public String newest(String customer) { return "/1.1/direct_messages/events/list.json"; }

        @Override public Form query(String cursor) {
            return Form.of("count", "50").and(cursor.isEmpty() ? Form.of() : Form.of("cursor", cursor));
        }

        @Override public Stream<X.Sent> read(JsonNode page, String customer) {
            return page.path("events").valueStream().map(event -> new X.Sent(event.path("id").asText(),
                    event.at("/message_create/target/recipient_id").asText(), FromX.text(event.at("/message_create/message_data")),
                    Instant.ofEpochMilli(event.path("created_timestamp").asLong())));
        }

        @Override public String cursor(JsonNode page) { return page.path("next_cursor").asText(null); }
    }

    /**
     * The numbered lists that stand in for quick replies: a customer's {@code 2}, or a label in any case, is read as the label. The
     * last list is the agent's own message in the conversation, so it is found there after a restart, or if another bridge sent it.
     */
    static final class Choices {
        /** The labels each customer may choose from; none if he has chosen. Losing an entry costs a call. */
        private final Map<String, List<String>> last = cache();
        private static final Pattern NUMBER = Pattern.compile("[1-9][0-9]?");
        private final boolean numbered;

        /** @param numbered false where X shows real quick replies, and nothing is to be read */
        Choices(boolean numbered) {
            this.numbered = numbered;
        }

        record Read(String text, boolean chosen) { }
        void sent(String customer, Rich rich) { if (numbered && !rich.options().isEmpty()) last.put(customer, labels(rich)); }
        void answered(String customer) { last.put(customer, List.of()); }

        /** Whether the conversation has to be looked at before this can be read. */
        boolean mayBeAnswer(Message message) {
            String typed = message.text().strip();
            return numbered && !typed.isEmpty() && typed.length() <= 2 * Rich.MAX_LABEL
                    && (NUMBER.matcher(typed).matches() || last.get(message.customer()) == null);
        }

        /** @param newest the conversation's messages, the newest first */
        void learn(String customer, JsonNode newest) { last.put(customer, find(newest, customer)); }

        Read read(Message message) {
            String typed = message.text().strip();
            List<String> labels = numbered ? last.getOrDefault(message.customer(), List.of()) : List.of();
            int index = NUMBER.matcher(typed).matches() ? Integer.parseInt(typed) - 1
                    : labels.stream().map(label -> label.toLowerCase(Locale.ROOT)).toList().indexOf(typed.toLowerCase(Locale.ROOT));
            return index >= 0 && index < labels.size() ? new Read(labels.get(index), true) : new Read(message.text(), false);
        }

        private static List<String> find(JsonNode newest, String customer) {
            for (JsonNode message : newest) {
                String author = message.path("author").asText(message.path("from").asText());
                if (author.equals(identity(customer))) {
                    if (lenient(message.path("attributes").asText()).has("chosen_by")) return List.of();
                } else if (!author.equals(NOTE_AUTHOR)) {
                    List<String> labels = labels(Rich.read(message.path("body").asText()));
                    if (!labels.isEmpty()) return labels;
                }
            }
            return List.of();
        }

        private static List<String> labels(Rich rich) { return rich.options().stream().map(Rich.Option::label).toList(); }
    }

    /**
     * What an agent typed, read as X can show it: a text, a list to choose from ({@code Options}) and buttons ({@code Link}).
     *
     * @param text what remains as the message's text; all that was typed, if there is a complaint
     * @param complaint why a list or button went out as plain text, or empty
     */
    record Rich(String text, List<Option> options, List<Button> buttons, String complaint) {
        /** Limits of X: options and buttons of a message, code points of a label and a description. */
        static final int MAX_OPTIONS = 20, MAX_BUTTONS = 3, MAX_LABEL = 36, MAX_DESCRIPTION = 72;

        record Option(String label, String description) { }
        record Button(String label, String url) { }

        /** A label holds neither a comma nor another {@code Link}; what follows the comma has to look like an address. */
        private static final Pattern BUTTON = Pattern.compile(
                "(?U)\\bLink\\s++((?:(?!\\bLink\\b)[^,\\n])*?[^,\\s]),\\s*((?:[A-Za-z][A-Za-z0-9+.-]*:/|www\\.)\\S*)");
        private static final Pattern LIST = Pattern.compile("(?U)\\bOptions(?:[ \\t]*:|(?=\\s))\\s*");
        private static final Pattern BLANK_LINE = Pattern.compile("\\n[ \\t]*\\n");
        private static final Pattern SCHEME = Pattern.compile("https?://", Pattern.CASE_INSENSITIVE);

        static Rich read(String typed) {
            List<Button> buttons = new ArrayList<>();
            // What a button stood on becomes a blank line: it ends a list, and what comes after is text again.
            String rest = BUTTON.matcher(typed.replace("\r\n", "\n")).replaceAll(found -> {
                buttons.add(new Button(found.group(1).strip(), found.group(2)));
                return "\n\n";
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
            String tidy = text.strip().replaceAll("(?<![ \\t])[ \\t]*+\\n(?:[ \\t]*+\\n)++[ \\t]*+", "\n\n");
            return new Rich(tidy.isEmpty() ? labels(options, buttons) : tidy, options, List.copyOf(buttons), "");
        }

        private static String labels(List<Option> options, List<Button> buttons) {
            return Stream.concat(options.stream().map(Option::label), buttons.stream().map(Button::label))
                    .collect(Collectors.joining(" / "));
        }

        /** Whether an {@code Options} is meant as a command: where it stands says so, or in the middle of a sentence what follows. */
        private static boolean opens(String before, boolean colon, List<String> items) {
            String sentence = before.stripTrailing();
            boolean stands = colon || sentence.isEmpty() || before.indexOf('\n', sentence.length()) >= 0
                    || ".:?!".indexOf(sentence.charAt(sentence.length() - 1)) >= 0;
            boolean lower = items.stream().anyMatch(item -> Character.isLowerCase(item.codePointAt(0)));
            // One item in lower case is a sentence about options ("Options are limited today"), wherever it begins.
            return items.size() > 1 ? stands || !lower : items.size() == 1 && stands && (colon || !lower);
        }

        /** Label and description are parted by " - "; where no item has that and each has exactly one hyphen, by the hyphen. */
        private static List<Option> options(List<String> items) {
            boolean hyphens = items.stream().noneMatch(item -> item.contains(" - "))
                    && items.stream().allMatch(item -> item.matches("[^-]*-[^-]*"));
            return items.stream().map(item -> {
                String[] halves = item.split(hyphens ? "-" : " - ", 2);
                return new Option(halves[0].strip(), halves.length == 2 ? halves[1].strip() : "");
            }).toList();
        }

        private static String complaint(List<Option> options, List<Button> buttons) {
            List<String> wrong = new ArrayList<>();
            if (options.size() > MAX_OPTIONS) wrong.add("it has " + options.size() + " options, X shows at most " + MAX_OPTIONS);
            if (buttons.size() > MAX_BUTTONS) wrong.add("it has " + buttons.size() + " buttons, X shows at most " + MAX_BUTTONS);
            for (Option option : options) {
                tooLong(option.label(), MAX_LABEL, "label", wrong);
                tooLong(option.description(), MAX_DESCRIPTION, "description", wrong);
                if (option.label().isEmpty() || SCHEME.matcher(option.label()).find()) {
                    wrong.add("an option's label is empty or has a link in it");
                }
            }
            long described = options.stream().filter(option -> !option.description().isEmpty()).count();
            if (described > 0 && described < options.size()) {
                wrong.add("only " + described + " of " + options.size() + " options have a description, X wants all or none");
            }
            for (Button button : buttons) {
                tooLong(button.label(), MAX_LABEL, "label", wrong);
                if (!usable(button.url())) wrong.add("\"" + button.url() + "\" is not a usable http or https address");
            }
            return wrong.isEmpty() ? "" : "Sent as plain text, because " + String.join("; ", wrong) + ".";
        }

        private static void tooLong(String text, int limit, String what, List<String> wrong) {
            int length = text.codePointCount(0, text.length());
            if (length > limit) wrong.add("the " + what + " \"" + text + "\" has " + length + " characters, X shows at most " + limit);
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

    // ------------------------------------------------------------------------------------------------------------------
    // 7. Signatures: pure functions, each with its published vectors in a test. No clock, no chance, no state.

    static final class Signatures {
        private Signatures() { }

        /** X's webhooks and challenge: {@code sha256=} and the Base64 of HMAC-SHA256 (X API, "Securing webhooks"). */
        static String x(String secret, byte[] message) { return "sha256=" + hmac("HmacSHA256", secret, message); }

        /** In constant time: how far a guess is right must not show. */
        static boolean same(String expected, String given) {
            return MessageDigest.isEqual(expected.getBytes(UTF_8), given.getBytes(UTF_8));
        }

        /** HTTP Basic (RFC 7617). */
        static String basic(String user, String password) {
            return "Basic " + Base64.getEncoder().encodeToString((user + ":" + password).getBytes(UTF_8));
        }

        /**
         * Twilio's webhook signature: Base64 of HMAC-SHA1 over the URL and every parameter's name and value, sorted by name;
         * values of one name sorted, equal ones once (Twilio, "Webhooks security", and its own libraries for the duplicates).
         */
        static String twilio(String token, String url, Form form) {
            TreeMap<String, Collection<String>> sorted = new TreeMap<>();
            form.fields().forEach(field -> sorted.computeIfAbsent(field.getKey(), name -> new TreeSet<>()).add(field.getValue()));
            StringBuilder signed = new StringBuilder(url);
            sorted.forEach((name, values) -> values.forEach(value -> signed.append(name).append(value)));
            return hmac("HmacSHA1", token, signed.toString().getBytes(UTF_8));
        }

        /** Whether Twilio signed this. It is of two minds about the default port in a URL, so both spellings count. */
        static boolean isTwilios(List<String> tokens, String given, String url, Form form) {
            boolean genuine = false;
            for (String spelling : new TreeSet<>(List.of(url, withPort(url, false), withPort(url, true)))) {
                for (String token : tokens) genuine |= same(twilio(token, spelling, form), given);
            }
            return genuine;
        }

        private static final Pattern PARTS = Pattern.compile("(?s)(https?://[^/?#]*?)(?::[0-9]*)?([/?#].*)?");

        /** The URL with its scheme's default port, or with no port; all other bytes untouched, because they are signed. */
        static String withPort(String url, boolean port) {
            Matcher parts = PARTS.matcher(url);
            if (!parts.matches()) return url;
            return parts.group(1) + (port ? url.startsWith("https") ? ":443" : ":80" : "") + Objects.toString(parts.group(2), "");
        }

        /**
         * The {@code Authorization} header of OAuth 1.0a with HMAC-SHA1 (RFC 5849, 3.4).
         *
         * @param url without query; @param parameters of the query and of a form body, but not of a JSON body
         * @param nonce any string not used before; @param timestamp seconds since 1970
         */
        static String oauth(String method, String url, Form parameters, String consumerKey, String consumerSecret,
                String token, String tokenSecret, String nonce, String timestamp) {
            Form protocol = Form.of("oauth_consumer_key", consumerKey, "oauth_nonce", nonce, "oauth_signature_method", "HMAC-SHA1",
                    "oauth_timestamp", timestamp, "oauth_token", token, "oauth_version", "1.0");
            String key = Form.escape(consumerSecret) + "&" + Form.escape(tokenSecret);
            String signature = hmac("HmacSHA1", key, oauthBase(method, url, parameters.and(protocol)).getBytes(UTF_8));
            return protocol.and(Form.of("oauth_signature", signature)).fields().stream()
                    .map(field -> field.getKey() + "=\"" + Form.escape(field.getValue()) + "\"").sorted()
                    .collect(Collectors.joining(", ", "OAuth ", ""));
        }

        /** What OAuth 1.0a signs: method, URL and all parameters, sorted by encoded name, then value. */
        static String oauthBase(String method, String url, Form parameters) {
            String sorted = parameters.fields().stream().map(field -> Map.entry(Form.escape(field.getKey()), Form.escape(field.getValue())))
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
            for (int i = 0; i < namesAndValues.length; i += 2) fields.add(Map.entry(namesAndValues[i], namesAndValues[i + 1]));
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
            return fields.stream().map(field -> escape(field.getKey()) + "=" + escape(field.getValue())).collect(Collectors.joining("&"));
        }

        /** A field's first value, or nothing. */
        String get(String name) {
            return fields.stream().filter(field -> field.getKey().equals(name)).map(Map.Entry::getValue).findFirst().orElse("");
        }

        /** Percent-encoding as RFC 3986 has it and OAuth needs it: the JDK's encoder differs in three places. */
        static String escape(String text) {
            return URLEncoder.encode(text, UTF_8).replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
        }
    }

    // ------------------------------------------------------------------------------------------------------------------
    // 8. Calling out: one request, one answer, whatever happens in between.

    static final class Client {
        private final Duration timeout;
        /** Made at the first call: loading the trust store takes longer than all the rest of the start. */
        private HttpClient http;

        private final Metrics metrics;

        Client(Duration timeout, Metrics metrics) {
            this.timeout = timeout;
            this.metrics = metrics;
        }

        private synchronized HttpClient http() {
            if (http == null) http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(timeout).build();
            return http;
        }

        /** Sends a request once. The time-out covers the answer's body too, as {@link HttpRequest#timeout} before JDK 26 does not. */
        Answer call(String service, HttpRequest.Builder builder) {
            Answer answer = call(service, builder.build());
            if (!answer.ok()) metrics.error(service, answer.status());
            return answer;
        }

        private Answer call(String service, HttpRequest request) {
            String where = request.method() + " " + request.uri().getHost() + request.uri().getPath();
            Moment asked = Moment.now();
            CompletableFuture<HttpResponse<byte[]>> exchange = http().sendAsync(request, HttpResponse.BodyHandlers.ofByteArray());
            try {
                HttpResponse<byte[]> response = exchange.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
                LOG.log(DEBUG, () -> where + " -> " + response.statusCode());
                JsonNode body = lenient(new String(response.body(), UTF_8));
                return new Answer(service, where, response.statusCode(), response.headers(), body, "", true, asked);
            } catch (ExecutionException failed) {
                boolean sent = !(failed.getCause() instanceof ConnectException || failed.getCause() instanceof HttpConnectTimeoutException);
                return Answer.none(service, where, reason(failed.getCause()), sent);
            } catch (TimeoutException slow) {
                exchange.cancel(true);
                return Answer.none(service, where, "no answer within " + timeout.toMillis() + " ms", true);
            } catch (InterruptedException stopping) {
                exchange.cancel(true);
                return Answer.none(service, where, "the bridge stops", true);
            }
        }
    }

    /** Counted since the start, in Prometheus' text format 0.0.4 ("Exposition formats"). Seconds, as its conventions have it. */
    static final class Metrics {
        private static final double[] BOUNDS = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600};
        private final Map<String, long[]> buckets = new TreeMap<>();
        private final Map<String, Double> seconds = new TreeMap<>();
        private final Map<String, Long> errors = new TreeMap<>();

        synchronized void delivered(String to, long nanos) {
            double taken = nanos / 1e9;
            int bucket = 0;
            while (bucket < BOUNDS.length && taken > BOUNDS[bucket]) bucket++;
            buckets.computeIfAbsent(to, name -> new long[BOUNDS.length + 1])[bucket]++;
            seconds.merge(to, taken, Double::sum);
        }

        /** @param status 0 if there was no answer */
        synchronized void error(String service, int status) {
            errors.merge("{service=\"" + service + "\",status=\"" + (status == 0 ? "none" : status) + "\"}", 1L, Long::sum);
        }

        synchronized String text(Map<String, Long> counts) {
            StringBuilder text = new StringBuilder();
            counts.forEach((name, count) -> {
                boolean gauge = name.matches("failed|pending|oldest_pending_seconds");
                String full = "bridge_" + name + (gauge ? "" : "_total");
                text.append("# TYPE %s %s\n%s %s\n".formatted(full, gauge ? "gauge" : "counter", full, count));
            });
            text.append("# HELP bridge_delivery_seconds From the acknowledged webhook, or this start, to the other side's answer.\n")
                    .append("# TYPE bridge_delivery_seconds histogram\n");
            buckets.forEach((to, count) -> {
                long all = 0;
                for (int i = 0; i < count.length; i++) {
                    all += count[i];
                    text.append("bridge_delivery_seconds_bucket{to=\"%s\",le=\"%s\"} %s\n"
                            .formatted(to, i < BOUNDS.length ? BOUNDS[i] : "+Inf", all));
                }
                text.append("bridge_delivery_seconds_sum{to=\"%s\"} %s\nbridge_delivery_seconds_count{to=\"%s\"} %s\n"
                        .formatted(to, seconds.get(to), to, all));
            });
            text.append("# TYPE bridge_service_errors_total counter\n");
            errors.forEach((labels, count) -> text.append("bridge_service_errors_total" + labels + " " + count + "\n"));
            return text.toString();
        }
    }

    /**
     * What came back from a service.
     *
     * @param status 0 if nothing came
     * @param body missing if it is not JSON, as from a proxy in between
     * @param trouble why nothing came
     * @param sent whether the request may have been read although nothing came
     * @param asked when the request was sent
     */
    record Answer(String service, String where, int status, HttpHeaders headers, JsonNode body, String trouble, boolean sent,
            Moment asked) {
        static Answer none(String service, String where, String trouble, boolean sent) {
            return new Answer(service, where, 0, HttpHeaders.of(Map.of(), (name, value) -> true), JSON.missingNode(), trouble, sent,
                    Moment.now());
        }

        boolean ok() { return status / 100 == 2; }

        /** When it was answered, by the service's own clock: ours may be wrong, and may jump. */
        Instant date() { return headers.firstValue("date").flatMap(Answer::httpDate).orElseGet(Instant::now); }

        /** Whether what came back was made in the last seconds. */
        boolean isNew() { return time(body.path("date_created").asText()).isAfter(date().minusSeconds(2)); }

        /** Codes that say something about our account or app, not about the message (X API, "Response codes"; Twilio, 20005). */
        private static final Set<Integer> OURS = Set.of(32, 64, 89, 93, 135, 215, 220, 261, 326, 416, 453, 20005);

        /** A closed conversation takes no more messages (Twilio, error 50377). */
        private static final int CLOSED = 50377;

        /** What this means for the message: 429, wrong keys and account trouble hold everyone; 408 and 5xx pass; other 4xx are final. */
        Outcome outcome() {
            if (ok()) return new Outcome.Delivered(body.path("sid").asText(), "");
            boolean ours = OURS.contains(code()) || body.path("type").asText()
                    .matches(".*/(client-forbidden|oauth1-permissions|unsupported-authentication)");
            boolean everyone = status == 429 || status == 401 || status == 402 || (status == 403 || status == 400) && ours;
            boolean unknown = status == 0 ? sent : status == 408 || status >= 500 && status != 503;
            if (status < 400 || status == 408 || status >= 500 || everyone) {
                return new Outcome.Later(sentence(), pause(), everyone, unknown);
            }
            return new Outcome.Refused(sentence(), status == 404 || code() == CLOSED);
        }

        int code() { return body.path("code").asInt(body.at("/errors/0/code").asInt()); }

        /** The service's own code and words, in one line. */
        String sentence() {
            if (status == 0) return where + ": " + trouble;
            String words = Stream.of("/message", "/errors/0/message", "/detail", "/title", "/error").map(path -> body.at(path).asText(""))
                    .filter(text -> !text.isEmpty()).findFirst().orElse("no reason given");
            String brief = words.substring(0, Math.min(words.length(), 200)).replaceAll("[\\s\\p{Cntrl}]+", " ");
            String host = where.substring(where.indexOf(' ') + 1).replaceAll("/.*", "");
            return brief + " (" + host + " answered " + status + (code() == 0 ? "" : ", code " + code()) + ")";
        }

        /** {@code Retry-After}, in seconds or as a date (RFC 9110, 10.2.3), or what X says instead. */
        Duration pause() {
            return headers.firstValue("retry-after").flatMap(this::seconds).map(Answer::bounded)
                    .orElse(status == 429 ? untilReset() : Duration.ZERO);
        }

        /** X's {@code x-rate-limit-reset}, in seconds since 1970. */
        Duration untilReset() {
            return headers.firstValue("x-rate-limit-reset").filter(time -> time.matches("[0-9]{1,12}"))
                    .map(time -> bounded(Duration.between(date(), Instant.ofEpochSecond(Long.parseLong(time))))).orElse(Duration.ZERO);
        }

        private static Duration bounded(Duration pause) {
            return pause.isNegative() ? Duration.ZERO : pause.compareTo(Duration.ofDays(1)) > 0 ? Duration.ofDays(1) : pause;
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

    /** A time in a service's JSON (ISO 8601); long ago if there is none. */
    static Instant time(String iso) {
        try {
            return Instant.parse(iso);
        } catch (DateTimeParseException untold) {
            return Instant.EPOCH;
        }
    }

    /** A failure's own words, or its name where the JDK gives none. */
    static String reason(Throwable failure) {
        String name = failure.getClass().getSimpleName();
        return failure.getMessage() == null ? failure.getCause() == null ? name : name + ", " + reason(failure.getCause())
                : name + ": " + failure.getMessage();
    }

    /** A task whose failure is logged: let out, it would end the task's schedule without a word. */
    static Runnable surviving(Runnable task, String trouble) {
        return () -> {
            try {
                task.run();
            } catch (RuntimeException | Error bug) {
                LOG.log(ERROR, trouble, bug);
            }
        };
    }

    /** At most so many threads. Where the system gives no more of them, a task waits for one of those there are. */
    static ThreadPoolExecutor pool(String name, int most, Duration idle) {
        ThreadPoolExecutor pool = new ThreadPoolExecutor(most, most, idle.toMillis(), TimeUnit.MILLISECONDS,
                new LinkedBlockingQueue<>(), threads(name)) {
            @Override public void execute(Runnable task) {
                try {
                    super.execute(task);
                } catch (OutOfMemoryError noThread) {
                    if (getPoolSize() == 0) throw noThread;
                    getQueue().add(task);
                }
            }
        };
        pool.allowCoreThreadTimeOut(true);
        return pool;
    }

    static ThreadFactory threads(String name) {
        AtomicInteger count = new AtomicInteger();
        return task -> {
            Thread thread = new Thread(task, name + "-" + count.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        };
    }

    // ------------------------------------------------------------------------------------------------------------------
    // 9. The journal: what was acknowledged and is not yet delivered outlives the process. JSON lines, only ever appended to;
    //    memory is what reading the file from the start would give, because both come about by applying the same lines.

    static final class Journal implements AutoCloseable {
        record Counts(long received, long delivered, long duplicates, long failed, long pending, long oldestPendingSeconds) { }

        /** A message that is not delivered: waiting, or refused for a reason. @param attempted whether a try may have got through */
        private record Kept(Message message, Instant at, boolean attempted, String reason) { }

        /** Lines to append. What settles a message has to be written in the end; what a webhook brings may be turned away. */
        private record Entry(List<Message> messages, List<ObjectNode> lines, boolean settles, CompletableFuture<Boolean> done) { }

        /** Bytes below which the file is not worth rewriting. */
        private static final long SMALL = 4 << 20;
        /** Ids kept to know a message that comes again: a day's, but never fewer and never more than these. */
        private static final int FEWEST_IDS = 100_000, MOST_IDS = 500_000;
        /** Refused messages kept for the operator; beyond it the oldest goes. */
        private static final int MOST_REFUSED = 10_000;

        private final Path folder;
        private final Path path;
        // What the lines say; guarded by the journal's lock.
        private final Map<String, Kept> pending = new LinkedHashMap<>();
        private final Map<String, Kept> refused = new LinkedHashMap<>();
        private final Map<String, Long> settled = new LinkedHashMap<>();
        private String bridge = UUID.randomUUID().toString(), address = "";
        private long received, delivered, duplicates, settledSince;
        // The writer's own.
        private final LinkedBlockingQueue<Entry> queue = new LinkedBlockingQueue<>();
        private final Thread writer = new Thread(this::write, "journal");
        private BiConsumer<Message, Boolean> accepted;
        private int maxPending;
        private long maxBytes, size, rewriteAt;
        private Instant rewritten;
        private FileChannel file, lock;
        private volatile String trouble = "";
        private volatile boolean open = true;

        private Journal(Path folder) {
            this.folder = folder;
            path = folder.resolve("journal.jsonl");
        }

        /** @throws Wrong if the folder cannot be used, is used by another bridge, or its journal is damaged */
        static Journal open(Path folder, int maxPending, long maxBytes) throws Wrong {
            Journal journal = new Journal(folder);
            journal.maxPending = maxPending;
            journal.maxBytes = maxBytes;
            try {
                Files.createDirectories(folder.toAbsolutePath().getParent());
                if (!Files.isDirectory(folder)) Files.createDirectory(folder, only("rwx------"));
                journal.lock = openPrivately(folder.resolve("lock"));
                if (!locked(journal.lock)) {
                    throw new Wrong(1, List.of("another bridge is running on " + folder
                            + ": stop it, or give this one a DATA_DIR of its own"));
                }
                journal.read();
                journal.tidy();
                return journal;
            } catch (IOException | Wrong failed) {
                journal.closeFiles();
                throw failed instanceof Wrong wrong ? wrong : new Wrong(1, List.of("the data folder " + folder + " cannot be used ("
                        + reason(failed) + "): make it writable, or set DATA_DIR"));
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
            return FileChannel.open(path, Set.of(StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE),
                    only("rw-------"));
        }

        /** Permissions for the owner alone, where files have such. */
        static FileAttribute<?>[] only(String permissions) {
            return FileSystems.getDefault().supportedFileAttributeViews().contains("posix")
                    ? new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions))}
                            : new FileAttribute<?>[0];
        }

        /** @param accepted takes over each message that is on disk, and whether a try that was cut short may have delivered it */
        void start(BiConsumer<Message, Boolean> accepted) {
            this.accepted = accepted;
            pending.values().forEach(kept -> accepted.accept(kept.message(), kept.attempted()));
            writer.start();
        }

        /** The name this folder gives its bridge, the same after every restart. */
        String bridge() { return bridge; }

        /** The public URL under which conversations were opened last; empty if none is known. */
        synchronized String address() { return address; }
        void moved(String to) { submit(true, List.of(), object().put("address", to)); }

        /** @return true once all of them are on disk, be it from an earlier time; false if there is no room */
        CompletableFuture<Boolean> keep(List<Message> messages) { return submit(false, messages); }

        /** Marks that a message is about to be sent: after a crash it is looked for before it is repeated. */
        void attempting(String id) { submit(true, List.of(), object().put("attempt", id)).join(); }

        void delivered(String id, String as, List<Message> notes) {
            submit(true, notes, object().put("delivered", id).put("as", as).put("at", System.currentTimeMillis()));
        }

        void failed(String id, String reason, List<Message> notes) {
            submit(true, notes, object().put("failed", id).put("reason", reason).put("at", System.currentTimeMillis()));
        }

        /** Keeps a note of the bridge's own, whatever the limits. */
        void tell(Message note) { submit(true, List.of(note)); }

        private CompletableFuture<Boolean> submit(boolean settles, List<Message> messages, ObjectNode... lines) {
            Entry entry = new Entry(messages, List.of(lines), settles, new CompletableFuture<>());
            if (open) queue.add(entry);
            else entry.done().complete(false);
            return entry.done();
        }

        synchronized Counts counts() {
            long oldest = pending.isEmpty() ? 0 : Math.max(0, Duration.between(pending.values().iterator().next().at(), Instant.now())
                    .toSeconds());
            return new Counts(received, delivered, duplicates, counted(refused.values()), pending.size(), oldest);
        }

        Optional<String> trouble() {
            return trouble.isEmpty() && writer.isAlive() ? Optional.empty() : Optional.of("the journal cannot be written");
        }

        /** The bridge's own notes are carried like messages, but nobody sent them. */
        private static long counted(Collection<Kept> all) {
            return all.stream().filter(kept -> kept.message().direction() != Direction.NOTE).count();
        }

        /** The writer: all that has come in since the last sync shares the next one. */
        private void write() {
            List<Entry> batch = new ArrayList<>();
            while (open || !queue.isEmpty()) {
                try {
                    Entry first = queue.poll(1, TimeUnit.SECONDS);
                    if (first != null) batch.add(first);
                    queue.drainTo(batch, 10_000);
                    askedBack().ifPresent(batch::add);
                    write(batch);
                    batch.clear();
                    boolean pays = size > rewriteAt && settledSince > pending.size()
                            || size > maxBytes && settledSince > pending.size() / 10
                            || rewritten.isBefore(Instant.now().minusSeconds(3600));
                    if (settledSince > 0 && pays) tidy();
                } catch (InterruptedException never) {
                    open = false;
                } catch (IOException full) {
                    if (trouble.isEmpty()) LOG.log(ERROR, () -> "the journal cannot be written, new messages are refused: " + reason(full));
                    trouble = reason(full);
                } catch (RuntimeException | Error failed) {
                    LOG.log(ERROR, "the journal's writer is in trouble", failed);
                }
                // What could not be written: a webhook gets 503 and comes again; what settles a message stays here and is written
                // again. A message may be sent without its mark: if the process dies before the mark is written, it is repeated.
                batch.forEach(entry -> entry.done().complete(entry.settles()));
                batch.removeIf(entry -> !entry.settles());
            }
        }

        private void write(List<Entry> batch) throws IOException {
            Set<String> fresh = new HashSet<>();
            List<ObjectNode> lines = new ArrayList<>();
            for (Entry entry : batch) {
                List<Message> news = entry.messages().stream().filter(message -> !knows(message.id()) && fresh.add(message.id())).toList();
                if (!entry.settles() && !news.isEmpty() && (pending.size() + fresh.size() > maxPending || size > maxBytes)) {
                    news.forEach(message -> fresh.remove(message.id()));
                    entry.done().complete(false);
                    continue;
                }
                if (!entry.settles()) duplicates += entry.messages().size() - news.size();
                news.forEach(message -> lines.add(line(message, Instant.now())));
                lines.addAll(entry.lines());
            }
            // What is merely settled is not synced at once: if a power cut undoes that, the message is looked up, not repeated.
            boolean sync = lines.stream().anyMatch(line -> line.has("message") || line.has("attempt"));
            if (lines.isEmpty() && !trouble.isEmpty()) lines.add(object().put("checked", System.currentTimeMillis()));
            if (!lines.isEmpty()) append(lines, sync);
            if (!trouble.isEmpty()) LOG.log(INFO, () -> "the journal can be written again");
            trouble = "";
            lines.forEach(line -> apply(line).ifPresent(kept -> accepted.accept(kept.message(), kept.attempted())));
            batch.forEach(entry -> entry.done().complete(true));
        }

        /** Writes at the end of what is good: what a failed write has left there goes first. */
        private void append(List<ObjectNode> lines, boolean sync) throws IOException {
            if (file.size() > size) file.truncate(size);
            ByteBuffer bytes = UTF_8.encode(lines.stream().map(line -> line + "\n").collect(Collectors.joining()));
            int length = bytes.remaining();
            while (bytes.hasRemaining()) file.write(bytes, size + length - bytes.remaining());
            if (sync) file.force(false);
            size += length;
        }

        /** Leaves out what is settled, if that is possible; if not, the file is as good as before, only longer. */
        private void tidy() throws IOException {
            try {
                rewrite();
            } catch (IOException noRoom) {
                LOG.log(WARNING, () -> "the journal cannot be rewritten now: " + reason(noRoom));
                if (file == null) file = openPrivately(path);
            }
            rewriteAt = Math.max(SMALL, 2 * size);
            rewritten = Instant.now();
            settledSince = 0;
        }

        /** Written aside, synced, then put in the place of the old file in one step. */
        private void rewrite() throws IOException {
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
            try (FileChannel names = FileChannel.open(folder, StandardOpenOption.READ)) {
                names.force(true);
            } catch (IOException notOnThisSystem) {
                LOG.log(DEBUG, () -> "folders cannot be synced here: " + reason(notOnThisSystem));
            }
            file = fresh;
            size = fresh.size();
            if (old != null) old.close();
        }

        /** @throws Wrong if a line in the middle cannot be read: starting without it could lose a message */
        private void read() throws IOException, Wrong {
            if (!Files.exists(path)) return;
            long number = 0, broken = 0;
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(Files.newInputStream(path), UTF_8))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    number++;
                    JsonNode json = lenient(line);
                    boolean good = json.isObject();
                    try {
                        if (good && broken == 0) apply(json);
                    } catch (IllegalArgumentException incomplete) {
                        good = false;
                    }
                    if (good && broken > 0) throw new Wrong(1, List.of("the journal " + path + " is damaged at line " + broken
                            + ": nothing was changed; what the line says of a message can be read there, and without the line"
                            + " the bridge starts"));
                    if (!good && broken == 0) broken = number;
                    if (broken == 0) size += line.getBytes(UTF_8).length + 1;
                }
            }
            if (broken > 0) LOG.log(WARNING, () -> "the journal ended in a torn line, which was never acknowledged: it is left out");
        }

        /** Makes memory follow a line. @return the message that is to be delivered because of it, if there is one */
        private synchronized Optional<Kept> apply(JsonNode line) {
            Instant at = Instant.ofEpochMilli(line.path("at").asLong());
            Kept due = null, done = null;
            if (line.has("message")) {
                due = new Kept(Message.fromJson(line.path("message")), at, false, "");
                received += counted(List.of(due));
            } else if (line.has("attempt")) {
                pending.computeIfPresent(line.path("attempt").asText(), (id, kept) -> new Kept(kept.message(), kept.at(), true, ""));
            } else if (line.has("delivered") && (done = pending.remove(line.path("delivered").asText())) != null) {
                delivered += counted(List.of(done));
                remember(done.message().id(), at.toEpochMilli());
                // By its new id a message found at X is known to be an earlier one.
                if (done.message().direction() == Direction.TO_X) remember(line.path("as").asText(), at.toEpochMilli());
            } else if (line.has("failed") && (done = pending.remove(line.path("failed").asText())) != null) {
                settledSince++;
                if (done.message().direction() != Direction.NOTE) refused.put(done.message()
                        .id(), new Kept(done.message(), at, false, line.path("reason").asText()));
                if (refused.size() > MOST_REFUSED) {
                    String oldest = refused.keySet().iterator().next();
                    refused.remove(oldest);
                    LOG.log(WARNING, () -> "the refused message " + oldest + " is forgotten: more than " + MOST_REFUSED + " are kept");
                }
            } else if (line.has("retry") && (done = refused.remove(line.path("retry").asText())) != null) {
                // Some of its parts may have arrived.
                due = new Kept(done.message(), at, true, "");
            } else if (line.has("seen")) {
                line.path("seen").properties().forEach(id -> remember(id.getKey(), id.getValue().asLong()));
            } else if (line.has("bridge")) {
                bridge = line.path("bridge").asText();
                received = line.path("received").asLong();
                delivered = line.path("delivered").asLong();
            }
            if (line.has("address")) address = line.path("address").asText();
            if (due != null) pending.put(due.message().id(), due);
            return Optional.ofNullable(due);
        }

        private void remember(String id, long at) {
            settledSince++;
            settled.put(id, at);
            long yesterday = System.currentTimeMillis() - Duration.ofDays(1).toMillis();
            for (var eldest = settled.entrySet().iterator(); settled.size() > FEWEST_IDS;) {
                if (eldest.next().getValue() > yesterday && settled.size() <= MOST_IDS) return;
                eldest.remove();
            }
        }

        /** Whether this id has been seen: of a message that was accepted, or one that X gave to a message of ours. */
        synchronized boolean knows(String id) { return pending.containsKey(id) || refused.containsKey(id) || settled.containsKey(id); }

        private static ObjectNode line(Message message, Instant at) {
            return object().put("at", at.toEpochMilli()).set("message", message.toJson());
        }

        /** The fewest lines that say the same. */
        private synchronized void snapshot(OutputStream out) throws IOException {
            write(out, object().put("bridge", bridge).put("address", address).put("delivered", delivered)
                    .put("received", received - counted(pending.values()) - counted(refused.values())));
            ObjectNode ids = object();
            for (Map.Entry<String, Long> id : settled.entrySet()) {
                ids.put(id.getKey(), id.getValue());
                if (ids.size() == 1000) {
                    write(out, object().set("seen", ids));
                    ids = object();
                }
            }
            write(out, object().set("seen", ids));
            for (Kept kept : refused.values()) {
                write(out, line(kept.message(), kept.at()));
                write(out, object().put("failed", kept.message().id()).put("reason", kept.reason())
                        .put("at", kept.at().toEpochMilli()));
            }
            for (Kept kept : pending.values()) {
                write(out, line(kept.message(), kept.at()));
                if (kept.attempted()) write(out, object().put("attempt", kept.message().id()));
            }
        }

        private static void write(OutputStream out, ObjectNode line) throws IOException { out.write((line + "\n").getBytes(UTF_8)); }

        /** What a journal says, while a bridge may be writing it. */
        static Journal look(Path folder) throws Wrong, IOException {
            Journal journal = new Journal(folder);
            journal.read();
            return journal;
        }

        /** The lines of the {@code failed} command: id, time, customer and reason, and no text. */
        static List<String> failed(Path folder) throws Wrong, IOException {
            return look(folder).refused.values().stream().map(kept -> String.join("  ", kept.message().id(), kept.at().toString(),
                    kept.message().customer(), kept.reason())).toList();
        }

        /** Leaves a request for the bridge that holds the folder's lock, or for the next one that will. */
        static void askForRetry(Path folder, String id) throws Wrong, IOException {
            Set<String> refused = look(folder).refused.keySet();
            if (id.equals("all") ? refused.isEmpty() : !refused.contains(id)) {
                throw new Wrong(1, List.of(id.equals("all") ? "no message was refused"
                        : "no refused message has the id " + id + ": see the command failed"));
            }
            Files.writeString(folder.resolve("retry"), id + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
            // Whoever asks may be another user than the bridge.
            folder.resolve("retry").toFile().setReadable(true, false);
        }

        private Optional<Entry> askedBack() {
            Path asked = folder.resolve("retry");
            if (!Files.isRegularFile(asked) || !Files.isReadable(asked)) return Optional.empty();
            try {
                Set<String> ids = Set.copyOf(Files.readAllLines(asked));
                // Empty: it is being written at this moment.
                if (ids.isEmpty()) return Optional.empty();
                Files.delete(asked);
                List<ObjectNode> lines = refused.keySet().stream().filter(id -> ids.contains("all") || ids.contains(id))
                        .map(id -> object().put("retry", id).put("at", System.currentTimeMillis())).toList();
                LOG.log(INFO, () -> lines.size() + " refused messages are put back");
                return Optional.of(new Entry(List.of(), lines, true, new CompletableFuture<>()));
            } catch (IOException failed) {
                LOG.log(WARNING, () -> "what is asked for by " + asked + " cannot be done: " + reason(failed));
                return Optional.empty();
            }
        }

        @Override public void close() {
            submit(true, List.of());
            open = false;
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

    // ------------------------------------------------------------------------------------------------------------------
    // 10. Settings: read once, checked all together, named in every complaint.

    /** Every setting by its name, checked. */
    record Settings(Map<String, String> values) {
        /** @param names the first is ours, all are understood; @param shape of a value; @param advice what it is and where from */
        private record Key(List<String> names, String fallback, String shape, String advice) {
            String name() { return names.get(0); }
        }

        private static Key key(String names, String fallback, String shape, String advice) {
            return new Key(List.of(names.split(" ")), fallback, shape, advice);
        }

        private static final String ANY = "[!-~]+", HEX = "[0-9a-fA-F]{32}";
        /** Only the user can know it; or setup finds it out. */
        private static final String REQUIRED = null, LEARNT = "";
        private static final String URL = "https://[^/?#@\\s]+(/[^?#\\s]*)?|"
                + "http://(127\\.[0-9.]+|localhost|\\[::1\\])(:[0-9]+)?(/[^?#\\s]*)?";

        /** In the order of the help, the README and .env.example. */
        private static final List<Key> KEYS = List.of(
                key("PUBLIC_URL NGROK_URL", "", URL,
                        "the https address under which X and Twilio reach the bridge; unset, the local ngrok agent is asked for it"),
                key("PORT", "3000", "[0-9]{1,5}", "port to listen on; 0 takes any free one and logs it"),
                key("HOST", "127.0.0.1", ANY, "address to listen on"),
                key("TWITTER_CONSUMER_KEY", REQUIRED, ANY, "the X app's API key: developer.x.com, your app, Keys and tokens"),
                key("TWITTER_CONSUMER_SECRET", REQUIRED, ANY, "the X app's API key secret, shown beside the key"),
                key("TWITTER_ACCESS_KEY TWITTER_ACCESS_TOKEN", REQUIRED, ANY, "the support account's access token, on the same page"),
                key("TWITTER_ACCESS_SECRET TWITTER_ACCESS_TOKEN_SECRET", REQUIRED, ANY, "the support account's access token secret"),
                key("TWITTER_CLIENT_SECRET", "", ANY, "the X app's OAuth 2.0 client secret, if its webhooks are signed with it"),
                key("TWITTER_USER_TOKEN", "", ANY, "an OAuth 2.0 user token with dm.read, if X wants one to subscribe to Direct Messages"),
                key("TWITTER_API", "2", "2|1\\.1", "2 or 1.1: which Direct Message API sends"),
                key("TWITTER_API_URL", "https://api.x.com", URL, "base of the X API"),
                key("TWITTER_CO_HANDLE", "", ".*", "accepted, not needed: our own account is known by its id"),
                key("TWILIO_ACCOUNT_SID", REQUIRED, "AC" + HEX,
                        "the Twilio account's SID, AC and 32 hex digits: console.twilio.com, Account info"),
                key("TWILIO_AUTH_TOKEN", REQUIRED, ANY,
                        "the Twilio account's auth token, beside the SID; it also checks webhook signatures"),
                key("TWILIO_AUTH_TOKEN_NEXT", "", ANY,
                        "a second token whose webhook signatures count too, while the auth token is changed"),
                key("TWILIO_API_KEY", "", "SK" + HEX, "an API key's SID, used for REST calls instead of the auth token"),
                key("TWILIO_API_SECRET", "", ANY, "the API key's secret"),
                key("TWILIO_API_URL", "https://{product}.twilio.com",
                        "(https://|http://(127\\.[0-9.]+|localhost)[:/])\\S*\\{product}\\S*",
                                "template of Twilio's addresses, with {product} in it"),
                key("FLEX_API", "conversations", "conversations|chat",
                        "conversations (Flex Conversations and Interactions) or chat (Programmable Chat and Flex Flows)"),
                key("FLEX_CHAT_SERVICE", LEARNT, "IS" + HEX, "the Flex chat service's SID, IS and 32 hex digits"),
                key("FLEX_FLOW_SID", LEARNT, "FO" + HEX, "the Flex Flow's SID, FO and 32 hex digits (FLEX_API=chat)"),
                key("FLEX_WORKSPACE_SID", LEARNT, "WS" + HEX,
                        "the TaskRouter workspace's SID, WS and 32 hex digits (FLEX_API=conversations)"),
                key("FLEX_WORKFLOW_SID", LEARNT, "WW" + HEX,
                        "the TaskRouter workflow's SID, WW and 32 hex digits (FLEX_API=conversations)"),
                key("FLEX_TASK_CHANNEL", "chat", ANY, "the TaskRouter task channel's unique name"),
                key("AUTO_REGISTER", "", "on|off",
                        "on: the bridge itself keeps its webhook registered at X, the default with ngrok's address; off: it minds nothing"
                        + " that X lacks"),
                key("NGROK_API_URL", "http://127.0.0.1:4040", "https?://\\S+", "the local ngrok agent"),
                key("DATA_DIR", "data", ".+", "folder of the journal; one bridge each"),
                key("MAX_PENDING", "100000", "[1-9][0-9]{0,8}", "undelivered messages beyond which new ones are refused with 503"),
                key("MAX_JOURNAL_MIB", "256", "[1-9][0-9]{0,5}", "size of the journal beyond which new messages are refused with 503"),
                key("LOG_LEVEL", "INFO", "DEBUG|INFO|WARNING|ERROR", "DEBUG, INFO, WARNING or ERROR"));

        /** The environment's values under their first names; an empty value is none. */
        static Map<String, String> canonical(Map<String, String> environment) {
            Map<String, String> values = new HashMap<>();
            for (Key key : KEYS) {
                key.names().stream().map(environment::get).filter(value -> value != null && !value.isBlank()).findFirst()
                        .ifPresent(value -> values.put(key.name(), value.strip()));
            }
            return values;
        }

        /** @param given by their first names, see {@link #canonical}; @throws Wrong with all that stands in the way of serving */
        static Settings from(Map<String, String> given) throws Wrong {
            Settings settings = new Settings(new LinkedHashMap<>());
            List<String> problems = settings.take(given);
            for (String name : settings.missing()) {
                String remedy = key(name).fallback() == REQUIRED ? "" : "; the command setup finds it out";
                problems.add(name + " is missing: " + advice(name) + remedy);
            }
            if (!problems.isEmpty()) throw new Wrong(2, problems);
            return settings;
        }

        /** What is there, for setup and check; whatever is missing stays empty. @throws Wrong for values that cannot be right */
        static Settings draft(Map<String, String> given) throws Wrong {
            Settings settings = new Settings(new LinkedHashMap<>());
            List<String> problems = settings.take(given);
            if (!problems.isEmpty()) throw new Wrong(2, problems);
            return settings;
        }

        /** @return what is wrong with the values, each alone and all together */
        private List<String> take(Map<String, String> given) {
            List<String> problems = new ArrayList<>();
            for (Key key : KEYS) {
                String value = given.getOrDefault(key.name(), key.fallback() == REQUIRED ? "" : key.fallback());
                if (!value.isEmpty() && !value.matches(key.shape())) problems.add(key.name() + " is not right: " + key.advice());
                values.put(key.name(), value);
            }
            if (apiKey().isEmpty() != apiSecret().isEmpty()) {
                problems.add("TWILIO_API_KEY and TWILIO_API_SECRET go together: set both or none");
            }
            for (String name : List.of("PUBLIC_URL", "TWITTER_API_URL", "NGROK_API_URL")) {
                String url = get(name);
                boolean shaped = !url.isEmpty() && url.matches(key(name).shape());
                if (shaped && !usable(url)) problems.add(name + " is not right: it is no address");
            }
            try {
                new URI(twilioApiUrl().replace("{product}", "chat"));
            } catch (URISyntaxException broken) {
                problems.add("TWILIO_API_URL is not right: it is no address once {product} is filled in");
            }
            if (get("PORT").matches("[0-9]{1,5}") && port() > 65535) problems.add("PORT is not right: the largest port is 65535");
            return problems;
        }

        private static boolean usable(String url) {
            try {
                return new URI(url).getHost() != null;
            } catch (URISyntaxException broken) {
                return false;
            }
        }

        /** The names of what serving needs and is not there. */
        List<String> missing() {
            List<String> needed = new ArrayList<>(KEYS.stream().filter(key -> key.fallback() == REQUIRED).map(Key::name).toList());
            needed.add("FLEX_CHAT_SERVICE");
            needed.addAll(flexApi().equals("chat") ? List.of("FLEX_FLOW_SID") : List.of("FLEX_WORKSPACE_SID", "FLEX_WORKFLOW_SID"));
            return needed.stream().filter(name -> get(name).isEmpty()).toList();
        }

        private static Key key(String name) { return KEYS.stream().filter(key -> key.name().equals(name)).findFirst().orElseThrow(); }
        static String advice(String name) { return key(name).advice(); }
        static boolean fits(String name, String value) { return value.matches(key(name).shape()); }

        Settings with(String name, String value) {
            Map<String, String> changed = new LinkedHashMap<>(values);
            changed.put(name, value);
            return new Settings(changed);
        }

        /** The folder alone, for commands that need no account. */
        static Path dataFolder(Map<String, String> given) { return Path.of(given.getOrDefault("DATA_DIR", "data")); }

        static String describe() {
            return KEYS.stream().map(key -> "  %-24s %s%s%n".formatted(key.name(), key.advice(),
                    key.fallback() == null ? " (required)" : key.fallback().isEmpty() ? "" : " (default " + key.fallback() + ")"))
                            .collect(Collectors.joining());
        }

        private String get(String name) { return Objects.requireNonNull(values.get(name), name); }
        int port() { return Integer.parseInt(get("PORT")); }
        String host() { return get("HOST"); }
        boolean autoRegister() { return get("AUTO_REGISTER").equals("on"); }

        /** Without a slash at its end. */
        String publicUrl() { return get("PUBLIC_URL").replaceAll("/+$", ""); }

        /** Where Flex sends what happens in a customer's chat. Twilio signs the URL, so nobody else can name a customer. */
        String fromFlexUrl(String customer) { return publicUrl() + "/fromFlex?customer=" + customer; }
        String consumerKey() { return get("TWITTER_CONSUMER_KEY"); }
        String consumerSecret() { return get("TWITTER_CONSUMER_SECRET"); }
        String accessToken() { return get("TWITTER_ACCESS_KEY"); }
        String accessSecret() { return get("TWITTER_ACCESS_SECRET"); }
        String clientSecret() { return get("TWITTER_CLIENT_SECRET"); }

        /** X's access tokens begin with the account's id; empty if this one does not. */
        String ownId() {
            Matcher id = Pattern.compile("([0-9]+)-.*").matcher(accessToken());
            return id.matches() ? id.group(1) : "";
        }

        String twitterApi() { return get("TWITTER_API"); }
        String twitterApiUrl() { return get("TWITTER_API_URL").replaceAll("/+$", ""); }
        String accountSid() { return get("TWILIO_ACCOUNT_SID"); }
        String authToken() { return get("TWILIO_AUTH_TOKEN"); }

        /** With which Twilio may sign: while its token is changed, the one after it too. */
        List<String> webhookTokens() {
            return Stream.of(authToken(), get("TWILIO_AUTH_TOKEN_NEXT")).filter(token -> !token.isEmpty()).toList();
        }

        String apiKey() { return get("TWILIO_API_KEY"); }
        String apiSecret() { return get("TWILIO_API_SECRET"); }
        String twilioApiUrl() { return get("TWILIO_API_URL").replaceAll("/+$", ""); }
        String flexApi() { return get("FLEX_API"); }
        String chatService() { return get("FLEX_CHAT_SERVICE"); }
        String flexFlow() { return get("FLEX_FLOW_SID"); }
        String workspace() { return get("FLEX_WORKSPACE_SID"); }
        String workflow() { return get("FLEX_WORKFLOW_SID"); }
        String taskChannel() { return get("FLEX_TASK_CHANNEL"); }
        String userToken() { return get("TWITTER_USER_TOKEN"); }
        Path dataDir() { return Path.of(get("DATA_DIR")); }
        int maxPending() { return Integer.parseInt(get("MAX_PENDING")); }
        long maxJournalBytes() { return Long.parseLong(get("MAX_JOURNAL_MIB")) << 20; }

        Level logLevel() { return Level.parse(get("LOG_LEVEL").replace("DEBUG", "FINE").replace("ERROR", "SEVERE")); }

        /** What was understood, without the secrets. */
        @Override public String toString() {
            return values.entrySet().stream().filter(value -> !value.getValue().isEmpty())
                    .map(value -> value.getKey() + "="
                            + (value.getKey().matches(".*(SECRET|TOKEN|KEY).*") ? "***" : value.getValue()))
                    .collect(Collectors.joining(" "));
        }

        /** The file's settings; none if there is no file. */
        static Map<String, String> readDotEnv(Path file) throws Wrong {
            try {
                return Files.exists(file) ? dotEnv(Files.readString(file)) : Map.of();
            } catch (IOException unreadable) {
                throw new Wrong(2, List.of("the file " + file + " cannot be read: " + (unreadable instanceof CharacterCodingException
                        ? "it is not UTF-8" : reason(unreadable))));
            }
        }

        private static final Pattern ESCAPE = Pattern.compile("\\\\(.)");
        private static final Pattern LINE = Pattern.compile("(?:export\\s+)?([A-Za-z_][A-Za-z0-9_]*)\\s*=\\s*"
                + "(?:\"((?:[^\"\\\\]|\\\\.)*+)\"|'([^']*)'|(?![\"'])((?:[^#\\s]|(?<!\\s)#|[ \\t]+(?![ \\t#]|$))*+))\\s*(?:#.*)?");

        /** {@code NAME=value}, one a line; {@code export}, quotes and {@code #} comments as in shells; the last one counts. */
        static Map<String, String> dotEnv(String text) throws Wrong {
            Map<String, String> values = new HashMap<>();
            List<String> problems = new ArrayList<>();
            int number = 0;
            for (String raw : text.replaceFirst("^\uFEFF", "").split("\\R")) {
                number++;
                String line = raw.strip();
                Matcher parts = LINE.matcher(line);
                if (parts.matches()) {
                    String quoted = parts.group(2) == null ? parts.group(3)
                            : ESCAPE.matcher(parts.group(2)).replaceAll(one -> one.group(1).equals("n") ? "\n"
                                    : Matcher.quoteReplacement(one.group(1)));
                    values.put(parts.group(1), quoted == null ? parts.group(4) : quoted);
                } else if (!line.isEmpty() && !line.startsWith("#")) {
                    problems.add(".env line " + number + " is not NAME=value");
                }
            }
            if (!problems.isEmpty()) throw new Wrong(2, problems);
            return values;
        }

        /** Sets one value in the file, which only its owner may read then: written aside and put in the old one's place. */
        static void write(Path file, String name, String value) throws IOException {
            Path real = Files.exists(file) ? file.toRealPath() : file.toAbsolutePath();
            Path aside = real.resolveSibling(real.getFileName() + ".new");
            Files.deleteIfExists(aside);
            Files.createFile(aside, Journal.only("rw-------"));
            try {
                if (Files.exists(real)) Files.setOwner(aside, Files.getOwner(real));
            } catch (IOException | UnsupportedOperationException notOurs) {
                LOG.log(DEBUG, () -> "the file keeps the owner it has: " + reason(notOurs));
            }
            Files.writeString(aside, changed(Files.exists(real) ? Files.readString(real) : "", name, value), StandardOpenOption.WRITE,
                    StandardOpenOption.SYNC);
            Files.move(aside, real, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        }

        /** The file's text with this value in the place of the last line that names it, else at the end; all the rest as it was. */
        static String changed(String text, String name, String value) {
            String plain = value.matches("[A-Za-z0-9_./:@%+=,~{}-]*") ? value
                    : '"' + value.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
            String[] lines = text.split("(?<=\n)");
            for (int i = lines.length - 1; i >= 0; i--) {
                String line = lines[i].replace("\uFEFF", "").strip();
                Matcher parts = LINE.matcher(line);
                if (parts.matches() && key(name).names().contains(parts.group(1))) {
                    int quoted = parts.group(4) == null ? 1 : 0;
                    int group = parts.group(4) != null ? 4 : parts.group(3) != null ? 3 : 2;
                    String rest = line.substring(parts.end(group) + quoted);
                    String set = line.substring(0, parts.start(group) - quoted) + plain + (rest.startsWith("#") ? " " : "") + rest;
                    lines[i] = lines[i].replace(line, set);
                    return String.join("", lines);
                }
            }
            String end = text.contains("\r\n") ? "\r\n" : "\n";
            return text + (text.isEmpty() || text.endsWith("\n") ? "" : end) + name + "=" + plain + end;
        }
    }

    // ------------------------------------------------------------------------------------------------------------------
    // 11. Going live and staying so: what has to be there at Twilio and X is looked for first, and made only if it is missing.
    //     setup, check and the watch of a running bridge are the same look; they differ in what they may change.

    /** The tunnel that a local ngrok agent keeps open to this bridge (ngrok, "Agent API", list tunnels). */
    static final class Ngrok {
        private Ngrok() { }

        /** @return the settings with a public URL; @throws Wrong if none is set and no tunnel shows up within the patience */
        static Settings address(Settings settings, Duration patience) throws Wrong {
            if (!settings.publicUrl().isEmpty()) return settings;
            Client client = new Client(Duration.ofSeconds(2), new Metrics());
            URI tunnels = URI.create(settings.get("NGROK_API_URL").replaceAll("/+$", "") + "/api/tunnels");
            if (settings.port() == 0) {
                throw new Wrong(2, List.of("PUBLIC_URL is not set, and no tunnel can lead to PORT=0: set one of them"));
            }
            if (patience.toSeconds() > 5) LOG.log(INFO, () -> "PUBLIC_URL is not set: asking the ngrok agent at " + tunnels.getAuthority());
            long end = System.nanoTime() + patience.toNanos();
            while (true) {
                Optional<String> tunnel = client.call("ngrok", HttpRequest.newBuilder(tunnels)).body().path("tunnels").valueStream()
                        .filter(one -> one.at("/config/addr").asText().matches("(.*[:/])?" + settings.port() + "/?"))
                        .map(one -> one.path("public_url").asText()).filter(url -> url.startsWith("https://")).findFirst();
                if (tunnel.isPresent()) {
                    Settings found = settings.with("PUBLIC_URL", tunnel.get());
                    return settings.get("AUTO_REGISTER").isEmpty() ? found.with("AUTO_REGISTER", "on") : found;
                }
                if (System.nanoTime() > end) {
                    throw new Wrong(1, List.of("PUBLIC_URL is not set, and no ngrok tunnel leads to port " + settings.port()
                            + ": start one with 'ngrok http " + settings.port() + "' and try again, or set PUBLIC_URL"));
                }
                LockSupport.parkNanos(200_000_000);
            }
        }
    }

    /** Looks at X's webhook from time to time while the bridge serves, and tells open conversations a new address. It delays no message. */
    final class Watch {
        private final ScheduledExecutorService clock = new ScheduledThreadPoolExecutor(1, threads("watch"),
                new ThreadPoolExecutor.DiscardPolicy());
        private final Runnable look = surviving(this::look, "X's webhook could not be looked at");
        private final AtomicBoolean asked = new AtomicBoolean();
        private Duration pause = tempo.longestPause();
        private boolean told;
        private volatile List<String> troubles = List.of();

        /** The first look is at once where the bridge registers itself; else there is no hurry. */
        void start() {
            if (settings.autoRegister()) troubles = List.of("X has not been looked at yet");
            else clock.execute(surviving(() -> tellConversations(true), UNTOLD));
            next(settings.autoRegister() ? Duration.ZERO : tempo.watch().dividedBy(30));
        }

        void stop() { clock.shutdownNow(); }
        List<String> troubles() { return troubles; }

        /** X has said something that may mean it sends no more. */
        void lookNow() { if (asked.compareAndSet(false, true)) clock.execute(look); }

        /** What is not well is looked at again soon, at first. */
        private void next(Duration after) {
            clock.schedule(() -> {
                look.run();
                boolean soon = !troubles.isEmpty() && pause.compareTo(tempo.watch()) < 0;
                next(soon ? pause : tempo.watch());
                pause = soon ? pause.multipliedBy(2) : tempo.longestPause();
            }, after.toMillis(), TimeUnit.MILLISECONDS);
        }

        private void look() {
            asked.set(false);
            List<Setup.Step> steps = new ArrayList<>();
            Setup setup = new Setup(settings, client, settings.autoRegister() ? EnumSet.of(Setup.Change.CREATE, Setup.Change.REVALIDATE,
                    Setup.Change.MOVE_OWN) : EnumSet.of(Setup.Change.REVALIDATE), steps::add);
            setup.former = journal.address();
            setup.x(false);
            Set<String> found = new LinkedHashSet<>();
            for (Setup.Step step : steps) {
                String line = step.name() + ": " + step.words();
                // Who has switched it off registers by other means, and knows why the bridge sees nothing.
                boolean trouble = step.state() == Setup.State.MISSING
                        && (!settings.get("AUTO_REGISTER").equals("off") || step.name().equals(Setup.ACCOUNT));
                if (trouble) found.add(step.name() + " is not right: the log and the command check tell more");
                if (step.state() != Setup.State.FOUND) LOG.log(step.good() ? INFO : trouble ? ERROR : WARNING, () -> line);
            }
            // While X does not answer, what was known of it holds.
            boolean answered = steps.stream().noneMatch(step -> step.state() == Setup.State.UNKNOWN);
            if (answered) troubles = List.copyOf(found);
            tellConversations(!settings.autoRegister() || answered && found.isEmpty());
        }

        private static final String UNTOLD = "open conversations could not all be told the new address";

        /** Agents' answers come to the address that a conversation was opened with. @param registered whether X knows the new one */
        private void tellConversations(boolean registered) {
            String before = journal.address(), now = settings.publicUrl();
            if (before.equals(now)) return;
            Optional<Answer> failed = told || before.isEmpty() ? Optional.empty() : flex.moved(before);
            told = failed.isEmpty();
            // Until X's webhook is moved too, it is known by the address before.
            if (told && registered) journal.moved(now);
            failed.ifPresent(answer -> {
                LOG.log(WARNING, () -> UNTOLD + ": " + answer.sentence());
                clock.schedule(surviving(() -> tellConversations(registered), UNTOLD), tempo.longestPause().toMillis(),
                        TimeUnit.MILLISECONDS);
            });
        }
    }

    /** Looks at everything the bridge needs, one thing after the other, and makes what is missing if it may. */
    static final class Setup {
        enum Change { CREATE, REVALIDATE, MOVE, MOVE_OWN, LEARN }
        enum State { FOUND, CREATED, CHANGED, MISSING, UNKNOWN }

        /** @param words what was found or done; of what is missing, what to do about it */
        record Step(String name, State state, String words) {
            boolean good() { return state != State.MISSING && state != State.UNKNOWN; }
        }

        static final String ACCOUNT = "X account";
        private static final String FLOW = "X Direct Messages";

        private final Settings settings;
        private final Client client;
        private final Twilio twilio;
        private final Set<Change> allowed;
        private final Consumer<Step> report;
        /** Takes the calls that would be made, if this is a rehearsal. */
        private Consumer<String> rehearsal;
        private Path dotEnv;
        /** The public URL before this one; empty if none is known. */
        private String former = "";
        private Answer atTwilio, atX;
        private String bearer = "";

        Setup(Settings settings, Client client, Set<Change> allowed, Consumer<Step> report) {
            this.settings = settings;
            this.client = client;
            this.allowed = allowed;
            this.report = report;
            twilio = new Twilio(client, settings, new Choices(false));
        }

        private static Client client() { return new Client(Duration.ofSeconds(15), new Metrics()); }

        // The two commands.

        /** @param apply false to show only what would be done; @return whether nothing is left to do */
        static boolean run(Map<String, String> given, Path dotEnv, boolean apply, Consumer<String> out) throws Wrong, IOException {
            Map<String, String> values = new HashMap<>(given);
            ask(values, dotEnv, apply, out);
            Settings settings = Settings.draft(values);
            if (!values.containsKey("FLEX_TASK_CHANNEL")) settings.values().put("FLEX_TASK_CHANNEL", "");
            List<Step> steps = new ArrayList<>();
            Consumer<Step> report = step -> {
                steps.add(step);
                String state = step.good() ? step.state().name().toLowerCase(Locale.ROOT) : "to do";
                out.accept("%s %-8s %-16s %s".formatted(step.good() ? "✓" : "✗", state, step.name(), step.words()));
            };
            Setup setup = new Setup(settings, client(), apply ? EnumSet.allOf(Change.class) : EnumSet.noneOf(Change.class), report);
            setup.dotEnv = dotEnv;
            if (!apply) setup.rehearsal = out;
            setup.twilio();
            setup.listening(report);
            boolean done = steps.stream().allMatch(Step::good);
            out.accept(!apply ? "Nothing was changed." : done ? "All is there: start the bridge with ./run.sh"
                    : "Do what is marked ✗, then run setup again.");
            return done;
        }

        /** X's challenge has to be answered while it registers: by the bridge, or if none is running, from here. */
        private void listening(Consumer<Step> report) {
            Edge edge = null;
            try {
                settings.values().putAll(Ngrok.address(settings, Duration.ofSeconds(30)).values());
                edge = new Edge(settings, Map.of("GET /fromTwitter", request -> challenge(settings, request)));
                edge.start();
            } catch (Wrong wrong) {
                // The port is taken, by the bridge as a rule, and whether that answers will be seen.
                if (settings.publicUrl().isEmpty()) report.accept(new Step("public address", State.MISSING, wrong.getMessage()));
            }
            try {
                x(true);
            } finally {
                if (edge != null) edge.stop();
            }
        }

        /** Asks for what only the user can know; whatever he has given is kept at once. */
        private static void ask(Map<String, String> values, Path dotEnv, boolean apply, Consumer<String> out) throws Wrong, IOException {
            List<String> missing = Settings.draft(values).missing().stream().filter(name -> !name.startsWith("FLEX_")).toList();
            Console console = System.console();
            if (!missing.isEmpty() && (console == null || !apply)) {
                throw new Wrong(2, missing.stream().map(name -> name + " is missing: " + Settings.advice(name)).toList());
            }
            for (String name : missing) {
                out.accept(name + ": " + Settings.advice(name));
                String value = "";
                while (value.isEmpty()) {
                    char[] typed = name.matches(".*(SECRET|TOKEN|KEY)") ? console.readPassword("%s (not shown): ", name)
                            : Optional.ofNullable(console.readLine("%s: ", name)).map(String::toCharArray).orElse(null);
                    if (typed == null) throw new Wrong(2, List.of(name + " is missing: " + Settings.advice(name)));
                    String given = new String(typed).strip();
                    if (Settings.fits(name, given)) value = given;
                    else out.accept("That is not right.");
                }
                values.put(name, value);
                try {
                    Settings.write(dotEnv, name, value);
                } catch (IOException readOnly) {
                    throw new Wrong(1, List.of(".env cannot be written (" + reason(readOnly) + "): make this folder writable, or set "
                            + name + " in the environment"));
                }
            }
        }

        /** @return whether everything holds */
        static boolean check(Map<String, String> given, boolean json, Consumer<String> out) {
            List<Step> steps = new ArrayList<>();
            steps.add(new Step("Java", State.FOUND, System.getProperty("java.version") + ", " + System.getProperty("java.vendor")));
            try {
                Settings.from(given);
                steps.add(new Step("settings", State.FOUND, "complete"));
            } catch (Wrong incomplete) {
                incomplete.sentences.forEach(sentence -> steps.add(new Step("settings", State.MISSING, sentence)));
            }
            try {
                Settings settings = Settings.draft(given);
                Setup setup = new Setup(settings, client(), EnumSet.noneOf(Change.class), steps::add);
                setup.folder();
                setup.twilio();
                try {
                    settings.values().putAll(Ngrok.address(settings, Duration.ofSeconds(1)).values());
                } catch (Wrong noTunnel) {
                    steps.add(new Step("public address", State.MISSING, noTunnel.getMessage()));
                }
                setup.x(true);
                setup.clock();
            } catch (Wrong unusable) {
                LOG.log(DEBUG, () -> "said above, as settings");
            }
            boolean ok = steps.stream().allMatch(Step::good);
            if (json) {
                ObjectNode all = object().put("ok", ok);
                ArrayNode rows = all.putArray("checks");
                steps.forEach(step -> rows.addObject().put("name", step.name()).put("ok", step.good()).put("words", step.words()));
                out.accept(all.toString());
            } else {
                steps.forEach(step -> out.accept("%s %-16s %s".formatted(step.good() ? "✓" : "✗", step.name(), step.words())));
            }
            return ok;
        }

        // What is looked at: here, at Twilio, at X.

        private void folder() {
            Path folder = settings.dataDir();
            Path there = folder.toAbsolutePath();
            while (!Files.exists(there) && there.getParent() != null) there = there.getParent();
            boolean usable = Files.isWritable(there) && (Files.isDirectory(folder) || !Files.exists(folder));
            String words = folder + (Files.isDirectory(folder) ? "" : ", made at the first start");
            if (!say("data folder", usable, words, "the bridge cannot write to " + folder
                    + ": make it a folder of the bridge's user, or set DATA_DIR")) return;
            try {
                Journal.Counts counts = Journal.look(folder).counts();
                String sums = counts.pending() + " messages wait, " + counts.failed() + " were refused";
                say("journal", State.FOUND, counts.failed() == 0 ? sums : sums + " (see the command failed)");
            } catch (Wrong | IOException damaged) {
                say("journal", State.MISSING, damaged instanceof Wrong ? damaged.getMessage() : "it cannot be read: " + reason(damaged));
            }
        }

        /** X refuses signatures of a clock that is five minutes off (its error 135); two are worth a word. */
        private void clock() {
            List<String> asked = new ArrayList<>(), off = new ArrayList<>();
            Stream.of(atTwilio, atX).filter(answer -> answer != null && answer.status() != 0).forEach(answer -> {
                long seconds = ahead(answer);
                asked.add(answer.service());
                if (Math.abs(seconds) > 120) off.add(Math.abs(seconds) + (seconds > 0 ? " s ahead of " : " s behind ") + answer.service());
            });
            if (asked.isEmpty()) say("clock", State.UNKNOWN, "nobody answered who could tell the time");
            else say("clock", off.isEmpty(), "agrees with " + String.join(" and ", asked), "this machine is " + String.join(" and ", off)
                    + ": X refuses such signatures, switch on time synchronisation (NTP)");
        }

        /** Seconds that this machine's clock is ahead of a service's. */
        private static long ahead(Answer answer) { return Duration.between(answer.date(), answer.asked().time()).toSeconds(); }

        void twilio() {
            if (settings.accountSid().isEmpty() || settings.authToken().isEmpty()) return;
            atTwilio = twilio.get("flex-api", "/v1/Configuration");
            if (!good("Twilio account", atTwilio)) return;
            JsonNode flex = atTwilio.body();
            // An API key says nothing of the token that checks webhooks.
            String basic = Signatures.basic(settings.accountSid(), settings.authToken());
            String path = "/2010-04-01/Accounts/" + settings.accountSid() + ".json";
            Answer account = settings.apiKey().isEmpty() ? atTwilio
                    : client.call(Twilio.SERVICE, twilio.request("api", path).setHeader("Authorization", basic));
            if (!good("Twilio account", account)) return;
            say("Twilio account", flex.path("account_sid").asText(settings.accountSid()).equals(settings.accountSid()),
                    "Flex answers for " + settings.accountSid(), "the API key is one of another account than TWILIO_ACCOUNT_SID");
            boolean ready = known("chat service", "FLEX_CHAT_SERVICE", flex.path("chat_service_instance_sid").asText());
            boolean chat = settings.flexApi().equals("chat");
            if (ready && !chat) conversationsService();
            if (chat && !settings.flexFlow().isEmpty()) {
                flexFlow("");
                return;
            }
            if (!known("workspace", "FLEX_WORKSPACE_SID", flex.path("taskrouter_workspace_sid").asText()) || !workflow()) return;
            Optional<String> channel = taskChannel();
            if (ready && chat && channel.isPresent()) flexFlow(channel.get());
        }

        private void conversationsService() {
            Answer defaults = twilio.get("conversations", "/v1/Configuration");
            if (!good("conversations", defaults)) return;
            String used = defaults.body().path("default_chat_service_sid").asText();
            say("conversations", used.equals(settings.chatService()), "Flex's chat service is the account's default",
                    "the account's default conversations service is " + used + ", so tasks cannot find conversations: make "
                    + settings.chatService() + " the default at console.twilio.com, Conversations, Manage, Defaults");
        }

        private boolean workflow() {
            String path = "/v1/Workspaces/" + settings.workspace() + "/Workflows";
            Optional<List<JsonNode>> listed = list("workflow", "taskrouter", path, "workflows");
            if (listed.isEmpty()) return false;
            List<JsonNode> all = listed.get();
            String set = settings.workflow();
            JsonNode chosen = all.stream().filter(one -> set.isEmpty() ? one.path("friendly_name").asText().equals("Assign to Anyone")
                    : one.path("sid").asText().equals(set)).findFirst().orElse(JSON.missingNode());
            if (chosen.isMissingNode() && set.isEmpty()) chosen = all.size() == 1 ? all.get(0) : choice(all);
            if (!chosen.isMissingNode()) return known("workflow", "FLEX_WORKFLOW_SID", chosen.path("sid").asText());
            return say("workflow", State.MISSING, all.isEmpty() ? "the workspace has none: make one at console.twilio.com, TaskRouter"
                    : "set FLEX_WORKFLOW_SID to one of " + all.stream().map(one -> one.path("sid").asText() + " ("
                            + one.path("friendly_name").asText() + ")").collect(Collectors.joining(", ")));
        }

        private JsonNode choice(List<JsonNode> all) {
            Console console = System.console();
            if (console == null || all.isEmpty() || !allowed.contains(Change.LEARN)) return JSON.missingNode();
            for (int i = 0; i < all.size(); i++) console.printf("%d  %s%n", i + 1, all.get(i).path("friendly_name").asText());
            String typed = String.valueOf(console.readLine("Which workflow gets the customers' messages? (1 to %d): ", all.size())).strip();
            return typed.matches("[0-9]{1,4}") ? JSON.createArrayNode().addAll(all).path(Integer.parseInt(typed) - 1) : JSON.missingNode();
        }

        /** @return its SID. One of its own lets reports and agents' capacity tell X from web chat. */
        private Optional<String> taskChannel() {
            String name = settings.taskChannel().isEmpty() ? "twitter" : settings.taskChannel();
            String path = "/v1/Workspaces/" + settings.workspace() + "/TaskChannels";
            Optional<List<JsonNode>> listed = list("task channel", "taskrouter", path, "channels");
            if (listed.isEmpty()) return Optional.empty();
            Optional<String> known = listed.get().stream().filter(one -> one.path("unique_name").asText().equals(name)).findFirst()
                    .map(one -> one.path("sid").asText());
            String words = name + (settings.taskChannel().isEmpty() ? ", written to .env as FLEX_TASK_CHANNEL" : "");
            Optional<String> there = known.or(() -> make("task channel", Change.CREATE, State.CREATED, words,
                    toTwilio("taskrouter", path, Form.of("FriendlyName", name, "UniqueName", name))));
            if (there.isPresent() && settings.taskChannel().isEmpty()) learn("FLEX_TASK_CHANNEL", name);
            if (known.isPresent()) say("task channel", State.FOUND, name);
            return there;
        }

        /** What becomes of a customer's first message in Programmable Chat: a task (Twilio Studio, "Send to Flex" widget). */
        private static final String STUDIO_FLOW = """
                {"description": "X Direct Messages", "initial_state": "Trigger", "flags": {"allow_concurrent_calls": true}, "states": [
                  {"name": "Trigger", "type": "trigger", "properties": {"offset": {"x": 0, "y": 0}}, "transitions": [
                    {"event": "incomingMessage", "next": "send_to_flex"}, {"event": "incomingCall"},
                    {"event": "incomingConversationMessage"}, {"event": "incomingRequest"}, {"event": "incomingParent"}]},
                  {"name": "send_to_flex", "type": "send-to-flex",
                    "transitions": [{"event": "callComplete"}, {"event": "failedToEnqueue"}, {"event": "callFailure"}],
                    "properties": {"workflow": "", "channel": "", "attributes":
                      "{\\"name\\": \\"{{trigger.message.ChannelAttributes.from}}\\", \\"channelType\\": \\"web\\",\
                 \\"channelSid\\": \\"{{trigger.message.ChannelSid}}\\", \\"customChannel\\": \\"twitter\\"}",
                      "offset": {"x": 40, "y": 210}}}]}
                """;

        /** Programmable Chat: a Flex Flow starts a Studio flow, which makes the task. */
        private void flexFlow(String taskChannel) {
            if (!settings.flexFlow().isEmpty()) {
                Answer set = twilio.get("flex-api", "/v1/FlexFlows/" + settings.flexFlow());
                if (!good("Flex Flow", set)) return;
                boolean ours = set.body().path("chat_service_sid").asText().equals(settings.chatService());
                say("Flex Flow", ours && set.body().path("enabled").asBoolean(), settings.flexFlow(), "FLEX_FLOW_SID is switched off or"
                        + " belongs to another chat service: set it to one that is right, or remove it and run setup again");
                return;
            }
            ObjectNode definition = (ObjectNode) lenient(STUDIO_FLOW);
            ((ObjectNode) definition.at("/states/1/properties")).put("workflow", settings.workflow()).put("channel", taskChannel);
            Optional<String> studio = named("Studio flow", "studio", "/v2/Flows", "flows",
                    one -> one.path("status").asText().equals("published"),
                    Form.of("FriendlyName", FLOW, "Status", "published", "Definition", definition.toString()));
            studio.flatMap(flow -> named("Flex Flow", "flex-api", "/v1/FlexFlows", "flex_flows",
                    one -> one.path("enabled").asBoolean() && one.at("/integration/flow_sid").asText().equals(flow)
                            && one.path("chat_service_sid").asText().equals(settings.chatService()),
                    Form.of("FriendlyName", FLOW, "ChatServiceSid", settings.chatService(), "ChannelType", "custom", "ContactIdentity",
                            "twitter", "Enabled", "true", "IntegrationType", "studio", "Integration.FlowSid", flow,
                            "JanitorEnabled", "true"))).ifPresent(sid -> learn("FLEX_FLOW_SID", sid));
        }

        /** Finds what has our name and is fit for use, or makes it. @return its SID */
        private Optional<String> named(String what, String product, String path, String list, Predicate<JsonNode> fit, Form form) {
            Optional<List<JsonNode>> listed = list(what, product, path, list);
            if (listed.isEmpty()) return Optional.empty();
            Optional<String> known = listed.get().stream().filter(one -> one.path("friendly_name").asText().equals(FLOW) && fit.test(one))
                    .findFirst().map(one -> one.path("sid").asText());
            known.ifPresent(sid -> say(what, State.FOUND, FLOW + " (" + sid + ")"));
            return known.or(() -> make(what, Change.CREATE, State.CREATED, FLOW, toTwilio(product, path, form)));
        }

        /** All of a list; empty if it could not be had, which is told. */
        private Optional<List<JsonNode>> list(String what, String product, String path, String list) {
            List<JsonNode> all = new ArrayList<>();
            Answer listed = twilio.pages(product, path + "?PageSize=50", list, (page, one) -> all.add(one));
            return good(what, listed) ? Optional.of(all) : Optional.empty();
        }

        /** @param outside whether to ask for our own challenge by the public URL, as X does */
        void x(boolean outside) {
            if (settings.consumerKey().isEmpty() || settings.consumerSecret().isEmpty()) return;
            String basic = Signatures.basic(Form.escape(settings.consumerKey()), Form.escape(settings.consumerSecret()));
            atX = client.call(X.SERVICE, Twilio.filled(authorized("/oauth2/token", basic), Form.of("grant_type", "client_credentials")));
            if (!good("X app", atX)) return;
            say("X app", State.FOUND, "key and secret are right");
            bearer = "Bearer " + atX.body().path("access_token").asText();
            atX = client.call(X.SERVICE, X.signed(settings, "GET", "/2/users/me", Form.of()).GET());
            if (!good(ACCOUNT, atX)) return;
            String id = atX.body().at("/data/id").asText(), handle = "@" + atX.body().at("/data/username").asText();
            String level = atX.headers().firstValue("x-access-level").orElse("read-write-directmessages");
            say(ACCOUNT, level.equals("read-write-directmessages"), handle, "the app may only " + level + ": give it 'Read and write and"
                    + " Direct message' at developer.x.com, then make a new access token and put it into TWITTER_ACCESS_KEY and"
                    + " TWITTER_ACCESS_SECRET");
            if (settings.publicUrl().isEmpty() || outside && reached() == State.MISSING) return;
            String url = settings.publicUrl() + "/fromTwitter";
            Answer listed = client.call(X.SERVICE, app("/2/webhooks").GET());
            if (!good("X webhook", listed)) return;
            Map<Boolean, List<JsonNode>> ours = listed.body().path("data").valueStream()
                    .filter(one -> one.path("url").asText().endsWith("/fromTwitter"))
                    .collect(Collectors.partitioningBy(one -> one.path("url").asText().equals(url)));
            List<JsonNode> old = new ArrayList<>(ours.get(false));
            ours.get(true).stream().findFirst().map(this::valid).orElseGet(() -> register(url, old)).ifPresent(webhook -> {
                subscribe(webhook, id, listed.body().path("data"));
                old.stream().filter(one -> rehearsal != null || mayMove(one)).forEach(this::remove);
            });
        }

        /** Asks for our own challenge. Where that cannot be reached from this machine, X's may all the same. */
        private State reached() {
            String path = "/fromTwitter?crc_token=" + UUID.randomUUID(), url = settings.publicUrl();
            Answer answer = client.call("bridge", HttpRequest.newBuilder(URI.create(url + path)).GET());
            String expected = challenge(settings, new Request("GET", "/fromTwitter", path, Map.of(), new byte[0])).body();
            State state = !answer.ok() ? State.UNKNOWN : answer.body().toString().equals(expected) ? State.FOUND : State.MISSING;
            say("public address", state, state == State.FOUND ? url : state == State.MISSING
                    ? "what answers at " + url + " signs with other secrets than these: start the bridge with this .env"
                    : "the bridge does not answer at " + url + " (" + (answer.status() == 0 ? answer.trouble()
                    : "status " + answer.status()) + "): start it, and the tunnel or proxy that leads to port " + settings.port());
            return state;
        }

        /** X switches a webhook off after wrong answers, or a day without right ones; it challenges it anew when asked. */
        private Optional<String> valid(JsonNode webhook) {
            String id = webhook.path("id").asText();
            if (!webhook.path("valid").asBoolean()) {
                return make("X webhook", Change.REVALIDATE, State.CHANGED, "X had switched it off, and sends again",
                        toX("PUT", "/2/webhooks/" + id, "")).map(done -> id);
            }
            say("X webhook", State.FOUND, webhook.path("url").asText());
            return Optional.of(id);
        }

        /** @param old registrations of ours at other addresses, of which the app may have room for only one */
        private Optional<String> register(String url, List<JsonNode> old) {
            Change change = old.isEmpty() ? Change.CREATE : old.stream().allMatch(this::mayMove) ? move(old.get(0).path("url").asText())
                    : Change.MOVE;
            URI address = URI.create(url);
            if (address.getScheme().equals("https") && (address.getPort() >= 0 || url.length() > 200)) {
                say("X webhook", State.MISSING, "X takes https addresses without a port, of at most 200 characters: see PUBLIC_URL");
                return Optional.empty();
            }
            Call call = toX("POST", "/2/webhooks", object().put("url", url).toString());
            String from = old.isEmpty() ? "" : ", no longer " + old.get(0).path("url").asText();
            if (rehearsal == null && allowed.contains(change) && !old.isEmpty()) {
                Answer first = send(call);
                if (first.ok()) {
                    say("X webhook", State.CHANGED, url + from);
                    return Optional.of(first.body().at("/data/id").asText());
                }
                if (!first.sentence().contains("WebhookLimitExceeded") && !good("X webhook", first)) return Optional.empty();
                old.removeIf(this::remove);
                if (!old.isEmpty()) return Optional.empty();
            }
            return make("X webhook", change, from.isEmpty() ? State.CREATED : State.CHANGED, url + from, call);
        }

        /** A running bridge moves what it had at its own former address: any other may belong to another bridge. */
        private Change move(String url) { return url.equals(former + "/fromTwitter") ? Change.MOVE_OWN : Change.MOVE; }
        private boolean mayMove(JsonNode old) { return allowed.contains(move(old.path("url").asText())); }

        private boolean remove(JsonNode webhook) {
            String url = webhook.path("url").asText();
            return make("old X webhook", move(url), State.CHANGED, url + " is removed",
                    toX("DELETE", "/2/webhooks/" + webhook.path("id").asText(), "")).isPresent();
        }

        private void subscribe(String webhook, String user, JsonNode webhooks) {
            if (settings.twitterApi().equals("1.1")) {
                String path = "/2/account_activity/webhooks/" + webhook + "/subscriptions/all", what = "all of the account's activity";
                Answer known = rehearsal != null && webhook.isEmpty() ? Answer.none("", "", "", false)
                        : client.call(X.SERVICE, X.signed(settings, "GET", path, Form.of()).GET());
                boolean told = known.ok() || known.status() == 404 || known.status() == 400 || rehearsal != null;
                if (!told && !good("X subscription", known)) return;
                if (known.body().at("/data/subscribed").asBoolean()) say("X subscription", State.FOUND, what);
                else make("X subscription", Change.CREATE, State.CREATED, what,
                        new Call(X.SERVICE, X.signed(settings, "POST", path, Form.of()), "POST", "{}"));
                return;
            }
            List<JsonNode> all = new ArrayList<>();
            for (String cursor = ""; cursor != null;) {
                String query = cursor.isEmpty() ? "" : "?pagination_token=" + Form.escape(cursor);
                Answer page = client.call(X.SERVICE, app("/2/activity/subscriptions" + query).GET());
                if (!good("X subscription", page)) return;
                page.body().path("data").valueStream().forEach(all::add);
                cursor = page.body().at("/meta/next_token").asText(null);
            }
            for (String event : List.of("dm.received", "oauth.revoke")) {
                Optional<JsonNode> known = all.stream().filter(one -> one.path("event_type").asText().equals(event)
                        && (one.at("/filter/user_id").asText().equals(user)
                        || event.equals("oauth.revoke") && one.path("filter").isEmpty())).findFirst();
                ObjectNode body = object().put("webhook_id", webhook);
                if (known.isEmpty()) {
                    body.put("event_type", event).put("tag", "twitter-flex-bridge").putObject("filter").put("user_id", user);
                    String path = "/2/activity/subscriptions";
                    // X's documents want OAuth 2.0 for this, its OpenAPI description is content with OAuth 1.0a.
                    Call byKeys = new Call(X.SERVICE, X.signed(settings, "POST", path, Form.of()), "POST", body.toString());
                    Call byToken = new Call(X.SERVICE, authorized(path, "Bearer " + settings.userToken()), "POST", body.toString());
                    make("X subscription", Change.CREATE, State.CREATED, event,
                            settings.userToken().isEmpty() ? new Call[] {byKeys} : new Call[] {byKeys, byToken});
                } else if (known.get().path("webhook_id").asText().equals(webhook)) {
                    say("X subscription", State.FOUND, event);
                } else {
                    String id = known.get().path("subscription_id").asText(known.get().path("id").asText());
                    String other = known.get().path("webhook_id").asText();
                    String from = webhooks.valueStream().filter(one -> one.path("id").asText().equals(other))
                            .map(one -> one.path("url").asText()).findFirst().orElse("");
                    make("X subscription", from.isEmpty() ? Change.CREATE : move(from), State.CHANGED, event + " comes to this address"
                            + (from.isEmpty() ? "" : ", no longer to " + from),
                            toX("PUT", "/2/activity/subscriptions/" + id, body.toString()));
                }
            }
        }

        private HttpRequest.Builder app(String path) { return authorized(path, bearer); }

        private HttpRequest.Builder authorized(String path, String authorization) {
            return HttpRequest.newBuilder(URI.create(settings.twitterApiUrl() + path)).header("Authorization", authorization);
        }

        // How it is looked, done and told.

        /** @return whether it is good */
        private boolean say(String name, State state, String words) {
            Step step = new Step(name, state, words);
            report.accept(step);
            return step.good();
        }

        /** @param words for what is right; @param advice for what is not */
        private boolean say(String name, boolean right, String words, String advice) {
            return say(name, right ? State.FOUND : State.MISSING, right ? words : advice);
        }

        /** Takes over what was found under a setting's name, or sees that both agree. @return whether there is one to work with */
        private boolean known(String what, String setting, String found) {
            String set = settings.get(setting);
            if (found.isEmpty()) return say(what, State.MISSING, "Flex names none: finish its set-up at console.twilio.com, Flex");
            if (!set.isEmpty()) return say(what, set.equals(found), found, setting + " is " + set + ", but Flex uses " + found
                    + ": correct it, or remove it and run setup again");
            say(what, rehearsal != null || allowed.contains(Change.LEARN), found + ", written to .env as " + setting,
                    found + " is not set: run setup, or set " + setting);
            learn(setting, found);
            return true;
        }

        private void learn(String name, String value) {
            settings.values().put(name, value);
            if (rehearsal != null) rehearsal.accept("           would write " + name + "=" + value + " to .env");
            if (!allowed.contains(Change.LEARN)) return;
            try {
                Settings.write(dotEnv, name, value);
            } catch (IOException readOnly) {
                say(".env", State.MISSING, "it cannot be written (" + reason(readOnly) + "): add " + name + "=" + value + " yourself");
            }
        }

        /** A call that changes something. @param body JSON, a form or nothing */
        private record Call(String service, HttpRequest.Builder request, String method, String body) { }
        private Call toX(String method, String path, String body) { return new Call(X.SERVICE, app(path), method, body); }

        private Call toTwilio(String product, String path, Form form) {
            return new Call(Twilio.SERVICE, twilio.request(product, path), "POST", form.encode());
        }

        /**
         * Makes a change if it may be made, tells of it in a rehearsal, or says that it has to be made.
         *
         * @param inTurn the call; others follow for when its way of signing is refused
         * @return the id of what was made
         */
        private Optional<String> make(String what, Change change, State done, String words, Call... inTurn) {
            if (rehearsal != null) {
                rehearsal.accept("           would call " + inTurn[0].method() + " " + inTurn[0].request().copy().GET().build().uri()
                        + (inTurn[0].body().isEmpty() ? "" : " with " + inTurn[0].body()));
                return Optional.of("");
            }
            if (!allowed.contains(change)) {
                say(what, State.MISSING, change == Change.REVALIDATE ? "X has switched it off: run setup, which has it validated again"
                        : "not there yet (" + words + "): run setup");
                return Optional.empty();
            }
            Answer answer = send(inTurn[0]);
            for (int i = 1; i < inTurn.length && (answer.status() == 401 || answer.status() == 403); i++) answer = send(inTurn[i]);
            // Another process may have been quicker.
            boolean same = answer.sentence().contains("DuplicateSubscriptionFailed");
            if (!same && !good(what, answer)) return Optional.empty();
            if (!answer.body().at("/data/valid").asBoolean(true)) {
                say(what, State.MISSING, "X got no right answer from " + settings.publicUrl() + "/fromTwitter: is it reachable from"
                        + " outside?");
                return Optional.empty();
            }
            say(what, same ? State.FOUND : done, words);
            return Optional.of(answer.body().path("sid").asText(answer.body().at("/data/id").asText()));
        }

        private Answer send(Call call) {
            String type = call.body().startsWith("{") ? "application/json" : "application/x-www-form-urlencoded";
            return client.call(call.service(), call.request().copy().header("Content-Type", type).method(call.method(),
                    call.body().isEmpty() ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(call.body())));
        }

        /** Tells a failure, with what to do about it. */
        private boolean good(String what, Answer answer) {
            if (answer.ok()) return true;
            boolean passing = answer.status() == 0 || answer.status() == 429 || answer.status() >= 500;
            return say(what, passing ? State.UNKNOWN : State.MISSING, answer.sentence() + ": " + advice(what, answer));
        }

        /** What to do about a failure, by its service, status, code and words: the first row that fits counts. */
        private static final List<Map.Entry<String, String>> ADVICE = List.of(
                Map.entry("~\\w+ 0 ", "look at this machine's network, proxy and trust store"),
                Map.entry("~\\w+ 429 ", "wait a quarter of an hour and try again"),
                Map.entry("~\\w+ [5-9].. ", "try again later; status.twilio.com and docs.x.com/status tell of failures"),
                Map.entry("~Twilio 401 ", "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or the API key and secret) do not belong together,"
                        + " copy both from console.twilio.com"),
                Map.entry("~Twilio 404 ", "this account has no such thing; has it a Flex project, and is the SID of this account?"),
                Map.entry("~Twilio ", "console.twilio.com, Monitor, Errors may tell more"),
                Map.entry("~X ... 135 |~X 401 \\d+ clock ", "this machine's clock is off, switch on time synchronisation (NTP)"),
                Map.entry("~X ... 99 ", "TWITTER_CONSUMER_KEY and TWITTER_CONSUMER_SECRET do not belong together, copy both from"
                        + " developer.x.com, your app, Keys and tokens"),
                Map.entry("~X ... (64|326|416) ", "X has suspended or locked the account or the app, ask X"),
                Map.entry("~X ... 93 |oauth1-permissions", "give the app 'Read and write and Direct message' at developer.x.com,"
                        + " then make a new access token"),
                Map.entry("~X 402 ", "the X account has no credits left, buy some at developer.x.com, Billing"),
                Map.entry("~X ... (453|200) |client-not-enrolled|client-forbidden",
                        "the X app's access level does not include this, choose a plan that does at developer.x.com"),
                Map.entry("WebhookLimitExceeded|Too many resources", "the app has all the webhooks it may have, remove one of them or take"
                        + " an app of its own for the bridge"),
                Map.entry("SubscriptionLimitExceeded", "the app has all the subscriptions it may have, remove one of them"),
                Map.entry("X subscription ~X 40[13] ", "X wants an OAuth 2.0 token of the support account for this: let it authorise the"
                        + " app with the scopes dm.read, tweet.read and users.read, and put the token into TWITTER_USER_TOKEN; one that is"
                        + " there may have expired"),
                Map.entry("~X 401 ", "TWITTER_ACCESS_KEY and TWITTER_ACCESS_SECRET are of another app, or were revoked: make new ones at"
                        + " developer.x.com, your app, Keys and tokens"),
                Map.entry("Crc", "X got no right answer from {PUBLIC_URL}/fromTwitter, is it reachable from outside, and are the secrets"
                        + " those of this app?"),
                Map.entry("UrlValidationFailed", "X takes https addresses without a port, of at most 200 characters: see PUBLIC_URL"),
                Map.entry("", "docs.x.com may tell more"));

        private String advice(String what, Answer answer) {
            String clock = Math.abs(ahead(answer)) > 240 ? " clock " : " ";
            String signs = what + " ~" + answer.service() + " " + answer.status() + " " + answer.code() + clock
                    + answer.body().path("type").asText() + " " + answer.body().path("reason").asText() + " " + answer.sentence();
            return ADVICE.stream().filter(row -> Pattern.compile(row.getKey()).matcher(signs).find()).findFirst().orElseThrow()
                    .getValue().replace("{PUBLIC_URL}", settings.publicUrl());
        }
    }
}
