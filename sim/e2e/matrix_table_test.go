package e2e

import (
	"fmt"
	"slices"
	"testing"
)

// shot is one failure: who, while what goes on, and how: kill is SIGKILL, stop is SIGSTOP until it was declared dead.
type shot struct{ who, when, how string }

// scene is a row of the matrix: the policy of the process whose components fail, and the failures of one run, one after the other. Each waits until
// what the one before took is there again. What its policy does not survive comes last, for the run ends with it.
type scene struct {
	policy string
	shots  []shot
}

// The words of the matrix. A holder has copies of memory, the cache is the buffer cache of a volume, leader and follower are managers.
var (
	matrixWho  = []string{"pcomponent", "home", "owner", "holder", "cache", "scomponent", "leader", "follower"}
	matrixWhen = []string{"running", "admitting", "migrating", "recovering", "checkpointing"}
	matrixHow  = []string{"kill", "stop"}
)

// matrix holds every pair of words that can come together, in as few shots as were found by search. A row of a policy that a workload may not have
// yet is skipped, with the reason.
var matrix = []scene{
	{"sync", []shot{{"follower", "recovering", "kill"}, {"owner", "migrating", "stop"}, {"leader", "running", "stop"}, {"home", "admitting", "kill"}}},
	{"volumes", []shot{{"home", "recovering", "stop"}, {"leader", "migrating", "kill"}, {"holder", "admitting", "stop"}, {"scomponent", "running", "kill"}}},
	{"checkpoint", []shot{{"follower", "checkpointing", "stop"}, {"pcomponent", "running", "kill"}, {"scomponent", "migrating", "stop"}, {"cache", "checkpointing", "kill"}}},
	{"log", []shot{{"holder", "migrating", "kill"}, {"owner", "running", "kill"}, {"leader", "admitting", "kill"}, {"pcomponent", "recovering", "stop"}}},
	{"none", []shot{{"follower", "migrating", "stop"}, {"leader", "recovering", "kill"}, {"follower", "running", "kill"}, {"owner", "admitting", "stop"}}},
	{"volumes", []shot{{"cache", "migrating", "stop"}, {"owner", "recovering", "kill"}, {"follower", "admitting", "stop"}, {"pcomponent", "migrating", "kill"}}},
	{"checkpoint", []shot{{"leader", "checkpointing", "kill"}, {"scomponent", "admitting", "kill"}, {"scomponent", "recovering", "stop"}, {"owner", "checkpointing", "kill"}}},
	{"sync", []shot{{"holder", "running", "stop"}, {"holder", "recovering", "kill"}, {"home", "running", "kill"}, {"pcomponent", "admitting", "kill"}}},
	{"none", []shot{{"home", "migrating", "kill"}}},
	{"checkpoint", []shot{{"pcomponent", "checkpointing", "stop"}, {"scomponent", "checkpointing", "kill"}, {"home", "checkpointing", "kill"}}},
	{"volumes", []shot{{"cache", "running", "stop"}, {"cache", "admitting", "stop"}, {"cache", "recovering", "kill"}}},
	{"log", []shot{{"follower", "admitting", "kill"}, {"home", "admitting", "stop"}}},
	{"none", []shot{{"pcomponent", "admitting", "kill"}}},
	{"erasure", []shot{{"owner", "running", "kill"}, {"holder", "recovering", "stop"}, {"home", "migrating", "kill"}, {"leader", "admitting", "kill"}}},
}

// matrixPolicies says what a process of each policy has: how its memory is kept, whether it makes checkpoints, whether it has volumes, of which there
// are three copies each.
var matrixPolicies = map[string]struct {
	memory      string
	checkpoints bool
	volumes     bool
}{
	"none":       {memory: "{replication: none}"},
	"sync":       {memory: "{replication: sync, copies: 2}"},
	"log":        {memory: "{replication: log, copies: 2, log_full: block}"},
	"erasure":    {memory: "{replication: erasure, data: 2, parity: 1}"},
	"volumes":    {memory: "{replication: sync, copies: 2}", volumes: true},
	"checkpoint": {memory: "{replication: none}", volumes: true, checkpoints: true},
}

// together reports whether words can come together: who is there with that policy, and whether that goes on.
func together(policy string, s shot) bool {
	p := matrixPolicies[policy]
	switch s.who {
	case "holder":
		if p.memory == "{replication: none}" {
			return false
		}
	case "cache", "scomponent":
		if !p.volumes {
			return false
		}
	}
	return s.when != "checkpointing" || p.checkpoints
}

// pairsOf are the pairs of words of a shot.
func pairsOf(policy string, s shot) []string {
	w := []string{policy, s.who, s.when, s.how}
	var out []string
	for i := range w {
		for j := range i {
			out = append(out, w[j]+" × "+w[i])
		}
	}
	return out
}

// TestMatrixHasEveryPair: every component fails under every policy, at every moment and in both ways; at every moment under every policy, and so on.
func TestMatrixHasEveryPair(t *testing.T) {
	has, shots := map[string]bool{}, 0
	for _, sc := range matrix {
		for _, s := range sc.shots {
			if !together(sc.policy, s) || !slices.Contains(matrixWho, s.who) || !slices.Contains(matrixWhen, s.when) || !slices.Contains(matrixHow, s.how) {
				t.Errorf("%s %+v cannot be", sc.policy, s)
			}
			for _, p := range pairsOf(sc.policy, s) {
				has[p] = true
			}
			shots++
		}
	}
	want := map[string]bool{}
	for policy := range matrixPolicies {
		if policy == "erasure" { // refused as yet; its row has what makes it differ
			continue
		}
		for _, who := range matrixWho {
			for _, when := range matrixWhen {
				for _, how := range matrixHow {
					if s := (shot{who, when, how}); together(policy, s) {
						for _, p := range pairsOf(policy, s) {
							want[p] = true
						}
					}
				}
			}
		}
	}
	for p := range want {
		if !has[p] {
			t.Errorf("no run has %s", p)
		}
	}
	t.Logf("%d runs, %d failures, %d pairs", len(matrix), shots, len(want))
}

func (s shot) String() string { return fmt.Sprintf("%s %s while %s", s.how, s.who, s.when) }
