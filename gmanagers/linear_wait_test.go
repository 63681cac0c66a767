package gmanagers_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

const (
	// waitFor is how long the clients run.
	waitFor = 4 * time.Second
	// seats is how many vNodes that wait have room at a time; queuers is how many clients want one, movers how many move vRegions,
	// and readers how many read both.
	seats, queuers, movers, readers = 2, 4, 3, 3
	// keyOrders and keyOps bound the orders to move one vRegion and the operations on it, so that the check takes no longer than
	// the run.
	keyOrders, keyOps = 100, 200
	// keyUnknown is after how many orders of unknown outcome a vRegion is not moved any more: each may act at any later time, and the
	// check tries them all.
	keyUnknown = 4
	// wandering is how many vRegions move.
	wandering = 8
	// seatLines is what one of them wants of the ExCache.
	seatLines = 100
)

// history collects what clients asked and were told.
type history struct {
	began time.Time

	mu    sync.Mutex
	ops   map[*porcupine.Model][]porcupine.Operation
	count map[string]int
	names []string        // of vNodes that were asked for last
	lost  map[string]bool // names whose askers do not know what became of them
	seats []seat
}

// seat is when a vNode was known to run: since its client was told, until it was asked to end.
type seat struct {
	name        string
	since, till int64
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

// add notes an operation.
func (h *history) add(m *porcupine.Model, who int, call int64, in wish, out outcomeOf) {
	ret := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if out.unknown {
		ret = math.MaxInt64
		h.count["unknown "+in.key]++
	}
	h.count[string(in.verb)]++
	h.count[in.key]++
	h.ops[m] = append(h.ops[m], porcupine.Operation{ClientId: who, Input: in, Call: call, Output: out, Return: ret})
}

// full reports whether so much was asked of a key. What was begun on it is noted all the same.
func (h *history) full(key string, limit int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count[key] >= limit
}

// waitWorld is a cluster with vNodes that wait and vRegions that move.
type waitWorld struct {
	h            *history
	queue, moves porcupine.Model
	regions      []movelist.Thing
}

func regionKey(t movelist.Thing) string { return fmt.Sprintf("%d/%d", t.PID, t.Region) }

// waits asks for a seat, may wait for it, keeps it for a while and gives it back.
func (w *waitWorld) waits(k *caller) {
	name := fmt.Sprintf("%d-%d", k.id, k.rng.Uint64())
	spec := admission.VNodeSpec{Name: name, Threads: 1, ExCacheLines: seatLines, IfFull: admission.Queue, DeadlineMS: uint32(100 + k.rng.IntN(500))}
	w.h.mu.Lock()
	w.h.names = append(w.h.names, name)
	w.h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*linearWait)
	defer cancel()
	call := w.h.now()
	p, err := k.cl.Admit(ctx, spec)
	kind, known := definite(err)
	w.h.add(&w.queue, k.id, call, wish{verb: ask, key: name}, outcomeOf{unknown: !known})
	if !known {
		w.h.add(&w.queue, k.id, call, wish{verb: giveUp, key: name}, outcomeOf{unknown: true})
		w.h.mu.Lock()
		w.h.lost[name] = true
		w.h.mu.Unlock()
		return
	}
	w.h.add(&w.queue, k.id, call, wish{verb: learn, key: name}, outcomeOf{refused: kind, there: err == nil, pid: p.PID})
	if err != nil {
		return
	}
	since := w.h.now()
	select {
	case <-time.After(time.Duration(k.rng.IntN(100)) * time.Millisecond):
	case <-k.stop.Done():
	}
	till := w.h.now()
	w.h.mu.Lock()
	w.h.seats = append(w.h.seats, seat{name, since, till})
	w.h.mu.Unlock()
	until(k.r.t, "a seat is given back", func() bool { // or it would be taken for ever
		ctx, cancel := context.WithTimeout(context.Background(), linearWait)
		defer cancel()
		call := w.h.now()
		kind, known := definite(k.cl.Release(ctx, p.PID))
		w.h.add(&w.queue, k.id, call, wish{verb: release, key: name}, outcomeOf{unknown: !known, refused: kind, pid: p.PID})
		return known
	})
}

// move orders that a vRegion moves.
func (w *waitWorld) move(k *caller) {
	t := w.regions[k.rng.IntN(len(w.regions))]
	if w.h.full(regionKey(t), keyOrders) || w.h.full("unknown "+regionKey(t), keyUnknown) {
		return
	}
	to := fmt.Sprintf("m%d", 1+k.rng.IntN(3))
	ctx, cancel := context.WithTimeout(context.Background(), linearWait)
	defer cancel()
	call := w.h.now()
	id, err := k.cl.Move(ctx, t, wire.NodeID(to))
	out := outcomeOf{move: id.No, refused: wire.KindOf(err)}
	out.unknown = err != nil && out.refused != wire.KindBusy && out.refused != wire.KindExists
	w.h.add(&w.moves, k.id, call, wish{verb: begin, key: regionKey(t), to: to}, out)
}

