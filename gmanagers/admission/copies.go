package admission

import (
	"fmt"

	"splitkernel/netlayer/wire"
)

// MaxReplicas, which leaves room for one that fills, bounds the sComponents that hold one volume.
const MaxReplicas = 7

// Copies says how many sComponents hold a volume, for how many of them a write and a read wait, and when a write is acknowledged. The
// zero value is one that no other copy has.
type Copies struct {
	Replicas    uint8 // n: 0 or 1 is one sComponent without quorums
	WriteQuorum uint8 // w: more than n/2, so that two writes of one block meet
	ReadQuorum  uint8 // r: w + r > n, so that a read meets the last write
	// Through has a write wait until it is durable; otherwise it is acknowledged by the buffer cache, and durable after a flush.
	Through bool
}

// Replicated reports whether a volume has more than one copy.
func (c Copies) Replicated() bool { return c.Replicas > 1 }

// Places is at how many sComponents it takes room.
func (c Copies) Places() uint64 { return uint64(max(c.Replicas, 1)) }

// Enough is at how many sComponents it must be made before it can be used.
func (c Copies) Enough() int {
	if !c.Replicated() {
		return 1
	}
	return int(max(c.WriteQuorum, c.ReadQuorum))
}

// Survives is how many of its sComponents may be lost at a time without anything that was flushed being lost, or out of reach.
func (c Copies) Survives() int {
	if !c.Replicated() {
		return 0
	}
	n := int(c.Replicas)
	return min(n-int(c.WriteQuorum), n-int(c.ReadQuorum))
}

// String is what listings show: "3 copies, w 2, r 2, through".
func (c Copies) String() string {
	s := "1 copy"
	if c.Replicated() {
		s = fmt.Sprintf("%d copies, w %d, r %d", c.Replicas, c.WriteQuorum, c.ReadQuorum)
	}
	if c.Through {
		s += ", through"
	}
	return s
}

// Faults are what is wrong with it, each under the key that says it.
func (c Copies) Faults() (faults []CopiesFault) {
	bad := func(key, format string, args ...any) {
		faults = append(faults, CopiesFault{key, fmt.Sprintf(format, args...)})
	}
	n, w, r := int(c.Replicas), int(c.WriteQuorum), int(c.ReadQuorum)
	if n > MaxReplicas {
		bad("replicas", "%d, want 1 to %d", n, MaxReplicas)
		return faults
	}
	if n <= 1 {
		if w > 1 {
			bad("write_quorum", "%d of 1 replica, want 1", w)
		}
		if r > 1 {
			bad("read_quorum", "%d of 1 replica, want 1", r)
		}
		return faults
	}
	if 2*w <= n || w > n {
		bad("write_quorum", "%d of %d replicas, want %d to %d: more than half, so that two writes of a block meet", w, n, n/2+1, n)
	}
	if r < 1 || r > n {
		bad("read_quorum", "%d of %d replicas, want 1 to %d", r, n, n)
	} else if w <= n && w+r <= n {
		bad("read_quorum", "%d, with write_quorum %d of %d replicas: want at least %d, so that a read meets the last write", r, w, n, n-w+1)
	}
	return faults
}

// CopiesFault is a fault of Copies.
type CopiesFault struct{ Key, Text string }

// check is the first fault as an error of wire.KindBadRequest.
func (c Copies) check(name string) error {
	for _, f := range c.Faults() {
		return wire.Errorf(wire.KindBadRequest, "%s.%s: %s", name, f.Key, f.Text)
	}
	return nil
}

// Check says why no cluster has such a volume, as an error of wire.KindBadRequest.
func (c Copies) Check() error { return c.check("copies") }
