package calibrate

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"splitkernel/netlayer/link"
	"splitkernel/scomponent/device"
	"splitkernel/sim/hardware"
	"splitkernel/sim/hardware/endpoint"
	"splitkernel/sim/hardware/processor"
	"splitkernel/sim/units"
)

// ProfileName is that of the profile of the machine that this program runs on.
const ProfileName = "this-machine"

// Host names this machine: host name, processor and how many of them.
func Host() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown host"
	}
	model, _ := processorInfo()
	return fmt.Sprintf("%s, %s, %d processors", name, model, runtime.NumCPU())
}

// processorInfo is the model and the frequency of the processor as the system tells them; 0 Hz if it does not.
func processorInfo() (model string, hz units.Frequency) {
	model = runtime.GOARCH
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return model, 0
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "model name":
			model = value
		case "cpu MHz":
			if mhz, err := strconv.ParseFloat(value, 64); err == nil && hz == 0 {
				hz = units.Frequency(math.Round(mhz * 1e6))
			}
		}
	}
	return model, hz
}

// assumedFrequency is that of a processor that does not tell its own; predictions of live replays do not depend on it.
const assumedFrequency = 2_000_000_000

// Profile gives the profile of what was measured at a moment on a machine.
func Profile(m *Measured, at time.Time, host string) *hardware.Profile {
	_, hz := processorInfo()
	known := "as /proc/cpuinfo says"
	if hz < 1_000_000 {
		hz, known = assumedFrequency, "guess: the system does not tell"
	}
	p := &hardware.Profile{
		Name: ProfileName, Host: host,
		Description: fmt.Sprintf("Two processes on one processor of %s, over %s, measured on %s for %.1f s by splitkernel calibrate.", host, m.Transport, at.UTC().Format(time.DateOnly), m.Seconds),
		Hardware: hardware.Hardware{
			Link:     link.Options{Bandwidth: loopback, Packet: link.MaxPacket},
			Endpoint: endpoint.Options{Connections: 64, WorkerQueue: 4096},
			Processor: processor.Options{
				Frequency: hz, CPI: units.One, DRAMChannels: 1, Shared: 1,
			},
			Device: deviceOf(&m.Disk),
		},
	}
	Estimate(m, &p.Hardware)
	measured := fmt.Sprintf("measured on %s on %s over %s: ", at.UTC().Format(time.DateOnly), host, m.Transport)
	split := fmt.Sprintf("; split: of latency and hand_off only the sum is told, half of a round trip without body (%s) less twice poll", us(m.Ping))
	disk := fmt.Sprintf("measured on %s on %s, a file of 32 MiB through the file cache of the system: ", at.UTC().Format(time.DateOnly), host)
	const none, arm = "a connection of the kernel: nothing is lost or doubled", "an unknown device, taken as one without an arm"
	for _, s := range []hardware.Source{
		{Key: "link.latency", Text: measured + "half of what is left of a round trip" + split},
		{Key: "link.bandwidth", Text: "without bound: there is no wire, what bytes cost is in poll_per_kib"},
		{Key: "link.packet", Text: "the largest: there is no wire"},
		{Key: "link.packet_overhead", Text: "there is no wire"},
		{Key: "link.dma_rate", Text: "without bound: see bandwidth"},
		{Key: "link.jitter", Text: "none: what is late is in reorder"},
		{Key: "link.loss", Text: none}, {Key: "link.duplicate", Text: none},
		{Key: "link.reorder", Text: measured + fmt.Sprintf("half the share of fetches (%.3f %%) that took more than %v times the median: a process that had gone to sleep was woken up", m.Late*100, LateFactor)},
		{Key: "link.reorder_delay", Text: measured + fmt.Sprintf("twice the processor time by which these exceeded it (%s)", us(m.LateBy))},
		{Key: "endpoint.post", Text: "split: in poll; on one processor it is not told who of both works"},
		{Key: "endpoint.send_per_kib", Text: "split: in poll_per_kib"},
		{Key: "endpoint.acknowledge", Text: "a sender does not wait for what the socket buffer takes"},
		{Key: "endpoint.connections", Text: "enough that none waits"},
		{Key: "endpoint.poll", Text: measured + fmt.Sprintf("half of the processor time of a page written back, many in flight (%s), less its bytes and the worker; at most half of a round trip. Without bodies, 16 in flight: %s", us(m.Flushes), us(m.Pings))},
		{Key: "endpoint.poll_per_kib", Text: measured + fmt.Sprintf("what a flush in the message of a miss adds (%s to %s) by its bytes: both ends, checksums and copies included", us(m.Fetch), us(m.FetchDirty))},
		{Key: "endpoint.hand_off", Text: measured + "the other half: the wake-up of a process" + split},
		{Key: "endpoint.worker", Text: measured + fmt.Sprintf("a fetch (%s) less fault, a message without a body (%s) and its bytes", us(m.Fetch), us(m.Ping))},
		{Key: "endpoint.worker_queue", Text: "rarely reached"},
		{Key: "endpoint.socket", Text: "in poll already"}, {Key: "endpoint.socket_per_kib", Text: "in poll_per_kib already"},
		{Key: "processor.frequency", Text: known},
		{Key: "processor.cpi", Text: "guess: one cycle per instruction; a live replay executes none of the program's"},
		{Key: "processor.hit", Text: measured + "processor time of references to lines of the ExCache, in a loop over up to 4096 pages"},
		{Key: "processor.reference", Text: measured + fmt.Sprintf("processor time of references of a generated trace that hit, replayed (%.1f ns), less hit", m.Replays)},
		{Key: "processor.shared", Text: "both processes are pinned to one processor"},
		{Key: "processor.dram_latency", Text: measured + "median of dependent loads all over 32 MiB"},
		{Key: "processor.copy_rate", Text: measured + fmt.Sprintf("median of copies of pages all over 32 MiB (%s), at most a fault without a message (%s), less dram_latency", us(m.Memory.Copy), us(m.Evict))},
		{Key: "processor.dram_channels", Text: "one processor copies at a time"},
		{Key: "processor.table_levels", Text: "in worker already"},
		{Key: "processor.fault", Text: measured + fmt.Sprintf("a fault without a message that evicts a line (%s), less clearing the page; the first fault on each line takes %s", us(m.Evict), us(m.PLocal))},
		{Key: "processor.fault_locked", Text: "not measured: one thread"},
		{Key: "processor.shootdown", Text: "in fault already; a live ExCache has no TLB of its own"},
		{Key: "processor.shootdown_each", Text: "a live ExCache has no TLB of its own"},
		{Key: "device.random_read.latency", Text: disk + "4 KiB, less the rate"}, {Key: "device.random_read.rate", Text: disk + "requests of 1 MiB"},
		{Key: "device.sequential_read.latency", Text: disk + "4 KiB, less the rate"}, {Key: "device.sequential_read.rate", Text: disk + "requests of 1 MiB"},
		{Key: "device.random_write.latency", Text: disk + "4 KiB, less the rate"}, {Key: "device.random_write.rate", Text: disk + "requests of 1 MiB"},
		{Key: "device.sequential_write.latency", Text: disk + "4 KiB, less the rate"}, {Key: "device.sequential_write.rate", Text: disk + "requests of 1 MiB"},
		{Key: "device.channels", Text: "one processor asks at a time"},
		{Key: "device.stripe", Text: "the largest: one channel"},
		{Key: "device.queue_depth", Text: "guess: an NVMe queue of Linux"},
		{Key: "device.flush", Text: disk + fmt.Sprintf("fdatasync after 4 KiB (%s), less drain_rate", us(m.Disk.Sync))},
		{Key: "device.drain_rate", Text: disk + "fdatasync after 1 MiB, less that after 4 KiB"},
		{Key: "device.seek_track", Text: arm}, {Key: "device.seek_full", Text: arm}, {Key: "device.rotation", Text: arm},
		{Key: "device.capacity", Text: "not measured; without an arm it has no effect"},
	} {
		p.SetSource(s.Key, s.Text)
	}
	return p
}

// us writes ns as a report does.
func us(ns float64) string { return fmt.Sprintf("%.2f us", ns/1000) }

// deviceOf gives the device that explains what was measured.
func deviceOf(d *Disk) device.Options {
	class := func(small, rate float64) device.Class {
		r := units.Rate(max(rate, 1))
		return device.Class{Latency: max(picos(small)-r.Cost(smallRequest), 0), Rate: r}
	}
	o := device.Options{
		RandomRead: class(d.RandomRead, d.ReadBytes), SequentialRead: class(d.SequentialRead, d.ReadBytes),
		RandomWrite: class(d.RandomWrite, d.WriteBytes), SequentialWrite: class(d.SequentialWrite, d.WriteBytes),
		Channels: 1, Stripe: 1 << 20, QueueDepth: 1024, Capacity: 1 << 40,
	}
	more := largeRequest/max(d.SyncBytes, 1)*1e9 - d.Sync // that a MiB takes beyond 4 KiB
	if more > 0 {
		o.DrainRate = units.Rate(max((largeRequest-smallRequest)/more*1e9, 1))
	}
	o.Flush = max(picos(d.Sync)-o.DrainRate.Cost(smallRequest), 0)
	return o
}
