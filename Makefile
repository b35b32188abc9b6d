# Every target that needs an environment builds .venv first, once, from constraints.txt.
# `make test PYTHON=python3.12` picks the interpreter; ARGS='...' is passed on to demo and test.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := mmcv-lite,demo,explain,web,export,test,dev,docs
# Processes that run the tests; each needs about 1.5 GB. WORKERS=0 runs them in one.
WORKERS ?= 2
# Present only when the whole install has succeeded: what an interrupted run leaves has none.
STAMP := $(VENV)/.installed

# What the tests and the demo start in turn (tools/dist_train.sh) runs in the environment too,
# whichever PYTHON it was built with.
RUN := PYTHON='$(CURDIR)/$(BIN)/python' $(BIN)/python

version_of = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)

VENV_VERSION := $(if $(wildcard $(STAMP)),$(call version_of,$(BIN)/python))
ifeq ($(VENV_VERSION),)
  REBUILD := yes
else ifneq ($(origin PYTHON),file)
  # An interpreter was asked for by name: the environment has to be of that version.
  ifneq ($(VENV_VERSION),$(call version_of,$(PYTHON)))
    REBUILD := yes
  endif
endif

.DEFAULT_GOAL := help
.PHONY: help venv demo test coverage lint types docs format wheel clean distclean check-python $(if $(REBUILD),$(STAMP))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## Build .venv, or bring it up to date

demo: $(STAMP) ## Train on generated data and show what was learnt
	$(RUN) tools/demo.py $(ARGS)

test: $(STAMP) ## Run the tests
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

coverage: $(STAMP) ## Run the tests and report which branches they take
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS) --dist loadfile --cov --cov-report=term $(ARGS)

lint: $(STAMP) ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## Check types
	$(BIN)/python -m mypy

docs: $(STAMP) ## Build the pages in docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html

format: $(STAMP) ## Mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(STAMP) ## Build the sdist, and from it the wheel, in dist/
	$(BIN)/python -m build

clean: ## Remove builds and caches
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .dist_test
	rm -rf docs/_build .coverage .coverage.*
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv too
	rm -rf $(VENV) cnnrnn_mm/.mim

$(STAMP): constraints.txt pyproject.toml setup.py $(if $(REBUILD),check-python)
	@rm -f $@
	$(if $(REBUILD),$(PYTHON) -m venv --clear $(VENV))
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

check-python:
	@$(PYTHON) -c '' 2>/dev/null || { \
	  echo "There is no working '$(PYTHON)'. Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; \
	  exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' || { \
	  echo "cnnrnn_mm needs Python 3.10, 3.11 or 3.12, but '$(PYTHON)' is $(call version_of,$(PYTHON))."; \
	  for python in python3.12 python3.11 python3.10; do \
	    $$python -c '' 2>/dev/null && echo "Try: make $(MAKECMDGOALS) PYTHON=$$python"; \
	  done; \
	  exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its venv or ensurepip module is missing."; \
	  echo "On Debian and Ubuntu it is in the package python$(call version_of,$(PYTHON))-venv."; \
	  exit 1; } >&2
