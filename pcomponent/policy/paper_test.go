package policy

import "slices"

// paper is one set of a policy as its paper says it, in slices of pages, the
// front first: what the policies must agree with. lineOf settles ties of belady.
type paper interface {
	hit(page uint64)
	// victim may change the queues, as clock does; the page leaves by evict.
	victim(page uint64, busy func(uint64) bool) (uint64, bool)
	evict(page uint64)
	insert(page uint64)
	remove(page uint64)
}

type list []uint64

func (l *list) push(p uint64)    { *l = slices.Insert(*l, 0, p) }
func (l *list) cut(p uint64)     { *l = slices.DeleteFunc(*l, func(q uint64) bool { return p == q }) }
func (l list) has(p uint64) bool { return slices.Contains(l, p) }
func (l *list) limit(n int) {
	if len(*l) > n {
		*l = (*l)[:n]
	}
}

// last is the idle page nearest to the back of the first list that has one.
func last(busy func(uint64) bool, lists ...list) (uint64, bool) {
	for _, l := range lists {
		for _, p := range slices.Backward(l) {
			if !busy(p) {
				return p, true
			}
		}
	}
	return 0, false
}

type paperMRU struct{ l list }

func (m *paperMRU) hit(p uint64)    { m.l.cut(p); m.l.push(p) }
func (m *paperMRU) insert(p uint64) { m.l.push(p) }
func (m *paperMRU) evict(p uint64)  { m.l.cut(p) }
func (m *paperMRU) remove(p uint64) { m.l.cut(p) }
func (m *paperMRU) victim(_ uint64, busy func(uint64) bool) (uint64, bool) {
	i := slices.IndexFunc(m.l, func(p uint64) bool { return !busy(p) })
	if i < 0 {
		return 0, false
	}
	return m.l[i], true
}

type paperLFU struct {
	l     list           // the last used first
	count map[uint64]int // of all sets, as the ageing goes by all accesses
	age   func()
}

func (m *paperLFU) hit(p uint64)    { m.l.cut(p); m.l.push(p); m.count[p]++; m.age() }
func (m *paperLFU) insert(p uint64) { m.l.push(p); m.count[p] = 1; m.age() }
func (m *paperLFU) evict(p uint64)  { m.l.cut(p); delete(m.count, p) }
func (m *paperLFU) remove(p uint64) { m.evict(p) }
func (m *paperLFU) victim(_ uint64, busy func(uint64) bool) (best uint64, ok bool) {
	for _, p := range slices.Backward(m.l) {
		if !busy(p) && (!ok || m.count[p] < m.count[best]) {
			best, ok = p, true
		}
	}
	return best, ok
}

// paper2Q: A1in and Am hold pages, A1out names of pages.
type paper2Q struct {
	in, out         int
	a1in, am, a1out list
}

func (m *paper2Q) hit(p uint64) {
	if m.am.has(p) {
		m.am.cut(p)
		m.am.push(p)
	}
}
func (m *paper2Q) victim(_ uint64, busy func(uint64) bool) (uint64, bool) {
	if len(m.a1in) > m.in {
		return last(busy, m.a1in, m.am)
	}
	return last(busy, m.am, m.a1in)
}
func (m *paper2Q) evict(p uint64) {
	if m.a1in.has(p) {
		m.a1out.push(p)
	}
	m.remove(p)
}
func (m *paper2Q) insert(p uint64) {
	if m.a1out.has(p) {
		m.a1out.cut(p)
		m.am.push(p)
	} else {
		m.a1in.push(p)
	}
	m.a1out.limit(m.out)
}
func (m *paper2Q) remove(p uint64) { m.a1in.cut(p); m.am.cut(p) }

// paperARC is figure 4 of the paper with its cases in their order; what the
// victim's choice decided is kept for the insertion.
type paperARC struct {
	c              int
	p              float64
	t1, t2, b1, b2 list
	wasGhost       bool
	evicted        bool
	next           float64
}

func (m *paperARC) hit(x uint64) { m.t1.cut(x); m.t2.cut(x); m.t2.push(x) }
func (m *paperARC) adapt(x uint64) float64 {
	n1, n2 := float64(len(m.b1)), float64(len(m.b2))
	switch {
	case m.b1.has(x) && n1 >= n2:
		return min(float64(m.c), m.p+1)
	case m.b1.has(x):
		return min(float64(m.c), m.p+n2/n1)
	case m.b2.has(x) && n2 >= n1:
		return max(0, m.p-1)
	case m.b2.has(x):
		return max(0, m.p-n1/n2)
	}
	return m.p
}
func (m *paperARC) victim(x uint64, busy func(uint64) bool) (uint64, bool) {
	p := m.adapt(x)
	t1 := float64(len(m.t1))
	if len(m.t1) >= 1 && (m.b2.has(x) && t1 == p || t1 > p) {
		return last(busy, m.t1, m.t2)
	}
	return last(busy, m.t2, m.t1)
}

