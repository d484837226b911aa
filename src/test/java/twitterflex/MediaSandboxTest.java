package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.SequenceInputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Form;
import twitterflex.sandbox.Json;
import twitterflex.sandbox.MediaFile;
import twitterflex.sandbox.Signatures;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;
import twitterflex.sandbox.TwilioMedia;
import twitterflex.sandbox.XMedia;
import twitterflex.sandbox.XUploads;

/**
 * The judge of pictures, videos and files is judged: what is right is taken, and each wrong thing refused as X and
 * Twilio refuse it.
 */
class MediaSandboxTest {

    private static final String SEND_1 = "/1.1/direct_messages/events/new.json";
    private static final String SEND_2 = "/2/dm_conversations/with/3001969357/messages";
    private static final String UPLOAD_1 = "/1.1/media/upload.json";
    private static final String TOKEN = "user-token";
    private static final int MEBIBYTE = 1 << 20;

    private record Answer(int status, Map<String, List<String>> headers, byte[] body) {

        String text() {
            return new String(body, UTF_8);
        }

        JsonNode json() {
            return Json.parse(text());
        }

        String header(String name) {
            return String.join(", ", headers.getOrDefault(name, List.of()));
        }
    }

    private final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final SimulatedX.Keys keys = SimulatedX.sampleKeys();
    private final SimulatedFlex.Account account = SimulatedFlex.Account.sample();
    private final SimulatedX x = new SimulatedX(0, keys);
    private final SimulatedFlex flex = new SimulatedFlex(0, account);
    private final Customer customer = x.customer("3001969357", "customer_one", "A Customer");
    private final byte[] photo = bytes(MediaFile.generated("", "image/jpeg", 70_001));
    private final List<String> hooks = Collections.synchronizedList(new ArrayList<>());
    private HttpServer bridge;

    @BeforeEach
    void aStandInForTheBridgeListens() throws IOException {
        bridge = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        bridge.createContext("/", this::hook);
        bridge.start();
        x.webhook(bridgeUrl());
        x.echoes(false);
        x.registrations().userToken(TOKEN);
        x.uploads().processing(2, 0);
    }

    @AfterEach
    void allIsClosed() {
        bridge.stop(0);
        x.close();
        flex.close();
    }

    private void hook(HttpExchange http) throws IOException {
        try (http) {
            hooks.add(new String(http.getRequestBody().readAllBytes(), UTF_8));
            http.sendResponseHeaders(200, -1);
        }
    }

    private String bridgeUrl() {
        return "http://127.0.0.1:" + bridge.getAddress().getPort();
    }

    // X: what customers attach.

    @Test
    void aPhotoIsToldWithItsLinkAndGivenToWhoeverSignsForTheAccount() {
        String event = customer.sendsPhoto(photo, "image/jpeg", "broken < part");
        JsonNode data = told();
        JsonNode media = data.path("attachment").path("media");
        assertEquals("broken &lt; part " + media.path("url").asText(), data.path("text").asText());
        assertEquals("https://twitter.com/messages/media/" + event, data.at("/entities/urls/0/expanded_url").asText());
        assertEquals("media photo", data.at("/attachment/type").asText() + " " + media.path("type").asText());
        assertEquals(media.path("id").asText(), media.path("id_str").asText());
        String target = target(media.path("media_url_https"));
        assertTrue(target.matches("/1\\.1/ton/data/dm/" + event + "/" + media.path("id_str").asText()
                + "/[\\w-]+\\.jpg"), target);
        Answer fetched = get(target);
        assertEquals("200 image/jpeg", fetched.status() + " " + fetched.header("content-type"));
        assertArrayEquals(photo, fetched.body());
        assertArrayEquals(photo, get(target.replace("/1.1/", "/i/")).body());
        assertEquals(999, get(target + ":thumb").body().length);
        assertEquals(2 * photo.length, x.media().fetched(event));
        assertEquals(List.of(), x.violations());
    }

    @Test
    void aPhotoIsKeptFromEverybodyElse() {
        customer.sendsPhoto(photo, "image/jpeg", "");
        String target = target(told().at("/attachment/media/media_url_https"));
        Answer unsigned = visit(x.url() + target);
        assertEquals(302, unsigned.status());
        Answer page = visit(unsigned.header("location"));
        assertEquals("200 text/html; charset=utf-8", page.status() + " " + page.header("content-type"));
        assertEquals(403, getAs(TOKEN, target).status());
        String other = authorization("GET", target + "x");
        assertEquals(401, ask("GET", x.url() + target, BodyPublishers.noBody(), Map.of("Authorization", other))
                .status());
        assertEquals(404, get(target.replace(".jpg", ".png")).status());
        assertEquals(404, get(target + ":huge").status());
        assertEquals(5, x.violations().size());
        x.accessLevel("read-write");
        assertEquals(403, get(target).status());
    }

    @Test
    void withOAuth2APhotoIsHadFromApi2Only() {
        String event = customer.sendsPhoto(photo, "image/png", "");
        JsonNode media = told().path("attachment").path("media");
        String file = media.path("media_url_https").asText().replaceFirst(".*/", "");
        String target = "/2/dm_conversations/media/" + event + "/" + media.path("id_str").asText() + "/" + file;
        Answer fetched = getAs(TOKEN, target);
        assertEquals("200 application/octet-stream", fetched.status() + " " + fetched.header("content-type"));
        assertArrayEquals(photo, fetched.body());
        assertEquals(List.of(), x.violations());
        Answer signed = get(target);
        assertEquals("403 Unsupported Authentication", signed.status() + " " + signed.json().path("title").asText());
        assertEquals(401, ask("GET", x.url() + target, BodyPublishers.noBody(), Map.of("Authorization", "Bearer wrong"))
                .status());
        assertEquals(404, getAs(TOKEN, target + "x").status());
    }

    @Test
    void gifsAndVideosArePublicAndWhoeverShowsCredentialsToTheirHostIsCaught() {
        MediaFile best = MediaFile.generated("", "video/mp4", 90_000);
        MediaFile small = MediaFile.generated("", "video/mp4", 40_000);
        customer.sendsVideo("look", best, small);
        JsonNode media = told().path("attachment").path("media");
        assertEquals("video", media.path("type").asText());
        List<String> variants = new ArrayList<>();
        media.at("/video_info/variants").forEach(one -> variants.add(one.path("bitrate").asText()
                + one.path("content_type").asText()));
        assertEquals(List.of("application/x-mpegURL", "832000video/mp4", "2176000video/mp4"), variants);
        String url = media.at("/video_info/variants/2/url").asText();
        Answer head = visit("HEAD", url);
        assertEquals("200 90000 video/mp4", head.status() + " " + head.header("content-length") + " "
                + head.header("content-type"));
        assertArrayEquals(bytes(best), visit(url).body());
        assertArrayEquals(bytes(small), visit(media.at("/video_info/variants/1/url").asText()).body());
        assertEquals(200, visit(media.path("media_url_https").asText()).status());
        customer.sendsGif(small, "");
        JsonNode gif = told().path("attachment").path("media");
        assertEquals("animated_gif 0", gif.path("type").asText() + " " + gif.at("/video_info/variants/0/bitrate")
                .asText());
        String gifUrl = gif.at("/video_info/variants/0/url").asText();
        assertArrayEquals(bytes(small), visit(gifUrl).body());
        assertEquals(List.of(), x.violations());
        assertEquals(403, get(target(gif.at("/video_info/variants/0/url"))).status());
        assertEquals(403, ask("HEAD", url, BodyPublishers.noBody(), Map.of("Authorization", "Bearer " + TOKEN))
                .status());
        assertEquals(2, x.violations().size());
        assertTrue(x.violations().get(0).contains("credentials are shown to twimg.com"), x.violations().get(0));
    }

