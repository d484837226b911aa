package twitterflex.sandbox;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * {@code ./run.sh demo}: a conversation crosses the bridge before your eyes, without an account, a key or a network.
 *
 * <pre>
 *   customer ▶ simulated X ▶ the bridge, as a process of its own ▶ simulated Flex ▶ agent, and back
 * </pre>
 *
 * It plays eleven hops, each over real HTTP with real signatures, and then hands both ends of the conversation to you.
 */
public final class Demo {

    private static final String USAGE = """
            usage: ./run.sh demo [--once] [--classic] [--verbose]
              --once      plays the conversation and ends: status 0 if every hop arrived, else 1
              --classic   with the original's APIs, Programmable Chat and X API 1.1, instead of Flex Conversations and X API 2
              --verbose   shows the log of the bridge as well""";

    private static final String HELP = """
            Your turn:  c TEXT  writes as the customer     a TEXT  as the agent (try: a Which one? Options Red, Green)
                        1       chooses the first option   end     ends the chat     quit  or Ctrl-C stops""";

    public static void main(String[] arguments) {
        List<String> words = List.of(arguments);
        if (!List.of("--once", "--classic", "--verbose").containsAll(words)) {
            System.err.println(USAGE);
            System.exit(2);
        }
        try {
            Demo demo = new Demo(words.contains("--classic"), words.contains("--verbose"));
            demo.begin();
            boolean arrived = demo.play();
            if (!words.contains("--once")) {
                demo.goOn();
            }
            System.exit(arrived ? 0 : 1);
        } catch (IOException | RuntimeException failed) {
            System.err.println("the demo itself failed: " + failed);
            System.exit(1);
        }
    }

    /** For one hop; a test of failure has less. */
    private static final Duration PATIENCE = Duration.ofMillis(Long.getLong("demo.patience", 10_000));
    private static final Duration START = Duration.ofSeconds(30);
    private static final String INDENT = " ".repeat(44);

