package vregion

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/mcomponent/pairindex"
	"splitkernel/netlayer/canary"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
)

// Owners is the owner role of one mComponent: the vRegions that it serves and the parts of vmas in them. A vRegion has a
// small dense number here, its slot, under which package pagestore groups its pages. Use one goroutine at a time; the
// read-only Check may run beside other Checks.
type Owners struct {
	shift    uint // log2(region bytes) - PageShift
	bytes    uint64
	index    *pairindex.Index // (process, vRegion) -> slot
	slots    []owned
	free     []uint32 // slots to use again, the last freed first
	self     wire.NodeID
	maxSlots int
	mapped   uint64
	warm     warm
	fence    fence
	member   registration
	away     graves[awayKey, away]
}

type owned struct {
	pid     wire.PID
	region  wire.RegionNo
	epoch   wire.Epoch
	served  heat.Meter // misses and flushes
	warm    bool       // in Owners.warm
	tree    Tree
	used    bool // false for a free slot and between Exit and Release
	life    life
	process wire.Epoch  // of the process: what says an older one is refused
	other   wire.NodeID // of a vRegion on its way: where it goes or comes from
}

// NewOwners makes the owner role. self names this mComponent in errors; maxSlots bounds the vRegions that it serves.
func NewOwners(opt Options, self wire.NodeID, maxSlots int) *Owners {
	shift := uint(0)
	for uint64(wire.PageSize)<<shift < opt.RegionBytes {
		shift++
	}
	return &Owners{shift: shift, bytes: opt.RegionBytes, index: pairindex.New(0), self: self, maxSlots: maxSlots}
}

// Regions is the number of vRegions served, MappedBytes that of mapped bytes in them.
func (o *Owners) Regions() int        { return o.index.Len() }
func (o *Owners) MappedBytes() uint64 { return o.mapped }

// Verdict says whether a page may be served.
type Verdict uint8

// The verdicts of Check.
const (
	Serve    Verdict = 0 // the page is mapped in a vRegion served here
	NotOwner Verdict = 1 // the vRegion is not served here, or the caller knows a newer owner
	Stale    Verdict = 2 // the caller knows an older owner epoch
	Unmapped Verdict = 3 // no vma covers the page
	Moving   Verdict = 4 // the vRegion is on its way: here and nowhere else yet, or not yet here
	Lost     Verdict = 5 // it was lost on its way
)

// Check decides on a miss or flush of a page under the owner epoch that the caller knows, and gives the vRegion's slot.
// It changes nothing and allocates nothing.
func (o *Owners) Check(pid wire.PID, page wire.PageNo, epoch wire.Epoch) (slot uint32, v Verdict) {
	slot, ok := o.index.Get(uint64(pid), uint64(page)>>o.shift)
	if !ok {
		return 0, NotOwner
	}
	r := &o.slots[slot]
	switch {
	case epoch > r.epoch:
		return slot, NotOwner // this mComponent was replaced and has not heard of it
	case epoch < r.epoch:
		return slot, Stale
	case r.life != serving && !(canary.On(canary.StaleServe) && r.life == frozen):
		return slot, r.life.verdict()
	case !r.tree.Covers(uint64(page) << wire.PageShift):
		return slot, Unmapped
	}
	return slot, Serve
}

// Serves reports whether a page is served in a slot, whatever the epoch.
func (o *Owners) Serves(slot uint32, pid wire.PID, page wire.PageNo) bool {
	if uint64(slot) >= uint64(len(o.slots)) {
		return false
	}
	r := &o.slots[slot]
	return r.used && r.pid == pid && uint64(r.region) == uint64(page)>>o.shift && r.life == serving && r.tree.Covers(uint64(page)<<wire.PageShift)
}

// Error makes the error of a verdict other than Serve.
func (o *Owners) Error(v Verdict, pid wire.PID, page wire.PageNo, epoch wire.Epoch) error {
	region := uint64(page) >> o.shift
	switch v {
	case NotOwner:
		if err := o.fenced(pid, wire.RegionNo(region)); err != nil {
			return err
		}
		return wire.Errorf(wire.KindNotOwner, "%s does not own vRegion %d of process %d under epoch %d: ask its home for the owner", o.self, region, pid, epoch)
	case Stale:
		return wire.Errorf(wire.KindStale, "%s owns vRegion %d of process %d under an epoch newer than %d: ask its home", o.self, region, pid, epoch)
	case Unmapped:
		return wire.Errorf(wire.KindUnmapped, "no mapping of process %d covers page %#x", pid, uint64(page)<<wire.PageShift)
	case Moving, Lost:
		slot, _ := o.index.Get(uint64(pid), region)
		return o.underway(slot)
	}
	return nil
}

func (o *Owners) checkRange(region wire.RegionNo, start, length uint64) error {
	lo := uint64(region) * o.bytes
	if length == 0 || start%wire.PageSize != 0 || length%wire.PageSize != 0 || start < lo || length > o.bytes || start-lo > o.bytes-length {
		return wire.Errorf(wire.KindBadRequest, "range of %d bytes at %#x, want whole pages inside vRegion %d [%#x, %#x): do the components agree on region_bytes?",
			length, start, region, lo, lo+o.bytes)
	}
	return nil
}

