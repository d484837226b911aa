package twitterflex.sandbox;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.IntConsumer;
import java.util.stream.Stream;
import twitterflex.Bridge;

/** The bridge as {@code ./run.sh serve} starts it: a process of its own, from the jar of the class path; it ends with this JVM. */
final class BridgeProcess {

    private static final int LINES_SHOWN = 20;

    /** The public URL has to be known before the bridge is started, so the port cannot be left to it. */
    private final int port = Ports.free();
    private final Path folder = Files.createTempDirectory("twitter-flex-demo");
    private final Path log = folder.resolve("bridge.log");
    private Process process;
    private volatile boolean closing;

    BridgeProcess() throws IOException { }

    /** @param died hears the exit status of a bridge that ends by itself */
    void start(Map<String, String> settings, IntConsumer died) throws IOException {
        Path jar = Path.of(URI.create(Bridge.class.getProtectionDomain().getCodeSource().getLocation().toString()));
        ProcessBuilder builder = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", jar.toString());
        builder.environment().keySet().removeIf(name -> name.matches("(TWITTER|TWILIO|FLEX|MAX)_.*|PUBLIC_URL|NGROK_URL|HOST|LOG_LEVEL"));
        builder.environment().putAll(Map.of("PORT", String.valueOf(port), "PUBLIC_URL", url(), "DATA_DIR", "data"));
        builder.environment().putAll(settings);
        Runtime.getRuntime().addShutdownHook(new Thread(this::close, "close"));
        // Its own folder, so that no .env is read.
        process = builder.directory(folder.toFile()).redirectErrorStream(true).redirectOutput(log.toFile()).start();
        // Ctrl-C reaches the bridge as well; the pause lets our own end be known before its.
        process.onExit().thenRunAsync(() -> {
            if (!closing) {
                died.accept(process.exitValue());
            }
        }, CompletableFuture.delayedExecutor(300, TimeUnit.MILLISECONDS));
    }

    String url() {
        return "http://127.0.0.1:" + port;
    }

    long pid() {
        return process.pid();
    }

    /** What it has logged so far. */
    List<String> log() {
        try {
            return Files.readAllLines(log);
        } catch (IOException gone) {
            return List.of(); // removed at the end
        }
    }

    String lastOfLog() {
        List<String> lines = log();
        List<String> last = lines.subList(Math.max(0, lines.size() - LINES_SHOWN), lines.size());
        return "The bridge's log ends:\n" + String.join("\n", last).indent(4).stripTrailing();
    }

    private void close() {
        closing = true;
        try {
            if (process != null) {
                process.destroyForcibly().waitFor();
            }
            try (Stream<Path> files = Files.walk(folder)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(file);
                }
            }
        } catch (IOException | InterruptedException e) {
            System.err.println("left behind: " + folder + " (" + e + ")");
        }
    }
}
