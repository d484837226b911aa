package twitterflex.sandbox;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import twitterflex.sandbox.SimulatedService.Refused;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/** X's limits on what may be sent and asked, and the errors with which it refuses the rest. */
final class DirectMessageRules {

    private static final Set<Integer> ORDINARY = Set.of(50, 88, 151, 349); // refusals that a correct client may meet

    private DirectMessageRules() { }

    /** The error body of the API that was asked: a code with a message, or a problem of RFC 7807. */
    static Refused refused(Request request, int status, int code, String message) {
        String sentence = status + ", " + code + ": " + message;
        if (request.path().startsWith("/1.1/")) {
            ObjectNode body = Json.object("errors", List.of(Json.object("code", code, "message", message)));
            return new Refused(new Reply(status, Map.of(), body.toString()), sentence, !ORDINARY.contains(code));
        }
        String title = Map.of(400, "Invalid Request", 401, "Unauthorized", 403, "Forbidden", 404, "Not Found").getOrDefault(status,
                "Too Many Requests");
        ObjectNode body = status == 400
                ? Json.object("errors", List.of(Json.object("message", message)), "title", title,
                        "detail", "One or more parameters to your request was invalid.",
                        "type", "https://api.twitter.com/2/problems/invalid-request")
                : Json.object("title", title, "detail", status == 401 ? title : message, "type", "about:blank", "status", status);
        return new Refused(new Reply(status, Map.of("Content-Type", "application/problem+json"), body.toString()), sentence,
                !ORDINARY.contains(code));
    }

    static List<Customer.QuickReplyOption> options(Request request, JsonNode quickReply) {
        JsonNode offered = fields(request, quickReply, Set.of("type", "options"), Set.of()).path("options");
        require(request, quickReply.path("type").asText().equals("options"), 214, "quick_reply.type must be options.");
        require(request, offered.isArray() && offered.size() >= 1 && offered.size() <= 20, 214, "quick_reply.options must be 1 to 20.");
        List<Customer.QuickReplyOption> options = new ArrayList<>();
        for (JsonNode option : offered) {
            fields(request, option, Set.of("label"), Set.of("description", "metadata"));
            String label = text(request, option, "label", 1, 36);
            require(request, !SimulatedX.LINK.matcher(label).find(), 214, "A quick reply's label must not hold a URL.");
            options.add(new Customer.QuickReplyOption(label, text(request, option, "description", option.has("description") ? 1 : 0, 72),
                    text(request, option, "metadata", 0, 1000)));
        }
        long described = options.stream().filter(option -> !option.description().isEmpty()).count();
        require(request, described == 0 || described == options.size(), 214, "All quick replies need a description, or none.");
        return options;
    }

    static List<Customer.Button> buttons(Request request, JsonNode offered) {
        require(request, offered.isArray() && offered.size() >= 1 && offered.size() <= 3, 214, "ctas must be 1 to 3.");
        List<Customer.Button> buttons = new ArrayList<>();
        for (JsonNode button : offered) {
            fields(request, button, Set.of("type", "label", "url"), Set.of());
            require(request, button.path("type").asText().equals("web_url"), 214, "ctas[].type must be web_url.");
            String url = text(request, button, "url", 1, 2048);
            require(request, isWebAddress(url), 214, "ctas[].url must be an http or https URL.");
            buttons.add(new Customer.Button(text(request, button, "label", 1, 36), url));
        }
        return buttons;
    }

    static boolean isWebAddress(String url) {
        try {
            URI address = URI.create(url);
            return address.getHost() != null && Set.of("http", "https").contains(String.valueOf(address.getScheme()));
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    static void require(Request request, boolean holds, int code, String message) {
        if (!holds) {
            throw refused(request, code == 38 && request.path().startsWith("/1.1/") ? 403 : 400, code, message);
        }
    }

    static JsonNode body(Request request) {
        require(request, request.header("Content-Type").split(";")[0].trim().equals("application/json"), 214,
                "The content type must be application/json.");
        try {
            return Json.parse(request.text());
        } catch (IllegalArgumentException e) {
            throw refused(request, 400, 214, "The body is " + e.getMessage());
        }
    }

    /** An object with all the required fields and none that is neither required nor optional. */
    static JsonNode fields(Request request, JsonNode object, Set<String> required, Set<String> optional) {
        require(request, object.isObject(), 214, "There must be an object with " + required + ".");
        Set<String> names = new HashSet<>();
        object.fieldNames().forEachRemaining(names::add);
        require(request, names.containsAll(required), 38, required + " must be there; there is only " + names + ".");
        names.removeAll(required);
        names.removeAll(optional);
        require(request, names.isEmpty(), 214, "Unknown fields " + names + ".");
        return object;
    }

    /** A string of so many characters (code points). */
    static String text(Request request, JsonNode object, String name, int shortest, int longest) {
        JsonNode value = object.path(name);
        require(request, value.isTextual() || value.isMissingNode(), 214, name + " must be a string.");
        int length = value.asText().codePointCount(0, value.asText().length());
        require(request, length >= shortest && length <= longest, 214, name + " must have " + shortest + " to " + longest + " characters.");
        return value.asText();
    }

    static Form query(Request request, Set<String> known) {
        Form query = Form.parse(request.query());
        List<String> names = query.fields().stream().map(Map.Entry::getKey).toList();
        boolean once = new HashSet<>(names).size() == names.size();
        require(request, once && known.containsAll(names), 214, "Unknown or repeated in " + names + ".");
        return query;
    }

    static int number(Request request, Form query, String name, int otherwise, int most) {
        String value = query.first(name, String.valueOf(otherwise));
        boolean valid = value.matches("\\d{1,4}") && Integer.parseInt(value) >= 1 && Integer.parseInt(value) <= most;
        require(request, valid, 214, name + " must be 1 to " + most + ".");
        return Integer.parseInt(value);
    }

    static Set<String> listed(Request request, Form query, String name, Set<String> known) {
        Set<String> values = query.has(name) ? new HashSet<>(Arrays.asList(query.first(name).split(","))) : Collections.emptySet();
        require(request, known.containsAll(values), 214, name + " must be of " + known + ".");
        return values;
    }
}
