package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/experiment"
	"splitkernel/sim/report"
)

// sweepFlags are the flags of sweep.
type sweepFlags struct {
	out      string
	shard    string
	parallel int
	merge    bool
	retry    bool
}

func (a *app) sweepCommand() *cobra.Command {
	var f sweepFlags
	cmd := &cobra.Command{
		Use:   "sweep FILE [DIR...]",
		Short: "Make a matrix of runs, live or virtual, and one table of their results",
		Long: `sweep makes every run of FILE (or of a bundled sweep: ` + strings.Join(configs.BundledSweeps(), ", ") + `): each combination of the values of its matrix, with
each seed. Virtual runs use all processors, live ones have the machine to themselves. A run that has a result in the folder is not made
again, so the same command goes on after Ctrl-C. At the end the folder has table.csv and table.parquet.

--shard I/N makes every Nth run only, from run I on. When all N shards have ended, "sweep FILE --merge" makes the table: of the results
in --out, or of those in the DIRs if every shard had a folder of its own.`,
		Args: cobra.MinimumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			return a.sweep(cmd.Context(), cmd, &f, args[0], args[1:])
		}),
	}
	cmd.Flags().StringVar(&f.out, "out", "", "folder of the sweep (default: sweeps/NAME)")
	cmd.Flags().StringVar(&f.shard, "shard", "", "make only this share of the runs: 0/N to N-1/N")
	cmd.Flags().IntVar(&f.parallel, "parallel", runtime.GOMAXPROCS(0), "virtual runs at a time")
	cmd.Flags().BoolVar(&f.merge, "merge", false, "make no runs, only the table of those that are there")
	cmd.Flags().BoolVar(&f.retry, "retry-failed", false, "make runs again that failed")
	return cmd
}

