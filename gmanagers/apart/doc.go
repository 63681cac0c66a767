// Package apart knows which vNodes and volumes must not be at one component or in one failure domain.
//
// Whoever is placed may name a group (Rule). Members of a group are apart: nothing of one is at a component where something of
// another is, or, if either of the two asks for racks, in a rack where something of another is. A vNode is one member with all
// that it has at a manager, a volume with a group of its own is another. Each manager keeps an Index of what the members of
// groups have at its components, asks it before it chooses one, and again when a command that names one is applied.
//
// Racks are compared as they are: components without the label are all in the rack "". Managers do not know of each other's
// components: processes are apart from processes, memory from memory, volumes from volumes, buffer caches from buffer caches.
//
// An Index is derived: it is no part of a snapshot but made again from what is placed. It knows nothing of room, nor who lives.
//
// Pure: no goroutines, no locks, no clock, no chance, no I/O. Called by the states of gpm, gmm and gsm and, for plans, by balance.
//
//	nodes, racks := index.Avoid(ms)      // for placement.Ask
//	index.Add(ms, "p1", "r1", 1)         // something of theirs is there from now on
//	why := index.Why(ms, "p1", "r1")     // "has process 3 of group \"default/web\"", for a refusal
package apart
