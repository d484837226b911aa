package twitterflex.demo;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import twitterflex.sandbox.Form;
import twitterflex.sandbox.Json;
import twitterflex.sandbox.MediaFile;

/**
 * The demo's page, on loopback only: its files, the stage as server-sent events, an exchange in full, and what can be done.
 * Only the page itself may ask: requests under another host's name, or from another site's page, are refused.
 */
final class DemoServer {

    private static final Map<String, String> TYPES = Map.of("html", "text/html; charset=utf-8", "css", "text/css; charset=utf-8",
            "js", "text/javascript; charset=utf-8", "svg", "image/svg+xml", "jpg", "image/jpeg", "png", "image/png",
            "pdf", "application/pdf");
    private static final Set<String> FILES = Set.of("demo.css", "demo.js", "icon.svg", "crushed-box.jpg", "new-box.png",
            "invoice.pdf");
    private static final Map<String, String> GUARDS = Map.of("Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
            + "media-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            "X-Content-Type-Options", "nosniff", "Referrer-Policy", "no-referrer", "Cache-Control", "no-store",
            "Cross-Origin-Resource-Policy", "same-origin");
    private static final int LARGEST_BODY = 64 << 10;
    /** Bytes; what is larger the sandbox would not keep. */
    private static final int LARGEST_FILE = 8 << 20;
    private static final Pattern RANGE = Pattern.compile("bytes=(\\d{1,9})-(\\d{0,9})");
    private static final int MOST_WATCHERS = 16;
    private static final long LOOK_EVERY = 100; // milliseconds; an exchange on the wire is told at once
    private static final int BREATHE_EVERY = 50; // looks: a comment shows whether the watcher is still there

    private record Answer(int status, String type, byte[] body, Map<String, String> headers) {
        Answer(int status, String type, byte[] body) {
            this(status, type, body, Map.of());
        }

        static Answer json(int status, JsonNode body) {
            return new Answer(status, "application/json", body.toString().getBytes(UTF_8));
        }

        static Answer error(int status, String sentence) {
            return json(status, Json.object("error", sentence));
        }
    }

    private final Stage stage;
    private final Guide guide;
    private final DemoState state;
    private final HttpServer server;
    private final Semaphore watchers = new Semaphore(MOST_WATCHERS);

