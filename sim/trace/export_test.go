package trace

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Ids and numbers of next requests are those that libCacheSim wrote for the same trace.
func TestOracleGeneralIsTheirs(t *testing.T) {
	want, err := os.ReadFile(sharedData(t, "block/cloudPhysicsIO.oracleGeneral.bin"))
	if err != nil {
		t.Fatal(err)
	}
	src, err := Open(sharedData(t, "block/cloudPhysicsIO.vscsi.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	path := filepath.Join(t.TempDir(), "x.oracleGeneral")
	x, err := Export(path, src, ExportOptions{IDs: "lba"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || x.Info.BlockWrites != 66_898 {
		t.Fatalf("%d bytes, want %d; %+v", len(got), len(want), x.Info)
	}
	start := binary.LittleEndian.Uint32(want) // theirs counts from when the host started
	for i := 0; i < len(got); i += 24 {
		g, w := got[i:i+24], want[i:i+24]
		if string(g[4:12]) != string(w[4:12]) || string(g[16:]) != string(w[16:]) || absDiff(binary.LittleEndian.Uint32(g)+start, binary.LittleEndian.Uint32(w)) > 1 {
			t.Fatalf("record %d: % x, want % x", i/24+1, g, w)
		}
	}
}

func absDiff(a, b uint32) uint32 { return max(a, b) - min(a, b) }

// The numbers of next requests do not depend on how much of the file is read at a time on the way back.
func TestOracleGeneralBackward(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sink, err := newOracleSink(f, ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := sink.(*oracleSink)
	s.backward = 3
	pages := []uint64{1, 2, 1, 3, 2, 1, 1, 4, 2, 3}
	var b Batch
	for _, p := range pages {
		b.addRef(Ref{Addr: p << PageShift, Gap: 600_000_000})
	}
	src := &sliceSource{}
	if err := s.batch(&b, src); err != nil {
		t.Fatal(err)
	}
	if _, err := s.finish(src); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pages {
		next := uint64(math.MaxUint64)
		for j := i + 1; j < len(pages); j++ {
			if pages[j] == p {
				next = uint64(j + 1)
				break
			}
		}
		if r := got[i*24:]; binary.LittleEndian.Uint64(r[4:]) != p || binary.LittleEndian.Uint64(r[16:]) != next || binary.LittleEndian.Uint32(r) != uint32(i+1)*6/10 {
			t.Errorf("record %d: % x, want id %d and next %d", i+1, r[:24], p, int64(next))
		}
	}
}

// What a format cannot say at all is refused, and nothing is left behind.
func TestExportRefuses(t *testing.T) {
	block := func(e Event) Source {
		return sourceOf(Header{Volumes: []VolumeInfo{{Name: "a"}, {Name: "b"}}}, []item{{event: &Event{Kind: BlockRead, Length: 512}}, {event: &e}})
	}
	ref := func() Source { return sourceOf(Header{}, []item{{ref: Ref{Addr: 4096}}}) }
	dir := t.TempDir()
	for _, c := range []struct {
		src  Source
		o    ExportOptions
		want string
	}{
		{ref(), ExportOptions{To: "fio-iolog"}, "the trace has no block operations"},
		{block(Event{Kind: BlockFlush}), ExportOptions{To: "lackey"}, "the trace has no references"},
		{block(Event{Kind: BlockRead}), ExportOptions{To: "oraclegeneral", IDs: "page"}, "nothing to write"},
		{block(Event{Kind: BlockRead, Offset: 7}), ExportOptions{To: "oraclegeneral", IDs: "lba"}, "a request at byte 7"},
		{block(Event{Kind: BlockRead, Volume: 1}), ExportOptions{To: "oraclegeneral", IDs: "lba"}, "several volumes"},
		{block(Event{Kind: BlockRead, Length: 1 << 32}), ExportOptions{To: "oraclegeneral", IDs: "lba"}, "a request of 4294967296 bytes"},
		{block(Event{Kind: BlockRead, Volume: 1, Offset: 1 << 60}), ExportOptions{To: "oraclegeneral"}, "expected below 2^44"},
		{block(Event{Kind: BlockRead, TimeNs: 1 << 63}), ExportOptions{To: "oraclegeneral"}, "a time of 9223372036 s"},
		{ref(), ExportOptions{To: "csv"}, "want one of skt, oraclegeneral, lackey, fio-iolog"},
		{ref(), ExportOptions{IDs: "key"}, "want page, block or lba"},
	} {
		_, err := Export(filepath.Join(dir, "x"), c.src, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What is left out is counted.
func TestExportSaysWhatIsLost(t *testing.T) {
	items := []item{{event: &Event{Kind: Mmap, Addr: 4096, Len: 4096}}, {ref: Ref{Addr: 4096, Flags: FlagWrite, Gap: maxGapLines + 1}}, {event: &Event{Kind: BlockWrite, TimeNs: 1, Length: 512}}}
	h := Header{Volumes: []VolumeInfo{{Name: "a b"}}}
	for to, want := range map[string]string{
		"oraclegeneral": "1 map events left out; 1 block operations left out, for ids are pages; 1 writes not told from reads (the format has no operations); times cut to whole seconds",
		"lackey":        "1 map events left out; 1 block operations left out; 1 gaps of more instructions than are written as lines, cut to 65536; 1 references of unknown size, written as 1 byte",
		"fio-iolog":     "1 references left out; 1 map events left out; 1 times cut to whole µs; 1 names of volumes changed, for fio takes no blanks and no empty ones",
	} {
		x, err := Export(filepath.Join(t.TempDir(), "x"), sourceOf(h, items), ExportOptions{To: to})
		if got := strings.Join(x.Lost, "; "); err != nil || got != want {
			t.Errorf("%s: lost %q, %v, want %q", to, got, err, want)
		}
	}
}
