# `make demo` and `make test` do all the set-up they need. `make help` lists the rest.
SHELL := /bin/sh
PYTHON ?= $(firstword $(foreach v,python3 python3.13 python3.12 python3.11,\
	$(if $(shell $(v) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(v))))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --no-input -qq
ROOT := $(filter 0,$(shell id -u))
# Every module that setup.cfg's contract calls pure; what is one is covered whole.
PURE := $(shell sed -n '/^\[importlinter:contract:pure\]/,/^forbidden/s/^    //p' setup.cfg | tr . / | sed 's|.*|&.py,&/*|' | paste -sd, -)

.PHONY: help demo test check format install bench oracles fuzz soak sim chaos kill9 picture lock clean
.DELETE_ON_ERROR:

help:
	@echo "make demo     the main job, with no radio, no broker and no account (Ctrl-C ends it)"
	@echo "make test     the whole gate: format, lint, types, import rules, tests with coverage"
	@echo "make install  the milepost command, in $(BIN)"
	@echo "make check    the gate without the tests"
	@echo "make bench    what a reading costs, beside the plain way"
	@echo "make fuzz     every profile and parser under atheris, 60 s each"
	@echo "make oracles  software that is not ours judges what we make"
	@echo "make soak     50 virtual sensors at 10 Hz for 5 minutes"
	@echo "make sim      20,000 runs of the payment protocol under loss, crashes and planted faults"
	@echo "make chaos    100 kill -9 of a buyer and a seller that trade through a storm, and what it cost nobody"
	@echo "make kill9    kill -9 of a running demo at 50 random moments"
	@echo "make picture  docs/demo.svg, from the real terminal view"
	@echo "make lock     new lock files from setup.cfg"

install: $(VENV)/.installed
	@echo "milepost is installed: $(BIN)/milepost --help"

demo: $(VENV)/.installed
	@$(BIN)/milepost demo

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "milepost needs Python 3.11 or newer: apt-get install python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	if [ "$$(id -u)" = 0 ]; then apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv >/dev/null 2>&1; \
	else echo "milepost needs Debian's python3-venv: run 'sudo apt-get install python3-venv'" >&2; exit 1; fi
	@echo "making $(VENV)"; $(PYTHON) -m venv $(VENV)

$(VENV)/.installed: configs/requirements.lock setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing milepost and the exact versions of configs/requirements.lock"
	@$(PIP) install --use-pep517 --require-hashes -r configs/requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e . 2>/dev/null || $(PIP) install --no-deps -e .
	@touch $@

$(VENV)/.developing: configs/requirements-dev.lock $(VENV)/.installed
	@echo "installing the exact versions of configs/requirements-dev.lock"
	@$(PIP) install --use-pep517 --require-hashes -r configs/requirements-dev.lock
	@touch $@

# The tests also speak to Debian's Mosquitto. Without it those skip, and say so.
$(VENV)/.mosquitto: | $(BIN)/python
	@command -v mosquitto >/dev/null || test -x /usr/sbin/mosquitto || \
	if [ -n "$(ROOT)" ]; then apt-get -qq update && apt-get -qq install -y --no-install-recommends mosquitto openssl >/dev/null 2>&1; \
	else echo "tests with Mosquitto will skip: run 'sudo apt-get install mosquitto' to have them"; fi
	@touch $@

# The page that checks records is tested in Debian's Chromium, driven by a Node that needs libatomic.
# Without them those tests skip, and say so.
$(VENV)/.chromium: | $(BIN)/python
	@{ test -x /usr/bin/chromium && /sbin/ldconfig -p | grep -q libatomic.so.1; } || \
	if [ -n "$(ROOT)" ]; then apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
	apt-get -qq install -y --no-install-recommends chromium libatomic1 >/dev/null 2>&1; \
	else echo "tests in a browser will skip: run 'sudo apt-get install chromium libatomic1' to have them"; fi
	@touch $@

check: $(VENV)/.developing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check $(VENV)/.mosquitto $(VENV)/.chromium $(VENV)-oracles/.tried
	$(BIN)/coverage erase
	timeout -k 10 1800 $(BIN)/pytest -n 3 --cov --cov-report= --durations=15
	$(BIN)/coverage report --fail-under=90
	$(BIN)/coverage report --include='$(PURE)' --fail-under=100

format: $(VENV)/.developing
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/milepost bench pipeline
	$(BIN)/milepost bench log
	$(BIN)/milepost bench payments

# What judges us needs another cbor2, Node, or Go: an environment of its own. What cannot be had in
# three minutes is skipped by the tests, which say so.
ORACLES := configs/requirements-oracles.lock configs/oracles/package.json configs/oracles/package-lock.json

$(VENV)-oracles/.python: configs/requirements-oracles.lock | $(BIN)/python
	@$(PYTHON) -m venv $(VENV)-oracles
	@$(VENV)-oracles/bin/pip --disable-pip-version-check --no-input -qq install --require-hashes -r configs/requirements-oracles.lock
	@touch $@

$(VENV)-oracles/.node: configs/oracles/package.json configs/oracles/package-lock.json | $(VENV)-oracles/.python
	@cp configs/oracles/package.json configs/oracles/package-lock.json $(VENV)-oracles/
	@cd $(VENV)-oracles && npm install --no-save --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

$(VENV)-oracles/.go:
	@command -v go >/dev/null && test -d /usr/share/gocode/src/golang.org/x/mod || { test -n "$(ROOT)" && \
	apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends golang-go golang-golang-x-mod-dev >/dev/null 2>&1; }
	@mkdir -p $(@D) && touch $@

$(VENV)-oracles/.tried: $(ORACLES) | $(BIN)/python
	@timeout 180 $(MAKE) -k -s $(VENV)-oracles/.python $(VENV)-oracles/.node $(VENV)-oracles/.go || \
	echo "some of the software that judges ours is not here: its tests will skip"
	@mkdir -p $(@D) && touch $@

oracles: $(VENV)/.developing $(VENV)-oracles/.tried
	$(BIN)/pytest -q -rs tests/ledger_client/test_oracles.py tests/ledger_client/test_scitt_cose.py

soak: $(VENV)/.developing
	$(BIN)/python tests/scenarios/soak.py

sim: $(VENV)/.developing
	PYTHONPATH=tests/support $(BIN)/python tests/scenarios/sim_tally.py

chaos: $(VENV)/.developing
	PYTHONPATH=tests/support $(BIN)/python tests/scenarios/chaos_tally.py

kill9: $(VENV)/.developing
	$(BIN)/python tests/scenarios/kill9.py

picture: $(VENV)/.installed
	$(BIN)/milepost demo --seconds 30 --picture docs/demo.svg

$(VENV)-fuzz/.installed: configs/requirements-fuzz.lock | $(BIN)/python
	@$(PYTHON) -m venv $(VENV)-fuzz
	@$(VENV)-fuzz/bin/pip --disable-pip-version-check -q install --require-hashes -r configs/requirements-fuzz.lock
	@$(VENV)-fuzz/bin/pip --disable-pip-version-check -q install --no-deps -e .
	@touch $@

fuzz: $(VENV)-fuzz/.installed
	@for target in tests/fuzz/fuzz_*.py; do $(VENV)-fuzz/bin/python $$target --all --seconds 60 || exit 1; done

lock: $(VENV)/.developing
	@$(PIP) install uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header setup.cfg --extra sim --extra broker -o configs/requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header setup.cfg --extra sim --extra broker --extra dev -o configs/requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header setup.cfg --extra fuzz -o configs/requirements-fuzz.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header configs/oracles/requirements.in -o configs/requirements-oracles.lock

clean:
	rm -rf $(VENV) $(VENV)-fuzz $(VENV)-oracles build *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
