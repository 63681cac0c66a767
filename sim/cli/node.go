package cli

import (
	"log/slog"

	"github.com/spf13/cobra"

	"splitkernel/sim/node"
)

// nodeCommand is one component. The launcher starts it; a person has no use for it, so it is hidden.
func (a *app) nodeCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:    "node --config FILE",
		Short:  "Run one node of a cluster (the launcher starts it)",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return usage("--config is missing: a launcher starts nodes, see `splitkernel up --help`")
			}
			cfg, err := node.ReadConfig(config)
			if err != nil {
				return usage("%w", err)
			}
			inherited, err := node.Inherit()
			if err != nil {
				return usage("%w", err)
			}
			log := slog.New(slog.NewJSONHandler(a.stderr, nil))
			err = node.Run(cmd.Context(), cfg, inherited, a.stdin, log)
			if err != nil {
				log.Error("node ends", "node", cfg.Node.ID, "error", err.Error())
				return &codeError{exitFailed, nil} // told in the log, which is all that anybody reads of a node
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration that the launcher wrote")
	return cmd
}
