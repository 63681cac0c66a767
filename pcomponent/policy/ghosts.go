package policy

import (
	"fmt"
	"math/bits"
)

// ghosts remember pages that have left: an entry behind the lines for each, found
// by its page. The index is open addressing with linear probes over entry numbers,
// at most half full, so a ghost costs 8 to 16 bytes here, 8 for its page, and the
// links of its list. All of it is made at once: no method allocates.
type ghosts struct {
	page  []uint64 // by entry: of a line that is in the policy, and of a ghost
	table []uint32 // entry + 1 of a ghost; 0 = empty; a power of two long
	shift uint     // 64 - log2(len(table))
	free  []uint32 // ghosts that are not in use; the last is taken first
	first uint32   // the first entry that is a ghost
}

// pageSpread is 2^64 divided by the golden ratio (Knuth, TAOCP 3, section 6.4).
const pageSpread = 0x9E3779B97F4A7C15

func makeGhosts(lines, n int) ghosts {
	size := 1 << bits.Len(uint(2*n))
	g := ghosts{
		page:  make([]uint64, lines+n),
		table: make([]uint32, size),
		shift: uint(64 - bits.TrailingZeros(uint(size))),
		free:  make([]uint32, n),
		first: uint32(lines),
	}
	for i := range g.free {
		g.free[i] = uint32(lines + n - 1 - i)
	}
	return g
}

func (g *ghosts) home(page uint64) uint32 { return uint32(page * pageSpread >> g.shift) }

// ghost returns the ghost of a page.
func (g *ghosts) ghost(page uint64) (e uint32, ok bool) {
	mask := uint32(len(g.table) - 1)
	for i := g.home(page); ; i++ {
		switch e := g.table[i&mask]; {
		case e == 0:
			return 0, false
		case g.page[e-1] == page:
			return e - 1, true
		}
	}
}

// haunt makes a ghost of a page that has none. The caller has made room and puts
// it into a list.
func (g *ghosts) haunt(page uint64) uint32 {
	if len(g.free) == 0 {
		panic("policy: more ghosts than there is room for")
	}
	e := g.free[len(g.free)-1]
	g.free = g.free[:len(g.free)-1]
	g.page[e] = page
	mask := uint32(len(g.table) - 1)
	i := g.home(page)
	for ; g.table[i&mask] != 0; i++ {
	}
	g.table[i&mask] = e + 1
	return e
}

// forget ends a ghost that is in no list any more, and moves back every entry of
// the table behind it that its probe would no longer reach.
func (g *ghosts) forget(e uint32) {
	mask := uint32(len(g.table) - 1)
	hole := g.home(g.page[e])
	for ; g.table[hole&mask] != e+1; hole++ {
		if g.table[hole&mask] == 0 {
			panic(fmt.Sprintf("policy: the ghost of page %#x is not in the index", g.page[e]))
		}
	}
	hole &= mask
	for i := hole; ; {
		i = (i + 1) & mask
		x := g.table[i]
		if x == 0 {
			break
		}
		if (i-g.home(g.page[x-1]))&mask >= (i-hole)&mask {
			g.table[hole] = x
			hole = i
		}
	}
	g.table[hole] = 0
	g.page[e] = 0
	g.free = append(g.free, e)
}

// check compares the index with the ghosts that are in lists.
func (g *ghosts) check(listed func(e uint32) bool) error {
	indexed := 0
	for _, e := range g.table {
		if e == 0 {
			continue
		}
		indexed++
		if found, ok := g.ghost(g.page[e-1]); !ok || found != e-1 || e-1 < g.first || !listed(e-1) {
			return fmt.Errorf("policy: the index has entry %d for page %#x, which is no ghost or another's", e-1, g.page[e-1])
		}
	}
	n := 0
	for e := g.first; int(e) < len(g.page); e++ {
		if listed(e) {
			n++
		}
	}
	if n != indexed || n+len(g.free) != len(g.page)-int(g.first) {
		return fmt.Errorf("policy: %d ghosts are listed, %d in the index, %d of %d are free", n, indexed, len(g.free), len(g.page)-int(g.first))
	}
	return nil
}

// haunted are lists whose lines may become ghosts of the same set.
type haunted struct {
	queues
	ghosts
}

func makeHaunted(sets, ways, ghostsPerSet, kinds int) haunted {
	return haunted{makeQueues(sets, ways, sets*ghostsPerSet, kinds), makeGhosts(sets*ways, sets*ghostsPerSet)}
}

// enter puts a line with its page at the front of a list.
func (h *haunted) enter(set, kind, line uint32, page uint64) {
	h.pushFront(set, kind, line)
	h.page[line] = page
}

// leave makes a line the ghost at the front of a list.
func (h *haunted) leave(set, kind, line uint32) {
	page := h.page[line]
	h.drop(set, line)
	h.page[line] = 0
	h.pushFront(set, kind, h.haunt(page))
}

// lose takes a line out and remembers nothing of it.
func (h *haunted) lose(set, line uint32) {
	h.drop(set, line)
	h.page[line] = 0
}

// exorcise ends a ghost.
func (h *haunted) exorcise(set, ghost uint32) {
	h.drop(set, ghost)
	h.forget(ghost)
}

// trim ends the oldest ghosts of a list until it has at most so many.
func (h *haunted) trim(set, kind, most uint32) {
	for h.count(set, kind) > most {
		h.exorcise(set, h.queues.back(set, kind))
	}
}

func (h *haunted) check() error {
	if err := h.queues.check(); err != nil {
		return err
	}
	return h.ghosts.check(h.has)
}

// checkKinds is check, and that lines are in the lists before the first of ghosts,
// and ghosts in the others.
func (h *haunted) checkKinds(firstOfGhosts uint32) error {
	if err := h.check(); err != nil {
		return err
	}
	for e, k := range h.in {
		if k != 0 && (uint32(e) >= h.lines) != (uint32(k-1) >= firstOfGhosts) {
			return fmt.Errorf("policy: entry %d of %d lines is in list %d, the lists of ghosts begin with %d", e, h.lines, k-1, firstOfGhosts)
		}
	}
	return nil
}
