package twitterflex;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.ERROR;
import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;
import static java.nio.charset.StandardCharsets.UTF_8;
import static twitterflex.Bridge.*;
import static twitterflex.Bridge.Setting.*;
import static twitterflex.Operator.Setup.Change.*;
import static twitterflex.Operator.Setup.State.*;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.*;
import java.io.*;
import java.net.*;
import java.net.http.HttpRequest;
import java.nio.file.*;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.regex.*;
import java.util.stream.*;
import twitterflex.Bridge.*;

/**
 * The operator's tool beside the bridge: it finds or makes what has to be there at Twilio and X (setup), tells whether
 * all of it works (check), lists what was refused and puts it back (failed, retry), and looks after the registrations
 * while the bridge serves (ngrok, the watch). The bridge knows nothing of it.
 */
public final class Operator {

    private Operator() { }

    // -----------------------------------------------------------------------------------------------------------------
    // 1. The commands. Exit status 0 after a clean stop, 1 when something failed, 2 for wrong settings or usage.

    private static final String HELP = """
            usage: java -jar twitter-flex-bridge.jar [command]

              serve         carry messages until SIGTERM or Ctrl-C (the default)
              setup         find or create what the bridge needs at Twilio and X, and write it to .env;
                            --dry-run only tells, --move takes over what is at another bridge's address,
                            --attachments lets agents attach only what X takes, in all web chats of the account
              check         tell whether all of it works, and what to do if not; changes nothing; --json for machines
              failed        list the messages a service refused for good, one a line: id, time, customer, reason;
                            which journal that is, and how many they are, is told on stderr
              retry [ID]    put a refused message, or all of them, back; a running bridge takes them within seconds,
                            and each comes after what was sent since
              version       tell which version this is
              help          this text

            Settings are read from the environment and from the file .env in this folder (the environment wins):
            """;

    /** What may follow a command, in any order. */
    private static final Map<String, List<String>> ARGUMENTS = Map.of(
            "serve", List.of(),
            "setup", List.of("--dry-run", "--move", "--attachments"),
            "check", List.of("--json"),
            "failed", List.of(),
            "retry", List.of("ID"),
            "version", List.of(),
            "help", List.of());

