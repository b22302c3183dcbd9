# `make demo` and `make test` do their own set-up; everything else is in docs/HACKING.md.
.DEFAULT_GOAL := help
.PHONY: help setup service deps build demo test check sim lab bench soak clean

# The Node.js that the project pins, and its tools.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: Debian packages, npm packages; build; check the kernel (root)
	@scripts/setup.sh

service: ## systemd's units for Weft in this directory, started now and at each boot (root)
	@scripts/install-units.sh

deps:
	@scripts/setup.sh deps

build: deps ## compile to dist/
	@npm run -s build

demo: setup ## three hosts form a cluster, publish a service, and every host answers (root)
	@bin/weft demo

test: setup ## everything: format, lint, types, unit tests, kernel tests, real hosts (root)
	@npm run -s lint
	@npm run -s types
	@node test/run.ts unit sim netns e2e compat

check: deps ## what needs no root: format, lint, types, unit tests
	@npm run -s check

sim: deps ## whole clusters on a simulated network, thousands of seeds; SEED=17 replays one
	@SIM_FACTOR=$${SIM_FACTOR:-10} npm run -s sim

lab: setup ## three hosts to play with, until Ctrl-C (root)
	@node src/lab/main.ts

bench: ## the packet path beside its limits and rivals, scale, control: make bench PART='paths control' BENCH=--quick (root)
	@scripts/setup.sh bench
	@npm run -s bench -- $(foreach part,$(PART),--only $(part)) $(BENCH)

soak: setup ## operations under load, and what clients lost: make soak SOAK='--minutes 10 --seed 7' (root)
	@node --disable-warning=ExperimentalWarning test/soak/main.ts $(SOAK)

clean: ## remove what was built here
	rm -rf dist .weft-lab
