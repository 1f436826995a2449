# Needs Python 3.10 or newer with venv, make and git. Every target sets up .venv by itself; `make` alone lists them.
PYTHON ?= python3
PY     := .venv/bin/python
READY  := .venv/ready
unexport PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help lab test test-avx2 test-lowest test-newest test-colab train bench figures site test-site frames student \
        mutants mutmut kills steady execute sync

help:                    ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 17

lab: $(READY)            ## open your copies of the lessons in JupyterLab (ARGS=--fresh for new copies)
	@exec $(PY) tools/lab.py $(ARGS)

test: $(READY)           ## lint, then run every test and every lesson, side by side
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m pytest --nbval notebooks tests -n logical --maxprocesses 4 $(ARGS)

# oneDNN and PyTorch are told to stay below AVX-512 and AMX, so that any x86 CPU computes as most laptops do.
test-avx2: export ONEDNN_MAX_CPU_ISA := AVX2
test-avx2: export ATEN_CPU_CAPABILITY := avx2
test-avx2: test          ## the same on an imitated CPU without bfloat16 instructions

test-lowest:             ## the same with the lowest versions that pyproject.toml allows (ARGS=--tally keeps the counts)
test-newest:             ## the same with the newest releases of everything
test-colab: $(READY)     ## the lessons with Colab's versions, from the wheel
test-lowest test-newest test-colab:
	@$(PYTHON) tools/versions.py $(@:test-%=%) $(ARGS)

train: $(READY)          ## train on CIFAR-10 by the recipe for this machine (ARGS="--preset cpu", say)
	@$(PY) -m lambdalib train $(ARGS)

bench: $(READY)          ## measure the lambda layer beside other packages' (ARGS="--part layer", say)
	@$(PY) -m lambdalib bench $(ARGS)

figures: $(READY)        ## draw figures/ anew
	@$(PY) tools/make_figures.py $(ARGS)

site: .venv/ready-site   ## build the course's web site (ARGS=--serve to look at it)
	@$(PY) tools/website.py $(ARGS)

test-site: .venv/ready-site  ## build the site and test it in headless Chromium (ARGS="-k RESULTS" for a part)
	@$(PY) tools/website.py
	@$(PY) -m pytest -q site $(ARGS)

frames: $(READY)         ## make the sliders and reveals of the site, in minutes (ARGS="03 08" for some lessons)
	@$(PY) tools/frames.py $(ARGS)

student: $(READY)        ## write notebooks without solutions, and the solutions, for a class
	@$(PY) tools/student.py

mutants: $(READY)        ## break the source on purpose and see the tests catch it
	@$(PY) tests/mutations.py $(ARGS)

mutmut: .venv/ready-mutmut  ## the same with 300 mutants drawn from the package mutmut's (ARGS="--count 30", say)
	@$(PY) tests/drawn.py $(ARGS)

kills: $(READY)          ## kill a training 30 times, and see it end with the same bits (ARGS=--write keeps the tally)
	@$(PY) tools/kills.py $(ARGS)

steady: $(READY)         ## run the lessons again and again (ARGS="10", ARGS="3 --way one", see tools/steady.py)
	@$(PY) tools/steady.py $(ARGS)

execute: $(READY)        ## run lessons and store their outputs (ARGS=03 for one of them)
	@$(PY) tools/execute.py $(ARGS)

sync: $(READY)           ## rewrite badges and set-up cells; REPO=owner/name renames the repository
	@$(PY) tools/sync.py $(REPO)

$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.10 or newer, or name yours with PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "$$($(PYTHON) --version) is too old: Python 3.10 or newer is needed; name one with PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) lacks the venv module: install it (Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	@$(PY) -c 'import pip' 2>/dev/null || { echo "Making .venv: this once, some minutes and about 6 GB, most of it PyTorch."; $(PYTHON) -m venv --clear .venv; }
	@echo "Installing what pyproject.toml lists ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

.venv/ready-site: $(READY)
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable ".[site]"
	@touch $@

.venv/ready-mutmut: $(READY)
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable ".[mutmut]"
	@touch $@
