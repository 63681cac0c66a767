package report

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// States of a Fault.
const (
	FaultDone   = "done"
	FaultFailed = "failed" // it could not be made to happen
	FaultNever  = "never"  // its moment did not come before the run ended
)

// Fault is something that was to go wrong on purpose.
type Fault struct {
	Fault     string   `json:"fault"` // as it was said: "at 30% kill m2"
	State     string   `json:"state"`
	AtSeconds float64  `json:"at_seconds"` // since the start of the run, when it happened
	AtPercent float64  `json:"at_percent"` // of the accesses and block requests of the run that were made by then
	What      string   `json:"what"`       // "m2 (process 4711) was killed"
	Lost      []string `json:"lost,omitempty"`
	Error     string   `json:"error,omitempty"` // why it could not happen
}

// AddFaults takes down what went wrong on purpose, and what was lost by it.
func (s *Summary) AddFaults(fs []Fault) {
	s.Faults, s.Lost = []Fault{}, []string{}
	for _, f := range fs {
		s.Faults = append(s.Faults, f)
		for _, l := range f.Lost {
			s.Lost = append(s.Lost, fmt.Sprintf("%s, by %q", l, f.Fault))
		}
	}
	for _, f := range fs {
		switch f.State {
		case FaultNever:
			s.Warnings = append(s.Warnings, fmt.Sprintf("the fault %q never happened: the run ended before", f.Fault))
		case FaultFailed:
			s.Warnings = append(s.Warnings, fmt.Sprintf("the fault %q could not be made to happen: %s", f.Fault, f.Error))
		}
	}
}

// wrong prints what went wrong on purpose.
func wrong(b *strings.Builder, s *Summary) {
	if len(s.Faults) == 0 {
		return
	}
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "fault\tat s\tat %\twhat happened")
	for _, f := range s.Faults {
		switch f.State {
		case FaultNever:
			fmt.Fprintf(tw, "%s\t-\t-\tnever\n", f.Fault)
		case FaultFailed:
			fmt.Fprintf(tw, "%s\t%.2f\t%.2f\tcould not happen\n", f.Fault, f.AtSeconds, f.AtPercent)
		default:
			fmt.Fprintf(tw, "%s\t%.2f\t%.2f\t%s\n", f.Fault, f.AtSeconds, f.AtPercent, f.What)
		}
	}
	tw.Flush()
	b.WriteByte('\n')
}
