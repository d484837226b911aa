package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.received;
import static twitterflex.Rig.until;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.SimulatedService.Posted;

/** Promises 2 and 3 with the real jar: it is killed while both services misbehave, and in the end the books balance. */
@Execution(ExecutionMode.CONCURRENT)
class NothingIsLostTest {
    @ParameterizedTest
    @EnumSource
    void killsUnderLoadWithBothServicesFailing(Rig.Generation generation) throws Exception {
        try (World world = new World(generation, Map.of())) {
            Fault[] weather = {Fault.status(500), Fault.status(429), Fault.dropBefore(), Fault.dropAfter()};
            world.x.faults().rate(0.2, new Random(3), weather);
            world.flex.faults().rate(0.2, new Random(4), weather);
            Random random = new Random(generation.ordinal());
            Thread load = world.load(7);
            int kills = generation == Rig.Generation.CURRENT ? 12 : 8;
            for (int round = 0; round < kills; round++) {
                LockSupport.parkNanos(Duration.ofMillis(50 + random.nextInt(450)).toNanos());
                world.bridge.kill();
                world.bridge.start();
            }
            world.loading = false;
            load.join();
            world.drain();
            world.bridge.terminate();
            world.bridge.start();
            Rig.eventually(() -> "what got no 200: " + world.missing() + world.bridge.log(), Duration.ofSeconds(40),
                    () -> world.missing().isEmpty() ? true : null);
            world.drain();
            String books = world.books();
            System.out.println(generation + ", " + kills + " kills: " + books + world.doubled());
            assertTrue(books.endsWith("lost 0, doubled 0, out of order 0"), books);
            assertTrue(Integer.parseInt(books.replaceAll("acknowledged (\\d+),.*", "$1")) > 100, books);
            assertEquals(List.of(), world.flex.violations());
            assertEquals(List.of(), world.x.violations());
            for (int i = 0; i < World.CUSTOMERS; i++) {
                assertEquals(1, world.flex.chats("twitter-" + world.customer(i).id()).size(), "conversations of a customer");
            }
            assertEquals(World.CUSTOMERS, world.flex.tasks().size());
        }
    }

    @ParameterizedTest
    @EnumSource
    void sigtermUnderLoadEndsCleanlyAndLosesNothing(Rig.Generation generation) throws Exception {
        try (World world = new World(generation, Map.of())) {
            Thread load = world.load(8);
            for (int round = 0; round < 3; round++) {
                until("some traffic", () -> world.x.calls() > 5 && world.flex.calls() > 20);
                world.x.resetCalls();
                world.flex.resetCalls();
                long start = System.nanoTime();
                assertEquals(0, world.bridge.terminate());
                long millis = Duration.ofNanos(System.nanoTime() - start).toMillis();
                assertTrue(millis < 10_000, "it took " + millis + " ms");
                assertTrue(world.bridge.log().contains("stopped pending="));
                world.bridge.start();
            }
            world.loading = false;
            load.join();
            world.drain();
            assertTrue(world.books().endsWith("lost 0, doubled 0, out of order 0"), world::books);
        }
    }

    @Test
    void sigtermWhileAServiceHangsStillEndsWithinTenSeconds() throws Exception {
        try (World world = new World(Rig.Generation.CURRENT, Map.of())) {
            CountDownLatch latch = new CountDownLatch(1);
            world.flex.faults().always("*", Fault.hold(latch));
            world.customer(0).writes("hello");
            until("it hangs", () -> world.flex.calls() == 1);
            long start = System.nanoTime();
            assertEquals(0, world.bridge.terminate());
            assertTrue(Duration.ofNanos(System.nanoTime() - start).toSeconds() < 10);
            latch.countDown();
            world.flex.faults().clear();
            world.bridge.start();
            world.sentIn.put(world.customer(0).id(), List.of("hello"));
            world.events.put(world.customer(0).id() + " hello", "none");
            world.drain();
            assertEquals(1, world.flex.chats().size());
            assertEquals(List.of("hello"), world.flex.chats().get(0).messages().stream().map(Chat.Posted::body).toList());
        }
    }

    @Test
    void aSecondBridgeOnTheSameFolderRefusesToStart() throws Exception {
        try (World world = new World(Rig.Generation.CURRENT, Map.of())) {
            Map<String, String> environment = Rig.environment(Rig.Generation.CURRENT, world.x, world.flex, 0, world.folder.resolve("data"));
            Path elsewhere = Files.createDirectory(world.folder.resolve("second"));
            try (BridgeProcess second = new BridgeProcess(environment, elsewhere)) {
                second.launch();
                assertEquals(1, second.waitFor());
                assertEquals("another bridge is running on " + world.folder.resolve("data") + ": stop it, or give this one a DATA_DIR of its own", second.log().strip());
            }
        }
    }

    @Test
    void aFullDiskRefusesNewMessagesKeepsDeliveringAndHeals() throws Exception {
        try (World world = new World(Rig.Generation.CURRENT, Map.of("LOG_LEVEL", "ERROR"), "ulimit -S -f 64", "-Xmx128m")) {
            world.flex.faults().always("*", Fault.status(503));
            int accepted = 0;
            int refused = 0;
            while (refused < 5 && accepted < 200) {
                int status = post(world, "9" + accepted, "x".repeat(2_000));
                accepted += status == 200 ? 1 : 0;
                refused += status == 503 ? 1 : 0;
            }
            assertEquals(5, refused);
            String health = "http://127.0.0.1:" + world.port + "/healthz";
            assertEquals(503, World.get(health).status());
            world.flex.faults().clear();
            int expected = accepted;
            until("what was accepted is delivered all the same", () -> delivered(world) == expected);
            String bridge = String.valueOf(world.bridge.pid());
            assertEquals(0, new ProcessBuilder("prlimit", "--pid", bridge, "--fsize=unlimited").start().waitFor());
            until("it heals", () -> World.get(health).status() == 200);
            assertEquals(200, post(world, "1", "room again"));
            until("that too", () -> delivered(world) == expected + 1);
        }
    }

