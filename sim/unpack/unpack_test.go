package unpack

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// text is what is packed in these tests.
func text() []byte {
	var b bytes.Buffer
	for i := range 40 {
		fmt.Fprintf(&b, "record %d of %d\n", i, i*i)
	}
	return b.Bytes()
}

// packer packs in one way.
type packer struct {
	name string
	pack func(t testing.TB, b []byte) []byte
	// members says that files of this kind may follow each other in one.
	members bool
	// blind reports whether damage at a byte, or an end there, is nothing that the format can tell.
	blind func(file []byte, at int) bool
}

// packers are all kinds that Open knows.
func packers() []packer {
	through := func(open func(w io.Writer) (io.WriteCloser, error)) func(testing.TB, []byte) []byte {
		return func(t testing.TB, b []byte) []byte {
			t.Helper()
			var out bytes.Buffer
			w, err := open(&out)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(b); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return out.Bytes()
		}
	}
	never := func([]byte, int) bool { return false }
	return []packer{
		{"gzip", through(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }), true, never},
		{"zstd", through(func(w io.Writer) (io.WriteCloser, error) {
			return zstd.NewWriter(w, zstd.WithZeroFrames(true), zstd.WithEncoderConcurrency(1))
		}), true, never},
		{"xz", through(func(w io.Writer) (io.WriteCloser, error) {
			return xz.WriterConfig{DictCap: 1 << 16, BlockSize: 1 << 20}.NewWriter(w)
		}), true, never},
		{"bzip2", packBzip2, true, never},
		{"zlib", through(func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil }), true, never},
		{"snappy", through(func(w io.Writer) (io.WriteCloser, error) {
			return s2.NewWriter(w, s2.WriterSnappyCompat(), s2.WriterConcurrency(1)), nil
		}), true, snappyHead},
		{"zip", func(t testing.TB, b []byte) []byte { return packZip(t, "trace.csv", b) }, false, never},
	}
}

// packedText and packedNothing are text() and nothing by bzip2 1.0.8, for which the standard library has no writer.
const packedText = `
QlpoOTFBWSZTWROVDV8AAThZgAAQQAB/4A8AkAAwAPbYxFP0oflT/VTTQCG0hBQAFTVVGJgJtG0lnjnEOotDq0OKtDq0NDQ/ntKFKStVKVailVqytVaopWlS
WiVSLnD2Dp5xOFKkduBbADeymGblHaO4RWlnMhF1pzEQ1MgNdZKVcLxEznTWlbmYFO3yGPeVll5QxRURbbADvOQishXjpzThFK+F2Wt7H3XXCKze3iA/xnAZ
wM/RnAz8GcDPou5IpwoSAnKhq+A=`

const packedNothing = "QlpoORdyRThQkAAAAAA="

func packBzip2(t testing.TB, b []byte) []byte {
	t.Helper()
	packed := packedText
	if len(b) == 0 {
		packed = packedNothing
	}
	out, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(packed, "\n", ""))
	if err != nil || len(b) != 0 && !bytes.Equal(b, text()) {
		t.Fatalf("%v: there is nothing else of bzip2", err)
	}
	return out
}

// packZip packs files, given as name and text in turns.
func packZip(t testing.TB, files ...any) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i].(string))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[i+1].([]byte)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// snappyHead reports whether a chunk of snappy's framing begins there: a file may end there, and its first byte, damaged, may be that of a chunk
// that readers are to pass over.
func snappyHead(file []byte, at int) bool {
	i := 0
	for i < at && i+4 <= len(file) {
		i += 4 + int(file[i+1]) + int(file[i+2])<<8 + int(file[i+3])<<16
	}
	return i == at
}

// opened is what Open gives of a file, and the error that comes after it.
func opened(t testing.TB, path string, file []byte) (content []byte, packed bool, err error) {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := Open(path, f)
	if err != nil {
		if !strings.Contains(err.Error(), path+": ") {
			t.Errorf("%v, want the file in it", err)
		}
		return nil, true, err
	}
	defer s.Close()
	content, err = io.ReadAll(s)
	if _, again := s.ReadByte(); err != nil && (again == nil || again.Error() != err.Error()) {
		t.Errorf("after %v comes %v, want the same again", err, again)
	}
	return content, s.Packed, err
}

func eachPacker(t *testing.T, f func(t *testing.T, p packer)) {
	for _, p := range packers() {
		t.Run(p.name, func(t *testing.T) { f(t, p) })
	}
}

