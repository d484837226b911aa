package twitterflex.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The page names the lines of the bridge that do something; a method that is renamed there must be renamed here. */
class BridgeSourceTest {

    private static final BridgeSource SOURCE = BridgeSource.read(BridgeSource.FILE);

    @ParameterizedTest
    @CsvSource({"X, bridge, GET, /fromTwitter", "X, bridge, POST, /fromTwitter", "Flex, bridge, POST, /fromFlex",
        "bridge, X, GET, /2/dm_conversations/with/1/dm_events", "bridge, X, POST, /2/dm_conversations/with/1/messages",
        "bridge, X, GET, /2/dm_events?max_results=5", "bridge, X, POST, /oauth2/token",
        "bridge, X, GET, /2/dm_conversations/media/1/2/3", "bridge, X, POST, /2/media/upload",
        "bridge, X, GET, /1.1/ton/data/dm/1/2/a.jpg", "bridge, X, GET, /dm_video/1/vid/avc1/1280x720/a.mp4",
        "bridge, X, GET, /2/media/upload?command=STATUS&media_id=1", "bridge, Flex, GET, /media.us1/ME1?Expires=1",
        "bridge, Flex, GET, /mcs.us1/v1/Services/IS/Media/ME", "bridge, Flex, POST, /mcs.us1/v1/Services/IS/Media",
        "bridge, X, GET, /2/webhooks",
        "bridge, X, GET, /1.1/direct_messages/events/list.json", "bridge, X, POST, /1.1/direct_messages/events/new.json",
        "bridge, Flex, POST, /flex-api/v1/Channels", "bridge, Flex, POST, /chat/v2/Services/IS/Channels/CH/Messages",
        "bridge, Flex, POST, /chat/v2/Services/IS/Channels/CH/Webhooks", "bridge, Flex, POST, /flex-api/v1/Interactions",
        "bridge, Flex, GET, /taskrouter/v1/Workspaces/WS/Tasks", "bridge, Flex, POST, /conversations/v1/Services/IS/Conversations",
        "bridge, Flex, POST, /conversations/v1/Services/IS/Conversations/CH/Participants",
        "bridge, Flex, POST, /conversations/v1/Services/IS/Conversations/CH/Messages",
        "bridge, Flex, POST, /conversations/v1/Services/IS/Conversations/CH/Webhooks"})
    void everyPartThatIsNamedIsThere(String from, String to, String method, String target) {
        for (int status : List.of(200, 403, 429, 503, 0)) {
            Wire.Call call = new Wire.Call(1, 1, Instant.EPOCH, from, to, method, target, Map.of(), "", status, Map.of(), "", 0);
            List<String> names = BridgeSource.partsOf(call);
            assertTrue(names.size() >= 2, names.toString());
            boolean ofOperator = target.matches("/(oauth2|2/webhooks).*");
            assertEquals(ofOperator, names.get(0).startsWith("Operator."), names.toString());
            assertEquals(List.of(), names.stream().filter(name -> SOURCE.find(name).isEmpty()).toList());
        }
    }

    @Test
    void anExcerptIsTheWholeDeclarationWithItsCommentAndItsLines() throws Exception {
        BridgeSource.Excerpt excerpt = SOURCE.find("Signatures.oauthBase").orElseThrow();
        List<String> lines = Files.readAllLines(BridgeSource.FILE);
        assertTrue(lines.get(excerpt.first() - 1).strip().startsWith("/** What OAuth 1.0a signs"), excerpt.text());
        assertTrue(excerpt.text().contains("\nstatic String oauthBase(String method"), excerpt.text());
        assertEquals("        }", lines.get(excerpt.last() - 1));
        assertEquals(1, Stream.of(excerpt.text().split("\n")).filter("}"::equals).count(), "one method, not two: " + excerpt.text());
        assertEquals(excerpt.last() - excerpt.first() + 1, excerpt.text().lines().count());
    }

    @Test
    void whatIsNotThereIsNotMadeUp(@TempDir Path empty) {
        assertEquals(Optional.empty(), SOURCE.find("Signatures.forge"));
        assertEquals(Optional.empty(), SOURCE.find("challenge.token"));
        assertEquals(Optional.empty(), BridgeSource.read(empty.resolve("Bridge.java")).find("challenge"));
    }
}
