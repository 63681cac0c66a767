package cluster

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"splitkernel/sim/tasks"
)

// azureFormats are vmtable.csv of AzurePublicDataset V1 and V2 (Cortez et al., "Resource Central", SOSP 2017). V2 gives cores and memory in buckets.
var azureFormats = []format{
	{
		name: "azure-vm", about: "Azure public data set V1 and V2: vmtable", sample: "azure_vmtable_sample.csv.gz (V1)",
		example: "x/XsOf…,VDU4C8…,Pc2VLB…,0,2591700,99.36,3.42,10.19,Delay-insensitive,1,1.75",
		sniff: func(h *head) bool {
			f, ok := h.row(11)
			return ok && numbers(f, 3, 4, 5, 6, 7) && (f[8] == "Delay-insensitive" || f[8] == "Interactive" || f[8] == "Unknown")
		},
		keys: []Key{{"above-cores", "cores of a machine in the bucket >24 of V2 (30)"}, {"above-memory", "memory of one in the bucket >64 (70GiB)"}, {"end", "seconds after which the trace ends: who is deleted then stays (2591700)"}},
		open: text(table{sep: ',', numeric: 3, least: 11, most: 11}, func(g *group) (rows, error) {
			a := &azure{g: g}
			var p parse
			a.aboveCores, a.end = p.amount("above-cores", g.spec.key("above-cores", "30"), tasks.One), p.moment("end", g.spec.key("end", "2591700"), time.Second)
			if p.err != nil {
				return nil, fmt.Errorf("--format: %w", p.err)
			}
			var err error
			if a.aboveMemory, err = Bytes(g.spec.key("above-memory", "70GiB")); err != nil {
				return nil, fmt.Errorf("--format: above-memory: %w", err)
			}
			return a, nil
		}),
	},
	{
		name: "azure-readings", about: "Azure public data set V1 and V2: readings of the processors of virtual machines", sample: "azure_vm_cpu_readings_sample.csv.gz (V1)",
		example: "0,+ZcrOp5…,2.05,3.91,2.87", joins: "azure-vm",
		sniff: func(h *head) bool {
			f, ok := h.row(5)
			return ok && number(f[0]) && len(f[1]) >= azureName && !number(f[1]) && numbers(f, 2, 3, 4)
		},
		open: text(table{sep: ',', numeric: 0, least: 5, most: 5}, func(g *group) (rows, error) { return &azureReadings{g: g}, g.alone() }),
	},
	{
		name: "huawei-vm", about: "Huawei VM placement data set", example: "0,2,4,0,0",
		sniff: func(h *head) bool { return h.names("vmid", "cpu", "memory", "time", "type") },
		open:  text(table{sep: ',', named: true, least: 5, most: 5}, func(g *group) (rows, error) { return &huawei{g: g}, nil }),
	},
}

type azure struct {
	noColumns
	noEnd
	g                           *group
	aboveCores, aboveMemory     int64
	end                         time.Duration
	n, before, after, inBuckets uint64
}

func (a *azure) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{Kind: tasks.TaskComes, At: p.moment("created", f[3], time.Second), Lasts: tasks.Unknown}
	deleted := p.moment("deleted", f[4], time.Second)
	e.Lasts = p.between(e.At, deleted)
	if f[8] == "Interactive" {
		e.Priority = 1
	}
	bucket := func(what, text string, unit float64, above int64) int64 {
		if rest := strings.TrimPrefix(text, ">"); rest != text {
			a.inBuckets++
			return above
		}
		return p.amount(what, text, unit)
	}
	e.Size.Cores = bucket("cores", f[9], tasks.One, a.aboveCores)
	e.Size.Memory = bucket("memory", f[10], gib, a.aboveMemory)
	if e.At == 0 {
		a.before++
	}
	if deleted >= a.end {
		a.after++
		e.Lasts = tasks.Unknown
	}
	a.n++
	e.ID = a.g.id(a.n)
	if err := errors.Join(p.err, e.Size.Check()); err != nil || !a.g.wanted {
		return append(out, e), err
	}
	_, err := a.g.known.add(asked{id: e.ID, size: e.Size}, f[0])
	return append(out, e), err
}

func (a *azure) header(h *Header) {
	h.counted(a.before, "tasks: %d are there at time 0 and began before")
	h.counted(a.after, "tasks: %d are deleted at the end of the trace and stay")
	h.counted(a.inBuckets, "sizes: %d are of an open bucket (above-cores, above-memory)")
}

const (
	// azureName is the least length of an encrypted name.
	azureName = 20
	// azureEvery is the time of a reading.
	azureEvery = 5 * time.Minute
)

// azureReadings is what a virtual machine used of its processors on average in five minutes; of memory the data set says nothing.
type azureReadings struct {
	noColumns
	noEnd
	g     *group
	stray uint64
}

func (a *azureReadings) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	at, share := p.moment("timestamp", f[0], time.Second), p.amount("average CPU", f[4], centi)
	if p.err != nil {
		return out, p.err
	}
	id, size, ok, err := a.g.partOf(f[1], tasks.Size{Cores: share})
	if err != nil || !ok {
		a.stray++
		return out, err
	}
	return append(out, tasks.Event{Kind: tasks.TaskUses, At: at, Lasts: azureEvery, ID: id, Size: size}), nil
}

func (a *azureReadings) header(h *Header) {
	a.g.shareHeader(h)
	h.assume("use over time: that of processors is the average of %s; that of memory is not told", azureEvery)
	h.counted(a.stray, "use over time: %d readings are of no machine in vmtable")
}

type huawei struct {
	noEnd
	g  *group
	at []int
}

func (w *huawei) columns(names []string) (err error) {
	w.at, err = find(names, "vmid", "cpu", "memory", "time", "type")
	return err
}

func (w *huawei) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{Kind: tasks.TaskEnds, ID: w.g.id(p.count("vmid", f[w.at[0]], 1<<40)), At: p.moment("time", f[w.at[3]], time.Second)}
	if p.count("type", f[w.at[4]], 1) == 0 {
		e.Kind, e.Lasts = tasks.TaskComes, tasks.Unknown
		e.Size = tasks.Size{Cores: p.amount("cpu", f[w.at[1]], tasks.One), Memory: p.amount("memory", f[w.at[2]], gib)}
	}
	return append(out, e), p.err
}

func (w *huawei) header(h *Header) { h.assume("units: times are seconds, memory is GiB") }
