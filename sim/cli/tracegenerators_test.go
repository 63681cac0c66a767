package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/generate"
)

// TestGeneratorsAreListed: as a table and as JSON, from one text; and the manual has every key with its default.
func TestGeneratorsAreListed(t *testing.T) {
	table, asJSON := call("trace", "generators"), call("trace", "generators", "-o", "json")
	if table.code != 0 || asJSON.code != 0 {
		t.Fatalf("%+v %+v", table, asJSON)
	}
	var list []generatorKind
	if err := json.Unmarshal([]byte(asJSON.stdout), &list); err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile(filepath.Join("..", "..", "docs", "generators.md"))
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range generate.Kinds() {
		if list[i].Name != k.Name || !strings.Contains(table.stdout, k.Name+": "+k.About) {
			t.Errorf("%s is not listed", k.Name)
		}
		_, section, found := strings.Cut(string(manual), "\n## "+k.Name+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !found || !strings.Contains(section, k.Source) {
			t.Errorf("docs/generators.md has no section %s with its source", k.Name)
		}
		for _, key := range k.Keys {
			value := key.Default
			if key.Needed {
				value = "must be given"
			}
			if want := fmt.Sprintf("| `%s` | %s |", key.Name, value); !strings.Contains(string(manual), want) {
				t.Errorf("docs/generators.md does not have %s", want)
			}
		}
	}
}

// TestGeneratorsAreTraces: info and convert take them, and say what is wrong with one.
func TestGeneratorsAreTraces(t *testing.T) {
	out := filepath.Join(t.TempDir(), "x.skt")
	if c := call("trace", "convert", "generator:training?pages=100&refs=5000", out, "-o", "json"); c.code != 0 || !strings.Contains(c.stdout, `"references": 5000`) {
		t.Errorf("%+v", c)
	}
	if c := call("trace", "info", out); c.code != 0 || !strings.Contains(c.stdout, "training generator:training?pages=100&refs=5000&gap=4&layers=7&") {
		t.Errorf("%+v", c)
	}
	if c := call("trace", "info", "generator:ycsb?pages=0"); c.code != 1 || !strings.Contains(c.stderr, `pages: "0", want a whole number of 1 to 68719476736`) || !strings.Contains(c.stderr, "workload: missing") {
		t.Errorf("%+v", c)
	}
}
