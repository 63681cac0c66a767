package wire

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestHoldingsPages: whatever the limit, the pages are all that is held, once and in order; a full one fits into a reply.
func TestHoldingsPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := func(name string) []uint64 {
			s := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 1<<32-1), 0, 12, rapid.ID[uint64]).Draw(t, name)
			slices.Sort(s)
			return s
		}
		var h Holdings
		for _, id := range ids("processes") {
			h.Processes = append(h.Processes, HeldProcess{PID: PID(id), Epoch: 1})
		}
		for _, id := range ids("homes") {
			h.Homes = append(h.Homes, HeldHome{PID: PID(id)})
			h.Backups = append(h.Backups, HeldHome{PID: PID(id), Epoch: 2})
			for r := range rapid.IntRange(0, 5).Draw(t, "regions") {
				h.Regions = append(h.Regions, HeldRegion{PID: PID(id), Region: RegionNo(3 * r)})
				h.Replicas = append(h.Replicas, HeldReplica{PID: PID(id), Region: RegionNo(2 * r), Config: 1})
			}
		}
		for _, id := range ids("volumes") {
			h.Volumes = append(h.Volumes, HeldVolume{Volume: VolumeID(id)})
			h.Caches = append(h.Caches, HeldVolume{Volume: VolumeID(id)})
		}
		limit := rapid.Uint32Range(0, 9).Draw(t, "limit")
		var got Holdings
		for at, pages := (HeldAt{}), 0; ; pages++ {
			p, next := h.Page(at, limit)
			n := len(p.Processes) + len(p.Homes) + len(p.Regions) + len(p.Volumes) + len(p.Caches) + len(p.Replicas) + len(p.Backups)
			if limit > 0 && n > int(limit) || n == 0 && next != (HeldAt{}) {
				t.Fatalf("page %d at %+v has %d things and goes on at %+v", pages, at, n, next)
			}
			got.Add(p)
			if at = next; at == (HeldAt{}) {
				break
			}
		}
		if !reflect.DeepEqual(got, h) {
			t.Fatalf("pages of %d are %+v, want %+v", limit, got, h)
		}
	})
	var full Holdings
	for i := range MaxHeldPage + 1 {
		full.Volumes = append(full.Volumes, HeldVolume{Volume: VolumeID(1<<32 - 1 - MaxHeldPage + i), Epoch: 1<<32 - 1, SizeBytes: 1<<64 - 1})
		full.Replicas = append(full.Replicas, HeldReplica{PID: 1<<64 - 1, Region: RegionNo(1<<64 - 1 - MaxHeldPage + uint64(i)), Epoch: 1<<32 - 1, Config: 1<<64 - 1})
		full.Regions = append(full.Regions, HeldRegion{PID: 1<<64 - 1, Region: RegionNo(1<<64 - 1 - MaxHeldPage + uint64(i)), Epoch: 1<<32 - 1})
	}
	for _, from := range []HeldAt{{}, {List: HeldVolumes}, {List: HeldReplicas}} {
		p, next := full.Page(from, 0)
		if n := len(Marshal(HoldingsRep{Holds: p, Next: next})); n > MaxBody || next == (HeldAt{}) {
			t.Errorf("a full page from %+v has %d bytes, at most %d, and goes on at %+v", from, n, MaxBody, next)
		}
	}
}
