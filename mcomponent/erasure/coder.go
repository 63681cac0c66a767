package erasure

import (
	"fmt"

	"github.com/klauspost/reedsolomon"

	"splitkernel/netlayer/wire"
)

// Coder makes shares of pages, and pages of shares, for one policy. Use one goroutine at a time: it has memory of its own.
type Coder struct {
	code         reedsolomon.Encoder
	data, parity int
	bytes        int // of a share
	shards       [][]byte
	made         []byte // of all parity shares
}

// NewCoder makes the coder of a policy, which has been validated: the data shares divide a page.
func NewCoder(p wire.MemoryPolicy) (*Coder, error) {
	c := &Coder{data: int(p.Data), parity: int(p.Parity), bytes: p.ShareBytes()}
	if c.data < 1 || c.data*c.bytes != wire.PageSize || c.parity < 1 {
		return nil, fmt.Errorf("erasure: %d data and %d parity shares, want data that divide %d", p.Data, p.Parity, wire.PageSize)
	}
	code, err := reedsolomon.New(c.data, c.parity, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("erasure: %d data and %d parity shares: %w", p.Data, p.Parity, err)
	}
	c.code, c.shards, c.made = code, make([][]byte, c.data+c.parity), make([]byte, c.parity*c.bytes)
	return c, nil
}

// Share appends a share of a page, of wire.PageSize bytes, to b.
func (c *Coder) Share(b, page []byte, index int) []byte {
	if index < c.data {
		return append(b, page[index*c.bytes:(index+1)*c.bytes]...)
	}
	for i := range c.data {
		c.shards[i] = page[i*c.bytes : (i+1)*c.bytes]
	}
	for i := range c.parity {
		c.shards[c.data+i] = c.made[i*c.bytes : (i+1)*c.bytes]
	}
	if err := c.code.Encode(c.shards); err != nil {
		panic(fmt.Sprintf("erasure: %v", err)) // shares of other sizes, which are not made above
	}
	return append(b, c.shards[index]...)
}

// Page makes a page, of wire.PageSize bytes, of as many shares as there are data ones. index says which they are, each once.
func (c *Coder) Page(page []byte, index []uint32, shares [][]byte) error {
	clear(c.shards)
	for i, at := range index {
		if int(at) >= len(c.shards) || len(shares[i]) != c.bytes {
			return fmt.Errorf("erasure: share %d of %d bytes, want one below %d of %d bytes", at, len(shares[i]), len(c.shards), c.bytes)
		}
		c.shards[at] = shares[i]
	}
	for i := range c.data {
		to := page[i*c.bytes : (i+1)*c.bytes]
		if s := c.shards[i]; s != nil {
			copy(to, s)
			continue
		}
		c.shards[i] = to[:0:c.bytes] // it is made there
	}
	if err := c.code.ReconstructData(c.shards); err != nil {
		return fmt.Errorf("erasure: a page of %d shares: %w", len(index), err)
	}
	return nil
}
