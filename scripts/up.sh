#!/usr/bin/env bash
# Starts `towline up` in the background and waits until lines of containers can be found. DATA and LISTEN may be set.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
LISTEN=${LISTEN:-127.0.0.1:8514}
TOWLINE=$VENV/bin/towline
DATA_OPTION=(${DATA:+--data "$DATA"})
PID=$RUN/up.pid
LOG=$RUN/up.log

running() { [[ -e $PID ]] && tr '\0' ' ' <"/proc/$(cat "$PID")/cmdline" 2>/dev/null | grep -q 'towline up'; }
searchable() { "$TOWLINE" search "${DATA_OPTION[@]}" --limit 1 --json 2>/dev/null | grep -q .; }
ended() { ! running; }

next_steps() {
    cat <<END
==> Towline is running (pid $(cat "$PID"), log $LOG). Next:
      .venv/bin/towline search${DATA:+ --data $DATA}              the newest 100 lines; --help teaches the rest
      .venv/bin/towline search${DATA:+ --data $DATA} 'hello'      lines with a word
      .venv/bin/towline tail${DATA:+ --data $DATA}                live
      http://$LISTEN/metrics                counts that must add up
      make down                                        stop
END
}

"$VENV/bin/python" "$ROOT/scripts/demo.py" start
if running; then
    say "towline up is running already (pid $(cat "$PID")): nothing changed"
    next_steps
    exit
fi
say "starting towline up on $LISTEN"
setsid nohup "$TOWLINE" up "${DATA_OPTION[@]}" --listen "$LISTEN" >>"$LOG" 2>&1 </dev/null &
echo $! >"$PID"
ready_or_ended() { ended || answers "$LISTEN" /readyz; }
wait_for 60 ready_or_ended || fail "towline up is not ready after a minute; its log: $LOG"
if ended; then
    tail -n 5 "$LOG" >&2
    fail "towline up did not start; its log: $LOG"
fi
say "ready; waiting for the first line"
wait_for 60 searchable || fail "no line was found within a minute; see $LOG, and run: .venv/bin/towline check"
next_steps