    public static void main(String[] arguments) {
        String command = arguments.length == 0 ? "serve" : arguments[0].replaceFirst("^(-h|--help)$", "help")
                .replaceFirst("^--version$", "version");
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, UTF_8);
        run(command, () -> {
            Set<String> words = words(command, arguments);
            // The commands talk to the one who typed them; a log is for a bridge that runs.
            if (!command.equals("serve")) LOG.level = System.Logger.Level.OFF;
            switch (command) {
                case "serve" -> {
                    DotEnv.sweep(DOT_ENV);
                    Setup.strangers(DOT_ENV).forEach(step -> LOG.log(WARNING, step::detail));
                    Settings settings = Settings.from(environment());
                    LOG.level = settings.logLevel();
                    LOG.log(INFO, Operator::version);
                    serve(Ngrok.address(settings, Duration.ofSeconds(30)), Watch::new);
                }
                case "setup" -> exit(Setup.run(environment(), DOT_ENV, words, Setup.PATIENCE, out::println));
                case "check" -> exit(check(words.contains("--json"), out::println));
                case "failed" -> {
                    Path folder = Settings.dataFolder(environment()).toAbsolutePath();
                    List<String> lines = Journal.failed(folder);
                    lines.forEach(out::println);
                    // Not among the lines, which scripts count and cut.
                    System.err.println(messages(lines.size()) + " refused" + by(folder));
                }
                case "retry" -> {
                    Path folder = Settings.dataFolder(environment()).toAbsolutePath();
                    int asked = Journal.requestRetry(folder, String.join("", words));
                    out.println(messages(asked) + " put back" + by(folder) + ": delivered after what was sent since,"
                            + " within seconds if the bridge runs, else when it starts");
                }
                case "version" -> out.println(version());
                default -> out.print(HELP + Settings.describe());
            }
        });
    }

    private static String version() {
        String built = Operator.class.getPackage().getImplementationVersion();
        return "twitter-flex-bridge " + Objects.requireNonNullElse(built, "from source") + ", Java "
                + Runtime.version();
    }

    private static void exit(boolean good) { System.exit(good ? 0 : 1); }

    private static boolean check(boolean json, Consumer<String> out) {
        try {
            return Setup.check(environment(), json, out);
        } catch (CommandFailed unreadable) {
            return Setup.told(Setup.wrong(unreadable.sentences), json, out);
        }
    }

    private static String messages(int number) {
        return number == 1 ? "1 message" : number + " messages";
    }

    private static String text(JsonNode json, String pointer) { return json.at(pointer).asText(""); }

    private static String by(Path folder) { return ", by the journal in " + folder; }

    /** @throws CommandFailed for a word that the command does not know */
    private static Set<String> words(String command, String[] arguments) throws CommandFailed {
        List<String> known = ARGUMENTS.get(command);
        if (known == null) throw new CommandFailed(2, List.of("unknown command '" + command + "': try help"));
        Set<String> words = Stream.of(arguments).skip(1)
                .collect(Collectors.toCollection(LinkedHashSet::new));
        boolean takesId = known.contains("ID");
        boolean plain = words.stream().noneMatch(word -> word.startsWith("-"));
        boolean right = takesId ? plain && words.size() < 2 : known.containsAll(words);
        if (right) return words;
        String some = takesId ? "one ID" : "only " + String.join(" and ", known);
        String takes = known.isEmpty() ? "nothing after it" : some;
        String given = String.join(" ", words);
        throw new CommandFailed(2, List.of(command + " takes " + takes + ", not '" + given + "': try help"));
    }

    // -----------------------------------------------------------------------------------------------------------------
    // 2. Going live and staying so: what has to be there at Twilio and X is looked for first, and made only if it is
    //    missing. setup, check and the watch of a running bridge are the same look, and differ in what they may change.

    /** The tunnel that a local ngrok agent keeps open to this bridge (ngrok, "Agent API", list tunnels). */
    static final class Ngrok {
        private Ngrok() { }

        private static final long PAUSE = Duration.ofMillis(200).toNanos();
        /** An agent's own port is 4040; where another one has that, it takes the next that is free. */
        private static final List<String> AGENTS = IntStream.range(4040, 4050)
                .mapToObj(port -> "http://127.0.0.1:" + port).toList();

        static Settings address(Settings settings, Duration patience) throws CommandFailed {
            return address(settings, patience, line -> LOG.log(INFO, () -> line));
        }

        /** @throws CommandFailed if no public URL is set and no tunnel shows up in time */
        static Settings address(Settings settings, Duration patience, Consumer<String> out) throws CommandFailed {
            if (!settings.publicUrl().isEmpty()) return settings;
            int port = settings.port();
            if (port == 0) {
                String unreachable = "PUBLIC_URL is not set, and no tunnel can lead to PORT=0: set one of them";
                throw new CommandFailed(2, List.of(unreachable));
            }
            String set = settings.get(NGROK_API_URL);
            List<String> agents = set.isEmpty() ? AGENTS : List.of(set);
            String where = URI.create(agents.get(0)).getAuthority() + (set.isEmpty() ? " and the next ports" : "");
            out.accept("PUBLIC_URL is not set: asking the ngrok agent at " + where
                    + " for up to " + patience.toSeconds() + " s");
            Client client = new Client(Duration.ofSeconds(2), (service, status) -> { });
            long end = System.nanoTime() + patience.toNanos();
            for (; System.nanoTime() < end; LockSupport.parkNanos(PAUSE)) {
                Optional<String> tunnel = agents.stream()
                        .flatMap(agent -> tunnels(client, agent))
                        .filter(one -> text(one, "/config/addr").matches("(.*[:/])?" + port + "/?"))
                        .map(one -> text(one, "/public_url"))
                        .filter(url -> url.startsWith("https://"))
                        .findFirst();
                if (tunnel.isEmpty()) continue;
                Settings found = settings.with(PUBLIC_URL, tunnel.get());
                return settings.get(AUTO_REGISTER).isEmpty() ? found.with(AUTO_REGISTER, "on") : found;
            }
            throw new CommandFailed(1, List.of("PUBLIC_URL is not set, and no ngrok tunnel leads to port " + port
                    + ": start one with 'ngrok http " + port + "' and try again, or set PUBLIC_URL"));
        }

        private static Stream<JsonNode> tunnels(Client client, String agent) {
            URI url = URI.create(agent + "/api/tunnels");
            Response answer = client.call("ngrok", HttpRequest.newBuilder(url));
            return answer.body().path("tunnels").valueStream();
        }
    }

    /** Looks after X's webhook while the bridge serves, and delays no message. */
    static final class Watch implements Caretaker {
        private final Bridge bridge;
        private final Settings settings;
        private final Timing timing;
        private final ScheduledExecutorService clock = new ScheduledThreadPoolExecutor(1, daemonThreads("watch"),
                new ThreadPoolExecutor.DiscardPolicy());
        private final Runnable look = logFailures(this::look, "X's webhook could not be looked at");
        private final AtomicBoolean asked = new AtomicBoolean();
        private Duration pause;
        private long nextDay = System.nanoTime();
        /** X has taken the former address again, not the new one: to try at each look would lose messages each time. */
        private boolean stays;
        private volatile List<String> troubles = List.of();
        /** Whether X's webhook was found out of order, so that events may have been missed. */
        private boolean wrong;

        Watch(Bridge bridge) {
            this.bridge = bridge;
            settings = bridge.settings;
            timing = bridge.timing;
            pause = timing.maxBackoff();
        }

        /** The first look is at once where the bridge registers itself; else there is no hurry. */
        @Override public void start() {
            boolean registers = settings.autoRegister();
            if (registers) troubles = List.of("X has not been looked at yet");
            else bridge.journal.moved(settings.publicUrl());
            next(registers ? Duration.ZERO : timing.webhookCheck().dividedBy(30));
        }

        @Override public void stop() { clock.shutdownNow(); }
        @Override public List<String> troubles() { return troubles; }

        /** X has said something that may mean it sends no more. */
        @Override public void lookNow() {
            if (asked.compareAndSet(false, true)) clock.execute(look);
        }

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
            Set<Setup.Change> changes = EnumSet.of(REVALIDATE);
            if (settings.autoRegister()) changes.add(CREATE);
            if (settings.autoRegister() && !stays) changes.add(MOVE_FROM_FORMER_URL);
            Setup.Permission may = new Setup.Permission(changes);
            String former = bridge.journal.address();
            Setup setup = new Setup(settings, bridge.client, bridge.access, former, may, steps::add);
            boolean daily = nextDay - System.nanoTime() <= 0;
            if (daily) nextDay = System.nanoTime() + timing.webhookCheck().multipliedBy(48).toNanos();
            setup.x(false, daily);
            stays |= setup.restored;
            // AUTO_REGISTER=off: the operator registers elsewhere, missing registrations are no trouble.
            boolean off = settings.get(AUTO_REGISTER).equals("off");
            Set<String> found = new LinkedHashSet<>();
            boolean answered = true;
            for (Setup.Step step : steps) {
                boolean minded = !off || Set.of(Setup.ACCOUNT, Setup.TOKEN).contains(step.name());
                boolean trouble = minded && step.state() == MISSING;
                if (trouble) found.add(step.name() + " is not right: " + step.detail());
                answered &= step.state() != UNKNOWN;
                if (step.state() == FOUND) continue;
                System.Logger.Level bad = trouble ? ERROR : WARNING;
                String done = step.state() == CREATED ? " created: " : ": ";
                String line = step.name() + done + step.detail();
                LOG.log(step.good() && step.state() != WARNED ? INFO : bad, () -> line);
            }
            // While X does not answer, what was known of it holds.
            if (!answered) return;
            troubles = List.copyOf(found);
            if (wrong && found.isEmpty()) bridge.catchUp.missedAtX();
            wrong = !found.isEmpty();
            // Until X's webhook is moved too, it is known by the address before.
            if (!wrong && settings.autoRegister()) bridge.journal.moved(settings.publicUrl());
        }
    }

    /**
     * Looks at everything the bridge needs, plans what is missing, and does of the plan what it may: setup all of it,
     * check nothing, a dry run tells the calls. At Twilio that goes thing by thing, as each is looked for in the one
     * before; at X all is seen first, since what works elsewhere is given up last.
     */
    static final class Setup {
        enum Change { NONE, CREATE, REVALIDATE, MOVE_FROM_FORMER_URL, RESTRICT }
        enum State { FOUND, CREATED, CHANGED, WARNED, MISSING, UNKNOWN }

        /** @param detail what was found or done; of what is missing, what to do about it */
        record Step(String name, State state, String detail) {
            boolean good() { return state != MISSING && state != UNKNOWN; }
        }

        /**
         * What follows from what was seen: a change, or the word that none is needed or none would help.
         *
         * @param state of it once it is done, which is told with the detail
         * @param from the address that it takes something from, or none
         * @param calls to try in turn: the others are for when the way of signing is refused
         */
        record Action(String name, State state, String detail, Change change, String from, Call... calls) { }

        /**
         * @param by whom: a service that is asked with a request as it is, or the account, by which it is signed
         * @param request is made when it is sent, since a signature has its time
         * @param body JSON, a form, or none
         */
        record Call(String by, Supplier<HttpRequest.Builder> request, String method, String body) { }

        /**
         * What may be done of a plan.
         *
         * @param consent whether what is at another bridge's address may be moved
         * @param dotEnv where to write what was found out, for setup only
         * @param dryRun is told the calls that would be made, instead of the services
         */
        record Permission(Set<Change> changes, Predicate<String> consent, Optional<Path> dotEnv,
                Optional<Consumer<String>> dryRun) {
            Permission(Set<Change> changes) {
                this(changes, url -> false, Optional.empty(), Optional.empty());
            }
        }

        static final String ACCOUNT = "X account", PATH = "/fromTwitter";
        private static final String ADDRESS = "public address", CHAT = "X Chat", TOKEN = "X token";
        private static final String ME = "/2/users/me", BACK = "/callback";
        private static final String WEBHOOK = "X webhook", OLD = "old X webhook", SUBSCRIPTION = "X subscription";
        private static final String FLOW = "X Direct Messages";

        static final Duration PATIENCE = Duration.ofMinutes(10);

        private Settings settings;
        private final Client client;
        private final Twilio twilio;
        private final XAccess access;
        private final Permission may;
        private final Consumer<Step> steps;
        /** The public URL before this one; empty if none is known. */
        private final String former;
        private final Map<String, Response> lastAnswers = new LinkedHashMap<>();
        private final Map<String, Boolean> consents = new HashMap<>();
        private final String question = PATH + "?crc_token=" + UUID.randomUUID();
        private String bearer = "", handle = "the support account";
        private Consumer<String> out = line -> { };
        private Duration patience = PATIENCE;
        /** What listens while setup runs, unless a bridge does; and what browsers have brought back from X's page. */
        private Optional<Edge> edge = Optional.empty();
        private final BlockingQueue<Form> returned = new ArrayBlockingQueue<>(1);
        /** What tells our own page's answer from anybody's. */
        private final String state = UUID.randomUUID().toString();
        private Seen seen = new Seen("", "", List.of(), List.of());
        /** The id of the webhook that everything is to come to. */
        private String target = "";
        /** Whether the new address has answered, us or X. */
        private boolean proven;
        /** Whether X got no right answer there, and why we did not; empty if we did. */
        private boolean disproven;
        private String unseen = "";
        /** The URL of the webhook that made room for the new one; empty if there is none to put back. */
        private String removed = "";
        private boolean restored;

        Setup(Settings settings, Client client, XAccess access, String former, Permission may,
                Consumer<Step> steps) {
            this.settings = settings;
            this.client = client;
            this.access = access;
            this.former = former;
            this.may = may;
            this.steps = steps;
            twilio = new Twilio(client, settings);
        }

        private static Client client() {
            return new Client(Duration.ofSeconds(15), (service, status) -> { });
        }

        // The two commands.

        /**
         * @param words --dry-run only tells what it would do, --move says yes to moves, --attachments to what Flex lets
         *     agents attach; @param patience with whoever is on X's page; @return whether all is well
         */
        static boolean run(Map<String, String> given, Path dotEnv, Set<String> words, Duration patience,
                Consumer<String> out) throws CommandFailed, IOException {
            boolean dryRun = words.contains("--dry-run");
            DotEnv.sweep(dotEnv);
            List<Step> steps = new ArrayList<>();
            Consumer<Step> report = step -> {
                steps.add(step);
                String good = step.state().name().toLowerCase(Locale.ROOT);
                out.accept("%s %-8s %-16s %s".formatted(mark(step),
                        step.good() ? good : "to do", step.name(), step.detail()));
            };
            strangers(dotEnv).forEach(report);
            Map<String, String> values = new HashMap<>(given);
            ask(values, dotEnv, dryRun, out);
            values.putIfAbsent(FLEX_TASK_CHANNEL.name(), "");
            Settings settings = read(values);
            Predicate<String> asks = dryRun ? url -> {
                out.accept("           would ask whether what is at " + url + " may be moved (--move says yes)");
                return true;
            } : Setup::asked;
            Predicate<String> consent = words.contains("--move") ? url -> true : asks;
            Set<Change> changes = EnumSet.allOf(Change.class);
            if (!words.contains("--attachments")) changes.remove(RESTRICT);
            Permission may = new Permission(changes, consent,
                    Optional.of(dotEnv).filter(file -> !dryRun),
                    Optional.of(out).filter(told -> dryRun));
            Client client = client();
            boolean renews = !dryRun && Journal.isFree(settings.dataDir());
            XAccess access = new XAccess(client, settings, Timing.NORMAL, renews);
            Setup setup = new Setup(settings, client, access, lastAddress(settings), may, report);
            setup.patience = patience;
            setup.twilio();
            setup.listening(out);
            boolean done = steps.stream().allMatch(Step::good);
            String next = done ? "All is there: start the bridge with ./run.sh (or java -jar), then write to "
                    + setup.handle + " on X: a task comes in Flex, to an agent who is Available."
                    : "Do what is marked ✗ (keys that were typed stand in .env), then run setup again.";
            out.accept(dryRun ? "Nothing was changed." : next);
            String owner = DotEnv.owner(dotEnv);
            if (owner.equals("root") && !dryRun) out.accept("Only root may read " + dotEnv + ": if the bridge runs as"
                    + " another user, give that one this file and " + settings.get(DATA_DIR) + " (chown -R).");
            return done;
        }

        /** Names that look like settings and are none. */
        private static List<Step> strangers(Path dotEnv) {
            Set<String> known = Stream.of(Setting.values()).flatMap(setting -> setting.names.stream())
                    .collect(Collectors.toSet());
            try {
                return Settings.readDotEnv(dotEnv).keySet().stream().sorted()
                        .filter(name -> name.matches("(TWITTER|TWILIO|FLEX|NGROK)_.*") && !known.contains(name))
                        .map(name -> new Step("settings", WARNED, "nothing is known of " + name + " in .env: see help"))
                        .toList();
            } catch (CommandFailed unreadable) {
                return wrong(unreadable.sentences);
            }
        }

        private static Settings read(Map<String, String> given) throws CommandFailed {
            List<String> problems = new ArrayList<>();
            Settings settings = Settings.of(given, problems);
            if (!problems.isEmpty()) throw new CommandFailed(2, problems);
            return settings;
        }

        private static String mark(Step step) {
            if (step.state() == WARNED) return "!";
            return step.good() ? "✓" : "✗";
        }

        /** Only on a terminal somebody can be asked. */
        private static boolean asked(String url) {
            Console console = System.console();
            if (console == null) return false;
            String said = console.readLine("X sends messages to %s, where another bridge may need them.%n"
                    + "Bring them here instead? (yes or no): ", url);
            return said != null && said.strip().matches("(?i)y|yes");
        }

        private static String lastAddress(Settings settings) {
            try {
                return Journal.look(settings.dataDir()).address();
            } catch (CommandFailed | IOException unreadable) {
                return "";
            }
        }

        /** X's challenge has to be answered while it registers: by the bridge, or if none is running, from here. */
        private void listening(Consumer<String> out) {
            this.out = out;
            findAddress(Duration.ofSeconds(30), out);
            try {
                Handler answers = request -> challenge(settings, request);
                Map<String, Handler> routes = Map.of("GET " + PATH, answers, "GET " + BACK, this::takeBack);
                edge = Optional.of(new Edge(settings, routes));
                edge.get().start();
            } catch (CommandFailed taken) {
                LOG.log(DEBUG, () -> "the bridge has the port, as a rule; whether it answers will be seen");
            }
            try {
                x(true, true);
            } finally {
                edge.ifPresent(Edge::stop);
            }
        }

        private void findAddress(Duration patience, Consumer<String> out) {
            try {
                settings = Ngrok.address(settings, patience, out);
            } catch (CommandFailed noTunnel) {
                report(ADDRESS, MISSING, noTunnel.getMessage());
            }
        }

        /** Asks for what only the user can know; whatever they have given is kept at once. */
        private static void ask(Map<String, String> values, Path dotEnv, boolean dryRun, Consumer<String> out)
                throws CommandFailed {
            List<Setting> missing = read(values).missing().stream()
                    .filter(setting -> !setting.neededBy.foundBySetup).toList();
            Console console = System.console();
            if (!missing.isEmpty() && (console == null || dryRun)) {
                throw new CommandFailed(2, missing.stream().map(Setting::missing).toList());
            }
            // In the order of X's console; and of what either way of getting in needs, the one that lasts comes first.
            for (Setting setting : missing) {
                boolean either = setting == TWITTER_ACCESS_KEY && !values.containsKey(TWITTER_CLIENT_ID.name());
                for (Setting lasts : either ? List.of(TWITTER_CLIENT_ID, TWITTER_CLIENT_SECRET) : List.<Setting>of()) {
                    String value = asked(console, lasts, "; Enter if the app has none", out);
                    if (value.isEmpty()) break;
                    keep(lasts, value, values, dotEnv);
                }
                if (!read(values).missing().contains(setting)) continue;
                keep(setting, asked(console, setting, "", out), values, dotEnv);
            }
        }

        /** @param orNone says that there need not be any; empty if there has to be */
        private static String asked(Console console, Setting setting, String orNone, Consumer<String> out)
                throws CommandFailed {
            out.accept(setting + ": " + setting.help + orNone);
            while (true) {
                String value = typed(console, setting);
                boolean none = value.isEmpty() && !orNone.isEmpty();
                if (setting.secret && !none) out.accept("(" + value.length() + " characters)");
                if (none || !value.isEmpty() && setting.fits(value)) return value;
                out.accept("That is not right (" + value.length() + " characters). It is " + setting.help);
            }
        }

        private static void keep(Setting setting, String value, Map<String, String> values, Path dotEnv)
                throws CommandFailed {
            values.put(setting.name(), value);
            try {
                DotEnv.write(dotEnv, setting, value);
            } catch (IOException readOnly) {
                throw new CommandFailed(1, List.of(".env cannot be written (" + reason(readOnly)
                        + "): make this folder writable, or set " + setting + " in the environment"));
            }
        }

        private static String typed(Console console, Setting setting) throws CommandFailed {
            Optional<String> typed = setting.secret
                    ? Optional.ofNullable(console.readPassword("%s (not shown): ", setting))
                            .map(String::new)
                    : Optional.ofNullable(console.readLine("%s: ", setting));
            if (typed.isEmpty()) throw new CommandFailed(2, List.of(setting.missing()));
            // Quotes come with what is copied from a file.
            return typed.get().strip().replaceFirst("^([\"'])(.*)\\1$", "$2");
        }

        /** @return whether everything holds; see {@link #told} */
        static boolean check(Map<String, String> given, boolean json, Consumer<String> out) {
            List<Step> steps = new ArrayList<>();
            String java = System.getProperty("java.version") + ", " + System.getProperty("java.vendor");
            steps.add(new Step("Java", FOUND, java));
            List<String> problems = new ArrayList<>();
            Settings settings = Settings.of(given, problems);
            boolean usable = problems.isEmpty();
            settings.missing().forEach(setting -> problems.add(setting.missing()));
            steps.addAll(wrong(problems));
            if (problems.isEmpty()) steps.add(new Step("settings", FOUND, "complete"));
            steps.addAll(strangers(DOT_ENV));
            if (usable) {
                Permission none = new Permission(Set.of());
                Client client = client();
                XAccess access = new XAccess(client, settings, Timing.NORMAL, false);
                Setup setup = new Setup(settings, client, access, lastAddress(settings), none, steps::add);
                setup.folder();
                setup.bridge();
                setup.twilio();
                setup.findAddress(Duration.ofSeconds(1), line -> { });
                setup.x(true, true);
                setup.clock();
            }
            return told(steps, json, out);
        }

        static List<Step> wrong(List<String> settings) {
            return settings.stream()
                    .map(sentence -> new Step("settings", MISSING, sentence))
                    .toList();
        }

        /** @return whether everything holds */
        static boolean told(List<Step> steps, boolean json, Consumer<String> out) {
            boolean ok = steps.stream().allMatch(Step::good);
            ObjectNode all = object().put("ok", ok);
            ArrayNode rows = all.putArray("checks");
            for (Step step : steps) {
                rows.addObject()
                        .put("name", step.name())
                        .put("ok", step.good())
                        .put("words", step.detail());
                String line = "%s %-16s %s".formatted(mark(step), step.name(), step.detail());
                if (!json) out.accept(line);
            }
            if (json) out.accept(all.toString());
            return ok;
        }

        // What is looked at: here, at Twilio, at X.

        private void folder() {
            Path folder = settings.dataDir();
            boolean there = Files.isDirectory(folder);
            Path parent = folder.toAbsolutePath();
            while (!Files.exists(parent) && parent.getParent() != null) {
                parent = parent.getParent();
            }
            boolean usable = Files.isWritable(parent) && (there || !Files.exists(folder));
            String trouble = usable ? full(parent) : "the bridge cannot write to " + folder
                    + ": make it a folder of the bridge's user, or set DATA_DIR";
            String made = there ? "" : ", made at the first start";
            report("data folder", trouble.isEmpty(), folder + made, trouble);
            if (!usable) return;
            try {
                Map<String, Long> counts = Journal.look(folder).counts();
                String see = counts.get("failed") == 0 ? "" : " (see the command failed)";
                report("journal", FOUND, counts.get("pending") + " messages wait, "
                        + counts.get("failed") + " were refused" + see);
            } catch (CommandFailed damaged) {
                report("journal", MISSING, damaged.getMessage());
            } catch (IOException unreadable) {
                report("journal", MISSING, "it cannot be read: " + reason(unreadable));
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
            String at = settings.get(HOST) + ":" + settings.port();
            Response answer;
            try {
                URI health = new URI("http", null, settings.get(HOST), settings.port(),
                        "/healthz", null, null);
                answer = client.call("bridge", HttpRequest.newBuilder(health));
            } catch (URISyntaxException | IllegalArgumentException unusable) {
                report("bridge", MISSING, "HOST is no address: set it to one of this machine's");
                return;
            }
            JsonNode health = answer.body();
            String counters = health.properties().stream()
                    .filter(one -> one.getValue().isNumber())
                    .map(one -> one.getKey() + " " + one.getValue())
                    .collect(Collectors.joining(", "));
            switch (health.path("status").asText(answer.sent() ? "unknown" : "none")) {
                case "none" -> report("bridge", FOUND, "does not run: nothing answers at " + at);
                case "ok" -> report("bridge", FOUND, "runs at " + at + ": " + counters);
                case "degraded" ->
                        report("bridge", MISSING, "runs at " + at + ", degraded: " + text(health, "/reason"));
                default -> report("bridge", MISSING, "what is at " + at + " is another program, or hangs: end it,"
                        + " or set PORT to a free port");
            }
        }

        /** X refuses signatures of a clock that is five minutes off (its error 135); two are worth a word. */
        private void clock() {
            List<String> off = new ArrayList<>();
            lastAnswers.forEach((service, answer) -> {
                long seconds = ahead(answer), size = Math.abs(seconds);
                String direction = seconds > 0 ? " s ahead of " : " s behind ";
                if (size > 120) off.add(size + direction + service);
            });
            if (lastAnswers.isEmpty()) {
                report("clock", UNKNOWN, "nobody answered who could tell the time");
                return;
            }
            report("clock", off.isEmpty(),
                    "agrees with " + String.join(" and ", lastAnswers.keySet()),
                    "this machine is " + String.join(" and ", off)
                    + ": X refuses such signatures, switch on time synchronisation (NTP)");
        }

        /** Seconds that this machine's clock is ahead of a service's. */
        private static long ahead(Response answer) {
            return Duration.between(answer.date(), answer.asked()).toSeconds();
        }

        void twilio() {
            String sid = settings.get(TWILIO_ACCOUNT_SID);
            if (sid.isEmpty() || settings.get(TWILIO_AUTH_TOKEN).isEmpty()) return;
            Response flex = call(atTwilio("GET", "flex-api", "/v1/Configuration", ""));
            if (!succeeded("Twilio account", flex)) return;
            // An API key says nothing of the token that checks webhooks.
            if (!settings.get(TWILIO_API_KEY).isEmpty()) {
                Twilio byToken = new Twilio(client, settings.with(TWILIO_API_KEY, ""));
                String path = "/2010-04-01/Accounts/" + sid + ".json";
                Call account = new Call(Twilio.SERVICE, () -> byToken.request("api", path), "GET", "");
                if (!succeeded("Twilio account", call(account))) return;
            }
            report("Twilio account", flex.body().path("account_sid").asText(sid).equals(sid),
                    "Flex answers for " + sid,
                    "the API key is one of another account than TWILIO_ACCOUNT_SID");
            attachments(flex.body());
            boolean ready = adopt("chat service", FLEX_CHAT_SERVICE,
                    flex.body().path("chat_service_instance_sid"));
            boolean chat = settings.get(FLEX_API).equals("chat");
            if (ready && !chat) conversationsService();
            if (chat && !settings.get(FLEX_FLOW_SID).isEmpty()) {
                knownFlexFlow();
                return;
            }
            boolean workspace = adopt("workspace", FLEX_WORKSPACE_SID,
                    flex.body().path("taskrouter_workspace_sid"));
            if (!workspace || !workflow()) return;
            Optional<String> channel = taskChannel();
            if (!ready || !chat) return;
            channel.flatMap(this::studioFlow).flatMap(this::flexFlow)
                    .ifPresent(made -> save(FLEX_FLOW_SID, made));
        }

        /** The ends of the names of what X takes. */
        private static final List<String> TAKEN = List.of("jpg", "jpeg", "png", "gif", "mp4");

        /** What agents may attach holds for all web chats of the account, so that nothing but a yes changes it. */
        private void attachments(JsonNode flex) {
            ArrayNode channels = flex.path("channel_configs") instanceof ArrayNode there ? there.deepCopy()
                    : JSON.createArrayNode();
            Optional<JsonNode> known = channels.valueStream().filter(has("/channel_type", "web")).findFirst();
            ObjectNode web = (ObjectNode) known.orElseGet(() -> channels.addObject().put("channel_type", "web"));
            ObjectNode rules = web.path("cbm_attachments") instanceof ObjectNode there ? there
                    : web.putObject("cbm_attachments").put("enabled", true).put("number_of_attachments", 1)
                            .put("max_file_size", 16 << 20).put("max_total_file_size", 64 << 20);
            List<String> may = rules.path("accepted_extensions").valueStream().map(JsonNode::asText).toList();
            boolean restricted = !may.isEmpty() && TAKEN.containsAll(may) || !rules.path("enabled").asBoolean(true);
            String only = "agents can attach nothing but " + String.join(", ", restricted ? may : TAKEN);
            TAKEN.forEach(rules.putArray("accepted_extensions")::add);
            ObjectNode body = object().put("account_sid", settings.get(TWILIO_ACCOUNT_SID));
            body.set("channel_configs", channels);
            Call changing = atTwilio("POST", "flex-api", "/v1/Configuration", body.toString());
            if (restricted || this.may.changes().contains(RESTRICT)) {
                apply(new Action("attachments", restricted ? FOUND : CHANGED, only, restricted ? NONE : RESTRICT, "",
                        changing));
            } else {
                report("attachments", FOUND, "agents can attach what X does not take, such as PDF: setup --attachments"
                        + " changes that, for all web chats of this account, to " + String.join(", ", TAKEN));
            }
        }

        private void conversationsService() {
            Response defaults = call(atTwilio("GET", "conversations", "/v1/Configuration", ""));
            if (!succeeded("conversations", defaults)) return;
            String used = text(defaults.body(), "/default_chat_service_sid");
            String ours = settings.get(FLEX_CHAT_SERVICE);
            report("conversations", used.equals(ours), "Flex's chat service is the account's default",
                    "the account's default conversations service is " + used + ", so tasks cannot find conversations:"
                    + " make " + ours + " the default at console.twilio.com, Conversations, Manage, Defaults");
        }

        private boolean workflow() {
            Optional<List<JsonNode>> listed = list("workflow",
                    "taskrouter", ofWorkspace("/Workflows"), "workflows");
            if (listed.isEmpty()) return false;
            List<JsonNode> all = listed.get();
            String set = settings.get(FLEX_WORKFLOW_SID);
            boolean theOnlyOne = set.isEmpty() && all.size() == 1;
            Predicate<JsonNode> ours = set.isEmpty() ? named("Assign to Anyone") : has("/sid", set);
            Optional<JsonNode> chosen = all.stream()
                    .filter(ours.or(one -> theOnlyOne))
                    .findFirst();
            if (chosen.isPresent()) {
                return adopt("workflow", FLEX_WORKFLOW_SID, chosen.get().path("sid"));
            }
            String names = all.stream()
                    .map(one -> text(one, "/sid") + " (" + text(one, "/friendly_name") + ")")
                    .collect(Collectors.joining(", "));
            return report("workflow", MISSING, all.isEmpty()
                    ? "the workspace has none: make one at console.twilio.com, TaskRouter"
                    : "set FLEX_WORKFLOW_SID to one of " + names);
        }

        private String ofWorkspace(String path) {
            return "/v1/Workspaces/" + settings.get(FLEX_WORKSPACE_SID) + path;
        }

        private static Predicate<JsonNode> has(String pointer, String text) {
            return json -> text(json, pointer).equals(text);
        }

        private static Predicate<JsonNode> named(String name) {
            return has("/friendly_name", name);
        }

        /** @return its SID. One of its own lets reports and agents' capacity tell X from web chat. */
        private Optional<String> taskChannel() {
            boolean set = !settings.get(FLEX_TASK_CHANNEL).isEmpty();
            String name = set ? settings.get(FLEX_TASK_CHANNEL) : "twitter";
            String detail = set ? name : name + written(FLEX_TASK_CHANNEL);
            Optional<String> sid = findOrCreate("task channel",
                    "taskrouter", ofWorkspace("/TaskChannels"), "channels",
                    has("/unique_name", name), detail,
                    Form.of("FriendlyName", name, "UniqueName", name));
            if (sid.isPresent() && !set) save(FLEX_TASK_CHANNEL, name);
            return sid;
        }

        /** A customer's first message in Programmable Chat becomes a task (Twilio Studio, "Send to Flex" widget). */
        private static final String STUDIO_FLOW = """
                {"description": "X Direct Messages", "initial_state": "Trigger",
                 "flags": {"allow_concurrent_calls": true}, "states": [
                  {"name": "Trigger", "type": "trigger", "properties": {"offset": {"x": 0, "y": 0}}, "transitions": [
                    {"event": "incomingMessage", "next": "send_to_flex"}, {"event": "incomingCall"},
                    {"event": "incomingConversationMessage"}, {"event": "incomingRequest"},
                    {"event": "incomingParent"}]},
                  {"name": "send_to_flex", "type": "send-to-flex",
                    "transitions": [{"event": "callComplete"}, {"event": "failedToEnqueue"}, {"event": "callFailure"}],
                    "properties": {"workflow": "", "channel": "", "attributes":
                      "{\\"name\\": \\"{{trigger.message.ChannelAttributes.from}}\\", \\"channelType\\": \\"web\\",\
                 \\"channelSid\\": \\"{{trigger.message.ChannelSid}}\\", \\"customChannel\\": \\"twitter\\"}",
                      "offset": {"x": 40, "y": 210}}}]}
                """;

        /** Programmable Chat: a Flex Flow starts a Studio flow, which makes the task. */
        private Optional<String> studioFlow(String taskChannel) {
            ObjectNode definition = (ObjectNode) jsonOrMissing(STUDIO_FLOW);
            ObjectNode task = (ObjectNode) definition.at("/states/1/properties");
            task.put("workflow", settings.get(FLEX_WORKFLOW_SID));
            task.put("channel", taskChannel);
            return findOrCreate("Studio flow", "studio", "/v2/Flows", "flows",
                    named(FLOW).and(has("/status", "published")), FLOW,
                    Form.of("FriendlyName", FLOW, "Status", "published",
                            "Definition", definition.toString()));
        }

        private Optional<String> flexFlow(String studio) {
            return findOrCreate("Flex Flow", "flex-api", "/v1/FlexFlows", "flex_flows",
                    named(FLOW).and(this::serves).and(has("/integration/flow_sid", studio)), FLOW,
                    Form.of("FriendlyName", FLOW, "ChatServiceSid", settings.get(FLEX_CHAT_SERVICE),
                            "ChannelType", "custom", "ContactIdentity", "twitter", "Enabled", "true",
                            "IntegrationType", "studio", "Integration.FlowSid", studio,
                            "JanitorEnabled", "true"));
        }

        private boolean serves(JsonNode flow) {
            boolean enabled = flow.path("enabled").asBoolean();
            return enabled && text(flow, "/chat_service_sid").equals(settings.get(FLEX_CHAT_SERVICE));
        }

        private void knownFlexFlow() {
            String sid = settings.get(FLEX_FLOW_SID);
            Response known = call(atTwilio("GET", "flex-api", "/v1/FlexFlows/" + sid, ""));
            if (!succeeded("Flex Flow", known)) return;
            report("Flex Flow", serves(known.body()), sid,
                    "FLEX_FLOW_SID is switched off or belongs to another chat service: set it to one that is right,"
                    + " or remove it and run setup again");
        }

        /** Finds what is fit for use, or makes it. @return its SID */
        private Optional<String> findOrCreate(String name, String product, String path, String list,
                Predicate<JsonNode> fit, String detail, Form form) {
            Optional<List<JsonNode>> listed = list(name, product, path, list);
            if (listed.isEmpty()) return Optional.empty();
            Optional<String> known = listed.get().stream()
                    .filter(fit)
                    .findFirst()
                    .map(one -> text(one, "/sid"));
            known.ifPresent(sid -> report(name, FOUND, form.get("FriendlyName") + " (" + sid + ")"));
            Call creating = atTwilio("POST", product, path, form.encode());
            return known.or(() -> apply(new Action(name, CREATED, detail, CREATE, "", creating)));
        }

        /** All of a list; empty if it could not be had, which is told. */
        private Optional<List<JsonNode>> list(String name, String product, String path, String list) {
            List<JsonNode> all = new ArrayList<>();
            Promise promise = Promise.list(list, Promise.ANYTHING);
            Response listed = twilio.pages(product, path + "?PageSize=50", list, promise, page -> {
                page.forEach(all::add);
                return true;
            });
            return succeeded(name, listed) ? Optional.of(all) : Optional.empty();
        }

        /**
         * @param outside whether to ask for our own challenge by the public URL, as X does
         * @param daily whether to look at what X lets us look at a few times a day
         */
        void x(boolean outside, boolean daily) {
            String key = settings.get(TWITTER_CONSUMER_KEY);
            String secret = settings.get(TWITTER_CONSUMER_SECRET);
            if (key.isEmpty() || secret.isEmpty()) return;
            String basic = Signatures.basic(Form.escape(key), Form.escape(secret));
            Response token = call(atX(basic, "POST", "/oauth2/token", "grant_type=client_credentials"));
            if (!succeeded("X app", token)) return;
            report("X app", FOUND, "key and secret are right");
            bearer = "Bearer " + text(token.body(), "/access_token");
            if (settings.hasClient() && !everything() && !letIn()) return;
            Response account = call(byAccount("GET", ME, ""));
            if (!succeeded(ACCOUNT, account)) return;
            String all = "read-write-directmessages";
            String level = account.headers().firstValue("x-access-level").orElse(all);
            handle = "@" + text(account.body(), "/data/username");
            report(ACCOUNT, level.equals(all), handle + (settings.hasClient() ? ""
                    : ", by OAuth 1.0a, which X is to retire: set TWITTER_CLIENT_ID and run setup"),
                    "the app may only " + level + ": give it 'Read and write and Direct message' at developer.x.com,"
                    + " then make a new access token and put it into TWITTER_ACCESS_KEY and TWITTER_ACCESS_SECRET");
            String user = text(account.body(), "/data/id");
            if (daily && !everything()) chat(user);
            if (settings.publicUrl().isEmpty()) return;
            if (outside && leadsElsewhere()) return;
            if (look(user)) {
                moveHere();
                if (outside) seen.here().ifPresent(this::once);
            } else if (seen.here().isPresent()) apply(webhook(seen));
            if (!unseen.isEmpty()) tellWhatIsUnseen();
        }

        /** Once somebody opens Chat on the support account it has keys, and there is no way back that X tells of. */
        private void chat(String user) {
            String path = "/2/users/" + user + "/public_keys?public_key.fields=public_key_version";
            Response keys = call(byAccount("GET", path, ""));
            boolean enrolled = !keys.body().path("data").findPath("public_key_version").isMissingNode();
            String readable = "the support account has not opened encrypted Chat: customers' messages can be read";
            String unseen = "whether the support account has opened encrypted Chat cannot be seen: " + keys.sentence();
            if (!keys.ok()) report(CHAT, WARNED, unseen);
            else report(CHAT, enrolled ? WARNED : FOUND, enrolled ? "the support account has opened encrypted Chat:"
                    + " customers who have it too go silent here, one by one, and agents read that they do;"
                    + " keep everybody from answering in Chat, and give customers another way to write" : readable);
        }

        // The account's own token: looked at, and asked for where there is none that X takes.

        /** @return whether X lets us in, by this token or by the keys of OAuth 1.0a */
        private boolean letIn() {
            Response me = whoseToken();
            JsonNode token = settings.token();
            String lacking = lacking(token);
            if (me.ok() && lacking.isEmpty()) {
                name(token, text(me.body(), "/data/id"));
                long age = System.currentTimeMillis() - token.path("got_at").asLong();
                return report(TOKEN, FOUND, "OAuth 2.0 for " + text(token, "/scope") + ", renewed "
                        + Math.max(0, age / 60_000) + " min ago");
            }
            if (!me.ok() && me.status() != 401) return succeeded(TOKEN, me) || settings.hasKeys();
            if (may.dotEnv().isPresent()) return authorised() || settings.hasKeys();
            tell("would ask X for a token, and the support account where X wants that");
            State state = settings.hasKeys() ? WARNED : MISSING;
            boolean told = may.dryRun().isEmpty();
            if (told) report(TOKEN, state, me.ok() ? "it lacks " + lacking + ": run setup" : me.sentence());
            return settings.hasKeys();
        }

        private Response whoseToken() {
            Response me = access.byToken(one -> client.call(X.SERVICE, one), access.request(ME, Form.of()));
            return me;
        }

        private static String lacking(JsonNode token) {
            List<String> has = List.of(text(token, "/scope").split(" "));
            return Stream.of(XAccess.SCOPES.split(" "))
                    .filter(scope -> !has.contains(scope))
                    .collect(Collectors.joining(" "));
        }

        /** Whose token it is: without a token of OAuth 1.0a nothing else tells the bridge its own account. */
        private void name(JsonNode token, String user) {
            boolean news = may.dotEnv().isPresent() && !text(token, "/user").equals(user);
            if (news) keep(((ObjectNode) token).put("user", user));
        }

        private boolean keep(JsonNode token) {
            try {
                Journal.make(settings.dataDir());
                XAccess.write(settings.tokenFile(), token);
                return true;
            } catch (IOException readOnly) {
                return report(TOKEN, MISSING, "it cannot be written to " + settings.tokenFile() + " ("
                        + reason(readOnly) + "): make that folder writable, or set DATA_DIR");
            }
        }

        /** By OAuth 1.0a's token, if there is one and X exchanges it; else by whoever is logged in as the account. */
        private boolean authorised() {
            Response granted = Response.NONE;
            if (settings.hasKeys()) {
                granted = access.grant(Form.of("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
                        "subject_token", settings.get(TWITTER_ACCESS_KEY),
                        "subject_token_type", "urn:x:params:oauth:token-type:oauth1_token",
                        "oauth_token_secret", settings.get(TWITTER_ACCESS_SECRET)));
            } else {
                Optional<Form> code = consent();
                if (code.isEmpty()) return false;
                granted = access.grant(code.get());
            }
            if (!succeeded(TOKEN, granted)) return false;
            // It is kept at once, as it cannot be had again without asking.
            JsonNode before = settings.token();
            ObjectNode token = XAccess.kept(granted.body(), object().put("scope", XAccess.SCOPES)
                    .put("user", settings.ownId()));
            if (!keep(token)) return false;
            Response me = whoseToken();
            if (!succeeded(TOKEN, me)) return false;
            String user = text(me.body(), "/data/id"), known = settings.ownId();
            if (!known.isEmpty() && !known.equals(user)) {
                keep(before);
                return report(TOKEN, MISSING, "@" + text(me.body(), "/data/username") + " is another account than"
                        + " before: log in at X as the support account, and run setup again; or remove "
                        + settings.tokenFile() + " first");
            }
            name(token, user);
            String lacking = lacking(token);
            if (!lacking.isEmpty()) return report(TOKEN, MISSING, "X's token lacks " + lacking + ": give the app"
                    + " 'Read and write and Direct message' at developer.x.com, User authentication settings,"
                    + " and run setup again");
            return report(TOKEN, CREATED, "OAuth 2.0 for " + text(token, "/scope") + ", kept in "
                    + settings.tokenFile());
        }

        /**
         * X's page asks whoever is logged in, and sends the browser back with a code (RFC 6749, 4.1; RFC 7636).
         *
         * @return the grant to be asked for; empty, and told, if there is none
         */
        private Optional<Form> consent() {
            if (edge.isEmpty() && System.console() == null) {
                report(TOKEN, MISSING, "the support account has to let the app in, and a bridge has the port: stop it,"
                        + " or run setup on a terminal");
                return Optional.empty();
            }
            String verifier = UUID.randomUUID() + "-" + UUID.randomUUID();
            boolean here = !Browser.command().isEmpty() || settings.publicUrl().isEmpty();
            String back = (here ? "http://127.0.0.1:" + settings.port() : settings.publicUrl()) + BACK;
            Form page = Form.of("response_type", "code", "client_id", settings.get(TWITTER_CLIENT_ID),
                    "redirect_uri", back, "scope", XAccess.SCOPES, "state", state,
                    "code_challenge", sha256(verifier), "code_challenge_method", "S256");
            String link = settings.twitterApiUrl().replace("//api.", "//") + "/i/oauth2/authorize?" + page.encode();
            String patience = edge.isEmpty() ? "" : " within " + this.patience.toMinutes() + " minutes";
            """
            The support account has to let the app in.
            1. At developer.x.com, your app, User authentication settings, choose 'Read and write and Direct message' \
            and 'Web App, Automated App or Bot', and enter this Callback URI:
               %s
            2. Log in at x.com as the support account, open this link and choose 'Authorize app'%s (where X \
            says 'Something went wrong', step 1 or TWITTER_CLIENT_ID is not right):
               %s
            """.formatted(back, patience, link).lines().forEach(out);
            Browser.open(link);
            Form answer = cameBack();
            boolean given = !answer.get("code").isEmpty();
            if (given) {
                return Optional.of(Form.of("grant_type", "authorization_code", "code", answer.get("code"),
                        "redirect_uri", back, "code_verifier", verifier));
            }
            String why = answer.get("error").isEmpty()
                    ? "nobody has come back from X's page: are the callback above and TWITTER_CLIENT_ID right?"
                    : "X's page says " + answer.get("error") + ":";
            report(TOKEN, MISSING, why + " run setup again, and choose 'Authorize app' as the support account");
            return Optional.empty();
        }

        /** The browser comes back to us, or where a bridge has the port, whoever is asked pastes where it went. */
        private Form cameBack() {
            if (edge.isEmpty()) return pasted(System.console());
            try {
                return Objects.requireNonNullElse(returned.poll(patience.toMillis(), TimeUnit.MILLISECONDS), Form.of());
            } catch (InterruptedException stopping) {
                return Form.of();
            }
        }

        private Form pasted(Console console) {
            String ask = "3. Paste the address of the page you end at: ";
            for (String line = console.readLine(ask); line != null; line = console.readLine(ask)) {
                try {
                    Form answer = answer(line.strip());
                    if (answer.get("state").equals(state)) return answer;
                } catch (IllegalArgumentException broken) {
                    LOG.log(DEBUG, broken::getMessage);
                }
                out.accept("That is not the address to which the link above has led: it has " + BACK + " in it.");
            }
            return Form.of();
        }

        private static Form answer(String address) {
            return Form.decode(address.replaceFirst("[^?]*\\?", ""));
        }

        private Reply takeBack(Request request) {
            Form answer = answer(request.target());
            boolean ours = answer.get("state").equals(state);
            if (ours) returned.offer(answer);
            String said = answer.get("code").isEmpty() ? "The app was not let in. Go back to setup."
                    : "Done. Go back to setup.";
            return new Reply(ours ? 200 : 400, ours ? said : "This belongs to another run of setup: open the link that"
                    + " it shows now.", "text/plain; charset=utf-8");
        }

        private static String sha256(String verifier) {
            try {
                byte[] hash = MessageDigest.getInstance("SHA-256").digest(verifier.getBytes(UTF_8));
                return Base64.getUrlEncoder().withoutPadding().encodeToString(hash);
            } catch (NoSuchAlgorithmException missing) {
                throw new IllegalStateException(missing);
            }
        }

        // What stands at X.

        record Webhook(String id, String url, boolean valid) { }

        /** @param id empty in the Account Activity API, where the account and the webhook say which one it is */
        record Subscription(String id, String event, String webhook, String user) { }

        /** What stands at X. @param user our account; @param address that of our webhook, be it there or not */
        record Seen(String user, String address, List<Webhook> webhooks, List<Subscription> subscriptions) {
            Optional<Webhook> here() { return at(address); }

            Optional<Webhook> at(String url) {
                return webhooks.stream()
                        .filter(one -> one.url().equals(url))
                        .findFirst();
            }

            /** This program's webhooks at other addresses. */
            List<Webhook> elsewhere() {
                return webhooks.stream()
                        .filter(one -> one.url().endsWith(PATH))
                        .filter(one -> !one.url().equals(address))
                        .toList();
            }

            /** Our subscriptions to a kind of event. */
            List<Subscription> to(String event) {
                return subscriptions.stream()
                        .filter(one -> one.user().equals(user))
                        .filter(one -> one.event().equals(event))
                        .toList();
            }

            /** Where it leads; empty if that webhook is gone. */
            String url(Subscription subscription) {
                return webhooks.stream()
                        .filter(one -> one.id().equals(subscription.webhook()))
                        .map(Webhook::url)
                        .findFirst().orElse("");
            }

            /** Whether another program has them. */
            boolean foreign(List<Subscription> some) {
                return some.stream().map(this::url).anyMatch(url -> !url.isEmpty() && !url.endsWith(PATH));
            }

            boolean serves(Webhook webhook) {
                return users(webhook).contains(user);
            }

            boolean servesOthers(Webhook webhook) {
                return users(webhook).stream().anyMatch(one -> !one.equals(user));
            }

            private List<String> users(Webhook webhook) {
                return subscriptions.stream()
                        .filter(one -> one.webhook().equals(webhook.id()))
                        .map(Subscription::user)
                        .toList();
            }

            /** What is left once a webhook is removed, and its subscriptions with it. */
            Seen without(Webhook removed) {
                return new Seen(user, address,
                        webhooks.stream()
                                .filter(one -> !one.equals(removed))
                                .toList(),
                        subscriptions.stream()
                                .filter(one -> !one.webhook().equals(removed.id()))
                                .toList());
            }
        }

        /** After a change of generation X would send everything twice: what the other one had is given up. */
        private void once(Webhook here) {
            boolean other = !everything();
            Response listed = call(byApp("GET", other ? everythingOf(here.id()) + "/list" : SUBSCRIPTIONS, ""));
            String ids = listed.body().at(other ? "/data/subscriptions" : "/data").valueStream()
                    .filter(one -> other || text(one, "/webhook_id").equals(here.id()))
                    .filter(one -> text(one, other ? "/user_id" : "/filter/user_id").equals(seen.user()))
                    .map(one -> text(one, other ? "/user_id" : "/subscription_id"))
                    .collect(Collectors.joining(","));
            if (ids.isEmpty()) return;
            String path = other ? everythingOf(here.id()).replace("/all", "/" + ids + "/all")
                    : SUBSCRIPTIONS + "?ids=" + ids;
            String twice = "what the other TWITTER_API was subscribed to makes each message come twice";
            if (!may.changes().contains(CREATE)) report(SUBSCRIPTION, MISSING, twice + ": run setup");
            else apply(new Action(SUBSCRIPTION, CHANGED, twice + ": no longer", CREATE, "", byApp("DELETE", path, "")));
        }

        /** @return whether all could be seen; that it could not is told */
        private boolean look(String user) {
            List<Webhook> webhooks = new ArrayList<>();
            List<Subscription> subscriptions = new ArrayList<>();
            seen = new Seen(user, address(), webhooks, subscriptions);
            boolean looked = each(WEBHOOK, "/2/webhooks", "/data", one -> {
                boolean valid = one.path("valid").asBoolean();
                webhooks.add(new Webhook(text(one, "/id"), text(one, "/url"), valid));
            });
            if (!everything()) {
                return looked && each(SUBSCRIPTION, SUBSCRIPTIONS, "/data", one -> {
                    String id = one.path("subscription_id").asText(text(one, "/id"));
                    subscriptions.add(new Subscription(id, text(one, "/event_type"),
                            text(one, "/webhook_id"), whose(one, user)));
                });
            }
            for (Webhook webhook : webhooks) {
                if (!looked || !webhook.url().endsWith(PATH)) continue;
                String path = everythingOf(webhook.id()) + "/list";
                looked = each(SUBSCRIPTION, path, "/data/subscriptions", one -> {
                    String account = text(one, "/user_id");
                    subscriptions.add(new Subscription("", EVERYTHING, webhook.id(), account));
                });
            }
            return looked;
        }

        /** Goes through a list of X's, page by page. @return whether it could be had */
        private boolean each(String name, String path, String list, Consumer<JsonNode> action) {
            String next, query = "";
            do {
                Response page = call(byApp("GET", path + query, ""));
                if (!succeeded(name, page)) return false;
                page.body().at(list).forEach(action);
                next = Form.escape(text(page.body(), "/meta/next_token"));
                query = "?pagination_token=" + next;
            } while (!next.isEmpty());
            return true;
        }

        /** The account of a subscription; one without any hears of every account that revokes the app, ours too. */
        private static String whose(JsonNode subscription, String user) {
            boolean revoked = text(subscription, "/event_type").equals("oauth.revoke");
            boolean anybody = revoked && subscription.path("filter").isEmpty();
            return anybody ? user : text(subscription, "/filter/user_id");
        }

        private String address() { return settings.publicUrl() + PATH; }

        /** Asks for our own challenge. Where that cannot be reached from this machine, X's may all the same. */
        private boolean leadsElsewhere() {
            String url = settings.publicUrl();
            Response answer = challenged(url);
            if (!answer.ok()) {
                String why = answer.status() == 0 ? answer.trouble() : "status " + answer.status();
                unseen = "the bridge does not answer at " + url + " (" + why + ")";
                return false;
            }
            proven = report(ADDRESS, isOurs(answer), url, "what answers at " + url
                    + " signs with other secrets than these: start the bridge with this .env");
            return !proven;
        }

        /** Some machines cannot reach their own public name: then it counts what X finds there. */
        private void tellWhatIsUnseen() {
            boolean serves = isOurs(challenged("http://" + settings.get(HOST) + ":" + settings.port()));
            boolean right = proven || !disproven && seen.here().filter(Webhook::valid).isPresent();
            boolean good = serves && right;
            report(ADDRESS, good ? WARNED : UNKNOWN, unseen + ": " + (good ? "not from this machine, but X reaches it"
                    : "start it, and the tunnel or proxy that leads to port " + settings.port()));
        }

        private Response challenged(String base) {
            return client.call("bridge", HttpRequest.newBuilder(URI.create(base + question)));
        }

        /** Whether who answered knows our secret. */
        private boolean isOurs(Response answer) {
            Request asked = new Request("GET", PATH, question, Map.of(), new byte[0]);
            String right = challenge(settings, asked).body();
            return answer.ok() && answer.body().toString().equals(right);
        }

        // What follows from what stands at X.

        /** What our address needs: its webhook, and that everything comes to it. */
        List<Action> plan(Seen seen) {
            String webhook = seen.here().map(Webhook::id).orElse("");
            List<Action> plan = new ArrayList<>();
            plan.add(webhook(seen));
            plan.addAll(subscriptions(seen, webhook));
            return plan;
        }

        private static final String HTTPS_ONLY =
                "X takes https addresses without a port, of at most 200 characters: see PUBLIC_URL";

        /** X switches a webhook off after wrong answers, or a day without right ones; asked, it challenges it anew. */
        private Action webhook(Seen seen) {
            String url = seen.address();
            Optional<Webhook> here = seen.here();
            if (here.isPresent() && here.get().valid()) {
                return new Action(WEBHOOK, FOUND, url, NONE, "");
            }
            if (here.isPresent()) {
                return challengeByX(here.get().id(), CHANGED, "X had switched it off, and sends again");
            }
            URI parts = URI.create(url);
            boolean odd = parts.getPort() >= 0 || url.length() > 200;
            if (odd && parts.getScheme().equals("https")) {
                return new Action(WEBHOOK, MISSING, HTTPS_ONLY, NONE, "");
            }
            return new Action(WEBHOOK, CREATED, url, CREATE, "", registering(url));
        }

        private Action challengeByX(String webhook, State state, String detail) {
            Call call = byApp("PUT", "/2/webhooks/" + webhook, "");
            return new Action(WEBHOOK, state, detail, REVALIDATE, "", call);
        }

        private Call registering(String url) {
            return byApp("POST", "/2/webhooks", object().put("url", url).toString());
        }

        private Action removal(Webhook old) {
            Call call = byApp("DELETE", "/2/webhooks/" + old.id(), "");
            return new Action(OLD, CHANGED, old.url() + " is removed", CREATE, "", call);
        }

        /** @param webhook which everything the bridge needs is to come to; empty if it has yet to be registered */
        private List<Action> subscriptions(Seen seen, String webhook) {
            List<Action> plan = new ArrayList<>();
            for (String event : events()) {
                List<Subscription> ours = seen.to(event);
                boolean comesHere = ours.stream()
                        .anyMatch(one -> one.webhook().equals(webhook));
                if (comesHere) {
                    plan.add(new Action(SUBSCRIPTION, FOUND, event, NONE, ""));
                } else if (OPTIONAL.contains(event) && seen.foreign(ours)) {
                    plan.add(new Action(SUBSCRIPTION, FOUND, event + " is another program's, and stays so", NONE, ""));
                } else if (everything() || ours.isEmpty()) {
                    Call[] calls = subscribing(seen, event, webhook);
                    plan.add(new Action(SUBSCRIPTION, CREATED, event, CREATE, "", calls));
                } else {
                    plan.add(bringing(seen, ours.get(0), webhook));
                }
            }
            return plan;
        }

        /** Has a subscription lead to another webhook. */
        private Action bringing(Seen seen, Subscription subscription, String webhook) {
            String from = seen.url(subscription);
            String before = from.isEmpty() ? "" : ", no longer to " + from;
            String detail = subscription.event() + " comes to this address" + before;
            String body = object().put("webhook_id", webhook).toString();
            Call call = byApp("PUT", SUBSCRIPTIONS + "/" + subscription.id(), body);
            return new Action(SUBSCRIPTION, CHANGED, detail, CREATE, from, call);
        }

        // Subscriptions: in X's Activity API one for each kind of event, in its Account Activity API one for all.

        private static final String EVERYTHING = "all of the account's activity",
                SUBSCRIPTIONS = "/2/activity/subscriptions";

        private boolean everything() {
            return settings.get(TWITTER_API).equals("1.1");
        }

        /** What X may refuse: of a revoked app it tells by itself, and of encrypted Chat only where it lets us. */
        private static final Set<String> OPTIONAL = Set.of("oauth.revoke", "chat.received");

        private List<String> events() {
            return everything() ? List.of(EVERYTHING) : List.of("dm.received", "oauth.revoke", "chat.received");
        }

        private static String everythingOf(String webhook) {
            return "/2/account_activity/webhooks/" + webhook + "/subscriptions/all";
        }

        /** @return calls to try in turn: X's pages want OAuth 2.0, its OpenAPI description takes OAuth 1.0a too */
        private Call[] subscribing(Seen seen, String event, String webhook) {
            if (everything()) return new Call[] {byAccount("POST", everythingOf(webhook), "{}")};
            ObjectNode body = object().put("webhook_id", webhook).put("event_type", event);
            body.put("tag", "twitter-flex-bridge");
            body.putObject("filter").put("user_id", seen.user());
            Call byAccount = byAccount("POST", SUBSCRIPTIONS, body.toString());
            String token = settings.get(TWITTER_USER_TOKEN);
            Call byToken = atX("Bearer " + token, "POST", SUBSCRIPTIONS, body.toString());
            return token.isEmpty() ? new Call[] {byAccount} : new Call[] {byAccount, byToken};
        }

        // What is done of it.

        /** What works elsewhere is given up last, for what works too; where X has no room for both, it is put back. */
        private void moveHere() {
            for (Webhook old : seen.elsewhere()) {
                if (seen.serves(old) && !mayMove(WEBHOOK, old.url())) return;
            }
            removed = noted();
            if (comesHere()) {
                note("");
                if (may.changes().contains(CREATE)) leaveOthers();
            } else if (!removed.isEmpty()) {
                settle();
            }
        }

        private boolean comesHere() {
            Optional<String> learnt = apply(webhook(seen));
            if (learnt.isEmpty()) return false;
            return allComesTo(seen.here().map(Webhook::id).orElse(learnt.get()));
        }

        private boolean allComesTo(String webhook) {
            target = webhook;
            boolean all = true;
            for (Action action : subscriptions(seen, webhook)) all &= apply(action).isPresent();
            return all;
        }

        private void leaveOthers() {
            for (Webhook old : seen.elsewhere()) {
                boolean ours = seen.serves(old) || isFormer(old.url());
                if (ours && !seen.servesOthers(old) && prove()) apply(removal(old));
            }
        }

        private boolean isFormer(String url) {
            return url.equals(former + PATH);
        }

        /** What is at this folder's former address is its own; what is at any other somebody has to give up. */
        private boolean mayMove(String name, String url) {
            boolean own = isFormer(url) || url.equals(address());
            if (own && may.changes().contains(MOVE_FROM_FORMER_URL)) return true;
            if (!own && consents.computeIfAbsent(url, may.consent()::test)) return true;
            return report(name, MISSING, own ? "it is still at " + url + ": run setup"
                    : "it is at " + url + ", where another bridge may need it; if it does not, run setup --move");
        }

        /** Nothing is given up for an address that has answered neither us nor X. */
        private boolean prove() {
            boolean enough = proven || may.dryRun().isPresent();
            return enough || apply(challengeByX(target, FOUND, "X has challenged it anew")).isPresent();
        }

        /** The one of this program's other webhooks that would make room for ours. */
        private Optional<Webhook> replaceable() {
            Comparator<Webhook> ours = Comparator.comparing(seen::serves);
            return seen.elsewhere().stream()
                    .max(ours.thenComparing(one -> isFormer(one.url())));
        }

        /** How many webhooks the app may have only X knows: the order of both cases is told. */
        private void tellOrder(Webhook old) {
            tell("which X refuses where the app may have one webhook only; then setup");
            if (!proven) {
                tell("would change nothing: the address does not answer");
            } else if (seen.servesOthers(old)) {
                tell("would change nothing: other accounts need the old one");
            } else {
                if (seen.serves(old)) tell(trial(old)[0]);
                tell(removal(old).calls()[0]);
                plan(seen.without(old)).forEach(action -> tell(action.calls()[0]));
            }
            tell("and where it may have more, setup");
        }

        /**
         * An app may have one webhook only (X, pay per use). From its removal until the next one is registered there is
         * none, and if setup is killed in that moment, none until it runs again: what could go wrong is tried before.
         */
        private boolean makeRoom(Webhook old) {
            if (!mayMove(WEBHOOK, old.url())) return false;
            boolean needed = seen.servesOthers(old);
            if (needed || !mayLeave(old)) {
                String why = needed ? "other accounts need it" : settings.publicUrl() + " does not answer";
                return report(WEBHOOK, MISSING,
                        "the app may have no more than the one at " + old.url() + ", which stays: " + why);
            }
            if (seen.serves(old)) {
                Response again = call(trial(old));
                // That it is there already is told only to those who may subscribe.
                boolean allowed = again.status() == 400 || again.sentence().contains("Duplicate");
                if (!allowed && !succeeded(SUBSCRIPTION, again)) return false;
            }
            if (old.valid()) note(old.url());
            return remove(old);
        }

        /** Asks for what is there already, to see whether X would let us have it once more. */
        private Call[] trial(Webhook old) {
            return subscribing(seen, events().get(0), old.id());
        }

        private boolean remove(Webhook webhook) {
            boolean gone = apply(removal(webhook)).isPresent();
            if (gone) seen = seen.without(webhook);
            return gone;
        }

        /** A running bridge cannot always see itself: it leaves its former address unless only that is seen to work. */
        private boolean mayLeave(Webhook old) {
            if (proven || may.dotEnv().isPresent()) return proven;
            int end = old.url().length() - PATH.length();
            String before = old.url().substring(0, end);
            if (isOurs(challenged(settings.publicUrl()))) return true;
            Response there = challenged(before);
            boolean unsure = there.status() == 0 && there.sent();
            return !unsure && !isOurs(there);
        }

        /** Remembers what makes room until another one works, setup also beside .env: it may be killed in between. */
        private void note(String url) {
            removed = url;
            if (may.dotEnv().isEmpty()) return;
            try {
                if (url.isEmpty()) Files.deleteIfExists(noteFile());
                else Files.writeString(noteFile(), url + "\n");
            } catch (IOException readOnly) {
                LOG.log(DEBUG, () -> "no note of " + url + ": " + reason(readOnly));
            }
        }

        private String noted() {
            if (may.dotEnv().isEmpty()) return "";
            try {
                return Files.readString(noteFile()).strip();
            } catch (IOException none) {
                return "";
            }
        }

        private Path noteFile() {
            return may.dotEnv().orElseThrow().resolveSibling(".env.old-webhook");
        }

        /** After a failure half-way: goes on if X has the new webhook after all, else puts back what made room. */
        private void settle() {
            for (int tries = 3; tries > 0; tries--) {
                if (look(seen.user()) && settled()) {
                    note("");
                    return;
                }
                LockSupport.parkNanos(Duration.ofSeconds(1).toNanos());
            }
            report(OLD, MISSING, removed + " could not be put back: run setup in its own folder, or here"
                    + " once " + settings.publicUrl() + " answers");
        }

        private boolean settled() {
            Optional<Webhook> half = seen.here();
            if (half.isPresent()) {
                if (half.get().valid() && allComesTo(half.get().id())) return true;
                // A running bridge goes on at its next look.
                if (may.dotEnv().isEmpty()) return true;
                if (!remove(half.get())) return false;
            }
            Optional<String> still = seen.at(removed).map(Webhook::id);
            Optional<String> back = still.or(() -> apply(new Action(
                    OLD, CHANGED, removed + " is registered again", CREATE, "", registering(removed))));
            restored |= still.isEmpty() && back.isPresent();
            return back.isPresent() && allComesTo(back.get());
        }

        /** Does it, tells its call in a dry run, or says that it has to be done. @return the id it teaches, if any */
        private Optional<String> apply(Action action) {
            String name = action.name();
            if (action.change() == NONE) {
                return taught(report(name, action.state(), action.detail()), "");
            }
            boolean takes = !action.from().isEmpty();
            if (takes && !(mayMove(name, action.from()) && prove())) return Optional.empty();
            boolean registers = name.equals(WEBHOOK) && action.change() == CREATE;
            if (may.dryRun().isPresent()) {
                tell(action.calls()[0]);
                if (registers) replaceable().ifPresent(this::tellOrder);
                return Optional.of("");
            }
            boolean optional = OPTIONAL.contains(action.detail());
            if (!may.changes().contains(action.change())) {
                if (optional) return without(action, "not subscribed");
                return taught(report(name, MISSING, action.change() == REVALIDATE
                        ? "X has switched it off: run setup, which has it validated again"
                        : "not there yet (" + action.detail() + "): run setup"), "");
            }
            Response done = call(action.calls());
            boolean full = registers && done.sentence().contains("WebhookLimitExceeded");
            Optional<Webhook> old = full ? replaceable() : Optional.empty();
            if (old.isPresent()) {
                if (!makeRoom(old.get())) return Optional.empty();
                done = call(action.calls());
            }
            if (optional && done.status() / 100 == 4 && !made(done)) return without(action, done.sentence());
            boolean made = made(action, done);
            proven |= made && name.equals(WEBHOOK);
            disproven |= !made && name.equals(WEBHOOK);
            String atX = text(done.body(), "/data/id");
            return taught(made, done.body().path("sid").asText(atX));
        }

        private Optional<String> without(Action action, String why) {
            String detail = "nothing is missed without " + action.detail() + ": " + why;
            return taught(report(action.name(), FOUND, detail), "");
        }

        private static Optional<String> taught(boolean good, String id) {
            return good ? Optional.of(id) : Optional.empty();
        }

        // How it is looked, done and told.

        /** @return whether it is good */
        private boolean report(String name, State state, String detail) {
            Step step = new Step(name, state, detail);
            steps.accept(step);
            return step.good();
        }

        /** @param detail for what is right; @param advice for what is not */
        private boolean report(String name, boolean right, String detail, String advice) {
            return right ? report(name, FOUND, detail) : report(name, MISSING, advice);
        }

        /** Takes over what was found, or sees that the setting agrees. @return whether there is one to work with */
        private boolean adopt(String name, Setting setting, JsonNode sid) {
            String set = settings.get(setting);
            String found = sid.asText("");
            if (found.isEmpty()) {
                return report(name, MISSING, "Flex names none: finish its set-up at console.twilio.com, Flex");
            }
            if (!set.isEmpty()) {
                return report(name, set.equals(found), found, setting + " is " + set + ", but Flex uses " + found
                        + ": correct it, or remove it and run setup again");
            }
            report(name, may.changes().contains(CREATE), found + written(setting),
                    found + " is not set: run setup, or set " + setting);
            save(setting, found);
            return true;
        }

        private String written(Setting setting) {
            return may.dotEnv().isPresent() ? ", written to .env as " + setting : "";
        }

        private void save(Setting setting, String value) {
            settings = settings.with(setting, value);
            tell("would write " + setting + (value.isEmpty() ? ", once it is there," : "=" + value) + " to .env");
            if (may.dotEnv().isEmpty()) return;
            try {
                DotEnv.write(may.dotEnv().get(), setting, value);
            } catch (IOException readOnly) {
                report(".env", MISSING,
                        "it cannot be written (" + reason(readOnly) + "): add " + setting + "=" + value + " yourself");
            }
        }

        private Call atTwilio(String method, String product, String path, String form) {
            return new Call(Twilio.SERVICE, () -> twilio.request(product, path), method, form);
        }

        private Call byApp(String method, String path, String json) {
            return atX(bearer, method, path, json);
        }

        private Call byAccount(String method, String path, String json) {
            return new Call(ACCOUNT, () -> access.request(path, Form.of()), method, json);
        }

        private Call atX(String authorization, String method, String path, String body) {
            URI url = URI.create(settings.twitterApiUrl() + path);
            return new Call(X.SERVICE, () -> HttpRequest.newBuilder(url)
                    .header("Authorization", authorization), method, body);
        }

        private Response call(Call... inTurn) {
            Response answer = Response.NONE;
            for (Call call : inTurn) {
                String body = call.body();
                String type = body.startsWith("{") ? "application/json" : "application/x-www-form-urlencoded";
                HttpRequest.Builder request = call.request().get();
                request.method(call.method(), body.isEmpty()
                        ? HttpRequest.BodyPublishers.noBody()
                        : HttpRequest.BodyPublishers.ofString(body));
                if (!body.isEmpty()) request.header("Content-Type", type);
                answer = call.by().equals(ACCOUNT) ? access.call(request, Promise.ANYTHING)
                        : client.call(call.by(), request);
                if (answer.status() != 0 && !answer.where().isEmpty()) lastAnswers.put(answer.service(), answer);
                if (answer.status() != 401 && answer.status() != 403) break;
            }
            return answer;
        }

        private void tell(String line) {
            may.dryRun().ifPresent(out -> out.accept("           " + line));
        }

        private void tell(Call call) {
            URI url = call.request().get().build().uri();
            boolean json = call.body().startsWith("{");
            tell("would call " + call.method() + " " + url + (json ? " with " + call.body() : ""));
            Form.decode(json ? "" : call.body()).fields().forEach(field -> {
                boolean nested = field.getValue().startsWith("{");
                String value = nested ? jsonOrMissing(field.getValue()).toPrettyString() : field.getValue();
                tell("  with " + field.getKey() + "=" + value.replace("\n", "\n           "));
            });
        }

        /** Whether X has the subscription, be it that another process was quicker. */
        private static boolean made(Response answer) {
            return answer.ok() || Pattern.compile("Duplicate(?!Url)").matcher(answer.sentence()).find();
        }

        /** Tells whether it was made. */
        private boolean made(Action action, Response answer) {
            boolean same = !answer.ok() && made(answer);
            if (!same && !succeeded(action.name(), answer)) return false;
            boolean valid = answer.body().at("/data/valid").asBoolean(true);
            return valid ? report(action.name(), same ? FOUND : action.state(), action.detail())
                    : report(action.name(), MISSING, "X got no right answer from " + address()
                    + ": is it reachable from outside?");
        }

        /** Tells a failure, with what to do about it. */
        private boolean succeeded(String name, Response answer) {
            if (answer.ok()) return true;
            int status = answer.status();
            boolean passing = status == 0 || status == 429 || status >= 500;
            String detail = answer.sentence() + ": " + advice(name, answer);
            return report(name, passing ? UNKNOWN : MISSING, detail);
        }

        /** What to do about a failure: the first row counts whose service or step, status, code and word fit. */
        private static final List<String[]> ADVICE = """
                .*              0       .*          .*  look at this machine's network, proxy and trust store
                X               .*      .*          usage-capped  the X app has used up its plan's share for the \
                month, wait for the next one or choose a larger plan at developer.x.com
                .*              429     .*          .*  wait a quarter of an hour and try again
                .*              [5-9]..  .*          .*  try again later; status.twilio.com and docs.x.com/status \
                tell of failures
                Twilio          401     .*          .*  TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or the API key \
                and secret) do not belong together, copy both from console.twilio.com
                Twilio          404     .*          .*  this account has no such thing; has it a Flex project, and \
                is the SID of this account?
                Twilio          .*      .*          .*  console.twilio.com, Monitor, Errors may tell more
                X               401     .*          clock-is-off|code 135  this machine's clock is off, switch on time \
                synchronisation (NTP)
                X               .*      99          .*  TWITTER_CONSUMER_KEY and TWITTER_CONSUMER_SECRET do not \
                belong together, copy both from developer.x.com, your app, Keys and tokens
                X               .*      64|326|416  .*  X has suspended or locked the account or the app, ask X
                .*              .*      .*          oauth1-permissions|code 93\\b  give the app 'Read and write and \
                Direct message' at developer.x.com, then make a new access token
                X token         401     .*          .*  TWITTER_CLIENT_ID and TWITTER_CLIENT_SECRET are not the \
                app's, copy both from developer.x.com, your app, Keys and tokens, OAuth 2.0
                X token         400     .*          .*  X gives no token for this, run setup again; where \
                TWITTER_ACCESS_KEY and TWITTER_ACCESS_SECRET are set, X may not exchange them, remove both first
                X               402     .*          .*  the X account has no credits left, buy some at \
                developer.x.com, Billing
                X               .*      453|200     .*  the X app's access level does not include this, choose a \
                plan that does at developer.x.com
                .*              .*      .*          client-not-enrolled|client-forbidden  attach the app to a Project \
                at developer.x.com, Projects & Apps, or choose an access level that includes this
                .*              .*      .*          WebhookLimitExceeded|Too many resources  the app has all the \
                webhooks it may have, remove one of them or take an app of its own for the bridge
                .*              .*      .*          SubscriptionLimitExceeded  the app has all the subscriptions it \
                may have, remove one of them
                X subscription  40[13]  .*          .*  X wants an OAuth 2.0 token of the support account for this, \
                with the scope dm.read: set TWITTER_CLIENT_ID and run setup, which gets one; one that is in \
                TWITTER_USER_TOKEN may have expired
                X               401     .*          .*  TWITTER_ACCESS_KEY and TWITTER_ACCESS_SECRET are of another \
                app, or were revoked: make new ones at developer.x.com, your app, Keys and tokens
                .*              .*      .*          Crc  X got no right answer from {PUBLIC_URL}/fromTwitter, is it \
                reachable from outside, and are the secrets those of this app?
                .*              .*      .*          UrlValidationFailed  X takes https addresses without a port, of \
                at most 200 characters: see PUBLIC_URL
                .*              .*      .*          .*  docs.x.com may tell more
                """.lines().map(row -> row.split(" {2,}", 5)).toList();

        private String advice(String name, Response answer) {
            JsonNode body = answer.body();
            String words = text(body, "/type") + text(body, "/reason") + text(body, "/error") + answer.sentence();
            String signs = Math.abs(ahead(answer)) > 240 ? words + " clock-is-off" : words;
            for (String[] row : ADVICE) {
                boolean from = answer.service().matches(row[0]) || name.matches(row[0]);
                boolean status = String.valueOf(answer.status()).matches(row[1]);
                boolean code = String.valueOf(answer.code()).matches(row[2]);
                boolean said = Pattern.compile(row[3]).matcher(signs).find();
                if (from && status && code && said) {
                    return row[4].replace("{PUBLIC_URL}", settings.publicUrl());
                }
            }
            throw new AssertionError("the last row fits");
        }
    }

    /** The browser of whoever sits before this machine's screen, if there is one. */
    static final class Browser {
        private Browser() { }

        /** Each system's own: the JDK's way needs a module that servers' Javas leave out. */
        static List<String> command() {
            String system = System.getProperty("os.name").toLowerCase(Locale.ROOT);
            if (Boolean.getBoolean("java.awt.headless")) return List.of();
            if (system.startsWith("mac")) return List.of("open");
            if (system.startsWith("windows")) return List.of("rundll32", "url.dll,FileProtocolHandler");
            boolean screen = Stream.of("DISPLAY", "WAYLAND_DISPLAY")
                    .anyMatch(name -> !Objects.toString(System.getenv(name), "").isEmpty());
            return screen ? List.of("xdg-open") : List.of();
        }

        static void open(String url) {
            if (command().isEmpty()) return;
            try {
                new ProcessBuilder(Stream.concat(command().stream(), Stream.of(url)).toList()).redirectErrorStream(true)
                        .redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
            } catch (IOException none) {
                LOG.log(DEBUG, () -> "no browser opens: " + reason(none));
            }
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
        static void write(Path file, Setting setting, String value) throws IOException {
            Path real = Files.exists(file) ? file.toRealPath() : file.toAbsolutePath();
            try {
                replace(real, Files.exists(real) ? real : real.getParent(), () -> changed(real, setting, value));
            } catch (IOException irreplaceable) {
                if (!Files.isRegularFile(real)) throw irreplaceable;
                writeInto(real, changed(real, setting, value).getBytes(UTF_8));
            }
        }

        private static String changed(Path file, Setting setting, String value) throws IOException {
            return changed(Files.exists(file) ? Files.readString(file) : "", setting, value);
        }

        private static Path aside(Path file) throws IOException {
            Path real = Files.exists(file) ? file.toRealPath() : file.toAbsolutePath();
            return real.resolveSibling(real.getFileName() + ".new");
        }

        static String owner(Path file) {
            try {
                return Files.getOwner(file).getName();
            } catch (IOException | UnsupportedOperationException unknown) {
                return "";
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

        /** The file's text with this value in the last line that names it, else at the end; all the rest as it was. */
        static String changed(String text, Setting setting, String value) {
            String plain = value.matches("[A-Za-z0-9_./:@%+=,~{}-]*") ? value
                    : '"' + value.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
            String[] lines = text.split("(?<=\n)");
            for (int i = lines.length - 1; i >= 0; i--) {
                String line = lines[i].replace("\uFEFF", "").strip();
                Matcher parts = Settings.LINE.matcher(line);
                if (parts.matches() && setting.names.contains(parts.group(1))) {
                    String rest = line.substring(parts.end("value"));
                    String gap = rest.startsWith("#") ? " " : "";
                    String set = line.substring(0, parts.start("value")) + plain + gap + rest;
                    lines[i] = lines[i].replace(line, set);
                    return String.join("", lines);
                }
            }
            String end = text.contains("\r\n") ? "\r\n" : "\n";
            boolean whole = text.isEmpty() || text.endsWith("\n");
            return text + (whole ? "" : end) + setting + "=" + plain + end;
        }
    }
}
