package wire

import (
	"cmp"
	"slices"
)

// MaxHeldPage bounds the things in one answer about holdings, so that it fits into a reply: one takes 37 bytes at most.
const MaxHeldPage = 16384

// HeldList names a list of Holdings.
type HeldList uint8

// The lists, in the order of pages. Numbers are wire numbers, never reused.
const (
	HeldProcesses HeldList = 1
	HeldHomes     HeldList = 2
	HeldRegions   HeldList = 3
	HeldVolumes   HeldList = 4
	HeldCaches    HeldList = 5
	HeldReplicas  HeldList = 6
	HeldBackups   HeldList = 7
)

// HeldAt is a place in Holdings: in List the first thing that does not come before it, by the process or volume ID, then by
// Region. The zero value is the begin.
type HeldAt struct {
	List   HeldList
	ID     uint64
	Region RegionNo
}

// Page returns what lies from a place on, at most limit things, and where to go on; that is zero at the end. The page shares
// the lists of h, which ascend.
func (h *Holdings) Page(from HeldAt, limit uint32) (page Holdings, next HeldAt) {
	if limit == 0 || limit > MaxHeldPage {
		limit = MaxHeldPage
	}
	left := int(limit)
	page.Processes = heldPart(h.Processes, HeldProcesses, from, &left, &next, func(x HeldProcess) HeldAt { return HeldAt{HeldProcesses, uint64(x.PID), 0} })
	page.Homes = heldPart(h.Homes, HeldHomes, from, &left, &next, func(x HeldHome) HeldAt { return HeldAt{HeldHomes, uint64(x.PID), 0} })
	page.Regions = heldPart(h.Regions, HeldRegions, from, &left, &next, func(x HeldRegion) HeldAt { return HeldAt{HeldRegions, uint64(x.PID), x.Region} })
	page.Volumes = heldPart(h.Volumes, HeldVolumes, from, &left, &next, func(x HeldVolume) HeldAt { return HeldAt{HeldVolumes, uint64(x.Volume), 0} })
	page.Caches = heldPart(h.Caches, HeldCaches, from, &left, &next, func(x HeldVolume) HeldAt { return HeldAt{HeldCaches, uint64(x.Volume), 0} })
	page.Replicas = heldPart(h.Replicas, HeldReplicas, from, &left, &next, func(x HeldReplica) HeldAt { return HeldAt{HeldReplicas, uint64(x.PID), x.Region} })
	page.Backups = heldPart(h.Backups, HeldBackups, from, &left, &next, func(x HeldHome) HeldAt { return HeldAt{HeldBackups, uint64(x.PID), 0} })
	return page, next
}

// heldPart takes from one list what is on the page. Once next is set the page is full.
func heldPart[T any](list []T, l HeldList, from HeldAt, left *int, next *HeldAt, at func(T) HeldAt) []T {
	i := 0
	switch {
	case from.List > l:
		i = len(list)
	case from.List == l:
		i, _ = slices.BinarySearchFunc(list, from, func(x T, from HeldAt) int {
			a := at(x)
			return cmp.Or(cmp.Compare(a.ID, from.ID), cmp.Compare(a.Region, from.Region))
		})
	}
	n := min(len(list)-i, *left)
	*left -= n
	if i+n < len(list) && *next == (HeldAt{}) {
		*next = at(list[i+n])
	}
	if n == 0 {
		return nil
	}
	return list[i : i+n]
}

// Add appends what another page has.
func (h *Holdings) Add(page Holdings) {
	h.Processes = append(h.Processes, page.Processes...)
	h.Homes = append(h.Homes, page.Homes...)
	h.Regions = append(h.Regions, page.Regions...)
	h.Volumes = append(h.Volumes, page.Volumes...)
	h.Caches = append(h.Caches, page.Caches...)
	h.Replicas = append(h.Replicas, page.Replicas...)
	h.Backups = append(h.Backups, page.Backups...)
}
