package configs

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/pcomponent/excache"
)

// faultsOf gives the faults of an error, or fails.
func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	var f *FaultsError
	if !errors.As(err, &f) {
		t.Fatalf("error %v, want a *FaultsError", err)
	}
	return f.Faults
}

// TestBadFiles loads every file of testdata. Each says in its first lines what must be reported: all of it, nothing else,
// in that order.
func TestBadFiles(t *testing.T) {
	for _, kind := range []string{"cluster", "workload", "sweep"} {
		files, err := filepath.Glob(filepath.Join("testdata", kind, "*.yaml"))
		if err != nil || len(files) < 5 {
			t.Fatalf("%d files of kind %s (%v), want the table of bad files", len(files), kind, err)
		}
		for _, file := range files {
			t.Run(kind+"/"+filepath.Base(file), func(t *testing.T) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				var want []string
				for line := range strings.Lines(string(text)) {
					if w, ok := strings.CutPrefix(line, "# want: "); ok {
						want = append(want, strings.TrimSpace(w))
					}
				}
				switch kind {
				case "cluster":
					_, err = LoadCluster(file, Overrides{})
				case "workload":
					_, err = LoadWorkload(file, Overrides{})
				case "sweep":
					var s *Sweep
					if s, err = LoadSweep(file); err == nil {
						_, err = s.Runs(nil)
					}
				}
				if err == nil {
					t.Fatalf("loaded, want the faults:\n%s", strings.Join(want, "\n"))
				}
				if got := faultsOf(t, err); !slices.Equal(got, want) {
					t.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		}
	}
}

func mustCluster(t *testing.T, over Overrides) *Cluster {
	t.Helper()
	c, err := LoadCluster("laptop", over)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMissingFile(t *testing.T) {
	_, err := LoadCluster("nowhere.yaml", Overrides{})
	want := "nowhere.yaml: no such file, want a path or one of the bundled clusters: elastic, laptop, redundant, thousand"
	if got := faultsOf(t, err); len(got) != 1 || got[0] != want {
		t.Errorf("faults %q, want %q", got, want)
	}
}

func TestLaptopIsWhatTheManualSays(t *testing.T) {
	c := mustCluster(t, Overrides{})
	count := map[string]int{}
	for _, n := range c.Nodes {
		count[n.Role]++
	}
	want := map[string]int{"manager": 3, "pcomponent": 2, "mcomponent": 3, "scomponent": 2}
	if !reflect.DeepEqual(count, want) || c.RegionBytes != 1<<20 || c.Transport != TransportUnix {
		t.Errorf("laptop: %v, regions of %d, %s; want %v, 1 MiB, unix", count, c.RegionBytes, c.Transport, want)
	}
}

func TestLayersLieOverTheFile(t *testing.T) {
	c := mustCluster(t, Overrides{
		Env: []string{"SPLITKERNEL_PCOMPONENT_CORES=3", "SPLITKERNEL_TOKEN=secret", "HOME=/nowhere", "SPLITKERNEL_WORKLOAD_SEED=9"},
		Set: []string{"pcomponent.cores=4", "nodes.p2.cores=5", "nodes.p1.excache_bytes=8MiB", "workload.seed=1"},
	})
	p1, p2 := c.Resolve("p1").Compute, c.Resolve("p2").Compute
	if p1.Cores != 4 || p2.Cores != 5 {
		t.Errorf("cores of p1 and p2: %d and %d, want 4 (--set over the environment) and 5 (its own)", p1.Cores, p2.Cores)
	}
	if p1.ExCacheBytes != 8<<20 || p2.ExCacheBytes == 8<<20 {
		t.Errorf("excache_bytes of p1 and p2: %d and %d, want 8 MiB at p1 only", p1.ExCacheBytes, p2.ExCacheBytes)
	}
	if c.Token != "secret" || c.Resolve("g1").Token != "secret" {
		t.Errorf("token %q, want the environment's", c.Token)
	}
}

func TestBadLayersAreNamed(t *testing.T) {
	_, err := LoadCluster("laptop", Overrides{
		Env: []string{"SPLITKERNEL_PCOMPONENT_CORSE=3", "SPLITKERNEL_TRANSPORT=pigeon"},
		Set: []string{"nodes.p9.cores=5", "nonsense", "pcomponent.cores=many", "name.x=1", "pcomponent.excache_bytes=4KB", "seed=3", "sectoin.x=1"},
	})
	want := []string{
		"environment: SPLITKERNEL_PCOMPONENT_CORSE: unknown name, did you mean SPLITKERNEL_PCOMPONENT_CORES?",
		`--set: "nonsense", want key=value`,
		"--set: seed: a key of the workload, want workload.seed",
		`--set: nodes.p9.cores: nodes has no element "p9"`,
		`--set: name.x: name is "laptop" and has no keys`,
		`--set: pcomponent.cores: "many", want a whole number`,
		`--set: pcomponent.excache_bytes: "4KB", want a whole number and a unit: B, KiB, MiB, GiB or TiB, as in 64MiB`,
		"--set: sectoin.x: sectoin: unknown key, want one of client, manager, mcomponent, name, netlayer, nodes, pcomponent, recorder, region_bytes, scomponent, token, trace, transport",
	}
	if got := faultsOf(t, err); !slices.Equal(got, want) {
		t.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	_, err = LoadCluster("laptop", Overrides{Env: []string{"SPLITKERNEL_TRANSPORT=pigeon"}})
	if got, want := faultsOf(t, err), []string{`environment: SPLITKERNEL_TRANSPORT: "pigeon", want one of tcp, unix`}; !slices.Equal(got, want) {
		t.Errorf("faults %q, want %q", got, want)
	}
}

func TestDigestIsOfTheValues(t *testing.T) {
	base := mustCluster(t, Overrides{})
	same := mustCluster(t, Overrides{Set: []string{"pcomponent.cores=" + "2", "region_bytes=1024KiB"}})
	if base.Digest() != same.Digest() {
		t.Errorf("the same values in other words have another digest")
	}
	seen := map[string]string{base.Digest(): "base"}
	for _, set := range []string{"pcomponent.cores=3", "nodes.p2.cores=3", "name=other", "nodes.m1.rack=r9", "netlayer.peer.slots=7"} {
		d := mustCluster(t, Overrides{Set: []string{set}}).Digest()
		if other, ok := seen[d]; ok {
			t.Errorf("--set %s has the digest of %s", set, other)
		}
		seen[d] = set
	}
}

func TestShownYAMLLoadsToTheSameDigest(t *testing.T) {
	c := mustCluster(t, Overrides{Set: []string{"nodes.p2.cores=5", "nodes.p1.excache_bytes=8MiB", "token=x"}})
	again, err := ParseCluster("shown", c.YAML(), Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != c.Digest() {
		t.Errorf("digest %s of\n%s, want %s", again.Digest(), c.YAML(), c.Digest())
	}
	w := writeWorkload(t, "name: w\nvnodes:\n  - {name: a, trace: t.txt, excache: {share_percent: 12.5, ways: 16}}\n  - {name: b, trace: t.txt, excache: {lines: 64}}\n")
	first, err := LoadWorkload(w, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	shown := filepath.Join(filepath.Dir(w), "shown.yaml")
	if err := os.WriteFile(shown, first.YAML(), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := LoadWorkload(shown, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if first.Digest() != second.Digest() {
		t.Errorf("workload shown as\n%s has another digest", first.YAML())
	}
}

// writeWorkload writes a workload beside a trace t.txt.
func writeWorkload(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "w.yaml")
	for name, content := range map[string]string{path: text, filepath.Join(dir, "t.txt"): "R 1000\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestProgramsLoads(t *testing.T) {
	w, err := LoadWorkload("programs", Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Vnodes) != 3 {
		t.Errorf("%d vNodes, want three programs", len(w.Vnodes))
	}
	dir := t.TempDir()
	for i := range w.Vnodes {
		path, err := w.TracePath(&w.Vnodes[i], dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("traces", filepath.Base(path)))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is not the bundled trace (%v)", path, err)
		}
	}
}

func TestWorkloadLayers(t *testing.T) {
	w, err := LoadWorkload(writeWorkload(t, "name: w\nvnodes: [{name: a, trace: t.txt}]\n"), Overrides{
		Env: []string{"SPLITKERNEL_WORKLOAD_SEED=9", "SPLITKERNEL_TRANSPORT=pigeon"},
		Set: []string{"workload.vnodes.a.excache.policy=fifo", "transport=pigeon"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.Seed != 9 || w.Vnodes[0].Excache.Policy != "fifo" {
		t.Errorf("seed %d and policy %s, want 9 and fifo", w.Seed, w.Vnodes[0].Excache.Policy)
	}
	path, err := w.TracePath(&w.Vnodes[0], t.TempDir())
	if err != nil || !filepath.IsAbs(path) || filepath.Base(path) != "t.txt" {
		t.Errorf("trace at %s (%v), want t.txt beside the workload", path, err)
	}
}

// TestNoKeyHidesAUnit walks every key that a file can have. A time.Duration would take a bare number for nanoseconds, and two
// keys of one environment name would set each other.
func TestNoKeyHidesAUnit(t *testing.T) {
	names := map[string]string{}
	for _, root := range []struct {
		typ      reflect.Type
		workload bool
	}{{reflect.TypeFor[Cluster](), false}, {reflect.TypeFor[Workload](), true}, {reflect.TypeFor[VNode](), true}, {reflect.TypeFor[Node](), false}} {
		walkTypes(t, root.typ, root.typ.Name())
		if root.typ.Name() == "Cluster" || root.typ.Name() == "Workload" {
			for _, k := range leaves(root.typ, "", nil) {
				n := envName(k, root.workload)
				if other, ok := names[n]; ok {
					t.Errorf("%s and %s have one environment name, %s", k, other, n)
				}
				names[n] = k
			}
		}
	}
}

func walkTypes(t *testing.T, typ reflect.Type, at string) {
	for _, f := range fieldsOf(typ) {
		key := at + "." + f.key
		switch {
		case f.typ == reflect.TypeFor[time.Duration]():
			t.Errorf("%s is a time.Duration, want an integer whose name ends in its unit", key)
		case strings.HasSuffix(f.key, "_m_s") || strings.ToLower(f.key) != f.key:
			t.Errorf("%s: key %q, want snake case", key, f.key)
		case f.typ.Kind() == reflect.Struct:
			walkTypes(t, f.typ, key)
		}
	}
}

func TestKeysAreSnakeCase(t *testing.T) {
	for name, want := range map[string]string{
		"RegionBytes": "region_bytes", "PatienceMS": "patience_ms", "ExCacheBytes": "excache_bytes", "GMMPolicy": "gmm_policy",
		"MaxRefs": "max_refs", "ID": "id", "FlushToS": "flush_to_s",
	} {
		if got := snake(name); got != want {
			t.Errorf("key of %s: %s, want %s", name, got, want)
		}
	}
}

func TestBytesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, 1<<62).Draw(t, "n") << rapid.UintRange(0, 1).Draw(t, "shift") &^ (1 << 63)
		got, err := ParseBytes(FormatBytes(n))
		if err != nil || got != n {
			t.Fatalf("%d is written %s and read %d (%v)", n, FormatBytes(n), got, err)
		}
	})
	for _, bad := range []string{"", "5", "5 MiB", "-1B", "1.5GiB", "MiB", "5mib", "9000000TiB", "0x10B"} {
		if n, err := ParseBytes(bad); err == nil {
			t.Errorf("%q is read as %d, want an error", bad, n)
		}
	}
}

// TestSharesGiveValidCaches: whatever the footprint and the ways, the cache can be made, is near its share, and never
// larger.
func TestSharesGiveValidCaches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := ExCache{Options: excache.DefaultOptions(), SharePercent: rapid.Float64Range(0.1, 200).Draw(t, "share")}
		x.Ways = rapid.IntRange(0, 600).Draw(t, "ways")
		pages := rapid.Uint64Range(1, 1<<20).Draw(t, "pages")
		o := x.Sized(pages)
		if err := o.Validate(); err != nil {
			t.Fatalf("%d pages: %+v: %v", pages, o, err)
		}
		want := max(1, int(float64(pages)*x.SharePercent/100))
		if o.Lines > want || float64(o.Lines) < 0.5*float64(want) {
			t.Fatalf("%d lines of %d pages at %g %%, want about %d", o.Lines, pages, x.SharePercent, want)
		}
	})
}

func FuzzParseCluster(f *testing.F) {
	laptop, err := bundled.ReadFile("clusters/laptop.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(laptop)
	files, _ := filepath.Glob("testdata/cluster/*.yaml")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCluster("fuzz", text, Overrides{})
		if err != nil {
			return
		}
		again, err := ParseCluster("shown", c.YAML(), Overrides{})
		if err != nil || again.Digest() != c.Digest() {
			t.Fatalf("what was loaded is shown as\n%s\nwhich is not the same (%v)", c.YAML(), err)
		}
	})
}

// TestCountsStandForMany: each with its own name, settings and chance, and the written file says the same without the key.
func TestCountsStandForMany(t *testing.T) {
	c, err := LoadCluster("thousand", Overrides{Set: []string{"nodes.p.cores=3", "nodes.p.count=300", "nodes.m.count=2", "nodes.s.count=2"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Nodes) != 307 || c.Nodes[306].ID != "s2" || c.Resolve("p300").Compute.Cores != 3 || c.Resolve("p1").Compute == c.Resolve("p2").Compute {
		t.Errorf("%d nodes, the last %q, want 307 up to s2, each with its own settings", len(c.Nodes), c.Nodes[len(c.Nodes)-1].ID)
	}
	again, err := ParseCluster("again", c.YAML(), Overrides{})
	if err != nil || again.Digest() != c.Digest() {
		t.Errorf("what it writes is another cluster (%v)", err)
	}
	w, err := LoadWorkload("thousand", Overrides{Set: []string{"workload.vnodes.zipf.count=1100", "workload.vnodes.scan.count=2", "workload.vnodes.phases.count=2"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Vnodes) != 1104 || w.Vnodes[1099].Name != "zipf1100" {
		t.Fatalf("%d vNodes, want 1104", len(w.Vnodes))
	}
	one, err1 := w.TracePath(&w.Vnodes[0], "")
	two, err2 := w.TracePath(&w.Vnodes[1], "")
	if err1 != nil || err2 != nil || one == two || !strings.Contains(one, "&seed=") {
		t.Errorf("generators %s (%v) and %s (%v), want two seeds", one, err1, two, err2)
	}
	w.Seed++
	if other, err := w.TracePath(&w.Vnodes[0], ""); err != nil || other == one {
		t.Errorf("%s (%v) under another seed of the workload, want another", other, err)
	}
	for _, err := range []error{c.Live(), w.Live()} {
		if got := faultsOf(t, err); len(got) != 1 || !strings.Contains(got[0], "simulate runs up to") {
			t.Errorf("live: %q, want the bound named", got)
		}
	}
	if _, err := LoadWorkload("programs", Overrides{}); err != nil {
		t.Fatal(err)
	}
}
