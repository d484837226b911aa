package twitterflex.sandbox;

import static twitterflex.sandbox.DirectMessageRules.body;
import static twitterflex.sandbox.DirectMessageRules.fields;
import static twitterflex.sandbox.DirectMessageRules.query;
import static twitterflex.sandbox.DirectMessageRules.refused;
import static twitterflex.sandbox.DirectMessageRules.require;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import twitterflex.sandbox.SimulatedService.Refused;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/**
 * What the support account uploads to X in order to send it: over API 2 at once or in segments, and over API 1.1's
 * {@code upload.json}, which at X is at upload.twitter.com.
 *
 * <p>Shapes and types are those of the OpenAPI document 2.167; sizes and their errors as clients have reported them
 * ("File size exceeds 5242880 bytes."); at most 4 MiB a segment, since 5 MB were refused with 413 (xurl) and 4 MiB
 * work. Where sources disagree the strictest holds: only images go at once. Segments must come in order; the last one
 * may come again. Pixels, frames and codecs are not looked at.
 */
public final class XUploads {

    public static final String ONE_SHOT = "POST /2/media/upload";
    public static final String STATUS = "GET /2/media/upload";
    public static final String INITIALIZE = "POST /2/media/upload/initialize";
    public static final String APPEND = "POST /2/media/upload/{id}/append";
    public static final String FINALIZE = "POST /2/media/upload/{id}/finalize";
    public static final String UPLOAD_1 = "POST /1.1/media/upload.json";
    public static final String STATUS_1 = "GET /1.1/media/upload.json";

    private static final Map<String, Long> LARGEST = Map.of("image", 5L << 20, "gif", 15L << 20, "video", 512L << 20);
    private static final Map<String, Set<String>> TYPES = Map.of(
            "image", Set.of("image/jpeg", "image/png", "image/webp", "image/gif"),
            "gif", Set.of("image/gif"), "video", Set.of("video/mp4", "video/quicktime"));
    private static final Set<String> CATEGORIES = Set.of("tweet_image", "tweet_video", "tweet_gif", "dm_image",
            "dm_video", "dm_gif");
    private static final long LARGEST_SEGMENT = 4L << 20;
    private static final int MOST_SEGMENTS = 1000;
    private static final Duration LIFE = Duration.ofSeconds(86_400);
    private static final Duration WINDOW = Duration.ofMinutes(15);

    private enum State { OPEN, PENDING, IN_PROGRESS, SUCCEEDED, FAILED }

    /** One medium, from its first byte to its use. */
    private static final class Medium {
        private final String id;
        private final String category;
        private final String type;
        private final long total;
        private final boolean shared;
        private final Instant expires;
        private final Content.Sink before = new Content.Sink(); // all segments but the last
        private Content last = Content.of(new byte[0]);
        private int lastIndex = -1;
        private String sniffed = "";
        private State state = State.OPEN;
        private boolean needsProcessing;
        private int checks;
        private Instant asked = Instant.EPOCH;
        private boolean used;
        private boolean ours = true;
        private MediaFile file;

        Medium(String id, String category, String type, long total, boolean shared, Instant expires) {
            this.id = id;
            this.category = category;
            this.type = type;
            this.total = total;
            this.shared = shared;
            this.expires = expires;
        }

        private String kind() {
            return category.substring(category.indexOf('_') + 1);
        }

        private XMedia.Kind shownAs() {
            return Map.of("image", XMedia.Kind.PHOTO, "gif", XMedia.Kind.ANIMATED_GIF, "video", XMedia.Kind.VIDEO)
                    .get(kind());
        }
    }

    /** What a message may carry: an id, how it is shown, and the file. */
    record Attached(String id, XMedia.Kind kind, MediaFile file) { }

    private final SimulatedX x;
    private final Registrations registrations;
    private final Map<String, Medium> media = new LinkedHashMap<>();
    private final Map<String, RateLimit> limits = new ConcurrentHashMap<>(Map.of(ONE_SHOT, new RateLimit(500, WINDOW),
            INITIALIZE, new RateLimit(1_875, WINDOW), APPEND, new RateLimit(1_875, WINDOW),
            FINALIZE, new RateLimit(1_875, WINDOW), STATUS, new RateLimit(1_000, WINDOW)));
    private int checks = 2;
    private int checkAfter = 1;
    private int failing;
    private boolean mayWriteMedia = true;
    private Duration age = Duration.ZERO;

