# GNU make. `make` alone lists the targets.

# Arguments of `hubbub` for `make run`, and of `cargo test` for `make test`.
ARGS ?=
# The tests that run clusters and break them.
CHECKER := chaos::it_never_loses
# Runs of `make chaos`; a number SEED repeats that one.
SEED ?=
SEEDS ?= $(if $(SEED),1,200)
FAIL_FAST ?=
# On a Redis Cluster, not on one Redis.
CLUSTER ?=
# Anything: `make bench` is as short as makes sense.
QUICK ?=
# How long `make fuzz` takes.
MINUTES ?= 10
# Cases of `make autobahn`; all if none are given.
CASES ?=
# Nodes of `make dev`.
NODES ?= 4
# The load of `make k6`.
SCRIPT ?= ramp
# What a node is built with for production, and so for measurements.
RELEASE := --release --features hubbub/jemalloc
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help run dev build test test-long chaos bench k6 fuzz autobahn socketio-contract lint setup

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: ## install what is missing, build, start a node at http://127.0.0.1:8080
	@scripts/setup run
	cargo build $(RELEASE)
	@exec $(TARGET_DIR)/release/hubbub serve $(ARGS)

dev: ## install what is missing, build, run a cluster behind nginx at http://127.0.0.1:8080: NODES=4
	@scripts/setup dev
	cargo build $(RELEASE)
	@exec $(TARGET_DIR)/release/hubbub dev --nodes $(NODES) $(ARGS)

build: ## build target/release/hubbub
	@scripts/setup build
	cargo build $(RELEASE)

test: ## install what the tests need, run all of them at a bounded size
	@scripts/setup test
ifeq ($(ARGS),)
	cargo test --workspace --features hubbub/failpoints -- --skip $(CHECKER)
# Each benchmark once, unmeasured, so that it does not rot.
	cargo test --features hubbub/failpoints --bench hot_path
# By itself: its clusters are a dozen processes, and beside other tests they have too little time.
	cargo test --workspace --features hubbub/failpoints --test it -- $(CHECKER) --test-threads 1
else
	cargo test --workspace --features hubbub/failpoints $(ARGS)
endif

test-long: ## the same tests, those of random inputs and of races with many more rounds
	@scripts/setup test
	HUBBUB_TEST_LONG=1 PROPTEST_CASES=10000 cargo test --workspace --features hubbub/failpoints $(ARGS)

chaos: ## break a cluster at random and check that nothing is lost: SEEDS=200, SEED=n for one, FAIL_FAST=1, CLUSTER=1 on a Redis Cluster
	@scripts/setup test
	HUBBUB_CHAOS_SEEDS=$(SEEDS) HUBBUB_CHAOS_SEED=$(SEED) FAIL_FAST=$(FAIL_FAST) \
	cargo test --features hubbub/failpoints --test it -- $(CHECKER)$(if $(CLUSTER),_on_a_redis_cluster) --exact --nocapture

bench: ## measure Hubbub beside the floor and other servers, and beside plain statements of its Postgres; QUICK=1
	@scripts/setup run
	@scripts/peers build
	cargo build $(RELEASE) --workspace
	$(TARGET_DIR)/release/hubbub-loadtests bench --out $(TARGET_DIR)/bench $(if $(QUICK),--quick) $(ARGS)

k6: ## people in a browser's manner: SCRIPT=ramp|ramp-long|spike|stress|soak, BASE_URL, USERS=20, DURATION=15s
	@scripts/setup run
	@[ -n "$(BASE_URL)" ] || cargo build $(RELEASE)
	@scripts/k6 run $(SCRIPT)

fuzz: ## feed all decoders with made-up bytes: MINUTES=30 for all targets together
	@scripts/fuzz minutes $(MINUTES)

autobahn: ## run Autobahn's WebSocket suite against /ws/echo; CASES='1.* 12.1.*' for some of it
	@scripts/setup run
	cargo build $(RELEASE)
	@set -f; scripts/autobahn $(TARGET_DIR)/release/hubbub $(CASES)

socketio-contract: ## run a node for the suites of Socket.IO's authors, at http://127.0.0.1:3000
	@scripts/setup run
	cargo build $(RELEASE)
	@HUBBUB__CONFIG=config/socketio-contract.toml exec $(TARGET_DIR)/release/hubbub serve $(ARGS)

lint: ## check format, lints, documentation and advisories
	@scripts/lint

setup: ## install what run, test and bench need, and nothing else
	@scripts/setup test
