package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static twitterflex.Rig.eventually;
import static twitterflex.Rig.received;
import static twitterflex.Rig.until;

import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.sandbox.Cable;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.SimulatedFlex;

/** Promise 4: one live conversation, one task and one webhook per customer, whatever happens while it is opened. */
@Execution(ExecutionMode.CONCURRENT)
class OneLiveConversationTest {

    private static void assertOneOfEach(Rig rig, Customer customer) {
        assertEquals(1, rig.flex.chats("twitter-" + customer.id()).size(), "conversations");
        assertEquals(1, rig.chat(customer).webhookUrls().size(), "webhooks");
        assertEquals(1, rig.flex.tasks().stream().filter(task -> task.chatSid().equals(rig.chat(customer).sid())).count(), "tasks");
        assertEquals(List.of(), rig.flex.violations());
    }

    @ParameterizedTest
    @EnumSource
    void twoBridgesSideBySideShareEveryConversation(Rig.Generation generation) throws Exception {
        Bridge.Timing timing = new Bridge.Timing(Duration.ofMillis(20), Duration.ofMillis(300), Duration.ofSeconds(15),
                Duration.ofMinutes(1), Duration.ofSeconds(45), Duration.ofHours(1), Duration.ofHours(1), Duration.ofHours(1));
        int customers = 200;
        try (Rig rig = new Rig(generation, Map.of(), timing)) {
            Bridge second = rig.second();
            ExecutorService senders = Executors.newFixedThreadPool(16);
            List<Future<Integer>> answers = new ArrayList<>();
            for (int i = 0; i < customers; i++) {
                Customer customer = rig.customer("80" + i);
                String[] bodies = {rig.x.event(customer, "first"), rig.x.event(customer, "second")};
                answers.add(senders.submit(() -> post(rig, rig.url(), bodies[0])));
                answers.add(senders.submit(() -> post(rig, second.address(), bodies[1])));
            }
            for (Future<Integer> answer : answers) {
                assertEquals(200, answer.get());
            }
            senders.shutdown();
            for (int i = 0; i < customers; i++) {
                Customer customer = rig.customer("80" + i);
                until("both messages of " + customer.id(), () -> rig.written(customer).size() >= 2);
                assertEquals(new HashSet<>(List.of("first", "second")), new HashSet<>(rig.written(customer)));
                assertEquals(2, rig.written(customer).size());
                if (generation == Rig.Generation.CURRENT) {
                    assertOneOfEach(rig, customer);
                } else {
                    assertEquals(1, rig.flex.chats("twitter-" + customer.id()).size(), "channels");
                    assertEquals(1, rig.chat(customer).webhookUrls().size(), "webhooks");
                }
            }
        }
    }

