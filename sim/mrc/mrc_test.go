package mrc

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"splitkernel/sim/mrc/stack"
	"splitkernel/sim/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a trace of these batches.
type fake struct {
	batches []trace.Batch
	next    func() // called before each batch, if set
}

func (f *fake) Header() trace.Header { return trace.Header{} }
func (f *fake) Close() error         { return nil }
func (f *fake) Next() (*trace.Batch, error) {
	if f.next != nil {
		f.next()
	}
	if len(f.batches) == 0 {
		return nil, io.EOF
	}
	b := f.batches[0]
	f.batches = f.batches[1:]
	return &b, nil
}

// opener opens a fake any number of times.
func opener(batches ...trace.Batch) func() (trace.Source, error) {
	return func() (trace.Source, error) { return &fake{batches: slices.Clone(batches)}, nil }
}

// refs makes a batch of references to pages.
func refs(pages ...uint64) (b trace.Batch) {
	for _, p := range pages {
		b.Refs = append(b.Refs, trace.Ref{Addr: p<<trace.PageShift | p%4096})
	}
	return b
}

// block makes a block request.
func block(volume uint32, offset, length uint64) trace.Event {
	return trace.Event{Kind: trace.BlockWrite, Volume: volume, Offset: offset, Length: length}
}

func TestRequests(t *testing.T) {
	flush := trace.Event{Kind: trace.BlockFlush}
	blocks := trace.Batch{Events: []trace.Event{block(0, 512, 4096), flush, block(1, 512, 512), block(1, 0, 0), block(0, 4096, 8192)}}
	mixed := refs(7)
	mixed.Events = blocks.Events
	big := trace.Batch{Events: []trace.Event{block(0, 0, batchKeys*trace.PageBytes*2+1), block(0, 0, 1)}}
	for _, c := range []struct {
		name                      string
		records                   Records
		byRecord                  bool
		batches                   []trace.Batch
		requests, footprint, recs uint64
		others                    uint64
		kind                      Records
	}{
		{"memory", Auto, false, []trace.Batch{refs(1, 2), refs(1, 3)}, 4, 3, 4, 0, Memory},
		{"blocks", Auto, false, []trace.Batch{blocks}, 5, 4, 4, 0, Block}, // 0:0 0:1 1:0 0:1 0:2, nothing of what is empty
		{"offsets", Auto, true, []trace.Batch{blocks}, 4, 4, 4, 0, Block},
		{"a program's files are left out", Auto, false, []trace.Batch{mixed}, 1, 1, 1, 4, Memory},
		{"and its memory if that is wanted", Block, false, []trace.Batch{mixed}, 5, 4, 4, 1, Block},
		{"more than a batch of requests", Auto, false, []trace.Batch{big}, 2*batchKeys + 2, 2*batchKeys + 1, 2, 0, Block},
	} {
		o := DefaultOptions()
		o.Records, o.ByRecord = c.records, c.byRecord
		res, err := Run(context.Background(), opener(c.batches...), o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if res.Requests != c.requests || res.Footprint != c.footprint || res.Records != c.recs || res.Others != c.others || res.Kind != c.kind {
			t.Errorf("%s: %+v, want %+v", c.name, res, c)
		}
	}
}

func TestBadTraces(t *testing.T) {
	for _, c := range []struct {
		want    string
		records Records
		batches []trace.Batch
	}{
		{"no request to count", Auto, nil},
		{"no block request to count misses of, but 2 records of the other kind", Block, []trace.Batch{refs(1, 2)}},
		{"request 2: 17179869185 bytes from byte 0 on", Auto, []trace.Batch{{Events: []trace.Event{block(0, 0, 1), block(0, 0, MaxRecordBytes+1)}}}},
		{"below 2^64", Auto, []trace.Batch{{Events: []trace.Event{block(0, 1<<63, 1<<63)}}}},
	} {
		o := DefaultOptions()
		o.Records = c.records
		if _, err := Run(context.Background(), opener(c.batches...), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	o := Options{Policies: []string{"clok", "lru", "lru", "fifo"}, Records: "all", Sizes: make([]Size, MaxSizes+1), Sample: &stack.SampleOptions{Pages: 3}}
	err := o.Validate()
	for _, want := range []string{`policy "clok", want one of`, "lru is there twice", "fifo by a sample", `records "all"`, "1001 sizes", "0 caches at a time", "3 pages, want 1000"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := DefaultOptions().Validate(); err != nil {
		t.Error(err)
	}
	if err := (Options{}).Validate(); err == nil || !strings.Contains(err.Error(), "no policy") {
		t.Errorf("%v of nothing", err)
	}
}

func TestSizes(t *testing.T) {
	if _, err := ParseSizes("100, 5%,1MiB,0.001%,2KiB"); err == nil || !strings.Contains(err.Error(), "at least a page") {
		t.Errorf("%v, want a fault of 2KiB", err)
	}
	sizes, err := ParseSizes("100, 5%,1MiB,0.001%,256")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := inPages(sizes, 1010), []uint64{1, 51, 100, 256}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, bad := range []string{"", "0", "-1", "x", "0%", "-5%", "NaN%", "1e400%", "5 %%", "0B", "1.5", "1XiB", "100,"} {
		if s, err := ParseSizes(bad); err == nil {
			t.Errorf("%q is %+v, want a fault", bad, s)
		}
	}
	if got, want := defaultSizes(30), []uint64{1, 2, 5, 10, 20, 30}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, footprint := range []uint64{0, 1, 2, 1000, 1e9} {
		d := denseSizes(footprint, plotPoints)
		if d[0] != 1 || d[len(d)-1] != max(footprint, 1) || !slices.IsSorted(d) || len(d) > plotPoints {
			t.Errorf("sizes up to %d: %v", footprint, d)
		}
	}
}

// TestOffline: what has a shorter way counts what the policy's object counts, on any references.
func TestOffline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		pages := rapid.IntRange(2, 400).Draw(t, "pages")
		x := exact{hold: true}
		for range rapid.IntRange(1, 8).Draw(t, "phases") {
			first, width := rng.IntN(pages), 1+rng.IntN(pages)
			keys := make([]uint64, rng.IntN(600))
			for i := range keys {
				keys[i] = uint64(first + min(rng.IntN(width), rng.IntN(width)))
			}
			if err := x.take(keys, nil); err != nil {
				t.Fatal(err)
			}
		}
		compareOffline(t, &x, uint64(rapid.IntRange(1, max(x.numbers.Len(), 1)).Draw(t, "size")))
	})
}

// TestAllFits: a cache as large as the footprint, and larger, misses first references only, whatever its policy.
func TestAllFits(t *testing.T) {
	o := DefaultOptions()
	o.Policies, o.Sizes, o.Workers = Policies(), []Size{{Share: 1}, {Pages: 1 << 40}}, 3
	res, err := Run(context.Background(), opener(refs(1, 2, 3, 1, 1, 2)), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Rows) != 2*len(o.Policies) {
		t.Errorf("%d rows, want %d", len(res.Rows), 2*len(o.Policies))
	}
	for i, r := range res.Rows {
		if r.Misses != 3 || r.Requests != 6 || r.MissRatio != 0.5 || r.Policy != o.Policies[i/2] || r.Size != []uint64{3, 1 << 40}[i%2] {
			t.Errorf("row %d: %+v", i, r)
		}
	}
}

// TestFewSizes: LRU of a few sizes, which is simulated, is what its curve says, also when there are too many requests to hold.
func TestFewSizes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pages := make([]uint64, 3000)
	for i := range pages {
		pages[i] = uint64(min(rng.IntN(300), rng.IntN(300)))
	}
	o := DefaultOptions()
	o.Sizes, o.Curve = []Size{{Pages: 3}, {Pages: 70}, {Share: 0.9}}, true
	all, err := Run(context.Background(), opener(refs(pages...)), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Curve = false
	few, err := Run(context.Background(), opener(refs(pages...)), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Dense) == 0 || len(few.Dense) != 0 || len(all.Rows) != 3 || !slices.Equal(all.Rows, few.Rows) {
		t.Errorf("simulated %+v, of the curve %+v", few, all)
	}
	x := newExact(o)
	x.mayDrop = 1000
	for keys := range slices.Chunk(pages, 300) {
		if err := x.take(keys, nil); err != nil {
			t.Fatal(err)
		}
	}
	if x.hold || !x.lru || x.ids != nil {
		t.Errorf("%d requests are still held", len(x.ids))
	}
	res := &Result{Footprint: all.Footprint}
	x.rows(res, o, sizesFor(o, all.Footprint))
	if !slices.Equal(res.Rows, all.Rows) {
		t.Errorf("after too many requests %+v, of the curve %+v", res.Rows, all.Rows)
	}
}

// TestStop: Ctrl-C while reading leaves what there is to say of what was read, for each policy; while simulating, the caches that were done, and
// the others for the requests that they took.
func TestStop(t *testing.T) {
	cause := errors.New("stopped by the test")
	ctx, cancel := context.WithCancelCause(context.Background())
	o := DefaultOptions()
	o.Policies, o.Curve = Policies(), true
	o.Progress = func(p Progress) {
		if p.Stage == Reading && p.Done == 4 {
			cancel(cause)
		}
	}
	res, err := Run(ctx, opener(refs(1, 2), refs(1, 2), refs(1, 2)), o)
	if !errors.Is(err, cause) || res == nil || !res.Partial || res.Requests != 4 || len(res.Rows) != 2*len(o.Policies) {
		t.Fatalf("after a stop while reading: %+v, %v", res, err)
	}
	for i, r := range res.Rows { // of two pages in turns, one page misses all, or a half, and two miss two
		if r.Policy != o.Policies[i/2] || !r.Partial || r.Requests != 4 || i%2 == 1 && r.Misses != 2 || r.Misses < 2 || r.Misses > 4 {
			t.Errorf("after a stop while reading: %+v", r)
		}
	}
	ctx, cancel = context.WithCancelCause(context.Background())
	long := make([]uint64, 3*step)
	for i := range long {
		long[i] = uint64(i % 100)
	}
	o.Policies, o.Sizes = []string{"random", LRU, "arc"}, []Size{{Pages: 10}, {Pages: 20}}
	o.Progress = func(p Progress) {
		if p.Stage == Simulating && p.Done > 4*step {
			cancel(cause)
		}
		if p.Stage == Simulating && p.Total != 12*step {
			t.Errorf("%+v, want a total of %d", p, 12*step)
		}
	}
	res, err = Run(ctx, opener(refs(long...)), o)
	if !errors.Is(err, cause) || res == nil || !res.Partial || len(res.Rows) != 6 {
		t.Fatalf("after a stop while simulating: %+v, %v", res, err)
	}
	for i, want := range []Row{{Policy: "random", Size: 10, Requests: 3 * step}, {Policy: "random", Size: 20, Requests: 2 * step, Partial: true}, // one worker
		{Policy: LRU, Size: 10, Requests: 3 * step}, {Policy: LRU, Size: 20, Requests: 3 * step}, // of its curve
		{Policy: "arc", Size: 10, Requests: 3 * step, Partial: false}, {Policy: "arc", Size: 20, Requests: 3 * step, Partial: false}} { // few enough to do them all
		got := res.Rows[i]
		got.Misses, got.MissRatio = 0, 0
		if got != want {
			t.Errorf("after a stop while simulating: row %d: %+v, want %+v", i, got, want)
		}
	}
	broken := errors.New("the disk is broken")
	if _, err := Run(context.Background(), func() (trace.Source, error) { return nil, broken }, o); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}

// TestSample: an estimate says what it is of, and a sample of too few pages is given up for all.
func TestSample(t *testing.T) {
	open := func() (trace.Source, error) { return trace.Open("generator:zipf?pages=20000&refs=60000&seed=3") }
	o := DefaultOptions()
	o.Sizes = []Size{{Share: 0.5}}
	exact, err := Run(context.Background(), open, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o       stack.SampleOptions
		sampled bool
		few     bool
	}{{stack.SampleOptions{Pages: 3000}, true, false}, {stack.SampleOptions{Rate: 0.2}, true, false}, {stack.SampleOptions{Rate: 0.001}, false, true}, {stack.SampleOptions{Rate: 1}, false, false}} {
		o.Sample = &c.o
		res, err := Run(context.Background(), open, o)
		if err != nil {
			t.Fatal(err)
		}
		r := res.Rows[0]
		if (res.Sampled != nil) != c.sampled || (res.TooFew > 0) != c.few || r.Requests != 60_000 {
			t.Errorf("%+v: %+v", c.o, res)
		}
		if c.sampled != (r.StandardError > 0) || !c.sampled && r != exact.Rows[0] {
			t.Errorf("%+v: %+v, exact is %+v", c.o, r, exact.Rows[0])
		}
		if off := r.MissRatio - exact.Rows[0].MissRatio; off > 0.03 || off < -0.03 {
			t.Errorf("%+v: %+v, exact is %+v", c.o, r, exact.Rows[0])
		}
	}
}
