package twitterflex.sandbox;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Executor;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import twitterflex.sandbox.SimulatedService.Reply;

/**
 * HTTP/1.1 by hand, one request per connection: the JDK's server sets the header Date itself, after all others and by the true time,
 * so that a service whose clock is wrong needs a server of its own.
 */
final class WrongClock implements AutoCloseable {

    /** What a request's head and body are made into. */
    interface Handler {
        Reply answer(String method, String target, Map<String, String> headers, byte[] body) throws IOException, InterruptedException;
    }

    private static final DateTimeFormatter DATE = DateTimeFormatter.ofPattern("EEE, dd MMM yyyy HH:mm:ss 'GMT'", Locale.US)
            .withZone(ZoneOffset.UTC);

    private final ServerSocket socket;
    private final Supplier<Instant> clock;
    private final Handler handler;

    WrongClock(int port, Executor threads, Supplier<Instant> clock, Handler handler) {
        this.clock = clock;
        this.handler = handler;
        socket = again(port);
        threads.execute(() -> accept(threads));
    }

    /** The port may be somebody's own end of a connection for a moment. */
    private static ServerSocket again(int port) {
        IOException taken = new IOException();
        for (int tries = 0; tries < 500; tries++) {
            try {
                return new ServerSocket(port, 100, InetAddress.getLoopbackAddress());
            } catch (IOException busy) {
                taken = busy;
                LockSupport.parkNanos(10_000_000);
            }
        }
        throw new UncheckedIOException("cannot listen again on port " + port, taken);
    }

    private void accept(Executor threads) {
        while (!socket.isClosed()) {
            try {
                Socket connection = socket.accept();
                threads.execute(() -> serve(connection));
            } catch (IOException e) {
                return; // closed
            }
        }
    }

    private void serve(Socket connection) {
        try (connection) {
            InputStream in = new BufferedInputStream(connection.getInputStream());
            String[] request = line(in).split(" ");
            Map<String, String> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
            for (String line = line(in); !line.isEmpty(); line = line(in)) {
                int colon = line.indexOf(':');
                headers.merge(line.substring(0, colon), line.substring(colon + 1).trim(), (one, other) -> one + ", " + other);
            }
            byte[] body = in.readNBytes(Integer.parseInt(headers.getOrDefault("Content-Length", "0")));
            Reply reply = handler.answer(request[0], request[1], headers, body);
            if (reply.status() > 0) {
                connection.getOutputStream().write(head(reply));
                try (InputStream content = reply.sent().open()) {
                    content.transferTo(connection.getOutputStream());
                }
            }
        } catch (IOException | RuntimeException e) {
            // No request after all: the connection is closed.
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static String line(InputStream in) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int read = in.read(); read >= 0 && read != '\n'; read = in.read()) {
            line.write(read);
        }
        return line.toString(StandardCharsets.ISO_8859_1).replace("\r", "");
    }

    private byte[] head(Reply reply) {
        Map<String, String> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        headers.put("Content-Type", "application/json; charset=utf-8");
        headers.putAll(reply.headers());
        headers.put("Date", DATE.format(clock.get()));
        headers.put("Connection", "close");
        if (reply.status() != 204) {
            headers.put("Content-Length", String.valueOf(reply.sent().length()));
        }
        StringBuilder head = new StringBuilder("HTTP/1.1 " + reply.status() + " Said\r\n");
        headers.forEach((name, value) -> head.append(name).append(": ").append(value).append("\r\n"));
        return head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
    }

    @Override
    public void close() {
        try {
            socket.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
