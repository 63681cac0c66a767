package fuzz

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/vcluster"
)

// dailySeeds is how many seeds this test plays: it is a look whether all is there. make fuzz-smoke, which make test ends with, plays thousands.
func dailySeeds() uint64 {
	if raceEnabled {
		return 3
	}
	return 120
}

// TestNothingGoesWrong plays drawn worlds. Among them everything happens: processes that end well and others that are lost by name, moves,
// and faults of every kind, in every phase that there is.
func TestNothingGoesWrong(t *testing.T) {
	r := Run(context.Background(), RunOptions{First: 1, Seeds: dailySeeds(), Failed: func(seed uint64, w *World, out *Outcome) {
		t.Errorf("seed %d: %v\n%s", seed, out.Failure, w)
	}})
	if few := r.Lost == 0 || r.Moved == 0; r.Seeds != dailySeeds() || r.Ended == 0 || few && !raceEnabled || r.Operations < 1000*r.Seeds {
		t.Errorf("%d seeds, %d operations, %d processes ended well, %d were lost, %d moves: nothing is tested", r.Seeds, r.Operations, r.Ended, r.Lost, r.Moved)
	}
	for k := faults.Kill; k <= faults.DiskFull; k++ {
		if r.coverage[k] == [faults.Phases]uint64{} && !raceEnabled {
			t.Errorf("no %v happened", k)
		}
	}
	t.Logf("%d operations of %d seeds, %.0f a second and core; %d processes ended well, %d were lost; %d moves; %v", r.Operations, r.Seeds, r.PerCore, r.Ended, r.Lost, r.Moved, r.coverage)
}

// TestASeedIsOneRun: two runs of a seed, and of the script of its world, have one digest, however many processors there are and whatever
// runs beside it; another seed has another (law 2).
func TestASeedIsOneRun(t *testing.T) {
	seen := map[uint64]uint64{}
	seeds := uint64(6)
	if raceEnabled {
		seeds = 1
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		want := Play(Draw(seed))
		if other, ok := seen[want.Digest]; ok {
			t.Errorf("seeds %d and %d are one run", seed, other)
		}
		seen[want.Digest] = seed
		was := runtime.GOMAXPROCS(1)
		same := []*Outcome{Play(Draw(seed))}
		runtime.GOMAXPROCS(was)
		w, err := Parse(Draw(seed).String())
		if err != nil {
			t.Fatal(err)
		}
		same = append(same, Play(w))
		Run(context.Background(), RunOptions{First: seed, Seeds: 3, Jobs: 3, Play: func(w *World) *Outcome {
			out := Play(w)
			if w.Seed == seed {
				same = append(same, out) // one worker has it, and Run waits for all
			}
			return out
		}})
		for i, got := range same {
			if got.Digest != want.Digest || got.Operations != want.Operations || got.Events != want.Events || got.Coverage != want.Coverage || !slices.Equal(got.Lost, want.Lost) {
				t.Errorf("seed %d, again (%d): %+v, want %+v", seed, i, got, want)
			}
		}
	}
}

