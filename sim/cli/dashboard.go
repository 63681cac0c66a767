package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/sim/dashboard"
	"splitkernel/sim/launcher"
	"splitkernel/sim/observe"
)

// dashboardFlags are those of commands that serve the page of a cluster.
type dashboardFlags struct {
	addr    string // empty: no page
	control bool
	remote  bool
}

func (f *dashboardFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.addr, "dashboard", "", "serve a web page of the cluster, at HOST:PORT of this machine; without a value at a free port (docs/dashboard.md)")
	cmd.Flags().Lookup("dashboard").NoOptDefVal = dashboard.DefaultAddr
	cmd.Flags().BoolVar(&f.control, "allow-control", false, "give the page buttons that add, drain, kill and disturb components, for who has the URL that is printed")
	cmd.Flags().BoolVar(&f.remote, "dashboard-remote", false, "let other machines reach the page, if --dashboard has such an address: whoever does sees the cluster, unencrypted")
}

// check finds flags that make no sense.
func (f *dashboardFlags) check() error {
	switch {
	case f.addr == "" && f.control:
		return usage("--allow-control without --dashboard: it is the page that it gives buttons to, want both")
	case f.addr == "" && f.remote:
		return usage("--dashboard-remote without --dashboard=HOST:PORT, want both")
	case f.addr == "":
		return nil
	}
	if err := dashboard.CheckAddr(f.addr, f.remote); err != nil {
		return usage("--dashboard: %w", err)
	}
	return nil
}

// args are the flags as a command line has them.
func (f *dashboardFlags) args() (args []string) {
	if f.addr != "" {
		args = append(args, "--dashboard="+f.addr)
	}
	if f.control {
		args = append(args, "--allow-control")
	}
	if f.remote {
		args = append(args, "--dashboard-remote")
	}
	return args
}

// dashboardHere are the flags of a page that a run serves itself: that of a cluster that stays is served by its supervisor.
func (f *runFlags) dashboardHere() *dashboardFlags {
	if f.keep {
		return &dashboardFlags{}
	}
	return &f.dashboardFlags
}

// sayDashboard tells where the page is.
func (a *app) sayDashboard(f *dashboardFlags, url string) {
	if url == "" {
		return
	}
	a.say("dashboard: %s", url)
	if f.remote {
		a.say("warning: whoever reaches %s sees the cluster, and what goes over the wire is not encrypted", f.addr)
	}
}

// board is a page that is served. All its methods take nil, which is no page.
type board struct {
	server  *dashboard.Server
	buttons *buttons
}

// listenDashboard takes the address of the page, before a cluster is started in vain. name may be given later.
func (a *app) listenDashboard(f *dashboardFlags, name string) (*board, error) {
	if f.addr == "" {
		return nil, nil
	}
	b := &board{buttons: &buttons{a: a, name: name}}
	o := dashboard.Options{Addr: f.addr, Remote: f.remote}
	if f.control {
		o.Control = b.buttons
	}
	var err error
	b.server, err = dashboard.Listen(o)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// close gives the address back of a page that was not shown.
func (b *board) close() error {
	if b == nil {
		return nil
	}
	return b.server.Close()
}

// named says which cluster the buttons are for. It comes before show.
func (b *board) named(name string) *board {
	if b != nil {
		b.buttons.name = name
	}
	return b
}

// show serves the page until ctx ends or what it returns is called, which waits for the end.
func (b *board) show(ctx context.Context, source observe.Source) (unshow func() error) {
	if b == nil {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	var showing sync.WaitGroup
	var err error // of the goroutine, until it has ended
	showing.Go(func() { err = b.run(ctx, source) })
	return func() error {
		cancel()
		showing.Wait()
		return err
	}
}

// run watches the cluster and serves what it sees.
func (b *board) run(ctx context.Context, source observe.Source) error {
	o, err := observe.New(observe.Options{Source: source})
	if err != nil {
		return errors.Join(err, b.close())
	}
	b.server.SetFeed(o)
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	var watched error
	watching.Go(func() { watched = o.Run(ctx) })
	err = b.server.Run(ctx)
	cancel()
	watching.Wait()
	return errors.Join(err, watched)
}

// buttons do what commands do, in the cluster of a name.
type buttons struct {
	a    *app
	name string
}

// Do implements dashboard.Control.
func (b *buttons) Do(ctx context.Context, act dashboard.Action) (string, error) {
	switch act.Do {
	case dashboard.DoAdd:
		_, info, err := addNode(ctx, b.name, configs.NewNode{Role: act.Role})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s %s has joined", info.Role, info.ID), nil
	case dashboard.DoDrain, dashboard.DoUndrain:
		r, err := b.a.remote(ctx, b.name)
		if err != nil {
			return "", err
		}
		var n httpapi.Node
		if err := r.call(ctx, http.MethodPost, nodePath(act.Node)+"/"+act.Do, nil, &n, 0); err != nil {
			return "", err
		}
		if act.Do == dashboard.DoUndrain {
			return n.ID + " is open again", nil
		}
		return n.ID + " drains: what it has moves away", nil
	case dashboard.DoKill, dashboard.DoFault:
		text := act.Fault
		if act.Do == dashboard.DoKill {
			text = "kill " + act.Node
		}
		s, err := b.a.strikeByHand(ctx, b.name, text, act.AllowLoss)
		if err != nil {
			return "", err
		}
		return s.What, nil
	case dashboard.DoHeal:
		st, err := launcher.Find(b.name)
		if err != nil {
			return "", err
		}
		healed, err := launcher.HealAt(st)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d faults were ended", len(healed)), nil
	}
	return "", fmt.Errorf("%q is no action", act.Do)
}
