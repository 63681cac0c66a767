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

// traceFile is one row of `trace info`.
type traceFile struct {
	Path   string     `json:"path"`
	Digest string     `json:"digest"`
	Info   trace.Info `json:"info"`
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
	info, err := trace.Stat(stoppable(ctx, src))
	if err != nil {
		return traceFile{}, err
	}
	digest, err := trace.Digest(path)
	return traceFile{path, digest, info}, err
}

// stoppable makes a long reading end with ctx.
func stoppable(ctx context.Context, src trace.Source) trace.Source { return &stoppableSource{src, ctx} }

type stoppableSource struct {
	trace.Source
	ctx context.Context
}

func (s *stoppableSource) Next() (*trace.Batch, error) {
	if s.ctx.Err() != nil {
		return nil, context.Cause(s.ctx)
	}
	return s.Source.Next()
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
	i, h := f.Info, f.Info.Header
	row := func(key, format string, args ...any) { fmt.Fprintf(w, key+"\t"+format+"\n", args...) }
	row("trace", "%s", f.Path)
	row("sha256", "%s", f.Digest)
	if h.Program != "" {
		row("program", "%s %s", h.Program, strings.Join(h.Args, " "))
	}
	row("source", "%s, granularity %d B", h.Source, h.Granularity)
	row("references", "%d (%d reads, %d writes)", i.Refs, i.Reads, i.Writes)
	row("footprint", "%d pages, %.1f MiB (%d pages written)", i.FootprintPages, float64(i.FootprintPages)*trace.PageBytes/(1<<20), i.WrittenPages)
	row("threads", "%d (%d switches)", i.Threads, i.ThreadSwitches)
	row("instructions", "%d", i.Instructions)
	maps := fmt.Sprintf("%d mmap, %d munmap, %d brk, at most %.1f MiB mapped", i.Mmaps, i.Munmaps, i.Brks, float64(i.MappedBytes)/(1<<20))
	if h.SynthesisedMaps {
		maps += "; synthesised, for the format has no map records"
	}
	row("maps", "%s", maps)
	row("block", "%d reads (%d B), %d writes (%d B), %d flushes", i.BlockReads, i.BlockReadBytes, i.BlockWrites, i.BlockWriteBytes, i.BlockFlushes)
	for n, v := range i.Volumes {
		row(fmt.Sprintf("volume %d", n), "%s, %d B", v.Name, v.SizeBytes)
	}
	if h.Thinning != "" {
		row("thinned out", "%s", h.Thinning)
	}
	for _, d := range h.DefaultsStated {
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
			digest, err := trace.Digest(o.Out)
			if err != nil {
				return err
			}
			return a.printTraces([]traceFile{{o.Out, digest, info}})
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
			info, err := trace.Convert(args[1], stoppable(cmd.Context(), src))
			if err != nil {
				return err
			}
			digest, err := trace.Digest(args[1])
			if err != nil {
				return err
			}
			return a.printTraces([]traceFile{{args[1], digest, info}})
		}),
	}
	cmd.Flags().StringVar(&format, "format", "", "format of FROM (default: recognised): "+strings.Join(trace.Formats(), ", "))
	return cmd
}
