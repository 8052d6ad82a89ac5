# Seawall: every command that a user or a developer needs. `make` alone lists them.

CARGO   ?= cargo
SEAWALL := $(or $(CARGO_TARGET_DIR),target)/release/seawall
EDGE    ?= http://127.0.0.1:8081
CHANNEL ?= demo
URL     ?= $(EDGE)/live/$(CHANNEL)/main.m3u8
# Where the audience of a surge is scraped, as dashboards/prometheus/prometheus.yml has it.
METRICS ?= 127.0.0.1:9070
PROMETHEUS ?= 127.0.0.1:9090

.DEFAULT_GOAL := help
SCENARIOS := $(basename $(notdir $(wildcard scenarios/*.toml)))

.PHONY: help demo run top surge-celebrity $(SCENARIOS:%=surge-%) simulate simulate-all $(SCENARIOS:%=simulate-%) watch-vlc watch-ffplay prometheus grafana check test test-hard test-long bench bench-simulation soak deps audit clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'
	@echo "  make simulate-NAME    play another scenario in virtual time"
	@echo "  make surge-NAME       play another scenario: $(SCENARIOS) (AB=KNOB=A,B: twice)"

demo: build ## start everything, play the celebrity surge without the miss queue and with it, print the report
	@$(SEAWALL) up --surge celebrity-live --report reports/demo --metrics $(METRICS)

run: build ## a live stream behind three edges, until Ctrl-C
	@$(SEAWALL) up

top: build ## watch what `make run` has started, in a terminal (q quits)
	@$(SEAWALL) top

# With TARGET="http://127.0.0.1:8081 ..." at edges that `make run` has started; else at a cluster of its own.
surge-celebrity: build ## play the celebrity surge in each variant (MISS_QUEUE=off: one run without the queue; TARGET=URLs: at running edges)
	@$(SEAWALL) surge celebrity-live $(if $(MISS_QUEUE),--miss-queue $(MISS_QUEUE),$(if $(TARGET),,--compare)) $(if $(SEED),--seed $(SEED)) \
		--metrics $(METRICS) $(foreach url,$(TARGET),--target $(url)) $(if $(TARGET),--origin-admin $(or $(ORIGIN_ADMIN),http://127.0.0.1:9000))

# MISS_QUEUE=, SEED= and AB=KNOB=A,B as above; each at a cluster of its own, with a report under reports/.
$(SCENARIOS:%=surge-%): surge-%: build
	@$(SEAWALL) surge $* --report reports/$* $(if $(MISS_QUEUE),--miss-queue $(MISS_QUEUE)) $(if $(SEED),--seed $(SEED)) $(if $(AB),--ab $(AB))

simulate: build ## play the celebrity surge at its published size in virtual time, with the queue and without it
	@$(SEAWALL) simulate celebrity-live --ab miss-queue=flights,off --report reports/simulate

# SEED= and VIEWERS= as above.
$(SCENARIOS:%=simulate-%): simulate-%: build
	@$(SEAWALL) simulate $* --report reports/simulate-$* $(if $(SEED),--seed $(SEED)) $(if $(VIEWERS),--viewers $(VIEWERS))

# A scenario whose thresholds do not hold (exit code 4) stops nothing.
simulate-all: build ## play every scenario at its published size, one after another, and print a table of them (half an hour)
	@for name in $(SCENARIOS); do $(SEAWALL) simulate $$name --report reports/simulate-$$name || [ $$? = 4 ] || exit 1; done
	@scripts/published $(SCENARIOS:%=reports/simulate-%)

watch-vlc: ## open VLC at the first edge (URL=... for another stream)
	@command -v vlc >/dev/null || { echo "VLC is not installed: apt-get install vlc"; exit 1; }
	vlc $(URL)

watch-ffplay: ## open ffplay at the first edge (URL=... for another stream)
	@command -v ffplay >/dev/null || { echo "ffplay is not installed: apt-get install ffmpeg"; exit 1; }
	ffplay -hide_banner -loglevel warning -autoexit $(URL)

# Its data goes with `make clean`. Let one Prometheus scrape an edge at a time.
prometheus: ## Prometheus against what `make run` has started, until Ctrl-C (PROMETHEUS=ADDR: elsewhere)
	@command -v prometheus >/dev/null || { echo "Prometheus is not installed: apt-get install prometheus"; exit 1; }
	@mkdir -p target/prometheus
	@echo "Prometheus: http://$(PROMETHEUS)/graph?g0.expr=seawall:origin_excess:ratio1m&g0.tab=0   alerts: http://$(PROMETHEUS)/alerts"
	@exec prometheus --config.file=dashboards/prometheus/prometheus.yml --storage.tsdb.path=target/prometheus \
		--storage.tsdb.retention.time=1d --web.listen-address=$(PROMETHEUS) --log.level=warn

grafana: ## Grafana with the dashboards, and a Prometheus of its own, in containers, until Ctrl-C
	@docker compose version >/dev/null 2>&1 || { echo "This needs Docker with its compose plugin: https://docs.docker.com/compose/install/"; \
		echo "Without it: make prometheus, and import dashboards/grafana/*.json into a Grafana of yours"; exit 1; }
	@echo "Grafana: http://127.0.0.1:3000   Prometheus: http://127.0.0.1:9090"
	@docker compose -f dashboards/compose.yaml up

check: ## formatting, lints, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

test: deps ## all tests but the long ones; what fails is run once more, alone, and named as flaky if it passes then
	@CARGO="$(CARGO)" scripts/test

test-hard: deps ## the tests over sockets beside two busy loops, ten times (TIMES=)
	@CARGO="$(CARGO)" scripts/test --hard $(or $(TIMES),10)

test-long: ## what takes longer: real VLC, hls.js in Chromium, more seeds
	@scripts/deps --long
	$(CARGO) test --locked --test it -- --ignored --test-threads 1

bench: ## Seawall beside nginx and Redis, as ratios in one run; what a decision, a segment, a viewer, a like and an event of virtual time cost
	@scripts/deps --bench
	$(CARGO) bench --locked --bench ratios
	$(CARGO) bench --locked --bench audience
	$(CARGO) bench --locked --bench decision
	$(CARGO) bench --locked --bench media
	$(CARGO) bench --locked --bench likes
	$(CARGO) bench --locked --bench simulation

bench-simulation: ## what virtual time costs, with 50 million viewers and with 10 million players (an hour, 16 GB of memory)
	$(CARGO) bench --locked --bench simulation -- --big

soak: ## twenty minutes of viewers and faults: memory flat, no failure outside of the faults (SECONDS=, SEED=)
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
