package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestCopiesOfAVolume: a database on volumes of three copies is right, and done, when one sComponent is killed, blocks rot at another and
// the disk of the third is full for a while: what rots is repaired from another copy and counted, what the full disk refused is caught
// up with. Written back and written through; the counters of the process are those of an undisturbed run.
func TestCopiesOfAVolume(t *testing.T) {
	t.Parallel()
	sqlite, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", "sqlite.skt"))
	if err != nil {
		t.Fatal(err)
	}
	// The buffer cache holds few blocks, so that they are read from the sComponents again and again; scrubs find what is not read.
	c := start(t, strings.Replace(onePonem, "  - {id: s1, role: scomponent}\n", "  - {id: s1, role: scomponent}\n  - {id: s2, role: scomponent}\n  - {id: s3, role: scomponent}\n", 1), "mcomponent.buffer_cache_bytes=32KiB",
		"mcomponent.scrub_every_ms=200", "mcomponent.scrub_pause_ms=1")
	var calm string
	for _, write := range []string{"back", "through"} {
		text := fmt.Sprintf("name: copies\nseed: 1\nvnodes:\n  - {name: db, trace: %s, max_refs: 400000, repeat: 4, excache: {share_percent: 25}, volumes: [{replicas: 3, write: %s}]}\n", sqlite, write)
		if calm == "" {
			s := c.run(workload(t, text), nil)
			ok(t, s)
			calm = fmt.Sprintf("%+v", logical(s.Total))
		}
		sentences := []string{"at 5% disk-full s3 for 200ms", "at 20% kill s2 for 1s"}
		for at := 30; at <= 90; at += 2 {
			sentences = append(sentences, fmt.Sprintf("at %d%% corrupt-block s1", at))
		}
		before := c.copiesCounters(t)
		s := c.run(failing(t, text, sentences...), c.strikes)
		ok(t, s)
		happened(t, s, len(sentences))
		if len(s.Lost) > 0 {
			t.Errorf("%s: what others have is said to be lost: %q", write, s.Lost)
		}
		if got := fmt.Sprintf("%+v", logical(s.Total)); got != calm {
			t.Errorf("%s: counters differ from an undisturbed run:\n%s\n%s", write, got, calm)
		}
		after := c.copiesCounters(t)
		for _, name := range []string{"copies_corrupt", "copies_repaired", "copies_missed_writes"} {
			if after[name] <= before[name] {
				t.Errorf("%s: %s is %v, it was %v before", write, name, after[name], before[name])
			}
		}
		t.Logf("%s: %v, before %v", write, after, before)
	}
}

// copiesCounters gives what m1 counts of copies of volumes.
func (c *cluster) copiesCounters(t *testing.T) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, name := range []string{"copies_corrupt", "copies_repaired", "copies_missed_writes", "copies_write_backs", "copies_caught_up", "copies_quorum_waits", "copies_unrepaired"} {
		v, err := c.counter(background(t), "m1", name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = v
	}
	return out
}
