package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The demo's page is for whoever sits before it: no other site, and nothing that was typed, gets a hold of it. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class DemoPageIsGuardedTest {

    private DemoCommand demo;

    @BeforeAll
    void start(@TempDir Path logs) throws Exception {
        demo = new DemoCommand(logs);
    }

    @AfterAll
    void stop() throws IOException {
        demo.close();
    }

    private HttpResponse<String> post(String action, String body, String... headers) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(demo.url() + "do/"
                + action)).POST(HttpRequest.BodyPublishers.ofString(body));
        return Rig.HTTP.send((headers.length == 0 ? request : request.headers(headers)).build(), HttpResponse.BodyHandlers.ofString());
    }

    private static HttpResponse<String> get(String url) throws Exception {
        return Rig.HTTP.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString());
    }

    @Test
    void onlyTheDemosOwnPageMayActAndOnlyWithJson() throws Exception {
        String own = demo.url().replaceAll("/$", "");
        assertEquals(200, post("customer", "{}", "Content-Type", "application/json", "Origin", own).statusCode());
        assertEquals(403, post("customer", "{}", "Content-Type", "application/json", "Origin", "https://example.com").statusCode());
        assertEquals(403, post("customer", "{}", "Content-Type", "application/json", "Origin", "null").statusCode());
        assertEquals(400, post("customer", "{}", "Content-Type", "text/plain").statusCode(), "a form of another site needs no permission");
        assertEquals(400, post("customer", "{}").statusCode());
        assertEquals(400, post("customer", "{", "Content-Type", "application/json").statusCode());
        assertEquals(400, post("write", "{\"text\":\"" + "x".repeat(70_000) + "\"}", "Content-Type", "application/json").statusCode());
        assertEquals(400, post("everything", "{}", "Content-Type", "application/json").statusCode());
        assertEquals(409, post("accept", "{\"chat\":\"CH0\"}", "Content-Type", "application/json").statusCode());
        assertEquals(405, Rig.HTTP.send(HttpRequest.newBuilder(URI.create(demo.url())).DELETE().build(),
                HttpResponse.BodyHandlers.ofString()).statusCode());
    }

    @ParameterizedTest
    @ValueSource(strings = {"/", "/events", "/exchange/1", "/demo.js"})
    void aNameThatOnlyLeadsHereGetsNothing(String path) throws Exception {
        try (Socket socket = new Socket("127.0.0.1", URI.create(demo.url()).getPort())) {
            socket.getOutputStream().write(("GET " + path + " HTTP/1.1\r\nHost: example.com:80\r\nConnection: close\r\n\r\n")
                    .getBytes(StandardCharsets.US_ASCII));
            assertTrue(new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8).startsWith("HTTP/1.1 403 "));
        }
    }

    @Test
    void aPolicyKeepsEverythingElseOut() throws Exception {
        HttpResponse<String> page = get(demo.url());
        assertEquals("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; frame-ancestors 'none'; "
                + "base-uri 'none'; form-action 'none'", page.headers().firstValue("Content-Security-Policy").orElse(""));
        assertEquals("nosniff", page.headers().firstValue("X-Content-Type-Options").orElse(""));
        for (String path : new String[] {"passwd", "..%2f..%2fpom.xml", "demo/demo.js", "exchange/999999999", "exchange/99999999999999"}) {
            assertEquals(404, get(demo.url() + path).statusCode(), path);
        }
    }

    @Test
    void itsFilesLoadNothingFromElsewhereAndWriteNoHtml() throws IOException {
        try (Stream<Path> files = Files.list(Path.of("src/test/resources/demo"))) {
            for (Path file : files.toList()) {
                String text = Files.readString(file);
                assertFalse(text.matches("(?s).*(innerHTML|outerHTML|insertAdjacentHTML|document\\.write|eval\\(|new Function).*"),
                        file.toString());
                assertFalse(text.matches("(?s).*(src=|href=|url\\(|@import |import )[\"']?(https?:)?//.*"), file.toString());
                assertFalse(text.matches("(?s).*<[^>]* (style|on[a-z]+)=.*") && file.toString().endsWith(".html"), file.toString());
            }
        }
    }

    @Test
    void noneOfItIsInTheJar() throws IOException {
        try (JarFile jar = new JarFile(Command.JAR.toFile())) {
            assertEquals(0, jar.stream().filter(entry -> entry.getName().startsWith("demo/") || entry.getName().contains("/sandbox/"))
                    .count());
            assertTrue(jar.stream().anyMatch(entry -> entry.getName().equals("twitterflex/Bridge.class")));
        }
    }
}
