package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.until;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.Refusals;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/** The log: one event a line, in the words that LOG_LEVEL and the README use. */
class LogTest {
    private static final Pattern LINE = Pattern.compile("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}[+-]\\d{4} (\\w+) .+");

    @Test
    void levelsGoByTheNamesOfTheSettingInWhateverLanguageTheMachineSpeaks() throws Exception {
        Path folder = Files.createTempDirectory("bridge-test");
        try (SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys()); SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample())) {
            Map<String, String> environment = Rig.environment(Rig.Generation.CURRENT, x, flex, Ports.free(), folder.resolve("data"));
            environment.putAll(Map.of("LOG_LEVEL", "DEBUG", "AUTO_REGISTER", "on", "JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE"));
            x.faults().always("GET /2/webhooks", Refusals.NO_ACCESS);
            try (BridgeProcess bridge = new BridgeProcess(environment, folder)) {
                bridge.start();
                until("an error", () -> bridge.log().contains(" X webhook: "));
                bridge.terminate();
                List<String> lines = bridge.log().lines().filter(line -> !line.startsWith("Picked up ")).toList();
                Set<String> levels = new TreeSet<>();
                for (String line : lines) {
                    assertTrue(LINE.matcher(line).matches(), line);
                    levels.add(LINE.matcher(line).replaceFirst("$1"));
                }
                levels.remove("WARNING");
                assertEquals(Set.of("DEBUG", "ERROR", "INFO"), levels);
            }
        } finally {
            Rig.delete(folder);
        }
    }
}
