package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// lineReader hands out lines with their numbers. It cuts them out of the buffer of its input, where they stay until the next call,
// so that a line costs little more than the search for its end.
type lineReader struct {
	in     *bufio.Reader
	path   string
	line   int    // number of the last line handed out, from 1
	rest   []byte // what is in the buffer and was not handed out
	peeked int    // bytes of the buffer that are in rest or were handed out, and are not dropped yet
	hex    bool   // addresses are hex without 0x, for errors
}

// lines reads the input as lines.
func (in *input) lines() *lineReader { return &lineReader{in: in.Reader, path: in.path} }

// hexLines is lines, of a format whose addresses are hex without 0x.
func (in *input) hexLines() *lineReader { return &lineReader{in: in.Reader, path: in.path, hex: true} }

// next returns the next line without its end, valid until the next call.
func (l *lineReader) next() ([]byte, error) {
	i := bytes.IndexByte(l.rest, '\n')
	if i < 0 {
		return l.refill()
	}
	b := l.rest[:i]
	l.rest = l.rest[i+1:]
	return l.handOut(b)
}

func (l *lineReader) handOut(b []byte) ([]byte, error) {
	l.line++
	for n := len(b); n > 0 && b[n-1] == '\r'; n = len(b) {
		b = b[:n-1]
	}
	if len(b) > MaxLineBytes {
		return nil, l.errorf("a line of %d bytes, expected at most %d", len(b), MaxLineBytes)
	}
	return b, nil
}

// refill reads on until there is a whole line in the buffer.
func (l *lineReader) refill() ([]byte, error) {
	if _, err := l.in.Discard(l.peeked - len(l.rest)); err != nil {
		return nil, err // cannot be: it is buffered
	}
	for {
		seen := len(l.rest)
		l.peeked = seen
		_, err := l.in.Peek(seen + 1)
		l.rest, _ = l.in.Peek(l.in.Buffered())
		l.peeked = len(l.rest)
		if i := bytes.IndexByte(l.rest[seen:], '\n'); i >= 0 {
			b := l.rest[:seen+i]
			l.rest = l.rest[seen+i+1:]
			return l.handOut(b)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && len(l.rest) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			b := l.rest
			l.rest = nil
			return l.handOut(b)
		case errors.Is(err, bufio.ErrBufferFull):
			l.line++
			l.passOver()
			return nil, l.errorf("a line of more than %d bytes, expected at most %d", l.in.Size(), MaxLineBytes)
		default:
			return nil, fmt.Errorf("%s: line %d: %w", l.path, l.line+1, short(err))
		}
	}
}

// passOver drops a line that is longer than the buffer, of which the buffer is full, with its end. An error that it meets comes again
// when the next line is asked for.
func (l *lineReader) passOver() {
	for {
		n := l.in.Buffered()
		b, _ := l.in.Peek(n) // it is there
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			l.rest, l.peeked = b[i+1:], n
			return
		}
		_, _ = l.in.Discard(n) // likewise
		if _, err := l.in.Peek(1); err != nil {
			l.rest, l.peeked = nil, 0
			return
		}
	}
}

func (l *lineReader) errorf(f string, args ...any) error {
	return &BadRecord{Path: l.path, Unit: "line", N: uint64(l.line), Err: fmt.Errorf(f, args...)}
}

// unlike is the error for a line that is not of the format.
func (l *lineReader) unlike(line []byte, want string) error {
	hint := ""
	if n := past64(line, l.hex); n != nil {
		hint = fmt.Sprintf(": %s is past 64 bits", clip(string(n)))
	}
	return l.errorf("%q, expected %s%s", clip(string(line)), want, hint)
}

// past64 finds a number that is too large for 64 bits: hex after 0x, or if it has a letter, or if hex says so; else decimal. nil = there is none.
func past64(line []byte, hex bool) []byte {
	for _, word := range bytes.FieldsFunc(line, func(r rune) bool { return !(r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z') }) {
		digits, base := word, 10
		switch {
		case len(word) > 2 && word[0] == '0' && word[1]|0x20 == 'x':
			digits, base = word[2:], 16
		case hex, bytes.ContainsAny(word, "abcdefABCDEF"):
			base = 16
		}
		if _, err := strconv.ParseUint(string(digits), base, 64); errors.Is(err, strconv.ErrRange) {
			return word
		}
	}
	return nil
}

// parsedSource is a Source over a parser.
type parsedSource struct {
	file   *os.File
	in     *input
	format format
	parser parser
	batch  Batch
	refs   uint64
	err    error
	bad    uint64 // records left out
	first  string // of them
}

func newParsedSource(ft format, f *os.File, in *input) (*parsedSource, error) {
	p, err := ft.open(in)
	if err != nil {
		return nil, err
	}
	if l, ok := p.(*lineParser); ok && l.requests {
		ft.class = BlockClass
	}
	return &parsedSource{file: f, in: in, format: ft, parser: p}, nil
}

func (s *parsedSource) Header() Header {
	h := Header{Source: s.format.name, Granularity: 1, Unverified: s.format.sample == "", BadRecords: s.bad}
	s.parser.header(&h)
	if s.bad > 0 {
		h.DefaultsStated = append(h.DefaultsStated, fmt.Sprintf("bad records: %d left out, the first: %s", s.bad, s.first))
	}
	return h
}

func (s *parsedSource) Next() (*Batch, error) {
	if s.err != nil {
		return nil, s.err
	}
	s.batch = Batch{Refs: s.batch.Refs[:0], Events: s.batch.Events[:0], First: s.refs}
	if s.batch.Refs == nil {
		s.batch.Refs = make([]Ref, 0, batchRefs+batchSlack)
	}
	for {
		s.err = s.parser.fill(&s.batch)
		var bad *BadRecord
		if !errors.As(s.err, &bad) || s.bad >= s.in.spec.SkipBad {
			break
		}
		if s.bad++; s.first == "" {
			s.first = fmt.Sprintf("%s %d: %v", bad.Unit, bad.N, bad.Err)
		}
	}
	if s.err != nil && s.err != io.EOF || len(s.batch.Refs)+len(s.batch.Events) == 0 {
		if s.err == nil {
			s.err = io.EOF
		}
		return nil, s.err
	}
	s.refs += uint64(len(s.batch.Refs))
	return &s.batch, nil
}

func (s *parsedSource) Close() error {
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

// hexDigit is the value of a hex digit; 0xff = none.
var hexDigit = func() (t [256]uint8) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range "0123456789abcdef" {
		t[c] = uint8(i)
	}
	for i, c := range "ABCDEF" {
		t[c] = uint8(10 + i)
	}
	return t
}()

// parseHex reads hex digits up to the first other byte.
func parseHex(b []byte) (v uint64, rest []byte, ok bool) {
	i := 0
	for i < len(b) {
		d := hexDigit[b[i]]
		if d > 15 {
			break
		}
		v = v<<4 | uint64(d)
		i++
	}
	return v, b[i:], i > 0 && i <= 16
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
