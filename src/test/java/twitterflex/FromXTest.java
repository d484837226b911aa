package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonPointer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.Bridge.Direction;
import twitterflex.Bridge.FromX;
import twitterflex.Bridge.Message;

/** What X says, in both envelopes: the payloads of protocol/x.md (in src/test/resources/x), and variations of them. */
class FromXTest {

    private static final String OWN = "4337869213";
    private static final String CUSTOMER = "3001969357";

    // Whole webhooks.

    @Test
    void aDirectMessageWithALinkAndAQuickReplysAnswerIsRead() throws IOException {
        FromX webhook = FromX.read(captured("message"), OWN);
        assertEquals(List.of(new Message(Direction.TO_FLEX, "1860000000000000101", CUSTOMER, "customer_one", "A Customer",
                "Billing & refunds https://example.com/invoice/77", List.of(), "topic_billing", "", Instant.ofEpochMilli(1763800000123L))),
                webhook.messages());
        assertNothingElse(webhook, 0);
    }

    @Test
    void aPictureIsAnnouncedWithItsLinkAndTheLinkInTheTextIsRemoved() throws IOException {
        Message message = only(FromX.read(captured("media"), OWN));
        assertEquals("broken part", message.text());
        assertEquals(List.of("[photo] https://ton.twitter.com/1.1/ton/data/dm/1860000000000000102/1859999999999999000/AbCdEf_1.jpg"),
                told(message));
    }

    private static List<String> told(Message message) {
        return message.attachments().stream().map(Bridge.Attachment::text).toList();
    }

    @Test
    void aDirectMessageInTheActivityEnvelopeIsRead() throws IOException {
        FromX webhook = FromX.read(captured("activity-message"), OWN);
        assertEquals(List.of(new Message(Direction.TO_FLEX, "2080765901528535096", CUSTOMER, "customer_one", "A Customer",
                "hello!", List.of(), "", "", Instant.ofEpochMilli(1784928224372L))), webhook.messages());
        assertNothingElse(webhook, 0);
    }

    @Test
    void whatOurAccountSentIsNotEchoed() throws IOException {
        assertNothing(FromX.read(captured("own-echo"), OWN));
        assertNothing(FromX.read(captured("own-echo"), ""));
        assertNothing(FromX.read(replaced(captured("activity-message"), "dm.received", "dm.sent"), OWN));
        assertNothing(FromX.read(replaced(captured("activity-message"), "\"sender_id\":\"3001969357\"", "\"sender_id\":\"4337869213\""), ""));
    }

