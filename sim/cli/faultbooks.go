package cli

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/launcher"
)

// managersOf speaks to the managers of a running cluster, as the node of a name. The caller closes it.
func managersOf(st *launcher.State, name wire.NodeID) (*client.Client, netlayer.Options, error) {
	net := st.Cluster.Netlayer.Peer
	net.Cluster, net.Token, net.Role, net.Node = st.ClusterID, st.Cluster.Token, wire.RoleClient, name
	net.Log = slog.New(slog.DiscardHandler) // who does not answer is told by the command
	o := client.DefaultOptions()
	o.Net = net
	for _, n := range st.Nodes {
		if n.Role == wire.RoleManager.String() {
			o.Managers = append(o.Managers, client.Manager{ID: wire.NodeID(n.ID), Addr: netlayer.Addr(n.Addr)})
		}
	}
	gm, err := client.New(o)
	return gm, net, err
}

// foretell says what a fault by hand costs, before it happens: by the books of the managers, if they can be read and it may cost anything.
func (a *app) foretell(ctx context.Context, st *launcher.State, f faults.Fault) ([]faults.Breach, error) {
	p := promiseOf(st.Cluster)
	breaches := p.Breaches([]faults.Fault{f})
	if len(breaches) == 0 {
		return nil, nil
	}
	struck, err := launcher.FaultsOf(st)
	if err != nil {
		return nil, err
	}
	books, err := booksOf(ctx, st)
	if err != nil {
		a.say("what is kept elsewhere is not known, so the worst is said: %v", err)
		return breaches, nil
	}
	takes, gone := p.Takes(f), slices.Clone(books.Dead)
	for _, s := range struck {
		if s.Ended != nil {
			continue
		}
		if other, err := faults.Parse(s.Fault); err == nil {
			gone = append(gone, p.Takes(other)...)
		}
	}
	p.Held, p.Idle = heldBy(books, takes, gone, f.Volume), len(books.Processes) == 0
	return p.Breaches([]faults.Fault{f}), nil
}

// booksOf reads the books of the managers.
func booksOf(ctx context.Context, st *launcher.State) (*audit.Books, error) {
	gm, _, err := managersOf(st, "fault")
	if err != nil {
		return nil, err
	}
	defer gm.Close()
	if err := quorum(ctx, gm); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	books, err := gm.Books(ctx)
	return &books, err
}

// heldBy says what only the components that a fault takes have, while some are gone already. If only one volume is meant it looks at no other.
func heldBy(b *audit.Books, takes, gone []wire.NodeID, only wire.VolumeID) map[wire.NodeID]faults.Held {
	goes := func(id wire.NodeID) bool { return slices.Contains(takes, id) || slices.Contains(gone, id) }
	held := map[wire.NodeID]faults.Held{}
	for _, id := range takes {
		held[id] = faults.Held{}
	}
	at := func(id wire.NodeID, add func(h *faults.Held)) {
		if h, ok := held[id]; ok {
			add(&h)
			held[id] = h
		}
	}
	names := map[wire.PID]string{}
	for _, p := range b.Processes {
		names[p.PID] = fmt.Sprintf("%d", p.PID)
		if p.Name != "" {
			names[p.PID] = fmt.Sprintf("%s (%d)", p.Name, p.PID)
		}
		if p.Phase != admission.Running && p.Phase != admission.Committed {
			continue
		}
		at(p.Node, func(h *faults.Held) {
			h.Runs = append(h.Runs, names[p.PID])
			if !p.Restart {
				h.Ends = append(h.Ends, names[p.PID])
			}
		})
	}
	for i := range b.Homes {
		p := &b.Homes[i]
		part := func(owner wire.NodeID, c *gmm.Copies, home bool, region wire.RegionNo, text string) {
			if !goes(owner) && (c == nil || !c.Recovering) || p.Outlives(home, region, goes) {
				return
			}
			at(owner, func(h *faults.Held) { h.Memory = append(h.Memory, text+" of vNode "+names[p.PID]) })
			if c == nil {
				return
			}
			for _, x := range append(slices.Clone(c.Holders), c.Sources...) { // the last that is left, of what its owner does not have
				if text := text + " of vNode " + names[p.PID]; x.Node != owner && !slices.Contains(held[x.Node].Memory, text) {
					at(x.Node, func(h *faults.Held) { h.Memory = append(h.Memory, text) })
				}
			}
		}
		part(p.Home, p.Copies, true, 0, "the home")
		for _, r := range p.Regions {
			part(r.Node, r.Copies, false, r.Region, fmt.Sprintf("vRegion %d", r.Region))
		}
	}
	epochs := map[wire.NodeID]wire.Epoch{}
	for _, m := range b.Storage {
		epochs[m.ID] = m.Epoch
	}
	for i := range b.Volumes {
		v := &b.Volumes[i]
		if only != 0 && v.Volume != only {
			continue
		}
		text := fmt.Sprintf("volume %d (%s) of vNode %s", v.Volume, v.Name, names[v.PID])
		if !v.Copies.Through {
			at(v.Cache, func(h *faults.Held) { h.Cached = append(h.Cached, text) })
		}
		if left(v, epochs, goes) < v.Copies.Enough() {
			for _, id := range v.Stores() {
				at(id, func(h *faults.Held) { h.Stored = append(h.Stored, text) })
			}
		}
	}
	return held
}

// left counts the copies of a volume that have everything and do not go.
func left(v *gsm.Volume, epochs map[wire.NodeID]wire.Epoch, goes func(wire.NodeID) bool) (n int) {
	if len(v.Replicas) == 0 {
		if goes(v.Storage) {
			return 0
		}
		return 1
	}
	for _, r := range v.Replicas {
		if r.State.Counts() && r.Member == epochs[r.Node] && !goes(r.Node) {
			n++
		}
	}
	return n
}
