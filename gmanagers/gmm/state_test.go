package gmm

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/internal/statetest"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// overcommit is the ratio of most commands of the property tests, in thousandths, and the highest.
const overcommit = 1500

// machine is the state as the shared tests see it.
var machine = statetest.Machine[*State, Command, Result]{
	New: New, Draw: drawCommand, Laws: newLaws, Script: script(),
	Listings: func(s *State) any { return []any{s.Processes(0), s.Members()} },
}

// requests are what clients ask, registrations first, from small domains, so that commands meet.
var requests = []statetest.Choice[*State, Request]{
	{Weight: 2, Draw: func(t *rapid.T, _ *State) Request {
		return Request{Op: OpRegister, Member: wire.Member{
			ID: wire.NodeID(rapid.SampledFrom([]string{"m1", "m2", "m3", "m4", ""}).Draw(t, "id")), Role: wire.RoleMemory, Addr: "inproc:m",
			Rack: rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(t, "rack"),
			Capacity: wire.Capacity{
				MemoryBytes: rapid.Uint64Range(0, 40).Draw(t, "pages") * 4096,
				RegionBytes: rapid.SampledFrom([]uint64{8192, 8192, 8192, 8192, 8192, 8192, 4096, 5000}).Draw(t, "region bytes"),
			},
		}}
	}},
	{Weight: 4, Draw: func(t *rapid.T, s *State) Request {
		q := Request{Op: OpSteps}
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			q.Steps = append(q.Steps, admission.Step{
				Verb: admission.Verb(rapid.SampledFrom([]uint8{0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 4}).Draw(t, "verb")), PID: drawPID(t, s),
				MemoryBytes: rapid.SampledFrom([]uint64{0, 0, 1, 8192, 30000, 1 << 62}).Draw(t, "memory"), Apart: statetest.Apart(t), Memory: drawMemory(t),
			})
		}
		return q
	}},
	{Weight: 7, Draw: func(t *rapid.T, s *State) Request {
		return Request{Op: OpActivate, PID: drawPID(t, s), Region: wire.RegionNo(rapid.Uint64Range(0, 20).Draw(t, "region"))}
	}},
	{Weight: 2, Draw: func(t *rapid.T, s *State) Request { // of membership
		return Request{
			Op: rapid.SampledFrom([]Op{OpDead, OpNode, OpNode, OpNote}).Draw(t, "op"), Member: statetest.Known(t, s.Members()), Text: "because",
			Action: membership.Action(rapid.Uint8Range(0, 4).Draw(t, "action")), Note: membership.Note(rapid.Uint8Range(0, 4).Draw(t, "note")),
		}
	}},
	{Weight: 5, Draw: func(t *rapid.T, s *State) Request { // of copies, mostly what is true
		q := Request{Op: OpCopies}
		open := s.Unsettled()
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			c := redundancy.Change{
				Verb: redundancy.Verb(rapid.Uint8Range(0, 7).Draw(t, "verb")), Part: redundancy.Part{PID: drawPID(t, s), Home: rapid.Bool().Draw(t, "home")},
				Epoch: wire.Epoch(rapid.Uint32Range(0, 4).Draw(t, "epoch")), Config: rapid.Uint64Range(0, 3).Draw(t, "config"),
			}
			if n := len(open); n > 0 && rapid.IntRange(0, 9).Draw(t, "listed") > 0 {
				l := open[rapid.IntRange(0, n-1).Draw(t, "which")]
				c.Part, c.Epoch, c.Config = l.Part, l.Epoch, l.Config
				c.Verb = map[redundancy.Stage][]redundancy.Verb{
					redundancy.Recover:   {redundancy.Served, redundancy.Recovered, redundancy.Recovered, redundancy.Failed, redundancy.Progress},
					redundancy.Configure: {redundancy.Configured, redundancy.Configured, redundancy.Configured, redundancy.Configured, redundancy.Progress},
					redundancy.Tend:      {redundancy.Tended, redundancy.Tended, redundancy.Tended, redundancy.Tended, redundancy.Configured},
				}[l.Stage][rapid.IntRange(0, 4).Draw(t, "how")]
				for _, h := range l.Holders {
					if rapid.Bool().Draw(t, "in sync") {
						c.InSync = append(c.InSync, h.Node)
					}
				}
			}
			q.Copies = append(q.Copies, c)
		}
		return q
	}},
	{Weight: 4, Draw: func(t *rapid.T, s *State) Request { // of moves
		if rapid.Bool().Draw(t, "begin") {
			return Request{Op: OpBegin, Orders: statetest.Orders(t, things(s), s.Members()), Notes: statetest.Notes(t, s.Members())}
		}
		ends, drops := statetest.Ends(t, wire.GMM, s.moves)
		return Request{Op: OpEnd, Ends: ends, Drops: drops}
	}},
	{Weight: 1, Draw: func(t *rapid.T, _ *State) Request { // of another release
		return Request{Op: Op(rapid.Uint8().Draw(t, "odd op"))}
	}},
}

