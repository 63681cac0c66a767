package prefetch

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"splitkernel/netlayer/tape"
)

// MaxDepth bounds the pages that one call may answer with.
const MaxDepth = 64

// Options are the settings of a prefetcher.
type Options struct {
	// Depth is how many pages one call answers with at most, 1..MaxDepth.
	Depth int
}

// DefaultOptions is the 8 pages of Leap.
func DefaultOptions() Options { return Options{Depth: 8} }

// Validate returns every fault, by key.
func (o Options) Validate() error {
	if o.Depth < 1 || o.Depth > MaxDepth {
		return fmt.Errorf("depth: %d, want 1..%d", o.Depth, MaxDepth)
	}
	return nil
}

// Prefetcher guesses pages. Who calls it serialises all calls.
type Prefetcher interface {
	// Observe is told of a miss, or of the first use of a page that was
	// prefetched (useful), and appends to out the pages to bring, the most
	// urgent first. A page may be present already, or not exist.
	Observe(page uint64, useful bool, out []uint64) []uint64
	// Brought is told how many of the pages that Observe answered with are
	// brought: those that were not present.
	Brought(n int)
	// AppendState appends all on which later answers depend. Prefetchers that were
	// made and called alike append the same.
	AppendState(b []byte) []byte
	// ReadState makes a prefetcher that was just made like the one that appended; a
	// fault is the reader's, and then this is of no use.
	ReadState(r *tape.Reader)
}

// guesser is a prefetcher behind the guard.
type guesser interface {
	guess(page uint64, useful bool, out []uint64) []uint64
	AppendState(b []byte) []byte
	ReadState(r *tape.Reader)
}

var makers = []struct {
	name string
	make func(depth int) guesser
}{
	{"best-offset", newBestOffset},
	{"leap", newLeap},
	{"next-n", newNextN},
	{"stride", newStride},
}

// Names returns the names of the prefetchers, sorted.
func Names() []string {
	names := make([]string, len(makers))
	for i, m := range makers {
		names[i] = m.name
	}
	return names
}

// None is the name that stands for no prefetcher where one may be chosen.
const None = "none"

// Known reports whether a prefetcher of that name exists. None is not one.
func Known(name string) bool { return slices.Contains(Names(), name) }

// ErrUnknown is wrapped by New when no prefetcher has the name asked for.
var ErrUnknown = errors.New("no such prefetcher")

// New makes a prefetcher that has seen nothing.
func New(name string, o Options) (Prefetcher, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("prefetch: %w", err)
	}
	i := slices.IndexFunc(makers, func(m struct {
		name string
		make func(depth int) guesser
	}) bool {
		return m.name == name
	})
	if i < 0 {
		return nil, fmt.Errorf("prefetch: %q, want one of %s: %w", name, strings.Join(Names(), ", "), ErrUnknown)
	}
	return &guard{g: makers[i].make(o.Depth)}, nil
}

// The guard; see the package documentation.
const (
	guardIssued = 128
	guardShare  = 8
	guardPause  = 1024
)

// guard stops a prefetcher whose guesses are not used. It goes on telling it what
// happens, so that it learns.
type guard struct {
	g              guesser
	issued, useful int // since the last judgement
	pause          int // calls until the next try
}

func (g *guard) Observe(page uint64, useful bool, out []uint64) []uint64 {
	if useful {
		g.useful++
	}
	n := len(out)
	out = g.g.guess(page, useful, out)
	if g.pause > 0 {
		g.pause--
		return out[:n]
	}
	return out
}

func (g *guard) Brought(n int) {
	if g.issued += n; g.issued >= guardIssued {
		if g.useful*guardShare < g.issued {
			g.pause = guardPause
		}
		g.issued, g.useful = 0, 0
	}
}

// ahead appends page + step, page + 2 step, …, as far as there are pages.
func ahead(page uint64, step int64, n int, out []uint64) []uint64 {
	for range n {
		next := page + uint64(step)
		if step > 0 && next < page || step < 0 && next > page {
			break
		}
		page = next
		out = append(out, page)
	}
	return out
}
