package membership

import "splitkernel/netlayer/wire"

// A listing is answered in pages, each a read of its own: what changes between two of them may show in neither or, if it
// moves in the order of the listing, in both.
const (
	// MaxPage bounds the items of a page: a state is read while its commands wait, some 1 ms for so many.
	MaxPage = 1024
	// MaxPageBytes is about how many bytes a page takes at most beside its last item, so that it fits into a reply with that.
	MaxPageBytes = 256 << 10
)

// Cursor is where a page begins: at the first item that does not come before it. The zero value is the begin. What its fields
// are is said where a query of its kind is.
type Cursor struct {
	ID   uint64
	Part uint64
	Node wire.NodeID
}

// Page is the answer to a query for a listing.
type Page[T any] struct {
	Items []T
	More  bool
	Next  Cursor // where to go on, if there is More
}

// Budget is what a page may still take. Use NewBudget.
type Budget struct{ items, bytes int }

// NewBudget is that of a page of at most limit items; 0 and what is above MaxPage are MaxPage.
func NewBudget(limit uint64) Budget {
	if limit == 0 || limit > MaxPage {
		limit = MaxPage
	}
	return Budget{items: int(limit), bytes: MaxPageBytes}
}

// Take reports whether there is room for one more item, and charges it. An item that is larger than all that is left is the last.
func (b *Budget) Take(bytes int) bool {
	if b.items <= 0 || b.bytes <= 0 {
		return false
	}
	b.items, b.bytes = b.items-1, b.bytes-bytes
	return true
}

// PageOf makes a page of the items of list, which is in the order of the listing. From is the position of the first, bytes about
// how many an item takes when encoded, at where a page begins with it.
func PageOf[T any](list []T, from int, limit uint64, bytes func(*T) int, at func(*T) Cursor) Page[T] {
	p := Page[T]{Items: []T{}}
	b := NewBudget(limit)
	for i := from; i < len(list); i++ {
		if !b.Take(bytes(&list[i])) {
			p.More, p.Next = true, at(&list[i])
			break
		}
		p.Items = append(p.Items, list[i])
	}
	return p
}