    @Test
    void whatAWebhookLacksALookUpShows() {
        x.media().webhooksLackAttachments(true);
        x.envelope(SimulatedX.Envelope.X_ACTIVITY);
        String event = customer.sendsPhoto(photo, "image/jpeg", "here");
        x.awaitDelivered(Duration.ofSeconds(10));
        JsonNode data = Json.parse(hooks.get(0))
                .at("/data/payload/direct_message_events/0/message_create/message_data");
        assertFalse(data.has("attachment"));
        assertTrue(data.path("text").asText().startsWith("here https://t.co/"));
        String all = "?dm_event.fields=id,event_type,text,sender_id,attachments"
                + "&expansions=attachments.media_keys,sender_id"
                + "&media.fields=media_key,type,url,preview_image_url,variants";
        JsonNode found = get("/2/dm_events/" + event + all).json();
        String key = found.at("/data/attachments/media_keys/0").asText();
        assertTrue(key.matches("3_\\d+"), key);
        assertEquals(key + " photo", found.at("/includes/media/0/media_key").asText() + " "
                + found.at("/includes/media/0/type").asText());
        assertArrayEquals(photo, get(target(found.at("/includes/media/0/url"))).body());
        JsonNode listed = get("/2/dm_conversations/with/3001969357/dm_events" + all).json();
        assertEquals(found.path("includes"), listed.path("includes"));
        assertEquals(key, listed.at("/data/0/attachments/media_keys/0").asText());
        assertTrue(get("/1.1/direct_messages/events/list.json").json()
                .at("/events/0/message_create/message_data").has("attachment"));
        assertEquals(List.of(), x.violations());
    }

    @Test
    void aLookUpShowsOnlyWhatIsAskedFor() {
        String video = customer.sendsVideo("", MediaFile.generated("", "video/mp4", 1_000));
        JsonNode plain = get("/2/dm_events/" + video).json();
        assertFalse(plain.path("data").has("attachments") || plain.has("includes"));
        Answer fields = getAs(TOKEN, "/2/dm_events/" + video + "?expansions=attachments.media_keys");
        assertEquals(2, fields.json().at("/includes/media/0").size(), fields.text());
        JsonNode variants = get("/2/dm_events/" + video + "?expansions=attachments.media_keys&media.fields=variants")
                .json().at("/includes/media/0/variants");
        assertEquals("video/mp4 2176000", variants.at("/1/content_type").asText() + " " + variants.at("/1/bit_rate")
                .asText());
        assertFalse(get("/2/dm_events/1").json().has("data"));
        assertEquals(400, get("/2/dm_events/" + video + "?expansions=media").status());
        x.limitReads(1, Duration.ofMinutes(15));
        assertEquals(200, get("/2/dm_events/" + video).status());
        assertEquals(429, get("/2/dm_events/" + video).status());
    }

    @Test
    void aLengthThatIsAskedForMayBeALie() {
        customer.sendsGif(MediaFile.of("", "video/mp4", photo), "");
        String url = told().at("/attachment/media/video_info/variants/0/url").asText();
        x.faults().next(XMedia.GIF.replace("GET", "HEAD"), Fault.contentLength(5), Fault.status(404));
        assertEquals("5", visit("HEAD", url).header("content-length"));
        assertEquals(404, visit("HEAD", url).status());
        assertEquals("70001", visit("HEAD", url).header("content-length"));
    }

    @Test
    void aPhotoIsServedByAServiceWhoseClockIsWrong() {
        customer.sendsPhoto(photo, "image/jpeg", "");
        String target = target(told().at("/attachment/media/media_url_https"));
        x.dates(Duration.ofDays(400));
        assertArrayEquals(photo, get(target).body());
        x.clock(Duration.ofHours(1));
        assertEquals(401, get(target).status());
    }

    @Test
    void aHostCanServeAnythingButThePicture() {
        customer.sendsPhoto(photo, "image/jpeg", "");
        String target = target(told().at("/attachment/media/media_url_https"));
        x.faults().next(XMedia.TON, Fault.notJson(200), Fault.status(302, Map.of("Location", "http://127.0.0.1:9/"),
                ""), Fault.status(200, Map.of("Content-Type", "image/jpeg"), ""), Fault.status(403), Fault.status(503),
                Fault.contentLength(100),
                Fault.contentLength(photo.length + 1L), Fault.drip(20_000, Duration.ofMillis(50)),
                Fault.stallBody(Duration.ofMillis(200)));
        Answer page = get(target);
        assertEquals("200 text/html", page.status() + " " + page.header("content-type"));
        assertEquals("http://127.0.0.1:9/", get(target).header("location"));
        Answer nothing = get(target);
        assertEquals("200 0 image/jpeg", nothing.status() + " " + nothing.body().length + " "
                + nothing.header("content-type"));
        assertEquals(403, get(target).status());
        assertEquals(503, get(target).status());
        assertEquals(100, get(target).body().length);
        assertThrows(UncheckedIOException.class, () -> get(target), "shorter than it says");
        for (int leastMillis : List.of(145, 195)) {
            Instant before = Instant.now();
            assertArrayEquals(photo, get(target).body());
            assertTrue(Duration.between(before, Instant.now()).toMillis() >= leastMillis);
        }
        x.faults().always(XMedia.TON, Fault.status(404));
        assertEquals(404, get(target).status());
        assertEquals(404, get(target).status());
        assertEquals(List.of(), x.violations());
    }

    @Test
    void aLargeVideoIsMadeAsItIsReadAndWhoeverStopsEarlyGetsLittleOfIt() throws Exception {
        MediaFile video = MediaFile.generated("", "video/mp4", 160L * MEBIBYTE);
        String event = customer.sendsVideo("", video);
        HttpRequest get = HttpRequest.newBuilder(URI.create(told().at("/attachment/media/video_info/variants/1/url")
                .asText())).build();
        HttpResponse<InputStream> part = client.send(get, HttpResponse.BodyHandlers.ofInputStream());
        assertEquals("167772160", part.headers().firstValue("Content-Length").orElse(""));
        try (InputStream in = part.body()) {
            in.skipNBytes(MEBIBYTE);
        }
        HttpResponse<InputStream> whole = client.send(get, HttpResponse.BodyHandlers.ofInputStream());
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        try (InputStream in = new DigestInputStream(whole.body(), digest)) {
            in.transferTo(OutputStream.nullOutputStream());
        }
        assertEquals(video.sha256(), HexFormat.of().formatHex(digest.digest()));
        assertTrue(x.media().fetched(event) < 160L * MEBIBYTE + 64L * MEBIBYTE, x.media().fetched(event) + " bytes");
    }

