package vcluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// three is a volume of three copies.
var three = admission.Copies{Replicas: 3, WriteQuorum: 2, ReadQuorum: 2}

// diarist is a process that writes and reads blocks of a volume, and knows what each must hold.
type diarist struct {
	c      *Cluster
	copies admission.Copies
	blocks uint64
	until  time.Duration
	flush  int // after so many writes; 0 is never
	pause  time.Duration

	place admission.Placement
	vol   *Volume
	wrote map[uint64]uint64 // acknowledged, by block
	done  int
	err   error
}

func (d *diarist) start(name string) {
	d.wrote = map[uint64]uint64{}
	d.c.Go(name, func(y *vtime.Proc) { d.err = d.run(y, name) })
}

func (d *diarist) run(y *vtime.Proc, name string) error {
	c := d.c
	spec := admission.VNodeSpec{Name: name, Threads: 1, ExCacheLines: 16, Volumes: []admission.VolumeSpec{{Name: name, SizeBytes: d.blocks * wire.PageSize, Copies: d.copies}}}
	p, place, err := admitted(y, c, spec, 1)
	if err != nil {
		return err
	}
	d.place = place
	o := VolumeAt(place.Volumes[0], name)
	if err := c.CreateVolume(y, place.Node, o); err != nil {
		return err
	}
	if d.vol, err = p.Attach(y, o); err != nil {
		return err
	}
	b := make([]byte, wire.PageSize)
	for i := uint64(0); y.Now() < d.until; i++ {
		y.Sleep(d.pause)
		n := i * 7 % d.blocks
		if i%3 == 2 {
			n = i * 5 % d.blocks
			if err := d.vol.Read(y, n*wire.PageSize, b); err != nil {
				return fmt.Errorf("at %v: %w", y.Now(), err)
			}
			for s := range wire.SectorsPerPage {
				if got := binary.LittleEndian.Uint64(b[s*wire.SectorSize:]); got != d.wrote[n] {
					return wire.Errorf(wire.KindCorrupt, "at %v: sector %d of block %d holds %d, %d was written", y.Now(), s, n, got, d.wrote[n])
				}
			}
			d.done++
			continue
		}
		for s := range wire.SectorsPerPage {
			binary.LittleEndian.PutUint64(b[s*wire.SectorSize:], i+1)
		}
		if err := d.vol.Write(y, n*wire.PageSize, b); err != nil {
			return fmt.Errorf("at %v: %w", y.Now(), err)
		}
		d.wrote[n] = i + 1
		d.done++
		if d.flush > 0 && i%uint64(d.flush) == 0 {
			if err := d.vol.Flush(y); err != nil {
				return fmt.Errorf("at %v: %w", y.Now(), err)
			}
		}
	}
	return nil
}

// booked is the volume in the books.
func (d *diarist) booked(t *testing.T) (out struct {
	whole bool
	at    string
	cache wire.NodeID
	lost  bool
}) {
	t.Helper()
	v := d.c.gm.gsm.Volumes(d.place.Volumes[0].Volume)[0]
	out.whole, out.cache, out.lost = v.Whole(), v.Cache, v.Lost != 0
	for _, r := range v.Replicas {
		out.at += fmt.Sprintf("%s %v, ", r.Node, r.State)
	}
	return out
}

// TestACopyIsLostForGood: one of three sComponents dies. Nobody who uses the volume notices, and the copy is made elsewhere within a
// bound, in the books and at the sComponents.
func TestACopyIsLostForGood(t *testing.T) {
	o := lively(1, 2, 4)
	o.Managers.ReplaceAfter = 2 * time.Second
	o.Membership.Sweep = 5 * time.Second
	o.Faults = []Fault{{At: 5 * time.Second, What: Kill, Node: "s1"}}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := &diarist{c: c, copies: three, blocks: 256, until: 20 * time.Second, flush: 16, pause: 8 * time.Millisecond}
	d.start("a")
	if err := c.Run(0); err != nil || d.err != nil {
		t.Fatal(err, d.err)
	}
	if b := d.booked(t); !b.whole || strings.Contains(b.at, "s1") || !strings.Contains(b.at, "s4 in_sync") {
		t.Errorf("in the books: %+v", b)
	}
	if n := len(c.nodes[c.node("s4")].(*storage).vols[1].blocks); n != 256 {
		t.Errorf("s4 has %d blocks of 256", n)
	}
	var restored time.Duration
	for _, e := range c.History(wire.GSM) {
		if e.Kind == events.ReplicaInSync {
			restored = time.Duration(e.Amount) * time.Millisecond
		}
	}
	if restored < o.Managers.ReplaceAfter || restored > o.Managers.ReplaceAfter+3*time.Second {
		t.Errorf("every copy is there again after %v, want %v and at most 3 s more", restored, o.Managers.ReplaceAfter)
	}
	t.Logf("%d requests, restored after %v", d.done, restored)
}

