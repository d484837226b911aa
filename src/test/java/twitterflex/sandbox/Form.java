package twitterflex.sandbox;

import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** The fields of a query or of a form-urlencoded body, in order, repeated names included. */
public record Form(List<Map.Entry<String, String>> fields) {

    /** Throws {@link IllegalArgumentException} for broken percent-encoding. */
    public static Form parse(String encoded) {
        List<Map.Entry<String, String>> fields = new ArrayList<>();
        for (String field : encoded.isEmpty() ? new String[0] : encoded.split("&")) {
            int equals = field.indexOf('=');
            String name = equals < 0 ? field : field.substring(0, equals);
            String value = equals < 0 ? "" : field.substring(equals + 1);
            fields.add(Map.entry(URLDecoder.decode(name, StandardCharsets.UTF_8), URLDecoder.decode(value, StandardCharsets.UTF_8)));
        }
        return new Form(fields);
    }

    public static String encode(Map<String, String> fields) {
        return fields.entrySet().stream().map(field -> encode(field.getKey()) + "=" + encode(field.getValue()))
                .collect(Collectors.joining("&"));
    }

    public static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    public boolean has(String name) {
        return fields.stream().anyMatch(field -> field.getKey().equals(name));
    }

    /** The first value of that name, or an empty text. */
    public String first(String name) {
        return first(name, "");
    }

    public String first(String name, String otherwise) {
        return fields.stream().filter(field -> field.getKey().equals(name)).map(Map.Entry::getValue).findFirst().orElse(otherwise);
    }

    public List<String> all(String name) {
        return fields.stream().filter(field -> field.getKey().equals(name)).map(Map.Entry::getValue).toList();
    }
}