    @ParameterizedTest
    @ValueSource(strings = {"typing", "read", "follow"})
    void otherEventsOfTheSubscriptionAreIgnoredAndCounted(String event) throws IOException {
        assertNothing(FromX.read(captured(event), OWN));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "{}", "[]", "null", "5", "\"text\"", "{\"data\":null}", "{\"data\":[]}", "{\"data\":{\"event_type\":\"dm.received\"}}",
        "{\"for_user_id\":\"4337869213\",\"tweet_create_events\":[{\"id\":1}]}",
        "{\"replay_job_status\":{\"webhook_id\":\"1\",\"job_state\":\"Complete\"}}",
        "{\"for_user_id\":\"4337869213\",\"kinds_unknown_today\":[{}]}",
        "{\"for_user_id\":\"4337869213\",\"direct_message_events\":null}",
        "{\"for_user_id\":\"4337869213\",\"direct_message_events\":\"none\"}",
        "{\"for_user_id\":\"4337869213\",\"direct_message_events\":[{\"type\":\"kind_unknown_today\",\"id\":\"1\"}]}",
        "{\"data\":{\"event_type\":\"dm.read\",\"payload\":{\"direct_message_mark_read_events\":[{\"sender_id\":\"3001969357\"}]}}}",
        "{\"data\":{\"event_type\":\"dm.indicate_typing\",\"payload\":{\"anything\":true}}}",
        "{\"data\":{\"event_type\":\"follow.follow\",\"payload\":{\"source\":{\"data\":{}},\"target\":{\"data\":{}}}}}"})
    void kindsUnknownTodayAreIgnoredAndCounted(String webhook) {
        FromX read = FromX.read(json(webhook), OWN);
        assertEquals(List.of(), read.messages());
        assertEquals(List.of(), read.warnings());
        assertEquals(1, read.ignored());
    }

    @ParameterizedTest
    @ValueSource(strings = {"revoke", "activity-revoke"})
    void aRevokedAccessIsAWarningThatNamesTheAccount(String event) throws IOException {
        FromX webhook = FromX.read(captured(event), OWN);
        assertEquals(1, webhook.warnings().size());
        assertTrue(webhook.warnings().get(0).contains(OWN), webhook.warnings().get(0));
        assertEquals(List.of(), webhook.messages());
    }

    @ParameterizedTest
    @ValueSource(strings = {"chat.received", "chat.conversation.join", "chat.kind_unknown_today"})
    void anEncryptedMessageTellsOnlyWhoSentIt(String kind) {
        FromX webhook = FromX.read(json("{\"data\":{\"event_type\":\"" + kind + "\",\"payload\":{\"sender_id\":\"3001969357\",\"encoded_event\":\"AAAA\"}}}"), OWN);
        assertEquals(Set.of("customer " + CUSTOMER + " writes end-to-end encrypted (XChat): no bridge can read that"),
                webhook.notices());
        assertEquals(List.of(), webhook.messages());
        JsonNode unknown = json("{\"data\":{\"event_type\":\"" + kind + "\"}}");
        assertEquals(1, FromX.read(unknown, OWN).notices().size(), "also if that is unknown");
        JsonNode another = json("{\"data\":{\"filter\":{\"user_id\":\"222\"},\"event_type\":\"" + kind + "\"}}");
        assertEquals(Set.of(), FromX.read(another, OWN).notices(), "another account's customers are not ours");
    }

    @ParameterizedTest(name = "to {0}: {1} from {2} to {3}, for a bridge of {4}: {5}")
    @CsvSource(textBlock = """
            for_user_id,    4337869213, 3001969357, 4337869213, 4337869213, a message
            for_user_id,    222,        3001969357, 222,        4337869213, account 222
            for_user_id,    4337869213, 3001969357, 222,        4337869213, account 222
            for_user_id,    222,        222,        3001969357, 4337869213, nothing
            for_user_id,    4337869213, 4337869213, 3001969357, 4337869213, nothing
            for_user_id,    4337869213, 222,        4337869213, 4337869213, a message
            for_user_id,    222,        222,        4337869213, 4337869213, nothing
            for_user_id,    222,        4337869213, 222,        4337869213, nothing
            for_user_id,    '',         3001969357, 222,        4337869213, account 222
            for_user_id,    '',         3001969357, '',         4337869213, a message
            for_user_id,    222,        3001969357, 222,        '',         a message
            for_user_id,    222,        222,        3001969357, '',         nothing
            filter.user_id, 4337869213, 3001969357, 4337869213, 4337869213, a message
            filter.user_id, 222,        3001969357, 222,        4337869213, account 222
            filter.user_id, 222,        222,        3001969357, 4337869213, nothing
            filter.user_id, 4337869213, 222,        4337869213, 4337869213, a message
            filter.user_id, 222,        3001969357, 222,        '',         a message
            """)
    void anEventForAnotherAccountOfTheSameAppIsNotOurs(String envelope, String subscriber, String sender,
            String recipient, String own, String becomes) {
        String events = "\"direct_message_events\":[" + event("1", sender, "hello")
                .replaceFirst("\"recipient_id\":\"[0-9]*\"", "\"recipient_id\":\"" + recipient + "\"") + "]";
        JsonNode webhook = json(envelope.equals("for_user_id")
                ? "{\"for_user_id\":\"" + subscriber + "\"," + events + "}"
                : "{\"data\":{\"event_type\":\"dm.received\",\"filter\":{\"user_id\":\"" + subscriber
                        + "\"},\"payload\":{" + events + "}}}");
        FromX read = FromX.read(webhook, own);
        assertEquals(becomes.equals("a message") ? 1 : 0, read.messages().size());
        assertEquals(1, read.messages().size() + read.ignored());
        assertEquals(becomes.startsWith("account") ? 1 : 0, read.notices().size());
        read.notices().forEach(notice -> assertTrue(notice.contains(becomes), notice));
    }

    // Events.

    @Test
    void allEventsOfAWebhookAreReadInOrderAndOurOwnAndUnreadableOnesLeftOut() {
        FromX webhook = FromX.read(webhook(event("1", CUSTOMER, "one"), event("2", OWN, "echo"), event("3", "77", "another customer"),
                "{\"type\":\"kind_unknown_today\"}", event("4", CUSTOMER, "two")), OWN);
        assertEquals(List.of("1", "3", "4"), webhook.messages().stream().map(Message::id).toList());
        assertEquals(List.of(CUSTOMER, "77", CUSTOMER), webhook.messages().stream().map(Message::customer).toList());
        assertEquals(List.of("one", "another customer", "two"), webhook.messages().stream().map(Message::text).toList());
        assertNothingElse(webhook, 2);
    }

    @ParameterizedTest(name = "id {0}, sender {1}")
    @CsvSource(textBlock = """
            '',                   3001969357
            ../../Messages,       3001969357
            12345678901234567890, 3001969357
            1860000000000000101,  customer_one
            1860000000000000101,  -5
            1860000000000000101,  12345678901234567890
            1860000000000000101,  ../../Messages
            """)
    void anEventWithoutAnIdOrANumericSenderIsAWarningAndHoldsNobodyUp(String id, String sender) {
        FromX webhook = FromX.read(webhook(event(id, sender, "lost"), event("2", CUSTOMER, "arrives")), OWN);
        assertEquals("arrives", only(webhook).text());
        assertEquals(1, webhook.ignored());
        assertEquals(1, webhook.warnings().size());
    }

    @Test
    void idsBeyond53BitsKeepEveryDigitWhetherQuotedOrNot() {
        JsonNode webhook = json(webhook(event("9223372036854775807", "9223372036854775806", "hello")).toString()
                .replace("\"id\":\"9223372036854775807\"", "\"id\":9223372036854775807"));
        assertEquals("9223372036854775807", only(FromX.read(webhook, OWN)).id());
        assertEquals("9223372036854775806", only(FromX.read(webhook, OWN)).customer());
    }

    @Test
    void anEventWithoutATimeGetsTheCurrentOne() {
        Instant before = Instant.now().minusMillis(1);
        Message message = only(FromX.read(json(webhook(event("1", CUSTOMER, "hello")).toString().replaceAll(",\"created_timestamp\":\"[0-9]+\"", "")), OWN));
        assertTrue(message.time().isAfter(before) && message.time().isBefore(Instant.now().plusMillis(1)));
    }

    // Senders.

    @Test
    void theCustomerIsTheSenderEvenIfOurAccountIsListedFirst() {
        String users = """
                {"4337869213":{"id":"4337869213","name":"Support","screen_name":"support_co"},"3001969357":{"id":"3001969357","name":"A Customer","screen_name":"customer_one"}}""";
        Message message = only(FromX.read(json(webhook(event("1", CUSTOMER, "hello")).toString().replace("\"users\":{}", "\"users\":" + users)), OWN));
        assertEquals("customer_one", message.handle());
        assertEquals("A Customer", message.name());
    }

    @ParameterizedTest
    @ValueSource(strings = {"{}", "null", "[]", "{\"4337869213\":{\"screen_name\":\"support_co\"}}", "{\"3001969357\":null}", "{\"3001969357\":{}}",
        "{\"3001969357\":{\"data\":{}}}", "{\"3001969357\":{\"name\":null,\"screen_name\":null}}"})
    void aSenderWhoIsMissingAmongTheUsersGoesByHisId(String users) {
        Message message = only(FromX.read(json(webhook(event("1", CUSTOMER, "hello")).toString().replace("\"users\":{}", "\"users\":" + users)), OWN));
        assertEquals(CUSTOMER, message.customer());
        assertEquals(CUSTOMER, message.handle());
        assertEquals(CUSTOMER, message.name());
    }

    @ParameterizedTest(name = "{0} and {1} times {2}")
    @CsvSource({"n, 100, '', n, 100, ''", "n, 101, '', n, 99, …", "n, 99, 📦, n, 99, …", "n, 98, 📦, n, 98, 📦", "n, 98, 📦📦, n, 98, …", "\\u0007, 3, '', ' ', 3, ''"})
    void aNameIsCutBetweenTwoCharactersAndStaysOnOneLine(String letter, int count, String end, String shown, int left, String last) {
        String users = "\"users\":{\"3001969357\":{\"screen_name\":\"ann\",\"name\":\"" + letter.repeat(count) + end + "\"}}";
        Message message = only(FromX.read(json(webhook(event("1", CUSTOMER, "hello")).toString().replace("\"users\":{}", users)), OWN));
        assertEquals(shown.repeat(left) + last, message.name());
        assertEquals(message, Bridge.Journal.message(json(Bridge.Journal.toJson(message).toString())), "it survives the journal");
    }

    // Texts.

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', textBlock = """
            plain text                          | Hello there                       | Hello there
            the three escapes                   | 1 &lt; 2 &amp;&amp; 3 &gt; 2      | 1 < 2 && 3 > 2
            an escape that was typed            | &amp;lt;b&amp;gt; &amp;amp;       | &lt;b&gt; &amp;
            escapes that X does not make        | &quot; &#39; &nbsp;               | &quot; &#39; &nbsp;
            emoji, joined and with skin         | 👩‍👩‍👧 👍🏽 ❤️                        | 👩‍👩‍👧 👍🏽 ❤️
            right to left                       | مرحبا بالعالم שלום                | مرحبا بالعالم שלום
            markup and quotes                   | <b>'it''s'</b> "quoted" \\\\ {0} %s $1 | <b>'it''s'</b> "quoted" \\ {0} %s $1
            a link                              | see https://t.co/abc now          | see https://example.com/?a=1 now
            a link twice                        | https://t.co/abc https://t.co/abc | https://example.com/?a=1 https://example.com/?a=1
            a link that begins like another     | https://t.co/abcd https://t.co/abc| https://example.org/$0\\1 https://example.com/?a=1
            a target that looks like a link     | https://t.co/abcde                | https://t.co/abc
            a link nobody explains              | https://t.co/zzz                  | https://t.co/zzz
            a link in brackets and a sentence   | (https://t.co/abc), https://t.co/abcd. | (https://example.com/?a=1), https://example.org/$0\\1.
            a link between other letters        | 見https://t.co/abcる               | 見https://example.com/?a=1る
            a link within a link                | https://x.example/?u=https://t.co/abc&amp;b | https://x.example/?u=https://example.com/?a=1&b
            an address that was left as it was  | https://x.example/abc/d http://   | https://x.example/abc/d http://
            """)
    void aTextArrivesAsItsAuthorTypedIt(String what, String text, String typed) {
        assertEquals(typed, only(FromX.read(webhook(event("1", CUSTOMER, text, """
                ,"entities":{"urls":[{"url":"https://t.co/abc","expanded_url":"https://example.com/?a=1"},
                {"url":"https://t.co/abcd","expanded_url":"https://example.org/$0\\\\1"},{"url":"https://t.co/abcde","expanded_url":"https://t.co/abc"},
                {"url":"https://t.co/zzz"},{"url":""},{"expanded_url":"https://example.net"},null]}""")), OWN)).text());
    }

    @Test
    void whiteSpaceAndLineEndsAreKept() {
        assertEquals("  one\n\n\ttwo  ", only(FromX.read(webhook(event("1", CUSTOMER, "  one\\n\\n\\ttwo  ")), OWN)).text());
    }

    @ParameterizedTest
    @ValueSource(strings = {"x", "é", "漢", "😀"})
    void tenThousandCharactersArriveWhole(String character) {
        String text = character.repeat(10_000);
        assertEquals(text, only(FromX.read(webhook(event("1", CUSTOMER, text)), OWN)).text());
    }

    /** As nobody can type it: each link another one, then one link over and over that leads to an endless address. */
    @Test
    void aTextFullOfLinksIsReadInNoTimeAndDoesNotGrowWithoutEnd() {
        List<String> links = IntStream.range(0, 12_000).mapToObj(i -> "https://t.co/" + (100_000 + i)).toList();
        String text = String.join(" and ", links);
        String urls = links.stream().map(link -> "{\"url\":\"" + link + "\",\"expanded_url\":\"https://example.com/" + link.substring(13) + "\"}")
                .collect(Collectors.joining(","));
        JsonNode many = webhook(event("1", CUSTOMER, text, ",\"entities\":{\"urls\":[" + urls + "]}"));
        String endless = "https://example.com/" + "a".repeat(300_000);
        JsonNode same = webhook(event("2", CUSTOMER, "https://t.co/a ".repeat(30_000), ",\"entities\":{\"urls\":[{\"url\":\"https://t.co/a\",\"expanded_url\":\""
                + endless + "\"}]}"));
        long start = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
        String read = only(FromX.read(many, OWN)).text();
        String grown = only(FromX.read(same, OWN)).text();
        long milliseconds = (ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - start) / 1_000_000;
        assertTrue(read.startsWith("https://example.com/100000 and https://example.com/100001 and "), "linked: " + read.substring(0, 60));
        assertTrue(read.endsWith(links.get(11_999)), "whole: " + read.substring(read.length() - 60));
        assertTrue(grown.startsWith(endless + " ") && grown.endsWith("https://t.co/a ") && grown.length() < 1 << 20, () -> grown.length() + " characters");
        assertTrue(milliseconds < 1_000, "took " + milliseconds + " ms");
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({"\\ud83d, ?", "\\ude00, ?", "a\\ud83db, a?b", "\\ude00\\ud83d, ??", "\\ud83d\\ude00, 😀"})
    void halfASurrogatePairBecomesAQuestionMark(String escaped, String text) {
        Message message = only(FromX.read(webhook(event("1", CUSTOMER, escaped)), OWN));
        assertEquals(text, message.text());
        assertEquals(message, Bridge.Journal.message(json(Bridge.Journal.toJson(message).toString())), "it survives the journal");
    }

    @Test
    void anEmptyTextIsAMessageToo() {
        assertEquals("", only(FromX.read(webhook(event("1", CUSTOMER, "")), OWN)).text());
        assertEquals("", only(FromX.read(json(webhook(event("1", CUSTOMER, "")).toString().replace("\"text\":\"\"", "\"other\":1")), OWN)).text());
    }

    // Attachments.

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', textBlock = """
            a video, in its best quality | {"type":"media","media":{"type":"video","media_url_https":"https://pbs.twimg.com/preview.jpg","video_info":{"variants":[{"content_type":"application/x-mpegURL","url":"https://video.twimg.com/a.m3u8"},{"bitrate":320000,"content_type":"video/mp4","url":"https://video.twimg.com/small.mp4"},{"bitrate":832000,"content_type":"video/mp4","url":"https://video.twimg.com/large.mp4"},{"bitrate":640000,"content_type":"video/mp4","url":"https://video.twimg.com/medium.mp4"}]}}} | [video] https://video.twimg.com/large.mp4
            a GIF without a bitrate      | {"type":"media","media":{"type":"animated_gif","media_url_https":"https://pbs.twimg.com/preview.jpg","video_info":{"variants":[{"bitrate":0,"content_type":"video/mp4","url":"https://video.twimg.com/dm_gif/1/a.mp4"}]}}} | [animated_gif] https://video.twimg.com/dm_gif/1/a.mp4
            a video without variants     | {"type":"media","media":{"type":"video","media_url_https":"https://pbs.twimg.com/preview.jpg"}} | [video] https://pbs.twimg.com/preview.jpg
            a point                      | {"type":"location","location":{"type":"shared_coordinate","shared_coordinate":{"coordinates":{"type":"Point","coordinates":[-122.443893,37.771718]}}}} | [location] 37.771718, -122.443893 https://www.google.com/maps/search/?api=1&query=37.771718,-122.443893
            a point near the equator     | {"type":"location","location":{"type":"shared_coordinate","shared_coordinate":{"coordinates":{"type":"Point","coordinates":[1e-5,0]}}}} | [location] 0.000000, 0.000010 https://www.google.com/maps/search/?api=1&query=0.000000,0.000010
            a place                      | {"type":"location","location":{"type":"shared_place","shared_place":{"place":{"id":"5a110d312052166f","name":"San Francisco","full_name":"San Francisco, CA","centroid":[-122.4461,37.7596]}}}} | [location] San Francisco, CA 37.759600, -122.446100 https://www.google.com/maps/search/?api=1&query=37.759600,-122.446100
            a place that has only a name | {"type":"location","location":{"type":"shared_place","shared_place":{"place":{"id":"123456","name":"Ferry Building"}}}} | [location] Ferry Building
            a place that has only an id  | {"type":"location","location":{"type":"shared_place","shared_place":{"place":{"id":"123456"}}}} | [location] 123456
            no point on earth            | {"type":"location","location":{"type":"shared_coordinate","shared_coordinate":{"coordinates":{"coordinates":[37.771718,-122.443893]}}}} | [location]
            half a point                 | {"type":"location","location":{"shared_coordinate":{"coordinates":{"coordinates":[1e999]}}}} | [location]
            a point that is words        | {"type":"location","location":{"shared_coordinate":{"coordinates":{"coordinates":["here",null]}}}} | [location]
            a location of no known kind  | {"type":"location","location":{"type":"shared_orbit","shared_orbit":{}}} | [location]
            a kind unknown today         | {"type":"hologram","hologram":{}} | [hologram]
            nothing one can know         | {} | [attachment]
            """)
    void theAgentReadsThatThereIsAnAttachmentEvenWithoutAText(String what, String attachment, String line) {
        Message message = only(FromX.read(webhook(event("1", CUSTOMER, "", ",\"attachment\":" + attachment)), OWN));
        assertEquals(List.of(line), told(message));
        assertEquals("", message.text());
    }

    @Test
    void onlyTheLinkOfTheAttachmentIsRemoved() {
        Message message = only(FromX.read(webhook(event("1", CUSTOMER, "look at https://t.co/page and https://t.co/pic", """
                ,"entities":{"urls":[{"url":"https://t.co/page","expanded_url":"https://example.com/"},{"url":"https://t.co/pic","expanded_url":"https://twitter.com/messages/media/1"}]},
                "attachment":{"type":"media","media":{"type":"photo","url":"https://t.co/pic","media_url_https":"https://ton.twitter.com/1.jpg"}}""")), OWN));
        assertEquals("look at https://example.com/ and", message.text());
    }

    @Test
    void anAttachmentThatIsNullIsNone() {
        assertEquals(List.of(), only(FromX.read(webhook(event("1", CUSTOMER, "hello", ",\"attachment\":null,\"quick_reply_response\":null,\"entities\":null")), OWN)).attachments());
    }

    // Whatever a field holds.

    @ParameterizedTest
    @ValueSource(strings = {"message", "media", "location", "place", "activity-message"})
    void noFieldOfAnEventCanBreakTheReading(String name) throws IOException {
        ObjectNode webhook = (ObjectNode) switch (name) {
            case "location" -> webhook(event("1", CUSTOMER, "here", """
                    ,"attachment":{"type":"location","location":{"type":"shared_coordinate","shared_coordinate":
                    {"coordinates":{"type":"Point","coordinates":[-122.4,37.7]}}}}"""));
            case "place" -> webhook(event("1", CUSTOMER, "here", """
                    ,"attachment":{"type":"location","location":{"type":"shared_place","shared_place":
                    {"place":{"id":"1","name":"Hill","full_name":"Hill, CA","centroid":[-122.4,37.7]}}}}"""));
            default -> captured(name);
        };
        List<String> values = List.of("null", "[]", "{}", "5", "-1", "1e300", "1e999", "123456789012345678901234567890", "true", "\"\"", "\"x\"",
                "\"\\ud83d\"", "\"\\u0000\"", "\"9223372036854775807\"", "[[null],{\"a\":[]},\"b\"]", "{\"type\":{},\"url\":[]}");
        for (JsonPointer field : fields(webhook, JsonPointer.empty())) {
            for (String value : values) {
                ObjectNode changed = webhook.deepCopy();
                JsonNode parent = changed.at(field.head());
                if (parent instanceof ObjectNode object) {
                    object.set(field.last().getMatchingProperty(), json(value));
                } else {
                    ((ArrayNode) parent).set(field.last().getMatchingIndex(), json(value));
                }
                for (Message message : FromX.read(changed, OWN).messages()) {
                    assertEquals(message, Bridge.Journal.message(json(Bridge.Journal.toJson(message).toString())), () -> field + " is " + value);
                }
            }
        }
    }

    private static List<JsonPointer> fields(JsonNode node, JsonPointer at) {
        List<JsonPointer> all = new ArrayList<>();
        if (node.isObject()) {
            node.fieldNames().forEachRemaining(name -> all.add(at.appendProperty(name)));
        } else {
            IntStream.range(0, node.size()).forEach(index -> all.add(at.appendIndex(index)));
        }
        List.copyOf(all).forEach(child -> all.addAll(fields(node.at(child.toString().substring(at.toString().length())), child)));
        return all;
    }

    // Bodies.

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "{", "{}{}", "{} x", "not JSON", "{\"a\":}", "\u0000"})
    void whatIsNotJsonIsTheCallersMistake(String body) {
        assertEquals("the body is not JSON", assertThrows(IllegalArgumentException.class, () -> json(body)).getMessage());
    }

    @Test
    void nestingTenThousandDeepIsTheCallersMistake() {
        for (String deep : List.of("[".repeat(10_000) + "]".repeat(10_000), "{\"a\":".repeat(10_000) + "1" + "}".repeat(10_000))) {
            assertThrows(IllegalArgumentException.class, () -> json(deep));
        }
    }

    private static Message only(FromX webhook) {
        assertEquals(1, webhook.messages().size());
        return webhook.messages().get(0);
    }

    private static void assertNothing(FromX webhook) {
        assertEquals(List.of(), webhook.messages());
        assertNothingElse(webhook, 1);
    }

    private static void assertNothingElse(FromX webhook, int ignored) {
        assertEquals(ignored, webhook.ignored());
        assertEquals(List.of(), webhook.warnings());
        assertEquals(Set.of(), webhook.notices());
    }

    private static JsonNode webhook(String... events) {
        return json("{\"for_user_id\":\"4337869213\",\"direct_message_events\":[" + String.join(",", events) + "],\"users\":{}}");
    }

    private static String event(String id, String sender, String text) {
        return event(id, sender, text, "");
    }

    /** @param text quotes are escaped here, backslashes begin escapes of JSON; @param more further members of {@code message_data} */
    private static String event(String id, String sender, String text, String more) {
        return """
                {"type":"message_create","id":"%s","created_timestamp":"1763800000123","message_create":{"target":{"recipient_id":"4337869213"},
                "sender_id":"%s","message_data":{"text":"%s"%s}}}""".formatted(id, sender, text.replace("\"", "\\\""), more);
    }

    private static JsonNode json(String text) {
        return Bridge.json(text.getBytes(UTF_8));
    }

    private static JsonNode replaced(JsonNode json, String old, String replacement) {
        String text = json.toString();
        assertTrue(text.contains(old));
        return json(text.replace(old, replacement));
    }

    private static JsonNode captured(String name) throws IOException {
        try (InputStream file = FromXTest.class.getResourceAsStream("/x/" + name + ".json")) {
            return Bridge.json(file.readAllBytes());
        }
    }
}
