package experiment

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"splitkernel/sim/report"
)

// Kind is the type of a column.
type Kind int

// Kinds.
const (
	Text   Kind = iota // string
	Whole              // uint64
	Number             // float64
)

// Column of a table.
type Column struct {
	Name string
	Kind Kind
}

// Table is the result of a sweep: one row a run, in the order of its plan. A cell is a string, uint64 or float64 as its column says,
// or nil where the run has no such value.
type Table struct {
	Columns []Column
	Rows    [][]any
}

// Names of columns that others look for.
const (
	columnIndex = "index"
	columnSeed  = "seed"
	columnExit  = "exit_code"
)

// counters are the columns of report.Counters, by their names in JSON.
var counters = func() (names []string) {
	t := reflect.TypeFor[report.Counters]()
	for i := range t.NumField() {
		if t.Field(i).Type.Kind() == reflect.Uint64 {
			names = append(names, jsonName(t.Field(i)))
		}
	}
	return names
}()

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// counts are the values of counters, in that order.
func counts(c *report.Counters) (values []any) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Uint64 {
			values = append(values, v.Field(i).Uint())
		}
	}
	return values
}

// axisKind is Whole or Number if all values of an axis are, so that a program that reads the table can draw it.
func (p *Plan) axisKind(i int) Kind {
	kind := Whole
	for _, v := range p.Sweep.Matrix[i].Values {
		n, ok := v.Number()
		switch {
		case !ok:
			return Text
		case n < 0 || n != math.Trunc(n) || n > 1<<53:
			kind = Number
		}
	}
	return kind
}

func (p *Plan) columns() []Column {
	cols := []Column{{columnIndex, Whole}}
	for i, a := range p.Sweep.Matrix {
		cols = append(cols, Column{a.Key, p.axisKind(i)})
	}
	cols = append(cols, Column{columnSeed, Whole}, Column{columnExit, Whole}, Column{"error", Text}, Column{"seconds", Number}, Column{"accesses_per_second", Number},
		Column{"fetch_p50_us", Number}, Column{"fetch_p99_us", Number})
	for _, v := range p.VNodes {
		cols = append(cols, Column{"seconds." + v, Number}, Column{"slowdown." + v, Number})
	}
	for _, name := range counters {
		cols = append(cols, Column{name, Whole})
	}
	return append(cols, Column{"run", Text}, Column{"config_digest", Text}, Column{"events_digest", Text}, Column{"commit", Text})
}

// table puts results into the order of the plan. A run without result has no row.
func (p *Plan) table(results []*Result) *Table {
	t := &Table{Columns: p.columns(), Rows: [][]any{}}
	kinds := make([]Kind, len(p.Sweep.Matrix))
	for i := range kinds {
		kinds[i] = p.axisKind(i)
	}
	for i, res := range results {
		if res == nil {
			continue
		}
		r := &p.Runs[i]
		row := []any{uint64(i)}
		for j, v := range r.Values {
			n, _ := v.Number()
			switch kinds[j] {
			case Whole:
				row = append(row, uint64(n))
			case Number:
				row = append(row, n)
			default:
				row = append(row, v.Text)
			}
		}
		row = append(row, r.Seed, uint64(res.ExitCode), res.Error)
		t.Rows = append(t.Rows, append(row, p.figures(r, res)...))
	}
	return t
}

// figures are the cells of a row from seconds on.
func (p *Plan) figures(r *Run, res *Result) []any {
	events := any(nil)
	var row []any
	if f := res.Report; f != nil {
		fetch := f.Total.FaultLatency["fetch"]
		row = append(row, f.Seconds, f.AccessesPerSecond)
		if fetch.Count > 0 {
			row = append(row, fetch.P50, fetch.P99)
		} else {
			row = append(row, nil, nil)
		}
		for _, name := range p.VNodes {
			row = append(row, f.vnode(name)...)
		}
		row = append(row, counts(&f.Total)...)
		if f.Modelled != nil {
			events = f.Modelled.Digest
		}
	} else {
		row = make([]any, 4+2*len(p.VNodes)+len(counters))
	}
	return append(row, r.ID(), r.ConfigDigest, events, res.Commit)
}

// vnode gives seconds and slowdown of a vNode, nil where it has none.
func (f *Figures) vnode(name string) []any {
	for _, v := range f.VNodes {
		if v.Name == name && v.Slowdown > 0 {
			return []any{v.Seconds, v.Slowdown}
		} else if v.Name == name {
			return []any{v.Seconds, nil}
		}
	}
	return []any{nil, nil}
}

// Commits are those of the programs that made the runs, in the order of the rows. More than one is worth a warning.
func (t *Table) Commits() (commits []string) {
	for _, row := range t.Rows {
		if c := row[len(row)-1].(string); !slices.Contains(commits, c) {
			commits = append(commits, c)
		}
	}
	return commits
}

// Failed counts the rows of runs that failed, and gives the worst exit code.
func (t *Table) Failed() (n int, worst int) {
	for i, c := range t.Columns {
		if c.Name != columnExit {
			continue
		}
		for _, row := range t.Rows {
			if code := int(row[i].(uint64)); code != exitOK {
				n, worst = n+1, max(worst, code)
			}
		}
		break
	}
	return n, worst
}

// format writes a cell so that it is read back the same; what is not there is empty.
func format(cell any) string {
	switch v := cell.(type) {
	case nil:
		return ""
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) { // as JSON writes numbers
			return strconv.FormatFloat(v, 'e', -1, 64)
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return cell.(string)
}

// CSV is the table as RFC 4180 has it, with a line of names, but for the ends of lines.
func (t *Table) CSV() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	line := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		line[i] = c.Name
	}
	err := w.Write(line)
	for _, row := range t.Rows {
		for i, cell := range row {
			line[i] = format(cell)
		}
		if werr := w.Write(line); err == nil {
			err = werr
		}
	}
	w.Flush()
	if err == nil {
		err = w.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("write the table: %w", err)
	}
	return b.Bytes(), nil
}

// writeFiles writes path.csv and path.parquet.
func (t *Table) writeFiles(path string) error {
	text, err := t.CSV()
	if err != nil {
		return err
	}
	binary, err := t.Parquet()
	if err != nil {
		return err
	}
	if err := writeWhole(path+".parquet", binary); err != nil {
		return err
	}
	return writeWhole(path+".csv", text)
}
