package cluster

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"splitkernel/sim/tasks"
)

// TestRealSamples: what is in real files, counted by other means (awk over the columns).
func TestRealSamples(t *testing.T) {
	for _, c := range []struct {
		files    string
		machines int
		tasks    uint64
		cores    float64 // of machines, or a task's mean if there are none
		span     float64
	}{
		{"cluster/openb_node_list_all_node.csv cluster/openb_pod_list_default.csv", 1523, 8152, 125_514, 12_901_761},
		{"cluster/alibaba_v2018_machine_meta_excerpt.csv", 71, 0, 71 * 96, 696_474},
		{"cluster/azure_vmtable_sample.csv.gz", 0, 10, 3.8, 2_290_500},
		{"cluster/bitbrains-small.tasks.csv", 0, 50, 3.88, 1_966_992},
	} {
		t.Run(c.files, func(t *testing.T) {
			var paths []string
			for _, f := range strings.Fields(c.files) {
				paths = append(paths, sharedData(t, f))
			}
			i := counts(t, "", paths...)
			cores := i.MeanCores
			if c.machines > 0 {
				cores = float64(i.MachineSum.Cores) / tasks.One
			}
			if i.Machines != c.machines || i.Tasks != c.tasks || math.Abs(cores-c.cores) > 1e-9 || math.Abs(i.Span-c.span) > 1e-3 || len(i.Header.Unverified) > 0 {
				t.Errorf("%+v, want %+v", i, c)
			}
		})
	}
}

// sample is a few lines of a format, written by hand after its description, and the events that they are.
type sample struct {
	name, file, text, want string
}

