package fit

import (
	"splitkernel/netlayer/link"
	"splitkernel/scomponent/device"
	"splitkernel/sim/hardware"
	"splitkernel/sim/hardware/endpoint"
	"splitkernel/sim/hardware/processor"
	"splitkernel/sim/units"
)

const ns = int64(units.Nanosecond)

// messages are the parameters of RPC profile and Figure 7. Nine sums of the costs along a call are all that those tables tell, so
// the others (latency, post, poll) are held at values of their own source.
var messages = group{
	cells: messageCells,
	parameters: []parameter{
		{"link.dma_rate", func(h *hardware.Hardware) any { return &h.Link.DMARate }, 4_000_000_000, 10_000_000},
		{"endpoint.acknowledge", func(h *hardware.Hardware) any { return &h.Endpoint.Acknowledge }, 400 * ns, 5 * ns},
		{"endpoint.hand_off", func(h *hardware.Hardware) any { return &h.Endpoint.HandOff }, 400 * ns, 5 * ns},
		{"endpoint.worker", func(h *hardware.Hardware) any { return &h.Endpoint.Worker }, 1000 * ns, 5 * ns},
		{"endpoint.socket", func(h *hardware.Hardware) any { return &h.Endpoint.Socket }, 500 * ns, 5 * ns},
		{"endpoint.socket_per_kib", func(h *hardware.Hardware) any { return &h.Endpoint.SocketPerKiB }, 100 * ns, 5 * ns},
	},
}

// storage are the parameters of Figure 9's Linux row.
var storage = group{
	cells: storageCells,
	parameters: []parameter{
		{"device.random_read.latency", func(h *hardware.Hardware) any { return &h.Device.RandomRead.Latency }, 90_000 * ns, 50 * ns},
		{"device.sequential_read.latency", func(h *hardware.Hardware) any { return &h.Device.SequentialRead.Latency }, 20_000 * ns, 50 * ns},
		{"device.random_write.latency", func(h *hardware.Hardware) any { return &h.Device.RandomWrite.Latency }, 25_000 * ns, 50 * ns},
		{"device.sequential_write.latency", func(h *hardware.Hardware) any { return &h.Device.SequentialWrite.Latency }, 25_000 * ns, 50 * ns},
	},
}

// Sources that several values share.
const (
	testbed = "LegoOS, OSDI'18, section 6: 2 × Xeon E5-2620 2.40 GHz, 40 Gb/s ConnectX-3, Samsung PM1725s"
	source  = "LegoOS source, revision 1f4da865: "
	pm1725a = "Samsung PM1725a U.2, of the same family as the PM1725s, as listed by AnandTech 15491 (2020): "
)

