package vcluster

import (
	"splitkernel/mcomponent/migrate"
	"splitkernel/netlayer/given"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// homeMove is the memory map of a process on its way to another home. It is small, so it is copied while it is frozen.
type homeMove struct {
	giving
	client int32
}

// giveHome begins the move of the memory map of a process that lives here.
func (m *memory) giveHome(req wire.MoveReq) (given.Move, error) {
	if err := m.checkEpochs(req); err != nil {
		return nil, err
	}
	if m.home.Absent(req.PID) {
		return pass(req, m.home.Pass(m.o.ID, req))
	}
	if err := m.home.Movable(req.PID, req.OldEpoch); err != nil {
		return nil, err
	}
	client, err := m.c.nodeAt(m.home.ClientOf(req.PID))
	if err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "the pComponent of process %d cannot be told of a new home: %v", req.PID, err)
	}
	v := &homeMove{giving: giving{m: m, req: req, to: m.c.node(req.To)}, client: client}
	v.g = migrate.NewGiver(migrate.DefaultOptions(), req, nil)
	v.begin(v)
	return v, nil
}

// held reports whether operations run. A process that has ended is found by the freeze.
func (v *homeMove) held() bool { return v.g.Frozen() && !v.m.home.Settled(v.req.PID) }

func (v *homeMove) local(e migrate.Effect) error {
	h, pid := v.m.home, v.req.PID
	switch e.Kind {
	case migrate.Freeze:
		return h.Freeze(pid, v.req.OldEpoch, v.req.To)
	case migrate.Thaw:
		h.Thaw(pid, e.Epoch)
	case migrate.Lose:
		h.Lose(pid)
	case migrate.Forget:
		h.Forget(pid, v.req.Epoch)
	}
	return nil
}

func (v *homeMove) message(y *vtime.Proc, e migrate.Effect) error {
	m, c, r, to := v.m, v.m.c, &v.req, v.m.c.nodes[v.to].(*memory)
	switch e.Kind {
	case migrate.Close:
		return v.close(y)
	case migrate.Serve:
		return order(y, c, wire.OpHomeServe, m.no, v.to, sendPatience, wire.MoveServeReq{Move: r.Move, Epoch: e.Epoch}, to.homeServe)
	case migrate.Drop:
		return order(y, c, wire.OpHomeDrop, m.no, v.to, sendPatience, wire.MoveRef{Move: r.Move}, to.homeDrop)
	case migrate.Tell:
		home := wire.Owner{Node: r.To, Addr: r.ToAddr, Epoch: e.Epoch}
		if e.Undo {
			home.Node, home.Addr = m.o.ID, addr(m.o.ID)
		}
		return order(y, c, wire.OpHomeSwitch, m.no, v.client, tellPatience, wire.HomeSwitchReq{PID: r.PID, Home: home}, c.nodes[v.client].(*compute).homeSwitch)
	}
	return nil
}

// close sends the memory map, in as many messages as it needs.
func (v *homeMove) close(y *vtime.Proc) error {
	m, all := v.m, v.m.home.Export(v.req.PID)
	for _, q := range all.Messages(wire.HomeCopyReq{Move: v.req.Move, From: m.o.ID, FromAddr: addr(m.o.ID), Member: v.req.ToMember}) {
		if err := order(y, m.c, wire.OpHomeCopy, m.no, v.to, sendPatience, q, m.c.nodes[v.to].(*memory).homeCopy); err != nil {
			return err
		}
		v.g.Copied(len(wire.Marshal(q)))
	}
	return nil
}

// copy and await have nothing to do: a memory map has no pages.
func (v *homeMove) copy(_ *vtime.Proc, _ migrate.Effect, out []migrate.Effect) []migrate.Effect {
	return out
}
func (v *homeMove) await(*vtime.Proc) (id uint64, err error, ok bool) { return 0, nil, false }
