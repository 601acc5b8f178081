# Two commands are all a newcomer needs: `make reproduce` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FLOORS := .floors
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: reproduce test check format docs bench torture floors clean
.DELETE_ON_ERROR:

reproduce: $(VENV)/.product  ## every figure, theorem and erratum into report/
	$(BIN)/limbeck reproduce --out report --resume

test: $(VENV)/.developer  ## the whole suite, on every core
	$(BIN)/python -m pytest -n auto --dist worksteal

check: $(VENV)/.developer  ## format, lint, types, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.developer
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.developer  ## the site, into build/docs/index.html: offline, every example run, a warning is an error
	OPENBLAS_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going -q docs build/docs

torture: $(VENV)/.developer  ## odd inputs, rounding, kills, full disks: docs/reliability.md
	$(BIN)/python -m torture

floors: $(FLOORS)/.developer  ## the suite on the lowest versions stated, beside the newest
	$(BIN)/python -m torture supply

bench: $(VENV)/.developer  ## paired timings against what a user would pick instead
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(FLOORS) report build dist docs/generated

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "limbeck needs Python 3.11 or newer, this is %s: set PYTHON=python3.11" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.product: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e ".[digits,tables]"
	touch $@

$(VENV)/.developer: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@ $(VENV)/.product

$(FLOORS)/.developer: $(VENV)/.developer
	$(PYTHON) -m venv $(FLOORS)
	$(BIN)/python -m torture.supply > $(FLOORS)/constraints.txt
	$(FLOORS)/bin/python -m pip install --quiet -c $(FLOORS)/constraints.txt -e ".[dev]"
	touch $@
