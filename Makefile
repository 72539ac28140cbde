# make demo     a sweep on real data, from a fresh clone, in a few minutes
# make test     the whole test suite
# make lint     format, lint, types
# make bench    short benchmarks, peers beside us

PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lint format bench wheel clean

install: .venv/.installed

# hpbandster's dependency netifaces needs a C compiler and is not used: --no-deps leaves it out. DEHB asks for NumPy 1,
# and gives the same results with NumPy 2.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,cmaes,cluster,bench,examples,dev]' Pyro4 serpent statsmodels
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps hpbandster==0.7.4 DEHB==0.1.2
	touch $@

demo: install
	$(BIN)/python examples/quickstart.py

test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python -m benchmarks.overhead --quick
	$(BIN)/python -m benchmarks.growth --quick
	$(BIN)/python -m benchmarks.suggest --repeats 5
	$(BIN)/python -m benchmarks.compare --seeds 3 --jobs 2 --peers optuna_tpe_hyperband,dehb

wheel: install
	$(BIN)/python -m build --wheel

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
