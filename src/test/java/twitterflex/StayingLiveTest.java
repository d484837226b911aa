package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.until;

import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Refusals;
import twitterflex.sandbox.Registrations;

/** While it serves, the bridge sees to X's webhook, says what is wrong, and can be measured. */
@Execution(ExecutionMode.CONCURRENT)
class StayingLiveTest {
    /** Looks every 300 ms instead of every 30 minutes. */
    private static final Bridge.Timing WATCHFUL = new Bridge.Timing(Duration.ofMillis(10), Duration.ofMillis(300), Duration.ofSeconds(4),
            Duration.ofMinutes(1), Duration.ofSeconds(3), Duration.ofHours(1), Duration.ofMillis(300), Duration.ofHours(1));

    /** @param registered whether setup has been there before */
    private static Rig rig(Rig.Generation generation, boolean registered, String autoRegister) throws Exception {
        Rig rig = new Rig(generation, Map.of("AUTO_REGISTER", autoRegister), WATCHFUL);
        rig.x.webhook("");
        if (registered) {
            String webhook = rig.x.registrations().webhook(rig.url() + "/fromTwitter");
            if (generation == Rig.Generation.CURRENT) {
                List.of("dm.received", "oauth.revoke").forEach(event -> rig.x.registrations().subscription(event, "dm", webhook));
            } else {
                rig.x.registrations().accountSubscription(webhook);
            }
        }
        return rig;
    }

    /** The bridge is stopped, and what it has registered is gone: the test says what X knows at its next start. */
    private static void stoppedAndForgotten(Rig rig) {
        rig.bridge.stop();
        rig.x.registrations().webhooks().forEach(webhook -> rig.x.registrations().forget(webhook.id()));
    }

    private static String status(Rig rig) {
        try {
            return rig.health().path("status").asText() + " " + rig.health().path("reason").asText();
        } catch (Exception unreachable) {
            throw new AssertionError(unreachable);
        }
    }

