package trace

import (
	"fmt"
	"io"
	"math"
)

// Slice is the part of a trace that has the records From up to, not including, To. References and block operations are counted, from 0;
// map events go with the record behind them. With ByTime, From and To are ns, and of block operations only those between them
// are kept, and no references.
type Slice struct {
	From, To uint64 // To = 0: to the end
	ByTime   bool
}

// Validate says what is wrong with it.
func (o Slice) Validate() error {
	if o.To != 0 && o.To <= o.From {
		return fmt.Errorf("slice: from %d to %d, want an end behind the beginning", o.From, o.To)
	}
	return nil
}

// SliceOf returns the slice of src. It begins with the memory map as it is there, so that every reference lies in a map.
func SliceOf(src Source, o Slice) (Source, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.To == 0 {
		o.To = math.MaxUint64
	}
	return newEdited(src, &slicer{o: o}), nil
}

type slicer struct {
	o       Slice
	n       uint64 // records so far
	begun   bool
	maps    mapState // before the slice
	started uint64   // time of its first block operation
	timed   bool
}

func (s *slicer) header(h *Header) {
	unit := "records"
	if s.o.ByTime {
		unit = "ns"
		h.HasMaps, h.SynthesisedMaps = false, false
	}
	end := "the end"
	if s.o.To != math.MaxUint64 {
		end = fmt.Sprint(s.o.To)
	}
	thinnedToo(h, fmt.Sprintf("a slice: %s %d to %s, times from its first block operation on", unit, s.o.From, end))
}

func (s *slicer) event(out *Batch, e *Event) error {
	switch {
	case s.o.ByTime && e.Kind.IsMap():
		return nil
	case s.o.ByTime:
		if e.TimeNs >= s.o.To {
			return io.EOF
		}
		if e.TimeNs >= s.o.From {
			s.block(out, *e)
		}
		return nil
	case e.Kind.IsMap():
		if s.begun {
			out.addEvent(*e)
		} else {
			s.maps.apply(e)
		}
		return nil
	}
	if inside, err := s.record(out); !inside {
		return err
	}
	s.block(out, *e)
	return nil
}

func (s *slicer) ref(out *Batch, r *Ref) error {
	if s.o.ByTime {
		return nil
	}
	if inside, err := s.record(out); !inside {
		return err
	}
	out.addRef(*r)
	return nil
}

// record counts one, and begins the slice at the first inside.
func (s *slicer) record(out *Batch) (inside bool, err error) {
	n := s.n
	s.n++
	if n >= s.o.To {
		return false, io.EOF
	}
	if n < s.o.From {
		return false, nil
	}
	if !s.begun {
		s.begun = true
		s.maps.emit(out)
	}
	return true, nil
}

// block passes on a block operation, the first one at 0.
func (s *slicer) block(out *Batch, e Event) {
	if !s.timed {
		s.started, s.timed = e.TimeNs, true
	}
	e.TimeNs -= min(e.TimeNs, s.started)
	out.addEvent(e)
}
