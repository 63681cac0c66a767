package device

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/sim/units"
)

func mustNew(t testing.TB, o Options, rng *rand.Rand) *Device {
	t.Helper()
	d, err := New(o, rng)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// disk is a drive of 7200 revolutions a minute.
func disk() Options {
	o := DefaultOptions()
	c := Class{200 * units.Microsecond, 142_000_000}
	o.RandomRead, o.SequentialRead, o.RandomWrite, o.SequentialWrite = c, c, c, c
	o.Channels, o.Stripe, o.QueueDepth = 1, 1<<30, 32
	o.SeekTrack, o.SeekFull, o.Rotation = 500*units.Microsecond, 17350*units.Microsecond, 8333*units.Microsecond
	o.Capacity = 500_000_000_000
	return o
}

// TestAlone: one request after the other takes what the equation says.
func TestAlone(t *testing.T) {
	d := mustNew(t, DefaultOptions(), nil)
	us := func(f float64) time.Duration { return time.Duration(f * 1000) }
	now := time.Duration(0)
	for _, c := range []struct {
		op           Op
		offset, size uint64
		want         time.Duration
	}{
		{Read, 1 << 20, 4096, us(90 + 4.096/3.3)},
		{Read, 1<<20 + 4096, 4096, us(20 + 4.096/3.3)},
		{Write, 1<<20 + 8192, 4096, us(20 + 4.096/.65)}, // sequential reads make no sequential write
		{Write, 1<<20 + 12288, 4096, us(20 + 4.096/3)},
		{Read, 1<<20 + 8192, 4096, us(20 + 4.096/3.3)}, // nor do writes between end a sequence
		{Read, 0, 256 << 10, us(90 + 262.144/3.3)},     // 16 stripes on 16 channels
		{Read, 0, 512 << 10, us(180 + 524.288/3.3)},    // 32 stripes
	} {
		done := d.Do(now, c.op, c.offset, c.size)
		if off := done - now - c.want; off < -2 || off > 2 {
			t.Errorf("%v at %d of %d takes %v, want %v", c.op, c.offset, c.size, done-now, c.want)
		}
		now = done
	}
	if st := d.Stats(); st.Reads != 5 || st.Writes != 2 || st.Sequential != 3 || st.WrittenBytes != 8192 {
		t.Errorf("%+v", st)
	}
}

// rate is how many random requests a second a device serves with so many outstanding.
func rate(d *Device, op Op, outstanding int) float64 {
	rng := rand.New(rand.NewPCG(1, 1))
	pending := make([]time.Duration, outstanding)
	const n = 20_000
	var now time.Duration
	for range n {
		i := 0
		for j, p := range pending {
			if p < pending[i] {
				i = j
			}
		}
		now = max(now, pending[i])
		pending[i] = d.Do(now, op, uint64(rng.Int64N(1<<27))*4096, 4096)
	}
	return n / slices.Max(pending).Seconds()
}

// TestParallelism: requests a second grow with those outstanding until channels, depth or the rate bound them.
func TestParallelism(t *testing.T) {
	near := func(what string, got, want float64) {
		if got < .97*want || got > 1.03*want {
			t.Errorf("%s: %.0f/s, want about %.0f", what, got, want)
		}
	}
	o := DefaultOptions()
	near("one read at a time", rate(mustNew(t, o, nil), Read, 1), 1/91.24e-6)
	near("8 reads on 16 channels", rate(mustNew(t, o, nil), Read, 8), 8/91.24e-6)
	near("64 reads on 16 channels", rate(mustNew(t, o, nil), Read, 64), 16/90e-6)
	near("64 writes at 650 MB/s", rate(mustNew(t, o, nil), Write, 64), 650e6/4096)
	o.QueueDepth = 4
	near("64 reads, 4 in the device", rate(mustNew(t, o, nil), Read, 64), 4/91.24e-6)
	// A third of the full seek's square root on average (8/15 of it over uniformly random pairs), half a revolution.
	h := disk()
	near("a disk", rate(mustNew(t, h, rand.New(rand.NewPCG(2, 2))), Read, 1),
		1/(0.0002+4096/142e6+0.0005+8./15*0.01685*1.0484+0.0083333/2))
}

// TestDisk: sequential requests neither seek nor turn, and a far one seeks longer than a near one.
func TestDisk(t *testing.T) {
	d := mustNew(t, disk(), nil)
	now := d.Do(0, Read, 0, 1<<20)
	done := d.Do(now, Read, 1<<20, 1<<20)
	if got, want := done-now, 200*time.Microsecond+units.Rate(142_000_000).Cost(1<<20).Duration(); got < want-2 || got > want+2 {
		t.Errorf("a sequential MiB takes %v, want %v", got, want)
	}
	now = done
	near := d.Do(now, Read, 3<<20, 4096)
	far := d.Do(near, Read, 400_000_000_000, 4096)
	if far-near < near-now+5*time.Millisecond {
		t.Errorf("a far request takes %v, a near one %v", far-near, near-now)
	}
	// A write where the head stands on needs neither; one elsewhere does, although it follows the last write.
	w := d.Do(far, Write, 400_000_000_000+4096, 4096)
	if w-far > 300*time.Microsecond {
		t.Errorf("a write where the head stands takes %v", w-far)
	}
	r := d.Do(w, Read, 0, 4096)
	if back := d.Do(r, Write, 400_000_000_000+8192, 4096); back-r < 5*time.Millisecond {
		t.Errorf("the head comes back in %v", back-r)
	}
}

// TestFlush waits for the writes before it and for what the cache still holds.
func TestFlush(t *testing.T) {
	o := DefaultOptions()
	o.Flush = 10 * units.Microsecond
	d := mustNew(t, o, nil)
	done := d.Do(0, Write, 0, 4096)
	if got := d.Flush(5); got != done+10*time.Microsecond {
		t.Errorf("flushed at %v, want 10µs after the write, %v", got, done)
	}
	o.DrainRate = 100_000_000 // 10 ns a byte
	v := mustNew(t, o, nil)
	done = v.Do(0, Write, 0, 1<<20)
	want := done + 10*time.Microsecond + 10*(1<<20)
	if got := v.Flush(done); got != want {
		t.Errorf("flushed at %v, want %v", got, want)
	}
	if got := v.Flush(want); got != want+10*time.Microsecond {
		t.Errorf("a second flush ends at %v, want it to find nothing", got)
	}
	done = v.Do(want, Write, 0, 1<<20)
	half := done + 5*(1<<20)
	if got := v.Flush(half); got < half+5*(1<<20)+10*time.Microsecond-20 || got > half+5*(1<<20)+10*time.Microsecond+20 {
		t.Errorf("after half of it drained, flushed %v later, want the other half", got-half)
	}
	done = v.Do(v.Flush(half), Write, 0, 1<<20)
	if late := done + time.Second; v.Flush(late) != late+10*time.Microsecond {
		t.Error("a cache that has drained by itself delays a flush")
	}
}

// TestLaws over random requests: none is done before its least time, a flush not before the writes before it, and the device passes
// no more bytes than the best rate allows.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := DefaultOptions()
		if rapid.Bool().Draw(t, "disk") {
			o = disk()
		}
		o.QueueDepth = units.Count(rapid.IntRange(1, 40).Draw(t, "depth"))
		o.Flush = units.Picos(rapid.Int64Range(0, int64(units.Millisecond)).Draw(t, "flush"))
		o.DrainRate = units.Rate(rapid.SampledFrom([]uint64{0, 1e6, 1e9}).Draw(t, "drain"))
		d, err := New(o, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		if err != nil {
			t.Fatal(err)
		}
		var now, last, written time.Duration
		var bytes uint64
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now += time.Duration(rapid.SampledFrom([]int64{0, 1000, 100_000, 10_000_000}).Draw(t, "gap"))
			op := rapid.SampledFrom([]Op{Read, Write, 0}).Draw(t, "op")
			if op == 0 {
				if done := d.Flush(now); done < max(now, written)+o.Flush.Floor() {
					t.Fatalf("flushed at %v, before the write that is done at %v", done, written)
				}
				continue
			}
			size := rapid.SampledFrom([]uint64{512, 4096, 1 << 20}).Draw(t, "size")
			done := d.Do(now, op, uint64(rapid.IntRange(0, 1000).Draw(t, "block"))*4096, size)
			least := min(o.SequentialRead.Latency, o.SequentialWrite.Latency, o.RandomRead.Latency, o.RandomWrite.Latency)
			if done-now < least.Floor() {
				t.Fatalf("done after %v, want at least %v", done-now, least)
			}
			bytes += size
			last = max(last, done)
			if op == Write {
				written = max(written, done)
			}
			best := max(o.RandomRead.Rate, o.SequentialRead.Rate, o.RandomWrite.Rate, o.SequentialWrite.Rate)
			if last < best.Cost(bytes).Floor()-1 {
				t.Fatalf("%d bytes in %v", bytes, last)
			}
			if err := d.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestFaultsAreNamed(t *testing.T) {
	o := Options{RandomRead: Class{Latency: -1}, SequentialWrite: Class{Latency: MaxLatency + 1}, Stripe: 1, SeekTrack: 2, SeekFull: 1, Rotation: -1, Flush: -1}
	err := o.Validate()
	for _, key := range []string{"random_read.latency: -1 ps", "sequential_write.latency: ", "channels: 0", "stripe: 1 B", "queue_depth: 0", "flush: ", "seek_full: ", "rotation: ", "capacity: 0 B"} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("%v, want a fault that begins with %q", err, key)
		}
	}
	h := disk()
	h.Channels = 2
	if err := h.Validate(); err == nil || !strings.Contains(err.Error(), "channels: 2, want 1 for what seeks or turns") {
		t.Errorf("%v, want a disk with two channels refused", err)
	}
	if _, err := New(h, nil); err == nil {
		t.Error("a device with faults is made")
	}
}

