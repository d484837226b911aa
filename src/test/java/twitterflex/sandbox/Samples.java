package twitterflex.sandbox;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** What a bridge between the two simulated services needs to be told. */
public final class Samples {

    private Samples() { }

    /** All but where it listens and what folder it keeps. @param flexApi conversations or chat; @param twitterApi 2 or 1.1 */
    public static Map<String, String> settings(SimulatedX x, SimulatedFlex flex, String flexApi, String twitterApi) {
        SimulatedX.Keys keys = SimulatedX.sampleKeys();
        SimulatedFlex.Account account = SimulatedFlex.Account.sample();
        Map<String, String> all = new HashMap<>();
        all.put("FLEX_API", flexApi);
        all.put("TWITTER_API", twitterApi);
        all.put("TWITTER_CONSUMER_KEY", keys.consumerKey());
        all.put("TWITTER_CONSUMER_SECRET", keys.consumerSecret());
        all.put("TWITTER_ACCESS_KEY", keys.accessToken());
        all.put("TWITTER_ACCESS_SECRET", keys.accessSecret());
        all.put("TWITTER_API_URL", x.url());
        all.put("TWILIO_ACCOUNT_SID", account.accountSid());
        all.put("TWILIO_AUTH_TOKEN", account.authToken());
        all.put("TWILIO_API_URL", flex.apiUrlTemplate());
        all.put("FLEX_CHAT_SERVICE", account.chatService());
        all.put("FLEX_FLOW_SID", account.flexFlow());
        all.put("FLEX_WORKSPACE_SID", account.workspace());
        all.put("FLEX_WORKFLOW_SID", account.workflow());
        all.put("FLEX_TASK_CHANNEL", account.taskChannel());
        // The sandbox's X posts to whatever address it is told.
        all.put("AUTO_REGISTER", "off");
        return all;
    }

    public static Map<String, String> settings(SimulatedX x, SimulatedFlex flex, String flexApi, String twitterApi, int port, Path data) {
        Map<String, String> all = settings(x, flex, flexApi, twitterApi);
        all.put("PORT", String.valueOf(port));
        all.put("PUBLIC_URL", "http://127.0.0.1:" + port);
        all.put("DATA_DIR", data.toString());
        return all;
    }
}
