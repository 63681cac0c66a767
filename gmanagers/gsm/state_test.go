package gsm

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/internal/statetest"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/gmanagers/repair"
	"splitkernel/netlayer/wire"
)

// machine is the state as the shared tests see it.
var machine = statetest.Machine[*State, Command, Result]{
	New: New, Draw: drawCommand, Laws: newLaws, Script: script(),
	Listings: func(s *State) any { return []any{s.Volumes(0), s.Members()} },
}

// requests are what clients ask, registrations first, from small domains, so that commands meet.
var requests = []statetest.Choice[*State, Request]{
	{Weight: 1, Draw: func(t *rapid.T, _ *State) Request {
		// Capacities do not shrink here, so that CheckCapacity must hold.
		return Request{Op: OpRegister, Member: wire.Member{
			ID: wire.NodeID(rapid.SampledFrom([]string{"s1", "s2", "s3", "s4", ""}).Draw(t, "id")), Role: wire.RoleStorage, Addr: "inproc:s",
			Rack:     rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(t, "rack"),
			Capacity: wire.Capacity{StorageBytes: 30 * 4096},
		}}
	}},
	{Weight: 8, Draw: func(t *rapid.T, s *State) Request {
		q := Request{Op: OpSteps}
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			st := admission.Step{
				Verb: admission.Verb(rapid.SampledFrom([]uint8{0, 1, 1, 1, 1, 2, 2, 3, 3, 4}).Draw(t, "verb")), PID: drawPID(t, s),
				Apart: statetest.Apart(t),
			}
			for range rapid.IntRange(0, 3).Draw(t, "volumes") {
				st.Volumes = append(st.Volumes, admission.VolumeSpec{Name: "v", SizeBytes: rapid.Uint64Range(0, 10*4096).Draw(t, "size"), Apart: statetest.Apart(t), Copies: drawCopies(t)})
			}
			q.Steps = append(q.Steps, st)
		}
		return q
	}},
	{Weight: 2, Draw: func(t *rapid.T, s *State) Request { // of membership
		return Request{
			Op: rapid.SampledFrom([]Op{OpDead, OpNode, OpNode, OpNote}).Draw(t, "op"), Member: statetest.Known(t, s.Members()), Text: "because",
			Action: membership.Action(rapid.Uint8Range(0, 4).Draw(t, "action")), Note: membership.Note(rapid.Uint8Range(0, 4).Draw(t, "note")),
		}
	}},
	{Weight: 1, Draw: func(t *rapid.T, _ *State) Request {
		q := Request{Op: OpGates}
		for range rapid.IntRange(0, 3).Draw(t, "gates") {
			q.Gates = append(q.Gates, Gate{
				ID: wire.NodeID(rapid.SampledFrom([]string{"m1", "m2", "m3", ""}).Draw(t, "id")), Turn: rapid.Uint64Range(0, 9).Draw(t, "turn"),
				Until: rapid.SampledFrom([]wire.Epoch{0, 1, UntilOpened}).Draw(t, "until"), Member: rapid.SampledFrom([]wire.Epoch{0, 1, 2}).Draw(t, "member"),
			})
		}
		return q
	}},
	{Weight: 4, Draw: func(t *rapid.T, s *State) Request { // of moves
		if rapid.Bool().Draw(t, "begin") {
			return Request{Op: OpBegin, Orders: statetest.Orders(t, things(s), s.Members()), Notes: statetest.Notes(t, s.Members())}
		}
		ends, drops := statetest.Ends(t, wire.GSM, s.moves)
		return Request{Op: OpEnd, Ends: ends, Drops: drops}
	}},
	{Weight: 4, Draw: func(t *rapid.T, s *State) Request { // of copies and buffer caches
		q := Request{Op: OpRepair}
		for range rapid.IntRange(0, 3).Draw(t, "repairs") {
			q.Repairs = append(q.Repairs, drawRepair(t, s))
		}
		return q
	}},
	{Weight: 1, Draw: func(t *rapid.T, _ *State) Request { // of another release
		return Request{Op: Op(rapid.Uint8().Draw(t, "odd op"))}
	}},
}

