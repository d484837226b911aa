package twitterflex.sandbox;

import static twitterflex.sandbox.SimulatedFlex.attributes;
import static twitterflex.sandbox.SimulatedFlex.missing;
import static twitterflex.sandbox.SimulatedFlex.refused;
import static twitterflex.sandbox.SimulatedFlex.reply;
import static twitterflex.sandbox.SimulatedFlex.require;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/** What the two generations of Flex's messaging share: a chat has messages, and up to five webhooks of its own. */
abstract sealed class ChatApi permits ProgrammableChat, Conversations {

    static final int MOST_WEBHOOKS = 5;
    static final int LONGEST_BODY = 32 * 1024;
    static final int LONGEST_CHAT_ATTRIBUTES = 16 * 1024;
    static final int LONGEST_MESSAGE_ATTRIBUTES = 4 * 1024;

    final SimulatedFlex flex;
    private final Map<String, Chat> byUniqueName = new HashMap<>();

    ChatApi(SimulatedFlex flex) {
        this.flex = flex;
    }

    abstract Reply answer(Request request, Form form);

    /** Fires the webhook of a message. */
    abstract void tell(Chat chat, Chat.Posted message, boolean sdk);

    /** Ends the chat as Flex does when the agent completes the task. */
    abstract void end(Chat chat);

    /** The events a webhook may ask for. */
    abstract Set<String> events();

    abstract int tooManyWebhooks();

    abstract ObjectNode shown(Chat chat);

    abstract ObjectNode shown(Chat chat, Chat.Webhook webhook);

    abstract ObjectNode shown(Chat chat, int message);

    Chat found(String sidOrUniqueName, boolean conversation) {
        Chat chat = byUniqueName.getOrDefault(sidOrUniqueName, flex.chats.get(sidOrUniqueName));
        if (chat == null || chat.conversation != conversation) {
            throw missing("/" + sidOrUniqueName);
        }
        return chat;
    }

    /** A unique name belongs to one chat, be it closed, until the chat is renamed or deleted. */
    void rename(Chat chat, String uniqueName) {
        if (byUniqueName.getOrDefault(uniqueName, chat) != chat) {
            throw refused(409, this instanceof Conversations ? 50353 : 50307, "Conversation with provided unique name already exists");
        }
        byUniqueName.remove(chat.uniqueName);
        chat.uniqueName = uniqueName;
        if (!uniqueName.isEmpty()) {
            byUniqueName.put(uniqueName, chat);
        }
    }

    /** The message a request posts, by {@code author}; header X-Twilio-Webhook-Enabled decides whether webhooks tell of it. */
    Chat.Posted post(Request request, Chat chat, Form form, String author) {
        String body = form.first("Body");
        require(!form.has("ContentSid"), 20001, "The sandbox takes no content templates.");
        require(!body.isEmpty() || form.has("MediaSid"), 20001, "A message needs a Body or a MediaSid.");
        if (!body.isEmpty() && form.has("MediaSid")) {
            // The page "Flex Conversations limits"; the API itself takes both.
            flex.violation("Flex cannot show text and a file in one message.");
        }
        require(body.getBytes(StandardCharsets.UTF_8).length <= LONGEST_BODY, 50504, "Message body too long");
        String attributes = attributes(form.first("Attributes", "{}"), LONGEST_MESSAGE_ATTRIBUTES);
        List<TwilioMedia.Stored> files = form.all("MediaSid").stream().map(flex.media()::named).toList();
        return flex.say(chat, author, body, attributes, files, false, webhooksEnabled(request));
    }

    static boolean webhooksEnabled(Request request) {
        return request.header("X-Twilio-Webhook-Enabled").equals("true");
    }

    Reply messages(Request request, Chat chat) {
        int count = chat.posted.size();
        boolean descending = Form.parse(request.query()).first("Order").equals("desc");
        List<Integer> indexes = IntStream.range(0, count).map(i -> descending ? count - 1 - i : i).boxed().toList();
        return flex.page(request, "messages", indexes, index -> shown(chat, index), 50);
    }

