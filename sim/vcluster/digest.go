package vcluster

import (
	"encoding/binary"
	"hash/crc64"
	"time"
)

// digest sums up what happened in order: two runs of one seed give one digest (law 2).
type digest struct {
	sum uint64
	n   uint64
}

var polynomial = crc64.MakeTable(crc64.ECMA)

// mark adds one thing that happened.
func (d *digest) mark(at time.Duration, what uint8, who, value uint64) {
	var b [25]byte
	binary.LittleEndian.PutUint64(b[0:], uint64(at))
	binary.LittleEndian.PutUint64(b[8:], who)
	binary.LittleEndian.PutUint64(b[16:], value)
	b[24] = what
	d.sum = crc64.Update(d.sum, polynomial, b[:])
	d.n++
}

// What is marked.
const (
	markDone    = 1 // an access ended: who is the process and thread, value the page
	markMessage = 2 // a message arrived: who is the sender and receiver, value the operation and bytes
	markDevice  = 3 // a device ended an operation
	markCommand = 4 // a manager applied a command
	markFault   = 5 // a fault: who is its kind, value for how long
	markFence   = 6 // a component dropped what it held: who it is
)

// Digest is the sum over all that happened so far.
func (c *Cluster) Digest() uint64 { return c.digest.sum }
