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
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// moverInterval is how often a leader looks whether its list of moves has changed; it is woken when it changed it itself.
const moverInterval = 100 * time.Millisecond

// mover looks after the moves of one group while this process leads it: it performs what the pure package moves decides. Of calls at most
// moves.MaxCalls are under way.
type mover struct {
	*leading[moves.Effect, moveAnswer]
	client *client.Client
	ended  func() // is told that ends were taken down; set before run
	core   *moves.Taped
	listed []moves.Listed
	seen   news // as of listed
	traces moveTraces
}

// moveTraces are the spans of the moves under way that this process began to look after while it leads. Without a sink there are none.
type moveTraces struct {
	mu   sync.Mutex
	open map[wire.MoveID]span.Work
}

// of gives a context in which calls belong to the trace of a move, which begins with the order.
func (t *moveTraces) of(ctx context.Context, to span.Sink, e *moves.Effect) context.Context {
	if to == nil || e.Kind != moves.Start && e.Kind != moves.Adopt {
		return ctx
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	w, ok := t.open[e.Move]
	if !ok {
		if t.open == nil {
			t.open = map[wire.MoveID]span.Work{}
		}
		w = span.NewTrace(to, "move", append(span.Moving(&e.Req), span.Attr{Key: "from", Text: string(e.Node)})...)
		t.open[e.Move] = w
	}
	return span.With(ctx, w.Context)
}

// over tells the span of a move whose end is in the books.
func (t *moveTraces) over(end *moves.End) {
	t.mu.Lock()
	w := t.open[end.Move]
	delete(t.open, end.Move)
	t.mu.Unlock()
	failed := ""
	if end.State != wire.MoveDone {
		failed = end.State.String() + ": " + end.Text
	}
	w.End(failed, span.Attr{Key: "bytes", N: int64(end.Bytes)}, span.Attr{Key: "pause_us", N: int64(end.PauseUS)})
}

// leave tells the spans of all: another process looks after these moves from now on.
func (t *moveTraces) leave() {
	t.mu.Lock()
	open := t.open
	t.open = nil
	t.mu.Unlock()
	for _, w := range open { // each by itself: the order does not matter
		w.End("this manager leads no more: another looks after the move")
	}
}

// moveAnswer is what a call answers.
type moveAnswer struct {
	rep  wire.MoveStatusRep
	held moves.Held // of Look
}

func newMover(m *Managers, host *raftsm.Host, g wire.Manager, c *client.Client) *mover {
	v := &mover{client: c, ended: func() {}}
	v.leading = newLeading(m, host, g, moverInterval, movelist.MaxBatch, v)
	return v
}

func (v *mover) begin() ticker[moves.Effect] {
	v.core, v.listed, v.seen = v.m.moverCore(v.g), nil, news{}
	return v.core
}

func (v *mover) end() {
	v.core.End()
	v.traces.leave()
}

func (v *mover) books(ctx context.Context, out []moves.Effect) ([]moves.Effect, error) {
	seen, err := newsOf(v.host, v.g)
	if err != nil || seen == v.seen {
		return out, err
	}
	listed, err := v.list(ctx) // after the news: what changes in between is news again
	if err != nil {
		return nil, err
	}
	v.seen = seen
	if slices.Equal(listed, v.listed) {
		return out, nil
	}
	if len(listed) == 0 {
		v.peers.keep(nil)
	}
	v.listed = listed
	return v.core.Sync(v.m.now(), listed, out), nil
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

func (v *mover) proposed(e *moves.Effect) bool {
	return e.Kind == moves.Propose || e.Kind == moves.Drop
}

func (v *mover) call(ctx context.Context, e *moves.Effect) (a moveAnswer, err error) {
	step := e.Kind.String() + " " + v.g.String()
	v.about(ctx, step)
	ref := wire.MoveRef{Move: e.Move}
	ctx = v.traces.of(ctx, v.m.o.Net.Spans, e)
	switch e.Kind {
	case moves.Start:
		err = v.peers.call(ctx, e.Addr, wire.OpMoveStart, &e.Req, nil)
	case moves.Poll:
		err = v.peers.call(ctx, e.Addr, wire.OpMoveStatus, &ref, &a.rep)
	case moves.Forget:
		err = v.peers.call(ctx, e.Addr, wire.OpMoveForget, &ref, nil)
	case moves.Adopt:
		err = v.peers.call(ctx, e.Addr, wire.OpMoveAdopt, &e.Req, &a.rep)
	case moves.Look:
		a.held, err = v.look(ctx, e)
	}
	if err == nil {
		v.about(ctx, step+answered)
	}
	return a, err
}

// propose proposes ends and drops. An error of one is that of all, though the others were carried out, as the list shows.
func (v *mover) propose(ctx context.Context, effects []moves.Effect) []error {
	var ends []moves.End
	var drops []uint64
	for i := range effects {
		e := &effects[i]
		v.about(ctx, e.Kind.String()+" "+v.g.String())
		if e.Kind == moves.Propose {
			ends = append(ends, e.End)
		} else {
			drops = append(drops, e.Move.No)
		}
	}
	err := v.client.EndMoves(ctx, v.g, ends, drops)
	for i := range effects {
		if err == nil {
			v.about(ctx, effects[i].Kind.String()+" "+v.g.String()+answered)
		}
	}
	if err == nil && len(ends) > 0 {
		for i := range ends {
			v.traces.over(&ends[i])
		}
		v.ended()
	}
	return slices.Repeat([]error{err}, len(effects))
}

// look asks a component whether it serves what a move is of.
func (v *mover) look(ctx context.Context, e *moves.Effect) (moves.Held, error) {
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

func (v *mover) answered(e *moves.Effect, a moveAnswer, err error, out []moves.Effect) []moves.Effect {
	if e.Kind == moves.Look {
		return v.core.Seen(v.m.now(), e.Move, e.Call, a.held, err, out)
	}
	return v.core.Answered(v.m.now(), e.Move, e.Call, a.rep, err, out)
}

var (
	_ moveState = (*gpm.State)(nil)
	_ moveState = (*gmm.State)(nil)
	_ moveState = (*gsm.State)(nil)
)
