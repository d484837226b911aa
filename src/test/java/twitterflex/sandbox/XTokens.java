package twitterflex.sandbox;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import twitterflex.sandbox.SimulatedService.Refused;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/**
 * X's OAuth 2.0 for users: the page on which the support account lets the app in, the authorisation code with PKCE, the
 * exchange of an OAuth 1.0a token, and refresh tokens, each of which is good for one time (X, "OAuth 2.0"; RFC 6749 and
 * RFC 7636).
 */
public final class XTokens {

    public static final String CLIENT_ID = "c2FuZGJveC1jbGllbnQ6MTpjaQ";
    public static final Set<String> ALL_SCOPES = Set.of("dm.read", "dm.write", "media.write", "tweet.read", "users.read",
            "offline.access");

    private static final String AUTHORIZE = "GET /i/oauth2/authorize";
    private static final String CONSENT = "POST /i/oauth2/authorize";
    private static final String TOKEN = "POST /2/oauth2/token";
    private static final String EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
    private static final String OAUTH1_TOKEN = "urn:x:params:oauth:token-type:oauth1_token";
    private static final Set<String> KNOWN_SCOPES = Set.of("dm.read", "dm.write", "media.write", "tweet.read",
            "tweet.write", "users.read", "offline.access");

    /** What X gave: an access token with its refresh token, which may be empty. */
    public record Pair(String access, String refresh, Set<String> scopes, Instant until) { }

    private record Code(String redirect, String challenge, Set<String> scopes) { }

    private final SimulatedX x;
    private final SimulatedX.Keys keys;
    private final Map<String, Pair> byAccess = new HashMap<>();
    private final Map<String, Pair> byRefresh = new HashMap<>();
    private final Set<String> used = new HashSet<>();
    private final Map<String, Code> codes = new HashMap<>();
    private final Set<String> callbacks = new HashSet<>();
    private String clientSecret;
    private Duration life = Duration.ofHours(2);
    private boolean exchanges = true;
    private int refreshes;
    private int spentAgain;

    XTokens(SimulatedX x, SimulatedX.Keys keys) {
        this.x = x;
        this.keys = keys;
        clientSecret = keys.clientSecret();
    }

    static List<String> operations() {
        return List.of(AUTHORIZE, CONSENT, TOKEN);
    }

    // What a test sets and sees.

    /** The app is a confidential client: the token endpoint wants HTTP Basic. Without it, a public one. */
    public synchronized void clientSecret(String secret) {
        clientSecret = secret;
    }

    /** A callback address that is entered at X: others are refused. */
    public synchronized void callback(String url) {
        callbacks.add(url);
    }

    /** How long access tokens are good for from now on; two hours at first. */
    public synchronized void life(Duration time) {
        life = time;
    }

    /** Whether X exchanges OAuth 1.0a tokens for this app; it does at first. */
    public synchronized void exchanges(boolean exchanges) {
        this.exchanges = exchanges;
    }

    /** A pair as if the account had let the app in. */
    public synchronized Pair pair(Set<String> scopes) {
        String access = "access-" + UUID.randomUUID();
        String refresh = scopes.contains("offline.access") ? "refresh-" + UUID.randomUUID() : "";
        Pair pair = new Pair(access, refresh, scopes, x.now().plus(life));
        byAccess.put(access, pair);
        if (!refresh.isEmpty()) {
            byRefresh.put(refresh, pair);
        }
        return pair;
    }

    /** Access tokens are good for nothing from now on; they can be renewed. */
    public synchronized void expire() {
        byAccess.clear();
    }

    /** The account has taken the app's access away. */
    public synchronized void revoke() {
        byAccess.clear();
        byRefresh.clear();
    }

    /** How often a token was renewed. */
    public synchronized int refreshes() {
        return refreshes;
    }

    /** How often a refresh token was shown that had been used before. */
    public synchronized int spentAgain() {
        return spentAgain;
    }

    // Who calls.

