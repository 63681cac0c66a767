package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

//go:embed page.html
var source string

//go:embed page.css
var style string

var layout = template.Must(template.New("page").Parse(source))

// view is a document as the template wants it.
type view struct {
	*Document
	Style    template.CSS
	Sections []viewSection
}

type viewSection struct {
	*Section
	ID     string
	Charts []viewChart
	Tables []viewTable
}

type viewChart struct {
	*Chart
	SVG template.HTML
}

type viewTable struct {
	Caption string
	Head    []viewCell
	Rows    [][]viewCell
	LeftOut uint64
}

// longCell is how many bytes a cell has that is set in several lines.
const longCell = 40

type viewCell struct {
	Text   string
	Number bool
	Long   bool
}

// HTML gives the page of a document.
func HTML(d *Document) ([]byte, error) {
	v := view{Document: d.cut(), Style: template.CSS(style)}
	charts := 0
	for i := range v.Document.Sections {
		s := &v.Document.Sections[i]
		if s.empty() {
			continue
		}
		vs := viewSection{Section: s, ID: fmt.Sprintf("s%d", i+1)}
		for j := range s.Charts {
			charts++
			svg, err := inline(s.Charts[j].SVG, charts)
			if err != nil {
				return nil, fmt.Errorf("%s: chart %q: %w", d.Title, s.Charts[j].Title, err)
			}
			vs.Charts = append(vs.Charts, viewChart{&s.Charts[j], svg})
		}
		v.Sections = append(v.Sections, vs)
	}
	for rows := MaxRows; ; rows /= 2 {
		for i := range v.Sections {
			s := &v.Sections[i]
			s.Tables = nil
			for j := range s.Section.Tables {
				if len(s.Section.Tables[j].Rows) > 0 {
					s.Tables = append(s.Tables, s.Section.Tables[j].view(rows))
				}
			}
		}
		var b bytes.Buffer
		if err := layout.Execute(&b, &v); err != nil {
			return nil, fmt.Errorf("%s: %w", d.Title, err)
		}
		if b.Len() <= MaxBytes {
			return b.Bytes(), nil
		}
		if rows == 0 {
			return nil, fmt.Errorf("%s: a page of %d bytes without tables, want at most %d: fewer charts", d.Title, b.Len(), MaxBytes)
		}
	}
}

// WriteFile writes the page of a document. It is there whole or not at all.
func WriteFile(path string, d *Document) error {
	text, err := HTML(d)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(text)
	for _, step := range []func() error{func() error { return f.Chmod(0o644) }, f.Close} {
		if serr := step(); err == nil {
			err = serr
		}
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error is what went wrong
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// view takes the first rows of a table.
func (t *Table) view(rows int) viewTable {
	v := viewTable{Caption: cut(t.Caption, MaxText), LeftOut: t.LeftOut}
	if len(t.Rows) > rows {
		v.LeftOut += uint64(len(t.Rows) - rows)
	}
	shown := t.Rows[:min(rows, len(t.Rows))]
	columns := min(len(t.Head), MaxColumns)
	number := make([]bool, columns)
	for i := range number {
		some := false
		number[i] = true
		for _, row := range shown {
			if i < len(row) && row[i] != "" && row[i] != "-" {
				some = true
				number[i] = number[i] && numeric(row[i])
			}
		}
		number[i] = number[i] && some
	}
	cells := func(texts []string) (out []viewCell) {
		for i := range columns {
			c := viewCell{Number: number[i]}
			if i < len(texts) {
				c.Text = cut(texts[i], MaxCell)
				c.Long = len(c.Text) > longCell
			}
			out = append(out, c)
		}
		return out
	}
	v.Head = cells(t.Head)
	for _, row := range shown {
		v.Rows = append(v.Rows, cells(row))
	}
	return v
}

// numeric reports whether a cell is read as a number: it begins with a digit, and has no more letters than a unit.
func numeric(s string) bool {
	letters := 0
	for _, r := range s {
		if unicode.IsLetter(r) {
			letters++
		}
	}
	s = strings.TrimLeft(s, "+-−±")
	return s != "" && s[0] >= '0' && s[0] <= '9' && letters <= 3
}

// cut gives a copy within the bounds of texts and of numbers of things.
func (d *Document) cut() *Document {
	c := *d
	c.Title, c.Kind, c.Verdict = cut(d.Title, MaxCell), cut(d.Kind, MaxCell), cut(d.Verdict, MaxCell)
	c.Sentences, c.RepeatNotes, c.Limits = cutAll(d.Sentences, MaxSentences, MaxText), cutAll(d.RepeatNotes, MaxSentences, MaxText), cutAll(d.Limits, MaxSentences, MaxText)
	c.Repeat = cutAll(d.Repeat, MaxCommands, MaxCommand)
	c.Sections = nil
	for _, s := range d.Sections[:min(len(d.Sections), MaxSections)] {
		s.Title, s.Notes, s.List = cut(s.Title, MaxCell), cutAll(s.Notes, MaxSentences, MaxText), cutAll(s.List, MaxSentences, MaxText)
		s.Tables, s.Charts = s.Tables[:min(len(s.Tables), MaxTables)], append([]Chart(nil), s.Charts[:min(len(s.Charts), MaxCharts)]...)
		for i := range s.Charts {
			s.Charts[i].Title, s.Charts[i].Note = cut(s.Charts[i].Title, MaxText), cut(s.Charts[i].Note, MaxText)
		}
		c.Sections = append(c.Sections, s)
	}
	return &c
}

func cutAll(texts []string, most, letters int) (out []string) {
	for i, t := range texts {
		if i == most {
			return append(out, fmt.Sprintf("… and %d more", len(texts)-most))
		}
		out = append(out, cut(t, letters))
	}
	return out
}

// cut shortens a text to so many letters, and makes it valid: what a page cannot have becomes U+FFFD.
func cut(s string, letters int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffe || r == 0xffff, r >= 0x61c && unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	if r := []rune(clean); len(r) > letters {
		return string(r[:letters-1]) + "…"
	}
	return clean
}