// samples of all text formats. Events are printed by show.
var samples = []sample{
	{"openb-nodes", "n.csv", "sn,cpu_milli,memory_mib,gpu,model\na,32000,1024,0,\nb,96000,2048,8,G2\n", "+m1@0 32c 1024M 0g; +m2@0 96c 2048M 8g"},
	{"openb-pods", "p.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n" +
		"p0,500,512,2,1000,,LS,Running,100,400,150\np1,1000,1,1,460,,BE,Pending,120,130,\n", "+1@0 0.5c 512M 2g for 250 p2; +2@20 1c 1M 0.46g for 10"},
	{"alibaba-dlrm2025", "d.csv", "instance_sn,role,app_name,cpu_request,cpu_limit,gpu_request,gpu_limit,rdma_request,rdma_limit,memory_request,memory_limit,disk_request,disk_limit,max_instance_per_node,creation_time,scheduled_time,deletion_time\n" +
		"i0,HN,a,12,12,1,1,25,25,1.5,2.0,1,1,8,,,\ni1,CN,a,48,48,0,0,25,25,1.0,2.0,1,1,8,50,60,100\ni2,CN,a,4,4,0,0,25,25,1.0,2.0,1,1,8,,,90\n",
		"+1@0 12c 1536M 1g for ?; +3@0 4c 1024M 0g for ?; +2@0 48c 1024M 0g for 40; -3@40"},
	{"google2011-machines", "m.csv", "0,5,0,HofLGz,0.5,0.2493\n700000000,5,2,HofLGz,0.5,0.125\n800000000,5,1,HofLGz,,\n", "+m5@0 0.5c 0.2493f 0g; ~m5@0 0.5c 0.125f 0g; -m5@100"},
	{"google2011-tasks", "t.csv", "0,,3,0,5,0,user,3,9,0.125,0.07446,0.1,0\n0,,3,0,5,1,user,3,9,0.125,0.07446,0.1,0\n600000000,,3,0,5,4,user,3,9,0.125,0.07446,0.1,0\n601000000,,3,0,5,1,user,3,9,,,,\n602000000,,3,0,5,2,user,3,9,,,,\n",
		"+3@0 0.125c 0.07446f 0g for ? p9; -3@0; +3@1 0c 0f 0g for ? p9; -3@2"},
	{"google2019", "g.json", `{"time":"602000000","type":"6","collection_id":"9","instance_index":"1","machine_id":"5"}` + "\n" +
		`{"time":"0","machine_id":"5","type":"1","capacity":{"cpus":0.5,"memory":0.25}}` + "\n" +
		`{"time":600000000,"type":"SCHEDULE","collection_id":9,"instance_index":1,"priority":200,"machine_id":5,"resource_request":{"cpus":0.125,"memory":0.0625}}` + "\n" +
		`{"time":601000000,"type":3,"collection_id":9,"instance_index":1,"priority":200,"resource_request":null}` + "\n" +
		`{"time":601000000,"type":3,"collection_id":10,"instance_index":1,"alloc_collection_id":"7"}` + "\n", "+m5@0 0.5c 0.25f 0g; +9@0 0.125c 0.0625f 0g for ? p200; -9@2"},
	{"alibaba2018-machines", "m.csv", "m_1,100,219,17,96,100,USING\nm_2,0,219,17,64,50,USING\nm_1,200,219,17,96,100,OFFLINE\n", "+m2@0 64c 0.5f 0g; +m1@100 96c 1f 0g; -m1@200"},
	{"alibaba2018-tasks", "t.csv", "M1,2,j_1,1,Terminated,200,300,50,0.5\nR2_1,1,j_1,1,Failed,150,160,100,1\nM3,1,j_2,1,Waiting,0,0,,\n", "+3@0 1c 0.01f 0g for 10; +1@50 0.5c 0.005f 0g for 100; +2@50 0.5c 0.005f 0g for 100"},
	{"alibaba2018-containers", "c.csv", "c_1,m_2,50,app_1,started,400,400,1.5\nc_1,m_2,60,app_1,started,400,400,1.5\nc_2,m_3,10,app_1,started,800,800,3\n", "+2@0 8c 0.03f 0g for ? p1; +1@40 4c 0.015f 0g for ? p1"},
	{"alibaba2017-tasks", "t.csv", "create, end,job,task,n,status,cpu,mem\n100,200,3,4,2,Terminated,50,0.25\n100,90,3,5,1,Waiting,,\n", "+1@0 0.5c 0.25f 0g for 100; +2@0 0.5c 0.25f 0g for 100"},
	{"alibaba2017-machines", "m.csv", "0,1,add,,64,0.69,1\n50,1,softerror,disk,64,0.69,1\n", "+m1@0 64c 0.69f 0g; -m1@50"},
	{"alibaba2017-containers", "c.csv", "10,Create,7,200,4,0.5,0.01,1|2|3|4\n", "+7@0 4c 0.5f 0g for ? p1"},
	{"azure-vm", "v.csv", "a,s,d,300,900,99.3,3.4,10.1,Interactive,2,3.5\nb,s,d,0,2591700,99.3,3.4,10.1,Unknown,>24,>64\n", "+2@0 30c 71680M 0g for ?; +1@300 2c 3584M 0g for 600 p1"},
	{"huawei-vm", "h.csv", "vmid,cpu,memory,time,type\n1,2,4,10,0\n2,1,1,20,0\n1,2,4,30,1\n", "+1@0 2c 4096M 0g for ?; +2@10 1c 1024M 0g for ?; -1@20"},
	{"swim", "s.tsv", "job0\t49\t49\t134217728\t67108864\t0\njob1\t50\t1\t0\t33554432\t0\n", "+1@0 1c 1024M 0g for 3; +2@0 1c 1024M 0g for 3; +3@1 1c 1024M 0g for 1"},
	{"swf", "w.swf", "; Version: 2.2\n 1 0 -1 60 2 -1 1024 -1 -1 -1 1 1 -1 -1 -1 -1 -1 -1\n 2 10 5 -1 2 -1 -1 -1 -1 -1 0 1 -1 -1 -1 -1 -1 -1\n", "+1@0 1c 1M 0g for 60; +2@0 1c 1M 0g for 60"},
	{"bitbrains", "b.csv", "Timestamp [ms];\tCPU cores;\tCPU capacity provisioned [MHZ];\tCPU usage [MHZ];\tCPU usage [%];\tMemory capacity provisioned [KB];\tMemory usage [KB]\n" +
		"1000;\t2;\t5000;\t2500;\t50;\t2048;\t1024\n1300;\t2;\t5000;\t0;\t0;\t2048;\t512\n", "+1@0 2c 2M 0g for ?; =1@0 1c 1M; =1@300 0c 0.5M; -1@600"},
	{"opendc-tasks", "o.csv", "id,submission_time,duration,cpu_count,cpu_capacity,mem_capacity\n7,5000,2000,4,100,1048576\n", "+1@0 4c 1000M 0g for 2"},
	{"alibaba2018-machine-usage", "u.csv", "m_7,100,40,90,,,1,2,3\nm_2,90,50.5,20,1,2,1,2,3\nm_7,110,-1,90,,,1,2,3\nm_7,111,101,9,,,1,2,3\nm_7,112,,9,,,1,2,3\nm_7,120,60,80,,,1,2,-1\n",
		"=m2@0 0.505 0.2; =m1@10 0.4 0.9; =m1@30 0.6 0.8"},
	{"alibaba2018-container-usage", "u.csv", "c_1,m_2,100,50,25,1.5,0.1,2,1,1,101\nc_2,m_2,90,100,0,,,,,,\n", "=2@0 1c 0f; =1@10 0.5c 0.25f"},
	{"alibaba2018-instances", "i.csv", "ins_1,M1,j_1,1,Terminated,100,300,m_3,1,1,50,75,0.5,1\nins_2,M1,j_1,1,Failed,110,110,m_4,1,1,,,,\nins_3,M1,j_1,1,Terminated,120,120,m_4,1,1,10,20,1,2\nins_4,M1,j_1,1,Waiting,0,0,,1,1,,,,\n",
		"+1@0 0.75c 0.01f 0g for 200; =1@0 0.5c 0.005f for 200; +2@20 0.2c 0.02f 0g for 0"},
	{"alibaba2017-machine-usage", "server_usage.csv", "39660,5,12.5,43.8,41.2,7.1,7.3,7.2\n39600,4,100,0,41.2,7.1,7.3,7.2\n39700,4,-1,0,41.2,7.1,7.3,7.2\n", "=m4@0 1 0; =m5@60 0.125 0.438"},
	{"alibaba2017-container-usage", "container_usage_part.csv", "39600,7,50,25,11.5,0.3,0.3,0.2,1.2,0.4,1.9,0.8\n39900,7,75,12.5,,0.3,0.3,0.2,,,,\n", "=1@0 0.5c 0.25f; =1@300 0.75c 0.125f"},
	{"alibaba2017-instances", "i.csv", "100,300,3,4,112,Terminated,1,1,1.5,0.5,0.25,0.125\n-5,20,3,4,112,Terminated,1,1,1.5,0.5,0.25,0.125\n200,0,3,4,,Running,1,1,,,,\n", "+1@0 1.5c 0.25f 0g for 200; =1@0 0.5c 0.125f for 200"},
	{"google2011-usage", "u.csv", "#start time,end time\n900000000,1200000000,3,1,5,0.25,0.5,0.6,0,0,0.6,0,0,0.3,0,2.4,0.007,0,1,0.2\n600000000,900000000,3,1,5,0.125,0.75,0.6,0,0,0.6,0,0,0.3,0,2.4,0.007,0,1\n600000000,900000000,4,0,,,0.75,,,,,,,,,,,0,1,\n",
		"=3@0 0.125c 0.75f for 300; =3@300 0.25c 0.5f for 300"},
	{"google2019", "u.json", `{"start_time":"600000000","end_time":"900000000","collection_id":"9","instance_index":"1","machine_id":"5","alloc_collection_id":"7","average_usage":{"cpus":0.0625,"memory":0.125},"maximum_usage":{"cpus":0.5,"memory":0.25},"cpu_usage_distribution":[0,0.1]}` + "\n" +
		`{"start_time":300000000,"end_time":600000000,"collection_id":9,"instance_index":1,"machine_id":5,"average_usage":{"cpus":0.25,"memory":0.5}}` + "\n" +
		`{"start_time":300000000,"end_time":600000000,"collection_id":8,"instance_index":1,"machine_id":5,"average_usage":null}` + "\n", "=9@0 0.25c 0.5f for 300; =9@300 0.0625c 0.125f for 300"},
	{"azure-readings", "r.csv", "300,abcdefghijklmnopqrst+/01==,1,90,25\n0,abcdefghijklmnopqrst+/02==,1,90,50.5\n", "=2@0 0.505c 0f for 300; =1@300 0.25c 0f for 300"},
	{"csv:start=submit,duration=len,cores-column=cpus,memory-column=3,memory-unit=MiB,time-unit=min", "x.csv", "submit,cpus,mem,len\n2,1.5,100,1\n1,1,50,\n", "+2@0 1c 50M 0g for ?; +1@60 1.5c 100M 0g for 60"},
	{"csv:start=1,end=2,cores-column=3,memory-column=4,fractions=yes,cores=10,sep=blank", "y.txt", "5 6 0.5 0.25\n", "+1@0 5c 0.25f 0g for 1"},
}

