# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets. Nothing here is needed to use a released
# workshopctl; it builds, tests and demonstrates a checkout.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# What a machine must have beside Go: to run the sandbox, to build its
# images, and to look at the pages with a browser.
PACKAGES_SANDBOX := buildah ca-certificates conntrack containerd containernetworking-plugins etcd-server haproxy iproute2 iptables mmdebstrap procps runc
PACKAGES_TEST    := busybox-static chromium libnss3-tools python3-venv
GOLANGCI_LINT_VERSION := v2.15.0

VERSION ?= $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null || echo v0.1.0-dev)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
DATE    ?= $(shell git log -1 --format=%cI 2>/dev/null)
# Published gateway image of this version; a checkout has none of its own.
GATEWAY_IMAGE ?=
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE) -X main.gatewayImage=$(GATEWAY_IMAGE)
# The same for building, testing and linting, so that each package is compiled
# once: static programs without paths of the machine that built them.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(shell go env GOFLAGS) -trimpath)
# `make push-images REGISTRY=registry.example.com/team` publishes there.
REGISTRY ?=
# Build tags of the slower tests, and how many packages run at once: two, so
# that tests which watch a cluster aren't starved on a small machine.
GOTEST := go test -p 2
# Keep the sandbox of the tests after they ran: make e2e KEEP=1
KEEP ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs into bin/
	go build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/workshopctl
	go build -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/workshop-terminal
	cd sandbox && go build -ldflags '-s -w' -o ../bin/ ./cmd/workshop-sandbox
	ln -sf workshopctl bin/oc-workshop
	ln -sf workshopctl bin/kubectl-workshop
	bin/workshopctl completion kubectl > bin/kubectl_complete-workshop
	bin/workshopctl completion oc > bin/oc_complete-workshop
	chmod +x bin/kubectl_complete-workshop bin/oc_complete-workshop

# dpkg-query fails if it has never heard of one of them, as on a fresh machine.
.PHONY: packages
packages: # Install the Debian packages that the sandbox and the tests need
	@missing=$$({ dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $(PACKAGES_SANDBOX) $(PACKAGES_TEST) 2>/dev/null || true; } | awk '$$2 == "installed" {print $$1}' | sort | comm -13 - <(printf '%s\n' $(PACKAGES_SANDBOX) $(PACKAGES_TEST) | sort)); \
	if [ -n "$$missing" ]; then \
	  [ "$$(id -u)" = 0 ] || { echo "These Debian packages are missing: "$$missing". Run as root, or: sudo apt-get install --no-install-recommends "$$missing >&2; exit 1; }; \
	  echo "Installing "$$missing; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
	fi

.PHONY: test
test: packages build unit integration e2e test-openshift ## Run the tests (installs what it needs; root)

.PHONY: test-openshift
test-openshift: packages build integration-openshift e2e-openshift ## Run the tests on OpenShift's API, login and routes (root)

.PHONY: unit
unit: ## Tests without a cluster
	$(GOTEST) ./...
	cd sandbox && $(GOTEST) ./...
	cd sandbox/registry && $(GOTEST) ./...

# The packages that have such tests; `go test ./...` with the tag would run all
# others once more.
INTEGRATION = $(shell grep -rl --include='*_test.go' '^//go:build integration$$' cmd pkg | xargs -n1 dirname | sort -u | sed 's,^,./,')
SANDBOX_INTEGRATION = $(shell cd sandbox && grep -rl --include='*_test.go' '^//go:build integration$$' . | xargs -n1 dirname | sort -u)
OPENSHIFT_INTEGRATION = $(shell grep -rl --include='*_test.go' '^//go:build integration && openshift$$' cmd pkg | xargs -r -n1 dirname | sort -u | sed 's,^,./,')

.PHONY: integration
integration: packages build ## Tests against a real API server and the real JupyterHub (root)
	KEEP=$(KEEP) .ci/with-sandbox integration --control-plane -- $(MAKE) --no-print-directory integration-tests

.PHONY: integration-tests
integration-tests: # What `make integration` runs beside its sandbox
	$(GOTEST) -count=1 -timeout 20m -tags integration $(INTEGRATION)
	cd sandbox && $(GOTEST) -count=1 -timeout 20m -tags integration $(SANDBOX_INTEGRATION)

.PHONY: integration-openshift
integration-openshift: packages build ## Tests against OpenShift's API and login (root)
	KEEP=$(KEEP) .ci/with-sandbox integration-openshift --control-plane --openshift -- $(MAKE) --no-print-directory integration-openshift-tests

# OpenShift's modules are tested here and not by `make unit`, because they are
# compiled for this sandbox anyway, and without vet, which would read all of
# Kubernetes for their few files.
.PHONY: integration-openshift-tests
integration-openshift-tests: # What `make integration-openshift` runs beside its sandbox
	for m in kube-apiserver oauth-server controller-manager; do (cd sandbox/openshift/$$m && $(GOTEST) -vet=off .); done
	$(if $(OPENSHIFT_INTEGRATION),$(GOTEST) -count=1 -timeout 20m -tags 'integration openshift' -run OpenShift $(OPENSHIFT_INTEGRATION))
	cd sandbox && $(GOTEST) -count=1 -timeout 20m -tags 'integration openshift' -run OpenShift ./test

