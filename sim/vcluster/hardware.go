package vcluster

import (
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/units"
)

// Hardware is what the cluster is made of: the costs of what its components do.
type Hardware interface {
	// Of a thread at a pComponent.
	Instruction() units.Picos      // one instruction, all memory at hand
	Reference() units.Picos        // what an access that hits costs beside its instructions
	Trap() units.Picos             // from the access to the fault handler
	Fill() units.Picos             // mapping a line that has come
	ZeroFill() units.Picos         // making a line of zeros and mapping it
	Evict(threads int) units.Picos // taking a mapping away from so many processors
	LocalFault() units.Picos       // a first touch on a machine that has all its memory

	// Of a message, at the processor of who sends and of who receives it, in bytes with its header.
	Post(bytes int) time.Duration
	Receive(bytes int) time.Duration

	// Of an mComponent.
	Polls() bool
	Poll(bytes int) units.Picos
	Serve(op wire.Op, bytes int) units.Picos

	// Of an sComponent.
	StorageWorkers() int
	ServeStorage(op wire.Op, bytes int) units.Picos
	Device(seed, index uint64) Device

	// Links makes the network between so many nodes.
	Links(nodes int, seed uint64) Links

	// Commit is how long a quorum of managers takes to have a command of so many bytes in its logs.
	Commit(bytes int) time.Duration
}

// Links is a network between numbered nodes.
type Links interface {
	// Send gives when a message arrives that is handed to its sender's NIC at a moment. Calls of one sender are in order.
	Send(at time.Duration, from, to, bytes int) (arrives time.Duration)
}

// DeviceOp is an operation of a device.
type DeviceOp uint8

// The operations.
const (
	DeviceRead  DeviceOp = 1
	DeviceWrite DeviceOp = 2
	DeviceFlush DeviceOp = 3
)

// Device is a disk.
type Device interface {
	// Serve gives when an operation ends that begins to wait now. Calls are in order.
	Serve(now time.Duration, op DeviceOp, offset uint64, bytes int) (ends time.Duration)
}
