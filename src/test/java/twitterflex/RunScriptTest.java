package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code run.sh}, in a copy of the project which has a space in its name, a jar that need not be built, and no {@code .env}. */
class RunScriptTest {

    private static final Map<String, String> TWITTER = Map.of("TWITTER_CONSUMER_KEY", "key", "TWITTER_CONSUMER_SECRET", "secret",
            "TWITTER_ACCESS_KEY", "12-token", "TWITTER_ACCESS_SECRET", "secret", "TWITTER_API_URL", "http://127.0.0.1:1");
    private static final Map<String, String> TWILIO = Map.of("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef", "TWILIO_AUTH_TOKEN", "token",
            "TWILIO_API_URL", "http://127.0.0.1:1/{product}", "FLEX_CHAT_SERVICE", "IS0123456789abcdef0123456789abcdef",
            "FLEX_WORKSPACE_SID", "WS0123456789abcdef0123456789abcdef", "FLEX_WORKFLOW_SID", "WW0123456789abcdef0123456789abcdef");

    private record Ended(int status, String output, String errors) { }

    @TempDir
    private Path folder;
    private Path project;
    private Path elsewhere;
    private Path jar;

    @BeforeEach
    void aCopyOfTheProject() throws IOException {
        project = Files.createDirectory(folder.resolve("a copy"));
        elsewhere = Files.createDirectory(folder.resolve("elsewhere"));
        try (Stream<Path> sources = Stream.concat(Stream.of(Path.of("run.sh"), Path.of("pom.xml")), Files.walk(Path.of("src")))) {
            for (Path source : sources.toList()) {
                Files.copy(source, project.resolve(source), StandardCopyOption.COPY_ATTRIBUTES);
            }
        }
        jar = Files.createDirectory(project.resolve("target")).resolve("twitter-flex-bridge.jar");
        Files.copy(Command.JAR, jar);
        Files.setLastModifiedTime(jar, FileTime.from(Instant.now().plusSeconds(1)));
    }

    private Command started(Map<String, String> environment, String... words) throws IOException {
        Map<String, String> all = new HashMap<>(Map.of("JAVA_HOME", System.getProperty("java.home")));
        all.putAll(environment);
        return new Command(folder, elsewhere, all, Stream.concat(Stream.of(project.resolve("run.sh").toString()), Stream.of(words)).toList());
    }

    private Ended run(Map<String, String> environment, String... words) throws IOException, InterruptedException {
        try (Command script = started(environment, words)) {
            int status = script.status();
            return new Ended(status, script.output(), script.errors());
        }
    }

    /** A folder with a command of that name, which is this shell script. */
    private Path fake(String name, String script) throws IOException {
        Path bin = Files.createDirectories(folder.resolve("fake").resolve("bin"));
        Path command = Files.writeString(bin.resolve(name), "#!/bin/sh\n" + script + "\n");
        assertTrue(command.toFile().setExecutable(true));
        return bin;
    }

    /** The folder of a journal in which nothing stands. */
    private String journal() throws IOException {
        Path data = Files.createDirectories(folder.resolve("journal"));
        Files.writeString(data.resolve("journal.jsonl"), "");
        return data.toString();
    }

    private static String before(Path bin) {
        return bin + File.pathSeparator + System.getenv("PATH");
    }

    /** A folder with the commands which every system has, and nothing else. */
    private Path bareSystem() throws IOException {
        Path bin = folder;
        for (String name : List.of("bash", "env", "dirname", "sed", "head", "find", "cat")) {
            Path found = Pattern.compile(File.pathSeparator).splitAsStream(System.getenv("PATH")).map(path -> Path.of(path, name))
                    .filter(Files::isExecutable).findFirst().orElseThrow();
            bin = fake(name, "exec '" + found + "' \"$@\"");
        }
        return bin;
    }

    private static void assertRefusedInOneLine(String sentence, Ended ended) {
        assertEquals(2, ended.status(), ended::toString);
        assertEquals("", ended.output());
        assertEquals(1, ended.errors().lines().count(), ended::toString);
        assertTrue(ended.errors().contains(sentence), ended::toString);
    }