    @ParameterizedTest
    @EnumSource
    void aWebhookThatXHasSwitchedOffIsValidatedAgainWhileMessagesFlow(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, true, "")) {
            until("a first look", () -> rig.x.calls("GET /2/webhooks") > 0);
            rig.x.registrations().invalidateWebhooks();
            until("valid again", () -> rig.x.registrations().webhooks().get(0).valid());
            Customer ann = rig.customer("1");
            ann.writes("hello");
            until("the message", () -> rig.written(ann).equals(List.of("hello")));
            assertEquals("ok ", status(rig));
            assertEquals(List.of(), rig.x.violations());
        }
    }

    @ParameterizedTest
    @EnumSource
    void aWebhookIsValidatedAgainAlsoWhileXDoesNotListItsSubscriptions(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, true, "")) {
            until("a first look", () -> rig.x.calls("GET /2/webhooks") > 0);
            rig.x.faults().always("GET /2/activity/subscriptions", Fault.status(503));
            rig.x.faults().always("GET /2/account_activity/webhooks/{webhook_id}/subscriptions/all/list", Fault.status(503));
            rig.x.registrations().invalidateWebhooks();
            until("valid again", () -> rig.x.registrations().webhooks().get(0).valid());
        }
    }

    @Test
    void aRevokedTokenOrSubscriptionIsToldByHealthzAndIsOverWhenItIsMended() throws Exception {
        try (Rig rig = rig(Rig.Generation.CURRENT, true, "")) {
            until("a first look", () -> rig.x.calls("GET /2/activity/subscriptions") > 1);
            rig.x.faults().always("GET /2/users/me", Fault.status(401, Map.of(), "{\"title\":\"Unauthorized\",\"status\":401}"));
            until("degraded", () -> status(rig).matches("degraded X account is not right: Unauthorized .*TWITTER_ACCESS_KEY and .* are of another app.*"));
            rig.x.faults().clear();
            until("ok", () -> status(rig).equals("ok "));
            Registrations.Webhook webhook = rig.x.registrations().webhooks().get(0);
            rig.x.registrations().limits(1, 0, 0);
            rig.x.registrations().unsubscribe();
            until("degraded by the lost subscription", () -> status(rig).startsWith("degraded X subscription is not right"));
            rig.x.registrations().subscription("dm.received", "dm", webhook.id());
            rig.x.registrations().subscription("oauth.revoke", "dm", webhook.id());
            until("ok again", () -> status(rig).equals("ok "));
        }
    }

    @ParameterizedTest
    @EnumSource
    void withAutoRegisterTheBridgeRegistersItselfAndKeepsItSo(Rig.Generation generation) throws Exception {
        try (Rig rig = rig(generation, false, "on")) {
            Customer ann = rig.customer("2");
            until("registered and subscribed", () -> rig.x.registrations().subscriptions().size() + rig.x.registrations().accountSubscriptions().size()
                    == (generation == Rig.Generation.CURRENT ? 3 : 1));
            ann.writes("hello");
            until("the message", () -> rig.written(ann).equals(List.of("hello")));
            rig.x.registrations().unsubscribe();
            until("subscribed again", () -> rig.x.registrations().subscriptions().size() + rig.x.registrations().accountSubscriptions().size()
                    == (generation == Rig.Generation.CURRENT ? 3 : 1));
            rig.x.faults().always("GET /2/webhooks", Refusals.NO_ACCESS);
            until("degraded", () -> status(rig).contains("X webhook is not right"));
        }
    }

    @Test
    void anotherBridgesWebhookIsNotTakenAwayUnasked() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of("AUTO_REGISTER", "on"), WATCHFUL)) {
            stoppedAndForgotten(rig);
            rig.x.registrations().webhook("https://desk.example.com/fromTwitter");
            rig.start();
            until("degraded", () -> status(rig).contains("X webhook"));
            assertEquals(List.of("https://desk.example.com/fromTwitter"), rig.x.registrations().webhooks().stream().map(Registrations.Webhook::url).toList());
        }
    }

    @Test
    void aFirstLookThatFailsIsRepeatedSoonAndToldMeanwhile() throws Exception {
        // Half an hour from look to look: only the repetition can be in time.
        Bridge.Timing timing = new Bridge.Timing(Duration.ofMillis(10), Duration.ofMillis(300), Duration.ofSeconds(4), Duration.ofMinutes(1),
                Duration.ofSeconds(3), Duration.ofHours(1), Duration.ofMinutes(30), Duration.ofHours(1));
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of("AUTO_REGISTER", "on"), timing)) {
            stoppedAndForgotten(rig);
            rig.x.resetCalls();
            rig.x.faults().always("*", Fault.status(503));
            rig.start();
            until("three looks", () -> rig.x.calls("POST /oauth2/token") >= 3);
            assertTrue(status(rig).matches("degraded (what no webhook brought cannot be read: .*; )?X has not been looked at yet"), status(rig));
            rig.x.faults().clear();
            until("registered", () -> rig.x.registrations().subscriptions().size() == 3);
            until("ok", () -> status(rig).equals("ok "));
        }
    }

    @Test
    void anotherProgramsSubscriptionIsNotTakenAwayUnasked() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of("AUTO_REGISTER", "on"), WATCHFUL)) {
            stoppedAndForgotten(rig);
            rig.x.registrations().limits(3, 1500, 3);
            String theirs = rig.x.registrations().webhook("https://crm.example.com/x-events");
            rig.x.registrations().subscription("dm.received", "crm", theirs);
            rig.start();
            until("degraded", () -> status(rig).contains("X subscription is not right"));
            assertTrue(rig.x.registrations().subscriptions().stream().anyMatch(one -> one.eventType().equals("dm.received") && one.webhookId().equals(theirs)));
        }
    }

    @Test
    void aWebhookThatXStillFindsWrongIsNotCalledValid() throws Exception {
        try (Rig rig = rig(Rig.Generation.CURRENT, true, "")) {
            until("a first look", () -> rig.x.calls("GET /2/webhooks") > 0);
            rig.x.faults().always("PUT /2/webhooks/{webhook_id}", Fault.status(200, Map.of(), "{\"data\":{\"valid\":false}}"));
            rig.x.registrations().invalidateWebhooks();
            until("degraded", () -> status(rig).contains("X webhook is not right"));
        }
    }

    @Test
    void messagesFlowWhileXHangsInALook() throws Exception {
        java.util.concurrent.CountDownLatch hang = new java.util.concurrent.CountDownLatch(1);
        try (Rig rig = rig(Rig.Generation.CURRENT, true, "")) {
            rig.x.faults().always("GET /2/webhooks", Fault.hold(hang));
            until("it hangs", () -> rig.x.calls("GET /2/webhooks") > 0);
            Customer ann = rig.customer("4");
            ann.writes("hello");
            rig.flex.agentWrites(rig.chat(ann), "hi");
            until("the answer", () -> Rig.received(ann).equals(List.of("hi")));
            hang.countDown();
        }
    }

    @Test
    void whoHasRegisteredByOtherMeansIsNotCalledDegraded() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of("AUTO_REGISTER", "off"), WATCHFUL)) {
            until("two looks", () -> rig.x.calls("GET /2/webhooks") > 1);
            assertEquals("ok ", status(rig));
            rig.x.faults().always("*", Fault.status(503));
            until("looks at a service that is down", () -> rig.x.calls("POST /oauth2/token") > 4);
            assertEquals("ok ", status(rig));
        }
    }

    @Test
    void metricsAreInPrometheusTextFormatAndTrue() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Customer ann = rig.customer("3");
            rig.flex.faults().next("*", Fault.status(503), Fault.dropBefore());
            ann.writes("hello");
            rig.flex.agentWrites(rig.chat(ann), "hi");
            until("the answer", () -> Rig.received(ann).size() == 1);
            rig.quiet();
            HttpResponse<String> answer = rig.get("/metrics");
            assertEquals(200, answer.statusCode());
            assertEquals("text/plain; version=0.0.4; charset=utf-8", answer.headers().firstValue("content-type").orElse(""));
            Pattern line = Pattern.compile("# (TYPE|HELP) [a-z_]+ .+|[a-z_]+(\\{[a-z]+=\"[^\"]*\"(,[a-z]+=\"[^\"]*\")*})? [0-9.E-]+");
            answer.body().lines().forEach(one -> assertTrue(line.matcher(one).matches(), one));
            assertEquals("2", value(answer.body(), "bridge_received_total"));
            assertEquals("2", value(answer.body(), "bridge_delivered_total"));
            assertEquals("0", value(answer.body(), "bridge_pending"));
            assertEquals("1", value(answer.body(), "bridge_delivery_seconds_count{to=\"Flex\"}"));
            assertEquals("1", value(answer.body(), "bridge_delivery_seconds_bucket{to=\"X\",le=\"+Inf\"}"));
            assertEquals("1", value(answer.body(), "bridge_service_errors_total{service=\"Twilio\",status=\"503\"}"));
            assertEquals("1", value(answer.body(), "bridge_service_errors_total{service=\"Twilio\",status=\"none\"}"));
            assertFalse(answer.body().contains("hello"));
        }
    }

    private static String value(String text, String name) {
        Matcher found = Pattern.compile("(?m)^" + Pattern.quote(name) + " (.*)$").matcher(text);
        assertTrue(found.find(), name + " is not in\n" + text);
        return found.group(1);
    }

    @Test
    void whatComesThroughATunnelSeesNoMetricsAndOfHealthOnlyWhetherAllIsWell() throws Exception {
        try (Rig rig = rig(Rig.Generation.CURRENT, true, "")) {
            for (String header : List.of("X-Forwarded-For", "Forwarded", "x-forwarded-FOR")) {
                assertEquals(404, forwarded(rig, "/metrics", header).statusCode());
                assertEquals("{\"status\":\"ok\"}", forwarded(rig, "/healthz", header).body());
            }
            String unauthorized = "{\"title\":\"Unauthorized\",\"status\":401}";
            rig.x.faults().always("GET /2/users/me", Fault.status(401, Map.of(), unauthorized));
            until("degraded", () -> status(rig).startsWith("degraded X account"));
            HttpResponse<String> answer = forwarded(rig, "/healthz", "Forwarded");
            assertEquals(503, answer.statusCode());
            assertEquals("{\"status\":\"degraded\"}", answer.body());
        }
    }

    private static HttpResponse<String> forwarded(Rig rig, String path, String header) throws Exception {
        URI uri = URI.create(rig.url() + path);
        HttpRequest request = HttpRequest.newBuilder(uri).header(header, "203.0.113.9").build();
        return Rig.HTTP.send(request, HttpResponse.BodyHandlers.ofString());
    }
}
