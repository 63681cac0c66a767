package gmanagers

import (
	"context"
	"slices"
	"sync"
	"time"

	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/netlayer/wire"
)

const (
	// barrierTimeout bounds the read with which a new leader makes sure that it knows all that was decided before it.
	barrierTimeout = time.Second
	// endTimeout bounds a proposal of what a driver wants proposed. One waits for another at most, and both together are within the patience of
	// the drivers (moves.CallPatience and its like), which repeat it.
	endTimeout = 8 * time.Second
)

// leading runs a pure driver while this process leads a group: it hands the driver the books and the answers, makes the calls that it wants, and
// proposes together what it wants proposed, as much as came up while the proposal before was under way. One goroutine owns it and the
// driver; the calls have one each and hand their answers to it. They are as many as the driver allows, and one proposal.
//
// E is an effect of the driver, A what a call answers.
type leading[E, A any] struct {
	m        *Managers
	host     *raftsm.Host
	g        wire.Manager
	driven   driven[E, A]
	interval time.Duration // between two looks at the books, at most
	batch    int           // effects of a proposal
	peers    *components
	wake     chan struct{}
	answer   chan answer[E, A]
	calls    sync.WaitGroup

	term    uint64
	life    uint64    // of core; grows
	core    ticker[E] // nil while this process does not lead, or does not know all yet
	effects []E       // reused
	queue   []E       // to be proposed, of core
	busy    bool      // a proposal is under way
}

// ticker is a pure driver, as far as all of them are alike.
type ticker[E any] interface {
	Tick(now time.Duration, out []E) []E
	Next() (time.Duration, bool)
}

// driven is what is particular to a driver. All but call and propose are called by the goroutine of leading.
type driven[E, A any] interface {
	// begin makes the driver of a term of leadership, end ends it.
	begin() ticker[E]
	end()
	// books hands the driver what the books say now, if that is news. After an error, which is not one of the driver, they are looked at again.
	books(ctx context.Context, out []E) ([]E, error)
	// proposed reports whether an effect is to be proposed; others are calls.
	proposed(e *E) bool
	// call makes a call.
	call(ctx context.Context, e *E) (A, error)
	// propose makes a proposal within endTimeout; its errors are one for each effect.
	propose(ctx context.Context, effects []E) []error
	// answered hands the driver what came of an effect.
	answered(e *E, a A, err error, out []E) []E
}

// answer is what came of an effect, or of some that were proposed together.
type answer[E, A any] struct {
	life     uint64
	effects  []E
	proposed bool
	rep      A       // of a call
	errs     []error // one for each effect
}

func newLeading[E, A any](m *Managers, host *raftsm.Host, g wire.Manager, interval time.Duration, batch int, d driven[E, A]) *leading[E, A] {
	return &leading[E, A]{
		m: m, host: host, g: g, driven: d, interval: interval, batch: batch, peers: newComponents(m.o.Net), wake: make(chan struct{}, 1), answer: make(chan answer[E, A]),
	}
}

// woken has it look at the books soon.
func (v *leading[E, A]) woken() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// run goes on until ctx ends; then it waits for the calls.
func (v *leading[E, A]) run(ctx context.Context) {
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
		case <-v.wake:
		case <-timer.C:
		}
		v.step(ctx)
		wait := v.interval
		if v.core != nil {
			if next, ok := v.core.Next(); ok {
				wait = min(wait, max(0, next-v.m.now()))
			}
		}
		timer.Reset(wait)
	}
}

// step looks who leads and at the books, and does what is due.
func (v *leading[E, A]) step(ctx context.Context) {
	leads := v.host.Leader(v.g) == v.m.o.ID
	v.m.mu.Lock()
	v.m.lead(v.g, leads)
	term := v.m.terms[v.g]
	v.m.mu.Unlock()
	if v.core != nil && (!leads || v.term != term) {
		v.driven.end()
		v.core, v.queue = nil, nil
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
		v.core, v.term = v.driven.begin(), term
		v.life++
	}
	out, err := v.driven.books(ctx, v.effects[:0])
	if err != nil {
		return // stopping, or what is to be known cannot be known now
	}
	v.perform(ctx, out)
	v.perform(ctx, v.core.Tick(v.m.now(), v.effects[:0]))
	v.commit(ctx)
}

// perform makes the calls that the driver wants, and keeps for commit what it wants proposed.
func (v *leading[E, A]) perform(ctx context.Context, effects []E) {
	v.effects = effects[:0]
	for _, e := range effects {
		if v.driven.proposed(&e) {
			v.queue = append(v.queue, e)
			continue
		}
		a := answer[E, A]{life: v.life, effects: []E{e}}
		v.calls.Go(func() {
			var err error
			a.rep, err = v.driven.call(ctx, &a.effects[0])
			a.errs = []error{err}
			v.hand(ctx, a)
		})
	}
}

// commit proposes what waits for it, unless a proposal is under way.
func (v *leading[E, A]) commit(ctx context.Context) {
	if v.busy || len(v.queue) == 0 {
		return
	}
	n := min(len(v.queue), v.batch)
	a := answer[E, A]{life: v.life, effects: slices.Clone(v.queue[:n]), proposed: true}
	v.queue = slices.Delete(v.queue, 0, n)
	v.busy = true
	v.calls.Go(func() {
		within, cancel := context.WithTimeout(ctx, endTimeout)
		defer cancel()
		a.errs = v.driven.propose(within, a.effects)
		v.hand(ctx, a)
	})
}

func (v *leading[E, A]) hand(ctx context.Context, a answer[E, A]) {
	select {
	case v.answer <- a:
	case <-ctx.Done():
	}
}

// answered hands an answer to the driver that asked; that of an older term has nobody to hear it.
func (v *leading[E, A]) answered(ctx context.Context, a answer[E, A]) {
	if a.proposed {
		v.busy = false
	}
	if v.core == nil || a.life != v.life {
		return
	}
	for i := range a.effects {
		v.perform(ctx, v.driven.answered(&a.effects[i], a.rep, a.errs[i], v.effects[:0]))
	}
}

// about tells a test which step comes next, or was answered.
func (v *leading[E, A]) about(ctx context.Context, step string) {
	if v.m.o.OnStep != nil {
		v.m.o.OnStep(ctx, step)
	}
}
