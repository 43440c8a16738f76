# Sourced by the other scripts: where things are, and how they talk. Nothing runs on its own here.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
RUN=$ROOT/.towline
SOCKET=${TOWLINE_TEST_ENGINE:-${TOWLINE_ENGINE:-unix:///var/run/docker.sock}}
SOCKET=${SOCKET#unix://}

say() { printf '==> %s\n' "$*"; }

fail() {
    printf '==> error: %s\n' "$*" >&2
    exit 1
}

# The first Python of 3.11 or newer; prints nothing where there is none.
python_found() {
    local name
    for name in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
}

# GET of a path, by HTTP: `answers 127.0.0.1:8514 /readyz` or `answers /var/run/docker.sock /_ping`; true on status 200.
answers() {
    "$(python_found)" - "$1" "$2" <<'PY' 2>/dev/null
import http.client, socket, sys
where, path = sys.argv[1:]
connection = http.client.HTTPConnection("localhost" if where.startswith("/") else where, timeout=5)
if where.startswith("/"):
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(5)
    connection.sock.connect(where)
connection.request("GET", path)
sys.exit(connection.getresponse().status != 200)
PY
}

engine_answers() { answers "$SOCKET" /_ping; }

# wait_for SECONDS COMMAND…: true as soon as COMMAND is.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.5
    done
}
