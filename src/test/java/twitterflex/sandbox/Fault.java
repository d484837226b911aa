package twitterflex.sandbox;

import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/** One misfortune that can befall a request, so that a test can say exactly what goes wrong and when. */
public sealed interface Fault {

    record Status(int status, Map<String, String> headers, String body) implements Fault { }

    record Delay(Duration time) implements Fault { }

    record DropBefore() implements Fault { }

    record DropAfter() implements Fault { }

    record StallBody(Duration time) implements Fault { }

    record NotJson(int status) implements Fault { }

    record Hold(CountDownLatch until) implements Fault { }

    /** Nothing is done; the answer is this status with a small JSON body. */
    static Fault status(int status) {
        return status(status, Map.of(), "{\"message\":\"Simulated trouble\",\"status\":" + status + "}");
    }

    /** Nothing is done; the answer is exactly this. */
    static Fault status(int status, Map<String, String> headers, String body) {
        return new Status(status, Map.copyOf(headers), body);
    }

    /** The work is done as usual, but only after this time. */
    static Fault delay(Duration time) {
        return new Delay(time);
    }

    /** Nothing is done, and the connection is closed without an answer. */
    static Fault dropBefore() {
        return new DropBefore();
    }

    /** The work is done, and then the connection is closed without an answer: the client cannot know. */
    static Fault dropAfter() {
        return new DropAfter();
    }

    /** The work is done; headers and half of the body go out at once, the rest after this time. */
    static Fault stallBody(Duration time) {
        return new StallBody(time);
    }

    /** A page of HTML with this status, as proxies send it; from 400 on nothing is done, below the work is. */
    static Fault notJson(int status) {
        return new NotJson(status);
    }

    /** The request waits until the latch is open; then the work is done as usual. */
    static Fault hold(CountDownLatch until) {
        return new Hold(until);
    }
}
