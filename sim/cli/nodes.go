package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
)

// nodeCommands are what people do with the nodes of a running cluster.
func (a *app) nodeCommands() []*cobra.Command {
	return []*cobra.Command{a.nodeListCommand(), a.nodeShowCommand(), a.nodeAddCommand(), a.nodeDrainCommand(), a.nodeUndrainCommand(), a.nodeRemoveCommand(), a.nodeReadmitCommand(), a.nodeLogLevelCommand()}
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
			list := httpapi.Nodes{Nodes: []httpapi.Node{}}
			if err := r.pages(cmd.Context(), "/nodes", nil, func(ctx context.Context, path string) (string, error) {
				var page httpapi.Nodes
				err := r.get(ctx, path, &page)
				list.Nodes = append(list.Nodes, page.Nodes...)
				return page.Next, err
			}); err != nil {
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

// maxDrainWait bounds --wait.
const maxDrainWait = 24 * time.Hour

// drainPoll is how often a node that drains is asked what it still has.
const drainPoll = 200 * time.Millisecond

func (a *app) nodeDrainCommand() *cobra.Command {
	var on string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "drain ID",
		Short: "Close a component to everything new, so that it can be removed; what it has moves away",
		Args:  cobra.ExactArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if wait < 0 || wait > maxDrainWait {
				return usage("--wait: %s, want 0 to %s", wait, maxDrainWait)
			}
			ctx := cmd.Context()
			r, err := a.remote(ctx, on)
			if err != nil {
				return err
			}
			began := time.Now()
			var n httpapi.Node
			if err := r.call(ctx, http.MethodPost, nodePath(args[0])+"/drain", nil, &n, 0); err != nil {
				return err
			}
			a.say("%s drains", n.ID)
			if wait > 0 {
				if n, err = r.drained(ctx, n.ID, wait, a.say); err != nil {
					return err
				}
				if err := r.lostSince(ctx, n.ID, began); err != nil {
					return err
				}
				a.say("%s has nothing any more", n.ID)
			}
			return a.print(n, func(w io.Writer) { writeNodes(w, []httpapi.Node{n}) })
		}),
	}
	onFlag(cmd, &on)
	cmd.Flags().DurationVar(&wait, "wait", 0, "return only when it has nothing any more, and fail after so long, as in 60s")
	return cmd
}

// drainSay is how often a wait tells how far the drain is, if that has changed.
const drainSay = 2 * time.Second

// lostSince is an error if moves of a drain lost what they moved.
func (r *remote) lostSince(ctx context.Context, id string, began time.Time) error {
	var list httpapi.Moves
	if err := r.pages(ctx, "/moves", nil, func(ctx context.Context, path string) (string, error) {
		var page httpapi.Moves
		err := r.get(ctx, path, &page)
		list.Moves = append(list.Moves, page.Moves...)
		return page.Next, err
	}); err != nil {
		return fmt.Errorf("%s has nothing any more, but whether all of its moves were done is not known: %w", id, err)
	}
	if lost := lostMoves(list.Moves, id, began); len(lost) > 0 {
		return fmt.Errorf("%s has nothing any more, but %d moves from it lost what they moved: %s", id, len(lost), strings.Join(lost[:min(len(lost), maxLostNamed)], "; "))
	}
	return nil
}

// maxLostNamed bounds the lost things that an error names.
const maxLostNamed = 16

// lostMoves names what the moves of a drain lost that began since then; managers tell the time in ms.
func lostMoves(ms []httpapi.Move, id string, began time.Time) (lost []string) {
	began = began.Truncate(time.Millisecond)
	for _, m := range ms {
		if m.From != id || m.Cause != "drain" || m.State != "lost" || m.Begun.Before(began) {
			continue
		}
		what := fmt.Sprintf("%s of vNode %d", m.Kind, m.PID)
		switch {
		case m.Region != nil:
			what = fmt.Sprintf("vregion %d of vNode %d", *m.Region, m.PID)
		case m.Volume != 0:
			what = fmt.Sprintf("%s %d", m.Kind, m.Volume)
		}
		lost = append(lost, fmt.Sprintf("%s, on its way to %s (%s)", what, m.To, m.Text))
	}
	return lost
}

