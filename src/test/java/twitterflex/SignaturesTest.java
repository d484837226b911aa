package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URLDecoder;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import twitterflex.Bridge.Form;
import twitterflex.Bridge.Signatures;

/** Promise 1: nothing unsigned gets in. Every vector names its origin; "computed" ones were computed independently, in Python. */
class SignaturesTest {

    // X: the challenge and the webhooks.

    @ParameterizedTest(name = "{0}: key {1}, token {2}")
    @CsvSource(delimiter = '|', textBlock = """
            computed                        | test                                               | foo                                  | sha256=HlU5y5rWhNi1SHftUCyOxuT6JRuDqeVBKWp1yvldR04=
            computed, X's sample secret     | kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw        | foo                                  | sha256=KGwPHQJPaVoxk5RWMCZXvu7ppQqe20ugPzzV9ed1O3o=
            inputs of a gist of jcipriano   | z3ZX4v7mAAUGykl3EcmkqbartmuW8VFOOzCloLx9Q45P0hLrFu | 9b4507b3-9040-4669-9ca3-6b94edb50553 | sha256=Cytd4Sq+NvEcV3MMrXxWJGJx5A+y/lXzzU2Maartkx8=
            xurl-rs, OAuth 2.0 secret       | SECRET-VALUE                                       | challenge_string                     | sha256=xT/YyTRZde5T1HbCK7K2bpcELYOIMkZVbgYjsESw+AM=
            xurl-rs, consumer secret        | CONSUMER-SECRET                                    | challenge_string                     | sha256=9CnCWcBcOApA1LHdqkjWbF2DBNdBrnAJPmL5qTUUANQ=
            """)
    void aChallengeOfXIsAnswered(String origin, String secret, String token, String response) {
        assertEquals(response, Signatures.xWebhook(secret, token.getBytes(UTF_8)));
    }

    @ParameterizedTest(name = "{0}: key {1}, body {2}")
    @CsvSource(delimiter = '|', textBlock = """
            autohook, test/signature.js     | test            | {"test_number":1,"test_string":"two"}           | sha256=YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI=
            autohook, test/signature.js     | test            | test=1&other_test=2                             | sha256=25Cu3iwbbiqBTwQRzcKJZwisjf736V2Q8UaTlkfLSoc=
            xurl-rs, OAuth 2.0 secret       | SECRET-VALUE    | {"for_user_id":"2244994945","follow_events":[]} | sha256=jlSMkj72sqpIWJdl8rdKiEf1zPMRJkvY1VWxVhuPD4c=
            xurl-rs, consumer secret        | CONSUMER-SECRET | {"for_user_id":"2244994945","follow_events":[]} | sha256=IdtPMVhr8Hql9OtN7YTX/+gknTMNOui0D4ixytI8bD0=
            computed, not ASCII             | test            | {"text":"Zażółć 😀 &amp; &lt;"}                 | sha256=tH+NuNWvcjZYD3CEeAwGseeEE2HLq1uuuRz5zTnzFvA=
            """)
    void aWebhookOfXIsSigned(String origin, String secret, String body, String signature) {
        assertEquals(signature, Signatures.xWebhook(secret, body.getBytes(UTF_8)));
    }

    @ParameterizedTest(name = "{0}: \"{1}\"")
    @CsvSource(textBlock = """
            no signature,                    ''
            only the prefix,                 sha256=
            without its prefix,              'YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI='
            with another prefix,             'sha1=YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI='
            one character short,             'sha256=YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI'
            one character long,              'sha256=YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI=='
            in the alphabet for URLs,        'sha256=YWHphPn_JFq43jkF0y4_w8R_SelmLjvpunhVFY8JhlI='
            in lower case,                   'sha256=ywhphpn/jfq43jkf0y4/w8r/selmljvpunhvfy8jhli='
            another body's,                  'sha256=25Cu3iwbbiqBTwQRzcKJZwisjf736V2Q8UaTlkfLSoc='
            no Base64 at all,                'sha256=☃☃☃'
            """)
    void whatIsNotTheSignatureOfXIsRefused(String what, String given) {
        String expected = Signatures.xWebhook("test", "{\"test_number\":1,\"test_string\":\"two\"}".getBytes(UTF_8));
        assertTrue(Signatures.equalInConstantTime(expected, "sha256=YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI="));
        assertFalse(Signatures.equalInConstantTime(expected, given));
    }

