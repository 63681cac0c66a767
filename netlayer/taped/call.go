package taped

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// Answer is what came out of a call: the kinds of its effects in order, and a checksum of all their fields and of whatever else
// the call gave.
type Answer struct {
	Kinds []byte
	Sum   tape.Sum
}

// Add adds an effect of a kind, with all its fields.
func (a *Answer) Add(kind uint8, fields any) {
	a.Kinds = append(a.Kinds, kind)
	a.Sum = a.Sum.Bytes(wire.Marshal(fields))
}

// Err adds the error that the call gave, which may be nil.
func (a *Answer) Err(err error) {
	if err != nil {
		a.Sum = a.Sum.Uint(uint64(wire.KindOf(err))).String(err.Error())
	}
}

// MaxEffects bounds the effects of one call that a record may hold.
const MaxEffects = 1 << 20

// Call is the record of a call:
//
//	number of effects   their kinds, a byte each   checksum, 4 bytes   kind byte   arguments, as the core writes them
type Call struct {
	Effects []byte
	Sum     uint32
	Kind    uint8
	Args    []byte
}

// Read takes a record apart. Its slices are part of b.
func (c *Call) Read(b []byte) error {
	r := tape.NewReader(b)
	c.Effects = r.Bytes()
	c.Sum, c.Kind = r.Word(), r.Byte(0)
	if len(c.Effects) > MaxEffects {
		r.Fail("%d effects, at most %d", len(c.Effects), MaxEffects)
	}
	c.Args = b[len(b)-r.Rest():]
	return r.Err()
}

// Differs says how an answer differs from what was recorded; nil if it does not. Name names effects.
func (c *Call) Differs(a Answer, name func(kind uint8) string) error {
	names := func(kinds []byte) (out []string) {
		for _, k := range kinds {
			out = append(out, name(k))
		}
		return out
	}
	switch sum := a.Sum.Word(); {
	case !slices.Equal(a.Kinds, c.Effects):
		return fmt.Errorf("its effects are %v, recorded were %v", names(a.Kinds), names(c.Effects))
	case sum != c.Sum:
		return fmt.Errorf("its effects %v are of the recorded kinds, with other fields (checksum %08x, recorded %08x)", names(a.Kinds), sum, c.Sum)
	}
	return nil
}

// Log writes the records of one core. The zero value is off.
type Log struct {
	t    tape.Tape
	core Core // whose state the tape wants now and then
	buf  []byte
}

// Record begins the tape of a core, which Log is embedded beside, before its first call. Nil for r is off.
func (l *Log) Record(r tape.Recorder, core Core, kind string, head any) {
	if r != nil {
		l.t, l.core = r.Open(kind, wire.Marshal(head)), core
	}
}

// End says that the core is needed no more: what is called after it is not recorded.
func (l *Log) End() {
	if l.t != nil {
		l.t.End()
		l.t = nil
	}
}

// On reports whether there is a tape.
func (l *Log) On() bool { return l.t != nil }

// Put records a call whose arguments are a message.
func (l *Log) Put(kind uint8, a Answer, args any) {
	l.EndRecord(append(l.BeginRecord(kind, a), wire.Marshal(args)...))
}

// Bare records a call without arguments.
func (l *Log) Bare(kind uint8, a Answer) { l.EndRecord(l.BeginRecord(kind, a)) }

// BeginRecord begins the record of a call. The caller appends the arguments and gives it to EndRecord.
func (l *Log) BeginRecord(kind uint8, a Answer) []byte {
	b := tape.AppendBytes(l.buf[:0], a.Kinds)
	return append(binary.LittleEndian.AppendUint32(b, a.Sum.Word()), kind)
}

// EndRecord records what BeginRecord began.
func (l *Log) EndRecord(b []byte) {
	l.buf = b
	if l.t.Record(b) {
		l.t.State(l.core.Snapshot(nil))
	}
}

// ErrKind is of a record that names no call of its core.
var ErrKind = errors.New("a call that this version does not know")

// Core is a core that is made again. Its methods are called by one goroutine.
type Core interface {
	// Apply makes a call with the arguments of a record. It says in words what the call is. The error is of arguments that cannot be
	// read, and then the call was not made. It panics where the call does.
	Apply(kind uint8, args []byte) (a Answer, what string, err error)
	// EffectName names a kind of effect.
	EffectName(kind uint8) string
	// Show gives the state for people, in lines.
	Show() string
	// Snapshot appends the state. Equal states give equal bytes.
	Snapshot(b []byte) []byte
	// Restore takes a snapshot over into a core that was made as the one which it is of, and has heard nothing yet.
	Restore(b []byte) error
	CheckInvariants() error
}

// Error is an error as a record has it: what wire.KindOf gives for it, and all that it says.
type Error struct {
	Kind wire.Kind
	Text string
}

// ErrorOf gives err as a record has it; nil for none.
func ErrorOf(err error) *Error {
	if err == nil {
		return nil
	}
	return &Error{wire.KindOf(err), err.Error()}
}

func (e *Error) Error() string { return e.Text }

// As makes wire.KindOf give the kind.
func (e *Error) As(target any) bool {
	w, ok := target.(**wire.Error)
	if ok {
		*w = &wire.Error{Kind: e.Kind, Text: e.Text}
	}
	return ok
}

// Err gives what a core is told: nil for none.
func (e *Error) Err() error {
	if e == nil {
		return nil
	}
	return e
}

// Read reads arguments that are a message.
func Read[T any](args []byte) (v T, err error) {
	err = wire.Unmarshal(args, &v)
	return v, err
}

// None reads the arguments of a call without any.
func None(args []byte) error {
	if len(args) > 0 {
		return fmt.Errorf("%d bytes of arguments, want none", len(args))
	}
	return nil
}

// Name gives the name of a number, of names by number.
func Name(names []string, k uint8) string {
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}
	return fmt.Sprintf("number %d", k)
}
