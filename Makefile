# make help lists the targets. Needs Python 3.11 or newer with pip and venv; everything else is installed into .venv.

PYTHON ?= python3
# Each extra worker imports the heavy libraries once more, so the number is bounded.
WORKERS ?= 4
# More arguments for pytest: make test ARGS="-k ratio"
ARGS ?=
DEMO ?= demo
AS_OF ?= 2020-01-01
UPGRADE ?=
# Size of the benchmark's warehouse (1: 30 million events) and rounds that count.
SCALE ?= 1
# What make test-engines must find.
ENGINES ?= postgres,snowflake,spark,clickhouse
REPEATS ?= 5
SCALES ?= 0.01 0.1

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
# A worker that has nothing left to do takes tests of another: no one waits for the last hundred.
# Threads of linear algebra in every worker would wait for each other's cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses=$(WORKERS) --dist=worksteal
# What the tests import and start is compiled once, also where the shell says otherwise.
unexport PYTHONDONTWRITEBYTECODE
# Tests of one area that have a target of their own.
APART := $(addprefix --ignore=tests/,docs engines schedulers editor pages)
# Tests that compare with brute force, the more the more cases are asked for.
ORACLE := tests/compiler/test_against_oracle.py tests/jobs/test_state_against_oracle.py tests/jobs/test_open.py
# Stamps: the runtime packages and the project itself; the tools of development on top of them.
RUN := $(VENV)/.run-installed
DEV := $(VENV)/.dev-installed
ENGINES_READY := $(VENV)/.engines-installed
# The server that answers like Snowflake needs another connector than metricdef does.
FAKESNOW := .venv-fakesnow
FAKESNOW_READY := $(FAKESNOW)/.installed
PAGES_READY := tests/pages/node_modules/.installed
# Schedulers, each with more packages than metricdef and its drivers have together.
SCHEDULERS := .venv-schedulers
SCHEDULERS_READY := $(SCHEDULERS)/.installed

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# A virtual environment does not survive being moved or copied: one that says it was made elsewhere is made again.
ifneq ($(shell cat $(VENV)/.made-in 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.made-in
endif

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | awk -F'\t' '{ printf "  %-14s %s\n", $$1, $$2 }'

# --- environments -----------------------------------------------------------------------------------------------------

$(VENV)/.made-in:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "metricdef needs Python 3.11 or newer; set PYTHON, as in: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@echo "$(CURDIR)" > $@

# dev.txt pins the versions of run.txt and more, so either may be installed first, and the other adds or leaves alone.
# pip compiles one file after the other, also thousands of tests of other packages; some files are of no Python at all.
define install
  @$(PIP) install --no-compile --require-hashes -r $(1)
  @$(PIP) install --no-compile --no-deps --no-build-isolation -e .
  @$(BIN)/python -m compileall -qq -j 0 -x '/tests/' $(VENV)/lib metricdef || true
endef

$(RUN): $(VENV)/.made-in requirements/run.txt pyproject.toml
	@echo "Installing metricdef into $(VENV) ..."
	$(call install,requirements/run.txt)
	@touch $@

$(DEV): $(VENV)/.made-in requirements/dev.txt pyproject.toml
	@echo "Installing metricdef and the tools of development into $(VENV) ..."
	$(call install,requirements/dev.txt)
	@touch $(RUN) $@

$(FAKESNOW_READY): tests/engines/fakesnow/requirements.txt | $(VENV)/.made-in
	@echo "Installing fakesnow into $(FAKESNOW) ..."
	@$(PYTHON) -m venv --clear $(FAKESNOW)
	@$(FAKESNOW)/bin/python -m pip -qq --disable-pip-version-check install --require-hashes --no-compile \
	  -r tests/engines/fakesnow/requirements.txt
	@touch $@

$(ENGINES_READY): $(DEV) $(FAKESNOW_READY) requirements/engines.txt tests/engines/install.sh
	@echo "Installing the engines' drivers and servers ..."
	@$(PIP) install --require-hashes -r requirements/engines.txt
	@tests/engines/install.sh
	@touch $@

$(PAGES_READY): $(DEV) tests/pages/requirements.txt tests/pages/package-lock.json tests/pages/install.sh
	@echo "Installing a browser for the tests of pages ..."
	@$(PIP) install --require-hashes -r tests/pages/requirements.txt
	@tests/pages/install.sh
	@touch $@

$(SCHEDULERS_READY): tests/schedulers/requirements.txt | $(VENV)/.made-in
	@echo "Installing dbt, Airflow and Dagster into $(SCHEDULERS) ..."
	@$(PYTHON) -m venv --clear $(SCHEDULERS)
	@# The list is whole; pip would look for extras of its packages that it does not name. Of tens of thousands of modules
	@# few are imported, which compile them.
	@$(SCHEDULERS)/bin/python -m pip -qq --disable-pip-version-check install --require-hashes --no-deps --no-compile \
	  -r tests/schedulers/requirements.txt
	@touch $@

.PHONY: install
install: $(DEV) ## set up .venv for development

# --- use --------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(RUN) ## a project with real data and its readout
	@test -e $(DEMO)/metrics/project.yml || $(BIN)/metricdef init --demo $(DEMO)
	@$(BIN)/metricdef --project $(DEMO) run open_bandit --as-of $(AS_OF)
	@$(BIN)/metricdef --project $(DEMO) compile open_bandit --as-of $(AS_OF) -o $(DEMO)/target

# --- checks -----------------------------------------------------------------------------------------------------------

.PHONY: check
check: test test-oracle test-thorough test-engines test-schedulers test-editor test-pages lint format-check types docs-check ## everything that continuous integration runs

.PHONY: test
test: $(DEV) ## run the tests, in a few minutes (those of the documents apart)
	$(PYTEST) $(APART) $(ARGS)

.PHONY: prepare
prepare: $(DEV) $(SCHEDULERS_READY) $(FAKESNOW_READY) tests/editor/node_modules/.package-lock.json # what is not installed into $(VENV)

.PHONY: test-oracle
test-oracle: $(DEV) ## the compiled SQL on DuckDB against brute force: 2,000 generated cases, 40 of them by days (make test: fewer)
	METRICDEF_THOROUGH=1 METRICDEF_ORACLE_CASES=2000 METRICDEF_STATE_CASES=40 METRICDEF_OPEN_CASES=12 $(PYTEST) $(ORACLE) $(ARGS)

.PHONY: test-thorough
test-thorough: $(DEV) ## the tests that have more cases than make test runs: properties, simulations, runs that are killed
	METRICDEF_THOROUGH=1 $(PYTEST) -m thorough $(APART) $(addprefix --ignore=,$(ORACLE)) $(ARGS)

.PHONY: test-engines
test-engines: $(ENGINES_READY) ## run the compiled SQL on every engine that runs here, installing what is missing
	METRICDEF_ENGINES=$(ENGINES) $(PYTEST) --dist=loadgroup tests/engines $(ARGS)

.PHONY: test-schedulers
test-schedulers: $(DEV) $(SCHEDULERS_READY) ## run the examples for dbt, Airflow and Dagster with the real packages, installing them
	METRICDEF_SCHEDULERS=1 $(PYTEST) tests/schedulers $(ARGS)

.PHONY: test-editor
test-editor: $(DEV) tests/editor/node_modules/.package-lock.json ## completion, hover and findings in a YAML language server, installing it
	METRICDEF_EDITOR=1 $(BIN)/python -m pytest tests/editor $(ARGS)

tests/editor/node_modules/.package-lock.json: tests/editor/package.json tests/editor/package-lock.json tests/editor/install.sh
	tests/editor/install.sh

.PHONY: test-pages
test-pages: $(PAGES_READY) ## open pages of readouts in a headless Chromium, installing it
	METRICDEF_PAGES=1 $(PYTEST) --dist=loadgroup tests/pages $(ARGS)

.PHONY: layers
layers: $(DEV) ## rooms import only what is to their left; start-up stays light
	$(BIN)/python -m pytest tests/test_layers.py $(ARGS)

.PHONY: docs-check
docs-check: $(DEV) ## run the examples in README.md and docs/, follow their links
	$(PYTEST) tests/docs $(ARGS)

.PHONY: lint
lint: $(DEV) ## find mistakes and bad habits
	$(BIN)/ruff check .

.PHONY: format
format: $(DEV) ## lay out the code, mend what can be mended safely
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: format-check
format-check: $(DEV) ## is the code laid out?
	$(BIN)/ruff format --check .

.PHONY: types
types: $(DEV) ## check the types, strictly
	$(BIN)/mypy

# --- measurements -----------------------------------------------------------------------------------------------------

.PHONY: bench
bench: $(RUN) ## the compiled SQL against other ways to the same numbers (SCALE=0.1: a tenth of the data)
	$(BIN)/python -m benchmarks.run --scale $(SCALE) --repeats $(REPEATS)

.PHONY: calibrate-stats
calibrate-stats: $(RUN) ## error rates of every procedure by simulation, about half an hour; writes docs/calibration.md
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.calibration.run --write-docs $(ARGS)

.PHONY: calibrate-sql
calibrate-sql: $(RUN) ## error rates of whole experiments, re-randomised, through the compiled SQL; writes docs/rerandomisation.md
	$(BIN)/python -m benchmarks.rerandomisation --write-docs $(ARGS)

.PHONY: faults
faults: $(RUN) ## corrupt a clean experiment in many ways and see what is noticed, about half an hour; writes docs/health.md
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.faults.run $(ARGS)

.PHONY: bench-startup
bench-startup: $(RUN) ## how long metricdef --help takes over an empty Python
	$(BIN)/python benchmarks/startup.py

.PHONY: bench-check
bench-check: $(RUN) ## how long metricdef check takes on 10,000 metrics in 500 files
	$(BIN)/python -m benchmarks.check

.PHONY: bench-inference
bench-inference: $(RUN) ## how long bounds and sequential inference take
	$(BIN)/python benchmarks/inference.py

.PHONY: bench-site
bench-site: $(RUN) ## how long the catalogue of 1,000 metrics and 200 experiments takes to build
	$(BIN)/python -m benchmarks.site

.PHONY: bench-spark
bench-spark: $(ENGINES_READY) ## the workload on Spark over partitioned Parquet: stages, bytes, CPU (SCALES="0.1 1")
	$(BIN)/python -m benchmarks.spark --scales $(SCALES)

# --- maintenance ------------------------------------------------------------------------------------------------------

LOCK_VENV := target/lock
COMPILE = $(LOCK_VENV)/bin/uv --no-config --quiet pip compile --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

.PHONY: lock
lock: ## write requirements/*.txt anew (UPGRADE=1: with the newest versions)
	@$(PYTHON) -m venv --clear $(LOCK_VENV)
	@$(LOCK_VENV)/bin/python -m pip -qq --disable-pip-version-check install --require-hashes -r requirements/lock.txt
	@$(COMPILE) requirements/lock.in -o requirements/lock.txt
	@$(COMPILE) pyproject.toml requirements/build.in --extra dev -o requirements/dev.txt
	@$(COMPILE) pyproject.toml requirements/build.in -c requirements/dev.txt -o requirements/run.txt
	@$(COMPILE) pyproject.toml --extra dev --extra postgres --extra spark --extra clickhouse -c requirements/dev.txt -o requirements/engines.txt
	@$(COMPILE) tests/engines/fakesnow/requirements.in -o tests/engines/fakesnow/requirements.txt
	@$(COMPILE) tests/schedulers/requirements.in -o tests/schedulers/requirements.txt
	@$(COMPILE) tests/pages/requirements.in -o tests/pages/requirements.txt
	@! grep -nE '://|^-' requirements/*.txt tests/engines/fakesnow/*.txt tests/schedulers/*.txt tests/pages/*.txt || { echo "a list records an address or an option" >&2; exit 1; }

.PHONY: clean
clean: ## remove what the other targets made, except demo/
	rm -rf $(VENV) $(FAKESNOW) $(SCHEDULERS) tests/pages/node_modules target build dist benchmarks/data benchmarks/results .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
