package cli

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"splitkernel/sim/report/page"
)

// studyPage puts the page of a study into its folder: sentences, what is printed for people as a table, and its plots by the names of their files.
// The first line of the table is its head; a line of one cell is a note.
func (a *app) studyPage(dir, title string, sentences []string, partial bool, limits []string, table func(io.Writer), files map[string]string) error {
	d := &page.Document{Kind: "study", Title: title, Limits: limits, Repeat: []string{page.CommandLine(a.command())}, Verdict: "complete"}
	d.RepeatNotes = []string{fmt.Sprintf("With the program of commit %s and the files that the command names as they were; result.json beside this page has all figures.", commit())}
	if partial {
		d.Verdict, d.Bad = "partial: stopped before the end", true
	}
	var text bytes.Buffer
	table(&text)
	t := page.Table{}
	for line := range strings.Lines(text.String()) {
		cells := strings.Split(strings.TrimRight(line, "\n"), "\t")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case len(cells) == 1:
			d.Sentences = append(d.Sentences, cells[0])
		case t.Head == nil:
			t.Head = cells
		default:
			for len(t.Head) < len(cells) {
				t.Head = append(t.Head, "")
			}
			t.Rows = append(t.Rows, cells)
		}
	}
	d.Sentences = append(sentences, d.Sentences...)
	charts := page.Section{Title: "Charts"}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case filepath.Ext(name) != ".svg":
		case len(files[name]) > page.MaxSVG || len(charts.Charts) == page.MaxCharts:
			charts.Notes = append(charts.Notes, name+" in this folder is too large for this page.")
		default:
			charts.Charts = append(charts.Charts, page.Chart{Title: strings.TrimSuffix(name, ".svg"), SVG: files[name]})
		}
	}
	d.Sections = []page.Section{{Title: "Figures", Tables: []page.Table{t}}, charts}
	path := filepath.Join(dir, page.Name)
	return a.tellPage(path, page.WriteFile(path, d))
}
