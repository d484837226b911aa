package twitterflex.sandbox;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import twitterflex.sandbox.SimulatedService.Refused;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/**
 * What is attached to Direct Messages, and the hosts that serve it, at their own paths below the simulated X.
 *
 * <p>Photos are at ton.twitter.com, for a participant's OAuth 1.0a signature only: without one it redirects to a page
 * of HTML, and a bearer token is refused (as users of twitteroauth and tweetinvi report). For OAuth 2.0 the same photo
 * is at {@code /2/dm_conversations/media/…} (OpenAPI document 2.167). Videos, GIFs (MP4s, all) and previews are at
 * video.twimg.com and pbs.twimg.com, public: whoever sends credentials there shows them to a stranger, which is a
 * violation.
 */
public final class XMedia {

    /** What a message can have one of; the number begins its media key. */
    enum Kind {
        PHOTO("photo", 3), ANIMATED_GIF("animated_gif", 16), VIDEO("video", 13);

        private final String type;
        private final int key;

        Kind(String type, int key) {
            this.type = type;
            this.key = key;
        }

        int key() {
            return key;
        }
    }

    private record Stored(MediaFile file, AtomicLong taken) { }

    public static final String TON = "GET /1.1/ton/data/dm/{dm_id}/{media_id}/{file}";
    public static final String TON_I = "GET /i/ton/data/dm/{dm_id}/{media_id}/{file}";
    public static final String BINARY = "GET /2/dm_conversations/media/{dm_id}/{media_id}/{resource_id}";
    public static final String VIDEO = "GET /dm_video/{media_id}/vid/avc1/{size}/{file}";
    public static final String GIF = "GET /dm_gif/{media_id}/{file}";
    private static final String LOGIN = "GET /login";
    public static final String VIDEO_HEAD = VIDEO.replace("GET", "HEAD");
    public static final String GIF_HEAD = GIF.replace("GET", "HEAD");
    private static final Set<String> TWIMG = Set.of(VIDEO, VIDEO_HEAD, GIF, GIF_HEAD,
            "GET /dm_video_preview/{media_id}/img/{file}", "GET /dm_gif_preview/{media_id}/{file}");
    private static final int[] BIT_RATES = {2_176_000, 832_000, 632_000};
    private static final String[] SIZES = {"1280x720", "640x360", "480x270"};
    private static final MediaFile THUMBNAIL = MediaFile.generated("", "image/jpeg", 999);

    private final SimulatedX x;
    private final Registrations registrations;
    private final OAuthCheck oauth;
    private final Map<String, Stored> stored = new LinkedHashMap<>();
    private boolean webhooksLackAttachments;
    private String address = "";

    XMedia(SimulatedX x, Registrations registrations, OAuthCheck oauth) {
        this.x = x;
        this.registrations = registrations;
        this.oauth = oauth;
    }

    static List<String> operations() {
        return Stream.concat(Stream.of(TON, TON_I, BINARY, LOGIN), TWIMG.stream().sorted()).toList();
    }

    /** The address in front of what is attached from now on, such as that of a cable; at first the simulated X's own. */
    public synchronized void servedAt(String address) {
        this.address = address;
    }

    /** While true, webhooks tell of a message without what is attached to it, which then only a look-up shows. */
    public synchronized void webhooksLackAttachments(boolean lacking) {
        webhooksLackAttachments = lacking;
    }

    synchronized boolean webhooksLackAttachments() {
        return webhooksLackAttachments;
    }

    /** How many bytes of what was attached to this event have been fetched, all fetches together. */
    public synchronized long fetched(String eventId) {
        return stored.entrySet().stream().filter(one -> one.getKey().startsWith(eventId + " "))
                .mapToLong(one -> one.getValue().taken().get()).sum();
    }

    // The attachment, as both generations tell of it.

    /** The attachment of a webhook's and API 1.1's message_data; of a video the variants are given, the best first. */
    synchronized ObjectNode attachment(String eventId, String mediaId, Kind kind, List<MediaFile> variants) {
        String name = "AbC-d_" + Long.toString(Long.parseLong(mediaId), 36);
        ObjectNode media = Json.object("id", Long.parseLong(mediaId), "id_str", mediaId, "indices", List.of(0, 23));
        String shown = switch (kind) {
            case PHOTO -> keep(eventId, "/1.1/ton/data/dm/" + eventId + "/" + mediaId + "/" + name + "."
                    + MediaFile.extension(variants.get(0).type()), variants.get(0));
            case ANIMATED_GIF -> keep(eventId, "/dm_gif_preview/" + mediaId + "/" + name + ".jpg", THUMBNAIL);
            case VIDEO -> keep(eventId, "/dm_video_preview/" + mediaId + "/img/" + name + ".jpg", THUMBNAIL);
        };
        media.put("media_url", shown).put("media_url_https", shown).put("type", kind.type).set("sizes", sizes());
        if (kind != Kind.PHOTO) {
            media.set("video_info", Json.object("aspect_ratio", List.of(16, 9), "variants",
                    Json.array(variants(eventId, mediaId, kind, variants, name))));
        }
        return Json.object("type", "media", "media", media);
    }

