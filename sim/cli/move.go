package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/wire"
)

func (a *app) moveCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "move", Short: "Move a process, vRegion, home, volume or buffer cache while it is used; list moves"}
	for _, m := range []struct{ kind, use, short string }{
		{"process", "process PID", "Move a process to another pComponent"},
		{"vregion", "vregion PID NUMBER", "Move a vRegion of a process with its pages to another mComponent"},
		{"home", "home PID", "Move the memory map of a process to another mComponent"},
		{"volume", "volume ID", "Move a volume with its blocks to another sComponent"},
		{"buffer_cache", "buffer-cache VOLUME", "Move the buffer cache of a volume to another mComponent"},
	} {
		cmd.AddCommand(a.moveThingCommand(m.kind, m.use, m.short))
	}
	cmd.AddCommand(a.moveListCommand())
	return cmd
}

// moveWait bounds --wait.
const moveWait = 24 * time.Hour

// movePoll is how often a move is asked whether it has ended.
const movePoll = 50 * time.Millisecond

func (a *app) moveThingCommand(kind, use, short string) *cobra.Command {
	var on string
	var wait time.Duration
	s := httpapi.MoveSpec{Kind: kind}
	args := 1
	if kind == "vregion" {
		args = 2
	}
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(args),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if wait < 0 || wait > moveWait {
				return usage("--wait: %s, want 0 to %s", wait, moveWait)
			}
			if err := readThing(&s, args); err != nil {
				return err
			}
			r, err := a.remote(cmd.Context(), on)
			if err != nil {
				return err
			}
			var m httpapi.Move
			if err := r.call(cmd.Context(), http.MethodPost, "/moves", s, &m, 0); err != nil {
				return err
			}
			if wait > 0 {
				if m, err = r.moved(cmd.Context(), m, wait); err != nil {
					return err
				}
			}
			if err := a.printMoves(m, []httpapi.Move{m}); err != nil {
				return err
			}
			if wait > 0 && m.State != "done" {
				return fmt.Errorf("the move was %s: %s", m.State, m.Text)
			}
			return nil
		}),
	}
	onFlag(cmd, &on)
	cmd.Flags().StringVar(&s.To, "to", "", "the component (default: the placement policy chooses)")
	cmd.Flags().DurationVar(&wait, "wait", 0, "return only when it has ended, and fail after so long or if it was not done")
	return cmd
}

// readThing reads the ids of what moves.
func readThing(s *httpapi.MoveSpec, args []string) error {
	n, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil || n == 0 {
		return usage("%q is no id of a %s, want a number above 0", args[0], s.Kind)
	}
	switch s.Kind {
	case "volume", "buffer_cache":
		if n > 1<<32-1 {
			return usage("%q is no id of a volume, want at most %d", args[0], uint32(1<<32-1))
		}
		s.Volume = wire.VolumeID(n)
		return nil
	}
	s.PID = wire.PID(n)
	if s.Kind == "vregion" {
		n, err := strconv.ParseUint(args[1], 10, 64)
		if err != nil {
			return usage("%q is no number of a vRegion, see `splitkernel vnode show %s`", args[1], args[0])
		}
		region := wire.RegionNo(n)
		s.Region = &region
	}
	return nil
}

// moved waits until a move has ended.
func (r *remote) moved(ctx context.Context, m httpapi.Move, wait time.Duration) (httpapi.Move, error) {
	end := time.After(wait)
	tick := time.NewTicker(movePoll)
	defer tick.Stop()
	path := fmt.Sprintf("/moves/%s/%d", m.Manager, m.Move)
	for {
		var now httpapi.Move
		err := r.get(ctx, path, &now)
		switch kind := kindOf(err); {
		case err == nil:
			if m = now; m.Ended != nil {
				return m, nil
			}
		case kind == "timeout" || kind == "unavailable":
		case kind != "" || ctx.Err() != nil:
			return m, err
		default: // the manager that was asked has ended
			next, nerr := remoteOf(ctx, r.st)
			if nerr != nil {
				return m, errors.Join(err, nerr)
			}
			*r = *next
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return m, context.Cause(ctx)
		case <-end:
			return m, fmt.Errorf("move %d of %s has not ended after %s; it goes on", m.Move, m.Manager, wait)
		}
	}
}

func (a *app) moveListCommand() *cobra.Command {
	var on, manager string
	var pid uint64
	var active bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the moves that are under way and those that ended last",
		Args:  cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			r, err := a.remote(cmd.Context(), on)
			if err != nil {
				return err
			}
			q := url.Values{"active": {strconv.FormatBool(active)}}
			if manager != "" {
				q.Set("manager", manager)
			}
			if pid != 0 {
				q.Set("pid", strconv.FormatUint(pid, 10))
			}
			list := httpapi.Moves{Moves: []httpapi.Move{}}
			if err := r.pages(cmd.Context(), "/moves", q, func(ctx context.Context, path string) (string, error) {
				var page httpapi.Moves
				err := r.get(ctx, path, &page)
				list.Moves = append(list.Moves, page.Moves...)
				return page.Next, err
			}); err != nil {
				return err
			}
			return a.printMoves(list, list.Moves)
		}),
	}
	onFlag(cmd, &on)
	cmd.Flags().StringVar(&manager, "manager", "", "only of this one: gpm, gmm or gsm")
	cmd.Flags().Uint64Var(&pid, "pid", 0, "only of this process, its home and its vRegions")
	cmd.Flags().BoolVar(&active, "active", false, "only those under way")
	return cmd
}

func (a *app) printMoves(data any, ms []httpapi.Move) error {
	return a.print(data, func(w io.Writer) {
		if len(ms) > 0 {
			fmt.Fprintln(w, "MOVE\tTHING\tFROM\tTO\tSTATE\tCAUSE\tSENT\tTIME\tPAUSE\tWHY")
		}
		for _, m := range ms {
			thing := fmt.Sprintf("%s %d", m.Kind, max(uint64(m.PID), uint64(m.Volume)))
			if m.Region != nil {
				thing += fmt.Sprintf("/%d", *m.Region)
			}
			state := m.State
			if m.Progress != nil {
				state = m.Progress.State
			}
			times := []string{"-", "-"}
			if m.Ended != nil {
				times = []string{duration(m.DurationUS), duration(m.PauseUS)}
			}
			why := slices.DeleteFunc([]string{m.Text, m.Reason, "-"}, func(s string) bool { return s == "" })[0]
			fmt.Fprintf(w, "%s/%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Manager, m.Move, thing, m.From, m.To, state, m.Cause, size(m.Bytes), times[0], times[1], why)
		}
	})
}

func duration(us uint64) string { return (time.Duration(us) * time.Microsecond).String() }
