package trace

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func packGzip(t *testing.T, b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func packZstd(t *testing.T, b []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(b, nil)
}

// describe prints a stream, one line an item.
func describe(items []item) string {
	var s strings.Builder
	for _, it := range items {
		if e := it.event; e != nil {
			switch {
			case e.Kind == Mmap:
				fmt.Fprintf(&s, "mmap t%d %#x+%#x anon=%v w=%v %s\n", e.Thread, e.Addr, e.Len, e.Anon, e.Writable, e.Name)
			case e.Kind == Munmap:
				fmt.Fprintf(&s, "munmap t%d %#x+%#x\n", e.Thread, e.Addr, e.Len)
			case e.Kind == Brk:
				fmt.Fprintf(&s, "brk t%d %#x\n", e.Thread, e.Addr)
			default:
				fmt.Fprintf(&s, "%s t%d %dns v%d %d+%d\n", e.Kind, e.Thread, e.TimeNs, e.Volume, e.Offset, e.Length)
			}
			continue
		}
		op := "R"
		if it.ref.Write() {
			op = "W"
		}
		fmt.Fprintf(&s, "%s %#x size=%d gap=%d t%d\n", op, it.ref.Addr, it.ref.Size, it.ref.Gap, it.ref.Thread)
	}
	return s.String()
}

// One sample a format, with all that is peculiar to it.
var samples = []struct {
	format, text, want string
}{
	{"lackey", "==7== Lackey, an example Valgrind tool\n==7== Command: x\n==7== \nI  0401ab70,3\nI  0401ab73,5\n S 1fff000728,8\n" +
		"I  0401b770,1\n L 04032ffe,4\n M 04033e06,1\n--7--   SCHED[2]:  acquired lock (VG_(scheduler):timeslice)\n L 0403a000,300\n\n==7== bye\n",
		"mmap t0 0x4030000+0x10000 anon=true w=true [synthesised]\nmmap t0 0x1fff000000+0x10000 anon=true w=true [synthesised]\n" +
			"W 0x1fff000728 size=8 gap=2 t0\nR 0x4032ffe size=2 gap=1 t0\nR 0x4033000 size=2 gap=0 t0\nW 0x4033e06 size=1 gap=0 t0\nR 0x403a000 size=255 gap=0 t1\n"},
	{"rw-page", "W 1fff000\nR 4033\nR 4043\n", "mmap t0 0x4030000+0x20000 anon=true w=true [synthesised]\nmmap t0 0x1fff000000+0x10000 anon=true w=true [synthesised]\n" +
		"W 0x1fff000000 size=0 gap=0 t0\nR 0x4033000 size=0 gap=0 t0\nR 0x4043000 size=0 gap=0 t0\n"},
	{"lirs", "3\n*\n 4\r\n3\n", "mmap t0 0x0+0x10000 anon=false w=true [synthesised]\nR 0x3000 size=0 gap=0 t0\nR 0x4000 size=0 gap=0 t0\nR 0x3000 size=0 gap=0 t0\n"},
	{"arc", "1 1 0 0\n20 3 0 1\n", "mmap t0 0x0+0x20000 anon=false w=true [synthesised]\nR 0x1000 size=0 gap=0 t0\nR 0x14000 size=0 gap=0 t0\nR 0x15000 size=0 gap=0 t0\nR 0x16000 size=0 gap=0 t0\n"},
	{"cloudphysics-csv", "version,time,op,size,lbn\n1,5633898,2a,512,42932745\n1,5633899,28,6656,40409911\n",
		"block-write t0 0ns v0 21981565440+512\nblock-read t0 1000000000ns v0 20689874432+6656\n"},
	{"fio-iolog", "fio version 3 iolog\n15 /data/f.dat add\n405 /data/f.dat open\n409 /data/f.dat read 3317760 4096\n410 /x/a b write 0 512\n411 /data/f.dat sync\n" +
		"412 /data/f.dat datasync 0 0\n413 /data/f.dat trim 0 512\n500 /data/f.dat close\n",
		"block-read t0 409000ns v0 3317760+4096\nblock-write t0 410000ns v1 0+512\nblock-flush t0 411000ns v0 0+0\nblock-flush t0 412000ns v0 0+0\n"},
}

func TestTextFormats(t *testing.T) {
	dir := t.TempDir()
	for _, s := range samples {
		for suffix, b := range map[string][]byte{"": []byte(s.text), ".gz": packGzip(t, []byte(s.text)), ".zst": packZstd(t, []byte(s.text))} {
			path := filepath.Join(dir, s.format+suffix)
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, format := range []string{"", s.format} {
				src, err := OpenFormat(path, format)
				if err != nil {
					t.Fatal(err)
				}
				items, err := drain(src)
				if err != nil {
					t.Fatal(err)
				}
				if h := src.Header(); h.Source != s.format || len(h.DefaultsStated) == 0 {
					t.Errorf("%s: header %+v", path, h)
				}
				if got := describe(items); got != s.want {
					t.Errorf("%s as %q:\n%swant\n%s", path, format, got, s.want)
				}
				src.Close()
			}
		}
	}
}

// A .skt inside .gz or .zst reads as the plain one.
func TestPackedSkt(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "x.skt")
	b := smallTrace(t, plain)
	src, err := Open(plain)
	if err != nil {
		t.Fatal(err)
	}
	want, err := drain(src)
	if err != nil {
		t.Fatal(err)
	}
	src.Close()
	for suffix, packed := range map[string][]byte{".gz": packGzip(t, b), ".zst": packZstd(t, b)} {
		if err := os.WriteFile(plain+suffix, packed, 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := Open(plain + suffix)
		if err != nil {
			t.Fatal(err)
		}
		got, err := drain(src)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d items, %v; want %d", suffix, len(got), err, len(want))
		}
		src.Close()
	}
}

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	gz := packGzip(t, []byte(strings.Repeat("R 4033\n", 1000)))
	for _, c := range []struct {
		name, format, text, want string
	}{
		{"empty", "", "", "the file is empty, expected a trace"},
		{"unknown", "", "hello\n", `line 1: "hello" is of no trace format known (skt, `},
		{"no such format", "valgrind", "x\n", `trace format "valgrind", want one of skt, `},
		{"page line", "", "R 1\nX 2\n", "line 2: \"X 2\", expected `R hexpage` or `W hexpage`"},
		{"page too large", "", "R 1\nR 10000000000000\n", "line 2: "},
		{"lirs line", "", "1\n2\n-3\n", "line 3: \"-3\", expected a decimal block number or `*`"},
		{"arc line", "", "1 1 0 0\n1 1 0\n", "line 2: \"1 1 0\", expected `start count ignored sequence`"},
		{"arc count", "", "1 1 0 0\n1 99999999999 0 1\n", "line 2: 99999999999 blocks from 1, expected at most 1048576"},
		{"csv op", "", "1,5,2a,512,4\n1,5,2b,512,4\n", "line 2: \"1,5,2b,512,4\", expected `version,time,op,size,lbn`"},
		{"csv field", "", "version,time,op,size,lbn\n1,5,2a,512\n", "line 2: "},
		{"fio version", "", "fio version 9 iolog\n", "line 1: \"fio version 9 iolog\", expected `fio version 3 iolog` or `fio version 2 iolog`"},
		{"fio action", "", "fio version 3 iolog\n1 f read 0\n", "line 2: \"1 f read 0\", expected `usec file"},
		{"lackey line", "", "I  0401ab70,3\n X 0401ab70,3\n", "line 2: \" X 0401ab70,3\", expected `I  addr,size`"},
		{"long line", "", "R 1\n" + strings.Repeat("x", 300<<10) + "\n", "line 2: a line of more than"},
		{"past 64 bits", "", " L 4000,8\n L 10000000000000000,8\n", "line 2: \" L 10000000000000000,8\", expected `I  addr,size`, ` L addr,size`, ` S addr,size` or ` M addr,size`: 10000000000000000 is past 64 bits"},
		{"0x past 64 bits", "", "0x1 W\n0x10000000000000000 R\n", ": 0x10000000000000000 is past 64 bits"},
		{"decimal past 64 bits", "", "1 1 0 0\n18446744073709551616 1 0 0\n", ": 18446744073709551616 is past 64 bits"},
		{"UTF-16", "", "\xff\xfeR\x00 \x001\x00\n\x00", "it begins as text in UTF-16 does, expected UTF-8"},
		{"packed twice", "", string(packGzip(t, gz)), "it is packed again inside, by gzip: unpack it once"},
		{"a tar", "", "R.txt" + strings.Repeat("\x00", 252) + "ustar  ", "it is an archive of tar: take the file out of it"},
		{"Latin 1 at the bound", "", strings.Repeat("x", sniffBytes-1) + "ü\n", "is of no trace format known"},
		{"cut gzip", "", string(gz[:len(gz)-6]), "file truncated"},
		{"not skt", "skt", "R 1 and more than sixteen bytes\n", "not a .skt file"},
	} {
		path := filepath.Join(dir, "bad")
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := OpenFormat(path, c.format)
		if err == nil {
			_, err = drain(src)
			src.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := Open(filepath.Join(dir, "absent")); err == nil || !strings.Contains(err.Error(), "cannot read a trace: ") {
		t.Errorf("absent: %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "want a trace in a regular file, not in a folder") {
		t.Errorf("a folder: %v", err)
	}
}

// TestByteOrderMark: text that Windows marked as UTF-8 is what it is without the mark, plain and packed.
func TestByteOrderMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marked")
	text := []byte("\ufeffR 1\r\nW 2\r\n")
	for _, file := range [][]byte{text, packGzip(t, text)} {
		for _, format := range []string{"", "rw-page"} {
			if err := os.WriteFile(path, file, 0o644); err != nil {
				t.Fatal(err)
			}
			src, err := OpenFormat(path, format)
			if err != nil {
				t.Fatal(err)
			}
			info, err := Stat(src)
			if err != nil || info.Reads != 1 || info.Writes != 1 {
				t.Errorf("%q: %d reads, %d writes, %v; want one of each", format, info.Reads, info.Writes, err)
			}
			src.Close()
		}
	}
}

// TestLongLines: lines that are too long are records that can be left out, be they longer than the buffer or not, and be they the last.
func TestLongLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "long")
	for _, long := range []int{MaxLineBytes + 1, 300 << 10, 3 << 20} {
		for _, end := range []string{"\nW 2\n", "\n", ""} {
			if err := os.WriteFile(path, []byte("R 1\nR "+strings.Repeat("1", long)+end), 0o644); err != nil {
				t.Fatal(err)
			}
			src, err := OpenFormat(path, "rw-page:skip-bad=1")
			if err != nil {
				t.Fatal(err)
			}
			info, err := Stat(src)
			if want := uint64(strings.Count(end, "W")); err != nil || info.Reads != 1 || info.Writes != want || info.Header.BadRecords != 1 {
				t.Errorf("%d bytes before %q: %d reads, %d writes, %d bad, %v; want 1, %d and 1", long, end, info.Reads, info.Writes, info.Header.BadRecords, err, want)
			}
			src.Close()
		}
	}
}