// drawMemory draws a policy: none most often, small ones, or one that is refused.
func drawMemory(t *rapid.T) wire.MemoryPolicy {
	return rapid.SampledFrom([]wire.MemoryPolicy{
		{}, {}, {}, {Kind: wire.MemorySync, Copies: 1}, {Kind: wire.MemorySync, Copies: 1}, {Kind: wire.MemorySync, Copies: 2}, {Kind: wire.MemoryLog, Copies: 1},
		{Kind: wire.MemoryLog, Copies: 1, LogBlock: true}, {Kind: wire.MemoryErasure, Data: 2, Parity: 1}, {Kind: wire.MemorySync}, {Kind: 9}, {Copies: 1},
	}).Draw(t, "memory policy")
}

// drawPID draws a process, most often one that has a home.
func drawPID(t *rapid.T, s *State) wire.PID {
	if n := len(s.processes); n > 0 && rapid.IntRange(0, 3).Draw(t, "known") > 0 {
		return s.processes[rapid.IntRange(0, n-1).Draw(t, "which")].PID
	}
	return wire.PID(rapid.Uint64Range(0, 30).Draw(t, "pid"))
}

// things are what can move.
func things(s *State) (out []movelist.Thing) {
	for _, p := range s.processes {
		out = append(out, movelist.Thing{Kind: wire.MoveHome, PID: p.PID})
		for _, r := range p.Regions {
			out = append(out, movelist.Thing{Kind: wire.MoveRegion, PID: p.PID, Region: r.Region})
		}
	}
	return out
}

func drawCommand(t *rapid.T, s *State, client, seq uint64) Command {
	c := Command{Client: client, Seq: seq, Overcommit: rapid.SampledFrom([]uint64{overcommit, overcommit, overcommit, MinOvercommit, 0}).Draw(t, "overcommit"), Stamp: membership.Stamp{
		Policy: rapid.SampledFrom(append(placement.Names(), "least_loaded", "none")).Draw(t, "policy"),
		Chance: rapid.Uint64().Draw(t, "chance"),
	}}
	for _, m := range s.Members() {
		if rapid.IntRange(0, 9).Draw(t, "news") > 6 {
			stale := wire.Epoch(rapid.IntRange(0, 9).Draw(t, "stale") / 9)
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{
				ID: m.ID, Epoch: m.Epoch - stale, Traffic: rapid.Uint64Range(0, 3).Draw(t, "traffic"), Silent: rapid.IntRange(0, 3).Draw(t, "silent") == 0,
			})
		}
	}
	if s.members.Len() < 2 && rapid.IntRange(0, 2).Draw(t, "register") > 0 { // so that most of the log places something
		c.Request = requests[0].Draw(t, s)
		return c
	}
	c.Request = statetest.OneOf(t, s, requests)
	if e, ok := s.members.Entry(c.Request.Member.ID); ok && rapid.Bool().Draw(t, "asked GSM") {
		c.Cached.Turn = e.Turn
	}
	return c
}

type vregion struct {
	pid    wire.PID
	region wire.RegionNo
}

