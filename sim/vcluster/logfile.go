package vcluster

import (
	"encoding/binary"
	"fmt"

	"splitkernel/gmanagers/gsm"
	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer/wire"
)

// Backup files of logs, as the shell of mComponents has them live: pages are written in batches, each made durable before its frames go.

// logWait is how long a page waits for room in a log, less than its sender waits for an answer.
const logWait = replicaPatience / 2

// fullWrite is a page for which a log has no room.
type fullWrite struct {
	w     wire.ReplicaWrite
	stamp Stamp
	done  func(skipped bool, err error)
}

// tagOf tells whose bytes a block of a backup file has.
func tagOf(page wire.PageNo, version uint64) (s Stamp) {
	binary.LittleEndian.PutUint64(s[:], uint64(page))
	binary.LittleEndian.PutUint64(s[8:], version)
	return s
}

// save does what the holder wants done with backup files.
func (r *redundant) save() {
	m, c := r.m, r.m.c
	if len(c.storage) == 0 {
		return
	}
	if s, ok := r.holder.NextFile(c.clock.Now()); ok {
		in := c.lives[m.no].no
		r.fileStep(s, func(got wire.ReplicaFile, err error) {
			if c.runs(m.no, in) {
				r.holder.FileDone(c.clock.Now(), s, got, err)
				r.save()
				r.arm()
			}
		})
	}
	if r.saving {
		return
	}
	var batch []replica.Save
	for {
		s, ok := r.holder.NextSave(c.clock.Now())
		if !ok {
			break
		}
		batch = append(batch, s)
	}
	if len(batch) > 0 {
		r.saving = true
		r.writeBatch(batch)
	}
}

// fileStep does one thing about a backup file.
func (r *redundant) fileStep(s replica.FileStep, done func(wire.ReplicaFile, error)) {
	m, c := r.m, r.m.c
	if s.Kind == replica.AskFile {
		c.gm.backupFile(m.no, s.Req, done)
		return
	}
	if s.Kind == replica.AskOwner {
		r.askOwner(s, func(err error) { done(wire.ReplicaFile{}, err) })
		return
	}
	if s.Kind == replica.DropFile {
		c.gm.backupFile(m.no, s.Req, func(_ wire.ReplicaFile, err error) {
			if err != nil {
				done(wire.ReplicaFile{}, err)
				return
			}
			to := c.node(s.At.Storage)
			timed(c, wire.OpVolumeDelete, m.no, to, CallTimeout, wire.VolumeRef{Volume: s.At.Volume, Epoch: s.At.Epoch}, func(q wire.VolumeRef, reply func(struct{}, error)) {
				reply(struct{}{}, c.nodes[to].(*storage).remove(q))
			}, func(struct{}, error) { done(wire.ReplicaFile{}, nil) })
		})
		return
	}
	to := c.node(s.At.Storage)
	made := wire.VolumeCreateReq{Volume: s.At.Volume, Epoch: s.At.Epoch, Name: s.At.Name(), SizeBytes: s.At.SizeBytes}
	timed(c, wire.OpVolumeCreate, m.no, to, CallTimeout, made, func(q wire.VolumeCreateReq, reply func(struct{}, error)) {
		reply(struct{}{}, c.nodes[to].(*storage).create(q))
	}, func(_ struct{}, err error) {
		if err != nil {
			done(wire.ReplicaFile{}, err)
			return
		}
		q := wire.VolumeAttachReq{Volume: s.At.Volume, Epoch: s.At.Epoch, SizeBytes: s.At.SizeBytes, Storage: s.At.Storage, StorageAddr: s.At.Addr}
		timed(c, wire.OpVolumeAttach, m.no, to, CallTimeout, q, func(q wire.VolumeAttachReq, reply func(struct{}, error)) {
			c.nodes[to].(*storage).attach(q, func(err error) { reply(struct{}{}, err) })
		}, func(_ struct{}, err error) { done(wire.ReplicaFile{}, err) })
	})
}

