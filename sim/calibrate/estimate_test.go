package calibrate

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/configs"
	"splitkernel/scomponent/device"
	"splitkernel/sim/hardware"
	"splitkernel/sim/units"
)

// known draws parameters that measurements can tell.
func known(t *rapid.T) (h hardware.Hardware) {
	h = hardware.DefaultOptions()
	cost := func(name string, most int64) units.Picos {
		return units.Picos(rapid.Int64Range(1000, most*1000).Draw(t, name)) // ps
	}
	h.Link.Bandwidth, h.Link.DMARate = loopback, 0
	way := cost("way", 20_000) * 2
	h.Link.Latency, h.Endpoint.HandOff = way/2, way/2
	h.Endpoint.Poll, h.Endpoint.Worker = cost("poll", 5_000), cost("worker", 5_000)
	h.Endpoint.PollPerKiB = units.PerKiB(rapid.Int64Range(0, 2_000_000).Draw(t, "poll_per_kib"))
	h.Processor.Fault, h.Processor.Shootdown, h.Processor.TableLevels = cost("fault", 3_000), 0, 0
	h.Processor.Hit, h.Processor.Reference = cost("hit", 50), cost("reference", 100)
	h.Processor.DRAMLatency = cost("dram_latency", 200)
	h.Processor.CopyRate = units.Rate(rapid.Int64Range(500_000_000, 20_000_000_000).Draw(t, "copy_rate"))
	h.Link.Reorder = units.Share(rapid.Int64Range(0, 100_000_000).Draw(t, "reorder"))
	h.Link.ReorderDelay = units.Picos(rapid.Int64Range(1000, 2_000_000_000).Draw(t, "reorder_delay"))
	return h
}

// TestEstimateRecovers: from what a machine of known parameters would show, the same parameters come back.
func TestEstimateRecovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := known(t)
		m := Explain(&want)
		got := hardware.DefaultOptions()
		Estimate(&m, &got)
		for _, c := range []struct {
			key       string
			got, want float64
			near      float64 // ps: what roundings of several values add up to
		}{
			{"link.latency", float64(got.Link.Latency), float64(want.Link.Latency), 20},
			{"endpoint.hand_off", float64(got.Endpoint.HandOff), float64(want.Endpoint.HandOff), 20},
			{"endpoint.poll", float64(got.Endpoint.Poll), float64(want.Endpoint.Poll), 20},
			{"endpoint.poll_per_kib", float64(got.Endpoint.PollPerKiB), float64(want.Endpoint.PollPerKiB), 2},
			{"endpoint.worker", float64(got.Endpoint.Worker), float64(want.Endpoint.Worker), 20},
			{"processor.fault", float64(got.Processor.Fault), float64(want.Processor.Fault), 2},
			{"processor.hit", float64(got.Processor.Hit), float64(want.Processor.Hit), 2},
			{"processor.reference", float64(got.Processor.Reference), float64(want.Processor.Reference), 2},
			{"processor.dram_latency", float64(got.Processor.DRAMLatency), float64(want.Processor.DRAMLatency), 2},
			{"a page moved", float64(got.Processor.Move(4096)), float64(want.Processor.Move(4096)), 20},
			{"link.reorder", float64(got.Link.Reorder), float64(want.Link.Reorder), 2},
		} {
			if math.Abs(c.got-c.want) > c.near {
				t.Errorf("%s: %v, want %v", c.key, c.got, c.want)
			}
		}
		if want.Link.Reorder > 0 && math.Abs(float64(got.Link.ReorderDelay-want.Link.ReorderDelay)) > 10 {
			t.Errorf("link.reorder_delay: %v, want %v", got.Link.ReorderDelay, want.Link.ReorderDelay)
		}
	})
}

