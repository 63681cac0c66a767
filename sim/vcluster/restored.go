package vcluster

import (
	"errors"
	"fmt"
	"slices"

	"splitkernel/gmanagers/gmm"
	"splitkernel/netlayer/wire"
)

// Restored says what of a process does not survive what its policies say, though everybody runs: a home without its backup, a vRegion or a
// volume that lacks a copy. It does not only believe the books: it looks whether each holder has every page of the owner in its newest version, or the
// owner counts the page as unprotected; and what it keeps of the page for a checkpoint. The process must be drained. The error is of wire.KindFailed if something is lost, which nobody may have noticed; nil if
// all is there.
func (c *Cluster) Restored(pid wire.PID) error {
	for _, p := range c.gm.gmm.Processes(pid) {
		if p.Memory.Kind == wire.MemoryNone {
			continue
		}
		if err := whole(p.Copies, 1); err != nil {
			return fmt.Errorf("the home of process %d at %s: %w", pid, p.Home, err)
		}
		for i := range p.Regions {
			if err := c.regionRestored(&p, &p.Regions[i]); err != nil {
				return fmt.Errorf("vRegion %d of process %d at %s: %w", p.Regions[i].Region, pid, p.Regions[i].Node, err)
			}
		}
	}
	for _, u := range c.gm.gsm.Unsettled(c.gm.gmm.Entries(), c.gm.gpm.AddrOf) {
		for _, v := range c.gm.gsm.Volumes(u.Place.Volume) {
			if v.PID == pid {
				return fmt.Errorf("volume %d of process %d needs something: %+v", v.Volume, pid, u)
			}
		}
	}
	return nil
}

// whole says what the books lack of something that is to have so many holders.
func whole(x *gmm.Copies, holders int) error {
	switch {
	case x == nil:
		return wire.Errorf(wire.KindFailed, "it is lost: who served it ended when nobody else had everything")
	case x.Recovering || !x.Known:
		return fmt.Errorf("it is being recovered (%t), or who serves it does not know its configuration %d", x.Recovering, x.Config)
	case len(x.Holders) != holders:
		return fmt.Errorf("it has the holders %+v, want %d", x.Holders, holders)
	}
	for _, h := range x.Holders {
		if h.Filling {
			return fmt.Errorf("%s is being filled", h.Node)
		}
	}
	return nil
}

// regionRestored compares a vRegion with its holders, page by page.
func (c *Cluster) regionRestored(p *gmm.Process, r *gmm.Region) error {
	if err := whole(r.Copies, p.Memory.Holders()); err != nil {
		return err
	}
	m := c.nodes[c.node(r.Node)].(*memory)
	slot, err := m.owners.Serving(p.PID, r.Region, r.Epoch)
	if err != nil {
		return err
	}
	if m.red == nil {
		return errors.New("its owner keeps no copies")
	}
	pages := append(m.store.Pages(slot, nil), m.store.Keeps(slot)...)
	slices.Sort(pages)
	pages = slices.Compact(pages)
	bare, why := uint64(0), ""
	for _, h := range r.Copies.Holders {
		held := c.nodes[c.node(h.Node)].(*memory).red
		if held == nil {
			return fmt.Errorf("%s holds nothing", h.Node)
		}
	}
	if err := c.sharesRestored(p, r, m, slot); err != nil {
		return err
	}
	for _, page := range pages {
		if _, has, ok := m.store.Peek(p.PID, page); ok && has.Flushed {
			for _, h := range r.Copies.Holders {
				now, _, err := c.heldOf(p, r, h.Node, page)
				if err != nil {
					return err
				}
				if now == nil || now.State == wire.PageLost || now.Epoch != has.Epoch || now.Version != has.Version {
					bare++
					why = fmt.Sprintf("page %#x, of which its owner has version %d of epoch %d: %s has %+v", uint64(page), has.Version, has.Epoch, h.Node, now)
					break
				}
			}
		}
		if err := c.keptRestored(p, r, m, slot, page); err != nil {
			return err
		}
	}
	if said := m.red.primary.Status(slot).Unprotected; bare > said {
		return fmt.Errorf("%d pages are protected that are not, %d are counted as unprotected: %s", bare-said, said, why)
	}
	return nil
}

