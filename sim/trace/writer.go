package trace

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Writer writes a .skt file. The file has its name only after Close: until
// then it is NAME.partial. Not safe for concurrent use.
type Writer struct {
	path  string
	file  *os.File
	out   *bufio.Writer
	enc   *zstd.Encoder
	h     Header
	off   uint64 // bytes written
	index []blockEntry

	raw    []byte // references of the open block
	packed []byte
	events []Event
	refs   int
	state  refState

	footprint pageSet
	threads   map[uint16]struct{}
	err       error // the first; sticky
}

// encoders are kept from one file to the next, for their tables are of megabytes. The
// best level takes three to six times as long for files that are 7 to 15 % smaller.
var encoders = sync.Pool{New: func() any {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		panic(err) // only wrong options fail
	}
	return enc
}}

// Create begins a trace at path, replacing a file there once Close succeeds.
// Totals in h are ignored: the writer counts. Volumes in h may be added to
// later with AddVolume.
func Create(path string, h Header) (*Writer, error) {
	if h.Granularity == 0 {
		h.Granularity = 1
	}
	if err := checkHeader(&h); err != nil {
		return nil, fmt.Errorf("%s: header: %w", path, err)
	}
	h.Refs, h.Reads, h.Writes, h.Instructions, h.FootprintPages = 0, 0, 0, 0, 0
	h.Threads, h.Maps, h.BlockOps = 0, 0, 0
	h.Volumes = append([]VolumeInfo(nil), h.Volumes...)
	f, err := os.Create(path + ".partial")
	if err != nil {
		return nil, fmt.Errorf("cannot write a trace: %w", err)
	}
	w := &Writer{path: path, file: f, out: bufio.NewWriterSize(f, 256<<10), enc: encoders.Get().(*zstd.Encoder), h: h, threads: map[uint16]struct{}{}}
	w.write(appendPreamble(nil))
	w.record(recordHead{magic: magicHeader}, appendHeader(nil, &w.h))
	return w, w.err
}

// checkHeader holds a header to the limits of the format.
func checkHeader(h *Header) error {
	var errs []error
	if h.Granularity != 1 && h.Granularity != PageBytes {
		errs = append(errs, fmt.Errorf("granularity %d, want 1 or %d", h.Granularity, PageBytes))
	}
	if len(h.Volumes) > MaxVolumes {
		errs = append(errs, fmt.Errorf("%d volumes, at most %d", len(h.Volumes), MaxVolumes))
	}
	if len(h.Args) > MaxArgs || len(h.DefaultsStated) > MaxArgs {
		errs = append(errs, fmt.Errorf("more than %d arguments or defaults", MaxArgs))
	}
	for _, v := range h.Volumes {
		if len(v.Name) > MaxNameBytes {
			errs = append(errs, fmt.Errorf("volume name of %d bytes, at most %d", len(v.Name), MaxNameBytes))
		}
	}
	if n := len(appendHeader(nil, h)); n > MaxHeaderBytes {
		errs = append(errs, fmt.Errorf("%d bytes, at most %d", n, MaxHeaderBytes))
	}
	return errors.Join(errs...)
}

// AddVolume adds a volume and returns its index for Event.Volume.
func (w *Writer) AddVolume(v VolumeInfo) (uint32, error) {
	if len(w.h.Volumes) >= MaxVolumes {
		return 0, w.fail(fmt.Errorf("%s: more than %d volumes", w.path, MaxVolumes))
	}
	if len(v.Name) > MaxNameBytes {
		v.Name = v.Name[:MaxNameBytes]
	}
	w.h.Volumes = append(w.h.Volumes, v)
	return uint32(len(w.h.Volumes) - 1), nil
}

// SetVolumeSize raises the size of a volume to at least size bytes.
func (w *Writer) SetVolumeSize(volume uint32, size uint64) {
	v := &w.h.Volumes[volume]
	v.SizeBytes = max(v.SizeBytes, size)
}

// Totals returns the header with what has been counted so far.
func (w *Writer) Totals() Header {
	h := w.h
	h.FootprintPages = w.footprint.len()
	h.Threads = len(w.threads)
	return h
}

