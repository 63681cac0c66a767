package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Violation is one breach of the plan.
type Violation struct {
	File string // relative to the root
	Line int
	Text string
}

func (v Violation) String() string { return fmt.Sprintf("%s:%d: %s", v.File, v.Line, v.Text) }

// Check reads every Go file below root and returns the violations in the order of the files.
func Check(root string) ([]Violation, error) {
	var found []Violation
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		vs, err := checkFile(name, filepath.ToSlash(rel))
		found = append(found, vs...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the sources below %s: %w", root, err)
	}
	return found, nil
}

// file is one source file under examination.
type file struct {
	rel   string // path from the root
	pkg   string // folder from the root, "" at the top
	test  bool
	fset  *token.FileSet
	tree  *ast.File
	found []Violation
}

func checkFile(name, rel string) ([]Violation, error) {
	f := &file{rel: rel, test: strings.HasSuffix(rel, "_test.go"), fset: token.NewFileSet()}
	if f.pkg = path.Dir(rel); f.pkg == "." {
		f.pkg = ""
	}
	var err error
	if f.tree, err = parser.ParseFile(f.fset, name, nil, parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	own, known := level(f.pkg)
	if !known {
		f.add(f.tree.Package, "package %s is not in the plan: say in sim/arch/rooms.go whether it is a core or a shell", f.pkg)
	}
	for _, spec := range f.tree.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if known {
			f.checkLevel(spec.Pos(), own, imported)
		}
		f.checkImporter(spec.Pos(), imported)
	}
	if isPure(f.pkg) && !f.test {
		f.checkPure()
	}
	return f.found, nil
}

func (f *file) add(at token.Pos, format string, args ...any) {
	f.found = append(f.found, Violation{f.rel, f.fset.Position(at).Line, fmt.Sprintf(format, args...)})
}

// checkLevel compares an import of this module with the levels. Tests may look sideways, at other cores and shells, but
// not up.
func (f *file) checkLevel(at token.Pos, own int, imported string) {
	to, ours := strings.CutPrefix(imported, module+"/")
	if !ours {
		return
	}
	theirs, known := level(to)
	switch {
	case !known:
		f.add(at, "import of %s, which is not in the plan of sim/arch/rooms.go", to)
	case theirs > own:
		f.add(at, "level %d imports %s of level %d: lower never imports higher", own, to, theirs)
	case f.test:
	case own == levelShell && theirs == levelShell && room(to) != room(f.pkg):
		f.add(at, "shell %s imports shell %s: they meet in messages", f.pkg, to)
	case own == levelCore && theirs == levelCore && room(to) != room(f.pkg) && !withinAny(f.pkg, composed) && !contains(instruments, to):
		f.add(at, "core %s imports core %s of another room", f.pkg, to)
	case contains(virtual, f.pkg) && theirs > levelCore && !contains(virtual, to):
		f.add(at, "%s sees levels 0 and 1 only, not %s of level %d", f.pkg, to, theirs)
	}
}

// checkImporter compares the import of a library with its single importer.
func (f *file) checkImporter(at token.Pos, imported string) {
	for _, rule := range importers {
		if !within(imported, rule.library) {
			continue
		}
		if rule.dir != "" && !within(f.pkg, rule.dir) || rule.files != nil && !slices.Contains(rule.files, path.Base(f.rel)) {
			where := strings.Join(rule.files, " or ")
			if rule.dir != "" {
				where = strings.TrimSuffix(rule.dir+"/"+where, "/")
			}
			f.add(at, "%s may only be imported in %s", rule.library, where)
		}
	}
}

// checkPure finds what a core may not do: the world is told to it and done for it.
func (f *file) checkPure() {
	names := map[string]string{} // name in this file → import path, of the packages with allowed names
	for _, spec := range f.tree.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value) // checked before
		for _, b := range bannedImports {
			if within(imported, b) {
				f.add(spec.Pos(), "a core may not import %s", imported)
			}
		}
		if _, limited := allowedOf[imported]; limited {
			names[importName(spec, imported)] = imported
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			f.add(n.Pos(), "a core may not start a goroutine")
		case *ast.SelectorExpr:
			id, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			imported, limited := names[id.Name]
			if limited && !slices.Contains(allowedOf[imported], n.Sel.Name) {
				f.add(n.Pos(), "a core may not use %s.%s: time, chance and waiting come from its caller", imported, n.Sel.Name)
			}
		}
		return true
	})
}

func importName(spec *ast.ImportSpec, imported string) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	base := path.Base(imported)
	if base == "v2" {
		base = path.Base(path.Dir(imported))
	}
	return base
}
