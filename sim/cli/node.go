package cli

import (
	"log/slog"

	"github.com/spf13/cobra"

	"splitkernel/sim/node"
)

// nodeCommand is the nodes of a running cluster. With --config it is one node: the launcher starts it so; a person has no
// use for that, so the flag is hidden.
func (a *app) nodeCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "node",
		Short: "List, show and change the nodes of a running cluster",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("%s: unknown command %q, see `%s --help`", cmd.CommandPath(), args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return cmd.Help()
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
	if err := cmd.Flags().MarkHidden("config"); err != nil {
		panic(err) // it was defined above
	}
	cmd.AddCommand(a.nodeCommands()...)
	return cmd
}
