# Needs Python >= 3.11 and make; uses uv if it is on PATH. Java and Docker are not needed.
.DEFAULT_GOAL := help
.PHONY: help install demo test test-chaos check events docs bench fuzz lock clean

# Commands start in half the time when their modules are compiled once.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
BROWSER_STAMP := .venv/.installed-browser
BENCH_STAMP := .venv-bench/.installed-bench
HTTP_STAMP := .venv-schemathesis/.installed-schemathesis
RUN_STAMP := .venv/.installed-local
DEV_STAMP := .venv/.installed-dev
COVERAGE := 95
COMPILED := build/compiled/.stamp

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' Makefile

install: $(DEV_STAMP) ## create .venv with the pinned requirements

demo: $(RUN_STAMP) ## play a recorded conference through Kafka and a worker
	@$(BIN)/conference-pipeline demo

# What needs more than Python, or minutes of its own, has a target of its own.
ALL_TESTS := -n auto --dist loadfile --no-loadscope-reorder --ignore tests/chaos/test_chaos.py --ignore tests/chaos/test_bridges.py \
	--ignore tests/clients/test_examples.py --ignore tests/clients/test_asyncapi_parser.py \
	--ignore tests/engines/real_janus --ignore tests/browser

test: $(DEV_STAMP) ## run all tests that need only Python; starts Kafka and a registry
	@$(BIN)/python -m pytest $(ALL_TESTS)

.PHONY: coverage
coverage: $(DEV_STAMP) ## the same, and measure the coverage, which takes a third longer
	@$(BIN)/python -m pytest $(ALL_TESTS) --cov --cov-report=term --cov-fail-under=$(COVERAGE)

test-chaos: $(DEV_STAMP) ## inject one fault of each class, on one broker, for five minutes
	@$(BIN)/python -m pytest tests/chaos/test_chaos.py tests/chaos/test_bridges.py

.PHONY: test-engines
test-engines: $(DEV_STAMP) ## run the bridges against real media engines (needs Debian's packages janus and opus-tools)
	@$(BIN)/python -m pytest -n auto --dist load tests/engines/real_janus

.PHONY: test-browser
test-browser: $(DEV_STAMP) $(BROWSER_STAMP) ## test the console in a browser (needs Debian's chromium); IMAGES=docs/img also saves its pictures
	@command -v chromium >/dev/null || { echo "chromium is missing: apt install chromium" >&2; exit 1; }
	@CONSOLE_IMAGES=$(IMAGES) $(BIN)/python -m pytest tests/browser

.PHONY: examples
examples: $(DEV_STAMP) ## build and run the examples against real servers (needs Go, a JDK, Maven and Node with npm)
	@$(BIN)/python -m pytest tests/clients/test_examples.py tests/clients/test_asyncapi_parser.py

check: $(DEV_STAMP) ## check format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd clients/python && ../../$(BIN)/mypy --cache-dir ../../.mypy_cache/clients conference_events tests
	$(BIN)/lint-imports

events: $(DEV_STAMP) ## generate the classes and codecs from avro/
	$(BIN)/python tools/generate.py

docs: $(DEV_STAMP) ## generate the sections of README.md and docs/, and the chart's rules between values
	$(BIN)/python tools/docs.py
	$(BIN)/python tools/asyncapi.py
	$(BIN)/python tools/chart_rules.py

.PHONY: chart chart-full chart-api chart-docs
chart: $(DEV_STAMP) ## check the chart and the Dockerfile; the first run builds the tools (minutes)
	@scripts/chart.sh fast

chart-full: $(DEV_STAMP) ## the same with more tools; writes helm/conference-pipeline/tests/full.txt
	@scripts/chart.sh full

chart-api: $(DEV_STAMP) ## install the chart on a real API server with fake nodes; writes helm/conference-pipeline/tests/api.txt
	@scripts/chart.sh api

chart-docs: $(DEV_STAMP) ## generate the chart's README.md and dashboard
	@scripts/chart.sh docs

bench: $(DEV_STAMP) $(BROWSER_STAMP) ## run all benchmarks (1 h, idle machine); writes docs/results/*.json, then run make docs
	$(BIN)/python -m benchmarks.micro --save
	$(BIN)/python -m benchmarks.growth --save
	$(BIN)/python -m benchmarks.recovery --save
	$(BIN)/python -m benchmarks.scale --save
	$(BIN)/python -m benchmarks.fencing --save
	$(BIN)/python -m benchmarks.view --save
	$(BIN)/python -m benchmarks.outcomes --save
	$(BIN)/python -m benchmarks.gateway --save
	$(MAKE) compile && $(BIN)/python -m benchmarks.commit_interval --save
	$(BIN)/python -m benchmarks.console --save
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.engines
	$(BIN)/python -m benchmarks.idle
	$(BIN)/python benchmarks/replay.py
	$(BIN)/python benchmarks/join.py
	eval "$$($(BIN)/conference-pipeline up)" && $(BIN)/python benchmarks/takeover.py

