package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/mcomponent/recovery"
	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/node"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
)

// matrixCluster has of everything as many as failures that come one after the other need.
const matrixCluster = `name: matrix
transport: unix
region_bytes: 256KiB
manager: {lease_ms: 1000, sweep_ms: 500, balance: {gpm: {auto: false}, gmm: {auto: false}, gsm: {auto: false}}}
mcomponent: {memory_bytes: 32MiB, buffer_cache_bytes: 1MiB, replica_log_bytes: 8MiB}
scomponent: {capacity_bytes: 256MiB}
nodes:
  - {id: g1, role: manager}
  - {id: g2, role: manager}
  - {id: g3, role: manager}
  - {id: p1, role: pcomponent}
  - {id: p2, role: pcomponent}
  - {id: p3, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: m2, role: mcomponent}
  - {id: m3, role: mcomponent}
  - {id: m4, role: mcomponent}
  - {id: m5, role: mcomponent}
  - {id: s1, role: scomponent}
  - {id: s2, role: scomponent}
  - {id: s3, role: scomponent}
`

const (
	// matrixDelay is added to every message between components until the last failure is over: a process cannot end before, it takes no processor from the
	// other runs, and admissions, moves, checkpoints and recoveries take so many of them that a failure comes while they are under way.
	matrixDelay = time.Millisecond
	matrixRefs  = 60_000
	matrixPages = 256 // four vRegions
	matrixPause = 40 * time.Millisecond
	// matrixRecorded is the policy whose runs are recorded and re-executed; TestMemorySurvivesKill9 does that for sync.
	matrixRecorded = "log"
	// matrixLanes is how many runs there are at a time: they wait, most of the time.
	matrixLanes = 2
	// matrixAll is the variable of the environment that has all runs done; else those of matrixDaily are.
	matrixAll = "MATRIX"
)

// matrixDaily are the runs of every day, one of each policy but none: the others of all runs are for make matrix, which takes some minutes.
var matrixDaily = []int{2, 3, 8, 12, 14}

// TestKillMatrix fails components of real clusters: who × when × under which policy × how, each pair of them somewhere (matrix). What the policy
// survives, the process survives: it ends well, each access is made once and checked, nothing is said to be lost. What it does not survive is
// named, and nothing else fails. Who failed is in the report with the times to detect, to fence, to the first access and to full redundancy; and when all are back, the
// books agree with what the components hold, which is nothing.
func TestKillMatrix(t *testing.T) {
	if raceEnabled {
		t.Skip("real processes, which are built without the race detector anyway: make test runs this without -race, when nothing else runs")
	}
	lane := make(chan struct{}, matrixLanes)
	var wg sync.WaitGroup
	for i, sc := range matrix {
		var words []string
		for _, s := range sc.shots {
			words = append(words, s.String())
		}
		wg.Go(func() {
			lane <- struct{}{}
			defer func() { <-lane }()
			t.Run(fmt.Sprintf("%02d %s: %s", i+1, sc.policy, strings.Join(words, ", ")), func(t *testing.T) {
				if os.Getenv(matrixAll) == "" && !slices.Contains(matrixDaily, i+1) {
					t.Skipf("not a run of every day: make matrix, or %s=1", matrixAll)
				}
				play(t, sc)
			})
		})
	}
	wg.Wait()
}

// matrixRun is a run of the matrix.
type matrixRun struct {
	*cluster
	policy string
	cl     *client.Client
	ctx    context.Context
	done   atomic.Uint64
	over   atomic.Bool
	pid    wire.PID
	failed []failed

	restarts int // of the process
}

// failed is a component of which the report must tell.
type failed struct {
	id    string
	had   bool // memory that others serve now, if it had not just moved away
	fatal bool
}

// matrixWorkload is one process. Its reads and writes go to all its pages, more than its ExCache has.
func matrixWorkload(t *testing.T, policy string) string {
	t.Helper()
	p := matrixPolicies[policy]
	path, more := "", "    memory: "+p.memory+"\n"
	if p.volumes {
		var err error
		if path, err = filepath.Abs("../../configs/traces/sqlite.skt"); err != nil {
			t.Fatal(err)
		}
		more += fmt.Sprintf("    max_refs: %d\n    volumes: [{replicas: 3, write: through}]\n", matrixRefs)
	} else {
		path = synthetic(t, "matrix", 21, matrixPages, 0, matrixRefs, false)
	}
	if p.checkpoints {
		more += "    checkpoint: {every: 250}\n"
	}
	return strings.Replace(one(t, path, 32, ""), "    excache", more+"    excache", 1)
}

