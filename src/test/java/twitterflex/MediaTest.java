package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.until;

import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.MediaFile;

/** Pictures, videos and files arrive as such, both ways, in order and once; what fits nowhere is told with the reason. */
class MediaTest {

    private static final int MEBIBYTE = 1 << 20;

    private Rig rig;
    private Customer ann;

    private void rig(Rig.Generation generation) throws Exception {
        rig = new Rig(generation);
        rig.x.uploads().processing(2, 0);
        ann = rig.customer("1");
    }

    @AfterEach
    void nobodyHasBrokenARuleAndNothingIsLeftBehind() throws Exception {
        assertEquals(List.of(), rig.x.violations());
        assertEquals(List.of(), rig.flex.violations());
        try (Stream<java.nio.file.Path> left = Files.list(rig.data)) {
            assertEquals(List.of(), left.filter(path -> path.toString().contains("transfer")).toList());
        }
        rig.close();
    }

    private static MediaFile file(String type, long length) {
        return MediaFile.generated("", type, length);
    }

    private List<String> hashes(List<MediaFile> files) {
        return files.stream().map(file -> file.type() + " " + file.sha256()).toList();
    }

    /** What the customer wrote and sent: texts, and the names and types of files. */
    private List<String> shown() {
        return rig.flex.chats("twitter-1").stream().flatMap(chat -> chat.messages().stream())
                .filter(message -> message.author().equals("twitter-1"))
                .map(message -> message.files().isEmpty() ? message.body()
                        : message.files().get(0).name() + " " + message.files().get(0).type()).toList();
    }

    // Customer to agent.

    @ParameterizedTest
    @EnumSource
    void aPhotoAGifAndAVideoAreShownToTheAgentAfterTheirCaptionsAndInOrder(Rig.Generation generation) throws Exception {
        rig(generation);
        MediaFile photo = file("image/jpeg", 300_000), gif = file("video/mp4", 200_000), video = file("video/mp4",
                3 * MEBIBYTE);
        String first = ann.sendsPhoto(photo, "broken part");
        String second = ann.sendsGif(gif, "");
        String third = ann.sendsVideo("and this", video, file("video/mp4", 1000));
        ann.writes("help");
        until("all of it", () -> shown().equals(List.of("broken part", "x-" + first + ".jpg image/jpeg",
                "x-" + second + ".mp4 video/mp4", "and this", "x-" + third + ".mp4 video/mp4", "help")));
        assertEquals(hashes(List.of(photo, gif, video)), hashes(rig.flex.files("twitter-1")));
        rig.quiet();
        assertEquals(6, shown().size());
    }

    // Agent to customer.

    @ParameterizedTest
    @EnumSource
    void whatAnAgentAttachesReachesTheCustomerAfterTheirText(Rig.Generation generation) throws Exception {
        rig(generation);
        Chat chat = rig.talk("1");
        List<MediaFile> files = List.of(MediaFile.generated("a.png", "image/png", 400_000),
                MediaFile.generated("b.gif", "image/gif", 2 * MEBIBYTE + 7),
                MediaFile.generated("c.mp4", "video/mp4", 3 * MEBIBYTE), MediaFile.generated("d.jpg", "image/jpeg", 5_000));
        rig.flex.agentAttaches(chat, "Here you are", files.toArray(MediaFile[]::new));
        rig.flex.agentWrites(chat, "Anything else?");
        until("all of it", () -> Rig.received(ann).equals(List.of("Here you are", "", "", "", "", "Anything else?")));
        rig.quiet();
        assertEquals(hashes(files), hashes(ann.files()));
        assertEquals(List.of(), rig.notes(chat));
        assertEquals(4, rig.x.uploads().count());
    }
}
