package twitterflex;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedService.Posted;
import twitterflex.sandbox.SimulatedX;

/** Simulated services, the real jar as a process between them, and what everybody has sent: in the end the books must balance. */
final class World implements AutoCloseable {
    static final int CUSTOMERS = 12;

    final Path folder = Files.createTempDirectory("bridge-test");
    final SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys());
    final SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample());
    final int port = Ports.free();
    final BridgeProcess bridge;
    final Map<String, List<String>> sentIn = new ConcurrentHashMap<>();
    final Map<String, List<String>> sentOut = new ConcurrentHashMap<>();
    final Map<String, String> events = new ConcurrentHashMap<>();
    final Map<String, String> sids = new ConcurrentHashMap<>();
    volatile boolean loading = true;

    /** @param changes to the bridge's environment */
    World(Rig.Generation generation, Map<String, String> changes) throws Exception {
        x.webhook("http://127.0.0.1:" + port + "/fromTwitter");
        x.envelope(generation == Rig.Generation.CURRENT ? SimulatedX.Envelope.X_ACTIVITY : SimulatedX.Envelope.ACCOUNT_ACTIVITY);
        x.retryDelays(Collections.nCopies(300, Duration.ofMillis(100)).toArray(Duration[]::new));
        x.limitReads(1_000_000, Duration.ofMinutes(15));
        flex.retryDelays(Duration.ofMillis(200), Duration.ofMillis(400), Duration.ofMillis(800));
        Map<String, String> environment = Rig.environment(generation, x, flex, port, folder.resolve("data"));
        environment.put("LOG_LEVEL", "INFO");
        environment.putAll(changes);
        bridge = new BridgeProcess(environment, folder);
        bridge.start();
    }

    Customer customer(int i) {
        return x.customer(String.valueOf(1000 + i), "handle" + i, "Customer " + i);
    }

    /** Customers and agents write, in turns, until told to stop. */
    Thread load(int seed) {
        Thread thread = new Thread(() -> {
            Random random = new Random(seed);
            for (int n = 0; loading; n++) {
                Customer customer = customer(random.nextInt(CUSTOMERS));
                String text = "m" + n;
                sentIn.computeIfAbsent(customer.id(), id -> Collections.synchronizedList(new ArrayList<>())).add(text);
                events.put(customer.id() + " " + text, customer.writes(text));
                Customer answered = customer(random.nextInt(CUSTOMERS));
                int number = n;
                flex.openChat("twitter-" + answered.id()).filter(chat -> flex.tasks().stream().anyMatch(task -> task.chatSid().equals(chat.sid())))
                        .ifPresent(chat -> {
                            String answer = "a" + number;
                            sentOut.computeIfAbsent(answered.id(), id -> Collections.synchronizedList(new ArrayList<>())).add(answer);
                            sids.put(answered.id() + " " + answer, flex.agentWrites(chat, answer));
                        });
                LockSupport.parkNanos(Duration.ofMillis(25).toNanos());
            }
        });
        thread.start();
        return thread;
    }

    /** @return acknowledged, delivered, lost, doubled, out of order: the last three have to be 0 */
    String books() {
        Set<String> answered = flex.webhookDeliveries().stream().filter(delivery -> delivery.status() == 200)
                .map(SimulatedFlex.WebhookDelivery::messageSid).collect(Collectors.toSet());
        int[] totals = new int[5];
        for (int i = 0; i < CUSTOMERS; i++) {
            Customer customer = customer(i);
            List<String> written = flex.chats("twitter-" + customer.id()).stream().flatMap(chat -> chat.messages().stream())
                    .filter(message -> message.author().equals("twitter-" + customer.id())).map(Chat.Posted::body).toList();
            List<String> in = sentIn.getOrDefault(customer.id(), List.of());
            count(totals, in, in.stream().filter(text -> x.delivered(events.get(customer.id() + " " + text))).toList(), written);
            List<String> out = sentOut.getOrDefault(customer.id(), List.of());
            count(totals, out, out.stream().filter(text -> answered.contains(sids.get(customer.id() + " " + text))).toList(), Rig.received(customer));
        }
        return "acknowledged %d, delivered %d, lost %d, doubled %d, out of order %d".formatted(totals[0], totals[1], totals[2], totals[3], totals[4]);
    }

    /** What was sent and has not arrived, whether its webhook got a 200 or not: nothing, once the bridge has started anew. */
    List<String> missing() {
        List<String> missing = new ArrayList<>();
        for (int i = 0; i < CUSTOMERS; i++) {
            Customer customer = customer(i);
            List<String> arrived = flex.chats("twitter-" + customer.id()).stream().flatMap(chat -> chat.messages().stream()).map(Chat.Posted::body).toList();
            sentIn.getOrDefault(customer.id(), List.of()).stream().filter(text -> !arrived.contains(text)).forEach(missing::add);
            sentOut.getOrDefault(customer.id(), List.of()).stream().filter(text -> !Rig.received(customer).contains(text)).forEach(missing::add);
        }
        return missing;
    }

    /** When the messages arrived that should not have, for whoever has to find out why. */
    String doubled() {
        List<String> found = new ArrayList<>();
        for (int i = 0; i < CUSTOMERS; i++) {
            Customer customer = customer(i);
            List<Customer.Received> inbox = customer.inbox();
            inbox.stream().filter(one -> inbox.stream().filter(other -> other.text().equals(one.text())).count() > 1)
                    .forEach(one -> found.add("to " + customer.id() + " " + one.text() + " at " + one.at() + " as " + one.id()));
            List<Chat.Posted> posted = flex.chats("twitter-" + customer.id()).stream().flatMap(chat -> chat.messages().stream()).toList();
            posted.stream().filter(one -> posted.stream().filter(other -> other.body().equals(one.body()) && other.author().equals(one.author())).count() > 1)
                    .forEach(one -> found.add("from " + customer.id() + " " + one.body() + " at " + one.at() + " as " + one.sid()));
        }
        return found.isEmpty() ? "" : "\n" + String.join("\n", found);
    }

    private static void count(int[] totals, List<String> sent, List<String> acknowledged, List<String> arrived) {
        totals[0] += acknowledged.size();
        totals[1] += arrived.size();
        totals[2] += (int) acknowledged.stream().filter(text -> !arrived.contains(text)).count();
        totals[3] += arrived.size() - new HashSet<>(arrived).size();
        // What was caught up because its webhook got no 200 may come late, if the bridge was not down.
        List<Integer> order = arrived.stream().distinct().filter(acknowledged::contains).map(sent::indexOf).toList();
        for (int i = 1; i < order.size(); i++) {
            totals[4] += order.get(i) < order.get(i - 1) ? 1 : 0;
        }
    }

    void drain() {
        x.faults().clear();
        flex.faults().clear();
        x.awaitDelivered(Duration.ofSeconds(60));
        flex.awaitDelivered(Duration.ofSeconds(60));
        Rig.until("nothing pending", () -> Bridge.jsonOrMissing(get("http://127.0.0.1:" + port + "/healthz").body()).path("pending").asInt(-1) == 0);
    }

    /** Status 0 if nobody answers. */
    static Posted get(String url) {
        try {
            HttpResponse<String> answer = Rig.HTTP.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString());
            return new Posted(answer.statusCode(), answer.body());
        } catch (IOException | InterruptedException unreachable) {
            return new Posted(0, "");
        }
    }

    @Override
    public void close() throws IOException {
        loading = false;
        bridge.close();
        x.close();
        flex.close();
        Rig.delete(folder);
    }
}
