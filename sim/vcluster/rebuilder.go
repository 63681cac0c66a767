package vcluster

import (
	"slices"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// rebuilder sees to what the books of GMM call not settled while its leader leads: it performs what the core decides, as live.
type rebuilder struct {
	g *managers

	core  *redundancy.Driver // nil while everything is settled
	seen  [2]uint64          // turn and changes as of the last list
	queue []redundancy.Effect
	busy  bool // a proposal is under way
	woken bool
	timer vtime.Timer
	step  vtime.Kind
}

// redundantMemory is an mComponent as managers tell it of copies.
type redundantMemory interface {
	regionConfig(wire.RegionConfig, func(wire.RegionConfigRep, error))
	regionRecover(wire.RegionRecoverReq, func(wire.RegionRecoverRep, error))
	homeConfig(wire.HomeConfig, func(wire.HomeConfigRep, error))
	homeRecover(wire.HomeRecoverReq, func(wire.HomeRecoverRep, error))
}

func (g *managers) newRebuilder() *rebuilder {
	v := &rebuilder{g: g}
	v.step = g.c.clock.Handle("a look at the copies of vRegions", func(uint32) {
		v.woken = false
		v.look()
	})
	return v
}

// wake has it look at the books at this moment, after what is being done, if they have changed.
func (v *rebuilder) wake() {
	if v.woken || v.seen == v.news() {
		return
	}
	v.again()
}

func (v *rebuilder) again() {
	v.woken = true
	v.g.c.clock.Cancel(v.timer)
	v.g.c.clock.After(0, v.step, 0)
}

// news changes when the books of copies do, or an address may have. It is zero while there were no copies ever.
func (v *rebuilder) news() [2]uint64 {
	if v.g.gmm.CopyChanges() == 0 {
		return [2]uint64{}
	}
	return [2]uint64{v.g.gmm.Turn(), v.g.gmm.CopyChanges()}
}

// depose ends what the leader of before did: another begins anew with what is in the books.
func (v *rebuilder) depose() {
	v.core, v.seen, v.queue, v.busy = nil, [2]uint64{}, nil, false
	v.wake()
}

// look takes over the books as they are now and does what is due.
func (v *rebuilder) look() {
	g, now := v.g, v.g.c.clock.Now()
	if seen := v.news(); seen != v.seen {
		v.seen = seen
		listed := g.gmm.Unsettled()
		if len(listed) == 0 { // the next begins anew
			g.c.clock.Cancel(v.timer)
			v.core, v.queue, v.busy = nil, nil, false
			return
		}
		if v.core == nil {
			v.core = redundancy.New()
		}
		g.gpm.Clients(listed)
		v.perform(v.core.Sync(now, listed, nil))
	}
	if v.core == nil {
		return
	}
	v.perform(v.core.Tick(now, nil))
	v.commit()
	if next, ok := v.core.Next(); ok && !v.woken {
		g.c.clock.Cancel(v.timer)
		v.timer = g.c.clock.Timer(max(next, now), v.step, 0)
	}
}

// perform makes the calls that the core wants, and keeps for commit what it wants proposed.
func (v *rebuilder) perform(effects []redundancy.Effect) {
	core, c := v.core, v.g.c
	for _, e := range effects {
		if e.Kind == redundancy.Propose {
			v.queue = append(v.queue, e)
			continue
		}
		l := e.Listed
		answered := func(rep redundancy.Report, err error) {
			if v.core == core {
				v.perform(core.Answered(c.clock.Now(), e.Part, e.Call, rep, err, nil))
				if !v.woken {
					v.again()
				}
			}
		}
		from, to := v.g.leader, c.node(l.Node)
		at, ok := c.nodes[to].(redundantMemory)
		switch {
		case !ok:
			c.after(0, func() {
				answered(redundancy.Report{}, wire.Errorf(wire.KindBadRequest, "%s keeps no copies", l.Node))
			})
		case l.Home && l.Stage == redundancy.Recover:
			timed(c, wire.OpHomeRecover, from, to, componentPatience, l.HomeRecover(), at.homeRecover, func(r wire.HomeRecoverRep, err error) {
				answered(redundancy.HomeRecovering(r), err)
			})
		case l.Home:
			timed(c, wire.OpHomeConfig, from, to, componentPatience, l.HomeConfig(), at.homeConfig, func(r wire.HomeConfigRep, err error) {
				answered(l.HomeConfigured(r), err)
			})
		case l.Stage == redundancy.Recover:
			timed(c, wire.OpRegionRecover, from, to, componentPatience, l.RegionRecover(), at.regionRecover, func(r wire.RegionRecoverRep, err error) {
				answered(redundancy.Recovering(r), err)
			})
		default:
			timed(c, wire.OpRegionConfig, from, to, componentPatience, l.RegionConfig(), at.regionConfig, func(r wire.RegionConfigRep, err error) {
				answered(redundancy.ConfiguredAs(r), err)
			})
		}
	}
}

// commit proposes what waits for it, unless a proposal is under way.
func (v *rebuilder) commit() {
	if v.busy || len(v.queue) == 0 {
		return
	}
	n := min(len(v.queue), redundancy.MaxBatch)
	proposed := slices.Clone(v.queue[:n])
	v.queue = slices.Delete(v.queue, 0, n)
	v.busy = true
	changes := make([]redundancy.Change, 0, n)
	for _, e := range proposed {
		changes = append(changes, e.Change)
	}
	core := v.core
	client, seq := v.g.session()
	v.g.toGMM(client, seq, gmm.Request{Op: gmm.OpCopies, Copies: changes}, func(r gmm.Result, err error) {
		if v.core != core {
			return
		}
		v.busy = false
		if err == nil {
			err = r.Err()
		}
		for _, e := range proposed {
			v.perform(core.Answered(v.g.c.clock.Now(), e.Part, e.Call, redundancy.Report{}, err, nil))
		}
		if !v.woken {
			v.again()
		}
	})
}
