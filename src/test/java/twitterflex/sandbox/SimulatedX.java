package twitterflex.sandbox;

import static twitterflex.sandbox.DirectMessageRules.body;
import static twitterflex.sandbox.DirectMessageRules.buttons;
import static twitterflex.sandbox.DirectMessageRules.fields;
import static twitterflex.sandbox.DirectMessageRules.listed;
import static twitterflex.sandbox.DirectMessageRules.number;
import static twitterflex.sandbox.DirectMessageRules.options;
import static twitterflex.sandbox.DirectMessageRules.query;
import static twitterflex.sandbox.DirectMessageRules.refused;
import static twitterflex.sandbox.DirectMessageRules.require;
import static twitterflex.sandbox.DirectMessageRules.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.text.Normalizer;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** X as the bridge sees it: takes Direct Messages through both of its APIs, and posts signed webhooks about what customers write. */
public final class SimulatedX extends SimulatedService {

    /** What an X app is given; the client secret may be empty. */
    public record Keys(String consumerKey, String consumerSecret, String accessToken, String accessSecret, String clientSecret) {

        /** The support account: the part of the access token before the hyphen. */
        public String ownId() {
            return accessToken.substring(0, accessToken.indexOf('-'));
        }
    }

    /** The two shapes of webhook: Account Activity (to end on 1 January 2027) and the X Activity API. */
    public enum Envelope { ACCOUNT_ACTIVITY, X_ACTIVITY }

    /** {@code lists}: how many lists had been asked for when it was written. */
    private record DirectMessage(String id, String sender, String other, Instant at, ObjectNode event, int lists) {
        JsonNode data() {
            return event.path("message_create").path("message_data");
        }
    }

    private static final String SEND_1 = "POST /1.1/direct_messages/events/new.json";
    private static final String LIST_1 = "GET /1.1/direct_messages/events/list.json";
    private static final String SEND_2 = "POST /2/dm_conversations/with/{participant_id}/messages";
    private static final String LIST_2 = "GET /2/dm_conversations/with/{participant_id}/dm_events";
    private static final String ALL_2 = "GET /2/dm_events";
    private static final String EVENT_2 = "GET /2/dm_events/{event_id}";
    private static final String ME_2 = "GET /2/users/me";
    private static final String KEYS_2 = "GET /2/users/{id}/public_keys";
    static final Pattern LINK = Pattern.compile("https?://\\S*[^\\s.,;:!?)]");
    private static final Pattern WRITTEN_LINK = Pattern.compile("(?:https?://|\\bwww\\.)\\S*[^\\s.,;:!?)]");
    private static final int LONGEST_TEXT = 10_000;
    private static final String ALL_ACCESS = "read-write-directmessages";
    static final String APP_ID = "13090192";

    private final Keys keys;
    private final Map<String, Customer> customers = new LinkedHashMap<>();
    private final List<DirectMessage> history = new ArrayList<>();
    private final OAuthCheck oauth;
    private final Registrations registrations;
    private final XMedia media;
    private final XUploads uploads;
    private final XTokens tokens;
    private final Set<String> delivered = new HashSet<>();
    private final RateLimit unlimited = new RateLimit(Integer.MAX_VALUE, Duration.ofMinutes(15));
    private RateLimit sends = unlimited;
    private RateLimit sendsOfADay = unlimited;
    private RateLimit lists1 = new RateLimit(15, Duration.ofMinutes(15));
    private RateLimit lists2 = unlimited;
    private RateLimit events2 = new RateLimit(15, Duration.ofMinutes(15));
    private Envelope envelope = Envelope.ACCOUNT_ACTIVITY;
    private boolean echoes = true;
    private boolean encrypts;
    private String webhook = "";
    private String accessLevel = ALL_ACCESS;
    private final Map<String, String> actualBases = new LinkedHashMap<>();
    private List<Duration> retryDelays = List.of(Duration.ofSeconds(3), Duration.ofSeconds(27), Duration.ofSeconds(242));
    private Duration repetition = Duration.ZERO;
    private int lists;
    private int eventsRead;
    private int lag;
    private final AtomicLong lastId = new AtomicLong();
    private long links;

    public SimulatedX(int port, Keys keys) {
        super(port, Stream.of(List.of(SEND_1, LIST_1, SEND_2, LIST_2, ALL_2, EVENT_2, ME_2, KEYS_2), Registrations.operations(),
                XMedia.operations(), XUploads.operations(), XTokens.operations()).flatMap(List::stream)
                .map(name -> Operation.of(name, "", MissingNode.getInstance())).toList());
        this.keys = keys;
        oauth = new OAuthCheck(keys, url(), this::now);
        tokens = new XTokens(this, keys);
        registrations = new Registrations(this, keys, oauth, tokens);
        media = new XMedia(this, registrations, oauth);
        uploads = new XUploads(this, registrations);
        start();
    }

    public static Keys sampleKeys() {
        return new Keys("xvz1evFS4wEEPTGEFPHBog", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
                "4337869213-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE", "");
    }

