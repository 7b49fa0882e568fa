# Everything sets itself up: a machine with Python 3.11+ and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test check test-ui test-node bench format

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(STAMP) ## make the virtual environment (.venv) from the hashed lock file

$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## run the portfolio on a real Temporal server and compare it with its preview
	@$(BIN)/dunning demo $(ARGS)

dev: setup ## start the development stack and leave it running
	@$(BIN)/dunning dev $(ARGS)

test: setup ## run every test but those that need a browser
	$(BIN)/python -m pytest $(ARGS)

check: setup ## lint, format, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test-ui: setup ## browser tests (needs Chromium)
	$(BIN)/python -m pytest -m browser $(ARGS)

test-node: setup ## Xendit's last SDK with recurring plans against the sandbox (needs node and npm)
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  mkdir -p $(VENV)/node && cp tests/node/package.json tests/node/package-lock.json $(VENV)/node/ && \
	  { timeout 120 npm ci --prefix $(VENV)/node --ignore-scripts --no-audit --no-fund --loglevel=error || \
	    { echo "NOT RUN: make test-node (npm cannot fetch the package; the recorded requests are compared by make test)"; exit 0; }; } && \
	  $(BIN)/python -m pytest tests/sandbox/test_xendit_node.py -rs $(ARGS); \
	else \
	  echo "NOT RUN: make test-node (node or npm is not on this machine; the recorded requests are compared by make test)"; \
	fi

bench: setup ## the figures, as ratios within one run; fails below a floor
	$(BIN)/python -m benchmarks $(ARGS)

format: setup ## rewrite the sources in the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
