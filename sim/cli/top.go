package cli

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/sim/launcher"
	"splitkernel/sim/observe"
	"splitkernel/sim/top"
)

// maxTopInterval bounds --interval.
const maxTopInterval = time.Minute

// onceRounds is after how many rounds a snapshot is printed: rates are known after the second.
const onceRounds = 2

func (a *app) topCommand() *cobra.Command {
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "top [NAME]",
		Short: "Watch a running cluster in the terminal: components, vNodes, leaders and events",
		Long: `top shows what the components of a running cluster bear and whether they are well, how far its vNodes are, who leads and what
happened, and asks again every second. Keys choose the table, sort, filter and show details; ? lists them. It changes nothing.
Where stdout is no terminal, or with -o json, it prints how the cluster is once. NO_COLOR has it use no colours.`,
		Args: cobra.MaximumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if interval < observe.MinInterval || interval > maxTopInterval {
				return usage("--interval: %s, want %s to %s", interval, observe.MinInterval, maxTopInterval)
			}
			st, err := launcher.Find(append(args, "")[0])
			if err != nil {
				return err
			}
			o, err := observe.New(observe.Options{Source: observe.Live(st), Interval: interval})
			if err != nil {
				return err
			}
			return a.top(cmd.Context(), o)
		}),
	}
	cmd.Flags().DurationVar(&interval, "interval", observe.DefaultInterval, "how often the cluster is asked")
	return cmd
}

// top shows what an observer sees until the user quits, or once.
func (a *app) top(ctx context.Context, o *observe.Observer) error {
	updates, _, err := o.Subscribe()
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- o.Run(watching) }()
	if a.output == "table" && isTerminal(a.stdin) && isTerminal(a.stdout) {
		err = top.Run(ctx, updates, a.stdin, a.stdout, a.colors())
	} else {
		err = a.topOnce(updates)
	}
	stop()
	return errors.Join(err, <-ended)
}

func (a *app) topOnce(updates <-chan *observe.Snapshot) error {
	for s := range updates {
		if s.Seq >= onceRounds {
			return a.print(s, func(w io.Writer) { top.WriteText(w, s) })
		}
	}
	return errors.New("stopped before the cluster had answered twice")
}

// colors reports whether the user's environment allows colours (no-color.org).
func (a *app) colors() bool {
	return !slices.ContainsFunc(a.env, func(v string) bool {
		return strings.HasPrefix(v, "NO_COLOR=") && v != "NO_COLOR=" || v == "TERM=dumb"
	})
}