// sharesRestored compares the shares of each page that was written: every holder has another share, and all are of one version.
func (c *Cluster) sharesRestored(p *gmm.Process, r *gmm.Region, m *memory, slot uint32) error {
	switch {
	case p.Memory.Kind != wire.MemoryErasure:
		return nil
	case !m.red.shares.Has(slot) || !m.red.shares.Whole(slot):
		return errors.New("its owner does not know what was written")
	}
	seen := map[uint32]wire.NodeID{}
	for _, h := range r.Copies.Holders {
		if other, ok := seen[h.Index]; ok || int(h.Index) >= p.Memory.Holders() {
			return fmt.Errorf("%s has share %d of %d, and so has %q", h.Node, h.Index, p.Memory.Holders(), other)
		}
		seen[h.Index] = h.Node
	}
	for _, page := range m.red.shares.Written(slot) {
		var first *wire.PageEntry
		for _, h := range r.Copies.Holders {
			now, _, err := c.heldOf(p, r, h.Node, page)
			switch {
			case err != nil:
				return err
			case now == nil || now.State == wire.PageLost || first != nil && (now.Epoch != first.Epoch || now.Version != first.Version):
				return fmt.Errorf("page %#x: %s has of it %+v, %s %+v", uint64(page), r.Copies.Holders[0].Node, first, h.Node, now)
			case first == nil:
				first = now
			}
		}
		if at := m.red.shares.Newest(slot, page); first == nil || first.Epoch != at.Epoch || first.Version != at.Version {
			return fmt.Errorf("page %#x, of which its owner knows version %d of epoch %d: its holders have %+v", uint64(page), at.Version, at.Epoch, first)
		}
	}
	return nil
}

// heldOf gives what a holder has of a page as it is, and as it was at the last checkpoint; nil is nothing.
func (c *Cluster) heldOf(p *gmm.Process, r *gmm.Region, at wire.NodeID, page wire.PageNo) (now, kept *wire.PageEntry, err error) {
	q := wire.ReplicaRead{PID: p.PID, Region: r.Region, OwnerEpoch: r.Epoch, Config: r.Copies.Config, Page: page, Count: 1, Flags: wire.ReplicaExact | wire.ReplicaList}
	items, _, err := c.nodes[c.node(at)].(*memory).red.holder.Read(q, nil)
	for i := range items {
		if e := &items[i].PageEntry; e.Pre == 0 {
			now = e
		} else {
			kept = e
		}
	}
	return now, kept, err
}

// keptRestored compares what is kept of a page for the last checkpoint with what the holders keep of it: any of them may have to go back to it. Who knows of an
// older checkpoint hears of the newer one with the way back to it. What a full log skipped it keeps the version of.
func (c *Cluster) keptRestored(p *gmm.Process, r *gmm.Region, m *memory, slot uint32, page wire.PageNo) error {
	_, was, mark, keeps := m.store.PeekKept(slot, page)
	if !keeps {
		return nil
	}
	skips := p.Memory.Kind == wire.MemoryLog && !p.Memory.LogBlock
	for _, h := range r.Copies.Holders {
		_, kept, err := c.heldOf(p, r, h.Node, page)
		if err != nil {
			return err
		}
		if kept == nil || kept.Pre != mark || kept.Epoch != was.Epoch || kept.Version != was.Version || kept.State == wire.PageLost && !skips {
			return fmt.Errorf("page %#x, of which its owner keeps version %d of epoch %d for the checkpoint of mark %d: %s keeps %+v", uint64(page), was.Version, was.Epoch, mark, h.Node, kept)
		}
	}
	return nil
}

// checkInvariants looks at everything that makes memory survive.
func (r *redundant) checkInvariants() error {
	if r == nil {
		return nil
	}
	errs := []error{r.primary.CheckInvariants(), r.holder.CheckInvariants()}
	for _, k := range r.order {
		errs = append(errs, r.recs[k].CheckInvariants())
	}
	return errors.Join(errs...)
}

// Unprotected is how many pages are without a copy now because a full log skipped them, as their owners say, and how many were skipped in all.
func (c *Cluster) Unprotected() (now int, skipped uint64) {
	for _, m := range c.memory {
		if m.red != nil {
			s := m.red.primary.Stats()
			now, skipped = now+s.Unprotected, skipped+s.Skipped
		}
	}
	return now, skipped
}
