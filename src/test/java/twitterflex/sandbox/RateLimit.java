package twitterflex.sandbox;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;

/** So many requests per window, as X counts them and tells them in its headers. */
final class RateLimit {

    private final String name;
    private final int allowed;
    private final Duration window;
    private int used;
    private Instant reset = Instant.EPOCH;

    RateLimit(int allowed, Duration window) {
        this("x-rate-limit", allowed, window);
    }

    /** {@code name} begins its headers. */
    RateLimit(String name, int allowed, Duration window) {
        this.name = name;
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
        return Map.of(name + "-limit", String.valueOf(allowed), name + "-remaining", String.valueOf(Math.max(0, allowed - used)),
                name + "-reset", String.valueOf(reset.plusMillis(999).getEpochSecond()));
    }
}