func play(t *testing.T, sc scene) {
	text := matrixWorkload(t, sc.policy)
	file := put(t, t.TempDir(), "workload.yaml", text)
	w, err := configs.LoadWorkload(file, configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	var rec *node.Record
	if sc.policy == matrixRecorded {
		rec = &node.Record{Dir: t.TempDir(), Commit: "c", ConfigDigest: "d"}
	}
	var set []string
	if sc.policy == "none" { // who waits for what is lost need not wait long
		set = append(set, "pcomponent.fault.patience_ms=4000")
	}
	c := startRecorded(t, program, rec, matrixCluster, set...)
	k := &matrixRun{cluster: c, policy: sc.policy, cl: c.asks(t), ctx: background(t)}
	t.Cleanup(func() {
		if t.Failed() {
			k.tell()
		}
	})
	quick := c.slow(matrixDelay)
	var wg sync.WaitGroup
	s := c.run(w, func(o *replay.RunOptions) {
		o.Progress = func(p replay.Progress) { k.done.Store(p.Done) }
		o.OnPlaced = func() {
			wg.Go(func() {
				defer quick()
				for i, x := range sc.shots {
					if k.fire(x) && i < len(sc.shots)-1 {
						t.Errorf("%v was not survived, want that only of the last", x)
						return
					}
				}
			})
		}
	})
	k.over.Store(true)
	wg.Wait()
	k.judge(s)
	if rec == nil {
		return
	}
	if err := c.Stop(background(t)); err != nil {
		t.Fatal(err)
	}
	all := reexecuteAll(t, rec.Dir, w.Vnodes[0].Trace)
	all.has(t, replica.HolderTapeKind, 100)
	all.has(t, recovery.TapeKind, 1)
	if all.killed == 0 {
		t.Error("no tape ends with a kill")
	}
}

// judge checks the report, has all come back that is dead, and looks whether anything is left.
func (k *matrixRun) judge(s *report.Summary) {
	t := k.t
	t.Helper()
	if s.Total.IntegrityErrors > 0 || len(s.Lost) > 0 {
		t.Errorf("wrong: %q, lost: %q", s.Integrity, s.Lost)
	}
	last := k.failed[len(k.failed)-1]
	if last.fatal {
		if s.ExitCode() != codeFailed || len(s.Failed) != 1 || !strings.Contains(s.Failed[0], last.id) && !strings.Contains(s.Failed[0], "lost") {
			t.Errorf("exit code %d, %q, want the process to fail because of %s", s.ExitCode(), s.Failed, last.id)
		}
	} else if ok(t, s); s.Total.Accesses != matrixRefs || s.Total.PagesChecked != matrixRefs {
		t.Errorf("%d accesses, %d of them checked, want %d", s.Total.Accesses, s.Total.PagesChecked, matrixRefs)
	}
	for _, r := range s.VNodes[0].Restarts {
		if f := slices.IndexFunc(k.failed, func(f failed) bool { return f.id == string(r.From) }); f < 0 || r.To == r.From && !last.fatal || r.BackAtSeconds < r.LostAtSeconds {
			t.Errorf("%+v, failed were %+v", r, k.failed)
		}
	}
	if k.restarts != len(s.VNodes[0].Restarts) && !last.fatal {
		t.Errorf("the process went on elsewhere %d times, the report tells of %+v", k.restarts, s.VNodes[0].Restarts)
	}
	for _, f := range k.failed {
		i := slices.IndexFunc(s.Failures, func(x report.Failure) bool { return string(x.Component) == f.id })
		switch {
		case strings.HasPrefix(f.id, "g"), f.fatal && i < 0: // managers are not members; a run may end before what ended it is declared dead
		case i < 0 || s.Failures[i].Detect == nil || s.Failures[i].Fence == nil:
			t.Errorf("the report does not tell when %s was found dead and fenced: %+v", f.id, s.Failures)
		case f.had && s.Failures[i].Others > 0 && (s.Failures[i].Access == nil || s.Failures[i].Redundant == nil):
			t.Errorf("the report does not tell when what %s had was served and redundant again: %+v", f.id, s.Failures[i])
		}
	}
	for _, n := range k.Nodes() {
		if !n.Alive {
			if err := k.Restart(k.ctx, n.ID); err != nil {
				t.Error(err)
			}
		}
	}
	var said string
	k.until("nothing is left", func() bool {
		rep, err := httpapi.Audit(k.ctx, k.cl, k.net())
		if said = fmt.Sprintf("%+v, %v", rep, err); err != nil || rep.Regions > 0 || rep.Volumes > 0 || len(rep.Differences) > 0 {
			return false
		}
		return rep.VNodes == 0
	})
	if t.Failed() {
		t.Log(said)
	}
}

// soon waits for something while the process runs.
func (k *matrixRun) soon(what string, is func() bool) {
	k.t.Helper()
	k.until(what, func() bool {
		if k.over.Load() {
			k.t.Fatalf("%s: the process has ended before, after %d accesses", what, k.done.Load())
		}
		return is()
	})
}

// until is eventually with a longer pause: managers are asked, and there are many runs at once.
func (k *matrixRun) until(what string, is func() bool) {
	k.t.Helper()
	last := time.Time{}
	eventually(k.t, what, func() bool {
		if time.Since(last) < matrixPause {
			return false
		}
		last = time.Now()
		return is()
	})
}

// books are those of the process.
func (k *matrixRun) books() (p gpm.Process, m gmm.Process, vs []gsm.Volume, err error) {
	ps, err := k.cl.Processes(k.ctx)
	if err != nil {
		return
	}
	i := slices.IndexFunc(ps, func(p gpm.Process) bool { return p.Name == "one" })
	if i < 0 {
		return p, m, nil, fmt.Errorf("GPM does not know the process: %+v", ps)
	}
	p = ps[i]
	ms, err := k.cl.Regions(k.ctx, p.PID)
	if err != nil || len(ms) != 1 {
		return p, m, nil, fmt.Errorf("GMM: %+v, %w", ms, err)
	}
	all, err := k.cl.Volumes(k.ctx)
	for _, v := range all {
		if v.PID == p.PID {
			vs = append(vs, v)
		}
	}
	return p, ms[0], vs, err
}

// ready waits until the process works, all that failures took is there again, and everybody is alive.
func (k *matrixRun) ready() {
	k.t.Helper()
	at := k.done.Load()
	k.soon("the process goes on", func() bool { return k.done.Load() > at })
	k.soon("all is well", func() bool {
		p, m, vs, err := k.books()
		if err != nil || p.Phase != admission.Running || p.Restarting || len(m.Regions) == 0 {
			return false
		}
		k.pid = p.PID
		copies := matrixPolicies[k.policy].memory != "{replication: none}"
		whole := func(c *gmm.Copies) bool { return !copies || isRestored(c) }
		if !whole(m.Copies) || slices.ContainsFunc(m.Regions, func(r gmm.Region) bool { return !whole(r.Copies) }) {
			return false
		}
		if slices.ContainsFunc(vs, func(v gsm.Volume) bool { return !v.Whole() }) {
			return false
		}
		for _, g := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
			ms, err := k.cl.Members(k.ctx, g)
			if err != nil || slices.ContainsFunc(ms, func(s membership.Status) bool { return s.State != membership.Active || !s.Alive }) {
				return false
			}
		}
		return true
	})
}