// newLaws: an active vRegion keeps its owner until its process is released, so that no two own it; what an mComponent owns
// fits into it, counted from the listing.
func newLaws() func(*rapid.T, *State, Command, Result) {
	owners := map[vregion]wire.Owner{}
	survives := newSurvives()
	return func(t *rapid.T, s *State, c Command, res Result) {
		q := c.Request
		survives(t, s, c)
		if res.Kind == wire.KindNone && q.Op == OpActivate {
			at := vregion{q.PID, q.Region}
			if was, ok := owners[at]; ok && (was.Node != res.Owner.Node || was.Epoch != res.Owner.Epoch) && was.Epoch >= res.Owner.Epoch { // not moved
				t.Fatalf("vRegion %+v was owned by %+v, now by %+v", at, was, res.Owner)
			}
			owners[at] = res.Owner
		}
		for _, st := range q.Steps {
			for at := range owners {
				if st.Verb == admission.Free && at.pid == st.PID {
					delete(owners, at)
				}
			}
		}
		booked, parts := map[wire.NodeID]float64{}, statetest.Parts{Racks: statetest.RacksOf(s.Members())}
		has := func(p Process, node wire.NodeID, epoch wire.Epoch) {
			if s.members.Current(node, epoch) {
				parts.Has(p.Apart, uint64(p.PID), node)
			}
		}
		for _, m := range s.moves.Moves() {
			if p := s.Processes(m.Req.PID); !m.Ended() && len(p) == 1 {
				has(p[0], m.Req.To, m.ToEpoch)
			}
		}
		for _, p := range s.Processes(0) {
			has(p, p.Home, p.NodeEpoch)
			for _, r := range p.Regions {
				has(p, r.Node, r.NodeEpoch)
				if o, ok := owners[vregion{p.PID, r.Region}]; !ok || o.Epoch > r.Epoch || o.Epoch == r.Epoch && o.Node != r.Node { // a later one has moved
					t.Fatalf("process %d: lists %+v, answered %+v", p.PID, r, o)
				}
				if s.members.Current(r.Node, r.NodeEpoch) && p.Memory.Kind != wire.MemoryErasure {
					booked[r.Node]++
				}
			}
			for _, h := range p.kept() {
				has(p, h.Node, h.NodeEpoch)
				if s.members.Current(h.Node, h.NodeEpoch) && !h.home {
					booked[h.Node] += map[wire.MemoryKind]float64{wire.MemorySync: 1, wire.MemoryErasure: 1 / float64(max(1, p.Memory.Data))}[p.Memory.Kind]
				}
			}
			for _, r := range p.Reserved {
				has(p, r.Node, r.NodeEpoch)
				if s.members.Current(r.Node, r.NodeEpoch) {
					each := 1.0
					if p.Memory.Kind == wire.MemoryErasure {
						each /= float64(p.Memory.Data)
					}
					booked[r.Node] += float64(r.Regions) * each
				}
			}
		}
		parts.Check(t)
		for _, m := range s.Members() {
			if room := Room(m.Capacity.MemoryBytes, m.Capacity.RegionBytes, overcommit); booked[m.ID] > float64(room) {
				t.Fatalf("%s has %g vRegions and room for %d", m.ID, booked[m.ID], room)
			}
			if got := float64(s.Booked(m.ID)) / float64(m.Capacity.RegionBytes); got < booked[m.ID] || got > booked[m.ID]+float64(len(s.moves.Moves())) { // and what moves there
				t.Fatalf("%s has %g vRegions booked, and %g in the listing", m.ID, got, booked[m.ID])
			}
		}
	}
}

