package trace

import (
	"encoding/binary"
	"fmt"
)

// champsim reads instruction traces of ChampSim, one record an instruction, usually in .xz or .gz:
//
//	| ip u64 | is_branch u8 | taken u8 | registers 2+4 | written u64 ×2 | read u64 ×4 |                   64 bytes
//	| ip u64 | is_branch u8 | taken u8 | registers 4+4 | pad 6 | written u64 ×4 | read u64 ×4 | asid 2 | pad 6 |   96 bytes, CloudSuite
//
// An address of 0 is an operand that is not used. Operands have no size.
type champsim struct {
	in *recordReader
	champLayout
	gap uint32
}

// champLayout says where a variant has its operands: first what is written, then, without a hole, what is read.
type champLayout struct {
	size, operands, written, read int
}

var champLayouts = map[string]champLayout{
	"champsim":   {64, 16, 2, 4},
	"cloudsuite": {96, 24, 4, 4},
}

const champVariant = "variant"

var champKeys = []Key{{champVariant, "`champsim` (records of 64 bytes) or `cloudsuite` (96 bytes, SPARC)"}}

func newChampsim(in *input) (parser, error) {
	name := in.spec.key(champVariant, "champsim")
	l, ok := champLayouts[name]
	if !ok {
		return nil, fmt.Errorf("%s: variant=%q, want champsim or cloudsuite", in.path, name)
	}
	return &champsim{in: in.records(l.size), champLayout: l}, nil
}

// sniffChampsim looks at all records of the start, for they have no mark: flags that are 0 or 1, addresses of which the processor
// has at most 48 bits, and instructions beyond the first page.
func sniffChampsim(h *head) bool {
	l := champLayouts["champsim"]
	if h.text() || !h.recordsOf(l.size) {
		return false
	}
	for b := h.start; len(b) >= l.size; b = b[l.size:] {
		if !l.like(b) {
			return false
		}
	}
	return true
}

func (l champLayout) like(r []byte) bool {
	if r[8] > 1 || r[9] > 1 {
		return false
	}
	ip := binary.LittleEndian.Uint64(r)
	ok := canonical(ip) && ip >= PageBytes
	for i := 0; i < l.written+l.read; i++ {
		ok = ok && canonical(binary.LittleEndian.Uint64(r[l.operands+8*i:]))
	}
	return ok
}

// canonical reports whether an address has at most 48 bits, or is the kernel's.
func canonical(a uint64) bool { return a>>47 == 0 || a>>47 == 1<<17-1 }

func (p *champsim) header(h *Header) {
	h.HasGaps, h.HasWrites = true, true
	h.DefaultsStated = []string{defaultSize, defaultThread, "order: what an instruction reads before what it writes; its further operands have an instruction count of 0"}
}

func (p *champsim) fill(b *Batch) error {
	for !b.full() {
		recs, err := p.in.next(batchRefs)
		if err != nil {
			return err
		}
		n := 0
		for total := len(recs) / p.size; n < total && !b.full(); n++ {
			r := recs[n*p.size : n*p.size+p.size]
			if r[8] > 1 || r[9] > 1 {
				err = p.in.bad(n, "is_branch %d, branch_taken %d, expected 0 or 1: not of this format, or of another variant", r[8], r[9])
				n++
				break
			}
			p.instruction(b, r)
		}
		if p.in.took(n); err != nil {
			return err
		}
	}
	return nil
}

// instruction appends the operands of a record.
func (p *champsim) instruction(b *Batch, r []byte) {
	p.gap += min(1, ^p.gap)
	for i := p.operands + 8*p.written; i < p.operands+8*(p.written+p.read); i += 8 {
		if a := binary.LittleEndian.Uint64(r[i:]); a != 0 {
			b.ref(a, p.gap, 0, 0)
			p.gap = 0
		}
	}
	for i := p.operands; i < p.operands+8*p.written; i += 8 {
		if a := binary.LittleEndian.Uint64(r[i:]); a != 0 {
			b.ref(a, p.gap, 0, FlagWrite)
			p.gap = 0
		}
	}
}
