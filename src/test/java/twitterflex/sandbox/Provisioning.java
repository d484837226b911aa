package twitterflex.sandbox;

import static twitterflex.sandbox.SimulatedFlex.missing;
import static twitterflex.sandbox.SimulatedFlex.refused;
import static twitterflex.sandbox.SimulatedFlex.reply;
import static twitterflex.sandbox.SimulatedFlex.require;
import static twitterflex.sandbox.SimulatedFlex.time;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Instant;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import twitterflex.sandbox.SimulatedService.Refused;
import twitterflex.sandbox.SimulatedService.Reply;
import twitterflex.sandbox.SimulatedService.Request;

/**
 * What a Flex account is set up with, and the operations that show it and add to it: TaskRouter, Studio, Flex Flows, services.
 * At first it is complete: all that {@link SimulatedFlex.Account} names is there. Resources are JSON as Twilio shows them.
 */
public final class Provisioning {

    private static final String CONFIGURATION = "GET /v1/Configuration";
    private static final String CHANGE_CONFIGURATION = "POST /v1/Configuration";
    private static final Set<String> ATTACHMENTS = Set.of("enabled", "number_of_attachments", "max_file_size",
            "max_total_file_size", "accepted_extensions");
    private static final String CONVERSATIONS_CONFIGURATION = "GET /v1/Configuration of Conversations";
    private static final String ACCOUNT = "GET /2010-04-01/Accounts/{Sid}.json";
    private static final String CHAT_SERVICE = "GET /v2/Services/{Sid}";
    private static final String CONVERSATIONS_SERVICE = "GET /v1/Services/{Sid}";
    private static final String WORKSPACE = "/v1/Workspaces/{WorkspaceSid}";
    private static final String WORKFLOWS = "GET " + WORKSPACE + "/Workflows";
    private static final String TASK_CHANNELS = WORKSPACE + "/TaskChannels";
    private static final String FLOWS = "/v2/Flows";
    private static final String FLEX_FLOWS = "/v1/FlexFlows";
    private static final Set<String> OPERATIONS = Set.of(CONFIGURATION, CHANGE_CONFIGURATION, CONVERSATIONS_CONFIGURATION, ACCOUNT, CHAT_SERVICE,
            CONVERSATIONS_SERVICE, "GET /v1/Workspaces/{Sid}", WORKFLOWS, WORKFLOWS + "/{Sid}", "GET " + TASK_CHANNELS,
            "POST " + TASK_CHANNELS, "GET " + TASK_CHANNELS + "/{Sid}", "GET " + FLOWS, "POST " + FLOWS, "POST " + FLOWS + "/Validate",
            "GET " + FLOWS + "/{Sid}", "GET " + FLEX_FLOWS, "POST " + FLEX_FLOWS, "GET " + FLEX_FLOWS + "/{Sid}");
    private static final String FLEX_FLOW_NAME = "Direct Messages";
    private static final int LONGEST_TASK_CHANNEL_NAME = 64;
    private static final int LONGEST_TASK_ATTRIBUTES = 1024;

    private final SimulatedFlex flex;
    private final SimulatedFlex.Account account;
    private final String created = time(Instant.now());
    private final Map<String, ObjectNode> workflows = new LinkedHashMap<>();
    private final Map<String, ObjectNode> taskChannels = new LinkedHashMap<>();
    private final Map<String, ObjectNode> studioFlows = new LinkedHashMap<>();
    private final Map<String, ObjectNode> flexFlows = new LinkedHashMap<>();
    private String defaultService;
    private JsonNode channelConfigs = Json.array(List.of());
    private String accountStatus = "active";

    Provisioning(SimulatedFlex flex) {
        this.flex = flex;
        account = flex.account;
        defaultService = account.chatService();
        workflow(account.workflow(), "Assign to Anyone");
        List.of("default", "voice", "chat", "sms", "video", "email").forEach(this::taskChannel);
        if (!hasTaskChannel(account.taskChannel())) {
            taskChannel(account.taskChannel());
        }
        String studioFlow = studioFlow(FLEX_FLOW_NAME, "published");
        keep(flexFlows, flexFlow(account.flexFlow(), FLEX_FLOW_NAME, studioFlow, true));
    }

    // What a test sets.

