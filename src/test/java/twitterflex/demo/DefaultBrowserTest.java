package twitterflex.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The page opens by itself where somebody can see it. */
class DefaultBrowserTest {

    @Test
    void eachSystemIsAskedInItsOwnWayAndOnlyIfItHasAScreen() {
        assertEquals(List.of("open"), DefaultBrowser.command("Mac OS X", Map.of()));
        assertEquals(List.of("rundll32", "url.dll,FileProtocolHandler"), DefaultBrowser.command("Windows 11", Map.of()));
        assertEquals(List.of("xdg-open"), DefaultBrowser.command("Linux", Map.of("DISPLAY", ":0")));
        assertEquals(List.of("xdg-open"), DefaultBrowser.command("Linux", Map.of("WAYLAND_DISPLAY", "wayland-0")));
        assertEquals(List.of(), DefaultBrowser.command("Linux", Map.of("DISPLAY", "")));
        assertEquals(List.of(), DefaultBrowser.command("Linux", Map.of()));
    }
}
