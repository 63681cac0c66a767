package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/study"
)

const fewArrivals = "generator:cluster?tasks=300&gap=60&seed=4"

// TestStudyPacking: from a trace to files, to prices.
func TestStudyPacking(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	code, out, errText := three("study", "packing", fewArrivals, "--server", "96,384GiB,8", "--need", "--out", dir, "-o", "json")
	var p study.Packing
	if err := json.Unmarshal([]byte(out), &p); code != 0 || err != nil {
		t.Fatalf("%d: %v\n%s%s", code, err, out, errText)
	}
	if len(p.Placed) != 2 || p.Placed[0].Result.Placed != 300 || len(p.Placed[0].Needed) != 1 || len(p.Placed[1].Needed) != 3 || p.Placed[0].Energy.Total <= 0 {
		t.Errorf("%s", out)
	}
	for _, name := range []string{"report.html", "result.json", "servers.csv", "pools.csv", "utilisation.svg", "stranded.svg", "active.svg"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	code, again, _ := three("study", "packing", fewArrivals, "--server", "96,384GiB,8", "--need", "-o", "json")
	if code != 0 || again != out {
		t.Error("one seed gives two results")
	}
	costs := filepath.Join(t.TempDir(), "costs")
	code, out, errText = three("study", "cost", "--packing", filepath.Join(dir, "result.json"), "--out", costs)
	if code != 0 || !strings.Contains(out, "break-even for the pools") || !strings.Contains(out, "network ports of components") {
		t.Errorf("%d\n%s%s", code, out, errText)
	}
	holds(t, costs, "cost.svg", "times as much.", "both cost the same.", "break-even for the pools", "in all", "<svg ", "study cost --packing")
}

// holds fails unless a study's folder has result.json, a plot and a page with these texts.
func holds(t *testing.T, dir, plot string, texts ...string) {
	t.Helper()
	for _, name := range []string{"result.json", plot} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.html"))
	for _, want := range texts {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%v: no %q in the page\n%.3000s", err, want, text)
		}
	}
}

func TestStudyMTTF(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "failures")
	code, out, errText := three("study", "mttf", "--trials", "20000", "--seed", "5", "--out", dir)
	if code != 0 || !strings.Contains(out, "17.24") || !strings.Contains(out, "1.498") || !strings.Contains(out, "seed") {
		t.Errorf("%d\n%s%s", code, out, errText)
	}
	holds(t, dir, "mttf.svg", "monolithic server fails every 11.51 years on average.", "1.498 times as long as monolithic server", "<svg ", "Modelled:", "study mttf --trials 20000 --seed 5")
	var rows []mttfRow
	if text, err := os.ReadFile(filepath.Join(dir, "result.json")); err != nil || json.Unmarshal(text, &rows) != nil || len(rows) != 3 || rows[0].Drawn.Trials != 20000 {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestStudyLocality(t *testing.T) {
	dir := t.TempDir()
	code, out, errText := three("study", "locality", "generator:sequential?pages=10&refs=100&seed=1", "--out", dir)
	if code != 0 || !strings.Contains(out, "100 accesses") || !strings.Contains(out, "are to 50.000 % of the pages") {
		t.Errorf("%d\n%s%s", code, out, errText)
	}
	if _, err := os.Stat(filepath.Join(dir, "locality.svg")); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "report.html")); err != nil || !strings.Contains(string(text), "50.0 % of the 100 accesses of generator:sequential?pages=10&amp;refs=100&amp;seed=1 are to 50.0 % of its 10 pages.") || !strings.Contains(string(text), "<svg ") {
		t.Errorf("%v\n%.4000s", err, text)
	}
}

