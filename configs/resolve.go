package configs

import (
	"errors"
	"slices"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/client"
	"splitkernel/mcomponent"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/scomponent"
)

// section gives the defaults of a role, as a pointer.
func (c *Cluster) section(r wire.Role) any {
	switch r {
	case wire.RoleManager:
		return &c.Manager
	case wire.RoleCompute:
		return &c.Pcomponent
	case wire.RoleMemory:
		return &c.Mcomponent
	case wire.RoleStorage:
		return &c.Scomponent
	}
	return &struct{}{}
}

// Resolved is what one process needs to know of its cluster: its node, with every setting decided. Of the components only
// the one of its role is there.
type Resolved struct {
	Cluster     string // name of the cluster file
	Transport   string
	Token       string
	RegionBytes uint64
	ID          wire.NodeID
	Role        wire.Role
	Rack        string
	HTTPListen  string
	Netlayer    Netlayer
	Trace       Trace
	Client      client.Options
	Manager     *gmanagers.Options  `json:",omitempty"`
	Compute     *pcomponent.Options `json:",omitempty"`
	Memory      *mcomponent.Options `json:",omitempty"`
	Storage     *scomponent.Options `json:",omitempty"`
}

// Resolve gives the settings of the node of an id, which must be one of the cluster's.
func (c *Cluster) Resolve(id string) Resolved {
	n, ok := c.Node(id)
	if !ok {
		panic("configs: no node " + id)
	}
	role, _ := ParseRole(n.Role)
	r := Resolved{
		Cluster: c.Name, Transport: c.Transport, Token: c.Token, RegionBytes: c.RegionBytes,
		ID: wire.NodeID(n.ID), Role: role, Rack: n.Rack, HTTPListen: n.HTTPListen, Netlayer: c.Netlayer, Trace: c.Trace, Client: c.Client,
	}
	r.Netlayer.LinkBytesPerSecond = n.LinkBytesPerSecond
	switch o := n.settings.(type) {
	case *gmanagers.Options:
		r.Manager = o
		r.Netlayer.Server.Workers = max(r.Netlayer.Server.Workers, gmanagers.MinWorkers)
	case *pcomponent.Options:
		own := *o
		own.ID, own.Fault.RegionBytes = r.ID, c.RegionBytes
		r.Compute = &own
	case *mcomponent.Options:
		own := *o
		own.RegionBytes = c.RegionBytes
		r.Memory = &own
		r.Netlayer.Server.Workers = max(r.Netlayer.Server.Workers, mcomponent.MinServerWorkers)
	case *scomponent.Options:
		r.Storage = o
	}
	return r
}

// validator is what every section of the file is.
type validator interface{ Validate() error }

// validateSections reports the faults of the sections. What follows from the rest of the cluster is set first, as a
// process will have it.
func (c *Cluster) validateSections(fs *faults) {
	peer, server := c.Netlayer.Peer, c.Netlayer.Server
	peer.Cluster, server.Cluster = c.Name, c.Name
	peer.Token, server.Token = c.Token, c.Token
	fs.addErr("netlayer.peer.", peer.Validate())
	fs.addErr("netlayer.server.", server.Validate())
	cl := c.Client
	cl.Net = validPeer()
	cl.Managers = []client.Manager{{ID: "g", Addr: "inproc:g"}} // the nodes are checked apart
	fs.addErr("client.", cl.Validate())
	for _, r := range Roles {
		fs.addErr(r.String()+".", validateSettings(c.section(r)))
	}
}

// validPeer stands for netlayer.peer in the sections that hold a copy of it, so that its faults are told once.
func validPeer() netlayer.Options {
	o := netlayer.DefaultOptions()
	o.Cluster = "c"
	return o
}

// validateSettings reports the faults of a section, or of a node's own. What the launcher will fill in is filled in
// here too, for a component cannot judge its settings without.
func validateSettings(settings any) error {
	switch o := settings.(type) {
	case *gmanagers.Options:
		own := *o
		own.ID, own.DataDir, own.Net = "g", "data", validPeer()
		own.Peers = []gmanagers.Peer{{ID: "g", Addr: "inproc:g", ReplicaID: 1}}
		return own.Validate()
	case validator:
		return o.Validate()
	}
	return nil
}

// validateOverrides reports the faults that a node adds to its section's.
func (c *Cluster) validateOverrides(fs *faults, prefix string, n Node) {
	role, _ := ParseRole(n.Role)
	ofSection := flatten("", validateSettings(c.section(role)))
	for _, text := range flatten("", validateSettings(n.settings)) {
		if !slices.Contains(ofSection, text) {
			fs.addErr(prefix, errors.New(text))
		}
	}
}
