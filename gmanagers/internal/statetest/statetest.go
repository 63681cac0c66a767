package statetest

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/netlayer/wire"
)

// State is a replicated state.
type State[C, R any] interface {
	Apply(C) R
	ApplyBytes([]byte) []byte
	Snapshot() []byte
	Freeze() func() []byte
	Restore([]byte) error
	CheckInvariants() error
}

// Command is a command or a result: it has an encoding.
type Command interface{ Encode() []byte }

// Machine is a manager's state with its commands.
type Machine[S State[C, R], C, R Command] struct {
	New func() S
	// Draw draws a command of a client under a sequence. s is for choosing what meets what is there; it must not be changed.
	Draw func(t *rapid.T, s S, client, seq uint64) C
	// Laws returns what must hold beside CheckInvariants; it is called with each command that was carried out for the first
	// time and its result, and may remember. One is made for each log.
	Laws func() func(t *rapid.T, s S, c C, r R)
	// Listings returns what a restored state must list alike.
	Listings func(s S) any
	// Script is a log in which every kind of command is carried out at least once: the seeds of the fuzz tests.
	Script []C
}

// Choice is a kind of request and how to draw one. Its weight says how often, beside the weights of the others.
type Choice[S, Q any] struct {
	Weight int
	Draw   func(t *rapid.T, s S) Q
}

// OneOf draws one of choices and a request of it.
func OneOf[S, Q any](t *rapid.T, s S, choices []Choice[S, Q]) Q {
	sum := 0
	for _, c := range choices {
		sum += c.Weight
	}
	n := rapid.IntRange(0, sum-1).Draw(t, "what")
	for _, c := range choices {
		if n -= c.Weight; n < 0 {
			return c.Draw(t, s)
		}
	}
	panic("statetest: weights")
}

// Known draws the id and the epoch of a member, or nearly.
func Known(t *rapid.T, members []wire.Member) wire.Member {
	m := wire.Member{ID: "nobody", Epoch: wire.Epoch(rapid.Uint32Range(0, 2).Draw(t, "epoch"))}
	if n := len(members); n > 0 && rapid.IntRange(0, 9).Draw(t, "known") > 0 {
		k := members[rapid.IntRange(0, n-1).Draw(t, "member")]
		m.ID = k.ID
		if rapid.IntRange(0, 9).Draw(t, "present") > 0 {
			m.Epoch = k.Epoch
		}
	}
	return m
}

const (
	// maxCommands is how long a log is, maxClients how many clients write it.
	maxCommands = 80
	maxClients  = 3
)

// at names a command as the managers do.
type at struct{ client, seq uint64 }

// entry is a command of the log with its result.
type entry[C, R any] struct {
	c C
	r R
}

// Properties checks what the package promises, for logs drawn by rapid.
func Properties[S State[C, R], C, R Command](t *testing.T, m Machine[S, C, R]) {
	rapid.Check(t, func(t *rapid.T) {
		h := &harness[S, C, R]{T: t, m: m, a: m.New(), b: m.New(), c: m.New(), first: map[at]entry[C, R]{}, top: map[uint64]uint64{}, laws: m.Laws()}
		h.snap = h.a.Snapshot()
		for range rapid.IntRange(1, maxCommands).Draw(t, "commands") {
			h.step()
		}
		n := h.restored()
		for _, k := range h.order { // all that is remembered is remembered there too
			if h.remembered(k) && !bytes.Equal(n.Apply(h.first[k].c).Encode(), h.first[k].r.Encode()) {
				t.Fatalf("restored: %+v is answered otherwise", h.first[k].c)
			}
		}
		if got, want := m.Listings(n), m.Listings(h.a); !reflect.DeepEqual(got, want) {
			t.Fatalf("restored: lists %+v, want %+v", got, want)
		}
	})
}

// harness is one log on its way to three replicas: a gets commands, b and c their bytes, and c is restored now and then.
type harness[S State[C, R], C, R Command] struct {
	*rapid.T
	m       Machine[S, C, R]
	a, b, c S
	snap    []byte             // of a
	first   map[at]entry[C, R] // as carried out
	order   []at               // the keys of first, in the order of the log
	top     map[uint64]uint64  // by client, the largest sequence
	laws    func(t *rapid.T, s S, c C, r R)
}

// remembered reports whether a sequence is in its client's window.
func (h *harness[S, C, R]) remembered(k at) bool { return k.seq+dedup.Window > h.top[k.client] }

