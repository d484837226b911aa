package twitterflex.sandbox;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;

/** So many requests per window, as X counts them and tells them in its headers. */
final class RateLimit {

    private final int allowed;
    private final Duration window;
    private int used;
    private Instant reset = Instant.EPOCH;

    RateLimit(int allowed, Duration window) {
        this.allowed = allowed;
        this.window = window;
    }

    /** Whether one more request is allowed now. */
    boolean spend() {
        Instant now = Instant.now();
        if (!now.isBefore(reset)) {
            reset = now.plus(window);
            used = 0;
        }
        return used++ < allowed;
    }

    Map<String, String> headers() {
        return Map.of("x-rate-limit-limit", String.valueOf(allowed), "x-rate-limit-remaining", String.valueOf(Math.max(0, allowed - used)),
                "x-rate-limit-reset", String.valueOf(reset.plusMillis(999).getEpochSecond()));
    }
}
