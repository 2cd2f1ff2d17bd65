# Every target works in a fresh clone: what it needs is installed into .venv first, once.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

DEFAULT_EXTRAS := cpu,minilm,mlflow,dev
DATA ?= simulator
SUITE ?= smoke
BUNDLE ?= bundle
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

# The extras of the last setup stay until others are asked for; those get a fresh .venv, since onnxruntime and
# onnxruntime-gpu write the same files.
LAST_EXTRAS := $(shell cat $(INSTALLED) 2>/dev/null)
EXTRAS ?= $(if $(LAST_EXTRAS),$(LAST_EXTRAS),$(DEFAULT_EXTRAS))
CHANGED := $(if $(LAST_EXTRAS),$(if $(filter-out $(LAST_EXTRAS),$(EXTRAS)),yes))

# Found only when something is to be installed: a version manager's stub that cannot start, or a Python without venv, is passed over.
find_python = for name in $(PYTHON) python3.11 python3.12 python3; do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' >/dev/null 2>&1 && echo $$name && break; done

.PHONY: help setup demo train serve bench test lint clean $(if $(CHANGED),$(INSTALLED))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

setup: $(INSTALLED) ## install everything into .venv (again only when pyproject.toml, constraints/ or EXTRAS change)

$(INSTALLED): pyproject.toml constraints/cpu.txt
	@python=$$($(find_python)) || true; \
	if [ -z "$$python" ]; then \
		echo "setup: found no Python 3.11 or 3.12 with the venv module (python3: $$(python3 -V 2>&1 || true))." >&2; \
		echo "       Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	echo "setup: $$($$python -V), into $(VENV); the first time takes a few minutes"; \
	$$python -m venv $(if $(CHANGED),--clear) $(VENV)
	@$(PY) -m pip install --disable-pip-version-check --progress-bar off -c constraints/cpu.txt -e '.[$(EXTRAS)]' \
		| sed -un '/^Collecting\|^Installing\|^Successfully/p'
	@echo '$(EXTRAS)' > $@
	@echo "setup: done"

demo: setup ## events to a served risk score, end to end (DATA=uci_servicenow, DEMO_ONCE=1)
	@$(PY) -m training.demo data=$(DATA) $(ARGS)

train: setup ## train a model and write its bundle (ARGS="data=… target=… model=…")
	@$(PY) -m training.train $(ARGS)

serve: setup ## serve a bundle over HTTP (BUNDLE=path)
	@$(PY) -m serving.run bundle=$(BUNDLE) $(ARGS)

bench: setup ## measure serving against the raw runtime (SUITE=smoke)
	@$(PY) -m benchmarks.run suite=$(SUITE) $(ARGS)

test: setup ## run the tests (ARGS="-k words")
	@$(PY) -m pytest $(ARGS)

lint: setup ## style, types and the import rules
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports

clean: ## remove the environment and the tools' caches; runs and bundles stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
