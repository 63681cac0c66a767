package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
	"splitkernel/sim/node"
)

// threeAndTwo is three managers and two components of each role, with little room: it is filled to the last bit.
const threeAndTwo = `name: kill
transport: unix
region_bytes: 256KiB
manager:
  lease_ms: 2000
  threads_per_core: 4
  election_ticks: 15
  balance: {gpm: {auto: false}, gmm: {auto: false}, gsm: {auto: false}}
pcomponent: {cores: 2, excache_bytes: 4MiB}
mcomponent: {memory_bytes: 32MiB, buffer_cache_bytes: 1MiB}
scomponent: {capacity_bytes: 64MiB}
nodes:
  - {id: g1, role: manager}
  - {id: g2, role: manager}
  - {id: g3, role: manager}
  - {id: p1, role: pcomponent}
  - {id: p2, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: m2, role: mcomponent}
  - {id: s1, role: scomponent}
  - {id: s2, role: scomponent}
`

// Half of what threeAndTwo has of each resource: two vNodes fill it.
const (
	halfThreads = 2 * 4
	halfLines   = 4 << 20 / wire.PageSize
	halfMemory  = 4 * 32 << 20 // four times what there is, the ratio of overcommit
	halfStorage = 64 << 20
)

// loadKills is how often TestKill9UnderLoad kills a leader.
const loadKills = 6

// askedTries is how often TestKill9OfWhoIsAsked attempts each step until the manager that died is the one that was asked.
const askedTries = 5

// deathbed is a cluster whose managers die at the step that a test names.
type deathbed struct {
	*cluster
	cl       *client.Client
	name     string
	dir, tmp string
	kills    map[string]int // by node
	died     string         // last
	tapes    string         // the folder of the record
	mourn    func()         // if not nil, is called when one has died
}

func newDeathbed(t *testing.T, name string, set ...string) *deathbed {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k := &deathbed{tapes: t.TempDir(), name: fmt.Sprintf("%s-%d", name, os.Getpid()), dir: t.TempDir(), tmp: os.TempDir(), kills: map[string]int{}}
	k.cluster = startRecorded(t, exe, &node.Record{Dir: k.tapes, Commit: "c", ConfigDigest: "d"}, threeAndTwo, set...)
	k.cl = k.asks(t)
	sup, err := launcher.Attend(k.name, k.Cluster) // so that the command line finds it
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan error, 1)
	go func() { answered <- sup.Answer(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-answered; err != nil {
			t.Error(err)
		}
		logs, err := filepath.Glob(filepath.Join(k.logs, "*.log"))
		if err != nil || len(logs) == 0 {
			t.Errorf("no logs in %s: %v", k.logs, err)
		}
		for _, l := range logs {
			if text, err := os.ReadFile(l); err != nil || bytes.Contains(text, []byte("DATA RACE")) || bytes.Contains(text, []byte("panic:")) {
				t.Errorf("%s: %v\n%s", l, err, text)
			}
		}
	})
	return k
}

// sk runs a command line on the cluster.
func (k *deathbed) sk(args ...string) outcome {
	k.t.Helper()
	return sk(k.t, k.dir, k.tmp, append(args, "--on", k.name)...)
}

// audit wants the books to agree with each other and with what the components hold.
func (k *deathbed) audit(what string) {
	k.t.Helper()
	if got := k.sk("audit"); got.code != codeDone {
		k.t.Fatalf("%s: audit ends with %d: %s%s", what, got.code, got.stdout, got.stderr)
	}
}

// killAt does something during which the manager that leads dies at a step, or some time after it began, and starts it again.
func (k *deathbed) killAt(step string, after time.Duration, do func() error) error {
	k.t.Helper()
	k.arm(step, after)
	done := make(chan error, 1)
	go func() { done <- do() }()
	k.again(step) // the last step may come after the answer
	return <-done
}

// arm has the manager die that comes to a step next.
func (k *deathbed) arm(step string, after time.Duration) {
	k.t.Helper()
	armed := filepath.Join(k.Dir(), armedName)
	if err := os.WriteFile(armed+".new", fmt.Appendf(nil, "%s\n%s", step, after), 0o600); err != nil {
		k.t.Fatal(err)
	}
	if err := os.Rename(armed+".new", armed); err != nil {
		k.t.Fatal(err)
	}
}

