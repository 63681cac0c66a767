package replay

import (
	"encoding/binary"
	"fmt"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/sim/check"
)

// plan is what a taker makes ready while the process still runs at the giver.
type plan struct {
	Spec  Spec
	Batch uint64 // at which the process is; all repetitions read the same
}

// luggage is what a process takes along beside its pages: wire.Marshal of it, behind its length, then the versions that its
// pages and its sectors must hold. Those are the bulk, so they are copied once and not through the encoder.
type luggage struct {
	Proc     pcomponent.State
	At       place
	Maps     []Span
	Brk      uint64
	Done     uint64
	Requests uint64
	Seconds  float64
	Began    bool
	Late     uint64
	Shown    []string
	Parts    []Part
	Pages    uint64   // bytes of versions
	Sectors  []uint64 // the same, by volume in the order of Spec.Volumes
	Keep     []byte   // of its checkpoints, nil makes none; in a checkpoint of a virtual process its counts
}

// Span is a mapped range of bytes.
type Span struct{ Addr, Length uint64 }

// exportState gives the state of a process that stands still and is drained.
func (j *job) exportState(p *pcomponent.Process, seconds float64) ([]byte, error) {
	proc, err := p.Export()
	if err != nil {
		return nil, err
	}
	s := luggage{
		Proc: proc, At: j.at, Brk: j.maps.brk, Done: j.done.Load(), Requests: j.requests.Load(), Seconds: seconds, Began: j.began, Late: j.late,
		Shown: j.shown, Parts: addPart(j.parts, j.part(p)),
	}
	if j.keep != nil {
		s.Keep = j.keep.core.Snapshot(nil)
	}
	return j.encodeState(s), nil
}

// encodeState adds what is mapped and the versions of pages and sectors to a state, and encodes it.
func (j *player) encodeState(s luggage) []byte {
	for _, m := range j.maps.ranges {
		s.Maps = append(s.Maps, Span{m.addr, m.length})
	}
	bulk := j.pages.Export(nil)
	s.Pages = uint64(len(bulk))
	for _, v := range j.volumes {
		n := len(bulk)
		bulk = v.sectors.Export(bulk)
		s.Sectors = append(s.Sectors, uint64(len(bulk)-n))
	}
	head := wire.Marshal(&s)
	out := make([]byte, 0, 4+len(head)+len(bulk))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(head)))
	out = append(out, head...)
	return append(out, bulk...)
}

// parseState takes a state apart: what exportState gave.
func parseState(b []byte) (s luggage, bulk []byte, err error) {
	if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
		return s, nil, fmt.Errorf("the state of %d bytes is cut off", len(b))
	}
	n := binary.LittleEndian.Uint32(b)
	if err := wire.Unmarshal(b[4:4+n], &s); err != nil {
		return s, nil, err
	}
	bulk = b[4+n:]
	want := s.Pages
	for _, n := range s.Sectors {
		if n > uint64(len(bulk)) {
			want = ^uint64(0)
			break
		}
		want += n
	}
	if want != uint64(len(bulk)) {
		return s, nil, fmt.Errorf("the state has %d bytes of versions, its head says otherwise", len(bulk))
	}
	return s, bulk, nil
}

// importState makes a job ready to go on where another pComponent stopped. Its volumes are filled in by adopt.
func (j *job) importState(s *luggage, bulk []byte) error {
	if len(s.Sectors) != len(j.spec.Volumes) {
		return fmt.Errorf("the state has sectors of %d volumes, the process has %d", len(s.Sectors), len(j.spec.Volumes))
	}
	if s.At.Repeat < 0 || s.At.Ref < 0 || s.At.Event < 0 {
		return fmt.Errorf("the state stands at %+v", s.At)
	}
	if err := j.pages.Import(bulk[:s.Pages]); err != nil {
		return err
	}
	bulk = bulk[s.Pages:]
	for i, n := range s.Sectors {
		t := check.NewSectors(j.spec.Volumes[i].ID)
		if err := t.Import(bulk[:n]); err != nil {
			return fmt.Errorf("volume %d: %w", j.spec.Volumes[i].ID, err)
		}
		bulk = bulk[n:]
		j.volumes = append(j.volumes, &volume{sectors: t, buf: make([]byte, 0, MaxRequestBytes)})
	}
	for _, m := range s.Maps {
		j.maps.ranges = append(j.maps.ranges, span{m.Addr, m.Length})
	}
	j.maps.brk = s.Brk
	j.at, j.began, j.late, j.shown, j.parts, j.ran = s.At, s.Began, s.Late, s.Shown, s.Parts, s.Seconds
	j.done.Store(s.Done)
	j.issued, j.keepState = s.Done, s.Keep
	j.requests.Store(s.Requests)
	for i := range s.Parts {
		j.before = j.before.Plus(intervalOfCounters(&s.Parts[i].Counters))
	}
	j.reach()
	return nil
}

// adopt takes over the process that was opened for the job.
func (j *job) adopt(p *pcomponent.Process) error {
	for i, v := range j.volumes {
		vol := p.Volume(j.spec.Volumes[i].ID)
		if v.blocks = vol; vol == nil {
			return fmt.Errorf("volume %d is not attached", j.spec.Volumes[i].ID)
		}
	}
	j.proc.Store(p)
	if !j.spec.Checkpoints.On {
		return nil
	}
	head := checkpoint.KeeperHead{Epoch: j.spec.Epoch, From: j.from, State: j.keepState}
	return j.keepBy(p, p.Volume(j.spec.Store.ID), head)
}
