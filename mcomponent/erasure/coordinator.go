package erasure

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// version orders the contents of a page.
type version struct {
	epoch   wire.Epoch
	version uint64
}

func (v version) compare(o version) int {
	return cmp.Or(cmp.Compare(v.epoch, o.epoch), cmp.Compare(v.version, o.version))
}

// written is what is known of a page that was.
type written struct {
	version
	here bool // it was flushed here; else a holder said so, and that flush may not have been acknowledged
}

// Coordinator is the owner's side of all vRegions in shares of one mComponent. Use one goroutine at a time: with the lock under which pages
// are flushed.
type Coordinator struct {
	o       Options
	regions map[uint32]*region // by slot
	slots   []uint32           // of regions, ascending
	sent    map[uint64]message // not answered yet
	lastID  uint64
	woken   []uint64 // waiters of pages that were unmapped
	stats   Stats
}

// Stats counts what a Coordinator did since its start.
type Stats struct {
	Regions  int    // now
	Pages    int    // that were written, as far as is known, now
	Reads    uint64 // pages that were made of shares
	Computed uint64 // of them those of which a data share was missing
	Asked    uint64 // holders, for a share
	Hedged   uint64 // of them those that were asked as another was slow
	Failed   uint64 // of them those that did not answer, or not that they wanted
	Bad      uint64 // pages that did not fit their checksum
}

// region is one vRegion.
type region struct {
	slot     uint32
	cfg      wire.RegionConfig
	order    []int // the holders: those in sync first, by their shares
	first    wire.PageNo
	pages    uint64
	index    map[wire.PageNo]written
	whole    bool                   // index has every page that was written
	cursor   wire.PageNo            // of the list
	listing  uint64                 // the message that asks for it; 0 if none is under way
	lister   int                    // counts the holders that were asked for it
	unmapped []span                 // while it is not whole: what a list says of them is over
	seeks    map[wire.PageNo]uint64 // while it is not whole: messages that ask for one page of the list
	gathers  map[wire.PageNo]*gather
	attempts int // of the list
	waits    bool
	due      time.Duration
}

type span struct {
	first wire.PageNo
	n     uint64
}

func (s span) has(p wire.PageNo) bool { return p >= s.first && uint64(p-s.first) < s.n }

// gather is a page whose shares are collected.
type gather struct {
	page     wire.PageNo
	waiters  []uint64
	asks     []ask // by holder
	attempts int
	due      time.Duration // another is asked then, or, if nothing is under way, all are again
	without  int           // a holder, plus one, whose share is left out, as with it they do not make the page that they should
}

type state uint8

const (
	idle state = iota
	out
	has
	hasNot
	failed
	lastState = failed
)

type ask struct {
	state state
	id    uint64
	version
	sum   uint32
	share any
}

type message struct {
	slot   uint32
	page   wire.PageNo
	holder int
	list   bool
	seek   bool // of one page of the list
}

// New makes the owner's side. The options have been validated.
func New(o Options) *Coordinator {
	return &Coordinator{o: o, regions: map[uint32]*region{}, sent: map[uint64]message{}}
}

// Stats returns the counts.
func (c *Coordinator) Stats() Stats {
	s := c.stats
	s.Regions = len(c.slots)
	for _, slot := range c.slots {
		s.Pages += len(c.regions[slot].index)
	}
	return s
}

// Has reports whether a slot's vRegion is in shares.
func (c *Coordinator) Has(slot uint32) bool { return c.regions[slot] != nil }

// Policy is that of a slot's vRegion.
func (c *Coordinator) Policy(slot uint32) wire.MemoryPolicy {
	if r := c.regions[slot]; r != nil {
		return r.cfg.Policy
	}
	return wire.MemoryPolicy{}
}

// Configure takes a configuration for a slot; one that is not newer than the one that is there changes nothing. fresh says of a slot
// that has none that nothing was ever written to it.
func (c *Coordinator) Configure(now time.Duration, slot uint32, cfg wire.RegionConfig, first wire.PageNo, pages uint64, fresh bool, to []Effect) []Effect {
	r := c.regions[slot]
	if cfg.Config == 0 || cfg.Policy.Kind != wire.MemoryErasure || r != nil && !cfg.Newer(r.cfg.Epoch, r.cfg.Config) {
		return to
	}
	if r == nil {
		r = &region{slot: slot, first: first, pages: pages, cursor: first, whole: fresh, index: map[wire.PageNo]written{}, seeks: map[wire.PageNo]uint64{}, gathers: map[wire.PageNo]*gather{}}
		c.regions[slot] = r
		i, _ := slices.BinarySearch(c.slots, slot)
		c.slots = slices.Insert(c.slots, i, slot)
	}
	r.cfg = cfg
	return c.begin(now, r, to)
}

