package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/launcher"
	"splitkernel/sim/node"
	"splitkernel/sim/observe"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
	"splitkernel/sim/report/page"
)

// runFlags are the flags of run.
type runFlags struct {
	configFlags
	faultFlags
	dashboardFlags
	prometheusFlags
	on   string
	keep bool
	name string
	out  string
	seed uint64

	record string
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	var engine, hardware string
	cmd := &cobra.Command{
		Use:   "run [WORKLOAD]",
		Short: "Start a cluster, replay a workload on it, report, and stop everything",
		Long: `run starts a cluster, replays a workload (a file, or the name of a bundled one; default: programs) with every page
checked, prints the report and stops everything. --on uses a cluster that "up" has started, --keep leaves one running.
The folder of the run gets report.html, summary.json, manifest.json, timeline.json and the logs.`,
		Args: cobra.MaximumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			if cmd.Flags().Changed("seed") {
				f.set = append(f.set, "workload.seed="+strconv.FormatUint(f.seed, 10))
			}
			return a.onEngine(cmd.Context(), &f, engine, hardware, workloadArg(args))
		}),
	}
	f.configFlags.add(cmd)
	f.faultFlags.add(cmd)
	f.dashboardFlags.add(cmd)
	f.prometheusFlags.add(cmd)
	cmd.Flags().StringVar(&f.on, "on", "", "name of a cluster that `up` has started")
	cmd.Flags().BoolVar(&f.keep, "keep", false, "leave the cluster running, as `up` does")
	cmd.Flags().StringVar(&f.name, "name", "", "name of the cluster that is started, by which other commands find it (default: run-PID, or with --keep as for up)")
	cmd.Flags().StringVar(&f.out, "out", "", "folder of the run (default: runs/WORKLOAD-TIME)")
	cmd.Flags().Uint64Var(&f.seed, "seed", 0, "seed of the run (default: the workload's)")
	cmd.Flags().StringVar(&f.record, "record", "", "what the nodes record for simulate --from-run: tail (the last part, kept if a wrong page was seen or a node died), full or off; without a value full (default: recorder.mode of the cluster)")
	cmd.Flags().Lookup("record").NoOptDefVal = configs.RecordFull
	cmd.Flags().StringVar(&engine, "engine", engineLive, "live, or virtual: then this is simulate")
	cmd.Flags().StringVar(&hardware, "hardware", "", "of a virtual run: the hardware profile")
	return cmd
}

// check finds flags that contradict each other: a running cluster has its configuration.
func (f *runFlags) check(cmd *cobra.Command) error {
	if err := f.dashboardFlags.check(); err != nil {
		return err
	}
	if cmd.Flags().Changed("record") {
		if f.on != "" || f.keep {
			return usage("--record with --on or --keep: a run records a cluster that it starts and stops, want it alone")
		}
		f.set = append(f.set, "recorder.mode="+f.record)
	}
	if f.on == "" {
		return nil
	}
	if f.watchAt != "" {
		return usage("--on and --prometheus: a Prometheus starts with its cluster, want it at `up`")
	}
	if f.name != "" {
		return usage("--on and --name: the cluster that is up has its name, want one of them")
	}
	if f.keep {
		return usage("--on and --keep: a cluster that is up stays up anyway, want one of them")
	}
	if cmd.Flags().Changed("cluster") {
		return usage("--on and --cluster: the cluster that is up has its configuration, want one of them")
	}
	for _, s := range f.set {
		if !strings.HasPrefix(s, "workload.") {
			return usage("--on and --set %s: the cluster that is up has its configuration, only keys of the workload can be set", s)
		}
	}
	return nil
}

// target is the cluster that a run uses.
type target struct {
	name     string         // by which other commands find it
	source   observe.Source // tells how it is
	cluster  *configs.Cluster
	id       string
	nodes    func() []launcher.NodeInfo  // as they are now
	temp     string                      // folder for unpacked traces, on the machine of the nodes
	restarts func() int                  // may be nil
	died     func() []string             // nodes that ended of their own; may be nil
	tapes    string                      // of a cluster that is up: where its nodes' tapes are, if they have some
	stop     func(context.Context) error // takes it down, or lets it be

	strike func(context.Context, faults.Fault) (replay.Struck, error)
	heal   func(context.Context, []int) error
}