// read looks at a vNode that waits or waited, and at a vRegion, at a manager that may lead or not.
func (w *waitWorld) read(k *caller) {
	at := k.peers[k.rng.IntN(len(k.peers))]
	ctx, cancel := context.WithTimeout(context.Background(), linearWait)
	defer cancel()
	t := w.regions[k.rng.IntN(len(w.regions))]
	w.h.mu.Lock()
	name := ""
	if n := len(w.h.names); n > 0 {
		name = w.h.names[max(0, n-1-k.rng.IntN(2*queuers))]
	}
	w.h.mu.Unlock()
	call := w.h.now()
	switch k.rng.IntN(4) {
	case 0:
		list, err := query[gpm.Waiting](ctx, at, wire.GPM, false, membership.Query{Kind: gpm.QueryQueue})
		if err == nil && name != "" {
			there := slices.ContainsFunc(list, func(x gpm.Waiting) bool { return x.Spec.Name == name })
			w.h.add(&w.queue, k.id, call, wish{verb: inQueue, key: name}, outcomeOf{there: there})
		}
	case 1:
		list, err := query[gpm.Process](ctx, at, wire.GPM, false, membership.Query{Kind: membership.QueryListing})
		if err == nil && name != "" {
			var out outcomeOf
			for _, p := range list {
				if p.Name == name && (p.Phase == admission.Committed || p.Phase == admission.Running) {
					out = outcomeOf{there: true, pid: p.PID}
				}
			}
			w.h.add(&w.queue, k.id, call, wish{verb: running, key: name}, out)
			w.free(ctx, k, list)
		}
	case 2:
		w.owner(ctx, k, at, t, false)
	default:
		list, err := query[movelist.Move](ctx, at, wire.GMM, false, membership.Query{Kind: membership.QueryMoves})
		if err != nil || w.h.full(regionKey(t), keyOps) {
			return
		}
		var out outcomeOf
		for i := range list {
			if m := &list[i]; m.Thing() == t {
				out = outcomeOf{there: true, move: m.Req.Move.No, ended: m.Ended(), done: m.State == wire.MoveDone}
			}
		}
		w.h.add(&w.moves, k.id, call, wish{verb: lastMove, key: regionKey(t)}, out)
	}
}

// free gives back the seats of those that nobody knows to run but who sees them.
func (w *waitWorld) free(ctx context.Context, k *caller, list []gpm.Process) {
	for _, p := range list {
		w.h.mu.Lock()
		lost := w.h.lost[p.Name]
		w.h.mu.Unlock()
		if !lost || p.Phase != admission.Running {
			continue
		}
		call := w.h.now()
		kind, known := definite(k.cl.Release(ctx, p.PID))
		w.h.add(&w.queue, k.id, call, wish{verb: release, key: p.Name}, outcomeOf{unknown: !known, refused: kind, pid: p.PID})
	}
}

// owner reads who owns a vRegion.
func (w *waitWorld) owner(ctx context.Context, k *caller, at *netlayer.Peer, t movelist.Thing, stale bool) {
	call := w.h.now()
	list, err := query[gmm.Process](ctx, at, wire.GMM, stale, membership.Query{Kind: membership.QueryListing, ID: uint64(t.PID)})
	if err != nil || len(list) != 1 || w.h.full(regionKey(t), keyOps) {
		return
	}
	for _, r := range list[0].Regions {
		if r.Region == t.Region {
			w.h.add(&w.moves, k.id, call, wish{verb: owner, key: regionKey(t)}, outcomeOf{at: string(r.Node), epoch: r.Epoch})
		}
	}
}

// newWaitWorld makes components with seats for vNodes that wait, and vRegions that have never moved.
func newWaitWorld(t *testing.T, cl *client.Client) *waitWorld {
	f := newFakes(t, cl)
	f.add(pcomponent(1, fits.ExCacheLines+seats*seatLines+seatLines/2))
	f.add(scomponent(1, 1<<30))
	for i := 1; i <= 3; i++ {
		f.add(mcomponent(i, 1<<30))
	}
	_, things := f.admit(wandering)
	w := &waitWorld{
		h: &history{began: time.Now(), ops: map[*porcupine.Model][]porcupine.Operation{}, count: map[string]int{}, lost: map[string]bool{}}, queue: queueModel(),
		regions: slices.DeleteFunc(things, func(t movelist.Thing) bool { return t.Kind != wire.MoveRegion }),
	}
	start := map[string]moving{}
	for _, t := range w.regions {
		at, epoch := f.where(t)
		start[regionKey(t)] = moving{at: string(at[0]), epoch: epoch}
	}
	w.moves = movesModel(start)
	return w
}

