# Two commands need nothing but git, python (3.10 or later) and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Environments of their own, of about 5 GB each: PyPI's PyTorch for x86_64 comes with CUDA. CORE=tests runs everything.
LOWEST := .venv-lowest
NEWEST := .venv-newest
# One without PyTorch, which runs exported models.
RUNTIME := .venv-runtime
CORE ?= $(addprefix tests/, ops/test_cross_attend.py ops/test_context.py nn/test_block.py \
	nn/test_layer.py models/test_perceiver.py models/test_perceiver_io.py models/test_paper.py test_compile_and_export.py \
	tables/test_run.py data/media/test_video_file.py)
# Python 3.10, also where pyenv has it but does not put it on the path.
PYTHON310 := $(shell for p in python3.10 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.10.*/bin/python3.10; do \
	$$p --version > /dev/null 2>&1 && echo $$p && break; done)

.PHONY: demo test runtime lowest newest nightly lint format figures settings clean

demo: $(READY)  ## train on the built-in digits and show where the report is
	$(BIN)/perceiver fit digits --time-limit 4m

test: $(READY)  ## lint, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

runtime: $(READY) $(RUNTIME)/.ready  ## an exported model predicts the same where PyTorch is not installed
	$(BIN)/python tests/without_torch.py --other $(RUNTIME)

lowest: $(LOWEST)/.ready  ## the core's tests with the lowest versions that pyproject.toml promises
	$(LOWEST)/bin/python -m pytest -n 2 $(CORE)

newest: $(NEWEST)/.ready  ## the core's tests with the newest versions that there are today
	$(NEWEST)/bin/python -m pytest -n 2 $(CORE)

nightly: $(READY) newest  ## the long tests
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
	rm -rf $(VENV) $(RUNTIME) $(LOWEST) $(NEWEST) .peers build dist

# Made again when what is to be installed changes; torch first, since its pinned build is what all else builds on.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[all,test]"
	touch $(READY)

$(RUNTIME)/.ready: pyproject.toml requirements-runtime.txt constraints.txt
	test -x $(RUNTIME)/bin/python || $(PYTHON) -m venv $(RUNTIME)
	$(RUNTIME)/bin/python -m pip install --disable-pip-version-check -c constraints.txt -r requirements-runtime.txt
	$(RUNTIME)/bin/python -m pip install --disable-pip-version-check --no-deps -e .
	touch $@

$(LOWEST)/.ready: pyproject.toml constraints-lowest.txt
	@test -n "$(PYTHON310)" || echo "THE LOWEST PYTHON IS NOT TESTED: there is no python3.10 here, so $$($(PYTHON) --version) is used"
	test -x $(LOWEST)/bin/python || $(or $(PYTHON310),$(PYTHON)) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --disable-pip-version-check -c constraints-lowest.txt -e ".[all,test]"
	touch $@

$(NEWEST)/.ready: pyproject.toml
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --disable-pip-version-check --upgrade -e ".[all,test]"
	touch $@
