#!/usr/bin/env bash
# Stops what `make up` started: towline up (everything delivered or spooled) and the demo container.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PID=$RUN/up.pid

gone() { [[ ! -d /proc/$1 ]]; }

if [[ -e $PID ]] && tr '\0' ' ' <"/proc/$(cat "$PID")/cmdline" 2>/dev/null | grep -q 'towline up'; then
    pid=$(cat "$PID")
    kill -TERM "$pid"
    wait_for 60 gone "$pid" || fail "towline up (pid $pid) has not stopped within a minute; its log: $RUN/up.log"
    say "stopped towline up (pid $pid)"
else
    say "towline up is not running"
fi
rm -f "$PID"
if engine_answers && [[ -x $VENV/bin/python ]]; then "$VENV/bin/python" "$ROOT/scripts/demo.py" stop; fi