    /** @param port 0: any free one */
    DemoServer(Stage stage, int port) throws IOException {
        this.stage = stage;
        guide = new Guide(stage);
        state = new DemoState(stage, guide);
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 64);
        server.setExecutor(Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task, "page");
            thread.setDaemon(true);
            return thread;
        }));
        server.createContext("/", this::handle);
        server.start();
    }

    String url() {
        return "http://127.0.0.1:" + server.getAddress().getPort() + "/";
    }

    Guide guide() {
        return guide;
    }

    private void handle(HttpExchange http) throws IOException {
        try (http) {
            GUARDS.forEach(http.getResponseHeaders()::set);
            String path = http.getRequestURI().getPath();
            if (path.equals("/events") && http.getRequestMethod().equals("GET") && isOurs(http)) {
                watch(http);
            } else {
                Answer answer = answer(http, path);
                http.getResponseHeaders().set("Content-Type", answer.type());
                answer.headers().forEach(http.getResponseHeaders()::set);
                http.sendResponseHeaders(answer.status(), answer.body().length);
                http.getResponseBody().write(answer.body());
            }
        }
    }

    private Answer answer(HttpExchange http, String path) throws IOException {
        if (!isOurs(http)) {
            return Answer.error(403, "only the demo's own page may ask");
        }
        if (http.getRequestMethod().equals("POST") && path.startsWith("/do/")) {
            return done(http, path.substring("/do/".length()));
        }
        if (!http.getRequestMethod().equals("GET")) {
            return Answer.error(405, "not that way");
        }
        if (path.matches("/exchange/\\d{1,9}")) {
            return stage.wire.call(Integer.parseInt(path.substring("/exchange/".length())))
                    .map(call -> Answer.json(200, state.details(call)))
                    .orElse(Answer.error(404, "that exchange has made room for newer ones"));
        }
        if (path.matches("/media/[0-9a-f]{64}")) {
            String range = http.getRequestHeaders().getFirst("Range");
            return stage.shown(path.substring("/media/".length())).map(file -> media(file, range))
                    .orElse(Answer.error(404, "there is no such picture"));
        }
        if (path.equals("/")) {
            return file("index.html");
        }
        return FILES.contains(path.substring(1)) ? file(path.substring(1)) : Answer.error(404, "there is nothing here");
    }

    /** As its first bytes are, not as somebody has named it. Some browsers play a video only from pieces. */
    private static Answer media(MediaFile file, String range) {
        byte[] all = bytes(file);
        Map<String, String> headers = new HashMap<>(Map.of("Accept-Ranges", "bytes",
                "Cache-Control", "private, max-age=600"));
        Matcher part = RANGE.matcher(Optional.ofNullable(range).orElse(""));
        int from = part.matches() ? Integer.parseInt(part.group(1)) : all.length;
        if (from >= all.length) {
            return new Answer(200, file.sniffed(), all, headers);
        }
        int last = part.group(2).isEmpty() ? all.length - 1 : Math.min(all.length - 1, Integer.parseInt(part.group(2)));
        headers.put("Content-Range", "bytes " + from + "-" + last + "/" + all.length);
        return new Answer(206, file.sniffed(), Arrays.copyOfRange(all, from, Math.max(from, last + 1)), headers);
    }

    private static byte[] bytes(MediaFile file) {
        try (InputStream in = file.content().open()) {
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A name that leads here by a trick of DNS, or another site's page, is not us. */
    private static boolean isOurs(HttpExchange http) {
        String host = Optional.ofNullable(http.getRequestHeaders().getFirst("Host")).orElse("");
        String origin = Optional.ofNullable(http.getRequestHeaders().getFirst("Origin")).orElse("http://" + host);
        return host.matches("(127\\.0\\.0\\.1|localhost)(:\\d{1,5})?") && origin.equals("http://" + host);
    }

    private static Answer file(String name) throws IOException {
        return new Answer(200, type(name), resource(name));
    }

    private static String type(String name) {
        return TYPES.get(name.substring(name.lastIndexOf('.') + 1));
    }

    private static byte[] resource(String name) throws IOException {
        try (InputStream file = DemoServer.class.getResourceAsStream("/demo/" + name)) {
            return file.readAllBytes();
        }
    }

    /** A picture for who has none at hand. */
    static MediaFile sample(String name) {
        try {
            return MediaFile.of(name, type(name), resource(name));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    // Live: everything at first, then each change. A page that was away for a while asks anew, and gets everything again.

    private void watch(HttpExchange http) throws IOException {
        if (!watchers.tryAcquire()) {
            http.sendResponseHeaders(503, -1);
            return;
        }
        try {
            http.getResponseHeaders().set("Content-Type", "text/event-stream");
            http.sendResponseHeaders(200, 0);
            OutputStream out = http.getResponseBody();
            List<Wire.Call> news = stage.wire.after(0);
            long seen = lastChange(news, 0);
            send(out, "wire", seen, Json.array(news.stream().map(state::line).toList()).toString());
            String told = "";
            for (int looks = 1;; looks++) {
                String now = state.now().toString();
                if (!now.equals(told)) {
                    send(out, "state", seen, now);
                    told = now;
                } else if (looks % BREATHE_EVERY == 0) {
                    out.write(":\n\n".getBytes(UTF_8));
                    out.flush();
                }
                stage.wire.await(seen, LOOK_EVERY);
                news = stage.wire.after(seen);
                seen = lastChange(news, seen);
                for (Wire.Call call : news) {
                    send(out, "exchange", call.change(), state.line(call).toString());
                }
            }
        } catch (IOException gone) {
            // The page was closed or reloaded.
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            watchers.release();
        }
    }

    private static long lastChange(List<Wire.Call> news, long before) {
        return news.isEmpty() ? before : news.get(news.size() - 1).change();
    }

    private static void send(OutputStream out, String event, long id, String data) throws IOException {
        out.write(("retry: 500\nid: " + id + "\nevent: " + event + "\ndata: " + data + "\n\n").getBytes(UTF_8));
        out.flush();
    }

    // What can be done from the page.

    private Answer done(HttpExchange http, String action) throws IOException {
        String type = Optional.ofNullable(http.getRequestHeaders().getFirst("Content-Type")).orElse("")
                .split(";")[0].strip();
        try {
            if (action.equals("attach")) {
                return attached(http, type);
            }
            byte[] body = http.getRequestBody().readNBytes(LARGEST_BODY + 1);
            if (!type.equals("application/json") || body.length > LARGEST_BODY) {
                return Answer.error(400, "JSON, and not too much of it");
            }
            obey(action, Json.parse(new String(body, UTF_8)));
            return Answer.json(200, Json.object());
        } catch (IllegalStateException notNow) {
            return Answer.error(409, notNow.getMessage());
        } catch (IllegalArgumentException wrong) {
            return Answer.error(400, wrong.getMessage());
        }
    }

    /** The body is the file, of a type no form of another site can have; the rest is in the query. One at a time. */
    private synchronized Answer attached(HttpExchange http, String type) throws IOException {
        if (!type.equals("application/octet-stream")) {
            return Answer.error(400, "a file, as application/octet-stream");
        }
        byte[] bytes = http.getRequestBody().readNBytes(LARGEST_FILE + 1);
        if (bytes.length > LARGEST_FILE) {
            http.getRequestBody().transferTo(OutputStream.nullOutputStream()); // who still sends hears no answer
            return Answer.error(413, "This demo takes files up to 8 MB.");
        }
        Form with = Form.parse(Optional.ofNullable(http.getRequestURI().getRawQuery()).orElse(""));
        String name = with.first("name").replaceAll("[\\p{Cntrl}/\\\\]", "_");
        String said = with.first("type");
        MediaFile file = MediaFile.of(name.substring(0, Math.min(200, name.length())),
                said.matches("[\\w.+-]{1,60}/[\\w.+-]{1,60}") ? said : "application/octet-stream", bytes);
        String text = with.first("text").isBlank() ? "" : text(with.first("text"));
        if (with.has("chat")) {
            stage.attaches(stage.chat(with.first("chat")), file, text);
        } else {
            stage.sends(stage.person(with.first("customer")), file, text);
        }
        return Answer.json(200, Json.object());
    }

    private void obey(String action, JsonNode with) {
        switch (action) {
            case "customer" -> stage.addPerson();
            case "write" -> stage.writes(stage.person(with.path("customer").asText()),
                    text(with.path("text").asText()));
            case "tap" -> stage.taps(stage.person(with.path("customer").asText()), with.path("message").asText(),
                    with.path("option").asInt(-1));
            case "accept" -> stage.accepts(stage.chat(with.path("chat").asText()));
            case "reply" -> stage.replies(stage.chat(with.path("chat").asText()), text(with.path("text").asText()));
            case "end" -> stage.flex.agentCompletes(stage.chat(with.path("chat").asText()));
            case "trouble" -> stage.trouble(trouble(with.path("name").asText()), with.path("on").asBoolean());
            case "forge" -> stage.forges();
            case "kill" -> stage.kill();
            case "restart" -> stage.restart();
            case "step" -> guide.step();
            case "play" -> guide.lead();
            case "pause" -> guide.pause();
            case "again" -> guide.again();
            default -> throw new IllegalArgumentException("nobody can do that");
        }
    }

    private static String text(String text) {
        if (text.isBlank() || text.length() > 10_000) {
            throw new IllegalArgumentException("a message has 1 to 10,000 characters");
        }
        return text;
    }

    private static Stage.Trouble trouble(String name) {
        for (Stage.Trouble trouble : Stage.Trouble.values()) {
            if (DemoState.name(trouble).equals(name)) {
                return trouble;
            }
        }
        throw new IllegalArgumentException("there is no such trouble");
    }
}
