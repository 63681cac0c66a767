package cli

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/generate"
	"splitkernel/sim/node"
	"splitkernel/sim/replay"
)

func (a *app) vnodeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "vnode", Short: "Create, list, show and delete the vNodes of a running cluster"}
	cmd.AddCommand(a.vnodeCreateCommand(), a.vnodeListCommand(), a.vnodeShowCommand(), a.vnodeDeleteCommand())
	return cmd
}

// vnodeFlags are what a vNode asks for.
type vnodeFlags struct {
	on, name        string
	threads         int
	excache, memory string
	volumes         []string
	replication     string
	every           uint64
	tenant, ifFull  string
	apart, level    string
	priority        uint8
	deadline        time.Duration
	kept            []keptVolume // of the trace
	trace, format   string
	order           string
	repeat          int
	maxRefs         uint64
}

func (a *app) vnodeCreateCommand() *cobra.Command {
	var f vnodeFlags
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Have the managers admit a vNode; with --trace its process is started, too",
		Long: `create asks the managers for threads, a share of an ExCache, memory and volumes, and gets all of it or nothing. With
--trace a process that replays the trace is started on its pComponent; "vnode show" tells how far it is. Without it only
the resources are held. Either way the vNode stays until "vnode delete".`,
		Args: cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error { return a.vnodeCreate(cmd.Context(), &f) }),
	}
	onFlag(cmd, &f.on)
	fl := cmd.Flags()
	fl.StringVar(&f.name, "name", "", "name of the vNode; need not be unique")
	fl.IntVar(&f.threads, "threads", 0, "threads (default: 1, or those of the trace)")
	fl.StringVar(&f.excache, "excache", "", "share of the pComponent's ExCache, as in 4MiB (default: "+configs.FormatBytes(defaultExCache())+")")
	fl.StringVar(&f.memory, "memory", "", "memory to reserve, as in 16MiB, in whole vRegions (default: none; vRegions are then activated as far as there is room)")
	fl.StringVar(&f.replication, "replication", "", "what its memory survives: none, or log, sync or erasure and after it ,copies=N ,log_full=block or skip, ,data=N ,parity=N, as in sync,copies=2 (default: none)")
	fl.StringArrayVar(&f.volumes, "volume", nil, "volume as NAME=SIZE, as in disk=1GiB, and after it ,replicas=N ,write_quorum=N ,read_quorum=N ,write=back or through, ,apart_from=GROUP and ,apart_level=component or rack: apart from other volumes of the group; may be repeated. With --trace NAME alone: how that volume of the trace is kept")
	fl.StringVar(&f.tenant, "tenant", "", "whose quota it counts against")
	fl.Uint8Var(&f.priority, "priority", 0, "1, the lowest, to 9 (default: 5)")
	fl.StringVar(&f.ifFull, "if-full", "refuse", "what becomes of it if it does not fit: refuse, queue or preempt")
	fl.DurationVar(&f.deadline, "queue-deadline", time.Minute, fmt.Sprintf("how long it may wait for room, up to %s", httpapi.MaxWait))
	fl.StringVar(&f.apart, "apart-from", "", "group: nothing of the vNode is at a component where something of another of the group is")
	fl.StringVar(&f.level, "apart-level", "", "component (default) or rack: nor in a rack")
	fl.StringVar(&f.trace, "trace", "", "trace to replay, of any known format, or a generator; its volumes are made, too")
	fl.StringVar(&f.format, "format", "", "format of the trace (default: recognised)")
	fl.StringVar(&f.order, "order", configs.OrderTrace, "order of the replay: trace or threads")
	fl.IntVar(&f.repeat, "repeat", 1, "how often to replay the trace")
	fl.Uint64Var(&f.maxRefs, "max-refs", 0, "end each repetition after so many references (default: all)")
	fl.Uint64Var(&f.every, "checkpoint-every", 0, "accesses between two checkpoints, from which the process goes on elsewhere if its pComponent is lost (default: none)")
	return cmd
}

func defaultExCache() uint64 { return uint64(configs.DefaultVNode().Excache.Lines) * wire.PageSize }