// BenchmarkRead is one random read with 32 outstanding.
func BenchmarkRead(b *testing.B) {
	d := mustNew(b, DefaultOptions(), nil)
	var now time.Duration
	i := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		i += 7919
		d.Do(now, Read, i<<12&(1<<39-1), 4096)
		now += 3000
	}
}

// TestASlowDevice: every operation of a device that is slow on purpose takes so many times its time and so much more, and afterwards as before.
func TestASlowDevice(t *testing.T) {
	make := func() *Device {
		d, err := New(DefaultOptions(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	was, slow := make(), make()
	at := time.Duration(0)
	for i, c := range []struct {
		times float64
		add   units.Picos
	}{{1, 0}, {10, 0}, {0, units.Millisecond}, {3, units.Millisecond}, {0, 0}} {
		slow.Slow(c.times, c.add)
		at += time.Second
		for _, op := range []Op{Read, Write} {
			offset := uint64(i+1) << 20
			a, b := was.Do(at, op, offset, 4096)-at, slow.Do(at, op, offset, 4096)-at
			want := time.Duration(float64(a)*max(c.times, 1)) + c.add.Duration()
			if d := b - want; d < -2 || d > 2 {
				t.Errorf("%v: an operation of %v takes %v, want %v", c, a, b, want)
			}
		}
		a, b := was.Flush(at+time.Millisecond*500), slow.Flush(at+time.Millisecond*500)
		if c.times <= 1 && c.add == 0 && a != b || (c.times > 1 || c.add > 0) && b < a+c.add.Duration() {
			t.Errorf("%v: a flush ends at %v, else at %v", c, b, a)
		}
	}
}
