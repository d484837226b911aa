#!/usr/bin/env bash
# Everything one can do with the bridge, from any folder: ./run.sh help
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"

jar=target/twitter-flex-bridge.jar
fail() { echo "run.sh: $1" >&2; exit 2; }

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
[ -z "${JAVA_HOME:-}" ] || [ -x "$java" ] || fail "JAVA_HOME is $JAVA_HOME, where no bin/java is: point it at a JDK 17 or newer, or unset it."
found=$(command -v "$java" 2>/dev/null) || fail "no Java found: install a JDK 17 or newer, or point JAVA_HOME at one."
# A JDK says in its file release which one it is; to be asked itself, it has to start a JVM.
release= version=
while [ -L "$found" ] && next=$(readlink -f -- "$found" 2>/dev/null) && [ "$next" != "$found" ]; do found=$next; done
if [ -r "${found%/bin/*}/release" ]; then
  while IFS='="' read -r name _ value _; do
    case $name in
      JAVA_VERSION) version=${value%%[!0-9]*} ;;
      JAVA_RUNTIME_VERSION) release=${value//[!A-Za-z0-9.+-]/_} ;;
    esac
  done <"${found%/bin/*}/release"
fi
[ -n "$version" ] || version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
[ "${version:-0}" -ge 17 ] ||
  fail "Java ${version:-unknown} is too old: install a JDK 17 or newer, or point JAVA_HOME at one."

needs_maven() { command -v mvn >/dev/null 2>&1 || fail "no Maven found: install Maven 3.6.3 or newer ('mvn' must be on the PATH)."; }
maven() {
  needs_maven
  set -- --batch-mode --no-transfer-progress "$@"
  # Debian's Maven resets the colours also where there are none.
  if [ -t 1 ]; then mvn "$@"; else (set -o pipefail && mvn "$@" 2>&1 | sed $'s/\e\\[0m//g'); fi
}
build() {
  [ -f "$jar" ] && [ -z "$(find pom.xml src -newer "$jar" -print -quit)" ] && return
  needs_maven
  echo "run.sh: building $jar …" >&2
  maven --quiet -DskipTests package >&2
  archive_classes
}
# A small server: the serial collector and the first compiler start faster and take a fraction of the memory.
options=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms32m -Xmx512m)
# Most of a start is the loading of classes. An archive of them, made by this very JDK of this very jar, spares half.
archive=target/classes-$release.jsa
archive_classes() { [ -z "$release" ] || (train) >/dev/null 2>&1 || true; }
# The classes are those of a bridge that has started and answered. It knows nobody, and calls nobody.
train() {
  bridge='' folder='' line='' target=$PWD/target
  trap 'kill -9 $bridge || true; rm -rf "$folder" "$target/classes.new"' EXIT
  folder=$(mktemp -d) && cd "$folder" && mkfifo log || exit
  env -i PORT=0 PUBLIC_URL=http://127.0.0.1:1 AUTO_REGISTER=off \
    TWITTER_API_URL=http://127.0.0.1:1 TWILIO_API_URL='http://127.0.0.1:1/{product}' TWILIO_AUTH_TOKEN=t \
    TWITTER_CONSUMER_KEY=k TWITTER_CONSUMER_SECRET=s TWITTER_ACCESS_KEY=1-k TWITTER_ACCESS_SECRET=s \
    TWILIO_ACCOUNT_SID=AC00000000000000000000000000000000 FLEX_CHAT_SERVICE=IS00000000000000000000000000000000 \
    FLEX_WORKSPACE_SID=WS00000000000000000000000000000000 FLEX_WORKFLOW_SID=WW00000000000000000000000000000000 \
    "$found" "${options[@]}" -XX:ArchiveClassesAtExit="$target/classes.new" -jar "$target/${jar##*/}" >log 2>&1 &
  bridge=$!
  exec 4<log
  while [[ $line != *"listening on "* ]]; do read -r -t 20 line <&4 || exit; done
  line=${line#*http://127.0.0.1:}
  for request in 'GET /' 'GET /healthz' 'GET /fromTwitter?crc_token=t' 'POST /fromTwitter' 'POST /fromFlex'; do
    exec 3<>"/dev/tcp/127.0.0.1/${line%%[!0-9]*}"
    printf '%s HTTP/1.1\r\nHost: bridge\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$request" >&3
    while read -r -t 5 _ <&3; do :; done
  done
  kill "$bridge"
  while read -r -t 20 _ <&4; do :; done
  rm -f "$target"/classes-*.jsa
  mv "$target/classes.new" "$target/${archive##*/}"
}
run() {
  [ ! "$archive" -nt "$jar" ] || options+=(-XX:SharedArchiveFile="$PWD/$archive" -Xlog:disable)
  exec "$java" "${options[@]}" "$@"
}

command=${1:-serve}
[ $# -eq 0 ] || shift
case $command in
  demo) build; run -Djdk.console=java.base -cp "$jar:target/test-classes" twitterflex.demo.Demo "$@" ;;
  test) maven verify "$@" && archive_classes ;;
  serve | setup | check | failed | retry | version | --version) build; run -jar "$jar" "$command" "$@" ;;
  help | -h | --help)
    cat <<'HELP'
./run.sh demo         a page, and the terminal, on which you see the bridge at work between simulated X and Flex, with a guided tour;
                      --once plays the tour and reports, --classic with the original's APIs, --verbose with the bridge's log,
                      --port N with the page at a port of yours
./run.sh              runs the bridge with .env and the environment (the environment wins); the same as ./run.sh serve
./run.sh setup        finds or creates what the bridge needs at Twilio and X, and writes it to .env; --dry-run only shows the calls,
                      --move takes over a webhook or subscription that is at another bridge's address,
                      --attachments lets agents attach only what X takes, in all web chats of the account
./run.sh check        tells what holds and what does not, with the fix, and changes nothing; --json for machines
./run.sh failed       lists the messages a service refused for good
./run.sh retry [ID]   puts a refused message, or all of them, back
./run.sh test         runs every test
./run.sh version      tells which version this is
./run.sh help         this text
HELP
    ;;
  *) fail "unknown command '$command': try ./run.sh help" ;;
esac
