package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/sim/faults"
	"splitkernel/sim/launcher"
	"splitkernel/sim/replay"
)

// faultFlags are those of commands that run a workload.
type faultFlags struct {
	faults    []string
	allowLoss bool
}

func (f *faultFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.faults, "fault", nil, "something that goes wrong during the run, as in 'at 30% pause m1 for 1s'; may be repeated (docs/failures.md)")
	cmd.Flags().BoolVar(&f.allowLoss, "allow-loss", false, "let faults cost what the cluster promises to keep; the loss is counted and named")
}

// addFaults adds the faults of the command line to those of the workload, and says before anything is started which of them cannot be, or
// cost what the cluster promises to keep. label names the workload.
func (a *app) addFaults(f *faultFlags, label string, w *configs.Workload, c *configs.Cluster) error {
	if err := w.Fits(c); err != nil {
		return usage("%s: %w", label, err)
	}
	own := len(w.Faults)
	list, errs := faults.ParseList("--fault", f.faults)
	if len(errs) > 0 {
		return usage("%w", errors.Join(errs...))
	}
	for _, x := range list {
		w.Faults = append(w.Faults, x.String())
	}
	if len(w.Faults) > faults.MaxList {
		return usage("%d faults, want at most %d", len(w.Faults), faults.MaxList)
	}
	w.AllowLoss = w.AllowLoss || f.allowLoss
	breaches, err := breachesOf(label, own, w, c)
	if err != nil {
		return err
	}
	return a.allowed(breaches, w.AllowLoss, "these faults")
}

// breachesOf says which faults of a workload cost what the cluster promises to keep. The first own of them are those of its file. The error is of
// those that cannot be.
func breachesOf(label string, own int, w *configs.Workload, c *configs.Cluster) ([]faults.Breach, error) {
	nodes, all := launcher.FaultNodes(c), w.WhatFails()
	if err := errors.Join(faults.CheckList(label+": faults", all[:own], nodes), faults.CheckList("--fault", all[own:], nodes)); err != nil {
		return nil, usage("%w", err)
	}
	p := promiseTo(w, c)
	return p.Breaches(all), nil
}

// momentsLive refuses moments that a live run cannot know.
func momentsLive(w *configs.Workload) error {
	for _, x := range w.WhatFails() {
		if x.At.Phase != faults.Idle { // moves and admissions are over in milliseconds, and a live run looks at moments every 10 ms
			return usage("%q: when something is %v is known in virtual time only, want a part of the run or a time, or `splitkernel simulate`", x.String(), x.At.Phase)
		}
	}
	return nil
}

// allowed says what faults cost; without allowance that is an error.
func (a *app) allowed(breaches []faults.Breach, allowLoss bool, which string) error {
	var said []string
	for _, b := range breaches {
		said = append(said, b.String())
	}
	switch {
	case len(breaches) == 0:
	case allowLoss:
		a.say("loss is allowed:\n%s", strings.Join(said, "\n"))
	default:
		return usage("the cluster cannot keep its promise through %s, want others, or --allow-loss:\n%s", which, strings.Join(said, "\n"))
	}
	return nil
}

// survives is how many sComponents may be lost at a time without a volume of a workload being lost. Whether a trace has volumes is not known
// yet, so a vNode that does not say how they are kept may have one without a copy.
func survives(w *configs.Workload) int {
	least := admission.MaxReplicas
	for i := range w.Vnodes {
		v := &w.Vnodes[i]
		named := v.CopiesOf("").Survives()
		for _, e := range v.Volumes {
			named = min(named, e.Copies().Survives())
		}
		least = min(least, named)
	}
	return least
}

// promiseTo is what a workload on a cluster outlives.
func promiseTo(w *configs.Workload, c *configs.Cluster) faults.Promise {
	p := promiseOf(c)
	p.Known = true
	for i := range w.Vnodes {
		if v := &w.Vnodes[i]; !v.Goes() {
			p.Ends = append(p.Ends, v.Name)
		}
	}
	p.Outlives, p.Survives = w.Outlives(), survives(w)
	return p
}

// promiseOf is what a cluster outlives.
func promiseOf(c *configs.Cluster) faults.Promise {
	p := faults.Promise{Lease: membership.Outlives(membership.DefaultLease, membership.DefaultProbe), Nodes: launcher.FaultNodes(c)}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for i := range c.Nodes {
		n := c.Resolve(c.Nodes[i].ID)
		switch {
		case n.Manager != nil:
			p.Lease = membership.Outlives(ms(n.Manager.LeaseMS), ms(n.Manager.ProbeMS))
		case n.Compute != nil:
			patience := ms(min(n.Compute.Fault.PatienceMS, n.Compute.BlockPatienceMS))
			if p.Patience == 0 || patience < p.Patience {
				p.Patience = patience
			}
		}
		p.CallTimeout = ms(n.Netlayer.Peer.CallTimeoutMS)
	}
	return p
}

// struck tells a run what became of a fault.
func struck(s launcher.Struck, err error) (replay.Struck, error) {
	return replay.Struck{ID: s.ID, What: s.What, Lost: s.Lost, Lasts: s.Ended == nil}, err
}

