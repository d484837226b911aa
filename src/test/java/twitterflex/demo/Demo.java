package twitterflex.demo;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.BindException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import twitterflex.sandbox.Chat;

/**
 * {@code ./run.sh demo}: a conversation crosses the bridge before your eyes, without an account, a key or a network.
 *
 * <pre>
 *   customer ▶ simulated X ▶ the bridge, as a process of its own ▶ simulated Flex ▶ agent, and back
 * </pre>
 *
 * On a page of its own, which it opens in the browser where there is one, and in the terminal. Both show the same stage, and play the
 * same tour: over real HTTP, with real signatures.
 */
public final class Demo {

    private static final String USAGE = """
            usage: ./run.sh demo [--once] [--classic] [--verbose] [--port N]
              --once      plays the tour in the terminal and ends: status 0 if every hop arrived, else 1
              --classic   with the original's APIs, Programmable Chat and X API 1.1, instead of Flex Conversations and X API 2
              --verbose   shows the log of the bridge as well
              --port N    has the page at http://127.0.0.1:N/; it goes on there when the demo is started again""";

    private static final String HELP = """
            Your turn:  tour    plays the guided tour      c TEXT  writes as the customer
                        1       chooses the first option   a TEXT  writes as the agent (try: a Which one? Options Red, Green)
                        end     ends the chat              cp, ap  sends a picture as the customer, the agent
                        quit    or Ctrl-C stops""";

    public static void main(String[] arguments) {
        List<String> words = new ArrayList<>(List.of(arguments));
        if (words.contains("--help")) {
            System.out.println(USAGE);
            return;
        }
        int at = words.indexOf("--port");
        int port = 0;
        if (at >= 0 && at + 1 < words.size() && words.get(at + 1).matches("[0-9]{1,5}")) {
            port = Integer.parseInt(words.get(at + 1));
            words.subList(at, at + 2).clear();
        }
        if (!List.of("--once", "--classic", "--verbose").containsAll(words) || port > 65_535) {
            System.err.println(USAGE);
            System.exit(2);
        }
        try {
            Demo demo = new Demo(words.contains("--classic"), words.contains("--verbose"));
            boolean well = true;
            if (words.contains("--once")) {
                demo.begin();
                well = demo.play(new Tour(demo.stage));
            } else {
                DemoServer page = new DemoServer(demo.stage, port);
                demo.begin();
                demo.goOn(page);
            }
            System.exit(well ? 0 : 1);
        } catch (BindException taken) {
            System.err.printf("the page cannot be at port %d (%s): give --port another%n", port, taken.getMessage());
            System.exit(2);
        } catch (IOException | RuntimeException failed) {
            System.err.println("the demo itself failed: " + failed);
            System.exit(1);
        }
    }

    private static final Duration START = Duration.ofSeconds(30);
    private static final Duration PATIENCE = Duration.ofSeconds(30);
    private static final String INDENT = " ".repeat(44);
    /** Only where somebody types: not for a script, and not for a container without a terminal. */
    private static final String PROMPT = System.console() == null ? "" : "> ";

