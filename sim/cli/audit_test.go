package cli

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
)

// TestAudit: a cluster that ran something agrees; a volume that GSM has and nobody stores, one that is stored and nobody
// has, and a component that does not answer are each named, with exit code 1.
func TestAudit(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	// Nobody is to be declared dead while it is stopped.
	up := execute(t, dir, "up", "--cluster", small(t), "--set", "manager.lease_ms=60000", "--name", "blue", "--out", filepath.Join(dir, "up"), "-o", "json")
	up.want(t, exitOK)
	t.Cleanup(func() { execute(t, dir, "down", "--all") })
	execute(t, dir, "run", sample(t), "--on", "blue", "--out", filepath.Join(dir, "out")).want(t, exitOK)
	execute(t, dir, "audit").want(t, exitOK, "the books of blue agree: 0 vNodes, 0 vRegions, 0 volumes, 3 components")

	st, err := launcher.Find("blue")
	if err != nil {
		t.Fatal(err)
	}
	o := client.DefaultOptions()
	o.Net.Cluster, o.Net.Token, o.Net.Role, o.Net.Node = st.ClusterID, st.Cluster.Token, wire.RoleClient, "test"
	var storage *netlayer.Peer
	compute := 0
	for _, n := range st.Nodes {
		switch n.Role {
		case wire.RoleManager.String():
			o.Managers = append(o.Managers, client.Manager{ID: wire.NodeID(n.ID), Addr: netlayer.Addr(n.Addr)})
		case wire.RoleStorage.String():
			storage = netlayer.NewPeer(netlayer.Addr(n.Addr), o.Net)
			defer storage.Close()
		case wire.RoleCompute.String():
			compute = n.PID
		}
	}
	gm, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer gm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	p, err := gm.Admit(ctx, admission.VNodeSpec{Name: "a", Threads: 1, ExCacheLines: 1, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 8192}}})
	if err != nil {
		t.Fatal(err)
	}
	differs := func(where, text string) {
		t.Helper()
		got := execute(t, dir, "audit", "--on", "blue", "-o", "json")
		got.want(t, exitFailed, "audit of blue: 1 differences")
		var rep auditReport
		if err := json.Unmarshal([]byte(got.stdout), &rep); err != nil || len(rep.Differences) != 1 || rep.Differences[0].Where != where || rep.Differences[0].Text != text {
			t.Errorf("audit prints %s (%v), want %s: %s", got.stdout, err, where, text)
		}
	}
	differs("s1", "does not store volume 1 of 8192 bytes, which GSM has there")
	v := p.Volumes[0]
	if err := storage.Control(ctx, wire.OpVolumeCreate, v.Epoch, &wire.VolumeCreateReq{Volume: v.Volume, Epoch: v.Epoch, Name: "v", SizeBytes: v.SizeBytes}, nil); err != nil {
		t.Fatal(err)
	}
	ok := execute(t, dir, "audit", "-o", "json")
	ok.want(t, exitOK, "1 vNodes, 0 vRegions, 1 volumes")
	if !strings.Contains(ok.stdout, `"differences": []`) {
		t.Errorf("audit prints %s", ok.stdout)
	}
	if err := gm.Release(ctx, p.PID); err != nil {
		t.Fatal(err)
	}
	if err := storage.Control(ctx, wire.OpVolumeDelete, v.Epoch, &wire.VolumeRef{Volume: v.Volume, Epoch: v.Epoch}, nil); err != nil && !errors.Is(err, wire.ErrNotFound) {
		t.Fatal(err)
	}
	v.Volume = 99 // which GSM has not given yet: nobody drops it
	if err := storage.Control(ctx, wire.OpVolumeCreate, v.Epoch, &wire.VolumeCreateReq{Volume: v.Volume, Epoch: v.Epoch, Name: "v", SizeBytes: v.SizeBytes}, nil); err != nil {
		t.Fatal(err)
	}
	differs("s1", "stores volume 99 of 8192 bytes, which GSM does not have there")
	if err := storage.Control(ctx, wire.OpVolumeDelete, v.Epoch, &wire.VolumeRef{Volume: v.Volume, Epoch: v.Epoch}, nil); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(compute, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	differs("p1", "does not answer")
	if err := syscall.Kill(compute, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	execute(t, dir, "audit", "--on", "red").want(t, exitFailed, `no cluster "red" is up, want one of: blue`)
	execute(t, dir, "down").want(t, exitOK)
	empty(t, temp)
	execute(t, dir, "audit").want(t, exitFailed, "no cluster is up")
}
