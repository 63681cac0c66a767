// Package calibrate measures this machine with the real components and writes what it finds as a hardware profile, and compares what
// virtual time predicts on that profile with live runs.
//
// Two processes, pinned to one processor: this one has the pComponent, a second one, which is this program started again (Serve), the
// mComponent. Between them is the transport. What is measured are medians of single operations (page faults by kind, round trips), how
// many of them are late, and means of many (messages in flight at once, references replayed).
// Measure gives the figures, Estimate the parameters that explain them, Profile the profile with a source for each value. Estimate is
// arithmetic and is tested on figures made from known parameters.
//
//	l, err := calibrate.Start(ctx, calibrate.Options{…})   // pins this process; Close undoes it
//	m, err := l.Measure(ctx)
//	p, err := calibrate.Profile(m)
//	live, err := l.Replay(ctx, vnode)                      // of a trace, as a live run does
//	virtual, err := calibrate.Virtual(ctx, p, vnode)
//	l.Close()
//
// It does not measure block requests, several threads of a process, or processors that work at the same time. Goroutines: those of
// the components that it starts; Close waits for them.
package calibrate
