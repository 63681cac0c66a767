package trace

import (
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// openBundled opens a bundled trace.
func openBundled(t *testing.T, name string) Source {
	t.Helper()
	src, err := Open(filepath.Join(repoRoot(t), "configs", "traces", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

func must(t *testing.T) func(src Source, err error) Source {
	return func(src Source, err error) Source {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
}

// mappedTrace makes a stream whose maps hold what Event promises, over two volumes.
func mappedTrace(t *rapid.T) (h Header, items []item) {
	h = Header{Program: "p", Source: "test", HasMaps: true, HasGaps: true, HasWrites: true, Granularity: 1,
		Volumes: []VolumeInfo{{Name: "a"}, {Name: "b b"}}}
	var m memMap
	m.emit = func(e Event) error { items = append(items, item{event: &e}); return nil }
	const heapBase = 1 << 19
	now := uint64(0)
	for range rapid.IntRange(0, 80).Draw(t, "items") {
		page := rapid.Uint64Range(16, 47).Draw(t, "page") << PageShift
		n := rapid.Uint64Range(1, 6).Draw(t, "pages") << PageShift
		thread := rapid.Uint16Range(0, 2).Draw(t, "thread")
		switch rapid.IntRange(0, 9).Draw(t, "what") {
		case 0:
			m.mmap(segment{span{page, page + n}, rapid.Bool().Draw(t, "anon"), true, "m"}, true, thread)
		case 1:
			m.munmap(page, page+n, thread)
		case 2:
			if !m.brkSet {
				m.setBrk(heapBase, thread)
			}
			m.setBrk(heapBase+rapid.Uint64Range(0, 20<<PageShift).Draw(t, "brk"), thread)
		case 3:
			now += rapid.Uint64Range(0, 5000).Draw(t, "ns")
			e := Event{Kind: EventKind(rapid.IntRange(4, 6).Draw(t, "op")), TimeNs: now, Volume: uint32(rapid.IntRange(0, 1).Draw(t, "volume"))}
			if e.Kind != BlockFlush {
				e.Offset, e.Length = rapid.Uint64Range(0, 1<<20).Draw(t, "sector")*sectorBytes, rapid.Uint64Range(1, 1<<16).Draw(t, "length")
			}
			items = append(items, item{event: &e})
		default:
			r := Ref{Addr: page + rapid.Uint64Range(0, 4000).Draw(t, "offset"), Gap: rapid.Uint32Range(0, 9).Draw(t, "gap"), Thread: thread,
				Size: rapid.Uint8Range(1, 16).Draw(t, "size"), Flags: rapid.Uint8Range(0, 1).Draw(t, "flags")}
			m.touch(r.Addr, thread)
			items = append(items, item{ref: r})
			now += uint64(r.Gap)
		}
	}
	return h, items
}

// sourceOf is a Source of items, a few a batch.
func sourceOf(h Header, items []item) Source {
	s := &sliceSource{h: h}
	var b Batch
	first := uint64(0)
	for i, it := range items {
		if it.event != nil {
			b.addEvent(*it.event)
		} else {
			b.addRef(it.ref)
		}
		if i%7 == 6 || i == len(items)-1 {
			b.First = first
			first += uint64(len(b.Refs))
			s.batches = append(s.batches, b)
			b = Batch{}
		}
	}
	return s
}

// drained drains a source and holds its maps to what Event promises.
func drained(t interface{ Fatalf(string, ...any) }, src Source) []item {
	items, err := drain(src)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var c mapChecker
	for _, it := range items {
		b := Batch{}
		if it.event != nil {
			b.Events = []Event{*it.event}
		} else {
			b.Refs = []Ref{it.ref}
		}
		if src.Header().HasMaps || it.event != nil {
			c.batch(t, &b)
		}
	}
	return items
}

// records are the items that are no map events.
func records(items []item) (out []item) {
	for _, it := range items {
		if it.event == nil || it.event.Kind.IsBlock() {
			out = append(out, it)
		}
	}
	return out
}

// A slice has the records between its ends, and maps that hold; the slices of a trace are the trace.
func TestSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, items := mappedTrace(t)
		want := records(items)
		from := rapid.Uint64Range(0, uint64(len(want))).Draw(t, "from")
		to := rapid.Uint64Range(from+1, uint64(len(want))+3).Draw(t, "to")
		src, err := SliceOf(sourceOf(h, items), Slice{From: from, To: to})
		if err != nil {
			t.Fatal(err)
		}
		got := records(drained(t, src))
		want = want[from:min(to, uint64(len(want)))]
		if len(got) != len(want) {
			t.Fatalf("%d records, want %d", len(got), len(want))
		}
		start := uint64(0)
		for i := range got {
			w := want[i]
			if w.event != nil {
				e := *w.event
				if start == 0 {
					start = e.TimeNs + 1
				}
				e.TimeNs -= start - 1
				w.event = &e
			}
			if !reflect.DeepEqual(got[i], w) {
				t.Fatalf("record %d: %+v, want %+v", i, got[i], w)
			}
		}
	})
	if _, err := SliceOf(sourceOf(Header{}, nil), Slice{From: 3, To: 3}); err == nil {
		t.Error("an empty slice")
	}
}

// A slice begins with the heap as it is, holes and maps in them included.
func TestSliceHeap(t *testing.T) {
	events := []Event{{Kind: Brk, Addr: 0x8000}, {Kind: Brk, Addr: 0xf800}, {Kind: Munmap, Addr: 0xa000, Len: 0x3000},
		{Kind: Mmap, Addr: 0xb000, Len: 0x1000, Name: "f"}, {Kind: Mmap, Addr: 0x1000, Len: 0x4000, Name: "g"}, {Kind: Munmap, Addr: 0x2000, Len: 0x1000}}
	var items []item
	for i := range events {
		items = append(items, item{event: &events[i]})
	}
	for _, a := range []uint64{0x1000, 0x3000, 0x8000, 0xb000, 0xf000} {
		items = append(items, item{ref: Ref{Addr: a}})
	}
	src := must(t)(SliceOf(sourceOf(Header{HasMaps: true}, items), Slice{From: 1}))
	if got, want := describe(drained(t, src)), "brk t0 0x8000\nbrk t0 0xf800\nmunmap t0 0xa000+0x3000\nmmap t0 0x1000+0x1000 anon=false w=false g\n"+
		"mmap t0 0x3000+0x2000 anon=false w=false g\nmmap t0 0xb000+0x1000 anon=false w=false f\n"; !strings.HasPrefix(got, want) {
		t.Errorf("%swant\n%s", got, want)
	}
}

// part is the beginning of a bundled trace: enough to be real, and quick under the race detector.
func part(t *testing.T) Source {
	t.Helper()
	return must(t)(SliceOf(openBundled(t, "sort.skt"), Slice{To: 100_000}))
}

// By time, a slice has the block operations between two times.
func TestSliceByTime(t *testing.T) {
	all, err := drain(part(t))
	if err != nil {
		t.Fatal(err)
	}
	const from, to = 1_000_000, 10_000_000
	n := 0
	for _, it := range all {
		if e := it.event; e != nil && e.Kind.IsBlock() && e.TimeNs >= from && e.TimeNs < to {
			n++
		}
	}
	src := must(t)(SliceOf(part(t), Slice{From: from, To: to, ByTime: true}))
	if got := drained(t, src); len(got) != n || n == 0 || n == len(records(all)) {
		t.Errorf("%d operations, want %d", len(got), n)
	}
}

// A filter keeps what it says, and the instructions of what it leaves out.
func TestFilter(t *testing.T) {
	thread, volume := uint16(1), uint32(1)
	for _, f := range []Filter{{Op: "read"}, {Op: "write"}, {Only: "refs"}, {Only: "block"}, {Thread: &thread}, {Volume: &volume}, {Pages: true, FirstPage: 20, LastPage: 30}} {
		keeps := func(it item) bool {
			if e := it.event; e != nil {
				return f.Only != "refs" && (f.Op != "read" || e.Kind == BlockRead) && (f.Op != "write" || e.Kind != BlockRead) && (f.Volume == nil || e.Volume == *f.Volume)
			}
			r := it.ref
			return f.Only != "block" && (f.Op == "" || r.Write() == (f.Op == "write")) && (f.Thread == nil || r.Thread == *f.Thread) &&
				(!f.Pages || r.Page() >= f.FirstPage && r.Page() <= f.LastPage)
		}
		rapid.Check(t, func(t *rapid.T) {
			h, items := mappedTrace(t)
			src, err := FilterOf(sourceOf(h, items), f)
			if err != nil {
				t.Fatal(err)
			}
			got := records(drained(t, src))
			var want []item
			var instructions, last uint64 // up to the last reference kept
			for _, it := range records(items) {
				if it.event == nil && (f.Thread == nil || it.ref.Thread == *f.Thread) {
					instructions += uint64(it.ref.Gap)
				}
				if keeps(it) {
					want = append(want, it)
					if it.event == nil {
						last = instructions
					}
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%+v: %d records, want %d", f, len(got), len(want))
			}
			for i := range got {
				last -= uint64(got[i].ref.Gap)
				got[i].ref.Gap, want[i].ref.Gap = 0, 0
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("%+v: record %d: %+v, want %+v", f, i, got[i], want[i])
				}
			}
			if last != 0 {
				t.Fatalf("%+v: %d instructions are missing", f, last)
			}
			if h := src.Header(); !strings.HasPrefix(h.Thinning, "filtered: only ") || f.Only == "block" && h.HasMaps {
				t.Fatalf("%+v: %+v", f, h)
			}
		})
	}
	for _, f := range []Filter{{Op: "rw"}, {Only: "maps"}, {Pages: true, FirstPage: 2, LastPage: 1}, {Only: "block", Thread: &thread}, {Only: "refs", Volume: &volume}} {
		if f.Validate() == nil {
			t.Errorf("%+v is taken", f)
		}
	}
}

// A spatial sample has all records of a page or none, about the share asked for, another one with another seed; one of N has one of N.
func TestSample(t *testing.T) {
	sampled := func(o Sample) map[uint64]int {
		return countPages(t, must(t)(SampleOf(part(t), o)))
	}
	all := countPages(t, part(t))
	some := sampled(Sample{Rate: 0.25})
	if share := float64(len(some)) / float64(len(all)); share < 0.2 || share > 0.3 {
		t.Errorf("%d of %d pages, want a quarter", len(some), len(all))
	}
	for p, n := range some {
		if all[p] != n {
			t.Fatalf("page %#x: %d of its %d references", p, n, all[p])
		}
	}
	if reflect.DeepEqual(some, sampled(Sample{Rate: 0.25, Seed: 1})) {
		t.Error("another seed keeps the same pages")
	}
	sum := func(m map[uint64]int) (n int) {
		for _, k := range m {
			n += k
		}
		return n
	}
	src := must(t)(SampleOf(part(t), Sample{Every: 100}))
	if n, want := sum(countPages(t, src)), sum(all)/100; n < want-want/50 || n > want+want/50 { // block operations are counted with them
		t.Errorf("%d of %d records, want one of 100", n, sum(all))
	}
	if h := src.Header(); !strings.Contains(h.Thinning, "; a sample: one of 100 records") {
		t.Errorf("%q", h.Thinning)
	}
	for _, o := range []Sample{{}, {Rate: 1}, {Rate: -0.1}, {Every: 1}, {Rate: 0.5, Every: 2}} {
		if o.Validate() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// countPages counts the references to each page.
func countPages(t *testing.T, src Source) map[uint64]int {
	t.Helper()
	pages := map[uint64]int{}
	for {
		b, err := src.Next()
		if err == io.EOF {
			return pages
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Refs {
			pages[b.Refs[i].Page()]++
		}
	}
}

// A merged trace has the records of each trace in their order, and those of all in order of time; nothing of one is mixed with another.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var srcs []Source
		var all [][]item
		for range rapid.IntRange(2, 4).Draw(t, "traces") {
			h, items := mappedTrace(t)
			srcs = append(srcs, sourceOf(h, items))
			all = append(all, records(items))
		}
		m, err := Merge(srcs)
		if err != nil {
			t.Fatal(err)
		}
		items := drained(t, m)
		h := m.Header()
		next := make([]int, len(all))
		threads := map[uint16]string{}
		last := uint64(0)
		owner := map[uint64]int{} // of a region
		for r, n := range m.(*merged).regions {
			owner[n] = r.in
			if r.region != 0 || n == 0 {
				t.Fatalf("region %+v is %d", r, n)
			}
		}
		from := func(it item) int { // which trace a record is of
			if e := it.event; e != nil {
				for n := range all {
					i := next[n]
					if i < len(all[n]) && all[n][i].event != nil && all[n][i].event.TimeNs == e.TimeNs && all[n][i].event.Kind == e.Kind &&
						all[n][i].event.Offset == e.Offset && all[n][i].event.Length == e.Length {
						return n
					}
				}
				return -1
			}
			return owner[it.ref.Addr>>mergeShift]
		}
		for i, it := range records(items) {
			n := from(it)
			if n < 0 || next[n] == len(all[n]) {
				t.Fatalf("record %d is of no trace: %+v %+v", i, it.ref, it.event)
			}
			w := all[n][next[n]]
			next[n]++
			if it.event != nil {
				if it.event.TimeNs < last || int(it.event.Volume) >= len(h.Volumes) {
					t.Fatalf("record %d: %+v after %d ns", i, it.event, last)
				}
				last = it.event.TimeNs
				continue
			}
			who := fmt.Sprint(n, w.ref.Thread)
			if as, ok := threads[it.ref.Thread]; ok && as != who {
				t.Fatalf("thread %d is %s and %s", it.ref.Thread, as, who)
			}
			threads[it.ref.Thread] = who
			w.ref.Addr |= it.ref.Addr >> mergeShift << mergeShift
			w.ref.Thread = it.ref.Thread
			if it.ref != w.ref {
				t.Fatalf("record %d: %+v, want %+v", i, it.ref, w.ref)
			}
		}
		for n := range all {
			if next[n] != len(all[n]) {
				t.Fatalf("trace %d: %d of %d records", n, next[n], len(all[n]))
			}
		}
		names := map[string]bool{}
		for _, v := range h.Volumes {
			if names[v.Name] {
				t.Fatalf("two volumes are named %q", v.Name)
			}
			names[v.Name] = true
		}
	})
	if _, err := Merge([]Source{sourceOf(Header{}, nil)}); err == nil {
		t.Error("one trace is merged")
	}
	// A map over the bound of a region becomes two, and regions are not without end.
	over := []Event{{Kind: Mmap, Addr: 3<<30 - 4096, Len: 8192, Name: "m"}, {Kind: Brk, Addr: 5 << 30}, {Kind: Brk, Addr: 5<<30 + 1}, {Kind: Munmap, Addr: 3<<30 - 4096, Len: 8192}}
	var items []item
	for i := range over {
		items = append(items, item{event: &over[i]})
	}
	m := must(t)(Merge([]Source{sourceOf(Header{}, items), sourceOf(Header{}, nil)}))
	if got, want := describe(drained(t, m)), "mmap t0 0x7ffff000+0x1000 anon=false w=false m\nmmap t0 0x80000000+0x1000 anon=false w=false m\n"+
		"mmap t0 0xc0000000+0x1000 anon=true w=true [heap]\nmunmap t0 0x7ffff000+0x1000\nmunmap t0 0x80000000+0x1000\n"; got != want {
		t.Errorf("%swant\n%s", got, want)
	}
	items = items[:0]
	for i := range uint64(MaxMergeRegions) {
		items = append(items, item{ref: Ref{Addr: i << mergeShift}})
	}
	m = must(t)(Merge([]Source{sourceOf(Header{}, items), sourceOf(Header{}, nil)}))
	if got, err := drain(m); err == nil || len(got) < MaxMergeRegions/2 || !strings.Contains(err.Error(), "trace 0: address 0x7fffc0000000 is in another region of 1024 MiB, expected at most 131071 of them") {
		t.Errorf("%d references, %v", len(got), err)
	}
}

// What is written in a format is what its reader reads.
func TestExportRoundTrips(t *testing.T) {
	dir := t.TempDir()
	var refs, ops int
	rapid.Check(t, func(t *rapid.T) {
		h, items := mappedTrace(t)
		write := func(name string, o ExportOptions) ([]item, []string, bool) {
			path := filepath.Join(dir, name)
			x, err := Export(path, sourceOf(h, items), o)
			if err != nil {
				if !strings.Contains(err.Error(), "nothing to write") && !strings.Contains(err.Error(), "the trace has no ") {
					t.Fatal(err)
				}
				return nil, nil, false
			}
			format := x.To
			switch o.IDs {
			case "page":
				format += ":id=key"
			case "block":
				format += ":unit=4096"
			}
			got, _, err := read(path, format)
			if err != nil {
				t.Fatal(err)
			}
			return records(got), x.Lost, true
		}
		var wantRefs, wantOps []item
		for _, it := range records(items) {
			if it.event == nil {
				wantRefs = append(wantRefs, it)
			} else {
				wantOps = append(wantOps, it)
			}
		}
		refs, ops = refs+len(wantRefs), ops+len(wantOps)

		got, lost, ok := write("x.lackey", ExportOptions{})
		if ok != (len(wantRefs) > 0) || ok && !reflect.DeepEqual(got, split(wantRefs)) {
			t.Fatalf("lackey: %s\nwant %s", describe(got), describe(wantRefs))
		}
		if ok && len(wantOps) > 0 && !slices.Contains(lost, fmt.Sprintf("%d block operations left out", len(wantOps))) {
			t.Fatalf("lackey: lost %q", lost)
		}

		got, _, ok = write("x.iolog", ExportOptions{})
		if ok != (len(wantOps) > 0) || ok && len(got) != len(wantOps) {
			t.Fatalf("fio: %d operations, want %d", len(got), len(wantOps))
		}
		for i := range got {
			w := *wantOps[i].event
			if w.TimeNs -= w.TimeNs % 1000; w.Kind != got[i].event.Kind || w.TimeNs != got[i].event.TimeNs || w.Offset != got[i].event.Offset || w.Length != got[i].event.Length {
				t.Fatalf("fio: operation %d: %+v, want %+v", i, got[i].event, w)
			}
		}

		got, _, _ = write("x.oracleGeneral", ExportOptions{IDs: "page"})
		if len(got) != len(wantRefs) {
			t.Fatalf("oracleGeneral: %d references, want %d", len(got), len(wantRefs))
		}
		for i := range got {
			if got[i].ref.Page() != wantRefs[i].ref.Page() {
				t.Fatalf("oracleGeneral: reference %d to page %#x, want %#x", i, got[i].ref.Page(), wantRefs[i].ref.Page())
			}
		}

		got, _, _ = write("y.oraclegeneral.bin", ExportOptions{IDs: "block"})
		n := 0
		for _, w := range wantOps {
			if w.event.Kind == BlockFlush {
				continue
			}
			for b := w.event.Offset / PageBytes; b <= (w.event.Offset+w.event.Length-1)/PageBytes; b++ {
				if n == len(got) || got[n].event.Offset != b*PageBytes+uint64(w.event.Volume)<<(oracleVolumeShift+PageShift) {
					t.Fatalf("oracleGeneral: block %d, want %d of volume %d", n, b, w.event.Volume)
				}
				n++
			}
		}
		if n != len(got) {
			t.Fatalf("oracleGeneral: %d blocks, want %d", len(got), n)
		}
	})
	if refs == 0 || ops == 0 {
		t.Errorf("%d references and %d operations were tried", refs, ops)
	}
}

// split cuts references that straddle two pages, as readers do.
func split(items []item) (out []item) {
	for _, it := range items {
		var b Batch
		b.addAccess(it.ref.Addr, uint64(it.ref.Size), it.ref.Gap, it.ref.Thread, it.ref.Flags)
		for _, r := range b.Refs {
			out = append(out, item{ref: r})
		}
	}
	return out
}
