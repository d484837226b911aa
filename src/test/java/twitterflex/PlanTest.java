package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import twitterflex.Operator.Setup;
import twitterflex.Operator.Setup.Change;
import twitterflex.Operator.Setup.Seen;
import twitterflex.Operator.Setup.Subscription;
import twitterflex.Operator.Setup.Webhook;
import twitterflex.sandbox.Samples;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/** What follows from what stands at X is worked out, and nobody is asked for it. */
class PlanTest {
    private static final String HERE = "https://here.example.com";
    private static final Webhook OURS = new Webhook("1", HERE + "/fromTwitter", true);
    private static final Webhook DESK = new Webhook("2", "https://desk.example.com/fromTwitter", true);
    private static final Webhook CRM = new Webhook("3", "https://crm.example.com/x-events", true);
    private static final Subscription CHAT = to("chat.received", OURS);

    private final SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys());
    private final SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample());

    @AfterEach
    void nobodyWasAsked() {
        assertEquals(0, x.calls() + flex.calls());
        x.close();
        flex.close();
    }

    /** What is to be done, one a line: what it is, the call, and from where it takes something; what needs nothing is left out. */
    private List<String> plan(String address, String api, Seen seen) {
        Map<String, String> given = Samples.settings(x, flex, "conversations", api, 3000, Path.of("data"));
        given.put("PUBLIC_URL", address);
        Bridge.Settings settings = Bridge.Settings.of(given, new ArrayList<>());
        Bridge.Client client = new Bridge.Client(Duration.ofSeconds(1), (service, status) -> { });
        Setup setup = new Setup(settings, client, new Bridge.XAccess(client, settings, Rig.QUICK, false), "", new Setup.Permission(Set.of()), step -> { });
        return setup.plan(seen).stream().filter(action -> action.change() != Change.NONE)
                .map(action -> (action.name() + ": " + action.calls()[0].method() + " "
                        + action.calls()[0].request().get().build().uri().getPath() + " " + action.from()).strip()).toList();
    }

    private static Seen seen(List<Webhook> webhooks, Subscription... subscriptions) {
        return new Seen("9", OURS.url(), webhooks, List.of(subscriptions));
    }

    private static Subscription to(String event, Webhook webhook) {
        return new Subscription(event + "-at-" + webhook.id(), event, webhook.id(), "9");
    }

    @Test
    void nothingIsToBeDoneWhereAllIsThere() {
        Seen seen = seen(List.of(OURS, DESK), to("dm.received", OURS), to("oauth.revoke", OURS), CHAT);
        assertEquals(List.of(), plan(HERE, "2", seen));
    }

    @Test
    void whatIsMissingIsRegisteredAndSubscribed() {
        assertEquals(List.of("X webhook: POST /2/webhooks", "X subscription: POST /2/activity/subscriptions",
                "X subscription: POST /2/activity/subscriptions", "X subscription: POST /2/activity/subscriptions"),
                plan(HERE, "2", seen(List.of())));
        assertEquals(List.of("X subscription: POST /2/account_activity/webhooks/1/subscriptions/all"),
                plan(HERE, "1.1", seen(List.of(OURS))));
    }

    @Test
    void aWebhookThatXHasSwitchedOffIsChallengedAnew() {
        Seen seen = seen(List.of(new Webhook("1", OURS.url(), false)), to("dm.received", OURS), to("oauth.revoke", OURS), CHAT);
        assertEquals(List.of("X webhook: PUT /2/webhooks/1"), plan(HERE, "2", seen));
    }

    @Test
    void aSubscriptionElsewhereIsBroughtHereAndSaysFromWhere() {
        Seen seen = seen(List.of(OURS, CRM), to("dm.received", CRM), CHAT);
        assertEquals(List.of("X subscription: PUT /2/activity/subscriptions/dm.received-at-3 " + CRM.url(),
                "X subscription: POST /2/activity/subscriptions"), plan(HERE, "2", seen));
    }

    /** Which another bridge would need no more, and another program does. */
    @Test
    void whatIsNotNeededStaysWithAnotherProgram() {
        assertEquals(List.of(), plan(HERE, "2", seen(List.of(OURS, CRM), to("dm.received", OURS), to("oauth.revoke", CRM),
                to("chat.received", CRM))));
        assertEquals(List.of("X subscription: PUT /2/activity/subscriptions/chat.received-at-2 " + DESK.url()),
                plan(HERE, "2", seen(List.of(OURS, DESK), to("dm.received", OURS), to("oauth.revoke", OURS), to("chat.received", DESK))));
    }

    @Test
    void anotherAccountsSubscriptionsAreNobodysBusiness() {
        Seen seen = seen(List.of(OURS, DESK), new Subscription("8", "dm.received", "2", "77"), to("oauth.revoke", OURS), CHAT);
        assertEquals(List.of("X subscription: POST /2/activity/subscriptions"), plan(HERE, "2", seen));
    }

    @Test
    void withoutAWebhookItsSubscriptionsAreGoneTooAndHaveToBeMadeAgain() {
        Seen seen = seen(List.of(DESK, CRM), to("dm.received", DESK), to("oauth.revoke", CRM), to("chat.received", DESK));
        assertEquals(List.of("X webhook: POST /2/webhooks", "X subscription: POST /2/activity/subscriptions",
                "X subscription: POST /2/activity/subscriptions"), plan(HERE, "2", seen.without(DESK)));
    }

    @ParameterizedTest
    @CsvSource({"https://here.example.com:8443, false", "http://127.0.0.1:3000, true", "https://here.example.com, true"})
    void anAddressThatXDoesNotTakeIsNotTried(String address, boolean tried) {
        List<String> plan = plan(address, "2", new Seen("9", address + "/fromTwitter", List.of(), List.of()));
        assertEquals(tried, plan.contains("X webhook: POST /2/webhooks"), plan::toString);
        assertNotEquals(List.of(), plan);
    }
}
