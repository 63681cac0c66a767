package configs

import (
	"fmt"
	"hash/fnv"
	"maps"
	"reflect"

	"splitkernel/sim/generate"
)

// Bounds of what runs live: each node is a process of one machine, each vNode a replay in one of them. A simulation may have
// more, up to MaxNodes and MaxVnodes.
const (
	MaxLiveNodes  = 256
	MaxLiveVnodes = 1024
)

// counted takes the key count out of an entry of a list: it stands for so many of it, whose names end in 1, 2, and so on. 0 is
// an entry without the key, which stands for itself.
func counted(fs *faults, prefix string, m map[string]any, most int, without ...string) (map[string]any, int) {
	v, there := m["count"]
	if !there {
		return m, 0
	}
	m = maps.Clone(m)
	delete(m, "count")
	n, ok := v.(int)
	if !ok || n < 1 || n > most {
		fs.add(prefix+"count", "%s, want 1 to %d", show(v), most)
		return m, 0
	}
	for _, key := range without {
		if _, there := m[key]; there {
			fs.add(prefix+key, "of an entry with a count, want it without: an address is one node's")
		}
	}
	return m, n
}

// times gives n nodes that differ in their ids only.
func (n Node) times(count int) []Node {
	if count == 0 {
		return []Node{n}
	}
	all := make([]Node, count)
	for i := range all {
		all[i] = n
		all[i].ID = fmt.Sprintf("%s%d", n.ID, i+1)
		if n.settings != nil { // each its own, as if it had been read
			own := reflect.New(reflect.TypeOf(n.settings).Elem())
			own.Elem().Set(reflect.ValueOf(n.settings).Elem())
			all[i].settings = own.Interface()
		}
	}
	return all
}

// times gives n vNodes that differ in their names only.
func (v VNode) times(count int) []VNode {
	if count == 0 {
		return []VNode{v}
	}
	all := make([]VNode, count)
	for i := range all {
		all[i] = v
		all[i].Name = fmt.Sprintf("%s%d", v.Name, i+1)
	}
	return all
}

// Live reports, as a *FaultsError, what a simulation can run and processes of one machine cannot.
func (c *Cluster) Live() error {
	fs := newFaults(c.Name)
	if len(c.Nodes) > MaxLiveNodes {
		fs.add("nodes", "%d, want at most %d processes on one machine; simulate runs up to %d", len(c.Nodes), MaxLiveNodes, MaxNodes)
	}
	return fs.err()
}

// Live reports, as a *FaultsError, what a simulation can run and a live cluster cannot.
func (w *Workload) Live() error {
	fs := newFaults(w.Name)
	if len(w.Vnodes) > MaxLiveVnodes {
		fs.add("vnodes", "%d, want at most %d on a live cluster; simulate runs up to %d", len(w.Vnodes), MaxLiveVnodes, MaxVnodes)
	}
	return fs.err()
}

// generator gives the text of v's generator with a seed: one that it does not name follows from the workload's and the vNode's
// name, so that many vNodes of one entry do not do the same.
func (w *Workload) generator(v *VNode) (string, error) {
	s, err := generate.Parse(v.Trace)
	if err != nil {
		return "", err
	}
	if !s.Seeded {
		h := fnv.New64a()
		fmt.Fprintf(h, "%d %s", w.Seed, v.Name)
		s.Seed, s.Seeded = h.Sum64(), true
	}
	return s.String(), nil
}
