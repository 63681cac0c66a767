# make run    builds and replays the bundled programs on a cluster of this machine
# make test   everything that must hold: formatting, vet, the pinned linter, all tests under the race detector
# make reproduce  the figures of the LegoOS paper beside the published ones
# make bench  the figures of speed, misses beside their floor of the same run (never a test)
# make fuzz   every fuzz target for FUZZTIME
GO       ?= go
BIN      := bin/splitkernel
COMMIT   := $(shell c=$$(git rev-parse --short=12 HEAD 2>/dev/null) || { echo unknown; exit; }; git diff --quiet HEAD 2>/dev/null && echo $$c || echo $$c+changes)
LDFLAGS  := -X splitkernel/sim/cli.Commit=$(COMMIT)
# Two packages at a time: several start processes of their own, and the machine that this must pass on has two cores.
TESTP    ?= 2
TIMEOUT  ?= 8m
FUZZTIME ?= 10s
BENCH    ?= .
# Exactness over all rows of the oracles: the race detector slows these ten times, so under it they run the short rows only.
EXACT    ?= Oracle|Pinned
# Given to go test, as in TESTFLAGS=-v.
TESTFLAGS ?=

.PHONY: run reproduce build test lint bench fuzz clean

run: build
	$(BIN) run

reproduce: build
	$(BIN) reproduce legoos

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) .

test: lint
	$(GO) test -race -p $(TESTP) -timeout $(TIMEOUT) $(TESTFLAGS) ./...
	$(GO) test -run '$(EXACT)' -timeout $(TIMEOUT) $(TESTFLAGS) ./pcomponent/excache ./sim/trace ./sim/replay ./sim/reproduce

lint:
	@bad=$$(find . -name '*.go' -not -path './.git/*' | xargs gofmt -l); \
	if [ -n "$$bad" ]; then echo "not formatted, run gofmt -w on:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# One package at a time, so that no figure is taken while another runs.
bench:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 -timeout 30m ./...

fuzz:
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

clean:
	rm -rf bin
