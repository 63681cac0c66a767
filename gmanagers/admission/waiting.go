package admission

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"

	"splitkernel/netlayer/wire"
)

// IfFull says what becomes of a vNode that does not fit. Numbers are wire numbers, never reused.
type IfFull uint8

// What becomes of a vNode that does not fit.
const (
	Refuse  IfFull = 0 // it is refused at once
	Queue   IfFull = 1 // it waits until its deadline
	Preempt IfFull = 2 // vNodes of a lower priority are ended for it, if that makes room
)

// ifFullNames are the names of IfFull, by number.
var ifFullNames = [...]string{"refuse", "queue", "preempt"}

func (f IfFull) String() string {
	if int(f) < len(ifFullNames) {
		return ifFullNames[f]
	}
	return fmt.Sprintf("if_full(%d)", uint8(f))
}

// ParseIfFull gives the IfFull of a name.
func ParseIfFull(name string) (IfFull, bool) {
	i := slices.Index(ifFullNames[:], name)
	return IfFull(max(i, 0)), i >= 0
}

const (
	// DefaultTenant is the tenant of a vNode that names none.
	DefaultTenant = "default"
	// EveryTenant in a quota stands for each tenant that no other quota names.
	EveryTenant = "*"
	// MaxTenantBytes bounds the name of a tenant.
	MaxTenantBytes = 32
	// MaxQuotas bounds the quotas of a cluster.
	MaxQuotas = 256
	// DefaultPriority is the priority of a vNode that names none: the middle, so that both more and less important ones can be
	// told apart from what nobody thought about.
	DefaultPriority = 5
	// MaxPriority is the highest priority; 1 is the lowest.
	MaxPriority = 9
	// DefaultDeadlineMS is how long a vNode waits that names no deadline: longer than what runs needs to end when somebody
	// ends it, shorter than what a person waits for.
	DefaultDeadlineMS = 60_000
	// MaxDeadlineMS bounds the wait: a day.
	MaxDeadlineMS = 24 * 3600 * 1000
	// MaxVictims bounds the vNodes that are ended for one.
	MaxVictims = 64
	// maxSingles bounds the vNodes that are considered as an only victim.
	maxSingles = 64
)

// Complete returns the spec with the defaults in place of what is zero.
func (s VNodeSpec) Complete() VNodeSpec {
	if s.Tenant == "" {
		s.Tenant = DefaultTenant
	}
	if s.Priority == 0 {
		s.Priority = DefaultPriority
	}
	if s.DeadlineMS == 0 {
		s.DeadlineMS = DefaultDeadlineMS
	}
	return s
}

// StorageBytes returns what the volumes take together, as rounded.
func (s VNodeSpec) StorageBytes() uint64 {
	sum := uint64(0)
	for _, v := range s.Volumes {
		size := (v.SizeBytes + wire.PageSize - 1) / wire.PageSize * wire.PageSize
		for range min(v.Copies.Places(), MaxReplicas) { // each copy takes room
			if sum += size; sum < size {
				return math.MaxUint64
			}
		}
	}
	return sum
}

// Quota bounds what the vNodes of one tenant have together. 0 is no bound.
type Quota struct {
	Tenant       string `mapstructure:"tenant" yaml:"tenant"` // EveryTenant is each that no other quota names
	Threads      uint64 `mapstructure:"threads" yaml:"threads"`
	ExCacheLines uint64 `mapstructure:"excache_lines" yaml:"excache_lines"`
	MemoryBytes  uint64 `mapstructure:"memory_bytes" yaml:"memory_bytes"`   // as reserved by the specs
	StorageBytes uint64 `mapstructure:"storage_bytes" yaml:"storage_bytes"` // of volumes, as rounded
	VNodes       uint64 `mapstructure:"vnodes" yaml:"vnodes"`
}

// Amount is what vNodes have together, or what one wants.
type Amount struct {
	Threads, ExCacheLines, MemoryBytes, StorageBytes, VNodes uint64
}

// Wants returns what a vNode takes of its tenant's quota.
func (s VNodeSpec) Wants() Amount {
	return Amount{uint64(s.Threads), s.ExCacheLines, s.MemoryBytes, s.StorageBytes(), 1}
}

// Plus returns both together. It does not overflow for what no Quota refuses.
func (a Amount) Plus(b Amount) Amount {
	return Amount{a.Threads + b.Threads, a.ExCacheLines + b.ExCacheLines, a.MemoryBytes + b.MemoryBytes, a.StorageBytes + b.StorageBytes, a.VNodes + b.VNodes}
}

// Minus takes b, which is in a, away.
func (a Amount) Minus(b Amount) Amount {
	return Amount{a.Threads - b.Threads, a.ExCacheLines - b.ExCacheLines, a.MemoryBytes - b.MemoryBytes, a.StorageBytes - b.StorageBytes, a.VNodes - b.VNodes}
}