// TestACopyComesBack: an sComponent is started again before its copy is replaced. It catches up where it is.
func TestACopyComesBack(t *testing.T) {
	o := lively(1, 2, 4)
	o.Managers.ReplaceAfter = 20 * time.Second
	o.Faults = []Fault{{At: 5 * time.Second, What: Kill, Node: "s2"}, {At: 15 * time.Second, What: Start, Node: "s2"}}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := &diarist{c: c, copies: three, blocks: 64, until: 25 * time.Second, flush: 16, pause: 10 * time.Millisecond}
	d.start("a")
	if err := c.Run(0); err != nil || d.err != nil {
		t.Fatal(err, d.err)
	}
	if b := d.booked(t); !b.whole || b.at != "s1 in_sync, s2 in_sync, s3 in_sync, " {
		t.Errorf("in the books: %+v; %v", b, c.History(wire.GSM))
	}
	v, w := c.nodes[c.node("s1")].(*storage).vols[1], c.nodes[c.node("s2")].(*storage).vols[1]
	behind := 0
	for n := range uint64(64) {
		if v.versions[n] != w.versions[n] {
			behind++
		}
	}
	if behind > 2 { // what was written last may be on its way
		t.Errorf("%d blocks of s2 are older than those of s1", behind)
	}
}

// TestABufferCacheDies: the mComponent of a buffer cache dies. What was flushed or written through is served by another, and the process
// goes on; what was not fails by name, and nothing older is ever read.
func TestABufferCacheDies(t *testing.T) {
	through := three
	through.Through = true
	for name, x := range map[string]struct {
		copies admission.Copies
		flush  int
		fails  bool
		start  bool // the mComponent is started again at once, before anybody is declared dead
	}{
		"one copy, flushed": {flush: 1}, "one copy, not flushed": {fails: true}, "three copies, flushed": {copies: three, flush: 1},
		"three copies, not flushed": {copies: three, fails: true}, "written through": {copies: through}, "started again": {copies: through, start: true}, "one copy, started again": {flush: 1, start: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := lively(1, 2, 3)
			c, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			d := &diarist{c: c, copies: x.copies, blocks: 64, until: 14 * time.Second, flush: x.flush, pause: 10 * time.Millisecond}
			d.start("a")
			c.Go("killer", func(y *vtime.Proc) {
				y.Sleep(5 * time.Second)
				for {
					y.Sleep(time.Millisecond)
					m := c.nodes[c.node("m1")].(*memory)
					if x.flush == 0 || !m.unflushed(1) {
						break
					}
				}
				if err := c.Strike(Fault{What: Kill, Node: "m1"}); err != nil {
					t.Error(err)
				}
				if x.start {
					y.Sleep(100 * time.Millisecond)
					if err := c.Strike(Fault{What: Start, Node: "m1"}); err != nil {
						t.Error(err)
					}
				}
			})
			if err := c.Run(0); err != nil {
				t.Fatal(err)
			}
			b := d.booked(t)
			switch {
			case !x.fails && (d.err != nil || b.lost || !x.start && b.cache != "m2"):
				t.Errorf("%v; %+v; %d requests", d.err, b, d.done)
			case x.fails && (!errors.Is(d.err, wire.ErrFailed) || !strings.Contains(d.err.Error(), "not flushed and is gone") || !b.lost):
				t.Errorf("%v, want a failure by name; %+v", d.err, b)
			}
		})
	}
}

