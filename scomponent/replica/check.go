package replica

import "fmt"

// CheckInvariants checks that messages and operations agree about what is under way, and the bounds.
func (g *Group) CheckInvariants() error {
	if len(g.order) != len(g.ops) {
		return fmt.Errorf("replica: %d operations in order, %d known", len(g.order), len(g.ops))
	}
	under, over, repairs := 0, 0, 0
	for _, id := range g.order {
		o := g.ops[id]
		if o == nil || len(o.seats) != len(g.sites) {
			return fmt.Errorf("replica: operation %d has not a seat for each of %d copies", id, len(g.sites))
		}
		if o.phase == phaseOver {
			over++
		} else if o.kind == opRepair {
			repairs++
		}
		for i := range o.seats {
			st := &o.seats[i]
			if st.state != seatSent {
				continue
			}
			under++
			if s, ok := g.sends[st.send]; !ok || s.op != id || s.site != i {
				return fmt.Errorf("replica: operation %d waits for message %d to %s, which is not under way", id, st.send, g.sites[i].at.Node)
			}
		}
		if o.phase == phaseOver && !o.under() {
			return fmt.Errorf("replica: operation %d is over and was not released", id)
		}
	}
	walks := 0
	for i, s := range g.sites {
		if s.sending != 0 {
			under++
			if m, ok := g.sends[s.sending]; g.over == nil && (!ok || m.kind != SendAttach || m.site != i) {
				return fmt.Errorf("replica: %s waits for attach %d, which is not under way", s.at.Node, s.sending)
			}
		}
		if len(s.missed) > g.opt.Missed {
			return fmt.Errorf("replica: %s has %d blocks missed, at most %d", s.at.Node, len(s.missed), g.opt.Missed)
		}
	}
	for _, s := range g.sends {
		if s.kind == SendVersions {
			walks++
		}
	}
	if g.over == nil && under+walks != len(g.sends) {
		return fmt.Errorf("replica: %d messages are waited for and %d under way", under+walks, len(g.sends))
	}
	if walks != g.walk.out && g.over == nil {
		return fmt.Errorf("replica: the walk waits for %d answers, %d are under way", g.walk.out, walks)
	}
	if over > g.opt.Stragglers || repairs != g.repairs || repairs > g.opt.Window+1 {
		return fmt.Errorf("replica: %d operations are over and not released, at most %d; %d repairs, counted %d", over, g.opt.Stragglers, repairs, g.repairs)
	}
	return nil
}

// Show describes the group for people.
func (g *Group) Show() string {
	text := fmt.Sprintf("volume %d under epoch %d, configuration %d, write %d and read %d of %d; ready %t; %+v\n", g.req.Volume, g.req.Epoch, g.req.Config, g.req.WriteQuorum, g.req.ReadQuorum, g.places(), g.ready, g.stats)
	if g.over != nil {
		text += fmt.Sprintf("over: %v\n", g.over)
	}
	for _, s := range g.sites {
		text += fmt.Sprintf("%s %v: attached %t, behind %t, lost %t, need %d, missed %d, cause %v\n", s.at.Node, s.at.State, s.attached, s.behind, s.lost, s.need, len(s.missed), s.cause)
	}
	for _, id := range g.order {
		o := g.ops[id]
		text += fmt.Sprintf("%v %d of block %d in phase %d\n", o.kind, id, o.block, o.phase)
	}
	return text
}
