package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.eventually;
import static twitterflex.Rig.received;
import static twitterflex.Rig.until;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Refusals;
import twitterflex.sandbox.SimulatedFlex;

/** What a customer and an agent see of each other, over real HTTP, with both generations of the APIs. */
@Execution(ExecutionMode.CONCURRENT)
@ParameterizedClass
@EnumSource
class EndToEndTest {
    private final Rig.Generation generation;
    private final boolean classic;
    private final Rig rig;
    private final Customer ann;

    EndToEndTest(Rig.Generation generation) throws Exception {
        this.generation = generation;
        classic = generation == Rig.Generation.CLASSIC;
        rig = new Rig(generation);
        ann = rig.customer("3001969357");
    }

    @AfterEach
    void nobodyBrokeARule() throws Exception {
        assertEquals(List.of(), rig.x.violations());
        assertEquals(List.of(), rig.flex.violations());
        rig.close();
    }

    private Chat talk() {
        return rig.talk(ann.id());
    }

    @Test
    void aConversationFromTheFirstMessageToTheSecondChat() {
        assertTrue(rig.x.challengeHolds());

        ann.writes("Hello, where is my box?");
        Chat chat = rig.chat(ann);
        until("the message", () -> rig.written(ann).equals(List.of("Hello, where is my box?")));
        assertEquals(1, rig.flex.tasks().size());
        assertEquals(List.of(rig.url() + "/fromFlex?customer=" + ann.id()), chat.webhookUrls());

        rig.flex.agentWrites(chat, "It is on its way 📦");
        until("the answer", () -> received(ann).equals(List.of("It is on its way 📦")));

        ann.writes("thanks");
        rig.flex.agentWrites(chat, "You are welcome");
        until("the second answer", () -> received(ann).size() == 2);
        rig.flex.agentCompletes(chat);
        rig.quiet();
        ann.writes("one more thing");
        Chat second = eventually("another chat", () -> rig.flex.openChat("twitter-" + ann.id())
                .filter(open -> !open.sid().equals(chat.sid())).orElse(null));
        until("all arrived", () -> rig.written(ann)
                .equals(List.of("Hello, where is my box?", "thanks", "one more thing")));
        assertEquals(2, rig.flex.tasks().size());
        assertEquals(1, second.webhookUrls().size());
        rig.flex.agentWrites(second, "yes?");
        until("the answer from the second chat", () -> received(ann).size() == 3);
    }

    @Test
    void aListIsShownAndItsAnswerReachesTheAgentAsTheLabel() {
        Chat chat = talk();
        rig.flex.agentWrites(chat, "Pick one Options Red-warm,Green-fresh,Blue-cool"
                + " Link Track my order, https://example.com/o/77");
        Customer.Received shown = eventually("the list", () -> ann.inbox().isEmpty() ? null : ann.inbox().get(0));
        if (classic) {
            assertEquals("Pick one", shown.text());
            assertEquals(List.of(new Customer.QuickReplyOption("Red", "warm", "option_1"),
                    new Customer.QuickReplyOption("Green", "fresh", "option_2"),
                    new Customer.QuickReplyOption("Blue", "cool", "option_3")), shown.options());
            assertEquals(List.of(new Customer.Button("Track my order", "https://example.com/o/77")), shown.buttons());
            ann.answers(shown.options().get(1));
        } else {
            assertEquals("Pick one\n\n1. Red - warm\n2. Green - fresh\n3. Blue - cool\n\n"
                    + "Track my order: https://example.com/o/77", shown.text());
            ann.writes("2");
        }
        until("the label", () -> rig.written(ann).equals(List.of("hi", "Green")));
        if (classic) {
            String attributes = chat.messages().stream().filter(message -> message.body().equals("Green")).findFirst()
                    .orElseThrow().attributes();
            assertEquals("option_2", Bridge.jsonOrMissing(attributes).path("quick_reply_metadata").asText());
        }
    }

    @Test
    void whatXDoesToATextIsUndone() {
        String longText = "ä😀".repeat(5_000);
        List<String> texts = List.of("a < b && c > d &amp; &lt;",
                "see https://example.com/a?b=1&c=2 and http://example.com/x", "مرحبا שלום", "👩‍👩‍👧‍👦", longText);
        texts.forEach(ann::writes);
        until("all texts as they were typed", () -> rig.written(ann).equals(texts));
    }

