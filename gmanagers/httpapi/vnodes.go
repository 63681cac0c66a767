package httpapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// undoTimeout bounds how long what a failed request has begun may take to be undone.
const undoTimeout = 5 * time.Second

func (a *API) vnodes(q *request) (int, any, error) {
	limit, err := q.limit()
	if err != nil {
		return 0, nil, err
	}
	after, err := q.uint("after", 0, 1, math.MaxUint64-1)
	if err != nil {
		return 0, nil, err
	}
	out := VNodes{VNodes: []VNode{}}
	ps, more, err := a.processes(q.ctx, wire.PID(after)+1, limit)
	if err != nil || len(ps) == 0 {
		return http.StatusOK, out, err
	}
	first, last := ps[0].PID, ps[len(ps)-1].PID
	if more {
		out.Next = strconv.FormatUint(uint64(last), 10)
	}
	volumes := volumeBooks{}
	if slices.ContainsFunc(ps, func(p gpm.Process) bool { return p.Wants > 0 }) {
		if volumes, err = a.volumes(q.ctx); err != nil {
			return 0, nil, err
		}
	}
	homes, err := a.o.Client.RegionsBetween(q.ctx, first, last)
	if err != nil {
		return 0, nil, err
	}
	at := map[wire.PID]gmm.Process{}
	for _, h := range homes {
		at[h.PID] = h
	}
	members, err := a.o.Client.Members(q.ctx, wire.GMM)
	if err != nil {
		return 0, nil, err
	}
	computes, err := a.o.Client.Members(q.ctx, wire.GPM)
	if err != nil {
		return 0, nil, err
	}
	for _, p := range ps {
		v := vnodeOf(p)
		v.Volumes = volumes.of(p)
		h, ok := at[p.PID]
		if ok {
			v.moved(h, members)
		}
		if p.Phase == admission.Running {
			v.Lost = lostOf(p, h, ok, volumes.volumes, computes, members)
		}
		out.VNodes = append(out.VNodes, v)
	}
	return http.StatusOK, out, nil
}

// processes returns limit vNodes from an id on, and whether there are others.
func (a *API) processes(ctx context.Context, from wire.PID, limit int) (ps []gpm.Process, more bool, err error) {
	for {
		p, err := a.o.Client.ProcessPage(ctx, from, limit-len(ps))
		if err != nil {
			return nil, false, err
		}
		if ps = append(ps, p.Items...); !p.More || len(ps) == limit {
			return ps, p.More, nil
		}
		from = wire.PID(p.Next.ID)
	}
}

// maxLost bounds what is told as lost of a vNode.
const maxLost = 16

// lostOf says what of a running vNode the books have at a component that is dead, gone or was started again. While such a
// thing moves, its taker may have it yet.
func lostOf(p gpm.Process, h gmm.Process, home bool, volumes []gsm.Volume, computes, memories []membership.Status) (lost []string) {
	lives := func(members []membership.Status, id wire.NodeID, epoch wire.Epoch) bool {
		s, ok := current(members, id, epoch)
		return ok && s.State != membership.Dead
	}
	if !lives(computes, p.Node, p.NodeEpoch) {
		lost = append(lost, "process")
	}
	if home {
		if !lives(memories, h.Home, h.NodeEpoch) && h.Copies == nil { // what has copies waits for room, or for the end of its move
			lost = append(lost, "home")
		}
		for _, r := range h.Regions {
			if !lives(memories, r.Node, r.NodeEpoch) && r.Copies == nil {
				lost = append(lost, fmt.Sprintf("vregion %d", r.Region))
			}
		}
	}
	for _, v := range volumes {
		if v.PID == p.PID && v.Lost != 0 {
			lost = append(lost, fmt.Sprintf("%v %d", v.Lost, v.Volume))
		}
	}
	return lost[:min(len(lost), maxLost)]
}

// moved puts in the home as GMM has it: GPM knows where it was admitted.
func (v *VNode) moved(h gmm.Process, members []membership.Status) {
	if v.Home == nil || h.Home == wire.NodeID(v.Home.Node) && uint32(h.HomeEpoch) == v.Home.Epoch {
		return
	}
	v.Home.Node, v.Home.Epoch, v.Home.Addr = string(h.Home), uint32(h.HomeEpoch), addrOf(members, h.Home)
}

// addrOf finds the address of a component, empty if it is not registered.
func addrOf(members []membership.Status, id wire.NodeID) string {
	for _, s := range members {
		if s.Member.ID == id {
			return s.Member.Addr
		}
	}
	return ""
}