func (a *app) run(ctx context.Context, f *runFlags, workload string) (err error) {
	w, c, err := a.loadRun(f, workload)
	if err != nil {
		return err
	}
	known := c
	if c == nil && len(w.Faults)+len(f.faults) > 0 {
		st, err := launcher.Find(f.on)
		if err != nil {
			return err
		}
		known = st.Cluster
	}
	if known != nil {
		if err := a.addFaults(&f.faultFlags, workload, w, known); err != nil {
			return err
		}
		if err := momentsLive(w); err != nil {
			return err
		}
	}
	var traces []replay.Trace // before anything is started, except of those that come with the program
	if !w.Bundled() {
		if traces, err = replay.ReadTraces(ctx, w, ""); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return usage("%s: %s", workload, strings.ReplaceAll(err.Error(), "\n", "\n"+workload+": ")) // one line each
		}
	}
	if err := f.prometheusFlags.check(); err != nil {
		return err
	}
	if f.out, err = makeOut(f.out, w.Name); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(f.out, "run.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of the run: %w", err)
	}
	defer logFile.Close()
	log := slog.New(slog.NewJSONHandler(logFile, nil)).With("node", "run")

	told := context.AfterFunc(ctx, func() { a.say("stopping; Ctrl-C again kills what is left") })
	defer told()

	rec := &runRecord{}
	if f.on == "" && !f.keep {
		if rec, traces, err = beginRecord(ctx, f.out, c, w, traces); err != nil {
			return err
		}
	}
	died, err := a.runOn(ctx, f, c, w, traces, rec, log)
	return errors.Join(err, rec.end(a, err, died))
}

// runOn makes the run, on a cluster that it starts and stops or on one that is up. It gives the nodes that died.
func (a *app) runOn(ctx context.Context, f *runFlags, c *configs.Cluster, w *configs.Workload, traces []replay.Trace, rec *runRecord, log *slog.Logger) (died []string, err error) {
	shown, err := a.listenDashboard(f.dashboardHere(), "")
	if err != nil {
		return nil, err
	}
	t, err := a.target(ctx, f, c, rec.tape, w.Seed, log)
	if err != nil {
		return nil, errors.Join(err, shown.close())
	}
	unshow := shown.named(t.name).show(ctx, t.source)
	if shown != nil {
		a.sayDashboard(&f.dashboardFlags, shown.server.URL())
	}
	defer func() {
		err = errors.Join(err, unshow())
		if stopErr := t.stop(a.kill); stopErr != nil {
			err = errors.Join(err, stopErr)
		}
		if t.died != nil {
			died = t.died()
		}
	}()
	sum, err := a.replay(ctx, f, w, traces, t, log)
	if sum != nil {
		if printErr := a.printSummary(sum, f.out); printErr != nil {
			err = errors.Join(err, printErr)
		}
	}
	if err = outcome(sum, err); wrongPage(err) && t.tapes != "" {
		err = errors.Join(err, rec.adopt(ctx, f.out, t, w, traces))
	}
	return nil, err
}

// wrongPage reports whether a run ends with that code.
func wrongPage(err error) bool {
	code := (*codeError)(nil)
	return errors.As(err, &code) && code.code == exitWrongPage
}

// outcome gives the error, and with it the exit code, of a run. A wrong page outweighs whatever else failed.
func outcome(sum *report.Summary, err error) error {
	if sum == nil {
		return err
	}
	if code := sum.ExitCode(); code == exitWrongPage {
		return &codeError{exitWrongPage, errors.Join(fmt.Errorf("%d wrong pages were seen", sum.Total.IntegrityErrors), err)}
	} else if code != exitOK && err == nil {
		return &codeError{code, fmt.Errorf("%d of %d vNodes failed: %s", len(sum.Failed), len(sum.VNodes), strings.Join(sum.Failed, "; "))}
	}
	return err
}

