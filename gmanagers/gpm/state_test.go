package gpm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/internal/statetest"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// machine is the state as the shared tests see it.
var machine = statetest.Machine[*State, Command, Result]{
	New: New, Draw: drawCommand, Laws: newLaws, Script: script(),
	Listings: func(s *State) any { return []any{s.Processes(0), s.Members(), s.Open(MaxProcesses)} },
}

// requests are what clients ask, registrations first, from small domains, so that commands meet.
var requests = []statetest.Choice[*State, Request]{
	{Weight: 1, Draw: func(t *rapid.T, _ *State) Request {
		return Request{Op: OpRegister, Member: wire.Member{
			ID: wire.NodeID(rapid.SampledFrom([]string{"p1", "p2", "p3", "p4", ""}).Draw(t, "id")), Role: wire.RoleCompute, Addr: "inproc:p",
			Rack:     rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(t, "rack"),
			Capacity: wire.Capacity{Cores: 1, ExCacheLines: rapid.Uint64Range(0, 40).Draw(t, "capacity")},
		}}
	}},
	{Weight: 1, Draw: func(t *rapid.T, s *State) Request { return Request{Op: OpRelease, PID: drawPID(t, s)} }},
	{Weight: 4, Draw: func(t *rapid.T, s *State) Request {
		q := Request{Op: OpChanges}
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			m := admission.Change{Verb: admission.ChangeVerb(rapid.Uint8Range(0, 7).Draw(t, "verb")), PID: drawPID(t, s)}
			switch m.Verb {
			case admission.DecideAbort:
				m.Kind, m.Text = wire.KindNoRoom, "none"
			case admission.DecideCommit:
				m.Home, m.Volumes = admission.Home{Node: "m1", Epoch: 1}, []admission.Volume{{Volume: 1, Storage: "s1"}}
			}
			q.Changes = append(q.Changes, m)
		}
		return q
	}},
	{Weight: 4, Draw: func(t *rapid.T, _ *State) Request {
		return Request{Op: OpAdmit, Spec: admission.VNodeSpec{
			Name: "x", Threads: rapid.Uint32Range(0, 4).Draw(t, "threads"), ExCacheLines: rapid.Uint64Range(0, 20).Draw(t, "lines"),
			MemoryBytes: rapid.Uint64Range(0, 5).Draw(t, "memory"), Tenant: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "tenant"),
			Priority: rapid.Uint8Range(0, 3).Draw(t, "priority"), IfFull: admission.IfFull(rapid.Uint8Range(0, 3).Draw(t, "if full")), DeadlineMS: rapid.Uint32Range(0, 30).Draw(t, "deadline"), Apart: statetest.Apart(t),
		}}
	}},
	{Weight: 1, Draw: func(*rapid.T, *State) Request { return Request{Op: OpQueue} }},
	{Weight: 1, Draw: func(t *rapid.T, _ *State) Request {
		q := Request{Op: OpSettings, Settings: admission.Settings{ThreadsPerCore: rapid.Uint64Range(0, 8).Draw(t, "threads per core")}}
		for _, tenant := range []string{"*", "a", "default"}[:rapid.IntRange(0, 3).Draw(t, "quotas")] {
			q.Settings.Quotas = append(q.Settings.Quotas, admission.Quota{
				Tenant: tenant, Threads: rapid.Uint64Range(0, 9).Draw(t, "q threads"), ExCacheLines: rapid.Uint64Range(0, 50).Draw(t, "q lines"),
				MemoryBytes: rapid.Uint64Range(0, 9).Draw(t, "q memory"), VNodes: rapid.Uint64Range(0, 5).Draw(t, "q vnodes"),
			})
		}
		return q
	}},
	{Weight: 1, Draw: func(t *rapid.T, s *State) Request {
		q := Request{Op: OpPreempt, PID: drawPID(t, s)}
		if first, ok := s.Preempting(); ok && rapid.Bool().Draw(t, "first") {
			q.PID = first.Ticket
		}
		for _, v := range s.Victims() {
			if rapid.Bool().Draw(t, "victim") {
				q.Victims = append(q.Victims, v.PID)
			}
		}
		return q
	}},
	{Weight: 2, Draw: func(t *rapid.T, s *State) Request { // of membership
		return Request{
			Op: rapid.SampledFrom([]Op{OpDead, OpNode, OpNode, OpNote}).Draw(t, "op"), Member: statetest.Known(t, s.Members()), Text: "because",
			Action: membership.Action(rapid.Uint8Range(0, 4).Draw(t, "action")), Note: membership.Note(rapid.Uint8Range(0, 4).Draw(t, "note")),
		}
	}},
	{Weight: 4, Draw: func(t *rapid.T, s *State) Request { // of moves
		if rapid.Bool().Draw(t, "begin") {
			return Request{Op: OpBegin, Orders: statetest.Orders(t, things(s), s.Members()), Notes: statetest.Notes(t, s.Members())}
		}
		ends, drops := statetest.Ends(t, wire.GPM, s.moves)
		return Request{Op: OpEnd, Ends: ends, Drops: drops}
	}},
	{Weight: 1, Draw: func(t *rapid.T, _ *State) Request { // of another release
		return Request{Op: Op(rapid.Uint8().Draw(t, "odd op"))}
	}},
}

