package advise

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"splitkernel/configs"
	"splitkernel/sim/hardware"
	"splitkernel/sim/replay"
	"splitkernel/sim/trace"
)

const (
	// vnodeName is that of the only vNode.
	vnodeName = "program"
	// minRegionBytes and maxRegions set the size of vRegions: so many that the managers' books stay short.
	minRegionBytes = 1 << 20
	maxRegions     = 1 << 12
)

// world is what all simulations of a trace share.
type world struct {
	o       Options
	trace   replay.Trace
	cluster *configs.Cluster
}

// newWorld makes a cluster that has one component of each role, and room for all that the trace maps.
func newWorld(o Options, t replay.Trace) (*world, error) {
	region := uint64(minRegionBytes)
	for t.Info.MappedBytes/region > maxRegions {
		region *= 2
	}
	volumes := uint64(0)
	for _, v := range t.Info.Volumes {
		volumes += v.SizeBytes
	}
	text := fmt.Sprintf(`name: advise
transport: unix
region_bytes: %dMiB
pcomponent: {cores: %d, excache_bytes: %dMiB}
mcomponent: {memory_bytes: %dMiB}
scomponent: {capacity_bytes: %dMiB}
nodes:
  - {id: g1, role: manager}
  - {id: p1, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: s1, role: scomponent}
`, mebi(region), max(t.Info.Threads, 1), mebi(2*t.Info.FootprintPages*trace.PageBytes+minRegionBytes), mebi(4*t.Info.MappedBytes+64*region), mebi(4*volumes+(1<<30)))
	c, err := configs.ParseCluster("the cluster of advise", []byte(text), configs.Overrides{})
	if err != nil {
		return nil, err
	}
	return &world{o, t, c}, nil
}

// mebi is bytes in MiB, rounded up.
func mebi(bytes uint64) uint64 { return (bytes + 1<<20 - 1) >> 20 }

// simulate runs the trace with an ExCache of so many pages, fully associative with LRU; local also tells how long it takes with all memory local.
func (w *world) simulate(ctx context.Context, h *hardware.Profile, pages uint64, local bool, progress func(done, total uint64)) (p Point, localSeconds float64, err error) {
	v := configs.DefaultVNode()
	v.Name, v.Trace, v.Format, v.MaxRefs = vnodeName, w.o.Path, w.o.Format, w.o.MaxRefs
	v.Excache.Lines, v.Excache.Ways, v.Excache.Policy = int(pages), 0, "lru"
	work := configs.DefaultWorkload()
	work.Name, work.Vnodes = "advise", []configs.VNode{v}
	sum, err := replay.RunVirtual(ctx, replay.VirtualOptions{Workload: &work, Cluster: w.cluster, Hardware: h.Hardware, HardwareName: h.Name,
		Traces: []replay.Trace{w.trace}, Local: local, Version: w.o.Version, Progress: progress})
	if err != nil {
		return p, 0, fmt.Errorf("%s, %d pages: %w", h.Name, pages, err)
	}
	if bad := append(append([]string{}, sum.Failed...), sum.Integrity...); len(bad) > 0 {
		return p, 0, fmt.Errorf("%s, %d pages: %w", h.Name, pages, errors.New(strings.Join(bad, "; ")))
	}
	r := sum.VNodes[0]
	p = Point{Pages: pages, Bytes: pages * trace.PageBytes, Share: float64(pages) / float64(w.trace.Info.FootprintPages), Seconds: r.Seconds,
		Accesses: r.Counters.Accesses, Misses: r.Counters.Misses}
	p.MissRatio = float64(p.Misses) / float64(max(p.Accesses, 1))
	return p, r.LocalSeconds, nil
}
