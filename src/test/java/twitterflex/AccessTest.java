package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.until;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.MediaFile;
import twitterflex.sandbox.SimulatedX;
import twitterflex.sandbox.XTokens;

/** The bridge keeps its access to X: OAuth 2.0 in full, OAuth 1.0a as before, and the one for the other. */
class AccessTest {
    private static final String SEND = "POST /2/dm_conversations/with/{participant_id}/messages";
    private static final String LIST = "GET /2/dm_conversations/with/{participant_id}/dm_events";
    private static final String TOKEN = "POST /2/oauth2/token";
    private static final String REVOKED = "X does not renew the support account's token (invalid_grant)";

    private Rig rig;

    /** @param keys whether OAuth 1.0a is set up too */
    private void start(boolean keys) throws Exception {
        start(keys, Rig.QUICK);
    }

    private void start(boolean keys, Bridge.Timing timing) throws Exception {
        rig = new Rig(Rig.Generation.CURRENT, Map.of("TWITTER_CLIENT_ID", XTokens.CLIENT_ID), timing);
        rig.bridge.stop();
        if (!keys) {
            rig.environment.keySet().removeIf(name -> name.startsWith("TWITTER_ACCESS"));
        }
        letIn();
        rig.start();
    }

    /** What setup leaves behind once the account has let the app in. */
    private void letIn() throws Exception {
        XTokens.Pair pair = rig.x.tokens().pair(XTokens.ALL_SCOPES);
        ObjectNode granted = Bridge.object().put("access_token", pair.access()).put("refresh_token", pair.refresh())
                .put("scope", String.join(" ", pair.scopes())).put("expires_in", 7200);
        Bridge.XAccess.write(file(), Bridge.XAccess.kept(granted,
                Bridge.object().put("user", SimulatedX.sampleKeys().ownId())));
    }

    /** The answer to customer 1 that has waited arrives, and all is well. */
    private void letInAgain() throws Exception {
        letIn();
        until("the answer", () -> Rig.received(rig.customer("1")).equals(List.of("hello")));
        until("ok", () -> rig.trouble().isEmpty());
    }

    private Path file() {
        return rig.data.resolve("x-token.json");
    }

    /** As the file says, when nine tenths of its time are over. */
    private void grownOld() throws Exception {
        ObjectNode token = (ObjectNode) kept();
        Bridge.XAccess.write(file(), token.put("renew_at", 1));
    }

    private JsonNode kept() throws Exception {
        return Bridge.JSON.readTree(Files.readString(file()));
    }

    private void answers(Customer customer, String text) {
        rig.flex.agentWrites(rig.chat(customer), text);
        until("\"" + text + "\"", () -> Rig.received(customer).contains(text));
    }

    private Set<String> waysOfSending() {
        Set<String> ways = new HashSet<>();
        rig.x.exchanges().stream().filter(call -> call.operation().equals(SEND))
                .forEach(call -> ways.add(call.requestHeaders().get("Authorization").split(" ")[0]));
        return ways;
    }

    /** An exchange is noted down a moment after the message is there. */
    private void sendsBy(Set<String> ways) {
        until("sends by " + ways, () -> waysOfSending().equals(ways));
    }

    @AfterEach
    void close() throws Exception {
        if (rig != null) {
            List<String> violations = rig.x.violations();
            rig.close();
            assertEquals(List.of(), violations);
        }
    }

    @Test
    void byOAuth2AloneMessagesCrossAndAreLookedUp() throws Exception {
        start(false);
        Chat chat = rig.talk("1");
        Customer ann = rig.customer("1");
        rig.x.faults().next(SEND, Fault.dropAfter());
        rig.flex.agentWrites(chat, "hello");
        until("the answer", () -> Rig.received(ann).equals(List.of("hello")));
        rig.quiet();
        sendsBy(Set.of("Bearer"));
        assertEquals(List.of("hello"), Rig.received(ann));
        rig.x.colleagueWrites(ann, "from the app");
        until("a colleague's words", () -> rig.notes(chat).toString().contains("from the app"));
        assertEquals("", rig.trouble());
    }

