package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
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
	at     [parquetKinds]int // columns; -1 = none
	parts  bool              // the file is of fragments
	gpus   bool              // a file tells of GPUs
	scale  time.Duration
	stray  uint64
}

// Columns of OpenDC.
const (
	parquetID = iota
	parquetDuration
	parquetSubmission
	parquetStop
	parquetCount
	parquetMemory
	parquetCapacity
	parquetUsage
	parquetGPUs
	parquetKinds // how many
)

// parquetNames are the names of columns, as versions of OpenDC differ in them.
var parquetNames = map[string]int{
	"id": parquetID, "duration": parquetDuration, "submission_time": parquetSubmission, "submissionTime": parquetSubmission, "start_time": parquetSubmission,
	"stop_time": parquetStop, "cpu_count": parquetCount, "maxCores": parquetCount, "mem_capacity": parquetMemory, "requiredMemory": parquetMemory,
	"cpu_capacity": parquetCapacity, "cpu_usage": parquetUsage, "cpuUsage": parquetUsage, "gpu_count": parquetGPUs,
}

func openParquet(g *group) (parser, error) {
	unit, err := Bytes(g.spec.key("memory-unit", "1KB"))
	if err != nil {
		return nil, fmt.Errorf("--format: memory-unit: %w", err)
	}
	p := &parquetTasks{g: g, unit: unit, buf: make([]parquet.Row, parquetRows)}
	var parts []string
	for _, path := range g.paths {
		at, err := parquetFileColumns(path)
		if err != nil {
			return nil, err
		}
		has := func(columns ...int) bool {
			return !slices.ContainsFunc(columns, func(c int) bool { return at[c] < 0 })
		}
		switch {
		case has(parquetID, parquetSubmission, parquetDuration), has(parquetID, parquetSubmission, parquetStop):
			p.left = append(p.left, path)
		case has(parquetID, parquetDuration, parquetUsage):
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

// parquetFileColumns says where the columns of a file are.
func parquetFileColumns(path string) (at [parquetKinds]int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return at, fmt.Errorf("cannot read a cluster trace: %w", err)
	}
	defer f.Close()
	pf, err := openParquetFile(path, f)
	if err != nil {
		return at, err
	}
	return parquetColumns(pf), nil
}

func parquetColumns(pf *parquet.File) (at [parquetKinds]int) {
	for k := range at {
		at[k] = -1
	}
	for i, c := range pf.Schema().Columns() {
		if k, ok := parquetNames[c[0]]; ok {
			at[k] = i
		}
	}
	return at
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
	p.at = parquetColumns(pf)
	p.gpus = p.gpus || p.at[parquetGPUs] >= 0
	p.scale = time.Millisecond
	p.parts = p.at[parquetSubmission] < 0
	if !p.parts {
		c := pf.Schema().Columns()[p.at[parquetSubmission]]
		leaf, _ := pf.Schema().Lookup(c...)
		switch kind := strings.ToUpper(leaf.Node.Type().String()); {
		case strings.Contains(kind, "MICROS"):
			p.scale = time.Microsecond
		case strings.Contains(kind, "NANOS"):
			p.scale = 1
		}
	}
	if !p.parts && (p.at[parquetCount] < 0 || p.at[parquetMemory] < 0) {
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
	name := p.cell(row, parquetID).String()
	e = tasks.Event{Kind: tasks.TaskComes, ID: p.g.id(p.g.known.next())}
	if e.At, err = span(p.cell(row, parquetSubmission), p.scale); err != nil {
		return e, err
	}
	if p.at[parquetDuration] >= 0 {
		e.Lasts, err = span(p.cell(row, parquetDuration), time.Millisecond)
	} else {
		var stop time.Duration
		if stop, err = span(p.cell(row, parquetStop), p.scale); err == nil {
			e.Lasts, err = between(e.At, stop)
		}
	}
	if err != nil {
		return e, err
	}
	c, m := cellNumber(p.cell(row, parquetCount)), cellNumber(p.cell(row, parquetMemory))
	if !(c >= 0 && c <= tasks.MaxAmount/tasks.One) || !(m >= 0 && m*float64(p.unit) <= tasks.MaxAmount) {
		return e, fmt.Errorf("cpu_count %v, mem_capacity %v, expected numbers of at least 0", p.cell(row, parquetCount), p.cell(row, parquetMemory))
	}
	e.Size = tasks.Size{Cores: int64(c * tasks.One), Memory: int64(m * float64(p.unit))}
	mhz := 0.0
	if p.at[parquetCapacity] >= 0 {
		mhz = max(cellNumber(p.cell(row, parquetCapacity)), 0)
	}
	return e, p.g.task(name, e, mhz)
}

func (p *parquetTasks) fragment(row parquet.Row) (tasks.Event, error) {
	lasts, err := span(p.cell(row, parquetDuration), time.Millisecond)
	if err != nil {
		return tasks.Event{}, err
	}
	e, known, err := p.g.known.fragment(p.cell(row, parquetID).String(), lasts, cellNumber(p.cell(row, parquetUsage)))
	if !known {
		p.stray++
	}
	if e.Lasts == 0 {
		e.Kind = 0 // no event
	}
	return e, err
}

func (p *parquetTasks) header(h *Header) {
	h.assume("memory: mem_capacity is in units of %d bytes (memory-unit)", p.unit)
	if p.gpus {
		h.assume("GPUs: gpu_count is of a GPU's cores and is not read")
	}
	fragmentHeader(h, p.stray)
}

func (p *parquetTasks) close() {
	if p.file != nil {
		p.closer.Close()
		p.file.Close()
		p.file, p.held = nil, nil
	}
}
