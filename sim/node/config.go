package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"splitkernel/configs"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// The files that a launcher gives a node beside stdin, stdout and stderr.
const (
	ReportFD   = 3 // pipe: the node writes one Report a line
	ListenerFD = 4 // listening socket
	LockFD     = 5 // lock of the temporary folder: only held open
)

// Peer is a node as others reach it.
type Peer struct {
	ID   wire.NodeID
	Role wire.Role
	Addr string // "unix:/path" or "tcp:127.0.0.1:7001"
}

// Config is everything that one process needs. The launcher writes it to a file in the temporary folder.
type Config struct {
	ClusterID string // unique per start of a cluster: strangers are refused by it
	Node      configs.Resolved
	Peers     []Peer // every node of the cluster, in the order of the cluster file
	DataDir   string // exists, private to this node
	Restarted bool   // it ran before, with this DataDir
	// Readmitted is the Raft node id under which a manager that had lost its state was taken in again; 0: it has its first one.
	Readmitted uint64 `json:",omitempty"`
	// RuntimeDir is the cluster's temporary folder; a process that outlives its launcher removes it.
	RuntimeDir string
	// Record is where the node's tape goes; the folder exists. Nil records nothing.
	Record *Record `json:",omitempty"`
	// LogLevel is that of the node's log at its start; 0 is info. It is no part of the cluster's configuration, because it changes nothing that a
	// run computes.
	LogLevel slog.Level

	// Faults is what goes wrong on purpose from the start: a node that is started again is in the same network as before.
	Faults *wire.FaultReq `json:",omitempty"`

	spans   *Spans            // of this process; nil keeps none
	faults  *netlayer.Faults  // of this process: what goes wrong on purpose with what it sends
	metrics *netlayer.Metrics // of this process, where its connections count themselves; nil counts nothing
}

// Record says where a node's tape goes, and of what run it is.
type Record struct {
	Dir      string
	MaxBytes int64 // of the tape
	// Tail keeps the tapes of the last starts of the node only, and the node goes on without a tape if there can be none.
	Tail         bool
	Commit       string
	ConfigDigest string
}

// Self gives the node's own entry among the peers.
func (c *Config) Self() (Peer, error) {
	for _, p := range c.Peers {
		if p.ID == c.Node.ID {
			return p, nil
		}
	}
	return Peer{}, fmt.Errorf("node %s: not among the peers of its own configuration", c.Node.ID)
}

// Managers gives the peers that are managers.
func (c *Config) Managers() []Peer {
	var ms []Peer
	for _, p := range c.Peers {
		if p.Role == wire.RoleManager {
			ms = append(ms, p)
		}
	}
	return ms
}

// ReadConfig reads what WriteConfig wrote.
func ReadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the node's configuration: %w", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	var c Config
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("%s: not the configuration of a node of this version of the program: %w", path, err)
	}
	return &c, nil
}

// WriteConfig writes c for a node of this same executable; the file holds the cluster's token.
func WriteConfig(path string, c *Config) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the node's configuration: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("write the node's configuration: %w", err)
	}
	return nil
}

// States of a Report.
const (
	StateListening = "listening" // Metrics is set
	StateReady     = "ready"     // serves, and the managers know it
	StateFailed    = "failed"    // Error is set; the process ends
)

// Report is what a node tells its launcher.
type Report struct {
	State   string
	Metrics string `json:",omitempty"` // "127.0.0.1:41234"
	Error   string `json:",omitempty"`
}

// Inherited are the files that the launcher gave this process.
type Inherited struct {
	Listener net.Listener
	report   *os.File
}

// Inherit takes the files over. It fails in a process that no launcher started.
func Inherit() (*Inherited, error) {
	report := os.NewFile(ReportFD, "report")
	f := os.NewFile(ListenerFD, "listener")
	if report == nil || f == nil {
		return nil, errors.New("the node's files are missing: a launcher starts nodes, see `splitkernel up`")
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("the node's listening socket is missing (a launcher starts nodes, see `splitkernel up`): %w", err)
	}
	if err := f.Close(); err != nil { // FileListener has its own copy
		return nil, fmt.Errorf("close the inherited socket: %w", err)
	}
	return &Inherited{Listener: l, report: report}, nil
}

// Report tells the launcher. Nobody listens when the launcher has died, which the node learns otherwise.
func (i *Inherited) Report(r Report) {
	line, err := json.Marshal(r)
	if err != nil {
		panic(err) // three strings
	}
	i.report.Write(append(line, '\n'))
}