    XUploads(SimulatedX x, Registrations registrations) {
        this.x = x;
        this.registrations = registrations;
    }

    static List<String> operations() {
        return List.of(ONE_SHOT, STATUS, INITIALIZE, APPEND, FINALIZE, UPLOAD_1, STATUS_1);
    }

    // What a test sets and sees.

    /**
     * How many looks at the status it takes until a GIF or video is ready, and the seconds X asks for between them; 2
     * and 1 at first.
     */
    public synchronized void processing(int checks, int checkAfterSeconds) {
        this.checks = checks;
        checkAfter = checkAfterSeconds;
    }

    /**
     * So many requests of that operation per window; at first what X's page on rate limits says per user and 15
     * minutes.
     */
    public void limit(String operation, int requests, Duration window) {
        limits.put(operation, new RateLimit(requests, window));
    }

    /** Of the next GIFs and videos so many turn out to be invalid. */
    public synchronized void failProcessing(int count) {
        failing = count;
    }

    /** Whether the OAuth 2.0 user token has the scope media.write; at first it has. */
    public synchronized void mayWriteMedia(boolean may) {
        mayWriteMedia = may;
    }

    /** All that has been uploaded so far gets older by that much; X forgets it after 24 hours. */
    public synchronized void age(Duration by) {
        age = age.plus(by);
    }

    /** A picture for Direct Messages that another account has uploaded; returns its id. */
    public synchronized String uploadedByAnother() {
        Medium other = medium("dm_image", "image/jpeg", 999, false);
        other.file = MediaFile.generated("", "image/jpeg", 999);
        other.state = State.SUCCEEDED;
        other.ours = false;
        return other.id;
    }

    /** What has arrived whole, in the order in which it was begun. */
    public synchronized List<MediaFile> files() {
        return media.values().stream().filter(one -> one.ours && one.file != null).map(one -> one.file).toList();
    }

    /** Uploads that were begun. */
    public synchronized int count() {
        return media.size();
    }

    // Reading and authenticating.

    static Optional<Upload> read(Request head, InputStream body) throws IOException {
        String type = head.header("Content-Type");
        if (!Set.of(ONE_SHOT, APPEND, UPLOAD_1).contains(head.operation())) {
            return Optional.empty();
        }
        if (Upload.isMultipart(type)) {
            return Optional.of(Upload.multipart(type, "media", body));
        }
        boolean json = type.split(";")[0].trim().equals("application/json") && !head.operation().equals(UPLOAD_1);
        return json ? Optional.of(Upload.json(body)) : Optional.empty();
    }

    boolean takes(Request request) {
        return operations().contains(request.operation());
    }

    List<RateLimit> limitsOf(Request request) {
        return Optional.ofNullable(limits.get(request.operation())).stream().toList();
    }

    Reply answer(Request request) {
        Registrations.Caller caller = registrations.caller(request);
        if (old(request) && caller != Registrations.Caller.USER_1) {
            throw refused(request, 403, 220, "Your credentials do not allow access to this resource.");
        }
        if (caller == Registrations.Caller.APP) {
            throw Registrations.unsupported(caller, List.of(Registrations.Caller.USER_1, Registrations.Caller.USER_2),
                    true);
        }
        registrations.mustAllow(request, "media.write");
        return answer(request, caller == Registrations.Caller.USER_2);
    }

    private synchronized Reply answer(Request request, boolean scoped) {
        if (scoped && !mayWriteMedia) {
            throw Registrations.problem(403, "Forbidden", "about:blank", "Your token lacks the scope media.write.",
                    false);
        }
        if (!limitsOf(request).stream().allMatch(RateLimit::spend)) {
            throw refused(request, 429, 88, "Too Many Requests");
        }
        require(request, request.upload().complaint().isEmpty(), 214, request.upload().complaint());
        return switch (request.operation()) {
            case ONE_SHOT -> oneShot(request);
            case INITIALIZE -> initialize(request);
            case APPEND -> append(request, request.variables().get("id"), only(request, Set.of("segment_index")));
            case FINALIZE -> finish(request, request.variables().get("id"));
            case STATUS -> status(request);
            default -> old(request, parameters(request));
        };
    }

