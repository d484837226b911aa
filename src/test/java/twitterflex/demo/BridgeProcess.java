package twitterflex.demo;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.IntConsumer;
import java.util.stream.Stream;
import twitterflex.Bridge;
import twitterflex.sandbox.Child;
import twitterflex.sandbox.Ports;

/** The bridge as {@code ./run.sh serve} starts it: a process of its own, from the jar of the class path; it ends with this JVM. */
final class BridgeProcess {

    private static final int LINES_SHOWN = 20;

    /** The public URL has to be known before the bridge is started, so the port cannot be left to it. */
    private final int port = Ports.free();
    private final Path folder = Files.createTempDirectory("twitter-flex-demo");
    private final Path log = folder.resolve("bridge.log");
    private Map<String, String> settings;
    private IntConsumer died;
    private volatile Process process;
    private volatile boolean closing;

    BridgeProcess() throws IOException { }

    /** @param died hears the exit status of a bridge that ends by itself */
    void start(Map<String, String> settings, IntConsumer died) throws IOException {
        this.settings = settings;
        this.died = died;
        Runtime.getRuntime().addShutdownHook(new Thread(this::close, "close"));
        launch();
    }

    /** Starts it, for the first time or again, on the same port and folder; one that was not killed stays. */
    synchronized boolean launch() throws IOException {
        if (closing || process != null) {
            return false;
        }
        Path jar = Path.of(URI.create(Bridge.class.getProtectionDomain().getCodeSource().getLocation().toString()));
        Map<String, String> environment = new HashMap<>(settings);
        environment.putAll(Map.of("PORT", String.valueOf(port), "PUBLIC_URL", url(), "DATA_DIR", "data"));
        // Its own folder, so that no .env is read.
        Process started = Child.process(folder, environment, Child.java("-jar", jar.toString())).redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile())).start();
        process = started;
        // Ctrl-C reaches the bridge as well; the pause lets our own end be known before its.
        started.onExit().thenRunAsync(() -> {
            if (!closing && started == process) {
                died.accept(started.exitValue());
            }
        }, CompletableFuture.delayedExecutor(300, TimeUnit.MILLISECONDS));
        return true;
    }

    /** As {@code kill -9} does: no hook runs, nothing is flushed. Its death is not told. */
    synchronized void kill() {
        Process victim = process;
        process = null;
        if (victim == null) {
            return;
        }
        try {
            // Not onExit().join(): that may need the very thread of the common pool that is ending this JVM.
            victim.destroyForcibly().waitFor();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    boolean runs() {
        Process running = process;
        return running != null && running.isAlive();
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
            kill();
            try (Stream<Path> files = Files.walk(folder)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(file);
                }
            }
        } catch (IOException e) {
            System.err.println("left behind: " + folder + " (" + e + ")");
        }
    }
}
