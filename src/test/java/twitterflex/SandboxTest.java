package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import twitterflex.sandbox.Bystander;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Signatures;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedFlex.Account;
import twitterflex.sandbox.SimulatedX;
import twitterflex.sandbox.SimulatedX.Keys;

/** The judge is judged: the simulated services refuse what the real ones refuse, and sign what they send as the real ones do. */
class SandboxTest {

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String SEND_1 = "/1.1/direct_messages/events/new.json";
    private static final String SEND_2 = "/2/dm_conversations/with/3001969357/messages";
    private static final Map<String, String> CALL = new TreeMap<>(Map.of("CallSid", "CA1234567890ABCDE", "Caller", "+14158675309",
            "Digits", "1234", "From", "+14158675309", "To", "+18005551212"));

    private record Answer(int status, JsonNode json) { }

    private final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final Keys keys = SimulatedX.sampleKeys();
    private final Account account = Account.sample();
    private final SimulatedX x = new SimulatedX(0, keys);
    private final SimulatedFlex flex = new SimulatedFlex(0, account);
    private final Customer customer = x.customer("3001969357", "customer_one", "A Customer");
    private final List<String> hooks = Collections.synchronizedList(new ArrayList<>());
    private final List<String> signatures = Collections.synchronizedList(new ArrayList<>());
    private volatile int hookStatus = 200;
    private HttpServer bridge;

    @BeforeEach
    void aStandInForTheBridgeListens() throws IOException {
        bridge = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        bridge.createContext("/", this::hook);
        bridge.start();
        x.webhook(bridgeUrl() + "/fromTwitter");
    }

    @AfterEach
    void allIsClosed() {
        bridge.stop(0);
        x.close();
        flex.close();
    }

