package replica

import (
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// What is in a backup file that is left, because its sComponent drains, died, or lost it, is sent again by the owners: they have every page. Each
// vRegion of which something is there is asked for in turn, until nothing is; a page that comes is taken though it is not newer, and then
// its block is free. As long as the file answers it is read as before, so that a drain leaves nothing with fewer copies.

// leaves reports whether a page is in a file that is left.
func (h *Holder) leaves(e *entry) bool {
	if e == nil || e.where != saved {
		return false
	}
	f := h.file(e.file)
	return f != nil && f.left
}

// comesAgain reports whether a write is what is wanted of a page that is in a file that is left.
func (h *Holder) comesAgain(e *entry, w wire.ReplicaWrite) bool {
	return h.leaves(e) && e.version == version{w.ProcessEpoch, w.Version} && w.Flags&wire.ReplicaLost == 0
}

// leaving reports whether there is something in files that are left.
func (h *Holder) leaving() bool {
	return slices.ContainsFunc(h.files.list, func(f *file) bool { return f.left && f.used > 0 })
}

// later is what is to be done about files when nothing else is: the owner of the next vRegion is asked, or GSM.
func (h *Holder) later(now time.Duration) (s FileStep, ok bool) {
	switch {
	case h.files.step != 0:
		return s, false
	case !h.leaving():
		h.files.again = nil
	case len(h.files.again) == 0 && now >= h.files.againDue:
		h.files.againDue = now + h.o.again()
		for _, r := range h.sorted() {
			if r.owner != "" && !r.promoted && h.hasLeaving(r) {
				h.files.again = append(h.files.again, r.key)
			}
		}
	}
	if h.savesFirst(now) {
		return s, false
	}
	for len(h.files.again) > 0 {
		r := h.regions[h.files.again[0]]
		h.files.again = slices.Clone(h.files.again[1:])
		if r != nil && r.owner != "" && !r.promoted {
			h.files.asked = true
			return FileStep{
				Kind: AskOwner, Owner: r.owner, Addr: r.addr,
				Again: wire.ReplicaAgainReq{PID: r.pid, Region: r.region, Epoch: r.epoch, Config: r.config, Holder: h.self},
			}, true
		}
	}
	if h.current() == nil || now < h.files.check {
		return s, false
	}
	h.files.check, h.files.asked = now+h.o.check(), true
	return FileStep{Kind: AskFile, Req: h.askFile()}, true
}

// savesFirst reports whether pages are to be saved before the next question: there may be no room for what an owner sends.
func (h *Holder) savesFirst(now time.Duration) bool {
	due, is := h.SaveDue()
	return h.files.asked && is && now >= due
}

func (h *Holder) hasLeaving(r *held) bool {
	for _, list := range []*table{&r.pages, &r.pre} {
		for _, e := range list.all() {
			if h.leaves(e) {
				return true
			}
		}
	}
	return false
}

// LaterDue gives when NextFile has something that comes again and again while there are files; false if there are none.
func (h *Holder) LaterDue() (due time.Duration, is bool) {
	if _, first := h.fileStep(); first || h.files.step != 0 { // then FileDue tells
		return 0, false
	}
	if h.current() != nil {
		due, is = h.files.check, true
	}
	if h.leaving() {
		at := h.files.againDue
		if len(h.files.again) > 0 {
			at = 0
		}
		if !is || at < due {
			due, is = at, true
		}
	}
	return due, is
}

// Again has a holder of a slot filled anew, as it asks for pages that were in a backup file: it takes those, and what it has it knows as
// old. One that does not hold under this configuration, or is being filled, gets nothing: it asks again.
func (p *Primary) Again(now time.Duration, slot uint32, q wire.ReplicaAgainReq, out []Effect) []Effect {
	r := p.regions[slot]
	if r == nil || r.cfg.Epoch != q.Epoch || r.cfg.Config != q.Config {
		return out
	}
	i := slices.IndexFunc(r.links, func(l *link) bool { return l.to.Node == q.Holder })
	if i < 0 || !r.links[i].opened || r.links[i].filling && !r.links[i].full() {
		return out
	}
	out = p.fillAgain(r, i, out)
	return p.pump(now, r, out)
}

// fillAgain has a holder filled anew, with what it has left.
func (p *Primary) fillAgain(r *owned, i int, out []Effect) []Effect {
	l := r.links[i]
	l.filling, l.listed, l.fill, l.filled, l.underFill = true, false, nil, 0, 0
	for _, w := range r.writes { // no order: each by itself; what was under way for a fill before counts for none
		w.got[i].fill = false
	}
	if !r.lists {
		r.lists = true
		out = append(out, Effect{Kind: List, Slot: r.slot})
	}
	return out
}