    // X: what the account uploads and sends.

    @Test
    void anImageIsUploadedAtOnceAndSentOnce() {
        for (Answer uploaded : List.of(upload("dm_image", photo), askX("POST", "/2/media/upload",
                BodyPublishers.ofString(
                Json.object("media", Base64.getEncoder().encodeToString(photo), "media_category", "dm_image")
                .toString()), "application/json"))) {
            JsonNode data = uploaded.json().path("data");
            assertEquals(200, uploaded.status(), uploaded.text());
            assertEquals("3_" + data.path("id").asText() + " 70001 86400 image/jpeg", data.path("media_key").asText()
                    + " "
                    + data.path("size").asText() + " " + (data.path("expires_after_secs").asInt() + 1) / 10 * 10 + " "
                    + data.at("/image/image_type").asText());
            assertTrue(data.path("id").isTextual() && !data.has("processing_info"));
        }
        String id = id(upload("dm_image", photo));
        Answer sent = send(Json.object("text", "Look", "attachments", List.of(Map.of("media_id", id))));
        assertEquals(201, sent.status(), sent.text());
        Customer.Received received = customer.inbox().get(0);
        assertEquals("Look", received.text());
        assertArrayEquals(photo, bytes(received.media().orElseThrow()));
        assertEquals(3, x.uploads().files().size());
        assertEquals(201, send(attached(id(upload("dm_image", photo)))).status(), "a text is not needed");
        assertEquals("", customer.inbox().get(1).text());
        assertEquals(List.of(), x.violations());
        Answer again = send(attached(id));
        assertEquals("403 You are not permitted to attach this media to a DM event.", again.status() + " "
                + again.json().path("detail").asText());
        assertEquals(2, customer.inbox().size());
    }

    @Test
    void theEchoOfAPictureThatWasSentHasItsAttachment() {
        x.echoes(true);
        send(attached(id(upload("dm_image", photo))));
        JsonNode data = told();
        assertEquals("photo", data.at("/attachment/media/type").asText());
        assertEquals(data.at("/attachment/media/url").asText(), data.path("text").asText().strip());
        assertArrayEquals(photo, get(target(data.at("/attachment/media/media_url_https"))).body());
    }

    @Test
    void aMessageCarriesOneMediumThatIsOursReadyAndYoung() {
        String id = id(upload("dm_image", photo));
        String two = "{\"attachments\":[{\"media_id\":\"" + id + "\"},{\"media_id\":\"" + id + "\"}]}";
        assertEquals(400, send(Json.parse(two)).status());
        assertEquals(400, send(Json.parse("{\"attachments\":[{\"media_id\":" + id + "}]}")).status(),
                "a number is no id");
        assertEquals(400, send(Json.parse("{\"attachments\":[{\"media_id\":\"" + id + "\",\"type\":\"a\"}]}"))
                .status());
        assertEquals(400, send(Json.parse("{\"attachments\":[]}")).status());
        assertEquals(400, send(Json.parse("{}")).status());
        assertEquals(400, send(Json.object("text", "", "attachments", List.of(Map.of("media_id", id)))).status(),
                "an empty text is none");
        assertEquals("A media id was not found.", send(attached("1")).json().at("/errors/0/message").asText());
        assertEquals(403, send(attached(x.uploads().uploadedByAnother())).status());
        assertEquals(403, send(attached(id(upload("tweet_image", photo)))).status());
        assertEquals(9, x.violations().size());
        customer.blocks(true);
        assertEquals(403, send(attached(id)).status());
        customer.blocks(false);
        x.uploads().age(Duration.ofHours(24));
        assertEquals(400, send(attached(id)).status());
        assertEquals(9, x.violations().size(), "an id may expire on anybody");
        assertEquals(List.of(), customer.inbox());
        assertEquals(201, send(attached(id(upload("dm_image", photo)))).status());
    }

    @Test
    void whatIsNoImageOrTooLargeIsNotTakenAtOnce() {
        byte[] large = bytes(MediaFile.generated("", "image/png", 5 * MEBIBYTE + 1));
        assertEquals("File size exceeds 5242880 bytes.", upload("dm_image", large).json().at("/errors/0/message")
                .asText());
        assertEquals(413, upload("dm_image", new byte[9 * MEBIBYTE]).status());
        assertEquals(200, upload("dm_image", bytes(MediaFile.generated("", "image/png", 5 * MEBIBYTE))).status());
        assertEquals(400, upload("dm_video", photo).status());
        assertEquals(400, upload("dm_picture", photo).status());
        assertEquals(400, upload("dm_image", new byte[0]).status());
        String boundary = "media-boundary";
        String end = "\r\n--" + boundary + "--\r\n";
        String category = "--" + boundary
                + "\r\nContent-Disposition: form-data; name=\"media_category\"\r\n\r\ndm_image";
        String media = "\r\n--" + boundary
                + "\r\nContent-Disposition: form-data; name=\"media\"; filename=\"a\"\r\n\r\nGIF89a";
        String type = "multipart/form-data; boundary=" + boundary;
        assertEquals(200, uploadBody(category + media + end, type).status());
        assertEquals(400, uploadBody(media.strip() + end, type).status(), "no category");
        assertEquals(400, uploadBody(category + end, type).status(), "no media");
        assertEquals(400, uploadBody(category + media + media + end, type).status(), "two media");
        assertEquals("The last boundary is missing.", uploadBody(category + media, type).json().at("/errors/0/message")
                .asText());
        assertEquals(400, uploadBody(category + media + end, "multipart/form-data").status(), "no boundary");
        assertEquals(400, uploadBody(category + media + category.replace("media_category", "media_type")
                .replaceFirst("--", "\r\n--") + end, type).status(), "an unknown field");
        assertEquals(400, uploadBody(category + media.replace("name=\"media\"", "name=\"file\"") + end, type).status(),
                "a file by another name");
        assertEquals(400, uploadBody("media", "image/jpeg").status());
        assertEquals(400, uploadBody("{\"media\":\"!\",\"media_category\":\"dm_image\"}", "application/json").status());
        assertEquals(14, x.violations().size(), x.violations()::toString);
        assertEquals("media type unrecognized.", upload("dm_image", "%PDF-1.7".getBytes(UTF_8)).json()
                .at("/errors/0/message").asText());
        assertEquals(14, x.violations().size(), "who believes a file's name may meet that");
    }

