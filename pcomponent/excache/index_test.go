package excache

import (
	"testing"

	"pgregory.net/rapid"
)

// TestIndex runs the index beside a map. The pages are few and chosen so that
// their homes crowd together, also across the end of the table.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const lines = 8
		x := makeIndex(lines)
		if len(x.table) != 2*lines {
			t.Fatalf("%d places for %d lines, want half full at most", len(x.table), lines)
		}
		var pages []uint64
		for page := uint64(0); len(pages) < 24; page++ {
			if home := x.home(page); home < 3 || home > uint64(len(x.table)-3) {
				pages = append(pages, page, MaxPages-1-page)
			}
		}
		want := map[uint64]uint32{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			page := rapid.SampledFrom(pages).Draw(t, "page")
			if _, ok := want[page]; ok {
				x.remove(page)
				delete(want, page)
			} else if len(want) < lines {
				line := rapid.Uint32Range(0, MaxLines-1).Draw(t, "line")
				x.insert(page, line)
				want[page] = line
			}
			for _, page := range pages {
				line, ok := x.find(page)
				if w, there := want[page]; ok != there || line != w {
					t.Fatalf("page %#x: line %d, %t, want %d, %t", page, line, ok, w, there)
				}
			}
			if line, ok := x.find(MaxPages + page); ok {
				t.Fatalf("page %#x beyond the bound has line %d", MaxPages+page, line)
			}
		}
	})
}

// TestRemoveOfAbsentPage: a broken caller is told, and does not loop.
func TestRemoveOfAbsentPage(t *testing.T) {
	x := makeIndex(4)
	x.insert(1, 1)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	x.remove(0)
}
