package vtime

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProcessesSleepAndWait(t *testing.T) {
	c := New()
	defer c.Close()
	var log []string
	say := func(p *Proc, what string) { log = append(log, fmt.Sprintf("%v %s %s", p.Now(), p.Name(), what)) }
	var reply Signal
	for i := range 2 {
		c.Go(fmt.Sprintf("client %d", i), func(p *Proc) {
			p.Sleep(time.Duration(i))
			say(p, "asks")
			p.Wait(&reply)
			say(p, "has it")
		})
	}
	c.Go("server", func(p *Proc) {
		for reply.Waiting() < 2 {
			p.Sleep(5)
		}
		reply.Wake()
		p.Sleep(5)
		reply.Broadcast()
	})
	err := c.Run(Limits{})
	want := []string{"0s client 0 asks", "1ns client 1 asks", "5ns client 0 has it", "10ns client 1 has it"}
	if err != nil || !slices.Equal(log, want) || c.Procs() != 0 {
		t.Errorf("%q (%v), %d left, want %q", log, err, c.Procs(), want)
	}
	if reply.Wake() {
		t.Error("a signal wakes somebody although nobody waits")
	}
}

func TestWaitFor(t *testing.T) {
	c := New()
	defer c.Close()
	var s Signal
	var got []bool
	c.Go("first", func(p *Proc) { got = append(got, p.WaitFor(&s, 10)) })
	c.Go("second", func(p *Proc) { got = append(got, p.WaitFor(&s, 30)) })
	c.Go("waker", func(p *Proc) {
		p.Sleep(20)
		if !s.Wake() || s.Wake() {
			t.Error("want one that waits at 20 ns, the other has given up")
		}
	})
	if err := c.Run(Limits{}); err != nil || !slices.Equal(got, []bool{false, true}) || c.Now() != 20 {
		t.Errorf("%v until %v (%v), want one to give up and one to be woken, nothing later", got, c.Now(), err)
	}
}

func TestDeadlockedProcessesAreNamed(t *testing.T) {
	c := New()
	defer c.Close()
	fill := Signal{Name: "the fill of page 9"}
	var other Signal
	c.Go("thread 1", func(p *Proc) { p.Wait(&fill) })
	c.Go("thread 2", func(p *Proc) { p.Sleep(3); p.Wait(&other) })
	c.Go("thread 3", func(p *Proc) { p.Sleep(4) })
	err := c.Run(Limits{})
	want := "vtime: deadlock at 4ns: no event is left, and\n  thread 1 waits for the fill of page 9\n  thread 2 waits for a signal without a name"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	fill.Wake()
	other.Wake()
	if err := c.Run(Limits{}); err != nil || c.Procs() != 0 {
		t.Errorf("after they were given what they waited for: %v, %d left", err, c.Procs())
	}
}

// TestCloseRunsDeferredCalls of processes that wait, sleep or have not begun. goleak sees that no coroutine stays.
func TestCloseRunsDeferredCalls(t *testing.T) {
	c := New()
	var s Signal
	ended := 0
	for i := range 10 {
		c.Go("p", func(p *Proc) {
			defer func() { ended++ }()
			defer p.Sleep(1) // ends at once, too
			if i%2 == 0 {
				p.Wait(&s)
			}
			p.Sleep(time.Hour)
		})
	}
	if err := c.Run(Limits{Until: 1}); err != nil {
		t.Fatal(err)
	}
	c.Go("late", func(*Proc) { t.Error("a process begins after Close") })
	c.Close()
	c.Close()
	if ended != 10 || c.Procs() != 0 || c.Pending() != 0 {
		t.Errorf("%d of 10 ended, %d left, %d events", ended, c.Procs(), c.Pending())
	}
	if err := c.Run(Limits{}); err != nil {
		t.Error(err)
	}
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, `"x" on a clock that is closed`) {
			t.Errorf("panic %q, want the name of the process", text)
		}
	}()
	c.Go("x", func(*Proc) {})
}

func TestAPanicOfAProcessIsNotLost(t *testing.T) {
	c := New()
	defer c.Close()
	c.Go("bad", func(*Proc) { panic("broken invariant") })
	defer func() {
		if r := recover(); r != "broken invariant" {
			t.Errorf("recovered %v, want the panic of the process", r)
		}
	}()
	_ = c.Run(Limits{})
}

// TestSignalsDoNotGrow: one that never runs empty drops those that it has given.
func TestSignalsDoNotGrow(t *testing.T) {
	c := New()
	defer c.Close()
	var s Signal
	for range 3 {
		c.Go("p", func(p *Proc) {
			for range 1000 {
				p.Wait(&s)
			}
		})
	}
	c.Go("waker", func(p *Proc) {
		for range 3000 {
			p.Sleep(1)
			s.Wake()
		}
	})
	if err := c.Run(Limits{}); err != nil || cap(s.waiting) > 256 {
		t.Errorf("room for %d waiters of 3 (%v)", cap(s.waiting), err)
	}
}

// TestEndFromWithout: whatever a process does, it ends where it is, with its deferred calls, and nobody is resumed in its place.
func TestEndFromWithout(t *testing.T) {
	c := New()
	s := Signal{Name: "s"}
	var log []string
	make := func(name string, body func(p *Proc)) *Proc {
		return c.Go(name, func(p *Proc) {
			defer func() { log = append(log, name+" unwinds") }()
			body(p)
			log = append(log, name+" goes on")
		})
	}
	ps := []*Proc{
		make("sleeper", func(p *Proc) { p.Sleep(100) }), make("waiter", func(p *Proc) { p.Wait(&s) }),
		make("patient", func(p *Proc) { p.WaitFor(&s, 100) }), make("woken", func(p *Proc) { p.Wait(&s) }), make("done", func(*Proc) {}),
	}
	c.Go("end", func(p *Proc) {
		p.Sleep(10)
		ps[1].End()
		ps[2].End()
		s.Wake() // the one that is left
		ps[3].End()
		ps[0].End()
		ps[4].End()
		ps[0].End()
		late := make("late", func(*Proc) {})
		late.End()
		for range 8 { // in the places of those that ended
			c.Go("other", func(p *Proc) {
				p.Sleep(500)
				log = append(log, "other")
			})
		}
	})
	if err := c.Run(Limits{}); err != nil {
		t.Fatal(err)
	}
	want := "done goes on, done unwinds, waiter unwinds, patient unwinds, woken unwinds, sleeper unwinds" + strings.Repeat(", other", 8)
	if got := strings.Join(log, ", "); got != want || c.Now() != 510 || c.Procs() != 0 {
		t.Errorf("%s at %v, %d left; want %s", got, c.Now(), c.Procs(), want)
	}
}