    @Test
    void aVideoIsUploadedInSegmentsAndSentWhenItHasBeenProcessed() {
        MediaFile video = MediaFile.generated("", "video/mp4", 20L * MEBIBYTE + 17);
        String id = begun("video/mp4", video.length(), "dm_video");
        byte[] all = bytes(video);
        for (int index = 0; index * MEBIBYTE < all.length; index++) {
            Answer taken = append(id, index, Arrays.copyOfRange(all, index * MEBIBYTE,
                    Math.min(all.length, (index + 1) * MEBIBYTE)));
            assertEquals(200, taken.status(), taken.text());
            assertTrue(taken.json().at("/data/expires_at").asLong() > Instant.now().getEpochSecond());
        }
        assertEquals(400, status(id).status(), "there is nothing to process before the end");
        JsonNode pending = finish(id).json().path("data");
        assertEquals("pending 0", pending.at("/processing_info/state").asText() + " "
                + pending.at("/processing_info/check_after_secs").asText());
        assertEquals(video.length(), pending.path("size").asLong());
        Answer early = send(attached(id));
        assertEquals("400 The validation of media ids failed.", early.status() + " " + early.json()
                .at("/errors/0/message").asText());
        JsonNode half = status(id).json().at("/data/processing_info");
        assertEquals("in_progress 50", half.path("state").asText() + " " + half.path("progress_percent").asText());
        JsonNode done = status(id).json().path("data");
        assertEquals("succeeded video/mp4", done.at("/processing_info/state").asText() + " "
                + done.at("/video/video_type").asText());
        assertEquals(201, send(attached(id)).status());
        MediaFile received = customer.files().get(0);
        assertEquals(video.sha256(), received.sha256());
        assertEquals("video/mp4 20971537", received.type() + " " + received.length());
        assertEquals(2, x.violations().size(), "the early look and the early message");
    }

    @Test
    void xIsAskedAsOftenAsItWants() {
        x.uploads().processing(1, 1);
        String id = begun("image/gif", 6, "dm_gif");
        append(id, 0, "GIF89a".getBytes(UTF_8));
        assertEquals(1, finish(id).json().at("/data/processing_info/check_after_secs").asInt());
        assertEquals("pending", status(id).json().at("/data/processing_info/state").asText(), "too early");
        Rig.until("it is ready", () -> status(id).json().at("/data/processing_info/state").asText()
                .equals("succeeded"));
        assertEquals(201, send(attached(id)).status());
        assertEquals("image/gif", customer.files().get(0).type());
        assertEquals(List.of(), x.violations());
    }

    @Test
    void whatIsNoVideoFailsInTheEnd() {
        x.uploads().failProcessing(1);
        for (byte[] bytes : List.of(bytes(MediaFile.generated("", "video/mp4", 5_000)), new byte[5_000])) {
            String id = begun("video/mp4", 5_000, "dm_video");
            append(id, 0, bytes);
            finish(id);
            status(id);
            JsonNode failed = status(id).json().at("/data/processing_info");
            assertEquals("failed 1 InvalidMedia", failed.path("state").asText() + " " + failed.at("/error/code")
                    .asText() + " " + failed.at("/error/name").asText());
            assertEquals(400, send(attached(id)).status());
        }
    }

    @Test
    void aSegmentMayComeAgainAndAnImageNeedsNoProcessing() {
        String id = begun("image/png", 7, "dm_image");
        assertEquals(200, append(id, 0, new byte[2]).status());
        assertEquals(200, append(id, 0, new byte[] {(byte) 0x89, 'P', 'N', 'G'}).status());
        assertEquals(200, append(id, 1, new byte[] {1, 2, 3}).status());
        assertFalse(finish(id).json().path("data").has("processing_info"));
        Answer status = status(id);
        assertEquals("400 Not found", status.status() + " " + status.json().at("/errors/0/message").asText());
        assertEquals(201, send(attached(id)).status());
        assertArrayEquals(new byte[] {(byte) 0x89, 'P', 'N', 'G', 1, 2, 3}, bytes(customer.files().get(0)));
        String shared = id(initialize(Json.object("media_type", "image/gif", "total_bytes", 6, "media_category",
                "dm_image", "shared", true)));
        append(shared, 0, "GIF89a".getBytes(UTF_8));
        finish(shared);
        assertEquals(List.of(201, 201), List.of(send(attached(shared)).status(), send(attached(shared)).status()),
                "shared, so twice");
    }

    @Test
    void segmentsBeyondTheRulesAreRefused() {
        for (String[] bad : new String[][] {{"video/mp4", "536870913", "dm_video"}, {"image/gif", "15728641", "dm_gif"},
            {"image/png", "5242881", "dm_image"}, {"image/png", "0", "dm_image"}, {"video/mp4", "9", "dm_image"},
            {"audio/mpeg", "9", "dm_video"}, {"video/mp4", "9", "dm_film"}}) {
            Answer refused = initialize(Json.object("media_type", bad[0], "total_bytes", Long.parseLong(bad[1]),
                    "media_category", bad[2]));
            assertEquals(400, refused.status(), String.join(" ", bad));
        }
        assertEquals("File size exceeds 536870912 bytes.", initialize(Json.object("media_type", "video/mp4",
                "total_bytes", 536870913, "media_category", "dm_video")).json().at("/errors/0/message").asText());
        assertEquals(400, initialize(Json.object("media_type", "video/mp4", "total_bytes", "9", "media_category",
                "dm_video")).status());
        assertEquals(400, initialize(Json.object("media_type", "video/mp4", "total_bytes", 9, "media_category",
                "dm_video", "command", "INIT")).status());
        String id = begun("video/mp4", 5L * MEBIBYTE, "dm_video");
        assertEquals(413, append(id, 0, new byte[5 * MEBIBYTE]).status());
        assertEquals(400, append(id, 1, new byte[9]).status(), "out of order");
        assertEquals(400, append(id, 0, new byte[0]).status());
        assertEquals("segment_index must be 0 to 999.", append(id, 1000, new byte[9]).json().at("/errors/0/message")
                .asText());
        assertEquals(400, append("77", 0, new byte[9]).status());
        assertEquals(200, append(id, 0, new byte[4 * MEBIBYTE]).status());
        assertEquals("Segments do not add up to provided total file size.", finish(id).json().at("/errors/0/message")
                .asText());
        assertEquals(0, x.uploads().files().size());
        x.uploads().age(Duration.ofDays(1));
        assertEquals(400, append(id, 1, new byte[9]).status(), "expired");
    }

    @Test
    void uploadsAreLimitedAsXTellsInItsHeaders() {
        x.uploads().limit(XUploads.ONE_SHOT, 1, Duration.ofMinutes(15));
        assertEquals("0", upload("dm_image", photo).header("x-rate-limit-remaining"));
        Answer refused = upload("dm_image", photo);
        assertEquals(429, refused.status());
        assertTrue(Long.parseLong(refused.header("x-rate-limit-reset")) > Instant.now().getEpochSecond());
        assertEquals("1874", initialize(Json.object("media_type", "image/png", "total_bytes", 9, "media_category",
                "dm_image")).header("x-rate-limit-remaining"));
        assertEquals(List.of(), x.violations());
    }

