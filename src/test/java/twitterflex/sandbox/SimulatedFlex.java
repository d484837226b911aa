package twitterflex.sandbox;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Twilio Flex as the bridge sees it: both generations of its REST APIs, and the webhooks of what agents and bots do. */
public final class SimulatedFlex extends SimulatedService {

    /** What a Twilio account with Flex consists of; key and secret may be empty, {@code taskChannel} is a unique name. */
    public record Account(String accountSid, String authToken, String apiKey, String apiSecret, String chatService, String flexFlow,
            String workspace, String workflow, String taskChannel) {

        public static Account sample() {
            String digits = "0123456789abcdef0123456789abcdef";
            return new Account("AC" + digits, "12345678901234567890123456789012", "SK" + digits, "apiSecretApiSecretApiSecretApiSe",
                    "IS" + digits, "FO" + digits, "WS" + digits, "WW" + digits, "chat");
        }
    }

    /** What waits for an agent; status as TaskRouter has it: pending, assigned, completed. */
    public record Task(String sid, String chatSid, String attributes, String status) { }

    /** One attempt to deliver a webhook; status 0: no answer in time; the message's SID is empty for other events. */
    public record WebhookDelivery(String url, String event, String messageSid, int status) { }

    public static final String AGENT = "ada_2Elovelace";
    /** Bytes, with what Flex itself puts there. */
    static final int LONGEST_TASK_ATTRIBUTES = 4 * 1024;
    private static final TwilioOperations DOCUMENTS = new TwilioOperations();
    private static final Duration WEBHOOK_TIMEOUT = Duration.ofSeconds(5);
    private static final Set<Integer> ORDINARY = Set.of(20404, 20429, 45354, 50321, 50353, 50361, 50377, 50433); // a correct client may meet them

    public final Account account;
    final Map<String, Chat> chats = new LinkedHashMap<>();
    final Map<String, Task> tasks = new LinkedHashMap<>();
    private final Map<String, List<Chat>> byIdentity = new LinkedHashMap<>();
    private final ProgrammableChat programmableChat = new ProgrammableChat(this);
    private final Conversations conversations = new Conversations(this);
    private final Interactions interactions = new Interactions(this);
    private final TwilioMedia media = new TwilioMedia(this);
    private final Provisioning provisioning;
    private final List<String> lostWebhooks = new CopyOnWriteArrayList<>();
    private final List<WebhookDelivery> deliveries = new ArrayList<>();
    private RateLimit limit = new RateLimit(Integer.MAX_VALUE, Duration.ofSeconds(1));
    private int largestPage = Integer.MAX_VALUE;
    private int webhooksOfOthers;
    private List<Duration> retryDelays = List.of(Duration.ofSeconds(1));
    private String publicUrl = "";
    private String actualBase = "";
    private long lastSid = System.currentTimeMillis() * 1_000_000; // SIDs of an earlier run never come again

    public SimulatedFlex(int port, Account account) {
        super(port, Stream.concat(DOCUMENTS.all().stream(), TwilioMedia.operations().stream()).toList());
        this.account = account;
        provisioning = new Provisioning(this);
        start();
    }

    /** The bridge's setting TWILIO_API_URL. */
    public String apiUrlTemplate() {
        return url() + "/{product}";
    }

    /** What the account is set up with. */
    public Provisioning provisioning() {
        return provisioning;
    }

    /** The files in the chats. */
    public TwilioMedia media() {
        return media;
    }

    // Knobs.

    /** At most so many requests per second, then 429 with code 20429; without it there is no limit. */
    public synchronized void limit(int perSecond) {
        limit = new RateLimit(perSecond, Duration.ofSeconds(1));
    }

    /** No list answers with more items per page than this. */
    public synchronized void pageSize(int pageSize) {
        largestPage = pageSize;
    }

    /** Every chat has so many webhooks of others from the start; five are all that it can have. */
    public synchronized void webhooksOfOthers(int webhooks) {
        webhooksOfOthers = webhooks;
    }

