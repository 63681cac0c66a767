package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/sim/report/page"
	"splitkernel/sim/reproduce"
)

// socketsHardware is the profile whose kernel TCP stands for Linux's in Figure 7.
const socketsHardware = "tcp-25g"

// reproduceFlags are the flags of reproduce.
type reproduceFlags struct {
	out   string
	seed  uint64
	scale int
	fit   bool
}

func (a *app) reproduceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "reproduce", Short: "Compute the figures of a paper, beside the published ones"}
	var f reproduceFlags
	lego := &cobra.Command{
		Use:   "legoos",
		Short: "The figures of the LegoOS paper (OSDI'18)",
		Long: `legoos computes the figures of the LegoOS paper in virtual time on the hardware profile legoos-cx3 and prints each
published value beside ours with the error. What was fitted and what is predicted is marked; what a target misses is listed
with the reason. The folder gets report.html, table.md, rows.json and a plot of each figure.`,
		Args: cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error { return a.reproduceLegoOS(cmd.Context(), &f) }),
	}
	lego.Flags().StringVar(&f.out, "out", "", "folder of the result (default: runs/reproduce-TIME)")
	lego.Flags().Uint64Var(&f.seed, "seed", 1, "seed of the programs")
	lego.Flags().IntVar(&f.scale, "scale", reproduce.DefaultScale, "divide all memory by this, a power of two")
	lego.Flags().BoolVar(&f.fit, "fit", false, "fit the applications anew, from what they are now, print them and stop; --scale 64 is what they were fitted at")
	cmd.AddCommand(lego)
	return cmd
}

func (a *app) reproduceLegoOS(ctx context.Context, f *reproduceFlags) error {
	h, err := configs.LoadHardware(defaultHardware)
	s, sErr := configs.LoadHardware(socketsHardware)
	if err := errors.Join(err, sErr); err != nil {
		return err
	}
	o := reproduce.Options{Seed: f.seed, Scale: f.scale, Hardware: h.Hardware, HardwareName: h.Name, Sockets: s.Hardware.Endpoint}
	if err := o.Validate(); err != nil {
		return usage("%v", err)
	}
	if f.fit {
		apps, err := reproduce.Fit(ctx, o, func(s string) { a.say("%s", s) })
		if err != nil {
			return err
		}
		return a.print(apps, func(w io.Writer) {
			fmt.Fprintln(w, "APPLICATION\tINSTRUCTIONS\tHOT MiB\tSCAN")
			for _, p := range apps {
				fmt.Fprintf(w, "%s\t%d\t%d\t%.3f\n", p.Name, p.Instructions, p.Hot>>20, p.Scan)
			}
		})
	}
	out, err := makeOut(f.out, "reproduce")
	if err != nil {
		return err
	}
	r, err := reproduce.LegoOS(ctx, o, func(figure string) { a.say("%s", figure) })
	if err != nil {
		return err
	}
	files, err := r.Files()
	if err != nil {
		return err
	}
	if err := writeFiles(out, files); err != nil {
		return err
	}
	what := reproduced(r)
	what.files, what.figures = files, "rows.json"
	if err := a.studyPage(out, what); err != nil {
		return err
	}
	if a.output == "json" {
		return a.print(r.Rows, nil)
	}
	if err := a.print(r, func(w io.Writer) { printRows(w, r) }); err != nil {
		return err
	}
	a.say("page, table, rows and plots: %s", out)
	return nil
}

// reproduced is the page of a reproduction, but for its files.
func reproduced(r *reproduce.Result) studied {
	s := studied{title: fmt.Sprintf("The figures of the LegoOS paper on %s, memory divided by %d, seed %d", r.Hardware, r.Scale, r.Seed), limits: reproduce.NotModelled}
	reached := 0
	for _, t := range r.Targets {
		if t.Reached {
			reached++
		}
	}
	s.sentences = append(s.sentences, fmt.Sprintf("%d of %d targets are reached.", reached, len(r.Targets)))
	for _, t := range r.Targets {
		if !t.Reached {
			s.sentences = append(s.sentences, fmt.Sprintf("Not reached: %s, %s: %.4g, wanted %.4g. %s", t.Figure, t.What, t.Got, t.Wanted, t.Reason))
		}
	}
	targets, _ := textTable(func(w io.Writer) { printTargets(w, r) })
	targets.Caption = "Targets"
	rows, _ := textTable(func(w io.Writer) { printCases(w, r) })
	rows.Caption = "Published values and ours"
	s.tables = []page.Table{targets, rows}
	return s
}

func printCases(w io.Writer, r *reproduce.Result) {
	fmt.Fprintln(w, "FIGURE\tCASE\tPUBLISHED\tOURS\tERROR\t")
	for i := range r.Rows {
		x := &r.Rows[i]
		fmt.Fprintf(w, "%s\t%s\t%.4g %s\t%.4g\t%+.1f %%\t%s\n", x.Figure, x.Case, x.Published, x.Unit, x.Ours, 100*x.Error, x.Kind)
	}
}

func printTargets(w io.Writer, r *reproduce.Result) {
	fmt.Fprintln(w, "TARGET\t\tWANTED\tGOT\t\t")
	for _, t := range r.Targets {
		sign, reached := "≤", "reached"
		if t.AtLeast {
			sign = "≥"
		}
		if !t.Reached {
			reached = "NOT REACHED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s %.4g\t%.4g\t%s\t\n", t.Figure, t.What, sign, t.Wanted, t.Got, reached)
	}
}

func printRows(w io.Writer, r *reproduce.Result) {
	printCases(w, r)
	fmt.Fprintln(w)
	printTargets(w, r)
	fmt.Fprintln(w, "\nNot reached, or not modelled:")
	said := map[string]bool{}
	for _, t := range r.Targets {
		if !t.Reached && !said[t.Reason] {
			said[t.Reason] = true
			fmt.Fprintf(w, "- %s: %s\n", t.Figure, t.Reason)
		}
	}
	for _, l := range reproduce.NotModelled {
		fmt.Fprintf(w, "- %s\n", l)
	}
}
