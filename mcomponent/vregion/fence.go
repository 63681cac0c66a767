package vregion

import (
	"fmt"

	"splitkernel/netlayer/canary"
	"splitkernel/netlayer/wire"
)

// maxFenced bounds the vRegions of which is remembered that they were lost to a fence while their process has not ended.
// Beyond it the oldest are forgotten: their process is told then that they are not here, and fails a little later.
const maxFenced = 1 << 16

// fence is what an mComponent remembers of what it had to drop: who comes for it must fail and not ask for the owner again.
type fence struct {
	why   string
	keys  map[fenceKey]bool // looked up, never ranged over
	order []fenceKey        // the first to be lost first; may name keys that are gone
}

type fenceKey struct {
	pid    wire.PID
	region wire.RegionNo
}

func (f *fence) lost(pid wire.PID, region wire.RegionNo) bool {
	return f.keys != nil && f.keys[fenceKey{pid, region}]
}

func (f *fence) add(k fenceKey) {
	if f.keys == nil {
		f.keys = map[fenceKey]bool{}
	}
	if len(f.order) >= maxFenced {
		delete(f.keys, f.order[0])
		f.order = f.order[1:]
	}
	f.keys[k] = true
	f.order = append(f.order, k)
}

// Fence stops serving all vRegions, because the managers have given them up, and appends their slots in ascending order.
// Their pages must be freed before Release. Until its process ends here, who asks for one is told why it is lost, and it
// is never mapped here again; but for one of which others have copies (copied, by slot; nil is none): somebody serves it, or soon does, and its process
// asks for the owner again.
func (o *Owners) Fence(why string, copied func(slot uint32) bool, slots []uint32) []uint32 {
	o.fence.why = why
	o.member.end()
	for i := range o.slots {
		if r := &o.slots[i]; r.used {
			if !canary.On(canary.ForgetfulFence) || r.epoch == 1 {
				slots = append(slots, uint32(i))
			}
			if r.life != arriving && r.life != reviving && r.life != holding && (copied == nil || !copied(uint32(i))) { // which somebody else serves
				o.fence.add(fenceKey{r.pid, r.region})
			}
			o.index.Delete(uint64(r.pid), uint64(r.region))
			o.mapped -= r.tree.Bytes()
			r.tree, r.used = Tree{}, false
		}
	}
	return slots
}

// fenced returns the error of a vRegion that was lost to a fence; nil if it was not.
func (o *Owners) fenced(pid wire.PID, region wire.RegionNo) error {
	if !o.fence.lost(pid, region) {
		return nil
	}
	return wire.Errorf(wire.KindFailed, "vRegion %d of process %d is lost: %s", region, pid, o.fence.why)
}

// forget drops what is remembered of a process.
func (f *fence) forget(pid wire.PID) {
	if len(f.keys) == 0 {
		return
	}
	kept := f.order[:0]
	for _, k := range f.order {
		if k.pid == pid {
			delete(f.keys, k)
		} else {
			kept = append(kept, k)
		}
	}
	f.order = kept
}

// Fence ends the home role for all processes that live here, because the managers have given their homes up: from now on
// each is refused everything but its exit, which still reaches its owners: as not here, if it has a backup, for that is its home now or soon is.
// What is under way ends by itself.
func (h *Home) Fence(why string) {
	h.member.end()
	h.backups = map[wire.PID]*backupMap{}
	for _, p := range h.procs { // to each the same: no order
		if !p.exited && p.fenced == "" {
			p.fenced = why
		}
	}
}

// refused returns the error of a process that may do nothing but exit here; nil if it may.
func (p *process) refused() error {
	if p.fenced == "" {
		return nil
	}
	if p.backup.Backup.Node != "" {
		return wire.Errorf(wire.KindNotOwner, "the home of process %d is elsewhere, or will be: %s", p.pid, p.fenced)
	}
	return wire.Errorf(wire.KindFailed, "the home of process %d is lost: %s", p.pid, p.fenced)
}

// checkFence checks the bound.
func (f *fence) check() error {
	if len(f.order) > maxFenced || len(f.keys) > len(f.order) {
		return fmt.Errorf("vregion: %d vRegions lost to a fence in %d places, at most %d", len(f.keys), len(f.order), maxFenced)
	}
	return nil
}
