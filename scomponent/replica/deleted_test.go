package replica

import (
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

// TestAttachOfADeletedVolume: a volume is deleted while the move of its buffer cache is undone, but for one copy, which refuses since it was attached under
// a newer epoch than whoever deletes knows. The attach to take the volume back ends when enough copies have said so, and not after its
// patience: until the move has ended nobody knows the epoch under which the last copy can be deleted.
func TestAttachOfADeletedVolume(t *testing.T) {
	req := wire.VolumeAttachReq{Volume: 1, Epoch: 3, SizeBytes: 4 * wire.PageSize, Config: 1, WriteQuorum: 2, ReadQuorum: 2}
	for _, node := range []wire.NodeID{"s1", "s2", "s3"} {
		req.Replicas = append(req.Replicas, wire.VolumeReplica{Node: node, Member: 1, State: wire.ReplicaInSync})
	}
	for name, c := range map[string]struct {
		gone wire.NodeID
		kind wire.Kind
		over bool
	}{
		"another is gone":              {"s2", wire.KindNotFound, true},
		"another cannot be reached":    {"s2", wire.KindUnavailable, false},
		"the same is asked once more":  {"s1", wire.KindNotFound, false},
		"another is there, and broken": {"s2", wire.KindCorrupt, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := New(DefaultOptions(), req, 1, 0, 0)
			sent := map[wire.NodeID]uint64{}
			ended := error(nil)
			note := func(out []Effect) {
				for _, e := range out {
					switch e.Kind {
					case SendAttach:
						sent[e.To] = e.ID
					case Finish:
						ended = e.Err
					}
				}
			}
			note(g.Attach(0, 1, nil))
			note(g.Answered(time.Millisecond, sent["s3"], Answer{}, nil)) // it has the volume still
			note(g.Answered(time.Millisecond, sent["s1"], Answer{Err: wire.Errorf(wire.KindNotFound, "volume 1 is not at s1")}, nil))
			if ended != nil {
				t.Fatalf("it ended when one of three copies was not there: %v", ended)
			}
			note(g.Tick(time.Second, nil))
			note(g.Answered(time.Second, sent[c.gone], Answer{Err: wire.Errorf(c.kind, "%s", c.gone)}, nil))
			switch over := ended != nil; {
			case over != c.over:
				t.Fatalf("ended: %v", ended)
			case over && wire.KindOf(ended) != wire.KindNotFound:
				t.Fatalf("it ended as %v", ended)
			}
			if !c.over {
				note(g.Tick(DefaultOptions().Patience, nil))
				if wire.KindOf(ended) != wire.KindUnavailable {
					t.Fatalf("after its patience it ended as %v", ended)
				}
			}
		})
	}
}
