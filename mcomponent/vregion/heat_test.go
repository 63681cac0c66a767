package vregion

import (
	"testing"
	"time"

	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
)

// hotOwners is an owner of n vRegions of one process, from vRegion 1 on.
func hotOwners(t testing.TB, n int) (*Owners, uint64) {
	opt := DefaultOptions()
	o := NewOwners(opt, "m1", n)
	for r := range uint64(n) {
		if err := o.Map(wire.RegionMapReq{PID: 1, Region: wire.RegionNo(r + 1), RegionEpoch: 1, Start: (r + 1) * opt.RegionBytes, Length: opt.RegionBytes}); err != nil {
			t.Fatal(err)
		}
	}
	return o, opt.RegionBytes / wire.PageSize
}

// TestHeatIsReadInParts: whatever the parts, each vRegion is read once, and one that takes a slot of another begins anew.
func TestHeatIsReadInParts(t *testing.T) {
	for _, part := range []int{1, 3, 10, 100} {
		o, pages := hotOwners(t, 10)
		read := func(dt time.Duration) (l wire.Load, all bool) {
			top := heat.NewTop(wire.MaxHot)
			for more := true; more; {
				more = o.Heat(part, dt, top)
				if err := o.CheckInvariants(); err != nil {
					t.Fatal(err)
				}
			}
			top.Into(wire.MoveRegion, &l)
			return l, top.All()
		}
		count := func(pid wire.PID, region, n uint64) {
			slot, v := o.Check(pid, wire.PageNo(region*pages), 1)
			if v != Serve {
				t.Fatalf("vRegion %d: %v", region, v)
			}
			for range n {
				o.Count(slot)
			}
		}
		read(0)
		count(1, 3, 20)
		count(1, 10, 50)
		if l, all := read(time.Second); !all || len(l.Hot) != 2 || l.Hot[0].Region != 10 || l.Hot[0].Ops != 50 || l.Hot[1].Region != 3 || l.Hot[1].Ops != 20 {
			t.Errorf("parts of %d: %+v, all: %t", part, l.Hot, all)
		}
		for _, slot := range o.Exit(1, nil) {
			o.Release(slot)
		}
		if l, all := read(time.Second); !all || len(l.Hot) != 0 {
			t.Errorf("parts of %d, after the exit: %+v", part, l.Hot)
		}
		if err := o.Map(wire.RegionMapReq{PID: 2, Region: 1, RegionEpoch: 1, Start: pages * wire.PageSize, Length: wire.PageSize}); err != nil {
			t.Fatal(err)
		}
		if l, all := read(time.Second); all || len(l.Hot) != 0 {
			t.Errorf("parts of %d, a new vRegion: %+v, all: %t", part, l.Hot, all)
		}
	}
}

// BenchmarkCheck is what a miss asks of the owner's side, without and with counting it for its vRegion.
func BenchmarkCheck(b *testing.B) {
	o, pages := hotOwners(b, 256)
	for _, name := range []string{"alone", "and_count"} {
		b.Run(name, func(b *testing.B) {
			page := wire.PageNo(pages)
			for b.Loop() {
				slot, v := o.Check(1, page, 1)
				if v != Serve {
					b.Fatal(v)
				}
				if name == "and_count" {
					o.Count(slot)
				}
				if page += 40503; uint64(page) >= 257*pages {
					page -= wire.PageNo(256 * pages)
				}
			}
		})
	}
}

// BenchmarkHeat reads the meters of a mComponent with a million vRegions, of which a thousand are not cold.
func BenchmarkHeat(b *testing.B) {
	o, _ := hotOwners(b, 1<<20)
	for range 3 {
		for o.Heat(256, time.Second, heat.NewTop(wire.MaxHot)) {
		}
	}
	for b.Loop() {
		for slot := range uint32(1000) {
			o.Count(slot * 997)
		}
		for top := heat.NewTop(wire.MaxHot); o.Heat(256, time.Second, top); {
		}
	}
}
