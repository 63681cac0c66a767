package trace

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sort"

	"github.com/klauspost/compress/zstd"
)

// sktSource reads a .skt file. Index and trailer are read when it is opened,
// so that a file cut short is refused before anything is replayed.
type sktSource struct {
	path   string
	file   io.ReaderAt
	closer io.Closer
	dec    *zstd.Decoder
	h      Header
	blocks []blockEntry

	next   int    // block that Next reads
	skip   int    // references of it to skip, after SeekRef
	err    error  // sticky
	packed []byte // head and packed bytes
	raw    []byte
	refs   []Ref
	events []Event
	names  map[string]string
	batch  Batch
}

func openSkt(path string, f *os.File) (*sktSource, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read a trace: %w", err)
	}
	return newSkt(path, f, f, uint64(info.Size()))
}

// newSkt opens size bytes of r as a .skt file named path in errors.
func newSkt(path string, r io.ReaderAt, c io.Closer, size uint64) (*sktSource, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxIndexBytes))
	if err != nil {
		return nil, fmt.Errorf("%s: zstd: %w", path, err)
	}
	s := &sktSource{path: path, file: r, closer: c, dec: dec, names: map[string]string{}}
	if err := s.open(size); err != nil {
		dec.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *sktSource) open(size uint64) error {
	pre := make([]byte, preambleBytes)
	n, err := s.file.ReadAt(pre, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := parsePreamble(pre[:n]); err != nil {
		return err
	}
	if _, err := s.record(magicHeader, preambleBytes, size); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if _, _, err := parseFields(s.raw, false, 0); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	first := uint64(preambleBytes + len(s.packed))
	var off uint64
	err = fmt.Errorf("no trailer, file truncated")
	if size >= preambleBytes+trailerBytes {
		t := make([]byte, trailerBytes)
		if _, err := s.file.ReadAt(t, int64(size-trailerBytes)); err != nil {
			return fmt.Errorf("trailer: %w", err)
		}
		off, err = parseTrailer(t, size)
	}
	if err != nil {
		// Say how far the file is good, rather than only that it is not.
		return s.firstBad(first, size, err)
	}
	if _, err := s.record(magicIndex, off, size-trailerBytes); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if off+uint64(len(s.packed)) != size-trailerBytes {
		return fmt.Errorf("index: ends at %d, expected %d", off+uint64(len(s.packed)), size-trailerBytes)
	}
	s.h, s.blocks, err = parseFields(s.raw, true, first)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	end, refs := first, uint64(0)
	for _, b := range s.blocks {
		end += uint64(b.bytes)
		refs += uint64(b.refs)
	}
	if end != off || refs != s.h.Refs {
		return fmt.Errorf("index: blocks with %d references end at %d, expected %d and %d", refs, end, s.h.Refs, off)
	}
	return nil
}

// firstBad walks the blocks of a file without a good trailer, and names the
// first that is not whole.
func (s *sktSource) firstBad(off, size uint64, cause error) error {
	var refs uint64
	for n := 0; ; n++ {
		h, err := s.record(magicBlock, off, size)
		if err != nil {
			if off == size || h.magic == magicIndex {
				return fmt.Errorf("after %d blocks (%d references): index and trailer expected: %w", n, refs, cause)
			}
			return fmt.Errorf("block %d (reference %d): %w", n, refs, err)
		}
		refs += uint64(h.refs)
		off += uint64(len(s.packed))
	}
}

// record reads the record at off into s.packed and unpacks it into s.raw.
func (s *sktSource) record(want uint32, off, end uint64) (recordHead, error) {
	s.packed = grow(s.packed, headBytes)
	if have := end - min(off, end); have < headBytes {
		return recordHead{}, fmt.Errorf("%d bytes left, expected a record of at least %d, file truncated", have, headBytes)
	}
	if _, err := s.file.ReadAt(s.packed, int64(off)); err != nil {
		return recordHead{}, short(err)
	}
	h, err := parseHead(s.packed, want)
	if err != nil {
		return h, err
	}
	if have := end - off - headBytes; uint64(h.packedLen) > have {
		return h, fmt.Errorf("%d bytes left, expected %d, file truncated", have, h.packedLen)
	}
	s.packed = grow(s.packed, headBytes+int(h.packedLen))
	if _, err := s.file.ReadAt(s.packed[headBytes:], int64(off)+headBytes); err != nil {
		return h, short(err)
	}
	body := s.packed[headBytes:]
	if sum := crc32.Checksum(body, castagnoli); sum != h.crc {
		return h, fmt.Errorf("checksum %08x, expected %08x: the file is corrupt", sum, h.crc)
	}
	// The frame says its own size too: refuse it before it is unpacked.
	var zh zstd.Header
	if err := zh.Decode(body); err != nil {
		return h, fmt.Errorf("zstd: %w", err)
	}
	if !zh.HasFCS || zh.FrameContentSize != uint64(h.rawLen) {
		return h, fmt.Errorf("the frame says %d bytes, expected %d", zh.FrameContentSize, h.rawLen)
	}
	s.raw, err = s.dec.DecodeAll(body, grow(s.raw, int(h.rawLen))[:0])
	if err != nil {
		return h, fmt.Errorf("zstd: %w", err)
	}
	if len(s.raw) != int(h.rawLen) {
		return h, fmt.Errorf("unpacks to %d bytes, expected %d", len(s.raw), h.rawLen)
	}
	return h, nil
}

func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("file truncated: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// grow returns b with length n, reallocated with some room to spare if need be.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		b = append(make([]byte, 0, n+n/4+64), b...)
	}
	return b[:n]
}

