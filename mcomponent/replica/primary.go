package replica

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/canary"
	"splitkernel/netlayer/wire"
)

// version orders the contents of a page.
type version struct {
	epoch   wire.Epoch
	version uint64
}

func (v version) newer(o version) bool {
	return v.epoch > o.epoch || v.epoch == o.epoch && v.version > o.version
}

// Primary is the owner's side of all vRegions that this mComponent owns and that have holders. Use one goroutine at a time: with the
// lock under which pages are flushed.
type Primary struct {
	o       Options
	regions map[uint32]*owned   // by slot
	slots   []uint32            // of regions, ascending
	sent    map[uint64]*message // not answered yet
	spare   []*message          // that were answered, for the next ones
	lastID  uint64
	stats   Stats
}

// Stats counts what a Primary did since its start.
type Stats struct {
	Regions     int    // with redundancy now
	Sent        uint64 // pages, those of fills and those sent again included
	Filled      uint64 // pages that went to holders that are filled
	Retries     uint64 // messages that got no answer, or not that they wanted
	Skipped     uint64 // pages that a full log has skipped
	Unprotected int    // of them those that were not written again
	Lost        int    // pages of which only the version is known
}

// owned is one vRegion.
type owned struct {
	slot    uint32
	cfg     wire.RegionConfig
	barrier uint32
	links   []*link
	writes  map[wire.PageNo]*write
	spare   []*write // that are done, for the next ones
	unmaps  []*unmap // in the order of their barriers
	lost    map[wire.PageNo]version
	skipped map[wire.PageNo]uint32  // by link, those that have skipped it
	deposed *wire.Error             // a holder knows a newer owner
	lists   bool                    // pages were asked for
	known   bool                    // a checkpoint is
	cut     wire.Cut                // its number
	preLost map[wire.PageNo]version // pages as they were then of which only the version is known
}

// link is a holder as its owner sees it.
type link struct {
	to        wire.Holder
	index     uint32
	fresh     bool // it forgets what it has when it is opened
	opened    bool
	opening   bool
	out       int // messages with pages that are under way
	queue     []wire.PageNo
	next      int // in queue
	filling   bool
	listed    bool          // fill is known
	fill      []wire.PageNo // what it is to get, ascending; shared by those that are filled together
	filled    int           // of fill
	underFill int           // of them queued or under way
	unmapping bool
	attempts  int
	waits     bool
	due       time.Duration
	why       *wire.Error // of the last failure
}

// write is a page that some holder has not got yet in its newest version.
type write struct {
	gen     uint32 // counts the flushes while it is outstanding
	got     []got  // by link
	waiters []waiter
}

type got struct {
	gen    uint32
	queued bool
	out    uint64 // the message that is under way
	fill   bool
}

type waiter struct {
	gen  uint32
	call uint64
}

// what is an unmap, or what is ordered with the writes as one.
type what uint8

const (
	unmapped what = 0
	told     what = 1 // a checkpoint
	back     what = 2 // the way back to one
)

// unmap is one that some holder has not heard of.
type unmap struct {
	is            what
	cut           wire.Cut
	process       wire.Epoch
	barrier       uint32
	start, length uint64
	got           []bool // by link
	call          uint64
}

type message struct {
	id      uint64
	kind    EffectKind
	r       *owned
	l       *link
	page    wire.PageNo
	gen     uint32
	config  uint64
	epoch   wire.Epoch
	barrier uint32
}

// NewPrimary makes the owner's side. The options have been validated.
func NewPrimary(o Options) *Primary {
	return &Primary{o: o, regions: map[uint32]*owned{}, sent: map[uint64]*message{}}
}

// Stats returns the counts.
func (p *Primary) Stats() Stats {
	s := p.stats
	s.Regions = len(p.slots)
	for _, slot := range p.slots {
		r := p.regions[slot]
		s.Unprotected += len(r.skipped)
		s.Lost += len(r.lost)
	}
	return s
}

// Redundant reports whether a slot's vRegion has a configuration.
func (p *Primary) Redundant(slot uint32) bool { return p.regions[slot] != nil }

