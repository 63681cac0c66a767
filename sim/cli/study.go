package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"splitkernel/sim/cluster"
	"splitkernel/sim/study"
	"splitkernel/sim/tasks"
)

func (a *app) studyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "study", Short: "Answer questions of a data centre: packing, failures, costs, locality"}
	cmd.AddCommand(a.studyInfoCommand(), a.studyPackingCommand(), a.studyMTTFCommand(), a.studyCostCommand(), a.studyLocalityCommand(), a.studyFormatsCommand())
	return cmd
}

// clusterFlags are how a cluster trace is read.
type clusterFlags struct {
	format  string
	skipBad uint64
}

func (f *clusterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.format, "format", "", "format of the files, with settings as name:key=value,… (default: recognised): "+study.Formats())
	cmd.Flags().Uint64Var(&f.skipBad, "skip-bad", 0, "leave out and count so many records that are not of the format")
}

// spec is the text of --format with --skip-bad.
func (f *clusterFlags) spec() (string, error) {
	text := f.format
	if f.skipBad > 0 {
		sep := ","
		if text == "" {
			text = "auto"
		}
		if !strings.Contains(text, ":") {
			sep = ":"
		}
		text += fmt.Sprintf("%sskip-bad=%d", sep, f.skipBad)
	}
	if _, err := cluster.ParseSpec(text); err != nil {
		return "", usage("--format: %w", err)
	}
	return text, nil
}

// watchStop gives what long work asks whether to go on; it shows on a meter.
func watchStop(ctx context.Context, m *meter) func(done uint64) bool {
	return func(done uint64) bool {
		m.set(done, 0)
		return ctx.Err() == nil
	}
}

// partial is the error that a command ends with whose result is partial.
func partial(ctx context.Context) error {
	return fmt.Errorf("%w: what was printed is partial", context.Cause(ctx))
}

// clusterInfo is what `study info` prints; the JSON keys are for programs and stay.
type clusterInfo struct {
	Trace          []string    `json:"trace"`
	Formats        []string    `json:"formats"`
	Unverified     []string    `json:"layout_unverified"`
	Partial        bool        `json:"partial"`
	Events         uint64      `json:"events"`
	Machines       int         `json:"machines"`
	MachineCores   float64     `json:"machine_cores"`
	MachineMemory  float64     `json:"machine_memory"`
	MachineGPUs    float64     `json:"machine_gpus"`
	Tasks          uint64      `json:"tasks"`
	Ended          uint64      `json:"tasks_with_an_end"`
	Uses           uint64      `json:"usage_records"`
	MachineUse     *machineUse `json:"machine_use,omitempty"`
	TaskUse        *taskUse    `json:"task_use,omitempty"`
	Span           float64     `json:"span_seconds"`
	MeanCores      float64     `json:"mean_cores"`
	MeanMemory     float64     `json:"mean_memory"`
	LargestCores   float64     `json:"largest_cores"`
	LargestMemory  float64     `json:"largest_memory"`
	CoreHours      float64     `json:"core_hours"`
	MemoryHours    float64     `json:"memory_hours"`
	GPUHours       float64     `json:"gpu_hours"`
	FractionCores  bool        `json:"cores_are_fractions"`
	FractionMemory bool        `json:"memory_is_fraction"`
	Assumed        []string    `json:"assumed"`
	BadRecords     uint64      `json:"bad_records"`
	FirstBad       string      `json:"first_bad,omitempty"`
	units          tasks.Units // for printing
}

// machineUse is what was used of the machines of a trace: shares of what one of them has, each of which counts the same.
type machineUse struct {
	Machines   int     `json:"machines"`
	Readings   uint64  `json:"readings"`
	MeanCores  float64 `json:"mean_processors"`
	MeanMemory float64 `json:"mean_memory"`
	PeakCores  float64 `json:"peak_processors"`
	PeakMemory float64 `json:"peak_memory"`
	PeakOver   float64 `json:"peak_over_seconds"`
}

// taskUse is what all tasks of a trace used together.
type taskUse struct {
	Readings    uint64  `json:"readings"`
	MeanCores   float64 `json:"mean_cores"`
	MeanMemory  float64 `json:"mean_memory"`
	PeakCores   float64 `json:"peak_cores"`
	PeakMemory  float64 `json:"peak_memory"`
	PeakOver    float64 `json:"peak_over_seconds"`
	CoreHours   float64 `json:"core_hours"`
	MemoryHours float64 `json:"memory_hours"`
}

func (a *app) studyInfoCommand() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use:   "info TRACE…",
		Short: "Count what is in the trace of a cluster: machines, tasks, what they ask for and use, what was assumed",
		Long: `info reads the files and folders given as one trace of a cluster and counts what is in it. TRACE may be ` + "`generator:cluster?tasks=…`" + `.
Memory is in bytes, or where the trace counts in fractions of a machine in billionths of that. What was used of machines is in shares of what one has.`,
		Args: cobra.MinimumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error { return a.studyInfo(cmd.Context(), &f, args) }),
	}
	f.add(cmd)
	return cmd
}

func (a *app) studyInfo(ctx context.Context, f *clusterFlags, paths []string) error {
	spec, err := f.spec()
	if err != nil {
		return err
	}
	src, err := cluster.Open(paths, spec)
	if err != nil {
		return err
	}
	defer src.Close()
	m := a.newMeter("reading", "events", 0)
	i, cut, err := cluster.Count(src, watchStop(ctx, m))
	m.end()
	if err != nil {
		return err
	}
	out := newClusterInfo(paths, i)
	out.Partial = cut
	if err := a.print(out, func(w io.Writer) { out.table(w) }); err != nil {
		return err
	}
	if cut {
		return partial(ctx)
	}
	return nil
}

