package mrc

import (
	"bufio"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"splitkernel/sim/generate"
	"splitkernel/sim/mrc/stack"
	"splitkernel/sim/trace"
)

// The workload of the comparison: requests to objects by popularity, and a cache for a tenth of them.
const (
	benchObjects  = 1_000_000
	benchRequests = 20_000_000
	benchSize     = 100_000
	benchRounds   = 3
)

// writeOracleGeneral writes the requests as libCacheSim reads them: 24 bytes each, little-endian u32 time, u64 object, u32 size and
// i64 number of the next request for the object, -1 for none.
func writeOracleGeneral(b *testing.B, path string) {
	b.Helper()
	g := generate.New(generate.Spec{Kind: generate.Zipf, Pages: benchObjects, Refs: benchRequests, Skew: 1, Seed: 1})
	keys := make([]uint64, benchRequests)
	for i := range keys {
		keys[i], _ = g.Next()
	}
	var x stack.Numbers
	next := stack.NextUses(x.Number(keys, nil, nil), benchObjects)
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var r [24]byte
	for i, key := range keys {
		then := int64(next[i])
		if then == benchRequests {
			then = -1
		}
		binary.LittleEndian.PutUint32(r[0:], uint32(i/100_000))
		binary.LittleEndian.PutUint64(r[4:], key+1)
		binary.LittleEndian.PutUint32(r[12:], 1)
		binary.LittleEndian.PutUint64(r[16:], uint64(then))
		if _, err := w.Write(r[:]); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// throughput of libCacheSim as its cachesim prints it, and its miss ratio.
var throughput = regexp.MustCompile(`miss ratio ([0-9.]+), throughput ([0-9.]+) MQPS`)

// BenchmarkBesideLibCacheSim: LRU of one size on one thread, from the same file to the number of misses, by turns with libCacheSim's
// own program, which LIBCACHESIM or the PATH names (cachesim; it is built from its own sources, none of which are here). Skipped where
// it is absent. Rates are by the clock, ours of all, theirs as it prints them, of the simulation with its reading; cpu-ratio is that of
// the processor time of all, in which nothing else that the machine does counts.
func BenchmarkBesideLibCacheSim(b *testing.B) {
	theirs := os.Getenv("LIBCACHESIM")
	if theirs == "" {
		var err error
		if theirs, err = exec.LookPath("cachesim"); err != nil {
			b.Skip("libCacheSim is not on this machine: LIBCACHESIM may name its program cachesim")
		}
	}
	path := filepath.Join(b.TempDir(), "zipf.oracleGeneral.bin")
	writeOracleGeneral(b, path)
	var ours, their, simulated, cpu []float64
	var misses uint64
	var ratio string
	for b.Loop() {
		for range benchRounds {
			before := processorTime(b)
			rate, m := offlineLRU(b, path)
			own := processorTime(b) - before
			ours, misses = append(ours, rate), m
			simulated = append(simulated, fromIDs(b, path))
			cmd := exec.Command(theirs, path, "oracleGeneral", "LRU", strconv.Itoa(benchSize), "--ignore-obj-size", "1")
			cmd.Dir = filepath.Dir(path) // it leaves a file where it is
			out, err := cmd.CombinedOutput()
			found := throughput.FindSubmatch(out)
			if err != nil || found == nil {
				b.Fatalf("%s: %v, and no throughput in\n%s", theirs, err, out)
			}
			rate, err = strconv.ParseFloat(string(found[2]), 64)
			if err != nil {
				b.Fatal(err)
			}
			cpu = append(cpu, float64(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())/float64(own))
			their, ratio = append(their, rate), string(found[1])
		}
	}
	if got := strconv.FormatFloat(float64(misses)/benchRequests, 'f', len(ratio)-2, 64); got != ratio {
		b.Errorf("we miss with a ratio of %s, libCacheSim with %s", got, ratio)
	}
	median := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
	b.ReportMetric(median(ours), "Mreq/s")
	b.ReportMetric(median(simulated), "numbered-Mreq/s")
	b.ReportMetric(median(their), "libCacheSim-Mreq/s")
	b.ReportMetric(median(ours)/median(their), "ratio")
	b.ReportMetric(median(cpu), "cpu-ratio")
}

// processorTime is what this process has used, the collection of garbage included.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// offlineLRU is all that there is to do: it reads the file, numbers the objects and runs the cache, on one goroutine.
func offlineLRU(b *testing.B, path string) (rate float64, misses uint64) {
	b.Helper()
	begun := time.Now()
	x := benchIDs(b, path)
	misses = stack.NewLRU(benchSize, x.ids, x.numbers.Len()).Run(len(x.ids))
	return benchRequests / time.Since(begun).Seconds() / 1e6, misses
}

// fromIDs is the cache alone, as for each further size.
func fromIDs(b *testing.B, path string) float64 {
	b.Helper()
	x := benchIDs(b, path)
	begun := time.Now()
	stack.NewLRU(benchSize, x.ids, x.numbers.Len()).Run(len(x.ids))
	return benchRequests / time.Since(begun).Seconds() / 1e6
}

func benchIDs(b *testing.B, path string) *exact {
	b.Helper()
	x := &exact{hold: true}
	o := DefaultOptions()
	keyed, err := trace.ParseSpec("oraclegeneral:id=key")
	if err != nil {
		b.Fatal(err)
	}
	open := func() (trace.Source, error) { return trace.OpenRecords(path, keyed) }
	if _, err := read(context.Background(), open, o, x.take); err != nil {
		b.Fatal(err)
	}
	return x
}