// loadRun reads what the run needs; of a cluster that is up only the workload is read here.
func (a *app) loadRun(f *runFlags, workload string) (*configs.Workload, *configs.Cluster, error) {
	if f.on == "" {
		c, w, err := a.loadBoth(&f.configFlags, workload)
		if err == nil {
			err = errors.Join(c.Live(), w.Live())
		}
		return w, c, err
	}
	w, err := configs.LoadWorkload(workload, a.overrides(&f.configFlags))
	if err == nil {
		err = w.Live()
	}
	return w, nil, err
}

// makeOut makes the folder of the run. One that was not named is always a new one.
func makeOut(out, name string) (string, error) {
	named := out != ""
	if !named {
		out = filepath.Join("runs", name+"-"+time.Now().UTC().Format("20060102T150405Z"))
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return "", fmt.Errorf("find the current folder: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return "", fmt.Errorf("make the folder of the run (want an --out that can be written): %w", err)
	}
	for path, n := out, 2; ; path, n = fmt.Sprintf("%s-%d", out, n), n+1 {
		err := os.Mkdir(path, 0o755)
		if err == nil {
			return path, nil
		}
		if named && errors.Is(err, os.ErrExist) {
			if st, err := os.Stat(path); err == nil && !st.IsDir() {
				return "", fmt.Errorf("--out: %s is no folder, want one, or a name that is free", path)
			}
			return path, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("make the folder of the run (want an --out that can be written): %w", err)
		}
	}
}

// target starts or finds the cluster.
func (a *app) target(ctx context.Context, f *runFlags, c *configs.Cluster, tapes *node.Record, seed uint64, log *slog.Logger) (*target, error) {
	if f.on == "" && !f.keep {
		return a.ownTarget(ctx, f, c, tapes, seed, log)
	}
	var st *launcher.State
	var err error
	if f.keep {
		up := upFlags{dashboardFlags: f.dashboardFlags, prometheusFlags: f.prometheusFlags, configFlags: configFlags{cluster: f.cluster, set: clusterSets(f.set)}, name: f.name, out: filepath.Join(f.out, "cluster"), level: node.DefaultLogLevel}
		if st, err = a.up(ctx, &up); err == nil {
			a.say("cluster %s stays up: `splitkernel down %s` stops it", st.Name, st.Name)
			a.sayPrometheus(st.Prometheus)
		}
	} else {
		st, err = launcher.Find(f.on)
	}
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(st.Dir, "run-") // goes with the cluster at the latest
	if err != nil {
		return nil, fmt.Errorf("make a folder for the bundled traces: %w", err)
	}
	strike, heal := strikersAt(st)
	return &target{
		name: st.Name, source: observe.Live(st),
		cluster: st.Cluster, id: st.ClusterID, nodes: liveNodes(st), temp: temp, strike: strike, heal: heal, tapes: filepath.Join(st.Out, recordDir),
		stop: func(context.Context) error { return os.RemoveAll(temp) },
	}, nil
}

// clusterSets leaves out the keys of the workload.
func clusterSets(set []string) []string {
	var out []string
	for _, s := range set {
		if !strings.HasPrefix(s, "workload.") {
			out = append(out, s)
		}
	}
	return out
}

// ownTarget starts a cluster for this run and reports nodes that die meanwhile.
func (a *app) ownTarget(ctx context.Context, f *runFlags, c *configs.Cluster, tapes *node.Record, seed uint64, log *slog.Logger) (*target, error) {
	cl, err := launcher.Start(ctx, launcher.Options{Cluster: c, Out: f.out, Log: log, Record: tapes, Seed: seed, Prometheus: f.watch()})
	if err != nil {
		return nil, err
	}
	nodes := cl.Nodes()
	a.say("cluster %s is ready: %d processes, %s", c.Name, len(nodes), c.Transport)
	a.sayPrometheus(cl.Prometheus())
	temp := filepath.Join(cl.Dir(), "traces")
	if err := os.Mkdir(temp, 0o700); err != nil {
		return nil, errors.Join(err, cl.Stop(a.kill))
	}
	sup, err := launcher.Attend(cmp.Or(f.name, fmt.Sprintf("run-%d", os.Getpid())), cl)
	if err != nil {
		return nil, errors.Join(err, cl.Stop(a.kill))
	}
	answering, stopAnswering := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	var watching sync.WaitGroup
	var died []string // of the goroutine that watches, until it has ended
	watching.Go(func() {
		if err := sup.Answer(answering); err != nil {
			log.Warn("the name of the cluster is still taken", "error", err)
		}
	})
	watching.Go(func() {
		for {
			select {
			case d := <-cl.Died():
				a.say("node %s (process %d) ended during the run: %s; its log is %s", d.ID, d.PID, d.How, d.Log)
				if !d.Killed { // what a fault kills, it was told to
					died = append(died, "node "+d.ID)
				}
			case <-ended:
				return
			}
		}
	})
	// A second Ctrl-C ends it all at once, whatever the run is still waiting for: nothing is left to wait for it then.
	atOnce := context.AfterFunc(a.kill, func() {
		cl.Stop(a.kill)
		os.Exit(exitFailed)
	})
	strike, heal := strikers(cl)
	return &target{
		name: sup.State().Name, source: observe.Owned(sup),
		cluster: c, id: cl.ID(), nodes: cl.Nodes, temp: temp, restarts: cl.Restarts, strike: strike, heal: heal, died: func() []string { return died },
		stop: func(kill context.Context) error {
			atOnce()
			stopAnswering()
			close(ended)
			watching.Wait()
			a.sayPrometheusEnded(c.Name, cl.Prometheus())
			return cl.Stop(kill)
		},
	}, nil
}

// liveNodes asks the owner of a cluster for its nodes; if it does not answer they are as they were.
func liveNodes(st *launcher.State) func() []launcher.NodeInfo {
	return func() []launcher.NodeInfo {
		if now, err := launcher.Find(st.Name); err == nil && now.ClusterID == st.ClusterID {
			return now.Nodes
		}
		return st.Nodes
	}
}

func replayNodes(infos []launcher.NodeInfo) (nodes []replay.Node) {
	for _, n := range infos {
		role, _ := configs.ParseRole(n.Role)
		nodes = append(nodes, replay.Node{ID: wire.NodeID(n.ID), Role: role, Addr: netlayer.Addr(n.Addr)})
	}
	return nodes
}

// replay makes the run on a cluster that is ready.
func (a *app) replay(ctx context.Context, f *runFlags, w *configs.Workload, traces []replay.Trace, t *target, log *slog.Logger) (*report.Summary, error) {
	net := t.cluster.Netlayer.Peer
	net.Cluster, net.Token, net.Role, net.Node, net.Log = t.id, t.cluster.Token, wire.RoleClient, "run", log
	if at := t.cluster.Trace.OtlpEndpoint; at != "" {
		spans := node.NewSpans(at, t.id, "run", wire.RoleClient.String(), log)
		defer spans.Close()
		net.Spans = spans
	}
	o := replay.RunOptions{
		Workload: w, Traces: traces, ClusterName: t.cluster.Name, Net: net, TempDir: t.temp, OutDir: f.out, Restarts: t.restarts, Log: log,
		ConfigDigest: configs.RunDigest(t.cluster, w), Config: configs.Flat(t.cluster, w, nil), Commit: commit(), Version: fmt.Sprintf("protocol %d", wire.Version),
		Command: a.command(),
	}
	o.Nodes = replayNodes(t.nodes())
	o.Strike, o.Heal = t.strike, t.heal
	o.NodesNow = func() []replay.Node { return replayNodes(t.nodes()) }
	p := a.newProgress()
	o.Progress = p.show
	sum, err := replay.Run(ctx, o)
	p.end()
	return sum, err
}

// printSummary prints the report of a run, and puts its page beside it.
func (a *app) printSummary(sum *report.Summary, out string) error {
	var err error
	if a.output == "json" {
		err = a.print(sum, func(io.Writer) {})
	} else if err = report.WriteTable(a.stdout, sum); err == nil {
		a.say("report, manifest and logs: %s", out)
	}
	return errors.Join(err, a.tellPage(page.WriteRun(out)))
}