    @Test
    void byOAuth2AloneFilesCrossTooAlsoWhereTheTokenIsRenewedOnTheWay() throws Exception {
        start(false);
        Chat chat = rig.talk("1");
        Customer ann = rig.customer("1");
        rig.x.uploads().processing(1, 0);
        MediaFile photo = MediaFile.generated("", "image/png", 50_000);
        for (int i = 1; i <= 2; i++) {
            int files = i;
            ann.sendsPhoto(photo, "");
            until("her photo", () -> rig.flex.files("twitter-1").size() == files);
            rig.x.tokens().expire();
            rig.flex.agentAttaches(chat, "", MediaFile.generated("b.mp4", "video/mp4", 80_000));
            until("the agent's video", () -> ann.files().size() == files);
            rig.x.tokens().expire();
        }
        assertEquals(List.of(50_000L, 50_000L), rig.flex.files("twitter-1").stream().map(MediaFile::length).toList());
        assertTrue(rig.x.exchanges().stream().noneMatch(call -> call.requestHeaders().getOrDefault("Authorization", "")
                .startsWith("OAuth ")));
    }

    @Test
    void aTokenIsRenewedBeforeItRunsOutAndIsOnDiskBeforeItIsUsed() throws Exception {
        start(false);
        rig.talk("1");
        String before = kept().path("access_token").asText();
        List<String> unsafe = new CopyOnWriteArrayList<>();
        rig.x.onExchange(call -> {
            try {
                boolean token = call.operation().equals(SEND);
                String shown = call.requestHeaders().getOrDefault("Authorization", "");
                if (token && !shown.equals("Bearer " + kept().path("access_token").asText())) unsafe.add(shown);
            } catch (Exception unreadable) {
                unsafe.add(unreadable.toString());
            }
        });
        grownOld();
        answers(rig.customer("1"), "hello");
        assertEquals(1, rig.x.tokens().refreshes());
        assertEquals(List.of(), unsafe);
        assertFalse(kept().path("access_token").asText().equals(before));
        assertEquals(PosixFilePermissions.fromString("rw-------"), Files.getPosixFilePermissions(file()));
        assertEquals("", rig.trouble());
    }

    @Test
    void whenXDoesNotTakeItManyThreadsRenewItOnce() throws Exception {
        start(false);
        for (int i = 1; i <= 12; i++) {
            rig.talk(String.valueOf(i));
        }
        rig.x.tokens().expire();
        for (int i = 1; i <= 12; i++) {
            rig.flex.agentWrites(rig.chat(rig.customer(String.valueOf(i))), "hello " + i);
        }
        rig.quiet();
        for (int i = 1; i <= 12; i++) {
            assertEquals(List.of("hello " + i), Rig.received(rig.customer(String.valueOf(i))));
        }
        assertEquals(1, rig.x.tokens().refreshes());
        assertEquals(0, rig.x.tokens().spentAgain());
    }

    @Test
    void aRefusedRefreshPausesXAndSaysWhatToDoUntilTheAppIsLetInAgain() throws Exception {
        start(false);
        rig.talk("1");
        rig.x.tokens().revoke();
        rig.flex.agentWrites(rig.chat(rig.customer("1")), "hello");
        until("degraded", () -> rig.trouble().contains("X takes no messages: " + REVOKED)
                && rig.trouble().contains("run setup"));
        assertEquals(0, rig.failed());
        letInAgain();
    }

    @Test
    void bothPresentTheTokenGoesFirstAndTheKeysFollowWhenXRefusesIt() throws Exception {
        start(true);
        rig.talk("1");
        answers(rig.customer("1"), "by token");
        sendsBy(Set.of("Bearer"));
        rig.x.tokens().revoke();
        answers(rig.customer("1"), "by keys");
        sendsBy(Set.of("Bearer", "OAuth"));
        assertEquals("", rig.trouble());
        int asked = rig.x.calls(TOKEN);
        rig.x.resetCalls();
        answers(rig.customer("1"), "at once");
        assertTrue(asked >= 1 && rig.x.calls(SEND) <= 2, "a refused token is not shown each time");
    }

    @Test
    void aTokenThatMayNotWriteLeavesItToTheKeys() throws Exception {
        start(true);
        XTokens.Pair pair = rig.x.tokens().pair(Set.of("dm.read", "tweet.read", "users.read", "offline.access"));
        Bridge.XAccess.write(file(), ((ObjectNode) kept()).put("access_token", pair.access()));
        rig.talk("1");
        answers(rig.customer("1"), "hello");
        assertEquals(List.of("hello"), Rig.received(rig.customer("1")));
        sendsBy(Set.of("Bearer", "OAuth"));
    }

