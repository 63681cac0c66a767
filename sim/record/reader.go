package record

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/klauspost/compress/s2"

	"splitkernel/netlayer/tape"
)

// Record is one of a tape. What it refers to is good until the next call of Next.
type Record struct {
	Core   uint64 // from 1; of the beginning of a core its number, too
	Begins bool   // a core begins: Kind and Data, its head, say which
	State  bool   // no event, but the state of the core behind its last record: Kind and Head say which
	Kind   string
	Head   []byte // of a state
	Events uint64 // of a state: the core's records before it
	Data   []byte
	Path   string // of the segment
	Offset int64  // of its block there
}

// Reader reads a tape, one segment after the other. One goroutine uses it.
type Reader struct {
	Head Head // of the segment that is read; at first it is the oldest that is there

	tape string
	more []uint64 // segments that follow

	// Of the segment that is read:
	path   string
	file   io.ReadCloser
	in     *bufio.Reader
	off    int64 // of what follows in the file
	block  int64 // offset of the block that is read
	number uint32
	goesOn bool // it says that another follows

	packed  []byte
	raw     []byte
	rest    tape.Reader
	cores   uint64 // that have begun
	records uint64
	end     *End
}

// Open opens a tape, at the oldest segment that is there.
func Open(path string) (*Reader, error) {
	ns, err := segments(path)
	if err != nil {
		return nil, err
	}
	r := &Reader{tape: path, more: ns}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	r.cores, r.records = r.Head.Cores, r.Head.Records
	return r, nil
}

// open opens the next segment.
func (r *Reader) open() error {
	n := r.more[0]
	path := segmentPath(r.tape, n)
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open a tape: %w", err)
	}
	if r.file != nil {
		if err := r.file.Close(); err != nil {
			return errors.Join(fmt.Errorf("close %s: %w", r.path, err), f.Close())
		}
	}
	r.more, r.path, r.file, r.in, r.off, r.number, r.goesOn = r.more[1:], path, f, bufio.NewReaderSize(f, 1<<16), 0, 0, false
	h, err := r.header()
	if err != nil {
		return err
	}
	if h.Segment != n || h.Cores > MaxCores {
		return r.fault(headerLen, "the head says that it is segment %d with %d cores before it, want segment %d and at most %d", h.Segment, h.Cores, n, MaxCores)
	}
	r.Head = *h
	return nil
}

// header reads the head of a segment.
func (r *Reader) header() (*Head, error) {
	head := make([]byte, headerLen, headerLen+256)
	if err := r.fill(head); err != nil {
		return nil, r.fault(0, "it is cut off within its first %d bytes, want a tape of this program", headerLen)
	}
	if string(head[:8]) != magic {
		return nil, r.fault(0, "it begins with %q, want %q: it is no tape of this program", head[:8], magic)
	}
	if v := binary.LittleEndian.Uint16(head[8:]); v != Version {
		return nil, r.fault(8, "it is of version %d, want %d: the program that wrote it reads it", v, Version)
	}
	n := int(binary.LittleEndian.Uint16(head[10:]))
	head = append(head, make([]byte, n+4)...)
	if err := r.fill(head[headerLen:]); err != nil {
		return nil, r.fault(r.off, "it is cut off within its head")
	}
	sum := len(head) - 4
	if got, want := crc32.Checksum(head[:sum], castagnoli), binary.LittleEndian.Uint32(head[sum:]); got != want {
		return nil, r.fault(int64(sum), "the checksum of the head is %08x, want %08x", got, want)
	}
	h := new(Head)
	if err := json.Unmarshal(head[headerLen:sum], h); err != nil {
		return nil, r.fault(headerLen, "the head cannot be read: %v", err)
	}
	return h, nil
}

// fault is an error by file and offset.
func (r *Reader) fault(off int64, format string, args ...any) error {
	return fmt.Errorf("%s: byte %d: %s", r.path, off, fmt.Sprintf(format, args...))
}

func (r *Reader) fill(b []byte) error {
	n, err := io.ReadFull(r.in, b)
	r.off += int64(n)
	return err
}

// Ended is how the tape ended; nil while Next has not come to that, and after it of a tape that was not closed.
func (r *Reader) Ended() *End { return r.end }

