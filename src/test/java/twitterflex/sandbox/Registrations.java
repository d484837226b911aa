package twitterflex.sandbox;

import static twitterflex.sandbox.DirectMessageRules.body;
import static twitterflex.sandbox.DirectMessageRules.fields;
import static twitterflex.sandbox.DirectMessageRules.number;
import static twitterflex.sandbox.DirectMessageRules.query;
import static twitterflex.sandbox.DirectMessageRules.require;
import static twitterflex.sandbox.DirectMessageRules.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import twitterflex.sandbox.SimulatedService.Refused;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/**
 * What an X app has registered: webhooks, and subscriptions of both kinds, X Activity's (one per event type) and Account Activity's
 * (one per account, over API 2 or 1.1 Enterprise; 1.1 Premium ended in 2023). A webhook is only taken after a real challenge.
 */
public final class Registrations {

    /** A webhook as X lists it; an invalid one gets no events until it is validated again. */
    public record Webhook(String id, String url, boolean valid, Instant created) { }

    /** A subscription of the X Activity API; tag and webhook may be empty. */
    public record Subscription(String id, String eventType, String userId, String tag, String webhookId, Instant created) { }

    /** Where an event goes and in what shape. */
    record Target(String url, SimulatedX.Envelope envelope, String tag) { }

    enum Caller { APP, USER_1, USER_2 }

    private static final String TOKEN = "POST /oauth2/token";
    private static final String WEBHOOKS = " /2/webhooks";
    private static final String WEBHOOK = WEBHOOKS + "/{webhook_id}";
    private static final String ACTIVITY = " /2/activity/subscriptions";
    private static final String ACTIVITY_ONE = ACTIVITY + "/{subscription_id}";
    private static final String ACCOUNT = " /2/account_activity/webhooks/{webhook_id}/subscriptions";
    private static final String ACCOUNT_COUNT = "GET /2/account_activity/subscriptions/count";
    private static final String WEBHOOKS_1 = " /1.1/account_activity/webhooks.json";
    private static final String WEBHOOK_1 = " /1.1/account_activity/webhooks/{webhook_id}.json";
    private static final String ACCOUNT_1 = " /1.1/account_activity/webhooks/{webhook_id}/subscriptions";
    private static final String ACCOUNT_COUNT_1 = "GET /1.1/account_activity/subscriptions/count.json";

    private static final Set<Caller> APP = EnumSet.of(Caller.APP);
    private static final Set<Caller> USER_1 = EnumSet.of(Caller.USER_1);
    private static final Set<Caller> USER = EnumSet.of(Caller.USER_1, Caller.USER_2);
    private static final Set<Caller> APP_OR_USER_1 = EnumSet.of(Caller.APP, Caller.USER_1);

    /** Who may call what: the security lists of the OpenAPI document, and the tables of the 1.1 reference. */
    private static final Map<String, Set<Caller>> CALLERS = Map.ofEntries(
            Map.entry("GET" + WEBHOOKS, APP), Map.entry("POST" + WEBHOOKS, APP_OR_USER_1),
            Map.entry("PUT" + WEBHOOK, APP_OR_USER_1), Map.entry("DELETE" + WEBHOOK, APP_OR_USER_1),
            Map.entry("GET" + ACTIVITY, EnumSet.allOf(Caller.class)), Map.entry("POST" + ACTIVITY, USER),
            Map.entry("DELETE" + ACTIVITY, APP), Map.entry("PUT" + ACTIVITY_ONE, APP), Map.entry("DELETE" + ACTIVITY_ONE, APP),
            Map.entry("POST" + ACCOUNT + "/all", USER), Map.entry("GET" + ACCOUNT + "/all", USER),
            Map.entry("GET" + ACCOUNT + "/all/list", APP), Map.entry("DELETE" + ACCOUNT + "/{user_id}/all", APP),
            Map.entry(ACCOUNT_COUNT, APP), Map.entry("POST" + WEBHOOKS_1, USER_1), Map.entry("GET" + WEBHOOKS_1, APP),
            Map.entry("PUT" + WEBHOOK_1, USER_1), Map.entry("DELETE" + WEBHOOK_1, USER_1),
            Map.entry("POST" + ACCOUNT_1 + "/all.json", USER_1), Map.entry("GET" + ACCOUNT_1 + "/all.json", USER_1),
            Map.entry("GET" + ACCOUNT_1 + "/all/list.json", APP), Map.entry("DELETE" + ACCOUNT_1 + "/{user_id}/all.json", APP),
            Map.entry(ACCOUNT_COUNT_1, APP));