    @Test
    void theSignatureOfXChangesWithEveryByteOfTheBodyAndWithTheSecret() {
        byte[] body = "{\"text\":\"Zażółć 😀\"}".getBytes(UTF_8);
        String genuine = Signatures.xWebhook("test", body);
        assertFalse(Signatures.equalInConstantTime(genuine, Signatures.xWebhook("tesT", body)));
        for (int at = 0; at < body.length; at++) {
            assertFalse(Signatures.equalInConstantTime(genuine, Signatures.xWebhook("test", tampered(body, at))), "byte " + at);
        }
    }

    // X: OAuth 1.0a.

    private static final String NONCE = "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg";
    private static final String TOKEN = "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb";

    @ParameterizedTest(name = "{0}: \"{1}\"")
    @CsvSource(delimiter = '|', textBlock = """
            X, "Percent encoding parameters" | Ladies + Gentlemen                                                 | Ladies%20%2B%20Gentlemen
            X, "Percent encoding parameters" | An encoded string!                                                 | An%20encoded%20string%21
            X, "Percent encoding parameters" | Dogs, Cats & Mice                                                  | Dogs%2C%20Cats%20%26%20Mice
            X, "Percent encoding parameters" | ☃                                                                  | %E2%98%83
            RFC 3986, unreserved             | ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~ | ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~
            RFC 3986, where the JDK differs  | *+ ~                                                               | %2A%2B%20~
            computed, beyond 16 bits         | 😀                                                                 | %F0%9F%98%80
            """)
    void textIsPercentEncoded(String origin, String text, String encoded) {
        assertEquals(encoded, Form.escape(text));
    }

    @Test
    void theBaseStringIsTheOneOfXsCreatingASignature() {
        Form all = Form.of("status", "Hello Ladies + Gentlemen, a signed OAuth request!", "include_entities", "true",
                "oauth_consumer_key", "xvz1evFS4wEEPTGEFPHBog", "oauth_nonce", NONCE, "oauth_signature_method", "HMAC-SHA1",
                "oauth_timestamp", "1318622958", "oauth_token", TOKEN, "oauth_version", "1.0");
        assertEquals("POST&https%3A%2F%2Fapi.twitter.com%2F1.1%2Fstatuses%2Fupdate.json&include_entities%3Dtrue%26oauth_consumer_key"
                + "%3Dxvz1evFS4wEEPTGEFPHBog%26oauth_nonce%3DkYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg%26oauth_signature_method"
                + "%3DHMAC-SHA1%26oauth_timestamp%3D1318622958%26oauth_token%3D370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"
                + "%26oauth_version%3D1.0%26status%3DHello%2520Ladies%2520%252B%2520Gentlemen%252C%2520a%2520signed%2520OAuth%2520request%2521",
                Signatures.oauthBase("POST", "https://api.twitter.com/1.1/statuses/update.json", all));
    }

    @Test
    void parametersAreSortedByEncodedNameAndThenByValue() {
        assertEquals("GET&http%3A%2F%2Fa.example%2F&%2525%3D3%26a%3D1%26a%3D2%26b%3D0",
                Signatures.oauthBase("GET", "http://a.example/", Form.of("b", "0", "a", "2", "%", "3", "a", "1")));
    }

