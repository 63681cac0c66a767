package record

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/moves"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/gmanagers/repair"
	"splitkernel/gmanagers/restart"
	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/cachemove"
	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/recovery"
	memreplica "splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/session"
	"splitkernel/netlayer/tape"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/handover"
	"splitkernel/scomponent/iosched"
	volumemove "splitkernel/scomponent/migrate"
	quorum "splitkernel/scomponent/replica"
	"splitkernel/scomponent/volume"
)

// Accesses are those of a recorded process, by thread. io.EOF comes after the last of a thread.
type Accesses interface {
	Next(thread int) (page uint64, write bool, err error)
	// Skip passes over as many accesses of each thread as made says, before the first Next.
	Skip(made []uint64) error
	Close() error
}

// ErrOther is wrapped by ExecuteOptions.Accesses for a process whose program is not known, because it was of another run on the same
// cluster: its core is passed over.
var ErrOther = errors.New("the process is of another run")

// ExecuteOptions say how to re-execute a tape.
type ExecuteOptions struct {
	// Accesses gives those of a process by what its driver wrote on the tape. The caller of Execute need not close them.
	Accesses func(program []byte) (Accesses, error)
	// MaxBytes bounds the memory that the cores of a tape may take at a time, about; 0 is DefaultMaxMemory. It is what a tape says that is
	// bounded, before it is believed.
	MaxBytes int64
	// Until stops after this event; events are the records of the tape, from 1 on, those that have been deleted included. 0 is all.
	Until uint64

	memory *memory
}

// DefaultMaxMemory is enough for an ExCache of MaxLines and a page store of MaxGroups.
const DefaultMaxMemory = 4 << 30

// What cores take, in bytes, about.
const (
	lineBytes  = 64 // of an ExCache, its index and its policy included
	groupBytes = 24 // of a page store
)

// memory is what cores may still take.
type memory struct{ left int64 }

func (m *memory) take(n int64) error {
	if n > m.left {
		return fmt.Errorf("a core that takes about %d bytes of memory, %d are left", n, m.left)
	}
	m.left -= n
	return nil
}

// Result is what a re-execution came to.
type Result struct {
	Head    Head
	Before  uint64 // events in segments that have been deleted
	Skipped uint64 // events of cores before their first state, of a tape whose beginning has been deleted, and of processes of other runs
	Events  uint64 // number of the last event; all but Before and Skipped were fed, and verified
	States  uint64 // that cores had when the tape says so
	Effects uint64 // effects that were the recorded ones
	Hits    uint64 // accesses that hit, between inputs
	Cores   []CoreResult
	Last    string // the last event
	Ended   *End   // nil: the node was killed, or Until came first
	Stopped bool   // by Until
}

// CoreResult is one core of a tape.
type CoreResult struct {
	Number uint64
	Kind   string
	Name   string
	From   uint64 // its events before it goes on at a state
	Events uint64 // its events after that
	Ended  bool   // its tape goes to its end
	State  string
}

// core is a core that is re-executed.
type core interface {
	name() string
	// apply feeds one record and compares. It says what the record was, as far as it can be read.
	apply(b []byte) (what string, effects int, hits uint64, err error)
	ended() bool
	state() string
	// restore makes the core, of which nothing but the head is known yet, what it was when its state was written.
	restore(state []byte) error
	// snapshot encodes the state as it is written.
	snapshot() []byte
	close() error
}

// taped is a core of the tape that is re-executed.
type taped struct {
	core
	at int // in Result.Cores
}

// ctxEvery is how many events pass between two looks at the context.
const ctxEvery = 1 << 12

// Execute re-executes the tape of a node. The error says at which event a core did not do what it did live, or what is wrong
// with the file, by its offset; the result is as far as it came, also with an error.
func Execute(ctx context.Context, path string, o ExecuteOptions) (res *Result, err error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	o.memory = &memory{cmp.Or(o.MaxBytes, DefaultMaxMemory)}
	res = &Result{Head: r.Head, Before: r.Head.Records, Events: r.Head.Records}
	if o.Until > 0 && o.Until <= res.Before {
		return res, fmt.Errorf("%s: event %d has been deleted, the tape begins with event %d", path, o.Until, res.Before+1)
	}
	cores := map[uint64]taped{}
	defer func() {
		for i := range res.Cores {
			c := cores[res.Cores[i].Number]
			res.Cores[i].Ended, res.Cores[i].State = c.ended(), c.state()
			err = errors.Join(err, c.close())
		}
	}()
	for n := 0; ; n++ {
		if n%ctxEvery == 0 && ctx.Err() != nil {
			return res, context.Cause(ctx)
		}
		if o.Until > 0 && res.Events == o.Until {
			res.Stopped = true
			return res, nil
		}
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return res, fmt.Errorf("after event %d: %w", res.Events, err)
		}
		if err := res.step(cores, &rec, &o); err != nil {
			return res, err
		}
	}
	res.Ended = r.Ended()
	if e := res.Ended; e != nil && e.Records != res.Events {
		return res, fmt.Errorf("%s: it ends with %d records, and says that it has %d", path, res.Events, e.Records)
	}
	return res, nil
}

