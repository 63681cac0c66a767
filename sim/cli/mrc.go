package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"splitkernel/sim/mrc"
	"splitkernel/sim/mrc/stack"
	"splitkernel/sim/report/plot"
	"splitkernel/sim/trace"
)

// csvOutput is the annotation of commands that know -o csv.
const csvOutput = "csv"

// mrcFlags are those of `mrc`.
type mrcFlags struct {
	in                                     traceInput
	policies, sizes, sample, records, plot string
	byRecord                               bool
	seed                                   uint64
}

func (a *app) mrcCommand() *cobra.Command {
	f := &mrcFlags{}
	cmd := &cobra.Command{
		Use:   "mrc TRACE",
		Short: "Miss-ratio curves: how many requests of a trace miss in a cache, by size and policy",
		Long: `How many requests of a trace miss in a fully associative cache of 4 KiB pages, by its size and replacement policy.

LRU is exact for all sizes in one pass, or estimated from a sample of the pages (--shards); other policies are simulated, one
cache for each size, on all processors. TRACE is a file of any format that ` + "`trace info`" + ` reads, or a generator
(generator:zipf?pages=100000&refs=5000000). Ctrl-C prints what was computed until then.`,
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{csvOutput: "yes"},
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			return a.mrc(cmd.Context(), f, args[0])
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.policies, "policy", mrc.LRU, "policies between commas: "+strings.Join(mrc.Policies(), ", "))
	flags.StringVar(&f.sizes, "sizes", "", "sizes between commas: pages (100), shares of the footprint (5%), bytes (1MiB) (default: 1, 2, 5, 10 … pages)")
	flags.BoolVar(&f.byRecord, "by-record", false, "a request of a block trace is one for its offset in its volume, not one for each 4 KiB block that it touches")
	flags.StringVar(&f.records, "records", string(mrc.Auto), "what is a request where a trace has both: auto (what comes first), memory, block")
	flags.StringVar(&f.sample, "shards", "", fmt.Sprintf("estimate LRU from a sample: a share of the pages (0.01) or how many pages at most (%d)", stack.DefaultSample))
	f.in.flags(cmd, "TRACE")
	flags.StringVar(&f.plot, "plot", "", "also draw the curves: FILE.svg or FILE.png")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of policies that draw")
	return cmd
}

// options checks the flags.
func (f *mrcFlags) options() (o mrc.Options, err error) {
	o = mrc.DefaultOptions()
	o.Policies = strings.Split(strings.ReplaceAll(f.policies, " ", ""), ",")
	o.Curve, o.ByRecord, o.Records, o.Workers, o.Policy.Seed = f.plot != "", f.byRecord, mrc.Records(f.records), min(runtime.GOMAXPROCS(0), mrc.MaxWorkers), f.seed
	if f.sizes != "" {
		if o.Sizes, err = mrc.ParseSizes(f.sizes); err != nil {
			return o, usage("--sizes: %w", err)
		}
	}
	if f.sample != "" {
		o.Sample = &stack.SampleOptions{}
		if n, err := strconv.Atoi(f.sample); err == nil && n != 1 {
			o.Sample.Pages = n
		} else if o.Sample.Rate, err = strconv.ParseFloat(f.sample, 64); err != nil {
			return o, usage("--shards: %q, want a share of the pages (0.01) or how many pages at most (%d)", f.sample, stack.DefaultSample)
		}
	}
	if err := o.Validate(); err != nil {
		return o, usage("%w", err)
	}
	switch filepath.Ext(f.plot) {
	case ".svg", ".png":
	default:
		if f.plot != "" {
			return o, usage("--plot: %s, want a name that ends with .svg or .png", f.plot)
		}
	}
	return o, f.in.check()
}

func (a *app) mrc(ctx context.Context, f *mrcFlags, path string) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	stages := &mrcProgress{a: a, name: filepath.Base(path)}
	o.Progress = stages.show
	open := func() (trace.Source, error) { return trace.OpenRecords(path, f.in.spec) }
	res, err := mrc.Run(ctx, open, o)
	stages.end()
	stop, err := stopped(ctx, err)
	if err != nil {
		return named(path, err)
	}
	if res == nil { // stopped before anything was read
		return stop
	}
	if err := a.printCurves(res); err != nil {
		return err
	}
	a.sayOfCurves(res, o)
	if f.plot != "" {
		if err := writePlot(f.plot, filepath.Base(path), res, o); err != nil {
			return err
		}
		a.say("plot: %s", f.plot)
	}
	return stop
}

// mrcProgress has a meter for each stage, one after the other.
type mrcProgress struct {
	a     *app
	name  string
	mu    sync.Mutex
	stage mrc.Stage
	meter *meter
}

