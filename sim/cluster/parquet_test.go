package cluster

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

type taskRow struct {
	ID         string  `parquet:"id"`
	Submission int64   `parquet:"submission_time"`
	Duration   int64   `parquet:"duration"`
	Count      int32   `parquet:"cpu_count"`
	Capacity   float64 `parquet:"cpu_capacity"`
	Memory     int64   `parquet:"mem_capacity"`
}

type fragmentRow struct {
	ID       string  `parquet:"id"`
	Duration int64   `parquet:"duration"`
	Usage    float64 `parquet:"cpu_usage"`
}

// What OpenDC wrote before: its machines with the time at which they stop, and with names in another style.
type metaRow struct {
	ID       string  `parquet:"id"`
	Start    int64   `parquet:"start_time,timestamp(millisecond)"`
	Stop     int64   `parquet:"stop_time,timestamp(millisecond)"`
	Count    int32   `parquet:"cpu_count"`
	Capacity float64 `parquet:"cpu_capacity"`
	Memory   int64   `parquet:"mem_capacity"`
}

type stateRow struct {
	ID       string  `parquet:"id"`
	Ends     int64   `parquet:"timestamp,timestamp(millisecond)"`
	Duration int64   `parquet:"duration"`
	Count    int32   `parquet:"cpu_count"`
	Usage    float64 `parquet:"cpu_usage"`
}

type camelTask struct {
	ID         int32  `parquet:"id"`
	Submission int64  `parquet:"submissionTime,timestamp(millisecond)"`
	Duration   int64  `parquet:"duration"`
	Count      int32  `parquet:"maxCores"`
	Memory     int64  `parquet:"requiredMemory"`
	GPUs       *int32 `parquet:"gpu_count,optional"`
}

type camelFragment struct {
	ID       int32   `parquet:"id"`
	Duration int64   `parquet:"duration"`
	Usage    float64 `parquet:"cpuUsage"`
}

// TestOpenDCNames: each of the names that OpenDC's own reader takes. Without a capacity what is used is not known.
func TestOpenDCNames(t *testing.T) {
	dir := t.TempDir()
	parquetFile(t, dir, "meta.parquet", []metaRow{{"a", 5000, 9000, 2, 1000, 1 << 10}})
	parquetFile(t, dir, "trace.parquet", []stateRow{{"a", 6000, 1000, 2, 500}, {"a", 9000, 3000, 2, 250}})
	list, h, err := all("auto:memory-unit=MiB", dir)
	if want := "+1@0 2c 1024M 0g for 4; =1@0 1c 0M for 1; =1@1 0.5c 0M for 3"; err != nil || show(list, h) != want || strings.Contains(strings.Join(h.Assumed, "\n"), "GPU") {
		t.Errorf("%v\ngot  %s\nwant %s", err, show(list, h), want)
	}
	dir = t.TempDir()
	parquetFile(t, dir, "tasks.parquet", []camelTask{{ID: 7, Submission: 5000, Duration: 4000, Count: 2, Memory: 1 << 10}})
	parquetFile(t, dir, "fragments.parquet", []camelFragment{{7, 4000, 500}})
	list, h, err = all("auto:memory-unit=MiB", dir)
	if want := "+1@0 2c 1024M 0g for 4; =1@0 0c 0M for 4"; err != nil || show(list, h) != want || !strings.Contains(strings.Join(h.Assumed, "\n"), "gpu_count") {
		t.Errorf("%v\ngot  %s\nwant %s", err, show(list, h), want)
	}
	bad := t.TempDir()
	parquetFile(t, bad, "meta.parquet", []metaRow{{"a", 5000, 4000, 2, 1000, 1 << 10}})
	if _, _, err := all("", bad); err == nil || !strings.Contains(err.Error(), "meta.parquet: row 1: it ends 1s before it begins") {
		t.Error(err)
	}
}

func parquetFile[T any](t *testing.T, dir, name string, rows []T) string {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	writeIn(t, dir, name, b.String())
	return filepath.Join(dir, name)
}

// TestOpenDC: tasks, and what they use from fragment to fragment; damaged anywhere it is an error or what can be read, never a panic.
func TestOpenDC(t *testing.T) {
	dir := t.TempDir()
	tasks := parquetFile(t, dir, "tasks.parquet", []taskRow{{"a", 5000, 4000, 2, 1000, 1 << 10}, {"b", 4000, 1000, 1, 500, 1 << 11}})
	parquetFile(t, dir, "fragments.parquet", []fragmentRow{{"a", 1000, 500}, {"a", 3000, 250}, {"b", 1000, 500}, {"c", 1, 1}})
	list, h, err := all("auto:memory-unit=MiB", dir)
	if want := "+2@0 1c 2048M 0g for 1; =2@0 1c 0M for 1; +1@1 2c 1024M 0g for 4; =1@1 1c 0M for 1; =1@2 0.5c 0M for 3"; err != nil || show(list, h) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, show(list, h), want)
	}
	if !strings.Contains(strings.Join(h.Assumed, "\n"), "1 fragments are of no task") {
		t.Errorf("%+v", h.Assumed)
	}
	if _, _, err := all("", filepath.Join(dir, "fragments.parquet")); err == nil || !strings.Contains(err.Error(), "fragments without their tasks") {
		t.Error(err)
	}
	whole, err := os.ReadFile(tasks)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 4; cut < len(whole); cut += 61 {
		if _, _, err := all("", write(t, "cut.parquet", string(whole[:cut]))); err == nil || !strings.Contains(err.Error(), "cut.parquet") {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for at := 4; at < len(whole); at += 29 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x41
		if _, _, err := all("", write(t, "damaged.parquet", string(damaged))); err != nil && !strings.Contains(err.Error(), "damaged.parquet") {
			t.Fatalf("damaged at %d: %v", at, err)
		}
	}
}
