// Package pairindex maps a pair of 64-bit keys to a 32-bit number: (process, page) to a frame, (process, vRegion) to a
// slot, (volume, block) to a slot. It is a pure core: no goroutines, no locks; its caller excludes concurrent use.
//
// It exists because the lookup sits on the path of every miss and flush: open addressing with linear probing, at most
// half full, keys inside the table so that a lookup touches one or two cache lines, and backward-shift deletion so that
// no tombstones slow down a store that lives for days. It does not order its keys: whoever needs an order keeps a list.
//
//	ix := pairindex.New(capacity)   // never grows below capacity entries
//	ix.Put(pid, page, frame)
//	frame, ok := ix.Get(pid, page)
//	ix.Delete(pid, page)
package pairindex
