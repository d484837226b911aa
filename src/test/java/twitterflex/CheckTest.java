package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import twitterflex.sandbox.Refusals;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedNgrok;
import twitterflex.sandbox.SimulatedX;

/** The command check: everything holds, or exactly what is broken is named, with the fix beside it. */
class CheckTest {
    private Rig rig;
    private Map<String, String> given;

    /** All is well: a bridge runs, registered and subscribed. */
    private void well(Rig.Generation generation) throws Exception {
        rig = new Rig(generation);
        String webhook = rig.x.registrations().webhook(rig.url() + "/fromTwitter");
        if (generation == Rig.Generation.CURRENT) {
            List.of("dm.received", "oauth.revoke").forEach(event -> rig.x.registrations().subscription(event, "dm", webhook));
        } else {
            rig.x.registrations().accountSubscription(webhook);
        }
        given = new HashMap<>(rig.environment);
    }

    @AfterEach
    void close() throws Exception {
        if (rig != null) {
            rig.close();
        }
    }

    private List<String> broken() {
        List<String> lines = new ArrayList<>();
        boolean ok = Operator.Setup.check(given, false, lines::add);
        List<String> broken = lines.stream().filter(line -> line.startsWith("✗ ")).toList();
        assertEquals(broken.isEmpty(), ok);
        return broken;
    }

    @ParameterizedTest
    @org.junit.jupiter.params.provider.EnumSource
    void allIsWellAndNothingIsChanged(Rig.Generation generation) throws Exception {
        well(generation);
        String state = rig.x.registrations().snapshot() + rig.flex.provisioning().snapshot();
        assertEquals(List.of(), broken());
        assertEquals(state, rig.x.registrations().snapshot() + rig.flex.provisioning().snapshot());
        assertEquals(List.of(), rig.x.violations());
        assertEquals(List.of(), rig.flex.violations());
        assertTrue(rig.x.exchanges().stream().allMatch(call -> call.method().equals("GET") || call.target().equals("/oauth2/token")));
        assertTrue(rig.flex.exchanges().stream().allMatch(call -> call.method().equals("GET")));
    }

    private interface Breaks {
        void in(CheckTest test) throws Exception;
    }

    private static Arguments fault(String name, String fix, Breaks breaks) {
        return Arguments.of(name, fix, breaks);
    }