// again starts the manager again that dies at a step.
func (k *deathbed) again(step string) {
	k.t.Helper()
	select {
	case d := <-k.Died():
		if d.How != "signal: killed" {
			k.t.Fatalf("%s: %s ended by itself: %s\n%s", step, d.ID, d.How, d.Tail)
		}
		if k.mourn != nil {
			k.mourn()
		}
		k.died = d.ID
		k.kills[d.ID]++
		if err := k.Restart(background(k.t), d.ID); err != nil {
			k.t.Fatalf("%s: %v", step, err)
		}
	case <-background(k.t).Done():
		k.t.Fatalf("%s: was not reached", step)
	}
}

// admit has a vNode admitted and its volumes made, as a run does.
func (k *deathbed) admit(s admission.VNodeSpec) (admission.Placement, error) {
	ctx := background(k.t)
	p, err := k.cl.Admit(ctx, s)
	if err != nil {
		return p, err
	}
	return p, k.make(ctx, p, s)
}

// make makes the volumes of a vNode that was admitted.
func (k *deathbed) make(ctx context.Context, p admission.Placement, s admission.VNodeSpec) error {
	for i, v := range p.Volumes {
		req := wire.VolumeCreateReq{Volume: v.Volume, Epoch: v.Epoch, Name: s.Volumes[i].Name, SizeBytes: v.SizeBytes}
		if err := k.control(ctx, v.StorageAddr, wire.OpVolumeCreate, v.Epoch, &req); err != nil {
			return fmt.Errorf("volume %d at %s: %w", v.Volume, v.Storage, err)
		}
	}
	return nil
}

// release gives a vNode back, its volumes first.
func (k *deathbed) release(p admission.Placement) error {
	ctx := background(k.t)
	if err := k.unmake(ctx, p); err != nil {
		return err
	}
	return k.cl.Release(ctx, p.PID)
}

// unmake removes the volumes of a vNode.
func (k *deathbed) unmake(ctx context.Context, p admission.Placement) error {
	for _, v := range p.Volumes {
		if err := k.control(ctx, v.StorageAddr, wire.OpVolumeDelete, v.Epoch, &wire.VolumeRef{Volume: v.Volume, Epoch: v.Epoch}); err != nil && !errors.Is(err, wire.ErrNotFound) {
			return fmt.Errorf("volume %d at %s: %w", v.Volume, v.Storage, err)
		}
	}
	return nil
}

func (k *deathbed) control(ctx context.Context, addr string, op wire.Op, epoch wire.Epoch, req any) error {
	p := netlayer.NewPeer(netlayer.Addr(addr), k.net())
	defer p.Close()
	return p.Control(ctx, op, epoch, req, nil)
}

// lives checks that the vNodes of GPM are those that somebody was told of.
func (k *deathbed) lives(what string, told map[wire.PID]admission.Placement) {
	k.t.Helper()
	ps, err := k.cl.Processes(background(k.t))
	if err != nil {
		k.t.Fatal(err)
	}
	var got []wire.PID
	for _, p := range ps {
		got = append(got, p.PID)
		if p.Phase != admission.Running {
			k.t.Errorf("%s: vNode %d is %v", what, p.PID, p.Phase)
		}
	}
	if want := slices.Sorted(maps.Keys(told)); !slices.Equal(got, want) {
		k.t.Fatalf("%s: the vNodes are %v, told were %v", what, got, want)
	}
}

// half is a vNode of half of the cluster, less or more by some of each resource.
func half(threads int, lines, regions, pages int) admission.VNodeSpec {
	return admission.VNodeSpec{
		Name: "half", Threads: uint32(halfThreads + threads), ExCacheLines: uint64(halfLines + lines), MemoryBytes: uint64(halfMemory + regions*(256<<10)),
		Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: uint64(halfStorage + pages*wire.PageSize)}},
	}
}

// exact fills the empty cluster to the last thread, line, vRegion and page, finds that no more fits, and empties it again.
func (k *deathbed) exact(what string) {
	k.t.Helper()
	one, err := k.admit(half(0, 0, 0, 0))
	if err != nil {
		k.t.Fatalf("%s: half of the cluster: %v", what, err)
	}
	for _, more := range []struct {
		spec admission.VNodeSpec
		want string
	}{
		{half(1, 0, 0, 0), `threads: vNode "half" wants 9 `}, {half(0, 1, 0, 0), `excache_lines: vNode "half" wants 1025 `},
		{half(0, 0, 1, 0), "memory_bytes: "}, {half(0, 0, 0, 1), "storage_bytes: "},
	} {
		if p, err := k.admit(more.spec); !errors.Is(err, wire.ErrNoRoom) || !strings.Contains(err.Error(), more.want) {
			k.t.Fatalf("%s: more than the other half: %+v, %v; want %q", what, p, err, more.want)
		}
	}
	two, err := k.admit(half(0, 0, 0, 0))
	if err != nil {
		k.t.Fatalf("%s: the other half: %v", what, err)
	}
	k.audit(what + ", full")
	for _, p := range []admission.Placement{one, two} {
		if err := k.release(p); err != nil {
			k.t.Fatalf("%s: %v", what, err)
		}
	}
	k.lives(what+", empty", nil)
	k.audit(what + ", empty")
}

