package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// managers are the three, in the order of their numbers.
var managers = [...]wire.Manager{wire.GPM, wire.GMM, wire.GSM}

// members asks the three managers for their components at once. What a manager did not answer is in the error, with the
// others' components beside it.
func (a *API) members(ctx context.Context) ([]membership.Status, error) {
	var lists [len(managers)][]membership.Status
	var errs [len(managers)]error
	var asking sync.WaitGroup
	for i, m := range managers {
		asking.Go(func() { lists[i], errs[i] = a.o.Client.Members(ctx, m) })
	}
	asking.Wait()
	return slices.Concat(lists[:]...), errors.Join(errs[:]...)
}

// member finds a component by its id in the books. The error names the ids that there are.
func (a *API) member(ctx context.Context, id wire.NodeID) (membership.Status, error) {
	all, err := a.members(ctx)
	if err != nil {
		return membership.Status{}, err
	}
	var ids []string
	for _, s := range all {
		if s.Member.ID == id {
			return s, nil
		}
		ids = append(ids, string(s.Member.ID))
	}
	return membership.Status{}, wire.Errorf(wire.KindNotFound, "no component %.100q, want one of: %s", id, some(ids))
}

// maxNamed bounds how many ids an error names.
const maxNamed = 32

// some lists the first of the ids.
func some(ids []string) string {
	switch {
	case len(ids) == 0:
		return "(there is none)"
	case len(ids) > maxNamed:
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:maxNamed], ", "), len(ids)-maxNamed)
	}
	return strings.Join(ids, ", ")
}

