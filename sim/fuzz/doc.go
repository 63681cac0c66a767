// Package fuzz draws a world from a seed and runs it in virtual time: a cluster's shape, policies and links, processes that read and write
// pages and blocks, moves and drains, trouble of the managers' logs, and faults. It is the cores that live components run, on package
// vcluster. A world has two parts. In the first, faults happen. Then everything heals, and within a bound of virtual time every process
// must end, everybody be a member, and neither books nor components have anything left.
//
//	w := fuzz.Draw(seed)      // printed by w.String(); Parse reads that again
//	out := fuzz.Play(w)       // out.Failure says what did not hold, or is nil
//	w, _ = fuzz.Shrink(w, …)  // the shortest world found that fails as w does
//	r := fuzz.Run(ctx, o)     // many seeds, a world in a goroutine, on all cores
//
// What is checked, and by whom:
//
//   - every read of a page or sector returns what was written last (process.go), at any moment and once more of all pages at the end;
//   - what was served under an epoch is never served under an older one, nor under the same one elsewhere (law5.go: law 5);
//   - cores keep their invariants, and limits, whenever a fault happens and at the end (vcluster.CheckInvariants);
//   - a process ends badly only if World.Kept says that the drawn faults may cost what the cluster promises, and then by a named error;
//   - in the end nothing is left, and the books are those of the components (vcluster.Settled).
//
// Not here: the faults themselves (package faults has the language, vcluster has them happen), reading traces, live clusters.
//
// A world is one goroutine and is used by nobody else; Run starts and waits for its workers. A seed gives one run, however many there are.
package fuzz
