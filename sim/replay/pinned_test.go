package replay

import (
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/trace"
)

// TestPinnedMissesThroughTheCore replays the bundled traces through the ExCache core alone: the misses are those that an
// independent simulation pinned (sim/trace). All rows are one pass over each trace.
func TestPinnedMissesThroughTheCore(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and much of it: make test runs this without -race")
	}
	dir := filepath.Join("..", "..", "configs", "traces")
	f, err := os.Open(filepath.Join(dir, "pinned_misses.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		name  string
		want  uint64
		cache *excache.Cache
	}
	byTrace := map[string][]row{}
	for _, r := range rows[1:] {
		o := excache.DefaultOptions()
		o.Policy, o.Ways = r[1], 0
		var err1, err2 error
		if o.Lines, err1 = strconv.Atoi(r[2]); err1 != nil {
			t.Fatal(err1)
		}
		x := row{name: r[1] + "/" + r[2]}
		if x.want, err2 = strconv.ParseUint(r[4], 10, 64); err2 != nil {
			t.Fatal(err2)
		}
		if x.cache, err = excache.New(o); err != nil {
			t.Fatal(err)
		}
		byTrace[r[0]] = append(byTrace[r[0]], x)
	}
	if len(byTrace) != 3 {
		t.Fatalf("%d traces are pinned, want 3", len(byTrace))
	}
	for name, rows := range byTrace {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, err := trace.Open(filepath.Join(dir, name+".skt"))
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			for {
				b, err := src.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range rows {
					at := 0
					for _, e := range b.Events {
						through(r.cache, b.Refs[at:e.At])
						at = e.At
						if e.Kind == trace.Munmap {
							r.cache.Drop(e.Addr>>wire.PageShift, (e.Addr+e.Len-1)>>wire.PageShift, nil)
						}
					}
					through(r.cache, b.Refs[at:])
				}
			}
			for _, r := range rows {
				if s := r.cache.Stats(); s.Misses != r.want {
					t.Errorf("%s: %d misses, pinned are %d", r.name, s.Misses, r.want)
				}
			}
		})
	}
}

// through makes references in an ExCache whose flushes are acknowledged at once.
func through(c *excache.Cache, refs []trace.Ref) {
	for i := range refs {
		page, write := refs[i].Page(), refs[i].Write()
		if _, ok := c.Hit(page, write); ok {
			continue
		}
		m := c.Miss(page, write)
		c.CountFill(m.Line, false)
		c.Filled(m.Line)
		c.Complete(m.Line, write)
		if m.HasFlush {
			c.FlushAcked(m.Flush.ID)
		}
	}
}