// spec reads the flags.
func (f *vnodeFlags) spec() (s httpapi.VNodeSpec, err error) {
	s.Name, s.Tenant, s.Priority, s.IfFull, s.ApartFrom, s.ApartLevel = f.name, f.tenant, f.priority, f.ifFull, f.apart, f.level
	if _, ok := apart.ParseLevel(f.level); !ok || f.level != "" && f.apart == "" {
		return s, usage("--apart-level: %q, want component or rack, and --apart-from, too", f.level)
	}
	switch {
	case f.deadline < time.Millisecond || f.deadline > httpapi.MaxWait:
		return s, usage("--queue-deadline: %s, want 1ms to %s", f.deadline, httpapi.MaxWait)
	case f.threads < 0 || f.threads > configs.MaxThreads:
		return s, usage("--threads: %d, want 1 to %d", f.threads, configs.MaxThreads)
	case f.trace == "" && (f.format != "" || f.repeat != 1 || f.maxRefs != 0 || f.order != configs.OrderTrace || f.every != 0):
		return s, usage("--format, --order, --repeat, --max-refs and --checkpoint-every are of a trace, want --trace, too")
	case f.order != configs.OrderTrace && f.order != configs.OrderThreads:
		return s, usage("--order: %q, want one of %s, %s", f.order, configs.OrderThreads, configs.OrderTrace)
	case f.repeat < 1:
		return s, usage("--repeat: %d, want at least 1", f.repeat)
	}
	s.DeadlineMS = uint32(f.deadline.Milliseconds())
	s.Threads = uint32(max(f.threads, 1))
	bytes := defaultExCache()
	if f.excache != "" {
		if bytes, err = configs.ParseBytes(f.excache); err != nil {
			return s, usage("--excache: %w", err)
		}
	}
	if bytes == 0 || bytes%wire.PageSize != 0 || bytes/wire.PageSize > math.MaxInt32 {
		return s, usage("--excache: %s, want a multiple of %s of at most %s", configs.FormatBytes(bytes), configs.FormatBytes(wire.PageSize), configs.FormatBytes(math.MaxInt32*wire.PageSize))
	}
	s.ExCacheLines = bytes / wire.PageSize
	if f.memory != "" {
		if s.MemoryBytes, err = configs.ParseBytes(f.memory); err != nil {
			return s, usage("--memory: %w", err)
		}
	}
	if s.Memory, err = memoryFlag(f.replication); err != nil {
		return s, err
	}
	for _, text := range f.volumes {
		v, err := volumeFlag(text, f.trace != "")
		if err != nil {
			return s, err
		}
		if f.trace != "" {
			f.kept = append(f.kept, v)
		} else {
			s.Volumes = append(s.Volumes, v.VolumeSpec)
		}
	}
	return s, nil
}

// memoryFlag reads what the memory of a vNode survives; nil if nothing is said.
func memoryFlag(text string) (*httpapi.MemorySpec, error) {
	if text == "" {
		return nil, nil
	}
	kind, more, _ := strings.Cut(text, ",")
	m := &httpapi.MemorySpec{Replication: kind}
	numbers := map[string]*uint32{"copies": &m.Copies, "data": &m.Data, "parity": &m.Parity}
	for more != "" {
		var one string
		one, more, _ = strings.Cut(more, ",")
		key, value, _ := strings.Cut(one, "=")
		if n := numbers[key]; n != nil {
			x, err := strconv.ParseUint(value, 10, 8)
			if err != nil || x == 0 {
				return nil, usage("--replication %s: %s: %q, want a number above 0", kind, key, value)
			}
			*n = uint32(x)
		} else if key == "log_full" {
			m.LogFull = value
		} else {
			return nil, usage("--replication %s: %q, want copies=N, log_full=block or skip, data=N or parity=N", kind, one)
		}
	}
	if err := m.Check(); err != nil {
		return nil, usage("--replication: %w", err)
	}
	return m, nil
}

// keptVolume is a volume of the command line: one to be made, or, by its name, one of a trace.
type keptVolume struct {
	httpapi.VolumeSpec
	copies configs.Volume
}

