package twitterflex;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** A headless Chromium with one page, driven over the DevTools protocol; what goes wrong in the page is remembered. */
final class Chromium implements AutoCloseable {

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<String> NAMES = List.of("chromium", "chromium-browser", "google-chrome", "google-chrome-stable");
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private final Path profile = Files.createTempDirectory(Path.of("target").toAbsolutePath(), "chromium");
    private final Process process;
    private final WebSocket socket;
    private final AtomicInteger lastId = new AtomicInteger();
    private final Map<Integer, CompletableFuture<JsonNode>> waiting = new ConcurrentHashMap<>();
    private final List<String> errors = new CopyOnWriteArrayList<>();
    private final Map<String, AtomicInteger> events = new ConcurrentHashMap<>();

    /** Where this machine has one, if it has. */
    static Optional<Path> binary() {
        return Stream.of(Optional.ofNullable(System.getenv("PATH")).orElse("").split(Pattern.quote(File.pathSeparator)))
                .flatMap(folder -> NAMES.stream().map(name -> Path.of(folder, name))).filter(Files::isExecutable).findFirst();
    }

    Chromium(Path binary) throws IOException {
        process = new ProcessBuilder(binary.toString(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0", "--remote-allow-origins=*",
                "--user-data-dir=" + profile, "about:blank")
                .redirectErrorStream(true).redirectOutput(profile.resolve("output.log").toFile()).start();
        try {
            socket = HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(URI.create(page()), new Listener()).join();
            for (String domain : List.of("Page", "Runtime", "Log")) {
                call(domain + ".enable", Map.of());
            }
        } catch (RuntimeException | Error failed) {
            end();
            throw failed;
        }
    }

    /** The address of the one page there is, once Chromium has told its port. */
    private String page() {
        Path told = profile.resolve("DevToolsActivePort");
        String port = Rig.eventually("Chromium tells its port", () -> {
            try {
                if (!process.isAlive()) {
                    throw new AssertionError("Chromium ended: " + Files.readString(profile.resolve("output.log")));
                }
                return Files.exists(told) && Files.readAllLines(told).size() == 2 ? Files.readAllLines(told).get(0) : null;
            } catch (IOException notYet) {
                return null;
            }
        });
        return Rig.eventually("a page", () -> page(port).orElse(null));
    }

    private static Optional<String> page(String port) {
        try {
            String pages = Rig.HTTP.send(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/json/list")).build(),
                    HttpResponse.BodyHandlers.ofString()).body();
            for (JsonNode target : JSON.readTree(pages)) {
                if (target.path("type").asText().equals("page")) {
                    return Optional.of(target.path("webSocketDebuggerUrl").asText());
                }
            }
        } catch (IOException notYet) {
            // asked again
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        return Optional.empty();
    }

    private final class Listener implements WebSocket.Listener {
        private final StringBuilder text = new StringBuilder();

        @Override
        public CompletionStage<?> onText(WebSocket from, CharSequence part, boolean last) {
            text.append(part);
            if (last) {
                heard(text.toString());
                text.setLength(0);
            }
            from.request(1);
            return null;
        }
    }

    private void heard(String text) {
        JsonNode message;
        try {
            message = JSON.readTree(text);
        } catch (IOException garbled) {
            errors.add("garbled: " + text);
            return;
        }
        if (message.has("id")) {
            waiting.remove(message.path("id").asInt()).complete(message);
            return;
        }
        String method = message.path("method").asText();
        JsonNode about = message.path("params");
        events.computeIfAbsent(method, unheard -> new AtomicInteger()).incrementAndGet();
        if (method.equals("Runtime.exceptionThrown")) {
            errors.add(about.at("/exceptionDetails/exception/description").asText(about.toString()));
        } else if (method.equals("Runtime.consoleAPICalled") && List.of("error", "warning", "assert")
                .contains(about.path("type").asText())) {
            errors.add(about.path("args").toString());
        } else if (method.equals("Log.entryAdded") && List.of("error", "warning").contains(about.at("/entry/level").asText())) {
            errors.add(about.at("/entry/text").asText() + " " + about.at("/entry/url").asText());
        }
    }

    /** Exceptions, console errors and refused resources, since the last time this was asked. */
    List<String> errors() {
        List<String> since = new ArrayList<>(errors);
        errors.removeAll(since);
        return since;
    }

    JsonNode call(String method, Map<String, ?> parameters) {
        int id = lastId.incrementAndGet();
        CompletableFuture<JsonNode> answer = new CompletableFuture<>();
        waiting.put(id, answer);
        ObjectNode message = JSON.createObjectNode().put("id", id).put("method", method);
        message.set("params", JSON.valueToTree(parameters));
        socket.sendText(message.toString(), true).join();
        JsonNode heard = answer.orTimeout(30, TimeUnit.SECONDS).join();
        if (heard.has("error")) {
            throw new AssertionError(method + ": " + heard.path("error"));
        }
        return heard.path("result");
    }

    /** What the expression is; a promise is waited for. */
    JsonNode evaluate(String expression) {
        JsonNode answer = call("Runtime.evaluate", Map.of("expression", expression, "awaitPromise", true, "returnByValue", true));
        if (answer.has("exceptionDetails")) {
            throw new AssertionError(expression + ": " + answer.path("exceptionDetails"));
        }
        return answer.at("/result/value");
    }

    boolean holds(String expression) {
        return evaluate("Boolean(" + expression + ")").asBoolean();
    }

    /** Waits until the expression holds. */
    void until(String expression) {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (!holds(expression)) {
            if (System.nanoTime() > end) {
                throw new AssertionError("not within " + PATIENCE + ": " + expression + "; the page says:\n"
                        + evaluate("document.body.innerText").asText() + errors());
            }
            LockSupport.parkNanos(20_000_000);
        }
    }

    void open(String url) {
        loads(() -> call("Page.navigate", Map.of("url", url)));
    }

    void reload() {
        loads(() -> call("Page.reload", Map.of()));
    }

    private void loads(Runnable how) {
        AtomicInteger loaded = events.computeIfAbsent("Page.loadEventFired", unheard -> new AtomicInteger());
        int before = loaded.get();
        how.run();
        Rig.until("the page is loaded", () -> loaded.get() > before);
    }

    void looks(int width, int height, boolean dark) {
        call("Emulation.setDeviceMetricsOverride", Map.of("width", width, "height", height, "deviceScaleFactor", 1, "mobile", width < 500));
        call("Emulation.setEmulatedMedia", Map.of("features", List.of(Map.of("name", "prefers-color-scheme", "value", dark ? "dark"
                : "light"),
                Map.of("name", "prefers-reduced-motion", "value", "reduce"))));
    }

    /** With the mouse, in the middle of what the expression finds; it has to be there, in sight and on top. */
    void click(String element) {
        evaluate("(" + element + ").scrollIntoView({block: 'nearest'})");
        JsonNode at = evaluate("(() => { const found = " + element + "; const box = found.getBoundingClientRect();"
                + " const x = box.x + box.width / 2, y = box.y + box.height / 2; const top = document.elementFromPoint(x, y);"
                + " return {x, y, top: found === top || found.contains(top)}; })()");
        if (!at.path("top").asBoolean()) {
            throw new AssertionError("something lies over " + element);
        }
        for (String type : List.of("mousePressed", "mouseReleased")) {
            call("Input.dispatchMouseEvent", Map.of("type", type, "x", at.path("x").asDouble(), "y", at.path("y").asDouble(), "button",
                    "left",
                    "clickCount", 1));
        }
    }

    /** As in the dialog that a field for files opens. */
    void chooses(String element, Path file) {
        JsonNode found = call("Runtime.evaluate", Map.of("expression", element));
        call("DOM.setFileInputFiles", Map.of("files", List.of(file.toAbsolutePath().toString()), "objectId",
                found.at("/result/objectId").asText()));
    }

    void types(String text) {
        call("Input.insertText", Map.of("text", text));
    }

    /** One of Enter, Tab, Escape, ArrowUp, ArrowDown, and Space. */
    void presses(String key) {
        int code = switch (key) {
            case "Tab" -> 9;
            case "Enter" -> 13;
            case "Escape" -> 27;
            case "ArrowUp" -> 38;
            case "ArrowDown" -> 40;
            default -> 32;
        };
        String text = key.equals("Enter") ? "\r" : key.equals("Space") ? " " : "";
        call("Input.dispatchKeyEvent", Map.of("type", text.isEmpty() ? "rawKeyDown" : "keyDown", "key", key.equals("Space") ? " " : key,
                "code", key,
                "text", text, "windowsVirtualKeyCode", code));
        call("Input.dispatchKeyEvent", Map.of("type", "keyUp", "key", key.equals("Space") ? " " : key, "code", key, "windowsVirtualKeyCode",
                code));
    }

    byte[] screenshot() {
        return Base64.getDecoder().decode(call("Page.captureScreenshot", Map.of("format", "png")).path("data").asText());
    }

    @Override
    public void close() {
        end();
    }

    private void end() {
        try (Stream<ProcessHandle> children = process.descendants()) {
            children.forEach(ProcessHandle::destroyForcibly);
        }
        process.destroyForcibly().onExit().join();
        Rig.until("the profile is deleted", () -> {
            try {
                Rig.delete(profile);
                return true;
            } catch (IOException | UncheckedIOException lastChildStillWrites) {
                return !Files.exists(profile);
            }
        });
    }
}
