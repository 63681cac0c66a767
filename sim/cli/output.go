package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// print writes data to stdout: as JSON, or by table.
func (a *app) print(data any, table func(w io.Writer)) error {
	if a.output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(data)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// printLine writes one of many to stdout: as JSON on one line, or as text.
func (a *app) printLine(data any, text string) error {
	if a.output == "json" {
		return json.NewEncoder(a.stdout).Encode(data)
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

// say writes talk to stderr.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }
