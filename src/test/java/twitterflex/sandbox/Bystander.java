package twitterflex.sandbox;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.net.ssl.SSLContext;

/** A server on loopback that is neither X nor Flex: it notes who calls it with which credentials, and says the same to everybody. */
public final class Bystander implements AutoCloseable {

    private final HttpServer server;
    private final List<String> calls = new CopyOnWriteArrayList<>();
    private volatile String answer = "{}";

    public Bystander() throws IOException {
        this(HttpServer.create());
    }

    /** The same over TLS. */
    public Bystander(SSLContext tls) throws IOException {
        this(over(tls));
    }

    private static HttpServer over(SSLContext tls) throws IOException {
        HttpsServer server = HttpsServer.create();
        server.setHttpsConfigurator(new HttpsConfigurator(tls));
        return server;
    }

    private Bystander(HttpServer server) throws IOException {
        this.server = server;
        server.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", this::serve);
        server.start();
    }

    private void serve(HttpExchange http) throws IOException {
        try (http) {
            http.getRequestBody().readAllBytes();
            String credentials = String.valueOf(http.getRequestHeaders().getFirst("Authorization"));
            calls.add(http.getRequestMethod() + " " + http.getRequestURI() + " with " + credentials);
            byte[] body = answer.getBytes(StandardCharsets.UTF_8);
            http.getResponseHeaders().set("Content-Type", "application/json");
            http.sendResponseHeaders(200, body.length);
            http.getResponseBody().write(body);
        }
    }

    public int port() {
        return server.getAddress().getPort();
    }

    /** A body of JSON; an empty object at first. */
    public void says(String answer) {
        this.answer = answer;
    }

    /** Each call: method, target and {@code Authorization}. */
    public List<String> calls() {
        return List.copyOf(calls);
    }

    @Override
    public void close() {
        server.stop(0);
    }
}
