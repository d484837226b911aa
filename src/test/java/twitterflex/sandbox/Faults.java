package twitterflex.sandbox;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;

/** Decides which requests suffer which fault: scripted ones first, then standing ones, then chance. The operation "*" is any. */
public final class Faults {

    private static final String ANY = "*";

    private record Scripted(String operation, Fault fault) { }

    private final List<Scripted> scripted = new ArrayList<>();
    private final Map<String, Fault> standing = new HashMap<>();
    private double probability;
    private Random random = new Random(0);
    private List<Fault> choices = List.of();

    /** The next requests of this operation suffer these faults, one each, in this order. */
    public synchronized void next(String operation, Fault... faults) {
        for (Fault fault : faults) {
            scripted.add(new Scripted(operation, fault));
        }
    }

    /** Every request of this operation suffers this fault until {@link #clear()}. */
    public synchronized void always(String operation, Fault fault) {
        standing.put(operation, fault);
    }

    /** Each request suffers, with this probability, one of these faults. */
    public synchronized void rate(double probability, Random random, Fault... choices) {
        this.probability = probability;
        this.random = random;
        this.choices = List.of(choices);
    }

    /** Nothing goes wrong any more: forgets scripted and standing faults and the rate. */
    public synchronized void clear() {
        scripted.clear();
        standing.clear();
        probability = 0;
    }

    synchronized Optional<Fault> take(String operation) {
        for (Iterator<Scripted> rest = scripted.iterator(); rest.hasNext();) {
            Scripted first = rest.next();
            if (first.operation().equals(operation) || first.operation().equals(ANY)) {
                rest.remove();
                return Optional.of(first.fault());
            }
        }
        Fault fault = standing.getOrDefault(operation, standing.get(ANY));
        if (fault == null && probability > 0 && random.nextDouble() < probability) {
            fault = choices.get(random.nextInt(choices.size()));
        }
        return Optional.ofNullable(fault);
    }
}
