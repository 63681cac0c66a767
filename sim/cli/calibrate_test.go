package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/configs"
	"splitkernel/sim/calibrate"
)

// TestCalibrate measures as shortly as may be: the profile is one, simulate takes it, and on another machine it says so.
func TestCalibrate(t *testing.T) {
	ownTemp(t)
	dir := t.TempDir()
	c := execute(t, dir, "calibrate", "--seconds", "0.1", "--out", "here.yaml")
	c.want(t, exitOK, "profile: here.yaml")
	if !strings.Contains(c.stdout, "a fetch that evicts a dirty line") {
		t.Errorf("the table has no fetches:\n%s", c.stdout)
	}
	here := filepath.Join(dir, "here.yaml")
	p, err := configs.LoadHardware(here)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != calibrate.ProfileName || p.Host != calibrate.Host() || p.Processor.Shared != 1 {
		t.Errorf("%s of %q with %v processors, want %s of %q with 1", p.Name, p.Host, p.Processor.Shared, calibrate.ProfileName, calibrate.Host())
	}
	if list := entries(t, dir); len(list) != 1 {
		t.Errorf("left beside the profile: %v", list)
	}

	p.Host, p.Processor.Reference = "elsewhere", 1
	text, err := configs.HardwareYAML(p)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "there.yaml", string(text))
	workload := write(t, dir, "w.yaml", "name: w\nvnodes:\n  - {name: x, trace: "+bundledTrace(t)+", max_refs: 2000, excache: {share_percent: 10}}\n")
	args := []string{"simulate", workload, "--as-replay", "--digest", "--hardware", filepath.Join(dir, "there.yaml")}
	call(args...).want(t, exitOK, "was measured on another machine (elsewhere)")
	call("simulate", workload, "--as-replay", "--hardware", "cxl").want(t, exitUsage, "processor.reference of cxl is 0, want a profile that `splitkernel calibrate` wrote")
}

func bundledTrace(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", "sort.skt"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPredict compares one short trace once over each transport.
func TestPredict(t *testing.T) {
	temp := ownTemp(t)
	args := []string{"predict", "sort", bundledTrace(t), "--rounds", "1", "--seconds", "0.1", "--max-refs", "20000", "-o", "json"}
	c := execute(t, t.TempDir(), args...)
	c.want(t, exitOK, "round 1 of 1, tcp")
	var rows []calibrate.Prediction
	if err := json.Unmarshal([]byte(c.stdout), &rows); err != nil {
		t.Fatalf("%v\n%s", err, c.stdout)
	}
	if len(rows) != 4 {
		t.Fatalf("%d rows, want two traces over two transports", len(rows))
	}
	for i, r := range rows {
		if r.Trace != "sort" || r.Transport != []string{"unix", "tcp"}[i/2] || r.Measured.WallSeconds <= 0 || r.Predicted.WallSeconds <= 0 || r.Measured.Fetches == 0 {
			t.Errorf("%+v", r)
		}
	}
	empty(t, temp)

	// A tolerance that nothing can hold.
	c = execute(t, t.TempDir(), append(args, "--transport", "unix", "--tolerance", "0.0000001")...)
	c.want(t, exitFailed, "predictions are off by more than 1e-07 %: sort over unix by")
}

func TestCalibrateUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"calibrate", "--transport", "shm"}, `--transport "shm", want unix or tcp`},
		{[]string{"calibrate", "--seconds", "0"}, "--seconds 0, want 0.1 to 600"},
		{[]string{"calibrate", "--seconds", "NaN"}, "--seconds NaN, want 0.1 to 600"},
		{[]string{"predict", "--rounds", "0"}, "--rounds 0, want 1 to 99"},
		{[]string{"predict", "--tolerance", "-1"}, "--tolerance -1, want percent, more than 0"},
		{[]string{"predict", "nowhere"}, "nowhere: no such trace, want a file or one of the bundled wordcount, sort, sqlite"},
		{[]string{"predict", "--hardware", "nowhere"}, "no such file"},
	} {
		call(c.args...).want(t, exitUsage, c.want)
	}
	if _, err := os.Stat(calibrate.ProfileName + ".yaml"); err == nil {
		t.Error("a profile was written")
	}
}
