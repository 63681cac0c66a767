package packing

import (
	"errors"
	"fmt"
	"math"
)

// Power is a model of what servers and components draw, in watts: so much when idle, in proportion to the processors that are taken from there to the most,
// and so much for memory that is there. It is a model: nothing here was measured. Each value carries a text that says where it is from.
type Power struct {
	Server Draw `yaml:"server" json:"server"`
	P      Draw `yaml:"pcomponent" json:"pcomponent"`
	M      Draw `yaml:"mcomponent" json:"mcomponent"`
	G      Draw `yaml:"gcomponent" json:"gcomponent"`
	// MemoryPerGiB is drawn by memory that is there and on, GPU by each GPU that is taken.
	MemoryPerGiB Value `yaml:"memory_watts_per_gib" json:"memory_watts_per_gib"`
	GPU          Value `yaml:"gpu_watts" json:"gpu_watts"`
	// Off says that a server or component without a task is switched off and draws nothing.
	Off bool `yaml:"empty_are_off" json:"empty_are_off"`
}

// Value is a number and where it is from.
type Value struct {
	Value  float64 `yaml:"value" json:"value"`
	Source string  `yaml:"source" json:"source"`
}

// Draw is what one draws: when idle, and with all its processors taken.
type Draw struct {
	Idle Value `yaml:"idle_watts" json:"idle_watts"`
	Busy Value `yaml:"busy_watts" json:"busy_watts"`
}

// MaxWatts bounds each value.
const MaxWatts = 1e6

// Validate returns all faults.
func (p Power) Validate() error {
	var errs []error
	check := func(key string, v Value) {
		if !(v.Value >= 0 && v.Value <= MaxWatts) {
			errs = append(errs, fmt.Errorf("%s: %v W, want 0 to %v", key, v.Value, float64(MaxWatts)))
		}
		if v.Source == "" {
			errs = append(errs, fmt.Errorf("%s: no source, want where the value is from", key))
		}
	}
	for _, d := range []struct {
		key string
		d   Draw
	}{{"server", p.Server}, {"pcomponent", p.P}, {"mcomponent", p.M}, {"gcomponent", p.G}} {
		check(d.key+".idle_watts", d.d.Idle)
		check(d.key+".busy_watts", d.d.Busy)
		if d.d.Busy.Value < d.d.Idle.Value {
			errs = append(errs, fmt.Errorf("%s.busy_watts: %v, want at least idle_watts, %v", d.key, d.d.Busy.Value, d.d.Idle.Value))
		}
	}
	check("memory_watts_per_gib", p.MemoryPerGiB)
	check("gpu_watts", p.GPU)
	return errors.Join(errs...)
}

// Energy is what a run drew by a model, in kWh.
type Energy struct {
	Idle   float64 `json:"idle_kwh"`   // servers or components that are on
	Cores  float64 `json:"cores_kwh"`  // processors that are taken
	Memory float64 `json:"memory_kwh"` // memory that is on
	GPUs   float64 `json:"gpus_kwh"`
	Total  float64 `json:"total_kwh"`
	// PerCoreHour is Total by the core hours that tasks were given, in Wh.
	PerCoreHour float64 `json:"wh_per_core_hour"`
}

// Energy is what a result draws on a layout. Memory of servers and mComponents that are switched off draws nothing.
func (p Power) Energy(r *Result, l Layout) Energy {
	const kilo = 1000
	const gib = 1 << 30
	h := r.Hours
	hosts, memory, gpus := h.Hosts, h.Memory, h.GPUs
	if p.Off {
		hosts, memory, gpus = h.ActiveHosts, h.ActiveMemory, h.ActiveGPUs
	}
	host, cores := p.Server, 0.0
	if l.Pools {
		host = p.P
	}
	e := Energy{Idle: hosts * host.Idle.Value / kilo}
	memoryHours := h.MemoryThere
	if h.Hosts > 0 {
		cores = h.CoresThere / h.Hosts // of one
	}
	if l.Pools {
		e.Idle += (memory*p.M.Idle.Value + gpus*p.G.Idle.Value) / kilo
		memoryHours = memory*float64(l.M.Size.Memory) + hosts*float64(l.P.Size.Memory)
	} else if p.Off && h.Hosts > 0 {
		memoryHours *= h.ActiveHosts / h.Hosts
	}
	if cores > 0 {
		e.Cores = h.CoresTaken / cores * (host.Busy.Value - host.Idle.Value) / kilo
	}
	if !r.FractionMemory {
		e.Memory = memoryHours / gib * p.MemoryPerGiB.Value / kilo
	}
	e.GPUs = h.GPUsTaken * p.GPU.Value / kilo
	e.Total = e.Idle + e.Cores + e.Memory + e.GPUs
	if h.CoresTaken > 0 && !math.IsNaN(e.Total) {
		e.PerCoreHour = e.Total * kilo / h.CoresTaken
	}
	return e
}
