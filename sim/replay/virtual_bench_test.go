package replay

import (
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/check"
	"splitkernel/sim/hardware"
	"splitkernel/sim/trace"
	"splitkernel/sim/vcluster"
)

// BenchmarkVirtualHits replays a bundled trace with an ExCache that holds all it touches, once on the clock and once by the same
// decoding, hits and stamps without one (the floor). The pass that brings the pages is part of both. The clock must keep 80 % of
// the floor's references per second; both are of the same run, turn by turn.
func BenchmarkVirtualHits(b *testing.B) {
	const passes = 8
	for _, name := range []string{"wordcount", "sort", "sqlite"} {
		b.Run(name, func(b *testing.B) {
			path, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", name+".skt"))
			if err != nil {
				b.Fatal(err)
			}
			info, err := known(b.Context(), path, "")
			if err != nil {
				b.Fatal(err)
			}
			info.Volumes = nil
			x := excache.DefaultOptions()
			x.Lines, x.Ways = int(info.FootprintPages), 0
			cluster, err := configs.LoadCluster("laptop", configs.Overrides{})
			if err != nil {
				b.Fatal(err)
			}
			hot := onlyRefs(b, path, passes)
			v := configs.DefaultVNode()
			v.Name, v.Trace, v.Excache.Options = "one", hot, x
			o := VirtualOptions{Workload: &configs.Workload{Name: "hits", Seed: 1, Vnodes: []configs.VNode{v}}, Cluster: cluster, Hardware: hardware.DefaultOptions(), Traces: []Trace{{Path: hot, Info: info}}}
			var floor, virtual time.Duration
			refs := uint64(0)
			for b.Loop() {
				began := used(b)
				refs += hits(b, hot, x)
				floor += used(b) - began
				began = used(b)
				s, err := RunVirtual(b.Context(), o)
				if err != nil || len(s.Failed) > 0 {
					b.Fatal(err, s)
				}
				virtual += used(b) - began
			}
			b.ReportMetric(float64(refs)/floor.Seconds()/1e6, "floor-Mrefs/cpu-s")
			b.ReportMetric(float64(refs)/virtual.Seconds()/1e6, "virtual-Mrefs/cpu-s")
			b.ReportMetric(100*floor.Seconds()/virtual.Seconds(), "%-of-floor")
		})
	}
}

// used is the processor time of this process: other programs of the machine do not count.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// onlyRefs copies the maps and references of a trace, these so many times over.
func onlyRefs(b *testing.B, path string, passes int) string {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	out := filepath.Join(b.TempDir(), filepath.Base(path))
	var w *trace.Writer
	for pass := range passes {
		src, err := trace.Open(path)
		must(err)
		if pass == 0 {
			h := src.Header()
			h.Volumes = nil
			w, err = trace.Create(out, h)
			must(err)
		}
		for {
			batch, err := src.Next()
			if err == io.EOF {
				break
			}
			must(err)
			at := 0
			for _, e := range batch.Events {
				for ; at < e.At; at++ {
					must(w.Ref(batch.Refs[at]))
				}
				if (e.Kind == trace.Mmap || e.Kind == trace.Brk) && pass == 0 {
					must(w.Event(e))
				}
			}
			for ; at < len(batch.Refs); at++ {
				must(w.Ref(batch.Refs[at]))
			}
		}
		must(src.Close())
	}
	must(w.Close())
	return out
}

// hits is the floor.
func hits(b *testing.B, path string, x excache.Options) (refs uint64) {
	b.Helper()
	cache, err := excache.New(x)
	if err != nil {
		b.Fatal(err)
	}
	frames, pages := make([]vcluster.Stamp, x.Frames()), check.NewPages()
	src, err := trace.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	for {
		batch, err := src.Next()
		if err == io.EOF {
			return refs
		} else if err != nil {
			b.Fatal(err)
		}
		for i := range batch.Refs {
			r := &batch.Refs[i]
			page, write := r.Page(), r.Write()
			frame, ok := cache.Hit(page, write)
			if !ok {
				m := cache.Miss(page, write)
				cache.CountFill(m.Line, true)
				cache.Filled(m.Line)
				frame = cache.Complete(m.Line, write)
			}
			right := false
			if s := (*[16]byte)(&frames[frame]); write {
				right = pages.WriteStamp(page, s)
			} else {
				right = pages.ReadStamp(page, s)
			}
			if !right {
				b.Fatalf("page %#x is wrong", page)
			}
		}
		refs += uint64(len(batch.Refs))
	}
}
