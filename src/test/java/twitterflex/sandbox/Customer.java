package twitterflex.sandbox;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Somebody on X who writes to the support account and reads its answers. */
public final class Customer {

    /** A Direct Message as the customer sees it; without options or buttons the lists are empty. */
    public record Received(String id, String text, List<QuickReplyOption> options, List<Button> buttons, Instant at,
            Optional<MediaFile> media) {

        public Received(String id, String text, List<QuickReplyOption> options, List<Button> buttons, Instant at) {
            this(id, text, options, buttons, at, Optional.empty());
        }
    }

    /** What a quick reply offers; description and metadata are empty when absent. */
    public record QuickReplyOption(String label, String description, String metadata) { }

    public record Button(String label, String url) { }

    private final SimulatedX x;
    private final String id;
    private final String handle;
    private final String name;
    private final List<Received> inbox = new ArrayList<>();
    private boolean blocks;

    Customer(SimulatedX x, String id, String handle, String name) {
        this.x = x;
        this.id = id;
        this.handle = handle;
        this.name = name;
    }

    public String id() {
        return id;
    }

    /** Without the @. */
    public String handle() {
        return handle;
    }

    public String name() {
        return name;
    }

    /** Sends a Direct Message to the support account; returns the event's id at once, the webhook follows in the background. */
    public String writes(String text) {
        return x.write(this, text, null, null);
    }

    /** The same with an {@code attachment} as in message_data; media's t.co link is added to the text, as X does. */
    public String writes(String text, ObjectNode attachment) {
        return x.write(this, text, attachment, null);
    }

    /** Sends a photo, with a caption, which may be empty; returns the event's id at once, as {@link #writes} does. */
    public String sendsPhoto(byte[] bytes, String type, String caption) {
        return sendsPhoto(MediaFile.of("", type, bytes), caption);
    }

    public String sendsPhoto(MediaFile photo, String caption) {
        return x.send(this, caption, XMedia.Kind.PHOTO, List.of(photo));
    }

    /** Sends what X calls an animated GIF: a video, of type video/mp4. */
    public String sendsGif(MediaFile video, String caption) {
        return x.send(this, caption, XMedia.Kind.ANIMATED_GIF, List.of(video));
    }

    /** Sends a video, of which X offers up to three variants, the best first. */
    public String sendsVideo(String caption, MediaFile... variants) {
        return x.send(this, caption, XMedia.Kind.VIDEO, List.of(variants));
    }

    /** Taps an option of a quick reply. */
    public String answers(QuickReplyOption option) {
        ObjectNode response = Json.object("type", "options");
        if (!option.metadata().isEmpty()) {
            response.put("metadata", option.metadata());
        }
        return x.write(this, option.label(), null, response);
    }

    /** While true, X refuses what the support account sends to this customer. */
    public void blocks(boolean blocks) {
        synchronized (x) {
            this.blocks = blocks;
        }
    }

    boolean blocks() {
        return blocks;
    }

    /** What reached the customer, oldest first. */
    public List<Received> inbox() {
        synchronized (x) {
            return List.copyOf(inbox);
        }
    }

    /** The pictures and videos that reached the customer, in order. */
    public List<MediaFile> files() {
        return inbox().stream().flatMap(message -> message.media().stream()).toList();
    }

    void receive(Received message) {
        inbox.add(message);
    }
}
