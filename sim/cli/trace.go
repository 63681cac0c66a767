package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/sim/trace"
)

func (a *app) traceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "trace", Short: "Look at, record or convert traces"}
	cmd.AddCommand(a.traceInfoCommand(), a.traceFormatsCommand(), a.traceCaptureCommand(), a.traceConvertCommand(), a.traceGeneratorsCommand())
	cmd.AddCommand(a.traceHeadCommand(), a.traceSliceCommand(), a.traceFilterCommand(), a.traceMergeCommand(), a.traceSampleCommand(), a.tracePrefetchCommand())
	return cmd
}

// traceFile is what `trace info` prints of one trace; the JSON keys are for programs and stay.
type traceFile struct {
	Path            string        `json:"path"`
	SHA256          string        `json:"sha256"`
	Program         string        `json:"program"`
	Args            []string      `json:"args"`
	Source          string        `json:"source"`
	Granularity     int           `json:"granularity_bytes"`
	Refs            uint64        `json:"references"`
	Reads           uint64        `json:"reads"`
	Writes          uint64        `json:"writes"`
	FootprintPages  uint64        `json:"footprint_pages"`
	WrittenPages    uint64        `json:"written_pages"`
	Threads         int           `json:"threads"`
	ThreadSwitches  uint64        `json:"thread_switches"`
	Instructions    uint64        `json:"instructions"`
	Mmaps           uint64        `json:"mmaps"`
	Munmaps         uint64        `json:"munmaps"`
	Brks            uint64        `json:"brks"`
	MappedBytes     uint64        `json:"mapped_bytes"`
	SynthesisedMaps bool          `json:"synthesised_maps"`
	BlockReads      uint64        `json:"block_reads"`
	BlockWrites     uint64        `json:"block_writes"`
	BlockFlushes    uint64        `json:"block_flushes"`
	BlockReadBytes  uint64        `json:"block_read_bytes"`
	BlockWriteBytes uint64        `json:"block_write_bytes"`
	Volumes         []traceVolume `json:"volumes"`
	Thinning        string        `json:"thinning"`
	Assumed         []string      `json:"assumed"`
	Unverified      bool          `json:"unverified"`
	BadRecords      uint64        `json:"bad_records"`
	Partial         bool          `json:"partial,omitempty"`     // Ctrl-C stopped the reading before its end
	Written         string        `json:"written_as,omitempty"`  // of a file that was written: its format
	Lost            []string      `json:"not_written,omitempty"` // and what that format cannot say
}

type traceVolume struct {
	Name      string `json:"name"`
	SizeBytes uint64 `json:"size_bytes"`
}

// newTraceFile is countedTrace with the digest of the file.
func newTraceFile(ctx context.Context, path string, i trace.Info) (traceFile, error) {
	f := countedTrace(path, i)
	var err error
	f.SHA256, err = trace.Digest(ctx, path)
	return f, err
}

func countedTrace(path string, i trace.Info) traceFile {
	h := i.Header
	f := traceFile{
		Path: path, Program: h.Program, Args: append([]string{}, h.Args...), Source: h.Source, Granularity: h.Granularity,
		Refs: i.Refs, Reads: i.Reads, Writes: i.Writes, FootprintPages: i.FootprintPages, WrittenPages: i.WrittenPages,
		Threads: i.Threads, ThreadSwitches: i.ThreadSwitches, Instructions: i.Instructions,
		Mmaps: i.Mmaps, Munmaps: i.Munmaps, Brks: i.Brks, MappedBytes: i.MappedBytes, SynthesisedMaps: h.SynthesisedMaps,
		BlockReads: i.BlockReads, BlockWrites: i.BlockWrites, BlockFlushes: i.BlockFlushes,
		BlockReadBytes: i.BlockReadBytes, BlockWriteBytes: i.BlockWriteBytes, Volumes: []traceVolume{},
		Thinning: h.Thinning, Assumed: append([]string{}, h.DefaultsStated...), Unverified: h.Unverified, BadRecords: h.BadRecords,
	}
	for _, v := range i.Volumes {
		f.Volumes = append(f.Volumes, traceVolume(v))
	}
	return f
}

