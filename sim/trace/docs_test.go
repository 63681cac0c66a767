package trace

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// code is text as code in a cell of a table.
func code(s string) string {
	s = strings.ReplaceAll(s, "|", `\|`)
	if strings.Contains(s, "`") {
		return "`` " + s + " ``"
	}
	return "`" + s + "`"
}

// cell is text in a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// formatsPage is the table of docs/traces.md: every format with an example and a command, then the settings.
func formatsPage() string {
	var b strings.Builder
	b.WriteString("| Format | Of | What it is | A line, or a record | How to read it | Checked against |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, f := range FormatInfos() {
		command, sample := code("splitkernel trace info FILE"), cell(f.Sample)
		switch {
		case f.Class == AnyClass:
			command = "[as told](#what-is-not-in-the-list)"
		case !f.Recognised:
			command = code("splitkernel trace info --format " + f.Name + " FILE")
		}
		if sample == "" {
			sample = "*layout unverified*"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", code(f.Name), f.Class, cell(f.About), code(f.Example), command, sample)
	}
	b.WriteString("\n| Settings of | Setting | What it says |\n| --- | --- | --- |\n")
	for _, k := range CommonKeys {
		fmt.Fprintf(&b, "| all | %s | %s |\n", code(k.Name), cell(k.About))
	}
	for _, f := range FormatInfos() {
		for _, k := range f.Keys {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", code(f.Name), code(k.Name), cell(k.About))
		}
	}
	return b.String()
}

// TestExamples: the example of each text format is a file of it, behind the first line that What It Is names, where there is one.
func TestExamples(t *testing.T) {
	firsts := map[string]string{"fio-iolog": "fio version 3 iolog\n409 /data/f.dat add\n409 /data/f.dat open\n", "fltrace": "tstamp,ip,addr,pages,flags,tid,trace\n"}
	binary := map[string]bool{}
	for _, f := range concat(binaryMemoryFormats, binaryBlockFormats) {
		binary[f.name] = true
	}
	path := filepath.Join(t.TempDir(), "example")
	for _, f := range FormatInfos() {
		if binary[f.Name] || f.Class == AnyClass {
			continue
		}
		spec := f.Name
		if f.Recognised {
			spec = ""
		}
		for _, end := range []string{"", "\n", "\r\n"} {
			if err := os.WriteFile(path, []byte(firsts[f.Name]+f.Example+end), 0o644); err != nil {
				t.Fatal(err)
			}
			src, err := OpenFormat(path, spec)
			if err != nil {
				t.Errorf("%s: %v", f.Name, err)
				continue
			}
			info, err := Stat(src)
			src.Close()
			records := info.Refs + info.BlockReads + info.BlockWrites
			if err != nil || info.Header.Source != f.Name || records == 0 && f.Name != "cachelib" { // whose example is its first line
				t.Errorf("%s: %d records of %s, %v", f.Name, records, info.Header.Source, err)
			}
		}
	}
}

const (
	formatsBegin = "<!-- formats: made by go test ./sim/trace -run TestFormatsPage -update -->\n"
	formatsEnd   = "<!-- formats: end -->\n"
)

// The table of docs/traces.md is that of the readers.
func TestFormatsPage(t *testing.T) {
	path := filepath.Join(repoRoot(t), "docs", "traces.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), formatsBegin)
	is, after, ok2 := strings.Cut(rest, formatsEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the comments round the table", path)
	}
	want := formatsPage()
	if is == want {
		return
	}
	if !*update {
		t.Fatalf("the table of docs/traces.md is not that of the readers: run go test ./sim/trace -run TestFormatsPage -update")
	}
	if err := os.WriteFile(path, []byte(before+formatsBegin+want+formatsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
