package trace

import (
	"encoding/binary"
	"fmt"
)

// lirs2 reads the CloudPhysics traces as the authors of LIRS2 have them: a block number a record, u32. A block is a page. They are often
// said to be big-endian; in w106 neighbours follow each other only as little-endian numbers, so that is the default. Which blocks are
// the same, which is what caches see, is the same either way.
type lirs2 struct {
	in   *recordReader
	spec Spec
	big  bool
}

var orderKey = Key{"order", "`little` (the default) or `big`: which byte of a number comes first"}

func newLirs2(in *input) (parser, error) {
	p := &lirs2{in: in.records(4), spec: in.spec}
	switch v := in.spec.Keys[orderKey.Name]; v {
	case "", "little":
	case "big":
		p.big = true
	default:
		return nil, fmt.Errorf("%s: order: %q, want little or big", in.path, v)
	}
	return p, nil
}

func (p *lirs2) header(h *Header) { (&lirs{spec: p.spec}).header(h) }

func (p *lirs2) fill(b *Batch) error {
	for !b.full() {
		records, err := p.in.next(batchRefs - len(b.Refs))
		if err != nil {
			return err
		}
		n := len(records) / 4
		for i := range n {
			page := binary.LittleEndian.Uint32(records[i*4:])
			if p.big {
				page = binary.BigEndian.Uint32(records[i*4:])
			}
			b.Refs = append(b.Refs, Ref{Addr: uint64(page) << PageShift, Flags: p.spec.flags()})
		}
		p.in.took(n)
	}
	return nil
}
