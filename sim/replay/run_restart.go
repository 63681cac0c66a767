package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/report"
)

// RestartPatience is how long a run waits for the managers to bring back a process that goes on from checkpoints, after its pComponent
// answered last.
const RestartPatience = 60 * time.Second

// silence is how long such a process does not answer before the managers are asked where it is.
const silence = 500 * time.Millisecond

// askTimeout bounds asking them.
const askTimeout = 2 * time.Second

// Restored says from which checkpoint a process goes on.
type Restored struct {
	Number   uint64
	Done     uint64 // references that it has
	Requests uint64
}

// comesBack reports whether a process that does not answer, or has failed, is brought back by the managers, or may be: then it is followed
// or waited for. A pComponent that failed it and lives on has decided for itself.
func (r *controller) comesBack(ctx context.Context, v *vnode, failed bool) bool {
	if !v.spec.Checkpoints.On {
		return false
	}
	wait := time.Since(v.seen) < RestartPatience
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ps, err := r.gm.Processes(ctx)
	es, merr := r.gm.Members(ctx, wire.GPM)
	if err != nil || merr != nil {
		return wait
	}
	for _, p := range ps {
		if p.PID != v.spec.PID {
			continue
		}
		if p.Epoch > v.place.Epoch {
			r.nodesNow() // it may have gone to one that joined meanwhile
			for _, n := range r.o.Nodes {
				if n.ID == p.Node {
					seen := v.seen
					r.movedTo(v, n.ID, string(n.Addr), p.Epoch)
					v.seen = seen // until it answers there
					return wait
				}
			}
		}
		lives := current(es, &p)
		if failed && lives && !p.Restarting {
			return false
		}
		return wait && (p.Restart || lives)
	}
	return false
}

// current reports whether the pComponent of a process is registered as when it was placed there.
func current(es []membership.Status, p *gpm.Process) bool {
	for _, e := range es {
		if e.Member.ID == p.Node {
			return e.Member.Epoch == p.NodeEpoch && e.State != membership.Dead
		}
	}
	return false
}

// startAnew starts a process that its pComponent does not know: it was lost before it began, and there is no checkpoint. One that was
// seen at work has one, and is brought back by the managers; they may not have heard yet that its pComponent ended and is back already.
func (r *controller) startAnew(ctx context.Context, v *vnode) {
	if v.status.Done > 0 || v.restoredAt > 0 || time.Since(v.seen) < silence {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ps, err := r.gm.Processes(ctx)
	es, merr := r.gm.Members(ctx, wire.GPM)
	if err != nil || merr != nil {
		return
	}
	for _, p := range ps {
		if p.PID != v.spec.PID || p.Restarting || p.Epoch != v.place.Epoch || p.Node != v.place.Node || !current(es, &p) {
			continue
		}
		at, err := StartAt(ctx, r.gm, r.peer, v.spec, v.place)
		if v.place = at; err == nil || errors.Is(err, wire.ErrExists) {
			v.spec.Epoch = at.Epoch
			r.o.Log.Info("process started anew", "process", v.v.Name, "pid", v.spec.PID, "pcomponent", at.Node)
		}
	}
}

// answered takes a status of a process: if it went on from a checkpoint meanwhile, what was redone is taken down.
func (r *controller) answered(v *vnode, st Status) {
	if st.From != nil && st.Epoch != v.restoredAt {
		v.restoredAt = st.Epoch
		v.restarts = append(v.restarts, report.Restart{
			From: v.before, To: v.place.Node, Checkpoint: st.From.Number, Epoch: st.Epoch,
			LostAtSeconds: v.seen.Sub(r.began).Seconds(), BackAtSeconds: time.Since(r.began).Seconds(),
			AccessesRepeated: v.status.Done - min(v.status.Done, st.From.Done), RequestsRepeated: v.status.Blocks - min(v.status.Blocks, st.From.Requests),
		})
		r.o.Log.Warn("process goes on from a checkpoint", "process", v.v.Name, "pid", v.spec.PID, "pcomponent", v.place.Node, "checkpoint", st.From.Number, "accesses", st.From.Done)
	}
	v.status, v.seen, v.before = st, time.Now(), v.place.Node
}

// gone says why a process failed of which its pComponent does not know.
func gone(v *vnode) string {
	return fmt.Sprintf("%s was restarted and no longer runs the process", v.place.Node)
}
