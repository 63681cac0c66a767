package vcluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/gmanagers/weigh"
	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/link"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/blockio"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/slowest"
	"splitkernel/sim/fifo"
	"splitkernel/sim/hardware"
	"splitkernel/sim/hardware/endpoint"
	"splitkernel/sim/hardware/processor"
	"splitkernel/sim/units"
	"splitkernel/sim/vtime"
)

// Names of limits.
const (
	// MaxNodes bounds the nodes of a cluster.
	MaxNodes = 1 << 16
	// DefaultQuantum is how far a thread runs ahead of the clock at most.
	DefaultQuantum = 10 * time.Microsecond
)

// Options are a cluster in virtual time. What the managers, the fault protocol and the components are set to is what the same
// cluster has live.
type Options struct {
	Seed     uint64
	Hardware hardware.Hardware
	// Replayed says that the processes are replays of traces by a live driver, whose references cost processor.reference whatever
	// instructions lie between them: what is predicted is the run of the replay, not of the program.
	Replayed    bool
	RegionBytes uint64
	Quantum     time.Duration // 0 is DefaultQuantum
	Fault       fault.Options // of all processes; threads and region_bytes are set for each
	// BlockPatience is how long a block request is sent again that is refused as busy; 0 is blockio.DefaultPatienceMS.
	BlockPatience time.Duration
	Nodes         []Node
	Managers      Managers
	Raft          RaftFaults
	Placed        []Placed // if not nil, where each vNode goes; the managers then decide nothing
	// Orders are given by hand at their moments. MoveTimeout is how long a move may copy; 0 is DefaultMoveTimeout.
	Orders      []Order
	MoveTimeout time.Duration
	// Balance is when each manager moves work by itself; nil is never, but what drains is emptied.
	Balance *weigh.Balance
	// Heard hears of the load of each component when managers look at it; may be nil.
	Heard func(at time.Duration, id wire.NodeID, role wire.Role, epoch wire.Epoch, load wire.Load)
	// Served hears of every page and block that a component gives or takes, when it does; may be nil.
	Served func(Served)
	// Sizes of the hot messages, in bytes; the zero value is those of the message layer.
	Sizes Sizes
	// FlushFirst has a thread wait for the flush of its victim before it fetches or fills the line, as in LegoOS, where the faulting
	// thread does everything with one call outstanding. A piggybacked flush is not affected.
	FlushFirst bool
	// Released has pages move as in LegoOS's released code (revision 1f4da865): a pComponent copies a line into its message before it sends
	// it; an mComponent answers a miss from where the page lies, without a copy, if it was ever written, and applies a flush that came with
	// a miss before it answers.
	Released bool
	// Replication, if not nil, models what flushes cost that also go to a second mComponent.
	Replication *Replication
	// Membership is how components stay members; the zero value has everybody always heard.
	Membership Membership
	// Faults are what happens to nodes and links, in any order.
	Faults []Fault
}

// Node is one component. What a role does not have is not read.
type Node struct {
	ID   wire.NodeID
	Role wire.Role
	Rack string

	Cores        int    // of a pComponent
	ExCacheBytes uint64 // of a pComponent, for all its processes
	// Slow is how many times longer threads of a pComponent take, 1 to 1000, by how many run, since they share cores; the last holds for more.
	Slow []units.Ratio

	MemoryBytes     uint64 // of an mComponent
	Workers         int    // of an mComponent or an sComponent
	MaxOwnedRegions int
	ReplicaLogBytes uint64          // of an mComponent, for all logs that it keeps for others; 0 is the default
	Replica         replica.Options // of an mComponent; zero is the default
	Erasure         erasure.Options // of an mComponent; zero is the default
	VRegion         vregion.Options
	BufferCache     buffercache.Options

	StorageBytes uint64 // of an sComponent
	FlushQueue   int
	MaxVolumes   int

	// OwnQueues gives each worker of an mComponent or an sComponent a queue of its own, which requests join in turn, as in LegoOS.
	OwnQueues bool
	// WorkersWait keeps a worker of an mComponent or an sComponent busy while its request waits for a device or for another component,
	// as in LegoOS. Too few workers can then wait for each other.
	WorkersWait bool

	// Later says that the component is not there at first: a Fault starts it, and it joins. It needs Membership.
	Later bool
}

