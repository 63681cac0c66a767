package trace

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// TestCurtail: what was read before a stop is a whole trace, in every format that is written, and says where it ends.
func TestCurtail(t *testing.T) {
	for _, to := range []string{"a.skt", "a.oracleGeneral", "a.lackey"} {
		src, err := Open("generator:sequential?pages=100&refs=1000000")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		curtailed, cut := Curtail(ctx, &stopAfter{Source: src, batches: 2, stop: cancel})
		path := filepath.Join(t.TempDir(), to)
		x, err := Export(path, curtailed, ExportOptions{})
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		if !cut() || x.Info.Refs == 0 || x.Info.Refs >= 1000000 || !strings.Contains(strings.Join(x.Info.Header.DefaultsStated, "\n"), "end: it was stopped before the end of the trace, after ") {
			t.Errorf("%s: cut %v after %d references, %q", to, cut(), x.Info.Refs, x.Info.Header.DefaultsStated)
		}
		format := map[bool]string{true: "oraclegeneral:id=key"}[to == "a.oracleGeneral"]
		written, err := OpenFormat(path, format)
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		info, err := Stat(written)
		if err != nil || info.Refs != x.Info.Refs {
			t.Errorf("%s: %d references are in it, %v; want %d", to, info.Refs, err, x.Info.Refs)
		}
		written.Close()
		src.Close()
	}
	src, err := Open("generator:sequential?pages=100&refs=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	whole, cut := Curtail(context.Background(), src)
	for err == nil {
		_, err = whole.Next()
	}
	if err != io.EOF || cut() || whole.Header().Refs != 1000 {
		t.Errorf("not stopped: %v, cut %v, %d references by its header", err, cut(), whole.Header().Refs)
	}
}

// stopAfter calls stop when so many batches were read.
type stopAfter struct {
	Source
	batches int
	stop    func()
}

func (s *stopAfter) Next() (*Batch, error) {
	if s.batches--; s.batches == 0 {
		s.stop()
	}
	return s.Source.Next()
}