    @Test
    void onlyAUserMayUpload() {
        String token = "Bearer " + askApp();
        Map<String, String> json = Map.of("Content-Type", "application/json");
        String init = Json.object("media_type", "video/mp4", "total_bytes", 9, "media_category", "dm_video").toString();
        String url = x.url() + "/2/media/upload/initialize";
        assertEquals(401, ask("POST", url, BodyPublishers.ofString(init), json).status());
        assertEquals("Unsupported Authentication", ask("POST", url, BodyPublishers.ofString(init),
                with(json, "Authorization", token)).json().path("title").asText());
        assertEquals(200, ask("POST", url, BodyPublishers.ofString(init), with(json, "Authorization", "Bearer "
                + TOKEN)).status());
        Map<String, String> old = Map.of("Authorization", "Bearer " + TOKEN, "Content-Type",
                "application/x-www-form-urlencoded");
        assertEquals(403, ask("POST", x.url() + UPLOAD_1, BodyPublishers.ofString("command=INIT"), old).status());
        x.uploads().mayWriteMedia(false);
        assertEquals(403, ask("POST", url, BodyPublishers.ofString(init), with(json, "Authorization", "Bearer "
                + TOKEN)).status());
        assertEquals(1, x.uploads().count());
    }

    @Test
    void api1UploadsByCommandsAndSendsWithAnEmptyText() {
        Answer begun = askForm("command=INIT&total_bytes=6&media_type=image%2Fgif&media_category=dm_gif");
        String id = begun.json().path("media_id_string").asText();
        assertEquals("202 " + id, begun.status() + " " + begun.json().path("media_id").asText());
        assertEquals(204, multipart("POST", UPLOAD_1, Map.of("command", "APPEND", "media_id", id, "segment_index", "0"),
                "GIF89a".getBytes(UTF_8)).status());
        Answer pending = askForm("command=FINALIZE&media_id=" + id);
        assertEquals("201 pending", pending.status() + " " + pending.json().at("/processing_info/state").asText());
        String status = UPLOAD_1 + "?command=STATUS&media_id=" + id;
        get(status);
        assertEquals("succeeded", get(status).json().at("/processing_info/state").asText());
        assertEquals(200, send1(id, "").status());
        Answer simple = multipart("POST", UPLOAD_1 + "?media_category=dm_image", Map.of(), photo);
        assertEquals("200 image/jpeg", simple.status() + " " + simple.json().at("/image/image_type").asText());
        assertEquals(200, send1(simple.json().path("media_id_string").asText(), "Look").status());
        assertEquals(List.of("", "Look"), customer.inbox().stream().map(Customer.Received::text).toList());
        assertEquals(List.of("image/gif", "image/jpeg"), customer.files().stream().map(MediaFile::type).toList());
        assertEquals(List.of(), x.violations());
    }

    @Test
    void api1RefusesInItsOwnWords() {
        Answer large = askForm("command=INIT&total_bytes=15728641&media_type=image%2Fgif&media_category=dm_gif");
        assertEquals("{\"request\":\"/1.1/media/upload.json\",\"error\":\"File size exceeds 15728640 bytes.\"}",
                large.text());
        assertEquals(400, large.status());
        assertEquals(400, askForm("command=BEGIN").status());
        assertEquals(400, askForm("command=INIT&total_bytes=6&media_type=image%2Fgif&media_category=dm_gif&name=a")
                .status());
        assertEquals(400, askForm("command=FINALIZE&media_id=1").status());
        assertEquals(400, multipart("POST", UPLOAD_1, Map.of(), new byte[9]).status(), "no image");
        assertEquals(325, send1("1", "a").json().at("/errors/0/code").asInt());
        assertEquals(324, send1(x.uploads().uploadedByAnother(), "a").json().at("/errors/0/code").asInt());
        String post = multipart("POST", UPLOAD_1, Map.of(), photo).json().path("media_id_string").asText();
        assertEquals(324, send1(post, "a").json().at("/errors/0/code").asInt(), "without a category it is for posts");
        String broken = "{\"event\":{\"type\":\"message_create\","
                + "\"message_create\":{\"target\":{\"recipient_id\":\"3001969357\"},"
                + "\"message_data\":{\"text\":\"\",\"attachment\":{\"media\":{\"id\":\"1\"}}}}}}";
        assertEquals(403, askX("POST", SEND_1, BodyPublishers.ofString(broken), "application/json").status());
        assertEquals(List.of(), customer.inbox());
    }

    // Twilio: what is uploaded.

    @Test
    void aFileIsUploadedRawOrAsAPartAndFetchedThroughASignedUrl() {
        Answer raw = askFlex("POST", "/mcs.us1" + media() + "?Filename=x-1.jpg", BodyPublishers.ofByteArray(photo),
                "image/jpeg");
        assertEquals(201, raw.status(), raw.text());
        JsonNode made = raw.json();
        String sid = made.path("sid").asText();
        assertEquals("x-1.jpg image/jpeg 70001 system media", made.path("filename").asText() + " "
                + made.path("content_type").asText()
                + " " + made.path("size").asText() + " " + made.path("author").asText() + " " + made.path("category")
                .asText());
        assertEquals(media() + "/" + sid, made.path("url").asText());
        assertTrue(made.path("message_sid").isNull() && made.path("channel_sid").isNull());
        JsonNode part = multipartFile("/mcs" + media(), "Zażółć 1.pdf", "application/pdf", photo).json();
        assertEquals("Zażółć 1.pdf", part.path("filename").asText());
        assertTrue(store("", "text/plain").json().path("filename").isNull());
        assertEquals(List.of("x-1.jpg", "Zażółć 1.pdf", ""), flex.media().uploaded().stream()
                .map(one -> one.file().name()).toList());
        Answer shown = getFlex(file(sid));
        String signed = shown.json().at("/links/content_direct_temporary").asText();
        assertTrue(signed.matches(".*/" + sid + "\\?Expires=\\d+&Signature=[^&]+&Key-Pair-Id=\\w+"), signed);
        Answer content = visit(signed);
        assertEquals("200 image/jpeg", content.status() + " " + content.header("content-type"));
        assertArrayEquals(photo, content.body());
        assertEquals(media() + "/" + sid + "/Content", made.at("/links/content").asText());
        Answer redirect = getFlex("/mcs" + made.at("/links/content").asText());
        assertEquals(302, redirect.status());
        assertArrayEquals(photo, visit(redirect.header("location")).body());
        assertEquals(List.of(), flex.violations());
    }

