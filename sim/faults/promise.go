package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"splitkernel/netlayer/wire"
)

// Promise is what a cluster keeps whatever goes wrong for a while: no page and no block that was acknowledged is lost, and every
// process goes on. What has no copy elsewhere is kept only through faults that it outlives.
type Promise struct {
	// Lease is how long a component may be silent and deaf to probes before it is declared dead, and what it had is lost
	// (membership.Outlives).
	Lease time.Duration
	// Patience is how long a process waits for pages and blocks, and CallTimeout after how long a lost message is sent again.
	Patience, CallTimeout time.Duration
	Nodes                 []Node
	// Outlives is how many mComponents the memory of every process survives at a time, by copies at others; 0 if one has none.
	Outlives int
	// Survives is how many sComponents may be lost at a time without a volume being lost or out of reach: the least of all volumes that are
	// used. 0 if one of them has no copy elsewhere.
	Survives int

	// Ends are the vNodes that end with their pComponent, because they make no checkpoints. Known says that these are all: without, any
	// may.
	Ends  []string
	Known bool
}

// computeCost says what it costs that a pComponent is lost, or nothing. Which vNodes will be there is not known before they are placed.
func (p *Promise) computeCost(n Who, why string) string {
	others := 0
	for _, o := range p.Nodes {
		if o.Role == wire.RoleCompute {
			others++
		}
	}
	switch {
	case !p.Known:
		return fmt.Sprintf("the processes of %v end with it%s: there is no checkpoint from which they could go on", n, why)
	case len(p.Ends) > 0:
		return fmt.Sprintf("the processes of %v end with it%s: there is no checkpoint from which they could go on (%s)", n, why, strings.Join(p.Ends, ", "))
	case others < 2:
		return fmt.Sprintf("the processes of %v%s have no other pComponent at which they could go on", n, why)
	}
	return ""
}

// Breach is a fault of a list that costs what the promise is about.
type Breach struct {
	Index int // of the fault
	Fault Fault
	Cost  string // "the memory of m2 is lost: no vRegion has a copy elsewhere"
}

func (b Breach) String() string { return fmt.Sprintf("%q: %s", b.Fault.String(), b.Cost) }

// Breaches are the faults of a list that break the promise.
func (p *Promise) Breaches(list []Fault) (out []Breach) {
	unled := p.unled(list)
	for i, f := range list {
		cost := p.cost(f, list, i)
		if cost != "" && p.outlived(list, i) {
			cost = ""
		}
		if cost == "" && unled >= 0 && p.needsManagers(f) {
			cost = fmt.Sprintf("nobody says who goes on with what %v had: %q leaves no majority of the managers for good", f.Node, list[unled].String())
		}
		if cost != "" {
			out = append(out, Breach{i, f, cost})
		}
	}
	return out
}

// unled is the fault of a list, of whatever moment, after which no majority of the managers is left and none comes back, or -1.
func (p *Promise) unled(list []Fault) int {
	managers, gone := len(ofRole(p.Nodes, wire.RoleManager)), map[Who]bool{}
	for i, f := range list {
		if role, _ := f.Node.role(p.Nodes); role != wire.RoleManager || f.Kind != Kill || f.For > 0 {
			continue
		}
		again := func(g Fault) bool { return g.Kind == Restart && g.Node == f.Node && f.Node.ID != "" }
		if slices.ContainsFunc(list[i+1:], again) {
			continue
		}
		if gone[f.Node] = true; 2*(managers-len(gone)) <= managers {
			return i
		}
	}
	return -1
}

// needsManagers reports whether a fault takes what others can go on with only when the managers have said so.
func (p *Promise) needsManagers(f Fault) bool {
	role, _ := f.Node.role(p.Nodes)
	if role != wire.RoleMemory && role != wire.RoleCompute {
		return false
	}
	return f.Kind == Kill || f.Kind == Restart || f.Kind == Pause && p.silent(f.For)
}

// Restores is after how long copies that were lost with an mComponent are counted as made again, when two are to die one after the other.
const Restores = 15 * time.Second

// memory says what it costs that an mComponent ends: the memory of processes that have no copies at others, or not enough for all that end
// with it. Of two parts of a run nobody knows how far they are apart: they count as far from a quarter of it on.
func (p *Promise) memory(f Fault, all []Fault, at int) string {
	if p.Outlives == 0 {
		return fmt.Sprintf("the memory of %v is lost with it: not every vRegion has a copy elsewhere", f.Node)
	}
	together, others := 1, 0
	for i, g := range all {
		role, _ := g.Node.role(p.Nodes)
		ends := g.Kind == Kill || g.Kind == Restart || g.Kind == Pause && p.silent(g.For)
		if i == at || role != wire.RoleMemory || !ends || g.Node == f.Node && f.Node.ID != "" {
			continue
		}
		near := g.At.Progress != f.At.Progress // nobody knows
		if g.At.Progress && f.At.Progress {
			near = max(g.At.Share, f.At.Share)-min(g.At.Share, f.At.Share) < Whole/4
		} else if !near {
			near = (g.At.After - f.At.After).Abs() < Restores
		}
		if near && i < at {
			together++
		}
		if g.Kind == Kill && g.For == 0 {
			others++
		}
	}
	switch {
	case together > p.Outlives:
		return fmt.Sprintf("%d mComponents are lost within %v, copies outlive %d", together, Duration(Restores), p.Outlives)
	case f.Kind == Kill && others+1 >= len(ofRole(p.Nodes, wire.RoleMemory)):
		return fmt.Sprintf("%v is the last mComponent that is left", f.Node)
	}
	return ""
}

