package mcomponent

import (
	"slices"
	"testing"

	"splitkernel/netlayer/wire"
)

// of gives what a load tells of things of a kind, and whether that is all.
func of(l wire.Load, k wire.MoveKind) (things []wire.ThingLoad, all bool) {
	for _, h := range l.Hot {
		if h.Kind == k {
			things = append(things, h)
		}
	}
	return things, slices.Contains(l.HotAll, k)
}

// near reports whether a is about n times b: rates are rounded.
func near(a, b, n uint64) bool { return a+n >= n*b && a <= n*b+n }

// TestHeartbeatsTellWhatIsHot: misses and flushes of vRegions, calls of memory maps, requests and bytes of volumes, as they
// were and in their order; nothing of what was not touched, and nothing of what has not been read twice.
func TestHeartbeatsTellWhatIsHot(t *testing.T) {
	cl, m, k := newVolumeCluster(t, nil)
	cl.disk.create(2, volumeBytes)
	cl.must(cl.attach(m, 2, 1, volumeBytes))
	const pages = testRegion / wire.PageSize
	cl.open(m, 1)
	cl.open(m, 2)
	cl.mmap(m, 1, testRegion, 3*testRegion)
	cl.mmap(m, 2, testRegion, testRegion)
	var l wire.Load
	if m.Hot(&l); len(l.Hot) != 0 || len(l.HotAll) != 0 {
		t.Fatalf("%+v though there was no interval yet", l)
	}
	page := make([]byte, wire.PageSize)
	for range 30 {
		_, err := m.miss(1, 2*pages+1)
		cl.must(err)
	}
	for i := range uint64(10) {
		cl.must(m.flushPage(2, pages+1, 1, i+1, page))
	}
	cl.mmap(m, 2, 8*testRegion, wire.PageSize)
	for i := range uint64(6) {
		k.Version = i + 1
		cl.must(m.write(k, page))
	}
	k.Volume = 2
	for range 3 {
		_, err := m.read(k)
		cl.must(err)
	}
	l = wire.Load{}
	m.Hot(&l)
	regions, all := of(l, wire.MoveRegion)
	if len(regions) != 2 || all || regions[0].PID != 1 || regions[0].Region != 2 || regions[1].PID != 2 || regions[1].Region != 1 || !near(regions[0].Ops, regions[1].Ops, 3) {
		t.Errorf("vRegions %+v, all: %t; want 2 of process 1 three times as hot as 1 of process 2, and one that is new", regions, all)
	}
	if homes, all := of(l, wire.MoveHome); len(homes) != 1 || homes[0].PID != 2 || homes[0].Ops == 0 || !all {
		t.Errorf("homes %+v, all: %t; want process 2 alone", homes, all)
	}
	caches, all := of(l, wire.MoveCache)
	if len(caches) != 2 || !all || caches[0].Volume != 1 || !near(caches[0].Ops, caches[1].Ops, 2) || !near(caches[0].Bytes, caches[0].Ops, wire.PageSize) {
		t.Errorf("buffer caches %+v, all: %t; want 1 twice as hot as 2, and 4 KiB a request", caches, all)
	}
	l = wire.Load{}
	if m.Hot(&l); !slices.Equal(l.HotAll, []wire.MoveKind{wire.MoveRegion, wire.MoveHome, wire.MoveCache}) {
		t.Errorf("after one more interval all is known: %+v", l)
	}
}

// TestOnlyTheHottestAreTold of very many.
func TestOnlyTheHottestAreTold(t *testing.T) {
	cl := newCluster(t, 1, nil)
	m := cl.m[0]
	cl.open(m, 1)
	const regions = wire.MaxHot + 8
	cl.mmap(m, 1, 0x100*testRegion, regions*testRegion)
	var l wire.Load
	m.Hot(&l)
	for r := range wire.PageNo(regions) {
		for range 1 + r/4 {
			_, err := m.miss(1, (0x100+r)*testRegion/wire.PageSize)
			cl.must(err)
		}
	}
	m.Hot(&l)
	things, all := of(l, wire.MoveRegion)
	if len(things) != wire.MaxHot || all || things[0].Region < 0x100+regions-4 {
		t.Errorf("%d vRegions are told, the first %+v, all: %t", len(things), things[0], all)
	}
	for _, x := range things {
		if x.Region < 0x108 {
			t.Errorf("vRegion %d is told, and is among the coldest 8", x.Region)
		}
	}
}