// unflushed reports whether a buffer cache has writes of a volume that were acknowledged and not flushed.
func (m *memory) unflushed(id wire.VolumeID) bool {
	at, ok := m.blocks.cache.Moving(id)
	return !ok || at.Dirty > 0 || m.blocks.ops > 0
}

// TestAnSComponentDrains: its copies are made elsewhere while it serves, and then it has nothing left.
func TestAnSComponentDrains(t *testing.T) {
	o := lively(1, 1, 4)
	o.Membership.Sweep = 2 * time.Second
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := &diarist{c: c, copies: three, blocks: 64, until: 15 * time.Second, flush: 16, pause: 10 * time.Millisecond}
	d.start("a")
	c.Go("drain", func(y *vtime.Proc) {
		y.Sleep(3 * time.Second)
		client, seq := c.gm.session()
		c.gm.toGSM(client, seq, gsm.Request{Op: gsm.OpNode, Member: wire.Member{ID: "s1"}, Action: membership.Drain}, func(r gsm.Result, err error) {
			if err := firstOf(err, r.Err()); err != nil {
				t.Error(err)
			}
		})
	})
	if err := c.Run(0); err != nil || d.err != nil {
		t.Fatal(err, d.err)
	}
	if b := d.booked(t); !b.whole || strings.Contains(b.at, "s1") {
		t.Errorf("in the books: %+v; %v", b, c.History(wire.GSM))
	}
	if n := len(c.nodes[c.node("s1")].(*storage).vols); n != 0 {
		t.Errorf("s1 has %d volumes left", n)
	}
}

// TestCopiesInAnyWorld: sComponents are killed and started again, or not, cut off, slow and full, and their blocks change under them, at
// most one at a time; managers and links fail as well. No block is wrong, nothing that was flushed is lost, whoever uses the volume goes
// on, and in the end every copy is there again.
func TestCopiesInAnyWorld(t *testing.T) {
	requests, failed, replaced, repaired := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		o := lively(2, 3, 5)
		every := uint64(4) // a world is a minute of a cluster
		if raceEnabled {
			every = 24
		}
		if o.Seed = rapid.Uint64().Draw(t, "seed"); o.Seed%every != 0 {
			return
		}
		o.Membership.Sweep = 5 * time.Second
		o.Managers.ReplaceAfter = time.Duration(rapid.IntRange(0, 1500).Draw(t, "replace after")) * time.Millisecond
		for i := range o.Nodes {
			o.Nodes[i].Rack = rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "rack")
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "faults of managers and links") {
			o.Faults = append(o.Faults, Fault{At: time.Duration(2+i*8)*time.Second + time.Duration(rapid.IntRange(0, 2000).Draw(t, "at"))*time.Millisecond, What: ChangeLeader})
		}
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		const calm = 40 * time.Second
		var all []*diarist
		for i := range rapid.IntRange(1, 3).Draw(t, "processes") {
			d := &diarist{
				c: c, blocks: uint64(rapid.IntRange(1, 200).Draw(t, "blocks")), until: calm, flush: rapid.SampledFrom([]int{0, 1, 5, 40}).Draw(t, "flush"),
				pause:  time.Duration(rapid.IntRange(30, 120).Draw(t, "pause")) * time.Millisecond,
				copies: rapid.SampledFrom([]admission.Copies{three, three, {Replicas: 3, WriteQuorum: 2, ReadQuorum: 2}, {Replicas: 5, WriteQuorum: 3, ReadQuorum: 3}, {Replicas: 4, WriteQuorum: 3, ReadQuorum: 2}}).Draw(t, "copies"),
			}
			d.start(fmt.Sprint("d", i))
			all = append(all, d)
		}
		// One sComponent is ill at a time, and has time to catch up.
		c.Go("what fails", func(y *vtime.Proc) {
			y.Sleep(3 * time.Second)
			for range rapid.IntRange(1, 3).Draw(t, "faults") {
				id := wire.NodeID(fmt.Sprint("s", rapid.IntRange(1, 5).Draw(t, "who")))
				last := time.Duration(rapid.IntRange(500, 8000).Draw(t, "for")) * time.Millisecond
				switch rapid.IntRange(0, 5).Draw(t, "what") {
				case 0, 1:
					strike(t, c, Fault{What: Kill, Node: id})
					y.Sleep(last)
					strike(t, c, Fault{What: Start, Node: id})
				case 2:
					strike(t, c, Fault{What: Partition, Node: id, For: last})
					y.Sleep(last)
				case 3:
					for range 3 {
						if _, _, err := c.Corrupt(id, 0, 0, rand.New(rand.NewPCG(o.Seed, uint64(last)))); err == nil {
							repaired++
						}
					}
				case 4:
					c.SlowDisk(id, 50, 20*time.Millisecond, last)
					y.Sleep(last)
				case 5:
					c.FillDisk(id, last)
					y.Sleep(last)
				}
				y.Sleep(10 * time.Second)
			}
		})
		if err := c.clock.Run(vtime.Limits{Events: 5_000_000}); err != nil {
			t.Fatal(err)
		}
		if err := c.Run(max(c.Now(), calm) + rest); err != nil {
			t.Fatal(err)
		}
		for i, d := range all {
			requests += d.done
			if d.err != nil {
				failed++
				t.Fatalf("process %d: %v; %v", i, d.err, c.History(wire.GSM))
			}
			v := c.gm.gsm.Volumes(d.place.Volumes[0].Volume)[0]
			if !v.Whole() {
				t.Fatalf("process %d: %+v at the end; %v", i, v.Replicas, c.History(wire.GSM))
			}
		}
		for _, e := range c.History(wire.GSM) {
			if e.Kind == events.ReplicaFills {
				replaced++
			}
		}
		if d := c.Audit(); len(d) > 0 {
			t.Fatalf("%+v", d)
		}
	})
	t.Logf("%d requests, %d processes failed, %d copies were made elsewhere, %d blocks were changed on disks", requests, failed, replaced, repaired)
	if requests == 0 || replaced == 0 && !raceEnabled { // with the race detector there are too few worlds to be sure of one
		t.Errorf("%d requests, %d copies were made elsewhere: nothing is tested", requests, replaced)
	}
}

