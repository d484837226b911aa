package twitterflex.sandbox;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Map;

/** Answers of the services to what they do not do, to be given to {@link Faults}; bodies as documented or as seen. */
public final class Refusals {

    /** Pay-per-use without credits. */
    public static final Fault NO_CREDITS = problem(402, Json.object("title", "CreditsDepleted",
            "detail", "Your enrolled account does not have any credits to fulfill this request.",
            "type", "https://api.twitter.com/2/problems/credits"));

    /** The app is in no project, or its plan has no such endpoint (API 2). */
    public static final Fault NOT_ENROLLED = problem(403, Json.object("title", "Client Forbidden",
            "detail", "When authenticating requests to the Twitter API v2 endpoints, you must use keys and tokens from a Twitter "
                    + "developer App that is attached to a Project.", "required_enrollment", "Appropriate Level of API Access",
            "reason", "client-not-enrolled", "type", "https://api.twitter.com/2/problems/client-forbidden"));

    /** The plan has no such endpoint (API 1.1): code 453. */
    public static final Fault NO_ACCESS = code(403, 453, "You currently have access to a subset of X API V2 endpoints and limited v1.1 "
            + "endpoints (e.g. media post, oauth) only. If you need access to this endpoint, you may need a different access level.");

    /** No Account Activity for this app (API 1.1 Enterprise): code 200. */
    public static final Fault NO_ACCOUNT_ACTIVITY = code(403, 200, "Forbidden.");

    /** The app is suspended: code 416. */
    public static final Fault APP_SUSPENDED = code(403, 416, "Invalid / suspended application");

    /** The window of 15 minutes is used up, and the next begins in a second. */
    public static Fault rateLimited() {
        long reset = System.currentTimeMillis() / 1000 + 1;
        return Fault.status(429, Map.of("x-rate-limit-limit", "15", "x-rate-limit-remaining", "0", "x-rate-limit-reset",
                String.valueOf(reset)), Json.object("title", "Too Many Requests", "detail", "Too Many Requests", "type", "about:blank",
                        "status", 429).toString());
    }

    /** X's incident of September 2025: for eight hours every send was answered as if the address did not exist. */
    public static final Fault INCIDENT = code(404, 34, "Sorry, that page does not exist.");

    /** The account has sent all that it may send in a day. */
    public static final Fault DAILY_LIMIT = code(403, 344, "You have reached your daily limit for sending messages.");

    /** A limit of the month: no header tells when it ends. */
    public static final Fault MONTHLY_CAP = problem(429, Json.object("title", "UsageCapExceeded", "detail",
            "Usage cap exceeded: Monthly product cap", "account_id", 1, "product_name", "standard-basic", "period", "Monthly",
            "scope", "Product", "type", "https://api.twitter.com/2/problems/usage-capped"));

    /** Cloudflare, which X stands behind, does not like the client. */
    public static final Fault CLOUDFLARE = Fault.status(403, Map.of("Content-Type", "text/html; charset=UTF-8", "server", "cloudflare"),
            "<html><head><title>Access denied</title></head><body>error code: 1010</body></html>");

    private Refusals() { }

    /** X's refusal of API 2: a problem (RFC 7807) of this type, the last part of its address, or {@code about:blank}. */
    public static Fault problem(int status, String type, String title, String detail) {
        String address = type.equals("about:blank") ? type : "https://api.twitter.com/2/problems/" + type;
        return problem(status, Json.object("title", title, "detail", detail, "type", address));
    }

    /** Twilio's refusal. */
    public static Fault twilio(int status, int code, String message) {
        return Fault.status(status, Map.of(), Json.object("code", code, "message", message,
                "more_info", "https://www.twilio.com/docs/errors/" + code, "status", status).toString());
    }

    private static Fault problem(int status, ObjectNode body) {
        return Fault.status(status, Map.of("Content-Type", "application/problem+json"), body.put("status", status).toString());
    }

    /** X's refusal by number, as API 1.1 does and now and then API 2. */
    public static Fault code(int status, int code, String message) {
        return Fault.status(status, Map.of(), Json.object("errors", List.of(Json.object("code", code, "message", message))).toString());
    }
}
