#!/usr/bin/env bash
# Everything one can do with the bridge, from any folder: ./run.sh help
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"

jar=target/twitter-flex-bridge.jar
fail() { echo "run.sh: $1" >&2; exit 2; }

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
command -v "$java" >/dev/null 2>&1 || fail "no Java found: install a JDK 17 or newer, or point JAVA_HOME at one."
version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
[ "${version:-0}" -ge 17 ] || fail "Java ${version:-unknown} is too old: install a JDK 17 or newer, or point JAVA_HOME at one."

needs_maven() { command -v mvn >/dev/null 2>&1 || fail "no Maven found: install Maven 3.6.3 or newer ('mvn' must be on the PATH)."; }
maven() {
  needs_maven
  mvn --batch-mode --no-transfer-progress "$@"
}
build() {
  [ -f "$jar" ] && [ -z "$(find pom.xml src -newer "$jar" -print -quit)" ] && return
  needs_maven
  echo "run.sh: building $jar …" >&2
  maven --quiet -DskipTests package >&2
}
# A small server: the serial collector and the first compiler start faster and take a fraction of the memory.
run() { exec "$java" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms32m -Xmx512m "$@"; }

command=${1:-serve}
[ $# -eq 0 ] || shift
case $command in
  demo) build; run -cp "$jar:target/test-classes" twitterflex.demo.Demo "$@" ;;
  test) maven verify "$@" ;;
  serve | setup | check | failed | retry) build; run -jar "$jar" "$command" "$@" ;;
  help | -h | --help)
    cat <<'HELP'
./run.sh demo         a page, and the terminal, on which you see the bridge at work between simulated X and Flex, with a guided tour;
                      --once plays the tour and reports, --classic with the original's APIs, --verbose with the bridge's log
./run.sh              runs the bridge with .env and the environment (the environment wins); the same as ./run.sh serve
./run.sh setup        finds or creates what the bridge needs at Twilio and X, and writes it to .env; --dry-run only shows the calls,
                      --move takes over a webhook or subscription that is at another bridge's address,
                      --attachments lets agents attach only what X takes, in all web chats of the account
./run.sh check        tells what holds and what does not, with the fix, and changes nothing; --json for machines
./run.sh failed       lists the messages a service refused for good
./run.sh retry [ID]   puts a refused message, or all of them, back
./run.sh test         runs every test
./run.sh help         this text
HELP
    ;;
  *) fail "unknown command '$command': try ./run.sh help" ;;
esac