func strike(t *rapid.T, c *Cluster, f Fault) {
	if err := c.Strike(f); err != nil {
		t.Errorf("%v", err)
	}
}

// TestACopyIsMadeAgainWhereItWas: the disk of one of three sComponents was full when the volume was made, and there is no fourth. The copy that is
// missing is made where it belongs, as soon as it has room, whether or not GSM has another reason to look at the volume.
func TestACopyIsMadeAgainWhereItWas(t *testing.T) {
	for name, faults := range map[string][]Fault{
		"nothing else happens":     nil,
		"another is started again": {{At: 4 * time.Second, What: Kill, Node: "s1"}, {At: 5 * time.Second, What: Start, Node: "s1"}},
	} {
		t.Run(name, func(t *testing.T) { madeAgain(t, faults) })
	}
}

func madeAgain(t *testing.T, faults []Fault) {
	o := lively(1, 2, 3)
	o.Managers.ReplaceAfter = time.Second
	o.Faults = faults
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.FillDisk("s3", 10*time.Second)
	d := &diarist{c: c, copies: three, blocks: 64, until: 25 * time.Second, flush: 16, pause: 10 * time.Millisecond}
	d.start("a")
	if err := c.Run(0); err != nil || d.err != nil {
		t.Fatal(err, d.err)
	}
	if b := d.booked(t); !b.whole || b.at != "s1 in_sync, s2 in_sync, s3 in_sync, " {
		t.Errorf("in the books: %+v; %v", b, c.History(wire.GSM))
	}
	at := c.nodes[c.node("s3")].(*storage).vols[1]
	if at == nil || len(at.blocks) != 64 {
		t.Fatalf("s3 has not all blocks: %+v", at)
	}
	again := false
	for _, e := range c.History(wire.GSM) {
		again = again || e.Kind == events.ReplicaFills && e.Node == "s3" && e.From == "s3"
	}
	if !again {
		t.Error("the history does not say that the copy is made again")
	}
}
