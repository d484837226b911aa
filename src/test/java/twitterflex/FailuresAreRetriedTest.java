package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.received;
import static twitterflex.Rig.until;

import java.nio.file.Files;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Refusals;

/** Promise 3 and 5 while the services misbehave: every message once, in order, whatever they answer. */
@Execution(ExecutionMode.CONCURRENT)
class FailuresAreRetriedTest {
    private static final Rig.Generation CURRENT = Rig.Generation.CURRENT;
    private static final String SEND = AnswersTest.SEND.get(CURRENT);
    private static final String LOOK = AnswersTest.LOOK.get(CURRENT);
    private static final String POST = AnswersTest.POST.get(CURRENT);
    private static final String LIST = POST.replace("POST", "GET");

    private Rig rig;

    @AfterEach
    void nobodyBrokeARule() throws Exception {
        assertEquals(List.of(), rig.x.violations());
        assertEquals(List.of(), rig.flex.violations());
        rig.close();
    }

    /** A customer and an agent who have spoken once. */
    private Chat talk(Rig.Generation generation, String id) throws Exception {
        rig = rig == null ? new Rig(generation) : rig;
        // What X tells by webhook of what it has sent need not be looked up; here it is not told.
        rig.x.echoes(false);
        return rig.talk(id);
    }

    /** As quick as any rig, but for how long a call may take, and when an agent is told that a reply waits. */
    private static Bridge.Timing patient(Duration call, Duration notify) {
        return new Bridge.Timing(Rig.QUICK.initialBackoff(), Rig.QUICK.maxBackoff(), call, notify,
                Rig.QUICK.takeOverAfter(), Rig.QUICK.quietAfter(), Rig.QUICK.webhookCheck(), Rig.QUICK.catchUp());
    }

    private static List<String> heads(List<String> texts) {
        return texts.stream().map(text -> text.substring(0, 1)).toList();
    }

    private static Fault[] times(int count, Fault fault) {
        return IntStream.range(0, count).mapToObj(i -> fault).toArray(Fault[]::new);
    }

    private void both(Chat chat, Customer customer, Fault... faults) {
        rig.x.faults().next("*", faults);
        rig.flex.faults().next("*", faults);
        List<String> texts = IntStream.range(0, 4).mapToObj(i -> "message " + i).toList();
        texts.forEach(customer::writes);
        texts.forEach(text -> rig.flex.agentWrites(chat, text));
        until("answers in order, once", () -> received(customer).size() >= 4);
        until("messages in order, once", () -> rig.written(customer).size() >= 5);
        rig.quiet();
        assertEquals(texts, received(customer));
        assertEquals(texts, rig.written(customer).subList(1, rig.written(customer).size()));
    }

    @ParameterizedTest
    @EnumSource
    void whatPassesIsTriedAgain(Rig.Generation generation) throws Exception {
        Chat chat = talk(generation, "1");
        both(chat, rig.customer("1"), Fault.status(500), Fault.status(503), Fault.status(502), Fault.status(408),
                Fault.dropBefore(), Fault.notJson(504));
    }

    @ParameterizedTest
    @EnumSource
    void aSendThatMayHaveArrivedIsLookedUpBeforeItIsRepeated(Rig.Generation generation) throws Exception {
        Chat chat = talk(generation, "2");
        both(chat, rig.customer("2"), Fault.dropAfter(), Fault.status(500), Fault.dropAfter());
        // Equal texts sent one after the other are two messages.
        rig.x.faults().next("*", Fault.dropAfter());
        rig.flex.agentWrites(chat, "ok");
        rig.flex.agentWrites(chat, "ok");
        until("both", () -> received(rig.customer("2")).size() >= 6);
        rig.quiet();
        assertEquals(List.of("ok", "ok"), received(rig.customer("2")).subList(4, received(rig.customer("2")).size()));
    }

