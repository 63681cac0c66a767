package packing

import "splitkernel/sim/tasks"

// Needed is how many servers or components of a kind a stream needs.
type Needed struct {
	Kind string `json:"kind"`
	// Bound is the least that there can be: the peak of what is asked for at one time, by what one has.
	Bound int `json:"bound"`
	// Opened is how many were opened when each was opened only if no other had room. By policies that fill what is fullest first, a run with
	// so many from the beginning rejects nothing; one that spreads tasks over empty servers may need more.
	Opened int `json:"opened"`
	// Least is the smallest number found by bisection with which nothing is rejected. Packing is not monotone, so a smaller one that
	// happens to do is possible; the bound says how far that can be.
	Least int `json:"least"`
}

// Need finds how many servers or components of each kind o.Layout needs so that nothing is rejected but what is too large for any. The counts
// in o do not matter. open begins the stream anew for each run. The result is that of a run with the smallest numbers of all kinds.
func Need(open func() (tasks.Source, error), o Options, watch func(events uint64) bool) ([]Needed, *Result, error) {
	o.Queue = 0
	l := &o.Layout
	parts := []*Part{&l.Server}
	names := []string{"server"}
	if l.Pools {
		parts, names = []*Part{&l.P, &l.M}, []string{"pComponent", "mComponent"}
		if l.G.Size.GPUs > 0 {
			parts, names = append(parts, &l.G), append(names, "gComponent")
		}
	}
	for _, p := range parts {
		p.Count = 0
	}
	run := func(o Options) (*Result, error) {
		src, err := open()
		if err != nil {
			return nil, err
		}
		return Run(src, o, watch)
	}
	whole, err := run(o)
	if err != nil {
		return nil, nil, err
	}
	var all []Needed
	for i, p := range parts {
		n := Needed{Kind: names[i], Bound: bound(whole.peakNeed[i], p.Size), Opened: []Count{whole.Hosts, whole.MemoryHost, whole.GPUHosts}[i].There}
		n.Least, err = least(n, func(count int) (bool, error) {
			p.Count = count
			r, err := run(o)
			if err != nil {
				return false, err
			}
			whole.Partial = whole.Partial || r.Partial
			return r.Rejected.Tasks == r.Rejected.TooLarge, nil
		})
		if err != nil {
			return nil, nil, err
		}
		p.Count = 0 // tasks that nothing is rejected of see each kind alone
		all = append(all, n)
	}
	if whole.Partial {
		return all, whole, nil
	}
	for i, p := range parts {
		p.Count = all[i].Least
	}
	if whole, err = run(o); err != nil {
		return nil, nil, err
	}
	return all, whole, nil
}

// least searches for the smallest number that is enough, from the bound on.
func least(n Needed, enough func(count int) (bool, error)) (int, error) {
	low, high := max(n.Bound, 1), n.Opened
	for high > 0 && high < MaxHosts {
		ok, err := enough(high)
		if err != nil {
			return 0, err
		}
		if ok {
			break
		}
		low, high = high+1, min(high+high/4+1, MaxHosts)
	}
	for low < high {
		middle := low + (high-low)/2
		ok, err := enough(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return high, nil
}

// bound is how often size must be there for peak.
func bound(peak, size tasks.Size) (n int) {
	for _, d := range [3][2]int64{{peak.Cores, size.Cores}, {peak.Memory, size.Memory}, {peak.GPUs, size.GPUs}} {
		if d[1] > 0 {
			n = max(n, int((d[0]+d[1]-1)/d[1]))
		}
	}
	return n
}
