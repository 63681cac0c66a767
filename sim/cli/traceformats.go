package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"splitkernel/sim/trace"
)

// traceFormat is what `trace formats` prints of one format; the JSON keys are for programs and stay.
type traceFormat struct {
	Name       string         `json:"name"`
	Class      string         `json:"class"`
	About      string         `json:"about"`
	Example    string         `json:"example"`
	Recognised bool           `json:"recognised"`
	Sample     string         `json:"sample"`
	Unverified bool           `json:"unverified"`
	Keys       []traceSetting `json:"keys"`
}

type traceSetting struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

func newTraceFormats() (list []traceFormat) {
	for _, f := range trace.FormatInfos() {
		t := traceFormat{Name: f.Name, Class: string(f.Class), About: f.About, Example: f.Example, Recognised: f.Recognised,
			Sample: f.Sample, Unverified: f.Sample == "", Keys: []traceSetting{}}
		for _, k := range f.Keys {
			t.Keys = append(t.Keys, traceSetting(k))
		}
		list = append(list, t)
	}
	return list
}

func (a *app) traceFormatsCommand() *cobra.Command {
	var settings bool
	cmd := &cobra.Command{
		Use:   "formats [NAME…]",
		Short: "List the trace formats that are read beside .skt, with an example of each and the settings of their readers",
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			list := newTraceFormats()
			if len(args) > 0 {
				var err error
				if list, err = namedFormats(list, args); err != nil {
					return err
				}
			}
			return a.print(list, func(w io.Writer) {
				formatTable(w, list)
				if settings || len(args) > 0 {
					settingsTable(w, list)
				}
			})
		}),
	}
	cmd.Flags().BoolVar(&settings, "settings", false, "also what each reader can be told")
	return cmd
}

// namedFormats are those of the names.
func namedFormats(list []traceFormat, names []string) (some []traceFormat, err error) {
	for _, n := range names {
		found := false
		for _, f := range list {
			if f.Name == n {
				some, found = append(some, f), true
			}
		}
		if !found {
			return nil, usage("trace format %q, want some of %s", n, strings.Join(trace.Formats(), ", "))
		}
	}
	return some, nil
}

func formatTable(w io.Writer, list []traceFormat) {
	fmt.Fprintln(w, "FORMAT\tOF\tWHAT IT IS\tEXAMPLE\tRECOGNISED\tCHECKED AGAINST")
	for _, f := range list {
		recognised, sample := "yes", f.Sample
		if !f.Recognised {
			recognised = "no: --format " + f.Name
		}
		if f.Unverified {
			sample = "layout unverified"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Class, f.About, clipped(f.Example, 60), recognised, sample)
	}
}

// clipped shortens an example for a table.
func clipped(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func settingsTable(w io.Writer, list []traceFormat) {
	fmt.Fprintln(w, "\nFORMAT\tSETTING\tWHAT IT SAYS")
	for _, f := range list {
		for _, k := range f.Keys {
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.Name, k.Name, k.About)
		}
	}
	for _, k := range trace.CommonKeys {
		fmt.Fprintf(w, "(all)\t%s\t%s\n", k.Name, k.About)
	}
}
