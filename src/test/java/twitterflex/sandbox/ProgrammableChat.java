package twitterflex.sandbox;

import static twitterflex.sandbox.SimulatedFlex.attributes;
import static twitterflex.sandbox.SimulatedFlex.milliseconds;
import static twitterflex.sandbox.SimulatedFlex.missing;
import static twitterflex.sandbox.SimulatedFlex.reply;
import static twitterflex.sandbox.SimulatedFlex.require;
import static twitterflex.sandbox.SimulatedFlex.requireSetUp;
import static twitterflex.sandbox.SimulatedFlex.time;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/** The older generation: Flex Flows make channels of Programmable Chat, and Studio makes the task (end of life June 2026). */
final class ProgrammableChat extends ChatApi {

    private static final String CHANNELS = "/v2/Services/{ServiceSid}/Channels";
    private static final String CHANNEL = CHANNELS + "/{Sid}";
    private static final String PART = CHANNELS + "/{ChannelSid}";

    ProgrammableChat(SimulatedFlex flex) {
        super(flex);
    }

    @Override
    Reply answer(Request request, Form form) {
        String sid = request.variables().getOrDefault("Sid", "");
        if (request.operation().equals("POST /v1/Channels")) {
            return open(form);
        }
        if (request.operation().equals("GET " + CHANNELS)) {
            flex.violation("The bridge must not list all channels.");
            return flex.page(request, "channels", flex.chats().stream().filter(chat -> !chat.conversation).toList(), this::shown, 50);
        }
        Chat chat = found(request.variables().getOrDefault("ChannelSid", sid), false);
        return switch (request.operation()) {
            case "GET /v1/Channels/{Sid}" -> reply(200, flexChannel(chat));
            case "GET " + CHANNEL -> reply(200, shown(chat));
            case "POST " + CHANNEL -> update(request, chat, form);
            case "GET " + PART + "/Messages" -> messages(request, chat);
            case "POST " + PART + "/Messages" -> write(request, chat, form);
            case "POST " + PART + "/Messages/{Sid}" -> change(chat, request.variables().get("Sid"), form);
            case "GET " + PART + "/Webhooks" -> webhooks(request, chat);
            case "POST " + PART + "/Webhooks" -> addWebhook(chat, form);
            case "GET " + PART + "/Webhooks/{Sid}" -> reply(200, shown(chat, webhook(chat, sid)));
            case "POST " + PART + "/Webhooks/{Sid}" -> updateWebhook(chat, sid, form);
            case "DELETE " + PART + "/Webhooks/{Sid}" -> deleteWebhook(chat, sid);
            default -> throw missing(request.path());
        };
    }

    /** While an identity's channel is ACTIVE the same request returns it again. */
    private Reply open(Form form) {
        String identity = form.first("Identity");
        if (!flex.provisioning().hasFlexFlow(form.first("FlexFlowSid"))) {
            throw missing("/FlexFlows/" + form.first("FlexFlowSid"));
        }
        requireSetUp(flex.provisioning().enabled(form.first("FlexFlowSid")), "The Flex Flow is not enabled");
        require(!form.has("TaskSid"), 20001, "TaskSid is only for flows whose integration type is task; this one's is studio");
        attributes(form.first("PreEngagementData", "{}"), LONGEST_CHAT_ATTRIBUTES);
        attributes(form.first("TaskAttributes", "{}"), SimulatedFlex.LONGEST_TASK_ATTRIBUTES);
        // Not documented for a Flex Channel: as for a channel that is made, the strictest there is.
        require(form.first("ChatFriendlyName").length() <= 64 && form.first("ChatUserFriendlyName").length() <= 64, 50003,
                "Friendly name too long");
        require(form.first("ChatUniqueName").length() <= 64, 50004, "Unique name too long");
        require(identity.length() <= 256 && form.first("Target").length() <= 256, 50207, "Identity too long");
        Chat chat = flex.openChat(identity).filter(open -> !open.conversation).orElseGet(() -> {
            Chat made = new Chat(flex, flex.sid("CH"), false);
            made.friendlyName = form.first("ChatFriendlyName");
            rename(made, form.first("ChatUniqueName"));
            made.attributes = Json.object("from", form.first("Target", identity), "channel_type", "custom", "status", "ACTIVE",
                    "long_lived", form.first("LongLived").equals("true"),
                    "pre_engagement_data", Json.parse(form.first("PreEngagementData", "{}"))).toString();
            flex.begin(made);
            flex.join(made, new Chat.Participant(flex.sid("US"), identity, form.first("TaskAttributes", "{}"), Instant.now()));
            return made;
        });
        return reply(201, flexChannel(chat));
    }

    private Reply write(Request request, Chat chat, Form form) {
        post(request, chat, form, form.first("From", "system"));
        if (webhooksEnabled(request) && chat.task.isEmpty()) { // the flow's Studio webhook runs, and its Send To Flex makes the task
            ObjectNode task = Json.object("name", chat.attributes().path("from"), "channelType", "web", "channelSid", chat.sid());
            task.setAll((ObjectNode) Json.parse(chat.participants.get(0).attributes()));
            chat.attributes = ((ObjectNode) chat.attributes()).put("task_sid", flex.addTask(chat, task).sid()).toString();
        }
        return reply(201, shown(chat, chat.posted.size() - 1));
    }

