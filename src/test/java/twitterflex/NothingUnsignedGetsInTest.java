package twitterflex;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.HTTP;
import static twitterflex.Rig.until;

import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import twitterflex.sandbox.Chat;
import twitterflex.sandbox.Customer;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedService.Posted;
import twitterflex.sandbox.SimulatedX;

/** Promise 1, and the edge around it: what the contract's table says about requests that are wrong, hostile or slow. */
class NothingUnsignedGetsInTest {
    private static final String HEX = "0123456789abcdef0123456789abcdef";
    private static Rig rig;

    @BeforeAll
    static void start() throws Exception {
        rig = new Rig(Rig.Generation.CLASSIC, Map.of("LOG_LEVEL", "ERROR"));
    }

    @AfterAll
    static void stop() throws Exception {
        rig.close();
    }

    private static HttpResponse<String> send(String method, String path) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(rig.url() + path)).method(method, HttpRequest.BodyPublishers.noBody()).build();
        return HTTP.send(request, HttpResponse.BodyHandlers.ofString());
    }

    private static Posted signed(byte[] body) {
        return rig.x.post(body, Map.of("x-twitter-webhooks-signature", rig.x.sign(body)));
    }

    private static void assertSentence(String body) {
        String error = Bridge.jsonOrMissing(body).path("error").asText();
        assertFalse(error.isEmpty(), body);
        assertFalse(error.contains("Exception") || error.contains("\n") || body.contains("at twitterflex"), body);
    }

    @ParameterizedTest
    @CsvSource({"GET, /nope, 404", "POST, /, 405", "DELETE, /fromTwitter, 405", "GET, /fromFlex, 405", "PUT, /healthz, 405", "GET, /fromTwitterXYZ, 404",
        "GET, /fromTwitter/, 404", "GET, /fromTwitter/a/../b, 404", "GET, /fromTwitter, 400", "GET, /fromTwitter?crc_token=, 400",
        "GET, /fromTwitter?crc_token, 400", "POST, /fromTwitter, 403", "POST, /fromFlex, 403", "OPTIONS, /fromFlex, 405"})
    void everyWrongRequestGetsItsStatusAndASentence(String method, String path, int status) throws Exception {
        long before = rig.health().path("rejected").asLong();
        HttpResponse<String> answer = send(method, path);
        assertEquals(status, answer.statusCode());
        assertSentence(answer.body());
        assertEquals(before + 1, rig.health().path("rejected").asLong());
        assertEquals("application/json", answer.headers().firstValue("content-type").orElse(""));
        assertEquals(status == 405, answer.headers().firstValue("allow").isPresent());
    }

    @Test
    void theAllowedMethodsAreNamed() throws Exception {
        assertEquals("GET, POST", send("DELETE", "/fromTwitter").headers().firstValue("allow").orElse(""));
        assertEquals("POST", send("GET", "/fromFlex").headers().firstValue("allow").orElse(""));
        assertEquals(405, send("HEAD", "/").statusCode());
    }

    @Test
    void aliveAndHealthy() throws Exception {
        assertEquals("{\"message\":\"Alive!\"}", rig.get("/").body());
        assertEquals(200, rig.get("/healthz").statusCode());
        for (String counter : List.of("received", "delivered", "duplicates", "rejected", "failed", "pending", "oldest_pending_seconds")) {
            assertTrue(rig.health().path(counter).isIntegralNumber(), counter);
        }
        assertEquals("ok", rig.health().path("status").asText());
    }

    @Test
    void theChallengeIsAnsweredWithTheDecodedToken() throws Exception {
        assertTrue(rig.x.challengeHolds());
        String token = "a b+c&d=é/😀";
        String expected = Bridge.Signatures.xWebhook(SimulatedX.sampleKeys().consumerSecret(), token.getBytes(UTF_8));
        assertEquals(expected, Bridge.jsonOrMissing(rig.x.challenge(token).body()).path("response_token").asText());
        assertEquals(200, rig.get("/fromTwitter?crc_token=foo&nonce=bar").statusCode());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "the-client-secret"})
    void noAnswerSignsTheBodyOfAWebhook(String clientSecret) throws Exception {
        try (Rig rig = new Rig(Rig.Generation.CURRENT, Map.of("TWITTER_CLIENT_SECRET", clientSecret))) {
            Customer eve = rig.customer("666");
            String event = rig.x.event(eve, "let me in");
            for (String token : List.of(event, " " + event, "\u0000" + event, event.replace("\"", "'"),
                    event.replaceAll("[{}]", ""), "\"", "{", "a}", "a\nb", "a\u0085b", "a\u007fb", "a".repeat(513))) {
                Posted answer = rig.x.challenge(token);
                assertEquals(400, answer.status(), token);
                assertSentence(answer.body());
                assertFalse(answer.body().contains("sha256"), token);
            }
            String signature = Bridge.jsonOrMissing(rig.x.challenge(event).body()).path("response_token").asText();
            Map<String, String> forged = Map.of("x-twitter-webhooks-signature", signature);
            assertEquals(403, rig.x.post(event.getBytes(UTF_8), forged).status());
            assertEquals(0, rig.health().path("received").asInt());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"9b4507b3-9040-4669-9ca3-6b94edb50553", "KGwPHQJPaVoxk5RWMCZXvu7ppQqe20ugPzzV9ed1O3o=",
        "foo", "a+b/c==", "a-b_c.d~e:f/g,h;i", "'(1)[2]<3>!$%&?@#|^`*", "MDEyMzQ1Njc4OQ.eyJ.x"})
    void everyTokenThatXMayInventIsAnswered(String token) {
        for (String sent : List.of(token, token.repeat(512 / token.length()))) {
            String answer = Bridge.jsonOrMissing(rig.x.challenge(sent).body()).path("response_token").asText();
            assertEquals(rig.x.sign(sent.getBytes(UTF_8)), answer);
        }
    }

    @Test
    void theClientSecretIsTheKeyOnceItIsSet() throws Exception {
        try (Rig oauth2 = new Rig(Rig.Generation.CURRENT, Map.of("TWITTER_CLIENT_SECRET", "the client secret".replace(' ', '-')))) {
            byte[] body = oauth2.x.event(oauth2.customer("7"), "hi").getBytes(UTF_8);
            String byClient = Bridge.Signatures.xWebhook("the-client-secret", body);
            assertEquals(403, oauth2.x.post(body, Map.of("x-twitter-webhooks-signature", byClient)).status());
            assertEquals(200, oauth2.x.post(body, Map.of("x-twitter-webhooks-signature-oauth2", byClient)).status());
            assertEquals(200, oauth2.x.post(body, Map.of("x-twitter-webhooks-signature", oauth2.x.sign(body))).status());
            String token = Bridge.jsonOrMissing(oauth2.x.challenge("foo").body()).path("response_token").asText();
            assertEquals(Bridge.Signatures.xWebhook("the-client-secret", "foo".getBytes(UTF_8)), token);
        }
        // Without a client secret that header opens nothing, not even with the HMAC of an empty key.
        byte[] body = rig.x.event(rig.customer("7"), "hi").getBytes(UTF_8);
        assertEquals(403, rig.x.post(body, Map.of("x-twitter-webhooks-signature-oauth2", rig.x.sign(body))).status());
    }

    @Test
    void forgedAndTamperedWebhooksAreRefusedAndCounted() throws Exception {
        Customer eve = rig.customer("666");
        byte[] body = rig.x.event(eve, "let me in").getBytes(UTF_8);
        String good = rig.x.sign(body);
        long before = rig.health().path("rejected").asLong();
        long received = rig.health().path("received").asLong();
        for (String signature : List.of("", "sha256=", good.substring(7), good.replaceFirst("sha256", "sha1"), good.substring(0, good.length() - 1),
                good + "=", "sha256=AAAA", good.toLowerCase())) {
            assertEquals(403, rig.x.post(body, Map.of("x-twitter-webhooks-signature", signature)).status(), signature);
        }
        byte[] tampered = body.clone();
        tampered[tampered.length / 2] ^= 1;
        assertEquals(403, rig.x.post(tampered, Map.of("x-twitter-webhooks-signature", good)).status());

        Map<String, String> form = webhook("let me in");
        String url = rig.url() + "/fromFlex?customer=666";
        byte[] encoded = encoded(form);
        Map<String, String> headers = Map.of("X-Twilio-Signature", rig.flex.sign(url, form), "Content-Type", FORM);
        String another = rig.url() + "/fromFlex?customer=667";
        assertEquals(403, rig.flex.post(another, encoded, headers).status(), "another customer in the URL");
        assertEquals(403, rig.flex.post(url, encoded(webhook("let me iN")), headers).status(), "another body");
        assertEquals(403, rig.flex.post(url, "%zz=%".getBytes(UTF_8), headers).status(), "no form");
        assertEquals(403, rig.flex.post(url, encoded, Map.of("Content-Type", FORM)).status(), "no signature");
        assertEquals(before + 13, rig.health().path("rejected").asLong());
        assertEquals(received, rig.health().path("received").asLong(), "nothing of it was kept");
    }

    private static final String FORM = "application/x-www-form-urlencoded";

    /** What an agent writes, as Twilio posts it. */
    private static Map<String, String> webhook(String text) {
        Map<String, String> form = new TreeMap<>(Map.of("AccountSid", SimulatedFlex.Account.sample().accountSid(),
                "EventType", "onMessageAdded", "ConversationSid", "CH" + HEX, "MessageSid", "IM" + HEX, "Author", "ada",
                "ParticipantSid", "MB" + HEX, "Index", "2"));
        form.put("Body", text);
        return form;
    }

    private static byte[] encoded(Map<String, String> form) {
        String all = form.entrySet().stream()
                .map(field -> Bridge.Form.escape(field.getKey()) + "=" + Bridge.Form.escape(field.getValue()))
                .collect(Collectors.joining("&"));
        return all.getBytes(UTF_8);
    }

    /** @return the status that a form gets at this target, with the signature for both or with the one given */
    private static int posted(String target, Map<String, String> form, String... signature) {
        String url = rig.url() + target;
        String signed = signature.length == 0 ? rig.flex.sign(url, form) : signature[0];
        return rig.flex.post(url, encoded(form), Map.of("X-Twilio-Signature", signed, "Content-Type", FORM)).status();
    }

    @Test
    void aCapturedWebhookOfFlexThatIsSplitAnewIsRefused() throws Exception {
        Map<String, String> genuine = webhook("your code is 1234");
        String signature = rig.flex.sign(rig.url() + "/fromFlex?customer=666", genuine);
        long received = rig.health().path("received").asLong();
        Map<String, String> digit = new TreeMap<>(genuine);
        digit.put("6", "");
        assertEquals(signature, rig.flex.sign(rig.url() + "/fromFlex?customer=66", digit));
        assertEquals(403, posted("/fromFlex?customer=66", digit, signature), "a digit of the customer is a field");
        Map<String, String> name = new TreeMap<>(genuine);
        name.put("6AccountSid", name.remove("AccountSid"));
        assertEquals(signature, rig.flex.sign(rig.url() + "/fromFlex?customer=66", name));
        assertEquals(403, posted("/fromFlex?customer=66", name, signature), "a digit of the customer begins a name");
        Map<String, String> sid = new TreeMap<>(genuine);
        sid.put("MessageSid", sid.get("MessageSid") + "ParticipantSid" + sid.remove("ParticipantSid"));
        assertEquals(signature, rig.flex.sign(rig.url() + "/fromFlex?customer=666", sid));
        assertEquals(403, posted("/fromFlex?customer=666", sid, signature), "a sid takes in the field after it");
        assertEquals(received, rig.health().path("received").asLong());
    }

    @Test
    void whatTwilioSignsForOthersOrInAnotherShapeIsRefused() {
        Map<String, String> nothing = new TreeMap<>(webhook(""));
        assertEquals(200, posted("/fromFlex?customer=666", nothing));
        assertEquals(200, posted("/fromFlex", nothing), "registered by the Node original");
        for (String query : List.of("", "customer=", "customer=ada", "customer=12345678901234567890", "x=2", "customer=%31",
                "customer=1&customer=2", "customer=1&x=2", "custome%72=1", "customer=1%00")) {
            assertEquals(403, posted("/fromFlex?" + query, nothing), query);
        }
        Map<String, String> others = new TreeMap<>(nothing);
        others.put("AccountSid", "AC" + "9".repeat(32));
        assertEquals(403, posted("/fromFlex?customer=666", others), "another account's");
        nothing.remove("AccountSid");
        assertEquals(403, posted("/fromFlex?customer=666", nothing), "nobody's");
    }

    @Test
    void aBodyThatIsNoFormIsRefusedThoughTwilioSignedItsHash() {
        String hash = "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
        byte[] json = "{\"property\": \"value\", \"boolean\": true}".getBytes(UTF_8);
        for (String query : List.of(hash, "customer=666&" + hash, "customer=666")) {
            String url = rig.url() + "/fromFlex?" + query;
            String signature = rig.flex.sign(url, Map.of());
            for (String type : List.of("application/json", "text/plain", "", FORM)) {
                Map<String, String> headers = Map.of("X-Twilio-Signature", signature, "Content-Type", type);
                assertEquals(403, rig.flex.post(url, json, headers).status(), query + " as " + type);
            }
        }
    }

    @Test
    void thePublicUrlMayHaveAPathThatTheProxyKeepsOrStripsAndCapitalLetters() throws Exception {
        try (Rig below = new Rig(Rig.Generation.CURRENT)) {
            below.bridge.stop();
            below.environment.put("PUBLIC_URL", "https://Bridge.Example.com/Desk");
            below.flex.publicUrl("https://bridge.example.com", below.url());
            below.start();
            Customer ann = below.customer("9");
            Map<String, String> form = webhook("");
            String signature = below.flex.sign("https://bridge.example.com/Desk/fromFlex?customer=9", form);
            Map<String, String> headers = Map.of("X-Twilio-Signature", signature, "Content-Type", FORM);
            for (String path : List.of("/Desk", "")) {
                below.x.webhook(below.url() + path + "/fromTwitter");
                assertTrue(below.x.challengeHolds());
                assertEquals(200, below.x.post(below.x.event(ann, "by " + path)).status());
                String target = below.url() + path + "/fromFlex?customer=9";
                assertEquals(200, below.flex.post(target, encoded(form), headers).status(), path);
            }
            assertEquals(404, below.get("/desk/fromTwitter?crc_token=foo").statusCode());
            until("both", () -> below.written(ann).size() == 2);
            below.flex.agentWrites(below.chat(ann), "hello");
            until("the answer", () -> Rig.received(ann).equals(List.of("hello")));
        }
    }

    @Test
    void whileTheAuthTokenIsChangedNoWebhookOfFlexIsRefused() throws Exception {
        String token = SimulatedFlex.Account.sample().authToken();
        for (Map<String, String> tokens : List.of(Map.of("TWILIO_AUTH_TOKEN_NEXT", "the-next"),
                Map.of("TWILIO_AUTH_TOKEN", "the-last", "TWILIO_AUTH_TOKEN_NEXT", token))) {
            try (Rig changing = new Rig(Rig.Generation.CURRENT, tokens)) {
                Map<String, String> form = Map.of("EventType", "onConversationUpdated", "ConversationSid", "CH" + HEX);
                assertEquals(200, changing.flex.post(changing.url() + "/fromFlex?customer=1", form).status());
            }
        }
    }

    @Test
    void aReplayedWebhookIsDeliveredOnce() throws Exception {
        Customer ann = rig.customer("700");
        byte[] body = rig.x.event(ann, "once").getBytes(UTF_8);
        for (int i = 0; i < 5; i++) {
            assertEquals(200, signed(body).status());
        }
        until("the message", () -> rig.written(ann).equals(List.of("once")));
        rig.quiet();
        Chat chat = rig.chat(ann);
        Map<String, String> form = Map.of("EventType", "onMessageSent", "ChannelSid", chat.sid(), "MessageSid", "IM00000000000000000000000000000099",
                "From", "ada", "Body", "once", "Source", "SDK");
        for (int i = 0; i < 5; i++) {
            assertEquals(200, rig.flex.post(rig.url() + "/fromFlex?customer=700", form).status());
        }
        rig.quiet();
        assertEquals(List.of("once"), Rig.received(ann));
    }

    @Test
    void whatIsReplayedWhenItsIdIsForgottenIsLookedForFirst() throws Exception {
        try (Rig later = new Rig(Rig.Generation.CURRENT)) {
            Customer ann = later.customer("701");
            String event = later.x.event(ann, "of 2019")
                    .replaceFirst("\"created_timestamp\":\"[0-9]+\"", "\"created_timestamp\":\"1560000000000\"");
            later.x.post(event);
            until("the message", () -> later.written(ann).equals(List.of("of 2019")));
            Map<String, String> reply = webhook("so is this");
            reply.put("ConversationSid", later.chat(ann).sid());
            reply.put("DateCreated", "2019-06-08T13:20:00.000Z");
            String address = later.url() + "/fromFlex?customer=701";
            later.flex.post(address, reply);
            until("the reply", () -> Rig.received(ann).equals(List.of("so is this")));
            later.quiet();
            later.bridge.stop();
            Rig.delete(later.data.resolve("journal.jsonl"));
            later.start();
            assertEquals(200, later.x.post(event).status());
            assertEquals(200, later.flex.post(address, reply).status());
            later.quiet();
            assertEquals(2, later.health().path("delivered").asInt());
            assertEquals(List.of("of 2019"), later.written(ann));
            assertEquals(List.of("so is this"), Rig.received(ann));
        }
    }

    @Test
    void signedRubbishIsAClientError() throws Exception {
        byte[] latin = "{\"text\":\"\u00e9\"}".getBytes(java.nio.charset.StandardCharsets.ISO_8859_1);
        for (byte[] body : List.of(new byte[0], "{".getBytes(UTF_8), "hello".getBytes(UTF_8), "{} x".getBytes(UTF_8), latin, new byte[] {0, 1, 2},
                ("[".repeat(10_000) + "]".repeat(10_000)).getBytes(UTF_8), "{\"a\":".repeat(10_000).getBytes(UTF_8))) {
            Posted answer = signed(body);
            assertEquals(400, answer.status(), () -> new String(body, 0, Math.min(20, body.length), UTF_8));
            assertSentence(answer.body());
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"[]", "null", "42", "{}", "{\"direct_message_events\":{}}", "{\"direct_message_events\":[null,1,{},[]]}",
        "{\"for_user_id\":\"1\",\"follow_events\":[{}]}", "{\"tweet_create_events\":[{}]}", "{\"user_event\":{\"revoke\":{\"source\":{\"user_id\":\"1\"}}}}",
        "{\"direct_message_indicate_typing_events\":[{\"sender_id\":\"2\"}]}", "{\"unknown_events\":[{}],\"users\":[]}", "{\"data\":{\"event_type\":\"dm.read\"}}",
        "{\"data\":{\"event_type\":\"chat.received\",\"payload\":{\"sender_id\":\"9\"}}}", "{\"data\":{\"event_type\":\"oauth.revoke\",\"payload\":{\"user_id\":\"1\"}}}"})
    void otherKindsOfEventAreIgnoredAndCounted(String body) throws Exception {
        long before = rig.health().path("ignored").asLong();
        assertEquals(200, rig.x.post(body).status());
        assertTrue(rig.health().path("ignored").asLong() > before);
    }

    @Test
    void aBodyOfOneMebibyteAndOneByteIsTooLarge() throws Exception {
        byte[] largest = new byte[1 << 20];
        Arrays.fill(largest, (byte) ' ');
        largest[0] = '{';
        largest[largest.length - 1] = '}';
        assertEquals(200, signed(largest).status());
        byte[] larger = Arrays.copyOf(largest, largest.length + 1);
        long before = rig.health().path("rejected").asLong();
        Posted answer = signed(larger);
        assertEquals(413, answer.status());
        assertEquals(before + 1, rig.health().path("rejected").asLong());
        assertSentence(answer.body());
    }

    @Test
    void keptAliveConnectionsAreAnsweredAtOnce() throws Exception {
        List<Long> times = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            long start = System.nanoTime();
            rig.get("/");
            times.add(System.nanoTime() - start);
        }
        times.sort(null);
        assertTrue(times.get(30) < 35_000_000, "median " + times.get(30) / 1e6 + " ms: Nagle's algorithm is on");
    }

    @Test
    void anAbsoluteTargetIsSignedAsThePublicOne() throws Exception {
        Map<String, String> form = webhook("");
        byte[] body = encoded(form);
        String signature = rig.flex.sign(rig.url() + "/fromFlex?customer=1", form);
        String answer = raw("POST http://evil.example/fromFlex?customer=1 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n"
                + "Content-Type: " + FORM + "\r\nContent-Length: " + body.length + "\r\nX-Twilio-Signature: "
                + signature + "\r\n\r\n" + new String(body, UTF_8));
        assertTrue(answer.startsWith("HTTP/1.1 200"), answer);
    }

    private static String raw(String request) throws IOException {
        try (Socket socket = new Socket("127.0.0.1", rig.port); InputStream in = socket.getInputStream()) {
            socket.setSoTimeout(5_000);
            socket.getOutputStream().write(request.getBytes(UTF_8));
            return new String(in.readAllBytes(), UTF_8);
        }
    }

    @Test
    void aHandlerThatThrowsAnythingAnswers500() {
        Bridge.Request broken = new Bridge.Request("POST", "/fromTwitter", null, null, new byte[0]);
        org.junit.jupiter.api.Assertions.assertThrows(NullPointerException.class, () -> rig.bridge.answer(broken), "and serve() turns it into a 500");
    }
}