func (s *sktSource) Header() Header { return s.h }

// Next implements Source.
func (s *sktSource) Next() (*Batch, error) {
	for s.err == nil && s.next < len(s.blocks) {
		b := &s.blocks[s.next]
		if err := s.block(b); err != nil {
			s.err = fmt.Errorf("%s: block %d (reference %d): %w", s.path, s.next, b.first, err)
			break
		}
		s.next++
		s.batch = Batch{Refs: s.refs, Events: s.events, First: b.first}
		if s.skip > 0 {
			s.trim()
		}
		if len(s.batch.Refs) > 0 || len(s.batch.Events) > 0 {
			return &s.batch, nil
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	return nil, io.EOF
}

// block reads and decodes block b into s.refs and s.events.
func (s *sktSource) block(b *blockEntry) error {
	h, err := s.record(magicBlock, b.off, b.off+uint64(b.bytes))
	if err != nil {
		return err
	}
	if h.refs != b.refs || h.events != b.events || h.first != b.first || len(s.packed) != int(b.bytes) {
		return fmt.Errorf("%d references from %d and %d events, the index says %d from %d and %d",
			h.refs, h.first, h.events, b.refs, b.first, b.events)
	}
	// Every reference takes two bytes and every event three: no allocation
	// beyond what the checked lengths can hold.
	if uint64(h.refs)*2 > uint64(h.refBytes) || uint64(h.events)*3 > uint64(h.rawLen-h.refBytes) {
		return fmt.Errorf("%d references and %d events do not fit in %d and %d bytes", h.refs, h.events, h.refBytes, h.rawLen-h.refBytes)
	}
	if cap(s.refs) < int(h.refs) {
		s.refs = make([]Ref, MaxBlockRefs)
	}
	if cap(s.events) < int(h.events) {
		s.events = make([]Event, h.events)
	}
	s.refs, s.events = s.refs[:h.refs], s.events[:h.events]
	if err := decodeRefs(s.raw[:h.refBytes:h.refBytes], s.refs); err != nil {
		return err
	}
	return decodeEvents(s.raw[h.refBytes:], s.events, int(h.refs), len(s.h.Volumes), s.names)
}

// trim drops what lies before the reference that SeekRef asked for.
func (s *sktSource) trim() {
	n := s.skip
	s.skip = 0
	i := sort.Search(len(s.batch.Events), func(i int) bool { return s.batch.Events[i].At >= n })
	s.batch.Events = s.batch.Events[i:]
	for i := range s.batch.Events {
		s.batch.Events[i].At -= n
	}
	s.batch.Refs = s.batch.Refs[n:]
	s.batch.First += uint64(n)
}

// SeekRef implements Seeker.
func (s *sktSource) SeekRef(n uint64) error {
	if n > s.h.Refs {
		return fmt.Errorf("%s: reference %d of %d", s.path, n, s.h.Refs)
	}
	if s.err != nil {
		return s.err
	}
	// The first block that ends beyond n.
	s.next = sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].first+uint64(s.blocks[i].refs) > n })
	s.skip = 0
	if s.next < len(s.blocks) {
		s.skip = int(n - s.blocks[s.next].first)
	}
	return nil
}

func (s *sktSource) Close() error {
	s.dec.Close()
	s.err = fmt.Errorf("%s: closed", s.path)
	return s.closer.Close()
}
