package httpapi

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// Limits of the interface. docs/api.md tells them.
const (
	// MaxBodyBytes bounds the body of a request.
	MaxBodyBytes = 1 << 20
	// MaxRequests bounds the requests that are served at once.
	MaxRequests = 64
	// DefaultLimit is how many events an answer has at most unless the request says otherwise; MaxLimit bounds that, and is how
	// many vNodes, nodes or moves an answer has.
	DefaultLimit, MaxLimit = 100, 1000
	// ReadTimeout bounds a request that changes nothing. Without a quorum it ends in 503 then.
	ReadTimeout = 4 * time.Second
	// WriteTimeout bounds a request that changes something. It lies above the time of an election.
	WriteTimeout = 15 * time.Second
	// MaxWait bounds how long a request may wait for room for a vNode, beside WriteTimeout.
	MaxWait = 5 * time.Minute
	// lastWords is how long a client may take over an answer once the API is being closed.
	lastWords = time.Second
	// componentTimeout bounds one call to a component.
	componentTimeout = time.Second
	// stopTimeout bounds the end of a process that was told to stop.
	stopTimeout = 8 * time.Second
)

// Options are what an API needs of its process.
type Options struct {
	Client   *client.Client   // open until the API is closed
	Managers []client.Manager // every manager process of the cluster
	Net      netlayer.Options // identity and bounds of connections to components
	Node     wire.NodeID      // the manager that answers
	Cluster  string           // name of the cluster
	// Token is what a request must carry as `Authorization: Bearer TOKEN`; empty asks for none.
	Token string
	// AnyHost accepts requests whatever host name they are made to. Without it only names of the loopback are accepted, so
	// that a web page whose name points here cannot use the API.
	AnyHost bool
	// Progress decodes the status of a process as its pComponent tells it (wire.ProcessStatusRep); nil tells none.
	Progress func(status []byte) (Progress, error)
}

// Validate reports every fault.
func (o Options) Validate() error {
	var faults []error
	if o.Client == nil {
		faults = append(faults, errors.New("client: missing, want one of the managers"))
	}
	if len(o.Managers) == 0 {
		faults = append(faults, errors.New("managers: none, want at least one"))
	}
	if o.Node == "" {
		faults = append(faults, errors.New("node: missing, want the id of the manager that answers"))
	}
	if err := o.Net.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("net: %w", err))
	}
	return errors.Join(faults...)
}
