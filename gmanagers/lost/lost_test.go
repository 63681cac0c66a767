package lost

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/netlayer/wire"
)

func TestCalls(t *testing.T) {
	p := gpm.Process{PID: 7, Epoch: 3}
	homes := []gmm.Process{{PID: 7, Home: "m1", Regions: []gmm.Region{{Node: "m2"}, {Node: "m1"}, {Node: "m2"}, {Node: "m3"}}}}
	volumes := []gsm.Volume{{Volume: 9, Epoch: 2, Cache: "m2", Storage: "s1"}, {Volume: 10, Epoch: 1, Cache: "m3", Storage: "s2"}}
	var got []string
	for _, c := range Calls(p, homes, volumes, func(id wire.NodeID) bool { return id != "m3" }) {
		switch q := c.Req.(type) {
		case *wire.ProcessExitReq:
			got = append(got, fmt.Sprintf("%s %v %d.%d %v", c.Node, c.Op, q.PID, q.Epoch, q.Owner))
		case *wire.VolumeRef:
			got = append(got, fmt.Sprintf("%s %v %d.%d", c.Node, c.Op, q.Volume, q.Epoch))
		}
	}
	exit, detach, del := wire.OpProcessExit, wire.OpVolumeDetach, wire.OpVolumeDelete
	want := []string{
		fmt.Sprintf("m1 %v 7.3 false", exit), fmt.Sprintf("m2 %v 7.3 true", exit), fmt.Sprintf("m1 %v 7.3 true", exit),
		fmt.Sprintf("m2 %v 9.2", detach), fmt.Sprintf("s1 %v 9.2", del), fmt.Sprintf("s2 %v 10.1", del),
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// TestEveryLostVNodeEnds: whatever is lost, answered and led when, no vNode is ended twice at a time, at most MaxEnding are, and one
// is late exactly when it was looked at so long ago under the same leader.
func TestEveryLostVNodeEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const patience = 5 * time.Second
		e := New(patience)
		lost, first, under := []gpm.Process{}, map[wire.PID]time.Duration{}, map[wire.PID]bool{}
		now := time.Duration(0)
		for i := range rapid.IntRange(1, 80).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond
			switch rapid.IntRange(0, 9).Draw(t, "do") {
			case 0, 1, 2:
				lost = append(lost, gpm.Process{PID: wire.PID(i + 1)})
			case 3, 4, 5: // an attempt ends, and with it the vNode or not
				for _, p := range lost {
					if under[p.PID] {
						e.Ended(p.PID)
						delete(under, p.PID)
						if rapid.Bool().Draw(t, "released") {
							lost = slices.DeleteFunc(lost, func(q gpm.Process) bool { return q.PID == p.PID })
						}
						break
					}
				}
			case 6:
				e.Rest()
				clear(first)
			default:
				if len(lost) == 0 {
					clear(first)
				}
				for _, b := range e.Look(now, lost) {
					pid := b.Process.PID
					if under[pid] {
						t.Fatalf("vNode %d is ended twice at a time", pid)
					}
					if _, ok := first[pid]; !ok {
						first[pid] = now
					}
					if under[pid] = true; b.Late != (now-first[pid] >= patience) {
						t.Fatalf("vNode %d, looked at since %v, is late at %v: %v", pid, first[pid], now, b.Late)
					}
				}
				if len(under) < min(len(lost), MaxEnding) {
					t.Fatalf("%d of %d lost vNodes are being ended", len(under), len(lost))
				}
			}
			if err := e.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestEnds(t *testing.T) {
	for _, c := range []struct {
		late, known, unanswered, want bool
	}{{false, true, false, true}, {false, true, true, false}, {true, true, true, true}, {true, false, false, false}, {false, false, false, false}} {
		if got := (&Begun{Late: c.late}).Ends(c.known, c.unanswered); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
