package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.received;
import static twitterflex.Rig.until;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.SimulatedFlex;

/** What a sceptic found: each of these has lost, doubled or stopped a message once. */
class HardCasesTest {
    private static final String SEND = "POST /2/dm_conversations/with/{participant_id}/messages";
    private static final String EVENTS = "GET /2/dm_conversations/with/{participant_id}/dm_events";
    private static final String CONVERSATIONS = "/v1/Services/{ChatServiceSid}/Conversations";
    private static final String POST = "POST " + CONVERSATIONS + "/{ConversationSid}/Messages";
    private static final String LIST = "GET " + CONVERSATIONS + "/{ConversationSid}/Messages";

    private static Rig rig() throws Exception {
        return new Rig(Rig.Generation.CURRENT);
    }

    private static Chat talk(Rig rig, String id) {
        rig.customer(id).writes("hi");
        Chat chat = rig.chat(rig.customer(id));
        rig.quiet();
        return chat;
    }

    private static List<String> heads(List<String> texts) {
        return texts.stream().map(text -> text.substring(0, 1)).toList();
    }

    private static Fault[] times(int count, Fault fault) {
        return IntStream.range(0, count).mapToObj(i -> fault).toArray(Fault[]::new);
    }

    @Test
    void twoEqualHalvesOfALongMessageAreTwoParts() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "1");
            rig.x.faults().next(SEND, Fault.delay(Duration.ZERO), Fault.status(500), Fault.dropAfter());
            rig.flex.agentWrites(chat, "a".repeat(10_000) + "a".repeat(10_000));
            until("two parts", () -> received(rig.customer("1")).size() >= 2);
            rig.quiet();
            assertEquals(List.of("a", "a"), heads(received(rig.customer("1"))));
        }
    }

    @Test
    void theLookUpOfALaterPartGoesPastWhatOthersWroteMeanwhile() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "2");
            rig.flex.faults().next(POST, Fault.delay(Duration.ZERO), Fault.dropAfter());
            rig.flex.faults().next(LIST, times(5, Fault.status(503)));
            rig.customer("2").writes("😀".repeat(9_999));
            until("both parts posted", () -> rig.written(rig.customer("2")).size() >= 3);
            rig.flex.agentWrites(chat, "one moment");
            rig.quiet();
            assertEquals(3, rig.written(rig.customer("2")).size());
        }
    }

    @Test
    void aLimitOnLookUpsHoldsOnlyTheOneWhoLooks() throws Exception {
        try (Rig rig = rig()) {
            Chat one = talk(rig, "31");
            Chat other = talk(rig, "32");
            rig.x.faults().always(EVENTS, Fault.status(429, Map.of("Retry-After", "2"), "{}"));
            rig.x.faults().next(SEND, Fault.status(500));
            rig.flex.agentWrites(one, "trouble of one");
            until("a look-up", () -> rig.x.calls(EVENTS) > 0);
            rig.flex.agentWrites(other, "costs the others nothing");
            until("the other's", () -> received(rig.customer("32")).equals(List.of("costs the others nothing")));
            assertEquals(List.of(), received(rig.customer("31")));
            rig.x.faults().clear();
            until("the one's", () -> received(rig.customer("31")).equals(List.of("trouble of one")));
        }
    }

    @Test
    void aLabelOrNumberIsReadThoughTheFirstTryFails() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "4");
            rig.flex.agentWrites(chat, "Pick: Options Red, Green, Blue");
            until("the list", () -> received(rig.customer("4")).size() == 1);
            rig.quiet();
            rig.flex.faults().next(POST, Fault.status(503));
            rig.customer("4").writes("bLUE");
            until("the label", () -> rig.written(rig.customer("4")).equals(List.of("hi", "Blue")));
            rig.flex.agentWrites(chat, "Again: Options Red, Green, Blue");
            until("the list", () -> received(rig.customer("4")).size() == 2);
            rig.quiet();
            rig.flex.faults().next(LIST, Fault.status(503));
            rig.customer("4").writes("2");
            until("the label", () -> rig.written(rig.customer("4")).equals(List.of("hi", "Blue", "Green")));
        }
    }

    @Test
    void onceTheAgentHasWrittenSomethingElseANumberIsANumber() throws Exception {
        try (Rig rig = rig()) {
            Customer ann = rig.customer("5");
            Chat chat = talk(rig, "5");
            rig.flex.agentWrites(chat, "Pick: Options Red, Green, Blue");
            until("the list", () -> received(ann).size() == 1);
            ann.writes("let me see");
            rig.flex.agentSendsMedia(chat, "colours.pdf", "application/pdf");
            until("the note", () -> rig.notes(chat).size() == 1);
            rig.quiet();
            ann.writes("2.");
            until("the label, in spite of prose and note", () -> rig.written(ann).equals(List.of("hi", "let me see", "Green")));
            rig.flex.agentWrites(chat, "Another: Options Red, Green, Blue");
            until("the list", () -> received(ann).size() == 2);
            ann.writes("hm");
            rig.flex.agentWrites(chat, "How many boxes?");
            until("the question", () -> received(ann).size() == 3);
            rig.quiet();
            ann.writes("2");
            until("a number", () -> rig.written(ann).equals(List.of("hi", "let me see", "Green", "hm", "2")));
            rig.quiet();
            rig.bridge.stop();
            rig.start();
            ann.writes("2)");
            until("still a number", () -> rig.written(ann).equals(List.of("hi", "let me see", "Green", "hm", "2", "2)")));
        }
    }

    /** As long, as wide and as odd as X's JSON can say it: none of it is a reason to keep a message from an agent. */
    @ParameterizedTest
    @EnumSource
    void whatPeopleCallThemselvesIsCutToTheServicesLimits(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            List<String> names = List.of("n".repeat(300), "n".repeat(100_000), "名".repeat(300), "📦".repeat(300), "n" + "📦".repeat(300),
                    "\u0001".repeat(300), "\"\\".repeat(300), "\ud83d".repeat(300), "a\u0301".repeat(300));
            for (int i = 0; i < names.size(); i++) {
                Customer ann = rig.x.customer("5" + i, names.get(i), names.get(i));
                ann.writes("hi");
                for (int length : List.of(1_000, 50_000)) {
                    ann.answers(new Customer.QuickReplyOption("Red", "", names.get(i).substring(0, 2).repeat(length / 2)));
                }
                until("all of " + ann.id(), () -> rig.written(ann).equals(List.of("hi", "Red", "Red")));
            }
            Customer first = rig.customer("50");
            rig.flex.agentWrites(rig.chat(first), "Pick: Options Red, Green");
            until("the list", () -> received(first).size() == 1);
            first.writes("2" + " \n".repeat(4_000));
            until("the answer", () -> rig.written(first).size() == 4);
            rig.quiet();
            assertEquals(List.of(), rig.flex.violations());
            assertEquals(0, rig.health().path("failed").asInt());
        }
    }

    @Test
    void anEventFromAnImpossibleTimeIsDelivered() throws Exception {
        try (Rig rig = rig()) {
            Customer ann = rig.customer("7");
            List<String> times = List.of("9223372036854775807", "-9223372036854775808", "0", "soon");
            for (String time : times) {
                String event = rig.x.event(ann, "at " + time).replaceFirst("\"created_timestamp\":\"[0-9]+\"", "\"created_timestamp\":\"" + time + "\"");
                assertEquals(200, rig.x.post(event).status());
                until(time, () -> rig.written(ann).contains("at " + time));
                rig.get("/metrics");
            }
            rig.flex.faults().next(POST, Fault.dropAfter(), Fault.dropAfter());
            rig.x.post(rig.x.event(ann, "late").replaceFirst("\"created_timestamp\":\"[0-9]+\"", "\"created_timestamp\":\"9223372036854775807\""));
            rig.x.post(rig.x.event(ann, "early").replaceFirst("\"created_timestamp\":\"[0-9]+\"", "\"created_timestamp\":\"-9223372036854775808\""));
            until("both", () -> rig.written(ann).contains("early"));
            rig.quiet();
            rig.bridge.stop();
            rig.start();
            rig.quiet();
            assertEquals(List.of("late", "early"), rig.written(ann).subList(4, rig.written(ann).size()));
        }
    }

    @Test
    void aRetryFileThatCannotBeReadCostsNothing() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "6");
            Files.createDirectory(rig.data.resolve("retry"));
            rig.flex.agentWrites(chat, "one");
            rig.flex.agentWrites(chat, "two");
            until("both", () -> received(rig.customer("6")).equals(List.of("one", "two")));
            rig.quiet();
            rig.bridge.stop();
            rig.start();
            rig.quiet();
            assertEquals(List.of("one", "two"), received(rig.customer("6")));
        }
    }

    @Test
    void aMessageOfUnknownFateIsNotRepeatedInTheNextConversation() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "10");
            rig.flex.faults().next(POST, Fault.dropAfter());
            rig.flex.faults().next(LIST, times(6, Fault.status(503)));
            rig.customer("10").writes("thanks, bye");
            until("posted", () -> rig.written(rig.customer("10")).size() == 2);
            rig.flex.agentCompletes(chat);
            rig.quiet();
            assertEquals(List.of("hi", "thanks, bye"), rig.written(rig.customer("10")));
        }
    }

    private static void delete(Rig rig, Chat chat) throws Exception {
        SimulatedFlex.Account account = SimulatedFlex.Account.sample();
        HttpRequest delete = HttpRequest.newBuilder(URI.create(rig.flex.url() + "/conversations/v1/Services/" + account.chatService() + "/Conversations/"
                + chat.sid())).header("Authorization", "Basic " + Base64.getEncoder().encodeToString((account.accountSid() + ":" + account.authToken())
                        .getBytes())).DELETE().build();
        assertEquals(204, Rig.HTTP.send(delete, HttpResponse.BodyHandlers.discarding()).statusCode());
    }

    @Test
    void conversationsDeletedAtTwilioDoNotConfuseTheNames() throws Exception {
        try (Rig rig = rig()) {
            Customer ann = rig.customer("11");
            for (int i = 0; i < 60; i++) {
                int n = i + 1;
                ann.writes("m" + i);
                until("m" + i, () -> rig.written(ann).size() == n);
                rig.quiet();
                rig.flex.agentCompletes(rig.chat(ann));
                rig.flex.awaitDelivered(Duration.ofSeconds(5));
            }
            for (Chat chat : rig.flex.chats("twitter-11").subList(1, 26)) {
                delete(rig, chat);
            }
            ann.writes("hello?");
            until("it", () -> rig.written(ann).contains("hello?"));
            rig.quiet();
            delete(rig, rig.flex.chats("twitter-11").get(0));
            rig.bridge.stop();
            rig.start();
            ann.writes("still there?");
            until("it", () -> rig.written(ann).contains("still there?"));
            assertEquals(1, rig.flex.chats("twitter-11").stream().filter(Chat::open).count(), "live conversations");
        }
    }

    @Test
    void anErrorInADeliveryIsTriedAgainAndABugIsRefused() throws Exception {
        java.nio.file.Path folder = Files.createTempDirectory("bridge-test");
        try (Bridge.Journal journal = Bridge.Journal.open(folder.resolve("data"), 1_000, 1 << 28)) {
            int[] calls = {0};
            List<String> seen = new CopyOnWriteArrayList<>();
            Bridge.Relay relay = new Bridge.Relay(journal, delivery -> {
                if (calls[0]++ == 0) {
                    throw new OutOfMemoryError("as it may happen");
                }
                if (delivery.message.id().equals("2")) {
                    throw new IllegalStateException("a bug");
                }
                seen.add(delivery.message.id());
                return new Bridge.Outcome.Delivered("x", "");
            }, reply -> {
                throw new AssertionError("nothing is for X");
            }, Rig.QUICK, new Bridge.Metrics());
            relay.start();
            for (String id : List.of("1", "2", "3")) {
                assertTrue(relay.accept(List.of(new Bridge.Message(Bridge.Direction.TO_FLEX, id, "77", "h", "n", "t", List.of(), "", "", Instant.now()))));
            }
            until("all settled", () -> journal.counts().get("pending") == 0);
            assertEquals(List.of("1", "3"), seen);
            assertEquals(1, journal.counts().get("failed"));
            relay.stop();
        } finally {
            Rig.delete(folder);
        }
    }

    @Test
    void aLookUpThatIsRefusedIsNotSoldAsARefusedMessage() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "15");
            rig.x.faults().next(SEND, Fault.dropAfter());
            rig.x.faults().next(EVENTS, Fault.status(403, Map.of(), "{\"title\":\"Forbidden\",\"detail\":\"Not for you\",\"status\":403}"));
            rig.flex.agentWrites(chat, "delivered it is");
            until("the note", () -> rig.notes(chat).size() == 1);
            assertTrue(rig.notes(chat).get(0).startsWith("It is not known whether this was delivered"), () -> rig.notes(chat).toString());
        }
    }

    @Test
    void aForbiddenAppPausesTheServiceInsteadOfLosingTheMessage() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "16");
            rig.x.faults().next(SEND, Fault.status(403, Map.of(), """
                    {"title":"Client Forbidden","detail":"…","required_enrollment":"Basic","reason":"client-not-enrolled",
                     "type":"https://api.twitter.com/2/problems/client-forbidden","status":403}"""));
            rig.flex.agentWrites(chat, "kept");
            until("it", () -> received(rig.customer("16")).equals(List.of("kept")));
        }
    }

    @Test
    void twiliosTroubleWithOneConversationDoesNotPauseX() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "17");
            rig.flex.faults().always("GET " + CONVERSATIONS + "/{Sid}", Fault.status(429, Map.of("Retry-After", "60"), "{}"));
            rig.flex.post(rig.url() + "/fromFlex", Map.of("EventType", "onMessageAdded", "ConversationSid", "CH0123456789abcdef0123456789abcdef",
                    "MessageSid", "IM0123456789abcdef0123456789abcdef", "Author", "ada", "Body", "x", "Source", "SDK"));
            until("it was asked for", () -> rig.flex.calls("GET " + CONVERSATIONS + "/{Sid}") > 0);
            rig.flex.agentWrites(chat, "others");
            until("the others", () -> received(rig.customer("17")).equals(List.of("others")));
        }
    }

    @Test
    void aSlowOwnerDoesNotAskForASecondTask() throws Exception {
        java.nio.file.Path data = Files.createTempDirectory("bridge-test");
        Bridge.Timing timing = new Bridge.Timing(Duration.ofMillis(5), Duration.ofMillis(50), Duration.ofMillis(1500), Duration.ofSeconds(60), Duration.ofSeconds(45), Duration.ofHours(1), Duration.ofHours(1), Duration.ofHours(1));
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of(), timing)) {
            Bridge second = rig.another(Map.of("PORT", "0", "DATA_DIR", data.toString()));
            Customer ann = rig.customer("18");
            for (String operation : List.of("POST " + CONVERSATIONS, "POST " + CONVERSATIONS + "/{ConversationSid}/Participants",
                    "POST " + CONVERSATIONS + "/{ConversationSid}/Webhooks", "POST /v1/Interactions")) {
                rig.flex.faults().next(operation, Fault.delay(Duration.ofMillis(1200)));
            }
            rig.x.post(rig.x.event(ann, "first"));
            until("it is being opened", () -> rig.flex.calls("POST " + CONVERSATIONS + "/{ConversationSid}/Participants") > 0);
            rig.x.webhook(second.address() + "/fromTwitter");
            rig.x.post(rig.x.event(ann, "second"));
            until("both", () -> rig.written(ann).size() >= 2);
            rig.quiet();
            second.stop();
            assertEquals(1, rig.flex.tasks().size());
            assertEquals(1, rig.chat(ann).webhookUrls().size());
        } finally {
            Rig.delete(data);
        }
    }

    @Test
    void aHalfDeliveredMessagePutBackGoesOnWithItsSecondHalf() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "29");
            rig.x.faults().next(SEND, Fault.delay(Duration.ZERO), Fault.status(403, Map.of(), "{\"errors\":[{\"code\":151,\"message\":\"no\"}]}"));
            rig.flex.agentWrites(chat, "a".repeat(9_999) + " " + "b".repeat(9_999));
            until("refused", () -> rig.notes(chat).size() == 1);
            Files.writeString(rig.data.resolve("retry"), "all\n");
            until("the second part", () -> heads(received(rig.customer("29"))).contains("b"));
            assertEquals(List.of("a", "b"), heads(received(rig.customer("29"))));
        }
    }

    @Test
    void aLinkWithoutASchemeIsFoundAgain() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "30");
            rig.x.faults().next(SEND, Fault.dropAfter());
            rig.flex.agentWrites(chat, "see https://example.com/ and https://example.com/a/");
            until("it", () -> !received(rig.customer("30")).isEmpty());
            rig.quiet();
            assertEquals(1, received(rig.customer("30")).size());
        }
    }

    /** X keeps a text composed, with line feeds, stripped, and with its links spelt out. */
    @ParameterizedTest
    @EnumSource
    void aTextThatXKeepsInItsOwnWayIsFoundAgain(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            Chat chat = talk(rig, "34");
            List<String> texts = List.of("Cafe\u0301 at 9", "two\r\nlines", " \tspace around \n", "old\rline", "www.example.com, or www.example.com/a.",
                    "e\u0323\u0302\u200b");
            for (String text : texts) {
                rig.x.faults().next(generation == Rig.Generation.CURRENT ? SEND : "POST /1.1/direct_messages/events/new.json", Fault.dropAfter());
                rig.flex.agentWrites(chat, text);
                rig.quiet();
            }
            assertEquals(texts.stream().map(String::strip).toList(), received(rig.customer("34")).stream().map(String::strip).toList());
            assertEquals(texts.size(), rig.x.calls(EVENTS) + rig.x.calls("GET /1.1/direct_messages/events/list.json"), "each was looked up once");
        }
    }

    @ParameterizedTest
    @EnumSource
    void aCustomersMessageThatFlexRefusesIsToldToTheAgent(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            Chat chat = talk(rig, "33");
            String post = generation == Rig.Generation.CURRENT ? POST : "POST /v2/Services/{ServiceSid}/Channels/{ChannelSid}/Messages";
            rig.flex.faults().next(post, Fault.status(400, Map.of(), "{\"code\":50504,\"message\":\"Body too long\",\"status\":400}"));
            rig.customer("33").writes("cannot be shown");
            until("the note", () -> rig.notes(chat).stream().anyMatch(note -> note.startsWith("Not delivered") && note.contains("50504")));
            assertEquals(1, rig.health().path("failed").asInt());
        }
    }

    /** Bodies that nobody has signed: the heap is small, the senders are many, and none of them ever ends. */
    @Test
    void unsignedBodiesThatStallDoNotExhaustTheMemory() throws Exception {
        java.nio.file.Path folder = Files.createTempDirectory("bridge-test");
        List<java.net.Socket> sockets = new ArrayList<>();
        try (Rig rig = rig()) {
            int port = Ports.free();
            Map<String, String> environment = Rig.environment(Rig.Generation.CURRENT, rig.x, rig.flex, port, folder.resolve("data"));
            environment.put("JDK_JAVA_OPTIONS", "-Xmx128m");
            try (BridgeProcess bridge = new BridgeProcess(environment, folder)) {
                bridge.start();
                byte[] body = new byte[(1 << 20) - 1];
                for (int i = 0; i < 300; i++) {
                    java.net.Socket socket = new java.net.Socket("127.0.0.1", port);
                    sockets.add(socket);
                    try {
                        socket.getOutputStream().write("POST /fromTwitter HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n".getBytes());
                        socket.getOutputStream().write(body);
                    } catch (IOException refused) {
                        continue;
                    }
                }
                rig.x.webhook("http://127.0.0.1:" + port + "/fromTwitter");
                assertEquals(200, rig.x.post(rig.x.event(rig.customer("9"), "meanwhile")).status());
                until("it", () -> rig.written(rig.customer("9")).equals(List.of("meanwhile")));
                assertFalse(bridge.log().contains("OutOfMemoryError"), bridge.log());
            }
        } finally {
            for (java.net.Socket socket : sockets) {
                socket.close();
            }
            Rig.delete(folder);
        }
    }

    @Test
    void aLatchLetsADeliveryEndWhileTheBridgeStops() throws Exception {
        try (Rig rig = rig()) {
            Chat chat = talk(rig, "40");
            CountDownLatch latch = new CountDownLatch(1);
            rig.x.faults().next(SEND, Fault.hold(latch));
            rig.flex.agentWrites(chat, "in hand");
            until("it is in hand", () -> rig.x.calls(SEND) == 1);
            Thread stop = new Thread(rig.bridge::stop);
            stop.start();
            latch.countDown();
            stop.join();
            rig.start();
            rig.quiet();
            assertEquals(List.of("in hand"), received(rig.customer("40")));
            assertEquals(0, rig.x.calls(EVENTS), "it was settled before the stop, so nothing had to be looked up");
        }
    }
}
