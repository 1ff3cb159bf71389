PYTHON ?= python3
BIN := .venv/bin
DEMO := results/demo
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
PIN := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: .venv/ready  ## build .venv with the exact versions of constraints.txt

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(PIP) pip==26.3  # dependency groups are read since 25.1; Python 3.11 brings 23.2
	$(PIP) --editable . --group dev
	@touch $@

.venv/docs-ready: .venv/ready
	$(PIP) --group docs
	@touch $@

demo: setup  ## train two small sweeps, evaluate, fit, write the report (about 5 minutes on 2 cores)
	$(PIN) $(BIN)/isoflop demo $(DEMO)

test: setup  ## run the tests (slurm and gpu tests apart)
	$(PIN) $(BIN)/pytest -n 2 --dist worksteal -m 'not slurm and not gpu'

test-slurm: setup  ## run the Slurm tests on a two-node loopback cluster (root; installs Slurm, munge and MariaDB)
	$(PIN) bash tests/slurm/run.sh

bench: setup  ## measure speed against its goals (LITGPT=, LM_EVAL= pythons with those installed)
	$(PIN) $(BIN)/python -m benchmarks $(if $(LITGPT),litgpt=$(LITGPT)) $(if $(LM_EVAL),lm_eval=$(LM_EVAL))

study: setup  ## the study of docs/study.md: fit, predict, then test a hundred times beyond (hours)
	$(PIN) $(BIN)/python -m benchmarks.study

packages:  ## install the Debian packages that the tests use (root): chromium, Slurm, munge, MariaDB
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium slurm-wlm munge slurmdbd mariadb-server > /dev/null

lint: setup  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: .venv/docs-ready  ## build the site into build/site; a warning or a broken link fails it
	$(BIN)/zensical build --clean --strict

notebooks: setup  ## run the notebooks in place, with their figures, after installing a kernel
	$(PIP) --group notebooks
	$(BIN)/jupyter execute --inplace docs/notebooks/*.ipynb

clean:  ## remove what can be built again; results/ stays
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis

.PHONY: help setup demo test test-slurm bench study packages lint docs notebooks clean