// probe returns the process id that was given last.
func (k *deathbed) probe() wire.PID {
	k.t.Helper()
	p, err := k.admit(small)
	if err == nil {
		err = k.release(p)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return p.PID
}

// small fits often; of overfull no sComponent has so much free, but GMM has room and holds it.
var (
	small    = admission.VNodeSpec{Name: "small", Threads: 1, ExCacheLines: 10, MemoryBytes: 512 << 10, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 8192}}}
	overfull = admission.VNodeSpec{Name: "overfull", Threads: 1, ExCacheLines: 10, MemoryBytes: 512 << 10, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: halfStorage + 1}}}
)

// steps of a way through the two-phase commit. A ~ stands for: while it is under way.
var (
	commitSteps = []string{
		"admit logged", "prepare gmm~", "prepare gmm answered", "prepare gsm~", "prepare gsm answered", "decide commit", "decide commit answered",
		"commit gmm~", "commit gmm answered", "commit gsm~", "commit gsm answered", "end commit", "end commit answered",
	}
	abortSteps = []string{
		"prepare gsm answered", "decide abort", "decide abort answered", "free gmm~", "free gmm answered", "free gsm~", "free gsm answered", "end free", "end free answered",
	}
	releaseSteps = []string{"release logged", "free gmm~", "free gmm answered", "free gsm~", "free gsm answered", "end free", "end free answered"}
)

// timing takes a step of the tables apart. What is sent to a participant of another process takes about a millisecond.
func timing(step string) (string, time.Duration) {
	if name, ok := strings.CutSuffix(step, "~"); ok {
		return name, time.Duration(1 + rand.Int64N(int64(2*time.Millisecond)))
	}
	return step, 0
}

// TestKill9AtEveryStep: the real process of the manager that leads GPM is killed at each step of admissions, refused
// admissions and releases, by itself with SIGKILL, and is started again. The client is answered nevertheless, truly; the books
// agree with each other and with what the components hold; and in the end there is room for exactly as much as in the beginning.
func TestKill9AtEveryStep(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	k := newDeathbed(t, "kill")
	k.exact("at first")
	told := map[wire.PID]admission.Placement{}
	last := k.probe()
	for i, s := range commitSteps {
		step, after := timing(s)
		var p admission.Placement
		err := k.killAt(step, after, func() (err error) { p, err = k.admit(small); return err })
		if err != nil || p.PID == 0 || p.Home.Node == "" || len(p.Volumes) != 1 {
			t.Fatalf("admission, %s: %+v, %v", s, p, err)
		}
		// Each attempt takes the next process id. What is decided is carried out; what is not is aborted and tried again.
		if again := p.PID != last+1; again == (i >= slices.Index(commitSteps, "decide commit answered")) {
			t.Errorf("admission, %s: process %d after %d: another attempt was made: %v", s, p.PID, last, again)
		}
		last = p.PID
		told[p.PID] = p
		k.audit("admission, " + s)
		k.lives("admission, "+s, told)
	}
	for _, s := range abortSteps {
		step, after := timing(s)
		err := k.killAt(step, after, func() error { _, err := k.admit(overfull); return err })
		if !errors.Is(err, wire.ErrNoRoom) || !strings.Contains(err.Error(), `storage_bytes: volume "v" wants 67112960`) {
			t.Fatalf("refusal, %s: %v", s, err)
		}
		k.audit("refusal, " + s)
		k.lives("refusal, "+s, told)
	}
	for i, pid := range slices.Sorted(maps.Keys(told)) {
		if i >= len(releaseSteps) {
			if err := k.release(told[pid]); err != nil {
				t.Fatal(err)
			}
			continue
		}
		s := releaseSteps[i]
		step, after := timing(s)
		if err := k.killAt(step, after, func() error { return k.release(told[pid]) }); err != nil {
			t.Fatalf("release, %s: %v", s, err)
		}
		delete(told, pid)
		k.audit("release, " + s)
		k.lives("release, "+s, told)
	}
	k.exact("in the end")
	t.Logf("killed: %v", k.kills)
	// What every manager did until it was killed, and after it was started again, it does again: admissions, refused ones, releases.
	r := k.reexecuted("")
	r.has(t, admission.TapeKind, len(commitSteps)+len(abortSteps))
	r.has(t, admission.InquirerTapeKind, 1)
	if r.killed < len(k.kills) {
		t.Errorf("%d tapes end with a kill, want at least one of each of %v", r.killed, k.kills)
	}
}

