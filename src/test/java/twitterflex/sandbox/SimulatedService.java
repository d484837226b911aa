package twitterflex.sandbox;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/** A service the bridge talks to, as a real HTTP server on loopback: it judges, counts and records what arrives, and fails on demand. */
public abstract class SimulatedService implements AutoCloseable {

    static {
        // Read once per process; without the first every kept-alive answer waits 44 ms, with 200 idle connections POSTs fail at random.
        System.getProperties().putIfAbsent("sun.net.httpserver.nodelay", "true");
        System.getProperties().putIfAbsent("sun.net.httpserver.maxIdleConnections", "10000");
    }

    private static final int BACKLOG = 1024;
    private static final int LARGEST_BODY = 1 << 20;
    private static final int EXCHANGES_KEPT = 20_000;
    private static final byte[] LARGE = "[\"much ado about nothing\"],\n".repeat(2_500).getBytes(StandardCharsets.UTF_8);

    /** One request and what became of it; status 0: the connection was closed without an answer. */
    public record Exchange(Instant at, String method, String target, String operation, Map<String, String> requestHeaders,
            String requestBody, int status, Map<String, String> responseHeaders, String responseBody, long millis) { }

    /** What a request of the sandbox's own brought back; status 0: no answer, and the body says why. */
    public record Posted(int status, String body) { }

    /** A body with a file in it is an upload; then {@code body} only says so. */
    record Request(String method, String path, String query, Map<String, String> headers, byte[] body, String operation,
            Map<String, String> variables, Upload upload) {

        String header(String name) {
            return headers.getOrDefault(name, "");
        }

        String text() {
            return new String(body, StandardCharsets.UTF_8);
        }

        String target() {
            return query.isEmpty() ? path : path + "?" + query;
        }
    }

    /** Status 0: no answer, the connection is closed. A content goes out instead of the body. */
    record Reply(int status, Map<String, String> headers, String body, Optional<Content> content) {

        Reply(int status, Map<String, String> headers, String body) {
            this(status, headers, body, Optional.empty());
        }

        Reply with(Map<String, String> headers) {
            return new Reply(status, headers, body, content);
        }

        Content sent() {
            return content.orElseGet(() -> Content.of(body.getBytes(StandardCharsets.UTF_8)));
        }
    }

    /** Ends a request the real service would not carry out; a violation is one that no correct client makes. */
    static final class Refused extends RuntimeException {
        private static final long serialVersionUID = 1;
        private final transient Reply reply;
        private final boolean violation;

        Refused(Reply reply, String sentence, boolean violation) {
            super(sentence, null, false, false);
            this.reply = reply;
            this.violation = violation;
        }

        Reply reply() {
            return reply;
        }
    }

