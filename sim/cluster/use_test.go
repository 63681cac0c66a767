package cluster

import (
	"compress/gzip"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/sim/tasks"
)

// TestRealUse: what real files say was used, counted by other means. Those means, with the columns of the files:
//
//	machine, mean over time: awk -F, 'NR>1{d=$2-t; c+=pc*d; m+=pm*d; s+=d} {t=$2; pc=$3; pm=$4} END{print c/s, m/s}'; its readings of 5 minutes by the same,
//	in awk's array of sums by int((t-first)/300), of which the highest is 83 and 97
//	readings: awk -F, '{s+=$5} END{print s/100}', one of each of 100 machines in the first 5 minutes
//	fragments, after the tasks: awk -F, 'part==1{n[$1]=$4; c[$1]=$5} part==2{u+=$3/c[$1]*n[$1]*$2/1000} END{print u/3600}'
func TestRealUse(t *testing.T) {
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-8*max(1, math.Abs(want)) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	t.Run("machine", func(t *testing.T) {
		usage, meta := sharedData(t, "cluster/alibaba_v2018_machine_usage_excerpt.csv"), sharedData(t, "cluster/alibaba_v2018_machine_meta_excerpt.csv")
		for _, paths := range [][]string{{usage}, {usage, meta}} {
			i := counts(t, "", paths...)
			if i.Uses != 3000 || i.UsedMachines != 1 || i.MachineUse.Readings != 3000 || len(i.Header.Unverified) > 0 || i.Machines != 71*(len(paths)-1) {
				t.Errorf("%+v", i)
			}
			near("processors", i.MachineUse.Mean.Cores, 0.39065202371)
			near("memory", i.MachineUse.Mean.Memory, 0.906077311902)
			if len(paths) == 1 {
				near("peak of processors", i.MachineUse.Peak.Cores, 0.83)
				near("peak of memory", i.MachineUse.Peak.Memory, 0.97)
			}
		}
	})
	t.Run("readings", func(t *testing.T) {
		i := counts(t, "", sharedData(t, "cluster/azure_vm_cpu_readings_sample.csv.gz"))
		if i.Uses != 100 || i.Tasks != 0 || !i.Header.Units.CoresAreFractions || len(i.Header.Unverified) > 0 {
			t.Errorf("%+v", i)
		}
		near("processors", i.TaskUse.Mean.Cores, 7.54572204)
		near("peak", i.TaskUse.Peak.Cores, 7.54572204)
		i = counts(t, "", sharedData(t, "cluster/azure_vm_cpu_readings_sample.csv.gz"), sharedData(t, "cluster/azure_vmtable_sample.csv.gz"))
		if i.Uses != 0 || i.Tasks != 10 || !strings.Contains(strings.Join(i.Header.Assumed, "\n"), "100 readings are of no machine in vmtable") {
			t.Errorf("%+v", i)
		}
	})
	t.Run("fragments", func(t *testing.T) {
		i := counts(t, "", sharedData(t, "cluster/bitbrains-small.fragments.csv.gz"), sharedData(t, "cluster/bitbrains-small.tasks.csv"))
		if i.Uses != 276_979 || i.Tasks != 50 || i.TaskUse.Over != useWidth || len(i.Header.Unverified) > 0 {
			t.Errorf("%+v", i)
		}
		near("used", i.TaskUse.Hours.Cores, 22320.22536)
	})
}

