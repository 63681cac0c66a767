// Package vcluster is a cluster in virtual time: the cores that live components run (excache, fault, vregion, pagestore,
// buffercache, volume, iosched, the states of the managers and their two-phase commit), wired on the event clock of package
// vtime with models of processors, links and devices. Where a live component has goroutines, locks and sockets, it has events.
//
// Contents are not stored: a page and a sector are the 16 bytes of their stamp, which is what a driver checks. Whatever else a
// component knows of a page is the same as live.
//
// A driver gets a Process, whose methods look like those of package pcomponent and wait in virtual time: they are called from
// within a coroutine of the clock (Cluster.Go). A hit costs no event: a thread runs ahead of the clock by what its hits and its
// instructions cost and comes back to it at a miss, or when it is Quantum ahead, so that threads which share an ExCache do not
// see each other's future for longer than that.
//
//	c, err := vcluster.New(options)
//	c.Go("driver", func(y *vtime.Proc) {
//		place, err := c.Admit(y, spec)
//		p, err := c.Open(y, processOptions)
//		err = p.Map(y, addr, length, true, true, "")
//		stamp, err := p.Thread(0).Access(y, page, write)
//	})
//	err = c.Run() // until nothing is left to do; a deadlock of the model is an error that names who waits for what
//
// The managers are one state each, applied where a command is committed, as replicas would hold the same. Options.Raft has their
// logs go wrong: commands lost, unheard, late, applied twice, and leaders that change. With Options.Placed they decide nothing.
//
// With Options.Membership components send heartbeats, are probed, declared dead, fenced, and join again; with Options.Faults, or
// Strike, nodes and links fail. A node that was killed and started again has another life: what was under way in the one before, its
// requests, answers, timers and devices, is nobody's. Background work keeps no run going.
//
// Not here: reading traces, reports, files (package replay), and which hardware there is (package hardware).
//
// Goroutines: none of its own; coroutines of the clock run one at a time. A Cluster is used by one goroutine.
package vcluster
