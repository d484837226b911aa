package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import twitterflex.Bridge.X;

/** How a message that an agent wrote is recognised in X's lists, where it does not stand as it was sent. */
class KeptByXTest {

    static Stream<Arguments> changes() {
        return Stream.of(
                Arguments.of("composed", "Cafe\u0301", "Café"),
                Arguments.of("composed in another order", "e\u0302\u0323", "ệ"),
                Arguments.of("composed in Korean", "\u1112\u1161\u11ab", "한"),
                Arguments.of("line ends", "a\r\nb\rc", "a\nb\nc"),
                Arguments.of("white space around", " \ta\n ", "a"),
                Arguments.of("white space within", "a  \t b\u00a0c\u2028d", "a b c d"),
                Arguments.of("fewer empty lines", "a\n\n\n\nb", "a\n\nb"),
                Arguments.of("what nobody sees", "\ufeffa\u200bb\u0000c \u200f d", "abc d"),
                Arguments.of("a link without a scheme", "see www.example.com now", "see http://www.example.com/ now"),
                Arguments.of("a link at the end of a sentence", "see www.example.com.", "see http://www.example.com/."),
                Arguments.of("a link in brackets", "(www.example.com)", "(http://www.example.com/)"),
                Arguments.of("a link with a query", "www.example.com?a=b/", "http://www.example.com/?a=b/"),
                Arguments.of("a scheme in capitals", "HTTPS://example.com/A", "https://example.com/A"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("changes")
    void whatXChangesIsLookedPast(String what, String sent, String listed) {
        assertEquals(X.bare(sent), X.bare(listed));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            ok                    | OK
            1/2                   | 12
            resume                | résumé
            https://example.com/a | https://example.com/b
            a b                   | ab
            ² boxes               | 2 boxes
            """)
    void whatXKeepsIsNot(String sent, String other) {
        assertNotEquals(X.bare(sent), X.bare(other));
    }
}
