package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"splitkernel/sim/cluster"
	"splitkernel/sim/report/page"
	"splitkernel/sim/study"
	"splitkernel/sim/study/packing"
	"splitkernel/sim/tasks"
)

// packingFlags are the flags of `study packing`.
type packingFlags struct {
	cluster                 clusterFlags
	policy                  string
	server, p, m            string
	servers, ps, ms, gs     int
	gpus                    float64
	own, noPools, noServers bool
	excache, full           float64
	exclusive, whole        bool
	region                  string
	queue                   int
	static, need            bool
	power, out              string
}

func (a *app) studyPackingCommand() *cobra.Command {
	var f packingFlags
	cmd := &cobra.Command{
		Use:   "packing TRACE…",
		Short: "Place the tasks of a cluster over time on servers and on disaggregated pools, and compare",
		Long: `packing places the tasks of a trace (or of ` + "`generator:cluster?…`" + `) as they come and go, on servers and on pools of pComponents and mComponents, by the
same policy, and prints utilisation, what is stranded, how many are needed, what is rejected, and energy by a model.

By default pools are made of the servers' parts: a pComponent has the processors of a server and the ExCache's share of its memory, an mComponent
the memory of a server. As many of each as are needed are opened, unless their number is given.`,
		Args: cobra.MinimumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error { return a.studyPacking(cmd.Context(), &f, args) }),
	}
	f.cluster.add(cmd)
	fl := cmd.Flags()
	o := packing.DefaultOptions()
	fl.StringVar(&f.policy, "policy", o.Policy, "one of "+strings.Join(packing.Policies(), ", "))
	fl.StringVar(&f.server, "server", "", "cores, memory and, if GPUs are to be placed, GPUs of a server (default: 96,384GiB, or 1 where the trace counts in fractions of a machine)")
	fl.IntVar(&f.servers, "servers", 0, "number of servers; 0 is as many as needed")
	fl.BoolVar(&f.own, "own", false, "servers are the machines of the trace, as they come and go")
	fl.StringVar(&f.p, "pcomponent", "", "cores and ExCache of a pComponent (default: of a server, and --excache of its memory)")
	fl.IntVar(&f.ps, "pcomponents", 0, "number of pComponents; 0 is as many as needed")
	fl.StringVar(&f.m, "mcomponent", "", "memory of an mComponent (default: of a server)")
	fl.IntVar(&f.ms, "mcomponents", 0, "number of mComponents; 0 is as many as needed")
	fl.Float64Var(&f.gpus, "gcomponent", 0, "GPUs of a component of GPUs (default: of a server)")
	fl.IntVar(&f.gs, "gcomponents", 0, "number of components of GPUs; 0 is as many as needed")
	fl.Float64Var(&f.excache, "excache", 10, "percent of a task's memory that it has as ExCache at its pComponent")
	fl.BoolVar(&f.exclusive, "exclusive", false, "what is in the ExCache is not at mComponents too; in LegoOS it is")
	fl.StringVar(&f.region, "region", "", "memory of an mComponent is given in such pieces (default 1GiB; to the byte where the trace counts in fractions)")
	fl.BoolVar(&f.whole, "whole", false, "the memory of a task is at one mComponent")
	fl.IntVar(&f.queue, "queue", 0, "tasks that may wait for room, in the order of arrival; 0 rejects what does not fit")
	fl.Float64Var(&f.full, "full", 5, "percent of processors or memory below which a server counts as full, so that what is free of the other is stranded")
	fl.BoolVar(&f.static, "static", false, "all tasks at once, and none leaves")
	fl.BoolVar(&f.need, "need", false, "find the smallest numbers with which nothing is rejected, by bisection")
	fl.BoolVar(&f.noPools, "no-pools", false, "servers only")
	fl.BoolVar(&f.noServers, "no-servers", false, "pools only")
	fl.StringVar(&f.power, "power", "", "file with the model of power (default: the bundled example)")
	fl.StringVar(&f.out, "out", "", "folder for result.json, the curves as CSV and the plots; it is made")
	return cmd
}

