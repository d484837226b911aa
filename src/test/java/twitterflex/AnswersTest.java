package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.AnswersTest.Meaning.DELIVERED;
import static twitterflex.AnswersTest.Meaning.PAUSED;
import static twitterflex.AnswersTest.Meaning.REFUSED;
import static twitterflex.AnswersTest.Meaning.WAITS;
import static twitterflex.Rig.eventually;
import static twitterflex.Rig.received;
import static twitterflex.sandbox.Refusals.code;
import static twitterflex.sandbox.Refusals.problem;
import static twitterflex.sandbox.Refusals.twilio;

import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import twitterflex.sandbox.Bystander;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.Fault;
import twitterflex.sandbox.Faults;
import twitterflex.sandbox.Refusals;

/**
 * What an answer of X or Twilio means for a message, a row for each answer. Messages are sent in pairs, "one" and "two", and the
 * answer is that to "one": whatever it is, nothing is lost, doubled or out of order, and what is refused for good is told.
 */
class AnswersTest {

    enum Meaning {
        /** Both messages arrive, once, in order; nobody is told anything. */
        DELIVERED,
        /** The first is refused for good, which the agent is told with the reason; the second arrives. */
        REFUSED,
        /** The service is paused as long as it answers so, and health says why; then both arrive. */
        PAUSED,
        /** This customer waits as long as the service answers so, and health says why; others do not wait. */
        WAITS
    }

    /** @param says what the agent's note or health must tell of the answer */
    private record Answer(String name, Fault fault, Meaning meaning, String says) { }

    record Row(Rig.Generation generation, String step, Answer answer) {
        @Override
        public String toString() {
            return generation + " " + answer.meaning() + ": " + answer.name() + " to " + step;
        }
    }

    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final String CONVERSATIONS = "/v1/Services/{ChatServiceSid}/Conversations";
    private static final String CONVERSATION = CONVERSATIONS + "/{ConversationSid}";
    private static final String CHANNEL = "/v2/Services/{ServiceSid}/Channels/{ChannelSid}";

    static final Map<Rig.Generation, String> SEND = Map.of(
            Rig.Generation.CURRENT, "POST /2/dm_conversations/with/{participant_id}/messages",
            Rig.Generation.CLASSIC, "POST /1.1/direct_messages/events/new.json");

    static final Map<Rig.Generation, String> LOOK = Map.of(
            Rig.Generation.CURRENT, "GET /2/dm_conversations/with/{participant_id}/dm_events",
            Rig.Generation.CLASSIC, "GET /1.1/direct_messages/events/list.json");

    static final Map<Rig.Generation, String> POST = Map.of(Rig.Generation.CURRENT, "POST " + CONVERSATION + "/Messages",
            Rig.Generation.CLASSIC, "POST " + CHANNEL + "/Messages");

    /** The steps that open a new customer's chat, in their order. */
    static final Map<Rig.Generation, List<String>> OPENING = Map.of(
            Rig.Generation.CURRENT, List.of("GET /v1/Services/{ChatServiceSid}/ParticipantConversations", "POST " + CONVERSATIONS,
                    "POST " + CONVERSATION + "/Participants", "POST " + CONVERSATION + "/Webhooks", "POST /v1/Interactions"),
            Rig.Generation.CLASSIC, List.of("POST /v1/Channels", "POST " + CHANNEL + "/Webhooks"));

    private static final Bystander ELSEWHERE = bystander();
    private static final List<Rig> RIGS = new ArrayList<>();
    private static final Map<Rig.Generation, Talk> TALKS = new EnumMap<>(Rig.Generation.class);
    private static int customers = 500;

    private static Bystander bystander() {
        try {
            return new Bystander();
        } catch (java.io.IOException noPort) {
            throw new java.io.UncheckedIOException(noPort);
        }
    }

    @AfterAll
    static void nobodyBrokeARule() throws Exception {
        for (Rig rig : RIGS) {
            assertEquals(List.of(), rig.x.violations());
            assertEquals(List.of(), rig.flex.violations());
            rig.close();
        }
        assertEquals(List.of(), ELSEWHERE.calls(), "nobody follows a redirect");
        ELSEWHERE.close();
    }

    // The table: what any service may answer, what X may, what Twilio may.

    private static Answer html(int status, Meaning meaning) {
        return new Answer(status + " with a page of HTML", Fault.status(status, Map.of("Content-Type", "text/html"), Fault.WEB_PAGE),
                meaning, "between");
    }

    private static Answer body(int status, String body, Meaning meaning) {
        return new Answer(status + " with the body '" + body + "'", Fault.status(status, Map.of(), body), meaning,
                String.valueOf(status));
    }

