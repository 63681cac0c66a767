package trace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// oracleSink writes oracleGeneral. The number of the next request for an id is only known when the trace has been read, so it is put in
// afterwards, from the end of the file to its beginning; that takes a map of the ids, some 40 to 80 bytes each.
type oracleSink struct {
	file     *os.File
	out      *bufio.Writer
	ids      string // page, block or lba; "" = not decided yet
	n        uint64 // requests
	now      uint64 // ns
	writes   uint64
	single   bool // ids of volume 0 have no room for those of another
	volumes  bool // there is another
	record   [24]byte
	backward int // records that are read at a time on the way back
	losses
}

const (
	// oracleVolumeShift is where the number of a volume stands in the id of a 4 KiB block: each may have 64 PiB.
	oracleVolumeShift = 44
	oracleBackward    = 1 << 16
)

func newOracleSink(f *os.File, o ExportOptions) (sink, error) {
	return &oracleSink{file: f, out: newOut(f), ids: o.IDs, backward: oracleBackward}, nil
}

func (s *oracleSink) batch(b *Batch, src Source) error {
	if s.ids == "" {
		switch {
		case len(b.Refs) > 0 || src.Header().Refs > 0:
			s.ids = "page"
		case slices.ContainsFunc(b.Events, func(e Event) bool { return e.Kind.IsBlock() }):
			s.ids = "block"
		}
	}
	return b.each(s.event, s.ref)
}

func (s *oracleSink) ref(r *Ref) error {
	s.now += uint64(r.Gap)
	if s.ids != "page" {
		s.add("references left out, for ids are of "+s.ids, 1)
		return nil
	}
	s.op(r.Write())
	return s.put(r.Page(), PageBytes)
}

func (s *oracleSink) event(e *Event) error {
	switch {
	case e.Kind.IsMap():
		s.add("map events left out", 1)
		return nil
	case s.ids == "page":
		s.add("block operations left out, for ids are pages", 1)
		return nil
	case e.Kind == BlockFlush:
		s.add("flushes left out", 1)
		return nil
	}
	s.now = e.TimeNs
	s.op(e.Kind == BlockWrite)
	if e.Volume > 0 {
		s.volumes = true
	}
	if s.ids == "lba" {
		return s.lba(e)
	}
	first, last := e.Offset>>PageShift, (e.Offset+max(e.Length, 1)-1)>>PageShift
	if last>>oracleVolumeShift != 0 {
		s.single = true
	}
	if s.single && s.volumes {
		return fmt.Errorf("a request ends at block %d, expected below 2^%d where there are several volumes", last, oracleVolumeShift)
	}
	for b := first; ; b++ {
		if err := s.put(b|uint64(e.Volume)<<oracleVolumeShift, PageBytes); err != nil || b == last {
			return err
		}
	}
}

// lba writes a request as one record whose id is its sector.
func (s *oracleSink) lba(e *Event) error {
	switch {
	case e.Offset%sectorBytes != 0:
		return fmt.Errorf("a request at byte %d, expected a multiple of %d for an id that is a sector (block takes any)", e.Offset, sectorBytes)
	case e.Length > math.MaxUint32:
		return fmt.Errorf("a request of %d bytes, expected below 2^32 (block cuts it into blocks)", e.Length)
	case s.volumes:
		return errors.New("several volumes, expected one for ids that are sectors (block keeps them apart)")
	}
	return s.put(e.Offset/sectorBytes, uint32(e.Length))
}

// op counts what a record has no field for.
func (s *oracleSink) op(write bool) {
	if write {
		s.writes++
	}
}

func (s *oracleSink) put(id uint64, size uint32) error {
	seconds := s.now / 1e9
	if seconds > math.MaxUint32 {
		return fmt.Errorf("a time of %d s, expected below 2^32", seconds)
	}
	s.n++
	r := s.record[:]
	binary.LittleEndian.PutUint32(r, uint32(seconds))
	binary.LittleEndian.PutUint64(r[4:], id)
	binary.LittleEndian.PutUint32(r[12:], size)
	binary.LittleEndian.PutUint64(r[16:], math.MaxUint64) // none
	_, err := s.out.Write(r)
	return err
}

func (s *oracleSink) finish(Source) ([]string, error) {
	if s.n == 0 {
		return nil, errors.New("nothing to write: the trace has none of what ids are to be of")
	}
	if err := s.out.Flush(); err != nil {
		return nil, err
	}
	s.add("writes not told from reads (the format has no operations)", s.writes)
	return append(s.list(), "times cut to whole seconds"), s.link()
}

// link puts in the numbers of next requests, counted from 1.
func (s *oracleSink) link() error {
	const size = 24
	next := map[uint64]uint64{}
	buf := make([]byte, min(s.n, uint64(s.backward))*size)
	for end := s.n; end > 0; {
		first := end - min(end, uint64(s.backward))
		part := buf[:(end-first)*size]
		if _, err := s.file.ReadAt(part, int64(first*size)); err != nil && err != io.EOF {
			return err
		}
		for i := end; i > first; i-- {
			r := part[(i-1-first)*size:]
			id := binary.LittleEndian.Uint64(r[4:])
			if n, ok := next[id]; ok {
				binary.LittleEndian.PutUint64(r[16:], n)
			}
			next[id] = i
		}
		if _, err := s.file.WriteAt(part, int64(first*size)); err != nil {
			return err
		}
		end = first
	}
	return nil
}
