package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/hardware"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
	"splitkernel/sim/vcluster"
)

// fateSet makes a cluster on which the same vNode is at the same place whatever happens when: by its number. Of the first three, the
// first has its home at m2 and its memory at m1, the second the other way round, and the third has both at m1.
var fateSet = []string{"pcomponent.fault.patience_ms=1000", "manager.gmm_policy=consistent_hash", "manager.sweep_ms=1000"}

// fate is what becomes of a run and its cluster when a component fails under it: what the report says, and what the managers took
// down.
type fate struct {
	exit    int
	vnodes  string // how each ended
	member  string // the membership of what failed
	dead    string // who was declared dead
	things  string // what was decided of each vNode
	audited string // differences in the end
}

// blow is a failure: node is killed and started again, or is out of reach until it has been declared dead.
type blow struct {
	node wire.NodeID
	kill bool
	of   wire.Manager // whose member it is
	want string       // how the victim ends
}

// TestOneFateLiveAndVirtual: a component is killed, or is out of reach until it has been declared dead, while processes run. The same
// ones fail for the same reason, the same is declared dead, fenced and joins again under the next epoch, and the books agree in the
// end, live and in virtual time.
func TestOneFateLiveAndVirtual(t *testing.T) {
	t.Parallel() // it waits most of the time
	paths := [3]string{}
	for i := range paths {
		paths[i] = synthetic(t, fmt.Sprint("trace", i), uint64(i), 64, 0, 20_000, false)
	}
	work := fmt.Sprintf(`name: fate
seed: 1
vnodes:
  - {name: before, trace: %s, excache: {lines: 16, ways: 0, policy: lru}}
  - {name: victim, trace: %s, excache: {lines: 16, ways: 0, policy: lru}, repeat: 1000000}
  - {name: other, trace: %s, excache: {lines: 16, ways: 0, policy: lru}, repeat: 60}
`, paths[0], paths[1], paths[2])
	for name, at := range map[string]blow{
		"kill m2": {"m2", true, wire.GMM, "m2 did not answer for 1000 ms"}, "stop m2": {"m2", false, wire.GMM, "m2 did not answer for 1000 ms"},
		"kill p2": {"p2", true, wire.GPM, "p2 has not answered for 5s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live, virtual := liveFate(t, work, at), virtualFate(t, work, at)
			if live != virtual {
				t.Errorf("live\n%+v\nvirtual\n%+v", live, virtual)
			}
			t.Logf("%+v", virtual)
			want := "registered 1, silent 1, dead 1, fenced 1, rejoined 2"
			if at.kill { // that its process has ended is known before it is silent
				want = "registered 1, dead 1, fenced 1, rejoined 2"
			}
			if live.exit != codeFailed || live.vnodes != "before done; victim failed: "+at.want+"; other done" || live.member != want || live.dead != string(at.node) || live.audited != "" {
				t.Errorf("%+v, want the victim to fail, and %s to be %q", live, at.node, want)
			}
		})
	}
}

// unanswered is what says who did not answer, and for how long.
var unanswered = regexp.MustCompile(`\w+ (did not answer|has not answered) for [0-9]+ ?m?s`)

// endOf says how the vNodes of a run ended.
func endOf(s *report.Summary) string {
	var out []string
	for _, v := range s.VNodes {
		word := v.State
		if m := unanswered.FindString(v.Error); m != "" {
			word += ": " + m
		} else if v.Error != "" {
			word += ": " + v.Error
		}
		out = append(out, v.Name+" "+word)
	}
	return strings.Join(out, "; ")
}

// decided takes down what the managers' events tell, without their moments and their words.
func (f *fate) decided(at blow, of wire.Manager, list []events.Event) {
	things := map[wire.PID][]string{}
	for _, e := range list {
		switch {
		case e.PID != 0:
			word := e.Kind.String()
			if e.Kind == events.Lost || e.Kind == events.Released { // by the leader or by who drives the run, whoever comes first
				word = "ended"
			}
			things[e.PID] = append(things[e.PID], fmt.Sprintf("%s %s", word, e.Node))
		case e.Node == at.node && of == at.of:
			if was := fmt.Sprintf(", %v %d", e.Kind, e.Epoch); !strings.HasSuffix(f.member, was) { // twice, if leaders changed in between
				f.member += was
			}
		}
		if e.Kind == events.Dead {
			f.dead += string(e.Node)
		}
	}
	f.member = strings.TrimPrefix(f.member, ", ")
	for pid := wire.PID(1); pid <= 3; pid++ {
		f.things += fmt.Sprintf("%v of %d: %s\n", of, pid, strings.Join(things[pid], ", "))
	}
}

func liveFate(t *testing.T, work string, at blow) (f fate) {
	k := newDeathbed(t, fmt.Sprintf("fate%v%s", at.kill, at.node), fateSet...)
	kinds := func() (out string) {
		list, _, err := k.cl.Events(background(t), at.of, 0, 0)
		for _, e := range list {
			if e.Node == at.node && e.PID == 0 {
				out += e.Kind.String() + " "
			}
		}
		if err != nil {
			return ""
		}
		return out
	}
	s := k.run(workload(t, work), func(o *replay.RunOptions) {
		var once sync.Once
		strike := func() {
			if !at.kill {
				k.signal(string(at.node), syscall.SIGSTOP)
			} else if err := k.Kill(string(at.node)); err != nil {
				t.Error(err)
			}
		}
		o.Progress = func(p replay.Progress) {
			if p.Done > 200_000 { // all have begun long ago, and the first has ended
				once.Do(strike)
			}
		}
	})
	f.exit, f.vnodes = s.ExitCode(), endOf(s)
	eventually(t, "it is declared dead", func() bool { return strings.Contains(kinds(), "dead") })
	if !at.kill {
		k.signal(string(at.node), syscall.SIGCONT)
	} else if err := k.Restart(background(t), string(at.node)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has joined again", func() bool { return strings.Contains(kinds(), "rejoined") })
	for _, g := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		list, _, err := k.cl.Events(background(t), g, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.decided(at, g, list)
	}
	eventually(t, "nothing is left that nobody owns", func() bool {
		got := k.sk("audit")
		f.audited = got.stdout + got.stderr
		return got.code == codeDone
	})
	f.audited = ""
	return f
}

func virtualFate(t *testing.T, work string, at blow) (f fate) {
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(file, []byte(threeAndTwo), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := configs.LoadCluster(file, configs.Overrides{Set: fateSet})
	if err != nil {
		t.Fatal(err)
	}
	faults := []vcluster.Fault{{At: time.Second, What: vcluster.Kill, Node: at.node}, {At: 15 * time.Second, What: vcluster.Start, Node: at.node}}
	if !at.kill {
		faults = []vcluster.Fault{{At: time.Second, What: vcluster.Partition, Node: at.node, For: 15 * time.Second}}
	}
	s, err := replay.RunVirtual(background(t), replay.VirtualOptions{
		Workload: workload(t, work), Cluster: c, Hardware: hardware.DefaultOptions(), TempDir: t.TempDir(), Faults: faults,
		Ended: func(c *vcluster.Cluster) error {
			if err := c.Run(40 * time.Second); err != nil {
				return err
			}
			for _, g := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
				f.decided(at, g, c.History(g))
			}
			for _, d := range c.Audit() {
				f.audited += fmt.Sprintf("%+v\n", d)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.exit, f.vnodes = s.ExitCode(), endOf(s)
	return f
}
