package vcluster

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/vtime"
)

// When everything in a random world has healed, and how long it then has to come to rest.
const (
	healed = 40 * time.Second
	rest   = time.Minute
)

// anyFaults draws what goes wrong before everything has healed: each that is killed is started again.
func anyFaults(t *rapid.T, nodes []Node) (out []Fault) {
	for range rapid.IntRange(0, 6).Draw(t, "faults") {
		f := Fault{At: time.Duration(rapid.IntRange(0, 20_000).Draw(t, "at")) * time.Millisecond, What: FaultKind(rapid.IntRange(1, 5).Draw(t, "what"))}
		last := time.Duration(rapid.IntRange(1, 15_000).Draw(t, "for")) * time.Millisecond
		f.Node = nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "node")].ID
		switch f.What {
		case Kill, Start:
			f.What = Kill
			out = append(out, Fault{At: f.At + last, What: Start, Node: f.Node})
		case Partition:
			f.For = last
		case Cut:
			f.For = last
			if f.To = nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "to")].ID; f.To == f.Node {
				continue
			}
		case ChangeLeader:
			f.Node = ""
		}
		out = append(out, f)
	}
	return out
}

// anyOrders draws what moves meanwhile, to where the managers place it.
func anyOrders(t *rapid.T) (out []Order) {
	for range rapid.IntRange(0, 5).Draw(t, "orders") {
		x := Order{At: time.Duration(rapid.IntRange(0, 20_000).Draw(t, "at")) * time.Millisecond}
		pid := wire.PID(rapid.IntRange(1, 4).Draw(t, "pid"))
		switch rapid.IntRange(0, 4).Draw(t, "moves") {
		case 0:
			x.Thing = movelist.Thing{Kind: wire.MoveRegion, PID: pid, Region: wire.RegionNo(1024 + rapid.IntRange(0, 2).Draw(t, "region"))}
		case 1:
			x.Thing = movelist.Thing{Kind: wire.MoveHome, PID: pid}
		case 2:
			x.Thing = movelist.Thing{Kind: wire.MoveProcess, PID: pid}
		case 3:
			x.Thing = movelist.Thing{Kind: wire.MoveVolume, Volume: wire.VolumeID(pid)}
		case 4:
			x.Thing = movelist.Thing{Kind: wire.MoveCache, Volume: wire.VolumeID(pid)}
		}
		out = append(out, x)
	}
	return out
}

// wanderer is a process of a random world: it writes and reads pages, and knows what each must hold.
type wanderer struct {
	c       *Cluster
	spec    admission.VNodeSpec
	begin   time.Duration
	think   uint64
	refs    int
	ended   error
	checked int
	over    time.Duration // when it had nothing more to do
}

