package erasure

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"splitkernel/netlayer/wire"
)

func somePage(seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	page := make([]byte, wire.PageSize)
	for i := range page {
		page[i] = byte(rng.Uint32())
	}
	return page
}

// TestAnySharesMakeThePage: of whichever shares there are as many as of the data, the page comes out, whatever stood where it goes.
func TestAnySharesMakeThePage(t *testing.T) {
	for _, p := range []wire.MemoryPolicy{{Kind: wire.MemoryErasure, Data: 1, Parity: 2}, {Kind: wire.MemoryErasure, Data: 2, Parity: 1}, {Kind: wire.MemoryErasure, Data: 4, Parity: 2}, {Kind: wire.MemoryErasure, Data: 8, Parity: 8}} {
		c, err := NewCoder(p)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(7, 7))
		for n := range 50 {
			page := somePage(uint64(n))
			var index []uint32
			var shares [][]byte
			for _, at := range rng.Perm(p.Holders())[:p.Data] {
				index = append(index, uint32(at))
				shares = append(shares, c.Share(nil, page, at))
				if len(shares[len(shares)-1]) != p.ShareBytes() {
					t.Fatalf("%v: share %d has %d bytes", p, at, len(shares[len(shares)-1]))
				}
			}
			got := bytes.Repeat([]byte{0xa5}, wire.PageSize)
			if err := c.Page(got, index, shares); err != nil || !bytes.Equal(got, page) {
				t.Fatalf("%v: of shares %v another page comes: %v", p, index, err)
			}
		}
		if err := c.Page(make([]byte, wire.PageSize), []uint32{0}, [][]byte{make([]byte, 3)}); err == nil {
			t.Error("a share of 3 bytes was taken")
		}
	}
	if _, err := NewCoder(wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 3, Parity: 1}); err == nil {
		t.Error("three shares do not make a page")
	}
}

// BenchmarkCoder is the rate at which pages become shares, and shares pages, one data share being lost.
func BenchmarkCoder(b *testing.B) {
	for _, p := range []wire.MemoryPolicy{{Kind: wire.MemoryErasure, Data: 2, Parity: 1}, {Kind: wire.MemoryErasure, Data: 4, Parity: 2}, {Kind: wire.MemoryErasure, Data: 8, Parity: 2}} {
		c, err := NewCoder(p)
		if err != nil {
			b.Fatal(err)
		}
		page := somePage(1)
		var index []uint32
		var shares [][]byte
		for i := 1; i <= int(p.Data); i++ {
			index, shares = append(index, uint32(i)), append(shares, c.Share(nil, page, i))
		}
		name := fmt.Sprintf("%d+%d", p.Data, p.Parity)
		b.Run("encode/"+name, func(b *testing.B) {
			b.SetBytes(wire.PageSize)
			var to []byte
			for b.Loop() {
				to = c.Share(to[:0], page, int(p.Data))
			}
		})
		b.Run("decode/"+name, func(b *testing.B) {
			b.SetBytes(wire.PageSize)
			to := make([]byte, wire.PageSize)
			for b.Loop() {
				if err := c.Page(to, index, shares); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("join/"+name, func(b *testing.B) {
			b.SetBytes(wire.PageSize)
			var first []uint32
			var whole [][]byte
			for i := range int(p.Data) {
				first, whole = append(first, uint32(i)), append(whole, c.Share(nil, page, i))
			}
			to := make([]byte, wire.PageSize)
			for b.Loop() {
				if err := c.Page(to, first, whole); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
