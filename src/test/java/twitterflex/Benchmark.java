package twitterflex;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import twitterflex.sandbox.Child;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.Samples;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/**
 * What the bridge costs, as a table. It is no part of the suite. Each argument is a built tree, whose {@code run.sh} is started; they
 * take turns, so that whatever else the machine does befalls all of them. Linux only.
 *
 * <pre>
 *   java -Drounds=7 -cp target/twitter-flex-bridge.jar:target/test-classes twitterflex.Benchmark . /tmp/another-tree
 * </pre>
 */
public final class Benchmark {

    private static final int ROUNDS = Integer.getInteger("rounds", 7);
    private static final int ACKS = Integer.getInteger("acks", 20_000);
    private static final int DELIVERIES = Integer.getInteger("deliveries", 3_000);
    private static final int CONNECTIONS = 32;
    private static final int CUSTOMERS = 200;
    /** Of /proc/…/stat: 100 a second, on every Linux there is. */
    private static final double TICK_MILLIS = 10;

    /** Of each figure the name, with its values of all rounds. */
    private final Map<String, List<Double>> figures = new LinkedHashMap<>();
    private final Path script;

    private Benchmark(Path tree) {
        script = tree.resolve("run.sh").toAbsolutePath().normalize();
    }

    public static void main(String[] trees) throws Exception {
        List<Benchmark> all = Stream.of(trees).map(Path::of).map(Benchmark::new).toList();
        for (int round = 0; round < ROUNDS; round++) {
            for (Benchmark one : all) {
                one.acknowledges();
                one.delivers();
            }
        }
        System.out.printf("%n%-38s", "median (least to most) of " + ROUNDS);
        all.forEach(one -> System.out.printf("  %-28s", one.script.getParent().getFileName()));
        System.out.println();
        for (String name : all.get(0).figures.keySet()) {
            System.out.printf("%-38s", name);
            all.forEach(one -> System.out.printf("  %-28s", shown(one.figures.get(name))));
            System.out.println();
        }
    }

    private static String shown(List<Double> values) {
        double[] sorted = values.stream().mapToDouble(value -> value).sorted().toArray();
        return "%.6g (%.4g to %.4g)".formatted(sorted[sorted.length / 2], sorted[0], sorted[sorted.length - 1]);
    }

    private void note(String figure, double value) {
        figures.computeIfAbsent(figure, first -> new ArrayList<>()).add(value);
    }

    // The bridge.

    /** A bridge that has answered, in a folder of its own. */
    private final class Running implements AutoCloseable {
        final int port = Ports.free();
        final Path folder = Files.createTempDirectory("benchmark");
        final Process process;
        final double startMillis;

        Running(SimulatedX x, SimulatedFlex flex, Map<String, String> changes) throws Exception {
            Map<String, String> all = new HashMap<>(Samples.settings(x, flex, "conversations", "2", port, folder));
            all.put("LOG_LEVEL", "ERROR");
            all.putAll(changes);
            long began = System.nanoTime();
            process = Child.process(folder, all, List.of(script.toString())).redirectErrorStream(true)
                    .redirectOutput(folder.resolve("log").toFile()).start();
            while (!answers()) {
                if (!process.isAlive()) throw new IllegalStateException(Files.readString(folder.resolve("log")));
                Thread.sleep(1);
            }
            startMillis = (System.nanoTime() - began) / 1e6;
        }

        private boolean answers() {
            try (Connection one = new Connection(port)) {
                return one.answer("GET / HTTP/1.1\r\nHost: bridge\r\n\r\n".getBytes(US_ASCII)).startsWith("200");
            } catch (IOException notYet) {
                return false;
            }
        }

        long count(String counter) throws IOException {
            try (Connection one = new Connection(port)) {
                String health = one.answer("GET /healthz HTTP/1.1\r\nHost: bridge\r\n\r\n".getBytes(US_ASCII));
                return Bridge.jsonOrMissing(health.substring(3)).path(counter).asLong();
            }
        }

        double cpuMillis() throws IOException {
            String stat = Files.readString(Path.of("/proc/" + process.pid() + "/stat"));
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            return TICK_MILLIS * (Long.parseLong(fields[11]) + Long.parseLong(fields[12]));
        }

        double mebibytes(String name) throws IOException {
            return Files.readAllLines(Path.of("/proc/" + process.pid() + "/status")).stream().filter(line -> line.startsWith(name + ":"))
                    .mapToDouble(line -> Double.parseDouble(line.replaceAll("[^0-9]", "")) / 1024).sum();
        }

        @Override
        public void close() throws IOException {
            process.destroy();
            process.onExit().join();
            try (Stream<Path> files = Files.walk(folder)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.delete(file);
            }
        }
    }

    /** Kept alive, as the services do, and with as little work as can be on this side. */
    private static final class Connection implements AutoCloseable {
        private final Socket socket;
        private final InputStream in;

        Connection(int port) throws IOException {
            socket = new Socket("127.0.0.1", port);
            socket.setTcpNoDelay(true);
            in = new BufferedInputStream(socket.getInputStream());
        }

