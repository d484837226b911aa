package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static twitterflex.Rig.until;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
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
    static final class Day implements AutoCloseable {
        final SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys());
        final SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample());
        final Path folder = Files.createTempDirectory("bridge-test");
        final Path dotEnv = folder.resolve(".env");
        final int port = Ports.free();
        final Map<String, String> given;
        Duration patience = Operator.Setup.PATIENCE;
        final List<String> said = new java.util.concurrent.CopyOnWriteArrayList<>();

        Day(Rig.Generation generation) throws IOException {
            flex.provisioning().withoutFlows();
            flex.provisioning().withoutTaskChannel("twitter");
            given = Rig.environment(generation, x, flex, port, folder.resolve("data"));
            LEARNT.forEach(given::remove);
        }

        boolean setup(String... words) throws Exception {
            said.clear();
            return setup(said::add, words);
        }

        private boolean setup(Consumer<String> out, String... words) throws Exception {
            Map<String, String> all = new HashMap<>(given);
            all.putAll(Bridge.Settings.canonical(Bridge.Settings.readDotEnv(dotEnv)));
            return Operator.Setup.run(all, dotEnv, Set.of(words), patience, out);
        }

        private static final class CutOff extends Error {
            private static final long serialVersionUID = 1;
        }

        /**
         * A setup that comes no further than a call, as if it were killed in it: what a call came to is said before anything else
         * is done, and whoever listens throws. Its files are all that is left of it.
         */
        void setupCutOff(BooleanSupplier inTheCall, String... words) throws Exception {
            AtomicBoolean cut = new AtomicBoolean();
            CompletableFuture<Throwable> end = new CompletableFuture<>();
            Thread setup = new Thread(() -> {
                try {
                    end.complete(new AssertionError("setup ended: " + setup(line -> {
                        if (cut.get()) {
                            throw new CutOff();
                        }
                    }, words)));
                } catch (Throwable thrown) {
                    end.complete(thrown);
                }
            });
            setup.start();
            until("the call", () -> inTheCall.getAsBoolean() || end.isDone());
            int calls = x.calls() + flex.calls();
            cut.set(true);
            setup.interrupt();
            assertInstanceOf(CutOff.class, end.get());
            assertEquals(calls, x.calls() + flex.calls(), "calls after it was cut off");
        }

        /** The same with a process, which is killed. */
        void setupKilled(BooleanSupplier inTheCall, String... words) throws Exception {
            List<String> all = new ArrayList<>(List.of("setup"));
            all.addAll(List.of(words));
            try (Command setup = Command.jar(folder, given, all.toArray(String[]::new))) {
                until("the call", inTheCall);
                setup.process().destroyForcibly().waitFor();
            }
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
            assertTrue(Operator.Setup.check(new HashMap<>(merged(day)), true, day.said::add) ^ true, "no bridge answers yet");

            try (BridgeProcess bridge = new BridgeProcess(merged(day), day.folder)) {
                bridge.start();
                Customer ann = day.x.customer("5", "ann", "Ann");
                ann.writes("hello");
                until("the message, by the webhook that was registered", () -> day.flex.openChat("twitter-5").filter(chat -> chat.messages().size() == 1).isPresent());
                day.flex.agentWrites(day.flex.openChat("twitter-5").orElseThrow(), "hi Ann");
                until("the answer", () -> Rig.received(ann).equals(List.of("hi Ann")));
                List<String> rows = new ArrayList<>();
                assertTrue(Operator.Setup.check(new HashMap<>(merged(day)), false, rows::add), () -> String.join("\n", rows));
            }
        }
    }

    static Map<String, String> merged(Day day) throws Bridge.CommandFailed {
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
                    ? List.of("/TaskChannels", "/2/webhooks", "/2/activity/subscriptions", "/2/activity/subscriptions", "/2/activity/subscriptions")
                    : List.of("/TaskChannels", "/v2/Flows", "/v1/FlexFlows", "/2/webhooks", "/subscriptions/all");
            assertEquals(expected.size(), calls.size(), () -> String.join("\n", day.said));
            for (int i = 0; i < calls.size(); i++) {
                assertTrue(calls.get(i).contains(expected.get(i)), calls.get(i));
            }
            List<String> written = day.said.stream().filter(line -> line.contains("would write")).map(String::strip).toList();
            assertTrue(written.contains("would write FLEX_TASK_CHANNEL=twitter to .env"), written::toString);
            assertFalse(day.said.stream().anyMatch(line -> line.contains("written to .env") || line.contains("= to .env") || line.contains("%20")));
            if (generation == Rig.Generation.CLASSIC) {
                assertTrue(written.contains("would write FLEX_FLOW_SID, once it is there, to .env"), written::toString);
                assertTrue(day.said.contains("             with FriendlyName=X Direct Messages"), () -> String.join("\n", day.said));
                String longest = day.said.stream().flatMap(String::lines).max(java.util.Comparator.comparing(String::length)).orElse("");
                assertTrue(longest.length() < 260, longest);
            }
            SimulatedX.Keys keys = SimulatedX.sampleKeys();
            assertFalse(String.join("\n", day.said).contains(keys.consumerSecret()) || String.join("\n", day.said).contains(keys.accessSecret()));
        }
    }

    /** What nobody needs for messages is left to another program that has it; setup and the bridge say so and are well. */
    @Test
    void anotherProgramKeepsItsSubscriptionToEncryptedChat() throws Exception {
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            day.x.registrations().limits(3, 1500, 3);
            String theirs = day.x.registrations().webhook("https://crm.example.com/x-events");
            day.x.registrations().subscription("chat.received", "crm", theirs);
            String wanted = "chat.received is another program's";
            assertTrue(day.setup("--dry-run"), () -> String.join("\n", day.said));
            assertTrue(day.setup(), () -> String.join("\n", day.said));
            assertTrue(day.said.stream().anyMatch(line -> line.startsWith("✓ found") && line.contains(wanted)), day.said::toString);
            assertTrue(day.setup("--move"), () -> String.join("\n", day.said));
            assertTrue(day.x.registrations().subscriptions().stream().anyMatch(one -> one.eventType().equals("chat.received")
                    && one.webhookId().equals(theirs)));
        }
    }

    /** Each finds what the other has made; what they write stays whole. */
    @Test
    void twoAtOnceEndAsOne() throws Exception {
        String wanted;
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            assertTrue(day.setup());
            wanted = day.shape().replace(String.valueOf(day.port), "PORT") + names(day);
        }
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            ExecutorService both = Executors.newFixedThreadPool(2);
            Callable<Boolean> setup = () -> day.setup(line -> { });
            for (Future<Boolean> done : both.invokeAll(List.of(setup, setup))) {
                done.get();
            }
            both.shutdown();
            assertTrue(day.setup(), () -> String.join("\n", day.said));
            assertEquals(wanted, day.shape().replace(String.valueOf(day.port), "PORT") + names(day));
            assertEquals(List.of(), day.x.violations());
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
                // Two real kills; the others are as good without a process.
                boolean process = operation.equals("POST /2/webhooks");
                all.add(() -> killAt(generation, operation, fault, process));
            }
        }
        for (Future<String> found : scenarios.invokeAll(all)) {
            assertEquals(wanted, found.get());
        }
        scenarios.shutdown();
    }

    private static String names(Day day) throws Bridge.CommandFailed {
        return new TreeMap<>(Bridge.Settings.readDotEnv(day.dotEnv)).keySet().toString();
    }

    private static String killAt(Rig.Generation generation, String operation, Fault fault, boolean process) throws Exception {
        try (Day day = new Day(generation)) {
            day.x.faults().next(operation, fault);
            day.flex.faults().next(operation, fault);
            BooleanSupplier inTheCall = () -> fault instanceof Fault.StallBody
                    ? Stream.concat(day.x.exchanges().stream(), day.flex.exchanges().stream()).anyMatch(call -> call.operation().equals(operation))
                    : day.x.calls(operation) + day.flex.calls(operation) == 1;
            if (process) {
                day.setupKilled(inTheCall);
            } else {
                day.setupCutOff(inTheCall);
            }
            day.x.faults().clear();
            day.flex.faults().clear();
            return day.setup() ? day.shape().replace(String.valueOf(day.port), "PORT") + names(day) : String.join("\n", day.said);
        }
    }

    @Test
    void anInvalidWebhookIsValidatedAgain() throws Exception {
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            assertTrue(day.setup());
            day.x.registrations().invalidateWebhooks();
            assertTrue(day.setup());
            assertTrue(day.x.registrations().webhooks().get(0).valid());
            assertTrue(day.said.stream().anyMatch(line -> line.contains("changed") && line.contains("switched it off")), () -> String.join("\n", day.said));
        }
    }

    @Test
    void whereXWantsAnOAuth2TokenSetupSaysSoAndUsesIt() throws Exception {
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            day.x.registrations().privateEventsNeedOAuth2(true);
            assertFalse(day.setup());
            assertTrue(day.said.stream().anyMatch(line -> line.contains("dm.read") && line.contains("TWITTER_USER_TOKEN")), () -> String.join("\n", day.said));
            day.x.registrations().userToken("user-token");
            day.given.put("TWITTER_USER_TOKEN", "user-token");
            assertTrue(day.setup(), () -> String.join("\n", day.said));
            assertEquals(3, day.x.registrations().subscriptions().size());
        }
    }

    @Test
    void theWorkflowIsTheOneThatIsNamedSoOrTheOnlyOneElseTheUserChooses() throws Exception {
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            day.flex.provisioning().withoutWorkflows();
            assertFalse(day.setup());
            assertTrue(String.join("\n", day.said).contains("the workspace has none"), () -> String.join("\n", day.said));
            day.flex.provisioning().workflow("WW" + "1".repeat(32), "Support");
            day.flex.provisioning().workflow("WW" + "2".repeat(32), "Sales");
            assertFalse(day.setup());
            assertTrue(String.join("\n", day.said).contains("set FLEX_WORKFLOW_SID to one of WW" + "1".repeat(32) + " (Support), WW" + "2".repeat(32) + " (Sales)"));
            day.given.put("FLEX_WORKFLOW_SID", "WW" + "2".repeat(32));
            String said = day.setup() ? "" : String.join("\n", day.said);
            assertTrue(said.contains("FLEX_WORKFLOW_SID") || said.isEmpty(), said);
            assertFalse(day.learnt().contains("FLEX_WORKFLOW_SID"), "what is set stays where it is");
        }
    }

    @Test
    void withoutATerminalWhatOnlyTheUserKnowsIsNamedAndNothingIsDone() throws Exception {
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            day.given.keySet().removeIf(name -> name.matches("TWITTER_(CONSUMER|ACCESS).*|TWILIO_A.*"));
            try (Command setup = Command.jar(day.folder, day.given, "setup")) {
                assertEquals(2, setup.status());
                List<String> lines = setup.errors().lines().toList();
                assertEquals(6, lines.size(), setup.errors());
                assertTrue(lines.get(0).startsWith("TWITTER_CONSUMER_KEY is missing: the X app's API key: developer.x.com"), lines.get(0));
                assertTrue(lines.stream().allMatch(line -> line.endsWith("; put it into .env, or run setup on a terminal, which asks")), setup.errors());
                assertEquals("", setup.output());
            }
            assertEquals(0, day.x.calls() + day.flex.calls());
        }
    }

    @Test
    void onATerminalItAsksAndShowsNoSecret() throws Exception {
        Path script = Path.of("/usr/bin/script");
        assumeTrue(Files.isExecutable(script), "skipped: no script command here to make a terminal");
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            String secret = day.given.remove("TWITTER_CONSUMER_SECRET");
            String sid = day.given.remove("TWILIO_ACCOUNT_SID");
            String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
            try (Command setup = new Command(day.folder, day.folder, day.given, List.of(script.toString(), "-qec",
                    "'" + java + "' -jar '" + BridgeProcess.JAR + "' setup", "/dev/null"))) {
                setup.awaits("TWITTER_CONSUMER_SECRET (not shown): ");
                setup.types(secret);
                setup.awaits("(" + secret.length() + " characters)");
                setup.awaits("TWILIO_ACCOUNT_SID: ");
                setup.types("nonsense");
                setup.awaits("That is not right (8 characters). It is the Twilio account's SID");
                setup.types(sid);
                assertEquals(0, setup.status(), setup.output());
                assertFalse(setup.output().contains(secret), setup.output());
            }
            assertTrue(day.learnt().contains("TWITTER_CONSUMER_SECRET=" + secret), day.learnt());
            assertTrue(day.learnt().contains("TWILIO_ACCOUNT_SID=" + sid));
        }
    }

    private static Arguments fault(String expected, Breaks breaks) {
        return Arguments.of(expected, breaks);
    }

    private interface Breaks {
        void in(Day day);
    }

    static Stream<Arguments> faults() {
        return Stream.of(
                fault("TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN", day -> day.given.put("TWILIO_AUTH_TOKEN", "wrong")),
                fault("TWITTER_CONSUMER_KEY and TWITTER_CONSUMER_SECRET do not belong together", day -> day.given.put("TWITTER_CONSUMER_SECRET", "wrong")),
                fault("TWITTER_ACCESS_KEY and TWITTER_ACCESS_SECRET are of another app", day -> day.given.put("TWITTER_ACCESS_KEY", SimulatedX.sampleKeys().ownId() + "-other")),
                fault("'Read and write and Direct message'", day -> day.x.accessLevel("read")),
                fault("'Read and write and Direct message'", day -> day.x.accessLevel("read-write")),
                fault("attach the app to a Project", day -> day.x.faults().always("GET /2/webhooks", Refusals.NOT_ENROLLED)),
                fault("access level does not include this", day -> day.x.faults().always("GET /2/users/me", Refusals.NO_ACCESS)),
                fault("no credits left", day -> day.x.faults().always("POST /2/activity/subscriptions", Refusals.NO_CREDITS)),
                fault("suspended or locked", day -> day.x.faults().always("GET /2/users/me", Refusals.APP_SUSPENDED)),
                fault("wait a quarter of an hour", day -> day.x.faults().always("GET /2/webhooks", Refusals.rateLimited())),
                fault("all the webhooks it may have", day -> day.x.registrations().webhook("https://example.com/anotherProgram")),
                fault("all the subscriptions it may have", day -> day.x.registrations().limits(1, 0, 0)),
                fault("network, proxy and trust store", day -> day.given.put("TWITTER_API_URL", "http://127.0.0.1:9")),
                fault("clock is off", day -> day.x.clock(Duration.ofMinutes(10))),
                fault("has it a Flex project", day -> day.flex.faults().always("GET /v1/Configuration", Fault.status(404, Map.of(),
                        "{\"code\":20404,\"message\":\"The requested resource /Configuration was not found\",\"status\":404}"))),
                fault("Flex names none: finish its set-up", day -> day.flex.faults().always("GET /v1/Configuration", Fault.changed(
                        flex -> ((com.fasterxml.jackson.databind.node.ObjectNode) flex).without("taskrouter_workspace_sid")))),
                fault("'Read and write and Direct message'", day -> day.x.faults().always("GET /2/users/me", Refusals.code(403, 93, "This application is not allowed to access or delete your direct messages."))),
                fault("clock is off", day -> day.x.faults().always("GET /2/users/me", Refusals.code(401, 135, "Timestamp out of bounds."))),
                fault("default at console.twilio.com, Conversations", day -> day.flex.provisioning().defaultConversationsService("IS" + "9".repeat(32))),
                fault("correct it, or remove it and run setup again", day -> day.given.put("FLEX_CHAT_SERVICE", "IS" + "9".repeat(32))),
                fault("does not answer at http://127.0.0.1:9", day -> day.given.put("PUBLIC_URL", "http://127.0.0.1:9")));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("faults")
    void eachTroubleIsToldInALineWithWhatToDo(String expected, Breaks breaks) throws Exception {
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            breaks.in(day);
            assertFalse(day.setup(), () -> String.join("\n", day.said));
            assertTrue(day.said.stream().anyMatch(line -> line.startsWith("✗") && line.contains(expected)), () -> String.join("\n", day.said));
            assertTrue(day.said.stream().noneMatch(line -> line.contains("Exception in") || line.contains("\tat ")));
        }
    }

    // Where ngrok tells the address.

    @Test
    void withoutAPublicUrlTheLocalNgrokAgentIsAskedAndACommandIsNamedWhenItHasNone() throws Exception {
        try (SimulatedNgrok ngrok = new SimulatedNgrok(0)) {
            Map<String, String> given = new HashMap<>(Map.of("NGROK_API_URL", ngrok.url(), "PORT", "3123"));
            Bridge.Settings settings = Bridge.Settings.of(given, new ArrayList<>());
            ngrok.tunnels(new SimulatedNgrok.Tunnel("other", "https://other.ngrok-free.app", "http://localhost:4123"));
            Bridge.CommandFailed none = assertThrows(Bridge.CommandFailed.class, () -> Operator.Ngrok.address(settings, Duration.ofMillis(300)));
            assertTrue(none.getMessage().contains("ngrok http 3123"), none.getMessage());
            Thread later = new Thread(() -> ngrok.tunnels(new SimulatedNgrok.Tunnel("plain", "http://mine.ngrok-free.app", "http://localhost:3123"),
                    new SimulatedNgrok.Tunnel("mine", "https://mine.ngrok-free.app", "http://localhost:3123")));
            later.start();
            Bridge.Settings found = Operator.Ngrok.address(settings, Duration.ofSeconds(30));
            assertEquals("https://mine.ngrok-free.app", found.publicUrl());
            assertTrue(found.autoRegister());
            given.put("AUTO_REGISTER", "off");
            assertFalse(Operator.Ngrok.address(Bridge.Settings.of(given, new ArrayList<>()), Duration.ofSeconds(30)).autoRegister());
        }
    }

    /** Another program's agent has 4040, ours the next port that was free. */
    @Test
    void anAgentOnOneOfTheNextPortsIsFoundUnlessAnotherIsNamed() throws Exception {
        String port = String.valueOf(Ports.free());
        SimulatedNgrok.Tunnel ours = new SimulatedNgrok.Tunnel("ours", "https://ours.ngrok-free.app", "http://localhost:" + port);
        try (SimulatedNgrok other = agent(4040); SimulatedNgrok agent = agent(4041)) {
            other.tunnels(new SimulatedNgrok.Tunnel("other", "https://other.ngrok-free.app", "http://localhost:1"));
            agent.tunnels(ours);
            Bridge.Settings unset = Bridge.Settings.of(Map.of("PORT", port), new ArrayList<>());
            assertEquals("https://ours.ngrok-free.app", Operator.Ngrok.address(unset, Duration.ofSeconds(5)).publicUrl());
            Bridge.Settings set = unset.with(Bridge.Setting.NGROK_API_URL, other.url());
            Bridge.CommandFailed none = assertThrows(Bridge.CommandFailed.class, () -> Operator.Ngrok.address(set, Duration.ofMillis(300)));
            assertTrue(none.getMessage().contains("ngrok http " + port), none.getMessage());
        }
    }

    /** An agent on this port or, where something else has it, on the next that is free. */
    private static SimulatedNgrok agent(int port) {
        for (int next = port; next < 4050; next++) {
            try {
                return new SimulatedNgrok(next);
            } catch (java.io.UncheckedIOException taken) {
                assertTrue(next < 4049, "ten agents run here already");
            }
        }
        throw new AssertionError();
    }

    @Test
    void setupSaysThatItWaitsForNgrok() throws Exception {
        try (SimulatedNgrok ngrok = new SimulatedNgrok(0); Day day = new Day(Rig.Generation.CURRENT)) {
            day.given.remove("PUBLIC_URL");
            day.given.put("NGROK_API_URL", ngrok.url());
            Thread later = new Thread(() -> {
                until("a word", () -> String.join("\n", day.said).contains("asking the ngrok agent"));
                ngrok.tunnels(new SimulatedNgrok.Tunnel("bridge", "https://bridge.ngrok-free.app", "http://localhost:" + day.port));
            });
            later.start();
            day.setup();
            assertTrue(day.said.stream().anyMatch(line -> line.contains("asking the ngrok agent at " + ngrok.url().replace("http://", "")
                    + " for up to 30 s")), () -> String.join("\n", day.said));
            assertTrue(String.join("\n", day.said).contains("https://bridge.ngrok-free.app"), () -> String.join("\n", day.said));
            later.join();
        }
    }

    @ParameterizedTest
    @EnumSource
    void whenNgrokGivesANewAddressTheNextStartMovesXsWebhookThere(Rig.Generation generation) throws Exception {
        try (SimulatedNgrok ngrok = new SimulatedNgrok(0); Day day = new Day(generation)) {
            day.given.remove("PUBLIC_URL");
            day.given.put("NGROK_API_URL", ngrok.url());
            String here = "http://127.0.0.1:" + day.port;
            String[] addresses = {"https://one.ngrok-free.app", "https://two.ngrok-free.app"};
            day.given.remove("AUTO_REGISTER");
            day.given.put("LOG_LEVEL", "INFO");
            for (String address : addresses) {
                ngrok.tunnels(new SimulatedNgrok.Tunnel("bridge", address, "http://localhost:" + day.port));
                day.x.resolve(address, here);
                day.flex.publicUrl(address, here);
                twilioOnly(day);
                try (BridgeProcess bridge = new BridgeProcess(merged(day), day.folder)) {
                    bridge.start();
                    until("X's webhook at " + address, () -> day.x.registrations().webhooks().stream().map(Registrations.Webhook::url).toList()
                            .equals(List.of(address + "/fromTwitter")));
                    until("subscribed", () -> day.x.registrations().subscriptions().size() == (generation == Rig.Generation.CURRENT ? 3 : 0)
                            && day.x.registrations().accountSubscriptions().size() == (generation == Rig.Generation.CURRENT ? 0 : 1));
                    Customer ann = day.x.customer("5", "ann", "Ann");
                    ann.writes("hello at " + address);
                    until("the message", () -> day.flex.openChat("twitter-5").filter(chat -> chat.messages().stream()
                            .anyMatch(message -> message.body().equals("hello at " + address))).isPresent());
                    day.flex.agentWrites(day.flex.openChat("twitter-5").orElseThrow(), "answer from " + address);
                    until("the answer", () -> Rig.received(ann).contains("answer from " + address));
                    bridge.terminate();
                }
            }
        }
    }

    /** What setup does at Twilio, without a tunnel that this machine could reach. */
    private static void twilioOnly(Day day) throws Exception {
        Map<String, String> all = new HashMap<>(merged(day));
        all.put("PUBLIC_URL", "http://127.0.0.1:9");
        all.put("NGROK_API_URL", "http://127.0.0.1:9");
        Operator.Setup.run(all, day.dotEnv, Set.of(), day.patience, line -> { });
    }

    @Test
    void aFileThatCannotBeWrittenIsToldAndTheValueNamed() throws Exception {
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            Files.createDirectories(day.folder.resolve(".env.new/in/the/way"));
            assertFalse(day.setup());
            assertTrue(day.said.stream().anyMatch(line -> line.startsWith("✗") && line.contains("add FLEX_CHAT_SERVICE=" + SimulatedFlex.Account.sample().chatService())),
                    () -> String.join("\n", day.said));
        }
    }

    @Test
    void aLinkedDotEnvStaysALinkAndOnlyItsOwnerReadsIt() throws Exception {
        try (Day day = new Day(Rig.Generation.CURRENT)) {
            Path real = Files.writeString(Files.createDirectory(day.folder.resolve("etc")).resolve("bridge.env"), "# ours\nA=1\n");
            Files.createSymbolicLink(day.dotEnv, real);
            assertTrue(day.setup(), () -> String.join("\n", day.said));
            assertTrue(Files.isSymbolicLink(day.dotEnv));
            assertTrue(Files.readString(real).startsWith("# ours\nA=1\nFLEX_CHAT_SERVICE=IS"));
            assertEquals(PosixFilePermissions.fromString("rw-------"), Files.getPosixFilePermissions(real));
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatAgentsMayAttachIsRestrictedForWhoeverAsksForIt(Rig.Generation generation) throws Exception {
        try (Day day = new Day(generation)) {
            day.flex.provisioning().channelConfigs(Bridge.json("""
                    [{"channel_type":"sms"},{"channel_type":"web","other":1,"cbm_attachments":{"enabled":true,
                      "number_of_attachments":2,"accepted_extensions":["pdf","png"]}}]""".getBytes(UTF_8)));
            String before = day.flex.provisioning().channelConfigs().toString();
            day.setup();
            assertTrue(day.said.stream().anyMatch(line -> line.startsWith("✓") && line.contains("setup --attachments")), day.said::toString);
            day.setup("--attachments", "--dry-run");
            assertTrue(day.said.stream().anyMatch(line -> line.contains("would call POST") && line.contains("accepted_extensions")));
            assertEquals(before, day.flex.provisioning().channelConfigs().toString());
            day.setup("--attachments");
            assertTrue(day.said.stream().anyMatch(line -> line.contains("changed") && line.contains("nothing but jpg, jpeg, png, gif, mp4")));
            assertEquals(before.replace("[\"pdf\",\"png\"]", "[\"jpg\",\"jpeg\",\"png\",\"gif\",\"mp4\"]"),
                    day.flex.provisioning().channelConfigs().toString());
            day.setup();
            assertTrue(day.said.stream().anyMatch(line -> line.contains("found    attachments")), day.said::toString);
            day.flex.provisioning().channelConfigs(Bridge.json("{}".getBytes(UTF_8)));
            day.setup("--attachments");
            assertEquals("web true", day.flex.provisioning().channelConfigs().at("/0/channel_type").asText() + " "
                    + day.flex.provisioning().channelConfigs().at("/0/cbm_attachments/enabled").asText());
            assertEquals(List.of(), day.flex.violations());
        }
    }
}
