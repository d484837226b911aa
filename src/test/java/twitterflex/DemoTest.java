package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.sandbox.Child;

/** The demo is the first thing a newcomer sees, so it must work, and must not say that it works when it does not. */
@Execution(ExecutionMode.CONCURRENT)
class DemoTest {

    @TempDir
    private Path logs;

    /** What the demo itself leaves on disk. */
    @TempDir
    private Path temporary;

    private Command demo(String... options) throws IOException {
        return demo("", 30_000, options);
    }

    private Command demo(String firstOfClassPath, int patience, String... options) throws IOException {
        return new Command(logs, logs, Map.of(), demo(firstOfClassPath, patience, false, options));
    }

    private List<String> demo(String firstOfClassPath, int patience, boolean browser, String... options) {
        String classPath = firstOfClassPath + DemoCommand.CLASS_PATH;
        List<String> java = Child.java("-Ddemo.browser=" + browser, "-Djava.io.tmpdir=" + temporary, "-Ddemo.patience=" + patience,
                "-cp", classPath, "twitterflex.demo.Demo");
        java.addAll(1, Child.archived(Command.JAR));
        return Stream.concat(java.stream(), Stream.of(options)).toList();
    }

    private void assertNothingIsLeft() throws IOException {
        try (Stream<Path> left = Files.list(temporary)) {
            assertEquals(List.of(), left.toList());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"--once", "--once --classic --verbose"})
    void everyHopArrives(String options) throws Exception {
        try (Command demo = demo(options.split(" "))) {
            assertEquals(0, demo.status(), () -> text(demo));
            assertTrue(demo.output().matches("(?s).*\\R23 of 23 hops arrived in \\d+ ms\\R"), () -> text(demo));
            assertEquals(23, demo.output().lines().filter(line -> line.startsWith("✓")).count());
            assertFalse(demo.output().contains("✗"));
            assertEquals("", demo.errors());
            assertEquals(options.contains("--verbose"), demo.output().contains("INFO listening on"));
            if (options.contains("--verbose")) {
                assertLogStandsBelowItsHop(demo.output());
            }
            assertNothingIsLeft();
        }
    }

