package trace

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// benchBytes is the size of the files that are read.
const benchBytes = 24 << 20

// benchRecord gives record i of a format, as it is in the field: addresses of a heap and a stack, sizes of a few bytes.
var benchRecords = map[string]func(rng *rand.Rand, i int) string{
	"drmemtrace": func(rng *rand.Rand, i int) string {
		if i%3 != 0 {
			return drRecords(drInstr, 3, 0x401000+uint64(i))
		}
		return drRecords(uint64(i/3&1), 8, benchAddr(rng))
	},
	"champsim": func(rng *rand.Rand, i int) string {
		return champRecord(0x401000+uint64(i), [2]uint64{uint64(i&1) * benchAddr(rng)}, [4]uint64{benchAddr(rng)})
	},
	"mind": func(rng *rand.Rand, i int) string { return mindAccess("RW"[i&1], benchAddr(rng), uint64(i)) },
	"dracksim": func(rng *rand.Rand, i int) string {
		return drackRecord(false, 1, int32(i>>10&3), benchAddr(rng), "RW"[i&1], uint64(i), 0)
	},
	"dracksim-pin": func(rng *rand.Rand, i int) string {
		return drackRecord(true, 1, int32(i>>10&3), benchAddr(rng), "RW"[i&1], uint64(i), 0)
	},
	"valpin": func(rng *rand.Rand, i int) string { return littleEndian(benchAddr(rng)) },
	"lackey": func(rng *rand.Rand, i int) string {
		if i%3 != 0 {
			return fmt.Sprintf("I  %08x,3\n", 0x401000+i)
		}
		return fmt.Sprintf(" %c %08x,8\n", "LS"[i/3&1], benchAddr(rng))
	},
	"pinatrace": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%#x: %c %#x\n", 0x7f2b1c0a1b40+i, "RW"[i&1], benchAddr(rng))
	},
	"drmemtrace-text": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("0x%016x: %2d, %c\n", benchAddr(rng), 8, "rw"[i&1])
	},
	"ramulator": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%#x %c\n", benchAddr(rng)&0xffffffff, "RW"[i&1])
	},
	"ramulator-ldst": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%s %#x\n", []string{"LD", "ST"}[i&1], benchAddr(rng))
	},
	"ramulator-cpu": func(rng *rand.Rand, i int) string { return fmt.Sprintf("%d %d\n", i&15, benchAddr(rng)) },
	"dramsim": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("0x%08X %s %d\n", benchAddr(rng)&0xffffffff, []string{"READ", "WRITE"}[i&1], i*5)
	},
	"ucsd-address": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%c 0x%08x %d\n", "ls"[i&1], benchAddr(rng)&0xffffffff, i&7)
	},
	"cse240a":  func(rng *rand.Rand, i int) string { return fmt.Sprintf("%#x %c\n", benchAddr(rng), "ID"[i&1]) },
	"prospero": func(rng *rand.Rand, i int) string { return fmt.Sprintf("%d %c %d 8\n", i, "RW"[i&1], benchAddr(rng)) },
	"dracksim-text": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("1  %d  %#x  %c  %d  \n", i>>10&3, benchAddr(rng), "RW"[i&1], i)
	},
	"perf-script": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("            sort  1234/%d [003]  %d.%06d:          1   cpu/mem-loads,ldlat=30/P:     %x\n", 1234+i>>10&3, 5000+i/1000000, i%1000000, benchAddr(rng))
	},
	"fltrace": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%d.%06d,401a2c,%x,1,%d,4242,0x401a2c|0x401b00|0x401c00|\n", 1700000000+i/1000000, i%1000000, benchAddr(rng)&^0xfff, i&1)
	},
	"damon": func(rng *rand.Rand, i int) string {
		a := benchAddr(rng) &^ 0xfff
		return fmt.Sprintf("       kdamond.0  4452 [000] %d.%06d: damon:damon_aggregated: target_id=18446623435582458880 nr_regions=8 %d-%d: %d\n", 82820+i/1000000, i%1000000, a, a+4096, i&1)
	},
	"netsys-swap": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("0,%d,%c%d,1\n", i*7, "+-"[i&1], benchAddr(rng)>>12)
	},
	"rw-page": func(rng *rand.Rand, i int) string { return fmt.Sprintf("%c %x\n", "RW"[i&1], benchAddr(rng)>>12) },
	"lirs":    func(rng *rand.Rand, i int) string { return fmt.Sprintf("%d\n", rng.Intn(100000)) },
	"arc":     func(rng *rand.Rand, i int) string { return fmt.Sprintf("%d 1 0 %d\n", rng.Intn(1000000), i) },
	"columns:sep=comma,addr=3,rw=2,time=1,size=4": func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%d.%06d,%c,%#x,8\n", i/1000000, i%1000000, "RW"[i&1], benchAddr(rng))
	},
	`regex:^(?P<rw>[RW]) (?P<addr>0x[0-9a-f]+)$`: func(rng *rand.Rand, i int) string { return fmt.Sprintf("%c %#x\n", "RW"[i&1], benchAddr(rng)) },
}

