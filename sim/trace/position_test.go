package trace

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSoFar(t *testing.T) {
	text := strings.Repeat("R 1f00\nW 2e\n", 100_000)
	dir := t.TempDir()
	plain, packed := filepath.Join(dir, "a.pg"), filepath.Join(dir, "a.pg.gz")
	if err := os.WriteFile(plain, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	w := gzip.NewWriter(f)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{plain, packed} {
		src, err := OpenRecords(path, Spec{})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		last := uint64(0)
		for {
			if _, err := src.Next(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			done, total := ReadSoFar(src)
			if done < last || total != uint64(info.Size()) || done > total {
				t.Fatalf("%s: %d of %d after %d, the file has %d", path, done, total, last, info.Size())
			}
			last = done
		}
		if last != uint64(info.Size()) {
			t.Errorf("%s: %d of %d at the end", path, last, info.Size())
		}
		if err := src.Close(); err != nil {
			t.Fatal(err)
		}
		if done, total := ReadSoFar(src); done != 0 || total != 0 {
			t.Errorf("%s: %d of %d after it was closed", path, done, total)
		}
	}
	g, err := Open("generator:sequential?pages=2&refs=2")
	if err != nil {
		t.Fatal(err)
	}
	if done, total := ReadSoFar(g); done != 0 || total != 0 {
		t.Errorf("a generator: %d of %d", done, total)
	}
}
