package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/sim/faults"
	"splitkernel/sim/fuzz"
)

// fuzzFlags are the flags of fuzz.
type fuzzFlags struct {
	seeds    uint64
	seed     uint64
	minutes  float64
	jobs     int
	script   string
	noShrink bool
	draw     bool
}

// fuzzProgress is how often a long run tells how far it is.
const fuzzProgress = 10 * time.Second

func (a *app) fuzzCommand() *cobra.Command {
	var f fuzzFlags
	cmd := &cobra.Command{
		Use:   "fuzz",
		Short: "Draw clusters, workloads and faults from seeds, run them in virtual time, and check that everything held",
		Long: `fuzz draws a world from each seed (the shape of a cluster, policies, links, processes, moves, drains, trouble of the managers'
logs, and faults) and runs it in virtual time on the cores that live components run. In the first part of a world faults happen; then
everything heals, and everybody must come to an end. Every read is checked, nothing may have two owners, limits must be kept, books must
balance and nothing may be left (docs/fuzz.md).

A seed that fails is made as short as possible and printed as a script, with the command that repeats it. --seeds 1 prints the world
first. Exit code 3: something did not hold.`,
		Args: cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error { return a.fuzz(cmd, &f) }),
	}
	cmd.Flags().Uint64Var(&f.seeds, "seeds", 0, "how many seeds to play (default: 1000, or as many as --minutes allow)")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "the first seed")
	cmd.Flags().Float64Var(&f.minutes, "minutes", 0, "stop after so many minutes")
	cmd.Flags().IntVar(&f.jobs, "jobs", 0, "worlds at once (default: one for each processor)")
	cmd.Flags().StringVar(&f.script, "script", "", "play the world of a script instead of seeds; - reads stdin")
	cmd.Flags().BoolVar(&f.noShrink, "no-shrink", false, "do not make a world that fails shorter")
	cmd.Flags().BoolVar(&f.draw, "draw", false, "print the world of the first seed as a script, and play nothing")
	return cmd
}

func (a *app) fuzz(cmd *cobra.Command, f *fuzzFlags) error {
	set := func(name string) bool { return cmd.Flags().Changed(name) }
	switch {
	case set("seeds") && (f.seeds < 1 || f.seeds > fuzz.MaxSeeds):
		return usage("--seeds %d, want 1 to %d", f.seeds, fuzz.MaxSeeds)
	case set("minutes") && !(f.minutes > 0 && f.minutes <= 60*24*30):
		return usage("--minutes %v, want more than 0 to a month", f.minutes)
	case f.jobs < 0 || f.jobs > fuzz.MaxJobs:
		return usage("--jobs %d, want 0 to %d", f.jobs, fuzz.MaxJobs)
	case f.script != "" && (set("seeds") || set("seed") || set("minutes") || set("jobs") || f.draw):
		return usage("--script and --seeds, --seed, --minutes, --jobs or --draw: a script is one world, want one of them")
	}
	if f.draw {
		_, err := io.WriteString(a.stdout, fuzz.Draw(f.seed).String())
		return err
	}
	if f.script != "" {
		return a.fuzzScript(f)
	}
	o := fuzz.RunOptions{First: f.seed, Seeds: f.seeds, Minutes: time.Duration(f.minutes * float64(time.Minute)), Jobs: f.jobs}
	if o.Seeds == 0 && o.Minutes == 0 {
		o.Seeds = 1000
	}
	if o.Seeds == 1 {
		fmt.Fprint(a.stderr, fuzz.Draw(o.First))
	}
	said := time.Now()
	o.Told = func(r *fuzz.Report) {
		if time.Since(said) >= fuzzProgress {
			said = time.Now()
			a.say("%d seeds, %d failures, %d operations", r.Seeds, r.Failures, r.Operations)
		}
	}
	scripts := map[uint64]string{}
	o.Failed = func(seed uint64, w *fuzz.World, out *fuzz.Outcome) {
		a.say("seed %d: %v\nagain: %s", seed, out.Failure, fuzz.Command(seed))
		if f.noShrink || len(scripts) >= maxShrunk {
			return
		}
		scripts[seed] = a.shrink(w, out)
	}
	r := fuzz.Run(cmd.Context(), o)
	for i := range r.FailedSeeds {
		r.FailedSeeds[i].Script = scripts[r.FailedSeeds[i].Seed]
	}
	return a.fuzzed(r)
}

