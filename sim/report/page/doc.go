// Package page makes report.html: one file that holds everything, to be read, printed and sent to somebody. It loads nothing: no script,
// no font, no picture from elsewhere, and says so itself in its content security policy. Charts are inline SVG by sim/report/plot, whose
// markup is checked before it is taken over; every text is escaped by html/template.
//
// A Document is what is on a page: a title, sentences, sections of tables and charts, how to repeat it, what the numbers do not say. OfRun
// and Compare make those of runs; sim/experiment makes that of a sweep; studies fill in their own:
//
//	d := &page.Document{Kind: "study", Title: "packing", Sentences: []string{"…"}, Repeat: []string{"splitkernel study packing"}}
//	d.Sections = append(d.Sections, page.Section{Title: "Servers", Tables: []page.Table{t}, Charts: []page.Chart{c}})
//	err := page.WriteFile(filepath.Join(dir, page.Name), d)
//
// It runs nothing and knows no sweeps. Called by sim/cli and sim/experiment. No goroutines.
package page
