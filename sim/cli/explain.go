package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
	"splitkernel/sim/report/page"
)

func (a *app) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say where time went",
	}
	cmd.AddCommand(a.explainFaultCommand())
	return cmd
}

func (a *app) explainFaultCommand() *cobra.Command {
	limit := 10
	cmd := &cobra.Command{
		Use:   "fault [NAME|RUNDIR]",
		Short: "Print the stages and times of the slowest page faults of a running cluster or of a run",
		Long: `explain fault prints the page faults that took longest and where their time went: of a cluster that is up (NAME; default: the only one) those
since its pComponents began, of the folder of a run or a simulation those of its processes. The stages of a simulation are exact. Of a live cluster every
fault is counted, and one fetch in sixteen is timed stage by stage: of the others all between the miss and its answer is the one stage "message". Times
are in µs, and AT is since the start of the run; of a cluster that is up it is before now.`,
		Args: cobra.MaximumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > wire.MaxSlowFaults {
				return usage("--limit %d, want 1 to %d", limit, wire.MaxSlowFaults)
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			s, err := a.slowFaults(cmd.Context(), name, limit)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.print(s, nil)
			}
			if len(s.Faults) == 0 {
				a.say("no page fault was seen")
				return nil
			}
			return s.Write(a.stdout)
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many faults, the slowest first")
	return cmd
}

// slowFaults reads them from the folder of a run, or asks a running cluster.
func (a *app) slowFaults(ctx context.Context, name string, limit int) (*report.Slowest, error) {
	if st, err := os.Stat(name); err == nil && name != "" && st.IsDir() {
		s, err := page.ReadSlowest(name)
		if err == nil && s == nil {
			return nil, usage("%s: no %s, want the folder of a run of a program that writes it, or the name of a cluster that is up", name, report.SlowestName)
		}
		if err == nil {
			s.Faults = s.Faults[:min(len(s.Faults), limit)]
		}
		return s, err
	}
	st, err := launcher.Find(name)
	if err != nil {
		return nil, fmt.Errorf("%w (and there is no folder of a run of that name)", err)
	}
	net := st.Cluster.Netlayer.Peer
	net.Cluster, net.Token, net.Role, net.Node = st.ClusterID, st.Cluster.Token, wire.RoleClient, "explain"
	peers := map[netlayer.Addr]*netlayer.Peer{}
	defer func() {
		for _, p := range peers {
			p.Close()
		}
	}()
	s, missing := replay.SlowFaults(ctx, replayNodes(st.Nodes), func(at netlayer.Addr) *netlayer.Peer {
		peers[at] = netlayer.NewPeer(at, net)
		return peers[at]
	}, time.Now(), nil, limit)
	for _, id := range missing {
		a.say("%s does not answer: its faults are missing", id)
	}
	return s, nil
}
