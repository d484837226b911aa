package twitterflex;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.received;
import static twitterflex.Rig.until;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;

/** Promise 2, 6 and 7 at their root: the file. */
class JournalTest {
    private Path folder;
    private final List<String> handed = java.util.Collections.synchronizedList(new ArrayList<>());
    private final List<Bridge.Delivery> deliveries = java.util.Collections.synchronizedList(new ArrayList<>());

    @BeforeEach
    void newFolder() throws IOException {
        folder = Files.createTempDirectory("journal-test");
    }

    @AfterEach
    void noFolder() throws IOException {
        Rig.delete(folder);
    }

    private static Bridge.Message message(String id) {
        return new Bridge.Message(Bridge.Direction.TO_X, id, "1", "ann", "Ann", "the text of " + id, List.of(), "", "", Instant.now());
    }

    private Path path() {
        return folder.resolve("data/journal.jsonl");
    }

    private Bridge.Journal open() throws Bridge.CommandFailed {
        Bridge.Journal journal = Bridge.Journal.open(folder.resolve("data"), 100, 1 << 20);
        handed.clear();
        deliveries.clear();
        journal.start(delivery -> {
            deliveries.add(delivery);
            handed.add(delivery.message.id() + (delivery.lookFirst ? "?" : ""));
        });
        return journal;
    }

    /** Five messages: one delivered, one refused, one tried, two untouched. */
    private void fill() throws Exception {
        try (Bridge.Journal journal = open()) {
            for (String id : List.of("a", "b", "c", "d", "e")) {
                assertTrue(journal.accept(List.of(message(id))).get());
            }
            journal.markAttempted("a");
            journal.delivered("a", "IM1", List.of());
            journal.markAttempted("b");
            journal.failed("b", "no such customer", List.of());
            journal.markAttempted("c");
        }
    }

    @Test
    void whatIsUnsettledIsHandedOverInOrderAfterARestart() throws Exception {
        fill();
        try (Bridge.Journal journal = open()) {
            assertEquals(List.of("c?", "d", "e"), handed);
            Map<String, Long> counts = journal.counts();
            assertEquals(List.of(5L, 1L, 1L, 3L), List.of(counts.get("received"), counts.get("delivered"), counts.get("failed"), counts.get("pending")));
        }
        try (Bridge.Journal journal = open()) {
            Map<String, Long> counts = journal.counts();
            assertEquals(List.of(5L, 1L, 1L, 3L), List.of(counts.get("received"), counts.get("delivered"), counts.get("failed"), counts.get("pending")), "a rewrite changes nothing");
        }
    }

    @Test
    void thePartsOfALongReplyThatHaveArrivedAreKnownAfterARestart() throws Exception {
        for (String end : List.of("waits", "was refused and is put back")) {
            Files.deleteIfExists(path());
            try (Bridge.Journal journal = open()) {
                assertTrue(journal.accept(List.of(message("a"))).get());
                Bridge.Delivery reply = deliveries.get(0);
                reply.arrived("101");
                journal.arrived(reply);
                if (end.startsWith("was")) journal.failed("a", "blocked", List.of());
            }
            for (int restarts = 0; restarts < 2; restarts++) {
                try (Bridge.Journal journal = open()) {
                    if (end.startsWith("was") && restarts == 1) {
                        Bridge.Journal.requestRetry(folder.resolve("data"), "a");
                        until("it is put back", () -> deliveries.size() == 1);
                    }
                    assertTrue(journal.knows("101"), "by the id X gave it, " + end);
                    if (!deliveries.isEmpty()) assertEquals(List.of(1, "101"), List.of(deliveries.get(0).parts, deliveries.get(0).lastId), end);
                }
            }
            assertEquals(1, deliveries.size(), end);
        }
    }

    @Test
    void deliveredTextLeavesTheDiskAndItsIdStays() throws Exception {
        fill();
        assertTrue(Files.readString(path()).contains("the text of a"));
        try (Bridge.Journal journal = open()) {
            assertFalse(Files.readString(path()).contains("the text of a"));
            assertTrue(Files.readString(path()).contains("the text of b"), "refused messages are kept");
            assertTrue(journal.accept(List.of(message("a"), message("b"), message("c"), message("f"))).get());
            assertEquals(List.of("c?", "d", "e", "f"), handed, "ids are known across restarts");
            assertEquals(3, journal.counts().get("duplicates"));
        }
    }

