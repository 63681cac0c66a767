package gmanagers

import (
	"context"
	"slices"
	"sync"
	"time"

	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
)

const (
	// moverInterval is how often a leader looks whether its list of moves has changed; it is woken when it changed it itself.
	moverInterval = 100 * time.Millisecond
	// barrierTimeout bounds the read with which a new leader makes sure that it knows all that was decided before it.
	barrierTimeout = time.Second
	// endTimeout bounds a proposal of how moves ended. One waits for another at most, and both together are within
	// moves.CallPatience. The core repeats it.
	endTimeout = 8 * time.Second
)

// mover looks after the moves of one group while this process leads it: it performs what the pure package moves decides. One
// goroutine owns it; the calls, at most moves.MaxCalls, have one each and hand their answers to it. Ends and drops are
// proposed together, as many as came up while the proposal before was under way.
type mover struct {
	m      *Managers
	host   *raftsm.Host
	g      wire.Manager
	client *client.Client
	peers  *components
	wake   chan struct{}
	answer chan moveAnswer
	ended  func() // is told that ends were taken down; set before run

	term    uint64
	core    *moves.Taped // nil while this process does not lead, or does not know all yet
	listed  []moves.Listed
	seen    news           // as of listed
	effects []moves.Effect // reused
	queue   []moves.Effect // to be proposed, of core
	busy    bool           // a proposal is under way
	calls   sync.WaitGroup
}

// moveAnswer is what came of an effect, or of some that were proposed together.
type moveAnswer struct {
	core     *moves.Taped // that wanted it
	e        moves.Effect
	proposed []moves.Effect // instead of e
	rep      wire.MoveStatusRep
	held     moves.Held
	err      error
}

func newMover(m *Managers, host *raftsm.Host, g wire.Manager, c *client.Client, peers *components) *mover {
	return &mover{m: m, host: host, g: g, client: c, peers: peers, wake: make(chan struct{}, 1), answer: make(chan moveAnswer), ended: func() {}}
}

// woken has the mover look at its list soon.
func (v *mover) woken() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// run looks after the moves until ctx ends; then it waits for the calls.
func (v *mover) run(ctx context.Context) {
	defer v.calls.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-v.answer:
			v.answered(ctx, a)
		case <-v.wake:
		case <-timer.C:
		}
		v.step(ctx)
		wait := moverInterval
		if v.core != nil {
			if next, ok := v.core.Next(); ok {
				wait = min(wait, max(0, next-v.m.now()))
			}
		}
		timer.Reset(wait)
	}
}

// step takes over the list as it is now, and does what is due.
func (v *mover) step(ctx context.Context) {
	leads := v.host.Leader(v.g) == v.m.o.ID
	v.m.mu.Lock()
	v.m.lead(v.g, leads)
	term := v.m.terms[v.g]
	v.m.mu.Unlock()
	if v.core != nil && (!leads || v.term != term) {
		v.core.End()
		v.core, v.listed, v.queue = nil, nil, nil
	}
	if !leads {
		return
	}
	if v.core == nil {
		barrier, cancel := context.WithTimeout(ctx, barrierTimeout)
		defer cancel()
		if err := v.host.Read(barrier, v.g, func(raftsm.State) {}); err != nil {
			return // again, soon
		}
		v.core, v.term, v.listed, v.seen = v.m.moverCore(v.g), term, nil, news{}
	}
	seen, err := newsOf(v.host, v.g)
	if err != nil {
		return // stopping
	}
	if seen != v.seen { // before the list is read: what changes in between is news again
		listed, err := v.list(ctx)
		if err != nil {
			return // stopping, or what is to be known cannot be known now
		}
		v.seen = seen
		if !slices.Equal(listed, v.listed) {
			if len(listed) == 0 {
				v.peers.keep(nil)
			}
			v.listed = listed
			v.perform(ctx, v.core.Sync(v.m.now(), listed, v.effects[:0]))
		}
	}
	v.perform(ctx, v.core.Tick(v.m.now(), v.effects[:0]))
	v.commit(ctx)
}

// news is what changes when somebody joins, goes or drains, or a move begins or ends, while one process leads.
type news struct{ turn, changes uint64 }

// newsOf reads the news of a group.
func newsOf(host *raftsm.Host, g wire.Manager) (n news, err error) {
	err = host.Stale(g, func(s raftsm.State) {
		n.turn, n.changes = s.(moveState).Turn(), s.(moveState).Moves().Changes()+1 // not 0, which is no news yet
	})
	if err == nil && g == wire.GSM { // GMM's members are the buffer caches
		err = host.Stale(wire.GMM, func(s raftsm.State) { n.turn += s.(moveState).Turn() })
	}
	return n, err
}

// moveStates are the states, as far as moves go.
type moveState interface {
	Entries() []membership.Entry
	Moves() *movelist.List
	Turn() uint64
}