// drawCopies draws how many copies a volume has, most often one.
func drawCopies(t *rapid.T) admission.Copies {
	return rapid.SampledFrom([]admission.Copies{
		{}, {}, {}, {Replicas: 1}, {Replicas: 2, WriteQuorum: 2, ReadQuorum: 1}, {Replicas: 3, WriteQuorum: 2, ReadQuorum: 2, Through: true}, {Replicas: 3, WriteQuorum: 2, ReadQuorum: 2},
		{Replicas: 3, WriteQuorum: 1, ReadQuorum: 3}, {Replicas: 3, WriteQuorum: 2, ReadQuorum: 1},
	}).Draw(t, "copies")
}

// drawRepair draws a repair of a volume that is there, or nearly, most often one that makes sense.
func drawRepair(t *rapid.T, s *State) repair.Change {
	q := repair.Change{
		Verb: repair.Verb(rapid.Uint8Range(0, 9).Draw(t, "verb")), Volume: wire.VolumeID(rapid.Uint32Range(0, 3).Draw(t, "volume")), Text: "because",
		Config: rapid.Uint64Range(0, 2).Draw(t, "config"), Epoch: wire.Epoch(rapid.Uint32Range(0, 4).Draw(t, "epoch")), Node: statetest.Known(t, s.Members()).ID, Member: wire.Epoch(rapid.Uint32Range(0, 3).Draw(t, "member epoch")),
	}
	if n := len(s.volumes); n > 0 && rapid.IntRange(0, 9).Draw(t, "a volume") > 0 {
		v := &s.volumes[rapid.IntRange(0, n-1).Draw(t, "which")]
		q.Volume = v.Volume
		if rapid.IntRange(0, 9).Draw(t, "present") > 0 {
			q.Config, q.Epoch = v.Config, v.Epoch
		}
		if i := v.fills(); i >= 0 && rapid.Bool().Draw(t, "the one that fills") {
			q.Node = v.Replicas[i].Node
		} else if n := len(v.Replicas); n > 0 {
			q.Node = v.Replicas[rapid.IntRange(0, n-1).Draw(t, "copy")].Node
		}
	}
	return q
}

// drawPID draws a process, most often one that has volumes.
func drawPID(t *rapid.T, s *State) wire.PID {
	if n := len(s.volumes); n > 0 && rapid.IntRange(0, 2).Draw(t, "known") > 0 {
		return s.volumes[rapid.IntRange(0, n-1).Draw(t, "which")].PID
	}
	return wire.PID(rapid.Uint64Range(0, 30).Draw(t, "pid"))
}

// things are what can move.
func things(s *State) (out []movelist.Thing) {
	for _, v := range s.volumes {
		out = append(out, movelist.Thing{Kind: wire.MoveVolume, Volume: v.Volume}, movelist.Thing{Kind: wire.MoveCache, Volume: v.Volume})
	}
	return out
}

func drawCommand(t *rapid.T, s *State, client, seq uint64) Command {
	c := Command{Client: client, Seq: seq, Stamp: membership.Stamp{
		Policy: rapid.SampledFrom(append(placement.Names(), "most_free", "none")).Draw(t, "policy"),
		Chance: rapid.Uint64().Draw(t, "chance"),
	}, CachePolicy: rapid.SampledFrom(placement.Names()).Draw(t, "cache policy")}
	for _, m := range s.Members() {
		if rapid.IntRange(0, 9).Draw(t, "news") > 6 {
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch, Silent: rapid.IntRange(0, 3).Draw(t, "silent") == 0})
		}
	}
	for _, id := range []wire.NodeID{"m1", "m2", "m3", "m4"} {
		if rapid.IntRange(0, 3).Draw(t, "cache news") > 0 {
			c.Caches = append(c.Caches, membership.Live{
				ID: id, Epoch: 1, Addr: "inproc:" + string(id), Rack: rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(t, "cache rack"), Silent: rapid.IntRange(0, 3).Draw(t, "cache silent") == 0,
			})
		}
	}
	if s.members.Len() < 2 && rapid.IntRange(0, 2).Draw(t, "register") > 0 { // so that most of the log places something
		c.Request = requests[0].Draw(t, s)
		return c
	}
	c.Request = statetest.OneOf(t, s, requests)
	return c
}

