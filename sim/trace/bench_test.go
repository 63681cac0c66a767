package trace

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkDecode reports M references a second and bytes a reference of .skt
// reading: file, checksum, zstd and decoding, into the reused batch.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct{ name, path string }{
		{"sort", "page/sort.data.pg.zst"}, {"pagerank", "page/pr2.filt16.pg.zst"},
	} {
		b.Run(c.name, func(b *testing.B) {
			src, err := Open(sharedData(b, c.path))
			if err != nil {
				b.Fatal(err)
			}
			p := filepath.Join(b.TempDir(), "x.skt")
			if _, err := Convert(p, src); err != nil {
				b.Fatal(err)
			}
			src.Close()
			benchDecode(b, p)
		})
	}
	bundled, _ := filepath.Glob(filepath.Join(repoRoot(b), "configs", "traces", "*.skt"))
	for _, p := range bundled {
		b.Run(filepath.Base(p), func(b *testing.B) { benchDecode(b, p) })
	}
}

func benchDecode(b *testing.B, path string) {
	st, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	var refs uint64
	for b.Loop() {
		s, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		refs = 0
		for {
			batch, err := s.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			refs += uint64(len(batch.Refs))
		}
		s.Close()
	}
	b.ReportMetric(float64(refs)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrefs/s")
	b.ReportMetric(float64(st.Size())/float64(refs), "B/ref")
}
