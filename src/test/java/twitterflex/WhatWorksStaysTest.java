package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static twitterflex.Rig.until;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Registrations;

/** Neither setup nor a running bridge takes away a webhook that works: whatever fails, is refused or is killed on the way. */
@Execution(ExecutionMode.CONCURRENT)
class WhatWorksStaysTest {
    private static final String DESK = "https://desk.invalid";
    private static final String REGISTER = "POST /2/webhooks";
    private static final String REMOVE = "DELETE /2/webhooks/{webhook_id}";
    private static final String SUBSCRIBE = "POST /2/activity/subscriptions";
    private static final String BRING = "PUT /2/activity/subscriptions/{subscription_id}";
    private static final String SUBSCRIBE_TO_ALL = "POST /2/account_activity/webhooks/{webhook_id}/subscriptions/all";

    /** A bridge that has served at its desk for long, and a folder on another machine from which setup is run. */
    private static final class Desk implements AutoCloseable {
        final SetupTest.Day day;
        final Rig.Generation generation;
        final Bridge bridge;
        final String here;

        Desk(Rig.Generation generation, int room) throws Exception {
            this.generation = generation;
            day = new SetupTest.Day(generation);
            here = "http://127.0.0.1:" + day.port;
            day.flex.provisioning().taskChannel("twitter");
            day.x.registrations().limits(room, 1500, 3);
            Map<String, String> theirs = Rig.environment(generation, day.x, day.flex, 0, day.folder.resolve("desk"));
            theirs.put("PUBLIC_URL", DESK);
            theirs.put("FLEX_FLOW_SID", day.flex.provisioning().flexFlow("desk", day.flex.provisioning().studioFlow("desk", "published"), true));
            bridge = new Bridge(Bridge.Settings.from(theirs), Rig.QUICK, Operator.Watch::new);
            bridge.start();
            day.x.resolve(DESK, bridge.address());
            String webhook = day.x.registrations().webhook(DESK + "/fromTwitter");
            if (generation == Rig.Generation.CURRENT) {
                List.of("dm.received", "oauth.revoke", "chat.received").forEach(event -> day.x.registrations().subscription(event, "dm", webhook));
            } else {
                day.x.registrations().accountSubscription(webhook);
            }
        }

        /** The address at which this folder's bridge was last. */
        void hadServedAt(String address) throws Exception {
            try (Bridge.Journal journal = Bridge.Journal.open(Path.of(day.given.get("DATA_DIR")), 10, 1 << 20)) {
                journal.start(delivery -> { });
                journal.moved(address);
            }
        }

        String said() {
            return String.join("\n", day.said);
        }

        /** Where this account's messages go, and whether the news of a revoked token does too: from webhooks that X has found right. */
        Set<String> live() {
            Registrations all = day.x.registrations();
            return all.webhooks().stream().filter(Registrations.Webhook::valid).filter(webhook -> generation == Rig.Generation.CLASSIC
                    ? all.accountSubscriptions().contains(webhook.id())
                    : all.subscriptions().stream().anyMatch(one -> one.webhookId().equals(webhook.id()) && one.eventType().equals("dm.received")))
                    .map(webhook -> webhook.url().replace("/fromTwitter", "")).collect(Collectors.toSet());
        }

        boolean subscribedToAll() {
            return generation == Rig.Generation.CLASSIC ? day.x.registrations().accountSubscriptions().size() == 1
                    : day.x.registrations().subscriptions().stream().map(Registrations.Subscription::eventType).sorted().toList()
                            .equals(List.of("chat.received", "dm.received", "oauth.revoke"));
        }

        /** Whether setup, run once more, moves all that is left to be moved. */
        boolean finishes() throws Exception {
            return day.setup("--move") && live().equals(Set.of(here)) && subscribedToAll();
        }

        /** A customer's message arrives. */
        void messagesArrive(String text) {
            Customer ann = day.x.customer("5", "ann", "Ann");
            ann.writes(text);
            until("\"" + text + "\"", () -> day.flex.openChat("twitter-5").filter(chat -> chat.messages().stream()
                    .anyMatch(message -> message.body().equals(text))).isPresent());
        }

        @Override
        public void close() throws IOException {
            bridge.stop();
            day.close();
        }
    }

    private static Desk desk(int room) throws Exception {
        return new Desk(Rig.Generation.CURRENT, room);
    }

    // An address that does not answer.

