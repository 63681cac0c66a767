package vcluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/weigh"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/units"
	"splitkernel/sim/vtime"
)

// user drives one vNode: it writes and reads pages and sectors and checks that every read gives what was written last.
type user struct {
	c        *Cluster
	t        failer
	spec     admission.VNodeSpec
	pages    uint64
	accesses int
	sectors  int           // of its volumes that it uses
	compute  uint64        // instructions before an access
	begin    time.Duration // when it is admitted

	place    admission.Placement
	p        *Process
	wrote    map[uint64]uint64
	onDisk   map[[2]uint64]uint64 // by volume and sector
	accessed int
	ended    bool
	err      error
}

type failer interface {
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Helper()
}

func (u *user) start() {
	u.wrote, u.onDisk = map[uint64]uint64{}, map[[2]uint64]uint64{}
	u.c.Go(u.spec.Name, func(y *vtime.Proc) {
		y.Sleep(u.begin)
		u.err = u.run(y)
		u.ended = true
	})
}

func stampOf(n uint64) (s Stamp) {
	for i := range 8 {
		s[i], s[i+8] = byte(n>>(8*i)), ^byte(n>>(8*i))
	}
	return s
}

const userBase = 1 << 30

func (u *user) run(y *vtime.Proc) (err error) {
	for range 20 { // a leader that changes leaves some undecided, and what drains may leave no room for a moment
		if u.place, err = u.c.Admit(y, u.spec); err == nil {
			break
		}
		y.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	defer func() {
		if rerr := u.c.Release(y, u.place.PID); err == nil {
			err = rerr
		}
	}()
	var vols []VolumeOptions
	for i, v := range u.place.Volumes {
		o := VolumeOptions{ID: v.Volume, Epoch: v.Epoch, Name: u.spec.Volumes[i].Name, SizeBytes: v.SizeBytes, Storage: v.Storage, Cache: v.Cache}
		if err := u.c.CreateVolume(y, u.place.Node, o); err != nil {
			return err
		}
		vols = append(vols, o)
		defer func() {
			if derr := u.c.DeleteVolume(y, u.place.Node, o); err == nil {
				err = derr
			}
		}()
	}
	e := excache.DefaultOptions()
	e.Lines, e.Ways = int(u.spec.ExCacheLines), 0
	u.p, err = u.c.Open(y, ProcessOptions{
		PID: u.place.PID, Epoch: u.place.Epoch, Name: u.spec.Name, Node: u.place.Node, Threads: 1, ExCache: e,
		Home: wire.Owner{Node: u.place.Home.Node, Addr: u.place.Home.Addr, Epoch: u.place.Home.Epoch},
	})
	if err != nil {
		return err
	}
	if err := u.work(y, vols); err != nil {
		return err
	}
	return u.p.Close(y)
}

func (u *user) work(y *vtime.Proc, vols []VolumeOptions) error {
	if err := u.p.Map(y, userBase, u.pages<<wire.PageShift, true, true, ""); err != nil {
		return err
	}
	var volumes []*Volume
	for _, o := range vols {
		v, err := u.p.Attach(y, o)
		if err != nil {
			return err
		}
		volumes = append(volumes, v)
	}
	chance := vtime.Stream(u.c.o.Seed, "user "+u.spec.Name, 0)
	th := u.p.Thread(0)
	th.Begin(y)
	for n := uint64(1); u.accessed < u.accesses; n++ {
		page, write := chance.Uint64N(u.pages), chance.IntN(3) > 0
		th.Compute(u.compute)
		s, err := th.Access(userBase>>wire.PageShift+page, write)
		if err != nil {
			return err
		}
		if want := stampOf(u.wrote[page]); u.wrote[page] == 0 && *s != (Stamp{}) || u.wrote[page] != 0 && *s != want {
			u.t.Errorf("%s: page %d holds %x, want that of write %d, at %v", u.spec.Name, page, *s, u.wrote[page], y.Now())
		}
		if write {
			*s, u.wrote[page] = stampOf(n), n
		}
		u.accessed++
		if chance.IntN(2000) == 0 {
			th.Sync()
			if err := u.remap(y, chance.Uint64N(u.pages)); err != nil {
				return err
			}
		}
		if len(volumes) > 0 && chance.IntN(50) == 0 {
			th.Sync()
			if err := u.disk(y, volumes[chance.IntN(len(volumes))], chance.Uint64N(uint64(u.sectors)), chance.IntN(4), n); err != nil {
				return err
			}
		}
		if err := u.boundary(y, th); err != nil {
			return err
		}
	}
	th.Sync()
	return u.p.Drain(y)
}

// remap maps a page anew, which zeroes it.
func (u *user) remap(y *vtime.Proc, page uint64) error {
	delete(u.wrote, page)
	return u.p.Map(y, userBase+page<<wire.PageShift, wire.PageSize, true, true, "")
}

// disk reads, writes or flushes a sector.
func (u *user) disk(y *vtime.Proc, v *Volume, sector uint64, what int, n uint64) error {
	key := [2]uint64{uint64(v.Options().ID), sector}
	b := make([]byte, wire.SectorSize)
	switch what {
	case 0:
		return v.Flush(y)
	case 1, 2:
		if err := v.Read(y, sector*wire.SectorSize, b); err != nil {
			return err
		}
		if want := stampOf(u.onDisk[key]); u.onDisk[key] != 0 && Stamp(b[:16]) != want || u.onDisk[key] == 0 && Stamp(b[:16]) != (Stamp{}) {
			u.t.Errorf("%s: sector %d of volume %d holds %x, want that of write %d, at %v", u.spec.Name, sector, key[0], b[:16], u.onDisk[key], y.Now())
		}
		return nil
	}
	s := stampOf(n)
	copy(b, s[:])
	u.onDisk[key] = n
	return v.Write(y, sector*wire.SectorSize, b)
}

// boundary is where the process may stand still for a move.
func (u *user) boundary(y *vtime.Proc, th *Thread) error {
	if !u.p.Halted() {
		return nil
	}
	th.Sync()
	return u.p.Stand(y)
}

// pace says how many accesses it makes, and how many instructions lie between two: fewer and more with the race detector, in the same time.
func (u *user) pace(accesses int, instructions uint64) {
	u.accesses, u.compute = accesses/slower, instructions*uint64(slower)
}

// moved counts the moves of a kind that were done.
func moved(c *Cluster, k wire.MoveKind) (done int) {
	for _, m := range c.Moves() {
		if m.Req.Kind == k && m.State == wire.MoveDone {
			done++
		}
	}
	return done
}

// newUser makes a vNode that uses 300 pages with 64 lines.
func newUser(c *Cluster, t failer, i int) *user {
	u := &user{c: c, t: t, spec: admission.VNodeSpec{Name: fmt.Sprint("v", i), Threads: 1, ExCacheLines: 64}, pages: 300, sectors: 4096}
	u.pace(20_000, 2000)
	return u
}

// TestEachKindMoves there and back while it is used; no page and no sector is wrong, and all is given back.
func TestEachKindMoves(t *testing.T) {
	for _, kind := range []wire.MoveKind{wire.MoveRegion, wire.MoveHome, wire.MoveProcess, wire.MoveVolume, wire.MoveCache} {
		t.Run(kind.String(), func(t *testing.T) {
			o := testOptions(2, 2, 2)
			thing := movelist.Thing{Kind: kind}
			switch kind {
			case wire.MoveRegion:
				thing.PID, thing.Region = 1, wire.RegionNo(userBase/o.RegionBytes)
			case wire.MoveHome, wire.MoveProcess:
				thing.PID = 1
			default:
				thing.Volume = 1
			}
			const moves = 8
			for i := range moves {
				o.Orders = append(o.Orders, Order{At: time.Duration(i+1) * 200 * time.Millisecond, Thing: thing})
			}
			c, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			u := newUser(c, t, 1)
			u.pace(20_000, 200_000)
			u.spec.Volumes = []admission.VolumeSpec{{Name: "data", SizeBytes: 2 << 20}}
			u.start()
			if err := c.Run(0); err != nil {
				t.Fatal(err)
			}
			if u.err != nil || !u.ended {
				t.Fatalf("ended %v: %v", u.ended, u.err)
			}
			for _, x := range c.Ordered() {
				if x.Err != nil {
					t.Errorf("at %v: %v", x.At, x.Err)
				}
			}
			for _, m := range c.Moves() {
				t.Logf("%v %s→%s %v, %d bytes in %d µs, pause %d µs %s", m.Thing(), m.From, m.Req.To, m.State, m.Bytes, m.DurationUS, m.PauseUS, m.Text)
			}
			if n := moved(c, kind); n != moves {
				t.Errorf("%d moves were done, want %d", n, moves)
			}
			if err := settled(c); err != nil {
				t.Error(err)
			}
			t.Logf("%v, %+v", c.Now(), u.p.Core().Stats())
		})
	}
}

// slower is how many times fewer accesses are made with the race detector, in the same time.
var slower = func() int {
	if raceEnabled {
		return 6
	}
	return 1
}()

// progress is when everything must have ended in a world where messages and commands are lost: each costs seconds.
const progress = 5 * time.Minute

// TestMovesInAnyWorld: things of all kinds move at random moments while they are used and while messages are late, overtake each other,
// are lost or come twice. Every read gives what was written last, every vNode ends, and nothing is left anywhere.
func TestMovesInAnyWorld(t *testing.T) {
	done := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		o := testOptions(2, 3, 2)
		o.Seed = rapid.Uint64().Draw(t, "seed")
		l := &o.Hardware.Link
		l.Jitter = rapid.SampledFrom([]units.Picos{0, 5 * units.Microsecond, units.Millisecond}).Draw(t, "jitter")
		l.Loss = rapid.SampledFrom([]units.Share{0, 0, 2_000_000}).Draw(t, "lost")
		l.Duplicate = rapid.SampledFrom([]units.Share{0, 100_000_000}).Draw(t, "twice")
		l.Reorder, l.ReorderDelay = rapid.SampledFrom([]units.Share{0, 100_000_000}).Draw(t, "reordered"), 2*units.Millisecond
		if rapid.IntRange(0, 2).Draw(t, "managers fail") == 0 {
			o.Raft = RaftFaults{Lost: 0.05, Unheard: 0.05, Late: 0.05, Twice: 0.05, LeaderChange: 600 * time.Millisecond, Until: 20 * time.Second}
		}
		if rapid.Bool().Draw(t, "drains") {
			for range rapid.IntRange(1, 2).Draw(t, "drains") {
				at, id := time.Duration(rapid.IntRange(0, 400).Draw(t, "from"))*time.Millisecond, rapid.SampledFrom([]wire.NodeID{"p1", "m1", "m2", "s1"}).Draw(t, "drained")
				o.Orders = append(o.Orders, Order{At: at, Node: id, Action: membership.Drain}, Order{At: at + time.Duration(rapid.IntRange(1, 200).Draw(t, "for"))*time.Millisecond, Node: id, Action: membership.Undrain})
			}
		}
		users := rapid.IntRange(1, 3).Draw(t, "vnodes")
		for range rapid.IntRange(1, 25).Draw(t, "moves") {
			x := Order{At: time.Duration(rapid.IntRange(0, 400_000).Draw(t, "at")) * time.Microsecond}
			x.Thing.Kind = wire.MoveKind(rapid.IntRange(1, 5).Draw(t, "kind"))
			switch x.Thing.Kind {
			case wire.MoveVolume, wire.MoveCache:
				x.Thing.Volume = wire.VolumeID(rapid.IntRange(1, users).Draw(t, "volume"))
			default:
				x.Thing.PID = wire.PID(rapid.IntRange(1, users).Draw(t, "process"))
				if x.Thing.Kind == wire.MoveRegion {
					x.Thing.Region = wire.RegionNo(userBase/o.RegionBytes) + wire.RegionNo(rapid.IntRange(0, 1).Draw(t, "region"))
				}
			}
			o.Orders = append(o.Orders, x)
		}
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var us []*user
		for i := range users {
			u := newUser(c, t, i+1)
			u.pace(3000, 100_000)
			u.spec.Volumes = []admission.VolumeSpec{{Name: fmt.Sprint("d", i), SizeBytes: 2 << 20}}
			u.start()
			us = append(us, u)
		}
		if err := c.clock.Run(vtime.Limits{Events: 3_000_000}); err != nil {
			t.Fatal(err)
		}
		if c.Events() >= 3_000_000 || c.Now() > progress {
			t.Fatalf("at %v, after %d events, not everything has ended", c.Now(), c.Events())
		}
		for _, m := range c.Moves() {
			t.Logf("%v %s→%s %v from %d ms to %d ms, epoch %d, pause %d µs %s", m.Thing(), m.From, m.Req.To, m.State, m.BegunMS, m.EndedMS, m.Epoch, m.PauseUS, m.Text)
		}
		lost := false
		for _, m := range c.Moves() {
			done[m.Req.Kind.String()+" "+m.State.String()]++
			// A leader that goes after it had a giver forget an order of what is not there yet leaves the next one no way to tell that
			// from a loss (package gmanagers/moves).
			if lost = lost || m.State == wire.MoveLost; m.State == wire.MoveLost && (!o.Raft.any() || !strings.Contains(m.Text, "has ended and was forgotten")) {
				t.Errorf("%v from %s to %s is lost: %s", m.Thing(), m.From, m.Req.To, m.Text)
			}
		}
		for _, u := range us {
			if !u.ended || u.err != nil && !lost {
				t.Fatalf("%s ended %v: %v", u.spec.Name, u.ended, u.err)
			}
		}
		if err := settled(c); err != nil {
			t.Fatal(err)
		}
	})
	t.Log(done)
	for _, k := range []wire.MoveKind{wire.MoveRegion, wire.MoveHome, wire.MoveProcess, wire.MoveVolume, wire.MoveCache} {
		if done[k.String()+" done"] == 0 {
			t.Errorf("no %v moved: %v", k, done)
		}
	}
}

