package node

import (
	"sync"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/blockdev"
)

// faults is what goes wrong at this node on purpose.
type faults struct {
	net  *netlayer.Faults
	disk *blockdev.Faulty // of an sComponent

	mu sync.Mutex // so that net and disk are of one request
}

// newFaults makes those of a process; its peers and its server get them from its configuration.
func newFaults(cfg *Config) *faults {
	nodes := map[netlayer.Addr]wire.NodeID{}
	for _, p := range cfg.Peers {
		nodes[netlayer.Addr(p.Addr)] = p.ID
	}
	cfg.faults = netlayer.NewFaults(cfg.Node.ID, nodes)
	return &faults{net: cfg.faults}
}

// set has all that a request says go wrong from now on.
func (f *faults) set(q wire.FaultReq) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.net.Set(q) || f.disk == nil {
		return
	}
	ill := blockdev.Ill{Times: float64(q.Disk.Times) / 1000, Add: time.Duration(q.Disk.AddNS)}
	if q.Disk.Full { // the checksums of a block have their place from the beginning
		ill.Full, ill.FullSuffix = true, ".img"
	}
	f.disk.SetIll(ill)
}

// bounds of what is asked for.
const (
	maxFaultDelay = 10 * time.Second
	maxFaultTimes = 1_000_000
)

// check refuses what the language of faults cannot say.
func (f *faults) check(q *wire.FaultReq) error {
	if len(q.Links) > wire.MaxLinkFaults {
		return wire.Errorf(wire.KindBadRequest, "%v: %d links, at most %d", wire.OpFault, len(q.Links), wire.MaxLinkFaults)
	}
	for _, l := range q.Links {
		if max(l.Lose, l.Duplicate, l.Reorder) > wire.Million || min(l.DelayNS, l.JitterNS, l.LateNS) < 0 || max(l.DelayNS, l.JitterNS, l.LateNS) > int64(maxFaultDelay) {
			return wire.Errorf(wire.KindBadRequest, "%v: the link to %q: %+v, want shares of at most a million and times of 0 to %v", wire.OpFault, l.To, l, maxFaultDelay)
		}
	}
	d := q.Disk
	if d.Times > maxFaultTimes || d.AddNS < 0 || d.AddNS > int64(maxFaultDelay) {
		return wire.Errorf(wire.KindBadRequest, "%v: the disk: %+v, want at most %d thousandths and 0 to %v", wire.OpFault, d, maxFaultTimes, maxFaultDelay)
	}
	if f.disk == nil && d != (wire.DiskFault{}) {
		return wire.Errorf(wire.KindBadRequest, "%v: this node has no disk", wire.OpFault)
	}
	return nil
}

// serve answers OpFault. Components do not inject faults into each other: only clients, who have the token, may.
func (f *faults) serve(req *netlayer.Request, rep *netlayer.Reply) error {
	if req.From.Role != wire.RoleClient {
		return wire.Errorf(wire.KindBadRequest, "%v from a %v, want a client", wire.OpFault, req.From.Role)
	}
	var q wire.FaultReq
	if err := wire.Unmarshal(req.Body, &q); err != nil {
		return err
	}
	if err := f.check(&q); err != nil {
		return err
	}
	f.set(q)
	rep.SetControl(f.counts())
	return nil
}

func (f *faults) counts() wire.FaultRep {
	r := f.net.Counts()
	if f.disk != nil {
		r.Slowed, r.Refused = f.disk.Suffered()
	}
	return r
}

// kind is how often something was done wrong on purpose.
type kind struct {
	name string
	n    uint64
}

func (f *faults) kinds() []kind {
	r := f.counts()
	return []kind{
		{"disk_refused", r.Refused}, {"disk_slowed", r.Slowed}, {"frames_delayed", r.Delayed}, {"frames_dropped", r.Dropped},
		{"frames_duplicated", r.Duplicated}, {"frames_lost", r.Lost}, {"frames_reordered", r.Reordered},
	}
}

// counters are those that are not 0.
func (f *faults) counters() (out []wire.Counter) {
	for _, k := range f.kinds() {
		if k.n > 0 {
			out = append(out, wire.Counter{Name: "fault_" + k.name, Value: float64(k.n)})
		}
	}
	return out
}
