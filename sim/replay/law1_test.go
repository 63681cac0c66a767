package replay

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/policy"
	"splitkernel/pcomponent/prefetch"
	"splitkernel/sim/hardware"
	"splitkernel/sim/report"
	"splitkernel/sim/trace"
)

// logical are the counters that law 1 is about: not those of retries, redirects, coalescing, piggybacks, prefetched pages that were late and latencies.
func logical(c report.Counters) report.Counters {
	c.Retries, c.Redirects, c.Coalesced, c.Piggybacked, c.PrefetchLate = 0, 0, 0, 0, 0
	c.FaultLatency, c.BlockLatency = nil, nil
	return c
}

// served is what each mComponent has served: fetches and flushes.
func (w *world) served() (out [][2]uint64) {
	for _, m := range w.owning {
		p := m.Stats().Pages
		out = append(out, [2]uint64{p.Misses, p.Flushes + p.OldFlushes})
	}
	return out
}

// wantLaw1 replays a trace live and in virtual time, with a checkpoint at every so many accesses if that is not 0, and compares the logical
// counters field by field.
func wantLaw1(t testing.TB, w *world, path string, x excache.Options, refs uint64, repeat int, every uint64) {
	t.Helper()
	info, err := known(context.Background(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	v := configs.DefaultVNode()
	v.Name, v.Trace, v.Repeat, v.MaxRefs, v.Excache.Options = "one", path, repeat, refs, x
	w.pid++
	v.Checkpoint.Every = every
	s := specOf(&v, path, info)
	s.PID, s.Epoch, s.RegionBytes, s.Home = w.pid, 1, worldRegion, w.m[0]
	s.ExCache.Seed++ // as a run with a workload of seed 1 draws
	s.Volumes = w.volumes(info)
	all := s.Volumes
	if every > 0 {
		w.withStore(&s, s.Checkpoints)
		all = append(slices.Clone(all), s.Store)
	}
	before := w.served()
	live := w.law.host.Await(s)
	after := w.served()
	for _, vol := range all {
		if err := w.control(string(w.s), wire.OpVolumeDelete, &wire.VolumeRef{Volume: vol.ID, Epoch: vol.Epoch}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if live.Error != "" {
		t.Fatalf("live: %s", live.Error)
	}
	cluster, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	where := report.Placement{VNode: "one", PID: s.PID, PComponent: "p1", Hosts: []wire.NodeID{"p1"}, Home: w.m[0].Node}
	for _, o := range live.Regions {
		where.Regions = append(where.Regions, report.Region{Number: o.Region, Owner: o.Node, Epoch: o.Epoch})
	}
	for _, vol := range all {
		where.Volumes = append(where.Volumes, report.Volume{ID: vol.ID, Storage: vol.Storage, Cache: vol.Cache})
	}
	sum, err := RunVirtual(context.Background(), VirtualOptions{
		Placement: []report.Placement{where},
		Workload:  &configs.Workload{Name: "law1", Seed: 1, Vnodes: []configs.VNode{v}}, Cluster: cluster, Hardware: hardware.DefaultOptions(),
		Traces: []Trace{{Path: path, Info: info}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sum.Failed) > 0 {
		t.Fatalf("virtual: %v", sum.Failed)
	}
	if got, want := logical(sum.Total), logical(live.Counters); !reflect.DeepEqual(got, want) {
		t.Errorf("%s with %+v:\nvirtual %+v\nlive    %+v", filepath.Base(path), x, got, want)
	}
	for _, c := range sum.Components { // placed as it was live, each component does the same
		for i, m := range w.m {
			if want := [2]uint64{after[i][0] - before[i][0], after[i][1] - before[i][1]}; c.ID == m.Node && [2]uint64{c.Fetches, c.Flushes} != want {
				t.Errorf("%s: %s served %d fetches and %d flushes, live %v", filepath.Base(path), c.ID, c.Fetches, c.Flushes, want)
			}
		}
	}
	if sum.Total.IntegrityErrors != 0 {
		t.Errorf("virtual: %v", sum.Integrity)
	}
	if c := live.Counters; c.PrefetchIssued < c.PrefetchUseful+c.PrefetchWasted+c.PrefetchDropped || c.PrefetchLate > c.PrefetchUseful || !x.Prefetches() && c.PrefetchIssued+c.PrefetchRefused > 0 {
		t.Errorf("%s with %+v: live %+v", filepath.Base(path), x, c)
	}
}

// TestLaw1Bundled is law 1 for the bundled traces, each with another policy, mechanism and prefetcher.
func TestLaw1Bundled(t *testing.T) {
	w := newWorld(t)
	w.law = w.node("p1", "")
	for _, c := range []struct {
		trace, policy, mechanism, prefetcher string
		ways, lines                          int
		every                                uint64
	}{
		{"wordcount", "lru", excache.MechanismList, "none", 64, 1024, 0},
		{"sort", "clock", excache.MechanismWriteProtect, "leap", 0, 600, 70_000},
		{"sqlite", "lru-sweep", excache.MechanismVictim, "none", 64, 1024, 0},
		{"sort", "fifo", excache.MechanismVictim, "next-n", 8, 512, 0},
		{"sqlite", "random", excache.MechanismList, "best-offset", 0, 100, 500_000},
	} {
		x := excache.DefaultOptions()
		x.Policy, x.Mechanism, x.Prefetcher, x.Ways, x.Lines = c.policy, c.mechanism, c.prefetcher, c.ways, c.lines
		refs := uint64(0)
		if raceEnabled {
			refs, c.every = 10_000, c.every/100
		}
		path, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", c.trace+".skt"))
		if err != nil {
			t.Fatal(err)
		}
		wantLaw1(t, w, path, x, refs, 1, c.every)
	}
}

// TestLaw1Policies is law 1 for policies that remember or foresee pages, on a part of a program.
func TestLaw1Policies(t *testing.T) {
	w := newWorld(t)
	w.law = w.node("p1", "")
	path, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", "sqlite.skt"))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"lru", "arc", "s3-fifo", foreseeing} {
		x := excache.DefaultOptions()
		x.Policy, x.Mechanism, x.Ways, x.Lines = name, excache.Mechanisms()[i%3], 0, 40
		wantLaw1(t, w, path, x, 15_000, 2, 0)
	}
}

// TestLaw1Random is law 1 for random programs: maps that come, go, grow and lie over each other, reads and writes of any
// pattern, block requests of any shape, any ExCache, repeated.
func TestLaw1Random(t *testing.T) {
	w := newWorld(t)
	w.law = w.node("p1", "")
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprintf("%d.skt", n))
		randomTrace(rt, path)
		x := excache.DefaultOptions()
		x.Policy = rapid.SampledFrom(policy.Names()).Draw(rt, "policy")
		x.Mechanism = rapid.SampledFrom([]string{excache.MechanismList, excache.MechanismWriteProtect, excache.MechanismVictim}).Draw(rt, "mechanism")
		x.Ways = rapid.SampledFrom([]int{0, 1, 4}).Draw(rt, "ways")
		x.Lines = max(x.Ways, 1) * rapid.SampledFrom([]int{2, 8, 32}).Draw(rt, "sets")
		x.FlushFrames = rapid.IntRange(1, 16).Draw(rt, "flush frames")
		if x.Policy != foreseeing {
			x.Prefetcher = rapid.SampledFrom(append(prefetch.Names(), prefetch.None)).Draw(rt, "prefetcher")
			x.PrefetchDegree, x.PrefetchInFlight = rapid.IntRange(1, 16).Draw(rt, "degree"), rapid.IntRange(1, 16).Draw(rt, "in flight")
		}
		if x.Validate() != nil {
			rt.Skip("no such ExCache")
		}
		every := rapid.SampledFrom([]uint64{0, 0, 17}).Draw(rt, "every")
		if x.Policy == foreseeing {
			every = 0
		}
		wantLaw1(t, w, path, x, 0, rapid.IntRange(1, 2).Draw(rt, "repeat"), every)
		if t.Failed() {
			rt.Fatal("live and virtual differ")
		}
	})
}

// randomTrace writes a small program.
func randomTrace(t *rapid.T, path string) {
	tw, err := trace.Create(path, trace.Header{Program: "random", Source: "synthetic", Granularity: 1, HasMaps: true, HasWrites: true, HasGaps: true})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	const page, base, heap = wire.PageSize, 1 << 30, 1 << 32
	vol, err := tw.AddVolume(trace.VolumeInfo{Name: "v", SizeBytes: 1 << 20})
	must(err)
	mapped := map[uint64]bool{}
	end := uint64(heap)
	must(tw.Event(trace.Event{Kind: trace.Brk, Addr: end}))
	for range rapid.IntRange(1, 20).Draw(t, "steps") {
		switch rapid.IntRange(0, 5).Draw(t, "step") {
		case 0:
			first, k := rapid.Uint64Range(0, 300).Draw(t, "first"), rapid.Uint64Range(1, 64).Draw(t, "pages")
			must(tw.Event(trace.Event{Kind: trace.Mmap, Addr: base + first*page, Len: k * page, Anon: rapid.Bool().Draw(t, "anon"), Writable: true}))
			for i := range k {
				mapped[(base+first*page)/page+i] = true
			}
		case 1:
			first, k := rapid.Uint64Range(0, 300).Draw(t, "first"), rapid.Uint64Range(1, 64).Draw(t, "pages")
			must(tw.Event(trace.Event{Kind: trace.Munmap, Addr: base + first*page, Len: k * page}))
			for i := range k {
				delete(mapped, (base+first*page)/page+i)
			}
		case 2:
			was := end
			end = heap + rapid.Uint64Range(0, 64).Draw(t, "heap")*page
			must(tw.Event(trace.Event{Kind: trace.Brk, Addr: end}))
			for a := was; a < end; a += page {
				mapped[a/page] = true
			}
			for a := end; a < was; a += page {
				delete(mapped, a/page)
			}
		case 3:
			kind := rapid.SampledFrom([]trace.EventKind{trace.BlockRead, trace.BlockWrite, trace.BlockFlush}).Draw(t, "block")
			e := trace.Event{Kind: kind, Volume: vol}
			if kind != trace.BlockFlush {
				e.Offset = rapid.Uint64Range(0, 1<<19).Draw(t, "offset")
				e.Length = rapid.Uint64Range(1, 100_000).Draw(t, "length")
			}
			must(tw.Event(e))
		default:
			var pages []uint64
			for p := range mapped {
				pages = append(pages, p)
			}
			if len(pages) == 0 {
				continue
			}
			slices.Sort(pages)
			hot := rapid.IntRange(1, len(pages)).Draw(t, "hot")
			for range rapid.IntRange(1, 60).Draw(t, "references") {
				p := pages[rapid.IntRange(0, hot-1).Draw(t, "page")]
				r := trace.Ref{Addr: p*page + rapid.Uint64Range(0, page-8).Draw(t, "byte"), Gap: uint32(rapid.IntRange(0, 50).Draw(t, "gap")), Size: 8}
				if rapid.Bool().Draw(t, "write") {
					r.Flags = trace.FlagWrite
				}
				must(tw.Ref(r))
			}
		}
	}
	must(tw.Close())
}
