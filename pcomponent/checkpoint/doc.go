// Package checkpoint is the protocol of checkpoints at a pComponent: when one is due, in which order its steps are made, what must be
// kept of volumes between two of them, how all of it lies in the checkpoint volume of a vNode, and how a process is brought back from
// one where its pComponent was lost.
//
// It knows nothing of traces and programs: what a driver needs to go on is bytes. It sends nothing. Pure: no goroutines, no locks, no
// clock, no I/O. Called by whoever drives processes, live and in virtual time (sim/replay).
//
//	k := NewKeeper(options)
//	for each run of at most k.Left(made) accesses {        // threads run
//		…
//		for e := k.Next(now); k.Due(made); e = k.Next(now) { // threads stand still
//			do what e says; k.Step(now, outcome)
//		}
//	}
//	before a write of blocks: k.Guard says which must be kept first, and whether a checkpoint must be made before that.
//
// A checkpoint is decided when its slot is durable. Before that nothing was flushed since the one before and dropped; after it nothing is
// flushed until everybody knows it (Cut). So whatever of it was told to whom when the pComponent dies, everybody can go back to the last one.
package checkpoint
