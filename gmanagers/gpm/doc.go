// Package gpm is the state of the global process manager: which pComponents there are and which process runs where.
//
// It places the process of a vNode on the pComponent that the policy puts first (fewest_threads by default) among those
// that are alive and have room for its lines of the ExCache, and it never gives a process id twice. Threads and lines count
// from the intent until the participants have given back their parts, as long as the pComponent is still registered under
// the epoch of the placement: a pComponent that registers again starts empty.
//
// It is also the log of the transactions by which vNodes are admitted and released: each process has a phase, which changes
// by compare-and-set (package admission). It drives no transaction itself.
//
// A vNode that does not fit and may wait is in the queue (queue.go), under a ticket, until it is admitted, refused, or
// expired; each attempt is a process of its own. For one that preempts, others of a lower priority are ended (preempt.go).
// Quotas of tenants and the threads of a core are settings that the leader has replicated.
//
// It does not start processes, does not decide who is alive (the proposer stamps that) and does not change anything.
//
// Pure: no goroutines, no locks, no clock, no chance but the stamped one, no I/O. Replicated by gmanagers/internal/raftsm; requests and
// results are also spoken by gmanagers/client. docs/managers.md describes commands and snapshots.
//
//	s := gpm.New()
//	res := s.Apply(gpm.Command{Client: 7, Seq: 1, Stamp: stamp, Request: gpm.Request{Op: gpm.OpAdmit, Spec: spec}})
//	if err := res.Err(); err != nil { … }
//	snapshot := s.Snapshot()
package gpm
