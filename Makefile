# Needs Python >= 3.11 and make; takes uv when it is on PATH. No Java, no Docker.
.DEFAULT_GOAL := help
.PHONY: help install demo test check events docs bench fuzz lock clean

BIN := .venv/bin
BENCH_STAMP := .venv-bench/.installed-bench
RUN_STAMP := .venv/.installed-local
DEV_STAMP := .venv/.installed-dev
COVERAGE := 95
COMPILED := build/compiled/.stamp

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

install: $(DEV_STAMP) ## .venv with everything, pinned by hash (quick when nothing changed)

demo: $(RUN_STAMP) ## a recorded conference through a real Kafka and a real registry
	@$(BIN)/conference-pipeline demo

test: $(DEV_STAMP) ## all tests, on a real Kafka and a real registry, with coverage
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-fail-under=$(COVERAGE)

check: $(DEV_STAMP) ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

events: $(DEV_STAMP) ## generate the classes and codecs from avro/ again
	$(BIN)/python tools/generate.py

docs: $(DEV_STAMP) ## fill the generated sections of README.md and docs/ again
	$(BIN)/python tools/docs.py

.PHONY: chart chart-full chart-docs
chart: $(DEV_STAMP) ## the chart and the Dockerfile with the real tools (the first time builds them: minutes)
	@scripts/chart.sh fast

chart-full: $(DEV_STAMP) ## the same with more tools; its output is kept in helm/conference-pipeline/tests/full.txt
	@scripts/chart.sh full

chart-docs: $(DEV_STAMP) ## make the chart's README.md and its dashboard again
	@scripts/chart.sh docs

bench: $(DEV_STAMP) ## all benchmarks; an hour on a quiet machine; writes docs/results/*.json (then: make docs)
	$(BIN)/python -m benchmarks.micro --save
	$(BIN)/python -m benchmarks.growth --save
	$(BIN)/python -m benchmarks.recovery --save
	$(BIN)/python -m benchmarks.scale --save
	$(BIN)/python -m benchmarks.fencing --save
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.idle
	$(BIN)/python benchmarks/replay.py
	$(BIN)/python benchmarks/join.py
	eval "$$($(BIN)/conference-pipeline up)" && $(BIN)/python benchmarks/takeover.py

.PHONY: compile test-compiled test-compiled-core
compile: $(DEV_STAMP) ## the hot path as C extensions in build/compiled (needs a C compiler; 1.5 to 1.7 times as fast)
	@$(MAKE) --no-print-directory $(COMPILED)

test-compiled: compile ## the tests again, on the compiled modules (TESTS="tests/core/test_room.py …")
	@PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. $(BIN)/python -c "import pipeline.core.room as r; assert r.__file__.endswith('.so'), r.__file__"
	@PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/compiled:$(CURDIR) $(BIN)/python -m pytest --import-mode=append -n auto --dist loadfile $(TESTS)

CORE_TESTS := tests/model tests/core tests/kafka/test_record_batch.py tests/kafka/test_produce_request.py \
	tests/worker/test_engine.py tests/worker/test_worker_parts.py
test-compiled-core: ## those of them that need no servers
	@$(MAKE) --no-print-directory test-compiled TESTS="$(CORE_TESTS)"

.PHONY: bench-peers
bench-peers: $(DEV_STAMP) $(BENCH_STAMP) compile ## ours beside Kafka Streams, Quix Streams and others; hours (PEERS="--rounds 1 --signals 100000")
	$(BIN)/python -m benchmarks.peers $(PEERS)

fuzz: $(DEV_STAMP) ## 10,000,000 mutants and 100,000 inputs of Hypothesis to all readers (FUZZ="--count 1000 --seed 7")
	$(BIN)/python -m tests.fuzz $(FUZZ)

.PHONY: chaos soak bite
chaos: $(DEV_STAMP) ## faults of every class, on one broker, through proxies and on three brokers (CHAOS="--count 3 --seed 7")
	$(BIN)/python -m tests.chaos --faults worker,broker,data --count 1 $(CHAOS)
	$(BIN)/python -m tests.chaos --faults network --count 1 $(CHAOS)
	$(BIN)/python -m tests.chaos --faults cluster,kill,freeze_long --nodes 3 --count 1 $(CHAOS)
	$(BIN)/python -m tests.chaos --faults late_end,late_add,lost_answer --nodes 3 --count 3 $(CHAOS)

soak: $(DEV_STAMP) ## the same for an hour, by new seeds; appends to docs/results/chaos.jsonl (MINUTES=60)
	$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),60)

bite: $(DEV_STAMP) ## check that the checker catches each seeded bug; half an hour; writes docs/results/bugs.jsonl
	$(BIN)/python -m tests.chaos.bite --file docs/results/bugs.jsonl

lock: ## pin the newest versions that fit pyproject.toml (needs uv)
	scripts/lock.sh --upgrade

clean: ## remove .venv and everything made by tools (not the downloads of `up`)
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(COMPILED): $(shell find pipeline -name '*.py') scripts/compile.sh pyproject.toml
	@scripts/compile.sh build/compiled && touch $@

$(RUN_STAMP): requirements/local.txt pyproject.toml scripts/install.sh
	@scripts/install.sh local

$(DEV_STAMP): requirements/dev.txt pyproject.toml scripts/install.sh
	@scripts/install.sh dev

$(BENCH_STAMP): requirements/bench.txt scripts/install.sh
	@scripts/install.sh bench