// Refuses returns, as an error of wire.KindNoRoom, what of the quota is short for want when a tenant has used; nil if nothing
// is. The tenant is told by its own name, also if the quota is that of every tenant.
func (q Quota) Refuses(tenant string, used, want Amount) error {
	var short string
	check := func(resource string, limit, used, want uint64) {
		if limit == 0 {
			limit = math.MaxUint64 // what cannot be counted is not admitted
		}
		left := limit - min(limit, used)
		if want <= left {
			return
		}
		if short != "" {
			short += "; "
		}
		short += fmt.Sprintf("%s: wants %d, %d of %d left (%d short)", resource, want, left, limit, want-left)
	}
	check("threads", q.Threads, used.Threads, want.Threads)
	check("excache_lines", q.ExCacheLines, used.ExCacheLines, want.ExCacheLines)
	check("memory_bytes", q.MemoryBytes, used.MemoryBytes, want.MemoryBytes)
	check("storage_bytes", q.StorageBytes, used.StorageBytes, want.StorageBytes)
	check("vnodes", q.VNodes, used.VNodes, want.VNodes)
	if short == "" {
		return nil
	}
	return wire.Errorf(wire.KindNoRoom, "quota of tenant %q: %s", tenant, short)
}

// Settings are what the managers' options say of admissions, as replicated, so that every replica decides alike.
type Settings struct {
	ThreadsPerCore uint64  // threads of vNodes at a pComponent for each of its cores; 0 is no bound
	Quotas         []Quota // ascending by Tenant
}

// Quota returns the quota of a tenant; without bounds if there is none.
func (s *Settings) Quota(tenant string) Quota {
	for _, name := range []string{tenant, EveryTenant} {
		if i, ok := slices.BinarySearchFunc(s.Quotas, name, func(q Quota, n string) int { return cmp.Compare(q.Tenant, n) }); ok {
			return s.Quotas[i]
		}
	}
	return Quota{}
}

// Sorted returns the settings with the quotas in order, sharing nothing.
func (s Settings) Sorted() Settings {
	s.Quotas = append([]Quota{}, s.Quotas...)
	slices.SortStableFunc(s.Quotas, func(a, b Quota) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return s
}

// Equal reports whether both say the same.
func (s *Settings) Equal(t *Settings) bool {
	return s.ThreadsPerCore == t.ThreadsPerCore && slices.Equal(s.Quotas, t.Quotas)
}

// Check says, as an error of wire.KindBadRequest, why the settings cannot be.
func (s *Settings) Check() error {
	if len(s.Quotas) > MaxQuotas {
		return wire.Errorf(wire.KindBadRequest, "%d quotas, want at most %d", len(s.Quotas), MaxQuotas)
	}
	for i, q := range s.Quotas {
		if q.Tenant == "" || len(q.Tenant) > MaxTenantBytes || i > 0 && s.Quotas[i-1].Tenant >= q.Tenant {
			return wire.Errorf(wire.KindBadRequest, "quota %d of tenant %.64q: want names of 1 to %d bytes, ascending, each once", i, q.Tenant, MaxTenantBytes)
		}
	}
	return nil
}

// Victim is a vNode that may be ended for another one.
type Victim struct {
	PID      wire.PID
	Priority uint8
}

// Victims chooses which of candidates are ended for a vNode of a priority; fits tells whether it would fit without some of
// them. Only lower priorities are chosen: the highest priority among the victims is as low as it can be, then they are as
// few as can be, then those of the lowest priority, and of equals the newest, for they have done the least. One victim is
// found if one of the first maxSingles is enough; beyond that the victims are such that none of them can be spared. It
// returns nil if there are none that make room, or more than MaxVictims would be needed.
func Victims(priority uint8, candidates []Victim, fits func(without []wire.PID) bool) []wire.PID {
	order := slices.DeleteFunc(slices.Clone(candidates), func(v Victim) bool { return v.Priority >= priority })
	slices.SortFunc(order, func(a, b Victim) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.PID, a.PID))
	})
	pids := make([]wire.PID, len(order))
	for i, v := range order {
		pids[i] = v.PID
	}
	n := 0 // the first n are all up to one priority, and enough
	for i := range order {
		if i+1 == len(order) || order[i+1].Priority != order[i].Priority {
			if fits(pids[:i+1]) {
				n = i + 1
				break
			}
		}
	}
	if n == 0 {
		return nil
	}
	for i := range min(n, maxSingles) {
		if fits(pids[i : i+1]) {
			return pids[i : i+1]
		}
	}
	k := sort.Search(n-1, func(i int) bool { return fits(pids[:i+1]) })
	chosen := slices.Clone(pids[:k+1])
	if len(chosen) > MaxVictims || !fits(chosen) {
		return nil
	}
	for i := len(chosen) - 1; i >= 0; i-- {
		if fewer := slices.Delete(slices.Clone(chosen), i, i+1); fits(fewer) {
			chosen = fewer
		}
	}
	return chosen
}