    private static boolean old(Request request) {
        return request.path().startsWith("/1.1/");
    }

    /** A refusal in the form of the API that was asked; {@code ordinary}: also a correct client may meet it. */
    private static Refused unfit(Request request, String error, boolean ordinary) {
        Reply reply = refused(request, 400, 324, error).reply();
        if (old(request)) {
            reply = new Reply(400, Map.of(), Json.object("request", request.path(), "error", error).toString());
        }
        return new Refused(reply, "400: " + error, !ordinary);
    }

    private static void must(Request request, boolean holds, String error) {
        if (!holds) {
            throw unfit(request, error, false);
        }
    }

    // API 2.

    /** The multipart or JSON fields, of which only these are known, and exactly one file, {@code media}. */
    private static Form only(Request request, Set<String> known) {
        Form form = request.upload().fields();
        require(request, request.upload().files().size() == 1, 38, "media must be there once.");
        List<String> names = form.fields().stream().map(Map.Entry::getKey).toList();
        require(request, known.containsAll(names) && new HashSet<>(names).size() == names.size(), 214,
                "Unknown or repeated in " + names);
        return form;
    }

    private Reply oneShot(Request request) {
        Form form = only(request, Set.of("media_category", "additional_owners"));
        String category = form.first("media_category");
        require(request, Set.of("dm_image", "tweet_image").contains(category), 214,
                "media_category must be an image's, not " + category + ".");
        return shown(request, 200, atOnce(request, category, request.upload().files().get(0)));
    }

    private Medium atOnce(Request request, String category, MediaFile file) {
        must(request, file.length() > 0, "media parameter is missing.");
        if (file.length() > Content.MOST_KEPT) {
            throw new Refused(new Reply(413, Map.of(), ""), "413 for " + file.length() + " bytes", true);
        }
        must(request, file.length() <= LARGEST.get("image"), "File size exceeds " + LARGEST.get("image") + " bytes.");
        String type = MediaFile.sniffed(file.content().head(16));
        if (!TYPES.get("image").contains(type)) {
            throw unfit(request, "media type unrecognized.", true);
        }
        Medium medium = medium(category, type, file.length(), false);
        medium.file = new MediaFile(file.name(), type, file.content());
        medium.state = State.SUCCEEDED;
        return medium;
    }

    private Medium medium(String category, String type, long total, boolean shared) {
        Medium medium = new Medium(x.newId(), category, type, total, shared, x.now().plus(age).plus(LIFE));
        media.put(medium.id, medium);
        return medium;
    }

    private Reply initialize(Request request) {
        JsonNode body = fields(request, body(request), Set.of("media_type", "total_bytes", "media_category"),
                Set.of("shared", "additional_owners"));
        require(request, body.path("total_bytes").isIntegralNumber() && body.path("media_type").isTextual(), 214,
                "total_bytes must be an integer and media_type a string.");
        require(request, body.path("shared").isMissingNode() || body.path("shared").isBoolean(), 214,
                "shared must be a boolean.");
        return shown(request, 200, begun(request, body.path("media_category").asText(),
                body.path("media_type").asText(), body.path("total_bytes").asLong(), body.path("shared").asBoolean()));
    }

    private Medium begun(Request request, String category, String type, long total, boolean shared) {
        require(request, CATEGORIES.contains(category), 214, "media_category must be of " + CATEGORIES + ", not "
                + category + ".");
        String kind = category.substring(category.indexOf('_') + 1);
        must(request, TYPES.get(kind).contains(type), "media type unrecognized.");
        must(request, total > 0, "total_bytes must be greater than 0.");
        must(request, total <= LARGEST.get(kind), "File size exceeds " + LARGEST.get(kind) + " bytes.");
        return medium(category, type, total, shared);
    }

