package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.File;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.Bridge.CommandFailed;
import twitterflex.Bridge.Setting;
import twitterflex.Bridge.Settings;

/** Settings are read once, checked all together, and named in every complaint; nothing falls back silently. */
class SettingsTest {

    private static final String HEX = "0123456789abcdef0123456789ABCDEF";
    private static final Map<String, String> GOOD = Map.ofEntries(
            Map.entry("PUBLIC_URL", "https://bridge.example.com"),
            Map.entry("TWITTER_CONSUMER_KEY", "consumer-key-1"), Map.entry("TWITTER_CONSUMER_SECRET", "consumer-secret-2"),
            Map.entry("TWITTER_ACCESS_KEY", "4337869213-access-token-3"), Map.entry("TWITTER_ACCESS_SECRET", "access-secret-4"),
            Map.entry("TWILIO_ACCOUNT_SID", "AC" + HEX), Map.entry("TWILIO_AUTH_TOKEN", "auth-token-5"),
            Map.entry("FLEX_CHAT_SERVICE", "IS" + HEX), Map.entry("FLEX_WORKSPACE_SID", "WS" + HEX), Map.entry("FLEX_WORKFLOW_SID", "WW" + HEX));

    /** The table of CONTRACT.md. */
    private static final List<String> CONTRACT = List.of("PORT", "HOST", "PUBLIC_URL", "TWITTER_CONSUMER_KEY", "TWITTER_CONSUMER_SECRET",
            "TWITTER_ACCESS_KEY", "TWITTER_ACCESS_SECRET", "TWITTER_CLIENT_SECRET", "TWITTER_API", "TWITTER_API_URL", "TWITTER_CO_HANDLE",
            "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN_NEXT", "TWILIO_API_KEY", "TWILIO_API_SECRET",
            "TWILIO_API_URL", "FLEX_API", "FLEX_CHAT_SERVICE", "FLEX_FLOW_SID", "FLEX_WORKSPACE_SID",
            "FLEX_WORKFLOW_SID", "FLEX_TASK_CHANNEL", "DATA_DIR", "LOG_LEVEL");

    // Values.

    @Test
    void theRequiredSettingsAreEnoughAndTheOthersHaveTheirDefaults() throws CommandFailed {
        Settings settings = Settings.from(GOOD);
        assertEquals(3000, settings.port());
        assertEquals("127.0.0.1", settings.get(Setting.HOST));
        assertEquals("2", settings.get(Setting.TWITTER_API));
        assertEquals("https://api.x.com", settings.twitterApiUrl());
        assertEquals("https://{product}.twilio.com", settings.twilioApiUrl());
        assertEquals("conversations", settings.get(Setting.FLEX_API));
        assertEquals("chat", settings.get(Setting.FLEX_TASK_CHANNEL));
        assertEquals(Path.of("data"), settings.dataDir());
        assertEquals("", settings.get(Setting.TWITTER_CLIENT_SECRET));
        assertEquals("", settings.get(Setting.TWILIO_API_KEY));
    }

    @Test
    void everyMissingSettingIsToldAtOnceWithItsNameAndNothingElse() {
        List<String> problems = problems(Map.of());
        List<String> required = GOOD.keySet().stream().filter(name -> !name.equals("PUBLIC_URL")).sorted().toList();
        for (String name : required) {
            assertEquals(1, problems.stream().filter(problem -> problem.startsWith(name + " ")).count(), name);
        }
        assertTrue(problems.size() <= required.size() + 1, problems.toString());
        assertTrue(problems.stream().allMatch(problem -> problem.length() > 30 && !problem.contains("\n")), "each says what to do");
    }

    @Test
    void whatIsMissingIsToldWithThePlaceToPutItOrTheCommandThatFindsIt() {
        List<String> problems = problems(Map.of());
        assertTrue(problems.stream().allMatch(problem -> problem.endsWith(problem.startsWith("FLEX_") ? "; the command setup finds it out"
                : "; put it into .env, or run setup on a terminal, which asks")), problems.toString());
    }

