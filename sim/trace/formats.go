package trace

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Class says what a format tells of.
type Class string

// Classes of formats.
const (
	MemoryClass Class = "memory" // addresses in bytes
	PageClass   Class = "pages"  // numbers of pages or blocks, without addresses
	BlockClass  Class = "block"  // requests to volumes
	AnyClass    Class = "any"    // addresses or requests, as the user says
)

// format is one layout that this package reads. To add a reader is to write a parser in a file of its own, and an entry in formats.
type format struct {
	name    string
	class   Class
	about   string // what writes it, in a few words
	example string // a line, or what a record of a binary one is
	// sample names the real file that the reader was checked against; "" = none was at hand, and `trace info` says so.
	sample string
	// keys are what the reader takes after the name beside the common ones (see Spec), each with what it does.
	keys []Key
	// sniff tells whether a file is of the format; nil = the format has to be named.
	sniff func(h *head) bool
	// open makes the parser. It may read what comes before the first record, and fails on a value of a key that it cannot use.
	open func(in *input) (parser, error)
}

// Key is a setting of a reader.
type Key struct{ Name, About string }

// head is what is looked at to recognise a format.
type head struct {
	path  string
	start []byte   // up to sniffBytes of it, unpacked
	lines []string // the whole lines of start, without their ends
	// small says that start is the whole file.
	small bool
}

// line is the first line.
func (h *head) line() []byte { return []byte(h.lines[0]) }

// newHead cuts the lines.
func newHead(path string, start []byte, small bool) *head {
	lines := strings.Split(string(start), "\n")
	if len(lines) > 1 && !small {
		lines = lines[:len(lines)-1] // the last one may be cut
	}
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, "\r")
	}
	return &head{path: path, start: start, lines: lines, small: small}
}

// text reports whether the start is of printable characters, as all text formats are.
func (h *head) text() bool {
	start := h.start
	for n := 0; n < utf8.UTFMax && !h.small; n++ { // the last character may be cut
		if r, size := utf8.DecodeLastRune(start); r != utf8.RuneError || size != 1 {
			break
		}
		start = start[:len(start)-1]
	}
	return !bytes.ContainsFunc(start, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f || r == 0xfffd })
}

// parser turns the records of a file into batches.
type parser interface {
	// header describes the stream as far as it is known.
	header(h *Header)
	// fill appends to b until it is full, or returns io.EOF, after which it is not called again. After an error that wraps
	// *BadRecord it may be called again, and goes on after that record.
	fill(b *Batch) error
}

// formats in the order in which Open tries them: the strictest first.
func formats() []format {
	return concat(binaryMemoryFormats, binaryBlockFormats, memoryFormats, blockFormats, pageFormats, genericFormats)
}

func concat(tables ...[]format) (all []format) {
	for _, t := range tables {
		all = append(all, t...)
	}
	return all
}

// sktFormat is the name of the project's own format.
const sktFormat = "skt"

// Formats returns the names that OpenFormat knows.
func Formats() []string {
	names := []string{sktFormat}
	for _, f := range formats() {
		names = append(names, f.name)
	}
	return names
}

// FormatInfo is what there is to say of a format that is read.
type FormatInfo struct {
	Name, About, Example string
	Class                Class
	Sample               string // the real file that the reader was checked against; "" = layout unverified
	Recognised           bool   // by its first bytes; else it has to be named
	Keys                 []Key
}

// FormatInfos describes the formats beside .skt, in the order in which they are tried.
func FormatInfos() (list []FormatInfo) {
	for _, f := range formats() {
		list = append(list, FormatInfo{Name: f.name, About: f.about, Example: f.example, Class: f.class, Sample: f.sample, Recognised: f.sniff != nil, Keys: f.keys})
	}
	return list
}

// find returns the format of a name.
func find(name string) (format, bool) {
	for _, f := range formats() {
		if f.name == name {
			return f, true
		}
	}
	return format{}, false
}

// BadRecord is a record that is not of the format. What comes after it can be read.
type BadRecord struct {
	Path string
	Unit string // what is counted: "line", "record"
	N    uint64 // from 1
	Err  error
}

func (e *BadRecord) Error() string { return fmt.Sprintf("%s: %s %d: %v", e.Path, e.Unit, e.N, e.Err) }

func (e *BadRecord) Unwrap() error { return e.Err }