    /** The status of a created Interaction: documented 200, seen 201. */
    public synchronized void interactionStatus(int status) {
        interactions.status(status);
    }

    /** The waits before a webhook of Programmable Chat is sent again, the last one for all that follow. */
    public synchronized void retryDelays(Duration... delays) {
        retryDelays = List.of(delays);
    }

    /** Webhooks below the public URL are signed with it but sent to the actual base, as ngrok would pass them on. */
    public synchronized void publicUrl(String publicUrl, String actualBase) {
        this.publicUrl = publicUrl.replaceFirst("/$", "");
        this.actualBase = actualBase.replaceFirst("/$", "");
    }

    // What a test can see.

    public synchronized List<Chat> chats() {
        return List.copyOf(chats.values());
    }

    /** Every chat, open or not, with that participant, oldest first. */
    public synchronized List<Chat> chats(String identity) {
        return List.copyOf(byIdentity.getOrDefault(identity, List.of()));
    }

    /** The files that this participant has posted, in all its chats, in order. */
    public synchronized List<MediaFile> files(String identity) {
        return chats(identity).stream().flatMap(chat -> chat.files(identity).stream()).toList();
    }

    public synchronized Optional<Chat> openChat(String identity) {
        return chats(identity).stream().filter(Chat::open).reduce((first, last) -> last);
    }

    public synchronized List<Task> tasks() {
        return List.copyOf(tasks.values());
    }

    /** A sentence for each webhook that was given up. */
    public List<String> lostWebhooks() {
        return Collections.unmodifiableList(lostWebhooks);
    }

    public synchronized List<WebhookDelivery> webhookDeliveries() {
        return List.copyOf(deliveries);
    }

    // Acting as Flex towards the bridge.

    /** An agent, who sees a chat once it is a task, answers; returns the message's SID at once, the webhook follows in the background. */
    public synchronized String agentWrites(Chat chat, String text) {
        agentJoins(chat);
        return say(chat, AGENT, text, "{}", List.of(), true, true).sid();
    }

    /** A bot answers through the REST API, with webhooks enabled. */
    public synchronized String botWrites(Chat chat, String author, String text) {
        return say(chat, author, text, "{}", List.of(), false, true).sid();
    }

    /** An agent attaches a file of 153,575 bytes. */
    public String agentSendsMedia(Chat chat, String filename, String contentType) {
        return agentAttaches(chat, "", MediaFile.generated(filename, contentType, 153_575));
    }

    /**
     * An agent sends files, and a text, which may be empty: one message in a conversation; in Programmable Chat, where
     * a message has one file or a text, several. Returns the last one's SID at once. (Flex's own page lets agents send
     * one file a message, without a text, unless it is configured otherwise; other clients are free.)
     */
    public synchronized String agentAttaches(Chat chat, String text, MediaFile... files) {
        agentJoins(chat);
        List<TwilioMedia.Stored> stored = Stream.of(files).map(media::attachedByAgent).toList();
        if (chat.conversation) {
            return say(chat, AGENT, text, "{}", stored, true, true).sid();
        }
        if (!text.isEmpty()) {
            say(chat, AGENT, text, "{}", List.of(), true, true);
        }
        return stored.stream().map(one -> say(chat, AGENT, "", "{}", List.of(one), true, true).sid())
                .reduce("", (before, last) -> last);
    }

    /** The agent completes the task, which ends the chat (as a timer would if there is no task yet). */
    public synchronized void agentCompletes(Chat chat) {
        if (!chat.open()) {
            throw new IllegalStateException(chat.sid() + " is closed already.");
        }
        taskBecomes(chat, "completed");
        api(chat).end(chat);
    }

    /** The task times out after 24 hours, or a supervisor cancels it; the conversation stays as it is, active, and nobody is told. */
    public synchronized void taskCanceled(Chat chat) {
        taskBecomes(chat, "canceled");
    }