// joined is a sample that goes by the names of another table of its trace.
type joined struct {
	sample
	other, otherText string // file and text of that table
}

// joinedSamples are read with the table that they go by, which has what is used in percent of what is asked for, or the time at which a task came.
var joinedSamples = []joined{
	{sample{"alibaba2018-machine-usage", "a.csv", "m_2,100,40,90,,,1,2,3\nm_1,100,50,20,,,1,2,3\n", "+m1@0 96c 1f 0g; +m2@0 64c 0.5f 0g; =m2@100 0.4 0.9; =m1@100 0.5 0.2"}, "m.csv", "m_1,0,219,17,96,100,USING\nm_2,0,219,17,64,50,USING\n"},
	{sample{"alibaba2018-container-usage", "a.csv", "c_2,m_2,100,50,25,1.5,0.1,2,1,1,101\nc_9,m_2,100,50,25,1.5,0.1,2,1,1,101\n", "+2@0 8c 0.04f 0g for ? p1; +1@40 4c 0.015f 0g for ? p1; =2@90 4c 0.01f"}, "c.csv",
		"c_1,m_2,50,app_1,started,400,400,1.5\nc_2,m_3,10,app_1,started,800,800,4\nc_2,m_3,20,app_1,stopped,800,800,4\n"},
	{sample{"alibaba2018-instances", "a.csv", "ins_1,M1,j_1,1,Terminated,100,300,m_3,1,1,50,75,0.5,1\nins_2,M1,j_1,1,Terminated,150,200,m_3,1,1,,,,\nins_1,M1,j_2,1,Terminated,100,300,m_3,1,1,50,75,0.5,1\n",
		"+1@0 2c 0.05f 0g for 200; +3@0 0.75c 0.01f 0g for 200; =1@0 0.5c 0.005f for 200; =3@0 0.5c 0.005f for 200; +2@50 2c 0.05f 0g for 50"}, "t.csv",
		"M1,2,j_1,1,Terminated,90,310,200,5\nM9,2,j_1,1,Terminated,90,310,200,5\nM8,2,j_1,1,Waiting,0,0,,\n"},
	{sample{"alibaba2017-machine-usage", "a_server_usage.csv", "60,1,25,50,1,2,3,4\n", "+m1@0 64c 0.69f 0g; =m1@60 0.25 0.5"}, "m.csv", "0,1,add,,64,0.69,1\n"},
	{sample{"alibaba2017-container-usage", "a_container_usage.csv", "60,7,50,25,11.5,0.3,0.3,0.2,1.2,0.4,1.9,0.8\n60,8,50,25,11.5,0.3,0.3,0.2,1.2,0.4,1.9,0.8\n", "+7@0 4c 0.5f 0g for ? p1; =7@50 2c 0.125f; -7@80"}, "c.csv",
		"10,Create,7,200,4,0.5,0.01,1|2|3|4\n90,Remove,7,200,4,0.5,0.01,1|2|3|4\n"},
	{sample{"alibaba2017-instances", "a.csv", "100,300,3,4,112,Terminated,1,1,1.5,0.5,0.25,0.125\n120,300,,,112,Terminated,1,1,1.5,0.5,0.25,0.125\n",
		"+1@0 1c 0.5f 0g for 200; =1@0 0.5c 0.125f for 200; +2@20 1.5c 0.25f 0g for 180; =2@20 0.5c 0.125f for 180"}, "t.csv", "90,310,3,4,1,Terminated,100,0.5\n"},
	{sample{"google2011-usage", "a.csv", "600000000,900000000,3,0,5,0.0625,0.03125,0.6,0,0,0.6,0,0,0.3,0,2.4,0.007,0,1,0.2\n", "+3@0 0.125c 0.07446f 0g for ? p9; =3@0 0.0625c 0.03125f for 300"}, "t.csv", "600000000,,3,0,5,1,user,3,9,0.125,0.07446,0.1,0\n"},
	{sample{"azure-readings", "a.csv", "300,abcdefghijklmnopqrst+/01==,1,90,25\n600,abcdefghijklmnopqrst+/02==,1,90,25\n", "+1@0 2c 3584M 0g for 600; =1@0 0.5c 0M for 300"}, "v.csv", "abcdefghijklmnopqrst+/01==,s,d,300,900,99.3,3.4,10.1,Delay-insensitive,2,3.5\n"},
	{sample{"opendc-fragments", "a.csv", "id,duration,cpu_usage\n7,500,50\n8,500,50\n7,0,50\n7,1500,25.0\n", "+1@0 4c 1000M 0g for 2; =1@0 2c 0M for 0.5; =1@0.5 1c 0M for 1.5"}, "o.csv",
		"id,submission_time,duration,cpu_count,cpu_capacity,mem_capacity\n7,5000,2000,4,100,1048576\n"},
}