    @Test
    void whileTokensCannotBeHadTheOldOneServes() throws Exception {
        start(false);
        rig.talk("1");
        rig.x.faults().always(TOKEN, Fault.status(503));
        grownOld();
        answers(rig.customer("1"), "hello");
        rig.x.tokens().expire();
        rig.flex.agentWrites(rig.chat(rig.customer("1")), "later");
        until("a try", () -> rig.x.calls(TOKEN) > 1);
        rig.x.faults().clear();
        until("the answer", () -> Rig.received(rig.customer("1")).equals(List.of("hello", "later")));
    }

    @Test
    void aTokenThatCannotBeWrittenIsNotUsedBeforeItCan() throws Exception {
        start(false);
        rig.talk("1");
        Path inTheWay = Files.createDirectories(rig.data.resolve("x-token.json.new/in/the/way"));
        rig.x.tokens().expire();
        rig.flex.agentWrites(rig.chat(rig.customer("1")), "hello");
        until("degraded", () -> rig.trouble().contains("the renewed token of X cannot be written"));
        assertEquals(1, rig.x.tokens().refreshes());
        assertEquals(List.of(), Rig.received(rig.customer("1")));
        Rig.delete(inTheWay.getParent().getParent());
        until("the answer", () -> Rig.received(rig.customer("1")).equals(List.of("hello")));
        assertEquals(1, rig.x.tokens().refreshes());
        assertEquals(0, rig.x.tokens().spentAgain());
    }

    @Test
    void anAppWithASecretShowsItWhenItRenews() throws Exception {
        start(false);
        rig.talk("1");
        rig.bridge.stop();
        rig.x.tokens().clientSecret("client secret+7");
        rig.environment.put("TWITTER_CLIENT_SECRET", "secret/7~");
        rig.x.tokens().clientSecret("secret/7~");
        grownOld();
        rig.start();
        answers(rig.customer("1"), "hello");
        assertEquals(1, rig.x.tokens().refreshes());
    }

    @Test
    void anotherAccountsTokenIsNotUsed() throws Exception {
        start(true);
        Bridge.XAccess.write(file(), ((ObjectNode) kept()).put("user", "77"));
        rig.talk("1");
        answers(rig.customer("1"), "hello");
        sendsBy(Set.of("OAuth"));
    }

    @Test
    void apiOneNeedsOAuth1AndSettingsSayWhatIsMissing() throws Exception {
        start(false);
        rig.environment.put("TWITTER_API", "1.1");
        Bridge.CommandFailed keys = assertThrows(Bridge.CommandFailed.class, () -> rig.another(Map.of()));
        assertTrue(keys.getMessage().contains("TWITTER_ACCESS_KEY is missing")
                && keys.getMessage().contains("TWITTER_API=1.1"), keys.getMessage());
        rig.environment.put("TWITTER_API", "2");
        Files.delete(file());
        Bridge.CommandFailed token = assertThrows(Bridge.CommandFailed.class, () -> rig.another(Map.of()));
        assertTrue(token.getMessage().contains("run setup") && token.getMessage().contains("x-token.json"), token.getMessage());
        List<String> none = new ArrayList<>();
        rig.environment.remove("TWITTER_CLIENT_ID");
        Bridge.Settings bare = Bridge.Settings.of(Bridge.Settings.canonical(rig.environment), none);
        assertTrue(bare.missing().contains(Bridge.Setting.TWITTER_ACCESS_KEY));
    }

    @Test
    void noLogLineHasATokenInIt() throws Exception {
        start(true);
        rig.bridge.stop();
        rig.environment.put("LOG_LEVEL", "DEBUG");
        try (BridgeProcess bridge = new BridgeProcess(rig.environment, rig.folder)) {
            bridge.start();
            grownOld();
            rig.customer("1").writes("hi");
            answers(rig.customer("1"), "renewed");
            bridge.terminate();
            bridge.start();
            rig.x.tokens().revoke();
            answers(rig.customer("1"), "by keys");
            until("a word", () -> bridge.log().contains("OAuth 2.0 fails: " + REVOKED));
            assertTrue(bridge.log().contains("OAuth 1.0a is used instead"), bridge.log());
            assertFalse(bridge.log().matches("(?s).*(access|refresh)-[0-9a-f]{8}.*"), bridge.log());
        }
    }

    /** Of a look-up nobody is told; it is done all the same, by the token. */
    @Test
    void listsAreReadByTheToken() throws Exception {
        start(false);
        rig.talk("1");
        rig.x.faults().next(SEND, Fault.dropBefore());
        answers(rig.customer("1"), "hello");
        assertTrue(rig.x.exchanges().stream().anyMatch(call -> call.operation().equals(LIST)
                && call.requestHeaders().get("Authorization").startsWith("Bearer ")));
    }

