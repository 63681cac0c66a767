package observe

// ring keeps the last of what is put in.
type ring[T any] struct {
	max   int
	items []T
	next  int // where the oldest is once it is full
}

func (r *ring[T]) put(v T) {
	if len(r.items) < r.max {
		r.items = append(r.items, v)
		return
	}
	r.items[r.next] = v
	r.next = (r.next + 1) % r.max
}

// all gives a copy, oldest first.
func (r *ring[T]) all() []T {
	out := make([]T, 0, len(r.items))
	out = append(out, r.items[r.next:]...)
	return append(out, r.items[:r.next]...)
}
