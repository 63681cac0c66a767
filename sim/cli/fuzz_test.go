package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/faults"
	"splitkernel/sim/fuzz"
)

// TestFuzz: seeds are played and told of, one world prints itself and its digest, which its script has, too; and bad usage is 2.
func TestFuzz(t *testing.T) {
	run := func(args ...string) (int, string, string) {
		c := call(append([]string{"fuzz"}, args...)...)
		return c.code, c.stdout, c.stderr
	}
	code, out, errOut := run("--seeds", "6", "--seed", "3", "-o", "json")
	var r fuzz.Report
	if err := json.Unmarshal([]byte(out), &r); code != exitOK || err != nil {
		t.Fatalf("%d, %v: %s%s", code, err, out, errOut)
	}
	if r.Seeds != 6 || r.First != 3 || r.Failures != 0 || r.Operations == 0 || r.ClusterSeconds == 0 || r.PerCore == 0 || len(r.Coverage) != int(faults.DiskFull) || len(r.Coverage["kill"]) != faults.Phases {
		t.Errorf("%+v", r)
	}
	digest := func(args ...string) string {
		t.Helper()
		code, out, errOut := run(append([]string{"-o", "json"}, args...)...)
		var r fuzz.Report
		if err := json.Unmarshal([]byte(out), &r); code != exitOK || err != nil || !strings.Contains(errOut, "world seed=") {
			t.Fatalf("%v: %d, %v: %s%s", args, code, err, out, errOut)
		}
		return r.Digest
	}
	_, world, _ := run("--seed", "4", "--draw")
	file := filepath.Join(t.TempDir(), "world")
	if err := os.WriteFile(file, []byte(world), 0o644); err != nil {
		t.Fatal(err)
	}
	if a, b := digest("--seeds", "1", "--seed", "4"), digest("--script", file); a == "" || a != b {
		t.Errorf("digest %q of a seed, %q of its script", a, b)
	}
	if code, out, _ := run("--script", file); code != exitOK || !strings.Contains(out, "corrupt-block") || !strings.Contains(out, "checkpointing") {
		t.Errorf("%d: %s", code, out)
	}
	if err := os.WriteFile(file, []byte("cluster memory=0\nfault at 1s kill m9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"--seeds 0, want 1 to", []string{"--seeds", "0"}}, {"--minutes -1, want more than 0", []string{"--minutes", "-1"}}, {"--jobs -1, want 0 to", []string{"--jobs", "-1"}},
		{"--script and --seeds", []string{"--script", file, "--seeds", "1"}}, {"line 1: memory=0, want 1 to 64", []string{"--script", file}}, {`"m9" is no component`, []string{"--script", file}},
		{"no such file", []string{"--script", file + "x"}}, {`unknown command "nonsense"`, []string{"nonsense"}},
	} {
		if code, _, errOut := run(c.args...); code != exitUsage || !strings.Contains(errOut, c.want) {
			t.Errorf("%v: %d: %s, want %s", c.args, code, errOut, c.want)
		}
	}
}
