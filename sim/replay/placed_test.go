package replay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/hardware"
	"splitkernel/sim/report"
)

// TestPlacementOfAManifest: a run placed by the manifest of another one has its vNodes where they were, whatever the seed, and a
// manifest that does not fit is told by what is wrong.
func TestPlacementOfAManifest(t *testing.T) {
	c, err := configs.LoadCluster("laptop", configs.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	w := &configs.Workload{Name: "placed", Seed: 1}
	for _, name := range []string{"a", "b"} {
		v := configs.DefaultVNode()
		v.Name, v.Trace, v.Excache.Lines, v.Excache.Ways = name, "generator:phases?pages=600&refs=3000&seed=4", 64, 0
		w.Vnodes = append(w.Vnodes, v)
	}
	var placement []report.Placement
	for i, name := range []string{"a", "b"} {
		p := report.Placement{VNode: name, PID: wire.PID(10 + i), PComponent: "p2", Hosts: []wire.NodeID{"p2"}, Home: "m3"}
		for r := range wire.RegionNo(8) {
			p.Regions = append(p.Regions, report.Region{Number: 1024 + r, Owner: wire.NodeID([]string{"m2", "m3"}[i]), Epoch: 1})
		}
		placement = append(placement, p)
	}
	run := func(seed uint64, placement []report.Placement) (*report.Summary, error) {
		w.Seed = seed
		return RunVirtual(t.Context(), VirtualOptions{Workload: w, Cluster: c, Hardware: hardware.DefaultOptions(), TempDir: t.TempDir(), Placement: placement})
	}
	var fetches [2]map[wire.NodeID]uint64
	for i := range fetches {
		s, err := run(uint64(i+1), placement)
		if err != nil || len(s.Failed) > 0 {
			t.Fatal(err, s)
		}
		fetches[i] = map[wire.NodeID]uint64{}
		for _, x := range s.Components {
			fetches[i][x.ID] = x.Fetches
			if x.ID == "p1" && x.Accesses != 0 || x.ID == "p2" && x.Accesses != 6000 {
				t.Errorf("%s made %d accesses, want all at p2", x.ID, x.Accesses)
			}
		}
	}
	if f := fetches[0]; f["m1"] != 0 || f["m2"] == 0 || f["m2"] != f["m3"] || f["m2"] != fetches[1]["m2"] {
		t.Errorf("fetches %v, want as many at m2 as at m3, none at m1, in both runs", fetches)
	}
	bad := append([]report.Placement{}, placement...)
	bad[0].PComponent, bad[1].Home, bad[1].Hosts = "m1", "m9", []wire.NodeID{"p1", "p2"}
	if _, err := run(1, bad); err == nil || !strings.Contains(err.Error(), "placement of b: it ran at [p1 p2]") {
		t.Errorf("%v, want the vNode that moved named", err)
	}
	bad[1].Hosts = nil
	_, err = run(1, bad)
	for _, want := range []string{`placement of a: its process at "m1", want a pcomponent`, `placement of b: its home "m9", want a mcomponent`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if s, err := run(1, placement[:0]); err != nil || len(s.Failed) != 2 || !strings.Contains(s.Failed[0], "does not name vNode") {
		t.Errorf("%v, want both vNodes refused", err)
	}
}

// TestReadPlacement: of a file that is no manifest it is told why.
func TestReadPlacement(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{"{": "want the manifest.json", `{"schema": "x"}`: `schema "x"`} {
		path := filepath.Join(dir, "m.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadPlacement(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := ReadPlacement(dir); err == nil {
		t.Error("a folder is read as a manifest")
	}
}
