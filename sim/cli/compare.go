package cli

import (
	"github.com/spf13/cobra"

	"splitkernel/sim/experiment"
)

func (a *app) compareCommand() *cobra.Command {
	var ofA, ofB []string
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Print what changed between two runs, or between two sweeps",
		Long: `compare prints what changed between two runs (their configuration, counters, latencies, seconds, slowdowns), or between two sweeps:
then for each combination that both have, over the seeds, with 95 % confidence intervals. A and B are folders of runs or of sweeps.
--a and --b choose runs of a sweep, so that two parts of one can be compared: compare DIR DIR --a hardware=cxl --b hardware=rdma-100g`,
		Args: cobra.ExactArgs(2),
		RunE: runs(func(_ *cobra.Command, args []string) error {
			var sides [2]*experiment.Side
			for i, choices := range [][]string{ofA, ofB} {
				var err error
				if sides[i], err = experiment.Load(args[i]); err != nil {
					return err
				}
				if err := sides[i].Choose([]string{"a", "b"}[i], choices); err != nil {
					return err
				}
			}
			c, err := experiment.Compare(sides[0], sides[1])
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.print(c, nil)
			}
			return c.Write(a.stdout)
		}),
	}
	cmd.Flags().StringArrayVar(&ofA, "a", nil, "of sweep A only the runs with this key=value; may be repeated")
	cmd.Flags().StringArrayVar(&ofB, "b", nil, "the same of sweep B")
	return cmd
}