    /** TaskRouter deletes the task, as it does some minutes after its end: no list has it any more. */
    public synchronized void taskForgotten(Chat chat) {
        tasks.remove(chat.task);
    }

    /** The agent chooses Leave: the task is completed, and the conversation waits, inactive, for the customer's next message. */
    public synchronized void agentLeaves(Chat chat) {
        taskBecomes(chat, "completed");
        conversations.leave(chat);
    }

    /** Of the next Interactions so many are accepted, and then come to nothing: no task is ever made. */
    public synchronized void interactionsThatComeToNothing(int count) {
        interactions.comeToNothing(count);
    }

    private void agentJoins(Chat chat) {
        if (!chat.open() || chat.task.isEmpty()) {
            String reason = chat.open() ? "it is no task yet." : "it is closed.";
            throw new IllegalStateException("No agent can write into " + chat.sid() + ": " + reason);
        }
        taskBecomes(chat, "assigned");
        if (chat.participant(AGENT).isEmpty()) {
            chat.participants.add(new Chat.Participant(sid("MB"), AGENT, "{}", Instant.now()));
        }
    }

    private void taskBecomes(Chat chat, String status) {
        tasks.computeIfPresent(chat.task, (sid, task) -> new Task(sid, task.chatSid(), task.attributes(), status));
    }

    /** Adds a message; {@code sdk}: by an agent's Flex, else by REST, where webhooks fire only if they are enabled. */
    Chat.Posted say(Chat chat, String author, String body, String attributes, List<TwilioMedia.Stored> files,
            boolean sdk, boolean webhooksEnabled) {
        Chat.Posted message = new Chat.Posted(sid("IM"), author, body, attributes, Instant.now(), files);
        files.forEach(file -> media.isIn(file, chat.sid(), message.sid()));
        chat.posted.add(message);
        if (webhooksEnabled) {
            api(chat).tell(chat, message, sdk);
        }
        return message;
    }

    private ChatApi api(Chat chat) {
        return chat.conversation ? conversations : programmableChat;
    }

    /** Sends an event to the chat's webhooks that want it. */
    void fire(Chat chat, String event, Map<String, String> details, boolean sdk) {
        Map<String, String> form = new TreeMap<>(details);
        form.put("AccountSid", account.accountSid());
        form.put("EventType", event);
        form.put("Source", sdk ? "SDK" : "API");
        form.put("WebhookType", "webhook");
        if (sdk) {
            form.put("ClientIdentity", AGENT);
        }
        for (Chat.Webhook webhook : chat.webhooks.values()) {
            if (webhook.filters().contains(event)) {
                form.put("WebhookSid", webhook.sid());
                List<Duration> waits = IntStream.range(0, retryDelays.isEmpty() ? 0 : webhook.retryCount())
                        .mapToObj(retry -> retryDelays.get(Math.min(retry, retryDelays.size() - 1))).toList();
                courier.deliver(chat.sid() + webhook.sid(), WEBHOOK_TIMEOUT, waits, errand(webhook.url(), event, new TreeMap<>(form)));
            }
        }
    }

    private Courier.Errand errand(String url, String event, Map<String, String> form) {
        return new Courier.Errand() {
            @Override
            public HttpRequest request(int attempt) {
                form.put("RetryCount", String.valueOf(attempt));
                return signed(url, form).build();
            }

            @Override
            public boolean taken(Posted answer, boolean lastAttempt) {
                String messageSid = form.getOrDefault("MessageSid", "");
                synchronized (SimulatedFlex.this) {
                    deliveries.add(new WebhookDelivery(url, event, messageSid, answer.status()));
                }
                boolean taken = answer.status() / 100 == 2;
                if (!taken && lastAttempt) {
                    lostWebhooks.add(event + " " + messageSid + " to " + url + ": answered " + answer.status() + " " + answer.body());
                }
                return taken;
            }
        };
    }

    private synchronized HttpRequest.Builder signed(String url, Map<String, String> form) {
        byte[] body = Form.encode(form).getBytes(StandardCharsets.UTF_8);
        return posting(actual(url), body, Map.of("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8",
                "X-Twilio-Signature", sign(url, form), "User-Agent", "TwilioProxy/1.1"));
    }