    private final boolean verbose;
    private final PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, UTF_8);
    private final Stage stage;
    private final Map<String, int[]> shown = new HashMap<>();
    private Stage.Person person;
    private int shownOfLog;
    private volatile boolean asking;

    private Demo(boolean classic, boolean verbose) throws IOException {
        this.verbose = verbose;
        stage = new Stage(classic);
        person = stage.people().get(0);
    }

    private void begin() throws IOException {
        stage.open(status -> giveUp("The bridge has died with status " + status));
        out.printf("X at %s and Flex at %s are simulated; the bridge at %s is process %d.%n", stage.x.url(), stage.flex.url(),
                stage.bridge.url(),
                stage.bridge.pid());
        out.printf("They speak %s.%n%n", stage.classic ? "the original's APIs: X 1.1 and Programmable Chat"
                : "X API 2 and Flex Conversations (--classic: the original's APIs)");
        if (!Stage.await(() -> stage.health().alive(), START)) {
            giveUp("The bridge does not answer");
        }
    }

    private void giveUp(String why) {
        out.println("✗ " + why + ".\n" + stage.bridge.lastOfLog());
        System.exit(1);
    }

    // The tour, hop by hop.

    private boolean play(Tour tour) {
        person = tour.person;
        while (!tour.over()) {
            out.printf("%d. %s%n", tour.next() + 1, tour.steps.get(tour.next()).title());
            tour.play(this::show);
        }
        List<String> objections = tour.objections();
        objections.forEach(objection -> out.println("✗ " + objection));
        out.printf("%n%d of %d hops arrived in %d ms%n", tour.arrivals(), tour.hops(), tour.millis());
        boolean well = tour.arrivals() == tour.hops() && objections.isEmpty();
        out.print(well ? "" : stage.bridge.lastOfLog() + "\n");
        return well;
    }

    private void show(Tour.Result result) {
        Tour.Hop hop = result.hop();
        boolean arrived = result.state() == Tour.State.ARRIVED;
        out.printf("%s %-29s %6d ms   %s%n", arrived ? "✓" : "✗", hop.route(), result.millis(), hop.what());
        if (!arrived) {
            out.println(INDENT + "expected: " + hop.expected() + (result.trouble().isEmpty() ? "" : " (" + result.trouble() + ")"));
        } else if (!hop.shown().get().isEmpty()) {
            out.println(INDENT + indented(hop.shown().get(), INDENT));
        }
        if (verbose) {
            Stage.await(this::isLogged, Duration.ofSeconds(10));
        }
        showLog();
    }

    /** Whether the bridge has written what it has to say of all that has arrived: it has to stand below the right hop. */
    private boolean isLogged() {
        Stage.Health health = stage.health();
        boolean waits = health.count("pending") > 0 && stage.troubles().isEmpty();
        long logged = stage.bridge.log().stream().filter(line -> line.contains(" INFO delivered id=")).count();
        return !waits && logged >= health.count("delivered");
    }

    private static String indented(String text, String indent) {
        return text.replaceAll("\n+", "\n" + indent);
    }

    // Interactive: you write at both ends, here or on the page, and see what arrives at either.

    private void goOn(DemoServer page) throws IOException {
        boolean opened = DefaultBrowser.open(page.url());
        out.println((opened ? "The page is open in your browser: " : "The page: open ") + page.url() + "\n");
        out.println(HELP);
        Thread watch = new Thread(() -> {
            for (;; pause()) {
                showArrivals();
            }
        });
        watch.setDaemon(true);
        watch.start();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        String line = asked(lines);
        if (line == null && PROMPT.isEmpty()) {
            out.println("There is no input here: the page goes on until this process is stopped.");
            Stage.await(() -> false, Duration.ofDays(10_000));
        }
        for (; line != null && !line.strip().equals("quit"); line = asked(lines)) {
            try {
                obey(line.strip(), page.guide());
            } catch (IllegalStateException notNow) {
                out.println("  " + notNow.getMessage());
            }
        }
        try {
            stage.calm();
            stage.settle(PATIENCE);
        } catch (IllegalStateException unsettled) {
            out.println("  " + unsettled.getMessage());
        }
        showArrivals();
        out.println(line == null ? "The input has ended, and so does the demo." : "Bye.");
    }

    private void obey(String line, Guide guide) {
        if (line.matches("cp( .*)?")) {
            stage.sends(person, DemoServer.sample("crushed-box.jpg"), line.substring(2).strip());
        } else if (line.matches("ap( .*)?")) {
            Chat chat = stage.openChat(person);
            stage.accepts(chat);
            stage.attaches(chat, DemoServer.sample("new-box.png"), line.substring(2).strip());
        } else if (line.startsWith("c ")) {
            stage.writes(person, line.substring(2));
        } else if (line.startsWith("a ")) {
            stage.flex.agentWrites(stage.openChat(person), line.substring(2));
        } else if (line.equals("end")) {
            stage.flex.agentCompletes(stage.openChat(person));
        } else if (line.matches("[1-9][0-9]?")) {
            stage.chooses(person, Integer.parseInt(line));
        } else if (line.equals("tour")) {
            guide.lead(this::play);
        } else if (!line.isEmpty()) {
            out.println(HELP);
        }
    }

    private synchronized void showArrivals() {
        List<String> arrivals = new ArrayList<>();
        for (Stage.Person one : stage.people()) {
            String who = stage.people().size() == 1 ? "" : "@" + one.customer().handle() + ": ";
            int[] before = shown.computeIfAbsent(one.identity(), unseen -> new int[2]);
            stage.posted(one).skip(before[0]).forEach(message -> {
                before[0]++;
                boolean note = message.author().equals("twitter-bridge");
                String reader = note ? "the bridge tells the agent: " : "the agent reads: ";
                arrivals.add(arrival(reader, who, message.body() + "\n" + Tour.shown(message.files())));
            });
            one.customer().inbox().stream().skip(before[1]).forEach(dm -> {
                before[1]++;
                arrivals.add(arrival("the customer reads: ", who, Tour.shown(dm)));
            });
        }
        aside(arrivals);
        showLog();
    }

    private static String arrival(String reader, String who, String text) {
        String line = "  " + (reader + " ".repeat(20)).substring(0, Math.max(20, reader.length())) + who;
        return line + indented(text.strip(), " ".repeat(22));
    }

    private static void pause() {
        try {
            Thread.sleep(2);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private synchronized void showLog() {
        List<String> lines = verbose ? stage.bridge.log() : List.of();
        aside(lines.stream().skip(shownOfLog).map(line -> "    " + line).toList());
        shownOfLog = Math.max(shownOfLog, lines.size());
    }

    /** In the place of the prompt, which then stands below. */
    private void aside(List<String> lines) {
        if (!lines.isEmpty()) {
            out.print(asking ? "\r" : "");
            lines.forEach(out::println);
            out.print(asking ? PROMPT : "");
        }
    }

    private String asked(BufferedReader lines) throws IOException {
        synchronized (this) {
            out.print(PROMPT);
            asking = !PROMPT.isEmpty();
        }
        String line = lines.readLine();
        asking = false;
        return line;
    }
}
