package recovery

import "splitkernel/netlayer/wire"

// Checkpoints in a recovery. The source tells which was the last, and beside the pages as they are it has those that changed since as they were. While they come the process
// may unmap, make the next checkpoint, or be lost itself and go back: what comes later is taken for what it is then.

// As says what an entry that came is.
type As uint8

// What it is.
const (
	Nothing As = 0 // it is not wanted: it came before, or is older than what is here, or of no use any more
	Page    As = 1 // the page
	Kept    As = 2 // the page as it was at the last checkpoint
)

// Take says what is to be done with an entry that came. have says that the store has the page, flushed, and as new or newer; of a Kept one mark
// is what pagestore.Store.Keep wants.
func (r *Recovery) Take(e wire.PageEntry, have bool) (as As, mark uint32) {
	if r.Ended() || r.source < 0 || e.Page < r.first || uint64(e.Page-r.first) >= r.pages {
		return Nothing, 0
	}
	known := &r.here
	if e.Pre != 0 {
		known = &r.came
	}
	if known.has(r.first, e.Page) {
		return Nothing, 0
	}
	known.set(r.first, e.Page)
	if e.Pre == 0 {
		r.got++
	}
	as, mark = Page, r.kept.Cut.Pre()
	covered := r.kept.Known && r.kept.Cut.Covers(e.Epoch, e.Version)
	switch {
	case e.Pre != 0 && !(r.back.Known && e.Pre == r.back.Cut.Pre()):
		return Kept, e.Pre
	case r.back.Known && e.Epoch < r.back.Process && !r.back.Cut.Covers(e.Epoch, e.Version):
		return Nothing, 0 // of what the process has done since the checkpoint to which it went back
	case have || r.gone.has(r.first, e.Page):
		if as = Nothing; covered {
			as = Kept
		}
	}
	return as, mark
}

// Unmapped says that pages were unmapped: what a source has of them is not wanted, unless it is in a checkpoint.
func (r *Recovery) Unmapped(page wire.PageNo, n uint64) {
	switch {
	case r.phase != pulling || r.source < 0:
	case !r.kept.Known:
		r.have(page, n)
	default:
		for ; n > 0; page, n = page+1, n-1 {
			if page >= r.first && uint64(page-r.first) < r.pages {
				r.gone.set(r.first, page)
			}
		}
	}
}

// Cut says that the process has made a checkpoint. Pages that are unmapped are not in it.
func (r *Recovery) Cut(at wire.CutState) {
	if !at.Known || r.kept.Known && at.Cut.Number <= r.kept.Cut.Number {
		return
	}
	r.kept = at
	for i, w := range r.gone {
		r.here[i] |= w
		r.came[i] |= w
		r.gone[i] = 0
	}
}

// Rollback says that the process went back to a checkpoint, and the pages that are here with it.
func (r *Recovery) Rollback(at wire.CutState) {
	if !r.kept.Known || at.Cut.Number > r.kept.Cut.Number {
		r.kept = at // nothing was unmapped since
	}
	r.back = at
	clear(r.gone)
}

// bitmap is a set of pages of a vRegion.
type bitmap []uint64

func (b bitmap) has(first, page wire.PageNo) bool {
	at := uint64(page - first)
	return b[at/64]>>(at%64)&1 != 0
}

func (b bitmap) set(first, page wire.PageNo) {
	at := uint64(page - first)
	b[at/64] |= 1 << (at % 64)
}
