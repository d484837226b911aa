package twitterflex.sandbox;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Processes that are started here: with this JVM's Java, as quick to start as can be, and with no setting of whoever runs them. */
public final class Child {

    /** Names of environment variables that are settings of the bridge. */
    public static final String SETTINGS = "(TWITTER|TWILIO|FLEX|MAX|NGROK)_.*|PUBLIC_URL|AUTO_REGISTER|PORT|HOST|DATA_DIR|LOG_LEVEL";

    private static final long TRAINING_SECONDS = 60;

    private Child() { }

    /** The beginning of a command: Java, set for a small program that starts often. */
    public static List<String> java(String... options) {
        List<String> words = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"));
        words.addAll(List.of(options));
        return words;
    }

    /** @param environment is added to this process's own; an empty value removes a variable */
    public static ProcessBuilder process(Path folder, Map<String, String> environment, List<String> words) {
        ProcessBuilder builder = new ProcessBuilder(words).directory(folder.toFile());
        builder.environment().keySet().removeIf(name -> name.matches(SETTINGS));
        builder.environment().putAll(environment);
        builder.environment().values().removeIf(String::isEmpty);
        return builder;
    }

    /**
     * Options with which a program of this jar starts in half the time, once the archive of its classes is made; a JVM whom it
     * does not fit says nothing and does without.
     */
    public static synchronized List<String> archived(Path jar) {
        Path archive = jar.resolveSibling("classes.jsa");
        try {
            if (!Files.exists(archive) || Files.getLastModifiedTime(archive).compareTo(Files.getLastModifiedTime(jar)) < 0) {
                make(archive, jar);
            }
            return Files.size(archive) == 0 ? List.of() : List.of("-XX:SharedArchiveFile=" + archive, "-Xlog:disable");
        } catch (IOException | InterruptedException none) {
            return List.of();
        }
    }

    /** The classes are those that a bridge has loaded when it has carried a message each way. */
    private static void make(Path archive, Path jar) throws IOException, InterruptedException {
        Path folder = Files.createTempDirectory("bridge-archive");
        Path made = archive.resolveSibling("classes." + ProcessHandle.current().pid() + ".jsa");
        int port = Ports.free();
        try (SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys());
                SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample())) {
            Process bridge = process(folder, Samples.settings(x, flex, "conversations", "2", port, folder.resolve("data")),
                    java("-XX:ArchiveClassesAtExit=" + made, "-Xlog:disable", "-jar", jar.toString()))
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD).redirectError(ProcessBuilder.Redirect.DISCARD).start();
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(TRAINING_SECONDS);
            try {
                x.webhook("http://127.0.0.1:" + port + "/fromTwitter");
                Customer ann = x.customer("1", "ann", "Ann");
                ann.writes("hi");
                boolean replied = false;
                while (bridge.isAlive() && ann.inbox().isEmpty() && System.nanoTime() < end) {
                    Chat chat = flex.openChat("twitter-1").filter(open -> !open.messages().isEmpty()).orElse(null);
                    if (chat != null && !replied) {
                        flex.agentWrites(chat, "hello");
                        replied = true;
                    }
                    Thread.sleep(10);
                }
            } finally {
                bridge.destroy();
                if (!bridge.waitFor(TRAINING_SECONDS, TimeUnit.SECONDS)) {
                    bridge.destroyForcibly();
                }
            }
        }
        if (Files.exists(made)) {
            Files.move(made, archive, StandardCopyOption.ATOMIC_MOVE);
        } else {
            // Tried once, and not again before the next jar.
            Files.write(archive, new byte[0]);
        }
        delete(folder);
    }

    private static void delete(Path folder) throws IOException {
        try (var all = Files.walk(folder)) {
            for (Path path : all.sorted(java.util.Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
