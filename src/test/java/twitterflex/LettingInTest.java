package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static twitterflex.Rig.eventually;
import static twitterflex.Rig.until;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.XTokens;

/** The command setup gets the app let in by itself: by exchange, or by X's page, on which the test clicks. */
class LettingInTest {
    private static final Pattern LINK = Pattern.compile("\\S+/i/oauth2/authorize\\?\\S+");
    private static final Pattern CALLBACK = Pattern.compile("(?m)^ +(\\S+/callback)\\s*$");
    private static final Pattern FIELD = Pattern.compile("name=asked value=\"([^\"]*)\"");

    private SetupTest.Day day;

    @BeforeEach
    void newAccounts() throws Exception {
        System.setProperty("java.awt.headless", "true");
        day = new SetupTest.Day(Rig.Generation.CURRENT);
        day.given.put("TWITTER_CLIENT_ID", XTokens.CLIENT_ID);
    }

    @AfterEach
    void close() throws Exception {
        List<String> violations = day.x.violations();
        day.close();
        assertEquals(List.of(), violations);
    }

    private void withoutKeys() {
        day.given.keySet().removeIf(name -> name.startsWith("TWITTER_ACCESS"));
    }

    private String said() {
        return String.join("\n", day.said);
    }

    private Path token() {
        return Path.of(day.given.get("DATA_DIR")).resolve("x-token.json");
    }

    /** What whoever is logged in as the support account does; @return where the browser is sent */
    private String clicks(String words, String answer) throws Exception {
        Matcher link = LINK.matcher(words);
        assertTrue(link.find(), words);
        HttpResponse<String> page = Rig.HTTP.send(HttpRequest.newBuilder(URI.create(link.group())).build(),
                HttpResponse.BodyHandlers.ofString());
        assertEquals(200, page.statusCode(), page.body());
        Matcher asked = FIELD.matcher(page.body());
        assertTrue(asked.find(), page.body());
        HttpResponse<String> back = Rig.HTTP.send(HttpRequest.newBuilder(URI.create(day.x.url() + "/i/oauth2/authorize"))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .POST(HttpRequest.BodyPublishers.ofString("answer=" + answer + "&asked="
                        + twitterflex.sandbox.Form.encode(asked.group(1)))).build(), HttpResponse.BodyHandlers.ofString());
        assertEquals(302, back.statusCode(), back.body());
        return back.headers().firstValue("location").orElseThrow();
    }

    /** Enters the callback at X that setup has named. */
    private void enters(String words) {
        Matcher callback = CALLBACK.matcher(words);
        assertTrue(callback.find(), words);
        day.x.tokens().callback(callback.group(1));
    }

    private boolean setupWith(String answer) throws Exception {
        day.said.clear();
        CompletableFuture<Boolean> done = new CompletableFuture<>();
        Thread setup = new Thread(() -> {
            try {
                done.complete(day.setup());
            } catch (Throwable failed) {
                done.completeExceptionally(failed);
            }
        });
        setup.start();
        until("the link", () -> LINK.matcher(said()).find() || done.isDone());
        enters(said());
        URI back = URI.create(clicks(said(), answer));
        String callback = back.toString().replaceFirst("\\?.*", "");
        assertEquals(404, get(callback.replace("/callback", "/favicon.ico")).statusCode());
        // Somebody who guesses comes first, or the page of a former run, and is not believed.
        for (String other : List.of("?state=guessed&code=bad", "?state=guessed&error=access_denied", "", "?state=")) {
            assertEquals(400, get(callback + other).statusCode(), other);
        }
        HttpResponse<String> page = get(back.toString());
        assertEquals(200, page.statusCode());
        assertTrue(page.body().contains("Go back to setup"), page.body());
        try {
            assertEquals(200, get(back.toString()).statusCode(), "the page loaded again");
        } catch (IOException over) {
            assertTrue(done.get() != null, "setup has ended");
        }
        return done.get();
    }