func (p *mrcProgress) show(at mrc.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.meter == nil || p.stage != at.Stage {
		p.finish()
		p.stage = at.Stage
		if p.stage == mrc.Reading {
			p.meter = p.a.newMeter("reading "+p.name, "records", at.Total)
		} else {
			p.meter = p.a.newMeter("simulating", "requests", at.Total)
		}
	}
	p.meter.set(at.Done, at.Total)
}

func (p *mrcProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
}

func (p *mrcProgress) finish() {
	if p.meter != nil {
		p.meter.end()
	}
}

// printCurves writes the rows: as JSON, CSV or table.
func (a *app) printCurves(res *mrc.Result) error {
	if a.output != csvOutput {
		if res.Rows == nil {
			res.Rows = []mrc.Row{}
		}
		return a.print(res.Rows, func(w io.Writer) { curveTable(w, res) })
	}
	w := csv.NewWriter(a.stdout)
	_ = w.Write([]string{"policy", "size", "requests", "misses", "miss_ratio", "standard_error", "partial"}) // Flush keeps the error
	for _, r := range res.Rows {
		_ = w.Write([]string{r.Policy, strconv.FormatUint(r.Size, 10), strconv.FormatUint(r.Requests, 10), strconv.FormatUint(r.Misses, 10),
			strconv.FormatFloat(r.MissRatio, 'f', 8, 64), strconv.FormatFloat(r.StandardError, 'f', 8, 64), strconv.FormatBool(r.Partial)})
	}
	w.Flush()
	return w.Error()
}

func curveTable(w io.Writer, res *mrc.Result) {
	head := "POLICY\tPAGES\tSIZE\tFOOTPRINT\tREQUESTS\tMISSES\tMISS RATIO"
	if res.Sampled != nil {
		head += "\tSTANDARD ERROR"
	}
	fmt.Fprintln(w, head)
	for _, r := range res.Rows {
		share := 100 * float64(r.Size) / float64(max(res.Footprint, 1))
		fmt.Fprintf(w, "%s\t%d\t%s\t%.3g %%\t%d\t%d\t%.5f", r.Policy, r.Size, mebibytes(r.Size), share, r.Requests, r.Misses, r.MissRatio)
		if res.Sampled != nil {
			fmt.Fprintf(w, "\t±%.5f", r.StandardError)
		}
		fmt.Fprintln(w)
	}
}

// mebibytes of so many pages.
func mebibytes(pages uint64) string {
	bytes := float64(pages) * trace.PageBytes
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.4g GiB", bytes/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.4g MiB", bytes/(1<<20))
	}
	return fmt.Sprintf("%.4g KiB", bytes/(1<<10))
}

// sayOfCurves tells how the rows were found.
func (a *app) sayOfCurves(res *mrc.Result, o mrc.Options) {
	what := "references to memory, each a request for its page"
	if res.Kind == mrc.Block {
		what = "block requests, each a request for each 4 KiB block that it touches"
		if o.ByRecord {
			what = "block requests, each a request for its offset in its volume"
		}
	}
	about := ""
	if res.Sampled != nil {
		about = "about "
	}
	a.say("%d %s: %d requests for %s%d pages", res.Records, what, res.Requests, about, res.Footprint)
	if res.Threads > 1 {
		a.say("%d threads share one cache, in the order of the trace", res.Threads)
	}
	if res.Others > 0 {
		other := map[mrc.Records]string{mrc.Memory: "block requests", mrc.Block: "references to memory"}[res.Kind]
		a.say("%d %s are left out: --records chooses", res.Others, other)
	}
	switch s := res.Sampled; {
	case s != nil:
		a.say("estimated from %d pages, %.4g of all at the end, with %d of the requests (SHARDS, corrected by what is known of all); the standard error is that of estimates without one of 32 parts of the sample each; sizes below %.0f pages cannot be told apart", s.Pages, s.Rate, s.Requests, 1/s.Rate)
	case res.TooFew > 0:
		a.say("exact: a sample would have %d pages, and below %d it says nothing", res.TooFew, stack.LeastSample)
	case o.Sample != nil:
		a.say("exact: all pages fit in the sample")
	}
	if res.Partial {
		a.say("partial: the work was stopped after %d requests were read; rows that are partial (in json and csv they say so) stand for the first requests, as many as they name", res.Requests)
	}
}

// writePlot draws the curves.
func writePlot(path, name string, res *mrc.Result, o mrc.Options) error {
	axes := plot.Axes{Title: "Misses of " + name, X: "cache size (pages of 4 KiB)", Y: "miss ratio (misses / requests)", LogX: true}
	var series []plot.Series
	for _, p := range o.Policies {
		s := plot.Series{Name: p}
		rows := res.Rows
		if p == mrc.LRU {
			rows = res.Dense
		}
		for _, r := range rows {
			if r.Policy == p {
				s.X, s.Y = append(s.X, float64(r.Size)), append(s.Y, r.MissRatio)
			}
		}
		if len(s.X) > 0 {
			series = append(series, s)
		}
	}
	return drawLines(path, axes, series)
}
