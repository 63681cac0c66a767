package study

import (
	"slices"

	"splitkernel/sim/report/plot"
	"splitkernel/sim/study/cost"
	"splitkernel/sim/study/locality"
	"splitkernel/sim/study/mttf"
)

// LocalityPlot draws the share of accesses over the share of pages of some traces.
func LocalityPlot(names []string, results []locality.Result) (string, error) {
	var series []plot.Series
	for i, r := range results {
		s := plot.Series{Name: names[i]}
		for _, p := range r.Curve {
			s.X, s.Y = append(s.X, 100*p.Pages), append(s.Y, 100*p.Accesses)
		}
		if len(s.X) > 0 {
			series = append(series, s)
		}
	}
	return plot.Lines(plot.Axes{Title: "Share of accesses on the pages accessed most", X: "pages (%)", Y: "accesses (%)", LogX: true}, series)
}

// MTTFPlot draws years by formula beside those drawn, of designs by name.
func MTTFPlot(names []string, formula []float64, drawn []mttf.Drawn) (string, error) {
	by, chance := plot.Series{Name: "by formula", Y: formula}, plot.Series{Name: "drawn, 99 % interval"}
	for _, d := range drawn {
		chance.Y, chance.Half = append(chance.Y, d.Mean), append(chance.Half, d.Half)
	}
	return plot.Bars(plot.Axes{Title: "Mean time to failure", X: "design", Y: "years by server"}, names, []plot.Series{by, chance})
}

// CostPlot draws what servers and pools cost beside each other, for each thing that either has.
func CostPlot(r cost.Result) (string, error) {
	var labels []string
	var series []plot.Series
	for _, b := range []cost.Bill{r.Servers, r.Pools} {
		for _, i := range b.Items {
			if !slices.Contains(labels, i.Name) {
				labels = append(labels, i.Name)
			}
		}
	}
	for _, b := range []struct {
		name string
		bill cost.Bill
	}{{"servers", r.Servers}, {"pools", r.Pools}} {
		s := plot.Series{Name: b.name, Y: make([]float64, len(labels))}
		for _, i := range b.bill.Items {
			s.Y[slices.Index(labels, i.Name)] = i.Cost
		}
		series = append(series, s)
	}
	return plot.Bars(plot.Axes{Title: "Costs", X: "what", Y: "cost (" + r.Currency + ")"}, labels, series)
}
