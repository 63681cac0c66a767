package reproduce

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"splitkernel/sim/hardware"
	"splitkernel/sim/hardware/endpoint"
)

// Bounds and defaults of options.
const (
	// DefaultScale divides memory in the full reproduction, TestScale in tests.
	DefaultScale = 16
	TestScale    = 64
	// MaxScale leaves an ExCache of 128 MB eight sets.
	MaxScale = 64
)

// Options say on what.
type Options struct {
	Seed uint64
	// Scale divides all memory, a power of two of 1 to MaxScale.
	Scale        int
	Hardware     hardware.Hardware // legoos-cx3
	HardwareName string
	// Sockets is what Linux's TCP costs at both ends.
	Sockets endpoint.Options
}

// Validate returns every fault.
func (o *Options) Validate() error {
	var errs []error
	if o.Scale < 1 || o.Scale > MaxScale || o.Scale&(o.Scale-1) != 0 {
		errs = append(errs, fmt.Errorf("scale: %d, want a power of two of 1 to %d", o.Scale, MaxScale))
	}
	if err := o.Hardware.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("hardware: %w", err))
	}
	if err := o.Sockets.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("sockets: %w", err))
	}
	return errors.Join(errs...)
}

// run is a reproduction under way.
type run struct {
	Result
	o     Options
	apps  []App
	local map[string]float64 // seconds with all memory local
	stop  func() error       // why not to go on
}

func (r *run) add(figure, name, unit string, published, ours float64, kind string) {
	r.Rows = append(r.Rows, newRow(figure, name, unit, published, ours, kind))
}

func (r *run) app(name string) *App {
	for i := range r.apps {
		if r.apps[i].Name == name {
			return &r.apps[i]
		}
	}
	panic("reproduce: no application " + name) // names are constants of this package
}

// LegoOS computes every row. tell hears which figure is next.
func LegoOS(ctx context.Context, o Options, tell func(string)) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &run{Result: Result{Seed: o.Seed, Scale: o.Scale, Hardware: o.HardwareName}, o: o, apps: append([]App(nil), apps...), local: map[string]float64{}, stop: func() error { return context.Cause(ctx) }}
	for _, f := range []struct {
		name string
		do   func() error
	}{
		{"Figure 7 and the RPC profile", r.messages},
		{"Figure 8", r.figure8},
		{"Figure 9", r.figure9},
		{"Figure 10", r.figure10},
		{"Figures 11 and 12", r.figures11and12},
		{"Figure 13", r.figure13},
		{"Figure 14", r.figure14},
		{"Figure 15", r.figure15},
	} {
		tell(f.name)
		if err := f.do(); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	r.mttf()
	r.targets()
	return &r.Result, nil
}

