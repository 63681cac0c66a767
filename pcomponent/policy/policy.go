package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"splitkernel/netlayer/tape"
)

// MaxLines bounds the lines of one cache: a line and one more fit in 24 bits,
// as the index of the ExCache packs them.
const MaxLines = 1<<24 - 2

// Busy marks the lines that must not become victims: bit line%64 of word
// line/64 is set for a pinned line or one whose fill is in flight. Nil means
// that no line is busy, so that a policy tests the pointer once and then costs
// what it would cost without pins.
type Busy []uint64

// Has reports whether the line is busy.
func (b Busy) Has(line uint32) bool {
	return b != nil && b[line>>6]&(1<<(line&63)) != 0
}

// Set marks a line busy.
func (b Busy) Set(line uint32) { b[line>>6] |= 1 << (line & 63) }

// Clear marks a line as not busy.
func (b Busy) Clear(line uint32) { b[line>>6] &^= 1 << (line & 63) }

// Policy is one replacement policy over the lines of one cache.
//
// No method locks: the caller serialises all calls. No method allocates. Given
// the same calls, every method answers the same on every machine.
type Policy interface {
	// Touch records an access to a line that is in the policy.
	Touch(line uint32)
	// Insert records the access that brought a new page to a line that is not
	// in the policy. A page is on one line at most, and always in the same set.
	Insert(line uint32, page uint64)
	// Evict takes a line out of the policy because Victim has just named it, and
	// Insert of the page that Victim was told of follows: nothing is called
	// between the three. The policy may remember the page that leaves, as a
	// ghost, to learn from its return.
	Evict(line uint32)
	// Remove takes a line out of the policy for any other reason: its page was
	// dropped, or its fill failed. Nothing is remembered of it.
	Remove(line uint32)
	// Victim names the line of the set that should leave next, for a page that
	// is to come and has no line, among those that are in the policy and not
	// busy; ok is false when there is none. It does not remove the line. Asked
	// again for the same page before the set changes, it answers the same: a
	// caller that must wait before it may evict asks again afterwards, and
	// waiting must not change which line leaves. What a policy learns from the
	// page that comes, it learns at Insert.
	Victim(set uint32, page uint64, busy Busy) (line uint32, ok bool)
	// Has reports whether a line is in the policy. For checks.
	Has(line uint32) bool
	// CheckInvariants reports the first inconsistency of the inner state.
	CheckInvariants() error
	// AppendState appends all on which later answers depend. Policies that were made and called alike append the same.
	AppendState(b []byte) []byte
	// ReadState makes a policy that was just made like the one that appended; a fault is the reader's, and then this is of no use.
	// The caller checks the invariants.
	ReadState(r *tape.Reader)
}

// Options are the settings that some of the policies take.
type Options struct {
	// Most is how many lines there may be, if that is not MaxLines: for a caller
	// whose index has room for more, up to 2^28. 0 is MaxLines.
	Most int
	// Seed of the random policy; any value, zero included.
	Seed uint64
	// SweepEvery is the number of accesses between two sweeps of lru-sweep; at
	// least 1. The other policies ignore it.
	SweepEvery int
	// LFUAgeEvery is the number of accesses after which lfu halves its counts; 0
	// means never. The other policies ignore it.
	LFUAgeEvery int
	// Future is what belady knows of the references to come; the others ignore it.
	Future *Future
}

// makers lists the policies by name, in the order of the names.
var makers = []struct {
	name string
	make func(sets, ways int, o Options) (Policy, error)
}{
	{"2q", newTwoQ},
	{"arc", newARC},
	{"belady", newBelady},
	{"clock", newClock},
	{"fifo", newFIFO},
	{"lfu", newLFU},
	{"lirs", newLIRS},
	{"lru", newLRU},
	{"lru-sweep", newLRUSweep},
	{"mru", newMRU},
	{"random", newRandom},
	{"s3-fifo", newS3FIFO},
	{"sieve", newSieve},
	{"w-tinylfu", newWTinyLFU},
}

// Names returns the names of the policies, sorted.
func Names() []string {
	names := make([]string, len(makers))
	for i, m := range makers {
		names[i] = m.name
	}
	return names
}

// Known reports whether a policy of that name exists.
func Known(name string) bool { return slices.Contains(Names(), name) }

// New makes an empty policy for sets*ways lines. It fails on an unknown name,
// on a geometry outside 1..MaxLines, and on options that the named policy
// cannot use; all faults are reported at once.
func New(name string, sets, ways int, o Options) (Policy, error) {
	most := MaxLines
	if o.Most > 0 {
		most = min(o.Most, 1<<28)
	}
	if sets < 1 || ways < 1 || sets > most || ways > most || sets*ways > most {
		return nil, fmt.Errorf("policy: %d sets of %d ways, want at least 1 of each and at most %d lines together", sets, ways, most)
	}
	for _, m := range makers {
		if m.name == name {
			return m.make(sets, ways, o)
		}
	}
	return nil, fmt.Errorf("policy: %q, want one of %s: %w", name, strings.Join(Names(), ", "), ErrUnknown)
}

// ErrUnknown is wrapped by New when no policy has the name asked for.
var ErrUnknown = errors.New("no such policy")
