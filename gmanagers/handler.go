package gmanagers

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// Handler returns what serves the manager operations. It may be used before, during and after Run: when Run does not
// serve, it answers with wire.ErrUnavailable.
func (m *Managers) Handler() netlayer.Handler { return handler{m} }

type handler struct{ m *Managers }

// Inline keeps Raft's messages in order, and heartbeats from waiting behind proposals; neither waits for anything.
func (handler) Inline(op wire.Op) bool {
	return op == wire.OpRaft || op == wire.OpRaftChunk || op == wire.OpHeartbeat
}

// Serve answers one request.
func (h handler) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	m := h.m
	switch req.Op {
	case wire.OpNodeStats:
		rep.SetControl(m.nodeStats())
		return nil
	case wire.OpProbe:
		return m.prober.Serve(ctx, req, rep)
	}
	host, ctx, leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	switch req.Op {
	case wire.OpRaft, wire.OpRaftChunk:
		if req.From.Role != wire.RoleManager {
			return wire.Errorf(wire.KindBadRequest, "%v from %q, a %v: only managers speak Raft", req.Op, req.From.Node, req.From.Role)
		}
		return host.Deliver(req.From.Node, req.Op, req.Body)
	case wire.OpHeartbeat:
		return m.heartbeat(host, req, rep)
	case wire.OpPropose:
		return m.propose(ctx, host, req, rep)
	case wire.OpReadmit:
		return m.readmit(ctx, host, req, rep)
	case wire.OpQuery:
		return m.query(ctx, host, req, rep)
	}
	return wire.Errorf(wire.KindBadRequest, "a manager does not serve %v", req.Op)
}

// check refuses a manager that does not exist.
func check(g wire.Manager) error {
	if g < wire.GPM || g > wire.GSM {
		return wire.Errorf(wire.KindBadRequest, "manager %d, want 1 to 3", g)
	}
	return nil
}

func (m *Managers) heartbeat(host *raftsm.Host, req *netlayer.Request, rep *netlayer.Reply) error {
	var hb wire.Heartbeat
	if err := wire.Unmarshal(req.Body, &hb); err != nil {
		return err
	}
	g, err := membership.ManagerOf(hb.Member.Role)
	if err != nil {
		return err
	}
	var standing wire.Standing
	if err = host.Stale(g, func(s raftsm.State) { standing = s.Standing(hb.Member.ID, hb.Member.Epoch) }); err != nil {
		return err
	}
	m.stats.beats.Add(1)
	// Also of a member that this replica does not know yet: it may lag behind the leader.
	m.mu.Lock()
	heard := m.watch.Heard(m.now(), hb.Member, hb.Load)
	m.mu.Unlock()
	if !heard {
		m.stats.unheard.Add(1)
	}
	rep.SetControl(wire.HeartbeatRep{Standing: standing})
	return nil
}

func (m *Managers) propose(ctx context.Context, host *raftsm.Host, req *netlayer.Request, rep *netlayer.Reply) error {
	var p wire.ProposeReq
	if err := wire.Unmarshal(req.Body, &p); err != nil {
		return err
	}
	if err := check(p.Manager); err != nil {
		return err
	}
	leader := host.Leader(p.Manager)
	m.mu.Lock()
	m.lead(p.Manager, leader == m.o.ID) // the event may come later than the first proposal
	m.mu.Unlock()
	if leader != m.o.ID {
		return &wire.Error{Kind: wire.KindNotLeader, Text: string(leader)}
	}
	command, q, registers, err := m.stamped(ctx, host, p)
	if err != nil {
		return err
	}
	result, err := m.carryOut(ctx, host, p.Manager, q, command)
	if err != nil {
		m.stats.refused[p.Manager].Add(1)
		return err
	}
	m.stats.proposals[p.Manager].Add(1)
	if registers != nil {
		m.registered(p.Manager, *registers, result)
	}
	rep.SetControl(wire.ProposeRep{Result: result})
	return nil
}

