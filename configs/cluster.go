package configs

import (
	"fmt"
	"net"
	"reflect"
	"strings"

	"splitkernel/netlayer/wire"
)

// MaxNodes bounds the nodes of a cluster of processes on one machine.
const MaxNodes = 256

// Transports of a cluster file.
const (
	TransportUnix = "unix"
	TransportTCP  = "tcp"
)

// Cluster is a cluster of processes. The sections hold the defaults of every node of a kind; a node's entry may
// override any key of its section.
type Cluster struct {
	// Name tells clusters apart in `status` and `down`.
	Name string
	// Transport is TransportUnix or TransportTCP.
	Transport string
	// Token is a secret that every node must know; empty is none.
	Token string
	// RegionBytes is the size of a vRegion, a power of two of at least a page; LegoOS has 1 GiB.
	RegionBytes uint64
	// Nodes in the order of the file.
	Nodes []Node
}

// Node is one process of the cluster.
type Node struct {
	// ID is unique in the cluster, as in "m2".
	ID string
	// Role is manager, pcomponent, mcomponent or scomponent.
	Role string
	// Rack is a failure domain; empty is the only one.
	Rack string
	// Listen is a TCP address such as "127.0.0.1:7001"; empty lets the launcher choose a free port.
	Listen string
}

// DefaultCluster has no nodes.
func DefaultCluster() Cluster {
	return Cluster{Transport: TransportUnix, RegionBytes: 1 << 30}
}

// Roles are the roles of a cluster file in the order in which nodes are started.
var Roles = []wire.Role{wire.RoleManager, wire.RoleStorage, wire.RoleMemory, wire.RoleCompute}

// ParseRole gives the role of a name in a cluster file.
func ParseRole(name string) (wire.Role, bool) {
	for _, r := range Roles {
		if r.String() == name {
			return r, true
		}
	}
	return 0, false
}

func roleNames() string {
	var names []string
	for _, r := range Roles {
		names = append(names, r.String())
	}
	return strings.Join(names, ", ")
}

func loadNodes(fs *faults, c *Cluster, raw any) []Node {
	list, ok := raw.([]any)
	if !ok || len(list) == 0 {
		fs.add("nodes", "%s, want a list of nodes", show(raw))
		return nil
	}
	var nodes []Node
	for i, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			fs.add(fmt.Sprintf("nodes[%d]", i), "%s, want a section of keys", show(e))
			continue
		}
		prefix := fmt.Sprintf("nodes[%d].", i)
		if id, ok := m["id"].(string); ok {
			prefix = "nodes." + id + "."
		}
		var n Node
		fs.decode(checkSection(fs, prefix, m, reflect.TypeFor[Node]()), &n)
		nodes = append(nodes, n)
	}
	return nodes
}

func (c *Cluster) validate(fs *faults) {
	checkName(fs, "name", c.Name)
	if c.Transport != TransportUnix && c.Transport != TransportTCP {
		fs.add("transport", "%q, want one of %s, %s", c.Transport, TransportTCP, TransportUnix)
	}
	if c.RegionBytes < wire.PageSize || c.RegionBytes&(c.RegionBytes-1) != 0 {
		fs.add("region_bytes", "%s, want a power of two of at least %s", FormatBytes(c.RegionBytes), FormatBytes(wire.PageSize))
	}
	c.validateNodes(fs)
}

func (c *Cluster) validateNodes(fs *faults) {
	if len(c.Nodes) > MaxNodes {
		fs.add("nodes", "%d, want at most %d", len(c.Nodes), MaxNodes)
	}
	seen, listens, count := map[string]bool{}, map[string]string{}, map[wire.Role]int{}
	for i, n := range c.Nodes {
		prefix := "nodes." + n.ID + "."
		if n.ID == "" {
			prefix = fmt.Sprintf("nodes[%d].", i)
		}
		checkName(fs, prefix+"id", n.ID)
		if seen[n.ID] {
			fs.add(prefix+"id", "%q is there twice, want each id once", n.ID)
		}
		seen[n.ID] = true
		role, ok := ParseRole(n.Role)
		if !ok {
			fs.add(prefix+"role", "%q, want one of %s", n.Role, roleNames())
		}
		count[role]++
		if n.Listen == "" {
			continue
		}
		if c.Transport != TransportTCP {
			fs.add(prefix+"listen", "%q, but transport is %s, want no listen or transport: %s", n.Listen, c.Transport, TransportTCP)
		}
		if _, port, err := net.SplitHostPort(n.Listen); err != nil || port == "" {
			fs.add(prefix+"listen", "%q, want host:port", n.Listen)
		}
		if other, ok := listens[n.Listen]; ok {
			fs.add(prefix+"listen", "%q is also the address of %s, want each address once", n.Listen, other)
		}
		listens[n.Listen] = n.ID
	}
	if m := count[wire.RoleManager]; m%2 == 0 {
		fs.add("nodes", "%d managers, want an odd number: an even one survives no more failures", m)
	}
	for _, r := range Roles[1:] {
		if count[r] == 0 {
			fs.add("nodes", "no %s, want at least one", r)
		}
	}
}

// Node gives the node of an id.
func (c *Cluster) Node(id string) (Node, bool) {
	for _, n := range c.Nodes {
		if n.ID == id {
			return n, true
		}
	}
	return Node{}, false
}
