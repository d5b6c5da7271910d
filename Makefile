# Everything in a virtual environment of the checkout's own. Nothing is left outside of it.
#   make demo   the whole story on the embedded PostgreSQL
#   make up     a ledger to play with
#   make test   the tests, on every PostgreSQL there is; make test-quick: the heart of them, on the wheel's alone
#   make lint   the linters; make generated: whatever follows from something else
#   make bench  the benchmarks, see benchmarks/README.md; make dist: the files of a release, installed and tried
PYTHON ?= python3
VENV := .venv
BI_VENV := .venv-bi
OCEL_VENV := .venv-ocel
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet
QUICK := access emit immutability store tlog
export PIP_NO_CACHE_DIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Compiled modules are kept outside of the folders of the sources.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.tmp/pycache
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo up test test-quick test-heavy test-bi test-ocel test-gateway lint bench generated dist clean

demo: $(VENV)/.installed
	@$(BIN)/aximo-db demo

up: $(VENV)/.installed
	@$(BIN)/aximo-db up

test: $(VENV)/.tested
	@$(BIN)/python -m pytest -m "not heavy and not bi and not ocel and not gateway" -n 2 --dist loadfile --no-loadscope-reorder

test-quick: $(VENV)/.tested
	@AXIMO_TEST_QUICK=1 $(BIN)/python -m pytest -m "not heavy" -n 2 --dist worksteal $(QUICK:%=tests/test_%.py)

test-heavy: $(VENV)/.tested
	@$(BIN)/python -m pytest -m heavy

# Real BI clients; those that are not there are skipped with a reason. ODBC and JDBC drivers come with the system.
test-bi: $(BI_VENV)/.installed
	@npm install --silent --no-save --prefix .tmp/node pg || echo "no npm: node-postgres is skipped"
	@NODE_PATH=$(CURDIR)/.tmp/node/node_modules $(BI_VENV)/bin/python -m pytest -m bi tests/bi

# A tool of process mining reads what is exported for it. It is AGPL, so it stays out of the other environment.
test-ocel: $(OCEL_VENV)/.installed
	@$(OCEL_VENV)/bin/python -m pytest -m ocel tests/ocel

# A gateway's own test suite, of its checkout after "npm ci": make test-gateway AXIMO_GATEWAY=...
test-gateway: $(VENV)/.tested
	@npm install --silent --no-save --prefix .tmp/node kysely pg || echo "no npm: the part without a gateway is skipped"
	@NODE_PATH=$(CURDIR)/.tmp/node/node_modules $(BIN)/python -m pytest -m gateway tests/test_gateway.py

lint: $(VENV)/.linted
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_types.py
	@$(BIN)/python -m tools.generated --check
	@$(BIN)/sqlfluff lint --disable-progress-bar sql
	@$(BIN)/python tools/lint_sql.py
	@$(BIN)/python -m tools.lint_imports
	@$(BIN)/python tools/contract_since_release.py

bench: $(VENV)/.installed
	@$(BIN)/python -m benchmarks.instructions
	@$(BIN)/python -m benchmarks.pages
	@$(BIN)/python -m benchmarks.shapes
	@$(BIN)/python -m benchmarks.log
	@$(BIN)/python -m benchmarks.metrics
	@$(BIN)/python -m benchmarks.runs

# Whatever follows from something else: the synchronous client, the first migration, the contracts, the reference …
generated: $(VENV)/.linted
	@$(BIN)/python -m tools.generated

# What a release consists of, its metadata, and the wheel in an environment of its own.
dist: $(VENV)/.linted
	@rm -rf dist .tmp/dist-venv
	@$(BIN)/python -m hatchling build
	@$(BIN)/twine check --strict dist/*
	@$(PYTHON) -m venv .tmp/dist-venv
	@.tmp/dist-venv/bin/python -m pip --quiet install "$$(ls dist/*.whl)[embedded]"
	@$(BIN)/python -m tools.smoke .tmp/dist-venv/bin

clean:
	rm -rf $(VENV) $(BI_VENV) $(OCEL_VENV) .tmp .pytest_tmp .aximo dist build .hypothesis .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c "import sys; sys.exit('Python 3.11 or later is needed') if sys.version_info < (3, 11) else None"
	@$(PYTHON) -m venv $(VENV)

$(BI_VENV)/.installed: pyproject.toml
	@$(PYTHON) -m venv $(BI_VENV)
	@echo "Installing into $(BI_VENV) ..."
	@$(BI_VENV)/bin/python -m pip --quiet install --editable ".[test,bi]"
	@touch $@

$(OCEL_VENV)/.installed: pyproject.toml
	@$(PYTHON) -m venv $(OCEL_VENV)
	@echo "Installing into $(OCEL_VENV) ..."
	@$(OCEL_VENV)/bin/python -m pip --quiet install --editable ".[test,ocel]"
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --editable ".[embedded,report]"
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	@$(PIP) install --editable ".[test]"
	@touch $@

$(VENV)/.linted: $(VENV)/.tested
	@$(PIP) install --editable ".[dev]"
	@touch $@
