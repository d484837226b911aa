package twitterflex.sandbox;

import java.io.IOException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import twitterflex.sandbox.SimulatedService.Posted;

/** Delivers webhooks in the background: in order within a lane, lanes side by side, and again after given delays if not taken. */
public final class Courier {

    static {
        // The default, 20 minutes, outlives what any server keeps open, and a POST on a dead connection is lost.
        System.getProperties().putIfAbsent("jdk.httpclient.keepalive.timeout", "20");
        // The JDK repeats a GET by itself, with the same nonce; it reads this once, so a bridge in this process would come too late.
        System.getProperties().putIfAbsent("jdk.httpclient.redirects.retrylimit", "1");
        System.getProperties().putIfAbsent("jdk.httpclient.disableRetryConnect", "true");
    }

    /** One webhook: how to ask, and what to make of the answer. */
    interface Errand {
        HttpRequest request(int attempt);

        /** Hears of each answer (status 0: none came in time) and says whether it will do. */
        boolean taken(Posted answer, boolean lastAttempt);
    }

    /** Sees every request as it goes out; what it returns hears of the answer, or of why there was none. */
    public interface Observer {
        BiConsumer<HttpResponse<String>, Throwable> sent(HttpRequest request);
    }

    /** What is said of a webhook that got lost on the way. */
    public static final String WITHHELD = "it got lost on the way";

    private final Executor threads = daemonThreads();
    private final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).executor(threads)
            .connectTimeout(Duration.ofSeconds(3)).build();
    private final Map<String, CompletableFuture<Void>> lanes = new ConcurrentHashMap<>();
    private int underWay;
    private volatile boolean closed;
    private volatile boolean withheld;
    private volatile Observer observer = request -> (response, failure) -> { };

    /** Four threads instead of the client's own many take half the time; they are gone soon after the last webhook. */
    private static Executor daemonThreads() {
        ThreadPoolExecutor threads = new ThreadPoolExecutor(4, 4, 3, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), task -> {
            Thread thread = new Thread(task, "courier");
            thread.setDaemon(true);
            return thread;
        });
        threads.allowCoreThreadTimeOut(true);
        return threads;
    }

    public void observer(Observer observer) {
        this.observer = observer;
    }

    /** Whether webhooks get lost on the way: each of them goes out, and nobody answers. */
    public void withhold(boolean withheld) {
        this.withheld = withheld;
    }

    private CompletableFuture<Posted> lost(HttpRequest request) {
        observer.sent(request).accept(null, new IOException(WITHHELD));
        return CompletableFuture.completedFuture(new Posted(0, WITHHELD));
    }

    void deliver(String lane, Duration timeout, List<Duration> delays, Errand errand) {
        synchronized (this) {
            underWay++;
        }
        lanes.compute(lane, (name, before) -> (before == null ? CompletableFuture.<Void>completedFuture(null) : before)
                .thenComposeAsync(ignored -> attempt(0, timeout, delays, errand), threads)
                .handle((ignored, failure) -> settled()));
    }

    private CompletableFuture<Void> attempt(int number, Duration timeout, List<Duration> delays, Errand errand) {
        if (closed) {
            return CompletableFuture.completedFuture(null);
        }
        HttpRequest request = errand.request(number);
        return (withheld ? lost(request) : ask(request, timeout)).thenCompose(answer -> {
            boolean last = number == delays.size();
            if (errand.taken(answer, last) || last) {
                return CompletableFuture.completedFuture(null);
            }
            Executor later = CompletableFuture.delayedExecutor(delays.get(number).toMillis(), TimeUnit.MILLISECONDS, threads);
            return CompletableFuture.completedFuture(number + 1).thenComposeAsync(next -> attempt(next, timeout, delays, errand), later);
        });
    }

    /** One request, its body included in the time-out; a failure is an answer with status 0. */
    public CompletableFuture<Posted> ask(HttpRequest request, Duration timeout) {
        BiConsumer<HttpResponse<String>, Throwable> told = observer.sent(request);
        CompletableFuture<HttpResponse<String>> sent = client.sendAsync(request, HttpResponse.BodyHandlers.ofString());
        return sent.copy().orTimeout(timeout.toMillis(), TimeUnit.MILLISECONDS).handle((response, failure) -> {
            sent.cancel(true);
            told.accept(response, failure);
            return failure == null ? new Posted(response.statusCode(), response.body()) : new Posted(0, failure.toString());
        });
    }

    private synchronized Void settled() {
        underWay--;
        notifyAll();
        return null;
    }

    synchronized void awaitDelivered(Duration patience) {
        long end = System.nanoTime() + patience.toNanos();
        while (underWay > 0) {
            long left = (end - System.nanoTime()) / 1_000_000;
            if (left <= 0) {
                throw new IllegalStateException(underWay + " webhooks are still under way after " + patience + ".");
            }
            try {
                wait(left);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("Interrupted while " + underWay + " webhooks were under way.", e);
            }
        }
    }

    void close() {
        closed = true;
    }
}