    /** What the app has registered: webhooks and subscriptions. */
    public Registrations registrations() {
        return registrations;
    }

    /** OAuth 2.0: who let the app in, and for what. */
    public XTokens tokens() {
        return tokens;
    }

    /** What customers attach, and where it is fetched. */
    public XMedia media() {
        return media;
    }

    /** What the support account uploads. */
    public XUploads uploads() {
        return uploads;
    }

    // Knobs.

    /** Where webhooks go, e.g. {@code http://127.0.0.1:3000/fromTwitter}; retries follow a change. Empty: where they are registered. */
    public synchronized void webhook(String url) {
        webhook = url;
    }

    /** Webhooks below the public URL are sent to the actual base, as ngrok would pass them on. */
    public synchronized void resolve(String publicUrl, String actualBase) {
        actualBases.put(publicUrl.replaceFirst("/$", ""), actualBase.replaceFirst("/$", ""));
    }

    /** {@code read-write-directmessages} at first, else {@code read-write} or {@code read}, which Direct Messages refuse. */
    public synchronized void accessLevel(String level) {
        accessLevel = level;
    }

    /** Every registered webhook becomes invalid, as after a failed challenge, and gets no events until it is validated again. */
    public void invalidateWebhook() {
        registrations.invalidateWebhooks();
    }

    public synchronized void envelope(Envelope envelope) {
        this.envelope = envelope;
    }

    /** Whether somebody has opened encrypted Chat on the support account; at first nobody has. */
    public synchronized void encrypts(boolean encrypts) {
        this.encrypts = encrypts;
    }

    /** Whether what the support account sends comes back as a webhook, as it really does; true at first. */
    public synchronized void echoes(boolean echoes) {
        this.echoes = echoes;
    }

    /** The waits before a webhook that was not answered 200 is sent again; documented for Account Activity: 3, 27, 242 seconds. */
    public synchronized void retryDelays(Duration... delays) {
        retryDelays = List.of(delays);
    }

    /** So many sends per window through both APIs; without it there is no limit (X's own for API 2: 15 per 15 minutes). */
    public synchronized void limit(int sends, Duration window) {
        this.sends = new RateLimit(sends, window);
    }

    /**
     * So many reads of Direct Messages per window; without it {@code list.json} and single events have X's 15 per 15
     * minutes, lists none.
     */
    public synchronized void limitReads(int reads, Duration window) {
        events2 = new RateLimit(reads, window);
        lists1 = new RateLimit(reads, window);
        lists2 = new RateLimit(reads, window);
    }

    /** So many sends per window, told in the headers {@code x-user-limit-24hour-…}; X's window is a day. */
    public synchronized void limitDay(int sends, Duration window) {
        sendsOfADay = new RateLimit("x-user-limit-24hour", sends, window);
    }

    /** A message is left out of so many lists that are asked for after it was written; 0 at first. */
    public synchronized void lag(int lists) {
        lag = lists;
    }

    /** A text that the same customer was sent within this time is refused: "already said", code 151; at first none is. */
    public synchronized void refuseRepetition(Duration within) {
        repetition = within;
    }

    // Acting as X towards the bridge.

    /** The customer with that id, new or known; handle and name count only for a new one. */
    public synchronized Customer customer(String id, String handle, String name) {
        return customers.computeIfAbsent(id, unknown -> new Customer(this, id, handle, name));
    }

    synchronized String write(Customer customer, String text, ObjectNode attachment, ObjectNode quickReplyResponse) {
        DirectMessage message = fromCustomer(newId(), customer, text, attachment, quickReplyResponse);
        deliver(message, customer);
        return message.id();
    }

    /** A colleague answers in the X app itself, as the support account. */
    public synchronized String colleagueWrites(Customer customer, String text) {
        DirectMessage message = remembered(newId(), keys.ownId(), customer.id(), customer.id(), messageData(text.strip(), List.of()));
        customer.receive(new Customer.Received(message.id(), text, List.of(), List.of(), message.at()));
        if (echoes) {
            deliver(message, customer);
        }
        return message.id();
    }

    /** How many events of Direct Messages API 2 has given, each of which X wants to be paid for. */
    public synchronized int eventsRead() {
        return eventsRead;
    }

    synchronized String send(Customer customer, String caption, XMedia.Kind kind, List<MediaFile> variants) {
        String id = newId();
        deliver(fromCustomer(id, customer, caption, media.attachment(id, newId(), kind, variants), null), customer);
        return id;
    }

    /**
     * The body that {@link Customer#writes} would post for this text, with a new id, so that a test can send it
     * itself. X does not know of the message.
     */
    public synchronized String event(Customer customer, String text) {
        DirectMessage unknown = fromCustomer(newId(), customer, text, null, null);
        history.remove(unknown);
        return enveloped(unknown, customer, envelope, "dm-inbound");
    }

