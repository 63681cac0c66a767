package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// recordReader hands out records of fixed size with their numbers.
type recordReader struct {
	in     *bufio.Reader
	path   string
	size   int
	record uint64 // number of the last record handed out, from 1
	used   int    // bytes of the buffer that were handed out and are not yet dropped
}

// records reads records of so many bytes, at most half the buffer of an input.
func (in *input) records(size int) *recordReader {
	return &recordReader{in: in.Reader, path: in.path, size: size}
}

// next returns the next records that are in the buffer, at least one and at most max, valid until the next call. Fewer bytes than a
// record at the end are an error that names the record.
func (r *recordReader) next(max int) ([]byte, error) {
	if _, err := r.in.Discard(r.used); err != nil {
		return nil, fmt.Errorf("%s: record %d: %w", r.path, r.record+1, short(err))
	}
	r.used = 0
	b, err := r.in.Peek(r.size)
	if err != nil {
		if errors.Is(err, io.EOF) && len(b) == 0 {
			return nil, io.EOF
		}
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: record %d: the file ends after %d of its %d bytes: cut off, or not of this format", r.path, r.record+1, len(b), r.size)
		}
		return nil, fmt.Errorf("%s: record %d: %w", r.path, r.record+1, short(err))
	}
	n := min(r.in.Buffered()/r.size, max)
	b, err = r.in.Peek(n * r.size)
	if err != nil {
		return nil, err // cannot be: it is buffered
	}
	return b, nil
}

// took says how many of the records that next returned were used; the others come again. Without it none were.
func (r *recordReader) took(n int) {
	r.used = n * r.size
	r.record += uint64(n)
}

// bad is the error for record n of those that next returned last, counted from 0, before took.
func (r *recordReader) bad(n int, f string, args ...any) error {
	return &BadRecord{Path: r.path, Unit: "record", N: r.record + uint64(n) + 1, Err: fmt.Errorf(f, args...)}
}
