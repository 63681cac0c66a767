package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// target is a format that traces are written in.
type target struct {
	name     string
	suffixes []string // of paths that stand for it, in small letters
	open     func(f *os.File, o ExportOptions) (sink, error)
}

// sink takes a stream.
type sink interface {
	batch(b *Batch, src Source) error
	// finish completes the file, and says what was not, or not exactly, written.
	finish(src Source) (lost []string, err error)
}

// targets beside .skt, which has a Writer of its own.
var targets = []target{
	{name: "oraclegeneral", suffixes: []string{".oraclegeneral", ".oraclegeneral.bin"}, open: newOracleSink},
	{name: "lackey", suffixes: []string{".lackey"}, open: newLackeySink},
	{name: "fio-iolog", suffixes: []string{".iolog"}, open: newFioSink},
}

// Targets are the names that Export knows.
func Targets() []string {
	names := []string{sktFormat}
	for _, t := range targets {
		names = append(names, t.name)
	}
	return names
}

// ExportOptions say how a trace is written.
type ExportOptions struct {
	To  string // one of Targets; "" = as the path ends, else .skt
	IDs string // oracleGeneral: "page", "block" or "lba"; "" = page where there are references, else block
}

// Validate says all that is wrong with them.
func (o ExportOptions) Validate() error {
	var errs []error
	if o.To != "" && !slices.Contains(Targets(), o.To) {
		errs = append(errs, fmt.Errorf("to: %q, want one of %s", o.To, strings.Join(Targets(), ", ")))
	}
	if !slices.Contains([]string{"", "page", "block", "lba"}, o.IDs) {
		errs = append(errs, fmt.Errorf("ids: %q, want page, block or lba", o.IDs))
	}
	return errors.Join(errs...)
}

// targetOf is the format that path is to be written in; ok = false is .skt.
func (o ExportOptions) targetOf(path string) (t target, ok bool) {
	for _, t := range targets {
		if o.To == t.name || o.To == "" && slices.ContainsFunc(t.suffixes, func(s string) bool { return strings.HasSuffix(strings.ToLower(path), s) }) {
			return t, true
		}
	}
	return target{}, false
}

// Exported is what Export wrote.
type Exported struct {
	Info Info     // of the stream
	To   string   // format of the file
	Lost []string // what the format cannot say, with counts
}

// Export writes src to path in one of the Targets. What a format cannot say is counted, and refused where nothing would be left of
// the trace. The file has its name only when it is complete. It does not close src.
func Export(path string, src Source, o ExportOptions) (Exported, error) {
	if err := o.Validate(); err != nil {
		return Exported{}, err
	}
	t, ok := o.targetOf(path)
	if !ok {
		info, err := Convert(path, src)
		return Exported{Info: info, To: sktFormat}, err
	}
	f, err := os.Create(path + ".partial")
	if err != nil {
		return Exported{}, fmt.Errorf("cannot write a trace: %w", err)
	}
	x, err := export(f, src, t, o)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return x, fmt.Errorf("%s: cannot write it as %s: %w", path, t.name, err)
	}
	return x, nil
}

func export(f *os.File, src Source, t target, o ExportOptions) (Exported, error) {
	x := Exported{To: t.name}
	out, err := t.open(f, o)
	if err != nil {
		return x, err
	}
	var s statter
	for {
		b, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return x, err
		}
		s.batch(b)
		if err := out.batch(b, src); err != nil {
			return x, err
		}
	}
	if x.Lost, err = out.finish(src); err != nil {
		return x, err
	}
	s.info.Header = src.Header()
	x.Info, err = s.finish()
	return x, err
}

// losses counts what was not written, by what it is.
type losses struct {
	what   []string
	counts map[string]uint64
}

func (l *losses) add(what string, n uint64) {
	if n == 0 {
		return
	}
	if l.counts == nil {
		l.counts = map[string]uint64{}
	}
	if l.counts[what] == 0 {
		l.what = append(l.what, what)
	}
	l.counts[what] += n
}

// list is in the order in which they turned up.
func (l *losses) list() (out []string) {
	for _, w := range l.what {
		out = append(out, fmt.Sprintf("%d %s", l.counts[w], w))
	}
	return out
}

// newOut is the buffer of a sink.
func newOut(f io.Writer) *bufio.Writer { return bufio.NewWriterSize(f, 256<<10) }