    private DirectMessage fromCustomer(String id, Customer customer, String text, ObjectNode given,
            ObjectNode quickReplyResponse) {
        ObjectNode attachment = given == null ? null : given.deepCopy();
        JsonNode attached = attachment == null ? MissingNode.getInstance() : attachment.path("media");
        ObjectNode data = attached.isObject() ? withMedia(text, id, attachment) : messageData(text, List.of());
        if (attachment != null) {
            data.set("attachment", attachment);
        }
        if (quickReplyResponse != null) {
            data.set("quick_reply_response", quickReplyResponse);
        }
        return remembered(id, customer.id(), keys.ownId(), customer.id(), data);
    }

    private ObjectNode withMedia(String text, String id, ObjectNode attachment) {
        ObjectNode attached = (ObjectNode) attachment.path("media");
        String link = attached.path("url").asText(shortLink());
        String page = attached.path("expanded_url").asText("https://twitter.com/messages/media/" + id);
        attached.put("url", link).put("expanded_url", page).put("display_url", "pic.twitter.com/"
                + link.substring(link.lastIndexOf('/') + 1));
        return messageData(text + " " + link, List.of(Map.entry(link, page)));
    }

    /** Text as X shows it: NFC, line feeds, links shortened, {@code & < >} escaped; {@code known} links are short already. */
    private ObjectNode messageData(String written, List<Map.Entry<String, String>> known) {
        String text = Normalizer.normalize(written.replaceAll("\r\n?", "\n"), Normalizer.Form.NFC);
        StringBuilder shown = new StringBuilder();
        List<ObjectNode> urls = new ArrayList<>();
        Matcher matcher = WRITTEN_LINK.matcher(text);
        int end = 0;
        while (matcher.find()) {
            shown.append(escaped(text.substring(end, matcher.start())));
            String found = matcher.group();
            String page = known.stream().filter(link -> link.getKey().equals(found)).map(Map.Entry::getValue).findFirst().orElse(found);
            String link = page.equals(found) ? shortLink() : found;
            page = page.startsWith("www.") ? "http://" + page + (page.contains("/") ? "" : "/") : page;
            int start = shown.codePointCount(0, shown.length());
            urls.add(Json.object("url", link, "expanded_url", page, "display_url", page.replaceFirst("https?://", ""),
                    "indices", List.of(start, start + link.length())));
            shown.append(link);
            end = matcher.end();
        }
        shown.append(escaped(text.substring(end)));
        return Json.object("text", shown.toString(), "entities", Json.object("hashtags", List.of(), "symbols", List.of(),
                "user_mentions", List.of(), "urls", Json.array(urls)));
    }

    private static String escaped(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
    }

    private String shortLink() {
        return "https://t.co/" + String.format("%10s", Long.toString(++links, 36)).replace(' ', 'A');
    }

    private DirectMessage remembered(String id, String sender, String recipient, String customer, ObjectNode data) {
        Instant at = Instant.now();
        ObjectNode create = Json.object("target", Json.object("recipient_id", recipient), "sender_id", sender, "message_data", data);
        if (sender.equals(keys.ownId())) {
            create.put("source_app_id", APP_ID);
        }
        DirectMessage message = new DirectMessage(id, sender, customer, at, Json.object("type", "message_create", "id", id,
                "created_timestamp", String.valueOf(at.toEpochMilli()), "message_create", create), lists);
        history.add(message);
        return message;
    }

    /** A snowflake: milliseconds since X's epoch and a counter, never twice and never smaller than the one before. */
    String newId() {
        long now = (System.currentTimeMillis() - 1288834974657L) << 22;
        return String.valueOf(lastId.updateAndGet(last -> Math.max(last + 1, now)));
    }

    private String enveloped(DirectMessage message, Customer customer, Envelope envelope, String tag) {
        boolean sent = message.sender().equals(keys.ownId());
        ObjectNode event = message.event().deepCopy();
        if (media.webhooksLackAttachments()) {
            ((ObjectNode) event.path("message_create").path("message_data")).remove("attachment");
        }
        if (envelope == Envelope.ACCOUNT_ACTIVITY) {
            ObjectNode body = Json.object("for_user_id", keys.ownId(), "direct_message_events", List.of(event));
            if (sent) {
                body.set("apps", Json.object(APP_ID, Json.object("id", APP_ID, "name", "Flex Bridge", "url", "https://example.com")));
            }
            body.set("users", Json.object(keys.ownId(), user(keys.ownId(), "support_co", "Support"),
                    customer.id(), user(customer.id(), customer.handle(), customer.name())));
            return body.toString();
        }
        ((ObjectNode) event.path("message_create")).remove("source_app_id");
        ObjectNode users = Json.object(keys.ownId(), activityUser(keys.ownId(), "support_co", "Support"),
                customer.id(), activityUser(customer.id(), customer.handle(), customer.name()));
        return Json.object("data", Json.object("event_uuid", String.valueOf(-Long.parseLong(message.id())),
                "filter", Json.object("user_id", keys.ownId()), "event_type", sent ? "dm.sent" : "dm.received", "tag", tag,
                "payload", Json.object("direct_message_events", List.of(event), "users", users))).toString();
    }

