package observe

import (
	"splitkernel/netlayer/wire"
)

// roles in the order in which nodes are listed.
var roles = []string{wire.RoleManager.String(), wire.RoleCompute.String(), wire.RoleMemory.String(), wire.RoleStorage.String()}

const faultSeconds = "splitkernel_pcomponent_fault_duration_seconds"

// borne is what a node bore over a span.
type borne struct {
	Load
	hits   float64  // per second
	faults []bucket // of the latency
	blocks float64  // block requests of processes per second
}

// loadOf makes a load of a span.
func loadOf(role string, s *span) borne {
	m := s.is.Metrics
	const node, net = "splitkernel_node_", "splitkernel_netlayer_"
	b := borne{Load: Load{
		Processors: m.sum(node + "processors"),
		BusyCores:  s.rate(node + "processor_busy_seconds_total"),
		InPerSec:   s.rate(node+"link_transferred_bytes_total", `direction="in"`),
		OutPerSec:  s.rate(node+"link_transferred_bytes_total", `direction="out"`),
		Queue:      m.sum(net + "server_requests_queued"),
		QueueDelay: m.sum(node + "queue_delay_seconds"),
	}}
	room := func(prefix, capacity string) {
		b.Capacity, b.Used, b.Reserved = m.sum(prefix+capacity), m.sum(prefix+"resident_bytes"), m.sum(prefix+"reserved_bytes")
	}
	switch role {
	case wire.RoleCompute.String():
		const p = "splitkernel_pcomponent_"
		room(p+"excache_", "capacity_bytes")
		b.Processes = int(m.sum(p + "processes"))
		b.OpsPerSec, b.hits, b.FaultsPerSec = s.rate(p+"accesses_total"), s.rate(p+"hits_total"), s.rate(p+"faults_total")
		b.blocks = s.rate(p + "block_requests_total")
		b.faults = s.histogram(faultSeconds)
		b.HitRatio, b.FaultP50, b.FaultP99 = ratio(b.hits, b.OpsPerSec), quantile(0.5, b.faults), quantile(0.99, b.faults)
	case wire.RoleMemory.String():
		const p = "splitkernel_mcomponent_"
		room(p+"memory_", "capacity_bytes")
		for _, name := range []string{"pages_fetched_total", "pages_zero_filled_total", "pages_flushed_total", "block_hits_total", "block_misses_total"} {
			b.OpsPerSec += s.rate(p + name)
		}
	case wire.RoleStorage.String():
		const p = "splitkernel_scomponent_"
		room(p, "capacity_bytes")
		b.OpsPerSec = s.rate(p + "block_operation_duration_seconds_count")
	case wire.RoleManager.String():
		const p = "splitkernel_manager_"
		b.Used = m.sum("process_resident_memory_bytes")
		b.OpsPerSec = s.rate(p+"proposals_total") + s.rate(p+"queries_total")
	}
	return b
}

// add puts what a node bears into a point.
func (p *Sample) add(role string, b *borne) {
	p.LinkPerSec += b.OutPerSec
	p.BlockPerSec += b.blocks
	p.Queue += b.Queue
	p.QueueDelay = max(p.QueueDelay, b.QueueDelay)
	switch role {
	case wire.RoleCompute.String():
		p.AccessesPerSec += b.OpsPerSec
		p.FaultsPerSec += b.FaultsPerSec
		p.Processors += b.Processors
		p.BusyCores += b.BusyCores
		p.ExCacheCapacity += b.Capacity
		p.ExCacheUsed += b.Used
	case wire.RoleMemory.String():
		p.MemoryCapacity += b.Capacity
		p.MemoryUsed += b.Used
	case wire.RoleStorage.String():
		p.StorageCapacity += b.Capacity
		p.StorageUsed += b.Used
	}
}