// Known is the profile legoos-cx3 before the fit: what has a source of its own. The values of the fitted keys are 0.
func Known() *hardware.Profile {
	p := &hardware.Profile{
		Name: "legoos-cx3",
		Description: "The testbed of the LegoOS paper. Fitted to its RPC profile, the LegoOS rows of Figure 7 and the Linux row of Figure 9, " +
			"and to nothing else; written by go test ./sim/fit -run Profile -rewrite.",
		Hardware: hardware.Hardware{
			Link: link.Options{
				Latency: 400 * units.Nanosecond, Bandwidth: 5_000_000_000, Packet: 2048, PacketOverhead: 30,
			},
			Endpoint: endpoint.Options{
				Post: 300 * units.Nanosecond, Connections: 1, Poll: 300 * units.Nanosecond, WorkerQueue: 256,
			},
			Processor: processor.Options{
				Frequency: 2_400_000_000, CPI: units.One, Hit: 0, DRAMLatency: 95 * units.Nanosecond, CopyRate: 8_190_000_000, DRAMChannels: 8,
				TableLevels: 4, Fault: units.Microsecond, FaultLocked: 200 * units.Nanosecond,
				Shootdown: 1470 * units.Nanosecond, ShootdownEach: 277_727,
			},
			Device: device.Options{
				RandomRead: device.Class{Rate: 3_276_800_000}, SequentialRead: device.Class{Rate: 3_300_000_000},
				RandomWrite: device.Class{Rate: 655_360_000}, SequentialWrite: device.Class{Rate: 3_000_000_000},
				Channels: 16, Stripe: 16 << 10, QueueDepth: 1024, Capacity: 1 << 40,
			},
		},
	}
	for _, s := range []hardware.Source{
		{Key: "link.latency", Text: "guess: the tables fit any split of 1.4 µs per direction between latency, post, poll and hand_off"},
		{Key: "link.bandwidth", Text: testbed},
		{Key: "link.packet", Text: source + "net/lego/fit_internal.c sets IB_MTU_2048"},
		{Key: "link.packet_overhead", Text: "InfiniBand Architecture Specification: LRH 8 B + BTH 12 B + ICRC 4 B + VCRC 2 B, and 4 B for framing"},
		{Key: "link.jitter", Text: "guess: the tables are means without spread"},
		{Key: "link.loss", Text: "InfiniBand reliable connections lose nothing that the sender sees"},
		{Key: "link.duplicate", Text: "InfiniBand reliable connections deliver once"},
		{Key: "link.reorder", Text: "InfiniBand reliable connections keep the order"},
		{Key: "link.reorder_delay", Text: "without meaning while reorder is 0"},
		{Key: "endpoint.post", Text: "guess: see link.latency"},
		{Key: "endpoint.send_per_kib", Text: "RDMA reads the message where it lies; dma_rate has the cost"},
		{Key: "endpoint.connections", Text: "guess: LegoOS has 12 for each pair of nodes and takes them in turn (revision 1f4da865, CONFIG_FIT_NR_QPS_PER_PAIR), but 4200→4 with 2 and 4 threads reads as one"},
		{Key: "endpoint.poll", Text: "guess: see link.latency"},
		{Key: "endpoint.poll_per_kib", Text: "RDMA writes the message where it belongs; dma_rate has the cost"},
		{Key: "endpoint.worker_queue", Text: source + "NR_THPOOL_BUFFER of include/memory/thread_pool.h; never reached with one outstanding call per thread"},
		{Key: "processor.frequency", Text: testbed},
		{Key: "processor.cpi", Text: "guess: one cycle per instruction; workloads state their own"},
		{Key: "processor.hit", Text: "the ExCache of LegoOS is mapped DRAM: a hit is a plain reference, whose cost is in the CPI"},
		{Key: "processor.reference", Text: "unknown: nothing was replayed live on this hardware"},
		{Key: "processor.shared", Text: "each component is a machine"},
		{Key: "processor.dram_latency", Text: "AnandTech 11544 (2017), LMBench: 95 ns on a Xeon E5-2699 v4, the next generation of the testbed's E5-2620 v3"},
		{Key: "processor.copy_rate", Text: "log of LegoOS's authors, April 2018 (lastweek.github.io/lego/log): to clear a page takes 595 ns, 95 ns of them dram_latency"},
		{Key: "processor.dram_channels", Text: "Intel Xeon E5-2600 data sheet: four channels per socket, two sockets"},
		{Key: "processor.table_levels", Text: source + "four-level page tables at the mComponent"},
		{Key: "processor.fault", Text: "guess: 0.44 µs of it are the exception and its return on a Haswell at 2.4 GHz (715 + 330 cycles, Torvalds, plus.google.com/+LinusTorvalds/posts/YDKRFDwHwr6, 2014)"},
		{Key: "processor.fault_locked", Text: "guess: a fifth of the fault is under locks of the process"},
		{Key: "processor.shootdown", Text: "LegoOS Documentation, revision 1f4da865: 1.47 µs with 1 processor"},
		{Key: "processor.shootdown_each", Text: "LegoOS Documentation, revision 1f4da865: 7.58 µs with 23 processors, (7.58 − 1.47) / 22"},
		{Key: "device.random_read.rate", Text: pm1725a + "800 k random reads/s of 4 KiB"},
		{Key: "device.sequential_read.rate", Text: pm1725a + "3.3 GB/s"},
		{Key: "device.random_write.rate", Text: pm1725a + "160 k random writes/s of 4 KiB"},
		{Key: "device.sequential_write.rate", Text: pm1725a + "3.0 GB/s"},
		{Key: "device.channels", Text: "AnandTech 15491 (2020): the controller of the PM1725a has 16 channels"},
		{Key: "device.stripe", Text: "guess: a NAND page"},
		{Key: "device.queue_depth", Text: "guess: an NVMe queue of Linux"},
		{Key: "device.flush", Text: "data-centre drives protect their cache against power loss; what fsync costs is in the write latencies, fitted so"},
		{Key: "device.drain_rate", Text: "data-centre drives protect their cache against power loss"},
		{Key: "device.seek_track", Text: "no arm"},
		{Key: "device.seek_full", Text: "no arm"},
		{Key: "device.rotation", Text: "does not turn"},
		{Key: "device.capacity", Text: "guess: the paper does not say; without an arm it has no effect"},
	} {
		p.SetSource(s.Key, s.Text)
	}
	return p
}

// LegoOS is the profile legoos-cx3: Known with the other parameters fitted.
func LegoOS() (*hardware.Profile, error) {
	p := Known()
	for _, g := range []struct {
		*group
		to string
	}{
		{&messages, "fitted to the RPC profile of LegoOS's documentation (revision 1f4da865) and the LegoOS rows of Figure 7 (OSDI'18)"},
		{&storage, "fitted to the Linux row of Figure 9 (OSDI'18), so it has in it what Linux's file system and block layer cost"},
	} {
		if err := g.fit(&p.Hardware); err != nil {
			return nil, err
		}
		for _, q := range g.parameters {
			p.SetSource(q.key, g.to)
		}
	}
	return p, nil
}
