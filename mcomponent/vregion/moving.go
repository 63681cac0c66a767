package vregion

import (
	"splitkernel/netlayer/wire"
)

// life says what an owned vRegion is doing.
type life uint8

const (
	serving  life = 0
	frozen   life = 1 // about to be served elsewhere: nothing changes it
	arriving life = 2 // copied here, and served elsewhere so far
	leaving  life = 3 // its pages are being freed
	lost     life = 4 // nobody knows whether it is served elsewhere
	holding  life = 5 // served elsewhere: what is here makes it survive its owner
	reviving life = 6 // its owner is lost: it will be served here when this one knows what is mapped
)

func (l life) verdict() Verdict {
	switch l {
	case frozen, arriving, reviving:
		return Moving
	case lost:
		return Lost
	}
	return NotOwner
}

type awayKey struct {
	pid    wire.PID
	region wire.RegionNo
}

// away says where a vRegion went.
type away struct {
	to    wire.NodeID
	epoch wire.Epoch
}

// underway gives the error for a vRegion that is not served because of a move, or nil.
func (o *Owners) underway(slot uint32) error {
	switch r := &o.slots[slot]; r.life {
	case frozen:
		return wire.Errorf(wire.KindBusy, "vRegion %d of process %d is moving from %s to %s: retry", r.region, r.pid, o.self, r.other)
	case arriving:
		return wire.Errorf(wire.KindBusy, "vRegion %d of process %d is moving from %s to %s: retry", r.region, r.pid, r.other, o.self)
	case reviving:
		return wire.Errorf(wire.KindBusy, "vRegion %d of process %d is being recovered at %s: retry", r.region, r.pid, o.self)
	case holding:
		return wire.Errorf(wire.KindNotOwner, "%s does not own vRegion %d of process %d, it holds it for %s: ask its home for the owner", o.self, r.region, r.pid, r.other)
	case leaving:
		return wire.Errorf(wire.KindNotOwner, "%s does not own vRegion %d of process %d any more: ask its home for the owner", o.self, r.region, r.pid)
	case lost:
		return wire.Errorf(wire.KindFailed, "vRegion %d of process %d was lost on its way from %s to %s: %s fell silent before it was known to serve it", r.region, r.pid, o.self, r.other, r.other)
	}
	return nil
}

// gone refuses a late request for a vRegion that went elsewhere under a newer epoch.
func (o *Owners) gone(pid wire.PID, region wire.RegionNo, epoch wire.Epoch) error {
	if a, ok := o.away.stones[awayKey{pid, region}]; ok && epoch < a.epoch {
		return wire.Errorf(wire.KindNotOwner, "vRegion %d of process %d moved from %s to %s under epoch %d: ask its home for the owner", region, pid, o.self, a.to, a.epoch)
	}
	return nil
}

// Serving gives the slot of a vRegion that is served here under epoch.
func (o *Owners) Serving(pid wire.PID, region wire.RegionNo, epoch wire.Epoch) (uint32, error) {
	slot, ok := o.index.Get(uint64(pid), uint64(region))
	if !ok {
		return 0, wire.Errorf(wire.KindNotOwner, "%s does not own vRegion %d of process %d", o.self, region, pid)
	}
	if r := &o.slots[slot]; r.epoch != epoch {
		return 0, wire.Errorf(wire.KindStale, "%s owns vRegion %d of process %d under epoch %d, not %d", o.self, region, pid, r.epoch, epoch)
	}
	return slot, o.underway(slot)
}

// Bounds gives the process, the first page and the number of pages of a slot's vRegion.
func (o *Owners) Bounds(slot uint32) (wire.PID, wire.PageNo, uint64) {
	r := &o.slots[slot]
	return r.pid, wire.PageNo(uint64(r.region) << o.shift), uint64(1) << o.shift
}

// Mapped lists the mapped parts of a vRegion.
func (o *Owners) Mapped(slot uint32) []wire.MappedPart { return parts(&o.slots[slot].tree) }

func parts(t *Tree) []wire.MappedPart {
	list := make([]wire.MappedPart, 0, t.Len())
	for _, v := range t.All() {
		list = append(list, wire.MappedPart{Start: v.Start, End: v.End, Anon: v.Anon, Writable: v.Writable, Name: v.Name})
	}
	return list
}

