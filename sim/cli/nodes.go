package cli

import (
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
)

// nodeCommands are what people do with the nodes of a running cluster.
func (a *app) nodeCommands() []*cobra.Command {
	return []*cobra.Command{a.nodeListCommand(), a.nodeShowCommand(), a.nodeAddCommand()}
}

func nodePath(id string) string { return "/nodes/" + url.PathEscape(id) }

func (a *app) nodeListCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the nodes that the managers of a running cluster know",
		Args:  cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			r, err := a.remote(cmd.Context(), on)
			if err != nil {
				return err
			}
			var list httpapi.Nodes
			if err := r.get(cmd.Context(), "/nodes", &list); err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) { writeNodes(w, list.Nodes) })
		}),
	}
	onFlag(cmd, &on)
	return cmd
}

func writeNodes(w io.Writer, nodes []httpapi.Node) {
	if len(nodes) > 0 {
		fmt.Fprintln(w, "NODE\tROLE\tRACK\tEPOCH\tSTATE\tALIVE\tLOAD")
	}
	for _, n := range nodes {
		alive := "yes"
		if !n.Alive {
			alive = "no"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", n.ID, n.Role, orDash(n.Rack), n.Epoch, n.State, alive, loadOf(n))
	}
}

// loadOf says what matters of the load of a role.
func loadOf(n httpapi.Node) string {
	l, c := n.Load, n.Capacity
	if l == nil || c == nil {
		return "-"
	}
	switch n.Role {
	case wire.RoleCompute.String():
		return fmt.Sprintf("%d processes, %d threads, %.2f of %d cores", l.Processes, l.Threads, l.BusyCores, c.Cores)
	case wire.RoleMemory.String():
		return fmt.Sprintf("%s of %s resident, %d misses, %d flushes", size(l.ResidentBytes), size(c.MemoryBytes), l.Misses, l.Flushes)
	}
	return fmt.Sprintf("%s of %s reserved, %d block requests", size(l.ReservedBytes), size(c.StorageBytes), l.BlockOps)
}

// size writes bytes shortly.
func size(n uint64) string {
	for _, u := range []struct {
		name  string
		shift uint
	}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if n >= 1<<u.shift {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(uint64(1)<<u.shift), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

func (a *app) nodeShowCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a node: its capacity, its load, and what the managers have placed there",
		Args:  cobra.ExactArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			r, err := a.remote(cmd.Context(), on)
			if err != nil {
				return err
			}
			var d httpapi.NodeDetail
			if err := r.get(cmd.Context(), nodePath(args[0]), &d); err != nil {
				return err
			}
			return a.print(d, func(w io.Writer) { writeNode(w, &d) })
		}),
	}
	onFlag(cmd, &on)
	return cmd
}

func writeNode(w io.Writer, d *httpapi.NodeDetail) {
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("node", "%s, %s", d.ID, d.Role)
	row("state", "%s, alive: %t, epoch %d", d.State, d.Alive, d.Epoch)
	row("rack", "%s", orDash(d.Rack))
	row("address", "%s", d.Addr)
	row("load", "%s", loadOf(d.Node))
	switch d.Role {
	case wire.RoleCompute.String():
		row("ExCache", "%d lines", d.Capacity.ExCacheLines)
		row("processes", "%v", d.Holds.Processes)
	case wire.RoleMemory.String():
		row("memory", "%s, vRegions of %s", size(d.Capacity.MemoryBytes), size(d.Capacity.RegionBytes))
		row("vregions", "%d active, %d reserved", d.Holds.Regions, d.Holds.ReservedRegions)
		row("homes of", "%v", d.Holds.Homes)
		row("buffer caches of", "%v", d.Holds.Caches)
	case wire.RoleStorage.String():
		row("storage", "%s", size(d.Capacity.StorageBytes))
		row("volumes", "%v", d.Holds.Volumes)
	}
}

func (a *app) nodeAddCommand() *cobra.Command {
	var on string
	var n configs.NewNode
	cmd := &cobra.Command{
		Use:   "add --role ROLE",
		Short: "Start one more component in a running cluster; returns when it is registered",
		Long: `add has the process that owns the cluster (the supervisor of "up", or a "run") start one more component. It belongs to
the cluster from then on: "down", or the end of the run, stops it. New processes, vRegions and volumes may go there at once.`,
		Args: cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			if n.Role == "" {
				return usage("--role is missing, want one of mcomponent, pcomponent, scomponent")
			}
			st, err := launcher.Find(on)
			if err != nil {
				return err
			}
			trial := n
			if trial.ID == "" { // the owner knows better, but faults need no owner
				trial.ID = st.Cluster.FreeID(n.Role, func(string) bool { return false })
			}
			if _, err := st.Cluster.WithNode(trial); err != nil {
				return err
			}
			info, err := launcher.AddNode(st, n)
			if err != nil {
				return err
			}
			a.say("%s %s has joined cluster %s", info.Role, info.ID, st.Name)
			return a.print(info, func(w io.Writer) {
				fmt.Fprintln(w, "NODE\tROLE\tPID\tMETRICS\tADDRESS")
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", info.ID, info.Role, info.PID, info.Metrics, info.Addr)
			})
		}),
	}
	onFlag(cmd, &on)
	cmd.Flags().StringVar(&n.Role, "role", "", "mcomponent, pcomponent or scomponent")
	cmd.Flags().StringVar(&n.ID, "id", "", "id of the node (default: one that no node of the cluster ever had)")
	cmd.Flags().StringVar(&n.Rack, "rack", "", "failure domain")
	cmd.Flags().StringArrayVar(&n.Set, "set", nil, "set one key of the node: key=value; may be repeated")
	return cmd
}