// show prints events shortly.
func show(list []tasks.Event, h Header) string {
	var out []string
	memory := func(s tasks.Size) string {
		if h.Units.MemoryIsFraction {
			return fmt.Sprintf("%gf", float64(s.Memory)/tasks.One)
		}
		return fmt.Sprintf("%gM", math.Round(float64(s.Memory)/(1<<20)*100)/100)
	}
	for _, e := range list {
		id := e.ID.Job & (1<<48 - 1)
		at := fmt.Sprintf("%d@%g", id, e.At.Seconds())
		size := fmt.Sprintf("%gc %s", float64(e.Size.Cores)/tasks.One, memory(e.Size))
		switch e.Kind {
		case tasks.MachineComes:
			out = append(out, fmt.Sprintf("+m%s %s %gg", at, size, float64(e.Size.GPUs)/tasks.One))
		case tasks.MachineChanges:
			out = append(out, fmt.Sprintf("~m%s %s %gg", at, size, float64(e.Size.GPUs)/tasks.One))
		case tasks.MachineLeaves:
			out = append(out, "-m"+at)
		case tasks.TaskEnds:
			out = append(out, "-"+at)
		case tasks.TaskUses:
			s := "=" + at + " " + size
			if e.Lasts > 0 {
				s += fmt.Sprintf(" for %g", e.Lasts.Seconds())
			}
			out = append(out, s)
		case tasks.MachineUses:
			out = append(out, fmt.Sprintf("=m%s %g %g", at, float64(e.Size.Cores)/tasks.One, float64(e.Size.Memory)/tasks.One))
		case tasks.TaskComes:
			lasts := "?"
			if e.Lasts != tasks.Unknown {
				lasts = fmt.Sprint(e.Lasts.Seconds())
			}
			s := fmt.Sprintf("+%s %s %gg for %s", at, size, float64(e.Size.GPUs)/tasks.One, lasts)
			if e.Priority != 0 {
				s += fmt.Sprintf(" p%d", e.Priority)
			}
			out = append(out, s)
		}
	}
	return strings.Join(out, "; ")
}