// sizeOf reads "96,384GiB,8": cores, memory, GPUs.
func sizeOf(flag, text string, units tasks.Units) (s tasks.Size, err error) {
	parts := strings.Split(text, ",")
	if len(parts) < 1 || len(parts) > 3 {
		return s, usage("--%s: %q, want cores,memory or cores,memory,gpus", flag, text)
	}
	if s.Cores, err = tasks.Billionths(parts[0]); err != nil {
		return s, usage("--%s: cores: %w", flag, err)
	}
	if len(parts) > 1 {
		if s.Memory, err = memoryOf(parts[1], units); err != nil {
			return s, usage("--%s: memory: %w", flag, err)
		}
	}
	if len(parts) > 2 {
		if s.GPUs, err = tasks.Billionths(parts[2]); err != nil {
			return s, usage("--%s: GPUs: %w", flag, err)
		}
	}
	return s, nil
}

// memoryOf reads memory as the trace counts it.
func memoryOf(text string, units tasks.Units) (int64, error) {
	if !units.MemoryIsFraction {
		return cluster.Bytes(text)
	}
	n, err := tasks.Billionths(text)
	if err != nil {
		return 0, fmt.Errorf("%w: the trace counts memory in fractions of a machine; give the same (1 is such a machine), or say with --format what 1.0 is (auto:cores=64,memory=256GiB)", err)
	}
	return n, nil
}

// serverText is the size of a server, or what it is where it is not given: a machine of the trace, where the trace counts in those.
func (f *packingFlags) serverText(units tasks.Units) string {
	if f.server != "" {
		return f.server
	}
	cores, memory := "96", "384GiB"
	if units.CoresAreFractions {
		cores = "1"
	}
	if units.MemoryIsFraction {
		memory = "1"
	}
	return cores + "," + memory
}

// layouts are the ways of placing that the flags ask for.
func (f *packingFlags) layouts(units tasks.Units) (names []string, list []packing.Layout, err error) {
	server, err := sizeOf("server", f.serverText(units), units)
	if err != nil {
		return nil, nil, err
	}
	if !f.noServers {
		l, name := packing.Layout{Server: packing.Part{Size: server, Count: f.servers}}, "servers"
		if f.own {
			l, name = packing.Layout{Own: true}, "machines of the trace"
		}
		names, list = append(names, name), append(list, l)
	}
	if f.noPools {
		return names, list, nil
	}
	share := int64(f.excache / 100 * tasks.One)
	l := packing.Layout{Pools: true, ExCache: share, Exclusive: f.exclusive, Whole: f.whole}
	l.P = packing.Part{Size: tasks.Size{Cores: server.Cores, Memory: tasks.Scaled(max(share, 0), server.Memory)}, Count: f.ps}
	if f.p != "" {
		if l.P.Size, err = sizeOf("pcomponent", f.p, units); err != nil {
			return nil, nil, err
		}
	}
	l.M = packing.Part{Size: tasks.Size{Memory: server.Memory}, Count: f.ms}
	if f.m != "" {
		if l.M.Size.Memory, err = memoryOf(f.m, units); err != nil {
			return nil, nil, usage("--mcomponent: %w", err)
		}
	}
	l.G = packing.Part{Size: tasks.Size{GPUs: server.GPUs}, Count: f.gs}
	if f.gpus != 0 {
		if l.G.Size.GPUs, err = tasks.Billionths(strconv.FormatFloat(f.gpus, 'f', -1, 64)); err != nil {
			return nil, nil, usage("--gcomponent: %w", err)
		}
	}
	switch {
	case f.region != "":
		if l.Region, err = memoryOf(f.region, units); err != nil {
			return nil, nil, usage("--region: %w", err)
		}
	case !units.MemoryIsFraction:
		l.Region = 1 << 30
	}
	return append(names, "pools"), append(list, l), nil
}

