package record

import (
	"fmt"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer/wire"
)

// cacheCore re-executes the buffer cache of an mComponent.
type cacheCore struct {
	head buffercache.TapeHead
	c    *buffercache.Cache
	in   buffercache.Input
	last buffercache.Last
}

func newCache(head []byte) (core, error) {
	c := &cacheCore{}
	if err := wire.Unmarshal(head, &c.head); err != nil {
		return nil, err
	}
	var err error
	if c.c, err = c.head.New(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cacheCore) name() string { return fmt.Sprintf("buffer cache of %s", c.head.Node) }

// ended is always true: a cache may stop after any input.
func (c *cacheCore) ended() bool   { return true }
func (c *cacheCore) close() error  { return nil }
func (c *cacheCore) state() string { return c.c.Show() }

func (c *cacheCore) snapshot() []byte { return c.c.AppendTaped(nil, c.last) }
func (c *cacheCore) restore(state []byte) error {
	x, last, err := c.head.ReadTaped(state)
	if err == nil {
		c.c, c.last = x, last
	}
	return err
}

func (c *cacheCore) apply(b []byte) (what string, effects int, hits uint64, err error) {
	if err := c.in.Read(b, &c.last); err != nil {
		return "a record", 0, 0, err
	}
	var got buffercache.Input
	if err := calling(func() { got = c.c.Apply(&c.in) }); err != nil {
		return c.in.String(), 0, 0, err
	}
	if err := differ(got.Effects, c.in.Effects, got.Sum, c.in.Sum); err != nil {
		return c.in.String(), 0, 0, err
	}
	return c.in.String(), len(got.Effects), 0, nil
}
