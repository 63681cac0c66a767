package report

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

func sample() *Summary {
	s := &Summary{Schema: SchemaSummary, Engine: "live", Workload: "w", Cluster: "laptop", Seed: 3, Commit: "0123456789abcdef", WallSeconds: 2, AccessesPerSecond: 500_000}
	s.Total = Counters{Accesses: 1_000_000, Reads: 600_000, Writes: 400_000, Hits: 900_000, Misses: 100_000, PLocal: 30_000, Fetches: 70_000, FetchedBytes: 70_000 * 4096, PagesChecked: 1_000_000}
	s.Total.FaultLatency = map[string]Latency{"fetch": {Count: 70_000, P50: 12.5, P95: 30, P99: 55.5, Max: 1000}}
	s.VNodes = []VNode{{Name: "sort", PID: 1, State: "done", PComponent: "p1", Home: "m2", Counters: s.Total}}
	s.Components = []Component{{ID: "m1", Role: "mcomponent", FetchShare: .345, Counters: Counters{Fetches: 24_150}}}
	return s
}

func TestTableSaysWhatHappened(t *testing.T) {
	s := sample()
	s.Failed, s.Warnings = []string{"sort: m1: out of memory"}, []string{"g1 does not answer"}
	var b strings.Builder
	if err := WriteTable(&b, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"w on laptop: 1 000 000 accesses in 2.0 s (500 000/s), seed 3, commit 0123456789ab", "90.00 % hits; 100 000 misses: 30 000 p-local, 70 000 fetched (273.4 MiB)",
		"1 000 000 pages checked, 0 sectors checked, 0 wrong", "sort   p1  m2    done", "fetch   70 000  12.5    30.0    55.5    1000.0", "34.5", "out of memory", "g1 does not answer",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "WRONG") {
		t.Error("wrong pages where there were none")
	}
}

// TestTableSaysWhatMemorySurvives: each policy with what it survives and costs, and what was done for it; nothing of it where nothing survives.
func TestTableSaysWhatMemorySurvives(t *testing.T) {
	s := sample()
	s.VNodes[0].Memory = MemoryOf(wire.MemoryPolicy{})
	if s.SetRedundancy(); s.Redundancy != nil || s.VNodes[0].Memory != nil {
		t.Fatalf("nothing survives, and the report has %+v", s.Redundancy)
	}
	s.VNodes[0].Memory = MemoryOf(wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 4, Parity: 2})
	for name, p := range map[string]wire.MemoryPolicy{"db": {Kind: wire.MemorySync, Copies: 2}, "cache": {Kind: wire.MemoryLog, Copies: 1, LogBlock: true}} {
		s.VNodes = append(s.VNodes, VNode{Name: name, Memory: MemoryOf(p)})
	}
	s.Components[0].Other = map[string]float64{"replica_sent": 1200, "replica_filled": 30, "share_reads": 70, "share_reads_computed": 7, "held_saved": 5, "held_log_full": 2, "held_skipped": 1}
	s.Components = append(s.Components, Component{ID: "m2", Role: "mcomponent", Other: map[string]float64{"replica_sent": 1}})
	s.SetRedundancy()
	var b strings.Builder
	s.VNodes[0].FaultLatency = map[string]Latency{"fetch": {Count: 1, P50: 36.5, P99: 55}}
	if err := WriteTable(&b, s); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"sort erasure 4 + 2 2 of 6 and the owner 1.5x 6 shares of 1/4 4 shares 36.5 55.0", "db sync 2 2 of 3 3x 2 pages - 0.0 0.0", "cache log 1, block 1 of 2 2x 1 pages -",
		"1 201 copies and shares sent, 30 of them rebuilt at other holders; 70 pages made of shares, 7 of them with a parity share; logs wrote 5 pages to files, were full for 2 and skipped 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestExitCodes(t *testing.T) {
	s := sample()
	if s.ExitCode() != 0 {
		t.Error(s.ExitCode())
	}
	s.Failed = []string{"x"}
	if s.ExitCode() != 1 {
		t.Error(s.ExitCode())
	}
	s.Total.IntegrityErrors = 1 // outweighs a failure
	if s.ExitCode() != 3 {
		t.Error(s.ExitCode())
	}
}

