package cli

import (
	"github.com/spf13/cobra"

	"splitkernel/sim/launcher"
)

// prometheusFlags are those of commands that have the system's Prometheus watch a cluster.
type prometheusFlags struct {
	watchAt string // address; empty is none
}

func (f *prometheusFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.watchAt, "prometheus", "", "have the system's Prometheus watch the cluster, at this loopback address (default "+launcher.DefaultPrometheusAddr+"; port 0 is a free one)")
	cmd.Flags().Lookup("prometheus").NoOptDefVal = launcher.DefaultPrometheusAddr
}

// watch is what the flags say; nil is none.
func (f *prometheusFlags) watch() *launcher.Prometheus {
	if f.watchAt == "" {
		return nil
	}
	return &launcher.Prometheus{Addr: f.watchAt}
}

// check finds what is in the way, before anything is started.
func (f *prometheusFlags) check() error {
	p := f.watch()
	if p == nil {
		return nil
	}
	if err := p.Check(); err != nil {
		return usage("--prometheus: %w", err)
	}
	return nil
}

// args are the flags as a command line has them.
func (f *prometheusFlags) args() []string {
	if f.watchAt == "" {
		return nil
	}
	return []string{"--prometheus=" + f.watchAt}
}

// sayPrometheus tells where it is.
func (a *app) sayPrometheus(p *launcher.PrometheusInfo) {
	if p != nil {
		a.say("Prometheus: %s", p.URL)
	}
}

// sayPrometheusEnded warns of a Prometheus that did not live as long as its cluster.
func (a *app) sayPrometheusEnded(cluster string, p *launcher.PrometheusInfo) {
	if p != nil && !p.Alive {
		a.say("warning: %s: its Prometheus has ended (%s): what happens from now on is not kept; the last it said is in %s", cluster, p.Ended, p.Log)
	}
}
