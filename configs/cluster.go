package configs

import (
	"fmt"
	"net"
	"reflect"
	"strconv"
	"strings"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/client"
	"splitkernel/mcomponent"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/fault"
	"splitkernel/scomponent"
)

// MaxNodes bounds the nodes of a cluster.
const MaxNodes = 1 << 13

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
	// Netlayer are the bounds of connections, at every node.
	Netlayer Netlayer
	// Recorder says what every node keeps for `simulate --from-run`.
	Recorder Recorder
	// Trace says where spans of requests go, of every process.
	Trace Trace
	// Client are the bounds of calls to the managers, at every component and in the command line.
	Client client.Options
	// Manager are the defaults of the managers.
	Manager gmanagers.Options
	// Pcomponent are the defaults of the compute components.
	Pcomponent pcomponent.Options
	// Mcomponent are the defaults of the memory components.
	Mcomponent mcomponent.Options
	// Scomponent are the defaults of the storage components.
	Scomponent scomponent.Options
	// Nodes in the order of the file.
	Nodes []Node
}

// Netlayer are the link of a node and the two ends of a connection.
type Netlayer struct {
	// LinkBytesPerSecond is the capacity of a node's link in each direction, for the utilisation metric; 0 is unknown.
	LinkBytesPerSecond uint64
	Peer               netlayer.Options
	Server             netlayer.ServerOptions
}

// defaultLink is 40 Gbit/s, the link of LegoOS's machines.
const defaultLink = 5_000_000_000

// derived are the settings of rooms that follow from the rest of the cluster, so that no file can contradict itself.
var derived = map[reflect.Type][]string{
	reflect.TypeFor[pcomponent.Options](): {"id", "net"},
	reflect.TypeFor[fault.Options]():      {"region_bytes", "threads"},
	reflect.TypeFor[mcomponent.Options](): {"region_bytes"},
	reflect.TypeFor[scomponent.Options](): {"data_dir"},
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
	// HTTPListen is the TCP address of the node's HTTP side (metrics, health, profiles, the API of a manager); empty lets the
	// kernel choose a port of the loopback.
	HTTPListen string
	// LinkBytesPerSecond is the capacity of this node's link; without the key that of netlayer.
	LinkBytesPerSecond uint64

	// settings are the section of the role with the node's own keys over it: a pointer to that section's type.
	settings any
}

// DefaultCluster has no nodes.
func DefaultCluster() Cluster {
	return Cluster{
		Transport: TransportUnix, RegionBytes: 1 << 30,
		Netlayer:   Netlayer{defaultLink, netlayer.DefaultOptions(), netlayer.DefaultServerOptions()},
		Recorder:   DefaultRecorder(),
		Trace:      DefaultTrace(),
		Client:     client.DefaultOptions(),
		Manager:    gmanagers.DefaultOptions(),
		Pcomponent: pcomponent.DefaultOptions(),
		Mcomponent: mcomponent.DefaultOptions(),
		Scomponent: scomponent.DefaultOptions(),
	}
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
		m, count := counted(fs, prefix, m, MaxNodes, "listen", "http_listen")
		nodes = append(nodes, loadNode(fs, c, prefix, m).times(count)...)
	}
	return nodes
}

// loadNode reads a node's own keys and those that override its section.
func loadNode(fs *faults, c *Cluster, prefix string, m map[string]any) Node {
	n := Node{LinkBytesPerSecond: c.Netlayer.LinkBytesPerSecond}
	name, _ := m["role"].(string)
	role, known := ParseRole(name)
	if !known {
		fs.add(prefix+"role", "%s, want one of %s", show(m["role"]), roleNames())
		return n
	}
	section := reflect.ValueOf(c.section(role)).Elem()
	own, over := map[string]any{}, map[string]any{}
	ownFields, overFields := fieldsOf(reflect.TypeFor[Node]()), fieldsOf(section.Type())
	for _, k := range sortedKeys(m) {
		switch {
		case hasKey(ownFields, k):
			own[k] = m[k]
		case hasKey(overFields, k):
			over[k] = m[k]
		default:
			fs.unknown(prefix, k, append(keysOf(ownFields), keysOf(overFields)...))
		}
	}
	fs.decode(checkSection(fs, prefix, own, reflect.TypeFor[Node]()), &n)
	settings := reflect.New(section.Type())
	settings.Elem().Set(section)
	fs.decode(checkSection(fs, prefix, over, section.Type()), settings.Interface())
	n.settings = settings.Interface()
	return n
}

func (c *Cluster) validate(fs *faults) {
	checkName(fs, "name", c.Name)
	if c.Transport != TransportUnix && c.Transport != TransportTCP {
		fs.add("transport", "%q, want one of %s, %s", c.Transport, TransportTCP, TransportUnix)
	}
	if c.RegionBytes < wire.PageSize || c.RegionBytes&(c.RegionBytes-1) != 0 {
		fs.add("region_bytes", "%s, want a power of two of at least %s", FormatBytes(c.RegionBytes), FormatBytes(wire.PageSize))
	}
	c.Recorder.validate(fs)
	c.Trace.validate(fs)
	c.validateSections(fs)
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
		role, _ := ParseRole(n.Role)
		count[role]++
		c.validateOverrides(fs, prefix, n)
		c.validateHTTP(fs, prefix, n)
		if n.Listen == "" {
			continue
		}
		if c.Transport != TransportTCP {
			fs.add(prefix+"listen", "%q, but transport is %s, want no listen or transport: %s", n.Listen, c.Transport, TransportTCP)
		}
		if _, port, err := net.SplitHostPort(n.Listen); err != nil || !isPort(port) {
			fs.add(prefix+"listen", "%q, want host:port with a port of 1 to 65535, as in 127.0.0.1:7001", n.Listen)
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

// validateHTTP checks the address of a node's HTTP side. Who offers it to other machines must have a token.
func (c *Cluster) validateHTTP(fs *faults, prefix string, n Node) {
	if n.HTTPListen == "" {
		return
	}
	host, port, err := net.SplitHostPort(n.HTTPListen)
	if err != nil || !isPort(port) {
		fs.add(prefix+"http_listen", "%q, want host:port with a port of 1 to 65535, as in 127.0.0.1:8001", n.HTTPListen)
		return
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && c.Token == "" {
		fs.add(prefix+"http_listen", "%q, which other machines can reach, but token is empty, want a token, or an address of the loopback", n.HTTPListen)
	}
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
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