    @ParameterizedTest(name = "{0}: {1} {2} {3}")
    @CsvSource(delimiter = '|', nullValues = "-", textBlock = """
            X, "Authorizing a request"        | POST | https://api.twitter.com/1/statuses/update.json                   | include_entities=true&status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21 | tnnArxj06cWHq44gCs1OSKk/jLY=
            X, "Creating a signature", 1.1    | POST | https://api.twitter.com/1.1/statuses/update.json                 | include_entities=true&status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21 | hCtSmYh+iHYCEqBWrE7C7hYmtUk=
            X, "Creating a signature", x.com  | POST | https://api.x.com/1.1/statuses/update.json                       | include_entities=true&status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21 | Ls93hJiZbQ3akF3HF3x1Bz8/zU4=
            computed, JSON body not signed    | POST | https://api.twitter.com/1.1/direct_messages/events/new.json      | -                                                       | 7z+nKFSiTmLyKcVzjswQcU+GwWY=
            computed, JSON body not signed    | POST | https://api.x.com/2/dm_conversations/with/1234567890/messages    | -                                                       | f5M6TCW9Di4JOy8C5RLGfHulR9I=
            computed, form body signed        | POST | https://api.twitter.com/1.1/direct_messages/indicate_typing.json | recipient_id=1234567890                                 | IWNOf9wN8vHyIh7B9CLy7waB+AE=
            computed, URL in the query signed | POST | https://api.twitter.com/1.1/account_activity/all/prod/webhooks.json | url=https%3A%2F%2Fexample.org%2Fwebhook%2Ftwitter    | 47+dFaXUgkDhzRHZYj1PLav3p5E=
            computed, no parameter            | GET  | https://ton.twitter.com/1.1/ton/data/dm/1060000000000000001/1060000000000000002/AbC-d_9.jpg | -                            | EHKHe8J4WsK/wzICCQvQif/Dw7E=
            """)
    void aRequestToXIsSigned(String origin, String method, String url, String parameters, String signature) {
        assertEquals(signature, oauth(method, url, Form.decode(parameters == null ? "" : parameters)).get("oauth_signature"));
    }

    @Test
    void theCurrentSampleOfXHasThePublishedBytes() {
        String signature = oauth("POST", "https://api.x.com/1.1/statuses/update.json", Form.of("include_entities", "true",
                "status", "Hello Ladies + Gentlemen, a signed OAuth request!")).get("oauth_signature");
        assertArrayEquals(HexFormat.ofDelimiter(" ").parseHex("2E CF 77 84 98 99 6D 0D DA 90 5D C7 17 7C 75 07 3F 3F CD 4E"),
                Base64.getDecoder().decode(signature));
    }

    @Test
    void theAuthorizationHeaderHoldsTheProtocolParametersAndNoOthers() {
        assertEquals(Map.of("oauth_consumer_key", "xvz1evFS4wEEPTGEFPHBog", "oauth_nonce", NONCE, "oauth_signature", "IWNOf9wN8vHyIh7B9CLy7waB+AE=",
                "oauth_signature_method", "HMAC-SHA1", "oauth_timestamp", "1318622958", "oauth_token", TOKEN, "oauth_version", "1.0"),
                oauth("POST", "https://api.twitter.com/1.1/direct_messages/indicate_typing.json", Form.of("recipient_id", "1234567890")));
    }

    /** The decoded fields of the header, made with the credentials, nonce and time of X's documentation. */
    private static Map<String, String> oauth(String method, String url, Form parameters) {
        String header = Signatures.oauth(method, url, parameters, "xvz1evFS4wEEPTGEFPHBog", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
                TOKEN, "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE", NONCE, "1318622958");
        assertTrue(header.matches("OAuth ([a-z_]+=\"[A-Za-z0-9._~%-]*\"(, |$))+"), header);
        return Pattern.compile("([a-z_]+)=\"([^\"]*)\"").matcher(header).results().collect(
                Collectors.toMap(field -> field.group(1), field -> URLDecoder.decode(field.group(2), UTF_8)));
    }

    // Twilio.

    private static final String AUTH_TOKEN = "12345";
    private static final String FORM = "application/x-www-form-urlencoded";
    private static final String U = "https://mycompany.com/myapp.php?foo=1&bar=2";
    private static final String CALL = call("%2B14158675309");

    private static String call(String caller) {
        return "CallSid=CA1234567890ABCDE&Caller=" + caller + "&Digits=1234&From=" + caller + "&To=%2B18005551212";
    }

