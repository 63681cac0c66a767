package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// DefaultInterval is how often a cluster is asked.
const DefaultInterval = time.Second

// MinInterval is the shortest interval: a node's own figures are of half a second, and asking costs.
const MinInterval = 50 * time.Millisecond

const (
	// questionIntervals is how many intervals a node, and booksTimeout how long the managers, may take to answer.
	questionIntervals = 2
	booksTimeout      = 5 * time.Second
)

// Options say what to observe.
type Options struct {
	Source   Source
	Interval time.Duration    // between two rounds; 0 is DefaultInterval
	Now      func() time.Time // nil: the clock
}

// Observer watches a cluster. Make one with New, and have it Run; the others may be called by anyone at any time.
type Observer struct {
	o Options

	mu     sync.Mutex
	last   *Snapshot
	series ring[Sample]
	subs   []chan *Snapshot
	ended  bool
}

// New makes an observer.
func New(o Options) (*Observer, error) {
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := o.Source
	switch {
	case s.Look == nil || s.Books == nil || s.Events == nil || s.Node == nil:
		return nil, errors.New("observe: the source lacks a question, want Look, Books, Events and Node")
	case o.Interval < MinInterval:
		return nil, fmt.Errorf("observe: interval %s, want at least %s", o.Interval, MinInterval)
	}
	return &Observer{o: o, series: ring[Sample]{max: MaxSamples}}, nil
}

// Last gives the last snapshot, nil before the first round has ended.
func (o *Observer) Last() *Snapshot {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// Series gives the last points, at most MaxSamples, oldest first.
func (o *Observer) Series() []Sample {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.series.all()
}

// ErrTooMany is that MaxSubscribers listen already.
var ErrTooMany = fmt.Errorf("%d listen already, no more can", MaxSubscribers)

// Subscribe gives the snapshots from the next round on. The channel holds the latest that was not read: a reader that is slow misses those before,
// and delays nobody. It is closed when the observer ends, or by cancel, which may be called again.
func (o *Observer) Subscribe() (updates <-chan *Snapshot, cancel func(), err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.subs) >= MaxSubscribers {
		return nil, nil, ErrTooMany
	}
	ch := make(chan *Snapshot, 1)
	if o.ended {
		close(ch)
		return ch, func() {}, nil
	}
	o.subs = append(o.subs, ch)
	return ch, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if i := slices.Index(o.subs, ch); i >= 0 {
			o.subs = slices.Delete(o.subs, i, i+1)
			close(ch)
		}
	}, nil
}

// publish gives a snapshot to all who listen.
func (o *Observer) publish(s *Snapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = s
	o.series.put(s.Totals)
	for _, ch := range o.subs {
		select {
		case <-ch: // the one before, which nobody read
		default:
		}
		ch <- s // there is room: nobody else sends
	}
}

// end closes what is listened to.
func (o *Observer) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	for _, ch := range o.subs {
		close(ch)
	}
	o.subs = nil
}

// answer is what came of a question: it tells the model.
type answer struct {
	who  string // of the question, so that it is not asked twice at a time
	tell func(m *model, now time.Time)
}

// Run asks until ctx ends, and returns after all that it asked has returned. It may be called once.
func (o *Observer) Run(ctx context.Context) error {
	defer o.end()
	if o.o.Source.Close != nil {
		defer o.o.Source.Close()
	}
	asking, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel()
	r := &rounds{o: o, m: newModel(o.o.Interval), open: map[string]bool{}, answers: make(chan answer), ctx: asking, asking: &open}
	tick := time.NewTicker(o.o.Interval)
	defer tick.Stop()
	for {
		if !r.round(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// rounds is the state of Run.
type rounds struct {
	o       *Observer
	m       *model
	n       int             // rounds so far
	open    map[string]bool // questions without an answer
	answers chan answer
	ctx     context.Context
	asking  *sync.WaitGroup
}

// gather is how much of an interval a round waits for answers.
const gather = 2 // a half

// round asks everybody who owes no answer, waits for a part of the interval, and publishes. It reports false when ctx has ended.
func (r *rounds) round(ctx context.Context) bool {
	limit := time.NewTimer(r.o.o.Interval / gather)
	defer limit.Stop()
	r.askOwner()
	for asked := false; ; {
		if !asked && r.m.look.State.Name != "" { // in the first round the owner must tell who they are
			asked = true
			r.askManagers()
			r.askNodes()
		}
		if len(r.open) == 0 {
			break
		}
		select {
		case a := <-r.answers:
			delete(r.open, a.who)
			a.tell(r.m, r.o.o.Now())
			continue
		case <-limit.C:
		case <-ctx.Done():
			return false
		}
		break
	}
	r.n++
	s := r.m.round(r.o.o.Now())
	r.o.publish(s)
	return true
}

// ask asks, unless the answer to the same question is owed. question runs in a goroutine of its own, which Run waits for.
func (r *rounds) ask(who string, timeout time.Duration, question func(context.Context) func(*model, time.Time)) {
	if r.open[who] {
		return
	}
	r.open[who] = true
	r.asking.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, timeout)
		defer cancel()
		a := answer{who, question(ctx)}
		select {
		case r.answers <- a:
		case <-r.ctx.Done(): // nobody listens any more
		}
	})
}

func (r *rounds) askOwner() {
	r.ask("owner", booksTimeout, func(ctx context.Context) func(*model, time.Time) {
		l, err := r.o.o.Source.Look(ctx)
		return func(m *model, now time.Time) { m.looked(now, l, err) }
	})
}

func (r *rounds) askManagers() {
	n, since := r.n, r.m.since
	r.ask("books", booksTimeout, func(ctx context.Context) func(*model, time.Time) {
		b, err := r.o.o.Source.Books(ctx, n)
		return func(m *model, now time.Time) { m.told(now, b, err) }
	})
	r.ask("events", booksTimeout, func(ctx context.Context) func(*model, time.Time) {
		es, err := r.o.o.Source.Events(ctx, since)
		return func(m *model, now time.Time) { m.heard(now, es, err) }
	})
}

func (r *rounds) askNodes() {
	for _, n := range r.m.look.State.Nodes {
		if !n.Alive || n.Metrics == "" {
			continue
		}
		r.ask("node "+n.ID, questionIntervals*r.o.o.Interval, func(ctx context.Context) func(*model, time.Time) {
			reading, err := r.o.o.Source.Node(ctx, n.Metrics)
			return func(m *model, now time.Time) { m.answered(now, n.ID, reading, err) }
		})
	}
}
