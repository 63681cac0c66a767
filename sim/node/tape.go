package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"splitkernel/sim/record"
)

// maxTapes bounds the tapes of one node in a folder: it makes another each time that it is started.
const maxTapes = 1000

// nodeTape is the tape of this node. w is nil if nothing is recorded.
type nodeTape struct {
	w    *record.Writer
	path string
	log  *slog.Logger
}

// newTape begins the tape of the node, if its run is recorded. A node that was restarted begins another.
func newTape(cfg *Config, log *slog.Logger) (nodeTape, error) {
	r := cfg.Record
	if r == nil {
		return nodeTape{}, nil
	}
	head := record.Head{Node: string(cfg.Node.ID), Role: cfg.Node.Role.String(), Cluster: cfg.ClusterID, Commit: r.Commit, ConfigDigest: r.ConfigDigest}
	for n := 1; n <= maxTapes; n++ {
		name := string(cfg.Node.ID)
		if n > 1 {
			name += fmt.Sprintf("-start%d", n)
		}
		path := filepath.Join(r.Dir, name+record.Suffix)
		w, err := record.Create(path, head, record.DefaultMaxBytes)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		return nodeTape{w, path, log}, err
	}
	return nodeTape{}, fmt.Errorf("%s has %d tapes of node %s, the most that there may be", r.Dir, maxTapes, cfg.Node.ID)
}

func (t nodeTape) close() error {
	if t.w == nil {
		return nil
	}
	end, err := t.w.Close()
	if end.Full != "" {
		t.log.Warn("the record is not whole", "tape", t.path, "why", end.Full, "records", end.Records, "dropped", end.Dropped)
	}
	t.log.Info("recorded", "tape", t.path, "records", end.Records, "waits", end.Waits)
	return err
}