// begin asks anew for all that is wanted: holders, or what is known of them, have changed.
func (c *Coordinator) begin(now time.Duration, r *region, to []Effect) []Effect {
	r.rank()
	c.forgetSent(r.slot) // what comes now was said before
	clear(r.seeks)
	r.listing, r.waits, r.attempts = 0, false, 0
	to = c.list(r, to)
	for _, page := range sorted(r.gathers) {
		g := r.gathers[page]
		g.asks, g.attempts, g.without = make([]ask, len(r.cfg.Holders)), 0, 0
		to = c.pump(now, r, g, to)
	}
	return to
}

// Synced takes note of holders that have everything by now, as replica.Primary says: a share of theirs is as good as any, and if it is one of data nothing has
// to be computed any more.
func (c *Coordinator) Synced(now time.Duration, slot uint32, nodes []wire.NodeID, to []Effect) []Effect {
	r := c.regions[slot]
	if r == nil || !r.fills(nodes) {
		return to
	}
	r.cfg.Holders = slices.Clone(r.cfg.Holders)
	for i := range r.cfg.Holders {
		h := &r.cfg.Holders[i]
		h.Filling = h.Filling && !slices.Contains(nodes, h.Node)
	}
	return c.begin(now, r, to)
}

// fills reports whether one of some is said to be filled still.
func (r *region) fills(nodes []wire.NodeID) bool {
	return slices.ContainsFunc(r.cfg.Holders, func(h wire.Holder) bool { return h.Filling && slices.Contains(nodes, h.Node) })
}

// rank orders the holders: those in sync first, by their shares.
func (r *region) rank() {
	r.order = make([]int, len(r.cfg.Holders))
	for i := range r.order {
		r.order[i] = i
	}
	slices.SortStableFunc(r.order, func(a, b int) int {
		x, y := &r.cfg.Holders[a], &r.cfg.Holders[b]
		if x.Filling != y.Filling {
			if x.Filling {
				return 1
			}
			return -1
		}
		return cmp.Compare(x.Index, y.Index)
	})
}

