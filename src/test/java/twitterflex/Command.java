package twitterflex;

import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import twitterflex.sandbox.Child;

/** A command under test: a process whose output is kept in files, which never outlives the test. */
final class Command implements AutoCloseable {

    static final Path JAR = Path.of("target", "twitter-flex-bridge.jar").toAbsolutePath();
    private static final Duration PATIENCE = Duration.ofSeconds(120);

    private final Path out;
    private final Path err;
    private final Process process;
    private final BufferedWriter input;

    /** @param logs a folder for the output; @param environment is added to this process's own without any setting of the bridge; "" removes */
    Command(Path logs, Path folder, Map<String, String> environment, List<String> words) throws IOException {
        out = Files.createTempFile(logs, "command", ".out");
        err = Files.createTempFile(logs, "command", ".err");
        process = Child.process(folder, environment, words).redirectOutput(out.toFile()).redirectError(err.toFile()).start();
        input = process.outputWriter(StandardCharsets.UTF_8);
    }

    /** A command of the jar, in this folder; its output lands there too. */
    static Command jar(Path folder, Map<String, String> environment, String... words) throws IOException {
        List<String> all = Child.java();
        all.addAll(Child.archived(JAR));
        all.addAll(List.of("-jar", JAR.toString()));
        all.addAll(List.of(words));
        return new Command(folder, folder, environment, all);
    }

    void types(String line) throws IOException {
        input.write(line + "\n");
        input.flush();
    }

    void endsInput() throws IOException {
        input.close();
    }

    void awaits(String text) throws IOException, InterruptedException {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (!output().contains(text)) {
            if (System.nanoTime() > end || !process.isAlive() && !output().contains(text)) {
                throw new AssertionError("never said \"" + text + "\" but:\n" + output() + errors());
            }
            Thread.sleep(10);
        }
    }

    /** The exit status, waited for. */
    int status() throws IOException, InterruptedException {
        if (!process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
            throw new AssertionError("still runs after " + PATIENCE + ":\n" + output() + errors());
        }
        return process.exitValue();
    }

    String output() throws IOException {
        return Files.readString(out);
    }

    String errors() throws IOException {
        return Files.readString(err);
    }

    Process process() {
        return process;
    }

    @Override
    public void close() {
        try (Stream<ProcessHandle> children = process.descendants()) {
            children.forEach(ProcessHandle::destroyForcibly);
        }
        process.destroyForcibly();
    }
}
