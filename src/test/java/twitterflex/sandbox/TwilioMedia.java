package twitterflex.sandbox;

import static twitterflex.sandbox.SimulatedFlex.missing;
import static twitterflex.sandbox.SimulatedFlex.refused;
import static twitterflex.sandbox.SimulatedFlex.reply;
import static twitterflex.sandbox.SimulatedFlex.require;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import twitterflex.sandbox.SimulatedService.Refused;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/**
 * Twilio's Media Content Service: product {@code mcs} (host mcs.us1.twilio.com), and what it signs for a while at
 * media.us1.twilio.com.
 *
 * <p>It is in none of Twilio's OpenAPI documents. Shapes, the two ways to upload and 201 are those of the page "Media
 * resource" of Conversations (classic) and of a program in production (weni-ai/mailroom), 150 MB those of the page
 * "Conversations limits". How long a signed URL lives, how long a file name may be and how a signed URL refuses
 * credentials is not documented: five minutes, 255 characters, and 403 as CloudFront refuses, the strictest there is. A
 * file can be in one message.
 */
public final class TwilioMedia {

    /** A file at Twilio, and its SID. */
    public record Stored(String sid, MediaFile file) {

        /** As the webhook of Conversations shows it. */
        ObjectNode told() {
            return Json.object("Sid", sid, "Filename", file.name(), "ContentType", file.type(), "Size", file.length());
        }

        /** As both APIs show it in a message. */
        ObjectNode shown() {
            return Json.object("sid", sid, "size", file.length(), "content_type", file.type(),
                    "filename", file.name().isEmpty() ? null : file.name());
        }
    }

    public static final String UPLOAD = "POST /v1/Services/{ServiceSid}/Media";
    public static final String METADATA = "GET /v1/Services/{ServiceSid}/Media/{Sid}";
    public static final String CONTENT = "GET /v1/Services/{ServiceSid}/Media/{Sid}/Content";
    public static final String TEMPORARY = "GET /{MediaSid}";

    /** In bytes. */
    public static final long LARGEST = 150L << 20;
    private static final int LONGEST_NAME = 255;
    private static final String DENIED = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code>"
            + "<Message>Access denied</Message></Error>";

    private record Kept(Stored stored, String author, Instant created, String chat, String message) { }

    private final SimulatedFlex flex;
    private final Map<String, Kept> kept = new LinkedHashMap<>();
    private final Map<String, Instant> signatures = new LinkedHashMap<>(); // "ME… signature", until when
    private Duration temporary = Duration.ofMinutes(5);
    private String address = "";

    TwilioMedia(SimulatedFlex flex) {
        this.flex = flex;
    }

    static List<Operation> operations() {
        Operation temporary = Operation.of(TEMPORARY, "/media[.]us1", Json.object());
        return List.of(mcs(UPLOAD), mcs(METADATA), mcs(CONTENT), temporary);
    }

    private static Operation mcs(String name) {
        return Operation.of(name, "/mcs(?:[.]us1)?", Json.object());
    }

    // What a test sets and sees.

    /** How long a signed URL is good from when it is handed out; five minutes at first. */
    public void temporaryFor(Duration life) {
        synchronized (flex) {
            temporary = life;
        }
    }

    /** The address in front of the URLs that are signed, such as that of a cable; at first the simulated Flex's own. */
    public void servedAt(String address) {
        synchronized (flex) {
            this.address = address;
        }
    }

    /** What was uploaded through the REST API, in order; what agents attach is not among it. */
    public List<Stored> uploaded() {
        synchronized (flex) {
            return kept.values().stream().filter(one -> one.author().equals("system")).map(Kept::stored).toList();
        }
    }

    // Within the lock of the simulated Flex.

    static Optional<Upload> read(Request head, InputStream body) throws IOException {
        String type = head.header("Content-Type");
        if (!head.operation().equals(UPLOAD)) {
            return Optional.empty();
        }
        return Optional.of(Upload.isMultipart(type) ? Upload.multipart(type, "", body) : Upload.raw("", type, body));
    }

    boolean takes(Request request) {
        return List.of(UPLOAD, METADATA, CONTENT, TEMPORARY).contains(request.operation());
    }

    /** All but {@link #TEMPORARY}, which has no other credentials than those in its URL. */
    Reply answer(Request request) {
        if (request.operation().equals(UPLOAD)) {
            return upload(request);
        }
        require(request.query().isEmpty() && request.body().length == 0, 20001,
                "Neither a query nor a body is known here.");
        Kept one = kept.get(request.variables().get("Sid"));
        if (one == null) {
            throw missing(request.path());
        }
        if (request.operation().equals(METADATA)) {
            return reply(200, shown(one));
        }
        return new Reply(302, Map.of("Location", signed(one)), "");
    }