    static Stream<Arguments> faults() {
        String other = "9".repeat(32);
        return Stream.of(
                fault("settings", "PORT is not right", test -> test.given.put("PORT", "many")),
                fault("settings", "FLEX_WORKFLOW_SID is missing", test -> test.given.remove("FLEX_WORKFLOW_SID")),
                fault("settings", "TWITTER_CONSUMER_KEY is missing", test -> test.given.remove("TWITTER_CONSUMER_KEY")),
                fault("data folder", "make it a folder of the bridge's user", test -> test.given.put("DATA_DIR", Files.createTempFile(test.rig.data, "no", "folder").toString())),
                fault("journal", "is damaged at line 1", test -> {
                    Path folder = Files.createTempDirectory(test.rig.data, "damaged");
                    Files.writeString(folder.resolve("journal.jsonl"), "garbage\n{\"checked\":1}\n");
                    test.given.put("DATA_DIR", folder.toString());
                }),
                fault("Twilio account", "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN", test -> test.given.put("TWILIO_AUTH_TOKEN", "wrong")),
                fault("Twilio account", "network, proxy and trust store", test -> test.given.put("TWILIO_API_URL", "http://127.0.0.1:9/{product}")),
                fault("chat service", "correct it, or remove it", test -> test.given.put("FLEX_CHAT_SERVICE", "IS" + other)),
                fault("conversations", "the default at console.twilio.com", test -> test.rig.flex.provisioning().defaultConversationsService("IS" + other)),
                fault("workspace", "correct it, or remove it", test -> test.given.put("FLEX_WORKSPACE_SID", "WS" + other)),
                fault("workflow", "set FLEX_WORKFLOW_SID to one of", test -> test.given.put("FLEX_WORKFLOW_SID", "WW" + other)),
                fault("task channel", "run setup", test -> test.given.put("FLEX_TASK_CHANNEL", "pigeons")),
                fault("Twilio account", "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN", test -> test.given.putAll(Map.of("TWILIO_AUTH_TOKEN", "wrong",
                        "TWILIO_API_KEY", SimulatedFlex.Account.sample().apiKey(), "TWILIO_API_SECRET", SimulatedFlex.Account.sample().apiSecret()))),
                fault("settings", "PUBLIC_URL is not right (length 24, in .env): it is no address", test -> test.given.put("PUBLIC_URL", "https://{name}.ngrok.app")),
                fault("settings", "TWITTER_USER_TOKEN is not right", test -> test.given.put("TWITTER_USER_TOKEN", "abc…")),
                fault("clock", "NTP", test -> test.rig.x.clock(Duration.ofMinutes(3))),
                fault("X app", "TWITTER_CONSUMER_KEY and TWITTER_CONSUMER_SECRET", test -> test.given.put("TWITTER_CONSUMER_SECRET", "wrong")),
                fault("X account", "are of another app", test -> test.given.put("TWITTER_ACCESS_SECRET", "wrong")),
                fault("X account", "'Read and write and Direct message'", test -> test.rig.x.accessLevel("read-write")),
                fault("public address", "start it, and the tunnel", test -> test.rig.bridge.stop()),
                fault("public address", "signs with other secrets", test -> test.given.put("TWITTER_CLIENT_SECRET", "another")),
                fault("public address", "ngrok http", test -> {
                    try (SimulatedNgrok ngrok = new SimulatedNgrok(0)) {
                        test.given.put("NGROK_API_URL", ngrok.url());
                    }
                    test.given.remove("PUBLIC_URL");
                }),
                fault("X webhook", "access level does not include this", test -> test.rig.x.faults().always("GET /2/webhooks", Refusals.NO_ACCESS)),
                fault("X webhook", "share for the month", test -> test.rig.x.faults().always("GET /2/webhooks", Refusals.MONTHLY_CAP)),
                fault("X webhook", "run setup", test -> test.rig.x.registrations().webhooks().forEach(webhook -> test.rig.x.registrations().forget(webhook.id()))),
                fault("X webhook", "run setup", test -> test.rig.x.registrations().invalidateWebhooks()),
                fault("X subscription", "run setup", test -> test.rig.x.registrations().unsubscribe()));
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource("faults")
    void whatIsBrokenIsNamedWithItsFix(String name, String fix, Breaks breaks) throws Exception {
        well(Rig.Generation.CURRENT);
        breaks.in(this);
        List<String> broken = broken();
        assertTrue(broken.get(0).matches("✗ " + name + " .*") && broken.get(0).contains(fix), () -> String.join("\n", broken));
        SimulatedX.Keys keys = SimulatedX.sampleKeys();
        assertTrue(broken.stream().noneMatch(line -> line.contains(keys.consumerSecret()) || line.contains(keys.accessSecret())));
    }

    @Test
    void aClassicAccountsFlexFlowIsLookedAt() throws Exception {
        well(Rig.Generation.CLASSIC);
        given.put("FLEX_FLOW_SID", "FO" + "9".repeat(32));
        assertTrue(broken().get(0).startsWith("✗ Flex Flow"));
        given.put("FLEX_FLOW_SID", rig.flex.provisioning().flexFlow("off", rig.flex.provisioning().studioFlow("any", "published"), false));
        assertTrue(broken().get(0).contains("is switched off"), () -> broken().get(0));
    }

    @Test
    void aClassicBridgeThatHasItsFlowNeedsNoWorkflow() throws Exception {
        well(Rig.Generation.CLASSIC);
        List.of("FLEX_WORKSPACE_SID", "FLEX_WORKFLOW_SID").forEach(given::remove);
        rig.flex.provisioning().withoutWorkflows();
        assertEquals(List.of(), broken());
    }

    @Test
    void aServiceThatFailsOnceIsNotTakenForALostSubscription() throws Exception {
        well(Rig.Generation.CLASSIC);
        rig.x.faults().next("GET /2/account_activity/webhooks/{webhook_id}/subscriptions/all/list", twitterflex.sandbox.Fault.status(503));
        assertTrue(broken().get(0).contains("try again later"), () -> broken().get(0));
    }

    // The running bridge, and the disk.

    private String line(String name) {
        List<String> lines = new ArrayList<>();
        Operator.Setup.check(given, false, lines::add);
        return lines.stream().filter(line -> line.substring(2).startsWith(name + " ")).findFirst().orElseThrow();
    }

    @Test
    void theRunningBridgeIsAskedForItsCounters() throws Exception {
        well(Rig.Generation.CURRENT);
        rig.customer("1").writes("hello");
        rig.quiet();
        assertTrue(line("bridge").matches("✓ bridge +runs at \\S+: .*received 1, delivered 1, .*pending 0, .*rejected 0.*"), () -> line("bridge"));
    }

    @Test
    void aDegradedBridgeIsAFaultAndItsReasonIsTold() throws Exception {
        well(Rig.Generation.CURRENT);
        rig.flex.faults().always("*", twitterflex.sandbox.Fault.status(401));
        rig.customer("1").writes("hello");
        Rig.until("degraded", () -> line("bridge").startsWith("✗"));
        assertTrue(line("bridge").endsWith("degraded: " + rig.health().path("reason").asText()), () -> line("bridge"));
    }

    @Test
    void aBridgeThatDoesNotRunIsNoFaultAndIsSaid() throws Exception {
        well(Rig.Generation.CURRENT);
        rig.bridge.stop();
        assertTrue(line("bridge").matches("✓ bridge +does not run: nothing answers at \\S+"), () -> line("bridge"));
        given.put("PORT", "0");
        assertTrue(line("bridge").startsWith("✓ bridge ") && line("bridge").contains("127.0.0.1:0"), () -> line("bridge"));
    }

    @ParameterizedTest
    @org.junit.jupiter.params.provider.CsvSource({"::1, does not run", "a_b.example, HOST is no address", "localhost, runs at localhost"})
    void theBridgeIsAskedWhereHostSaysItIs(String host, String expected) throws Exception {
        well(Rig.Generation.CURRENT);
        given.put("HOST", host);
        assertTrue(line("bridge").contains(expected), () -> line("bridge"));
    }

    /** Behind some routers a machine cannot reach its own public name (no "hairpin"). */
    @Test
    void anAddressThatThisMachineCannotReachIsNoFaultWhereXFindsItRightAndTheBridgeServes() throws Exception {
        well(Rig.Generation.CURRENT);
        rig.x.registrations().limits(2, 1500, 3);
        rig.x.registrations().unsubscribe();
        String webhook = rig.x.registrations().webhook("http://127.0.0.1:9/fromTwitter");
        rig.x.registrations().subscription("dm.received", "dm", webhook);
        given.put("PUBLIC_URL", "http://127.0.0.1:9");
        assertEquals(List.of(), broken());
        assertTrue(line("public address").startsWith("! public address "), () -> line("public address"));
    }

    /** Both generations of X's APIs send, so that each message comes twice. */
    @ParameterizedTest
    @org.junit.jupiter.params.provider.EnumSource
    void whatAnotherGenerationHasLeftIsFoundAndSetupGivesItUp(Rig.Generation generation) throws Exception {
        well(generation);
        String webhook = rig.x.registrations().webhooks().get(0).id();
        if (generation == Rig.Generation.CURRENT) {
            rig.x.registrations().accountSubscription(webhook);
        } else {
            rig.x.registrations().subscription("dm.received", "dm", webhook);
        }
        assertTrue(broken().get(0).contains("come twice"), () -> broken().toString());
        List<String> said = new ArrayList<>();
        assertTrue(Operator.Setup.run(new HashMap<>(given), rig.data.resolve(".env"), java.util.Set.of(), Operator.Setup.PATIENCE, said::add), said::toString);
        assertEquals(List.of(), broken());
        assertEquals(generation == Rig.Generation.CURRENT ? 0 : 1, rig.x.registrations().accountSubscriptions().size());
        assertEquals(generation == Rig.Generation.CURRENT ? 3 : 0, rig.x.registrations().subscriptions().size());
        assertEquals(List.of(), rig.x.violations());
    }

    @Test
    void aNameInDotEnvThatNobodyKnowsIsTold() throws Exception {
        well(Rig.Generation.CURRENT);
        Path folder = Files.createTempDirectory(rig.data, "command");
        Files.writeString(folder.resolve(".env"), "TWILIO_AUTHTOKEN=abc\nOTHER=1\n");
        try (Command check = Command.jar(folder, given, "check")) {
            assertEquals(0, check.status(), check.output());
            assertEquals(List.of("! settings         nothing is known of TWILIO_AUTHTOKEN in .env: see help"),
                    check.output().lines().filter(line -> line.startsWith("!")).toList());
        }
        given.remove("TWILIO_AUTH_TOKEN");
        for (String command : List.of("serve", "setup")) {
            try (Command started = Command.jar(folder, given, command)) {
                assertEquals(2, started.status());
                String said = started.output() + started.errors();
                assertTrue(said.contains("nothing is known of TWILIO_AUTHTOKEN in .env") && said.contains("TWILIO_AUTH_TOKEN is missing"), said);
            }
        }
    }

    @Test
    void anotherProgramOnTheBridgesPortIsAFault() throws Exception {
        well(Rig.Generation.CURRENT);
        given.put("PORT", rig.x.url().replaceFirst(".*:", ""));
        assertTrue(line("bridge").startsWith("✗ bridge ") && line("bridge").contains("set PORT"), () -> line("bridge"));
    }

    /** Root can make a small disk; elsewhere there is none to be had. */
    @Test
    void aFullDiskIsFound() throws Exception {
        well(Rig.Generation.CURRENT);
        Path disk = Files.createTempDirectory(rig.data, "disk");
        org.junit.jupiter.api.Assumptions.assumeTrue(mounted("mount", "-t", "tmpfs", "-o", "size=1m", "none", disk.toString()),
                "skipped: no disk can be mounted here");
        try {
            given.put("DATA_DIR", disk.toString());
            assertTrue(broken().get(0).matches("✗ data folder +only 1 MiB is free on the disk of .*"), () -> broken().toString());
        } finally {
            mounted("umount", disk.toString());
        }
    }

    private static boolean mounted(String... command) throws Exception {
        return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0;
    }

    @Test
    void forMachinesABrokenDotEnvIsJsonToo() throws Exception {
        well(Rig.Generation.CURRENT);
        Path folder = Files.createTempDirectory(rig.data, "command");
        Files.writeString(folder.resolve(".env"), "this is no setting\n");
        try (Command check = Command.jar(folder, given, "check", "--json")) {
            assertEquals(1, check.status());
            JsonNode json = Bridge.jsonOrMissing(check.output());
            assertTrue(!json.path("ok").asBoolean(true) && json.at("/checks/0/words").asText().equals(".env line 1 is not NAME=value"),
                    check.output() + check.errors());
        }
    }

    @Test
    void forMachinesItIsJsonAndTheStatusTells() throws Exception {
        well(Rig.Generation.CURRENT);
        Path folder = Files.createTempDirectory(rig.data, "command");
        for (boolean ok : new boolean[] {true, false}) {
            if (!ok) {
                rig.x.registrations().unsubscribe();
            }
            try (Command check = Command.jar(folder, given, "check", "--json")) {
                assertEquals(ok ? 0 : 1, check.status(), check.errors());
                JsonNode json = Bridge.jsonOrMissing(check.output());
                assertEquals(ok, json.path("ok").asBoolean());
                assertEquals(List.of("Java", "settings", "data folder", "journal", "bridge", "Twilio account", "attachments", "chat service", "conversations", "workspace",
                        "workflow", "task channel", "X app", "X account", "X Chat", "public address", "X webhook", "X subscription", "X subscription", "X subscription", "clock"),
                        json.path("checks").valueStream().map(row -> row.path("name").asText()).toList());
                assertEquals("", check.errors());
            }
        }
    }
}
