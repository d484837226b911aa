package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static twitterflex.Rig.until;

import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import twitterflex.sandbox.SimulatedX;

/** What the operator reads, and what nobody else can make them read: the log of a bridge in a process of its own. */
class LogTest {
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
}
