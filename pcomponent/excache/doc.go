// Package excache is the ExCache of one process: which of its pages have a line,
// which page leaves when another comes, what is dirty, and which flushes are
// still on their way. It decides; it holds no page bytes, and it knows nothing of
// messages, threads or traces. Its callers are pcomponent/fault and the shell of
// the compute component, live and in virtual time.
//
// # Lines and frames
//
// A line is a place in a set: line = set*ways + way, set = page mod sets. A frame
// is a place for the bytes of one page, owned by the shell. A line points to a
// frame, and so do an entry of the victim cache and a flush that waits for its
// acknowledgement, so a page can change between the three without being copied.
// There are Frames() frames, numbered from 0.
//
//	line, entry ──> frame <── flush      one frame has one line or entry at most,
//	                                     and one flush at most; with neither it
//	                                     is free
//
// # Locks and order
//
// The package is pure: no goroutines, no locks, no clock. One lock of the caller
// covers all calls on a Cache and each access to the bytes of a frame that it
// names. Replacement state changes when an access is made (Hit, Miss), never when
// something completes; so with one access outstanding, the counters and the
// victims are a function of the order of accesses alone, however late a flush is
// acknowledged.
//
// # The loop of one access
//
//	for {
//		if frame, ok := c.Hit(page, write); ok {
//			use(frame)
//			return
//		}
//		m := c.Miss(page, write)
//		if m.HasFlush {
//			sendFlush(m.Flush) // later: c.FlushAcked(m.Flush.ID)
//		}
//		switch m.Kind {
//		case excache.StallFlush: // nothing was counted or changed
//			waitForAck(m.StallOn)
//			continue // from Hit: another thread may have brought the page
//		case excache.StallLine: // nothing was counted or changed
//			waitForAnyCompletion()
//			continue
//		case excache.StallPrefetch:
//			waitForFill(m.Line)
//			continue
//		case excache.MissPresent: // the caller skipped Hit; nothing was counted
//			continue
//		case excache.MissFill:
//			if m.HasFlush && m.Flush.MustAckFirst {
//				waitForAck(m.Flush.ID)
//			}
//			c.CountFill(m.Line, plocal)
//			if fill(m.Frame) != nil { // zeros, or a fetch from the owner
//				c.FillFailed(m.Line)
//				c.Unpin(m.Line)
//				return
//			}
//			c.Filled(m.Line)
//		case excache.MissCoalesced:
//			if waitForFill(m.Line) != nil {
//				c.Unpin(m.Line)
//				return
//			}
//		case excache.MissLate: // prefetched, and on its way
//			if !waitForFill(m.Line) {
//				… fetch it after all, and call Filled
//			}
//		case excache.MissPrefetched:
//		case excache.MissTakeBack:
//			if m.Copy { // before the lock is released
//				copy(frames[m.Frame], frames[m.CopyFrom])
//			}
//		}
//		use(c.Complete(m.Line, write))
//		return
//	}
//
// # Prefetching
//
// Whoever guesses pages asks for a line with Prefetch. From then on the page is
// there as far as replacement goes, whether it has come or not; the first access to
// it goes through Miss and counts as a hit, so that hits, misses and victims do not
// depend on when it comes.
//
// # Eviction mechanisms
//
// The three of LegoOS (OSDI'18 and its released source), by name:
//
//	list           a dirty victim is flushed in the background. A miss on a page
//	               whose flush is not acknowledged waits for it and then fetches.
//	write-protect  the flush is acknowledged before the line is used again
//	               (MustAckFirst). A thread that touches the page meanwhile takes
//	               it back: its bytes are copied from the frame of the flush.
//	victim         lines that leave, clean or dirty, enter a fully associative
//	               FIFO of VictimLines entries; dirty ones are flushed at once, in
//	               the background. A miss found there goes back to a line. An entry
//	               pushed out before its acknowledgement then behaves as with list.
//
// A page taken back is clean with respect to the version in flight, because that
// flush is retried until it is acknowledged. At most FlushFrames flushes are
// unacknowledged at once; an eviction that would start one more waits for the
// oldest.
package excache
