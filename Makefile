# The whole developer interface: make demo, make test, make lint, make docs, make bench.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs bench clean

# Modules are compiled when they are first imported, not all that are installed (--no-compile).
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e '.[dev,docs,jax]'
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	@run=$$($(BIN)/python -m medkit train --config configs/breast_cancer_mlp.yaml) && \
	echo "The run is in $$run: open $$run/report.html in a browser."

# Memory given back and asked for again took a third of the time of two tests that fit baselines.
test: export MALLOC_MMAP_THRESHOLD_ = 1073741824
test: export MALLOC_TRIM_THRESHOLD_ = 2147483648
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" --durations=30

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/end_to_end.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/events.py

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .mypy_cache .ruff_cache
