package twitterflex.sandbox;

import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The API of a local ngrok agent (ngrok.com/docs/agent/api), which tells under which public URL it forwards to which address. */
public final class SimulatedNgrok extends SimulatedService {

    /** One tunnel, e.g. {@code command_line}, {@code https://a1b2.ngrok-free.app}, {@code http://localhost:3000}. */
    public record Tunnel(String name, String publicUrl, String address) { }

    private static final String TUNNELS = "GET /api/tunnels";
    private static final String TUNNEL = TUNNELS + "/{name}";

    private final List<Tunnel> tunnels = new ArrayList<>();

    /** The real agent's port is 4040, or the next one that is free. */
    public SimulatedNgrok(int port) {
        super(port, List.of(Operation.of(TUNNELS, "", MissingNode.getInstance()), Operation.of(TUNNEL, "", MissingNode.getInstance())));
        start();
    }

    /** Replaces all tunnels; none at first. */
    public synchronized void tunnels(Tunnel... tunnels) {
        this.tunnels.clear();
        this.tunnels.addAll(List.of(tunnels));
    }

    @Override
    synchronized Reply answer(Request request) {
        if (request.operation().equals(TUNNELS)) {
            return found(Json.object("tunnels", Json.array(tunnels.stream().map(SimulatedNgrok::shown).toList()), "uri", "/api/tunnels"));
        }
        return tunnels.stream().filter(tunnel -> tunnel.name().equals(request.variables().get("name"))).findFirst()
                .map(tunnel -> found(shown(tunnel))).orElseThrow(() -> new Refused(new Reply(404, Map.of(), Json.object("error_code", 100,
                        "status_code", 404, "msg", "The requested resource was not found").toString()), "no such tunnel", true));
    }

    private static Reply found(ObjectNode body) {
        return new Reply(200, Map.of(), body.toString());
    }

    private static ObjectNode shown(Tunnel tunnel) {
        ObjectNode http = Json.object("count", 0, "rate1", 0, "rate5", 0, "rate15", 0, "p50", 0, "p90", 0, "p95", 0, "p99", 0);
        ObjectNode connections = http.deepCopy().put("gauge", 0);
        return Json.object("name", tunnel.name(), "ID", String.format("%032x", tunnel.hashCode()), "uri", "/api/tunnels/" + tunnel.name(),
                "public_url", tunnel.publicUrl(), "proto", tunnel.publicUrl().replaceFirst(":.*", ""),
                "config", Json.object("addr", tunnel.address(), "inspect", true),
                "metrics", Json.object("conns", connections, "http", http));
    }
}