// newSurvives: what has enough copies in sync does not get lost with one mComponent, and whoever serves it is told apart from those before by
// its epoch.
func newSurvives() func(*rapid.T, *State, Command) {
	type was struct {
		part   redundancy.Part
		node   wire.NodeID
		member wire.Epoch
		epoch  wire.Epoch
		copies *Copies
	}
	var before []was
	return func(t *rapid.T, s *State, c Command) {
		for _, b := range before {
			i, ok := s.find(b.part.PID)
			if !ok {
				continue // freed
			}
			p := s.processes[i]
			at, ok := p.seatOf(b.part)
			enough := 0
			for _, h := range b.copies.Holders {
				if !h.Filling && s.members.Current(h.Node, h.NodeEpoch) {
					enough++
				}
			}
			for _, h := range c.Request.Copies {
				if h.Verb == redundancy.Failed && h.Part == b.part {
					enough = 0 // it was found out that it is not so
				}
			}
			if b.copies.Recovering && !p.full(b.part.Home) {
				enough = 0 // sources may be gone that are needed
			}
			if !ok && enough >= p.needs(b.part.Home) && (b.part.Home || !s.homeLost(p)) {
				t.Fatalf("%v was at %s with %+v, and is lost", b.part, b.node, b.copies)
			}
			if ok && (*at.node != b.node || *at.nodeEpoch != b.member) && *at.nodeEpoch != lostInMove && *at.epoch <= b.epoch {
				t.Fatalf("%v is served at %s under epoch %d after %s under epoch %d", b.part, *at.node, *at.epoch, b.node, b.epoch)
			}
		}
		before = before[:0]
		for _, p := range s.processes {
			seats := []seat{p.homeSeat()}
			for i := range p.Regions {
				seats = append(seats, p.seat(i))
			}
			for _, at := range seats {
				if *at.copies != nil {
					before = append(before, was{at.Part, *at.node, *at.nodeEpoch, *at.epoch, *at.copies})
				}
			}
		}
	}
}

// script is one of each command.
func script() (out []Command) {
	live := []membership.Live{{ID: "m1", Epoch: 1}, {ID: "m2", Epoch: 1}}
	for i, q := range []Request{
		{Op: OpRegister, Member: wire.Member{ID: "m1", Role: wire.RoleMemory, Addr: "inproc:m1", Capacity: wire.Capacity{MemoryBytes: 1 << 20, RegionBytes: 1 << 16}}},
		{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 3, MemoryBytes: 1 << 17}, {Verb: admission.Commit, PID: 3}, {Verb: admission.Prepare, PID: 4}}},
		{Op: OpActivate, PID: 3, Region: 7},
		{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Free, PID: 3}}},
		{Op: OpNote, Member: wire.Member{ID: "m1", Epoch: 1}, Note: membership.NoteSilent, Text: "seen by nobody"},
		{Op: OpNode, Member: wire.Member{ID: "m1"}, Action: membership.Drain},
		{Op: OpDead, Member: wire.Member{ID: "m1", Epoch: 1}, Text: "seen by nobody"},
		{Op: OpRegister, Member: wire.Member{ID: "m1", Role: wire.RoleMemory, Addr: "inproc:m1", Capacity: wire.Capacity{MemoryBytes: 1 << 20, RegionBytes: 1 << 16}}},
		{Op: OpNode, Member: wire.Member{ID: "m1"}, Action: membership.Undrain},
		{Op: OpRegister, Member: wire.Member{ID: "m2", Role: wire.RoleMemory, Addr: "inproc:m2", Capacity: wire.Capacity{MemoryBytes: 1 << 20, RegionBytes: 1 << 16}}},
		{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 5, Memory: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}}, {Verb: admission.Commit, PID: 5}}},
		{Op: OpActivate, PID: 5, Region: 7},
		{Op: OpCopies, Copies: []redundancy.Change{{Verb: redundancy.Configured, Part: redundancy.Part{PID: 5, Home: true}, Epoch: 1, Config: 1, InSync: []wire.NodeID{"m1", "m2"}}}},
		{Op: OpDead, Member: wire.Member{ID: "m2", Epoch: 1}, Text: "seen by nobody", SilentMS: 3000},
	} {
		out = append(out, Command{Client: 1, Seq: uint64(i + 1), Overcommit: 4000, Stamp: membership.Stamp{Policy: "least_loaded", Live: live}, Request: q})
	}
	return out
}

func TestProperties(t *testing.T)    { statetest.Properties(t, machine) }
func TestRefusesSpoilt(t *testing.T) { statetest.RefusesSpoilt(t, machine) }
func FuzzApply(f *testing.F)         { statetest.FuzzApply(f, machine, 3, DecodeResult) }
func FuzzRestore(f *testing.F)       { statetest.FuzzRestore(f, machine) }

