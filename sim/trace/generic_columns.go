package trace

import (
	"bytes"
	"fmt"
	"strconv"
)

// maxColumns bounds the number of a column.
const maxColumns = 256

const columnSep = "sep"

var columnSeps = map[string]byte{"blank": ' ', "comma": ',', "tab": '\t', "semicolon": ';', "colon": ':', "bar": '|'}

// columnKeys are the keys of columns: its separator, the number of each field's column, and the common ones.
var columnKeys = func() []Key {
	keys := []Key{{columnSep, "`blank` (any number of blanks and tabs), `comma`, `tab`, `semicolon`, `colon` or `bar`: what is between the columns (blank)"}}
	for id, name := range fieldNames {
		keys = append(keys, Key{name, "number of the column, from 1: " + fieldsAbout[id]})
	}
	return append(keys, genericKeys...)
}()

// columns reads lines of columns that the user describes: `columns:sep=comma,rw=3,addr=2,base=hex`. Without a column rw every record
// does what the common key op says.
type columns struct {
	*generic
	sep    byte
	fields []colID // by column, from the first; colCount = ignored
}

func newColumns(in *input) (parser, error) {
	c := &columns{}
	var has [colCount]bool
	for id, name := range fieldNames {
		text, ok := in.spec.Keys[name]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n < 1 || n > maxColumns {
			return nil, fmt.Errorf("%s: %s=%q, want the number of a column, 1 to %d", in.path, name, text, maxColumns)
		}
		for uint64(len(c.fields)) < n {
			c.fields = append(c.fields, colCount)
		}
		if other := c.fields[n-1]; other != colCount {
			return nil, fmt.Errorf("%s: column %d is both %s and %s", in.path, n, fieldNames[other], name)
		}
		c.fields[n-1], has[id] = colID(id), true
	}
	sep, ok := columnSeps[in.spec.key(columnSep, "blank")]
	if !ok {
		return nil, fmt.Errorf("%s: sep=%q, want blank, comma, tab, semicolon, colon or bar", in.path, in.spec.Keys[columnSep])
	}
	c.sep = sep
	g, err := newGeneric(&in.spec, has)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.path, err)
	}
	c.generic = g
	lines := in.lines()
	var f [colCount][]byte
	return &lineParser{in: lines, head: g.header, requests: has[colOffset], line: func(b *Batch, line []byte) error {
		if g.passOver(lines.line, line) {
			return nil
		}
		if err := c.cut(line, &f); err != nil {
			return err
		}
		return g.record(b, &f)
	}}, nil
}

// cut finds the columns that are wanted.
func (c *columns) cut(line []byte, f *[colCount][]byte) error {
	rest := line
	if c.sep == ' ' {
		rest, _ = skipBlanks(rest)
	}
	for n, id := range c.fields {
		if rest == nil || c.sep == ' ' && len(rest) == 0 {
			return fmt.Errorf("%q has %d columns, expected at least %d", clip(string(line)), n, len(c.fields))
		}
		var w []byte
		if c.sep == ' ' {
			w, rest = word(rest)
		} else if i := bytes.IndexByte(rest, c.sep); i >= 0 {
			w, rest = rest[:i], rest[i+1:]
		} else {
			w, rest = rest, nil
		}
		if id != colCount {
			if c.sep != ' ' && len(w) > 0 && (w[0] == ' ' || w[len(w)-1] == ' ') {
				w = bytes.TrimSpace(w)
			}
			f[id] = w
		}
	}
	return nil
}
