package cost

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func price(v float64) Price { return Price{v, "by hand"} }

// TestByHand: ten servers against five and four components, on paper.
func TestByHand(t *testing.T) {
	p := Prices{Currency: "units", Core: price(10), GiB: price(2), Server: price(100), PComponent: price(50), MComponent: price(30), ServerPort: price(20), Port: price(25), KWh: price(0.5), Years: price(2)}
	r := Compare(p, Build{Servers: 10, Cores: 100, GiB: 1000, KWhYear: 400}, Build{PComponents: 8, MComponents: 7, Cores: 80, GiB: 800, KWhYear: 500})
	if r.Servers.Total != 1000+1000+2000+200+400 || r.Pools.Total != 400+210+800+1600+375+500 {
		t.Errorf("%v and %v", r.Servers.Total, r.Pools.Total)
	}
	for _, e := range r.Even {
		if e.Name == "network ports of components" && math.Abs(e.Even-25-715/15.0) > 1e-9 || e.Name == "memory, GiB" && math.Abs(e.Even-2-715/800.0) > 1e-9 || e.Never {
			t.Errorf("%+v", e)
		}
	}
}

// TestEvenIsEven: at each break-even price both cost the same.
func TestEvenIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Price { return price(rapid.Float64Range(0, 500).Draw(t, name)) }
		p := Prices{Currency: "units", Core: draw("core"), GiB: draw("gib"), Server: draw("server"), PComponent: draw("p"), MComponent: draw("m"), ServerPort: draw("sport"), Port: draw("port")}
		s := Build{Servers: 10, Cores: 320, GiB: 1000}
		b := Build{PComponents: rapid.Float64Range(1, 20).Draw(t, "ps"), MComponents: rapid.Float64Range(1, 20).Draw(t, "ms"), Cores: 300, GiB: 900}
		for _, e := range Compare(p, s, b).Even {
			q := p
			switch e.Name {
			case "network ports of components":
				q.Port = price(e.Even)
			case "pComponents without parts":
				q.PComponent = price(e.Even)
			case "mComponents without parts":
				q.MComponent = price(e.Even)
			default:
				continue // of cores and memory servers have some too
			}
			r := Compare(q, s, b)
			if d := r.Pools.Total - r.Servers.Total; !e.Never && math.Abs(d) > 1e-6*r.Servers.Total || e.Never && d <= 0 {
				t.Fatalf("%+v: %v against %v", e, r.Pools.Total, r.Servers.Total)
			}
		}
	})
}

func TestFaults(t *testing.T) {
	err := Prices{Core: Price{Value: -1}}.Validate()
	for _, want := range []string{"currency: missing", "core: -1", "core: no source", "years: no source"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s in it", err, want)
		}
	}
	if (Build{Servers: math.NaN()}).Validate() == nil {
		t.Error("not a number is taken")
	}
}
