package events

import (
	"fmt"
	"strings"
)

// String says in a line what was decided and why, without number and time.
func (e Event) String() string {
	var b strings.Builder
	b.WriteString(e.Kind.String())
	part := func(name string, v any, is bool) {
		if is {
			fmt.Fprintf(&b, " %s=%v", name, v)
		}
	}
	part("process", e.PID, e.PID != 0)
	part("by", e.By, e.By != 0)
	part("vregion", e.Region, e.Kind == PlacedRegion || e.Region != 0)
	part("volume", e.Volume, e.Volume != 0)
	part("node", e.Node, e.Node != "")
	part("epoch", e.Epoch, e.Epoch != 0)
	part("from", e.From, e.From != "")
	part("to", e.To, e.To != "")
	part("move", e.Move, e.Move != 0)
	part("amount", e.Amount, e.Amount != 0)
	part("policy", e.Policy, e.Policy != "")
	if len(e.Candidates) > 0 {
		b.WriteString(" among ")
		for i, c := range e.Candidates {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(string(c.ID))
			if why := c.Reason(e.Unit); why != "" {
				fmt.Fprintf(&b, " (%s)", why)
			}
		}
	}
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	return b.String()
}

// Reason says in words what speaks for or against a candidate; unit is that of the event.
func (c Candidate) Reason(unit string) string {
	switch {
	case unit == "":
		return c.Why
	case c.Why == "":
		return fmt.Sprintf("%s %d", unit, c.Value)
	}
	return fmt.Sprintf("%s %d, %s", unit, c.Value, c.Why)
}
