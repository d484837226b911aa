package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.received;
import static twitterflex.Rig.until;

import com.fasterxml.jackson.databind.JsonNode;
import java.lang.management.ManagementFactory;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.Bridge.NumberedLists;
import twitterflex.Bridge.Direction;
import twitterflex.Bridge.Message;
import twitterflex.Bridge.Rich;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;

/** What a customer answers to a numbered list, and how long such a list is one: the last rule of CONTRACT.md. */
class ChoicesTest {
    private static final String ANN = "3001969357";
    private static final String POST = AnswersTest.POST.get(Rig.Generation.CURRENT);
    private static final String COLOURS = "Pick: Options Red, Green, Blue";

    private final NumberedLists choices = new NumberedLists(true);

    // What chooses.

    @ParameterizedTest
    @ValueSource(strings = {"2", "2.", "2)", "#2", "２", "２．", "２）", "＃２", "٢", " 2\n", "\u200f2\u200f", "green", "GREEN", "gReEn ", "\u00a0Green", "Ｇｒｅｅｎ"})
    void aNumberOrTheLabelInAnyCaseChooses(String typed) {
        choices.sent(ANN, Rich.read(COLOURS));
        assertEquals(new NumberedLists.Read("Green", true), choices.read(message(typed)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"0", "4", "-2", "2,5", "2.5", "22", "222222222222", "2 boxes", "2..", "##2", "2 or 3", "Gree", "Green?", "Red Green", "", " ", "\u200b"})
    void anythingElseStaysAsItWasTyped(String typed) {
        choices.sent(ANN, Rich.read(COLOURS));
        assertEquals(new NumberedLists.Read(typed, false), choices.read(message(typed)));
    }

    @ParameterizedTest(name = "of {0} \"{1}\" is \"{2}\"")
    @CsvSource(delimiter = '|', textBlock = """
            Straße, Bahn               | STRASSE     | Straße
            STRASSE, Bahn              | straße      | STRASSE
            İstanbul, Ankara           | istanbul    | İstanbul
            İstanbul, Ankara           | İSTANBUL    | İstanbul
            Ilık, Soğuk                | ILIK        | Ilık
            Ilık, Soğuk                | ılık        | Ilık
            Οδός, Πλατεία              | ΟΔΌΣ        | Οδός
            Café, Thé                  | cafe\u0301  | Café
            cafe\u0301, Thé            | CAFÉ        | cafe\u0301
            Call  me, Write            | call me     | Call  me
            👩‍👩‍👧 Family, Me              | 👩‍👩‍👧 family  | 👩‍👩‍👧 Family
            """)
    void theLabelIsTheSameInAnyCaseAndHoweverItIsComposed(String labels, String typed, String label) {
        choices.sent(ANN, Rich.read("Pick: Options " + labels));
        assertEquals(new NumberedLists.Read(label, true), choices.read(message(typed)));
    }

    /** The customer who answers 4 to "1. 1 box, 2. 2 boxes, 3. 4 boxes, 4. 6 boxes" does not want 6: the agent has to ask. */
    @ParameterizedTest(name = "of {0} \"{1}\" is \"{2}\": {3}")
    @CsvSource(delimiter = '|', textBlock = """
            3, 2, 1                        | 3       | 3       | true
            3, 2, 1                        | 1       | 1       | true
            2 boxes, 2                     | 2       | 2       | true
            1 box, 2 boxes, 4 boxes, 6 boxes | 2     | 2 boxes | true
            1 box, 2 boxes, 4 boxes, 6 boxes | 4     | 4       | false
            1 box, 2 boxes, 4 boxes, 6 boxes | 4 BOXES | 4 boxes | true
            1 box, 2 boxes, 4 boxes, 6 boxes | 6     | 6       | false
            Box of 2, Box of 4             | 2       | 2       | false
            The 2nd, The 1st               | 2       | The 1st | true
            12 eggs, 10 eggs               | 2       | 10 eggs | true
            """)
    void aLabelThatIsANumberWinsAndANumberThatMayMeanAnotherLabelIsLeftAsItIs(String labels, String typed, String text, boolean chosen) {
        choices.sent(ANN, Rich.read("Pick: Options " + labels));
        assertEquals(new NumberedLists.Read(text, chosen), choices.read(message(typed)));
    }

    @Test
    void aLongTextOfAccentsCostsNoTime() {
        choices.sent(ANN, Rich.read(COLOURS));
        String text = "2" + "\u0301\u0323".repeat(150_000);
        long start = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
        assertEquals(new NumberedLists.Read(text, false), choices.read(message(text)));
        assertTrue(ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - start < 1_000_000_000);
    }

    @Test
    void whereXShowsQuickRepliesNothingIsRead() {
        NumberedLists none = new NumberedLists(false);
        none.sent(ANN, Rich.read(COLOURS));
        assertEquals(new NumberedLists.Read("2", false), none.read(message("2")));
    }

    // How long a list is one.

    @Test
    void whatTheCustomerWasSentAfterTheListEndsIt() {
        choices.sent(ANN, Rich.read(COLOURS));
        choices.sent("77", Rich.read("To another customer"));
        assertEquals("Green", choices.read(message("2")).text());
        choices.sent(ANN, Rich.read("How many boxes?"));
        assertEquals(new NumberedLists.Read("2", false), choices.read(message("2")));
        assertEquals(new NumberedLists.Read("red", false), choices.read(message("red")));
        choices.sent(ANN, Rich.read("Options S, M"));
        assertEquals("M", choices.read(message("2")).text());
        choices.answered(ANN);
        assertEquals(new NumberedLists.Read("2", false), choices.read(message("2")));
    }

    @ParameterizedTest(name = "{0}: {2}")
    @CsvSource(delimiter = '|', textBlock = """
            the list is the newest                      | [{"author":"ada","body":"Pick: Options Red, Green"}] | Green
            in Programmable Chat                        | [{"from":"ada","body":"Pick: Options Red, Green"}] | Green
            the customer's prose does not end it        | [{"author":"twitter-3001969357","body":"hm","attributes":"{}"},{"author":"ada","body":"Pick: Options Red, Green"}] | Green
            nor does a note of the bridge               | [{"author":"twitter-bridge","body":"Not delivered"},{"author":"ada","body":"Pick: Options Red, Green"}] | Green
            nor does a file, which no customer is sent  | [{"author":"ada","body":null,"media":[{"sid":"ME1"}]},{"author":"ada","body":"Pick: Options Red, Green"}] | Green
            what an agent wrote after it does           | [{"author":"bob","body":"How many boxes?"},{"author":"ada","body":"Pick: Options Red, Green"}] | 2
            the same after the customer's prose         | [{"author":"bob","body":"How many?"},{"author":"twitter-3001969357","body":"hm"},{"author":"ada","body":"Pick: Options Red, Green"}] | 2
            a list that went out as typed is prose      | [{"author":"bob","body":"Options A - first, B"},{"author":"ada","body":"Pick: Options Red, Green"}] | 2
            an answer does                              | [{"author":"twitter-3001969357","body":"Red","attributes":"{\\"chosen_by\\":\\"1\\"}"},{"author":"ada","body":"Pick: Options Red, Green"}] | 2
            the newest list counts                      | [{"author":"ada","body":"Options S, M"},{"author":"ada","body":"Pick: Options Red, Green"}] | M
            there is nothing                            | [] | 2
            there is nonsense                           | [null,5,{"body":{}},{"author":[]}] | 2
            """)
    void theConversationTellsTheSameAfterARestart(String what, String newest, String read) {
        choices.learn(ANN, json(newest));
        assertEquals(read, choices.read(message("2")).text());
    }

    // From one service to the other.

    @Test
    void aLabelOrNumberIsReadThoughTheFirstTryFails() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Chat chat = rig.talk("4");
            rig.flex.agentWrites(chat, "Pick: Options Red, Green, Blue");
            until("the list", () -> received(rig.customer("4")).size() == 1);
            rig.quiet();
            rig.flex.faults().next(POST, Fault.status(503));
            rig.customer("4").writes("bLUE");
            until("the label", () -> rig.written(rig.customer("4")).equals(List.of("hi", "Blue")));
            rig.flex.agentWrites(chat, "Again: Options Red, Green, Blue");
            until("the list", () -> received(rig.customer("4")).size() == 2);
            rig.quiet();
            rig.flex.faults().next(POST.replace("POST", "GET"), Fault.status(503));
            rig.customer("4").writes("2");
            until("the label", () -> rig.written(rig.customer("4")).equals(List.of("hi", "Blue", "Green")));
        }
    }

    @Test
    void onceTheAgentHasWrittenSomethingElseANumberIsANumber() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Customer ann = rig.customer("5");
            Chat chat = rig.talk("5");
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
            rig.restart();
            ann.writes("2)");
            until("still a number", () -> rig.written(ann).equals(List.of("hi", "let me see", "Green", "hm", "2", "2)")));
        }
    }

    private static Message message(String text) {
        return new Message(Direction.TO_FLEX, "1", ANN, "ann", "Ann", text, List.of(), "", "", Instant.EPOCH);
    }

    private static JsonNode json(String text) {
        return Bridge.json(text.getBytes(UTF_8));
    }
}
