# `make demo` and `make test` do all their own set-up: a virtual environment with the tested versions, then fla.
PYTHON ?= python3
VENV ?= .venv
# Of the tests. A file stays in one process, which trains what its tests share once.
# Three on two cores, because a third of the time is spent on waiting for processes that the tests start.
TEST_PROCESSES ?= 3
# Of glibc, ignored elsewhere: what a training frees stays with the process. Asking for it anew at each step costs time.
KEEP_MEMORY := glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=8589934592:glibc.malloc.top_pad=268435456
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(shell cat constraints.txt pyproject.toml | sha256sum | cut -c1-16)

.PHONY: help setup demo test check docs format clean
help:
	@echo "make demo     the whole pipeline on a small generated sign language (no GPU, no downloads but packages)"
	@echo "make test     format check, lint, types, documentation and the whole test suite: what CI runs"
	@echo "make docs     these pages as a site in docs/_build/html; a broken link is an error"
	@echo "make format   format the code and mend what lint can mend"

# The environment is made once per state of constraints.txt and pyproject.toml; the checkout is linked into it each time.
setup: $(READY)
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@mkdir -p .typing && ln -sfn .. .typing/fla_llm

$(READY):
	@echo "Installing the tested versions into $(VENV): about 6 GB, some minutes, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install -qq -c constraints.txt setuptools wheel -e . --group dev --group docs
	@touch $@

demo: setup
	GLIBC_TUNABLES=$(KEEP_MEMORY) $(BIN)/fla demo --out runs/demo

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python

docs: setup
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

test: check docs
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .typing build docs/_build *.egg-info .pytest_cache .ruff_cache
