package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"splitkernel/sim/generate"
)

// generatorKind is what `trace generators` prints of one kind; the JSON keys are for programs and stay.
type generatorKind struct {
	Name   string         `json:"name"`
	About  string         `json:"about"`
	Source string         `json:"source"`
	Block  bool           `json:"block"`
	Keys   []generatorKey `json:"keys"`
}

type generatorKey struct {
	Name    string `json:"name"`
	About   string `json:"about"`
	Range   string `json:"range"`
	Default string `json:"default"`
	Needed  bool   `json:"needed"`
}

func (a *app) traceGeneratorsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "generators",
		Short: "List the generators that stand in place of a trace, with their keys",
		Long: `generators lists what may stand in place of a trace's file: generator:KIND?key=value&…, as in
  splitkernel trace info 'generator:zipf?pages=1000&refs=20000'
One text is one trace, record for record, on every machine.`,
		Args: cobra.NoArgs,
		RunE: runs(func(*cobra.Command, []string) error {
			var list []generatorKind
			for _, k := range generate.Kinds() {
				g := generatorKind{Name: k.Name, About: k.About, Source: k.Source, Block: k.Block}
				for _, key := range k.Keys {
					g.Keys = append(g.Keys, generatorKey{Name: key.Name, About: key.About, Range: key.Range, Default: key.Default, Needed: key.Needed})
				}
				list = append(list, g)
			}
			return a.print(list, func(w io.Writer) { generatorsTable(w, list) })
		}),
	}
}

func generatorsTable(w io.Writer, list []generatorKind) {
	for i, g := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n(%s)\n", g.Name, g.About, g.Source)
		for _, key := range g.Keys {
			value := key.Default
			if key.Needed {
				value = "must be given"
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", key.Name, value, key.Range, key.About)
		}
	}
}
