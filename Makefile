# make help lists the targets. Every target that needs the environment makes it.
MODEL ?= linear
DATA ?= simulated
SPLIT ?= simulation
SEEDS ?= 1
ARGS ?=
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
# The environment is stamped by the content of what it is made from, so a pull that changes neither costs nothing.
STAMP := $(VENV)/.stamp-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

# Empty = bytecode is kept, also where the shell says otherwise: compiling all anew costs each process eight seconds.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup bench test test-ci test-slow test-kernels test-all lint leaderboards audit bundle clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo '  variables: MODEL=$(MODEL) DATA=$(DATA) SPLIT=$(SPLIT) SEEDS=$(SEEDS) ARGS=$(ARGS)'

setup: $(STAMP) ## make the environment in .venv (the other targets do it too)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'error: Python 3.11 or newer is needed (PYTHON=python3.11 make ...)' >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

bench: $(STAMP) ## run MODEL on DATA and print the board
	@$(BIN)/bench run --model $(MODEL) --data $(DATA) --split $(SPLIT) --seed $(SEEDS) $(ARGS)

# Two workers share the cores: a thread each. A worker that dies says where (PYTHONFAULTHANDLER).
test test-ci test-slow test-kernels test-all: export OMP_NUM_THREADS = 1
test test-ci test-slow test-kernels test-all: export OPENBLAS_NUM_THREADS = 1
# numba (scanpy, copairs) would set the threads of torch to its own number, and two spinning pools share two cores.
test test-ci test-slow test-kernels test-all: export NUMBA_NUM_THREADS = 1
test test-ci test-slow test-kernels test-all: export PYTHONFAULTHANDLER = 1
# A file's tests stay with one worker, so that what they share is made once; tests/conftest.py says which begin first.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder --durations=10

test: $(STAMP) ## the test suite, without what takes long
	$(PYTEST) -m 'not slow and not ci' $(ARGS)

test-ci: $(STAMP) ## what that leaves to CI
	$(PYTEST) -m 'ci and not slow' $(ARGS)

test-slow: $(STAMP) ## what is marked slow, alone
	$(PYTEST) -m slow $(ARGS)

# Sums are rounded otherwise on another processor: the kernels of an old one, of torch, numpy, MKL and oneDNN.
test-kernels: export ATEN_CPU_CAPABILITY = default
test-kernels: export OPENBLAS_CORETYPE = Prescott
test-kernels: export MKL_ENABLE_INSTRUCTIONS = SSE4_2
test-kernels: export ONEDNN_MAX_CPU_ISA = SSE41
test-kernels: $(STAMP) ## the same as on an older processor
	$(PYTEST) -m 'not slow and not ci' $(ARGS)

test-all: $(STAMP) ## the whole test suite
	$(PYTEST) $(ARGS)

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

leaderboards: $(STAMP) ## regenerate the committed CSVs from the committed records
	$(BIN)/bench leaderboard --leaderboards leaderboards --quiet

bundle: $(STAMP) ## what the committed boards show, and a check of it, in outputs/bundle
	$(BIN)/bench bundle --leaderboards leaderboards --outdir outputs/bundle
	$(BIN)/python -I bench/audit/assert_bundle.py outputs/bundle --leaderboards leaderboards

audit: $(STAMP) ## check every published file, number and claim again
	@$(BIN)/bench audit --leaderboards leaderboards $(ARGS)

clean: ## remove the environment and the runs
	rm -rf $(VENV) runs
