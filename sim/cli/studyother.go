package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"splitkernel/sim/report/page"
	"splitkernel/sim/study"
	"splitkernel/sim/study/cost"
	"splitkernel/sim/study/locality"
	"splitkernel/sim/study/mttf"
	"splitkernel/sim/trace"
)

// mttfRow is what `study mttf` prints of a design.
type mttfRow struct {
	Name     string     `json:"name"`
	Analytic float64    `json:"analytic_years"`
	Ratio    float64    `json:"by_the_first"`
	Drawn    mttf.Drawn `json:"monte_carlo"`
	Agree    bool       `json:"agree"` // the formula is within the interval
}

func (a *app) studyMTTFCommand() *cobra.Command {
	var devices, out string
	var trials, seed uint64
	cmd := &cobra.Command{
		Use:   "mttf",
		Short: "Mean time to failure of designs made of devices, by formula and by chance (default: the LegoOS paper's)",
		Long: `mttf prints the mean time to failure of designs, each a list of groups of devices of which so many are needed, by formula and by drawing
when devices fail. Devices fail independently at constant rates and are not repaired. Years are by server: a design that does two servers' work fails twice as often.`,
		Args: cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			if trials < 2 || trials > mttf.MaxTrials {
				return usage("--trials: %d, want 2 to %d", trials, uint64(mttf.MaxTrials))
			}
			designs, err := study.Designs(devices)
			if err != nil {
				return usage("--devices: %w", err)
			}
			return a.studyMTTF(cmd.Context(), designs, trials, seed, out)
		}),
	}
	cmd.Flags().StringVar(&devices, "devices", "", "file of designs (default: those of the LegoOS paper); docs/studies.md has an example")
	cmd.Flags().Uint64Var(&trials, "trials", 200_000, "how often it is drawn when a design fails")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "seed of chance")
	cmd.Flags().StringVar(&out, "out", "", "folder for report.html, result.json and mttf.svg; it is made")
	return cmd
}

func (a *app) studyMTTF(ctx context.Context, designs []mttf.Design, trials, seed uint64, out string) error {
	m := a.newMeter("drawing failures", "trials", trials*uint64(len(designs)))
	var rows []mttfRow
	for i, d := range designs {
		r := mttfRow{Name: d.Name, Analytic: mttf.Analytic(d)}
		r.Drawn = mttf.MonteCarlo(d, trials, seed+uint64(i), func(done uint64) bool {
			m.set(uint64(i)*trials+done, trials*uint64(len(designs)))
			return ctx.Err() == nil
		})
		r.Agree = math.Abs(r.Drawn.Mean-r.Analytic) <= r.Drawn.Half
		rows = append(rows, r)
		rows[i].Ratio = r.Analytic / rows[0].Analytic
		if ctx.Err() != nil {
			break
		}
	}
	m.end()
	table := func(w io.Writer) {
		fmt.Fprintln(w, "design\tyears by formula\tby the first\tdrawn, 99 % interval\tagree\ttrials\tseed")
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%.4g\t%.3f\t%.4g ± %.2g\t%v\t%d\t%d\n", r.Name, r.Analytic, r.Ratio, r.Drawn.Mean, r.Drawn.Half, r.Agree, r.Drawn.Trials, r.Drawn.Seed)
		}
	}
	if out != "" {
		if err := a.writeMTTF(out, rows, table, ctx.Err() != nil); err != nil {
			return err
		}
	}
	if err := a.print(rows, table); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return partial(ctx)
	}
	return nil
}

// writeMTTF writes the folder of `study mttf`.
func (a *app) writeMTTF(dir string, rows []mttfRow, table func(io.Writer), partial bool) error {
	names := make([]string, len(rows))
	formula, drawn := make([]float64, len(rows)), make([]mttf.Drawn, len(rows))
	var sentences []string
	for i, r := range rows {
		names[i], formula[i], drawn[i] = r.Name, r.Analytic, r.Drawn
		switch {
		case i == 0:
			sentences = append(sentences, fmt.Sprintf("%s fails every %.4g years on average.", r.Name, r.Analytic))
		default:
			sentences = append(sentences, fmt.Sprintf("%s fails every %.4g years on average: %.3f times as long as %s.", r.Name, r.Analytic, r.Ratio, rows[0].Name))
		}
		if !r.Agree {
			sentences = append(sentences, fmt.Sprintf("%s: the formula is not within the interval of what was drawn, %.4g ± %.2g years; of a hundred right ones one is not.", r.Name, r.Drawn.Mean, r.Drawn.Half))
		}
	}
	svg, err := study.MTTFPlot(names, formula, drawn)
	if err != nil {
		return err
	}
	t, notes := textTable(table)
	return a.writeStudy(dir, rows, studied{
		title: fmt.Sprintf("Mean time to failure of %d designs", len(rows)), sentences: append(sentences, notes...), partial: partial, tables: []page.Table{t},
		files: map[string]string{"mttf.svg": svg}, limits: []string{"Modelled: devices fail independently of each other at constant rates, and nothing is repaired."},
	})
}

