package observe

import (
	"errors"
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/sim/launcher"
)

func TestVerdicts(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	ended := now.Add(-2 * time.Second)
	runs := launcher.NodeInfo{ID: "m1", Role: "mcomponent", PID: 7, Metrics: "127.0.0.1:1", Alive: true}
	died := launcher.NodeInfo{ID: "m1", Role: "mcomponent", PID: 7, Metrics: "127.0.0.1:1", Ended: &ended, How: "signal: killed"}
	fault := func(kind, text string, began time.Duration, ended *time.Time) launcher.Struck {
		return launcher.Struck{Fault: text, Kind: kind, Nodes: []string{"m1"}, Began: now.Add(began), Ended: ended}
	}
	active := &httpapi.Node{ID: "m1", Role: "mcomponent", State: "active", Alive: true, Epoch: 3}
	with := func(change func(*httpapi.Node)) *httpapi.Node {
		n := *active
		change(&n)
		return &n
	}
	dead := with(func(n *httpapi.Node) { n.State, n.Alive = "dead", false })
	for _, c := range []struct {
		name  string
		e     evidence
		state State
		why   string // what it must hold
		since time.Time
	}{
		{"up", evidence{process: runs, member: active, answered: now}, Up, "", time.Time{}},
		{"up, nobody asked the managers", evidence{process: runs, answered: now}, Up, "", time.Time{}},
		{"slow is not silent", evidence{process: runs, member: active, answered: now.Add(-2 * time.Second)}, Up, "", time.Time{}},
		{"silent", evidence{process: runs, member: active, answered: now.Add(-3 * time.Second), asked: errors.New("no route")}, Silent, "process 7 runs and has not answered since ", now.Add(-3 * time.Second)},
		{"silent, and why", evidence{process: runs, answered: now.Add(-3 * time.Second), asked: errors.New("no route")}, Silent, ": no route", now.Add(-3 * time.Second)},
		{"silent for the managers, too", evidence{process: runs, member: dead, answered: now.Add(-3 * time.Second)}, Silent, "; the managers declared epoch 3 of it dead", now.Add(-3 * time.Second)},
		{"killed by a fault", evidence{process: died, member: dead, faults: []launcher.Struck{fault("kill", "kill m1", -2*time.Second-time.Millisecond, nil)}}, Dead, `process 7 ended: signal: killed, by the fault "kill m1"; the managers declared epoch 3 of it dead`, ended},
		{"killed by a fault that restarts it", evidence{process: died, faults: []launcher.Struck{fault("restart", "restart m1", -2*time.Second-time.Millisecond, &now)}}, Dead, `by the fault "restart m1"`, ended},
		{"killed by somebody else, long after a fault", evidence{process: died, faults: []launcher.Struck{fault("kill", "kill m1", -time.Minute, &now)}}, Dead, "signal: killed, which nobody ordered here", ended},
		{"paused", evidence{process: runs, member: active, faults: []launcher.Struck{fault("pause", "pause m1 for 3s", -time.Second, nil)}, answered: now}, Paused, `stopped by the fault "pause m1 for 3s"`, now.Add(-time.Second)},
		{"was paused", evidence{process: runs, member: active, faults: []launcher.Struck{fault("pause", "pause m1 for 3s", -time.Second, &now)}, answered: now}, Up, "", time.Time{}},
		{"starting", evidence{process: launcher.NodeInfo{ID: "m1", PID: 8, Alive: true}, answered: now}, Starting, "process 8 is starting", time.Time{}},
		{"draining", evidence{process: runs, member: with(func(n *httpapi.Node) { n.State = "draining" }), answered: now}, Draining, "gives away what it has", time.Time{}},
		{"declared dead and answers", evidence{process: runs, member: dead, answered: now, faults: []launcher.Struck{fault("partition", "partition m1 | g1", -time.Second, nil)}}, CutOff, `declared epoch 3 of it dead; made to go wrong: "partition m1 | g1"`, time.Time{}},
		{"not heard", evidence{process: runs, member: with(func(n *httpapi.Node) { n.Alive, n.AgeMS = false, 2300 }), answered: now}, CutOff, "have not heard it for 2.3 s", time.Time{}},
		{"reached by others", evidence{process: runs, member: with(func(n *httpapi.Node) { n.Alive, n.Unreachable = false, true }), answered: now}, CutOff, "other components reach it", time.Time{}},
		{"slowed on purpose", evidence{process: runs, member: active, answered: now, faults: []launcher.Struck{fault("delay", "delay m1 -> p1 by 5ms", -time.Second, nil)}}, Up, `made to go wrong: "delay m1 -> p1 by 5ms"`, time.Time{}},
	} {
		c.e.now, c.e.silence = now, silentAfter(time.Second)
		v := judge(&c.e)
		if v.state != c.state || !strings.Contains(v.why, c.why) || c.why == "" && v.why != "" || !v.since.Equal(c.since) {
			t.Errorf("%s: %s %q since %v, want %s %q since %v", c.name, v.state, v.why, v.since, c.state, c.why, c.since)
		}
	}
}