    private Reply update(Request request, Chat chat, Form form) {
        require(form.first("FriendlyName").length() <= 256, 20001, "FriendlyName too long");
        chat.friendlyName = form.first("FriendlyName", chat.friendlyName);
        rename(chat, form.first("UniqueName", chat.uniqueName));
        chat.attributes = attributes(form.first("Attributes", chat.attributes), LONGEST_CHAT_ATTRIBUTES);
        chat.updated = Instant.now();
        if (webhooksEnabled(request)) {
            flex.fire(chat, "onChannelUpdated", updated(chat), false);
        }
        return reply(200, shown(chat));
    }

    @Override
    void end(Chat chat) {
        chat.attributes = ((ObjectNode) chat.attributes()).put("status", "INACTIVE").toString();
        chat.updated = Instant.now();
        flex.fire(chat, "onChannelUpdated", updated(chat), true);
    }

    private Map<String, String> updated(Chat chat) {
        return Map.of("CreatedBy", "system", "FriendlyName", chat.friendlyName, "InstanceSid", flex.account.chatService(),
                "DateUpdated", milliseconds(chat.updated), "Attributes", chat.attributes, "DateCreated", milliseconds(chat.created),
                "ChannelSid", chat.sid(), "ChannelType", "private");
    }

    @Override
    void tell(Chat chat, Chat.Posted message, boolean sdk) {
        Map<String, String> details = new LinkedHashMap<>(Map.of("InstanceSid", flex.account.chatService(),
                "Attributes", message.attributes(), "DateCreated", milliseconds(message.at()),
                "Index", String.valueOf(chat.posted.size() - 1), "From", message.author(),
                "MessageSid", message.sid(), "ChannelSid", chat.sid(), "Body", message.body()));
        message.media().forEach(one -> details.putAll(Map.of("MediaSid", one.sid(),
                "MediaSize", String.valueOf(one.file().length()), "MediaContentType", one.file().type(),
                "MediaFilename", one.file().name())));
        flex.fire(chat, message.media().isEmpty() ? "onMessageSent" : "onMediaMessageSent", details, sdk);
    }

    @Override
    Set<String> events() {
        return Set.of("onMessageSend", "onMessageUpdate", "onMessageRemove", "onMediaMessageSend", "onChannelUpdate", "onChannelDestroy",
                "onMemberAdd", "onMemberUpdate", "onMemberRemove", "onMessageSent", "onMessageUpdated", "onMessageRemoved",
                "onMediaMessageSent", "onChannelUpdated", "onChannelDestroyed", "onMemberAdded", "onMemberUpdated", "onMemberRemoved");
    }

    @Override
    int tooManyWebhooks() {
        return 50321;
    }

    private ObjectNode flexChannel(Chat chat) {
        return Json.object("flex_flow_sid", flex.account.flexFlow(), "account_sid", flex.account.accountSid(), "sid", chat.sid(),
                "task_sid", null, "user_sid", chat.participants.get(0).sid(), "date_created", time(chat.created),
                "date_updated", time(chat.updated), "url", "https://flex-api.twilio.com/v1/Channels/" + chat.sid());
    }

    private String url(Chat chat) {
        return "https://chat.twilio.com/v2/Services/" + flex.account.chatService() + "/Channels/" + chat.sid();
    }

    @Override
    ObjectNode shown(Chat chat) {
        return Json.object("sid", chat.sid(), "account_sid", flex.account.accountSid(), "service_sid", flex.account.chatService(),
                "friendly_name", chat.friendlyName, "unique_name", chat.uniqueName.isEmpty() ? null : chat.uniqueName,
                "attributes", chat.attributes, "type", "private", "date_created", time(chat.created), "date_updated", time(chat.updated),
                "created_by", "system", "members_count", chat.participants.size(), "messages_count", chat.posted.size(), "url", url(chat),
                "links", Json.object("members", url(chat) + "/Members", "messages", url(chat) + "/Messages",
                        "invites", url(chat) + "/Invites", "webhooks", url(chat) + "/Webhooks", "last_message", null));
    }

    @Override
    ObjectNode shown(Chat chat, Chat.Webhook webhook) {
        return Json.object("sid", webhook.sid(), "account_sid", flex.account.accountSid(), "service_sid", flex.account.chatService(),
                "channel_sid", chat.sid(), "type", "webhook", "configuration", Json.object("url", webhook.url(),
                        "method", webhook.method().isEmpty() ? "POST" : webhook.method(), "filters", webhook.filters(),
                        "retry_count", webhook.retryCount()),
                "date_created", time(webhook.created()), "date_updated", time(webhook.created()),
                "url", url(chat) + "/Webhooks/" + webhook.sid());
    }

    @Override
    ObjectNode shown(Chat chat, int index) {
        Chat.Posted message = chat.posted.get(index);
        return Json.object("sid", message.sid(), "account_sid", flex.account.accountSid(), "service_sid", flex.account.chatService(),
                "to", chat.sid(), "channel_sid", chat.sid(), "attributes", message.attributes(), "date_created", time(message.at()),
                "date_updated", time(message.at()), "last_updated_by", null, "was_edited", false, "from", message.author(),
                "body", message.body(), "index", index, "type", message.media().isEmpty() ? "text" : "media",
                "media", message.media().stream().map(TwilioMedia.Stored::shown).findFirst().orElse(null),
                "url", url(chat) + "/Messages/" + message.sid());
    }
}
