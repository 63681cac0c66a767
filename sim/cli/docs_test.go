package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// console gives the commands of the console blocks of a page of the manual, as one script.
func console(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	inside, goesOn := false, false
	for line := range strings.Lines(string(text)) {
		switch command, is := strings.CutPrefix(line, "$ "); {
		case strings.HasPrefix(line, "```"):
			inside = strings.HasPrefix(line, "```console")
		case inside && is:
			script.WriteString(command)
			goesOn = strings.HasSuffix(strings.TrimSpace(command), `\`)
		case inside && goesOn:
			script.WriteString(line)
			goesOn = strings.HasSuffix(strings.TrimSpace(line), `\`)
		}
	}
	if script.Len() == 0 {
		t.Fatalf("docs/%s has no console block", page)
	}
	return script.String()
}

// TestTheExamplesOfTheAPI runs what docs/api.md shows, on a cluster of one node a role.
func TestTheExamplesOfTheAPI(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	temp, dir := ownTemp(t), t.TempDir()
	small, err := os.ReadFile(small(t))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "laptop", string(small)) // `up` takes a file of the name before the bundled one
	t.Cleanup(func() { call("down", "--all") })
	cmd := exec.Command("bash", "-euxo", "pipefail", "-c", console(t, "api.md"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`"leader":"g1"`, `"phase":"running"`, `"kind":"placed_volume"`, `"pid":1,"warnings":[]`, `"differences":[]`, `"state":"draining"`, `{"id":"m9","epoch":1}`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the examples do not print %s:\n%s", want, out)
		}
	}
	empty(t, temp)
}