    /** Marks as Docker, Podman and Kubernetes leave them; the last is a machine that is none of these. */
    @ParameterizedTest
    @CsvSource({".dockerenv, '', true", "run/.containerenv, '', true", "proc/1/cgroup, '12:pids:/docker/0123', true",
            "proc/1/cgroup, '0::/kubepods.slice/pod1', true", "var/run/secrets/kubernetes.io/x, '', true", "proc/1/cgroup, '0::/init.scope', false"})
    void aLoopbackHostInAContainerIsTold(String mark, String content, boolean container, @TempDir Path root) throws Exception {
        Files.createDirectories(root.resolve(mark).getParent());
        Files.writeString(root.resolve(mark), content + "\n");
        for (String host : List.of("127.0.0.1", "localhost", "::1")) {
            assertEquals(container, Settings.from(with("HOST", host)).shutIn(root).isPresent(), host);
        }
        String told = Settings.from(GOOD).shutIn(root).orElse("HOST=0.0.0.0");
        assertTrue(told.contains("HOST=0.0.0.0"), told);
        assertEquals(java.util.Optional.empty(), Settings.from(with("HOST", "0.0.0.0")).shutIn(root));
    }

    @ParameterizedTest(name = "{0}={1}")
    @CsvSource(textBlock = """
            PORT,               65536
            PORT,               99999999999
            PORT,               http
            PORT,               -1
            PUBLIC_URL,         bridge.example.com
            PUBLIC_URL,         http://bridge.example.com
            PUBLIC_URL,         ftp://bridge.example.com
            PUBLIC_URL,         https://
            PUBLIC_URL,         https://bridge.example.com/?a=1
            PUBLIC_URL,         https://bridge example.com
            PUBLIC_URL,         http://localhost.example.com
            TWITTER_API,        3
            TWITTER_API_URL,    http://api.x.com
            TWILIO_API_URL,     https://api.twilio.com
            TWILIO_API_URL,     https://{product}_of.example.com
            TWILIO_ACCOUNT_SID, AC123
            TWILIO_ACCOUNT_SID, SK0123456789abcdef0123456789abcdef
            TWILIO_AUTH_TOKEN,  two words
            FLEX_CHAT_SERVICE,  CH0123456789abcdef0123456789abcdef
            FLEX_WORKSPACE_SID, WW0123456789abcdef0123456789abcdef
            FLEX_WORKFLOW_SID,  WS0123456789abcdef0123456789abcdef
            FLEX_API,           voice
            LOG_LEVEL,          LOUD
            """)
    void aWrongValueIsRefusedByName(String name, String value) {
        List<String> problems = problems(with(name, value));
        assertTrue(problems.get(0).startsWith(name + " "), problems.toString());
        assertEquals(1, problems.size(), "told once");
    }