// volumeFlag reads one volume. Those of a trace have their sizes.
func volumeFlag(text string, ofTrace bool) (out keptVolume, err error) {
	head, more, _ := strings.Cut(text, ",")
	name, size, ok := strings.Cut(head, "=")
	switch {
	case ofTrace && ok:
		return out, usage("--volume %s: its size is that of the trace, want NAME,replicas=N, as in disk,replicas=3", name)
	case !ofTrace && (!ok || name == ""):
		return out, usage("--volume: %q, want NAME=SIZE, as in disk=1GiB", text)
	}
	vol := &out.VolumeSpec
	vol.Name = name
	if !ofTrace {
		if vol.SizeBytes, err = configs.ParseBytes(size); err != nil {
			return out, usage("--volume %s: %w", name, err)
		}
	}
	for more != "" {
		var one string
		one, more, _ = strings.Cut(more, ",")
		switch key, value, _ := strings.Cut(one, "="); {
		case key == "apart_from" && !ofTrace:
			vol.ApartFrom = value
		case key == "apart_level" && !ofTrace:
			vol.ApartLevel = value
		case key == "replicas" || key == "write_quorum" || key == "read_quorum":
			n, err := strconv.ParseUint(value, 10, 8)
			if err != nil {
				return out, usage("--volume %s: %s: %q, want a number", name, key, value)
			}
			*map[string]*uint8{"replicas": &vol.Replicas, "write_quorum": &vol.WriteQuorum, "read_quorum": &vol.ReadQuorum}[key] = uint8(n)
		case key == "write":
			if value != configs.WriteBack && value != configs.WriteThrough {
				return out, usage("--volume %s: write: %q, want %s or %s", name, value, configs.WriteBack, configs.WriteThrough)
			}
			vol.Through = value == configs.WriteThrough
		case ofTrace:
			return out, usage("--volume %s: %q, want replicas=N, write_quorum=N, read_quorum=N or write=back or through", name, one)
		default:
			return out, usage("--volume %s: %q, want apart_from=GROUP, apart_level=component or rack, replicas=N, write_quorum=N, read_quorum=N or write=back or through", name, one)
		}
	}
	out.copies = configs.Volume{Name: name, Replicas: int(max(vol.Replicas, 1)), WriteQuorum: int(vol.WriteQuorum), ReadQuorum: int(vol.ReadQuorum), Write: configs.WriteBack}
	if vol.Through {
		out.copies.Write = configs.WriteThrough
	}
	quorums := out.copies.Copies()
	for _, f := range quorums.Faults() {
		return out, usage("--volume %s: %s: %s", name, f.Key, f.Text)
	}
	if quorums.Replicated() {
		vol.WriteQuorum, vol.ReadQuorum = quorums.WriteQuorum, quorums.ReadQuorum
	}
	return out, nil
}

func (a *app) vnodeCreate(ctx context.Context, f *vnodeFlags) error {
	s, err := f.spec()
	if err != nil {
		return err
	}
	var p *replay.Program
	if f.trace != "" {
		if p, err = f.program(ctx, &s); err != nil {
			return err
		}
	}
	r, err := a.remote(ctx, f.on)
	if err != nil {
		return err
	}
	v, err := r.admit(ctx, s, p, f.deadline)
	if err != nil {
		return err
	}
	return a.printVNodes(v, []httpapi.VNode{v})
}

// admit has the managers admit a vNode and, if there is one, starts its program. Where the cluster keeps spans it is a trace.
func (r *remote) admit(ctx context.Context, s httpapi.VNodeSpec, p *replay.Program, wait time.Duration) (v httpapi.VNode, err error) {
	if at := r.st.Cluster.Trace.OtlpEndpoint; at != "" {
		spans := node.NewSpans(at, r.st.ClusterID, clientName, wire.RoleClient.String(), slog.New(slog.DiscardHandler))
		defer spans.Close()
		r.spans = spans
		var end func(error)
		ctx, end = span.Begin(ctx, spans, "admission", span.Attr{Key: "vnode", Text: s.Name})
		defer func() { end(err) }()
	}
	if _, err := r.again(ctx, http.MethodPost, "/vnodes", crand.Text(), s, &v, wait); err != nil || p == nil {
		return v, err
	}
	if err := r.startProgram(ctx, p, v); err != nil {
		// Nobody asked for a vNode without its process.
		clear, cancel := context.WithTimeout(context.WithoutCancel(ctx), remoteTimeout)
		defer cancel()
		if derr := r.call(clear, http.MethodDelete, vnodePath(v.PID)+"?force=true", nil, nil, 0); derr != nil {
			err = errors.Join(err, fmt.Errorf("vNode %d is left: %w", v.PID, derr))
		}
		return v, err
	}
	return v, nil
}

// clientName is what the program calls itself where it starts a process.
const clientName = "vnode"

