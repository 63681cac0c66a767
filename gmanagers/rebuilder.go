package gmanagers

import (
	"context"
	"slices"
	"time"

	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// rebuildInterval is how often the leader of GMM looks whether its books of copies have changed: processes may wait for what is recovered.
const rebuildInterval = 20 * time.Millisecond

// rebuilder sees to what the books of GMM call not settled while this process leads it: it performs what the pure package redundancy decides.
// Of calls at most redundancy.MaxCalls are under way.
type rebuilder struct {
	*leading[redundancy.Effect, redundancy.Report]
	client *client.Client
	core   *redundancy.Taped
	seen   news // as of the last Sync
}

func newRebuilder(m *Managers, host *raftsm.Host, c *client.Client) *rebuilder {
	v := &rebuilder{client: c}
	v.leading = newLeading(m, host, wire.GMM, rebuildInterval, redundancy.MaxBatch, v)
	return v
}

func (v *rebuilder) begin() ticker[redundancy.Effect] {
	v.core, v.seen = v.m.redundancyCore(), news{}
	return v.core
}

func (v *rebuilder) end() { v.core.End() }

func (v *rebuilder) books(_ context.Context, out []redundancy.Effect) ([]redundancy.Effect, error) {
	var seen news
	var listed []redundancy.Listed
	err := v.host.Stale(wire.GMM, func(s raftsm.State) {
		st := s.(*gmm.State)
		if seen = (news{st.Turn() + 1, st.CopyChanges()}); seen != v.seen { // addresses change with turns; 0 is no news yet
			listed = st.Unsettled()
		}
	})
	if err != nil || seen == v.seen {
		return out, err
	}
	if len(listed) == 0 {
		v.peers.keep(nil)
	}
	if err := v.processes(listed); err != nil {
		return nil, err
	}
	v.seen = seen
	return v.core.Sync(v.m.now(), listed, out), nil
}

// processes fills in what GPM knows of the processes whose home is taken over. This replica may lag: then it is not known.
func (v *rebuilder) processes(listed []redundancy.Listed) error {
	if !slices.ContainsFunc(listed, func(l redundancy.Listed) bool { return l.Home && l.Stage == redundancy.Recover }) {
		return nil
	}
	return v.host.Stale(wire.GPM, func(s raftsm.State) { s.(*gpm.State).Clients(listed) })
}

func (v *rebuilder) proposed(e *redundancy.Effect) bool { return e.Kind == redundancy.Propose }

func (v *rebuilder) propose(ctx context.Context, effects []redundancy.Effect) []error {
	changes := make([]redundancy.Change, 0, len(effects))
	for _, e := range effects {
		changes = append(changes, e.Change)
	}
	v.about(ctx, "propose copies")
	err := v.client.EndCopies(ctx, changes)
	if err == nil {
		v.about(ctx, "propose copies"+answered)
	}
	return slices.Repeat([]error{err}, len(effects))
}

// call orders what a part needs, which asks how far it is, too.
func (v *rebuilder) call(ctx context.Context, e *redundancy.Effect) (rep redundancy.Report, err error) {
	l := &e.Listed
	step := l.Stage.String() + " region"
	if l.Home {
		step = l.Stage.String() + " home"
	}
	v.about(ctx, step)
	switch {
	case l.Home && l.Stage == redundancy.Recover:
		q, r := l.HomeRecover(), wire.HomeRecoverRep{}
		err = v.peers.call(ctx, l.Addr, wire.OpHomeRecover, &q, &r)
		rep = redundancy.HomeRecovering(r)
	case l.Home:
		q, r := l.HomeConfig(), wire.HomeConfigRep{}
		err = v.peers.call(ctx, l.Addr, wire.OpHomeConfig, &q, &r)
		rep = l.HomeConfigured(r)
	case l.Stage == redundancy.Recover:
		q, r := l.RegionRecover(), wire.RegionRecoverRep{}
		err = v.peers.call(ctx, l.Addr, wire.OpRegionRecover, &q, &r)
		rep = redundancy.Recovering(r)
	default:
		q, r := l.RegionConfig(), wire.RegionConfigRep{}
		err = v.peers.call(ctx, l.Addr, wire.OpRegionConfig, &q, &r)
		rep = redundancy.ConfiguredAs(r)
	}
	if err == nil {
		v.about(ctx, step+answered)
	}
	return rep, err
}

func (v *rebuilder) answered(e *redundancy.Effect, rep redundancy.Report, err error, out []redundancy.Effect) []redundancy.Effect {
	return v.core.Answered(v.m.now(), e.Part, e.Call, rep, err, out)
}
