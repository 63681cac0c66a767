package repair

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// world is books of some volumes, components that are told, and a keeper whose leader changes. Answers come late, out of order, or never.
type world struct {
	t       *rapid.T
	now     time.Duration
	k       *Taped
	after   time.Duration
	tapes   tapedtest.Tapes
	books   map[wire.VolumeID]*booked
	pending []Effect
	told    map[wire.VolumeID]wire.Epoch // by the pComponent, the newest
	filled  map[wire.NodeID]int          // by sComponent, how far its copy is
}

// booked is a volume in the books, with what is true of it.
type booked struct {
	v      Volume
	config uint64 // that the buffer cache has
	served wire.Epoch
	lost   bool        // writes died that were not flushed
	gone   wire.NodeID // of a copy that its sComponent has lost, and that is not made again there
	full   bool        // no other sComponent has room
	remade int
	over   bool // and the books say so
}

// unsettled is what the books say that volumes need.
func (w *world) unsettled() (out []Volume) {
	for id := range wire.VolumeID(4) {
		b := w.books[id]
		if b == nil || b.over {
			continue
		}
		v := b.v
		if v.Gone != "" || v.Recached || v.Missing != "" || v.Unconfirmed || len(v.Back) > 0 || v.fills() != nil {
			out = append(out, v)
		}
	}
	return out
}

// lead has another keeper lead; what the one before waits for is never answered.
func (w *world) lead() {
	head := TapeHead{Of: wire.GSM, ReplaceAfter: w.after}
	w.k = &Taped{Keeper: head.New()}
	w.k.Record(&w.tapes, w.k.Keeper, TapeKind, &head)
	w.pending = nil
}

// remade is a keeper of its head.
func remade(_ string, head []byte) (taped.Core, error) {
	var h TapeHead
	err := wire.Unmarshal(head, &h)
	return h.New(), err
}

func (w *world) sync() {
	w.take(w.k.Sync(w.now, w.unsettled(), nil))
	w.take(w.k.Tick(w.now, nil))
	if err := w.k.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) take(out []Effect) { w.pending = append(w.pending, out...) }

// carry out performs an effect and answers it, perhaps.
func (w *world) carry(e Effect, lost bool) {
	b := w.books[e.Volume]
	p := &b.v.Place
	var rep wire.VolumeConfigRep
	var err error
	switch e.Kind {
	case Propose:
		err = w.apply(b, e.Change)
	case Create:
		f := b.v.fills()
		switch {
		case f == nil || f.Node != e.Node:
			err = wire.Errorf(wire.KindBusy, "it is not to fill any more")
		case f.State == wire.ReplicaRemade && (b.config != p.Config && b.config != 0 || b.v.Unconfirmed): // one that was chosen anew, and has none, gets that of the books
			w.t.Fatalf("volume %d: its copy is made again at %s under configuration %d (not confirmed: %t), the buffer cache has %d", p.Volume, f.Node, p.Config, b.v.Unconfirmed, b.config)
		case b.gone == e.Node:
			b.gone = ""
		}
	case Config:
		q := e.Config.Volume
		if e.Node != p.Cache || b.v.Gone != "" || q.Epoch != p.Epoch {
			err = wire.Errorf(wire.KindUnavailable, "%s does not have it", e.Node)
			break
		}
		b.config = max(b.config, q.Config)
		rep = wire.VolumeConfigRep{Config: b.config}
		for _, r := range q.Replicas {
			if r.State.Fills() && b.config == q.Config && b.gone != r.Node {
				w.filled[r.Node]++
				rep.InSync = w.filled[r.Node] >= 3
			}
			if b.gone == r.Node {
				rep.Behind = append(rep.Behind, r.Node)
				if !r.State.Fills() {
					rep.Lost = append(rep.Lost, r.Node)
				}
			}
		}
	case Attach:
		switch {
		case e.Node != p.Cache:
			err = wire.Errorf(wire.KindUnavailable, "%s does not run", e.Node)
		case b.lost:
			err = wire.Errorf(wire.KindFailed, "writes were not flushed")
		default:
			b.served = e.Attach.Epoch
		}
	case Tell:
		if e.Switch.Epoch > b.served && !b.lost { // an older one is late and changes nothing
			w.t.Fatalf("volume %d: the pComponent is told of epoch %d, served is %d", e.Volume, e.Switch.Epoch, b.served)
		}
		w.told[e.Volume] = max(w.told[e.Volume], e.Switch.Epoch)
	}
	if lost {
		return
	}
	w.take(w.k.Answered(w.now, e.Volume, e.Call, rep, err, nil))
}

