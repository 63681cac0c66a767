package trace

import (
	"encoding/binary"
	"fmt"
)

// fixedRecords reads a format of records of fixed size that say one thing each.
type fixedRecords struct {
	in   *recordReader
	head func(h *Header)
	// record appends what a record says, or nothing and an error.
	record func(b *Batch, r []byte) error
}

func (p *fixedRecords) header(h *Header) { p.head(h) }

func (p *fixedRecords) fill(b *Batch) error {
	size := p.in.size
	for !b.full() {
		recs, err := p.in.next(batchRefs)
		if err != nil {
			return err
		}
		n := 0
		for total := len(recs) / size; n < total && !b.full(); n++ {
			if e := p.record(b, recs[n*size:n*size+size]); e != nil {
				err = p.in.bad(n, "%w", e)
				n++
				break
			}
		}
		if p.in.took(n); err != nil {
			return err
		}
	}
	return nil
}

// recordsOf reports whether a file can be of records of such a size without a mark: whole ones, or a few of them and a cut.
func (h *head) recordsOf(size int) bool {
	const enough = 4
	return len(h.start) >= size && (!h.small || len(h.start)%size == 0 || len(h.start)/size >= enough)
}

// newValpin reads what libCacheSim calls valpin: an address of 64 bits a record.
func newValpin(in *input) (parser, error) {
	flags, unit := in.spec.flags(), in.spec.unitOr(1)
	p := &fixedRecords{in: in.records(8)}
	p.head = func(h *Header) {
		h.HasWrites = in.spec.Op == "write"
		h.DefaultsStated = []string{in.spec.opStated(), fmt.Sprintf("address: the number × %d bytes", unit), defaultSize, defaultGap, defaultThread}
	}
	p.record = func(b *Batch, r []byte) error {
		n := binary.LittleEndian.Uint64(r)
		if n > ^uint64(0)/unit {
			return fmt.Errorf("number %d × %d bytes, expected an address below 2^64", n, unit)
		}
		b.ref(n*unit, 0, 0, flags)
		return nil
	}
	return p, nil
}

// DRackSim-Trace writes C structures as gcc lays them out on x86-64:
//
//	| process i32 | thread i32 | address u64 | r u8, pad 7 | penalty u64 | cycle u64 | blocks i32, pad 4 |   48 bytes, its Pin tool
//	| process i32 | thread i32 | address u64 | r u8, pad 7 | cycle u64 |                                   32 bytes, its stream
const (
	drackPinBytes    = 48
	drackStreamBytes = 32
	drackBlock       = 64 // bytes of a last-level cache's block, in which it counts
)

func newDrackPin(in *input) (parser, error)    { return newDrack(in, drackPinBytes, 32) }
func newDrackStream(in *input) (parser, error) { return newDrack(in, drackStreamBytes, 24) }

// newDrack reads structures of a size, with the cycle at an offset.
func newDrack(in *input, size, cycleAt int) (parser, error) {
	d := drack{clock: in.spec.newClock(size == drackPinBytes)} // the Pin tool does not sort
	p := &fixedRecords{in: in.records(size), head: d.header}
	p.record = func(b *Batch, r []byte) error {
		le := binary.LittleEndian
		first, blocks := uint64(0), uint64(1)
		if size == drackPinBytes {
			switch n := le.Uint32(r[40:]); n {
			case 0: // the block of the address
			case 1: // the one after it
				first = 1
			case 2:
				blocks = 2
			default:
				return fmt.Errorf("block_to_fetch %d, expected 0, 1 or 2", n)
			}
		}
		return d.fetch(b, le.Uint32(r), le.Uint32(r[4:]), le.Uint64(r[8:]), first, blocks, r[16], le.Uint64(r[cycleAt:]))
	}
	return p, nil
}

// newDrackText reads the text of DRackSim's parser: `process thread 0xaddress r cycle [blocks]`.
func newDrackText(in *input) (parser, error) {
	d := drack{clock: in.spec.newClock(false)}
	return &lineParser{in: in.lines(), want: "`process thread 0xaddress R|W cycle`", head: d.header, line: func(b *Batch, line []byte) error {
		proc, thread, addr, op, cycle, ok := parseDrack(line)
		if !ok {
			return errUnlike
		}
		return d.fetch(b, proc, thread, addr, 0, 1, op, cycle)
	}}, nil
}

func sniffDrackText(h *head) bool {
	_, _, _, _, _, ok := parseDrack(h.line())
	return ok
}

func parseDrack(line []byte) (proc, thread uint32, addr uint64, op byte, cycle uint64, ok bool) {
	p, rest, ok1 := parseDec(line)
	rest, ok2 := blankAfter(rest)
	t, rest, ok3 := parseDec(rest)
	rest, ok4 := blankAfter(rest)
	addr, rest, ok5 := parse0x(rest)
	rest, ok6 := blankAfter(rest)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || p|t > 1<<31-1 {
		return
	}
	op = rest[0]
	rest, ok1 = blankAfter(rest[1:])
	cycle, rest, ok2 = parseDec(rest)
	if rest, ok3 = skipBlanks(rest); len(rest) > 0 { // how many blocks were fetched, each of which has a line
		_, rest, ok4 = parseDec(rest)
		ok2 = ok2 && ok3 && ok4 && blankOnly(rest)
	}
	return uint32(p), uint32(t), addr, op, cycle, ok1 && ok2
}

// drack is what the formats of DRackSim have in common.
type drack struct {
	clock   clock
	threads threadTable
}

func (d *drack) header(h *Header) {
	h.HasWrites = true
	h.DefaultsStated = d.clock.stated([]string{"size: 64 bytes, a block of the last-level cache", defaultGap,
		"thread: process and thread, numbered in the order in which they appear"})
}

// fetch appends so many blocks, beginning with the one of the address or the first after it.
func (d *drack) fetch(b *Batch, proc, thread uint32, addr, first, blocks uint64, op byte, cycle uint64) error {
	addr &^= drackBlock - 1
	if addr > ^uint64(0)-(first+blocks)*drackBlock {
		return fmt.Errorf("address %#x, expected blocks that end below 2^64", addr)
	}
	addr += first * drackBlock
	var flags uint8
	switch op {
	case 'R', 'I': // I = the fetch of an instruction
	case 'W':
		flags = FlagWrite
	default:
		return fmt.Errorf("operation %q, expected R, W or I", op)
	}
	if _, err := d.clock.at(cycle); err != nil {
		return err
	}
	n, err := d.threads.of(uint64(proc)<<32 | uint64(thread))
	if err != nil {
		return err
	}
	for i := range blocks {
		b.Refs = append(b.Refs, Ref{Addr: addr + i*drackBlock, Thread: n, Size: drackBlock, Flags: flags})
	}
	return nil
}