// step feeds one record.
func (res *Result) step(cores map[uint64]taped, rec *Record, o *ExecuteOptions) error {
	event := res.Events + 1
	at := func(what string, err error) error {
		return fmt.Errorf("%s: byte %d: event %d: core %d: %s: %w", rec.Path, rec.Offset, event, rec.Core, what, err)
	}
	c, known := cores[rec.Core]
	switch {
	case rec.Begins:
		c, err := begin(rec.Kind, rec.Data, o)
		if errors.Is(err, ErrOther) {
			cores[rec.Core] = taped{at: -1}
			res.Events++
			res.Skipped++
			return nil
		}
		if err != nil {
			return at("begin "+rec.Kind, err)
		}
		res.enter(cores, rec, c)
		res.Events++
		res.Last = "begin " + c.name()
		return nil
	case rec.State && known && c.at < 0:
		return nil
	case rec.State:
		event = res.Events // it is behind it
		return res.atState(cores, rec, o, at)
	case known && c.at < 0, !known && rec.Core <= res.Head.Cores: // the latter began in a segment that has been deleted, and its state comes
		res.Events++
		res.Skipped++
		return nil
	}
	what, effects, hits, err := c.apply(rec.Data)
	res.Hits += hits
	if err != nil {
		return at(c.name()+": "+what, err)
	}
	res.Last = c.name() + ": " + what
	res.Events++
	res.Cores[c.at].Events++
	res.Effects += uint64(effects)
	return nil
}

// atState comes to the state of a core: it goes on there, or it must be in that state.
func (res *Result) atState(cores map[uint64]taped, rec *Record, o *ExecuteOptions, at func(string, error) error) error {
	if c, ok := cores[rec.Core]; ok {
		r := &res.Cores[c.at]
		if n := r.From + r.Events; n != rec.Events {
			return at(c.name(), fmt.Errorf("its state is behind event %d of the core, and it has had %d", rec.Events, n))
		}
		if got := c.snapshot(); !bytes.Equal(got, rec.Data) {
			return at(c.name(), fmt.Errorf("its state has %d bytes with checksum %08x, recorded were %d with %08x", len(got), tape.SumOf(got), len(rec.Data), tape.SumOf(rec.Data)))
		}
		res.States++
		return nil
	}
	c, err := begin(rec.Kind, rec.Head, o)
	if errors.Is(err, ErrOther) {
		cores[rec.Core] = taped{at: -1}
		return nil
	}
	if err != nil {
		return at("go on with "+rec.Kind, err)
	}
	res.enter(cores, rec, c)
	if perr := calling(func() { err = c.restore(rec.Data) }); perr != nil {
		err = perr
	}
	if err == nil && !bytes.Equal(c.snapshot(), rec.Data) {
		err = errors.New("what was restored from its state has another state")
	}
	if err != nil {
		return at("state of "+c.name(), err)
	}
	res.States++
	return nil
}

// enter adds a core.
func (res *Result) enter(cores map[uint64]taped, rec *Record, c core) {
	meet(c, cores)
	cores[rec.Core] = taped{c, len(res.Cores)}
	res.Cores = append(res.Cores, CoreResult{Number: rec.Core, Kind: rec.Kind, Name: c.name(), From: rec.Events})
}

// begin makes a core anew.
func begin(kind string, head []byte, o *ExecuteOptions) (core, error) {
	switch kind {
	case fault.TapeKind:
		return newFault(head, o)
	case pagestore.TapeKind:
		return newStore(head, o)
	case vregion.OwnersTapeKind:
		return newOwners(head)
	case vregion.HomeTapeKind:
		return newHome(head, o)
	case migrate.TakerTapeKind:
		return newTaker(head)
	case migrate.GiverTapeKind:
		return newGiver(head, o)
	case memreplica.PrimaryTapeKind:
		return newPrimary(head)
	case memreplica.HolderTapeKind:
		return newHolder(head)
	case erasure.TapeKind:
		return newErasure(head)
	case recovery.TapeKind:
		return newRecovery(head, o)
	case cachemove.TapeKind:
		return newCacheMove(head)
	case buffercache.TapeKind:
		return newCache(head)
	case "gmanagers/gpm":
		return &stateCore{kind: kind, s: gpm.New()}, nil
	case "gmanagers/gmm":
		return &stateCore{kind: kind, s: gmm.New()}, nil
	case "gmanagers/gsm":
		return &stateCore{kind: kind, s: gsm.New()}, nil
	case volume.TapeKind:
		return newVolume(head, o)
	case iosched.TapeKind:
		return newIOSched(head)
	case quorum.TapeKind:
		return newReplicas(head)
	case volumemove.GiverTapeKind:
		return newVolumeGiver(head, o)
	case volumemove.TakerTapeKind:
		return newVolumeTaker(head)
	case admission.TapeKind:
		return newCoordinator(head)
	case admission.InquirerTapeKind:
		return newInquirer(head)
	case membership.ProberTapeKind:
		return newProber(head)
	case moves.TapeKind:
		return newMover(head)
	case redundancy.TapeKind:
		return newRebuilder(head)
	case restart.TapeKind:
		return newBringer(head)
	case repair.TapeKind:
		return newRepairer(head)
	case balance.TapeKind:
		return newBalancer(head)
	case checkpoint.KeeperTapeKind:
		return newKeeper(head)
	case checkpoint.RestorerTapeKind:
		return newRestorer(head)
	case handover.GiverTapeKind:
		return newProcessGiver(head)
	case handover.TakerTapeKind:
		return newProcessTaker(head)
	case session.TapeKind:
		return newSession(head)
	}
	return nil, errors.New("this version does not know such a core")
}

// calling runs f, and gives a panic of a core as an error: its input cannot have come in the state that it is in.
func calling(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the core panics: %v", r)
		}
	}()
	f()
	return nil
}

// differ says how effects differ; nil if they do not.
func differ[K interface {
	comparable
	fmt.Stringer
}](got, want []K, gotSum, wantSum uint32) error {
	switch {
	case !slices.Equal(got, want):
		return fmt.Errorf("its effects are %v, recorded were %v", got, want)
	case gotSum != wantSum:
		return fmt.Errorf("its effects %v are of the recorded kinds, with other fields (checksum %08x, recorded %08x)", got, gotSum, wantSum)
	}
	return nil
}
