// Package restart has processes go on from checkpoints whose pComponent was lost: which of them, when, where they are sent, and what the
// pComponent that takes one is told. The work itself is that pComponent's (pcomponent/checkpoint): it reads the checkpoint, and only who
// has read it knows to what owners and volumes go back.
//
// It sends nothing and changes no book; GPM's books say who is to be restarted, so another leader goes on where one ended. Pure: no
// goroutines, no locks, no clock, no I/O. Called by the leader of GPM, live (package gmanagers) and in virtual time.
//
//	for _, e := range driver.Look(stranded) {   // a few times a second, while it leads; each leader has a driver of its own
//		go perform(e)
//	}
//	perform(e): wait for e.After; do what e says; for each of driver.Done(e, outcome): perform
package restart

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/netlayer/wire"
)

const (
	// MaxUnder bounds the processes that are looked after at a time.
	MaxUnder = 64
	// PollInterval is how often a pComponent is asked how far a restart is.
	PollInterval = 20 * time.Millisecond
	// RetryInterval is the pause before what failed is tried again.
	RetryInterval = 250 * time.Millisecond
	// MaxMissing bounds how often the books are looked at in vain for what a restart needs, 30 s in all: a home that moves or is recovered is there before. Then the
	// process is given up by name.
	MaxMissing = 120
)

// Kind says what is to be done.
type Kind uint8

// The effects. Each is answered with Done.
const (
	Place  Kind = 1 // propose a restart (gpm.OpRestart): Err
	Order  Kind = 2 // send process_restart to Process.Node: Err, or Rep
	Report Kind = 3 // propose how it ended (gpm.OpRestarted): Err
)

var kindNames = []string{"none", "place", "order", "report"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("effect %d", uint8(k))
}

// Effect is one thing to do, After a pause.
type Effect struct {
	Kind    Kind
	Call    uint64 // numbers effects: an answer to another than the last of its process is late, and nothing
	After   time.Duration
	Process gpm.Process
	Failed  bool // of Report
	Text    string
	Missing int // of Order, how often the books lacked something
}

// Outcome is what came of it.
type Outcome struct {
	Err     error
	Rep     wire.RestartRep
	Missing bool // Err is of Request: nothing was sent, as the books lack something
}

// Stranded is a process that does not run, by the books.
type Stranded struct {
	Process gpm.Process
	Current bool // its pComponent lives, as when the process was placed there
}

// Driver says what a leader of GPM does. Make one with New; it is not safe for concurrent use.
type Driver struct {
	under   map[wire.PID]Effect // what is done for a process; ranged over in order only
	numbers uint64
}

// New makes the driver of a leader.
func New() *Driver { return &Driver{under: map[wire.PID]Effect{}} }

// Look takes the processes that are stranded now, and returns what begins.
func (d *Driver) Look(stranded []Stranded) (out []Effect) {
	for i := range stranded {
		s := &stranded[i]
		if len(d.under) >= MaxUnder {
			break
		}
		if _, ok := d.under[s.Process.PID]; ok {
			continue
		}
		kind := Place
		if s.Process.Restarting && s.Current {
			kind = Order
		}
		out = append(out, d.begin(Effect{Kind: kind, Process: s.Process}))
	}
	return out
}

// begin numbers an effect, which is what is done for its process from now on.
func (d *Driver) begin(e Effect) Effect {
	d.numbers++
	e.Call = d.numbers
	d.under[e.Process.PID] = e
	return e
}

// Done takes what came of an effect, and returns what follows. Nothing follows when the books have to be looked at again.
func (d *Driver) Done(pid wire.PID, call uint64, o Outcome) []Effect {
	e, ok := d.under[pid]
	switch {
	case !ok || e.Call != call:
		return nil // late: something else is done for it, or nothing
	case e.Kind == Order && o.Err != nil && o.Missing:
		if e.After, e.Missing = 0, e.Missing+1; e.Missing >= MaxMissing {
			e.Kind, e.Failed, e.Text = Report, true, o.Err.Error()
		}
		return []Effect{d.begin(e)}
	case e.Kind == Order && o.Err == nil && o.Rep.State == wire.RestartUnder:
		e.After = PollInterval
		return []Effect{d.begin(e)}
	case e.Kind == Order && o.Err == nil:
		e.Kind, e.After, e.Failed = Report, 0, o.Rep.State == wire.RestartFailed
		switch e.Text = o.Rep.Text; o.Rep.State {
		case wire.RestartRunning:
			e.Text = fmt.Sprintf("from checkpoint %d, of %d accesses", o.Rep.Cut.Number, o.Rep.Done)
		case wire.RestartEmpty, wire.RestartFailed:
		default:
			e.Failed, e.Text = true, fmt.Sprintf("%s answers with state %d", e.Process.Node, o.Rep.State)
		}
		return []Effect{d.begin(e)}
	}
	delete(d.under, pid)
	return nil
}

// Request is what the pComponent is told. The error says what is missing in the books; it may be there a little later. If it is not, the process is lost
// by that name.
func Request(p gpm.Process, homes []gmm.Process, volumes []gsm.Volume, addr func(wire.NodeID) string) (q wire.RestartReq, err error) {
	q = wire.RestartReq{PID: p.PID, Epoch: p.Epoch}
	if len(homes) != 1 {
		return q, wire.Errorf(wire.KindNotFound, "process %d has %d homes in the books of GMM, want one", p.PID, len(homes))
	}
	h := homes[0]
	q.Home = wire.Owner{Node: h.Home, Addr: addr(h.Home), Epoch: h.HomeEpoch, Member: h.HomeMember()}
	if q.Home.Addr == "" {
		return q, wire.Errorf(wire.KindUnavailable, "the home of process %d, %s, is lost: it is not alive, and nobody has taken it over", p.PID, h.Home)
	}
	for _, w := range p.Volumes {
		found := false
		for _, v := range volumes {
			if found = v.Volume == w.Volume; found {
				at := v.Place(addr)
				a := at.Attach("")
				q.Volumes = append(q.Volumes, wire.RestartVolume{
					Volume: v.Volume, Epoch: v.Epoch, SizeBytes: v.SizeBytes, Storage: v.Storage, StorageAddr: addr(v.Storage), Cache: v.Cache, CacheAddr: addr(v.Cache),
					Replicas: a.Replicas, Config: a.Config, WriteQuorum: a.WriteQuorum, ReadQuorum: a.ReadQuorum, Through: a.Through,
				})
				break
			}
		}
		if !found {
			return q, wire.Errorf(wire.KindNotFound, "volume %d of process %d is not in the books of GSM", w.Volume, p.PID)
		}
	}
	return q, nil
}

// CheckInvariants returns the first broken rule.
func (d *Driver) CheckInvariants() error {
	if len(d.under) > MaxUnder {
		return fmt.Errorf("restart: %d processes are looked after at a time, at most %d", len(d.under), MaxUnder)
	}
	for _, pid := range slices.Sorted(maps.Keys(d.under)) {
		if e := d.under[pid]; e.Process.PID != pid || e.Call == 0 || e.Call > d.numbers || e.Kind < Place || e.Kind > Report {
			return fmt.Errorf("restart: process %d waits for call %d of process %d, %v; the last call was %d", pid, e.Call, e.Process.PID, e.Kind, d.numbers)
		}
	}
	return nil
}
