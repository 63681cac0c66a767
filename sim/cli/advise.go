package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/advise"
	"splitkernel/sim/trace"
)

// adviseFlags are those of advise.
type adviseFlags struct {
	slowdown, hardware, format, plot, keep string
	budget                                 time.Duration
	thin                                   int
	maxRefs                                uint64
}

const (
	// adviseBudget is how long a program is recorded, unless it is said otherwise: under Valgrind that is less than a second of it.
	adviseBudget = time.Minute
	// adviseThin leaves most references out that any ExCache would hit.
	adviseThin = 64
)

func (a *app) adviseCommand() *cobra.Command {
	f := &adviseFlags{}
	cmd := &cobra.Command{
		Use:   "advise TRACE | -- PROGRAM [ARGS…]",
		Short: "How large the local memory of a program must be, on each hardware profile",
		Long: `advise records a program under Valgrind, or takes a trace, and says what ExCache it needs on each hardware profile to be at
most --slowdown slower than with all its memory local. It computes the miss-ratio curve, and simulates the sizes around the answer
in virtual time: all times are modelled. Ctrl-C prints what is known until then.`,
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			program := cmd.ArgsLenAtDash() == 0
			if len(args) == 0 || !program && len(args) != 1 {
				return usage("want one trace, or -- and a program with its arguments")
			}
			return a.advise(cmd.Context(), f, args, program)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.slowdown, "slowdown", "5%", "what is allowed, against all memory local")
	flags.StringVar(&f.hardware, "hardware", "", "profiles between commas: files, or bundled ones (default: all of "+strings.Join(configs.BundledHardware(), ", ")+")")
	flags.StringVar(&f.format, "format", "", "format of TRACE, with settings: NAME[:KEY=VALUE,…]; 'trace formats' lists them (default: recognised)")
	flags.StringVar(&f.plot, "plot", "", "also draw the slowdown over the size: FILE.svg or FILE.png")
	flags.StringVar(&f.keep, "keep", "", "keep the trace that was recorded, as FILE.skt")
	flags.DurationVar(&f.budget, "time-budget", adviseBudget, "stop the program after so much time of being recorded; 0 is never")
	flags.IntVar(&f.thin, "thin", adviseThin, fmt.Sprintf("leave out references to one of the last N pages when recording, 0 to %d", trace.MaxThin))
	flags.Uint64Var(&f.maxRefs, "max-refs", 0, "look at so many references only; 0 is all")
	return cmd
}

// options checks the flags.
func (f *adviseFlags) options() (o advise.Options, err error) {
	o = advise.DefaultOptions()
	o.Format, o.MaxRefs, o.Workers, o.Version = f.format, f.maxRefs, min(runtime.GOMAXPROCS(0), advise.MaxWorkers), fmt.Sprintf("protocol %d", wire.Version)
	number, isPercent := strings.CutSuffix(strings.TrimSpace(f.slowdown), "%")
	if o.Slowdown, err = strconv.ParseFloat(strings.TrimSpace(number), 64); err != nil || !isPercent {
		return o, usage("--slowdown: %q, want a percentage such as 5%%", f.slowdown)
	}
	o.Slowdown /= 100
	if f.hardware != "" {
		o.Profiles = strings.Split(strings.ReplaceAll(f.hardware, " ", ""), ",")
	}
	_, err = parseFormat(f.format)
	return o, errors.Join(checkPlot(f.plot), err)
}

func (a *app) advise(ctx context.Context, f *adviseFlags, args []string, program bool) (err error) {
	o, err := f.options()
	if err != nil {
		return err
	}
	o.Path, o.Name = args[0], filepath.Base(args[0])
	if err := o.Validate(); err != nil {
		return usage("%w", err)
	}
	for _, name := range o.Profiles {
		if _, err := configs.LoadHardware(name); err != nil {
			return err
		}
	}
	if program {
		clean, err := a.recordForAdvice(ctx, f, &o, args)
		if err != nil {
			return err
		}
		defer clean()
	} else if f.keep != "" {
		return usage("--keep %s: a trace was given, want a program", f.keep)
	}
	m := a.newMeter("reading "+o.Name, "records", 0)
	last := uint64(0)
	o.Reading = func(done, total uint64) {
		if done < last {
			m.again("reading "+o.Name+" again", total)
		}
		last = done
		m.set(done, total)
	}
	var simulating sync.Once
	o.Progress = func(done, least uint64) {
		simulating.Do(func() {
			m.end()
			m = a.newMeter("simulating "+o.Name, "references", 0)
		})
		m.set(done, least)
	}
	res, err := advise.Run(ctx, o)
	m.end()
	stop, err := stopped(ctx, err)
	if err != nil {
		return named(o.Path, err)
	}
	if res == nil { // stopped before anything was simulated
		return stop
	}
	if err := a.print(res, func(w io.Writer) { adviceText(w, res) }); err != nil {
		return err
	}
	if f.plot != "" {
		axes, series := res.Plot()
		if err := drawLines(f.plot, axes, series); err != nil && stop == nil {
			return err
		} else if err == nil {
			a.say("plot: %s", f.plot)
		}
	}
	return stop
}

// recordForAdvice records a program, and sets the path of its trace. clean removes what is not kept.
func (a *app) recordForAdvice(ctx context.Context, f *adviseFlags, o *advise.Options, args []string) (clean func(), err error) {
	dir := ""
	clean = func() {}
	c := trace.CaptureOptions{Out: f.keep, Program: args[0], Args: args[1:], Thin: f.thin, MaxRefs: f.maxRefs, TimeBudget: f.budget}
	if c.Out == "" {
		if dir, err = os.MkdirTemp("", "splitkernel-advise-"); err != nil {
			return clean, fmt.Errorf("make a folder for the trace: %w", err)
		}
		clean = func() { os.RemoveAll(dir) }
		c.Out = filepath.Join(dir, "program.skt")
	}
	if err = c.Validate(); err != nil {
		err = usage("%w", err)
	} else {
		_, err = a.capture(ctx, c)
	}
	if err != nil {
		clean()
		return clean, err
	}
	o.Path = c.Out
	return clean, nil
}

func adviceText(w io.Writer, res *advise.Result) {
	for _, line := range res.About() {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
	for _, ad := range res.Advice {
		fmt.Fprintln(w, res.Sentence(ad))
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "PROFILE\tEXCACHE\tFOOTPRINT\tMISS RATIO\tSLOWDOWN\tSECONDS\tALL LOCAL")
	for _, ad := range res.Advice {
		n, mark := ad.Needed, ""
		if ad.NearBest != nil {
			n, mark = ad.NearBest, " (near the best)"
		}
		if n != nil {
			fmt.Fprintf(w, "%s\t%.4g MiB%s\t%.3g %%\t%.5f\t%.3g %%\t%.4g\t%.4g\n", ad.Profile, float64(n.Bytes)/(1<<20), mark, 100*n.Share, n.MissRatio, 100*n.Slowdown, n.Seconds, ad.LocalSeconds)
		} else {
			fmt.Fprintf(w, "%s\t-\t-\t-\t-\t-\t%.4g\n", ad.Profile, ad.LocalSeconds)
		}
	}
}