    // A renewal whose answer never came to the disk: the refresh token is used up, and nothing brings it back.

    @Test
    void anAnswerThatIsLostOnTheWayPausesXAndSaysWhyAndWhatToDo() throws Exception {
        start(false);
        Chat chat = rig.talk("1");
        rig.x.faults().next(TOKEN, Fault.dropAfter());
        rig.x.tokens().expire();
        rig.flex.agentWrites(chat, "hello");
        until("degraded", () -> rig.trouble().contains(REVOKED) && rig.trouble().contains("renewal was cut off"));
        rig.restart();
        until("degraded again", () -> rig.trouble().contains(REVOKED) && rig.trouble().contains("run setup"));
        assertEquals(1, rig.x.tokens().refreshes());
        letInAgain();
    }

    @Test
    void whereTheKeysAreThereALostAnswerStopsNothing() throws Exception {
        start(true);
        rig.talk("1");
        rig.x.faults().next(TOKEN, Fault.dropAfter());
        rig.x.tokens().expire();
        answers(rig.customer("1"), "by keys");
        rig.restart();
        answers(rig.customer("1"), "after a restart");
        sendsBy(Set.of("Bearer", "OAuth"));
        assertEquals("", rig.trouble());
        assertEquals(1, rig.x.tokens().refreshes());
    }

    @Test
    void aBridgeKilledWhileItRenewsSaysSoAfterTheRestartToWhoeverChecks() throws Exception {
        start(false);
        Chat chat = rig.talk("1");
        rig.bridge.stop();
        try (BridgeProcess bridge = new BridgeProcess(rig.environment, rig.folder)) {
            bridge.start();
            String before = Files.readString(file());
            rig.x.faults().next(TOKEN, Fault.stallBody(Duration.ofSeconds(60)));
            rig.x.tokens().expire();
            rig.flex.agentWrites(chat, "hello");
            until("half an answer", () -> rig.x.tokens().refreshes() == 1);
            bridge.kill();
            assertEquals(before, Files.readString(file()));
            bridge.start();
            until("told by check", () -> checked("bridge").matches("✗ bridge .*" + REVOKED.replaceAll("[()]", ".")
                    + ".*renewal was cut off.*run setup"));
            assertTrue(checked("X token").matches("✗ X token .*run setup.*"), checked("X token"));
            letIn();
            assertTrue(checked("X token").startsWith("✓"), checked("X token"));
        }
    }

    private String checked(String name) {
        List<String> rows = new ArrayList<>();
        Operator.Setup.check(Bridge.Settings.canonical(rig.environment), false, rows::add);
        return rows.stream().filter(row -> row.substring(2).startsWith(name + " ")).findFirst().orElse("");
    }

    // What X should not say, and says.

    /** Each refresh makes the one before void: to try again and again helps nobody. */
    @Test
    void aTokenThatXRefusesAsSoonAsItHasGivenItIsNotRenewedAgainAndAgain() throws Exception {
        start(true, Rig.compressed(10));
        for (int i = 1; i <= 12; i++) {
            rig.talk(String.valueOf(i));
        }
        rig.x.tokens().life(Duration.ZERO);
        rig.x.tokens().expire();
        for (int i = 1; i <= 12; i++) {
            rig.flex.agentWrites(rig.chat(rig.customer(String.valueOf(i))), "hello " + i);
        }
        for (int i = 1; i <= 12; i++) {
            String text = "hello " + i;
            Customer customer = rig.customer(String.valueOf(i));
            until(text, () -> Rig.received(customer).equals(List.of(text)));
        }
        assertEquals(1, rig.x.tokens().refreshes());
        assertEquals(0, rig.x.tokens().spentAgain());
    }

    @Test
    void aTokenThatIsRevokedSoonAfterItsRenewalIsNotShownEachTime() throws Exception {
        start(true, Rig.compressed(10));
        rig.talk("1");
        grownOld();
        answers(rig.customer("1"), "renewed");
        rig.x.tokens().revoke();
        answers(rig.customer("1"), "by keys");
        rig.x.resetCalls();
        answers(rig.customer("1"), "at once");
        assertEquals(1, rig.x.calls(SEND));
        assertEquals(1, rig.x.tokens().refreshes());
    }

