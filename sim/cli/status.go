package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/sim/launcher"
	"splitkernel/sim/node"
)

// clusterStatus is a running cluster: its processes as their owner sees them, and what its managers say.
type clusterStatus struct {
	launcher.State
	Managers *httpapi.Status `json:"status,omitempty"` // missing if no manager answers
	Error    string          `json:"error,omitempty"`  // why
	// LogLevels are those of nodes whose log has another level than at its start; of nodes that answer.
	LogLevels []nodeLevel `json:"log_levels,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [NAME]",
		Short: "List the clusters that are up: their processes, leaders, epochs and loads",
		Args:  cobra.MaximumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			states, err := launcher.List()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				st, err := launcher.Find(args[0])
				if err != nil {
					return err
				}
				states = []launcher.State{*st}
			}
			return a.printStatus(cmd.Context(), states)
		}),
	}
}

// printStatus asks the managers of each cluster and prints all.
func (a *app) printStatus(ctx context.Context, states []launcher.State) error {
	all := make([]clusterStatus, len(states))
	var asking sync.WaitGroup
	for i := range states {
		all[i].State = states[i]
		asking.Go(func() { all[i].LogLevels = changedLevels(ctx, &states[i]) })
		asking.Go(func() {
			r, err := remoteOf(ctx, &states[i])
			var s httpapi.Status
			if err == nil {
				err = r.get(ctx, "/status", &s)
			}
			if err != nil {
				all[i].Error = err.Error()
				return
			}
			all[i].Managers = &s
		})
	}
	asking.Wait()
	if len(all) == 0 {
		a.say("no cluster is up")
	}
	for i := range all {
		a.sayPrometheusEnded(all[i].Name, all[i].Prometheus)
		if all[i].Error != "" {
			a.say("warning: %s: %s", all[i].Name, all[i].Error)
			continue
		}
		for _, w := range all[i].Managers.Warnings {
			a.say("warning: %s: %s", all[i].Name, w)
		}
	}
	return a.print(all, func(w io.Writer) {
		writeStates(w, states)
		for i := range all {
			writeLevels(w, &all[i])
		}
		for i := range all {
			if s := all[i].Managers; s != nil {
				writeManagers(w, s)
			}
		}
	})
}

// writeLevels tells of logs whose level was changed.
func writeLevels(w io.Writer, s *clusterStatus) {
	for _, l := range s.LogLevels {
		fmt.Fprintf(w, "%s\tlog level of %s: %s, %s at its start\n", s.Name, l.Node, l.Level, node.LevelName(s.LogLevel))
	}
}

func writeManagers(w io.Writer, s *httpapi.Status) {
	fmt.Fprintln(w)
	fmt.Fprintln(w, "CLUSTER\tMANAGER\tLEADER\tTERM\tCHANGES\tREPLICAS")
	for _, m := range s.Managers {
		var replicas []string
		for _, r := range m.Replicas {
			replicas = append(replicas, fmt.Sprintf("%s@%d", r.Node, r.Applied))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", s.Cluster, m.Manager, orDash(m.Leader), m.Term, m.LeaderChanges, strings.Join(replicas, " "))
	}
	fmt.Fprintln(w)
	writeNodes(w, s.Nodes)
	fmt.Fprintf(w, "%d vNodes\n", s.VNodes)
}
