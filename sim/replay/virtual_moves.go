package replay

import (
	"time"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/report"
	"splitkernel/sim/vcluster"
)

// virtualReadings bounds the readings of loads of a virtual run, which may have thousands of components.
const virtualReadings = 256

// moveAs has things move in a virtual cluster as the managers' settings say. Where they decide nothing, nothing moves.
func moveAs(out *vcluster.Options, m *gmanagers.Options) {
	b := m.Balance
	out.Balance, out.MoveTimeout = &b, time.Duration(m.MoveTimeoutMS)*time.Millisecond
}

// stand is the boundary of a process: where it may stand still for a move, or end.
func (p *vprocess) stand(a accesses) error {
	if p.p.Halted() {
		if err := a.barrier(); err != nil {
			return err
		}
		if err := p.p.Stand(p.y); err != nil {
			return err
		}
	}
	if err := p.p.Err(); err != nil {
		return err
	}
	return p.ctx.Err()
}

// carry is what the driver of a process takes along: the versions that its pages and its sectors must hold.
func (p *vprocess) carry() []byte {
	b := p.pages.Export(nil)
	for _, v := range p.volumes {
		b = v.sectors.Export(b)
	}
	return b
}

// hear takes a load into the readings.
func (s *spreads) hear(at time.Duration, id wire.NodeID, role wire.Role, epoch wire.Epoch, l wire.Load) {
	k := wire.GPM
	switch role {
	case wire.RoleMemory:
		k = wire.GMM
	case wire.RoleStorage:
		k = wire.GSM
	}
	when := time.Unix(0, int64(at))
	rs := s.readings[k]
	if n := len(rs); n == 0 || !rs[n-1].at.Equal(when) {
		rs = thin(append(rs, reading{at: when, loads: map[wire.NodeID]load{}}), virtualReadings)
		s.readings[k] = rs
	}
	l.Hot, l.HotAll = nil, nil
	rs[len(rs)-1].loads[id] = load{epoch, l}
}

// virtualMoves adds what moved in a virtual run, and where everything was at last.
func (r *controller) virtualMoves(c *vcluster.Cluster, even *spreads) {
	moves := c.Moves()
	r.rehome(moves)
	r.sum.Moves = sumMoves(moves)
	var first, last time.Time
	for _, m := range moves {
		if at := time.UnixMilli(m.BegunMS); first.IsZero() || at.Before(first) {
			first = at
		}
		if at := time.UnixMilli(m.EndedMS); m.Ended() && at.After(last) {
			last = at
		}
	}
	r.sum.Balance = even.compare(first, last)
	for _, m := range moves {
		if m.State == wire.MoveDone {
			r.moved(&m)
		}
	}
}

// moved follows one move. Those of one thing come in the order in which they ended.
func (r *controller) moved(m *movelist.Move) {
	for i, v := range r.vnodes {
		if m.Req.Kind == wire.MoveProcess && v.spec.PID == m.Req.PID && v.placed {
			v.place.Node, v.place.Epoch, v.spec.Epoch = m.Req.To, m.Epoch, m.Epoch
			v.hosts = append(v.hosts, m.Req.To)
			r.sum.VNodes[i].PComponent = m.Req.To
		}
		for k := range v.volumes {
			vol := &v.volumes[k]
			if vol.Volume != m.Req.Volume {
				continue
			}
			switch m.Req.Kind {
			case wire.MoveVolume:
				vol.Storage, vol.Epoch = m.Req.To, m.Epoch
			case wire.MoveCache:
				vol.Cache, vol.Epoch = m.Req.To, m.Epoch
			}
		}
	}
}

// counted adds to each pComponent what a process counted there.
func (p *vprocess) counted(byNode map[wire.NodeID]*merge) {
	own := p.counters()
	for _, part := range p.p.Parts() {
		var c report.Counters
		c.SetCache(part.Cache)
		c.Retries, c.Redirects = part.Fault.Retries, part.Fault.Redirects
		if part.Node == p.p.Node() { // what the driver counted
			c.PagesChecked, c.SectorsChecked, c.IntegrityErrors = own.PagesChecked, own.SectorsChecked, own.IntegrityErrors
			c.BlockReads, c.BlockWrites, c.BlockFlushes = own.BlockReads, own.BlockWrites, own.BlockFlushes
			c.BlockReadBytes, c.BlockWriteBytes = own.BlockReadBytes, own.BlockWriteBytes
		}
		at(byNode, part.Node).c.Add(c)
	}
	p.latencies(at(byNode, p.p.Node()))
}
