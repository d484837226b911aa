package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.sandbox.MediaFile;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/** The demo's page in a real browser, with mouse and keyboard: what people show each other has to work, and to be honest. */
@Order(1)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class DemoPageTest {

    private static final System.Logger LOG = System.getLogger(DemoPageTest.class.getName());
    private static final String ARRIVED = "document.querySelectorAll('#steps [data-state=arrived]').length";
    private static final int STEPS = 12;
    private static final String FAILED = "document.querySelectorAll('#steps [data-state=failed]').length";

    private DemoCommand current;
    private DemoCommand classic;
    private Chromium browser;

    @BeforeAll
    void start(@TempDir Path logs) throws Exception {
        Optional<Path> binary = Chromium.binary();
        if (binary.isEmpty()) {
            LOG.log(System.Logger.Level.WARNING, "The demo's page is not tested: there is no chromium or google-chrome on the PATH.");
        }
        assumeTrue(binary.isPresent(), "no chromium or google-chrome on the PATH");
        current = new DemoCommand(logs);
        classic = new DemoCommand(logs, "--classic");
        browser = new Chromium(binary.get());
    }

    @AfterAll
    void stop() throws Exception {
        for (AutoCloseable one : Arrays.asList(browser, current, classic)) {
            if (one != null) {
                one.close();
            }
        }
    }

    @BeforeEach
    void openThePage() {
        browser.looks(1280, 800, false);
        open(current);
    }

    @AfterEach
    void nothingWentWrongInThePage() {
        assertEquals(List.of(), browser.errors());
    }

    private void open(DemoCommand demo) {
        browser.open(demo.url());
        browser.until("state && state.bridge.state === 'running'");
    }

    // The tour.

    @Test
    void theTourLeadsByItselfPausesAndSurvivesAReload(@TempDir Path logs) throws Exception {
        try (DemoCommand fresh = new DemoCommand(logs)) {
            open(fresh);
            assertEquals(0, browser.evaluate(ARRIVED).asInt());
            assertTrue(browser.holds("$('words').offsetHeight > 0 && $('words').textContent.includes('Webhook')"), "what words mean");
            watchTheHeading();
            playTo(4);
            browser.until(PICTURES.formatted("messages") + " === 2 && " + PICTURES.formatted("posted") + " === 2");
            photograph();
            clickOn("#play"); // which says Play on
            browser.until(ARRIVED + " >= 7");
            clickOn("#play"); // which says Pause by now
            browser.until("!state.tour.leading && !state.tour.busy && state.bridge.counts.pending === 0");
            assertTrue(browser.evaluate(ARRIVED).asInt() < STEPS, "paused after the last step");
            String before = everything();
            assertNeverBackwards();
            browser.reload();
            browser.until("state && state.bridge.state === 'running' && calls.size > 0");
            assertEquals(before, everything());
            assertEquals(0, browser.evaluate("document.querySelectorAll('#people .dot').length").asInt(), "it has been read before");
            watchTheHeading();
            clickOn("#play"); // which says Play on
            browser.until(ARRIVED + " === " + STEPS + " && !state.tour.busy && state.bridge.counts.pending === 0");
            assertEquals(0, browser.evaluate(FAILED).asInt());
            assertEquals("Play it again", browser.evaluate("$('play').textContent").asText());
            assertEquals(List.of(23, 23, 0, 0, 3, 4, 2), Stream.of("accepted", "delivered", "waiting", "refused", "duplicates",
                    "caught up", "forged").map(this::count).toList());
            assertNeverBackwards();
            for (String event : List.of("Flex goes down", "Flex is back", "X limits the rate", "kill -9", "started again",
                    "answer lost", "webhooks do not arrive", "webhooks arrive again")) {
                assertTrue(browser.holds("[...document.querySelectorAll('#calls .event')].some(one => one.textContent.includes('"
                        + event + "'))"), event);
            }
            browser.open("about:blank"); // before its server is gone
        }
    }

    /** Notes each time that the heading goes back to an earlier step. */
    private void watchTheHeading() {
        browser.evaluate("""
                window.backwards = [];
                let at = 0;
                new MutationObserver(() => {
                  const step = parseInt($('step-title').textContent) || 0;
                  if (step < at) backwards.push({from: at + ' to ' + step});
                  at = step;
                }).observe($('step-title'), {childList: true, characterData: true, subtree: true});
                true""");
    }

    private void assertNeverBackwards() {
        assertEquals(List.of(), browser.evaluate("backwards").findValuesAsText("from"), "no step is shown again after the next");
    }

    /** What is to be seen of the wire and of both conversations. */
    private String everything() {
        return browser.evaluate("[...document.querySelectorAll('#calls li')].map(one => one.textContent).join('\\n') + "
                + "$('messages').innerText + $('posted').innerText + $('steps').innerText").asText();
    }

    /** For the README: {@code ./run.sh test -Dtest=DemoPageTest -Ddemo.screenshot=src/docs/demo.png}. */
    private void photograph() throws IOException {
        // Written anew, because Chromium takes less time over it and more space.
        BufferedImage picture = ImageIO.read(new ByteArrayInputStream(browser.screenshot()));
        assertTrue(ImageIO.write(picture, "png", new File(System.getProperty("demo.screenshot", "target/demo-page.png"))));
    }

    @Test
    void theTourGoesStepByStepWithACustomerNobodyKnows() {
        act("again");
        browser.until("state.tour.next === 0");
        for (int step = 1; step <= 3; step++) {
            browser.until("!$('next').disabled");
            clickOn("#next");
            browser.until(ARRIVED + " === " + step);
            browser.until("!$('next').disabled");
            assertEquals(step, browser.evaluate("state.tour.next").asInt(), "one click, one step");
        }
        assertTrue(browser.holds("person === state.tour.person && $('messages').textContent.includes('It left this morning')"));
        assertTrue(browser.holds("$('step-title').textContent.startsWith('3. ') && $('hops').textContent.includes(' ms')"));
        clickOn("#steps li:first-child button");
        assertTrue(browser.holds("$('step-title').textContent.startsWith('1. ')"), "what was said can be read again");
        clickOn("#steps li:nth-child(3) button");
        assertTrue(browser.holds("$('step-title').textContent.startsWith('3. ')"));
    }

    // What can go wrong.

    @Test
    void whileFlexIsDownMessagesWaitAndThenArriveInOrder() {
        newCustomer();
        toggle("flex-down", true);
        customerWrites("one");
        customerWrites("two");
        browser.until("Number(" + counter("waiting") + ") >= 2");
        browser.until(onTheWire("'503'"));
        toggle("flex-down", false);
        browser.until(agentHasRead("one", "two"));
        browser.until("Number(" + counter("waiting") + ") === 0");
    }

    @Test
    void whileXLimitsTheRateAnswersWaitAndThenArrive() {
        newCustomer();
        customerWrites("hello");
        accept();
        toggle("x-limited", true);
        agentWrites("patience");
        browser.until(onTheWire("'429'"));
        browser.until("Number(" + counter("waiting") + ") >= 1");
        assertFalse(browser.holds("$('messages').textContent.includes('patience')"));
        toggle("x-limited", false);
        browser.until("$('messages').textContent.includes('patience')");
    }

    @Test
    void whatXDeliversTwiceArrivesOnce() {
        newCustomer();
        int before = count("duplicates");
        toggle("x-twice", true);
        customerWrites("again and again");
        browser.until("Number(" + counter("duplicates") + ") > " + before);
        toggle("x-twice", false);
        browser.until("state.bridge.counts.pending === 0");
        browser.until(agentHasRead("again and again"));
    }

    @Test
    void whatWasDoneWithoutAnAnswerIsNotDoneTwice() {
        newCustomer();
        toggle("lose-answer", true);
        customerWrites("once only");
        browser.until("!state.troubles.includes('lose-answer')");
        browser.until("state.bridge.counts.pending === 0");
        browser.until(agentHasRead("once only"));
        browser.until(onTheWire("'lost'"));
        browser.until(onTheWire("'reads the newest messages'"));
    }

    @Test
    void whatIsWrittenWhileNoWebhookArrivesIsReadWhenTheBridgeStarts() {
        newCustomer();
        customerWrites("hello");
        accept();
        agentWrites("welcome");
        browser.until("$('messages').textContent.includes('welcome') && state.bridge.counts.pending === 0");
        toggle("no-webhooks", true);
        agentWrites("it is on its way");
        browser.until("$('posted').textContent.includes('its webhook did not arrive')");
        assertFalse(browser.holds("$('messages').textContent.includes('it is on its way')"));
        clickOn("#kill");
        browser.until("$('bridge').textContent === 'bridge is dead'");
        customerWrites("is it?");
        clickOn("#kill"); // which says Start it again by now
        browser.until("$('messages').textContent.includes('it is on its way')");
        browser.until(agentHasRead("hello", "is it?"));
        toggle("no-webhooks", false);
        browser.until("state.bridge.status === 'ok'");
    }

    @Test
    void theTourGoesOnWhenSomebodyEndsTheChatInBetween() {
        act("again");
        browser.until("state.tour.next === 0");
        playTo(3);
        act("end', {chat: state.chats.find(one => one.person === state.tour.person).sid}) && act('forge");
        browser.until("!state.chats.find(one => one.person === state.tour.person).open");
        playTo(4);
        act("end', {chat: state.chats.find(one => one.person === state.tour.person && one.open).sid}) && act('forge");
        act("play");
        browser.until("state.tour.next === " + STEPS + " && !state.tour.busy");
        assertEquals(0, browser.evaluate(FAILED).asInt(), browser.evaluate("JSON.stringify(state.tour)").asText());
    }

    @Test
    void theTourLeavesWhoIsWritingWithTheirCustomer() {
        browser.evaluate("['write', 'reply'].forEach(form => attach(form, null, field(form).value = ''))");
        act("again");
        browser.until("state.tour.next === 0");
        if (browser.evaluate("state.people.length").asInt() == 1) act("customer");
        browser.until("state.people.length > 1");
        String other = browser.evaluate("state.people.find(one => one.id !== state.tour.person).id").asText();
        browser.evaluate("$('text').value = 'half a mes'");
        browser.evaluate("choose('" + other + "')");
        playTo(1);
        assertTrue(browser.holds("person === '" + other + "' && $('text').value === 'half a mes'"));
        browser.evaluate("$('text').value = ''");
        playTo(2);
        browser.until("person === state.tour.person");
    }

    private void playTo(int step) {
        while (browser.evaluate("state.tour.next").asInt() < step) {
            browser.until("!$('next').disabled");
            int next = browser.evaluate("state.tour.next").asInt() + 1;
            clickOn("#next");
            browser.until("state.tour.next === " + next);
        }
        browser.until("!$('next').disabled");
    }

    @Test
    void aForgedWebhookIsRefusedAndCounted() {
        int before = count("forged");
        clickOn("[data-do=forge]");
        browser.until("Number(" + counter("forged") + ") === " + (before + 2));
        browser.until("[...document.querySelectorAll('#calls [data-service=forger]')].slice(-2).every(one => "
                + "one.textContent.includes('403'))");
        browser.click("[...document.querySelectorAll('#calls [data-service=forger] button')].pop()");
        browser.until("$('details').open");
        assertTrue(browser.holds("$('proof').textContent.includes('it does not hold') && "
                + "$('proof').textContent.includes('signedByTwilio')"));
    }

    @Test
    void aKilledBridgeDeliversWhatItHadTakenOnceItIsStartedAgain() {
        newCustomer();
        toggle("flex-down", true);
        customerWrites("still there?");
        browser.until("Number(" + counter("waiting") + ") >= 1");
        clickOn("#kill");
        browser.until("$('bridge').textContent === 'bridge is dead' && " + counter("waiting") + " === '–'");
        customerWrites("and now?");
        browser.until(onTheWire("'none'"));
        toggle("flex-down", false);
        clickOn("#kill"); // which says Start it again by now
        browser.until("$('bridge').textContent === 'bridge runs'");
        browser.until(agentHasRead("still there?", "and now?"));
    }

    // The people.

    @Test
    void textFromEitherSideIsNeverHtml() {
        String hostile = "<img src=x onerror=\"window.broken = true\"><script>window.broken = true</script>";
        newCustomer();
        customerWrites(hostile);
        accept();
        agentWrites("No " + hostile + " https://example.com/?a=\"><img>");
        browser.until("$('messages').textContent.includes('No <img src=x')");
        assertTrue(browser.holds("$('posted').innerText.includes(" + quoted(hostile) + ") && $('messages').innerText.includes("
                + quoted(hostile) + ")"));
        assertTrue(browser.holds("$('tasks').textContent.includes('<img src=x')"), "the preview as well");
        browser.click("[...document.querySelectorAll('#calls button')].filter(one => one.textContent.includes('sends a Direct "
                + "Message')).pop()");
        browser.until("$('details').open && $('details-body').textContent.includes('onerror')");
        assertTrue(browser.holds("window.broken === undefined && [...document.querySelectorAll('main img, main script, "
                + "dialog img, dialog script')].every(one => one.closest('.tray'))"));
        assertEquals("https://example.com/?a=", browser.evaluate("[...document.querySelectorAll('#messages a')].pop().href").asText());
    }

    // Files.

    private static final String SEEN = "[...document.querySelectorAll('#%s .message')].filter(one => !one.matches('.note'))"
            + ".map(one => one.querySelector('.bubble')?.textContent || '').join('|')";
    private static final String PICTURES = "[...document.querySelectorAll('#%s .message img')].filter(one => one.complete "
            + "&& one.naturalWidth > 0).length";

    private static final String LAST_CALL = "[...document.querySelectorAll('#calls button')].filter(one => "
            + "one.textContent.includes('%s')).pop()";

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aPictureIsSeenAtEitherEndWhoeverSendsIt(boolean old) {
        open(old ? classic : current);
        newCustomer();
        attach("write", "crushed");
        browser.types("It came like this");
        browser.presses("Enter");
        browser.until(PICTURES.formatted("messages") + " === 1 && " + PICTURES.formatted("posted") + " === 1");
        assertEquals("It came like this|", browser.evaluate(SEEN.formatted("posted")).asText(), "two, the caption first");
        assertTrue(browser.holds("$('posted').lastChild.querySelector('img') && attached.write === null"));
        accept();
        attach("reply", "new");
        browser.types("A new one is packed");
        browser.presses("Enter");
        browser.until(PICTURES.formatted("messages") + " === 2 && " + PICTURES.formatted("posted") + " === 2");
        assertEquals("It came like this|A new one is packed|", browser.evaluate(SEEN.formatted("messages")).asText());
        assertTrue(browser.holds("$('messages').lastChild.querySelector('img').src === "
                + "[...$('posted').querySelectorAll('img')].at(-1).src"), "the very same bytes");
        String wire = browser.evaluate("$('calls').innerText").asText();
        List<String> told = List.of("webhook: a message with a file", "downloads the file", "uploads the file",
                "posts the file", "asks where the file is", "uploads the file, at once", "sends the file as a Direct Message");
        assertEquals(List.of(), told.stream().filter(what -> !wire.contains(what)).toList());
        browser.click(LAST_CALL.formatted("at once"));
        browser.until("$('details').open");
        assertTrue(browser.holds("$('details-body').textContent.includes('image/png, 34,058 bytes') && "
                + "$('proof').textContent.includes('Media.upload') && $('proof').textContent.includes('it holds')"));
        browser.presses("Escape");
        browser.click(LAST_CALL.formatted("downloads"));
        browser.until("$('details').open && $('proof').textContent.includes('Media.download') && "
                + "$('proof').textContent.includes('Twilio has signed the link')");
    }

    @Test
    void aFileOfOnesOwnCanBeAPictureAVideoOrWhatXDoesNotTake(@TempDir Path files) throws Exception {
        Path picture = Files.copy(Path.of("src/test/resources/demo/new-box.png"), files.resolve("mine.png"));
        Path video = files.resolve("clip.mp4");
        Files.write(video, MediaFile.generated("", "video/mp4", 50_000).content().open().readAllBytes());
        Path page = Files.writeString(files.resolve("page.html"), "<script>window.broken = true</script>");
        newCustomer();
        choose("write", picture);
        browser.presses("Enter");
        browser.until(PICTURES.formatted("posted") + " === 1");
        choose("write", page);
        browser.presses("Enter");
        browser.until("$('notice').textContent.includes('page.html is none of them') && attached.write");
        assertTrue(browser.errors().toString().contains("409"), "which a browser tells, too");
        browser.click("document.querySelector('#write .attached button')");
        assertTrue(browser.holds("attached.write === null && document.querySelector('#write .attached').hidden"));
        choose("write", video);
        browser.presses("Enter");
        browser.until("$('posted').querySelectorAll('video').length === 1");
        accept();
        for (Path file : List.of(page, Path.of("src/test/resources/demo/invoice.pdf"))) {
            choose("reply", file);
            browser.presses("Enter");
            browser.until("$('posted').lastChild.matches('.note') && $('posted').lastChild.textContent.includes('X takes pictures') "
                    + "&& [...$('posted').querySelectorAll('.file')].at(-1).textContent.startsWith('" + file.getFileName() + "')");
        }
        URI address = URI.create(current.url() + "media/" + MediaFile.of("", "", Files.readAllBytes(page)).sha256());
        assertEquals(404, Rig.HTTP.send(HttpRequest.newBuilder(address).build(), HttpResponse.BodyHandlers.discarding())
                .statusCode(), "what is no picture has no address");
        choose("reply", Files.write(files.resolve("large.mp4"), new byte[(8 << 20) + 1]));
        browser.until("$('notice').textContent === 'This demo takes files up to 8 MB, and large.mp4 has 8.4 MB.'");
        assertTrue(browser.holds("attached.reply === null && window.broken === undefined"));
    }

    @Test
    void whatIsPastedOrDroppedIsAttached() {
        newCustomer();
        browser.evaluate("window.data = new DataTransfer(); data.items.add(new File(['x'], 'dropped.png')); true");
        browser.evaluate("$('text').dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, cancelable: true}))");
        assertTrue(browser.holds("attached.write.name === 'dropped.png'"));
        browser.evaluate("attach('write', null)");
        assertFalse(browser.holds("$('messages').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, "
                + "cancelable: true}))"), "the picture must not take the page's place");
        assertTrue(browser.holds("attached.write.name === 'dropped.png' && $('notice').hidden"));
        browser.evaluate("data.items.add(new File(['y'], 'second.png')), "
                + "$('messages').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true}))");
        assertTrue(browser.holds("attached.write.name === 'dropped.png' && "
                + "$('notice').textContent.startsWith('One file')"));
    }

    @Test
    void whatIsTypedWhileAFileIsOnItsWayStays() {
        newCustomer();
        attach("write", "crushed");
        browser.types("first");
        browser.evaluate("$('write').requestSubmit(), $('text').value = 'second', true");
        browser.until("attached.write === null");
        assertEquals("second", browser.evaluate("$('text').value").asText());
        browser.until(PICTURES.formatted("posted") + " === 1");
    }

    private void attach(String form, String sample) {
        clickOn("#" + form + " [data-tray]");
        clickOn("#" + form + " [data-sample^=" + sample + "]");
        browser.until("attached." + form + " && document.activeElement === field('" + form + "')");
    }

    private void choose(String form, Path file) {
        browser.chooses("document.querySelector('#" + form + " [type=file]')", file);
        browser.until("attached." + form + " && document.activeElement === field('" + form
                + "') || !$('notice').hidden");
    }

    @Test
    void quickRepliesCanBeTappedAndAreGoneOnceAnswered() {
        open(classic);
        newCustomer();
        customerWrites("hello");
        accept();
        agentWrites("Which one? Options Red - warm, Green - fresh");
        browser.until("document.querySelectorAll('#messages .choices button').length === 2");
        browser.click("[...document.querySelectorAll('#messages .choices button')].pop()");
        browser.until("document.querySelectorAll('#messages .choices button').length === 0");
        browser.until(agentHasRead("hello", "Green"));
        agentWrites("And the size? Options Small, Large");
        browser.until("document.querySelectorAll('#messages .choices button').length === 2");
        customerWrites("neither");
        browser.until("document.querySelectorAll('#messages .choices button').length === 0");
        agentWrites("See your order Link Track it, https://example.com/o/77");
        browser.until("document.querySelector('#messages .choices a')?.textContent === 'Track it'");
        customerWrites("thanks");
        browser.until(agentHasRead("hello", "Green", "neither", "thanks"));
        assertTrue(browser.holds("document.querySelector('#messages .choices a')"), "a button stays");
    }

    @Test
    void anEndedChatIsSeenAsSuchAndOpensAgain() {
        newCustomer();
        customerWrites("hello");
        browser.until("!$('accept').hidden");
        assertTrue(browser.holds("$('reply').hidden"), "who has not accepted cannot reply");
        accept();
        clickOn("#end");
        browser.until("$('chat-state').textContent.startsWith('This chat has ended') && $('reply').hidden && $('accept').hidden");
        assertTrue(browser.holds("document.querySelector('#tasks [aria-pressed=true] .badge').textContent === 'ended'"));
        browser.until("[...document.querySelectorAll('#calls .status')].pop().textContent === '200'");
        customerWrites("one more thing");
        browser.until("$('tasks').firstElementChild.textContent.includes('opened again') && $('chat-title').textContent.endsWith('chat "
                + "2')");
        assertEquals("pending", browser.evaluate("document.querySelector('#tasks [aria-pressed=true] .badge').textContent").asText());
        browser.until(agentHasRead("one more thing"));
    }

    @Test
    void everythingCanBeDoneWithTheKeyboard() {
        newCustomer();
        browser.evaluate("document.body.focus(); document.activeElement.blur()");
        tabTo("#text");
        browser.types("typed");
        browser.presses("Enter");
        browser.until(agentHasRead("typed"));
        tabTo("#calls button");
        browser.presses("ArrowUp");
        assertTrue(browser.holds("document.activeElement === [...document.querySelectorAll('#calls button')].at(-2)"));
        browser.presses("Enter");
        browser.until("$('details').open");
        browser.presses("Escape");
        browser.until("!$('details').open");
        assertTrue(browser.holds("document.activeElement.matches('#calls button')"), "back where it was");
        tabTo("#accept");
        browser.presses("Space");
        browser.until("document.activeElement === $('answer')");
        browser.types("answered");
        browser.presses("Enter");
        browser.until("$('messages').textContent.includes('answered')");
    }

    private void tabTo(String element) {
        for (int presses = 0; !browser.holds("document.activeElement.matches('" + element + "')"); presses++) {
            assertTrue(presses < 60, "the Tab key does not lead to " + element);
            browser.presses("Tab");
        }
    }

    // An exchange in full.

    @Test
    void anExchangeShowsItsSignatureAndTheLinesThatMadeItAndNoSecret() {
        newCustomer();
        customerWrites("hello");
        accept();
        agentWrites("welcome");
        browser.until("$('messages').textContent.includes('welcome')");
        browser.click("[...document.querySelectorAll('#calls button')].filter(one => one.textContent.includes('sends a Direct "
                + "Message')).pop()");
        browser.until("$('details').open");
        assertTrue(browser.holds("$('signed').textContent.startsWith('POST&http%3A%2F%2F127.0.0.1%3A')"), "the base string of OAuth 1.0a");
        assertTrue(browser.holds("$('proof').textContent.includes('it holds') && $('proof').textContent.includes('token secret ••••')"));
        assertTrue(browser.holds("$('proof').textContent.includes('Outcome deliver(') && /lines "
                + "\\d+–\\d+/.test($('proof').textContent)"));
        browser.presses("Escape");
        SimulatedX.Keys keys = SimulatedX.sampleKeys();
        SimulatedFlex.Account account = SimulatedFlex.Account.sample();
        JsonNode all = browser.evaluate("Promise.all([...calls.entries()].filter(([, line]) => !line.matches('.event')).map(async ([n]) => "
                + "(await fetch('/exchange/' + n)).text()))");
        assertTrue(all.size() >= 8, all.size() + " exchanges");
        for (JsonNode text : all) {
            JsonNode exchange = Bridge.jsonOrMissing(text.asText());
            for (String secret : List.of(keys.consumerSecret(), keys.accessSecret(), account.authToken(), account.apiSecret(),
                    Bridge.Signatures.basic(account.accountSid(), account.authToken()).substring("Basic ".length()))) {
                assertFalse(text.asText().contains(secret), () -> "a secret in " + exchange.path("target"));
            }
            assertFalse(exchange.at("/check/signed").asText().isEmpty(), text.asText());
            assertEquals(!exchange.path("from").asText().equals("forger"), exchange.at("/check/holds").asBoolean(), text.asText());
            assertFalse(exchange.path("source").isEmpty(), text.asText());
        }
    }

    /** The watch looks at X's webhook a minute after the start, and shows X the app's key for a token. */
    @Test
    void whatTheWatchAsksIsCalledWhatItIsAndItsTokenIsNotShown() {
        String watch = "[...document.querySelectorAll('#calls button')].filter(one => one.textContent.includes('/oauth2/token')).pop()";
        browser.until(watch + " !== undefined");
        assertTrue(browser.holds(watch + ".textContent.includes('asks for a token of the app')"));
        // New lines come in beside it, so that it may move under the mouse.
        browser.evaluate(watch + ".click()");
        browser.until("$('details').open");
        browser.until("$('details-body').textContent.includes('access_token') && /access_token\"?:\\s*\"•+\"/.test("
                + "$('details-body').textContent)");
        assertTrue(browser.holds("$('proof').textContent.includes('Operator.Watch') && $('proof').textContent.includes('it holds')"));
        browser.presses("Escape");
        JsonNode bearers = browser.evaluate("Promise.all([...calls.entries()].filter(([, line]) => line.textContent.includes("
                + "'/2/webhooks')).map(async ([n]) => (await fetch('/exchange/' + n)).text()))");
        bearers.forEach(text -> assertTrue(text.asText().contains("\"Bearer ••••••••\""), text.asText()));
    }

    @Test
    void listsStayAtTheirNewestUntilSomebodyScrollsBack() {
        newCustomer();
        customerWrites("hello");
        accept();
        for (int i = 0; i < 12; i++) agentWrites("line " + i + ": long enough to be broken, so that there is something to scroll");
        browser.until("$('messages').textContent.includes('line 11')");
        browser.looks(390, 844, false);
        for (String tab : List.of("wire", "desk", "phone")) {
            browser.evaluate("tab('" + tab + "')");
            String list = tab.equals("wire") ? "$('calls')" : tab.equals("desk") ? "$('posted')" : "$('messages')";
            browser.until(list + ".scrollTop > 0 && " + list + ".scrollHeight - " + list + ".scrollTop - " + list + ".clientHeight < 2");
        }
        // Like somebody who goes on scrolling while the page is still being laid out.
        browser.until("($('messages').scrollTop = 0, !$('messages').newest.hidden)");
        act("write', {customer: person, text: 'the newest'}) && act('forge");
        browser.until("$('messages').textContent.includes('the newest')");
        assertEquals(0, browser.evaluate("$('messages').scrollTop").asInt(), "who reads what was is left alone");
        browser.click("$('messages').newest");
        browser.until("$('messages').newest.hidden && $('messages').scrollTop > 0");
    }

    @Test
    void onALaptopTheAgentsChatCanBeRead() {
        for (int i = 0; i < 3; i++) {
            newCustomer();
            customerWrites("hello");
        }
        accept();
        browser.looks(1366, 625, false);
        assertTrue(browser.evaluate("$('posted').clientHeight").asInt() >= 110, browser.evaluate("$('posted').clientHeight").asText());
        browser.looks(1280, 600, false);
        assertTrue(browser.evaluate("$('posted').clientHeight").asInt() >= 90, browser.evaluate("$('posted').clientHeight").asText());
    }

    // The looks.

    @ParameterizedTest
    @CsvSource({"1280, 800, false", "1280, 800, true", "1024, 768, false", "768, 1024, true", "390, 844, false", "390, 844, true"})
    void itFitsTheScreen(int width, int height, boolean dark) {
        newCustomer();
        customerWrites("a word that is longer than any line: " + "long".repeat(40));
        browser.until("!$('chat').hidden && $('posted').textContent.includes('longlong')");
        accept();
        browser.looks(width, height, dark);
        for (String tab : List.of("phone", "wire", "desk")) {
            browser.evaluate("tab('" + tab + "')");
            assertEquals(width, browser.evaluate("Math.max(document.documentElement.scrollWidth, innerWidth)").asInt(), tab);
            assertTrue(browser.holds("[...document.querySelectorAll('.panel, .messages, #tour')].every(one => one.scrollWidth <= "
                    + "one.clientWidth)"), tab);
        }
        assertTrue(width < 961 || browser.holds("document.documentElement.scrollHeight <= innerHeight"), "the page itself does not scroll");
        browser.evaluate("tab('phone')");
        assertTrue(browser.holds("$('text').getBoundingClientRect().bottom <= innerHeight"), "one can write without scrolling");
        String ground = browser.evaluate("getComputedStyle(document.body).backgroundColor").asText();
        assertEquals(dark ? "rgb(13, 18, 24)" : "rgb(238, 241, 245)", ground);
    }

    // What a person does.

    private void clickOn(String element) {
        browser.click("document.querySelector('" + element + "')");
    }

    private void act(String action) {
        assertTrue(browser.evaluate("act('" + action + "')").asBoolean(), action);
    }

    private void newCustomer() {
        int before = browser.evaluate("state.people.length").asInt();
        clickOn("#people .add");
        browser.until("state.people.length > " + before + " && person === state.people.at(-1).id && $('messages').children.length === 0");
    }

    private void customerWrites(String text) {
        clickOn("#text");
        browser.types(text);
        browser.presses("Enter");
        browser.until("$('text').value === '' && [...document.querySelectorAll('#messages .mine .bubble')].at(-1)?.textContent === "
                + quoted(text));
    }

    private void accept() {
        browser.until("!$('chat').hidden && state.chats.some(one => one.sid === chat && one.person === person) && !$('accept').hidden");
        clickOn("#accept");
        browser.until("!$('reply').hidden && document.activeElement === $('answer')");
    }

    private void agentWrites(String text) {
        clickOn("#answer");
        browser.types(text);
        browser.presses("Enter");
        browser.until("$('answer').value === '' && [...document.querySelectorAll('#posted .mine .bubble')].at(-1)?.textContent === "
                + quoted(text));
    }

    private void toggle(String trouble, boolean on) {
        clickOn("[data-trouble=" + trouble + "]");
        browser.until("document.querySelector('[data-trouble=" + trouble + "]').getAttribute('aria-pressed') === '" + on + "'");
    }

    // What is to be seen.

    private static String counter(String label) {
        return "[...document.querySelectorAll('#counters div')].find(one => one.firstChild.textContent === '" + label
                + "').lastChild.textContent";
    }

    private int count(String label) {
        return browser.evaluate("Number(" + counter(label) + ")").asInt();
    }

    private static String onTheWire(String text) {
        return "$('calls').textContent.includes(" + text + ")";
    }

    /** That these, and no others, are the customer's words in the chat that is open. */
    private static String agentHasRead(String... texts) {
        return "JSON.stringify([...document.querySelectorAll('#posted .message:not(.mine):not(.note) .bubble')].map(one => "
                + "one.textContent)) === "
                + quoted("[\"" + String.join("\",\"", texts) + "\"]");
    }

    private static String quoted(String text) {
        return com.fasterxml.jackson.databind.node.TextNode.valueOf(text).toString();
    }
}