    private List<ObjectNode> variants(String eventId, String mediaId, Kind kind, List<MediaFile> variants,
            String name) {
        if (kind == Kind.ANIMATED_GIF) {
            String url = keep(eventId, "/dm_gif/" + mediaId + "/" + name + ".mp4", variants.get(0));
            return List.of(Json.object("bitrate", 0, "content_type", variants.get(0).type(), "url", url));
        }
        String folder = "/dm_video/" + mediaId;
        List<ObjectNode> all = new ArrayList<>();
        String playlist = x.url() + folder + "/pl/" + name + ".m3u8";
        all.add(Json.object("content_type", "application/x-mpegURL", "url", playlist));
        for (int i = variants.size() - 1; i >= 0; i--) {
            String url = keep(eventId, folder + "/vid/avc1/" + SIZES[i] + "/" + name + ".mp4", variants.get(i));
            all.add(Json.object("bitrate", BIT_RATES[i], "content_type", variants.get(i).type(), "url", url));
        }
        return all;
    }

    private String keep(String eventId, String path, MediaFile file) {
        stored.put(eventId + " " + path, new Stored(file, new AtomicLong()));
        return (address.isEmpty() ? x.url() : address) + path;
    }

    private static ObjectNode sizes() {
        return Json.object("thumb", Json.object("w", 150, "h", 150, "resize", "crop"),
                "small", Json.object("w", 680, "h", 510, "resize", "fit"),
                "medium", Json.object("w", 1200, "h", 900, "resize", "fit"),
                "large", Json.object("w", 2048, "h", 1536, "resize", "fit"));
    }

    /**
     * The same as API 2 has it in {@code includes.media}, whose url for a photo is ton's (as seen by a business inbox);
     * empty without.
     */
    static Optional<ObjectNode> media2(JsonNode messageData) {
        JsonNode media = messageData.path("attachment").path("media");
        Kind kind = Stream.of(Kind.values()).filter(one -> one.type.equals(media.path("type").asText())).findFirst()
                .orElse(null);
        if (kind == null || !media.has("id_str")) {
            return Optional.empty();
        }
        ObjectNode shown = Json.object("media_key", kind.key + "_" + media.path("id_str").asText(), "type", kind.type,
                "width", 2048, "height", 1536);
        if (kind == Kind.PHOTO) {
            return Optional.of(shown.set("url", media.path("media_url_https")));
        }
        List<ObjectNode> variants = new ArrayList<>();
        media.path("video_info").path("variants").forEach(one -> {
            ObjectNode variant = Json.object("content_type", one.path("content_type"), "url", one.path("url"));
            variants.add(one.has("bitrate") ? variant.set("bit_rate", one.path("bitrate")) : variant);
        });
        shown.set("preview_image_url", media.path("media_url_https"));
        return Optional.of(shown.set("variants", Json.array(variants)));
    }

    // The hosts.

    boolean takes(Request request) {
        return Set.of(TON, TON_I, BINARY, LOGIN).contains(request.operation()) || TWIMG.contains(request.operation());
    }

    Reply answer(Request request) {
        return switch (request.operation()) {
            case LOGIN -> new Reply(200, Map.of("Content-Type", "text/html; charset=utf-8"), Fault.WEB_PAGE);
            case TON, TON_I -> ton(request);
            case BINARY -> binary(request);
            default -> twimg(request);
        };
    }

    private Reply ton(Request request) {
        String authorization = request.header("Authorization");
        if (authorization.isEmpty()) {
            String page = x.url() + "/login?redirect_after_login=" + Form.encode(request.path());
            throw new Refused(new Reply(302, Map.of("Location", page), ""), "a photo must be asked for signed", true);
        }
        if (!authorization.startsWith("OAuth ")) {
            throw new Refused(new Reply(403, Map.of(), ""), "ton takes OAuth 1.0a signatures only", true);
        }
        oauth.check(request);
        x.mayReadDirectMessages(request);
        String[] file = request.path().replaceFirst("^/i/", "/1.1/").split(":", 2);
        boolean thumbnail = file.length == 2;
        if (thumbnail && !Set.of("thumb", "small", "medium", "large").contains(file[1])) {
            throw missing(request);
        }
        Reply whole = found(request, file[0], "");
        return thumbnail ? new Reply(200, whole.headers(), "", Optional.of(THUMBNAIL.content())) : whole;
    }

    private Reply binary(Request request) {
        Registrations.Caller caller = registrations.caller(request);
        if (caller != Registrations.Caller.USER_2) {
            throw Registrations.unsupported(caller, List.of(Registrations.Caller.USER_2), true);
        }
        Map<String, String> ids = request.variables();
        return found(request, "/1.1/ton/data/dm/" + ids.get("dm_id") + "/" + ids.get("media_id") + "/"
                + ids.get("resource_id"), "application/octet-stream");
    }

    private Reply twimg(Request request) {
        if (request.headers().containsKey("Authorization") || request.headers().containsKey("Cookie")) {
            throw new Refused(new Reply(403, Map.of(), ""), "credentials are shown to twimg.com, a stranger", true);
        }
        return found(request, request.path(), "");
    }

    private synchronized Reply found(Request request, String path, String type) {
        Stored one = stored.entrySet().stream().filter(entry -> entry.getKey().endsWith(" " + path))
                .map(Map.Entry::getValue).findFirst()
                .filter(kept -> kept.file().content().kept()).orElseThrow(() -> missing(request));
        return new Reply(200, Map.of("Content-Type", type.isEmpty() ? one.file().type() : type), "",
                Optional.of(one.file().content().counted(one.taken())));
    }

    private static Refused missing(Request request) {
        return new Refused(new Reply(404, Map.of("Content-Type", "text/plain"), ""), "there is no " + request.path(),
                true);
    }
}