// TestDeviceRecovers is the same for the disk.
func TestDeviceRecovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		class := func(name string, rate units.Rate) device.Class {
			return device.Class{Latency: units.Picos(rapid.Int64Range(0, 100_000_000).Draw(t, name)), Rate: rate}
		}
		rate := func(name string) units.Rate {
			return units.Rate(rapid.Int64Range(10_000_000, 10_000_000_000).Draw(t, name))
		}
		read, write, drain := rate("read"), rate("write"), rate("drain")
		want := device.DefaultOptions()
		want.RandomRead, want.SequentialRead = class("random read", read), class("sequential read", read)
		want.RandomWrite, want.SequentialWrite = class("random write", write), class("sequential write", write)
		want.Flush, want.DrainRate = units.Picos(rapid.Int64Range(0, 10_000_000_000).Draw(t, "flush")), drain
		small := func(c device.Class) float64 { return ns(c.Latency + c.Rate.Cost(smallRequest)) }
		got := deviceOf(&Disk{
			RandomRead: small(want.RandomRead), SequentialRead: small(want.SequentialRead), RandomWrite: small(want.RandomWrite), SequentialWrite: small(want.SequentialWrite),
			ReadBytes: float64(read), WriteBytes: float64(write),
			Sync: ns(want.Flush + drain.Cost(smallRequest)), SyncBytes: largeRequest / ns(want.Flush+drain.Cost(largeRequest)) * 1e9,
		})
		for _, c := range []struct {
			key       string
			got, want float64
		}{
			{"random_read", float64(got.RandomRead.Latency), float64(want.RandomRead.Latency)},
			{"sequential_read", float64(got.SequentialRead.Latency), float64(want.SequentialRead.Latency)},
			{"random_write", float64(got.RandomWrite.Latency), float64(want.RandomWrite.Latency)},
			{"sequential_write", float64(got.SequentialWrite.Latency), float64(want.SequentialWrite.Latency)},
			{"flush of 4 KiB", float64(got.Flush + got.DrainRate.Cost(smallRequest)), float64(want.Flush + drain.Cost(smallRequest))},
			{"drain_rate", float64(got.DrainRate), float64(drain)},
		} {
			if math.Abs(c.got-c.want) > 10+c.want/10_000 {
				t.Errorf("%s: %v, want %v", c.key, c.got, c.want)
			}
		}
	})
}

// TestProfileIsReadBack: whatever is measured makes a profile that is valid, has a source for each value and is read back the same.
func TestProfileIsReadBack(t *testing.T) {
	drawn := rapid.Custom(func(t *rapid.T) Measured {
		any := func(name string) float64 { return rapid.Float64Range(0, 1e6).Draw(t, name) } // ns; up to a millisecond
		rate := func(name string) float64 { return rapid.Float64Range(0, 1e11).Draw(t, name) }
		return Measured{
			Transport: "unix", Seconds: 1, Ping: any("ping"), PLocal: any("p_local"), Evict: any("evict"), Fetch: any("fetch"), FetchDirty: any("fetch_dirty"),
			Late: rapid.Float64Range(0, 1).Draw(t, "late"), LateBy: any("late_by") * 100, Pings: any("pings"), Flushes: any("flushes"), Hit: any("hit"), Replays: any("replays"),
			Share: 1, Memory: Memory{any("copy"), any("load")},
			Disk: Disk{any("rr"), any("rw"), any("sr"), any("sw"), rate("read"), rate("write"), any("sync"), rate("sync rate")},
		}
	})
	for seed := range 20 { // to read a file back takes long with the race detector
		m := drawn.Example(seed)
		p := Profile(&m, time.Unix(1_700_000_000, 0), "elsewhere, a processor, 2 processors")
		text, err := configs.HardwareYAML(p)
		if err != nil {
			t.Fatal(err)
		}
		back, err := configs.ParseHardware("this-machine.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !reflect.DeepEqual(p, back) {
			t.Fatalf("%+v, want %+v", back, p)
		}
		for _, s := range p.Sources() {
			if strings.Contains(s.Text, "measured on") && !strings.Contains(s.Text, "2023-11-14 on elsewhere, a processor") {
				t.Errorf("%s: %q does not say when and where", s.Key, s.Text)
			}
		}
	}
}

func TestBetween(t *testing.T) {
	a, b := Measured{Transport: "tcp", Ping: 1, Memory: Memory{Copy: 10}}, Measured{Transport: "tcp", Ping: 2, Memory: Memory{Copy: 30}, Disk: Disk{Sync: 4}}
	if got, want := between(a, b), (Measured{Transport: "tcp", Ping: 1.5, Memory: Memory{Copy: 20}, Disk: Disk{Sync: 2}}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestLate(t *testing.T) {
	kinds := []samples{{10, 10, 10, 10, 100}, {20, 20, 20, 29}}
	if share, by := late(kinds, []float64{12, 20}); share != 1.0/9 || by != 10 {
		t.Errorf("%v late by %v, want one of nine, by 10: five of a mean of 12 are 10 more than their medians, and 29 is less than %v times 20", share, by, LateFactor)
	}
	if share, by := late(kinds, []float64{9, 20}); share != 0 || by != 0 {
		t.Errorf("%v late by %v, want none: they waited, they did not work", share, by)
	}
}