    private static List<Answer> ofAnyService() {
        List<Answer> all = new ArrayList<>();
        // Its fate is unknown: looked up before it is repeated. Each before the work, and after it.
        List<Answer> unknown = new ArrayList<>(List.of(html(502, DELIVERED), html(503, DELIVERED), html(200, DELIVERED),
                new Answer("no answer", Fault.dropBefore(), DELIVERED, "")));
        for (int status : new int[] {408, 500, 502, 503, 504}) {
            unknown.add(new Answer(String.valueOf(status), Fault.status(status), DELIVERED, ""));
        }
        // An id of a wrong shape is none, and half an answer is no answer.
        for (String body : List.of("", "{}", "{\"errors\":[{\"message\":\"no\"}]}", "{\"sid\":\"no sid\"}",
                "{\"sid\":12,\"event\":{\"id\":{}},\"data\":{\"dm_event_id\":\"\"}}", "{\"data\":true}", "{\"sid\":\"IM01")) {
            unknown.add(body(200, body, DELIVERED));
        }
        unknown.add(body(204, "", DELIVERED));
        for (Answer answer : unknown) {
            all.add(answer);
            all.add(new Answer(answer.name() + ", though it was done,", Fault.done(answer.fault()), DELIVERED, ""));
        }
        // A redirect, and what is not in the service's own words.
        String elsewhere = "http://127.0.0.1:" + ELSEWHERE.port() + "/there";
        for (int status : new int[] {301, 302, 303, 307, 308}) {
            all.add(new Answer(status + ", a redirect,", Fault.status(status, Map.of("Location", elsewhere), ""), PAUSED, "redirect"));
        }
        all.add(body(304, "", PAUSED));
        for (int status : new int[] {400, 403, 404, 405, 407}) {
            all.add(html(status, PAUSED));
            all.add(body(status, "", PAUSED));
        }
        all.addAll(List.of(body(403, "{\"blocked\":true}", PAUSED), body(403, "\"no\"", PAUSED),
                body(403, "{\"code\":403,\"message\":\"Access denied by policy\"}", PAUSED),
                body(404, "{\"message\":\"no Route matched with those values\"}", PAUSED)));
        // Whoever asks too much, with nothing to say how long.
        all.addAll(List.of(body(429, "", PAUSED), body(401, "", PAUSED), body(402, "", PAUSED), html(429, PAUSED)));
        return all;
    }

    /** X's codes that speak of the app, the account, keys, plan, limit, day or address, and under which status they come. */
    private static final Map<Integer, int[]> NOBODY_FARES_BETTER = Map.ofEntries(
            Map.entry(32, new int[] {401, 403}), Map.entry(34, new int[] {404}), Map.entry(64, new int[] {403}),
            Map.entry(88, new int[] {429, 403}), Map.entry(89, new int[] {401, 403}), Map.entry(93, new int[] {403}),
            Map.entry(135, new int[] {401, 403}), Map.entry(185, new int[] {403}), Map.entry(215, new int[] {400, 403}),
            Map.entry(220, new int[] {403}), Map.entry(226, new int[] {403}), Map.entry(251, new int[] {410}),
            Map.entry(261, new int[] {403}), Map.entry(326, new int[] {403}), Map.entry(344, new int[] {403}),
            Map.entry(416, new int[] {403}), Map.entry(453, new int[] {403}));

    private static List<Answer> ofX(Rig.Generation generation) {
        List<Answer> all = new ArrayList<>(ofAnyService());
        NOBODY_FARES_BETTER.forEach((code, statuses) -> {
            for (int status : statuses) {
                all.add(new Answer(status + " code " + code, code(status, code, "As X puts it."), PAUSED, "code " + code));
            }
        });
        for (int code : new int[] {38, 63, 150, 151, 187, 349, 354}) {
            all.add(new Answer("403 code " + code, code(403, code, "As X puts it."), REFUSED, "code " + code));
        }
        all.add(new Answer("400 code 214", code(400, 214, "event.type must be given."), REFUSED, "code 214"));
        all.add(new Answer("404 code 50", code(404, 50, "User not found."), REFUSED, "code 50"));
        if (generation == Rig.Generation.CURRENT) {
            for (String type : List.of("client-forbidden", "oauth1-permissions", "unsupported-authentication", "usage-capped",
                    "credits")) {
                all.add(new Answer("403 " + type, problem(403, type, "Forbidden", "What " + type + " says."), PAUSED,
                        "What " + type + " says."));
            }
            all.add(new Answer("429 usage-capped", Refusals.MONTHLY_CAP, PAUSED, "Monthly product cap"));
            all.add(new Answer("402 credits", Refusals.NO_CREDITS, PAUSED, "any credits"));
            all.add(new Answer("403 client-forbidden as documented", Refusals.NOT_ENROLLED, PAUSED, "attached to a Project"));
            all.add(new Answer("401 about:blank", problem(401, "about:blank", "Unauthorized", "Unauthorized"), PAUSED, "401"));
            all.add(new Answer("429 about:blank", problem(429, "about:blank", "Too Many Requests", "Too Many Requests"), PAUSED, "429"));
            all.add(new Answer("403 about:blank", problem(403, "about:blank", "Forbidden",
                    "You do not have permission to DM one or more participants."), REFUSED, "do not have permission to DM"));
            all.add(new Answer("400 invalid-request", problem(400, "invalid-request", "Invalid Request",
                    "One or more parameters to your request was invalid."), REFUSED, "parameters to your request"));
        }
        return all;
    }

