package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// lineReader hands out lines with their numbers.
type lineReader struct {
	in   *bufio.Reader
	path string
	line int // number of the last line handed out, from 1
}

// next returns the next line without its end, valid until the next call.
func (l *lineReader) next() ([]byte, error) {
	b, err := l.in.ReadSlice('\n')
	if err != nil && !(errors.Is(err, io.EOF) && len(b) > 0) {
		switch {
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		case errors.Is(err, bufio.ErrBufferFull):
			l.line++
			return nil, l.errorf("a line of more than %d bytes", l.in.Size())
		}
		return nil, fmt.Errorf("%s: line %d: %w", l.path, l.line+1, short(err))
	}
	l.line++
	for n := len(b); n > 0 && (b[n-1] == '\n' || b[n-1] == '\r'); n = len(b) {
		b = b[:n-1]
	}
	if len(b) > MaxLineBytes {
		return nil, l.errorf("a line of %d bytes, at most %d", len(b), MaxLineBytes)
	}
	return b, nil
}

func (l *lineReader) errorf(f string, args ...any) error {
	return fmt.Errorf("%s: line %d: %w", l.path, l.line, fmt.Errorf(f, args...))
}

// unlike is the error for a line that is not of the format.
func (l *lineReader) unlike(line []byte, want string) error {
	return l.errorf("%q, expected %s", clip(string(line)), want)
}

// lineParser turns lines into a batch.
type lineParser interface {
	// header describes the stream as far as it is known.
	header(h *Header)
	// fill appends to b until it is full, or returns io.EOF, after which it
	// is not called again.
	fill(b *Batch) error
}

// textSource is a Source over a lineParser.
type textSource struct {
	file   *os.File
	in     *input
	format string
	parser lineParser
	batch  Batch
	refs   uint64
	err    error
}

func newTextSource(path string, ft format, f *os.File, in *input) *textSource {
	return &textSource{file: f, in: in, format: ft.name, parser: ft.open(&lineReader{in: in.Reader, path: path})}
}

func (s *textSource) Header() Header {
	h := Header{Source: s.format, Granularity: 1}
	s.parser.header(&h)
	return h
}

func (s *textSource) Next() (*Batch, error) {
	if s.err != nil {
		return nil, s.err
	}
	s.batch = Batch{Refs: s.batch.Refs[:0], Events: s.batch.Events[:0], First: s.refs}
	if s.batch.Refs == nil {
		s.batch.Refs = make([]Ref, 0, batchRefs+batchSlack)
	}
	s.err = s.parser.fill(&s.batch)
	if s.err != nil && s.err != io.EOF || len(s.batch.Refs)+len(s.batch.Events) == 0 {
		if s.err == nil {
			s.err = io.EOF
		}
		return nil, s.err
	}
	s.refs += uint64(len(s.batch.Refs))
	return &s.batch, nil
}

func (s *textSource) Close() error {
	s.in.stop()
	s.err = errors.New("closed")
	return s.file.Close()
}

// batchSlack is how far one line may overfill a batch: an access of 64 KiB.
const batchSlack = 32

// full reports whether the batch is to be handed out.
func (b *Batch) full() bool { return len(b.Refs) >= batchRefs || len(b.Events) >= MaxBlockEvents }

// addAccess appends an access of any size, split at page bounds.
func (b *Batch) addAccess(addr, size uint64, gap uint32, thread uint16, flags uint8) {
	for {
		n := min(size, PageBytes-addr&(PageBytes-1))
		b.Refs = append(b.Refs, Ref{Addr: addr, Gap: gap, Thread: thread, Size: uint8(min(n, MaxRefSize)), Flags: flags})
		addr, size, gap = addr+n, size-n, 0
		if size == 0 {
			return
		}
	}
}

// maxPage is the largest page number that an address can have.
const maxPage = 1<<(64-PageShift) - 1

// parseHex reads hex digits up to the first other byte.
func parseHex(b []byte) (v uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b); i++ {
		c := b[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return v, b[i:], i > 0 && i <= 16
		}
		v = v<<4 | uint64(c)
	}
	return v, nil, i > 0 && i <= 16
}

// parseDec reads decimal digits up to the first other byte.
func parseDec(b []byte) (v uint64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && b[i]-'0' <= 9 {
		v = v*10 + uint64(b[i]-'0')
		i++
	}
	if i > 19 { // may have wrapped: ask the slow one
		var err error
		v, err = strconv.ParseUint(string(b[:i]), 10, 64)
		return v, b[i:], err == nil
	}
	return v, b[i:], i > 0
}

// skipByte drops c, which must be the first byte.
func skipByte(b []byte, c byte) ([]byte, bool) {
	if len(b) == 0 || b[0] != c {
		return b, false
	}
	return b[1:], true
}

// skipBlanks drops leading blanks; ok says that there was one.
func skipBlanks(b []byte) (rest []byte, ok bool) {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return b[i:], i > 0
}
