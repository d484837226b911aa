package twitterflex;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
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
import java.util.Arrays;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.sandbox.MediaFile;

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

    private HttpResponse<String> attach(byte[] file, String query, String... headers) throws Exception {
        return Rig.HTTP.send(HttpRequest.newBuilder(URI.create(demo.url() + "do/attach?" + query)).headers(headers)
                .POST(HttpRequest.BodyPublishers.ofByteArray(file)).build(), HttpResponse.BodyHandlers.ofString());
    }

    @Test
    void aFileComesFromThePageAloneIsNotTooLargeAndIsShownAsWhatItIs() throws Exception {
        byte[] picture = Files.readAllBytes(Path.of("src/test/resources/demo/new-box.png"));
        String customer = "customer=3001969357&name=a.html&type=text/html";
        String[] file = {"Content-Type", "application/octet-stream"};
        for (String type : new String[] {"text/plain", "multipart/form-data; boundary=a", "application/json"}) {
            assertEquals(400, attach(picture, customer, "Content-Type", type).statusCode(), type);
        }
        assertEquals(403, attach(picture, customer, file[0], file[1], "Origin", "https://example.com").statusCode());
        assertEquals(409, attach(picture, "customer=1", file).statusCode());
        assertEquals(409, attach(new byte[0], customer, file).statusCode());
        assertEquals(409, attach("<svg xmlns='http://www.w3.org/2000/svg'/>".getBytes(StandardCharsets.UTF_8),
                "customer=3001969357&name=a.png&type=image/png", file).statusCode(), "whatever it is called");
        HttpResponse<String> large = attach(new byte[20 << 20], customer, file);
        assertEquals(413, large.statusCode());
        assertEquals("{\"error\":\"This demo takes files up to 8 MB.\"}", large.body());
        assertEquals(200, attach(picture, customer, file).statusCode());
        String address = demo.url() + "media/" + MediaFile.of("", "", picture).sha256();
        HttpResponse<byte[]> shown = Rig.HTTP.send(HttpRequest.newBuilder(URI.create(address)).build(),
                HttpResponse.BodyHandlers.ofByteArray());
        assertArrayEquals(picture, shown.body());
        assertEquals("image/png", shown.headers().firstValue("Content-Type").orElse(""));
        assertEquals("nosniff", shown.headers().firstValue("X-Content-Type-Options").orElse(""));
        assertEquals("same-origin", shown.headers().firstValue("Cross-Origin-Resource-Policy").orElse(""));
        HttpResponse<byte[]> part = Rig.HTTP.send(HttpRequest.newBuilder(URI.create(address)).header("Range", "bytes=10-19")
                .build(), HttpResponse.BodyHandlers.ofByteArray());
        assertEquals(206, part.statusCode());
        assertArrayEquals(Arrays.copyOfRange(picture, 10, 20), part.body());
        assertEquals("bytes 10-19/" + picture.length, part.headers().firstValue("Content-Range").orElse(""));
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
        assertEquals("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
                + "media-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
                page.headers().firstValue("Content-Security-Policy").orElse(""));
        assertEquals("nosniff", page.headers().firstValue("X-Content-Type-Options").orElse(""));
        assertEquals("same-origin", page.headers().firstValue("Cross-Origin-Resource-Policy").orElse(""),
                "no other page shows the pictures");
        for (String path : new String[] {"passwd", "media/x", "media/" + "0".repeat(64), "media/../demo.js",
            "..%2f..%2fpom.xml", "demo/demo.js", "exchange/999999999", "exchange/99999999999999"}) {
            assertEquals(404, get(demo.url() + path).statusCode(), path);
        }
    }

    @Test
    void itsFilesLoadNothingFromElsewhereAndWriteNoHtml() throws IOException {
        try (Stream<Path> files = Files.list(Path.of("src/test/resources/demo"))) {
            for (Path file : files.filter(one -> one.toString().matches(".*\\.(html|css|js|svg)")).toList()) {
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
