package cluster

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"testing"

	"splitkernel/sim/study/packing"
	"splitkernel/sim/tasks"
)

// TestPackingOracle: all pods of openb at once on servers of 96 cores and 384 GiB, to the server.
func TestPackingOracle(t *testing.T) {
	f, err := os.Open(sharedData(t, "oracles/cluster_packing_openb.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	want := map[string]float64{}
	for i, name := range rows[0] {
		want[name], _ = strconv.ParseFloat(rows[1][i], 64)
	}
	pods := sharedData(t, "cluster/openb_pod_list_default.csv")
	open := func() (tasks.Source, error) { return Open([]string{pods}, "") }
	server := tasks.Size{Cores: int64(want["server_cpu"]) * milli, Memory: int64(want["server_mem"]) * mib}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 5e-5*max(1, want/10) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	o := packing.DefaultOptions()
	o.Static, o.Layout.Server.Size = true, server
	for policy, prefix := range map[string]string{"first-fit": "ff", "best-fit": "bf"} {
		o.Policy = policy
		src, err := open()
		if err != nil {
			t.Fatal(err)
		}
		r, err := packing.Run(src, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		column := map[string]string{"ff": "firstfit_servers", "bf": "bestfit_servers"}[prefix]
		if r.Hosts.There != int(want[column]) || r.Placed != uint64(want["items"]) || r.Rejected.TooLarge != r.Rejected.Tasks {
			t.Errorf("%s: %d servers for %d tasks, want %v for %v", policy, r.Hosts.There, r.Placed, want[column], want["items"])
		}
		near(policy+" processors", r.Utilisation.Cores, want[prefix+"_cpu_util"])
		near(policy+" memory", r.Utilisation.Memory, want[prefix+"_mem_util"])
	}
	// Separate nodes: the bound of the peak. The pods that the servers were too small for stay out there, too.
	o.Policy = "first-fit"
	o.Layout = packing.Layout{Pools: true, P: packing.Part{Size: tasks.Size{Cores: server.Cores}}, M: packing.Part{Size: tasks.Size{Memory: server.Memory}}}
	need, _, err := packing.Need(func() (tasks.Source, error) {
		src, err := open()
		return fitting{src, server}, err
	}, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if need[0].Bound != int(want["disagg_min_cpu_nodes"]) || need[1].Bound != int(want["disagg_min_mem_nodes"]) || need[1].Least != need[1].Bound {
		t.Errorf("%+v, want at least %v and %v", need, want["disagg_min_cpu_nodes"], want["disagg_min_mem_nodes"])
	}
}

// fitting leaves out what a server is too small for.
type fitting struct {
	tasks.Source
	server tasks.Size
}

func (f fitting) Next() (tasks.Event, error) {
	for {
		e, err := f.Source.Next()
		e.Size.GPUs = 0
		if err != nil || e.Size.Fits(f.server) {
			return e, err
		}
	}
}