    private static final Set<String> PRIVATE_EVENTS = Set.of("dm.received", "dm.sent", "dm.read", "dm.indicate_typing", "oauth.revoke",
            "chat.received");
    private static final int LONGEST_URL = 200;
    private static final int LONGEST_TAG = 200;

    private final SimulatedX x;
    private final SimulatedX.Keys keys;
    private final OAuthCheck oauth;
    private final XTokens oauth2;
    private final Map<String, Webhook> webhooks = new LinkedHashMap<>();
    private final Map<String, Subscription> subscriptions = new LinkedHashMap<>();
    private final Set<String> accountActivity = new LinkedHashSet<>();
    private int mostWebhooks = 1;
    private int mostSubscriptions = 1500;
    private int mostAccounts = 3;
    private String userToken = "";
    private boolean userTokenOnly;
    private int tokens;
    private long lastId = 1146654567674912768L;

    Registrations(SimulatedX x, SimulatedX.Keys keys, OAuthCheck oauth, XTokens oauth2) {
        this.oauth2 = oauth2;
        this.x = x;
        this.keys = keys;
        this.oauth = oauth;
    }

    static List<String> operations() {
        return Stream.concat(Stream.of(TOKEN), CALLERS.keySet().stream().sorted()).toList();
    }

    // What a test sets.

    /** Pay-per-use has 1 webhook, 1,500 subscriptions of X Activity and 3 of Account Activity, which are the limits at first. */
    public synchronized void limits(int webhooks, int activitySubscriptions, int accountSubscriptions) {
        mostWebhooks = webhooks;
        mostSubscriptions = activitySubscriptions;
        mostAccounts = accountSubscriptions;
    }

    /** An OAuth 2.0 token of the support account with dm.read and the other scopes; none at first. */
    public synchronized void userToken(String token) {
        userToken = token;
    }

    /** Whether private events need an OAuth 2.0 user token; at first OAuth 1.0a will do (X's documents disagree). */
    public synchronized void privateEventsNeedOAuth2(boolean needed) {
        userTokenOnly = needed;
    }

    /** The app's bearer tokens so far are good for nothing; a new one can be had. */
    public synchronized void revokeAppToken() {
        tokens++;
    }

    /** A webhook that is there already, valid, without a challenge; returns its id. */
    public synchronized String webhook(String url) {
        return kept(url).id();
    }

    /** A subscription of X Activity that is there already; returns its id. */
    public synchronized String subscription(String eventType, String tag, String webhookId) {
        return kept(eventType, tag, webhookId).id();
    }

    /** A subscription of another account of the same app; returns its id. */
    public synchronized String subscriptionOf(String userId, String eventType, String webhookId) {
        Subscription made = new Subscription(String.valueOf(++lastId), eventType, userId, "", webhookId, SimulatedX.seconds());
        subscriptions.put(made.id(), made);
        return made.id();
    }

    /** Makes the support account subscribed to Account Activity on that webhook. */
    public synchronized void accountSubscription(String webhookId) {
        if (!webhooks.containsKey(webhookId)) {
            throw new IllegalArgumentException("there is no webhook " + webhookId);
        }
        accountActivity.add(webhookId);
    }

    /** Every webhook becomes invalid, as after a failed challenge. */
    public synchronized void invalidateWebhooks() {
        webhooks.replaceAll((id, webhook) -> new Webhook(id, webhook.url(), false, webhook.created()));
    }

    /** The account's subscriptions are gone, as when it revokes the app. */
    public synchronized void unsubscribe() {
        subscriptions.clear();
        accountActivity.clear();
    }

