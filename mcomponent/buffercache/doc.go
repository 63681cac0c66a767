// Package buffercache decides what the buffer cache of volumes does: which blocks it holds, which sectors of them are
// valid and which are dirty, whom to evict, what to write back and when a flush is done. It is a pure core: no
// goroutines, no locks, no clock, and no bytes: those lie in an arena of the shell (package mcomponent), one page per
// slot, and are moved as the effects say.
//
// A block is 4 KiB, a sector 512 bytes. Validity and dirtiness are kept per sector, so a write of a part of a block needs
// no read before it. Concurrent reads of one missing block make one read at the sComponent. A block written while its
// write-back is under way stays dirty. Who leaves is one of the clean blocks, and a policy of package policy says
// which: by default the least recently used one, and a block that was written back counts as just used. It is the one import of another
// component's core: the policies are the same there and here. Dirty blocks are at most three quarters of the cache, and of one volume at most its share of that,
// so that a volume whose disk is full stops its own writers and nobody else's.
//
// Rule 6 of the protocols, writes that were not flushed may die with this cache, but never silently: writes belong to
// generations. Before the first write of a generation is acknowledged, the sComponent is told (MarkStorage) that
// unflushed writes of it exist; a flush names the generation that it completes, and the sComponent forgets the mark if no
// later one was set. An attach that finds a mark fails the volume. So a flush always separates two generations, and a
// write beside a running flush belongs to the next one and is announced by itself.
//
// A volume that is written through (VolumeAttachReq.Through) acknowledges a write once its write-back is done; it is marked like any
// other, as what was written may not be synced. Of a volume with several copies the storage operations go to all of them (package
// scomponent/replica), a write-back is one write of the whole block, and Configure tells of new copies.
//
// A volume may move to another sComponent (Switch): storage operations that the old one refuses go to the new Place (Again).
// The buffer cache of a volume may move to another mComponent: Clean, Freeze, Clean, Quiet, then Leave, or Thaw.
//
// ReadsNow and WritesNow tell beforehand whether an event will be answered by its own effects, so that a shell may serve
// those where nobody may wait.
//
// Effects are performed in order, and CopyIn, Fill, CopyOut and the reading of a WriteStorage's bytes before the next
// event, under whatever lock excludes it:
//
//	out = c.Read(call, block, out[:0])
//	for _, e := range out {
//		switch e.Kind {
//		case buffercache.CopyIn:  // sectors e.Mask of the payload of e.Call into slot e.Slot
//		case buffercache.CopyOut: // sectors e.Mask of slot e.Slot are the reply to e.Call
//		case buffercache.Fill:    // sectors e.Mask of what ReadStorage e.ID brought into slot e.Slot
//		case buffercache.Reply:   // answer e.Call with e.Err
//		default:                  // AttachStorage, MarkStorage, ReadStorage, WriteStorage, FlushStorage:
//		}                         // start it; when it fails ask c.Again, when it has ended call c.Done(e.ID, err, out)
//	}
package buffercache
