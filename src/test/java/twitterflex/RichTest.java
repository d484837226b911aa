package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.Bridge.Rich;
import twitterflex.Bridge.Rich.Button;
import twitterflex.Bridge.Rich.Option;

/** Rich messages, as an agent types them: the rules of CONTRACT.md, one by one. */
class RichTest {

    // The three examples.

    @Test
    void theOriginalsExampleIsAListWithDescriptions() {
        assertEquals(new Rich("Ok, this weeks 2 boxes are:", List.of(new Option("Missed a delivery 📦", "Reschedule a date and time"),
                new Option("General information 🍓", "Available fruit boxes")), List.of(), ""),
                Rich.read("Ok, this weeks 2 boxes are: Options Missed a delivery 📦 - Reschedule a date and time, General information 🍓 - Available fruit boxes"));
    }

    @Test
    void aBareHyphenPartsLabelAndDescriptionIfEveryItemHasOne() {
        assertEquals(new Rich("Pick one", List.of(new Option("Red", "warm"), new Option("Green", "fresh"), new Option("Blue", "cool")), List.of(), ""),
                Rich.read("Pick one Options Red-warm,Green-fresh,Blue-cool"));
    }

    @Test
    void aLinkIsAButton() {
        assertEquals(new Rich("See your order", List.of(), List.of(new Button("Track my order", "https://example.com/o/77")), ""),
                Rich.read("See your order Link Track my order, https://example.com/o/77"));
    }

    // Where Options opens a list.

    static Stream<Arguments> lists() {
        return Stream.of(
                list("at the start of the message", "Options red, green", "", "red", "green"),
                list("at the start of a line", "Which colour\nOptions red, green", "Which colour", "red", "green"),
                list("after a full stop", "We have two. Options red, green", "We have two.", "red", "green"),
                list("after a colon", "We have: Options red, green", "We have:", "red", "green"),
                list("after a question mark", "Which one? Options red, green", "Which one?", "red", "green"),
                list("after an exclamation mark", "Choose! Options red, green", "Choose!", "red", "green"),
                list("after a mark and a line end", "Which one?\n\nOptions red, green", "Which one?", "red", "green"),
                list("before a colon", "Your Options: red, green", "Your", "red", "green"),
                list("before a colon, a single item", "Your Options: red", "Your", "red"),
                list("at the start, a single item", "Options Red", "", "Red"),
                list("after a mark, a single item", "What now? Options Call me back", "What now?", "Call me back"),
                list("in a sentence, two items in capitals", "Pick one Options Red, Green", "Pick one", "Red", "Green"),
                list("in a sentence, items of no case", "Pick one Options 1 kg, 📦 box, 大", "Pick one", "1 kg", "📦 box", "大"),
                list("one item a line", "Which one?\nOptions\nRed\nGreen", "Which one?", "Red", "Green"),
                list("commas and line ends", "Options: Red, Green\nBlue", "", "Red", "Green", "Blue"),
                list("line ends of Windows", "Which one?\r\nOptions\r\nRed\r\nGreen\r\n", "Which one?", "Red", "Green"),
                list("a comma at the end", "Pick one: Options Red, Green,", "Pick one:", "Red", "Green"),
                list("empty items", "Pick one: Options ,Red,, ,Green ,\n", "Pick one:", "Red", "Green"),
                list("no space after the commas", "Pick one: Options Red,Green", "Pick one:", "Red", "Green"),
                list("after prose with the same word", "Your Options for delivery, thanks: Options Red, Green", "Your Options for delivery, thanks:", "Red", "Green"));
    }