    private static int post(World world, String customer, String text) {
        return world.x.post(world.x.event(world.x.customer(customer, "h", "n"), text)).status();
    }

    private static int delivered(World world) {
        return world.flex.chats().stream().mapToInt(chat -> chat.messages().size()).sum();
    }

    @Test
    void refusedMessagesAreListedAndPutBackByCommands() throws Exception {
        try (World world = new World(Rig.Generation.CURRENT, Map.of())) {
            Customer ann = world.customer(0);
            Chat chat = world.talk(ann);
            ann.blocks(true);
            String sid = world.flex.agentWrites(chat, "a secret answer");
            until("refused", () -> command(world, "failed").output().contains(sid));
            Ended failed = command(world, "failed");
            assertTrue(failed.output().matches(sid + "  \\S+Z  " + ann.id() + "  .*403.*\n"), "one line a message, for scripts: " + failed);
            assertTrue(!failed.output().contains("secret"), "no text in the list");
            Path journal = world.folder.resolve("data");
            assertEquals("1 message refused, by the journal in " + journal + "\n", failed.errors());
            assertEquals(new Ended(1, "", "no refused message has the id IM0 in " + journal + ": see the command failed\n"),
                    command(world, "retry", "IM0"));
            assertEquals(new Ended(2, "", "retry takes one ID, not 'IM0 IM1': try help\n"), command(world, "retry", "IM0", "IM1"));
            ann.blocks(false);
            Ended retried = command(world, "retry", sid);
            assertTrue(retried.output().startsWith("1 message put back, by the journal in " + journal + ": delivered after what was sent since"),
                    retried::toString);
            assertEquals(0, retried.status());
            until("delivered", () -> received(ann).equals(List.of("a secret answer")));
            until("none left", () -> command(world, "failed").output().isEmpty());
            assertEquals(new Ended(0, "", "0 messages refused, by the journal in " + journal + "\n"), command(world, "failed"));
            assertEquals(new Ended(1, "", "no message was refused, by the journal in " + journal + "\n"), command(world, "retry"));
        }
    }

    @Test
    void theJarTellsItsVersion() throws Exception {
        Path folder = Files.createTempDirectory("bridge-test");
        for (String word : List.of("version", "--version")) {
            Ended ended = command(folder, Map.of(), word);
            assertTrue(ended.status() == 0 && ended.output().matches("twitter-flex-bridge [0-9.]+, Java [0-9].*\n"), ended::toString);
        }
        Rig.delete(folder);
    }

    @Test
    void whereThereIsNoJournalTheCommandsSaySo() throws Exception {
        Path folder = Files.createTempDirectory("bridge-test");
        for (String command : List.of("failed", "retry")) {
            assertEquals(new Ended(1, "", "there is no journal in " + folder.resolve("data") + ": set DATA_DIR to the bridge's folder\n"),
                    command(folder, Map.of(), command));
            String file = Files.writeString(folder.resolve("file"), "").toString();
            assertEquals(new Ended(1, "", "there is no journal in " + file + ": set DATA_DIR to the bridge's folder\n"),
                    command(folder, Map.of("DATA_DIR", file), command));
            Path odd = Files.createDirectories(folder.resolve("odd/journal.jsonl")).getParent();
            Ended unreadable = command(folder, Map.of("DATA_DIR", odd.toString()), command);
            assertTrue(unreadable.status() == 1 && unreadable.errors().contains("run this as the bridge's user"), unreadable::toString);
        }
        Rig.delete(folder);
    }

    private record Ended(int status, String output, String errors) { }

    private static Ended command(World world, String... arguments) {
        return command(world.folder, Map.of("DATA_DIR", "data"), arguments);
    }

    private static Ended command(Path folder, Map<String, String> environment, String... arguments) {
        try (Command command = Command.jar(folder, environment, arguments)) {
            int status = command.status();
            return new Ended(status, command.output(), command.errors());
        } catch (IOException | InterruptedException failed) {
            throw new AssertionError(failed);
        }
    }

    @Test
    void aLatchLetsADeliveryEndWhileTheBridgeStops() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Chat chat = rig.talk("40");
            CountDownLatch latch = new CountDownLatch(1);
            rig.x.faults().next(AnswersTest.SEND.get(Rig.Generation.CURRENT), Fault.hold(latch));
            rig.flex.agentWrites(chat, "in hand");
            until("it is in hand", () -> rig.x.calls(AnswersTest.SEND.get(Rig.Generation.CURRENT)) == 1);
            Thread stop = new Thread(rig.bridge::stop);
            stop.start();
            latch.countDown();
            stop.join();
            rig.start();
            rig.quiet();
            assertEquals(List.of("in hand"), received(rig.customer("40")));
            assertEquals(0, rig.x.calls(AnswersTest.LOOK.get(Rig.Generation.CURRENT)), "it was settled before the stop, so nothing had to be looked up");
        }
    }
}
