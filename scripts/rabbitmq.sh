#!/usr/bin/env bash
# A RabbitMQ of one's own for tests: Debian's server on loopback, all that it writes below FOLDER.
#
#   rabbitmq.sh start FOLDER [PORT]   prints its URL; does nothing more where it runs already (PORT: 5672, else any free one)
#   rabbitmq.sh stop FOLDER           ends it in order; `kill FOLDER` at once (SIGKILL)
#   rabbitmq.sh url|pid FOLDER        its URL, its process
#   rabbitmq.sh ctl FOLDER ARGS…      rabbitmqctl for it
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
BIN=/usr/lib/rabbitmq/bin

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

(($# >= 2)) || usage
COMMAND=$1
mkdir -p "$2"
FOLDER=$(cd "$2" && pwd)
shift 2

url() { echo "amqp://guest:guest@127.0.0.1:$(cat "$FOLDER/port")/"; }
pid() { cat "$FOLDER/pid" 2>/dev/null | xargs; }

# The pid may have gone to another process since: ours has our folder in its environment.
runs() {
    [[ -n $(pid) && -r /proc/$(pid)/environ ]] || return 1
    tr '\0' '\n' <"/proc/$(pid)/environ" | grep -qxF "RABBITMQ_PID_FILE=$FOLDER/pid"
}
gone() { ! runs; }

# free_port PREFERRED: that one, or any where it is taken (or 0). Not one that Linux may give to another program before
# the server has bound it, nor has its port between nodes such a number (see `settings`).
free_port() {
    "$(python_found)" - "$1" <<'PY'
import random, socket, sys
preferred = int(sys.argv[1])
for port in [*([preferred] if preferred else []), *random.sample(range(21_000, 32_000), 1000)]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(probe.getsockname()[1])
        break
PY
}

accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$(cat "$FOLDER/port")") 2>/dev/null; }

write_settings() {
    cat >"$FOLDER/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$1
disk_free_limit.absolute = 50MB
log.file.level = warning
CONF
    : >"$FOLDER/enabled_plugins"
    [[ -f $FOLDER/extra.conf ]] && cat "$FOLDER/extra.conf" >>"$FOLDER/rabbitmq.conf"
    echo "$1" >"$FOLDER/port"
}

# The server's own scripts read the whole configuration from here.
settings() {
    local port
    port=$(cat "$FOLDER/port")
    export HOME=$FOLDER
    export RABBITMQ_NODENAME=towline-$port@localhost
    export RABBITMQ_CONF_ENV_FILE=$FOLDER/rabbitmq-env.conf
    export RABBITMQ_CONFIG_FILE=$FOLDER/rabbitmq
    export RABBITMQ_ENABLED_PLUGINS_FILE=$FOLDER/enabled_plugins
    export RABBITMQ_MNESIA_BASE=$FOLDER/data RABBITMQ_LOG_BASE=$FOLDER/log
    export RABBITMQ_PID_FILE=$FOLDER/pid
    export RABBITMQ_DIST_PORT=$((port < 21000 ? port + 20000 : port < 40000 ? port - 10000 : port - 20000))
    export ERL_EPMD_ADDRESS=127.0.0.1
    # One scheduler a core at most, and none that spins while idle: tests share the machine with it.
    export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
}

start() {
    if runs; then return; fi
    [[ -x $BIN/rabbitmq-server ]] || fail "no rabbitmq-server here: apt-get install --no-install-recommends rabbitmq-server"
    rm -f "$FOLDER/pid"
    # A node's data belongs to its name, and its name holds the port: started again, it takes the same one.
    write_settings "$(if [[ -f $FOLDER/port ]]; then cat "$FOLDER/port"; else free_port "${1:-5672}"; fi)"
    settings
    setsid nohup "$BIN/rabbitmq-server" >"$FOLDER/console.log" 2>&1 </dev/null &
    if ! { wait_for 90 runs && wait_for 90 accepts; }; then
        tail -n 20 "$FOLDER/console.log" >&2
        fail "RabbitMQ did not start; its logs are in $FOLDER"
    fi
}

end() {
    if runs; then
        kill "-$1" "$(pid)"
        wait_for 60 gone || fail "RabbitMQ in $FOLDER does not end"
    fi
    rm -f "$FOLDER/pid"
}

case $COMMAND in
    start) start "$@" && url ;;
    stop) end TERM ;;
    kill) end KILL ;;
    url) url ;;
    pid) runs && pid ;;
    ctl) settings && exec "$BIN/rabbitmqctl" -q "$@" ;;
    *) usage ;;
esac
