package vtime

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Stream gives the generator of one purpose and index. Streams of one seed are independent of each other, so that what one
// consumer draws, or how much, does not change what the others draw.
func Stream(seed uint64, purpose string, index uint64) *rand.Rand {
	text := make([]byte, 16, 16+len(purpose))
	binary.LittleEndian.PutUint64(text, seed)
	binary.LittleEndian.PutUint64(text[8:], index)
	sum := sha256.Sum256(append(text, purpose...))
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])))
}
