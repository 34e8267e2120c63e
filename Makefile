# make demo: install what is missing, build, record a real conversation, open the dashboard on it.
# make test: install what the tests need and run them all.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/tapedeck/target

.PHONY: demo test deps lint

demo: deps
	cargo build --release --locked
	$(CARGO_TARGET_DIR)/release/tapedeck demo

test: deps
	tools/test-deps.sh
	node --test web/test/
	cargo test --locked -- --show-output

deps:
	tools/deps.sh

lint:
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
