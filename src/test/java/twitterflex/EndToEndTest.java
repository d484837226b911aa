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
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.SimulatedFlex;

/** What a customer and an agent see of each other, over real HTTP, with both generations of the APIs. */
class EndToEndTest {
    private Rig rig;

    private Rig rig(Rig.Generation generation) throws Exception {
        rig = new Rig(generation);
        return rig;
    }

    @AfterEach
    void nobodyBrokeARule() throws Exception {
        assertEquals(List.of(), rig.x.violations());
        assertEquals(List.of(), rig.flex.violations());
        rig.close();
    }

    @ParameterizedTest
    @EnumSource
    void aConversationFromTheFirstMessageToTheSecondChat(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("3001969357");
        assertTrue(rig.x.challengeHolds());

        ann.writes("Hello, where is my box?");
        Chat chat = rig.chat(ann);
        until("the message", () -> rig.written(ann).equals(List.of("Hello, where is my box?")));
        assertEquals(1, rig.flex.tasks().size());
        assertEquals(List.of(rig.url() + "/fromFlex?customer=3001969357"), chat.webhookUrls());

        rig.flex.agentWrites(chat, "It is on its way 📦");
        until("the answer", () -> received(ann).equals(List.of("It is on its way 📦")));

        ann.writes("thanks");
        rig.flex.agentWrites(chat, "You are welcome");
        until("the second answer", () -> received(ann).size() == 2);
        rig.flex.agentCompletes(chat);
        rig.quiet();
        ann.writes("one more thing");
        Chat second = eventually("another chat", () -> rig.flex.openChat("twitter-3001969357").filter(open -> !open.sid().equals(chat.sid())).orElse(null));
        until("all arrived", () -> rig.written(ann).equals(List.of("Hello, where is my box?", "thanks", "one more thing")));
        assertEquals(2, rig.flex.tasks().size());
        assertEquals(1, second.webhookUrls().size());
        rig.flex.agentWrites(second, "yes?");
        until("the answer from the second chat", () -> received(ann).size() == 3);
    }

