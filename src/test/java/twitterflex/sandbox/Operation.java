package twitterflex.sandbox;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One operation of a service, by its template, such as {@code GET /v1/Channels/{Sid}}, and the parameters it takes. */
record Operation(String name, Pattern request, List<String> variables, JsonNode parameters) {

    private static final Pattern VARIABLE = Pattern.compile("\\{(\\w+)}");

    /** {@code prefix} stands before the path on the wire without being part of the name. */
    static Operation of(String name, String prefix, JsonNode parameters) {
        String template = parameters.path("template").asText(name);
        Pattern request = Pattern.compile(VARIABLE.matcher(template.replaceFirst(" ", " " + prefix)).replaceAll("([^/]+)"));
        return new Operation(name, request, VARIABLE.matcher(template).results().map(variable -> variable.group(1)).toList(), parameters);
    }

    /** What stands in the places of the template's variables, if the request is of this operation. */
    Optional<Map<String, String>> match(String method, String path) {
        Matcher matcher = request.matcher(method + " " + path);
        if (!matcher.matches()) {
            return Optional.empty();
        }
        MatchResult found = matcher.toMatchResult();
        Map<String, String> values = new LinkedHashMap<>();
        for (int i = 0; i < variables.size(); i++) {
            values.put(variables.get(i), found.group(i + 1));
        }
        return Optional.of(values);
    }
}
