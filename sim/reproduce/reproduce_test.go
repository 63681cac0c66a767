package reproduce

import (
	"context"
	"testing"
	"time"

	"splitkernel/configs"
)

func testOptions(t testing.TB) Options {
	h, err := configs.LoadHardware("legoos-cx3")
	if err != nil {
		t.Fatal(err)
	}
	s, err := configs.LoadHardware("tcp-25g")
	if err != nil {
		t.Fatal(err)
	}
	return Options{Seed: 1, Scale: TestScale, Hardware: h.Hardware, HardwareName: h.Name, Sockets: s.Hardware.Endpoint}
}

func TestAll(t *testing.T) {
	o := testOptions(t)
	began := time.Now()
	r, err := LegoOS(context.Background(), o, func(s string) { t.Log(s, time.Since(began)) })
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range r.Rows {
		t.Logf("%-12s %-45s %9.3f %9.3f %+6.1f%% %s", w.Figure, w.Case, w.Published, w.Ours, 100*w.Error, w.Kind)
	}
	for _, w := range r.Targets {
		t.Logf("%+v", w)
	}
}

func TestFitNow(t *testing.T) {
	o := testOptions(t)
	a, err := Fit(o, func(s string) { println(s) })
	t.Logf("%+v %v", a, err)
}