func newClusterInfo(paths []string, i cluster.Info) clusterInfo {
	h := i.Header
	out := clusterInfo{
		Trace: paths, Formats: h.Formats, Unverified: append([]string{}, h.Unverified...), Events: i.Events, Machines: i.Machines,
		MachineCores: float64(i.MachineSum.Cores) / tasks.One, MachineMemory: float64(i.MachineSum.Memory), MachineGPUs: float64(i.MachineSum.GPUs) / tasks.One,
		Tasks: i.Tasks, Ended: i.Ended, Uses: i.Uses, Span: i.Span, MeanCores: i.MeanCores, MeanMemory: i.MeanMemory,
		LargestCores: float64(i.Largest.Cores) / tasks.One, LargestMemory: float64(i.Largest.Memory), CoreHours: i.CoreHours, MemoryHours: i.MemoryHours, GPUHours: i.GPUHours,
		FractionCores: h.Units.CoresAreFractions, FractionMemory: h.Units.MemoryIsFraction,
		Assumed: append([]string{}, h.Assumed...), BadRecords: h.Bad, FirstBad: h.FirstBad, units: h.Units,
	}
	if u := i.MachineUse; u.Readings > 0 {
		out.MachineUse = &machineUse{i.UsedMachines, u.Readings, u.Mean.Cores, u.Mean.Memory, u.Peak.Cores, u.Peak.Memory, u.Over.Seconds()}
	}
	if u := i.TaskUse; u.Readings > 0 {
		out.TaskUse = &taskUse{u.Readings, u.Mean.Cores, u.Mean.Memory, u.Peak.Cores, u.Peak.Memory, u.Over.Seconds(), u.Hours.Cores, u.Hours.Memory}
	}
	return out
}

// atMost says over which time a peak is an average.
func atMost(seconds float64) string {
	if seconds == 0 {
		return "at most"
	}
	return fmt.Sprintf("at most (over %g min)", seconds/60)
}

func (i clusterInfo) table(w io.Writer) {
	row := func(key, format string, args ...any) { fmt.Fprintf(w, key+"\t"+format+"\n", args...) }
	u := i.units
	row("trace", "%s", strings.Join(i.Trace, " "))
	row("format", "%s", strings.Join(i.Formats, ", "))
	for _, f := range i.Unverified {
		row("layout unverified", "%s: no real sample was at hand", f)
	}
	if i.Partial {
		row("partial", "stopped after %d events", i.Events)
	}
	row("events", "%d in %.1f days", i.Events, i.Span/86_400)
	if i.Machines > 0 || i.Uses == 0 {
		row("machines", "%d: %s, %s, %.4g GPUs", i.Machines, study.Cores(u, i.MachineCores), study.Amount(u, i.MachineMemory), i.MachineGPUs)
	}
	if i.Tasks > 0 || i.Uses == 0 {
		row("tasks", "%d, of which %d end", i.Tasks, i.Ended)
		row("a task asks for", "%s and %s on average, at most %s and %s", study.Cores(u, i.MeanCores), study.Amount(u, i.MeanMemory), study.Cores(u, i.LargestCores), study.Amount(u, i.LargestMemory))
		row("in all", "%s × hours, %s × hours, %.4g GPUs × hours", study.Cores(u, i.CoreHours), study.Amount(u, i.MemoryHours), i.GPUHours)
	}
	row("usage records", "%d", i.Uses)
	if m := i.MachineUse; m != nil {
		row("used of a machine", "%.1f %% of processors and %.1f %% of memory on average, %s %.1f %% and %.1f %%; %d machines", 100*m.MeanCores, 100*m.MeanMemory, atMost(m.PeakOver), 100*m.PeakCores, 100*m.PeakMemory, m.Machines)
	}
	if t := i.TaskUse; t != nil && t.PeakMemory > 0 {
		row("all tasks use", "%s and %s on average, %s %s and %s", study.Cores(u, t.MeanCores), study.Amount(u, t.MeanMemory), atMost(t.PeakOver), study.Cores(u, t.PeakCores), study.Amount(u, t.PeakMemory))
		row("used in all", "%s × hours, %s × hours", study.Cores(u, t.CoreHours), study.Amount(u, t.MemoryHours))
	} else if t != nil {
		row("all tasks use", "%s on average, %s %s; of memory it is not told", study.Cores(u, t.MeanCores), atMost(t.PeakOver), study.Cores(u, t.PeakCores))
		row("used in all", "%s × hours", study.Cores(u, t.CoreHours))
	}
	if i.BadRecords > 0 {
		row("bad records", "%d left out, the first: %s", i.BadRecords, i.FirstBad)
	}
	for _, s := range i.Assumed {
		row("assumed", "%s", s)
	}
}

func (a *app) studyFormatsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "formats",
		Short: "List the formats of cluster traces, with an example line, the keys of each, and what it was checked against",
		Args:  cobra.NoArgs,
		RunE: runs(func(*cobra.Command, []string) error {
			list := cluster.FormatInfos()
			return a.print(list, func(w io.Writer) {
				for _, f := range list {
					checked := "checked: " + f.Sample
					if f.Sample == "" {
						checked = "layout unverified"
					}
					fmt.Fprintf(w, "%s\t%s\t%s\n\t\t%s\n", f.Name, f.About, checked, f.Example)
					for _, k := range f.Keys {
						fmt.Fprintf(w, "\t\t%s: %s\n", k.Name, k.About)
					}
				}
			})
		}),
	}
}

// writeFiles writes files of text into a folder, which is made.
func writeFiles(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the folder of the result: %w", err)
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var errs []error
	for _, name := range names {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), []byte(files[name]), 0o644))
	}
	return errors.Join(errs...)
}