// Managers are the settings of the three managers.
type Managers struct {
	GPMPolicy, GMMPolicy, GSMPolicy, CachePolicy string
	ReplaceAfter                                 time.Duration // how long an sComponent that is dead is waited for before copies are made elsewhere
	Overcommit                                   uint64        // thousandths, of memory
	// Settings are the quotas and the threads of a core.
	Settings admission.Settings
}

// Cluster is a cluster on a clock. Make one with New; one goroutine uses it.
type Cluster struct {
	o     Options
	clock *vtime.Clock
	net   *link.Net
	ports []port       // by number of the node
	host  *fifo.Server // the processors that all components share; nil if each has its own
	costs *costs

	nodes     []any // *compute, *memory, *storage, or nil for a manager; by number
	byID      map[wire.NodeID]int32
	instances uint64 // of buffer caches that have volumes with several copies
	compute   []*compute
	memory    []*memory
	storage   []*storage
	gm        *managers
	lives     []life // by number
	mortal    bool   // a node was killed or started
	faulty    bool   // anything else went wrong with nodes and links
	cuts      map[pair]int
	ills      int                     // faults of links that there were
	illChance *rand.Rand              // of them
	full      map[int32]time.Duration // until when devices are full, by node
	due       int                     // faults, and ends of faults, that are to come
	restarts  int
	dropped   uint64    // things that nobody owned
	members   members   // who sends heartbeats
	replayed  *replayed // of Options.Placed, or nil
	metered   bool      // somebody balances, so components measure what things bear
	savers    map[wire.PID]Saver
	saving    int        // checkpoints that are being made
	ordered   []Ordered  // of Options.Orders
	awaits    []awaited  // of When
	did       Doing      // when phased looked last
	pauses    *rand.Rand // before requests are sent again; nil until one is

	msgs     slab[message]
	later    slab[func()]
	run      vtime.Kind // of later
	arrive   vtime.Kind // of msgs, as are the following
	begin    vtime.Kind
	served   vtime.Kind
	back     vtime.Kind
	answered vtime.Kind
	lost     vtime.Kind
	refused  vtime.Kind
	freed    vtime.Kind // of nodes and their workers
	digest   digest
	slow     slowest.Keeper
}

// New makes a cluster whose components are registered with its managers. It reports everything that is wrong with o.
func New(o Options) (*Cluster, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Quantum == 0 {
		o.Quantum = DefaultQuantum
	}
	if o.BlockPatience == 0 {
		o.BlockPatience = blockio.DefaultPatienceMS * time.Millisecond
	}
	if o.Sizes == (Sizes{}) {
		o.Sizes = ownSizes
	}
	if o.MoveTimeout == 0 {
		o.MoveTimeout = DefaultMoveTimeout
	}
	if o.Balance == nil {
		b := drainsOnly()
		o.Balance = &b
	}
	c := &Cluster{o: o, clock: vtime.New(), byID: map[wire.NodeID]int32{}, cuts: map[pair]int{}, savers: map[wire.PID]Saver{}}
	c.costs = newCosts(&c.o)
	c.run = c.clock.Handle("continue", func(who uint32) {
		f := *c.later.at(who)
		c.later.free(who)
		f()
	})
	c.arrive = c.clock.Handle("a message arrives", c.onArrive)
	c.begin = c.clock.Handle("a request comes to the workers", c.onBegin)
	c.served = c.clock.Handle("a request was served", c.onServed)
	c.back = c.clock.Handle("an answer arrives", c.onBack)
	c.answered = c.clock.Handle("an answer comes to who asked", c.onAnswered)
	c.lost = c.clock.Handle("a message is given up", c.onLost)
	c.refused = c.clock.Handle("a request is refused", c.onRefused)
	c.freed = c.clock.Handle("a worker is free", func(who uint32) {
		if no, worker, life := freedOf(who); c.lives[no].no&lifeMask == life {
			c.freeWorker(no, worker)
		}
	})
	c.lives = make([]life, len(o.Nodes))
	var chance *rand.Rand
	if o.Hardware.Link.Chance() {
		chance = vtime.Stream(o.Seed, "links", 0)
	}
	var err error
	if c.net, err = link.New(o.Hardware.Link, len(o.Nodes), chance); err != nil {
		return nil, fmt.Errorf("hardware: link: %w", err)
	}
	if n := o.Hardware.Processor.Shared; n > 0 {
		c.host = fifo.New(int(n))
	}
	for i := range o.Nodes {
		n := &o.Nodes[i]
		no := int32(i)
		c.byID[n.ID] = no
		ep, err := endpoint.New(o.Hardware.Endpoint, c.net, link.NIC(no))
		if err != nil {
			return nil, fmt.Errorf("hardware: endpoint: %w", err)
		}
		if c.host != nil {
			ep.Share(c.host)
		}
		c.ports = append(c.ports, port{ep, newWorkers(n, int(o.Hardware.Endpoint.WorkerQueue)), processor.NewMemory(o.Hardware.Processor)})
		switch n.Role {
		case wire.RoleCompute:
			x := newCompute(c, n, no)
			c.compute, c.nodes = append(c.compute, x), append(c.nodes, x)
		case wire.RoleMemory:
			x := newMemory(c, n, no)
			c.memory, c.nodes = append(c.memory, x), append(c.nodes, x)
		case wire.RoleStorage:
			x, err := newStorage(c, n, no)
			if err != nil {
				return nil, err
			}
			c.storage, c.nodes = append(c.storage, x), append(c.nodes, x)
		default:
			c.nodes = append(c.nodes, nil)
		}
	}
	c.clock.WhoWaits(c.whoWaits)
	if c.replayed, err = c.replay(o.Placed); err != nil {
		return nil, err
	}
	gm, err := newManagers(c)
	if err != nil {
		return nil, err
	}
	c.gm = gm
	c.enrol()
	c.strike()
	c.follow()
	return c, nil
}

