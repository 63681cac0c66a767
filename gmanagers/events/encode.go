package events

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"splitkernel/netlayer/wire"
)

// encodeVersion is the version of what Encode writes.
const encodeVersion = 1

// Encode returns the log as bytes, for a snapshot; equal logs give equal bytes. Snapshots hold thousands of events and are
// taken while commands wait, so this is written by hand: it takes a twentieth of the time of the general encoding.
//
//	version | last | count | count × event       numbers are varints; the first event is last - count + 1
//	event:  MS | kind | pid | by | region | volume | epoch | move | amount | node | from | to | policy | unit | reason |
//	        candidates | candidates × (id | value | why)           text is its length, then its bytes
func (l *Log) Encode() []byte {
	b := make([]byte, 0, 16+96*len(l.ring))
	b = append(b, encodeVersion)
	b = binary.AppendUvarint(b, l.last)
	b = binary.AppendUvarint(b, uint64(len(l.ring)))
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for n := l.Oldest(); n <= l.last; n++ {
		e := &l.ring[(n-1)%MaxEvents]
		b = binary.AppendVarint(b, e.MS)
		for _, v := range [...]uint64{
			uint64(e.Kind), uint64(e.PID), uint64(e.By), uint64(e.Region), uint64(e.Volume), uint64(e.Epoch), e.Move, e.Amount,
		} {
			b = binary.AppendUvarint(b, v)
		}
		text(string(e.Node))
		text(string(e.From))
		text(string(e.To))
		text(e.Policy)
		text(e.Unit)
		text(e.Reason)
		b = binary.AppendUvarint(b, uint64(len(e.Candidates)))
		for _, c := range e.Candidates {
			text(string(c.ID))
			b = binary.AppendUvarint(b, c.Value)
			text(c.Why)
		}
	}
	return b
}

// Decode makes the log of bytes that Encode wrote, and checks it.
func Decode(b []byte) (*Log, error) {
	r := reader{b: b}
	if v := r.number(); v != encodeVersion && r.err == nil {
		return nil, fmt.Errorf("events: version %d, want %d", v, encodeVersion)
	}
	l := &Log{last: r.number()}
	count := r.number()
	if count > MaxEvents || count > l.last || count < MaxEvents && count != l.last {
		return nil, fmt.Errorf("events: %d of %d events, at most %d", count, l.last, MaxEvents)
	}
	if count == 0 {
		return l, r.end()
	}
	l.ring = make([]Event, count)
	for n := l.Oldest(); n <= l.last && r.err == nil; n++ {
		e := &l.ring[(n-1)%MaxEvents]
		e.Seq, e.MS = n, r.signed()
		e.Kind, e.PID, e.By = Kind(r.below(1<<8)), wire.PID(r.number()), wire.PID(r.number())
		e.Region, e.Volume, e.Epoch = wire.RegionNo(r.number()), wire.VolumeID(r.below(1<<32)), wire.Epoch(r.below(1<<32))
		e.Move, e.Amount = r.number(), r.number()
		e.Node, e.From, e.To = wire.NodeID(r.text()), wire.NodeID(r.text()), wire.NodeID(r.text())
		e.Policy, e.Unit, e.Reason = r.text(), r.text(), r.text()
		for range r.below(MaxCandidates + 1) {
			e.Candidates = append(e.Candidates, Candidate{ID: wire.NodeID(r.text()), Value: r.number(), Why: r.text()})
		}
	}
	return l, errors.Join(r.end(), l.CheckInvariants())
}

var errDecode = errors.New("events: bytes that no log was encoded to")

// reader takes apart what Encode wrote; after the first fault it gives zeros.
type reader struct {
	b   []byte
	err error
	// Names repeat, so equal texts share their memory.
	texts []string
}

func (r *reader) fail() { r.b, r.err = nil, errDecode }

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 { // not the shortest form
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) signed() int64 {
	u := r.number()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) below(n uint64) uint64 {
	v := r.number()
	if v >= n {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	b := r.b[:n]
	r.b = r.b[n:]
	if n == 0 {
		return ""
	}
	if i := slices.IndexFunc(r.texts, func(s string) bool { return s == string(b) }); i >= 0 {
		return r.texts[i]
	}
	s := string(b)
	const kept = 32 // names; a linear search among more costs what it saves
	if n <= maxNameBytes && len(r.texts) < kept {
		r.texts = append(r.texts, s)
	}
	return s
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return r.err
}
