// Package fifo models what serves one thing after the other: a NIC, a copying thread, the workers of a memory component, the
// channels of a disk. Two shapes:
//
// A Server has k equal workers and one queue, first come first served, and the cost of a job is known when it arrives. Then
// start and end follow at once from when the workers become free; no event is needed until the end, whatever the queue. Jobs
// must be served in the order of their arrival: a job that will arrive later is served by an event at that moment. Servers in a
// row (NIC, then polling thread) keep the order, so one event serves a whole row.
//
// A Pool has k workers whose jobs end when the model finds out (a worker that must then wait for a connection). Jobs wait in a
// bounded queue, and whoever releases a worker gets the next.
//
// Costs are units.Picos; a Server carries the fractions of nanoseconds. It is pure vocabulary at import level 0, so that models
// of every room may use it. No goroutines.
//
//	start, end := nic.Serve(now, rate.Cost(size))
//	if worker := pool.Arrive(now, call); worker { begin(call) } … if next, ok := pool.Release(now); ok { begin(next) }
package fifo
