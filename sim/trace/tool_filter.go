package trace

import (
	"errors"
	"fmt"
	"strings"
)

// Filter says which records of a trace are kept. The zero value keeps all.
type Filter struct {
	Op        string // "read" or "write"; flushes go with writes; "" = both
	Only      string // "refs" or "block"; "" = both
	Thread    *uint16
	Volume    *uint32 // index of the only volume whose operations are kept
	FirstPage uint64  // of the references kept
	LastPage  uint64  // inclusive
	Pages     bool    // FirstPage and LastPage hold
}

// Validate says all that is wrong with it.
func (f Filter) Validate() error {
	var errs []error
	if f.Op != "" && f.Op != "read" && f.Op != "write" {
		errs = append(errs, fmt.Errorf("filter: op %q, want read or write", f.Op))
	}
	if f.Only != "" && f.Only != "refs" && f.Only != "block" {
		errs = append(errs, fmt.Errorf("filter: only %q, want refs or block", f.Only))
	}
	if f.Pages && (f.LastPage < f.FirstPage || f.LastPage > maxPage) {
		errs = append(errs, fmt.Errorf("filter: pages %#x to %#x, want a first and a last one up to %#x", f.FirstPage, f.LastPage, uint64(maxPage)))
	}
	if f.Only == "block" && (f.Thread != nil || f.Pages) || f.Only == "refs" && f.Volume != nil {
		errs = append(errs, errors.New("filter: pages and threads are of references, volumes of block operations; only leaves those out"))
	}
	return errors.Join(errs...)
}

// FilterOf returns what of src the filter keeps. Maps stay, unless there are no references. Instructions of references that are left
// out count for the next one that is kept, except those of other threads, which go with their threads.
func FilterOf(src Source, f Filter) (Source, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return newEdited(src, &filter{Filter: f}), nil
}

type filter struct {
	Filter
	gap gapSum
}

func (f *filter) header(h *Header) {
	var kept []string
	if f.Op != "" {
		kept = append(kept, f.Op+"s")
	}
	if f.Only != "" {
		kept = append(kept, map[string]string{"refs": "references", "block": "block operations"}[f.Only])
	}
	if f.Thread != nil {
		kept = append(kept, fmt.Sprintf("references of thread %d", *f.Thread))
	}
	if f.Volume != nil {
		kept = append(kept, fmt.Sprintf("operations on volume %d", *f.Volume))
	}
	if f.Pages {
		kept = append(kept, fmt.Sprintf("references to pages %#x to %#x", f.FirstPage, f.LastPage))
	}
	if f.Only == "block" {
		h.HasMaps, h.SynthesisedMaps, h.HasGaps = false, false, false
	}
	if len(kept) > 0 {
		thinnedToo(h, "filtered: only "+strings.Join(kept, ", "))
	}
}

func (f *filter) event(out *Batch, e *Event) error {
	switch {
	case e.Kind.IsMap():
		if f.Only == "block" {
			return nil
		}
	case f.Only == "refs",
		f.Op == "read" && e.Kind != BlockRead,
		f.Op == "write" && e.Kind == BlockRead,
		f.Volume != nil && e.Volume != *f.Volume:
		return nil
	}
	out.addEvent(*e)
	return nil
}

func (f *filter) ref(out *Batch, r *Ref) error {
	switch {
	case f.Only == "block":
		return nil
	case f.Thread != nil && r.Thread != *f.Thread:
		return nil
	case f.Op != "" && r.Write() != (f.Op == "write"),
		f.Pages && (r.Page() < f.FirstPage || r.Page() > f.LastPage):
		f.gap.drop(r)
		return nil
	}
	out.addRef(f.gap.keep(*r))
	return nil
}
