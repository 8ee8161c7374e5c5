# `make demo` and `make test` work on a fresh machine with Python 3.11 or later, pip and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all test-more test-cluster test-oldest lint docs bench faults paper paper-quick clean

PAPER := $(addprefix sweeps/paper/,regression.yaml regression-described.yaml regression-noise.yaml \
	regression-noise-half.yaml regression-two-hidden.yaml regression-deep.yaml regression-decay.yaml regression-scripted-dropout.yaml \
	autoencoder.yaml lenet300.yaml lenet5.yaml lenet5-causes.yaml lenet5-longer.yaml \
	lenet5-printed-longer.yaml lenet5-thresholds.yaml convnet.yaml grid-lenet300.yaml grid-autoencoder.yaml)

demo: .venv/installed
	$(BIN)/dn sweep sweeps/demo/regression.yaml sweeps/demo/autoencoder.yaml sweeps/demo/lenet300.yaml --report demo-report

# What needs more than Python: programs, root, or a sweep of several processes that is disturbed.
MORE := browser or cluster or postgres or slow
# Processes of the first part of the tests, and of the second, whose sweeps fill the machine.
WORKERS ?= 2
MORE_WORKERS ?= 2
# Whole files, those first that take longest, and together those that share what is slow to make: tests/distribution.py.
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
MORE_PARALLEL := $(if $(filter-out 1,$(MORE_WORKERS)),-n $(MORE_WORKERS) --dist loadfile --no-loadscope-reorder)
# CI gives --cov: what the tests of `make test` reach must not fall below the floor in pyproject.toml.
COVERAGE ?=

test: .venv/installed
	$(BIN)/python -m pytest $(PARALLEL) -m "not ($(MORE))" $(COVERAGE)

test-all: test
	$(MAKE) test-more
	$(MAKE) test-cluster

test-more: .venv/installed
	$(BIN)/python -m pytest $(MORE_PARALLEL) -m "($(MORE)) and not cluster"

test-cluster: .venv/installed
	$(BIN)/python -m pytest -m cluster tests/cluster

# On the oldest versions that pyproject.toml allows of what this project uses itself: all that `make test` runs, less
# what needs packages of the extra `dev`.
# uv leaves it to the first import to compile a module, and that must be kept, or each process does it again. In CI
# the sweeps of test-more run beside them, and go first.
test-oldest: .venv-oldest/installed
	PYTHONDONTWRITEBYTECODE= nice .venv-oldest/bin/python -m pytest $(PARALLEL) -m "not ($(MORE))" \
		--ignore=tests/tracking/test_server_s3.py --ignore=tests/test_notebooks.py --ignore=tests/browser

.venv-oldest/installed: pyproject.toml .venv/installed
	rm -rf .venv-oldest
	$(PYTHON) -m venv --without-pip .venv-oldest
	$(BIN)/uv pip install --quiet --python .venv-oldest/bin/python --resolution lowest-direct \
		--editable '.[export,server,test]'
	touch $@

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, into docs/_build/html; a warning is an error.
docs: .venv/installed
	$(BIN)/python docs/architecture.py
	$(BIN)/python docs/from_code.py
	$(BIN)/python -m sphinx -E -W --keep-going -n -q -b html docs docs/_build/html

bench: .venv/installed
	$(BIN)/python -m benchmarks

# A cluster of hosts on this machine, sweeps on it, and eleven injuries. Needs Linux and root.
faults: .venv/installed
	$(BIN)/python -m tests.cluster.faults

# The paper's tables, ten seeds or more, and the grids. It resumes: stop it and start it again as you like.
paper: .venv/installed
	@echo "about 14 core-hours of training with AVX-512 (the steps of each sweep by benchmarks/RESULTS.md (a)), up to twice"
	@echo "that beside other work, two to three times on older cores"
	$(BIN)/dn sweep $(PAPER) --report paper-report

# A true but small version: the regression with ten seeds, a few epochs of three networks, and a small grid.
paper-quick: .venv/installed
	$(BIN)/dn sweep sweeps/paper/regression.yaml --report paper-quick-report --set name=quick-regression --set seeds=10
	$(BIN)/dn sweep sweeps/paper/autoencoder.yaml --report paper-quick-report \
		--set name=quick-autoencoder --set seeds=2 --set training.epochs=10
	$(BIN)/dn sweep sweeps/paper/lenet300.yaml --report paper-quick-report \
		--set name=quick-lenet300 --set seeds=2 --set training.epochs=10
	$(BIN)/dn sweep sweeps/paper/lenet5.yaml --report paper-quick-report \
		--set name=quick-lenet5 --set seeds=1 --set training.steps=800
	$(BIN)/dn sweep sweeps/paper/grid-lenet300.yaml --report paper-quick-report \
		--set name=quick-grid --set seeds=1 --set training.epochs=2

clean:
	rm -rf .venv .venv-oldest build docs/_build docs/_project *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@
