package e2e

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"splitkernel/sim/replay"
)

// TestBundledPrograms runs what `make run` runs: every program ends well, memory is spread over the mComponents, and GMM
// activates vRegions in the middle of the run.
func TestBundledPrograms(t *testing.T) {
	t.Parallel()
	c := start(t, "laptop")
	s := c.run(workload(t, "programs"), nil)
	ok(t, s)
	if s.ProcessesStarted != 3 || len(s.VNodes) != 3 {
		t.Fatalf("%d processes of %d vNodes", s.ProcessesStarted, len(s.VNodes))
	}
	late, blocks := uint64(0), uint64(0)
	for i := range s.VNodes {
		v := &s.VNodes[i]
		if v.State != replay.StateDone || v.Footprint < 4096 {
			t.Errorf("%s: %s, %d pages, want done and at least 4096", v.Name, v.State, v.Footprint)
		}
		late, blocks = late+v.Late, blocks+v.BlockFlushes
	}
	if late < 10 {
		t.Errorf("%d vRegions were activated during the run, want at least 10", late)
	}
	if blocks == 0 || s.Total.SectorsChecked == 0 {
		t.Errorf("%d block flushes, %d sectors checked", blocks, s.Total.SectorsChecked)
	}
	served := uint64(0)
	for i := range s.Components {
		if k := &s.Components[i]; k.Role == "mcomponent" {
			served += k.Fetches
			if k.FetchShare < .1 {
				t.Errorf("%s served %.1f %% of the fetches, want at least 10 %%", k.ID, 100*k.FetchShare)
			}
		}
	}
	if served != s.Total.Fetches {
		t.Errorf("the mComponents served %d misses, the processes fetched %d", served, s.Total.Fetches)
	}
	if s.Total.PagesChecked != s.Total.Accesses {
		t.Errorf("%d of %d accesses were checked", s.Total.PagesChecked, s.Total.Accesses)
	}
}

// TestExactMissesOfBundledTraces replays each bundled trace: misses as pinned.
func TestExactMissesOfBundledTraces(t *testing.T) {
	dir, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "pinned_misses.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var exacts []exact
	done := map[string]bool{}
	for _, r := range rows[1:] {
		// The middle size of each trace, by each policy in turn: what differs between sizes is tested in the core.
		key := r[0] + r[1]
		if !done[key] {
			done[key] = true
			continue
		}
		if done[key+"2"] {
			continue
		}
		done[key+"2"] = true
		want, err := strconv.ParseUint(r[4], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := strconv.Atoi(r[2])
		if err != nil {
			t.Fatal(err)
		}
		exacts = append(exacts, exact{strings.Join(r[:3], "/"), filepath.Join(dir, r[0]+".skt"), r[1], lines, want})
	}
	testExact(t, exacts)
}

// TestOverTCP replays a part of a bundled program, block requests included, over the other transport: the counts are those of unix.
func TestOverTCP(t *testing.T) {
	t.Parallel()
	var want string
	for _, transport := range []string{"unix", "tcp"} {
		c := start(t, "laptop", "transport="+transport)
		s := c.run(workload(t, "programs", "workload.vnodes.sort.max_refs=60000", "workload.vnodes.sqlite.max_refs=400000", "workload.vnodes.wordcount.max_refs=60000"), nil)
		ok(t, s)
		got := fmt.Sprintf("%+v", logical(s.Total))
		if want == "" {
			want = got
		}
		if got != want || s.Total.Fetches == 0 || s.Total.BlockWrites == 0 {
			t.Errorf("over %s:\n%s, want\n%s", transport, got, want)
		}
	}
}