// files writes a text in the place of the sample's, and the table that it goes by.
func (s joined) files(t testing.TB, dir, text string) []string {
	t.Helper()
	writeIn(t, dir, s.file, text)
	if s.other == "" {
		return []string{filepath.Join(dir, s.file)}
	}
	writeIn(t, dir, s.other, s.otherText)
	return []string{filepath.Join(dir, s.file), filepath.Join(dir, s.other)}
}

// TestSamples: each is recognised by its columns, unless it has to be named, and read as its description says.
func TestSamples(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			name, settings, _ := strings.Cut(s.name, ":")
			seen[name] = true
			spec := ""
			if settings != "" {
				spec = s.name
			}
			list, h, err := all(spec, write(t, s.file, s.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := show(list, h); got != s.want {
				t.Errorf("got  %s\nwant %s", got, s.want)
			}
			if h.Formats[0] != name {
				t.Errorf("taken for %s", h.Formats[0])
			}
			if list, h, err = all(s.name, write(t, s.file, s.text)); err != nil || show(list, h) != s.want {
				t.Errorf("named: %s, %v", show(list, h), err)
			}
		})
	}
	for _, s := range joinedSamples {
		t.Run("joined "+s.name, func(t *testing.T) {
			seen[s.name] = true
			list, h, err := all("", s.files(t, t.TempDir(), s.text)...)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(list, h); got != s.want {
				t.Errorf("got  %s\nwant %s", got, s.want)
			}
			if !slices.Contains(h.Formats, s.name) {
				t.Errorf("taken for %s", h.Formats)
			}
			come := map[tasks.Event]bool{} // what is used is of those that came
			for _, e := range list {
				switch e.Kind {
				case tasks.TaskComes, tasks.MachineComes:
					come[tasks.Event{Kind: e.Kind, ID: e.ID}] = true
				case tasks.TaskUses:
					if !come[tasks.Event{Kind: tasks.TaskComes, ID: e.ID}] {
						t.Errorf("%+v is of no task", e)
					}
				case tasks.MachineUses:
					if !come[tasks.Event{Kind: tasks.MachineComes, ID: e.ID}] {
						t.Errorf("%+v is of no machine", e)
					}
				}
			}
		})
	}
	for _, f := range formats() {
		if !seen[f.name] && f.name != "opendc-parquet" && f.name != "azure-packing" {
			t.Errorf("%s has no sample", f.name)
		}
	}
}

