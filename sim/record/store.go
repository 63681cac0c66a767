package record

import (
	"fmt"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/netlayer/wire"
)

// maxPages bounds the page store of a tape.
const maxPages = 1 << 26

// storeCore re-executes the page store of an mComponent.
type storeCore struct {
	head pagestore.TapeHead
	s    *pagestore.Store
	in   pagestore.Input
	at   *ownersCore // of the same node, if it is on the tape: it says what may be served
}

func newStore(head []byte, o *ExecuteOptions) (core, error) {
	c := &storeCore{}
	if err := wire.Unmarshal(head, &c.head); err != nil {
		return nil, err
	}
	if c.head.Capacity < 1 || c.head.Capacity > maxPages || c.head.Groups < 1 || c.head.Groups > pagestore.MaxGroups {
		return nil, fmt.Errorf("a page store of %d pages in %d groups, want 1 to %d and 1 to %d", c.head.Capacity, c.head.Groups, maxPages, pagestore.MaxGroups)
	}
	if err := o.memory.take(groupBytes * int64(c.head.Groups)); err != nil {
		return nil, err
	}
	c.s = pagestore.NewGrowing(c.head.Capacity) // what it decides is the same, and a tape may say any capacity
	return c, nil
}

func (c *storeCore) name() string { return fmt.Sprintf("page store of %s", c.head.Node) }

// ended is always true: a page store may stop after any input.
func (c *storeCore) ended() bool  { return true }
func (c *storeCore) close() error { return nil }

func (c *storeCore) snapshot() []byte           { return c.s.AppendState(nil) }
func (c *storeCore) restore(state []byte) error { return c.s.RestoreState(state, c.head.Groups) }

func (c *storeCore) state() string {
	return fmt.Sprintf("%+v\n", c.s.Stats())
}

func (c *storeCore) apply(b []byte) (what string, effects int, hits uint64, err error) {
	if err := c.in.Read(b, c.head.Capacity, c.head.Groups); err != nil {
		return "a record", 0, 0, err
	}
	var sum uint32
	if err := calling(func() { sum = c.s.Apply(&c.in) }); err != nil {
		return c.in.String(), 0, 0, err
	}
	if err := c.served(); err != nil {
		return c.in.String(), 0, 0, err
	}
	if sum != c.in.Sum {
		return c.in.String(), 0, 0, fmt.Errorf("its answer has checksum %08x, recorded was %08x", sum, c.in.Sum)
	}
	return c.in.String(), 1, 0, nil
}
