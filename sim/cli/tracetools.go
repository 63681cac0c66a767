package cli

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"splitkernel/sim/trace"
)

func (a *app) traceSliceCommand() *cobra.Command {
	var in traceInput
	var out trace.ExportOptions
	var o trace.Slice
	cmd := &cobra.Command{
		Use:   "slice FROM TO",
		Short: "Write a part of a trace, by the numbers of its records or, of block operations, by time",
		Args:  cobra.ExactArgs(2),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(); err != nil {
				return usage("%w", err)
			}
			return a.rewriteTrace(cmd.Context(), &in, args[0], args[1], out, func(src trace.Source) (trace.Source, error) { return trace.SliceOf(src, o) })
		}),
	}
	cmd.Flags().Uint64Var(&o.From, "from", 0, "first record, counted from 0: references and block operations; map events go with the record behind them")
	cmd.Flags().Uint64Var(&o.To, "to", 0, "record behind the last one; 0 is the end")
	cmd.Flags().BoolVar(&o.ByTime, "time", false, "from and to are ns since the start of the trace: block operations only")
	in.flags(cmd, "FROM")
	exportFlags(cmd, &out, "as")
	return cmd
}

func (a *app) traceFilterCommand() *cobra.Command {
	var in traceInput
	var out trace.ExportOptions
	var f trace.Filter
	var thread uint16
	var volume uint32
	var pages string
	cmd := &cobra.Command{
		Use:   "filter FROM TO",
		Short: "Write the records of a trace that are of one operation, kind, thread, volume or range of pages",
		Args:  cobra.ExactArgs(2),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			var err error
			if cmd.Flags().Changed("thread") {
				f.Thread = &thread
			}
			if cmd.Flags().Changed("volume") {
				f.Volume = &volume
			}
			if pages != "" {
				if f.FirstPage, f.LastPage, err = parsePages(pages); err != nil {
					return usage("--pages: %q: %w", pages, err)
				}
				f.Pages = true
			}
			if f == (trace.Filter{}) {
				return usage("nothing to filter by, want --op, --only, --thread, --volume or --pages")
			}
			if err := f.Validate(); err != nil {
				return usage("%w", err)
			}
			return a.rewriteTrace(cmd.Context(), &in, args[0], args[1], out, func(src trace.Source) (trace.Source, error) { return trace.FilterOf(src, f) })
		}),
	}
	cmd.Flags().StringVar(&f.Op, "op", "", "read or write; flushes go with writes")
	cmd.Flags().StringVar(&f.Only, "only", "", "refs or block")
	cmd.Flags().Uint16Var(&thread, "thread", 0, "references of this thread")
	cmd.Flags().Uint32Var(&volume, "volume", 0, "block operations on this volume, by its number in trace info")
	cmd.Flags().StringVar(&pages, "pages", "", "references to pages A to B, as A-B: decimal, or hex with 0x")
	in.flags(cmd, "FROM")
	exportFlags(cmd, &out, "as")
	return cmd
}

// parsePages reads A-B.
func parsePages(s string) (first, last uint64, err error) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, errors.New("want A-B")
	}
	first, err1 := strconv.ParseUint(a, 0, 64)
	last, err2 := strconv.ParseUint(b, 0, 64)
	return first, last, errors.Join(err1, err2)
}

func (a *app) traceSampleCommand() *cobra.Command {
	var in traceInput
	var out trace.ExportOptions
	var o trace.Sample
	cmd := &cobra.Command{
		Use:   "sample FROM TO",
		Short: "Write the records of some pages of a trace, by hash, or one of N records",
		Args:  cobra.ExactArgs(2),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(); err != nil {
				return usage("%w", err)
			}
			return a.rewriteTrace(cmd.Context(), &in, args[0], args[1], out, func(src trace.Source) (trace.Source, error) { return trace.SampleOf(src, o) })
		}),
	}
	cmd.Flags().Float64Var(&o.Rate, "rate", 0, "share of the pages that are kept, all their references; of block operations those whose first 4 KiB block is")
	cmd.Flags().Uint64Var(&o.Every, "every", 0, "keep one of N records instead")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "another seed keeps other pages")
	in.flags(cmd, "FROM")
	exportFlags(cmd, &out, "as")
	return cmd
}

func (a *app) traceMergeCommand() *cobra.Command {
	var in traceInput
	var out trace.ExportOptions
	var to string
	cmd := &cobra.Command{
		Use:   "merge --out FILE FROM FROM…",
		Short: "Write one trace of several that run side by side: threads, volumes and addresses are kept apart",
		Args:  cobra.MinimumNArgs(2),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return usage("--out is missing, want the path of the trace to write")
			}
			if err := errors.Join(in.check(), out.Validate()); err != nil {
				return usage("%w", err)
			}
			var srcs []trace.Source
			defer func() {
				for _, s := range srcs {
					s.Close()
				}
			}()
			for _, path := range args {
				src, err := in.open(path)
				if err != nil {
					return err
				}
				srcs = append(srcs, src)
			}
			merged, err := trace.Merge(srcs)
			if err != nil {
				return usage("%w", err)
			}
			src, cut, end := a.metered(cmd.Context(), to, merged, srcs...)
			defer end()
			return a.exportTrace(cmd.Context(), to, src, out, cut)
		}),
	}
	cmd.Flags().StringVar(&to, "out", "", "trace to write")
	in.flags(cmd, "each FROM")
	exportFlags(cmd, &out, "as")
	return cmd
}
