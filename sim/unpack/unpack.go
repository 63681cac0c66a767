// Package unpack gives the unpacked text of a file, whichever way it is packed: gzip, zstd, xz, bzip2, zlib, snappy, or a zip of one file or of the chunks of
// one trace. It looks at the first bytes, never at the name.
//
// What it takes in memory is bounded whatever the file says. Callers are the readers of traces (sim/trace, sim/cluster). No goroutines of its own.
//
//	in, err := unpack.Open(path, f)
//	if err != nil { return err }
//	defer in.Close()
//	io.Copy(w, in)
package unpack

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Stream is the unpacked text of a file.
type Stream struct {
	*bufio.Reader
	// Packed says that it is not the file as it is.
	Packed bool
	// At, if not nil, tells how far into the file was read where that is not the file's own offset; of what is read from front to back.
	At   func() int64
	stop func()
}

// Close frees the unpacker; the file is its opener's.
func (s *Stream) Close() { s.stop() }

// Bounds.
const (
	// MaxZstdWindowBytes bounds what a .zst file may make the reader allocate.
	MaxZstdWindowBytes = 128 << 20
	// MaxXzDictBytes bounds the same of an .xz file.
	MaxXzDictBytes = 128 << 20
	// maxSnappyBlock bounds a block of a .sz file, of which the format allows 64 KiB and its successor S2 4 MiB.
	maxSnappyBlock = 4 << 20
	// MaxZipFiles bounds the chunks of a trace in a .zip.
	MaxZipFiles = 1 << 16
)

const (
	inputBytes = 256 << 10 // of the buffer between unpacker and parser
	rawBytes   = 64 << 10  // of the buffer before the unpacker
)

// Open finds out by its first bytes how f is packed, if at all.
func Open(path string, f *os.File) (*Stream, error) {
	raw := bufio.NewReaderSize(f, rawBytes)
	magic, err := raw.Peek(6)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	packed := func(kind string, r io.Reader, stop func(), err error) (*Stream, error) {
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, kind, err)
		}
		return &Stream{Reader: bufio.NewReaderSize(&sticky{r: r}, inputBytes), Packed: true, stop: stop}, nil
	}
	nothing := func() {}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(raw)
		return packed("gzip", z, nothing, err)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(MaxZstdWindowBytes))
		if err != nil {
			return packed("zstd", nil, nil, err)
		}
		return packed("zstd", z, z.Close, nil)
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		z, err := newXz(raw)
		return packed("xz", z, nothing, err)
	case bytes.HasPrefix(magic, []byte{0xff, 6, 0, 0, 's', 'N'}):
		return packed("snappy", s2.NewReader(raw, s2.ReaderMaxBlockSize(maxSnappyBlock)), nothing, nil)
	case zlibHead(magic):
		z, err := zlib.NewReader(raw)
		return packed("zlib", &zlibStream{z, raw}, nothing, err)
	case bytes.HasPrefix(magic, []byte("BZh")):
		return packed("bzip2", bzip2.NewReader(raw), nothing, nil)
	case bytes.HasPrefix(magic, []byte("PK\x03\x04")), bytes.HasPrefix(magic, []byte("PK\x05\x06")):
		z, err := openZip(f)
		if err != nil {
			return packed("zip", nil, nil, err)
		}
		s, err := packed("zip", z, func() { z.Close() }, nil)
		s.At = func() int64 { return z.in.far }
		return s, err
	}
	return &Stream{Reader: bufio.NewReaderSize(raw, inputBytes), stop: nothing}, nil
}

// Unlike tells why no reader knows a file that begins so, unpacked: it is packed once more, an archive, or text that is not UTF-8. "" is
// none of these.
func Unlike(start []byte) string {
	const tarAt = 257 // where a header of tar has its magic (POSIX.1-1988)
	for _, k := range []struct{ kind, magic string }{{"gzip", "\x1f\x8b"}, {"zstd", "\x28\xb5\x2f\xfd"}, {"xz", "\xfd7zXZ\x00"}, {"bzip2", "BZh"}, {"zip", "PK\x03\x04"}} {
		if bytes.HasPrefix(start, []byte(k.magic)) {
			return "it is packed again inside, by " + k.kind + ": unpack it once"
		}
	}
	switch {
	case bytes.HasPrefix(start, []byte("7z\xbc\xaf\x27\x1c")), bytes.HasPrefix(start, []byte("Rar!")):
		return "it is an archive of 7-Zip or RAR, which is not read: unpack it"
	case len(start) > tarAt+5 && string(start[tarAt:tarAt+5]) == "ustar":
		return "it is an archive of tar: take the file out of it"
	case bytes.HasPrefix(start, []byte{0xff, 0xfe}), bytes.HasPrefix(start, []byte{0xfe, 0xff}):
		return "it begins as text in UTF-16 does, expected UTF-8: iconv -f utf-16 -t utf-8 makes it so"
	}
	return ""
}

