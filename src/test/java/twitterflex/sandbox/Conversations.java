package twitterflex.sandbox;

import static twitterflex.sandbox.SimulatedFlex.attributes;
import static twitterflex.sandbox.SimulatedFlex.milliseconds;
import static twitterflex.sandbox.SimulatedFlex.missing;
import static twitterflex.sandbox.SimulatedFlex.refused;
import static twitterflex.sandbox.SimulatedFlex.reply;
import static twitterflex.sandbox.SimulatedFlex.require;
import static twitterflex.sandbox.SimulatedFlex.time;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/** The generation that lives on: Flex Conversations, whose unique names and final closing the bridge must live with. */
final class Conversations extends ChatApi {

    private static final String ALL = "/v1/Conversations";
    private static final String ONE = ALL + "/{Sid}";
    private static final String PART = ALL + "/{ConversationSid}";
    private static final String MESSAGING_SERVICE = "MG0a5f9b71f82def9eb810ce529fd1fbbc";

    Conversations(SimulatedFlex flex) {
        super(flex);
    }

    @Override
    Reply answer(Request request, Form form) {
        String operation = request.operation().replace("/Services/{ChatServiceSid}", "");
        String sid = request.variables().getOrDefault("Sid", "");
        switch (operation) {
            case "POST " + ALL:
                return create(form);
            case "GET " + ALL:
                flex.violation("The bridge must not list all conversations.");
                return flex.page(request, "conversations", flex.chats().stream().filter(one -> one.conversation).toList(),
                        this::shown, 50);
            case "GET /v1/ParticipantConversations":
                return ofParticipant(request);
            default:
        }
        Chat chat = found(request.variables().getOrDefault("ConversationSid", sid), true);
        if (request.method().equals("POST") && chat.state.equals("closed")) {
            throw refused(400, 50377, "Conversation is in final closed state and can't be updated");
        }
        return switch (operation) {
            case "GET " + ONE -> reply(200, shown(chat));
            case "POST " + ONE -> update(request, chat, form);
            case "DELETE " + ONE -> delete(chat);
            case "GET " + PART + "/Messages" -> messages(request, chat);
            case "POST " + PART + "/Messages" -> write(request, chat, form);
            case "GET " + PART + "/Messages/{Sid}" -> message(chat, sid);
            case "POST " + PART + "/Messages/{Sid}" -> change(chat, sid, form);
            case "GET " + PART + "/Participants" ->
                    flex.page(request, "participants", List.copyOf(chat.participants), one -> shown(chat, one), 50);
            case "POST " + PART + "/Participants" -> addParticipant(chat, form);
            case "GET " + PART + "/Participants/{Sid}" ->
                    reply(200, shown(chat, chat.participant(sid).orElseThrow(() -> missing("/Participants/" + sid))));
            case "GET " + PART + "/Webhooks" -> webhooks(request, chat);
            case "POST " + PART + "/Webhooks" -> addWebhook(chat, form);
            case "GET " + PART + "/Webhooks/{Sid}" -> reply(200, shown(chat, webhook(chat, sid)));
            case "POST " + PART + "/Webhooks/{Sid}" -> updateWebhook(chat, sid, form);
            case "DELETE " + PART + "/Webhooks/{Sid}" -> deleteWebhook(chat, sid);
            default -> throw missing(request.path());
        };
    }

    private Reply create(Form form) {
        require(form.has("State") || !form.has("Timers.Inactive") && !form.has("Timers.Closed"), 50382, "Timer can't be set without state");
        require(!form.first("State").equals("closed"), 50384, "Initial state can't be 'closed'");
        Chat chat = new Chat(flex, flex.sid("CH"), true);
        change(chat, form);
        flex.begin(chat);
        return reply(201, shown(chat));
    }

    private Reply update(Request request, Chat chat, Form form) {
        String before = chat.state;
        change(chat, form);
        if (webhooksEnabled(request)) {
            flex.fire(chat, "onConversationUpdated", updated(chat), false);
            if (!before.equals(chat.state)) {
                flex.fire(chat, "onConversationStateUpdated", stateUpdated(chat, before), false);
            }
        }
        return reply(200, shown(chat));
    }

