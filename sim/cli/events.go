package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/gmanagers/httpapi"
)

// followPause is how often `events --follow` asks.
const followPause = 500 * time.Millisecond

// eventFlags choose events.
type eventFlags struct {
	on, since, manager, kind string
	limit                    int
	pid                      uint64
	follow                   bool
}

func (a *app) eventsCommand() *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print the decisions of the managers with their reasons, oldest first",
		Long: `events prints what the managers of a running cluster decided, and why: which policy chose what among which candidates,
who was refused for lack of what. Each manager has a log of its own, which survives its leaders; they are merged by time.
-o json prints one object, or with --follow one a line for each event.`,
		Args: cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			r, err := a.remote(cmd.Context(), f.on)
			if err != nil {
				return err
			}
			if f.follow {
				return a.followEvents(cmd.Context(), r, &f)
			}
			var page httpapi.Events
			if err := r.get(cmd.Context(), "/events?"+f.query(f.since), &page); err != nil {
				return err
			}
			a.sayForgotten(page.Forgotten)
			return a.print(page, func(w io.Writer) { writeEvents(w, page.Events) })
		}),
	}
	onFlag(cmd, &f.on)
	cmd.Flags().StringVar(&f.since, "since", "", "events after this: `next` of an answer, a number with --manager, or 0 for all that are remembered (default: the latest)")
	cmd.Flags().IntVar(&f.limit, "limit", httpapi.DefaultLimit, fmt.Sprintf("at most so many, up to %d", httpapi.MaxLimit))
	cmd.Flags().StringVar(&f.manager, "manager", "", "only of this one: gpm, gmm or gsm")
	cmd.Flags().StringVar(&f.kind, "kind", "", "only of this kind, as in placed_vregion")
	cmd.Flags().Uint64Var(&f.pid, "pid", 0, "only those that concern this vNode")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what comes, until interrupted")
	return cmd
}

// query are the parameters of a request for what came after since.
func (f *eventFlags) query(since string) string {
	v := url.Values{"limit": {strconv.Itoa(f.limit)}}
	for name, text := range map[string]string{"since": since, "manager": f.manager, "kind": f.kind} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if f.pid != 0 {
		v.Set("pid", strconv.FormatUint(f.pid, 10))
	}
	return v.Encode()
}

func (a *app) sayForgotten(n uint64) {
	if n > 0 {
		a.say("%d older events are forgotten", n)
	}
}

func writeEvents(w io.Writer, es []httpapi.Event) {
	for _, e := range es {
		fmt.Fprintln(w, eventLine(e))
	}
}

// eventLine has no table: events differ too much.
func eventLine(e httpapi.Event) string {
	return fmt.Sprintf("%s %s %d %s", e.Time.Format("15:04:05.000"), e.Manager, e.Seq, e.Text)
}

// followEvents prints what comes until ctx ends, which is no error. A manager that ends meanwhile is replaced by another.
func (a *app) followEvents(ctx context.Context, r *remote, f *eventFlags) error {
	since := f.since
	tick := time.NewTicker(followPause)
	defer tick.Stop()
	for {
		var page httpapi.Events
		err := r.get(ctx, "/events?"+f.query(since), &page)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && kindOf(err) == "" { // its connection, not its answer
			next, rerr := remoteOf(ctx, r.st)
			if rerr != nil {
				return err
			}
			r = next
		} else if err != nil && kindOf(err) != "timeout" && kindOf(err) != "unavailable" {
			return err
		}
		if err == nil {
			since = page.Next
			a.sayForgotten(page.Forgotten)
			for _, e := range page.Events {
				if err := a.printLine(e, eventLine(e)); err != nil {
					return err
				}
			}
			if len(page.Events) == f.limit {
				continue // more may be there
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
