package launcher

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"splitkernel/configs"
)

// TestNodesJoinAndLeave: a component that joins is as any other, one that leaves leaves nothing, and what is refused changes
// nothing.
func TestNodesJoinAndLeave(t *testing.T) {
	dir := ownTemp(t)
	cl := start(t, load(t, clusterFile(t, "tcp")))
	sup, err := Attend("blue", cl)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan error, 1)
	go func() { answered <- sup.Answer(ctx) }()
	st, err := Find("blue")
	if err != nil {
		t.Fatal(err)
	}
	before := len(st.Nodes)
	if st.Owner != OwnerRun || Down(st) == nil {
		t.Errorf("owner %s: a cluster of a run was stopped by down", st.Owner)
	}
	n, err := AddNode(st, configs.NewNode{Role: "mcomponent", Rack: "r9", Set: []string{"memory_bytes=8MiB"}})
	if err != nil {
		t.Fatal(err)
	}
	if n.Role != "mcomponent" || !n.Alive || n.Metrics == "" {
		t.Errorf("joined %+v", n)
	}
	if code, _ := get(t, "http://"+n.Metrics+"/readyz"); code != 200 {
		t.Errorf("/readyz of the new node gives %d", code)
	}
	if st, err = Find("blue"); err != nil {
		t.Fatal(err)
	}
	if c, ok := st.Cluster.Node(n.ID); len(st.Nodes) != before+1 || !ok || c.Rack != "r9" || st.Cluster.Resolve(n.ID).Memory.MemoryBytes != 8<<20 {
		t.Errorf("state after it joined: %+v, %+v", st.Nodes, c)
	}
	checkTargets(t, st)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		node configs.NewNode
		want []string
	}{
		{configs.NewNode{Role: "manager"}, []string{`node add: --role: "manager", want one of mcomponent, pcomponent, scomponent`}},
		{configs.NewNode{Role: "mcomponent", ID: n.ID}, []string{"is there twice"}},
		{configs.NewNode{Role: "mcomponent", ID: "../x"}, []string{"../x"}},
		{configs.NewNode{Role: "mcomponent", Set: []string{"colour=red", "memory_bytes", "id=x"}}, []string{"--set: colour: ", "unknown key", `--set: "memory_bytes", want key=value`, "want --id instead"}},
		{configs.NewNode{Role: "mcomponent", Set: []string{"memory_bytes=1"}}, []string{"--set: memory_bytes: "}},
		{configs.NewNode{Role: "scomponent", Set: []string{"listen=" + taken.Addr().String()}}, []string{"the address is in use"}},
		{configs.NewNode{Role: "scomponent", Set: []string{"http_listen=" + taken.Addr().String()}}, []string{"ended while starting", "http_listen"}},
	} {
		_, err := AddNode(st, c.node)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %q", c.node, err, want)
			}
		}
	}
	for id, want := range map[string]string{"x": "no such node, want one of: ", "g1": "a manager, want a component"} {
		if err := RemoveNode(st, id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("remove %s: %v, want %q", id, err, want)
		}
	}
	again, err := Find("blue")
	if err != nil || len(again.Nodes) != before+1 {
		t.Errorf("what was refused changed the nodes: %+v, %v", again, err)
	}

	if err := RemoveNode(st, n.ID); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(n.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is there after it left: %v", n.PID, err)
	}
	for _, path := range []string{cl.dataPath(n.ID), cl.configPath(n.ID)} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is there after the node left: %v", path, err)
		}
	}
	other, err := AddNode(st, configs.NewNode{Role: "mcomponent"})
	if err != nil || other.ID == n.ID {
		t.Errorf("joined %+v, %v; want an id that no node ever had", other, err)
	}
	select {
	case d := <-cl.Died():
		t.Errorf("%+v was taken for a death", d)
	default:
	}
	if st, err = Find("blue"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	stop(t, cl)
	gone(t, st.Nodes)
	empty(t, dir)
	if _, err := cl.Add(context.Background(), configs.NewNode{Role: "mcomponent"}); err == nil {
		t.Error("a node joined a cluster that was stopped")
	}
}