// carryOut has a command applied. If q asks GPM for an admission or a release, the rest of its transaction is driven too.
func (m *Managers) carryOut(ctx context.Context, host *raftsm.Host, g wire.Manager, q gpm.Request, command []byte) ([]byte, error) {
	if q.Op != gpm.OpAdmit && q.Op != gpm.OpRelease && q.Op != gpm.OpQueue {
		return host.Propose(ctx, g, command)
	}
	d, err := m.drives()
	if err != nil {
		return nil, err
	}
	if q.Op == gpm.OpQueue {
		b, err := host.Propose(ctx, g, command)
		if err != nil {
			return nil, err
		}
		res, err := gpm.DecodeResult(b)
		d.begin(res.Tried)
		return b, err
	}
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	if q.Op == gpm.OpAdmit {
		if err := d.configure(ctx); err != nil {
			return nil, err
		}
	}
	b, err := host.Propose(ctx, g, command)
	if err != nil {
		return nil, err
	}
	res, err := gpm.DecodeResult(b)
	if err != nil || res.Kind != wire.KindNone {
		return b, err
	}
	if m.o.OnStep != nil {
		m.o.OnStep(d.ctx, logged(q))
	}
	if res, err = d.complete(ctx, q, res); err != nil {
		return nil, err
	}
	return res.Encode(), nil
}

// logged names for Options.OnStep what has begun.
func logged(q gpm.Request) string {
	if q.Op == gpm.OpAdmit {
		return "admit logged"
	}
	return "release logged"
}

// drives returns the driver of admissions while Run serves.
func (m *Managers) drives() (*driver, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.driver == nil {
		return nil, wire.Errorf(wire.KindUnavailable, "manager %s is stopping", m.o.ID)
	}
	return m.driver, nil
}

// prepares reports whether a step needs to know who is alive.
func prepares(steps []admission.Step) bool {
	return slices.ContainsFunc(steps, func(s admission.Step) bool { return s.Verb == admission.Prepare })
}

// places reports whether GMM may choose an mComponent when it carries out a request that is no step: of copies, whenever somebody is lost.
func places(op gmm.Op) bool {
	switch op {
	case gmm.OpActivate, gmm.OpNode, gmm.OpBegin, gmm.OpEnd, gmm.OpDead, gmm.OpRegister, gmm.OpCopies:
		return true
	}
	return false
}

