package arch

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTheHouseIsAsPlanned(t *testing.T) {
	found, err := Check(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

// TestTheCheckCanFail runs the checker over files that break every rule; each line that must be found says so.
func TestTheCheckCanFail(t *testing.T) {
	root := filepath.Join("testdata", "bad")
	found, err := Check(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range found {
		got = append(got, v.String())
	}
	want := wanted(t, root)
	if len(want) < 15 {
		t.Fatalf("only %d expectations in %s, want every rule there", len(want), root)
	}
	for _, w := range want {
		if !slices.ContainsFunc(got, func(g string) bool { return strings.Contains(g, w) }) {
			t.Errorf("not found: %s", w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d violations found, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
}

// wanted collects the comments `// want: text` as "file:line: text".
func wanted(t *testing.T, root string) []string {
	t.Helper()
	var want []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			if _, text, ok := strings.Cut(lines.Text(), "// want: "); ok {
				want = append(want, fmt.Sprintf("%s:%d: %s", filepath.ToSlash(rel), n, text))
			}
		}
		return lines.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return want
}