// targets compares with what should be reached.
func (r *run) targets() {
	x := &r.Result
	linux := func(w *Row) bool { return strings.HasPrefix(w.Case, "Linux") }
	add := func(t Target) { r.Targets = append(r.Targets, t) }
	add(target("Fig 8", "mean absolute error of the LegoOS rows", 0.10, x.MeanError("Fig 8", func(w *Row) bool { return !linux(w) }), false, reasons["Fig 8"]))
	messages := func(w *Row) bool { return strings.Contains(w.Case, "×") }
	add(target("Fig 8", "mean absolute error of the rows with messages", 0.10, x.MeanError("Fig 8", messages), false, reasons["Fig 8"]))
	add(target("Fig 8", "mean absolute error of all rows", 0.10, x.MeanError("Fig 8", nil), false, reasons["Fig 8"]))
	add(target("Fig 9", "mean absolute error of the LegoOS row", 0.15, x.MeanError("Fig 9", nil), false, reasons["Fig 9"]))
	add(target("Fig 11", "mean absolute error of the baselines", 0.25, x.MeanError("Fig 11", nil), false, reasons["Fig 11"]))
	add(target("Fig 12", "mean absolute error of the baselines", 0.25, x.MeanError("Fig 12", nil), false, reasons["Fig 12"]))
	both := (9*x.MeanError("Fig 11", nil) + 9*x.MeanError("Fig 12", nil)) / 18 // nine baselines each
	add(target("Figs 11, 12", "mean absolute error of the baselines, together", 0.25, both, false, reasons["Fig 12"]))
	right, _ := x.wins()
	add(target("Figs 11, 12", "comparisons with the published winner, of 18", 15, float64(right), true, reasons["wins"]))
	add(target("Fig 13", "mean absolute error", 0.10, x.MeanError("Fig 13", nil), false, reasons["Fig 13"]))
	add(target("Fig 14", "mean absolute error", 0.10, x.MeanError("Fig 14", nil), false, reasons["Fig 14"]))
	for _, c := range []struct {
		app    string
		m      string
		wanted float64
	}{{"TensorFlow", "2M", 1.02}, {"TensorFlow", "4M", 1.23}, {"Phoenix", "2M", 1.00}, {"Phoenix", "4M", 1.05}} {
		ours := x.find("Fig 14", c.app+", "+c.m+" replicated").Ours / x.find("Fig 14", c.app+", "+c.m).Ours
		r.add("Replication", c.app+", "+c.m, "ratio", c.wanted, ours, Predicted)
		add(target("Replication", fmt.Sprintf("%s, %s: distance from %.2f", c.app, c.m, c.wanted), 0.05, math.Abs(ours-c.wanted), false, reasons["Replication"]))
	}
	for _, name := range []string{"worst / monolithic", "best / monolithic"} {
		w := x.find("MTTF", name)
		add(target("MTTF", name+": distance from the published ratio", 0.0005, math.Abs(w.Ours-w.Published), false, ""))
	}
}

// reasons say why a target is missed, where it is.
var reasons = map[string]string{
	"Fig 8":  "with 8 threads the paper has 2 mComponents × 2 workers slower than 1 × 4 and gives no cause; which vRegions of the heap went to which mComponent is not published.",
	"Fig 9":  "the costs of the file systems at both ends are not published.",
	"Fig 11": "TensorFlow under Linux: the LegoOS row does not tell the order of its misses, which read-ahead lives on.",
	"Fig 12": "Phoenix on InfiniSwap: a slab of 1 GB is on the backup disk until a thread that wakes once a second has mapped it, which a short run feels; " +
		"what the testbed's disk and its controller take is not published, so it is not modelled.",
	"wins": "with 512 MiB the paper has TensorFlow faster on NVMe than on LegoOS, ours waits for its drive too often; with 1024 MiB it has Phoenix slower on NVMe and " +
		"InfiniSwap than on LegoOS, where ours hardly swaps any more (see also Figure 12).",
	"Fig 13": "the sweep of LRU costs no time in our model, and a flush that does not travel with its miss costs a whole call.",
	"Fig 14": "see replication.",
	"Replication": "as in LegoOS's released code each flush sends one replica to one secondary and waits until the network card has delivered it, with two mComponents or four; a log " +
		"that is full saves the secondary work, not the sender. So both cost the same here, about the mean of the two. The paper has 2 and 23 % for TensorFlow and 0 and 5 % for Phoenix and gives " +
		"no cause. Half of the visits to the hot set write, a guess.",
}

// NotModelled is what of the published numbers has no target or no row, and why.
var NotModelled = []string{
	"Figure 7, sockets of Linux: kernel TCP of the profile tcp-25g, whose sum is that of the 256 B cell, on the link of legoos-cx3.",
	"Figure 10: no target; working sets and instructions of PARSEC's programs are stated from their inputs or guessed, not fitted.",
	"Figure 15: no target; the ExCaches of 2P-1M are not published, and ours see almost no contention at four workers.",
	"MTTF in years: the printed years, 5.8, 6.8 and 8.7, are half of what the printed formula gives, 11.51, 13.52 and 17.24; both are kept, and their ratios agree exactly.",
	"Figure 4, utilisation of production clusters, are measurements of others: there is nothing to compute.",
}
