package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"splitkernel/sim/report/page"
)

// studied is what the page of a study says.
type studied struct {
	title     string
	sentences []string
	partial   bool
	limits    []string
	tables    []page.Table
	files     map[string]string // by name: the plots among them are shown
	figures   string            // which of the files has all figures
}

// studyPage puts the page of a study into its folder.
func (a *app) studyPage(dir string, s studied) error {
	d := &page.Document{Kind: "study", Title: s.title, Sentences: s.sentences, Limits: s.limits, Repeat: []string{page.CommandLine(a.command())}, Verdict: "complete"}
	d.RepeatNotes = []string{fmt.Sprintf("With the program of commit %s and the files that the command names as they were; %s beside this page has all figures.", commit(), s.figures)}
	if s.partial {
		d.Verdict, d.Bad = "partial: stopped before the end", true
	}
	charts := page.Section{Title: "Charts"}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		switch {
		case filepath.Ext(name) != ".svg":
		case len(s.files[name]) > page.MaxSVG || len(charts.Charts) == page.MaxCharts:
			charts.Notes = append(charts.Notes, name+" in this folder is too large for this page.")
		default:
			charts.Charts = append(charts.Charts, page.Chart{Title: strings.TrimSuffix(name, ".svg"), SVG: s.files[name]})
		}
	}
	d.Sections = []page.Section{{Title: "Figures", Tables: s.tables}, charts}
	path := filepath.Join(dir, page.Name)
	return a.tellPage(path, page.WriteFile(path, d))
}

// textTable makes a table of what is printed for people, and notes of its lines of one cell. The first line is the head.
func textTable(print func(io.Writer)) (t page.Table, notes []string) {
	var text bytes.Buffer
	print(&text)
	for line := range strings.Lines(text.String()) {
		cells := strings.Split(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\t"), "\t")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case len(cells) == 1:
			notes = append(notes, cells[0])
		case t.Head == nil:
			t.Head = cells
		default:
			for len(t.Head) < len(cells) {
				t.Head = append(t.Head, "")
			}
			t.Rows = append(t.Rows, cells)
		}
	}
	return t, notes
}

// writeStudy writes what a study computed into its folder as result.json, beside the other files given, and its page.
func (a *app) writeStudy(dir string, result any, s studied) error {
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	s.figures = "result.json"
	files := maps.Clone(s.files)
	files[s.figures] = string(text) + "\n"
	if err := writeFiles(dir, files); err != nil {
		return err
	}
	return a.studyPage(dir, s)
}
