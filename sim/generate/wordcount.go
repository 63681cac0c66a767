package generate

import (
	"fmt"
	"math/rand/v2"
)

// wordCount counts words: input in order, a table by popularity, and at the end the table in order.
type wordCount struct {
	input, table uint64 // pages; the input lies first
	words        uint64
	zipf         zipf
	step         uint64

	page  uint64 // of the input, then of the table
	left  uint64 // updates due
	slot  uint64 // page of the table that is updated
	back  bool   // its write is due
	whole bool   // all input was read, the table is
}

func completeWordCount(s *Spec, _ map[string]bool) []error {
	if input := part(s.Pages, s.InputPercent); input < 1 || input == s.Pages {
		return []error{fmt.Errorf("input_percent: %v of %d pages, want at least a page of input and one of the table", s.InputPercent, s.Pages)}
	}
	return nil
}

func newWordCount(s Spec) shape {
	input := part(s.Pages, s.InputPercent)
	table := s.Pages - input
	return &wordCount{input: input, table: table, words: s.Words, zipf: newZipf(table, s.Skew), step: scatter(table)}
}

func (w *wordCount) next(_ uint64, rng *rand.Rand) (page uint64, write bool) {
	switch {
	case w.back:
		w.back = false
		return w.input + w.slot, true
	case w.left > 0:
		w.left--
		w.slot, w.back = scattered(w.zipf.draw(rng)-1, w.step, w.table), true
		return w.input + w.slot, false
	case w.page == w.input && !w.whole:
		w.whole, w.page = true, 0
	case w.whole && w.page == w.table:
		w.whole, w.page = false, 0
	}
	page = w.page
	w.page++
	if w.whole {
		return w.input + page, false
	}
	w.left = w.words
	return page, false
}
