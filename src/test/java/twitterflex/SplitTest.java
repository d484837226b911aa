package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import java.util.function.IntUnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;

/** A text too long for a service is cut into parts that fit, and nothing but white space is lost at the cuts. */
class SplitTest {

    /** X counts code points. */
    private static final IntUnaryOperator CHARACTERS = point -> 1;

    @Test
    void aTextThatFitsIsLeftAlone() {
        assertEquals(List.of("Hello world"), Bridge.split("Hello world", 11, CHARACTERS));
        assertEquals(List.of("  as\n\ttyped "), Bridge.split("  as\n\ttyped ", 100, CHARACTERS));
        assertEquals(List.of("x".repeat(10_000)), Bridge.split("x".repeat(10_000), 10_000, CHARACTERS));
    }

    @Test
    void aLongTextIsCutBetweenWords() {
        assertEquals(List.of("Hello", "big", "world"), Bridge.split("Hello big world", 6, CHARACTERS));
        assertEquals(List.of("Hello", "world"), Bridge.split("Hello world", 10, CHARACTERS));
    }

    @Test
    void aWordThatFillsAPartExactlyStaysWhole() {
        assertEquals(List.of("Hello", "world"), Bridge.split("Hello world", 6, CHARACTERS));
    }

    @Test
    void aLineEndIsAWordBoundaryToo() {
        assertEquals(List.of("one", "two", "three"), Bridge.split("one\ntwo\tthree", 6, CHARACTERS));
    }

    @Test
    void aWordLongerThanAPartIsCut() {
        assertEquals(List.of("abcde", "fghij", "k"), Bridge.split("abcdefghijk", 5, CHARACTERS));
        assertEquals(List.of("ab", "cdefg", "hi"), Bridge.split("ab cdefghi", 5, CHARACTERS));
    }

    @Test
    void aTextOf10001CharactersIsTwoMessages() {
        String text = "word ".repeat(2_000) + "!";
        assertEquals(List.of("word ".repeat(2_000).strip(), "!"), Bridge.split(text, 10_000, CHARACTERS));
    }

    @Test
    void anEmojiCountsOnceAtXAndIsNeverCutInHalf() {
        assertEquals(List.of("😀😀😀", "😀"), Bridge.split("😀😀😀😀", 3, CHARACTERS));
    }

    @Test
    void twilioCountsBytes() {
        assertEquals(List.of("aé", "漢", "😀", "b"), Bridge.split("aé漢😀b", 4, Bridge::utf8Length));
        assertEquals("😀".repeat(10_000), String.join("", Bridge.split("😀".repeat(10_000), 32 * 1024, Bridge::utf8Length)));
        for (String point : List.of("a", "é", "漢", "😀")) {
            assertEquals(point.getBytes(UTF_8).length, Bridge.utf8Length(point.codePointAt(0)), point);
        }
    }

    @Test
    void aPartStaysWithinItsBytesWhenTheWordAfterACutGrows() {
        assertFits("a bbbbbb😀", 8, Bridge::utf8Length);
        // 10,000 characters, as X allows: such a text must not become a body that Twilio refuses.
        assertFits("a bb" + "😀".repeat(9_996), 32 * 1024, Bridge::utf8Length);
    }

    @Test
    void emptyPartsAreNotSent() {
        assertEquals(List.of(), Bridge.split("", 5, CHARACTERS));
        assertEquals(List.of(), Bridge.split(" \n ".repeat(10), 5, CHARACTERS));
        assertEquals(List.of("a", "b"), Bridge.split("a" + " ".repeat(100) + "b", 5, CHARACTERS).stream().map(String::strip).toList());
    }

    @RepeatedTest(value = 20, name = "seed {currentRepetition}")
    void whateverTheTextEveryPartFitsAndNothingIsLost(RepetitionInfo seed) {
        Random random = new Random(seed.getCurrentRepetition());
        List<String> points = List.of("a", "b", "é", "漢", "😀", " ", "\n", "  ");
        for (int i = 0; i < 200; i++) {
            String text = IntStream.range(0, random.nextInt(60)).mapToObj(at -> points.get(random.nextInt(points.size()))).collect(Collectors.joining());
            assertFits(text, 4 + random.nextInt(20), Bridge::utf8Length);
            assertFits(text, 1 + random.nextInt(20), CHARACTERS);
        }
    }

    private static void assertFits(String text, int limit, IntUnaryOperator weight) {
        List<String> parts = Bridge.split(text, limit, weight);
        for (String part : parts) {
            assertTrue(part.codePoints().map(weight).sum() <= limit, () -> "a part of " + part.codePoints().map(weight).sum() + " for a limit of " + limit);
            assertEquals(part, new String(part.getBytes(UTF_8), UTF_8), "half a surrogate pair");
        }
        assertEquals(text.replaceAll("\\s", ""), String.join("", parts).replaceAll("\\s", ""));
        // At the cuts too only white space is missing: the parts are found one after the other, with nothing else between them.
        int end = 0;
        for (String part : parts) {
            int at = text.indexOf(part, end);
            assertTrue(at >= 0 && text.substring(end, at).isBlank(), "lost before \"" + part + "\"");
            end = at + part.length();
        }
        assertTrue(text.substring(end).isBlank());
    }
}
