// Package replay drives processes of a cluster with traces. Host runs inside a pComponent's process and makes the
// accesses of a trace through pcomponent; Run is the other end: it places processes with the managers, starts them,
// follows their progress, and makes the report.
//
// A replay in order "trace" has one access outstanding, in program order, so its logical counters are the same in every
// run. A replay in order "threads" runs the trace's threads concurrently; changes of the memory map and block requests
// are barriers between them.
//
// A Host also moves processes, by the protocol of pcomponent/handover: move.go is the side that gives one away, take.go the
// side that gets it, state.go what it takes along. A process stands still between two batches of accesses (boundary), its
// threads at a barrier; then the goroutine of the move has the process until it gives a verdict.
//
// Locks: Host.mu, then incoming.mu or outgoing.mu or job.mu. job.pin is held while lines are written back for a move.
//
// Goroutines: a Host has one per process and, in order "threads", one per thread; one per move away; of a process that
// comes one that watches it and, for a time, one that skips through the trace and one that opens it. Close waits for all.
package replay
