package vcluster

import (
	"slices"
	"time"

	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/repair"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// keeper looks after copies of volumes and buffer caches while GSM's leader leads: it performs what the pure package repair decides, as
// live. It looks when leaders look who is silent, and when it is due; in the background, so that it keeps no run going.
type keeper struct {
	g    *managers
	core *repair.Keeper // nil while no volume needs anything

	queue []repair.Effect // to be proposed, of core
	busy  bool            // a proposal is under way
	step  vtime.Kind
	armed uint32 // of the look that is due next: those before it were brought forward
}

func (g *managers) newKeeper() *keeper {
	v := &keeper{g: g}
	v.step = g.c.clock.Handle("a look at copies of volumes and buffer caches", func(no uint32) {
		if no == v.armed {
			v.look()
		}
	})
	return v
}

// depose ends what the leader of before did: another begins anew with what is in the books.
func (v *keeper) depose() { v.core, v.queue, v.busy = nil, nil, false }

// look takes over which volumes need something now and does what is due.
func (v *keeper) look() {
	g, now := v.g, v.g.c.clock.Now()
	if !g.quorum() {
		return
	}
	list := g.gsm.Unsettled(g.gmm.Entries(), g.gpm.AddrOf)
	if v.core == nil {
		if len(list) == 0 {
			return
		}
		v.core = repair.New(g.c.o.Managers.ReplaceAfter)
	}
	v.perform(v.core.Sync(now, list, nil))
	v.perform(v.core.Tick(now, nil))
	v.commit()
	if len(list) == 0 && !v.busy { // the next begins anew
		v.depose()
		return
	}
	v.arm()
}

// arm has it look again when something is due.
func (v *keeper) arm() {
	if v.core == nil {
		return
	}
	if next, ok := v.core.Next(); ok {
		v.armed++
		v.g.c.clock.Background(max(next, v.g.c.clock.Now()+time.Millisecond), v.step, v.armed)
	}
}

// perform makes the calls that the core wants, and keeps for commit what it wants proposed.
func (v *keeper) perform(effects []repair.Effect) {
	core, c := v.core, v.g.c
	for _, e := range effects {
		if e.Kind == repair.Propose {
			v.queue = append(v.queue, e)
			continue
		}
		answered := func(rep wire.VolumeConfigRep, err error) {
			if v.core == core {
				v.perform(core.Answered(c.clock.Now(), e.Volume, e.Call, rep, err, nil))
				v.commit()
				v.arm()
			}
		}
		ended := func(_ struct{}, err error) { answered(wire.VolumeConfigRep{}, err) }
		from := v.g.leader
		switch e.Kind {
		case repair.Create:
			to := c.node(e.Node)
			timed(c, wire.OpVolumeCreate, from, to, componentPatience, e.Create, func(q wire.VolumeCreateReq, done func(struct{}, error)) {
				done(struct{}{}, c.nodes[to].(*storage).create(q))
			}, ended)
		case repair.Config:
			to := c.node(e.Node)
			timed(c, wire.OpVolumeConfig, from, to, componentPatience, e.Config, func(q wire.VolumeConfigReq, done func(wire.VolumeConfigRep, error)) {
				c.nodes[to].(*memory).configure(q, done)
			}, answered)
		case repair.Attach:
			to := c.node(e.Node)
			timed(c, wire.OpVolumeAttach, from, to, componentPatience, e.Attach, func(q wire.VolumeAttachReq, done func(struct{}, error)) {
				c.nodes[to].(*memory).attach(q, func(err error) { done(struct{}{}, err) })
			}, ended)
		case repair.Tell:
			to, err := c.nodeAt(e.Addr)
			if err != nil {
				c.after(0, func() { answered(wire.VolumeConfigRep{}, err) })
				continue
			}
			timed(c, wire.OpCacheSwitch, from, to, componentPatience, e.Switch, func(q wire.SwitchReq, done func(struct{}, error)) {
				done(struct{}{}, c.nodes[to].(*compute).cacheSwitch(q))
			}, ended)
		}
	}
}

// commit proposes what waits for it, unless a proposal is under way.
func (v *keeper) commit() {
	if v.busy || len(v.queue) == 0 {
		return
	}
	n := min(len(v.queue), gsm.MaxRepairs)
	proposed := slices.Clone(v.queue[:n])
	v.queue = slices.Delete(v.queue, 0, n)
	v.busy = true
	changes := make([]repair.Change, 0, n)
	for _, e := range proposed {
		changes = append(changes, e.Change)
	}
	core := v.core
	client, seq := v.g.session()
	v.g.toGSM(client, seq, gsm.Request{Op: gsm.OpRepair, Repairs: changes}, func(r gsm.Result, err error) {
		if v.core != core {
			return
		}
		v.busy = false
		for i, e := range proposed {
			result := firstOf(err, r.Err())
			if result == nil {
				result = r.Repaired[i].Err()
			}
			v.perform(core.Answered(v.g.c.clock.Now(), e.Volume, e.Call, wire.VolumeConfigRep{}, result, nil))
		}
		v.look()
	})
}