.PHONY: e2e
e2e: packages build ## Tests on a whole cluster with a real browser (root)
	KEEP=$(KEEP) .ci/with-sandbox e2e -- $(GOTEST) -count=1 -timeout 45m -parallel 4 -tags e2e -skip OpenShift -v ./test/e2e/...

.PHONY: soak
soak: packages build ## Thirty sessions that type and print for ten minutes; none may grow (root)
	KEEP=$(KEEP) .ci/with-sandbox soak -- $(GOTEST) -count=1 -timeout 30m -tags 'e2e soak' -run TestSoak -v ./test/e2e/...

.PHONY: scale
scale: packages build ## Start classes of 200 on simulated nodes, once faster than the hub takes them (root)
	KEEP=$(KEEP) .ci/with-sandbox scale --control-plane --simulated-nodes 10 -- $(GOTEST) -count=1 -timeout 60m -tags scale -run TestStartClass -v ./test/scale

.PHONY: e2e-openshift
e2e-openshift: packages build ## The same on OpenShift's API, login and routes (root)
	KEEP=$(KEEP) .ci/with-sandbox openshift --openshift -- $(GOTEST) -count=1 -timeout 40m -tags e2e -run 'OpenShift|Plugin' -v ./test/e2e/...

.PHONY: bench
bench: ## Benchmarks; figures are ratios against a peer of the same run
	go test -run '^$$' -bench . -benchmem ./...

# The peer, at the versions of its requirements.txt, outside of the checkout.
TERMINADO := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/workshopctl-test/terminado-$(firstword $(shell cksum <test/terminalbench/requirements.txt))

.PHONY: bench-terminal
bench-terminal: $(TERMINADO)/complete ## The terminal against terminado and a bare pty: make bench-terminal ARGS='-rounds 9'
	go build -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/workshop-terminal
	go run ./test/terminalbench -gateway bin/workshop-terminal -python $(TERMINADO)/bin/python $(ARGS)

.PHONY: bench-sessions
bench-sessions: packages build bin/bench/kubectl ## The list of 2,000 simulated sessions against kubectl's (root): make bench-sessions ARGS='-rounds 15'
	KEEP=$(KEEP) .ci/with-sandbox scale --control-plane --simulated-nodes 10 -- \
	  env WORKSHOPCTL_TEST_KUBECTL=$(CURDIR)/bin/bench/kubectl go test -count=1 -timeout 60m -tags scale -run TestBenchSessions -v ./test/scale $(ARGS)

# A kubectl by itself, as people have it: the sandbox's own is one program with
# all of Kubernetes.
bin/bench/kubectl: sandbox/kube/go.mod
	cd sandbox/kube && go build -ldflags '-s -w' -o $(CURDIR)/bin/bench/ k8s.io/kubernetes/cmd/kubectl

$(TERMINADO)/complete: test/terminalbench/requirements.txt
	python3 -m venv --clear $(TERMINADO)
	$(TERMINADO)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	touch $@

.PHONY: lint
lint: bin/golangci-lint-$(GOLANGCI_LINT_VERSION) ## Check the code's rules: style, import arrows, formatting
	bin/golangci-lint-$(GOLANGCI_LINT_VERSION) run ./...
	cd sandbox && ../bin/golangci-lint-$(GOLANGCI_LINT_VERSION) run --config ../.golangci.yml ./...

bin/golangci-lint-$(GOLANGCI_LINT_VERSION):
	@echo "Building golangci-lint $(GOLANGCI_LINT_VERSION) (once; some minutes)"
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv bin/golangci-lint $@

.PHONY: demo
demo: packages build ## A workshop on this machine that a browser can open (root)
	@bin/workshop-sandbox up --name demo
	@eval "$$(bin/workshop-sandbox env --name demo)"; bin/workshopctl deploy; \
	printf '\n%s\n%s\n' "Your browser will warn of the certificate of this sandbox: go on, or import its authority, $$WORKSHOP_SANDBOX_CA" "Stop it with: make demo-down"

.PHONY: demo-down
demo-down: ## Stop the demo and delete what it made
	@bin/workshop-sandbox down --name demo

.PHONY: images
images: build ## Build the images under images/ with buildah (root)
	images/build $(REGISTRY)

.PHONY: push-images
push-images: images ## Push them: make push-images REGISTRY=registry.example.com/team
	images/push $(REGISTRY)

.PHONY: completions
completions: # Write into completions/ what a release's archives have of them
	mkdir -p completions
	go build -o completions/.workshopctl ./cmd/workshopctl
	for shell in bash zsh fish powershell; do completions/.workshopctl completion $$shell > completions/workshopctl.$$shell; done
	for host in kubectl oc; do completions/.workshopctl completion $$host > completions/$${host}_complete-workshop; done
	chmod +x completions/*_complete-workshop
	rm completions/.workshopctl

.PHONY: docs
docs: ## Write docs/reference from the commands
	go run ./docs/gen