    // Commands.

    @ParameterizedTest
    @ValueSource(strings = {"help", "-h", "--help"})
    void helpHasALineForEachCommand(String word) throws Exception {
        Ended help = run(Map.of(), word);
        assertEquals(0, help.status(), help::toString);
        assertEquals("", help.errors());
        for (String command : List.of("./run.sh demo", "./run.sh ", "./run.sh test", "./run.sh help")) {
            assertTrue(help.output().lines().anyMatch(line -> line.startsWith(command)), command);
        }
    }

    @Test
    void anUnknownCommandIsRefusedInOneLine() throws Exception {
        assertRefusedInOneLine("unknown command 'dance': try ./run.sh help", run(Map.of(), "dance"));
    }

    // Serving, from a folder that is not the project's.

    @Test
    void everyMissingSettingIsNamed() throws Exception {
        Ended serve = run(Map.of());
        assertEquals(2, serve.status(), serve::toString);
        for (String name : List.of("TWITTER_CONSUMER_KEY", "TWITTER_CONSUMER_SECRET", "TWITTER_ACCESS_KEY", "TWITTER_ACCESS_SECRET",
                "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "FLEX_CHAT_SERVICE", "FLEX_WORKSPACE_SID", "FLEX_WORKFLOW_SID")) {
            assertTrue(serve.errors().lines().anyMatch(line -> line.startsWith(name + " is missing: ")), () -> name + " in " + serve);
        }
        assertTrue(run(Map.of("FLEX_API", "chat"), "serve").errors().contains("FLEX_FLOW_SID is missing: "));
    }

    @Test
    void theEnvFileBesideTheScriptIsReadAndTheEnvironmentWins() throws Exception {
        Files.writeString(project.resolve(".env"), "TWITTER_CONSUMER_KEY=key\nFLEX_CHAT_SERVICE=nonsense\n");
        Ended serve = run(Map.of("FLEX_CHAT_SERVICE", TWILIO.get("FLEX_CHAT_SERVICE")), "serve");
        assertEquals(2, serve.status());
        assertFalse(serve.errors().contains("TWITTER_CONSUMER_KEY"), serve::toString);
        assertFalse(serve.errors().contains("FLEX_CHAT_SERVICE"), serve::toString);
        assertTrue(serve.errors().contains("TWITTER_CONSUMER_SECRET is missing"), serve::toString);
    }

    @Test
    void theSignalThatStopsTheScriptStopsTheBridgeCleanly() throws Exception {
        Map<String, String> settings = new HashMap<>(TWITTER);
        settings.putAll(TWILIO);
        settings.putAll(Map.of("PORT", "0", "PUBLIC_URL", "https://bridge.example"));
        try (Command serve = started(settings)) {
            long end = System.nanoTime() + 30_000_000_000L;
            while (!serve.errors().contains("listening on ")) {
                assertTrue(serve.process().isAlive() && System.nanoTime() < end, serve.errors());
                Thread.sleep(10);
            }
            serve.process().destroy();
            assertEquals(0, serve.status(), serve.errors());
            assertTrue(Files.isDirectory(project.resolve("data")), "the journal is in the project's folder");
        }
    }

    // Starting quickly.

    /** A JDK whose {@code java} notes how it is called, runs that script, and then is the one of this JVM. */
    private Path notingJdk(Path calls, String before) throws IOException {
        Path real = Path.of(System.getProperty("java.home"));
        String script = "echo \"$@\" >> '" + calls + "'\n" + before + "\nexec '" + real.resolve("bin/java") + "' \"$@\"";
        Path home = fake("java", script).getParent();
        Files.copy(real.resolve("release"), home.resolve("release"));
        return home;
    }

    /** What {@code failed} says of an empty journal, after the jar was built by a Maven that has it ready. */
    private Ended built(Path jdk) throws Exception {
        Path ready = Files.copy(jar, folder.resolve("ready.jar"), StandardCopyOption.REPLACE_EXISTING);
        String maven = before(fake("mvn", "cp '" + ready + "' target/twitter-flex-bridge.jar"));
        Files.delete(jar);
        Path temporary = Files.createDirectory(folder.resolve("temporary"));
        Ended ended = run(Map.of("JAVA_HOME", jdk.toString(), "PATH", maven, "DATA_DIR", journal(),
                "TMPDIR", temporary.toString()), "failed");
        try (Stream<Path> left = Stream.concat(Files.list(temporary), Files.list(jar.getParent()))) {
            assertEquals(List.of(), left.filter(file -> !file.toString().matches(".*\\.(jar|jsa)")).toList());
        }
        return ended;
    }

    private List<Path> archives() throws IOException {
        try (Stream<Path> files = Files.list(project.resolve("target"))) {
            return files.filter(file -> file.toString().endsWith(".jsa")).toList();
        }
    }

    @Test
    void theVersionIsReadFromTheJdkAndNoJvmIsStartedForIt() throws Exception {
        Path calls = folder.resolve("calls");
        Path jdk = notingJdk(calls, "");
        assertEquals(0, run(Map.of("JAVA_HOME", jdk.toString(), "DATA_DIR", journal()), "failed").status());
        assertEquals(1, Files.readAllLines(calls).size(), Files.readString(calls));
        // As Debian has it: a link to a link to the JDK's own.
        Path links = Files.createDirectory(folder.resolve("links"));
        Files.createSymbolicLink(links.resolve("alternative"), jdk.resolve("bin/java"));
        Files.createSymbolicLink(links.resolve("java"), Path.of("alternative"));
        assertEquals(0, run(Map.of("JAVA_HOME", "", "PATH", before(links), "DATA_DIR", journal()), "failed").status());
        assertEquals(2, Files.readAllLines(calls).size(), Files.readString(calls));
        Files.writeString(jdk.resolve("release"), "IMPLEMENTOR=\"Elder\"\nJAVA_VERSION=\"11.0.2\"\n");
        assertRefusedInOneLine("Java 11 is too old", run(Map.of("JAVA_HOME", jdk.toString()), "serve"));
        assertEquals(2, Files.readAllLines(calls).size(), Files.readString(calls));
    }

    @Test
    void withTheJarAnArchiveOfItsClassesIsMadeThatFits() throws Exception {
        Path calls = folder.resolve("calls");
        Ended ended = built(notingJdk(calls, ""));
        assertEquals(0, ended.status(), ended::toString);
        assertEquals(1, archives().size(), () -> "made by " + ended);
        String archive = "-XX:SharedArchiveFile=" + archives().get(0);
        assertTrue(Files.readString(calls).lines().anyMatch(call -> call.contains(archive) && call.contains("-jar")),
                Files.readString(calls));
        // With -Xshare:on a JVM whom it does not fit would refuse to start.
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        List<String> onlyWithIt = List.of(java, "-XX:+UseSerialGC", "-Xshare:on", archive, "-jar", jar.toString(), "help");
        try (Command strict = new Command(folder, elsewhere, Map.of(), onlyWithIt)) {
            assertEquals(0, strict.status(), strict.errors());
        }
    }

    @Test
    void anArchiveThatIsBrokenOrOlderThanTheJarChangesNothing() throws Exception {
        Path calls = folder.resolve("calls");
        Path jdk = notingJdk(calls, "");
        Ended whole = built(jdk);
        Path archive = archives().get(0);
        assertTrue(archive.toFile().setWritable(true));
        Files.write(archive, new byte[] {1, 2, 3});
        Ended broken = run(Map.of("JAVA_HOME", jdk.toString(), "DATA_DIR", journal()), "failed");
        assertEquals(0, broken.status(), broken::toString);
        assertEquals("", broken.output());
        assertEquals(whole.errors().lines().skip(1).toList(), broken.errors().lines().toList());
        Files.setLastModifiedTime(archive, FileTime.from(Instant.now().minusSeconds(60)));
        assertEquals(0, run(Map.of("JAVA_HOME", jdk.toString(), "DATA_DIR", journal()), "failed").status());
        List<String> lines = Files.readAllLines(calls);
        assertFalse(lines.get(lines.size() - 1).contains("SharedArchiveFile"), lines::toString);
    }

    @ParameterizedTest
    @ValueSource(strings = {"exit 1", "echo no", "kill -9 $$"})
    void anArchiveThatCannotBeMadeIsDoneWithoutAndNothingIsLeft(String insteadOfTraining) throws Exception {
        Path calls = folder.resolve("calls");
        Ended ended = built(notingJdk(calls, "case \"$*\" in *ArchiveClassesAtExit*) " + insteadOfTraining + "; exit ;; esac"));
        assertEquals(0, ended.status(), ended::toString);
        assertEquals(List.of(), archives());
        assertEquals("", ended.output());
        assertEquals(2, ended.errors().lines().count(), ended::toString);
    }

    // Building.

    @Test
    void itBuildsOnlyWhenASourceIsNewerThanTheJar() throws Exception {
        Path calls = folder.resolve("calls");
        String path = before(fake("mvn", "echo \"$@\" >> '" + calls + "'"));
        assertEquals(0, run(Map.of("PATH", path, "DATA_DIR", journal()), "failed").status());
        assertFalse(Files.exists(calls));
        Files.setLastModifiedTime(project.resolve("src/main/java/twitterflex/Bridge.java"), FileTime.from(Instant.now().plusSeconds(5)));
        assertEquals(0, run(Map.of("PATH", path, "DATA_DIR", journal()), "failed").status());
        assertTrue(Files.readString(calls).contains("-DskipTests package"), Files.readString(calls));
    }

    @Test
    void testsAreMavensAndItsWordsArePassedOn() throws Exception {
        Path calls = folder.resolve("calls");
        String maven = "echo \"$@\" >> '" + calls + "'; printf 'it failed\\033[0m\\n\\033[0m\\033[0m'; exit 7";
        Ended tests = run(Map.of("PATH", before(fake("mvn", maven))), "test", "-Dtest=DemoTest");
        assertEquals(7, tests.status());
        assertEquals("it failed\n", tests.output(), "without the colours that Debian's Maven resets");
        assertTrue(Files.readString(calls).endsWith("verify -Dtest=DemoTest\n"), Files.readString(calls));
    }

    // What is missing is said in one line.

    @Test
    void aJavaTooOldIsRefused() throws Exception {
        Path bin = fake("java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2");
        String sentence = "Java 11 is too old: install a JDK 17 or newer, or point JAVA_HOME at one.";
        assertRefusedInOneLine(sentence, run(Map.of("JAVA_HOME", bin.getParent().toString()), "demo"));
        assertRefusedInOneLine(sentence, run(Map.of("JAVA_HOME", "", "PATH", before(bin)), "serve"));
    }

    @Test
    void aJavaHomeWithoutAJavaIsCalledByItsName() throws Exception {
        assertRefusedInOneLine("JAVA_HOME is /nonexist, where no bin/java is: point it at a JDK 17 or newer, or unset it.",
                run(Map.of("JAVA_HOME", "/nonexist"), "serve"));
    }

    @Test
    void noJavaAtAllIsTold() throws Exception {
        assertRefusedInOneLine("no Java found", run(Map.of("JAVA_HOME", "", "PATH", bareSystem().toString()), "serve"));
    }

    @Test
    void aMissingMavenIsToldWhenItIsNeeded() throws Exception {
        String path = bareSystem().toString();
        assertEquals(0, run(Map.of("PATH", path, "DATA_DIR", journal()), "failed").status());
        Files.delete(jar);
        Ended ended = run(Map.of("PATH", path), "serve");
        assertEquals(2, ended.status(), ended::toString);
        assertTrue(ended.errors().contains("no Maven found: install Maven 3.6.3 or newer"), ended::toString);
        assertRefusedInOneLine("no Maven found", run(Map.of("PATH", path), "test"));
    }
}