// check has porcupine say whether each history is one of its model.
func (w *waitWorld) check() (wrong [][]porcupine.Operation) {
	for _, m := range []*porcupine.Model{&w.queue, &w.moves} {
		for _, part := range m.Partition(w.h.ops[m]) {
			if porcupine.CheckOperationsTimeout(*m, part, checkTime) != porcupine.Ok {
				wrong = append(wrong, part)
			}
		}
	}
	return wrong
}

// TestQueueAndMovesAreLinearizable records what clients are told that wait for room, move vRegions, and look at both, while
// leaders crash and return, are cut off, and are held up.
func TestQueueAndMovesAreLinearizable(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c, g := startGated(t, func(o *gmanagers.Options) {
		o.ElectionTicks, o.SnapshotEntries, o.CompactionEntries, o.ProposeTimeoutMS = 20, 200, 50, 200
	})
	w := newWaitWorld(t, c.client())
	faults, cancel := context.WithTimeout(context.Background(), waitFor)
	defer cancel()
	stop, stopCallers := context.WithCancel(context.Background())
	defer stopCallers()
	var callers sync.WaitGroup
	r := newRecorder()
	r.t = t
	for id := range queuers + movers + readers {
		k := c.caller(id, r, seed, stop)
		step := w.waits
		switch {
		case id >= queuers+movers:
			step = w.read
		case id >= queuers:
			step = w.move
		}
		callers.Go(func() {
			for k.stop.Err() == nil {
				step(k)
				select {
				case <-time.After(time.Duration(k.rng.IntN(40)) * time.Millisecond):
				case <-k.stop.Done():
				}
			}
		})
	}
	done := c.disturb(g, rand.New(rand.NewPCG(seed, 1<<32)), faults)
	verbs := []verb{ask, learn, inQueue, running, release, begin, owner, lastMove}
	until(t, "each kind of operation was answered", func() bool {
		w.h.mu.Lock()
		defer w.h.mu.Unlock()
		return !slices.ContainsFunc(verbs, func(v verb) bool { return w.h.count[string(v)] == 0 })
	})
	stopCallers()
	callers.Wait()

	var said []string
	for _, v := range append(verbs, giveUp) {
		said = append(said, fmt.Sprintf("%s %d", v, w.h.count[string(v)]))
	}
	t.Logf("%s; %s", strings.Join(said, ", "), strings.Join(done, ", "))
	for _, part := range w.check() {
		t.Errorf("key %s is not as if one thing were done after the other (seed %d)", part[0].Input.(wish).key, seed)
		for _, o := range part {
			t.Logf("%d..%d client %d %+v → %+v", o.Call, o.Return, o.ClientId, o.Input, o.Output)
		}
	}
	for _, s := range w.h.seats {
		n := 0
		for _, x := range w.h.seats {
			if x.since <= s.since && s.since < x.till {
				n++
			}
		}
		if n > seats {
			t.Errorf("%d vNodes ran at once when %s was admitted, there is room for %d (seed %d)", n, s.name, seats, seed)
		}
	}
}

// TestAStaleOwnerIsCaught: a manager that was cut off says who owned a vRegion before it moved, and the check calls that wrong.
func TestAStaleOwnerIsCaught(t *testing.T) {
	t.Parallel()
	c, g := startGated(t, nil)
	cl := c.client()
	w := newWaitWorld(t, cl)
	r := newRecorder()
	k := c.caller(0, r, 0, context.Background())
	thing, leader := w.regions[0], -1
	until(t, "somebody leads", func() bool { leader = c.leader(wire.GMM); return leader >= 0 })
	away := (leader + 1) % len(c.nodes)
	until(t, "the follower knows the vRegion", func() bool {
		w.owner(within(t), k, k.peers[away], thing, true)
		return len(w.h.ops[&w.moves]) > 0
	})
	g.shut(c.nodes[away].id, true)
	was := w.h.ops[&w.moves][0].Output.(outcomeOf).at
	to := map[bool]string{true: "m2", false: "m1"}[was == "m1"]
	call := w.h.now()
	id, err := cl.Move(within(t), thing, wire.NodeID(to))
	if err != nil {
		t.Fatal(err)
	}
	w.h.add(&w.moves, 0, call, wish{verb: begin, key: regionKey(thing), to: to}, outcomeOf{move: id.No})
	until(t, "it has moved", func() bool {
		list, err := cl.Moves(within(t), wire.GMM)
		return err == nil && len(list) == 1 && list[0].State == wire.MoveDone
	})
	w.owner(within(t), k, k.peers[leader], thing, false)
	if wrong := w.check(); len(wrong) != 0 {
		t.Fatalf("before the stale read: %+v", wrong)
	}
	w.owner(within(t), k, k.peers[away], thing, true)
	if wrong := w.check(); len(wrong) != 1 {
		t.Errorf("the stale read was not caught: %+v", w.h.ops[&w.moves])
	}
	g.open()
}
