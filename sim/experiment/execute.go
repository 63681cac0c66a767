package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"splitkernel/configs"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
)

// MaxParallel bounds the runs at a time.
const MaxParallel = 4096

// Options say how to make the runs of a plan.
type Options struct {
	Plan     *Plan
	Dir      string // of the sweep
	Shard    Shard
	Parallel int  // virtual runs at a time; live ones have the machine to themselves
	Retry    bool // what failed is run again
	Commit   string
	Version  string
	Command  []string // of the manifests, and of sweep.json
	// Run makes a live run and writes its report into dir, which is there and empty.
	Run func(ctx context.Context, r *Run, dir string) (*report.Summary, error)
	// Progress may be nil; calls do not overlap.
	Progress func(Progress)
}

// Progress is how far a sweep is.
type Progress struct {
	Done   int // of them, with results
	Kept   int // of those done, from before
	Failed int // of those done
	Total  int
}

// Validate returns every fault.
func (o *Options) Validate() error {
	var errs []error
	if o.Parallel < 1 || o.Parallel > MaxParallel {
		errs = append(errs, fmt.Errorf("parallel: %d, want 1 to %d", o.Parallel, MaxParallel))
	}
	if o.Dir == "" {
		errs = append(errs, errors.New("out: missing, want a folder"))
	}
	if o.Plan.Sweep.Engine == configs.EngineLive && o.Run == nil {
		errs = append(errs, errors.New("engine: live, but nothing makes live runs"))
	}
	return errors.Join(errs...)
}

// Execute makes the runs of a shard that have no result yet, writes their table and returns it. If ctx ends, what has ended stays, and
// the error is its cause. Runs that fail are rows of the table.
func Execute(ctx context.Context, o Options) (*Table, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := o.Plan.checkFolder("--out", o.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "runs"), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the sweep (want an --out that can be written): %w", err)
	}
	if err := writeJSON(filepath.Join(o.Dir, sweepName), o.Plan.about(o.Command)); err != nil {
		return nil, err
	}
	e := execution{o: o, results: make([]*Result, len(o.Plan.Runs))}
	e.find()
	if len(e.todo) > 0 {
		if err := removeTables(o.Dir, o.Shard); err != nil {
			return nil, fmt.Errorf("remove the table from before: %w", err)
		}
	}
	e.report()
	if err := e.runAll(ctx); err != nil {
		return nil, err
	}
	t := o.Plan.table(e.results)
	return t, t.writeFiles(filepath.Join(o.Dir, tableName(o.Shard)))
}

// execution is a sweep under way.
type execution struct {
	o       Options
	results []*Result // by index; those of a worker's run are its own
	todo    []*Run

	mu       sync.Mutex // of what follows, and of calls of Progress
	progress Progress
	next     int // in todo
}

// find looks which runs have results.
func (e *execution) find() {
	for i := range e.o.Plan.Runs {
		r := &e.o.Plan.Runs[i]
		if !e.o.Shard.has(i) {
			continue
		}
		e.progress.Total++
		res := readResult(e.o.Dir, r)
		if res == nil || res.ExitCode != exitOK && e.o.Retry {
			e.todo = append(e.todo, r)
			continue
		}
		e.results[i] = res
		e.progress.Kept++
		e.count(res)
	}
}

func (e *execution) count(res *Result) {
	e.progress.Done++
	if res.ExitCode != exitOK {
		e.progress.Failed++
	}
}

func (e *execution) report() {
	if e.o.Progress != nil {
		e.o.Progress(e.progress)
	}
}

// runAll makes the runs that are to do, on workers.
func (e *execution) runAll(ctx context.Context) error {
	workers := min(e.o.Parallel, len(e.todo))
	if e.o.Plan.Sweep.Engine == configs.EngineLive {
		workers = min(1, len(e.todo))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				r := e.take(ctx)
				if r == nil {
					return
				}
				if err := e.one(ctx, r); err != nil {
					cancel(err) // the first is the cause
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// take gives a worker the next run, nil if there is none or the sweep is to stop.
func (e *execution) take(ctx context.Context) *Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ctx.Err() != nil || e.next == len(e.todo) {
		return nil
	}
	e.next++
	return e.todo[e.next-1]
}

// one makes a run and keeps its result. The error is of the folder, or why the run was interrupted; that of the run is in its result.
func (e *execution) one(ctx context.Context, r *Run) error {
	dir := runDir(e.o.Dir, r)
	if err := os.RemoveAll(dir); err != nil { // what an interrupted run left
		return fmt.Errorf("empty the folder of run %d: %w", r.Index, err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of run %d: %w", r.Index, err)
	}
	sum, err := e.make(ctx, r, dir)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	res := resultOf(r, e.o.Commit, sum, err)
	if err := writeResult(e.o.Dir, r, res); err != nil {
		return fmt.Errorf("run %d: %w", r.Index, err)
	}
	e.results[r.Index] = res
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count(res)
	e.report()
	return nil
}

func (e *execution) make(ctx context.Context, r *Run, dir string) (*report.Summary, error) {
	if e.o.Plan.Sweep.Engine == configs.EngineLive {
		return e.o.Run(ctx, r, dir)
	}
	return replay.RunVirtual(ctx, replay.VirtualOptions{
		Workload: r.Workload, Cluster: r.Cluster, Hardware: r.Hardware.Hardware, HardwareName: r.Hardware.Name, Traces: r.Traces, OutDir: dir,
		ConfigDigest: r.ConfigDigest, Config: configs.Flat(r.Cluster, r.Workload, r.Hardware), Commit: e.o.Commit, Version: e.o.Version, Command: e.o.Command,
		Local: e.o.Plan.Sweep.Slowdown,
	})
}

// Merge makes the table of a whole sweep of the results in folders of its shards and writes it into out. A run whose result is in
// none is a *MissingError, and no table is written.
func Merge(p *Plan, dirs []string, out string) (*Table, error) {
	var errs []error
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			errs = append(errs, &configs.FaultsError{Faults: []string{fmt.Sprintf("--merge: %s: no such folder, want those of the shards", dir)}})
			continue
		}
		errs = append(errs, p.checkFolder("--merge", dir))
	}
	errs = append(errs, p.checkFolder("--out", out))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	results := make([]*Result, len(p.Runs))
	missing := &MissingError{Of: len(p.Runs)}
	for i := range p.Runs {
		for _, dir := range dirs {
			if results[i] = readResult(dir, &p.Runs[i]); results[i] != nil {
				break
			}
		}
		if results[i] == nil {
			missing.Missing = append(missing.Missing, i)
		}
	}
	if len(missing.Missing) > 0 {
		return nil, missing
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the table (want an --out that can be written): %w", err)
	}
	command := []string(nil) // of whoever made the runs
	if a, err := readAbout(dirs[0]); err == nil && a != nil {
		command = a.Command
	}
	if err := writeJSON(filepath.Join(out, sweepName), p.about(command)); err != nil {
		return nil, err
	}
	t := p.table(results)
	return t, t.writeFiles(filepath.Join(out, tableName(Shard{})))
}
