package fuzz

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/policy"
	"splitkernel/pcomponent/prefetch"
	"splitkernel/sim/faults"
	"splitkernel/sim/vcluster"
)

// A script is a world as text: lines of a word and key=value, and faults in their own language. Empty lines, and what follows a #, are nothing.
//
//	world seed=7 heal=9s
//	cluster managers=3 compute=2 memory=3 storage=1 racks=2 …
//	process name=a begin=0s threads=2 …
//	order at=1200ms move=vregion:1:4096 to=m2
//	order at=3s drain=m1
//	fault at migrating kill m2 for 2s
//
// What a line leaves out is what DefaultWorld has.

// MaxScript bounds a script, in bytes.
const MaxScript = 1 << 20

// field is a key of a line.
type field struct {
	key string
	get func() string
	set func(string) error
}

func number[T int | uint64](key string, v *T, least, most T) field {
	return field{key, func() string { return fmt.Sprint(*v) }, func(s string) error {
		n, err := strconv.ParseInt(s, 10, 64)
		if u, uerr := strconv.ParseUint(s, 10, 64); uerr == nil && least >= 0 {
			n, err = int64(u), nil
		}
		if err != nil || T(n) < least || T(n) > most {
			return fmt.Errorf("%s=%s, want %d to %d", key, s, least, most)
		}
		*v = T(n)
		return nil
	}}
}

func span(key string, v *time.Duration, least, most time.Duration) field {
	return field{key, func() string { return faults.Duration(*v) }, func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < least || d > most {
			return fmt.Errorf("%s=%s, want %s to %s", key, s, faults.Duration(least), faults.Duration(most))
		}
		*v = d
		return nil
	}}
}

func share(key string, v *faults.Share) field {
	return field{key, func() string { return v.String() }, func(s string) error {
		p, err := faults.ParseShare(s)
		if err != nil {
			return fmt.Errorf("%s=%s, want 0%% to 100%%", key, s)
		}
		*v = p
		return nil
	}}
}

func word(key string, v *string, of []string) field {
	return field{key, func() string { return *v }, func(s string) error {
		if !slices.Contains(of, s) {
			return fmt.Errorf("%s=%s, want one of %s", key, s, strings.Join(of, ", "))
		}
		*v = s
		return nil
	}}
}

func flag(key string, v *bool) field {
	return field{key, func() string { return strconv.FormatBool(*v) }, func(s string) (err error) {
		if *v, err = strconv.ParseBool(s); err != nil {
			return fmt.Errorf("%s=%s, want true or false", key, s)
		}
		return nil
	}}
}

// block is a line that a world has once.
type block struct {
	head   string
	fields []field
}

const minute = time.Minute

func (w *World) blocks() []block {
	names := placement.Names()
	return []block{
		{"world", []field{number("seed", &w.Seed, 0, 1<<64-1), span("heal", &w.Heal, 0, MaxSpan)}},
		{"cluster", []field{
			number("managers", &w.Managers, 1, MaxNodes), number("compute", &w.Compute, 1, MaxNodes), number("memory", &w.Memory, 1, MaxNodes), number("storage", &w.Storage, 0, MaxNodes),
			number("racks", &w.Racks, 1, MaxNodes), number("region_pages", &w.RegionPages, 1, MaxPages), number("memory_pages", &w.MemoryPages, 1, 1<<20),
			number("cache_pages", &w.CachePages, 1, 1<<16), number("log_pages", &w.LogPages, 1, 1<<20), number("workers", &w.Workers, 1, 64),
		}},
		{"policies", []field{
			word("gpm", &w.GPM, names), word("gmm", &w.GMM, names), word("gsm", &w.GSM, names), word("caches", &w.Caches, names),
			flag("piggyback", &w.Piggyback), flag("balance", &w.Balance),
		}},
		{"times", []field{
			span("patience", &w.Patience, time.Millisecond, MaxSpan), span("lease", &w.Lease, membership.MinLease, membership.MaxLease), span("sweep", &w.Sweep, 100*time.Millisecond, minute),
			span("move_timeout", &w.MoveTimeout, time.Millisecond, minute), span("latency", &w.Latency, 0, 10*time.Millisecond), span("jitter", &w.Jitter, 0, 10*time.Millisecond),
		}},
		{"raft", []field{
			share("lost", &w.Lost), share("unheard", &w.Unheard), share("late", &w.Late), share("twice", &w.Twice), span("leader_change", &w.LeaderChange, 0, MaxSpan),
		}},
	}
}

// scriptPolicies are those that a script may name: belady needs references that are known beforehand.
var scriptPolicies = slices.DeleteFunc(policy.Names(), func(name string) bool { return name == "belady" })