// run admits it, has it run, and gives back what it had when everything has healed, as whoever drives a run does.
func (w *wanderer) run(y *vtime.Proc) error {
	c := w.c
	y.Sleep(w.begin)
	place, err := c.Admit(y, w.spec)
	if err != nil {
		w.ended = err
		return nil
	}
	var volumes []VolumeOptions
	for i, v := range place.Volumes {
		volumes = append(volumes, VolumeOptions{ID: v.Volume, Epoch: v.Epoch, Name: w.spec.Volumes[i].Name, SizeBytes: v.SizeBytes, Storage: v.Storage, Cache: v.Cache})
	}
	w.ended = w.work(y, place, volumes)
	w.over = y.Now()
	if wire.KindOf(w.ended) == wire.KindCorrupt {
		return w.ended
	}
	if now := y.Now(); now < healed {
		y.Sleep(healed - now)
	}
	for _, v := range volumes {
		if err := c.DeleteVolume(y, place.Node, v); err != nil && wire.KindOf(err) != wire.KindNotFound {
			return fmt.Errorf("volume %d stays: %w", v.ID, err)
		}
	}
	if err := c.Release(y, place.PID); err != nil && wire.KindOf(err) != wire.KindNotFound {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

func (w *wanderer) work(y *vtime.Proc, place admission.Placement, volumes []VolumeOptions) (err error) {
	c := w.c
	e := excache.DefaultOptions()
	e.Lines, e.Ways = int(w.spec.ExCacheLines), 0
	for _, v := range volumes {
		if err := c.CreateVolume(y, place.Node, v); err != nil {
			return err
		}
	}
	p, err := c.Open(y, ProcessOptions{PID: place.PID, Epoch: place.Epoch, Name: w.spec.Name, Node: place.Node, Threads: 1, ExCache: e, Home: wire.Owner{Node: place.Home.Node, Epoch: place.Home.Epoch}})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := p.Close(y); err == nil {
			err = cerr
		}
	}()
	const pages = 600 // more than two vRegions
	if err := p.Map(y, 1<<30, pages<<12, true, true, ""); err != nil {
		return err
	}
	var vols []*Volume
	for _, o := range volumes {
		v, err := p.Attach(y, o)
		if err != nil {
			return err
		}
		vols = append(vols, v)
	}
	th := p.Thread(0)
	th.Begin(y)
	want, block := [pages]uint64{}, make([]byte, wire.PageSize)
	for i := range w.refs {
		th.Compute(w.think)
		n := uint64(i*i*7+i*13) % pages
		s, err := th.Access(1<<18+n, i%3 == 0)
		if err != nil {
			return err
		}
		if got := binary.LittleEndian.Uint64(s[:]); got != want[n] {
			return wire.Errorf(wire.KindCorrupt, "page %d holds %d, %d was written", n, got, want[n])
		}
		w.checked++
		if i%3 == 0 {
			want[n]++
			binary.LittleEndian.PutUint64(s[:], want[n])
		}
		if len(vols) > 0 && i%50 == 0 {
			th.Sync()
			binary.LittleEndian.PutUint64(block, uint64(i))
			if err := vols[0].Write(y, uint64(i%16)*wire.PageSize, block); err != nil {
				return err
			}
			if err := vols[0].Flush(y); err != nil {
				return err
			}
		}
		if err := p.Err(); err != nil {
			return err
		}
		if p.Halted() {
			th.Sync()
			if err := p.Stand(y); err != nil {
				return err
			}
		}
	}
	th.Sync()
	return p.Drain(y)
}

// TestMembersInAnyWorld: managers and components are killed and started again, cut off, and lose what they send, while processes run.
// No page is wrong, whatever fails; and when everything has healed, everybody is a member, and neither the books nor the components
// have anything left.
func TestMembersInAnyWorld(t *testing.T) {
	died, ended, fenced, moved := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		o := lively(2, 3, 2)
		if o.Seed = rapid.Uint64().Draw(t, "seed"); raceEnabled && o.Seed%4 != 0 {
			return // the race detector looks at a quarter of them
		}
		o.Membership.Sweep = 5 * time.Second
		o.Fault.PatienceMS = 2000
		o.Faults = anyFaults(t, o.Nodes)
		o.Orders = anyOrders(t)
		o.MoveTimeout = 5 * time.Second
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		over, n := 0, rapid.IntRange(1, 4).Draw(t, "processes")
		for i := range n {
			w := &wanderer{
				c: c, begin: time.Duration(rapid.IntRange(0, 5000).Draw(t, "begin")) * time.Millisecond,
				think: rapid.SampledFrom([]uint64{1000, 30_000_000, 100_000_000}).Draw(t, "think"), refs: rapid.IntRange(1, 400).Draw(t, "refs"),
				spec: admission.VNodeSpec{Name: fmt.Sprint("w", i), Threads: 1, ExCacheLines: 16},
			}
			if rapid.Bool().Draw(t, "volume") {
				w.spec.Volumes = []admission.VolumeSpec{{Name: fmt.Sprint("v", i), SizeBytes: 1 << 20}}
			}
			c.Go(w.spec.Name, func(y *vtime.Proc) {
				if err := w.run(y); err != nil {
					t.Errorf("%s: %v", w.spec.Name, err)
				}
				if over++; w.ended != nil {
					died++
				} else {
					ended++
				}
			})
		}
		if err := c.clock.Run(vtime.Limits{Events: 5_000_000}); err != nil {
			t.Fatal(err)
		}
		if over != n {
			t.Fatalf("%d of %d processes are over at %v", over, n, c.Now())
		}
		if err := c.Run(max(c.Now(), healed) + rest); err != nil {
			t.Fatal(err)
		}
		for _, k := range groups {
			for _, s := range c.Standings(k) {
				if s.State != membership.Active || !s.Alive || s.Epoch != c.epoch(c.node(s.ID)) {
					t.Fatalf("%v: %v; it knows epoch %d; %v", k, s, c.epoch(c.node(s.ID)), o.Faults)
				}
				if s.Epoch > 1 {
					fenced++
				}
			}
		}
		if err := balanced(c); err != nil {
			t.Fatal(err)
		}
		if d := c.Audit(); len(d) > 0 {
			t.Fatalf("%+v; %v; %+v", d, o.Faults, c.Ordered())
		}
		for _, m := range c.Moves() {
			if m.State == wire.MoveDone {
				moved++
			}
		}
	})
	t.Logf("%d processes ended well, %d did not; %d components have joined again; %d things have moved", ended, died, fenced, moved)
	if ended == 0 || died == 0 || fenced == 0 {
		t.Errorf("%d processes ended well, %d did not, %d components have joined again: nothing is tested", ended, died, fenced)
	}
}
