package link

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/sim/units"
)

// world runs a network on a list of events, as the event clock does.
type world struct {
	net    *Net
	events []arrival
	seq    int
}

type arrival struct {
	at       time.Duration
	seq, msg int
	to       NIC
	size     uint64
}

type message struct {
	from, to   NIC
	size       uint64
	sent, left time.Duration
	arrived    []time.Duration // at the receiver's NIC
	done       []time.Duration // in memory
}

func (w *world) sendAll(ms []message) {
	for i := range ms {
		m := &ms[i]
		w.until(m.sent, ms)
		s := w.net.Send(m.sent, m.from, m.to, m.size)
		m.left = s.Left
		for _, at := range s.Arrivals() {
			w.seq++
			w.events = append(w.events, arrival{at, w.seq, i, m.to, m.size})
		}
	}
	w.until(1<<62, ms)
}

// until runs the arrivals before t in the order of (time, sequence).
func (w *world) until(t time.Duration, ms []message) {
	for {
		best := -1
		for i, e := range w.events {
			if e.at <= t && (best < 0 || e.at < w.events[best].at || e.at == w.events[best].at && e.seq < w.events[best].seq) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		e := w.events[best]
		w.events = slices.Delete(w.events, best, best+1)
		ms[e.msg].arrived = append(ms[e.msg].arrived, e.at)
		if done, ok := w.net.Receive(e.at, e.to, e.size); ok {
			ms[e.msg].done = append(ms[e.msg].done, done)
		}
	}
}

func drawOptions(t *rapid.T) Options {
	o := DefaultOptions()
	o.Latency = units.Picos(rapid.Int64Range(0, int64(10*units.Microsecond)).Draw(t, "latency"))
	o.Bandwidth = units.Rate(rapid.Uint64Range(1e8, 50e9).Draw(t, "bandwidth"))
	o.DMARate = units.Rate(rapid.SampledFrom([]uint64{0, 1e9, 3e9, 8e9, 60e9}).Draw(t, "dma"))
	o.Packet = units.Size(rapid.SampledFrom([]uint64{1, 256, 2048, 4096}).Draw(t, "packet"))
	o.PacketOverhead = units.Size(rapid.Uint64Range(0, 100).Draw(t, "overhead"))
	if rapid.Bool().Draw(t, "jitters") {
		o.Jitter = units.Picos(rapid.Int64Range(1, int64(20*units.Microsecond)).Draw(t, "jitter"))
	}
	return o
}

func drawMessages(t *rapid.T, nics int) []message {
	var now time.Duration
	ms := make([]message, rapid.IntRange(1, 80).Draw(t, "messages"))
	for i := range ms {
		now += time.Duration(rapid.SampledFrom([]int64{0, 0, 1, 50, 5000, 100_000}).Draw(t, "gap"))
		ms[i] = message{
			from: NIC(rapid.IntRange(0, nics-1).Draw(t, "from")), to: NIC(rapid.IntRange(0, nics-1).Draw(t, "to")),
			size: rapid.SampledFrom([]uint64{0, 1, 40, 2048, 2049, 4168, 100_000}).Draw(t, "size"), sent: now,
		}
	}
	return ms
}

func newNet(t *rapid.T, o Options, nics int) *Net {
	n, err := New(o, nics, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWithoutChanceOrderIsKept: each message arrives exactly once, not before its uncontended time, and the messages of one
// sender to one receiver in the order in which they were sent, jitter or not.
func TestWithoutChanceOrderIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		w := &world{net: newNet(t, o, 3)}
		ms := drawMessages(t, 3)
		w.sendAll(ms)
		last := map[pair]time.Duration{}
		for i, m := range ms {
			if len(m.done) != 1 {
				t.Fatalf("message %d arrives %d times, want once", i, len(m.done))
			}
			const rounding = 4 // each of latency, two DMA and the wire to a nanosecond
			if least := o.Transfer(m.size).Duration() - rounding; m.done[0]-m.sent < least {
				t.Fatalf("message %d of %d bytes takes %v, want at least %v", i, m.size, m.done[0]-m.sent, least)
			}
			p := pair{m.from, m.to}
			if m.done[0] < last[p] {
				t.Fatalf("message %d is there at %v, before one sent earlier, %v", i, m.done[0], last[p])
			}
			last[p] = m.done[0]
		}
		if err := w.net.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBandwidthIsNeverExceeded, at either end: any messages take at least their bytes at full bandwidth, from the first that is given
// to the NIC to the last that has passed.
func TestBandwidthIsNeverExceeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		w := &world{net: newNet(t, o, 3)}
		ms := drawMessages(t, 3)
		w.sendAll(ms)
		type passage struct {
			in, out time.Duration
			size    uint64
		}
		for nic := range NIC(3) {
			var tx, rx []passage
			for _, m := range ms {
				if m.from == nic {
					tx = append(tx, passage{m.sent, m.left, m.size})
				}
				if m.to == nic {
					rx = append(rx, passage{m.arrived[0], m.done[0], m.size})
				}
			}
			for _, list := range [][]passage{tx, rx} {
				slices.SortFunc(list, func(a, b passage) int { return int(a.out - b.out) })
				for i := range list {
					first, bytes := list[i].in, uint64(0)
					for _, p := range list[i:] {
						first, bytes = min(first, p.in), bytes+p.size
						if need := o.Bandwidth.Cost(bytes).Floor(); p.out-first < need-1 {
							t.Fatalf("%d bytes pass NIC %d from %v to %v, want at least %v", bytes, nic, first, p.out, need)
						}
					}
				}
			}
		}
	})
}

