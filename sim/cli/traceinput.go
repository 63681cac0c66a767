package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"splitkernel/sim/trace"
)

// traceInput is how a command reads traces.
type traceInput struct {
	format  string
	skipBad uint64
	spec    trace.Spec
}

// flags adds those of a command that reads what it calls name.
func (in *traceInput) flags(cmd *cobra.Command, name string) {
	cmd.Flags().StringVar(&in.format, "format", "", "format of "+name+", with settings: NAME[:KEY=VALUE,…], as lirs:op=write; 'trace formats' lists them (default: recognised)")
	cmd.Flags().Uint64Var(&in.skipBad, "skip-bad", 0, "leave out up to N records that are not of the format, and count them")
}

// check reads the flags. A mistake in them is one of usage.
func (in *traceInput) check() (err error) {
	in.spec, err = parseFormat(in.format)
	if in.skipBad > 0 {
		in.spec.SkipBad = in.skipBad
	}
	return err
}

// parseFormat reads --format.
func parseFormat(format string) (trace.Spec, error) {
	spec, err := trace.ParseSpec(format)
	if err != nil {
		return spec, usage("--format: %w", err)
	}
	return spec, nil
}

// open opens a trace, after check.
func (in *traceInput) open(path string) (trace.Source, error) { return trace.OpenSpec(path, in.spec) }

// metered makes the reading of a trace show how far it is, and end with ctx: as if the trace were over, which cut tells. end leaves the
// meter standing. Of a trace that is made of several, those are what is read.
func (a *app) metered(ctx context.Context, path string, src trace.Source, of ...trace.Source) (metered trace.Source, cut func() bool, end func()) {
	if len(of) == 0 {
		of = []trace.Source{src}
	}
	m := a.newMeter("reading "+filepath.Base(path), "records", 0)
	src, cut = trace.Curtail(ctx, src)
	return &meteredSource{src, of, m, 0}, cut, m.end
}

type meteredSource struct {
	trace.Source
	of   []trace.Source
	m    *meter
	done uint64
}

// Next implements trace.Source.
func (s *meteredSource) Next() (*trace.Batch, error) {
	b, err := s.Source.Next()
	if err == nil {
		s.done += uint64(len(b.Refs) + len(b.Events))
		s.m.set(s.done, trace.RecordsOf(s.done, s.of...))
	}
	return b, err
}

// cutShort is the error that a command ends with whose trace was read until Ctrl-C.
func cutShort(ctx context.Context, cut bool, what string) error {
	if !cut {
		return nil
	}
	return fmt.Errorf("%w: what was %s is partial", context.Cause(ctx), what)
}

// named puts the path of a trace before an error that does not begin with it.
func named(path string, err error) error {
	if strings.HasPrefix(err.Error(), path+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// exportFlags adds those of a command that writes a trace; name is that of the flag for the format.
func exportFlags(cmd *cobra.Command, o *trace.ExportOptions, name string) {
	cmd.Flags().StringVar(&o.To, name, "", "format to write: "+strings.Join(trace.Targets(), ", ")+" (default: as the path ends, else skt)")
	cmd.Flags().StringVar(&o.IDs, "ids", "", "what ids of oracleGeneral are: page, block (4 KiB), lba (a record a request) (default: page where there are references, else block)")
}

// rewriteTrace reads a trace, lets edit put something between, and writes what comes out.
func (a *app) rewriteTrace(ctx context.Context, in *traceInput, from, to string, o trace.ExportOptions, edit func(trace.Source) (trace.Source, error)) error {
	if err := in.check(); err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return usage("%w", err)
	}
	src, err := in.open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	metered, cut, end := a.metered(ctx, from, src)
	defer end()
	out, err := edit(metered)
	if err != nil {
		return err
	}
	return a.exportTrace(ctx, to, out, o, cut)
}

// exportTrace writes a trace and prints what it is. One that was cut by Ctrl-C is written as far as it was read.
func (a *app) exportTrace(ctx context.Context, to string, src trace.Source, o trace.ExportOptions, cut func() bool) error {
	x, err := trace.Export(to, src, o)
	if err != nil {
		return errors.Join(cutShort(ctx, cut(), "read"), err)
	}
	f, err := newTraceFile(context.WithoutCancel(ctx), to, x.Info)
	if err != nil {
		return err
	}
	f.Written, f.Lost, f.Partial = x.To, x.Lost, cut()
	return errors.Join(a.printTraces([]traceFile{f}), cutShort(ctx, cut(), "written"))
}
