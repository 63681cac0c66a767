package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// Failure is a component that the managers declared dead during the run, and what became of what it had. Times are in ms since the last sign
// that it lived; nil is what had not come by the end of the run, or what there was nothing of.
type Failure struct {
	Component wire.NodeID `json:"component"`
	Role      string      `json:"role"`
	Epoch     wire.Epoch  `json:"epoch"` // that ended
	Cause     string      `json:"cause"` // refused (nobody listens at its address: its process ended), silence, or by hand
	AtSeconds float64     `json:"at_seconds"`
	Detect    *float64    `json:"detect_ms"`       // declared dead
	Fence     *float64    `json:"fence_ms"`        // a majority of managers has its epoch as ended
	Access    *float64    `json:"first_access_ms"` // all that it served alone is served again
	Redundant *float64    `json:"redundancy_ms"`   // everything has as many copies as before
	Others    uint64      `json:"served_by_others"`
	Note      string      `json:"note,omitempty"` // what the managers said last of it
}

// roles of the managers' members.
var roles = [...]string{wire.GPM: "pcomponent", wire.GMM: "mcomponent", wire.GSM: "scomponent"}

// AddFailures takes down the failures that the events of a manager tell of, which began at startMS by its clock. Events are in order.
func (s *Summary) AddFailures(m wire.Manager, list []events.Event, startMS int64) {
	after := func(f *Failure, ms uint64) *float64 {
		v := float64(ms)
		if f.Detect != nil {
			v += *f.Detect
		}
		return &v
	}
	first := len(s.Failures)
	fills := map[wire.VolumeID]int{} // the failure that its newest copy is in place of; only looked up
	left := map[int]int{}            // copies that a failure lacks
	for i := range list {
		e := &list[i]
		at := -1
		for j := first; j < len(s.Failures); j++ {
			if f := &s.Failures[j]; f.Component == e.Node && f.Epoch == e.Epoch {
				at = j
			}
		}
		switch {
		case e.Kind == events.Dead && at < 0:
			f := Failure{Component: e.Node, Role: roles[m], Epoch: e.Epoch, Cause: "by hand", AtSeconds: float64(e.MS-startMS) / 1e3}
			if d, ok := membership.ParseDeath(e.Reason); ok {
				ms := float64(d.Detect.Microseconds()) / 1e3
				f.Cause, f.Detect = d.Cause.String(), &ms
			}
			s.Failures = append(s.Failures, f)
		case e.Kind == events.ReplicaFills:
			for j := first; j < len(s.Failures); j++ {
				if s.Failures[j].Component == e.From {
					fills[e.Volume] = j
					left[j]++
				}
			}
		case e.Kind == events.ReplicaInSync:
			if j, ok := fills[e.Volume]; ok {
				delete(fills, e.Volume)
				if left[j]--; left[j] == 0 && e.Amount > 0 {
					s.Failures[j].Redundant = after(&s.Failures[j], e.Amount)
				}
			}
		case at < 0:
		case e.Kind == events.Fenced:
			if d, ok := membership.ParseFence(e.Reason); ok {
				ms := float64(d.Microseconds()) / 1e3
				s.Failures[at].Fence = &ms
			}
		case e.Kind == events.Recovering:
			s.Failures[at].Others = e.Amount
		case e.Kind == events.FirstAccess:
			s.Failures[at].Access = after(&s.Failures[at], e.Amount)
		case e.Kind == events.Restored:
			s.Failures[at].Redundant = after(&s.Failures[at], e.Amount)
		case e.Kind == events.Lost:
			s.Failures[at].Note = e.Reason
		}
	}
	slices.SortStableFunc(s.Failures, func(a, b Failure) int { return cmp.Compare(a.AtSeconds, b.AtSeconds) })
}

// failures prints who died and how long what took.
func failures(b *strings.Builder, s *Summary) {
	if len(s.Failures) == 0 {
		return
	}
	ms := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprintf("%.0f", *v)
	}
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "failed\tat s\tcause\tdetected ms\tfenced ms\tfirst access ms\tredundant ms\tserved by others")
	for _, f := range s.Failures {
		fmt.Fprintf(tw, "%s\t%.2f\t%s\t%s\t%s\t%s\t%s\t%d\n", f.Component, f.AtSeconds, f.Cause, ms(f.Detect), ms(f.Fence), ms(f.Access), ms(f.Redundant), f.Others)
	}
	tw.Flush()
	b.WriteByte('\n')
}
