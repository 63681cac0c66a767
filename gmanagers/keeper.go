package gmanagers

import (
	"context"
	"slices"
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

// keeper looks after copies of volumes and buffer caches while this process leads GSM: it performs what the pure package repair decides.
// Of calls at most repair.MaxCalls are under way.
type keeper struct {
	*leading[repair.Effect, wire.VolumeConfigRep]
	client *client.Client
	core   *repair.Keeper
}

func newKeeper(m *Managers, host *raftsm.Host, c *client.Client) *keeper {
	v := &keeper{client: c}
	v.leading = newLeading(m, host, wire.GSM, keeperInterval, gsm.MaxRepairs, v)
	return v
}

func (v *keeper) begin() ticker[repair.Effect] {
	v.core = repair.New(ms(v.m.o.ReplaceAfterMS))
	return v.core
}

func (v *keeper) end() { v.core = nil }

func (v *keeper) books(_ context.Context, out []repair.Effect) ([]repair.Effect, error) {
	list, err := v.list()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		v.peers.keep(nil)
	}
	return v.core.Sync(v.m.now(), list, out), nil
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

func (v *keeper) proposed(e *repair.Effect) bool { return e.Kind == repair.Propose }

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

func (v *keeper) propose(ctx context.Context, effects []repair.Effect) []error {
	changes := make([]repair.Change, 0, len(effects))
	for _, e := range effects {
		changes = append(changes, e.Change)
	}
	done, err := v.client.Repair(ctx, changes)
	errs := slices.Repeat([]error{err}, len(effects))
	for i := range min(len(done), len(errs)) {
		if err == nil {
			errs[i] = done[i].Err()
		}
	}
	return errs
}

func (v *keeper) answered(e *repair.Effect, rep wire.VolumeConfigRep, err error, out []repair.Effect) []repair.Effect {
	if err != nil {
		v.m.log.Debug("a repair does not go on for now", "volume", uint64(e.Volume), "step", e.Kind.String(), "change", e.Change.Verb.String(), "error", err.Error())
	}
	return v.core.Answered(v.m.now(), e.Volume, e.Call, rep, err, out)
}
