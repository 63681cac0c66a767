package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTraceTools slices, filters, samples, merges and converts a small trace as a user would.
func TestTraceTools(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	for i := range 400 {
		fmt.Fprintf(&text, "%c %x\n", "RRRW"[i%4], 0x1000+i%40)
	}
	pages := write(t, dir, "pages.txt", text.String())
	iolog := write(t, dir, "a.iolog", "fio version 2 iolog\nf add\nf open\nf write 0 8192\nf wait 2000\nf read 4096 4096\nbroken\nf sync\nf close\n")
	in := func(name string) string { return filepath.Join(dir, name) }
	info := func(args ...string) (f traceFile) {
		t.Helper()
		c := call(append(args, "-o", "json")...)
		c.want(t, exitOK)
		var files []traceFile
		if err := json.Unmarshal([]byte(c.stdout), &files); err != nil || len(files) != 1 {
			t.Fatalf("%v: %v\n%s", args, err, c.stdout)
		}
		return files[0]
	}
	if f := info("trace", "slice", pages, in("s.skt"), "--from", "10", "--to", "50"); f.Refs != 40 || f.Written != "skt" || !strings.Contains(f.Thinning, "a slice: records 10 to 50") {
		t.Errorf("slice: %+v", f)
	}
	if f := info("trace", "filter", pages, in("w.skt"), "--op", "write", "--pages", "0x1000-0x1013"); f.Refs != 50 || f.Reads != 0 {
		t.Errorf("filter: %+v", f)
	}
	if f := info("trace", "sample", pages, in("e.skt"), "--every", "10"); f.Refs != 40 {
		t.Errorf("sample: %+v", f)
	}
	if f := info("trace", "merge", "--out", in("m.skt"), "--skip-bad", "1", pages, iolog); f.Refs != 400 || f.BlockReads != 1 || f.BlockFlushes != 1 || f.Source != "merge" {
		t.Errorf("merge: %+v", f)
	}
	if f := info("trace", "convert", pages, in("x.oracleGeneral")); f.Written != "oraclegeneral" || len(f.Lost) != 3 {
		t.Errorf("convert: %+v", f)
	}
	if f := info("trace", "info", in("x.oracleGeneral"), "--format", "oraclegeneral:id=key"); f.Refs != 400 || f.FootprintPages != 40 || !f.SynthesisedMaps {
		t.Errorf("oracleGeneral: %+v", f)
	}
	if f := info("trace", "convert", iolog, in("y"), "--to", "fio-iolog", "--skip-bad", "1"); f.BadRecords != 1 || f.BlockWrites != 1 {
		t.Errorf("fio: %+v", f)
	}
	if b, err := os.ReadFile(in("y")); err != nil || string(b) != "fio version 3 iolog\n0 f add\n0 f open\n0 f write 0 8192\n2000 f read 4096 4096\n2000 f sync 0 0\n2000 f close\n" {
		t.Errorf("fio: %q, %v", b, err)
	}
	c := call("trace", "head", "-n", "2", pages)
	c.want(t, exitOK)
	if want := "       -  mmap        0x1000000, 196608 B, thread 0, anonymous, [synthesised]\n       0  read        0x1000000, 0 B, thread 0, 0 instructions\n"; c.stdout != want {
		t.Errorf("head: %q, want %q", c.stdout, want)
	}
	c = call("trace", "head", "-o", "json", "--skip-bad", "1", iolog)
	c.want(t, exitOK)
	if want := `{"number":1,"kind":"block-read","thread":0,"bytes":4096,"time_ns":2000000,"volume":"f","offset_bytes":4096}`; strings.Count(c.stdout, "\n") != 3 || !strings.Contains(c.stdout, want) {
		t.Errorf("head: %s", c.stdout)
	}
	call("trace", "info", iolog).want(t, exitFailed, "line 7: \"broken\", expected `file add|open|close`")
	call("trace", "convert", pages, in("z"), "--to", "fio-iolog").want(t, exitFailed, "the trace has no block operations")
	for want, args := range map[string][]string{
		"nothing to filter by":                {"filter", pages, in("z")},
		`filter: op "rw"`:                     {"filter", pages, in("z"), "--op", "rw"},
		`--pages: "7"`:                        {"filter", pages, in("z"), "--pages", "7"},
		"slice: from 5 to 5":                  {"slice", pages, in("z"), "--from", "5", "--to", "5"},
		"sample: want a rate or one of N":     {"sample", pages, in("z")},
		"--out is missing":                    {"merge", pages, iolog},
		`to: "csv", want one of skt`:          {"convert", pages, in("z"), "--to", "csv"},
		`--format: trace format "x", want`:    {"head", "--format", "x", pages},
		`ids: "key", want page, block or lba`: {"convert", pages, in("z"), "--ids", "key"},
	} {
		call(append([]string{"trace"}, args...)...).want(t, exitUsage, want)
	}
	if _, err := os.Stat(in("z")); err == nil {
		t.Error("a command that failed wrote its file")
	}
}
