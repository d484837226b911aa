package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.until;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Registrations;

/** X's encrypted Chat, which no bridge can read, is seen in time: by the operator, and by the agent who waits. */
class EncryptedChatTest {
    private static final String KEYS = "GET /2/users/{id}/public_keys";
    private static final String SUBSCRIBE = "POST /2/activity/subscriptions";

    @ParameterizedTest
    @EnumSource
    void theAgentsOfALiveConversationReadOnceThatTheCustomerWritesEncrypted(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            Chat chat = rig.talk("1");
            Customer ann = rig.customer("1");
            rig.x.writesEncrypted(ann);
            rig.x.writesEncrypted(ann);
            rig.x.writesEncrypted(rig.customer("2"));
            until("a note", () -> !rig.notes(chat).isEmpty());
            rig.quiet();
            rig.restart();
            rig.x.writesEncrypted(ann);
            rig.quiet();
            assertEquals(1, rig.notes(chat).size(), () -> rig.notes(chat).toString());
            assertTrue(rig.notes(chat).get(0).contains("cannot be read here"), () -> rig.notes(chat).get(0));
            assertEquals(List.of(), rig.flex.chats("twitter-2"));
            assertEquals(List.of("hi"), rig.written(ann));
            assertEquals("", rig.trouble());
        }
    }

    @Test
    void whatTheSupportAccountWritesThereItselfIsNobodysNews() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Chat chat = rig.talk("1");
            String own = twitterflex.sandbox.SimulatedX.sampleKeys().ownId();
            rig.x.writesEncrypted(rig.customer(own));
            rig.x.writesEncrypted(rig.customer("1"));
            until("a note", () -> !rig.notes(chat).isEmpty());
            assertEquals(1, rig.notes(chat).size());
        }
    }

    private static String row(Rig rig) {
        List<String> rows = new ArrayList<>();
        Operator.Setup.check(new HashMap<>(rig.environment), false, rows::add);
        return rows.stream().filter(row -> row.contains(" X Chat ")).findFirst().orElseThrow();
    }

    @Test
    void checkWarnsOfASupportAccountThatHasOpenedChatAndSaysWhatThatMeans() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            assertTrue(row(rig).startsWith("✓ X Chat "), () -> row(rig));
            rig.x.encrypts(true);
            assertTrue(row(rig).startsWith("! X Chat ") && row(rig).contains("go silent"), () -> row(rig));
            rig.x.faults().always(KEYS, Fault.status(429));
            assertTrue(row(rig).startsWith("! X Chat ") && row(rig).contains("cannot be seen"), () -> row(rig));
            assertEquals(List.of(), rig.x.violations());
        }
    }

    @Test
    void theWatchLooksOnceADay() throws Exception {
        // A look every 100 ms, as if each were half an hour after the other: a day is 4.8 s.
        Bridge.Timing timing = new Bridge.Timing(Duration.ofMillis(10), Duration.ofMillis(100), Duration.ofSeconds(4),
                Duration.ofMinutes(1), Duration.ofSeconds(3), Duration.ofHours(1), Duration.ofMillis(100), Duration.ofHours(1));
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of(), timing)) {
            rig.x.encrypts(true);
            until("a second look", () -> rig.x.calls(KEYS) >= 2);
            assertTrue(rig.x.calls("GET /2/webhooks") > 5, "looks at X's webhook in the meantime");
            assertTrue(rig.x.calls(KEYS) <= 3, "looks at the keys: " + rig.x.calls(KEYS));
            assertEquals("", rig.trouble());
        }
    }

    @Test
    void withAutoRegisterTheBridgeWarnsInItsLogAtTheStart() throws Exception {
        try (SetupTest.Day day = new SetupTest.Day(Rig.Generation.CURRENT)) {
            assertTrue(day.setup(), () -> String.join("\n", day.said));
            day.x.encrypts(true);
            day.given.putAll(Map.of("AUTO_REGISTER", "on", "LOG_LEVEL", "INFO"));
            try (BridgeProcess bridge = new BridgeProcess(SetupTest.merged(day), day.folder)) {
                bridge.start();
                until("the warning", () -> bridge.log().contains("WARNING X Chat: the support account has opened"));
            }
        }
    }

    @Test
    void setupSubscribesToItWhereXLetsItAndIsWellWithoutWhereNot() throws Exception {
        try (SetupTest.Day day = new SetupTest.Day(Rig.Generation.CURRENT)) {
            assertTrue(day.setup(), () -> String.join("\n", day.said));
            assertTrue(day.x.registrations().subscriptions().stream().anyMatch(one -> one.eventType().equals("chat.received")));
        }
        try (SetupTest.Day day = new SetupTest.Day(Rig.Generation.CURRENT)) {
            day.x.registrations().limits(1, 1, 0);
            assertTrue(day.setup(), () -> String.join("\n", day.said));
            assertEquals(List.of("dm.received"), day.x.registrations().subscriptions().stream()
                    .map(Registrations.Subscription::eventType).toList());
            assertTrue(String.join("\n", day.said).contains("nothing is missed without oauth.revoke"));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "{\"errors\":[{\"message\":\"Duplicate subscription for this event type\"}],\"title\":\"Invalid Request\"}"})
    void anEmptyAnswerAndADuplicateAreAsGoodAsAnyOther(String body) throws Exception {
        try (SetupTest.Day day = new SetupTest.Day(Rig.Generation.CURRENT)) {
            int status = body.isEmpty() ? 204 : 400;
            day.x.faults().always(SUBSCRIBE, Fault.after(status, Map.of(), body));
            assertTrue(day.setup(), () -> String.join("\n", day.said));
            assertEquals(3, day.x.registrations().subscriptions().size());
            assertFalse(String.join("\n", day.said).contains("✗"));
        }
    }
}