    synchronized boolean isUser(String bearer) {
        return bearer.startsWith("Bearer ") && good(bearer.substring(7));
    }

    private boolean good(String access) {
        return byAccess.containsKey(access) && byAccess.get(access).until().isAfter(x.now());
    }

    /** Whether this was an access token once: an honest client may show it. */
    synchronized boolean isToken(String bearer) {
        return bearer.startsWith("Bearer access-");
    }

    /** Refuses a token of ours that does not allow this. */
    synchronized void require(Request request, String... scopes) {
        Pair pair = byAccess.get(request.header("Authorization").replaceFirst("^Bearer ", ""));
        if (pair != null && !pair.scopes().containsAll(Set.of(scopes))) {
            throw Registrations.problem(403, "Forbidden", "about:blank", "Forbidden", false);
        }
    }

    // The operations.

    boolean takes(Request request) {
        return operations().contains(request.operation());
    }

    synchronized Reply answer(Request request) {
        return switch (request.operation()) {
            case AUTHORIZE -> page(request);
            case CONSENT -> consent(request);
            default -> token(request);
        };
    }

    /** What the page needs to be shown; X shows "Something went wrong" and no more for anything else. */
    private Form asked(String encoded) {
        Form form = Form.parse(encoded);
        String wrong = "";
        if (!form.first("response_type").equals("code")) {
            wrong = "response_type must be code";
        } else if (!form.first("client_id").equals(CLIENT_ID)) {
            wrong = "unknown client_id";
        } else if (!callbacks.contains(form.first("redirect_uri"))) {
            wrong = "the callback " + form.first("redirect_uri") + " is not entered for this app";
        } else if (!KNOWN_SCOPES.containsAll(List.of(form.first("scope").split(" ")))) {
            wrong = "unknown scope in " + form.first("scope");
        } else if (form.first("state").isEmpty() || form.first("state").length() > 500) {
            wrong = "state must be 1 to 500 characters";
        } else if (!form.first("code_challenge").matches("[\\w-]{43}")
                || !form.first("code_challenge_method").equals("S256")) {
            wrong = "code_challenge must be S256, 43 characters";
        }
        if (!wrong.isEmpty()) {
            boolean notEntered = wrong.startsWith("the callback");
            throw new Refused(new Reply(400, Map.of("Content-Type", "text/html"),
                    "<h1>Something went wrong</h1><p>You weren't able to give access to the App.</p>"), wrong, !notEntered);
        }
        return form;
    }

    private Reply page(Request request) {
        asked(request.query());
        String button = "<form method=post action=\"/i/oauth2/authorize\"><input type=hidden name=asked value=\""
                + Form.encode(request.query()) + "\"><button name=answer value=allow>Authorize app</button>"
                + "<button name=answer value=cancel>Cancel</button></form>";
        return new Reply(200, Map.of("Content-Type", "text/html; charset=utf-8"),
                "<!DOCTYPE html><h1>Flex Bridge wants to access your X account @support_co</h1>" + button);
    }

    private Reply consent(Request request) {
        Form given = Form.parse(request.text());
        Form form = asked(Form.parse("q=" + given.first("asked")).first("q"));
        String back = form.first("redirect_uri") + "?state=" + Form.encode(form.first("state"));
        if (!given.first("answer").equals("allow")) {
            return new Reply(302, Map.of("Location", back + "&error=access_denied"), "");
        }
        String code = "code-" + UUID.randomUUID();
        codes.put(code, new Code(form.first("redirect_uri"), form.first("code_challenge"),
                Set.of(form.first("scope").split(" "))));
        return new Reply(302, Map.of("Location", back + "&code=" + code), "");
    }

