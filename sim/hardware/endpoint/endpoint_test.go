package endpoint

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/link"
	"splitkernel/sim/units"
)

func pair(t testing.TB, o Options, l link.Options) (a, b *Node) {
	t.Helper()
	net, err := link.New(l, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, err = New(o, net, 0); err != nil {
		t.Fatal(err)
	}
	if b, err = New(o, net, 1); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want-4 || got > want+4 { // each stage rounds to a nanosecond
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestSendersShareConnections: with one connection the second message is posted when the first is acknowledged; a worker's does
// not wait for it; with two it does not either.
func TestSendersShareConnections(t *testing.T) {
	o, l := DefaultOptions(), link.DefaultOptions()
	a, _ := pair(t, o, l)
	busy := (o.Post + l.Transfer(4096) + o.Acknowledge).Duration()
	first := a.Send(0, 1, 4096)
	near(t, "the first is acknowledged", first.Free, busy)
	near(t, "the second is acknowledged", a.Send(0, 1, 4096).Free, 2*busy)

	o.Connections = 2
	a, _ = pair(t, o, l)
	a.Send(0, 1, 4096)
	second := a.Send(0, 1, 4096)
	// It waits for the first on the wire only.
	if second.Free >= 2*busy || second.Free <= busy {
		t.Errorf("on a connection of its own the second is acknowledged at %v, want between %v and %v", second.Free, busy, 2*busy)
	}
	o.Connections = 1
	a, _ = pair(t, o, l)
	a.Send(0, 1, 4096)
	if r := a.Reply(0, 1, 4096); r.Free != second.Free {
		t.Errorf("a worker's is acknowledged at %v, want %v as on a connection of its own", r.Free, second.Free)
	}
}

// TestWithoutAcknowledgeTheSenderGoesOn as soon as the NIC has the message.
func TestWithoutAcknowledgeTheSenderGoesOn(t *testing.T) {
	o := DefaultOptions()
	o.Acknowledge, o.SendPerKiB = 0, 100_000
	a, _ := pair(t, o, link.DefaultOptions())
	near(t, "the sender goes on", a.Send(0, 1, 4096).Free, (o.Post + 400*units.Nanosecond).Duration())
}

// TestPollingIsOneAfterTheOther: messages that arrive together are handed over one poll apart.
func TestPollingIsOneAfterTheOther(t *testing.T) {
	o, l := DefaultOptions(), link.DefaultOptions()
	o.Poll, o.PollPerKiB = 2*units.Microsecond, 1_000_000
	_, b := pair(t, o, l)
	var at [3]time.Duration
	for i := range at {
		var ok bool
		if at[i], ok = b.Receive(100, 32); !ok {
			t.Fatal("the node is down")
		}
	}
	poll := (o.Poll + o.PollPerKiB.Cost(32)).Duration()
	near(t, "the second", at[1]-at[0], poll)
	near(t, "the third", at[2]-at[1], poll)
	if n, busy := b.Polled(); n != 3 || busy < 3*poll-3 || busy > 3*poll {
		t.Errorf("%d messages in %v, want 3 in %v", n, busy, 3*poll)
	}
}

// TestLaws over random messages of one node: they reach the other NIC in the order given, and no sender goes on before its message
// is posted.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := DefaultOptions()
		o.Connections = units.Count(rapid.IntRange(1, 3).Draw(t, "connections"))
		o.Acknowledge = units.Picos(rapid.SampledFrom([]int64{0, int64(units.Microsecond)}).Draw(t, "acknowledge"))
		o.SendPerKiB = units.PerKiB(rapid.SampledFrom([]int64{0, int64(units.Microsecond)}).Draw(t, "copy"))
		net, err := link.New(link.DefaultOptions(), 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := New(o, net, 0)
		if err != nil {
			t.Fatal(err)
		}
		var now, last time.Duration
		for range rapid.IntRange(1, 40).Draw(t, "messages") {
			now += time.Duration(rapid.SampledFrom([]int64{0, 100, 5000}).Draw(t, "gap"))
			size := rapid.SampledFrom([]uint64{32, 4096}).Draw(t, "size")
			out := n.Send(now, 1, size)
			if out.Arrivals()[0] < last || out.Free < now+o.Post.Floor() {
				t.Fatalf("a message arrives at %v after one at %v, and its sender is free at %v", out.Arrivals()[0], last, out.Free)
			}
			last = out.Arrivals()[0]
			if err := n.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestFaultsAreNamed(t *testing.T) {
	o := Options{Post: -1, SendPerKiB: -1, Acknowledge: -1, Poll: MaxCost + 1, PollPerKiB: -1, HandOff: -1, Worker: -1, Socket: -1, SocketPerKiB: -1}
	err := o.Validate()
	for _, key := range []string{"post: -1 ps", "send_per_kib: ", "acknowledge: ", "connections: 0", "poll: ", "poll_per_kib: ", "hand_off: ", "worker: ", "worker_queue: 0", "socket: ", "socket_per_kib: "} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("%v, want a fault that begins with %q", err, key)
		}
	}
	if err := DefaultOptions().Validate(); err != nil {
		t.Error(err)
	}
}
