package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
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
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Provisioning;
import twitterflex.sandbox.Refusals;
import twitterflex.sandbox.Registrations;
import twitterflex.sandbox.Signatures;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedFlex.Account;
import twitterflex.sandbox.SimulatedNgrok;
import twitterflex.sandbox.SimulatedX;
import twitterflex.sandbox.SimulatedX.Keys;

/** The judge of set-up and check is judged: what can be provisioned at Flex and registered at X, and what both refuse. */
class ProvisioningSandboxTest {

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String WEBHOOKS = "/2/webhooks";
    private static final String ACTIVITY = "/2/activity/subscriptions";

    private record Answer(int status, JsonNode json, HttpHeaders headers) {
        String text(String name) {
            return json.path(name).asText();
        }
    }

    private final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final Keys keys = SimulatedX.sampleKeys();
    private final Account account = Account.sample();
    private final SimulatedX x = new SimulatedX(0, keys);
    private final SimulatedFlex flex = new SimulatedFlex(0, account);
    private final Provisioning provisioning = flex.provisioning();
    private final Registrations registrations = x.registrations();
    private final Customer customer = x.customer("3001969357", "customer_one", "A Customer");
    private final List<String> hooks = Collections.synchronizedList(new ArrayList<>());
    private volatile String secret = keys.consumerSecret();
    private HttpServer bridge;

    @BeforeEach
    void aStandInForTheBridgeAnswersChallenges() throws IOException {
        bridge = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        bridge.createContext("/fromTwitter", this::hook);
        bridge.start();
    }

    @AfterEach
    void allIsClosed() {
        bridge.stop(0);
        x.close();
        flex.close();
    }

