package trace

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
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
	zipped := filepath.Join(dir, "a.zip")
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	noise := rand.New(rand.NewPCG(1, 2)) // so that the archive is larger than the buffers
	e, err := z.Create("a.pg")
	if err != nil {
		t.Fatal(err)
	}
	for range 100_000 {
		fmt.Fprintf(e, "R %x\n", noise.Uint32())
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(zipped, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	open := map[string]func(path string) (Source, error){ // with maps, and without
		plain: Open, packed: func(path string) (Source, error) { return OpenRecords(path, Spec{}) }, zipped: Open,
	}
	for _, path := range []string{plain, packed, zipped} {
		src, err := open[path](path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		last, middle := uint64(0), false
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
			last, middle = done, middle || done > total/4 && done < 3*total/4
		}
		if path == zipped { // its end is the list of its files
			if !middle || last < uint64(info.Size())*9/10 {
				t.Errorf("%s: %d of %d at the end, seen half-way: %v", path, last, info.Size(), middle)
			}
			src.Close()
			continue
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

// TestRecordsOf: how much there is to read is known of all that has a header or a file, so that the time left can be told.
func TestRecordsOf(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "R %x\n", 0x10000+i)
	}
	path := filepath.Join(dir, "pages")
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	open := func(path string) Source {
		t.Helper()
		src, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { src.Close() })
		return src
	}
	pages, made := open(path), open("generator:sequential?pages=10&refs=5000")
	if got := RecordsOf(0, made, made); got != 2*made.Header().Refs+2*made.Header().Maps {
		t.Errorf("%d records of two generators", got)
	}
	done := uint64(0)
	for range 3 {
		b, err := pages.Next()
		if err != nil {
			t.Fatal(err)
		}
		done += uint64(len(b.Refs) + len(b.Events))
	}
	if got := RecordsOf(done, pages); got < 50_000 || got > 150_000 {
		t.Errorf("%d records guessed after %d, there are about 100000", got, done)
	}
	if got := RecordsOf(done, pages, made); got != 0 {
		t.Errorf("%d records of a file and a generator, want none said", got)
	}
}
