package twitterflex.demo;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import twitterflex.sandbox.Form;
import twitterflex.sandbox.OAuthCheck;
import twitterflex.sandbox.Signatures;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/**
 * How one exchange was proven genuine: who checked what, the string that was signed, and whether the sums agree. It is done a second
 * time here, for the eyes, and holds no secret: keys appear by name.
 */
record SignatureCheck(String name, String checkedBy, String how, String key, String signed, String given, boolean holds) {

    private static final String MASK = "••••••••";

    static Optional<SignatureCheck> of(Wire.Call call, SimulatedX.Keys keys, SimulatedFlex.Account account, String bridgeUrl, String xUrl) {
        boolean toBridge = call.to().equals(Wire.BRIDGE);
        if (toBridge && call.from().equals(Wire.X)) {
            return call.method().equals("GET") ? challenge(call, keys) : xWebhook(call, keys);
        }
        if (toBridge) {
            return Optional.of(twilioWebhook(call, account, bridgeUrl));
        }
        if (call.to().equals(Wire.X)) {
            String authorization = header(call, "Authorization").toLowerCase(Locale.ROOT);
            if (authorization.isEmpty()) {
                return Optional.of(link("No credentials", "X", "Nothing is signed: videos and GIFs are public at "
                        + "twimg.com, to whoever knows their address, and the bridge shows no key there.", call));
            }
            return authorization.startsWith("oauth ") ? oauth(call, keys, xUrl)
                    : Optional.of(authorization.startsWith("basic ") ? ofApp(call) : bearer(call));
        }
        boolean link = call.target().startsWith("/media.us1/");
        return Optional.of(!link ? basic(call, account) : link("Signed link", "Flex",
                "Nothing of ours is signed: Twilio has signed the link itself, until Expires. Its host is not the API's, "
                        + "so the bridge shows it no credentials.", call));
    }

    /** The address is the key. */
    private static SignatureCheck link(String name, String by, String how, Wire.Call call) {
        String given = query(call).first("Signature");
        return new SignatureCheck(name, by, how, "none of ours", call.target(), given, call.status() == 200);
    }

    /** Judged by the answer: the sandbox, as strict as X, has looked at it already. */
    private static SignatureCheck ofApp(Wire.Call call) {
        return new SignatureCheck("Basic authentication", "X",
                "Nothing is signed: the app's key and secret travel with the request, inside TLS in real life (RFC 7617).",
                "consumer secret " + MASK, "consumer key:" + MASK, "Basic " + MASK, call.status() != 401 && call.status() != 403);
    }

    private static SignatureCheck bearer(Wire.Call call) {
        return new SignatureCheck("Bearer token", "X", "Nothing is signed: whoever bears the app's token is the app (RFC 6750).",
                "app token " + MASK, MASK, "Bearer " + MASK, call.status() != 401);
    }

    /** Whether what came to the bridge came from whom it seems to come from. */
    static boolean forged(Optional<SignatureCheck> check) {
        return check.filter(done -> !done.holds() && done.checkedBy().equals("the bridge")).isPresent();
    }

    private static Optional<SignatureCheck> challenge(Wire.Call call, SimulatedX.Keys keys) {
        String token = query(call).first("crc_token");
        String expected = Signatures.xWebhook(token.getBytes(StandardCharsets.UTF_8), keys.consumerSecret());
        boolean holds = call.answer().contains(expected);
        return Optional.of(new SignatureCheck("Challenge-response check", "X",
                "The bridge answers with the Base64 of HMAC-SHA256 over the token; X does the same sum and compares.",
                "consumer secret " + MASK, token, holds ? expected : call.answer(), holds));
    }

    private static Optional<SignatureCheck> xWebhook(Wire.Call call, SimulatedX.Keys keys) {
        String given = header(call, "x-twitter-webhooks-signature");
        String expected = Signatures.xWebhook(call.body().getBytes(StandardCharsets.UTF_8), keys.consumerSecret());
        return Optional.of(new SignatureCheck("x-twitter-webhooks-signature", "the bridge",
                "Base64 of HMAC-SHA256 over the raw body, byte for byte, before anything is parsed; compared in constant time.",
                "consumer secret " + MASK, call.body(), given, given.equals(expected)));
    }

    private static SignatureCheck twilioWebhook(Wire.Call call, SimulatedFlex.Account account, String bridgeUrl) {
        String given = header(call, "X-Twilio-Signature");
        List<Map.Entry<String, String>> form = Form.parse(call.body()).fields();
        String signed = Signatures.twilioSigned(bridgeUrl + call.target(), form);
        return new SignatureCheck("X-Twilio-Signature", "the bridge",
                "Base64 of HMAC-SHA1 over the public URL, then every parameter's name and value, sorted by name; compared in "
                        + "constant time.",
                "auth token " + MASK, signed, given, given.equals(Signatures.twilioWebhook(bridgeUrl + call.target(), form,
                        account.authToken())));
    }

    private static Optional<SignatureCheck> oauth(Wire.Call call, SimulatedX.Keys keys, String xUrl) {
        Map<String, String> oauth = new TreeMap<>(OAuthCheck.parameters(header(call, "Authorization")));
        String given = oauth.remove("oauth_signature");
        if (given == null) {
            return Optional.empty();
        }
        List<Map.Entry<String, String>> parameters = new ArrayList<>(oauth.entrySet());
        parameters.addAll(query(call).fields());
        String url = xUrl + path(call);
        return Optional.of(new SignatureCheck("OAuth 1.0a", "X",
                "Base64 of HMAC-SHA1 over method, URL and all parameters, percent-encoded and sorted (RFC 5849, 3.4); a "
                        + "body of JSON, or with a file in it, is not signed.",
                "consumer secret " + MASK + " & token secret " + MASK, Signatures.oauthBase(call.method(), url, parameters), given,
                given.equals(Signatures.oauth(call.method(), url, parameters, keys.consumerSecret(), keys.accessSecret()))));
    }

    /** Judged by the answer: the sandbox, as strict as Twilio, has looked at it already. */
    private static SignatureCheck basic(Wire.Call call, SimulatedFlex.Account account) {
        return new SignatureCheck("Basic authentication", "Flex",
                "Nothing is signed: user and password travel with every request, inside TLS in real life (RFC 7617).",
                "auth token " + MASK, account.accountSid() + ":" + MASK, "Basic " + MASK, call.status() != 401);
    }

    /** The request's headers as they may be shown. */
    static Map<String, String> masked(Map<String, String> headers) {
        Map<String, String> shown = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        headers.forEach((name, value) -> shown.put(name, value.replaceFirst("(?i)^(basic|bearer) .*", "$1 " + MASK)));
        return shown;
    }

    /** An answer as it may be shown: the app's token in it is a secret. */
    static String masked(String answer) {
        return answer.replaceAll("(\"access_token\"\\s*:\\s*\")[^\"]*", "$1" + MASK);
    }

    private static String header(Wire.Call call, String name) {
        return call.headers().entrySet().stream().filter(header -> header.getKey().equalsIgnoreCase(name)).map(Map.Entry::getValue)
                .findFirst().orElse("");
    }

    private static String path(Wire.Call call) {
        return call.target().replaceAll("\\?.*", "");
    }

    private static Form query(Wire.Call call) {
        int question = call.target().indexOf('?');
        return Form.parse(question < 0 ? "" : call.target().substring(question + 1));
    }
}
