package twitterflex.demo;

import java.net.ConnectException;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.Flow;
import java.util.stream.Collectors;
import twitterflex.sandbox.Courier;
import twitterflex.sandbox.SimulatedService;

/** Every HTTP exchange between the bridge and the two services, in the order they began; the oldest make room for new ones. */
final class Wire {

    static final int KEPT = 400;
    static final String BRIDGE = "bridge";
    static final String X = "X";
    static final String FLEX = "Flex";
    static final String EVENT = "";
    static final int UNDER_WAY = -1;

    /**
     * One exchange.
     *
     * @param change grows with whatever happens on the wire: who knows the changes up to n asks for those after it
     * @param status {@link #UNDER_WAY}, or 0 when there was no answer; then {@code answer} says why
     */
    record Call(int number, long change, Instant at, String from, String to, String method, String target, Map<String, String> headers,
            String body, int status, Map<String, String> answerHeaders, String answer, long millis) { }

    private final TreeMap<Integer, Call> calls = new TreeMap<>();
    private int lastNumber;
    private long lastChange;

    /** What the bridge asked of a service. */
    synchronized void called(String service, SimulatedService.Exchange exchange) {
        put(new Call(++lastNumber, ++lastChange, exchange.at(), BRIDGE, service, exchange.method(), exchange.target(),
                exchange.requestHeaders(), exchange.requestBody(), exchange.status(), exchange.responseHeaders(),
                exchange.status() == 0 ? "The connection was closed without an answer." : exchange.responseBody(), exchange.millis()));
    }

    /** Something that befalls the stage itself, between two exchanges. */
    synchronized void event(String what) {
        put(new Call(++lastNumber, ++lastChange, Instant.now(), "", "", EVENT, what, Map.of(), "", UNDER_WAY, Map.of(), "", 0));
    }

    /** A webhook goes out. @return its number, for {@link #answered} */
    synchronized int posted(String service, HttpRequest request) {
        String query = request.uri().getRawQuery();
        put(new Call(++lastNumber, ++lastChange, Instant.now(), service, BRIDGE, request.method(),
                request.uri().getRawPath() + (query == null ? "" : "?" + query), flat(request.headers()), body(request), UNDER_WAY,
                Map.of(), "", 0));
        return lastNumber;
    }

    synchronized void answered(int number, HttpResponse<String> response, Throwable failure) {
        Call call = calls.get(number);
        if (call == null) {
            return; // made room for others meanwhile
        }
        long millis = Instant.now().toEpochMilli() - call.at().toEpochMilli();
        put(new Call(number, ++lastChange, call.at(), call.from(), call.to(), call.method(), call.target(), call.headers(), call.body(),
                failure == null ? response.statusCode() : 0, failure == null ? flat(response.headers()) : Map.of(),
                failure == null ? response.body() : "No answer: " + cause(failure), millis));
    }

    /** In plain words: what Java calls it says little. */
    private static String cause(Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (Courier.WITHHELD.equals(cause.getMessage())) {
                return Courier.WITHHELD + ".";
            }
            if (cause instanceof ConnectException) {
                return "nobody listens at the bridge's address.";
            }
            if (cause instanceof HttpTimeoutException) {
                return "it took too long.";
            }
        }
        return "the connection was closed.";
    }

    private void put(Call call) {
        calls.put(call.number(), call);
        if (calls.size() > KEPT) {
            calls.pollFirstEntry();
        }
        notifyAll();
    }

    synchronized Optional<Call> call(int number) {
        return Optional.ofNullable(calls.get(number)).filter(call -> !call.method().equals(EVENT));
    }

    synchronized long lastChange() {
        return lastChange;
    }

    /** What has happened after that change, oldest first. */
    synchronized List<Call> after(long change) {
        return calls.values().stream().filter(call -> call.change() > change)
                .sorted((one, other) -> Long.compare(one.change(), other.change())).toList();
    }

    /** Waits for something to happen after that change, but not long. */
    synchronized void await(long change, long millis) throws InterruptedException {
        if (lastChange <= change) {
            wait(millis);
        }
    }

    private static Map<String, String> flat(HttpHeaders headers) {
        return headers.map().entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey,
                header -> String.join(", ", header.getValue()), (one, other) -> one, TreeMap::new));
    }

    /** A request does not tell its body, but hands it to whoever subscribes. */
    private static String body(HttpRequest request) {
        HttpResponse.BodySubscriber<String> text = HttpResponse.BodySubscribers.ofString(StandardCharsets.UTF_8);
        request.bodyPublisher().filter(publisher -> publisher.contentLength() > 0).ifPresentOrElse(
                publisher -> publisher.subscribe(new Flow.Subscriber<>() {
                    @Override
                    public void onSubscribe(Flow.Subscription subscription) {
                        text.onSubscribe(subscription);
                    }

                    @Override
                    public void onNext(ByteBuffer part) {
                        text.onNext(List.of(part));
                    }

                    @Override
                    public void onError(Throwable failure) {
                        text.onError(failure);
                    }

                    @Override
                    public void onComplete() {
                        text.onComplete();
                    }
                }), text::onComplete);
        return text.getBody().toCompletableFuture().join();
    }
}
