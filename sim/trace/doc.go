// Package trace reads, writes and captures traces of memory references and
// block operations.
//
// It is for whoever drives a pComponent with a real program's behaviour: the
// replayer, `splitkernel trace`, and tests of exactness. A trace is one stream
// in program order, handed out in batches: references, and between them the
// events that change the memory map or touch a volume. The project's own
// format is .skt (docs/trace-format.md); FormatInfos lists what is read beside
// it (docs/traces.md), plain or packed. Reading is streaming and takes memory
// that does not depend on the length of the trace. A reader is a parser in a
// file of its own, an entry in formats_memory.go or formats_block.go, and a
// sample in the tests, which miss it otherwise.
//
// SliceOf, FilterOf, SampleOf and Merge are Sources over Sources; Export writes
// one, as .skt or for other tools (Targets).
//
// It does not replay, cache, or know clusters, and it never looks at the
// contents of pages: a trace has none.
//
// There are no goroutines and no locks, except that Capture owns the program
// that it runs and waits for it; a Source or Writer belongs to one goroutine.
//
//	src, err := trace.Open("sort.skt")
//	if err != nil { return err }
//	defer src.Close()
//	for {
//		b, err := src.Next() // b is overwritten by the next call
//		if err == io.EOF { break }
//		if err != nil { return err } // names file and block or line
//		next := 0
//		for _, e := range b.Events { // sorted by At
//			access(b.Refs[next:e.At]); next = e.At
//			happen(e)
//		}
//		access(b.Refs[next:])
//	}
package trace
