package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static twitterflex.Rig.until;

import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.SocketException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/** What strangers can take is bounded, and whatever they do, those who have a signature are answered: in a small heap. */
@Order(1)
class EdgeTest {
    private static final String FORM = "application/x-www-form-urlencoded";
    /** What the bridge itself needs, and what strangers can take of the heap. */
    private static final String HEAP = "-Xmx48m";
    private static final String START_OF_A_REQUEST = "POST /fromTwitter HTTP/1.1\r\nHost: localhost\r\nContent-Le";
    private static final SimulatedX X = new SimulatedX(0, SimulatedX.sampleKeys());
    private static final SimulatedFlex FLEX = new SimulatedFlex(0, SimulatedFlex.Account.sample());

    private static Path folder;
    private static int port;
    private static BridgeProcess bridge;
    /** MiB of the bridge before anything is asked of it but some webhooks. */
    private static int idle;

    @BeforeAll
    static void start() throws Exception {
        folder = Files.createTempDirectory("bridge-test");
        port = Ports.free();
        bridge = new BridgeProcess(Rig.environment(Rig.Generation.CURRENT, X, FLEX, port, folder.resolve("data")), folder, HEAP);
        bridge.start();
        for (int i = 0; i < 50; i++) {
            honest(port, 40_000);
        }
        idle = bridge.memory("VmRSS");
    }

    @AfterAll
    static void stop() throws Exception {
        bridge.kill();
        X.close();
        FLEX.close();
        Rig.delete(folder);
    }

    /** A webhook of each service, signed, on connections of their own; nothing comes of them. @return milliseconds */
    private static long honest(int port, int bytes) throws IOException {
        long start = System.nanoTime();
        byte[] event = ("{\"text\":\"" + "x".repeat(bytes) + "\"}").getBytes(UTF_8);
        String signed = "POST /fromTwitter HTTP/1.1\r\nx-twitter-webhooks-signature: " + X.sign(event);
        assertEquals("200", answer(port, signed, event));
        Map<String, String> form = new TreeMap<>(Map.of("AccountSid", SimulatedFlex.Account.sample().accountSid(),
                "EventType", "onMessageUpdated", "Body", "x".repeat(bytes)));
        String body = form.entrySet().stream().map(field -> field.getKey() + "=" + field.getValue())
                .collect(Collectors.joining("&"));
        String signature = FLEX.sign("http://127.0.0.1:" + port + "/fromFlex?customer=1", form);
        assertEquals("200", answer(port, "POST /fromFlex?customer=1 HTTP/1.1\r\nContent-Type: " + FORM
                + "\r\nX-Twilio-Signature: " + signature, body.getBytes(UTF_8)));
        return Duration.ofNanos(System.nanoTime() - start).toMillis();
    }

    /** @return the status, or nothing if the connection is closed without an answer */
    private static String answer(int port, String head, byte[] body) throws IOException {
        try (Socket socket = new Socket("127.0.0.1", port); InputStream in = socket.getInputStream()) {
            socket.setSoTimeout(20_000);
            String rest = "\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " + body.length + "\r\n\r\n";
            socket.getOutputStream().write((head + rest).getBytes(UTF_8));
            socket.getOutputStream().write(body);
            String answer = new String(in.readAllBytes(), UTF_8);
            return answer.isEmpty() ? "" : answer.split(" ")[1];
        } catch (SocketException reset) {
            return "";
        }
    }

    /** Connections on which the same is written, and nothing is read. */
    private static List<Socket> strangers(int port, int count, String written) throws Exception {
        List<Socket> sockets = new CopyOnWriteArrayList<>();
        byte[] bytes = written.getBytes(UTF_8);
        ExecutorService writers = Executors.newFixedThreadPool(16);
        CountDownLatch opened = new CountDownLatch(count);
        for (int i = 0; i < count; i++) {
            writers.execute(() -> {
                try {
                    Socket socket = new Socket("127.0.0.1", port);
                    sockets.add(socket);
                    opened.countDown();
                    socket.getOutputStream().write(bytes);
                } catch (IOException closed) {
                    opened.countDown();
                }
            });
        }
        writers.shutdown();
        opened.await();
        // What is stalled cannot all be written.
        writers.awaitTermination(1, TimeUnit.SECONDS);
        return sockets;
    }

