package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.received;
import static twitterflex.Rig.until;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Bystander;
import twitterflex.sandbox.Cable;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.Refusals;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/** Promise 5 at length: what goes wrong for minutes, hours or weeks, at both services and between us and them. */
@Execution(ExecutionMode.CONCURRENT)
class OutagesTest {

    private static final String ACCOUNTS_WORKFLOW = SimulatedFlex.Account.sample().workflow();
    private static final String ACCOUNTS_FLOW = SimulatedFlex.Account.sample().flexFlow();

    private static void degraded(Rig rig, String... says) {
        for (String word : says) {
            Rig.eventually(() -> "health says '" + word + "': " + rig.health(), Duration.ofSeconds(15),
                    () -> !rig.trouble().isEmpty() && rig.trouble().contains(word) ? true : null);
        }
    }

    private static void nothingWasRefused(Rig rig, Chat... chats) {
        assertEquals(0, rig.failed(), "refused for good");
        for (Chat chat : chats) {
            assertEquals(List.of(), rig.notes(chat));
        }
        assertEquals(List.of(), rig.x.violations());
        assertEquals(List.of(), rig.flex.violations());
        until("health is ok again", () -> rig.trouble().isEmpty());
    }

    // Between us and the services.

    @Test
    void aPageOfCloudflaresPausesXAndBothHealthAndLogSayThatSomethingStandsInBetween() throws Exception {
        try (World world = new World(Rig.Generation.CURRENT, Map.of())) {
            Customer ann = world.customer(0);
            Chat chat = world.talk(ann);
            world.x.faults().always("*", Refusals.CLOUDFLARE);
            world.flex.agentWrites(chat, "one");
            world.flex.agentWrites(chat, "two");
            String health = "http://127.0.0.1:" + world.port + "/healthz";
            Rig.eventually(() -> "health: " + World.get(health), Duration.ofSeconds(20), () -> World.get(health).status() == 503
                    && World.get(health).body().contains("between") ? true : null);
            assertTrue(world.bridge.log().contains("between"), world.bridge::log);
            world.drain();
            assertEquals(List.of("one", "two"), received(ann));
        }
    }

