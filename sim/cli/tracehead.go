package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"splitkernel/sim/trace"
)

// traceRecord is a line of `trace head`; the JSON keys are for programs and stay.
type traceRecord struct {
	Number *uint64 `json:"number,omitempty"` // as slice counts; map events have none
	Kind   string  `json:"kind"`             // read, write, mmap, munmap, brk, block-read, block-write, block-flush
	Thread uint16  `json:"thread"`
	// Of references and maps.
	Address string `json:"address,omitempty"` // hex
	Bytes   uint64 `json:"bytes,omitempty"`
	Gap     uint32 `json:"instructions,omitempty"`
	Anon    bool   `json:"anonymous,omitempty"`
	Name    string `json:"name,omitempty"`
	// Of block operations.
	TimeNs uint64 `json:"time_ns,omitempty"`
	Volume string `json:"volume,omitempty"`
	Offset uint64 `json:"offset_bytes,omitempty"`
}

func (r traceRecord) text() string {
	number := "-"
	if r.Number != nil {
		number = fmt.Sprint(*r.Number)
	}
	s := fmt.Sprintf("%8s  %-11s", number, r.Kind)
	switch {
	case r.Volume != "":
		return s + fmt.Sprintf(" %d B at %d of %s, %.9f s, thread %d", r.Bytes, r.Offset, r.Volume, float64(r.TimeNs)/1e9, r.Thread)
	case r.Number != nil:
		return s + fmt.Sprintf(" %s, %d B, thread %d, %d instructions", r.Address, r.Bytes, r.Thread, r.Gap)
	}
	if r.Bytes > 0 {
		s += fmt.Sprintf(" %s, %d B, thread %d", r.Address, r.Bytes, r.Thread)
	} else {
		s += fmt.Sprintf(" %s, thread %d", r.Address, r.Thread)
	}
	if r.Anon {
		s += ", anonymous"
	}
	if r.Name != "" {
		s += ", " + r.Name
	}
	return s
}

func (a *app) traceHeadCommand() *cobra.Command {
	var in traceInput
	n := uint64(10)
	cmd := &cobra.Command{
		Use:   "head FILE",
		Short: "Print the first records of a trace, one a line",
		Args:  cobra.ExactArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if err := in.check(); err != nil {
				return err
			}
			src, err := in.open(args[0])
			if err != nil {
				return err
			}
			defer src.Close()
			return a.traceHead(trace.Stoppable(cmd.Context(), src), n)
		}),
	}
	cmd.Flags().Uint64VarP(&n, "records", "n", n, "how many")
	in.flags(cmd, "FILE")
	return cmd
}

// traceHead prints n records.
func (a *app) traceHead(src trace.Source, n uint64) error {
	var number uint64
	for n > 0 {
		b, err := src.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		volumes := src.Header().Volumes
		for i, e := 0, 0; n > 0 && (i < len(b.Refs) || e < len(b.Events)); n-- {
			var r traceRecord
			if e < len(b.Events) && b.Events[e].At <= i {
				r = eventRecord(&b.Events[e], volumes)
				e++
			} else {
				r = refRecord(b.Refs[i])
				i++
			}
			if r.Volume != "" || r.Kind == "read" || r.Kind == "write" {
				at := number
				r.Number = &at
				number++
			}
			if err := a.printLine(r, r.text()); err != nil {
				return err
			}
		}
	}
	return nil
}

func refRecord(r trace.Ref) traceRecord {
	kind := "read"
	if r.Write() {
		kind = "write"
	}
	return traceRecord{Kind: kind, Thread: r.Thread, Address: fmt.Sprintf("%#x", r.Addr), Bytes: uint64(r.Size), Gap: r.Gap}
}

func eventRecord(e *trace.Event, volumes []trace.VolumeInfo) traceRecord {
	r := traceRecord{Kind: e.Kind.String(), Thread: e.Thread}
	if !e.Kind.IsBlock() {
		r.Address, r.Bytes, r.Anon, r.Name = fmt.Sprintf("%#x", e.Addr), e.Len, e.Anon, e.Name
		return r
	}
	r.TimeNs, r.Offset, r.Bytes = e.TimeNs, e.Offset, e.Length
	r.Volume = fmt.Sprint("volume ", e.Volume)
	if int(e.Volume) < len(volumes) && volumes[e.Volume].Name != "" {
		r.Volume = volumes[e.Volume].Name
	}
	return r
}
