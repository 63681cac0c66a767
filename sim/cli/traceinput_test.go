package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/trace"
)

// TestTraceCtrlC: info prints, and convert writes, what was read before Ctrl-C, says that it is partial, and ends with 1.
func TestTraceCtrlC(t *testing.T) {
	dir := t.TempDir()
	cause := errors.New("stopped by a signal (interrupt)")
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: io.Discard, output: "json"}
	in := &traceInput{}
	const from = "generator:zipf?pages=1000&refs=1000000"

	ctx, cancel := context.WithCancelCause(context.Background())
	to := filepath.Join(dir, "part.skt")
	err := a.rewriteTrace(ctx, in, from, to, trace.ExportOptions{}, func(src trace.Source) (trace.Source, error) {
		_, err := src.Next() // left out of what is written
		cancelAfter := func() { cancel(cause) }
		return &stopping{src, 3, cancelAfter}, err
	})
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "what was written is partial") || a.exitCode(&ranError{err}) != exitFailed {
		t.Errorf("convert: %v, want the cause and what became of it", err)
	}
	var files []traceFile
	if err := json.Unmarshal(out.Bytes(), &files); err != nil || len(files) != 1 || !files[0].Partial || files[0].Refs == 0 || files[0].Refs >= 1000000 || len(files[0].SHA256) != 64 {
		t.Fatalf("convert: %v\n%s", err, out.String())
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left are %v, want the file alone", left)
	}
	src, err := trace.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if h := src.Header(); h.Refs != files[0].Refs || !strings.Contains(strings.Join(h.DefaultsStated, "\n"), "end: it was stopped") {
		t.Errorf("%d references are in it, want %d; %q", h.Refs, files[0].Refs, h.DefaultsStated)
	}

	f, err := a.statTrace(ctx, from, in) // stopped before the first record
	if err != nil || !f.Partial || f.Refs != 0 || f.SHA256 != "" {
		t.Errorf("info: %+v, %v", f, err)
	}
}

type stopping struct {
	trace.Source
	batches int
	stop    func()
}

func (s *stopping) Next() (*trace.Batch, error) {
	if s.batches--; s.batches == 0 {
		s.stop()
	}
	return s.Source.Next()
}

// TestNamed: an error names the trace once.
func TestNamed(t *testing.T) {
	path := write(t, t.TempDir(), "bad", "R 1\nX 2\n")
	for _, command := range []string{"mrc", "advise"} {
		c := call(command, path)
		c.want(t, exitFailed, "splitkernel: "+path+": line 2: ")
		if strings.Count(c.stderr, path) != 1 {
			t.Errorf("%s: %s", command, c.stderr)
		}
	}
	if err := named("a", errors.New("it is bad")); err.Error() != "a: it is bad" {
		t.Errorf("%v", err)
	}
}