// drained waits until a node has nothing any more, and says how far it is.
func (r *remote) drained(ctx context.Context, id string, wait time.Duration, say func(string, ...any)) (httpapi.Node, error) {
	end := time.After(wait)
	said, saidAt, last := "", time.Now(), ""
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for {
		var d httpapi.NodeDetail
		err := r.get(ctx, nodePath(id), &d)
		switch kind := kindOf(err); {
		case err == nil && d.Holds.Empty() && (d.Drain == nil || d.Drain.Left == 0):
			return d.Node, nil
		case err == nil && d.Drain != nil:
			if last = d.Drain.String(); last != said && time.Since(saidAt) >= drainSay {
				said, saidAt = last, time.Now()
				say("%s: %s", id, last)
			}
		case err == nil && d.State != "draining":
			return d.Node, fmt.Errorf("%s is %s and drains no more", id, d.State)
		case err != nil && kind != "timeout" && kind != "unavailable":
			if kind != "" || ctx.Err() != nil {
				return d.Node, err
			}
			next, nerr := remoteOf(ctx, r.st) // the manager that was asked has ended
			if nerr != nil {
				return d.Node, errors.Join(err, nerr)
			}
			*r = *next
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return d.Node, context.Cause(ctx)
		case <-end:
			if last == "" {
				last = "how much is left is not known"
			}
			return d.Node, fmt.Errorf("after %s %s is not empty, and it drains on: %s", wait, id, last)
		}
	}
}

func (a *app) nodeUndrainCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "undrain ID",
		Short: "Open a component again that was drained",
		Args:  cobra.ExactArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			r, err := a.remote(cmd.Context(), on)
			if err != nil {
				return err
			}
			var n httpapi.Node
			if err := r.call(cmd.Context(), http.MethodPost, nodePath(args[0])+"/undrain", nil, &n, 0); err != nil {
				return err
			}
			a.say("%s is open again", n.ID)
			return a.print(n, func(w io.Writer) { writeNodes(w, []httpapi.Node{n}) })
		}),
	}
	onFlag(cmd, &on)
	return cmd
}

func (a *app) nodeRemoveCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Take a drained component out of a running cluster, and stop its process",
		Long: `remove has the managers take a component out of their books, which they refuse while it is active or still has something,
and then has the owner of the cluster stop its process. Said again after a failure in between it goes on.`,
		Args: cobra.ExactArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			id := args[0]
			r, err := a.remote(cmd.Context(), on)
			if err != nil {
				return err
			}
			here := slices.ContainsFunc(r.st.Nodes, func(n launcher.NodeInfo) bool { return n.ID == id })
			var gone httpapi.RemovedNode
			err = r.call(cmd.Context(), http.MethodDelete, nodePath(id), nil, &gone, 0)
			if err != nil && !(here && kindOf(err) == "not_found") { // not in the books, and runs: removed before
				return err
			}
			gone.ID = id
			if here {
				if err := launcher.RemoveNode(r.st, id); err != nil {
					return fmt.Errorf("the managers have removed %s, but its process is not stopped; say it again: %w", id, err)
				}
			}
			a.say("%s is gone from cluster %s", id, r.st.Name)
			return a.print(gone, func(io.Writer) {})
		}),
	}
	onFlag(cmd, &on)
	return cmd
}

// loadOf says what matters of the load of a role.
func loadOf(n httpapi.Node) string {
	l, c := n.Load, n.Capacity
	if l == nil || c == nil {
		return "-"
	}
	switch n.Role {
	case wire.RoleCompute.String():
		return fmt.Sprintf("%d processes, %d threads, %.2f of %d cores%s", l.Processes, l.Threads, l.BusyCores, c.Cores, hottest(l))
	case wire.RoleMemory.String():
		return fmt.Sprintf("%s of %s resident, %d misses, %d flushes, waits %d µs%s", size(l.ResidentBytes), size(c.MemoryBytes), l.Misses, l.Flushes, l.QueueDelayUS, hottest(l))
	}
	return fmt.Sprintf("%s of %s reserved, %d block requests, waits %d µs%s", size(l.ReservedBytes), size(c.StorageBytes), l.BlockOps, l.QueueDelayUS, hottest(l))
}