// Map adds a part of a vma, activating its vRegion if it is new here. Mapping the same part again changes nothing.
func (o *Owners) Map(req wire.RegionMapReq) error {
	if err := o.checkRange(req.Region, req.Start, req.Length); err != nil {
		return err
	}
	slot, ok := o.index.Get(uint64(req.PID), uint64(req.Region))
	if !ok {
		if err := o.fenced(req.PID, req.Region); err != nil {
			return err
		}
		if err := o.member.granted(fmt.Sprintf("vRegion %d", req.Region), req.PID, o.self, req.Member); err != nil {
			return err // it may have been under way since before a fence
		}
		if err := o.gone(req.PID, req.Region, req.RegionEpoch); err != nil {
			return err
		}
		if o.index.Len() >= o.maxSlots {
			return wire.Errorf(wire.KindNoMemory, "%s: owns %d vRegions, at most max_owned_regions %d", o.self, o.index.Len(), o.maxSlots)
		}
		slot = o.take(owned{pid: req.PID, region: req.Region, epoch: req.RegionEpoch, used: true})
		o.index.Put(uint64(req.PID), uint64(req.Region), slot)
	}
	r := &o.slots[slot]
	if req.RegionEpoch < r.epoch {
		return wire.Errorf(wire.KindStale, "vRegion %d of process %d: epoch %d, want at least %d", req.Region, req.PID, req.RegionEpoch, r.epoch)
	}
	if err := o.underway(slot); err != nil {
		return err
	}
	r.epoch = req.RegionEpoch
	o.mapped -= r.tree.Bytes()
	r.tree.Insert(VMA{Start: req.Start, End: req.Start + req.Length, Anon: req.Anon, Writable: req.Writable})
	o.mapped += r.tree.Bytes()
	return nil
}

// take puts r into the last freed slot, or a new one.
func (o *Owners) take(r owned) uint32 {
	if n := len(o.free); n > 0 {
		slot := o.free[n-1]
		o.free = o.free[:n-1]
		r.warm = o.slots[slot].warm
		o.slots[slot] = r
		if !r.warm {
			o.warmed(slot)
		}
		return slot
	}
	o.slots = append(o.slots, r)
	o.warmed(uint32(len(o.slots) - 1))
	return uint32(len(o.slots) - 1)
}

// Unmap removes a part of a vRegion, whose pages the caller then frees under slot. ok is false if the vRegion is not
// known here; then nothing is mapped and nothing is to be freed, unless this mComponent lost it, and its holders still have its pages. epoch is the one under which
// the home knows this owner.
func (o *Owners) Unmap(req wire.RegionUnmapReq, epoch wire.Epoch) (slot uint32, ok bool, err error) {
	if err := o.checkRange(req.Region, req.Start, req.Length); err != nil {
		return 0, false, err
	}
	if slot, ok = o.index.Get(uint64(req.PID), uint64(req.Region)); !ok {
		if err := o.member.granted(fmt.Sprintf("vRegion %d", req.Region), req.PID, o.self, req.Member); err != nil {
			return 0, false, err
		}
		return 0, false, o.gone(req.PID, req.Region, epoch)
	}
	r := &o.slots[slot]
	if epoch < r.epoch {
		return 0, false, wire.Errorf(wire.KindStale, "vRegion %d of process %d: epoch %d, want at least %d", req.Region, req.PID, epoch, r.epoch)
	}
	if err := o.underway(slot); err != nil {
		return 0, false, err
	}
	o.mapped -= r.tree.Remove(req.Start, req.Start+req.Length)
	return slot, true, nil
}

// Exit stops serving the vRegions of a process and appends their slots, in the order of addresses. Their pages must be
// freed before Release gives a slot to another vRegion.
func (o *Owners) Exit(pid wire.PID, slots []uint32) []uint32 {
	n := len(slots)
	o.fence.forget(pid)
	for i := range o.slots {
		if r := &o.slots[i]; r.used && r.pid == pid {
			slots = append(slots, uint32(i))
			o.index.Delete(uint64(pid), uint64(r.region))
			o.mapped -= r.tree.Bytes()
			r.tree, r.used = Tree{}, false
		}
	}
	slices.SortFunc(slots[n:], func(a, b uint32) int { return cmp.Compare(o.slots[a].region, o.slots[b].region) })
	return slots
}

// Release makes a slot that Exit returned free for another vRegion.
func (o *Owners) Release(slot uint32) {
	o.slots[slot] = owned{warm: o.slots[slot].warm}
	o.free = append(o.free, slot)
}

// CheckInvariants checks index, trees and counts.
func (o *Owners) CheckInvariants() error {
	if err := o.index.CheckInvariants(); err != nil {
		return err
	}
	if err := o.fence.check(); err != nil {
		return err
	}
	listed := map[uint32]bool{}
	for _, slot := range slices.Concat(o.warm.slots, o.warm.reading[o.warm.next:]) {
		if listed[slot] || !o.slots[slot].warm {
			return fmt.Errorf("vregion: slot %d is to be read twice, or does not know that it is", slot)
		}
		listed[slot] = true
	}
	var mapped uint64
	n := 0
	for i := range o.slots {
		r := &o.slots[i]
		if r.warm != listed[uint32(i)] {
			return fmt.Errorf("vregion: slot %d is to be read: %t, and listed: %t", i, r.warm, listed[uint32(i)])
		}
		if !r.used {
			continue
		}
		if s, ok := o.index.Get(uint64(r.pid), uint64(r.region)); !ok || s != uint32(i) {
			return fmt.Errorf("vregion: slot %d holds vRegion %d of process %d, which the index does not know", i, r.region, r.pid)
		}
		n++
		if err := r.tree.CheckInvariants(); err != nil {
			return err
		}
		for _, v := range r.tree.All() {
			if err := o.checkRange(r.region, v.Start, v.End-v.Start); err != nil {
				return err
			}
		}
		mapped += r.tree.Bytes()
	}
	if n != o.index.Len() || mapped != o.mapped {
		return fmt.Errorf("vregion: %d vRegions with %d bytes, counted as %d with %d", n, mapped, o.index.Len(), o.mapped)
	}
	return nil
}
