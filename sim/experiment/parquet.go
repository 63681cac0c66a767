package experiment

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"
)

// ordered is a group of columns in the order of the table; the library's own sorts them by name.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

// Fields in the order of the table.
func (o ordered) Fields() []parquet.Field { return o.fields }

// rowsPerGroup bounds what a reader must hold of one column.
const rowsPerGroup = 10_000

// schema is that of a table: every column may be empty.
func (t *Table) schema() *parquet.Schema {
	g := ordered{Group: parquet.Group{}}
	place := map[string]int{}
	for i, c := range t.Columns {
		place[c.Name] = i
		var node parquet.Node
		switch c.Kind {
		case Whole:
			node = parquet.Uint(64)
		case Number:
			node = parquet.Leaf(parquet.DoubleType)
		default:
			node = parquet.String()
		}
		g.Group[c.Name] = parquet.Optional(parquet.Compressed(node, &parquet.Snappy))
	}
	g.fields = g.Group.Fields()
	slices.SortFunc(g.fields, func(a, b parquet.Field) int { return place[a.Name()] - place[b.Name()] })
	return parquet.NewSchema("sweep", g)
}

// Parquet is the table as an Apache Parquet file with the columns of the CSV. The same table gives the same bytes.
func (t *Table) Parquet() ([]byte, error) {
	var b bytes.Buffer
	w := parquet.NewWriter(&b, t.schema(), parquet.CreatedBy("splitkernel", "1", ""))
	for first := 0; first < len(t.Rows); first += rowsPerGroup {
		var rows []parquet.Row
		for _, cells := range t.Rows[first:min(first+rowsPerGroup, len(t.Rows))] {
			row := make(parquet.Row, len(cells))
			for i, cell := range cells {
				row[i] = parquetValue(cell, i)
			}
			rows = append(rows, row)
		}
		if _, err := w.WriteRows(rows); err != nil {
			return nil, fmt.Errorf("write the table as Parquet: %w", err)
		}
		if err := w.Flush(); err != nil {
			return nil, fmt.Errorf("write the table as Parquet: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write the table as Parquet: %w", err)
	}
	return b.Bytes(), nil
}

// parquetValue is a cell of a column; definition level 0 says that there is none.
func parquetValue(cell any, column int) parquet.Value {
	switch v := cell.(type) {
	case uint64:
		return parquet.Int64Value(int64(v)).Level(0, 1, column) // its logical type says that it has no sign
	case float64:
		return parquet.DoubleValue(v).Level(0, 1, column)
	case string:
		return parquet.ByteArrayValue([]byte(v)).Level(0, 1, column)
	}
	return parquet.NullValue().Level(0, 0, column)
}
