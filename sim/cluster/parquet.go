package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"splitkernel/sim/tasks"
	"splitkernel/sim/trace"
)

// parquetRows is how many rows are read at a time.
const parquetRows = 1 << 10

// parquetTasks reads OpenDC's tasks, and fragments as what tasks use from one time to the next; a task's fragments follow one another from its
// submission on. Tables of tasks are read before tables of fragments, which need their times.
type parquetTasks struct {
	g    *group
	unit int64

	left   []string // files of tasks, then of fragments
	file   *os.File
	path   string
	rows   parquet.RowReader
	closer io.Closer
	buf    []parquet.Row
	held   []parquet.Row
	row    uint64
	at     [7]int // columns
	parts  bool   // the file is of fragments
	scale  time.Duration
	ids    names
	begins []time.Duration // of each task, by number
	cores  []int64
	mhz    []float64 // of all its processors; 0 = not told
	stray  uint64
}

func openParquet(g *group) (parser, error) {
	unit, err := Bytes(g.spec.key("memory-unit", "1KB"))
	if err != nil {
		return nil, fmt.Errorf("--format: memory-unit: %w", err)
	}
	p := &parquetTasks{g: g, unit: unit, buf: make([]parquet.Row, parquetRows)}
	var parts []string
	for _, path := range g.paths {
		names, err := parquetColumns(path)
		if err != nil {
			return nil, err
		}
		switch {
		case names["submission_time"] && names["duration"] && names["id"]:
			p.left = append(p.left, path)
		case names["cpu_usage"] && names["duration"] && names["id"]:
			parts = append(parts, path)
		default:
			return nil, fmt.Errorf("%s: neither the columns of OpenDC's tasks (id, submission_time, duration, cpu_count, mem_capacity) nor of its fragments (id, duration, cpu_usage)", path)
		}
	}
	if len(p.left) == 0 {
		return nil, fmt.Errorf("%s: fragments without their tasks, want tasks.parquet beside it", parts[0])
	}
	p.left = append(p.left, parts...)
	return p, nil
}

func parquetColumns(path string) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read a cluster trace: %w", err)
	}
	defer f.Close()
	pf, err := openParquetFile(path, f)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, c := range pf.Schema().Columns() {
		names[c[0]] = true
	}
	return names, nil
}

// openParquetFile turns what the library does with a damaged file, which may be a panic, into an error.
func openParquetFile(path string, f *os.File) (pf *parquet.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: damaged: %v", path, r)
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if pf, err = parquet.OpenFile(f, info.Size()); err != nil {
		return nil, fmt.Errorf("%s: %w, expected a Parquet file", path, err)
	}
	return pf, nil
}

func (p *parquetTasks) openNext() error {
	p.path, p.left, p.row = p.left[0], p.left[1:], 0
	f, err := os.Open(p.path)
	if err != nil {
		return fmt.Errorf("cannot read a cluster trace: %w", err)
	}
	pf, err := openParquetFile(p.path, f)
	if err != nil {
		f.Close()
		return err
	}
	p.at = [7]int{-1, -1, -1, -1, -1, -1, -1}
	p.scale = time.Millisecond
	p.parts = true
	for i, c := range pf.Schema().Columns() {
		for k, name := range []string{"id", "duration", "submission_time", "cpu_count", "mem_capacity", "cpu_capacity", "cpu_usage"} {
			if c[0] == name {
				p.at[k] = i
			}
		}
		if c[0] == "submission_time" {
			p.parts = false
			leaf, _ := pf.Schema().Lookup(c...)
			switch kind := strings.ToUpper(leaf.Node.Type().String()); {
			case strings.Contains(kind, "MICROS"):
				p.scale = time.Microsecond
			case strings.Contains(kind, "NANOS"):
				p.scale = 1
			}
		}
	}
	if !p.parts && (p.at[3] < 0 || p.at[4] < 0) {
		f.Close()
		return fmt.Errorf("%s: no column cpu_count or mem_capacity", p.path)
	}
	r := parquet.NewReader(pf)
	p.file, p.rows, p.closer = f, r, r
	return nil
}

func (p *parquetTasks) next(out []tasks.Event) (_ []tasks.Event, err error) {
	for len(p.held) == 0 {
		if p.file == nil {
			if len(p.left) == 0 {
				return out, io.EOF
			}
			if err := p.openNext(); err != nil {
				return out, err
			}
		}
		n, err := p.read()
		p.held = p.buf[:n]
		if n == 0 && errors.Is(err, io.EOF) {
			p.close()
		} else if err != nil && !errors.Is(err, io.EOF) {
			return out, fmt.Errorf("%s: row %d: %w", p.path, p.row+1, err)
		}
	}
	row := p.held[0]
	p.held = p.held[1:]
	p.row++
	var e tasks.Event
	if p.parts {
		e, err = p.fragment(row)
	} else {
		e, err = p.task(row)
	}
	if err == nil {
		err = e.Size.Check()
	}
	if err != nil {
		return out, &trace.BadRecord{Path: p.path, Unit: "row", N: p.row, Err: err}
	}
	if e.Kind == 0 {
		return out, nil
	}
	return append(out, e), nil
}

