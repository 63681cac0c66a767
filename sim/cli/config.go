package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"splitkernel/configs"
)

// defaults of the command line: names of bundled files.
const (
	defaultCluster  = "laptop"
	defaultWorkload = "programs"
)

// configFlags are the flags of every command that reads configurations.
type configFlags struct {
	cluster string
	set     []string
}

func (f *configFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cluster, "cluster", defaultCluster, "cluster file, or the name of a bundled one")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "set one key, as in nodes.m2.memory_bytes=8MiB; keys of the workload begin with workload.")
}

func (a *app) overrides(f *configFlags) configs.Overrides {
	return configs.Overrides{Set: f.set, Env: a.env}
}

// loadBoth reads both files and reports the faults of both.
func (a *app) loadBoth(f *configFlags, workload string) (*configs.Cluster, *configs.Workload, error) {
	c, cErr := configs.LoadCluster(f.cluster, a.overrides(f))
	w, wErr := configs.LoadWorkload(workload, a.overrides(f))
	if err := errors.Join(cErr, wErr); err != nil {
		return c, w, err
	}
	return c, w, w.Fits(c)
}

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check or show a cluster and a workload file"}
	var checkFlags, showFlags configFlags
	check := &cobra.Command{
		Use:   "check [WORKLOAD]",
		Short: "Report every fault of a cluster and a workload file, by key; without faults, their digests",
		Args:  cobra.MaximumNArgs(1),
		RunE: runs(func(_ *cobra.Command, args []string) error {
			c, w, err := a.loadBoth(&checkFlags, workloadArg(args))
			if err != nil {
				return err
			}
			return a.printDigests(c, w)
		}),
	}
	checkFlags.add(check)
	show := &cobra.Command{
		Use:   "show [WORKLOAD]",
		Short: "Print the effective values: defaults, file, environment and --set together",
		Args:  cobra.MaximumNArgs(1),
		RunE: runs(func(_ *cobra.Command, args []string) error {
			c, w, err := a.loadBoth(&showFlags, workloadArg(args))
			if err != nil {
				return err
			}
			data := map[string]any{
				"cluster": c.Effective(), "cluster_digest": c.Digest(), "workload": w.Effective(), "workload_digest": w.Digest(),
			}
			return a.print(data, func(out io.Writer) {
				fmt.Fprintf(out, "# cluster %s, digest %s\n%s---\n# workload %s, digest %s\n%s", c.Name, c.Digest(), c.YAML(), w.Name, w.Digest(), w.YAML())
			})
		}),
	}
	showFlags.add(show)
	cmd.AddCommand(check, show)
	return cmd
}

func workloadArg(args []string) string {
	if len(args) == 0 {
		return defaultWorkload
	}
	return args[0]
}

func (a *app) printDigests(c *configs.Cluster, w *configs.Workload) error {
	type row struct {
		Kind   string `json:"kind"`
		Name   string `json:"name"`
		Digest string `json:"digest"`
	}
	rows := []row{{"cluster", c.Name, c.Digest()}, {"workload", w.Name, w.Digest()}}
	return a.print(rows, func(out io.Writer) {
		fmt.Fprintln(out, "KIND\tNAME\tDIGEST")
		for _, r := range rows {
			fmt.Fprintf(out, "%s\t%s\t%s\n", r.Kind, r.Name, r.Digest)
		}
	})
}
