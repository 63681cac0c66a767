package netlayer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// counting answers a request with its body and counts those that it executed.
type counting struct {
	inline   bool
	executed atomic.Int64
}

func (c *counting) Inline(wire.Op) bool { return c.inline }

func (c *counting) Serve(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	c.executed.Add(1)
	rep.AppendBody(req.Body)
	return nil
}

// faulty is a component p1 that calls a component m1, with the faults of both.
type faulty struct {
	*counting
	at     netlayer.Addr
	peer   *netlayer.Peer
	p1, m1 *netlayer.Faults
	seq    uint64
}

func newFaulty(t *testing.T, inline bool, change func(*netlayer.Options)) *faulty {
	w := &faulty{counting: &counting{inline: inline}, m1: netlayer.NewFaults("m1", nil)}
	_, addr := serve(t, w.counting, func(o *netlayer.ServerOptions) { o.Role, o.Faults = wire.RoleMemory, w.m1 })
	w.at = addr
	w.p1 = netlayer.NewFaults("p1", map[netlayer.Addr]wire.NodeID{addr: "m1"})
	o := peerOptions()
	o.Role, o.Node, o.Faults = wire.RoleCompute, "p1", w.p1
	o.CallTimeoutMS, o.HelloTimeoutMS, o.RetryAttempts = 100, 100, 1000
	if change != nil {
		change(&o)
	}
	w.peer = netlayer.NewPeer(addr, o)
	t.Cleanup(func() { w.peer.Close() })
	return w
}

func (w *faulty) set(f *netlayer.Faults, links ...wire.LinkFault) {
	w.seq++
	if !f.Set(wire.FaultReq{Seq: w.seq, Seed: 1, Links: links}) {
		panic("a newer fault is known")
	}
}

// ask makes one call, with a timeout that only a lost frame reaches.
func (w *faulty) ask(text string) error {
	c := &netlayer.Call{Op: wire.OpQuery, Body: []byte(text)}
	if err := w.peer.Do(c); err != nil {
		return err
	}
	if string(c.Reply) != text {
		return fmt.Errorf("the answer to %q is %q", text, c.Reply)
	}
	return nil
}