    @ParameterizedTest
    @EnumSource
    void aListIsShownAndItsAnswerReachesTheAgentAsTheLabel(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("11");
        ann.writes("hi");
        Chat chat = rig.chat(ann);
        rig.flex.agentWrites(chat, "Pick one Options Red-warm,Green-fresh,Blue-cool Link Track my order, https://example.com/o/77");
        Customer.Received shown = eventually("the list", () -> ann.inbox().isEmpty() ? null : ann.inbox().get(0));
        if (generation == Rig.Generation.CLASSIC) {
            assertEquals("Pick one", shown.text());
            assertEquals(List.of(new Customer.QuickReplyOption("Red", "warm", "option_1"), new Customer.QuickReplyOption("Green", "fresh", "option_2"),
                    new Customer.QuickReplyOption("Blue", "cool", "option_3")), shown.options());
            assertEquals(List.of(new Customer.Button("Track my order", "https://example.com/o/77")), shown.buttons());
            ann.answers(shown.options().get(1));
        } else {
            assertEquals("Pick one\n\n1. Red - warm\n2. Green - fresh\n3. Blue - cool\n\nTrack my order: https://example.com/o/77", shown.text());
            ann.writes("2");
        }
        until("the label", () -> rig.written(ann).equals(List.of("hi", "Green")));
        if (generation == Rig.Generation.CLASSIC) {
            String attributes = chat.messages().stream().filter(message -> message.body().equals("Green")).findFirst().orElseThrow().attributes();
            assertEquals("option_2", Bridge.jsonOrMissing(attributes).path("quick_reply_metadata").asText());
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatXDoesToATextIsUndone(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("12");
        String longText = "ä😀".repeat(5_000);
        List<String> texts = List.of("a < b && c > d &amp; &lt;", "see https://example.com/a?b=1&c=2 and http://example.com/x", "مرحبا שלום", "👩‍👩‍👧‍👦", longText);
        texts.forEach(ann::writes);
        until("all texts as they were typed", () -> rig.written(ann).equals(texts));
    }

    @ParameterizedTest
    @EnumSource
    void anAttachmentIsToldWithItsLink(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("13");
        ObjectNode photo = (ObjectNode) Bridge.jsonOrMissing("""
                {"type":"media","media":{"id":1859999999999999000,"id_str":"1859999999999999000","url":"https://t.co/mEdIa00001",
                 "media_url_https":"https://ton.twitter.com/1.1/ton/data/dm/1/2/a.jpg","type":"photo",
                 "expanded_url":"https://twitter.com/messages/media/1"}}""");
        ann.writes("", photo);
        ann.writes("broken part", photo);
        ann.writes("here", (ObjectNode) Bridge.jsonOrMissing("""
                {"type":"location","location":{"type":"shared_coordinate","shared_coordinate":{"coordinates":
                 {"type":"Point","coordinates":[-122.443893,37.771718]}}}}"""));
        until("the links", () -> rig.written(ann).equals(List.of("[photo] https://ton.twitter.com/1.1/ton/data/dm/1/2/a.jpg",
                "broken part\n[photo] https://ton.twitter.com/1.1/ton/data/dm/1/2/a.jpg",
                "here\n[location] 37.771718, -122.443893 https://www.google.com/maps/search/?api=1&query=37.771718,-122.443893")));
    }

    @ParameterizedTest
    @EnumSource
    void manyCustomersAtOnceAreServedEachInOrder(Rig.Generation generation) throws Exception {
        rig(generation);
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

    @ParameterizedTest
    @EnumSource
    void twoFirstMessagesAtTheSameMomentOpenOneChat(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("14");
        List<String> bodies = List.of(rig.x.event(ann, "one"), rig.x.event(ann, "two"));
        bodies.parallelStream().forEach(body -> assertEquals(200, rig.x.post(body).status()));
        rig.quiet();
        assertEquals(1, rig.flex.chats("twitter-14").size());
        assertEquals(1, rig.flex.tasks().size());
        assertEquals(1, rig.chat(ann).webhookUrls().size());
        assertEquals(2, rig.written(ann).size());
    }

    @ParameterizedTest
    @EnumSource
    void theWebhookIsAnsweredBeforeFlexIsCalled(Rig.Generation generation) throws Exception {
        rig(generation);
        java.util.concurrent.CountDownLatch latch = new java.util.concurrent.CountDownLatch(1);
        rig.flex.faults().always("*", Fault.hold(latch));
        Customer ann = rig.customer("15");
        assertEquals(200, rig.x.post(rig.x.event(ann, "hello")).status());
        assertEquals(List.of(), rig.written(ann));
        latch.countDown();
        rig.flex.faults().clear();
        until("the message", () -> rig.written(ann).equals(List.of("hello")));
    }

    @ParameterizedTest
    @EnumSource
    void aBotsMessageGoesOutAndEchoesDoNot(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("16");
        ann.writes("hi");
        Chat chat = rig.chat(ann);
        until("hi", () -> rig.written(ann).size() == 1);
        rig.flex.botWrites(chat, "Bot", "An agent will be with you soon");
        rig.flex.botWrites(chat, Bridge.NOTE_AUTHOR, "a note");
        rig.flex.botWrites(chat, "twitter-16", "an echo");
        until("the bot's message", () -> received(ann).equals(List.of("An agent will be with you soon")));
        rig.quiet();
        assertEquals(List.of("An agent will be with you soon"), received(ann));
        assertEquals(List.of("hi", "an echo"), rig.written(ann));
    }

    @ParameterizedTest
    @EnumSource
    void anAgentsFileIsNotSentAndHeIsTold(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("17");
        ann.writes("hi");
        Chat chat = rig.chat(ann);
        rig.flex.agentSendsMedia(chat, "manual.pdf", "application/pdf");
        until("the note", () -> rig.notes(chat).stream().anyMatch(note -> note.contains("files are not carried")));
        rig.quiet();
        assertEquals(List.of(), received(ann));
        assertEquals(1, rig.health().path("failed").asInt());
    }

    @ParameterizedTest
    @EnumSource
    void whatXRefusesForGoodIsToldToTheAgentAndKept(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("18");
        ann.writes("hi");
        Chat chat = rig.chat(ann);
        ann.blocks(true);
        rig.flex.agentWrites(chat, "are you there?");
        until("the note", () -> rig.notes(chat).size() == 1);
        assertTrue(rig.notes(chat).get(0).startsWith("Not delivered to the customer: "), () -> rig.notes(chat).toString());
        assertTrue(rig.notes(chat).get(0).contains("403"), () -> rig.notes(chat).toString());
        ann.blocks(false);
        rig.flex.agentWrites(chat, "now?");
        until("the next message", () -> received(ann).equals(List.of("now?")));
        List<String> failed = Bridge.Journal.failed(rig.data);
        assertEquals(1, failed.size());
        assertTrue(!failed.get(0).contains("are you there?"), "no text in the list");
    }

    @ParameterizedTest
    @EnumSource
    void aListXCannotShowGoesOutAsTypedAndTheAgentIsToldWhy(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("19");
        ann.writes("hi");
        Chat chat = rig.chat(ann);
        String typed = "Choose: Options A - first, B";
        rig.flex.agentWrites(chat, typed);
        until("the text as typed", () -> received(ann).equals(List.of(typed)));
        until("the reason", () -> rig.notes(chat).stream().anyMatch(note -> note.contains("only 1 of 2 options")));
    }

    @ParameterizedTest
    @EnumSource
    void aTextOverTheLimitIsSplitAtWordsAndSentInOrder(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("20");
        ann.writes("hi");
        Chat chat = rig.chat(ann);
        String text = "word ".repeat(4_999) + "end";
        rig.flex.agentWrites(chat, text);
        until("three parts", () -> received(ann).size() == 3);
        assertEquals(text, String.join(" ", received(ann)));
        assertTrue(received(ann).stream().allMatch(part -> part.length() <= 10_000 && !part.startsWith("ord")));
    }

    @ParameterizedTest
    @EnumSource
    void callsUpstreamPerMessage(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("21");
        ann.writes("hi");
        rig.quiet();
        int unknown = rig.flex.calls();
        rig.flex.resetCalls();
        ann.writes("again");
        rig.quiet();
        assertEquals(generation == Rig.Generation.CLASSIC ? 2 : 1, rig.flex.calls(), "calls for a known chat");
        assertTrue(unknown <= (generation == Rig.Generation.CLASSIC ? 5 : 7), () -> unknown + " calls for a new one");
    }

    @ParameterizedTest
    @EnumSource
    void aWebhookWithoutTheCustomerAsksTheChatWhoseItIs(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.customer("22");
        ann.writes("hi");
        Chat chat = rig.chat(ann);
        Map<String, String> form = Map.of("EventType", generation == Rig.Generation.CLASSIC ? "onMessageSent" : "onMessageAdded",
                generation == Rig.Generation.CLASSIC ? "ChannelSid" : "ConversationSid", chat.sid(), "MessageSid", "IM00000000000000000000000000000042",
                generation == Rig.Generation.CLASSIC ? "From" : "Author", "ada", "Body", "from an old webhook", "Source", "SDK");
        assertEquals(200, rig.flex.post(rig.url() + "/fromFlex", form).status());
        until("the message", () -> received(ann).equals(List.of("from an old webhook")));
    }

    @ParameterizedTest
    @EnumSource
    void agentsSeeWhoWrites(Rig.Generation generation) throws Exception {
        rig(generation);
        Customer ann = rig.x.customer("23", "ann_b", "Ann B.");
        ann.writes("hi");
        rig.quiet();
        SimulatedFlex.Task task = rig.flex.tasks().get(0);
        assertTrue(task.attributes().contains("@ann_b"), task::attributes);
        if (generation == Rig.Generation.CURRENT) {
            assertEquals("Ann B. (@ann_b)", rig.chat(ann).friendlyName());
            JsonNode attributes = Bridge.jsonOrMissing(task.attributes());
            assertEquals("Ann B.", attributes.path("customerName").asText());
            assertEquals("https://x.com/i/user/23", attributes.path("profile").asText());
        }
    }
}
