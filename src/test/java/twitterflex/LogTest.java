package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.until;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.Refusals;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/** What the operator reads, and what nobody else can make them read: the log of a bridge in a process of its own. */
class LogTest {
    private static final Pattern LINE = Pattern.compile("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}[+-]\\d{4} (\\w+) .+");
    private static World world;

    @BeforeAll
    static void start() throws Exception {
        world = new World(Rig.Generation.CURRENT, Map.of());
    }

    @AfterAll
    static void stop() throws Exception {
        world.close();
    }

    private static List<String> lines(String with) {
        return world.bridge.log().lines().filter(line -> line.contains(with)).toList();
    }

    private static long count(String name) throws Exception {
        URI health = URI.create("http://127.0.0.1:" + world.port + "/healthz");
        HttpRequest request = HttpRequest.newBuilder(health).build();
        String body = Rig.HTTP.send(request, HttpResponse.BodyHandlers.ofString()).body();
        return Bridge.json(body.getBytes(UTF_8)).path(name).asLong();
    }

    @Test
    void aStartBeginsWithTheVersion() {
        String version = world.bridge.log().lines().findFirst().orElse("");
        assertTrue(version.matches(LINE.pattern().replace(" .+", " twitter-flex-bridge [0-9].*, Java [0-9]+.*")), version);
    }

    @Test
    void thatEventsForAnotherAccountArriveIsSaidOnceForEachAccount() throws Exception {
        long ignored = count("ignored");
        long received = count("received");
        for (String account : List.of("222", "333", "222", "222", "333")) {
            String event = world.x.event(world.customer(1), "to " + account)
                    .replace("\"" + SimulatedX.sampleKeys().ownId() + "\"", "\"" + account + "\"");
            assertEquals(200, world.x.post(event).status());
        }
        assertEquals(ignored + 5, count("ignored"));
        assertEquals(received, count("received"));
        until("two lines", () -> lines("arrive here too").size() >= 2);
        assertEquals(1, lines("account 222 ").size());
        assertEquals(1, lines("account 333 ").size());
    }

    @Test
    void anOldMessageIsToldOnceHoweverOftenItIsReplayed() throws Exception {
        String event = world.x.event(world.customer(3), "of 2019")
                .replaceFirst("\"created_timestamp\":\"[0-9]+\"", "\"created_timestamp\":\"1560000000000\"");
        for (int i = 0; i < 5; i++) {
            assertEquals(200, world.x.post(event).status());
        }
        assertEquals(1, lines(" is of 2019-06-08T13:20:00Z: looked for").size());
    }

    @Test
    void strangersGetOneLineAMinuteWithTheirNumber() throws Exception {
        Instant start = Instant.now();
        assertEquals(403, world.x.post("{}".getBytes(UTF_8), Map.of()).status());
        until("the first line", () -> lines("requests refused: ").size() == 1);
        long before = count("rejected");
        for (int i = 0; i < 300; i++) {
            byte[] body = ("{\"n\":" + i + "}").getBytes(UTF_8);
            world.x.post(body, Map.of("x-twitter-webhooks-signature", "sha256=" + i));
        }
        assertEquals(before + 300, count("rejected"));
        // Longer than it takes to be told, were it told.
        LockSupport.parkNanos(Duration.ofMillis(600).toNanos());
        List<String> all = lines("signature");
        assertEquals(lines("requests refused: "), all);
        assertTrue(all.size() <= 1 + Duration.between(start, Instant.now()).toMinutes(), all::toString);
    }

    @Test
    void theNextLineSaysHowManyThereWereSinceTheLast() {
        Bridge.Edge.Refusals refusals = new Bridge.Edge.Refusals();
        long start = System.nanoTime();
        assertEquals(Optional.empty(), refusals.news(start));
        refusals.add(Bridge.Reply.error(403, "no"));
        String first = "requests refused: 1, the last: 403 {\"error\":\"no\"}";
        assertEquals(Optional.of(first), refusals.news(start));
        for (int i = 0; i < 1_000; i++) {
            refusals.add(Bridge.Reply.error(404, "nothing"));
            assertEquals(Optional.empty(), refusals.news(start + Duration.ofMillis(59_999).toNanos()));
        }
        String second = "requests refused: 1000, the last: 404 {\"error\":\"nothing\"}";
        assertEquals(Optional.of(second), refusals.news(start + Duration.ofMinutes(1).toNanos()));
        assertEquals(Optional.empty(), refusals.news(start + Duration.ofMinutes(5).toNanos()));
        assertEquals(1_001, refusals.count());
    }

    @Test
    void levelsGoByTheNamesOfTheSettingInWhateverLanguageTheMachineSpeaks() throws Exception {
        Path folder = Files.createTempDirectory("bridge-test");
        try (SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys()); SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample())) {
            Map<String, String> environment = Rig.environment(Rig.Generation.CURRENT, x, flex, Ports.free(), folder.resolve("data"));
            environment.putAll(Map.of("LOG_LEVEL", "DEBUG", "AUTO_REGISTER", "on", "JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE"));
            x.faults().always("GET /2/webhooks", Refusals.NO_ACCESS);
            try (BridgeProcess bridge = new BridgeProcess(environment, folder)) {
                bridge.start();
                until("an error", () -> bridge.log().contains(" X webhook: "));
                bridge.terminate();
                List<String> lines = bridge.log().lines().filter(line -> !line.startsWith("Picked up ")).toList();
                Set<String> levels = new TreeSet<>();
                for (String line : lines) {
                    assertTrue(LINE.matcher(line).matches(), line);
                    levels.add(LINE.matcher(line).replaceFirst("$1"));
                }
                levels.remove("WARNING");
                assertEquals(Set.of("DEBUG", "ERROR", "INFO"), levels);
            }
        } finally {
            Rig.delete(folder);
        }
    }

    private static final String HOSTILE = "7\n2026-11-23T00:00:00 SEVERE forged\r\u001b[2J\u001b]0;x\u0007\u0085"
            + "\u009b31m\u2028\u202e";

    private static void assertPrintable(String log) {
        assertFalse(Pattern.compile("[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}&&[^\n\t]]").matcher(log).find(), log);
        assertFalse(Pattern.compile("(?m)^2026-11-23T00:00:00 SEVERE").matcher(log).find(), log);
    }

    @Test
    void noIdFromOutsideForgesALineOrPlaysWithTheTerminal() throws Exception {
        String id = new ObjectMapper().writeValueAsString(HOSTILE);
        String event = world.x.event(world.customer(2), "hello")
                .replaceFirst("\"id\":\"[0-9]+\"", Matcher.quoteReplacement("\"id\":" + id));
        assertEquals(200, world.x.post(event).status());
        world.x.post("{\"user_event\":{\"revoke\":{\"source\":{\"user_id\":" + id + "}}}}");
        world.x.post("{\"data\":{\"event_type\":\"chat.received\",\"payload\":{\"sender_id\":" + id + "}}}");
        until("both are told", () -> lines("SEVERE forged").size() >= 2);
        assertPrintable(world.bridge.log());
    }
}
