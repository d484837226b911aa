package twitterflex.sandbox;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/**
 * A picture, video or other file on its way; name and type may be empty. Two are equal when name, type, length and hash
 * are.
 */
public record MediaFile(String name, String type, Content content) {

    /** A type, the extension of its files, how one begins, and how they all do. */
    private record Kind(String type, String extension, String beginning, Pattern all) { }

    private static final List<Kind> KINDS = List.of(
            kind("image/jpeg", "jpg", "\u00ff\u00d8\u00ff\u00e0", "\u00ff\u00d8\u00ff.*"),
            kind("image/png", "png", "\u0089PNG", "\u0089PNG.*"),
            kind("image/gif", "gif", "GIF89a", "GIF8[79]a.*"),
            kind("image/webp", "webp", "RIFF\0\0\0\0WEBP", "RIFF.{4}WEBP.*"),
            kind("video/quicktime", "mov", "\0\0\0\u0014ftypqt  ", ".{4}ftypqt  .*"),
            kind("video/mp4", "mp4", "\0\0\0\u0018ftypmp42", ".{4}ftyp(?!avi|he[iv]|mi[af]|msf).*"),
            kind("application/pdf", "pdf", "%PDF-1.7", "%PDF-.*"));

    private static Kind kind(String type, String extension, String beginning, String all) {
        return new Kind(type, extension, beginning, Pattern.compile(all, Pattern.DOTALL));
    }

    public static MediaFile of(String name, String type, byte[] bytes) {
        return new MediaFile(name, type, Content.of(bytes));
    }

    /** A file of so many bytes that begins as files of its type do, and is never held in memory. */
    public static MediaFile generated(String name, String type, long length) {
        String beginning = KINDS.stream().filter(kind -> kind.type().equals(type)).map(Kind::beginning).findFirst()
                .orElse("");
        return new MediaFile(name, type, Content.generated(beginning.getBytes(StandardCharsets.ISO_8859_1), length));
    }

    public long length() {
        return content.length();
    }

    public String sha256() {
        return content.sha256();
    }

    /** Its type as the first bytes tell it, or an empty text, as for AVIF and HEIC, in a box like an MP4's. */
    public String sniffed() {
        return sniffed(content.head(16));
    }

    static String sniffed(byte[] head) {
        String text = new String(head, StandardCharsets.ISO_8859_1);
        return KINDS.stream().filter(kind -> kind.all().matcher(text).matches()).map(Kind::type).findFirst().orElse("");
    }

    /** As people say it; what it is goes before what it is said to be. */
    @Override
    public String toString() {
        String told = sniffed().isEmpty() ? type : sniffed();
        return (name.isEmpty() ? "" : name + ", ") + told(told, length());
    }

    static String told(String type, long length) {
        return String.format(Locale.ROOT, "%s, %,d bytes", type, length);
    }

    static String extension(String type) {
        return KINDS.stream().filter(kind -> kind.type().equals(type)).map(Kind::extension).findFirst().orElse("bin");
    }
}