    @ParameterizedTest(name = "{0} connections with {1}")
    @CsvSource({"1000, 330 KB of headers", "1000, 330 KB of a request line", "1000, 16 KB of headers but for their end",
        "1000, the start of a request", "1000, a body announced", "60, a body but for its last byte",
        "200, requests and nobody to read the answers", "16, forms of 1 MiB that nobody signed", "1500, nothing"})
    void strangersLockNobodyOutAndTakeLittle(int count, String what) throws Exception {
        String post = "POST /fromFlex HTTP/1.1\r\nHost: a\r\nContent-Type: " + FORM + "\r\nContent-Length: 1048576\r\n\r\n";
        List<Socket> strangers = strangers(port, count, switch (what) {
            case "330 KB of headers" -> "GET / HTTP/1.1\r\nHost: a\r\nX: " + "a".repeat(330_000);
            case "330 KB of a request line" -> "GET /" + "a".repeat(330_000);
            case "16 KB of headers but for their end" -> "GET / HTTP/1.1\r\nHost: a\r\nX: " + "a".repeat(15_800);
            case "the start of a request" -> START_OF_A_REQUEST;
            case "a body announced" -> post;
            case "a body but for its last byte" -> post + "a".repeat((1 << 20) - 1);
            case "requests and nobody to read the answers" -> "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10_000);
            case "forms of 1 MiB that nobody signed" -> (post + "a&".repeat(1 << 19)).repeat(10);
            default -> "";
        });
        try {
            for (int i = 0; i < 4; i++) {
                honest(port, 1_000);
                honest(port, 40_000);
            }
        } finally {
            for (Socket stranger : strangers) {
                stranger.close();
            }
        }
        until("as fast as before", () -> fast(port));
        int peak = bridge.memory("VmHWM");
        assertTrue(peak - idle <= 64, "from " + idle + " to " + peak + " MiB");
        assertFalse(bridge.log().contains("OutOfMemoryError"), bridge::log);
    }

    private static boolean fast(int port) {
        try {
            return honest(port, 1_000) < 500;
        } catch (IOException closed) {
            throw new AssertionError(closed);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"GET /?%s HTTP/1.1", "GET / HTTP/1.1\r\nX-Long: %s"})
    void lineAndHeadersMayTake16KB(String head) throws IOException {
        assertEquals("200", answer(port, head.formatted("a".repeat(15_000)), new byte[0]));
        assertEquals("", answer(port, head.formatted("a".repeat(17_000)), new byte[0]));
    }

