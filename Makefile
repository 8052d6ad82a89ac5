# Seawall: every command that a user or a developer needs. `make` alone lists them.

CARGO   ?= cargo
SEAWALL := target/release/seawall
EDGE    ?= http://127.0.0.1:8081
CHANNEL ?= demo
URL     ?= $(EDGE)/live/$(CHANNEL)/main.m3u8

.DEFAULT_GOAL := help
SCENARIOS := celebrity-live kickoff title-fight break-and-return pop-loss origin-brownout playlist-herd many-streams \
	reconnect-storm early-404 rolling-restart

.PHONY: help demo run surge-celebrity $(SCENARIOS:%=surge-%) watch-vlc watch-ffplay check test test-long bench soak deps audit clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'
	@echo "  make surge-NAME       play another scenario: $(SCENARIOS) (AB=KNOB=A,B: twice)"

demo: build ## start everything, play the celebrity surge with the miss queue and without, print the report
	@$(SEAWALL) up --surge celebrity-live --report reports/demo

run: build ## a live stream behind three edges, until Ctrl-C
	@$(SEAWALL) up

# With TARGET="http://127.0.0.1:8081 ..." at edges that `make run` has started; else at a cluster of its own.
surge-celebrity: build ## play the celebrity surge (MISS_QUEUE=off: without the queue; TARGET=URLs: at running edges)
	@$(SEAWALL) surge celebrity-live $(if $(MISS_QUEUE),--miss-queue $(MISS_QUEUE)) $(if $(SEED),--seed $(SEED)) \
		$(foreach url,$(TARGET),--target $(url)) $(if $(TARGET),--origin-admin $(or $(ORIGIN_ADMIN),http://127.0.0.1:9000))

# MISS_QUEUE=, SEED= and AB=KNOB=A,B as above; each at a cluster of its own, with a report under reports/.
$(SCENARIOS:%=surge-%): surge-%: build
	@$(SEAWALL) surge $* --report reports/$* $(if $(MISS_QUEUE),--miss-queue $(MISS_QUEUE)) $(if $(SEED),--seed $(SEED)) $(if $(AB),--ab $(AB))

watch-vlc: ## open VLC at the first edge (URL=... for another stream)
	@command -v vlc >/dev/null || { echo "VLC is not installed: apt-get install vlc"; exit 1; }
	vlc $(URL)

watch-ffplay: ## open ffplay at the first edge (URL=... for another stream)
	@command -v ffplay >/dev/null || { echo "ffplay is not installed: apt-get install ffmpeg"; exit 1; }
	ffplay -hide_banner -loglevel warning -autoexit $(URL)

check: ## formatting, lints, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

test: deps ## all tests but the long ones
	$(CARGO) test --locked

test-long: ## what takes longer: real VLC, hls.js in Chromium, more seeds
	@scripts/deps --long
	$(CARGO) test --locked --test it -- --ignored --test-threads 1

bench: deps ## Seawall beside nginx, as ratios in one run; what a decision and a segment cost
	$(CARGO) bench --locked --bench ratios
	$(CARGO) bench --locked --bench audience
	$(CARGO) bench --locked --bench decision
	$(CARGO) bench --locked --bench media

soak: ## twenty minutes of viewers and trouble: memory flat, no failure outside of the trouble (SECONDS=, SEED=)
	$(CARGO) bench --locked --bench soak -- $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

deps: ## install the programs that tests and benchmarks need (Debian, as root; elsewhere it says what is missing)
	@scripts/deps

audit: ## licences, sources and bans of every dependency
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is not installed: cargo install --locked cargo-deny"; exit 1; }
	$(CARGO) deny check bans licenses sources

clean: ## remove what was built, and the live window on disk
	$(CARGO) clean
	find segments -mindepth 1 -maxdepth 1 -type d ! -name .likes -exec rm -rf {} +

.PHONY: build
build:
	@$(CARGO) build --locked --release
