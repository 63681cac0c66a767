package fit

import (
	"fmt"

	"splitkernel/scomponent/device"
	"splitkernel/sim/hardware"
	"splitkernel/sim/hardware/processor"
	"splitkernel/sim/vtime"
)

// Fitted runs every microbenchmark that the profile is fitted to.
func Fitted(h *hardware.Hardware) ([]Cell, error) {
	cells, err := messageCells(h)
	if err != nil {
		return nil, err
	}
	storage, err := storageCells(h)
	return append(cells, storage...), err
}

func messageCells(h *hardware.Hardware) ([]Cell, error) {
	var cells []Cell
	add := func(figure, name string, published float64, b RPC) error {
		r, err := b.Run(h)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", figure, name, err)
		}
		cells = append(cells, Cell{figure, name, published, float64(r.Latency.Nanoseconds()) / 1000, "µs", true})
		return nil
	}
	for _, row := range rpcProfile {
		for i, n := range rpcThreads {
			name := fmt.Sprintf("%d→%d, %d threads", row.request, row.reply, n)
			if err := add("RPC profile", name, row.us[i], RPC{Threads: n, Request: row.request, Reply: row.reply}); err != nil {
				return nil, err
			}
		}
	}
	for _, row := range figure7 {
		b := RPC{Threads: 1, Request: figure7Request, Reply: row.reply}
		if err := add("Fig 7 RPC", fmt.Sprintf("%d B", row.reply), row.rpc, b); err != nil {
			return nil, err
		}
		b.Socket = true
		if err := add("Fig 7 socket", fmt.Sprintf("%d B", row.reply), row.socket, b); err != nil {
			return nil, err
		}
	}
	return cells, nil
}

// storageCells is one thread that makes one request after the other.
func storageCells(h *hardware.Hardware) ([]Cell, error) {
	var cells []Cell
	for _, c := range []struct {
		name       string
		published  float64
		op         device.Op
		sequential bool
	}{
		{"random write", figure9.randomWrite, device.Write, false},
		{"random read", figure9.randomRead, device.Read, false},
		{"sequential write", figure9.sequentialWrite, device.Write, true},
		{"sequential read", figure9.sequentialRead, device.Read, true},
	} {
		d, err := device.New(h.Device, vtime.Stream(1, "storage", 0))
		if err != nil {
			return nil, err
		}
		// A 25 GB file of which 1 GB is accessed.
		const size, blocks, requests = 4096, 1 << 30 / 4096, 2000
		rng := vtime.Stream(1, "offsets", 0)
		now := d.Do(0, c.op, 0, size) // sequential ones have a predecessor
		begin := now
		for i := range uint64(requests) {
			offset := (i + 1) * size
			if !c.sequential {
				offset = (2 + 2*rng.Uint64N(blocks/2)) * size // even blocks: never one after the other
			}
			now = d.Do(now, c.op, offset, size)
			if c.op == device.Write {
				now = d.Flush(now)
			}
		}
		cells = append(cells, Cell{"Fig 9 Linux", c.name, c.published, requests / (now - begin).Seconds() / 1000, "k/s", true})
	}
	return cells, nil
}

// Predicted runs Figure 8: every access a page fault, then zeros (p-local) or a MISS of 40 bytes answered with a page.
func Predicted(h *hardware.Hardware) ([]Cell, error) {
	var cells []Cell
	for i, n := range figure8.threads {
		cells = append(cells, Cell{"Fig 8", fmt.Sprintf("p-local, %d threads", n), figure8.pLocal[i], pLocal(h, n) / 1000, "k/s", false})
	}
	for _, row := range figure8.rows {
		for i, n := range figure8.threads {
			b := RPC{Threads: n, Servers: row.servers, Workers: row.workers, Request: 40, Reply: 4096, Service: h.Processor.Lookup(), Fault: true}
			r, err := b.Run(h)
			if err != nil {
				return nil, err
			}
			name := fmt.Sprintf("%d mComponents × %d workers, %d threads", row.servers, row.workers, n)
			cells = append(cells, Cell{"Fig 8", name, row.k[i], r.Rate / 1000, "k/s", false})
		}
	}
	return cells, nil
}

// pLocal is the rate of faults that are filled with zeros where they happen.
func pLocal(h *hardware.Hardware, threads int) float64 {
	faults, memory, c := processor.NewFaults(h.Processor), processor.NewMemory(h.Processor), vtime.New()
	const each = 2000
	left := threads * each
	var fault, zero vtime.Kind
	fault = c.Handle("fault", func(t uint32) {
		if left > 0 {
			left--
			c.At(faults.Fault(c.Now()), zero, t)
		}
	})
	zero = c.Handle("zero", func(t uint32) { c.At(memory.Move(c.Now(), 4096), fault, t) })
	for t := range threads {
		c.At(0, fault, uint32(t))
	}
	if err := c.Run(vtime.Limits{}); err != nil {
		panic(err) // two kinds of event, each after the other
	}
	return float64(threads*each) / c.Now().Seconds()
}