// fileBlock sends a block request to the sComponent of a file, once.
func (r *redundant) fileBlock(op wire.Op, at wire.ReplicaFile, k wire.Block, data *sectors, done func(error)) {
	m, c := r.m, r.m.c
	to := c.node(at.Storage)
	k.Volume, k.VolumeEpoch = at.Volume, at.Epoch
	heard := c.heard(op, to, CallTimeout, done)
	blockRequest(c, op, m.no, to, k, data, func(q *blockCall) { c.nodes[to].(*storage).block(op, k, q) }, func(err error) {
		if heard() {
			done(err)
		}
	})
}

// writeBatch writes pages to their file, which is one, makes them durable and tells the holder.
func (r *redundant) writeBatch(batch []replica.Save) {
	m, c := r.m, r.m.c
	at, _, _ := r.holder.FileAt(batch[0].File)
	in, left, newest := c.lives[m.no].no, len(batch), uint64(0)
	errs := make([]error, len(batch))
	flushed := func(err error) {
		if !c.runs(m.no, in) {
			return
		}
		for i, s := range batch {
			switch free, kept := r.holder.Saved(c.clock.Now(), s, firstOf(errs[i], err)); {
			case kept:
				m.store.Forget(s.Slot, s.Page)
			case free:
				m.store.Remove(s.PID, s.Page)
			}
		}
		r.saving = false
		r.retryFull()
		r.save()
		r.arm()
	}
	written := func() {
		if left--; left > 0 || !c.runs(m.no, in) {
			return
		}
		some := false
		for _, err := range errs {
			some = some || err == nil
		}
		if !some {
			flushed(errs[0])
			return
		}
		r.fileBlock(wire.OpBlockFlush, at, wire.Block{Version: newest}, &sectors{}, flushed)
	}
	for i, s := range batch {
		f, content, ok := m.store.Peek(s.PID, s.Page)
		if s.Pre {
			f, content, _, ok = m.store.PeekKept(s.Slot, s.Page)
		}
		if !ok || content.Version != s.No {
			panic(fmt.Sprintf("vcluster: %s is to save version %d of page %#x and has %+v", m.o.ID, s.No, uint64(s.Page), content))
		}
		newest = max(newest, s.Seq)
		r.fileBlock(wire.OpBlockWrite, at, wire.Block{Version: s.Seq, Offset: uint64(s.Block) * wire.PageSize, Length: wire.PageSize},
			&sectors{*m.at(f), tagOf(s.Page, s.No)}, func(err error) {
				errs[i] = err
				written()
			})
	}
}

// readFile reads the pages of an answer that are in backup files.
func (r *redundant) readFile(q wire.ReplicaRead, p pagesOf, done func(pagesOf, error)) {
	m, c := r.m, r.m.c
	in, left := c.lives[m.no].no, 1
	var refused error
	ended := func(err error) {
		refused = firstOf(refused, err)
		if left--; left == 0 && c.runs(m.no, in) {
			r.save() // a file may have to be opened
			r.arm()
			done(p, refused)
		}
	}
	for i := range p.items {
		it := &p.items[i]
		if !it.Saved {
			continue
		}
		left++
		at, open, ok := r.holder.FileAt(it.File)
		if !ok || !open {
			lost, err := replica.Judge(r.holder, q, *it, false, nil)
			if lost {
				panic("vcluster: a page is lost of which the file was not read")
			}
			c.of(m.no, c.clock.Now(), func() { ended(err) })
			continue
		}
		var data sectors
		r.fileBlock(wire.OpBlockRead, at, wire.Block{Offset: uint64(it.Block) * wire.PageSize, Length: wire.PageSize}, &data, func(err error) {
			if !c.runs(m.no, in) {
				return
			}
			lost, err := replica.Judge(r.holder, q, *it, err == nil && data[1] == tagOf(it.Page, it.Version), err)
			if lost {
				it.State, it.Saved = wire.PageLost, false
			}
			p.stamps[i] = data[0]
			ended(err)
		})
	}
	ended(nil)
}

