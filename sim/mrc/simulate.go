package mrc

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"splitkernel/pcomponent/policy"
	"splitkernel/sim/mrc/stack"
)

// step is how many requests a cache takes before it looks whether to stop.
const step = 1 << 16

// cache counts misses of one cache.
type cache interface {
	// Run goes on for n requests, or to the end, and gives the misses until now.
	Run(n int) uint64
}

// briefRequests bounds what is done for caches that had not begun when the work was stopped: together so many requests, about a second's
// work of a slow policy.
const briefRequests = 1 << 22

// job is one cache to simulate.
type job struct {
	policy   string
	size     uint64
	requests uint64 // that it took
	misses   uint64
	done     bool // it took all
}

// simulate adds the rows of all policies, but of LRU if its curve is there. Each processor takes one job after the other. The first error ends all. If ctx
// ends, caches that are not done have rows for the requests that they took, those that have not begun for a few, and all of these say so.
func (x *exact) simulate(ctx context.Context, res *Result, o Options, sizes []uint64) error {
	var jobs []job
	for _, p := range o.Policies {
		for _, size := range sizes {
			if p != LRU || !x.lru {
				jobs = append(jobs, job{policy: p, size: size})
			}
		}
	}
	var total uint64
	for i := range jobs {
		if jobs[i].size < res.Footprint {
			total += uint64(len(x.ids))
		}
	}
	if ctx.Err() == nil && slices.Contains(o.Policies, belady) {
		x.next = stack.NextUses(x.ids, x.numbers.Len())
	}
	stop := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var done atomic.Uint64
	var workers sync.WaitGroup
	for range min(o.Workers, len(jobs)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				err := x.job(ctx, &jobs[i], o, func(n int) {
					if d := done.Add(uint64(n)); o.Progress != nil {
						o.Progress(Progress{Simulating, d, total})
					}
				})
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	if stop.Err() != nil {
		x.brief(context.WithoutCancel(stop), jobs, o)
	}
	for _, j := range jobs {
		if j.requests > 0 {
			res.Rows = append(res.Rows, newRow(j.policy, j.size, j.requests, j.misses, res.Partial || !j.done))
		}
	}
	order := func(r Row) int { return slices.Index(o.Policies, r.Policy) }
	slices.SortStableFunc(res.Rows, func(a, b Row) int { return order(a) - order(b) })
	if ctx.Err() != nil {
		res.Partial = true
		return context.Cause(ctx)
	}
	return nil
}

// brief simulates the caches that have not begun for the first requests, as many as briefRequests allows.
func (x *exact) brief(ctx context.Context, jobs []job, o Options) {
	left := 0
	for _, j := range jobs {
		if j.requests == 0 {
			left++
		}
	}
	if left == 0 || len(x.ids) == 0 {
		return
	}
	first := exact{ids: x.ids[:min(len(x.ids), max(briefRequests/left, 1))]}
	first.pages = int(slices.Max(first.ids)) + 1 // for pages are numbered as they come
	if slices.Contains(o.Policies, belady) {
		first.next = stack.NextUses(first.ids, first.pages)
	}
	for i := range jobs {
		if jobs[i].requests > 0 {
			continue
		}
		if err := first.job(ctx, &jobs[i], o, func(int) {}); err != nil {
			jobs[i].requests = 0 // this cache cannot be had: it has no row
		}
		jobs[i].done = len(first.ids) == len(x.ids)
	}
}

// job simulates one cache.
func (x *exact) job(ctx context.Context, j *job, o Options, progress func(n int)) error {
	if j.size >= uint64(x.footprint()) { // all fits, and no policy evicts before a cache is full
		j.requests, j.misses, j.done = uint64(len(x.ids)), uint64(x.footprint()), true
		return nil
	}
	c, err := x.newCache(j.policy, j.size, o.Policy)
	if err != nil {
		return err
	}
	for n := 0; n < len(x.ids); n += step {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		j.misses = c.Run(step)
		j.requests = uint64(min(n+step, len(x.ids)))
		progress(min(step, len(x.ids)-n))
	}
	j.done = true
	return nil
}

// newCache makes a cache of fewer pages than there are.
func (x *exact) newCache(name string, size uint64, o policy.Options) (cache, error) {
	pages := x.footprint()
	switch name {
	case LRU:
		return stack.NewLRU(uint32(size), x.ids, pages), nil
	case "fifo":
		return stack.NewFIFO(uint32(size), x.ids, pages), nil
	case "clock":
		return stack.NewClock(uint32(size), x.ids, pages), nil
	case belady:
		return stack.NewBelady(int(size), x.next), nil
	}
	return newPolicyCache(name, size, x.ids, pages, o)
}

// policyCache is a fully associative cache of any policy.
type policyCache struct {
	p      policy.Policy
	ids    []uint32
	line   []uint32 // by page: line + 1; 0 = not in the cache
	page   []uint32 // by line
	size   int
	now    int
	misses uint64
}

func newPolicyCache(name string, size uint64, ids []uint32, pages int, o policy.Options) (*policyCache, error) {
	if size > policy.MaxLines {
		return nil, fmt.Errorf("policy %s with %d pages: more than %d can only be had of lru, fifo, clock and belady", name, size, policy.MaxLines)
	}
	p, err := policy.New(name, 1, int(size), o)
	if err != nil {
		return nil, err
	}
	return &policyCache{p: p, ids: ids, line: make([]uint32, pages), page: make([]uint32, 0, size), size: int(size)}, nil
}

// Run implements cache.
func (c *policyCache) Run(n int) uint64 {
	end := min(c.now+n, len(c.ids))
	for _, id := range c.ids[c.now:end] {
		if l := c.line[id]; l != 0 {
			c.p.Touch(l - 1)
			continue
		}
		c.misses++
		var line uint32
		if len(c.page) < c.size {
			line = uint32(len(c.page))
			c.page = append(c.page, id)
		} else {
			var ok bool
			if line, ok = c.p.Victim(0, uint64(id), nil); !ok {
				panic("mrc: a full cache has no victim, and no line is busy")
			}
			c.p.Evict(line)
			c.line[c.page[line]] = 0
			c.page[line] = id
		}
		c.p.Insert(line, uint64(id))
		c.line[id] = line + 1
	}
	c.now = end
	return c.misses
}
