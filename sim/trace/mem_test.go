package trace

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
)

// withoutMaps drops the lines of maps.
func withoutMaps(s string) string {
	var b strings.Builder
	for l := range strings.Lines(s) {
		if !strings.HasPrefix(l, "mmap ") {
			b.WriteString(l)
		}
	}
	return b.String()
}

// Each sample reads as it should, plain and packed, named and recognised; and no sample is taken for another format.
func TestMemoryFormats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, s := range memSamples {
		f, ok := find(s.format)
		if !ok {
			t.Fatalf("no format %s", s.format)
		}
		files := [][]byte{[]byte(s.text), packGzip(t, []byte(s.text)), packZstd(t, []byte(s.text))}
		if s.packed {
			files = files[:1]
		}
		for _, b := range files {
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			items, h, err := read(path, s.spec())
			if err != nil {
				t.Errorf("%s: %v", s.spec(), err)
				continue
			}
			if got := withoutMaps(describe(items)); got != s.want || h.Source != s.format || len(h.DefaultsStated) == 0 || h.Unverified != (f.sample == "") {
				t.Errorf("%s: %+v\n%swant\n%s", s.spec(), h, got, s.want)
			}
			src, err := Open(path)
			if s.settings != "" {
				if err == nil {
					src.Close()
				}
				continue // without its settings it may be of another format
			}
			if err == nil {
				h = src.Header()
				src.Close()
			}
			if f.sniff == nil && err == nil || f.sniff != nil && (err != nil || h.Source != s.format) {
				t.Errorf("%s is recognised as %q, %v", s.format, h.Source, err)
			}
		}
	}
}

// Each sample, its maps included, is what a .skt can hold, and comes out of it as it went in.
func TestMemoryFormatsConvert(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "x"), filepath.Join(dir, "x.skt")
	for _, s := range memSamples {
		if err := os.WriteFile(from, []byte(s.text), 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := OpenFormat(from, s.spec())
		if err != nil {
			t.Fatal(err)
		}
		_, err = Convert(to, src)
		src.Close()
		if err != nil {
			t.Errorf("%s: %v", s.spec(), err)
			continue
		}
		items, h, err := read(to, "")
		if got := withoutMaps(describe(items)); err != nil || got != s.want || h.Source != s.format {
			t.Errorf("%s by way of .skt: %v\n%swant\n%s", s.spec(), err, got, s.want)
		}
	}
}

// A file that is cut off or corrupted is an error with file and record, for every format that there is.
func TestEveryFormatTellsBadFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	tested := map[string]bool{}
	drainFile := func(b []byte, spec string) (int, error) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		items, _, err := read(path, spec)
		if err != nil && !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: no file in %v", spec, err)
		}
		refs := 0
		for _, i := range items {
			if i.event == nil {
				refs++
			}
		}
		return refs, err
	}
	for _, s := range allMemSamples() {
		tested[s.format] = true
		if _, err := drainFile([]byte(s.bad), s.spec()); err == nil || !strings.HasPrefix(err.Error(), path+": "+s.wantBad) {
			t.Errorf("%s, corrupted: %v\nwant %s", s.spec(), err, s.wantBad)
		}
		z := packGzip(t, []byte(s.text))
		if _, err := drainFile(z[:len(z)-5], s.spec()); err == nil {
			t.Errorf("%s in a .gz that is cut off: read without an error", s.spec())
		}
		whole, err := drainFile([]byte(s.text), s.spec())
		if err != nil {
			t.Errorf("%s: %v", s.spec(), err)
		}
		noticed := false
		for n := 1; n < len(s.text); n++ {
			if left := len(s.text) - n; left > 8 && n%17 != 0 {
				continue // a cut here and there, and all in the last record
			}
			items, err := drainFile([]byte(s.text[:n]), s.spec())
			noticed = noticed || err != nil && (strings.Contains(err.Error(), ": line ") || strings.Contains(err.Error(), ": record ") || strings.Contains(err.Error(), ": region "))
			if items > whole {
				t.Errorf("%s, its first %d bytes: %d references, the whole has %d", s.spec(), n, items, whole)
			}
		}
		if !s.packed && noticed == s.anyCut {
			t.Errorf("%s: that it is cut off is noticed: %v", s.spec(), noticed)
		}
	}
	for _, f := range concat(blockFormats, binaryBlockFormats) {
		tested[f.name] = true // by TestBlockFormats, which misses a sample likewise
	}
	for _, f := range FormatInfos() {
		if !tested[f.Name] {
			t.Errorf("%s has no sample", f.Name)
		}
	}
}

