package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"splitkernel/pcomponent/policy"
	"splitkernel/pcomponent/prefetch"
	"splitkernel/sim/trace"
)

// prefetchRow is what `trace prefetch` prints of one prefetcher; the JSON keys are for programs and stay.
type prefetchRow struct {
	Prefetcher string `json:"prefetcher"` // "none" for comparison
	References uint64 `json:"references"`
	Misses     uint64 `json:"misses"`
	Issued     uint64 `json:"issued"`
	Useful     uint64 `json:"useful"`
	Wasted     uint64 `json:"wasted"`
	Partial    bool   `json:"partial"` // interrupted before the end of the trace
}

type prefetchFlags struct {
	in          traceInput
	policy      string
	prefetchers []string
	lines       int
	depth       int
}

func (a *app) tracePrefetchCommand() *cobra.Command {
	var f prefetchFlags
	cmd := &cobra.Command{
		Use:   "prefetch FILE",
		Short: "What prefetchers would bring for a trace: misses left, pages issued, useful and wasted, were they there at once",
		Args:  cobra.ExactArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if err := f.in.check(); err != nil {
				return err
			}
			if f.policy == "belady" {
				return usage("--policy: belady does not prefetch: it must know the order in which pages come; want another policy")
			}
			studies, err := f.studies()
			if err != nil {
				return usage("%w", err)
			}
			src, err := f.in.open(args[0])
			if err != nil {
				return err
			}
			defer src.Close()
			metered, cut, end := a.metered(cmd.Context(), args[0], src)
			err = drivePrefetch(metered, studies)
			end()
			if err != nil {
				return err
			}
			stop := cutShort(cmd.Context(), cut(), "printed")
			var rows []prefetchRow
			for i, name := range f.names() {
				c := studies[i].Counts
				rows = append(rows, prefetchRow{name, c.References, c.Misses, c.Issued, c.Useful, c.Wasted, stop != nil})
			}
			if err := a.print(rows, func(w io.Writer) { prefetchTable(w, rows) }); err != nil {
				return err
			}
			return stop
		}),
	}
	f.in.flags(cmd, "FILE")
	cmd.Flags().StringSliceVar(&f.prefetchers, "prefetcher", prefetch.Names(), "prefetchers, with commas between")
	cmd.Flags().StringVar(&f.policy, "policy", "lru", "replacement policy of the cache: "+strings.Join(policy.Names(), ", "))
	cmd.Flags().IntVar(&f.lines, "lines", 4096, fmt.Sprintf("lines of the cache, fully associative, 1 to %d", policy.MaxLines))
	cmd.Flags().IntVar(&f.depth, "depth", prefetch.DefaultOptions().Depth, fmt.Sprintf("pages that are prefetched at once at most, 1 to %d", prefetch.MaxDepth))
	return cmd
}

// names are the rows: none first.
func (f *prefetchFlags) names() []string { return slices.Concat([]string{"none"}, f.prefetchers) }

func (f *prefetchFlags) studies() (out []*prefetch.Study, err error) {
	for _, name := range f.names() {
		var p prefetch.Prefetcher
		if name != "none" {
			if p, err = prefetch.New(name, prefetch.Options{Depth: f.depth}); err != nil {
				return nil, err
			}
		}
		s, err := prefetch.NewStudy(p, f.policy, f.lines, policy.Options{Seed: 1, SweepEvery: 65536})
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// drivePrefetch makes the references of a trace in each study; of a trace without any, the blocks of 4 KiB that its block requests touch.
func drivePrefetch(src trace.Source, studies []*prefetch.Study) error {
	memory := src.Header().Refs > 0
	for {
		b, err := src.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		memory = memory || len(b.Refs) > 0
		for _, s := range studies {
			for _, r := range b.Refs {
				s.Access(r.Page())
			}
			for i := range b.Events {
				e := &b.Events[i]
				if e.Kind != trace.BlockRead && e.Kind != trace.BlockWrite || e.Length == 0 || memory {
					continue
				}
				for p := e.Offset >> trace.PageShift; p <= (e.Offset+e.Length-1)>>trace.PageShift; p++ {
					s.Access(uint64(e.Volume)<<40 | p)
				}
			}
		}
	}
}

func prefetchTable(w io.Writer, rows []prefetchRow) {
	fmt.Fprintln(w, "prefetcher\treferences\tmisses\tof those without\tissued\tuseful\twasted\tused")
	share := func(n, of uint64) string {
		if of == 0 {
			return "–"
		}
		return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
	}
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%d\t%d\t%s\n", r.Prefetcher, r.References, r.Misses, share(r.Misses, rows[0].Misses), r.Issued, r.Useful, r.Wasted, share(r.Useful, r.Issued))
	}
}
