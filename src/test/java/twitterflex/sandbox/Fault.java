package twitterflex.sandbox;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;

/** One misfortune that can befall a request, so that a test can say exactly what goes wrong and when. */
public sealed interface Fault {

    /** The answer, instead of the work or after it ({@code done}); status 0: none, the connection is closed. */
    record Answers(boolean done, int status, Map<String, String> headers, String body) implements Fault { }

    record Changes(Function<JsonNode, ?> change) implements Fault { }

    record Large(long bytes, AtomicLong taken) implements Fault { }

    record Delay(Duration time) implements Fault { }

    record StallBody(Duration time) implements Fault { }

    record Hold(CountDownLatch until) implements Fault { }

    record ContentLength(long said) implements Fault { }

    record Drip(int bytes, Duration every) implements Fault { }

    String WEB_PAGE = "<!DOCTYPE html><html><body><h1>Something is between you and the service</h1></body></html>";

    /** Nothing is done; the answer is this status with a small JSON body. */
    static Fault status(int status) {
        return status(status, Map.of(), "{\"message\":\"Simulated trouble\",\"status\":" + status + "}");
    }

    /** Nothing is done; the answer is exactly this. */
    static Fault status(int status, Map<String, String> headers, String body) {
        return new Answers(false, status, Map.copyOf(headers), body);
    }

    /** The work is done as usual, but the answer is exactly this. */
    static Fault after(int status, Map<String, String> headers, String body) {
        return new Answers(true, status, Map.copyOf(headers), body);
    }

    /** The same answer after the work is done. */
    static Fault done(Fault instead) {
        Answers answers = (Answers) instead;
        return after(answers.status(), answers.headers(), answers.body());
    }

    /** The work is done; the answer's body is what this makes of it: a JSON tree, or any text. */
    static Fault changed(Function<JsonNode, ?> change) {
        return new Changes(change);
    }

    /** The work is done; the answer, a 200, has so many bytes, of which those are counted that the client took. */
    static Fault large(long bytes, AtomicLong taken) {
        return new Large(bytes, taken);
    }

    /** The work is done as usual, but only after this time. */
    static Fault delay(Duration time) {
        return new Delay(time);
    }

    /** Nothing is done, and the connection is closed without an answer. */
    static Fault dropBefore() {
        return status(0, Map.of(), "");
    }

    /** The work is done, and then the connection is closed without an answer: the client cannot know. */
    static Fault dropAfter() {
        return after(0, Map.of(), "");
    }

    /** The work is done; headers and half of the body go out at once, the rest after this time. */
    static Fault stallBody(Duration time) {
        return new StallBody(time);
    }

    /** A page of HTML with this status, as proxies send it; from 400 on nothing is done, below the work is. */
    static Fault notJson(int status) {
        return new Answers(status < 400, status, Map.of("Content-Type", "text/html"), WEB_PAGE);
    }

    /** The request waits until the latch is open; then the work is done as usual. */
    static Fault hold(CountDownLatch until) {
        return new Hold(until);
    }

    /**
     * The work is done, and the header Content-Length says this, whatever is true: of a longer body only so much goes
     * out, and after a shorter one the connection is closed.
     */
    static Fault contentLength(long said) {
        return new ContentLength(said);
    }

    /** The work is done; the body goes out in portions of so many bytes, with this pause between them. */
    static Fault drip(int bytes, Duration every) {
        return new Drip(bytes, every);
    }
}