    @Test
    void aLocationIsToldWithItsMap() {
        ann.writes("here", (ObjectNode) Bridge.jsonOrMissing("""
                {"type":"location","location":{"type":"shared_coordinate","shared_coordinate":{"coordinates":
                 {"type":"Point","coordinates":[-122.443893,37.771718]}}}}"""));
        until("the link", () -> rig.written(ann).equals(List.of("here\n[location] 37.771718, -122.443893 "
                + "https://www.google.com/maps/search/?api=1&query=37.771718,-122.443893")));
    }

    @Test
    void manyCustomersAtOnceAreServedEachInOrder() {
        List<Customer> customers = new ArrayList<>();
        Map<String, List<String>> wrote = new HashMap<>();
        for (int i = 0; i < 40; i++) {
            customers.add(rig.customer("50" + i));
        }
        for (int round = 0; round < 10; round++) {
            for (Customer customer : customers) {
                String text = "message " + round + " of " + customer.id();
                customer.writes(text);
                wrote.computeIfAbsent(customer.id(), id -> new ArrayList<>()).add(text);
            }
        }
        rig.quiet();
        for (Customer customer : customers) {
            assertEquals(wrote.get(customer.id()), rig.written(customer));
        }
        assertEquals(40, rig.flex.tasks().size());
        for (Customer customer : customers) {
            for (int answer = 0; answer < 5; answer++) {
                rig.flex.agentWrites(rig.chat(customer), "answer " + answer);
            }
        }
        rig.quiet();
        for (Customer customer : customers) {
            assertEquals(List.of("answer 0", "answer 1", "answer 2", "answer 3", "answer 4"), received(customer));
        }
    }

    @Test
    void twoFirstMessagesAtTheSameMomentOpenOneChat() {
        List<String> bodies = List.of(rig.x.event(ann, "one"), rig.x.event(ann, "two"));
        bodies.parallelStream().forEach(body -> assertEquals(200, rig.x.post(body).status()));
        rig.quiet();
        assertEquals(1, rig.flex.chats("twitter-" + ann.id()).size());
        assertEquals(1, rig.flex.tasks().size());
        assertEquals(1, rig.chat(ann).webhookUrls().size());
        assertEquals(2, rig.written(ann).size());
    }

    @Test
    void theWebhookIsAnsweredBeforeFlexIsCalled() {
        CountDownLatch latch = new CountDownLatch(1);
        rig.flex.faults().always("*", Fault.hold(latch));
        assertEquals(200, rig.x.post(rig.x.event(ann, "hello")).status());
        assertEquals(List.of(), rig.written(ann));
        latch.countDown();
        rig.flex.faults().clear();
        until("the message", () -> rig.written(ann).equals(List.of("hello")));
    }

    @Test
    void aBotsMessageGoesOutAndEchoesDoNot() {
        Chat chat = talk();
        until("hi", () -> rig.written(ann).size() == 1);
        rig.flex.botWrites(chat, "Bot", "An agent will be with you soon");
        rig.flex.botWrites(chat, Bridge.NOTE_AUTHOR, "a note");
        rig.flex.botWrites(chat, "twitter-" + ann.id(), "an echo");
        until("the bot's message", () -> received(ann).equals(List.of("An agent will be with you soon")));
        rig.quiet();
        assertEquals(List.of("An agent will be with you soon"), received(ann));
        assertEquals(List.of("hi", "an echo"), rig.written(ann));
    }

    @Test
    void aFileThatXDoesNotTakeIsNotSentAndTheAgentIsTold() {
        Chat chat = talk();
        rig.flex.agentSendsMedia(chat, "manual.pdf", "application/pdf");
        until("the note", () -> rig.notes(chat).stream().anyMatch(note -> note.contains("(application/pdf, 154 KB)")));
        rig.quiet();
        assertEquals(List.of(), received(ann));
        assertEquals(1, rig.failed());
    }

    @Test
    void whatXRefusesForGoodIsToldToTheAgentAndKept() throws Exception {
        Chat chat = talk();
        ann.blocks(true);
        rig.flex.agentWrites(chat, "are you there?");
        until("the note", () -> rig.notes(chat).size() == 1);
        String note = rig.notes(chat).get(0);
        assertTrue(note.startsWith("Not delivered to the customer: ") && note.contains("403"), note);
        ann.blocks(false);
        rig.flex.agentWrites(chat, "now?");
        until("the next message", () -> received(ann).equals(List.of("now?")));
        List<String> failed = Bridge.Journal.failed(rig.data);
        assertEquals(1, failed.size());
        assertTrue(!failed.get(0).contains("are you there?"), "no text in the list");
    }