// handlers is how many requests a pComponent or a manager serves at once: whoever waits there holds no processor.
const handlers = 1024

// workers is how many requests a component serves at once.
func (n *Node) workers() int {
	if n.Role == wire.RoleMemory || n.Role == wire.RoleStorage {
		return n.Workers
	}
	return handlers
}

func (o *Options) validate() error {
	var errs []error
	if err := o.Hardware.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("hardware: %w", err))
	}
	if len(o.Nodes) > MaxNodes {
		errs = append(errs, fmt.Errorf("nodes: %d, want at most %d", len(o.Nodes), MaxNodes))
	}
	seen := map[wire.NodeID]bool{}
	for i := range o.Nodes {
		n := &o.Nodes[i]
		if n.ID == "" || seen[n.ID] {
			errs = append(errs, fmt.Errorf("nodes[%d].id: %q, want a name that no other node has", i, n.ID))
		}
		seen[n.ID] = true
		if err := n.validateSlow(); err != nil {
			errs = append(errs, err)
		}
		switch n.Role {
		case wire.RoleManager:
		case wire.RoleCompute:
			if n.Cores < 1 || n.ExCacheBytes < wire.PageSize {
				errs = append(errs, fmt.Errorf("nodes.%s: %d cores and an ExCache of %d bytes, want at least 1 and a page", n.ID, n.Cores, n.ExCacheBytes))
			}
		case wire.RoleMemory:
			if n.MemoryBytes < wire.PageSize || n.Workers < 1 {
				errs = append(errs, fmt.Errorf("nodes.%s: %d bytes of memory and %d workers, want at least a page and 1", n.ID, n.MemoryBytes, n.Workers))
			}
			if err := n.Replica.Validate(); err != nil && n.Replica != (replica.Options{}) {
				errs = append(errs, fmt.Errorf("nodes.%s: %w", n.ID, err))
			}
			if err := n.Erasure.Validate(); err != nil && n.Erasure != (erasure.Options{}) {
				errs = append(errs, fmt.Errorf("nodes.%s: %w", n.ID, err))
			}
		case wire.RoleStorage:
			if n.StorageBytes < wire.PageSize || n.Workers < 1 {
				errs = append(errs, fmt.Errorf("nodes.%s: %d bytes of storage and %d workers, want at least a page and 1", n.ID, n.StorageBytes, n.Workers))
			}
		default:
			errs = append(errs, fmt.Errorf("nodes.%s: role %v, want one of the four", n.ID, n.Role))
		}
	}
	for _, p := range []struct{ key, name string }{{"gpm_policy", o.Managers.GPMPolicy}, {"gmm_policy", o.Managers.GMMPolicy}, {"gsm_policy", o.Managers.GSMPolicy}, {"cache_policy", o.Managers.CachePolicy}} {
		if _, err := placement.New(p.name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.key, err))
		}
	}
	errs = append(errs, o.Raft.validate(), o.validateFaults())
	if err := o.Replication.validate(o.Nodes); err != nil {
		errs = append(errs, err)
	}
	if err := o.Sizes.validate(); err != nil {
		errs = append(errs, err)
	}
	if b := o.Balance; b != nil {
		for _, k := range []struct {
			key string
			o   balance.Options
		}{{"gpm", b.GPM}, {"gmm", b.GMM}, {"homes", b.Homes}, {"gsm", b.GSM}, {"caches", b.Caches}} {
			if err := k.o.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("balance.%s: %w", k.key, err))
			}
		}
	}
	for i := range o.Orders {
		errs = append(errs, o.Orders[i].validate(i, seen))
	}
	if o.MoveTimeout != 0 && (o.MoveTimeout < time.Millisecond || o.MoveTimeout > movelist.MaxTimeoutMS*time.Millisecond) {
		errs = append(errs, fmt.Errorf("move_timeout: %v, want 0 or 1 ms to a day", o.MoveTimeout))
	}
	if o.Quantum < 0 || o.BlockPatience < 0 {
		errs = append(errs, fmt.Errorf("quantum: %v, block_patience: %v, want 0 or more", o.Quantum, o.BlockPatience))
	}
	return errors.Join(errs...)
}