func (a *app) studyPacking(ctx context.Context, f *packingFlags, paths []string) error {
	spec, err := f.cluster.spec()
	if err != nil {
		return err
	}
	if f.noPools && f.noServers {
		return usage("--no-pools and --no-servers leave nothing to place on")
	}
	if f.own && f.need {
		return usage("--need: the number of the trace's own machines is given, want --server")
	}
	power, err := study.Power(f.power)
	if err != nil {
		return usage("--power: %w", err)
	}
	open := func() (*cluster.Source, error) { return cluster.Open(paths, spec) }
	src, err := open() // what it counts in is known before it is read
	if err != nil {
		return err
	}
	units := src.Units()
	src.Close()
	names, layouts, err := f.layouts(units)
	if err != nil {
		return err
	}
	out := study.Packing{Trace: paths, Policy: f.policy}
	for i, l := range layouts {
		o := packing.Options{Policy: f.policy, Layout: l, Queue: f.queue, Full: int64(f.full / 100 * tasks.One), Static: f.static}
		if err := o.Validate(); err != nil {
			return usage("%s: %w", names[i], err)
		}
		placed := study.Placed{Name: names[i], Layout: study.NewLayout(l, units)}
		if err := a.place(ctx, f, open, o, &placed, &out); err != nil {
			return err
		}
		if placed.Result.Tasks == 0 && !placed.Result.Partial {
			return fmt.Errorf("%s: no task in it to place (%s), expected a table of tasks; study info says what is in it", strings.Join(paths, ", "), strings.Join(out.Formats, ", "))
		}
		if !l.Own {
			e := power.Energy(placed.Result, l)
			placed.Energy = &e
			if placed.Result.Span > 0 {
				placed.KWhYear = e.Total / placed.Result.Span * 365.25 * 86_400
			}
		}
		out.Placed = append(out.Placed, placed)
		if out.Partial = out.Partial || placed.Result.Partial; out.Partial {
			break
		}
	}
	if f.out != "" {
		files, err := packingFiles(out)
		if err != nil {
			return err
		}
		title := "Tasks of " + strings.Join(paths, ", ") + " placed on " + strings.Join(names[:len(out.Placed)], " and ")
		t, notes := textTable(func(w io.Writer) { packingTable(w, out, units) })
		if err := a.writeStudy(f.out, withoutCurves(out), studied{
			title: title, sentences: append(placedSentences(out), notes...), partial: out.Partial, tables: []page.Table{t}, files: files,
			limits: []string{"Energy and all times are modelled: the tasks of the trace are placed anew, by the models of power that the command names or the bundled examples."},
		}); err != nil {
			return err
		}
	}
	if err := a.print(withoutCurves(out), func(w io.Writer) { packingTable(w, out, units) }); err != nil {
		return err
	}
	if out.Partial {
		return partial(ctx)
	}
	return nil
}

// place does one way.
func (a *app) place(ctx context.Context, f *packingFlags, open func() (*cluster.Source, error), o packing.Options, placed *study.Placed, out *study.Packing) (err error) {
	m := a.newMeter("placing on "+placed.Name, "events", 0)
	defer m.end()
	watch := watchStop(ctx, m)
	var last *cluster.Source
	begin := func() (tasks.Source, error) {
		if last != nil {
			last.Close()
		}
		last, err = open()
		return last, err
	}
	defer func() {
		if last != nil {
			h := last.Header()
			out.Formats, out.Assumed = h.Formats, h.Assumed
			last.Close()
		}
	}()
	if f.need {
		placed.Needed, placed.Result, err = packing.Need(begin, o, watch)
		return err
	}
	src, err := begin()
	if err != nil {
		return err
	}
	placed.Result, err = packing.Run(src, o, watch)
	return err
}

// placedSentences say what became of the tasks.
func placedSentences(p study.Packing) (out []string) {
	for _, s := range p.Placed {
		out = append(out, fmt.Sprintf("On %s %d of %d tasks found their place, by the policy %s; %d were rejected.", s.Name, s.Result.Placed, s.Result.Tasks, p.Policy, s.Result.Rejected.Tasks))
	}
	return out
}

// withoutCurves is the result without its curves, which are files.
func withoutCurves(p study.Packing) study.Packing {
	p.Placed = append([]study.Placed{}, p.Placed...)
	for i := range p.Placed {
		r := *p.Placed[i].Result
		r.Curve = nil
		p.Placed[i].Result = &r
	}
	return p
}

func packingFiles(p study.Packing) (map[string]string, error) {
	files, err := study.PackingPlots(p)
	if err != nil {
		return nil, err
	}
	for _, placed := range p.Placed {
		files[strings.ReplaceAll(placed.Name, " ", "-")+".csv"] = study.CurveCSV(placed.Result)
	}
	return files, nil
}