// leader is who leads what matters at a moment.
func (k *matrixRun) leader(when string) (leader, follower string) {
	of := wire.GPM
	if when == "migrating" || when == "recovering" {
		of = wire.GMM
	}
	k.soon(fmt.Sprintf("%v is led", of), func() bool {
		st, err := k.cl.Status(k.ctx)
		if err != nil {
			return false
		}
		leads := map[string]bool{}
		for _, g := range st {
			leads[string(g.Leader)] = true
			if g.Manager == of {
				leader = string(g.Leader)
			}
		}
		for _, m := range managers {
			if m != leader && (follower == "" || !leads[m]) {
				follower = m
			}
		}
		return leader != ""
	})
	return leader, follower
}

// who is the component that a shot is for, and what of it may move.
func (k *matrixRun) who(x shot) (id string, thing movelist.Thing) {
	k.t.Helper()
	p, m, vs, err := k.books()
	if err != nil {
		k.t.Fatal(err)
	}
	of := m.Regions[0]
	for _, r := range m.Regions {
		if r.Node != m.Home {
			of = r
		}
	}
	thing = movelist.Thing{Kind: wire.MoveRegion, PID: p.PID, Region: of.Region}
	switch x.who {
	case "pcomponent":
		return string(p.Node), movelist.Thing{Kind: wire.MoveProcess, PID: p.PID}
	case "home":
		return string(m.Home), movelist.Thing{Kind: wire.MoveHome, PID: p.PID}
	case "owner":
		return string(of.Node), thing
	case "holder":
		return string(of.Copies.Holders[0].Node), thing
	case "cache":
		return string(vs[0].Cache), movelist.Thing{Kind: wire.MoveCache, Volume: vs[0].Volume}
	case "scomponent":
		return string(vs[0].Stores()[0]), thing
	}
	leader, follower := k.leader(x.when)
	if x.who == "leader" {
		return leader, thing
	}
	return follower, thing
}

