package calibrate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"splitkernel/configs"
)

// serveEnv makes the test binary, started again, the second process.
const serveEnv = "SPLITKERNEL_CALIBRATE_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" {
		if err := Serve(context.Background(), os.Args[len(os.Args)-1], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func options(t *testing.T, transport string) Options {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(serveEnv, "1")
	dir, err := os.MkdirTemp("", "cal") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Options{Transport: transport, Dir: dir, Seconds: MinSeconds, Executable: exe}
}

// TestMeasure makes the shortest measurements over each transport: every figure is there, what must be more is more, and nothing is
// left behind.
func TestMeasure(t *testing.T) {
	for _, transport := range []string{configs.TransportUnix, configs.TransportTCP} {
		t.Run(transport, func(t *testing.T) {
			o := options(t, transport)
			l, err := Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			m, err := l.Measure(t.Context())
			if cerr := l.Close(); err != nil || cerr != nil {
				t.Fatal(err, cerr)
			}
			for name, v := range map[string]float64{
				"ping": m.Ping, "p_local": m.PLocal, "evict": m.Evict, "fetch": m.Fetch, "fetch_dirty": m.FetchDirty, "pings": m.Pings,
				"flushes": m.Flushes, "hit": m.Hit, "share": m.Share, "copy": m.Memory.Copy, "load": m.Memory.Load, "random_read": m.Disk.RandomRead,
				"random_write": m.Disk.RandomWrite, "sync": m.Disk.Sync, "read": m.Disk.ReadBytes, "write": m.Disk.WriteBytes, "sync_bytes": m.Disk.SyncBytes,
			} {
				if v <= 0 {
					t.Errorf("%s: %v, want more than 0", name, v)
				}
			}
			if m.Fetch <= m.Evict {
				t.Errorf("a fetch of %v ns crosses processes and back, a fault of %v ns does not", m.Fetch, m.Evict)
			}
			p := Profile(&m, time.Now(), Host())
			if _, err := configs.HardwareYAML(p); err != nil {
				t.Error(err)
			}
			files, err := filepath.Glob(filepath.Join(o.Dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if st, err := os.Stat(f); err != nil || !st.IsDir() { // but for the folder of the socket
					t.Errorf("%s is left behind", f)
				}
			}
		})
	}
}

// TestPredict compares one short trace: the same fetches in both worlds, and all figures.
func TestPredict(t *testing.T) {
	o := options(t, configs.TransportUnix)
	path := filepath.Join(o.Dir, "x.skt")
	if err := generate(path, leastRefs, fewPages); err != nil {
		t.Fatal(err)
	}
	v := configs.DefaultVNode()
	v.Name, v.Trace, v.MaxRefs, v.Excache.Lines = "x", path, 2_000, 256
	rows, err := Predict(t.Context(), PredictOptions{Options: o, Transports: []string{configs.TransportUnix}, Rounds: 1, Cases: []Case{{"x", v}}})
	if err != nil {
		t.Fatal(err)
	}
	r := rows[0]
	if len(rows) != 1 || r.Predicted.Fetches == 0 || r.Predicted.Fetches != r.Measured.Fetches || r.Predicted.WallSeconds <= 0 || r.Measured.WallSeconds <= 0 ||
		r.Predicted.FetchP50US <= 0 || r.Measured.FetchP50US <= 0 {
		t.Errorf("%+v", rows)
	}
	if want := r.Predicted.WallSeconds/r.Measured.WallSeconds - 1; r.WallError != want || r.Worst() < want {
		t.Errorf("error %v, want %v", r.WallError, want)
	}
}

// TestTheDiskIsSpared: measuring it writes a bounded number of bytes, however long it may take, and what was measured is not measured
// again in a comparison.
func TestTheDiskIsSpared(t *testing.T) {
	o := options(t, configs.TransportUnix)
	var d Disk
	done := make(chan error, 1)
	go func() {
		var err error
		d, err = measureDisk(o.Dir, time.Hour)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Minute):
		t.Fatal("the disk is written for as long as there is time")
	}
	path := filepath.Join(o.Dir, "x.skt")
	if err := generate(path, leastRefs, fewPages); err != nil {
		t.Fatal(err)
	}
	v := configs.DefaultVNode()
	v.Name, v.Trace, v.MaxRefs, v.Excache.Lines = "x", path, 2_000, 256
	po := PredictOptions{Options: o, Cases: []Case{{"x", v}}}
	po.Disk = &d
	if _, _, err := po.round(t.Context(), configs.TransportUnix); err != nil {
		t.Fatal(err)
	}
	if d.Sync <= 0 || *po.Disk != d {
		t.Errorf("measured %+v, then %+v", d, *po.Disk)
	}
}

// TestStartFails: what cannot be is told, and the processors are free again.
func TestStartFails(t *testing.T) {
	o := options(t, configs.TransportUnix)
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Transport = "shm" }, `transport: "shm", want one of tcp, unix`},
		{func(o *Options) { o.Seconds = 0 }, "seconds: 0, want 0.1 to 600"},
		{func(o *Options) { o.Executable = filepath.Join(o.Dir, "none") }, "start the other process"},
		{func(o *Options) { o.Executable = "/bin/false" }, "ended before it served"},
		{func(o *Options) { o.Dir = filepath.Join(o.Dir, "none") }, "make a folder for the socket"},
	} {
		bad := o
		c.change(&bad)
		if _, err := Start(t.Context(), bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