    /** A proxy that is not told keeps the connection, and loses the next webhook on it. */
    @Test
    void whoAsksForTheConnectionsEndIsToldThatItEnds() throws IOException {
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.setSoTimeout(20_000);
            socket.getOutputStream().write("GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n".getBytes(UTF_8));
            String answer = new String(socket.getInputStream().readAllBytes(), UTF_8);
            assertTrue(answer.contains("\r\nConnection: close\r\n"), answer);
        }
    }

    @ParameterizedTest(name = "{0} is {1} to {2}: {3}")
    @CsvSource({"sun.net.httpserver.idleInterval, 121, 300, longer than nginx (60) and Caddy (120) keep theirs",
        "jdk.httpclient.keepalive.timeout, 1, 14, shorter than the services' front ends keep theirs (15)",
        "sun.net.httpserver.maxReqTime, 5, 15, nobody takes for ever to ask",
        "sun.net.httpserver.maxRspTime, 11, 20, nor to read; a webhook may wait 10 for the disk"})
    void theSecondsThatTheJdkIsGiven(String property, int least, int most, String why) throws Exception {
        int seconds = Integer.parseInt(bridge.property(property));
        assertTrue(seconds >= least && seconds <= most, property + " is " + seconds);
    }

    /** Each thread takes 64 MiB of addresses, so that there are some thirty to be had. */
    private static BridgeProcess withFewThreads(int port) throws IOException {
        assumeTrue(Files.exists(Path.of("/proc/self/status")), "skipped: ulimit -v is Linux's");
        Path home = Files.createTempDirectory(folder, "narrow");
        Map<String, String> environment = Rig.environment(Rig.Generation.CURRENT, X, FLEX, port, home.resolve("data"));
        environment.put("MALLOC_ARENA_MAX", "1");
        BridgeProcess bridge = new BridgeProcess(environment, home, "ulimit -v 4000000", HEAP, "-Xss64m",
                "-XX:ReservedCodeCacheSize=32m", "-XX:CompressedClassSpaceSize=32m");
        bridge.start();
        return bridge;
    }

    @Test
    void aThreadThatCannotBeHadIsDoneWithout() throws Exception {
        int narrow = Ports.free();
        try (BridgeProcess small = withFewThreads(narrow)) {
            List<Socket> strangers = strangers(narrow, 200, START_OF_A_REQUEST);
            for (int i = 0; i < 8; i++) {
                honest(narrow, 1_000);
            }
            int threads = small.figure("Threads");
            assertTrue(threads > 15 && threads < 100, threads + " threads");
            for (Socket stranger : strangers) {
                stranger.close();
            }
            until("as fast as before", () -> fast(narrow));
        }
    }

    @Test
    void aLargeBodyIsRefusedWhenTheRoomForThemIsInUseAndASmallOneIsNot() throws Exception {
        int free = Ports.free();
        Map<String, String> environment = Rig.environment(Rig.Generation.CURRENT, X, FLEX, free, folder.resolve("none"));
        Semaphore working = new Semaphore(0);
        CountDownLatch end = new CountDownLatch(1);
        Bridge.Edge edge = new Bridge.Edge(Bridge.Settings.from(environment), Map.of(
                "POST /slow", request -> {
                    working.release();
                    await(end);
                    return Bridge.Reply.text("done");
                },
                "POST /", request -> Bridge.Reply.text(String.valueOf(request.body().length))));
        edge.start();
        try {
            List<CompletableFuture<HttpResponse<String>>> slow = List.of(post(free, "/slow", 1 << 20), post(free, "/slow", 1 << 20));
            working.acquire(2);
            HttpResponse<String> refused = post(free, "/", 1 << 20).get();
            assertEquals(503, refused.statusCode());
            assertEquals("5", refused.headers().firstValue("retry-after").orElse(""));
            for (int small : List.of(0, 2_000, 200_000)) {
                assertEquals(String.valueOf(small), post(free, "/", small).get().body());
            }
            end.countDown();
            for (CompletableFuture<HttpResponse<String>> one : slow) {
                assertEquals("done", one.get().body());
            }
            assertEquals(String.valueOf(1 << 20), post(free, "/", 1 << 20).get().body());
            assertEquals(413, post(free, "/", (1 << 20) + 1).get().statusCode());
            assertEquals(413, post(free, "/", 20 << 20).get().statusCode());
        } finally {
            edge.stop();
        }
    }

    private static CompletableFuture<HttpResponse<String>> post(int port, String path, int bytes) {
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path))
                .POST(HttpRequest.BodyPublishers.ofByteArray(new byte[bytes])).build();
        return Rig.HTTP.sendAsync(request, HttpResponse.BodyHandlers.ofString());
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException never) {
            throw new AssertionError(never);
        }
    }

    @Test
    void aMessageForWhichNoThreadCanBeHadIsDeliveredOnceThereIsOne() throws Exception {
        int narrow = Ports.free();
        try (BridgeProcess small = withFewThreads(narrow)) {
            X.webhook("http://127.0.0.1:" + narrow + "/fromTwitter");
            List<Socket> strangers = strangers(narrow, 200, START_OF_A_REQUEST);
            for (int i = 0; i < 5; i++) {
                X.customer("77" + i, "h" + i, "n").writes("kept");
            }
            X.awaitDelivered(Duration.ofSeconds(60));
            assertTrue(small.figure("Threads") < 100, small.figure("Threads") + " threads");
            for (Socket stranger : strangers) {
                stranger.close();
            }
            for (int i = 0; i < 5; i++) {
                String identity = "twitter-77" + i;
                until("it reaches an agent", () -> FLEX.chats(identity).stream()
                        .anyMatch(chat -> chat.messages().stream().anyMatch(posted -> posted.body().equals("kept"))));
            }
        }
    }
}