// apply is what the replicated state does.
func (w *world) apply(b *booked, c Change) error {
	p := &b.v.Place
	stale := wire.Errorf(wire.KindStale, "other books")
	switch c.Verb {
	case Replace, Remake, Synced, Seen, Confirmed:
		if c.Config != p.Config {
			return stale
		}
	}
	switch c.Verb {
	case Recache, Told, Lose, Confirmed:
		if c.Epoch != p.Epoch {
			return stale
		}
	}
	next := slices.Clone(p.Replicas)
	at := slices.IndexFunc(next, func(r wire.VolumeReplica) bool { return r.Node == c.Node })
	switch c.Verb {
	case Replace:
		if f := b.v.fills(); at < 0 || b.v.Missing != c.Node || f != nil && f.Node != c.Node {
			return stale
		}
		fresh := wire.VolumeReplica{Node: wire.NodeID(fmt.Sprintf("t%d-%d", p.Volume, p.Config)), State: wire.ReplicaFilling}
		if next[at].State.Fills() {
			fresh.State = next[at].State
			next[at] = fresh
		} else {
			next[at].State = wire.ReplicaLeaving
			next = append(next, fresh)
		}
		p.Replicas, p.Config, b.v.Missing, b.v.Dead, b.v.Unconfirmed = next, p.Config+1, "", false, true
	case Remake:
		switch {
		case at < 0 || next[at].State != wire.ReplicaInSync || b.v.fills() != nil:
			return stale
		case b.gone != c.Node:
			w.t.Fatalf("volume %d: %s is said to have lost its copy, which is %q", p.Volume, c.Node, b.gone)
		case b.full:
			next[at].State = wire.ReplicaRemade
			w.filled[c.Node] = 0
		default:
			next[at].State = wire.ReplicaLeaving
			next = append(next, wire.VolumeReplica{Node: wire.NodeID(fmt.Sprintf("t%d-%d", p.Volume, p.Config)), State: wire.ReplicaFilling})
		}
		p.Replicas, p.Config, b.v.Unconfirmed = next, p.Config+1, true
		b.v.Missing, b.v.Dead = "", false // while a copy fills only that counts
	case Synced:
		if at < 0 || !next[at].State.Fills() || w.filled[c.Node] < 3 {
			w.t.Fatalf("volume %d: %s is said to be in sync, it has %d of 3", p.Volume, c.Node, w.filled[c.Node])
		}
		if next[at].State == wire.ReplicaRemade {
			b.remade++
		}
		next[at].State = wire.ReplicaInSync
		p.Replicas = slices.DeleteFunc(next, func(r wire.VolumeReplica) bool { return r.State == wire.ReplicaLeaving })
		p.Config++
		b.v.Unconfirmed = true
	case Confirmed:
		if b.config != p.Config {
			w.t.Fatalf("volume %d: configuration %d is said to be in force, the buffer cache has %d", p.Volume, p.Config, b.config)
		}
		b.v.Unconfirmed = false
	case Seen:
		b.v.Back = slices.DeleteFunc(slices.Clone(b.v.Back), func(x Back) bool { return x.Node == c.Node && x.Member == c.Member })
	case Recache:
		p.Epoch += 3
		p.Cache += "x"
		b.v.Gone, b.v.Recached, b.config = "", true, 0
	case Told:
		if b.served != p.Epoch || w.told[p.Volume] != p.Epoch {
			w.t.Fatalf("volume %d: epoch %d is said to be told, served is %d, the pComponent knows %d", p.Volume, p.Epoch, b.served, w.told[p.Volume])
		}
		b.v.Recached = false
	case Lose:
		if !b.lost {
			w.t.Fatalf("volume %d is said to be lost", p.Volume)
		}
		b.over = true
	}
	return nil
}

