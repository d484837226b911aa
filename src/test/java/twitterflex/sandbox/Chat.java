package twitterflex.sandbox;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** One chat in Flex, whichever API it was made with: a channel of Programmable Chat or a conversation. */
public final class Chat {

    /**
     * A message in the chat; author as in From or Author, attributes a JSON text; the body of one with media may be
     * empty.
     */
    public record Posted(String sid, String author, String body, String attributes, Instant at,
            List<TwilioMedia.Stored> media) {

        public Posted(String sid, String author, String body, String attributes, Instant at) {
            this(sid, author, body, attributes, at, List.of());
        }

        public List<MediaFile> files() {
            return media.stream().map(TwilioMedia.Stored::file).toList();
        }
    }

    record Webhook(String sid, String url, String method, List<String> filters, int retryCount, Instant created) { }

    record Participant(String sid, String identity, String attributes, Instant created) { }

    private final Object lock;
    final String sid;
    final boolean conversation;
    final Instant created = Instant.now();
    final List<Posted> posted = new ArrayList<>();
    final Map<String, Webhook> webhooks = new LinkedHashMap<>();
    final List<Participant> participants = new ArrayList<>();
    Instant updated = created;
    String friendlyName = "";
    String uniqueName = "";
    String attributes = "{}";
    String state = "active";
    String task = ""; // the SID of its task, once there is one

    Chat(Object lock, String sid, boolean conversation) {
        this.lock = lock;
        this.sid = sid;
        this.conversation = conversation;
    }

    public String sid() {
        return sid;
    }

    /** The customer's: that of the first participant, empty before there is one. */
    public String identity() {
        synchronized (lock) {
            return participants.isEmpty() ? "" : participants.get(0).identity();
        }
    }

    public String friendlyName() {
        synchronized (lock) {
            return friendlyName;
        }
    }

    /** Empty when it has none. */
    public String uniqueName() {
        synchronized (lock) {
            return uniqueName;
        }
    }

    /** Whether the state is not closed, or in Programmable Chat the attributes' status is ACTIVE. */
    public boolean open() {
        synchronized (lock) {
            return conversation ? !state.equals("closed") : Json.parse(attributes).path("status").asText().equals("ACTIVE");
        }
    }

    public List<Posted> messages() {
        synchronized (lock) {
            return List.copyOf(posted);
        }
    }

    /** The files of all messages by this author, in order. */
    public List<MediaFile> files(String author) {
        return messages().stream().filter(message -> message.author().equals(author))
                .flatMap(message -> message.files().stream()).toList();
    }

    public List<String> webhookUrls() {
        synchronized (lock) {
            return webhooks.values().stream().map(Webhook::url).toList();
        }
    }

    /** As if another bridge had registered them. */
    public void moveWebhooks(String url) {
        synchronized (lock) {
            webhooks.replaceAll((sid, one) -> new Webhook(sid, url, one.method(), one.filters(), one.retryCount(), one.created()));
        }
    }

    public JsonNode attributes() {
        synchronized (lock) {
            return Json.parse(attributes);
        }
    }

    Optional<Participant> participant(String sidOrIdentity) {
        return participants.stream().filter(one -> one.sid().equals(sidOrIdentity) || one.identity().equals(sidOrIdentity)).findFirst();
    }
}
