# Every command sets up what it needs. Nothing is installed outside this folder.
.PHONY: setup demo train serve monitor schedule-training test test-integration check bench docs lock clean

PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
export MLFLOW_DISABLE_TELEMETRY = true
export DO_NOT_TRACK = 1

setup: .venv/.installed  ## Install keepfit and what its tests need into .venv

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv

.venv/.installed: requirements.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --compile-bytecode --python .venv --require-hashes requirements.lock
	$(UV) pip install --quiet --python .venv --no-deps --editable .
	@touch $@

demo: setup  ## Thirty days of a churn model's life, in less than a minute
	$(BIN)/keepfit demo

# A project to work on: yours with PROJECT=..., else a filter of made-up text messages.
PROJECT ?= build/sms-spam

$(PROJECT)/keepfit.toml: | setup
	$(BIN)/keepfit init sms-spam $(PROJECT)
	$(BIN)/keepfit simulate --project $(PROJECT) --start 2026-01-01 --days 8

train: setup $(PROJECT)/keepfit.toml  ## One cycle of PROJECT: validate what is new, decide, train, compare, promote
	$(BIN)/keepfit run --project $(PROJECT)

serve: setup $(PROJECT)/keepfit.toml  ## The champion of PROJECT behind its API, until Ctrl-C
	$(BIN)/keepfit serve --project $(PROJECT)

monitor: setup $(PROJECT)/keepfit.toml  ## The latest judgement of PROJECT: signals, drift, trend
	$(BIN)/keepfit monitor --project $(PROJECT)

schedule-training: setup $(PROJECT)/keepfit.toml  ## Cycles of PROJECT by its [schedule] and whenever files or labels come, until Ctrl-C
	$(BIN)/keepfit watch --project $(PROJECT)

test: setup .airflow/.installed  ## The whole suite
	$(BIN)/pytest -n 2 --dist worksteal

test-integration: setup .airflow/.installed  ## Whole cycles and servers in real processes
	$(BIN)/pytest -n 2 --dist worksteal tests/acceptance

check: setup  ## Lint, types, import directions
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup  ## Build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

bench: setup .airflow/.installed  ## Speed against the tools that keepfit replaces
	$(BIN)/python -m benchmarks

# Airflow lives apart, as its own documentation advises: its DAGs call the command `keepfit`.
.airflow/.installed: requirements-airflow.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .airflow
	$(UV) pip sync --quiet --compile-bytecode --no-config --python .airflow --require-hashes requirements-airflow.lock
	@touch $@

COMPILE = $(UV) pip compile --quiet --universal --no-header --no-annotate --no-emit-index-url --no-emit-find-links --generate-hashes
lock: | $(filter .uv/bin/uv,$(UV))  ## Resolve anew; hashes, no addresses
	$(COMPILE) pyproject.toml --all-extras --group dev -o requirements.lock
	$(COMPILE) --group airflow -o requirements-airflow.lock

clean:  ## Remove what the commands above made
	rm -rf .venv .airflow .uv site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