    @ParameterizedTest
    @CsvSource({"CURRENT, 1", "CURRENT, 2", "CLASSIC, 1", "CLASSIC, 2"})
    void anAddressThatDoesNotAnswerTakesNothingAway(Rig.Generation generation, int room) throws Exception {
        try (Desk desk = new Desk(generation, room)) {
            String state = desk.day.x.registrations().snapshot();
            desk.day.given.put("PUBLIC_URL", "http://127.0.0.1:9");
            for (String[] words : new String[][] {{}, {"--move"}, {"--move", "--dry-run"}}) {
                desk.day.setup(words);
                assertTrue(desk.said().contains("✗ to do    public address"), desk::said);
                assertEquals(state, desk.day.x.registrations().snapshot(), desk::said);
            }
            desk.hadServedAt(DESK);
            assertFalse(desk.day.setup());
            assertEquals(state, desk.day.x.registrations().snapshot(), desk::said);
            assertEquals(List.of(), desk.day.x.exchanges().stream().filter(call -> call.method().equals("DELETE")).toList());
            desk.messagesArrive("are you there?");
        }
    }

    @ParameterizedTest
    @EnumSource
    void anAddressThatOnlyXCannotReachGivesBackWhatMadeRoomForIt(Rig.Generation generation) throws Exception {
        try (Desk desk = new Desk(generation, 1)) {
            desk.day.x.resolve(desk.here, "http://127.0.0.1:9");
            assertFalse(desk.day.setup("--move"));
            assertEquals(Set.of(DESK), desk.live(), desk::said);
            assertTrue(desk.subscribedToAll(), desk::said);
            assertTrue(desk.said().contains(DESK + "/fromTwitter is registered again"), desk::said);
            assertFalse(Files.exists(desk.day.folder.resolve(".env.old-webhook")));
            desk.messagesArrive("still there?");
        }
    }

    /** The webhook at the new address is there already, and the subscriptions are to follow. */
    @ParameterizedTest
    @CsvSource({"true, https://new.invalid", "false, https://desk.invalid"})
    void anAddressThatCannotBeSeenFromHereIsChallengedByXOnceMore(boolean reachable, String live) throws Exception {
        try (Desk desk = desk(2)) {
            desk.day.x.resolve("https://new.invalid", reachable ? desk.bridge.address() : "http://127.0.0.1:9");
            desk.day.x.registrations().webhook("https://new.invalid/fromTwitter");
            desk.day.given.put("PUBLIC_URL", "https://new.invalid");
            assertEquals(reachable, desk.day.setup("--move"), "what X finds counts");
            assertTrue(desk.said().contains((reachable ? "! warned   " : "✗ to do    ") + "public address"), desk::said);
            assertEquals(Set.of(live), desk.live(), desk::said);
            assertTrue(desk.subscribedToAll());
        }
    }

    @ParameterizedTest
    @CsvSource({"1, https://desk.invalid", "2, here"})
    void aWebhookThatServesAnotherAccountIsNotRemoved(int room, String live) throws Exception {
        try (Desk desk = desk(room)) {
            String webhook = desk.day.x.registrations().webhooks().get(0).id();
            String theirs = desk.day.x.registrations().subscriptionOf("77", "dm.received", webhook);
            assertEquals(room == 2, desk.day.setup("--move"), desk::said);
            assertTrue(desk.day.x.registrations().subscriptions().stream().anyMatch(one -> one.id().equals(theirs) && one.webhookId().equals(webhook)),
                    desk::said);
            assertTrue(desk.day.x.registrations().webhooks().stream().anyMatch(one -> one.id().equals(webhook)), desk::said);
            assertTrue(desk.live().contains(live.equals("here") ? desk.here : live), desk::said);
        }
    }

    // An address that is not this folder's former one.

    @ParameterizedTest
    @CsvSource({"CURRENT, 1", "CURRENT, 2", "CLASSIC, 1", "CLASSIC, 2"})
    void anotherBridgesWebhookIsMovedByThoseWhoSaySo(Rig.Generation generation, int room) throws Exception {
        try (Desk desk = new Desk(generation, room)) {
            String state = desk.day.x.registrations().snapshot();
            assertFalse(desk.day.setup());
            assertEquals(state, desk.day.x.registrations().snapshot());
            assertTrue(desk.day.said.stream().anyMatch(line -> line.startsWith("✗") && line.contains("X webhook")
                    && line.contains("it is at " + DESK) && line.contains("setup --move")), desk::said);
            assertTrue(desk.day.setup("--move"), desk::said);
            assertEquals(Set.of(desk.here), desk.live());
            assertEquals(1, desk.day.x.registrations().webhooks().size());
            assertTrue(desk.subscribedToAll());
            String moved = desk.day.x.registrations().snapshot();
            assertTrue(desk.day.setup(), desk::said);
            assertEquals(moved, desk.day.x.registrations().snapshot());
            assertEquals(List.of(), desk.day.x.violations());
        }
    }

