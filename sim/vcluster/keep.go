package vcluster

import (
	"slices"
	"time"

	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/repair"
	"splitkernel/netlayer/wire"
)

// keeper looks after copies of volumes and buffer caches while GSM's leader leads: it performs what the pure package repair decides, as
// live. It looks when leaders look who is silent, and when it is due; in the background, so that it keeps no run going.
type keeper struct {
	*leading[repair.Effect, wire.VolumeConfigRep]
	core *repair.Keeper // nil while no volume needs anything
}

func (g *managers) newKeeper() *keeper {
	v := &keeper{}
	v.leading = newLeading(g, "a look at copies of volumes and buffer caches", gsm.MaxRepairs, true, v)
	return v
}

func (v *keeper) end() { v.core = nil }

func (v *keeper) stirred() bool { return false } // it is looked at often

func (v *keeper) books(now time.Duration) (ticker[repair.Effect], []repair.Effect, bool) {
	g := v.g
	list := g.gsm.Unsettled(g.gmm.Entries(), g.gpm.AddrOf)
	if len(list) == 0 {
		return nil, nil, false
	}
	if v.core == nil {
		v.core = repair.New(g.c.o.Managers.ReplaceAfter)
	}
	return v.core, v.core.Sync(now, list, nil), true
}

func (v *keeper) proposed(e *repair.Effect) bool { return e.Kind == repair.Propose }

func (v *keeper) call(e *repair.Effect, done func(wire.VolumeConfigRep, error)) {
	c, from := v.g.c, v.g.leader
	ended := func(_ struct{}, err error) { done(wire.VolumeConfigRep{}, err) }
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
		}, done)
	case repair.Attach:
		to := c.node(e.Node)
		timed(c, wire.OpVolumeAttach, from, to, componentPatience, e.Attach, func(q wire.VolumeAttachReq, done func(struct{}, error)) {
			c.nodes[to].(*memory).attach(q, func(err error) { done(struct{}{}, err) })
		}, ended)
	case repair.Tell:
		to, err := c.nodeAt(e.Addr)
		if err != nil {
			c.after(0, func() { done(wire.VolumeConfigRep{}, err) })
			return
		}
		timed(c, wire.OpCacheSwitch, from, to, componentPatience, e.Switch, func(q wire.SwitchReq, done func(struct{}, error)) {
			done(struct{}{}, c.nodes[to].(*compute).cacheSwitch(q))
		}, ended)
	}
}

func (v *keeper) propose(effects []repair.Effect, done func([]error)) {
	changes := make([]repair.Change, 0, len(effects))
	for i := range effects {
		changes = append(changes, effects[i].Change)
	}
	client, seq := v.g.session()
	v.g.toGSM(client, seq, gsm.Request{Op: gsm.OpRepair, Repairs: changes}, func(r gsm.Result, err error) {
		errs := slices.Repeat([]error{firstOf(err, r.Err())}, len(effects))
		for i := range errs {
			if errs[i] == nil {
				errs[i] = r.Repaired[i].Err()
			}
		}
		done(errs)
	})
}

func (v *keeper) answered(now time.Duration, e *repair.Effect, rep wire.VolumeConfigRep, err error) []repair.Effect {
	return v.core.Answered(now, e.Volume, e.Call, rep, err, nil)
}
