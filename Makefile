# make train   a trained, evaluated three-task network on the built-in world   (RECIPE=smoke for a one-minute walk)
# make test    notebooks, pytest, and: is the package what the notebooks export?
# make lab     JupyterLab on the notebooks
SHELL  := /bin/bash
PYTHON ?= python3
RECIPE ?= laptop
ARGS   ?=
BIN    := .venv/bin
# uv brings its own certificates; behind a company's proxy only the machine's are right
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),true,false)

.PHONY: train test lab install export notebooks clean

train: .venv/run.stamp
	$(BIN)/mtl_train --recipe $(RECIPE) $(ARGS)

test: .venv/dev.stamp
	$(BIN)/python -m pytest tests
	cd nbs && ../$(BIN)/nbdev_test --n_workers 2 --do_print --timing

lab: .venv/dev.stamp
	$(BIN)/jupyter lab --notebook-dir=nbs

install: .venv/dev.stamp

# The package is generated: edit nbs/, then export.
export: .venv/dev.stamp
	$(BIN)/nbdev_export

# Executes every notebook in order from a clean kernel and stores the outputs.
notebooks: .venv/dev.stamp
	cd nbs && for n in *.ipynb; do ../$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=1800 $$n || exit 1; done
	$(BIN)/nbdev_clean

# uv installs the pinned packages in about a minute; a virtual environment of Python's own brings it.
.venv/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %s" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv

.venv/run.stamp: .venv/bin/uv settings.ini setup.py constraints.txt
	@test -f .venv/dev.stamp || $(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e .
	@test ! -f .venv/dev.stamp || $(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@

.venv/dev.stamp: .venv/bin/uv settings.ini setup.py constraints.txt
	$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@ .venv/run.stamp

clean:
	rm -rf .venv datasets/world* results/smoke