// TestAloneItTakesTransfer: a message that meets no other takes what the equation says.
func TestAloneItTakesTransfer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		o.Jitter = 0
		w := &world{net: newNet(t, o, 2)}
		ms := []message{{from: 0, to: 1, size: rapid.Uint64Range(0, 1<<21).Draw(t, "size")}}
		w.sendAll(ms)
		if d := ms[0].done[0] - o.Transfer(ms[0].size).Duration(); d < -4 || d > 4 {
			t.Fatalf("%d bytes take %v, want %v", ms[0].size, ms[0].done[0], o.Transfer(ms[0].size))
		}
	})
}

// TestChanceIsAsOften as the shares say, and only reordered messages are overtaken.
func TestChanceIsAsOften(t *testing.T) {
	o := DefaultOptions()
	o.Loss, o.Duplicate, o.Reorder, o.ReorderDelay = units.Whole/10, units.Whole/20, units.Whole/5, 50*units.Microsecond
	n, err := New(o, 2, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	const messages = 100_000
	var late, arrived int
	for i := range messages {
		now := time.Duration(i) * time.Millisecond
		s := n.Send(now, 0, 1, 100)
		arrived += len(s.Arrivals())
		if len(s.Arrivals()) > 0 && s.Arrivals()[0]-now > o.Transfer(100).Duration() {
			late++
		}
	}
	st := n.Stats()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"lost", float64(st.Lost), messages / 10},
		{"duplicated", float64(st.Duplicated), messages * .9 / 20},
		{"reordered", float64(st.Reordered), messages * .9 / 5},
		{"late", float64(late), messages * .9 / 5},
		{"arrivals", float64(arrived), messages * .9 * 1.05},
	} {
		if c.got < .95*c.want || c.got > 1.05*c.want {
			t.Errorf("%s: %v, want about %v", c.name, c.got, c.want)
		}
	}
}

func TestPartitions(t *testing.T) {
	n, err := New(DefaultOptions(), 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Duration(0)
	reaches := func(from, to NIC) bool {
		now += time.Millisecond
		s := n.Send(now, from, to, 10)
		if len(s.Arrivals()) == 0 {
			return false
		}
		_, ok := n.Receive(s.Arrivals()[0], to, 10)
		return ok
	}
	n.Cut(0, 1)
	if reaches(0, 1) || !reaches(1, 0) || !reaches(0, 2) {
		t.Error("a cut from 0 to 1 stops something else, or not that")
	}
	n.Heal(0, 1)
	n.SetDown(2, true)
	if !reaches(0, 1) || reaches(2, 0) || reaches(0, 2) {
		t.Error("healed, and with 2 down, want 0 to reach 1 only")
	}
	n.SetDown(2, false)
	if !reaches(0, 2) || n.Stats().Cut != 3 {
		t.Errorf("%+v, want 3 messages cut and 2 back", n.Stats())
	}
}

func TestFaultsAreNamed(t *testing.T) {
	o := Options{Latency: -1, Packet: 0, PacketOverhead: 1 << 30, Jitter: -1, Loss: 2 * units.Whole, Duplicate: -1, Reorder: 1, ReorderDelay: 0}
	err := o.Validate()
	for _, key := range []string{"latency: -1 ps", "bandwidth: ", "packet: 0 B", "packet_overhead: 1 GiB", "jitter: ", "loss: 200 %", "duplicate: ", "reorder_delay: "} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("%v, want a fault that begins with %q", err, key)
		}
	}
	if err := DefaultOptions().Validate(); err != nil {
		t.Error(err)
	}
	o = DefaultOptions()
	o.Loss = 1
	if _, err := New(o, 2, nil); err == nil || !strings.Contains(err.Error(), "no generator") {
		t.Errorf("%v, want the missing generator named", err)
	}
	if _, err := New(DefaultOptions(), 0, nil); err == nil {
		t.Error("a network of no NICs is made")
	}
}

// BenchmarkMessage is a Send and a Receive.
func BenchmarkMessage(b *testing.B) {
	n, err := New(DefaultOptions(), 2, nil)
	if err != nil {
		b.Fatal(err)
	}
	var now time.Duration
	b.ReportAllocs()
	for b.Loop() {
		s := n.Send(now, 0, 1, 4096)
		n.Receive(s.Arrivals()[0], 1, 4096)
		now += 1000
	}
}
