package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/membership"
)

// statusTimeout bounds what the status asks of leaders, below ReadTimeout: without a quorum there is a status, too.
const statusTimeout = 2 * time.Second

func (a *API) status(q *request) (int, any, error) {
	ctx, cancel := context.WithTimeout(q.ctx, statusTimeout)
	defer cancel()
	var asking sync.WaitGroup
	var groups []client.GroupStatus
	var gerr, perr error
	var processes []gpm.Process
	var lists [len(managers)][]membership.Status
	var errs [len(managers)]error
	asking.Go(func() { groups, gerr = a.o.Client.Status(ctx) })
	asking.Go(func() { processes, perr = a.o.Client.Processes(ctx) })
	for i, m := range managers {
		asking.Go(func() { lists[i], errs[i] = a.o.Client.Members(ctx, m) })
	}
	asking.Wait()
	if gerr != nil { // not even this one
		return 0, nil, gerr
	}
	st := Status{Cluster: a.o.Cluster, Node: string(a.o.Node), Managers: []Manager{}, Nodes: a.replicas(groups), VNodes: len(processes), Warnings: []string{}}
	warn := func(format string, args ...any) { st.Warnings = append(st.Warnings, fmt.Sprintf(format, args...)) }
	for _, n := range st.Nodes {
		if !n.Alive {
			warn("manager %s does not answer", n.ID)
		}
	}
	for _, g := range groups {
		st.Managers = append(st.Managers, managerOf(g))
		if g.Leader == "" {
			warn("%s has no leader", g.Manager)
		}
	}
	left := a.draining(ctx, slices.Concat(lists[:]...))
	for i, m := range managers {
		if errs[i] != nil {
			warn("the components of %s are not known: %v", m, errs[i])
		}
		for _, s := range lists[i] {
			st.Nodes = append(st.Nodes, nodeOf(s))
			switch d := left[string(s.Member.ID)]; {
			case d != nil:
				warn("%s %s is %s: %v", s.Member.Role, s.Member.ID, s.State, d)
			case s.State != membership.Active:
				warn("%s %s is %s", s.Member.Role, s.Member.ID, s.State)
			case s.Unreachable:
				warn("%s %s is silent, and others reach it", s.Member.Role, s.Member.ID)
			case !s.Alive:
				warn("%s %s is silent", s.Member.Role, s.Member.ID)
			}
		}
	}
	if perr != nil && errs[0] == nil {
		warn("the vNodes are not known: %v", perr)
	}
	return http.StatusOK, st, nil
}