// Bad records are passed over where that was asked for, by all kinds of readers.
func TestMemorySkipBad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, s := range []memSample{
		{format: "drmemtrace", bad: drRecords(drHeader, 0, 4, drRead, 1, 1, 60, 0, 0, drRead, 1, 2, drFooter, 0, 0)},
		{format: "champsim", bad: champRecord(1, [2]uint64{5}, [4]uint64{}) + littleEndian(uint64(2), [56]uint8{9}) + champRecord(1, [2]uint64{5}, [4]uint64{})},
		{format: "mind", bad: mindAccess('R', 1, 5) + mindAccess('X', 1, 5) + mindAccess('R', 1, 5)},
		{format: "damon", bad: "x 1.0: damon_aggregated: target_id=1 nr_regions=2 4096-8192: 3\nx\nx 1.0: damon_aggregated: target_id=1 nr_regions=2 4096-8192: 3\n"},
		{format: "damo-record", bad: damoHead + `{"start": 1}, {"start": 12288, "end": 16384, "nr_accesses": 1}]}]}]`},
		{format: "columns", settings: "addr=1", bad: "1\nx\n2\n"},
		{format: "regex", settings: "{skip-bad=1}^(?P<addr>\\d+)$", bad: "1\nx\n2\n"},
	} {
		if err := os.WriteFile(path, []byte(s.bad), 0o644); err != nil {
			t.Fatal(err)
		}
		spec := s.format + ":skip-bad=1"
		if s.format == "regex" {
			spec = s.spec()
		} else if s.settings != "" {
			spec += "," + s.settings
		}
		items, h, err := read(path, spec)
		want := 2
		if s.format == "damo-record" {
			want = 3
		}
		if n := strings.Count(withoutMaps(describe(items)), "\n"); err != nil || n != want || h.BadRecords != 1 {
			t.Errorf("%s: %d references, %d bad records, %v", spec, n, h.BadRecords, err)
		}
	}
}

