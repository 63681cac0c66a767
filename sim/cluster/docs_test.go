package cluster

import (
	"os"
	"strings"
	"testing"
)

// TestDocs: docs/studies.md has a row for each format, with what the program says of it.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/studies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range formats() {
		sample := f.sample
		if sample == "" {
			sample = "**layout unverified**"
		}
		example := strings.NewReplacer("\t", " ⇥ ", "|", `\|`).Replace(f.example)
		if row := "| `" + f.name + "` | " + f.about + " | `" + example + "` | " + sample + " |\n"; !strings.Contains(string(page), row) {
			t.Errorf("no row\n%s", row)
		}
	}
}
