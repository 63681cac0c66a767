package mcomponent

import (
	"context"
	"time"

	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
)

// logFile is how the pages of logs get into backup files: one goroutine, from when there is something to do until the component ends, that
// does what the holder wants done and waits in between. A batch of pages is written, then made durable, and only then do their frames go.
type logFile struct {
	wake    chan struct{} // capacity 1: there may be something to do
	runs    bool          // the goroutine
	full    replica.Waiting[fullWrite]
	behind  string // what was last said of why pages stay in memory
	batch   []savedPage
	reading chan struct{} // holds one per request that reads files; capacity maxFileReads
}

// savedPage is a page on its way to a file.
type savedPage struct {
	save replica.Save
	at   wire.ReplicaFile
	page *arena.Page
	call netlayer.Call
	body [wire.BlockLen]byte
	err  error
}

// fileWindow bounds the writes to a file that are under way at once, of those that become durable together.
const fileWindow = 64

// saveLogs has the goroutine look whether there is something to do about logs. The lock is held.
func (c *Component) saveLogs() {
	l := &c.replicas.file
	if _, more := c.logsDue(); !more && l.full.Len() == 0 {
		return
	}
	if !l.runs {
		l.runs = true
		c.wg.Go(c.runLogs)
	}
	signal(l.wake)
}

// logsDue is when there is something to do about logs. The lock is held.
func (c *Component) logsDue() (due time.Duration, is bool) {
	h := c.replicas.holder
	due, is = h.FileDue()
	for _, at := range []func() (time.Duration, bool){h.SaveDue, h.LaterDue} {
		if at, has := at(); has && (!is || at < due) {
			due, is = at, true
		}
	}
	return due, is
}

