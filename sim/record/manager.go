package record

import (
	"fmt"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/moves"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/gmanagers/repair"
	"splitkernel/gmanagers/restart"
	"splitkernel/netlayer/wire"
)

// The cores of a manager that leads, beside its state. Each term of leadership has its own.

func newCoordinator(head []byte) (core, error) {
	h, err := headed[admission.TapeHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("coordinator %016x of admissions", h.ID), h.New(), nil)
}

func newInquirer(head []byte) (core, error) {
	h, err := headed[admission.InquirerHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("inquirer of %v", h.Of), h.New(), nil)
}

func newProber(head []byte) (core, error) {
	h, err := headed[membership.ProberHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("prober of %v", h.Of), h.New(), nil)
}

func newMover(head []byte) (core, error) {
	h, err := headed[moves.TapeHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("mover of %v", h.Of), moves.New(), nil)
}

func newRebuilder(head []byte) (core, error) {
	h, err := headed[redundancy.TapeHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("rebuilder of %v", h.Of), redundancy.New(), nil)
}

func newBringer(head []byte) (core, error) {
	h, err := headed[restart.TapeHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("restarts of %v", h.Of), restart.New(), nil)
}

func newRepairer(head []byte) (core, error) {
	h, err := headed[repair.TapeHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("keeper of %v", h.Of), h.New(), nil)
}

func newBalancer(head []byte) (core, error) {
	h, err := headed[balance.TapeHead](head)
	if err != nil {
		return nil, err
	}
	b, err := h.New()
	if err == nil && (h.Kind < wire.MoveRegion || h.Kind > wire.MoveCache) {
		err = fmt.Errorf("a balancer of kind %d", h.Kind)
	}
	return newCalled(fmt.Sprintf("balancer of each %v", h.Kind), b, err)
}