    /** The first message, which opens the chat, and the one after it. */
    private static void assertLogStandsBelowItsHop(String output) {
        List<String> steps = List.of(output.split("(?m)^(?=\\d+\\. )"));
        assertEquals(2, steps.get(2).lines().filter(line -> line.contains("INFO delivered id=")).count(), steps.get(2));
        assertEquals(1, steps.get(3).lines().filter(line -> line.contains("INFO delivered id=")).count(), steps.get(3));
        assertEquals(3, steps.get(4).lines().filter(line -> line.contains("INFO delivered id=")).count(), steps.get(4));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "--classic"})
    void afterwardsBothEndsAreYours(String options) throws Exception {
        try (Command demo = demo(options.isEmpty() ? new String[0] : options.split(" "))) {
            demo.awaits("Your turn:");
            demo.types("c Grüße 🍓");
            demo.awaits("the agent reads:    Grüße 🍓");
            demo.types("a Which one? Options Red, Green");
            demo.awaits(options.isEmpty() ? "2. Green" : "[Green]");
            demo.types("2");
            demo.awaits("the agent reads:    Green");
            demo.types("a Which one? Options " + "Red".repeat(20) + ", Green");
            demo.awaits("the bridge tells the agent: ");
            demo.types("cp It came like this");
            demo.awaits("the agent reads:    It came like this");
            demo.awaits("image/jpeg, 16,769 bytes]");
            demo.types("ap A new one is packed");
            demo.awaits("the customer reads: A new one is packed");
            demo.awaits("the customer reads: [image/png, 34,058 bytes]");
            demo.types("end");
            demo.types("a Still there?");
            demo.awaits("no chat is open");
            demo.types("c Me again");
            demo.awaits("the agent reads:    Me again");
            demo.types("quit");
            assertEquals(0, demo.status(), () -> text(demo));
            assertNothingIsLeft();
        }
    }

    /** That all of it arrives is told above; here the word alone has to start it. */
    @Test
    void theTourCanBePlayedInTheTerminalToo() throws Exception {
        try (Command demo = demo()) {
            demo.awaits("Your turn:");
            assertFalse(demo.output().contains("✓"), () -> text(demo));
            demo.types("tour");
            demo.awaits("✓");
            assertFalse(demo.output().contains("✗"), () -> text(demo));
        }
    }

    @Test
    void withADisplayThePageOpensByItself() throws Exception {
        Path opened = logs.resolve("opened");
        for (String name : List.of("xdg-open", "open")) {
            Path opener = Files.writeString(logs.resolve(name), "#!/bin/sh\necho \"$1\" > '" + opened + "'\n");
            Files.setPosixFilePermissions(opener, PosixFilePermissions.fromString("rwx------"));
        }
        Map<String, String> screen = Map.of("DISPLAY", ":0", "PATH", logs + File.pathSeparator + System.getenv("PATH"));
        try (Command demo = new Command(logs, logs, screen, demo("", 30_000, true))) {
            demo.awaits("Your turn:");
            Rig.until("the browser is asked", () -> Files.exists(opened) && opened.toFile().length() > 0);
            assertTrue(demo.output().contains("The page is open in your browser: " + Files.readString(opened)), () -> text(demo));
            demo.types("quit");
            assertEquals(0, demo.status(), () -> text(demo));
        }
    }

    @Test
    void aScriptEndsItWithItsInputAndWithoutAnyInputItGoesOn() throws Exception {
        try (Command without = demo()) {
            without.endsInput();
            without.awaits("There is no input here: the page goes on until this process is stopped.");
            without.process().destroy();
            without.status();
            assertNothingIsLeft();
        }
        try (Command demo = demo()) {
            demo.types("help");
            demo.endsInput();
            assertEquals(0, demo.status(), () -> text(demo));
            assertTrue(demo.output().contains("The input has ended"));
        }
    }

    @Test
    void aBridgeThatDiesIsToldWithTheLastOfItsLog() throws Exception {
        try (Command demo = demo()) {
            demo.awaits("Your turn:");
            demo.process().children().forEach(ProcessHandle::destroyForcibly);
            assertEquals(1, demo.status(), () -> text(demo));
            assertTrue(demo.output().contains("✗ The bridge has died with status 137."), () -> text(demo));
            assertTrue(demo.output().contains("INFO listening on"));
            assertNothingIsLeft();
        }
    }

    @Test
    void aBridgeThatDiesWhileItPlaysFailsTheDemo() throws Exception {
        try (Command demo = demo("--once")) {
            demo.awaits("is process");
            demo.process().children().forEach(ProcessHandle::destroyForcibly);
            assertEquals(1, demo.status(), () -> text(demo));
            assertFalse(demo.output().contains("23 of 23"), () -> text(demo));
        }
    }

    @Test
    void hopsThatDoNotArriveFailTheDemo() throws Exception {
        try (Command demo = demo(standIn() + File.pathSeparator, 100, "--once")) {
            assertEquals(1, demo.status(), () -> text(demo));
            assertTrue(demo.output().contains("\n0 of 23 hops arrived in "), () -> text(demo));
            assertEquals(23, demo.output().lines().filter(line -> line.startsWith("✗") && line.contains(" ms ")).count());
            assertEquals(23, demo.output().lines().filter(line -> line.contains("expected: ")).count());
            assertTrue(demo.output().contains("I take everything and do nothing"), "the log of the bridge");
            assertNothingIsLeft();
        }
    }

    /** A jar with another program in the place of the bridge. */
    private Path standIn() throws IOException {
        Manifest manifest = new Manifest();
        manifest.getMainAttributes().putValue("Manifest-Version", "1.0");
        manifest.getMainAttributes().putValue("Main-Class", StandIn.class.getName());
        Path jar = logs.resolve("stand-in.jar");
        try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(jar), manifest)) {
            for (Class<?> type : List.of(Bridge.class, StandIn.class)) {
                String name = type.getName().replace('.', '/') + ".class";
                out.putNextEntry(new JarEntry(name));
                try (InputStream code = type.getResourceAsStream("/" + name)) {
                    code.transferTo(out);
                }
            }
        }
        return jar;
    }

    static final class StandIn {
        public static void main(String[] arguments) throws IOException {
            HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(System.getenv("PORT"))), 0);
            server.createContext("/", exchange -> {
                exchange.getRequestBody().readAllBytes();
                exchange.sendResponseHeaders(200, 2);
                exchange.getResponseBody().write(new byte[] {'{', '}'});
                exchange.close();
            });
            server.start();
            System.out.println("I take everything and do nothing");
        }
    }

    @Test
    void whenItIsStoppedTheBridgeStopsToo() throws Exception {
        try (Command demo = demo()) {
            demo.awaits("Your turn:");
            ProcessHandle bridge = demo.process().children().findFirst().orElseThrow();
            demo.process().destroy();
            demo.status();
            assertFalse(bridge.isAlive());
            assertFalse(demo.output().contains("died"), () -> text(demo));
            assertNothingIsLeft();
        }
    }

    @Test
    void thePageCanBeAtAPortOfYours() throws Exception {
        int port = twitterflex.sandbox.Ports.free();
        try (Command demo = demo("--port", String.valueOf(port))) {
            demo.awaits("The page: open http://127.0.0.1:" + port + "/");
            try (Command second = demo("--port", String.valueOf(port))) {
                assertEquals(2, second.status());
                assertTrue(second.errors().matches("the page cannot be at port " + port
                        + " \\(.*\\): give --port another\\R"), second.errors());
            }
        }
        try (Command demo = demo("--port", "many")) {
            assertEquals(2, demo.status());
            assertTrue(demo.errors().startsWith("usage: "), demo.errors());
        }
    }

    @Test
    void whoAsksForHelpGetsTheUsage() throws Exception {
        try (Command demo = demo("--help")) {
            assertEquals(0, demo.status());
            assertTrue(demo.output().startsWith("usage: ./run.sh demo"), demo.output());
        }
    }

    @Test
    void anUnknownOptionIsAnsweredWithTheUsage() throws Exception {
        try (Command demo = demo("--twice")) {
            assertEquals(2, demo.status());
            assertTrue(demo.errors().startsWith("usage: ./run.sh demo [--once] [--classic] [--verbose] [--port N]"));
        }
    }

    private static String text(Command demo) {
        try {
            return demo.output() + demo.errors();
        } catch (IOException e) {
            return e.toString();
        }
    }
}
