package mcomponent

import (
	"strings"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/recovery"
	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// Pages that a recovery pulls in the background come beside the entries that name them, so that nobody copies them: the holder writes them from the frames where they
// are, and they are read into frames that the new owner has reserved.

// aside reports whether the other side of an address may read and write frames by itself. Within one process the bytes would be read by this program, which must not
// happen while it writes them.
func aside(addr string) bool { return !strings.HasPrefix(addr, "inproc:") }

// answerAside answers with pages from the frames where they are. What is written or freed meanwhile does not fit the checksum, which is joined from those that came with
// the flushes: who asked asks again.
func (c *Component) answerAside(q wire.ReplicaRead, items []replica.Item, head wire.ReplicaPages, rep *netlayer.Reply) error {
	pieces := make([][]byte, 0, 8) // in most cases frames are neighbours
	head.Bytes = 0
	body := head.Append(rep.Body(wire.ReplicaHeadLen + len(items)*wire.PageEntryLen)[:0])
	var sum uint32
	var next pagestore.Frame // the neighbour of the last page
	c.mu.Lock()
	for i := range items {
		if i > 0 && i%copyBatch == 0 {
			c.mu.Unlock()
			c.mu.Lock()
		}
		it := &items[i]
		body = it.PageEntry.Append(body)
		if it.State != wire.PageFull {
			continue
		}
		f, content, ok := c.store.Peek(q.PID, it.Page)
		if !ok || content.Epoch != it.Epoch || content.Version != it.Version {
			c.mu.Unlock()
			return c.changed(it.Page)
		}
		sum = wire.JoinPage(sum, content.Sum)
		if n := len(pieces); n > 0 && f == next {
			k := len(pieces[n-1]) / wire.PageSize
			pieces[n-1] = c.pages.Run(f-pagestore.Frame(k), k+1)
		} else {
			pieces = append(pieces, c.pages.Run(f, 1))
		}
		next = f + 1
	}
	c.mu.Unlock()
	rep.Pages(pieces, sum)
	return nil
}

// reserve gives frames for the pages that a question may bring, nil if there are not enough: then they are copied. So is what comes from here,
// which nobody writes into frames.
func (c *Component) reserve(e recovery.Effect) *placement {
	if e.Read.Flags != 0 || e.To.Node == c.o.Node || !aside(e.To.Addr) || e.Read.Count > wire.MaxReplicaPages {
		return nil
	}
	p := placements.Get().(*placement)
	p.frames = p.buf[:e.Read.Count]
	c.mu.Lock()
	ok := c.store.Reserve(p.frames)
	c.mu.Unlock()
	if !ok {
		placements.Put(p)
		return nil
	}
	c.place(nil, p)
	return p
}

// takeAside takes pages that are in frames that were reserved. The lock is held, and given up after each copyBatch of them.
func (v *regionRecovery) takeAside(e recovery.Effect, body []byte, p *placement, bytes int) (a recovery.Answer) {
	c := v.c
	head, _, ok := wire.ParseReplicaPages(body)
	if !ok || head.Bytes != 0 {
		return recovery.Answer{Err: wire.Errorf(wire.KindBadRequest, "%s answered with what are no pages", e.To.Node)}
	}
	at, kept := 0, 0 // pages of the payload that were looked at, and of them those whose frame was not used
	defer func() {
		kept += copy(p.frames[kept:], p.frames[at:])
		p.frames = p.frames[:kept]
	}()
	pid := v.r.Req().Config.PID
	for i := range int(head.Count) {
		if i%copyBatch == 0 {
			if i > 0 {
				c.mu.Unlock()
				c.mu.Lock()
			}
			for k := i; k < min(i+copyBatch, int(head.Count)); k++ { // brings the index into the cache: see lookUp
				c.store.Peek(pid, wire.CopyEntry(body, k).Page)
			}
		}
		if v.gone {
			return recovery.Answer{Err: wire.Errorf(wire.KindNotFound, "the vRegion is not here any more")}
		}
		entry := wire.CopyEntry(body, i)
		lost := entry.State != wire.PageFull
		if !lost && (at+1)*wire.PageSize > bytes {
			return recovery.Answer{Err: wire.Errorf(wire.KindBadRequest, "%s answered with fewer pages than it names", e.To.Node)}
		}
		_, content, have := c.store.Peek(pid, entry.Page)
		newer := have && content.Flushed && (content.Epoch > entry.Epoch || content.Epoch == entry.Epoch && content.Version >= entry.Version)
		used := false
		switch as, mark := v.r.Take(entry, newer); {
		case as == recovery.Nothing:
		case as == recovery.Kept && lost:
			c.replicas.primary.LoseKept(v.slot, entry.Page, entry.Epoch, entry.Version)
		case lost:
			c.replicas.primary.Lose(v.slot, entry.Page, entry.Epoch, entry.Version)
		case as == recovery.Kept:
			if err := c.keepPage(v.slot, pid, entry, mark, c.pages.Page(p.frames[at])[:]); err != nil {
				return recovery.Answer{Err: wireError(err)}
			}
		default:
			c.store.Install(v.slot, pid, entry.Page, pagestore.Content{Epoch: entry.Epoch, Version: entry.Version, Sum: entry.Sum, Flushed: true}, p.frames[at])
			used = true
		}
		if !lost {
			if !used {
				p.frames[kept] = p.frames[at]
				kept++
			}
			at++
		}
	}
	return recovery.Answer{Next: head.Next, More: head.More, Count: int(head.Count)}
}
