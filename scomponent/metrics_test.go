package scomponent

import (
	"context"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/blockdev"
)

func TestMetricNames(t *testing.T) {
	o := DefaultOptions()
	o.Devices = blockdev.NewMemory()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	r := prometheus.NewPedanticRegistry()
	if err := c.Register(r); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestUtilisationOfADisk: reserved is what volumes may have, resident what their files take, both over the capacity.
func TestUtilisationOfADisk(t *testing.T) {
	o := dirOptions(t.TempDir())
	o.CapacityBytes = 1 << 20
	n := start(t, o)
	defer n.stop()
	n.create(1, 1<<18)
	n.must(n.attach(1, 2))
	n.must(n.write(wire.Block{Volume: 1, VolumeEpoch: 2}, make([]byte, wire.PageSize)))
	n.must(n.flush(wire.Block{Volume: 1, VolumeEpoch: 2}))
	r := prometheus.NewPedanticRegistry()
	if err := n.c.Register(r); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[strings.TrimPrefix(f.GetName(), "splitkernel_scomponent_")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	for name, want := range map[string]float64{
		"capacity_bytes": 1 << 20, "reserved_bytes": 1 << 18, "reserved_ratio": 0.25, "volumes": 1, "written_bytes_total": wire.PageSize,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	// The file system says what files take; at least the block that was made durable is there.
	if b := got["resident_bytes"]; b < wire.PageSize || got["resident_ratio"] != b/(1<<20) || got["syncs_total"] < 1 {
		t.Errorf("%v bytes resident, ratio %v, %v syncs", b, got["resident_ratio"], got["syncs_total"])
	}
}

func TestValidateNamesEveryKey(t *testing.T) {
	err := Options{}.Validate()
	want := "data_dir: empty, want a folder\ncapacity_bytes: 0, want 4096 to 1152921504606846976\nflush_queue: 0, want 1 to 65536\nmax_volumes: 0, want 1 to 65536"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
	if err := DefaultOptions().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}