    @Test
    void everyPrefixOfTheFileIsAJournal() throws Exception {
        fill();
        byte[] whole = Files.readAllBytes(path());
        String text = new String(whole, StandardCharsets.UTF_8);
        for (int length = 0; length <= whole.length; length += 7) {
            Files.write(path(), Arrays.copyOf(whole, length));
            try (Bridge.Journal journal = open()) {
                long complete = text.substring(0, length).lines().filter(line -> line.contains("\"message\"") && line.endsWith("}}")).count();
                assertEquals(complete, journal.counts().get("received"), "cut at " + length);
            }
        }
    }

    @Test
    void aTornOrGarbledEndIsLeftOutAndTheNextMessageIsSafe() throws Exception {
        for (byte[] tail : List.of("{\"message\":{\"id\":\"tor".getBytes(StandardCharsets.UTF_8), new byte[4096], "\u0000\u0000\n{\"mess".getBytes(StandardCharsets.UTF_8))) {
            Files.deleteIfExists(path());
            fill();
            Files.write(path(), tail, java.nio.file.StandardOpenOption.APPEND);
            try (Bridge.Journal journal = open()) {
                assertEquals(List.of("c?", "d", "e"), handed);
                assertTrue(journal.accept(List.of(message("g"))).get());
            }
            try (Bridge.Journal journal = open()) {
                assertEquals(List.of("c?", "d", "e", "g"), handed);
                assertEquals(4, journal.counts().get("pending"));
            }
        }
    }

    @Test
    void damageInTheMiddleStopsTheStartAndChangesNothing() throws Exception {
        fill();
        byte[] damaged = Files.readString(path()).replaceFirst("the text of b\"", "the text of").getBytes(StandardCharsets.UTF_8);
        Files.write(path(), damaged);
        Bridge.CommandFailed wrong = assertThrows(Bridge.CommandFailed.class, this::open);
        assertTrue(wrong.getMessage().contains("line 5"), wrong.getMessage());
        assertEquals(1, wrong.status);
        assertTrue(Arrays.equals(damaged, Files.readAllBytes(path())));
        assertThrows(Bridge.CommandFailed.class, this::open, "and the lock was let go, or this would say something else");
    }