    @ParameterizedTest
    @EnumSource
    void linksAndEscapesAreFoundAgainAlthoughXChangesThem(Rig.Generation generation) throws Exception {
        Chat chat = talk(generation, "3");
        rig.x.faults().next("*", Fault.dropAfter());
        rig.flex.agentWrites(chat, "see <https://example.com/a?b=1&c=2> & tell");
        until("it", () -> !received(rig.customer("3")).isEmpty());
        rig.quiet();
        assertEquals(1, received(rig.customer("3")).size());
    }

    @ParameterizedTest
    @EnumSource
    void aLongMessageCutShortGoesOnWithItsNextPart(Rig.Generation generation) throws Exception {
        Chat chat = talk(generation, "4");
        rig.x.faults().next("*", Fault.delay(Duration.ZERO), Fault.dropAfter());
        rig.flex.agentWrites(chat, "a".repeat(9_999) + " " + "b".repeat(9_999) + " " + "c".repeat(50));
        until("three parts", () -> received(rig.customer("4")).size() >= 3);
        rig.quiet();
        assertEquals(List.of("a", "b", "c"), heads(received(rig.customer("4"))));
        String long4 = "😀".repeat(9_999);
        rig.flex.faults().next("*", Fault.delay(Duration.ZERO), Fault.dropAfter());
        rig.customer("4").writes(long4);
        rig.quiet();
        until("both parts", () -> String.join("", rig.written(rig.customer("4"))).equals("hi" + long4));
    }

    @ParameterizedTest
    @EnumSource
    void aBodyThatStallsIsGivenUpAndTheMessageNotDoubled(Rig.Generation generation) throws Exception {
        rig = new Rig(generation, Map.of(), patient(Duration.ofSeconds(1), Duration.ofSeconds(1)));
        Chat chat = talk(generation, "5");
        both(chat, rig.customer("5"), Fault.stallBody(Duration.ofSeconds(30)));
    }