// Configure takes a configuration for a slot; one that is not newer than the one that is there changes nothing.
func (p *Primary) Configure(now time.Duration, slot uint32, cfg wire.RegionConfig, out []Effect) []Effect {
	r := p.regions[slot]
	if cfg.Config == 0 || r != nil && !cfg.Newer(r.cfg.Epoch, r.cfg.Config) {
		return out
	}
	if r == nil {
		r = &owned{slot: slot, writes: map[wire.PageNo]*write{}, lost: map[wire.PageNo]version{}, preLost: map[wire.PageNo]version{}, skipped: map[wire.PageNo]uint32{}}
		p.regions[slot] = r
		i, _ := slices.BinarySearch(p.slots, slot)
		p.slots = slices.Insert(p.slots, i, slot)
	}
	old := r.links
	r.cfg, r.deposed, r.links = cfg, nil, make([]*link, len(cfg.Holders))
	from := make([]int, len(r.links)) // of the links before, or -1
	for i, h := range cfg.Holders {
		from[i] = slices.IndexFunc(old, func(l *link) bool { return l.to.Node == h.Node && l.to.Member == h.Member && l.index == h.Index })
		if from[i] < 0 {
			r.links[i] = &link{to: h, index: h.Index, fresh: h.Filling, filling: h.Filling}
			r.lists = r.lists || h.Filling
			continue
		}
		l := *old[from[i]] // what was sent under the older configuration is forgotten
		l.to, l.opened, l.opening, l.unmapping, l.out, l.waits, l.attempts = h, false, false, false, 0, false, 0
		l.queue, l.next, l.underFill = nil, 0, 0
		if l.filling && !h.Filling { // GMM has heard that it is filled, or takes it for filled
			l.filling = false
		}
		r.links[i] = &l
	}
	for i, l := range old {
		p.forgetSent(l)
		// Started again, or with another share: what it has is gone, or cleared when it is opened. A drop that it heard after that would take what it was given since.
		again := slices.ContainsFunc(r.links, func(n *link) bool { return n.to.Node == l.to.Node })
		if !slices.Contains(from, i) && !again {
			out = append(out, Effect{Kind: Drop, Slot: slot, To: l.to, Drop: &wire.ReplicaRef{PID: cfg.PID, Region: cfg.Region, Epoch: cfg.Epoch, Config: cfg.Config}})
		}
	}
	for page, bits := range r.skipped { // no order: each by itself
		delete(r.skipped, page)
		for i := range r.links {
			if from[i] >= 0 && bits>>from[i]&1 != 0 {
				r.skip(page, i, true)
			}
		}
	}
	for _, page := range sortedPages(r.writes) {
		w := r.writes[page]
		before := w.got
		w.got = make([]got, len(r.links))
		for i := range r.links {
			if from[i] >= 0 {
				w.got[i] = got{gen: before[from[i]].gen, fill: before[from[i]].fill}
			}
			if w.got[i].gen < w.gen {
				w.got[i].queued = true
				r.links[i].queue = append(r.links[i].queue, page)
				if w.got[i].fill {
					r.links[i].underFill++
				}
			}
		}
	}
	for _, u := range r.unmaps {
		before := u.got
		u.got = make([]bool, len(r.links))
		for i := range r.links {
			if from[i] >= 0 {
				u.got[i] = before[from[i]]
			}
		}
	}
	out = p.settle(r, out)
	if r.lists {
		out = append(out, Effect{Kind: List, Slot: slot})
	}
	return p.pump(now, r, out)
}

