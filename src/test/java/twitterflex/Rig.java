package twitterflex;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.stream.Stream;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.Samples;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/** A bridge between the simulated services, in this process, with time compressed. */
final class Rig implements AutoCloseable {

    /** The two generations of both services' APIs; what both promise is tested with both. */
    enum Generation {
        CURRENT("conversations", "2"), CLASSIC("chat", "1.1");

        final String flexApi;
        final String twitterApi;

        Generation(String flexApi, String twitterApi) {
            this.flexApi = flexApi;
            this.twitterApi = twitterApi;
        }
    }

    /** Pauses of 20 ms at most, and of 300 ms for what somebody has to mend; calls end after four seconds. */
    static final Bridge.Timing QUICK = new Bridge.Timing(Duration.ofMillis(2), Duration.ofMillis(20), Duration.ofSeconds(4),
            Duration.ofSeconds(1), Duration.ofSeconds(5), Duration.ofHours(1), Duration.ofHours(1), Duration.ofHours(1));

    /** What no test should have to wait for: how long a call, a half-opened chat and the next look at X's webhook take. */
    private static final Map<String, Duration> OWN_TIME = Map.of("callTimeout", QUICK.callTimeout(),
            "takeOverAfter", QUICK.takeOverAfter(), "quietAfter", QUICK.quietAfter(), "webhookCheck", QUICK.webhookCheck(), "catchUp", QUICK.catchUp());

    private static final Bridge.Request HEALTH = new Bridge.Request("GET", "/healthz", "/healthz", Map.of(), new byte[0]);