        /** @return status and body */
        String answer(byte[] request) throws IOException {
            socket.getOutputStream().write(request);
            String status = line().substring("HTTP/1.1 ".length(), "HTTP/1.1 ".length() + 3);
            int length = 0;
            for (String header = line(); !header.isEmpty(); header = line()) {
                if (header.regionMatches(true, 0, "content-length:", 0, 15)) length = Integer.parseInt(header.substring(15).strip());
            }
            return status + new String(in.readNBytes(length), UTF_8);
        }

        private String line() throws IOException {
            StringBuilder line = new StringBuilder();
            for (int next = in.read(); next != '\n'; next = in.read()) {
                if (next < 0) throw new IOException("the connection ended");
                if (next != '\r') line.append((char) next);
            }
            return line.toString();
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    // What is measured.

    private static List<byte[]> webhooks(SimulatedX x, int count) {
        List<Customer> customers = new ArrayList<>();
        for (int i = 0; i < CUSTOMERS; i++) customers.add(x.customer(String.valueOf(1_000 + i), "c" + i, "Customer " + i));
        List<byte[]> webhooks = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            byte[] body = x.event(customers.get(i % CUSTOMERS), "Where is my box number " + i + "?").getBytes(UTF_8);
            String head = "POST /fromTwitter HTTP/1.1\r\nHost: bridge\r\nContent-Type: application/json\r\nx-twitter-webhooks-signature: "
                    + x.sign(body) + "\r\nContent-Length: " + body.length + "\r\n\r\n";
            byte[] whole = Arrays.copyOf(head.getBytes(US_ASCII), head.length() + body.length);
            System.arraycopy(body, 0, whole, head.length(), body.length);
            webhooks.add(whole);
        }
        return webhooks;
    }

    /** @return how long each took, in milliseconds, sorted */
    private static double[] posted(int port, List<byte[]> webhooks) throws Exception {
        double[] millis = new double[webhooks.size()];
        AtomicInteger next = new AtomicInteger();
        List<Thread> threads = new ArrayList<>();
        AtomicInteger wrong = new AtomicInteger();
        for (int i = 0; i < CONNECTIONS; i++) {
            Thread thread = new Thread(() -> {
                try (Connection one = new Connection(port)) {
                    for (int mine = next.getAndIncrement(); mine < millis.length; mine = next.getAndIncrement()) {
                        long began = System.nanoTime();
                        if (!one.answer(webhooks.get(mine)).startsWith("200")) wrong.incrementAndGet();
                        millis[mine] = (System.nanoTime() - began) / 1e6;
                    }
                } catch (IOException broken) {
                    wrong.incrementAndGet();
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) thread.join();
        if (wrong.get() > 0) throw new IllegalStateException(wrong + " webhooks were not answered 200");
        Arrays.sort(millis);
        return millis;
    }

    /** Webhooks are taken, every one on disk, while Flex cannot be reached: nothing else is to be done. */
    private void acknowledges() throws Exception {
        try (SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys());
                SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample());
                Running bridge = new Running(x, flex, Map.of("TWILIO_API_URL", "http://127.0.0.1:1/{product}"))) {
            note("start to first 200 [ms]", bridge.startMillis);
            Thread.sleep(3_000);
            note("memory when idle [MiB]", bridge.mebibytes("VmRSS"));
            List<byte[]> webhooks = webhooks(x, ACKS * 5 / 4);
            posted(bridge.port, webhooks.subList(ACKS, webhooks.size()));
            double before = bridge.cpuMillis();
            long began = System.nanoTime();
            double[] millis = posted(bridge.port, webhooks.subList(0, ACKS));
            note("acknowledged per second", ACKS * 1e9 / (System.nanoTime() - began));
            note("  per second of CPU", ACKS * 1e3 / (bridge.cpuMillis() - before));
            note("  p50 [ms]", millis[millis.length / 2]);
            note("  p99 [ms]", millis[millis.length * 99 / 100]);
            note("  most memory meanwhile [MiB]", bridge.mebibytes("VmHWM"));
        }
    }

    /** Messages of customers whose conversation is known, to the simulated Flex. */
    private void delivers() throws Exception {
        try (SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys());
                SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample());
                Running bridge = new Running(x, flex, Map.of())) {
            List<byte[]> webhooks = webhooks(x, DELIVERIES + 5 * CUSTOMERS);
            posted(bridge.port, webhooks.subList(0, 5 * CUSTOMERS));
            awaitDelivered(bridge, 5 * CUSTOMERS);
            double before = bridge.cpuMillis();
            long began = System.nanoTime();
            posted(bridge.port, webhooks.subList(5 * CUSTOMERS, webhooks.size()));
            awaitDelivered(bridge, webhooks.size());
            note("CPU per delivered message [ms]", (bridge.cpuMillis() - before) / DELIVERIES);
            note("  delivered per second", DELIVERIES * 1e9 / (System.nanoTime() - began));
            note("  most memory while delivering [MiB]", bridge.mebibytes("VmHWM"));
        }
    }

    private static void awaitDelivered(Running bridge, int count) throws Exception {
        long end = System.nanoTime() + Duration.ofMinutes(3).toNanos();
        while (bridge.count("delivered") < count) {
            if (System.nanoTime() > end) throw new IllegalStateException(bridge.count("delivered") + " of " + count + " were delivered");
            Thread.sleep(20);
        }
    }
}
