# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
# Your own torch:  make setup TORCH=torch CONSTRAINTS=
TORCH ?= torch==2.13.0
CONSTRAINTS ?= -c constraints.txt

BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup quickstart test lint format clean

setup: $(READY)

# torch goes first: nothing that depends on it may choose another build.
$(READY): pyproject.toml constraints.txt tools/fetch_bindings.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e ".[cpu,export,train,dev]"
	$(BIN)/python tools/fetch_bindings.py
	touch $(READY)

quickstart: setup
	$(BIN)/python examples/quickstart.py

test: setup
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache
