// Package gsm is the state of the global storage manager: which sComponents there are, and for each volume which of
// them stores it and which mComponent is its buffer cache.
//
// A volume goes to the sComponent that the policy puts first (most_free by default) among those that are alive and
// have room for all its bytes; volumes are reserved whole. Its buffer cache is the mComponent that the cache policy
// puts first (fewest_volumes by default) among those that the proposer stamped in as alive: mComponents register at
// GMM, so GSM has no list of its own. The volumes of a vNode are placed together or not at all when it is admitted (package
// admission): GSM takes part with the steps prepare, commit and free. Volume ids are never given twice. An sComponent that registers again keeps its
// volumes, because its files outlive it.
//
// It does not create files, attach caches, or decide who is alive, and moves nothing.
//
// Pure: no goroutines, no locks, no clock, no chance but the stamped one, no I/O. Replicated by gmanagers/internal/raftsm; requests and
// results are also spoken by gmanagers/client. docs/managers.md describes commands and snapshots.
//
//	s := gsm.New()
//	res := s.Apply(gsm.Command{Client: 7, Seq: 1, Stamp: stamp, CachePolicy: "fewest_volumes", Caches: live,
//		Request: gsm.Request{Op: gsm.OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 3, Volumes: specs}}}})
//	if err := res.Err(); err != nil { … }
//	vote := res.Votes[0]
package gsm
