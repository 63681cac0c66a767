package raftsm

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lni/dragonboat/v3"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// BenchmarkMillionRegionsSnapshot is what a manager's snapshot of 2^20 vRegions takes in all, from the request to its rename on
// the disk: the copy while commands wait, the encoding, the write and the syncs. sync-ms is what writing and syncing as many bytes
// takes in the same run.
func BenchmarkMillionRegionsSnapshot(b *testing.B) {
	const processes, regions = 1024, 1024
	state, seq := gmm.New(), uint64(0)
	command := func(q gmm.Request) gmm.Command {
		seq++
		return gmm.Command{Client: 1, Seq: seq, Overcommit: 1000, Stamp: membership.Stamp{Policy: "least_loaded", Live: []membership.Live{{ID: "m1", Epoch: 1}}}, Request: q}
	}
	do := func(q gmm.Request) {
		if r := state.Apply(command(q)); r.Err() != nil {
			b.Fatal(r.Err())
		}
	}
	m := wire.Member{ID: "m1", Role: wire.RoleMemory, Addr: "inproc:m1", Capacity: wire.Capacity{MemoryBytes: 1 << 50, RegionBytes: 1 << 20}}
	do(gmm.Request{Op: gmm.OpRegister, Member: m})
	for pid := wire.PID(1); pid <= processes; pid++ {
		do(gmm.Request{Op: gmm.OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: pid}, {Verb: admission.Commit, PID: pid}}})
		for r := range wire.RegionNo(regions) {
			do(gmm.Request{Op: gmm.OpActivate, PID: pid, Region: r})
		}
	}
	h, err := Open(Config{
		Self: "g1", Replicas: []Replica{{"g1", 1}}, Dir: b.TempDir(), Deployment: 1, Log: slog.New(slog.DiscardHandler),
		Groups:   []Group{{Manager: wire.GMM, New: func() State { return state }}},
		Connect:  func(id wire.NodeID) (Sender, error) { return nil, fmt.Errorf("nobody is %s", id) },
		OnLeader: func(wire.Manager, wire.NodeID) {}, RTTMillisecond: 10, ElectionRTT: 20, HeartbeatRTT: 2, CompactionOverhead: 16,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for h.Leader(wire.GMM) == "" {
		if err := ctx.Err(); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	var worst time.Duration
	for b.Loop() {
		b.StopTimer() // a snapshot wants something new
		m.Addr += "'"
		if _, err := h.Propose(ctx, wire.GMM, command(gmm.Request{Op: gmm.OpRegister, Member: m}).Encode()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		began := time.Now()
		if _, err := h.nh.SyncRequestSnapshot(ctx, uint64(wire.GMM), dragonboat.SnapshotOption{}); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(began))
	}
	b.StopTimer()
	b.ReportMetric(float64(worst.Milliseconds()), "worst-ms")
	snap := state.Snapshot()
	b.ReportMetric(float64(len(snap))/(1<<20), "snapshot-MiB")
	began := time.Now()
	f, err := os.Create(filepath.Join(b.TempDir(), "same"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(snap); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "sync-ms")
}