func TestLackeyExcerpt(t *testing.T) {
	src, err := Open(sharedData(t, "page/lackey_raw_excerpt.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	info, err := Stat(src)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(sharedData(t, "page/lackey_raw_excerpt.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var loads, stores, straddle uint64
	for _, l := range strings.Split(string(raw), "\n") {
		var op string
		var addr, size uint64
		if n, _ := fmt.Sscanf(l, " %1s %x,%d", &op, &addr, &size); n != 3 || l[0] != ' ' {
			continue
		}
		cross := uint64(0)
		if addr%4096+size > 4096 {
			cross, straddle = 1, straddle+1
		}
		if op == "L" {
			loads += 1 + cross
		} else {
			stores += 1 + cross
		}
	}
	if info.Reads != loads || info.Writes != stores || loads == 0 {
		t.Errorf("%d reads and %d writes, want %d and %d (%d straddle)", info.Reads, info.Writes, loads, stores, straddle)
	}
	if info.Instructions == 0 || info.Instructions > 60000 || !info.Header.SynthesisedMaps {
		t.Errorf("%+v", info)
	}
}

// Every format has what `trace formats` and the docs say of it, and no two one name.
func TestFormatsAreDescribed(t *testing.T) {
	seen := map[string]bool{sktFormat: true, autoFormat: true}
	for _, f := range FormatInfos() {
		if seen[f.Name] || f.About == "" || f.Example == "" || f.Class == "" {
			t.Errorf("%+v", f)
		}
		seen[f.Name] = true
		for _, k := range f.Keys {
			if k.Name == "" || k.About == "" || slices.ContainsFunc(CommonKeys, func(c Key) bool { return c.Name == k.Name }) {
				t.Errorf("%s: key %+v", f.Name, k)
			}
		}
	}
}

// Bad records are left out up to the number allowed, and said.
func TestSkipBad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("R 1\nX 2\nR 3\nnonsense\nW 4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(path, "rw-page:skip-bad=1"); err == nil || !strings.Contains(err.Error(), "line 4: ") {
		t.Errorf("one more than allowed: %v", err)
	}
	items, h, err := read(path, "auto:skip-bad=2")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(describe(items), "size=0"); n != 3 || h.BadRecords != 2 {
		t.Errorf("%d references, %d bad records, want 3 and 2", n, h.BadRecords)
	}
	if said := h.DefaultsStated[len(h.DefaultsStated)-1]; !strings.HasPrefix(said, "bad records: 2 left out, the first: line 2: ") {
		t.Errorf("stated: %q", h.DefaultsStated)
	}
}

// Settings stand for what a format lacks.
func TestSpec(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("3\n4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	items, h, err := read(path, "lirs:op=write")
	if err != nil || !strings.Contains(describe(items), "W 0x3000") || !slices.Contains(h.DefaultsStated, "operation: write (the format has none; set)") {
		t.Errorf("%v, %q, %v", describe(items), h.DefaultsStated, err)
	}
	if err := os.WriteFile(path, []byte("1,5,2a,512,4\n1,4,2a,512,4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(path, "auto:times=strict"); err == nil || !strings.Contains(err.Error(), "line 2: its time is 1000000000 ns before") {
		t.Errorf("times: %v", err)
	}
	for text, want := range map[string]string{
		"lirs:op=move": `op: "move"`, "lirs:unit=0": "unit: 0, want 1 to", "lirs:colour=red": `no key "colour", want one of skip-bad`,
		"lirs:op": `"op", want key=value`, "cobol:op=read": `trace format "cobol"`, "auto:times=later": "times: ",
	} {
		if _, err := ParseSpec(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// read drains a file.
func read(path, format string) ([]item, Header, error) {
	src, err := OpenFormat(path, format)
	if err != nil {
		return nil, Header{}, err
	}
	defer src.Close()
	items, err := drain(src)
	return items, src.Header(), err
}

// Archives of one file, or of chunks, read as what is in them; .xz and .bz2 too.
func TestPacked(t *testing.T) {
	dir := t.TempDir()
	pack := map[string]func(w io.Writer){
		"zip": func(w io.Writer) {
			z := zip.NewWriter(w)
			for _, f := range []struct{ name, text string }{{"chunk.0001", "W 2\n"}, {"chunk.0000", "R 1\n"}} {
				e, _ := z.Create(f.name)
				io.WriteString(e, f.text)
			}
			z.Close()
		},
		"xz": func(w io.Writer) {
			z, _ := xz.NewWriter(w)
			io.WriteString(z, "R 1\nW 2\n")
			z.Close()
		},
		// printf 'R 1\nW 2\n' | bzip2
		"bz2": func(w io.Writer) {
			b, _ := hex.DecodeString(bz2Sample)
			w.Write(b)
		},
	}
	for kind, write := range pack {
		path := filepath.Join(dir, "x."+kind)
		var b bytes.Buffer
		write(&b)
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		items, h, err := read(path, "")
		if err != nil || h.Source != "rw-page" || !strings.HasSuffix(describe(items), "R 0x1000 size=0 gap=0 t0\nW 0x2000 size=0 gap=0 t0\n") {
			t.Errorf("%s: %s %v", kind, describe(items), err)
		}
		if err := os.WriteFile(path, b.Bytes()[:b.Len()-5], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(path, ""); err == nil {
			t.Errorf("%s cut off: read without an error", kind)
		}
	}
}

const bz2Sample = "425a68393141592653595266bc8f0000035a000010400030001080200021931a8300b702178bb9229c284829335e4780"