// leaving is told of the page that comes before the victim leaves.
func (m *paperARC) leaving(x uint64) {
	m.next, m.wasGhost, m.evicted = m.adapt(x), m.b1.has(x) || m.b2.has(x), true
	if !m.wasGhost { // case IV
		if l1 := len(m.t1) + len(m.b1); l1 == m.c && len(m.b1) > 0 {
			m.b1.limit(len(m.b1) - 1)
		} else if l1 < m.c && l1+len(m.t2)+len(m.b2) == 2*m.c {
			m.b2.limit(len(m.b2) - 1)
		}
	}
}
func (m *paperARC) evict(v uint64) {
	if m.t1.has(v) {
		m.b1.push(v)
	} else {
		m.b2.push(v)
	}
	m.remove(v)
}
func (m *paperARC) insert(x uint64) {
	if !m.evicted {
		m.next, m.wasGhost = m.adapt(x), m.b1.has(x) || m.b2.has(x)
	}
	if m.evicted = false; m.wasGhost {
		m.p = m.next
		m.b1.cut(x)
		m.b2.cut(x)
		m.t2.push(x)
	} else {
		m.t1.push(x)
	}
	// Only where the paper does not go: pages were removed, or busy lines made
	// the other list give up the victim.
	m.b1.limit(max(m.c-len(m.t1), 0))
	m.b2.limit(max(m.c-len(m.b1), 0))
}
func (m *paperARC) remove(p uint64) { m.t1.cut(p); m.t2.cut(p) }

// paperLIRS: s and q as in the paper, ghosts are pages of s that are not here.
type paperLIRS struct {
	most, stack int
	s, q, left  list
	lir         map[uint64]bool
	here        map[uint64]bool
}

func (m *paperLIRS) prune() {
	for len(m.s) > 0 && !m.lir[m.s[len(m.s)-1]] {
		p := m.s[len(m.s)-1]
		m.s.limit(len(m.s) - 1)
		m.left.cut(p)
	}
}
func (m *paperLIRS) promote(p uint64) {
	m.lir[p] = true
	m.s.cut(p)
	m.s.push(p)
	m.prune()
	if len(m.lir) > m.most {
		bottom := m.s[len(m.s)-1]
		m.s.limit(len(m.s) - 1)
		delete(m.lir, bottom)
		m.q.push(bottom)
		m.prune()
	}
}
func (m *paperLIRS) hit(p uint64) {
	switch {
	case m.lir[p]:
		m.s.cut(p)
		m.s.push(p)
		m.prune()
	case m.s.has(p) || len(m.lir) < m.most:
		m.q.cut(p)
		m.promote(p)
	default:
		m.s.push(p)
		m.q.cut(p)
		m.q.push(p)
		m.prune()
	}
}
func (m *paperLIRS) victim(_ uint64, busy func(uint64) bool) (uint64, bool) {
	if p, ok := last(busy, m.q); ok {
		return p, true
	}
	return last(func(p uint64) bool { return !m.lir[p] || busy(p) }, m.s)
}
func (m *paperLIRS) evict(p uint64) {
	if m.lir[p] || !m.s.has(p) {
		m.remove(p)
		return
	}
	m.q.cut(p)
	delete(m.here, p)
	m.left.push(p)
}
func (m *paperLIRS) insert(p uint64) {
	ghost := m.s.has(p)
	m.left.cut(p)
	m.s.cut(p)
	m.here[p] = true
	if m.most > 0 && (ghost || len(m.lir) < m.most) {
		m.promote(p)
	} else {
		m.s.push(p)
		m.q.push(p)
		m.prune()
	}
	for len(m.s) > m.stack && len(m.left) > 0 {
		p := m.left[len(m.left)-1]
		m.left.cut(p)
		m.s.cut(p)
	}
}
func (m *paperLIRS) remove(p uint64) {
	delete(m.lir, p)
	delete(m.here, p)
	m.q.cut(p)
	if m.s.has(p) {
		m.s.cut(p)
		m.prune()
	}
}

// paperS3 is algorithm 1 of the paper.
type paperS3 struct {
	small, ghosts int
	s, m, g       list
	freq          map[uint64]int
}