// packingTable has a column for each way.
func packingTable(w io.Writer, p study.Packing, units tasks.Units) {
	row := func(name string, cell func(study.Placed) string) {
		fmt.Fprint(w, name)
		for _, placed := range p.Placed {
			fmt.Fprintf(w, "\t%s", cell(placed))
		}
		fmt.Fprintln(w)
	}
	percent := func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }
	if p.Partial {
		fmt.Fprintln(w, "partial: stopped before the end of the trace")
	}
	row(p.Policy, func(s study.Placed) string { return s.Name })
	row("tasks placed", func(s study.Placed) string { return fmt.Sprintf("%d of %d", s.Result.Placed, s.Result.Tasks) })
	row("rejected (of them too large)", func(s study.Placed) string {
		return fmt.Sprintf("%d (%d)", s.Result.Rejected.Tasks, s.Result.Rejected.TooLarge)
	})
	row("rejected work", func(s study.Placed) string {
		return fmt.Sprintf("%s × h", study.Cores(units, s.Result.Rejected.CoreHours))
	})
	row("waited (mean, longest)", func(s study.Placed) string {
		v := s.Result.Waited
		return fmt.Sprintf("%d (%.0f s, %.0f s), %d left", v.Tasks, v.MeanSeconds, v.LongestSeconds, v.Left)
	})
	row("there", func(s study.Placed) string { return counts(s.Result) })
	row("with a task, mean (most)", func(s study.Placed) string {
		r := s.Result
		text := fmt.Sprintf("%.1f (%d)", r.Hosts.MeanActive, r.Hosts.PeakActive)
		if r.MemoryHost.There > 0 {
			text += fmt.Sprintf(" P, %.1f (%d) M", r.MemoryHost.MeanActive, r.MemoryHost.PeakActive)
		}
		if r.GPUHosts.There > 0 {
			text += fmt.Sprintf(", %.1f (%d) G", r.GPUHosts.MeanActive, r.GPUHosts.PeakActive)
		}
		return text
	})
	for _, n := range []int{0, 1, 2} {
		if len(p.Placed) == 0 || len(p.Placed[len(p.Placed)-1].Needed) <= n && len(p.Placed[0].Needed) <= n {
			break
		}
		row("needed: bound, opened, least", func(s study.Placed) string {
			if n >= len(s.Needed) {
				return ""
			}
			return fmt.Sprintf("%d, %d, %d %ss", s.Needed[n].Bound, s.Needed[n].Opened, s.Needed[n].Least, s.Needed[n].Kind)
		})
	}
	for _, q := range []struct {
		name string
		of   func(*packing.Result) packing.Shares
	}{{"utilisation", func(r *packing.Result) packing.Shares { return r.Utilisation }}, {"peak utilisation", func(r *packing.Result) packing.Shares { return r.Peak }}, {"stranded", func(r *packing.Result) packing.Shares { return r.Stranded }}} {
		row(q.name+" of processors", func(s study.Placed) string { return percent(q.of(s.Result).Cores) })
		row(q.name+" of memory", func(s study.Placed) string { return percent(q.of(s.Result).Memory) })
	}
	if len(p.Placed) > 0 && p.Placed[0].Result.Utilisation.GPUs > 0 {
		row("utilisation of GPUs", func(s study.Placed) string { return percent(s.Result.Utilisation.GPUs) })
	}
	if len(p.Placed) > 0 && p.Placed[0].Result.UsageKnown {
		row("used of processors", func(s study.Placed) string { return percent(s.Result.Used.Cores) })
		if p.Placed[0].Result.Used.Memory > 0 {
			row("used of memory", func(s study.Placed) string { return percent(s.Result.Used.Memory) })
		}
	}
	row("memory beside what is asked for", func(s study.Placed) string { return percent(s.Result.Overhead) })
	row("energy (modelled)", func(s study.Placed) string {
		if s.Energy == nil {
			return "-"
		}
		return fmt.Sprintf("%.4g kWh, %.4g Wh a core hour", s.Energy.Total, s.Energy.PerCoreHour)
	})
	if len(p.Placed) > 0 {
		fmt.Fprintf(w, "time\t%.1f days\n", p.Placed[0].Result.Span/86_400)
	}
	for _, s := range p.Assumed {
		fmt.Fprintf(w, "assumed\t%s\n", s)
	}
}

// counts is how many there are.
func counts(r *packing.Result) string {
	if r.MemoryHost.There == 0 {
		return fmt.Sprint(r.Hosts.There)
	}
	text := fmt.Sprintf("%d P, %d M", r.Hosts.There, r.MemoryHost.There)
	if r.GPUHosts.There > 0 {
		text += fmt.Sprintf(", %d G", r.GPUHosts.There)
	}
	return text
}
