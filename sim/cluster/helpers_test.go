package cluster

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"splitkernel/sim/tasks"
)

// sharedData is a file of ../shared/data, or a skip.
func sharedData(t testing.TB, name string) string {
	t.Helper()
	p := filepath.Join("..", "..", "..", "shared", "data", name)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("third-party data is absent: %s is not beside the repository", filepath.Join("shared", "data", name))
	}
	return p
}

// write makes a file.
func write(t testing.TB, name, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// all reads a trace; err is that of Open or of Next.
func all(spec string, paths ...string) (list []tasks.Event, h Header, err error) {
	src, err := Open(paths, spec)
	if err != nil {
		return nil, h, err
	}
	defer src.Close()
	for {
		e, err := src.Next()
		if err == io.EOF {
			return list, src.Header(), nil
		}
		if err != nil {
			return list, src.Header(), err
		}
		list = append(list, e)
	}
}

// count is what is in a trace.
func counts(t testing.TB, spec string, paths ...string) Info {
	t.Helper()
	src, err := Open(paths, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	i, _, err := Count(src, nil)
	if err != nil {
		t.Fatal(err)
	}
	return i
}
