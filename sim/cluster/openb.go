package cluster

import (
	"strings"
	"time"

	"splitkernel/sim/tasks"
)

const (
	milli = tasks.One / 1000
	mib   = 1 << 20
	gib   = 1 << 30
)

// openbFormats are Alibaba's traces of GPU clusters: openb of 2023 (Weng et al., "Beware of fragmentation", ATC 2023), and the disaggregated DLRM of 2025.
var openbFormats = []format{
	{
		name: "openb-nodes", about: "Alibaba openb 2023: machines", example: "openb-node-0000,32000,262144,0,", sample: "openb_node_list_all_node.csv",
		sniff: func(h *head) bool { return h.names("sn", "cpu_milli", "memory_mib", "gpu") },
		open: text(table{sep: ',', named: true, least: 4, most: 5}, func(g *group) (rows, error) {
			return &openbNodes{}, nil
		}),
	},
	{
		name: "openb-pods", about: "Alibaba openb 2023: pods", example: "openb-pod-0001,6000,12288,1,460,,LS,Running,427061,12902960,427061", sample: "openb_pod_list_default.csv",
		sniff: func(h *head) bool { return h.names("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli") },
		open: text(table{sep: ',', named: true, least: 9, most: 12}, func(g *group) (rows, error) {
			return &openbPods{g: g}, nil
		}),
	},
	{
		name: "alibaba-dlrm2025", about: "Alibaba 2025: instances of disaggregated recommendation models", example: "instance_0,HN,app_0,12,12,1,1,25,25,120.0,120.0,640.0,800.0,8,,,",
		sample: "disaggregated_DLRM_trace.csv of alibaba/clusterdata",
		sniff:  func(h *head) bool { return h.names("instance_sn", "role", "app_name", "cpu_request") },
		open: text(table{sep: ',', named: true, least: 17, most: 17}, func(g *group) (rows, error) {
			return &dlrm{g: g}, nil
		}),
	},
}

type openbNodes struct {
	noEnd
	at []int
	n  uint64
}

func (o *openbNodes) columns(names []string) (err error) {
	o.at, err = find(names, "sn", "cpu_milli", "memory_mib", "gpu")
	return err
}

func (o *openbNodes) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{Kind: tasks.MachineComes, At: beginning, Size: tasks.Size{
		Cores: p.amount("cpu_milli", f[o.at[1]], milli), Memory: p.amount("memory_mib", f[o.at[2]], mib), GPUs: p.amount("gpu", f[o.at[3]], tasks.One),
	}}
	o.n++
	e.ID.Job = o.n
	return append(out, e), p.err
}

func (o *openbNodes) header(h *Header) {
	h.assume("machines: all are there from the beginning (no times)")
}

type openbPods struct {
	noEnd
	g         *group
	at        []int
	n, unseen uint64
}

func (o *openbPods) columns(names []string) (err error) {
	o.at, err = find(names, "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "qos", "creation_time", "deletion_time", "scheduled_time")
	return err
}

// openbPriority are the classes of service, the more important the higher.
var openbPriority = map[string]int32{"BE": 0, "Burstable": 1, "LS": 2, "Guaranteed": 3}

func (o *openbPods) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{Kind: tasks.TaskComes, Size: tasks.Size{
		Cores: p.amount("cpu_milli", f[o.at[0]], milli), Memory: p.amount("memory_mib", f[o.at[1]], mib),
		GPUs: int64(p.count("num_gpu", f[o.at[2]], 1<<10)) * p.amount("gpu_milli", f[o.at[3]], milli),
	}, Priority: openbPriority[f[o.at[4]]]}
	e.At = p.moment("creation_time", f[o.at[5]], time.Second)
	ends, begins := p.moment("deletion_time", f[o.at[6]], time.Second), e.At
	if s := f[o.at[7]]; s != "" {
		begins = p.moment("scheduled_time", s, time.Second)
	} else {
		o.unseen++
	}
	e.Lasts = p.between(begins, ends)
	o.n++
	e.ID = o.g.id(o.n)
	return append(out, e), p.err
}

func (o *openbPods) header(h *Header) {
	h.assume("tasks: come when they were created and last from being scheduled until being deleted")
	h.counted(o.unseen, "tasks: %d were never scheduled and last from creation to deletion")
}

type dlrm struct {
	noEnd
	g             *group
	at            []int
	n, early, end uint64
}

func (d *dlrm) columns(names []string) (err error) {
	d.at, err = find(names, "cpu_request", "gpu_request", "memory_request", "creation_time", "scheduled_time", "deletion_time")
	return err
}

func (d *dlrm) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{Kind: tasks.TaskComes, At: beginning, Lasts: tasks.Unknown, Size: tasks.Size{
		Cores: p.amount("cpu_request", f[d.at[0]], tasks.One), GPUs: p.amount("gpu_request", f[d.at[1]], tasks.One), Memory: p.amount("memory_request", f[d.at[2]], gib),
	}}
	d.n++
	e.ID = d.g.id(d.n)
	begins, known := time.Duration(0), false
	for _, c := range []int{d.at[3], d.at[4]} { // it lasts from being scheduled, but comes when it was created
		if t := strings.TrimSpace(f[c]); t != "" {
			begins, known = p.moment("creation_time or scheduled_time", t, time.Second), true
			if e.At == beginning {
				e.At = begins
			}
		}
	}
	deleted := strings.TrimSpace(f[d.at[5]])
	switch {
	case deleted == "":
		d.end++
	case known:
		e.Lasts = p.between(begins, p.moment("deletion_time", deleted, time.Second))
	default:
		end := tasks.Event{Kind: tasks.TaskEnds, At: p.moment("deletion_time", deleted, time.Second), ID: e.ID}
		out = append(out, end)
	}
	if !known {
		d.early++
	}
	return append(out, e), p.err
}

func (d *dlrm) header(h *Header) {
	h.assume("network: requests for it are not read")
	h.counted(d.early, "tasks: %d have no time of creation and are there from the beginning")
	h.counted(d.end, "tasks: %d have no time of deletion and stay")
}
