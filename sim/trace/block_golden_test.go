package trace

import (
	"bufio"
	"compress/gzip"
	"io"
	"os"
	"strings"
	"testing"
)

// Real traces read as what is known of them from elsewhere: their publishers, the oracle, other readers of the same requests.

// blockFile reads the block events of a file.
func blockFile(t *testing.T, name, format string) ([]Event, Header) {
	t.Helper()
	src, err := OpenFormat(sharedData(t, name), format)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var events []Event
	for {
		b, err := src.Next()
		if err == io.EOF {
			return events, src.Header()
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Refs) > 0 {
			t.Fatalf("%s: %d references in a block trace", name, len(b.Refs))
		}
		events = append(events, b.Events...)
	}
}

// countKinds counts reads and writes.
func countKinds(events []Event) (reads, writes int) {
	for _, e := range events {
		switch e.Kind {
		case BlockRead:
			reads++
		case BlockWrite:
			writes++
		}
	}
	return reads, writes
}

// touched are the 4 KiB blocks that requests touch: how many in sum, and how many different ones.
func touched(events []Event) (sum, different int) {
	var seen pageSet
	for _, e := range events {
		for b := e.Offset / PageBytes; b <= (e.Offset+e.Length-1)/PageBytes; b++ {
			sum++
			seen.add(b | uint64(e.Volume)<<44)
		}
	}
	return sum, int(seen.len())
}

// The same requests in csv, vscsi and oracleGeneral, one by one. The csv has whole seconds; so has oracleGeneral, which has no
// operations, and gives every request the size of the first one at its place, because it is made for caches.
func TestCloudPhysicsAgrees(t *testing.T) {
	csv, _ := blockFile(t, "block/cloudPhysicsIO.csv.gz", "")
	scsi, h := blockFile(t, "block/cloudPhysicsIO.vscsi.gz", "")
	if h.Source != "vscsi1" {
		t.Errorf("vscsi is taken for %s", h.Source)
	}
	objects, h := blockFile(t, "block/cloudPhysicsIO.oracleGeneral.bin", "")
	if h.Source != "oraclegeneral" || h.HasWrites {
		t.Errorf("oracleGeneral: %+v", h)
	}
	if reads, writes := countKinds(scsi); len(csv) != 113_872 || len(scsi) != len(csv) || len(objects) != len(csv) || writes != 66_898 || reads != 46_974 {
		t.Fatalf("%d, %d and %d requests, %d reads, %d writes", len(csv), len(scsi), len(objects), reads, writes)
	}
	first := map[uint64]uint64{}
	for i := range csv {
		c, s, o := csv[i], scsi[i], objects[i]
		if _, ok := first[c.Offset]; !ok {
			first[c.Offset] = c.Length
		}
		if c.Kind != s.Kind || c.Offset != s.Offset || c.Length != s.Length || c.Offset != o.Offset || o.Length != first[c.Offset] || c.TimeNs != o.TimeNs {
			t.Fatalf("request %d: csv %+v, vscsi %+v, oracleGeneral %+v", i+1, c, s, o)
		}
		if d := int64(s.TimeNs) - int64(o.TimeNs); d < -1e9 || d > 1e9 {
			t.Fatalf("request %d: at %d ns in vscsi, at %d ns in oracleGeneral", i+1, s.TimeNs, o.TimeNs)
		}
	}
}

func TestBlockGolden(t *testing.T) {
	for _, c := range []struct {
		file, format      string
		requests          int
		reads, writes     int
		volumes           int
		blocks, footprint int // 4 KiB blocks as the oracle counts them; 0 = not in it
	}{
		{"wsrch-small.trace.gz", "mqsim", 24_783, 24_779, 4, 6, 93_312, 93_029},
		{"disksim-postmark.trace.gz", "disksim", 62_257, 51_780, 10_477, 1, 3_460_260, 1_533_388},
		{"fio_zipf11_4k_70r.iolog.gz", "fio-iolog", 10_240, 7_094, 3_146, 1, 0, 2_370},
		{"blkparse_ycsb_sample.txt.gz", "blkparse", 1_695, 1_695, 0, 1, 0, 0},
	} {
		if c.requests > 50_000 && raceEnabled {
			continue
		}
		events, h := blockFile(t, "block/"+c.file, "")
		reads, writes := countKinds(events)
		if h.Source != c.format || h.Unverified || len(events) != c.requests || reads != c.reads || writes != c.writes || len(h.Volumes) != c.volumes {
			t.Errorf("%s as %s: %d requests, %d reads, %d writes, %d volumes; want %+v", c.file, h.Source, len(events), reads, writes, len(h.Volumes), c)
		}
		if c.footprint > 0 {
			if sum, different := touched(events); different != c.footprint || c.blocks > 0 && sum != c.blocks {
				t.Errorf("%s: %d blocks touched, %d different ones, want %d and %d", c.file, sum, different, c.blocks, c.footprint)
			}
		}
	}
}

// Of blkparse's text each stage counts the lines that have its letter.
func TestBlkparseActions(t *testing.T) {
	f, err := os.Open(sharedData(t, "block/blkparse_ycsb_sample.txt.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{}
	for s := bufio.NewScanner(z); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) > 8 && f[8] == "+" {
			lines[f[5]]++
		}
	}
	for action := range actionNumbers {
		events, h := blockFile(t, "block/blkparse_ycsb_sample.txt.gz", "blkparse:action="+action)
		if len(events) != lines[action] || len(events) == 0 {
			t.Errorf("%s: %d requests, want %d (%q)", action, len(events), lines[action], h.DefaultsStated)
		}
	}
}
