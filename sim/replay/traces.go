package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"splitkernel/configs"
	"splitkernel/sim/trace"
)

// Trace is what must be known of a vNode's trace before its process can be placed.
type Trace struct {
	Path, Digest string
	Info         trace.Info
}

// ReadTraces reads what must be known of the traces of a workload, one for each of its vNodes. Bundled ones are written to
// dir first. It reports every trace that is none, by the key that names it.
func ReadTraces(ctx context.Context, w *configs.Workload, dir string) ([]Trace, error) {
	var traces []Trace
	var faults []error
	for i := range w.Vnodes {
		v := &w.Vnodes[i]
		t, err := readTrace(ctx, w, v, dir)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("vnodes.%s.trace: %w", v.Name, err))
		} else if err := checkVolumes(v, t.Info); err != nil {
			faults = append(faults, err)
		}
		traces = append(traces, t)
	}
	return traces, errors.Join(faults...)
}

func readTrace(ctx context.Context, w *configs.Workload, v *configs.VNode, dir string) (t Trace, err error) {
	if t.Path, err = w.TracePath(v, dir); err != nil {
		return t, err
	}
	if t.Info, err = known(ctx, t.Path, v.Format); err != nil {
		return t, err
	}
	t.Digest, err = trace.Digest(ctx, t.Path)
	return t, err
}

// blockOps is how many block requests a trace has, from wherever its totals came.
func blockOps(i trace.Info) uint64 {
	return max(i.Header.BlockOps, i.BlockReads+i.BlockWrites+i.BlockFlushes)
}

// known gives the totals of a trace: from its header if that has them, else by reading it once.
func known(ctx context.Context, path, format string) (trace.Info, error) {
	src, err := trace.OpenFormat(path, format)
	if err != nil {
		return trace.Info{}, err
	}
	defer src.Close()
	h := src.Header()
	if h.Refs > 0 && h.FootprintPages > 0 && !slices.ContainsFunc(h.Volumes, func(v trace.VolumeInfo) bool { return v.SizeBytes == 0 }) {
		return trace.Info{Header: h, Refs: h.Refs, FootprintPages: h.FootprintPages, Threads: h.Threads, Volumes: h.Volumes}, nil
	}
	return trace.Stat(trace.Stoppable(ctx, src))
}
