// Package tape is the vocabulary of the flight recorder: how a core's inputs and the effects that followed are written, so
// that the core can be fed with them again. Each core defines its records beside itself, with the helpers of this package;
// shells give a Tape to a core if their options have a Recorder, and nothing happens if they have none. sim/record makes
// tapes in files and re-executes them.
//
// A record is appended under the lock that serialises its core, so the order of a tape is the order of its core.
//
// Pure: no goroutines, no locks, no clock. It imports nothing of this module.
package tape