    @ParameterizedTest
    @CsvSource({"CURRENT, 1", "CURRENT, 2", "CLASSIC, 1", "CLASSIC, 2"})
    void theFoldersOwnFormerWebhookIsMovedUnasked(Rig.Generation generation, int room) throws Exception {
        try (Desk desk = new Desk(generation, room)) {
            desk.hadServedAt(DESK);
            assertTrue(desk.day.setup(), desk::said);
            assertEquals(Set.of(desk.here), desk.live());
            assertEquals(1, desk.day.x.registrations().webhooks().size());
            assertTrue(desk.subscribedToAll());
            assertEquals(List.of(), desk.day.x.violations());
        }
    }

    @ParameterizedTest
    @CsvSource({"no, false", "yes, true"})
    void onATerminalItAsks(String answer, boolean moves) throws Exception {
        Path script = Path.of("/usr/bin/script");
        assumeTrue(Files.isExecutable(script), "skipped: no script command here to make a terminal");
        try (Desk desk = desk(1)) {
            String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
            try (Command setup = new Command(desk.day.folder, desk.day.folder, desk.day.given, List.of(script.toString(), "-qec",
                    "'" + java + "' -jar '" + BridgeProcess.JAR + "' setup", "/dev/null"))) {
                setup.awaits(DESK + "/fromTwitter, where another bridge may need them.");
                setup.awaits("(yes or no): ");
                assertEquals(Set.of(DESK), desk.live());
                setup.types(answer);
                assertEquals(moves ? 0 : 1, setup.status(), setup.output());
            }
            assertEquals(Set.of(moves ? desk.here : DESK), desk.live());
            assertTrue(desk.subscribedToAll());
        }
    }

    @Test
    void anotherProgramsSubscriptionIsMovedByThoseWhoSaySo() throws Exception {
        try (Desk desk = desk(3)) {
            desk.day.x.registrations().webhooks().forEach(webhook -> desk.day.x.registrations().forget(webhook.id()));
            String crm = desk.day.x.registrations().webhook("https://crm.example.com/x-events");
            desk.day.x.registrations().subscription("dm.received", "crm", crm);
            assertFalse(desk.day.setup());
            assertTrue(desk.said().contains("it is at https://crm.example.com/x-events"), desk::said);
            assertEquals(crm, desk.day.x.registrations().subscriptions().get(0).webhookId());
            assertTrue(desk.day.setup("--move"), desk::said);
            assertEquals(Set.of(desk.here), desk.live());
            assertTrue(desk.day.x.registrations().webhooks().stream().anyMatch(webhook -> webhook.id().equals(crm)), "it may be used otherwise");
        }
    }

    // What would not come back.

    @Test
    void nothingIsRemovedWhereXWouldNotLetUsSubscribeAgain() throws Exception {
        try (Desk desk = desk(1)) {
            String state = desk.day.x.registrations().snapshot();
            desk.day.x.registrations().privateEventsNeedOAuth2(true);
            assertFalse(desk.day.setup("--move"));
            assertTrue(desk.said().contains("TWITTER_USER_TOKEN"), desk::said);
            assertEquals(state, desk.day.x.registrations().snapshot());
        }
    }

    // The order.

    @Test
    void aDryRunTellsTheOrderWithRoomForOneWebhookAndForMore() throws Exception {
        try (Desk desk = desk(1)) {
            String state = desk.day.x.registrations().snapshot();
            assertTrue(desk.day.setup("--dry-run"), desk::said);
            assertEquals(state, desk.day.x.registrations().snapshot());
            List<String> told = desk.day.said.stream().filter(line -> line.startsWith("    ") && !line.contains(".env"))
                    .map(line -> line.strip().replaceAll("would call (\\w+) http://[^/]+(/2/[a-z/]+).*", "$1 $2")).toList();
            assertEquals(List.of("would ask whether what is at " + DESK + "/fromTwitter may be moved (--move says yes)", "POST /2/webhooks",
                    "which X refuses where the app may have one webhook only; then setup", "POST /2/activity/subscriptions", "DELETE /2/webhooks/", "POST /2/webhooks",
                    "POST /2/activity/subscriptions", "POST /2/activity/subscriptions", "POST /2/activity/subscriptions", "and where it may have more, setup",
                    "PUT /2/activity/subscriptions/", "PUT /2/activity/subscriptions/", "PUT /2/activity/subscriptions/", "DELETE /2/webhooks/"), told);
        }
    }

