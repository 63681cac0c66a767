package replica

import (
	"time"

	"splitkernel/netlayer/wire"
)

// MaxWaitingPages bounds the pages of the messages that wait for room in the logs of an mComponent.
const MaxWaitingPages = 4096

// Waiting are the messages that wait for room in logs. Those of a vRegion are served in the order in which they came, and hold up no other's: a log
// that stays full, or a vRegion that refuses for another reason, keeps only its own. The zero value is empty.
type Waiting[T any] struct {
	list  []waits[T] // the first to come first
	pages int        // that they carry
}

// waits is one message.
type waits[T any] struct {
	of    key
	until time.Duration
	pages int
	what  T
}

// RegionOf is the vRegion of a page.
func (h *Holder) RegionOf(page wire.PageNo) wire.RegionNo {
	return wire.RegionNo(uint64(page) >> h.shift)
}

// Add has a message of pages wait up to a time, which is not before that of any other; false says that too many wait already.
func (w *Waiting[T]) Add(pid wire.PID, region wire.RegionNo, until time.Duration, pages int, what T) bool {
	if w.pages+pages > MaxWaitingPages {
		return false
	}
	w.list = append(w.list, waits[T]{key{pid, region}, until, pages, what})
	w.pages += pages
	return true
}

// Len is how many messages wait.
func (w *Waiting[T]) Len() int { return len(w.list) }

// Due gives when the first of them has waited long enough.
func (w *Waiting[T]) Due() (at time.Duration, is bool) {
	if len(w.list) == 0 {
		return 0, false
	}
	return w.list[0].until, true
}

// Retry serves the first message of each vRegion, and those behind it as long as they have room. Try serves one; it gives nil if that is to wait on, which one that
// has waited long enough (last) is not, else what ends it. Others may be added meanwhile, and nothing else may be done.
func (w *Waiting[T]) Retry(now time.Duration, try func(what T, last bool) (end func())) {
	held := map[key]bool{}
	for i := 0; i < len(w.list); {
		one := w.list[i]
		last := now >= one.until
		if held[one.of] && !last {
			i++
			continue
		}
		end := try(one.what, last)
		if end == nil {
			held[one.of] = true
			i++
			continue
		}
		copy(w.list[i:], w.list[i+1:])
		w.list[len(w.list)-1] = waits[T]{} // lets go of its bytes
		w.list = w.list[:len(w.list)-1]
		w.pages -= one.pages
		end()
	}
}

// Drop takes all messages out, in order.
func (w *Waiting[T]) Drop(end func(what T)) {
	list := w.list
	w.list, w.pages = nil, 0
	for _, one := range list {
		end(one.what)
	}
}
