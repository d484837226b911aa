package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.until;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Bystander;
import twitterflex.sandbox.Cable;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.MediaFile;
import twitterflex.sandbox.SimulatedService;
import twitterflex.sandbox.SimulatedX;
import twitterflex.sandbox.TwilioMedia;
import twitterflex.sandbox.XMedia;
import twitterflex.sandbox.XTokens;
import twitterflex.sandbox.XUploads;

/** Pictures, videos and files arrive as such, both ways, in order and once; what fits nowhere is told with the reason. */
class MediaTest {

    private static final int MEBIBYTE = 1 << 20;

    private Rig rig;
    private Customer ann;

    /** A file is given up after 30 seconds, and 2.5 of looking into it at X. */
    private static final Bridge.Timing PATIENT = new Bridge.Timing(Duration.ofMillis(2), Duration.ofMillis(500),
            Duration.ofSeconds(4), Duration.ofMinutes(1), Duration.ofSeconds(5), Duration.ofHours(1), Duration.ofHours(1),
            Duration.ofHours(1));

    private void rig(Rig.Generation generation) throws Exception {
        rig(generation, PATIENT);
    }

    private void rig(Rig.Generation generation, Bridge.Timing timing) throws Exception {
        rig = new Rig(generation, Map.of(), timing);
        rig.x.uploads().processing(2, 0);
        ann = rig.customer("1");
    }

    @AfterEach
    void nobodyHasBrokenARuleAndNothingIsLeftBehind() throws Exception {
        assertEquals(List.of(), rig.x.violations());
        assertEquals(List.of(), rig.flex.violations());
        assertEquals(List.of(), transfers(rig.data));
        rig.close();
    }

    private static List<Path> transfers(Path folder) throws IOException {
        try (Stream<Path> all = Files.list(folder)) {
            return all.filter(path -> path.toString().contains("transfer")).toList();
        }
    }

    private static MediaFile file(String type, long length) {
        return MediaFile.generated("", type, length);
    }