// waitForRoom keeps a page until its log has room.
func (r *redundant) waitForRoom(w wire.ReplicaWrite, stamp Stamp, refused error, done func(bool, error)) {
	if !r.full.Add(w.PID, r.holder.RegionOf(w.Page), r.m.c.clock.Now()+logWait, 1, fullWrite{w, stamp, done}) {
		done(false, refused)
		return
	}
	r.arm()
}

// retryFull serves pages that wait for room, and refuses those that have waited long enough.
func (r *redundant) retryFull() {
	r.full.Retry(r.m.c.clock.Now(), func(f fullWrite, last bool) func() {
		skipped, act, err := r.m.replicaStore(f.w, f.stamp)
		if act == replica.Wait && !last {
			return nil
		}
		return func() { f.done(skipped, err) }
	})
}

// backupFile has GSM give an mComponent the backup file of its logs, or takes one back.
func (g *managers) backupFile(from int32, file wire.FileReq, done func(wire.ReplicaFile, error)) {
	c := g.c
	if c.replayed != nil { // whose books know nothing of it
		to := c.storage[int(from)%len(c.storage)]
		c.after(0, func() {
			done(wire.ReplicaFile{Volume: 1<<31 + wire.VolumeID(from), Epoch: 1, SizeBytes: min(file.SizeBytes, to.o.StorageBytes/gsm.FileShare/wire.PageSize*wire.PageSize), Storage: to.o.ID, Addr: addr(to.o.ID)}, nil)
		})
		return
	}
	q := gsm.Request{Op: gsm.OpFile, File: file}
	heard := c.heard(wire.OpPropose, g.leader, CallTimeout, func(err error) { done(wire.ReplicaFile{}, err) })
	ended := func(r gsm.Result, err error) {
		if heard() {
			done(r.File, firstOf(err, r.Err()))
		}
	}
	c.ask(wire.OpPropose, from, g.leader, len(q.Encode()), func(reply func(int, func())) {
		client, seq := g.session()
		g.toGSM(client, seq, q, func(r gsm.Result, err error) {
			reply(len(r.Encode()), func() { ended(r, err) })
		})
	}, func(err error) { ended(gsm.Result{}, err) })
}

// armLater has it look again when something about its files is due that comes again and again: it keeps no run going.
func (r *redundant) armLater() {
	c := r.m.c
	due, ok := r.holder.LaterDue()
	if !ok || len(c.storage) == 0 || r.saving { // what is being saved may have to go first; it looks again then
		return
	}
	due = max(due, c.clock.Now(), 1)
	if r.checks != 0 && r.checks <= due {
		return
	}
	r.checks = due
	in := c.lives[r.m.no].no
	c.leisurely(due, func() {
		if r.m.red != r || r.checks != due || !c.runs(r.m.no, in) {
			return
		}
		r.checks = 0
		r.save()
		r.arm()
	})
}

// askOwner asks the owner of a vRegion for what was in a backup file.
func (r *redundant) askOwner(s replica.FileStep, done func(error)) {
	toPeer(r, wire.OpReplicaAgain, s.Owner, s.Again, (*memory).replicaAgain, func(_ struct{}, err error) { done(err) })
}

// replicaAgain has a holder sent again what it had in a backup file that it leaves, or has lost.
func (m *memory) replicaAgain(q wire.ReplicaAgainReq, done func(struct{}, error)) {
	slot, err := m.owners.Serving(q.PID, q.Region, q.Epoch)
	if err == nil {
		r := m.redundancy()
		r.perform(r.primary.Again(m.c.clock.Now(), slot, q, nil))
	}
	done(struct{}{}, err)
}
