// Package iosched decides which flush requests of a volume are covered by which fdatasync. It is a pure core: no
// goroutines, no locks, no clock, no files; package scomponent and virtual time perform its effects.
//
// A sync makes durable what was written before it began, so it covers the flushes that arrived before that and no later
// one. While one runs, the flushes that arrive wait together and share the next: with n writers that each flush, a
// volume makes at most two syncs per round instead of n.
//
// It does not merge writes: the blocks go to the page cache of the kernel, whose write-back merges neighbours already; a
// second queue before it only added its own latency.
//
//	out = s.Flush(id, out[:0])    // Sync{ID}: request ID, which may be another, runs the fdatasync now
//	out = s.Synced(err, out[:0])  // Ack{ID, Err} for each request covered; Sync{ID} if others wait
package iosched