    @ParameterizedTest
    @CsvSource({"1, POST POST DELETE POST POST POST POST", "2, POST PUT PUT PUT DELETE"})
    void theOrderIsTheOneThatWasTold(int room, String order) throws Exception {
        try (Desk desk = desk(room)) {
            assertTrue(desk.day.setup("--move"), desk::said);
            assertEquals(order, desk.day.x.exchanges().stream().filter(call -> call.target().startsWith("/2/") && !call.method().equals("GET"))
                    .map(call -> call.method()).collect(Collectors.joining(" ")));
        }
    }

    // Failures and kills at every step.

    /** Each call to X that a move makes, in turn: refused for a moment, or done with the answer lost. */
    @ParameterizedTest
    @CsvSource({"CURRENT, 1", "CURRENT, 2", "CLASSIC, 1", "CLASSIC, 2"})
    void aFailureOfAnyCallLeavesWhatWorksAndTheNextSetupFinishes(Rig.Generation generation, int room) throws Exception {
        int calls;
        try (Desk desk = new Desk(generation, room)) {
            assertTrue(desk.day.setup("--move"));
            calls = desk.day.x.calls();
        }
        List<Callable<String>> all = new ArrayList<>();
        for (int call = 0; call < calls; call++) {
            for (Fault fault : List.of(Fault.status(503), Fault.dropAfter())) {
                int before = call;
                all.add(() -> failed(generation, room, before, fault));
            }
        }
        troubles(all);
    }

    private static void troubles(List<Callable<String>> all) throws Exception {
        ExecutorService scenarios = Executors.newFixedThreadPool(4);
        for (Future<String> trouble : scenarios.invokeAll(all)) {
            assertEquals("", trouble.get());
        }
        scenarios.shutdown();
    }

    private static String failed(Rig.Generation generation, int room, int before, Fault fault) throws Exception {
        try (Desk desk = new Desk(generation, room)) {
            Collections.nCopies(before, Fault.delay(Duration.ZERO)).forEach(none -> desk.day.x.faults().next("*", none));
            desk.day.x.faults().next("*", fault);
            desk.day.setup("--move");
            String where = "call " + before + " " + fault + ": ";
            if (desk.live().isEmpty()) {
                return where + desk.said();
            }
            return desk.finishes() ? "" : where + desk.said() + desk.day.x.registrations().snapshot();
        }
    }

    private record Kill(String operation, int before) { }

    /** Every change that a move makes, in its order; the first are those that X refuses. */
    private static List<Kill> kills(Rig.Generation generation, int room) {
        boolean current = generation == Rig.Generation.CURRENT;
        String subscribe = current ? SUBSCRIBE : SUBSCRIBE_TO_ALL;
        List<Kill> kills = new ArrayList<>(List.of(new Kill(REGISTER, 0), new Kill(REMOVE, 0)));
        if (room == 1) {
            kills.addAll(List.of(new Kill(REGISTER, 1), new Kill(subscribe, 0), new Kill(subscribe, 1)));
        }
        if (room == 1 && current) {
            kills.add(new Kill(SUBSCRIBE, 2));
        } else if (room == 2) {
            kills.addAll(current ? List.of(new Kill(BRING, 0), new Kill(BRING, 1)) : List.of(new Kill(subscribe, 0)));
        }
        return kills;
    }

    /** Cut off with the change not yet made, and with it made but not known: what works still works, and the next setup ends it. */
    @ParameterizedTest
    @CsvSource({"CURRENT, 1", "CURRENT, 2", "CLASSIC, 1", "CLASSIC, 2"})
    void killedAtAnyChangeItLeavesWhatWorksAndTheNextSetupFinishes(Rig.Generation generation, int room) throws Exception {
        List<Callable<String>> all = new ArrayList<>();
        for (Kill kill : kills(generation, room)) {
            all.add(() -> killed(generation, room, kill, Fault.hold(new CountDownLatch(1))));
            all.add(() -> killed(generation, room, kill, Fault.stallBody(Duration.ofSeconds(60))));
        }
        troubles(all);
    }

    private static String killed(Rig.Generation generation, int room, Kill kill, Fault fault) throws Exception {
        try (Desk desk = new Desk(generation, room)) {
            Collections.nCopies(kill.before(), Fault.delay(Duration.ZERO)).forEach(none -> desk.day.x.faults().next(kill.operation(), none));
            desk.day.x.faults().next(kill.operation(), fault);
            desk.day.setupCutOff(reached(desk, kill, fault), "--move");
            desk.day.x.faults().clear();
            String where = kill + " " + fault + ": ";
            // The one gap that one webhook an app leaves: after the old one is removed, before the new one has its subscription.
            boolean gap = room == 1 && desk.day.x.exchanges().stream().anyMatch(call -> call.operation().equals(REMOVE));
            if (!gap && desk.live().isEmpty()) {
                return where + "nothing works any more";
            }
            return desk.finishes() ? "" : where + desk.said() + desk.day.x.registrations().snapshot();
        }
    }