// drawPID draws a process that was given, or nearly.
func drawPID(t *rapid.T, s *State) wire.PID {
	return wire.PID(rapid.Uint64Range(0, uint64(s.nextPID)+1).Draw(t, "pid"))
}

// things are what can move.
func things(s *State) (out []movelist.Thing) {
	for _, p := range s.processes {
		out = append(out, movelist.Thing{Kind: wire.MoveProcess, PID: p.PID})
	}
	return out
}

func drawCommand(t *rapid.T, s *State, client, seq uint64) Command {
	c := Command{Client: client, Seq: seq, Stamp: membership.Stamp{
		NowMS: int64(seq), Policy: rapid.SampledFrom(append(placement.Names(), "fewest_threads", "none")).Draw(t, "policy"),
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
	return c
}

// newLaws: what checkWaiting says; a process id is given once; what is decided is not decided otherwise; the processes of a pComponent fit into its
// ExCache, counted from the listing.
func newLaws() func(*rapid.T, *State, Command, Result) {
	given, committed := map[wire.PID]bool{}, map[wire.PID]bool{}
	was := New()
	return func(t *rapid.T, s *State, c Command, res Result) {
		checkWaiting(t, was, s, c, res)
		was = New()
		if err := was.Restore(s.Snapshot()); err != nil {
			t.Fatal(err)
		}
		for _, pid := range res.Tried {
			if given[pid] {
				t.Fatalf("pid %d was given twice", pid)
			}
			given[pid] = true
		}
		if p := res.VNode.PID; p != 0 && c.Request.Op == OpAdmit {
			if given[p] {
				t.Fatalf("pid %d was given twice", p)
			}
			given[p] = true
		}
		lines, parts := map[wire.NodeID]uint64{}, statetest.Parts{Racks: statetest.RacksOf(s.Members())}
		for _, p := range s.Processes(0) {
			if !given[p.PID] {
				t.Fatalf("process %d was given to nobody", p.PID)
			}
			switch p.Phase {
			case admission.Committed, admission.Running:
				committed[p.PID] = true
			case admission.Intent:
				if committed[p.PID] {
					t.Fatalf("process %d was committed and is an intent", p.PID)
				}
			}
			if s.members.Current(p.Node, p.NodeEpoch) {
				lines[p.Node] += p.ExCacheLines
				parts.Has(p.Apart, uint64(p.PID), p.Node)
			}
		}
		for _, m := range s.moves.Moves() {
			if p := s.Processes(m.Req.PID); !m.Ended() && len(p) == 1 && s.members.Current(m.Req.To, m.ToEpoch) {
				parts.Has(p[0].Apart, uint64(m.Req.PID), m.Req.To)
			}
		}
		parts.Check(t)
		for _, m := range s.Members() {
			if lines[m.ID] > m.Capacity.ExCacheLines {
				t.Fatalf("%s: %d lines are reserved of %d", m.ID, lines[m.ID], m.Capacity.ExCacheLines)
			}
		}
	}
}

// checkWaiting: no quota is exceeded by who is placed; the queue is tried in order; only lower priorities are ended, and only
// if that makes room.
func checkWaiting(t *rapid.T, before, after *State, c Command, res Result) {
	for tenant, a := range after.usage {
		if was := before.usage[tenant]; a.VNodes > was.VNodes {
			if err := after.settings.Quota(tenant).Refuses(tenant, was, a.Minus(was)); err != nil {
				t.Fatalf("after %+v: %v", c, err)
			}
		}
	}
	var last *Waiting
	for _, pid := range res.Tried {
		i := slices.IndexFunc(after.queue, func(w Waiting) bool { return w.Attempt == pid })
		if i < 0 || last != nil && byTurn(last, &after.queue[i]) >= 0 {
			t.Fatalf("%v were begun, not in the order of the queue %+v", res.Tried, after.queue)
		}
		last = &after.queue[i]
	}
	if c.Request.Op != OpPreempt || res.Kind != wire.KindNone || len(c.Request.Victims) == 0 {
		return
	}
	before.members.See(c.Stamp.Live, before.refresh)
	w := before.Queue(c.Request.PID)[0]
	snap := before.Snapshot()
	if err := before.Fits(w.Spec, c.Request.Victims, c); err != nil || !bytes.Equal(before.Snapshot(), snap) {
		t.Fatalf("%v are ended for %+v, which would not fit then (%v), or asking that had an effect", c.Request.Victims, w, err)
	}
	for _, pid := range c.Request.Victims {
		if p := after.Processes(pid)[0]; p.Phase != admission.Evicting || p.Priority >= w.Spec.Priority {
			t.Fatalf("%+v is ended for %+v", p, w)
		}
	}
}

// script is one of each command.
func script() (out []Command) {
	live := []membership.Live{{ID: "p1", Epoch: 1}}
	for i, q := range []Request{
		{Op: OpRegister, Member: wire.Member{ID: "p1", Role: wire.RoleCompute, Addr: "inproc:p1", Capacity: wire.Capacity{Cores: 2, ExCacheLines: 100}}},
		{Op: OpAdmit, Spec: admission.VNodeSpec{Name: "a", Threads: 1, ExCacheLines: 10, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 1}}}},
		{Op: OpChanges, Changes: []admission.Change{{Verb: admission.DecideAbort, PID: 1, Kind: wire.KindNoRoom, Text: "none"}}},
		{Op: OpChanges, Changes: []admission.Change{{Verb: admission.EndFree, PID: 1}}},
		{Op: OpAdmit, Spec: admission.VNodeSpec{Name: "b", Threads: 1, ExCacheLines: 10}},
		{Op: OpChanges, Changes: []admission.Change{{Verb: admission.DecideCommit, PID: 2, Home: admission.Home{Node: "m1"}, Volumes: []admission.Volume{{Volume: 1}}}, {Verb: admission.EndCommit, PID: 2}}},
		{Op: OpAdmit, Spec: admission.VNodeSpec{Name: "c", Threads: 1, ExCacheLines: 100, Priority: 9, IfFull: admission.Preempt}},
		{Op: OpSettings, Settings: admission.Settings{ThreadsPerCore: 2, Quotas: []admission.Quota{{Tenant: "*", VNodes: 3}}}},
		{Op: OpQueue},
		{Op: OpPreempt, PID: 3, Victims: []wire.PID{2}},
		{Op: OpRelease, PID: 2},
		{Op: OpNote, Member: wire.Member{ID: "p1", Epoch: 1}, Note: membership.NoteSilent, Text: "seen by nobody"},
		{Op: OpNode, Member: wire.Member{ID: "p1"}, Action: membership.Drain},
		{Op: OpDead, Member: wire.Member{ID: "p1", Epoch: 1}, Text: "seen by nobody"},
	} {
		out = append(out, Command{Client: 1, Seq: uint64(i + 1), Stamp: membership.Stamp{Policy: "fewest_threads", Live: live}, Request: q})
	}
	return out
}

func TestProperties(t *testing.T)    { statetest.Properties(t, machine) }
func TestRefusesSpoilt(t *testing.T) { statetest.RefusesSpoilt(t, machine) }
func FuzzApply(f *testing.F)         { statetest.FuzzApply(f, machine, 2, DecodeResult) }
func FuzzRestore(f *testing.F)       { statetest.FuzzRestore(f, machine) }

func ExampleState_Apply() {
	s := New()
	s.Apply(Command{Client: 1, Seq: 1, Request: Request{Op: OpRegister, Member: wire.Member{ID: "p1", Role: wire.RoleCompute, Addr: "inproc:p1", Capacity: wire.Capacity{Cores: 2, ExCacheLines: 100}}}})
	stamp := membership.Stamp{Policy: "fewest_threads", Live: []membership.Live{{ID: "p1", Epoch: 1}}}
	res := s.Apply(Command{Client: 1, Seq: 2, Stamp: stamp, Request: Request{Op: OpAdmit, Spec: admission.VNodeSpec{Name: "sort", Threads: 1, ExCacheLines: 64}}})
	fmt.Println(res.VNode.PID, res.VNode.Node, res.Err())
	// Output: 1 p1 <nil>
}
