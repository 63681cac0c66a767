package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// blktrace reads the kernel's own records, as blktrace writes one file a processor and blkparse -d one of all: 48 B, little-endian,
// and behind each its own data.
//
//	u32 magic │ u32 sequence │ u64 ns │ u64 sector │ u32 bytes │ u32 action │ u32 pid │ u32 device │ u32 cpu │ u16 error │ u16 data bytes
type blktrace struct {
	in     *input
	record uint64
	number uint32 // action that counts
	device uint32 // last one
	volume uint32 // of it
	name   []byte // of it, nil = there was none yet
	kernelRequests
	ended bool
}

const (
	blktraceBytes   = 48
	blktraceMagic   = 0x65617400
	blktraceVersion = 7

	// The upper half of the action says what the request is.
	tcRead    = 1 << 0
	tcWrite   = 1 << 1
	tcFlush   = 1 << 2
	tcPC      = 1 << 9  // a command passed through
	tcNotify  = 1 << 10 // no request: a name, the time of day, a message
	tcDiscard = 1 << 13
	tcFUA     = 1 << 15
)

func newBlktrace(in *input) (parser, error) {
	letter, number, err := in.action()
	return &blktrace{in: in, number: uint32(number),
		kernelRequests: kernelRequests{ordered: in.spec.newOrdered(), volumes: newVolumeTable("disk"), action: letter}}, err
}

func sniffBlktrace(h *head) bool {
	if len(h.start) < blktraceBytes {
		return false
	}
	return binary.LittleEndian.Uint32(h.start)&^0xff == blktraceMagic || binary.BigEndian.Uint32(h.start)&^0xff == blktraceMagic
}

func (p *blktrace) fill(b *Batch) error {
	for !p.drain(b, p.ended) {
		if p.ended {
			return io.EOF
		}
		err := p.more()
		if err == io.EOF {
			p.ended = true
		} else if err != nil {
			return err
		}
	}
	return nil
}

// more takes the records that are in the buffer, at least one.
func (p *blktrace) more() error {
	head, err := p.in.Peek(blktraceBytes)
	if errors.Is(err, io.EOF) && len(head) == 0 {
		return io.EOF
	}
	if err != nil {
		return p.short(err, len(head), blktraceBytes)
	}
	whole := blktraceBytes + int(binary.LittleEndian.Uint16(head[46:]))
	if err := p.check(head); err != nil {
		return err // the length of the record is not known: nothing after it can be read
	}
	if have, err := p.in.Peek(whole); err != nil {
		return p.short(err, len(have), whole)
	}
	buf, err := p.in.Peek(p.in.Buffered())
	if err != nil {
		return err // cannot be: it is buffered
	}
	used := 0
	for len(buf)-used >= blktraceBytes && len(p.held) < 2*reorderWindow {
		r := buf[used:]
		n := blktraceBytes + int(binary.LittleEndian.Uint16(r[46:]))
		if len(r) < n || p.check(r) != nil {
			break // comes again, as the first
		}
		used += n
		p.record++
		if err := p.take(r); err != nil {
			p.in.Discard(used)
			return &BadRecord{Path: p.in.path, Unit: "record", N: p.record, Err: err}
		}
	}
	_, err = p.in.Discard(used)
	return err
}

// short is the error for a record that does not end.
func (p *blktrace) short(err error, have, want int) error {
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the file ends after %d of its %d bytes: cut off, or not of this format", have, want)
	}
	return fmt.Errorf("%s: record %d: %w", p.in.path, p.record+1, short(err))
}

// check looks at the magic.
func (p *blktrace) check(r []byte) error {
	magic := binary.LittleEndian.Uint32(r)
	switch {
	case magic == blktraceMagic|blktraceVersion:
		return nil
	case magic&^0xff == blktraceMagic:
		return fmt.Errorf("%s: record %d: version %d, expected %d", p.in.path, p.record+1, magic&0xff, blktraceVersion)
	case binary.BigEndian.Uint32(r)&^0xff == blktraceMagic:
		return fmt.Errorf("%s: record %d: it was written on a big-endian machine, expected little-endian (blkparse prints it as text, which is read)", p.in.path, p.record+1)
	}
	return fmt.Errorf("%s: record %d: magic %#08x, expected %#08x", p.in.path, p.record+1, magic, blktraceMagic|blktraceVersion)
}

// take counts a record if it is of the stage that counts.
func (p *blktrace) take(r []byte) error {
	action := binary.LittleEndian.Uint32(r[28:])
	what := action >> 16
	if action&0xffff != p.number || what&tcNotify != 0 {
		return nil
	}
	if what&tcPC != 0 {
		p.leftOut++
		return nil
	}
	if d := binary.LittleEndian.Uint32(r[36:]); d != p.device || p.name == nil {
		p.device = d
		p.name = strconv.AppendUint(p.name[:0], uint64(d>>20), 10)
		p.name = append(p.name, ',')
		p.name = strconv.AppendUint(p.name, uint64(d&(1<<20-1)), 10)
		var err error
		if p.volume, err = p.volumes.of(p.name); err != nil {
			p.name = nil
			return err
		}
	}
	return p.request(binary.LittleEndian.Uint64(r[8:]), p.volume, binary.LittleEndian.Uint64(r[16:]), uint64(binary.LittleEndian.Uint32(r[24:])),
		kernelFlags{read: what&tcRead != 0, write: what&tcWrite != 0, discard: what&tcDiscard != 0, flush: what&tcFlush != 0, fua: what&tcFUA != 0})
}
