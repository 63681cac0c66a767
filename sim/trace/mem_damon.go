package trace

import (
	"bytes"
	"fmt"
	"strconv"
)

// MaxRegionBytes bounds a region of DAMON that was accessed: 1 TiB.
const MaxRegionBytes = 1 << 40

// maxDamonCount bounds the key count.
const maxDamonCount = 1 << 16

const damonCount = "count"

var damonKeys = []Key{{damonCount, "how often the pages of a region are referenced at most, one pass over the region for each access that DAMON counted (1)"}}

// damonRegions makes references of what DAMON says of a region. DAMON samples: it knows how many of its samples found a region
// accessed, not which pages nor how often. So each page of a region with accesses is referenced once for each of them, in passes over
// the region, at most count times; a region without is not referenced.
type damonRegions struct {
	count   uint64
	flags   uint8
	spec    *Spec
	threads threadTable

	// The region of which references are to be made.
	first, page, last uint64
	passes            uint64
	thread            uint16
}

func newDamonRegions(in *input) (*damonRegions, error) {
	text := in.spec.key(damonCount, "1")
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < 1 || n > maxDamonCount {
		return nil, fmt.Errorf("%s: count=%q, want 1 to %d", in.path, text, maxDamonCount)
	}
	return &damonRegions{count: n, flags: in.spec.flags(), spec: &in.spec}, nil
}

func (r *damonRegions) header(h *Header) {
	h.Granularity = PageBytes
	h.HasWrites = r.spec.Op == "write"
	h.DefaultsStated = []string{r.spec.opStated(),
		fmt.Sprintf("references: each page of a region once for each access counted, at most %d times (the format has regions; count=N sets it)", r.count),
		"thread: the target, " + defaultThreads[len("thread: "):], defaultSize, defaultGap}
}

// set begins a region of a target.
func (r *damonRegions) set(target, start, end, accesses uint64) error {
	if end <= start {
		return fmt.Errorf("a region from %d to %d, expected one that ends after its start", start, end)
	}
	if accesses == 0 {
		return nil // often a gap of terabytes between the heap and the stack
	}
	if end-start > MaxRegionBytes {
		return fmt.Errorf("a region of %d bytes with accesses, expected at most %d", end-start, int64(MaxRegionBytes))
	}
	t, err := r.threads.of(target)
	if err != nil {
		return err
	}
	r.first, r.last = start>>PageShift, (end-1)>>PageShift
	r.page, r.thread, r.passes = r.first, t, min(accesses, r.count)
	return nil
}

// emit appends references until the batch is full or the region at its end.
func (r *damonRegions) emit(b *Batch) {
	for r.passes > 0 && !b.full() {
		b.Refs = append(b.Refs, Ref{Addr: r.page << PageShift, Thread: r.thread, Flags: r.flags})
		if r.page++; r.page > r.last {
			r.page = r.first
			r.passes--
		}
	}
}

// damonText reads DAMON's tracepoints as perf script and trace-cmd print them:
//
//	kdamond.0 4452 [000] 82820.952659: damon:damon_aggregated: target_id=0 nr_regions=8 94253027950592-94253031862272: 0 5
//	kdamond.0 4452 [000] 82820.952659: damon:damos_before_apply: ctx_idx=0 scheme_idx=0 target_idx=0 nr_regions=8 4096-8192: 3 5
//
// The last number, the age, is missing in older kernels.
type damonText struct {
	in      *lineReader
	clock   clock
	regions *damonRegions
}

const wantDamon = "`… seconds: damon:damon_aggregated: target_id=N nr_regions=N start-end: accesses [age]`, or damos_before_apply"

var damonEvents = [][]byte{[]byte("damon_aggregated: "), []byte("damos_before_apply: ")}

func newDamon(in *input) (parser, error) {
	r, err := newDamonRegions(in)
	return &damonText{in.lines(), in.spec.newClock(true), r}, err
}

var sniffDamon = sniffLines('#', func(line []byte) bool { _, ok := parseDamon(line); return ok })

func (p *damonText) header(h *Header) {
	p.regions.header(h)
	h.DefaultsStated = p.clock.stated(h.DefaultsStated)
}

func (p *damonText) fill(b *Batch) error {
	for {
		if p.regions.emit(b); b.full() {
			return nil
		}
		line, err := p.in.next()
		if err != nil {
			return err
		}
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		l, ok := parseDamon(line)
		if !ok {
			return p.in.unlike(line, wantDamon)
		}
		if _, err := p.clock.at(l.ns); err != nil {
			return p.in.errorf("%w", err)
		}
		if err := p.regions.set(l.target, l.start, l.end, l.accesses); err != nil {
			return p.in.errorf("%w", err)
		}
	}
}

type damonLine struct{ ns, target, start, end, accesses uint64 }

func parseDamon(line []byte) (l damonLine, ok bool) {
	at := -1
	var rest []byte
	for _, e := range damonEvents {
		if at = bytes.Index(line, e); at >= 0 {
			rest = line[at+len(e):]
			break
		}
	}
	if at < 0 {
		return l, false
	}
	if l.ns, ok = damonTime(line[:at]); !ok {
		return l, false
	}
	for {
		var w []byte
		w, rest = word(rest)
		name, value, pair := bytes.Cut(w, []byte("="))
		if !pair {
			break
		}
		n, after, ok := parseDec(value)
		if !ok || len(after) > 0 {
			return l, false
		}
		if string(name) == "target_id" || string(name) == "target_idx" {
			l.target = n
		}
		if len(rest) == 0 {
			return l, false
		}
		line = rest // where the region is, if the next word is not a pair
	}
	var ok1, ok2, ok3, ok4 bool
	l.start, rest, ok = parseDec(line)
	rest, ok1 = skipByte(rest, '-')
	l.end, rest, ok2 = parseDec(rest)
	rest, ok3 = skipByte(rest, ':')
	rest, _ = skipBlanks(rest)
	l.accesses, rest, ok4 = parseDec(rest)
	if !(ok && ok1 && ok2 && ok3 && ok4) {
		return l, false
	}
	if rest, ok1 = skipBlanks(rest); len(rest) > 0 { // the age
		_, rest, ok = parseDec(rest)
		return l, ok && ok1 && blankOnly(rest)
	}
	return l, true
}

// damonTime is the time that stands before an event, `… 82820.952659: damon:`.
func damonTime(b []byte) (ns uint64, ok bool) {
	b = bytes.TrimSuffix(b, []byte("damon:"))
	b = bytes.TrimRight(b, " ")
	b, ok = bytes.CutSuffix(b, []byte(":"))
	ns, rest, ok1 := parseSeconds(b[bytes.LastIndexByte(b, ' ')+1:])
	return ns, ok && ok1 && len(rest) == 0
}
