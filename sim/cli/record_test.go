package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/netlayer/session"
	"splitkernel/pcomponent/fault"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/volume"
)

// TestRunRecordAndReplay records a run and re-executes it with the command line; then things go wrong with the record.
func TestRunRecordAndReplay(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	out := filepath.Join(dir, "r")
	sqlite, err := filepath.Abs("../../configs/traces/sqlite.skt")
	if err != nil {
		t.Fatal(err)
	}
	file := sample(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(file), filepath.Base(file), string(text)+fmt.Sprintf("  - {name: db, trace: %s, max_refs: 100000, excache: {lines: 4096, ways: 0}}\n", sqlite))
	execute(t, dir, "run", file, "--cluster", small(t), "--record", "--out", out, "-o", "json", "--set", "token=secret").want(t, exitOK, "cluster small is ready")
	empty(t, temp)
	got := call("simulate", "--from-run", out, "-o", "json")
	got.want(t, exitOK)
	var rows []tapeRow
	if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	nodes, events := "", map[string]uint64{}
	for _, r := range rows {
		nodes += r.Node + " "
		if r.End != "whole" || r.Effects == 0 || len(r.Cores) == 0 || !r.Cores[0].Ended {
			t.Errorf("%+v", r)
		}
		for _, c := range r.Cores {
			events[c.Kind] += c.Events
		}
	}
	if nodes != "g1 m1 p1 s1 " {
		t.Errorf("tapes of %s, want g1 m1 p1 s1", nodes)
	}
	for _, kind := range []string{fault.TapeKind, pagestore.TapeKind, admission.TapeKind, volume.TapeKind, iosched.TapeKind, session.TapeKind} {
		if events[kind] == 0 {
			t.Errorf("no events of cores %s, want some of each: %v", kind, events)
		}
	}
	if text, err := os.ReadFile(filepath.Join(out, recordDir, recordCluster)); err != nil || strings.Contains(string(text), "secret") {
		t.Errorf("the record has the token of the cluster: %v", err)
	}
	if got = call("simulate", "--from-run", out, "--until", "p1:500"); got.code != exitOK || !strings.Contains(got.stdout, "p1 after event 500: process ") || !strings.Contains(got.stdout, "thread 0: ") {
		t.Errorf("%+v", got)
	}
	if got = call("simulate", "--from-run", out, "--hardware", "cxl", "--out", filepath.Join(dir, "what-if")); got.code != exitOK || !strings.Contains(got.stdout, "with all its memory local") {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--until", "x9:5"}, "with one of g1, m1, p1, s1"},
		{[]string{"--until", "p1:0"}, "counted from 1"},
		{[]string{"--seed", "3"}, "--from-run and --seed"},
		{[]string{"--until", "5", "--hardware", "cxl"}, "--until and --hardware"},
		{[]string{"--cluster", "laptop"}, "--from-run and a workload or --cluster"},
	} {
		call(append([]string{"simulate", "--from-run", out}, c.args...)...).want(t, exitUsage, c.want)
	}
	execute(t, dir, "run", file, "--cluster", small(t), "--record", "--out", out).want(t, exitUsage, "has a record already")

	tape := filepath.Join(out, recordDir, "p1.tape")
	whole, err := os.ReadFile(tape)
	if err != nil {
		t.Fatal(err)
	}
	put := func(path string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(tape, whole[:len(whole)-3])
	if got = call("simulate", "--from-run", out); got.code != exitFailed || !strings.Contains(got.stderr, "p1.tape: byte ") || !strings.Contains(got.stderr, "cut off") {
		t.Errorf("cut: %+v", got)
	}
	put(tape, whole)
	list := filepath.Join(out, recordDir, recordTraces)
	text, err = os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	put(list, []byte(strings.Replace(string(text), `    "`, `    "00`, 1)))
	if got = call("simulate", "--from-run", out); got.code != exitFailed || !strings.Contains(got.stderr, "want the trace as it was") {
		t.Errorf("another trace: %+v", got)
	}
}