    /** A webhook is gone, with its subscriptions. */
    public synchronized void forget(String id) {
        delete(webhooks.get(id));
    }

    // What a test sees.

    public synchronized List<Webhook> webhooks() {
        return List.copyOf(webhooks.values());
    }

    public synchronized List<Subscription> subscriptions() {
        return List.copyOf(subscriptions.values());
    }

    /** The ids of the webhooks to which the support account is subscribed by Account Activity. */
    public synchronized List<String> accountSubscriptions() {
        return List.copyOf(accountActivity);
    }

    /** All of the above: equal before and after means that nothing was changed. */
    public synchronized String snapshot() {
        return webhooks.values() + " " + subscriptions.values() + " " + accountActivity;
    }

    synchronized boolean isUser(String bearer) {
        return !userToken.isEmpty() && bearer.equals("Bearer " + userToken) || oauth2.isUser(bearer);
    }

    /** Refuses an OAuth 2.0 user's token that does not allow this. */
    void mustAllow(Request request, String scope) {
        oauth2.require(request, scope);
    }

    /** Where a Direct Message goes, received or sent. */
    synchronized List<Target> targets(boolean sent) {
        List<Target> targets = new ArrayList<>();
        accountActivity.stream().map(webhooks::get).filter(Webhook::valid)
                .forEach(webhook -> targets.add(new Target(webhook.url(), SimulatedX.Envelope.ACCOUNT_ACTIVITY, "")));
        subscriptions.values().stream().filter(one -> one.eventType().equals(sent ? "dm.sent" : "dm.received"))
                .filter(one -> webhooks.containsKey(one.webhookId()) && webhooks.get(one.webhookId()).valid())
                .forEach(one -> targets.add(new Target(webhooks.get(one.webhookId()).url(), SimulatedX.Envelope.X_ACTIVITY, one.tag())));
        return targets;
    }

    /** Where events of this kind go. */
    synchronized List<String> urls(String event) {
        return subscriptions.values().stream().filter(one -> one.eventType().equals(event))
                .map(one -> webhooks.get(one.webhookId())).filter(one -> one != null && one.valid())
                .map(Webhook::url).toList();
    }

    // The operations.

    boolean takes(Request request) {
        return request.operation().equals(TOKEN) || CALLERS.containsKey(request.operation());
    }

    /** Not synchronized as a whole: a challenge may take ten seconds. */
    Reply answer(Request request) {
        if (request.operation().equals(TOKEN)) {
            return token(request);
        }
        authenticate(request);
        return switch (request.operation()) {
            case "POST" + WEBHOOKS -> create(request, text(request, fields(request, body(request), Set.of("url"), Set.of()), "url", 1,
                    LONGEST_URL));
            case "POST" + WEBHOOKS_1 -> create(request, urlOf(request));
            case "PUT" + WEBHOOK, "PUT" + WEBHOOK_1 -> validate(request);
            default -> quick(request);
        };
    }

    private synchronized Reply quick(Request request) {
        String operation = request.operation();
        return operation.contains(ACTIVITY) ? activity(request)
                : operation.contains("/subscriptions") ? account(request) : webhooks(request);
    }

    private Reply webhooks(Request request) {
        if (request.method().equals("DELETE")) {
            delete(registered(request));
            return old(request) ? new Reply(204, Map.of(), "") : ok(Json.object("data", Json.object("deleted", true)));
        }
        query(request, old(request) ? Set.of() : Set.of("webhook_config.fields"));
        List<ObjectNode> shown = webhooks.values().stream().map(Registrations::shown).toList();
        return old(request) ? new Reply(200, Map.of(), Json.array(shown).toString()) : ok(listed(shown));
    }

    /** API 2 leaves {@code data} out of an empty list. */
    private static ObjectNode listed(List<ObjectNode> shown) {
        ObjectNode meta = Json.object("result_count", shown.size());
        return shown.isEmpty() ? Json.object("meta", meta) : Json.object("data", Json.array(shown), "meta", meta);
    }