func (a *app) faultCommand() *cobra.Command {
	var on string
	var allowLoss bool
	cmd := &cobra.Command{
		Use:   "fault FAULT",
		Short: "Have something go wrong in a running cluster; list what does; heal it",
		Long: `fault has something go wrong at once in a cluster that "up" or "run" has started: 'kill m2', 'pause p1 for 1s',
'partition p1 | m1,m2 for 3s', 'lose 1%', 'slow-disk s1 10x' (docs/failures.md has the language). It ends after its duration, or with
"fault heal". What it would cost of what the cluster promises to keep is said, by the books of the managers, and it does not happen
without --allow-loss.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("%d arguments, want one fault in quotes, as in 'kill m2'", len(args))
			}
			return nil
		},
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			s, err := a.strikeByHand(cmd.Context(), on, args[0], allowLoss)
			if err != nil {
				return err
			}
			return a.printStruck(s, []launcher.Struck{s})
		}),
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List what was made to go wrong, and what still does",
		Args:  cobra.NoArgs,
		RunE: runs(func(*cobra.Command, []string) error {
			st, err := launcher.Find(on)
			if err != nil {
				return err
			}
			all, err := launcher.FaultsOf(st)
			if err != nil {
				return err
			}
			if all == nil {
				all = []launcher.Struck{} // JSON [] and not null
			}
			return a.printStruck(all, all)
		}),
	}
	heal := &cobra.Command{
		Use:   "heal",
		Short: "End everything that was made to go wrong: what was killed is started again",
		Args:  cobra.NoArgs,
		RunE: runs(func(*cobra.Command, []string) error {
			st, err := launcher.Find(on)
			if err != nil {
				return err
			}
			healed, err := launcher.HealAt(st)
			if err != nil {
				return err
			}
			if healed == nil {
				healed = []launcher.Struck{}
			}
			if len(healed) == 0 {
				a.say("nothing goes wrong on purpose in cluster %s", st.Name)
			}
			return a.printStruck(healed, healed)
		}),
	}
	cmd.Flags().BoolVar(&allowLoss, "allow-loss", false, "let it cost what the cluster promises to keep")
	for _, c := range []*cobra.Command{cmd, list, heal} {
		onFlag(c, &on)
	}
	cmd.AddCommand(list, heal)
	return cmd
}

// strikeByHand has a fault of the language happen at once in a running cluster, unless it costs what the cluster promises to keep.
func (a *app) strikeByHand(ctx context.Context, on, text string, allowLoss bool) (s launcher.Struck, err error) {
	f, err := faults.Parse(text)
	if err != nil {
		return s, usage("%w", err)
	}
	if f.At.Given {
		return s, usage("%q: a fault by hand happens at once, want it without at", text)
	}
	st, err := launcher.Find(on)
	if err != nil {
		return s, err
	}
	nodes := launcher.FaultNodes(st.Cluster)
	if err := faults.Check(f, nodes); err != nil {
		return s, usage("%w", err)
	}
	f = faults.Resolve(f, nodes, faults.Stream(uint64(time.Now().UnixNano()), 0))
	breaches, err := a.foretell(ctx, st, f)
	if err != nil {
		return s, err
	}
	if err := a.allowed(breaches, allowLoss, "this fault"); err != nil {
		return s, err
	}
	return launcher.StrikeAt(st, f)
}

func (a *app) printStruck(data any, list []launcher.Struck) error {
	return a.print(data, func(w io.Writer) {
		if len(list) > 0 {
			fmt.Fprintln(w, "NO\tFAULT\tBEGAN\tENDED\tWHAT HAPPENED\tLOST")
		}
		for _, s := range list {
			ended := "-"
			if s.Ended != nil {
				ended = s.Ended.Format(time.TimeOnly)
			}
			what := s.What
			if s.Error != "" {
				what += "; its end: " + s.Error
			}
			lost := "-"
			if len(s.Lost) > 0 {
				lost = strings.Join(s.Lost, ", ")
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Fault, s.Began.Format(time.TimeOnly), ended, what, lost)
		}
	})
}

// strikersAt are how a run has things go wrong in the cluster of others.
func strikersAt(st *launcher.State) (func(context.Context, faults.Fault) (replay.Struck, error), func(context.Context, []int) error) {
	return func(_ context.Context, f faults.Fault) (replay.Struck, error) {
			return struck(launcher.StrikeAt(st, f))
		}, func(_ context.Context, ids []int) error {
			_, err := launcher.HealAt(st, ids...)
			return err
		}
}

// strikers are the same for a cluster of the run's own.
func strikers(c *launcher.Cluster) (func(context.Context, faults.Fault) (replay.Struck, error), func(context.Context, []int) error) {
	return func(ctx context.Context, f faults.Fault) (replay.Struck, error) {
			return struck(c.Strike(ctx, f))
		}, func(ctx context.Context, ids []int) error {
			_, err := c.Heal(ctx, ids...)
			return err
		}
}