func (a *app) studyCostCommand() *cobra.Command {
	var from, prices, out string
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "What the parts of a disaggregated data centre may cost to break even with servers, for a packing",
		Long: `cost takes the numbers of servers and of components from a result of ` + "`study packing --out DIR`" + ` (with --need the smallest), prices both and prints, for each thing of the pools, the
price at which both cost the same with all other prices as they are. The bundled prices are an example.`,
		Args: cobra.NoArgs,
		RunE: runs(func(*cobra.Command, []string) error { return a.studyCost(from, prices, out) }),
	}
	cmd.Flags().StringVar(&from, "packing", "", "result.json of `study packing --out DIR`")
	cmd.Flags().StringVar(&prices, "prices", "", "file of prices (default: the bundled example); docs/studies.md has an example")
	cmd.Flags().StringVar(&out, "out", "", "folder for report.html, result.json and cost.svg; it is made")
	return cmd
}

func (a *app) studyCost(from, pricesFile, out string) error {
	if from == "" {
		return usage("--packing is missing, want the result.json of `study packing --out DIR`")
	}
	prices, err := study.Prices(pricesFile)
	if err != nil {
		return usage("--prices: %w", err)
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return usage("--packing: %w", err)
	}
	var p study.Packing
	if err := json.Unmarshal(text, &p); err != nil {
		return usage("--packing: %s: %w, want the result.json of `study packing`", from, err)
	}
	servers, pools, err := study.Builds(p)
	if err != nil {
		return usage("--packing: %s: %w", from, err)
	}
	r := cost.Compare(prices, servers, pools)
	if out != "" {
		if err := a.writeCost(out, from, r); err != nil {
			return err
		}
	}
	return a.print(r, func(w io.Writer) {
		billTable(w, "servers", r.Currency, r.Servers)
		billTable(w, "pools", r.Currency, r.Pools)
		fmt.Fprintf(w, "pools by servers\t\t\t%.3f\n", r.Ratio)
		evenTable(w, r)
	})
}

func billTable(w io.Writer, name, currency string, b cost.Bill) {
	fmt.Fprintf(w, "%s\tnumber\tprice\tcost (%s)\n", name, currency)
	for _, i := range b.Items {
		fmt.Fprintf(w, "  %s\t%.6g\t%.4g\t%.0f\n", i.Name, i.Count, i.Price, i.Cost)
	}
	fmt.Fprintf(w, "  in all\t\t\t%.0f\n", b.Total)
}

func evenTable(w io.Writer, r cost.Result) {
	fmt.Fprintln(w, "break-even for the pools\tprice\tbreak-even")
	for _, e := range r.Even {
		even := fmt.Sprintf("%.4g", e.Even)
		if e.Never {
			even = "none: not even for nothing"
		}
		fmt.Fprintf(w, "  %s\t%.4g\t%s\n", e.Name, e.Price, even)
	}
}

// writeCost writes the folder of `study cost`.
func (a *app) writeCost(dir, from string, r cost.Result) error {
	svg, err := study.CostPlot(r)
	if err != nil {
		return err
	}
	var tables []page.Table
	for _, print := range []func(io.Writer){
		func(w io.Writer) { billTable(w, "servers", r.Currency, r.Servers) },
		func(w io.Writer) { billTable(w, "pools", r.Currency, r.Pools) },
		func(w io.Writer) { evenTable(w, r) },
	} {
		t, _ := textTable(print)
		tables = append(tables, t)
	}
	sentences := []string{fmt.Sprintf("The pools cost %.0f %s, the servers %.0f: %.3f times as much.", r.Pools.Total, r.Currency, r.Servers.Total, r.Ratio)}
	for _, e := range r.Even {
		switch {
		case e.Never:
			sentences = append(sentences, fmt.Sprintf("%s: no price is low enough for the pools to cost as little as the servers.", e.Name))
		default:
			sentences = append(sentences, fmt.Sprintf("%s: at %.4g each (the price is %.4g) both cost the same.", e.Name, e.Even, e.Price))
		}
	}
	return a.writeStudy(dir, r, studied{
		title: "What servers and pools of " + from + " cost", sentences: sentences, tables: tables, files: map[string]string{"cost.svg": svg},
		limits: []string{"Prices are linear, those of the file that the command names or the bundled example, which is nobody's offer; space, cooling, people and spares are not counted."},
	})
}