// TestSchemaDoesNotChangeSilently: the fields that the documentation and the issue name are there, and the file reads back.
func TestSchemaDoesNotChangeSilently(t *testing.T) {
	dir := t.TempDir()
	s := sample()
	if err := WriteFiles(dir, s, &Manifest{Schema: SchemaManifest, Host: ThisHost()}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Summary
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(&back, s) {
		t.Fatalf("%v: %+v", err, back)
	}
	var raw map[string]any
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := func(where string, m map[string]any) {
		for k := range m {
			if !strings.Contains(string(doc), "`"+k) {
				t.Errorf("%s: field %q is not in docs/report.md", where, k)
			}
		}
	}
	documented("summary", raw)
	total := raw["total"].(map[string]any)
	documented("total", total)
	for _, k := range strings.Fields("accesses reads writes hits misses p_local fetches coalesced victim_hits evictions flushes final_flushes piggybacked " +
		"fetched_bytes flushed_bytes pages_checked integrity_errors") {
		if _, ok := total[k]; !ok {
			t.Errorf("total has no %s", k)
		}
		if _, ok := raw["vnodes"].([]any)[0].(map[string]any)[k]; !ok {
			t.Errorf("a vnode has no %s", k)
		}
		if _, ok := raw["components"].([]any)[0].(map[string]any)[k]; !ok {
			t.Errorf("a component has no %s", k)
		}
	}
	for _, k := range strings.Fields("processes_started wall_seconds accesses_per_second restarts leader_changes seed commit config_digest") {
		if _, ok := raw[k]; !ok {
			t.Errorf("summary has no %s", k)
		}
	}
	if h := ThisHost(); h.CPUs < 1 || h.Go == "" {
		t.Errorf("%+v", h)
	}
}

var rewrite = flag.Bool("rewrite", false, "rewrite testdata")

// TestSchemasAreAsPinned: every field of the files with its type. A field that goes or changes its type or meaning raises the
// schema's number; a new one only changes the list.
func TestSchemasAreAsPinned(t *testing.T) {
	var lines []string
	var walk func(path string, t reflect.Type)
	walk = func(path string, t reflect.Type) {
		switch {
		case t == reflect.TypeFor[time.Time]():
			lines = append(lines, path+" time")
		case t.Kind() == reflect.Struct:
			for i := range t.NumField() {
				f := t.Field(i)
				if f.Tag.Get("json") == "-" || !f.IsExported() { // in no file, or not in this one
					continue
				}
				if f.Anonymous {
					walk(path, f.Type)
					continue
				}
				walk(path+"."+f.Tag.Get("json"), f.Type)
			}
		case t.Kind() == reflect.Slice:
			walk(path+"[]", t.Elem())
		case t.Kind() == reflect.Pointer && t.Elem().Kind() != reflect.Struct: // may be null
			walk(path+"?", t.Elem())
		case t.Kind() == reflect.Map:
			walk(path+"{}", t.Elem())
		default:
			lines = append(lines, path+" "+t.Kind().String())
		}
	}
	walk(SchemaSummary, reflect.TypeFor[Summary]())
	walk(SchemaManifest, reflect.TypeFor[Manifest]())
	walk(SchemaTimeline, reflect.TypeFor[Timeline]())
	got := strings.Join(lines, "\n") + "\n"
	const file = "testdata/schema.txt"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the fields of the files have changed. If that is meant, describe it in docs/report.md, raise the schema's number if a field went or changed its meaning, and run with -rewrite:\n%s", got)
	}
}

func TestUnwritableFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	if err := WriteFiles(dir, sample(), &Manifest{}); err == nil || !strings.Contains(err.Error(), "summary.json") {
		t.Errorf("%v", err)
	}
}