// step appends a command to the log.
func (h *harness[S, C, R]) step() {
	k := at{client: rapid.Uint64Range(1, maxClients).Draw(h.T, "client")}
	top := h.top[k.client]
	var again *entry[C, R]
	switch how := rapid.IntRange(0, 19).Draw(h.T, "sequence"); {
	case how < 3 && len(h.order) > 0: // the same command again
		k = h.order[rapid.IntRange(0, len(h.order)-1).Draw(h.T, "which")]
		e := h.first[k]
		again = &e
	case how < 5 && top > 1: // an earlier sequence: used with another command, skipped and late, or below the window
		k.seq = rapid.Uint64Range(1, top-1).Draw(h.T, "earlier")
	case how < 8: // some are skipped, and may come late
		k.seq = top + rapid.Uint64Range(2, 4).Draw(h.T, "skip")
	case how == 8: // the window moves beyond all that was
		k.seq = top + dedup.Window + 1
	default:
		k.seq = top + 1
	}
	var cmd C
	if again != nil {
		cmd = again.c
	} else {
		cmd = h.m.Draw(h.T, h.a, k.client, k.seq)
	}

	was, frozen := h.snap, h.a.Freeze()
	fresh := h.remembered(k)
	if e, ok := h.first[k]; ok {
		again, fresh = &e, false
	}
	res := h.a.Apply(cmd)
	h.snap = h.a.Snapshot()
	switch {
	case fresh:
		h.first[k] = entry[C, R]{cmd, res}
		h.order = append(h.order, k)
		h.top[k.client] = max(top, k.seq)
		h.laws(h.T, h.a, cmd, res)
	case !bytes.Equal(was, h.snap):
		h.Fatalf("%+v had an effect, though its sequence was used or is below the window", cmd)
	case again != nil && h.remembered(k) && !bytes.Equal(res.Encode(), again.r.Encode()):
		h.Fatalf("%+v: answered %+v first, now %+v", cmd, again.r, res)
	}
	if !bytes.Equal(frozen(), was) {
		h.Fatalf("%+v changed what was frozen before it", cmd)
	}
	if err := h.a.CheckInvariants(); err != nil {
		h.Fatalf("after %+v: %v", cmd, err)
	}

	for i, s := range []S{h.b, h.c} {
		if got := s.ApplyBytes(cmd.Encode()); !bytes.Equal(got, res.Encode()) {
			h.Fatalf("%+v: answered %x, by replica %d %x", cmd, res.Encode(), i+2, got)
		}
		if !bytes.Equal(h.snap, s.Snapshot()) {
			h.Fatalf("after %+v replica %d differs", cmd, i+2)
		}
	}
	if rapid.IntRange(0, 9).Draw(h.T, "restore") == 0 {
		h.c = h.restored() // must keep up from here
	}
}

// restored returns a state restored from a snapshot of c.
func (h *harness[S, C, R]) restored() S {
	n, snap := h.m.New(), h.c.Snapshot()
	if err := n.Restore(snap); err != nil {
		h.Fatal(err)
	}
	if !bytes.Equal(n.Snapshot(), snap) {
		h.Fatal("a restored state has another snapshot")
	}
	return n
}

// played returns the state after the first n commands of the script, all of them if n is above their number.
func played[S State[C, R], C, R Command](m Machine[S, C, R], n int) S {
	s := m.New()
	for _, c := range m.Script[:min(n, len(m.Script))] {
		s.Apply(c)
	}
	return s
}

// RefusesSpoilt checks that a snapshot that was cut, lengthened or is of another version is refused and changes nothing.
func RefusesSpoilt[S State[C, R], C, R Command](t *testing.T, m Machine[S, C, R]) {
	t.Helper()
	snap, s := played(m, len(m.Script)).Snapshot(), played(m, 1)
	was := s.Snapshot()
	refuse := func(what string, bad []byte) {
		if err := s.Restore(bad); err == nil || !bytes.Equal(s.Snapshot(), was) {
			t.Fatalf("a snapshot %s: %v", what, err)
		}
	}
	for n := range snap {
		refuse("that was cut", snap[:n:n])
	}
	refuse("with a byte more", append(bytes.Clone(snap), 0))
	other := bytes.Clone(snap)
	other[0]++
	refuse("of another version", other)
}

// FuzzApply: whatever the log holds, Apply answers and the state stays sound. The state has applied the first n commands of
// the script.
func FuzzApply[S State[C, R], C, R Command](f *testing.F, m Machine[S, C, R], n int, decode func([]byte) (R, error)) {
	for _, c := range m.Script {
		f.Add(c.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := played(m, n)
		if _, err := decode(s.ApplyBytes(b)); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRestore: a snapshot that is accepted is sound and is what a snapshot of it says.
func FuzzRestore[S State[C, R], C, R Command](f *testing.F, m Machine[S, C, R]) {
	for n := range len(m.Script) + 1 {
		f.Add(played(m, n).Snapshot())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := m.New()
		if s.Restore(b) != nil {
			return
		}
		for _, c := range m.Script {
			s.Apply(c)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		n := m.New()
		if err := n.Restore(s.Snapshot()); err != nil || !bytes.Equal(n.Snapshot(), s.Snapshot()) {
			t.Fatalf("restored again: %v", err)
		}
	})
}