func sortedPages[V any](m map[wire.PageNo]V) []wire.PageNo {
	list := make([]wire.PageNo, 0, len(m))
	for p := range m {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

// Listed gives the flushed pages of a slot, in any order, for List. The slice is the Primary's from now on.
func (p *Primary) Listed(now time.Duration, slot uint32, pages []wire.PageNo, out []Effect) []Effect {
	r := p.regions[slot]
	if r == nil || !r.lists {
		return out
	}
	r.lists = false
	pages = append(append(pages, sortedPages(r.lost)...), sortedPages(r.preLost)...)
	slices.Sort(pages)
	pages = slices.Compact(pages)
	for _, l := range r.links {
		if l.filling && !l.listed {
			l.fill, l.listed = pages, true
		}
	}
	return p.pump(now, r, out)
}

// Write takes note that a flush of a page was applied, or found as old: waiter is answered when every holder has the page as it is now, or newer.
func (p *Primary) Write(now time.Duration, slot uint32, page wire.PageNo, call uint64, out []Effect) []Effect {
	r := p.regions[slot]
	if r == nil {
		return append(out, Effect{Kind: Ack, Slot: slot, Waiter: call})
	}
	if r.deposed != nil {
		return append(out, Effect{Kind: Fail, Slot: slot, Waiter: call, Err: r.deposed})
	}
	if k := r.cfg.Policy.Data; r.cfg.Policy.Kind == wire.MemoryErasure && len(r.links) < int(k) {
		return append(out, Effect{Kind: Fail, Slot: slot, Waiter: call, Err: wire.Errorf(wire.KindFailed, "vRegion %d of process %d has %d holders, and %d shares make a page: it is lost", r.cfg.Region, r.cfg.PID, len(r.links), k)})
	}
	if len(r.links) == 0 {
		return append(out, Effect{Kind: Ack, Slot: slot, Waiter: call})
	}
	w := r.writes[page]
	if w == nil {
		w = r.outstanding(page)
	}
	w.gen++
	w.waiters = append(w.waiters, waiter{w.gen, call})
	for i, l := range r.links {
		if g := &w.got[i]; !g.queued && g.out == 0 {
			g.queued = true
			l.queue = append(l.queue, page)
		}
	}
	return p.pump(now, r, out)
}

// Unmap takes note that a range was unmapped and its pages freed: call is answered when every holder has done the same. Flushes of its pages
// that wait are acknowledged: nobody reads what they wrote.
func (p *Primary) Unmap(now time.Duration, slot uint32, start, length uint64, call uint64, out []Effect) []Effect {
	r := p.regions[slot]
	if r == nil {
		return append(out, Effect{Kind: Ack, Slot: slot, Waiter: call})
	}
	if r.deposed != nil {
		return append(out, Effect{Kind: Fail, Slot: slot, Waiter: call, Err: r.deposed})
	}
	in := func(page wire.PageNo) bool {
		a := uint64(page) << wire.PageShift
		return a >= start && a-start < length
	}
	outstanding := sortedPages(r.writes)
	r.refill(slices.DeleteFunc(slices.Clone(outstanding), func(page wire.PageNo) bool { return !in(page) }))
	for _, page := range outstanding {
		if w := r.writes[page]; in(page) {
			for _, x := range w.waiters {
				out = append(out, Effect{Kind: Ack, Slot: slot, Waiter: x.call})
			}
			r.forget(page, w)
		}
	}
	for page := range r.lost { // no order: each is deleted
		if in(page) {
			r.unlose(page)
		}
	}
	for page := range r.skipped {
		if in(page) {
			delete(r.skipped, page)
		}
	}
	if len(r.links) == 0 {
		return append(out, Effect{Kind: Ack, Slot: slot, Waiter: call})
	}
	r.barrier++
	r.unmaps = append(r.unmaps, &unmap{barrier: r.barrier, start: start, length: length, got: make([]bool, len(r.links)), call: call})
	return p.pump(now, r, out)
}

// outstanding begins a page of which there is nothing outstanding.
func (r *owned) outstanding(page wire.PageNo) *write {
	w := take(&r.spare)
	w.gen, w.waiters = 0, w.waiters[:0]
	if cap(w.got) < len(r.links) {
		w.got = make([]got, len(r.links))
	}
	w.got = w.got[:len(r.links)]
	clear(w.got)
	r.writes[page] = w
	return w
}

// maxSpare bounds what is kept for the next of its kind.
const maxSpare = 1024

func take[T any](spare *[]*T) *T {
	if n := len(*spare); n > 0 {
		x := (*spare)[n-1]
		*spare = (*spare)[:n-1]
		return x
	}
	return new(T)
}

func keep[T any](spare *[]*T, x *T) {
	if len(*spare) < maxSpare {
		*spare = append(*spare, x)
	}
}

// forget drops a page that is outstanding. It may stand in queues still.
func (r *owned) forget(page wire.PageNo, w *write) {
	for i, l := range r.links {
		if w.got[i].fill {
			l.underFill--
			l.filled++
		}
	}
	delete(r.writes, page)
}

// Lose takes note that of a page only the version is known: a full log had skipped it, and its owner was lost.
func (p *Primary) Lose(slot uint32, page wire.PageNo, epoch wire.Epoch, v uint64) {
	if r := p.regions[slot]; r != nil {
		r.lost[page] = version{epoch, v}
	}
}

// Lost gives the error for a page that is lost, or nil.
func (p *Primary) Lost(slot uint32, page wire.PageNo) error {
	r := p.regions[slot]
	if r == nil || len(r.lost) == 0 {
		return nil
	}
	v, ok := r.lost[page]
	if !ok {
		return nil
	}
	return wire.Errorf(wire.KindFailed, "page %#x of process %d is lost: a full log had skipped its version %d, and its owner was lost", uint64(page)<<wire.PageShift, r.cfg.PID, v.version)
}

// Flushing is asked before a flush is applied: old reports that it is older than one that was lost, so that it changes nothing. Otherwise the page is
// not lost any more.
func (p *Primary) Flushing(slot uint32, page wire.PageNo, epoch wire.Epoch, v uint64) (old bool) {
	r := p.regions[slot]
	if r == nil {
		return false
	}
	lost, ok := r.lost[page]
	if ok && lost.newer(version{epoch, v}) { // the very one that is lost may come again: its sender had not heard that it was acknowledged
		return true
	}
	if ok {
		r.unlose(page)
	}
	return false
}

// LostPages lists the pages of a slot that are lost, ascending, at most n.
func (p *Primary) LostPages(slot uint32, n int) []wire.PageNo {
	r := p.regions[slot]
	if r == nil {
		return nil
	}
	list := sortedPages(r.lost)
	return list[:min(len(list), n)]
}

// LostIn is how many pages of a slot are lost.
func (p *Primary) LostIn(slot uint32) uint64 {
	if r := p.regions[slot]; r != nil {
		return uint64(len(r.lost))
	}
	return 0
}

// Close ends the redundancy of a slot: its vRegion is served elsewhere, or its process has ended. Then drop is true, and the holders are
// told to forget it.
func (p *Primary) Close(slot uint32, drop bool, why *wire.Error, out []Effect) []Effect {
	r := p.regions[slot]
	if r == nil {
		return out
	}
	out = p.fail(r, why, out)
	for _, l := range r.links {
		p.forgetSent(l)
		if drop {
			out = append(out, Effect{Kind: Drop, Slot: slot, To: l.to, Drop: &wire.ReplicaRef{PID: r.cfg.PID, Region: r.cfg.Region, Epoch: r.cfg.Epoch, Config: r.cfg.Config}})
		}
	}
	delete(p.regions, slot)
	i, _ := slices.BinarySearch(p.slots, slot)
	p.slots = slices.Delete(p.slots, i, i+1)
	return out
}

// forgetSent forgets what is under way to a link that is no more: answers under an older configuration say nothing.
func (p *Primary) forgetSent(l *link) {
	for id, m := range p.sent { // no order: each is deleted
		if m.l == l {
			delete(p.sent, id)
		}
	}
}

// fail answers everybody who waits.
func (p *Primary) fail(r *owned, why *wire.Error, out []Effect) []Effect {
	for _, page := range sortedPages(r.writes) {
		w := r.writes[page]
		for _, x := range w.waiters {
			out = append(out, Effect{Kind: Fail, Slot: r.slot, Waiter: x.call, Err: why})
		}
		r.forget(page, w)
	}
	for _, u := range r.unmaps {
		out = append(out, Effect{Kind: Fail, Slot: r.slot, Waiter: u.call, Err: why})
	}
	r.unmaps = nil
	return out
}

// Config gives the configuration of a slot, to whoever owns it next; its Config is 0 if it has none. A holder that was filled here is not called Filling any more:
// GMM may have heard that it has everything, and the next owner would have it forget that and begin anew.
func (p *Primary) Config(slot uint32) wire.RegionConfig {
	r := p.regions[slot]
	if r == nil {
		return wire.RegionConfig{}
	}
	cfg := r.cfg
	cfg.Holders = slices.Clone(cfg.Holders)
	for i, l := range r.links {
		cfg.Holders[i].Filling = l.filling && !l.full()
	}
	return cfg
}

// Status says how far the owner has come with the configuration of a slot.
func (p *Primary) Status(slot uint32) wire.RegionConfigRep {
	r := p.regions[slot]
	if r == nil {
		return wire.RegionConfigRep{}
	}
	s := wire.RegionConfigRep{Config: r.cfg.Config, Unprotected: uint64(len(r.skipped))}
	for _, l := range r.links {
		if l.filling {
			s.Copied += uint64(l.filled)
			s.Known += uint64(len(l.fill))
		}
		if l.inSync() {
			s.InSync = append(s.InSync, l.to.Node)
		} else if l.why != nil && s.Text == "" {
			s.Text = fmt.Sprintf("%s: %v", l.to.Node, l.why)
		}
	}
	slices.Sort(s.InSync)
	if r.deposed != nil {
		s.Text = r.deposed.Error()
	}
	return s
}

func (l *link) inSync() bool {
	return l.opened && (!l.filling || l.full())
}

// full reports whether a link that is filled has everything.
func (l *link) full() bool { return l.listed && l.filled == len(l.fill) }

// pump sends what may be sent.
func (p *Primary) pump(now time.Duration, r *owned, out []Effect) []Effect {
	if r.deposed != nil {
		return out
	}
	for i, l := range r.links {
		if l.waits {
			continue
		}
		if !l.opened {
			if !l.opening {
				l.opening = true
				e := Effect{Kind: Open, Open: &wire.ReplicaOpenReq{PID: r.cfg.PID, Region: r.cfg.Region, Epoch: r.cfg.Epoch, Config: r.cfg.Config, Policy: r.cfg.Policy,
					Index: l.index, Fresh: l.fresh, Member: l.to.Member}}
				out = p.send(r, l, message{}, e, out)
			}
			continue
		}
		if !l.unmapping {
			if j := slices.IndexFunc(r.unmaps, func(u *unmap) bool { return !u.got[i] }); j >= 0 {
				u := r.unmaps[j]
				l.unmapping = true
				m := message{gen: u.barrier}
				if u.is == unmapped {
					out = p.send(r, l, m, Effect{Kind: Unmap, Unmap: &wire.ReplicaUnmapReq{PID: r.cfg.PID, Region: r.cfg.Region, Epoch: r.cfg.Epoch,
						Config: r.cfg.Config, Barrier: u.barrier, Start: u.start, Length: u.length}}, out)
				} else {
					out = p.send(r, l, m, Effect{Kind: Cut, Cut: &wire.ReplicaCutReq{PID: r.cfg.PID, Region: r.cfg.Region, Epoch: r.cfg.Epoch, Config: r.cfg.Config,
						Barrier: u.barrier, Back: u.is == back, Cut: u.cut, Process: u.process}}, out)
				}
			}
		}
		for l.out < p.o.WindowMessages && !r.goesBack(i) {
			page, ok := r.nextPage(i, l, p.o.WindowMessages/2)
			if !ok {
				break
			}
			w := r.writes[page]
			g := &w.got[i]
			g.queued, g.out = false, p.lastID+1
			l.out++
			p.stats.Sent++
			e := Effect{Kind: Send, Kept: l.filling, Write: wire.ReplicaWrite{PID: r.cfg.PID, Page: page, OwnerEpoch: r.cfg.Epoch, Config: r.cfg.Config, Barrier: r.barrier}}
			if g.fill {
				e.Write.Flags |= wire.ReplicaFill
			}
			if v, ok := r.lost[page]; ok {
				e.Write.Flags |= wire.ReplicaLost
				e.Write.ProcessEpoch, e.Write.Version = v.epoch, v.version
			}
			out = p.send(r, l, message{page: page, gen: w.gen}, e, out)
		}
	}
	return out
}

// nextPage gives the next page for a link: what was flushed first, then what it is filled with.
func (r *owned) nextPage(i int, l *link, fills int) (wire.PageNo, bool) {
	for l.next < len(l.queue) {
		page := l.queue[l.next]
		if l.next++; l.next == len(l.queue) {
			l.queue, l.next = l.queue[:0], 0
		}
		if w := r.writes[page]; w != nil && w.got[i].queued {
			return page, true
		}
	}
	for l.filling && l.underFill < fills && l.filled+l.underFill < len(l.fill) {
		page := l.fill[l.filled+l.underFill]
		w := r.writes[page]
		if w == nil {
			w = r.outstanding(page)
			w.gen = 1
			for j := range w.got {
				w.got[j].gen = 1
			}
		}
		g := &w.got[i]
		switch {
		case g.fill:
			l.filled++ // it stands in the list twice, as it was unmapped since, and what was sent after that is on its way
			continue
		case g.out != 0 || g.queued || g.gen < w.gen:
			g.fill = true // it is on its way, as it was flushed since
			l.underFill++
			continue
		case w.gen > 1 || len(w.waiters) > 0:
			l.filled++ // this one has got what was flushed since
			continue
		}
		g.fill, g.gen = true, 0
		l.underFill++
		return page, true
	}
	return 0, false
}

func (p *Primary) send(r *owned, l *link, m message, e Effect, out []Effect) []Effect {
	p.lastID++
	m.id, m.kind, m.r, m.l, m.epoch, m.config, m.barrier = p.lastID, e.Kind, r, l, r.cfg.Epoch, r.cfg.Config, r.barrier
	at := take(&p.spare)
	*at = m
	p.sent[m.id] = at
	e.ID, e.Slot, e.To = m.id, r.slot, l.to
	return append(out, e)
}

// Answered reports the answer to a message.
func (p *Primary) Answered(now time.Duration, id uint64, a Answer, out []Effect) []Effect {
	at := p.sent[id]
	if at == nil {
		return out
	}
	delete(p.sent, id)
	m := *at
	*at = message{}
	keep(&p.spare, at)
	r, l := m.r, m.l
	i := slices.Index(r.links, l)
	var w *write
	switch m.kind {
	case Open:
		l.opening = false
	case Unmap, Cut:
		l.unmapping = false
	case Send:
		l.out--
		if w = r.writes[m.page]; w != nil && w.got[i].out == id {
			w.got[i].out = 0
		} else {
			w = nil // it was unmapped since
		}
	}
	if a.Err != nil && a.Err.Kind != wire.KindStale && m.kind == Send && len(r.links) > 1 && canary.On(canary.StaleHolder) {
		a.Err = nil
	}
	if a.Err != nil {
		if w != nil && w.got[i].gen < w.gen {
			w.got[i].queued = true
			l.queue = append(l.queue, m.page)
		}
		p.stats.Retries++
		l.why = a.Err
		switch {
		case a.Err.Kind == wire.KindStale && m.barrier < r.barrier:
			return p.pump(now, r, out) // an unmap has overtaken it
		case a.Err.Kind == wire.KindStale:
			r.deposed = &wire.Error{Kind: wire.KindStale, Text: fmt.Sprintf("vRegion %d of process %d has a newer owner, as %s says: %s", r.cfg.Region, r.cfg.PID, l.to.Node, a.Err.Text)}
			return p.fail(r, r.deposed, out)
		}
		l.attempts++
		l.waits, l.due = true, now+p.o.pause(l.attempts)
		return out
	}
	l.attempts, l.why = 0, nil
	switch m.kind {
	case Open:
		l.opened, l.fresh = true, false
		if a.Skipped && !l.filling { // which they are only the owner before knew: it gets all again, and says which it has not got
			out = p.fillAgain(r, i, out)
		}
	case Unmap, Cut:
		for _, u := range r.unmaps {
			if u.barrier == m.gen {
				u.got[i] = true
			}
		}
		out = p.settle(r, out)
	case Send:
		if w == nil {
			break
		}
		g := &w.got[i]
		if g.fill {
			g.fill = false
			l.underFill--
			l.filled++
			p.stats.Filled++
		}
		g.gen = max(g.gen, m.gen)
		r.skip(m.page, i, a.Skipped)
		if a.Skipped {
			p.stats.Skipped++
		}
		if g.gen < w.gen {
			g.queued = true
			l.queue = append(l.queue, m.page)
		}
		out = p.got(r, m.page, w, out)
	}
	return p.pump(now, r, out)
}

// skip takes note whether a holder has skipped a page.
func (r *owned) skip(page wire.PageNo, i int, skipped bool) {
	if !skipped && len(r.skipped) == 0 {
		return
	}
	bit := uint32(1) << i
	if skipped {
		r.skipped[page] |= bit
	} else if r.skipped[page] &^= bit; r.skipped[page] == 0 {
		delete(r.skipped, page)
	}
}

// got answers those for whom every holder has got the page.
func (p *Primary) got(r *owned, page wire.PageNo, w *write, out []Effect) []Effect {
	all := w.gen
	for i := range w.got {
		all = min(all, w.got[i].gen)
	}
	n := 0
	for n < len(w.waiters) && w.waiters[n].gen <= all {
		out = append(out, Effect{Kind: Ack, Slot: r.slot, Waiter: w.waiters[n].call})
		n++
	}
	w.waiters = w.waiters[:copy(w.waiters, w.waiters[n:])]
	if all == w.gen {
		delete(r.writes, page)
		keep(&r.spare, w)
		if r.cfg.Policy.Kind == wire.MemoryErasure {
			out = append(out, Effect{Kind: Settled, Slot: r.slot, Write: wire.ReplicaWrite{PID: r.cfg.PID, Page: page}})
		}
	}
	return out
}

// Awaits reports whether the answer to a message is still waited for: its holder, its page and its vRegion are what they were.
func (p *Primary) Awaits(id uint64) bool {
	m := p.sent[id]
	return m != nil && m.r.writes[m.page] != nil
}

// settle answers whoever waits for nobody any more.
func (p *Primary) settle(r *owned, out []Effect) []Effect {
	for _, page := range sortedPages(r.writes) {
		out = p.got(r, page, r.writes[page], out)
	}
	kept := r.unmaps[:0]
	for _, u := range r.unmaps {
		if slices.Contains(u.got, false) {
			kept = append(kept, u)
		} else {
			out = append(out, Effect{Kind: Ack, Slot: r.slot, Waiter: u.call})
		}
	}
	clear(r.unmaps[len(kept):])
	r.unmaps = kept
	return out
}

// Due gives when Tick has something to do; false if it waits for answers only.
func (p *Primary) Due() (due time.Duration, ok bool) {
	for _, slot := range p.slots {
		for _, l := range p.regions[slot].links {
			if l.waits && (!ok || l.due < due) {
				due, ok = l.due, true
			}
		}
	}
	return due, ok
}

// Tick goes on after pauses.
func (p *Primary) Tick(now time.Duration, out []Effect) []Effect {
	for _, slot := range p.slots {
		r, again := p.regions[slot], false
		for _, l := range r.links {
			if l.waits && now >= l.due {
				l.waits, again = false, true
			}
		}
		if again {
			out = p.pump(now, r, out)
		}
	}
	return out
}

// CheckInvariants reports a broken one, for tests.
func (p *Primary) CheckInvariants() error {
	if !slices.IsSorted(p.slots) || len(p.slots) != len(p.regions) {
		return fmt.Errorf("replica: %d vRegions at %d slots, which are in order: %t", len(p.regions), len(p.slots), slices.IsSorted(p.slots))
	}
	for _, slot := range p.slots {
		r := p.regions[slot]
		if len(r.links) != len(r.cfg.Holders) {
			return fmt.Errorf("replica: slot %d has %d holders of %d", slot, len(r.links), len(r.cfg.Holders))
		}
		for _, u := range r.unmaps {
			if len(u.got) != len(r.links) || !slices.Contains(u.got, false) {
				return fmt.Errorf("replica: slot %d: unmap %d is outstanding at nobody", slot, u.barrier)
			}
		}
		for page, w := range r.writes {
			if len(w.got) != len(r.links) {
				return fmt.Errorf("replica: page %#x of slot %d is known of %d holders", uint64(page), slot, len(w.got))
			}
			all := w.gen
			for i, g := range w.got {
				all = min(all, g.gen)
				if l := r.links[i]; g.gen > w.gen || g.gen < w.gen && !g.queued && g.out == 0 && r.deposed == nil {
					return fmt.Errorf("replica: page %#x of slot %d: %s has flush %d of %d, and nothing is under way", uint64(page), slot, l.to.Node, g.gen, w.gen)
				}
			}
			if all == w.gen {
				return fmt.Errorf("replica: page %#x of slot %d is outstanding at nobody", uint64(page), slot)
			}
			if !slices.IsSortedFunc(w.waiters, func(a, b waiter) int { return cmp.Compare(a.gen, b.gen) }) || len(w.waiters) > 0 && w.waiters[0].gen <= all {
				return fmt.Errorf("replica: page %#x of slot %d: somebody waits who is not to", uint64(page), slot)
			}
		}
		for i, l := range r.links {
			fills, under := 0, 0
			for _, w := range r.writes {
				if w.got[i].fill {
					fills++
				}
			}
			for _, m := range p.sent {
				if m.l == l && m.kind == Send {
					under++
				}
			}
			if fills != l.underFill || l.out != under || l.out > p.o.WindowMessages || l.filled+l.underFill > len(l.fill) || l.next > len(l.queue) {
				return fmt.Errorf("replica: slot %d, %s: %d of %d fills under way, %d done of %d, %d of %d messages", slot, l.to.Node, fills, l.underFill, l.filled, len(l.fill), under, l.out)
			}
		}
	}
	return nil
}