// hottest names the thing that bears most, of the kind that is told first.
func hottest(l *httpapi.Load) string {
	if len(l.Hot) == 0 {
		return ""
	}
	return ", most " + hotThing(l.Hot[0]) + " " + hotLoad(l.Hot[0])
}

func hotThing(h httpapi.Hot) string {
	switch {
	case h.Region != nil:
		return fmt.Sprintf("%s %d/%d", h.Kind, h.PID, *h.Region)
	case h.Volume != 0:
		return fmt.Sprintf("%s %d", h.Kind, h.Volume)
	}
	return fmt.Sprintf("%s %d", h.Kind, h.PID)
}

func hotLoad(h httpapi.Hot) string {
	switch {
	case h.Kind == wire.MoveProcess.String():
		return fmt.Sprintf("%.2f cores, %d accesses/s", h.BusyCores, h.Ops)
	case h.Bytes > 0:
		return fmt.Sprintf("%d/s, %s/s", h.Ops, size(h.Bytes))
	}
	return fmt.Sprintf("%d/s", h.Ops)
}

// maxHotShown is how many things of a kind are shown that bear most; -o json has all that the managers know.
const maxHotShown = 8

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
			var d shownNode
			if err := r.get(cmd.Context(), nodePath(args[0]), &d.NodeDetail); err != nil {
				return err
			}
			if i := slices.IndexFunc(r.st.Nodes, func(n launcher.NodeInfo) bool { return n.ID == d.ID && n.Alive }); i >= 0 {
				if d.LogLevel, err = r.logLevel(cmd.Context(), r.st.Nodes[i], ""); err != nil {
					a.say("warning: %v", err)
				}
			}
			return a.print(d, func(w io.Writer) {
				writeNode(w, &d.NodeDetail)
				if d.LogLevel != "" {
					fmt.Fprintf(w, "log level\t%s\n", d.LogLevel)
				}
			})
		}),
	}
	onFlag(cmd, &on)
	return cmd
}

// shownNode is a node as its managers have it, and what it says itself.
type shownNode struct {
	httpapi.NodeDetail
	LogLevel string `json:"log_level,omitempty"` // missing if it does not answer
}

func writeNode(w io.Writer, d *httpapi.NodeDetail) {
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("node", "%s, %s", d.ID, d.Role)
	row("state", "%s, alive: %t, epoch %d", d.State, d.Alive, d.Epoch)
	row("rack", "%s", orDash(d.Rack))
	row("address", "%s", d.Addr)
	row("load", "%s", loadOf(d.Node))
	if d.Load != nil {
		shown := map[string]int{}
		for _, h := range d.Load.Hot {
			if shown[h.Kind]++; shown[h.Kind] <= maxHotShown {
				row("  "+hotThing(h), "%s", hotLoad(h))
			}
		}
	}
	if d.Drain != nil {
		row("draining", "%d things are left, %d are moving", d.Drain.Left, d.Drain.Moving)
		for _, t := range d.Drain.Things {
			row("  "+t.Kind, "%d, leaving %d, arriving %d", t.Things, t.Leaving, t.Arriving)
		}
		for _, why := range d.Drain.Stuck {
			row("  stuck", "%s", why)
		}
	}
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
			st, info, err := addNode(cmd.Context(), on, n)
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

// addNode has the owner of a running cluster start one more component.
func addNode(ctx context.Context, on string, n configs.NewNode) (*launcher.State, *launcher.NodeInfo, error) {
	st, err := launcher.Find(on)
	if err != nil {
		return nil, nil, err
	}
	trial := n
	if trial.ID == "" { // the owner knows better, but faults need no owner
		trial.ID = st.Cluster.FreeID(n.Role, func(string) bool { return false })
	}
	if _, err := st.Cluster.WithNode(trial); err != nil {
		return nil, nil, err
	}
	// Without a quorum nothing registers, so the new process would be waited for in vain.
	r, err := remoteOf(ctx, st)
	if err != nil {
		return nil, nil, err
	}
	if err := r.get(ctx, "/nodes", nil); err != nil {
		return nil, nil, fmt.Errorf("nothing was started, as no node can register now: %w", err)
	}
	info, err := launcher.AddNode(st, n)
	return st, info, err
}
