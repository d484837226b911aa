package twitterflex.sandbox;

import static twitterflex.sandbox.DirectMessageRules.refused;

import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import twitterflex.sandbox.SimulatedService.Request;

/** Lets a request to X pass only if it is signed as OAuth 1.0a says, by this app and this account, now, and for the first time. */
public final class OAuthCheck {

    private static final Set<String> OAUTH = Set.of("oauth_consumer_key", "oauth_nonce", "oauth_signature", "oauth_signature_method",
            "oauth_timestamp", "oauth_token", "oauth_version");
    private static final Pattern FIELD = Pattern.compile("(\\w+)=\"((?:[\\w.~-]|%[0-9A-F]{2})*)\"");
    private static final Pattern HEADER = Pattern.compile("OAuth " + FIELD + "(?:, ?" + FIELD + ")*");
    private static final Duration CLOCK_SKEW = Duration.ofMinutes(5);
    private static final int NONCES_KEPT = 200_000;

    private final SimulatedX.Keys keys;
    private final String url;
    private final Supplier<Instant> clock;
    private final Set<String> nonces = new LinkedHashSet<>();

    OAuthCheck(SimulatedX.Keys keys, String url, Supplier<Instant> clock) {
        this.keys = keys;
        this.url = url;
        this.clock = clock;
    }

    /** OAuth 1.0a to the letter: every oauth_ parameter once, nothing else, the signature over all that must be signed. */
    synchronized void check(Request request) {
        Map<String, String> oauth = parameters(request.header("Authorization"));
        if (!oauth.keySet().equals(OAUTH)) {
            throw refused(request, request.path().startsWith("/1.1/") ? 400 : 401, 215, "Bad Authentication data.");
        }
        String signature = oauth.remove("oauth_signature");
        List<Map.Entry<String, String>> signed = new ArrayList<>(oauth.entrySet());
        signed.addAll(Form.parse(request.query()).fields());
        if (request.header("Content-Type").startsWith("application/x-www-form-urlencoded")) {
            signed.addAll(Form.parse(request.text()).fields());
        }
        // The address it was asked under, which may be the near end of a cable.
        String asked = request.header("Host").isEmpty() ? url : "http://" + request.header("Host");
        String expected = Signatures.oauth(request.method(), asked + request.path(), signed, keys.consumerSecret(), keys.accessSecret());
        boolean known = oauth.get("oauth_consumer_key").equals(keys.consumerKey()) && oauth.get("oauth_token").equals(keys.accessToken())
                && oauth.get("oauth_signature_method").equals("HMAC-SHA1") && oauth.get("oauth_version").equals("1.0");
        if (!known || !signature.equals(expected)) {
            throw refused(request, 401, 32, "Could not authenticate you.");
        }
        long seconds = oauth.get("oauth_timestamp").matches("\\d{1,12}") ? Long.parseLong(oauth.get("oauth_timestamp")) : 0;
        if (Math.abs(clock.get().getEpochSecond() - seconds) > CLOCK_SKEW.toSeconds()) {
            throw refused(request, 401, 135, "Timestamp out of bounds.");
        }
        if (!nonces.add(oauth.get("oauth_nonce"))) {
            throw refused(request, 401, 32, "Could not authenticate you: the nonce was used before.");
        }
        if (nonces.size() > NONCES_KEPT) {
            nonces.remove(nonces.iterator().next());
        }
    }

    /** The header's parameters; none at all if one is there twice or the header is not what RFC 5849 section 3.5.1 says. */
    public static Map<String, String> parameters(String header) {
        Map<String, String> parameters = new HashMap<>();
        if (HEADER.matcher(header).matches()) {
            Matcher field = FIELD.matcher(header);
            while (field.find()) {
                if (parameters.put(field.group(1), URLDecoder.decode(field.group(2), StandardCharsets.UTF_8)) != null) {
                    return Map.of();
                }
            }
        }
        return parameters;
    }
}