    public final Courier courier = new Courier();
    private final Collection<Operation> operations;
    private final HttpServer server;
    private final ExecutorService threads = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task, getClass().getSimpleName());
        thread.setDaemon(true);
        return thread;
    });
    private final int port;
    private final Faults faults = new Faults();
    private final Map<String, AtomicInteger> calls = new ConcurrentHashMap<>();
    private final Deque<Exchange> exchanges = new ArrayDeque<>();
    private final List<String> violations = new CopyOnWriteArrayList<>();
    private final List<Consumer<Exchange>> listeners = new CopyOnWriteArrayList<>();
    private volatile Duration ahead = Duration.ZERO;
    private volatile Duration datesAhead = Duration.ZERO;
    private WrongClock wrongClock;

    /** Binds the port (0: any free one); the subclass calls {@link #start()} when it is ready to answer. */
    SimulatedService(int port, Collection<Operation> operations) {
        this.operations = operations;
        try {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), BACKLOG);
            this.port = server.getAddress().getPort();
        } catch (IOException e) {
            throw new UncheckedIOException("cannot listen on port " + port, e);
        }
    }

    final void start() {
        server.setExecutor(threads);
        server.createContext("/", this::handle);
        server.start();
    }

    /** What the real service would say; runs on many threads at once. */
    abstract Reply answer(Request request);

    /**
     * Reads the body of a request that uploads a file, before it is judged and outside of all locks; empty for any
     * other request.
     */
    Optional<Upload> upload(Request head, InputStream body) throws IOException {
        return Optional.empty();
    }

    /** Headers that stand on every answer, refusals included. */
    Map<String, String> standingHeaders(Request request) {
        return Map.of();
    }

    public final String url() {
        return "http://127.0.0.1:" + port;
    }

    public final Faults faults() {
        return faults;
    }

    /** The last 20,000 requests, oldest first. */
    public final List<Exchange> exchanges() {
        synchronized (exchanges) {
            return List.copyOf(exchanges);
        }
    }

    /** Hears of every exchange just before its answer goes out. */
    public final void onExchange(Consumer<Exchange> listener) {
        listeners.add(listener);
    }

    /** Requests of an operation that have arrived, by its template: {@code "POST /v1/Channels"}. */
    public final int calls(String operation) {
        AtomicInteger count = calls.get(operation);
        return count == null ? 0 : count.get();
    }

    public final int calls() {
        return calls.values().stream().mapToInt(AtomicInteger::get).sum();
    }

    /** Sets the counts to 0; the recorded exchanges stay. */
    public final void resetCalls() {
        calls.clear();
    }

    /** A sentence for each request that no correct client makes. */
    public final List<String> violations() {
        return Collections.unmodifiableList(violations);
    }

    final void violation(String sentence) {
        violations.add(sentence);
    }

    /** Waits until every webhook is answered or given up, or throws {@link IllegalStateException}. */
    public final void awaitDelivered(Duration patience) {
        courier.awaitDelivered(patience);
    }

    /** The time by this service's clock. */
    final Instant now() {
        return Instant.now().plus(ahead);
    }

    /**
     * Sets this service's clock that much ahead (negative: behind) of the true time, for good: in the header Date and in what it
     * makes of a time-stamp. From then on {@link Fault#stallBody} does not stall, and {@link Fault#large}
     * is not large.
     */
    public final synchronized void clock(Duration ahead) {
        this.ahead = ahead;
        if (wrongClock == null) {
            server.stop(0);
            wrongClock = new WrongClock(port, threads, () -> now().plus(datesAhead), (method, target, headers, body) -> {
                Instant at = Instant.now();
                URI uri = URI.create(target);
                Request request = request(method, uri.getRawPath(), Optional.ofNullable(uri.getRawQuery()).orElse(""),
                        headers, new ByteArrayInputStream(body));
                return carriedOut(at, request, struckBy(request));
            });
        }
    }

    /** The same for the header Date alone, as a proxy with a wrong clock would have it. */
    public final void dates(Duration ahead) {
        datesAhead = ahead;
        clock(this.ahead);
    }

    final Posted ask(HttpRequest.Builder request) {
        return courier.ask(request.build(), Duration.ofSeconds(30)).join();
    }

    static HttpRequest.Builder posting(String url, byte[] body, Map<String, String> headers) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).POST(HttpRequest.BodyPublishers.ofByteArray(body));
        headers.forEach(request::setHeader);
        return request;
    }

    @Override
    public final void close() {
        courier.close();
        stopListening();
        threads.shutdownNow();
    }

    private synchronized void stopListening() {
        if (wrongClock == null) {
            server.stop(0);
        } else {
            wrongClock.close();
        }
    }

    // One request from its first byte to its last: counted, struck by a fault, carried out, recorded, answered.

    private void handle(HttpExchange http) throws IOException {
        Instant at = Instant.now();
        try (http) {
            Request request = read(http);
            Fault fault = struckBy(request);
            Reply reply = carriedOut(at, request, fault);
            if (fault instanceof Fault.Large large) {
                flood(http, large);
            } else if (reply.status() > 0) { // an exchange closed unanswered closes its connection
                send(http, reply, fault);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Counts the request and draws its fault, which may be null. */
    private Fault struckBy(Request request) {
        calls.computeIfAbsent(request.operation(), name -> new AtomicInteger()).incrementAndGet();
        return faults.take(request.operation()).orElse(null);
    }

    private Reply carriedOut(Instant at, Request request, Fault fault) throws InterruptedException {
        Reply reply = suffer(fault, request);
        record(new Exchange(at, request.method(), request.target(), request.operation(), request.headers(), request.text(),
                reply.status(), reply.headers(), reply.content().map(content -> MediaFile.told(
                        reply.headers().getOrDefault("Content-Type", ""), content.length())).orElse(reply.body()),
                Duration.between(at, Instant.now()).toMillis()));
        return reply;
    }

    private Request read(HttpExchange http) throws IOException {
        Map<String, String> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        http.getRequestHeaders().forEach((name, values) -> headers.put(name, String.join(", ", values)));
        String method = http.getRequestMethod();
        String path = http.getRequestURI().getRawPath();
        String query = Optional.ofNullable(http.getRequestURI().getRawQuery()).orElse("");
        return request(method, path, query, headers, http.getRequestBody());
    }

    private Request request(String method, String path, String query, Map<String, String> headers, InputStream in)
            throws IOException {
        Request head = head(method, path, query, headers);
        Optional<Upload> upload = upload(head, in);
        byte[] body = upload.isPresent() ? upload.get().toString().getBytes(StandardCharsets.UTF_8)
                : in.readNBytes(LARGEST_BODY + 1);
        return new Request(method, path, query, headers, body, head.operation(), head.variables(),
                upload.orElse(Upload.NONE));
    }

    private Request head(String method, String path, String query, Map<String, String> headers) {
        for (Operation operation : operations) {
            Optional<Map<String, String>> variables = operation.match(method, path);
            if (variables.isPresent()) {
                return new Request(method, path, query, headers, new byte[0], operation.name(), variables.get(),
                        Upload.NONE);
            }
        }
        return new Request(method, path, query, headers, new byte[0], method + " " + path, Map.of(), Upload.NONE);
    }

    private Reply suffer(Fault fault, Request request) throws InterruptedException {
        Reply instead = fault instanceof Fault.Answers answers ? new Reply(answers.status(), answers.headers(), answers.body()) : null;
        if (instead != null && !((Fault.Answers) fault).done()) {
            return instead;
        }
        if (fault instanceof Fault.Delay delay) {
            Thread.sleep(delay.time().toMillis());
        }
        if (fault instanceof Fault.Hold hold) {
            hold.until().await();
        }
        Reply reply = judged(request);
        Map<String, String> headers = new TreeMap<>(standingHeaders(request));
        headers.putAll(reply.headers());
        if (fault instanceof Fault.Changes changes) {
            Object changed = changes.change().apply(Json.parse(reply.body()));
            reply = new Reply(reply.status(), headers, String.valueOf(changed));
        }
        return instead != null ? instead : reply.with(headers);
    }

    private Reply judged(Request request) {
        try {
            if (request.body().length > LARGEST_BODY) {
                throw new Refused(new Reply(413, Map.of(), ""), "the body is larger than " + LARGEST_BODY + " bytes", true);
            }
            return answer(request);
        } catch (Refused refused) {
            if (refused.violation) {
                violation(request.operation() + ": " + refused.getMessage());
            }
            return refused.reply();
        } catch (RuntimeException | Error e) {
            violation(request.operation() + ": the sandbox itself failed: " + e);
            return new Reply(500, Map.of(), "");
        }
    }

    private void record(Exchange exchange) {
        synchronized (exchanges) {
            exchanges.addLast(exchange);
            if (exchanges.size() > EXCHANGES_KEPT) {
                exchanges.removeFirst();
            }
        }
        listeners.forEach(listener -> listener.accept(exchange));
    }

    private static void flood(HttpExchange http, Fault.Large large) throws IOException {
        http.getResponseHeaders().set("Content-Type", "application/json; charset=utf-8");
        http.sendResponseHeaders(200, 0);
        http.getResponseBody().write('[');
        for (long left = large.bytes(); left > 0; left -= LARGE.length) {
            http.getResponseBody().write(LARGE);
            large.taken().addAndGet(LARGE.length);
        }
        http.getResponseBody().write("0]".getBytes(StandardCharsets.UTF_8));
    }

    /** Fewer bytes than said close the connection, as the JDK's server does it. */
    private static void send(HttpExchange http, Reply reply, Fault fault) throws IOException, InterruptedException {
        Content content = reply.sent();
        long said = fault instanceof Fault.ContentLength length ? length.said() : content.length();
        http.getResponseHeaders().set("Content-Type", "application/json; charset=utf-8");
        reply.headers().forEach(http.getResponseHeaders()::set);
        if (http.getRequestMethod().equals("HEAD")) {
            http.getResponseHeaders().set("Content-Length", String.valueOf(said));
            http.sendResponseHeaders(reply.status(), -1);
            return;
        }
        http.sendResponseHeaders(reply.status(), said == 0 ? -1 : said);
        long portion = said;
        Duration pause = Duration.ZERO;
        if (fault instanceof Fault.StallBody stall) {
            portion = (said + 1) / 2;
            pause = stall.time();
        } else if (fault instanceof Fault.Drip drip) {
            portion = drip.bytes();
            pause = drip.every();
        }
        try (InputStream in = content.open()) {
            for (long left = Math.min(said, content.length()); left > 0; left -= portion) {
                copy(in, http.getResponseBody(), Math.min(left, portion));
                Thread.sleep(left > portion ? pause.toMillis() : 0);
            }
        }
    }

    private static void copy(InputStream in, OutputStream out, long bytes) throws IOException {
        byte[] block = new byte[16 * 1024];
        for (long left = bytes; left > 0;) {
            int count = in.read(block, 0, (int) Math.min(block.length, left));
            out.write(block, 0, count);
            left -= count;
        }
        out.flush();
    }
}