// program reads the trace and adds to the spec what it needs.
func (f *vnodeFlags) program(ctx context.Context, s *httpapi.VNodeSpec) (*replay.Program, error) {
	v := configs.DefaultVNode()
	path, name := f.trace, ""
	if generate.Is(path) {
		name, _, _ = strings.Cut(strings.TrimPrefix(path, generate.Prefix), "?")
	} else {
		var err error
		if path, err = filepath.Abs(path); err != nil { // the process that opens it has another folder
			return nil, fmt.Errorf("find the current folder: %w", err)
		}
		name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	if s.Name == "" {
		s.Name = name
	}
	v.Name, v.Trace, v.Format, v.Threads, v.Order, v.Repeat, v.MaxRefs = s.Name, path, f.format, f.threads, f.order, f.repeat, f.maxRefs
	v.Checkpoint.Every = f.every
	for _, w := range f.kept {
		v.Volumes = append(v.Volumes, w.copies)
	}
	v.Excache.Lines = int(s.ExCacheLines)
	if v.Excache.Ways > 0 && v.Excache.Lines%v.Excache.Ways != 0 || v.Excache.Lines < v.Excache.Ways {
		v.Excache.Ways = 0 // what does not divide into sets is fully associative
	}
	if err := v.Excache.Options.Validate(); err != nil {
		return nil, usage("--excache: %w", err)
	}
	p, err := replay.NewProgram(ctx, &v)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, usage("--trace: %w", err)
	}
	s.Restart = p.Spec.Checkpoints.On
	s.Threads = uint32(p.Spec.Threads)
	for _, vol := range p.Volumes() {
		w := httpapi.VolumeSpec{Name: vol.Name, SizeBytes: vol.SizeBytes, Through: vol.Copies.Through}
		if c := vol.Copies; c.Replicated() {
			w.Replicas, w.WriteQuorum, w.ReadQuorum = c.Replicas, c.WriteQuorum, c.ReadQuorum
		}
		s.Volumes = append(s.Volumes, w)
	}
	return p, nil
}

// startProgram starts the process of a vNode that was admitted. A place that moves meanwhile is looked for.
func (r *remote) startProgram(ctx context.Context, p *replay.Program, v httpapi.VNode) error {
	for deadline := time.Now().Add(replay.StartPatience); ; {
		var d httpapi.VNodeDetail
		if err := r.get(ctx, vnodePath(v.PID), &d); err != nil {
			return err
		}
		err := r.startAt(ctx, p, d)
		if !errors.Is(err, wire.ErrNotOwner) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		select { // until the managers have it in their books
		case <-time.After(startPause):
		case <-ctx.Done():
		}
	}
}

// startPause is the pause before a place that moves is asked for again.
const startPause = 50 * time.Millisecond

// startAt starts a process where its vNode is said to be.
func (r *remote) startAt(ctx context.Context, p *replay.Program, d httpapi.VNodeDetail) error {
	if d.Home == nil || len(d.Volumes) != len(p.Volumes()) {
		return fmt.Errorf("vNode %d has no home, or not the volumes that it asked for", d.PID)
	}
	at := replay.Place{
		PID: d.PID, Epoch: wire.Epoch(d.Epoch), RegionBytes: d.Home.RegionBytes,
		Home: wire.Owner{Node: wire.NodeID(d.Home.Node), Addr: d.Home.Addr, Epoch: wire.Epoch(d.Home.Epoch), Member: wire.Epoch(d.Home.Member)},
	}
	for _, w := range d.Volumes {
		v := replay.VolumeAt{
			ID: w.Volume, Epoch: wire.Epoch(w.Epoch), SizeBytes: w.SizeBytes, Storage: wire.NodeID(w.Storage), StorageAddr: w.StorageAddr,
			Cache: wire.NodeID(w.Cache), CacheAddr: w.CacheAddr, Config: w.Config, WriteQuorum: w.WriteQuorum, ReadQuorum: w.ReadQuorum, Through: w.Through,
		}
		for _, r := range w.Replicas {
			v.Replicas = append(v.Replicas, wire.VolumeReplica{Node: wire.NodeID(r.Node), Addr: r.Addr, State: states[r.State]})
		}
		at.Volumes = append(at.Volumes, v)
	}
	net := r.st.Cluster.Netlayer.Peer
	net.Cluster, net.Token, net.Role, net.Node = r.st.ClusterID, r.st.Cluster.Token, wire.RoleClient, clientName
	net.Spans = r.spans
	net.Log = slog.New(slog.DiscardHandler)
	if err := netlayer.Addr(d.Addr).Validate(); err != nil {
		return fmt.Errorf("%s cannot be reached: %s", d.Node, d.ProgressError)
	}
	peer := netlayer.NewPeer(netlayer.Addr(d.Addr), net)
	defer peer.Close()
	if err := p.Start(ctx, peer, at); err != nil {
		return fmt.Errorf("start at %s: %w", d.Node, err)
	}
	return nil
}

