package reproduce

import (
	"cmp"
	"math"
)

// Kinds of rows.
const (
	// Fitted rows were used to find parameters.
	Fitted = "fitted"
	// Predicted rows were not.
	Predicted = "predicted"
	// Input rows are published values that the models take as they are.
	Input = "input"
)

// Row is one published value beside ours.
type Row struct {
	Figure    string  `json:"figure"`
	Case      string  `json:"case"`
	Published float64 `json:"published"`
	Ours      float64 `json:"ours"`
	// Error is (ours − published) / published.
	Error  float64 `json:"error"`
	Fitted bool    `json:"fitted"`
	Unit   string  `json:"unit"`
	Kind   string  `json:"kind"`
}

func newRow(figure, name, unit string, published, ours float64, kind string) Row {
	return Row{figure, name, published, ours, ours/published - 1, kind != Predicted, unit, kind}
}

// Target is what a figure should reach.
type Target struct {
	Figure string  `json:"figure"`
	What   string  `json:"what"`
	Wanted float64 `json:"wanted"`
	Got    float64 `json:"got"`
	// AtLeast: more is better.
	AtLeast bool `json:"at_least"`
	Reached bool `json:"reached"`
	// Reason is why it was not reached.
	Reason string `json:"reason,omitempty"`
}

func target(figure, what string, wanted, got float64, atLeast bool, reason string) Target {
	t := Target{Figure: figure, What: what, Wanted: wanted, Got: got, AtLeast: atLeast}
	if t.Reached = cmp.Compare(got, wanted) <= 0; atLeast {
		t.Reached = got >= wanted
	}
	if !t.Reached {
		t.Reason = reason
	}
	return t
}

// Result is everything.
type Result struct {
	Seed     uint64   `json:"seed"`
	Scale    int      `json:"scale"`
	Hardware string   `json:"hardware"`
	Rows     []Row    `json:"rows"`
	Targets  []Target `json:"targets"`
}

// MeanError is the mean absolute error of the rows of a figure that were predicted and that keep wants; nil wants all.
func (r *Result) MeanError(figure string, keep func(*Row) bool) float64 {
	sum, n := 0.0, 0
	for i := range r.Rows {
		if w := &r.Rows[i]; w.Figure == figure && w.Kind == Predicted && (keep == nil || keep(w)) {
			sum += math.Abs(w.Error)
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}

// find gives a row.
func (r *Result) find(figure, name string) *Row {
	for i := range r.Rows {
		if w := &r.Rows[i]; w.Figure == figure && w.Case == name {
			return w
		}
	}
	panic("reproduce: no row " + figure + ", " + name) // names are constants of this package
}