func TestStudyInfo(t *testing.T) {
	p := filepath.Join(t.TempDir(), "c.csv")
	if err := os.WriteFile(p, []byte("c_1,m_2,50,app_1,started,400,400,1.5\nbad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errText := three("study", "info", p, "--skip-bad", "1")
	for _, want := range []string{"layout unverified", "alibaba2018-containers", "1 left out, the first: ", "4 cores and 0.015 machines", "assumed"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d: want %s in\n%s%s", code, want, out, errText)
		}
	}
	if code, _, errText = three("study", "info", p); code != 1 || !strings.Contains(errText, "c.csv: line 2: 1 columns, expected 8") {
		t.Errorf("%d: %s", code, errText)
	}
	if code, out, _ = three("study", "formats"); code != 0 || !strings.Contains(out, "openb-pods") || !strings.Contains(out, "layout unverified") {
		t.Errorf("%d: %s", code, out)
	}
}

// TestStudyInfoUse: what machines and tasks used over time; a table of it alone has nothing to place.
func TestStudyInfoUse(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"m.csv": "m_1,0,40,90,,,1,2,3\nm_1,300,60,70,,,1,2,3\nm_1,600,60,70,,,1,2,3\n",
		"i.csv": "ins_1,M1,j_1,1,Terminated,100,3700,m_3,1,1,50,75,0.5,1\n",
		"r.csv": "0,abcdefghijklmnopqrst+/01==,1,90,25\n",
		"f.csv": "id,duration,cpu_usage\n7,3600000,50\n",
		"o.csv": "id,submission_time,duration,cpu_count,cpu_capacity,mem_capacity\n7,5000,3600000,4,100,1048576\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	info := func(files string) (int, string, string) {
		args := []string{"study", "info"}
		for _, f := range strings.Fields(files) {
			args = append(args, filepath.Join(dir, f))
		}
		return three(args...)
	}
	for files, wants := range map[string][]string{
		"m.csv":       {"50.0 % of processors and 80.0 % of memory on average, at most (over 5 min) 60.0 % and 90.0 %; 1 machines", "stands until the next"},
		"i.csv":       {"layout unverified", "tasks", "1, of which 1 end", "0.5 cores and 0.005 machines on average", "0.5 cores × hours, 0.005 machines × hours"},
		"r.csv":       {"0.25 machines on average, at most (over 5 min) 0.25 machines; of memory it is not told", "1.0 is all that one of them has"},
		"f.csv o.csv": {"2 cores on average, at most (over 5 min) 2 cores; of memory it is not told", "2 cores × hours"},
	} {
		code, out, errText := info(files)
		for _, want := range wants {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%s: %d: want %s in\n%s%s", files, code, want, out, errText)
			}
		}
		if files == "m.csv" && strings.Contains(out, "asks for") {
			t.Errorf("a table without tasks asks for nothing:\n%s", out)
		}
	}
	code, out, _ := three("study", "info", filepath.Join(dir, "m.csv"), "-o", "json")
	var i clusterInfo
	if err := json.Unmarshal([]byte(out), &i); code != 0 || err != nil || i.MachineUse == nil || i.MachineUse.MeanCores != 0.5 || i.MachineUse.PeakMemory != 0.9 || i.MachineUse.PeakOver != 300 || i.TaskUse != nil {
		t.Errorf("%d, %v\n%s", code, err, out)
	}
	if code, _, errText := three("study", "packing", filepath.Join(dir, "m.csv")); code != 1 || !strings.Contains(errText, "no task in it to place (alibaba2018-machine-usage), expected a table of tasks") {
		t.Errorf("%d: %s", code, errText)
	}
	code, out, errText := three("study", "packing", filepath.Join(dir, "f.csv"), filepath.Join(dir, "o.csv"), "--server", "4,8GiB", "--no-pools")
	if code != 0 || !strings.Contains(out, "used of processors") || !strings.Contains(out, "50.0 %") || strings.Contains(out, "used of memory") {
		t.Errorf("%d\n%s%s", code, out, errText)
	}
}

// TestStudyFractions: a trace that counts in machines is placed on such machines, and on its own.
func TestStudyFractions(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"machines.csv": "0,5,0,HofLGz,1,1\n",
		"tasks.csv":    "600000000,,3,0,5,1,user,3,9,0.5,0.25,0.1,0\n601000000,,4,0,5,1,user,3,9,0.5,0.25,0.1,0\n603000000,,3,0,5,4,user,3,9,,,,\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"--own"}, {}} {
		code, out, errText := three(append([]string{"study", "packing", dir}, args...)...)
		if code != 0 || !strings.Contains(out, "2 of 2") || !strings.Contains(out, "83.3 %") {
			t.Errorf("%v: %d\n%s%s", args, code, out, errText)
		}
	}
	if code, _, errText := three("study", "packing", dir, "--server", "96,384GiB"); code != 2 || !strings.Contains(errText, "say with --format what 1.0 is") {
		t.Errorf("%d: %s", code, errText)
	}
}

func TestStudyUsage(t *testing.T) {
	for args, want := range map[string]string{
		"study packing " + fewArrivals + " --server x":              "--server: cores",
		"study packing " + fewArrivals + " --policy lru":            "want one of best-fit",
		"study packing " + fewArrivals + " --excache 200":           "excache",
		"study packing " + fewArrivals + " --no-pools --no-servers": "leave nothing",
		"study packing " + fewArrivals + " --own --need":            "--need",
		"study packing " + fewArrivals + " --power none.yaml":       "--power",
		"study packing " + fewArrivals + " --format nonsense":       "--format",
		"study cost":                         "--packing is missing",
		"study cost --packing none":          "--packing",
		"study mttf --trials 1":              "--trials: 1",
		"study mttf --devices none":          "--devices",
		"study info":                         "arg",
		"study locality x --format nonsense": "--format",
	} {
		if code, _, errText := three(strings.Fields(args)...); code != 2 || !strings.Contains(errText, want) {
			t.Errorf("%s: %d: %s, want 2 and %s", args, code, errText, want)
		}
	}
}

// three is a call as its parts.
func three(args ...string) (code int, out, talk string) {
	c := call(args...)
	return c.code, c.stdout, c.stderr
}