// sticky gives the first error of an unpacker again and again: bufio forgets one that Peek met, and not every unpacker remembers it.
type sticky struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *sticky) Read(b []byte) (n int, err error) {
	if s.err != nil {
		return 0, s.err
	}
	n, s.err = s.r.Read(b)
	if errors.Is(s.err, zstd.ErrWindowSizeExceeded) {
		s.err = fmt.Errorf("zstd: a window of more than %d MiB, expected at most that: pack it anew without --long or --ultra", MaxZstdWindowBytes>>20)
	}
	return n, s.err
}

// zlibHead reports whether a file begins as zlib's do: deflate with a window of 32 KiB, without a dictionary, and a check of these two bytes.
func zlibHead(magic []byte) bool {
	return len(magic) > 1 && magic[0] == 0x78 && (uint(magic[0])<<8|uint(magic[1]))%31 == 0 && magic[1]&0x20 == 0
}

// zlibStream reads streams one after the other, as files of the other kinds may have them too. What follows and is none is an error, not left out.
type zlibStream struct {
	z   io.ReadCloser
	raw *bufio.Reader
}

// Read implements io.Reader.
func (z *zlibStream) Read(b []byte) (int, error) {
	for {
		n, err := z.z.Read(b)
		if err != io.EOF || n > 0 {
			if err == io.EOF {
				err = nil // it comes again
			}
			return n, err
		}
		if _, err := z.raw.Peek(1); err != nil {
			return 0, err
		}
		if err := z.z.(zlib.Resetter).Reset(z.raw, nil); err != nil {
			return 0, fmt.Errorf("after the end of a stream: %w", err)
		}
	}
}

// zipStream reads the files of an archive one after the other, in the order of their names: one file, or the chunks of a
// trace that is written in chunks.
type zipStream struct {
	in    *farReader
	files []*zip.File
	open  io.ReadCloser
}

// farReader remembers how far it was read.
type farReader struct {
	io.ReaderAt
	far int64
}

// ReadAt implements io.ReaderAt.
func (f *farReader) ReadAt(b []byte, at int64) (n int, err error) {
	n, err = f.ReaderAt.ReadAt(b, at)
	f.far = max(f.far, at+int64(n))
	return n, err
}

// macFolder is where macOS puts what it knows of files beside them.
const macFolder = "__MACOSX/"

func openZip(f *os.File) (*zipStream, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	in := &farReader{ReaderAt: f}
	z, err := zip.NewReader(in, info.Size())
	if errors.Is(err, zip.ErrFormat) { // nothing can be told of its files, for the list of them comes last
		return nil, errors.New("file truncated: expected the list of its files at its end")
	}
	if err != nil {
		return nil, err
	}
	var files []*zip.File
	chunks := 0
	for _, e := range z.File {
		if e.FileInfo().IsDir() || strings.HasPrefix(e.Name, macFolder) {
			continue
		}
		if e.Flags&1 != 0 {
			return nil, fmt.Errorf("%s in it is encrypted, expected a file without a password", e.Name)
		}
		files = append(files, e)
		if strings.Contains(e.Name, "chunk.") {
			chunks++
		}
	}
	switch {
	case len(files) == 0:
		return nil, errors.New("an archive without a file")
	case len(files) > MaxZipFiles:
		return nil, fmt.Errorf("an archive of %d files, at most %d", len(files), MaxZipFiles)
	case len(files) > 1 && chunks < len(files):
		return nil, fmt.Errorf("an archive of %d files, expected one, or chunks of one trace (chunk.0000 …)", len(files))
	}
	slices.SortStableFunc(files, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	in.far = 0 // the list at the end is no part of what is read from front to back
	return &zipStream{in: in, files: files}, nil
}

// Read implements io.Reader.
func (z *zipStream) Read(b []byte) (int, error) {
	for {
		if z.open == nil {
			if len(z.files) == 0 {
				return 0, io.EOF
			}
			r, err := z.files[0].Open()
			if err != nil {
				return 0, fmt.Errorf("%s: %w", z.files[0].Name, err)
			}
			z.open, z.files = r, z.files[1:]
		}
		n, err := z.open.Read(b)
		if err == io.EOF {
			err = z.open.Close()
			z.open = nil
			if err == nil && n == 0 {
				continue
			}
		}
		return n, err
	}
}

// Close frees the file that is being read.
func (z *zipStream) Close() error {
	if z.open == nil {
		return nil
	}
	return z.open.Close()
}
