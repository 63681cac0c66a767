package gmanagers_test

import (
	"math"
	"strings"
	"testing"

	"splitkernel/gmanagers"
	"splitkernel/netlayer/wire"
)

func goodOptions() gmanagers.Options {
	o := gmanagers.DefaultOptions()
	o.ID, o.DataDir = "g1", "data"
	o.Net = netOptions(wire.RoleManager, "g1")
	o.Peers = []gmanagers.Peer{{ID: "g1", Addr: "inproc:a", ReplicaID: 1}}
	return o
}

func TestValidateNamesEveryFault(t *testing.T) {
	if err := goodOptions().Validate(); err != nil {
		t.Fatal(err)
	}
	o := goodOptions()
	o.ID, o.DataDir, o.LeaseMS, o.ProbeMS, o.GPMPolicy, o.CachePolicy, o.Overcommit = "g9", "", 1, 1, "clok", "", math.NaN()
	o.SweepMS = 1
	o.Peers = append(o.Peers, gmanagers.Peer{ID: "g1", Addr: "x", ReplicaID: 1})
	o.ElectionTicks, o.TickMS, o.SnapshotEntries, o.CompactionEntries, o.ProposeTimeoutMS = 3, 0, 0, 0, -1
	err := o.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"peers: 2 managers, want an odd number up to 7", `id: "g9", want the id of one of the peers`, `peers[1].id: "g1"`, "peers[1].replica_id: 1",
		`peers[1].addr: address "x"`, "data_dir: empty", "lease_ms: 1, want 500 to 300000", "probe_ms: 1, want 100 to 30000", "sweep_ms: 1, want 100 to 3600000", `gpm_policy: "clok", want one of [best_fit`,
		`cache_policy: ""`, "overcommit: NaN, want 1 to 1000", "tick_ms: 0, want 1 to 1000", "election_ticks: 3, want 10 to 10000",
		"snapshot_entries: 0", "compaction_entries: 0", "propose_timeout_ms: -1",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
}
