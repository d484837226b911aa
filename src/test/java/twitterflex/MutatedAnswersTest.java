package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static twitterflex.Rig.received;

import com.fasterxml.jackson.core.JsonPointer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Faults;

/**
 * An answer without what its call promises is no answer. Each field of each answer that a bridge reads is replaced by
 * nonsense, one after the other: all messages arrive all the same, once, in order, in one conversation with one task
 * and one webhook.
 */
@Order(1)
class MutatedAnswersTest {

    private static final Duration PATIENCE = Duration.ofSeconds(8);
    /** Some wait for seconds: a half-opened conversation is not taken up at once. With more lanes each is slower. */
    private static final int LANES = 8;
    private static final String CONVERSATIONS = "/v1/Services/{ChatServiceSid}/Conversations";
    private static final String CONVERSATION = CONVERSATIONS + "/{ConversationSid}";
    private static final String CHANNEL = "/v2/Services/{ServiceSid}/Channels/{ChannelSid}";

    /** What stands in the place of a field; {@code missing}: nothing does. */
    private static final Map<String, String> NONSENSE = new TreeMap<>(Map.of("null", "null", "[]", "[]", "{}", "{}", "12", "12",
            "''", "\"\"", "huge", '"' + "x".repeat(100_000) + '"', "missing", ""));

    /** What comes instead of the whole body. */
    private static final Map<String, Function<String, String>> BODIES = new TreeMap<>(Map.of("empty", body -> "",
            "HTML", body -> Fault.WEB_PAGE, "cut short", body -> body.substring(0, body.length() / 2), "null", body -> "null",
            "[]", body -> "[]", "{}", body -> "{}", "12", body -> "12", "''", body -> "\"\"", "true", body -> "true"));

    /**
     * Where nonsense is put: into the answer to a call.
     *
     * @param call the first, the second, … of this operation
     * @param lost the operation whose first answer never comes, so that this one is made at all; or empty
     * @param opens whether it belongs to the opening of a chat; else it is made for two who have spoken already
     */
    private record Place(String operation, int call, String lost, boolean opens) {

        static boolean isOfX(String operation) {
            return operation.matches("\\w+ /(2/dm|1\\.1/).*");
        }

        boolean isOfX() {
            return isOfX(operation);
        }

        /** The second list without trouble is asked for when the first conversation has ended. */
        boolean opensAgain() {
            return operation.endsWith("/ParticipantConversations") && call == 2 && lost.isEmpty();
        }

        @Override
        public String toString() {
            String which = operation + (call > 1 ? " number " + call : "");
            return lost.isEmpty() ? which : which + " when the answer to " + lost + " was lost";
        }
    }

    private record Mutation(Place place, String name, Function<JsonNode, ?> change) { }

    private static List<Place> places(Rig.Generation generation) {
        String send = AnswersTest.SEND.get(generation);
        String post = AnswersTest.POST.get(generation);
        List<Place> all = new ArrayList<>(List.of(new Place(send, 1, "", false), new Place(AnswersTest.LOOK.get(generation), 1, send, false),
                new Place(post, 1, "", false), new Place(post.replace("POST", "GET"), 1, post, false)));
        if (generation == Rig.Generation.CLASSIC) {
            String open = "POST /v1/Channels";
            String hook = "POST " + CHANNEL + "/Webhooks";
            String hooks = "GET " + CHANNEL + "/Webhooks";
            all.addAll(List.of(new Place(open, 1, "", true), new Place(hook, 1, "", true), new Place(hooks, 1, "", true),
                    new Place(post, 1, "", true), new Place(open, 2, open, true), new Place(hooks, 1, hook, true)));
            return all;
        }
        String list = "GET /v1/Services/{ChatServiceSid}/ParticipantConversations";
        String create = "POST " + CONVERSATIONS;
        String join = "POST " + CONVERSATION + "/Participants";
        String hook = "POST " + CONVERSATION + "/Webhooks";
        String task = "POST /v1/Interactions";
        String tasks = "GET /v1/Workspaces/{WorkspaceSid}/Tasks";
        for (String step : List.of(list, create, join, hook, task, post)) {
            all.add(new Place(step, 1, "", true));
        }
        for (String read : List.of(tasks, "GET " + CONVERSATION + "/Webhooks")) {
            all.add(new Place(read, 1, task, true));
        }
        all.addAll(List.of(new Place(list, 2, "", true), new Place(list, 2, task, true), new Place(create, 2, create, true),
                new Place("GET " + CONVERSATIONS + "/{Sid}", 1, create, true), new Place(join, 2, join, true)));
        return all;
    }

    // Every field of an answer, and its body as a whole.

    private static final Set<String> KNOWN = known();

