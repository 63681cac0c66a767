package replay

import (
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/report"
	"splitkernel/sim/units"
	"splitkernel/sim/vcluster"
)

// flat is hardware of round numbers.
type flat struct{}

func (flat) Instruction() units.Picos              { return 500 }
func (flat) Reference() units.Picos                { return 400 }
func (flat) Trap() units.Picos                     { return 500 * units.Nanosecond }
func (flat) Fill() units.Picos                     { return 300 * units.Nanosecond }
func (flat) ZeroFill() units.Picos                 { return 600 * units.Nanosecond }
func (flat) Evict(int) units.Picos                 { return 1000 * units.Nanosecond }
func (flat) LocalFault() units.Picos               { return 500 * units.Nanosecond }
func (flat) Post(int) time.Duration                { return 200 }
func (flat) Receive(int) time.Duration             { return 200 }
func (flat) Polls() bool                           { return true }
func (flat) Poll(int) units.Picos                  { return 300 * units.Nanosecond }
func (flat) Serve(wire.Op, int) units.Picos        { return 700 * units.Nanosecond }
func (flat) StorageWorkers() int                   { return 1 }
func (flat) ServeStorage(wire.Op, int) units.Picos { return 2 * units.Microsecond }
func (flat) Device(uint64, uint64) vcluster.Device { return flatDevice{} }
func (flat) Links(int, uint64) vcluster.Links      { return flat{} }
func (flat) Commit(int) time.Duration              { return time.Millisecond }
func (flat) Send(at time.Duration, _, _, bytes int) time.Duration {
	return at + 1000 + time.Duration(bytes)/5
}

type flatDevice struct{}

func (flatDevice) Serve(now time.Duration, op vcluster.DeviceOp, _ uint64, bytes int) time.Duration {
	return now + 20*time.Microsecond + time.Duration(bytes)/2
}

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
	o := VirtualOptions{Workload: w, Cluster: c, Hardware: flat{}, HardwareName: "flat", TempDir: t.TempDir(), Local: true}
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