func (p *Process) fields() []field {
	return []field{
		{"name", func() string { return p.Name }, func(s string) error {
			if p.Name = s; s == "" || len(s) > 16 {
				return fmt.Errorf("name=%s, want 1 to 16 letters", s)
			}
			return nil
		}},
		span("begin", &p.Begin, 0, MaxSpan), number("threads", &p.Threads, 1, 64), number("lines", &p.Lines, 1, MaxPages),
		word("policy", &p.Policy, scriptPolicies), word("mechanism", &p.Mechanism, excache.Mechanisms()),
		word("prefetcher", &p.Prefetcher, append([]string{prefetch.None}, prefetch.Names()...)), number("prefetch_degree", &p.Degree, 1, prefetch.MaxDepth),
		number("prefetch_in_flight", &p.InFlight, 1, excache.MaxPrefetchInFlight),
		number("pages", &p.Pages, 1, MaxPages), number("refs", &p.Refs, 0, MaxRefs), share("writes", &p.Writes), share("near", &p.Near),
		number("think", &p.Think, 0, 1<<40), number("burst", &p.Burst, 1, MaxRefs), share("remaps", &p.Remaps),
		number("volumes", &p.Volumes, 0, 8), number("sectors", &p.Sectors, 1, MaxSectors), number("blocks", &p.Blocks, 0, 1024),
		number("copies", &p.Copies, 1, 16), number("write_quorum", &p.WriteQuorum, 1, 16), number("read_quorum", &p.ReadQuorum, 1, 16), flag("through", &p.Through),
		number("memory_bytes", &p.MemoryBytes, 0, 1<<40),
		word("replication", &p.Replication, slices.Sorted(maps.Keys(replications))), number("memory_copies", &p.MemoryCopies, 1, admission.MaxCopies), flag("log_block", &p.LogBlock),
		number("data", &p.Data, 1, admission.MaxShares-1), number("parity", &p.Parity, 1, admission.MaxShares-1), number("checkpoint", &p.Checkpoint, 0, MaxRefs),
	}
}

func write(b *strings.Builder, head string, fs []field) {
	b.WriteString(head)
	for _, f := range fs {
		b.WriteString(" " + f.key + "=" + f.get())
	}
	b.WriteByte('\n')
}

// String is the script of the world.
func (w *World) String() string {
	var b strings.Builder
	for _, l := range w.blocks() {
		write(&b, l.head, l.fields)
	}
	for i := range w.Processes {
		write(&b, "process", w.Processes[i].fields())
	}
	for i := range w.Orders {
		b.WriteString("order " + orderText(&w.Orders[i]) + "\n")
	}
	for _, f := range w.Faults {
		b.WriteString("fault " + f.String() + "\n")
	}
	return b.String()
}

func orderText(o *vcluster.Order) string {
	s := "at=" + faults.Duration(o.At)
	if o.Node != "" {
		return s + " " + o.Action.String() + "=" + string(o.Node)
	}
	for name, k := range moveKinds {
		if k == o.Thing.Kind {
			s += " move=" + name
		}
	}
	switch o.Thing.Kind {
	case wire.MoveVolume, wire.MoveCache:
		s += fmt.Sprintf(":%d", o.Thing.Volume)
	case wire.MoveRegion:
		s += fmt.Sprintf(":%d:%d", o.Thing.PID, o.Thing.Region)
	default:
		s += fmt.Sprintf(":%d", o.Thing.PID)
	}
	if o.To != "" {
		s += " to=" + string(o.To)
	}
	return s
}

// Parse reads a script. It reports everything that is wrong with it, by line.
func Parse(text string) (*World, error) {
	if len(text) > MaxScript {
		return nil, fmt.Errorf("%d bytes, want at most %d", len(text), MaxScript)
	}
	w, errs, seen := DefaultWorld(), []error(nil), map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, MaxScript)
	for no := 1; lines.Scan(); no++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		head, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if head == "" {
			continue
		}
		if err := w.line(head, strings.TrimSpace(rest), seen); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", no, err))
		}
	}
	if err := errors.Join(append(errs, lines.Err(), w.check())...); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *World) line(head, rest string, seen map[string]bool) error {
	switch head {
	case "process":
		p := defaultProcess()
		err := set(p.fields(), rest)
		w.Processes = append(w.Processes, p)
		return err
	case "order":
		o, err := parseOrder(rest)
		w.Orders = append(w.Orders, o)
		return err
	case "fault":
		fs, errs := faults.ParseList("fault", []string{rest})
		w.Faults = append(w.Faults, fs...)
		return errors.Join(errs...)
	}
	var heads []string
	for _, l := range w.blocks() {
		if heads = append(heads, l.head); l.head != head {
			continue
		}
		if seen[head] {
			return fmt.Errorf("%s is there twice", head)
		}
		seen[head] = true
		return set(l.fields, rest)
	}
	return fmt.Errorf("%q, want one of %s, process, order, fault", head, strings.Join(heads, ", "))
}

