package twitterflex.sandbox;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Base64;
import java.util.Collection;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** The services' own sums, done a second time, so that a mistake of the bridge is not shared by its judge. */
public final class Signatures {

    private Signatures() { }

    /** RFC 5849 section 3.4: the signature of a request; {@code parameters} are the query's, a form's, and oauth_* but the signature. */
    public static String oauth(String method, String urlWithoutQuery, Collection<Map.Entry<String, String>> parameters,
            String consumerSecret, String tokenSecret) {
        String key = percentEncoded(consumerSecret) + "&" + percentEncoded(tokenSecret);
        return hmac("HmacSHA1", key, oauthBase(method, urlWithoutQuery, parameters).getBytes(StandardCharsets.UTF_8));
    }

    /** The signature base string: what is signed. */
    public static String oauthBase(String method, String urlWithoutQuery, Collection<Map.Entry<String, String>> parameters) {
        String sorted = parameters.stream()
                .map(parameter -> Map.entry(percentEncoded(parameter.getKey()), percentEncoded(parameter.getValue())))
                .sorted(Map.Entry.<String, String>comparingByKey().thenComparing(Map.Entry.comparingByValue()))
                .map(parameter -> parameter.getKey() + "=" + parameter.getValue())
                .collect(Collectors.joining("&"));
        return method + "&" + percentEncoded(urlWithoutQuery) + "&" + percentEncoded(sorted);
    }

    /** The value of x-twitter-webhooks-signature for these bytes, and of response_token for a crc_token. */
    public static String xWebhook(byte[] body, String secret) {
        return "sha256=" + hmac("HmacSHA256", secret, body);
    }

    /** The value of X-Twilio-Signature: the URL, then every name with each of its values once, all sorted. */
    public static String twilioWebhook(String url, Collection<Map.Entry<String, String>> form, String authToken) {
        return hmac("HmacSHA1", authToken, twilioSigned(url, form).getBytes(StandardCharsets.UTF_8));
    }

    /** What Twilio signs. */
    public static String twilioSigned(String url, Collection<Map.Entry<String, String>> form) {
        Map<String, TreeSet<String>> sorted = new TreeMap<>();
        form.forEach(field -> sorted.computeIfAbsent(field.getKey(), name -> new TreeSet<>()).add(field.getValue()));
        StringBuilder signed = new StringBuilder(url);
        sorted.forEach((name, values) -> values.forEach(value -> signed.append(name).append(value)));
        return signed.toString();
    }

    /** RFC 3986: all but letters, digits and {@code - . _ ~}. */
    public static String percentEncoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
    }

    private static String hmac(String algorithm, String key, byte[] data) {
        try {
            Mac mac = Mac.getInstance(algorithm);
            mac.init(new SecretKeySpec(key.getBytes(StandardCharsets.UTF_8), algorithm));
            return Base64.getEncoder().encodeToString(mac.doFinal(data));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("every Java has " + algorithm, e);
        }
    }
}
