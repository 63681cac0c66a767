package trace

import (
	"io"
	"path/filepath"
	"testing"
)

// TestSkipIsNext passes over batches: what comes then is what comes after as many calls of Next.
func TestSkipIsNext(t *testing.T) {
	path := filepath.Join("..", "..", "configs", "traces", "sort.skt")
	open := func() Source {
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	whole, batches := open(), uint64(0)
	for ; ; batches++ {
		b, err := whole.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		s := open()
		if err := Skip(s, batches); err != nil {
			t.Fatal(err)
		}
		got, err := s.Next()
		if err != nil || got.First != b.First || len(got.Refs) != len(b.Refs) || len(got.Events) != len(b.Events) || len(b.Refs) > 0 && got.Refs[0] != b.Refs[0] {
			t.Fatalf("batch %d: %v, reference %d on, want %d on", batches, err, got.First, b.First)
		}
	}
	if s := open(); Skip(s, batches) != nil {
		t.Error("the end of the stream cannot be skipped to")
	} else if _, err := s.Next(); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
	if err := Skip(open(), batches+1); err != io.EOF {
		t.Errorf("beyond the end: %v", err)
	}
}
