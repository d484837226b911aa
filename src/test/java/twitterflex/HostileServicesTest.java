package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.received;
import static twitterflex.Rig.until;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpHeaders;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Bystander;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.SimulatedX;

/** Services, or proxies before them, that answer what no service should: credentials stay where they belong, and everything is bounded. */
class HostileServicesTest {

    private static final String LIST = "GET /v1/Services/{ChatServiceSid}/ParticipantConversations";
    private static final Duration PATIENCE = Duration.ofSeconds(20);

    /** The list of messages in which one of unknown fate is looked for. */
    private static String messages(Rig.Generation generation) {
        return AnswersTest.POST.get(generation).replace("POST", "GET");
    }

    private static Fault nextPage(Function<JsonNode, String> url) {
        return Fault.changed(page -> {
            ((ObjectNode) page.path("meta")).put("next_page_url", url.apply(page));
            return page;
        });
    }

    // Where a list's next page is.

    @ParameterizedTest
    @EnumSource
    void aNextPageIsReadFromTheConfiguredAddressOrNotAtAll(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation); Bystander evil = new Bystander()) {
            String there = "127.0.0.1:" + evil.port();
            rig.talk("1");
            int customer = 10;
            for (String next : List.of("@" + there + "/v1/x", "http://" + there + "/v1/x", "http://" + there + "/x", "//" + there + "/v1/x",
                    "http://a@" + there + "/v1/x", "." + there + "/v1/x", ":" + evil.port() + "/v1/x", "\\\\" + there + "/v1/x",
                    "http://[", " ", "?", "/../../x", "\u0000")) {
                // In the middle of a talk a message of unknown fate is looked for; a stranger's conversations are listed.
                rig.flex.faults().next(AnswersTest.POST.get(generation), Fault.dropAfter());
                rig.flex.faults().next(messages(generation), nextPage(page -> next));
                rig.flex.faults().next(LIST, nextPage(page -> next));
                rig.customer("1").writes("after " + next);
                rig.quiet(PATIENCE);
                rig.customer(String.valueOf(++customer)).writes("hello");
                rig.quiet(PATIENCE);
                assertEquals(List.of("hello"), rig.written(rig.customer(String.valueOf(customer))), "after " + next);
                assertEquals(1, rig.written(rig.customer("1")).stream().filter(text -> text.equals("after " + next)).count(), next);
                assertEquals(0, rig.failed(), "refused for good after " + next);
                assertEquals(List.of(), rig.flex.violations(), "asked for nonsense after " + next);
            }
            assertEquals(List.of(), evil.calls());
        }
    }

    /** As in life: each of Twilio's products is a host of its own, so what follows the host's name decides who is called. */
    @Test
    void credentialsGoToTwilioAndToNobodyElseWhateverTwilioSays() throws Exception {
        Path folder = Files.createTempDirectory("bridge-test");
        Path keys = folder.resolve("keys");
        run("keytool", "-genkeypair", "-alias", "twilio", "-keyalg", "EC", "-dname", "CN=twilio.test", "-storetype", "PKCS12",
                "-ext", "san=dns:conversations.twilio.test,dns:flex-api.twilio.test,dns:evil.test", "-keystore", keys.toString(),
                "-storepass", "changeit");
        Path hosts = Files.writeString(folder.resolve("hosts"),
                "127.0.0.1 conversations.twilio.test flex-api.twilio.test evil.test conversations.twilio.test.evil.test\n");
        int port = Ports.free();
        try (Bystander twilio = new Bystander(tls(keys)); Bystander evil = new Bystander(tls(keys));
                SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys()); Rig unused = new Rig(Rig.Generation.CURRENT)) {
            Map<String, String> environment = Rig.environment(Rig.Generation.CURRENT, x, unused.flex, port, folder.resolve("data"));
            environment.put("TWILIO_API_URL", "https://{product}.twilio.test:" + twilio.port());
            environment.put("LOG_LEVEL", "INFO");
            environment.put("JDK_JAVA_OPTIONS", "-Djdk.net.hosts.file=" + hosts + " -Djavax.net.ssl.trustStore=" + keys
                    + " -Djavax.net.ssl.trustStorePassword=changeit");
            x.webhook("http://127.0.0.1:" + port + "/fromTwitter");
            try (BridgeProcess bridge = new BridgeProcess(environment, folder)) {
                bridge.start();
                int calls = 0;
                for (String next : List.of("@evil.test:" + evil.port() + "/v1/x", "https://evil.test:" + evil.port() + "/x")) {
                    twilio.says("{\"conversations\":[],\"meta\":{\"key\":\"conversations\",\"next_page_url\":\"" + next + "\"}}");
                    assertEquals(200, x.post(x.event(x.customer("1" + calls, "h", "n"), "hello")).status());
                    int before = calls;
                    until("Twilio was asked", () -> twilio.calls().size() > before || !evil.calls().isEmpty());
                    until("the page was read", () -> bridge.log().contains("waiting id="));
                    calls = twilio.calls().size();
                }
                assertTrue(twilio.calls().get(0).contains("with Basic "), () -> twilio.calls().toString());
                assertEquals(List.of(), evil.calls());
            }
        } finally {
            Rig.delete(folder);
        }
    }

    private static void run(String... command) throws IOException, InterruptedException {
        command[0] = Path.of(System.getProperty("java.home"), "bin", command[0]).toString();
        assertEquals(0, new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start()
                .waitFor());
    }

    private static SSLContext tls(Path keys) throws IOException, GeneralSecurityException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(keys)) {
            store.load(in, "changeit".toCharArray());
        }
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(store, "changeit".toCharArray());
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(factory.getKeyManagers(), null, null);
        return context;
    }

    @ParameterizedTest
    @EnumSource
    void aListWhoseNextPageIsItselfIsGivenUp(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            rig.x.echoes(false);
            rig.talk("1");
            String list = generation == Rig.Generation.CURRENT ? LIST : messages(generation);
            rig.flex.faults().next(AnswersTest.POST.get(generation), Fault.dropAfter());
            rig.flex.faults().always(list, nextPage(page -> page.at("/meta/url").asText()));
            String id = generation == Rig.Generation.CURRENT ? "2" : "1";
            rig.customer(id).writes("hello");
            Rig.eventually(() -> rig.flex.calls(list) + " calls, " + rig.health(), PATIENCE,
                    () -> !rig.trouble().isEmpty() || rig.health().path("pending").asInt() == 0 ? true : null);
            assertTrue(rig.flex.calls(list) < 3_000, () -> rig.flex.calls(list) + " calls");
            rig.flex.faults().clear();
            rig.quiet();
            assertEquals(1, rig.written(rig.customer(id)).stream().filter("hello"::equals).count());
            assertEquals(0, rig.failed());
        }
    }

    @ParameterizedTest
    @EnumSource
    void aLookUpWhoseNextCursorIsItsOwnIsGivenUp(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            rig.x.echoes(false);
            Chat chat = rig.talk("1");
            rig.x.faults().next(AnswersTest.SEND.get(generation), Fault.dropBefore());
            rig.x.faults().always(AnswersTest.LOOK.get(generation), Fault.changed(page -> generation == Rig.Generation.CURRENT
                    ? page.toString().replaceFirst("\"meta\":\\{", "\"meta\":{\"next_token\":\"9999999999999999999\",")
                    : ((ObjectNode) page).put("next_cursor", "9999999999999999999")));
            rig.flex.agentWrites(chat, "once");
            Rig.eventually(() -> rig.health().toString(), PATIENCE,
                    () -> !rig.trouble().isEmpty() || rig.health().path("pending").asInt() == 0 ? true : null);
            assertTrue(rig.x.calls() < 500, () -> rig.x.calls() + " calls");
            rig.x.faults().clear();
            rig.quiet();
            assertEquals(List.of("once"), received(rig.customer("1")));
            assertEquals(0, rig.failed());
        }
    }

    // How much is said.

    @ParameterizedTest
    @EnumSource
    void anAnswerOf250MegabytesIsNotReadToItsEnd(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            rig.x.echoes(false);
            Chat chat = rig.talk("1");
            AtomicLong taken = new AtomicLong();
            Fault large = Fault.large(250_000_000, taken);
            rig.x.faults().next(AnswersTest.SEND.get(generation), large);
            rig.flex.agentWrites(chat, "one");
            rig.quiet(PATIENCE);
            rig.x.faults().next(AnswersTest.SEND.get(generation), Fault.dropAfter());
            rig.x.faults().next(AnswersTest.LOOK.get(generation), large);
            rig.flex.agentWrites(chat, "two");
            rig.quiet(PATIENCE);
            rig.flex.faults().next(AnswersTest.POST.get(generation), large);
            rig.customer("1").writes("three");
            rig.quiet(PATIENCE);
            rig.flex.faults().next(AnswersTest.OPENING.get(generation).get(0), large);
            rig.customer("2").writes("four");
            rig.quiet(PATIENCE);
            assertEquals(List.of("one", "two"), received(rig.customer("1")));
            assertEquals(List.of("hi", "three"), rig.written(rig.customer("1")));
            assertEquals(List.of("four"), rig.written(rig.customer("2")));
            assertEquals(0, rig.failed());
            // 4 MiB each, and what was on its way.
            assertTrue(taken.get() < 60_000_000, () -> taken + " bytes were taken");
        }
    }

    @Test
    void inSixtyFourMegabytesAnAnswerOf250CostsOnlyThatTry() throws Exception {
        try (World world = new World(Rig.Generation.CLASSIC, Map.of("JDK_JAVA_OPTIONS", "-Xmx64m"))) {
            Customer ann = world.customer(0);
            Chat chat = world.talk(ann);
            Fault large = Fault.large(250_000_000, new AtomicLong());
            String send = AnswersTest.SEND.get(Rig.Generation.CLASSIC);
            world.x.faults().next(send, large, large, large);
            for (int i = 0; i < 3; i++) {
                world.flex.agentWrites(chat, "reply " + i);
            }
            until("all replies", () -> received(ann).size() >= 3);
            world.drain();
            assertEquals(List.of("reply 0", "reply 1", "reply 2"), received(ann));
            assertFalse(world.bridge.log().contains("OutOfMemoryError"), world.bridge::log);
        }
    }

    // What is said of time.

    @ParameterizedTest
    @EnumSource
    void aWrongHeaderDateDecidesNothing(Rig.Generation generation) throws Exception {
        for (Duration off : List.of(Duration.ofHours(1), Duration.ofHours(-1), Duration.ofDays(365 * 7_973), Duration.ofDays(-365 * 50))) {
            try (Rig rig = new Rig(generation)) {
                rig.x.dates(off);
                rig.flex.dates(off);
                Customer ann = rig.customer("1");
                ann.writes("hello");
                rig.quiet(PATIENCE);
                assertEquals(List.of("hello"), rig.written(ann), () -> "with dates off by " + off);
                Chat chat = rig.chat(ann);
                rig.x.faults().next(AnswersTest.SEND.get(generation), Fault.dropAfter());
                rig.flex.faults().next(AnswersTest.POST.get(generation), Fault.dropAfter());
                rig.flex.agentWrites(chat, "reply");
                ann.writes("thanks");
                rig.quiet(PATIENCE);
                assertEquals(List.of("reply"), received(ann), () -> "with dates off by " + off);
                assertEquals(List.of("hello", "thanks"), rig.written(ann), () -> "with dates off by " + off);
                assertEquals(1, rig.flex.tasks().size());
                assertEquals(1, chat.webhookUrls().size());
                assertEquals(0, rig.failed());
            }
        }
    }

    private static Duration pause(int status, String... headers) {
        Map<String, List<String>> all = new TreeMap<>();
        for (int i = 0; i < headers.length; i += 2) {
            all.put(headers[i], List.of(headers[i + 1]));
        }
        return new Bridge.Response("X", "POST api.x.com/", status, HttpHeaders.of(all, (name, value) -> true), MissingNode.getInstance(), "",
                true, false, Instant.now()).pause();
    }

    @Test
    void whatAServiceSaysOfTimeIsBelievedUpToAnHourAndOfTheDaysLimitUpToADay() {
        Duration hour = Duration.ofHours(1);
        String never = "999999999999";
        assertEquals(hour, pause(429, "Retry-After", "999999999"));
        assertEquals(hour, pause(503, "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"));
        assertEquals(hour, pause(429, "x-rate-limit-reset", never));
        assertEquals(hour, pause(200, "x-rate-limit-remaining", "0", "x-rate-limit-reset", never));
        assertEquals(Duration.ZERO, pause(200, "x-rate-limit-remaining", "3", "x-rate-limit-reset", never));
        assertEquals(Duration.ofDays(1), pause(429, "x-user-limit-24hour-remaining", "0", "x-user-limit-24hour-reset", never));
        assertEquals(Duration.ZERO, pause(403, "x-user-limit-24hour-remaining", "7", "x-user-limit-24hour-reset", never));
        assertEquals(Duration.ofDays(1), pause(429, "Retry-After", "60", "x-app-limit-24hour-remaining", "0", "x-app-limit-24hour-reset", never));
        assertEquals(Duration.ofSeconds(7), pause(503, "Retry-After", "7"));
        for (String nonsense : List.of("-5", "soon", "1e9", "", "99999999999999999999", "Thu, 01 Jan 1970 00:00:00 GMT")) {
            assertEquals(Duration.ZERO, pause(429, "Retry-After", nonsense), nonsense);
        }
    }
}
