package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.until;

import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpRequest;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import twitterflex.sandbox.Ports;

/** One call to a service, whatever happens in between. */
class CallingOutTest {
    private final Bridge.Client client = new Bridge.Client(Duration.ofSeconds(4), (service, status) -> { });

    private Bridge.Response call(int port) {
        return client.call("nobody", HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/"))
                .POST(HttpRequest.BodyPublishers.ofString("x")));
    }

    @Test
    void aRefusedConnectionIsKnownToHaveDoneNothing() {
        Bridge.Response answer = call(Ports.free());
        assertFalse(answer.sent(), answer::trouble);
    }

    @Test
    void aClientThatHasLostItsSelectorIsReplaced() throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        server.start();
        try {
            assertEquals(200, call(server.getAddress().getPort()).status());
            String first = client.http.orElseThrow().toString();
            String number = first.replaceAll(".*\\(|\\)", "");
            Thread selector = Thread.getAllStackTraces().keySet().stream()
                    .filter(thread -> thread.getName().equals("HttpClient-" + number + "-SelectorManager")).findFirst().orElseThrow();
            selector.interrupt();
            selector.join();
            assertEquals(0, call(server.getAddress().getPort()).status(), "the broken client fails once");
            assertEquals(200, call(server.getAddress().getPort()).status());
            assertNotEquals(first, client.http.orElseThrow().toString());
        } finally {
            server.stop(0);
        }
    }

    @Test
    void theClientSaysWhoItIs() throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        StringBuilder seen = new StringBuilder();
        server.createContext("/", exchange -> {
            seen.append(exchange.getRequestHeaders().getFirst("User-Agent"));
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        server.start();
        try {
            call(server.getAddress().getPort());
            until("the request", () -> !seen.isEmpty());
            assertTrue(seen.toString().startsWith("twitter-flex-bridge/"), seen::toString);
        } finally {
            server.stop(0);
        }
    }

    /** Without a text of our own a message cannot be told from another; but a photo somebody sent in the X app has none. */
    @Test
    void aListInWhichAMessageOfOursHasNoTextIsNoAnswerUnlessItIsAPhoto() {
        String event = "{'events':[{'id':'1','created_timestamp':'1795689888220','message_create':{'sender_id':'2','target':"
                + "{'recipient_id':'9'},'message_data':{'text':''%s}}}]}";
        Bridge.Promise listed = Bridge.XApi.V1_1.listed("9");
        assertFalse(listed.keptBy(Bridge.jsonOrMissing(event.formatted("").replace('\'', '"'))));
        assertTrue(listed.keptBy(Bridge.jsonOrMissing(event.formatted(",'attachment':{'type':'media'}").replace('\'', '"'))));
        String event2 = "{'data':[{'id':'1','created_at':'2026-11-26T10:00:00.000Z','sender_id':'2','text':''%s}],'meta':{'result_count':1}}";
        listed = Bridge.XApi.V2.listed("9");
        assertFalse(listed.keptBy(Bridge.jsonOrMissing(event2.formatted("").replace('\'', '"'))));
        assertTrue(listed.keptBy(Bridge.jsonOrMissing(event2.formatted(",'attachments':{}").replace('\'', '"'))));
    }
}
