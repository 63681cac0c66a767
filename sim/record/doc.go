// Package record is the flight recorder. A Writer keeps what the cores of one node are told, in order, in a file, the tape of
// the node, which is a ring: of a long run it has the last part, and of each core a state to begin with. Execute makes the cores anew, feeds them with a tape, and compares what they answer with what they answered
// live: threads, races, timeouts and kills included, for all of these came to the cores as inputs.
//
// It does not run a cluster, and no bytes of pages are on a tape: what is re-executed is what was decided. What a record of a
// core holds is defined beside the core, with package netlayer/tape.
//
// Called by sim/node, which gives a Writer to its component, and by sim/cli.
//
// Locks: a Writer has one mutex, which is held while a record is copied into its buffer, never while it is compressed or
// written. Goroutines: one per Writer, which writes; Close waits for it.
package record