    @Test
    void aWrongValueIsNotShownBecauseItMayBeASecretInTheWrongPlace() {
        for (String name : List.of("PORT", "PUBLIC_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "FLEX_API", "LOG_LEVEL")) {
            assertFalse(problems(with(name, "my secret-8")).toString().contains("secret-8"), name);
        }
    }

    /** As docker --env-file passes them. */
    @ParameterizedTest(name = "{0}={1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            PORT              | "3000"
            PUBLIC_URL        | "https://bridge.example.com"
            TWILIO_AUTH_TOKEN | 'secret-8'
            TWILIO_AUTH_TOKEN | ""
            TWITTER_CO_HANDLE | "@support_co"
            DATA_DIR          | "/var/lib/bridge"
            """)
    void quotesThatAreStillAroundAValueAreToldAndTheValueIsNotUsed(String name, String value) {
        List<String> problems = problems(with(name, value));
        assertEquals(List.of(name + " has quotes around its value, as docker --env-file leaves them there: write it without them"), problems);
    }

    @Test
    void theFolderOfAJournalIsNotTakenWithItsQuotesEither() {
        CommandFailed wrong = assertThrows(CommandFailed.class, () -> Settings.dataFolder(Map.of("DATA_DIR", "'data'")));
        assertTrue(wrong.getMessage().startsWith("DATA_DIR has quotes around its value"), wrong::getMessage);
    }

    @Test
    void quotesElsewhereInAValueAreItsOwn() throws CommandFailed {
        for (String value : List.of("a\"b\"", "\"", "'", "\"a'", "a'")) {
            assertEquals(value, Settings.from(with("TWILIO_AUTH_TOKEN", value)).get(Setting.TWILIO_AUTH_TOKEN));
        }
    }

    @Test
    void allKindsOfProblemsAreToldTogether() {
        Map<String, String> several = new HashMap<>(GOOD);
        several.keySet().removeAll(List.of("TWITTER_CONSUMER_KEY", "FLEX_WORKFLOW_SID"));
        several.putAll(Map.of("PORT", "65536", "LOG_LEVEL", "LOUD", "TWILIO_API_KEY", "SK" + HEX));
        String problems = String.join("\n", problems(several));
        List.of("TWITTER_CONSUMER_KEY", "FLEX_WORKFLOW_SID", "PORT", "LOG_LEVEL", "TWILIO_API_SECRET")
                .forEach(name -> assertTrue(problems.contains(name), name + " in\n" + problems));
    }

    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource(textBlock = """
            https://bridge.example.com,         https://bridge.example.com
            https://bridge.example.com/,        https://bridge.example.com
            https://bridge.example.com/a/b/,    https://bridge.example.com/a/b
            https://bridge.example.com:8443,    https://bridge.example.com:8443
            https://Bridge.EXAMPLE.com:8443/A/, https://bridge.example.com:8443/A
            http://127.0.0.1:3000/,             http://127.0.0.1:3000
            http://localhost,                   http://localhost
            http://[::1]:3000,                  http://[::1]:3000
            """)
    void aPublicUrlIsHttpsOrLoopbackWithOrWithoutASlash(String given, String understood) throws CommandFailed {
        Settings settings = Settings.from(with("PUBLIC_URL", given));
        assertEquals(understood, settings.publicUrl());
        assertEquals(understood + "/fromFlex?customer=3001969357", settings.fromFlexUrl("3001969357"));
    }

    @Test
    void theLargestPortIsAllowedAndZeroToo() throws CommandFailed {
        assertEquals(65535, Settings.from(with("PORT", "65535")).port());
        assertEquals(0, Settings.from(with("PORT", "0")).port());
    }

    @ParameterizedTest
    @ValueSource(strings = {"TWILIO_API_KEY", "TWILIO_API_SECRET"})
    void anApiKeyAndItsSecretGoTogether(String name) throws CommandFailed {
        String value = name.endsWith("KEY") ? "SK" + HEX : "api-secret-6";
        assertEquals(1, problems(with(name, value)).size());
        Map<String, String> both = with("TWILIO_API_KEY", "SK" + HEX);
        both.put("TWILIO_API_SECRET", "api-secret-6");
        assertEquals("SK" + HEX, Settings.from(both).get(Setting.TWILIO_API_KEY));
    }

    @Test
    void eachFlexApiNeedsItsOwnSettings() throws CommandFailed {
        Map<String, String> chat = with("FLEX_API", "chat");
        assertTrue(problems(chat).get(0).startsWith("FLEX_FLOW_SID "));
        chat.keySet().removeAll(List.of("FLEX_WORKSPACE_SID", "FLEX_WORKFLOW_SID"));
        chat.put("FLEX_FLOW_SID", "FO" + HEX);
        assertEquals("FO" + HEX, Settings.from(chat).get(Setting.FLEX_FLOW_SID));
    }

    @ParameterizedTest(name = "{0}: \"{1}\"")
    @CsvSource(textBlock = """
            4337869213-access-token, 4337869213
            access-token,            ''
            -4337869213,             ''
            """)
    void ourOwnAccountIsKnownByTheAccessToken(String token, String id) throws CommandFailed {
        assertEquals(id, Settings.from(with("TWITTER_ACCESS_KEY", token)).ownId());
    }

    @Test
    void noSecretIsInWhatIsLogged() throws CommandFailed {
        Map<String, String> all = new HashMap<>(GOOD);
        all.putAll(Map.of("TWITTER_CLIENT_SECRET", "client-secret-7", "TWITTER_USER_TOKEN", "user-9",
                "TWILIO_API_KEY", "SK" + HEX, "TWILIO_API_SECRET", "api-secret-6", "TWILIO_AUTH_TOKEN_NEXT", "next-8"));
        String logged = Settings.from(all).toString();
        for (String secret : List.of("consumer-key-1", "consumer-secret-2", "access-token-3", "access-secret-4",
                "auth-token-5", "api-secret-6", "client-secret-7", "next-8", "user-9")) {
            assertFalse(logged.contains(secret), secret + " in " + logged);
        }
        assertTrue(logged.contains("PUBLIC_URL=https://bridge.example.com") && logged.contains("FLEX_API=conversations"), logged);
    }

    @Test
    void settingsStayAsTheyWereReadAndAChangeGivesOthers() throws CommandFailed {
        Settings settings = Settings.from(GOOD);
        assertEquals("0.0.0.0", settings.with(Setting.HOST, "0.0.0.0").get(Setting.HOST));
        assertEquals("127.0.0.1", settings.get(Setting.HOST));
        assertThrows(UnsupportedOperationException.class, () -> settings.values().put(Setting.HOST, "0.0.0.0"));
    }

    // Names.

    @ParameterizedTest
    @CsvSource({"NGROK_URL, PUBLIC_URL", "TWITTER_ACCESS_TOKEN, TWITTER_ACCESS_KEY", "TWITTER_ACCESS_TOKEN_SECRET, TWITTER_ACCESS_SECRET"})
    void anAliasCountsLessThanTheFirstName(String alias, String name) {
        assertEquals("by alias", Settings.canonical(Map.of(alias, "by alias")).get(name));
        assertEquals("by name", Settings.canonical(Map.of(alias, "by alias", name, "by name")).get(name));
        assertEquals("by alias", Settings.canonical(Map.of(alias, "by alias", name, " ")).get(name));
    }

    @Test
    void aBlankValueIsNoneAndWhiteSpaceAroundAValueIsNotPartOfIt() throws CommandFailed {
        assertEquals(Map.of("HOST", "0.0.0.0"), Settings.canonical(Map.of("PORT", "", "LOG_LEVEL", " \t", "HOST", " 0.0.0.0\n")));
        assertEquals(3000, Settings.from(Settings.canonical(with("PORT", ""))).port());
        assertTrue(problems(Settings.canonical(with("TWILIO_AUTH_TOKEN", " "))).get(0).startsWith("TWILIO_AUTH_TOKEN "));
    }

    @Test
    void whatTheBridgeDoesNotKnowIsLeftAlone() throws CommandFailed {
        assertEquals(Map.of(), Settings.canonical(Map.of("PATH", "/bin", "port", "1", "NGROK_TOKEN", "x")));
    }

    @Test
    void everySettingOfTheContractIsDescribedInTheHelp() throws CommandFailed {
        for (String name : names()) {
            assertTrue(Pattern.compile("(?m)^ *" + name + " ").matcher(Settings.describe()).find(), name);
        }
    }

    /** All of them are told by the help and the example; what setup does not find by itself stands in the README, too. */
    @Test
    void theReadmeNamesWhatIsRequiredAndNothingThatIsNoSetting() throws Exception {
        String readme = Files.readString(Path.of("README.md"));
        List<String> named = Pattern.compile("`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`").matcher(readme).results()
                .map(one -> one.group(1)).toList();
        List<String> known = List.copyOf(names());
        assertEquals(List.of(), named.stream().filter(name -> !known.contains(name)).toList());
        List<String> required = Stream.of(Setting.values()).filter(one -> one.neededBy == Bridge.Need.EVERYBODY)
                .map(Enum::name).toList();
        assertEquals(4, required.size());
        assertTrue(named.containsAll(required), named::toString);
    }

    /** The defaults that the README tells are the program's. */
    @Test
    void theReadmeTellsTheDefaultsThatHold() throws Exception {
        String readme = Files.readString(Path.of("README.md"));
        for (Setting setting : List.of(Setting.PORT, Setting.HOST, Setting.FLEX_API, Setting.TWITTER_API, Setting.DATA_DIR)) {
            String row = "(?m)^\\| .*`" + setting + "`.* \\|.*`" + Pattern.quote(setting.fallback) + "`";
            assertTrue(Pattern.compile(row).matcher(readme).find(), setting::name);
        }
    }

    @Test
    void everyFileThatTheReadmeAndTheGuidesLinkToIsThere() throws Exception {
        for (Path page : List.of(Path.of("README.md"), Path.of("src/docs/agents.md"), Path.of("src/docs/operations.md"))) {
            String text = Files.readString(page);
            for (var link : Pattern.compile("\\]\\(([^)#]*)(#[^)]*)?\\)").matcher(text).results().toList()) {
                Path to = link.group(1).isEmpty() ? page : page.resolveSibling(link.group(1)).normalize();
                assertTrue(Files.exists(to), () -> page + " to " + to);
                if (link.group(2) == null) continue;
                boolean there = Files.readString(to).lines().filter(line -> line.startsWith("#")).map(line -> "#" + line
                        .replaceFirst("#+ ", "").toLowerCase(java.util.Locale.ROOT).replaceAll("[^a-z0-9 -]", "").replace(' ', '-'))
                        .anyMatch(link.group(2)::equals);
                assertTrue(there, () -> page + " to " + link.group());
            }
        }
    }

    @Test
    void everySettingIsInTheExampleAndNothingElse() throws Exception {
        String example = Files.readString(Path.of(".env.example"));
        assertEquals(List.of(), names().stream().filter(name -> !Pattern.compile("(?m)^(# ?)?" + name + "=").matcher(example).find()).toList());
        Map<String, String> uncommented = Settings.dotEnv(example.replaceAll("(?m)^# ?(?=[A-Z_]+=)", ""));
        uncommented.keySet().removeAll(names());
        assertEquals(Map.of(), uncommented);
    }

    // The file .env.

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            plain                           | A=b                          | b
            empty                           | A=                           | ``
            spaces around                   | ` A = b `                    | b
            spaces inside                   | A=b c  d                     | b c  d
            an equals sign inside           | A=b=c==                      | b=c==
            a comment after                 | A=b # c                      | b
            a comment after nothing         | A= # c                       | ``
            # without a space before it     | A=b#c                        | b#c
            double quotes                   | A="b c"                      | b c
            double quotes, a comment after  | A="b # c" # d                | b # c
            single quotes                   | A='b # "c"'                  | b # "c"
            spaces kept by quotes           | A="  b  "                    | `  b  `
            empty quotes                    | A=""                         | ``
            an escaped quote                | A="b \\"c\\""                | b "c"
            a backslash in single quotes    | A='b\\c'                     | b\\c
            export                          | export A=b                   | b
            a dollar                        | A=b$c                        | b$c
            a URL                           | A=https://a.example/?b=c&d   | https://a.example/?b=c&d
            """)
    void aLineOfTheFileIsRead(String what, String line, String value) throws CommandFailed {
        assertEquals(Map.of("A", value), Settings.dotEnv(line));
    }

    @Test
    void commentsBlankLinesAByteOrderMarkAndWindowsLineEndsDoNotMatterAndTheLastOneCounts() throws CommandFailed {
        assertEquals(Map.of("A", "3", "B", "2"), Settings.dotEnv("\uFEFFA=1\r\n\r\n# a comment=\r\n  # another\r\nB='2'\r\nA=3\r\n"));
        assertEquals(Map.of(), Settings.dotEnv(""));
    }

    @Test
    void brokenLinesAreToldTogetherByNumberAndNotShown() {
        CommandFailed wrong = assertThrows(CommandFailed.class, () -> Settings.dotEnv("A=1\n\nsecret-8\nB=2\n=secret-8\n2C=secret-8\nD E=secret-8"));
        assertEquals(2, wrong.status);
        assertEquals(List.of("3", "5", "6", "7"), wrong.sentences.stream().map(sentence -> sentence.replaceAll("\\D+", "")).toList());
        assertFalse(wrong.sentences.toString().contains("secret-8"));
    }

    @Test
    void aLongLineIsReadToo() throws CommandFailed {
        String key = "0123456789abcdef".repeat(4_096);
        assertEquals(Map.of("A", key, "B", key, "C", key), Settings.dotEnv("A=" + key + "\nB=\"" + key + "\"\nC='" + key + "'"));
    }

    @Test
    void noFileIsNoSettings(@TempDir Path folder) throws Exception {
        assertEquals(Map.of(), Settings.readDotEnv(folder.resolve(".env")));
        Files.writeString(folder.resolve(".env"), "A=ä");
        assertEquals(Map.of("A", "ä"), Settings.readDotEnv(folder.resolve(".env")));
    }

    @Test
    void aFileThatCannotBeReadIsAWrongSetting(@TempDir Path folder) throws Exception {
        Files.write(folder.resolve("latin1"), new byte[] {'A', '=', (byte) 0xE4});
        for (Path unreadable : List.of(folder, folder.resolve("latin1"))) {
            assertEquals(2, assertThrows(CommandFailed.class, () -> Settings.readDotEnv(unreadable)).status);
        }
    }

    @Test
    void theFileOfTheOriginalApplicationWorksUnchangedWithTheApisOfTheOriginal() throws CommandFailed {
        Settings settings = Settings.from(Settings.canonical(Settings.dotEnv("""
                PORT=
                NGROK_TOKEN=ngrok-token
                NGROK_SUBDOMAIN=bridge
                NGROK_URL=https://bridge.ngrok.io

                TWITTER_CONSUMER_KEY=consumer-key-1
                TWITTER_CONSUMER_SECRET=consumer-secret-2
                TWITTER_ACCESS_KEY=4337869213-access-token-3
                TWITTER_ACCESS_SECRET=access-secret-4
                TWITTER_CO_HANDLE=support_co

                TWILIO_ACCOUNT_SID=AC0123456789abcdef0123456789abcdef
                TWILIO_AUTH_TOKEN=auth-token-5
                FLEX_FLOW_SID=FO0123456789abcdef0123456789abcdef
                FLEX_CHAT_SERVICE=IS0123456789abcdef0123456789abcdef
                FLEX_API=chat
                TWITTER_API=1.1
                """)));
        assertEquals("https://bridge.ngrok.io", settings.publicUrl());
        assertEquals("1.1", settings.get(Setting.TWITTER_API));
        assertEquals("chat", settings.get(Setting.FLEX_API));
        assertEquals(3000, settings.port());
    }

    @Test
    void theEnvironmentWinsOverTheFileUnderAnyNameAndABlankOneDoesNot(@TempDir Path folder) throws Exception {
        Files.writeString(folder.resolve(".env"), "PUBLIC_URL=https://bridge.example.com\nPORT=65536\nTWITTER_API=2\n");
        assertEquals(List.of("PORT", "PUBLIC_URL", "TWITTER_API"),
                wrongWhenStarted(folder, Map.of("NGROK_URL", "ftp://x", "PORT", "", "TWITTER_API", "3"), "PUBLIC_URL", "PORT", "TWITTER_API"));
        assertEquals(List.of(), wrongWhenStarted(folder, Map.of("PORT", "0"), "PUBLIC_URL", "PORT", "TWITTER_API"));
    }

    @Test
    void aWrongValueIsToldWithWhereItStandsAndHowLongItIs(@TempDir Path folder) throws Exception {
        String token = "0123456789abcdef0123456789abcdef";
        Files.writeString(folder.resolve(".env"), "PORT=many\nTWILIO_ACCOUNT_SID=" + token + "\nTWITTER_CONSUMER_SECRET=se cret\n"
                + "PUBLIC_URL=https://me:pass@desk\n");
        try (Command serve = Command.jar(folder, Map.of("NGROK_URL", "", "TWITTER_API", "3", "HOST", "my host"), "serve")) {
            assertEquals(2, serve.status());
            List<String> wrong = serve.errors().lines().filter(line -> line.contains("is not right"))
                    .map(line -> line.replaceFirst(":.*", "")).toList();
            assertEquals(List.of("PUBLIC_URL is not right (length 20, in .env)", "PORT is not right (length 4, in .env)",
                    "HOST is not right (length 7, in the environment)",
                    "TWITTER_CONSUMER_SECRET is not right (length 7, in .env)", "TWITTER_API is not right (length 1, in the environment)",
                    "TWILIO_ACCOUNT_SID is not right (length 32, in .env)"), wrong);
            assertFalse(serve.errors().contains(token) || serve.errors().contains("pass@"), serve.errors());
        }
    }

    /** Else a test would pass or fail by what whoever runs it has set. */
    @Test
    void noSettingOfWhoeverRunsTheTestsReachesAProcessOfTheirs() {
        List<String> names = Bridge.Settings.describe().lines().map(line -> line.strip().split(" ")[0]).toList();
        assertTrue(names.size() > 20 && names.contains("LOG_LEVEL"), names::toString);
        assertEquals(List.of(), names.stream().filter(name -> !name.matches(twitterflex.sandbox.Child.SETTINGS)).toList());
    }

    /** Which of the settings the program itself complains about, started in a folder with too few settings to run. */
    private static List<String> wrongWhenStarted(Path folder, Map<String, String> environment, String... names) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
                String.join(File.pathSeparator, classes(Bridge.class), classes(JsonNode.class), classes(JsonParser.class), classes(JsonInclude.class)),
                "twitterflex.Bridge").directory(folder.toFile()).redirectErrorStream(true);
        builder.environment().clear();
        builder.environment().putAll(environment);
        Process process = builder.start();
        String said = new String(process.getInputStream().readAllBytes(), UTF_8);
        assertTrue(process.waitFor(20, TimeUnit.SECONDS));
        assertEquals(2, process.exitValue(), said);
        assertTrue(said.contains("TWILIO_AUTH_TOKEN is missing"), said);
        return Stream.of(names).filter(name -> Pattern.compile("(?m)^" + name + " ").matcher(said).find()).sorted().toList();
    }

    private static String classes(Class<?> type) throws URISyntaxException {
        return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI()).toString();
    }

    /** Every setting there is: those of the contract and those the program has besides. */
    private static Collection<String> names() throws CommandFailed {
        Collection<String> names = new TreeSet<>(CONTRACT);
        Stream.of(Setting.values()).map(Setting::name).forEach(names::add);
        return names;
    }

    private static Map<String, String> with(String name, String value) {
        Map<String, String> settings = new HashMap<>(GOOD);
        settings.put(name, value);
        return settings;
    }

    private static List<String> problems(Map<String, String> given) {
        CommandFailed wrong = assertThrows(CommandFailed.class, () -> Settings.from(given));
        assertEquals(2, wrong.status);
        return wrong.sentences;
    }

    /** What setup writes, into files as people have them; each must read back, and leave all else as it was. */
    @Test
    void aValueIsWrittenIntoADotEnvOfAnyShape() throws Exception {
        Map<String, String> cases = new LinkedHashMap<>();
        cases.put("", "FLEX_CHAT_SERVICE=IS1\n");
        cases.put("A=1", "A=1\nFLEX_CHAT_SERVICE=IS1\n");
        cases.put("A=1\r\nB=2\r\n", "A=1\r\nB=2\r\nFLEX_CHAT_SERVICE=IS1\r\n");
        cases.put("FLEX_CHAT_SERVICE=\nB=2\n", "FLEX_CHAT_SERVICE=IS1\nB=2\n");
        cases.put("FLEX_CHAT_SERVICE=\r\nB=2", "FLEX_CHAT_SERVICE=IS1\r\nB=2");
        cases.put("\uFEFFFLEX_CHAT_SERVICE=old\n", "\uFEFFFLEX_CHAT_SERVICE=IS1\n");
        cases.put("# first\nexport FLEX_CHAT_SERVICE = 'old'   # why\n", "# first\nexport FLEX_CHAT_SERVICE = IS1   # why\n");
        cases.put("FLEX_CHAT_SERVICE=\"old # one\" # two\n", "FLEX_CHAT_SERVICE=IS1 # two\n");
        cases.put("FLEX_CHAT_SERVICE=   # later\n", "FLEX_CHAT_SERVICE=   IS1 # later\n");
        cases.put("FLEX_CHAT_SERVICE=a\nFLEX_CHAT_SERVICE=b\n", "FLEX_CHAT_SERVICE=a\nFLEX_CHAT_SERVICE=IS1\n");
        cases.put("#FLEX_CHAT_SERVICE=example\n", "#FLEX_CHAT_SERVICE=example\nFLEX_CHAT_SERVICE=IS1\n");
        cases.put("  FLEX_CHAT_SERVICE=x  \n", "  FLEX_CHAT_SERVICE=IS1  \n");
        for (Map.Entry<String, String> one : cases.entrySet()) {
            String changed = Operator.DotEnv.changed(one.getKey(), Setting.FLEX_CHAT_SERVICE, "IS1");
            assertEquals(one.getValue(), changed);
            assertEquals("IS1", Bridge.Settings.dotEnv(changed).get("FLEX_CHAT_SERVICE"));
        }
        assertEquals("NGROK_URL=https://new.example.com\n", Operator.DotEnv.changed("NGROK_URL=\n", Setting.PUBLIC_URL, "https://new.example.com"));
    }

    /** A file that is mounted by itself, as into a container, cannot be replaced by another one. */
    @Test
    void aMountedDotEnvIsWrittenInPlaceAndNoCopyStaysBehind(@TempDir Path folder) throws Exception {
        Path outside = Files.writeString(folder.resolve("outside"), "A=1\nFLEX_CHAT_SERVICE=a-longer-value\nB=2\n");
        Path dotEnv = Files.writeString(folder.resolve(".env"), "");
        assumeTrue(ended("mount", "--bind", outside.toString(), dotEnv.toString()), "skipped: nothing can be mounted here");
        try {
            Operator.DotEnv.write(dotEnv, Setting.FLEX_CHAT_SERVICE, "IS1");
            Operator.DotEnv.write(dotEnv, Setting.FLEX_TASK_CHANNEL, "twitter");
        } finally {
            ended("umount", dotEnv.toString());
        }
        assertEquals("A=1\nFLEX_CHAT_SERVICE=IS1\nB=2\nFLEX_TASK_CHANNEL=twitter\n", Files.readString(outside));
        assertFalse(Files.exists(folder.resolve(".env.new")));
    }

    private static boolean ended(String... command) throws Exception {
        return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0;
    }

    @Test
    void aFullDiskLeavesTheFileAsItWasAndNoCopyBehind(@TempDir Path folder) throws Exception {
        assumeTrue(ended("mount", "-t", "tmpfs", "-o", "size=16k", "none", folder.toString()), "skipped: nothing can be mounted here");
        try {
            Path dotEnv = folder.resolve(".env");
            String before = "A=1\n# " + "x".repeat(4_000) + "\nB=" + "y".repeat(80) + "\n";
            Files.writeString(dotEnv, before);
            assertThrows(IOException.class, () -> Files.write(folder.resolve("everything else"), new byte[1 << 20]));
            assertThrows(IOException.class, () -> Operator.DotEnv.write(dotEnv, Setting.FLEX_CHAT_SERVICE, "IS" + "1".repeat(32)));
            assertEquals(before, Files.readString(dotEnv));
            assertFalse(Files.exists(folder.resolve(".env.new")));
        } finally {
            ended("umount", folder.toString());
        }
    }

    @Test
    void whoWritesAtOnceTakesTurnsAndNothingIsLost(@TempDir Path folder) throws Exception {
        Path dotEnv = folder.resolve(".env");
        List<Setting> all = List.of(Setting.values());
        Files.writeString(folder.resolve(".env.new"), "left by one that was killed");
        ExecutorService writers = Executors.newFixedThreadPool(4);
        List<Future<?>> written = new ArrayList<>();
        for (Setting setting : all) {
            written.add(writers.submit(() -> {
                Operator.DotEnv.write(dotEnv, setting, "value-of-" + setting);
                return null;
            }));
        }
        for (Future<?> one : written) {
            one.get();
        }
        writers.shutdown();
        Map<String, String> found = Settings.dotEnv(Files.readString(dotEnv));
        all.forEach(setting -> assertEquals("value-of-" + setting, found.get(setting.name())));
        assertFalse(Files.exists(folder.resolve(".env.new")));
    }

    @Test
    void theCopyThatAKilledSetupHasLeftIsSweptAway(@TempDir Path folder) throws Exception {
        Path copy = folder.resolve(".env.new");
        for (String command : List.of("serve", "setup")) {
            Files.writeString(copy, "TWILIO_AUTH_TOKEN=secret-8\n");
            try (Command started = Command.jar(folder, Map.of(), command)) {
                assertEquals(2, started.status(), "too little is set");
            }
            assertFalse(Files.exists(copy), command);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"plain", "with space", "a#b", "#a", "a\"b", "back\\slash", "back\\n#slash", "'single'", "dollar$HOME", "a=b", "`x`", "ünï"})
    void aSecretOfAnyCharactersReadsBackAsItWasTyped(String secret) throws Exception {
        String text = Operator.DotEnv.changed("A=1\n", Setting.TWITTER_CONSUMER_SECRET, secret);
        assertEquals(secret, Bridge.Settings.dotEnv(text).get("TWITTER_CONSUMER_SECRET"));
        assertEquals(text, Operator.DotEnv.changed(text, Setting.TWITTER_CONSUMER_SECRET, secret));
    }
}
