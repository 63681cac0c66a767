# make run    builds and replays the bundled programs on a cluster of this machine
# make test   everything that must hold: formatting, vet, the pinned linter, all tests, under the race detector where there are goroutines
# make reproduce  the figures of the LegoOS paper beside the published ones
# make studies  the plots and tables of docs/studies.md into the folder STUDIES
# make bench  the figures of speed, misses beside their floor of the same run (never a test)
# make scale 2 000 simulated components with 10 000 processes: their memory and processor time
# make chaos  200 random faults on clusters of real processes, whose runs are recorded: nothing may be lost
# make matrix  every failure of real components in all combinations of the table (docs/failures.md)
# make fuzz   every fuzz target for FUZZTIME
# make dashboard  builds the dashboard's page from its sources, which needs Node; make dashboard-test looks at it in a headless Chromium (docs/dashboard.md)
# make canaries  faults put into cores on purpose, each of which worlds from seeds must catch (docs/fuzz.md)
# make fuzz-smoke  worlds from seeds, one after the other, for half a minute (docs/fuzz.md); part of make test
GO       ?= go
BIN      := bin/splitkernel
COMMIT   := $(shell c=$$(git rev-parse --short=12 HEAD 2>/dev/null) || { echo unknown; exit; }; git diff --quiet HEAD 2>/dev/null && echo $$c || echo $$c+changes)
LDFLAGS  := -X splitkernel/sim/cli.Commit=$(COMMIT)
# Packages at a time: the machine that this must pass on has two cores, and several packages start processes of their own and wait for them.
TESTP    ?= 2
TIMEOUT  ?= 20m
FUZZTIME ?= 10s
FUZZMINUTES ?= 0.5
STUDIES  ?= runs/studies
FAULTS   ?= 200
SEED     ?= 1
BENCH    ?= .
# Pure cores and the virtual world in which they live: they and their tests have no goroutine, so the race detector, which slows them
# three to ten times, has nothing to see there (sim/arch holds this list true). All other packages run under it.
CORES    := \
	gmanagers/admission/... gmanagers/apart gmanagers/balance gmanagers/events gmanagers/gmm gmanagers/gpm gmanagers/gsm gmanagers/internal/codec \
	gmanagers/internal/dedup gmanagers/internal/statetest gmanagers/lost gmanagers/membership gmanagers/movelist gmanagers/moves gmanagers/placement \
	gmanagers/redundancy gmanagers/repair gmanagers/restart gmanagers/weigh \
	mcomponent/buffercache mcomponent/cachemove mcomponent/erasure mcomponent/migrate mcomponent/pagestore mcomponent/pairindex mcomponent/recovery \
	mcomponent/replica mcomponent/tapes mcomponent/vregion \
	netlayer/given netlayer/heat netlayer/link netlayer/session netlayer/tape netlayer/taped \
	pcomponent/blockio pcomponent/fault pcomponent/handover pcomponent/policy \
	scomponent/device scomponent/iosched scomponent/migrate scomponent/replica scomponent/volume \
	sim/faults sim/fifo sim/generate/... sim/hardware/... sim/mrc/stack sim/study/cost sim/study/locality sim/study/mttf sim/study/packing sim/tasks sim/units sim/vcluster sim/vtime
# Exactness over all rows of the oracles and through live clusters, whose processes are built without the race detector anyway:
# number crunching in one goroutine, which under the detector is left out or cut short. And failures of real components, when nothing else runs beside.
EXACT    ?= $(ALONE)|Oracle|Pinned|TestBundled$$|TestBundledMaps|AgainstModel|Belady|AcksDoNotMatter|NothingGoesWrong|VirtualR|TestLaw2|AzurePacking
# What takes longest begins first, so that it does not run alone in the end.
LONG     := sim/replay sim/cli gmanagers
# Tests of clusters of real processes. Those are built without the race detector, and what a test's own process does (the launcher, the driver of a
# run, the managers' client) is watched in sim/launcher, sim/cli, sim/replay and gmanagers/client. So they run without it, and
# before the others: two of them at a time are all that two cores bear. Those that want the machine for themselves are in EXACT.
LIVE     := sim/e2e
ALONE    := KillMatrix|KillMemoryAndProcess|MemorySurvivesKill9|TestExactMisses
# A program under the race detector waits a second at its end for goroutines that still run. Packages with goroutines are checked to leave none.
RACE     := GORACE=atexit_sleep_ms=0
# Without the paths of this checkout in what is built, another checkout of the same tree finds it in the build cache.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath)
# lint, which comes first, has vetted all packages.
NOVET    := -vet=off
# Given to go test, as in TESTFLAGS=-v.
TESTFLAGS ?=