    private Reply upload(Request request) {
        Upload upload = request.upload();
        Form query = Form.parse(request.query());
        require(query.fields().stream().allMatch(field -> field.getKey().equals("Filename")), 20001,
                "Unknown parameter in " + request.query());
        require(upload.complaint().isEmpty(), 20001, upload.complaint());
        require(upload.files().size() == 1 && upload.fields().fields().isEmpty(), 20001,
                "There must be one file and nothing else.");
        MediaFile given = upload.files().get(0);
        MediaFile file = new MediaFile(given.name().isEmpty() ? query.first("Filename") : given.name(), given.type(),
                given.content());
        require(file.length() > 0, 20001, "The media is empty.");
        if (file.length() > LARGEST) {
            throw refused(413, 50512, "Media is too large: " + file.length() + " bytes");
        }
        require(file.type().matches("[\\w!#$&^.+-]+/[\\w!#$&^.+-]+(\\s*;.*)?"), 20001,
                "Content-Type is no media type: " + file.type());
        require(file.name().length() <= LONGEST_NAME && !file.name().matches("(?s).*[/\\\\\\p{Cntrl}].*"), 20001,
                "Invalid Filename");
        return reply(201, shown(keep(file, "system")));
    }

    private Kept keep(MediaFile file, String author) {
        Kept one = new Kept(new Stored(flex.sid("ME"), file), author, Instant.now(), "", "");
        kept.put(one.stored().sid(), one);
        return one;
    }

    /** Signed as it is handed out, each time anew. */
    private String signed(Kept one) {
        Instant until = flex.now().plus(temporary);
        String signature = UUID.randomUUID().toString();
        signatures.put(one.stored().sid() + " " + signature, until);
        return (address.isEmpty() ? flex.url() : address) + "/media.us1/" + one.stored().sid() + "?Expires=" + until.getEpochSecond() + "&Signature="
                + signature + "&Key-Pair-Id=APKAJWF6YVTMIIYOF3AA";
    }

    /** The content's link is relative, as seen; that of the signed URL is absolute. */
    private ObjectNode shown(Kept one) {
        String url = "/v1/Services/" + flex.account.chatService() + "/Media/" + one.stored().sid();
        ObjectNode shown = one.stored().shown();
        return shown.setAll(Json.object("account_sid", flex.account.accountSid(),
                "service_sid", flex.account.chatService(),
                "date_created", one.created().toString(), "date_updated", one.created().toString(),
                "channel_sid", one.chat().isEmpty() ? null : one.chat(),
                "message_sid", one.message().isEmpty() ? null : one.message(),
                "author", one.author(), "category", "media", "is_multipart_upstream", false, "url", url,
                "links", Json.object("content", url + "/Content", "content_direct_temporary", signed(one))));
    }

    Reply temporary(Request request) {
        if (request.headers().containsKey("Authorization")) {
            throw new Refused(denied(), "credentials are shown to media.us1.twilio.com, a stranger", true);
        }
        String sid = request.variables().get("MediaSid");
        Form query = Form.parse(request.query());
        Instant until = signatures.get(sid + " " + query.first("Signature"));
        boolean ours = until != null && query.first("Expires").equals(String.valueOf(until.getEpochSecond()))
                && query.has("Key-Pair-Id");
        if (!ours || !flex.now().isBefore(until)) {
            throw new Refused(denied(), "the URL is not signed or too old", !ours);
        }
        MediaFile file = kept.get(sid).stored().file();
        if (!file.content().kept()) {
            throw new Refused(new Reply(404, Map.of(), ""), "the sandbox has not kept so large an upload", false);
        }
        return new Reply(200, Map.of("Content-Type", file.type()), "", Optional.of(file.content()));
    }

    private static Reply denied() {
        return new Reply(403, Map.of("Content-Type", "application/xml"), DENIED);
    }

    /** The file that a message posted through REST names. */
    Stored named(String sid) {
        require(kept.containsKey(sid) && kept.get(sid).message().isEmpty(), 50512,
                "Media is invalid, or in a message already: " + sid);
        return kept.get(sid).stored();
    }

    Stored attachedByAgent(MediaFile file) {
        return keep(file, SimulatedFlex.AGENT).stored();
    }

    void isIn(Stored stored, String chat, String message) {
        kept.computeIfPresent(stored.sid(), (sid, one) -> new Kept(stored, one.author(), one.created(), chat, message));
    }
}
