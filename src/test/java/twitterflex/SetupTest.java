package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static twitterflex.Rig.until;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.Refusals;
import twitterflex.sandbox.Registrations;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedNgrok;
import twitterflex.sandbox.SimulatedX;

/** The command setup: finds or makes what is missing, at any time again, and says in a sentence what only the user can do. */
class SetupTest {
    private static final List<String> LEARNT = List.of("FLEX_CHAT_SERVICE", "FLEX_FLOW_SID", "FLEX_WORKSPACE_SID", "FLEX_WORKFLOW_SID",
            "FLEX_TASK_CHANNEL");

    /** Accounts as they are on the first day, and a .env with nothing but keys in it. */
    private static final class Day implements AutoCloseable {
        final SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys());
        final SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample());
        final Path folder = Files.createTempDirectory("bridge-test");
        final Path dotEnv = folder.resolve(".env");
        final int port = Ports.free();
        final Map<String, String> given;
        final List<String> said = new ArrayList<>();

        Day(Rig.Generation generation) throws IOException {
            flex.provisioning().withoutFlows();
            flex.provisioning().withoutTaskChannel("twitter");
            given = Rig.environment(generation, x, flex, port, folder.resolve("data"));
            LEARNT.forEach(given::remove);
        }

        boolean setup(String... words) throws Exception {
            said.clear();
            Map<String, String> all = new HashMap<>(given);
            all.putAll(Bridge.Settings.canonical(Bridge.Settings.readDotEnv(dotEnv)));
            return Bridge.Setup.run(all, dotEnv, words.length == 0, said::add);
        }

        String learnt() throws Exception {
            return new TreeMap<>(Bridge.Settings.readDotEnv(dotEnv)).toString();
        }

        String state() {
            return flex.provisioning().snapshot() + x.registrations().snapshot();
        }

        /** What stands at both services, whatever its ids. */
        String shape() {
            Registrations all = x.registrations();
            return Stream.of(flex.provisioning().taskChannels(), flex.provisioning().studioFlows(), flex.provisioning().flexFlows())
                    .map(list -> list.stream().map(one -> one.path("unique_name").asText(one.path("friendly_name").asText())).sorted().toList()).toList()
                    + " " + all.webhooks().stream().map(Registrations.Webhook::url).toList() + all.subscriptions().stream()
                            .map(Registrations.Subscription::eventType).sorted().toList() + all.accountSubscriptions().size();
        }

        @Override
        public void close() throws IOException {
            x.close();
            flex.close();
            Rig.delete(folder);
        }
    }

    @ParameterizedTest
    @EnumSource
    void aFirstRunMakesWhatIsMissingAndASecondChangesNothing(Rig.Generation generation) throws Exception {
        try (Day day = new Day(generation)) {
            long start = System.nanoTime();
            assertTrue(day.setup(), () -> String.join("\n", day.said));
            System.out.println(generation + ", first setup: " + (day.x.calls() + day.flex.calls()) + " calls, " + (System.nanoTime() - start) / 1_000_000 + " ms");
            assertEquals(PosixFilePermissions.fromString("rw-------"), Files.getPosixFilePermissions(day.dotEnv));
            String state = day.state();
            String env = Files.readString(day.dotEnv);
            day.x.resetCalls();
            day.flex.resetCalls();
            start = System.nanoTime();
            assertTrue(day.setup(), () -> String.join("\n", day.said));
            System.out.println(generation + ", second setup: " + (day.x.calls() + day.flex.calls()) + " calls, " + (System.nanoTime() - start) / 1_000_000 + " ms");
            assertEquals(state, day.state());
            assertEquals(env, Files.readString(day.dotEnv));
            assertTrue(day.said.stream().noneMatch(line -> line.contains("created") || line.contains("changed")), () -> String.join("\n", day.said));
            assertEquals(List.of(), day.x.violations());
            assertEquals(List.of(), day.flex.violations());
            assertTrue(Bridge.Setup.check(new HashMap<>(merged(day)), true, day.said::add) ^ true, "no bridge answers yet");

            try (BridgeProcess bridge = new BridgeProcess(merged(day), day.folder)) {
                bridge.start();
                Customer ann = day.x.customer("5", "ann", "Ann");
                ann.writes("hello");
                until("the message, by the webhook that was registered", () -> day.flex.openChat("twitter-5").filter(chat -> chat.messages().size() == 1).isPresent());
                day.flex.agentWrites(day.flex.openChat("twitter-5").orElseThrow(), "hi Ann");
                until("the answer", () -> Rig.received(ann).equals(List.of("hi Ann")));
                List<String> rows = new ArrayList<>();
                assertTrue(Bridge.Setup.check(new HashMap<>(merged(day)), false, rows::add), () -> String.join("\n", rows));
            }
        }
    }

    private static Map<String, String> merged(Day day) throws Bridge.Wrong {
        Map<String, String> all = new HashMap<>(day.given);
        all.putAll(Bridge.Settings.readDotEnv(day.dotEnv));
        return all;
    }

    @ParameterizedTest
    @EnumSource
    void aDryRunShowsEveryCallItWouldMakeAndMakesNone(Rig.Generation generation) throws Exception {
        try (Day day = new Day(generation)) {
            String state = day.state();
            assertTrue(day.setup("--dry-run"), () -> String.join("\n", day.said));
            assertEquals(state, day.state());
            assertFalse(Files.exists(day.dotEnv));
            List<String> calls = day.said.stream().filter(line -> line.contains("would call")).toList();
            List<String> expected = generation == Rig.Generation.CURRENT
                    ? List.of("/TaskChannels", "/2/webhooks", "/2/activity/subscriptions", "/2/activity/subscriptions")
                    : List.of("/TaskChannels", "/v2/Flows", "/v1/FlexFlows", "/2/webhooks", "/subscriptions/all");
            assertEquals(expected.size(), calls.size(), () -> String.join("\n", day.said));
            for (int i = 0; i < calls.size(); i++) {
                assertTrue(calls.get(i).contains(expected.get(i)), calls.get(i));
            }
            SimulatedX.Keys keys = SimulatedX.sampleKeys();
            assertFalse(String.join("\n", day.said).contains(keys.consumerSecret()) || String.join("\n", day.said).contains(keys.accessSecret()));
        }
    }

    @ParameterizedTest
    @EnumSource
    void killedBeforeOrAfterAnyChangeAndRunAgainItEndsInTheSameState(Rig.Generation generation) throws Exception {
        String wanted;
        try (Day day = new Day(generation)) {
            assertTrue(day.setup());
            wanted = day.shape().replace(String.valueOf(day.port), "PORT") + names(day);
        }
        List<String> flexCalls = generation == Rig.Generation.CURRENT ? List.of("POST /v1/Workspaces/{WorkspaceSid}/TaskChannels")
                : List.of("POST /v1/Workspaces/{WorkspaceSid}/TaskChannels", "POST /v2/Flows", "POST /v1/FlexFlows");
        List<String> xCalls = generation == Rig.Generation.CURRENT ? List.of("POST /2/webhooks", "POST /2/activity/subscriptions")
                : List.of("POST /2/webhooks", "POST /2/account_activity/webhooks/{webhook_id}/subscriptions/all");
        ExecutorService scenarios = Executors.newFixedThreadPool(3);
        List<Callable<String>> all = new ArrayList<>();
        for (String operation : Stream.concat(flexCalls.stream(), xCalls.stream()).toList()) {
            for (Fault fault : List.of(Fault.hold(new CountDownLatch(1)), Fault.stallBody(Duration.ofSeconds(60)))) {
                all.add(() -> killAt(generation, operation, fault));
            }
        }
        for (Future<String> found : scenarios.invokeAll(all)) {
            assertEquals(wanted, found.get());
        }
        scenarios.shutdown();
    }

    private static String names(Day day) throws Bridge.Wrong {
        return new TreeMap<>(Bridge.Settings.readDotEnv(day.dotEnv)).keySet().toString();
    }

    private static String killAt(Rig.Generation generation, String operation, Fault fault) throws Exception {
        try (Day day = new Day(generation)) {
            day.x.faults().next(operation, fault);
            day.flex.faults().next(operation, fault);
            Command setup = Command.jar(day.folder, day.given, "setup");
            until(operation, () -> day.x.calls(operation) + day.flex.calls(operation) == 1);
            until("the work done", () -> !(fault instanceof Fault.StallBody) || Stream.concat(day.x.exchanges().stream(), day.flex.exchanges().stream())
                    .anyMatch(call -> call.operation().equals(operation)));
            setup.close();
            day.x.faults().clear();
            day.flex.faults().clear();
            return day.setup() ? day.shape().replace(String.valueOf(day.port), "PORT") + names(day) : String.join("\n", day.said);
        }
    }
}
