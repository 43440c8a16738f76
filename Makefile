# Everything runs from a fresh clone: `make up`, `make test`. Each target sets up what it needs.
SHELL := /bin/bash
PY := .venv/bin/python
PYTEST := $(PY) -m pytest -ra --durations=10

.PHONY: help up down bootstrap servers pipeline check format test system bench soak lock dashboards

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

up: bootstrap ## start Towline on this machine (DATA=folder, LISTEN=host:port)
	@DATA='$(DATA)' LISTEN='$(LISTEN)' scripts/up.sh

down: ## stop what `make up` started
	@scripts/down.sh

bootstrap: ## install what is missing
	@scripts/bootstrap.sh

servers: ## install what the tests need beside
	@scripts/bootstrap.sh servers

check: bootstrap ## format, lint, types
	@echo '==> ruff format --check'; $(PY) -m ruff format --check .
	@echo '==> ruff check'; $(PY) -m ruff check .
	@echo '==> mypy'; $(PY) -m mypy

format: bootstrap ## let ruff put the code in order
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

test: servers check ## everything but the long runs, on real servers
	@scripts/test.sh all

pipeline: servers ## ship and index over RabbitMQ and Elasticsearch, with faults
	@scripts/test.sh pipeline

system: servers ## only the black-box tests, without the pipeline's
	@scripts/test.sh -m 'not soak' tests/system --ignore-glob 'tests/system/test_*pipeline.py'

bench: servers ## measure everything: a table, benchmarks/results.json, benchmarks/figures.svg (BENCH='idle latency', --quick)
	@$(PY) scripts/demo.py image
	@$(PY) -m benchmarks $(BENCH)

soak: servers ## the long runs: kills, thousands of containers, faults (SOAK_MINUTES=20 SOAK_SCALE=5); a table of faults
	@TOWLINE_TEST_PROCESSES=0 scripts/test.sh -s -m soak --timeout=0 tests

lock: bootstrap ## renew the locked versions of all dependencies
	@scripts/lock.sh

dashboards: bootstrap ## renew the files that are made by code in dashboards/
	@$(PY) -m dashboards