    private static List<Answer> ofTwilio() {
        List<Answer> all = new ArrayList<>(ofAnyService());
        all.addAll(accountTrouble());
        for (int code : new int[] {20001, 50303, 50504}) {
            all.add(new Answer("400 code " + code, twilio(400, code, "As Twilio puts it."), REFUSED, "code " + code));
        }
        return all;
    }

    private static List<Answer> accountTrouble() {
        return Stream.of(new int[] {401, 20003}, new int[] {403, 20003}, new int[] {401, 20005}, new int[] {403, 20005},
                new int[] {429, 20429}, new int[] {429, 45010}).map(answer -> new Answer(answer[0] + " code " + answer[1],
                        twilio(answer[0], answer[1], "As Twilio puts it."), PAUSED, "code " + answer[1])).toList();
    }

    private static List<Answer> toOpening(String step) {
        List<Answer> all = new ArrayList<>(List.of(html(403, PAUSED), html(404, PAUSED), accountTrouble().get(0),
                new Answer("503, though it was done,", Fault.done(Fault.status(503)), DELIVERED, ""),
                new Answer("400 code 20001", twilio(400, 20001, "As Twilio puts it."), WAITS, "code 20001")));
        if (!step.contains("ConversationSid") && !step.contains("ChannelSid")) {
            all.add(new Answer("404 code 20404", twilio(404, 20404, "As Twilio puts it."), WAITS, "code 20404"));
        }
        return all;
    }

    static Stream<Row> answersOfXToAReply() {
        return Stream.of(Rig.Generation.values()).flatMap(generation -> ofX(generation).stream()
                .map(answer -> new Row(generation, "a reply", answer)));
    }

    static Stream<Row> answersOfTwilioToAMessage() {
        return Stream.of(Rig.Generation.values()).flatMap(generation -> ofTwilio().stream()
                .map(answer -> new Row(generation, "a customer's message", answer)));
    }

    static Stream<Row> answersOfTwilioToAStepThatOpensAChat() {
        return Stream.of(Rig.Generation.values()).flatMap(generation -> OPENING.get(generation).stream()
                .flatMap(step -> toOpening(step).stream().map(answer -> new Row(generation, step, answer))));
    }

    // How a row is played.

    /** A customer and an agent who have spoken; used for row after row until one fails, then never again, nor its bridge. */
    private record Talk(Rig rig, Customer customer, Chat chat) {

        static Talk begin(Rig.Generation generation) throws Exception {
            Rig rig = new Rig(generation);
            rig.x.echoes(false);
            RIGS.add(rig);
            Customer customer = rig.customer(String.valueOf(customers++));
            customer.writes("hi");
            return new Talk(rig, customer, rig.chat(customer));
        }

        List<String> written() {
            return rig.written(customer);
        }
    }

    /** What is there before a row, so that only what is new is looked at. */
    private record Before(int there, int notes, int failed) { }

