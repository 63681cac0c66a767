package statetest

import (
	"pgregory.net/rapid"

	"splitkernel/gmanagers/apart"
	"splitkernel/netlayer/wire"
)

// Apart draws what a vNode or a volume is apart from: nothing, one of two groups, or a rule that is refused.
func Apart(t *rapid.T) apart.Rule {
	return rapid.SampledFrom([]apart.Rule{
		{}, {}, {}, {}, {Group: "g", Level: apart.Component}, {Group: "g", Level: apart.Component}, {Group: "g", Level: apart.Component},
		{Group: "g", Level: apart.Rack}, {Group: "h", Level: apart.Rack}, {Group: "h"}, {Group: "g", Level: 3}, {Level: 1},
	}).Draw(t, "apart")
}

// Parts is where the members of groups have something, told in the plainest way.
type Parts struct {
	Racks map[wire.NodeID]string
	parts []part
}

type part struct {
	rule   apart.Rule
	member uint64
	node   wire.NodeID
	rack   string
}

// RacksOf returns the racks of members.
func RacksOf(members []wire.Member) map[wire.NodeID]string {
	racks := map[wire.NodeID]string{}
	for _, m := range members {
		racks[m.ID] = m.Rack
	}
	return racks
}

// Has tells that a member of a group has something at a component, whose rack Racks has.
func (p *Parts) Has(r apart.Rule, member uint64, node wire.NodeID) {
	p.HasIn(r, member, node, p.Racks[node])
}

// HasIn tells the same with the rack.
func (p *Parts) HasIn(r apart.Rule, member uint64, node wire.NodeID, rack string) {
	if r.Level != 0 {
		p.parts = append(p.parts, part{r, member, node, rack})
	}
}

// Check fails if two members of a group are at one component, or in one rack although one of them asks for racks.
func (p *Parts) Check(t *rapid.T) {
	for i, a := range p.parts {
		for _, b := range p.parts[:i] {
			if a.rule.Group != b.rule.Group || a.member == b.member {
				continue
			}
			if a.node == b.node || a.rack == b.rack && (a.rule.Level == apart.Rack || b.rule.Level == apart.Rack) {
				t.Fatalf("%+v and %+v are not apart", a, b)
			}
		}
	}
}
