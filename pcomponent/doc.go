// Package pcomponent is the compute component: processes with an ExCache each, whose misses, flushes, memory maps and
// block requests go to other components as messages. It is a shell: sockets, locks, goroutines and page memory. What a
// miss does is decided in pcomponent/fault, what is evicted in pcomponent/excache.
//
// It knows nothing of traces. Whoever makes accesses (a replay, later a pager of a real program) drives Threads:
//
//	proc, _ := comp.Open(ctx, ProcessOptions{…})
//	t := proc.Thread(0)
//	t.Begin()                            // takes the process's lock
//	page, err := t.Access(pageNo, write) // the bytes, valid until the next Access or End
//	t.End()
//	proc.Drain(ctx); proc.Close(ctx)
//
// A process goes to another pComponent by WriteBack (while it runs), Freeze, Export, there Import, and here Leave, or Thaw
// if it stays. When to do what is decided in pcomponent/handover; the driver of the threads adds what it knows of them.
//
// Locks: a process has one mutex; it is held from Begin to End but for the time in which a fault waits for a message.
// Nothing else is locked while it is held, save a Peer's own mutex, and nobody waits for a connection. Goroutines: two stewards per process, of which one
// sends again what has paused and one asks for owners, and one for each peer that flushes wait for; they end with Close; the threads belong to the driver.
package pcomponent
