package study

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/study/cost"
	"splitkernel/sim/study/locality"
	"splitkernel/sim/study/packing"
	"splitkernel/sim/trace"
)

// TestBundledModels: they are whole, each value has a source, and those that are examples say so.
func TestBundledModels(t *testing.T) {
	if _, err := Power(""); err != nil {
		t.Error(err)
	}
	p, err := Prices("")
	if err != nil || !strings.HasPrefix(p.Core.Source, "example") {
		t.Errorf("%+v, %v", p, err)
	}
	d, err := Designs("")
	if err != nil || len(d) != 3 {
		t.Errorf("%+v, %v", d, err)
	}
	for _, name := range []string{"power.yaml", "prices.yaml", "legoos.yaml"} {
		if text, err := Bundled(name); err != nil || len(text) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadModels: the file, the key, what was expected.
func TestBadModels(t *testing.T) {
	for text, want := range map[string]string{
		"colour: red\n":                "field colour not found",
		"core: {value: -1, source: x}": "core: -1, want 0 to",
		"core: {value: 1}":             "core: no source",
		strings.Repeat("#", 1+1<<20):   "more than 1048576 bytes",
		"designs:\n- {name: a}\n":      "a: 0 groups",
		"server: {idle_watts: {value: 1, source: x}, busy_watts: {value: 0, source: x}}": "server.busy_watts: 0, want at least idle_watts, 1",
	} {
		p := filepath.Join(t.TempDir(), "m.yaml")
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		read := func() error { _, err := Prices(p); return err }
		switch {
		case strings.HasPrefix(text, "designs"):
			read = func() error { _, err := Designs(p); return err }
		case strings.HasPrefix(text, "server"):
			read = func() error { _, err := Power(p); return err }
		}
		if err := read(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "m.yaml") {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
	if _, err := Power(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is read")
	}
}

// TestBuilds: the smallest numbers where they were searched; what cannot be priced is refused.
func TestBuilds(t *testing.T) {
	p := Packing{Placed: []Placed{
		{Name: "servers", Layout: Layout{Cores: 10, Memory: 100, GPUs: 2}, Result: &packing.Result{Hosts: packing.Count{There: 5}}, Needed: []packing.Needed{{Kind: "server", Least: 4}}},
		{Name: "pools", Layout: Layout{Cores: 10, Memory: 10, M: 100, GPUs: 2}, Result: &packing.Result{Hosts: packing.Count{There: 3}, MemoryHost: packing.Count{There: 2}, GPUHosts: packing.Count{There: 1}}, KWhYear: 7},
	}}
	s, b, err := Builds(p)
	if err != nil || s != (cost.Build{Servers: 4, Cores: 40, GiB: 400, GPUs: 8}) || b != (cost.Build{PComponents: 3, MComponents: 2, GComponents: 1, Cores: 30, GiB: 230, GPUs: 2, KWhYear: 7}) {
		t.Errorf("%+v, %+v, %v", s, b, err)
	}
	for want, change := range map[string]func(*Packing){
		"partial":      func(p *Packing) { p.Partial = true },
		"fractions":    func(p *Packing) { p.Placed[0].Result.FractionMemory = true },
		"not both":     func(p *Packing) { p.Placed[0].Result.FractionMemory = false; p.Placed = p.Placed[:1] },
		"of the whole": func(p *Packing) { p.Placed[0].Result = nil },
	} {
		q := p
		q.Placed = append([]Placed{}, p.Placed...)
		r := *p.Placed[0].Result
		q.Placed[0].Result = &r
		change(&q)
		if _, _, err := Builds(q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestCountPages: a request counts each block that it touches, and volumes are apart from each other and from memory.
func TestCountPages(t *testing.T) {
	c := locality.New()
	b := &trace.Batch{
		Refs: []trace.Ref{{Addr: 4096}, {Addr: 8191}},
		Events: []trace.Event{
			{Kind: trace.BlockRead, Offset: 4095, Length: 4098}, {Kind: trace.BlockWrite, Volume: 1, Offset: 4096, Length: 512}, {Kind: trace.BlockRead, Offset: 4096},
			{Kind: trace.Mmap, Addr: 0, Len: 1 << 20},
		},
	}
	if err := CountPages(c, b); err != nil {
		t.Fatal(err)
	}
	if r := c.Result(); r.Total != 6 || r.Pages != 5 {
		t.Errorf("%+v", r)
	}
}