    private static ObjectNode shown(Webhook webhook) {
        return Json.object("id", webhook.id(), "url", webhook.url(), "valid", webhook.valid(), "created_at", webhook.created().toString());
    }

    // Who calls.

    /** RFC 6749's client credentials, as X's page on application-only authentication has them. */
    private synchronized Reply token(Request request) {
        String form = request.header("Content-Type").split(";")[0].trim();
        if (!form.equals("application/x-www-form-urlencoded") || !request.text().equals("grant_type=client_credentials")) {
            throw new Refused(new Reply(403, Map.of(), Json.object("errors", List.of(Json.object("code", 170,
                    "message", "Missing required parameter: grant_type", "label", "forbidden_missing_parameter"))).toString()),
                    "the body must be the form grant_type=client_credentials", true);
        }
        String known = Signatures.percentEncoded(keys.consumerKey()) + ":" + Signatures.percentEncoded(keys.consumerSecret());
        String basic = "Basic " + Base64.getEncoder().encodeToString(known.getBytes(StandardCharsets.UTF_8));
        if (!request.header("Authorization").equals(basic)) {
            throw new Refused(new Reply(403, Map.of(), Json.object("errors", List.of(Json.object("code", 99,
                    "message", "Unable to verify your credentials", "label", "authenticity_token_error"))).toString()),
                    "403, 99: Unable to verify your credentials", true);
        }
        return ok(Json.object("token_type", "bearer", "access_token", appToken(tokens)));
    }

    /** Like X's own tokens it has escapes in it, and must be sent back as it came. */
    private static String appToken(int number) {
        return "AAAAAAAAAAAAAAAAAAAAAMLheAAAAAAA0%2BSandbox" + number + "%3D";
    }

    private void authenticate(Request request) {
        Caller caller = caller(request);
        boolean refusedByChoice;
        synchronized (this) {
            refusedByChoice = userTokenOnly && caller == Caller.USER_1 && request.operation().equals("POST" + ACTIVITY);
        }
        if (!refusedByChoice && CALLERS.get(request.operation()).contains(caller)) {
            if (caller == Caller.USER_1 && request.operation().contains("/subscriptions")) {
                x.mayReadDirectMessages(request);
            }
            if (caller == Caller.USER_2 && request.operation().contains("/subscriptions")) {
                oauth2.require(request, "dm.read", "tweet.read", "users.read");
            }
            return;
        }
        if (old(request)) {
            throw DirectMessageRules.refused(request, 403, 220, "Your credentials do not allow access to this resource.");
        }
        List<Caller> supported = CALLERS.get(request.operation()).stream()
                .filter(one -> !refusedByChoice || one != Caller.USER_1).toList();
        throw unsupported(caller, supported, !refusedByChoice);
    }

    /** The problem of API 2 for a caller who is known but not of a kind that may. */
    static Refused unsupported(Caller caller, List<Caller> supported, boolean violation) {
        Map<Caller, String> names = Map.of(Caller.APP, "OAuth 2.0 Application-Only", Caller.USER_1, "OAuth 1.0a User Context",
                Caller.USER_2, "OAuth 2.0 User Context");
        return problem(403, "Unsupported Authentication",
                "https://api.twitter.com/2/problems/unsupported-authentication",
                "Authenticating with " + names.get(caller) + " is forbidden for this endpoint.  Supported authentication types are "
                        + supported.stream().map(names::get).toList() + ".", violation);
    }

    Caller caller(Request request) {
        String header = request.header("Authorization");
        if (!header.startsWith("Bearer ")) {
            oauth.check(request);
            return Caller.USER_1;
        }
        synchronized (this) {
            if (header.equals("Bearer " + appToken(tokens))) {
                return Caller.APP;
            }
            if (isUser(header)) {
                return Caller.USER_2;
            }
            boolean revoked = Stream.iterate(0, number -> number < tokens, number -> number + 1)
                    .anyMatch(number -> header.equals("Bearer " + appToken(number)));
            Refused refused = DirectMessageRules.refused(request, 401, 89, "Invalid or expired token.");
            throw new Refused(refused.reply(), "401: an unknown bearer token", !revoked && !oauth2.isToken(header));
        }
    }