// newLaws: a volume id is given to one process only and keeps its sComponent until it moves, and volumes fit into their sComponents, counted
// from the listing.
func newLaws() func(*rapid.T, *State, Command, Result) {
	type owner struct {
		pid     wire.PID
		storage wire.NodeID
	}
	owners := map[wire.VolumeID]owner{}
	copies := map[wire.VolumeID]Volume{}
	return func(t *rapid.T, s *State, c Command, res Result) {
		for _, vote := range res.Votes {
			for _, v := range vote.Volumes {
				o := owner{vote.PID, v.Storage}
				if was, ok := owners[v.Volume]; ok && was != o && (was.pid != o.pid || v.Epoch == 1 && v.Config <= 1) { // it has not moved
					t.Fatalf("volume %d was given to %+v and to %+v", v.Volume, was, o)
				}
				owners[v.Volume] = o
			}
		}
		taken, parts, caches := map[wire.NodeID]uint64{}, statetest.Parts{Racks: statetest.RacksOf(s.Members())}, statetest.Parts{}
		has := func(v Volume, storage, cache wire.NodeID, rack string) {
			for _, m := range v.Groups() {
				if storage != "" {
					parts.Has(m.Rule, m.ID, storage)
				}
				if cache != "" {
					caches.HasIn(m.Rule, m.ID, cache, rack)
				}
			}
		}
		for _, v := range s.Volumes(0) {
			for _, id := range v.Stores() {
				has(v, id, v.Cache, v.CacheRack)
			}
		}
		for _, m := range s.moves.Moves() {
			if vs := s.Volumes(m.Req.Volume); m.Ended() || len(vs) == 0 {
				continue
			} else if m.Req.Kind == wire.MoveCache {
				has(vs[0], "", m.Req.To, m.ToRack)
			} else {
				has(vs[0], m.Req.To, "", "")
			}
		}
		parts.Check(t)
		caches.Check(t)
		for _, v := range s.Volumes(0) {
			if o := owners[v.Volume]; o.pid != v.PID || o.storage != v.Storage && v.Epoch == 1 && v.Config <= 1 {
				t.Fatalf("volume %d: lists %+v, answered %+v", v.Volume, v, o)
			}
			for _, id := range v.Stores() {
				taken[id] += v.SizeBytes
			}
			lawOfCopies(t, copies[v.Volume], v)
			copies[v.Volume] = v
		}
		for _, m := range s.Members() {
			if taken[m.ID] > m.Capacity.StorageBytes {
				t.Fatalf("%s: volumes of %d bytes in %d", m.ID, taken[m.ID], m.Capacity.StorageBytes)
			}
		}
		if err := s.CheckCapacity(); err != nil {
			t.Fatalf("after %+v: %v", c, err)
		}
	}
}

// lawOfCopies: configurations that follow each other differ in one copy that is counted, and a write that a quorum of each acknowledged
// is met by a read of the next.
func lawOfCopies(t *rapid.T, was, v Volume) {
	if was.Config == 0 {
		return
	}
	counted := func(v Volume, joined bool) (ids []wire.NodeID) { // joined: as they will be when the one that fills is in sync
		for _, r := range v.Replicas {
			if r.State == wire.ReplicaInSync || r.State == wire.ReplicaLeaving && !joined || r.State == wire.ReplicaFilling && joined {
				ids = append(ids, r.Node)
			}
		}
		return ids
	}
	remade := func(v Volume) (ids []wire.NodeID) { // who has a place that counts for nothing
		for _, r := range v.Replicas {
			if r.State == wire.ReplicaRemade {
				ids = append(ids, r.Node)
			}
		}
		return ids
	}
	now := counted(v, false)
	if len(now)+len(remade(v)) != int(v.Copies.Replicas) || len(remade(v)) > 1 {
		t.Fatalf("volume %d: %v, %d are wanted in quorums", v.Volume, v.Replicas, v.Copies.Replicas)
	}
	before := counted(was, false)
	switch left, came := remade(v), remade(was); {
	case len(left) > 0 && len(came) > 0: // what counts for nothing may be anywhere
	case len(left) > 0:
		now = append(now, left...)
		slices.Sort(now)
		slices.Sort(before)
	case len(came) > 0:
		before = append(before, came...)
		slices.Sort(now)
		slices.Sort(before)
	}
	if v.Config == was.Config && !slices.Equal(now, before) || v.Config < was.Config {
		t.Fatalf("volume %d: %v under configuration %d, now %v under %d", v.Volume, was.Replicas, was.Config, v.Replicas, v.Config)
	} else if !slices.Equal(now, before) && !slices.Equal(now, counted(was, true)) && v.Config == was.Config+1 {
		t.Fatalf("volume %d: %v are counted, after %+v", v.Volume, now, was.Replicas)
	}
}

