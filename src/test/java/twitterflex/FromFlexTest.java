package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.Bridge.Direction;
import twitterflex.Bridge.Form;
import twitterflex.Bridge.FromFlex;
import twitterflex.Bridge.Message;
import twitterflex.Bridge.Signatures;

/** What Flex says: the real webhooks of protocol/twilio.md (in src/test/resources/flex), and variations of them. */
class FromFlexTest {

    private static final String CUSTOMER = "3001969357";

    @Test
    void whatAnAgentWritesInAChatIsForTheCustomer() throws IOException {
        Message message = only(FromFlex.read(captured("onMessageSent"), CUSTOMER));
        assertEquals(Direction.TO_X, message.direction());
        assertEquals("IM4b440f124820414b8f500a1235532ac1", message.id());
        assertEquals(CUSTOMER, message.customer());
        assertEquals("CH1880a9cde40c4dbb88dd97fc3aedac08", message.conversation());
        assertEquals("We can help", message.text());
        assertEquals(List.of(), message.attachments());
    }

    @Test
    void whatAnAgentWritesInAConversationIsForTheCustomer() throws IOException {
        Message message = only(FromFlex.read(with(without(captured("onMessageAdded"), "Media"), "Body", "We can help"), CUSTOMER));
        assertEquals(Direction.TO_X, message.direction());
        assertEquals("IM20333b09a52e4d1a81e8b900dc34418f", message.id());
        assertEquals("CH8dccb45b337e4c6fbf5a3499dabd2f86", message.conversation());
        assertEquals("We can help", message.text());
    }

    @Test
    void aFileInAChatIsTheSecondKindOfMessage() throws IOException {
        Message message = only(FromFlex.read(captured("onMediaMessageSent"), CUSTOMER));
        assertEquals("", message.text());
        assertEquals(List.of("ME59b80000000000000000000000000000"), files(message));
    }

    @Test
    void aFileInAConversationHasNoBodyAtAll() throws IOException {
        Message message = only(FromFlex.read(captured("onMessageAdded"), CUSTOMER));
        assertEquals("", message.text());
        assertEquals(List.of("ME0b41ffffbbeb2188f660de4653d66555"), files(message));
    }

    @ParameterizedTest
    @ValueSource(strings = {"onMediaMessageSent", "onMessageAdded"})
    void textAndFileAreTwoMessagesWithIdsOfTheirOwnAndTheTextComesFirst(String event) throws IOException {
        List<Message> messages = FromFlex.read(with(captured(event), "Body", "here it is"), CUSTOMER).messages();
        assertEquals(List.of("here it is", ""), messages.stream().map(Message::text).toList());
        assertEquals(List.of(0, 1), messages.stream().map(message -> message.attachments().size()).toList());
        assertEquals(2, messages.stream().map(Message::id).distinct().count());
    }

    private static List<String> files(Message message) {
        return message.files().stream().map(Bridge.Attachment::id).toList();
    }

    @Test
    void eachOfSeveralFilesIsAMessageOfItsOwn() throws IOException {
        String media = """
                [{"Sid":"ME1","Filename":"a.png","ContentType":"image/png","Size":1},{"Sid":"ME2","Filename":"b.pdf","ContentType":"application/pdf","Size":2}]""";
        List<Message> messages = FromFlex.read(with(captured("onMessageAdded"), "Media", media), CUSTOMER).messages();
        assertEquals(List.of(List.of("ME1"), List.of("ME2")), messages.stream().map(FromFlexTest::files).toList());
        assertEquals(2, messages.stream().map(Message::id).distinct().count());
    }

    @Test
    void textIsCarriedToTheLetter() throws IOException {
        String text = " Ola 😀 مرحبا\r\n2 < 3 &amp; 100 % + \"'\\ ";
        assertEquals(text, only(FromFlex.read(with(captured("onMessageSent"), "Body", text), CUSTOMER)).text());
    }