// stamped makes the command of a request: it adds the time, the policy, what is news of members and chance. It returns a request to GPM too,
// and the member if it is a registration.
func (m *Managers) stamped(ctx context.Context, host *raftsm.Host, p wire.ProposeReq) (command []byte, process gpm.Request, registers *wire.Member, err error) {
	stamp := membership.Stamp{NowMS: m.wall().UnixMilli()}
	switch p.Manager {
	case wire.GPM:
		if stamp.ClockMS, err = m.clockMS(host); err != nil {
			return nil, process, nil, err
		}
		q, err := gpm.DecodeRequest(p.Command)
		if err != nil {
			return nil, q, nil, err
		}
		c := gpm.Command{Client: p.Client, Seq: p.Seq, Request: q}
		if q.Op == gpm.OpRegister {
			registers = &q.Member
		}
		if q.Op == gpm.OpAdmit || q.Op == gpm.OpQueue || q.Op == gpm.OpPreempt || q.Op == gpm.OpRestart {
			stamp.Policy, stamp.Chance = m.o.GPMPolicy, rand.Uint64()
			if stamp.Live, err = m.live(host, wire.GPM); err != nil {
				return nil, q, nil, err
			}
			d, err := m.drives()
			if err != nil {
				return nil, q, nil, err
			}
			c.Coordinator = d.coordinatorID()
		}
		if q.Op == gpm.OpBegin {
			stamp.Policy, stamp.Chance = m.o.GPMPolicy, rand.Uint64()
			if stamp.Live, err = m.live(host, wire.GPM); err != nil {
				return nil, q, nil, err
			}
			m.timeouts(q.Orders)
		}
		c.Stamp = stamp
		return c.Encode(), q, registers, nil
	case wire.GMM:
		q, err := gmm.DecodeRequest(p.Command)
		if err != nil {
			return nil, process, nil, err
		}
		if q.Op == gmm.OpRegister {
			registers = &q.Member
		}
		m.timeouts(q.Orders)
		if places(q.Op) || prepares(q.Steps) {
			stamp.Policy, stamp.Chance = m.o.GMMPolicy, rand.Uint64()
			if stamp.Live, err = m.live(host, wire.GMM); err != nil {
				return nil, process, nil, err
			}
		}
		c := gmm.Command{Client: p.Client, Seq: p.Seq, Stamp: stamp, Overcommit: uint64(m.o.Overcommit * 1000), Request: q}
		if q.Op == gmm.OpNode && q.Action == membership.Remove {
			if c.Cached, err = m.cached(ctx, host, q.Member.ID); err != nil {
				return nil, process, nil, err
			}
		}
		return c.Encode(), process, registers, nil
	}
	q, err := gsm.DecodeRequest(p.Command)
	if err != nil {
		return nil, process, nil, err
	}
	c := gsm.Command{Client: p.Client, Seq: p.Seq, Request: q}
	if q.Op == gsm.OpRegister {
		registers = &q.Member
	}
	m.timeouts(q.Orders)
	if q.Op == gsm.OpBegin || q.Op == gsm.OpRepair || q.Op == gsm.OpFile || prepares(q.Steps) {
		stamp.Policy, c.CachePolicy, stamp.Chance = m.o.GSMPolicy, m.o.CachePolicy, rand.Uint64()
		if stamp.Live, err = m.live(host, wire.GSM); err != nil {
			return nil, process, nil, err
		}
		if c.Caches, err = m.caches(host); err != nil {
			return nil, process, nil, err
		}
	}
	c.Stamp = stamp
	return c.Encode(), process, registers, nil
}

// timeouts gives the orders that name none the time-out of the options.
func (m *Managers) timeouts(orders []movelist.Order) {
	for i := range orders {
		if orders[i].TimeoutMS == 0 {
			orders[i].TimeoutMS = uint32(m.o.MoveTimeoutMS)
		}
	}
}

// live returns what a stamp for the group that this process leads must tell of its members. Most often that is nothing: the state
// knows who is heard of, and this process when that can change.
func (m *Managers) live(host *raftsm.Host, g wire.Manager) ([]membership.Live, error) {
	return m.tell(host, g, g, 0, func(now time.Duration, entries []membership.Entry, _ []membership.Live) ([]membership.Live, time.Duration) {
		return m.watch.News(g, now, entries)
	})
}

// caches returns what a stamp of GSM's leader must tell of mComponents, which GMM's state here knows.
func (m *Managers) caches(host *raftsm.Host) ([]membership.Live, error) {
	var turn uint64
	if err := host.Stale(wire.GMM, func(s raftsm.State) { turn = s.(*gmm.State).Turn() }); err != nil {
		return nil, err
	}
	return m.tell(host, wire.GSM, wire.GMM, turn, func(now time.Duration, entries []membership.Entry, known []membership.Live) ([]membership.Live, time.Duration) {
		return m.watch.NewsOf(wire.GSM, now, entries, known)
	})
}