// TestFits: Fits says what a Prepare would say if the others had been freed before, and changes nothing.
func TestFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		steps := rapid.Uint64Range(1, 30).Draw(t, "steps")
		for seq := range steps {
			s.Apply(drawCommand(t, s, 1, seq+1))
		}
		var without []wire.PID
		for _, v := range s.volumes {
			if rapid.Bool().Draw(t, "without") {
				without = append(without, v.PID)
			}
		}
		c := drawCommand(t, s, 1, steps+1)
		s.see(c)
		st := admission.Step{Verb: admission.Prepare, PID: 1 << 40, Volumes: []admission.VolumeSpec{{SizeBytes: rapid.Uint64Range(1, 12*wire.PageSize).Draw(t, "a")}, {SizeBytes: 1, Apart: statetest.Apart(t)}}, Apart: statetest.Apart(t)}
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

func member(id wire.NodeID) wire.Member {
	return wire.Member{ID: id, Role: wire.RoleStorage, Addr: "inproc:" + string(id), Capacity: wire.Capacity{StorageBytes: 1 << 20}}
}

// script is one of each command.
func script() (out []Command) {
	for i, q := range []Request{
		{Op: OpRegister, Member: wire.Member{ID: "s1", Role: wire.RoleStorage, Addr: "inproc:s1", Capacity: wire.Capacity{StorageBytes: 1 << 20}}},
		{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 1, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 5000}, {Name: "w", SizeBytes: 1}}}}},
		{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Commit, PID: 1}, {Verb: admission.Free, PID: 1}}},
		{Op: OpNote, Member: wire.Member{ID: "s1", Epoch: 1}, Note: membership.NoteSilent, Text: "seen by nobody"},
		{Op: OpNode, Member: wire.Member{ID: "s1"}, Action: membership.Drain},
		{Op: OpDead, Member: wire.Member{ID: "s1", Epoch: 1}, Text: "seen by nobody"},
		{Op: OpGates, Gates: []Gate{{ID: "m1", Turn: 1, Until: UntilOpened}}},
		{Op: OpGates, Gates: []Gate{{ID: "m1", Turn: 2}}},
		{Op: OpRegister, Member: member("s2")}, {Op: OpRegister, Member: member("s3")}, {Op: OpRegister, Member: member("s4")},
		{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 2, Volumes: []admission.VolumeSpec{{Name: "c", SizeBytes: 1, Copies: admission.Copies{Replicas: 2, WriteQuorum: 2, ReadQuorum: 1}}}}, {Verb: admission.Commit, PID: 2}}},
		{Op: OpRepair, Repairs: []repair.Change{{Verb: repair.Replace, Volume: 3, Config: 1, Node: "s2", Text: "gone"}}},
		{Op: OpRepair, Repairs: []repair.Change{{Verb: repair.Recache, Volume: 3, Epoch: 1, Text: "gone"}}},
		{Op: OpRepair, Repairs: []repair.Change{{Verb: repair.Synced, Volume: 3, Config: 2, Node: "s4", Text: "filled"}}},
		{Op: OpRepair, Repairs: []repair.Change{{Verb: repair.Told, Volume: 3, Epoch: 4}, {Verb: repair.Confirmed, Volume: 3, Epoch: 4, Config: 3}, {Verb: repair.Seen, Volume: 3, Config: 3, Node: "s4", Member: 1}}},
		{Op: OpRepair, Repairs: []repair.Change{{Verb: repair.Lose, Volume: 3, Epoch: 4, Text: "not flushed"}}},
	} {
		out = append(out, Command{
			Client: 1, Seq: uint64(i + 1), Stamp: membership.Stamp{Policy: "most_free", Live: []membership.Live{{ID: "s1", Epoch: 1}, {ID: "s2", Epoch: 1}, {ID: "s3", Epoch: 1}, {ID: "s4", Epoch: 1}}},
			CachePolicy: "fewest_volumes", Caches: []membership.Live{{ID: "m1", Epoch: 1, Addr: "inproc:m1"}}, Request: q,
		})
	}
	return out
}

func TestProperties(t *testing.T)    { statetest.Properties(t, machine) }
func TestRefusesSpoilt(t *testing.T) { statetest.RefusesSpoilt(t, machine) }
func FuzzApply(f *testing.F)         { statetest.FuzzApply(f, machine, 2, DecodeResult) }
func FuzzRestore(f *testing.F)       { statetest.FuzzRestore(f, machine) }
