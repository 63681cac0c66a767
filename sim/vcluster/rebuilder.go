package vcluster

import (
	"slices"
	"time"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// rebuilder sees to what the books of GMM call not settled while its leader leads: it performs what the core decides, as live.
type rebuilder struct {
	*leading[redundancy.Effect, redundancy.Report]
	core *redundancy.Driver // nil while everything is settled
	seen [2]uint64          // turn and changes as of the last list
}

// redundantMemory is an mComponent as managers tell it of copies.
type redundantMemory interface {
	regionConfig(wire.RegionConfig, func(wire.RegionConfigRep, error))
	regionRecover(wire.RegionRecoverReq, func(wire.RegionRecoverRep, error))
	homeConfig(wire.HomeConfig, func(wire.HomeConfigRep, error))
	homeRecover(wire.HomeRecoverReq, func(wire.HomeRecoverRep, error))
}

func (g *managers) newRebuilder() *rebuilder {
	v := &rebuilder{}
	v.leading = newLeading(g, "a look at the copies of vRegions", redundancy.MaxBatch, false, v)
	return v
}

// news changes when the books of copies do, or an address may have. It is zero while there were no copies ever.
func (v *rebuilder) news() [2]uint64 {
	if v.g.gmm.CopyChanges() == 0 {
		return [2]uint64{}
	}
	return [2]uint64{v.g.gmm.Turn(), v.g.gmm.CopyChanges()}
}

func (v *rebuilder) stirred() bool { return v.seen != v.news() }

func (v *rebuilder) end() { v.core = nil }

// depose has the next leader read the books whether they have changed or not.
func (v *rebuilder) depose() {
	v.seen = [2]uint64{}
	v.leading.depose()
}

func (v *rebuilder) books(now time.Duration) (ticker[redundancy.Effect], []redundancy.Effect, bool) {
	if !v.stirred() {
		return v.core, nil, v.core != nil
	}
	v.seen = v.news()
	listed := v.g.gmm.Unsettled()
	if len(listed) == 0 {
		return nil, nil, false
	}
	if v.core == nil {
		v.core = redundancy.New()
	}
	v.g.gpm.Clients(listed)
	return v.core, v.core.Sync(now, listed, nil), true
}

func (v *rebuilder) proposed(e *redundancy.Effect) bool { return e.Kind == redundancy.Propose }

func (v *rebuilder) call(e *redundancy.Effect, done func(redundancy.Report, error)) {
	c, l := v.g.c, &e.Listed
	from, to := v.g.leader, c.node(l.Node)
	at, ok := c.nodes[to].(redundantMemory)
	switch {
	case !ok:
		c.after(0, func() { done(redundancy.Report{}, wire.Errorf(wire.KindBadRequest, "%s keeps no copies", l.Node)) })
	case l.Home && l.Stage == redundancy.Recover:
		timed(c, wire.OpHomeRecover, from, to, componentPatience, l.HomeRecover(), at.homeRecover, func(r wire.HomeRecoverRep, err error) {
			done(redundancy.HomeRecovering(r), err)
		})
	case l.Home:
		timed(c, wire.OpHomeConfig, from, to, componentPatience, l.HomeConfig(), at.homeConfig, func(r wire.HomeConfigRep, err error) {
			done(l.HomeConfigured(r), err)
		})
	case l.Stage == redundancy.Recover:
		timed(c, wire.OpRegionRecover, from, to, componentPatience, l.RegionRecover(), at.regionRecover, func(r wire.RegionRecoverRep, err error) {
			done(redundancy.Recovering(r), err)
		})
	default:
		timed(c, wire.OpRegionConfig, from, to, componentPatience, l.RegionConfig(), at.regionConfig, func(r wire.RegionConfigRep, err error) {
			done(redundancy.ConfiguredAs(r), err)
		})
	}
}

func (v *rebuilder) propose(effects []redundancy.Effect, done func([]error)) {
	changes := make([]redundancy.Change, 0, len(effects))
	for i := range effects {
		changes = append(changes, effects[i].Change)
	}
	client, seq := v.g.session()
	v.g.toGMM(client, seq, gmm.Request{Op: gmm.OpCopies, Copies: changes}, func(r gmm.Result, err error) {
		done(slices.Repeat([]error{firstOf(err, r.Err())}, len(effects)))
	})
}

func (v *rebuilder) answered(now time.Duration, e *redundancy.Effect, rep redundancy.Report, err error) []redundancy.Effect {
	return v.core.Answered(now, e.Part, e.Call, rep, err, nil)
}
