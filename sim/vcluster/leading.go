package vcluster

import (
	"slices"
	"time"

	"splitkernel/sim/vtime"
)

// leading runs a pure driver while the leader of a group leads, as package gmanagers does live: it hands the driver the books and the answers,
// makes the calls that it wants, and proposes together what it wants proposed, as much as came up while the proposal before was under way.
//
// E is an effect of the driver, A what a call answers.
type leading[E, A any] struct {
	g      *managers
	driven driven[E, A]
	batch  int  // effects of a proposal
	back   bool // looks are in the background, so that they keep no run going

	life  uint64 // of the driver: what was asked in another is answered to nobody
	queue []E    // to be proposed
	busy  bool   // a proposal is under way
	woken bool   // a look at this moment is to come
	step  vtime.Kind
	timer vtime.Timer // of the look that is due next, unless it is in the background
	armed uint32      // the same in the background: those before it were brought forward
}

// ticker is a pure driver, as far as all of them are alike.
type ticker[E any] interface {
	Tick(now time.Duration, out []E) []E
	Next() (time.Duration, bool)
}

// driven is what is particular to a driver.
type driven[E, A any] interface {
	// books hands the driver what the books say now, if that is news; need is false if they name nothing: then it ends, and the next begins anew.
	books(now time.Duration) (core ticker[E], out []E, need bool)
	// end forgets the driver.
	end()
	// stirred reports whether the books have news.
	stirred() bool
	// proposed reports whether an effect is to be proposed; others are calls.
	proposed(e *E) bool
	call(e *E, done func(A, error))
	// propose makes a proposal. It is told one error for each effect.
	propose(effects []E, done func([]error))
	// answered hands the driver what came of an effect.
	answered(now time.Duration, e *E, a A, err error) []E
}

func newLeading[E, A any](g *managers, what string, batch int, back bool, d driven[E, A]) *leading[E, A] {
	v := &leading[E, A]{g: g, driven: d, batch: batch, back: back}
	v.step = g.c.clock.Handle(what, func(no uint32) {
		if v.back && no != v.armed {
			return
		}
		v.woken = false
		v.look()
	})
	return v
}

// wake has it look at the books at this moment, after what is being done, if they have news.
func (v *leading[E, A]) wake() {
	if !v.woken && v.driven.stirred() {
		v.again()
	}
}

// again has it look at this moment, after what is being done.
func (v *leading[E, A]) again() {
	if v.woken {
		return
	}
	v.woken = true
	v.at(v.g.c.clock.Now())
}

// at says when the next look is. It takes the place of the one that was due.
func (v *leading[E, A]) at(t time.Duration) {
	clock := v.g.c.clock
	if v.back {
		v.armed++
		clock.Background(t, v.step, v.armed)
		return
	}
	clock.Cancel(v.timer)
	v.timer = clock.Timer(t, v.step, 0)
}

// depose ends what the leader of before did: another begins anew with what is in the books.
func (v *leading[E, A]) depose() {
	v.rest()
	v.wake()
}

// rest forgets the driver.
func (v *leading[E, A]) rest() {
	v.driven.end()
	v.queue, v.busy = nil, false
	v.life++
}

// look takes over the books as they are now and does what is due, unless nobody leads: who leads next begins anew.
func (v *leading[E, A]) look() {
	if !v.g.quorum() {
		return
	}
	now := v.g.c.clock.Now()
	core, out, need := v.driven.books(now)
	if !need {
		v.rest()
		if !v.back && !v.woken {
			v.g.c.clock.Cancel(v.timer)
		}
		return
	}
	v.perform(out)
	v.perform(core.Tick(now, nil))
	v.commit()
	if next, ok := core.Next(); ok && !v.woken {
		v.at(max(next, now))
	}
}

// perform makes the calls that the driver wants, and keeps for commit what it wants proposed.
func (v *leading[E, A]) perform(effects []E) {
	life := v.life
	for _, e := range effects {
		if v.driven.proposed(&e) {
			v.queue = append(v.queue, e)
			continue
		}
		v.driven.call(&e, func(a A, err error) {
			if v.life == life {
				v.perform(v.driven.answered(v.g.c.clock.Now(), &e, a, err))
				v.again()
			}
		})
	}
}

// commit proposes what waits for it, unless a proposal is under way.
func (v *leading[E, A]) commit() {
	if v.busy || len(v.queue) == 0 {
		return
	}
	n := min(len(v.queue), v.batch)
	proposed := slices.Clone(v.queue[:n])
	v.queue = slices.Delete(v.queue, 0, n)
	v.busy = true
	life := v.life
	v.driven.propose(proposed, func(errs []error) {
		if v.life != life {
			return
		}
		v.busy = false
		var none A
		for i := range proposed {
			v.perform(v.driven.answered(v.g.c.clock.Now(), &proposed[i], none, errs[i]))
		}
		v.again()
	})
}