    private void change(Chat chat, Form form) {
        String uniqueName = form.first("UniqueName", chat.uniqueName);
        require(!uniqueName.matches("CH[0-9a-f]{32}"), 50390, "UniqueName must not look like a SID");
        String friendlyName = form.first("FriendlyName", chat.friendlyName);
        require(friendlyName.length() <= 256 && uniqueName.length() <= 256, 20001, "FriendlyName or UniqueName too long");
        String attributes = attributes(form.first("Attributes", chat.attributes), LONGEST_CHAT_ATTRIBUTES);
        timer(form, "Timers.Inactive", Duration.ofMinutes(1));
        timer(form, "Timers.Closed", Duration.ofMinutes(10));
        rename(chat, uniqueName);
        chat.friendlyName = friendlyName;
        chat.attributes = attributes;
        chat.state = form.first("State", chat.state);
        chat.updated = Instant.now();
    }

    private static void timer(Form form, String name, Duration least) {
        try {
            require(!form.has(name) || Duration.parse(form.first(name)).compareTo(least) >= 0, 20001, name + " must be at least " + least);
        } catch (DateTimeParseException e) {
            require(false, 20001, name + " is not an ISO 8601 duration");
        }
    }

    private Reply delete(Chat chat) {
        rename(chat, "");
        flex.remove(chat);
        return new Reply(204, Map.of(), "");
    }

    private Reply addParticipant(Chat chat, Form form) {
        String identity = form.first("Identity");
        require(!identity.isEmpty() && identity.length() <= 256, 20001, "Identity must have 1 to 256 characters");
        if (chat.participant(identity).isPresent()) {
            throw refused(409, 50433, "Participant already exists");
        }
        Chat.Participant participant = new Chat.Participant(flex.sid("MB"), identity,
                attributes(form.first("Attributes", "{}"), LONGEST_MESSAGE_ATTRIBUTES), Instant.now());
        flex.join(chat, participant);
        return reply(201, shown(chat, participant));
    }

    private Reply write(Request request, Chat chat, Form form) {
        if (chat.state.equals("inactive")) {
            // What wakes it is told by a webhook of Flex's own, and so only if webhooks are enabled.
            require(webhooksEnabled(request), 20001, "Nobody hears of a message into an inactive conversation without webhooks");
            chat.state = "active";
            flex.addTask(chat, Json.object("conversationSid", chat.sid()));
        }
        post(request, chat, form, form.first("Author", "system"));
        return reply(201, shown(chat, chat.posted.size() - 1));
    }

    private Reply ofParticipant(Request request) {
        String identity = Form.parse(request.query()).first("Identity");
        require(!identity.isEmpty(), 20001, "The sandbox looks for conversations by Identity");
        List<Chat> all = flex.chats(identity).stream().filter(chat -> chat.conversation).toList();
        return flex.page(request, "conversations", all, chat -> {
            Chat.Participant participant = chat.participant(identity).orElseThrow();
            return Json.object("account_sid", flex.account.accountSid(), "chat_service_sid", flex.account.chatService(),
                    "participant_sid", participant.sid(), "participant_user_sid", null, "participant_identity", identity,
                    "participant_messaging_binding", null, "conversation_sid", chat.sid(),
                    "conversation_unique_name", chat.uniqueName.isEmpty() ? null : chat.uniqueName,
                    "conversation_friendly_name", chat.friendlyName, "conversation_attributes", chat.attributes,
                    "conversation_date_created", time(chat.created), "conversation_date_updated", time(chat.updated),
                    "conversation_created_by", "system", "conversation_state", chat.state, "conversation_timers", Json.object(),
                    "links", Json.object("participant", url(chat) + "/Participants/" + participant.sid(), "conversation", url(chat)));
        }, 50);
    }

    @Override
    void end(Chat chat) {
        becomes(chat, "closed");
    }

    void leave(Chat chat) {
        becomes(chat, "inactive");
    }

    private void becomes(Chat chat, String state) {
        String before = chat.state;
        chat.state = state;
        chat.updated = Instant.now();
        flex.fire(chat, "onConversationStateUpdated", stateUpdated(chat, before), false);
    }

    private Map<String, String> stateUpdated(Chat chat, String before) {
        return Map.of("ChatServiceSid", flex.account.chatService(), "ConversationSid", chat.sid(),
                "StateUpdated", milliseconds(chat.updated), "StateFrom", before, "StateTo", chat.state,
                "Reason", "API", "MessagingServiceSid", MESSAGING_SERVICE);
    }

    private Map<String, String> updated(Chat chat) {
        return Map.of("ConversationSid", chat.sid(), "DateCreated", milliseconds(chat.created), "DateUpdated", milliseconds(chat.updated),
                "FriendlyName", chat.friendlyName, "UniqueName", chat.uniqueName, "Attributes", chat.attributes,
                "ChatServiceSid", flex.account.chatService(), "MessagingServiceSid", MESSAGING_SERVICE, "State", chat.state);
    }

