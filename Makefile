# make train   a trained, evaluated three-task network on the built-in world   (RECIPE=smoke for a one-minute walk)
# make test    notebooks, pytest, and: is the package what the notebooks export?
# make test-browser   the widgets in a real JupyterLab and a real browser (installs Chromium where it may)
# make lab     JupyterLab on the notebooks
SHELL  := /bin/bash
PYTHON ?= python3
RECIPE ?= laptop
ARGS   ?=
BIN    := .venv/bin
# uv brings its own certificates; behind a company's proxy only the machine's are right
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),true,false)

.PHONY: train test test-browser chromium lab install export notebooks clean

train: .venv/run.stamp
	$(BIN)/mtl_train --recipe $(RECIPE) $(ARGS)

test: .venv/dev.stamp
	$(BIN)/python -m pytest tests
	cd nbs && ../$(BIN)/nbdev_test --n_workers 2 --do_print --timing

# On a copy of the notebooks; screenshots go to results/screenshots/.
test-browser: .venv/browser.stamp chromium
	$(BIN)/python -m pytest tests_browser -s

.venv/browser.stamp: .venv/dev.stamp constraints.txt
	$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt playwright
	@touch $@

CHROMIUM_THERE = [ -n "$$CHROMIUM" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null
APT_CHROMIUM   = apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium

chromium:
	@$(CHROMIUM_THERE) || if [ "$$(id -u)" = 0 ]; then $(APT_CHROMIUM); elif sudo -n true 2>/dev/null; then sudo sh -c '$(APT_CHROMIUM)'; fi >/dev/null || true
	@$(CHROMIUM_THERE) || { echo "The browser tests need Chromium: install it (Debian, Ubuntu: apt-get install chromium), or set CHROMIUM to the path of one." >&2; exit 2; }

lab: .venv/dev.stamp
	$(BIN)/jupyter lab --notebook-dir=nbs

install: .venv/dev.stamp

# The package is generated: edit nbs/, then export.
export: .venv/dev.stamp
	$(BIN)/nbdev_export

# Executes every notebook in order from a clean kernel and stores the outputs; of a widget its picture, which needs no kernel.
notebooks: export MTL_STATIC_WIDGETS := 1
notebooks: .venv/dev.stamp
	cd nbs && for n in *.ipynb; do ../$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=1800 --ExecutePreprocessor.store_widget_state=False $$n || exit 1; done
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