// Close closes the file.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Next gives the next record. io.EOF comes after the last: if Ended is nil then, the node was killed.
func (r *Reader) Next() (rec Record, err error) {
	for r.rest.Rest() == 0 {
		if err := r.next(); err != nil {
			return rec, err
		}
	}
	rec.Path, rec.Offset = r.path, r.block
	tag := r.rest.Uint()
	rec.Data = r.rest.Bytes()
	d := tape.NewReader(rec.Data)
	switch tag {
	case tagBegin:
		rec.Begins, rec.Kind = true, d.String()
		rec.Data = rec.Data[len(rec.Data)-d.Rest():]
		r.cores++
		rec.Core = r.cores
	case tagState:
		rec.State, rec.Core, rec.Events, rec.Kind, rec.Head = true, d.Uint(), d.Uint(), d.String(), d.Bytes()
		rec.Data = rec.Data[len(rec.Data)-d.Rest():]
	default:
		rec.Core = tag - tagCore + 1
	}
	if err := errors.Join(d.Err(), r.rest.Err()); err != nil {
		return rec, r.fault(r.block, "the records of the block: %v", err)
	}
	if rec.Core < 1 || rec.Core > r.cores {
		return rec, r.fault(r.block, "a record of core %d, and %d have begun", rec.Core, r.cores)
	}
	if !rec.State {
		r.records++
	}
	return rec, nil
}

// next reads a block.
func (r *Reader) next() error {
	r.block = r.off
	var head [blockLen]byte
	switch err := r.fill(head[:]); {
	case err == io.EOF:
		return r.over()
	case err != nil:
		return r.fault(r.off, "it is cut off within the head of block %d, which begins at byte %d", r.number, r.block)
	case r.end != nil || r.goesOn:
		return r.fault(r.block, "bytes follow the end of the tape")
	}
	le := binary.LittleEndian
	kind, number, raw, packed := le.Uint32(head[4:]), le.Uint32(head[8:]), le.Uint32(head[12:]), le.Uint32(head[16:])
	switch {
	case le.Uint32(head[:]) != blockMagic:
		return r.fault(r.block, "no block, want block %d", r.number)
	case kind != blockRecords && kind != blockEnd && kind != blockNext:
		return r.fault(r.block+4, "a block of kind %d, want %d to %d", kind, blockRecords, blockNext)
	case number != r.number:
		return r.fault(r.block+8, "block %d, want %d", number, r.number)
	case raw > maxRaw || packed > maxPacked:
		return r.fault(r.block+12, "a block of %d bytes, packed %d, want at most %d and %d", raw, packed, maxRaw, maxPacked)
	}
	r.number++
	if n := blockLen + int(packed); cap(r.packed) < n {
		r.packed = make([]byte, n)
	}
	r.packed = r.packed[:blockLen+int(packed)]
	copy(r.packed, head[:])
	if r.fill(r.packed[blockLen:]) != nil {
		return r.fault(r.off, "it is cut off within block %d, which begins at byte %d and has %d bytes", number, r.block, len(r.packed))
	}
	if got, want := blockSum(r.packed), le.Uint32(head[20:]); got != want {
		return r.fault(r.block, "the checksum of block %d is %08x, want %08x", number, got, want)
	}
	if n, err := s2.DecodedLen(r.packed[blockLen:]); err != nil || n != int(raw) {
		return r.fault(r.block, "block %d has %d bytes, its head says %d: %v", number, n, raw, err)
	}
	var err error
	if r.raw, err = s2.Decode(r.raw[:cap(r.raw)], r.packed[blockLen:]); err != nil {
		return r.fault(r.block, "block %d: %v", number, err)
	}
	switch kind {
	case blockEnd:
		r.end = new(End)
		if err := json.Unmarshal(r.raw, r.end); err != nil {
			return r.fault(r.block, "how the tape ended cannot be read: %v", err)
		}
	case blockNext:
		r.goesOn = true
	default:
		r.rest = tape.NewReader(r.raw)
	}
	return nil
}

// over is at the end of a segment's file: the next follows, or the tape is over. A node that was killed may have ended a segment
// and not yet begun the next.
func (r *Reader) over() error {
	switch {
	case len(r.more) == 0:
		return io.EOF
	case r.end != nil:
		return r.fault(r.off, "the tape ends here, and segment %d follows", r.more[0])
	case !r.goesOn:
		return r.fault(r.off, "it is cut off: segment %d follows, and this one has no end", r.more[0])
	}
	before := r.Head
	if err := r.open(); err != nil {
		return err
	}
	if h := &r.Head; h.Records != r.records || h.Cores != r.cores || h.Node != before.Node || h.Cluster != before.Cluster {
		return r.fault(headerLen, "it goes on behind %d records and %d cores of node %s in cluster %s, the segment before ends with %d and %d of node %s in cluster %s",
			h.Records, h.Cores, h.Node, h.Cluster, r.records, r.cores, before.Node, before.Cluster)
	}
	return nil
}