// TestRealCutOff: a real packed table that is cut off or damaged is an error that names file and line.
func TestRealCutOff(t *testing.T) {
	whole, err := os.ReadFile(sharedData(t, "cluster/bitbrains-small.fragments.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	table, err := os.ReadFile(sharedData(t, "cluster/bitbrains-small.tasks.csv"))
	if err != nil {
		t.Fatal(err)
	}
	writeIn(t, dir, "tasks.csv", string(table))
	writeIn(t, dir, "fragments.csv.gz", string(whole[:len(whole)/3]))
	if _, _, err := all("", dir); err == nil || !strings.Contains(err.Error(), "fragments.csv.gz: line ") {
		t.Errorf("cut off: %v", err)
	}
	whole[len(whole)/2] ^= 0x55
	writeIn(t, dir, "fragments.csv.gz", string(whole))
	if _, _, err := all("", dir); err == nil || !strings.Contains(err.Error(), "fragments.csv.gz") {
		t.Errorf("damaged: %v", err)
	}
}

// TestUseCutOff: so is one made by hand, of each table of usage that is long enough to be cut in the middle.
func TestUseCutOff(t *testing.T) {
	for name, line := range map[string]string{
		"m.csv.gz": "m_1,100,40,90,,,1,2,3\n", "server_usage.csv.gz": "39660,5,12.5,43.8,41.2,7.1,7.3,7.2\n", "r.csv.gz": "300,abcdefghijklmnopqrst+/01==,1,90,25\n",
		"g.csv.gz": "600000000,900000000,3,1,5,0.125,0.75,0.6,0,0,0.6,0,0,0.3,0,2.4,0.007,0,1\n",
	} {
		var b strings.Builder
		z := gzip.NewWriter(&b)
		if _, err := io.WriteString(z, strings.Repeat(line, 5000)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		writeIn(t, dir, name, b.String())
		if list, _, err := all("", filepath.Join(dir, name)); err != nil || len(list) != 5000 {
			t.Errorf("%s: %d, %v", name, len(list), err)
		}
		writeIn(t, dir, name, b.String()[:b.Len()*3/4])
		if _, _, err := all("", filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), name+": line") {
			t.Errorf("%s cut off: %v", name, err)
		}
	}
}

// TestUseSaid: what was left out or assumed is said with its number.
func TestUseSaid(t *testing.T) {
	said := map[string][]string{
		"alibaba2018-machine-usage":   {"3 readings are no percents"},
		"alibaba2017-machine-usage":   {"1 readings are no percents"},
		"alibaba2018-instances":       {"2 instances are of no batch task", "1 instances without both times", "1 instances do not say"},
		"alibaba2018-container-usage": {"1.0 is all that one of them has"},
		"azure-readings":              {"1.0 is all that one of them has"},
		"google2011-usage":            {"1 rows do not say it"},
	}
	for _, s := range samples {
		if want := said[s.name]; want != nil {
			_, h, err := all("", write(t, s.file, s.text))
			for _, w := range want {
				if err != nil || !strings.Contains(strings.Join(h.Assumed, "\n"), w) {
					t.Errorf("%s: %v, %q, want %s", s.name, err, h.Assumed, w)
				}
			}
			delete(said, s.name)
		}
	}
	joinedSaid := map[string][]string{
		"alibaba2018-container-usage": {"1 readings are of no container"},
		"alibaba2018-instances":       {"1 instances are of no batch task", "1 batch tasks have no instance", "1 instances do not say", "1 lines of batch tasks have no request"},
		"azure-readings":              {"1 readings are of no machine in vmtable"},
		"opendc-fragments":            {"1 fragments are of no task"},
	}
	for _, s := range joinedSamples {
		_, h, err := all("", s.files(t, t.TempDir(), s.text)...)
		for _, w := range joinedSaid[s.name] {
			if err != nil || !strings.Contains(strings.Join(h.Assumed, "\n"), w) {
				t.Errorf("%s: %v, %q, want %s", s.name, err, h.Assumed, w)
			}
		}
	}
	if len(said) > 0 {
		t.Errorf("not looked at: %v", said)
	}
}

// TestUseUnits: shares of tasks whose table is missing are of what is said that 1.0 is.
func TestUseUnits(t *testing.T) {
	list, h, err := all("auto:cores=4,memory=8GiB", write(t, "u.csv", "c_1,m_2,100,50,25,1.5,0.1,2,1,1,101\n"))
	if err != nil || h.Units != (tasks.Units{}) || show(list, h) != "=1@0 2c 2048M" {
		t.Errorf("%s, %+v, %v", show(list, h), h, err)
	}
}

// TestUseMeter: means and peaks are what a table of every second of every ID comes to.
func TestUseMeter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const ids, seconds = 4, 2400
		m := newUseMeter()
		var value [ids][seconds]int64
		var known [ids][seconds]bool
		n := rapid.IntRange(1, 40).Draw(t, "readings")
		at, standing := 0, [ids]bool{}
		until := [ids]int{}
		last, end := 0, 0
		for range n {
			at = min(at+rapid.IntRange(0, 120).Draw(t, "gap"), seconds-400)
			id := rapid.IntRange(0, ids-1).Draw(t, "id")
			if at < until[id] {
				continue // windows of one ID do not overlap
			}
			v := rapid.Int64Range(0, 1000).Draw(t, "value")
			lasts := rapid.IntRange(0, 300).Draw(t, "lasts")
			e := tasks.Event{Kind: tasks.TaskUses, At: time.Duration(at) * time.Second, Lasts: time.Duration(lasts) * time.Second, ID: tasks.ID{Job: uint64(id)}, Size: tasks.Size{Cores: v * tasks.One, Memory: v * 3}}
			if err := m.reads(e); err != nil {
				t.Fatal(err)
			}
			last = at
			// From here on this one stands; a window ends it.
			for s := at; s < seconds; s++ {
				value[id][s], known[id][s] = v, lasts == 0 || s < at+lasts
			}
			standing[id], until[id] = lasts == 0, at+lasts
			end = max(end, at+lasts)
		}
		for id := range ids {
			if standing[id] {
				for s := last; s < seconds; s++ {
					known[id][s] = false
				}
			}
		}
		m.finish()
		var sum, count float64
		var bins, counted [seconds / 300]float64
		for id := range ids {
			for s := range seconds {
				if known[id][s] {
					sum, count = sum+float64(value[id][s]), count+1
					bins[s/300] += float64(value[id][s])
					counted[s/300]++
					end = max(end, s+1)
				}
			}
		}
		if count == 0 {
			return // at one moment
		}
		var peak, peakEach float64
		for b := range bins {
			if counted[b] > 0 {
				peak, peakEach = max(peak, bins[b]/float64(min(300, end-b*300))), max(peakEach, bins[b]/counted[b])
			}
		}
		total, each := m.total(), m.each()
		for _, c := range []struct {
			what      string
			got, want float64
		}{
			{"mean of all", total.Mean.Cores, sum / float64(end)}, {"memory of all", total.Mean.Memory, 3 * sum / float64(end)}, {"peak of all", total.Peak.Cores, peak}, {"hours", total.Hours.Cores, sum / 3600},
			{"mean of each", each.Mean.Cores, sum / count}, {"peak of each", each.Peak.Cores, peakEach}, {"peak of the memory of each", each.Peak.Memory, 3 * peakEach / tasks.One},
		} {
			if math.Abs(c.got-c.want) > 1e-9*max(1, c.want) {
				t.Fatalf("%s is %v, want %v", c.what, c.got, c.want)
			}
		}
	})
}