// volumeBooks are the volumes of GSM, which knows where they are now.
type volumeBooks struct {
	volumes []gsm.Volume
	members []membership.Status
}

func (a *API) volumes(ctx context.Context) (b volumeBooks, err error) {
	if b.volumes, err = a.o.Client.Volumes(ctx); err == nil && len(b.volumes) > 0 {
		b.members, err = a.o.Client.Members(ctx, wire.GSM)
	}
	return b, err
}

// of gives the volumes of a process in the order in which it asked for them. What GSM does not have, before its admission was
// decided or while it leaves, is as GPM has it.
func (b *volumeBooks) of(p gpm.Process) []Volume {
	out := []Volume{}
	for _, w := range p.Volumes {
		v := volumeOf(w)
		for _, g := range b.volumes {
			if g.Volume != w.Volume {
				continue
			}
			was := v.StorageAddr
			v = volumeOf(g.Place(func(id wire.NodeID) string { return addrOf(b.members, id) }))
			v.Name = g.Name
			v.ApartFrom, v.ApartLevel = g.Own.Name()
			v.StorageAddr = cmp.Or(v.StorageAddr, was)
		}
		out = append(out, v)
	}
	return out
}

// process finds a vNode by its id. The error names the ids that there are.
func (a *API) process(ctx context.Context, pid wire.PID) (gpm.Process, error) {
	ps, err := a.o.Client.Process(ctx, pid)
	if err != nil {
		return gpm.Process{}, err
	}
	if len(ps) == 1 {
		return ps[0], nil
	}
	all, err := a.o.Client.Processes(ctx)
	if err != nil {
		return gpm.Process{}, err
	}
	var ids []string
	for _, p := range all {
		ids = append(ids, strconv.FormatUint(uint64(p.PID), 10))
	}
	return gpm.Process{}, wire.Errorf(wire.KindNotFound, "no vNode %d, want one of: %s", pid, some(ids))
}

func (a *API) vnode(q *request) (int, any, error) {
	pid, err := q.pid()
	if err != nil {
		return 0, nil, err
	}
	p, err := a.process(q.ctx, pid)
	if err != nil {
		return 0, nil, err
	}
	d := VNodeDetail{VNode: vnodeOf(p)}
	homes, err := a.o.Client.Regions(q.ctx, pid)
	if err != nil {
		return 0, nil, err
	}
	d.Regions, d.Reserved = []Region{}, []Reserve{}
	var home gmm.Process
	var memories []membership.Status
	if len(homes) == 1 {
		home = homes[0]
		d.Regions, d.Reserved = regionsOf(home)
		d.Memory = redundancyOf(&home)
		if memories, err = a.o.Client.Members(q.ctx, wire.GMM); err != nil {
			return 0, nil, err
		}
		d.moved(home, memories)
	}
	volumes, err := a.volumes(q.ctx)
	if err != nil {
		return 0, nil, err
	}
	d.Volumes = volumes.of(p)
	computes, err := a.o.Client.Members(q.ctx, wire.GPM)
	if err != nil {
		return 0, nil, err
	}
	if p.Phase == admission.Running {
		d.Lost = lostOf(p, home, len(homes) == 1, volumes.volumes, computes, memories)
	}
	if at, ok := current(computes, p.Node, p.NodeEpoch); ok {
		d.Addr = at.Member.Addr
		d.Progress, d.ProgressError = a.progress(q.ctx, p, d.Addr)
	} else {
		d.ProgressError = fmt.Sprintf("%s is gone, or was started again since", p.Node)
	}
	return http.StatusOK, d, nil
}

// current finds a component under the epoch of a placement.
func current(members []membership.Status, id wire.NodeID, epoch wire.Epoch) (membership.Status, bool) {
	for _, s := range members {
		if s.Member.ID == id && s.Member.Epoch == epoch {
			return s, true
		}
	}
	return membership.Status{}, false
}

// progress asks the pComponent of a process. A process that was never started has none.
func (a *API) progress(ctx context.Context, p gpm.Process, addr string) (*Progress, string) {
	if a.o.Progress == nil {
		return nil, ""
	}
	var rep wire.ProcessStatusRep
	err := a.control(ctx, addr, wire.OpProcessStatus, p.Epoch, &wire.ProcessRef{PID: p.PID}, &rep)
	if errors.Is(err, wire.ErrNotFound) {
		return nil, ""
	}
	if err == nil {
		var pr Progress
		if pr, err = a.o.Progress(rep.Status); err == nil {
			return &pr, ""
		}
	}
	return nil, fmt.Sprintf("%s: %v", p.Node, err)
}

