package apart

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/netlayer/wire"
)

// held is that a member has n things at a component.
type held struct {
	member uint64
	level  Level
	node   wire.NodeID
	rack   string // of the component when it came there
	n      uint64
}

func (h *held) compare(o held) int {
	return cmp.Or(cmp.Compare(h.member, o.member), cmp.Compare(h.node, o.node), cmp.Compare(h.rack, o.rack))
}

// Index knows where the members of groups have something. Make one with New; it is not safe for concurrent use.
type Index struct {
	groups map[string][]held // each ascending by member, node and rack; ranged over only where order is nothing
	part   bool              // it has some groups only, see Only
}

// New returns an index of nothing.
func New() *Index { return &Index{groups: map[string][]held{}} }

// Add notes that n more things of the memberships are at a component, or fewer: n is then the negative of a number.
func (x *Index) Add(ms []Member, node wire.NodeID, rack string, n uint64) {
	for _, m := range ms {
		hs, there := x.groups[m.Rule.Group]
		if !there && x.part {
			continue
		}
		h := held{m.ID, m.Rule.Level, node, rack, n}
		i, ok := slices.BinarySearchFunc(hs, h, func(a, b held) int { return a.compare(b) })
		if ok {
			if hs[i].n += n; hs[i].n == 0 {
				hs = slices.Delete(hs, i, i+1)
			}
		} else {
			hs = slices.Insert(hs, i, h)
		}
		if len(hs) == 0 && !x.part {
			delete(x.groups, m.Rule.Group)
		} else {
			x.groups[m.Rule.Group] = hs
		}
	}
}

// Forget notes that nothing is at a component any more.
func (x *Index) Forget(node wire.NodeID) {
	for g, hs := range x.groups {
		if hs = slices.DeleteFunc(hs, func(h held) bool { return h.node == node }); len(hs) == 0 {
			delete(x.groups, g)
		} else {
			x.groups[g] = hs
		}
	}
}

// Has reports whether a member of a group whose rule is about racks, its own or another's, has something at a component.
func (x *Index) Has(node wire.NodeID) bool {
	for _, hs := range x.groups {
		here, racks := false, false
		for i := range hs {
			here, racks = here || hs[i].node == node, racks || hs[i].level == Rack
		}
		if here && racks {
			return true
		}
	}
	return false
}

// Rename notes that a component is in another rack now.
func (x *Index) Rename(node wire.NodeID, rack string) {
	for _, hs := range x.groups {
		for i := range hs { // its entries stay in order: a member has one of a component that is told so
			if hs[i].node == node {
				hs[i].rack = rack
			}
		}
	}
}

// Avoid returns the components and the racks that what has these memberships must not come to, ascending.
func (x *Index) Avoid(ms []Member) (nodes []wire.NodeID, racks []string) {
	for _, m := range ms {
		hs := x.groups[m.Rule.Group]
		for i := range hs {
			h := &hs[i]
			if h.member == m.ID {
				continue
			}
			nodes = append(nodes, h.node)
			if h.level == Rack || m.Rule.Level == Rack {
				racks = append(racks, h.rack)
			}
		}
	}
	slices.Sort(nodes)
	slices.Sort(racks)
	return slices.Compact(nodes), slices.Compact(racks)
}

// Own returns the components and racks, ascending, to which what has these memberships keeps if it can, where its member has something
// already: a member that were everywhere would leave no place for the others. By components these are components, by racks racks.
func (x *Index) Own(ms []Member) (nodes []wire.NodeID, racks []string) {
	for _, m := range ms {
		hs := x.groups[m.Rule.Group]
		for i := range hs {
			switch h := &hs[i]; {
			case h.member != m.ID:
			case h.level == Rack:
				racks = append(racks, h.rack)
			default:
				nodes = append(nodes, h.node)
			}
		}
	}
	slices.Sort(nodes)
	slices.Sort(racks)
	return slices.Compact(nodes), slices.Compact(racks)
}

// Why says in words, after the name of a component in a rack, what keeps it from having something with these memberships; ""
// if nothing does.
func (x *Index) Why(ms []Member, node wire.NodeID, rack string) string {
	for _, m := range ms {
		hs := x.groups[m.Rule.Group]
		for i := range hs {
			switch h := &hs[i]; {
			case h.member == m.ID:
			case h.node == node:
				return fmt.Sprintf("has %s of group %q", name(h.member), m.Rule.Group)
			case h.rack == rack && (h.level == Rack || m.Rule.Level == Rack):
				return fmt.Sprintf("is in rack %q with %s, which has %s of group %q", rack, h.node, name(h.member), m.Rule.Group)
			}
		}
	}
	return ""
}

// Only returns a copy of the groups of memberships. What is added to others is not noted there.
func (x *Index) Only(ms []Member) *Index {
	n := &Index{groups: map[string][]held{}, part: true}
	for _, m := range ms {
		n.groups[m.Rule.Group] = slices.Clone(x.groups[m.Rule.Group])
	}
	return n
}

// Check returns the first two members of a group that are not apart.
func (x *Index) Check() error {
	for g, hs := range x.groups {
		at := map[wire.NodeID]uint64{}
		in := map[string]uint64{} // by rack, the member that asks for racks
		for i := range hs {
			h := &hs[i]
			if other, ok := at[h.node]; ok && other != h.member {
				return fmt.Errorf("apart: %s and %s of group %q are at %s", name(other), name(h.member), g, h.node)
			}
			at[h.node] = h.member
			if h.level != Rack {
				continue
			}
			if other, ok := in[h.rack]; ok && other != h.member {
				return fmt.Errorf("apart: %s and %s of group %q are in rack %q", name(other), name(h.member), g, h.rack)
			}
			in[h.rack] = h.member
		}
		for i := range hs {
			if other, ok := in[hs[i].rack]; ok && other != hs[i].member {
				return fmt.Errorf("apart: %s and %s of group %q are in rack %q", name(other), name(hs[i].member), g, hs[i].rack)
			}
		}
	}
	return nil
}

// Same says how the index differs from another, nil if it does not.
func (x *Index) Same(y *Index) error {
	if len(x.groups) != len(y.groups) {
		return fmt.Errorf("apart: %d groups, want %d", len(x.groups), len(y.groups))
	}
	for g, hs := range x.groups {
		if !slices.Equal(hs, y.groups[g]) {
			return fmt.Errorf("apart: group %q has %+v, want %+v", g, hs, y.groups[g])
		}
	}
	return nil
}