// read reads rows; what the library does with a damaged file may be a panic.
func (p *parquetTasks) read() (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, fmt.Errorf("damaged: %v", r)
		}
	}()
	return p.rows.ReadRows(p.buf)
}

// number is a cell as a number.
func cellNumber(v parquet.Value) float64 {
	switch v.Kind() {
	case parquet.Int32:
		return float64(v.Int32())
	case parquet.Int64:
		return float64(v.Int64())
	case parquet.Float:
		return float64(v.Float())
	case parquet.Double:
		return v.Double()
	}
	return -1
}

func (p *parquetTasks) cell(row parquet.Row, k int) parquet.Value {
	for _, v := range row {
		if v.Column() == p.at[k] {
			return v
		}
	}
	return parquet.Value{}
}

// span reads a number of milliseconds, or of what the column says.
func span(v parquet.Value, unit time.Duration) (time.Duration, error) {
	x := cellNumber(v)
	if !(x >= 0 && x < float64(1<<62/int64(unit))) {
		return 0, fmt.Errorf("a time of %v, expected a number of at least 0", v)
	}
	return time.Duration(x * float64(unit)), nil
}

func (p *parquetTasks) task(row parquet.Row) (e tasks.Event, err error) {
	id, fresh, err := p.ids.number(p.cell(row, 0).String())
	if err != nil {
		return e, err
	}
	if !fresh {
		return e, fmt.Errorf("task %s is there twice", p.cell(row, 0))
	}
	e = tasks.Event{Kind: tasks.TaskComes, ID: p.g.id(id)}
	p.begins, p.cores, p.mhz = append(p.begins, 0), append(p.cores, 0), append(p.mhz, 0)
	if e.Lasts, err = span(p.cell(row, 1), time.Millisecond); err != nil {
		return e, err
	}
	if e.At, err = span(p.cell(row, 2), p.scale); err != nil {
		return e, err
	}
	c, m := cellNumber(p.cell(row, 3)), cellNumber(p.cell(row, 4))
	if !(c >= 0 && c <= tasks.MaxAmount/tasks.One) || !(m >= 0 && m*float64(p.unit) <= tasks.MaxAmount) {
		return e, fmt.Errorf("cpu_count %v, mem_capacity %v, expected numbers of at least 0", p.cell(row, 3), p.cell(row, 4))
	}
	e.Size = tasks.Size{Cores: int64(c * tasks.One), Memory: int64(m * float64(p.unit))}
	p.begins[id-1], p.cores[id-1] = e.At, e.Size.Cores
	if p.at[5] >= 0 {
		p.mhz[id-1] = max(cellNumber(p.cell(row, 5)), 0)
	}
	return e, nil
}

// fragment is what a task uses for a while; of memory it says nothing.
func (p *parquetTasks) fragment(row parquet.Row) (e tasks.Event, err error) {
	id, ok := p.ids.of[p.cell(row, 0).String()]
	if !ok {
		p.stray++
		return e, nil
	}
	lasts, err := span(p.cell(row, 1), time.Millisecond)
	if err != nil {
		return e, err
	}
	uses := cellNumber(p.cell(row, 6))
	if !(uses >= 0 && uses < 1e9) {
		return e, fmt.Errorf("cpu_usage %v, expected MHz of at least 0", p.cell(row, 6))
	}
	e = tasks.Event{Kind: tasks.TaskUses, At: p.begins[id-1], ID: p.g.id(id)}
	if mhz := p.mhz[id-1]; mhz > 0 {
		e.Size.Cores = int64(uses / mhz * float64(p.cores[id-1]))
	}
	p.begins[id-1] += lasts
	return e, nil
}

func (p *parquetTasks) header(h *Header) {
	h.assume("memory: mem_capacity is in units of %d bytes (memory-unit)", p.unit)
	h.assume("use over time: fragments of a task follow one another from its submission on; MHz by cpu_capacity are the share of its processors")
	h.counted(p.stray, "use over time: %d fragments are of no task")
}

func (p *parquetTasks) close() {
	if p.file != nil {
		p.closer.Close()
		p.file.Close()
		p.file, p.held = nil, nil
	}
}
