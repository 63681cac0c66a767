package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"splitkernel/sim/tasks"
	"splitkernel/sim/trace"
	"splitkernel/sim/unpack"
)

// MaxLineBytes is the longest line of a text format.
const MaxLineBytes = 64 << 10

// rows makes events of the lines of one format.
type rows interface {
	// columns is told the header of each file whose format has one; it fails if a column is missing.
	columns(names []string) error
	// row appends the events of a line.
	row(fields []string, out []tasks.Event) ([]tasks.Event, error)
	// fileEnds appends the events that follow from the end of a file.
	fileEnds(out []tasks.Event) []tasks.Event
	header(h *Header)
}

// noColumns is for formats without a header, and noEnd for those in which nothing follows from the end of a file.
type noColumns struct{}

func (noColumns) columns([]string) error { return nil }

type noEnd struct{}

func (noEnd) fileEnds(out []tasks.Event) []tasks.Event { return out }

// table is how lines are cut.
type table struct {
	sep     byte   // ' ' is any blanks
	comment string // lines that begin so are passed over
	named   bool   // the first line has the names of the columns
	// numeric is a column that must be a number: a first line where it is not one is a header. It is not looked at if named.
	numeric int
	least   int // columns
	most    int
}

// lines is the parser of text formats.
type lines struct {
	table
	rows    rows
	paths   []string
	file    *os.File
	in      *unpack.Stream
	path    string
	line    uint64
	field   []string
	columns int // of the header, if named
}

// text gives the open of a text format.
func text(t table, open func(g *group) (rows, error)) func(g *group) (parser, error) {
	return func(g *group) (parser, error) {
		r, err := open(g)
		if err != nil {
			return nil, err
		}
		return &lines{table: t, rows: r, paths: g.paths}, nil
	}
}

func (l *lines) header(h *Header) { l.rows.header(h) }

func (l *lines) close() {
	if l.file != nil {
		l.in.Close()
		l.file.Close()
		l.file = nil
	}
}

func (l *lines) next(out []tasks.Event) ([]tasks.Event, error) {
	for {
		if l.file == nil {
			if len(l.paths) == 0 {
				return out, io.EOF
			}
			if err := l.openNext(); err != nil {
				return out, err
			}
		}
		line, err := l.read()
		if err == io.EOF {
			out = l.rows.fileEnds(out)
			l.close()
			if len(out) > 0 {
				return out, nil
			}
			continue
		}
		if err != nil {
			return out, err
		}
		if line == "" || l.comment != "" && strings.HasPrefix(line, l.comment) {
			continue
		}
		l.field = split(line, l.sep, l.field[:0])
		if l.line == 1 || l.line == 2 && l.comment != "" {
			is, err := l.isHeader()
			if err != nil {
				return out, err
			}
			if is {
				continue
			}
		}
		if n := len(l.field); l.named && n != l.columns {
			return out, l.bad("%d columns, expected %d as in line 1", n, l.columns)
		} else if n < l.least || n > l.most {
			want := fmt.Sprint(l.least)
			if l.most != l.least {
				want += fmt.Sprintf(" to %d", l.most)
			}
			return out, l.bad("%d columns, expected %s", n, want)
		}
		n := len(out)
		if out, err = l.rows.row(l.field, out); err != nil {
			return out[:n], l.bad("%w", err)
		}
		for _, e := range out[n:] {
			if err := e.Size.Check(); err != nil {
				return out[:n], l.bad("%w", err)
			}
		}
		return out, nil
	}
}

// isHeader looks at the first line.
func (l *lines) isHeader() (bool, error) {
	if !l.named {
		return l.numeric < len(l.field) && l.field[l.numeric] != "" && !number(l.field[l.numeric]) && header(l.field), nil
	}
	if l.line > 1 {
		return false, nil
	}
	for i, f := range l.field {
		l.field[i] = strings.TrimPrefix(strings.TrimSpace(strings.Trim(f, `"`)), "\ufeff")
	}
	l.columns = len(l.field)
	if err := l.rows.columns(l.field); err != nil {
		return true, fmt.Errorf("%s: line 1: %w", l.path, err)
	}
	return true, nil
}

func (l *lines) openNext() error {
	l.path, l.paths, l.line = l.paths[0], l.paths[1:], 0
	f, err := os.Open(l.path)
	if err != nil {
		return fmt.Errorf("cannot read a cluster trace: %w", err)
	}
	in, err := unpack.Open(l.path, f)
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.in = f, in
	return nil
}

// read gives the next line without its end.
func (l *lines) read() (string, error) {
	b, err := l.in.ReadSlice('\n')
	if err != nil && !(errors.Is(err, io.EOF) && len(b) > 0) {
		switch {
		case errors.Is(err, io.EOF):
			return "", io.EOF
		case errors.Is(err, bufio.ErrBufferFull):
			return "", fmt.Errorf("%s: line %d: a line of more than %d bytes", l.path, l.line+1, l.in.Size())
		case errors.Is(err, io.ErrUnexpectedEOF):
			return "", fmt.Errorf("%s: line %d: the packed file is cut off: %w", l.path, l.line+1, err)
		}
		return "", fmt.Errorf("%s: line %d: %w", l.path, l.line+1, err)
	}
	l.line++
	line := strings.TrimRight(string(b), "\r\n")
	if len(line) > MaxLineBytes {
		return "", l.bad("a line of %d bytes, at most %d", len(line), MaxLineBytes)
	}
	return line, nil
}

func (l *lines) bad(f string, args ...any) error {
	return &trace.BadRecord{Path: l.path, Unit: "line", N: l.line, Err: fmt.Errorf(f, args...)}
}

// split cuts a line into fields.
func split(line string, sep byte, out []string) []string {
	if sep == ' ' {
		return append(out, strings.Fields(line)...)
	}
	for {
		i := strings.IndexByte(line, sep)
		if i < 0 {
			return append(out, line)
		}
		out = append(out, line[:i])
		line = line[i+1:]
	}
}
