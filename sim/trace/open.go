package trace

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"splitkernel/sim/generate"
	"splitkernel/sim/unpack"
)

// Open opens a trace of any format known, plain or packed (.gz, .zst, .xz, .bz2, .zip), by looking at
// its first bytes. Where the format has no map records they are made up, and
// the header says so. A path that begins with generate.Prefix is no file but
// references by rule.
func Open(path string) (Source, error) { return OpenFormat(path, "") }

// sniffBytes is how much of a text file Open looks at.
const sniffBytes = 4 << 10

// OpenFormat is Open for a file whose format is known, or whose reader takes settings (see Spec); "" looks at the file.
func OpenFormat(path, text string) (Source, error) {
	spec, err := specOf(path, text)
	if err != nil {
		return nil, err
	}
	return OpenSpec(path, spec)
}

// specOf is ParseSpec with the file in its errors.
func specOf(path, text string) (Spec, error) {
	spec, err := ParseSpec(text)
	if err != nil {
		return spec, fmt.Errorf("%s: %w", path, err)
	}
	return spec, nil
}

// OpenSpec is OpenFormat with the format as a Spec.
func OpenSpec(path string, spec Spec) (Source, error) {
	src, err := OpenRecords(path, spec)
	if err != nil || generate.Is(path) && spec.Name == "" {
		return src, err
	}
	return WithMaps(src), nil
}

// OpenRecords is OpenSpec for who looks at references and requests only: no maps are made up, which takes half of the time.
func OpenRecords(path string, spec Spec) (Source, error) {
	if generate.Is(path) && spec.Name == "" {
		return openGenerator(path)
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
	src, err := openFile(path, spec, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return src, nil
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

func openFile(path string, spec Spec, f *os.File) (Source, error) {
	in, err := unpackFile(path, f)
	if err != nil {
		return nil, err
	}
	in.spec = spec
	start, err := in.Peek(sniffBytes)
	if err != nil && err != io.EOF && len(start) == 0 { // else the reader comes to it, and names the record
		in.stop()
		return nil, fmt.Errorf("%s: %w", path, short(err))
	}
	if spec.Name == sktFormat || spec.Name == "" && bytes.HasPrefix(start, []byte(fileMagic)) {
		return openSktStream(path, f, in)
	}
	if len(start) == 0 {
		in.stop()
		return nil, fmt.Errorf("%s: the file is empty, expected a trace (%s)", path, strings.Join(Formats(), ", "))
	}
	if mark := []byte("\ufeff"); bytes.HasPrefix(start, mark) && newHead(path, start[len(mark):], false).text() { // Windows marks UTF-8 so
		if _, err := in.Discard(len(mark)); err != nil {
			in.stop()
			return nil, fmt.Errorf("%s: %w", path, err) // cannot be: it was peeked
		}
		start, err = in.Peek(sniffBytes)
	}
	h := newHead(path, start, err == io.EOF)
	for _, ft := range formats() {
		if ft.name == spec.Name || spec.Name == "" && ft.sniff != nil && ft.sniff(h) {
			src, err := newParsedSource(ft, f, in)
			if err != nil {
				in.stop()
				return nil, err
			}
			return src, nil
		}
	}
	in.stop()
	if why := unpack.Unlike(start); why != "" {
		return nil, fmt.Errorf("%s: %s", path, why)
	}
	if !h.text() {
		return nil, fmt.Errorf("%s: it begins with the bytes % x, which is of no binary trace format known; name one with --format (%s)", path, start[:min(len(start), 16)], strings.Join(Formats(), ", "))
	}
	return nil, fmt.Errorf("%s: line 1: %q is of no trace format known (%s)", path, clip(h.lines[0]), strings.Join(Formats(), ", "))
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