    private static ObjectNode user(String id, String handle, String name) {
        return Json.object("id", id, "created_timestamp", "1422556069340", "name", name, "screen_name", handle, "protected", false,
                "verified", false, "followers_count", 22, "friends_count", 45, "statuses_count", 494, "profile_image_url", "null",
                "profile_image_url_https", "https://pbs.twimg.com/profile_images/1/x_normal.jpg");
    }

    private static ObjectNode activityUser(String id, String handle, String name) {
        return Json.object("data", Json.object("id", id, "name", name, "username", handle, "description", "", "protected", false,
                "verified", false, "verified_type", "none", "created_at", "2015-01-29T18:27:49.000Z"));
    }

    private void deliver(DirectMessage message, Customer customer) {
        if (!webhook.isEmpty()) {
            deliver(message, customer, new Registrations.Target("", envelope, "dm-inbound"));
        } else {
            registrations.targets(message.sender().equals(keys.ownId())).forEach(target -> deliver(message, customer, target));
        }
    }

    private void deliver(DirectMessage message, Customer customer, Registrations.Target target) {
        byte[] body = enveloped(message, customer, target.envelope(), target.tag()).getBytes(StandardCharsets.UTF_8);
        Map<String, String> headers = signed(body);
        courier.deliver(customer.id(), timeout(target.envelope()), retryDelays, new Courier.Errand() {
            @Override
            public HttpRequest request(int attempt) {
                return posting(target.url().isEmpty() ? webhookUrl() : actual(target.url()), body, headers).build();
            }

            @Override
            public boolean taken(Posted answer, boolean lastAttempt) {
                boolean taken = answer.status() == 200;
                synchronized (SimulatedX.this) {
                    if (taken) {
                        delivered.add(message.id());
                    }
                }
                return taken;
            }
        });
    }

    /** A customer writes in encrypted Chat, which reaches whoever is subscribed to chat.received, and says who wrote. */
    public synchronized void writesEncrypted(Customer customer) {
        String id = newId();
        byte[] body = Json.object("data", Json.object("event_uuid", id, "filter", Json.object("user_id", keys.ownId()),
                "event_type", "chat.received", "tag", "chat", "payload", Json.object("id", UUID.randomUUID().toString(),
                "conversation_id", customer.id() + ":" + keys.ownId(), "sender_id", customer.id(),
                "created_at_msec", String.valueOf(System.currentTimeMillis()), "conversation_key_version",
                "1768236281331", "encoded_event", "CwABAAAA"))).toString().getBytes(StandardCharsets.UTF_8);
        List<String> urls = webhook.isEmpty() ? registrations.urls("chat.received") : List.of(webhook);
        urls.forEach(url -> courier.deliver(customer.id(), Duration.ofSeconds(10), retryDelays, new Courier.Errand() {
            @Override
            public HttpRequest request(int attempt) {
                return posting(actual(url), body, signed(body)).build();
            }

            @Override
            public boolean taken(Posted answer, boolean lastAttempt) {
                return answer.status() == 200;
            }
        }));
    }

    private static Duration timeout(Envelope envelope) {
        return Duration.ofSeconds(envelope == Envelope.ACCOUNT_ACTIVITY ? 3 : 10);
    }

    /** Whether a webhook with this event was answered 200. */
    public synchronized boolean delivered(String eventId) {
        return delivered.contains(eventId);
    }

    /** Posts this body to the webhook with the right signature and waits for the answer. */
    public Posted post(String rawJson) {
        byte[] body = rawJson.getBytes(StandardCharsets.UTF_8);
        return post(body, signed(body));
    }

    /** Posts these bytes to the webhook with these headers and no others. */
    public Posted post(byte[] body, Map<String, String> headers) {
        return ask(posting(webhookUrl(), body, headers));
    }

    /** The value of x-twitter-webhooks-signature. */
    public String sign(byte[] body) {
        return Signatures.xWebhook(body, keys.consumerSecret());
    }

    private Map<String, String> signed(byte[] body) {
        Map<String, String> headers = new LinkedHashMap<>();
        headers.put("Content-Type", "application/json");
        headers.put("x-twitter-webhooks-signature", sign(body));
        if (!keys.clientSecret().isEmpty()) {
            headers.put("x-twitter-webhooks-signature-OAuth2", Signatures.xWebhook(body, keys.clientSecret()));
        }
        return headers;
    }

    /** The challenge-response check, as a GET with this token. */
    public Posted challenge(String crcToken) {
        String question = webhookUrl() + (webhookUrl().contains("?") ? "&" : "?") + "crc_token=" + Form.encode(crcToken);
        return ask(HttpRequest.newBuilder(URI.create(question)));
    }

