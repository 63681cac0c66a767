package tapes

import (
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// other is an error that is no *wire.Error itself: of its chain a core sees the kind, and of all of it the text.
type other struct {
	kind wire.Kind
	text string
}

func (e *other) Error() string { return e.text }
func (e *other) Unwrap() error { return &wire.Error{Kind: e.kind} }

// Forms of an error.
const (
	formNone  = 0
	formWire  = 1
	formOther = 2
)

// Error is an error as a core sees it: its kind and its text.
func Error(c *tape.Coder, err *error) {
	form, kind, text := uint8(formNone), wire.KindNone, ""
	if !c.Reads() && *err != nil {
		if e, ok := (*err).(*wire.Error); ok {
			form, kind, text = formWire, e.Kind, e.Text
		} else {
			form, kind, text = formOther, wire.KindOf(*err), (*err).Error()
		}
	}
	if tape.Below(c, &form, formOther+1); form != formNone {
		tape.Num(c, &kind)
		tape.Text(c, &text)
	}
	if !c.Reads() {
		return
	}
	switch form {
	case formNone:
		*err = nil
	case formWire:
		*err = &wire.Error{Kind: kind, Text: text}
	case formOther:
		*err = &other{kind, text}
	}
}

// SumError adds an error to a checksum.
func SumError(s tape.Sum, err error) tape.Sum {
	if err == nil {
		return s.Uint(0)
	}
	return s.Uint(uint64(wire.KindOf(err)) + 1).String(err.Error())
}

// Message is a message of the wire, or anything that can be one.
func Message[T any](c *tape.Coder, m *T) {
	if !c.Reads() {
		b := wire.Marshal(m)
		c.Bytes(&b)
		return
	}
	var b []byte
	if c.Bytes(&b); c.Err() != nil {
		return
	}
	var v T
	if err := wire.Unmarshal(b, &v); err != nil {
		c.Fail("%v", err)
		return
	}
	*m = v
}

// SumMessage adds a message, all its fields, to a checksum.
func SumMessage(s tape.Sum, m any) tape.Sum { return s.Bytes(wire.Marshal(m)) }

// Optional is a value that may be nil.
func Optional[T any](c *tape.Coder, v **T, each func(*T)) {
	is := *v != nil
	if c.Bool(&is); !is {
		*v = nil
		return
	}
	if c.Reads() {
		*v = new(T)
	}
	each(*v)
}

// MaxEffects bounds the effects of one input that a tape may name.
const MaxEffects = 1 << 20

// Kinds are the kinds of the effects of one input.
func Kinds[K ~uint8](c *tape.Coder, kinds *[]K) {
	tape.List(c, kinds, MaxEffects, func(k *K) { tape.Num(c, k) })
}
