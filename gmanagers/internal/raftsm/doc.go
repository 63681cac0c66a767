// Package raftsm is the only place where a pure state meets dragonboat. It runs one replica of each manager's Raft group
// in a NodeHost, carries Raft's messages and snapshots over the message layer, and translates dragonboat's errors into
// kinds of the wire.
//
// It decides nothing about processes, memory or storage, stamps no command and knows no client. A replica that lost
// what it fsynced must not come back under its old id: package ledger tells if it did, and Readmit of the others gives it a new one.
//
// Called by the shell gmanagers only. Goroutines: dragonboat's, and one that takes received snapshot chunks; Close waits
// for all. Lock order: none of this package's mutexes is held while another is taken, nor while dragonboat is called. That of
// a machine is held while a read runs, which takes no lock.
//
//	h, err := raftsm.Open(raftsm.Config{Self: "g1", Replicas: replicas, Dir: dir, Connect: connect, Groups: groups})
//	result, err := h.Propose(ctx, wire.GMM, command)           // on the leader
//	err = h.Read(ctx, wire.GMM, func(s raftsm.State) { … })    // linearisable
//	h.Deliver(op, body)                                        // what arrived as OpRaft or OpRaftChunk
//	h.Close()
package raftsm