    private static Arguments list(String where, String typed, String text, String... labels) {
        return Arguments.of(where, typed, text.isEmpty() ? String.join(" / ", labels) : text, List.of(labels));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("lists")
    void optionsOpensAList(String where, String typed, String text, List<String> labels) {
        assertEquals(new Rich(text, labels.stream().map(label -> new Option(label, "")).toList(), List.of(), ""), Rich.read(typed));
    }

    @Test
    void aMessageThatIsOnlyAListHasItsLabelsAsText() {
        assertEquals("Red / Green", Rich.read("Options Red - warm, Green - fresh").text());
    }

    // Labels and descriptions.

    static Stream<Arguments> items() {
        return Stream.of(
                Arguments.of("hyphens that are no separators", "Mid-day, Evening", List.of(new Option("Mid-day", ""), new Option("Evening", ""))),
                Arguments.of("a hyphenated label with a description", "Wi-Fi - at home, LTE - on the road", List.of(new Option("Wi-Fi", "at home"), new Option("LTE", "on the road"))),
                Arguments.of("a description with a dash", "Red - warm - hot, Green - fresh", List.of(new Option("Red", "warm - hot"), new Option("Green", "fresh"))),
                Arguments.of("two bare hyphens in an item", "Do-it-yourself, Mid-day", List.of(new Option("Do-it-yourself", ""), new Option("Mid-day", ""))),
                Arguments.of("a bare hyphen in each", "Red-warm, Green-fresh", List.of(new Option("Red", "warm"), new Option("Green", "fresh"))),
                Arguments.of("other dashes", "Red – warm, Green — fresh", List.of(new Option("Red – warm", ""), new Option("Green — fresh", ""))));
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource("items")
    void labelsAndDescriptionsArePartedByADashOrElseByTheOnlyHyphenOfEveryItem(String what, String typed, List<Option> options) {
        assertEquals(options, Rich.read("Pick one: Options " + typed).options());
    }

    // Buttons.

    static Stream<Arguments> buttons() {
        return Stream.of(
                Arguments.of("at the start", "Link Help, https://example.com/ is here", "is here", List.of(new Button("Help", "https://example.com/"))),
                Arguments.of("in the middle", "All is in the Link Help centre, https://example.com/?a=b,c&d#e", "All is in the",
                        List.of(new Button("Help centre", "https://example.com/?a=b,c&d#e"))),
                Arguments.of("http", "See Link Help, http://example.com", "See", List.of(new Button("Help", "http://example.com"))),
                Arguments.of("no space after the comma", "See Link Help,https://example.com", "See", List.of(new Button("Help", "https://example.com"))),
                Arguments.of("up to white space, even a line end", "See Link Help, https://example.com/a\nBye", "See Bye", List.of(new Button("Help", "https://example.com/a"))),
                Arguments.of("the host that is left of a broken one", "See Link Help, http://exa mple", "See mple", List.of(new Button("Help", "http://exa"))),
                Arguments.of("three of them", "See Link A, https://a.example Link B, https://b.example\nLink C, https://c.example", "See",
                        List.of(new Button("A", "https://a.example"), new Button("B", "https://b.example"), new Button("C", "https://c.example"))),
                Arguments.of("after prose with the same word", "The Link is old, sorry. Link Help, https://example.com", "The Link is old, sorry.",
                        List.of(new Button("Help", "https://example.com"))));
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource("buttons")
    void aButtonStandsWhereverItIsTyped(String what, String typed, String text, List<Button> buttons) {
        Rich rich = Rich.read(typed);
        assertEquals(buttons, rich.buttons());
        assertEquals(text, rich.text().replaceAll("\\s+", " "));
        assertEquals("", rich.complaint());
    }

    // Where a button's address ends: at white space, and before the punctuation of the sentence.

    @ParameterizedTest(name = "{0} is {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            https://example.com/o/77.               | https://example.com/o/77
            https://example.com/o/77,               | https://example.com/o/77
            https://example.com/o/77?!              | https://example.com/o/77
            https://example.com/o/77...             | https://example.com/o/77
            https://example.com/o/77…               | https://example.com/o/77
            https://example.com/o/77:;              | https://example.com/o/77
            https://example.com/o/77"               | https://example.com/o/77
            https://example.com/o/77'.              | https://example.com/o/77
            https://example.com/o/77”.              | https://example.com/o/77
            https://example.com/o/77“.              | https://example.com/o/77
            https://example.com/o/77».              | https://example.com/o/77
            https://example.com/o/77).              | https://example.com/o/77
            https://example.com/o/77]               | https://example.com/o/77
            https://example.com/o/77。              | https://example.com/o/77
            https://example.com/o/77）。            | https://example.com/o/77
            https://en.wikipedia.org/wiki/Box_(UK)  | https://en.wikipedia.org/wiki/Box_(UK)
            https://en.wikipedia.org/wiki/Box_(UK). | https://en.wikipedia.org/wiki/Box_(UK)
            https://en.wikipedia.org/wiki/Box_(UK)) | https://en.wikipedia.org/wiki/Box_(UK)
            https://example.com/((a)).).            | https://example.com/((a))
            https://example.com/'a'                 | https://example.com/'a'
            https://example.com/'a''                | https://example.com/'a'
            https://example.com/a.b,c;d:e!f?g'h)i   | https://example.com/a.b,c;d:e!f?g'h)i
            https://example.com/?q=1&r=a+b%20c#d-_~ | https://example.com/?q=1&r=a+b%20c#d-_~
            https://example.com/                    | https://example.com/
            https://example.com.                    | https://example.com
            https://example.com/🍓!                 | https://example.com/🍓
            """)
    void theAddressEndsBeforeThePunctuationOfTheSentence(String typed, String address) {
        assertEquals(List.of(new Button("Track it", address)), Rich.read("See your order Link Track it, " + typed).buttons());
        assertEquals(List.of(new Button("Track it", address)), Rich.read("Link Track it, " + typed + " Bye").buttons());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            See your order Link Track it, https://example.com/o/77.                   | See your order.
            See your order Link Track it, https://example.com/o/77                    | See your order
            Shall I send it Link Form, https://example.com/f?! Bye                    | Shall I send it?! Bye
            It has come (see Link Order, https://example.com/o/77). Bye               | It has come (see). Bye
            See Link A, https://a.example, Link B, https://b.example.                 | See.
            Here you are: Link A, https://a.example.                                  | Here you are:
            Link Track it, https://example.com/o/77.                                  | Track it
            Link Track it, https://example.com/o/77. Bye                              | Bye
            Your box 📦 Link Track it, https://example.com/o/77!                      | Your box 📦!
            Pick one: Options Red, Green Link Help, https://example.com.              | Pick one:
            Options Red, Green Link Help, https://example.com.                        | Red / Green / Help
            See the list Link Help, https://example.com. Options Red, Green           | See the list.
            Track it here (Link Order, https://example.com/o/77). Bye                 | Track it here. Bye
            Track it "Link Order, https://example.com/o/77", please                   | Track it please
            [Link Order, https://example.com/o/77]                                    | Order
            """)
    void thePunctuationAfterAButtonEndsTheSentenceBeforeItIfThereIsOne(String typed, String text) {
        Rich rich = Rich.read(typed);
        assertEquals(text, rich.text().replaceAll("\\s+", " "));
        assertEquals("", rich.complaint());
        assertTrue(rich.options().isEmpty() || rich.options().get(1).label().equals("Green"), rich.toString());
    }

    @Test
    void aMessageThatIsOnlyAButtonStillHasAText() {
        Rich rich = Rich.read("Link Help, https://example.com");
        assertEquals(List.of(new Button("Help", "https://example.com")), rich.buttons());
        assertFalse(rich.text().isBlank());
    }

    @Test
    void aListAndButtonsMayShareAMessage() {
        List<Option> options = List.of(new Option("Red", "warm"), new Option("Green", "fresh"));
        List<Button> buttons = List.of(new Button("Help", "https://example.com"));
        for (String typed : List.of("Pick one: Options Red - warm, Green - fresh Link Help, https://example.com",
                "Pick one: Link Help, https://example.com Options Red - warm, Green - fresh",
                "Pick one:\nLink Help, https://example.com\nOptions\nRed - warm\nGreen - fresh")) {
            assertEquals(new Rich("Pick one:", options, buttons, ""), Rich.read(typed), typed);
        }
    }

    @Test
    void aButtonInTheMiddleOfAListLosesNothing() {
        Rich rich = Rich.read("Pick one: Options Red, Green Link Help, https://example.com Blue");
        assertEquals(List.of(new Button("Help", "https://example.com")), rich.buttons());
        assertTrue(shown(rich).containsAll(List.of("Pick", "one:", "Red", "Green", "Blue")), rich.toString());
    }

    // Prose.

    @ParameterizedTest
    @ValueSource(strings = {
        "your Options for delivery, thanks", "We have many Options", "Options", "Options:", "Options ,", "  Options\n", "Please see Options.", "Your Options? Hm.",
        "Check the Options menu", "Our Options Red", "We have Options Red, or blue", "We offer Options, Prices and Terms", "These Options, Those Options",
        "Which options do you like: red, green", "OPTIONS: Red, Green", "Option Red, Green", "Optional: Red, Green", "StockOptions: Red, Green", "Options1 Red, Green",
        "Options_Red, Green", "Options-Red, Green", "Options.Red, Green", "I have looked at the Options\nand will call back, soon",
        "Link", "Link ", "Link,", "Link me", "The Link is broken", "Link your account, then sign in", "Link Track my order", "Link Track my order https://example.com/o/77",
        "Link , https://example.com", "Use this Link, https://example.com", "Use this Link: https://example.com", "link Help, https://example.com", "LINK Help, https://example.com",
        "See my LinkedIn profile, https://linkedin.com/in/me", "Links Help, https://example.com", "Hyperlink Help, https://example.com", "HotLink Help, https://example.com",
        "Link Help, example", "Link Help, soon: https://example.com", "See https://example.com/Options", "",  " ", "\n\n", "  indented,\n\n\n\nspaced  out \t",
        "Nothing to see, move on - really", "https://example.com, and more"})
    void proseIsNeverChanged(String typed) {
        assertEquals(new Rich(typed, List.of(), List.of(), ""), Rich.read(typed));
        assertEquals(typed, Rich.read(typed).plain());
    }

    /** The other reading of the contract's first rule, "at the start of a line", would make this a list of one. */
    @Test
    void aSentenceThatBeginsWithTheWordIsProse() {
        assertEquals(new Rich("Options are limited today.", List.of(), List.of(), ""), Rich.read("Options are limited today."));
    }

    // The limits of X: what breaks one goes out as typed, and the agent is told why.

    @ParameterizedTest(name = "{0}")
    @MethodSource("allowed")
    void whatIsWithinTheLimitsIsShown(String what, String typed) {
        Rich rich = Rich.read(typed);
        assertEquals("", rich.complaint());
        assertTrue(rich.options().size() + rich.buttons().size() > 0);
    }

    static Stream<Arguments> allowed() {
        return Stream.of(
                Arguments.of("20 options", "Pick: Options " + numbered("Item", 20)),
                Arguments.of("a label of 36", "Pick: Options " + "L".repeat(36) + ", Other"),
                Arguments.of("a label of 36 emoji", "Pick: Options " + "📦".repeat(36) + ", Other"),
                Arguments.of("a description of 72", "Pick: Options Red - " + "d".repeat(72) + ", Green - fresh"),
                Arguments.of("a description of 72 emoji", "Pick: Options Red - " + "📦".repeat(72) + ", Green - fresh"),
                Arguments.of("a button's label of 36 emoji", "See Link " + "📦".repeat(36) + ", https://example.com"),
                Arguments.of("3 buttons", "See Link A, https://a.example Link B, https://b.example Link C, https://c.example"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("refused")
    void whatBreaksALimitGoesOutAsTypedAndTheAgentIsToldWhy(String what, String typed, String why) {
        Rich rich = Rich.read(typed);
        assertEquals(new Rich(typed, List.of(), List.of(), rich.complaint()), rich);
        assertTrue(rich.complaint().contains(why), rich.complaint());
        assertEquals(typed, rich.plain());
    }

    static Stream<Arguments> refused() {
        return Stream.of(
                Arguments.of("21 options", "Pick: Options " + numbered("Item", 21), "20"),
                Arguments.of("a label of 37", "Pick: Options " + "L".repeat(37) + ", Other", "36"),
                Arguments.of("a label of 37 emoji", "Pick: Options " + "📦".repeat(37) + ", Other", "36"),
                Arguments.of("a description of 73", "Pick: Options Red - " + "d".repeat(73) + ", Green - fresh", "72"),
                Arguments.of("a description for some only", "Pick: Options Red - warm, Green", "description"),
                Arguments.of("a label nobody sees", "Pick: Options \u00a0, \u200b, Green", "empty"),
                Arguments.of("a label with a link", "Pick: Options See https://example.com, Other", "link"),
                Arguments.of("4 buttons", "See Link A, https://a.example Link B, https://b.example Link C, https://c.example Link D, https://d.example", "3"),
                Arguments.of("a button's label of 37", "See Link " + "L".repeat(37) + ", https://example.com", "36"),
                Arguments.of("a button's label nobody sees", "See Link \u200b, https://example.com", "empty"),
                Arguments.of("a button's label of 250", "See Link " + "L".repeat(250) + ", https://example.com", "36"),
                Arguments.of("a URL that is only a scheme", "See Link Help, https://", "https://"),
                Arguments.of("a URL of another scheme", "See Link Help, ftp://x/y", "ftp://x/y"),
                Arguments.of("a URL with a mistyped scheme", "See Link Help, htp:/bad", "htp:/bad"),
                Arguments.of("a URL without a scheme", "See Link Help, www.example.com", "www.example.com"),
                Arguments.of("a good list and a bad button", "Pick: Options Red, Green Link Help, https://", "https://"),
                Arguments.of("a bad list and a good button", "Pick: Options " + numbered("Item", 21) + " Link Help, https://example.com", "20"));
    }

    @Test
    void theSameReasonIsToldOnce() {
        assertEquals("Sent as plain text, because an option's label is empty or has a link in it.", Rich.read("Options -a, -b, -c").complaint());
    }

    private static String numbered(String word, int count) {
        return IntStream.rangeClosed(1, count).mapToObj(number -> word + " " + number).collect(Collectors.joining(", "));
    }

    // Where X shows only text.

    @Test
    void aListIsNumberedAndAButtonIsAPlainLinkWhereXShowsOnlyText() {
        List<String> lines = Rich.read("Pick one: Options Red - warm, Green - fresh Link Help, https://example.com").plain().lines().toList();
        assertEquals("Pick one:", lines.get(0));
        assertTrue(lines.indexOf("1. Red - warm") > 0, lines.toString());
        assertEquals(lines.indexOf("1. Red - warm") + 1, lines.indexOf("2. Green - fresh"));
        assertTrue(lines.stream().anyMatch(line -> line.contains("Help") && line.endsWith("https://example.com")), lines.toString());
        assertTrue(Rich.read("Options Red, Green").plain().lines().toList().containsAll(List.of("1. Red", "2. Green")));
        assertTrue(Rich.read("Link Help, https://example.com").plain().contains("https://example.com"));
    }

    // Whatever is typed.

    @RepeatedTest(value = 20, name = "seed {currentRepetition}")
    void nothingTypedIsEverLost(RepetitionInfo seed) {
        Random random = new Random(seed.getCurrentRepetition());
        List<String> pieces = List.of("Options", "Options:", "Link", "Link", ",", ",", ".", "?", "-", " - ", "\n", "\n\n", "\r\n", "\t", "📦", "\u3000", "\u00a0");
        for (int i = 0; i < 500; i++) {
            List<String> typed = new ArrayList<>();
            List<String> words = new ArrayList<>();
            for (int word = 0; word < 14; word++) {
                String piece = pieces.get(random.nextInt(pieces.size()));
                if (random.nextInt(2) == 0) {
                    String url = "https://w" + word + "x.example/" + List.of("", ".", ",", ")", "?!", "\u00a0", "(a)").get(random.nextInt(7));
                    piece = List.of("W" + word + "x", "w" + word + "x", url, "Link l" + word + ", " + url).get(random.nextInt(4));
                    words.add("w" + word + "x");
                }
                typed.add(piece + (random.nextInt(4) == 0 ? "" : " "));
            }
            String text = String.join("", typed);
            Rich rich = Rich.read(text);
            if (rich.options().isEmpty() && rich.buttons().isEmpty()) {
                assertEquals(text, rich.text());
            }
            String shown = String.join(" ", shown(rich)).toLowerCase(Locale.ROOT);
            assertEquals(List.of(), words.stream().filter(word -> !shown.contains(word)).toList(), () -> "lost from " + text.replace("\n", "\\n") + ": " + rich);
            assertFalse(rich.text().isBlank() && !text.isBlank(), text);
        }
    }

    @ParameterizedTest(name = "U+{0}")
    @ValueSource(strings = {"3000", "2003", "000C", "000B", "000D", "2028", "00A0", "0020", "0009"})
    void anyWhiteSpaceMayStandBeforeOptions(String point) {
        String space = Character.toString(Integer.parseInt(point, 16));
        assertEquals(List.of("Red", "Green"), Rich.read(space + "Options Red, Green").options().stream().map(Option::label).toList());
    }

    @ParameterizedTest(name = "U+{0}")
    @ValueSource(strings = {"3000", "2003", "000C", "000B", "000D", "2028", "00A0", "0020", "0009"})
    void anyWhiteSpaceMayStandAfterAnAddress(String point) {
        String space = Character.toString(Integer.parseInt(point, 16));
        assertTrue(List.of("See\n\nthere", "See\n\n" + space + "there").contains(Rich.read("See Link Help, https://example.com" + space + "there").text()));
        assertEquals("See!" + (space.equals("\r") ? "\n" : space) + "there", Rich.read("See Link Help, https://example.com!" + space + "there").text());
    }

    @ParameterizedTest(name = "U+{0}")
    @ValueSource(strings = {"200B", "FEFF", "200F", "00A0", "0000"})
    void aTextThatNobodySeesIsNone(String point) {
        String invisible = Character.toString(Integer.parseInt(point, 16));
        assertEquals("Red / Green", Rich.read(invisible + "Options Red, Green").text());
        assertEquals("Help", Rich.read("Link Help, https://example.com " + invisible).text());
    }

    /** Every word a customer sees. */
    private static List<String> shown(Rich rich) {
        return Stream.of(Stream.of(rich.text()), rich.options().stream().flatMap(option -> Stream.of(option.label(), option.description())),
                rich.buttons().stream().flatMap(button -> Stream.of(button.label(), button.url())))
                .flatMap(texts -> texts).flatMap(text -> Stream.of(text.split("\\s+"))).toList();
    }

    // Hostile texts: 32 KB and more of whatever is slow to match must take neither a second nor the stack.

    static Stream<Arguments> hostile() {
        int size = 40_000;
        return Stream.of(
                Arguments.of("Link Link Link …", "Link ".repeat(size / 5)),
                Arguments.of("Options Options …", "Options ".repeat(size / 8)),
                Arguments.of("See Options See Options …", "See Options ".repeat(size / 12)),
                Arguments.of("see Options a, see Options a, …", "see Options a, ".repeat(size / 15)),
                Arguments.of("Options: Options: …", "Options: ".repeat(size / 9)),
                Arguments.of("Options,Options,…", "Options,".repeat(size / 8)),
                Arguments.of("Options and 20,000 items", "Options: " + "A,".repeat(size / 2)),
                Arguments.of("Options and 20,000 lines", "Options:" + "\nA".repeat(size / 2)),
                Arguments.of("Options and hyphens", "Options: " + "-".repeat(size)),
                Arguments.of("Options and dashes", "Options: " + "A - ".repeat(size / 4)),
                Arguments.of("Options and white space", "Options " + " ".repeat(size) + "A, B"),
                Arguments.of("white space and Options", "See" + " ".repeat(size) + "it Options Red, Green"),
                Arguments.of("Link and 32 KB without a comma", "Link " + "a".repeat(size)),
                Arguments.of("Link and words without a comma", "Link " + "a ".repeat(size / 2)),
                Arguments.of("Link and white space", "Link" + " ".repeat(size)),
                Arguments.of("Link and white space, many times", ("Link" + " ".repeat(396)).repeat(size / 400)),
                Arguments.of("Link a, Link a, …", "Link a, ".repeat(size / 8)),
                Arguments.of("Link a, and a long scheme", "Link a, " + "a".repeat(size)),
                Arguments.of("Link a, and a long address", "Link a, https://" + "a".repeat(size)),
                Arguments.of("1,500 buttons", "Link a, https://b.example/ ".repeat(size / 27)),
                Arguments.of("an address of brackets", "Link a, https://b.example/" + "(".repeat(size / 2) + ")".repeat(size)),
                Arguments.of("an address of quotes", "Link a, https://b.example/" + "a".repeat(size / 2) + "'".repeat(size / 2)),
                Arguments.of("an address of full stops", "Link a, https://b.example/" + ".".repeat(size)),
                Arguments.of("1,300 buttons and full stops", "Link a, https://b.example/. ".repeat(size / 28)),
                Arguments.of("a button and white space", "Link a, https://b.example/ " + " ".repeat(size) + "c"),
                Arguments.of("a button and words far apart", "Link a, https://b.example/ " + ("c" + " ".repeat(19_999)).repeat(2) + "c"),
                Arguments.of("a button and line ends", "Link a, https://b.example/ c" + "\n".repeat(size) + "d"),
                Arguments.of("a list, line ends", "Options: a, b" + "\n \t".repeat(size / 3) + "d"),
                Arguments.of("half surrogate pairs", "Options: " + "\ud83d,".repeat(size / 2)));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("hostile")
    void aHostileTextIsReadInNoTime(String what, String typed) {
        long best = Long.MAX_VALUE;
        for (int attempt = 0; attempt < 3 && best >= 1_000; attempt++) {
            // Of the processor, so that a busy machine does not matter.
            long start = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
            Rich.read(typed).plain();
            best = Math.min(best, (ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - start) / 1_000_000);
        }
        assertTrue(best < 1_000, "took " + best + " ms");
    }
}