    private static String url(Bystander somebody) {
        return "http://127.0.0.1:" + somebody.port();
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

    private static final Map<Rig.Generation, String> UPLOAD = Map.of(Rig.Generation.CURRENT, XUploads.ONE_SHOT,
            Rig.Generation.CLASSIC, XUploads.UPLOAD_1);

    /** What stands in place of a file: its link, and why. */
    private void toldWith(String why) {
        until("the reason", () -> shown().stream().anyMatch(text -> text.contains(why)));
        String told = shown().stream().filter(text -> text.contains(why)).findFirst().orElseThrow();
        assertTrue(told.matches("\\[(photo|video|animated_gif)\\] " + rig.x.url() + "/\\S+ \\(.*\\)"), told);
        assertEquals(List.of(), rig.flex.files("twitter-1"));
    }

    @ParameterizedTest
    @EnumSource
    void whatIsNoPictureBecomesTextWithItsLinkAndTheReason(Rig.Generation generation) throws Exception {
        rig(generation);
        rig.x.faults().next(XMedia.TON, Fault.notJson(200));
        ann.sendsPhoto(file("image/jpeg", 5_000), "look");
        ann.writes("help");
        toldWith("is no picture");
        until("the rest", () -> shown().size() == 3);
        assertEquals(List.of("look", "help"), List.of(shown().get(0), shown().get(2)));
    }

    @ParameterizedTest
    @EnumSource
    void nobodyElsesAddressIsAsked(Rig.Generation generation) throws Exception {
        rig(generation);
        try (Bystander elsewhere = new Bystander()) {
            rig.x.faults().next(XMedia.TON, Fault.status(302, Map.of("Location", url(elsewhere) + "/a.jpg"), ""));
            ann.sendsPhoto(file("image/jpeg", 5_000), "");
            toldWith("answers 302");
            for (String address : List.of(url(elsewhere) + "/1.1/ton/data/dm/1/2/a.jpg",
                    rig.x.url() + "@" + url(elsewhere).replace("http://", "") + "/a.jpg",
                    rig.x.url().replaceFirst(":[0-9]+$", "") + url(elsewhere).replaceFirst(".*(:[0-9]+)$", "$1"),
                    "file:///etc/passwd", "https://evil.example/x.com/a.jpg", "https://evilx.com/a", " ", "https://x.com/%zz",
                    "https://\ud83d.x.com/a")) {
                int before = shown().size();
                ann.writes("", (ObjectNode) Bridge.jsonOrMissing("""
                        {"type":"media","media":{"id":1,"id_str":"1","url":"https://t.co/mEdIa00001","type":"photo",
                         "media_url_https":"%s","expanded_url":"https://example.com/"}}""".formatted(address)));
                until("told: " + address, () -> shown().size() > before);
                assertTrue(shown().get(before).startsWith("[photo]"), shown().get(before));
            }
            assertEquals(List.of(), elsewhere.calls());
        }
        assertEquals(List.of(), rig.flex.files("twitter-1"));
    }

    @ParameterizedTest
    @EnumSource
    void aFileThatBreaksOffIsFetchedAgain(Rig.Generation generation) throws Exception {
        rig(generation);
        MediaFile photo = file("image/jpeg", 100_000);
        rig.x.faults().next(XMedia.TON, Fault.contentLength(100_001), Fault.status(503), Fault.status(401),
                Fault.status(429, Map.of(), ""), Fault.dropAfter());
        String id = ann.sendsPhoto(photo, "");
        until("it", () -> shown().equals(List.of("x-" + id + ".jpg image/jpeg")));
        assertEquals(hashes(List.of(photo)), hashes(rig.flex.files("twitter-1")));
    }

    @ParameterizedTest
    @EnumSource
    void aFileThatCannotBeHadIsToldAtLastAndTheNextMessagesFollow(Rig.Generation generation) throws Exception {
        rig(generation, Rig.QUICK);
        rig.x.faults().always(XMedia.TON, Fault.status(503));
        ann.sendsPhoto(file("image/jpeg", 5_000), "");
        ann.writes("help");
        until("the rest", () -> shown().contains("help"));
        toldWith("answered 503");
    }

    @ParameterizedTest
    @EnumSource
    void aSlowFileIsTakenAsLongAsItMovesAndOneThatStandsStillIsNot(Rig.Generation generation) throws Exception {
        Bridge.Timing hasty = new Bridge.Timing(Duration.ofMillis(2), Duration.ofMillis(20), Duration.ofMillis(500),
                Duration.ofMinutes(1), Duration.ofSeconds(5), Duration.ofHours(1), Duration.ofHours(1), Duration.ofHours(1));
        rig(generation, hasty);
        MediaFile photo = file("image/jpeg", 100_000);
        rig.x.faults().next(XMedia.TON, Fault.stallBody(Duration.ofSeconds(20)), Fault.drip(8_000, Duration.ofMillis(150)));
        ann.sendsPhoto(photo, "");
        until("it", () -> rig.flex.files("twitter-1").size() == 1);
        assertEquals(hashes(List.of(photo)), hashes(rig.flex.files("twitter-1")));
        assertEquals(2, rig.x.calls(XMedia.TON));
    }

    @ParameterizedTest
    @EnumSource
    void anEmptyFileAndOneOf17MebibytesAreToldAndOfAVideoTheBestThatFitsIsShown(Rig.Generation generation)
            throws Exception {
        rig(generation);
        ann.sendsPhoto(file("image/jpeg", 0), "");
        toldWith("is empty");
        String large = ann.sendsVideo("", file("video/mp4", 512L * MEBIBYTE));
        toldWith("larger than 16 MiB");
        ann.sendsPhoto(file("image/png", 17 * MEBIBYTE), "");
        until("the third", () -> shown().size() == 3);
        assertTrue(shown().get(2).contains("larger than 16 MiB"), shown().get(2));
        assertTrue(rig.x.media().fetched(large) < 64 * MEBIBYTE);
        MediaFile fits = file("video/mp4", 16 * MEBIBYTE);
        ann.sendsVideo("", file("video/mp4", 17 * MEBIBYTE), fits, file("video/mp4", 1_000));
        until("the video", () -> rig.flex.files("twitter-1").size() == 1);
        assertEquals(hashes(List.of(fits)), hashes(rig.flex.files("twitter-1")));
    }

    @ParameterizedTest
    @EnumSource
    void whatAWebhookLacksIsAskedForOnce(Rig.Generation generation) throws Exception {
        rig(generation);
        rig.x.media().webhooksLackAttachments(true);
        rig.x.faults().next(XMedia.TON, Fault.status(503), Fault.status(503));
        String id = ann.sendsPhoto(file("image/jpeg", 5_000), "look");
        until("it", () -> shown().equals(List.of("look", "x-" + id + ".jpg image/jpeg")));
        MediaFile best = file("video/mp4", 70_000);
        String video = ann.sendsVideo("", best, file("video/mp4", 1_000));
        until("it", () -> shown().contains("x-" + video + ".mp4 video/mp4"));
        assertEquals(hashes(List.of(best)), hashes(rig.flex.files("twitter-1").subList(1, 2)));
        assertEquals(2, rig.x.calls("GET /2/dm_events/{event_id}"));
    }

    @ParameterizedTest
    @EnumSource
    void aFileThatWasMissedIsCaughtUpAsAWebhookBringsIt(Rig.Generation generation) throws Exception {
        rig(generation);
        rig.talk("1");
        rig.bridge.stop();
        rig.x.retryDelays();
        MediaFile photo = file("image/png", 5_000), video = file("video/mp4", 6_000);
        String first = ann.sendsPhoto(photo, "look"), second = ann.sendsVideo("", video, file("video/mp4", 1_000));
        rig.x.awaitDelivered(Duration.ofSeconds(30));
        rig.start();
        until("both", () -> shown().equals(List.of("hi", "look", "x-" + first + ".png image/png", "x-" + second
                + ".mp4 video/mp4")));
        assertEquals(hashes(List.of(photo, video)), hashes(rig.flex.files("twitter-1")));
    }

    @ParameterizedTest
    @EnumSource
    void aFileThatFlexCannotHaveBecomesText(Rig.Generation generation) throws Exception {
        rig(generation);
        rig.flex.faults().next(TwilioMedia.UPLOAD, Fault.status(413, Map.of(), "{\"code\":50512,\"message\":\"Too large\"}"));
        ann.sendsPhoto(file("image/jpeg", 5_000), "");
        toldWith("Too large");
        rig.flex.faults().next(messages(generation), Fault.status(400, Map.of(), "{\"code\":50512,\"message\":\"Bad media\"}"));
        ann.sendsPhoto(file("image/jpeg", 5_000), "");
        toldWith("Bad media");
    }

    @ParameterizedTest
    @EnumSource
    void largeFilesDelayNoOtherCustomersText(Rig.Generation generation) throws Exception {
        rig(generation);
        CountDownLatch latch = new CountDownLatch(1);
        rig.x.faults().always(XMedia.TON, Fault.hold(latch));
        for (int i = 0; i < 30; i++) rig.customer(String.valueOf(100 + i)).sendsPhoto(file("image/jpeg", 5_000), "");
        until("four under way", () -> rig.x.calls(XMedia.TON) == 4);
        ann.writes("me too");
        until("the text", () -> shown().equals(List.of("me too")));
        assertEquals(4, rig.x.calls(XMedia.TON));
        // Not even a kill leaves a file behind.
        assertEquals(List.of(), transfers(rig.data));
        latch.countDown();
        rig.x.faults().clear();
        rig.quiet();
        for (int i = 0; i < 30; i++) assertEquals(1, rig.flex.files("twitter-" + (100 + i)).size());
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

    private static final Map<Rig.Generation, String> SEND = Map.of(
            Rig.Generation.CURRENT, "POST /2/dm_conversations/with/{participant_id}/messages",
            Rig.Generation.CLASSIC, "POST /1.1/direct_messages/events/new.json");

    @ParameterizedTest
    @EnumSource
    void whatXDoesNotTakeIsToldInOneSentenceAndTheTextGoes(Rig.Generation generation) throws Exception {
        rig(generation);
        Chat chat = rig.talk("1");
        List<MediaFile> files = List.of(MediaFile.generated("../../etc/a\nb\t\u0000\"c.pdf", "application/pdf", 5_000),
                MediaFile.generated("song.mp3", "audio/mpeg", 5_000),
                MediaFile.generated("large.png", "image/png", 5 * MEBIBYTE + 1),
                MediaFile.generated("large.gif", "image/gif", 15 * MEBIBYTE + 1),
                MediaFile.generated("none.png", "image/png", 0), MediaFile.generated("", "", 1_000));
        rig.flex.agentAttaches(chat, "Look", files.toArray(MediaFile[]::new));
        until("a note of each", () -> rig.notes(chat).size() == files.size());
        String told = "Not delivered to the customer: X takes pictures .*: (it is|what is there is) [a-z ]+ \\(.*, [0-9]+ KB\\)";
        rig.notes(chat).forEach(note -> assertTrue(note.matches(told), note));
        assertEquals(List.of("Look"), Rig.received(ann));
        assertEquals(files.size(), rig.failed());
        assertEquals(0, rig.x.uploads().count());
    }

    @ParameterizedTest
    @EnumSource
    void aFileThatIsNotWhatItSaysGoesAsWhatItIsOrIsTold(Rig.Generation generation) throws Exception {
        rig(generation);
        Chat chat = rig.talk("1");
        MediaFile video = MediaFile.generated("a.mp4", "video/mp4", 3_000), photo = file("image/jpeg", 2_000);
        byte[] page = "<html>".getBytes(StandardCharsets.UTF_8);
        MediaFile large = MediaFile.generated("a.mp4", "video/mp4", 6 * MEBIBYTE);
        byte[] heic = "\0\0\0\u0018ftypheic\0\0\0\0".getBytes(StandardCharsets.ISO_8859_1);
        rig.flex.agentAttaches(chat, "", MediaFile.of("a.png", "image/png", page),
                MediaFile.of("c.jpg", "image/jpeg", heic),
                new MediaFile("b.png", "image/png", video.content()),
                new MediaFile("d.jpg", "image/jpg", photo.content()),
                new MediaFile("e", "application/octet-stream", photo.content()),
                new MediaFile("f.png", "image/png", large.content()));
        rig.flex.agentWrites(chat, "Bye");
        until("the rest", () -> Rig.received(ann).equals(List.of("", "", "", "", "Bye")));
        assertEquals(hashes(List.of(video, photo, photo, large)), hashes(ann.files()));
        String told = "Not delivered to the customer: X takes pictures (JPEG, PNG, WebP) up to 5 MB, GIFs up to 15 and MP4"
                + " videos up to 512: what is there is no picture or video (image/%s, 1 KB)";
        assertEquals(List.of(told.formatted("png"), told.formatted("jpeg")), rig.notes(chat));
    }

    @ParameterizedTest
    @EnumSource
    void aVideoThatXCannotUseAndOneThatItNeverGetsDoneWithAreTold(Rig.Generation generation) throws Exception {
        rig(generation, Rig.QUICK);
        Chat chat = rig.talk("1");
        rig.x.uploads().failProcessing(1);
        rig.flex.agentAttaches(chat, "", MediaFile.generated("a.mp4", "video/mp4", 5_000));
        until("the note", () -> rig.notes(chat).toString().contains("InvalidMedia): it takes MP4 videos of at most 140 s"));
        rig.x.uploads().processing(1_000_000, 0);
        rig.flex.agentAttaches(chat, "", MediaFile.generated("b.mp4", "video/mp4", 5_000));
        rig.flex.agentWrites(chat, "Sorry");
        until("the rest", () -> Rig.received(ann).equals(List.of("Sorry")));
        until("the note", () -> rig.notes(chat).toString().contains("still looking"));
        assertEquals(2, rig.failed());
    }

    @ParameterizedTest
    @EnumSource
    void aRefusedFileGoesOutWhenItIsPutBack(Rig.Generation generation) throws Exception {
        rig(generation);
        Chat chat = rig.talk("1");
        ann.blocks(true);
        MediaFile photo = MediaFile.generated("a.png", "image/png", 5_000);
        rig.flex.agentAttaches(chat, "", photo);
        until("refused", () -> rig.failed() == 1);
        ann.blocks(false);
        Bridge.Journal.requestRetry(rig.data, "");
        until("it", () -> ann.files().size() == 1);
        assertEquals(hashes(List.of(photo)), hashes(ann.files()));
    }

    @ParameterizedTest
    @EnumSource
    void aFileWhoseIdAtXHasExpiredIsUploadedAgain(Rig.Generation generation) throws Exception {
        rig(generation);
        Chat chat = rig.talk("1");
        rig.x.faults().always(SEND.get(generation), Fault.status(503));
        rig.flex.agentAttaches(chat, "", MediaFile.generated("a.png", "image/png", 5_000));
        until("tries", () -> rig.x.calls(SEND.get(generation)) > 3);
        assertEquals(1, rig.x.uploads().count());
        rig.x.uploads().age(Duration.ofDays(1));
        rig.x.faults().clear();
        until("it", () -> ann.files().size() == 1);
        rig.quiet();
        assertEquals(2, rig.x.uploads().count());
        assertEquals(1, ann.inbox().size());
    }

    @ParameterizedTest
    @EnumSource
    void aFileWhoseSendingIsUncertainArrivesOnce(Rig.Generation generation) throws Exception {
        rig(generation);
        Chat chat = rig.talk("1");
        for (boolean echoes : List.of(true, false)) {
            rig.x.echoes(echoes);
            rig.x.faults().next(UPLOAD.get(generation), Fault.dropAfter(), Fault.status(502), Fault.notJson(200));
            rig.flex.faults().next(TwilioMedia.TEMPORARY, Fault.status(403), Fault.dropAfter());
            rig.flex.faults().next(TwilioMedia.METADATA, Fault.notJson(502), Fault.dropAfter());
            rig.x.faults().next(SEND.get(generation), Fault.dropAfter());
            rig.flex.agentAttaches(chat, "", MediaFile.generated("a.png", "image/png", 5_000), MediaFile.generated("b.png", "image/png", 5_000));
            rig.quiet();
        }
        assertEquals(4, ann.inbox().size());
        assertEquals(List.of(), rig.notes(chat));
    }

    @ParameterizedTest
    @EnumSource
    void aLimitOnUploadsHoldsUpNobodysText(Rig.Generation generation) throws Exception {
        rig(generation);
        Chat chat = rig.talk("1"), other = rig.talk("2");
        rig.x.faults().always(UPLOAD.get(generation), Fault.status(429, Map.of("Retry-After", "2"), "{\"errors\":[{\"code\":88,\"message\":\"Rate limit exceeded\"}]}"));
        rig.flex.agentAttaches(chat, "", MediaFile.generated("a.png", "image/png", 5_000));
        until("a try", () -> rig.x.calls(UPLOAD.get(generation)) > 0);
        rig.flex.agentWrites(other, "hello");
        until("the text", () -> Rig.received(rig.customer("2")).equals(List.of("hello")));
        assertEquals("", rig.trouble());
    }

    @ParameterizedTest
    @EnumSource
    void aKeyThatXDoesNotTakeRefusesNoFile(Rig.Generation generation) throws Exception {
        rig(generation, Rig.QUICK);
        Chat chat = rig.talk("1");
        rig.x.faults().always(UPLOAD.get(generation), Fault.status(401, Map.of(), "{\"errors\":[{\"code\":89,\"message\":\"Invalid or expired token\"}]}"));
        rig.flex.agentAttaches(chat, "", MediaFile.generated("a.png", "image/png", 5_000));
        // At 10 ms each in the mean that is longer than a file is tried which itself is at fault.
        until("many tries", () -> rig.x.calls(UPLOAD.get(generation)) > 300);
        rig.x.faults().clear();
        until("the file", () -> ann.files().size() == 1);
        assertEquals(0, rig.failed());
    }

    /** As an older version kept them, and a line that it would not know is left alone. */
    @ParameterizedTest
    @EnumSource
    void anOldJournalsAttachmentsAreRead(Rig.Generation generation) throws Exception {
        rig(generation);
        Chat chat = rig.talk("1");
        rig.bridge.stop();
        String line = """
                {"at":%1$d,"do":"accept","id":"%2$s","message":{"direction":"%3$s","id":"%2$s","customer":"1","handle":"h","name":"n","text":"","answer":"","conversation":"%4$s","time":%1$d,"attachments":["%5$s"]}}
                """;
        long now = System.currentTimeMillis();
        Files.writeString(rig.data.resolve("journal.jsonl"), line.formatted(now, "77", "TO_FLEX", "", "[photo] https://ton.twitter.com/a")
                + line.formatted(now, "IM1-media", "TO_X", chat.sid(), "a.png image/png"), StandardOpenOption.APPEND);
        rig.start();
        until("told", () -> shown().equals(List.of("hi", "[photo] https://ton.twitter.com/a")));
        until("noted", () -> rig.notes(chat).toString().contains("not known any more"));
    }

    @ParameterizedTest
    @EnumSource
    void anAnimationIsSentAsOneAndAStillGifAsAPicture(Rig.Generation generation) throws Exception {
        rig(generation);
        Chat chat = rig.talk("1");
        String frame = "!\u00f9\u0004....";
        for (String frames : List.of(frame, frame + "pixels" + frame)) {
            byte[] bytes = ("GIF89a" + frames).getBytes(StandardCharsets.ISO_8859_1);
            rig.flex.agentAttaches(chat, "", MediaFile.of("a.gif", "image/gif", bytes));
        }
        until("both", () -> ann.files().size() == 2);
        List<String> types = rig.x.exchanges().stream().map(call -> call.requestBody() + " " + call.target())
                .filter(text -> text.contains("dm_gif")).toList();
        assertEquals(1, types.size(), types.toString());
    }

    @ParameterizedTest
    @EnumSource
    void aPhotoThatIsNotHadBySignatureIsHadByToken(Rig.Generation generation) throws Exception {
        rig = new Rig(generation, Map.of("TWITTER_USER_TOKEN", "user-token"), Rig.QUICK);
        rig.x.registrations().userToken("user-token");
        ann = rig.customer("1");
        rig.x.faults().always(XMedia.TON, Fault.status(401));
        String id = ann.sendsPhoto(file("image/png", 5_000), "");
        until("it", () -> shown().equals(List.of("x-" + id + ".png image/png")));
        assertEquals(1, rig.x.calls(XMedia.BINARY));
        rig.x.faults().always(XMedia.BINARY, Fault.status(401));
        ann.sendsPhoto(file("image/png", 5_000), "");
        toldAfter("[photo]");
    }

    /** Whose token X calls expired at the first call for the photo: what came then must not stand before it. */
    @Test
    void withATokenAloneAPhotoIsHadByItAndAnswered() throws Exception {
        rig = new Rig(Rig.Generation.CURRENT, Map.of("TWITTER_CLIENT_ID", XTokens.CLIENT_ID), PATIENT);
        rig.bridge.stop();
        rig.environment.keySet().removeIf(name -> name.startsWith("TWITTER_ACCESS"));
        XTokens.Pair pair = rig.x.tokens().pair(XTokens.ALL_SCOPES);
        ObjectNode granted = Bridge.object().put("access_token", pair.access()).put("refresh_token", pair.refresh())
                .put("scope", String.join(" ", pair.scopes())).put("expires_in", 7200);
        Bridge.XAccess.write(rig.data.resolve("x-token.json"),
                Bridge.XAccess.kept(granted, Bridge.object().put("user", SimulatedX.sampleKeys().ownId())));
        rig.start();
        ann = rig.customer("1");
        rig.x.faults().next(XMedia.BINARY, Fault.status(401, Map.of(), "{\"title\":\"Unauthorized\",\"status\":401}"));
        MediaFile photo = file("image/png", 5_000);
        String id = ann.sendsPhoto(photo, "");
        until("it", () -> shown().equals(List.of("x-" + id + ".png image/png")));
        assertEquals(hashes(List.of(photo)), hashes(rig.flex.files("twitter-1")));
        assertEquals(0, rig.x.calls(XMedia.TON));
        rig.flex.agentAttaches(rig.chat(ann), "", photo, MediaFile.generated("b.mp4", "video/mp4", 5_000));
        until("both", () -> ann.files().size() == 2);
    }

    private void toldAfter(String beginning) {
        until("told", () -> shown().size() == 2 && shown().get(1).startsWith(beginning));
    }

    @ParameterizedTest
    @EnumSource
    void anotherBridgesFileIsNoColleagues(Rig.Generation generation) throws Exception {
        rig(generation);
        Bridge other = rig.second();
        Chat chat = rig.talk("1");
        String flexUrl = chat.webhookUrls().get(0);
        rig.x.webhook(other.address() + "/fromTwitter");
        ann.writes("are you there?");
        until("it", () -> shown().size() == 2);
        chat.moveWebhooks(flexUrl);
        String read = messages(generation).replace("POST", "GET");
        int before = rig.flex.calls(read);
        MediaFile photo = MediaFile.generated("a.png", "image/png", 5_000);
        rig.flex.agentAttaches(chat, "", photo);
        until("it", () -> ann.files().size() == 1);
        until("the other has looked", () -> rig.flex.calls(read) > before);
        ann.writes("thanks");
        until("the next", () -> shown().size() == 3);
        rig.x.colleagueWrites(ann, "I am on it");
        until("a note", () -> rig.notes(chat).equals(List.of("A colleague wrote in the X app: I am on it")));
    }

    private static String messages(Rig.Generation generation) {
        return "POST " + (generation == Rig.Generation.CURRENT
                ? "/v1/Services/{ChatServiceSid}/Conversations/{ConversationSid}/Messages"
                : "/v2/Services/{ServiceSid}/Channels/{ChannelSid}/Messages");
    }

    // Answers that make no sense.

    private static final List<Function<JsonNode, ?>> NONSENSE = List.of(answer -> "", answer -> Fault.WEB_PAGE,
            answer -> answer.toString().substring(0, answer.toString().length() / 2), answer -> "null", answer -> "[]",
            answer -> "{}", answer -> "12", answer -> "{\"errors\":[]}", without("data"), without("id"),
            without("media_id_string"), without("sid"), without("links"), without("content_direct_temporary"),
            without("size"), without("content_type"), without("state"));

    private static Function<JsonNode, ?> without(String field) {
        return answer -> {
            JsonNode changed = answer.deepCopy();
            if (changed.findParent(field) instanceof ObjectNode parent) parent.remove(field);
            return changed;
        };
    }

    @ParameterizedTest
    @EnumSource
    void whateverAServiceAnswersEachFileArrivesOnce(Rig.Generation generation) throws Exception {
        rig(generation);
        Chat chat = rig.talk("1");
        MediaFile photo = file("image/png", 3_000), video = file("video/mp4", 4_000);
        rig.x.media().webhooksLackAttachments(true);
        int files = 0;
        for (String operation : operations(generation)) {
            SimulatedService service = operation.matches(".*(/Services/|MediaSid).*") ? rig.flex : rig.x;
            boolean bytes = List.of(XMedia.TON, XMedia.VIDEO, TwilioMedia.TEMPORARY).contains(operation);
            if (bytes || operation.equals(XUploads.APPEND)) continue;
            for (Function<JsonNode, ?> change : NONSENSE) {
                service.faults().next(operation, Fault.changed(change));
                files += 2;
                int all = files;
                rig.flex.agentAttaches(chat, "", photo, video);
                ann.sendsPhoto(photo, "");
                ann.sendsVideo("", video);
                until(operation, () -> ann.files().size() >= all && rig.flex.files("twitter-1").size() >= all);
                assertEquals(List.of(all, all), List.of(ann.files().size(), rig.flex.files("twitter-1").size()), operation);
                assertEquals(List.of(), rig.notes(chat), operation);
            }
        }
    }

    // Deaths.

    private List<String> operations(Rig.Generation generation) {
        return Stream.concat(Stream.of(XMedia.TON, XMedia.VIDEO, TwilioMedia.UPLOAD, TwilioMedia.METADATA, TwilioMedia.TEMPORARY,
                SEND.get(generation)), generation == Rig.Generation.CURRENT
                        ? Stream.of(messages(generation), XUploads.ONE_SHOT, XUploads.INITIALIZE, XUploads.APPEND,
                                XUploads.FINALIZE, XUploads.STATUS)
                        : Stream.of(messages(generation), XUploads.UPLOAD_1, XUploads.STATUS_1)).toList();
    }

    @ParameterizedTest
    @EnumSource
    void aDeathBeforeOrAfterAnyCallLosesAndDoublesNothing(Rig.Generation generation) throws Exception {
        rig(generation);
        List<Callable<String>> deaths = new ArrayList<>();
        for (String operation : operations(generation)) {
            deaths.add(() -> new MediaTest().dieAt(generation, operation, Fault.hold(new CountDownLatch(1))));
            deaths.add(() -> new MediaTest().dieAt(generation, operation, Fault.stallBody(Duration.ofSeconds(60))));
        }
        // They wait, most of their time.
        ExecutorService sideBySide = Executors.newFixedThreadPool(6);
        List<String> failures = new ArrayList<>();
        for (Future<String> death : sideBySide.invokeAll(deaths)) failures.add(death.get());
        sideBySide.shutdown();
        failures.removeIf(String::isEmpty);
        assertEquals(List.of(), failures);
    }

    /** One whose cables are cut, and another that goes on with a copy of its journal: all that a killed one leaves behind. */
    private String dieAt(Rig.Generation generation, String operation, Fault fault) throws Exception {
        rig(generation);
        Path left = Files.createTempDirectory("bridge-test");
        try (Cable toX = new Cable(rig.x.url()); Cable toFlex = new Cable(rig.flex.url())) {
            Chat chat = rig.talk("1");
            rig.bridge.stop();
            SimulatedService service = operation.matches(".*(/Services/|MediaSid).*") ? rig.flex : rig.x;
            service.resetCalls();
            MediaFile photo = file("image/jpeg", 50_000), video = file("video/mp4", 60_000);
            service.faults().next(operation, fault);
            rig.x.media().servedAt(toX.url(rig.x.url()));
            rig.flex.media().servedAt(toFlex.url(rig.flex.url()));
            Bridge first = rig.another(Map.of("DATA_DIR", left.toString(), "TWITTER_API_URL", toX.url(rig.x.url()),
                    "TWILIO_API_URL", toFlex.url(rig.flex.apiUrlTemplate())));
            rig.x.retryDelays();
            rig.flex.agentAttaches(chat, "files", MediaFile.generated("a.png", "image/png", 70_000),
                    MediaFile.generated("b.mp4", "video/mp4", 80_000));
            ann.sendsPhoto(photo, "look");
            ann.sendsVideo("", video);
            until(operation, () -> service.calls(operation) > 0);
            until("the work done", () -> !(fault instanceof Fault.StallBody)
                    || service.exchanges().stream().anyMatch(call -> call.operation().equals(operation)));
            rig.x.awaitDelivered(Duration.ofSeconds(30));
            rig.flex.awaitDelivered(Duration.ofSeconds(30));
            toX.cut();
            toFlex.cut();
            rig.flex.media().servedAt("");
            Files.writeString(rig.data.resolve("journal.jsonl"), Files.readString(left.resolve("journal.jsonl"))
                    .replace(toX.url(rig.x.url()), rig.x.url()));
            first.stop();
            rig.start();
            ann.writes("third");
            rig.flex.agentWrites(chat, "four");
            until("all after a death at " + operation, () -> Rig.received(ann).contains("four") && shown().contains("third"));
            rig.quiet();
            String found = rig.failed() + " refused: " + Rig.received(ann) + " " + shown().stream().map(text -> text.replaceAll(".* ", "")).toList()
                    + ann.files().stream().map(MediaFile::length).toList()
                    + rig.flex.files("twitter-1").stream().map(MediaFile::length).toList();
            return found.equals("0 refused: [files, , , four] [hi, look, image/jpeg, video/mp4, third][70000, 80000][50000, 60000]") ? ""
                    : operation + (fault instanceof Fault.StallBody ? " done: " : " not done: ") + found;
        } finally {
            rig.close();
            Rig.delete(left);
        }
    }

    // Size.

    @ParameterizedTest
    @EnumSource
    void aVideoLargerThanTheHeapGoesThrough(Rig.Generation generation) throws Exception {
        rig(generation);
        try (World world = new World(generation, Map.of(), "-Xmx64m")) {
            world.x.uploads().processing(2, 0);
            Customer customer = world.customer(1);
            Chat chat = world.talk(customer);
            // -Dmedia.mib=512 is the largest that X takes; the suite has no time for it.
            MediaFile video = MediaFile.generated("a.mp4", "video/mp4", Long.getLong("media.mib", 96) * MEBIBYTE);
            long began = System.nanoTime();
            world.flex.agentAttaches(chat, "", video);
            until("the video", () -> customer.files().size() == 1);
            System.out.println((video.length() >> 20) + " MiB in " + (System.nanoTime() - began) / 1_000_000 + " ms, at most "
                    + world.bridge.memory("VmHWM") + " MiB of memory");
            assertEquals(hashes(List.of(video)), hashes(customer.files()));
            assertTrue(world.bridge.memory("VmHWM") < 180, world.bridge.memory("VmHWM") + " MiB");
            assertEquals(List.of(), transfers(world.folder.resolve("data")));
        }
    }
}
