package twitterflex.demo;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;

/** Leads through the tour: a step at a time, or by itself with a pause to read in. */
final class Guide {

    /** Between two steps; a quarter of it between two hops, so that one sees what waits. */
    private static final long PAUSE = Long.getLong("demo.pace", 4_000) * 1_000_000;

    private final Stage stage;
    private final ExecutorService thread = Executors.newSingleThreadExecutor(task -> {
        Thread guide = new Thread(task, "guide");
        guide.setDaemon(true);
        return guide;
    });
    private Tour tour;
    private boolean leading;
    private boolean busy;

    Guide(Stage stage) {
        this.stage = stage;
        tour = new Tour(stage);
    }

    synchronized Tour tour() {
        return tour;
    }

    synchronized boolean leading() {
        return leading;
    }

    /** Whether a step is being played. */
    synchronized boolean busy() {
        return busy;
    }

    /** Once more from the beginning, with a customer nobody knows. */
    synchronized void again() {
        if (busy) {
            throw new IllegalStateException("The tour is under way.");
        }
        tour = new Tour(stage);
    }

    /** All of it, from the beginning, on this thread and in this way; nobody else leads meanwhile. */
    void lead(Consumer<Tour> way) {
        synchronized (this) {
            again();
            busy = true;
        }
        try {
            way.accept(tour());
        } finally {
            ended();
        }
    }

    synchronized void pause() {
        leading = false;
    }

    void step() {
        go(false);
    }

    void lead() {
        go(true);
    }

    private synchronized void go(boolean toTheEnd) {
        leading |= toTheEnd;
        if (busy) {
            return;
        }
        if (tour.over() || tour.next() == 0 && !tour.person.written().isEmpty()) {
            again();
        }
        busy = true;
        thread.execute(() -> {
            try {
                do {
                    tour().play(result -> LockSupport.parkNanos(PAUSE / 4));
                } while (goesOn());
            } finally {
                ended();
            }
        });
    }

    private synchronized void ended() {
        busy = false;
        leading = false;
    }

    /** After a pause to read in, if nobody has asked to stop meanwhile. */
    private boolean goesOn() {
        long end = System.nanoTime() + PAUSE;
        while (leading() && !tour().over() && System.nanoTime() < end) {
            LockSupport.parkNanos(20_000_000);
        }
        return leading() && !tour().over();
    }
}