func set(fs []field, rest string) error {
	var errs []error
	for _, kv := range strings.Fields(rest) {
		k, v, _ := strings.Cut(kv, "=")
		i := slices.IndexFunc(fs, func(f field) bool { return f.key == k })
		if i < 0 {
			var keys []string
			for _, f := range fs {
				keys = append(keys, f.key)
			}
			errs = append(errs, fmt.Errorf("%q, want one of %s", k, strings.Join(keys, ", ")))
			continue
		}
		errs = append(errs, fs[i].set(v))
	}
	return errors.Join(errs...)
}

func parseOrder(rest string) (o vcluster.Order, err error) {
	var to, move string
	nodes := map[string]*string{"drain": new(string), "undrain": new(string)}
	text := func(key string, v *string) field {
		return field{key, nil, func(s string) error { *v = s; return nil }}
	}
	err = set([]field{span("at", &o.At, 0, MaxSpan), text("move", &move), text("to", &to), text("drain", nodes["drain"]), text("undrain", nodes["undrain"])}, rest)
	if err != nil {
		return o, err
	}
	for name, id := range nodes {
		if *id != "" {
			o.Node, o.Action = wire.NodeID(*id), actions[name]
		}
	}
	if (move == "") == (o.Node == "") || *nodes["drain"] != "" && *nodes["undrain"] != "" || o.Node != "" && to != "" {
		return o, fmt.Errorf("order %s, want one of move=KIND:ID, drain=NODE, undrain=NODE", rest)
	}
	if o.Node != "" {
		return o, nil
	}
	parts := strings.Split(move, ":")
	k, ok := moveKinds[parts[0]]
	want := 2
	if k == wire.MoveRegion {
		want = 3
	}
	if !ok || len(parts) != want {
		return o, fmt.Errorf("move=%s, want vregion:PROCESS:REGION, home:PROCESS, process:PROCESS, volume:ID or cache:ID", move)
	}
	var ids [2]uint64
	for i, p := range parts[1:] {
		if ids[i], err = strconv.ParseUint(p, 10, 32); err != nil {
			return o, fmt.Errorf("move=%s: %q is no number", move, p)
		}
	}
	o.Thing, o.To = thing(k, ids[0], ids[1]), wire.NodeID(to)
	return o, o.Thing.Check(movelist.ManagerOf(k))
}

// check says what does not fit together.
func (w *World) check() error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	add(len(w.Processes) > MaxProcesses, "%d processes, want at most %d", len(w.Processes), MaxProcesses)
	add(len(w.Orders) > MaxOrders, "%d orders, want at most %d", len(w.Orders), MaxOrders)
	add(w.RegionPages&(w.RegionPages-1) != 0, "region_pages=%d, want a power of two", w.RegionPages)
	seen := map[string]bool{}
	for i := range w.Processes {
		p := &w.Processes[i]
		add(seen[p.Name], "process %s is there twice", p.Name)
		if err := p.copies().Check(); err != nil {
			errs = append(errs, fmt.Errorf("process %s: %w", p.Name, err))
		}
		add((p.Volumes > 0 || p.Checkpoint > 0) && w.Storage == 0, "process %s has volumes, but there is no storage", p.Name)
		add(p.Checkpoint > 0 && p.memory().Kind == wire.MemoryErasure, "process %s makes checkpoints, to which memory in shares does not go back", p.Name)
		add(p.Replication == "erasure" && (p.Data < 1 || wire.PageSize%p.Data != 0), "process %s: %d data shares do not divide a page", p.Name, p.Data)
		add(p.memory().Holders() >= w.Memory, "process %s: its memory is to be at %d mComponents, there are %d", p.Name, p.memory().Holders()+1, w.Memory)
		add(p.LogBlock && p.Replication == "log" && w.Storage == 0, "process %s waits for a full log, which has no sComponent for its file", p.Name)
		seen[p.Name] = true
	}
	nodes := w.nodes()
	for i := range w.Orders {
		o := &w.Orders[i]
		for _, id := range []wire.NodeID{o.Node, o.To} {
			add(id != "" && !slices.ContainsFunc(nodes, func(n faults.Node) bool { return n.ID == id }), "order %s: no node %q", orderText(o), id)
		}
	}
	errs = append(errs, faults.CheckList("fault", w.Faults, nodes))
	for _, f := range w.Faults {
		add(f.At.Progress, "fault %v: a world has no parts, want a time or a phase", f)
	}
	return errors.Join(errs...)
}
