package twitterflex;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import twitterflex.sandbox.Child;

/** The real jar as a process of its own, to be killed. */
final class BridgeProcess implements AutoCloseable {
    static final Path JAR = Path.of("target/twitter-flex-bridge.jar").toAbsolutePath();

    private final Map<String, String> environment;
    private final List<String> command = new ArrayList<>();
    final Path log;
    private Process process;

    /** @param options of the JVM, which may be {@code -cp …} and what to run instead of the jar, or {@code ulimit …} before it */
    BridgeProcess(Map<String, String> environment, Path folder, String... options) {
        this.environment = environment;
        log = folder.resolve("bridge.log");
        List<String> given = List.of(options);
        if (options.length > 0 && options[0].startsWith("ulimit ")) {
            command.addAll(List.of("bash", "-c", options[0] + "; exec \"$0\" \"$@\""));
            given = given.subList(1, options.length);
        }
        command.addAll(Child.java());
        command.addAll(given);
        if (!given.contains("-cp")) {
            command.addAll(Child.archived(JAR));
            command.addAll(List.of("-jar", JAR.toString()));
        }
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
        process = Child.process(log.getParent(), environment, command).redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile())).start();
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

    void types(String line) throws IOException {
        process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
        process.getOutputStream().flush();
    }

    long pid() {
        return process.pid();
    }

    /** MiB, as Linux tells them by this name, such as VmRSS; 0 where there is no such thing. */
    int memory(String name) throws IOException {
        return figure(name) >> 10;
    }

    int figure(String name) throws IOException {
        Path status = Path.of("/proc/" + process.pid() + "/status");
        List<String> lines = Files.exists(status) ? Files.readAllLines(status) : List.of();
        return lines.stream().filter(line -> line.startsWith(name + ":"))
                .mapToInt(line -> Integer.parseInt(line.replaceAll("[^0-9]", ""))).sum();
    }

    /** A system property of the running JVM. */
    String property(String name) throws IOException {
        String jcmd = Path.of(System.getProperty("java.home"), "bin", "jcmd").toString();
        Process asked = new ProcessBuilder(jcmd, String.valueOf(process.pid()), "VM.system_properties").start();
        Properties all = new Properties();
        all.load(asked.inputReader());
        return all.getProperty(name);
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
