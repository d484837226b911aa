package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.until;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Cable;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.SimulatedService;
import twitterflex.sandbox.SimulatedX;

/** Promise 6: what either side wrote while no webhook came through is caught up, once and in order. */
@Execution(ExecutionMode.CONCURRENT)
class NothingIsMissedTest {

    /** Conversations are read every 200 ms, and a webhook has 50 ms to come. */
    private static final Bridge.Timing OFTEN = quick(Rig.QUICK.callTimeout(), Duration.ofMillis(200));

    private static final Map<Rig.Generation, String> SEND = Map.of(
            Rig.Generation.CURRENT, "POST /2/dm_conversations/with/{participant_id}/messages",
            Rig.Generation.CLASSIC, "POST /1.1/direct_messages/events/new.json");

    /** As quick as any rig, but for how long a call may take, and from one reading of a conversation to the next. */
    private static Bridge.Timing quick(Duration call, Duration catchUp) {
        return new Bridge.Timing(Rig.QUICK.initialBackoff(), Rig.QUICK.maxBackoff(), call, Rig.QUICK.notifyAgentAfter(),
                Rig.QUICK.takeOverAfter(), Rig.QUICK.quietAfter(), Rig.QUICK.webhookCheck(), catchUp);
    }

    /** An open chat in which both have written. */
    private static Chat talk(Rig rig, Customer customer) {
        customer.writes("hello");
        Chat chat = rig.chat(customer);
        until("a task", () -> rig.flex.tasks().stream().anyMatch(task -> task.chatSid().equals(chat.sid())));
        rig.flex.agentWrites(chat, "welcome");
        until("the welcome", () -> Rig.received(customer).contains("welcome"));
        rig.quiet();
        return chat;
    }

    /** Nobody repeats a webhook: what does not arrive at once is lost to whoever only waits for webhooks. */
    private static Rig rig(Rig.Generation generation, Bridge.Timing timing) throws Exception {
        Rig rig = new Rig(generation, Map.of(), timing);
        rig.x.retryDelays();
        rig.flex.retryDelays();
        return rig;
    }

    private static void restart(Rig rig) throws Exception {
        rig.bridge.stop();
        rig.start();
    }

    private static long caughtUp(Rig rig) {
        return rig.health().path("caught_up").asLong();
    }

