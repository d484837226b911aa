package twitterflex;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import twitterflex.sandbox.Child;

/** {@code ./run.sh demo} as a process, with its page's address; it opens no browser of yours. */
final class DemoCommand implements AutoCloseable {

    static final String CLASS_PATH = Command.JAR + File.pathSeparator + Path.of("target", "test-classes").toAbsolutePath();
    private static final Pattern PAGE = Pattern.compile("http://127\\.0\\.0\\.1:\\d+/(?=\\R)");

    private final Command command;
    private final String url;

    DemoCommand(Path logs, String... options) throws IOException, InterruptedException {
        List<String> java = Child.java("-Ddemo.browser=false", "-Ddemo.pace=150", "-Djava.io.tmpdir=" + logs,
                "-cp", CLASS_PATH, "twitterflex.demo.Demo");
        java.addAll(1, Child.archived(Command.JAR));
        // In the root of the repository, where it finds the source of the bridge.
        command = new Command(logs, Path.of("").toAbsolutePath(), Map.of(), Stream.concat(java.stream(), Stream.of(options)).toList());
        command.awaits("Your turn:");
        Matcher page = PAGE.matcher(command.output());
        if (!page.find()) {
            throw new AssertionError("no address in " + command.output());
        }
        url = page.group();
    }

    String url() {
        return url;
    }

    @Override
    public void close() throws IOException {
        command.types("quit");
        try {
            command.process().onExit().get(20, java.util.concurrent.TimeUnit.SECONDS);
        } catch (Exception stuck) {
            throw new AssertionError("the demo does not end: " + command.output(), stuck);
        } finally {
            command.close();
        }
    }
}