func sorted[V any](m map[wire.PageNo]V) []wire.PageNo {
	list := make([]wire.PageNo, 0, len(m))
	for p := range m {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

func (c *Coordinator) forgetSent(slot uint32) {
	for id, m := range c.sent { // no order: each is deleted
		if m.slot == slot {
			delete(c.sent, id)
		}
	}
}

func (c *Coordinator) send(r *region, m message, read wire.ReplicaRead, to []Effect) []Effect {
	c.lastID++
	c.sent[c.lastID] = m
	read.PID, read.Region, read.OwnerEpoch, read.Config = r.cfg.PID, r.cfg.Region, r.cfg.Epoch, r.cfg.Config
	return append(to, Effect{Kind: Ask, ID: c.lastID, Slot: r.slot, To: r.cfg.Holders[m.holder], Read: read})
}

// list asks for the next part of what was written. Any holder that is in sync has every page that was acknowledged, so one that fails is
// followed by another.
func (c *Coordinator) list(r *region, to []Effect) []Effect {
	n := r.inSync()
	if r.whole || r.listing != 0 || r.waits || n == 0 {
		return to
	}
	to = c.send(r, message{slot: r.slot, holder: r.order[r.lister%n], list: true}, wire.ReplicaRead{Page: r.cursor, Count: wire.MaxReplicaListed, Flags: wire.ReplicaList}, to)
	r.listing = c.lastID
	return to
}

func (r *region) inSync() (n int) {
	for _, h := range r.cfg.Holders {
		if !h.Filling {
			n++
		}
	}
	return n
}

// maxSeeks bounds the questions of Seek that are under way for one vRegion.
const maxSeeks = 64

// Seek asks for one page of the list, of which Flushing has said that it is not known yet, so that a flush which comes again need not wait for the whole list.
func (c *Coordinator) Seek(slot uint32, page wire.PageNo, to []Effect) []Effect {
	r := c.regions[slot]
	n := r.inSync()
	if r.known(page) || r.seeks[page] != 0 || len(r.seeks) >= maxSeeks || n == 0 {
		return to
	}
	to = c.send(r, message{slot: slot, page: page, holder: r.order[r.lister%n], seek: true}, wire.ReplicaRead{Page: page, Count: 1, Flags: wire.ReplicaList}, to)
	r.seeks[page] = c.lastID
	return to
}

// sought takes the answer to Seek.
func (c *Coordinator) sought(r *region, page wire.PageNo, a Answer) {
	delete(r.seeks, page)
	switch {
	case a.Err != nil:
		r.lister++ // another one is asked when the flush comes again
	case r.known(page): // it was flushed, listed or unmapped meanwhile
	case len(a.Pages) > 0 && a.Pages[0].Page == page:
		r.index[page] = written{version: version{a.Pages[0].Epoch, a.Pages[0].Version}}
	default:
		r.unmapped = append(r.unmapped, span{page, 1})
	}
}

// known reports whether it is known of a page whether it was written, and in which version.
func (r *region) known(page wire.PageNo) bool {
	_, ok := r.index[page]
	return ok || r.whole || page < r.cursor || slices.ContainsFunc(r.unmapped, func(s span) bool { return s.has(page) })
}

// Whole reports whether it is known which pages of a slot were written.
func (c *Coordinator) Whole(slot uint32) bool {
	r := c.regions[slot]
	return r == nil || r.whole
}

// Written lists the pages of a slot that were written, in no order.
func (c *Coordinator) Written(slot uint32) (list []wire.PageNo) {
	if r := c.regions[slot]; r != nil {
		list = sorted(r.index)
	}
	return list
}

// Newest gives the version of a page that is known to be the newest: the one that was flushed here last, or that a holder told. It is zero of a page that
// was never written.
func (c *Coordinator) Newest(slot uint32, page wire.PageNo) (e wire.PageEntry) {
	if r := c.regions[slot]; r != nil {
		if w, ok := r.index[page]; ok {
			e = wire.PageEntry{Page: page, Epoch: w.epoch, Version: w.version.version}
		}
	}
	return e
}

// Absent reports whether it is known that a page was never written: it is zeros.
func (c *Coordinator) Absent(slot uint32, page wire.PageNo) bool {
	r := c.regions[slot]
	_, ok := r.index[page]
	return !ok && r.known(page)
}

// Verdict says what becomes of a flush.
type Verdict uint8

// The verdicts.
const (
	Newer   Verdict = 0 // or the very one that is there
	Older   Verdict = 1
	Unknown Verdict = 2 // it is not known yet which version there is
)

// Flushing is asked before a flush is applied.
func (c *Coordinator) Flushing(slot uint32, page wire.PageNo, epoch wire.Epoch, v uint64) Verdict {
	r := c.regions[slot]
	switch w, ok := r.index[page]; {
	case !r.known(page):
		return Unknown
	case ok && w.compare(version{epoch, v}) > 0:
		return Older
	}
	return Newer
}

// Flushed takes note that a flush was applied.
func (c *Coordinator) Flushed(slot uint32, page wire.PageNo, epoch wire.Epoch, v uint64) {
	c.regions[slot].index[page] = written{version{epoch, v}, true}
}

// Unmapped takes note that pages were unmapped, and counts those that had been written. Who waits for one of them is among Woken.
func (c *Coordinator) Unmapped(slot uint32, first wire.PageNo, n uint64) (freed uint64) {
	r := c.regions[slot]
	if r == nil {
		return 0
	}
	s := span{first, n}
	if !r.whole {
		r.unmapped = append(r.unmapped, s)
	}
	if n < uint64(len(r.index)) {
		for p := first; uint64(p-first) < n; p++ {
			if _, ok := r.index[p]; ok {
				delete(r.index, p)
				freed++
			}
		}
	} else {
		for p := range r.index { // no order: each is deleted
			if s.has(p) {
				delete(r.index, p)
				freed++
			}
		}
	}
	for _, p := range sorted(r.gathers) {
		if s.has(p) {
			c.woken = append(c.woken, r.gathers[p].waiters...)
			c.end(r, r.gathers[p])
		}
	}
	return freed
}

// Woken appends an Again for whoever waited for what was unmapped.
func (c *Coordinator) Woken(to []Effect) []Effect {
	for _, w := range c.woken {
		to = append(to, Effect{Kind: Again, Waiter: w})
	}
	c.woken = nil
	return to
}

func (c *Coordinator) end(r *region, g *gather) {
	for _, a := range g.asks {
		if a.state == out {
			delete(c.sent, a.id)
		}
	}
	delete(r.gathers, g.page)
}

// Read collects the shares of a page for a waiter. Those who wait for the same page share one collection.
func (c *Coordinator) Read(now time.Duration, slot uint32, page wire.PageNo, call uint64, to []Effect) []Effect {
	r := c.regions[slot]
	if g := r.gathers[page]; g != nil {
		g.waiters = append(g.waiters, call)
		return to
	}
	g := &gather{page: page, waiters: []uint64{call}, asks: make([]ask, len(r.cfg.Holders))}
	r.gathers[page] = g
	return c.pump(now, r, g, to)
}

// pump asks as many holders as are needed, and decides when enough have answered.
func (c *Coordinator) pump(now time.Duration, r *region, g *gather, to []Effect) []Effect {
	if b, ok := r.best(g); ok {
		e := Effect{Kind: Decode, Slot: r.slot, Page: g.page, Epoch: b.epoch, Version: b.version.version, Sum: b.sum, Index: b.index}
		for _, at := range b.from {
			e.Shares = append(e.Shares, g.asks[at].share)
		}
		return append(to, e)
	}
	flying := 0
	for _, a := range g.asks {
		if a.state == out {
			flying++
		}
	}
	need := r.missing(g)
	for flying < need {
		var ok bool
		if to, ok = c.ask(now, r, g, to); !ok {
			break
		}
		flying++
	}
	if flying > 0 {
		return to
	}
	if r.zeros(g) {
		return c.wake(r, g, to)
	}
	for _, a := range g.asks { // they do not agree: whoever was not asked yet may decide
		if a.state == idle {
			to, _ = c.ask(now, r, g, to)
			return to
		}
	}
	g.attempts++
	g.due = now + c.o.pause(g.attempts)
	return to
}

// ask asks the next holder that was not asked yet.
func (c *Coordinator) ask(now time.Duration, r *region, g *gather, to []Effect) ([]Effect, bool) {
	for _, i := range r.order {
		a := &g.asks[i]
		if a.state != idle {
			continue
		}
		c.stats.Asked++
		to = c.send(r, message{slot: r.slot, page: g.page, holder: i}, wire.ReplicaRead{Page: g.page, Count: 1, Flags: wire.ReplicaExact}, to)
		*a = ask{state: out, id: c.lastID}
		g.due = now + c.o.hedge()
		return to, true
	}
	return to, false
}

// wake has those who wait for a page look it up again.
func (c *Coordinator) wake(r *region, g *gather, to []Effect) []Effect {
	if r.whole {
		// A list named it, and a holder in sync has nothing of it: nobody was told that it was written.
		if w, ok := r.index[g.page]; ok && !w.here {
			delete(r.index, g.page)
		}
	} else {
		r.unmapped = append(r.unmapped, span{g.page, 1})
		delete(r.index, g.page)
	}
	for _, w := range g.waiters {
		to = append(to, Effect{Kind: Again, Waiter: w})
	}
	c.end(r, g)
	return to
}

type found struct {
	version
	sum   uint32
	index []uint32 // of shares
	from  []int    // of holders
}

// best is the newest version of which enough shares are there, the data shares first.
func (r *region) best(g *gather) (b found, ok bool) {
	k := int(r.cfg.Policy.Data)
	least, flushed := r.index[g.page]
	for _, i := range r.order {
		v := g.asks[i].version
		if g.asks[i].state != has || ok && v.compare(b.version) <= 0 || flushed && least.here && v.compare(least.version) < 0 {
			continue // one that is older than a flush that was applied here was read before that
		}
		f := found{version: v, sum: g.asks[i].sum}
		for _, at := range r.order {
			if a := &g.asks[at]; at+1 != g.without && a.state == has && a.version == v && len(f.from) < k && !slices.Contains(f.index, r.cfg.Holders[at].Index) {
				f.index, f.from = append(f.index, r.cfg.Holders[at].Index), append(f.from, at)
			}
		}
		if len(f.from) == k {
			b, ok = f, true
		}
	}
	return b, ok
}

// missing is how many answers are missing until a page can be made, if all of them are of the version of which most are there.
func (r *region) missing(g *gather) int {
	k, most := int(r.cfg.Policy.Data), 0
	answered := false
	for i := range g.asks {
		if g.asks[i].state == hasNot && !r.cfg.Holders[i].Filling {
			answered = true
		}
		if g.asks[i].state != has {
			continue
		}
		n := 0
		for j := range g.asks {
			if j+1 != g.without && g.asks[j].state == has && g.asks[j].version == g.asks[i].version {
				n++
			}
		}
		most = max(most, n)
	}
	if answered && most == 0 {
		return 0
	}
	return max(k-most, 0)
}

// zeros reports whether a holder that is in sync has nothing of a page: then no flush of it was acknowledged.
func (r *region) zeros(g *gather) bool {
	if w, ok := r.index[g.page]; ok && w.here {
		return false
	}
	for i := range g.asks {
		if g.asks[i].state == hasNot && !r.cfg.Holders[i].Filling {
			return true
		}
	}
	return false
}

// Answered reports the answer to a message.
func (c *Coordinator) Answered(now time.Duration, id uint64, a Answer, to []Effect) []Effect {
	m, ok := c.sent[id]
	if !ok {
		return to
	}
	delete(c.sent, id)
	r := c.regions[m.slot]
	if m.list {
		return c.listed(now, r, a, to)
	}
	if m.seek {
		c.sought(r, m.page, a)
		return to
	}
	g := r.gathers[m.page]
	k := &g.asks[m.holder]
	switch {
	case a.Err != nil:
		c.stats.Failed++
		k.state = failed
	case a.Have:
		k.state, k.version, k.sum, k.share = has, version{a.Epoch, a.Version}, a.Sum, a.Share
	default:
		k.state = hasNot
	}
	return c.pump(now, r, g, to)
}

// listed takes a part of what was written.
func (c *Coordinator) listed(now time.Duration, r *region, a Answer, to []Effect) []Effect {
	r.listing = 0
	if a.Err != nil {
		r.lister++
		r.attempts++
		r.waits, r.due = true, now+c.o.pause(r.attempts)
		return to
	}
	r.attempts = 0
	for _, e := range a.Pages {
		if _, ok := r.index[e.Page]; !ok && uint64(e.Page-r.first) < r.pages && e.Page >= r.first && !slices.ContainsFunc(r.unmapped, func(s span) bool { return s.has(e.Page) }) {
			r.index[e.Page] = written{version: version{e.Epoch, e.Version}}
		}
	}
	r.cursor = max(r.cursor, a.Next)
	if a.More {
		return c.list(r, to)
	}
	r.whole, r.unmapped = true, nil
	return append(to, Effect{Kind: Whole, Slot: r.slot})
}

// Decoded reports whether the page that was made of shares is the one that was flushed.
func (c *Coordinator) Decoded(now time.Duration, slot uint32, page wire.PageNo, fits bool, to []Effect) []Effect {
	r := c.regions[slot]
	g := r.gathers[page]
	b, _ := r.best(g)
	if !fits { // one of the shares is wrong; without it they make it
		c.stats.Bad++
		for g.without++; g.without <= len(g.asks); g.without++ {
			if slices.Contains(b.from, g.without-1) || g.asks[g.without-1].state == has {
				return c.pump(now, r, g, to)
			}
		}
		why := wire.Errorf(wire.KindFailed, "the shares of page %#x of process %d do not make version %d of it, whichever of them is left out", uint64(page)<<wire.PageShift, r.cfg.PID, b.version.version)
		for _, w := range g.waiters {
			to = append(to, Effect{Kind: Fail, Slot: slot, Waiter: w, Err: why})
		}
		c.end(r, g)
		return to
	}
	c.stats.Reads++
	for _, i := range b.index {
		if i >= r.cfg.Policy.Data {
			c.stats.Computed++
			break
		}
	}
	for _, w := range g.waiters {
		to = append(to, Effect{Kind: Page, Slot: slot, Page: page, Waiter: w, Epoch: b.epoch, Version: b.version.version, Sum: b.sum})
	}
	c.end(r, g)
	return to
}

// Close ends the shares of a slot that is not served here any more.
func (c *Coordinator) Close(slot uint32, why *wire.Error, to []Effect) []Effect {
	r := c.regions[slot]
	if r == nil {
		return to
	}
	for _, page := range sorted(r.gathers) {
		for _, w := range r.gathers[page].waiters {
			to = append(to, Effect{Kind: Fail, Slot: slot, Waiter: w, Err: why})
		}
	}
	c.forgetSent(slot)
	delete(c.regions, slot)
	i, _ := slices.BinarySearch(c.slots, slot)
	c.slots = slices.Delete(c.slots, i, i+1)
	return to
}

// Due gives when Tick has something to do; false if there is nothing.
func (c *Coordinator) Due() (due time.Duration, ok bool) {
	for _, slot := range c.slots {
		r := c.regions[slot]
		if r.waits && (!ok || r.due < due) {
			due, ok = r.due, true
		}
		for _, g := range r.gathers { // the least: no order
			if (!ok || g.due < due) && g.more() {
				due, ok = g.due, true
			}
		}
	}
	return due, ok
}

// more reports whether somebody can be asked when it is due.
func (g *gather) more() bool {
	flying := false
	for _, a := range g.asks {
		if a.state == idle {
			return true
		}
		flying = flying || a.state == out
	}
	return !flying
}

// Tick asks one more holder where one is slow, and all again where a pause is over.
func (c *Coordinator) Tick(now time.Duration, to []Effect) []Effect {
	for _, slot := range c.slots {
		r := c.regions[slot]
		if r.waits && now >= r.due {
			r.waits = false
			to = c.list(r, to)
		}
		for _, page := range sorted(r.gathers) {
			g := r.gathers[page]
			if now < g.due || !g.more() {
				continue
			}
			if slices.ContainsFunc(g.asks, func(a ask) bool { return a.state == out }) {
				c.stats.Hedged++
				to, _ = c.ask(now, r, g, to)
				continue
			}
			clear(g.asks)
			g.without = 0
			to = c.pump(now, r, g, to)
		}
	}
	return to
}

// CheckInvariants reports a broken one, for tests.
func (c *Coordinator) CheckInvariants() error {
	if !slices.IsSorted(c.slots) || len(c.slots) != len(c.regions) {
		return fmt.Errorf("erasure: %d vRegions at %d slots, which are in order: %t", len(c.regions), len(c.slots), slices.IsSorted(c.slots))
	}
	under := 0
	for _, slot := range c.slots {
		r := c.regions[slot]
		if r.listing != 0 {
			under++
			if m, ok := c.sent[r.listing]; !ok || !m.list || m.slot != slot {
				return fmt.Errorf("erasure: slot %d asks for a list by message %d, which is not under way", slot, r.listing)
			}
		}
		if r.whole && (r.listing != 0 || r.waits || len(r.unmapped) > 0) {
			return fmt.Errorf("erasure: slot %d knows what was written, and asks for it", slot)
		}
		for page, id := range r.seeks {
			under++
			if m, ok := c.sent[id]; !ok || !m.seek || m.slot != slot || m.page != page || len(r.seeks) > maxSeeks {
				return fmt.Errorf("erasure: slot %d seeks page %#x by message %d, which is not under way", slot, uint64(page), id)
			}
		}
		for page, g := range r.gathers {
			if g.page != page || len(g.waiters) == 0 || len(g.asks) != len(r.cfg.Holders) {
				return fmt.Errorf("erasure: page %#x of slot %d is collected for %d from %d holders of %d", uint64(page), slot, len(g.waiters), len(g.asks), len(r.cfg.Holders))
			}
			for i, a := range g.asks {
				if a.state != out {
					continue
				}
				under++
				if m, ok := c.sent[a.id]; !ok || m.list || m.slot != slot || m.page != page || m.holder != i {
					return fmt.Errorf("erasure: page %#x of slot %d is asked for by message %d, which is not under way", uint64(page), slot, a.id)
				}
			}
		}
	}
	if under != len(c.sent) {
		return fmt.Errorf("erasure: %d messages are under way, counted as %d", under, len(c.sent))
	}
	return nil
}