// TestFits: Fits says what a Prepare would say if the others had been freed before, and changes nothing.
func TestFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		steps := rapid.Uint64Range(1, 30).Draw(t, "steps")
		for seq := range steps {
			s.Apply(drawCommand(t, s, 1, seq+1))
		}
		var without []wire.PID
		for _, p := range s.processes {
			if rapid.Bool().Draw(t, "without") {
				without = append(without, p.PID)
			}
		}
		c := drawCommand(t, s, 1, steps+1)
		s.members.See(c.Stamp.Live, s.refresh)
		st := admission.Step{Verb: admission.Prepare, PID: 1 << 40, MemoryBytes: rapid.Uint64Range(0, 12*wire.PageSize).Draw(t, "memory"), Apart: statetest.Apart(t), Memory: drawMemory(t)}
		was := s.Snapshot()
		fits := s.Fits(st, without, c)
		if !bytes.Equal(s.Snapshot(), was) {
			t.Fatal("asking had an effect")
		}
		c.Request = Request{Op: OpSteps}
		for _, pid := range without {
			c.Request.Steps = append(c.Request.Steps, admission.Step{Verb: admission.Free, PID: pid})
		}
		c.Request.Steps = append(c.Request.Steps, st)
		votes := s.Apply(c).Votes
		if got := votes[len(votes)-1].Kind; got != wire.KindOf(fits) {
			t.Fatalf("fits: %v, prepared: %v %s", fits, got, votes[len(votes)-1].Text)
		}
	})
}

func TestRoom(t *testing.T) {
	for _, c := range []struct{ memory, region, overcommit, want uint64 }{
		{64 << 20, 1 << 20, 4000, 256},
		{64 << 20, 1 << 20, 1000, 64},
		{1 << 20, 1 << 30, 4000, 0},
		{1 << 30, 1 << 30, 1999, 1},
		{1 << 30, 1 << 30, 2000, 2},
		{1 << 63, 4096, MaxOvercommit, 1 << 52}, // beyond 2^64 bytes
	} {
		got := Room(c.memory, c.region, c.overcommit)
		if got != c.want && !(c.memory == 1<<63 && got >= 1<<51 && got <= 1<<52) {
			t.Errorf("Room(%d, %d, %d) = %d, want %d", c.memory, c.region, c.overcommit, got, c.want)
		}
	}
}

// TestRatio: the books tell the highest ratio under which they were made, and a lower one when they keep it.
func TestRatio(t *testing.T) {
	s, seq := New(), uint64(0)
	live := []membership.Live{{ID: "m1", Epoch: 1}}
	told := func(overcommit uint64, q Request, want uint64) {
		t.Helper()
		seq++
		s.Apply(Command{Client: 1, Seq: seq, Overcommit: overcommit, Stamp: membership.Stamp{Policy: "least_loaded", Live: live}, Request: q})
		var r Ratio
		if b, err := s.Query(membership.Query{Kind: QueryRatio}); err != nil || membership.DecodeAnswer(b, &r) != nil || r.Overcommit != want {
			t.Fatalf("after %+v under %d: %+v, %v; want %d", q, overcommit, r, err, want)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	hold := func(pid wire.PID, verb admission.Verb) Request {
		return Request{Op: OpSteps, Steps: []admission.Step{{Verb: verb, PID: pid, MemoryBytes: 2 << 16}}}
	}
	told(2000, Request{Op: OpRegister, Member: wire.Member{ID: "m1", Role: wire.RoleMemory, Addr: "inproc:m1", Capacity: wire.Capacity{MemoryBytes: 2 << 16, RegionBytes: 1 << 16}}}, 2000)
	told(1000, hold(1, admission.Prepare), 1000) // two of two: fits under the lower ratio
	told(2000, hold(2, admission.Prepare), 2000) // four of four
	told(1000, hold(3, admission.Prepare), 2000) // is refused, and what is there stays
	told(0, hold(3, admission.Prepare), 2000)    // is no ratio
	told(1000, hold(1, admission.Free), 2000)    // judged before it is freed
	told(1000, hold(1, admission.Free), 1000)
}