func (s VNodeSpec) admission() (admission.VNodeSpec, error) {
	w := admission.VNodeSpec{
		Name: s.Name, Threads: s.Threads, ExCacheLines: s.ExCacheLines, MemoryBytes: s.MemoryBytes,
		Tenant: s.Tenant, Priority: s.Priority, DeadlineMS: s.DeadlineMS, Restart: s.Restart,
	}
	var err error
	if w.Memory, err = s.Memory.policy(); err != nil {
		return w, err
	}
	if w.Apart, err = apart.Parse(s.ApartFrom, s.ApartLevel, "apart_level"); err != nil {
		return w, err
	}
	for i, v := range s.Volumes {
		rule, err := apart.Parse(v.ApartFrom, v.ApartLevel, fmt.Sprintf("volumes[%d].apart_level", i))
		if err != nil {
			return w, err
		}
		w.Volumes = append(w.Volumes, admission.VolumeSpec{Name: v.Name, SizeBytes: v.SizeBytes, Apart: rule, Copies: v.copies()})
	}
	if s.IfFull != "" {
		var ok bool
		if w.IfFull, ok = admission.ParseIfFull(s.IfFull); !ok {
			return w, badRequest("if_full: %.100q, want one of %v, %v, %v", s.IfFull, admission.Preempt, admission.Queue, admission.Refuse)
		}
	}
	if s.DeadlineMS > uint32(MaxWait.Milliseconds()) {
		return w, badRequest("deadline_ms: %d, want at most %d", s.DeadlineMS, MaxWait.Milliseconds())
	}
	return w.Complete(), w.Check()
}

// quorum makes sure that GPM has one, before anything is begun: its absence is then a failure that left nothing unknown.
func (a *API) quorum(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	_, err := a.o.Client.Process(ctx, math.MaxUint64) // which no process has
	return unbegun(err)
}

func (a *API) createVNode(q *request) (code int, answer any, err error) {
	var s VNodeSpec
	if err := q.decode(&s); err != nil {
		return 0, nil, err
	}
	spec, err := s.admission()
	if err != nil {
		return 0, nil, err
	}
	if err := a.quorum(q.ctx); err != nil {
		return 0, nil, err
	}
	if spec.IfFull != admission.Refuse { // who gives up the request gives up the wait
		defer a.extend(q, time.Duration(spec.DeadlineMS)*time.Millisecond)()
	}
	key, err := q.key(spec)
	if err != nil {
		return 0, nil, err
	}
	end, err := q.trace(a.o.Net.Spans, s.Name)
	if err != nil {
		return 0, nil, err
	}
	defer func() { end(err) }()
	var at admission.Placement
	if key == 0 {
		at, err = a.o.Client.Admit(q.ctx, spec)
	} else {
		at, err = a.o.Client.AdmitOnce(q.ctx, key, spec)
	}
	if err != nil {
		return 0, nil, err
	}
	if err := a.createVolumes(q.ctx, spec, at); err != nil {
		return 0, nil, err
	}
	v := VNode{
		PID: at.PID, Name: s.Name, Phase: admission.Running.String(), Epoch: uint32(at.Epoch), Threads: s.Threads, ExCacheLines: s.ExCacheLines,
		Node: string(at.Node), Tenant: spec.Tenant, Priority: spec.Priority, Home: homeOf(at.Home), Volumes: []Volume{},
	}
	v.ApartFrom, v.ApartLevel = spec.Apart.Name()
	for i, w := range at.Volumes {
		v.Volumes = append(v.Volumes, volumeOf(w))
		v.Volumes[i].Name = s.Volumes[i].Name
		v.Volumes[i].ApartFrom, v.Volumes[i].ApartLevel = spec.Volumes[i].Apart.Name()
	}
	if p, err := a.o.Client.Process(q.ctx, at.PID); err == nil && len(p) == 1 { // it is admitted; this only adds when and under which epoch
		full := vnodeOf(p[0])
		v.NodeEpoch, v.Placed = full.NodeEpoch, full.Placed
	}
	return http.StatusCreated, v, nil
}

// TraceHeader is the header of an admission that belongs to a trace: the span of who asks (span.Context.String).
const TraceHeader = "Splitkernel-Trace"