    private static BooleanSupplier reached(Desk desk, Kill kill, Fault fault) {
        return () -> fault instanceof Fault.StallBody
                ? desk.day.x.exchanges().stream().filter(call -> call.operation().equals(kill.operation())).count() == kill.before() + 1
                : desk.day.x.calls(kill.operation()) == kill.before() + 1;
    }

    /** Real processes, right after the old one is gone, and right after the new one is there, which X then finds wrong. */
    @ParameterizedTest
    @CsvSource({"CURRENT, false", "CURRENT, true", "CLASSIC, false", "CLASSIC, true"})
    void killedInTheGapTheNextSetupPutsBackTheOldOneWhereTheNewOneIsRefused(Rig.Generation generation, boolean registered) throws Exception {
        try (Desk desk = new Desk(generation, 1)) {
            Kill gap = registered ? new Kill(REGISTER, 1) : new Kill(REMOVE, 0);
            Fault fault = Fault.stallBody(Duration.ofSeconds(60));
            Collections.nCopies(gap.before(), Fault.delay(Duration.ZERO)).forEach(none -> desk.day.x.faults().next(gap.operation(), none));
            desk.day.x.faults().next(gap.operation(), fault);
            desk.day.setupKilled(reached(desk, gap, fault), "--move");
            desk.day.x.faults().clear();
            assertEquals(Set.of(), desk.live());
            assertEquals(registered ? 1 : 0, desk.day.x.registrations().webhooks().size());
            desk.day.x.registrations().invalidateWebhooks();
            desk.day.x.resolve(desk.here, "http://127.0.0.1:9");
            assertFalse(desk.day.setup(), "the new one is not there");
            assertEquals(Set.of(DESK), desk.live(), desk::said);
            assertTrue(desk.subscribedToAll(), desk::said);
            desk.messagesArrive("here again");
        }
    }

    // A running bridge that registers itself.

    private static final Bridge.Timing WATCHFUL = new Bridge.Timing(Duration.ofMillis(10), Duration.ofMillis(200), Duration.ofSeconds(4),
            Duration.ofMinutes(1), Duration.ofSeconds(3), Duration.ofHours(1), Duration.ofMillis(200), Duration.ofHours(1));

    /** The desk's own bridge is started again, in its folder but under another address. */
    private static Bridge restarted(Desk desk, String former, String address) throws Exception {
        desk.hadServedAt(former);
        Map<String, String> moved = Rig.environment(desk.generation, desk.day.x, desk.day.flex, desk.day.port, desk.day.folder.resolve("data"));
        moved.put("AUTO_REGISTER", "on");
        moved.put("PUBLIC_URL", address);
        Bridge bridge = new Bridge(Bridge.Settings.from(moved), WATCHFUL, Operator.Watch::new);
        bridge.start();
        return bridge;
    }

    private static void looksSomeTimes(Desk desk, Bridge bridge) {
        until("some looks", () -> desk.day.x.calls("GET /2/webhooks") > 8);
        bridge.stop();
    }

    @Test
    void aBridgeUnderAnAddressThatDoesNotAnswerLeavesItsFormerOneThatDoes() throws Exception {
        try (Desk desk = desk(1)) {
            desk.day.x.registrations().webhooks().forEach(webhook -> desk.day.x.registrations().forget(webhook.id()));
            String former = desk.bridge.address();
            desk.day.x.registrations().subscription("dm.received", "dm", desk.day.x.registrations().webhook(former + "/fromTwitter"));
            looksSomeTimes(desk, restarted(desk, former, "http://127.0.0.1:9"));
            assertEquals(Set.of(former), desk.live());
            assertEquals(0, desk.day.x.calls(REMOVE));
        }
    }

    @ParameterizedTest
    @CsvSource({"CURRENT", "CLASSIC"})
    void aBridgeWhoseNewAddressXCannotReachPutsTheFormerOneBackAndTriesNoMore(Rig.Generation generation) throws Exception {
        try (Desk desk = new Desk(generation, 1)) {
            desk.day.x.resolve("https://new.invalid", "http://127.0.0.1:9");
            looksSomeTimes(desk, restarted(desk, DESK, "https://new.invalid"));
            assertEquals(Set.of(DESK), desk.live());
            assertTrue(desk.subscribedToAll());
            assertEquals(1, desk.day.x.calls(REMOVE));
        }
    }
}