    /** Takes the bridge's own Flex Flow and Studio flow away, so that a set-up has to make both. */
    public void withoutFlows() {
        synchronized (flex) {
            studioFlows.clear();
            flexFlows.clear();
        }
    }

    public void withoutWorkflows() {
        synchronized (flex) {
            workflows.clear();
        }
    }

    public void workflow(String sid, String friendlyName) {
        synchronized (flex) {
            String url = workspaceUrl() + "/Workflows/" + sid;
            keep(workflows, Json.object("sid", sid, "account_sid", account.accountSid(), "workspace_sid", account.workspace(),
                    "friendly_name", friendlyName, "assignment_callback_url", null, "fallback_assignment_callback_url", null,
                    "configuration", "{\"task_routing\":{\"filters\":[]}}", "document_content_type", "application/json",
                    "task_reservation_timeout", 120, "date_created", created, "date_updated", created, "url", url,
                    "links", Json.object("statistics", url + "/Statistics")));
        }
    }

    /** Adds a task channel of that unique name; returns its SID. */
    public String taskChannel(String uniqueName) {
        synchronized (flex) {
            String friendlyName = uniqueName.substring(0, 1).toUpperCase() + uniqueName.substring(1);
            return keep(taskChannels, taskChannel(friendlyName, uniqueName, false));
        }
    }

    public void withoutTaskChannel(String uniqueName) {
        synchronized (flex) {
            taskChannels.values().removeIf(channel -> channel.path("unique_name").asText().equals(uniqueName));
        }
    }

    /** Adds a Studio flow, {@code published} or {@code draft}, that makes tasks as the account has them; returns its SID. */
    public String studioFlow(String friendlyName, String status) {
        synchronized (flex) {
            return keep(studioFlows, studioFlow(friendlyName, status, definition(friendlyName), ""));
        }
    }

    private ObjectNode definition(String description) {
        String channel = taskChannels.values().stream().filter(one -> one.path("unique_name").asText().equals(account.taskChannel()))
                .map(one -> one.path("sid").asText()).findFirst().orElse("");
        ObjectNode trigger = Json.object("name", "Trigger", "type", "trigger", "properties", Json.object("offset",
                Json.object("x", 0, "y", 0)), "transitions", List.of(Json.object("event", "incomingMessage", "next", "send_to_flex"),
                        Json.object("event", "incomingCall"), Json.object("event", "incomingConversationMessage"),
                        Json.object("event", "incomingRequest"), Json.object("event", "incomingParent")));
        ObjectNode widget = Json.object("name", "send_to_flex", "type", "send-to-flex", "properties", Json.object("offset",
                Json.object("x", 40, "y", 210), "workflow", account.workflow(), "channel", channel,
                "attributes", "{\"name\": \"{{trigger.message.ChannelAttributes.from}}\"}"),
                "transitions", List.of(Json.object("event", "callComplete"), Json.object("event", "failedToEnqueue"),
                        Json.object("event", "callFailure")));
        return Json.object("description", description, "initial_state", "Trigger", "flags", Json.object("allow_concurrent_calls", true),
                "states", List.of(trigger, widget));
    }

    /** Adds a Flex Flow of channel type custom that runs this Studio flow; returns its SID. */
    public String flexFlow(String friendlyName, String studioFlowSid, boolean enabled) {
        synchronized (flex) {
            return keep(flexFlows, flexFlow(flex.sid("FO"), friendlyName, studioFlowSid, enabled));
        }
    }

    /** Flex Flows that are not enabled take no customers. */
    public void flexFlowEnabled(String sid, boolean enabled) {
        synchronized (flex) {
            flexFlows.get(sid).put("enabled", enabled);
        }
    }

    /** Which service {@code /v1/Conversations} means; for Flex it must be the account's chat service, as it is at first. */
    public void defaultConversationsService(String sid) {
        synchronized (flex) {
            defaultService = sid;
        }
    }

    /** {@code active} at first; else {@code suspended} or {@code closed}. */
    public void accountStatus(String status) {
        synchronized (flex) {
            accountStatus = status;
        }
    }

    // What a test sees.

    public List<JsonNode> workflows() {
        return copy(workflows);
    }

    public List<JsonNode> taskChannels() {
        return copy(taskChannels);
    }