func (a *app) sweep(ctx context.Context, cmd *cobra.Command, f *sweepFlags, file string, dirs []string) (err error) {
	shard, err := f.check(cmd, dirs)
	if err != nil {
		return err
	}
	s, err := configs.LoadSweep(file)
	if err != nil {
		return err
	}
	if f.out == "" {
		f.out = filepath.Join("sweeps", s.Name)
	}
	if f.out, err = filepath.Abs(f.out); err != nil {
		return fmt.Errorf("find the current folder: %w", err)
	}
	temp, err := os.MkdirTemp("", "splitkernel-traces-")
	if err != nil {
		return fmt.Errorf("make a folder for the bundled traces: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	plan, err := experiment.NewPlan(ctx, s, a.env, temp)
	if err != nil {
		return err
	}
	if err := a.sweepFaults(plan); err != nil {
		return err
	}
	var t *experiment.Table
	if f.merge {
		if len(dirs) == 0 {
			dirs = []string{f.out}
		}
		t, err = experiment.Merge(plan, dirs, f.out)
	} else {
		p := a.newSweepProgress()
		t, err = experiment.Execute(ctx, experiment.Options{
			Plan: plan, Dir: f.out, Shard: shard, Parallel: f.parallel, Retry: f.retry, Commit: commit(), Version: fmt.Sprintf("protocol %d", wire.Version),
			Run: a.liveRun, Command: withoutFlag(a.command(), "--shard"), Progress: p.show,
		})
		p.end()
		if err != nil && ctx.Err() != nil {
			a.say("what has ended is in %s; the same command goes on", f.out)
		}
	}
	if err != nil {
		return err
	}
	if err := a.printSweep(plan, t); err != nil {
		return err
	}
	if commits := t.Commits(); len(commits) > 1 {
		a.say("these results are of programs of more than one commit: %s", strings.Join(commits, ", "))
	}
	a.say("tables and reports: %s", f.out)
	if shard.Of <= 1 { // of a shard there is no table of all runs
		if err := a.tellPage(experiment.WritePage(f.out)); err != nil {
			return err
		}
	}
	if n, worst := t.Failed(); n > 0 {
		return &codeError{worst, fmt.Errorf("%d of %d runs failed: see the column error of the table", n, len(t.Rows))}
	}
	return nil
}

// check finds flags that no sweep can have.
func (f *sweepFlags) check(cmd *cobra.Command, dirs []string) (shard experiment.Shard, err error) {
	given := cmd.Flags().Changed
	switch {
	case f.merge && given("shard"):
		return shard, usage("--merge and --shard: a merge makes no runs, want one of them")
	case f.merge && f.retry:
		return shard, usage("--merge and --retry-failed: a merge makes no runs, want one of them")
	case !f.merge && len(dirs) > 0:
		return shard, usage("%s: folders are for --merge only", dirs[0])
	case f.parallel < 1 || f.parallel > experiment.MaxParallel:
		return shard, usage("--parallel: %d, want 1 to %d", f.parallel, experiment.MaxParallel)
	case given("shard"):
		if shard, err = experiment.ParseShard(f.shard); err != nil {
			return shard, usage("--shard: %s", err)
		}
	}
	return shard, nil
}

// liveRun makes one live run of a sweep: as run does, but what it has to say goes into its folder.
func (a *app) liveRun(ctx context.Context, r *experiment.Run, dir string) (sum *report.Summary, err error) {
	talk, err := os.Create(filepath.Join(dir, "talk.log"))
	if err != nil {
		return nil, fmt.Errorf("open the log of the run: %w", err)
	}
	defer talk.Close()
	quiet := *a
	quiet.stdout, quiet.stderr = io.Discard, talk
	logFile, err := os.Create(filepath.Join(dir, "run.log"))
	if err != nil {
		return nil, fmt.Errorf("open the log of the run: %w", err)
	}
	defer logFile.Close()
	log := slog.New(slog.NewJSONHandler(logFile, nil)).With("node", "run")
	f := &runFlags{out: dir}
	if err := quiet.addFaults(&f.faultFlags, r.Workload.Name, r.Workload, r.Cluster); err != nil {
		return nil, err
	}
	t, err := quiet.ownTarget(ctx, f, r.Cluster, nil, r.Workload.Seed, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.stop(a.kill)) }()
	return quiet.replay(ctx, f, r.Workload, r.Traces, t, log)
}

// sweepProgress shows how far a sweep is, as progress does for a run.
type sweepProgress struct {
	display
	first *experiment.Progress // what was there before
	last  string               // a line that was not shown yet
	share float64
}

func (a *app) newSweepProgress() *sweepProgress { return &sweepProgress{display: a.newDisplay()} }

// show is called at the beginning and when a run has ended.
func (p *sweepProgress) show(r experiment.Progress) {
	now := p.now()
	if p.first == nil {
		p.first = &r
	}
	p.last, p.share = p.line(r, now), shareOf(uint64(r.Done), uint64(max(r.Total, 1)))
	if p.due(now) {
		p.put(now, p.share, p.last)
		p.last = ""
	}
}

// end says the last line, if it was not.
func (p *sweepProgress) end() {
	switch {
	case p.last == "":
	case p.drawn:
		p.put(p.now(), p.share, p.last)
	case !p.terminal:
		fmt.Fprintln(p.w, p.last)
	}
	p.display.end()
}

// line is how many runs are done, kept and failed, and the time left.
func (p *sweepProgress) line(r experiment.Progress, now time.Time) string {
	text := fmt.Sprintf("%d of %d runs done", r.Done, r.Total)
	if r.Kept > 0 {
		text += fmt.Sprintf(", %d of them before", r.Kept)
	}
	if r.Failed > 0 {
		text += fmt.Sprintf(", %d failed", r.Failed)
	}
	if made := r.Done - p.first.Done; made > 0 && r.Done < r.Total {
		left := time.Duration(float64(now.Sub(p.started)) / float64(made) * float64(r.Total-r.Done))
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return text
}

// sweepFaults says before anything is started which faults of the workloads cannot be in a cluster of theirs, or cost what it promises to keep.
func (a *app) sweepFaults(p *experiment.Plan) error {
	said := map[string]bool{} // what is allowed is said once, not for each run
	for i := range p.Runs {
		r := &p.Runs[i]
		breaches, err := breachesOf(r.Workload.Name, len(r.Workload.Faults), r.Workload, r.Cluster)
		if err == nil && r.Hardware == nil {
			err = momentsLive(r.Workload)
		}
		if err != nil {
			return err
		}
		if text := fmt.Sprint(breaches); !r.Workload.AllowLoss || !said[text] {
			said[text] = true
			if err := a.allowed(breaches, r.Workload.AllowLoss, "these faults"); err != nil {
				return err
			}
		}
	}
	return nil
}

// printSweep prints the table: for programs all of it, for people what matters most, means over seeds.
func (a *app) printSweep(plan *experiment.Plan, t *experiment.Table) error {
	if a.output == "json" {
		return a.print(t.Objects(), nil)
	}
	return a.print(nil, func(w io.Writer) { experiment.WriteMeans(w, plan, t) })
}
