package twitterflex.sandbox;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A body with a file in it, read as a stream: the fields, the files, of which only small ones are kept, and what is
 * wrong with it.
 */
record Upload(Form fields, List<MediaFile> files, String complaint) {

    static final Upload NONE = new Upload(new Form(List.of()), List.of(), "");
    private static final Pattern BOUNDARY =
            Pattern.compile("(?i)multipart/form-data\\s*;\\s*boundary=(\"[^\"]{1,70}\"|[^\\s;\"]{1,70})");
    private static final Pattern NAME =
            Pattern.compile("(?i)Content-Disposition:\\s*form-data\\s*;\\s*name=\"([^\"]*)\".*");
    private static final Pattern FILE_NAME = Pattern.compile(".*;\\s*filename=\"([^\"]*)\".*");
    private static final int LARGEST_FIELD = 64 * 1024;
    private static final int LARGEST_JSON = 16 << 20;

    /** The whole body is one file. */
    static Upload raw(String name, String type, InputStream in) throws IOException {
        Content.Sink sink = new Content.Sink();
        in.transferTo(sink);
        return new Upload(new Form(List.of()), List.of(new MediaFile(name, type, sink.content())), "");
    }

    /** An object of JSON whose field {@code media} is a file in Base64. */
    static Upload json(InputStream in) throws IOException {
        byte[] body = in.readNBytes(LARGEST_JSON + 1);
        if (body.length > LARGEST_JSON) {
            in.transferTo(OutputStream.nullOutputStream());
            return new Upload(new Form(List.of()), List.of(MediaFile.generated("", "", LARGEST_JSON)), "");
        }
        List<Map.Entry<String, String>> fields = new ArrayList<>();
        List<MediaFile> files = new ArrayList<>();
        try {
            JsonNode object = Json.parse(new String(body, StandardCharsets.UTF_8));
            for (Map.Entry<String, JsonNode> field : object.properties()) {
                if (field.getKey().equals("media")) {
                    files.add(MediaFile.of("", "", Base64.getDecoder().decode(field.getValue().asText())));
                } else {
                    fields.add(Map.entry(field.getKey(), field.getValue().asText()));
                }
            }
        } catch (IllegalArgumentException e) {
            return complaint("The body is no JSON with media in Base64: " + e.getMessage());
        }
        return new Upload(new Form(fields), files, "");
    }

    static boolean isMultipart(String contentType) {
        return contentType.toLowerCase().startsWith("multipart/form-data");
    }

    /** RFC 7578; the file is the part of that name, or, if none is given, any part with a file name. */
    static Upload multipart(String contentType, String file, InputStream in) throws IOException {
        Matcher boundary = BOUNDARY.matcher(contentType);
        if (!boundary.matches()) {
            in.transferTo(OutputStream.nullOutputStream());
            return complaint("There is no boundary in " + contentType);
        }
        List<Map.Entry<String, String>> fields = new ArrayList<>();
        List<MediaFile> files = new ArrayList<>();
        Parts parts = new Parts(in, boundary.group(1).replace("\"", ""));
        for (parts.skip(); parts.another();) {
            List<String> head = parts.head();
            Matcher name = head.stream().map(NAME::matcher).filter(Matcher::matches).findFirst().orElse(null);
            if (name == null) {
                in.transferTo(OutputStream.nullOutputStream());
                return complaint("A part has no name: " + head);
            }
            Matcher fileName = FILE_NAME.matcher(name.group());
            boolean named = fileName.matches();
            Content.Sink sink = new Content.Sink();
            parts.copy(sink);
            Content content = sink.content();
            if (file.isEmpty() ? named : name.group(1).equals(file)) {
                String type = head.stream().filter(line -> line.toLowerCase().startsWith("content-type:"))
                        .map(line -> line.substring(line.indexOf(':') + 1).trim()).findFirst().orElse("");
                files.add(new MediaFile(named ? fileName.group(1) : "", type, content));
            } else {
                fields.add(Map.entry(name.group(1), new String(content.head(LARGEST_FIELD), StandardCharsets.UTF_8)));
            }
        }
        in.transferTo(OutputStream.nullOutputStream());
        return parts.broken ? complaint("The last boundary is missing.")
                : new Upload(new Form(fields), List.copyOf(files), "");
    }

    private static Upload complaint(String complaint) {
        return new Upload(new Form(List.of()), List.of(), complaint);
    }

    /** The fields and files, a line each, as they stand in for the body. */
    @Override
    public String toString() {
        Stream<String> told = fields.fields().stream().map(field -> field.getKey() + "=" + field.getValue());
        Stream<String> all = Stream.concat(told, files.stream().map(MediaFile::toString));
        return all.collect(Collectors.joining("\n")) + complaint;
    }

    /** Walks from boundary to boundary. */
    private static final class Parts {

        private final InputStream in;
        private final byte[] delimiter;
        private final byte[] buffer = new byte[64 * 1024];
        private int at;
        private int filled;
        private boolean broken;

        /** The first boundary may stand at the very beginning, as if a line had ended there. */
        Parts(InputStream in, String boundary) {
            this.in = in;
            buffer[0] = '\r';
            buffer[1] = '\n';
            filled = 2;
            delimiter = ("\r\n--" + boundary).getBytes(StandardCharsets.ISO_8859_1);
        }

        private int next() throws IOException {
            if (at == filled) {
                filled = in.read(buffer);
                at = 0;
            }
            broken |= filled < 0;
            return broken ? -1 : buffer[at++];
        }

        void skip() throws IOException {
            copy(OutputStream.nullOutputStream());
        }

        /** Whether after a boundary there comes one more part. */
        boolean another() throws IOException {
            int first = next();
            int second = next();
            boolean last = first == '-' && second == '-';
            broken |= !last && (first != '\r' || second != '\n');
            return !last && !broken;
        }

        List<String> head() throws IOException {
            List<String> lines = new ArrayList<>();
            for (String line = line(); !line.isEmpty(); line = line()) {
                lines.add(line);
            }
            return lines;
        }

        private String line() throws IOException {
            ByteArrayOutputStream line = new ByteArrayOutputStream();
            for (int one = next(); one != '\n' && !broken && line.size() < LARGEST_FIELD; one = next()) {
                line.write(one);
            }
            return line.toString(StandardCharsets.UTF_8).replace("\r", "");
        }

        /**
         * Up to the next boundary; a carriage return is in it only at its beginning, so that no byte need be looked at
         * twice.
         */
        void copy(OutputStream out) throws IOException {
            byte[] block = new byte[64 * 1024];
            int count = 0;
            int matched = 0;
            while (matched < delimiter.length) {
                int one = next();
                if (broken) {
                    return;
                }
                if (one == delimiter[matched]) {
                    matched++;
                    continue;
                }
                if (count + matched + 1 > block.length - delimiter.length) {
                    out.write(block, 0, count);
                    count = 0;
                }
                System.arraycopy(delimiter, 0, block, count, matched);
                count += matched;
                matched = one == '\r' ? 1 : 0;
                if (matched == 0) {
                    block[count++] = (byte) one;
                }
            }
            out.write(block, 0, count);
        }
    }
}
