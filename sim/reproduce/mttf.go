package reproduce

// mttfDevice are the published mean times to failure, in years.
var mttfDevice = []struct {
	name  string
	years float64
}{{"processor", 204.3}, {"disk", 33.1}, {"memory", 289.9}, {"NIC", 538.8}, {"power supply", 100.5}, {"other", 27.4}}

// mttf gives 1/Σ(1/MTTF) in years of a monolithic server and of LegoOS's components, where any device kills its unit. Each component
// has a network card and a power supply of its own. The worst case has as many devices as servers had, the best half the processors and memories.
func mttf() (monolithic, worst, best float64) {
	rate := map[string]float64{}
	all := 0.0
	for _, d := range mttfDevice {
		rate[d.name] = 1 / d.years
		all += 1 / d.years
	}
	own := rate["NIC"] + rate["power supply"]
	p, m, s := rate["processor"]+own, rate["memory"]+own, rate["disk"]+own
	return 1 / all, 1 / (p + m + s), 1 / (p/2 + m/2 + s)
}

func (r *run) mttf() {
	for _, d := range mttfDevice {
		r.add("MTTF", d.name, "years", d.years, d.years, Input)
	}
	mono, worst, best := mttf()
	r.add("MTTF", "monolithic", "years", 5.8, mono, Predicted)
	r.add("MTTF", "LegoOS, worst", "years", 6.8, worst, Predicted)
	r.add("MTTF", "LegoOS, best", "years", 8.7, best, Predicted)
	r.add("MTTF", "worst / monolithic", "ratio", 1.174, worst/mono, Predicted)
	r.add("MTTF", "best / monolithic", "ratio", 1.498, best/mono, Predicted)
}