    private synchronized String actual(String url) {
        return !publicUrl.isEmpty() && url.startsWith(publicUrl) ? actualBase + url.substring(publicUrl.length()) : url;
    }

    /** Posts a form as a webhook of this URL, rightly signed and with our account unless it names one, and waits. */
    public Posted post(String url, Map<String, String> form) {
        Map<String, String> all = new TreeMap<>(form);
        all.putIfAbsent("AccountSid", account.accountSid());
        return ask(signed(url, all));
    }

    /** Posts these bytes with these headers and no others. */
    public Posted post(String url, byte[] body, Map<String, String> headers) {
        return ask(posting(actual(url), body, headers));
    }

    /** The value of X-Twilio-Signature. */
    public String sign(String url, Map<String, String> form) {
        return Signatures.twilioWebhook(url, form.entrySet(), account.authToken());
    }

    // The REST APIs: what the bridge asks for, judged and carried out.

    @Override
    Optional<Upload> upload(Request head, InputStream body) throws IOException {
        return TwilioMedia.read(head, body);
    }

    @Override
    synchronized Reply answer(Request request) {
        if (request.operation().equals(TwilioMedia.TEMPORARY)) {
            return media.temporary(request);
        }
        authenticate(request);
        if (!limit.spend()) {
            throw refused(429, 20429, "Too Many Requests");
        }
        if (!DOCUMENTS.knows(request.operation()) && !media.takes(request)) {
            throw new Refused(missing(request.path()).reply(), "there is no such operation", true);
        }
        Optional<String> wrong = media.takes(request) ? Optional.empty() : DOCUMENTS.complaint(request);
        wrong.ifPresent(complaint -> {
            throw refused(400, 20001, complaint);
        });
        Map<String, String> owned = Map.of("ServiceSid", account.chatService(), "ChatServiceSid", account.chatService(),
                "WorkspaceSid", account.workspace());
        request.variables().forEach((name, value) -> {
            if (!owned.getOrDefault(name, value).equals(value)) {
                throw missing(request.path());
            }
        });
        if (media.takes(request)) {
            return media.answer(request);
        }
        Form form = Form.parse(request.text());
        if (provisioning.takes(request)) {
            return provisioning.answer(request, form);
        }
        return switch (request.path().split("/")[1]) {
            case "conversations" -> conversations.answer(request, form);
            case "chat" -> programmableChat.answer(request, form);
            case "taskrouter" -> interactions.tasks(request);
            default -> request.operation().contains("Interactions")
                    ? interactions.answer(request, form) : programmableChat.answer(request, form);
        };
    }

    private void authenticate(Request request) {
        String token = basic(account.accountSid(), account.authToken());
        String key = account.apiKey().isEmpty() ? token : basic(account.apiKey(), account.apiSecret());
        String given = request.header("Authorization");
        if (!given.equals(token) && !given.equals(key)) {
            Reply reply = error(401, 20003, "Authenticate");
            throw new Refused(new Reply(401, Map.of("WWW-Authenticate", "Basic realm=\"Twilio API\""), reply.body()), "401, 20003", true);
        }
    }

    static String basic(String user, String password) {
        return "Basic " + Base64.getEncoder().encodeToString((user + ":" + password).getBytes(StandardCharsets.UTF_8));
    }

    private static Reply error(int status, int code, String message) {
        return new Reply(status, Map.of(), Json.object("code", code, "message", message,
                "more_info", "https://www.twilio.com/docs/errors/" + code, "status", status).toString());
    }

    static Refused refused(int status, int code, String message) {
        return new Refused(error(status, code, message), status + ", " + code + ": " + message, !ORDINARY.contains(code));
    }

    /** The same for what the account is set up with: a correct client may meet it when somebody has taken a part away. */
    static void requireSetUp(boolean holds, String message) {
        if (!holds) {
            throw new Refused(error(400, 20001, message), message, false);
        }
    }