// TestKill9UnderLoad kills the leader of GPM again and again, at steps that are drawn, while clients admit, are refused and
// release all the time. What each was told is so in the end, and the room is as it was.
func TestKill9UnderLoad(t *testing.T) {
	t.Parallel()      // it waits for elections most of the time
	const clients = 4 // with two vNodes each at most they take half of the threads; what is being aborted takes some more
	seed := uint64(os.Getpid())
	t.Logf("seed %d", seed)
	k := newDeathbed(t, "killload")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	told, refused, released := map[wire.PID]admission.Placement{}, 0, 0
	ended := make(chan struct{}, 1024) // one for each admission, refusal and release
	for i := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			var mine []admission.Placement
			for {
				select {
				case <-stop:
					return
				default:
				}
				select {
				case ended <- struct{}{}:
				default:
				}
				switch n := rng.IntN(8); {
				case n == 0:
					if _, err := k.admit(overfull); !errors.Is(err, wire.ErrNoRoom) {
						t.Errorf("a vNode that fits nowhere: %v", err)
						return
					}
					mu.Lock()
					refused++
					mu.Unlock()
				case n < 4 && len(mine) > 0:
					if err := k.release(mine[0]); err != nil {
						t.Errorf("release of vNode %d: %v", mine[0].PID, err)
						return
					}
					mu.Lock()
					delete(told, mine[0].PID)
					released++
					mu.Unlock()
					mine = mine[1:]
				case len(mine) < 2:
					s := small
					if n%2 == 0 {
						s.IfFull = admission.Queue // then its leader begins the attempt, not its caller
					}
					p, err := k.admit(s)
					if s.IfFull == admission.Refuse && errors.Is(err, wire.ErrNoRoom) && strings.Contains(err.Error(), "and was passed 32 times") {
						continue // leaders died under the attempts of one that waits; it is its turn
					}
					if err != nil {
						t.Errorf("a vNode that fits: %v", err)
						return
					}
					mine = append(mine, p)
					mu.Lock()
					told[p.PID] = p
					mu.Unlock()
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(seed, clients))
	steps := slices.Concat(commitSteps, abortSteps, releaseSteps)
	for range loadKills {
		s := steps[rng.IntN(len(steps))]
		step, _ := timing(s)
		for range rng.IntN(4 * clients) { // some go undisturbed
			select {
			case <-ended:
			case <-background(t).Done():
				t.Fatal("the clients stand still")
			}
		}
		k.arm(step, time.Duration(rng.Int64N(int64(2*time.Millisecond))))
		k.again(s)
	}
	close(stop)
	wg.Wait()
	k.audit("in the end")
	k.lives("in the end", told)
	t.Logf("killed: %v; %d vNodes are there, %d were released, %d refused", k.kills, len(told), released, refused)
	for _, p := range told {
		if err := k.release(p); err != nil {
			t.Fatal(err)
		}
	}
	k.exact("in the end")
}

// leads makes a manager lead GPM: it kills whoever else does, until it is its turn.
func (k *deathbed) leads(id string) {
	k.t.Helper()
	ctx := background(k.t)
	for {
		leader := ""
		eventually(k.t, "GPM is led", func() bool {
			for _, m := range managers {
				if leads, err := k.counter(ctx, m, "gpm_leads"); err == nil && leads == 1 {
					leader = m
				}
			}
			return leader != ""
		})
		if leader == id {
			return
		}
		if err := k.Kill(leader); err != nil {
			k.t.Fatal(err)
		}
		<-k.Died()
		if err := k.Restart(ctx, leader); err != nil {
			k.t.Fatal(err)
		}
	}
}

// TestKill9OfWhoIsAsked: the manager that the command line asks leads GPM and is killed while it does what it was asked. The
// command asks another one, gets what the first has begun, and nothing is there twice or half.
func TestKill9OfWhoIsAsked(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	k := newDeathbed(t, "killasked")
	asked := managers[0] // the first that lives
	told := map[wire.PID]admission.Placement{}
	holds := func(what string) {
		k.audit(what)
		k.lives(what, told)
	}
	create := func() error {
		got := k.sk("vnode", "create", "--name", "a", "--excache", "64KiB", "--memory", "1MiB", "--volume", "v=8KiB", "-o", "json")
		if got.code != codeDone {
			return fmt.Errorf("exit code %d: %s", got.code, got.stderr)
		}
		var v httpapi.VNode
		if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || v.PID == 0 {
			return fmt.Errorf("created %s: %v", got.stdout, err)
		}
		told[v.PID] = admission.Placement{}
		return nil
	}
	remove := func() error { // there is one
		pid := slices.Sorted(maps.Keys(told))[0]
		if got := k.sk("vnode", "delete", strconv.FormatUint(uint64(pid), 10)); got.code != codeDone {
			return fmt.Errorf("exit code %d: %s", got.code, got.stderr)
		}
		delete(told, pid)
		return nil
	}
	// strikes does something at whose step the leader dies, until that was the manager that was asked: on a busy machine another one
	// may come to lead in between. Then that one dies, and all else holds as well. need is how many vNodes must be there before.
	strikes := func(what, step string, need int, do func() error) {
		for range askedTries {
			for len(told) < need { // earlier attempts deleted what was there
				if err := create(); err != nil {
					t.Fatal(err)
				}
			}
			k.leads(asked)
			if err := k.killAt(step, 0, do); err != nil {
				t.Fatalf("%s, %s: %s died; %v", what, step, k.died, err)
			}
			holds(what + ", " + step)
			if k.died == asked {
				return
			}
			t.Logf("%s, %s: %s led and died, not %s", what, step, k.died, asked)
		}
		t.Fatalf("%s, %s: %s, which was asked, was not the leader that died in any of %d attempts", what, step, asked, askedTries)
	}
	for _, step := range []string{"prepare gmm answered", "end commit answered"} {
		strikes("create", step, 0, create)
	}
	for _, step := range []string{"free gmm answered", "end free answered"} {
		strikes("delete", step, 1, remove)
	}
	for len(told) > 0 { // that attempts at creating left
		if err := remove(); err != nil {
			t.Fatal(err)
		}
	}
	k.exact("in the end")
}

// TestKill9AndTheCallerGoesToo: nobody comes back to ask for what the killed leader had begun. The next one ends it all the same:
// what was decided is carried out, what was not is aborted.
func TestKill9AndTheCallerGoesToo(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	k := newDeathbed(t, "killboth")
	told := map[wire.PID]admission.Placement{}
	for _, c := range []struct {
		step   string
		spec   *admission.VNodeSpec // to admit; nil releases one
		change int                  // of the vNodes
	}{
		{"admit logged", &small, 0}, {"prepare gmm answered", &small, 0}, {"decide commit", &small, 0},
		{"decide commit answered", &small, 1}, {"commit gsm answered", &small, 1}, {"end commit", &small, 1},
		{"decide abort answered", &overfull, 0}, {"free gmm answered", &overfull, 0}, {"end free", &overfull, 0},
		{"release logged", nil, -1}, {"free gsm answered", nil, -1}, {"end free", nil, -1},
	} {
		want := len(told) + c.change
		ctx, cancel := context.WithCancel(background(t))
		k.mourn = cancel
		err := k.killAt(c.step, 0, func() error {
			if c.spec != nil {
				_, err := k.cl.Admit(ctx, *c.spec)
				return err
			}
			first := told[slices.Sorted(maps.Keys(told))[0]]
			if err := k.unmake(ctx, first); err != nil {
				return err
			}
			return k.cl.Release(ctx, first.PID)
		})
		if err != nil && !errors.Is(err, wire.ErrTimeout) {
			t.Fatalf("%s: %v", c.step, err)
		}
		var ps []gpm.Process
		eventually(t, c.step+": it has ended", func() bool {
			ps, err = k.cl.Processes(background(t))
			return err == nil && !slices.ContainsFunc(ps, func(p gpm.Process) bool { return p.Phase != admission.Running })
		})
		clear(told)
		for _, p := range ps {
			at := admission.Placement{PID: p.PID, Volumes: p.Volumes}
			if told[p.PID] = at; k.make(background(t), at, small) != nil { // what nobody has made yet
				t.Fatalf("%s: the volumes of %+v", c.step, p)
			}
		}
		if len(told) != want {
			t.Fatalf("%s: %d vNodes, want %d: %+v", c.step, len(told), want, ps)
		}
		k.audit(c.step)
	}
	k.exact("in the end")
}
