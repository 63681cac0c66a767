package record

import (
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkWriter writes records of faults, as a process makes them: ns/op is what they cost the core, and cpu-ns/op what all of it costs,
// the goroutine that packs and writes included.
func BenchmarkWriter(b *testing.B) {
	w, path := create(b, DefaultMaxBytes)
	play(b, w, testHead(), 2000)
	if _, err := w.Close(); err != nil {
		b.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var records [][]byte
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		if !rec.Begins {
			records = append(records, append([]byte(nil), rec.Data...))
		}
	}
	if w, err = Create(filepath.Join(b.TempDir(), "b.tape"), Head{}, 64<<20); err != nil {
		b.Fatal(err)
	}
	t := w.Open("bench", nil)
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began, n := cpu(), 0
	for b.Loop() {
		if t.Record(records[n%len(records)]) {
			t.State(records[0])
		}
		n++
	}
	if _, err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(cpu()-began)/float64(n), "cpu-ns/op")
}
