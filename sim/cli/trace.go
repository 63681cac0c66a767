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

	"github.com/spf13/cobra"

	"splitkernel/sim/trace"
)

func (a *app) traceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "trace", Short: "Look at, record or convert traces of programs"}
	cmd.AddCommand(a.traceInfoCommand(), a.traceCaptureCommand(), a.traceConvertCommand())
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
}

type traceVolume struct {
	Name      string `json:"name"`
	SizeBytes uint64 `json:"size_bytes"`
}

func newTraceFile(ctx context.Context, path string, i trace.Info) (traceFile, error) {
	digest, err := trace.Digest(ctx, path)
	h := i.Header
	f := traceFile{
		Path: path, SHA256: digest, Program: h.Program, Args: append([]string{}, h.Args...), Source: h.Source, Granularity: h.Granularity,
		Refs: i.Refs, Reads: i.Reads, Writes: i.Writes, FootprintPages: i.FootprintPages, WrittenPages: i.WrittenPages,
		Threads: i.Threads, ThreadSwitches: i.ThreadSwitches, Instructions: i.Instructions,
		Mmaps: i.Mmaps, Munmaps: i.Munmaps, Brks: i.Brks, MappedBytes: i.MappedBytes, SynthesisedMaps: h.SynthesisedMaps,
		BlockReads: i.BlockReads, BlockWrites: i.BlockWrites, BlockFlushes: i.BlockFlushes,
		BlockReadBytes: i.BlockReadBytes, BlockWriteBytes: i.BlockWriteBytes, Volumes: []traceVolume{},
		Thinning: h.Thinning, Assumed: append([]string{}, h.DefaultsStated...),
	}
	for _, v := range i.Volumes {
		f.Volumes = append(f.Volumes, traceVolume(v))
	}
	return f, err
}

func (a *app) traceInfoCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "info FILE…",
		Short: "Count what is in a trace: references, reads, writes, pages, threads, instructions, maps, block operations",
		Args:  cobra.MinimumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			var files []traceFile
			for _, path := range args {
				f, err := statTrace(cmd.Context(), path, format)
				if err != nil {
					return err
				}
				files = append(files, f)
			}
			return a.printTraces(files)
		}),
	}
	cmd.Flags().StringVar(&format, "format", "", "format of the file (default: recognised): "+strings.Join(trace.Formats(), ", "))
	return cmd
}

func checkFormat(format string) error {
	if format == "" {
		return nil
	}
	for _, f := range trace.Formats() {
		if f == format {
			return nil
		}
	}
	return usage("--format: %q, want one of %s", format, strings.Join(trace.Formats(), ", "))
}

func statTrace(ctx context.Context, path, format string) (traceFile, error) {
	src, err := trace.OpenFormat(path, format)
	if err != nil {
		return traceFile{}, err
	}
	defer src.Close()
	info, err := trace.Stat(trace.Stoppable(ctx, src))
	if err != nil {
		return traceFile{}, err
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
	row("sha256", "%s", f.SHA256)
	if f.Program != "" {
		row("program", "%s %s", f.Program, strings.Join(f.Args, " "))
	}
	row("source", "%s, granularity %d B", f.Source, f.Granularity)
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
}

func (a *app) traceCaptureCommand() *cobra.Command {
	o := trace.CaptureOptions{}
	cmd := &cobra.Command{
		Use:   "capture --out FILE -- PROGRAM [ARGS…]",
		Short: "Run a program under Valgrind and record its memory references, maps and file operations",
		Args:  cobra.MinimumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if o.Out == "" {
				return usage("--out is missing, want the path of the trace to write")
			}
			o.Program, o.Args = args[0], args[1:]
			if err := o.Validate(); err != nil {
				return usage("%w", err)
			}
			o.Stdin, o.Stdout, o.Stderr = os.Stdin, a.stderr, a.stderr // stdout carries our data, so the program's is talk
			info, err := trace.Capture(cmd.Context(), o)
			if err != nil {
				if errors.Is(err, exec.ErrNotFound) {
					return usage("%w", err)
				}
				return err
			}
			if info.ExitCode != 0 {
				a.say("%s ended with exit code %d; what it did until then is in %s", filepath.Base(o.Program), info.ExitCode, o.Out)
			}
			f, err := newTraceFile(cmd.Context(), o.Out, info)
			if err != nil {
				return err
			}
			return a.printTraces([]traceFile{f})
		}),
	}
	cmd.Flags().StringVar(&o.Out, "out", "", "trace to write (.skt)")
	cmd.Flags().IntVar(&o.Thin, "thin", 0, fmt.Sprintf("leave out references to one of the last N pages, 0 to %d; the header says so", trace.MaxThin))
	cmd.Flags().Uint64Var(&o.MaxRefs, "max-refs", 0, "stop the program after so many references; 0 is never")
	cmd.Flags().SetInterspersed(false) // the program's flags are its own
	return cmd
}

func (a *app) traceConvertCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "convert FROM TO",
		Short: "Write a trace of any known format in the project's own (.skt)",
		Args:  cobra.ExactArgs(2),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			src, err := trace.OpenFormat(args[0], format)
			if err != nil {
				return err
			}
			defer src.Close()
			info, err := trace.Convert(args[1], trace.Stoppable(cmd.Context(), src))
			if err != nil {
				return err
			}
			f, err := newTraceFile(cmd.Context(), args[1], info)
			if err != nil {
				return err
			}
			return a.printTraces([]traceFile{f})
		}),
	}
	cmd.Flags().StringVar(&format, "format", "", "format of FROM (default: recognised): "+strings.Join(trace.Formats(), ", "))
	return cmd
}
