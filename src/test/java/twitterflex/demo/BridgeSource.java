package twitterflex.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Finds in {@code Bridge.java} the lines that do something, by the name of the method or type: line numbers would go stale. */
final class BridgeSource {

    static final Path FILE = Path.of("src/main/java/twitterflex/Bridge.java");

    /** From the first line of its comment to its closing brace; lines count from 1. */
    record Excerpt(String name, int first, int last, String text) { }

    /** The names of members of the file beside it begin so. */
    private static final String BESIDE = "Operator.";

    private final Path file;
    private final List<String> lines;

    private BridgeSource(Path file, List<String> lines) {
        this.file = file;
        this.lines = lines;
    }

    /** As it stands now; without the file, as beside a bare jar, nothing is found in it. */
    static BridgeSource read(Path file) {
        try {
            return new BridgeSource(file, Files.readAllLines(file));
        } catch (IOException absent) {
            return new BridgeSource(file, List.of());
        }
    }

    /** @param name the way to a method or type, such as {@code Signatures.x} or {@code Operator.Watch.look} */
    Optional<Excerpt> find(String name) {
        if (name.startsWith(BESIDE)) {
            return read(file.resolveSibling("Operator.java")).find(name.substring(BESIDE.length()))
                    .map(found -> new Excerpt(name, found.first(), found.last(), found.text()));
        }
        int first = 0;
        int last = lines.size() - 1;
        String[] way = name.split("\\.");
        for (int depth = 0; depth < way.length; depth++) {
            int declared = declaration(way[depth], 4 * (depth + 1), first, last);
            if (declared < 0) {
                return Optional.empty();
            }
            first = declared;
            last = end(declared, 4 * (depth + 1));
        }
        int from = comment(first);
        return Optional.of(new Excerpt(name, from + 1, last + 1, String.join("\n", lines.subList(from, last + 1)).stripIndent()));
    }

    /** Members stand at one depth, and statements deeper: whatever names it there followed by a parenthesis or as a type is it. */
    private int declaration(String name, int indent, int first, int last) {
        Pattern member = Pattern.compile(" {" + indent + "}(?![/* ])[^=]*?(?:(?:class|interface|record|enum) " + name + "\\b|\\b" + name
                + "\\().*");
        for (int line = first; line <= last; line++) {
            if (member.matcher(lines.get(line)).matches()) {
                return line;
            }
        }
        return -1;
    }

    private int end(int declared, int indent) {
        if (lines.get(declared).endsWith("}") || lines.get(declared).endsWith(";")) {
            return declared;
        }
        int line = declared + 1;
        while (line < lines.size() - 1 && !lines.get(line).startsWith(" ".repeat(indent) + "}")) {
            line++;
        }
        return line;
    }

    private int comment(int declared) {
        int line = declared;
        while (line > 0 && lines.get(line - 1).strip().matches("(/\\*\\*|\\*|//(?! -)).*")) {
            line--;
        }
        return line;
    }

    /** The names of what does the bridge's part in this exchange, in the order in which it happens. */
    static List<String> partsOf(Wire.Call call) {
        List<String> names = new ArrayList<>();
        if (call.to().equals(Wire.BRIDGE)) {
            names.addAll(call.method().equals("GET") ? List.of("challenge", "Signatures.xWebhook")
                    : call.from().equals(Wire.X) ? List.of("signedByX", "Signatures.xWebhook", "Signatures.equalInConstantTime", "fromTwitter", "FromX.read",
                            "Relay.accept")
                    : List.of("signedByTwilio", "Signatures.isTwilios", "Signatures.twilioWebhook", "FromFlex.isWhole",
                            "fromFlex", "FromFlex.read", "Relay.accept"));
            if (call.body().contains("\"attachment\"")) {
                names.add(names.indexOf("FromX.read") + 1, "FromX.attachments");
            }
            if (call.status() == 403) {
                names.removeIf(name -> name.startsWith("from") || name.startsWith("From") || name.equals("Relay.accept"));
                names.add("Edge.Refusals");
            }
            return names;
        }
        names.addAll(call.to().equals(Wire.X) ? toX(call) : toFlex(call));
        if (call.status() == 0 || call.status() == 429 || call.status() >= 500) {
            names.addAll(List.of("Response.outcome", "Relay.work", "Relay.Destination.tried", "Relay.Destination.after"));
        }
        return names;
    }

    private static List<String> toX(Wire.Call call) {
        if (call.target().contains("/media/upload")) {
            return call.method().equals("GET") ? List.of("Media.toX", "Media.step", "Media.processed")
                    : List.of("Media.toX", "Media.upload", "Media.step", "Media.Load");
        }
        if (call.target().matches("/dm_(video|gif)/.*")) {
            return List.of("Media.toFlex", "Media.download");
        }
        if (call.target().matches("/(2/dm_conversations/media|(1\\.1|i)/ton)/.*")) {
            return List.of("Media.toFlex", "Media.fetch", "Media.download", "XAccess.signed", "Signatures.oauthBase");
        }
        if (call.target().startsWith("/2/dm_events")) {
            return List.of("CatchUp.readX", "X.readBack", "XApi", "XAccess.signed", "Signatures.oauthBase");
        }
        if (!call.target().matches("(/2/dm_|/1\\.1/direct_messages/).*")) {
            return List.of("Operator.Watch", "Operator.Setup.x", "Operator.Setup.atX");
        }
        boolean classic = call.target().startsWith("/1.1/");
        return call.method().equals("GET") ? List.of("X.look", "XApi", "XAccess.signed", "Signatures.oauthBase")
                : List.of("X.deliver", classic ? "X.event" : "X.body", "XAccess.signed", "Signatures.oauth",
                        "Signatures.oauthBase");
    }

    private static List<String> toFlex(Wire.Call call) {
        boolean chat = call.target().startsWith("/chat/") || call.target().startsWith("/flex-api/v1/Channels");
        Stream<String> what;
        if (call.target().contains("/Messages")) {
            what = call.method().equals("GET") ? Stream.of("deliver", "look", "read") : Stream.of("deliver", "post");
        } else if (call.target().contains("/Webhooks")) {
            what = Stream.of("hook");
        } else if (call.target().contains("/media.us1/")) {
            return List.of("Media.toX", "Media.download");
        } else if (call.target().contains("/Media")) {
            return call.method().equals("GET") ? List.of("Media.toX", "Signatures.basic")
                    : List.of("Media.toFlex", "Media.carry", "Media.Load", "Signatures.basic");
        } else if (chat) {
            what = Stream.of("channel");
        } else if (call.target().contains("/Interactions")) {
            what = Stream.of("complete", "routing");
        } else if (call.target().contains("/Tasks")) {
            what = Stream.of("tasks", "canBeTaken");
        } else {
            what = call.target().contains("/Participants") ? Stream.of("complete") : Stream.of("open", "create");
        }
        return Stream.concat(what.map(name -> "Flex." + name), Stream.of("Signatures.basic")).toList();
    }
}
