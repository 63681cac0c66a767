package study

import (
	"splitkernel/sim/study/locality"
	"splitkernel/sim/trace"
)

// CountPages counts the pages of a batch of references, and the blocks of 4 KiB of its block requests: each that a request touches, once.
func CountPages(c *locality.Counter, b *trace.Batch) error {
	for _, r := range b.Refs {
		if err := c.Add(r.Addr >> trace.PageShift); err != nil {
			return err
		}
	}
	for _, e := range b.Events {
		if e.Kind != trace.BlockRead && e.Kind != trace.BlockWrite || e.Length == 0 {
			continue
		}
		last := (e.Offset + e.Length - 1) >> trace.PageShift
		for block := e.Offset >> trace.PageShift; block <= last; block++ {
			// Volumes are told apart by bits that neither offsets nor addresses of programs have.
			if err := c.Add(uint64(e.Volume+1)<<52 ^ block); err != nil {
				return err
			}
		}
	}
	return nil
}