// TestOrdersAreNamed, each by its key; and those that no manager can carry out are refused when they are given.
func TestOrdersAreNamed(t *testing.T) {
	o := testOptions(1, 1, 1)
	o.MoveTimeout = -1
	b := weigh.DefaultBalance()
	b.GMM.High = 0
	o.Balance = &b
	o.Orders = []Order{{At: -1, Thing: movelist.Thing{Kind: wire.MoveHome, PID: 1}}, {Thing: movelist.Thing{Kind: wire.MoveVolume}}, {Thing: movelist.Thing{Kind: wire.MoveProcess, PID: 1}, To: "p9"}, {Node: "m9", Action: 9}, {Node: "m1", To: "m1", Action: membership.Drain}}
	_, err := New(o)
	for _, key := range []string{"orders[0].at: -1", "orders[1].thing: ", "orders[2].to: \"p9\"", "orders[3].node: \"m9\"", "orders[3].action: ", "orders[4].node: \"m1\" and", "move_timeout: -1", "balance.gmm: high: 0"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%v, want a fault that begins with %q", err, key)
		}
	}
	o = testOptions(1, 1, 1)
	o.Orders = []Order{{Thing: movelist.Thing{Kind: wire.MoveHome, PID: 7}}, {Node: "g1", Action: membership.Drain}, {Node: "m1", Action: membership.Drain}, {Node: "s1", Action: membership.Remove}}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	for i, kind := range []wire.Kind{wire.KindNotFound, wire.KindBadRequest, wire.KindNoRoom, wire.KindBusy} {
		if got := c.Ordered()[i].Err; wire.KindOf(got) != kind {
			t.Errorf("order %d: %v, want %v", i, got, kind)
		}
	}
}
