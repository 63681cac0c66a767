package wire

import "slices"

// MaxForgotten bounds the moves that Forgotten tells apart: as many as a manager may list.
const MaxForgotten = 1024

// Forgotten is what a giver remembers of the moves of one manager that it was told to forget: a late copy of such an order begins
// nothing, or a move would begin that no manager knows of. An order of a lower number that comes late for the first time is no such
// copy and begins, unless more than MaxForgotten newer ones were forgotten before it; then its manager takes it down as undone.
type Forgotten struct {
	floor uint64   // this one and all before it
	above []uint64 // ascending
}

// Forget takes down that a move was forgotten.
func (f *Forgotten) Forget(no uint64) {
	i, ok := slices.BinarySearch(f.above, no)
	if no <= f.floor || ok {
		return
	}
	f.above = slices.Insert(f.above, i, no)
	if len(f.above) > MaxForgotten {
		f.floor = f.above[0]
		f.above = slices.Delete(f.above, 0, 1)
	}
}

// ForgetUpTo takes down that a move and all before it were forgotten, as is known after a restart.
func (f *Forgotten) ForgetUpTo(no uint64) {
	f.floor = max(f.floor, no)
	f.above = slices.DeleteFunc(f.above, func(n uint64) bool { return n <= f.floor })
}

// Has reports whether a move was forgotten, or may have been.
func (f *Forgotten) Has(no uint64) bool {
	_, ok := slices.BinarySearch(f.above, no)
	return ok || no <= f.floor
}
