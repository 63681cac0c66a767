package faults

import (
	"strings"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

// TestCopiesOutliveFaults: with three copies of every volume one sComponent may go, and not two.
func TestCopiesOutliveFaults(t *testing.T) {
	p := Promise{Lease: 3 * time.Second, Patience: 20 * time.Second, CallTimeout: 5 * time.Second, Survives: 1}
	for _, n := range []struct {
		role wire.Role
		ids  []wire.NodeID
	}{{wire.RoleManager, []wire.NodeID{"g1"}}, {wire.RoleCompute, []wire.NodeID{"p1"}}, {wire.RoleMemory, []wire.NodeID{"m1", "m2"}}, {wire.RoleStorage, []wire.NodeID{"s1", "s2", "s3"}}} {
		for _, id := range n.ids {
			p.Nodes = append(p.Nodes, Node{id, n.role})
		}
	}
	for text, want := range map[string]string{
		"at 1s kill s1":                                    "",
		"at 1s corrupt-block s2":                           "",
		"at 1s kill s1; at 2s corrupt-block s1":            "",
		"at 1s pause s1":                                   "",
		"at 1s partition s1 | all":                         "",
		"at 1s partition m1,p1 | s1":                       "",
		"at 1s kill s1 for 1s; at 3s kill s2":              "", // the first was back in time
		"at 1s kill s1; at 30s restart s1; at 40s kill s1": "",
		"at 1s kill s1; at 2s kill s2":                     "the volumes of s2 are out of reach",
		"at 1s kill s1; at 2s corrupt-block s2":            "what the block of s2 held",
		"at 1s kill s1; at 2s corrupt-block any s":         "what the block of any s held",
		"at 1s partition s1,s2 | all":                      "no manager hears s1",
		"at 1s kill m1":                                    "the memory of m1",
		"at 1s partition p1 | all":                         "no manager hears p1",
	} {
		list, errs := ParseList("faults", strings.Split(text, "; "))
		if errs != nil {
			t.Fatal(errs)
		}
		got := p.Breaches(list)
		switch {
		case want == "" && len(got) != 0:
			t.Errorf("%s: %v", text, got)
		case want != "" && (len(got) != 1 || !strings.Contains(got[0].String(), want)):
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
}