// trace has what is done for an admission belong to the trace of who asks, or to one of its own. Without a sink of spans it does nothing.
func (q *request) trace(to span.Sink, name string) (end func(error), err error) {
	in, ok := span.Context{}, false
	if text := q.Header.Get(TraceHeader); text != "" {
		if in, ok = span.Parse(text); !ok {
			return nil, badRequest("%s: %.40q, want a number of a trace and one of a span in hexadecimal, such as %s", TraceHeader, text, span.Context{Trace: 1 << 20, Span: 7})
		}
	}
	vnode := span.Attr{Key: "vnode", Text: name}
	if !ok {
		q.ctx, end = span.Begin(q.ctx, to, "admission", vnode)
		return end, nil
	}
	ctx, tell := span.Below(span.With(q.ctx, in), to, span.Server, "POST /vnodes", vnode)
	q.ctx = ctx
	return func(err error) { tell(err) }, nil
}

// KeyHeader is the header of a request that may be sent again: who repeats it with the same value gets what the first one made.
const KeyHeader = "Idempotency-Key"

// maxKeyBytes bounds its value.
const maxKeyBytes = 128

// key gives the key of an admission, 0 if the request has none. Another spec under the same value is another admission.
func (q *request) key(spec admission.VNodeSpec) (uint64, error) {
	text := q.Header.Get(KeyHeader)
	switch {
	case len(q.Header.Values(KeyHeader)) == 0:
		return 0, nil
	case text == "" || len(text) > maxKeyBytes:
		return 0, badRequest("%s: %d bytes, want 1 to %d", KeyHeader, len(text), maxKeyBytes)
	}
	sum := sha256.Sum256(append(wire.Marshal(spec), text...))
	return max(1, binary.LittleEndian.Uint64(sum[:8])), nil
}

// createVolumes makes the volumes of an admitted vNode at their sComponents. If one cannot be made nothing is left.
func (a *API) createVolumes(ctx context.Context, spec admission.VNodeSpec, at admission.Placement) error {
	for i, v := range at.Volumes {
		req := wire.VolumeCreateReq{Volume: v.Volume, Epoch: v.Epoch, Name: spec.Volumes[i].Name, SizeBytes: v.SizeBytes, Config: v.Config}
		there, err := 0, error(nil)
		for _, at := range v.Places() {
			cerr := a.control(ctx, at.Addr, wire.OpVolumeCreate, v.Epoch, &req, nil)
			if cerr == nil {
				there++
			} else if err == nil {
				err = wire.Errorf(wire.KindOf(cerr), "volume %q at %s: %s", req.Name, at.Node, membership.TextOf(cerr))
			}
		}
		if there >= v.Copies.Enough() { // of a copy more the managers see that it is there
			continue
		}
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		made := make([]Volume, i+1)
		for j := range made {
			made[j] = volumeOf(at.Volumes[j])
		}
		warnings := a.deleteVolumes(undo, made)
		if rerr := a.o.Client.Release(undo, at.PID); rerr != nil {
			warnings = append(warnings, rerr)
		}
		if len(warnings) > 0 {
			return wire.Errorf(wire.KindInternal, "%v; vNode %d could not be taken back, delete it: %v", err, at.PID, errors.Join(warnings...))
		}
		return err
	}
	return nil
}

// deleteVolumes removes volumes from their sComponents. What is not there needs no removal.
func (a *API) deleteVolumes(ctx context.Context, volumes []Volume) (errs []error) {
	for _, v := range volumes {
		for _, r := range v.Replicas {
			err := a.control(ctx, r.Addr, wire.OpVolumeDelete, wire.Epoch(v.Epoch), &wire.VolumeRef{Volume: v.Volume, Epoch: wire.Epoch(v.Epoch)}, nil)
			if err != nil && !errors.Is(err, wire.ErrNotFound) && !errors.Is(err, wire.ErrUnavailable) { // that drops its copy when it is back
				errs = append(errs, wire.Errorf(wire.KindOf(err), "volume %d at %s: %s", v.Volume, r.Node, membership.TextOf(err)))
			}
		}
		if len(v.Replicas) > 0 {
			continue
		}
		err := a.deleteVolume(ctx, v.Volume, v.StorageAddr, wire.Epoch(v.Epoch))
		if err != nil && !errors.Is(err, wire.ErrNotFound) {
			errs = append(errs, wire.Errorf(wire.KindOf(err), "volume %d at %s: %s", v.Volume, v.Storage, membership.TextOf(err)))
		}
	}
	return errs
}

// deleteVolume removes a volume, after it if it has moved: GSM may learn of that a little later.
func (a *API) deleteVolume(ctx context.Context, id wire.VolumeID, addr string, epoch wire.Epoch) error {
	for {
		err := a.control(ctx, addr, wire.OpVolumeDelete, epoch, &wire.VolumeRef{Volume: id, Epoch: epoch}, nil)
		if !errors.Is(err, wire.ErrNotOwner) {
			return err
		}
		select {
		case <-time.After(movedPause):
		case <-ctx.Done():
			return err
		}
		now, at, ferr := a.o.Client.Volume(ctx, id)
		if ferr != nil {
			return ferr
		}
		addr, epoch = at, now.Epoch
	}
}

