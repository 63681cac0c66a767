package dedup

import (
	"fmt"
	"slices"

	"splitkernel/netlayer/wire"
)

const (
	// Window is the number of sequences of one client whose results are kept.
	Window = 64
	// MaxClients bounds the clients that are remembered.
	MaxClients = 4096
	// MaxResults bounds the results of all clients together.
	MaxResults = 16384
)

// Outcome says what the table knows of a command.
type Outcome int

// The outcomes.
const (
	New       Outcome = iota // never seen: apply it
	Duplicate                // applied before: the result is known
	TooOld                   // below the client's window: nothing is known
)

// Answer is the result of one sequence.
type Answer[R any] struct {
	Seq    uint64
	Result R
}

// Session is what is known of one client.
type Session[R any] struct {
	Client  uint64
	Used    uint64      // position in the order of use; larger is later, no two are equal
	MaxSeq  uint64      // the largest sequence seen
	Answers []Answer[R] // ascending by Seq, all above MaxSeq-Window
}

// Saved is the table as a snapshot holds it.
type Saved[R any] struct {
	Clock    uint64
	Sessions []Session[R] // ascending by Client
}

// Table is the sessions of a manager. The zero value is not usable; call NewTable.
type Table[R any] struct {
	clock    uint64
	results  int
	sessions map[uint64]*Session[R] // never ranged over to produce an effect: eviction looks for the unique minimum
}

// NewTable returns an empty table.
func NewTable[R any]() *Table[R] { return &Table[R]{sessions: map[uint64]*Session[R]{}} }

// Lookup tells whether the command is new, and its result if it was applied before.
func (t *Table[R]) Lookup(client, seq uint64) (R, Outcome) {
	var none R
	s := t.sessions[client]
	if s == nil {
		return none, New
	}
	if i, ok := s.find(seq); ok {
		return s.Answers[i].Result, Duplicate
	}
	if below(seq, s.MaxSeq) {
		return none, TooOld
	}
	return none, New
}

// below reports whether seq is below the window that ends at maxSeq.
func below(seq, maxSeq uint64) bool { return seq < maxSeq && maxSeq-seq >= Window }

func (s *Session[R]) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(s.Answers, seq, func(a Answer[R], q uint64) int {
		switch {
		case a.Seq < q:
			return -1
		case a.Seq > q:
			return 1
		}
		return 0
	})
}

// Record keeps the result of a command that Lookup called New, and forgets what passes the bounds.
func (t *Table[R]) Record(client, seq uint64, result R) {
	t.clock++
	s := t.sessions[client]
	if s == nil {
		s = &Session[R]{Client: client}
		t.sessions[client] = s
	}
	s.Used = t.clock
	i, _ := s.find(seq)
	s.Answers = slices.Insert(s.Answers, i, Answer[R]{seq, result})
	t.results++
	if seq > s.MaxSeq {
		s.MaxSeq = seq
	}
	drop := 0
	for drop < len(s.Answers) && below(s.Answers[drop].Seq, s.MaxSeq) {
		drop++
	}
	s.Answers = slices.Delete(s.Answers, 0, drop)
	t.results -= drop
	for len(t.sessions) > MaxClients || t.results > MaxResults {
		t.evict()
	}
}

// evict forgets the session used longest ago. Used is unique, so the order of the map does not matter.
func (t *Table[R]) evict() {
	var oldest *Session[R]
	for _, s := range t.sessions {
		if oldest == nil || s.Used < oldest.Used {
			oldest = s
		}
	}
	t.results -= len(oldest.Answers)
	delete(t.sessions, oldest.Client)
}

// Once returns the result of a command that was applied before, or applies it and keeps its result. A command without
// client or sequence, or below the client's window, is answered by refuse and changes nothing.
func (t *Table[R]) Once(client, seq uint64, refuse func(error) R, apply func() R) R {
	if client == 0 || seq == 0 {
		return refuse(wire.Errorf(wire.KindBadRequest, "client %d, sequence %d: want both above 0", client, seq))
	}
	res, out := t.Lookup(client, seq)
	switch out {
	case Duplicate:
		return res
	case TooOld:
		return refuse(wire.Errorf(wire.KindStale, "sequence %d of client %d is below its window of %d", seq, client, Window))
	}
	res = apply()
	t.Record(client, seq, res)
	return res
}

// Len returns the number of clients and of results remembered.
func (t *Table[R]) Len() (clients, results int) { return len(t.sessions), t.results }

// Save returns the table in a stable order. The slices of answers are copies.
func (t *Table[R]) Save() Saved[R] {
	out := Saved[R]{Clock: t.clock, Sessions: make([]Session[R], 0, len(t.sessions))}
	for _, s := range t.sessions {
		c := *s
		c.Answers = slices.Clone(s.Answers)
		out.Sessions = append(out.Sessions, c)
	}
	slices.SortFunc(out.Sessions, func(a, b Session[R]) int {
		if a.Client < b.Client {
			return -1
		}
		return 1
	})
	return out
}

// Load makes the table of a snapshot and checks it.
func Load[R any](v Saved[R]) (*Table[R], error) {
	t := NewTable[R]()
	t.clock = v.Clock
	for i := range v.Sessions {
		s := v.Sessions[i]
		if i > 0 && v.Sessions[i-1].Client >= s.Client {
			return nil, fmt.Errorf("dedup: session %d of client %d is out of order", i, s.Client)
		}
		t.sessions[s.Client] = &s
		t.results += len(s.Answers)
	}
	return t, t.CheckInvariants()
}

// CheckInvariants returns the first broken rule of the table.
func (t *Table[R]) CheckInvariants() error {
	if len(t.sessions) > MaxClients || t.results > MaxResults {
		return fmt.Errorf("dedup: %d clients and %d results, at most %d and %d", len(t.sessions), t.results, MaxClients, MaxResults)
	}
	if t.clock > 1<<63 {
		return fmt.Errorf("dedup: clock %d, want at most 2^63", t.clock)
	}
	used := make(map[uint64]bool, len(t.sessions))
	n := 0
	for c, s := range t.sessions {
		if s.Client != c || c == 0 {
			return fmt.Errorf("dedup: session of client %d under key %d", s.Client, c)
		}
		if s.Used == 0 || s.Used > t.clock || used[s.Used] {
			return fmt.Errorf("dedup: client %d was used at %d, which is not unique in 1..%d", c, s.Used, t.clock)
		}
		used[s.Used] = true
		if len(s.Answers) == 0 || s.Answers[len(s.Answers)-1].Seq != s.MaxSeq {
			return fmt.Errorf("dedup: client %d has no answer to its largest sequence %d", c, s.MaxSeq)
		}
		for i, a := range s.Answers {
			if a.Seq == 0 || below(a.Seq, s.MaxSeq) || i > 0 && s.Answers[i-1].Seq >= a.Seq {
				return fmt.Errorf("dedup: client %d: sequence %d is outside the window of %d or out of order", c, a.Seq, s.MaxSeq)
			}
		}
		n += len(s.Answers)
	}
	if n != t.results {
		return fmt.Errorf("dedup: %d results counted, %d held", t.results, n)
	}
	return nil
}