// Ref appends a reference, split in two where it straddles a page.
func (w *Writer) Ref(r Ref) error {
	if w.err != nil {
		return w.err
	}
	if room := PageBytes - r.Addr&(PageBytes-1); uint64(r.Size) > room {
		rest := r
		r.Size = uint8(room)
		rest.Addr += room
		rest.Size -= uint8(room)
		rest.Gap = 0
		if err := w.ref(r); err != nil {
			return err
		}
		return w.ref(rest)
	}
	return w.ref(r)
}

func (w *Writer) ref(r Ref) error {
	if w.refs == MaxBlockRefs {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.refs++
	w.h.Refs++
	if r.Write() {
		w.h.Writes++
	} else {
		w.h.Reads++
	}
	w.h.Instructions += uint64(r.Gap)
	if r.Thread != w.state.thread || w.refs == 1 {
		w.threads[r.Thread] = struct{}{}
	}
	w.footprint.add(r.Page())
	w.raw = appendRef(w.raw, &w.state, r)
	return nil
}

// Event appends an event, which happens before the next reference. e.At is
// ignored.
func (w *Writer) Event(e Event) error {
	if w.err != nil {
		return w.err
	}
	if err := checkEvent(&e, len(w.h.Volumes)); err != nil {
		return w.fail(fmt.Errorf("%s: before reference %d: %w", w.path, w.h.Refs, err))
	}
	if len(w.events) == MaxBlockEvents {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if e.Kind.IsMap() {
		w.h.Maps++
		w.h.HasMaps = true
	} else {
		w.h.BlockOps++
	}
	e.At = w.refs
	w.events = append(w.events, e)
	return nil
}

// flush writes the open block.
func (w *Writer) flush() error {
	if w.refs == 0 && len(w.events) == 0 {
		return w.err
	}
	head := recordHead{magic: magicBlock, refs: uint32(w.refs), events: uint32(len(w.events)),
		refBytes: uint32(len(w.raw)), first: w.h.Refs - uint64(w.refs)}
	prev := 0
	for i := range w.events {
		w.raw = appendEvent(w.raw, prev, &w.events[i])
		prev = w.events[i].At
	}
	e := blockEntry{refs: head.refs, events: head.events}
	before := w.off
	w.record(head, w.raw)
	e.bytes = uint32(w.off - before)
	w.index = append(w.index, e)
	w.raw, w.events, w.refs, w.state = w.raw[:0], w.events[:0], 0, refState{}
	return w.err
}

// record packs raw and writes it behind its head.
func (w *Writer) record(h recordHead, raw []byte) {
	w.packed = w.enc.EncodeAll(raw, w.packed[:0])
	h.rawLen, h.packedLen = uint32(len(raw)), uint32(len(w.packed))
	h.crc = crc32.Checksum(w.packed, castagnoli)
	w.write(h.append(nil))
	w.write(w.packed)
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.out.Write(b)
	w.off += uint64(n)
	if err != nil {
		w.fail(fmt.Errorf("cannot write a trace: %w", err))
	}
}

func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}

// Close writes index and trailer and gives the file its name. If anything
// failed before, it removes the file and returns that error.
func (w *Writer) Close() error {
	if w.file == nil {
		return w.err
	}
	w.flush()
	w.h = w.Totals()
	off := w.off
	raw := appendIndex(nil, &w.h, w.index)
	if len(raw) > MaxIndexBytes || len(raw) > math.MaxUint32 {
		w.fail(fmt.Errorf("%s: an index of %d bytes, at most %d: the trace is too long for one file", w.path, len(raw), MaxIndexBytes))
	}
	w.record(recordHead{magic: magicIndex}, raw)
	w.write(appendTrailer(nil, off, w.off+trailerBytes))
	if err := w.out.Flush(); err != nil {
		w.fail(fmt.Errorf("cannot write a trace: %w", err))
	}
	if w.err != nil {
		return w.Abort()
	}
	encoders.Put(w.enc)
	file := w.file
	w.file = nil
	if err := file.Close(); err != nil {
		return w.fail(fmt.Errorf("cannot write a trace: %w", err))
	}
	if err := os.Rename(file.Name(), w.path); err != nil {
		return w.fail(fmt.Errorf("cannot write a trace: %w", err))
	}
	return nil
}

// Abort removes what was written and returns the error that led to it.
func (w *Writer) Abort() error {
	if w.file == nil {
		return w.err
	}
	encoders.Put(w.enc)
	w.file.Close()
	os.Remove(w.file.Name())
	w.file = nil
	return w.fail(fmt.Errorf("%s: the trace was given up before its end", w.path))
}
