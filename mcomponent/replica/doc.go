// Package replica makes the pages of a vRegion survive its owner. It is a pure core: no goroutines, no locks, no clock, no sockets;
// the shell (package mcomponent) or virtual time calls it. It has both roles:
//
//   - Primary is the owner's side, of all vRegions of one mComponent, by their slots. A flush that the owner has applied is acknowledged to
//     the pComponent when every holder of the vRegion's configuration has acknowledged it. It tries an unreachable holder again until GMM
//     takes it out, fills a new one, and carries unmaps.
//   - Holder is what one mComponent holds for the owners of others: which configuration counts, which pages are here under which version,
//     what a full log skips, and what goes to the backup file.
//
// It moves no bytes and stores no pages: those of a holder lie in package pagestore, in the group of a slot that vregion.Owners.Hold gives, so that a holder
// which becomes the owner has its pages in place already.
//
// What orders things: of two configurations the one with the newer (owner epoch, config) counts, and a holder refuses what comes under an
// older one as stale; within one, an unmap raises the barrier, and a holder refuses a write of an older barrier, as it may be a late copy of one for a
// page that was unmapped; of two writes of a page the one with the newer (process epoch, version) counts. A message carries the page as it is when it is sent, so
// a page that is flushed again while its message is under way is sent once more, and not as often as it was flushed.
//
// The loop of an owner:
//
//	after a flush was applied, or found old:  if p.Redundant(slot) { out = p.Write(now, slot, page, call, out) } else { answer }
//	for each effect:
//		Open, Unmap:  send e.Open, e.Unmap to e.To;                  later out = p.Answered(now, e.ID, Answer{...}, out)
//		Send:         look the page up; if it was flushed fill in process epoch, version and sum, send it with its bytes;
//		              if it is gone and e.Write has not the flag ReplicaLost: at once p.Answered(now, e.ID, Answer{}, out)
//		              with e.Kept, what the store keeps of the page for a checkpoint goes along, if it does
//		Cut:          send e.Cut to e.To;                         later out = p.Answered(now, e.ID, Answer{...}, out)
//		Drop:         send e.Drop to e.To, without waiting: it may come late, so nobody is told who is opened under the same configuration
//		List:         out = p.Listed(now, e.Slot, the pages of the slot's group that were flushed or are kept, out);
//		              while a recovery brings pages, when that is complete
//		Ack, Fail:    answer the flush or unmap of e.Waiter
//	with nothing to wait for: at p.Due(), out = p.Tick(now, out)
//
// That of a holder:
//
//	replica_open:   o, err := h.Open(req); if o.New { slot, err := owners.Hold(...); h.Add(req, slot) } else if o.Free { free the group o.Slot }
//	replica_write:  slot, a, err := h.Write(w, frames are free); Store: store.Flush(slot, ...) and copy the bytes; Skip: answer ReplicaSkipped;
//	                Discard: store.Remove(pid, page); Aside, and Skip of a page as it is: store.Unmap(slot, pid, page, 1); Keep: store.Keep(slot, ...) and copy the bytes
//	replica_cut:    slot, ok, err := h.Cut(req); if ok { store.Cut or, if req.Back, store.Rollback }
//	replica_read:   items, head, err := h.Read(r, items[:0]); bytes of a Saved one are in the backup file at block item.Place
//	replica_unmap:  slot, err := h.Unmap(req); store.Unmap(slot, ...)
//	replica_drop:   slot, ok, err := h.Drop(ref); if ok { owners.Leave, free the group, owners.Left }
//	in the background, of a log: s, ok := h.NextSave(now); write the page to the file; free, kept := h.Saved(now, s, err); kept: store.Forget(s.Slot, s.Page);
//	                else free: store.Remove(s.PID, s.Page). Where in the file says s.Place
//	                s, ok := h.NextFile(now), at FileDue and LaterDue: do it, and h.FileDone(now, s, got, err). A page that is in a file that has to be left is
//	                taken again from its owner, who hears of it by s.Again: out = p.Again(now, slot, s.Again, out)
//
// Limits: a holder keeps the index of its pages in its memory (about 64 bytes a page); the log is lost with the holder's process, as the index
// of the backup file is.
package replica
