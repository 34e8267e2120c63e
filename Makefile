# make demo: install what is missing, build, record a real conversation, open the dashboard on it.
# make test: install what the tests need and run them all.
# make test-sql: build and test what the cargo feature `sql` adds, unless that passed before
#   (WHEN=--if-built: and only where its engine was compiled before).
# make bench: run tapedeck beside other programs on the same traffic, into docs/performance.md
#   (SIZE=small for a quick look); make bench-parts: the parts on their own, with criterion.
# make fuzz: each fuzz target for a while (TARGET=headers SECONDS=60 for one).
export CARGO_TARGET_DIR ?= $(HOME)/.cache/tapedeck/target

SIZE ?= full
TARGET ?= all
SECONDS ?= 600

.PHONY: demo test test-sql bench bench-parts fuzz deps lint

demo: deps
	cargo build --release --locked
	$(CARGO_TARGET_DIR)/release/tapedeck demo

test: deps
	tools/test-deps.sh
	node --test web/test/
	tools/test.sh

test-sql: deps
	tools/test-sql.sh $(WHEN)

bench: deps
	tools/bench-deps.sh
	cargo build --release --locked
	benches/side_by_side/run.py --tapedeck $(CARGO_TARGET_DIR)/release/tapedeck --size $(SIZE) $(if $(filter small,$(SIZE)),--rounds 1 --live-seconds 4 --dry)

bench-parts: deps
	cargo bench --locked --bench '*'

fuzz: deps
	tools/fuzz.sh $(TARGET) $(SECONDS)

deps:
	tools/deps.sh

lint:
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo check --no-default-features --locked
	cp Cargo.lock fuzz/Cargo.lock
	cargo check --manifest-path fuzz/Cargo.toml --bins
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
