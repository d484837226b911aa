package twitterflex;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.ERROR;
import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;
import static java.nio.charset.StandardCharsets.UTF_8;
import static twitterflex.Bridge.*;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.*;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.*;
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.nio.charset.CharacterCodingException;
import java.nio.file.*;
import java.nio.file.attribute.*;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.text.Normalizer;
import java.time.*;
import java.time.format.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.regex.*;
import java.util.stream.*;
import twitterflex.Bridge.*;

/**
 * The operator's tool beside the bridge: it finds or makes what has to be there at Twilio and X (setup), tells whether all of it
 * works (check), lists what was refused and puts it back (failed, retry), and looks after the registrations while the bridge
 * serves (ngrok, the watch). The bridge knows nothing of it.
 */
public final class Operator {

    private Operator() { }

    // -----------------------------------------------------------------------------------------------------------------
    // 1. The commands. Exit status 0 after a clean stop, 1 when something failed, 2 for wrong settings or usage.

    private static final String HELP = """
            usage: java -jar twitter-flex-bridge.jar [command]

              serve         carry messages until SIGTERM or Ctrl-C (the default)
              setup         find or create what the bridge needs at Twilio and X, and write it to .env;
                            --dry-run only tells, --move takes over what is at another bridge's address
              check         tell whether all of it works, and what to do if not; changes nothing; --json for machines
              failed        list the messages a service refused for good, one a line: id, time, customer, reason;
                            which journal that is, and how many they are, is told on stderr
              retry [ID]    put a refused message, or all of them, back; a running bridge takes them within seconds,
                            and each comes after what was sent since
              help          this text

            Settings are read from the environment and from the file .env in this folder (the environment wins):
            """;

    /** What may follow a command, in any order. */
    private static final Map<String, List<String>> ARGUMENTS = Map.of(
            "serve", List.of(), "failed", List.of(), "help", List.of(),
            "setup", List.of("--dry-run", "--move"), "check", List.of("--json"), "retry", List.of("ID"));