    // Webhooks.

    private static String urlOf(Request request) {
        Form given = request.query().isEmpty() ? Form.parse(request.text()) : query(request, Set.of("url"));
        require(request, given.has("url"), 38, "url parameter is missing.");
        return given.first("url");
    }

    private Reply create(Request request, String url) {
        if (!acceptable(url)) {
            throw unfit(request, "UrlValidationFailed", "Webhook URL does not meet the requirements.");
        }
        checkRoom(request, url);
        challenge(request, url);
        ObjectNode webhook;
        synchronized (this) {
            checkRoom(request, url); // another request may have been quicker
            webhook = shown(kept(url));
        }
        return ok(old(request) ? webhook : Json.object("data", webhook));
    }

    private synchronized void checkRoom(Request request, String url) {
        if (webhooks.values().stream().anyMatch(webhook -> webhook.url().equals(url))) {
            throw unfit(request, "DuplicateUrlFailed", "Webhook URL is registered already.");
        }
        if (webhooks.size() >= mostWebhooks) {
            throw unfit(request, "WebhookLimitExceeded", "Too many resources already created.");
        }
    }

    /** https, no port, at most 200 characters; the sandbox takes loopback as it comes. */
    private static boolean acceptable(String url) {
        if (!DirectMessageRules.isWebAddress(url) || url.length() > LONGEST_URL) {
            return false;
        }
        URI address = URI.create(url);
        boolean loopback = Set.of("127.0.0.1", "localhost").contains(address.getHost());
        return loopback || address.getScheme().equals("https") && address.getPort() == -1;
    }

    private Reply validate(Request request) {
        Webhook webhook;
        synchronized (this) {
            webhook = registered(request);
        }
        challenge(request, webhook.url());
        synchronized (this) {
            webhooks.replace(webhook.id(), new Webhook(webhook.id(), webhook.url(), true, webhook.created()));
        }
        return old(request) ? new Reply(204, Map.of(), "") : ok(Json.object("data", Json.object("valid", true)));
    }

    private void challenge(Request request, String url) {
        Duration patience = Duration.ofSeconds(old(request) ? 3 : 10);
        x.challengeFailure(url, patience, old(request)).ifPresent(failure -> {
            synchronized (this) {
                webhooks.replaceAll((id, webhook) -> webhook.url().equals(url)
                        ? new Webhook(id, url, false, webhook.created()) : webhook);
            }
            throw unfit(request, "CrcValidationFailed", failure);
        });
    }

    private Webhook registered(Request request) {
        Webhook webhook = webhooks.get(request.variables().get("webhook_id"));
        if (webhook == null) {
            throw old(request) ? DirectMessageRules.refused(request, 404, 34, "Sorry, that page does not exist.")
                    : unfit(request, "WebhookIdInvalid", "Webhook ID is invalid.");
        }
        return webhook;
    }

    private void delete(Webhook webhook) {
        webhooks.remove(webhook.id());
        accountActivity.remove(webhook.id());
        subscriptions.values().removeIf(one -> one.webhookId().equals(webhook.id()));
    }

    private Webhook kept(String url) {
        Webhook webhook = new Webhook(String.valueOf(++lastId), url, true, SimulatedX.seconds());
        webhooks.put(webhook.id(), webhook);
        return webhook;
    }

    // X Activity.

    private Reply activity(Request request) {
        return switch (request.operation()) {
            case "GET" + ACTIVITY -> list(request);
            case "POST" + ACTIVITY -> subscribe(request);
            case "PUT" + ACTIVITY_ONE -> update(request);
            case "DELETE" + ACTIVITY_ONE -> {
                subscriptions.remove(subscribed(request, request.variables().get("subscription_id")).id());
                yield ok(Json.object("data", Json.object("deleted", true)));
            }
            default -> unsubscribe(request);
        };
    }