    private static HttpResponse<String> get(String url) throws Exception {
        return Rig.HTTP.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString());
    }

    @Test
    void whereKeysOfOAuth1AreThereTheyAreExchangedOnce() throws Exception {
        assertTrue(day.setup(), this::said);
        assertTrue(said().matches("(?s).*✓ created +X token +OAuth 2.0 for .*"), said());
        assertEquals(PosixFilePermissions.fromString("rw-------"), Files.getPosixFilePermissions(token()));
        String before = Files.readString(token());
        assertTrue(day.setup(), this::said);
        assertTrue(said().matches("(?s).*✓ found +X token +OAuth 2.0 for .*renewed 0 min ago.*"), said());
        assertEquals(before, Files.readString(token()));
        assertFalse(said().contains("access-") || said().contains("refresh-"));
        List<String> rows = new ArrayList<>();
        Operator.Setup.check(new HashMap<>(SetupTest.merged(day)), false, rows::add);
        assertTrue(rows.stream().anyMatch(row -> row.startsWith("✓ X token ") && row.contains("dm.write")
                && row.endsWith("renewed 0 min ago")), () -> String.join("\n", rows));
    }

    @Test
    void whereXExchangesNoneItSaysSoAndTheKeysGoOnServing() throws Exception {
        day.x.tokens().exchanges(false);
        assertFalse(day.setup());
        assertTrue(said().matches("(?s).*✗ to do +X token .*"), said());
        assertTrue(said().matches("(?s).*✓ found +X account +@support_co.*"), said());
        assertEquals(List.of(), day.said.stream().filter(line -> line.startsWith("✗") && !line.contains("X token")).toList());
    }

    @Test
    void anAppThatMayNotReadDirectMessagesIsToldWhatToChoose() throws Exception {
        day.x.accessLevel("read-write");
        assertFalse(day.setup());
        assertTrue(said().matches("(?s).*✗ to do +X token +X's token lacks dm.read dm.write media.write: give the app"
                + " 'Read and write and Direct message'.*"), said());
        day.x.accessLevel("read-write-directmessages");
        assertTrue(day.setup(), this::said);
        assertTrue(said().matches("(?s).*✓ created +X token .*"), said());
    }

    @Test
    void whereXWantsATokenToSubscribeTheOneThatSetupGotWillDo() throws Exception {
        day.x.registrations().privateEventsNeedOAuth2(true);
        assertTrue(day.setup(), this::said);
        assertEquals(3, day.x.registrations().subscriptions().size());
    }

    @Test
    void aTokenThatHasRunOutWhileNoBridgeRanIsRenewedBySetupButNotByCheck() throws Exception {
        assertTrue(day.setup(), this::said);
        withoutKeys();
        day.x.tokens().expire();
        List<String> rows = new ArrayList<>();
        Operator.Setup.check(new HashMap<>(SetupTest.merged(day)), false, rows::add);
        assertTrue(rows.stream().anyMatch(row -> row.startsWith("✗ X token ") && row.contains("start the bridge, which renews it, or run setup")),
                () -> String.join("\n", rows));
        assertEquals(0, day.x.tokens().refreshes());
        assertTrue(day.setup(), this::said);
        assertEquals(1, day.x.tokens().refreshes());
    }

    @Test
    void aTokenThatXTakesNoMoreIsGotAnew() throws Exception {
        assertTrue(day.setup());
        day.x.tokens().revoke();
        assertTrue(day.setup(), this::said);
        assertTrue(said().matches("(?s).*✓ created +X token .*"), said());
    }

    @Test
    void withoutKeysTheSupportAccountIsAskedOnXsPageAndTheBridgeServesByThat() throws Exception {
        withoutKeys();
        assertTrue(setupWith("allow"), this::said);
        assertTrue(said().matches("(?s).*✓ created +X token .*"), said());
        String own = twitterflex.sandbox.SimulatedX.sampleKeys().ownId();
        assertEquals(own, Bridge.JSON.readTree(Files.readString(token())).path("user").asText());
        assertTrue(day.setup(), this::said);
        assertFalse(said().contains("authorize?"), said());
        try (BridgeProcess bridge = new BridgeProcess(SetupTest.merged(day), day.folder)) {
            bridge.start();
            crosses();
        }
    }

    /** The bridge has to know its own account, or it would take for a customer's what the account has written itself. */
    @Test
    void aTokenOfWhichXDoesNotSayWhoseItIsServesOnlyOnceItDoes() throws Exception {
        withoutKeys();
        day.x.faults().next("GET /2/users/me", Fault.status(503));
        assertFalse(setupWith("allow"));
        assertTrue(said().matches("(?s).*✗ to do +X token .*try again later.*"), said());
        Bridge.CommandFailed none = assertThrows(Bridge.CommandFailed.class, () -> Bridge.Settings.from(SetupTest.merged(day)));
        assertTrue(none.getMessage().contains("run setup"), none.getMessage());
        assertTrue(day.setup(), this::said);
        assertFalse(said().contains("authorize?"), said());
        Bridge.Settings settings = Bridge.Settings.from(SetupTest.merged(day));
        // Got anew on a live system, it is known to be the same account's.
        day.x.tokens().revoke();
        day.x.faults().next("GET /2/users/me", Fault.status(401), Fault.status(503));
        assertFalse(setupWith("allow"));
        assertEquals(twitterflex.sandbox.SimulatedX.sampleKeys().ownId(), settings.ownId());
    }

    /** Its messages would be another account's for the bridge, and be left alone. */
    @Test
    void whoIsLoggedInAsAnotherAccountThanBeforeIsTold() throws Exception {
        withoutKeys();
        assertTrue(setupWith("allow"), this::said);
        String before = Files.readString(token());
        day.x.tokens().revoke();
        day.x.faults().next("GET /2/users/me", Fault.status(401), Fault.changed(me -> {
            ((ObjectNode) me.path("data")).put("id", "77").put("username", "me_myself");
            return me;
        }));
        assertFalse(setupWith("allow"));
        assertTrue(said().matches("(?s).*✗ to do +X token +@me_myself is another account than before: log in at X as the"
                + " support account, and run setup again; or remove \\S+x-token.json first.*"), said());
        assertEquals(before, Files.readString(token()));
        Files.delete(token());
        assertTrue(setupWith("allow"), this::said);
    }

    private void crosses() {
        Customer ann = day.x.customer("5", "ann", "Ann");
        ann.writes("hello");
        until("the message", () -> day.flex.openChat("twitter-5").filter(chat -> chat.messages().size() == 1).isPresent());
        day.flex.agentWrites(day.flex.openChat("twitter-5").orElseThrow(), "hi Ann");
        until("the answer", () -> Rig.received(ann).equals(List.of("hi Ann")));
    }

    @Test
    void whoCancelsIsToldWhatToDo() throws Exception {
        withoutKeys();
        assertFalse(setupWith("cancel"));
        assertTrue(said().matches("(?s).*✗ to do +X token +X's page says access_denied: run setup again.*"), said());
        assertFalse(Files.exists(token()));
    }

    @Test
    void whereNobodyComesBackFromXsPageSetupEndsAndSaysWhatToLookAt() throws Exception {
        withoutKeys();
        day.patience = Duration.ofMillis(300);
        assertFalse(day.setup());
        assertTrue(said().matches("(?s).*✗ to do +X token +nobody has come back from X's page: are the callback above and"
                + " TWITTER_CLIENT_ID right\\? run setup again.*"), said());
        assertFalse(Files.exists(token()));
        day.patience = Operator.Setup.PATIENCE;
        assertTrue(setupWith("allow"), this::said);
        assertTrue(said().contains("choose 'Authorize app' within 10 minutes (where"), said());
    }

    /** As in a script: nobody can be asked, and the browser would come back to the bridge. */
    @Test
    void withoutATerminalABridgeThatHasThePortIsNamed() throws Exception {
        withoutKeys();
        try (java.net.ServerSocket taken = new java.net.ServerSocket(day.port, 1, java.net.InetAddress.getLoopbackAddress())) {
            assertEquals(day.port, taken.getLocalPort());
            assertFalse(day.setup());
            assertTrue(said().contains("✗ to do    X token          the support account has to let the app in, and a bridge has the port"),
                    said());
            assertFalse(said().contains("nobody has come back") || LINK.matcher(said()).find(), said());
        }
    }

    @Test
    void aClientThatIsNotTheAppsIsNamed() throws Exception {
        day.x.tokens().clientSecret("forgotten");
        assertFalse(day.setup());
        assertTrue(said().contains("TWITTER_CLIENT_ID and TWITTER_CLIENT_SECRET are not the app's"), said());
        assertFalse(said().contains("something stands between"), said());
    }

    /** Root can give files away; elsewhere there is nobody to give them to. */
    @Test
    void whatRootWritesBelongsToWhomTheFolderBelongs() throws Exception {
        assumeTrue(System.getProperty("user.name").equals("root"), "skipped: not root");
        java.nio.file.attribute.UserPrincipal nobody = day.folder.getFileSystem().getUserPrincipalLookupService()
                .lookupPrincipalByName("nobody");
        Path data = Files.createDirectory(Path.of(day.given.get("DATA_DIR")));
        assertTrue(day.setup(), this::said);
        assertTrue(said().contains("Only root may read"), said());
        Files.delete(day.dotEnv);
        Files.delete(token());
        Files.setOwner(day.folder, nobody);
        Files.setOwner(data, nobody);
        assertTrue(day.setup(), this::said);
        assertEquals(List.of(nobody, nobody), List.of(Files.getOwner(day.dotEnv), Files.getOwner(token())));
        assertFalse(said().contains("Only root may read"), said());
        // The bridge's user has to read what is renewed, too.
        day.x.tokens().expire();
        assertTrue(day.setup(), this::said);
        assertEquals(1, day.x.tokens().refreshes());
        assertEquals(nobody, Files.getOwner(token()));
    }

    @Test
    void aDryRunAsksNobody() throws Exception {
        withoutKeys();
        day.setup("--dry-run");
        assertTrue(said().contains("would ask X for a token"), said());
        assertEquals(0, day.x.calls("POST /2/oauth2/token"));
        assertFalse(Files.exists(token()));
    }

    @Test
    void checkNamesATokenThatIsMissing() throws Exception {
        withoutKeys();
        List<String> rows = new ArrayList<>();
        assertFalse(Operator.Setup.check(new HashMap<>(SetupTest.merged(day)), false, rows::add));
        assertTrue(rows.stream().anyMatch(row -> row.startsWith("✗ X token ") && row.contains("run setup")),
                () -> String.join("\n", rows));
    }

    /** With nothing but the accounts: all that setup asks is typed, the link followed, and the bridge started. */
    @Test
    void aNewcomerOnATerminalComesFromNoAppToTheFirstMessage() throws Exception {
        Path script = Path.of("/usr/bin/script");
        assumeTrue(Files.isExecutable(script), "skipped: no script command here to make a terminal");
        withoutKeys();
        Map<String, String> typed = new HashMap<>();
        for (String name : List.of("TWITTER_CLIENT_ID", "TWITTER_CONSUMER_KEY", "TWITTER_CONSUMER_SECRET", "TWILIO_ACCOUNT_SID",
                "TWILIO_AUTH_TOKEN")) {
            typed.put(name, day.given.remove(name));
        }
        day.given.putAll(Map.of("DISPLAY", "", "WAYLAND_DISPLAY", ""));
        try (Command setup = terminal(script)) {
            setup.awaits("TWITTER_CONSUMER_KEY (not shown): ");
            setup.types(typed.get("TWITTER_CONSUMER_KEY"));
            setup.awaits("TWITTER_CONSUMER_SECRET (not shown): ");
            setup.types(" \"" + typed.get("TWITTER_CONSUMER_SECRET") + "\" "); // pasted with its quotes
            setup.awaits("TWITTER_CLIENT_ID: ");
            setup.types("my app");
            setup.awaits("That is not right (6 characters). It is the X app's OAuth 2.0 client ID");
            setup.types(typed.get("TWITTER_CLIENT_ID"));
            setup.awaits("TWITTER_CLIENT_SECRET (not shown): ");
            setup.types("");
            setup.awaits("TWILIO_ACCOUNT_SID: ");
            setup.types(typed.get("TWILIO_ACCOUNT_SID"));
            setup.awaits("TWILIO_AUTH_TOKEN (not shown): ");
            setup.types(typed.get("TWILIO_AUTH_TOKEN"));
            setup.awaits("code_challenge_method=S256");
            enters(setup.output());
            String back = clicks(setup.output(), "allow");
            Rig.HTTP.send(HttpRequest.newBuilder(URI.create(back)).build(), HttpResponse.BodyHandlers.ofString());
            assertEquals(0, setup.status(), setup.output());
        }
        try (BridgeProcess bridge = new BridgeProcess(day.given, day.folder)) {
            bridge.start();
            crosses();
            // Once more, while the bridge has the port: what the browser shows is pasted.
            day.x.tokens().revoke();
            try (Command setup = terminal(script)) {
                setup.awaits("Paste the address");
                enters(setup.output());
                setup.types("http://127.0.0.1/callback?state=%zz");
                setup.awaits("That is not the address");
                setup.types(clicks(setup.output(), "allow"));
                assertEquals(0, setup.status(), setup.output());
            }
            Customer ann = day.x.customer("5", "ann", "Ann");
            day.flex.agentWrites(day.flex.openChat("twitter-5").orElseThrow(), "still here");
            eventually("the answer, by the new token", () -> Rig.received(ann).contains("still here") ? true : null);
        }
    }

    private Command terminal(Path script) throws Exception {
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        return new Command(day.folder, day.folder, day.given, List.of(script.toString(), "-qec",
                "'" + java + "' -jar '" + BridgeProcess.JAR + "' setup", "/dev/null"));
    }
}
