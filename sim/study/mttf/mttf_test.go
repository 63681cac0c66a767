package mttf

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func devices(servers float64, n map[string]int, order ...string) Design {
	years := map[string]float64{"processor": 204.3, "disk": 33.1, "memory": 289.9, "NIC": 538.8, "power": 100.5, "other": 27.4}
	d := Design{Name: "design", Servers: servers}
	for _, name := range order {
		d.Groups = append(d.Groups, Group{Name: name, Count: n[name], MTTF: years[name]})
	}
	return d
}

// TestLegoOS: the paper's formula on its devices; its printed years are half of that, its ratios are these.
func TestLegoOS(t *testing.T) {
	mono := Analytic(devices(1, nil, "processor", "disk", "memory", "NIC", "power", "other"))
	worst := Analytic(devices(1, map[string]int{"NIC": 3, "power": 3}, "processor", "disk", "memory", "NIC", "power"))
	// Two servers' worth: a processor and a memory component, two disks, each with a NIC and a supply.
	best := Analytic(devices(2, map[string]int{"disk": 2, "NIC": 4, "power": 4}, "processor", "disk", "memory", "NIC", "power"))
	for _, c := range []struct{ got, want float64 }{{mono, 11.51}, {worst, 13.52}, {best, 17.24}, {worst / mono, 1.174}, {best / mono, 1.498}} {
		if math.Abs(c.got-c.want) > 0.0051 {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
}

// TestKofN: what books give for spares.
func TestKofN(t *testing.T) {
	for _, c := range []struct {
		g    Group
		want float64
	}{
		{Group{Count: 2, Needed: 1, MTTF: 10}, 15},                                  // 1/2 + 1
		{Group{Count: 3, Needed: 2, MTTF: 12}, 12 * (1.0/3 + 1.0/2)},                // two of three
		{Group{Count: 100, Needed: 98, MTTF: 50}, 50 * (1/100.0 + 1/99.0 + 1/98.0)}, // two spares
		{Group{AFR: 1}, -1 / math.Log(0.99)},
	} {
		if got := Analytic(Design{Groups: []Group{c.g}}); math.Abs(got/c.want-1) > 1e-8 {
			t.Errorf("%+v: %v, want %v", c.g, got, c.want)
		}
	}
}

// TestChanceAgrees: the drawn mean is within five standard errors of the formula, for any design.
func TestChanceAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Design{Servers: rapid.Float64Range(0.5, 4).Draw(t, "servers")}
		for range rapid.IntRange(1, 5).Draw(t, "groups") {
			n := rapid.IntRange(1, 12).Draw(t, "count")
			d.Groups = append(d.Groups, Group{Count: n, Needed: rapid.IntRange(1, n).Draw(t, "needed"), MTTF: rapid.Float64Range(1, 300).Draw(t, "years")})
		}
		if err := d.Validate(); err != nil {
			t.Fatal(err)
		}
		mc, want := MonteCarlo(d, 8_000, rapid.Uint64().Draw(t, "seed"), nil), Analytic(d)
		if math.Abs(mc.Mean-want) > mc.Half/z99*5 {
			t.Fatalf("%v ± %v drawn, %v by formula: %+v", mc.Mean, mc.Half, want, d)
		}
	})
}

// TestIntervals: of 200 intervals of 99 %, about two miss; ten would not happen once in ten thousand such tests. One seed is one result.
func TestIntervals(t *testing.T) {
	d := Design{Groups: []Group{{Count: 3, Needed: 2, MTTF: 7}, {Count: 2, MTTF: 40}}}
	want, missed := Analytic(d), 0
	for seed := range uint64(200) {
		if mc := MonteCarlo(d, 2000, seed, nil); math.Abs(mc.Mean-want) > mc.Half {
			missed++
		}
	}
	if missed >= 10 || missed == 0 && want == 0 {
		t.Errorf("%d of 200 miss %v", missed, want)
	}
	if a, b, c := MonteCarlo(d, 100, 5, nil), MonteCarlo(d, 100, 5, nil), MonteCarlo(d, 100, 6, nil); a != b || a.Mean == c.Mean {
		t.Errorf("seeds: %+v, %+v, %+v", a, b, c)
	}
	if mc := MonteCarlo(d, 100_000, 1, func(n uint64) bool { return n < 16_384 }); mc.Trials != 16_384 {
		t.Errorf("stopped after %d", mc.Trials)
	}
}

func TestFaults(t *testing.T) {
	err := Design{Name: "x", Servers: -1, Groups: []Group{{Name: "a", Count: 2, Needed: 3, MTTF: 1}, {Name: "b"}, {Name: "c", AFR: 100}, {Name: "d", MTTF: -1}}}.Validate()
	for _, want := range []string{"x: servers", "a: needed: 3", "b: mttf_years 0 and afr_percent 0, want one", "c: afr_percent: 100", "d: mttf_years: -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s in it", err, want)
		}
	}
}
