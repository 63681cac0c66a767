package gmanagers

import (
	"context"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// sweeper has components drop what the books of one group have nowhere, while this process leads it: what was left when its
// process ended while a component was stopped, fenced or out of reach. One goroutine owns it; it asks one component after the other.
type sweeper struct {
	d      *driver
	g      wire.Manager
	rounds *membership.Rounds // nil while it does not lead
}

// leftoverState is a state that knows what components should not hold.
type leftoverState interface {
	Leftovers(wire.HoldingsRep) []wire.DropReq
}

// look asks who is due.
func (v *sweeper) look() {
	m := v.d.m
	if !v.d.leads(v.g) {
		v.rounds = nil
		return
	}
	if v.rounds == nil {
		v.rounds = membership.NewRounds(ms(m.o.SweepMS))
	}
	of := []wire.Manager{v.g}
	if v.g == wire.GSM {
		of = append(of, wire.GMM) // whose members are the buffer caches
	}
	for _, g := range of {
		var entries []membership.Entry
		if err := v.d.host.Stale(g, func(s raftsm.State) { entries = s.Entries() }); err != nil {
			return // stopping
		}
		for _, e := range entries {
			now := m.now()
			m.mu.Lock()
			heard := m.watch.Heeded(now, e.Member)
			m.mu.Unlock()
			if v.rounds.Due(now, &e, heard) && v.sweep(e.Member) {
				v.rounds.Again(e.Member.ID)
			}
			if v.d.ctx.Err() != nil {
				return
			}
		}
	}
}

// sweep looks at one component; left says that there is more to drop.
func (v *sweeper) sweep(c wire.Member) (left bool) {
	var held wire.HoldingsRep
	if err := v.d.peers.call(v.d.ctx, c.Addr, wire.OpHoldings, &wire.HoldingsReq{}, &held); err != nil || held.Node != c.ID || held.Epoch != c.Epoch {
		return false // asked again in its turn
	}
	var drops []wire.DropReq
	ctx, cancel := context.WithTimeout(v.d.ctx, barrierTimeout)
	defer cancel()
	if err := v.d.host.Read(ctx, v.g, func(s raftsm.State) { drops = s.(leftoverState).Leftovers(held) }); err != nil {
		return false
	}
	for _, q := range drops[:min(len(drops), membership.MaxSwept)] {
		err := v.d.peers.call(v.d.ctx, c.Addr, wire.OpDrop, &q, nil)
		args := []any{"component", string(c.ID), "kind", q.Kind.String(), "pid", uint64(q.PID), "region", uint64(q.Region), "volume", uint64(q.Volume), "epoch", uint32(q.UpTo), "because", q.Text}
		if err != nil {
			v.d.m.log.Warn("what nobody owns could not be dropped", append(args, "error", err.Error())...)
			continue
		}
		v.d.m.stats.dropped.Add(1)
		v.d.m.log.Info("dropped what nobody owns", args...)
	}
	return v.sweepCopies(c, held) || len(drops) > membership.MaxSwept
}

// sweepCopies has an mComponent drop the copies that it keeps of what it holds no copy of any more.
func (v *sweeper) sweepCopies(c wire.Member, held wire.HoldingsRep) (left bool) {
	if v.g != wire.GMM || len(held.Holds.Replicas)+len(held.Holds.Backups) == 0 {
		return false
	}
	var copies []wire.ReplicaRef
	var backups []wire.HomeBackupReq
	if err := v.d.host.Stale(v.g, func(s raftsm.State) { copies, backups = s.(*gmm.State).StaleCopies(held) }); err != nil {
		return false
	}
	drop := func(op wire.Op, req any, what string, pid wire.PID, region wire.RegionNo) {
		if err := v.d.peers.call(v.d.ctx, c.Addr, op, req, nil); err != nil {
			v.d.m.log.Warn("a copy that nobody needs could not be dropped", "component", string(c.ID), "what", what, "pid", uint64(pid), "region", uint64(region), "error", err.Error())
			return
		}
		v.d.m.stats.dropped.Add(1)
		v.d.m.log.Info("dropped a copy that nobody needs", "component", string(c.ID), "what", what, "pid", uint64(pid), "region", uint64(region))
	}
	for i := range copies[:min(len(copies), membership.MaxSwept)] {
		q := &copies[i]
		drop(wire.OpReplicaDrop, q, "vRegion", q.PID, q.Region)
	}
	for i := range backups[:min(len(backups), membership.MaxSwept)] {
		q := &backups[i]
		drop(wire.OpHomeBackup, q, "home", q.Copy.PID, 0)
	}
	return len(copies) > membership.MaxSwept || len(backups) > membership.MaxSwept
}