    private void hook(HttpExchange http) throws IOException {
        try (http) {
            String query = http.getRequestURI().getRawQuery();
            String body = new String(http.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            if (query == null) {
                hooks.add(body);
                http.sendResponseHeaders(200, -1);
                return;
            }
            String token = decoded(query).get("crc_token");
            byte[] answer = ("{\"response_token\":\"" + Signatures.xWebhook(token.getBytes(StandardCharsets.UTF_8), secret) + "\"}")
                    .getBytes(StandardCharsets.UTF_8);
            http.sendResponseHeaders(200, answer.length);
            http.getResponseBody().write(answer);
        }
    }

    private String hookUrl() {
        return "http://127.0.0.1:" + bridge.getAddress().getPort() + "/fromTwitter";
    }

    // Flex.

    @Test
    void theAccountTellsItsServicesAndItsWorkspace() {
        JsonNode flexOnes = askFlex("GET", "/flex-api/v1/Configuration", "").json();
        assertEquals(account.workspace(), flexOnes.path("taskrouter_workspace_sid").asText());
        assertEquals(account.chatService(), flexOnes.path("chat_service_instance_sid").asText());
        assertEquals(account.workflow(), flexOnes.path("taskrouter_target_workflow_sid").asText());
        assertEquals(account.chatService(), askFlex("GET", "/conversations/v1/Configuration", "").text("default_chat_service_sid"));
        assertEquals("Flex Chat Service", askFlex("GET", "/chat/v2/Services/" + account.chatService(), "").text("friendly_name"));
        String another = account.chatService().replaceFirst("IS0", "IS1");
        assertRefused(404, 20404, askFlex("GET", "/conversations/v1/Services/" + another, ""));
        provisioning.defaultConversationsService(another);
        assertEquals(another, askFlex("GET", "/conversations/v1/Configuration", "").text("default_chat_service_sid"));
        assertEquals(200, askFlex("GET", "/conversations/v1/Services/" + another, "").status());
        assertRefused(404, 20404, askFlex("GET", "/chat/v2/Services/" + another, ""));
        assertRefused(404, 20404, askFlex("GET", "/taskrouter/v1/Workspaces/" + account.workspace().replaceFirst("WS0", "WS1"), ""));
        assertEquals("Flex Task Assignment", askFlex("GET", workspace(""), "").text("friendly_name"));
        assertEquals(List.of(), flex.violations());
    }

    @Test
    void onlyTheAuthTokenSeesTheAccountAndWrongKeysSeeNothing() {
        String target = "/api/2010-04-01/Accounts/" + account.accountSid() + ".json";
        assertRefused(401, 20003, askFlex("GET", target, ""));
        Map<String, String> byToken = Map.of("Authorization", basic(account.accountSid(), account.authToken()));
        assertEquals("active", ask("GET", flex.url() + target, "", byToken).text("status"));
        provisioning.accountStatus("suspended");
        assertEquals("suspended", ask("GET", flex.url() + target, "", byToken).text("status"));
        assertEquals(List.of(), flex.violations());
        for (String one : List.of("/flex-api/v1/Configuration", "/conversations/v1/Configuration", "/studio/v2/Flows", workspace(""))) {
            assertRefused(401, 20003, ask("GET", flex.url() + one, "", Map.of("Authorization", basic(account.accountSid(), "wrong"))));
        }
        assertEquals(4, flex.violations().size());
    }

    @Test
    void workflowsAreFoundByNameAndComeInPages() {
        provisioning.workflow("WW" + "1".repeat(32), "Another & more");
        assertEquals(account.workflow(), askFlex("GET", workspace("/Workflows?FriendlyName=Assign+to+Anyone"), "").json()
                .path("workflows").path(0).path("sid").asText());
        assertEquals(1, askFlex("GET", workspace("/Workflows?FriendlyName=Another+%26+more"), "").json().path("workflows").size());
        assertEquals(0, askFlex("GET", workspace("/Workflows?FriendlyName=None"), "").json().path("workflows").size());
        assertEquals("Another & more", askFlex("GET", workspace("/Workflows/WW" + "1".repeat(32)), "").text("friendly_name"));
        assertRefused(404, 20404, askFlex("GET", workspace("/Workflows/WW" + "2".repeat(32)), ""));
        flex.pageSize(1);
        JsonNode first = askFlex("GET", workspace("/Workflows"), "").json();
        assertEquals(1, first.path("workflows").size());
        assertTrue(first.path("meta").path("next_page_url").asText().contains("Page=1"));
        assertEquals(List.of(), flex.violations());
        assertRefused(400, 20001, askFlex("GET", workspace("/Workflows?Name=Assign"), ""));
        assertEquals(1, flex.violations().size());
    }

    @Test
    void aTaskChannelIsMadeOnceAndThenTakesInteractions() {
        String before = provisioning.snapshot();
        assertRefused(404, 20404, askFlex("GET", workspace("/TaskChannels/twitter"), ""));
        assertEquals(before, provisioning.snapshot());
        Answer made = askFlex("POST", workspace("/TaskChannels"), "FriendlyName=Twitter&UniqueName=twitter");
        assertEquals(201, made.status());
        assertEquals(made.text("sid"), askFlex("GET", workspace("/TaskChannels/twitter"), "").text("sid"));
        assertEquals("twitter", askFlex("GET", workspace("/TaskChannels/" + made.text("sid")), "").text("unique_name"));
        assertRefused(400, 20001, askFlex("POST", workspace("/TaskChannels"), "FriendlyName=Twitter&UniqueName=twitter"));
        assertEquals(7, askFlex("GET", workspace("/TaskChannels"), "").json().path("channels").size());
        assertNotEquals(before, provisioning.snapshot());
        assertEquals(List.of(), flex.violations());
        assertRefused(400, 20001, askFlex("POST", workspace("/TaskChannels"), "FriendlyName=X&UniqueName=x&Capacity=2"));
        assertEquals(1, flex.violations().size());
        provisioning.withoutTaskChannel("twitter");
        assertEquals(before, provisioning.snapshot());
    }

    @Test
    void aStudioFlowAndAFlexFlowAreMadeFromASoundDefinition() {
        assertTrue(askFlex("POST", "/studio/v2/Flows/Validate", flow(provisioning.studioFlows().get(0).path("definition").toString()))
                .json().path("valid").asBoolean());
        provisioning.withoutFlows();
        String sound = definition(account.workflow(), provisioning.taskChannels().get(2).path("sid").asText(), "send_to_flex");
        assertTrue(askFlex("POST", "/studio/v2/Flows/Validate", flow(sound)).json().path("valid").asBoolean());
        assertEquals(0, provisioning.studioFlows().size());
        Answer studio = askFlex("POST", "/studio/v2/Flows", flow(sound));
        assertEquals(201, studio.status());
        assertEquals("Trigger", askFlex("GET", "/studio/v2/Flows/" + studio.text("sid"), "").json()
                .path("definition").path("initial_state").asText());
        assertTrue(askFlex("GET", "/studio/v2/Flows?PageSize=1", "").json().path("flows").path(0).path("definition").isNull());
        String form = "FriendlyName=X+DM&ChatServiceSid=" + account.chatService() + "&ChannelType=custom&IntegrationType=studio"
                + "&Enabled=true&JanitorEnabled=true&Integration.FlowSid=" + studio.text("sid");
        Answer flexFlow = askFlex("POST", "/flex-api/v1/FlexFlows", form);
        assertEquals(201, flexFlow.status());
        assertEquals(flexFlow.text("sid"), askFlex("GET", "/flex-api/v1/FlexFlows?FriendlyName=X+DM", "").json()
                .path("flex_flows").path(0).path("sid").asText());
        assertEquals(studio.text("sid"), askFlex("GET", "/flex-api/v1/FlexFlows/" + flexFlow.text("sid"), "").json()
                .path("integration").path("flow_sid").asText());
        assertRefused(400, 20001, askFlex("POST", "/flex-api/v1/FlexFlows", form));
        assertRefused(404, 20404, askFlex("GET", "/flex-api/v1/FlexFlows/" + account.flexFlow(), ""));
        assertEquals(201, askFlex("POST", "/flex-api/v1/Channels", "FlexFlowSid=" + flexFlow.text("sid")
                + "&Identity=twitter-1&ChatUserFriendlyName=a&ChatFriendlyName=1").status());
        assertEquals(List.of(), flex.violations());
    }

    @Test
    void aFaultyDefinitionOrFlexFlowIsRefused() {
        String channel = provisioning.taskChannels().get(2).path("sid").asText();
        String before = provisioning.snapshot();
        List<String> faulty = List.of("{}", "[]", definition("WW" + "9".repeat(32), channel, "send_to_flex"),
                definition(account.workflow(), "chat", "send_to_flex"), definition(account.workflow(), channel, "nowhere"),
                definition(account.workflow(), channel, "send_to_flex").replace("send-to-flex", "send-message"),
                definition(account.workflow(), channel, "send_to_flex").replace("state\":\"Trigger\"", "state\":\"No\""));
        faulty.forEach(one -> assertRefused(400, 20001, askFlex("POST", "/studio/v2/Flows", flow(one))));
        assertRefused(400, 20001, askFlex("POST", "/studio/v2/Flows", flow("{}") + "&Colour=red"));
        String flexFlow = "FriendlyName=a&ChatServiceSid=" + account.chatService() + "&ChannelType=custom&IntegrationType=studio";
        assertRefused(400, 20001, askFlex("POST", "/flex-api/v1/FlexFlows", flexFlow + "&Integration.FlowSid=FW" + "9".repeat(32)));
        assertRefused(400, 20001, askFlex("POST", "/flex-api/v1/FlexFlows", flexFlow.replace("custom", "twitter")));
        assertEquals(faulty.size() + 3, flex.violations().size());
        assertEquals(before, provisioning.snapshot());
    }

    // X: the app, its tokens, its level.

    @Test
    void theAppGetsATokenForItsKeysOnly() {
        assertEquals("bearer", token(keys.consumerKey(), keys.consumerSecret(), "grant_type=client_credentials").text("token_type"));
        assertEquals(List.of(), x.violations());
        assertRefused(403, 99, token(keys.consumerKey(), "wrong", "grant_type=client_credentials"));
        assertRefused(403, 170, token(keys.consumerKey(), keys.consumerSecret(), "grant_type=password"));
        assertEquals(2, x.violations().size());
        String old = bearer();
        x.registrations().revokeAppToken();
        assertEquals(401, asApp("GET", WEBHOOKS, "", old).status());
        assertEquals(200, asApp("GET", WEBHOOKS, "", bearer()).status());
        assertEquals(2, x.violations().size());
        assertEquals(401, asApp("GET", WEBHOOKS, "", "made up").status());
        assertEquals(3, x.violations().size());
    }

    @Test
    void theAccessLevelIsToldAndDecidesAboutDirectMessages() {
        assertEquals("read-write-directmessages", asUser("GET", "/2/users/me", "").headers().firstValue("x-access-level").orElse(""));
        for (String level : List.of("read", "read-write")) {
            x.accessLevel(level);
            Answer me = asUser("GET", "/2/users/me", "");
            assertEquals(List.of("200", level), List.of("" + me.status(), me.headers().firstValue("x-access-level").orElse("")));
            Answer refused = asUser("POST", "/2/dm_conversations/with/3001969357/messages", "{\"text\":\"Hi\"}");
            assertEquals(403, refused.status());
            assertTrue(refused.text("type").endsWith("oauth1-permissions"));
            assertEquals(level, refused.headers().firstValue("x-access-level").orElse(""));
            assertRefused(403, 93, asUser("GET", "/1.1/direct_messages/events/list.json", ""));
        }
        assertEquals(List.of(), x.violations());
    }

    @Test
    void whatPlansAndCreditsRefuseCanBeAskedFor() {
        x.faults().next("GET /2/users/me", Refusals.NO_CREDITS, Refusals.NOT_ENROLLED, Refusals.NO_ACCESS, Refusals.NO_ACCOUNT_ACTIVITY,
                Refusals.APP_SUSPENDED, Refusals.rateLimited());
        assertEquals("CreditsDepleted", asUser("GET", "/2/users/me", "").text("title"));
        assertEquals("client-not-enrolled", asUser("GET", "/2/users/me", "").text("reason"));
        assertRefused(403, 453, asUser("GET", "/2/users/me", ""));
        assertRefused(403, 200, asUser("GET", "/2/users/me", ""));
        assertRefused(403, 416, asUser("GET", "/2/users/me", ""));
        assertEquals(429, asUser("GET", "/2/users/me", "").status());
        assertEquals(200, asUser("GET", "/2/users/me", "").status());
    }

    // X: webhooks.

    @Test
    void aWebhookIsTakenAfterARealChallengeOnly() {
        assertFalse(asApp("GET", WEBHOOKS, "", bearer()).json().has("data"));
        secret = "wrong";
        assertReason("CrcValidationFailed", createWebhook(hookUrl()));
        assertReason("CrcValidationFailed", createWebhook(hookUrl().replace("/fromTwitter", "/elsewhere")));
        assertEquals(List.of(), registrations.webhooks());
        secret = keys.consumerSecret();
        Answer made = createWebhook(hookUrl());
        assertTrue(made.json().path("data").path("valid").asBoolean(), made.json().toString());
        assertReason("DuplicateUrlFailed", createWebhook(hookUrl()));
        assertReason("WebhookLimitExceeded", createWebhook(hookUrl() + "?second=1"));
        assertReason("UrlValidationFailed", createWebhook("http://example.com/fromTwitter"));
        assertReason("UrlValidationFailed", createWebhook("https://example.com:8443/fromTwitter"));
        JsonNode listed = asApp("GET", WEBHOOKS, "", bearer()).json();
        assertEquals(1, listed.path("meta").path("result_count").asInt());
        assertEquals(hookUrl(), listed.path("data").path(0).path("url").asText());
        String id = made.json().path("data").path("id").asText();
        assertTrue(asApp("DELETE", WEBHOOKS + "/" + id, "", bearer()).json().path("data").path("deleted").asBoolean());
        assertReason("WebhookIdInvalid", asApp("DELETE", WEBHOOKS + "/" + id, "", bearer()));
        assertEquals(List.of(), x.violations());
        assertEquals(400, asApp("POST", WEBHOOKS, "{\"url\":\"" + hookUrl() + "\",\"env\":\"prod\"}", bearer()).status());
        assertEquals(403, asUser("GET", WEBHOOKS, "").status());
        assertEquals(2, x.violations().size());
    }

    @Test
    void aChallengeAnsweredTooLateFails() {
        CountDownLatch late = new CountDownLatch(1);
        bridge.createContext("/late", http -> {
            try (http) {
                late.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        Answer refused = asUser("POST", "/1.1/account_activity/webhooks.json?url="
                + encoded(hookUrl().replace("/fromTwitter", "/late")), "");
        late.countDown();
        assertRefused(403, 214, refused);
        assertTrue(refused.json().path("errors").path(0).path("message").asText().endsWith("in less than 3 seconds."));
    }

    @Test
    void anInvalidWebhookIsValidatedAgainByAChallenge() {
        String id = registrations.webhook(hookUrl());
        x.invalidateWebhook();
        assertFalse(asApp("GET", WEBHOOKS, "", bearer()).json().path("data").path(0).path("valid").asBoolean());
        secret = "wrong";
        assertReason("CrcValidationFailed", asApp("PUT", WEBHOOKS + "/" + id, "", bearer()));
        assertFalse(registrations.webhooks().get(0).valid());
        secret = keys.consumerSecret();
        assertEquals(200, asApp("PUT", WEBHOOKS + "/" + id, "", bearer()).status());
        assertTrue(registrations.webhooks().get(0).valid());
    }

    @Test
    void aPublicUrlIsReachedWhereItReallyIs() {
        x.resolve("https://abc.ngrok-free.app", hookUrl().replace("/fromTwitter", ""));
        Answer made = createWebhook("https://abc.ngrok-free.app/fromTwitter");
        assertEquals("https://abc.ngrok-free.app/fromTwitter", made.json().path("data").path("url").asText());
        registrations.subscription("dm.received", "dm-inbound", made.json().path("data").path("id").asText());
        customer.writes("through the tunnel");
        x.awaitDelivered(Duration.ofSeconds(5));
        assertEquals(1, hooks.size());
    }

    // X: subscriptions.

    @Test
    void directMessagesGoWhereTheSubscriptionsSayAndOnlyToAValidWebhook() throws IOException {
        customer.writes("nobody hears this");
        String webhook = createWebhook(hookUrl()).json().path("data").path("id").asText();
        customer.writes("nor this");
        Answer made = asUser("POST", ACTIVITY, subscription("dm.received", webhook));
        assertEquals("dm.received", made.json().path("data").path("subscription").path("event_type").asText(), made.json().toString());
        customer.writes("heard");
        assertEquals(201, asUser("POST", "/2/dm_conversations/with/3001969357/messages", "{\"text\":\"no echo\"}").status());
        x.awaitDelivered(Duration.ofSeconds(5));
        assertEquals(1, hooks.size());
        JsonNode event = JSON.readTree(hooks.get(0)).path("data");
        assertEquals(List.of("dm.received", "the tag"), List.of(event.path("event_type").asText(), event.path("tag").asText()));
        x.invalidateWebhook();
        customer.writes("the webhook is invalid");
        x.awaitDelivered(Duration.ofSeconds(5));
        assertEquals(1, hooks.size());
        assertEquals(200, asApp("PUT", WEBHOOKS + "/" + webhook, "", bearer()).status());
        customer.writes("heard again");
        x.awaitDelivered(Duration.ofSeconds(5));
        assertEquals(2, hooks.size());
        assertEquals(List.of(), x.violations());
    }

    @Test
    void activitySubscriptionsAreListedChangedAndEnded() {
        registrations.limits(2, 2, 1);
        String webhook = registrations.webhook(hookUrl());
        String other = registrations.webhook(hookUrl() + "?other=1");
        String id = asUser("POST", ACTIVITY, subscription("dm.received", webhook)).json().path("data").path("subscription")
                .path("subscription_id").asText();
        assertReason("DuplicateSubscriptionFailed", asUser("POST", ACTIVITY, subscription("dm.received", other)));
        assertEquals(200, asUser("POST", ACTIVITY, subscription("dm.sent", webhook)).status());
        assertReason("SubscriptionLimitExceeded", asUser("POST", ACTIVITY, subscription("dm.read", webhook)));
        assertReason("WebhookIdInvalid", asUser("POST", ACTIVITY, subscription("dm.read", "1")));
        JsonNode first = asApp("GET", ACTIVITY + "?max_results=1", "", bearer()).json();
        JsonNode second = asApp("GET", ACTIVITY + "?max_results=1&pagination_token="
                + first.path("meta").path("next_token").asText(), "", bearer()).json();
        assertEquals(List.of("dm.received", "dm.sent"), List.of(first.path("data").path(0).path("event_type").asText(),
                second.path("data").path(0).path("event_type").asText()));
        assertFalse(second.path("meta").has("next_token"));
        assertEquals(other, asApp("PUT", ACTIVITY + "/" + id, "{\"webhook_id\":\"" + other + "\"}", bearer()).json()
                .path("data").path("subscription").path("webhook_id").asText());
        assertTrue(asApp("DELETE", ACTIVITY + "/" + id, "", bearer()).json().path("data").path("deleted").asBoolean());
        assertReason("SubscriptionNotFound", asApp("DELETE", ACTIVITY + "/" + id, "", bearer()));
        assertEquals(1, registrations.subscriptions().size());
        assertEquals(List.of(), x.violations());
    }

    @Test
    void privateEventsNeedTheUsersToken() {
        String body = subscription("dm.received", registrations.webhook(hookUrl()));
        assertEquals("Unsupported Authentication", asApp("POST", ACTIVITY, body, bearer()).text("title"));
        assertEquals(1, x.violations().size());
        registrations.privateEventsNeedOAuth2(true);
        Answer refused = asUser("POST", ACTIVITY, body);
        assertEquals(403, refused.status());
        assertTrue(refused.text("detail").endsWith("[OAuth 2.0 User Context]."));
        registrations.userToken("user-token");
        assertEquals(200, asApp("POST", ACTIVITY, body, "user-token").status());
        assertEquals(200, asApp("GET", "/2/users/me", "", "user-token").status());
        x.accessLevel("read");
        registrations.privateEventsNeedOAuth2(false);
        assertTrue(asUser("POST", ACTIVITY, body).text("type").endsWith("oauth1-permissions"));
        assertEquals(1, x.violations().size());
        assertEquals(400, asApp("POST", ACTIVITY, body.replace("dm.received", "direct_message.received"), "user-token").status());
        assertEquals(403, asApp("POST", ACTIVITY, body.replace("4337869213", "99"), "user-token").status());
        assertEquals(3, x.violations().size());
    }

    @Test
    void accountActivityOfApi2IsSubscribedOnceAndDelivered() throws IOException {
        String all = "/2/account_activity/webhooks/" + registrations.webhook(hookUrl()) + "/subscriptions";
        assertFalse(asUser("GET", all + "/all", "").json().path("data").path("subscribed").asBoolean());
        assertTrue(asUser("POST", all + "/all", "{}").json().path("data").path("subscribed").asBoolean());
        assertReason("DuplicateSubscriptionFailed", asUser("POST", all + "/all", "{}"));
        assertEquals("4337869213", asApp("GET", all + "/all/list", "", bearer()).json().path("data").path("subscriptions").path(0)
                .path("user_id").asText());
        assertEquals("1", asApp("GET", "/2/account_activity/subscriptions/count", "", bearer()).json().path("data")
                .path("subscriptions_count_all").asText());
        customer.writes("Hi");
        x.awaitDelivered(Duration.ofSeconds(5));
        assertEquals("4337869213", JSON.readTree(hooks.get(0)).path("for_user_id").asText());
        assertEquals(200, asApp("DELETE", all + "/4337869213/all", "", bearer()).status());
        assertReason("SubscriptionNotFound", asApp("DELETE", all + "/4337869213/all", "", bearer()));
        assertEquals(List.of(), x.violations());
    }

    @Test
    void accountActivityOfApi11IsRegisteredAndSubscribed() {
        String base = "/1.1/account_activity/webhooks";
        Answer made = asUser("POST", base + ".json?url=" + encoded(hookUrl()), "");
        assertTrue(made.json().path("valid").asBoolean(), made.json().toString());
        assertRefused(403, 214, asUser("POST", base + ".json?url=" + encoded(hookUrl()), ""));
        String one = base + "/" + made.text("id");
        assertEquals(hookUrl(), asApp("GET", base + ".json", "", bearer()).json().path(0).path("url").asText());
        assertEquals(404, asUser("GET", one + "/subscriptions/all.json", "").status());
        assertEquals(204, asUser("POST", one + "/subscriptions/all.json", "").status());
        assertRefused(409, 355, asUser("POST", one + "/subscriptions/all.json", ""));
        assertEquals(204, asUser("GET", one + "/subscriptions/all.json", "").status());
        assertEquals("1", asApp("GET", "/1.1/account_activity/subscriptions/count.json", "", bearer()).text("subscriptions_count_all"));
        assertEquals(204, asUser("PUT", one + ".json", "").status());
        assertEquals(204, asApp("DELETE", one + "/subscriptions/4337869213/all.json", "", bearer()).status());
        assertEquals(204, asUser("DELETE", one + ".json", "").status());
        assertEquals(List.of(), x.violations());
        assertRefused(403, 220, asApp("POST", base + ".json?url=" + encoded(hookUrl()), "", bearer()));
        assertEquals(1, x.violations().size());
    }

    // Clocks and tunnels.

    @Test
    void aWrongClockShowsInTheDateAndInTheJudgementOfTimestamps() {
        String url = x.url();
        x.clock(Duration.ofMinutes(10));
        assertEquals(url, x.url());
        Answer refused = asUser("GET", "/1.1/direct_messages/events/list.json", "");
        assertRefused(401, 135, refused);
        assertEquals(600, secondsAhead(refused), 2);
        x.clock(Duration.ofSeconds(-90));
        Answer me = asUser("GET", "/2/users/me", "");
        assertEquals(200, me.status());
        assertEquals(-90, secondsAhead(me), 2);
        x.faults().next("GET /2/users/me", Fault.status(503));
        assertEquals(503, asUser("GET", "/2/users/me", "").status());
        assertEquals(2, x.calls("GET /2/users/me"));
        assertEquals(201, asUser("POST", "/2/dm_conversations/with/3001969357/messages", "{\"text\":\"Zażółć 📦\"}").status());
        assertEquals("Zażółć 📦", customer.inbox().get(0).text());
    }

    private static long secondsAhead(Answer answer) {
        String date = answer.headers().firstValue("Date").orElseThrow();
        return Duration.between(Instant.now(), ZonedDateTime.parse(date, DateTimeFormatter.RFC_1123_DATE_TIME)).toSeconds();
    }

    @Test
    void theNgrokAgentListsItsTunnels() {
        try (SimulatedNgrok ngrok = new SimulatedNgrok(0)) {
            assertEquals("{\"tunnels\":[],\"uri\":\"/api/tunnels\"}",
                    ask("GET", ngrok.url() + "/api/tunnels", "", Map.of()).json().toString());
            ngrok.tunnels(new SimulatedNgrok.Tunnel("command_line", "https://abc.ngrok-free.app", "http://localhost:3000"),
                    new SimulatedNgrok.Tunnel("ssh", "tcp://0.tcp.ngrok.io:15640", "localhost:22"));
            JsonNode tunnels = ask("GET", ngrok.url() + "/api/tunnels", "", Map.of()).json().path("tunnels");
            assertEquals("https://abc.ngrok-free.app", tunnels.path(0).path("public_url").asText());
            assertEquals(List.of("https", "tcp"), List.of(tunnels.path(0).path("proto").asText(), tunnels.path(1).path("proto").asText()));
            assertEquals("http://localhost:3000", tunnels.path(0).path("config").path("addr").asText());
            assertEquals("ssh", ask("GET", ngrok.url() + "/api/tunnels/ssh", "", Map.of()).text("name"));
            assertEquals(404, ask("GET", ngrok.url() + "/api/tunnels/none", "", Map.of()).status());
        }
    }

    // How to ask.

    private void assertRefused(int status, int code, Answer answer) {
        assertEquals(status, answer.status(), answer.json().toString());
        assertEquals(code, answer.json().path("code").asInt(answer.json().path("errors").path(0).path("code").asInt()));
    }

    private static void assertReason(String reason, Answer answer) {
        assertEquals(400, answer.status(), answer.json().toString());
        assertTrue(answer.json().path("errors").path(0).path("message").asText().startsWith(reason + ": "), answer.json().toString());
    }

    private String workspace(String rest) {
        return "/taskrouter/v1/Workspaces/" + account.workspace() + rest;
    }

    private static String definition(String workflow, String channel, String next) {
        return "{\"description\":\"X DM\",\"initial_state\":\"Trigger\",\"flags\":{\"allow_concurrent_calls\":true},\"states\":["
                + "{\"name\":\"Trigger\",\"type\":\"trigger\",\"properties\":{},\"transitions\":[{\"event\":\"incomingMessage\",\"next\":\""
                + next + "\"},{\"event\":\"incomingCall\"}]},{\"name\":\"send_to_flex\",\"type\":\"send-to-flex\",\"transitions\":["
                + "{\"event\":\"callComplete\"}],\"properties\":{\"workflow\":\"" + workflow + "\",\"channel\":\"" + channel
                + "\",\"attributes\":\"{\\\"name\\\": \\\"{{trigger.message.ChannelAttributes.from}}\\\"}\"}}]}";
    }

    private static String flow(String definition) {
        return "FriendlyName=X+DM&Status=published&Definition=" + encoded(definition);
    }

    private static String subscription(String event, String webhook) {
        return "{\"event_type\":\"" + event + "\",\"filter\":{\"user_id\":\"4337869213\"},\"tag\":\"the tag\",\"webhook_id\":\"" + webhook
                + "\"}";
    }

    private Answer createWebhook(String url) {
        return asApp("POST", WEBHOOKS, "{\"url\":\"" + url + "\"}", bearer());
    }

    private Answer token(String key, String secret, String form) {
        return ask("POST", x.url() + "/oauth2/token", form, Map.of("Authorization", basic(key, secret),
                "Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"));
    }

    private String bearer() {
        return token(keys.consumerKey(), keys.consumerSecret(), "grant_type=client_credentials").text("access_token");
    }

    private Answer asApp(String method, String target, String body, String token) {
        return askX(method, target, body, "Bearer " + token);
    }

    private Answer asUser(String method, String target, String body) {
        Map<String, String> parameters = new TreeMap<>(Map.of("oauth_consumer_key", keys.consumerKey(),
                "oauth_token", keys.accessToken(), "oauth_nonce", UUID.randomUUID().toString(), "oauth_signature_method", "HMAC-SHA1",
                "oauth_version", "1.0", "oauth_timestamp", String.valueOf(Instant.now().getEpochSecond())));
        Map<String, String> signed = new TreeMap<>(parameters);
        String[] parts = target.split("\\?");
        if (parts.length > 1) {
            signed.putAll(decoded(parts[1]));
        }
        parameters.put("oauth_signature", Signatures.oauth(method, x.url() + parts[0], signed.entrySet(), keys.consumerSecret(),
                keys.accessSecret()));
        return askX(method, target, body, "OAuth " + parameters.entrySet().stream()
                .map(one -> one.getKey() + "=\"" + Signatures.percentEncoded(one.getValue()) + "\"").collect(Collectors.joining(", ")));
    }

    private Answer askX(String method, String target, String body, String authorization) {
        return ask(method, x.url() + target, body, body.isEmpty() ? Map.of("Authorization", authorization)
                : Map.of("Authorization", authorization, "Content-Type", "application/json"));
    }

    private Answer askFlex(String method, String target, String form) {
        return ask(method, flex.url() + target, form, Map.of("Authorization", basic(account.apiKey(), account.apiSecret()),
                "Content-Type", "application/x-www-form-urlencoded"));
    }

    private static String basic(String user, String password) {
        return "Basic " + Base64.getEncoder().encodeToString((user + ":" + password).getBytes(StandardCharsets.UTF_8));
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    private static Map<String, String> decoded(String form) {
        Map<String, String> fields = new TreeMap<>();
        for (String field : form.split("&")) {
            String[] parts = field.split("=", 2);
            fields.put(parts[0], URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
        }
        return fields;
    }

    private Answer ask(String method, String url, String body, Map<String, String> headers) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url))
                .method(method, body.isEmpty() ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body));
        headers.forEach(request::setHeader);
        try {
            HttpResponse<String> response = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            return new Answer(response.statusCode(), JSON.readTree(response.body()), response.headers());
        } catch (IOException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }
}