// benchAddr is an address of a heap of 64 MiB, or of a stack.
func benchAddr(rng *rand.Rand) uint64 {
	if rng.Intn(4) == 0 {
		return 0x7ffd1c0a0000 + uint64(rng.Intn(1<<16))&^7
	}
	return 0x55d0a4000000 + uint64(rng.Intn(1<<26))&^7
}

// BenchmarkReaders reports, for each format, records and MB of the file a second on one thread, and the rate at which bufio alone reads
// the same file in the same run, the quickest of the iterations each.
func BenchmarkReaders(b *testing.B) {
	for _, f := range FormatInfos() {
		for spec, record := range benchRecords {
			if s, err := ParseSpec(spec); err == nil && s.Name == f.Name {
				b.Run(f.Name, func(b *testing.B) { benchReader(b, spec, record) })
			}
		}
	}
	b.Run("damo-record", func(b *testing.B) {
		region := `                    {
                        "start": "94,827,419,009,024",
                        "end": "94,827,419,013,120",
                        "nr_accesses": {
                            "samples": 1,
                            "percent": null
                        },
                        "age": {
                            "usec": null
                        }
                    }`
		benchFile(b, "damo-record", append(bytes.Repeat([]byte(region+",\n"), benchBytes/len(region)), region+"]}]}]"...), benchBytes/len(region)+1, damoHead[:bytes.IndexByte([]byte(damoHead), '\n')+1])
	})
}

func benchReader(b *testing.B, spec string, record func(rng *rand.Rand, i int) string) {
	rng := rand.New(rand.NewSource(1))
	var text bytes.Buffer
	head := ""
	switch spec {
	case "drmemtrace":
		head = drRecords(drHeader, 0, 4)
	case "fltrace":
		head = "tstamp,ip,addr,pages,flags,tid,trace\n"
	}
	n := 0
	for ; text.Len() < benchBytes; n++ {
		text.WriteString(record(rng, n))
	}
	if spec == "drmemtrace" {
		text.WriteString(drRecords(drFooter, 0, 0))
		n += 2
	}
	benchFile(b, spec, text.Bytes(), n, head)
}

func benchFile(b *testing.B, spec string, text []byte, records int, head string) {
	path := filepath.Join(b.TempDir(), "x")
	if err := os.WriteFile(path, append([]byte(head), text...), 0o644); err != nil {
		b.Fatal(err)
	}
	const long = time.Hour
	floor, reader := long, long // the quickest, because others use the machine too
	for b.Loop() {
		start := time.Now()
		benchFloor(b, path)
		floor = min(floor, time.Since(start))
		start = time.Now()
		benchRead(b, path, spec)
		reader = min(reader, time.Since(start))
	}
	size := float64(len(text) + len(head))
	b.ReportMetric(float64(records)/reader.Seconds()/1e6, "Mrec/s")
	b.ReportMetric(size/reader.Seconds()/1e6, "MB/s")
	b.ReportMetric(size/floor.Seconds()/1e6, "floor-MB/s")
	b.ReportMetric(0, "ns/op")
}

// benchFloor reads a file with bufio alone.
func benchFloor(b *testing.B, path string) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 256<<10)
	for {
		if _, err := in.Peek(1); err == io.EOF {
			return
		} else if err != nil {
			b.Fatal(err)
		}
		n := in.Buffered()
		if _, err := in.Peek(n); err != nil {
			b.Fatal(err)
		}
		in.Discard(n)
	}
}

// benchRead reads a file with its reader, without the maps that Open makes up.
func benchRead(b *testing.B, path, text string) {
	spec, err := ParseSpec(text)
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	src, err := openFile(path, spec, f)
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	for {
		if _, err := src.Next(); err == io.EOF {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}