// movedPause is the pause before GSM is asked again where a volume went.
const movedPause = 50 * time.Millisecond

// deleteVNode stops the process, removes the volumes and releases the vNode, in this order: what is still used is not given
// to others. With force what does not answer is passed over.
func (a *API) deleteVNode(q *request) (int, any, error) {
	pid, err := q.pid()
	if err != nil {
		return 0, nil, err
	}
	force, err := q.bool("force")
	if err != nil {
		return 0, nil, err
	}
	find, cancel := context.WithTimeout(q.ctx, ReadTimeout)
	defer cancel()
	p, err := a.process(find, pid)
	if err != nil {
		return 0, nil, unbegun(err)
	}
	var errs []error
	if err := a.stopProcess(q.ctx, p); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 || force {
		volumes, err := a.volumes(q.ctx)
		if err != nil {
			return 0, nil, err
		}
		errs = append(errs, a.deleteVolumes(q.ctx, volumes.of(p))...)
	}
	if len(errs) > 0 && !force {
		return 0, nil, wire.Errorf(wire.KindOf(errs[0]), "vNode %d was not released: %s; ask again, or with force=true to pass over it", pid, joined(errs))
	}
	if err := a.o.Client.Release(q.ctx, pid); err != nil {
		return 0, nil, err
	}
	d := Deleted{PID: pid, Warnings: []string{}}
	for _, e := range errs {
		d.Warnings = append(d.Warnings, e.Error())
	}
	return http.StatusOK, d, nil
}

func joined(errs []error) string {
	text := ""
	for i, e := range errs {
		if i > 0 {
			text += "; "
		}
		text += membership.TextOf(e)
	}
	return text
}

// stopPoll is how often a process that was told to stop is asked whether it has ended.
const stopPoll = 20 * time.Millisecond

// stopProcess ends a process and waits for its end, wherever it moves meanwhile. One that was not started, or whose
// pComponent is gone or was started again, does not run.
func (a *API) stopProcess(ctx context.Context, p gpm.Process) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	for {
		err := a.stopAt(ctx, p)
		if k := wire.KindOf(err); k != wire.KindNotOwner && k != wire.KindBusy {
			return err
		}
		select { // it has moved, or is just moving: GPM knows where to
		case <-time.After(stopPoll):
		case <-ctx.Done():
			return err
		}
		now, perr := a.o.Client.Process(ctx, p.PID)
		if perr != nil {
			return perr
		}
		if len(now) == 0 {
			return nil
		}
		p = now[0]
	}
}

// stopAt ends a process at the pComponent that GPM has of it, and waits for its end. An error of wire.KindNotOwner or KindBusy
// says that it has moved or is moving.
func (a *API) stopAt(ctx context.Context, p gpm.Process) error {
	members, err := a.o.Client.Members(ctx, wire.GPM)
	if err != nil {
		return err
	}
	at, ok := current(members, p.Node, p.NodeEpoch)
	if !ok {
		return nil
	}
	peer, err := a.dial(at.Member.Addr)
	if err != nil {
		return err
	}
	defer peer.Close()
	ref := wire.ProcessRef{PID: p.PID}
	failed := func(err error) error {
		return wire.Errorf(wire.KindOf(err), "stop of process %d at %s: %s", p.PID, p.Node, membership.TextOf(err))
	}
	if err := control(ctx, peer, wire.OpProcessStop, p.Epoch, &wire.ProcessStopReq{PID: p.PID, Text: "its vNode was deleted"}, nil); err != nil {
		if errors.Is(err, wire.ErrNotFound) {
			return nil
		}
		return failed(err)
	}
	if a.o.Progress == nil {
		return nil
	}
	tick := time.NewTicker(stopPoll)
	defer tick.Stop()
	for {
		var rep wire.ProcessStatusRep
		var pr Progress
		err := control(ctx, peer, wire.OpProcessStatus, p.Epoch, &ref, &rep)
		if err == nil {
			pr, err = a.o.Progress(rep.Status)
		}
		switch {
		case errors.Is(err, wire.ErrNotFound):
			return nil
		case err != nil:
			return failed(err)
		case pr.Ended:
			return nil
		case pr.State == StateMoved:
			return failed(wire.Errorf(wire.KindNotOwner, "it has moved"))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return wire.Errorf(wire.KindTimeout, "process %d at %s was told to stop and has not ended within %s", p.PID, p.Node, stopTimeout)
		}
	}
}
