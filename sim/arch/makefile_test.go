package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCoresHaveNoRaces: what the Makefile tests without the race detector is pure, or the virtual world in which cores live, starts no
// goroutine, nor do its tests, nor needs what else the detector checks, the rules of unsafe.
func TestCoresHaveNoRaces(t *testing.T) {
	root := filepath.Join("..", "..")
	b, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(b), "\nCORES    :=")
	list, _, ended := strings.Cut(strings.ReplaceAll(list, "\\\n", " "), "\n")
	dirs := strings.Fields(list)
	if !ok || !ended || len(dirs) < 10 {
		t.Fatalf("the Makefile's CORES are %q, want a list of packages", dirs)
	}
	for _, dir := range dirs {
		dir, below := strings.CutSuffix(dir, "/...")
		if !isPure(dir) && !withinAny(dir, virtual) {
			t.Errorf("the Makefile tests %s without the race detector: it is neither a core nor virtual", dir)
		}
		err := filepath.WalkDir(filepath.Join(root, filepath.FromSlash(dir)), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "testdata" || !below && path != filepath.Join(root, filepath.FromSlash(dir))):
				return filepath.SkipDir
			case d.IsDir() || !strings.HasSuffix(path, ".go"):
				return nil
			}
			for _, why := range concurrent(t, path) {
				t.Errorf("%s: %s, and the Makefile tests its package without the race detector", path, why)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestConcurrencyIsSeen: each way to a goroutine that concurrent knows is found in a file that has it.
func TestConcurrencyIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x_test.go")
	text := "package x\nimport (\"sync\"; \"testing\"; \"unsafe\")\nvar m sync.Mutex\nfunc TestX(t *testing.T) { t.Parallel(); go TestX(t); _ = unsafe.Sizeof(m) }\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := concurrent(t, path)
	slices.Sort(got)
	if want := []string{"calls Parallel", "has a go statement", "imports sync", "imports unsafe"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// concurrent says what in a file could start goroutines or needs the rules of unsafe.
func concurrent(t *testing.T, path string) (why []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		switch name := strings.Trim(i.Path.Value, `"`); name {
		case "sync", "sync/atomic", "unsafe", "testing/synctest", "net/http", "os/exec":
			why = append(why, "imports "+name)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			why = append(why, "has a go statement")
		case *ast.SelectorExpr:
			if n.Sel.Name == "Parallel" || n.Sel.Name == "RunParallel" {
				why = append(why, "calls "+n.Sel.Name)
			}
		}
		return true
	})
	return why
}