    @ParameterizedTest
    @ValueSource(ints = {429, 503})
    void aServiceThatIsBusyHasNotRefusedTheRenewal(int status) throws Exception {
        start(false);
        rig.talk("1");
        rig.x.faults().next(TOKEN, Fault.status(status, Map.of("Content-Type", "application/json"),
                "{\"error\":\"temporarily_unavailable\"}"));
        rig.x.tokens().expire();
        rig.flex.agentWrites(rig.chat(rig.customer("1")), "hello");
        until("the answer", () -> Rig.received(rig.customer("1")).equals(List.of("hello")));
        assertFalse(rig.trouble().contains("run setup"), rig.trouble());
    }

    @ParameterizedTest
    @ValueSource(strings = {"0", "-7200", "9223372036854775807", "\"soon\"", "null", "{}"})
    void howLongATokenLastsIsBelievedWithinReason(String seconds) throws Exception {
        start(false, Rig.compressed(10));
        rig.talk("1");
        rig.x.faults().always(TOKEN, Fault.changed(answer -> ((ObjectNode) answer).set("expires_in",
                Bridge.jsonOrMissing(seconds))));
        grownOld();
        for (int i = 1; i <= 5; i++) {
            answers(rig.customer("1"), "answer " + i);
        }
        assertEquals(1, rig.x.tokens().refreshes());
    }

    @Test
    void whatARenewalDoesNotTellIsAsBefore() throws Exception {
        start(false);
        rig.talk("1");
        JsonNode before = kept();
        rig.x.faults().next(TOKEN, Fault.changed(answer -> ((ObjectNode) answer).without(List.of("refresh_token", "scope"))));
        grownOld();
        answers(rig.customer("1"), "hello");
        assertFalse(before.path("access_token").equals(kept().path("access_token")));
        for (String name : List.of("refresh_token", "scope", "user")) {
            assertEquals(before.path(name), kept().path(name));
        }
        assertTrue(checked("X token").startsWith("✓"), checked("X token"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"<html>", "{}", "{\"access_token\":7}", "{\"access_token\":\"two words\"}", ""})
    void anAnswerWithoutATokenIsNoRenewal(String nonsense) throws Exception {
        start(false);
        rig.talk("1");
        rig.x.faults().next(TOKEN, Fault.status(200, Map.of(), nonsense));
        String before = Files.readString(file());
        rig.x.tokens().expire();
        rig.flex.agentWrites(rig.chat(rig.customer("1")), "hello");
        until("the answer", () -> Rig.received(rig.customer("1")).equals(List.of("hello")));
        assertFalse(before.equals(Files.readString(file())));
        until("ok", () -> rig.trouble().isEmpty());
    }

    // The file, as it may be found.

    @ParameterizedTest
    @ValueSource(strings = {"", "{\"access_token\":\"acc", "[]", "7", "directory"})
    void aFileWithoutATokenInItIsToldByItsNameAndMendedByItsReplacement(String found) throws Exception {
        start(false);
        Chat chat = rig.talk("1");
        Files.delete(file());
        if (found.equals("directory")) {
            Files.createDirectory(file());
        } else {
            Files.writeString(file(), found);
        }
        rig.flex.agentWrites(chat, "hello");
        until("degraded", () -> rig.trouble().contains("run setup") && rig.trouble().contains("x-token.json"));
        assertTrue(checked("X token").matches("✗ X token .*run setup.*x-token.json"), checked("X token"));
        assertThrows(Bridge.CommandFailed.class, () -> rig.another(Map.of()));
        Files.delete(file());
        letIn();
        until("the answer", () -> Rig.received(rig.customer("1")).equals(List.of("hello")));
    }

    @Test
    void aClockThatWasHoursAheadDelaysNoRenewal() throws Exception {
        start(false);
        rig.talk("1");
        long ahead = System.currentTimeMillis() + Duration.ofHours(9).toMillis();
        Bridge.XAccess.write(file(), ((ObjectNode) kept()).put("renew_at", ahead).put("got_at", ahead));
        assertTrue(checked("X token").contains("renewed 0 min ago"), checked("X token"));
        rig.x.tokens().expire();
        answers(rig.customer("1"), "hello");
        assertEquals(1, rig.x.tokens().refreshes());
    }

    @Test
    void aTokenThatSomebodyElseHasRenewedIsTakenFromTheFile() throws Exception {
        start(false);
        rig.talk("1");
        rig.x.tokens().revoke();
        letIn();
        answers(rig.customer("1"), "hello");
        assertEquals(0, rig.x.tokens().refreshes());
        assertEquals("", rig.trouble());
    }
}