func (a *app) traceInfoCommand() *cobra.Command {
	var in traceInput
	cmd := &cobra.Command{
		Use:   "info FILE…",
		Short: "Count what is in a trace: references, reads, writes, pages, threads, instructions, maps, block operations",
		Args:  cobra.MinimumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if err := in.check(); err != nil {
				return err
			}
			var files []traceFile
			cut := false
			for _, path := range args {
				if cut = cut || cmd.Context().Err() != nil; cut {
					break
				}
				f, err := a.statTrace(cmd.Context(), path, &in)
				if err != nil {
					return err
				}
				files, cut = append(files, f), f.Partial
			}
			return errors.Join(a.printTraces(files), cutShort(cmd.Context(), cut, "printed"))
		}),
	}
	in.flags(cmd, "FILE")
	return cmd
}

func (a *app) statTrace(ctx context.Context, path string, in *traceInput) (traceFile, error) {
	src, err := in.open(path)
	if err != nil {
		return traceFile{}, err
	}
	defer src.Close()
	src, cut, end := a.metered(ctx, path, src)
	defer end()
	info, err := trace.Stat(src)
	if err != nil {
		return traceFile{}, err
	}
	if cut() {
		f := countedTrace(path, info) // the digest would be of the whole file, all of which would have to be read
		f.Partial = true
		return f, nil
	}
	return newTraceFile(ctx, path, info)
}

func (a *app) printTraces(files []traceFile) error {
	return a.print(files, func(w io.Writer) {
		for i, f := range files {
			if i > 0 {
				fmt.Fprintln(w)
			}
			traceTable(w, f)
		}
	})
}

func traceTable(w io.Writer, f traceFile) {
	row := func(key, format string, args ...any) { fmt.Fprintf(w, key+"\t"+format+"\n", args...) }
	row("trace", "%s", f.Path)
	if f.Partial {
		row("partial", "stopped before the end of the trace")
	}
	if f.SHA256 != "" {
		row("sha256", "%s", f.SHA256)
	}
	if f.Program != "" {
		row("program", "%s %s", f.Program, strings.Join(f.Args, " "))
	}
	row("source", "%s, granularity %d B", f.Source, f.Granularity)
	if f.Unverified {
		row("layout unverified", "no real file of this format was at hand when its reader was written: compare the counts with what you know of the trace")
	}
	if f.BadRecords > 0 {
		row("bad records", "%d left out", f.BadRecords)
	}
	row("references", "%d (%d reads, %d writes)", f.Refs, f.Reads, f.Writes)
	row("footprint", "%d pages, %.1f MiB (%d pages written)", f.FootprintPages, float64(f.FootprintPages)*trace.PageBytes/(1<<20), f.WrittenPages)
	row("threads", "%d (%d switches)", f.Threads, f.ThreadSwitches)
	row("instructions", "%d", f.Instructions)
	maps := fmt.Sprintf("%d mmap, %d munmap, %d brk, at most %.1f MiB mapped", f.Mmaps, f.Munmaps, f.Brks, float64(f.MappedBytes)/(1<<20))
	if f.SynthesisedMaps {
		maps += "; synthesised, for the format has no map records"
	}
	row("maps", "%s", maps)
	row("block", "%d reads (%d B), %d writes (%d B), %d flushes", f.BlockReads, f.BlockReadBytes, f.BlockWrites, f.BlockWriteBytes, f.BlockFlushes)
	for n, v := range f.Volumes {
		row(fmt.Sprintf("volume %d", n), "%s, %d B", v.Name, v.SizeBytes)
	}
	if f.Thinning != "" {
		row("thinned out", "%s", f.Thinning)
	}
	for _, d := range f.Assumed {
		row("assumed", "%s", d)
	}
	if f.Written != "" {
		row("written as", "%s", f.Written)
	}
	for _, d := range f.Lost {
		row("not written", "%s", d)
	}
}

