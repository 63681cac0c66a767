package trace

import (
	"errors"
	"fmt"
	"io"
)

var errNoSeek = errors.New("a trace of this format cannot be sought in: convert it to .skt")

// Info is what `trace info` prints.
type Info struct {
	Header          Header // as it is at the end of the stream
	Refs            uint64
	Reads           uint64
	Writes          uint64
	FootprintPages  uint64
	WrittenPages    uint64 // pages written at least once
	Threads         int
	ThreadSwitches  uint64
	Instructions    uint64
	Mmaps           uint64
	Munmaps         uint64
	Brks            uint64
	MappedBytes     uint64 // most mapped at one time
	BlockReads      uint64
	BlockWrites     uint64
	BlockFlushes    uint64
	BlockReadBytes  uint64
	BlockWriteBytes uint64
	BlockTimeNs     uint64       // time of the last block event
	ExitCode        int          // of a captured program; 0 elsewhere
	Truncated       string       // why a captured program was stopped before its end, "" = it was not
	Volumes         []VolumeInfo // SizeBytes at least the largest end of a request
}

// Stat reads a source to its end. It does not close it.
func Stat(src Source) (Info, error) {
	var s statter
	for {
		b, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Info{}, err
		}
		s.batch(b)
	}
	s.info.Header = src.Header()
	return s.finish()
}

// statter counts a stream.
type statter struct {
	info    Info
	pages   pageSet
	written pageSet
	threads map[uint16]struct{}
	last    uint16
	ends    []uint64 // by volume
	mapped  coverage
	brk     uint64
	brkSet  bool
}

func (s *statter) batch(b *Batch) {
	for i := range b.Refs {
		r := &b.Refs[i]
		if s.info.Refs == 0 || r.Thread != s.last {
			s.thread(r.Thread)
		}
		s.info.Refs++
		s.info.Instructions += uint64(r.Gap)
		s.pages.add(r.Page())
		if r.Write() {
			s.info.Writes++
			s.written.add(r.Page())
		}
	}
	for i := range b.Events {
		s.event(&b.Events[i])
	}
}

func (s *statter) thread(t uint16) {
	if s.threads == nil {
		s.threads = map[uint16]struct{}{}
	}
	s.threads[t] = struct{}{}
	if s.info.Refs > 0 {
		s.info.ThreadSwitches++
	}
	s.last = t
}

func (s *statter) event(e *Event) {
	i := &s.info
	switch e.Kind {
	case Mmap:
		i.Mmaps++
		s.mapped.add(e.Addr, e.Addr+e.Len)
	case Munmap:
		i.Munmaps++
		s.mapped.remove(e.Addr, e.Addr+e.Len)
	case Brk:
		i.Brks++
		end := pageUp(e.Addr)
		if s.brkSet {
			s.mapped.add(s.brk, end)
			s.mapped.remove(end, s.brk)
		}
		s.brk, s.brkSet = end, true
	case BlockRead:
		i.BlockReads++
		i.BlockReadBytes += e.Length
	case BlockWrite:
		i.BlockWrites++
		i.BlockWriteBytes += e.Length
	case BlockFlush:
		i.BlockFlushes++
	}
	i.MappedBytes = max(i.MappedBytes, s.mapped.bytes)
	if e.Kind.IsBlock() {
		i.BlockTimeNs = max(i.BlockTimeNs, e.TimeNs)
		for int(e.Volume) >= len(s.ends) {
			s.ends = append(s.ends, 0)
		}
		s.ends[e.Volume] = max(s.ends[e.Volume], e.Offset+e.Length)
	}
}

func (s *statter) finish() (Info, error) {
	i := s.info
	i.Reads = i.Refs - i.Writes
	i.FootprintPages, i.WrittenPages = s.pages.len(), s.written.len()
	i.Threads = len(s.threads)
	i.Volumes = append([]VolumeInfo(nil), i.Header.Volumes...)
	if len(s.ends) > len(i.Volumes) {
		return i, fmt.Errorf("a block event names volume %d, the header has %d", len(s.ends)-1, len(i.Volumes))
	}
	for v, end := range s.ends {
		i.Volumes[v].SizeBytes = max(i.Volumes[v].SizeBytes, end)
	}
	return i, nil
}
