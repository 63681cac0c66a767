package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestChaos: rounds are made until there were faults enough, and their folders are gone; a round that fails is kept, said, and can be repeated.
func TestChaos(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	for _, args := range [][]string{{"--faults", "0"}, {"--minutes", "-1"}, {"--patience", "1ms"}} {
		call(append([]string{"chaos"}, args...)...).want(t, exitUsage, "want at least 1, 0 and 1s")
	}
	w := write(t, dir, "chaos.yaml", "name: chaos\nvnodes:\n  - {name: a, trace: 'generator:zipf?pages=400&refs=20000&writes_percent=30', repeat: 10, excache: {lines: 64}}\n")
	out := filepath.Join(dir, "rounds")
	chaos := []string{"chaos", w, "--cluster", small(t), "--faults", "1", "--seed", "2", "--out", out, "-o", "json",
		"--set", "netlayer.peer.call_timeout_ms=300", "--set", "netlayer.peer.hello_timeout_ms=300"}
	rep := printed[chaosReport](t, execute(t, dir, chaos...))
	kinds := 0
	for _, n := range rep.ByKind {
		kinds += n
	}
	if rep.Faults < 1 || kinds != rep.Faults || rep.Rounds < 1 || len(rep.Failures) > 0 {
		t.Errorf("%+v", rep)
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("the folder of rounds that were good is there: %v", err)
	}

	got := execute(t, dir, append(slices.Clone(chaos), "--set", "nodes.m1.inject.flip_byte_at_miss=3")...)
	got.want(t, exitWrongPage, "to repeat it: splitkernel run "+w)
	kept := filepath.Join(out, "seed-2")
	if !strings.Contains(got.stdout, `"outcome": "wrong page"`) || !strings.Contains(got.stdout, kept) {
		t.Errorf("%s", got.stdout)
	}
	call("simulate", "--from-run", kept).want(t, exitOK)
	empty(t, temp)
}

func TestQuoted(t *testing.T) {
	var got []string
	for _, s := range []string{"a", "", "at 5s kill m1", "it's", "a=b/c-d.yaml"} {
		got = append(got, quoted(s))
	}
	if want := []string{"a", "''", "'at 5s kill m1'", `'it'\''s'`, "a=b/c-d.yaml"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