// TestEveryVolumeIsSettled: whatever answers are lost, late or out of order, and however often the leader changes, nothing is said that is not
// true, and when nothing more goes wrong every volume has what it needs within a bound.
func TestEveryVolumeIsSettled(t *testing.T) {
	settled, again := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, books: map[wire.VolumeID]*booked{}, told: map[wire.VolumeID]wire.Epoch{}, filled: map[wire.NodeID]int{}}
		w.after = time.Duration(rapid.IntRange(0, 3000).Draw(t, "replace after")) * time.Millisecond
		w.lead()
		for id := range wire.VolumeID(4) {
			b := &booked{v: Volume{Client: "p", Place: admission.Volume{Volume: id, Epoch: 1, Cache: "m", Config: 1, Copies: admission.Copies{Replicas: 3, WriteQuorum: 2, ReadQuorum: 2}}}}
			for i := range 3 {
				b.v.Place.Replicas = append(b.v.Place.Replicas, wire.VolumeReplica{Node: wire.NodeID(fmt.Sprintf("s%d-%d", id, i)), State: wire.ReplicaInSync})
			}
			b.served, b.config = 1, 1
			w.books[id] = b
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.now += time.Duration(rapid.IntRange(0, 700).Draw(t, "ms")) * time.Millisecond
			b := w.books[wire.VolumeID(rapid.IntRange(0, 3).Draw(t, "volume"))]
			p := &b.v.Place
			switch rapid.IntRange(0, 12).Draw(t, "what") {
			case 0:
				if b.v.Missing == "" {
					r := p.Replicas[rapid.IntRange(0, len(p.Replicas)-1).Draw(t, "copy")]
					if f := b.v.fills(); f != nil {
						r = *f
					}
					b.v.Missing, b.v.Dead, b.v.Why = r.Node, rapid.Bool().Draw(t, "dead"), "it is gone"
				}
			case 1:
				if b.v.Gone == "" && b.served == p.Epoch {
					b.v.Gone, b.lost = "it is dead", rapid.IntRange(0, 3).Draw(t, "lost") == 0
				}
			case 2:
				b.v.Back = []Back{{p.Replicas[0].Node, wire.Epoch(w.now)}}
			case 3:
				w.lead()
			case 4: // and something has GSM look at the volume
				if r := p.Replicas[0]; b.gone == "" && b.v.fills() == nil && b.v.Missing == "" {
					b.gone, b.full = r.Node, rapid.Bool().Draw(t, "full")
					b.v.Back = []Back{{p.Replicas[1].Node, wire.Epoch(w.now)}}
				}
			default:
				if n := len(w.pending); n > 0 {
					i := rapid.IntRange(0, n-1).Draw(t, "which")
					e := w.pending[i]
					w.pending = slices.Delete(w.pending, i, i+1)
					w.carry(e, rapid.IntRange(0, 4).Draw(t, "answer") == 0)
				}
			}
			w.sync()
		}
		end := w.now + time.Minute
		for len(w.unsettled()) > 0 && w.now < end {
			for len(w.pending) > 0 {
				e := w.pending[0]
				w.pending = w.pending[1:]
				w.carry(e, false)
			}
			w.sync()
			if len(w.pending) == 0 {
				next, ok := w.k.Next()
				if !ok && len(w.unsettled()) > 0 {
					t.Fatalf("nothing is due, and these are not settled: %+v", w.unsettled())
				}
				w.now = max(w.now+time.Millisecond, next)
			}
		}
		if left := w.unsettled(); len(left) > 0 {
			t.Fatalf("after a minute: %+v", left)
		}
		w.tapes.Again(t, rand.New(rand.NewPCG(uint64(w.now), uint64(w.tapes.Records()))), remade)
		for _, b := range w.books {
			again += b.remade
			settled += cmp.Compare(b.v.Place.Config+uint64(b.v.Place.Epoch), 2)
		}
	})
	if settled == 0 || again == 0 {
		t.Errorf("%d changes, and %d copies were made again where they were: nothing is tested", settled, again)
	}
}
