# Faultline. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Where results go. Every run gets a folder of its own below.
export ARTIFACTS ?= $(CURDIR)/artifacts

FAULTLINE := go run ./suites/faultline
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Packages whose tests start containers. They share the engine, so one at a time.
LIVE_PACKAGES := ./clusters/engine/... ./clusters/images/... ./clusters/kind/... ./fault/... ./suites/faultline ./suites/gameday

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: chaos
chaos: ## Bring up clusters, break and heal them, judge every claim (an hour to an hour and a half on two cores, warm)
	@$(FAULTLINE) chaos

.PHONY: chaos-plan
chaos-plan: ## Show what make chaos would run, where and for how long; change nothing
	@$(FAULTLINE) plan

.PHONY: chaos-recover
chaos-recover: ## Undo every fault that a killed run left behind
	@$(FAULTLINE) recover

.PHONY: nightly
nightly: ## Like make chaos, with Kubernetes' default settings, every tier, and the gate: FAULTLINE_POLICY decides
	@$(FAULTLINE) nightly

.PHONY: gameday-consent
gameday-consent: ## Print what the owner of a cluster applies to allow a game day on it: FAULTLINE_KUBECONFIG=file FAULTLINE_CONTEXT=name
	@$(FAULTLINE) gameday-consent

.PHONY: gameday-plan
gameday-plan: ## Plan a game day on an existing cluster and change nothing: FAULTLINE_KUBECONFIG=file FAULTLINE_CONTEXT=name
	@$(FAULTLINE) gameday-plan

.PHONY: gameday
gameday: ## Carry a plan out, asking before each experiment: FAULTLINE_PLAN=file, and what gameday-plan was told
	@$(FAULTLINE) gameday

.PHONY: report
report: ## Render and judge the newest run again from its record, or merge shards: RECORDS="a/record.json b/record.json"; COMPARE=other/record.json puts another run beside it
	@FAULTLINE_RECORDS="$(or $(RECORDS),$(FAULTLINE_RECORDS))" FAULTLINE_COMPARE="$(or $(COMPARE),$(FAULTLINE_COMPARE))" $(FAULTLINE) report

.PHONY: topologies
topologies: ## List every documented layout: hosts, single points of failure, memory
	@$(FAULTLINE) topologies

.PHONY: faults
faults: ## List every fault: targets, needs, undo, proof
	@$(FAULTLINE) faults

.PHONY: up
up: ## Create a cluster to look at: make up TOPOLOGY=three-host-stacked
	@$(FAULTLINE) up

.PHONY: down
down: ## End the cluster of make up
	@$(FAULTLINE) down

.PHONY: bench-topologies
bench-topologies: ## Measure how every layout comes up, beside plain kind (an hour; TOPOLOGIES="a b" for some)
	@$(FAULTLINE) bench

.PHONY: bench-faults
bench-faults: ## Measure how long faults take from the call to the proof, beside the bare engine (half an hour; FAULTS="kill freeze" for some)
	@$(FAULTLINE) bench-faults

.PHONY: doctor
doctor: ## Check this machine, one line each, with the command that mends it
	@$(FAULTLINE) doctor

.PHONY: images
images: ## Pull the node, load-balancer and workload images, or build them offline
	@$(FAULTLINE) images

.PHONY: test
test: format vet lint test-unit test-live ## Format, vet, lint, unit tests, and tests on real clusters

.PHONY: format
format: ## Fail when a file is not formatted
	@files=$$(gofmt -l clusters fault reports suites); \
	if [ -n "$$files" ]; then echo "not formatted, run: gofmt -w $$files"; exit 1; fi

.PHONY: vet
vet: ## Run go vet
	go vet ./...

.PHONY: lint
lint: ## Run golangci-lint, with the import rules
	$(GOLANGCI_LINT) run ./...

.PHONY: test-unit
test-unit: ## Unit tests with the race detector; they need no engine
	@$(FAULTLINE) compiler
	go test -race ./clusters/... ./fault/... ./reports/... ./suites/...

.PHONY: test-live
test-live: ## Contract tests and smoke specs on real clusters
	@$(FAULTLINE) images
	FAULTLINE_LIVE_TESTS=1 go test -count=1 -p=1 -timeout=40m $(LIVE_PACKAGES)
	@FAULTLINE_TIERS=smoke $(FAULTLINE) chaos

.PHONY: test-full
test-full: ## Contract tests with those that take long: every fault and component, more layouts, every family (two hours)
	@$(FAULTLINE) images
	FAULTLINE_CONTRACT=full FAULTLINE_LIVE_TESTS=1 go test -count=1 -p=1 -timeout=90m $(LIVE_PACKAGES)

.PHONY: clean
clean: ## Remove every container, network and private file of every run
	@$(FAULTLINE) clean
