package vcluster

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// stepsSeeds is how many runs TestEveryStepOfAnAdmission makes.
func stepsSeeds() int {
	if raceEnabled {
		return 250
	}
	return 2000
}

// vnodeLife admits two vNodes, one of which fits nowhere, and gives back what was admitted, while commands fare as at says. It returns
// what clients were told, with the digest of all that happened, how many commands were committed, and how many questions of
// participants were answered.
func vnodeLife(seed uint64, at []RaftFault) (told string, digest uint64, commits, inquired int, err error) {
	o := small(2, 2, 2)
	o.Seed, o.Raft.At = seed, at
	c, err := New(o)
	if err != nil {
		return "", 0, 0, 0, err
	}
	defer c.Close()
	g := c.gm
	c.Go("client", func(y *vtime.Proc) {
		spec := admission.VNodeSpec{Name: "one", Threads: 1, ExCacheLines: 8, MemoryBytes: 2 << 20, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 1 << 20}}}
		p, e := c.Admit(y, spec)
		if e != nil {
			err = fmt.Errorf("the admission: %w", e)
			return
		}
		v := VolumeOptions{ID: p.Volumes[0].Volume, Epoch: p.Volumes[0].Epoch, Name: "v", SizeBytes: 1 << 20, Storage: p.Volumes[0].Storage, Cache: p.Volumes[0].Cache}
		if err = c.CreateVolume(y, p.Node, v); err != nil {
			return
		}
		large := spec
		large.Name, large.Volumes = "large", []admission.VolumeSpec{{Name: "v", SizeBytes: o.Nodes[3].StorageBytes + 4096}}
		if _, e := c.Admit(y, large); wire.KindOf(e) != wire.KindNoRoom {
			err = fmt.Errorf("one that fits nowhere: %v", e)
			return
		}
		y.Sleep(10 * time.Second) // whatever comes late has come
		ps, hs, vs := g.gpm.Processes(0), g.gmm.Processes(0), g.gsm.Volumes(0)
		if len(ps) != 1 || len(hs) != 1 || len(vs) != 1 || ps[0].PID != p.PID || ps[0].Phase != admission.Running || hs[0].PID != p.PID || vs[0].PID != p.PID {
			err = fmt.Errorf("vNode %d is admitted, the books have %+v, %+v, %+v", p.PID, ps, hs, vs)
			return
		}
		told = fmt.Sprintf("%d at %s, home %s, volume %d at %s", p.PID, p.Node, p.Home.Node, p.Volumes[0].Volume, p.Volumes[0].Storage)
		if d := c.Audit(); len(d) > 0 {
			err = fmt.Errorf("while it is there: %+v", d)
			return
		}
		if err = c.DeleteVolume(y, p.Node, v); err != nil {
			return
		}
		if e := c.Release(y, p.PID); e != nil {
			err = fmt.Errorf("the release: %w", e)
		}
	})
	if e := c.clock.Run(vtime.Limits{Events: 1_000_000}); e != nil {
		return told, 0, 0, 0, e
	}
	if err == nil && c.clock.Pending() > 0 {
		err = fmt.Errorf("%d events are pending at %v", c.clock.Pending(), c.Now())
	}
	if err == nil {
		err = balanced(c)
	}
	if d := c.Audit(); err == nil && len(d) > 0 {
		err = fmt.Errorf("in the end: %+v", d)
	}
	return told, c.Digest(), g.commits, g.inquired, err
}

// TestEveryStepOfAnAdmission: at every command of an admission, a refusal and a release the leader changes or not, and the command is
// lost, unheard, late or applied twice; then at two or three of them that a seed draws. Clients are answered truly, no vNode is lost
// or there twice, and the books are empty in the end. A seed gives one run, however many processors there are.
func TestEveryStepOfAnAdmission(t *testing.T) {
	_, _, commits, _, err := vnodeLife(1, []RaftFault{{Command: 1 << 30}})
	if err != nil || commits < 15 {
		t.Fatalf("%d commands, %v", commits, err)
	}
	chance := rand.New(rand.NewPCG(20, 26))
	inquired, different := 0, map[uint64]bool{}
	try := func(seed uint64, at []RaftFault, again bool) {
		t.Helper()
		told, digest, _, n, err := vnodeLife(seed, at)
		if err != nil {
			t.Errorf("seed %d, %+v: %v", seed, at, err)
			return
		}
		inquired += n
		different[digest] = true
		if !again {
			return
		}
		for _, procs := range []int{1, 4} {
			was := runtime.GOMAXPROCS(procs)
			told2, digest2, _, _, err := vnodeLife(seed, at)
			runtime.GOMAXPROCS(was)
			if err != nil || digest2 != digest || told2 != told {
				t.Errorf("seed %d, %+v, again on %d processors: digests %x and %x, %q and %q, %v", seed, at, procs, digest, digest2, told, told2, err)
			}
		}
	}
	left := stepsSeeds()
	for command := 1; command <= commits; command++ {
		for what := Applied; what <= Twice; what++ {
			for _, leader := range []bool{false, true} {
				if left == 0 {
					break
				}
				left--
				try(uint64(left), []RaftFault{{command, what, leader}}, left%50 == 0)
			}
		}
	}
	for ; left > 0; left-- {
		var at []RaftFault
		for range 2 + chance.IntN(2) {
			at = append(at, RaftFault{1 + chance.IntN(commits+6), Outcome(chance.IntN(5)), chance.IntN(3) == 0})
		}
		try(uint64(left), at, left%50 == 0)
	}
	t.Logf("%d commands undisturbed, %d different runs, %d questions of participants answered", commits, len(different), inquired)
	if inquired == 0 {
		t.Error("no participant asked what became of its hold")
	}
	if len(different) < stepsSeeds()/2 {
		t.Errorf("%d different runs of %d", len(different), stepsSeeds())
	}
}
