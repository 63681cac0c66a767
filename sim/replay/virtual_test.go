package replay

import (
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/sim/hardware"
	"splitkernel/sim/report"
)

// TestVirtualRunOfPrograms runs the bundled programs in virtual time.
func TestVirtualRunOfPrograms(t *testing.T) {
	w, err := configs.LoadWorkload("programs", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if raceEnabled {
		for i := range w.Vnodes {
			w.Vnodes[i].MaxRefs = 10_000
		}
	}
	o := VirtualOptions{Workload: w, Cluster: c, Hardware: hardware.DefaultOptions(), HardwareName: "flat", TempDir: t.TempDir(), Local: true}
	began := time.Now()
	s, err := RunVirtual(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", time.Since(began))
	for _, v := range s.VNodes {
		t.Logf("%s %s %v %.3f s, local %.3f s, slowdown %.2f", v.Name, v.State, v.Error, v.Seconds, v.LocalSeconds, v.Slowdown)
	}
	t.Logf("%+v", s.Modelled)
	report.WriteTable(testWriter{t}, s)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) { w.t.Logf("%s", b); return len(b), nil }
