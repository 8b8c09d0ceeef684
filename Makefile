# Two commands need nothing but git, python (3.10 or later) and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test nightly lint format figures settings clean

demo: $(READY)  ## train on the built-in digits and show where the report is
	$(BIN)/perceiver fit digits

test: $(READY)  ## lint, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

nightly: $(READY)  ## the long tests
	$(BIN)/python -m pytest -m nightly

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

figures: $(READY)  ## draw the pictures of the documentation
	$(BIN)/python docs/figures/architecture.py
	$(BIN)/python docs/figures/language.py

settings: $(READY)  ## write the tables of settings of the documentation
	$(BIN)/python docs/write_settings.py

clean:
	rm -rf $(VENV) .peers build dist

# Made again when what is to be installed changes; torch first, since its pinned build is what all else builds on.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[all,test]"
	touch $(READY)
