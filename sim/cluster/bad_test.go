package cluster

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/tasks"
)

func writeIn(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBadInput: file, line, what was expected.
func TestBadInput(t *testing.T) {
	for _, c := range []struct{ spec, text, want string }{
		{"", "", "the file is empty, expected a cluster trace"},
		{"", "hello world\n", `"hello world" is the first line of no cluster trace format known`},
		{"openb-nodes", "sn,cpu,memory_mib,gpu\n", `line 1: no column "cpu_milli", expected sn, cpu_milli`},
		{"", "sn,cpu_milli,memory_mib,gpu,model\na,1000\n", "line 2: 2 columns, expected 5 as in line 1"},
		{"", "sn,cpu_milli,memory_mib,gpu,model\na,x,1,1,\n", `line 2: cpu_milli: "x", expected a number of 0 to`},
		{"", "sn,cpu_milli,memory_mib,gpu,model\na,-1,1,1,\n", `line 2: cpu_milli: "-1"`},
		{"", "sn,cpu_milli,memory_mib,gpu,model\na,1,99999999999999,1,\n", `line 2: memory_mib: "99999999999999", expected`},
		{"", "700000000,5,0,HofLGz,0.5,0.25\n600000000,5,1,HofLGz,,\n", "line 2: its time is 1m40s before the one before it, expected times that do not run backwards"},
		{"", "0,5,0,HofLGz,0.5,0.25\n0,5,7,HofLGz,0.5,0.25\n", `line 2: event "7", expected 0, 1 or 2`},
		{"", "a,s,d,900,300,99.3,3.4,10.1,Interactive,2,3.5\n", "line 1: it ends 10m0s before it begins"},
		{"", "M1,99999999,j_1,1,Terminated,200,300,50,0.5\n", `line 1: instances: "99999999", expected a whole number of 0 to 1048576`},
		{"google2019", `{"time":1,"type":3,"collection_id":1` + "\n", "line 1: unexpected end of JSON input, expected a row of JSON"},
		{"", "sn,cpu_milli,memory_mib,gpu,model\na," + strings.Repeat("1", MaxLineBytes) + ",1,1,\n", "line 2: a line of"},
		{"", "m_1,100,x,90,,,1,2,3\n", `"m_1,100,x,90,,,1,2,3" is the first line of no cluster trace format known`},
		{"alibaba2018-machine-usage", "m_1,100,1,90,,,1,2,3\nm_1,100,x,90,,,1,2,3\n", `line 2: cpu_util_percent: "x", expected a number of 0 to`},
		{"alibaba2018-machine-usage", "m_1,100,1,90,,,1,2,3\nm_1,100,1,90,,,1,2\n", "line 2: 8 columns, expected 9"},
		{"alibaba2018-instances", "i,M1,j_1,1,Terminated,100,300,m_3,1,1,50,-75,0.5,1\n", `line 1: cpu: "-75", expected a number of 0 to`},
		{"", "39600,1,12.5,43.8,41.2,7.1,7.3,7.2\n", "name one with --format"}, // numbers alone, in no file named server_usage
		{"alibaba2017-container-usage", "39600,7,50,25,11.5,0.3,0.3,0.2,1.2,0.4,1.9\n", "line 1: 11 columns, expected 12"},
		{"", "600000000,900000000,3,1,5,0.125,0.75,0.6,0,0,0.6,0,0,0.3,0,2.4,0.007,0,1\n900000000,600000000,3,1,5,0.125,0.75,0.6,0,0,0.6,0,0,0.3,0,2.4,0.007,0,1\n", "line 2: it ends 5m0s before it begins"},
		{"", `{"start_time":"1","end_time":"2","machine_id":"1","instance_index":"x","collection_id":"1","average_usage":{"cpus":1,"memory":1}}` + "\n", `line 1: instance_index: "x", expected a whole number`},
		{"", "300,abcdefghijklmnopqrst+/01==,1,90,25\n300,b,1,90,-1\n", `line 2: average CPU: "-1", expected a number of 0 to`},
		{"", "id,duration,cpu_usage\n7,500,50\n", "fragments without their tasks, want the file of tasks"},
		{"opendc-fragments", "id,cpu_usage\n", "fragments without their tasks"},
		{"azure-packing", "not a database, but text of the same length as one\n", "expected the SQLite file of the Azure trace"},
		{"opendc-parquet", "PAR1 and then nothing that is one", "expected a Parquet file"},
	} {
		_, _, err := all(c.spec, write(t, "bad.csv", c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "bad.csv") {
			t.Errorf("%.40q: %v, want %s", c.text, err, c.want)
		}
	}
	for spec, want := range map[string]string{
		"nonsense": `format "nonsense", want one of`, "swf:x": `"x", want key=value`, "auto:colour=red": `no key "colour", want one of skip-bad`, "auto:skip-bad=-1": "skip-bad",
		"auto:cores=x": "cores", "auto:memory=12XB": "memory", "csv:time-unit=y": "time-unit", "csv:end=a,duration=b": "end and duration",
	} {
		_, _, err := all(spec, write(t, "m.csv", "0,5,0,HofLGz,0.5,0.25\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", spec, err, want)
		}
	}
	if _, err := Open([]string{filepath.Join(t.TempDir(), "none")}, ""); err == nil || !strings.Contains(err.Error(), "cannot read") {
		t.Error(err)
	}
	if _, err := Open([]string{t.TempDir()}, ""); err == nil || !strings.Contains(err.Error(), "no file in it") {
		t.Error(err)
	}
}

// TestSkipBad: as many as allowed are left out and counted, one more is an error.
func TestSkipBad(t *testing.T) {
	p := write(t, "n.csv", "sn,cpu_milli,memory_mib,gpu,model\na,1000,1,1,\nb,x,1,1,\nc,2000\nd,4000,1,1,\n")
	list, h, err := all("auto:skip-bad=2", p)
	if err != nil || len(list) != 2 || list[1].Size.Cores != 4*tasks.One || h.Bad != 2 || !strings.Contains(h.FirstBad, "n.csv: line 3: cpu_milli") {
		t.Errorf("%v, %+v, %v", list, h, err)
	}
	if _, _, err := all("auto:skip-bad=1", p); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Error(err)
	}
}

// TestCutOff: every sample cut at any of many places is an error that names the file, or the events of whole lines; a packed one cut is an error.
func TestCutOff(t *testing.T) {
	dir := t.TempDir()
	for _, s := range samples {
		for cut := 0; cut < len(s.text); cut += 13 {
			writeIn(t, dir, s.file, s.text[:cut])
			if _, _, err := all(s.name, filepath.Join(dir, s.file)); err != nil && !strings.Contains(err.Error(), s.file) {
				t.Errorf("%s cut at %d: %v", s.name, cut, err)
			}
		}
	}
	for _, s := range joinedSamples {
		for cut := 0; cut < len(s.text); cut += 13 {
			if _, _, err := all("", s.files(t, t.TempDir(), s.text[:cut])...); err != nil && !strings.Contains(err.Error(), s.file) {
				t.Errorf("%s cut at %d: %v", s.name, cut, err)
			}
		}
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	text := "sn,cpu_milli,memory_mib,gpu,model\n"
	for i := range 5000 {
		text += strings.Repeat("n", i%17+1) + ",32000,1024,0,\n"
	}
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if list, _, err := all("", write(t, "n.csv.gz", b.String())); err != nil || len(list) != 5000 {
		t.Errorf("%d, %v", len(list), err)
	}
	for _, part := range []int{2, 3} {
		if _, _, err := all("", write(t, "n.csv.gz", b.String()[:b.Len()*part/4])); err == nil || !strings.Contains(err.Error(), "n.csv.gz: line") {
			t.Errorf("cut off: %v", err)
		}
	}
	damaged := b.Bytes()
	damaged[b.Len()/2] ^= 0x55
	if _, _, err := all("", write(t, "n.csv.gz", string(damaged))); err == nil || !strings.Contains(err.Error(), "n.csv.gz") {
		t.Errorf("damaged: %v", err)
	}
}

// FuzzText: whatever the text, no format panics, and what is read has sizes within bounds and times that do not run backwards.
func FuzzText(f *testing.F) {
	list := joinedSamples
	for _, s := range samples {
		list = append(list, joined{sample: s})
	}
	for i, s := range list {
		f.Add(uint8(i), s.text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		s := list[int(which)%len(list)]
		paths := s.files(t, dir, text)
		specs := []string{s.name, ""}
		if s.other != "" {
			specs = specs[1:] // a named format is that of all files
		}
		for _, spec := range specs {
			list, _, err := all(spec, paths...)
			if err != nil && !strings.Contains(err.Error(), s.file) {
				t.Errorf("%q: %v", text, err)
			}
			use := newUseMeter()
			for i, e := range list {
				if e.Size.Check() != nil || i > 0 && e.At < list[i-1].At || e.Kind == 0 || e.At < 0 || e.Lasts < tasks.Unknown {
					t.Errorf("%q: %+v after %+v", text, e, list[max(i-1, 0)])
				}
				if e.Kind == tasks.TaskUses || e.Kind == tasks.MachineUses {
					if err := use.reads(e); err != nil {
						t.Errorf("%q: %v", text, err)
					}
				}
			}
			use.finish()
			for _, u := range []Use{use.each(), use.total()} {
				if !(u.Mean.Cores <= u.Peak.Cores*1.000001 && u.Mean.Memory <= u.Peak.Memory*1.000001) {
					t.Errorf("%q: %+v", text, u)
				}
			}
		}
	})
}

// TestJoinedBad: what is wrong between two tables.
func TestJoinedBad(t *testing.T) {
	for _, c := range []struct{ name, text, other, otherText, want string }{
		{"a.csv", "c_2,m_2,100,50,25,1.5,0.1,2,1,1,101\n", "m.csv", "m_1,0,219,17,96,100,USING\n", "alibaba2018-container-usage says percents of what alibaba2018-containers has, expected that table beside it, or this one alone"},
		{"a.csv", "300,abcdefghijklmnopqrst+/01==,1,90,25\n", "m.csv", "m_1,0,219,17,96,100,USING\n", "azure-readings says percents of what azure-vm has"},
		{"a.csv", "id,duration,cpu_usage\n7,-1,50\n", "o.csv", "id,submission_time,duration,cpu_count,cpu_capacity,mem_capacity\n7,5000,2000,4,100,1048576\n", "a.csv: line 2: duration -1ms, expected at least 0"},
		{"a.csv", "id,duration,cpu_usage\n7,1,nan\n", "o.csv", "id,submission_time,duration,cpu_count,cpu_capacity,mem_capacity\n7,5000,2000,4,100,1048576\n", "a.csv: line 2: cpu_usage NaN, expected MHz"},
		{"a.csv", "id,duration,cpu_usage\n7,1,1\n", "o.csv", "id,submission_time,duration,cpu_count,cpu_capacity,mem_capacity\n7,5000,2000,4,100,1\n7,5000,2000,4,100,1\n", "o.csv: line 3: task 7 is there twice"},
		{"a.csv", "id,duration,cpu_usage\n7,1,1\n", "o.csv", "id,submission_time,duration,cpu_count,cpu_capacity,mem_capacity\n7,5000,2000,4,-100,1\n", `o.csv: line 2: cpu_capacity "-100", expected MHz`},
	} {
		dir := t.TempDir()
		writeIn(t, dir, c.name, c.text)
		writeIn(t, dir, c.other, c.otherText)
		if _, _, err := all("", dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}