    private static List<Mutation> mutations(Place place, JsonNode answer) {
        List<Mutation> all = new ArrayList<>();
        List<JsonPointer> fields = new ArrayList<>();
        collect(answer, JsonPointer.empty(), fields);
        for (List<JsonPointer> replaced : together(answer, fields)) {
            NONSENSE.forEach((name, json) -> {
                List<JsonPointer> spoilt = replaced.stream()
                        .filter(field -> !saysNothingNew(answer, field, name)).toList();
                if (!spoilt.isEmpty()) {
                    all.add(new Mutation(place, spoilt + " = " + name, seen -> put(seen, spoilt, json)));
                }
            });
        }
        BODIES.forEach((name, body) -> all.add(new Mutation(place, "body = " + name, seen -> body.apply(seen.toString()))));
        return all;
    }

    /** Alone each field whose name stands in the bridge's source; together the others, which it cannot ask for. */
    private static List<List<JsonPointer>> together(JsonNode answer, List<JsonPointer> fields) {
        List<List<JsonPointer>> all = new ArrayList<>();
        List<JsonPointer> values = new ArrayList<>();
        List<JsonPointer> nodes = new ArrayList<>();
        for (JsonPointer field : fields) {
            if (field.mayMatchElement() || KNOWN.contains(field.last().getMatchingProperty())) {
                all.add(List.of(field));
            } else {
                (answer.at(field).isContainerNode() ? nodes : values).add(field);
            }
        }
        all.addAll(List.of(values, nodes));
        all.removeIf(List::isEmpty);
        return all;
    }

