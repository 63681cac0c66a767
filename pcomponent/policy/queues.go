package policy

import "fmt"

// queues are doubly linked lists of entries, some kinds of them per set. The
// entries below lines are the lines; those behind are for ghosts, which are told
// apart by nothing else here. The front is where entries come in, the back is
// where they leave. Every method is told the set, because a ghost has none of its
// own.
type queues struct {
	nodes   []node   // by entry; then the sentinel of each set and kind
	in      []uint8  // by entry: 1 + the kind of its list; 0 = in none
	counts  []uint32 // by set*kinds + kind
	entries uint32
	lines   uint32
	ways    uint32
	sets    uint32
	kinds   uint32
}

func makeQueues(sets, ways, ghosts, kinds int) queues {
	q := queues{
		nodes:   make([]node, sets*ways+ghosts+sets*kinds),
		in:      make([]uint8, sets*ways+ghosts),
		counts:  make([]uint32, sets*kinds),
		entries: uint32(sets*ways + ghosts),
		lines:   uint32(sets * ways),
		ways:    uint32(ways),
		sets:    uint32(sets),
		kinds:   uint32(kinds),
	}
	for i := range q.nodes {
		q.nodes[i] = node{absent, absent}
	}
	for i := range q.counts {
		e := q.entries + uint32(i)
		q.nodes[e] = node{e, e}
	}
	return q
}

func (q *queues) list(set, kind uint32) uint32 { return set*q.kinds + kind }

// set returns the set of a line.
func (q *queues) set(line uint32) uint32 {
	if q.sets == 1 {
		return 0
	}
	return line / q.ways
}

// has reports whether an entry is in any list.
func (q *queues) has(e uint32) bool { return q.in[e] != 0 }

// is reports whether an entry is in the list of that kind.
func (q *queues) is(e, kind uint32) bool { return uint32(q.in[e]) == kind+1 }

// count is the length of a list.
func (q *queues) count(set, kind uint32) uint32 { return q.counts[q.list(set, kind)] }

// back is the entry at the back of a list; end tells that there is none.
func (q *queues) back(set, kind uint32) uint32 { return q.nodes[q.entries+q.list(set, kind)].prev }

// end reports that a walk has left the entries and reached a sentinel.
func (q *queues) end(e uint32) bool { return e >= q.entries }

// ahead is the neighbour of an entry that is nearer to the front.
func (q *queues) ahead(e uint32) uint32 { return q.nodes[e].prev }

func (q *queues) pushFront(set, kind, e uint32) {
	s := q.entries + q.list(set, kind)
	q.link(e, s, q.nodes[s].next, set, kind)
}

func (q *queues) pushBack(set, kind, e uint32) {
	s := q.entries + q.list(set, kind)
	q.link(e, q.nodes[s].prev, s, set, kind)
}

func (q *queues) link(e, prev, next, set, kind uint32) {
	if q.in[e] != 0 {
		panic(fmt.Sprintf("policy: line %d inserted twice", e))
	}
	q.nodes[e] = node{prev, next}
	q.nodes[prev].next = e
	q.nodes[next].prev = e
	q.in[e] = uint8(kind + 1)
	q.counts[q.list(set, kind)]++
}

// drop takes an entry out of its list.
func (q *queues) drop(set, e uint32) {
	if q.in[e] == 0 {
		panic(fmt.Sprintf("policy: line %d removed, but it is not there", e))
	}
	n := q.nodes[e]
	q.nodes[n.prev].next = n.next
	q.nodes[n.next].prev = n.prev
	q.nodes[e] = node{absent, absent}
	q.counts[q.list(set, uint32(q.in[e])-1)]--
	q.in[e] = 0
}

// move brings an entry to the front of a list of its set, from whichever it is in.
func (q *queues) move(set, kind, e uint32) {
	if q.is(e, kind) && q.nodes[e].prev == q.entries+q.list(set, kind) {
		return
	}
	q.drop(set, e)
	q.pushFront(set, kind, e)
}

// replace puts an entry that is in no list where another is, which leaves.
func (q *queues) replace(old, by uint32) {
	n := q.nodes[old]
	q.nodes[by] = n
	q.nodes[n.prev].next = by
	q.nodes[n.next].prev = by
	q.nodes[old] = node{absent, absent}
	q.in[by], q.in[old] = q.in[old], 0
}

// lastIdle returns the line of a list nearest to its back that is not busy.
func (q *queues) lastIdle(set, kind uint32, busy Busy) (uint32, bool) {
	for e := q.back(set, kind); !q.end(e); e = q.nodes[e].prev {
		if !busy.Has(e) {
			return e, true
		}
	}
	return 0, false
}

// check walks every list both ways and compares with what in and counts say.
func (q *queues) check() error {
	linked, walked := 0, 0
	for _, k := range q.in {
		if k != 0 {
			linked++
		}
	}
	for i, want := range q.counts {
		set, kind := uint32(i)/q.kinds, uint32(i)%q.kinds
		s, n := q.entries+uint32(i), uint32(0)
		for e := q.nodes[s].next; e != s; e = q.nodes[e].next {
			if e >= q.entries || e < q.lines && e/q.ways != set || !q.is(e, kind) {
				return fmt.Errorf("policy: list %d of set %d holds entry %d, which is not of it", kind, set, e)
			}
			if q.nodes[q.nodes[e].next].prev != e || q.nodes[q.nodes[e].prev].next != e {
				return fmt.Errorf("policy: the neighbours of entry %d do not point back to it", e)
			}
			if n++; n > want {
				break
			}
			walked++
		}
		if n != want {
			return fmt.Errorf("policy: list %d of set %d has another length than the %d counted", kind, set, want)
		}
	}
	if walked != linked {
		return fmt.Errorf("policy: %d entries are linked, %d are reached from the lists", linked, walked)
	}
	return nil
}
