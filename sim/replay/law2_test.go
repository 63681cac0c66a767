package replay

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"splitkernel/configs"
	"splitkernel/sim/hardware"
)

// TestLaw2 is law 2: two virtual runs of a seed are the same byte by byte, also with another number of processors, and another
// seed is another run.
func TestLaw2(t *testing.T) {
	if raceEnabled {
		t.Skip("virtual time is one goroutine, and TestVirtualRunOfPrograms has what is around it: make test runs this without -race")
	}
	cluster, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	run := func(seed uint64, threads bool) ([]byte, string) {
		t.Helper()
		w, err := configs.LoadWorkload("programs", configs.Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		w.Seed = seed
		for i := range w.Vnodes {
			w.Vnodes[i].MaxRefs = 4_000
			if threads {
				w.Vnodes[i].Order, w.Vnodes[i].Threads = OrderThreads, 3
			}
		}
		out := t.TempDir()
		s, err := RunVirtual(t.Context(), VirtualOptions{Workload: w, Cluster: cluster, Hardware: hardware.DefaultOptions(), TempDir: t.TempDir(), OutDir: out, Local: true})
		if err != nil || len(s.Failed) > 0 {
			t.Fatal(err, s)
		}
		b, err := os.ReadFile(filepath.Join(out, "summary.json"))
		if err != nil || !json.Valid(b) {
			t.Fatal(err)
		}
		over, err := os.ReadFile(filepath.Join(out, "timeline.json"))
		if err != nil || !json.Valid(over) {
			t.Fatal(err)
		}
		return append(b, over...), s.Modelled.Digest
	}
	for _, threads := range []bool{false, true} {
		first, digest := run(7, threads)
		was := runtime.GOMAXPROCS(1)
		again, digest2 := run(7, threads)
		runtime.GOMAXPROCS(was)
		if !bytes.Equal(first, again) || digest != digest2 {
			t.Errorf("threads %v: two runs of a seed differ: digests %s and %s", threads, digest, digest2)
		}
		if _, other := run(8, threads); other == digest {
			t.Errorf("threads %v: two seeds are one run: %s", threads, digest)
		}
	}
}
