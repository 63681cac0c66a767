package vcluster

import (
	"slices"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// keeper sees to what the books of GMM call not settled while its leader leads: it performs what the core decides, as live.
type keeper struct {
	g *managers

	core    *redundancy.Driver
	changes uint64 // of the books, when they were read last
	read    bool
	queue   []redundancy.Effect // to be proposed, of core
	busy    bool                // a proposal is under way
	woken   bool
	timer   vtime.Timer
	step    vtime.Kind
}

func (g *managers) newKeeper() *keeper {
	k := &keeper{g: g}
	k.step = g.c.clock.Handle("a look at the copies of GMM", func(uint32) {
		k.woken = false
		k.look()
	})
	return k
}

// wake has it look at the books at this moment, after what is being done, if they have changed.
func (k *keeper) wake() {
	if k.woken || k.core == nil && k.g.gmm.CopyChanges() == 0 {
		return
	}
	k.woken = true
	k.g.c.clock.Cancel(k.timer)
	k.g.c.clock.After(0, k.step, 0)
}

// depose ends what the leader of before did.
func (k *keeper) depose() {
	k.core, k.read, k.queue, k.busy = nil, false, nil, false
	k.wake()
}

func (k *keeper) look() {
	g, now := k.g, k.g.c.clock.Now()
	if k.core == nil {
		k.core = redundancy.New()
	}
	if n := g.gmm.CopyChanges(); !k.read || n != k.changes {
		k.read, k.changes = true, n
		k.perform(k.core.Sync(now, g.gmm.Unsettled(), nil))
	}
	k.perform(k.core.Tick(now, nil))
	k.commit()
	if next, ok := k.core.Next(); ok && !k.woken {
		g.c.clock.Cancel(k.timer)
		k.timer = g.c.clock.Timer(max(next, now), k.step, 0)
	}
}

// perform makes the calls that the core wants, and keeps for commit what it wants proposed.
func (k *keeper) perform(effects []redundancy.Effect) {
	core, c := k.core, k.g.c
	for _, e := range effects {
		if e.Kind == redundancy.Propose {
			k.queue = append(k.queue, e)
			continue
		}
		answered := func(rep redundancy.Report, err error) {
			if k.core == core {
				k.perform(core.Answered(c.clock.Now(), e.Part, e.Call, rep, err, nil))
				k.wake()
			}
		}
		l := e.Listed
		from, to := k.g.leader, c.node(l.Node)
		memoryAt := func() *memory { return c.nodes[to].(*memory) }
		switch {
		case e.Part.Home && l.Stage == redundancy.Recover:
			if ps := k.g.gpm.Processes(l.PID); len(ps) > 0 && l.Client == "" {
				l.Process, l.Client = ps[0].Epoch, addr(ps[0].Node)
			}
			timed(c, wire.OpHomeRecover, from, to, componentPatience, l.HomeRecover(), func(q wire.HomeRecoverReq, done func(wire.HomeRecoverRep, error)) { memoryAt().homeRecover(q, done) },
				func(r wire.HomeRecoverRep, err error) { answered(redundancy.HomeRecovering(r), err) })
		case e.Part.Home:
			timed(c, wire.OpHomeConfig, from, to, componentPatience, l.HomeConfig(), func(q wire.HomeConfig, done func(wire.HomeConfigRep, error)) { memoryAt().homeConfig(q, done) },
				func(r wire.HomeConfigRep, err error) { answered(l.HomeConfigured(r), err) })
		case l.Stage == redundancy.Recover:
			timed(c, wire.OpRegionRecover, from, to, componentPatience, l.RegionRecover(), func(q wire.RegionRecoverReq, done func(wire.RegionRecoverRep, error)) {
				memoryAt().regionRecover(q, done)
			},
				func(r wire.RegionRecoverRep, err error) { answered(redundancy.Recovering(r), err) })
		default:
			timed(c, wire.OpRegionConfig, from, to, componentPatience, l.RegionConfig(), func(q wire.RegionConfig, done func(wire.RegionConfigRep, error)) { memoryAt().regionConfig(q, done) },
				func(r wire.RegionConfigRep, err error) { answered(redundancy.ConfiguredAs(r), err) })
		}
	}
}

// commit proposes what waits for it, unless a proposal is under way.
func (k *keeper) commit() {
	if k.busy || len(k.queue) == 0 {
		return
	}
	n := min(len(k.queue), redundancy.MaxBatch)
	proposed := slices.Clone(k.queue[:n])
	k.queue = slices.Delete(k.queue, 0, n)
	k.busy = true
	var changes []redundancy.Change
	for _, e := range proposed {
		changes = append(changes, e.Change)
	}
	core := k.core
	client, seq := k.g.session()
	k.g.toGMM(client, seq, gmm.Request{Op: gmm.OpCopies, Copies: changes}, func(r gmm.Result, err error) {
		if k.core != core {
			return
		}
		k.busy = false
		if err == nil {
			err = r.Err()
		}
		for _, e := range proposed {
			k.perform(core.Answered(k.g.c.clock.Now(), e.Part, e.Call, redundancy.Report{}, err, nil))
		}
		k.wake()
	})
}
