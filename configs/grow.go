package configs

import (
	"fmt"
	"slices"
	"strings"

	"splitkernel/netlayer/wire"
)

// NewNode is a component that joins a running cluster.
type NewNode struct {
	Role string
	ID   string
	Rack string
	Set  []string // "key=value": keys of a node, as in the list of nodes of a cluster file
}

// WithNode gives the cluster with one more component at the end of its nodes; c does not change. The error is a
// *FaultsError with every fault.
func (c *Cluster) WithNode(n NewNode) (*Cluster, error) {
	fs := newFaults("node add")
	raw := map[string]any{"id": n.ID, "role": n.Role}
	if n.Rack != "" {
		raw["rack"] = n.Rack
	}
	prefix := "nodes." + n.ID + "."
	if role, known := ParseRole(n.Role); !known || role == wire.RoleManager {
		fs.add("--role", "%q, want one of %s", n.Role, componentNames())
		return nil, fs.err()
	}
	var parts []part
	for _, s := range n.Set {
		key, value, ok := strings.Cut(s, "=")
		switch {
		case !ok || key == "":
			fs.list = append(fs.list, fmt.Sprintf("--set: %q, want key=value", s))
		case key == "id" || key == "role" || key == "rack":
			fs.list = append(fs.list, fmt.Sprintf("--set: %s: want --%s instead", key, key))
		default:
			parts = append(parts, part{key, value, "--set: " + key})
		}
	}
	apply(fs, raw, parts)
	for _, p := range parts { // faults name the node's keys in full
		fs.origins[prefix+p.key] = p.origin
		delete(fs.origins, p.key)
	}
	next := *c
	next.Nodes = append(slices.Clone(c.Nodes), loadNode(fs, &next, prefix, raw))
	if len(fs.list) == 0 {
		next.validate(fs)
	}
	if err := fs.err(); err != nil {
		return nil, err
	}
	if err := next.Live(); err != nil {
		return nil, err
	}
	return &next, nil
}

// WithoutNode gives the cluster without a node; c does not change. That one of each role is left is not its matter: the
// managers refuse to remove the last of a role.
func (c *Cluster) WithoutNode(id string) *Cluster {
	next := *c
	next.Nodes = slices.DeleteFunc(slices.Clone(c.Nodes), func(n Node) bool { return n.ID == id })
	return &next
}

// FreeID gives an id for a component of a role that neither a node of the cluster nor taken has, as in "m4".
func (c *Cluster) FreeID(role string, taken func(id string) bool) string {
	prefix := "n"
	if role != "" {
		prefix = role[:1]
	}
	for i := 1; ; i++ {
		id := fmt.Sprintf("%s%d", prefix, i)
		if _, there := c.Node(id); !there && !taken(id) {
			return id
		}
	}
}

func componentNames() string {
	var names []string
	for _, r := range Roles {
		if r != wire.RoleManager {
			names = append(names, r.String())
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
