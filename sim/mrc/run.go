package mrc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"splitkernel/sim/mrc/stack"
	"splitkernel/sim/trace"
)

// Row is one point of a curve. The JSON keys are for programs and stay.
type Row struct {
	Policy    string  `json:"policy"`
	Size      uint64  `json:"size"` // pages
	Requests  uint64  `json:"requests"`
	Misses    uint64  `json:"misses"`
	MissRatio float64 `json:"miss_ratio"`
	// StandardError is that of MissRatio where it is estimated from a sample.
	StandardError float64 `json:"standard_error,omitempty"`
	// Partial says that only the first requests of the trace were looked at, for the work was stopped.
	Partial bool `json:"partial,omitempty"`
}

// Result has the rows by policy, in the order of the options, and then by size.
type Result struct {
	Rows      []Row
	Dense     []Row // LRU at many sizes, for a plot; there if Options.Curve asks for it, and LRU is wanted
	Requests  uint64
	Records   uint64 // of the trace
	Kind      Records
	Footprint uint64 // different pages; estimated where sampled
	Threads   int
	// Others are records of the other kind, which were left out.
	Others uint64
	// Sampled tells of the sample; nil if all was looked at.
	Sampled *Sampled
	// TooFew is how many pages the sample would have had, if it was given up for that and all was looked at; else 0.
	TooFew int
	// Partial says that the work was stopped: rows are missing, or stand for the requests until then.
	Partial bool
}

// Sampled is what a curve was estimated from.
type Sampled struct {
	Pages    int
	Requests uint64
	Rate     float64 // at the end
}

// plotPoints is how many sizes a dense curve has at most.
const plotPoints = 200

// Run computes the curves of a trace, which open gives from its beginning, once or, if a sample turns out too small, twice. When ctx
// ends it returns what it has, with an error that wraps the cause.
func Run(ctx context.Context, open func() (trace.Source, error), o Options) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Sample != nil {
		res, enough, err := sampled(ctx, open, o)
		if err != nil || enough {
			return res, err
		}
		o.Sample = nil
		all, err := Run(ctx, open, o)
		if all != nil {
			all.TooFew = res.Sampled.Pages
		}
		return all, err
	}
	x := newExact(o)
	r, stop := read(ctx, open, o, x.take)
	if r == nil || stop != nil && ctx.Err() == nil {
		return nil, stop
	}
	if stop != nil && slices.Contains(o.Policies, LRU) && !x.lru {
		x.distances.Touch(x.ids) // its curve is quicker than caches
		x.lru = true
	}
	res := r.result()
	res.Requests, res.Footprint, res.Partial = x.requests, uint64(x.numbers.Len()), stop != nil
	sizes := sizesFor(o, res.Footprint)
	x.rows(res, o, sizes)
	if err := x.simulate(ctx, res, o, sizes); stop == nil {
		stop = err
	}
	return res, stop
}

// newExact decides how LRU is had: by its curve, for all sizes, or by a few simulations.
func newExact(o Options) *exact {
	x := &exact{}
	few := len(o.Sizes) > 0 && len(o.Sizes) <= fewSizes && !o.Curve
	others := 0
	for _, p := range o.Policies {
		if p != LRU {
			others++
		} else if !few {
			x.lru = true
		}
	}
	x.hold = others > 0 || !x.lru
	if others == 0 && few {
		x.mayDrop = holdForLRU
	}
	return x
}

// sizesFor are the sizes asked for, in pages.
func sizesFor(o Options, footprint uint64) []uint64 {
	if len(o.Sizes) == 0 {
		return defaultSizes(footprint)
	}
	return inPages(o.Sizes, footprint)
}

// result begins one with what the requests tell.
func (r *requests) result() *Result {
	return &Result{Records: r.done, Kind: r.records, Threads: r.threads, Others: r.others}
}

// read hands all requests of the trace to take. The error of a stop comes with the requests.
func read(ctx context.Context, open func() (trace.Source, error), o Options, take func(keys []uint64, volumes []uint32) error) (r *requests, err error) {
	src, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	r = &requests{src: trace.Stoppable(ctx, src), name: "the trace", byRecord: o.ByRecord, records: o.Records}
	for {
		keys, volumes, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return r, err
		}
		if err := take(keys, volumes); err != nil {
			return r, err
		}
		if o.Progress != nil {
			o.Progress(Progress{Reading, r.done, r.total(src)})
		}
	}
	if r.done == 0 {
		return nil, fmt.Errorf("the trace has no %s to count misses of%s", map[Records]string{Auto: "request", Memory: "reference to memory", Block: "block request"}[r.records], othersHint(r))
	}
	return r, nil
}

// total is how many records there will be: what the header says, or a guess from the part of the file that was read; 0 = unknown.
func (r *requests) total(src trace.Source) uint64 {
	h := src.Header()
	total := h.Refs
	if r.records == Block {
		total = h.BlockOps
	}
	if done, all := trace.ReadSoFar(src); total == 0 && done > 0 {
		total = uint64(float64(r.done) * float64(all) / float64(done))
	}
	return total
}

func othersHint(r *requests) string {
	if r.others == 0 {
		return ""
	}
	return fmt.Sprintf(", but %d records of the other kind: see --records", r.others)
}

// sampled estimates LRU. Unless enough is false, which says that the sample was too small to say anything.
func sampled(ctx context.Context, open func() (trace.Source, error), o Options) (res *Result, enough bool, err error) {
	s := stack.NewSample(*o.Sample)
	r, stop := read(ctx, open, o, func(keys []uint64, volumes []uint32) error { s.Touch(keys, volumes); return nil })
	if r == nil || stop != nil && ctx.Err() == nil {
		return nil, true, stop
	}
	e := s.Estimate()
	res = r.result()
	res.Requests, res.Footprint, res.Partial = e.Requests, uint64(e.Pages+0.5), stop != nil
	if !e.Exact() {
		res.Sampled = &Sampled{Pages: e.SampledPages, Requests: e.SampledRequests, Rate: e.Rate}
		if e.SampledPages < stack.LeastSample && stop == nil {
			return res, false, nil
		}
	}
	row := func(size uint64) Row {
		ratio, se := e.MissRatio(size)
		return Row{Policy: LRU, Size: size, Requests: e.Requests, Misses: uint64(ratio*float64(e.Requests) + 0.5), MissRatio: ratio, StandardError: se, Partial: res.Partial}
	}
	for _, size := range sizesFor(o, res.Footprint) {
		res.Rows = append(res.Rows, row(size))
	}
	for _, size := range denseSizes(res.Footprint, plotPoints) {
		res.Dense = append(res.Dense, row(size))
	}
	return res, true, stop
}
