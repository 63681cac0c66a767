package gmanagers

import (
	crand "crypto/rand"
	"encoding/binary"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/moves"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/gmanagers/repair"
	"splitkernel/gmanagers/restart"
	"splitkernel/netlayer/wire"
)

// What a leader decides by has a tape for each term of leadership, if Options.Recorder is set; so have the states, below raftsm.
// Records are made by whoever calls the core, under its lock or as its only goroutine: driver.mu, vigil.mu, mover.run,
// rebuilder.run, keeper.run, balancer.run.

func (m *Managers) coordinatorCore() *admission.Taped {
	var b [8]byte
	crand.Read(b[:]) // never fails (crypto/rand)
	head := admission.TapeHead{ID: binary.LittleEndian.Uint64(b[:]), Grace: patience}
	t := &admission.Taped{Coordinator: head.New()}
	t.Record(m.o.Recorder, t.Coordinator, admission.TapeKind, &head)
	return t
}

func (m *Managers) inquirerCore(g wire.Manager) *admission.TapedInquirer {
	head := admission.InquirerHead{Of: g, Patience: patience}
	t := &admission.TapedInquirer{Inquirer: head.New()}
	t.Record(m.o.Recorder, t.Inquirer, admission.InquirerTapeKind, &head)
	return t
}

func (m *Managers) proberCore(g wire.Manager) *membership.TapedProber {
	head := membership.ProberHead{Of: g, Lease: ms(m.o.LeaseMS), Patience: membership.Patience(ms(m.o.ProbeMS))}
	t := &membership.TapedProber{Prober: head.New()}
	t.Record(m.o.Recorder, t.Prober, membership.ProberTapeKind, &head)
	return t
}

func (m *Managers) moverCore(g wire.Manager) *moves.Taped {
	t := &moves.Taped{Mover: moves.New()}
	t.Record(m.o.Recorder, t.Mover, moves.TapeKind, &moves.TapeHead{Of: g})
	return t
}

func (m *Managers) redundancyCore() *redundancy.Taped {
	t := &redundancy.Taped{Driver: redundancy.New()}
	t.Record(m.o.Recorder, t.Driver, redundancy.TapeKind, &redundancy.TapeHead{Of: wire.GMM})
	return t
}

func (m *Managers) restartCore() *restart.Taped {
	t := &restart.Taped{Driver: restart.New()}
	t.Record(m.o.Recorder, t.Driver, restart.TapeKind, &restart.TapeHead{Of: wire.GPM})
	return t
}

func (m *Managers) repairCore() *repair.Taped {
	head := repair.TapeHead{Of: wire.GSM, ReplaceAfter: ms(m.o.ReplaceAfterMS)}
	t := &repair.Taped{Keeper: head.New()}
	t.Record(m.o.Recorder, t.Keeper, repair.TapeKind, &head)
	return t
}

func (m *Managers) balancerCore(k wire.MoveKind, o balance.Options, resource, policy string) *balance.Taped {
	head := balance.TapeHead{Kind: k, Options: o, Resource: resource, Policy: policy}
	t, err := head.New()
	if err != nil {
		panic(err) // Options.Validate has seen it
	}
	t.Record(m.o.Recorder, t, balance.TapeKind, &head)
	return t
}