func TestFramesAreLostOnPurpose(t *testing.T) {
	for _, side := range []string{"requests", "replies"} {
		for _, inline := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, inline %t", side, inline), func(t *testing.T) {
				w := newFaulty(t, inline, nil)
				if err := w.ask("before"); err != nil {
					t.Fatal(err)
				}
				from, to := w.p1, wire.NodeID("m1")
				if side == "replies" {
					from, to = w.m1, "p1"
				}
				w.set(from, wire.LinkFault{To: "m2", Lose: wire.Million}, wire.LinkFault{To: to, Lose: wire.Million})
				if err := w.ask("lost"); !errors.Is(err, wire.ErrTimeout) {
					t.Errorf("a lost frame: %v, want a timeout", err)
				}
				if n := w.executed.Load(); n != map[string]int64{"requests": 1, "replies": 2}[side] {
					t.Errorf("%d requests were executed", n)
				}
				if n := from.Counts().Lost; n == 0 {
					t.Error("nothing is counted as lost")
				}
				w.set(from, wire.LinkFault{To: "m2", Lose: wire.Million}) // of another component
				if err := w.ask("after"); err != nil {
					t.Errorf("after it healed: %v", err)
				}
				if from.Set(wire.FaultReq{Seq: w.seq - 1, Links: []wire.LinkFault{{Lose: wire.Million}}}) {
					t.Error("an older fault replaces a newer one")
				}
				if err := w.ask("after an old one"); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestHellosAreLostOnPurpose: nobody connects through a partition, in either direction, and who waited connects when it ends.
func TestHellosAreLostOnPurpose(t *testing.T) {
	for side := range 2 {
		w := newFaulty(t, true, nil)
		f, to := w.p1, wire.NodeID("m1")
		if side == 1 {
			f, to = w.m1, "p1"
		}
		w.set(f, wire.LinkFault{To: to, Lose: wire.Million})
		if err := w.ask("x"); err == nil {
			t.Error("a call went through a partition")
		}
		if _, ok := w.peer.Remote(); ok || w.executed.Load() != 0 {
			t.Errorf("side %d: connected through a partition", side)
		}
		done := make(chan error, 1)
		go func() { done <- w.peer.Control(context.Background(), wire.OpMmap, 0, nil, nil) }()
		w.set(f)
		if err := <-done; err != nil {
			t.Errorf("who retried: %v", err)
		}
	}
}

// TestClientsAreSpared: who is no component, and the component itself, are not in the network that fails.
func TestClientsAreSpared(t *testing.T) {
	w := newFaulty(t, true, func(o *netlayer.Options) { o.Role, o.Node = wire.RoleClient, "run" })
	w.set(w.m1, wire.LinkFault{Lose: wire.Million})
	w.set(w.p1, wire.LinkFault{To: "m2", Lose: wire.Million})
	if err := w.ask("client"); err != nil {
		t.Error(err)
	}
	self := newFaulty(t, true, func(o *netlayer.Options) { o.Role, o.Node = wire.RoleMemory, "m1" })
	self.set(self.m1, wire.LinkFault{Lose: wire.Million})
	if err := self.ask("itself"); err != nil {
		t.Error(err)
	}
}

func TestFramesAreLateTwiceAndOvertakenOnPurpose(t *testing.T) {
	for name, c := range map[string]struct {
		fault wire.LinkFault
		count func(wire.FaultRep) uint64
	}{
		"delay":     {wire.LinkFault{DelayNS: int64(5 * time.Millisecond), JitterNS: int64(time.Millisecond)}, func(r wire.FaultRep) uint64 { return r.Delayed }},
		"duplicate": {wire.LinkFault{Duplicate: wire.Million, LateNS: int64(3 * time.Millisecond)}, func(r wire.FaultRep) uint64 { return r.Duplicated }},
		"reorder":   {wire.LinkFault{Reorder: wire.Million}, func(r wire.FaultRep) uint64 { return r.Reordered }},
		"all":       {wire.LinkFault{Duplicate: wire.Million / 2, Reorder: wire.Million / 2, DelayNS: 1000, JitterNS: 1000}, func(r wire.FaultRep) uint64 { return r.Duplicated }},
	} {
		t.Run(name, func(t *testing.T) {
			const callers, calls = 8, 20
			w := newFaulty(t, name != "all", func(o *netlayer.Options) { o.CallTimeoutMS = 30_000 })
			w.set(w.p1, c.fault)
			w.set(w.m1, c.fault)
			var group sync.WaitGroup
			for i := range callers {
				group.Go(func() {
					for k := range calls {
						if err := w.ask(fmt.Sprintf("%d/%d", i, k)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			if c.count(w.p1.Counts()) == 0 || c.count(w.m1.Counts()) == 0 {
				t.Errorf("nothing went wrong: %+v, %+v", w.p1.Counts(), w.m1.Counts())
			}
			if name == "duplicate" {
				until(t, "every request is executed twice", func() bool { return w.executed.Load() == 2*callers*calls })
			}
			if d := w.p1.Counts().Dropped; d != 0 {
				t.Errorf("%d frames found no room", d)
			}
		})
	}
}

// TestOnceIsOnceWhateverGoesWrong: requests that may be executed once only are, though frames are lost, doubled and overtaken.
func TestOnceIsOnceWhateverGoesWrong(t *testing.T) {
	w := newFaulty(t, false, func(o *netlayer.Options) { o.CallTimeoutMS, o.RetryBaseMS, o.RetryMaxMS = 20, 1, 2 })
	ill := wire.LinkFault{Lose: wire.Million / 5, Duplicate: wire.Million / 5, Reorder: wire.Million / 5, LateNS: int64(2 * time.Millisecond)}
	w.set(w.p1, ill)
	w.set(w.m1, ill)
	const callers, calls = 4, 25
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for range calls {
				if err := w.peer.Control(context.Background(), wire.OpMmap, 0, nil, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if n := w.executed.Load(); n != callers*calls {
		t.Errorf("%d requests were executed, want %d", n, callers*calls)
	}
	if w.p1.Counts().Lost+w.m1.Counts().Lost == 0 {
		t.Error("nothing was lost")
	}
}

// until polls until ok, or fails the test.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 30 s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
