package client

import (
	"testing"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

func TestChangesOfLeaderBetweenTwoStatuses(t *testing.T) {
	status := func(leader wire.NodeID, seen map[wire.NodeID]uint64) (g GroupStatus) {
		for node, n := range seen {
			g.add(membership.GroupStatus{Node: node, Leader: leader, Term: 1, LeaderChanges: n})
		}
		return g
	}
	type counts = map[wire.NodeID]uint64
	for what, c := range map[string]struct {
		old, now GroupStatus
		want     uint64
	}{
		"nothing happened":                        {status("g1", counts{"g1": 1, "g2": 3}), status("g1", counts{"g1": 1, "g2": 3}), 0},
		"one that all saw":                        {status("g1", counts{"g1": 0, "g2": 1}), status("g2", counts{"g1": 1, "g2": 2}), 1},
		"there and back, who had seen most died":  {status("g1", counts{"g1": 0, "g2": 2, "g3": 0}), status("g1", counts{"g1": 2, "g3": 2}), 2},
		"who had seen most was started again":     {status("g2", counts{"g1": 1, "g2": 5}), status("g1", counts{"g1": 2, "g2": 0}), 1},
		"it is only known that another leads now": {status("g2", counts{"g1": 1, "g2": 5}), status("g1", counts{"g1": 1}), 1},
		"the first status is missing":             {GroupStatus{}, status("g1", counts{"g1": 1}), 1},
	} {
		if got := c.now.ChangesSince(c.old); got != c.want {
			t.Errorf("%s: %d changes, want %d", what, got, c.want)
		}
	}
}