    private static int post(Rig rig, String address, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(address + "/fromTwitter"))
                .header("x-twitter-webhooks-signature", rig.x.sign(body.getBytes(UTF_8)))
                .POST(HttpRequest.BodyPublishers.ofString(body)).build();
        return Rig.HTTP.send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
    }

    @Test
    void theSameMessageGivenToTwoBridgesWhileTheyGetToKnowTheConversationArrivesOnce() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Bridge second = rig.second();
            Customer ann = rig.customer("77");
            String body = rig.x.event(ann, "once");
            assertEquals(200, post(rig, rig.url(), body));
            until("it", () -> rig.written(ann).equals(List.of("once")));
            assertEquals(200, post(rig, second.address(), body));
            assertEquals(200, post(rig, second.address(), rig.x.event(ann, "after")));
            until("what follows", () -> rig.written(ann).contains("after"));
            assertEquals(List.of("once", "after"), rig.written(ann));
        }
    }

    private static final String CONVERSATIONS = "/v1/Services/{ChatServiceSid}/Conversations";
    private static final String CHANNELS = "/v2/Services/{ServiceSid}/Channels/{ChannelSid}";
    private static final Map<Rig.Generation, List<String>> OPENING = Map.of(
            Rig.Generation.CURRENT, List.of("POST " + CONVERSATIONS, "POST " + CONVERSATIONS + "/{ConversationSid}/Participants",
                    "POST " + CONVERSATIONS + "/{ConversationSid}/Webhooks", "POST /v1/Interactions",
                    "POST " + CONVERSATIONS + "/{ConversationSid}/Messages"),
            Rig.Generation.CLASSIC, List.of("POST /v1/Channels", "POST " + CHANNELS + "/Webhooks", "POST " + CHANNELS + "/Messages"));

    @ParameterizedTest
    @EnumSource
    void aDeathBeforeOrAfterAnyCallThatOpensAConversationIsHealedByTheNextStart(Rig.Generation generation) throws Exception {
        List<String> failures = new ArrayList<>();
        for (String operation : OPENING.get(generation)) {
            failures.add(dieAt(generation, operation, Fault.hold(new CountDownLatch(1))));
            failures.add(dieAt(generation, operation, Fault.stallBody(Duration.ofSeconds(60))));
        }
        failures.removeIf(String::isEmpty);
        assertEquals(List.of(), failures);
    }

    /** The journal is all that a bridge leaves behind: one whose cable is cut, and another on a copy of its journal, is a killed one. */
    private static String dieAt(Rig.Generation generation, String operation, Fault fault) throws Exception {
        try (Rig rig = new Rig(generation); Cable cable = new Cable(rig.flex.url())) {
            rig.bridge.stop();
            Path left = rig.folder.resolve("left");
            Bridge first = rig.another(Map.of("DATA_DIR", left.toString(),
                    "TWILIO_API_URL", cable.url(rig.flex.apiUrlTemplate())));
            Customer ann = rig.customer("1");
            rig.flex.faults().next(operation, fault);
            ann.writes("hello");
            struck(rig.flex, operation, fault);
            Files.copy(left.resolve("journal.jsonl"), rig.data.resolve("journal.jsonl"), StandardCopyOption.REPLACE_EXISTING);
            cable.cut();
            first.stop();
            rig.start();
            ann.writes("again");
            return healed(rig.flex, operation, fault);
        }
    }

    /** The real thing, at two of the calls: before a step in the middle, and after the message is posted. */
    @ParameterizedTest
    @EnumSource
    void aKillInTheMiddleOfOpeningAConversationIsHealedByTheNextStart(Rig.Generation generation) throws Exception {
        List<String> steps = OPENING.get(generation);
        assertEquals("", killAt(generation, steps.get(steps.size() - 2), Fault.hold(new CountDownLatch(1))));
        assertEquals("", killAt(generation, steps.get(steps.size() - 1), Fault.stallBody(Duration.ofSeconds(60))));
    }

    private static void struck(SimulatedFlex flex, String operation, Fault fault) {
        until(operation, () -> flex.calls(operation) == 1);
        until("the work done", () -> !(fault instanceof Fault.StallBody)
                || flex.exchanges().stream().anyMatch(call -> call.operation().equals(operation)));
    }

    /** @return what is not well, or nothing */
    private static String healed(SimulatedFlex flex, String operation, Fault fault) {
        Chat chat = eventually("both messages after a death at " + operation,
                () -> flex.openChat("twitter-1").filter(open -> open.messages().size() >= 2).orElse(null));
        List<String> bodies = chat.messages().stream().map(Chat.Posted::body).toList();
        String found = flex.chats().size() + " conversations, " + flex.tasks().size() + " tasks, " + chat.webhookUrls().size()
                + " webhooks, " + bodies;
        return found.equals("1 conversations, 1 tasks, 1 webhooks, [hello, again]") && flex.violations().isEmpty() ? ""
                : operation + (fault instanceof Fault.StallBody ? " done" : " not done") + ": " + found + flex.violations();
    }

    private static String killAt(Rig.Generation generation, String operation, Fault fault) throws Exception {
        try (World world = new World(generation, Map.of())) {
            world.flex.faults().next(operation, fault);
            Customer ann = world.x.customer("1", "ann", "Ann");
            ann.writes("hello");
            struck(world.flex, operation, fault);
            world.bridge.kill();
            world.bridge.start();
            ann.writes("again");
            return healed(world.flex, operation, fault);
        }
    }

    @Test
    void anotherBridgeTakesOverWhatADeadOneLeftHalfOpen() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            rig.flex.faults().always("POST /v1/Interactions", Fault.status(500));
            Customer ann = rig.customer("31");
            ann.writes("from the dead one");
            until("it is half open", () -> rig.flex.calls("POST /v1/Interactions") > 1);
            rig.bridge.stop();
            rig.flex.faults().clear();
            Bridge second = rig.second();
            assertEquals(200, post(rig, second.address(), rig.x.event(ann, "to the living one")));
            until("the message", () -> rig.written(ann).equals(List.of("to the living one")));
            assertOneOfEach(rig, ann);
            rig.start();
            until("the dead one's message, late", () -> rig.written(ann).size() == 2);
            assertOneOfEach(rig, ann);
        }
    }

    @ParameterizedTest
    @EnumSource
    void afterARestartTheOpenConversationGoesOn(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            Customer ann = rig.customer("32");
            ann.writes("before");
            rig.quiet();
            rig.restart();
            ann.writes("after");
            until("both", () -> rig.written(ann).equals(List.of("before", "after")));
            assertOneOfEach(rig, ann);
        }
    }

    @Test
    void aConversationThatClosedUnseenLeadsToANewOneWithTheSameMessage() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            rig.flex.pageSize(1);
            Customer ann = rig.customer("33");
            for (int i = 0; i < 4; i++) {
                int n = i;
                ann.writes("message " + i);
                until("message " + i, () -> rig.written(ann).size() == n + 1);
                Chat chat = rig.chat(ann);
                assertEquals("twitter-33-" + i, chat.uniqueName());
                rig.flex.faults().clear();
                // The bridge is not told: its webhook is at an address where nobody listens.
                rig.flex.publicUrl(rig.url(), "http://127.0.0.1:9");
                rig.flex.agentCompletes(chat);
            }
            assertEquals(List.of("message 0", "message 1", "message 2", "message 3"), rig.written(ann));
            assertEquals(4, rig.flex.tasks().size());
        }
    }

    @ParameterizedTest
    @EnumSource
    void aWebhookAtAnOldPublicUrlIsReplaced(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation, Map.of("PUBLIC_URL", "https://old.example.com"))) {
            Customer ann = rig.customer("34");
            ann.writes("before");
            rig.quiet();
            assertEquals(List.of("https://old.example.com/fromFlex?customer=34"), rig.chat(ann).webhookUrls());
            rig.bridge.stop();
            rig.environment.put("PUBLIC_URL", rig.url());
            rig.start();
            ann.writes("after");
            rig.quiet();
            until("its webhook here", () -> rig.chat(ann).webhookUrls().equals(List.of(rig.url() + "/fromFlex?customer=34")));
            rig.flex.agentWrites(rig.chat(ann), "I can reach you");
            until("the answer", () -> received(ann).equals(List.of("I can reach you")));
        }
    }

    @Test
    void afterAStartAtANewAddressAnAgentsAnswerComesThroughBeforeTheCustomerWritesAgain() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of("PUBLIC_URL", "https://old.example.com"))) {
            Customer ann = rig.customer("38");
            ann.writes("before");
            rig.quiet();
            rig.customer("39").writes("to another bridge");
            rig.quiet();
            rig.chat(rig.customer("39")).moveWebhooks("https://other.example.com/fromFlex?customer=39");
            rig.bridge.stop();
            rig.environment.put("PUBLIC_URL", rig.url());
            rig.start();
            until("the webhook at the new address", () -> rig.chat(ann).webhookUrls().equals(List.of(rig.url() + "/fromFlex?customer=38")));
            rig.flex.agentWrites(rig.chat(ann), "I can reach you");
            until("the answer", () -> received(ann).equals(List.of("I can reach you")));
            until("it is known that all were told", () -> journal(rig).contains("\"do\":\"address\",\"id\":\"" + rig.url() + "\""));
            rig.flex.resetCalls();
            rig.restart();
            rig.flex.agentWrites(rig.chat(ann), "still");
            until("the answer", () -> received(ann).size() == 2);
            assertEquals(List.of("https://other.example.com/fromFlex?customer=39"), rig.chat(rig.customer("39")).webhookUrls(), "that of another bridge stays");
            assertEquals(0, rig.flex.calls("GET " + CONVERSATIONS), "an address that is known already costs nothing");
        }
    }

    private static String journal(Rig rig) {
        try {
            return Files.readString(rig.data.resolve("journal.jsonl"));
        } catch (java.io.IOException unreadable) {
            throw new AssertionError(unreadable);
        }
    }

    @Test
    void aNumberAfterARestartIsReadByTheListInTheConversation() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Customer ann = rig.customer("35");
            ann.writes("hi");
            rig.flex.agentWrites(rig.chat(ann), "Pick: Options Red, Green, Blue");
            until("the list", () -> received(ann).size() == 1);
            rig.quiet();
            rig.restart();
            ann.writes("bLUE ");
            until("the label", () -> rig.written(ann).contains("Blue"));
            ann.writes("2");
            until("a number that answers nothing", () -> rig.written(ann).size() == 3);
            assertEquals(List.of("hi", "Blue", "2"), rig.written(ann));
            rig.flex.agentWrites(rig.chat(ann), "And: Options S, M, L");
            until("the next list", () -> received(ann).size() == 2);
            rig.quiet();
            rig.restart();
            ann.writes("4");
            ann.writes("3");
            until("the label", () -> rig.written(ann).equals(List.of("hi", "Blue", "2", "4", "L")));
        }
    }

    @Test
    void interactionsMayAnswerWithAnyGoodStatusAndBody() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            rig.flex.interactionStatus(201);
            rig.customer("36").writes("hi");
            rig.quiet();
            assertOneOfEach(rig, rig.customer("36"));
            rig.flex.faults().next("POST /v1/Interactions", Fault.notJson(200));
            rig.customer("37").writes("hi");
            rig.quiet();
            rig.customer("37").writes("again");
            rig.quiet();
            assertOneOfEach(rig, rig.customer("37"));
        }
    }

    /** What is compressed: a conversation is being opened for 300 ms at most, and a known one is asked for its task at every message. */
    private static final Bridge.Timing WARY = new Bridge.Timing(Duration.ofMillis(10), Duration.ofMillis(100), Duration.ofSeconds(4),
            Duration.ofSeconds(60), Duration.ofMillis(300), Duration.ZERO, Duration.ofHours(1), Duration.ofHours(1));

    /** The last message the customer wrote stands in an open conversation with a task that an agent can take. */
    private static boolean before(Rig rig, Customer customer, String text) {
        return rig.flex.openChat("twitter-" + customer.id()).filter(chat -> chat.messages().stream().anyMatch(message -> message.body().equals(text))
                && rig.flex.tasks().stream().anyMatch(task -> task.chatSid().equals(chat.sid())
                        && List.of("pending", "reserved", "assigned", "wrapping").contains(task.status()))).isPresent();
    }

    private static Chat old(Rig rig, Customer customer) {
        customer.writes("first");
        rig.quiet();
        Chat chat = rig.chat(customer);
        Instant opened = Instant.now();
        until("it is no longer being opened", () -> Instant.now().isAfter(opened.plusMillis(1_500)));
        return chat;
    }

    @ParameterizedTest
    @CsvSource({"canceled, false", "canceled, true", "forgotten, false", "forgotten, true"})
    void aMessageAfterItsTaskHasEndedUnseenReachesAConversationWithATaskThatCanBeTaken(String end, boolean restarted) throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of(), WARY)) {
            Customer ann = rig.customer("60");
            Chat chat = old(rig, ann);
            rig.flex.taskCanceled(chat);
            if (end.equals("forgotten")) {
                rig.flex.taskForgotten(chat);
            }
            if (restarted) {
                rig.restart();
            }
            ann.writes("is anybody there?");
            until("it is before an agent", () -> before(rig, ann, "is anybody there?"));
            rig.quiet();
            assertEquals(1, rig.flex.chats("twitter-60").stream().filter(Chat::open).count(), "open conversations");
            assertEquals(List.of("first", "is anybody there?"), rig.written(ann));
            assertEquals(List.of(), rig.flex.violations());
        }
    }

    @Test
    void anInteractionThatIsAcceptedAndComesToNothingLeadsToAnotherConversationWithTheSameMessage() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of(), WARY)) {
            rig.flex.interactionsThatComeToNothing(2);
            Customer ann = rig.customer("61");
            ann.writes("hello?");
            until("it is before an agent", () -> before(rig, ann, "hello?"));
            rig.quiet();
            assertEquals(1, rig.flex.chats("twitter-61").stream().filter(Chat::open).count(), "open conversations");
            assertEquals(1, rig.flex.tasks().size());
            assertEquals(List.of(), rig.flex.violations());
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aMessageToAConversationThatTheAgentHasLeftWakesIt(boolean restarted) throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of(), WARY)) {
            Customer ann = rig.customer("62");
            Chat chat = old(rig, ann);
            rig.flex.agentLeaves(chat);
            rig.quiet();
            if (restarted) {
                rig.restart();
            }
            ann.writes("one more thing");
            until("it is before an agent", () -> before(rig, ann, "one more thing"));
            rig.quiet();
            assertEquals(List.of(chat), rig.flex.chats("twitter-62"), "no second conversation is opened");
            assertEquals(List.of(), rig.flex.violations());
            rig.flex.agentWrites(chat, "welcome back");
            until("the answer", () -> received(ann).equals(List.of("welcome back")));
        }
    }

    @Test
    void twoBridgesThatCompleteAHalfOpenedConversationAtOnceMakeOneTask() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Bridge second = rig.second();
            Customer ann = rig.customer("63");
            CountDownLatch both = new CountDownLatch(2);
            rig.flex.faults().next("POST /v1/Interactions", Fault.status(500), Fault.hold(both), Fault.hold(both));
            assertEquals(200, post(rig, rig.url(), rig.x.event(ann, "first")));
            until("it is half open", () -> rig.flex.calls("POST /v1/Interactions") >= 1);
            assertEquals(200, post(rig, second.address(), rig.x.event(ann, "second")));
            until("both ask", () -> rig.flex.calls("POST /v1/Interactions") == 3);
            both.countDown();
            both.countDown();
            until("both messages", () -> rig.written(ann).size() == 2);
            rig.quiet();
            assertOneOfEach(rig, ann);
        }
    }

    @Test
    void aConversationThatWaitsForItsTaskIsNotOpenedAnewAtEachTry() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of(), WARY)) {
            rig.flex.faults().always("POST /v1/Interactions", Fault.status(500));
            Customer ann = rig.customer("64");
            ann.writes("hello?");
            Instant start = Instant.now();
            until("it has been tried for long", () -> Instant.now().isAfter(start.plusMillis(2_500)) && rig.flex.calls("POST /v1/Interactions") > 5);
            rig.flex.faults().clear();
            until("it is before an agent", () -> before(rig, ann, "hello?"));
            rig.quiet();
            assertOneOfEach(rig, ann);
        }
    }

    @Test
    void aMessageWhoseFateIsUnknownInAConversationWithoutATaskIsStillBroughtBeforeAnAgent() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of(), WARY)) {
            rig.flex.interactionsThatComeToNothing(1);
            rig.flex.faults().next("POST " + CONVERSATIONS + "/{ConversationSid}/Messages", Fault.dropAfter());
            Customer ann = rig.customer("65");
            ann.writes("hello?");
            until("it is before an agent", () -> before(rig, ann, "hello?"));
        }
    }

    private static void delete(Rig rig, Chat chat) throws Exception {
        SimulatedFlex.Account account = SimulatedFlex.Account.sample();
        URI conversation = URI.create(rig.flex.url() + "/conversations/v1/Services/" + account.chatService()
                + "/Conversations/" + chat.sid());
        HttpRequest delete = HttpRequest.newBuilder(conversation).DELETE()
                .header("Authorization", Bridge.Signatures.basic(account.accountSid(), account.authToken())).build();
        assertEquals(204, Rig.HTTP.send(delete, HttpResponse.BodyHandlers.discarding()).statusCode());
    }

    @Test
    void conversationsDeletedAtTwilioDoNotConfuseTheNames() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
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
            rig.restart();
            ann.writes("still there?");
            until("it", () -> rig.written(ann).contains("still there?"));
            assertEquals(1, rig.flex.chats("twitter-11").stream().filter(Chat::open).count(), "live conversations");
        }
    }

    @Test
    void aSlowOwnerDoesNotAskForASecondTask() throws Exception {
        Bridge.Timing timing = new Bridge.Timing(Duration.ofMillis(5), Duration.ofMillis(50), Duration.ofMillis(1_500),
                Duration.ofMinutes(1), Duration.ofSeconds(45), Duration.ofHours(1), Duration.ofHours(1), Duration.ofHours(1));
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of(), timing)) {
            Bridge second = rig.second();
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
            assertEquals(1, rig.flex.tasks().size());
            assertEquals(1, rig.chat(ann).webhookUrls().size());
        }
    }
}