// TestRoundTrip: what was packed comes back, whatever the name says; nothing packed is nothing.
func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	eachPacker(t, func(t *testing.T, p packer) {
		for _, want := range [][]byte{text(), {}} {
			file := p.pack(t, want)
			for _, name := range []string{"trace.csv", "trace.gz", "trace.zst", "trace"} {
				got, packed, err := opened(t, filepath.Join(dir, name), file)
				if err != nil || packed != (len(file) > 0) || !bytes.Equal(got, want) { // nothing is nothing for snappy
					t.Errorf("%s: %d bytes, packed %v, %v; want %d bytes", name, len(got), packed, err, len(want))
				}
			}
		}
	})
	for _, plain := range []string{"", "x", "\x1f", "PK", "xyz of 123\n", "BZ", "\x78", "\x28\xb5\x2f"} {
		got, packed, err := opened(t, filepath.Join(dir, "trace.gz"), []byte(plain))
		if err != nil || packed || string(got) != plain {
			t.Errorf("%q: %q, packed %v, %v; want it as it is", plain, got, packed, err)
		}
	}
}

// TestMembers: files that were packed apart and put together are one; what follows and is not packed is an error.
func TestMembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "put together")
	eachPacker(t, func(t *testing.T, p packer) {
		if !p.members {
			t.Skip("files of this kind cannot be put together")
		}
		one, nothing := p.pack(t, text()), p.pack(t, nil)
		want := append(text(), text()...)
		if got, _, err := opened(t, path, bytes.Join([][]byte{one, nothing, one}, nil)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes and %v, want %d", len(got), err, len(want))
		}
		got, _, err := opened(t, path, append(bytes.Clone(one), "and what is not packed"...))
		if err == nil || !bytes.HasPrefix(text(), got) {
			t.Errorf("%d bytes and %v before what is not packed, want an error", len(got), err)
		}
	})
	// Streams of .xz may have zeros between them, by fours.
	one := packed(t, "xz", text())
	padded := bytes.Join([][]byte{one, make([]byte, 8), one, make([]byte, 4)}, nil)
	if got, _, err := opened(t, path, padded); err != nil || len(got) != 2*len(text()) {
		t.Errorf("%d bytes and %v, want %d", len(got), err, 2*len(text()))
	}
}

// packed packs in the way of a name.
func packed(t testing.TB, name string, b []byte) []byte {
	t.Helper()
	for _, p := range packers() {
		if p.name == name {
			return p.pack(t, b)
		}
	}
	t.Fatalf("nothing packs %s", name)
	return nil
}

// TestTruncated: wherever a file is cut off, what comes is a beginning of it, and then an error.
func TestTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cut")
	eachPacker(t, func(t *testing.T, p packer) {
		file := p.pack(t, text())
		for n := range file {
			got, packed, err := opened(t, path, file[:n])
			switch {
			case !packed:
				if n >= 6 || err != nil || !bytes.Equal(got, file[:n]) {
					t.Fatalf("cut at %d of %d: taken for what is not packed, %v", n, len(file), err)
				}
			case !bytes.HasPrefix(text(), got):
				t.Fatalf("cut at %d of %d: %q", n, len(file), got)
			case err == nil && !p.blind(file, n):
				t.Fatalf("cut at %d of %d: %d bytes and no error", n, len(file), len(got))
			}
		}
	})
}

// TestCorrupt: whichever byte is damaged, the text is what it was, or there is an error.
func TestCorrupt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "damaged")
	eachPacker(t, func(t *testing.T, p packer) {
		file := p.pack(t, text())
		seen := 0
		for at := range file {
			damaged := bytes.Clone(file)
			damaged[at] ^= 1 << (at % 8)
			got, packed, err := opened(t, path, damaged)
			if err != nil {
				seen++
			} else if packed && !bytes.Equal(got, text()) && !p.blind(file, at) {
				t.Fatalf("bit %d of byte %d of %d: %d bytes that are others, and no error", at%8, at, len(file), len(got))
			}
		}
		if seen < len(file)/2 {
			t.Errorf("%d of %d damages were an error: too few to believe it", seen, len(file))
		}
	})
}

// TestBounds: what asks for more memory than is allowed is refused before it is taken.
func TestBounds(t *testing.T) {
	dir := t.TempDir()
	// A frame of zstd whose window is 2^31 bytes, with one block of three bytes.
	wide := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3, 0x19, 0, 0, 'a', 'b', 'c'}
	second := append(packed(t, "xz", text()), wideXz(t, 35)...)
	for _, c := range []struct {
		name, want string
		file       []byte
	}{
		{"window.zst", "a window of more than 128 MiB", wide},
		{"dictionary.xz", "a dictionary of 4294967295 bytes, at most 134217728", wideXz(t, 40)},
		{"second.xz", "a dictionary of 805306368 bytes, at most 134217728", second},
		{"none.zip", "an archive without a file", packZip(t, "folder/", []byte{})},
		{"no.zip", "an archive without a file", packZip(t)},
		{"mac.zip", "an archive without a file", packZip(t, "__MACOSX/._trace.csv", []byte("x"))},
		{"cut.zip", "file truncated: expected the list of its files at its end", packZip(t, "trace.csv", text())[:60]},
		{"locked.zip", "trace.csv in it is encrypted, expected a file without a password", lockedZip(t)},
		{"many.zip", "an archive of 3 files, expected one, or chunks of one trace", packZip(t, "a", []byte("1"), "b", []byte("2"), "c", []byte("3"))},
		{"block.sz", s2.ErrCorrupt.Error(), snappyChunk(1, 0xff, 0xff, 0xff, 0x7f)}, // a block that says it has 2^28 bytes
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, c.name)
			var err error
			took := allocated(func() { _, _, err = opened(t, path, c.file) })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if took > 16<<20 {
				t.Errorf("it took %d bytes to refuse it", took)
			}
		})
	}
}