    private static Talk talk(Row row) throws Exception {
        Talk known = TALKS.remove(row.generation());
        return known == null ? Talk.begin(row.generation()) : known;
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource
    void answersOfXToAReply(Row row) throws Exception {
        Talk talk = talk(row);
        play(row, talk, talk.rig().x.faults(), SEND.get(row.generation()), text -> talk.rig().flex.agentWrites(talk.chat(), text),
                () -> received(talk.customer()));
        wellAgain(talk.rig());
        TALKS.put(row.generation(), talk);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource
    void answersOfTwilioToAMessage(Row row) throws Exception {
        Talk talk = talk(row);
        play(row, talk, talk.rig().flex.faults(), POST.get(row.generation()), talk.customer()::writes, talk::written);
        if (row.answer().meaning() == REFUSED) {
            assertTrue(talk.rig().trouble().matches("(?s)a message was refused: .*" + Pattern.quote(row.answer().says()) + ".*"),
                    talk.rig()::trouble);
            // What Flex refuses is ours to mend, and shows for ten minutes.
            talk.rig().restart();
        }
        wellAgain(talk.rig());
        TALKS.put(row.generation(), talk);
    }

    private static void wellAgain(Rig rig) {
        soon(() -> "health is ok again: " + rig.trouble(), () -> rig.trouble().isEmpty());
    }

    private static void play(Row row, Talk talk, Faults faults, String operation, Consumer<String> write, Supplier<List<String>> there) {
        Rig rig = talk.rig();
        rig.quiet(PATIENCE);
        Before before = new Before(there.get().size(), rig.notes(talk.chat()).size(), rig.failed());
        String one = "one " + row;
        String two = "two " + row;
        strike(rig, row, faults, operation, () -> {
            write.accept(one);
            write.accept(two);
        }, () -> { });
        rig.quiet(PATIENCE);
        boolean refused = row.answer().meaning() == REFUSED;
        assertEquals(refused ? List.of(two) : List.of(one, two), there.get().subList(before.there(), there.get().size()));
        List<String> notes = rig.notes(talk.chat()).subList(before.notes(), rig.notes(talk.chat()).size());
        assertEquals(refused ? 1 : 0, notes.size(), notes::toString);
        assertTrue(!refused || notes.get(0).contains(row.answer().says()), notes::toString);
        assertEquals(refused ? 1 : 0, rig.failed() - before.failed(), "refused for good");
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource
    void answersOfTwilioToAStepThatOpensAChat(Row row) throws Exception {
        Talk known = talk(row);
        Rig rig = known.rig();
        rig.quiet(PATIENCE);
        Customer customer = rig.customer(String.valueOf(customers++));
        int failed = rig.failed();
        strike(rig, row, rig.flex.faults(), row.step(), () -> {
            customer.writes("one");
            customer.writes("two");
        }, () -> {
            // In the older generation every message asks for its channel, known or not.
            if (!row.step().equals("POST /v1/Channels")) {
                goesOn(known, "meanwhile " + row);
            }
        });
        rig.quiet(PATIENCE);
        assertEquals(List.of("one", "two"), rig.written(customer));
        Chat chat = rig.chat(customer);
        assertEquals(List.of(), rig.notes(chat));
        assertEquals(failed, rig.failed(), "refused for good");
        wellAgain(rig);
        assertEquals(1, rig.flex.chats("twitter-" + customer.id()).size(), "conversations");
        assertEquals(1, chat.webhookUrls().size(), "webhooks");
        assertEquals(1, rig.flex.tasks().stream().filter(task -> task.chatSid().equals(chat.sid())).count(), "tasks");
        TALKS.put(row.generation(), known);
    }

    private static void goesOn(Talk known, String text) {
        known.customer().writes(text);
        known.rig().flex.agentWrites(known.chat(), text);
        soon(() -> "a known customer's message", () -> known.written().contains(text));
        soon(() -> "the reply to a known customer", () -> received(known.customer()).contains(text));
    }

    /**
     * Has the messages written while the service answers as the row says: once, or until health says why nothing goes on.
     *
     * @param others go on meanwhile, if the row says so
     */
    private static void strike(Rig rig, Row row, Faults faults, String operation, Runnable write, Runnable others) {
        Answer answer = row.answer();
        if (answer.meaning() == DELIVERED || answer.meaning() == REFUSED) {
            faults.next(operation, answer.fault());
            write.run();
            return;
        }
        int failed = rig.failed();
        faults.always(operation, answer.fault());
        try {
            write.run();
            soon(() -> "health is degraded", () -> {
                assertEquals(failed, rig.failed(), "refused for good");
                return !rig.trouble().isEmpty();
            });
            eventually(() -> "the reason says '" + answer.says() + "': " + rig.trouble(), Duration.ofSeconds(3),
                    () -> rig.trouble().contains(answer.says()) ? true : null);
            assertTrue(rig.trouble().matches("(?s).*\\b(X|Flex|Twilio)\\b.*"), () -> "which service? " + rig.trouble());
            if (answer.meaning() == WAITS) {
                others.run();
            }
        } finally {
            faults.clear();
        }
    }

    private static void soon(Supplier<String> what, BooleanSupplier condition) {
        eventually(what, PATIENCE, () -> condition.getAsBoolean() ? true : null);
    }
}
