package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// struckNodes are the components that BenchmarkDetection strikes in turn; each has others of its role beside it.
var struckNodes = []struct {
	id string
	of wire.Manager
}{{"m1", wire.GMM}, {"p1", wire.GPM}, {"s1", wire.GSM}, {"m2", wire.GMM}, {"p2", wire.GPM}, {"s2", wire.GSM}}

// BenchmarkDetection is how long it takes from the signal until the death of a component is in the log of its manager, as a client
// sees it: with kill -9, and with SIGSTOP. Each goes on, or is started again, and has joined before the next one is struck.
//
//	go test -run xxx -bench Detection/kill -benchtime 50x ./sim/e2e
//	go test -run xxx -bench Detection/pause -benchtime 20x ./sim/e2e
func BenchmarkDetection(b *testing.B) {
	for _, kill := range []bool{true, false} {
		b.Run(map[bool]string{true: "kill", false: "pause"}[kill], func(b *testing.B) {
			m := startManagedText(b, strings.Replace(threeManagers, "  - {id: p1", "  - {id: p2, role: pcomponent}\n  - {id: m2, role: mcomponent}\n  - {id: s2, role: scomponent}\n  - {id: p1", 1))
			m.settle()
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(b.N)*time.Minute)
			defer cancel()
			// after waits for an event of a component behind a number, and returns it.
			after := func(of wire.Manager, id string, seq uint64, kind events.Kind) events.Event {
				for ; ; time.Sleep(time.Millisecond) {
					list, _, err := m.gm.Events(ctx, of, seq, 0)
					if i := slices.IndexFunc(list, func(e events.Event) bool { return e.Kind == kind && e.Node == wire.NodeID(id) }); i >= 0 {
						return list[i]
					}
					if ctx.Err() != nil {
						b.Fatalf("no event %v of %s: %v", kind, id, err)
					}
				}
			}
			var took, said []time.Duration
			for i := range b.N {
				n := struckNodes[i%len(struckNodes)]
				list, _, err := m.gm.Events(ctx, n.of, 0, 0)
				if err != nil {
					b.Fatal(err)
				}
				seq := list[len(list)-1].Seq
				var pid int
				for _, x := range m.Nodes() {
					if x.ID == n.id {
						pid = x.PID
					}
				}
				began := time.Now()
				if kill {
					err = m.Kill(n.id)
				} else {
					err = syscall.Kill(pid, syscall.SIGSTOP)
				}
				if err != nil {
					b.Fatal(err)
				}
				dead := after(n.of, n.id, seq, events.Dead)
				took = append(took, time.Since(began))
				d, ok := membership.ParseDeath(dead.Reason)
				if want := map[bool]membership.Cause{true: membership.CauseRefused, false: membership.CauseSilence}[kill]; !ok || d.Cause != want {
					b.Fatalf("%+v, want %v", dead, want)
				}
				said = append(said, d.Detect)
				if kill {
					err = m.Restart(ctx, n.id)
				} else {
					err = syscall.Kill(pid, syscall.SIGCONT)
				}
				if err != nil {
					b.Fatal(err)
				}
				after(n.of, n.id, dead.Seq, events.Rejoined)
			}
			for name, all := range map[string][]time.Duration{"": took, "told-": said} {
				slices.Sort(all)
				for what, d := range map[string]time.Duration{"p50": all[len(all)/2], "max": all[len(all)-1]} {
					b.ReportMetric(float64(d)/1e6, fmt.Sprintf("%s%s-ms", name, what))
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