// lockedZip is a zip whose file says that it is encrypted.
func lockedZip(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "trace.csv", Flags: 1, CompressedSize64: 12, UncompressedSize64: 0})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// snappyChunk is a file of snappy of one packed chunk: a check sum, which is not looked at before it is unpacked, and what is packed.
func snappyChunk(b ...byte) []byte {
	n := len(b) + 4
	return append(append([]byte("\xff\x06\x00\x00sNaPpY\x00"), byte(n), byte(n>>8), byte(n>>16), 1, 2, 3, 4), b...)
}

// wideXz is an .xz whose block asks for a dictionary by the property given.
func wideXz(t *testing.T, property byte) []byte {
	t.Helper()
	file := packed(t, "xz", text())
	head := file[12 : 12+4*(int(file[12])+1)]
	i := bytes.Index(head, []byte{0x21, 1}) // the filter, and the size of its property
	if i < 0 {
		t.Fatal("no LZMA2 in the first block")
	}
	head[i+2] = property
	sum := crc32.ChecksumIEEE(head[:len(head)-4])
	copy(head[len(head)-4:], []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)})
	return file
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestBombs: 16 MiB from some KiB come through without being kept.
func TestBombs(t *testing.T) {
	const size, most = 16 << 20, 14 << 20
	dir := t.TempDir()
	eachPacker(t, func(t *testing.T, p packer) {
		if p.name == "bzip2" {
			t.Skip("the standard library has no writer of bzip2; its reader keeps one block, of at most 900 KB")
		}
		path := filepath.Join(dir, p.name)
		if err := os.WriteFile(path, p.pack(t, make([]byte, size)), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var n int64
		took := allocated(func() {
			var s *Stream
			if s, err = Open(path, f); err != nil {
				return
			}
			defer s.Close()
			n, err = io.Copy(io.Discard, s)
		})
		if err != nil || n != size || took > most {
			t.Errorf("%d bytes, %v, and %d bytes taken in all; want %d, no error, at most %d", n, err, took, size, most)
		}
	})
}

// TestZipOfChunks: chunks are read in the order of their names, folders are passed over.
func TestZipOfChunks(t *testing.T) {
	file := packZip(t, "t/", []byte{}, "t/chunk.0001", []byte("two "), "t/chunk.0002", []byte("three"), "t/chunk.0000", []byte("one "))
	if got, _, err := opened(t, filepath.Join(t.TempDir(), "trace.zip"), file); err != nil || string(got) != "one two three" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestXzGuardChangesNothing: what it passes on is what is in the file, to the last byte, and nothing more is read than that.
func TestXzGuardChangesNothing(t *testing.T) {
	file := bytes.Join([][]byte{packed(t, "xz", text()), make([]byte, 4), packed(t, "xz", nil), packed(t, "xz", make([]byte, 3<<20))}, nil)
	got, err := io.ReadAll(&xzGuard{r: bytes.NewReader(file)})
	if err != nil || !bytes.Equal(got, file) {
		t.Errorf("%d bytes of %d, %v", len(got), len(file), err)
	}
	failed := errors.New("the disk")
	if _, err := io.ReadAll(&xzGuard{r: io.MultiReader(bytes.NewReader(file[:20]), failing{failed})}); !errors.Is(err, failed) {
		t.Errorf("%v, want what the file said", err)
	}
}

// failing is a file that cannot be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// FuzzOpen: whatever a file has, Open ends with its text or with an error that stays, and gives what is not packed as it is.
func FuzzOpen(f *testing.F) {
	for _, p := range packers() {
		file := p.pack(f, text())
		f.Add(file)
		f.Add(file[:len(file)/2])
		f.Add(p.pack(f, nil))
	}
	f.Add([]byte("plain"))
	path := filepath.Join(f.TempDir(), "fuzzed")
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		s, err := Open(path, in)
		if err != nil {
			return
		}
		defer s.Close()
		got, err := io.ReadAll(io.LimitReader(s, 1<<22))
		if !s.Packed && (err != nil || !bytes.Equal(got, file)) {
			t.Fatalf("%d bytes of %d that are not packed, %v", len(got), len(file), err)
		}
		if _, again := s.ReadByte(); err != nil && (again == nil || again.Error() != err.Error()) {
			t.Fatalf("after %v comes %v, want the same again", err, again)
		}
	})
}