    public List<JsonNode> studioFlows() {
        return copy(studioFlows);
    }

    public List<JsonNode> flexFlows() {
        return copy(flexFlows);
    }

    private List<JsonNode> copy(Map<String, ObjectNode> resources) {
        synchronized (flex) {
            return resources.values().stream().<JsonNode>map(ObjectNode::deepCopy).toList();
        }
    }

    /** All of the above as JSON: equal before and after means that nothing was changed. */
    public String snapshot() {
        synchronized (flex) {
            return Json.object("workflows", Json.array(workflows.values()), "task_channels", Json.array(taskChannels.values()),
                    "studio_flows", Json.array(studioFlows.values()), "flex_flows", Json.array(flexFlows.values()),
                    "default_chat_service_sid", defaultService, "channel_configs", channelConfigs).toString();
        }
    }

    boolean hasTaskChannel(String uniqueName) {
        return taskChannels.values().stream().anyMatch(channel -> channel.path("unique_name").asText().equals(uniqueName));
    }

    boolean hasWorkflow(String sid) {
        return workflows.containsKey(sid);
    }

    boolean hasFlexFlow(String sid) {
        return flexFlows.containsKey(sid);
    }

    boolean enabled(String flexFlow) {
        return flexFlows.get(flexFlow).path("enabled").asBoolean();
    }

    // The operations.

    boolean takes(Request request) {
        return OPERATIONS.contains(request.operation());
    }

    Reply answer(Request request, Form form) {
        String sid = request.variables().getOrDefault("Sid", "");
        return switch (request.operation()) {
            case CONFIGURATION -> reply(200, flexConfiguration());
            case CHANGE_CONFIGURATION -> reply(200, changed(Json.parse(request.text())));
            case CONVERSATIONS_CONFIGURATION -> reply(200, conversationsConfiguration());
            case ACCOUNT -> reply(200, account(request, sid));
            case CHAT_SERVICE -> reply(200, service(request, sid, "https://chat.twilio.com/v2/Services/", Set.of(account.chatService())));
            case CONVERSATIONS_SERVICE -> reply(200, service(request, sid, "https://conversations.twilio.com/v1/Services/",
                    new HashSet<>(List.of(account.chatService(), defaultService))));
            case "GET /v1/Workspaces/{Sid}" -> reply(200, workspace(request, sid));
            case WORKFLOWS -> list(request, "workflows", workflows);
            case WORKFLOWS + "/{Sid}" -> reply(200, found(request, workflows, sid));
            case "GET " + TASK_CHANNELS -> list(request, "channels", taskChannels);
            case "POST " + TASK_CHANNELS -> addTaskChannel(form);
            case "GET " + TASK_CHANNELS + "/{Sid}" -> reply(200, foundTaskChannel(request, sid));
            default -> flows(request, form, sid);
        };
    }

    private Reply flows(Request request, Form form, String sid) {
        return switch (request.operation()) {
            case "GET " + FLOWS -> flex.page(request, "flows", List.copyOf(studioFlows.values()), Provisioning::listed, 50);
            case "POST " + FLOWS -> addStudioFlow(form);
            case "POST " + FLOWS + "/Validate" -> validated(form);
            case "GET " + FLOWS + "/{Sid}" -> reply(200, found(request, studioFlows, sid));
            case "GET " + FLEX_FLOWS -> list(request, "flex_flows", flexFlows);
            case "POST " + FLEX_FLOWS -> addFlexFlow(form);
            case "GET " + FLEX_FLOWS + "/{Sid}" -> reply(200, found(request, flexFlows, sid));
            default -> throw missing(request.path());
        };
    }

    private static String keep(Map<String, ObjectNode> resources, ObjectNode resource) {
        String sid = resource.path("sid").asText();
        resources.put(sid, resource);
        return sid;
    }

    private static ObjectNode found(Request request, Map<String, ObjectNode> resources, String sid) {
        if (!resources.containsKey(sid)) {
            throw missing(request.path());
        }
        return resources.get(sid);
    }

    private Reply list(Request request, String key, Map<String, ObjectNode> resources) {
        Form query = Form.parse(request.query());
        List<ObjectNode> chosen = resources.values().stream().filter(resource -> !query.has("FriendlyName")
                || resource.path("friendly_name").asText().equals(query.first("FriendlyName"))).toList();
        return flex.page(request, key, chosen, resource -> resource, 50);
    }

