package trace

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fuzzBlock feeds any bytes to a reader: it may fail, naming file and record, and must hand out sane events, in order of time.
func fuzzBlock(f *testing.F, name string) {
	format := name
	for _, s := range blockSamples {
		if s.name() == name {
			format = s.format
			f.Add(s.data)
			f.Add(s.data[:len(s.data)*2/3])
			if s.err != "" {
				f.Add(s.spoiled(f))
			}
		}
	}
	path := filepath.Join(f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := OpenFormat(path, format)
		if err != nil {
			if !strings.HasPrefix(err.Error(), path+": ") {
				t.Fatalf("no file in %q", err)
			}
			return
		}
		defer src.Close()
		last := uint64(0)
		for range 8 {
			batch, err := src.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				if !strings.HasPrefix(err.Error(), path+": ") {
					t.Fatalf("no file in %q", err)
				}
				return
			}
			h := src.Header()
			for i := range batch.Events {
				e := &batch.Events[i]
				if err := checkEvent(e, len(h.Volumes)); err != nil {
					t.Fatal(err)
				}
				if e.Kind.IsBlock() && e.TimeNs < last {
					t.Fatalf("event %d at %d ns after one at %d", i, e.TimeNs, last)
				}
				last = max(last, e.TimeNs)
			}
		}
	})
}

func FuzzFio2(f *testing.F)              { fuzzBlock(f, "fio-iolog") }
func FuzzBlkparse(f *testing.F)          { fuzzBlock(f, "blkparse") }
func FuzzMSR(f *testing.F)               { fuzzBlock(f, "msr") }
func FuzzSPC(f *testing.F)               { fuzzBlock(f, "spc") }
func FuzzAlibaba(f *testing.F)           { fuzzBlock(f, "alibaba") }
func FuzzSystor(f *testing.F)            { fuzzBlock(f, "systor17") }
func FuzzK5cloud(f *testing.F)           { fuzzBlock(f, "k5cloud") }
func FuzzTencent(f *testing.F)           { fuzzBlock(f, "tencent") }
func FuzzDiskSim(f *testing.F)           { fuzzBlock(f, "disksim") }
func FuzzMQSim(f *testing.F)             { fuzzBlock(f, "mqsim") }
func FuzzReplayer(f *testing.F)          { fuzzBlock(f, "replayer") }
func FuzzBlktrace(f *testing.F)          { fuzzBlock(f, "blktrace") }
func FuzzVscsi1(f *testing.F)            { fuzzBlock(f, "vscsi1") }
func FuzzVscsi2(f *testing.F)            { fuzzBlock(f, "vscsi2") }
func FuzzOracleGeneral(f *testing.F)     { fuzzBlock(f, "oraclegeneral") }
func FuzzOracleGeneralOpNS(f *testing.F) { fuzzBlock(f, "oraclegeneral-opns") }
func FuzzLcs(f *testing.F)               { fuzzBlock(f, "lcs") }
func FuzzLirs2(f *testing.F)             { fuzzBlock(f, "lirs2") }
func FuzzTwitter(f *testing.F)           { fuzzBlock(f, "twitter") }
func FuzzCacheLib(f *testing.F)          { fuzzBlock(f, "cachelib") }
