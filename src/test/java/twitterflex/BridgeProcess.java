package twitterflex;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The real jar as a process of its own, to be killed. */
final class BridgeProcess implements AutoCloseable {
    static final Path JAR = Path.of("target/twitter-flex-bridge.jar").toAbsolutePath();

    private final Map<String, String> environment;
    final Path log;
    private Process process;

    BridgeProcess(Map<String, String> environment, Path folder) {
        this.environment = environment;
        log = folder.resolve("bridge.log");
    }

    /** Starts it and waits until it answers. */
    void start() throws IOException {
        launch();
        URI alive = URI.create("http://127.0.0.1:" + environment.get("PORT") + "/");
        Rig.until("the bridge answers", () -> {
            try {
                return Rig.HTTP.send(HttpRequest.newBuilder(alive).build(), HttpResponse.BodyHandlers.discarding()).statusCode() == 200;
            } catch (IOException notYet) {
                if (!process.isAlive()) {
                    throw new AssertionError("the bridge ended: " + log());
                }
                return false;
            } catch (InterruptedException never) {
                throw new AssertionError(never);
            }
        });
    }

    void launch() throws IOException {
        ProcessBuilder builder = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", JAR.toString());
        builder.directory(log.getParent().toFile());
        builder.environment().keySet().removeIf(name -> name.matches("(TWITTER|TWILIO|FLEX)_.*|PUBLIC_URL|NGROK_URL"));
        builder.environment().putAll(environment);
        builder.redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()));
        process = builder.start();
    }

    /** As the kernel does when memory runs out: no hook runs, nothing is flushed. */
    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    /** SIGTERM. @return the exit status */
    int terminate() throws InterruptedException {
        process.destroy();
        if (!process.waitFor(15, TimeUnit.SECONDS)) {
            throw new AssertionError("still running 15 s after SIGTERM");
        }
        return process.exitValue();
    }

    int waitFor() throws InterruptedException {
        if (!process.waitFor(15, TimeUnit.SECONDS)) {
            throw new AssertionError("still running");
        }
        return process.exitValue();
    }

    String log() {
        try {
            return Files.readString(log);
        } catch (IOException none) {
            return "";
        }
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}