// Freeze stops serving: requests are refused as busy.
func (o *Owners) Freeze(slot uint32, to wire.NodeID) {
	o.slots[slot].life, o.slots[slot].other = frozen, to
}

// Thaw serves on, under an epoch that is not older.
func (o *Owners) Thaw(slot uint32, epoch wire.Epoch) {
	o.slots[slot].life, o.slots[slot].epoch, o.slots[slot].other = serving, epoch, ""
}

// Lose ends serving for good: requests are refused as failed until the process exits.
func (o *Owners) Lose(slot uint32) { o.slots[slot].life = lost }

// Leave ends serving. The caller frees the pages as long as Leaving, then calls Left. If the vRegion went to another owner,
// late requests under an epoch before epoch are told so.
func (o *Owners) Leave(slot uint32, to wire.NodeID, epoch wire.Epoch) {
	r := &o.slots[slot]
	o.mapped -= r.tree.Bytes()
	r.tree, r.life = Tree{}, leaving
	if to != "" {
		o.away.bury(awayKey{r.pid, r.region}, away{to, epoch})
	}
}

// Leaving reports whether the slot is still that of a vRegion after Leave: the exit of its process takes it over.
func (o *Owners) Leaving(slot uint32, pid wire.PID, region wire.RegionNo) bool {
	r := &o.slots[slot]
	return r.used && r.life == leaving && r.pid == pid && r.region == region
}

// Left makes the slot of a vRegion that is Leaving free for another.
func (o *Owners) Left(slot uint32) {
	r := &o.slots[slot]
	o.index.Delete(uint64(r.pid), uint64(r.region))
	o.Release(slot)
}

// Arrive takes a vRegion in that will be served under epoch. Until Serve it is refused as busy.
func (o *Owners) Arrive(pid wire.PID, region wire.RegionNo, epoch wire.Epoch, from wire.NodeID) (uint32, error) {
	if slot, ok := o.index.Get(uint64(pid), uint64(region)); ok {
		r := &o.slots[slot]
		if r.life == leaving {
			return 0, wire.Errorf(wire.KindBusy, "%s still frees the pages of vRegion %d of process %d: retry", o.self, region, pid)
		}
		return 0, wire.Errorf(wire.KindExists, "%s has vRegion %d of process %d under epoch %d", o.self, region, pid, r.epoch)
	}
	if o.index.Len() >= o.maxSlots {
		return 0, wire.Errorf(wire.KindNoMemory, "%s: owns %d vRegions, at most max_owned_regions %d", o.self, o.index.Len(), o.maxSlots)
	}
	slot := o.take(owned{pid: pid, region: region, epoch: epoch, used: true, life: arriving, other: from})
	o.index.Put(uint64(pid), uint64(region), slot)
	return slot, nil
}

// Serve serves a vRegion that has arrived, with these mapped parts.
func (o *Owners) Serve(slot uint32, mapped []wire.MappedPart) {
	r := &o.slots[slot]
	for _, m := range mapped {
		r.tree.Insert(VMA{Start: m.Start, End: m.End, Anon: m.Anon, Writable: m.Writable, Name: m.Name})
	}
	o.mapped += r.tree.Bytes()
	o.away.raise(awayKey{r.pid, r.region})
	delete(o.fence.keys, fenceKey{r.pid, r.region}) // it has come back
	r.life, r.other = serving, ""
}

// Adopt serves a vRegion that has arrived from a giver that is gone, under an epoch that is newer than any that the giver may use.
func (o *Owners) Adopt(slot uint32, mapped []wire.MappedPart, epoch wire.Epoch) {
	o.slots[slot].epoch = epoch
	o.Serve(slot, mapped)
}

// CheckMapped checks the mapped parts that a giver sends: whole pages inside the vRegion, in order.
func (o *Owners) CheckMapped(slot uint32, mapped []wire.MappedPart) error {
	region := o.slots[slot].region
	for i, m := range mapped {
		if m.End < m.Start || i > 0 && m.Start < mapped[i-1].End {
			return wire.Errorf(wire.KindBadRequest, "mapped parts of vRegion %d are out of order at [%#x, %#x)", region, m.Start, m.End)
		}
		if err := o.checkRange(region, m.Start, m.End-m.Start); err != nil {
			return err
		}
	}
	return nil
}