// states are those of copies by their names.
var states = map[string]wire.ReplicaState{
	wire.ReplicaInSync.String(): wire.ReplicaInSync, wire.ReplicaLeaving.String(): wire.ReplicaLeaving, wire.ReplicaFilling.String(): wire.ReplicaFilling,
	wire.ReplicaRemade.String(): wire.ReplicaRemade,
}

func vnodePath(pid wire.PID) string { return "/vnodes/" + strconv.FormatUint(uint64(pid), 10) }

func (a *app) printVNodes(data any, vs []httpapi.VNode) error {
	return a.print(data, func(w io.Writer) {
		if len(vs) > 0 {
			fmt.Fprintln(w, "PID\tNAME\tPHASE\tTHREADS\tEXCACHE\tPCOMPONENT\tHOME\tVOLUMES")
		}
		for _, v := range vs {
			home := "-"
			if v.Home != nil {
				home = v.Home.Node
			}
			volumes := "-"
			for i, x := range v.Volumes {
				if i == 0 {
					volumes = ""
				} else {
					volumes += ","
				}
				volumes += fmt.Sprintf("%s=%s@%s", x.Name, configs.FormatBytes(x.SizeBytes), x.Storage)
			}
			phase := v.Phase
			if len(v.Lost) > 0 {
				phase += ", lost: " + strings.Join(v.Lost, ", ")
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", v.PID, orDash(v.Name), phase, v.Threads, configs.FormatBytes(v.ExCacheLines*wire.PageSize), v.Node, home, volumes)
		}
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (a *app) vnodeListCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the vNodes of a running cluster",
		Args:  cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			r, err := a.remote(cmd.Context(), on)
			if err != nil {
				return err
			}
			list := httpapi.VNodes{VNodes: []httpapi.VNode{}}
			if err := r.pages(cmd.Context(), "/vnodes", nil, func(ctx context.Context, path string) (string, error) {
				var page httpapi.VNodes
				err := r.get(ctx, path, &page)
				list.VNodes = append(list.VNodes, page.VNodes...)
				return page.Next, err
			}); err != nil {
				return err
			}
			if len(list.VNodes) == 0 {
				a.say("no vNode is in cluster %s", r.st.Name)
			}
			return a.printVNodes(list, list.VNodes)
		}),
	}
	onFlag(cmd, &on)
	return cmd
}

// pidArg reads a process id of the command line.
func pidArg(text string) (wire.PID, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usage("%q is no process id, want a number above 0, see `splitkernel vnode list`", text)
	}
	return wire.PID(n), nil
}

func (a *app) vnodeShowCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "show PID",
		Short: "Show where a vNode is: pComponent, home, vRegions with their owners, volumes, and how far its process is",
		Args:  cobra.ExactArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			pid, err := pidArg(args[0])
			if err != nil {
				return err
			}
			r, err := a.remote(cmd.Context(), on)
			if err != nil {
				return err
			}
			var d httpapi.VNodeDetail
			if err := r.get(cmd.Context(), vnodePath(pid), &d); err != nil {
				return err
			}
			return a.print(d, func(w io.Writer) { writeVNode(w, &d) })
		}),
	}
	onFlag(cmd, &on)
	return cmd
}