// maxShrunk bounds the failing seeds of a run that are made shorter: it takes hundreds of worlds each.
const maxShrunk = 5

// shrink makes a world that fails shorter, and says so.
func (a *app) shrink(w *fuzz.World, out *fuzz.Outcome) string {
	short, now, played := fuzz.Shrink(w, out.Failure, fuzz.ShrinkTries, fuzz.Play)
	if now == nil {
		now = out
	}
	script := short.String()
	a.say("the shortest of %d worlds that fails alike (%v); save it as a file and run `splitkernel fuzz --script FILE`:\n%s", played, now.Failure, script)
	return script
}

// fuzzScript plays the world of a script.
func (a *app) fuzzScript(f *fuzzFlags) error {
	var text []byte
	var err error
	if f.script == "-" {
		text, err = io.ReadAll(io.LimitReader(a.stdin, fuzz.MaxScript+1))
	} else {
		text, err = os.ReadFile(f.script)
	}
	if err != nil {
		return usage("--script: %w", err)
	}
	w, err := fuzz.Parse(string(text))
	if err != nil {
		return usage("%s: %s", f.script, strings.ReplaceAll(err.Error(), "\n", "\n"+f.script+": "))
	}
	fmt.Fprint(a.stderr, w)
	r := fuzz.RunOne(w)
	for i := range r.FailedSeeds {
		r.FailedSeeds[i].Command = "splitkernel fuzz --script " + f.script
		a.say("%s\nagain: %s", r.FailedSeeds[i].Text, r.FailedSeeds[i].Command)
	}
	return a.fuzzed(r)
}

// fuzzed prints a report and gives its exit code.
func (a *app) fuzzed(r *fuzz.Report) error {
	err := a.print(r, func(w io.Writer) {
		fmt.Fprintf(w, "seeds\t%d, from %d\n", r.Seeds, r.First)
		fmt.Fprintf(w, "failures\t%d\n", r.Failures)
		fmt.Fprintf(w, "operations\t%d checked, %.0f a second and core\n", r.Operations, r.PerCore)
		fmt.Fprintf(w, "cluster seconds\t%.1f, in %.1f s on %d cores\n", r.ClusterSeconds, r.WallSeconds, r.Jobs)
		fmt.Fprintf(w, "processes\t%d ended well, %d were lost by name to what no cluster outlives\n", r.Ended, r.Lost)
		fmt.Fprintf(w, "moves\t%d\n", r.Moved)
		fmt.Fprintf(w, "restarts\t%d of processes, from checkpoints\n", r.Restarts)
		fmt.Fprintf(w, "skipped\t%d pages, by full logs\n", r.Skipped)
		if r.Digest != "" {
			fmt.Fprintf(w, "digest\t%s\n", r.Digest)
		}
		fmt.Fprint(w, "\nfault")
		for p := range faults.Phases {
			fmt.Fprintf(w, "\t%v", faults.Phase(p))
		}
		fmt.Fprintln(w)
		for k := faults.Kill; k <= faults.DiskFull; k++ {
			fmt.Fprint(w, k)
			for p := range faults.Phases {
				fmt.Fprintf(w, "\t%d", r.Coverage[k.String()][faults.Phase(p).String()])
			}
			fmt.Fprintln(w)
		}
		if len(r.Thin) > 0 {
			fmt.Fprintf(w, "\nbelow %d", fuzz.CoverageWanted)
			for _, c := range r.Thin {
				fmt.Fprintf(w, "\t%s %s %d", c.Fault, c.Phase, c.Times)
			}
			fmt.Fprintln(w)
		}
	})
	if err == nil && r.Failures > 0 {
		err = &codeError{exitWrongPage, fmt.Errorf("%d of %d seeds failed", r.Failures, r.Seeds)}
	}
	return err
}
