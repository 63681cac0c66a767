package pagestore

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestNotedChanges: whoever marks what Noted tells, before each Take of its own, has the same set.
func TestNotedChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const first = 1000
		pages := uint64(rapid.IntRange(1, 200).Draw(t, "pages"))
		c, copied := NewChanges(first, pages), NewChanges(first, pages)
		list := func(c *Changes) (all []wire.PageNo) {
			last := wire.PageNo(0)
			c.Known(func(p wire.PageNo, n uint64) {
				if n == 0 || p <= last && last > 0 {
					t.Fatalf("a run of %d pages at %d behind %d", n, p, last)
				}
				for range n {
					all = append(all, p)
					p++
				}
				last = p // the next is not its neighbour
			})
			return all
		}
		want := map[wire.PageNo]bool{}
		told := func() {
			c.Noted(func(p wire.PageNo, n uint64) {
				copied.MarkRun(p, n)
			})
		}
		draw := func() wire.PageNo { return first + wire.PageNo(rapid.Uint64Range(0, pages-1).Draw(t, "page")) }
		for range rapid.IntRange(0, 20).Draw(t, "before") {
			p := draw()
			c.Mark(p)
			want[p] = true
		}
		c.Note(true)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			from, to := draw(), draw()
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				for p := min(from, to); p <= max(from, to); p++ {
					c.Mark(p)
					want[p] = true
				}
			case 1:
				c.Mark(from)
				want[from] = true
			case 2:
				told()
				p, ok := c.Take(from)
				if q, also := copied.Take(from); p != q || ok != also {
					t.Fatalf("took %d %t, the copy %d %t", p, ok, q, also)
				}
				delete(want, p)
			case 3: // a mark that both make by themselves
				told()
				c.Note(false)
				c.Mark(from)
				c.Note(true)
				copied.Mark(from)
				want[from] = true
			}
		}
		told()
		if got := list(c); !slices.Equal(got, slices.Sorted(maps.Keys(want))) || !slices.Equal(got, list(copied)) || c.Len() != copied.Len() || c.check() != nil {
			t.Errorf("%v\n%v\n%v", got, list(copied), want)
		}
	})
}
