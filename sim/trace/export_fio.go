package trace

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// fioSink writes an iolog of fio, version 3: each volume is a file. It has no references and no maps.
type fioSink struct {
	out    *bufio.Writer
	line   []byte
	names  []string // of the volumes that were opened
	opened []bool
	lastUs uint64
	ops    uint64
	losses
}

func newFioSink(f *os.File, _ ExportOptions) (sink, error) {
	s := &fioSink{out: newOut(f)}
	_, err := s.out.WriteString(fioHead3 + "\n")
	return s, err
}

func (s *fioSink) batch(b *Batch, src Source) error {
	s.add("references left out", uint64(len(b.Refs)))
	for i := range b.Events {
		e := &b.Events[i]
		if !e.Kind.IsBlock() {
			s.add("map events left out", 1)
			continue
		}
		if err := s.event(e, src); err != nil {
			return err
		}
	}
	return nil
}

func (s *fioSink) event(e *Event, src Source) error {
	s.ops++
	if e.TimeNs%1000 != 0 {
		s.add("times cut to whole µs", 1)
	}
	s.lastUs = e.TimeNs / 1000
	if err := s.open(e.Volume, src); err != nil {
		return err
	}
	switch e.Kind {
	case BlockFlush:
		s.put(e.Volume, "sync", 0, 0)
	case BlockWrite:
		s.put(e.Volume, "write", e.Offset, e.Length)
	default:
		s.put(e.Volume, "read", e.Offset, e.Length)
	}
	_, err := s.out.Write(s.line)
	return err
}

// open writes that a volume is used from now on.
func (s *fioSink) open(v uint32, src Source) error {
	if int(v) < len(s.opened) && s.opened[v] {
		return nil
	}
	infos := src.Header().Volumes
	for int(v) >= len(s.opened) {
		s.opened = append(s.opened, false)
		s.names = append(s.names, "")
	}
	if int(v) >= len(infos) {
		return fmt.Errorf("a block event names volume %d, the header has %d", v, len(infos))
	}
	name := strings.Join(strings.Fields(infos[v].Name), "_")
	if name != infos[v].Name {
		s.add("names of volumes changed, for fio takes no blanks and no empty ones", 1)
	}
	if name == "" {
		name = fmt.Sprint("volume", v)
	}
	s.opened[v], s.names[v] = true, name
	_, err := fmt.Fprintf(s.out, "%d %s add\n%d %s open\n", s.lastUs, name, s.lastUs, name)
	return err
}

// put makes a line.
func (s *fioSink) put(v uint32, action string, offset, length uint64) {
	s.line = strconv.AppendUint(s.line[:0], s.lastUs, 10)
	s.line = append(s.line, ' ')
	s.line = append(s.line, s.names[v]...)
	s.line = append(s.line, ' ')
	s.line = append(s.line, action...)
	s.line = append(s.line, ' ')
	s.line = strconv.AppendUint(s.line, offset, 10)
	s.line = append(s.line, ' ')
	s.line = strconv.AppendUint(s.line, length, 10)
	s.line = append(s.line, '\n')
}

func (s *fioSink) finish(Source) ([]string, error) {
	if s.ops == 0 {
		return nil, errors.New("the trace has no block operations, and an iolog has nothing else (lackey and oraclegeneral take references)")
	}
	for v, name := range s.names {
		if s.opened[v] {
			if _, err := fmt.Fprintf(s.out, "%d %s close\n", s.lastUs, name); err != nil {
				return nil, err
			}
		}
	}
	return s.list(), s.out.Flush()
}