// survives reports whether the process outlives the loss of a component, and had says whether that serves memory of it.
func (k *matrixRun) survives(id string) (survives, had bool) {
	p, m, _, err := k.books()
	if err != nil {
		k.t.Fatal(err)
	}
	policy := matrixPolicies[k.policy]
	if string(p.Node) == id {
		return policy.checkpoints, false
	}
	had = string(m.Home) == id || slices.ContainsFunc(m.Regions, func(r gmm.Region) bool { return string(r.Node) == id })
	return !had || policy.memory != "{replication: none}", had
}

// isRestored reports whether a home or vRegion has all its copies.
func isRestored(c *gmm.Copies) bool {
	return c != nil && !c.Recovering && !c.Short && !slices.ContainsFunc(c.Holders, func(h gmm.Holder) bool { return h.Filling })
}

// bearable waits, when another component was lost before, until that of id too is within the promise: of nothing that id serves or holds has
// a second copy been lost with the other. On a slow machine the recovery takes longer than to declare id dead. Of what id has nothing it goes on.
func (k *matrixRun) bearable(id string) {
	k.t.Helper()
	if matrixPolicies[k.policy].memory == "{replication: none}" {
		return
	}
	k.until("the loss of "+id+" can be borne", func() bool {
		_, m, _, err := k.books()
		if err != nil {
			return false
		}
		at := func(node wire.NodeID, c *gmm.Copies) bool {
			return string(node) == id || c != nil && slices.ContainsFunc(c.Holders, func(h gmm.Holder) bool { return string(h.Node) == id })
		}
		if at(m.Home, m.Copies) && !isRestored(m.Copies) {
			return false
		}
		return !slices.ContainsFunc(m.Regions, func(r gmm.Region) bool { return at(r.Node, r.Copies) && !isRestored(r.Copies) })
	})
}

// fire has one shot, and reports whether the process did not survive it.
func (k *matrixRun) fire(x shot) (fatal bool) {
	t := k.t
	k.ready()
	id, thing := k.who(x)
	var first string // is killed before, and not back
	end := func() {} // of what goes on meanwhile
	switch x.when {
	case "admitting":
		admitted := make(chan error, 1)
		go func() { admitted <- k.admitAndRelease() }()
		end = func() {
			if err := <-admitted; err != nil {
				t.Errorf("%v: a vNode that was being admitted: %v", x, err)
			}
		}
	case "migrating":
		move, err := k.cl.Move(k.ctx, thing, "")
		if err != nil {
			t.Fatalf("%v: %v", x, err)
		}
		end = func() {
			k.until("the move ends", func() bool {
				list, err := k.cl.Moves(k.ctx, move.Manager)
				return err == nil && !slices.ContainsFunc(list, func(m movelist.Move) bool { return !m.Ended() })
			})
		}
	case "recovering":
		first = k.loseAnother(id)
		if x.who == "pcomponent" && first == id { // the process is on its way to another
			id, _ = k.who(x)
		}
	}
	if x.when == "migrating" && x.who == "pcomponent" { // it may have moved before we came to it
		id, _ = k.who(x)
	}
	if first != "" {
		k.bearable(id)
	}
	survives, had := k.survives(id)
	k.failed = append(k.failed, failed{id: id, had: had && survives && x.when != "recovering", fatal: !survives})
	if p, _, _, err := k.books(); err != nil {
		t.Fatal(err)
	} else if string(p.Node) == id && survives {
		k.restarts++
	}
	t.Logf("after %d accesses: %v: %s", k.done.Load(), x, id)
	before := k.epoch(id)
	if x.how == "stop" {
		k.signal(id, syscall.SIGSTOP)
	} else if err := k.Kill(id); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(id, "g") {
		if at := k.done.Load(); survives {
			k.soon("managers are off the data path", func() bool { return k.done.Load() > at })
		}
	} else {
		k.fenced(id, before)
	}
	if x.how == "stop" {
		k.signal(id, syscall.SIGCONT)
	} else if err := k.Restart(k.ctx, id); err != nil {
		t.Fatal(err)
	}
	if first != "" {
		if err := k.Restart(k.ctx, first); err != nil {
			t.Fatal(err)
		}
	}
	end()
	if survives {
		k.ready()
	}
	return !survives
}

