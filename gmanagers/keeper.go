package gmanagers

import (
	"context"
	"slices"
	"sync"
	"time"

	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/repair"
	"splitkernel/netlayer/wire"
)

// keeperInterval is how often GSM's leader looks which volumes need something.
const keeperInterval = 250 * time.Millisecond

// keeper looks after copies of volumes and buffer caches while this process leads GSM: it performs what the pure package repair
// decides. One goroutine owns it; the calls, at most repair.MaxCalls, have one each and hand their answers to it.
type keeper struct {
	m      *Managers
	host   *raftsm.Host
	client *client.Client
	peers  *components
	answer chan keeperAnswer

	term    uint64
	core    *repair.Taped // nil while this process does not lead
	effects []repair.Effect
	queue   []repair.Effect // to be proposed
	busy    bool            // a proposal is under way
	calls   sync.WaitGroup
}

// keeperAnswer is what came of effects: of one, or of those that were proposed together.
type keeperAnswer struct {
	core *repair.Taped
	e    []repair.Effect
	rep  wire.VolumeConfigRep
	errs []error // one for each
}

func newKeeper(m *Managers, host *raftsm.Host, c *client.Client, peers *components) *keeper {
	return &keeper{m: m, host: host, client: c, peers: peers, answer: make(chan keeperAnswer)}
}

// run looks after the volumes until ctx ends; then it waits for the calls.
func (v *keeper) run(ctx context.Context) {
	defer v.calls.Wait()
	timer := time.NewTimer(keeperInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-v.answer:
			v.answered(ctx, a)
		case <-timer.C:
		}
		v.step(ctx)
		wait := keeperInterval
		if v.core != nil {
			if next, ok := v.core.Next(); ok {
				wait = min(wait, max(0, next-v.m.now()))
			}
		}
		timer.Reset(wait)
	}
}

// step takes over which volumes need something now, and does what is due.
func (v *keeper) step(ctx context.Context) {
	leads := v.host.Leader(wire.GSM) == v.m.o.ID
	v.m.mu.Lock()
	v.m.lead(wire.GSM, leads)
	term := v.m.terms[wire.GSM]
	v.m.mu.Unlock()
	if !leads || v.term != term {
		if v.core != nil {
			v.core.End()
		}
		v.core, v.queue, v.busy = nil, nil, false
	}
	if !leads {
		return
	}
	if v.core == nil {
		barrier, cancel := context.WithTimeout(ctx, barrierTimeout)
		defer cancel()
		if err := v.host.Read(barrier, wire.GSM, func(raftsm.State) {}); err != nil {
			return // again, soon
		}
		v.core, v.term = v.m.repairCore(), term
	}
	list, err := v.list()
	if err != nil {
		return // stopping
	}
	v.perform(ctx, v.core.Sync(v.m.now(), list, v.effects[:0]))
	if len(list) == 0 {
		v.peers.keep(nil)
	}
	v.perform(ctx, v.core.Tick(v.m.now(), v.effects[:0]))
	v.commit(ctx)
}

// list reads which volumes need something. The replicas of GMM and GPM here may lag: then it is seen later.
func (v *keeper) list() (list []repair.Volume, err error) {
	var memory []membership.Entry
	if err := v.host.Stale(wire.GMM, func(s raftsm.State) { memory = slices.Clone(s.Entries()) }); err != nil {
		return nil, err
	}
	var pids []wire.PID
	err = v.host.Stale(wire.GSM, func(s raftsm.State) {
		list = s.(*gsm.State).Unsettled(memory, func(pid wire.PID) string { pids = append(pids, pid); return "" })
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list, v.host.Stale(wire.GPM, func(s raftsm.State) {
		st := s.(*gpm.State)
		for i := range list {
			list[i].Client = st.AddrOf(pids[i])
		}
	})
}

// perform makes the calls that the core wants, and keeps for commit what it wants proposed.
func (v *keeper) perform(ctx context.Context, effects []repair.Effect) {
	v.effects = effects[:0]
	for _, e := range effects {
		if e.Kind == repair.Propose {
			v.queue = append(v.queue, e)
			continue
		}
		a := keeperAnswer{core: v.core, e: []repair.Effect{e}}
		v.calls.Go(func() {
			var err error
			a.rep, err = v.call(ctx, &e)
			a.errs = []error{err}
			v.hand(ctx, a)
		})
	}
}

func (v *keeper) hand(ctx context.Context, a keeperAnswer) {
	select {
	case v.answer <- a:
	case <-ctx.Done():
	}
}

// call performs one effect.
func (v *keeper) call(ctx context.Context, e *repair.Effect) (rep wire.VolumeConfigRep, err error) {
	switch e.Kind {
	case repair.Create:
		err = v.peers.call(ctx, e.Addr, wire.OpVolumeCreate, &e.Create, nil)
	case repair.Config:
		err = v.peers.call(ctx, e.Addr, wire.OpVolumeConfig, &e.Config, &rep)
	case repair.Attach:
		err = v.peers.call(ctx, e.Addr, wire.OpVolumeAttach, &e.Attach, nil)
	case repair.Tell:
		err = v.peers.call(ctx, e.Addr, wire.OpCacheSwitch, &e.Switch, nil)
	}
	return rep, err
}

// commit proposes what waits for it, unless a proposal is under way.
func (v *keeper) commit(ctx context.Context) {
	if v.busy || len(v.queue) == 0 {
		return
	}
	n := min(len(v.queue), gsm.MaxRepairs)
	a := keeperAnswer{core: v.core, e: slices.Clone(v.queue[:n])}
	v.queue = slices.Delete(v.queue, 0, n)
	v.busy = true
	v.calls.Go(func() {
		changes := make([]repair.Change, 0, n)
		for _, e := range a.e {
			changes = append(changes, e.Change)
		}
		ctx, cancel := context.WithTimeout(ctx, endTimeout)
		defer cancel()
		done, err := v.client.Repair(ctx, changes)
		for i := range a.e {
			if err == nil && i < len(done) {
				a.errs = append(a.errs, done[i].Err())
			} else {
				a.errs = append(a.errs, err)
			}
		}
		v.hand(ctx, a)
	})
}

// answered hands answers to the core that asked; those of an older term have nobody to hear them.
func (v *keeper) answered(ctx context.Context, a keeperAnswer) {
	if a.core != v.core || v.core == nil {
		return
	}
	for i, e := range a.e {
		if e.Kind == repair.Propose {
			v.busy = false
		}
		if err := a.errs[i]; err != nil {
			v.m.log.Debug("a repair does not go on for now", "volume", uint64(e.Volume), "step", e.Kind.String(), "change", e.Change.Verb.String(), "error", err.Error())
		}
		v.perform(ctx, v.core.Answered(v.m.now(), e.Volume, e.Call, a.rep, a.errs[i], v.effects[:0]))
	}
}
