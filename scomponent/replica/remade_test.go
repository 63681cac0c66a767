package replica

import (
	"math/rand/v2"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

// TestACopyThatIsMadeAgainCountsForNothing: s2 and s3 have the last write, s1 missed it, and s2 loses all that it had. While s3 cannot be
// reached either nobody may tell what the block is: not s1, which has an older write, and not s2, which is made again and empty. It is
// so for the buffer cache that knew s2 before, for one that comes after it, also if writes were not flushed, and if s2 is lost once
// more after it was filled. When all can be reached s2 has everything.
func TestACopyThatIsMadeAgainCountsForNothing(t *testing.T) {
	for _, c := range []struct {
		name                    string
		another, unsaved, twice bool
	}{{name: "the same buffer cache"}, {name: "another buffer cache", another: true}, {name: "after unflushed writes", another: true, unsaved: true}, {name: "lost once more", twice: true}} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{t: t, rng: rand.New(rand.NewPCG(1, 5)), opt: DefaultOptions(), disks: map[wire.NodeID]*disk{}, cut: map[wire.NodeID]bool{}, open: map[uint64]*request{},
				gone: map[uint64]*request{}, pages: map[uint64]content{}, is: make([]content, 4), busy: make([]bool, 4), maybe: make([][]content, 4)}
			w.opt.Patience = 400 * time.Millisecond
			w.req = wire.VolumeAttachReq{Volume: 1, SizeBytes: 4 * wire.PageSize, Config: 1, WriteQuorum: 2, ReadQuorum: 2, Through: true}
			for _, node := range []wire.NodeID{"s1", "s2", "s3"} {
				w.disks[node] = w.volumeOf(node)
				w.req.Replicas = append(w.req.Replicas, wire.VolumeReplica{Node: node, Member: 1, State: wire.ReplicaInSync})
			}
			w.attach()
			w.wait(time.Second)
			w.put(1)
			if c.unsaved {
				w.opID++
				w.open[w.opID] = &request{kind: opMark}
				w.perform(w.g.Mark(w.now, w.opID, 1, nil))
				w.wait(time.Second)
			}
			remake := func() {
				w.lose("s2")
				w.wait(10 * time.Millisecond)
				w.tellRemade("s2")
				w.makeAgain("s2")
			}
			if c.twice {
				remake()
				w.wait(5 * time.Second)
				if !w.g.Status().InSync {
					t.Fatalf("it was not filled:\n%s", w.g.Show())
				}
			}
			w.cut["s1"] = true
			w.put(2)
			if c.twice {
				w.lose("s2")
				w.opID++
				w.busy[1] = true
				w.open[w.opID] = &request{kind: opRead, block: 1}
				w.perform(w.g.Read(w.now, w.opID, 1, nil)) // so that it is noticed
				w.wait(100 * time.Millisecond)
				w.makeAgain("s2")
			} else {
				remake()
			}
			w.cut["s3"], w.cut["s1"] = !c.unsaved, false
			if c.another {
				w.attach()
				for end := w.now + 300*time.Millisecond; !w.g.ready && w.now < end; {
					w.run(w.now + 100*time.Microsecond)
				}
				if w.g.ready != c.unsaved {
					t.Fatalf("attached: %t\n%s", w.g.ready, w.g.Show())
				}
				w.cut["s3"] = true
			}
			w.wait(5 * time.Second) // s2 is tried again
			was := w.reads
			w.get() // fails the test if it is another than the last
			if w.reads != was {
				t.Fatalf("the block was read with one copy that has it out of reach, and another lost\n%s", w.g.Show())
			}
			w.cut["s3"] = false
			if w.broken != nil {
				w.attach()
			}
			w.wait(20 * time.Second)
			if w.get(); w.reads != was+1 || !w.g.Status().InSync || w.disks["s2"].read(0).bytes != w.is[0] {
				t.Fatalf("%d reads, s2 has %+v\n%s", w.reads-was, w.disks["s2"].read(0), w.g.Show())
			}
		})
	}
}

// put writes block 0, which must be acknowledged.
func (w *world) put(tag uint32) {
	w.opID++
	r := &request{kind: opWrite, mask: 0xff, page: content{tag, tag}}
	w.busy[0], w.open[w.opID] = true, r
	w.perform(w.g.Write(w.now, w.opID, 0, 0xff, nil))
	w.wait(time.Second)
	if w.is[0] != r.page {
		w.t.Fatalf("the write was not acknowledged\n%s", w.g.Show())
	}
}

// get reads block 0 and waits for longer than the patience of the group.
func (w *world) get() {
	w.opID++
	w.busy[0], w.open[w.opID] = true, &request{kind: opRead}
	w.perform(w.g.Read(w.now, w.opID, 0, nil))
	w.wait(time.Second)
}

// lose has an sComponent lose its copy with all that it acknowledged, while it runs.
func (w *world) lose(node wire.NodeID) {
	d := w.disks[node]
	d.stop()
	d.up, d.empty, d.gone = true, true, true
}

// tellRemade tells the buffer cache that a copy is made again.
func (w *world) tellRemade(node wire.NodeID) {
	next := make([]wire.VolumeReplica, len(w.req.Replicas))
	for i, r := range w.req.Replicas {
		if next[i] = r; r.Node == node {
			next[i].State = wire.ReplicaRemade
		}
	}
	w.req.Replicas = next
	w.req.Config++
	w.perform(w.g.Configure(w.now, w.req, nil))
}

// makeAgain makes the volume of a copy that was lost.
func (w *world) makeAgain(node wire.NodeID) {
	d, fresh := w.disks[node], w.volumeOf(node)
	d.durable, d.vol, d.synced, d.cached, d.gone, d.empty = fresh.durable, nil, fresh.synced, fresh.cached, false, false
	d.durable.Boot[0] = d.boots
	d.start()
}

// wait goes on for so long, and looks at the clock often enough.
func (w *world) wait(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.run(w.now + 10*time.Millisecond)
	}
}
