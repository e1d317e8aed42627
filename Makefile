# Needs make and a Python 3.11 or newer with venv; everything else goes into .venv.
# PYTHON=python3.12 chooses the interpreter, ARGS="..." is passed on to demo, pytest, bench and soak
# (FUZZ="--seconds N" to the second part of that). SUITE=... is one of recorded, classes and programs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CHECKED := $(wildcard src tests examples benchmarks)

# The compiled core is built where there is a compiler; nothing here needs it. NAMEDMAP_NATIVE=0 leaves it out.
ifeq ($(shell command -v $(or $(NAMEDMAP_CC),$(CC),cc)),)
export NAMEDMAP_NATIVE := 0
endif
ifneq ($(NAMEDMAP_NATIVE),0)
CORE := src/namedmap/_native.abi3.so
endif

# The tests start thousands of interpreters, which would compile the package anew each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test tests test-windows lint bench soak sanitize docs clean renew

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1 \2/p' Makefile | \
	  while read -r target text; do printf 'make %-12s %s\n' "$$target" "$$text"; done

demo: $(VENV)/installed  ## run the examples in real processes and check them
	@$(BIN)/python examples/demo.py $(ARGS)

test: lint tests  ## ruff, mypy --strict, then the tests

tests: $(VENV)/installed-test $(CORE)  ## the tests, in two processes; VENV=build/venv-3.13 keeps another interpreter's packages
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

# 75 says that Wine, or a Python for Windows, cannot be had here.
test-windows: $(VENV)/installed  ## in Windows Python, under Wine: what was recorded, the classes, programs; sets that up
	@PYTHON=$(BIN)/python tests/windows/setup
	@ARGS="$(ARGS)" tests/windows/run $(SUITE)

lint: $(VENV)/installed-test  ## ruff and mypy --strict only
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy --strict $(CHECKED)

bench: $(VENV)/installed-bench  ## measure against the peers; writes docs/benchmarks.md and its pictures, unless ARGS say else
	$(BIN)/python benchmarks/run.py $(or $(ARGS),--write docs/benchmarks.md)

soak: $(VENV)/installed-test  ## kill processes at random, call everything with senseless arguments; look what that leaves
	PYTHONPATH=tests $(BIN)/python -m programs.soak $(ARGS)
	PYTHONPATH=tests $(BIN)/python -m programs.fuzz $(or $(FUZZ),--seconds 120)

# The variable silences an advertisement of the theme, which is no warning of mkdocs.
docs: $(VENV)/installed-docs  ## build the pages into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mkdocs build --strict $(ARGS)

sanitize: $(VENV)/installed-test  ## the tests and the fuzzer of the compiled core under the sanitizers of the compiler
	PYTHON=$(BIN)/python .ci/sanitize $(ARGS)

clean:  ## remove .venv, caches and built files
	rm -rf $(VENV) build dist src/namedmap/*.so .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The installation compiles it the first time. Where that is not possible the tests are of the package without it.
$(CORE): src/namedmap/_native.c hatch_build.py | $(VENV)/installed
	$(BIN)/python hatch_build.py || { rm -f $@; echo "The core cannot be compiled here; the package does without." >&2; }

# The environment belongs to one interpreter and one directory (a moved clone breaks its scripts), so either being new renews it.
MADE_WITH := $(PYTHON) $(CURDIR)
ifneq ($(shell cat $(VENV)/made-with 2>/dev/null),$(MADE_WITH))
$(VENV)/installed: renew
endif

$(VENV)/installed: pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || \
	  { echo "$(PYTHON) was not found; name a Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "namedmap needs Python 3.11 or newer, $(PYTHON) is older; name another: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv or no ensurepip module (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Setting up $(VENV) ..."
	@"$(PYTHON)" -m venv --clear $(VENV)
	@$(PIP) install -e .
	@echo "$(MADE_WITH)" > $(VENV)/made-with
	@touch $@

$(VENV)/installed-%: $(VENV)/installed
	@echo "Installing what '$*' needs ..."
	@$(PIP) install -e '.[$*]'
	@touch $@