    Reply message(Chat chat, String sid) {
        int index = chat.posted.stream().map(Chat.Posted::sid).toList().indexOf(sid);
        if (index < 0) {
            throw missing("/Messages/" + sid);
        }
        return reply(200, shown(chat, index));
    }

    /** Of a message that is there, the sandbox lets only the attributes be changed. */
    Reply change(Chat chat, String sid, Form form) {
        message(chat, sid);
        require(Set.of("Attributes").equals(form.fields().stream().map(Map.Entry::getKey).collect(Collectors.toSet())), 20001,
                "The sandbox changes the attributes of a message, and nothing else of it.");
        String attributes = attributes(form.first("Attributes"), LONGEST_MESSAGE_ATTRIBUTES);
        chat.posted.replaceAll(one -> one.sid().equals(sid) ? new Chat.Posted(sid, one.author(), one.body(), attributes, one.at()) : one);
        return message(chat, sid);
    }

    Reply webhooks(Request request, Chat chat) {
        return flex.page(request, "webhooks", List.copyOf(chat.webhooks.values()), webhook -> shown(chat, webhook), MOST_WEBHOOKS);
    }

    Reply addWebhook(Chat chat, Form form) {
        require(form.first("Target", form.first("Type")).equals("webhook"), 20001, "The sandbox simulates webhooks of type webhook only.");
        require(form.has("Configuration.Url"), 50369, "Webhook URL is required");
        require(chat.webhooks.size() < MOST_WEBHOOKS, tooManyWebhooks(), "Too many webhooks");
        Chat.Webhook webhook = configured(new Chat.Webhook(flex.sid("WH"), "", "", List.of(), 0, Instant.now()), form);
        require(!webhook.filters().isEmpty(), 20001, "Configuration.Filters must name an event");
        chat.webhooks.put(webhook.sid(), webhook);
        return reply(201, shown(chat, webhook));
    }

    Reply updateWebhook(Chat chat, String sid, Form form) {
        Chat.Webhook webhook = configured(webhook(chat, sid), form);
        chat.webhooks.put(sid, webhook);
        return reply(200, shown(chat, webhook));
    }

    Reply deleteWebhook(Chat chat, String sid) {
        chat.webhooks.remove(webhook(chat, sid).sid());
        return new Reply(204, Map.of(), "");
    }

    static Chat.Webhook webhook(Chat chat, String sid) {
        if (!chat.webhooks.containsKey(sid)) {
            throw missing("/Webhooks/" + sid);
        }
        return chat.webhooks.get(sid);
    }

    private Chat.Webhook configured(Chat.Webhook before, Form form) {
        for (String unused : List.of("Configuration.Triggers", "Configuration.FlowSid", "Configuration.ReplayAfter")) {
            require(!form.has(unused), 20001, "The sandbox does not simulate " + unused);
        }
        String url = form.first("Configuration.Url", before.url());
        require(DirectMessageRules.isWebAddress(url), 20001, "Configuration.Url is not an absolute URL");
        require(url.length() <= 512, 50372, "Webhook URL is too long");
        List<String> filters = form.has("Configuration.Filters") ? form.all("Configuration.Filters") : before.filters();
        require(events().containsAll(filters), 20001, "Configuration.Filters has an unknown event: " + filters);
        int retries = Integer.parseInt(form.first("Configuration.RetryCount", String.valueOf(before.retryCount())));
        require(retries >= 0 && retries <= 3, 50065, "Invalid retry count");
        String method = form.first("Configuration.Method", before.method());
        require(!method.equalsIgnoreCase("get"), 20001, "The sandbox posts its webhooks");
        return new Chat.Webhook(before.sid(), url, method, List.copyOf(filters), retries, before.created());
    }
}