// lastOf reports whether nobody of the role of whom a fault kills for good is left but those that others of the list kill, too.
func (p *Promise) lastOf(f Fault, all []Fault, at int) bool {
	role, _ := f.Node.role(p.Nodes)
	gone := map[Who]bool{f.Node: true}
	for _, g := range all[:at] {
		if r, _ := g.Node.role(p.Nodes); r == role && g.Kind == Kill && g.For == 0 {
			gone[g.Node] = true
		}
	}
	return f.For == 0 && len(gone) >= len(ofRole(p.Nodes, role))
}

// cost says what the fault of a number in a list costs, or nothing.
func (p *Promise) cost(f Fault, all []Fault, i int) string {
	later := all[i+1:]
	role, _ := f.Node.role(p.Nodes)
	switch f.Kind {
	case Kill, Restart:
		switch role {
		case wire.RoleMemory:
			return p.memory(f, all, i)
		case wire.RoleCompute:
			if cost := p.computeCost(f.Node, ""); cost != "" || f.Kind == Restart || !p.lastOf(f, all, i) {
				return cost
			}
			return fmt.Sprintf("%v is the last pComponent that is left", f.Node)
		case wire.RoleStorage:
			if f.Kind == Kill && !p.back(f, later) {
				return fmt.Sprintf("the volumes of %v are out of reach until it is started again, which must be within %v: no volume has a copy elsewhere", f.Node, Duration(p.Patience))
			}
		}
	case Pause:
		if role == wire.RoleCompute && p.silent(f.For) && p.computeCost(f.Node, "") == "" {
			return ""
		}
		if role == wire.RoleMemory && p.silent(f.For) && p.Outlives > 0 {
			return p.memory(f, all, i)
		}
		if role != wire.RoleManager && p.silent(f.For) {
			return fmt.Sprintf("%v is declared dead when nobody reaches it for %v, and what it has is lost", f.Node, Duration(p.Lease))
		}
	case Partition:
		return p.cutOff(f)
	case Delay:
		if 2*(f.By+f.Jitter) >= p.CallTimeout {
			return fmt.Sprintf("no call is answered within its deadline of %v", Duration(p.CallTimeout))
		}
	case Lose:
		if f.Part == Whole {
			return p.cutOff(f)
		}
	case CorruptBlock:
		return fmt.Sprintf("what the block of %v held is lost: no volume has a copy elsewhere", f.Node)
	}
	return ""
}

// silent reports whether somebody is taken for dead who is not heard for so long.
func (p *Promise) silent(d time.Duration) bool { return d == 0 || d >= p.Lease }

// outlasts reports whether somebody who waits gives up before a fault ends: the last message that is lost is sent again after its deadline.
func (p *Promise) outlasts(d time.Duration) bool { return d == 0 || d+p.CallTimeout >= p.Patience }

// cutOff says what it costs that nothing comes from one side to the other.
func (p *Promise) cutOff(f Fault) string {
	roles := map[wire.NodeID]wire.Role{"": wire.RoleManager} // whoever leads
	managers := 0
	for _, n := range p.Nodes {
		roles[n.ID] = n.Role
		if n.Role == wire.RoleManager {
			managers++
		}
	}
	unheard := map[wire.NodeID]map[wire.NodeID]bool{} // by component: the managers that do not hear it
	data := false
	for _, pair := range f.Pairs(p.Nodes) {
		from, to := roles[pair.From], roles[pair.To]
		switch {
		case from == wire.RoleManager && to == wire.RoleManager:
		case to == wire.RoleManager:
			if unheard[pair.From] == nil {
				unheard[pair.From] = map[wire.NodeID]bool{}
			}
			unheard[pair.From][pair.To] = true
		case from != wire.RoleManager:
			data = true
		}
	}
	for _, n := range p.Nodes {
		if len(unheard[n.ID]) == managers && managers > 0 && p.silent(f.For) && !(n.Role == wire.RoleCompute && p.computeCost(Who{ID: n.ID}, "") == "") {
			return fmt.Sprintf("no manager hears %s for %v: it is declared dead, and what it has is lost", n.ID, Duration(p.Lease))
		}
	}
	if data && p.outlasts(f.For) {
		return fmt.Sprintf("processes whose pages or blocks are on the other side give up after %v", Duration(p.Patience))
	}
	return ""
}

// back reports whether a component that is killed is started again in time for those who wait for it.
func (p *Promise) back(f Fault, later []Fault) bool {
	if f.For > 0 {
		return !p.outlasts(f.For)
	}
	for _, g := range later {
		if g.Kind == Restart && g.Node == f.Node && f.Node.ID != "" && f.At.Phase == Idle && g.At.Phase == Idle && f.At.Progress == g.At.Progress &&
			(f.At.Progress || !p.outlasts(max(g.At.After-f.At.After, 1))) {
			return true
		}
	}
	return false
}
