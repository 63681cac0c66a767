package vcluster

import (
	"errors"
	"fmt"

	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// Settled says what is left when all vNodes have been given back and nothing is to be done any more: what the books or the components still
// have, or who is no member although it runs; nil if nothing.
func (c *Cluster) Settled() error {
	if err := settled(c); err != nil {
		return err
	}
	if d := c.Audit(); len(d) > 0 {
		return fmt.Errorf("the audit finds %+v", d)
	}
	if c.o.Membership.Lease == 0 {
		return nil
	}
	for _, k := range groups {
		for _, s := range c.Standings(k) {
			if s.State != membership.Active || !s.Alive || s.Epoch != c.epoch(c.node(s.ID)) {
				return fmt.Errorf("%v is no active member: %v; it knows epoch %d", s.ID, s, c.epoch(c.node(s.ID)))
			}
		}
	}
	return nil
}

// CheckInvariants says what is wrong within a core, or which limit is not kept, at any moment. It looks at everything.
func (c *Cluster) CheckInvariants() error {
	g := c.gm
	if err := errors.Join(g.gpm.CheckInvariants(), g.gmm.CheckInvariants(), g.gsm.CheckInvariants(), g.core.CheckInvariants()); err != nil {
		return fmt.Errorf("managers: %w", err)
	}
	for _, m := range c.memory {
		if err := errors.Join(m.owners.CheckInvariants(), m.store.CheckInvariants(), m.home.CheckInvariants(), m.blocks.cache.CheckInvariants()); err != nil {
			return fmt.Errorf("%s: %w", m.o.ID, err)
		}
		if err := m.red.checkInvariants(); err != nil {
			return fmt.Errorf("%s: %w", m.o.ID, err)
		}
		if used := m.store.Stats().Used; used > m.frames() || m.owners.Regions() > m.o.MaxOwnedRegions {
			return fmt.Errorf("%s: %d of %d pages, %d of %d vRegions", m.o.ID, used, m.frames(), m.owners.Regions(), m.o.MaxOwnedRegions)
		}
	}
	for _, n := range c.compute {
		if room := n.o.ExCacheBytes >> 12; n.lines > room {
			return fmt.Errorf("%s: %d lines of ExCaches, it has %d", n.o.ID, n.lines, room)
		}
		for _, p := range n.sorted() {
			if err := p.core.CheckInvariants(); err != nil {
				return fmt.Errorf("%s: process %s: %w", n.o.ID, p.o.Name, err)
			}
		}
	}
	for _, s := range c.storage {
		if s.reserved > s.o.StorageBytes || len(s.vols) > s.o.MaxVolumes {
			return fmt.Errorf("%s: %d of %d bytes, %d of %d volumes", s.o.ID, s.reserved, s.o.StorageBytes, len(s.vols), s.o.MaxVolumes)
		}
		for _, id := range sorted(s.vols) {
			if err := s.vols[id].core.CheckInvariants(); err != nil {
				return fmt.Errorf("%s: volume %d: %w", s.o.ID, id, err)
			}
		}
	}
	return nil
}

// balanced says what is wrong with the books of the managers when nothing is left to do: every vNode has been given back.
func balanced(c *Cluster) error {
	g := c.gm
	for _, err := range []error{g.gpm.CheckInvariants(), g.gmm.CheckInvariants(), g.gsm.CheckInvariants(), g.core.CheckInvariants()} {
		if err != nil {
			return err
		}
	}
	b := audit.Books{Processes: g.gpm.Processes(0), Homes: g.gmm.Processes(0), Volumes: g.gsm.Volumes(0), Files: g.gsm.Files(), Compute: g.gpm.Members(), Memory: g.gmm.Members(), Storage: g.gsm.Members()}
	if d := audit.Compare(b); len(d) > 0 {
		return fmt.Errorf("the books differ: %+v", d)
	}
	if len(b.Processes)+len(b.Homes)+len(b.Volumes)+len(g.gmm.Prepared())+len(g.gsm.Prepared())+len(g.tickets)+len(g.waiting)+len(g.gpm.Queue(0)) > 0 {
		return fmt.Errorf("left: %+v, %+v, %+v, prepared %v and %v, tickets %v, waiting %v, queue %v", b.Processes, b.Homes, b.Volumes, g.gmm.Prepared(), g.gsm.Prepared(), g.tickets, g.waiting, g.gpm.Queue(0))
	}
	if len(b.Files) > 0 {
		return fmt.Errorf("backup files without a log: %+v", b.Files)
	}
	return nil
}

// settled says what is left when all vNodes have been given back and nothing is to be done any more.
func settled(c *Cluster) error {
	if err := balanced(c); err != nil {
		return err
	}
	for _, k := range managersOf {
		if n := len(c.gm.state(k).Moves().Moves()); n > 0 {
			return fmt.Errorf("%v lists %d moves", k, n)
		}
	}
	for _, m := range c.memory {
		if err := errors.Join(m.owners.CheckInvariants(), m.store.CheckInvariants(), m.home.CheckInvariants(), m.blocks.cache.CheckInvariants()); err != nil {
			return fmt.Errorf("%s: %w", m.o.ID, err)
		}
		if h := m.holdings(); len(h.Homes)+len(h.Regions)+len(h.Caches)+len(h.Replicas)+len(h.Backups) > 0 || m.owners.Regions() > 0 || m.store.Stats().Used > 0 {
			return fmt.Errorf("%s has %+v, %d vRegions and %d pages", m.o.ID, h, m.owners.Regions(), m.store.Stats().Used)
		}
		if mv := m.moving; mv != nil && mv.taker.Len()+mv.homeTaker.Len()+len(mv.giving) > 0 {
			return fmt.Errorf("%s: %d vRegions and %d homes are on their way there, %d vRegions from there", m.o.ID, mv.taker.Len(), mv.homeTaker.Len(), len(mv.giving))
		}
	}
	for _, n := range c.compute {
		if len(n.procs) > 0 || n.lines > 0 || n.run > 0 || n.moving != nil && len(n.moving.here) > 0 {
			return fmt.Errorf("%s has %d processes, %d lines and %d threads", n.o.ID, len(n.procs), n.lines, n.run)
		}
	}
	for _, s := range c.storage {
		if len(s.vols) > 0 || s.reserved > 0 || s.moving != nil && len(s.moving.incoming) > 0 {
			return fmt.Errorf("%s has %d volumes and %d bytes", s.o.ID, len(s.vols), s.reserved)
		}
	}
	if c.o.Membership.Lease > 0 {
		return nil // there is always something under way
	}
	if n := len(c.later.rows) - len(c.later.none); n > 0 {
		return fmt.Errorf("%d continuations are left", n)
	}
	if n := len(c.msgs.rows) - len(c.msgs.none); n > 0 {
		return fmt.Errorf("%d messages are left", n)
	}
	return nil
}

// Named are the processes of vNodes of a name that the managers have in their books.
func (c *Cluster) Named(name string) (pids []wire.PID) {
	for _, p := range c.gm.gpm.Processes(0) {
		if p.Name == name {
			pids = append(pids, p.PID)
		}
	}
	return pids
}