    @ParameterizedTest
    @EnumSource
    void aRateLimitHoldsAllCustomersAndLetsThemGoInOrder(Rig.Generation generation) throws Exception {
        List<Chat> chats = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            chats.add(talk(generation, "60" + i));
        }
        rig.x.limit(6, Duration.ofSeconds(1));
        rig.x.resetCalls();
        for (int round = 0; round < 3; round++) {
            for (Chat chat : chats) {
                rig.flex.agentWrites(chat, "round " + round);
            }
        }
        for (int i = 0; i < 6; i++) {
            Customer customer = rig.customer("60" + i);
            until("all of " + customer.id(), () -> received(customer).equals(List.of("round 0", "round 1", "round 2")));
        }
        // 18 messages, 6 a second: without the pause for all, waiting lanes would ask hundreds of times.
        assertTrue(rig.x.calls() < 60, () -> rig.x.calls() + " calls for 18 messages");
    }

    /** An hour of ours is three seconds here: every pause is 1,200 times shorter than in life. */
    @ParameterizedTest
    @EnumSource
    void anHoursOutageOfEachServiceIsSatOutAndTheBacklogDrainsInOrderAtTheAllowedRate(Rig.Generation generation)
            throws Exception {
        rig = new Rig(generation, Map.of(), new Bridge.Timing(Duration.ofMillis(1), Duration.ofMillis(50),
                Duration.ofSeconds(4), Duration.ofMinutes(1), Duration.ofSeconds(5), Duration.ofHours(1),
                Duration.ofHours(1), Duration.ofHours(1)));
        int customers = 15;
        List<Chat> chats = new ArrayList<>();
        for (int i = 0; i < customers; i++) {
            chats.add(talk(generation, "70" + i));
        }
        Fault[] down = {Fault.status(503), Fault.dropBefore(), Fault.status(500), Fault.notJson(502)};
        rig.x.faults().rate(1, new Random(7), down);
        rig.flex.faults().rate(1, new Random(8), down);
        rig.x.resetCalls();
        rig.flex.resetCalls();
        Instant back = Instant.now().plusSeconds(3);
        List<String> texts = new ArrayList<>();
        for (int round = 0; Instant.now().isBefore(back); round++) {
            String text = "round " + round;
            texts.add(text);
            for (int i = 0; i < customers; i++) {
                rig.customer("70" + i).writes(text);
                rig.flex.agentWrites(chats.get(i), text);
            }
            int written = round;
            Instant next = back.minusSeconds(3).plusMillis(500L * (round + 1));
            until("the next round after " + written, () -> Instant.now().isAfter(next));
        }
        rig.x.awaitDelivered(Duration.ofSeconds(30));
        rig.flex.awaitDelivered(Duration.ofSeconds(30));
        int pending = rig.health().path("pending").asInt();
        assertEquals(customers * texts.size() * 2, pending, "nothing got through, everything waits");
        // Twice an hour's longest pauses, because chance halves them: no lane hammers.
        int tries = 2 * 60 * customers;
        assertTrue(rig.x.calls() < 2 * tries && rig.flex.calls() < 2 * tries,
                () -> rig.x.calls() + " and " + rig.flex.calls() + " calls");
        rig.x.limit(50, Duration.ofMillis(500));
        rig.x.resetCalls();
        rig.x.faults().clear();
        rig.flex.faults().clear();
        rig.quiet();
        for (int i = 0; i < customers; i++) {
            Customer customer = rig.customer("70" + i);
            assertEquals(texts, received(customer));
            assertEquals(texts, rig.written(customer).subList(1, texts.size() + 1));
        }
        long refused = rig.x.exchanges().stream().filter(call -> call.status() == 429).count();
        assertTrue(refused < customers * 2, () -> refused + " of " + rig.x.calls() + " calls were over the limit");
    }

    @ParameterizedTest
    @EnumSource
    void retryAfterIsObeyed(Rig.Generation generation) throws Exception {
        Chat chat = talk(generation, "7");
        rig.x.faults().next("*", Fault.status(429, Map.of("Retry-After", "1"), "{}"));
        Instant start = Instant.now();
        rig.flex.agentWrites(chat, "patience");
        until("the message", () -> received(rig.customer("7")).size() == 1);
        assertTrue(Duration.between(start, Instant.now()).toMillis() >= 1_000);
    }

    @ParameterizedTest
    @EnumSource
    void wrongKeysPauseAServiceInsteadOfLosingItsMessages(Rig.Generation generation) throws Exception {
        Chat chat = talk(generation, "8");
        rig.x.faults().always("*", Refusals.code(401, 89, "Invalid or expired token."));
        rig.flex.agentWrites(chat, "one");
        rig.flex.agentWrites(chat, "two");
        until("degraded", () -> rig.trouble().startsWith("X takes no messages: Invalid or expired token."));
        until("the agent knows", () -> chat.messages().stream()
                .anyMatch(message -> message.body().contains("are queued")));
        rig.x.faults().clear();
        until("both", () -> received(rig.customer("8")).equals(List.of("one", "two")));
        until("ok again", () -> rig.trouble().isEmpty());
    }

    @ParameterizedTest
    @EnumSource
    void oneCustomersTroubleCostsTheOthersNothing(Rig.Generation generation) throws Exception {
        Chat chat = talk(generation, "9");
        Chat other = talk(generation, "10");
        rig.x.faults().next(AnswersTest.SEND.get(generation), times(6, Fault.status(500)));
        rig.flex.agentWrites(chat, "stuck for a while");
        rig.flex.agentWrites(other, "passes");
        until("the other", () -> received(rig.customer("10")).equals(List.of("passes")));
        until("this one too", () -> received(rig.customer("9")).equals(List.of("stuck for a while")));
    }

    @ParameterizedTest
    @EnumSource
    void anythingAtAllForAWhile(Rig.Generation generation) throws Exception {
        List<Chat> chats = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            chats.add(talk(generation, "90" + i));
        }
        Fault[] weather = {Fault.status(500), Fault.status(429), Fault.dropBefore(), Fault.dropAfter(),
                Fault.notJson(502)};
        rig.x.faults().rate(0.3, new Random(1), weather);
        rig.flex.faults().rate(0.3, new Random(2), weather);
        List<String> texts = IntStream.range(0, 12).mapToObj(i -> "text " + i).toList();
        for (String text : texts) {
            for (int i = 0; i < 8; i++) {
                rig.customer("90" + i).writes(text);
                rig.flex.agentWrites(chats.get(i), text);
            }
        }
        rig.quiet();
        for (int i = 0; i < 8; i++) {
            Customer customer = rig.customer("90" + i);
            assertEquals(texts, received(customer));
            assertEquals(texts, rig.written(customer).subList(1, rig.written(customer).size()));
        }
    }

    @ParameterizedTest
    @EnumSource
    void aPausedServiceIsProbedAndNotHammeredThoughAMessageOfUnknownFateWaitsForALookUp(Rig.Generation generation)
            throws Exception {
        List<Chat> chats = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            chats.add(talk(generation, "100" + i));
        }
        rig.x.faults().next("*", Fault.dropAfter());
        rig.x.faults().always("*", Refusals.code(401, 89, "Invalid or expired token."));
        chats.forEach(chat -> rig.flex.agentWrites(chat, "when there is a token"));
        until("it is paused", () -> rig.trouble().startsWith("X takes no messages"));
        rig.x.resetCalls();
        Instant start = Instant.now();
        until("a second", () -> Instant.now().isAfter(start.plusSeconds(1)));
        assertTrue(rig.x.calls() < 50, () -> rig.x.calls() + " calls while nobody may call");
        rig.x.faults().clear();
        for (int i = 0; i < 8; i++) {
            Customer customer = rig.customer("100" + i);
            until("the reply to " + customer.id(), () -> received(customer).equals(List.of("when there is a token")));
        }
    }

    @ParameterizedTest
    @EnumSource
    void anAgentWhoHasLeftIsNotToldAgainAndAgainThatTheirReplyWaits(Rig.Generation generation) throws Exception {
        rig = new Rig(generation, Map.of(), patient(Duration.ofSeconds(4), Duration.ofMillis(300)));
        Chat chat = talk(generation, "110");
        rig.x.faults().always("*", Fault.dropBefore());
        rig.flex.agentWrites(chat, "bye");
        until("it waits", () -> rig.x.calls() > 1);
        rig.flex.agentCompletes(chat);
        String post = AnswersTest.POST.get(generation);
        rig.flex.resetCalls();
        until("the note is tried", () -> rig.flex.calls(post) > 0);
        Instant start = Instant.now();
        until("as long again, and more", () -> Instant.now().isAfter(start.plusMillis(600)));
        assertTrue(rig.flex.calls(post) <= 2, () -> rig.flex.calls(post) + " notes into a chat that is over");
        rig.x.faults().clear();
        until("the reply", () -> received(rig.customer("110")).equals(List.of("bye")));
    }

    // What a look-up has to see.

    @Test
    void aMessageOfUnknownFateIsNotRepeatedInTheNextConversation() throws Exception {
        Chat chat = talk(CURRENT, "10");
        rig.flex.faults().next(POST, Fault.dropAfter());
        rig.flex.faults().next(LIST, times(6, Fault.status(503)));
        rig.customer("10").writes("thanks, bye");
        until("posted", () -> rig.written(rig.customer("10")).size() == 2);
        rig.flex.agentCompletes(chat);
        rig.quiet();
        assertEquals(List.of("hi", "thanks, bye"), rig.written(rig.customer("10")));
    }

    @Test
    void twoEqualHalvesOfALongMessageAreTwoParts() throws Exception {
        Chat chat = talk(CURRENT, "1");
        rig.x.faults().next(SEND, Fault.delay(Duration.ZERO), Fault.status(500), Fault.dropAfter());
        rig.flex.agentWrites(chat, "a".repeat(10_000) + "a".repeat(10_000));
        until("two parts", () -> received(rig.customer("1")).size() >= 2);
        rig.quiet();
        assertEquals(List.of("a", "a"), heads(received(rig.customer("1"))));
    }

    @Test
    void theLookUpOfALaterPartGoesPastWhatOthersWroteMeanwhile() throws Exception {
        Chat chat = talk(CURRENT, "2");
        rig.flex.faults().next(POST, Fault.delay(Duration.ZERO), Fault.dropAfter());
        rig.flex.faults().next(LIST, times(5, Fault.status(503)));
        rig.customer("2").writes("😀".repeat(9_999));
        until("both parts posted", () -> rig.written(rig.customer("2")).size() >= 3);
        rig.flex.agentWrites(chat, "one moment");
        rig.quiet();
        assertEquals(3, rig.written(rig.customer("2")).size());
    }

    @Test
    void aHalfDeliveredMessagePutBackGoesOnWithItsSecondHalf() throws Exception {
        Chat chat = talk(CURRENT, "29");
        rig.x.faults().next(SEND, Fault.delay(Duration.ZERO), Refusals.code(403, 151, "no"));
        rig.flex.agentWrites(chat, "a".repeat(9_999) + " " + "b".repeat(9_999));
        until("refused", () -> rig.notes(chat).size() == 1);
        Files.writeString(rig.data.resolve("retry"), "all\n");
        until("the second part", () -> heads(received(rig.customer("29"))).contains("b"));
        assertEquals(List.of("a", "b"), heads(received(rig.customer("29"))));
    }

    @Test
    void aLimitOnLookUpsHoldsOnlyTheOneWhoLooks() throws Exception {
        Chat one = talk(CURRENT, "31");
        Chat other = talk(CURRENT, "32");
        rig.x.faults().always(LOOK, Fault.status(429, Map.of("Retry-After", "1"), "{}"));
        rig.x.faults().next(SEND, Fault.status(500));
        rig.flex.agentWrites(one, "trouble of one");
        until("a look-up", () -> rig.x.calls(LOOK) > 0);
        rig.flex.agentWrites(other, "costs the others nothing");
        until("the other's", () -> received(rig.customer("32")).equals(List.of("costs the others nothing")));
        assertEquals(List.of(), received(rig.customer("31")));
        rig.x.faults().clear();
        until("the one's", () -> received(rig.customer("31")).equals(List.of("trouble of one")));
    }

    @Test
    void aLookUpThatIsRefusedIsNotSoldAsARefusedMessage() throws Exception {
        Chat chat = talk(CURRENT, "15");
        rig.x.faults().next(SEND, Fault.dropAfter());
        rig.x.faults().next(LOOK, Refusals.problem(403, "about:blank", "Forbidden", "Not for you"));
        rig.flex.agentWrites(chat, "delivered it is");
        until("the note", () -> rig.notes(chat).size() == 1);
        String note = rig.notes(chat).get(0);
        assertTrue(note.startsWith("It is not known whether this was delivered"), note);
    }

    /** X keeps a text composed, with line feeds, stripped, and with its links spelt out. */
    @ParameterizedTest
    @EnumSource
    void aTextThatXKeepsInItsOwnWayIsFoundAgain(Rig.Generation generation) throws Exception {
        Chat chat = talk(generation, "34");
        List<String> texts = List.of("Cafe\u0301 at 9", "two\r\nlines", " \tspace around \n", "old\rline",
                "www.example.com, or www.example.com/a.", "see https://example.com/ and https://example.com/a/",
                "e\u0323\u0302\u200b");
        for (String text : texts) {
            rig.x.faults().next(AnswersTest.SEND.get(generation), Fault.dropAfter());
            rig.flex.agentWrites(chat, text);
            rig.quiet();
        }
        assertEquals(texts.stream().map(String::strip).toList(),
                received(rig.customer("34")).stream().map(String::strip).toList());
        assertEquals(texts.size(), rig.x.calls(AnswersTest.LOOK.get(generation)), "each was looked up once");
    }
}
