// Package tape is the vocabulary of the flight recorder: how a core's inputs and the effects that followed are written, so
// that the core can be fed with them again. Each core defines its records beside itself, with the helpers of this package;
// shells give a Tape to a core if their options have a Recorder, and nothing happens if they have none. sim/record makes
// tapes in files and re-executes them.
//
// A record is appended under the lock that serialises its core, so the order of a tape is the order of its core.
//
// # Segments and states
//
// The tape of a node is a row of segments of which the oldest are deleted, so that the last part of a run is always there. A
// re-execution that cannot begin where a core began begins at a state of the core. Each core writes one per segment, behind its
// first record there, because it is then that its lock is held; no core waits for another:
//
//	if c.tape.Record(c.buf) {
//		c.tape.State(c.AppendState(c.buf[:0]))
//	}
//
// A state holds all on which later effects depend, and nothing else. It is deterministic: equal cores give equal bytes, so
// a re-execution that comes to a state on its way compares it with its own (no ranging over maps, no capacities, nothing that an
// input which is not recorded changes). Whoever reads it checks every number, and then CheckInvariants of the core. A state
// is at most sim/record.MaxStateBytes; encoding is done under the core's lock and must cost nanoseconds per element.
//
// sim/record wants of each kind of core two methods beside apply: restore(state) on a core that was just made of its head, and
// snapshot(), which gives what State was given.
//
// Pure: no goroutines, no locks, no clock. It imports nothing of this module.
package tape
