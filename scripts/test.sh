#!/usr/bin/env bash
# All tests but the soak runs, on real servers: the engine, and a RabbitMQ and an Elasticsearch that live as long as this.
# Arguments go to pytest. What is missing was installed by `scripts/bootstrap.sh servers`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
BROKER=$RUN/rabbitmq

stop() {
    scripts/rabbitmq.sh stop "$BROKER" >/dev/null 2>&1 || true
    [[ -z ${STARTED_STORE:-} ]] || scripts/elasticsearch.sh stop >/dev/null 2>&1 || true
}
trap stop EXIT

"$VENV/bin/python" scripts/demo.py image
if [[ -z ${TOWLINE_TEST_AMQP:-} ]]; then
    say "starting RabbitMQ"
    TOWLINE_TEST_AMQP=$(scripts/rabbitmq.sh start "$BROKER" | tail -n 1)
    export TOWLINE_TEST_AMQP
fi
if [[ -z ${TOWLINE_TEST_ELASTICSEARCH:-} ]]; then
    say "starting Elasticsearch (the first time it is fetched, which takes a minute or two)"
    STARTED_STORE=1
    scripts/elasticsearch.sh start
    TOWLINE_TEST_ELASTICSEARCH=$(scripts/elasticsearch.sh url)
    export TOWLINE_TEST_ELASTICSEARCH
fi
say "pytest"
"$VENV/bin/python" -m pytest -ra --durations=15 -n "${TOWLINE_TEST_PROCESSES:-3}" --dist worksteal "$@"