    private Reply list(Request request) {
        Form query = query(request, Set.of("max_results", "pagination_token"));
        int count = number(request, query, "max_results", 1000, 1000);
        String after = query.first("pagination_token").replaceFirst("^0*", "");
        List<Subscription> rest = subscriptions.values().stream()
                .dropWhile(one -> !after.isEmpty() && one.id().compareTo(after) <= 0).toList();
        List<ObjectNode> page = rest.stream().limit(count).map(Registrations::shown).toList();
        ObjectNode answer = listed(page);
        if (rest.size() > count) {
            ((ObjectNode) answer.path("meta")).put("next_token", "0000" + rest.get(count - 1).id());
        }
        return ok(answer);
    }

    private Reply subscribe(Request request) {
        JsonNode body = fields(request, body(request), Set.of("event_type", "filter"), Set.of("tag", "webhook_id"));
        String event = text(request, body, "event_type", 1, LONGEST_TAG);
        require(request, PRIVATE_EVENTS.contains(event), 214, "event_type: the sandbox knows " + PRIVATE_EVENTS + " only.");
        String user = text(request, fields(request, body.path("filter"), Set.of("user_id"), Set.of()), "user_id", 1, 19);
        if (!user.equals(keys.ownId())) {
            throw problem(403, "Forbidden", "about:blank", "The user has not authorized this app for private events.", true);
        }
        String tag = tag(request, body);
        String webhook = webhookOf(request, body, "");
        if (subscriptions.values().stream().anyMatch(one -> one.eventType().equals(event))) {
            throw unfit(request, "DuplicateSubscriptionFailed", "Subscription already exists.");
        }
        if (subscriptions.size() >= mostSubscriptions) {
            throw unfit(request, "SubscriptionLimitExceeded", "Too many subscriptions.");
        }
        return ok(Json.object("data", Json.object("subscription", shown(kept(event, tag, webhook)))));
    }

    private static String tag(Request request, JsonNode body) {
        return text(request, body, "tag", body.has("tag") ? 1 : 0, LONGEST_TAG);
    }

    private String webhookOf(Request request, JsonNode body, String otherwise) {
        if (!body.has("webhook_id")) {
            return otherwise;
        }
        String id = text(request, body, "webhook_id", 1, 19);
        if (!webhooks.containsKey(id)) {
            throw unfit(request, "WebhookIdInvalid", "Webhook ID is invalid.");
        }
        return id;
    }

    private Subscription kept(String eventType, String tag, String webhookId) {
        Subscription made = new Subscription(String.valueOf(++lastId), eventType, keys.ownId(), tag, webhookId, SimulatedX.seconds());
        subscriptions.put(made.id(), made);
        return made;
    }

    private Reply update(Request request) {
        Subscription before = subscribed(request, request.variables().get("subscription_id"));
        JsonNode body = fields(request, body(request), Set.of(), Set.of("tag", "webhook_id"));
        Subscription after = new Subscription(before.id(), before.eventType(), before.userId(),
                body.has("tag") ? tag(request, body) : before.tag(), webhookOf(request, body, before.webhookId()), before.created());
        subscriptions.put(after.id(), after);
        return ok(Json.object("data", Json.object("subscription", shown(after), "total_subscriptions", subscriptions.size())));
    }

    private Subscription subscribed(Request request, String id) {
        if (!subscriptions.containsKey(id)) {
            throw unfit(request, "SubscriptionNotFound", "There is no such subscription.");
        }
        return subscriptions.get(id);
    }

    private Reply unsubscribe(Request request) {
        List<String> ids = Arrays.asList(query(request, Set.of("ids")).first("ids").split(","));
        require(request, ids.size() <= 100 && ids.stream().allMatch(id -> id.matches("\\d{1,19}")), 214, "ids must be 1 to 100 ids.");
        List<ObjectNode> gone = ids.stream().filter(id -> subscriptions.remove(id) != null)
                .map(id -> Json.object("subscription_id", id, "deleted", true)).toList();
        return ok(Json.object("data", Json.array(gone), "meta", Json.object("total_subscriptions", subscriptions.size())));
    }