func (a *app) traceCaptureCommand() *cobra.Command {
	o := trace.CaptureOptions{}
	var pages, blocks bool
	cmd := &cobra.Command{
		Use:   "capture --out FILE -- PROGRAM [ARGS…]",
		Short: "Run a program and record its memory references, the pages that it touches, or its requests to files",
		Long: `capture runs a program and records
  every reference to memory, its maps and file operations, under Valgrind's lackey (some hundred times slower);
  with --pages which pages it writes in each interval, and which it touches for the first time, at nearly full speed and without root
  (Linux 6.7 or newer on x86-64);
  with --block its requests to files, by strace.
A program that comes to --time-budget or --max-refs is stopped, as by Ctrl-C; what was recorded is kept, and the trace says so.`,
		Args: cobra.MinimumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if o.Out == "" {
				return usage("--out is missing, want the path of the trace to write")
			}
			switch {
			case pages && blocks:
				return usage("--pages and --block: want one of them")
			case pages:
				o.Kind = trace.Pages
			case blocks:
				o.Kind = trace.Blocks
			}
			o.Program, o.Args = args[0], args[1:]
			if err := o.Validate(); err != nil {
				return usage("%w", err)
			}
			info, err := a.capture(cmd.Context(), o)
			if err != nil && (info.Truncated == "" || context.Cause(cmd.Context()) == nil) {
				return err
			}
			f, failed := newTraceFile(context.WithoutCancel(cmd.Context()), o.Out, info)
			if failed != nil {
				return failed
			}
			f.Partial = err != nil
			return errors.Join(a.printTraces([]traceFile{f}), cutShort(cmd.Context(), err != nil, "recorded"))
		}),
	}
	cmd.Flags().StringVar(&o.Out, "out", "", "trace to write (.skt)")
	cmd.Flags().IntVar(&o.Thin, "thin", 0, fmt.Sprintf("leave out references to one of the last N pages, 0 to %d; the header says so", trace.MaxThin))
	cmd.Flags().Uint64Var(&o.MaxRefs, "max-refs", 0, "stop the program after so many references (--block: requests); 0 is never")
	cmd.Flags().DurationVar(&o.TimeBudget, "time-budget", 0, "stop the program after so much time, such as 30s; 0 is never")
	cmd.Flags().BoolVar(&pages, "pages", false, "sample the pages that are touched, at nearly full speed")
	cmd.Flags().DurationVar(&o.Interval, "interval", 0, fmt.Sprintf("with --pages: from one sample to the next (default %v)", trace.DefaultInterval))
	cmd.Flags().BoolVar(&blocks, "block", false, "record requests to files, with strace")
	cmd.Flags().SetInterspersed(false) // the program's flags are its own
	return cmd
}

// capture runs a program as a capture says, shows how far it is, and tells how the program ended.
func (a *app) capture(ctx context.Context, o trace.CaptureOptions) (trace.Info, error) {
	o.Stdin, o.Stdout, o.Stderr = os.Stdin, a.stderr, a.stderr // stdout carries our data, so the program's is talk
	unit := "references"
	if o.Kind == trace.Blocks {
		unit = "requests"
	}
	m := a.newMeter("recording "+filepath.Base(o.Program), unit, o.MaxRefs)
	started := time.Now()
	o.Progress = func(n uint64) {
		total := o.MaxRefs
		if took := time.Since(started); total == 0 && o.TimeBudget > took { // at most
			total = uint64(float64(n) * float64(o.TimeBudget) / float64(took))
		}
		m.set(n, total)
	}
	info, err := trace.Capture(ctx, o)
	m.end()
	if errors.Is(err, exec.ErrNotFound) {
		return info, usage("%w", err)
	}
	if info.Truncated != "" {
		a.say("%s: %s", filepath.Base(o.Program), info.Truncated)
	}
	if err != nil {
		return info, err
	}
	if info.ExitCode != 0 {
		a.say("%s ended with exit code %d; what it did until then is recorded", filepath.Base(o.Program), info.ExitCode)
	}
	return info, nil
}

func (a *app) traceConvertCommand() *cobra.Command {
	var in traceInput
	var o trace.ExportOptions
	cmd := &cobra.Command{
		Use:   "convert FROM TO",
		Short: "Write a trace of any known format in the project's own (.skt), or in one of those that other tools read",
		Args:  cobra.ExactArgs(2),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			return a.rewriteTrace(cmd.Context(), &in, args[0], args[1], o, func(src trace.Source) (trace.Source, error) { return src, nil })
		}),
	}
	in.flags(cmd, "FROM")
	exportFlags(cmd, &o, "to")
	return cmd
}
