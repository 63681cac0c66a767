package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"splitkernel/netlayer/wire"
)

// SchemaSlowest names the schema of slowest.json in docs/tracing.md.
const SchemaSlowest = "splitkernel.slowest/1"

// Slowest is slowest.json: the page faults that took longest, the slowest first.
type Slowest struct {
	Schema string `json:"schema"`
	Engine string `json:"engine"` // "live" or "virtual"
	// TimedEvery is how many fetches there were for each whose stages are known; of virtual runs 1.
	TimedEvery uint32      `json:"timed_every"`
	Faults     []SlowFault `json:"faults"`
}

// SlowFault is a fault and where its time went.
type SlowFault struct {
	Process    string      `json:"process"`
	PID        wire.PID    `json:"pid"`
	PComponent wire.NodeID `json:"pcomponent"`
	Thread     uint32      `json:"thread"`
	Address    string      `json:"address"` // of its page, hexadecimal
	Write      bool        `json:"write"`
	Kind       string      `json:"kind"`     // one of FaultKinds
	Owner      wire.NodeID `json:"owner"`    // where its message went; empty if it sent none
	Messages   uint32      `json:"messages"` // that it sent
	Flush      bool        `json:"flush"`    // the last of them carried the write-back of its victim
	Timed      bool        `json:"timed"`    // all its stages are known
	AtSeconds  float64     `json:"at_seconds"`
	Micros     float64     `json:"us"`
	// Stages are those that took any time, in order; together they are Micros.
	Stages []FaultStage `json:"stages"`
}

// FaultStage is a part of the time of a fault.
type FaultStage struct {
	Name   string  `json:"name"`
	Micros float64 `json:"us"`
}

// AddSlow adds faults that began after the moment zero, of the processes in only if that is not nil, and keeps the most slowest.
func (s *Slowest) AddSlow(faults []wire.SlowFault, zeroNS int64, only map[wire.PID]bool, most int) {
	for i := range faults {
		f := &faults[i]
		if only != nil && !only[f.PID] {
			continue
		}
		x := SlowFault{
			Process: f.Process, PID: f.PID, PComponent: f.Node, Thread: f.Thread, Address: fmt.Sprintf("%#x", uint64(f.Page)<<wire.PageShift), Write: f.Write, Owner: f.Owner,
			Messages: f.Fetches, Flush: f.Flush, Timed: f.Timed, AtSeconds: float64(f.BeganNS-zeroNS) / 1e9, Micros: float64(f.TookNS) / 1e3, Stages: []FaultStage{},
		}
		if k := int(f.How) - 1; k >= 0 && k < len(FaultKinds) {
			x.Kind = FaultKinds[k]
		}
		for k, ns := range f.Stages {
			if ns > 0 {
				x.Stages = append(x.Stages, FaultStage{wire.StageNames[k], float64(ns) / 1e3})
			}
		}
		s.Faults = append(s.Faults, x)
	}
	slices.SortStableFunc(s.Faults, func(a, b SlowFault) int {
		switch {
		case a.Micros > b.Micros:
			return -1
		case a.Micros < b.Micros:
			return 1
		}
		return 0
	})
	s.Faults = s.Faults[:min(len(s.Faults), most)]
}

// Write prints a table with a row for each fault and a column for each stage that any of them has.
func (s *Slowest) Write(to io.Writer) error {
	var some [wire.NumStages]bool
	for i := range s.Faults {
		for _, g := range s.Faults[i].Stages {
			some[slices.Index(wire.StageNames[:], g.Name)] = true
		}
	}
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "PROCESS\tON\tADDRESS\tACCESS\tKIND\tOWNER\tAT\tµs\t")
	for k, has := range some {
		if has {
			fmt.Fprintf(w, "%s\t", wire.StageNames[k])
		}
	}
	fmt.Fprintln(w)
	for i := range s.Faults {
		f := &s.Faults[i]
		access, owner := "read", string(f.Owner)
		if f.Write {
			access = "write"
		}
		if owner == "" {
			owner = "-"
		}
		if f.Flush {
			owner += "+flush"
		}
		fmt.Fprintf(w, "%s/%d\t%s\t%s\t%s\t%s\t%s\t%.3fs\t%.1f\t", f.Process, f.Thread, f.PComponent, f.Address, access, strings.ReplaceAll(f.Kind, "_", " "), owner, f.AtSeconds, f.Micros)
		for k, has := range some {
			if !has {
				continue
			}
			at := slices.IndexFunc(f.Stages, func(g FaultStage) bool { return g.Name == wire.StageNames[k] })
			if at < 0 {
				fmt.Fprint(w, "-\t")
			} else {
				fmt.Fprintf(w, "%.1f\t", f.Stages[at].Micros)
			}
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