    /** The numbers are the rows of the table in protocol/twilio.md, whose token is 12345 throughout. */
    static Stream<Arguments> vectorsOfTwilio() {
        return Stream.of(
                vector("1, docs", "https://example.com/myapp.php?foo=1&bar=2", call("%2B14158675310"), "L/OH5YylLD5NRKLltdqwSvS0BnU="),
                vector("2, api-snippets", U, call("%2B14158675310"), "GvWf1cFY/Q7PnoempGyD5oXAezc="),
                vector("3, older docs", U, call("%2B12349013030"), "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),
                vector("4, Java, Node, Python", U, CALL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
                vector("5, all libraries, port 443", U.replace(".com/", ".com:443/"), CALL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
                vector("6, all libraries, port 80", U.replace("https", "http").replace(".com/", ".com:80/"), CALL, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
                vector("7, all libraries, port 1234", U.replace("https", "http").replace(".com/", ".com:1234/"), CALL, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
                vector("11, Node, Python, repeated values", U, "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234", "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
                vector("12, Node, two values", U, "MessagingBinding.Address=%2B1415xxxxxxx&MessagingBinding.Address=%2B1325xxxxxxx", "83O6e2vORAoJHUNzJjDWN1jz+BA="),
                vector("12, Node, in another order", U, "MessagingBinding.Address=%2B1325xxxxxxx&MessagingBinding.Address=%2B1415xxxxxxx", "83O6e2vORAoJHUNzJjDWN1jz+BA="),
                vector("13, Java, no parameters", U, "", "zYQTYrRWXE7LtzbG4PfP7/bkkGo="),
                vector("14, Java, no query", "https://mycompany.com/myapp.php", CALL, "1xaxFBvyzXYvWplzNOSs28HWO94="),
                vector("15, Java, one more in the query", U + "&type=thiswontbeusedinthesignaturegeneratorandsoshouldbeignored", CALL, "hYkNsTBttoNGkyCS0p+wWmQoRTg="),
                vector("16, Java, raw query", "https://mycompany.com/myapp.php?foo=hello%20world&bar=test%2Bvalue", CALL, "er2tvAP1Wx+iuTTE2BPgvEaN1cs="),
                vector("17, Java, special characters", U, "Message=Hello+%26+goodbye%21+%40%23%24%25%5E%2A%28%29&From=%2B1+%28415%29+867-5309&Special=unicode%3A+%C3%B1%C3%A1%C3%A9%C3%AD%C3%B3%C3%BA",
                        "dCPiR4WtQ6QFN6pJh81CtlCcWLQ="),
                vector("18, Java, empty values", U, "Digits=&CallSid=CA1234567890ABCDE&EmptyParam=", "9HHp/OqQMEwdrVebHDdA/+tqjX8="),
                vector("19, Java, null values", U, "Digits&CallSid=CA1234567890ABCDE&NullParam", "L9lTTwIlxM1xGAtLRwhOSZggRhM="),
                vector("20, Java, out of order", U, "Zebra=last&Alpha=first&Beta=second&Gamma=third", "enveUe73ZTVLAekHxez3Qx6JuuQ="),
                vector("21, Java, names that differ in case", U, "callSid=lowercase&CallSid=uppercase&CALLSID=allcaps", "jDK7WKT8wiNrwggd4ceTv4e1MJ4="),
                vector("22, Java, raw UTF-8 in the URL", "https://mycompany.com/webhook/España?año=2023", CALL, "G/Hx6mqqnjUNlPAoi2Sp9bGst0g="),
                vector("23, Java, double slash, port 443", "https://mycompany.com:443//myapp.php?foo=1&bar=2", CALL, "A9lH3u16NjyiiM/+wylw5rirFUs="),
                vector("24, Node, apostrophe in the URL", U + "&Body=It%27s+amazing", CALL, "TfZzewPq8wqrGlMfyAud8+/IvJ0="),
                vector("25, Node, user and password", U.replace("://", "://user:pass@"), CALL, "CukzLTc1tT5dXEDIHm/tKBanW10="),
                vector("25, Node, user, password, port 443", U.replace("://", "://user:pass@").replace(".com/", ".com:443/"), CALL, "ZQFR1PTIZXF2MXB8ZnKCvnnA+rI="),
                vector("25, Node, user alone", U.replace("://", "://user@"), CALL, "2YRLlVAflCqxaNicjMpJcSTgzSs="),
                vector("computed, real onMessageSent", "https://bridge.example.com/twilio/webhook?u=42", resource("onMessageSent"), "6Jn9A5oXoTk5hKLkYgXfYJ/2vd4="),
                vector("computed, real onMessageAdded", "https://bridge.example.com/twilio/webhook?u=42", resource("onMessageAdded"), "zKAmwcbkLbqX6J08U7jKtxGEpJI="));
    }

    private static Arguments vector(String origin, String url, String body, String signature) {
        return Arguments.of(origin, url, body, signature);
    }

    @ParameterizedTest(name = "row {0}")
    @MethodSource("vectorsOfTwilio")
    void aWebhookOfTwilioIsSigned(String origin, String url, String body, String signature) {
        assertEquals(signature, Signatures.twilioWebhook(AUTH_TOKEN, url, Form.decode(body)));
    }

    @ParameterizedTest(name = "row {0}")
    @CsvSource(delimiter = '|', textBlock = """
            8  | https://mycompany.com/myapp.php?foo=1&bar=2&   | 0a1f   | a9nBmqA0ju/hNViExpshrM61xv4=
            9  | https://mycompany.com/myapp.php?               | 0a1f   | y77kIzt2vzLz71DgmJGsen2scGs=
            10 | https://mycompany.com:443/myapp.php?foo=1&bar=2& | 4413 | Ldidvp12m26NI7eqEvxnEpkd9Hc=
            """)
    void whereTheBodyIsNoFormTheUrlAloneIsSigned(String row, String url, String hash, String signature) {
        String hashes = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620 "
                + "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        String whole = Stream.of(hashes.split(" ")).filter(one -> one.startsWith(hash)).findFirst().orElseThrow();
        assertEquals(signature, Signatures.twilioWebhook(AUTH_TOKEN, url + "bodySHA256=" + whole, Form.of()));
    }

    @ParameterizedTest(name = "row {0}")
    @MethodSource("vectorsOfTwilio")
    void aWebhookOfTwilioIsLetIn(String origin, String url, String body, String signature) {
        assertTrue(isTwilios(signature, url, body));
    }

    @ParameterizedTest(name = "row {0}: signed {1}, received {2}")
    @CsvSource(delimiter = '|', textBlock = """
            4, Java, Node, Python | https://mycompany.com      | https://mycompany.com:1234           | RSOYDt4T1cUTdK1PDd93/VVr8B8=
            4, all                | https://mycompany.com      | https://mycompany.com:443            | RSOYDt4T1cUTdK1PDd93/VVr8B8=
            5, all                | https://mycompany.com:443  | https://mycompany.com                | kvajT1Ptam85bY51eRf/AJRuM3w=
            6, all                | http://mycompany.com:80    | http://mycompany.com                 | 0ZXoZLH/DfblKGATFgpif+LLRf4=
            25, Node              | https://user:pass@mycompany.com     | https://user:pass@mycompany.com:443 | CukzLTc1tT5dXEDIHm/tKBanW10=
            25, Node              | https://user:pass@mycompany.com:443 | https://user:pass@mycompany.com     | ZQFR1PTIZXF2MXB8ZnKCvnnA+rI=
            """)
    void eitherSpellingOfThePortIsLetIn(String row, String signed, String received, String signature) {
        assertTrue(isTwilios(signature, received + "/myapp.php?foo=1&bar=2", CALL));
    }

    @Test
    void thePortMayBeAbsentAlsoBeforeADoubleSlash() {
        String row23 = "A9lH3u16NjyiiM/+wylw5rirFUs=";
        assertTrue(isTwilios(row23, "https://mycompany.com//myapp.php?foo=1&bar=2", CALL));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-URLEncoded"})
    void theContentTypeOfAFormMayHaveACharsetAndAnyCase(String contentType) {
        assertTrue(isTwilios("RSOYDt4T1cUTdK1PDd93/VVr8B8=", U, CALL, contentType));
    }

    @Test
    void aSecondTokenCountsToo() {
        String next = Signatures.twilioWebhook("next", U, Form.decode(CALL));
        for (List<String> tokens : List.of(List.of(AUTH_TOKEN, "next"), List.of("next", AUTH_TOKEN))) {
            for (String signature : List.of("RSOYDt4T1cUTdK1PDd93/VVr8B8=", next)) {
                assertTrue(Signatures.isTwilios(tokens, signature, U, Form.decode(CALL)));
            }
        }
        assertFalse(isTwilios(next, U, CALL));
        String empty = Signatures.twilioWebhook("\0", U, Form.decode(CALL));
        assertFalse(Signatures.isTwilios(List.of(AUTH_TOKEN, "next"), empty, U, Form.decode(CALL)));
    }

    static Stream<Arguments> forgeries() {
        String genuine = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        return Stream.of(
                forgery("no signature", "", U, CALL, FORM),
                forgery("no Base64", "not a signature ☃", U, CALL, FORM),
                forgery("one character short", genuine.substring(0, 27), U, CALL, FORM),
                forgery("one character long", genuine + "=", U, CALL, FORM),
                forgery("in lower case", genuine.toLowerCase(Locale.ROOT), U, CALL, FORM),
                forgery("X's kind of signature", Signatures.xWebhook(AUTH_TOKEN, CALL.getBytes(UTF_8)), U, CALL, FORM),
                forgery("made with another token", Signatures.twilioWebhook("12346", U, Form.decode(CALL)), U, CALL, FORM),
                forgery("one parameter more", genuine, U, CALL + "&More=", FORM),
                forgery("one parameter less", genuine, U, CALL.replace("&Digits=1234", ""), FORM),
                forgery("no body", genuine, U, "", FORM),
                forgery("a broken percent sign", genuine, U, CALL + "&%zz", FORM),
                forgery("a query in another order", genuine, "https://mycompany.com/myapp.php?bar=2&foo=1", CALL, FORM),
                forgery("a query encoded again", "er2tvAP1Wx+iuTTE2BPgvEaN1cs=", "https://mycompany.com/myapp.php?foo=hello+world&bar=test%2Bvalue", CALL, FORM),
                forgery("another customer in the query", genuine, U.replace("foo=1", "foo=2"), CALL, FORM),
                forgery("http instead of https", genuine, U.replace("https", "http"), CALL, FORM),
                forgery("another host", genuine, U.replace("mycompany", "yourcompany"), CALL, FORM),
                forgery("another path", genuine, U.replace("myapp", "yourapp"), CALL, FORM),
                forgery("one slash instead of two", "A9lH3u16NjyiiM/+wylw5rirFUs=", U, CALL, FORM),
                forgery("a form sent as plain text", genuine, U, CALL, "text/plain"),
                forgery("a form sent as JSON", genuine, U, CALL, "application/json"),
                forgery("a form of no type", genuine, U, CALL, ""));
    }

    private static Arguments forgery(String what, String signature, String url, String body, String contentType) {
        return Arguments.of(what, signature, url, body, contentType);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("forgeries")
    void whatTwilioDidNotSignIsRefused(String what, String signature, String url, String body, String contentType) {
        assertFalse(isTwilios(signature, url, body, contentType));
    }

    @Test
    void theSignatureOfTwilioHasToBeRightInEveryCharacter() {
        byte[] genuine = "RSOYDt4T1cUTdK1PDd93/VVr8B8=".getBytes(UTF_8);
        for (int at = 0; at < genuine.length; at++) {
            assertFalse(isTwilios(new String(tampered(genuine, at), UTF_8), U, CALL), "character " + at);
        }
    }

    @Test
    void theSignatureOfTwilioCoversEveryByteOfAForm() {
        for (int at = 0; at < CALL.length(); at++) {
            String forged = new String(tampered(CALL.getBytes(UTF_8), at), UTF_8);
            assertFalse(isTwilios("RSOYDt4T1cUTdK1PDd93/VVr8B8=", U, forged), "byte " + at);
        }
    }

    private static boolean isTwilios(String signature, String url, String body) {
        return isTwilios(signature, url, body, FORM);
    }

    private static boolean isTwilios(String signature, String url, String body, String contentType) {
        Map<String, List<String>> headers = Map.of("content-type", List.of(contentType));
        Form form = new Bridge.Request("POST", "/", "/", headers, body.getBytes(UTF_8)).form();
        return Signatures.isTwilios(List.of(AUTH_TOKEN), signature, url, form);
    }

    private static byte[] tampered(byte[] bytes, int at) {
        byte[] tampered = bytes.clone();
        tampered[at] ^= 1;
        return tampered;
    }

    private static String resource(String event) {
        try (InputStream file = SignaturesTest.class.getResourceAsStream("/flex/" + event + ".txt")) {
            return new String(file.readAllBytes(), UTF_8).strip();
        } catch (IOException missing) {
            throw new UncheckedIOException(missing);
        }
    }
}