// tell looks for news of the members that a manager registers, if there may be any. Look is told them and, if they are another's, what
// GSM has of them.
func (m *Managers) tell(host *raftsm.Host, group, of wire.Manager, turn uint64, look func(time.Duration, []membership.Entry, []membership.Live) ([]membership.Live, time.Duration)) ([]membership.Live, error) {
	n := &m.tidings[group][of]
	m.mu.Lock()
	due := n.Due(m.now(), m.watch, turn)
	m.mu.Unlock()
	if !due {
		return nil, nil
	}
	var entries []membership.Entry
	if err := host.Stale(of, func(s raftsm.State) { entries = s.Entries() }); err != nil {
		return nil, err
	}
	var known []membership.Live
	if group != of {
		if err := host.Stale(group, func(s raftsm.State) { known = slices.Clone(s.(*gsm.State).Caches()) }); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	live, until := look(now, entries, known)
	n.Looked(now, m.watch, turn, len(live), until)
	return live, nil
}

// registered notes a registration as a sign of life, so that a component can be chosen before its first heartbeat.
func (m *Managers) registered(g wire.Manager, member wire.Member, result []byte) {
	var epoch wire.Epoch
	switch g {
	case wire.GPM:
		r, _ := gpm.DecodeResult(result)
		epoch = r.Epoch
	case wire.GMM:
		r, _ := gmm.DecodeResult(result)
		epoch = r.Epoch
	case wire.GSM:
		r, _ := gsm.DecodeResult(result)
		epoch = r.Epoch
	}
	if epoch == 0 {
		return // refused
	}
	member.Epoch = epoch
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watch.Registered(m.now(), member)
}

func (m *Managers) query(ctx context.Context, host *raftsm.Host, req *netlayer.Request, rep *netlayer.Reply) error {
	var q wire.QueryReq
	if err := wire.Unmarshal(req.Body, &q); err != nil {
		return err
	}
	if err := check(q.Manager); err != nil {
		return err
	}
	query, err := membership.DecodeQuery(q.Query)
	if err != nil {
		return err
	}
	result, err := m.answer(ctx, host, q, query)
	if err != nil {
		return err
	}
	m.stats.queries[q.Manager].Add(1)
	st := host.Status(q.Manager)
	body := wire.Marshal(wire.QueryRep{Leader: st.Leader, Term: st.Term, Result: result})
	if len(body) > wire.MaxBody {
		return wire.Errorf(wire.KindBadRequest, "%v: the answer has %d bytes, at most %d fit into a reply", q.Manager, len(body), wire.MaxBody)
	}
	rep.SetBody(body)
	return nil
}

// statusBytes is about how many bytes a member takes in an answer.
func statusBytes(s *membership.Status) int { return 384 + len(s.Member.Addr) + len(s.Member.Rack) }

func (m *Managers) answer(ctx context.Context, host *raftsm.Host, q wire.QueryReq, query membership.Query) (result []byte, err error) {
	if query.Kind == membership.QueryGroup {
		return membership.EncodeAnswer(m.status(host, q.Manager)), nil
	}
	if query.Kind == membership.QueryMembers && !q.Stale {
		// Only the leader has the members probed, and its loads are those that decide.
		if leader := host.Leader(q.Manager); leader != m.o.ID {
			return nil, wire.Errorf(wire.KindNotLeader, "%s", leader)
		}
	}
	var entries []membership.Entry
	var failed error
	read := func(s raftsm.State) {
		switch query.Kind {
		case membership.QueryMembers:
			entries = s.Entries()
		case membership.QueryStanding:
			result = membership.EncodeAnswer(s.Standing(query.Node, wire.Epoch(query.ID)))
		default:
			result, failed = s.Query(query)
		}
	}
	if q.Stale {
		err = host.Stale(q.Manager, read)
	} else {
		err = host.Read(ctx, q.Manager, read)
	}
	if err != nil {
		return nil, err
	}
	if query.Kind == membership.QueryMembers {
		m.mu.Lock()
		defer m.mu.Unlock()
		statuses := m.watch.Statuses(q.Manager, m.now(), entries)
		for i := range statuses {
			epoch, ok := m.reached[q.Manager][statuses[i].Member.ID]
			statuses[i].Unreachable = ok && epoch == statuses[i].Member.Epoch
		}
		from, _ := slices.BinarySearchFunc(statuses, query.From.Node, func(s membership.Status, id wire.NodeID) int { return cmp.Compare(s.Member.ID, id) })
		return membership.EncodeAnswer(membership.PageOf(statuses, from, query.Limit, statusBytes, func(s *membership.Status) membership.Cursor {
			return membership.Cursor{Node: s.Member.ID}
		})), nil
	}
	return result, failed
}
