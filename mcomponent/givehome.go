package mcomponent

import (
	"splitkernel/mcomponent/migrate"
	"splitkernel/netlayer"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// homeMove is the memory map of a process on its way to another home. It is small, so it is copied while it is frozen.
type homeMove struct {
	giving
	to     *netlayer.Peer
	client *netlayer.Peer
}

// giveHome begins the move of the memory map of a process that lives here.
func (c *Component) giveHome(work span.Work, req wire.MoveReq) (move, error) {
	m := &homeMove{giving: giving{c: c, req: req, work: work, lock: &c.homeMu, wake: make(chan struct{}, 1)}}
	var err error
	if m.to, err = c.peer(req.ToAddr); err != nil {
		return nil, err
	}
	if req.To == c.o.Node || req.Epoch <= req.OldEpoch || req.UndoEpoch <= req.Epoch {
		return nil, wire.Errorf(wire.KindBadRequest, "move of the home of process %d from %s to %s under epochs %d, %d, %d", req.PID, c.o.Node, req.To, req.OldEpoch, req.Epoch, req.UndoEpoch)
	}
	c.homeMu.Lock()
	defer c.homeMu.Unlock()
	if c.home.Absent(req.PID) {
		return c.passed(work, req, c.home.Pass(c.o.Node, req))
	}
	if err := c.home.Movable(req.PID, req.OldEpoch); err != nil {
		return nil, err
	}
	addr := c.home.ClientOf(req.PID)
	if addr == "" {
		return nil, wire.Errorf(wire.KindBadRequest, "the pComponent of process %d cannot be told of a new home: it gave no address", req.PID)
	}
	if m.client, err = c.peer(addr); err != nil {
		return nil, err
	}
	m.g = &migrate.TapedGiver{Giver: migrate.NewGiver(c.o.Migrate, req, nil)}
	c.recordGiver(m.g, 0, 0)
	m.begin(m)
	return m, nil
}

// held reports whether operations run. A process that has ended is found by the freeze.
func (m *homeMove) held() bool { return m.g.Frozen() && !m.c.home.Settled(m.req.PID) }

func (m *homeMove) local(e migrate.Effect) error {
	h, pid := m.c.home, m.req.PID
	switch e.Kind {
	case migrate.Freeze:
		return h.Freeze(pid, m.req.OldEpoch, m.req.To)
	case migrate.Thaw:
		h.Thaw(pid, e.Epoch)
	case migrate.Lose:
		h.Lose(pid)
	case migrate.Forget:
		h.Forget(pid, m.req.Epoch)
	}
	return nil
}

func (m *homeMove) message(e migrate.Effect) error {
	c, r := m.c, &m.req
	switch e.Kind {
	case migrate.Close:
		return m.close()
	case migrate.Serve:
		return m.send(m.to, wire.OpHomeServe, e.Epoch, wire.Marshal(wire.MoveServeReq{Move: r.Move, Epoch: e.Epoch}), sendTimeout)
	case migrate.Drop:
		return m.send(m.to, wire.OpHomeDrop, r.Epoch, wire.Marshal(wire.MoveRef{Move: r.Move}), sendTimeout)
	case migrate.Tell:
		home := wire.Owner{Node: r.To, Addr: r.ToAddr, Epoch: e.Epoch}
		if e.Undo {
			home.Node, home.Addr = c.o.Node, string(c.o.Addr)
		}
		return m.send(m.client, wire.OpHomeSwitch, e.Epoch, wire.Marshal(wire.HomeSwitchReq{PID: r.PID, Home: home}), tellTimeout)
	}
	return nil
}

// close sends the memory map, in as many messages as it needs.
func (m *homeMove) close() error {
	m.c.homeMu.Lock()
	all := m.c.home.Export(m.req.PID)
	m.c.homeMu.Unlock()
	for _, q := range all.Messages(wire.HomeCopyReq{Move: m.req.Move, From: m.c.o.Node, FromAddr: string(m.c.o.Addr), Member: m.req.ToMember}) {
		body := wire.Marshal(q)
		if err := m.send(m.to, wire.OpHomeCopy, m.req.Epoch, body, sendTimeout); err != nil {
			return err
		}
		m.c.homeMu.Lock()
		m.g.Copied(len(body))
		m.c.homeMu.Unlock()
	}
	return nil
}

// copy and await have nothing to do: a memory map has no pages.
func (m *homeMove) copy(_ migrate.Effect, out []migrate.Effect) []migrate.Effect { return out }
func (m *homeMove) await() (id uint64, err error, ok bool)                       { return 0, nil, false }
