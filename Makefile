# `make demo` shows the main job, `make test` runs every test; both install what they need into .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
  --no-emit-find-links -q

.DEFAULT_GOAL := help
.PHONY: help demo playground lint check test docs soak bench lock artefacts release-check uninstall clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(STAMP): requirements-dev.lock pyproject.toml hatch_build.py $(wildcard webhook/server/api/page/editor/*)
	@$(PYTHON) -c 'import sys; sys.exit("gpu-slice needs Python 3.11 or later: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	@echo "installing into .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)   ## the main job for real: HTTPS on loopback, the examples in, what each pod became out
	@$(BIN)/gpu-slice demo manifests/examples

playground: $(STAMP)  ## a toy cluster with the webhook in it, until Ctrl-C (FLEET=my-fleet.yaml; K8S=1.34)
	@$(BIN)/python -m tests.cluster.playground $(if $(FLEET),--fleet $(FLEET))

lint: $(STAMP)   ## format, lint, types, import contract
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

check: lint      ## the fast inner loop: lint, and the tests that are not slow
	@$(BIN)/python -m pytest -m "not slow" --hypothesis-profile=quick -n auto --dist worksteal

test: lint       ## everything: lint, and all tests; builds Kubernetes and etcd once (K8S=1.34: an older release), and gets programs of Debian
	@$(BIN)/python -m tests.packages
	@$(BIN)/python -m tests.cluster.programs
	@$(BIN)/python -m tests.browser.programs
	@$(BIN)/python -m tests.image
	@$(BIN)/python -m pytest

docs: $(STAMP)   ## the pages as a site, build/site/index.html, which needs no network; a warning is an error
	@$(BIN)/python -m sphinx -q -W --keep-going -c docs -d build/doctrees . build/site

bench: $(STAMP)  ## reviews a second beside peers in Go and Rust, and pods through a real API server; to bench/README.md
	@$(BIN)/python -m bench

artefacts: $(STAMP)  ## what is attached to a release, in dist/: sdist, wheel, bills of materials, the plugin for krew, checksums
	@$(BIN)/python -m release artefacts dist

release-check: lint  ## all that a release needs and no registry of images is asked for (TAG=v0.1.0: as this tag)
	@$(BIN)/python -m release check $(TAG)
	@$(BIN)/python -m tests.packages
	@$(BIN)/python -m tests.image
	@$(BIN)/python -m pytest -n0 tests/image tests/unit/test_release.py tests/unit/test_package.py tests/unit/test_locks.py \
	  tests/unit/test_dockerfile.py tests/unit/test_version.py tests/unit/test_advisories.py tests/unit/test_chart.py tests/cluster/test_chart.py

soak: $(STAMP)   ## the long runs: stops, certificates, slow callers; an hour, figures go to docs/reliability.md
	@$(BIN)/python -m tests.soak

uninstall:       ## take gpu-slice out of the cluster of the current kubectl context; running pods stay
	kubectl delete --ignore-not-found -f manifests/webhook/webhook.yaml -f manifests/webhook/advice.yaml
	kubectl delete --ignore-not-found -k manifests/guard
	kubectl delete --ignore-not-found -k manifests/keeper
	kubectl delete --ignore-not-found -k manifests/webhook

lock:            ## resolve the dependencies anew (needs uv on the PATH): once, and the other locks are parts of it
	$(LOCK) pyproject.toml --extra dev -o requirements-dev.lock
	$(LOCK) pyproject.toml -c requirements-dev.lock -o requirements.lock
	$(LOCK) --group serve -c requirements.lock -o requirements-serve.lock
	$(LOCK) --group keeper -c requirements.lock -o requirements-keeper.lock

clean:           ## remove what was installed and built
	rm -rf .venv build dist webhook/server/api/page/editor.bundle.js *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .playground