// loseAnother kills another component than the one whose turn it is, of which something has to be recovered under the policy of the process: an owner
// of its memory that is neither home nor its backup, for a backup is one; the pComponent of a process with checkpoints; or one that the process does not
// use.
func (k *matrixRun) loseAnother(not string) string {
	k.t.Helper()
	p, m, _, err := k.books()
	if err != nil {
		k.t.Fatal(err)
	}
	victim := ""
	switch policy := matrixPolicies[k.policy]; {
	case policy.checkpoints:
		victim = string(p.Node)
	case policy.memory == "{replication: none}":
		for _, n := range k.Nodes() {
			if n.Role == wire.RoleCompute.String() && n.ID != string(p.Node) {
				victim = n.ID
			}
		}
	default:
		for _, r := range m.Regions {
			if id := string(r.Node); id != not && r.Node != m.Home && !slices.ContainsFunc(m.Copies.Holders, func(h gmm.Holder) bool { return h.Node == r.Node }) {
				victim = id
			}
		}
		if victim == "" { // then a holder
			for _, h := range m.Regions[0].Copies.Holders {
				if id := string(h.Node); id != not && h.Node != m.Home && !slices.ContainsFunc(m.Copies.Holders, func(b gmm.Holder) bool { return b.Node == h.Node }) {
					victim = id
				}
			}
		}
	}
	if victim == "" {
		k.t.Fatalf("nobody but %s may be lost: %+v", not, m)
	}
	k.failed = append(k.failed, failed{id: victim})
	if string(p.Node) == victim {
		k.restarts++
	}
	before := k.epoch(victim)
	if err := k.Kill(victim); err != nil {
		k.t.Fatal(err)
	}
	k.fenced(victim, before)
	return victim
}

// fenced waits until a majority of managers has the epoch of a component as ended.
func (k *matrixRun) fenced(id string, epoch wire.Epoch) {
	k.t.Helper()
	of := managerOf(id)
	k.until(id+" is declared dead and fenced", func() bool {
		list, _, err := k.cl.Events(k.ctx, of, 0, 0)
		return err == nil && slices.ContainsFunc(list, func(e events.Event) bool {
			return e.Kind == events.Fenced && string(e.Node) == id && e.Epoch == epoch
		})
	})
}

// managerOf is whose member a component is, 0 if it is a manager.
func managerOf(id string) wire.Manager {
	return map[byte]wire.Manager{'p': wire.GPM, 'm': wire.GMM, 's': wire.GSM}[id[0]]
}

// epoch is that of a component's membership, 0 if it was declared dead.
func (k *matrixRun) epoch(id string) (epoch wire.Epoch) {
	of := managerOf(id)
	if of == 0 {
		return 0
	}
	k.until(fmt.Sprintf("%v tells its members", of), func() bool {
		ms, err := k.cl.Members(k.ctx, of)
		if err != nil {
			return false
		}
		epoch = 0
		for _, s := range ms {
			if string(s.Member.ID) == id && s.State != membership.Dead {
				epoch = s.Member.Epoch
			}
		}
		return true
	})
	return epoch
}

// admitAndRelease has a vNode with memory and a volume admitted, and gives it back.
func (k *matrixRun) admitAndRelease() error {
	ctx, cancel := context.WithTimeout(k.ctx, time.Minute)
	defer cancel()
	p, err := k.cl.Admit(ctx, small)
	if err != nil {
		return err
	}
	return k.cl.Release(ctx, p.PID)
}

// tell logs what the managers did, and what they think of the process.
func (k *matrixRun) tell() {
	for _, g := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		list, _, err := k.cl.Events(k.ctx, g, 0, 0)
		if err != nil {
			k.t.Log(err)
		}
		for _, e := range list {
			k.t.Logf("%v: %+v", g, e)
		}
	}
	p, m, vs, err := k.books()
	k.t.Logf("%+v\n%+v\n%+v\n%v", p, m, vs, err)
}
