package tape

// Recorder makes the tapes of a node. It is safe for concurrent use.
type Recorder interface {
	// Open begins the tape of one core. kind names the core and with it the meaning of head, which says how to make it anew,
	// and of its records.
	Open(kind string, head []byte) Tape
}

// Holder is a Recorder that can be told that something wrong was seen just now: what led to it is not deleted, however long the run goes on.
type Holder interface {
	Hold()
}

// Syncer is a Tape that can be told that the process dies now: Sync returns when what was recorded is written, or after a while.
type Syncer interface {
	Sync()
}

// Tape takes the records of one core, in order. It keeps none of the bytes after it returns. The core's lock is held.
type Tape interface {
	// Record appends what the core was told, and what it did then. It reports whether a new segment of the tape has begun, which wants
	// the state of the core: the caller calls State before it gives the core's lock up, so that no record comes between. A core that
	// has no State to give ignores it: it cannot be re-executed any more once the segment with its beginning is deleted.
	Record(b []byte) (state bool)
	// State appends the state of the core as it is after its last record: with it a core that was just made of the head goes on.
	State(b []byte)
	// End says that no more records come: new segments know nothing of the core.
	End()
}

// Sum is a checksum of what a core answered, made field by field. It is not for adversaries: it tells whether two cores did
// the same. The zero value begins.
type Sum uint64

// Uint adds a number.
func (s Sum) Uint(v uint64) Sum {
	x := ((uint64(s) ^ v) + 1) * 0x9e3779b97f4a7c15 // the golden ratio: an odd number without structure
	return Sum(x ^ x>>29)
}

// Bool adds a truth.
func (s Sum) Bool(v bool) Sum {
	if v {
		return s.Uint(1)
	}
	return s.Uint(0)
}

// Bytes adds bytes and their number.
func (s Sum) Bytes(v []byte) Sum { return add(s, v) }

// String adds a text and its length.
func (s Sum) String(v string) Sum { return add(s, v) }

func add[T string | []byte](s Sum, v T) Sum {
	s = s.Uint(uint64(len(v)))
	for len(v) >= 8 {
		s = s.Uint(uint64(v[0]) | uint64(v[1])<<8 | uint64(v[2])<<16 | uint64(v[3])<<24 | uint64(v[4])<<32 | uint64(v[5])<<40 | uint64(v[6])<<48 | uint64(v[7])<<56)
		v = v[8:]
	}
	last := uint64(0)
	for i := range len(v) {
		last = last<<8 | uint64(v[i])
	}
	return s.Uint(last)
}

// Word is the sum as a record holds it.
func (s Sum) Word() uint32 {
	x := uint64(s) * 0xff51afd7ed558ccd
	return uint32(x >> 32)
}