    // The account and its services.

    /** A standard API key may do anything but see to accounts and keys (documentation page "API keys overview"). */
    private ObjectNode account(Request request, String sid) {
        if (!request.header("Authorization").equals(SimulatedFlex.basic(account.accountSid(), account.authToken()))) {
            throw new Refused(refused(401, 20003, "Authenticate").reply(), "a standard API key for an account", false);
        }
        if (!sid.equals(account.accountSid())) {
            throw missing(request.path());
        }
        return Json.object("sid", sid, "owner_account_sid", sid, "friendly_name", "Sandbox", "status", accountStatus, "type", "Full",
                "date_created", "Thu, 30 Jul 2015 20:00:00 +0000", "date_updated", "Thu, 30 Jul 2015 20:00:00 +0000",
                "uri", "/2010-04-01/Accounts/" + sid + ".json", "subresource_uris", Json.object());
    }

    /** Page "Flex attachments", FAQ: JSON with the account's SID; of all it could change, here it is the channels. */
    private ObjectNode changed(JsonNode asked) {
        JsonNode configs = asked.path("channel_configs");
        boolean ours = asked.path("account_sid").asText().equals(account.accountSid());
        SimulatedFlex.require(ours && configs.isArray() && asked.size() == 2, 20001, "account_sid and channel_configs");
        configs.forEach(one -> one.path("cbm_attachments").properties().forEach(rule -> SimulatedFlex.require(
                ATTACHMENTS.contains(rule.getKey()), 20001, "Unknown in cbm_attachments: " + rule.getKey())));
        channelConfigs = configs.deepCopy();
        return flexConfiguration();
    }

    /** What agents may attach and more, by channel, as {@code channel_configs} has it; none at first. */
    public void channelConfigs(JsonNode configs) {
        synchronized (flex) {
            channelConfigs = configs;
        }
    }

    public JsonNode channelConfigs() {
        synchronized (flex) {
            return channelConfigs.deepCopy();
        }
    }

    private ObjectNode flexConfiguration() {
        return Json.object("account_sid", account.accountSid(), "date_created", created, "date_updated", created, "status", "ok",
                "taskrouter_workspace_sid", account.workspace(), "taskrouter_target_workflow_sid", account.workflow(),
                "taskrouter_target_taskqueue_sid", account.workflow().replaceFirst("^WW", "WQ"), "taskrouter_taskqueues", null,
                "runtime_domain", "https://flex.twilio.com", "messaging_service_instance_sid", null,
                "chat_service_instance_sid", account.chatService(), "flex_service_instance_sid", account.chatService(),
                "flex_instance_sid", account.chatService().replaceFirst("^IS", "GO"), "ui_language", "en", "ui_version", "2.0",
                "attributes", Json.object(), "channel_configs", channelConfigs,
                "url", "https://flex-api.twilio.com/v1/Configuration");
    }

    private ObjectNode conversationsConfiguration() {
        return Json.object("account_sid", account.accountSid(), "default_chat_service_sid", defaultService,
                "default_messaging_service_sid", null, "default_inactive_timer", null, "default_closed_timer", null,
                "url", "https://conversations.twilio.com/v1/Configuration", "links", Json.object(
                        "service", "https://conversations.twilio.com/v1/Services/" + defaultService + "/Configuration",
                        "webhooks", "https://conversations.twilio.com/v1/Configuration/Webhooks"));
    }

    private ObjectNode service(Request request, String sid, String base, Set<String> known) {
        if (!known.contains(sid)) {
            throw missing(request.path());
        }
        return Json.object("sid", sid, "account_sid", account.accountSid(), "date_created", created, "date_updated", created,
                "friendly_name", sid.equals(account.chatService()) ? "Flex Chat Service" : "Default Conversations Service",
                "url", base + sid, "links", Json.object("users", base + sid + "/Users", "roles", base + sid + "/Roles"));
    }

    // TaskRouter.

    private String workspaceUrl() {
        return "https://taskrouter.twilio.com/v1/Workspaces/" + account.workspace();
    }