    private Reply append(Request request, String id, Form form) {
        Medium medium = known(request, id);
        Content segment = request.upload().files().get(0).content();
        if (segment.length() > LARGEST_SEGMENT) {
            throw new Refused(new Reply(413, Map.of(), ""), "413 for a segment of " + segment.length() + " bytes",
                    true);
        }
        require(request, form.first("segment_index").matches("\\d{1,4}"), 214, "segment_index must be a number.");
        int index = Integer.parseInt(form.first("segment_index"));
        require(request, index < MOST_SEGMENTS, 214, "segment_index must be 0 to 999.");
        must(request, medium.state == State.OPEN, "The upload is finalized already.");
        must(request, segment.length() > 0, "media parameter is missing.");
        must(request, index == medium.lastIndex || index == medium.lastIndex + 1,
                "The sandbox takes segments in order, and the last again.");
        if (index > medium.lastIndex) {
            write(medium.last, medium.before);
        }
        medium.sniffed = index == 0 ? MediaFile.sniffed(segment.head(16)) : medium.sniffed;
        medium.last = segment;
        medium.lastIndex = index;
        ObjectNode answer = Json.object("data", Json.object("expires_at", medium.expires.getEpochSecond()));
        return old(request) ? new Reply(204, Map.of(), "") : new Reply(200, Map.of(), answer.toString());
    }

    private static void write(Content segment, Content.Sink sink) {
        try (InputStream in = segment.open()) {
            in.transferTo(sink);
        } catch (IOException e) {
            throw new IllegalStateException("both are in memory", e);
        }
    }

    private Reply finish(Request request, String id) {
        require(request, request.body().length == 0 || old(request), 214, "finalize has no body.");
        Medium medium = known(request, id);
        if (medium.state == State.OPEN) {
            must(request, medium.before.length() + medium.last.length() == medium.total,
                    "Segments do not add up to provided total file size.");
            medium.needsProcessing = !medium.kind().equals("image");
            if (!medium.needsProcessing && !TYPES.get("image").contains(medium.sniffed)) {
                throw unfit(request, "media type unrecognized.", true);
            }
            write(medium.last, medium.before);
            medium.last = Content.of(new byte[0]);
            medium.file = new MediaFile("", medium.type, medium.before.content());
            medium.state = medium.needsProcessing ? State.PENDING : State.SUCCEEDED;
            medium.asked = Instant.now();
        }
        return shown(request, old(request) ? 201 : 200, medium);
    }

    private Reply status(Request request) {
        Form query = query(request, Set.of("command", "media_id"));
        require(request, query.first("command", "STATUS").equals("STATUS"), 214, "command must be STATUS.");
        return status(request, query.first("media_id"));
    }

    /** A look that comes sooner than X asked for finds nothing new. */
    private Reply status(Request request, String id) {
        Medium medium = known(request, id);
        must(request, medium.needsProcessing, "Not found");
        boolean ended = Set.of(State.SUCCEEDED, State.FAILED).contains(medium.state);
        if (!ended && !Instant.now().isBefore(medium.asked.plusSeconds(checkAfter))) {
            medium.asked = Instant.now();
            medium.state = State.IN_PROGRESS;
            if (++medium.checks >= checks) {
                boolean valid = TYPES.get(medium.kind()).contains(medium.sniffed) && failing-- <= 0;
                medium.state = valid ? State.SUCCEEDED : State.FAILED;
            }
        }
        return shown(request, 200, medium);
    }

    private Medium known(Request request, String id) {
        Medium medium = media.get(id);
        must(request, medium != null && medium.ours, "The media id " + id + " is invalid.");
        if (expired(medium)) {
            throw unfit(request, "The media id " + id + " is invalid: it has expired.", true);
        }
        return medium;
    }

    private boolean expired(Medium medium) {
        return !x.now().plus(age).isBefore(medium.expires);
    }

    private Reply shown(Request request, int status, Medium medium) {
        ObjectNode data = Json.object("id", medium.id);
        if (old(request)) {
            data = Json.object("media_id", Long.parseLong(medium.id), "media_id_string", medium.id);
        }
        data.put("media_key", medium.shownAs().key() + "_" + medium.id);
        data.put("expires_after_secs", Duration.between(x.now().plus(age), medium.expires).toSeconds());
        if (medium.state != State.OPEN) {
            data.put("size", medium.file.length());
        }
        if (medium.state == State.SUCCEEDED) {
            ObjectNode image = Json.object("image_type", medium.type, "w", 640, "h", 480);
            boolean still = medium.kind().equals("image");
            data.set(still ? "image" : "video", still ? image : Json.object("video_type", medium.type));
        }
        if (medium.needsProcessing) {
            data.set("processing_info", processing(medium));
        }
        return new Reply(status, Map.of(), (old(request) ? data : Json.object("data", data)).toString());
    }

