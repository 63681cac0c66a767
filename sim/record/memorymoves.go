package record

import (
	"fmt"

	"splitkernel/mcomponent/cachemove"
	"splitkernel/mcomponent/migrate"
	"splitkernel/netlayer/wire"
)

// takerCore re-executes the taking side of moves to an mComponent: of vRegions, or of memory maps.
type takerCore struct {
	head migrate.TakerTapeHead
	t    *migrate.Taker
	in   migrate.TakerInput
}

func newTaker(head []byte) (core, error) {
	c := &takerCore{}
	if err := wire.Unmarshal(head, &c.head); err != nil {
		return nil, err
	}
	var err error
	if c.t, err = c.head.New(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *takerCore) name() string { return fmt.Sprintf("%s that come to %s", c.head.What, c.head.Node) }

// ended is always true: a taker may stop after any input.
func (c *takerCore) ended() bool   { return true }
func (c *takerCore) close() error  { return nil }
func (c *takerCore) state() string { return c.t.Show() }

func (c *takerCore) snapshot() []byte { return c.t.AppendState(nil) }
func (c *takerCore) restore(state []byte) error {
	x, err := c.head.ReadTaker(state)
	if err == nil {
		c.t = x
	}
	return err
}

func (c *takerCore) apply(b []byte) (what string, effects int, hits uint64, err error) {
	if err := c.in.Read(b); err != nil {
		return "a record", 0, 0, err
	}
	var sum uint32
	if err := calling(func() { sum = c.t.Apply(&c.in) }); err != nil {
		return c.in.String(), 0, 0, err
	}
	if sum != c.in.Sum {
		return c.in.String(), 0, 0, fmt.Errorf("its answer has checksum %08x, recorded was %08x", sum, c.in.Sum)
	}
	return c.in.String(), 1, 0, nil
}

// giverCore re-executes the giver of one move of a vRegion or a memory map.
type giverCore struct {
	head migrate.GiverTapeHead
	g    *migrate.Giver
	in   migrate.GiverInput
	m    *memory
	took int64 // of it
}

func newGiver(head []byte, o *ExecuteOptions) (core, error) {
	c := &giverCore{m: o.memory}
	if err := wire.Unmarshal(head, &c.head); err != nil {
		return nil, err
	}
	c.took = int64(min(c.head.Pages, 1<<62) / 8) // a bit of each page
	if err := c.m.take(c.took); err != nil {
		return nil, err
	}
	var err error
	if c.g, err = c.head.New(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *giverCore) name() string { return moveName(c.head.Node, &c.head.Move) }

// moveName names a move by what moves.
func moveName(from wire.NodeID, m *wire.MoveReq) string {
	what := ""
	switch m.Kind {
	case wire.MoveRegion:
		what = fmt.Sprintf("vRegion %d of process %d", m.Region, m.PID)
	case wire.MoveHome:
		what = fmt.Sprintf("the memory map of process %d", m.PID)
	default:
		what = fmt.Sprintf("the buffer cache of volume %d", m.Volume)
	}
	return fmt.Sprintf("move %d of %v: %s from %s to %s", m.Move.No, m.Move.Manager, what, from, m.To)
}

// ended is always true: a move ends with its node at any input.
func (c *giverCore) ended() bool   { return true }
func (c *giverCore) close() error  { return nil }
func (c *giverCore) state() string { return c.g.Show() }

func (c *giverCore) snapshot() []byte { return c.g.AppendState(nil) }
func (c *giverCore) restore(state []byte) error {
	x, err := c.head.ReadGiver(state)
	if err == nil {
		c.g = x
	}
	return err
}

func (c *giverCore) apply(b []byte) (what string, effects int, hits uint64, err error) {
	if err := c.in.Read(b); err != nil {
		return "a record", 0, 0, err
	}
	var got migrate.GiverInput
	if err := calling(func() { got = c.g.Apply(&c.in) }); err != nil {
		return c.in.String(), 0, 0, err
	}
	if c.g.Ended() {
		c.m.left, c.took = c.m.left+c.took, 0
	}
	if err := differ(got.Effects, c.in.Effects, got.Sum, c.in.Sum); err != nil {
		return c.in.String(), 0, 0, err
	}
	return c.in.String(), len(got.Effects), 0, nil
}

// cacheMoveCore re-executes the giver of one move of a buffer cache.
type cacheMoveCore struct {
	head cachemove.TapeHead
	g    *cachemove.Giver
	in   cachemove.Input
}

func newCacheMove(head []byte) (core, error) {
	c := &cacheMoveCore{}
	if err := wire.Unmarshal(head, &c.head); err != nil {
		return nil, err
	}
	var err error
	if c.g, err = c.head.New(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cacheMoveCore) name() string { return moveName(c.head.Node, &c.head.Move) }

// ended is always true: a move ends with its node at any input.
func (c *cacheMoveCore) ended() bool   { return true }
func (c *cacheMoveCore) close() error  { return nil }
func (c *cacheMoveCore) state() string { return c.g.Show() }

func (c *cacheMoveCore) snapshot() []byte { return c.g.AppendState(nil) }
func (c *cacheMoveCore) restore(state []byte) error {
	x, err := c.head.ReadState(state)
	if err == nil {
		c.g = x
	}
	return err
}

func (c *cacheMoveCore) apply(b []byte) (what string, effects int, hits uint64, err error) {
	if err := c.in.Read(b); err != nil {
		return "a record", 0, 0, err
	}
	var got cachemove.Input
	if err := calling(func() { got = c.g.Apply(&c.in) }); err != nil {
		return c.in.String(), 0, 0, err
	}
	if err := differ(got.Steps, c.in.Steps, got.Sum, c.in.Sum); err != nil {
		return c.in.String(), 0, 0, err
	}
	return c.in.String(), len(got.Steps), 0, nil
}