    @ParameterizedTest(name = "{0}, Source={2}, from \"{1}\": {3}")
    @CsvSource(textBlock = """
            onMessageSent,  teste_2Etwilioflex,  SDK, true
            onMessageSent,  survey_bot,          API, true
            onMessageSent,  twitter-3001969357,  API, false
            onMessageSent,  twitter-bridge,      API, false
            onMessageAdded, atendimento2_2Erafa, SDK, true
            onMessageAdded, survey_bot,          API, true
            onMessageAdded, twitter-3001969357,  API, false
            onMessageAdded, twitter-bridge,      API, false
            """)
    void agentsAndBotsAreHeardAndTheCustomerAndTheBridgeAreNotEchoed(String event, String author, String source, boolean heard) throws IOException {
        Form written = with(without(captured(event), "Media"), "Body", "Hello");
        Form form = with(with(written, event.equals("onMessageSent") ? "From" : "Author", author), "Source", source);
        assertEquals(heard ? 1 : 0, FromFlex.read(form, CUSTOMER).messages().size());
    }

    @Test
    void withoutACustomerInTheUrlTheConversationIsKeptAndNoCustomerIsEchoed() throws IOException {
        Message message = only(FromFlex.read(captured("onMessageSent"), ""));
        assertEquals("", message.customer());
        assertEquals("CH1880a9cde40c4dbb88dd97fc3aedac08", message.conversation());
        assertEquals(List.of(), FromFlex.read(with(captured("onMessageSent"), "From", "twitter-3001969357"), "").messages());
    }

    @Test
    void aMessageWithoutAnIdOrWithNothingInItIsLeftAlone() throws IOException {
        assertEquals(List.of(), FromFlex.read(without(captured("onMessageSent"), "MessageSid"), CUSTOMER).messages());
        assertEquals(List.of(), FromFlex.read(with(captured("onMessageSent"), "Body", ""), CUSTOMER).messages());
    }

    @Test
    void aMessageIsOfTheTimeThatTwilioSaysAndElseOfNow() throws IOException {
        Instant said = Instant.parse("2022-03-10T23:56:43.412Z");
        assertEquals(said, only(FromFlex.read(captured("onMessageSent"), CUSTOMER)).time());
        for (String date : List.of("", "yesterday", "2022-03-10", "+99999999-01-01T00:00:00Z", "-0001-01-01T00:00:00Z")) {
            Instant time = only(FromFlex.read(with(captured("onMessageSent"), "DateCreated", date), CUSTOMER)).time();
            assertTrue(time.isAfter(Instant.now().minusSeconds(60)) && !time.isAfter(Instant.now()), date);
        }
    }

    @Test
    void theSameWebhookAgainIsTheSameMessageId() throws IOException {
        assertEquals(only(FromFlex.read(captured("onMessageSent"), CUSTOMER)).id(),
                only(FromFlex.read(with(captured("onMessageSent"), "RetryCount", "1"), CUSTOMER)).id());
    }

    @Test
    void aChatThatBecomesInactiveHasEnded() throws IOException {
        FromFlex event = FromFlex.read(captured("onChannelUpdated"), CUSTOMER);
        assertTrue(event.ended());
        assertEquals(captured("onChannelUpdated").get("ChannelSid"), event.conversation());
        assertEquals(CUSTOMER, event.customer());
        assertEquals(List.of(), event.messages());
    }

