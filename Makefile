# The commands of everyday work; `make help` lists them.
#
# DUCKDB=bundled compiles DuckDB from source instead of linking the library that `make setup` gets.

export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
export DUCKDB
features := $(if $(filter bundled,$(DUCKDB)),--features bundled)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check chaos conformance upgrade bench race compact settle clean

help: ## List these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 \t\2/p' $(MAKEFILE_LIST)

setup: ## Install what building and running need (nothing to do the second time)
	@scripts/setup

demo: setup ## Ingest blocks, race five queries over them, pay for the answers on a local chain
	@cargo build --bin streamsync $(features)
	@scripts/demo

test: ## Run all tests, against a real Redis and a real S3 server
	@scripts/test

check: setup ## Check format, lints, documentation, scripts, licences
	cargo fmt --all --check
	cargo fmt --manifest-path tests/localnet/Cargo.toml --check
	cargo clippy --workspace --all-targets $(features) -- -D warnings
	@# An image has one role; what all of them have may be missing there.
	@for role in router worker compactor settlement ingest client; do \
		echo "cargo check --no-default-features --features $$role"; \
		cargo check --quiet --no-default-features --features $$role $(features) || exit; \
	done
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps $(features)
	@scripts/check-alerts
	@scripts/check-infra
	@if command -v shellcheck >/dev/null; then \
		shellcheck .ci/run scripts/* $(addprefix localstack/,install start status stop); \
	else \
		echo 'scripts not checked: shellcheck is not installed'; \
	fi
	@if command -v cargo-deny >/dev/null; then \
		cargo deny check bans licenses sources; \
	else \
		echo 'licences not checked: cargo-deny is not installed'; \
	fi

chaos: ## Kill, stall and cut off everything under load for ten minutes
	@scripts/chaos

conformance: ## Try what the lake relies on over a folder, memory, LocalStack and Ceph
	@scripts/conformance

upgrade: setup ## Run this version together with another; FROM=COMMIT (else the newest tag, or the commit before)
	@STREAMSYNC_TEST_PREVIOUS="$$(scripts/previous $(FROM))" \
		cargo test --test it $(features) -- 'two versions answer together'

bench: setup ## Measure the worker against others; SCALE=10 or 100 for more data
	@scripts/install-peers
	@cargo run --release --package streamsync-bench-worker $(features) -- all --scale $(or $(SCALE),1)

race: setup ## Measure a router with five workers, and simulate large networks
	@cargo build --release --package streamsync --package streamsync-bench-router $(features)
	@"$${CARGO_TARGET_DIR:-target}/release/bench-router" --command "$${CARGO_TARGET_DIR:-target}/release/streamsync"
	@cargo run --release --package streamsync-bench-simulation

compact: setup ## Measure the compactor on many small files; FILES=1000 for fewer
	@STREAMSYNC_BENCH_PYTHON="$$PWD/.deps/python/bin/python" \
		cargo run --release --package streamsync-bench-compactor $(features) -- --files $(or $(FILES),10000)

settle: setup ## Measure the Merkle tree of 100,000 rewards
	@cargo run --release --package streamsync-bench-settlement

clean: ## Delete what was built and downloaded
	@localstack/stop
	@if [ -L .deps ]; then rm .deps; else rm -rf .deps; fi
	@cargo clean
