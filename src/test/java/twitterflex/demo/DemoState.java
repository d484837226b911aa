package twitterflex.demo;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Form;
import twitterflex.sandbox.Json;
import twitterflex.sandbox.MediaFile;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/** The stage as the page is told of it, in JSON. Whatever anybody has typed stays a JSON string. */
final class DemoState {

    private static final int MESSAGES_SHOWN = 200;

    private final Stage stage;
    private final Guide guide;

    DemoState(Stage stage, Guide guide) {
        this.stage = stage;
        this.guide = guide;
    }

    /** All but the wire. */
    ObjectNode now() {
        List<Chat> chats = stage.flex.chats();
        Set<String> read = chats.stream().flatMap(chat -> chat.messages().stream())
                .map(message -> Json.parse(message.attributes()).path("x_dm_id").asText()).collect(Collectors.toSet());
        Map<String, Integer> taken = stage.flex.webhookDeliveries().stream().collect(Collectors.toMap(
                SimulatedFlex.WebhookDelivery::messageSid, SimulatedFlex.WebhookDelivery::status, (before, last) -> last));
        return Json.object("generation", stage.classic ? "classic" : "current", "bridge", bridge(),
                "troubles", stage.troubles().stream().map(trouble -> name(trouble)).sorted().toList(),
                "people", Json.array(stage.people().stream().map(person -> person(person, read)).toList()),
                "chats", Json.array(IntStream.range(0, chats.size()).mapToObj(i -> chat(chats, i, taken)).flatMap(Optional::stream)
                        .toList()),
                "tour", tour());
    }