    private Reply token(Request request) {
        if (!request.header("Content-Type").startsWith("application/x-www-form-urlencoded")) {
            throw error(400, "invalid_request", "the body must be a form", true);
        }
        Form form = Form.parse(request.text());
        String known = "Basic " + Base64.getEncoder().encodeToString((Signatures.percentEncoded(CLIENT_ID) + ":"
                + Signatures.percentEncoded(clientSecret)).getBytes(StandardCharsets.UTF_8));
        boolean confidential = !clientSecret.isEmpty();
        if (confidential ? !request.header("Authorization").equals(known)
                : !form.first("client_id").equals(CLIENT_ID) || !request.header("Authorization").isEmpty()) {
            throw error(401, "invalid_client", "Missing valid authorization header", false);
        }
        return switch (form.first("grant_type")) {
            case "authorization_code" -> byCode(form);
            case "refresh_token" -> refreshed(form);
            case EXCHANGE -> exchanged(form);
            default -> throw error(400, "unsupported_grant_type", form.first("grant_type"), true);
        };
    }

    private Reply byCode(Form form) {
        Code code = codes.remove(form.first("code"));
        if (code == null) {
            throw error(400, "invalid_request", "Value passed for the authorization code was invalid.", true);
        }
        if (!code.redirect().equals(form.first("redirect_uri"))) {
            throw error(400, "invalid_request", "Value passed for the redirect uri did not match the uri of the "
                    + "authorization code.", true);
        }
        if (!form.first("code_verifier").matches("[\\w.~-]{43,128}")
                || !challenge(form.first("code_verifier")).equals(code.challenge())) {
            throw error(400, "invalid_request", "Value passed for the code verifier did not match the code challenge.",
                    true);
        }
        return given(pair(code.scopes()));
    }

    private static String challenge(String verifier) {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(verifier.getBytes(StandardCharsets.US_ASCII));
            return Base64.getUrlEncoder().withoutPadding().encodeToString(hash);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private Reply refreshed(Form form) {
        String refresh = form.first("refresh_token");
        Pair before = byRefresh.remove(refresh);
        if (before == null) {
            spentAgain += used.contains(refresh) ? 1 : 0;
            throw error(400, "invalid_grant", "Value passed for the token was invalid.", !refresh.startsWith("refresh-"));
        }
        used.add(refresh);
        byAccess.remove(before.access());
        refreshes++;
        return given(pair(before.scopes()));
    }

    private Reply exchanged(Form form) {
        if (!exchanges) {
            throw error(400, "unauthorized_client", "The client may not use this grant.", false);
        }
        if (!form.first("subject_token_type").equals(OAUTH1_TOKEN)) {
            throw error(400, "invalid_request", "subject_token_type", true);
        }
        if (!form.first("subject_token").equals(keys.accessToken())
                || !form.first("oauth_token_secret").equals(keys.accessSecret())) {
            throw error(400, "invalid_grant", "The subject token is not valid.", false);
        }
        revoke(); // Repeating it ends the former pair.
        Set<String> allowed = x.mayDirectMessages() ? ALL_SCOPES : Set.of("tweet.read", "users.read", "offline.access");
        Set<String> scopes = form.has("scope") ? Set.of(form.first("scope").split(" ")) : allowed;
        if (!KNOWN_SCOPES.containsAll(scopes)) {
            throw error(400, "invalid_scope", form.first("scope"), true);
        }
        return given(pair(scopes));
    }

    private Reply given(Pair pair) {
        ObjectNode answer = Json.object("token_type", "bearer", "expires_in", Math.max(1, life.toSeconds()),
                "access_token", pair.access(), "scope", String.join(" ", pair.scopes()));
        if (!pair.refresh().isEmpty()) {
            answer.put("refresh_token", pair.refresh());
        }
        return new Reply(200, Map.of("Content-Type", "application/json;charset=utf-8", "Cache-Control", "no-store"),
                answer.toString());
    }

    private static Refused error(int status, String error, String description, boolean violation) {
        return new Refused(new Reply(status, Map.of("Content-Type", "application/json"),
                Json.object("error", error, "error_description", description).toString()),
                status + ", " + error + ": " + description, violation);
    }
}
