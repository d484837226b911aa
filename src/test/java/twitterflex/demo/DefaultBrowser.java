package twitterflex.demo;

import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;

/** The browser of whoever sits before the screen, if there is a screen. {@code -Ddemo.browser=false} leaves it alone. */
final class DefaultBrowser {

    private DefaultBrowser() { }

    /** @return whether one was asked to open the address */
    static boolean open(String url) {
        List<String> command = command(System.getProperty("os.name"), System.getenv());
        if (command.isEmpty() || System.getProperty("demo.browser", "true").equals("false")) {
            return false;
        }
        try {
            new ProcessBuilder(Stream.concat(command.stream(), Stream.of(url)).toList()).redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
            return true;
        } catch (IOException none) {
            return false;
        }
    }

    /** Each system's own, because the JDK's way needs a module that servers' Javas leave out. */
    static List<String> command(String system, Map<String, String> environment) {
        String name = system.toLowerCase(Locale.ROOT);
        if (name.startsWith("mac")) {
            return List.of("open");
        }
        if (name.startsWith("windows")) {
            return List.of("rundll32", "url.dll,FileProtocolHandler");
        }
        boolean screen = Stream.of("DISPLAY", "WAYLAND_DISPLAY").anyMatch(variable -> !environment.getOrDefault(variable, "").isEmpty());
        return screen ? List.of("xdg-open") : List.of();
    }
}