    @Override
    void tell(Chat chat, Chat.Posted message, boolean sdk) {
        Map<String, String> details = new LinkedHashMap<>(Map.of("MessagingServiceSid", MESSAGING_SERVICE,
                "Attributes", message.attributes(), "DateCreated", milliseconds(message.at()),
                "Index", String.valueOf(chat.posted.size() - 1), "ChatServiceSid", flex.account.chatService(),
                "MessageSid", message.sid(), "Author", message.author(),
                "ConversationSid", chat.sid()));
        chat.participant(message.author()).ifPresent(participant -> details.put("ParticipantSid", participant.sid()));
        if (!message.media().isEmpty()) {
            List<ObjectNode> told = message.media().stream().map(TwilioMedia.Stored::told).toList();
            details.put("Media", Json.array(told).toString());
        }
        if (message.media().isEmpty() || !message.body().isEmpty()) {
            details.put("Body", message.body());
        }
        flex.fire(chat, "onMessageAdded", details, sdk);
    }

    @Override
    Set<String> events() {
        return Set.of("onMessageAdded", "onMessageUpdated", "onMessageRemoved", "onConversationUpdated", "onConversationStateUpdated",
                "onConversationRemoved", "onParticipantAdded", "onParticipantUpdated", "onParticipantRemoved", "onDeliveryUpdated");
    }

    @Override
    int tooManyWebhooks() {
        return 50361;
    }

    private static String url(Chat chat) {
        return "https://conversations.twilio.com/v1/Conversations/" + chat.sid();
    }

    @Override
    ObjectNode shown(Chat chat) {
        return Json.object("sid", chat.sid(), "account_sid", flex.account.accountSid(), "chat_service_sid", flex.account.chatService(),
                "messaging_service_sid", MESSAGING_SERVICE, "friendly_name", chat.friendlyName.isEmpty() ? null : chat.friendlyName,
                "unique_name", chat.uniqueName.isEmpty() ? null : chat.uniqueName, "attributes", chat.attributes, "state", chat.state,
                "date_created", time(chat.created), "date_updated", time(chat.updated), "timers", Json.object(), "bindings", Json.object(),
                "url", url(chat), "links", Json.object("participants", url(chat) + "/Participants", "messages", url(chat) + "/Messages",
                        "webhooks", url(chat) + "/Webhooks", "export", url(chat) + "/Export"));
    }

    private ObjectNode shown(Chat chat, Chat.Participant participant) {
        return Json.object("sid", participant.sid(), "account_sid", flex.account.accountSid(), "conversation_sid", chat.sid(),
                "identity", participant.identity(), "attributes", participant.attributes(), "messaging_binding", null,
                "role_sid", "RL0123456789abcdef0123456789abcdef", "last_read_message_index", null, "last_read_timestamp", null,
                "date_created", time(participant.created()), "date_updated", time(participant.created()),
                "url", url(chat) + "/Participants/" + participant.sid());
    }

    @Override
    ObjectNode shown(Chat chat, Chat.Webhook webhook) {
        return Json.object("sid", webhook.sid(), "account_sid", flex.account.accountSid(), "conversation_sid", chat.sid(),
                "target", "webhook", "configuration", Json.object("url", webhook.url(),
                        "method", webhook.method().isEmpty() ? "post" : webhook.method(), "filters", webhook.filters()),
                "date_created", time(webhook.created()), "date_updated", time(webhook.created()),
                "url", url(chat) + "/Webhooks/" + webhook.sid());
    }

    @Override
    ObjectNode shown(Chat chat, int index) {
        Chat.Posted message = chat.posted.get(index);
        return Json.object("sid", message.sid(), "account_sid", flex.account.accountSid(), "conversation_sid", chat.sid(),
                "body", message.body().isEmpty() ? null : message.body(), "media", media(message),
                "author", message.author(),
                "participant_sid", chat.participant(message.author()).map(Chat.Participant::sid).orElse(null),
                "attributes", message.attributes(), "date_created", time(message.at()), "date_updated", time(message.at()),
                "index", index, "delivery", null, "content_sid", null, "url", url(chat) + "/Messages/" + message.sid(),
                "links", Json.object("delivery_receipts", url(chat) + "/Messages/" + message.sid() + "/Receipts"));
    }

    private static JsonNode media(Chat.Posted message) {
        List<ObjectNode> files = message.media().stream().map(TwilioMedia.Stored::shown).toList();
        return files.isEmpty() ? NullNode.getInstance() : Json.array(files);
    }
}