    private static ObjectNode shown(Subscription subscription) {
        ObjectNode shown = Json.object("subscription_id", subscription.id(), "event_type", subscription.eventType(),
                "filter", Json.object("user_id", subscription.userId()), "created_at", subscription.created().toString(),
                "updated_at", subscription.created().toString());
        Map.of("tag", subscription.tag(), "webhook_id", subscription.webhookId()).forEach((name, value) -> {
            if (!value.isEmpty()) {
                shown.put(name, value);
            }
        });
        return shown;
    }

    // Account Activity.

    private Reply account(Request request) {
        boolean old = old(request);
        if (request.path().contains("/subscriptions/count")) {
            String count = String.valueOf(accountActivity.size());
            ObjectNode data = Json.object("account_name", "sandbox", "provisioned_count", String.valueOf(mostAccounts),
                    "subscriptions_count_all", count, "subscriptions_count_direct_messages", count);
            return ok(old ? data : Json.object("data", data));
        }
        Webhook webhook = registered(request);
        boolean subscribed = accountActivity.contains(webhook.id());
        if (request.path().contains("/all/list")) {
            List<ObjectNode> users = subscribed ? List.of(Json.object("user_id", keys.ownId())) : List.of();
            ObjectNode data = Json.object("webhook_id", webhook.id(), "webhook_url", webhook.url(), "application_id", SimulatedX.APP_ID,
                    "subscriptions", Json.array(users));
            return ok(old ? data : Json.object("data", data));
        }
        return switch (request.method()) {
            case "POST" -> subscribe(request, webhook, subscribed);
            case "DELETE" -> unsubscribe(request, webhook, subscribed);
            default -> old && !subscribed ? new Reply(404, Map.of(), "") : state(request, subscribed);
        };
    }

    private Reply subscribe(Request request, Webhook webhook, boolean already) {
        if (!old(request)) {
            fields(request, body(request), Set.of(), Set.of());
        }
        if (already) {
            throw old(request) ? ordinary(DirectMessageRules.refused(request, 409, 355, "Subscription already exists."))
                    : unfit(request, "DuplicateSubscriptionFailed", "Subscription already exists.");
        }
        if (accountActivity.size() >= mostAccounts) {
            throw unfit(request, "SubscriptionLimitExceeded", "Subscription limit exceeded.");
        }
        accountActivity.add(webhook.id());
        return state(request, true);
    }

    private Reply unsubscribe(Request request, Webhook webhook, boolean subscribed) {
        if (!subscribed || !request.variables().get("user_id").equals(keys.ownId())) {
            throw old(request) ? DirectMessageRules.refused(request, 404, 34, "Sorry, that page does not exist.")
                    : unfit(request, "SubscriptionNotFound", "There is no such subscription.");
        }
        accountActivity.remove(webhook.id());
        return state(request, false);
    }

    private static Reply state(Request request, boolean subscribed) {
        return old(request) ? new Reply(204, Map.of(), "") : ok(Json.object("data", Json.object("subscribed", subscribed)));
    }

    // Answers.

    private static boolean old(Request request) {
        return request.path().startsWith("/1.1/");
    }

    private static Reply ok(ObjectNode body) {
        return new Reply(200, Map.of(), body.toString());
    }

    /** A refusal that a correct client may meet: API 2 gives it a reason's name, 1.1 the code 214. */
    private static Refused unfit(Request request, String reason, String sentence) {
        return ordinary(DirectMessageRules.refused(request, old(request) ? 403 : 400, 214,
                old(request) ? sentence : reason + ": " + sentence));
    }

    private static Refused ordinary(Refused refused) {
        return new Refused(refused.reply(), refused.getMessage(), false);
    }

    static Refused problem(int status, String title, String type, String detail, boolean violation) {
        ObjectNode body = Json.object("title", title, "detail", detail, "type", type, "status", status);
        return new Refused(new Reply(status, Map.of("Content-Type", "application/problem+json"), body.toString()),
                status + ": " + detail, violation);
    }
}
