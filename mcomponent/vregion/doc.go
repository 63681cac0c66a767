// Package vregion holds who maps what where: the vma trees of processes and the ownership of their vRegions. It is a
// pure core: no goroutines, no locks, no clock, no sockets; the shell (package mcomponent) or virtual time calls it.
//
// An address space is cut into vRegions of one size. A process has one home mComponent, and each of its active vRegions
// has one owner mComponent (OSDI'18 LegoOS §4.4). The package has both roles:
//
//   - Home knows the whole address space of the processes that live here: it places mappings by best fit, activates
//     vRegions by asking GMM for an owner (one ask per vRegion however many mappings wait for it), splits ranges that span
//     vRegions, tells the owners, and answers when all of them have answered.
//   - Owners knows the parts of vmas inside the vRegions that this mComponent serves, and answers "may I serve this page?"
//     on every miss and flush.
//
// It stores no page (package pagestore does) and never calls anybody: Home returns effects, and whoever performs them
// reports back. The driver loop:
//
//	out = home.Mmap(call, req, out[:0])
//	for len(out) > 0 {
//		e := out[0]; out = out[1:]
//		switch e.Kind {
//		case vregion.AskOwner:              // GMM:  later home.Done(e.ID, Result{Owner: owner} or Result{Err: err}, out)
//		case vregion.MapAt, vregion.UnmapAt, vregion.ExitAt: // e.Owner: later home.Done(e.ID, Result{Freed, Err}, out)
//		case vregion.Reply:                 // the caller of e.Call gets e.Rep, e.Freed, e.Err
//		}
//	}
//
// Effects come in the order of the events that caused them, never in the order of a map, so two runs of one seed agree.
package vregion