    /** The names and paths of fields in the bridge's source: strings of nothing but words, however they are joined. */
    private static Set<String> known() {
        try {
            String source = Files.readString(Path.of("src/main/java/twitterflex/Bridge.java"));
            return Pattern.compile("\"([\\w/]+)\"").matcher(source).results()
                    .flatMap(string -> Stream.of(string.group(1).split("/"))).collect(Collectors.toSet());
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }

    /**
     * A list with less in it is as good as any, and nobody can tell; X's newer API leaves an empty one out. Where a value
     * is expected a list is read as an object is, and where one of those is, any text as any other.
     */
    private static boolean saysNothingNew(JsonNode answer, JsonPointer field, String nonsense) {
        JsonNode there = answer.at(field);
        return switch (nonsense) {
            case "[]" -> there.isArray() || there.isValueNode();
            case "huge" -> there.isContainerNode();
            case "missing" -> answer.at(field.head()).isArray() || there.isArray() && field.toString().equals("/data");
            default -> false;
        };
    }

    /** Of lists the first element only. */
    private static void collect(JsonNode node, JsonPointer at, List<JsonPointer> fields) {
        node.properties().forEach(field -> {
            fields.add(at.appendProperty(field.getKey()));
            collect(field.getValue(), at.appendProperty(field.getKey()), fields);
        });
        if (node.isArray() && !node.isEmpty()) {
            fields.add(at.appendIndex(0));
            collect(node.get(0), at.appendIndex(0), fields);
        }
    }

    private static JsonNode put(JsonNode answer, List<JsonPointer> fields, String json) {
        JsonNode changed = answer.deepCopy();
        fields.forEach(field -> put(changed, field, json));
        return changed;
    }

    private static void put(JsonNode changed, JsonPointer field, String json) {
        JsonNode parent = changed.at(field.head());
        if (parent instanceof ObjectNode object) {
            object.remove(field.last().getMatchingProperty());
            if (!json.isEmpty()) {
                object.set(field.last().getMatchingProperty(), Bridge.jsonOrMissing(json));
            }
        } else if (parent instanceof ArrayNode list && !list.isEmpty()) {
            list.remove(0);
            if (!json.isEmpty()) {
                list.insert(0, Bridge.jsonOrMissing(json));
            }
        }
    }

    // The script, played once for each mutation.

    /** A bridge between services of its own, for one mutation after the other. */
    private static final class Lane implements AutoCloseable {
        private static final AtomicInteger NAMES = new AtomicInteger(10_000);

        private final Rig rig;
        private Customer customer;
        private List<String> written = new ArrayList<>();
        private List<String> received = new ArrayList<>();
        private int turn;

        Lane(Rig.Generation generation) throws Exception {
            rig = new Rig(generation);
            rig.x.echoes(false);
        }

        /** @return the answer as it was before the change */
        JsonNode play(Place place, Function<JsonNode, ?> change) {
            if (place.opens() || customer == null || rig.flex.openChat("twitter-" + customer.id()).isEmpty()) {
                customer = rig.customer(String.valueOf(NAMES.incrementAndGet()));
                written.clear();
                received.clear();
                if (!place.opens()) {
                    says("hello");
                }
            }
            List<JsonNode> seen = new CopyOnWriteArrayList<>();
            int failed = rig.failed();
            strike(place.lost(), Fault.dropAfter());
            for (int call = place.lost().equals(place.operation()) ? 2 : 1; call < place.call(); call++) {
                strike(place.operation(), Fault.delay(Duration.ZERO));
            }
            strike(place.operation(), Fault.changed(answer -> {
                seen.add(answer);
                return change.apply(answer);
            }));
            turn++;
            if (place.opens()) {
                says("one");
                reads("two");
                says("three");
            }
            if (place.opensAgain()) {
                rig.flex.agentCompletes(chat());
                rig.flex.awaitDelivered(PATIENCE);
            }
            for (String word : List.of("four", "five")) {
                if (place.isOfX()) {
                    reads(word + " " + turn);
                } else if (!place.opens() || place.opensAgain() && word.equals("four")) {
                    says(word + " " + turn);
                }
            }
            assertEquals(1, seen.size(), "this answer was never asked for");
            allIsWell(place, failed);
            return seen.get(0);
        }

        private void strike(String operation, Fault fault) {
            Faults faults = Place.isOfX(operation) ? rig.x.faults() : rig.flex.faults();
            if (!operation.isEmpty()) {
                faults.next(operation, fault);
            }
        }

        private Chat chat() {
            return rig.flex.openChat("twitter-" + customer.id()).orElseThrow(() -> new AssertionError("there is no open chat"));
        }

        private void says(String text) {
            written.add(text);
            customer.writes(text);
            settles();
        }

        private void reads(String text) {
            received.add(text);
            rig.flex.agentWrites(chat(), text);
            settles();
        }

        /** All has arrived, or nothing is on its way any more: before that nothing else happens. Seldom asks a bridge that is at work. */
        private void settles() {
            AtomicInteger looks = new AtomicInteger();
            Rig.eventually(() -> written + " and " + received + ", but there are " + there(), PATIENCE,
                    () -> arrived() || looks.incrementAndGet() % 50 == 0 && !pending() ? true : null);
            Rig.eventually(() -> "nothing pending: " + rig.health(), PATIENCE, () -> pending() ? null : true);
            assertEquals(List.of(written, received), there());
        }

        private boolean pending() {
            rig.x.awaitDelivered(PATIENCE);
            rig.flex.awaitDelivered(PATIENCE);
            return rig.health().path("pending").asInt() > 0;
        }

        private List<List<String>> there() {
            return List.of(rig.written(customer), received(customer));
        }

        private boolean arrived() {
            return rig.written(customer).size() >= written.size() && received(customer).size() >= received.size();
        }

        private void allIsWell(Place place, int failedBefore) {
            assertEquals(failedBefore, rig.failed(), "refused for good");
            List<Chat> chats = rig.flex.chats("twitter-" + customer.id());
            assertEquals(place.opensAgain() ? 2 : 1, chats.size(), "conversations");
            for (Chat chat : chats) {
                assertEquals(1, rig.flex.tasks().stream().filter(task -> task.chatSid().equals(chat.sid())).count(), "tasks");
                assertEquals(1, chat.webhookUrls().size(), "webhooks");
                assertEquals(List.of(), rig.notes(chat));
            }
            assertEquals(List.of(), rig.x.violations());
            assertEquals(List.of(), rig.flex.violations());
        }

        @Override
        public void close() throws IOException {
            rig.close();
        }
    }

    @ParameterizedTest
    @EnumSource
    void nonsenseInAnyFieldOfAnyAnswerLosesDoublesAndHalfOpensNothing(Rig.Generation generation) throws Exception {
        Queue<Mutation> left = new ConcurrentLinkedQueue<>();
        try (Lane lane = new Lane(generation)) {
            for (Place place : places(generation)) {
                left.addAll(mutations(place, lane.play(place, answer -> answer)));
            }
        }
        int all = left.size();
        List<String> wrong = new CopyOnWriteArrayList<>();
        ExecutorService lanes = Executors.newFixedThreadPool(LANES);
        List<Future<?>> ends = Stream.generate(() -> lanes.submit(() -> {
            playAll(generation, left, wrong);
            return null;
        })).limit(LANES).<Future<?>>map(end -> end).toList();
        for (Future<?> end : ends) {
            end.get();
        }
        lanes.shutdown();
        assertEquals("", String.join("\n", wrong), wrong.size() + " of " + all + " mutations");
    }

    /** After one that goes wrong the next is played with a new bridge. */
    private static void playAll(Rig.Generation generation, Queue<Mutation> left, List<String> wrong) throws Exception {
        while (!left.isEmpty()) {
            try (Lane lane = new Lane(generation)) {
                for (Mutation next = left.poll(); next != null; next = left.poll()) {
                    if (!goesWell(lane, next, wrong)) {
                        break;
                    }
                }
            }
        }
    }

    private static boolean goesWell(Lane lane, Mutation mutation, List<String> wrong) {
        try {
            lane.play(mutation.place(), mutation.change());
            return true;
        } catch (AssertionError | IllegalStateException failed) {
            wrong.add(mutation.place() + ": " + mutation.name() + ": " + failed.getMessage());
            return false;
        }
    }
}
