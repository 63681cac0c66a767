// Package gmm is the state of the global memory manager: which mComponents there are, which is the home of each
// process, and which owns each of its active vRegions.
//
// A vRegion is the unit of room, counted in Parts. An mComponent may own vRegions up to its memory times an overcommit ratio, which the
// proposer stamps from its options: vRegions are address space and mostly sparse, so the default ratio is 4. Pages
// themselves run out at the mComponent, not here. The owner of a new vRegion is the mComponent that the policy puts
// first (least_loaded by default) among those that are alive and have room for one more. Activating an active vRegion
// again gives the same owner and epoch. Copies take room, too; a share of a vRegion takes its part of one, and who serves a vRegion
// that is in shares takes none.
//
// A process gets its home, and room for the vRegions that it reserves, when its vNode is admitted (package admission): GMM
// takes part with the steps prepare, commit and free. Activations take from what is reserved first.
//
// All mComponents of a cluster have one vRegion size: that of the first that registered. An mComponent that registers
// again has lost its pages: vRegions and homes granted under its older epoch take no room any more, and whoever asks
// for them gets wire.ErrFailed. They are forgotten when their process is released.
//
// It does not map memory, does not decide who is alive (the proposer stamps that), and moves and recovers nothing.
//
// Pure: no goroutines, no locks, no clock, no chance but the stamped one, no I/O. Replicated by gmanagers/internal/raftsm; requests and
// results are also spoken by gmanagers/client. docs/managers.md describes commands and snapshots.
//
//	s := gmm.New()
//	res := s.Apply(gmm.Command{Client: 7, Seq: 1, Stamp: stamp, Overcommit: 4000,
//		Request: gmm.Request{Op: gmm.OpActivate, PID: 3, Region: 12}})
//	if err := res.Err(); err != nil { … }
//	owner := res.Owner
package gmm