    @Test
    void aSignedUrlExpiresAndNeedsNoOtherCredentials() {
        String sid = store("", "image/jpeg").json().path("sid").asText();
        String signed = signed(sid);
        assertEquals(403, ask("GET", signed, BodyPublishers.noBody(), Map.of("Authorization", basic())).status());
        assertEquals(403, visit(signed.replaceFirst("Signature=.", "Signature=!")).status());
        assertEquals(403, visit(signed.replaceFirst("Expires=1", "Expires=2")).status());
        assertEquals(403, visit(signed.replaceFirst("\\?.*", "")).status());
        assertEquals(4, flex.violations().size());
        flex.media().temporaryFor(Duration.ofMillis(1));
        String old = signed(sid);
        Rig.until("the URL has expired", () -> visit(old).status() == 403);
        assertEquals(200, visit(signed).status());
        assertEquals(4, flex.violations().size(), "an URL may expire on anybody");
    }

    @Test
    void whatTwilioCannotTakeIsRefused() {
        assertEquals(400, askFlex("POST", "/mcs" + media(), BodyPublishers.noBody(), "image/jpeg").status());
        assertEquals(400, store("", "picture").status());
        assertEquals(400, store("?Name=a", "image/jpeg").status());
        assertEquals(400, store("?Filename=..%2Fa", "image/jpeg").status());
        assertEquals(400, store("?Filename=" + "a".repeat(256), "image/jpeg").status());
        assertEquals(404, askFlex("POST", "/mcs" + media().replace("IS0", "IS1"), BodyPublishers.ofByteArray(photo),
                "image/jpeg").status());
        assertEquals(404, getFlex("/mcs" + media() + "/ME0").status());
        assertEquals(401, ask("POST", flex.url() + "/mcs" + media(), BodyPublishers.ofByteArray(photo), Map.of())
                .status());
        Answer large = askFlex("POST", "/mcs" + media(), streamed(MediaFile.generated("", "video/mp4", 150L * MEBIBYTE
                + 1)), "video/mp4");
        assertEquals("413 50512", large.status() + " " + large.json().path("code").asText());
        assertEquals(List.of(), flex.media().uploaded());
        assertEquals(7, flex.violations().size(), "404 may meet anybody");
    }

    @Test
    void fiftyMegabytesAreCountedAndHashedAsTheyCome() {
        MediaFile video = MediaFile.generated("x-1.mp4", "video/mp4", 50L * MEBIBYTE);
        assertEquals(201, askFlex("POST", "/mcs" + media() + "?Filename=x-1.mp4", streamed(video), "video/mp4")
                .status());
        String boundary = "media-boundary";
        byte[] head = ("--" + boundary + "\r\nContent-Disposition: form-data; name=\"Media\"; filename=\"x-1.mp4\"\r\n"
                + "Content-Type: video/mp4\r\n\r\n").getBytes(UTF_8);
        byte[] end = ("\r\n--" + boundary + "--\r\n").getBytes(UTF_8);
        assertEquals(201, askFlex("POST", "/mcs" + media(), BodyPublishers.fromPublisher(BodyPublishers.ofInputStream(
                () -> new SequenceInputStream(new ByteArrayInputStream(head), new SequenceInputStream(video.content()
                .open(),
                        new ByteArrayInputStream(end)))), head.length + video.length() + end.length),
                "multipart/form-data; boundary=" + boundary).status());
        assertEquals(List.of(video, video), flex.media().uploaded().stream().map(TwilioMedia.Stored::file).toList());
        assertEquals(List.of(), flex.violations());
        assertFalse(flex.media().uploaded().get(0).file().content().kept());
        assertTrue(flex.exchanges().stream().allMatch(exchange -> exchange.requestBody().length() < 1_000),
                "records hold no files");
    }

    @Test
    void aFileIsInOneMessageOfAConversation() {
        String chat = conversation();
        String messages = "/conversations/v1/Services/" + account.chatService() + "/Conversations/" + chat
                + "/Messages";
        String sid = store("?Filename=x-1.jpg", "image/jpeg").json().path("sid").asText();
        Answer posted = form(messages, "Author=twitter-1&MediaSid=" + sid);
        assertEquals(201, posted.status(), posted.text());
        assertTrue(posted.json().path("body").isNull());
        assertEquals(Json.parse("[{\"sid\":\"" + sid
                + "\",\"size\":70001,\"content_type\":\"image/jpeg\",\"filename\":\"x-1.jpg\"}]"),
                posted.json().path("media"));
        assertEquals(posted.json().path("media"), getFlex(messages).json().at("/messages/0/media"));
        JsonNode shown = getFlex(file(sid)).json();
        assertEquals(chat + " " + posted.json().path("sid").asText(), shown.path("channel_sid").asText() + " "
                + shown.path("message_sid").asText());
        assertEquals(List.of(MediaFile.of("x-1.jpg", "image/jpeg", photo)), flex.files("twitter-1"));
        assertEquals(List.of(), flex.violations());
        assertEquals(50512, form(messages, "Author=twitter-1&MediaSid=" + sid).json().path("code").asInt(),
                "in a message already");
        assertEquals(50512, form(messages, "Author=twitter-1&MediaSid=ME0123456789abcdef0123456789abcdef").json()
                .path("code").asInt());
        assertEquals(20001, form(messages, "Author=twitter-1&MediaSid=ME0").json().path("code").asInt());
        assertEquals(3, flex.violations().size());
        String other = store("", "image/jpeg").json().path("sid").asText();
        assertEquals(201, form(messages, "Author=twitter-1&Body=a&MediaSid=" + other).status());
        assertTrue(flex.violations().get(3).contains("text and a file in one message"), flex.violations().get(3));
    }

    @Test
    void aFileIsAMessageOfItsOwnInProgrammableChat() {
        String chat = channel();
        String messages = "/chat/v2/Services/" + account.chatService() + "/Channels/" + chat + "/Messages";
        String sid = store("?Filename=x-1.jpg", "image/jpeg").json().path("sid").asText();
        JsonNode posted = form(messages, "From=twitter-1&MediaSid=" + sid).json();
        assertEquals("media " + sid + " x-1.jpg", posted.path("type").asText() + " " + posted.at("/media/sid").asText()
                + " " + posted.at("/media/filename").asText());
        assertEquals("text", form(messages, "From=twitter-1&Body=a").json().path("type").asText());
        assertEquals(List.of(), flex.violations());
    }

    // Twilio: what agents attach.