    private void hook(HttpExchange http) throws IOException {
        try (http) {
            hooks.add(new String(http.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
            String twilio = http.getRequestHeaders().getFirst("X-Twilio-Signature");
            signatures.add(twilio != null ? twilio : http.getRequestHeaders().getFirst("x-twitter-webhooks-signature"));
            http.sendResponseHeaders(hookStatus, -1);
        }
    }

    private String bridgeUrl() {
        return "http://127.0.0.1:" + bridge.getAddress().getPort();
    }

    // Signatures, against published vectors.

    @Test
    void oauthSignaturesAreThoseOfXsDocumentation() {
        Map<String, String> parameters = Map.of("include_entities", "true", "status", "Hello Ladies + Gentlemen, a signed OAuth request!",
                "oauth_consumer_key", "xvz1evFS4wEEPTGEFPHBog", "oauth_nonce", "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
                "oauth_signature_method", "HMAC-SHA1", "oauth_timestamp", "1318622958",
                "oauth_token", "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", "oauth_version", "1.0");
        assertEquals("hCtSmYh+iHYCEqBWrE7C7hYmtUk=", Signatures.oauth("POST", "https://api.twitter.com/1.1/statuses/update.json",
                parameters.entrySet(), "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"));
        assertEquals("Ls93hJiZbQ3akF3HF3x1Bz8/zU4=", Signatures.oauth("POST", "https://api.x.com/1.1/statuses/update.json",
                parameters.entrySet(), "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"));
        assertEquals("Dogs%2C%20Cats%20%26%20Mice", Signatures.percentEncoded("Dogs, Cats & Mice"));
    }

    @Test
    void webhookSignaturesOfXAreThoseOfAutohookAndXurl() {
        assertEquals("sha256=YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI=",
                xSignature("{\"test_number\":1,\"test_string\":\"two\"}", "test"));
        assertEquals("sha256=25Cu3iwbbiqBTwQRzcKJZwisjf736V2Q8UaTlkfLSoc=", xSignature("test=1&other_test=2", "test"));
        assertEquals("sha256=xT/YyTRZde5T1HbCK7K2bpcELYOIMkZVbgYjsESw+AM=", xSignature("challenge_string", "SECRET-VALUE"));
        assertEquals("sha256=tH+NuNWvcjZYD3CEeAwGseeEE2HLq1uuuRz5zTnzFvA=", xSignature("{\"text\":\"Zażółć 😀 &amp; &lt;\"}", "test"));
    }

    @Test
    void webhookSignaturesOfTwilioAreThoseOfItsLibraries() {
        assertEquals("RSOYDt4T1cUTdK1PDd93/VVr8B8=",
                Signatures.twilioWebhook("https://mycompany.com/myapp.php?foo=1&bar=2", CALL.entrySet(), "12345"));
        assertEquals("kvajT1Ptam85bY51eRf/AJRuM3w=",
                Signatures.twilioWebhook("https://mycompany.com:443/myapp.php?foo=1&bar=2", CALL.entrySet(), "12345"));
        assertEquals("IK+Dwps556ElfBT0I3Rgjkr1wJU=", Signatures.twilioWebhook("https://mycompany.com/myapp.php?foo=1&bar=2",
                List.of(Map.entry("Sid", "CA123"), Map.entry("SidAccount", "AC123"), Map.entry("Digits", "5678"),
                        Map.entry("Digits", "1234"), Map.entry("Digits", "1234")), "12345"));
    }

    private static String xSignature(String body, String secret) {
        return Signatures.xWebhook(body.getBytes(StandardCharsets.UTF_8), secret);
    }

    // X.

    @Test
    void aSignedDirectMessageArrivesOverBothApis() {
        assertEquals(200, askX("POST", SEND_1, message("\"text\":\"Hi & <bye> https://example.com/a\""), keys, 0).status());
        Answer second = askX("POST", SEND_2, "{\"text\":\"Hi again\"}", keys, 0);
        assertEquals(201, second.status());
        assertEquals("3001969357-4337869213", second.json().path("data").path("dm_conversation_id").asText());
        assertEquals(List.of("Hi & <bye> https://example.com/a", "Hi again"),
                customer.inbox().stream().map(Customer.Received::text).toList());
        JsonNode seen = askX("GET", "/2/dm_conversations/with/3001969357/dm_events?dm_event.fields=created_at", "", keys, 0).json();
        assertEquals("Hi again", seen.path("data").path(0).path("text").asText());
        assertTrue(seen.path("data").path(1).path("text").asText().startsWith("Hi &amp; &lt;bye&gt; https://t.co/"));
        assertEquals(2, askX("GET", "/1.1/direct_messages/events/list.json?count=20", "", keys, 0).json().path("events").size());
        assertEquals(List.of(), x.violations());
    }

    @Test
    void aWrongSignatureClockOrNonceIsRefused() {
        Keys wrong = new Keys(keys.consumerKey(), "wrong", keys.accessToken(), keys.accessSecret(), "");
        assertRefused(401, 32, askX("POST", SEND_1, message("\"text\":\"Hi\""), wrong, 0));
        assertRefused(401, 135, askX("POST", SEND_1, message("\"text\":\"Hi\""), keys, -600));
        Answer problem = askX("POST", SEND_2, "{\"text\":\"Hi\"}", wrong, 0);
        assertEquals(401, problem.status());
        assertEquals("Unauthorized", problem.json().path("title").asText());
        String header = authorization("POST", SEND_1, keys, 0);
        Map<String, String> headers = Map.of("Authorization", header, "Content-Type", "application/json");
        assertEquals(200, ask("POST", x.url() + SEND_1, message("\"text\":\"Hi\""), headers).status());
        assertRefused(401, 32, ask("POST", x.url() + SEND_1, message("\"text\":\"Hi\""), headers));
        assertEquals(4, x.violations().size());
    }

    @Test
    void richMessagesBeyondXsLimitsAreRefused() {
        String twenty = IntStream.rangeClosed(1, 20).mapToObj(i -> "{\"label\":\"" + i + "\"}").collect(Collectors.joining(","));
        assertEquals(200, askX("POST", SEND_1, options(twenty), keys, 0).status());
        assertEquals(20, customer.inbox().get(0).options().size());
        for (String bad : List.of(twenty + ",{\"label\":\"21\"}", "{\"label\":\"" + "a".repeat(37) + "\"}",
                "{\"label\":\"see http://a.b/c\"}", "{\"label\":\"a\",\"description\":\"b\"},{\"label\":\"c\"}",
                "{\"label\":\"a\",\"colour\":\"red\"}")) {
            assertRefused(400, 214, askX("POST", SEND_1, options(bad), keys, 0));
        }
        assertRefused(400, 214, askX("POST", SEND_1,
                message("\"text\":\"a\",\"ctas\":[{\"type\":\"web_url\",\"label\":\"a\",\"url\":\"ftp://a\"}]"), keys, 0));
        assertRefused(403, 354, askX("POST", SEND_1, message("\"text\":\"" + "a".repeat(10_001) + "\""), keys, 0));
        assertEquals(400, askX("POST", SEND_2, "{\"text\":\"a\",\"quick_reply\":{}}", keys, 0).status());
        assertEquals(1, customer.inbox().size());
    }

    @Test
    void blockedUnknownAndTooManyAreRefusedAsDocumented() {
        customer.blocks(true);
        assertRefused(403, 349, askX("POST", SEND_1, message("\"text\":\"a\""), keys, 0));
        assertEquals(403, askX("POST", SEND_2, "{\"text\":\"a\"}", keys, 0).status());
        assertRefused(404, 50, askX("POST", SEND_1, message("\"text\":\"a\"").replace("3001969357", "99"), keys, 0));
        customer.blocks(false);
        x.limit(1, Duration.ofMinutes(15));
        assertEquals(201, askX("POST", SEND_2, "{\"text\":\"a\"}", keys, 0).status());
        assertEquals(429, askX("POST", SEND_2, "{\"text\":\"a\"}", keys, 0).status());
        assertEquals(List.of(), x.violations());
    }

    @Test
    void whatACustomerWritesIsPostedInOrderAndAgainUntilItIsTaken() throws IOException {
        x.retryDelays(Duration.ofMillis(20), Duration.ofMillis(20));
        hookStatus = 503;
        String lost = customer.writes("never taken");
        x.awaitDelivered(Duration.ofSeconds(5));
        assertEquals(3, hooks.size());
        assertFalse(x.delivered(lost));
        hookStatus = 200;
        String first = customer.writes("1 < 2 & see https://example.com/?a=1&b=2");
        customer.writes("second");
        x.awaitDelivered(Duration.ofSeconds(5));
        assertTrue(x.delivered(first));
        assertEquals(x.sign(hooks.get(3).getBytes(StandardCharsets.UTF_8)), signatures.get(3));
        JsonNode event = JSON.readTree(hooks.get(3));
        assertEquals(List.of("4337869213", "3001969357"), event.path("users").properties().stream().map(Map.Entry::getKey).toList());
        JsonNode data = event.path("direct_message_events").path(0).path("message_create").path("message_data");
        assertTrue(data.path("text").asText().startsWith("1 &lt; 2 &amp; see https://t.co/"));
        assertEquals("https://example.com/?a=1&b=2", data.path("entities").path("urls").path(0).path("expanded_url").asText());
        assertTrue(hooks.get(4).contains("second"));
        x.envelope(SimulatedX.Envelope.X_ACTIVITY);
        assertEquals("customer_one", JSON.readTree(x.event(customer, "hello")).path("data").path("payload").path("users")
                .path("3001969357").path("data").path("username").asText());
    }

    @Test
    void aMessageShowsInLookUpsLateAndNormalised() {
        x.lag(2);
        askX("POST", SEND_2, "{\"text\":\"cafe\u0301\\r\\nnoir\"}", keys, 0);
        String list = "/2/dm_conversations/with/3001969357/dm_events";
        assertEquals(0, askX("GET", list, "", keys, 0).json().path("data").size());
        assertEquals(0, askX("GET", list, "", keys, 0).json().path("data").size());
        assertEquals("caf\u00e9\nnoir", askX("GET", list, "", keys, 0).json().at("/data/0/text").asText());
    }

    @Test
    void whatWasSaidAlreadyIsRefusedInTheWordsOfEachApi() {
        x.refuseRepetition(Duration.ofMinutes(1));
        assertEquals(201, askX("POST", SEND_2, "{\"text\":\"a\"}", keys, 0).status());
        assertRefused(403, 151, askX("POST", SEND_1, message("\"text\":\"a\""), keys, 0));
        Answer problem = askX("POST", SEND_2, "{\"text\":\"a\"}", keys, 0);
        assertEquals(403, problem.status());
        assertTrue(problem.json().path("detail").asText().contains("You already said that"), () -> problem.json().toString());
        assertEquals(201, askX("POST", SEND_2, "{\"text\":\"b\"}", keys, 0).status());
        assertEquals(List.of(), x.violations());
    }

    @Test
    void theLimitOfADayIsToldInHeadersOfItsOwn() {
        x.limitDay(1, Duration.ofHours(24));
        long day = Instant.now().plus(Duration.ofHours(24)).getEpochSecond();
        assertEquals(201, askX("POST", SEND_2, "{\"text\":\"a\"}", keys, 0).status());
        assertEquals(429, askX("POST", SEND_2, "{\"text\":\"b\"}", keys, 0).status());
        for (SimulatedX.Exchange exchange : x.exchanges()) {
            assertEquals("0", exchange.responseHeaders().get("x-user-limit-24hour-remaining"));
            assertTrue(Long.parseLong(exchange.responseHeaders().get("x-user-limit-24hour-reset")) - day <= 10);
        }
    }

    // Flex.

    @Test
    void wrongCredentialsAndWrongParametersAreRefused() {
        String channels = flex.url() + "/flex-api/v1/Channels";
        Answer stranger = ask("POST", channels, "", Map.of("Authorization", basic(account.accountSid(), "wrong")));
        assertRefused(401, 20003, stranger);
        assertRefused(400, 20001, askFlex("POST", "/flex-api/v1/Channels", channel() + "&Colour=red"));
        assertRefused(400, 20001, askFlex("POST", "/flex-api/v1/Channels", "Identity=a"));
        assertRefused(400, 20001, askFlex("POST", "/flex-api/v1/Channels", channel().replace("FO", "XX")));
        assertRefused(404, 20404, askFlex("POST", "/flex-api/v1/Channels", channel().replace("FO0", "FO1")));
        assertRefused(404, 20404, askFlex("GET", "/flex-api/v1/Nothing", ""));
        assertEquals(5, flex.violations().size());
    }

    @Test
    void aChannelIsOpenedOncePerIdentityAndGetsItsTaskWithTheFirstWebhookedMessage() {
        String sid = askFlex("POST", "/flex-api/v1/Channels", channel()).json().path("sid").asText();
        assertEquals(sid, askFlex("POST", "/flex-api/v1/Channels", channel()).json().path("sid").asText());
        String messages = "/chat/v2/Services/" + account.chatService() + "/Channels/" + sid + "/Messages";
        askFlex("POST", messages, "From=twitter-1&Body=quiet");
        assertEquals(0, flex.tasks().size());
        ask("POST", flex.url() + messages, "From=twitter-1&Body=Hi", twilioHeaders("X-Twilio-Webhook-Enabled", "true"));
        assertEquals(1, flex.tasks().size());
        flex.agentCompletes(flex.openChat("twitter-1").orElseThrow());
        assertEquals("completed", flex.tasks().get(0).status());
        assertFalse(sid.equals(askFlex("POST", "/flex-api/v1/Channels", channel()).json().path("sid").asText()));
        assertEquals(List.of(), flex.violations());
    }

    @Test
    void uniqueNamesParticipantsAndClosingAreStrict() {
        String sid = conversation("twitter-1-1");
        assertRefused(409, 50353, askFlex("POST", "/conversations/v1/Conversations", "UniqueName=twitter-1-1"));
        assertRefused(409, 50433, askFlex("POST", "/conversations/v1/Conversations/" + sid + "/Participants", "Identity=twitter-1"));
        assertRefused(400, 50382, askFlex("POST", "/conversations/v1/Conversations", "Timers.Closed=PT10M"));
        assertRefused(400, 50384, askFlex("POST", "/conversations/v1/Conversations", "State=closed"));
        String hook = "Target=webhook&Configuration.Filters=onMessageAdded&Configuration.Url=" + bridgeUrl() + "&Configuration.Method=";
        assertRefused(400, 20001, askFlex("POST", "/conversations/v1/Conversations/twitter-1-1/Webhooks", hook + "POST"));
        for (int i = 0; i < 5; i++) {
            assertEquals(201, askFlex("POST", "/conversations/v1/Conversations/" + sid + "/Webhooks", hook + "post").status());
        }
        assertRefused(400, 50361, askFlex("POST", "/conversations/v1/Conversations/" + sid + "/Webhooks", hook + "post"));
        flex.agentCompletes(flex.chats().get(0));
        assertRefused(400, 50377, askFlex("POST", "/conversations/v1/Conversations/" + sid + "/Messages", "Body=late"));
        assertRefused(409, 50353, askFlex("POST", "/conversations/v1/Conversations", "UniqueName=twitter-1-1"));
    }

    @Test
    void conversationsOfAnIdentityComeInPagesClosedOnesIncluded() {
        flex.pageSize(2);
        List.of("a", "b", "c").forEach(this::conversation);
        flex.agentCompletes(flex.chats("twitter-1").get(0));
        List<String> states = new ArrayList<>();
        String next = flex.url() + "/conversations/v1/ParticipantConversations?Identity=twitter-1";
        while (!next.isEmpty()) {
            JsonNode page = ask("GET", next, "", twilioHeaders("Accept", "application/json")).json();
            page.path("conversations").forEach(one -> states.add(one.path("conversation_state").asText()));
            next = page.path("meta").path("next_page_url").asText("");
            next = next.equals("null") ? "" : next;
        }
        assertEquals(List.of("closed", "active", "active"), states);
    }

    @Test
    void whatIsOverTwiliosLimitsIsRefused() {
        String sid = conversation("twitter-1-1");
        String messages = "/conversations/v1/Conversations/" + sid + "/Messages";
        assertRefused(400, 20001, askFlex("POST", "/conversations/v1/Conversations", "FriendlyName=" + "a".repeat(257)));
        assertRefused(400, 50303, askFlex("POST", "/conversations/v1/Conversations/" + sid, attributes(16 * 1024 + 1)));
        assertRefused(400, 50303, askFlex("POST", messages, "Body=a&" + attributes(4 * 1024 + 1)));
        assertEquals(201, askFlex("POST", messages, "Body=a&" + attributes(4 * 1024)).status());
        assertRefused(400, 50303, askFlex("POST", "/flex-api/v1/Interactions", interaction(sid).replace("%40a", "a".repeat(4 * 1024))));
        assertRefused(400, 50003, askFlex("POST", "/flex-api/v1/Channels", channel().replace("FriendlyName=a", "FriendlyName=" + "a".repeat(65))));
        assertRefused(400, 50207, askFlex("POST", "/flex-api/v1/Channels", channel().replace("Target=a", "Target=" + "a".repeat(257))));
        assertEquals(200, askFlex("POST", "/flex-api/v1/Interactions", interaction(sid)).status());
    }

    /** Of so many bytes. */
    private static String attributes(int bytes) {
        return "Attributes=" + encoded("{\"a\":\"" + "a".repeat(bytes - 8) + "\"}");
    }

    @Test
    void anInteractionNeedsAnOpenConversationWithItsCustomerAndASecondIsDropped() {
        String sid = conversation("twitter-1-1");
        Answer made = askFlex("POST", "/flex-api/v1/Interactions", interaction(sid));
        assertEquals(200, made.status());
        assertTrue(made.json().path("routing").path("properties").path("attributes").asText().contains(sid));
        String found = "/taskrouter/v1/Workspaces/" + account.workspace() + "/Tasks?EvaluateTaskAttributes="
                + encoded("conversationSid == \"" + sid + "\"");
        assertEquals(1, askFlex("GET", found, "").json().path("tasks").size());
        assertEquals(0, askFlex("GET", found.replace(sid, "CH0"), "").json().path("tasks").size());
        assertEquals(List.of(), flex.violations());
        assertEquals(200, askFlex("POST", "/flex-api/v1/Interactions", interaction(sid)).status(), "accepted is not done");
        assertEquals(1, flex.tasks().size());
        assertEquals(List.of(), flex.violations());
        assertRefused(400, 20001, askFlex("POST", "/flex-api/v1/Interactions", interaction(sid).replace("web", "custom")));
        flex.agentCompletes(flex.chats().get(0));
        assertRefused(400, 45354, askFlex("POST", "/flex-api/v1/Interactions", interaction(sid)));
    }

    @Test
    void whatAgentsDoIsToldUnderThePublicUrlWithTwiliosParameters() {
        String publicUrl = "https://example.ngrok.app";
        flex.publicUrl(publicUrl, bridgeUrl());
        String sid = conversation("twitter-1-1");
        String url = publicUrl + "/fromFlex?customer=1";
        askFlex("POST", "/conversations/v1/Conversations/" + sid + "/Webhooks", "Target=webhook&Configuration.Method=post"
                + "&Configuration.Filters=onMessageAdded&Configuration.Filters=onConversationStateUpdated"
                + "&Configuration.Url=" + encoded(url));
        Chat chat = flex.openChat("twitter-1").orElseThrow();
        assertThrows(IllegalStateException.class, () -> flex.agentWrites(chat, "no agent sees it yet"));
        askFlex("POST", "/flex-api/v1/Interactions", interaction(sid));
        String message = flex.agentWrites(chat, "Hello & <welcome> 📦");
        flex.agentSendsMedia(chat, "box.jpg", "image/jpeg");
        askFlex("POST", "/conversations/v1/Conversations/" + sid + "/Messages", "Author=twitter-1&Body=quiet");
        flex.agentCompletes(chat);
        flex.awaitDelivered(Duration.ofSeconds(5));
        assertEquals(3, hooks.size());
        Map<String, String> form = decoded(hooks.get(0));
        assertEquals(flex.sign(url, form), signatures.get(0));
        assertEquals(message, form.get("MessageSid"));
        assertEquals("Hello & <welcome> 📦", form.get("Body"));
        assertEquals(List.of("SDK", "ada_2Elovelace", "ada_2Elovelace", "0"),
                List.of(form.get("Source"), form.get("Author"), form.get("ClientIdentity"), form.get("RetryCount")));
        assertFalse(decoded(hooks.get(1)).containsKey("Body"));
        assertEquals("closed", decoded(hooks.get(2)).get("StateTo"));
        assertEquals(List.of(), flex.lostWebhooks());
    }

    @Test
    void whatIsTakenAwayFromTheAccountIsMissed() {
        flex.provisioning().withoutTaskChannel("chat");
        assertRefused(400, 20001, askFlex("POST", "/flex-api/v1/Interactions", interaction(conversation("twitter-1-1"))));
        flex.provisioning().taskChannel("chat");
        flex.provisioning().withoutWorkflows();
        assertRefused(400, 20001, askFlex("POST", "/flex-api/v1/Interactions", interaction(conversation("twitter-1-2"))));
        flex.provisioning().workflow(account.workflow(), "Assign to Anyone");
        assertEquals(200, askFlex("POST", "/flex-api/v1/Interactions", interaction(conversation("twitter-1-3"))).status());
        flex.provisioning().flexFlowEnabled(account.flexFlow(), false);
        assertRefused(400, 20001, askFlex("POST", "/flex-api/v1/Channels", channel()));
        assertEquals(List.of(), flex.violations());
    }

    @Test
    void webhooksOfOthersLeaveNoRoom() {
        flex.webhooksOfOthers(5);
        String sid = conversation("twitter-1-1");
        assertRefused(400, 50361, askFlex("POST", "/conversations/v1/Conversations/" + sid + "/Webhooks", "Target=webhook"
                + "&Configuration.Filters=onMessageAdded&Configuration.Method=post&Configuration.Url=" + bridgeUrl()));
        assertEquals(List.of(), flex.violations());
    }

    // Faults.

    @Test
    void anAnswerCanBeAnotherThanTheWorkDeserves() {
        String conversations = "POST /v1/Conversations";
        flex.faults().next(conversations, Fault.done(Fault.status(503)), Fault.changed(answer -> answer.path("sid")),
                Fault.changed(answer -> "[1]"));
        assertEquals(503, askFlex("POST", "/conversations/v1/Conversations", "").status());
        assertTrue(askFlex("POST", "/conversations/v1/Conversations", "").json().asText().startsWith("CH"));
        assertEquals(1, askFlex("POST", "/conversations/v1/Conversations", "").json().path(0).asInt());
        assertEquals(3, flex.chats().size());
        AtomicLong taken = new AtomicLong();
        flex.faults().next(conversations, Fault.large(3_000_000, taken));
        assertTrue(askFlex("POST", "/conversations/v1/Conversations", "").json().size() > 100_000);
        assertTrue(taken.get() >= 3_000_000);
    }

    @Test
    void theHeaderDateCanBeOffWhileTheClockIsRight() {
        x.dates(Duration.ofDays(365 * 7_000));
        assertEquals(201, askX("POST", SEND_2, "{\"text\":\"a\"}", keys, 0).status());
        String date = client.sendAsync(HttpRequest.newBuilder(URI.create(x.url())).build(), HttpResponse.BodyHandlers.discarding()).join()
                .headers().firstValue("Date").orElse("");
        assertTrue(date.matches(".* 90\\d\\d .* GMT"), date);
    }

    @Test
    void aBystanderNotesWhoCallsIt() throws IOException {
        try (Bystander bystander = new Bystander()) {
            ask("POST", "http://127.0.0.1:" + bystander.port() + "/a?b", "c", Map.of("Authorization", "Basic d"));
            assertEquals(List.of("POST /a?b with Basic d"), bystander.calls());
        }
    }

    @Test
    void faultsStrikeAsAsked() {
        String conversations = "POST /v1/Conversations";
        flex.faults().next(conversations, Fault.status(503), Fault.dropBefore(), Fault.dropAfter(), Fault.notJson(200));
        assertEquals(503, askFlex("POST", "/conversations/v1/Conversations", "").status());
        assertThrows(IllegalStateException.class, () -> askFlex("POST", "/conversations/v1/Conversations", ""));
        assertEquals(0, flex.chats().size());
        assertThrows(IllegalStateException.class, () -> askFlex("POST", "/conversations/v1/Conversations", ""));
        assertEquals(1, flex.chats().size());
        assertThrows(IllegalStateException.class, () -> askFlex("POST", "/conversations/v1/Conversations", ""), "HTML is no JSON");
        flex.faults().next("*", Fault.stallBody(Duration.ofMillis(300)));
        Instant before = Instant.now();
        assertEquals(201, askFlex("POST", "/conversations/v1/Conversations", "").status());
        assertTrue(Duration.between(before, Instant.now()).toMillis() >= 290);
        assertEquals(5, flex.calls(conversations));
        assertEquals(List.of(503, 0, 0, 200, 201), flex.exchanges().stream().map(exchange -> exchange.status()).toList());
    }

    // How to ask.

    private void assertRefused(int status, int code, Answer answer) {
        assertEquals(status, answer.status(), answer.json().toString());
        assertEquals(code, answer.json().path("code").asInt(answer.json().path("errors").path(0).path("code").asInt()));
    }

    private static String message(String data) {
        return "{\"event\":{\"type\":\"message_create\",\"message_create\":{\"target\":{\"recipient_id\":\"3001969357\"},\"message_data\":{"
                + data + "}}}}";
    }

    private static String options(String options) {
        return message("\"text\":\"a\",\"quick_reply\":{\"type\":\"options\",\"options\":[" + options + "]}");
    }

    private String channel() {
        return "FlexFlowSid=" + account.flexFlow() + "&Identity=twitter-1&ChatUserFriendlyName=a&ChatFriendlyName=1&Target=a";
    }

    private String conversation(String uniqueName) {
        String sid = askFlex("POST", "/conversations/v1/Conversations", "UniqueName=" + uniqueName).json().path("sid").asText();
        assertEquals(201, askFlex("POST", "/conversations/v1/Conversations/" + sid + "/Participants", "Identity=twitter-1").status());
        return sid;
    }

    private String interaction(String conversation) {
        return "Channel=" + encoded("{\"type\":\"web\",\"initiated_by\":\"customer\",\"properties\":{\"media_channel_sid\":\""
                + conversation + "\"}}") + "&Routing=" + encoded("{\"properties\":{\"workspace_sid\":\""
                + account.workspace() + "\",\"workflow_sid\":\""
                + account.workflow() + "\",\"task_channel_unique_name\":\"chat\",\"attributes\":{\"from\":\"@a\"}}}");
    }

    private Answer askX(String method, String target, String body, Keys signer, int clock) {
        Map<String, String> headers = new TreeMap<>(Map.of("Authorization", authorization(method, target, signer, clock)));
        if (!body.isEmpty()) {
            headers.put("Content-Type", "application/json");
        }
        return ask(method, x.url() + target, body, headers);
    }

    private String authorization(String method, String target, Keys signer, int clock) {
        Map<String, String> parameters = new TreeMap<>(Map.of("oauth_consumer_key", signer.consumerKey(),
                "oauth_token", signer.accessToken(), "oauth_nonce", UUID.randomUUID().toString(),
                "oauth_signature_method", "HMAC-SHA1", "oauth_version", "1.0",
                "oauth_timestamp", String.valueOf(Instant.now().getEpochSecond() + clock)));
        Map<String, String> signed = new TreeMap<>(parameters);
        String[] parts = target.split("\\?");
        if (parts.length > 1) {
            signed.putAll(decoded(parts[1]));
        }
        parameters.put("oauth_signature", Signatures.oauth(method, x.url() + parts[0], signed.entrySet(), signer.consumerSecret(),
                signer.accessSecret()));
        return "OAuth " + parameters.entrySet().stream().map(one -> one.getKey() + "=\"" + Signatures.percentEncoded(one.getValue()) + "\"")
                .collect(Collectors.joining(", "));
    }

    private Answer askFlex(String method, String target, String form) {
        return ask(method, flex.url() + target, form, twilioHeaders("Content-Type", "application/x-www-form-urlencoded"));
    }

    private Map<String, String> twilioHeaders(String name, String value) {
        Map<String, String> headers = new TreeMap<>(Map.of("Authorization", basic(account.apiKey(), account.apiSecret()),
                "Content-Type", "application/x-www-form-urlencoded"));
        headers.put(name, value);
        return headers;
    }

    private static String basic(String user, String password) {
        return "Basic " + Base64.getEncoder().encodeToString((user + ":" + password).getBytes(StandardCharsets.UTF_8));
    }

    private Answer ask(String method, String url, String body, Map<String, String> headers) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).method(method, HttpRequest.BodyPublishers.ofString(body));
        headers.forEach(request::setHeader);
        try {
            HttpResponse<String> response = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            return new Answer(response.statusCode(), JSON.readTree(response.body()));
        } catch (IOException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    private static String encoded(String text) {
        return Signatures.percentEncoded(text);
    }

    private static Map<String, String> decoded(String form) {
        Map<String, String> fields = new TreeMap<>();
        for (String field : form.split("&")) {
            String[] parts = field.split("=", 2);
            fields.put(parts[0], URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
        }
        return fields;
    }
}
