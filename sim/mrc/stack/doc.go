// Package stack holds the algorithms of miss-ratio curves: it numbers pages densely, finds the stack distance of each reference to a
// cache that evicts what was used longest ago (LRU), for all sizes of the cache in one pass, estimates that curve from a sample of the
// pages (SHARDS), and counts the misses of single caches of a few simple policies much faster than objects of package policy can.
//
// It knows keys, numbers and counts; it reads no trace and knows no format. Its caller is package mrc.
//
// It is pure: no goroutines, no locks, no clock, no chance.
//
//	var pages stack.Numbers
//	var lru stack.Distances
//	for keys := range batches {
//		ids = pages.Number(keys, nil, ids[:0]) // 0, 1, 2 … in the order of first reference
//		lru.Touch(ids)
//	}
//	misses := lru.Curve().Misses(1000) // of a cache of 1000 pages
package stack
