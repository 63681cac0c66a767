package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"splitkernel/sim/record"
)

// maxTapes bounds the tapes of one node in a folder: it makes another each time that it is started.
const maxTapes = 1000

// nodeTape is the tape of this node. w is nil if nothing is recorded.
type nodeTape struct {
	w    *record.Writer
	path string
	tail bool
	log  *slog.Logger
}

// tailStarts is how many tapes of one node are kept in a folder of tails.
const tailStarts = 4

// newTape begins the tape of the node, if its run is recorded. A node that was restarted begins another.
func newTape(cfg *Config, log *slog.Logger) (nodeTape, error) {
	if cfg.Record == nil {
		return nodeTape{}, nil
	}
	t, err := createTape(cfg)
	if t.log = log; err != nil && cfg.Record.Tail {
		log.Warn("the node has no tape", "error", err)
		return nodeTape{}, nil
	}
	return t, err
}

func createTape(cfg *Config) (t nodeTape, err error) {
	r, id := cfg.Record, string(cfg.Node.ID)
	t.tail = r.Tail
	n, err := lastStart(r.Dir, id)
	if err != nil {
		return t, err
	}
	n++
	switch old := n - tailStarts; {
	case !r.Tail && n > maxTapes:
		return t, fmt.Errorf("%s has %d tapes of node %s, the most that there may be", r.Dir, maxTapes, id)
	case r.Tail && old > 0:
		if err := record.Remove(tapePath(r.Dir, id, old)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return t, err
		}
	}
	head := record.Head{Node: id, Role: cfg.Node.Role.String(), Cluster: cfg.ClusterID, Commit: r.Commit, ConfigDigest: r.ConfigDigest}
	t.path = tapePath(r.Dir, id, n)
	t.w, err = record.Create(t.path, head, cmp.Or(r.MaxBytes, record.DefaultMaxBytes))
	return t, err
}

// tapePath is the tape of a node's n-th start.
func tapePath(dir, node string, n int) string {
	if n > 1 {
		node += startInfix + strconv.Itoa(n)
	}
	return filepath.Join(dir, node+record.Suffix)
}

// startInfix is before the number of a start, of all but the first.
const startInfix = "-start"

// lastStart is the last start of a node that has a tape; 0 is none.
func lastStart(dir, node string) (last int, err error) {
	tapes, err := record.Tapes(dir)
	for _, t := range tapes {
		name := strings.TrimSuffix(filepath.Base(t), record.Suffix)
		if name == node {
			last = max(last, 1)
		} else if number, ok := strings.CutPrefix(name, node+startInfix); ok {
			if n, err := strconv.Atoi(number); err == nil {
				last = max(last, n)
			}
		}
	}
	return last, err
}

func (t nodeTape) close() error {
	if t.w == nil {
		return nil
	}
	end, err := t.w.Close()
	if end.Full != "" {
		t.log.Warn("the record is not whole", "tape", t.path, "why", end.Full, "records", end.Records, "dropped", end.Dropped)
	}
	t.log.Info("recorded", "tape", t.path, "records", end.Records, "waits", end.Waits, "segments_deleted", end.Deleted, "states_too_large", end.NoState)
	if err != nil && t.tail {
		t.log.Warn("the tape was not ended", "tape", t.path, "error", err)
		return nil
	}
	return err
}
