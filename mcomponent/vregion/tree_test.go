package vregion

import (
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestTreeAgreesWithASetOfPages runs random maps and unmaps against one attribute per page.
func TestTreeAgreesWithASetOfPages(t *testing.T) {
	const pages = 24
	rapid.Check(t, func(t *rapid.T) {
		var tree Tree
		var model [pages]int // 0 unmapped, else attribute number
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			lo := rapid.IntRange(0, pages-1).Draw(t, "lo")
			hi := rapid.IntRange(lo+1, pages).Draw(t, "hi")
			start, end := uint64(lo)*wire.PageSize, uint64(hi)*wire.PageSize
			if attr := rapid.IntRange(0, 3).Draw(t, "attr"); attr == 0 {
				was := 0
				for i := lo; i < hi; i++ {
					if model[i] != 0 {
						was++
					}
					model[i] = 0
				}
				if got := tree.Remove(start, end); got != uint64(was)*wire.PageSize {
					t.Fatalf("Remove = %d bytes, want %d pages", got, was)
				}
			} else {
				for i := lo; i < hi; i++ {
					model[i] = attr
				}
				tree.Insert(VMA{Start: start, End: end, Anon: attr&1 != 0, Writable: attr&2 != 0})
			}
			if err := tree.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			for i, attr := range model {
				v, ok := tree.Find(uint64(i)*wire.PageSize + 7)
				if ok != (attr != 0) || ok && (v.Anon != (attr&1 != 0) || v.Writable != (attr&2 != 0)) {
					t.Fatalf("page %d: %v, %v, want attribute %d", i, v, ok, attr)
				}
			}
			checkGap(t, &tree, model[:], rapid.IntRange(1, pages).Draw(t, "want"))
		}
	})
}

// checkGap compares Gap with a search through all runs of unmapped pages.
func checkGap(t *rapid.T, tree *Tree, model []int, want int) {
	best, at := 0, 0
	for i := 0; i < len(model); i++ {
		n := 0
		for i+n < len(model) && model[i+n] == 0 {
			n++
		}
		if n >= want && (best == 0 || n < best) {
			best, at = n, i
		}
		i += n
	}
	addr, size, ok := tree.Gap(0, uint64(len(model))*wire.PageSize, uint64(want)*wire.PageSize)
	if ok != (best != 0) || ok && (addr != uint64(at)*wire.PageSize || size != uint64(best)*wire.PageSize) {
		t.Fatalf("Gap for %d pages = %#x of %#x, %v, want page %d of %d", want, addr, size, ok, at, best)
	}
}