    static Refused missing(String what) {
        return refused(404, 20404, "The requested resource " + what + " was not found");
    }

    static void require(boolean holds, int code, String message) {
        if (!holds) {
            throw refused(400, code, message);
        }
    }

    static Reply reply(int status, ObjectNode body) {
        return new Reply(status, Map.of(), body.toString());
    }

    /** A page of a list in Twilio's form: the items under their key, and meta with where the next page is. */
    <T> Reply page(Request request, String key, List<T> all, Function<T, ObjectNode> shown, int usual) {
        Form query = Form.parse(request.query());
        int size = Math.min(largestPage, Integer.parseInt(query.first("PageSize", String.valueOf(usual))));
        int page = Integer.parseInt(query.first("Page", "0"));
        int from = Math.min(all.size(), page * size);
        int to = Math.min(all.size(), from + size);
        ObjectNode meta = Json.object("page", page, "page_size", size, "first_page_url", pageUrl(request, query, size, 0),
                "previous_page_url", page == 0 ? null : pageUrl(request, query, size, page - 1),
                "url", pageUrl(request, query, size, page),
                "next_page_url", to == all.size() ? null : pageUrl(request, query, size, page + 1), "key", key);
        return reply(200, Json.object(key, Json.array(all.subList(from, to).stream().map(shown).toList()), "meta", meta));
    }

    private String pageUrl(Request request, Form query, int size, int page) {
        Map<String, String> parameters = new LinkedHashMap<>();
        query.fields().forEach(field -> parameters.put(field.getKey(), field.getValue()));
        parameters.put("PageSize", String.valueOf(size));
        parameters.put("Page", String.valueOf(page));
        if (page > 0) {
            parameters.put("PageToken", "PT" + page);
        }
        return url() + request.path() + "?" + Form.encode(parameters);
    }

    String sid(String prefix) {
        return prefix + String.format("%032x", ++lastSid);
    }

    static String time(Instant at) {
        return at.truncatedTo(ChronoUnit.SECONDS).toString();
    }

    static String milliseconds(Instant at) {
        return at.truncatedTo(ChronoUnit.SECONDS).plusMillis(at.toEpochMilli() % 1000).toString();
    }

    /** A new chat. */
    void begin(Chat chat) {
        chats.put(chat.sid(), chat);
        for (int i = 0; i < webhooksOfOthers; i++) {
            String sid = sid("WH");
            chat.webhooks.put(sid, new Chat.Webhook(sid, "https://elsewhere.example/hook", "", List.of(), 0, Instant.now()));
        }
    }

    void join(Chat chat, Chat.Participant participant) {
        chat.participants.add(participant);
        byIdentity.computeIfAbsent(participant.identity(), identity -> new ArrayList<>()).add(chat);
    }

    void remove(Chat chat) {
        chats.remove(chat.sid());
        byIdentity.values().forEach(list -> list.remove(chat));
    }

    boolean hasLiveTask(Chat chat) {
        Task task = tasks.get(chat.task);
        return task != null && Set.of("pending", "reserved", "assigned", "wrapping").contains(task.status());
    }

    /** A task of its own for the chat; two open ones for one chat are what must never happen. */
    Task addTask(Chat chat, ObjectNode attributes) {
        Task task = new Task(sid("WT"), chat.sid(), attributes(attributes.toString(), LONGEST_TASK_ATTRIBUTES), "pending");
        if (hasLiveTask(chat)) {
            violation("A second task for " + chat.sid() + ": " + task.sid());
        }
        chat.task = task.sid();
        tasks.put(task.sid(), task);
        return task;
    }

    /** Attributes must be JSON and short enough. */
    static String attributes(String attributes, int longest) {
        require(TwilioOperations.isJson(attributes), 20001, "Attributes is not valid JSON");
        require(attributes.getBytes(StandardCharsets.UTF_8).length <= longest, 50303, "Attributes too long");
        return attributes;
    }
}