    /** Challenges a webhook as before it is registered; why it fails, in X's words, or empty when it holds. */
    Optional<String> challengeFailure(String url, Duration patience, boolean withNonce) {
        String token = UUID.randomUUID().toString();
        String query = "crc_token=" + token + (withNonce ? "&nonce=" + UUID.randomUUID() : "");
        URI question = URI.create(actual(url) + (url.contains("?") ? "&" : "?") + query);
        Posted answer = courier.ask(HttpRequest.newBuilder(question)
                .header("x-twitter-webhooks-signature", sign(query.getBytes(StandardCharsets.UTF_8))).build(), patience).join();
        if (answer.status() == 0 && answer.body().contains("TimeoutException")) {
            return Optional.of("High latency on CRC GET request. Your webhook should respond in less than "
                    + patience.toSeconds() + " seconds.");
        }
        if (answer.status() != 200) {
            return Optional.of("Non-200 response code during CRC GET request (i.e. 404, 500, etc).");
        }
        return answers(token, answer) ? Optional.empty()
                : Optional.of("Webhook URL does not meet the requirements. Invalid CRC token or json response format.");
    }

    private boolean answers(String token, Posted answer) {
        String secret = keys.clientSecret().isEmpty() ? keys.consumerSecret() : keys.clientSecret();
        try {
            return Json.parse(answer.body()).path("response_token").asText()
                    .equals(Signatures.xWebhook(token.getBytes(StandardCharsets.UTF_8), secret));
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    /** Whether the webhook passes the check; the key is the client secret when there is one, else the consumer secret. */
    public boolean challengeHolds() {
        String token = UUID.randomUUID().toString();
        Posted answer = challenge(token);
        return answer.status() == 200 && answers(token, answer);
    }

    private String webhookUrl() {
        String direct;
        synchronized (this) {
            direct = webhook;
        }
        return actual(direct.isEmpty() ? registrations.webhooks().stream().findFirst().map(Registrations.Webhook::url).orElse("") : direct);
    }

    private synchronized String actual(String url) {
        return actualBases.entrySet().stream().filter(base -> url.startsWith(base.getKey())).findFirst()
                .map(base -> base.getValue() + url.substring(base.getKey().length())).orElse(url);
    }

    // The two APIs: what the bridge sends, judged and carried out.

    @Override
    synchronized Map<String, String> standingHeaders(Request request) {
        Map<String, String> headers = new LinkedHashMap<>();
        limitsOf(request).stream().filter(limit -> limit != unlimited).forEach(limit -> headers.putAll(limit.headers()));
        return headers;
    }

    private List<RateLimit> limitsOf(Request request) {
        return switch (request.operation()) {
            case SEND_1, SEND_2 -> List.of(sends, sendsOfADay);
            case LIST_1 -> List.of(lists1);
            case LIST_2, ALL_2 -> List.of(lists2);
            case EVENT_2 -> List.of(events2);
            default -> uploads.limitsOf(request);
        };
    }

    @Override
    Optional<Upload> upload(Request head, InputStream body) throws IOException {
        return XUploads.read(head, body);
    }

    @Override
    Reply answer(Request request) {
        if (media.takes(request)) {
            return media.answer(request);
        }
        if (tokens.takes(request)) {
            return tokens.answer(request);
        }
        Reply reply = registrations.takes(request) ? registrations.answer(request) : answerOfUsers(request);
        Map<String, String> headers = new LinkedHashMap<>(reply.headers());
        if (request.header("Authorization").startsWith("OAuth ")) {
            headers.put("x-access-level", accessLevel());
        }
        return reply.with(headers);
    }

    private Reply answerOfUsers(Request request) {
        return uploads.takes(request) ? uploads.answer(request) : answerOfMessages(request);
    }

    synchronized boolean mayDirectMessages() {
        return accessLevel.equals(ALL_ACCESS);
    }

    private synchronized String accessLevel() {
        return accessLevel;
    }

    /** Refuses a request of an app that may not see Direct Messages, in the words of the API that was asked. */
    void mayReadDirectMessages(Request request) {
        String level = accessLevel();
        if (!level.equals(ALL_ACCESS)) {
            Refused refused = request.path().startsWith("/1.1/")
                    ? refused(request, 403, 93, "This application is not allowed to access or delete your direct messages.")
                    : Registrations.problem(403, "Forbidden", "https://api.twitter.com/2/problems/oauth1-permissions",
                            "Your client app is not configured with the appropriate oauth1 app permissions for this endpoint.", false);
            Map<String, String> headers = new LinkedHashMap<>(refused.reply().headers());
            headers.put("x-access-level", level);
            throw new Refused(new Reply(403, headers, refused.reply().body()), refused.getMessage(), false);
        }
    }

    private synchronized Reply answerOfMessages(Request request) {
        boolean me = request.operation().equals(ME_2);
        boolean old = request.path().startsWith("/1.1/");
        boolean byKeys = request.header("Authorization").startsWith("OAuth ");
        Registrations.Caller caller = registrations.caller(request);
        if (caller == Registrations.Caller.APP || old && !byKeys) {
            throw Registrations.unsupported(caller, List.of(Registrations.Caller.USER_1), true);
        }
        if (!byKeys) {
            tokens.require(request, scopes(request.operation()));
        } else if (!me) {
            mayReadDirectMessages(request);
        }
        if (!limitsOf(request).stream().allMatch(RateLimit::spend)) {
            throw refused(request, 429, 88, "Rate limit exceeded");
        }
        return switch (request.operation()) {
            case SEND_1 -> send1(request);
            case LIST_1 -> list1(request);
            case SEND_2 -> send2(request);
            case LIST_2, ALL_2 -> list2(request);
            case EVENT_2 -> event2(request);
            case ME_2 -> me2(request);
            case KEYS_2 -> keys2(request);
            default -> throw refused(request, 404, 34, "Sorry, that page does not exist.");
        };
    }

    /** What an OAuth 2.0 token must allow (OpenAPI document 2.167, security). */
    private static String[] scopes(String operation) {
        return switch (operation) {
            case SEND_2 -> new String[] {"dm.write", "tweet.read", "users.read"};
            case ME_2 -> new String[] {"tweet.read", "users.read"};
            default -> new String[] {"dm.read", "tweet.read", "users.read"};
        };
    }

    private Reply send1(Request request) {
        JsonNode event = fields(request, fields(request, body(request), Set.of("event"), Set.of()).path("event"),
                Set.of("type", "message_create"), Set.of());
        require(request, event.path("type").asText().equals("message_create"), 214, "event.type must be message_create.");
        JsonNode create = fields(request, event.path("message_create"), Set.of("target", "message_data"), Set.of("custom_profile_id"));
        JsonNode data = fields(request, create.path("message_data"), Set.of("text"), Set.of("quick_reply", "ctas", "attachment"));
        String recipient = fields(request, create.path("target"), Set.of("recipient_id"), Set.of()).path("recipient_id").asText();
        require(request, recipient.matches("\\d{1,19}"), 214, "recipient_id: '" + recipient + "' is not a valid Long");
        String text = text(request, data, "text", 0, Integer.MAX_VALUE);
        if (text.codePointCount(0, text.length()) > LONGEST_TEXT) {
            throw refused(request, 403, 354, "The text of your Direct Message is over the max character limit.");
        }
        Optional<XUploads.Attached> attached = Optional.empty();
        if (data.has("attachment")) {
            JsonNode attachment = fields(request, data.path("attachment"), Set.of("type", "media"), Set.of());
            require(request, attachment.path("type").asText().equals("media"), 214, "attachment.type must be media.");
            attached = Optional.of(uploads.usable(request, mediaId(request, attachment.path("media"), "id")));
        }
        require(request, !text.isEmpty() || attached.isPresent(), 38, "text parameter is missing.");
        List<Customer.QuickReplyOption> options = data.has("quick_reply") ? options(request, data.path("quick_reply")) : List.of();
        List<Customer.Button> buttons = data.has("ctas") ? buttons(request, data.path("ctas")) : List.of();
        Customer customer = customers.get(recipient);
        if (customer == null) {
            throw refused(request, 404, 50, "User not found.");
        }
        if (customer.blocks()) {
            throw refused(request, 403, 349, "You cannot send messages to this user.");
        }
        refuseRepetition(request, customer, text, attached);
        DirectMessage message = arrive(customer, text, options, buttons, data, attached);
        return new Reply(200, Map.of(), Json.object("event", message.event()).toString());
    }

    private Reply send2(Request request) {
        String recipient = request.variables().get("participant_id");
        require(request, recipient.matches("\\d{1,19}"), 214, "participant_id must be up to 19 digits.");
        JsonNode body = fields(request, body(request), Set.of(), Set.of("text", "attachments"));
        require(request, !body.isEmpty(), 214, "There must be text or attachments.");
        String text = text(request, body, "text", body.has("text") ? 1 : 0, LONGEST_TEXT);
        Optional<XUploads.Attached> attached = Optional.empty();
        if (body.has("attachments")) {
            require(request, body.path("attachments").size() == 1 && body.path("attachments").isArray(), 214,
                    "attachments must be exactly one.");
            String id = mediaId(request, body.path("attachments").path(0), "media_id");
            attached = Optional.of(uploads.usable(request, id));
        }
        Customer customer = customers.get(recipient);
        if (customer == null) {
            throw refused(request, 400, 50, "participant_id: there is no such user.");
        }
        if (customer.blocks()) {
            throw refused(request, 403, 349, "You do not have permission to DM one or more participants.");
        }
        refuseRepetition(request, customer, text, attached);
        DirectMessage message = arrive(customer, text, List.of(), List.of(), Json.object(), attached);
        return new Reply(201, Map.of(), Json.object("data", Json.object("dm_conversation_id", conversation(customer.id()),
                "dm_event_id", message.id())).toString());
    }

    private static String mediaId(Request request, JsonNode attached, String name) {
        JsonNode id = fields(request, attached, Set.of(name), Set.of()).path(name);
        require(request, id.isTextual() && id.asText().matches("\\d{1,19}"), 214, name
                + " must be a string of up to 19 digits.");
        return id.asText();
    }

    /** What has a medium is never the same: X compares texts. */
    private void refuseRepetition(Request request, Customer customer, String text,
            Optional<XUploads.Attached> attached) {
        Instant since = Instant.now().minus(repetition);
        boolean said = customer.inbox().stream()
                .anyMatch(message -> message.at().isAfter(since) && message.text().equals(text));
        if (attached.isEmpty() && said) {
            throw refused(request, 403, 151, "There was an error sending your message: Whoops! You already said that.");
        }
    }

    private String conversation(String customer) {
        boolean smaller = Long.parseLong(customer) < Long.parseLong(keys.ownId());
        return smaller ? customer + "-" + keys.ownId() : keys.ownId() + "-" + customer;
    }

    private DirectMessage arrive(Customer customer, String text, List<Customer.QuickReplyOption> options, List<Customer.Button> buttons,
            JsonNode sent, Optional<XUploads.Attached> attached) {
        String id = newId();
        ObjectNode attachment = attached.map(one -> media.attachment(id, one.id(), one.kind(), List.of(one.file())))
                .orElseGet(Json::object);
        ObjectNode data = attached.isPresent() ? withMedia(text.strip(), id, attachment)
                : messageData(text.strip(), List.of());
        attached.ifPresent(one -> {
            data.set("attachment", attachment);
            uploads.used(one.id());
        });
        if (sent.has("quick_reply")) {
            data.set("quick_reply", sent.path("quick_reply"));
        }
        if (sent.has("ctas")) {
            sent.path("ctas").forEach(button -> ((ObjectNode) button).put("tco_url", shortLink()));
            data.set("ctas", sent.path("ctas"));
        }
        DirectMessage message = remembered(id, keys.ownId(), customer.id(), customer.id(), data);
        customer.receive(new Customer.Received(id, text, List.copyOf(options), List.copyOf(buttons), message.at(),
                attached.map(XUploads.Attached::file)));
        if (echoes) {
            deliver(message, customer);
        }
        return message;
    }

    private Reply list1(Request request) {
        Form query = query(request, Set.of("count", "cursor"));
        int count = number(request, query, "count", 20, 50);
        List<DirectMessage> page = newest(message -> true, query.first("cursor"), count + 1);
        ObjectNode answer = Json.object("events", Json.array(page.stream().limit(count).map(DirectMessage::event).toList()),
                "apps", Json.object(APP_ID, Json.object("id", APP_ID, "name", "Flex Bridge", "url", "https://example.com")));
        if (page.size() > count) {
            answer.put("next_cursor", page.get(count - 1).id());
        }
        return new Reply(200, Map.of(), answer.toString());
    }

    private Reply list2(Request request) {
        Form query = query(request, Set.of("max_results", "pagination_token", "event_types", "dm_event.fields", "expansions",
                "user.fields", "post.fields", "media.fields"));
        int count = number(request, query, "max_results", 100, 100);
        Set<String> types = listed(request, query, "event_types", Set.of("MessageCreate", "ParticipantsJoin", "ParticipantsLeave"));
        Shown shown = shown(request, query);
        String customer = request.variables().getOrDefault("participant_id", "");
        boolean messages = types.isEmpty() || types.contains("MessageCreate");
        Predicate<DirectMessage> asked = message -> messages && (customer.isEmpty() || message.other().equals(customer));
        List<DirectMessage> page = newest(asked, query.first("pagination_token"), count + 1);
        List<ObjectNode> data = page.stream().limit(count).map(message -> event2(message).retain(shown.fields()))
                .toList();
        ObjectNode meta = Json.object("result_count", data.size());
        if (page.size() > count) {
            meta.put("next_token", page.get(count - 1).id());
        }
        ObjectNode answer = data.isEmpty() ? Json.object("meta", meta) : Json.object("data", Json.array(data), "meta", meta);
        include(answer, shown, page.stream().limit(count).toList());
        eventsRead += data.size();
        return new Reply(200, Map.of(), answer.toString());
    }

    /** What of an event, and of its media, is asked for. */
    private record Shown(Set<String> fields, Set<String> expansions, Set<String> media) { }

    private static Shown shown(Request request, Form query) {
        // The OpenAPI document leaves sender_id out of the fields and has it among the expansions only; other pages
        // show it as a field.
        Set<String> fields = new HashSet<>(listed(request, query, "dm_event.fields", Set.of("attachments", "created_at",
                "dm_conversation_id", "entities", "event_type", "id", "text", "sender_id", "participant_ids")));
        Set<String> expansions = listed(request, query, "expansions", Set.of("attachments.media_keys",
                "participant_ids", "referenced_posts", "sender_id"));
        Set<String> media = new HashSet<>(listed(request, query, "media.fields", Set.of("alt_text", "duration_ms",
                "height", "media_key", "preview_image_url", "public_metrics", "type", "url", "variants", "width")));
        media.addAll(Set.of("media_key", "type"));
        fields.addAll(Set.of("id", "event_type", "text"));
        expansions.forEach(expansion -> fields.add(expansion.split("\\.")[0]));
        return new Shown(fields, expansions, media);
    }

    private void include(ObjectNode answer, Shown shown, List<DirectMessage> messages) {
        List<ObjectNode> users = messages.stream().map(DirectMessage::sender).distinct().filter(customers::containsKey)
                .map(id -> Json.object("id", id, "name", customers.get(id).name(), "username", customers.get(id).handle())).toList();
        if (shown.expansions().contains("sender_id") && !users.isEmpty()) {
            answer.set("includes", Json.object("users", Json.array(users)));
        }
        List<ObjectNode> found = messages.stream().flatMap(message -> XMedia.media2(message.data()).stream())
                .map(one -> one.retain(shown.media())).toList();
        if (shown.expansions().contains("attachments.media_keys") && !found.isEmpty()) {
            answer.withObject("/includes").set("media", Json.array(found));
        }
    }

    /** One event by its id; of one that is not there X says so in {@code errors}, with status 200. */
    private Reply event2(Request request) {
        Shown shown = shown(request, query(request, Set.of("dm_event.fields", "expansions", "user.fields",
                "post.fields", "media.fields")));
        String id = request.variables().get("event_id");
        require(request, id.matches("\\d{1,19}"), 214, "event_id must be up to 19 digits.");
        List<DirectMessage> found = history.stream().filter(message -> message.id().equals(id)).toList();
        ObjectNode answer = Json.object("errors", List.of(Json.object("value", id, "title", "Not Found Error",
                "detail", "Could not find event with event_id: [" + id + "].", "resource_type", "dm_event",
                "parameter", "event_id", "resource_id", id,
                "type", "https://api.twitter.com/2/problems/resource-not-found")));
        if (!found.isEmpty()) {
            answer = Json.object("data", event2(found.get(0)).retain(shown.fields()));
        }
        include(answer, shown, found);
        return new Reply(200, Map.of(), answer.toString());
    }

    private ObjectNode event2(DirectMessage message) {
        List<ObjectNode> urls = new ArrayList<>();
        message.data().path("entities").path("urls").forEach(url -> urls.add(Json.object("start", url.path("indices").path(0),
                "end", url.path("indices").path(1), "url", url.path("url"), "expanded_url", url.path("expanded_url"),
                "display_url", url.path("display_url"))));
        ObjectNode event = Json.object("id", message.id(), "event_type", "MessageCreate",
                "text", message.data().path("text"), "sender_id", message.sender(), "created_at", message.at().toString(), "dm_conversation_id", conversation(message.other()),
                "participant_ids", List.of(keys.ownId(), message.other()), "entities", Json.object("urls", Json.array(urls)));
        XMedia.media2(message.data()).ifPresent(one -> event.set("attachments",
                Json.object("media_keys", List.of(one.path("media_key").asText()))));
        return event;
    }

    /** Newest first, at most 30 days old, only those before the cursor's, and none that is not shown yet. */
    private List<DirectMessage> newest(Predicate<DirectMessage> asked, String cursor, int count) {
        lists++;
        List<DirectMessage> page = new ArrayList<>();
        Instant oldest = Instant.now().minus(Duration.ofDays(30));
        for (int i = history.size() - 1; i >= 0 && page.size() < count; i--) {
            DirectMessage message = history.get(i);
            boolean before = cursor.isEmpty() || message.id().compareTo(cursor) < 0;
            if (before && asked.test(message) && message.at().isAfter(oldest) && message.lists() + lag < lists) {
                page.add(message);
            }
        }
        return page;
    }

    static Instant seconds() {
        return Instant.now().truncatedTo(ChronoUnit.SECONDS);
    }

    private Reply keys2(Request request) {
        query(request, Set.of("public_key.fields"));
        String id = request.variables().get("id");
        require(request, id.equals(keys.ownId()), 214, "the sandbox knows the keys of its own account only.");
        if (!encrypts) {
            return new Reply(200, Map.of(), Json.object("meta", Json.object("result_count", 0)).toString());
        }
        ObjectNode key = Json.object("public_key_version", "1768236281331", "public_key", "MFkwEwYHKoZIzj0CAQYIKoZI");
        return new Reply(200, Map.of(), Json.object("data", List.of(key), "meta", Json.object("result_count", 1))
                .toString());
    }

    private Reply me2(Request request) {
        query(request, Set.of("user.fields", "expansions", "post.fields"));
        return new Reply(200, Map.of(), Json.object("data", Json.object("id", keys.ownId(), "name", "Support", "username", "support_co"))
                .toString());
    }
}
