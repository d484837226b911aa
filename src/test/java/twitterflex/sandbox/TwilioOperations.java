package twitterflex.sandbox;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import twitterflex.sandbox.SimulatedService.Request;

/** What Twilio's own OpenAPI documents say a request may carry, cut to what is used here in twilio-operations.json. */
final class TwilioOperations {

    private final Map<String, Operation> byName = new LinkedHashMap<>();

    TwilioOperations() {
        try (InputStream resource = TwilioOperations.class.getResourceAsStream("/twilio-operations.json")) {
            JsonNode document = Json.parse(new String(resource.readAllBytes(), StandardCharsets.UTF_8));
            for (Map.Entry<String, JsonNode> entry : document.path("operations").properties()) {
                String prefix = "/" + entry.getValue().path("product").asText();
                byName.put(entry.getKey(), Operation.of(entry.getKey(), prefix, entry.getValue()));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    List<Operation> all() {
        return List.copyOf(byName.values());
    }

    boolean knows(String operation) {
        return byName.containsKey(operation);
    }

    /** The first thing about a request that is not as in the document; empty when it fits. */
    Optional<String> complaint(Request request) {
        Operation operation = byName.get(request.operation());
        JsonNode form = operation.parameters().path("form");
        boolean urlEncoded = request.header("Content-Type").split(";")[0].trim().equals("application/x-www-form-urlencoded");
        if (operation.parameters().path("json").asBoolean()) {
            boolean json = request.header("Content-Type").equals("application/json") && isJson(request.text());
            return json ? Optional.empty() : Optional.of("the body must be JSON.");
        }
        if (request.body().length > 0 && !(urlEncoded && form.isObject())) {
            return Optional.of("the body must be " + (form.isObject() ? "form-urlencoded." : "empty."));
        }
        try {
            Map<String, List<String>> path = request.variables().entrySet().stream()
                    .collect(Collectors.toMap(Map.Entry::getKey, variable -> List.of(variable.getValue())));
            return complaint("path", operation.parameters().path("path"), path, false)
                    .or(() -> complaint("query", operation.parameters().path("query"), grouped(Form.parse(request.query())), true))
                    .or(() -> complaint("form", form, grouped(Form.parse(request.text())), true))
                    .or(() -> complaint("header", operation.parameters().path("header"), headers(request), false));
        } catch (IllegalArgumentException e) {
            return Optional.of("broken percent-encoding: " + e.getMessage());
        }
    }

    private static Map<String, List<String>> grouped(Form form) {
        return form.fields().stream().collect(Collectors.groupingBy(Map.Entry::getKey,
                Collectors.mapping(Map.Entry::getValue, Collectors.toList())));
    }

    private static Map<String, List<String>> headers(Request request) {
        String name = "X-Twilio-Webhook-Enabled";
        return request.headers().containsKey(name) ? Map.of(name, List.of(request.header(name))) : Map.of();
    }

    private static Optional<String> complaint(String where, JsonNode rules, Map<String, List<String>> given, boolean closed) {
        for (Map.Entry<String, JsonNode> rule : rules.properties()) {
            if (rule.getValue().path("required").asBoolean() && !given.containsKey(rule.getKey())) {
                return Optional.of("Missing required parameter " + rule.getKey() + " in the " + where + ".");
            }
        }
        for (Map.Entry<String, List<String>> parameter : given.entrySet()) {
            JsonNode rule = rules.path(parameter.getKey());
            if (rule.isMissingNode() && closed) {
                return Optional.of("Unknown parameter " + parameter.getKey() + " in the " + where + ".");
            }
            boolean repeated = parameter.getValue().size() > 1 && !rule.path("type").asText().equals("array");
            for (String value : parameter.getValue()) {
                if (repeated || !fits(rule, value)) {
                    return Optional.of("Invalid parameter " + parameter.getKey() + " in the " + where + ": '" + value + "'"
                            + (repeated ? " is there twice." : " does not fit " + rule + "."));
                }
            }
        }
        return Optional.empty();
    }

    private static boolean fits(JsonNode rule, String value) {
        boolean typed = switch (rule.path("type").asText()) {
            case "integer" -> value.matches("-?\\d{1,9}")
                    && Integer.parseInt(value) >= rule.path("minimum").asInt(Integer.MIN_VALUE)
                    && Integer.parseInt(value) <= rule.path("maximum").asInt(Integer.MAX_VALUE);
            case "boolean" -> Set.of("true", "false").contains(value);
            case "json" -> isJson(value);
            default -> !rule.path("format").asText().equals("date-time") || isTime(value);
        };
        boolean listed = rule.path("enum").isMissingNode();
        for (JsonNode choice : rule.path("enum")) {
            listed |= choice.asText().equals(value);
        }
        return typed && listed && value.length() <= rule.path("maxLength").asInt(Integer.MAX_VALUE)
                && (!rule.has("pattern") || value.matches(rule.path("pattern").asText()));
    }

    static boolean isJson(String value) {
        try {
            return !Json.parse(value).isMissingNode();
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    private static boolean isTime(String value) {
        try {
            return OffsetDateTime.parse(value) != null;
        } catch (DateTimeParseException e) {
            return false;
        }
    }
}
