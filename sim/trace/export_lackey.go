package trace

import (
	"bufio"
	"errors"
	"os"
	"strconv"
)

// lackeySink writes the text of Valgrind's lackey: an I line for each instruction, of which no address is known, a line for each
// reference, and a line of the scheduler where the thread changes. It has no maps and no block operations.
type lackeySink struct {
	out    *bufio.Writer
	line   []byte
	thread uint16
	refs   uint64
	losses
}

func newLackeySink(f *os.File, _ ExportOptions) (sink, error) {
	s := &lackeySink{out: newOut(f)}
	_, err := s.out.WriteString("==0== Lackey, an example Valgrind tool\n==0== (written by splitkernel: the addresses of instructions are not known)\n")
	return s, err
}

const instructionLine = "I  00000000,1\n"

func (s *lackeySink) batch(b *Batch, _ Source) error {
	for i := range b.Events {
		if b.Events[i].Kind.IsBlock() {
			s.add("block operations left out", 1)
		} else {
			s.add("map events left out", 1)
		}
	}
	for i := range b.Refs {
		if err := s.ref(&b.Refs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *lackeySink) ref(r *Ref) error {
	s.refs++
	if r.Thread != s.thread {
		s.thread = r.Thread
		s.line = append(s.line[:0], "--0--   SCHED["...)
		s.line = strconv.AppendUint(s.line, uint64(r.Thread)+1, 10)
		s.line = append(s.line, "]:  acquired lock (splitkernel)\n"...)
		if _, err := s.out.Write(s.line); err != nil {
			return err
		}
	}
	gap := r.Gap
	if gap > maxGapLines {
		s.add("gaps of more instructions than are written as lines, cut to "+strconv.Itoa(maxGapLines), 1)
		gap = maxGapLines
	}
	for range gap {
		if _, err := s.out.WriteString(instructionLine); err != nil {
			return err
		}
	}
	size := r.Size
	if size == 0 {
		s.add("references of unknown size, written as 1 byte", 1)
		size = 1
	}
	op := byte('L')
	if r.Write() {
		op = 'S'
	}
	s.line = append(s.line[:0], ' ', op, ' ')
	s.line = appendHex8(s.line, r.Addr)
	s.line = append(s.line, ',')
	s.line = strconv.AppendUint(s.line, uint64(size), 10)
	s.line = append(s.line, '\n')
	_, err := s.out.Write(s.line)
	return err
}

// appendHex8 appends at least 8 hex digits, as lackey does.
func appendHex8(b []byte, v uint64) []byte {
	for n := 7; n > 0 && v>>(4*n) == 0; n-- {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, v, 16)
}

func (s *lackeySink) finish(Source) ([]string, error) {
	if s.refs == 0 {
		return nil, errors.New("the trace has no references, and lackey writes nothing else (fio-iolog and oraclegeneral take block operations)")
	}
	return s.list(), s.out.Flush()
}
