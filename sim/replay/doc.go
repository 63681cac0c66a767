// Package replay drives processes of a cluster with traces. Host runs inside a pComponent's process and makes the
// accesses of a trace through pcomponent; Run is the other end: it places processes with the managers, starts them,
// follows their progress, and makes the report.
//
// A replay in order "trace" has one access outstanding, in program order, so its logical counters are the same in every
// run. A replay in order "threads" runs the trace's threads concurrently; changes of the memory map and block requests
// are barriers between them.
//
// Goroutines: a Host has one per process and, in order "threads", one per thread; Close waits for all.
package replay