    private ObjectNode processing(Medium medium) {
        ObjectNode info = Json.object("state", medium.state.name().toLowerCase());
        return switch (medium.state) {
            case PENDING -> info.put("check_after_secs", checkAfter);
            case IN_PROGRESS -> info.put("check_after_secs", checkAfter).put("progress_percent",
                    100 * medium.checks / checks);
            case FAILED -> info.put("progress_percent", 99).set("error",
                    Json.object("code", 1, "name", "InvalidMedia", "message", "file is invalid"));
            default -> info.put("progress_percent", 100);
        };
    }

    // API 1.1: the same by commands, whose parameters may stand in the query, in a form or in parts.

    private static Form parameters(Request request) {
        List<Map.Entry<String, String>> all = new ArrayList<>(Form.parse(request.query()).fields());
        all.addAll(request.upload().fields().fields());
        if (request.header("Content-Type").startsWith("application/x-www-form-urlencoded")) {
            all.addAll(Form.parse(request.text()).fields());
        }
        return new Form(all);
    }

    private Reply old(Request request, Form form) {
        Map<String, Set<String>> known = Map.of("", Set.of("media_category", "additional_owners"),
                "INIT", Set.of("command", "total_bytes", "media_type", "media_category", "shared", "additional_owners"),
                "APPEND", Set.of("command", "media_id", "segment_index"), "FINALIZE", Set.of("command", "media_id"),
                "STATUS", Set.of("command", "media_id"));
        String command = form.first("command");
        List<String> names = form.fields().stream().map(Map.Entry::getKey).toList();
        must(request, known.containsKey(command) && command.equals("STATUS") == request.operation().equals(STATUS_1),
                "Unknown command.");
        must(request, known.get(command).containsAll(names), "Unknown parameter in " + names + ".");
        boolean file = Set.of("", "APPEND").contains(command);
        must(request, request.upload().files().size() == (file ? 1 : 0), "media parameter is missing or unexpected.");
        String id = form.first("media_id");
        switch (command) {
            case "INIT":
                must(request, form.first("total_bytes").matches("\\d{1,12}"), "total_bytes parameter is missing.");
                return shown(request, 202, begun(request, form.first("media_category"), form.first("media_type"),
                        Long.parseLong(form.first("total_bytes")), form.first("shared").equals("true")));
            case "APPEND":
                return append(request, id, form);
            case "FINALIZE":
                return finish(request, id);
            case "STATUS":
                return status(request, id);
            default:
                String category = form.first("media_category", "tweet_image");
                must(request, category.endsWith("_image"), "Only images can be uploaded without segments.");
                return shown(request, 200, atOnce(request, category, request.upload().files().get(0)));
        }
    }

    // Use.

    /**
     * What this id stands for, if it may be sent: uploaded by us for Direct Messages, ready, not too old, and not sent
     * before.
     */
    synchronized Attached usable(Request request, String id) {
        Medium medium = media.get(id);
        if (medium == null) {
            throw refused(request, 400, 325, "A media id was not found.");
        }
        if (expired(medium)) {
            Refused refused = refused(request, 400, 325, "A media id was not found.");
            throw new Refused(refused.reply(), refused.getMessage(), false);
        }
        boolean permitted = medium.ours && medium.category.startsWith("dm_") && (medium.shared || !medium.used);
        if (!permitted && !old(request)) {
            throw refused(request, 403, 324, "You are not permitted to attach this media to a DM event.");
        }
        require(request, permitted && medium.state == State.SUCCEEDED, 324, "The validation of media ids failed.");
        return new Attached(id, medium.shownAs(), medium.file);
    }

    synchronized void used(String id) {
        media.get(id).used = true;
    }
}
