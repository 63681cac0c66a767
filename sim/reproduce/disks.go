package reproduce

import (
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/device"
	"splitkernel/sim/fifo"
	"splitkernel/sim/hardware"
	"splitkernel/sim/hardware/processor"
	"splitkernel/sim/vtime"
)

// baseline is what a Linux swaps to.
type baseline struct {
	Name   string
	Source string
	// adapts says that the kernel's window of read-ahead follows its hits, as since Linux 3.14; before, it is always the largest.
	adapts bool
	// make gives what reads and what writes.
	make func(h *hardware.Hardware) (read, write transfer, err error)
}

// transfer says when the processor that gives a request for some pages from a slot goes on, and when the request is done.
type transfer = func(now time.Duration, slot, pages int) (given, done time.Duration)

// Leap (ATC'20, Figure 1) measures what Linux's block layer takes when a page is read from remote memory.
const (
	// leapRequest is to make a request.
	leapRequest = 10_040 * time.Nanosecond
	// leapQueue is to insert it in a queue, merge, sort, stage and dispatch it.
	leapQueue = 21_880 * time.Nanosecond
)

// disks are the three baselines.
var disks = []baseline{
	{"Linux swap to NVMe", "the drive of the hardware profile, whose latencies have the block layer in them", true, func(h *hardware.Hardware) (transfer, transfer, error) {
		d, err := device.New(h.Device, vtime.Stream(1, "swap", 0))
		if err != nil {
			return nil, nil, err
		}
		do := func(op device.Op) transfer {
			return func(now time.Duration, slot, pages int) (time.Duration, time.Duration) {
				return now, d.Do(now, op, uint64(slot)*wire.PageSize, uint64(pages)*wire.PageSize)
			}
		}
		return do(device.Read), do(device.Write), nil
	}},
	{"Linux swap to ramdisk", "a copy by the processor: brd of Linux 4.9 has no request queue, so each page is a request of its own; 10.04 µs to make one that reads (Leap, ATC'20)", true, func(h *hardware.Hardware) (transfer, transfer, error) {
		m := processor.NewMemory(h.Processor)
		copies := func(now time.Duration, _, pages int) (time.Duration, time.Duration) {
			end := m.Move(now, uint64(pages)*wire.PageSize)
			return end, end
		}
		read := func(now time.Duration, slot, pages int) (time.Duration, time.Duration) {
			end, _ := copies(now, slot, pages)
			end += time.Duration(pages) * leapRequest
			return end, end
		}
		return read, copies, nil
	}},
	{"InfiniSwap", "InfiniSwap, NSDI'17, and its source (revision da7c14b): a block device over one-sided RDMA, with a copy to or from a buffer of the network card; 31.92 µs in the block layer (Leap, ATC'20); Linux 3.13.1 (test notes of LegoOS's authors, lastweek.github.io/lego/log/test-note), whose read-ahead does not adapt", false, func(h *hardware.Hardware) (transfer, transfer, error) {
		// One NIC, each way a queue; the other side has no processor.
		in, out, memory := fifo.New(1), fifo.New(1), processor.NewMemory(h.Processor)
		over := func(nic *fifo.Server, now time.Duration, size uint64) time.Duration {
			_, sent := nic.Serve(now, h.Link.Bandwidth.Cost(size))
			rest := h.Endpoint.Post + h.Link.Transfer(size) - h.Link.Bandwidth.Cost(size) + h.Link.Latency + h.Endpoint.Poll + h.Endpoint.HandOff
			return sent + leapRequest + leapQueue + rest.Duration()
		}
		read := func(now time.Duration, _, pages int) (time.Duration, time.Duration) {
			size := uint64(pages) * wire.PageSize
			return now, over(in, now, size) + h.Processor.Move(size).Duration()
		}
		write := func(now time.Duration, _, pages int) (time.Duration, time.Duration) {
			size := uint64(pages) * wire.PageSize
			copied := memory.Move(now, size)
			return copied, over(out, now, size) + copied - now
		}
		return read, write, nil
	}},
}
