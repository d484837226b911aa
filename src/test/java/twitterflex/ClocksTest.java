package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static twitterflex.Rig.until;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Ports;

/** A bridge whose clock is wrong, or jumps, keeps its promises: libfaketime (Debian package faketime) gives it such a clock. */
@Order(1)
@Execution(ExecutionMode.CONCURRENT)
class ClocksTest {
    private static final List<Path> LIBRARIES = List.of(Path.of("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
            Path.of("/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"));

    /** The environment of a process whose time of day is that of the system plus the seconds in the file; its monotonic clock is right. */
    private static Map<String, String> clock(Path offset) {
        Path library = LIBRARIES.stream().filter(Files::exists).findFirst().orElse(null);
        assumeTrue(library != null, "skipped: no libfaketime here (Debian package faketime)");
        return Map.of("LD_PRELOAD", library.toString(), "FAKETIME_TIMESTAMP_FILE", offset.toString(), "FAKETIME_CACHE_DURATION", "1",
                "FAKETIME_DONT_FAKE_MONOTONIC", "1", "DONT_FAKE_MONOTONIC", "1", "FAKETIME_FORCE_MONOTONIC_FIX", "0");
    }

    private static Path offset(String seconds) throws IOException {
        return Files.writeString(Files.createTempFile("clock", ".rc"), seconds + "\n");
    }

    @ParameterizedTest
    @EnumSource
    void aClockThatJumpsUnderLoadLosesAndDoublesNothing(Rig.Generation generation) throws Exception {
        Path offset = offset("+0");
        try (World world = new World(generation, clock(offset))) {
            Fault[] weather = {Fault.status(500), Fault.dropBefore(), Fault.dropAfter()};
            world.x.faults().rate(0.2, new Random(5), weather);
            world.flex.faults().rate(0.2, new Random(6), weather);
            Thread load = world.load(9);
            // X takes no signature of a clock that is more than five minutes off: a day back, everything for it waits.
            for (String seconds : List.of("-240", "+240", "-86400", "-60", "+0")) {
                LockSupport.parkNanos(Duration.ofMillis(1_200).toNanos());
                Files.writeString(offset, seconds + "\n");
                if (seconds.equals("-60")) {
                    world.bridge.kill();
                    world.bridge.start();
                }
            }
            world.loading = false;
            load.join();
            world.drain();
            assertTrue(world.books().endsWith("lost 0, doubled 0, out of order 0"), () -> world.books() + world.doubled());
            assertEquals(List.of(), world.flex.violations());
        } finally {
            Files.delete(offset);
        }
    }

    @Test
    void twoBridgesWhoseClocksDisagreeOpenOneConversationWithOneTask() throws Exception {
        Path ahead = offset("+120");
        Path behind = offset("-120");
        try (World world = new World(Rig.Generation.CURRENT, clock(ahead))) {
            Map<String, String> environment = new HashMap<>(Rig.environment(Rig.Generation.CURRENT, world.x, world.flex, Ports.free(),
                    world.folder.resolve("other")));
            environment.putAll(clock(behind));
            environment.put("LOG_LEVEL", "INFO");
            try (BridgeProcess other = new BridgeProcess(environment, Files.createDirectory(world.folder.resolve("home")))) {
                other.start();
                // Longer than it takes a bridge to see whether its claim stands.
                world.flex.faults().next("POST /v1/Interactions", IntStream.range(0, 8).mapToObj(i -> Fault.delay(Duration.ofSeconds(7)))
                        .toArray(Fault[]::new));
                String[] addresses = {"http://127.0.0.1:" + world.port, "http://127.0.0.1:" + environment.get("PORT")};
                for (int i = 0; i < 8; i++) {
                    Customer customer = world.customer(i);
                    for (int turn = 0; turn < 2; turn++) {
                        world.x.webhook(addresses[(i + turn) % 2] + "/fromTwitter");
                        assertEquals(200, world.x.post(world.x.event(customer, "message " + turn)).status());
                    }
                }
                for (int i = 0; i < 8; i++) {
                    String identity = "twitter-" + world.customer(i).id();
                    until("both messages of " + identity, () -> world.flex.chats(identity).stream().mapToInt(chat -> chat.messages().size()).sum() == 2);
                    assertEquals(1, world.flex.chats(identity).size());
                }
                assertEquals(8, world.flex.tasks().size());
                assertEquals(List.of(), world.flex.violations());
            }
        } finally {
            Files.delete(ahead);
            Files.delete(behind);
        }
    }

    /** Nobody's clock decides whether a message is delivered, X's neither. */
    @Test
    void anEventFromAnImpossibleTimeIsDelivered() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Customer ann = rig.customer("7");
            List<String> times = List.of("9223372036854775807", "-9223372036854775808", "0", "soon");
            for (String time : times) {
                String event = rig.x.event(ann, "at " + time).replaceFirst("\"created_timestamp\":\"[0-9]+\"", "\"created_timestamp\":\"" + time + "\"");
                assertEquals(200, rig.x.post(event).status());
                until(time, () -> rig.written(ann).contains("at " + time));
                rig.get("/metrics");
            }
            rig.flex.faults().next(AnswersTest.POST.get(Rig.Generation.CURRENT), Fault.dropAfter(), Fault.dropAfter());
            rig.x.post(rig.x.event(ann, "late").replaceFirst("\"created_timestamp\":\"[0-9]+\"", "\"created_timestamp\":\"9223372036854775807\""));
            rig.x.post(rig.x.event(ann, "early").replaceFirst("\"created_timestamp\":\"[0-9]+\"", "\"created_timestamp\":\"-9223372036854775808\""));
            until("both", () -> rig.written(ann).contains("early"));
            rig.quiet();
            rig.restart();
            rig.quiet();
            assertEquals(List.of("late", "early"), rig.written(ann).subList(4, rig.written(ann).size()));
        }
    }
}
