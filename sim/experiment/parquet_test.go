package experiment

import (
	"bytes"
	"encoding/csv"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"
)

// readParquet gives what a reader finds: names in order and cells as the CSV writes them.
func readParquet(t interface{ Fatal(...any) }, data []byte) (records [][]string) {
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var head []string
	var fields []parquet.Field
	for _, field := range f.Schema().Fields() {
		head, fields = append(head, field.Name()), append(fields, field)
	}
	records = append(records, head)
	for _, g := range f.RowGroups() {
		rows := g.Rows()
		buf := make([]parquet.Row, 7)
		for {
			n, err := rows.ReadRows(buf)
			for _, row := range buf[:n] {
				rec := make([]string, len(head))
				for _, v := range row {
					switch i := v.Column(); {
					case v.IsNull():
					case fields[i].Type().Kind() == parquet.Int64:
						rec[i] = format(v.Uint64())
					case fields[i].Type().Kind() == parquet.Double:
						rec[i] = format(v.Double())
					default:
						rec[i] = string(v.ByteArray())
					}
				}
				records = append(records, rec)
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return records
}

func readCSV(t interface{ Fatal(...any) }, text []byte) [][]string {
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func wantSame(t interface{ Fatalf(string, ...any) }, got, want [][]string) {
	if len(got) != len(want) {
		t.Fatalf("%d records in Parquet, %d in CSV", len(got), len(want))
	}
	for i := range got {
		if !slices.Equal(got[i], want[i]) {
			t.Fatalf("record %d: Parquet %q, CSV %q", i, got[i], want[i])
		}
	}
}

// TestParquetIsTheCSV of a sweep that was made.
func TestParquetIsTheCSV(t *testing.T) {
	w := newWorld(t)
	made, _ := w.execute(w.plan(strings.Replace(slow, ", legoos-cx3", "", 1)), "d", Shard{}, 2)
	for _, v := range column(t, made, "slowdown.one") {
		if v == "" || strings.HasPrefix(v, "0") {
			t.Errorf("slowdown %q, want one of at least 1", v)
		}
	}
	table := []byte(w.read("d", "table.parquet"))
	records := readParquet(t, table)
	wantSame(t, records, readCSV(t, []byte(w.read("d", "table.csv"))))
	if len(records) != 5 || records[1][0] != "0" || records[1][1] != "cxl" {
		t.Errorf("records %q", records[:2])
	}
}

// TestAnyTableIsWrittenTwice: whatever the cells, Parquet and CSV say the same, and a cell is read back as it was.
func TestAnyTableIsWrittenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := rapid.SliceOfN(rapid.SampledFrom([]Kind{Text, Whole, Number}), 2, 12).Draw(t, "kinds")
		table := &Table{Rows: [][]any{}}
		for i, k := range kinds { // not in the order of their names
			table.Columns = append(table.Columns, Column{string(rune('z'-i)) + ".x-y_1", k})
		}
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			var row []any
			for _, k := range kinds {
				var cell any
				switch k {
				case Text:
					cell = rapid.StringMatching(`[ -~µ\n",]{1,12}x`).Draw(t, "text")
				case Whole:
					cell = rapid.Uint64().Draw(t, "whole")
				case Number:
					cell = rapid.Float64().Filter(func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }).Draw(t, "number")
				}
				if rapid.IntRange(0, 5).Draw(t, "empty") == 0 {
					cell = nil
				}
				row = append(row, cell)
			}
			table.Rows = append(table.Rows, row)
		}
		text, err := table.CSV()
		if err != nil {
			t.Fatal(err)
		}
		binary, err := table.Parquet()
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, readParquet(t, binary), readCSV(t, text))
		again, err := table.Parquet()
		if err != nil || !bytes.Equal(binary, again) {
			t.Fatal("the same table is another file")
		}
	})
}
