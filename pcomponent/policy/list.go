package policy

import "fmt"

// absent is the link of a line that is in no list.
const absent = ^uint32(0)

// node holds the neighbours of a line in the list of its set: prev is nearer
// to the front, next nearer to the back.
type node struct{ prev, next uint32 }

// lists are intrusive doubly linked lists, one per set, over 8 bytes a line.
// The front is where lines enter, the back is where victims are looked for.
// The sentinel of set s is the node lines+s, so that no end is special.
type lists struct {
	nodes []node
	lines uint32
	ways  uint32
	sets  uint32
}

func makeLists(sets, ways int) lists {
	l := lists{
		nodes: make([]node, sets*ways+sets),
		lines: uint32(sets * ways),
		ways:  uint32(ways),
		sets:  uint32(sets),
	}
	for i := range l.nodes {
		l.nodes[i] = node{absent, absent}
	}
	for s := range l.sets {
		e := l.sentinel(s)
		l.nodes[e] = node{e, e}
	}
	return l
}

func (l *lists) sentinel(set uint32) uint32 { return l.lines + set }

// sentinelOf returns the sentinel of a line's set; the division is skipped in
// the fully associative cache.
func (l *lists) sentinelOf(line uint32) uint32 {
	if l.sets == 1 {
		return l.lines
	}
	return l.lines + line/l.ways
}

func (l *lists) has(line uint32) bool { return l.nodes[line].next != absent }

// back returns the line at the back of the set, or the sentinel when the list
// is empty.
func (l *lists) back(set uint32) uint32 { return l.nodes[l.sentinel(set)].prev }

// end reports that a walk has left the lines and reached the sentinel.
func (l *lists) end(n uint32) bool { return n >= l.lines }

func (l *lists) pushFront(line uint32) {
	if l.has(line) {
		panic(fmt.Sprintf("policy: line %d inserted twice", line))
	}
	s := l.sentinelOf(line)
	first := l.nodes[s].next
	l.nodes[line] = node{prev: s, next: first}
	l.nodes[first].prev = line
	l.nodes[s].next = line
}

func (l *lists) remove(line uint32) {
	if !l.has(line) {
		panic(fmt.Sprintf("policy: line %d removed, but it is not there", line))
	}
	n := l.nodes[line]
	l.nodes[n.prev].next = n.next
	l.nodes[n.next].prev = n.prev
	l.nodes[line] = node{absent, absent}
}

// moveFront moves a line that is in its list to the front; at the front already
// it touches nothing, which is the common case of a program's references.
func (l *lists) moveFront(line uint32) {
	nodes := l.nodes // a local slice is not loaded again after each store
	n := nodes[line]
	if n.prev >= l.lines {
		return
	}
	s := l.sentinelOf(line)
	first := nodes[s].next
	nodes[n.prev].next = n.next
	nodes[n.next].prev = n.prev
	nodes[line] = node{prev: s, next: first}
	nodes[first].prev = line
	nodes[s].next = line
}

// lastIdle returns the line nearest to the back that is not busy.
func (l *lists) lastIdle(set uint32, busy Busy) (uint32, bool) {
	line := l.back(set)
	if busy != nil {
		for !l.end(line) && busy.Has(line) {
			line = l.nodes[line].prev
		}
	}
	if l.end(line) {
		return 0, false
	}
	return line, true
}

// check walks every list both ways and compares with the lines present.
func (l *lists) check() error {
	present := 0
	for line := range l.lines {
		if l.has(line) {
			present++
		}
	}
	walked := 0
	for s := range l.sets {
		e := l.sentinel(s)
		for n, steps := l.nodes[e].next, uint32(0); n != e; n = l.nodes[n].next {
			if n >= l.lines || n/l.ways != s {
				return fmt.Errorf("policy: the list of set %d holds node %d, which is not of this set", s, n)
			}
			if l.nodes[l.nodes[n].next].prev != n || l.nodes[l.nodes[n].prev].next != n {
				return fmt.Errorf("policy: the neighbours of line %d do not point back to it", n)
			}
			if steps++; steps > l.ways {
				return fmt.Errorf("policy: the list of set %d is longer than its %d ways", s, l.ways)
			}
			walked++
		}
	}
	if walked != present {
		return fmt.Errorf("policy: %d lines are linked, %d are reached from the lists", present, walked)
	}
	return nil
}