    static final HttpClient HTTP = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    final Generation generation;
    final Bridge.Timing timing;
    final SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys());
    final SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample());
    final int port = Ports.free();
    final Path data;
    final Map<String, String> environment;
    Bridge bridge;

    Rig(Generation generation) throws Exception {
        this(generation, Map.of());
    }

    Rig(Generation generation, Map<String, String> changes) throws Exception {
        this(generation, changes, QUICK);
    }

    Rig(Generation generation, Map<String, String> changes, Bridge.Timing timing) throws Exception {
        this.generation = generation;
        this.timing = timing;
        data = Files.createTempDirectory("bridge-test");
        environment = environment(generation, x, flex, port, data);
        environment.putAll(changes);
        x.webhook(url() + "/fromTwitter");
        x.envelope(generation == Generation.CURRENT ? SimulatedX.Envelope.X_ACTIVITY : SimulatedX.Envelope.ACCOUNT_ACTIVITY);
        x.limitReads(1_000_000, Duration.ofMinutes(15));
        x.retryDelays(Duration.ofMillis(50));
        flex.retryDelays(Duration.ofMillis(50));
        start();
    }

    /** The bridge's usual patience in everything, so many times quicker, whatever there is to be patient about. */
    static Bridge.Timing compressed(int times) throws ReflectiveOperationException {
        RecordComponent[] parts = Bridge.Timing.class.getRecordComponents();
        Object[] values = new Object[parts.length];
        for (int i = 0; i < parts.length; i++) {
            Duration usual = (Duration) parts[i].getAccessor().invoke(Bridge.Timing.NORMAL);
            values[i] = OWN_TIME.getOrDefault(parts[i].getName(), usual.dividedBy(times));
        }
        List<String> names = Stream.of(parts).map(RecordComponent::getName).toList();
        if (!names.containsAll(OWN_TIME.keySet())) {
            throw new AssertionError(OWN_TIME.keySet() + " are not all among " + names);
        }
        Class<?>[] types = Stream.of(parts).map(RecordComponent::getType).toArray(Class<?>[]::new);
        return Bridge.Timing.class.getDeclaredConstructor(types).newInstance(values);
    }

    static Map<String, String> environment(Generation generation, SimulatedX x, SimulatedFlex flex, int port, Path data) {
        Map<String, String> all = Samples.settings(x, flex, generation.flexApi, generation.twitterApi, port, data);
        all.put("LOG_LEVEL", "ERROR");
        return all;
    }

    void start() throws Exception {
        bridge = another(Map.of());
    }

    /** One more bridge between the same services. */
    Bridge another(Map<String, String> changes) throws Exception {
        Map<String, String> all = new HashMap<>(environment);
        all.putAll(changes);
        Bridge started = new Bridge(Bridge.Settings.from(Bridge.Settings.canonical(all)), timing, Operator.Watch::new);
        started.start();
        return started;
    }

    String url() {
        return "http://127.0.0.1:" + port;
    }

    Customer customer(String id) {
        return x.customer(id, "handle_" + id, "Name of " + id);
    }

    /** The customer's open chat, as an agent can see it: with a message in it. */
    Chat chat(Customer customer) {
        return eventually("an open chat of " + customer.handle(),
                () -> flex.openChat("twitter-" + customer.id()).filter(open -> !open.messages().isEmpty()).orElse(null));
    }

    /** What the customer himself wrote, as it stands in all his chats, in order. */
    List<String> written(Customer customer) {
        return flex.chats("twitter-" + customer.id()).stream().flatMap(chat -> chat.messages().stream())
                .filter(message -> message.author().equals("twitter-" + customer.id())).map(Chat.Posted::body).toList();
    }

    /** The bridge's notes to the agent, but for those that only say that a busy machine makes him wait. */
    List<String> notes(Chat chat) {
        return chat.messages().stream().filter(message -> message.author().equals(Bridge.NOTE_AUTHOR)).map(Chat.Posted::body)
                .filter(note -> !note.contains("are queued")).toList();
    }

    static List<String> received(Customer customer) {
        return customer.inbox().stream().map(Customer.Received::text).toList();
    }

    /** Refused for good, since the start. */
    int failed() {
        return health().path("failed").asInt();
    }

    /** The reason why the bridge is degraded, or empty if it is not. */
    String trouble() {
        JsonNode health = health();
        return health.path("status").asText().equals("ok") ? "" : health.path("reason").asText("degraded without a reason");
    }

    /** Asked in this process: who waits asks hundreds of times a second. {@link #get} asks as everybody else does. */
    JsonNode health() {
        return Bridge.jsonOrMissing(bridge.answer(HEALTH).body());
    }

    HttpResponse<String> get(String path) throws Exception {
        return HTTP.send(HttpRequest.newBuilder(URI.create(url() + path)).build(), HttpResponse.BodyHandlers.ofString());
    }

    static void until(String what, BooleanSupplier condition) {
        eventually(what, () -> condition.getAsBoolean() ? true : null);
    }

    /** Waits for something to be there; no test passes by luck of timing. */
    static <T> T eventually(String what, Supplier<T> there) {
        return eventually(() -> what, Duration.ofSeconds(90), there);
    }

    /**
     * @param what is asked only when it is missing in the end
     * @param patience much more than it takes, so that only a test that fails waits that long
     */
    static <T> T eventually(Supplier<String> what, Duration patience, Supplier<T> there) {
        Instant end = Instant.now().plus(patience);
        for (int looks = 1;; looks++) {
            T thing = there.get();
            if (thing != null) {
                return thing;
            }
            if (Instant.now().isAfter(end)) {
                throw new AssertionError("not within " + patience.toSeconds() + " s: " + what.get());
            }
            LockSupport.parkNanos(1_000_000L * Math.min(looks, 10));
        }
    }

    /** Nothing is on its way any more, in either direction. */
    void quiet() {
        quiet(Duration.ofSeconds(90));
    }

    void quiet(Duration patience) {
        x.awaitDelivered(Duration.ofSeconds(30));
        flex.awaitDelivered(Duration.ofSeconds(30));
        eventually(() -> "nothing pending: " + health(), patience, () -> health().path("pending").asInt() == 0 ? true : null);
    }

    static void delete(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }

    @Override
    public void close() throws IOException {
        bridge.stop();
        x.close();
        flex.close();
        delete(data);
    }
}