    @Test
    void aListXCannotShowGoesOutAsTypedAndTheAgentIsToldWhy() {
        Chat chat = talk();
        String typed = "Choose: Options A - first, B";
        rig.flex.agentWrites(chat, typed);
        until("the text as typed", () -> received(ann).equals(List.of(typed)));
        until("the reason", () -> rig.notes(chat).stream().anyMatch(note -> note.contains("only 1 of 2 options")));
    }

    @Test
    void aTextOverTheLimitIsSplitAtWordsAndSentInOrder() {
        Chat chat = talk();
        String text = "word ".repeat(4_999) + "end";
        rig.flex.agentWrites(chat, text);
        until("three parts", () -> received(ann).size() == 3);
        assertEquals(text, String.join(" ", received(ann)));
        assertTrue(received(ann).stream().allMatch(part -> part.length() <= 10_000 && !part.startsWith("ord")));
    }

    @Test
    void callsUpstreamPerMessage() {
        talk();
        int unknown = rig.flex.calls();
        rig.flex.resetCalls();
        ann.writes("again");
        rig.quiet();
        assertEquals(classic ? 2 : 1, rig.flex.calls(), "calls for a known chat");
        assertTrue(unknown <= (classic ? 5 : 7), () -> unknown + " calls for a new one");
    }

    @Test
    void aWebhookWithoutTheCustomerAsksTheChatWhoseItIs() {
        Chat chat = talk();
        Map<String, String> form = Map.of("EventType", classic ? "onMessageSent" : "onMessageAdded",
                classic ? "ChannelSid" : "ConversationSid", chat.sid(),
                "MessageSid", "IM00000000000000000000000000000042",
                classic ? "From" : "Author", "ada", "Body", "from an old webhook", "Source", "SDK");
        assertEquals(200, rig.flex.post(rig.url() + "/fromFlex", form).status());
        until("the message", () -> received(ann).equals(List.of("from an old webhook")));
    }

    @Test
    void agentsSeeWhoWrites() {
        Customer named = rig.x.customer("23", "ann_b", "Ann B.");
        named.writes("hi");
        rig.quiet();
        SimulatedFlex.Task task = rig.flex.tasks().get(0);
        assertTrue(task.attributes().contains("@ann_b"), task::attributes);
        if (!classic) {
            assertEquals("Ann B. (@ann_b)", rig.chat(named).friendlyName());
            JsonNode attributes = Bridge.jsonOrMissing(task.attributes());
            assertEquals("Ann B.", attributes.path("customerName").asText());
            assertEquals("https://x.com/i/user/23", attributes.path("profile").asText());
        }
    }

    /** As long, as wide and as odd as X's JSON can say it: none of it is a reason to keep a message from an agent. */
    @Test
    void whatPeopleCallThemselvesIsCutToTheServicesLimits() {
        List<String> names = List.of("n".repeat(300), "n".repeat(100_000), "名".repeat(300), "📦".repeat(300),
                "n" + "📦".repeat(300), "\u0001".repeat(300), "\"\\".repeat(300), "\ud83d".repeat(300),
                "a\u0301".repeat(300));
        for (int i = 0; i < names.size(); i++) {
            Customer customer = rig.x.customer("5" + i, names.get(i), names.get(i));
            customer.writes("hi");
            for (int length : List.of(1_000, 50_000)) {
                String metadata = names.get(i).substring(0, 2).repeat(length / 2);
                customer.answers(new Customer.QuickReplyOption("Red", "", metadata));
            }
            until("all of " + customer.id(), () -> rig.written(customer).equals(List.of("hi", "Red", "Red")));
        }
        Customer first = rig.customer("50");
        rig.flex.agentWrites(rig.chat(first), "Pick: Options Red, Green");
        until("the list", () -> received(first).size() == 1);
        first.writes("2" + " \n".repeat(4_000));
        until("the answer", () -> rig.written(first).size() == 4);
        rig.quiet();
        assertEquals(0, rig.failed());
    }

    @Test
    void aCustomersMessageThatFlexRefusesIsToldToTheAgent() {
        Chat chat = talk();
        rig.flex.faults().next(AnswersTest.POST.get(generation), Refusals.twilio(400, 50504, "Body too long"));
        ann.writes("cannot be shown");
        until("the note", () -> rig.notes(chat).stream()
                .anyMatch(note -> note.startsWith("Not delivered") && note.contains("50504")));
        assertEquals(1, rig.failed());
    }
}
