package cli

import (
	"github.com/spf13/cobra"

	"splitkernel/sim/launcher"
)

// nodeReadmitCommand takes in a manager again that lost what it had on its disk.
func (a *app) nodeReadmitCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "readmit ID",
		Short: "Take in a manager again that does not start because its log is lost or damaged",
		Long: `readmit has the other managers, of which a majority must run, take a manager in again that does not start because it has lost what it had on its
disk, or because part of that is damaged. It starts empty, at its old address and under a new Raft node id, and gets from the others what they know. Its old
folder is kept beside the new one until the cluster ends.`,
		Args: cobra.ExactArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			st, err := launcher.Find(on)
			if err != nil {
				return err
			}
			if err := launcher.ReadmitNode(st, args[0]); err != nil {
				return err
			}
			a.say("%s is a manager of cluster %s again", args[0], st.Name)
			return nil
		}),
	}
	onFlag(cmd, &on)
	return cmd
}