// localityRow is what `study locality` prints of a trace.
type localityRow struct {
	Trace   string `json:"trace"`
	Partial bool   `json:"partial"`
	locality.Result
}

func (a *app) studyLocalityCommand() *cobra.Command {
	var in traceInput
	var out string
	cmd := &cobra.Command{
		Use:   "locality TRACE…",
		Short: "How much of the accesses of traces go to how small a part of their pages (LegoOS §4.2)",
		Long: `locality counts the accesses of each 4 KiB page of a trace, or of each 4 KiB block of the requests of a block trace, and prints the share of all accesses that
the pages accessed most have. Several traces make one plot.`,
		Args: cobra.MinimumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if err := in.check(); err != nil {
				return err
			}
			return a.studyLocality(cmd.Context(), args, &in, out)
		}),
	}
	in.flags(cmd, "TRACE")
	cmd.Flags().StringVar(&out, "out", "", "folder for locality.svg and result.json; it is made")
	return cmd
}

func (a *app) studyLocality(ctx context.Context, paths []string, in *traceInput, out string) error {
	var rows []localityRow
	var results []locality.Result
	for _, path := range paths {
		r, err := a.countPages(ctx, path, in)
		stop, err := stopped(ctx, err)
		if err != nil {
			return err
		}
		rows = append(rows, localityRow{Trace: path, Partial: stop != nil, Result: r})
		results = append(results, r)
		if stop != nil {
			break
		}
	}
	table := func(w io.Writer) {
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%d accesses\t%d pages\n", r.Trace, r.Total, r.Pages)
			if r.Partial {
				fmt.Fprintln(w, "partial: stopped before the end of the trace")
			}
			for _, p := range r.Needed {
				fmt.Fprintf(w, "  %.1f %% of the accesses\tare to %.3f %% of the pages\t(%d)\n", 100*p.Accesses, 100*p.Pages, p.Count)
			}
		}
	}
	if out != "" {
		svg, err := study.LocalityPlot(paths[:len(results)], results)
		if err != nil {
			return err
		}
		var sentences []string
		for _, r := range rows {
			for _, p := range r.Needed {
				sentences = append(sentences, fmt.Sprintf("%.1f %% of the %d accesses of %s are to %.1f %% of its %d pages.", 100*p.Accesses, r.Total, r.Trace, 100*p.Pages, r.Pages))
			}
		}
		t, notes := textTable(func(w io.Writer) {
			fmt.Fprintln(w, "trace or share\tof accesses\tpages")
			table(w)
		})
		if err := a.writeStudy(out, rows, studied{
			title: "Locality of " + strings.Join(paths[:len(results)], ", "), sentences: append(sentences, notes...), partial: ctx.Err() != nil, tables: []page.Table{t},
			files:  map[string]string{"locality.svg": svg},
			limits: []string{"Accesses are those that the traces have: a thinned or sampled trace has fewer than its program made."},
		}); err != nil {
			return err
		}
	}
	if err := a.print(rows, table); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return partial(ctx)
	}
	return nil
}

// countPages reads a trace.
func (a *app) countPages(ctx context.Context, path string, in *traceInput) (locality.Result, error) {
	c := locality.New()
	src, err := trace.OpenRecords(path, in.spec)
	if err != nil {
		return c.Result(), err
	}
	defer src.Close()
	stoppable := trace.Stoppable(ctx, src)
	m := a.newMeter("reading "+path, "records", 0)
	defer m.end()
	done := uint64(0)
	for {
		b, err := stoppable.Next()
		if err == io.EOF {
			return c.Result(), nil
		}
		if err != nil {
			return c.Result(), err
		}
		if err := study.CountPages(c, b); err != nil {
			return c.Result(), fmt.Errorf("%s: %w", path, err)
		}
		done += uint64(len(b.Refs) + len(b.Events))
		m.set(done, trace.RecordsOf(done, src))
	}
}
