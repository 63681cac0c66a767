package cluster

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"splitkernel/sim/tasks"
)

const (
	// runEvents is how many events are sorted in memory at a time: 64 MiB. A longer trace is sorted in parts of so many, which are merged from a
	// temporary file.
	runEvents = 1 << 20
	// MaxSortEvents bounds what is sorted: 64 GiB of temporary file.
	MaxSortEvents = 1 << 30
	eventBytes    = 8 + 8 + 8 + 4 + 8*3 + 4 + 1
	mergeBytes    = 64 << 10 // read at a time of each part
)

// sorter puts events into time order, those of one time in the order of their kinds and then as they came.
type sorter struct {
	limit int // events in memory
	held  []tasks.Event
	file  *os.File
	w     *bufio.Writer
	runs  []run
	n     uint64
	merge []*run // heap
}

// run is a sorted part of the file.
type run struct {
	from, bytes int64
	r           *bufio.Reader
	head        tasks.Event
	number      int
}

func (s *sorter) add(e tasks.Event) error {
	if s.n++; s.n > MaxSortEvents {
		return fmt.Errorf("more than %d events that have to be sorted", MaxSortEvents)
	}
	s.held = append(s.held, e)
	if len(s.held) < s.limit {
		return nil
	}
	return s.spill()
}

// spill writes what is held as a run.
func (s *sorter) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp("", "splitkernel-sort-*")
		if err != nil {
			return fmt.Errorf("cannot sort: %w", err)
		}
		os.Remove(f.Name()) // nameless from the start
		s.file, s.w = f, bufio.NewWriterSize(f, 1<<20)
	}
	slices.SortStableFunc(s.held, tasks.Compare)
	var b [eventBytes]byte
	for _, e := range s.held {
		encode(&b, e)
		if _, err := s.w.Write(b[:]); err != nil {
			return fmt.Errorf("cannot sort: %w", err)
		}
	}
	bytes := int64(len(s.held)) * eventBytes
	from := int64(0)
	if n := len(s.runs); n > 0 {
		from = s.runs[n-1].from + s.runs[n-1].bytes
	}
	s.runs = append(s.runs, run{from: from, bytes: bytes, number: len(s.runs)})
	s.held = s.held[:0]
	return nil
}

// done ends adding; then next gives the events in order.
func (s *sorter) done() error {
	if s.file == nil {
		slices.SortStableFunc(s.held, tasks.Compare)
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.held = nil
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("cannot sort: %w", err)
	}
	for i := range s.runs {
		r := &s.runs[i]
		r.r = bufio.NewReaderSize(io.NewSectionReader(s.file, r.from, r.bytes), mergeBytes)
		if err := s.push(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *sorter) next() (tasks.Event, error) {
	if s.file == nil {
		if len(s.held) == 0 {
			return tasks.Event{}, io.EOF
		}
		e := s.held[0]
		s.held = s.held[1:]
		return e, nil
	}
	if len(s.merge) == 0 {
		return tasks.Event{}, io.EOF
	}
	r := s.merge[0]
	e := r.head
	s.merge[0] = s.merge[len(s.merge)-1]
	s.merge = s.merge[:len(s.merge)-1]
	s.down()
	return e, s.push(r)
}

// push reads the next of a run and puts it into the heap.
func (s *sorter) push(r *run) error {
	var b [eventBytes]byte
	if _, err := io.ReadFull(r.r, b[:]); err == io.EOF {
		return nil
	} else if err != nil {
		return fmt.Errorf("cannot sort: %w", err)
	}
	r.head = decode(&b)
	s.merge = append(s.merge, r)
	for i := len(s.merge) - 1; i > 0; {
		up := (i - 1) / 2
		if !s.less(i, up) {
			break
		}
		s.merge[i], s.merge[up] = s.merge[up], s.merge[i]
		i = up
	}
	return nil
}

func (s *sorter) down() {
	for i := 0; ; {
		c := 2*i + 1
		if c+1 < len(s.merge) && s.less(c+1, c) {
			c++
		}
		if c >= len(s.merge) || !s.less(c, i) {
			return
		}
		s.merge[i], s.merge[c] = s.merge[c], s.merge[i]
		i = c
	}
}

func (s *sorter) less(i, j int) bool {
	a, b := s.merge[i], s.merge[j]
	if c := tasks.Compare(a.head, b.head); c != 0 {
		return c < 0
	}
	return a.number < b.number
}

func (s *sorter) close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.held, s.merge = nil, nil
}

func encode(b *[eventBytes]byte, e tasks.Event) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], uint64(e.At))
	le.PutUint64(b[8:], uint64(e.Lasts))
	le.PutUint64(b[16:], e.ID.Job)
	le.PutUint32(b[24:], e.ID.Index)
	le.PutUint64(b[28:], uint64(e.Size.Cores))
	le.PutUint64(b[36:], uint64(e.Size.Memory))
	le.PutUint64(b[44:], uint64(e.Size.GPUs))
	le.PutUint32(b[52:], uint32(e.Priority))
	b[56] = byte(e.Kind)
}

func decode(b *[eventBytes]byte) tasks.Event {
	le := binary.LittleEndian
	return tasks.Event{
		At: time.Duration(le.Uint64(b[0:])), Lasts: time.Duration(le.Uint64(b[8:])), ID: tasks.ID{Job: le.Uint64(b[16:]), Index: le.Uint32(b[24:])},
		Size:     tasks.Size{Cores: int64(le.Uint64(b[28:])), Memory: int64(le.Uint64(b[36:])), GPUs: int64(le.Uint64(b[44:]))},
		Priority: int32(le.Uint32(b[52:])), Kind: tasks.Kind(b[56]),
	}
}