    @ParameterizedTest
    @EnumSource
    void everyRequestTellsWhoAsks(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            rig.flex.agentWrites(rig.talk("1"), "hello");
            until("it", () -> !received(rig.customer("1")).isEmpty());
            assertTrue(rig.x.calls() > 0 && rig.flex.calls() > 0);
            rig.x.exchanges().forEach(OutagesTest::tellsWhoAsks);
            rig.flex.exchanges().forEach(OutagesTest::tellsWhoAsks);
        }
    }

    private static void tellsWhoAsks(SimulatedX.Exchange exchange) {
        String agent = exchange.requestHeaders().getOrDefault("User-Agent", "nobody");
        assertTrue(agent.startsWith("twitter-flex-bridge"), () -> exchange.operation() + " by " + agent);
    }

    @ParameterizedTest
    @EnumSource
    void aBaseAddressThatAnswersWithARedirectIsNamedAndTheRedirectIsNotFollowed(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation); Bystander elsewhere = new Bystander()) {
            Chat chat = rig.talk("1");
            Map<String, String> there = Map.of("Location", "http://127.0.0.1:" + elsewhere.port() + "/");
            rig.x.faults().always("*", Fault.status(308, there, ""));
            rig.flex.agentWrites(chat, "one");
            rig.flex.agentWrites(chat, "two");
            degraded(rig, "X", "redirect", "127.0.0.1");
            rig.x.faults().clear();
            rig.quiet();
            rig.flex.faults().always("*", Fault.status(301, there, ""));
            rig.customer("1").writes("three");
            degraded(rig, "redirect", "127.0.0.1");
            rig.flex.faults().clear();
            rig.quiet();
            assertEquals(List.of("one", "two"), received(rig.customer("1")));
            assertEquals(List.of("hi", "three"), rig.written(rig.customer("1")));
            assertEquals(List.of(), elsewhere.calls());
            nothingWasRefused(rig, chat);
        }
    }

    @Test
    void anXThatCannotBeReachedForMoreThanAMinuteIsToldAndGetsItsMessagesWhenItIsBack() throws Exception {
        int port = Ports.free();
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of("TWITTER_API_URL", "http://127.0.0.1:" + port))) {
            Chat chat = rig.talk("1");
            rig.flex.agentWrites(chat, "one");
            rig.flex.agentWrites(chat, "two");
            degraded(rig, "X");
            assertEquals(503, rig.get("/healthz").statusCode());
            try (SimulatedX back = new SimulatedX(0, SimulatedX.sampleKeys())) {
                Customer ann = back.customer("1", "handle_1", "Name of 1");
                // Only when X knows the customer can it be reached.
                Cable cable = new Cable(back.url(), port);
                until("both", () -> received(ann).equals(List.of("one", "two")));
                nothingWasRefused(rig, chat);
                cable.close();
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void messagesThatWaitOverAMinuteDegradeHealthWhateverTheyWaitFor(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation, Map.of(), Rig.compressed(300))) {
            Chat chat = rig.talk("1");
            Map<String, Fault> outages = Map.of("", Fault.dropBefore(), "503", Fault.status(503));
            for (Map.Entry<String, Fault> outage : outages.entrySet()) {
                rig.x.faults().always("*", outage.getValue());
                rig.flex.agentWrites(chat, "to X " + outage.getKey());
                degraded(rig, "X", outage.getKey());
                rig.x.faults().clear();
                rig.quiet();
                until("health is ok again", () -> rig.trouble().isEmpty());
                rig.flex.faults().always("*", outage.getValue());
                rig.customer("1").writes("to Flex " + outage.getKey());
                degraded(rig, outage.getKey());
                assertTrue(rig.trouble().matches(".*\\b(Flex|Twilio)\\b.*"), rig::trouble);
                rig.flex.faults().clear();
                rig.quiet();
                until("health is ok again", () -> rig.trouble().isEmpty());
            }
            assertEquals(outages.keySet().stream().map(what -> "to X " + what).toList(), received(rig.customer("1")));
            assertEquals(3, rig.written(rig.customer("1")).size());
            nothingWasRefused(rig, chat);
        }
    }

    /** A thread of the JDK's client dies (it did after an OutOfMemoryError), and the client is of no more use. */
    @Test
    void aClientWhoseThreadHasDiedIsReplaced() throws Exception {
        String classPath = BridgeProcess.JAR + File.pathSeparator + Path.of("target/test-classes").toAbsolutePath();
        try (World world = new World(Rig.Generation.CLASSIC, Map.of(), "-cp", classPath, Saboteur.class.getName())) {
            Customer ann = world.customer(0);
            Chat chat = world.talk(ann);
            world.bridge.types("now");
            until("the thread is dead", () -> world.bridge.log().contains(Saboteur.DONE));
            ann.writes("after");
            // At once, or after the 15 s that a call may take.
            Rig.eventually(() -> "the next message: " + world.bridge.log(), Duration.ofSeconds(60),
                    () -> chat.messages().size() == 2 ? true : null);
        }
    }

    /** A bridge; for a line on its standard input it loses the threads that its HTTP clients cannot live without. */
    static final class Saboteur {
        static final String DONE = "no selector manager is left";

        public static void main(String[] arguments) {
            Thread sabotage = new Thread(() -> {
                try {
                    System.in.read();
                    for (Thread thread : Thread.getAllStackTraces().keySet()) {
                        if (thread.getName().contains("SelectorManager")) {
                            thread.interrupt();
                            thread.join();
                        }
                    }
                    System.err.println(DONE);
                } catch (IOException | InterruptedException ended) {
                    System.err.println(ended);
                }
            });
            sabotage.setDaemon(true);
            sabotage.start();
            Bridge.main(arguments);
        }
    }

    // What was done although the answer does not say so.

    @ParameterizedTest
    @EnumSource
    void aMessageThatWasStoredThoughTheAnswerWas503IsNotSentAgain(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            Chat chat = rig.talk("1");
            rig.x.faults().next(AnswersTest.SEND.get(generation), Fault.done(Fault.status(503)));
            rig.flex.faults().next(AnswersTest.POST.get(generation), Fault.done(Fault.status(503)));
            rig.customer("1").writes("to the agent");
            rig.flex.agentWrites(chat, "to the customer");
            rig.quiet();
            assertEquals(List.of("hi", "to the agent"), rig.written(rig.customer("1")));
            assertEquals(List.of("to the customer"), received(rig.customer("1")));
            nothingWasRefused(rig, chat);
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatXSaysWasSaidAlreadyIsDoneIfTheTryBeforeMayHaveSaidIt(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            Chat chat = rig.talk("1");
            rig.x.lag(5);
            rig.x.refuseRepetition(Duration.ofHours(1));
            rig.x.faults().next(AnswersTest.SEND.get(generation), Fault.dropAfter());
            rig.flex.agentWrites(chat, "once");
            rig.flex.agentWrites(chat, "and on");
            rig.quiet();
            assertEquals(List.of("once", "and on"), received(rig.customer("1")));
            nothingWasRefused(rig, chat);
            // Nobody knows of a try before this one: the customer has it once, and the agent is told.
            rig.flex.agentWrites(chat, "once");
            rig.quiet();
            assertEquals(List.of("once", "and on"), received(rig.customer("1")));
            assertEquals(1, rig.notes(chat).size());
        }
    }

    // Limits of time, and how seldom is asked whether they are over. An hour of the bridge's is 3.6 seconds here.

    /** What is asked in an hour: ten times while the pause grows to 15 minutes, then eight times, and some luck. */
    private static final int PROBES_IN_AN_HOUR = 50;

    @Test
    void anHourWithoutAnybodysSayingHowLongIsSatOutWithFewProbes() throws Exception {
        List<Rig> rigs = new ArrayList<>();
        try {
            for (Rig.Generation generation : Rig.Generation.values()) {
                for (Fault refusal : List.of(Refusals.INCIDENT, Refusals.DAILY_LIMIT, Refusals.MONTHLY_CAP)) {
                    Rig rig = new Rig(generation, Map.of(), Rig.compressed(1_000));
                    rigs.add(rig);
                    for (String id : List.of("1", "2", "3")) {
                        rig.talk(id);
                    }
                    rig.x.faults().always("*", refusal);
                    rig.x.resetCalls();
                    write(rig, "one");
                }
            }
            Instant anHourLater = Instant.now().plusMillis(3_600);
            until("an hour has passed", () -> Instant.now().isAfter(anHourLater));
            for (Rig rig : rigs) {
                assertTrue(rig.x.calls() <= PROBES_IN_AN_HOUR, () -> rig.x.calls() + " calls in an hour: " + rig.trouble());
                degraded(rig, "X");
                write(rig, "two");
                rig.x.faults().clear();
            }
            for (Rig rig : rigs) {
                rig.quiet();
                for (String id : List.of("1", "2", "3")) {
                    assertEquals(List.of("one", "two"), received(rig.customer(id)));
                    nothingWasRefused(rig, rig.chat(rig.customer(id)));
                }
            }
        } finally {
            for (Rig rig : rigs) {
                rig.close();
            }
        }
    }

    private static void write(Rig rig, String text) {
        for (String id : List.of("1", "2", "3")) {
            rig.flex.agentWrites(rig.chat(rig.customer(id)), text);
        }
    }

    @ParameterizedTest
    @EnumSource
    void theLimitOfADayIsObeyedAsItsHeadersTellIt(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            Chat chat = rig.talk("1");
            rig.x.limitDay(1, Duration.ofSeconds(1));
            rig.flex.agentWrites(chat, "one");
            rig.flex.agentWrites(chat, "two");
            rig.quiet();
            assertEquals(List.of("one", "two"), received(rig.customer("1")));
            assertEquals(2, rig.x.calls(AnswersTest.SEND.get(generation)), "none is sent before the next day");
            nothingWasRefused(rig, chat);
        }
    }

    @ParameterizedTest
    @EnumSource
    void whoeverElseUsesUpTheDayIsWaitedForAsTheHeadersTell(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            Chat chat = rig.talk("1");
            Instant morning = Instant.now().plusSeconds(3);
            rig.x.faults().next(AnswersTest.SEND.get(generation), Fault.status(429, Map.of("x-rate-limit-remaining", "14",
                    "x-rate-limit-reset", String.valueOf(Instant.now().getEpochSecond()), "x-user-limit-24hour-remaining", "0",
                    "x-user-limit-24hour-reset", String.valueOf(morning.getEpochSecond())),
                    "{\"errors\":[{\"code\":88,\"message\":\"Rate limit exceeded\"}]}"));
            rig.flex.agentWrites(chat, "one");
            rig.quiet();
            assertEquals(List.of("one"), received(rig.customer("1")));
            assertEquals(2, rig.x.calls(AnswersTest.SEND.get(generation)), "refused once, then sent");
            assertTrue(rig.customer("1").inbox().get(0).at().isAfter(morning.minusSeconds(2)), "not before the day is over");
            nothingWasRefused(rig, chat);
        }
    }

    // What somebody has changed at Twilio.

    @Test
    void aWorkflowThatIsDeletedRefusesNobodyAndCostsKnownCustomersNothing() throws Exception {
        newCustomersWaitAndOthersDoNot("Unknown workflow_sid", flex -> flex.provisioning().withoutWorkflows(),
                flex -> flex.provisioning().workflow(ACCOUNTS_WORKFLOW, "Assign to Anyone"));
    }

    @Test
    void aTaskChannelThatIsDeletedRefusesNobodyAndCostsKnownCustomersNothing() throws Exception {
        newCustomersWaitAndOthersDoNot("Unknown task_channel_unique_name", flex -> flex.provisioning().withoutTaskChannel("chat"),
                flex -> flex.provisioning().taskChannel("chat"));
    }

    private static void newCustomersWaitAndOthersDoNot(String reason, Consumer<SimulatedFlex> away, Consumer<SimulatedFlex> back)
            throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Chat known = rig.talk("1");
            away.accept(rig.flex);
            List<Customer> strangers = List.of(rig.customer("2"), rig.customer("3"), rig.customer("4"));
            strangers.forEach(customer -> customer.writes("hello"));
            degraded(rig, reason);
            strangers.forEach(customer -> customer.writes("anybody there?"));
            rig.customer("1").writes("as before");
            rig.flex.agentWrites(known, "as ever");
            until("the known customer's", () -> rig.written(rig.customer("1")).equals(List.of("hi", "as before")));
            until("the reply", () -> received(rig.customer("1")).equals(List.of("as ever")));
            assertEquals(0, rig.failed());
            back.accept(rig.flex);
            rig.quiet();
            for (Customer stranger : strangers) {
                assertEquals(List.of("hello", "anybody there?"), rig.written(stranger));
                assertEquals(1, rig.flex.chats("twitter-" + stranger.id()).size());
                assertEquals(1, rig.chat(stranger).webhookUrls().size());
            }
            assertEquals(4, rig.flex.tasks().size());
            nothingWasRefused(rig, known, rig.chat(strangers.get(0)));
        }
    }

    @Test
    void aFlexFlowThatIsSwitchedOffRefusesNobody() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CLASSIC)) {
            Chat known = rig.talk("1");
            rig.flex.provisioning().flexFlowEnabled(ACCOUNTS_FLOW, false);
            rig.customer("2").writes("hello");
            rig.customer("1").writes("still there?");
            degraded(rig, "The Flex Flow is not enabled");
            rig.flex.agentWrites(known, "as ever");
            until("the reply", () -> received(rig.customer("1")).equals(List.of("as ever")));
            rig.flex.provisioning().flexFlowEnabled(ACCOUNTS_FLOW, true);
            rig.quiet();
            assertEquals(List.of("hello"), rig.written(rig.customer("2")));
            assertEquals(List.of("hi", "still there?"), rig.written(rig.customer("1")));
            nothingWasRefused(rig, known, rig.chat(rig.customer("2")));
        }
    }

    @ParameterizedTest
    @EnumSource
    void aConversationThatOthersLeaveNoWebhookReachesTheAgentWithANoteThatNoReplyGetsOut(Rig.Generation generation) throws Exception {
        try (Rig rig = new Rig(generation)) {
            rig.flex.webhooksOfOthers(5);
            Customer ann = rig.customer("1");
            ann.writes("hello");
            ann.writes("anybody there?");
            rig.quiet();
            assertEquals(List.of("hello", "anybody there?"), rig.written(ann));
            Chat chat = rig.chat(ann);
            assertEquals(1, rig.flex.tasks().size());
            until("a note", () -> !rig.notes(chat).isEmpty());
            assertEquals(1, rig.notes(chat).size(), () -> rig.notes(chat).toString());
            String note = rig.notes(chat).get(0);
            assertTrue(note.contains("repl") && note.contains("webhook"), note);
            degraded(rig, "webhook");
            assertEquals(0, rig.failed());
            assertEquals(List.of(), rig.flex.violations());
        }
    }

    @Test
    void twiliosTroubleWithOneConversationDoesNotPauseX() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Chat chat = rig.talk("17");
            String ask = "GET /v1/Services/{ChatServiceSid}/Conversations/{Sid}";
            rig.flex.faults().always(ask, Fault.status(429, Map.of("Retry-After", "60"), "{}"));
            rig.flex.post(rig.url() + "/fromFlex", Map.of("EventType", "onMessageAdded", "ConversationSid", "CH0123456789abcdef0123456789abcdef",
                    "MessageSid", "IM0123456789abcdef0123456789abcdef", "Author", "ada", "Body", "x", "Source", "SDK"));
            until("it was asked for", () -> rig.flex.calls(ask) > 0);
            rig.flex.agentWrites(chat, "others");
            until("the others", () -> received(rig.customer("17")).equals(List.of("others")));
        }
    }

    @Test
    void anErrorInADeliveryIsTriedAgainAndABugIsRefused() throws Exception {
        Path folder = Files.createTempDirectory("bridge-test");
        try (Bridge.Journal journal = Bridge.Journal.open(folder.resolve("data"), 1_000, 1 << 28)) {
            int[] calls = {0};
            List<String> seen = new CopyOnWriteArrayList<>();
            Bridge.Relay relay = new Bridge.Relay(journal, delivery -> {
                if (calls[0]++ == 0) {
                    throw new OutOfMemoryError("as it may happen");
                }
                if (delivery.message.id().equals("2")) {
                    throw new IllegalStateException("a bug");
                }
                seen.add(delivery.message.id());
                return new Bridge.Outcome.Delivered("x", "");
            }, reply -> {
                throw new AssertionError("nothing is for X");
            }, Rig.QUICK, new Bridge.Metrics());
            relay.start();
            for (String id : List.of("1", "2", "3")) {
                assertTrue(relay.accept(List.of(new Bridge.Message(Bridge.Direction.TO_FLEX, id, "77", "h", "n", "t", List.of(), "", "", Instant.now()))));
            }
            until("all settled", () -> journal.counts().get("pending") == 0);
            assertEquals(List.of("1", "3"), seen);
            assertEquals(1, journal.counts().get("failed"));
            relay.stop();
        } finally {
            Rig.delete(folder);
        }
    }
}
