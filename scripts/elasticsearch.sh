#!/usr/bin/env bash
# A real Elasticsearch for tests and measurements, on loopback only: `scripts/elasticsearch.sh start|stop|fetch|url|folder`.
# It is the integration-test distribution from Maven Central, unpacked once into a cache folder outside of the tree.
#   TOWLINE_ES_PORT=9200      port; each port is an instance with data and log of its own
#   TOWLINE_ES_VERSION=8.19.7 9.x wants a JDK of 21 or newer
#   TOWLINE_ES_HEAP=512m      heap
#   TOWLINE_ES_JAVA=          more options for Java
#   TOWLINE_ES_PASSWORD=      where set, security is on and this is the password of the user `elastic`
#   TOWLINE_ES_SETTINGS=      more of elasticsearch.yml, `\n` between lines
#   TOWLINE_ES_CONFIG=        a folder whose files are put beside elasticsearch.yml: roles, certificates
#   TOWLINE_ES_KEEP=          where set, data of an earlier run is kept; else it begins empty
#   TOWLINE_ES_CACHE=         folder; default /var/cache/towline for root, else ~/.cache/towline
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PORT=${TOWLINE_ES_PORT:-9200}
VERSION=${TOWLINE_ES_VERSION:-8.19.7}
PASSWORD=${TOWLINE_ES_PASSWORD:-}
if ((EUID == 0)); then CACHE=/var/cache/towline; else CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/towline; fi
CACHE=${TOWLINE_ES_CACHE:-$CACHE}
HOME_OF_ES=$CACHE/elasticsearch-$VERSION
INSTANCE=$CACHE/instance-$PORT
PID=$INSTANCE/pid

jdk_of() { # the major version of the JDK in folder $1, 0 where there is none
    local line
    line=$("$1/bin/java" -version 2>&1 | grep -oE ' version "[0-9]+' | grep -oE '[0-9]+') || true
    echo "${line:-0}"
}

jdk_found() {
    local wanted=17 each
    [[ ${VERSION%%.*} -ge 9 ]] && wanted=21
    for each in "${ES_JAVA_HOME:-}" "${JAVA_HOME:-}" /usr/lib/jvm/*; do
        [[ -n $each && -x $each/bin/java && $(jdk_of "$each") -ge $wanted ]] && echo "$each" && return
    done
    fail "Elasticsearch $VERSION needs a JDK of $wanted or newer: apt-get install openjdk-17-jre-headless (8.x), or set ES_JAVA_HOME"
}

unpack() {
    [[ -x $HOME_OF_ES/bin/elasticsearch ]] && return
    local zip group=org.elasticsearch.distribution.integ-test-zip
    command -v mvn >/dev/null || fail "missing: maven and unzip; install them: apt-get install maven unzip"
    say "fetching Elasticsearch $VERSION (about 100 MB)"
    mvn -q dependency:get -Dartifact="$group:elasticsearch:$VERSION:zip" -Dtransitive=false >&2
    zip=$HOME/.m2/repository/${group//.//}/elasticsearch/$VERSION/elasticsearch-$VERSION.zip
    mkdir -p "$CACHE"
    "$(python_found)" -m zipfile -e "$zip" "$CACHE/unpacking-$$"
    mv "$CACHE/unpacking-$$/elasticsearch-$VERSION" "$HOME_OF_ES"
    rmdir "$CACHE/unpacking-$$"
    chmod +x "$HOME_OF_ES"/bin/*
}

configure() {
    [[ -n ${TOWLINE_ES_KEEP:-} ]] || rm -rf "$INSTANCE/data"
    mkdir -p "$INSTANCE"/{config,data,logs,tmp}
    cp -r "$HOME_OF_ES"/config/* "$INSTANCE/config/"
    [[ -z ${TOWLINE_ES_CONFIG:-} ]] || cp -r "$TOWLINE_ES_CONFIG"/* "$INSTANCE/config/"
    cat >"$INSTANCE/config/elasticsearch.yml" <<YML
cluster.name: towline-$PORT
node.name: towline-$PORT
discovery.type: single-node
network.host: 127.0.0.1
http.port: $PORT
transport.port: $((PORT + 100))
path.data: $INSTANCE/data
path.logs: $INSTANCE/logs
action.destructive_requires_name: false
xpack.security.enabled: $([[ -n $PASSWORD ]] && echo true || echo false)
YML
    printf '%b\n' "${TOWLINE_ES_SETTINGS:-}" >>"$INSTANCE/config/elasticsearch.yml"
    [[ -z $PASSWORD ]] || password
    if ((EUID == 0)); then chown -R nobody "$INSTANCE"; fi
}

password() {
    rm -f "$INSTANCE/config/elasticsearch.keystore"
    local -x ES_JAVA_HOME ES_PATH_CONF=$INSTANCE/config CLI_JAVA_OPTS=-XX:TieredStopAtLevel=1
    ES_JAVA_HOME=$(jdk_found)
    "$HOME_OF_ES/bin/elasticsearch-keystore" create -s >/dev/null
    printf '%s' "$PASSWORD" | "$HOME_OF_ES/bin/elasticsearch-keystore" add -x -s bootstrap.password >/dev/null
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }
running() { [[ -s $PID && -d /proc/$(cat "$PID") ]] && grep -qa "$INSTANCE" "/proc/$(cat "$PID")/environ" 2>/dev/null; }
up_or_dead() { port_open || ! running; }

start() {
    if running && port_open; then
        say "Elasticsearch answers on 127.0.0.1:$PORT already"
        return
    fi
    port_open && fail "port $PORT is taken by another program; set TOWLINE_ES_PORT"
    unpack
    configure
    local as=(env) heap=${TOWLINE_ES_HEAP:-512m} jdk
    jdk=$(jdk_found)
    ((EUID != 0)) || as=(setpriv --reuid nobody --regid nogroup --clear-groups env)
    say "starting Elasticsearch $VERSION on 127.0.0.1:$PORT"
    (
        cd "$INSTANCE"
        exec setsid nohup "${as[@]}" HOME="$INSTANCE" ES_JAVA_HOME="$jdk" ES_PATH_CONF="$INSTANCE/config" \
            ES_TMPDIR="$INSTANCE/tmp" ES_JAVA_OPTS="-Xms$heap -Xmx$heap ${TOWLINE_ES_JAVA:-}" \
            "$HOME_OF_ES/bin/elasticsearch" -d -p "$PID" >"$INSTANCE/logs/start.log" 2>&1 </dev/null
    ) || { tail -n 5 "$INSTANCE/logs/start.log" >&2; fail "Elasticsearch did not start; its log: $INSTANCE/logs"; }
    wait_for 120 up_or_dead && port_open || fail "Elasticsearch does not answer; its log: $INSTANCE/logs"
}

stop() {
    running || { say "no Elasticsearch of ours on port $PORT"; return; }
    local pid
    pid=$(cat "$PID")
    kill "$pid"
    gone() { [[ ! -d /proc/$pid ]]; }
    wait_for 60 gone || kill -9 "$pid"
    say "stopped Elasticsearch on port $PORT"
}

case ${1:-start} in
    start) start ;;
    stop) stop ;;
    fetch) unpack ;;
    url) echo "http://127.0.0.1:$PORT" ;;
    folder) echo "$INSTANCE" ;;
    *) fail "unknown command '$1'; use start, stop, fetch, url or folder" ;;
esac