    public static void main(String[] arguments) {
        String command = arguments.length == 0 ? "serve" : arguments[0].replaceFirst("^(-h|--help)$", "help");
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, UTF_8);
        run(command, () -> {
            Set<String> words = words(command, arguments);
            // The commands talk to the one who typed them; a log is for a bridge that runs.
            if (!command.equals("serve")) LOG.level = System.Logger.Level.OFF;
            switch (command) {
                case "serve" -> {
                    DotEnv.sweep(DOT_ENV);
                    serve(Ngrok.address(Settings.from(environment()), Duration.ofSeconds(30)), Watch::new);
                }
                case "setup" -> System.exit(Setup.run(environment(), DOT_ENV, words, out::println) ? 0 : 1);
                case "check" -> System.exit(check(words.contains("--json"), out::println) ? 0 : 1);
                case "failed" -> {
                    Path folder = Settings.dataFolder(environment());
                    List<String> lines = Journal.failed(folder);
                    lines.forEach(out::println);
                    // Not among the lines, which scripts count and cut.
                    System.err.println(messages(lines.size()) + " refused" + by(folder));
                }
                case "retry" -> {
                    Path folder = Settings.dataFolder(environment());
                    int asked = Journal.requestRetry(folder, String.join("", words));
                    out.println(messages(asked) + " put back" + by(folder) + ": delivered after what was sent since,"
                            + " within seconds if the bridge runs, else when it starts");
                }
                default -> out.print(HELP + Settings.describe());
            }
        });
    }

    private static boolean check(boolean json, Consumer<String> out) {
        try {
            return Setup.check(environment(), json, out);
        } catch (CommandFailed unreadable) {
            return Setup.told(Setup.wrong(unreadable), json, out);
        }
    }

    private static String messages(int number) { return number == 1 ? "1 message" : number + " messages"; }

    private static String by(Path folder) { return ", by the journal in " + folder.toAbsolutePath(); }

    /** @throws CommandFailed for a word that the command does not know */
    private static Set<String> words(String command, String[] arguments) throws CommandFailed {
        List<String> known = ARGUMENTS.get(command);
        if (known == null) throw new CommandFailed(2, List.of("unknown command '" + command + "': try help"));
        Set<String> words = Stream.of(arguments).skip(1).collect(Collectors.toCollection(LinkedHashSet::new));
        for (String word : words) {
            boolean id = known.contains("ID") && words.size() == 1 && !word.startsWith("-");
            if (known.contains(word) || id) continue;
            String knows = known.isEmpty() ? "nothing after it" : "only " + String.join(" and ", known);
            throw new CommandFailed(2, List.of(command + " takes " + knows + ", not '" + word + "': try help"));
        }
        return words;
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 2. Going live and staying so: what has to be there at Twilio and X is looked for first, and made only if it is missing.
    //    setup, check and the watch of a running bridge are the same look; they differ in what they may change.

    /** The tunnel that a local ngrok agent keeps open to this bridge (ngrok, "Agent API", list tunnels). */
    static final class Ngrok {
        private Ngrok() { }

        /** An agent's own port is 4040; where another one has that, it takes the next that is free. */
        private static final List<String> AGENTS = IntStream.range(4040, 4050)
                .mapToObj(port -> "http://127.0.0.1:" + port).toList();

        static Settings address(Settings settings, Duration patience) throws CommandFailed {
            return address(settings, patience, line -> LOG.log(INFO, () -> line));
        }

        /** @return the settings with a public URL; @throws CommandFailed if none is set and no tunnel shows up in time */
        static Settings address(Settings settings, Duration patience, Consumer<String> out) throws CommandFailed {
            if (!settings.publicUrl().isEmpty()) return settings;
            Client client = new Client(Duration.ofSeconds(2), new Metrics());
            String set = settings.get("NGROK_API_URL").replaceAll("/+$", "");
            List<String> agents = set.isEmpty() ? AGENTS : List.of(set);
            if (settings.port() == 0) {
                throw new CommandFailed(2, List.of("PUBLIC_URL is not set, and no tunnel can lead to PORT=0: set one of them"));
            }
            out.accept("PUBLIC_URL is not set: asking the ngrok agent at " + URI.create(agents.get(0)).getAuthority()
                    + (set.isEmpty() ? " and the next ports" : "") + " for up to " + patience.toSeconds() + " s");
            long end = System.nanoTime() + patience.toNanos();
            while (true) {
                Optional<String> tunnel = agents.stream().flatMap(agent -> tunnels(client, agent))
                        .filter(one -> one.at("/config/addr").asText().matches("(.*[:/])?" + settings.port() + "/?"))
                        .map(one -> one.path("public_url").asText()).filter(url -> url.startsWith("https://")).findFirst();
                if (tunnel.isPresent()) {
                    Settings found = settings.with("PUBLIC_URL", tunnel.get());
                    return settings.get("AUTO_REGISTER").isEmpty() ? found.with("AUTO_REGISTER", "on") : found;
                }
                if (System.nanoTime() > end) {
                    throw new CommandFailed(1, List.of("PUBLIC_URL is not set, and no ngrok tunnel leads to port " + settings.port()
                            + ": start one with 'ngrok http " + settings.port() + "' and try again, or set PUBLIC_URL"));
                }
                LockSupport.parkNanos(200_000_000);
            }
        }

        private static Stream<JsonNode> tunnels(Client client, String agent) {
            Response answer = client.call("ngrok", HttpRequest.newBuilder(URI.create(agent + "/api/tunnels")));
            return answer.body().path("tunnels").valueStream();
        }
    }

    /** Looks at X's webhook from time to time while the bridge serves, and tells open conversations a new address. It delays no message. */
    static final class Watch implements Caretaker {
        private final Bridge bridge;
        private final Settings settings;
        private final Timing timing;
        private final ScheduledExecutorService clock = new ScheduledThreadPoolExecutor(1, daemonThreads("watch"),
                new ThreadPoolExecutor.DiscardPolicy());
        private final Runnable look = logFailures(this::look, "X's webhook could not be looked at");
        private final AtomicBoolean asked = new AtomicBoolean();
        private Duration pause;
        private boolean told;
        /** X has taken the former address again, not the new one: to try at each look would lose messages each time. */
        private boolean stays;
        private volatile List<String> troubles = List.of();

        Watch(Bridge bridge) {
            this.bridge = bridge;
            settings = bridge.settings;
            timing = bridge.timing;
            pause = timing.maxBackoff();
        }

        /** The first look is at once where the bridge registers itself; else there is no hurry. */
        @Override public void start() {
            if (settings.autoRegister()) troubles = List.of("X has not been looked at yet");
            else clock.execute(logFailures(() -> tellConversations(true), UNTOLD));
            next(settings.autoRegister() ? Duration.ZERO : timing.webhookCheck().dividedBy(30));
        }

        @Override public void stop() { clock.shutdownNow(); }
        @Override public List<String> troubles() { return troubles; }

        /** X has said something that may mean it sends no more. */
        @Override public void lookNow() { if (asked.compareAndSet(false, true)) clock.execute(look); }

        /** What is not well is looked at again soon, at first. */
        private void next(Duration after) {
            clock.schedule(() -> {
                look.run();
                boolean soon = !troubles.isEmpty() && pause.compareTo(timing.webhookCheck()) < 0;
                next(soon ? pause : timing.webhookCheck());
                pause = soon ? pause.multipliedBy(2) : timing.maxBackoff();
            }, after.toMillis(), TimeUnit.MILLISECONDS);
        }

        private void look() {
            asked.set(false);
            List<Setup.Step> steps = new ArrayList<>();
            Set<Setup.Change> allowed = EnumSet.of(Setup.Change.REVALIDATE);
            if (settings.autoRegister()) allowed.add(Setup.Change.CREATE);
            if (settings.autoRegister() && !stays) allowed.add(Setup.Change.MOVE_FROM_FORMER_URL);
            Setup setup = new Setup(settings, bridge.client, allowed, steps::add);
            setup.former = bridge.journal.address();
            setup.x(false);
            stays |= setup.restored;
            Set<String> found = new LinkedHashSet<>();
            for (Setup.Step step : steps) {
                String line = step.name() + ": " + step.words();
                // Who has switched it off registers by other means, and knows why the bridge sees nothing.
                boolean trouble = step.state() == Setup.State.MISSING
                        && (!settings.get("AUTO_REGISTER").equals("off") || step.name().equals(Setup.ACCOUNT));
                if (trouble) found.add(step.name() + " is not right: the log and the command check tell more");
                if (step.state() != Setup.State.FOUND) LOG.log(step.good() ? INFO : trouble ? ERROR : WARNING, () -> line);
            }
            // While X does not answer, what was known of it holds.
            boolean answered = steps.stream().noneMatch(step -> step.state() == Setup.State.UNKNOWN);
            if (answered) troubles = List.copyOf(found);
            tellConversations(!settings.autoRegister() || answered && found.isEmpty());
        }

        private static final String UNTOLD = "open conversations could not all be told the new address";

        /** Agents' answers come to the address that a conversation was opened with. @param registered whether X knows the new one */
        private void tellConversations(boolean registered) {
            String before = bridge.journal.address(), now = settings.publicUrl();
            if (before.equals(now)) return;
            Optional<Response> failed = told || before.isEmpty() ? Optional.empty() : bridge.flex.moved(before);
            told = failed.isEmpty();
            // Until X's webhook is moved too, it is known by the address before.
            if (told && registered) bridge.journal.moved(now);
            failed.ifPresent(answer -> {
                LOG.log(WARNING, () -> UNTOLD + ": " + answer.sentence());
                clock.schedule(logFailures(() -> tellConversations(registered), UNTOLD), timing.maxBackoff().toMillis(),
                        TimeUnit.MILLISECONDS);
            });
        }
    }

    /** Looks at everything the bridge needs, one thing after the other, and makes what is missing if it may. */
    static final class Setup {
        enum Change { CREATE, REVALIDATE, MOVE, MOVE_FROM_FORMER_URL, WRITE_ENV }
        enum State { FOUND, CREATED, CHANGED, MISSING, UNKNOWN }

        /** @param words what was found or done; of what is missing, what to do about it */
        record Step(String name, State state, String words) {
            boolean good() { return state != State.MISSING && state != State.UNKNOWN; }
        }

        static final String ACCOUNT = "X account", PATH = "/fromTwitter";
        private static final String FLOW = "X Direct Messages";

        private final Settings settings;
        private final Client client;
        private final Twilio twilio;
        private final Set<Change> allowed;
        private final Consumer<Step> report;
        /** Takes the calls that would be made, if this is a dryRun. */
        private Consumer<String> dryRun;
        private Path dotEnv;
        /** The public URL before this one; empty if none is known. */
        private String former = "";
        private Response atTwilio, atX;
        private String bearer = "";
        private final String question = PATH + "?crc_token=" + UUID.randomUUID();
        /** Whether the new address has answered, us or X. */
        private boolean proven;
        /** The URL of the webhook that made room for the new one; empty if there is none to put back. */
        private String removed = "";
        private boolean restored;
        /** What whoever runs setup has said, address by address. */
        private final Map<String, Boolean> consent = new HashMap<>();
        private Function<String, Boolean> asked = url -> false;

        Setup(Settings settings, Client client, Set<Change> allowed, Consumer<Step> report) {
            this.settings = settings;
            this.client = client;
            this.allowed = allowed;
            this.report = report;
            twilio = new Twilio(client, settings);
        }

        private static Client client() { return new Client(Duration.ofSeconds(15), new Metrics()); }

        // The two commands.

        /** @param words --dry-run only tells what it would do, --move says yes to moves; @return whether all is well */
        static boolean run(Map<String, String> given, Path dotEnv, Set<String> words, Consumer<String> out)
                throws CommandFailed, IOException {
            boolean apply = !words.contains("--dry-run");
            DotEnv.sweep(dotEnv);
            Map<String, String> values = new HashMap<>(given);
            ask(values, dotEnv, apply, out);
            Settings settings = Settings.draft(values);
            if (!values.containsKey("FLEX_TASK_CHANNEL")) settings.values().put("FLEX_TASK_CHANNEL", "");
            List<Step> steps = new ArrayList<>();
            Consumer<Step> report = step -> {
                steps.add(step);
                String state = step.good() ? step.state().name().toLowerCase(Locale.ROOT) : "to do";
                out.accept("%s %-8s %-16s %s".formatted(step.good() ? "✓" : "✗", state, step.name(), step.words()));
            };
            Set<Change> allowed = apply ? EnumSet.allOf(Change.class) : EnumSet.of(Change.MOVE);
            if (!words.contains("--move")) allowed.remove(Change.MOVE);
            Setup setup = new Setup(settings, client(), allowed, report);
            setup.dotEnv = dotEnv;
            setup.former = setup.lastAddress();
            if (apply) setup.asked = Setup::asked;
            else {
                setup.dryRun = out;
                setup.asked = url -> {
                    out.accept("           would ask whether what is at " + url + " may be moved (--move says yes)");
                    return true;
                };
            }
            setup.twilio();
            setup.listening(report, out);
            boolean done = steps.stream().allMatch(Step::good);
            out.accept(!apply ? "Nothing was changed." : done ? "All is there: start the bridge with ./run.sh"
                    : "Do what is marked ✗, then run setup again.");
            return done;
        }

        /** Only on a terminal somebody can be asked. */
        private static boolean asked(String url) {
            Console console = System.console();
            if (console == null) return false;
            String said = console.readLine("X sends messages to %s, where another bridge may need them.%n"
                    + "Bring them here instead? (yes or no): ", url);
            return said != null && said.strip().matches("(?i)y|yes");
        }

        private String lastAddress() {
            try {
                return Journal.look(settings.dataDir()).address();
            } catch (CommandFailed | IOException unreadable) {
                return "";
            }
        }

        /** X's challenge has to be answered while it registers: by the bridge, or if none is running, from here. */
        private void listening(Consumer<Step> report, Consumer<String> out) {
            Edge edge = null;
            try {
                settings.values().putAll(Ngrok.address(settings, Duration.ofSeconds(30), out).values());
                edge = new Edge(settings, Map.of("GET /fromTwitter", request -> challenge(settings, request)));
                edge.start();
            } catch (CommandFailed wrong) {
                // The port is taken, by the bridge as a rule, and whether that answers will be seen.
                if (settings.publicUrl().isEmpty()) report.accept(new Step("public address", State.MISSING, wrong.getMessage()));
            }
            try {
                x(true);
            } finally {
                if (edge != null) edge.stop();
            }
        }

        /** Asks for what only the user can know; whatever he has given is kept at once. */
        private static void ask(Map<String, String> values, Path dotEnv, boolean apply, Consumer<String> out) throws CommandFailed, IOException {
            List<String> missing = Settings.draft(values).missing().stream().filter(name -> !name.startsWith("FLEX_")).toList();
            Console console = System.console();
            if (!missing.isEmpty() && (console == null || !apply)) {
                throw new CommandFailed(2, missing.stream().map(Settings::missing).toList());
            }
            for (String name : missing) {
                out.accept(name + ": " + Settings.advice(name));
                String value = "";
                while (value.isEmpty()) {
                    char[] typed = name.matches(".*(SECRET|TOKEN|KEY)") ? console.readPassword("%s (not shown): ", name)
                            : Optional.ofNullable(console.readLine("%s: ", name)).map(String::toCharArray).orElse(null);
                    if (typed == null) throw new CommandFailed(2, List.of(Settings.missing(name)));
                    String given = new String(typed).strip();
                    if (Settings.fits(name, given)) value = given;
                    else out.accept("That is not right.");
                }
                values.put(name, value);
                try {
                    DotEnv.write(dotEnv, name, value);
                } catch (IOException readOnly) {
                    throw new CommandFailed(1, List.of(".env cannot be written (" + reason(readOnly) + "): make this folder writable, or set "
                            + name + " in the environment"));
                }
            }
        }

        /** @return whether everything holds; see {@link #told} */
        static boolean check(Map<String, String> given, boolean json, Consumer<String> out) {
            List<Step> steps = new ArrayList<>();
            steps.add(new Step("Java", State.FOUND, System.getProperty("java.version") + ", " + System.getProperty("java.vendor")));
            try {
                Settings.from(given);
                steps.add(new Step("settings", State.FOUND, "complete"));
            } catch (CommandFailed incomplete) {
                steps.addAll(wrong(incomplete));
            }
            try {
                Settings settings = Settings.draft(given);
                Setup setup = new Setup(settings, client(), EnumSet.noneOf(Change.class), steps::add);
                setup.folder();
                setup.bridge();
                setup.twilio();
                try {
                    settings.values().putAll(Ngrok.address(settings, Duration.ofSeconds(1)).values());
                } catch (CommandFailed noTunnel) {
                    steps.add(new Step("public address", State.MISSING, noTunnel.getMessage()));
                }
                setup.x(true);
                setup.clock();
            } catch (CommandFailed unusable) {
                LOG.log(DEBUG, () -> "said above, as settings");
            }
            return told(steps, json, out);
        }

        static List<Step> wrong(CommandFailed settings) {
            return settings.sentences.stream().map(sentence -> new Step("settings", State.MISSING, sentence)).toList();
        }

        /** @return whether everything holds */
        static boolean told(List<Step> steps, boolean json, Consumer<String> out) {
            boolean ok = steps.stream().allMatch(Step::good);
            if (json) {
                ObjectNode all = object().put("ok", ok);
                ArrayNode rows = all.putArray("checks");
                steps.forEach(step -> rows.addObject().put("name", step.name()).put("ok", step.good()).put("words", step.words()));
                out.accept(all.toString());
            } else {
                steps.forEach(step -> out.accept("%s %-16s %s".formatted(step.good() ? "✓" : "✗", step.name(), step.words())));
            }
            return ok;
        }

        // What is looked at: here, at Twilio, at X.

        private void folder() {
            Path folder = settings.dataDir();
            Path there = folder.toAbsolutePath();
            while (!Files.exists(there) && there.getParent() != null) there = there.getParent();
            boolean usable = Files.isWritable(there) && (Files.isDirectory(folder) || !Files.exists(folder));
            String words = folder + (Files.isDirectory(folder) ? "" : ", made at the first start");
            String trouble = usable ? full(there) : "the bridge cannot write to " + folder
                    + ": make it a folder of the bridge's user, or set DATA_DIR";
            say("data folder", trouble.isEmpty(), words, trouble);
            if (!usable) return;
            try {
                Journal journal = Journal.look(folder);
                former = journal.address();
                Journal.Counts counts = journal.counts();
                String sums = counts.pending() + " messages wait, " + counts.failed() + " were refused";
                say("journal", State.FOUND, counts.failed() == 0 ? sums : sums + " (see the command failed)");
            } catch (CommandFailed | IOException damaged) {
                say("journal", State.MISSING, damaged instanceof CommandFailed ? damaged.getMessage() : "it cannot be read: " + reason(damaged));
            }
        }

        /** A bridge that finds no room takes no messages. */
        private static String full(Path folder) {
            try {
                long free = Files.getFileStore(folder).getUsableSpace() >> 20;
                return free >= 16 ? "" : "only " + free + " MiB is free on the disk of " + folder
                        + ": make room there, or set DATA_DIR";
            } catch (IOException untold) {
                return "";
            }
        }

        /** The bridge itself knows of outages that no look from here shows. That none runs is no fault. */
        private void bridge() {
            String at = settings.host() + ":" + settings.port();
            Response answer;
            try {
                URI health = new URI("http", null, settings.host(), settings.port(), "/healthz", null, null);
                answer = client.call("bridge", HttpRequest.newBuilder(health));
            } catch (URISyntaxException | IllegalArgumentException unusable) {
                say("bridge", State.MISSING, "HOST is no address: set it to one of this machine's");
                return;
            }
            JsonNode told = answer.body();
            String counters = told.properties().stream().filter(one -> one.getValue().isNumber())
                    .map(one -> one.getKey() + " " + one.getValue()).collect(Collectors.joining(", "));
            switch (told.path("status").asText(answer.sent() ? "unknown" : "none")) {
                case "none" -> say("bridge", State.FOUND, "does not run: nothing answers at " + at);
                case "ok" -> say("bridge", State.FOUND, "runs at " + at + ": " + counters);
                case "degraded" -> say("bridge", State.MISSING, "runs at " + at + ", degraded: "
                        + told.path("reason").asText());
                default -> say("bridge", State.MISSING, "what is at " + at + " is another program, or hangs: end it,"
                        + " or set PORT to a free port");
            }
        }

        /** X refuses signatures of a clock that is five minutes off (its error 135); two are worth a word. */
        private void clock() {
            List<String> asked = new ArrayList<>(), off = new ArrayList<>();
            Stream.of(atTwilio, atX).filter(answer -> answer != null && answer.status() != 0).forEach(answer -> {
                long seconds = ahead(answer);
                asked.add(answer.service());
                if (Math.abs(seconds) > 120) off.add(Math.abs(seconds) + (seconds > 0 ? " s ahead of " : " s behind ") + answer.service());
            });
            if (asked.isEmpty()) say("clock", State.UNKNOWN, "nobody answered who could tell the time");
            else say("clock", off.isEmpty(), "agrees with " + String.join(" and ", asked), "this machine is " + String.join(" and ", off)
                    + ": X refuses such signatures, switch on time synchronisation (NTP)");
        }

        /** Seconds that this machine's clock is ahead of a service's. */
        private static long ahead(Response answer) { return Duration.between(answer.date(), answer.asked()).toSeconds(); }

        void twilio() {
            if (settings.accountSid().isEmpty() || settings.authToken().isEmpty()) return;
            atTwilio = twilio.get("flex-api", "/v1/Configuration");
            if (!good("Twilio account", atTwilio)) return;
            JsonNode flex = atTwilio.body();
            // An API key says nothing of the token that checks webhooks.
            String basic = Signatures.basic(settings.accountSid(), settings.authToken());
            String path = "/2010-04-01/Accounts/" + settings.accountSid() + ".json";
            Response account = settings.apiKey().isEmpty() ? atTwilio
                    : client.call(Twilio.SERVICE, twilio.request("api", path).setHeader("Authorization", basic));
            if (!good("Twilio account", account)) return;
            say("Twilio account", flex.path("account_sid").asText(settings.accountSid()).equals(settings.accountSid()),
                    "Flex answers for " + settings.accountSid(), "the API key is one of another account than TWILIO_ACCOUNT_SID");
            boolean ready = known("chat service", "FLEX_CHAT_SERVICE", flex.path("chat_service_instance_sid").asText());
            boolean chat = settings.flexApi().equals("chat");
            if (ready && !chat) conversationsService();
            if (chat && !settings.flexFlow().isEmpty()) {
                flexFlow("");
                return;
            }
            if (!known("workspace", "FLEX_WORKSPACE_SID", flex.path("taskrouter_workspace_sid").asText()) || !workflow()) return;
            Optional<String> channel = taskChannel();
            if (ready && chat && channel.isPresent()) flexFlow(channel.get());
        }

        private void conversationsService() {
            Response defaults = twilio.get("conversations", "/v1/Configuration");
            if (!good("conversations", defaults)) return;
            String used = defaults.body().path("default_chat_service_sid").asText();
            say("conversations", used.equals(settings.chatService()), "Flex's chat service is the account's default",
                    "the account's default conversations service is " + used + ", so tasks cannot find conversations: make "
                    + settings.chatService() + " the default at console.twilio.com, Conversations, Manage, Defaults");
        }

        private boolean workflow() {
            String path = "/v1/Workspaces/" + settings.workspace() + "/Workflows";
            Optional<List<JsonNode>> listed = list("workflow", "taskrouter", path, "workflows");
            if (listed.isEmpty()) return false;
            List<JsonNode> all = listed.get();
            String set = settings.workflow();
            JsonNode chosen = all.stream().filter(one -> set.isEmpty() ? one.path("friendly_name").asText().equals("Assign to Anyone")
                    : one.path("sid").asText().equals(set)).findFirst().orElse(JSON.missingNode());
            if (chosen.isMissingNode() && set.isEmpty()) chosen = all.size() == 1 ? all.get(0) : choice(all);
            if (!chosen.isMissingNode()) return known("workflow", "FLEX_WORKFLOW_SID", chosen.path("sid").asText());
            return say("workflow", State.MISSING, all.isEmpty() ? "the workspace has none: make one at console.twilio.com, TaskRouter"
                    : "set FLEX_WORKFLOW_SID to one of " + all.stream().map(one -> one.path("sid").asText() + " ("
                            + one.path("friendly_name").asText() + ")").collect(Collectors.joining(", ")));
        }

        private JsonNode choice(List<JsonNode> all) {
            Console console = System.console();
            if (console == null || all.isEmpty() || !allowed.contains(Change.WRITE_ENV)) return JSON.missingNode();
            for (int i = 0; i < all.size(); i++) console.printf("%d  %s%n", i + 1, all.get(i).path("friendly_name").asText());
            String typed = String.valueOf(console.readLine("Which workflow gets the customers' messages? (1 to %d): ", all.size())).strip();
            return typed.matches("[0-9]{1,4}") ? JSON.createArrayNode().addAll(all).path(Integer.parseInt(typed) - 1) : JSON.missingNode();
        }

        /** @return its SID. One of its own lets reports and agents' capacity tell X from web chat. */
        private Optional<String> taskChannel() {
            String name = settings.taskChannel().isEmpty() ? "twitter" : settings.taskChannel();
            String path = "/v1/Workspaces/" + settings.workspace() + "/TaskChannels";
            Optional<List<JsonNode>> listed = list("task channel", "taskrouter", path, "channels");
            if (listed.isEmpty()) return Optional.empty();
            Optional<String> known = listed.get().stream().filter(one -> one.path("unique_name").asText().equals(name)).findFirst()
                    .map(one -> one.path("sid").asText());
            String words = name + (settings.taskChannel().isEmpty() ? ", written to .env as FLEX_TASK_CHANNEL" : "");
            Optional<String> there = known.or(() -> make("task channel", Change.CREATE, State.CREATED, words,
                    toTwilio("taskrouter", path, Form.of("FriendlyName", name, "UniqueName", name))));
            if (there.isPresent() && settings.taskChannel().isEmpty()) learn("FLEX_TASK_CHANNEL", name);
            if (known.isPresent()) say("task channel", State.FOUND, name);
            return there;
        }

        /** What becomes of a customer's first message in Programmable Chat: a task (Twilio Studio, "Send to Flex" widget). */
        private static final String STUDIO_FLOW = """
                {"description": "X Direct Messages", "initial_state": "Trigger", "flags": {"allow_concurrent_calls": true}, "states": [
                  {"name": "Trigger", "type": "trigger", "properties": {"offset": {"x": 0, "y": 0}}, "transitions": [
                    {"event": "incomingMessage", "next": "send_to_flex"}, {"event": "incomingCall"},
                    {"event": "incomingConversationMessage"}, {"event": "incomingRequest"}, {"event": "incomingParent"}]},
                  {"name": "send_to_flex", "type": "send-to-flex",
                    "transitions": [{"event": "callComplete"}, {"event": "failedToEnqueue"}, {"event": "callFailure"}],
                    "properties": {"workflow": "", "channel": "", "attributes":
                      "{\\"name\\": \\"{{trigger.message.ChannelAttributes.from}}\\", \\"channelType\\": \\"web\\",\
                 \\"channelSid\\": \\"{{trigger.message.ChannelSid}}\\", \\"customChannel\\": \\"twitter\\"}",
                      "offset": {"x": 40, "y": 210}}}]}
                """;

        /** Programmable Chat: a Flex Flow starts a Studio flow, which makes the task. */
        private void flexFlow(String taskChannel) {
            if (!settings.flexFlow().isEmpty()) {
                Response set = twilio.get("flex-api", "/v1/FlexFlows/" + settings.flexFlow());
                if (!good("Flex Flow", set)) return;
                boolean ours = set.body().path("chat_service_sid").asText().equals(settings.chatService());
                say("Flex Flow", ours && set.body().path("enabled").asBoolean(), settings.flexFlow(), "FLEX_FLOW_SID is switched off or"
                        + " belongs to another chat service: set it to one that is right, or remove it and run setup again");
                return;
            }
            ObjectNode definition = (ObjectNode) jsonOrMissing(STUDIO_FLOW);
            ((ObjectNode) definition.at("/states/1/properties")).put("workflow", settings.workflow()).put("channel", taskChannel);
            Optional<String> studio = named("Studio flow", "studio", "/v2/Flows", "flows",
                    one -> one.path("status").asText().equals("published"),
                    Form.of("FriendlyName", FLOW, "Status", "published", "Definition", definition.toString()));
            studio.flatMap(flow -> named("Flex Flow", "flex-api", "/v1/FlexFlows", "flex_flows",
                    one -> one.path("enabled").asBoolean() && one.at("/integration/flow_sid").asText().equals(flow)
                            && one.path("chat_service_sid").asText().equals(settings.chatService()),
                    Form.of("FriendlyName", FLOW, "ChatServiceSid", settings.chatService(), "ChannelType", "custom", "ContactIdentity",
                            "twitter", "Enabled", "true", "IntegrationType", "studio", "Integration.FlowSid", flow,
                            "JanitorEnabled", "true"))).ifPresent(sid -> learn("FLEX_FLOW_SID", sid));
        }

        /** Finds what has our name and is fit for use, or makes it. @return its SID */
        private Optional<String> named(String what, String product, String path, String list, Predicate<JsonNode> fit, Form form) {
            Optional<List<JsonNode>> listed = list(what, product, path, list);
            if (listed.isEmpty()) return Optional.empty();
            Optional<String> known = listed.get().stream().filter(one -> one.path("friendly_name").asText().equals(FLOW) && fit.test(one))
                    .findFirst().map(one -> one.path("sid").asText());
            known.ifPresent(sid -> say(what, State.FOUND, FLOW + " (" + sid + ")"));
            return known.or(() -> make(what, Change.CREATE, State.CREATED, FLOW, toTwilio(product, path, form)));
        }

        /** All of a list; empty if it could not be had, which is told. */
        private Optional<List<JsonNode>> list(String what, String product, String path, String list) {
            List<JsonNode> all = new ArrayList<>();
            Response listed = twilio.pages(product, path + "?PageSize=50", list, Promise.list(list, Promise.ANYTHING), page -> {
                page.forEach(all::add);
                return true;
            });
            return good(what, listed) ? Optional.of(all) : Optional.empty();
        }

        /** @param outside whether to ask for our own challenge by the public URL, as X does */
        void x(boolean outside) {
            if (settings.consumerKey().isEmpty() || settings.consumerSecret().isEmpty()) return;
            String basic = Signatures.basic(Form.escape(settings.consumerKey()), Form.escape(settings.consumerSecret()));
            atX = client.call(X.SERVICE, Twilio.filled(authorized("/oauth2/token", basic), Form.of("grant_type", "client_credentials")));
            if (!good("X app", atX)) return;
            say("X app", State.FOUND, "key and secret are right");
            bearer = "Bearer " + atX.body().path("access_token").asText();
            atX = client.call(X.SERVICE, X.signed(settings, "GET", "/2/users/me", Form.of()).GET());
            if (!good(ACCOUNT, atX)) return;
            String id = atX.body().at("/data/id").asText(), handle = "@" + atX.body().at("/data/username").asText();
            String level = atX.headers().firstValue("x-access-level").orElse("read-write-directmessages");
            say(ACCOUNT, level.equals("read-write-directmessages"), handle, "the app may only " + level + ": give it 'Read and write and"
                    + " Direct message' at developer.x.com, then make a new access token and put it into TWITTER_ACCESS_KEY and"
                    + " TWITTER_ACCESS_SECRET");
            if (settings.publicUrl().isEmpty()) return;
            State seen = outside ? reached() : State.UNKNOWN;
            proven = seen == State.FOUND;
            if (seen != State.MISSING) webhook(id);
        }

        /** A webhook of X's. @param accounts whose events go there, where that has been asked */
        private record Webhook(String id, String url, boolean valid, Set<String> accounts) {
            boolean serves(String user) { return accounts.contains(user); }
            boolean servesOthers(String user) { return accounts.size() > (serves(user) ? 1 : 0); }
        }

        /** What works elsewhere is given up last, for what works too; where X has no room for both, it is put back. */
        private void webhook(String user) {
            String url = settings.publicUrl() + PATH;
            Optional<List<Webhook>> listed = webhooks();
            Optional<List<Webhook>> found = listed.flatMap(all -> elsewhere(all, url, user));
            if (found.isEmpty()) return;
            List<Webhook> old = new ArrayList<>(found.get());
            if (!old.stream().allMatch(one -> !one.serves(user) || mayMove("X webhook", one.url()))) return;
            removed = noted();
            Optional<Webhook> here = at(url, listed.get());
            Optional<String> webhook = here.isPresent() ? valid(here.get()) : register(url, old, user);
            if (webhook.isPresent() && subscribe(webhook.get(), user, listed.get())) {
                note("");
                if (dryRun == null && !allowed.contains(Change.CREATE)) return;
                for (Webhook one : old) {
                    boolean left = (one.serves(user) || isFormer(one.url())) && !one.servesOthers(user);
                    if (left && prove(webhook.get())) remove(one);
                }
            } else if (!removed.isEmpty()) {
                settle(url, user);
            }
        }

        private static Optional<Webhook> at(String url, List<Webhook> webhooks) {
            return webhooks.stream().filter(one -> one.url().equals(url)).findFirst();
        }

        private Optional<List<Webhook>> webhooks() {
            Response listed = client.call(X.SERVICE, app("/2/webhooks").GET());
            if (!good("X webhook", listed)) return Optional.empty();
            return Optional.of(listed.body().path("data").valueStream().map(one -> new Webhook(one.path("id").asText(),
                    one.path("url").asText(), one.path("valid").asBoolean(), Set.of())).toList());
        }

        /** This program's webhooks at other addresses, with the accounts they serve. */
        private Optional<List<Webhook>> elsewhere(List<Webhook> all, String url, String user) {
            List<Webhook> found = new ArrayList<>();
            List<Webhook> others = all.stream()
                    .filter(one -> one.url().endsWith(PATH) && !one.url().equals(url)).toList();
            if (others.isEmpty()) return Optional.of(found);
            boolean everything = settings.twitterApi().equals("1.1");
            Optional<List<JsonNode>> activity = everything ? Optional.of(List.of()) : subscriptions();
            if (activity.isEmpty()) return Optional.empty();
            for (Webhook one : others) {
                Set<String> accounts = new HashSet<>();
                activity.get().stream().filter(it -> it.path("webhook_id").asText().equals(one.id()))
                        .forEach(it -> accounts.add(whose(it, user)));
                if (everything) {
                    Response there = client.call(X.SERVICE, app(everythingOf(one.id()) + "/list").GET());
                    if (!good("X subscription", there)) return Optional.empty();
                    there.body().at("/data/subscriptions").forEach(it -> accounts.add(it.path("user_id").asText()));
                }
                found.add(new Webhook(one.id(), one.url(), one.valid(), accounts));
            }
            return Optional.of(found);
        }

        private boolean isFormer(String url) { return url.equals(former + PATH); }

        /** What is at this folder's former address is its own; what is at any other somebody has to give up. */
        private boolean mayMove(String what, String url) {
            boolean own = isFormer(url) || url.equals(settings.publicUrl() + PATH);
            if (allowed.contains(own ? Change.MOVE_FROM_FORMER_URL : Change.MOVE) || own && dryRun != null) return true;
            if (!own && consent.computeIfAbsent(url, asked)) return true;
            return say(what, State.MISSING, own ? "it is still at " + url + ": run setup"
                    : "it is at " + url + ", where another bridge may need it; if it does not, run setup --move");
        }

        /** Asks for our own challenge. Where that cannot be reached from this machine, X's may all the same. */
        private State reached() {
            String url = settings.publicUrl();
            Response answer = challenged(url);
            State state = !answer.ok() ? State.UNKNOWN : isOurs(answer) ? State.FOUND : State.MISSING;
            say("public address", state, state == State.FOUND ? url : state == State.MISSING
                    ? "what answers at " + url + " signs with other secrets than these: start the bridge with this .env"
                    : "the bridge does not answer at " + url + " (" + (answer.status() == 0 ? answer.trouble()
                    : "status " + answer.status()) + "): start it, and the tunnel or proxy that leads to port " + settings.port());
            return state;
        }

        private Response challenged(String base) {
            return client.call("bridge", HttpRequest.newBuilder(URI.create(base + question)).GET());
        }

        /** Whether who answered knows our secret. */
        private boolean isOurs(Response answer) {
            Request asked = new Request("GET", PATH, question, Map.of(), new byte[0]);
            return answer.ok() && answer.body().toString().equals(challenge(settings, asked).body());
        }

        /** X switches a webhook off after wrong answers, or a day without right ones; it challenges it anew when asked. */
        private Optional<String> valid(Webhook webhook) {
            if (webhook.valid()) say("X webhook", State.FOUND, webhook.url());
            boolean sends = webhook.valid()
                    || challengedByX(webhook.id(), State.CHANGED, "X had switched it off, and sends again");
            return sends ? Optional.of(webhook.id()) : Optional.empty();
        }

        private boolean challengedByX(String webhook, State done, String words) {
            Call call = toX("PUT", "/2/webhooks/" + webhook, "");
            boolean valid = make("X webhook", Change.REVALIDATE, done, words, call).isPresent();
            proven |= valid;
            return valid;
        }

        /** Nothing is given up for an address that has answered neither us nor X. */
        private boolean prove(String webhook) {
            return proven || dryRun != null || challengedByX(webhook, State.FOUND, "X has challenged it anew");
        }

        private Call registering(String url) { return toX("POST", "/2/webhooks", object().put("url", url).toString()); }

        /** @param old registrations at other addresses; the one that has to make room is taken out */
        private Optional<String> register(String url, List<Webhook> old, String user) {
            URI address = URI.create(url);
            if (address.getScheme().equals("https") && (address.getPort() >= 0 || url.length() > 200)) {
                say("X webhook", State.MISSING, "X takes https addresses without a port, of at most 200 characters: see PUBLIC_URL");
                return Optional.empty();
            }
            Optional<Webhook> first = old.stream().max(Comparator.<Webhook, Boolean>comparing(one -> one.serves(user))
                    .thenComparing(one -> isFormer(one.url())));
            if (first.isEmpty() || !allowed.contains(Change.CREATE)) {
                Optional<String> made = make("X webhook", Change.CREATE, State.CREATED, url, registering(url));
                if (dryRun != null) first.ifPresent(one -> tellOrder(one, url, user));
                proven |= made.isPresent() && dryRun == null;
                return made;
            }
            Response answer = send(registering(url));
            if (answer.sentence().contains("WebhookLimitExceeded")) {
                if (!makeRoom(first.get(), user)) return Optional.empty();
                old.remove(first.get());
                answer = send(registering(url));
            }
            Optional<String> made = made("X webhook", answer, State.CREATED, url);
            proven |= made.isPresent();
            return made;
        }

        /** How many webhooks the app may have only X knows: the order of both cases is told. */
        private void tellOrder(Webhook old, String url, String user) {
            dryRun.accept("           which X refuses where the app may have one webhook only; then setup");
            if (proven && !old.servesOthers(user)) {
                if (old.serves(user)) tellOrder(subscribing(events().get(0), old.id(), user)[0]);
                remove(old);
                tellOrder(registering(url));
                events().forEach(event -> tellOrder(subscribing(event, "", user)[0]));
            } else {
                dryRun.accept("           would change nothing: " + (proven ? "other accounts need the old one"
                        : "the address does not answer"));
            }
            dryRun.accept("           and where it may have more, setup");
        }

        /**
         * An app may have one webhook only (X, pay per use). From its removal until the next one is registered there is
         * none, and if setup is killed in that moment, none until it runs again: what could go wrong is tried before.
         */
        private boolean makeRoom(Webhook old, String user) {
            if (!mayMove("X webhook", old.url())) return false;
            String stays = "the app may have no more than the one at " + old.url() + ", which stays: ";
            boolean needed = old.servesOthers(user);
            if (needed || !mayLeave(old)) {
                String why = needed ? "other accounts need it" : settings.publicUrl() + " does not answer";
                return say("X webhook", State.MISSING, stays + why);
            }
            if (old.serves(user)) {
                Response again = send(subscribing(events().get(0), old.id(), user));
                // That it is there already is told only to those who may subscribe.
                boolean may = again.status() == 400 || again.sentence().contains("Duplicate");
                if (!may && !good("X subscription", again)) return false;
            }
            if (old.valid()) note(old.url());
            return remove(old);
        }

        /** A running bridge cannot always see itself: it leaves its former address unless only that is seen to work. */
        private boolean mayLeave(Webhook old) {
            if (proven || dotEnv != null) return proven;
            String before = old.url().substring(0, old.url().length() - PATH.length());
            return isOurs(challenged(settings.publicUrl())) || !isOurs(challenged(before));
        }

        private boolean remove(Webhook old) {
            return make("old X webhook", Change.CREATE, State.CHANGED, old.url() + " is removed",
                    toX("DELETE", "/2/webhooks/" + old.id(), "")).isPresent();
        }

        /** Remembers what makes room until another one works, setup also beside .env: it may be killed in between. */
        private void note(String url) {
            removed = url;
            if (dotEnv == null || dryRun != null) return;
            try {
                if (url.isEmpty()) Files.deleteIfExists(noteFile());
                else Files.writeString(noteFile(), url + "\n");
            } catch (IOException readOnly) {
                LOG.log(DEBUG, () -> "no note of " + url + ": " + reason(readOnly));
            }
        }

        private String noted() {
            if (dotEnv == null || dryRun != null || !Files.isRegularFile(noteFile())) return "";
            try {
                return Files.readString(noteFile()).strip();
            } catch (IOException unreadable) {
                return "";
            }
        }

        private Path noteFile() { return dotEnv.resolveSibling(".env.old-webhook"); }

        /** After a failure half-way: goes on if X has the new webhook after all, else puts back what made room. */
        private void settle(String url, String user) {
            for (int tries = 3; tries > 0; tries--) {
                if (webhooks().filter(all -> settled(url, user, all)).isPresent()) {
                    note("");
                    return;
                }
                LockSupport.parkNanos(Duration.ofSeconds(1).toNanos());
            }
            say("old X webhook", State.MISSING, removed + " could not be put back: run setup in its own folder, or here"
                    + " once " + settings.publicUrl() + " answers");
        }

        private boolean settled(String url, String user, List<Webhook> all) {
            Optional<Webhook> here = at(url, all);
            boolean works = here.isPresent() && here.get().valid() && subscribe(here.get().id(), user, all);
            // A running bridge goes on at its next look.
            if (works || here.isPresent() && dotEnv == null) return true;
            if (here.isPresent() && !remove(here.get())) return false;
            Optional<String> still = at(removed, all).map(Webhook::id);
            Optional<String> back = still.or(() -> make("old X webhook", Change.CREATE, State.CHANGED,
                    removed + " is registered again", registering(removed)));
            restored |= still.isEmpty() && back.isPresent();
            return back.isPresent() && subscribe(back.get(), user, all);
        }

        // Subscriptions: in X's Activity API one for each kind of event, in its Account Activity API one for all.

        private static final String EVERYTHING = "all of the account's activity";

        private List<String> events() {
            return settings.twitterApi().equals("1.1") ? List.of(EVERYTHING) : List.of("dm.received", "oauth.revoke");
        }

        /** @return calls to try in turn: X's pages want OAuth 2.0, its OpenAPI description takes OAuth 1.0a too */
        private Call[] subscribing(String event, String webhook, String user) {
            boolean everything = event.equals(EVERYTHING);
            String path = everything ? everythingOf(webhook) : "/2/activity/subscriptions";
            ObjectNode body = object();
            if (!everything) {
                body.put("webhook_id", webhook).put("event_type", event).put("tag", "twitter-flex-bridge");
                body.putObject("filter").put("user_id", user);
            }
            Call byKeys = new Call(X.SERVICE, X.signed(settings, "POST", path, Form.of()), "POST", body.toString());
            if (everything || settings.userToken().isEmpty()) return new Call[] {byKeys};
            String token = "Bearer " + settings.userToken();
            return new Call[] {byKeys, new Call(X.SERVICE, authorized(path, token), "POST", body.toString())};
        }

        private static String everythingOf(String webhook) {
            return "/2/account_activity/webhooks/" + webhook + "/subscriptions/all";
        }

        /** Every subscription of the app; empty if they could not be had, which is told. */
        private Optional<List<JsonNode>> subscriptions() {
            List<JsonNode> all = new ArrayList<>();
            for (String cursor = ""; cursor != null;) {
                String query = cursor.isEmpty() ? "" : "?pagination_token=" + Form.escape(cursor);
                Response page = client.call(X.SERVICE, app("/2/activity/subscriptions" + query).GET());
                if (!good("X subscription", page)) return Optional.empty();
                page.body().path("data").valueStream().forEach(all::add);
                cursor = page.body().at("/meta/next_token").asText(null);
            }
            return Optional.of(all);
        }

        /** The account of a subscription; one without any hears of every account that revokes the app, ours too. */
        private static String whose(JsonNode subscription, String user) {
            boolean revoked = subscription.path("event_type").asText().equals("oauth.revoke");
            boolean anybody = revoked && subscription.path("filter").isEmpty();
            return anybody ? user : subscription.at("/filter/user_id").asText();
        }

        /** @return whether everything the bridge needs comes to this webhook */
        private boolean subscribe(String webhook, String user, List<Webhook> webhooks) {
            if (settings.twitterApi().equals("1.1")) return subscribeToEverything(webhook, user);
            Optional<List<JsonNode>> all = subscriptions();
            if (all.isEmpty()) return false;
            boolean done = true;
            for (String event : events()) {
                Optional<JsonNode> known = all.get().stream().filter(one -> whose(one, user).equals(user))
                        .filter(one -> one.path("event_type").asText().equals(event)).findFirst();
                if (known.isEmpty()) {
                    done &= subscribeTo(event, webhook, user);
                } else if (known.get().path("webhook_id").asText().equals(webhook)) {
                    say("X subscription", State.FOUND, event);
                } else {
                    done &= bring(known.get(), event, webhook, webhooks);
                }
            }
            return done;
        }

        private boolean subscribeToEverything(String webhook, String user) {
            Response known = dryRun != null && webhook.isEmpty() ? Response.none("", "", "", false)
                    : client.call(X.SERVICE, X.signed(settings, "GET", everythingOf(webhook), Form.of()).GET());
            boolean told = known.ok() || known.status() == 404 || known.status() == 400 || dryRun != null;
            if (!told && !good("X subscription", known)) return false;
            if (known.body().at("/data/subscribed").asBoolean()) return say("X subscription", State.FOUND, EVERYTHING);
            return subscribeTo(EVERYTHING, webhook, user);
        }

        private boolean subscribeTo(String event, String webhook, String user) {
            Call[] inTurn = subscribing(event, webhook, user);
            return make("X subscription", Change.CREATE, State.CREATED, event, inTurn).isPresent();
        }

        /** Has a subscription lead to another webhook. */
        private boolean bring(JsonNode subscription, String event, String webhook, List<Webhook> webhooks) {
            String id = subscription.path("subscription_id").asText(subscription.path("id").asText());
            String other = subscription.path("webhook_id").asText();
            String from = webhooks.stream().filter(one -> one.id().equals(other)).map(Webhook::url).findFirst()
                    .orElse("");
            if (!from.isEmpty() && !(mayMove("X subscription", from) && prove(webhook))) return false;
            String words = event + " comes to this address" + (from.isEmpty() ? "" : ", no longer to " + from);
            Call call = toX("PUT", "/2/activity/subscriptions/" + id, object().put("webhook_id", webhook).toString());
            return make("X subscription", Change.CREATE, State.CHANGED, words, call).isPresent();
        }

        private HttpRequest.Builder app(String path) { return authorized(path, bearer); }

        private HttpRequest.Builder authorized(String path, String authorization) {
            return HttpRequest.newBuilder(URI.create(settings.twitterApiUrl() + path)).header("Authorization", authorization);
        }

        // How it is looked, done and told.

        /** @return whether it is good */
        private boolean say(String name, State state, String words) {
            Step step = new Step(name, state, words);
            report.accept(step);
            return step.good();
        }

        /** @param words for what is right; @param advice for what is not */
        private boolean say(String name, boolean right, String words, String advice) {
            return say(name, right ? State.FOUND : State.MISSING, right ? words : advice);
        }

        /** Takes over what was found under a setting's name, or sees that both agree. @return whether there is one to work with */
        private boolean known(String what, String setting, String found) {
            String set = settings.get(setting);
            if (found.isEmpty()) return say(what, State.MISSING, "Flex names none: finish its set-up at console.twilio.com, Flex");
            if (!set.isEmpty()) return say(what, set.equals(found), found, setting + " is " + set + ", but Flex uses " + found
                    + ": correct it, or remove it and run setup again");
            say(what, dryRun != null || allowed.contains(Change.WRITE_ENV), found + ", written to .env as " + setting,
                    found + " is not set: run setup, or set " + setting);
            learn(setting, found);
            return true;
        }

        private void learn(String name, String value) {
            settings.values().put(name, value);
            if (dryRun != null) dryRun.accept("           would write " + name + "=" + value + " to .env");
            if (!allowed.contains(Change.WRITE_ENV)) return;
            try {
                DotEnv.write(dotEnv, name, value);
            } catch (IOException readOnly) {
                say(".env", State.MISSING, "it cannot be written (" + reason(readOnly) + "): add " + name + "=" + value + " yourself");
            }
        }

        /** A call that changes something. @param body JSON, a form or nothing */
        private record Call(String service, HttpRequest.Builder request, String method, String body) { }
        private Call toX(String method, String path, String body) { return new Call(X.SERVICE, app(path), method, body); }

        private Call toTwilio(String product, String path, Form form) {
            return new Call(Twilio.SERVICE, twilio.request(product, path), "POST", form.encode());
        }

        /**
         * Makes a change if it may be made, tells of it in a dryRun, or says that it has to be made.
         *
         * @param inTurn the call; others follow for when its way of signing is refused
         * @return the id of what was made
         */
        private Optional<String> make(String what, Change change, State done, String words, Call... inTurn) {
            if (dryRun != null) {
                tellOrder(inTurn[0]);
                return Optional.of("");
            }
            if (!allowed.contains(change)) {
                say(what, State.MISSING, change == Change.REVALIDATE ? "X has switched it off: run setup, which has it validated again"
                        : "not there yet (" + words + "): run setup");
                return Optional.empty();
            }
            return made(what, send(inTurn), done, words);
        }

        private void tellOrder(Call call) {
            dryRun.accept("           would call " + call.method() + " " + call.request().copy().GET().build().uri()
                    + (call.body().isEmpty() ? "" : " with " + call.body()));
        }

        /** @return the id of what was made; that it was not is told */
        private Optional<String> made(String what, Response answer, State done, String words) {
            // Another process may have been quicker.
            boolean same = answer.sentence().contains("DuplicateSubscriptionFailed");
            if (!same && !good(what, answer)) return Optional.empty();
            if (!answer.body().at("/data/valid").asBoolean(true)) {
                say(what, State.MISSING, "X got no right answer from " + settings.publicUrl() + "/fromTwitter: is it reachable from"
                        + " outside?");
                return Optional.empty();
            }
            say(what, same ? State.FOUND : done, words);
            return Optional.of(answer.body().path("sid").asText(answer.body().at("/data/id").asText()));
        }

        private Response send(Call... inTurn) {
            Response answer = send(inTurn[0]);
            for (int i = 1; i < inTurn.length && (answer.status() == 401 || answer.status() == 403); i++) {
                answer = send(inTurn[i]);
            }
            return answer;
        }

        private Response send(Call call) {
            String type = call.body().startsWith("{") ? "application/json" : "application/x-www-form-urlencoded";
            return client.call(call.service(), call.request().copy().header("Content-Type", type).method(call.method(),
                    call.body().isEmpty() ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(call.body())));
        }

        /** Tells a failure, with what to do about it. */
        private boolean good(String what, Response answer) {
            if (answer.ok()) return true;
            boolean passing = answer.status() == 0 || answer.status() == 429 || answer.status() >= 500;
            return say(what, passing ? State.UNKNOWN : State.MISSING, answer.sentence() + ": " + advice(what, answer));
        }

        /** What to do about a failure, by its service, status, code and words: the first row that fits counts. */
        private static final List<Map.Entry<String, String>> ADVICE = List.of(
                Map.entry("~\\w+ 0 ", "look at this machine's network, proxy and trust store"),
                Map.entry("~\\w+ 429 ", "wait a quarter of an hour and try again"),
                Map.entry("~\\w+ [5-9].. ", "try again later; status.twilio.com and docs.x.com/status tell of failures"),
                Map.entry("~Twilio 401 ", "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or the API key and secret) do not belong together,"
                        + " copy both from console.twilio.com"),
                Map.entry("~Twilio 404 ", "this account has no such thing; has it a Flex project, and is the SID of this account?"),
                Map.entry("~Twilio ", "console.twilio.com, Monitor, Errors may tell more"),
                Map.entry("~X ... 135 |~X 401 \\d+ clock ", "this machine's clock is off, switch on time synchronisation (NTP)"),
                Map.entry("~X ... 99 ", "TWITTER_CONSUMER_KEY and TWITTER_CONSUMER_SECRET do not belong together, copy both from"
                        + " developer.x.com, your app, Keys and tokens"),
                Map.entry("~X ... (64|326|416) ", "X has suspended or locked the account or the app, ask X"),
                Map.entry("~X ... 93 |oauth1-permissions", "give the app 'Read and write and Direct message' at developer.x.com,"
                        + " then make a new access token"),
                Map.entry("~X 402 ", "the X account has no credits left, buy some at developer.x.com, Billing"),
                Map.entry("~X ... (453|200) |client-not-enrolled|client-forbidden",
                        "the X app's access level does not include this, choose a plan that does at developer.x.com"),
                Map.entry("WebhookLimitExceeded|Too many resources", "the app has all the webhooks it may have, remove one of them or take"
                        + " an app of its own for the bridge"),
                Map.entry("SubscriptionLimitExceeded", "the app has all the subscriptions it may have, remove one of them"),
                Map.entry("X subscription ~X 40[13] ", "X wants an OAuth 2.0 token of the support account for this: let it authorise the"
                        + " app with the scopes dm.read, tweet.read and users.read, and put the token into TWITTER_USER_TOKEN; one that is"
                        + " there may have expired"),
                Map.entry("~X 401 ", "TWITTER_ACCESS_KEY and TWITTER_ACCESS_SECRET are of another app, or were revoked: make new ones at"
                        + " developer.x.com, your app, Keys and tokens"),
                Map.entry("Crc", "X got no right answer from {PUBLIC_URL}/fromTwitter, is it reachable from outside, and are the secrets"
                        + " those of this app?"),
                Map.entry("UrlValidationFailed", "X takes https addresses without a port, of at most 200 characters: see PUBLIC_URL"),
                Map.entry("", "docs.x.com may tell more"));

        private String advice(String what, Response answer) {
            String clock = Math.abs(ahead(answer)) > 240 ? " clock " : " ";
            String signs = what + " ~" + answer.service() + " " + answer.status() + " " + answer.code() + clock
                    + answer.body().path("type").asText() + " " + answer.body().path("reason").asText() + " " + answer.sentence();
            return ADVICE.stream().filter(row -> Pattern.compile(row.getKey()).matcher(signs).find()).findFirst().orElseThrow()
                    .getValue().replace("{PUBLIC_URL}", settings.publicUrl());
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 3. The file .env.

    /** Writes to the file .env, which only its owner may read. */
    static final class DotEnv {
        private DotEnv() { }

        /**
         * Sets one value in the file, which only its owner may read: written aside and put in the old one's place, or
         * where that cannot be replaced (a file mounted into a container), into the file itself.
         */
        static void write(Path file, String name, String value) throws IOException {
            Path real = Files.exists(file) ? file.toRealPath() : file.toAbsolutePath();
            String text = changed(Files.exists(real) ? Files.readString(real) : "", name, value);
            Path aside = aside(file);
            try {
                Files.deleteIfExists(aside);
                Files.createFile(aside, Journal.only("rw-------"));
                if (Files.exists(real)) keepOwner(real, aside);
                Files.writeString(aside, text, StandardOpenOption.WRITE, StandardOpenOption.SYNC);
                Files.move(aside, real, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } catch (IOException irreplaceable) {
                if (!Files.isRegularFile(real)) throw irreplaceable;
                writeInto(real, text.getBytes(UTF_8));
            } finally {
                sweep(file);
            }
        }

        private static Path aside(Path file) throws IOException {
            Path real = Files.exists(file) ? file.toRealPath() : file.toAbsolutePath();
            return real.resolveSibling(real.getFileName() + ".new");
        }

        private static void keepOwner(Path from, Path to) {
            try {
                Files.setOwner(to, Files.getOwner(from));
            } catch (IOException | UnsupportedOperationException notOurs) {
                LOG.log(DEBUG, () -> "the file keeps the owner it has: " + reason(notOurs));
            }
        }

        /** What makes the file longer first: where there is no room for it, the file stays as it was. */
        private static void writeInto(Path file, byte[] text) throws IOException {
            try (RandomAccessFile out = new RandomAccessFile(file.toFile(), "rws")) {
                long before = out.length();
                int kept = (int) Math.min(before, text.length);
                try {
                    out.seek(kept);
                    out.write(text, kept, text.length - kept);
                } catch (IOException full) {
                    out.setLength(before);
                    throw full;
                }
                out.seek(0);
                out.write(text, 0, kept);
                out.setLength(text.length);
            }
        }

        /** Removes the copy that a killed {@link #write} has left, with all the secrets. */
        static void sweep(Path file) {
            try {
                if (Files.isRegularFile(aside(file))) Files.delete(aside(file));
            } catch (IOException failed) {
                LOG.log(WARNING, () -> "a copy of " + file + " stays behind: " + reason(failed));
            }
        }

        /** The file's text with this value in the place of the last line that names it, else at the end; all the rest as it was. */
        static String changed(String text, String name, String value) {
            String plain = value.matches("[A-Za-z0-9_./:@%+=,~{}-]*") ? value
                    : '"' + value.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
            String[] lines = text.split("(?<=\n)");
            for (int i = lines.length - 1; i >= 0; i--) {
                String line = lines[i].replace("\uFEFF", "").strip();
                Matcher parts = Settings.LINE.matcher(line);
                if (parts.matches() && Settings.key(name).names().contains(parts.group(1))) {
                    int quoted = parts.group(4) == null ? 1 : 0;
                    int group = parts.group(4) != null ? 4 : parts.group(3) != null ? 3 : 2;
                    String rest = line.substring(parts.end(group) + quoted);
                    String set = line.substring(0, parts.start(group) - quoted) + plain + (rest.startsWith("#") ? " " : "") + rest;
                    lines[i] = lines[i].replace(line, set);
                    return String.join("", lines);
                }
            }
            String end = text.contains("\r\n") ? "\r\n" : "\n";
            return text + (text.isEmpty() || text.endsWith("\n") ? "" : end) + name + "=" + plain + end;
        }
    }
}