// Settings that cannot be used are refused, with what can.
func TestMemorySettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("1 R 4096 8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		"champsim:variant=x86": `variant="x86", want champsim or cloudsuite`, "damon:count=0": `count="0", want 1 to 65536`,
		"perf-script:fields=time+eyes": `fields="time+eyes": "eyes", want some of comm, pid`, "perf-script:fields=time": "want addr or phys_addr",
		"columns": "neither addr nor offset", "columns:addr=0": `addr="0", want the number of a column`, "columns:addr=1,offset=2,length=3": "addr and offset, want",
		"columns:offset=2": "block requests need offset and length", "columns:addr=3,size=3": "column 3 is both addr and size", "columns:addr=1,sep=;": `sep=";", want blank`,
		"columns:addr=1,base=oct": `base="oct"`, "columns:addr=1,time-unit=h": `time-unit="h"`, "columns:addr=1,length-unit=0": `length-unit="0"`, "columns:addr=1,skip=x": `skip="x"`,
		"columns:addr=1,comment=//": `comment="//"`, "columns:addr=3,rw=2,op=read": "op=read and rw", "regex:(": "regex: error parsing regexp", "regex:(?P<eye>.)": `group "eye", want some of addr, rw`,
		"regex:(?P<addr>.)(?P<addr>.)": "regex: ", "regex:{base=hex": "want a } behind them", "regex:{colour=red}(?P<addr>.)": `no key "colour"`,
	} {
		src, err := OpenFormat(path, spec)
		if err == nil {
			src.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
	if _, h, err := read(path, "columns:offset=3,length=4,rw=2"); err != nil || h.HasMaps || len(h.Volumes) != 1 {
		t.Errorf("requests have no maps: %+v, %v", h, err)
	}
	_, h, err := read(path, "columns:addr=3,size=4,rw=2,unit=2")
	if err != nil || !slices.Contains(h.DefaultsStated, "address or offset: the number × 2 bytes (set)") {
		t.Errorf("%q, %v", h.DefaultsStated, err)
	}
}

// A file whose mark is only that its records are like the format is still told by record when it is cut off.
func TestCutRecordsAreRecognised(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for record, want := range map[string]string{
		mindAccess('R', 1<<40, 5):                              "record 6: the file ends after 14 of its 15 bytes",
		champRecord(0x401000, [2]uint64{}, [4]uint64{1 << 40}): "record 6: the file ends after 63 of its 64 bytes",
	} {
		text := strings.Repeat(record, 6)
		if err := os.WriteFile(path, []byte(text[:len(text)-1]), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(path, ""); err == nil || !strings.HasPrefix(err.Error(), path+": "+want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A region longer than a batch is handed out in batches, and every page of it once.
func TestLongRegion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("x 1.0: damon_aggregated: target_id=1 nr_regions=1 4096-204804096: 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := OpenFormat(path, "damon:count=2")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	info, err := Stat(src)
	if err != nil || info.Refs != 100000 || info.FootprintPages != 50000 {
		t.Errorf("%d references to %d pages, %v", info.Refs, info.FootprintPages, err)
	}
}

func FuzzDrmemtrace(f *testing.F)   { fuzzMemory(f, "drmemtrace") }
func FuzzDrmemtrace32(f *testing.F) { fuzzMemory(f, "drmemtrace-32") }
func FuzzChampsim(f *testing.F)     { fuzzMemory(f, "champsim") }
func FuzzMind(f *testing.F)         { fuzzMemory(f, "mind") }
func FuzzDrackPin(f *testing.F)     { fuzzMemory(f, "dracksim-pin") }
func FuzzDrack(f *testing.F)        { fuzzMemory(f, "dracksim") }
func FuzzValpin(f *testing.F)       { fuzzMemory(f, "valpin") }
func FuzzPinatrace(f *testing.F)    { fuzzMemory(f, "pinatrace") }
func FuzzMemtrace(f *testing.F)     { fuzzMemory(f, "drmemtrace-text") }
func FuzzRamulator(f *testing.F)    { fuzzMemory(f, "ramulator") }
func FuzzRamulatorCPU(f *testing.F) { fuzzMemory(f, "ramulator-cpu") }
func FuzzLoadStore(f *testing.F)    { fuzzMemory(f, "ramulator-ldst") }
func FuzzDramsim(f *testing.F)      { fuzzMemory(f, "dramsim") }
func FuzzUCSD(f *testing.F)         { fuzzMemory(f, "ucsd-address") }
func FuzzCSE240A(f *testing.F)      { fuzzMemory(f, "cse240a") }
func FuzzProspero(f *testing.F)     { fuzzMemory(f, "prospero") }
func FuzzDrackText(f *testing.F)    { fuzzMemory(f, "dracksim-text") }
func FuzzDamon(f *testing.F)        { fuzzMemory(f, "damon") }
func FuzzDamo(f *testing.F)         { fuzzMemory(f, "damo-record") }
func FuzzPerf(f *testing.F)         { fuzzMemory(f, "perf-script") }
func FuzzFltrace(f *testing.F)      { fuzzMemory(f, "fltrace") }
func FuzzNetSwap(f *testing.F)      { fuzzMemory(f, "netsys-swap") }
func FuzzColumns(f *testing.F)      { fuzzMemory(f, "columns") }
func FuzzRegex(f *testing.F)        { fuzzMemory(f, "regex") }

// fuzzMemory feeds any bytes to a reader: it may fail, naming the file, and must hand out sane references.
func fuzzMemory(f *testing.F, format string) {
	var specs []string
	for _, s := range memSamples {
		if s.format == format {
			for _, b := range []string{s.text, s.text[:len(s.text)/2], s.bad} {
				f.Add(len(specs), []byte(b))
			}
			specs = append(specs, s.spec())
		}
	}
	path := filepath.Join(f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, spec int, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := OpenFormat(path, specs[uint(spec)%uint(len(specs))])
		for n := 0; err == nil && n < 8; n++ {
			if n == 0 {
				defer src.Close()
			}
			var batch *Batch
			if batch, err = src.Next(); err != nil {
				break
			}
			for i, r := range batch.Refs {
				if r.Addr&(PageBytes-1)+uint64(r.Size) > PageBytes {
					t.Fatal(straddles(i, r))
				}
			}
			for i := range batch.Events {
				if err := checkEvent(&batch.Events[i], len(src.Header().Volumes)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err != nil && err.Error() != "EOF" && !strings.HasPrefix(err.Error(), path+": ") {
			t.Fatalf("no file in %q", err)
		}
	})
}

// Files packed by snappy and by zlib read as what is in them, and cut off they are errors.
func TestPackedMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	var snappy bytes.Buffer
	w := s2.NewWriter(&snappy, s2.WriterSnappyCompat())
	w.Write([]byte("R 1\nW 2\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for kind, b := range map[string][]byte{"snappy": snappy.Bytes(), "zlib": []byte(deflated("R 1\nW 2\n"))} {
		for _, cut := range []int{0, 3} {
			if err := os.WriteFile(path, b[:len(b)-cut], 0o644); err != nil {
				t.Fatal(err)
			}
			items, h, err := read(path, "")
			if cut == 0 && (err != nil || h.Source != "rw-page" || withoutMaps(describe(items)) != "R 0x1000 size=0 gap=0 t0\nW 0x2000 size=0 gap=0 t0\n") {
				t.Errorf("%s: %s %v", kind, describe(items), err)
			}
			if cut > 0 && err == nil {
				t.Errorf("%s cut off: read without an error", kind)
			}
		}
	}
}