func writeVNode(w io.Writer, d *httpapi.VNodeDetail) {
	row := func(name, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if slices.Contains(d.Lost, name) {
			text += ", lost"
		}
		fmt.Fprintf(w, "%s\t%s\n", name, text)
	}
	row("vnode", "%d %s", d.PID, d.Name)
	row("phase", "%s, epoch %d", d.Phase, d.Epoch)
	if len(d.Lost) > 0 {
		row("lost", "%s", strings.Join(d.Lost, ", "))
	}
	if d.Placed != nil {
		row("placed", "%s", d.Placed.Format(time.RFC3339))
	}
	row("pcomponent", "%s (epoch %d): %d threads, ExCache %s", d.Node, d.NodeEpoch, d.Threads, configs.FormatBytes(d.ExCacheLines*wire.PageSize))
	if d.ApartFrom != "" {
		row("apart from", "group %s, by %s", d.ApartFrom, d.ApartLevel)
	}
	if d.Home != nil {
		row("home", "%s (epoch %d), vRegions of %s", d.Home.Node, d.Home.Epoch, configs.FormatBytes(d.Home.RegionBytes))
	}
	if m := d.Memory; m != nil {
		text := m.Replication
		switch {
		case m.Data > 0:
			text += fmt.Sprintf(", %d + %d shares", m.Data, m.Parity)
		case m.LogFull != "":
			text += fmt.Sprintf(", %d copies, a full log: %s", m.Copies, m.LogFull)
		default:
			text += fmt.Sprintf(", %d copies", m.Copies)
		}
		if m.Backup != "" {
			text += ", home backed up at " + m.Backup
		}
		if m.Recovering+m.Unprotected > 0 {
			text += fmt.Sprintf("; %d recover, %d have too few copies: %d of %d pages", m.Recovering, m.Unprotected, m.PagesDone, m.Pages)
		}
		row("redundancy", "%s", text)
	}
	for _, g := range d.Regions {
		text := ""
		for _, c := range g.Copies {
			if text += ", copy " + c.Node; !c.InSync {
				text += " (fills)"
			}
		}
		if g.Recovering {
			text += ", recovers"
		}
		row(fmt.Sprintf("vregion %d", g.Region), "%s (epoch %d)%s", g.Node, g.Epoch, text)
	}
	for _, g := range d.Reserved {
		what := "vRegions"
		if d.Memory != nil && d.Memory.Data > 0 {
			what = "shares"
		}
		row("reserved", "%d %s at %s", g.Regions, what, g.Node)
	}
	for _, v := range d.Volumes {
		own := ""
		if v.ApartFrom != "" {
			own = fmt.Sprintf(", apart from group %s by %s", v.ApartFrom, v.ApartLevel)
		}
		at := v.Storage
		for i, r := range v.Replicas {
			if i == 0 {
				at = fmt.Sprintf("w %d, r %d of", v.WriteQuorum, v.ReadQuorum)
			}
			at += " " + r.Node
			if r.State != wire.ReplicaInSync.String() {
				at += " (" + r.State + ")"
			}
		}
		if v.Through {
			own = ", written through" + own
		}
		row(fmt.Sprintf("volume %d", v.Volume), "%s, %s at %s, buffer cache %s (epoch %d)%s", v.Name, configs.FormatBytes(v.SizeBytes), at, v.Cache, v.Epoch, own)
	}
	switch p := d.Progress; {
	case d.ProgressError != "":
		row("process", "not known: %s", d.ProgressError)
	case p == nil:
		row("process", "none was started")
	default:
		row("process", "%s: %d references, %d hits, %d block requests", p.State, p.References, p.Hits, p.BlockRequests)
		if p.StepsTotal > 0 {
			row("done", "%.1f %% of its trace", 100*min(float64(p.Steps)/float64(p.StepsTotal), 1))
		}
		if p.Error != "" {
			row("error", "%s", p.Error)
		}
	}
}

func (a *app) vnodeDeleteCommand() *cobra.Command {
	var on string
	var force bool
	cmd := &cobra.Command{
		Use:   "delete PID",
		Short: "Stop the process of a vNode, remove its volumes and give back all that it has",
		Args:  cobra.ExactArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			pid, err := pidArg(args[0])
			if err != nil {
				return err
			}
			r, err := a.remote(cmd.Context(), on)
			if err != nil {
				return err
			}
			var gone httpapi.Deleted
			path := vnodePath(pid) + "?" + url.Values{"force": {strconv.FormatBool(force)}}.Encode()
			tries, err := r.again(cmd.Context(), http.MethodDelete, path, "", nil, &gone, 0)
			if tries > 1 && kindOf(err) == "not_found" {
				gone, err = httpapi.Deleted{PID: pid, Warnings: []string{}}, nil // the manager that ended had done it
			}
			if err != nil {
				return err
			}
			for _, w := range gone.Warnings {
				a.say("warning: %s", w)
			}
			a.say("vNode %d is gone", pid)
			return a.print(gone, func(io.Writer) {})
		}),
	}
	onFlag(cmd, &on)
	cmd.Flags().BoolVar(&force, "force", false, "pass over components that do not answer; what they hold stays there")
	return cmd
}