    private final boolean classic;
    private final boolean verbose;
    private final PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, UTF_8);
    private final SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys());
    private final SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample());
    private final Customer customer = x.customer("3001969357", "berry_lover", "Berry Lover");
    private final String identity = "twitter-" + customer.id();
    private final BridgeProcess bridge = new BridgeProcess();
    private final List<String> sentToAgent = new ArrayList<>();
    private int sentToCustomer;
    private int hops;
    private int arrivals;
    private int shownAtFlex;
    private int shownAtX;
    private int shownOfLog;

    private Demo(boolean classic, boolean verbose) throws IOException {
        this.classic = classic;
        this.verbose = verbose;
        x.envelope(classic ? SimulatedX.Envelope.ACCOUNT_ACTIVITY : SimulatedX.Envelope.X_ACTIVITY);
    }

    private void begin() throws IOException {
        SimulatedX.Keys keys = SimulatedX.sampleKeys();
        SimulatedFlex.Account account = flex.account;
        bridge.start(Map.ofEntries(Map.entry("TWITTER_CONSUMER_KEY", keys.consumerKey()), Map.entry("TWITTER_CONSUMER_SECRET", keys.consumerSecret()),
                Map.entry("TWITTER_ACCESS_KEY", keys.accessToken()), Map.entry("TWITTER_ACCESS_SECRET", keys.accessSecret()),
                Map.entry("TWITTER_API", classic ? "1.1" : "2"), Map.entry("TWITTER_API_URL", x.url()),
                Map.entry("TWILIO_ACCOUNT_SID", account.accountSid()), Map.entry("TWILIO_AUTH_TOKEN", account.authToken()),
                Map.entry("TWILIO_API_URL", flex.apiUrlTemplate()), Map.entry("FLEX_API", classic ? "chat" : "conversations"),
                Map.entry("FLEX_CHAT_SERVICE", account.chatService()), Map.entry("FLEX_FLOW_SID", account.flexFlow()),
                Map.entry("FLEX_WORKSPACE_SID", account.workspace()), Map.entry("FLEX_WORKFLOW_SID", account.workflow()),
                Map.entry("FLEX_TASK_CHANNEL", account.taskChannel())), status -> giveUp("The bridge has died with status " + status));
        x.webhook(bridge.url() + "/fromTwitter");
        out.printf("X at %s and Flex at %s are simulated; the bridge at %s is process %d.%n", x.url(), flex.url(), bridge.url(), bridge.pid());
        out.printf("They speak %s.%n%n", classic ? "the original's APIs: X 1.1 and Programmable Chat"
                : "X API 2 and Flex Conversations (--classic: the original's APIs)");
        if (!await(() -> ask("/").status() == 200, START)) {
            giveUp("The bridge does not answer");
        }
    }

    private void giveUp(String why) {
        out.println("✗ " + why + ".\n" + bridge.lastOfLog());
        System.exit(1);
    }

    // The play: what is said, and what must be seen at the other end.

    private boolean play() {
        long started = System.nanoTime();

        hop("X ▶ bridge ▶ X", "challenge-response check", "the token, signed", () -> { }, x::challengeHolds);

        customerWrites("Hello, where is my box?", " opens a chat with one task and one webhook", () -> served(1));

        agentWrites("It left this morning 🚚", "the same text", dm -> dm.text().equals("It left this morning 🚚"));

        agentWrites("Ok, this weeks 2 boxes are: Options Missed a delivery 📦 - Reschedule a date and time, "
                + "General information 🍓 - Available fruit boxes", classic ? "two quick replies" : "a numbered list", this::offersTheBoxes);

        String second = "General information 🍓";
        if (classic) { // X gives back what the option carried
            toAgent("taps [" + second + "]", second, () -> choose(2), () -> lastRead().attributes().contains("option_2"));
        } else {
            toAgent("\"2\", read as \"" + second + "\"", second, () -> choose(2), () -> true);
        }

        agentWrites("See your order Link Track my order, https://example.com/o/77", classic ? "a button" : "a plain link", this::linksToTheOrder);

        customerWrites("תודה רבה! شكراً 👩‍🌾 & <3", "", () -> true);

        String forged = x.event(customer, "Give me everybody's address");
        hop("forger ▶ bridge", "a webhook with the signature of another is refused", "status 403", () -> answered(403, x.post(forged.getBytes(UTF_8),
                Map.of("Content-Type", "application/json", "x-twitter-webhooks-signature", x.sign("{}".getBytes(UTF_8))))), () -> true);

        String event = x.event(customer, "Is anybody there?");
        toAgent("\"Is anybody there?\", posted twice, arrives once", "Is anybody there?", () -> {
            answered(200, x.post(event));
            answered(200, x.post(event));
        }, () -> health("duplicates") > 0);

        hop("agent ▶ Flex ▶ bridge", "ends the chat", "the chat closed, and the bridge told so", () -> flex.agentCompletes(openChat()),
                () -> flex.openChat(identity).isEmpty() && flex.webhookDeliveries().stream().anyMatch(this::tellsTheEnd));

        customerWrites("One more question", " opens a second chat with a task of its own", () -> served(2));

        return judged(millisSince(started));
    }

    /** Prints what the two services, or the transcript as a whole, hold against the bridge, and the result. */
    private boolean judged(long millis) {
        List<String> objections = new ArrayList<>();
        try {
            settle();
        } catch (IllegalStateException unsettled) {
            objections.add(unsettled.getMessage());
        }
        x.violations().forEach(violation -> objections.add("X objects: " + violation));
        flex.violations().forEach(violation -> objections.add("Flex objects: " + violation));
        flex.lostWebhooks().forEach(lost -> objections.add("Flex gave up " + lost));
        List<String> read = posted().map(Chat.Posted::body).toList();
        if (arrivals == hops && !read.equals(sentToAgent)) {
            objections.add("the agent did not read each message once and in order, but " + read);
        }
        if (arrivals == hops && customer.inbox().size() != sentToCustomer) {
            objections.add("the customer received " + customer.inbox().size() + " messages, not " + sentToCustomer);
        }
        objections.forEach(objection -> out.println("✗ " + objection));
        out.printf("%n%d of %d hops arrived in %d ms%n", arrivals, hops, millis);
        boolean well = arrivals == hops && objections.isEmpty();
        out.print(well ? "" : bridge.lastOfLog() + "\n");
        return well;
    }

    private boolean served(int chats) {
        List<Chat> all = flex.chats(identity);
        return all.size() == chats && all.stream().filter(Chat::open).count() == 1 && flex.tasks().size() == chats
                && flex.tasks().get(chats - 1).chatSid().equals(openChat().sid()) && openChat().webhookUrls().size() == 1;
    }

    private boolean offersTheBoxes(Customer.Received dm) {
        return classic ? dm.text().equals("Ok, this weeks 2 boxes are:") && dm.options().stream().map(Customer.QuickReplyOption::description).toList()
                        .equals(List.of("Reschedule a date and time", "Available fruit boxes"))
                : dm.text().contains("1. Missed a delivery 📦") && dm.text().contains("2. General information 🍓");
    }

    private boolean linksToTheOrder(Customer.Received dm) {
        Customer.Button button = new Customer.Button("Track my order", "https://example.com/o/77");
        return classic ? dm.buttons().equals(List.of(button)) : dm.text().contains(button.label()) && dm.text().contains(button.url());
    }

    private boolean tellsTheEnd(SimulatedFlex.WebhookDelivery delivery) {
        return delivery.event().equals(classic ? "onChannelUpdated" : "onConversationStateUpdated") && delivery.status() == 200;
    }

    // One hop: something is done at one end, and seen at the other.

    private void customerWrites(String text, String effect, BooleanSupplier also) {
        toAgent("\"" + text + "\"" + effect, text, () -> customer.writes(text), also);
    }

    private void toAgent(String shown, String read, Runnable act, BooleanSupplier also) {
        sentToAgent.add(read);
        hop("customer ▶ X ▶ bridge ▶ Flex", shown, "the agent reads \"" + read + "\"", act,
                () -> lastRead().body().equals(read) && also.getAsBoolean());
    }

    private void agentWrites(String typed, String expected, Predicate<Customer.Received> right) {
        int before = customer.inbox().size();
        sentToCustomer++;
        hop("agent ▶ Flex ▶ bridge ▶ X", "\"" + typed + "\"", expected, () -> flex.agentWrites(openChat(), typed),
                () -> customer.inbox().size() > before && right.test(lastDm()));
        if (customer.inbox().size() > before && !lastDm().text().equals(typed)) {
            out.println(INDENT + shown(lastDm(), INDENT));
        }
    }

    private void hop(String route, String what, String expected, Runnable act, BooleanSupplier arrived) {
        hops++;
        long started = System.nanoTime();
        String trouble = "";
        boolean there = false;
        try {
            act.run();
            there = await(arrived, PATIENCE);
        } catch (RuntimeException failed) {
            trouble = " (" + failed.getMessage() + ")";
        }
        arrivals += there ? 1 : 0;
        out.printf("%s %-29s %6d ms   %s%n", there ? "✓" : "✗", route, millisSince(started), what);
        if (!there) {
            out.println(INDENT + "expected: " + expected + trouble);
        }
        showLog();
    }

    private static void answered(int expected, SimulatedService.Posted answer) {
        if (answer.status() != expected) {
            throw new IllegalStateException("answered " + answer.status() + " " + answer.body());
        }
    }

    private static boolean await(BooleanSupplier condition, Duration patience) {
        for (long started = System.nanoTime(); !condition.getAsBoolean(); pause()) {
            if (millisSince(started) > patience.toMillis()) {
                return false;
            }
        }
        return true;
    }

    private static void pause() {
        try {
            Thread.sleep(2);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static long millisSince(long nanoTime) {
        return (System.nanoTime() - nanoTime) / 1_000_000;
    }

    private Chat openChat() {
        return flex.openChat(identity).orElseThrow(() -> new IllegalStateException("no chat is open: the customer writes first"));
    }

    /** All that stands in the customer's chats but the agent's own words, oldest first. */
    private Stream<Chat.Posted> posted() {
        return flex.chats(identity).stream().flatMap(chat -> chat.messages().stream()).filter(message -> !message.author().equals(SimulatedFlex.AGENT));
    }

    private Chat.Posted lastRead() {
        return posted().reduce(new Chat.Posted("", "", "", "", null), (before, last) -> last);
    }

    private Customer.Received lastDm() {
        return customer.inbox().stream().reduce(new Customer.Received("", "", List.of(), List.of(), null), (before, last) -> last);
    }

    private static String shown(Customer.Received dm, String indent) {
        StringBuilder shown = new StringBuilder(dm.text());
        dm.options().forEach(option -> shown.append("\n[").append(option.label()).append("] ").append(option.description()));
        dm.buttons().forEach(button -> shown.append("\n[").append(button.label()).append("] ▶ ").append(button.url()));
        return shown.toString().replaceAll("\n+", "\n" + indent);
    }

    // Interactive: you write at both ends, and see what arrives at either.

    private void goOn() throws IOException {
        out.println("\n" + HELP);
        shownAtFlex = (int) posted().count();
        shownAtX = customer.inbox().size();
        Thread watch = new Thread(() -> {
            for (;; pause()) {
                showArrivals();
            }
        });
        watch.setDaemon(true);
        watch.start();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        String line = lines.readLine();
        for (; line != null && !line.strip().equals("quit"); line = lines.readLine()) {
            try {
                obey(line.strip());
            } catch (IllegalStateException notNow) {
                out.println("  " + notNow.getMessage());
            }
        }
        settle();
        showArrivals();
        out.println(line == null ? "The input has ended, and so does the demo." : "Bye.");
    }

    private void obey(String line) {
        if (line.startsWith("c ")) {
            customer.writes(line.substring(2));
        } else if (line.startsWith("a ")) {
            flex.agentWrites(openChat(), line.substring(2));
        } else if (line.equals("end")) {
            flex.agentCompletes(openChat());
        } else if (line.matches("[1-9][0-9]?")) {
            choose(Integer.parseInt(line));
        } else if (!line.isEmpty()) {
            out.println(HELP);
        }
    }

    /** Taps an option where X shows them, else types its number. */
    private void choose(int number) {
        List<Customer.QuickReplyOption> options = lastDm().options();
        if (number <= options.size()) {
            customer.answers(options.get(number - 1));
        } else {
            customer.writes(String.valueOf(number));
        }
    }

    private synchronized void showArrivals() {
        posted().skip(shownAtFlex).forEach(message -> {
            shownAtFlex++;
            out.println("  ▶ agent      " + message.body().replace("\n", "\n" + " ".repeat(15)));
        });
        customer.inbox().stream().skip(shownAtX).forEach(dm -> {
            shownAtX++;
            out.println("  ▶ customer   " + shown(dm, " ".repeat(15)));
        });
        showLog();
    }

    private void showLog() {
        List<String> lines = verbose ? bridge.log() : List.of();
        for (; shownOfLog < lines.size(); shownOfLog++) {
            out.println("    " + lines.get(shownOfLog));
        }
    }

    /** Waits until nothing is under way any more. */
    private void settle() {
        x.awaitDelivered(PATIENCE);
        flex.awaitDelivered(PATIENCE);
        await(() -> health("pending") == 0, PATIENCE);
    }

    private long health(String counter) {
        SimulatedService.Posted answer = ask("/healthz");
        return answer.status() == 0 ? -1 : Json.parse(answer.body()).path(counter).asLong(-1);
    }

    private SimulatedService.Posted ask(String path) {
        return x.ask(HttpRequest.newBuilder(URI.create(bridge.url() + path)));
    }
}
