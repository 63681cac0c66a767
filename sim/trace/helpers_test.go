package trace

import (
	"os"
	"path/filepath"
	"testing"
)

// repoRoot is the folder of go.mod.
func repoRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the package")
		}
		dir = up
	}
}

// sharedData is a file of ../shared/data, or a skip.
func sharedData(t testing.TB, name string) string {
	t.Helper()
	p := filepath.Join(repoRoot(t), "..", "shared", "data", name)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("third-party data is absent: %s is not beside the repository", filepath.Join("shared", "data", name))
	}
	return p
}
