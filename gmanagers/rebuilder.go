package gmanagers

import (
	"context"
	"slices"
	"sync"
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

// rebuilder sees to what the books of GMM call not settled while this process leads it: it performs what the pure package redundancy decides. One
// goroutine owns it; the calls, at most redundancy.MaxCalls, have one each and hand their answers to it. Changes are proposed together, as many
// as came up while the proposal before was under way.
type rebuilder struct {
	m      *Managers
	host   *raftsm.Host
	client *client.Client
	peers  *components
	answer chan rebuilderAnswer

	term    uint64
	core    *redundancy.Taped // nil while this process does not lead, or does not know all yet
	seen    news              // as of the last Sync
	effects []redundancy.Effect
	queue   []redundancy.Effect // to be proposed, of core
	busy    bool                // a proposal is under way
	calls   sync.WaitGroup
}

// rebuilderAnswer is what came of an effect, or of some that were proposed together.
type rebuilderAnswer struct {
	core     *redundancy.Taped // that wanted it
	e        redundancy.Effect
	proposed []redundancy.Effect // instead of e
	rep      redundancy.Report
	err      error
}

func newRebuilder(m *Managers, host *raftsm.Host, c *client.Client) *rebuilder {
	return &rebuilder{m: m, host: host, client: c, peers: newComponents(m.o.Net), answer: make(chan rebuilderAnswer)}
}

// run goes on until ctx ends; then it waits for the calls.
func (v *rebuilder) run(ctx context.Context) {
	defer v.calls.Wait()
	defer v.peers.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-v.answer:
			v.answered(ctx, a)
		case <-timer.C:
		}
		v.step(ctx)
		wait := rebuildInterval
		if v.core != nil {
			if next, ok := v.core.Next(); ok {
				wait = min(wait, max(0, next-v.m.now()))
			}
		}
		timer.Reset(wait)
	}
}

// step takes over the books as they are now, and does what is due.
func (v *rebuilder) step(ctx context.Context) {
	leads := v.host.Leader(wire.GMM) == v.m.o.ID
	v.m.mu.Lock()
	v.m.lead(wire.GMM, leads)
	term := v.m.terms[wire.GMM]
	v.m.mu.Unlock()
	if v.core != nil && (!leads || v.term != term) {
		v.core.End()
		v.core, v.queue = nil, nil
	}
	if !leads {
		return
	}
	if v.core == nil {
		barrier, cancel := context.WithTimeout(ctx, barrierTimeout)
		defer cancel()
		if err := v.host.Read(barrier, wire.GMM, func(raftsm.State) {}); err != nil {
			return // again, soon
		}
		v.core, v.term, v.seen = v.m.redundancyCore(), term, news{}
	}
	var seen news
	var listed []redundancy.Listed
	err := v.host.Stale(wire.GMM, func(s raftsm.State) {
		st := s.(*gmm.State)
		if seen = (news{st.Turn() + 1, st.CopyChanges()}); seen != v.seen { // addresses change with turns; 0 is no news yet
			listed = st.Unsettled()
		}
	})
	if err != nil {
		return // stopping
	}
	if seen != v.seen {
		if len(listed) == 0 {
			v.peers.keep(nil)
		}
		if v.processes(listed) != nil {
			return
		}
		v.seen = seen
		v.perform(ctx, v.core.Sync(v.m.now(), listed, v.effects[:0]))
	}
	v.perform(ctx, v.core.Tick(v.m.now(), v.effects[:0]))
	v.commit(ctx)
}

// processes fills in what GPM knows of the processes whose home is taken over. This replica may lag: then it is not known.
func (v *rebuilder) processes(listed []redundancy.Listed) error {
	if !slices.ContainsFunc(listed, func(l redundancy.Listed) bool { return l.Home && l.Stage == redundancy.Recover }) {
		return nil
	}
	return v.host.Stale(wire.GPM, func(s raftsm.State) { s.(*gpm.State).Clients(listed) })
}

// perform makes the calls that the core wants, and keeps for commit what it wants proposed.
func (v *rebuilder) perform(ctx context.Context, effects []redundancy.Effect) {
	v.effects = effects[:0]
	for _, e := range effects {
		if e.Kind == redundancy.Propose {
			v.queue = append(v.queue, e)
			continue
		}
		core := v.core
		v.calls.Go(func() {
			rep, err := v.call(ctx, &e.Listed)
			select {
			case v.answer <- rebuilderAnswer{core: core, e: e, rep: rep, err: err}:
			case <-ctx.Done():
			}
		})
	}
}

// commit proposes what waits for it, unless a proposal is under way.
func (v *rebuilder) commit(ctx context.Context) {
	if v.busy || len(v.queue) == 0 {
		return
	}
	n := min(len(v.queue), redundancy.MaxBatch)
	a := rebuilderAnswer{core: v.core, proposed: slices.Clone(v.queue[:n])}
	v.queue = slices.Delete(v.queue, 0, n)
	v.busy = true
	v.calls.Go(func() {
		changes := make([]redundancy.Change, 0, len(a.proposed))
		for _, e := range a.proposed {
			changes = append(changes, e.Change)
		}
		within, cancel := context.WithTimeout(ctx, endTimeout)
		defer cancel()
		v.about(ctx, "propose copies")
		if a.err = v.client.EndCopies(within, changes); a.err == nil {
			v.about(ctx, "propose copies"+answered)
		}
		select {
		case v.answer <- a:
		case <-ctx.Done():
		}
	})
}

// call orders what a part needs, which asks how far it is, too.
func (v *rebuilder) call(ctx context.Context, l *redundancy.Listed) (rep redundancy.Report, err error) {
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

// about tells a test which step comes next, or was answered.
func (v *rebuilder) about(ctx context.Context, step string) {
	if v.m.o.OnStep != nil {
		v.m.o.OnStep(ctx, step)
	}
}

// answered hands an answer to the core that asked; that of an older term has nobody to hear it.
func (v *rebuilder) answered(ctx context.Context, a rebuilderAnswer) {
	if a.proposed != nil {
		v.busy = false
	}
	if a.core != v.core || v.core == nil {
		return
	}
	for _, e := range a.proposed {
		v.perform(ctx, v.core.Answered(v.m.now(), e.Part, e.Call, redundancy.Report{}, a.err, v.effects[:0]))
	}
	if a.proposed == nil {
		v.perform(ctx, v.core.Answered(v.m.now(), a.e.Part, a.e.Call, a.rep, a.err, v.effects[:0]))
	}
}
