package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	ossys "syscall"
	"testing"
	"time"
)

// BenchmarkBlockText and BenchmarkBlockBinary read a file of a format from the page cache on one thread, and say how fast beside the
// floor: what bufio alone takes for the same bytes, line by line or buffer by buffer. MB/cpu-s is by the time that the processor spent on it,
// which a busy machine does not change as much.

const (
	blockBenchRecords = 200_000
	blockBenchBuffer  = 256 << 10 // of the buffer of readers
)

// benchTexts make line i of a trace: columns as long as those of real ones.
var benchTexts = []struct {
	format string
	line   func(rng *rand.Rand, i int) string
}{
	{"msr", func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%d,hm,%d,%s,%d,%d,%d\n", 128166385295514663+i*1000, i/50%3, []string{"Read", "Write"}[rng.Intn(2)], rng.Int63n(1e10)&^511, 512*(1+rng.Intn(64)), rng.Intn(10000))
	}},
	{"alibaba", func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%d,%c,%d,%d,%d\n", rng.Intn(1000), "RW"[rng.Intn(2)], rng.Int63n(1e12)&^4095, 4096*(1+rng.Intn(64)), 1577808144360767+i*40)
	}},
	{"tencent", func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%d,%d,%d,%d,%d\n", 1538323199+i/1000, rng.Int63n(1e9), 8*(1+rng.Intn(64)), rng.Intn(2), 1000+rng.Intn(5000))
	}},
	{"spc", func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%d,%d,%d,%c,%d.%06d\n", i/20%24, rng.Int63n(1e8), 512*(1+rng.Intn(64)), "rw"[rng.Intn(2)], i/1000, i%1000*1000)
	}},
	{"systor17", func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%d.%09d,0.%09d,%c,%d,%d,%d\n", 1456135200+i/1000, i%1000*1000000, rng.Intn(1e6), "RW"[rng.Intn(2)], i%6, rng.Int63n(1e12)&^511, 512*(1+rng.Intn(64)))
	}},
	{"disksim", func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%d.%06d %d %d %d %d\n", i/10, i%10*100000, 0, rng.Int63n(1e8), 8*(1+rng.Intn(64)), rng.Intn(2))
	}},
	{"mqsim", func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("%d %d %d %d %d\n", 11413000+i*100000, i%4, rng.Int63n(1e8), 8*(1+rng.Intn(64)), rng.Intn(2))
	}},
	{"cloudphysics-csv", func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("1,%d,%s,%d,%d\n", 5633898+i/100, []string{"28", "2a"}[rng.Intn(2)], 512*(1+rng.Intn(64)), rng.Int63n(1e8))
	}},
	{"blkparse", func(rng *rand.Rand, i int) string {
		return fmt.Sprintf("259,2    %d    %5d     %d.%09d  4020  %c   R %d + %d [java]\n", i%8, i, i/10000, i%10000*100000, "QGIDC"[i%5], rng.Int63n(1e9), 8*(1+rng.Intn(64)))
	}},
	{"fio-iolog", func(rng *rand.Rand, i int) string {
		if i == 0 {
			return fioHead3 + "\n15 /data/f.dat add\n405 /data/f.dat open\n"
		}
		return fmt.Sprintf("%d /data/f.dat %s %d %d\n", 409+i*20, []string{"read", "write"}[rng.Intn(2)], rng.Int63n(1e8)&^4095, 4096)
	}},
}

var benchBinaries = []struct {
	format string
	record func(rng *rand.Rand, i int) []byte
}{
	{"vscsi1", func(rng *rand.Rand, i int) []byte {
		return le(uint32(i), uint32(4096), uint32(1), uint16(0x28+2*rng.Intn(2)), uint16(0x100), uint64(rng.Int63n(1e9)), uint64(5633898000000+i*100))
	}},
	{"vscsi2", func(rng *rand.Rand, i int) []byte {
		return le(uint16(0x28+2*rng.Intn(2)), uint16(0x200), uint32(i), uint32(4096), uint32(1), uint64(rng.Int63n(1e9)), uint64(5633898000000+i*100), uint64(70))
	}},
	{"oraclegeneral", func(rng *rand.Rand, i int) []byte {
		return le(uint32(i/1000), uint64(rng.Int63n(1e9)), uint32(4096), int64(-1))
	}},
	{"oraclegeneral:id=key", func(rng *rand.Rand, i int) []byte {
		return le(uint32(i/1000), uint64(rng.Int63n(1e5)), uint32(4096), int64(-1))
	}},
	{"lcs", func(rng *rand.Rand, i int) []byte {
		var head []byte
		if i == 0 {
			head = lcsHead(8192, 3, blockBenchRecords)
		}
		return append(head, lcsRecord3(uint32(i/1000), uint64(rng.Int63n(1e9)), 12+byte(rng.Intn(2)), uint16(i/100%8), -1)...)
	}},
	{"blktrace", func(rng *rand.Rand, i int) []byte {
		return blkEvent(uint64(i*1000-rng.Intn(900)+1000), uint64(rng.Int63n(1e9)), 4096, uint32(1+rng.Intn(2))<<16|1, 0)
	}},
	{"lirs2", func(rng *rand.Rand, i int) []byte { return le(uint32(rng.Intn(1e5))) }},
}

func BenchmarkBlockText(b *testing.B) {
	for _, c := range benchTexts {
		rng := rand.New(rand.NewSource(1))
		benchBlock(b, c.format, true, func(i int) []byte { return []byte(c.line(rng, i)) })
	}
}

func BenchmarkBlockBinary(b *testing.B) {
	for _, c := range benchBinaries {
		rng := rand.New(rand.NewSource(1))
		benchBlock(b, c.format, false, func(i int) []byte { return c.record(rng, i) })
	}
}

func benchBlock(b *testing.B, format string, text bool, record func(i int) []byte) {
	path := filepath.Join(b.TempDir(), "x")
	var data []byte
	for i := range blockBenchRecords {
		data = append(data, record(i)...)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		b.Fatal(err)
	}
	var began time.Duration
	report := func(b *testing.B) {
		s, cpu := b.Elapsed().Seconds(), (cpuTime() - began).Seconds()
		b.ReportMetric(float64(len(data))*float64(b.N)/cpu/1e6, "MB/cpu-s")
		b.ReportMetric(blockBenchRecords*float64(b.N)/cpu/1e6, "Mrecords/cpu-s")
		b.ReportMetric(float64(len(data))*float64(b.N)/s/1e6, "MB/s")
		b.ReportMetric(blockBenchRecords*float64(b.N)/s/1e6, "Mrecords/s")
		b.ReportMetric(0, "ns/op")
	}
	b.Run(format+"/read", func(b *testing.B) {
		began = cpuTime()
		for b.Loop() {
			src, err := OpenFormat(path, format)
			if err != nil {
				b.Fatal(err)
			}
			for {
				if _, err := src.Next(); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
			src.Close()
		}
		report(b)
	})
	b.Run(format+"/floor", func(b *testing.B) {
		began = cpuTime()
		for b.Loop() {
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			r := bufio.NewReaderSize(f, blockBenchBuffer)
			for {
				if text {
					_, err = r.ReadSlice('\n')
				} else {
					var buf []byte
					buf, err = r.Peek(blockBenchBuffer)
					r.Discard(len(buf))
				}
				if errors.Is(err, io.EOF) {
					break
				}
			}
			f.Close()
		}
		report(b)
	})
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var u ossys.Rusage
	if err := ossys.Getrusage(ossys.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