// TestUseMeterLong: a time that is too long for its periods makes them longer and changes no sum; and one moment has a use, too.
func TestUseMeterLong(t *testing.T) {
	m := newUseMeter()
	year := 365 * 24 * time.Hour
	for i := range 200 {
		if err := m.reads(tasks.Event{At: time.Duration(i) * year, Lasts: year / 2, Size: tasks.Size{Cores: 2 * tasks.One}}); err != nil {
			t.Fatal(err)
		}
	}
	m.finish()
	if u := m.total(); len(m.periods) > usePeriods || math.Abs(u.Hours.Cores-200*365*24) > 1 || math.Abs(u.Peak.Cores-2) > 1e-9 || u.Over <= useWidth {
		t.Errorf("%+v, %d periods", u, len(m.periods))
	}
	m = newUseMeter()
	for id := range 3 {
		if err := m.reads(tasks.Event{At: time.Hour, ID: tasks.ID{Job: uint64(id)}, Size: tasks.Size{Cores: tasks.One / 2, Memory: tasks.One / 4}}); err != nil {
			t.Fatal(err)
		}
	}
	m.finish()
	if each, total := m.each(), m.total(); each.Mean != (Amounts{0.5, 0.25}) || each.Peak != each.Mean || total.Mean.Cores != 1.5 || total.Over != 0 {
		t.Errorf("%+v, %+v", each, total)
	}
}
