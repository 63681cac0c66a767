package policy

import "fmt"

// MaxFuture bounds the references of a Future: at 4 bytes each that is 1 GiB.
const MaxFuture = 1 << 28

// never is the next use of a page that is not used again.
const never = ^uint32(0)

// Future says of each reference that will be made when its page is used next. It
// is built in a first pass over the references, in their order; whoever has one
// for a policy does not change it any more. It costs 4 bytes a reference, and
// while it is built a map entry a page.
//
//	f := policy.NewFuture()
//	for each reference { err := f.Add(page) } // and f.Forget(page, page) where it is unmapped
//	p, err := policy.New("belady", sets, ways, policy.Options{Future: f})
type Future struct {
	next []uint32          // by reference, from 0: the next to the same page, or never
	last map[uint64]uint32 // by page: its last reference so far; looked up only
}

// NewFuture makes a future without references.
func NewFuture() *Future { return &Future{last: map[uint64]uint32{}} }

// Add adds the next reference. It fails beyond MaxFuture of them.
func (f *Future) Add(page uint64) error {
	if len(f.next) == MaxFuture {
		return fmt.Errorf("policy: belady must know all references beforehand, and there are more than %d", MaxFuture)
	}
	at := uint32(len(f.next))
	if before, ok := f.last[page]; ok {
		f.next[before] = at
	}
	f.last[page] = at
	f.next = append(f.next, never)
	return nil
}

// Forget says that the pages of [first, last] are unmapped here: whoever keeps one
// until its next reference, if there is one, gains nothing. It costs as much as
// there are pages in the range, or pages that were referenced, if those are fewer.
func (f *Future) Forget(first, last uint64) {
	if last-first >= uint64(len(f.last)) {
		for page := range f.last { // the order does not show
			if first <= page && page <= last {
				delete(f.last, page)
			}
		}
		return
	}
	for page := first; page <= last; page++ {
		delete(f.last, page)
	}
}

// End lets go of what only Add needs.
func (f *Future) End() { f.last = nil }

// Len is the number of references.
func (f *Future) Len() int { return len(f.next) }

// after gives the next use of the page of a reference.
func (f *Future) after(ref uint64) uint32 {
	if ref >= uint64(len(f.next)) {
		return never
	}
	return f.next[ref]
}