// list reads the moves that the state lists, with what the members are now.
func (v *mover) list(ctx context.Context) (out []moves.Listed, err error) {
	var list []movelist.Move
	var entries []membership.Entry
	err = v.host.Stale(v.g, func(s raftsm.State) {
		st := s.(moveState)
		if list = slices.Clone(st.Moves().Moves()); len(list) > 0 {
			entries = st.Entries()
		}
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	caches := entries
	if movelist.Cached(list) {
		if caches, err = v.mcomponents(ctx, list); err != nil {
			return nil, err
		}
	}
	return movelist.Listed(list, entries, caches), nil
}

// mcomponents reads the mComponents, which GMM registers, for moves of buffer caches. This replica of GMM may lag; before one
// counts as gone for good, because it is not there, it is read as of now.
func (v *mover) mcomponents(ctx context.Context, list []movelist.Move) (entries []membership.Entry, err error) {
	read := func(s raftsm.State) { entries = s.Entries() }
	if err := v.host.Stale(wire.GMM, read); err != nil || !movelist.Unknown(list, entries) {
		return entries, err
	}
	ctx, cancel := context.WithTimeout(ctx, barrierTimeout)
	defer cancel()
	if err := v.host.Read(ctx, wire.GMM, read); err != nil {
		return nil, err
	}
	return entries, nil
}

// perform makes the calls that the core wants, and keeps for commit what it wants proposed.
func (v *mover) perform(ctx context.Context, effects []moves.Effect) {
	v.effects = effects[:0]
	for _, e := range effects {
		if e.Kind == moves.Propose || e.Kind == moves.Drop {
			v.queue = append(v.queue, e)
			continue
		}
		core := v.core
		v.calls.Go(func() {
			a := v.call(ctx, e)
			a.core, a.e = core, e
			select {
			case v.answer <- a:
			case <-ctx.Done():
			}
		})
	}
}

// commit proposes what waits for it, unless a proposal is under way.
func (v *mover) commit(ctx context.Context) {
	if v.busy || len(v.queue) == 0 {
		return
	}
	n := min(len(v.queue), movelist.MaxBatch)
	a := moveAnswer{core: v.core, proposed: slices.Clone(v.queue[:n])}
	v.queue = slices.Delete(v.queue, 0, n)
	v.busy = true
	v.calls.Go(func() {
		a.err = v.propose(ctx, a.proposed)
		select {
		case v.answer <- a:
		case <-ctx.Done():
		}
	})
}

// call performs one effect.
func (v *mover) call(ctx context.Context, e moves.Effect) (a moveAnswer) {
	v.about(ctx, e, "")
	ref := wire.MoveRef{Move: e.Move}
	switch e.Kind {
	case moves.Start:
		a.err = v.peers.call(ctx, e.Addr, wire.OpMoveStart, &e.Req, nil)
	case moves.Poll:
		a.err = v.peers.call(ctx, e.Addr, wire.OpMoveStatus, &ref, &a.rep)
	case moves.Forget:
		a.err = v.peers.call(ctx, e.Addr, wire.OpMoveForget, &ref, nil)
	case moves.Adopt:
		a.err = v.peers.call(ctx, e.Addr, wire.OpMoveAdopt, &e.Req, &a.rep)
	case moves.Look:
		a.held, a.err = v.look(ctx, e)
	}
	if a.err == nil {
		v.about(ctx, e, answered)
	}
	return a
}

// propose proposes ends and drops. An error of one is that of all, though the others were carried out, as the list shows.
func (v *mover) propose(ctx context.Context, effects []moves.Effect) error {
	var ends []moves.End
	var drops []uint64
	for _, e := range effects {
		v.about(ctx, e, "")
		if e.Kind == moves.Propose {
			ends = append(ends, e.End)
		} else {
			drops = append(drops, e.Move.No)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	err := v.client.EndMoves(ctx, v.g, ends, drops)
	for _, e := range effects {
		if err == nil {
			v.about(ctx, e, answered)
		}
	}
	if err == nil && len(ends) > 0 {
		v.ended()
	}
	return err
}

// about tells a test which effect comes next, or was answered.
func (v *mover) about(ctx context.Context, e moves.Effect, then string) {
	if v.m.o.OnStep != nil {
		v.m.o.OnStep(ctx, e.Kind.String()+" "+v.g.String()+then)
	}
}

// look asks a component whether it serves what a move is of.
func (v *mover) look(ctx context.Context, e moves.Effect) (moves.Held, error) {
	var rep wire.HoldingsRep
	if err := v.peers.call(ctx, e.Addr, wire.OpHoldings, &wire.HoldingsReq{From: moves.PlaceOf(e.Req), Limit: 1}, &rep); err != nil {
		return moves.Held{}, err
	}
	if rep.Node != e.Node {
		return moves.Held{}, wire.Errorf(wire.KindUnavailable, "%s is at %s now, not %s", rep.Node, e.Addr, e.Node)
	}
	held := moves.HeldOf(e.Req, rep.Holds)
	held.Member = rep.Epoch
	return held, nil
}

// answered hands an answer to the core that asked; that of an older term has nobody to hear it.
func (v *mover) answered(ctx context.Context, a moveAnswer) {
	if a.proposed != nil {
		v.busy = false
	}
	if a.core != v.core || v.core == nil {
		return
	}
	for _, e := range a.proposed {
		v.perform(ctx, v.core.Answered(v.m.now(), e.Move, e.Call, wire.MoveStatusRep{}, a.err, v.effects[:0]))
	}
	if a.proposed != nil {
		return
	}
	if a.e.Kind == moves.Look {
		v.perform(ctx, v.core.Seen(v.m.now(), a.e.Move, a.e.Call, a.held, a.err, v.effects[:0]))
		return
	}
	v.perform(ctx, v.core.Answered(v.m.now(), a.e.Move, a.e.Call, a.rep, a.err, v.effects[:0]))
}

var (
	_ moveState = (*gpm.State)(nil)
	_ moveState = (*gmm.State)(nil)
	_ moveState = (*gsm.State)(nil)
)