// Now is the moment of the clock.
func (c *Cluster) Now() time.Duration { return c.clock.Now() }

// Events is how many events have run.
func (c *Cluster) Events() uint64 { return c.clock.Events() }

// Go starts a driver.
func (c *Cluster) Go(name string, body func(y *vtime.Proc)) { c.clock.Go(name, body) }

// Run runs until nothing is left to do, or until the moment if it is not 0.
func (c *Cluster) Run(until time.Duration) error {
	return c.clock.Run(vtime.Limits{Until: until})
}

// Limited is Run with all the limits that a clock has.
func (c *Cluster) Limited(l vtime.Limits) error { return c.clock.Run(l) }

// Close ends drivers that have not ended.
func (c *Cluster) Close() { c.clock.Close() }

// after does f at a moment.
func (c *Cluster) at(t time.Duration, f func()) {
	i := c.later.take()
	*c.later.at(i) = f
	c.clock.At(t, c.run, i)
}

func (c *Cluster) after(d time.Duration, f func()) { c.at(c.clock.Now()+d, f) }

// node gives the number of a node by its id.
func (c *Cluster) node(id wire.NodeID) int32 {
	n, ok := c.byID[id]
	if !ok {
		panic(fmt.Sprintf("vcluster: no node %q", id)) // ids come from registered members
	}
	return n
}

// addr is the address of a node: its id, since here nobody dials.
func addr(id wire.NodeID) string { return addrPrefix + string(id) }

const addrPrefix = "virtual:"

// nodeAt gives the number of the node at an address.
func (c *Cluster) nodeAt(at string) (int32, error) {
	id, ok := strings.CutPrefix(at, addrPrefix)
	if no, known := c.byID[wire.NodeID(id)]; ok && known {
		return no, nil
	}
	return 0, wire.Errorf(wire.KindUnavailable, "no node is at %q", at)
}

// retries gives the chance by which requests that are sent again pause.
func (c *Cluster) retries() *rand.Rand {
	if c.pauses == nil {
		c.pauses = vtime.Stream(c.o.Seed, "retries", 0)
	}
	return c.pauses
}

// whoWaits names requests without an answer. Those that a node had when it was killed wait for nobody: who asked hears that it is gone.
func (c *Cluster) whoWaits(report func(who, what string)) {
	for _, m := range c.memory {
		if !c.lives[m.no].down {
			m.whoWaits(report)
		}
	}
	for _, s := range c.storage {
		if !c.lives[s.no].down {
			s.whoWaits(report)
		}
	}
}

// slab is rows that are numbered and used again.
type slab[T any] struct {
	rows []T
	none []uint32
}

func (s *slab[T]) take() uint32 {
	if n := len(s.none); n > 0 {
		i := s.none[n-1]
		s.none = s.none[:n-1]
		return i
	}
	var zero T
	s.rows = append(s.rows, zero)
	return uint32(len(s.rows) - 1)
}

// at gives a row; it is valid until the next take.
func (s *slab[T]) at(i uint32) *T { return &s.rows[i] }

func (s *slab[T]) free(i uint32) {
	var zero T
	s.rows[i] = zero
	s.none = append(s.none, i)
}