    @ParameterizedTest
    @EnumSource
    void whatBothSidesWroteWhileTheBridgeWasDownArrivesInOrderAndOnce(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, Rig.QUICK)) {
            Customer ann = rig.customer("11");
            Chat chat = talk(rig, ann);
            rig.bridge.stop();
            for (String text : List.of("one", "two", "three")) rig.flex.agentWrites(chat, text);
            ann.writes("first & <second> https://example.com/a?b=c");
            ann.writes("second");
            rig.x.awaitDelivered(Duration.ofSeconds(30));
            rig.flex.awaitDelivered(Duration.ofSeconds(30));
            int calls = rig.x.calls();
            rig.start();
            // What is written now must not overtake what was missed.
            rig.flex.agentWrites(chat, "four");
            ann.writes("third");
            until("the replies", () -> Rig.received(ann).size() == 5 && rig.written(ann).size() == 4);
            rig.quiet();
            assertEquals(List.of("welcome", "one", "two", "three", "four"), Rig.received(ann));
            assertEquals(List.of("hello", "first & <second> https://example.com/a?b=c", "second", "third"), rig.written(ann));
            assertTrue(caughtUp(rig) >= 5 && caughtUp(rig) <= 7, "three replies and two messages, and perhaps what came while they were read");
            assertEquals("", rig.trouble(), "a bridge that was down is no sign that webhooks do not arrive");
            assertEquals(5, rig.x.calls() - calls, "one page of events, and four replies that need no look-up");
        }
    }

    @ParameterizedTest
    @EnumSource
    void aQuietStartCostsFiveEventsAndOneCallPerConversation(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, Rig.QUICK)) {
            for (int i = 0; i < 6; i++) talk(rig, rig.customer(String.valueOf(20 + i)));
            // What is older than a webhook can be under way need not be read again.
            LockSupport.parkNanos(Rig.QUICK.callTimeout().toNanos());
            rig.customer("20").writes("this is the newest, and what is older by some seconds is not read again, since it has surely come by now");
            rig.quiet();
            int calls = rig.flex.calls();
            int events = rig.x.eventsRead();
            restart(rig);
            until("all are read", () -> rig.flex.calls() - calls == 6);
            rig.quiet();
            if (generation == Rig.Generation.CURRENT) assertEquals(5, rig.x.eventsRead() - events);
            rig.customer("20").writes("and another thing, which is too long to be the answer to a list, as everybody will agree who has read it");
            until("it", () -> rig.written(rig.customer("20")).size() == 3);
            rig.quiet();
            assertEquals(generation == Rig.Generation.CURRENT ? 1 : 2, rig.flex.calls() - calls - 6,
                    "a customer whose open conversation the journal remembers costs what they cost before the restart");
        }
    }

    @ParameterizedTest
    @EnumSource
    void aWebhookThatGot503ForWantOfRoomIsCaughtUp(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation, Map.of("MAX_PENDING", "1"), Rig.QUICK)) {
            rig.x.retryDelays();
            rig.flex.retryDelays();
            Customer ann = rig.customer("12");
            Chat chat = talk(rig, ann);
            rig.x.faults().always(SEND.get(generation), Fault.status(503));
            rig.flex.agentWrites(chat, "one");
            until("it waits", () -> rig.health().path("pending").asInt() == 1);
            rig.flex.agentWrites(chat, "two");
            ann.writes("is there nobody?");
            rig.x.awaitDelivered(Duration.ofSeconds(30));
            rig.flex.awaitDelivered(Duration.ofSeconds(30));
            rig.x.faults().clear();
            until("all of it", () -> Rig.received(ann).size() == 3 && rig.written(ann).size() == 2);
            rig.quiet();
            assertEquals(List.of("welcome", "one", "two"), Rig.received(ann));
            assertEquals(2, caughtUp(rig));
        }
    }

    @ParameterizedTest
    @EnumSource
    void atANewPublicAddressOpenConversationsAreToldAndRead(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, Rig.QUICK)) {
            Customer ann = rig.customer("13");
            Chat chat = talk(rig, ann);
            rig.bridge.stop();
            rig.flex.agentWrites(chat, "one");
            rig.flex.awaitDelivered(Duration.ofSeconds(30));
            rig.environment.put("PUBLIC_URL", "https://new.example.com");
            rig.flex.publicUrl("https://new.example.com", rig.url());
            rig.start();
            until("what was missed", () -> Rig.received(ann).size() == 2);
            until("the address", () -> chat.webhookUrls().equals(List.of("https://new.example.com/fromFlex?customer=13")));
            rig.flex.agentWrites(chat, "two");
            until("what comes there", () -> Rig.received(ann).size() == 3);
            assertEquals(List.of("welcome", "one", "two"), Rig.received(ann));
        }
    }

    @ParameterizedTest
    @EnumSource
    void webhooksThatDoNotArriveShowInTheHealthWithTheLikelyReasonUntilTheyDo(Rig.Generation generation) throws Exception {
        Bridge.Timing timing = quick(Duration.ofMillis(300), Duration.ofMillis(1500));
        try (Rig rig = rig(generation, timing)) {
            Customer ann = rig.customer("14");
            Chat chat = talk(rig, ann);
            chat.moveWebhooks("http://127.0.0.1:1/fromFlex?customer=14");
            rig.flex.agentWrites(chat, "one");
            until("it is caught up", () -> Rig.received(ann).size() == 2);
            rig.flex.agentWrites(chat, "two");
            until("it shows", () -> rig.trouble().contains("webhooks of Flex do not arrive: is " + rig.url() + " the address that leads here?"));
            chat.moveWebhooks(rig.url() + "/fromFlex?customer=14");
            rig.flex.agentWrites(chat, "three");
            until("all is well", () -> rig.trouble().isEmpty());
            until("all of it", () -> Rig.received(ann).size() == 4);
            assertEquals(List.of("welcome", "one", "two", "three"), Rig.received(ann));
        }
    }

    @ParameterizedTest
    @EnumSource
    void anOldAuthTokenLosesNothingAndShows(Rig.Generation generation) throws Exception {
        Bridge.Timing timing = quick(Duration.ofMillis(300), Duration.ofMillis(1500));
        try (Rig rig = rig(generation, timing)) {
            Customer ann = rig.customer("15");
            Chat chat = talk(rig, ann);
            // The bridge's own calls still work with an API key, as after a rotation; webhooks are checked with the old token.
            rig.bridge.stop();
            String token = rig.environment.put("TWILIO_AUTH_TOKEN", "0".repeat(32));
            rig.environment.put("TWILIO_API_KEY", rig.flex.account.apiKey());
            rig.environment.put("TWILIO_API_SECRET", rig.flex.account.apiSecret());
            rig.start();
            List<String> written = new ArrayList<>(List.of("welcome"));
            for (int i = 0; i < 3; i++) {
                written.add("reply " + i);
                rig.flex.agentWrites(chat, "reply " + i);
                int all = written.size();
                until("reply " + i, () -> Rig.received(ann).size() == all);
            }
            until("it shows", () -> rig.trouble().contains("so perhaps TWILIO_AUTH_TOKEN is not the account's any more"));
            assertTrue(caughtUp(rig) >= 3);
            rig.bridge.stop();
            rig.environment.put("TWILIO_AUTH_TOKEN", token);
            rig.start();
            rig.flex.agentWrites(chat, "at last");
            until("the last", () -> Rig.received(ann).contains("at last"));
            written.add("at last");
            rig.quiet();
            assertEquals(written, Rig.received(ann));
            assertEquals("", rig.trouble());
        }
    }

    @ParameterizedTest
    @EnumSource
    void aMessageWhoseWebhookAndReadingComeAtTheSameMomentArrivesOnce(Rig.Generation generation) throws Exception {
        Bridge.Timing always = quick(Rig.QUICK.callTimeout(), Duration.ofMillis(3));
        try (Rig rig = rig(generation, always)) {
            Customer ann = rig.customer("16");
            Chat chat = talk(rig, ann);
            List<String> all = new ArrayList<>(List.of("welcome"));
            for (int i = 0; i < 40; i++) {
                all.add("reply " + i);
                rig.flex.agentWrites(chat, "reply " + i);
            }
            until("all", () -> Rig.received(ann).size() >= all.size());
            rig.quiet();
            assertEquals(all, Rig.received(ann));
            assertTrue(!rig.trouble().contains("arrive"), rig.trouble());
        }
    }

    @ParameterizedTest
    @EnumSource
    void aConversationThatIsOverIsForgottenAfterItsLastWords(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, OFTEN)) {
            Customer ann = rig.customer("17");
            Chat chat = talk(rig, ann);
            assertEquals(1, rig.bridge.journal.conversations().size());
            rig.bridge.stop();
            rig.flex.agentWrites(chat, "goodbye");
            rig.flex.agentCompletes(chat);
            rig.flex.awaitDelivered(Duration.ofSeconds(30));
            rig.start();
            until("the last words", () -> Rig.received(ann).contains("goodbye"));
            until("it is forgotten", () -> rig.bridge.journal.conversations().isEmpty());
            restart(rig);
            assertEquals(List.of(), rig.bridge.journal.conversations());
            assertEquals(List.of("welcome", "goodbye"), Rig.received(ann));
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatAColleagueWritesInTheXAppBecomesANoteAndOurOwnRepliesNever(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, Rig.QUICK)) {
            Customer ann = rig.customer("18");
            Customer stranger = rig.customer("19");
            Chat chat = talk(rig, ann);
            List<String> expected = new ArrayList<>();
            // X says that it took our reply before it answers us.
            rig.x.faults().always(SEND.get(generation), Fault.stallBody(Duration.ofMillis(100)));
            for (int i = 0; i < 5; i++) {
                rig.flex.agentWrites(chat, "reply " + i);
                rig.x.colleagueWrites(ann, "I am on it & <" + i + "> https://example.com/" + i);
                expected.add("A colleague wrote in the X app: I am on it & <" + i + "> https://example.com/" + i);
            }
            rig.x.colleagueWrites(stranger, "to somebody who has no chat");
            until("the notes", () -> rig.notes(chat).size() >= 5);
            rig.quiet();
            assertEquals(expected, rig.notes(chat));
            assertEquals(6 + 5, Rig.received(ann).size());
            assertEquals(0, rig.failed());
            assertEquals(List.of(), rig.written(stranger));
            restart(rig);
            rig.quiet();
            assertEquals(expected, rig.notes(chat), "after a restart none is told again");
        }
    }

    /** A backup that is started again reads all that the other bridge has sent since: more than it sees of a chat. */
    @ParameterizedTest
    @EnumSource
    void whatAnotherBridgeHasSentIsNoColleaguesHoweverMuchItIs(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, Rig.QUICK)) {
            Map<String, String> second = Map.of("PORT", "0", "DATA_DIR", rig.data.resolve("second").toString(),
                    "PUBLIC_URL", rig.url());
            Customer ann = rig.customer("31");
            Chat chat = talk(rig, ann);
            rig.bridge.stop();
            Bridge backup = rig.another(Map.of("DATA_DIR", second.get("DATA_DIR")));
            ann.writes("to the backup");
            until("it knows the conversation", () -> rig.written(ann).size() == 2);
            backup.stop();
            rig.start();
            for (int i = 0; i < 60; i++) {
                rig.flex.agentWrites(chat, "reply " + i);
            }
            until("all", () -> Rig.received(ann).size() == 61);
            rig.quiet();
            rig.x.colleagueWrites(ann, "from the app");
            until("its note", () -> rig.notes(chat).size() == 1);
            ann.writes("and now?");
            until("it", () -> rig.written(ann).size() == 3);
            Bridge again = rig.another(second);
            try {
                until("all is read", () -> again.journal.newest().equals(rig.bridge.journal.newest()));
                // The colleague's is the last of them.
                until("all is through", () -> rig.notes(chat).size() > 1);
                assertEquals(Set.of("A colleague wrote in the X app: from the app"), Set.copyOf(rig.notes(chat)));
            } finally {
                again.stop();
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void whenNothingComesFromXForLongItsEventsAreReadAndTheHealthSaysSo(Rig.Generation generation) throws Exception {
        Bridge.Timing timing = quick(Rig.QUICK.callTimeout(), Duration.ofMillis(30));
        try (Rig rig = rig(generation, timing)) {
            // The echo of a reply could have X's events read at the very moment at which the next one is missed.
            rig.x.echoes(false);
            Customer ann = rig.customer("21");
            talk(rig, ann);
            rig.x.webhook("http://127.0.0.1:1/fromTwitter");
            ann.writes("is my letterbox broken?");
            until("it is caught up", () -> rig.written(ann).equals(List.of("hello", "is my letterbox broken?")));
            until("it shows", () -> rig.trouble().contains("webhooks of X do not arrive: is " + rig.url() + " the address that leads here?"));
            rig.x.post("{}".getBytes(java.nio.charset.StandardCharsets.UTF_8), Map.of());
            Rig.HTTP.send(java.net.http.HttpRequest.newBuilder(java.net.URI.create(rig.url() + "/fromTwitter"))
                    .POST(java.net.http.HttpRequest.BodyPublishers.ofString("{}")).build(), java.net.http.HttpResponse.BodyHandlers.discarding());
            ann.writes("still nobody?");
            until("it is caught up", () -> rig.written(ann).size() == 3);
            until("a wrong signature is the likely reason", () -> rig.trouble().contains("TWITTER_CONSUMER_SECRET or TWITTER_CLIENT_SECRET"));
            rig.x.webhook(rig.url() + "/fromTwitter");
            ann.writes("at last");
            until("all is well", () -> rig.written(ann).size() == 4 && rig.trouble().isEmpty());
            assertEquals(List.of("hello", "is my letterbox broken?", "still nobody?", "at last"), rig.written(ann));
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatCannotBeReadShowsInTheHealthUntilItCan(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, Rig.QUICK)) {
            Customer ann = rig.customer("22");
            talk(rig, ann);
            rig.bridge.stop();
            ann.writes("are you there?");
            rig.x.awaitDelivered(Duration.ofSeconds(30));
            rig.x.faults().always(AT_X.get(generation).get(0), Fault.status(401, Map.of(), "{\"errors\":[{\"code\":32,\"message\":\"No\"}]}"));
            rig.start();
            until("it shows", () -> rig.trouble().contains("what no webhook brought cannot be read: No ("));
            rig.x.faults().clear();
            until("it is read", () -> rig.written(ann).size() == 2);
            until("all is well", () -> rig.trouble().isEmpty());
        }
    }

    @ParameterizedTest
    @EnumSource
    void anOutageOfTwilioWhileItIsReadCostsFewCalls(Rig.Generation generation) throws Exception {
        Bridge.Timing timing = new Bridge.Timing(Duration.ofMillis(10), Duration.ofMillis(500), Duration.ofSeconds(4),
                Duration.ofSeconds(1), Duration.ofSeconds(5), Duration.ofHours(1), Duration.ofHours(1), Duration.ofHours(1));
        try (Rig rig = rig(generation, timing)) {
            List<Chat> chats = new ArrayList<>();
            for (int i = 0; i < 20; i++) chats.add(talk(rig, rig.customer(String.valueOf(40 + i))));
            rig.bridge.stop();
            chats.forEach(chat -> rig.flex.agentWrites(chat, "news"));
            rig.flex.awaitDelivered(Duration.ofSeconds(30));
            rig.flex.faults().always("*", Fault.status(503));
            rig.flex.resetCalls();
            rig.start();
            LockSupport.parkNanos(Duration.ofSeconds(2).toNanos());
            int calls = rig.flex.calls();
            assertTrue(calls < 60, calls + " calls in two seconds, in which every conversation could have been asked for a hundred times");
            rig.flex.faults().clear();
            until("all news", () -> Stream.iterate(40, i -> i + 1).limit(20).allMatch(i -> Rig.received(rig.customer(String.valueOf(i))).contains("news")));
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatXTellsOfOurOwnMessagesIsTheFirstPlaceToLookForOneOfUnknownFate(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, Rig.QUICK)) {
            Customer ann = rig.customer("20");
            Chat chat = talk(rig, ann);
            rig.x.faults().next(SEND.get(generation), Fault.dropAfter());
            rig.x.faults().always(AnswersTest.LOOK.get(generation), Fault.status(503));
            rig.flex.agentWrites(chat, "sent, but the answer was lost & <so>");
            until("it", () -> Rig.received(ann).size() == 2);
            until("it is settled, although no look-up works", () -> rig.health().path("pending").asInt() == 0);
            assertEquals(List.of("welcome", "sent, but the answer was lost & <so>"), Rig.received(ann));
        }
    }

    @ParameterizedTest
    @EnumSource
    void twoBridgesThatBothCatchUpSendEachMessageOnce(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, OFTEN)) {
            Map<String, String> second = new HashMap<>(Map.of("PORT", "0", "DATA_DIR", rig.data.resolve("second").toString(), "PUBLIC_URL", rig.url()));
            Bridge other = rig.another(second);
            Customer ann = rig.customer("31");
            Chat chat = talk(rig, ann);
            // The other one hears of the chat, too: a balancer in front of both would have it so.
            String url = chat.webhookUrls().get(0);
            rig.x.webhook(other.address() + "/fromTwitter");
            ann.writes("are you there?");
            until("it", () -> rig.written(ann).size() == 2);
            rig.x.webhook(rig.url() + "/fromTwitter");
            until("both know it", () -> Stream.of(rig.bridge, other).allMatch(one -> one.journal.conversation(chat.sid()).isPresent()));
            rig.quiet();
            rig.bridge.stop();
            other.stop();
            for (String text : List.of("one", "two", "three")) rig.flex.agentWrites(chat, text);
            ann.writes("first");
            ann.writes("second");
            rig.x.awaitDelivered(Duration.ofSeconds(30));
            rig.flex.awaitDelivered(Duration.ofSeconds(30));
            rig.start();
            Bridge again = rig.another(second);
            try {
                until("all of it", () -> Rig.received(ann).size() >= 4 && rig.written(ann).size() >= 4);
                // While both go on reading, messages that one of them gets by webhook are nobody else's.
                for (int i = 0; i < 5; i++) {
                    rig.flex.agentWrites(chat, "reply " + i);
                    int all = 5 + i;
                    until("reply " + i, () -> Rig.received(ann).size() >= all);
                }
                int reads = rig.flex.calls();
                until("some rounds", () -> rig.flex.calls() > reads + 12);
                rig.quiet();
                assertEquals(List.of("welcome", "one", "two", "three", "reply 0", "reply 1", "reply 2", "reply 3", "reply 4"), Rig.received(ann));
                assertEquals(List.of("hello", "are you there?", "first", "second"), rig.written(ann));
                assertEquals(url, chat.webhookUrls().get(0));
            } finally {
                again.stop();
            }
        }
    }

    @Test
    void ofManyOpenConversationsEachIsReadOnceAndOnlyNewsCostMore() throws Exception {
        try (Rig rig = rig(Rig.Generation.CURRENT, Rig.QUICK)) {
            List<Chat> chats = new ArrayList<>();
            for (int i = 0; i < 300; i++) {
                Customer customer = rig.customer(String.valueOf(1000 + i));
                customer.writes("hello");
            }
            for (int i = 0; i < 300; i++) chats.add(rig.chat(rig.customer(String.valueOf(1000 + i))));
            rig.quiet();
            until("all have a task", () -> rig.flex.tasks().size() == 300);
            rig.bridge.stop();
            for (int i = 0; i < 3; i++) rig.flex.agentWrites(chats.get(100 * i), "news");
            rig.flex.awaitDelivered(Duration.ofSeconds(30));
            int calls = rig.flex.calls();
            long began = System.nanoTime();
            rig.start();
            until("the news", () -> Stream.of(0, 100, 200).allMatch(i -> Rig.received(rig.customer(String.valueOf(1000 + i))).contains("news")));
            until("all are read", () -> rig.flex.calls() - calls >= 300);
            System.out.println("300 open conversations, 3 with news: caught up after " + (System.nanoTime() - began) / 1_000_000 + " ms");
            rig.quiet();
            assertEquals(300, rig.flex.calls() - calls);
        }
    }

    private static final Map<Rig.Generation, List<String>> AT_X = Map.of(
            Rig.Generation.CURRENT, List.of("GET /2/dm_events", SEND.get(Rig.Generation.CURRENT)),
            Rig.Generation.CLASSIC, List.of("GET /1.1/direct_messages/events/list.json", SEND.get(Rig.Generation.CLASSIC)));
    private static final String CONVERSATION = " /v1/Services/{ChatServiceSid}/Conversations/{ConversationSid}/Messages";
    private static final String CHANNEL = " /v2/Services/{ServiceSid}/Channels/{ChannelSid}/Messages";
    private static final Map<Rig.Generation, List<String>> AT_TWILIO = Map.of(
            Rig.Generation.CURRENT, List.of("GET" + CONVERSATION, "POST" + CONVERSATION),
            Rig.Generation.CLASSIC, List.of("GET" + CHANNEL, "POST" + CHANNEL, "POST /v1/Channels"));

    @ParameterizedTest
    @EnumSource
    void aDeathBeforeOrAfterAnyCallOfCatchingUpLosesAndDoublesNothing(Rig.Generation generation) throws Exception {
        List<String> failures = new ArrayList<>();
        for (String operation : Stream.concat(AT_X.get(generation).stream(), AT_TWILIO.get(generation).stream()).toList()) {
            failures.add(dieAt(generation, operation, Fault.hold(new CountDownLatch(1))));
            failures.add(dieAt(generation, operation, Fault.stallBody(Duration.ofSeconds(60))));
        }
        failures.removeIf(String::isEmpty);
        assertEquals(List.of(), failures);
    }

    /** One whose cables are cut, and another that goes on with a copy of its journal: all that a killed one leaves behind. */
    private static String dieAt(Rig.Generation generation, String operation, Fault fault) throws Exception {
        Path left = Files.createTempDirectory("bridge-test");
        try (Rig rig = rig(generation, Rig.QUICK); Cable toX = new Cable(rig.x.url()); Cable toFlex = new Cable(rig.flex.url())) {
            Customer ann = rig.customer("1");
            Chat chat = talk(rig, ann);
            rig.bridge.stop();
            for (String text : List.of("one", "two", "three")) rig.flex.agentWrites(chat, text);
            for (String text : List.of("first", "second")) ann.writes(text);
            rig.x.awaitDelivered(Duration.ofSeconds(30));
            rig.flex.awaitDelivered(Duration.ofSeconds(30));
            Files.copy(rig.data.resolve("journal.jsonl"), left.resolve("journal.jsonl"));
            SimulatedService service = AT_X.get(generation).contains(operation) ? rig.x : rig.flex;
            service.resetCalls();
            service.faults().next(operation, fault);
            Bridge first = rig.another(Map.of("DATA_DIR", left.toString(), "TWITTER_API_URL", toX.url(rig.x.url()),
                    "TWILIO_API_URL", toFlex.url(rig.flex.apiUrlTemplate())));
            until(operation, () -> service.calls(operation) > 0);
            until("the work done", () -> !(fault instanceof Fault.StallBody)
                    || service.exchanges().stream().anyMatch(call -> call.operation().equals(operation)));
            toX.cut();
            toFlex.cut();
            Files.copy(left.resolve("journal.jsonl"), rig.data.resolve("journal.jsonl"), StandardCopyOption.REPLACE_EXISTING);
            first.stop();
            rig.start();
            rig.flex.agentWrites(chat, "four");
            ann.writes("third");
            until("all after a death at " + operation, () -> Rig.received(ann).size() >= 5 && rig.written(ann).size() >= 4);
            rig.quiet();
            String found = Rig.received(ann) + " " + rig.written(ann) + rig.flex.violations();
            return found.equals("[welcome, one, two, three, four] [hello, first, second, third][]") ? ""
                    : operation + (fault instanceof Fault.StallBody ? " done: " : " not done: ") + found;
        } finally {
            Rig.delete(left);
        }
    }

    @ParameterizedTest
    @EnumSource
    void aBacklogOfSeveralPagesAndARateLimitInTheMiddleLoseNothing(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, Rig.QUICK)) {
            Customer ann = rig.customer("33");
            talk(rig, ann);
            rig.bridge.stop();
            List<String> all = new ArrayList<>(List.of("hello"));
            for (int i = 0; i < 130; i++) {
                ann.writes("message " + i);
                all.add("message " + i);
            }
            rig.x.awaitDelivered(Duration.ofSeconds(60));
            rig.x.limitReads(1, Duration.ofSeconds(1));
            rig.start();
            until("all of them", () -> rig.written(ann).size() == all.size());
            rig.quiet();
            assertEquals(all, rig.written(ann));
            if (generation == Rig.Generation.CURRENT) assertTrue(rig.x.eventsRead() <= 5 + 200, "read: " + rig.x.eventsRead());
        }
    }

    private static final Map<Rig.Generation, String> LIST = Map.of(Rig.Generation.CURRENT, "GET /2/dm_events",
            Rig.Generation.CLASSIC, "GET /1.1/direct_messages/events/list.json");

    private static long answered(SimulatedService service, String operation) {
        return service.exchanges().stream().filter(call -> call.operation().equals(operation)).count();
    }

    @ParameterizedTest
    @EnumSource
    void whatIsMissedWhileThereIsNoRoomForWhatWasReadIsCaughtUpToo(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation, Map.of("MAX_PENDING", "1"), Rig.QUICK)) {
            rig.x.retryDelays();
            rig.flex.retryDelays();
            Customer ann = rig.customer("34");
            Chat chat = talk(rig, ann);
            rig.x.faults().always(SEND.get(generation), Fault.status(503));
            rig.flex.agentWrites(chat, "one");
            until("it waits", () -> rig.health().path("pending").asInt() == 1);
            long reads = answered(rig.x, LIST.get(generation));
            ann.writes("first");
            until("it is read, and there is no room", () -> answered(rig.x, LIST.get(generation)) > reads);
            ann.writes("second");
            rig.x.awaitDelivered(Duration.ofSeconds(30));
            rig.x.faults().clear();
            until("both", () -> rig.written(ann).size() == 3);
            assertEquals(List.of("hello", "first", "second"), rig.written(ann));
        }
    }

    /** The rounds are half a second: an hour of silence is six, and six hours are 36. */
    @ParameterizedTest
    @EnumSource
    void theFirstWebhookOfXAfterALongSilenceBringsWhatWasWrittenMeanwhile(Rig.Generation generation) throws Exception {
        Bridge.Timing timing = quick(Rig.QUICK.callTimeout(), Duration.ofMillis(500));
        try (Rig rig = rig(generation, timing)) {
            Customer ann = rig.customer("35");
            talk(rig, ann);
            rig.x.webhook("http://127.0.0.1:1/fromTwitter");
            ann.writes("is my letterbox broken?");
            rig.x.awaitDelivered(Duration.ofSeconds(30));
            LockSupport.parkNanos(timing.catchUp().multipliedBy(13).toNanos());
            rig.x.webhook(rig.url() + "/fromTwitter");
            ann.writes("at last");
            until("both", () -> rig.written(ann).size() == 3);
            assertEquals(List.of("hello", "is my letterbox broken?", "at last"), rig.written(ann));
        }
    }

    @ParameterizedTest
    @EnumSource
    void theVeryFirstMessageIsCaughtUpOnceTheSecretIsRight(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation, Map.of("TWITTER_CONSUMER_SECRET", "wrong", "TWITTER_CLIENT_SECRET", ""), Rig.QUICK)) {
            rig.x.retryDelays();
            Customer ann = rig.customer("36");
            ann.writes("am I the first?");
            rig.x.awaitDelivered(Duration.ofSeconds(30));
            rig.bridge.stop();
            rig.environment.put("TWITTER_CONSUMER_SECRET", SimulatedX.sampleKeys().consumerSecret());
            rig.start();
            until("it", () -> rig.written(ann).equals(List.of("am I the first?")));
        }
    }

    /** Of two bridges one asks by a mark on the message, and takes it a round later. */
    @ParameterizedTest
    @EnumSource
    void aConversationThatEndsWhileItsLastWordsAreAskedForIsNotForgottenBeforeThem(Rig.Generation generation) throws Exception {
        Bridge.Timing timing = quick(Rig.QUICK.callTimeout(), Duration.ofSeconds(3));
        try (Rig rig = rig(generation, timing)) {
            Bridge other = rig.another(Map.of("PORT", "0", "DATA_DIR", rig.data.resolve("second").toString(), "PUBLIC_URL", rig.url()));
            Customer ann = rig.customer("37");
            Chat chat = talk(rig, ann);
            rig.x.webhook(other.address() + "/fromTwitter");
            ann.writes("are you there?");
            until("it", () -> rig.written(ann).size() == 2);
            rig.x.webhook(rig.url() + "/fromTwitter");
            rig.quiet();
            other.stop();
            chat.moveWebhooks("http://127.0.0.1:1/fromFlex?customer=37");
            String id = rig.flex.agentWrites(chat, "goodbye");
            until("it is asked for", () -> rig.flex.exchanges().stream().anyMatch(call -> call.method().equals("POST")
                    && call.target().endsWith("/Messages/" + id)));
            chat.moveWebhooks(rig.url() + "/fromFlex?customer=37");
            rig.flex.agentCompletes(chat);
            until("the last words", () -> Rig.received(ann).equals(List.of("welcome", "goodbye")));
            until("it is forgotten", () -> rig.bridge.journal.conversations().isEmpty());
        }
    }

    @ParameterizedTest
    @EnumSource
    void moreThanThereIsRoomForIsCaughtUpBitByBit(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation, Map.of("MAX_PENDING", "2"), Rig.QUICK)) {
            rig.x.retryDelays();
            rig.flex.retryDelays();
            Customer ann = rig.customer("39");
            Chat chat = talk(rig, ann);
            rig.bridge.stop();
            for (String text : List.of("one", "two", "three", "four", "five")) rig.flex.agentWrites(chat, text);
            for (String text : List.of("first", "second", "third", "fourth", "fifth")) ann.writes(text);
            rig.x.awaitDelivered(Duration.ofSeconds(30));
            rig.flex.awaitDelivered(Duration.ofSeconds(30));
            rig.start();
            until("all of it", () -> Rig.received(ann).size() == 6 && rig.written(ann).size() == 6);
            assertEquals(List.of("welcome", "one", "two", "three", "four", "five"), Rig.received(ann));
            assertEquals(List.of("hello", "first", "second", "third", "fourth", "fifth"), rig.written(ann));
        }
    }

    @ParameterizedTest
    @EnumSource
    void aPageThatXRefusesIsNoEndOfWhatWasMissed(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, Rig.QUICK)) {
            Customer ann = rig.customer("38");
            talk(rig, ann);
            rig.bridge.stop();
            List<String> all = new ArrayList<>(List.of("hello"));
            for (int i = 0; i < 12; i++) {
                ann.writes("message " + i);
                all.add("message " + i);
            }
            rig.x.awaitDelivered(Duration.ofSeconds(60));
            rig.x.faults().next(LIST.get(generation), Fault.delay(Duration.ofMillis(1)),
                    Fault.status(400, Map.of(), "{\"errors\":[{\"code\":44,\"message\":\"cursor is invalid\"}]}"));
            rig.start();
            until("all of them", () -> rig.written(ann).size() == all.size());
            assertEquals(all, rig.written(ann));
        }
    }

    @Test
    void whatIsWrittenInAGroupIsNoCustomersMessage() {
        String listed = "{'data':[{'id':'5','event_type':'MessageCreate','sender_id':'11','text':'hi all','created_at':"
                + "'2026-11-20T10:00:00.000Z','dm_conversation_id':'%s'}],'meta':{'result_count':1}}";
        assertEquals(0, missedAtX(listed.formatted("1582103724607971328")).messages().size());
        assertEquals(1, missedAtX(listed.formatted("11-99")).messages().size());
    }

    private static Bridge.FromX missedAtX(String listed) {
        ObjectNode webhook = Bridge.object();
        webhook.putArray("direct_message_events")
                .addAll(Bridge.XApi.V2.events(Bridge.jsonOrMissing(listed.replace('\'', '"')), "99", true));
        return Bridge.FromX.read(webhook, "99");
    }
}
