package cluster

import (
	"fmt"
	"strings"

	"splitkernel/sim/tasks"
)

// format is one layout that this package reads.
type format struct {
	name    string
	about   string // of what it is, in a few words
	example string // a line
	// sample names the real file that the reader was checked against; "" = none was at hand: layout unverified.
	sample string
	keys   []Key // beside the common ones
	// sniff tells whether a file is of the format; nil = it has to be named.
	sniff func(h *head) bool
	// sorted says that files of it are in time order, which is checked. Else they are sorted.
	sorted bool
	// joins is the format of the table whose names this one goes by; "" = none. That table is read before.
	joins string
	open  func(g *group) (parser, error)
}

// Key is a setting of a reader.
type Key struct{ Name, About string }

// parser reads the files of one format, one after the other.
type parser interface {
	// next appends the events of the next record. After a *trace.BadRecord it may be called again and goes on behind it.
	next(out []tasks.Event) ([]tasks.Event, error)
	// header says what was assumed, at the end as well as before.
	header(h *Header)
	close()
}

// group is the files of one format within a trace.
type group struct {
	format format
	paths  []string
	spec   Spec
	number uint64 // of the group in the trace, so that ids differ
	with   *group // that of format.joins, or nil if the trace has none
	wanted bool   // another group is with this one
	beside bool   // the trace has other groups
	known  register
}

// id makes the id of the n-th task of the group.
func (g *group) id(n uint64) tasks.ID { return tasks.ID{Job: g.number<<48 | n} }

// alone is an error if percents cannot be told of what: the table that says it is missing, and others are there that count otherwise.
func (g *group) alone() error {
	if g.with == nil && g.beside {
		return fmt.Errorf("%s: %s says percents of what %s has, expected that table beside it, or this one alone", g.paths[0], g.format.name, g.format.joins)
	}
	return nil
}

// head is what is looked at to recognise a format.
type head struct {
	path   string
	start  []byte
	first  string   // line that is no comment
	fields []string // of first, by commas
	second []string // of the line after
}

// names reports whether the first line begins with these columns.
func (h *head) names(columns ...string) bool {
	if len(h.fields) < len(columns) {
		return false
	}
	for i, c := range columns {
		if strings.TrimSpace(strings.Trim(h.fields[i], `"`)) != c {
			return false
		}
	}
	return true
}

// row is a line with so many columns: the first, or the second if the first is a header.
func (h *head) row(columns int) ([]string, bool) {
	if len(h.fields) == columns && strings.ContainsAny(h.first, "0123456789") && !header(h.fields) {
		return h.fields, true
	}
	if len(h.fields) == columns && len(h.second) == columns {
		return h.second, true
	}
	return nil, false
}

// header reports whether a line has no number in any column, as only headers have.
func header(fields []string) bool {
	for _, f := range fields {
		if number(f) {
			return false
		}
	}
	return true
}

// number reports whether a column is a number or empty where one may be missing.
func number(s string) bool {
	s = strings.TrimSpace(s)
	if s == "" {
		return false
	}
	for i, c := range []byte(s) {
		if (c < '0' || c > '9') && c != '.' && !(i == 0 && c == '-') && c != 'e' && c != 'E' && c != '+' && !(i > 0 && c == '-') {
			return false
		}
	}
	return s[len(s)-1] != 'e' && s[len(s)-1] != 'E' && strings.ContainsAny(s, "0123456789")
}

// numbers reports whether the columns named are numbers, or empty.
func numbers(fields []string, columns ...int) bool {
	for _, c := range columns {
		if f := strings.TrimSpace(fields[c]); f != "" && !number(f) {
			return false
		}
	}
	return true
}

// formats in the order in which Open tries them: the strictest first.
func formats() (all []format) {
	for _, t := range [][]format{binaryFormats, openbFormats, googleFormats, alibabaFormats, alibabaUsageFormats, azureFormats, jobFormats, vmFormats, genericFormats} {
		all = append(all, t...)
	}
	return all
}

// Formats returns their names.
func Formats() (names []string) {
	for _, f := range formats() {
		names = append(names, f.name)
	}
	return names
}

// FormatInfo is what there is to say of a format.
type FormatInfo struct {
	Name, About, Example, Sample string
	Recognised, Sorted           bool
	Keys                         []Key
}

// FormatInfos describes the formats.
func FormatInfos() (list []FormatInfo) {
	for _, f := range formats() {
		list = append(list, FormatInfo{f.name, f.about, f.example, f.sample, f.sniff != nil, f.sorted, f.keys})
	}
	return list
}
