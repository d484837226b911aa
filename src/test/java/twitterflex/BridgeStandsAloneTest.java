package twitterflex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static twitterflex.Rig.until;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.File;
import java.io.StringWriter;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import twitterflex.sandbox.Ports;
import twitterflex.sandbox.SimulatedFlex;
import twitterflex.sandbox.SimulatedX;

/** The server is one file: with jackson as its only neighbour it compiles, and serves from its source as quietly as from the jar. */
class BridgeStandsAloneTest {
    private static final Path SOURCE = Path.of("src/main/java/twitterflex/Bridge.java").toAbsolutePath();
    private static final String JACKSON = Stream.of(JsonNode.class, JsonParser.class, JsonInclude.class)
            .map(type -> Path.of(URI.create(type.getProtectionDomain().getCodeSource().getLocation().toString())).toString())
            .collect(Collectors.joining(File.pathSeparator));

    @Test
    void itCompilesWithoutAWarningAndWithNothingButJackson(@TempDir Path folder) throws Exception {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        Path nothing = Files.createDirectory(folder.resolve("nothing"));
        StringWriter said = new StringWriter();
        try (StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null)) {
            List<String> options = List.of("--release", "17", "-Xlint:all", "-Werror", "-classpath", JACKSON, "-sourcepath", nothing.toString(),
                    "-d", folder.toString());
            assertTrue(compiler.getTask(said, files, null, options, null, files.getJavaFileObjects(SOURCE)).call(), said::toString);
        }
        assertEquals("", said.toString());
    }

    @Test
    void itNamesNothingOfTheOperatorsTool() throws Exception {
        assertFalse(Pattern.compile("\\bOperator\\b").matcher(Files.readString(SOURCE)).find());
    }

    @Test
    void itServesFromItsSourceAsQuietlyAsFromTheJar(@TempDir Path folder) throws Exception {
        try (SimulatedX x = new SimulatedX(0, SimulatedX.sampleKeys()); SimulatedFlex flex = new SimulatedFlex(0, SimulatedFlex.Account.sample())) {
            Map<String, String> environment = Rig.environment(Rig.Generation.CURRENT, x, flex, Ports.free(), folder.resolve("data"));
            environment.put("LOG_LEVEL", "INFO");
            try (BridgeProcess bridge = new BridgeProcess(environment, folder, "-cp", JACKSON, SOURCE.toString())) {
                bridge.start();
                x.webhook("http://127.0.0.1:" + environment.get("PORT") + "/fromTwitter");
                x.customer("1", "ann", "Ann").writes("hi");
                until("the message", () -> flex.openChat("twitter-1").filter(chat -> !chat.messages().isEmpty()).isPresent());
                assertEquals(0, bridge.terminate());
                List<String> lines = bridge.log().lines().filter(line -> !line.contains(" INFO ")
                        && !line.contains("from inside this container")).toList();
                assertEquals(List.of(), lines);
            }
        }
    }
}