    @ParameterizedTest
    @ValueSource(strings = {"{\"status\":\"ACTIVE\"}", "{}", "", "null", "INACTIVE", "\"INACTIVE\"", "[\"INACTIVE\"]", "{\"status\":{\"INACTIVE\":1}}",
        "{\"status\":\"INACTIVE\"", "{\"status\":\"INACTIVE\"} and more", "�\u0000"})
    void otherAndGarbledAttributesEndNothing(String attributes) throws IOException {
        assertFalse(FromFlex.read(with(captured("onChannelUpdated"), "Attributes", attributes), CUSTOMER).ended());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "null", "{", "no JSON", "5", "[]"})
    void garbledMediaAreNoFiles(String media) throws IOException {
        Message message = only(FromFlex.read(with(with(captured("onMessageAdded"), "Media", media), "Body", "Hello"), CUSTOMER));
        assertEquals("Hello", message.text());
        assertEquals(List.of(), message.attachments());
    }

    @Test
    void aFileWhoseSidHoldsHalfASurrogatePairCanStillBeKept() throws IOException {
        Message message = only(FromFlex.read(with(captured("onMessageAdded"), "Media", "[{\"Sid\":\"\\ud83d\"}]"), CUSTOMER));
        assertEquals(List.of("?"), files(Bridge.Journal.message(Bridge.json(Bridge.Journal.toJson(message).toString().getBytes(UTF_8)))));
    }

    @ParameterizedTest(name = "from {0} to {1}: ended {2}")
    @CsvSource({"active, closed, true", "inactive, closed, true", "active, inactive, true", "inactive, active, false"})
    void aConversationThatIsClosedOrLeftHasEndedUntilItIsLookedAtAnew(String from, String to, boolean ended) {
        Form form = Form.of("EventType", "onConversationStateUpdated", "ChatServiceSid", "IS38067ec392f1486bb6e4de4610f26fb3",
                "ConversationSid", "CH8dccb45b337e4c6fbf5a3499dabd2f86", "StateFrom", from, "StateTo", to, "Reason", "API");
        FromFlex event = FromFlex.read(form, CUSTOMER);
        assertEquals(ended, event.ended());
        assertEquals("CH8dccb45b337e4c6fbf5a3499dabd2f86", event.conversation());
        assertEquals(List.of(), event.messages());
    }

    @ParameterizedTest
    @ValueSource(strings = {"onMessageUpdated", "onMessageRemoved", "onMemberAdded", "onParticipantAdded", "onConversationUpdated", "onDeliveryUpdated",
        "ONMESSAGESENT", "onSomethingUnknownToday", ""})
    void otherEventsSayNothing(String event) throws IOException {
        FromFlex read = FromFlex.read(with(captured("onMessageSent"), "EventType", event), CUSTOMER);
        assertTrue(read.messages().isEmpty() && !read.ended());
    }

    @Test
    void anEmptyFormSaysNothing() {
        FromFlex read = FromFlex.read(Form.of(), CUSTOMER);
        assertTrue(read.messages().isEmpty() && !read.ended());
    }

    // Whole webhooks: what Twilio's signature leaves open.

    private static final String ACCOUNT = "AC81d44315e19372138bdaffcc13cf3b94";
    private static final String URL = "https://bridge.example.com/fromFlex?customer=" + CUSTOMER;

    @ParameterizedTest
    @ValueSource(strings = {"onMessageSent", "onMediaMessageSent", "onChannelUpdated", "onMessageAdded"})
    void whatTwilioSendsIsWhole(String event) throws IOException {
        assertTrue(FromFlex.isWhole(captured(event), ACCOUNT));
        assertTrue(FromFlex.isWhole(with(captured(event), "New.Parameter_2", "anything\n"), ACCOUNT));
    }

    @ParameterizedTest(name = "{0}={1} in {2}: whole {3}")
    @CsvSource(nullValues = "-", textBlock = """
            AccountSid,      AC81d44315e19372138bdaffcc13cf3b95,     onMessageAdded,     false
            AccountSid,      -,                                      onMessageAdded,     false
            ConversationSid, CH8dccb45b337e4c6fbf5a3499dabd2f8,      onMessageAdded,     false
            ConversationSid, CH8dccb45b337e4c6fbf5a3499dabd2f861,    onMessageAdded,     false
            ConversationSid, IM8dccb45b337e4c6fbf5a3499dabd2f86,     onMessageAdded,     false
            ConversationSid, -,                                      onMessageAdded,     false
            MessageSid,      IM1,                                    onMessageAdded,     false
            MessageSid,      -,                                      onMessageAdded,     false
            Author,          -,                                      onMessageAdded,     false
            Body,            -,                                      onMessageAdded,     true
            ClientIdentity,  -,                                      onMessageAdded,     true
            ChannelSid,      ../Messages,                            onMessageSent,      false
            From,            -,                                      onMessageSent,      false
            MediaSid,        ME1,                                    onMediaMessageSent, false
            Attributes,      -,                                      onChannelUpdated,   false
            6,               '',                                     onMessageSent,      false
            lowercase,       '',                                     onMessageSent,      false
            ?customer=1,     '',                                     onMessageSent,      false
            """)
    void whatLacksAPartOrHasOneOutOfShapeIsNotWhole(String name, String value, String event, boolean whole)
            throws IOException {
        Form form = value == null ? without(captured(event), name) : with(captured(event), name, value);
        assertEquals(whole, FromFlex.isWhole(form, ACCOUNT));
    }

    @Test
    void aNameThatIsThereTwiceIsAmbiguous() throws IOException {
        for (String name : List.of("MessageSid", "ConversationSid", "Attributes", "AccountSid")) {
            Form twice = captured("onMessageAdded").and(Form.of(name, captured("onMessageAdded").get(name)));
            assertFalse(FromFlex.isWhole(twice, ACCOUNT), name);
        }
    }

    @ParameterizedTest
    @CsvSource({"onMessageSent, We can help 2", "onMediaMessageSent, ''", "onMediaMessageSent, Hi", "onMessageAdded,",
        "onMessageAdded, Hi", "onMessageAdded, Media []"})
    void noOtherSplitOfWhatTwilioSignedIsAnotherMessageOrForAnotherCustomer(String event, String text)
            throws IOException {
        Form genuine = text == null ? captured(event) : with(captured(event), "Body", text);
        String signature = Signatures.twilioWebhook("token", URL, genuine);
        List<String> sent = messages(URL, genuine);
        int same = 0;
        for (List<String> split : splits(genuine)) {
            Form form = Form.of(split.subList(1, split.size()).toArray(String[]::new));
            if (Signatures.twilioWebhook("token", split.get(0), form).equals(signature)) {
                same++;
                assertTrue(sent.containsAll(messages(split.get(0), form)), split::toString);
            }
        }
        assertTrue(same > 100, same + " splits with the same signature");
    }

    /** Whose and which messages a webhook of this URL brings, if it is let in. */
    private static List<String> messages(String url, Form form) {
        Matcher target = Bridge.FROM_FLEX.matcher(url.replaceFirst("https://bridge.example.com", ""));
        if (!target.matches() || !FromFlex.isWhole(form, ACCOUNT)) {
            return List.of();
        }
        return FromFlex.read(form, Objects.toString(target.group(1), "")).messages().stream()
                .map(message -> message.customer() + " " + message.id() + " " + message.conversation()).toList();
    }

    /** URL, names and values cut elsewhere: a cut moved, two cuts left out, two cuts more. */
    private static List<List<String>> splits(Form form) {
        List<String> parts = new ArrayList<>(List.of(URL));
        form.fields().stream().sorted(Map.Entry.comparingByKey()).forEach(field -> {
            parts.add(field.getKey());
            parts.add(field.getValue());
        });
        List<List<String>> splits = new ArrayList<>();
        for (int i = 0; i < parts.size(); i++) {
            String part = parts.get(i);
            for (int from = 0; from <= part.length(); from++) {
                for (int to = from; to <= part.length(); to++) {
                    String[] three = {part.substring(0, from), part.substring(from, to), part.substring(to)};
                    splits.add(replaced(parts, i, 1, three));
                }
            }
            for (int at = 0; i + 1 < parts.size() && at <= (part + parts.get(i + 1)).length(); at++) {
                String both = part + parts.get(i + 1);
                splits.add(replaced(parts, i, 2, both.substring(0, at), both.substring(at)));
            }
            if (i + 2 < parts.size()) {
                splits.add(replaced(parts, i, 3, part + parts.get(i + 1) + parts.get(i + 2)));
            }
        }
        return splits;
    }

    private static List<String> replaced(List<String> parts, int at, int count, String... by) {
        List<String> all = new ArrayList<>(parts.subList(0, at));
        all.addAll(List.of(by));
        all.addAll(parts.subList(at + count, parts.size()));
        return all;
    }

    private static Message only(FromFlex event) {
        assertEquals(1, event.messages().size());
        return event.messages().get(0);
    }

    private static Form captured(String event) throws IOException {
        try (InputStream file = FromFlexTest.class.getResourceAsStream("/flex/" + event + ".txt")) {
            return Form.decode(new String(file.readAllBytes(), UTF_8).strip());
        }
    }

    private static Form without(Form form, String name) {
        return new Form(form.fields().stream().filter(field -> !field.getKey().equals(name)).toList());
    }

    private static Form with(Form form, String name, String value) {
        return new Form(Stream.concat(without(form, name).fields().stream(), Form.of(name, value).fields().stream()).toList());
    }
}
