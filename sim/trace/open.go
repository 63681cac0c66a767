package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"splitkernel/sim/generate"
)

// format is a text format that this package reads.
type format struct {
	name  string
	sniff func(lines []string) bool // whether these are the first lines of one
	open  func(in *lineReader) lineParser
}

// formats in the order in which Open tries them: the strictest first.
var formats = []format{
	{"fio-iolog", sniffFio, newFio},
	{"cloudphysics-csv", sniffCloudPhysics, newCloudPhysics},
	{"lackey", sniffLackey, newLackeyText},
	{"rw-page", sniffPages, newPages},
	{"arc", sniffArc, newArc},
	{"lirs", sniffLirs, newLirs},
}

// sktFormat is the name of the project's own format.
const sktFormat = "skt"

// Formats returns the names that OpenFormat knows.
func Formats() []string {
	names := []string{sktFormat}
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Open opens a trace of any format known, plain, .gz or .zst, by looking at
// its first bytes. Where the format has no map records they are made up, and
// the header says so. A path that begins with generate.Prefix is no file but
// references by rule.
func Open(path string) (Source, error) { return OpenFormat(path, "") }

// sniffBytes is how much of a text file Open looks at.
const sniffBytes = 4 << 10

// OpenFormat is Open for a file whose format is known; "" looks at the file.
func OpenFormat(path, name string) (Source, error) {
	if generate.Is(path) && name == "" {
		return openGenerator(path)
	}
	if name != "" && !contains(Formats(), name) {
		return nil, fmt.Errorf("%s: trace format %q, want one of %s", path, name, strings.Join(Formats(), ", "))
	}
	if info, err := os.Stat(path); err != nil { // before it is opened: to open a pipe may wait for ever
		return nil, fmt.Errorf("cannot read a trace: %w", err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: want a trace in a regular file, not in a %s", path, kindOf(info.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read a trace: %w", err)
	}
	src, err := openFile(path, name, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return WithMaps(src), nil
}

// kindOf names what is no regular file.
func kindOf(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "folder"
	case m&os.ModeNamedPipe != 0:
		return "pipe"
	case m&os.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func openFile(path, name string, f *os.File) (Source, error) {
	in, err := unpack(path, f)
	if err != nil {
		return nil, err
	}
	start, err := in.Peek(sniffBytes)
	if err != nil && err != io.EOF {
		in.stop()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if name == sktFormat || name == "" && bytes.HasPrefix(start, []byte(fileMagic)) {
		return openSktStream(path, f, in)
	}
	if len(start) == 0 {
		in.stop()
		return nil, fmt.Errorf("%s: the file is empty, expected a trace (%s)", path, strings.Join(Formats(), ", "))
	}
	lines := strings.Split(string(start), "\n")
	if len(lines) > 1 {
		lines = lines[:len(lines)-1] // the last one may be cut
	}
	for _, ft := range formats {
		if ft.name == name || name == "" && ft.sniff(lines) {
			return newTextSource(path, ft, f, in), nil
		}
	}
	in.stop()
	return nil, fmt.Errorf("%s: line 1: %q is of no trace format known (%s)", path, clip(lines[0]), strings.Join(Formats(), ", "))
}

// openSktStream opens a .skt. A packed one has first to be unpacked into a
// temporary file, nameless from the start, because index and trailer are at the end.
func openSktStream(path string, f *os.File, in *input) (Source, error) {
	if !in.packed {
		return openSkt(path, f)
	}
	defer in.stop()
	tmp, err := os.CreateTemp("", "splitkernel-trace-*")
	if err != nil {
		return nil, fmt.Errorf("%s: cannot unpack it: %w", path, err)
	}
	os.Remove(tmp.Name())
	n, err := io.Copy(tmp, io.LimitReader(in, MaxUnpackedSktBytes+1))
	if err == nil && n > MaxUnpackedSktBytes {
		err = fmt.Errorf("more than %d bytes", int64(MaxUnpackedSktBytes))
	}
	if err != nil {
		tmp.Close()
		return nil, fmt.Errorf("%s: cannot unpack it: %w", path, err)
	}
	src, err := newSkt(path, tmp, tmp, uint64(n))
	if err != nil {
		tmp.Close()
		return nil, err
	}
	f.Close()
	return src, nil
}

// input is the unpacked text of a file.
type input struct {
	*bufio.Reader
	packed bool
	stop   func() // frees the unpacker
}

// unpack finds out whether f is gzip, zstd or plain by its first bytes.
func unpack(path string, f *os.File) (*input, error) {
	raw := bufio.NewReaderSize(f, 64<<10)
	magic, err := raw.Peek(4)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: gzip: %w", path, err)
		}
		return &input{bufio.NewReaderSize(z, 256<<10), true, func() { z.Close() }}, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(MaxZstdWindowBytes))
		if err != nil {
			return nil, fmt.Errorf("%s: zstd: %w", path, err)
		}
		return &input{bufio.NewReaderSize(z, 256<<10), true, z.Close}, nil
	}
	return &input{bufio.NewReaderSize(raw, 256<<10), false, func() {}}, nil
}

// Digest is the SHA-256 of a file in hex, as manifests carry it, or that of a generator's text.
func Digest(ctx context.Context, path string) (string, error) {
	if generate.Is(path) {
		return digestOf(path), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot read a trace: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, stoppableReader{ctx, f}); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// clip shortens a line for an error.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