// TestScripts: what is printed parses to the same world; what is wrong with a script is named by its line and key.
func TestScripts(t *testing.T) {
	for seed := range uint64(200) {
		w := Draw(seed)
		again, err := Parse("# a comment\n\n" + w.String())
		if err != nil || again.String() != w.String() {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, w, again)
		}
	}
	for text, want := range map[string]string{
		"world sed=1":                          `line 1: "sed", want one of seed, heal`,
		"world heal=1h":                        "line 1: heal=1h, want 0s to 10m",
		"\ncluster compute=0 memory=x":         "line 2: compute=0, want 1 to 64\nmemory=x, want 1 to 64",
		"cluster racks=1\ncluster racks=1":     "line 2: cluster is there twice",
		"cluster region_pages=3":               "region_pages=3, want a power of two",
		"policies gpm=bst":                     "gpm=bst, want one of best_fit",
		"raft lost=101%":                       "lost=101%, want 0% to 100%",
		"process name=a\nprocess name=a":       "process a is there twice",
		"process volumes=1\ncluster storage=0": "process a has volumes, but there is no storage",
		"process replication=erasure checkpoint=9\ncluster memory=4 storage=1": "process a makes checkpoints, to which memory in shares does not go back",
		"process replication=erasure data=3\ncluster memory=9":                 "process a: 3 data shares do not divide a page",
		"process replication=erasure data=4 parity=2\ncluster memory=6":        "process a: its memory is to be at 7 mComponents, there are 6",
		"order at=1s":                             "want one of move=KIND:ID, drain=NODE, undrain=NODE",
		"order at=1s move=vregion:1":              "want vregion:PROCESS:REGION",
		"order at=1s drain=m9":                    `no node "m9"`,
		"fault at 1s kill m9":                     `"m9" is no component`,
		"fault at 30% kill m1":                    "a world has no parts, want a time or a phase",
		"fault kill m1":                           "want at and a moment",
		"nonsense":                                `"nonsense", want one of world, cluster, policies, times, raft, process, order, fault`,
		strings.Repeat("# \n", MaxScript/3) + "#": "",
	} {
		_, err := Parse(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

// TestPromise: two mComponents at once may be the home of a process and its backup, which lose its memory however many copies its pages have; of one nothing is lost.
func TestPromise(t *testing.T) {
	lost := 0
	for _, policy := range []string{"replication=sync memory_copies=2", "replication=erasure data=2 parity=2"} {
		for a := 1; a <= 5; a++ {
			for b := a; b <= 5; b++ {
				if raceEnabled && a+b > 4 {
					continue
				}
				w, err := Parse(fmt.Sprintf("world seed=5 heal=4s\ncluster managers=1 compute=1 memory=5 storage=0\ntimes patience=30s lease=1s\n"+
					"process name=a pages=200 refs=500 %s\nfault at 1500ms kill m%d for 2s\nfault at 1500ms kill m%d for 2s\n", policy, a, b))
				if err != nil {
					t.Fatal(err)
				}
				if a == b {
					w.Faults = w.Faults[:1]
				}
				if (w.Kept() == "") != (len(w.Faults) == 1) {
					t.Errorf("%s, m%d and m%d: %q", policy, a, b, w.Kept())
				}
				out := Play(w)
				if out.Failure != nil {
					t.Errorf("%s, m%d and m%d: %v", policy, a, b, out.Failure)
				}
				lost += len(out.Lost)
			}
		}
	}
	if lost != 2 && !raceEnabled {
		t.Errorf("%d processes were lost, want each once: by the loss of its home and its backup", lost)
	}
}

// TestShrink: of a world that fails the shortest part is left that fails alike; other failures do not count.
func TestShrink(t *testing.T) {
	w := Draw(3)
	for len(w.Faults) < 4 {
		w.Faults = append(w.Faults, Draw(4).Faults...)
	}
	for len(w.Processes) < 3 {
		w.Processes = append(w.Processes, Process{Name: fmt.Sprint("x", len(w.Processes)), Refs: 900})
	}
	w.Faults[2].Kind, w.Faults[2].For = faults.Pause, time.Second
	w.Faults[3].Kind, w.Faults[3].For = faults.Kill, time.Second
	w.Processes[1].Refs = 4000
	play := func(x *World) *Outcome {
		kinds := map[faults.Kind]bool{}
		for _, f := range x.Faults {
			kinds[f.Kind] = true
		}
		refs := 0
		for _, p := range x.Processes {
			refs = max(refs, p.Refs)
		}
		switch {
		case kinds[faults.Pause] && kinds[faults.Kill] && refs >= 1000:
			return &Outcome{Failure: &Failure{What: "wrong page"}}
		case len(x.Faults) > 0:
			return &Outcome{Failure: &Failure{What: "another"}}
		}
		return &Outcome{}
	}
	short, out, played := Shrink(w, &Failure{What: "wrong page"}, ShrinkTries, play)
	if len(short.Faults) != 2 || len(short.Processes) != 1 || short.Processes[0].Refs != 1000 || len(short.Orders) != 0 || short.Balance || out.Failure.What != "wrong page" {
		t.Errorf("after %d worlds:\n%s", played, short)
	}
	if played > ShrinkTries || len(w.Processes) < 3 {
		t.Errorf("%d worlds, and the one to be shortened is now\n%s", played, w)
	}
	if same, _, n := Shrink(w, &Failure{What: "wrong page"}, 5, func(*World) *Outcome { return &Outcome{} }); n != 5 || same != w {
		t.Errorf("%d worlds of 5, and what never fails became shorter", n)
	}
}

// TestLaw5 has the check see what it is for.
func TestLaw5(t *testing.T) {
	l := law5{last: map[owned]owner{}}
	s := func(node wire.NodeID, region wire.RegionNo, e wire.Epoch) error {
		return l.served(&vcluster.Served{Node: node, Thing: wire.MoveRegion, PID: 1, Region: region, Epoch: e})
	}
	for i, c := range []struct {
		err  error
		want string
	}{
		{s("m1", 7, 1), ""}, {s("m1", 7, 1), ""}, {s("m2", 8, 1), ""}, {s("m2", 7, 2), ""}, {s("m1", 7, 1), "under epoch 1 after m2 did under epoch 2"},
		{s("m3", 8, 1), "m3 serves it under epoch 1, and so did m2"},
	} {
		if c.want == "" && c.err != nil || c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)) {
			t.Errorf("%d: %v, want %q", i, c.err, c.want)
		}
	}
}

// TestWhatOnceFailed: worlds that were made short when they failed. Each is of a fault of the program that was mended since.
func TestWhatOnceFailed(t *testing.T) {
	files, err := filepath.Glob("testdata/*.world")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w, err := Parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if out := Play(w); out.Failure != nil {
			t.Errorf("%s: %v", file, out.Failure)
		}
	}
}
