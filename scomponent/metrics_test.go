package scomponent

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

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