    private ObjectNode workspace(Request request, String sid) {
        if (!sid.equals(account.workspace())) {
            throw missing(request.path());
        }
        return Json.object("sid", sid, "account_sid", account.accountSid(), "friendly_name", "Flex Task Assignment",
                "default_activity_name", "Offline", "timeout_activity_name", "Offline", "event_callback_url", "", "events_filter", null,
                "multi_task_enabled", true, "prioritize_queue_order", "FIFO", "date_created", created, "date_updated", created,
                "url", workspaceUrl(), "links", Json.object("workflows", workspaceUrl() + "/Workflows",
                        "task_channels", workspaceUrl() + "/TaskChannels", "tasks", workspaceUrl() + "/Tasks"));
    }

    private ObjectNode foundTaskChannel(Request request, String sidOrUniqueName) {
        return taskChannels.values().stream().filter(channel -> channel.path("unique_name").asText().equals(sidOrUniqueName))
                .findFirst().orElseGet(() -> found(request, taskChannels, sidOrUniqueName));
    }

    private ObjectNode taskChannel(String friendlyName, String uniqueName, boolean optimized) {
        String sid = flex.sid("TC");
        return Json.object("sid", sid, "account_sid", account.accountSid(), "workspace_sid", account.workspace(),
                "friendly_name", friendlyName, "unique_name", uniqueName, "channel_optimized_routing", optimized,
                "date_created", created, "date_updated", created, "url", workspaceUrl() + "/TaskChannels/" + sid,
                "links", Json.object("workspace", workspaceUrl()));
    }

    /** A name that is taken: status and code are those of a task queue's, seen in an issue of nash-md/twilio-contact-center. */
    private Reply addTaskChannel(Form form) {
        String friendlyName = form.first("FriendlyName");
        String uniqueName = form.first("UniqueName");
        require(!uniqueName.isEmpty() && !friendlyName.isEmpty(), 20001, "FriendlyName and UniqueName must not be empty");
        require(friendlyName.length() <= LONGEST_TASK_CHANNEL_NAME, 20001, "FriendlyName too long");
        if (hasTaskChannel(uniqueName)) {
            String sentence = "Task channel with unique name " + uniqueName + " already exists for workspace " + account.workspace();
            throw new Refused(refused(400, 20001, sentence).reply(), sentence, false);
        }
        ObjectNode channel = taskChannel(friendlyName, uniqueName, form.first("ChannelOptimizedRouting").equals("true"));
        keep(taskChannels, channel);
        return reply(201, channel);
    }

    // Studio.

    private ObjectNode studioFlow(String friendlyName, String status, JsonNode definition, String commitMessage) {
        String sid = flex.sid("FW");
        String url = "https://studio.twilio.com/v2/Flows/" + sid;
        return Json.object("sid", sid, "account_sid", account.accountSid(), "author_sid", null, "friendly_name", friendlyName,
                "status", status, "revision", 1, "definition", definition,
                "commit_message", commitMessage.isEmpty() ? null : commitMessage, "valid", true, "errors", List.of(), "warnings", List.of(),
                "webhook_url", "https://webhooks.twilio.com/v1/Accounts/" + account.accountSid() + "/Flows/" + sid,
                "date_created", created, "date_updated", null, "url", url, "links", Json.object("revisions", url + "/Revisions",
                        "executions", url + "/Executions", "test_users", url + "/TestUsers"));
    }

    /** In a list the definition and all that follows from it are null (the specification's example). */
    private static ObjectNode listed(ObjectNode flow) {
        ObjectNode shown = flow.deepCopy();
        List.of("definition", "valid", "errors", "warnings").forEach(shown::putNull);
        return shown;
    }

    private Reply addStudioFlow(Form form) {
        validated(form);
        ObjectNode flow = studioFlow(form.first("FriendlyName"), form.first("Status"), Json.parse(form.first("Definition")),
                form.first("CommitMessage"));
        keep(studioFlows, flow);
        return reply(201, flow);
    }

