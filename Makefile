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
# One that builds the package, and one that has it installed as a user has.
PACKAGE := .venv-package
INSTALLED := .venv-installed
PACKAGING := build==1.6.1 twine==7.0.0 check-wheel-contents==0.6.3
WHEEL = $(wildcard dist/*.whl)
CORE ?= $(shell cat tests/core.txt)
# Python 3.10, also where pyenv has it but does not put it on the path.
PYTHON310 := $(shell for p in python3.10 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.10.*/bin/python3.10; do \
	$$p --version > /dev/null 2>&1 && echo $$p && break; done)

# Python compiles a module when it is imported first. To compile all of them, most of which nothing imports, takes longer
# than the rest of an installation.
INSTALL := -m pip install --disable-pip-version-check --no-compile

.PHONY: demo test runtime lowest newest nightly package installed docs links format figures settings clean

demo: $(READY)  ## train on the built-in digits and show where the report is
	$(BIN)/perceiver fit digits --time-limit 4m

# The types are checked while the tests run: these wait for processes and files now and then.
test: $(READY)  ## lint, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@told=$$(mktemp); $(BIN)/mypy > $$told 2>&1 & types=$$!; \
	$(BIN)/python -m pytest -n 2 --dist worksteal; tests=$$?; \
	wait $$types; types=$$?; cat $$told; rm $$told; exit $$((tests | types))

runtime: $(READY) $(RUNTIME)/.ready  ## an exported model predicts the same where PyTorch is not installed
	$(BIN)/python tests/without_torch.py --other $(RUNTIME)

lowest: $(LOWEST)/.ready  ## the core's tests with the lowest versions that pyproject.toml promises
	$(LOWEST)/bin/python -m pytest -n 2 --dist worksteal $(CORE)

newest: $(NEWEST)/.ready  ## the core's tests with the newest versions that there are today
	$(NEWEST)/bin/python -m pytest -n 2 --dist worksteal $(CORE)

nightly: $(READY) newest  ## the long tests
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt mlflow-skinny
	$(BIN)/python -m pytest -m nightly

package: $(PACKAGE)/.ready  ## build the wheel and the source distribution, and check them
	rm -rf dist
	$(PACKAGE)/bin/python -m build
	$(PACKAGE)/bin/twine check --strict dist/*
	$(PACKAGE)/bin/check-wheel-contents dist

installed: package  ## install the wheel anew, without extras and with all, and use it
	$(PYTHON) -m venv --clear $(INSTALLED)
	$(INSTALLED)/bin/python -m pip install --disable-pip-version-check -c constraints.txt $(WHEEL)
	$(INSTALLED)/bin/python -I tests/installed.py
	$(INSTALLED)/bin/python -m pip install --disable-pip-version-check -c constraints.txt "$(WHEEL)[all]"
	$(INSTALLED)/bin/python -I tests/installed.py --extras all

docs: $(VENV)/.docs  ## build the documentation into site/; a warning is an error
	$(BIN)/sphinx-build --builder dirhtml --fail-on-warning --keep-going --fresh-env docs site

links: $(VENV)/.docs  ## follow every link of the documentation that leads elsewhere
	$(BIN)/sphinx-build --builder linkcheck --keep-going docs build/links

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

figures: $(READY)  ## draw the pictures of the documentation
	$(BIN)/python docs/figures/architecture.py
	$(BIN)/python docs/figures/language.py

settings: $(READY)  ## write the tables of settings of the documentation
	$(BIN)/python docs/write_settings.py

clean:
	rm -rf $(VENV) $(RUNTIME) $(LOWEST) $(NEWEST) $(PACKAGE) $(INSTALLED) .peers build dist site

# Made again when what is to be installed changes; torch first, since its pinned build is what all else builds on.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) -c constraints.txt torch
	$(BIN)/python $(INSTALL) -c constraints.txt -e ".[all,test]"
	touch $(READY)

$(VENV)/.docs: $(READY)
	$(BIN)/python $(INSTALL) -c constraints.txt -e ".[all,docs]"
	touch $@

$(PACKAGE)/.ready: Makefile
	test -x $(PACKAGE)/bin/python || $(PYTHON) -m venv $(PACKAGE)
	$(PACKAGE)/bin/python -m pip install --disable-pip-version-check $(PACKAGING)
	touch $@

$(RUNTIME)/.ready: pyproject.toml requirements-runtime.txt constraints.txt
	test -x $(RUNTIME)/bin/python || $(PYTHON) -m venv $(RUNTIME)
	$(RUNTIME)/bin/python -m pip install --disable-pip-version-check -c constraints.txt -r requirements-runtime.txt
	$(RUNTIME)/bin/python -m pip install --disable-pip-version-check --no-deps -e .
	touch $@

$(LOWEST)/.ready: pyproject.toml constraints-lowest.txt
	@test -n "$(PYTHON310)" || echo "THE LOWEST PYTHON IS NOT TESTED: there is no python3.10 here, so $$($(PYTHON) --version) is used"
	test -x $(LOWEST)/bin/python || $(or $(PYTHON310),$(PYTHON)) -m venv $(LOWEST)
	$(LOWEST)/bin/python $(INSTALL) -c constraints-lowest.txt -e ".[all,test]"
	touch $@

$(NEWEST)/.ready: pyproject.toml
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python $(INSTALL) --upgrade -e ".[all,test]"
	touch $@
