package record

import (
	"fmt"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
)

// ownersCore re-executes the owner role of an mComponent: which vRegions it serves.
type ownersCore struct {
	head vregion.OwnersTapeHead
	o    *vregion.Owners
	in   vregion.OwnersInput
}

func newOwners(head []byte) (core, error) {
	c := &ownersCore{}
	if err := wire.Unmarshal(head, &c.head); err != nil {
		return nil, err
	}
	var err error
	if c.o, err = c.head.New(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *ownersCore) name() string { return fmt.Sprintf("vRegions of %s", c.head.Node) }

// ended is always true: an owner may stop after any input.
func (c *ownersCore) ended() bool   { return true }
func (c *ownersCore) close() error  { return nil }
func (c *ownersCore) state() string { return c.o.Show() }

func (c *ownersCore) snapshot() []byte { return c.o.AppendState(nil) }
func (c *ownersCore) restore(state []byte) error {
	x, err := c.head.ReadOwners(state)
	if err == nil {
		c.o = x
	}
	return err
}

func (c *ownersCore) apply(b []byte) (what string, effects int, hits uint64, err error) {
	if err := c.in.Read(b); err != nil {
		return "a record", 0, 0, err
	}
	var sum uint32
	if err := calling(func() { sum = c.o.Apply(&c.in) }); err != nil {
		return c.in.String(), 0, 0, err
	}
	if sum != c.in.Sum {
		return c.in.String(), 0, 0, fmt.Errorf("its answer has checksum %08x, recorded was %08x", sum, c.in.Sum)
	}
	return c.in.String(), 1, 0, nil
}

// meet makes the page store and the owner role of one node known to each other: both are told what they are told under one lock, so on a
// tape they stand in that order.
func meet(c core, others map[uint64]taped) {
	join := func(a, b core) {
		s, ok := a.(*storeCore)
		if o, also := b.(*ownersCore); ok && also && s.head.Node == o.head.Node {
			s.at = o
		}
	}
	switch c.(type) {
	case *storeCore, *ownersCore:
		for _, x := range others {
			join(c, x.core)
			join(x.core, c)
		}
	}
}

// served checks that a page which was asked for or flushed is one that the node serves: the owner role was asked before, and that is not on
// the tape, as it changes nothing.
func (c *storeCore) served() error {
	in := &c.in
	if c.at == nil || in.Kind != pagestore.InMiss && in.Kind != pagestore.InFlush || c.at.o.Serves(in.Group, in.PID, in.Page) {
		return nil
	}
	return fmt.Errorf("%s serves no page %#x of process %d in slot %d", c.head.Node, uint64(in.Page), in.PID, in.Group)
}

// homeCore re-executes the home role of an mComponent: the memory maps of the processes that live there.
type homeCore struct {
	head vregion.HomeTapeHead
	h    *vregion.Home
	in   vregion.HomeInput
}

// regionBytes is what a vRegion of a memory map takes, about.
const regionBytes = 256

func newHome(head []byte, o *ExecuteOptions) (core, error) {
	c := &homeCore{}
	if err := wire.Unmarshal(head, &c.head); err != nil {
		return nil, err
	}
	// One mapping may have as many vRegions as a process.
	err := o.memory.take(regionBytes * int64(min(max(c.head.Options.MaxRegionsPerProcess, 0), 1<<32)))
	if err != nil {
		return nil, err
	}
	if c.h, err = c.head.New(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *homeCore) name() string { return fmt.Sprintf("homes of %s", c.head.Node) }

// ended is always true: a home may stop after any input.
func (c *homeCore) ended() bool   { return true }
func (c *homeCore) close() error  { return nil }
func (c *homeCore) state() string { return c.h.Show() }

func (c *homeCore) snapshot() []byte { return c.h.AppendState(nil) }
func (c *homeCore) restore(state []byte) error {
	x, err := c.head.ReadHome(state)
	if err == nil {
		c.h = x
	}
	return err
}

func (c *homeCore) apply(b []byte) (what string, effects int, hits uint64, err error) {
	if err := c.in.Read(b); err != nil {
		return "a record", 0, 0, err
	}
	var got vregion.HomeInput
	if err := calling(func() { got = c.h.Apply(&c.in) }); err != nil {
		return c.in.String(), 0, 0, err
	}
	if err := differ(got.Effects, c.in.Effects, got.Sum, c.in.Sum); err != nil {
		return c.in.String(), 0, 0, err
	}
	return c.in.String(), len(got.Effects), 0, nil
}