// TestUnits: what 1.0 is can be said.
func TestUnits(t *testing.T) {
	p := write(t, "m.csv", "0,5,0,HofLGz,0.5,0.25\n")
	list, h, err := all("auto:cores=64,memory=256GiB", p)
	if err != nil || h.Units != (tasks.Units{}) || show(list, h) != "+m5@0 32c 65536M 0g" {
		t.Errorf("%s, %+v, %v", show(list, h), h, err)
	}
}

// TestFoldersAndParts: files of one format follow by name, formats merge by time, and what ends makes room before what comes.
func TestFoldersAndParts(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"part-00001-of-00002.csv": "620000000,,4,0,5,1,user,3,9,0.5,0.5,0,0\n",
		"part-00000-of-00002.csv": "600000000,,3,0,5,1,user,3,9,0.125,0.07446,0.1,0\n610000000,,3,0,5,4,user,3,9,0.125,0.07446,0.1,0\n",
		"machines.csv":            "0,5,0,HofLGz,0.5,0.25\n610000000,6,0,HofLGz,1,1\n",
	} {
		writeIn(t, dir, name, text)
	}
	list, h, err := all("", dir)
	if want := "+m5@0 0.5c 0.25f 0g; +3@0 0.125c 0.07446f 0g for ? p9; -3@10; +m6@10 1c 1f 0g; +4@20 0.5c 0.5f 0g for ? p9"; err != nil || show(list, h) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, show(list, h), want)
	}
}

// TestGenerator: it is a trace like any other.
func TestGenerator(t *testing.T) {
	i := counts(t, "", "generator:cluster?tasks=500&seed=3")
	if i.Tasks != 500 || i.Ended != 500 || i.Span <= 0 {
		t.Errorf("%+v", i)
	}
	if _, err := Open([]string{"generator:cluster?tasks=x"}, ""); err == nil || !strings.Contains(err.Error(), "tasks") {
		t.Error(err)
	}
}

// TestSorterSpills: with room for three events in memory it sorts as one that has room for all.
func TestSorterSpills(t *testing.T) {
	s := sorter{limit: 3}
	defer s.close()
	for i := range 100 {
		e := tasks.Event{At: time.Duration(i * 37 % 20), Kind: tasks.Kind(1 + i%6), ID: tasks.ID{Job: uint64(i), Index: 7}, Size: tasks.Size{Cores: 1, Memory: 2, GPUs: 3}, Priority: -4, Lasts: -1}
		if err := s.add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.done(); err != nil {
		t.Fatal(err)
	}
	var last tasks.Event
	for i := range 100 {
		e, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && (tasks.Compare(last, e) > 0 || tasks.Compare(last, e) == 0 && last.ID.Job > e.ID.Job) {
			t.Fatalf("%+v after %+v", e, last)
		}
		if e.ID.Index != 7 || e.Size != (tasks.Size{Cores: 1, Memory: 2, GPUs: 3}) || e.Priority != -4 || e.Lasts != -1 || e.At != time.Duration(e.ID.Job*37%20) {
			t.Fatalf("%+v is not what was put in", e)
		}
		last = e
	}
	if _, err := s.next(); err == nil {
		t.Error("more than was put in")
	}
}