.PHONY: compile test-compiled test-compiled-core
compile: $(DEV_STAMP) ## compile the hot path to C extensions in build/compiled (needs a C compiler)
	@$(MAKE) --no-print-directory $(COMPILED)

test-compiled: compile ## run the tests on the compiled modules (TESTS="tests/core/test_room.py …")
	@PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. $(BIN)/python -c "import pipeline.core.room as r; assert r.__file__.endswith('.so'), r.__file__"
	@PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/compiled:$(CURDIR) $(BIN)/python -m pytest --import-mode=append -n auto --dist loadfile $(TESTS)

# Not test_schemas: it runs the generator in a copy of the sources, which the compiled package would hide.
CORE_TESTS := $(filter-out tests/model/test_schemas.py,$(wildcard tests/model/test_*.py)) tests/core \
	tests/kafka/test_record_batch.py tests/kafka/test_produce_request.py \
	tests/worker/test_engine.py tests/worker/test_unit.py tests/worker/test_faust_store.py
test-compiled-core: ## the same without the tests that need servers
	@$(MAKE) --no-print-directory test-compiled TESTS="$(CORE_TESTS)"

.PHONY: bench-peers
bench-peers: $(DEV_STAMP) $(BENCH_STAMP) compile ## compare with Kafka Streams, Quix Streams and others (hours; PEERS="--rounds 1")
	$(BIN)/python -m benchmarks.peers $(PEERS)

fuzz: $(DEV_STAMP) ## fuzz all readers, and a worker with 200,000 broken batches (FUZZ="--count 1000 --batches 500")
	$(BIN)/python -m tests.fuzz $(FUZZ)

.PHONY: fuzz-http
fuzz-http: $(DEV_STAMP) $(HTTP_STAMP) ## send generated requests to a gateway (FUZZ_HTTP="--examples 100 --seed 7")
	$(BIN)/python -m tests.fuzz.http_api $(FUZZ_HTTP)

.PHONY: chaos soak bite
chaos: $(DEV_STAMP) ## inject faults of every class, on one and on three brokers (CHAOS="--count 3 --seed 7")
	$(BIN)/python -m tests.chaos --faults worker,broker,data --count 1 $(CHAOS)
	$(BIN)/python -m tests.chaos --faults network --count 1 $(CHAOS)
	$(BIN)/python -m tests.chaos --faults cluster,kill,freeze_long --nodes 3 --count 1 $(CHAOS)
	$(BIN)/python -m tests.chaos --faults late_end,late_add,lost_answer --nodes 3 --count 3 $(CHAOS)
	$(BIN)/python -m tests.chaos.bridges --count 1 $(CHAOS)

soak: $(DEV_STAMP) ## inject random faults for MINUTES=60; appends to docs/results/chaos.jsonl
	$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),60)

bite: $(DEV_STAMP) ## check that the checker catches each seeded bug (30 min); writes docs/results/bugs.jsonl
	$(BIN)/python -m tests.chaos.bite --file docs/results/bugs.jsonl
	$(BIN)/python -m tests.chaos.bridges --bite --nodes 3 --append docs/results/bridge_bugs.jsonl

lock: ## pin the newest versions that pyproject.toml allows (needs uv)
	scripts/lock.sh --upgrade

clean: ## delete .venv, caches and build output; keeps the downloads of `up`
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(COMPILED): $(shell find pipeline -name '*.py') scripts/compile.sh pyproject.toml
	@scripts/compile.sh build/compiled && touch $@

$(RUN_STAMP): requirements/local.txt pyproject.toml scripts/install.sh
	@scripts/install.sh local

$(DEV_STAMP): requirements/dev.txt pyproject.toml scripts/install.sh
	@scripts/install.sh dev

$(BROWSER_STAMP): requirements/browser.txt scripts/install.sh $(DEV_STAMP)
	@scripts/install.sh browser

$(BENCH_STAMP): requirements/bench.txt scripts/install.sh
	@scripts/install.sh bench

$(HTTP_STAMP): requirements/schemathesis.txt scripts/install.sh
	@scripts/install.sh schemathesis
