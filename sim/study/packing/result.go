package packing

import (
	"time"

	"splitkernel/sim/tasks"
)

// Result is what a run measured. Shares are of 1. Memory is in bytes, or where FractionMemory in billionths of what the trace calls 1.0.
type Result struct {
	Policy     string  `json:"policy"`
	Partial    bool    `json:"partial"` // stopped before the end of the stream
	Events     uint64  `json:"events"`
	Tasks      uint64  `json:"tasks"`
	Machines   int     `json:"machines_in_trace"`
	Span       float64 `json:"span_seconds"`
	Placed     uint64  `json:"placed"`
	Displaced  uint64  `json:"displaced"` // tasks whose machine left
	Rejected   Refused `json:"rejected"`
	Waited     Waited  `json:"waited"`
	Hosts      Count   `json:"hosts"`       // servers or pComponents
	MemoryHost Count   `json:"mcomponents"` // 0 with servers
	GPUHosts   Count   `json:"gcomponents"`

	Utilisation Shares `json:"utilisation"` // what tasks asked for, of what was there
	Peak        Shares `json:"peak_utilisation"`
	Stranded    Shares `json:"stranded"`    // of what was there, free where the other is full
	UsageKnown  bool   `json:"usage_known"` // the trace says what tasks use
	Used        Shares `json:"used"`
	// Overhead is memory that is taken beside what tasks asked for, of what was there: copies in the ExCache, and rounding.
	Overhead float64 `json:"memory_overhead"`

	FractionCores  bool `json:"cores_are_fractions"`
	FractionMemory bool `json:"memory_is_fraction"`

	// Hours are integrals over time, from which energy and prices follow.
	Hours Hours   `json:"hours"`
	Curve []Point `json:"curve"`

	peakNeed [3]tasks.Size // of servers or pComponents, of mComponents, of those of GPUs
}

// Refused is what was not placed.
type Refused struct {
	Tasks             uint64  `json:"tasks"`
	TooLarge          uint64  `json:"too_large"` // of them, those that would not fit if all were empty
	OfUnknownDuration uint64  `json:"of_unknown_duration"`
	CoreHours         float64 `json:"core_hours"`
	MemoryHours       float64 `json:"memory_hours"`
}

// Waited is what waited for room.
type Waited struct {
	Tasks          uint64  `json:"tasks"`
	MeanSeconds    float64 `json:"mean_seconds"` // of those that waited
	LongestSeconds float64 `json:"longest_seconds"`
	Left           int     `json:"left"` // still waiting at the end
}

// Count is how many servers or components of a kind there were.
type Count struct {
	There      int     `json:"there"` // at the end: given, or opened because they were needed
	MeanActive float64 `json:"mean_active"`
	PeakActive int     `json:"peak_active"`
}

// Shares are averages over time, or peaks.
type Shares struct {
	Cores  float64 `json:"cores"`
	Memory float64 `json:"memory"`
	GPUs   float64 `json:"gpus"`
}

// Hours are integrals: of servers or components that are there and that have a task, of processors taken, and of memory that is there.
type Hours struct {
	Hosts, ActiveHosts   float64
	Memory, ActiveMemory float64
	GPUs, ActiveGPUs     float64
	CoresTaken           float64
	CoresThere           float64
	MemoryThere          float64
	GPUsTaken            float64
}

// Point is one of the curve over time: averages over the seconds before the next.
type Point struct {
	Seconds        float64 `json:"seconds"`
	Cores          float64 `json:"cores"` // shares
	Memory         float64 `json:"memory"`
	GPUs           float64 `json:"gpus"`
	StrandedCores  float64 `json:"stranded_cores"`
	StrandedMemory float64 `json:"stranded_memory"`
	UsedCores      float64 `json:"used_cores"`
	UsedMemory     float64 `json:"used_memory"`
	Active         float64 `json:"active_hosts"`
	ActiveMemory   float64 `json:"active_mcomponents"`
	Running        float64 `json:"running_tasks"`
	Waiting        float64 `json:"waiting_tasks"`
}

// per is a/b, 0 where there is nothing.
func per(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// finish makes the result of what was measured.
func (r *run) finish(units tasks.Units) {
	out, m := &r.r, r.m
	out.Policy = r.o.Policy
	out.FractionCores, out.FractionMemory = units.CoresAreFractions, units.MemoryIsFraction
	out.Span = m.at.Seconds()
	out.Machines = len(r.machine)
	out.Waited.Left = r.queue.n
	out.Waited.MeanSeconds = per(r.waited.Seconds(), float64(out.Waited.Tasks))
	count := func(p *pool, active gauge) Count {
		if p == nil {
			return Count{}
		}
		return Count{There: p.present, MeanActive: m.mean(active), PeakActive: int(m.peak[active])}
	}
	out.Hosts = count(r.site.hosts, hostsActive)
	out.MemoryHost = count(r.site.memory, memoryActive)
	out.GPUHosts = count(r.site.gpus, gpusActive)

	ratio := func(a, b gauge) float64 { return per(m.mean(a), m.mean(b)) }
	out.Utilisation = Shares{ratio(takenCores, capacityCores), ratio(askedMemory, capacityMemory), ratio(takenGPUs, capacityGPUs)}
	out.Peak = Shares{per(m.peak[takenCores], m.peak[capacityCores]), per(m.peak[askedMemory], m.peak[capacityMemory]), per(m.peak[takenGPUs], m.peak[capacityGPUs])}
	out.Stranded = Shares{Cores: ratio(strandedCores, capacityCores), Memory: ratio(strandedMemory, capacityMemory)}
	out.Used = Shares{Cores: ratio(usedCores, capacityCores), Memory: ratio(usedMemory, capacityMemory)}
	out.Overhead = ratio(takenMemory, capacityMemory) - ratio(askedMemory, capacityMemory)
	hours := func(g gauge) float64 { return m.integral[g] / time.Hour.Seconds() }
	out.Hours = Hours{
		Hosts: hours(hostsPresent), ActiveHosts: hours(hostsActive), Memory: hours(memoryPresent), ActiveMemory: hours(memoryActive),
		GPUs: hours(gpusPresent), ActiveGPUs: hours(gpusActive), CoresTaken: hours(takenCores) / tasks.One, CoresThere: hours(capacityCores) / tasks.One,
		MemoryThere: hours(capacityMemory), GPUsTaken: hours(takenGPUs) / tasks.One,
	}
	for i, p := range []*pool{r.site.hosts, r.site.memory, r.site.gpus} {
		if p != nil {
			out.peakNeed[i] = p.peak
		}
	}
	for i := range m.curve {
		out.Curve = append(out.Curve, m.point(i))
	}
}

func (m *measures) point(i int) Point {
	c := &m.curve[i]
	from := time.Duration(i) * m.width
	took := (min(m.at, from+m.width) - from).Seconds()
	return Point{
		Seconds: from.Seconds(), Cores: per(c[takenCores], c[capacityCores]), Memory: per(c[askedMemory], c[capacityMemory]),
		GPUs: per(c[takenGPUs], c[capacityGPUs]), StrandedCores: per(c[strandedCores], c[capacityCores]), StrandedMemory: per(c[strandedMemory], c[capacityMemory]),
		UsedCores: per(c[usedCores], c[capacityCores]), UsedMemory: per(c[usedMemory], c[capacityMemory]),
		Active: per(c[hostsActive], took), ActiveMemory: per(c[memoryActive], took), Running: per(c[running], took), Waiting: per(c[waiting], took),
	}
}
