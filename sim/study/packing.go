package study

import (
	"fmt"
	"strings"

	"splitkernel/sim/cluster"
	"splitkernel/sim/report/plot"
	"splitkernel/sim/study/packing"
	"splitkernel/sim/tasks"
)

// Placed is one way of placing a trace, with what follows from it.
type Placed struct {
	Name    string           `json:"name"`
	Layout  Layout           `json:"layout"`
	Result  *packing.Result  `json:"result"`
	Needed  []packing.Needed `json:"needed,omitempty"`
	Energy  *packing.Energy  `json:"energy_modelled,omitempty"`
	KWhYear float64          `json:"kwh_per_year_modelled"` // Energy as it goes on for a year
}

// Layout is what there is, for people and for package cost. Memory is in GiB, or where the trace counts so in fractions.
type Layout struct {
	Cores  float64 `json:"cores"` // of one server or pComponent
	Memory float64 `json:"memory"`
	GPUs   float64 `json:"gpus"`       // of one server, or of one component of GPUs
	M      float64 `json:"mcomponent"` // of one mComponent
}

// Packing is the result of `study packing`.
type Packing struct {
	Trace   []string `json:"trace"`
	Formats []string `json:"formats"`
	Assumed []string `json:"assumed"`
	Policy  string   `json:"policy"`
	Partial bool     `json:"partial"`
	Placed  []Placed `json:"placed"`
}

// NewLayout describes a layout.
func NewLayout(l packing.Layout, units tasks.Units) (out Layout) {
	memory := float64(1 << 30)
	if units.MemoryIsFraction {
		memory = tasks.One
	}
	host := l.Server.Size
	if l.Pools {
		host = l.P.Size
		host.GPUs = l.G.Size.GPUs
	}
	return Layout{float64(host.Cores) / tasks.One, float64(host.Memory) / memory, float64(host.GPUs) / tasks.One, float64(l.M.Size.Memory) / memory}
}

// days turns seconds of a curve into the unit of its axis.
func days(seconds float64) float64 { return seconds / 86_400 }

// PackingPlots draws utilisation and what is stranded over time: file names and SVGs.
func PackingPlots(p Packing) (map[string]string, error) {
	out := map[string]string{}
	for _, d := range []struct {
		file, title, y string
		lines          []struct {
			name string
			of   func(packing.Point) float64
		}
	}{
		{"utilisation.svg", "Utilisation", "asked for, of what is there (%)", []struct {
			name string
			of   func(packing.Point) float64
		}{{"processors", func(p packing.Point) float64 { return 100 * p.Cores }}, {"memory", func(p packing.Point) float64 { return 100 * p.Memory }}}},
		{"stranded.svg", "Stranded: free where the other is full", "of what is there (%)", []struct {
			name string
			of   func(packing.Point) float64
		}{{"processors", func(p packing.Point) float64 { return 100 * p.StrandedCores }}, {"memory", func(p packing.Point) float64 { return 100 * p.StrandedMemory }}}},
		{"active.svg", "Servers and components with a task", "number", []struct {
			name string
			of   func(packing.Point) float64
		}{{"servers or pComponents", func(p packing.Point) float64 { return p.Active }}, {"mComponents", func(p packing.Point) float64 { return p.ActiveMemory }}}},
	} {
		var series []plot.Series
		for _, placed := range p.Placed {
			for _, l := range d.lines {
				if l.name == "mComponents" && placed.Result.MemoryHost.There == 0 {
					continue
				}
				s := plot.Series{Name: placed.Name + ": " + l.name}
				for _, point := range placed.Result.Curve {
					s.X, s.Y = append(s.X, days(point.Seconds)), append(s.Y, l.of(point))
				}
				if len(s.X) > 1 {
					series = append(series, s)
				}
			}
		}
		if len(series) == 0 {
			continue // at one time there is nothing over time
		}
		svg, err := plot.Lines(plot.Axes{Title: d.title + " (" + p.Policy + ")", X: "time (days)", Y: d.y}, series)
		if err != nil {
			return nil, err
		}
		out[d.file] = svg
	}
	return out, nil
}

// CurveCSV is the curve of one way of placing.
func CurveCSV(r *packing.Result) string {
	var b strings.Builder
	b.WriteString("seconds,cores,memory,gpus,stranded_cores,stranded_memory,used_cores,used_memory,active_hosts,active_mcomponents,running_tasks,waiting_tasks\n")
	for _, p := range r.Curve {
		fmt.Fprintf(&b, "%g,%g,%g,%g,%g,%g,%g,%g,%g,%g,%g,%g\n", p.Seconds, p.Cores, p.Memory, p.GPUs, p.StrandedCores, p.StrandedMemory, p.UsedCores, p.UsedMemory, p.Active, p.ActiveMemory, p.Running, p.Waiting)
	}
	return b.String()
}

// Amount prints memory of a trace: in GiB, or as a fraction.
func Amount(units tasks.Units, memory float64) string {
	if units.MemoryIsFraction {
		return fmt.Sprintf("%.4g machines", memory/tasks.One)
	}
	return fmt.Sprintf("%.4g GiB", memory/(1<<30))
}

// Cores prints processors of a trace.
func Cores(units tasks.Units, cores float64) string {
	if units.CoresAreFractions {
		return fmt.Sprintf("%.4g machines", cores)
	}
	return fmt.Sprintf("%.4g cores", cores)
}

// Formats of the cluster traces that are read, for the help.
func Formats() string { return strings.Join(cluster.Formats(), ", ") }
