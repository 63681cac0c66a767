package e2e

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/report"
	"splitkernel/sim/trace"
)

// hotBase is where the memory of the trace of hot vRegions begins, hotRegions how many of 1 MiB it has.
const (
	hotBase    = 0x10000000
	hotRegions = 8
)

// hotTrace writes a trace that touches all its vRegions and then next to nothing but every second of them.
func hotTrace(t *testing.T, refs int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hot.skt")
	w, err := trace.Create(path, trace.Header{Program: "hot", Source: "synthetic", Granularity: 1, HasMaps: true, HasWrites: true})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const region = 1 << 20
	for r := range uint64(hotRegions) {
		must(w.Event(trace.Event{Kind: trace.Mmap, Addr: hotBase + r*region, Len: region, Anon: true, Writable: true}))
		for page := range uint64(region / wire.PageSize) {
			must(w.Ref(trace.Ref{Addr: hotBase + r*region + page*wire.PageSize, Size: 8, Flags: trace.FlagWrite}))
		}
	}
	for i := range refs {
		r := 2 * rng.Uint64N(hotRegions/2)
		if i%200 == 0 {
			r++ // the cold ones are not quite cold
		}
		ref := trace.Ref{Addr: hotBase + r*region + rng.Uint64N(region/wire.PageSize)*wire.PageSize, Size: 8}
		if rng.IntN(4) == 0 {
			ref.Flags = trace.FlagWrite
		}
		must(w.Ref(ref))
	}
	must(w.Close())
	return path
}

// hotCluster is two mComponents that get the vRegions of a process in turn.
const hotCluster = `name: hot
transport: unix
region_bytes: 1MiB
nodes:
  - {id: g1, role: manager}
  - {id: p1, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: m2, role: mcomponent}
  - {id: s1, role: scomponent}
`

// afterwards is how long a run must last after its last move: some heartbeats, which the report compares with those before.
const afterwards = 2 * time.Second

// TestHotRegionsAreBalanced: every hot vRegion of a process is at one mComponent and every cold one at the other, as many at both,
// so nothing but what each really bears tells which to move. Hot ones move, few, and none back; the report shows that misses
// and flushes lie more evenly afterwards, and events tell which measure and which candidates decided.
func TestHotRegionsAreBalanced(t *testing.T) {
	c := start(t, hotCluster, "manager.gmm_policy=round_robin", "manager.lease_ms=1000", "manager.balance.gmm.settle_ms=1500", "manager.balance.gmm.interval_ms=250",
		"manager.balance.gmm.smoothing_ms=200", "manager.balance.gmm.min_load=200",
		"manager.balance.gmm.high=0.8", "manager.balance.gmm.low=0.7", // so that one move is enough, and time is left to see what it brought
		"manager.balance.homes.auto=false")
	cl := c.asks(t)
	var s *report.Summary
	var moves []movelist.Move
	for refs := 300_000; len(moves) == 0; refs *= 2 {
		if refs > 8_000_000 {
			t.Fatalf("nothing was moved while %d references were replayed", refs/2)
		}
		s = c.run(workload(t, fmt.Sprintf("name: hot\nseed: 1\nvnodes:\n  - {name: hot, trace: %s, excache: {lines: 256, ways: 0}}\n", hotTrace(t, refs))), nil)
		ok(t, s)
		t.Logf("%d references in %.1f s", refs, s.WallSeconds)
		ended := time.Now()
		all, err := cl.Moves(background(t), wire.GMM)
		if err != nil {
			t.Fatal(err)
		}
		moves = nil
		for _, m := range all {
			if m.Req.PID == s.VNodes[0].PID {
				moves = append(moves, m)
				if ended.Sub(time.UnixMilli(m.EndedMS)) < afterwards {
					t.Log("the last move came too late to compare what was before with what was after")
					moves = nil
					break
				}
			}
		}
	}
	moved := map[wire.RegionNo]bool{}
	for _, m := range moves {
		r := m.Req.Region
		if m.Cause != movelist.Balance || m.State != wire.MoveDone || m.From != "m1" || m.Req.To != "m2" || r%2 != 0 || moved[r] {
			t.Errorf("%s moved vRegion %d from %s to %s: want each hot one, which are even, at most once from m1 to m2", m.Reason, r, m.From, m.Req.To)
		}
		moved[r] = true
	}
	if len(moved) == hotRegions/2 {
		t.Error("all hot vRegions moved: now they are together again")
	}
	for _, b := range s.Balance {
		if b.Measure == "misses and flushes/s" && !(b.After.CoV < b.Before.CoV && b.After.Jain > b.Before.Jain) {
			t.Errorf("%+v, want less spread after than before", b)
		}
	}
	page, _, err := cl.Events(background(t), wire.GMM, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	begun, told := 0, false
	for _, e := range page {
		switch {
		case e.Kind == events.MoveBegun:
			begun++
			if !strings.Contains(e.Reason, "rate: ") || !strings.Contains(e.Reason, " ops/s") || len(e.Candidates) == 0 || e.Candidates[0].ID != "m2" || e.Candidates[0].Why == "" {
				t.Errorf("%q, candidates %+v: want the measure, and m2 with what it bears", e.Reason, e.Candidates)
			}
		case e.Kind == events.Rebalanced:
			told = told || strings.Contains(e.Reason, "of each vregion by rate begins: coefficient of variation ")
		}
	}
	if begun < len(moves) || !told {
		t.Errorf("%d moves, %d events, the round told: %t", len(moves), begun, told)
	}
	t.Logf("%d moves; %+v", len(moves), s.Balance)
}