// replicas are the manager processes as nodes: alive are those that answer.
func (a *API) replicas(st []client.GroupStatus) []Node {
	answered := map[wire.NodeID]bool{}
	for _, g := range st {
		for _, r := range g.Replicas {
			answered[r.Node] = true
		}
	}
	nodes := []Node{}
	for _, m := range a.o.Managers {
		n := Node{ID: string(m.ID), Role: wire.RoleManager.String(), Addr: string(m.Addr), State: stateActive, Alive: answered[m.ID], AgeMS: -1}
		if n.Alive {
			n.AgeMS = 0
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func (a *API) nodes(q *request) (int, any, error) {
	st, err := a.o.Client.Status(q.ctx)
	if err != nil {
		return 0, nil, err
	}
	limit, err := q.limit()
	if err != nil {
		return 0, nil, err
	}
	out := Nodes{Nodes: a.replicas(st)}
	all, err := a.members(q.ctx)
	if err != nil {
		return 0, nil, err
	}
	for _, s := range all {
		out.Nodes = append(out.Nodes, nodeOf(s))
	}
	if out.Nodes, err = q.afterNode(out.Nodes); err != nil {
		return 0, nil, err
	}
	out.Nodes, out.Next = pageOf(out.Nodes, limit, func(n Node) string { return n.at() })
	return http.StatusOK, out, nil
}

func (a *API) node(q *request) (int, any, error) {
	id := wire.NodeID(q.PathValue("id"))
	d := NodeDetail{Holds: NodeHolds{Processes: []wire.PID{}, Homes: []wire.PID{}, Volumes: []wire.VolumeID{}, Caches: []wire.VolumeID{}}}
	if slices.ContainsFunc(a.o.Managers, func(m client.Manager) bool { return m.ID == id }) {
		st, err := a.o.Client.Status(q.ctx)
		for _, n := range a.replicas(st) {
			if n.ID == string(id) {
				d.Node = n
			}
		}
		return http.StatusOK, d, err
	}
	s, err := a.member(q.ctx, id)
	if err != nil {
		return 0, nil, err
	}
	d.Node = nodeOf(s)
	b, err := a.books(q.ctx)
	if err != nil {
		return 0, nil, err
	}
	b.of(s.Member, &d.Holds)
	if s.State == membership.Draining {
		left, err := a.o.Client.DrainStatus(q.ctx, s.Member.Role, id)
		if err != nil {
			return 0, nil, err
		}
		d.Drain = drainingOf(left)
	}
	return http.StatusOK, d, nil
}

// component finds the component of the path, to change it.
func (a *API) component(q *request) (membership.Status, error) {
	id := wire.NodeID(q.PathValue("id"))
	if slices.ContainsFunc(a.o.Managers, func(m client.Manager) bool { return m.ID == id }) {
		return membership.Status{}, badRequest("%s is a manager, want a component: the managers of a cluster stay the same while it runs", id)
	}
	ctx, cancel := context.WithTimeout(q.ctx, ReadTimeout)
	defer cancel()
	s, err := a.member(ctx, id)
	return s, unbegun(err)
}

// conflict makes "busy" what it is of a node: a state that stands against the request, and no matter of load.
func conflict(err error) error {
	if wire.KindOf(err) != wire.KindBusy {
		return err
	}
	return newProblem(http.StatusConflict, kindName(wire.KindBusy), wire.KindBusy.String(), membership.TextOf(err))
}

// change carries out an action on a component and answers with how it is then.
func (a *API) change(q *request, act func(context.Context, wire.Role, wire.NodeID) error) (int, any, error) {
	s, err := a.component(q)
	if err != nil {
		return 0, nil, err
	}
	if err := act(q.ctx, s.Member.Role, s.Member.ID); err != nil {
		return 0, nil, conflict(err)
	}
	if s, err = a.member(q.ctx, s.Member.ID); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, nodeOf(s), nil
}

func (a *API) drainNode(q *request) (int, any, error) { return a.change(q, a.o.Client.Drain) }

func (a *API) undrainNode(q *request) (int, any, error) { return a.change(q, a.o.Client.Undrain) }

func (a *API) removeNode(q *request) (int, any, error) {
	s, err := a.component(q)
	if err != nil {
		return 0, nil, err
	}
	if err := a.o.Client.Remove(q.ctx, s.Member.Role, s.Member.ID); err != nil {
		return 0, nil, conflict(err)
	}
	return http.StatusOK, RemovedNode{ID: string(s.Member.ID), Epoch: uint32(s.Member.Epoch)}, nil
}

// books are the listings of the three managers.
type books struct {
	processes []gpm.Process
	homes     []gmm.Process
	volumes   []gsm.Volume
}

// books reads the three at once: they are three Raft groups, so this is no moment in time.
func (a *API) books(ctx context.Context) (b books, err error) {
	var asking sync.WaitGroup
	var perr, herr, verr error
	asking.Go(func() { b.processes, perr = a.o.Client.Processes(ctx) })
	asking.Go(func() { b.homes, herr = a.o.Client.Regions(ctx, 0) })
	asking.Go(func() { b.volumes, verr = a.o.Client.Volumes(ctx) })
	asking.Wait()
	return b, errors.Join(perr, herr, verr)
}

// of collects what the books place at a component under its present epoch.
func (b *books) of(m wire.Member, h *NodeHolds) {
	switch m.Role {
	case wire.RoleCompute:
		for _, p := range b.processes {
			if p.Node == m.ID && p.NodeEpoch == m.Epoch {
				h.Processes = append(h.Processes, p.PID)
			}
		}
	case wire.RoleMemory:
		for _, p := range b.homes {
			if p.Home == m.ID && p.NodeEpoch == m.Epoch {
				h.Homes = append(h.Homes, p.PID)
			}
			for _, r := range p.Regions {
				if r.Node == m.ID && r.NodeEpoch == m.Epoch {
					h.Regions++
				}
			}
			for _, r := range p.Reserved {
				if r.Node == m.ID && r.NodeEpoch == m.Epoch {
					h.ReservedRegions += r.Regions
				}
			}
		}
		for _, v := range b.volumes {
			if v.Cache == m.ID {
				h.Caches = append(h.Caches, v.Volume)
			}
		}
	case wire.RoleStorage:
		for _, v := range b.volumes {
			if v.StoredAt(m.ID) {
				h.Volumes = append(h.Volumes, v.Volume)
			}
		}
	}
}