    static String name(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    private ObjectNode bridge() {
        Stage.Health health = stage.recentHealth();
        String state = health.alive() ? "running" : stage.bridge.runs() ? "starting" : "killed";
        return Json.object("state", state, "status", health.status(), "reason", health.reason(), "counts", health.counts(), "lost",
                stage.lost().size());
    }

    private ObjectNode person(Stage.Person person, Set<String> read) {
        record Shown(Instant at, ObjectNode message) { }
        Customer customer = person.customer();
        Stream<Shown> written = person.written().stream().map(message -> new Shown(message.at(), Json.object("id", message.id(),
                "from", "customer", "text", message.text(), "at", message.at().toEpochMilli(),
                "files", files(message.media().stream()),
                "state", read.contains(message.id()) ? "arrived" : stage.x.delivered(message.id()) ? "taken" : "sent")));
        Stream<Shown> received = customer.inbox().stream().map(dm -> new Shown(dm.at(), Json.object("id", dm.id(), "from", "support",
                "text", dm.text(), "at", dm.at().toEpochMilli(), "files", files(dm.media().stream()),
                "options", person.mayStillChoose(dm) ? dm.options() : List.of(), "buttons", dm.buttons())));
        List<ObjectNode> messages = Stream.concat(written, received).sorted(Comparator.comparing(Shown::at)).map(Shown::message).toList();
        return Json.object("id", customer.id(), "handle", customer.handle(), "name", customer.name(), "messages",
                Json.array(last(messages)));
    }

    /** A chat is something for an agent once it has a task. */
    private Optional<ObjectNode> chat(List<Chat> all, int index, Map<String, Integer> taken) {
        Chat chat = all.get(index);
        long before = all.subList(0, index).stream().filter(earlier -> earlier.identity().equals(chat.identity())).count();
        return stage.task(chat).map(task -> Json.object("sid", chat.sid(), "person", chat.identity().replace("twitter-", ""), "ordinal",
                before + 1,
                "open", chat.open(), "accepted", stage.hasAccepted(chat), "task", task.sid(),
                "messages", Json.array(last(chat.messages().stream().map(message -> posted(message, taken)).toList()))));
    }

    private static ObjectNode posted(Chat.Posted message, Map<String, Integer> taken) {
        String from = message.author().equals(SimulatedFlex.AGENT) ? "agent" : message.author().equals("twitter-bridge") ? "bridge"
                : "customer";
        ObjectNode shown = Json.object("id", message.sid(), "from", from, "text", message.body(),
                "at", message.at().toEpochMilli(), "files", files(message.files().stream()));
        if (from.equals("agent")) {
            Integer status = taken.get(message.sid());
            shown.put("state", status == null ? "sent" : status == 200 ? "taken" : "lost");
        }
        return shown;
    }

    /** What is attached: only what can be shown has an address. */
    private static JsonNode files(Stream<MediaFile> files) {
        return Json.array(files.map(file -> Json.object("name", file.name(), "size", file.length(),
                "type", file.sniffed(), "url", Stage.canBeShown(file) ? "/media/" + file.sha256() : "")).toList());
    }

    private static <T> List<T> last(List<T> all) {
        return all.subList(Math.max(0, all.size() - MESSAGES_SHOWN), all.size());
    }

    private ObjectNode tour() {
        Tour tour = guide.tour();
        List<ObjectNode> steps = new ArrayList<>();
        for (int i = 0; i < tour.steps.size(); i++) {
            List<Tour.Result> results = tour.results(i);
            steps.add(Json.object("title", tour.steps.get(i).title(), "explanation", tour.steps.get(i).explanation(),
                    "state", name(state(results)), "hops", Json.array(results.stream().map(DemoState::hop).toList())));
        }
        return Json.object("person", tour.person.customer().id(), "next", tour.next(), "current", tour.current(), "leading", guide.leading(),
                "busy", guide.busy(), "steps", Json.array(steps));
    }

    private static Tour.State state(List<Tour.Result> results) {
        Set<Tour.State> states = results.stream().map(Tour.Result::state).collect(Collectors.toSet());
        return states.size() == 1 ? states.iterator().next() : states.contains(Tour.State.PLAYING) || states.contains(Tour.State.WAITING)
                ? Tour.State.PLAYING : Tour.State.FAILED;
    }

    private static ObjectNode hop(Tour.Result result) {
        return Json.object("route", result.hop().route(), "what", result.hop().what(), "expected", result.hop().expected(),
                "state", name(result.state()), "millis", result.millis(), "trouble", result.trouble());
    }

    // The wire.

    /** A line of the wire. */
    ObjectNode line(Wire.Call call) {
        double at = call.at().toEpochMilli() + call.at().getNano() % 1_000_000 / 1e6;
        if (call.method().equals(Wire.EVENT)) {
            return Json.object("n", call.number(), "at", at, "event", call.target());
        }
        Optional<SignatureCheck> check = check(call);
        return Json.object("n", call.number(), "at", at, "what", what(call),
                "from", SignatureCheck.forged(check) ? "forger" : call.from(), "to", call.to(),
                "method", call.method(), "target", call.target(), "status", call.status(), "millis", call.millis());
    }

    /** What it is for, in a few words. */
    private static String what(Wire.Call call) {
        String path = call.target().replaceAll("\\?.*", "");
        boolean get = call.method().equals("GET");
        if (call.to().equals(Wire.BRIDGE)) {
            return call.from().equals(Wire.FLEX) ? "webhook " + Form.parse(call.body()).first("EventType")
                    : get ? "challenge-response check" : fromX(call.body());
        }
        if (call.to().equals(Wire.X)) {
            return toX(call, path);
        }
        String last = path.replaceAll("/([A-Z]{2}[0-9a-f]{32}|twitter-[0-9-]+)(?=/|$)", "").replaceAll(".*/", "");
        return switch (last) {
            case "ParticipantConversations" -> "looks for the customer's chats";
            case "Conversations" -> get ? "reads the chat" : "opens a chat";
            case "Participants" -> "lets the customer join it";
            case "Webhooks" -> get ? "looks at the chat's webhooks" : call.method().equals("DELETE") ? "removes a webhook"
                    : "registers its webhook";
            case "Interactions" -> "asks for a task";
            case "Tasks" -> "looks for its task";
            case "Messages" -> get ? "reads the newest messages"
                    : call.body().contains("MediaSid=") ? "posts the file" : "posts the message";
            case "Media" -> get ? "asks where the file is" : "uploads the file";
            case "media.us1" -> "downloads the file";
            case "Channels" -> get ? "reads the chat" : "opens the chat, or finds it";
            default -> last;
        };
    }

    private static String fromX(String body) {
        boolean ours = body.contains("\"dm.sent\"") || body.contains("\"source_app_id\"");
        return ours ? "webhook: our own message" : body.contains("\"attachment\"") ? "webhook: a message with a file"
                : "webhook: a Direct Message";
    }

    /** Messages, files, and what the watch over the webhook asks. */
    private static String toX(Wire.Call call, String path) {
        boolean get = call.method().equals("GET");
        if (path.contains("/media/upload")) return upload(call, path);
        if (path.matches(".*/(dm_conversations/media|ton/data|dm_video|dm_gif)/.*")) return "downloads the file";
        if (path.endsWith("/public_keys")) return "looks whether the account has opened encrypted Chat";
        if (path.endsWith("/messages") || path.endsWith("/new.json")) {
            return call.body().contains("\"attachment") ? "sends the file as a Direct Message"
                    : "sends a Direct Message";
        }
        if (path.equals("/2/dm_events")) return "reads what no webhook brought";
        if (path.endsWith("/dm_events") || path.endsWith("/list.json")) return "looks whether it has arrived already";
        if (path.equals("/oauth2/token")) return "asks for a token of the app";
        if (path.equals("/2/users/me")) return "asks which account it is";
        if (path.contains("/subscriptions")) return get ? "looks whether it is subscribed" : "subscribes";
        if (path.startsWith("/2/webhooks")) return get ? "looks at its webhook" : "has its webhook validated";
        return path;
    }

    /** X's steps by the names its documentation has for them: in API 1.1 a parameter, in API 2 the end of the path. */
    private static String upload(Wire.Call call, String path) {
        Form query = Form.parse(call.target().replaceFirst("[^?]*\\??", ""));
        return switch (query.first("command", path.replaceFirst(".*/", ""))) {
            case "INIT", "initialize" -> "upload, INIT: announces the file";
            case "APPEND", "append" -> "upload, APPEND: sends a part of it";
            case "FINALIZE", "finalize" -> "upload, FINALIZE: that was all of it";
            case "STATUS" -> "upload, STATUS: is it ready?";
            default -> "uploads the file, at once";
        };
    }

    /** All there is to know about an exchange, with secrets masked, and the lines of the program that did it. */
    ObjectNode details(Wire.Call call) {
        BridgeSource source = BridgeSource.read(BridgeSource.FILE);
        ObjectNode details = line(call);
        details.set("requestHeaders", Json.object("all", SignatureCheck.masked(call.headers())).path("all"));
        details.put("requestBody", call.body());
        details.set("answerHeaders", Json.object("all", call.answerHeaders()).path("all"));
        details.put("answer", SignatureCheck.masked(call.answer()));
        check(call).ifPresent(check -> details.set("check", Json.object("name", check.name(), "by", check.checkedBy(), "how", check.how(),
                "key", check.key(), "signed", check.signed(), "given", check.given(), "holds", check.holds())));
        details.set("source", Json.array(BridgeSource.partsOf(call).stream().distinct().map(source::find).flatMap(Optional::stream)
                .map(excerpt -> Json.object("name", excerpt.name(), "first", excerpt.first(), "last", excerpt.last(), "text",
                        excerpt.text()))
                .toList()));
        return details;
    }

    private Optional<SignatureCheck> check(Wire.Call call) {
        return SignatureCheck.of(call, SimulatedX.sampleKeys(), stage.flex.account, stage.bridge.url(), stage.x.url());
    }
}
