package record

import (
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
	"splitkernel/mcomponent/pagestore"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/handover"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// Accesses are those of a recorded process, by thread. io.EOF comes after the last of a thread.
type Accesses interface {
	Next(thread int) (page uint64, write bool, err error)
	Close() error
}

// ExecuteOptions say how to re-execute a tape.
type ExecuteOptions struct {
	// Accesses gives those of a process by what its driver wrote on the tape. The caller of Execute need not close them.
	Accesses func(program []byte) (Accesses, error)
	// Until stops after so many events, which are the records of the tape from 1 on; 0 is all.
	Until uint64
}

// Result is what a re-execution came to.
type Result struct {
	Head    Head
	Events  uint64 // inputs that were fed, and verified
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
	Events uint64
	Ended  bool // its tape goes to its end
	State  string
}

// core is a core that is re-executed.
type core interface {
	name() string
	// apply feeds one record and compares. It says what the record was, as far as it can be read.
	apply(b []byte) (what string, effects int, hits uint64, err error)
	ended() bool
	state() string
	close() error
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
	res = &Result{Head: r.Head}
	var cores []core
	defer func() {
		for i, c := range cores {
			res.Cores[i].Ended, res.Cores[i].State = c.ended(), c.state()
			err = errors.Join(err, c.close())
		}
	}()
	for {
		if res.Events%ctxEvery == 0 && ctx.Err() != nil {
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
		at := func(what string, err error) error {
			return fmt.Errorf("%s: byte %d: event %d: core %d: %s: %w", path, rec.Offset, res.Events+1, rec.Core, what, err)
		}
		if rec.Begins {
			c, err := begin(rec, &o)
			if err != nil {
				return res, at("begin "+rec.Kind, err)
			}
			cores = append(cores, c)
			res.Cores = append(res.Cores, CoreResult{Number: rec.Core, Kind: rec.Kind, Name: c.name()})
			res.Events++
			res.Last = "begin " + c.name()
			continue
		}
		c := cores[rec.Core-1]
		what, effects, hits, err := c.apply(rec.Data)
		res.Hits += hits
		if err != nil {
			return res, at(c.name()+": "+what, err)
		}
		res.Last = c.name() + ": " + what
		res.Events++
		res.Cores[rec.Core-1].Events++
		res.Effects += uint64(effects)
	}
	res.Ended = r.Ended()
	if e := res.Ended; e != nil && e.Records != res.Events {
		return res, fmt.Errorf("%s: it ends with %d records, and says that it has %d", path, res.Events, e.Records)
	}
	return res, nil
}

// begin makes a core anew.
func begin(rec Record, o *ExecuteOptions) (core, error) {
	switch rec.Kind {
	case fault.TapeKind:
		return newFault(rec.Data, o)
	case pagestore.TapeKind:
		return newStore(rec.Data)
	case "gmanagers/gpm":
		return &stateCore{kind: rec.Kind, s: gpm.New()}, nil
	case "gmanagers/gmm":
		return &stateCore{kind: rec.Kind, s: gmm.New()}, nil
	case "gmanagers/gsm":
		return &stateCore{kind: rec.Kind, s: gsm.New()}, nil
	case volume.TapeKind:
		return newVolume(rec.Data)
	case iosched.TapeKind:
		return newIOSched(rec.Data)
	case migrate.GiverTapeKind:
		return newVolumeGiver(rec.Data)
	case migrate.TakerTapeKind:
		return newVolumeTaker(rec.Data)
	case admission.TapeKind:
		return newCoordinator(rec.Data)
	case admission.InquirerTapeKind:
		return newInquirer(rec.Data)
	case membership.ProberTapeKind:
		return newProber(rec.Data)
	case moves.TapeKind:
		return newMover(rec.Data)
	case balance.TapeKind:
		return newBalancer(rec.Data)
	case handover.GiverTapeKind:
		return newGiver(rec.Data)
	case handover.TakerTapeKind:
		return newTaker(rec.Data)
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
