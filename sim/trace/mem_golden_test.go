package trace

import "testing"

// The real samples, against figures from elsewhere: the decoded histogram of the drmemtrace zip, and lines counted with grep.
func TestRealMemorySamples(t *testing.T) {
	for _, c := range []struct {
		file, source                       string
		reads, writes, pages, instructions uint64
	}{
		// 191 901 records: 31 507 reads and 12 338 writes, none across a page; 136 051 fetched instructions, the last 5 without a reference behind them.
		{"drmemtrace.simple_app.trace.zip", "drmemtrace", 31507, 12338, 84, 136046},
		// 6 lines, 2 of them with an address that is written, 20 bubbles.
		{"cpu.trace", "ramulator-cpu", 6, 2, 4, 26},
		{"dram.trace", "ramulator", 3, 2, 5, 0},
		// grep -c: 606 READ, 1394 WRITE.
		{"dramsim3_excerpt.trace", "dramsim", 606, 1394, 132, 0},
	} {
		src, err := Open(sharedData(t, "page/format-samples/"+c.file))
		if err != nil {
			t.Fatal(err)
		}
		info, err := Stat(src)
		src.Close()
		if err != nil {
			t.Fatal(err)
		}
		if info.Header.Source != c.source || info.Header.Unverified || info.Reads != c.reads || info.Writes != c.writes || info.FootprintPages != c.pages || info.Instructions != c.instructions {
			t.Errorf("%s: %s, %d reads, %d writes, %d pages, %d instructions; want %+v", c.file, info.Header.Source, info.Reads, info.Writes, info.FootprintPages, info.Instructions, c)
		}
	}
}
