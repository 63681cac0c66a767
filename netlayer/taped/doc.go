// Package taped is what cores share that are recorded: the form of a record of one call with what came out of it, the
// errors of calls, and a codec for snapshots of states. A core defines beside itself, in a file tape.go, which calls
// change it (a type Taped with the same methods, which records), how a record is made again (Apply) and its snapshot.
//
//	func (t *Taped) Voted(from wire.Manager, verb Verb, v Vote, out []Effect) []Effect {
//		n := len(out)
//		out = t.Coordinator.Voted(from, verb, v, out)
//		if t.On() {
//			t.Put(inVoted, answer(out[n:]), &voted{from, verb, v})
//		}
//		return out
//	}
//
// It knows no core and keeps nothing. Called by cores that are recorded; sim/record re-executes what implements Core.
//
// Pure: no goroutines, no locks, no clock.
package taped
