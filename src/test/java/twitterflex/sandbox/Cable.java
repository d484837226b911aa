package twitterflex.sandbox;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** The way from the bridge to a service; once it is cut nothing gets through any more, in neither direction. */
public final class Cable implements AutoCloseable {
    private final String service;
    private final int port;
    private final ServerSocket end;
    private final List<Socket> sockets = new CopyOnWriteArrayList<>();
    private volatile boolean cut;

    /** @param service its URL, as {@code http://127.0.0.1:12345} */
    public Cable(String service) throws IOException {
        this(service, 0);
    }

    /** @param at the port of its near end */
    public Cable(String service, int at) throws IOException {
        this.service = service;
        port = java.net.URI.create(service).getPort();
        end = new ServerSocket(at, 50, InetAddress.getLoopbackAddress());
        thread(this::connect);
    }

    /** The same address of the service, by this cable. */
    public String url(String address) {
        return address.replace(service, "http://127.0.0.1:" + end.getLocalPort());
    }

    private void connect() throws IOException {
        while (true) {
            Socket here = end.accept();
            Socket there = new Socket(InetAddress.getLoopbackAddress(), port);
            here.setTcpNoDelay(true);
            there.setTcpNoDelay(true);
            sockets.addAll(List.of(here, there));
            if (cut) {
                cut();
            }
            thread(() -> carry(here, there));
            thread(() -> carry(there, here));
        }
    }

    private static void carry(Socket from, Socket to) throws IOException {
        try (from; to) {
            from.getInputStream().transferTo(to.getOutputStream());
        }
    }

    private interface Task {
        void run() throws IOException;
    }

    private static void thread(Task task) {
        Thread thread = new Thread(() -> {
            try {
                task.run();
            } catch (IOException closed) {
                // Cut, or one end has hung up.
            }
        }, "cable");
        thread.setDaemon(true);
        thread.start();
    }

    @Override
    public void close() {
        cut();
    }

    public void cut() {
        cut = true;
        try {
            end.close();
            for (Socket socket : sockets) {
                socket.close();
            }
        } catch (IOException never) {
            throw new UncheckedIOException(never);
        }
    }
}
