package calibrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"splitkernel/mcomponent"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// Names of the two processes and sizes of what they have.
const (
	clusterName = "calibrate"
	memoryNode  = wire.NodeID("m1")
	computeNode = wire.NodeID("p1")
	regionBytes = 1 << 30
	memoryBytes = 1 << 30 // taken when pages are used
)

// itself gives every vRegion to the one mComponent.
type itself struct{ addr string }

func (m itself) ActivateRegion(_ context.Context, _ wire.PID, r wire.RegionNo) (wire.Activated, error) {
	return wire.Activated{Owner: wire.Owner{Region: r, Node: memoryNode, Addr: m.addr, Epoch: 1}}, nil
}

// BackupFile gives none.
func (itself) BackupFile(context.Context, wire.FileReq) (f wire.ReplicaFile, err error) {
	return f, wire.Errorf(wire.KindNoRoom, "there are no sComponents")
}

// Serve is the second process: an mComponent at addr, until alive ends. It writes the address that it got to out, on one line.
func Serve(ctx context.Context, addr string, alive io.Reader, out io.Writer) error {
	l, err := netlayer.Listen(netlayer.Addr(addr))
	if err != nil {
		return err
	}
	o := mcomponent.DefaultOptions()
	o.Node, o.MemoryBytes, o.RegionBytes, o.Log = memoryNode, memoryBytes, regionBytes, slog.New(slog.DiscardHandler)
	o.Net.Cluster, o.Net.Role, o.Net.Node = clusterName, wire.RoleMemory, memoryNode
	o.Managers = itself{string(netlayer.AddrOf(l))}
	m, err := mcomponent.New(o)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with its reader: the process ends then
		_, _ = io.Copy(io.Discard, alive)
		cancel()
	}()
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node = clusterName, wire.RoleMemory, memoryNode
	so.Workers = max(so.Workers, mcomponent.MinServerWorkers)
	if _, err := fmt.Fprintln(out, netlayer.AddrOf(l)); err != nil {
		return errors.Join(err, l.Close(), m.Close(context.WithoutCancel(ctx)))
	}
	err = netlayer.NewServer(m.Handler(), so).Serve(ctx, l)
	return errors.Join(err, m.Close(context.WithoutCancel(ctx)))
}