    /** Of Studio's rules those that a flow which only makes a task can break. */
    private Reply validated(Form form) {
        JsonNode definition = Json.parse(form.first("Definition"));
        Map<String, JsonNode> states = new LinkedHashMap<>();
        for (JsonNode state : definition.path("states")) {
            well(state.path("name").isTextual() && state.path("type").isTextual() && state.path("transitions").isArray()
                    && state.path("properties").isObject(), "a state needs name, type, transitions and properties");
            well(states.put(state.path("name").asText(), state) == null, "two states have the same name");
        }
        well(definition.path("description").isTextual(), "#/description is missing");
        well(states.containsKey(definition.path("initial_state").asText()), "#/initial_state must name a state");
        well(states.get(definition.path("initial_state").asText()).path("type").asText().equals("trigger"),
                "#/initial_state must be a trigger");
        states.values().forEach(state -> state.path("transitions").forEach(transition -> well(transition.path("event").isTextual()
                && (!transition.has("next") || states.containsKey(transition.path("next").asText())),
                "a transition needs an event, and its next must name a state")));
        List<JsonNode> widgets = states.values().stream().filter(state -> state.path("type").asText().equals("send-to-flex")).toList();
        well(!widgets.isEmpty(), "without a send-to-flex widget no task appears");
        widgets.forEach(widget -> sendToFlex(widget.path("properties")));
        return reply(200, Json.object("valid", true));
    }

    private void sendToFlex(JsonNode properties) {
        well(hasWorkflow(properties.path("workflow").asText()), "send-to-flex: workflow must be a workflow's SID");
        well(taskChannels.containsKey(properties.path("channel").asText()), "send-to-flex: channel must be a task channel's SID");
        String attributes = properties.path("attributes").asText("{}");
        well(attributes.length() <= LONGEST_TASK_ATTRIBUTES && TwilioOperations.isJson(attributes),
                "send-to-flex: attributes must be JSON of at most " + LONGEST_TASK_ATTRIBUTES + " characters");
    }

    private static void well(boolean holds, String sentence) {
        require(holds, 20001, "Invalid Flow definition: " + sentence);
    }

    // Flex Flows.

    private ObjectNode flexFlow(String sid, String friendlyName, String studioFlow, boolean enabled) {
        return flexFlow(sid, friendlyName, "custom", "studio", Json.object("flow_sid", studioFlow, "retry_count", 3), enabled);
    }

    private ObjectNode flexFlow(String sid, String friendlyName, String channelType, String integrationType, ObjectNode integration,
            boolean enabled) {
        return Json.object("sid", sid, "account_sid", account.accountSid(), "friendly_name", friendlyName,
                "chat_service_sid", account.chatService(), "channel_type", channelType, "contact_identity", null, "enabled", enabled,
                "integration_type", integrationType, "integration", integration, "long_lived", false, "janitor_enabled", false,
                "date_created", created, "date_updated", created, "url", "https://flex-api.twilio.com/v1/FlexFlows/" + sid);
    }

    private Reply addFlexFlow(Form form) {
        require(form.first("ChatServiceSid").equals(account.chatService()), 20001, "ChatServiceSid: no such service");
        require(form.first("IntegrationType").equals("studio"), 20001, "The sandbox makes Flex Flows of integration type studio only");
        require(studioFlows.containsKey(form.first("Integration.FlowSid")), 20001, "Integration.FlowSid: no such flow");
        int retries = Integer.parseInt(form.first("Integration.RetryCount", "3"));
        require(retries >= 0 && retries <= 3, 20001, "Integration.RetryCount must be 0 to 3");
        boolean enabled = form.first("Enabled").equals("true");
        String type = form.first("ChannelType");
        if (enabled && flexFlows.values().stream().anyMatch(flow -> flow.path("enabled").asBoolean()
                && flow.path("channel_type").asText().equals(type)
                && flow.path("contact_identity").asText("").equals(form.first("ContactIdentity")))) {
            String sentence = "Another Flex Flow for channel type " + type + " and that contact identity is enabled";
            throw new Refused(refused(400, 20001, sentence).reply(), sentence, false);
        }
        ObjectNode flow = flexFlow(flex.sid("FO"), form.first("FriendlyName"), type, "studio",
                Json.object("flow_sid", form.first("Integration.FlowSid"), "retry_count", retries), enabled);
        flow.put("contact_identity", form.has("ContactIdentity") ? form.first("ContactIdentity") : null);
        flow.put("long_lived", form.first("LongLived").equals("true")).put("janitor_enabled", form.first("JanitorEnabled").equals("true"));
        keep(flexFlows, flow);
        return reply(201, flow);
    }
}
