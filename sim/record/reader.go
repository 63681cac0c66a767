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

	"github.com/klauspost/compress/zstd"

	"splitkernel/netlayer/tape"
)

// Record is one of a tape.
type Record struct {
	Core   uint64 // from 1; of the beginning of a core its number, too
	Begins bool   // a core begins: Kind and Data, its head, say which
	Kind   string
	Data   []byte // until the next call of Next
	Offset int64  // of its block
}

// Reader reads a tape. One goroutine uses it.
type Reader struct {
	Head Head

	path   string
	file   io.ReadCloser
	in     *bufio.Reader
	dec    *zstd.Decoder
	off    int64 // of what follows in the file
	block  int64 // offset of the block that is read
	number uint32
	packed []byte
	raw    []byte
	rest   tape.Reader
	cores  uint64
	end    *End
}

// Open opens a tape.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open a tape: %w", err)
	}
	r, err := newReader(path, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func newReader(path string, f io.ReadCloser) (*Reader, error) {
	r := &Reader{path: path, file: f, in: bufio.NewReaderSize(f, 1<<16)}
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
	if err := json.Unmarshal(head[headerLen:sum], &r.Head); err != nil {
		return nil, r.fault(headerLen, "the head cannot be read: %v", err)
	}
	var err error
	if r.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw)); err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return r, nil
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
	r.dec.Close()
	return r.file.Close()
}

// Next gives the next record. io.EOF comes after the last: if Ended is nil then, the node was killed.
func (r *Reader) Next() (rec Record, err error) {
	for r.rest.Rest() == 0 {
		if err := r.next(); err != nil {
			return rec, err
		}
	}
	rec.Offset = r.block
	rec.Core, rec.Data = r.rest.Uint(), r.rest.Bytes()
	if rec.Core == 0 {
		d := tape.NewReader(rec.Data)
		rec.Begins, rec.Kind = true, d.String()
		if err := d.Err(); err != nil {
			return rec, r.fault(r.block, "the head of a core: %v", err)
		}
		rec.Data = rec.Data[len(rec.Data)-d.Rest():]
		r.cores++
		rec.Core = r.cores
	}
	if err := r.rest.Err(); err != nil {
		return rec, r.fault(r.block, "the records of the block: %v", err)
	}
	if rec.Core > r.cores {
		return rec, r.fault(r.block, "a record of core %d, and %d have begun", rec.Core, r.cores)
	}
	return rec, nil
}

// next reads a block.
func (r *Reader) next() error {
	r.block = r.off
	var head [blockLen]byte
	switch err := r.fill(head[:]); {
	case err == io.EOF:
		return io.EOF
	case err != nil:
		return r.fault(r.off, "it is cut off within the head of block %d, which begins at byte %d", r.number, r.block)
	case r.end != nil:
		return r.fault(r.block, "bytes follow the end of the tape")
	}
	le := binary.LittleEndian
	kind, number, raw, packed := le.Uint32(head[4:]), le.Uint32(head[8:]), le.Uint32(head[12:]), le.Uint32(head[16:])
	switch {
	case le.Uint32(head[:]) != blockMagic:
		return r.fault(r.block, "no block, want block %d", r.number)
	case kind != blockRecords && kind != blockEnd:
		return r.fault(r.block+4, "a block of kind %d, want %d or %d", kind, blockRecords, blockEnd)
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
	var err error
	if r.raw, err = r.dec.DecodeAll(r.packed[blockLen:], r.raw[:0]); err != nil {
		return r.fault(r.block, "block %d: %v", number, err)
	}
	if len(r.raw) != int(raw) {
		return r.fault(r.block, "block %d has %d bytes, its head says %d", number, len(r.raw), raw)
	}
	if kind == blockEnd {
		r.end = new(End)
		if err := json.Unmarshal(r.raw, r.end); err != nil {
			return r.fault(r.block, "how the tape ended cannot be read: %v", err)
		}
		return nil
	}
	r.rest = tape.NewReader(r.raw)
	return nil
}
