package stack

import "math/bits"

// order knows in which order pages were referenced last: how many were since a page was itself. The zero value is empty.
//
// Each reference takes the next time slot and gives the slot of its page's last reference back; a bitmap has the slots that stand for
// a page. How many pages came after one is the number of such slots after its own: a Fenwick tree over the words of the bitmap counts
// whole words, a population count those of a word. When all slots are used up, those that stand for a page are moved together.
//
// The tree is built up to the word in front of the newest one only. So an update ends at the newest word and a sum at the common
// ancestor: both take the logarithm of the distance, not of the number of slots, and most distances are short.
type order struct {
	last  []uint32 // by page: slot + 1 of its last reference; 0 = none
	words []uint64 // bit of a slot: it stands for a page
	tree  []uint32 // tree[i] counts the words i-lowbit(i) … i-1, for i of 1 to the newest word
	next  uint32   // next slot
	live  uint32   // pages with a slot
}

const (
	// leastSlots is the number of slots that are had at first.
	leastSlots = 1 << 12
	// slotsPerPage is how many slots there are for each page after they were moved together: with more that is done more seldom, and
	// bitmap and tree are larger.
	slotsPerPage = 3
	// maxSlots is what fits in a slot number + 1.
	maxSlots = 1<<32 - 64
	// never is the distance of a first reference.
	never = ^uint32(0)
)

// reach makes room for the pages up to a number.
func (o *order) reach(id uint32) {
	if int(id) < len(o.last) {
		return
	}
	grown := make([]uint32, max(int(id)+1, 2*len(o.last), 1024))
	copy(grown, o.last)
	o.last = grown
}

// warm loads what touch will need of these pages. Its loads do not depend on each other, so the processor waits for them together;
// those of touch, one page after the other, it would wait for one by one. The sum is of no use but keeps them from being left out.
func (o *order) warm(ids []uint32) (sum uint64) {
	last, words := o.last, o.words
	for _, id := range ids {
		if w := int(last[id]) >> 6; w < len(words) {
			sum += words[w]
		}
	}
	return sum
}

// touch references a page that reach has made room for, and gives how many others were since it was last, or never.
func (o *order) touch(id uint32) uint32 {
	p := o.last[id] - 1 // the slot, or never
	if p+1 == o.next && p != never {
		return 0 // it was the last one
	}
	if int(o.next>>6) == len(o.words) {
		o.compact()
		p = o.last[id] - 1
	}
	newest := o.next >> 6
	if o.next&63 == 0 && newest > 0 {
		o.build(newest)
	}
	distance := p
	if p == never {
		o.live++
	} else {
		distance = o.after(p, newest)
		o.clear(p, newest)
	}
	o.words[newest] |= 1 << (o.next & 63)
	o.next++
	o.last[id] = o.next
	return distance
}

// remove forgets a page.
func (o *order) remove(id uint32) {
	if p := o.last[id] - 1; p != never {
		// The newest word of the tree's view is that of the next slot, unless that word was not begun.
		newest := o.next >> 6
		if o.next&63 == 0 {
			newest--
		}
		o.clear(p, newest)
		o.last[id] = 0
		o.live--
	}
}

// build makes the node of the word that was just filled, from the nodes below it.
func (o *order) build(i uint32) {
	n := uint32(bits.OnesCount64(o.words[i-1]))
	for j := uint32(1); j < i&-i; j <<= 1 {
		n += o.tree[i-j]
	}
	o.tree[i] = n
}

// after counts the slots after p that stand for a page.
func (o *order) after(p, newest uint32) uint32 {
	w := p >> 6
	n := uint32(bits.OnesCount64(o.words[w] >> (p & 63) >> 1))
	if w == newest {
		return n
	}
	n += uint32(bits.OnesCount64(o.words[newest]))
	from, to := w+1, newest // the words after w and before the newest
	for to > from {
		n += o.tree[to]
		to &= to - 1
	}
	for from > to {
		n -= o.tree[from]
		from &= from - 1
	}
	return n
}

// clear says that a slot stands for no page any more.
func (o *order) clear(p, newest uint32) {
	w := p >> 6
	o.words[w] &^= 1 << (p & 63)
	for i := w + 1; i <= newest; i += i & -i {
		o.tree[i]--
	}
}

// compact moves the slots that stand for a page together and makes room for others after them.
func (o *order) compact() {
	before := make([]uint32, len(o.words)) // slots in front of a word
	n := uint32(0)
	for w, word := range o.words {
		before[w] = n
		n += uint32(bits.OnesCount64(word))
	}
	for id, l := range o.last {
		if l != 0 {
			p := l - 1
			o.last[id] = before[p>>6] + uint32(bits.OnesCount64(o.words[p>>6]&(1<<(p&63)-1))) + 1
		}
	}
	slots := min(max(uint64(n)*slotsPerPage, leastSlots), maxSlots)
	words := int((slots + 63) / 64)
	if words > len(o.words) {
		o.words, o.tree = make([]uint64, words), make([]uint32, words+1)
	} else {
		clear(o.words)
	}
	o.next = n
	for w := range n / 64 {
		o.words[w] = ^uint64(0)
	}
	if n%64 != 0 {
		o.words[n/64] = 1<<(n%64) - 1
	}
	for i := uint32(1); i <= n/64; i++ {
		if i != n/64 || n%64 != 0 { // else touch builds it
			o.build(i)
		}
	}
}