    @Test
    void whatAnAgentAttachesIsToldWithItsMessageAndCanBeFetched() {
        String chat = conversation();
        form("/conversations/v1/Conversations/" + chat + "/Webhooks", "Target=webhook&Configuration.Method=post"
                + "&Configuration.Filters=onMessageAdded&Configuration.Url=" + Form.encode(bridgeUrl()));
        form("/flex-api/v1/Interactions", interaction(chat));
        MediaFile manual = MediaFile.generated("manual.pdf", "application/pdf", 50L * MEBIBYTE);
        flex.agentAttaches(flex.chats().get(0), "", MediaFile.of("a.jpg", "image/jpeg", photo));
        flex.agentAttaches(flex.chats().get(0), "Both", MediaFile.of("b.jpg", "image/jpeg", photo), manual);
        flex.awaitDelivered(Duration.ofSeconds(10));
        Form first = Form.parse(hooks.get(0));
        assertFalse(first.has("Body"));
        assertEquals("SDK " + SimulatedFlex.AGENT, first.first("Source") + " " + first.first("Author"));
        JsonNode file = Json.parse(first.first("Media")).path(0);
        assertEquals("a.jpg image/jpeg 70001", file.path("Filename").asText() + " " + file.path("ContentType").asText()
                + " " + file.path("Size").asText());
        assertArrayEquals(photo, fetched(file.path("Sid").asText()).body());
        Form second = Form.parse(hooks.get(1));
        assertEquals("Both 2", second.first("Body") + " " + Json.parse(second.first("Media")).size());
        HttpRequest get = HttpRequest.newBuilder(URI.create(signed(Json.parse(second.first("Media")).at("/1/Sid")
                .asText()))).build();
        long length = client.sendAsync(get, HttpResponse.BodyHandlers.ofInputStream()).thenApply(answer -> {
            try (InputStream in = answer.body()) {
                return in.transferTo(OutputStream.nullOutputStream());
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }).join();
        assertEquals(manual.length(), length);
        assertEquals(List.of(), flex.media().uploaded(), "by the bridge, that is");
        assertEquals(List.of(), flex.violations());
    }

    @Test
    void inProgrammableChatEachFileIsAnEventOfItsOwn() {
        String sid = channel();
        String part = "/chat/v2/Services/" + account.chatService() + "/Channels/" + sid;
        form(part + "/Webhooks", "Type=webhook&Configuration.Filters=onMessageSent"
                + "&Configuration.Filters=onMediaMessageSent&Configuration.Url=" + Form.encode(bridgeUrl()));
        ask("POST", flex.url() + part + "/Messages", BodyPublishers.ofString("From=twitter-1&Body=Hi"),
                Map.of("Authorization", basic(),
                "Content-Type", "application/x-www-form-urlencoded", "X-Twilio-Webhook-Enabled", "true"));
        Chat chat = flex.chats().get(0);
        String last = flex.agentAttaches(chat, "Both", MediaFile.of("a.jpg", "image/jpeg", photo),
                MediaFile.of("b.pdf", "application/pdf", photo));
        flex.awaitDelivered(Duration.ofSeconds(10));
        List<Form> forms = hooks.stream().skip(1).map(Form::parse).toList();
        assertEquals(List.of("onMessageSent Both ", "onMediaMessageSent  a.jpg", "onMediaMessageSent  b.pdf"),
                forms.stream()
                .map(form -> form.first("EventType") + " " + form.first("Body") + " " + form.first("MediaFilename"))
                .toList());
        Form file = forms.get(2);
        assertEquals(last + " 70001 application/pdf", file.first("MessageSid") + " " + file.first("MediaSize") + " "
                + file.first("MediaContentType"));
        assertArrayEquals(photo, fetched(file.first("MediaSid")).body());
        assertEquals(List.of(), flex.violations());
    }

    @Test
    void twiliosHostsCanFailLikeXs() {
        String chat = conversation();
        form("/flex-api/v1/Interactions", interaction(chat));
        flex.agentAttaches(flex.chats().get(0), "", MediaFile.of("a.jpg", "image/jpeg", photo));
        String sid = flex.chats().get(0).messages().get(0).media().get(0).sid();
        flex.faults().next(TwilioMedia.METADATA, Fault.status(404), Fault.changed(one -> "[]"));
        assertEquals(404, getFlex(file(sid)).status());
        assertEquals("[]", getFlex(file(sid)).text());
        flex.faults().next(TwilioMedia.TEMPORARY, Fault.notJson(200), Fault.status(503),
                Fault.contentLength(photo.length + 1L), Fault.dropAfter());
        assertEquals("text/html", fetched(sid).header("content-type"));
        assertEquals(503, fetched(sid).status());
        assertThrows(UncheckedIOException.class, () -> fetched(sid));
        assertThrows(UncheckedIOException.class, () -> fetched(sid));
        assertArrayEquals(photo, fetched(sid).body());
        flex.faults().next(TwilioMedia.UPLOAD, Fault.dropAfter(), Fault.status(503));
        assertThrows(UncheckedIOException.class, () -> store("", "image/jpeg"));
        assertEquals(503, store("", "image/jpeg").status());
        assertEquals(1, flex.media().uploaded().size(), "the first was carried out");
    }

    // How to ask.

    /** The message_data of the newest webhook in the form of Account Activity. */
    private JsonNode told() {
        x.awaitDelivered(Duration.ofSeconds(10));
        return Json.parse(hooks.get(hooks.size() - 1)).at("/direct_message_events/0/message_create/message_data");
    }

    private String target(JsonNode url) {
        assertTrue(url.asText().startsWith(x.url()), url.asText());
        return url.asText().substring(x.url().length());
    }

    private static byte[] bytes(MediaFile file) {
        try (InputStream in = file.content().open()) {
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static BodyPublisher streamed(MediaFile file) {
        return BodyPublishers.fromPublisher(BodyPublishers.ofInputStream(() -> file.content().open()), file.length());
    }

    private Answer upload(String category, byte[] file) {
        return multipart("POST", "/2/media/upload", Map.of("media_category", category), file);
    }

    private Answer uploadBody(String body, String type) {
        return askX("POST", "/2/media/upload", BodyPublishers.ofString(body), type);
    }

    private Answer initialize(JsonNode body) {
        return askX("POST", "/2/media/upload/initialize", BodyPublishers.ofString(body.toString()), "application/json");
    }

    private String begun(String type, long total, String category) {
        return id(initialize(Json.object("media_type", type, "total_bytes", total, "media_category", category)));
    }

    private Answer append(String id, int index, byte[] segment) {
        return multipart("POST", "/2/media/upload/" + id + "/append", Map.of("segment_index", String.valueOf(index)),
                segment);
    }

    private Answer finish(String id) {
        return askX("POST", "/2/media/upload/" + id + "/finalize", BodyPublishers.noBody(), "");
    }

    private Answer status(String id) {
        return get("/2/media/upload?command=STATUS&media_id=" + id);
    }

    private static String id(Answer uploaded) {
        assertEquals(200, uploaded.status(), uploaded.text());
        return uploaded.json().at("/data/id").asText();
    }

    private static JsonNode attached(String id) {
        return Json.object("attachments", List.of(Map.of("media_id", id)));
    }

    private Answer send(JsonNode body) {
        return askX("POST", SEND_2, BodyPublishers.ofString(body.toString()), "application/json");
    }

    private Answer send1(String mediaId, String text) {
        return askX("POST", SEND_1, BodyPublishers.ofString(Json.object("event", Json.object("type", "message_create",
                "message_create", Json.object("target", Json.object("recipient_id", "3001969357"), "message_data",
                Json.object("text", text, "attachment",
                        Json.object("type", "media", "media", Json.object("id", mediaId)))))).toString()),
                        "application/json");
    }

    private Answer multipart(String method, String target, Map<String, String> fields, byte[] media) {
        List<byte[]> parts = new ArrayList<>();
        String head = "--b0undary\r\nContent-Disposition: form-data; name=\"media\"; filename=\"blob\"\r\n\r\n";
        fields.forEach((name, value) -> parts.add(("--b0undary\r\nContent-Disposition: form-data; name=\"" + name
                + "\"\r\n\r\n" + value + "\r\n").getBytes(UTF_8)));
        parts.add(head.getBytes(UTF_8));
        parts.add(media);
        parts.add("\r\n--b0undary--\r\n".getBytes(UTF_8));
        return askX(method, target, BodyPublishers.ofByteArrays(parts), "multipart/form-data; boundary=b0undary");
    }

    private Answer askForm(String form) {
        return askX("POST", UPLOAD_1, BodyPublishers.ofString(form), "application/x-www-form-urlencoded", form);
    }

    private String askApp() {
        String known = Signatures.percentEncoded(keys.consumerKey()) + ":"
                + Signatures.percentEncoded(keys.consumerSecret());
        return ask("POST", x.url() + "/oauth2/token", BodyPublishers.ofString("grant_type=client_credentials"),
                Map.of("Content-Type",
                "application/x-www-form-urlencoded", "Authorization", "Basic " + Base64.getEncoder()
                .encodeToString(known.getBytes(
                        UTF_8)))).json().path("access_token").asText();
    }

    private Answer askX(String method, String target, BodyPublisher body, String type) {
        return askX(method, target, body, type, "");
    }

    private Answer askX(String method, String target, BodyPublisher body, String type, String form) {
        Map<String, String> headers = new TreeMap<>(Map.of("Authorization", authorization(method, target, form)));
        if (!type.isEmpty()) {
            headers.put("Content-Type", type);
        }
        return ask(method, x.url() + target, body, headers);
    }

    private String authorization(String method, String target) {
        return authorization(method, target, "");
    }

    private String authorization(String method, String target, String form) {
        Map<String, String> parameters = new TreeMap<>(Map.of("oauth_consumer_key", keys.consumerKey(),
                "oauth_token", keys.accessToken(), "oauth_nonce", UUID.randomUUID().toString(),
                "oauth_signature_method", "HMAC-SHA1",
                "oauth_version", "1.0", "oauth_timestamp", String.valueOf(Instant.now().getEpochSecond())));
        List<Map.Entry<String, String>> signed = new ArrayList<>(parameters.entrySet());
        String[] parts = target.split("\\?", 2);
        signed.addAll(Form.parse(parts.length > 1 ? parts[1] : "").fields());
        signed.addAll(Form.parse(form).fields());
        String signature = Signatures.oauth(method, x.url() + parts[0], signed, keys.consumerSecret(),
                keys.accessSecret());
        parameters.put("oauth_signature", signature);
        return "OAuth " + parameters.entrySet().stream().map(one -> one.getKey() + "=\""
                + Signatures.percentEncoded(one.getValue()) + "\"").collect(Collectors.joining(", "));
    }

    private Answer get(String target) {
        return askX("GET", target, BodyPublishers.noBody(), "");
    }

    private Answer getAs(String token, String target) {
        return ask("GET", x.url() + target, BodyPublishers.noBody(), Map.of("Authorization", "Bearer " + token));
    }

    /** Without any credentials. */
    private Answer visit(String url) {
        return visit("GET", url);
    }

    private Answer visit(String method, String url) {
        return ask(method, url, BodyPublishers.noBody(), Map.of());
    }

    private Answer getFlex(String target) {
        return askFlex("GET", target, BodyPublishers.noBody(), "");
    }

    private String file(String sid) {
        return "/mcs" + media() + "/" + sid;
    }

    /** Uploads the photo. */
    private Answer store(String query, String type) {
        return askFlex("POST", "/mcs" + media() + query, BodyPublishers.ofByteArray(photo), type);
    }

    private String media() {
        return "/v1/Services/" + account.chatService() + "/Media";
    }

    private String signed(String sid) {
        return getFlex(file(sid)).json().at("/links/content_direct_temporary").asText();
    }

    private Answer fetched(String sid) {
        return visit(signed(sid));
    }

    private String conversation() {
        String sid = form("/conversations/v1/Conversations", "UniqueName=twitter-1-1").json().path("sid").asText();
        form("/conversations/v1/Conversations/" + sid + "/Participants", "Identity=twitter-1");
        return sid;
    }

    private String channel() {
        return form("/flex-api/v1/Channels", "FlexFlowSid=" + account.flexFlow()
                + "&Identity=twitter-1&ChatUserFriendlyName=a"
                + "&ChatFriendlyName=1&Target=a").json().path("sid").asText();
    }

    private String interaction(String conversation) {
        return "Channel=" + Form.encode(Json.object("type", "web", "initiated_by", "customer", "properties",
                Json.object("media_channel_sid", conversation)).toString()) + "&Routing="
                + Form.encode(Json.object("properties",
                        Json.object("workspace_sid", account.workspace(), "workflow_sid", account.workflow(),
                        "task_channel_unique_name", "chat",
                                "attributes", Json.object("from", "@a"))).toString());
    }

    private Answer multipartFile(String target, String name, String type, byte[] file) {
        String head = "--b0undary\r\nContent-Disposition: form-data; name=\"Media\"; filename=\"" + name + "\"\r\n"
                + "Content-Type: " + type + "\r\n\r\n";
        return askFlex("POST", target, BodyPublishers.ofByteArrays(List.of(head.getBytes(UTF_8), file,
                "\r\n--b0undary--\r\n".getBytes(UTF_8))), "multipart/form-data; boundary=\"b0undary\"");
    }

    private Answer form(String target, String form) {
        return askFlex("POST", target, BodyPublishers.ofString(form), "application/x-www-form-urlencoded");
    }

    private Answer askFlex(String method, String target, BodyPublisher body, String type) {
        Map<String, String> headers = type.isEmpty() ? Map.of() : Map.of("Content-Type", type);
        return ask(method, flex.url() + target, body, with(headers, "Authorization", basic()));
    }

    private String basic() {
        return "Basic " + Base64.getEncoder().encodeToString((account.apiKey() + ":" + account.apiSecret())
                .getBytes(UTF_8));
    }

    private static Map<String, String> with(Map<String, String> headers, String name, String value) {
        Map<String, String> all = new TreeMap<>(headers);
        all.put(name, value);
        return all;
    }

    private Answer ask(String method, String url, BodyPublisher body, Map<String, String> headers) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).method(method, body);
        headers.forEach(request::setHeader);
        try {
            HttpResponse<byte[]> response = client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
            return new Answer(response.statusCode(), response.headers().map(), response.body());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }
}
