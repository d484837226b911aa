package twitterflex.sandbox;

import static twitterflex.sandbox.SimulatedFlex.missing;
import static twitterflex.sandbox.SimulatedFlex.reply;
import static twitterflex.sandbox.SimulatedFlex.require;
import static twitterflex.sandbox.SimulatedFlex.requireSetUp;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/** Flex's Interactions, which bring a conversation before an agent as a task, and TaskRouter's list of tasks. */
final class Interactions {

    private static final Set<String> TYPES = Set.of("voice", "sms", "email", "web", "whatsapp", "chat", "messenger", "gbm");
    private static final Pattern EQUALITY = Pattern.compile("\\s*(\\w+)\\s*==\\s*([\"'])(.*)\\2\\s*");

    private final SimulatedFlex flex;
    private final Map<String, ObjectNode> interactions = new LinkedHashMap<>();
    private int status = 200;
    private int futile;

    Interactions(SimulatedFlex flex) {
        this.flex = flex;
    }

    void comeToNothing(int count) {
        futile = count;
    }

    void status(int status) {
        this.status = status;
    }

    Reply answer(Request request, Form form) {
        String sid = request.variables().getOrDefault("Sid", "");
        if (request.operation().equals("POST /v1/Interactions")) {
            return create(form);
        }
        if (!interactions.containsKey(sid)) {
            throw missing("/Interactions/" + sid);
        }
        return reply(200, interactions.get(sid));
    }

    private Reply create(Form form) {
        require(form.has("Routing"), 20001, "Routing is required unless the Channel has a sid");
        JsonNode channel = Json.parse(form.first("Channel"));
        JsonNode routing = Json.parse(form.first("Routing"));
        only(channel, "Channel", "type", "initiated_by", "properties", "participants");
        only(channel.path("properties"), "Channel.properties", "media_channel_sid");
        only(routing, "Routing", "type", "properties");
        only(routing.path("properties"), "Routing.properties", "workspace_sid", "workflow_sid", "queue_sid", "worker_sid",
                "task_channel_sid", "task_channel_unique_name", "attributes", "priority", "timeout");
        String type = channel.path("type").asText();
        String initiator = channel.path("initiated_by").asText();
        require(TYPES.contains(type), 20001, "Channel.type must be one of " + TYPES);
        require(Set.of("customer", "api").contains(initiator), 20001, "Channel.initiated_by must be customer or api in the sandbox");
        Chat chat = flex.chats.get(channel.path("properties").path("media_channel_sid").asText());
        require(chat != null && chat.conversation, 20001, "Channel.properties.media_channel_sid must be a conversation");
        require(chat.open(), 45354, "Cannot create a Channel for a closed Conversation");
        require(initiator.equals("api") || chat.participants.stream().anyMatch(one -> !one.identity().equals(SimulatedFlex.AGENT)), 20001,
                "The customer must be in the conversation already");
        return reply(status, routed(chat, type, initiator, routing.path("properties")));
    }

    private ObjectNode routed(Chat chat, String type, String initiator, JsonNode properties) {
        SimulatedFlex.Account account = flex.account;
        require(properties.path("workspace_sid").asText().equals(account.workspace()), 20001, "Unknown workspace_sid");
        String workflow = properties.path("workflow_sid").asText();
        require(flex.provisioning().hasWorkflow(workflow) || workflow.equals(account.workflow()), 20001, "Another's workflow_sid");
        requireSetUp(flex.provisioning().hasWorkflow(workflow), "Unknown workflow_sid");
        String taskChannel = properties.path("task_channel_unique_name").asText();
        requireSetUp(flex.provisioning().hasTaskChannel(taskChannel), "Unknown task_channel_unique_name");
        JsonNode given = properties.path("attributes");
        require(given.isMissingNode() || given.isObject(), 20001, "Routing.properties.attributes must be an object");
        String sid = flex.sid("KD");
        String channelSid = flex.sid("UO");
        ObjectNode attributes = given.isObject() ? given.deepCopy() : Json.object();
        attributes.setAll(Json.object("flexChannelInviteSid", flex.sid("KG"), "channelType", type, "conversationSid", chat.sid(),
                "taskCreateSource", "interaction", "initiatedBy", initiator, "flexInteractionChannelSid", channelSid,
                "flexInteractionSid", sid, "direction", "inbound"));
        if (!attributes.has("customers")) {
            attributes.set("customers", Json.object());
        }
        if (flex.hasLiveTask(chat) || futile-- > 0) {
            // Accepted as all are, and then dropped, a second one with error 45353, "duplicate create Channel request".
            return Json.object("sid", sid, "channel", Json.object("sid", channelSid, "type", type, "participants", List.of()),
                    "routing", Json.object("properties", Json.object()));
        }
        SimulatedFlex.Task task = flex.addTask(chat, attributes);
        ObjectNode interaction = Json.object("sid", sid, "channel", Json.object("sid", channelSid, "type", type, "participants", List.of()),
                "routing", Json.object("properties", Json.object("sid", task.sid(), "account_sid", account.accountSid(),
                        "workspace_sid", account.workspace(), "workflow_sid", properties.path("workflow_sid"),
                        "task_channel_unique_name", taskChannel, "assignment_status", task.status(),
                        "attributes", task.attributes()), "reservation", null),
                "interaction_context_sid", null, "webhook_ttid", null, "url", "https://flex-api.twilio.com/v1/Interactions/" + sid,
                "links", Json.object("channels", "https://flex-api.twilio.com/v1/Interactions/" + sid + "/Channels"));
        interactions.put(sid, interaction);
        return interaction;
    }

    private static void only(JsonNode object, String name, String... known) {
        require(object.isObject(), 20001, name + " must be an object");
        Set<String> names = new HashSet<>();
        object.fieldNames().forEachRemaining(names::add);
        names.removeAll(Set.of(known));
        require(names.isEmpty(), 20001, name + " has unknown fields " + names);
    }

    /** Of EvaluateTaskAttributes only {@code attribute == "value"} is understood, in single or double quotes. */
    Reply tasks(Request request) {
        Form query = Form.parse(request.query());
        Matcher wanted = EQUALITY.matcher(query.first("EvaluateTaskAttributes", "sandbox == ''"));
        require(wanted.matches(), 20001, "The sandbox evaluates attribute == \"value\" only");
        List<String> statuses = query.all("AssignmentStatus").stream().flatMap(all -> Pattern.compile(",").splitAsStream(all)).toList();
        List<SimulatedFlex.Task> found = flex.tasks.values().stream()
                .filter(task -> statuses.isEmpty() || statuses.contains(task.status()))
                .filter(task -> !query.has("EvaluateTaskAttributes") || task.attributes().contains(wanted.group(3))
                        && Json.parse(task.attributes()).path(wanted.group(1)).asText().equals(wanted.group(3)))
                .toList();
        return flex.page(request, "tasks", found, this::shown, 50);
    }

    private ObjectNode shown(SimulatedFlex.Task task) {
        return Json.object("sid", task.sid(), "account_sid", flex.account.accountSid(), "workspace_sid", flex.account.workspace(),
                "workflow_sid", flex.account.workflow(), "task_channel_unique_name", flex.account.taskChannel(),
                "assignment_status", task.status(), "attributes", task.attributes(), "priority", 0, "reason", null,
                "url", "https://taskrouter.twilio.com/v1/Workspaces/" + flex.account.workspace() + "/Tasks/" + task.sid());
    }
}