func (c *Component) runLogs() {
	l, h := &c.replicas.file, c.replicas.holder
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for c.ctx.Err() == nil {
		c.mu.Lock()
		step, isStep := h.NextFile(c.now())
		if !isStep {
			c.takeSaves()
		}
		c.retryFull()
		due, more := c.logsDue()
		if at, waits := l.full.Due(); waits && (!more || at < due) { // they are answered before their senders give up
			due, more = at, true
		}
		c.sayBehind()
		c.mu.Unlock()
		switch {
		case isStep:
			got, err := c.fileStep(step)
			c.mu.Lock()
			h.FileDone(c.now(), step, got, err)
			c.mu.Unlock()
			continue
		case len(l.batch) > 0:
			c.writeBatch()
			continue
		}
		if more {
			timer.Reset(max(due-c.now(), 0))
		}
		select {
		case <-c.ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.refuse(wire.Errorf(wire.KindUnavailable, "%s stops", c.o.Node))
	l.runs = false
}

// sayBehind tells when pages of logs begin to stay in memory, and when they do no more. The lock is held.
func (c *Component) sayBehind() {
	l, why := &c.replicas.file, c.replicas.holder.Behind()
	switch {
	case why != "" && l.behind == "":
		c.log.Warn("the logs of copies go on in memory: their backup file cannot be used", "pages", c.replicas.holder.Stats().LoggedPages, "cause", why)
	case why == "" && l.behind != "":
		c.log.Info("the logs of copies have a backup file again")
	}
	l.behind = why
}

// fileStep does one thing about a backup file.
func (c *Component) fileStep(s replica.FileStep) (got wire.ReplicaFile, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, time.Duration(c.o.ActivateTimeoutMS)*time.Millisecond)
	defer cancel()
	switch s.Kind {
	case replica.AskFile:
		return c.o.Managers.BackupFile(ctx, s.Req)
	case replica.AskOwner:
		p, err := c.peer(s.Addr)
		if err != nil {
			return got, err
		}
		return got, p.Do(&netlayer.Call{Op: wire.OpReplicaAgain, Epoch: s.Again.Epoch, Body: wire.Marshal(s.Again), Timeout: sendTimeout})
	case replica.OpenFile:
		if err := c.askStorage(s.At, wire.OpVolumeCreate, wire.VolumeCreateReq{Volume: s.At.Volume, Epoch: s.At.Epoch, Name: s.At.Name(), SizeBytes: s.At.SizeBytes}); err != nil {
			return got, err
		}
		return got, c.askStorage(s.At, wire.OpVolumeAttach, wire.VolumeAttachReq{Volume: s.At.Volume, Epoch: s.At.Epoch, SizeBytes: s.At.SizeBytes, Storage: s.At.Storage, StorageAddr: s.At.Addr})
	}
	if got, err = c.o.Managers.BackupFile(ctx, s.Req); err != nil {
		return got, err
	}
	if err := c.askStorage(s.At, wire.OpVolumeDelete, wire.VolumeRef{Volume: s.At.Volume, Epoch: s.At.Epoch}); err != nil {
		c.log.Info("a backup file is not deleted yet: the managers have it dropped", "volume", s.At.Volume, "storage", s.At.Storage, "cause", err)
	}
	return got, nil
}

// askStorage sends a control message to the sComponent of a file.
func (c *Component) askStorage(at wire.ReplicaFile, op wire.Op, req any) error {
	p, err := c.peer(at.Addr)
	if err != nil {
		return err
	}
	return p.Do(&netlayer.Call{Op: op, Epoch: at.Epoch, Body: wire.Marshal(req), Timeout: time.Duration(c.o.StorageTimeoutMS) * time.Millisecond})
}

// takeSaves takes pages that are to be written, with their bytes. The lock is held, and given up after each copyBatch of them.
func (c *Component) takeSaves() {
	l, h := &c.replicas.file, c.replicas.holder
	l.batch = l.batch[:0]
	for n := 0; n < cap(l.batch); n++ {
		if n > 0 && n%copyBatch == 0 {
			c.mu.Unlock()
			c.mu.Lock()
		}
		s, ok := h.NextSave(c.now())
		if !ok {
			return
		}
		f, content, ok := c.store.Peek(s.PID, s.Page)
		if s.Pre {
			f, content, _, ok = c.store.PeekKept(s.Slot, s.Page)
		}
		if !ok || content.Epoch != s.Epoch || content.Version != s.No {
			panic("mcomponent: a page of a log is not stored as its holder has it")
		}
		l.batch = l.batch[:n+1]
		b := &l.batch[n]
		if b.page == nil {
			b.page = new(arena.Page)
		}
		b.save, b.err = s, nil
		b.at, _, _ = h.FileAt(s.File)
		lock := &c.frames[f%stripes]
		lock.Lock()
		*b.page = *c.pages.Page(f)
		lock.Unlock()
	}
}

// writeBatch writes the pages of the batch to their file, which is one, makes them durable, and tells the holder.
func (c *Component) writeBatch() {
	l, h := &c.replicas.file, c.replicas.holder
	at := l.batch[0].at
	p, err := c.peer(at.Addr)
	timeout := time.Duration(c.o.StorageTimeoutMS) * time.Millisecond
	newest := uint64(0)
	for first := 0; first < len(l.batch); first += fileWindow {
		part := l.batch[first:min(first+fileWindow, len(l.batch))]
		for i := range part {
			b := &part[i]
			newest = max(newest, b.save.Seq)
			if b.err = err; err != nil {
				continue
			}
			k := wire.Block{Volume: at.Volume, VolumeEpoch: at.Epoch, Version: b.save.Seq, Offset: uint64(b.save.Block) * wire.PageSize, Length: wire.PageSize}
			b.call = netlayer.Call{Op: wire.OpBlockWrite, Epoch: at.Epoch, Body: k.Append(b.body[:0]), Page: b.page[:], PageCRC: b.save.Sum, HavePageCRC: true, Timeout: timeout}
			b.err = p.Start(&b.call)
		}
		for i := range part {
			if b := &part[i]; b.err == nil {
				b.err = p.Wait(&b.call)
			}
			if err == nil {
				err = part[i].err // what follows would fail as well
			}
		}
	}
	if err == nil || wire.KindOf(err) == wire.KindBusy || wire.KindOf(err) == wire.KindNoSpace { // some were written
		var body [wire.BlockLen]byte
		k := wire.Block{Volume: at.Volume, VolumeEpoch: at.Epoch, Version: newest}
		err = p.Do(&netlayer.Call{Op: wire.OpBlockFlush, Epoch: at.Epoch, Body: k.Append(body[:0]), Timeout: timeout})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range l.batch {
		if i > 0 && i%copyBatch == 0 {
			c.mu.Unlock()
			c.mu.Lock()
		}
		b := &l.batch[i]
		if b.err == nil {
			b.err = err
		}
		switch free, kept := h.Saved(c.now(), b.save, b.err); {
		case kept:
			c.store.Forget(b.save.Slot, b.save.Page)
		case free:
			c.store.Remove(b.save.PID, b.save.Page)
		}
	}
	l.batch = l.batch[:0]
}

// fullWrite is a message of pages for which a log has no room. It is served again when pages of logs have gone to a file.
type fullWrite struct {
	to    *netlayer.Deferred
	serve func() (body []byte, act replica.Action, err error)
}

// maxFullWait is how long messages wait for room in a log, so that their sender does not give up before.
const maxFullWait = sendTimeout / 2

// waitForRoom has a message of pages of a vRegion, of which one is given, served later, if it may wait: then the error is netlayer.ErrDeferred. The lock
// is held.
func (c *Component) waitForRoom(req *netlayer.Request, pid wire.PID, page wire.PageNo, pages int, err error, serve func() (body []byte, act replica.Action, err error)) error {
	l := &c.replicas.file
	if c.ctx.Err() != nil {
		return err
	}
	w := fullWrite{serve: serve}
	if w.to = req.Defer(); w.to == nil {
		return err
	}
	if !l.full.Add(pid, c.replicas.holder.RegionOf(page), c.now()+maxFullWait, pages, w) {
		w.to.Answer(nil, err)
		return netlayer.ErrDeferred
	}
	c.saveLogs()
	return netlayer.ErrDeferred
}

// retryFull serves messages that wait for room, and refuses those that have waited long enough. The lock is held, and may be given up.
func (c *Component) retryFull() {
	c.replicas.file.full.Retry(c.now(), func(w fullWrite, last bool) func() {
		body, act, err := w.serve()
		if act == replica.Wait && !last {
			return nil
		}
		return func() { w.to.Answer(body, err) }
	})
}

// refuse answers all that wait. The lock is held.
func (l *logFile) refuse(why error) {
	l.full.Drop(func(w fullWrite) { w.to.Answer(nil, why) })
}

// replicaAgain has a holder sent again what it had in a backup file that it leaves, or has lost.
func (c *Component) replicaAgain(q wire.ReplicaAgainReq) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, err := c.owners.Serving(q.PID, q.Region, q.Epoch)
	if err != nil {
		return err
	}
	c.performReplicas(c.replicas.primary.Again(c.now(), slot, q, c.replicas.out[:0]))
	return nil
}