    @Test
    void folderAndFilesAreTheirOwnersAlone() throws Exception {
        fill();
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(folder.resolve("data"))));
        for (String file : List.of("journal.jsonl", "lock")) {
            assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(folder.resolve("data").resolve(file))));
        }
    }

    @Test
    void aFolderThatCannotBeMadeIsToldInASentence() throws Exception {
        Files.writeString(folder.resolve("data"), "a file");
        Bridge.CommandFailed wrong = assertThrows(Bridge.CommandFailed.class, this::open);
        assertTrue(wrong.getMessage().contains("set DATA_DIR"), wrong.getMessage());
    }

    @Test
    void twoJournalsOnOneFolderAreNotPossible() throws Exception {
        try (Bridge.Journal journal = open()) {
            Bridge.CommandFailed wrong = assertThrows(Bridge.CommandFailed.class, this::open);
            assertTrue(wrong.getMessage().startsWith("another bridge is running on "), wrong.getMessage());
            assertTrue(journal.accept(List.of(message("a"))).get());
        }
        assertDoesNotThrow(() -> open().close());
    }

    @Test
    void beyondTheLimitsMessagesAreTurnedAwayWhole() throws Exception {
        try (Bridge.Journal journal = Bridge.Journal.open(folder.resolve("data"), 3, 1 << 20)) {
            journal.start(delivery -> handed.add(delivery.message.id()));
            assertTrue(journal.accept(List.of(message("a"), message("b"))).get());
            assertFalse(journal.accept(List.of(message("c"), message("d"))).get(), "two do not fit");
            assertTrue(journal.accept(List.of(message("c"))).get());
            assertTrue(journal.accept(List.of(message("a"))).get(), "a duplicate needs no room");
            journal.delivered("a", "x", List.of());
            until("room again", () -> journal.counts().get("pending") == 2);
            assertTrue(journal.accept(List.of(message("d"))).get());
            assertEquals(List.of("a", "b", "c", "d"), handed);
        }
        try (Bridge.Journal journal = Bridge.Journal.open(folder.resolve("small"), 1_000_000, 20_000)) {
            journal.start(delivery -> { });
            int kept = 0;
            while (journal.accept(List.of(message("m" + kept))).get()) {
                kept++;
            }
            assertTrue(kept > 50 && kept < 200, () -> "full at 20,000 bytes");
            for (int i = 0; i < kept; i++) {
                journal.delivered("m" + i, "x", List.of());
            }
            until("it makes room by leaving out what is settled", () -> journal.accept(List.of(message("next"))).join());
        }
    }

    @Test
    void theFileStaysSmallAndTheMemoryOfIdsIsBounded() throws Exception {
        try (Bridge.Journal journal = Bridge.Journal.open(folder.resolve("data"), 1_000, 256 << 20)) {
            journal.start(delivery -> { });
            for (int i = 0; i < 60_000; i += 500) {
                List<Bridge.Message> batch = new ArrayList<>();
                for (int n = i; n < i + 500; n++) {
                    batch.add(message("id" + n));
                }
                assertTrue(journal.accept(batch).get());
                batch.forEach(message -> journal.delivered(message.id(), "x", List.of()));
            }
            until("all settled", () -> journal.counts().get("pending") == 0);
            assertTrue(Files.size(path()) < 12 << 20, () -> "60,000 messages have left a large file");
            assertTrue(journal.accept(List.of(message("id0"))).get());
            assertEquals(1, journal.counts().get("duplicates"), "the first of them is still known");
        }
    }

    @Test
    void aBusyBridgeTurnsAwayWithRetryAfterAndTakesMoreLater() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of("MAX_PENDING", "5"))) {
            rig.flex.faults().always("*", Fault.status(503));
            Customer ann = rig.customer("1");
            for (int i = 0; i < 5; i++) {
                assertEquals(200, rig.x.post(rig.x.event(ann, "m" + i)).status());
            }
            byte[] body = rig.x.event(ann, "m5").getBytes(StandardCharsets.UTF_8);
            var answer = Rig.HTTP.send(java.net.http.HttpRequest.newBuilder(java.net.URI.create(rig.url() + "/fromTwitter"))
                    .header("x-twitter-webhooks-signature", rig.x.sign(body)).POST(java.net.http.HttpRequest.BodyPublishers.ofByteArray(body)).build(),
                    java.net.http.HttpResponse.BodyHandlers.ofString());
            assertEquals(503, answer.statusCode());
            assertEquals("5", answer.headers().firstValue("retry-after").orElse(""));
            rig.flex.faults().clear();
            until("the five", () -> rig.written(ann).equals(List.of("m0", "m1", "m2", "m3", "m4")));
            rig.quiet();
            assertEquals(200, rig.x.post(body, Map.of("x-twitter-webhooks-signature", rig.x.sign(body))).status());
            until("the sixth", () -> rig.written(ann).size() == 6);
        }
    }

    /** Recorded from the version before, which told its lines apart by the fields in them: rewritten once, then appended to. */
    @Test
    void aJournalOfTheVersionBeforeIsReadAndNothingInItIsLost() throws Exception {
        Files.createDirectories(folder.resolve("data"));
        Files.copy(Path.of("src/test/resources/journal-of-version-1.jsonl"), path());
        List<String> waiting = List.of("note-IM00000000000000000000000000000001", "IM00000000000000000000000000000002?", "1860000000000000105",
                "IM00000000000000000000000000000006?", "IM00000000000000000000000000000005?");
        for (String reading : List.of("the old lines", "the new ones")) {
            try (Bridge.Journal journal = open()) {
                assertEquals(new java.util.HashSet<>(waiting), handed.stream().map(JournalTest::ofX).collect(java.util.stream.Collectors.toSet()), reading);
                Map<String, Long> counts = journal.counts();
                assertEquals(List.of(8L, 2L, 2L, 5L), List.of(counts.get("received"), counts.get("delivered"), counts.get("failed"), counts.get("pending")), reading);
                assertEquals("https://new.example.com", journal.address(), reading);
                for (String id : List.of("1860000000000000101", "IM00000000000000000000000000000003", "1860000000000000200",
                        "IM00000000000000000000000000000001", "IM00000000000000000000000000000004")) {
                    assertTrue(journal.knows(id), id + " of " + reading);
                }
            }
            assertEquals(2, Bridge.Journal.failed(folder.resolve("data")).size());
            assertTrue(Files.readString(path()).contains("written after it & with <odd>"), reading);
        }
    }

    /** What goes to Flex is looked for after every start, marked or not; and what was a day old when it came, as number 6 was. */
    private static String ofX(String handed) {
        return handed.startsWith("IM") ? handed : handed.replace("?", "");
    }

    @Test
    void aRetryFileThatCannotBeReadCostsNothing() throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT)) {
            Chat chat = rig.talk("6");
            Files.createDirectory(rig.data.resolve("retry"));
            rig.flex.agentWrites(chat, "one");
            rig.flex.agentWrites(chat, "two");
            until("both", () -> received(rig.customer("6")).equals(List.of("one", "two")));
            rig.quiet();
            rig.restart();
            rig.quiet();
            assertEquals(List.of("one", "two"), received(rig.customer("6")));
        }
    }
}