func (m *paperS3) hit(p uint64) { m.freq[p] = min(m.freq[p]+1, 3) }
func (m *paperS3) victim(_ uint64, busy func(uint64) bool) (p uint64, ok bool) {
	if len(m.s) >= m.small || len(m.m) == 0 {
		if p, ok = m.fromS(busy); !ok {
			p, ok = m.fromM(busy)
		}
		return p, ok
	}
	if p, ok = m.fromM(busy); !ok {
		p, ok = m.fromS(busy)
	}
	return p, ok
}
func (m *paperS3) fromS(busy func(uint64) bool) (uint64, bool) {
	for _, p := range slices.Backward(slices.Clone(m.s)) {
		if busy(p) {
			continue
		}
		if m.freq[p] <= 1 {
			return p, true
		}
		m.s.cut(p)
		m.m.push(p)
		m.freq[p] = 0
	}
	return 0, false
}
func (m *paperS3) fromM(busy func(uint64) bool) (uint64, bool) {
	for range 5 {
		for _, p := range slices.Backward(slices.Clone(m.m)) {
			if busy(p) {
				continue
			}
			if m.freq[p] == 0 {
				return p, true
			}
			m.freq[p]--
			m.m.cut(p)
			m.m.push(p)
		}
	}
	return 0, false
}
func (m *paperS3) evict(p uint64) {
	if m.s.has(p) {
		m.g.push(p)
	}
	m.remove(p)
}
func (m *paperS3) insert(p uint64) {
	if m.freq[p] = 0; m.g.has(p) {
		m.g.cut(p)
		m.m.push(p)
	} else {
		m.s.push(p)
	}
	m.g.limit(m.ghosts)
}
func (m *paperS3) remove(p uint64) { m.s.cut(p); m.m.cut(p); delete(m.freq, p) }

// paperSieve is algorithm 1 of the paper; hand is a page, 0 for none.
type paperSieve struct {
	l       list
	hand    uint64
	has     bool
	visited map[uint64]bool
}

func (m *paperSieve) hit(p uint64)    { m.visited[p] = true }
func (m *paperSieve) insert(p uint64) { m.l.push(p); m.visited[p] = false }
func (m *paperSieve) evict(p uint64)  { m.remove(p) }
func (m *paperSieve) remove(p uint64) {
	if m.has && m.hand == p {
		if i := slices.Index(m.l, p); i > 0 {
			m.hand = m.l[i-1]
		} else {
			m.has = false
		}
	}
	m.l.cut(p)
	delete(m.visited, p)
}
func (m *paperSieve) victim(_ uint64, busy func(uint64) bool) (uint64, bool) {
	if !slices.ContainsFunc(m.l, func(p uint64) bool { return !busy(p) }) {
		return 0, false
	}
	i := len(m.l) - 1
	if m.has {
		i = slices.Index(m.l, m.hand)
	}
	for ; ; i-- {
		if i < 0 {
			i = len(m.l) - 1
		}
		p := m.l[i]
		if busy(p) {
			continue
		}
		if !m.visited[p] {
			m.hand, m.has = p, true
			return p, true
		}
		m.visited[p] = false
	}
}

// paperTiny: the sketch is that of all sets.
type paperTiny struct {
	window, protected int
	w, probation, p   list
	used              func(uint64)
	estimate          func(uint64) int
}

func (m *paperTiny) hit(p uint64) {
	m.used(p)
	if m.w.has(p) {
		m.w.cut(p)
		m.w.push(p)
		return
	}
	m.probation.cut(p)
	m.p.cut(p)
	if m.p.push(p); len(m.p) > m.protected {
		m.probation.push(m.p[len(m.p)-1])
		m.p.limit(len(m.p) - 1)
	}
}
func (m *paperTiny) insert(p uint64) {
	m.used(p)
	if m.w.push(p); len(m.w) > m.window {
		m.probation.push(m.w[len(m.w)-1])
		m.w.limit(len(m.w) - 1)
	}
}
func (m *paperTiny) victim(_ uint64, busy func(uint64) bool) (uint64, bool) {
	candidate, okC := last(busy, m.w)
	old, okOld := last(busy, m.probation, m.p)
	if !okOld || okC && len(m.w) >= m.window && m.estimate(candidate) <= m.estimate(old) {
		return candidate, okC
	}
	return old, true
}
func (m *paperTiny) evict(p uint64)  { m.remove(p) }
func (m *paperTiny) remove(p uint64) { m.w.cut(p); m.probation.cut(p); m.p.cut(p) }

// paperMIN looks at the references to come.
type paperMIN struct {
	l      list
	refs   []uint64
	at     *int
	lineOf map[uint64]uint32
	uses   map[uint64]int // by page: its next use, as it was known at the last
}

func (m *paperMIN) hit(p uint64) {
	m.uses[p] = len(m.refs)
	if i := slices.Index(m.refs[*m.at+1:], p); i >= 0 {
		m.uses[p] = *m.at + 1 + i
	}
}
func (m *paperMIN) insert(p uint64) { m.l.push(p); m.hit(p) }
func (m *paperMIN) evict(p uint64)  { m.l.cut(p) }
func (m *paperMIN) remove(p uint64) { m.l.cut(p) }
func (m *paperMIN) victim(_ uint64, busy func(uint64) bool) (best uint64, ok bool) {
	for _, p := range m.l {
		if !busy(p) && (!ok || m.uses[p] > m.uses[best] || m.uses[p] == m.uses[best] && m.lineOf[p] < m.lineOf[best]) {
			best, ok = p, true
		}
	}
	return best, ok
}
