package advise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"splitkernel/sim/replay"
	"splitkernel/sim/trace"
)

// stat reads what must be known of the trace.
func stat(ctx context.Context, o Options) (t replay.Trace, err error) {
	src, err := trace.OpenFormat(o.Path, o.Format)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	t.Path = o.Path
	if t.Info, err = trace.Stat(&memory{Source: trace.Stoppable(ctx, src), most: o.MaxRefs, files: true, tell: o.Reading}); err != nil {
		return t, err
	}
	switch i := t.Info; {
	case i.Refs == 0:
		return t, errors.New("the trace has no references to memory, so no ExCache makes a difference")
	case i.Instructions == 0:
		return t, errors.New("the trace does not say how many instructions lie between its references, so there is no time to be slower than; `splitkernel mrc` gives its misses")
	}
	t.Digest, err = trace.Digest(ctx, o.Path)
	return t, err
}

// withoutFiles writes a copy of the trace without its file operations into a folder of its own, and gives the options for it. They take the
// same with any ExCache, but not the same with all memory local, where there is another page cache and no network: they would be in
// the slowdown.
func withoutFiles(ctx context.Context, o Options) (Options, error) {
	src, err := trace.OpenFormat(o.Path, o.Format)
	if err != nil {
		return o, err
	}
	defer src.Close()
	dir, err := os.MkdirTemp("", "splitkernel-advise-")
	if err != nil {
		return o, fmt.Errorf("make a folder for the trace without file operations: %w", err)
	}
	path := filepath.Join(dir, "memory.skt")
	if _, err := trace.Convert(path, &memory{Source: trace.Stoppable(ctx, src), most: o.MaxRefs, tell: o.Reading}); err != nil {
		return o, errors.Join(err, os.RemoveAll(dir))
	}
	o.Path, o.Format = path, ""
	return o, nil
}

// memory is a source up to so many references (0 is all), without file operations unless files is set.
type memory struct {
	trace.Source
	most  uint64
	files bool
	tell  func(done, total uint64) // nil = nobody is told how far it is
	done  uint64
	batch trace.Batch
}

// Header implements trace.Source.
func (m *memory) Header() trace.Header {
	h := m.Source.Header()
	if !m.files {
		h.Volumes = nil
	}
	return h
}

// Next implements trace.Source.
func (m *memory) Next() (*trace.Batch, error) {
	b, err := m.Source.Next()
	if err != nil {
		return nil, err
	}
	if m.most > 0 && b.First >= m.most {
		return nil, io.EOF
	}
	if m.done += uint64(len(b.Refs) + len(b.Events)); m.tell != nil {
		total := trace.RecordsOf(m.done, m.Source)
		if m.most > 0 {
			total = min(total, m.most)
		}
		m.tell(m.done, total)
	}
	n := len(b.Refs)
	if m.most > 0 {
		n = int(min(uint64(n), m.most-b.First))
	}
	m.batch = trace.Batch{Refs: b.Refs[:n], First: b.First, Events: slices.DeleteFunc(append(m.batch.Events[:0], b.Events...), func(e trace.Event) bool {
		return e.At > n || !m.files && e.Kind.IsBlock()
	})}
	return &m.batch, nil
}
