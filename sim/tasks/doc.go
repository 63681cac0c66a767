// Package tasks is the vocabulary of what runs on a cluster: machines that come and go, and tasks that ask for processors, memory and
// GPUs for a time. One stream of events in time order says it all, whether it was recorded (sim/cluster) or made by rule
// (sim/generate/arrivals); studies (sim/study) read it.
//
// Amounts are whole numbers, so that sums are exact and a thousand tasks that fit come to the same as their capacity: processors and GPUs
// in billionths, memory in bytes. A trace that tells only fractions of a machine keeps them, in billionths too, and says so (Units).
//
// What it is not: it knows no formats, no policies and no clusters. Pure: no goroutines, no locks.
//
//	for {
//		e, err := src.Next()
//		if err == io.EOF { break }
//		switch e.Kind {
//		case tasks.TaskComes: place(e.ID, e.Size, e.Lasts)
//		case tasks.TaskEnds: leave(e.ID)
//		}
//	}
package tasks
