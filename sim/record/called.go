package record

import (
	"errors"
	"fmt"

	calls "splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// calledCore re-executes a core whose records are calls: which calls there are, and what comes out of them, is said beside the
// core.
type calledCore struct {
	of   string
	c    calls.Core
	call calls.Call
}

func newCalled(of string, c calls.Core, err error) (core, error) {
	if err != nil {
		return nil, err
	}
	return &calledCore{of: of, c: c}, nil
}

func (c *calledCore) name() string { return c.of }

// ended is always true: such a core may stop after any call.
func (c *calledCore) ended() bool   { return true }
func (c *calledCore) close() error  { return nil }
func (c *calledCore) state() string { return c.c.Show() }

func (c *calledCore) snapshot() []byte           { return c.c.Snapshot(nil) }
func (c *calledCore) restore(state []byte) error { return c.c.Restore(state) }

func (c *calledCore) apply(b []byte) (what string, effects int, hits uint64, err error) {
	if err := c.call.Read(b); err != nil {
		return "a record", 0, 0, err
	}
	what = fmt.Sprintf("call %d", c.call.Kind)
	var a calls.Answer
	if perr := calling(func() { a, what, err = c.c.Apply(c.call.Kind, c.call.Args) }); perr != nil || err != nil {
		return what, 0, 0, errors.Join(perr, err)
	}
	return what, len(a.Kinds), 0, c.call.Differs(a, c.c.EffectName)
}

// headed reads the head of a core.
func headed[H any](b []byte) (h H, err error) {
	err = wire.Unmarshal(b, &h)
	return h, err
}