.PHONY: dashboard dashboard-test run reproduce studies build test raced live lint bench scale chaos matrix fuzz fuzz-smoke canaries clean

run: build
	$(BIN) run

reproduce: build
	$(BIN) reproduce legoos

# Every command of docs/studies.md that makes a plot or a table there, from bundled and generated data.
ARRIVALS := generator:cluster?tasks=20000&gap=20&seed=1
studies: build
	mkdir -p $(STUDIES)
	$(BIN) study packing '$(ARRIVALS)' --server 96,384GiB,8 --need --out $(STUDIES)/packing > $(STUDIES)/packing.txt && cat $(STUDIES)/packing.txt
	$(BIN) study cost --packing $(STUDIES)/packing/result.json --out $(STUDIES)/cost > $(STUDIES)/cost.txt && cat $(STUDIES)/cost.txt
	$(BIN) study mttf --out $(STUDIES)/mttf > $(STUDIES)/mttf.txt && cat $(STUDIES)/mttf.txt
	$(BIN) study locality configs/traces/sort.skt configs/traces/sqlite.skt configs/traces/wordcount.skt --out $(STUDIES)/locality > $(STUDIES)/locality.txt && cat $(STUDIES)/locality.txt

build:
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN) .

test: lint
	$(MAKE) --no-print-directory live
	$(MAKE) --no-print-directory raced
	$(GO) test $(NOVET) -p $(TESTP) -timeout $(TIMEOUT) $(TESTFLAGS) $(CORES:%=./%)
	$(GO) test $(NOVET) -run '$(EXACT)' -p $(TESTP) -timeout $(TIMEOUT) $(TESTFLAGS) ./pcomponent/excache ./sim/cluster ./sim/trace ./sim/mrc ./sim/replay ./sim/reproduce ./sim/fuzz ./sim/e2e
	$(GO) test -tags canary -run Canaries -timeout $(TIMEOUT) $(TESTFLAGS) ./sim/fuzz
	$(MAKE) --no-print-directory fuzz-smoke

raced:
	$(RACE) $(GO) test $(NOVET) -race -p $(TESTP) -timeout $(TIMEOUT) $(TESTFLAGS) $(LONG:%=./%) $$($(GO) list ./... | grep -vxF "$$($(GO) list $(CORES:%=./%) $(LONG:%=./%) $(LIVE:%=./%))")

live:
	$(GO) test $(NOVET) -skip '$(ALONE)' -timeout $(TIMEOUT) $(TESTFLAGS) $(LIVE:%=./%)

lint:
	@bad=$$(find . -name '*.go' -not -path './.git/*' | xargs gofmt -l); \
	if [ -n "$$bad" ]; then echo "not formatted, run gofmt -w on:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# One package at a time, so that no figure is taken while another runs.
bench:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 -timeout 30m ./...

scale:
	$(GO) test -run '^$$' -bench Thousand -benchtime 1x -timeout 30m ./sim/replay

chaos: build
	$(BIN) chaos programs copies checkpoints --cluster redundant --faults $(FAULTS) --seed $(SEED)

matrix:
	MATRIX=1 $(GO) test -run KillMatrix -v -timeout 30m ./sim/e2e

fuzz:
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

dashboard:
	cd sim/dashboard/web && npm ci --ignore-scripts && npm run build

dashboard-test:
	$(GO) test -run 'Dashboard|ThePageIsFresh' -v ./sim/e2e
	$(GO) test ./sim/dashboard

fuzz-smoke: build
	$(BIN) fuzz --minutes $(FUZZMINUTES)

canaries:
	$(GO) test -tags canary -run Canaries -v -timeout 2h ./sim/fuzz

clean:
	rm -rf bin
