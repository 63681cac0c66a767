package trace

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// le is little-endian numbers, each in its own size, one after the other.
func le(vs ...any) (b []byte) {
	for _, v := range vs {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return b
}

// blkEvent is a record of blktrace with n bytes behind it.
func blkEvent(ns, sector uint64, bytes, action uint32, n uint16) []byte {
	return append(le(uint32(0x65617407), uint32(1), ns, sector, bytes, action, uint32(77), uint32(8<<20|16), uint32(0), uint16(0), n), make([]byte, n)...)
}

func cat(parts ...[]byte) (b []byte) { return slices.Concat(parts...) }

// lcsHead is a head of size bytes that counts n requests.
func lcsHead(size int, version, n uint64) []byte {
	b := append(le(uint64(lcsMagic), version, uint64(1), n), make([]byte, size-40)...)
	return append(b, le(uint64(lcsMagic))...)
}

var oracleSample = cat(
	le(uint32(7), uint64(100), uint32(4096), int64(3)),
	le(uint32(7), uint64(8), uint32(512), int64(-1)),
	le(uint32(9), uint64(100), uint32(4096), int64(-1)),
)

// lcsRecord3 is a record of version 3.
func lcsRecord3(s uint32, id uint64, op byte, tenant uint16, next int64) []byte {
	return le(s, id, int64(4096), op, byte(tenant), byte(tenant>>8), byte(0), uint32(60), next)
}

// blockSample is a small file of a format written by hand, with what is peculiar to it, and what becomes of it when something is wrong.
type blockSample struct {
	format string // with settings
	named  bool   // it is not recognised
	data   []byte
	want   string
	bad    string // text, or an offset "@n", that is replaced by with
	with   string
	err    string // what is then said
	cut    string // what is said of the file without its last byte, where that is an error
}

var blockSamples = []blockSample{
	{format: straceFormat, data: []byte(straceSample),
		want: "block-read t0 1000ns v0 0+4096\nblock-read t0 2000ns v0 4096+100\nblock-read t0 4000ns v0 10+11\nblock-read t0 5000ns v0 64+700\nblock-read t0 7000ns v0 21+8\n",
		bad:  "000008 read(4</data/in>, \"\"..., 8) = 8", with: "000008 read(4</data/in>, 8 = 8", err: "line 9: "},
	{format: "fio-iolog", data: []byte("fio version 2 iolog\n/x/a b add\n/x/a b open\n/x/a b write 0 512\nf wait 100\n/x/a b wait 50 0\nf read 8192 4096\nf trim 0 512\nf datasync\n/x/a b close\n"),
		want: "block-write t0 0ns v0 0+512\nblock-read t0 150000ns v1 8192+4096\nblock-flush t0 150000ns v1 0+0\n",
		bad:  "read", with: "reed", err: "line 7: \"f reed 8192 4096\", expected `file add|open|close`"},
	{format: "fio-iolog", data: []byte("fio version 3 iolog\n409 f read 18446744073709551615 0\n411 f sync\n"),
		want: "block-read t0 409000ns v0 18446744073709551615+0\nblock-flush t0 411000ns v0 0+0\n",
		bad:  "615 0", with: "615 1", err: "line 2: its offset or its end is past 2^64 bytes"},
	{format: "blkparse", data: []byte("  8,16   1        1     0.000002000    77  Q  WS 2048 + 8 [dd]\n  8,16   1        2     0.000001000    77  Q   R 8 + 16 [a b]\n" +
		"  8,16   1        3     0.000003000    77  G   R 8 + 16 [a]\n  8,16   1        3     0.000003100    77 UT   N [a] 1\n" +
		"  8,16   1        4     0.000004000    77  Q  FWFS 16 + 8 [j]\n  8,16   1        5     0.000005000    77  Q   D 16 + 8 [j]\n  8,16   1        5     0.000006000    77  Q FWS [j]\n" +
		"CPU1 (8,16):\n Reads Queued:           1,        8KiB\t Writes Queued:           1\n\nTotal (8,16):\n"),
		want: "block-read t0 0ns v0 4096+8192\nblock-write t0 1000ns v0 1048576+4096\nblock-flush t0 3000ns v0 0+0\nblock-write t0 3000ns v0 8192+4096\nblock-flush t0 3000ns v0 0+0\nblock-flush t0 5000ns v0 0+0\n",
		bad:  "8 + 16 [a b]", with: "8 - 16 [a b]", err: "line 2: \"  8,16 "},
	{format: "blkparse:action=D,times=strict", data: []byte("8,0 1 1 5.000000009 77 D R 8 + 8 [a]\n8,0 1 1 5.000000009 77 Q R 8 + 8 [a]\n"),
		want: "block-read t0 0ns v0 4096+4096\n", bad: "5.000000009 77 Q", with: "5.000000008 77 D", err: "line 2: its time is 1 ns before an earlier one"},
	{format: "msr", data: []byte("Timestamp,Hostname,DiskNumber,Type,Offset,Size,ResponseTime\r\n128166385295514663,hm,0,Write,9056014336,2048,2833\r\n128166385295514662,hm,1,Read,512,512,9\r\n"),
		want: "block-write t0 0ns v0 9056014336+2048\nblock-read t0 0ns v1 512+512\n",
		bad:  "Read", with: "Reed", err: "line 3: \"128166385295514662,hm,1,Reed,512,512,9\", expected `ticks,host,disk,Read|Write,offset,size,response`"},
	{format: "msr:times=strict", data: []byte("5,hm,0,Write,4096,2048,2\n6,hm,0,Read,512,512,9\n"), want: "block-write t0 0ns v0 4096+2048\nblock-read t0 100ns v0 512+512\n",
		bad: "6,hm", with: "4,hm", err: "line 2: its time is 100 ns before the one of the record before it"},
	{format: "spc", data: []byte("0,20941264,8192,W,0.551706\n12,303567,3584,r,0.6,7,x\n"),
		want: "block-write t0 0ns v0 10721927168+8192\nblock-read t0 48294000ns v1 155426304+3584\n",
		bad:  "0.6,", with: "0.5,", err: "line 2: its time is 51706000 ns before the one of the record before it"},
	{format: "spc:unit=4096", data: []byte("0,2,8192,W,1\n0,36028797018963968,8192,W,1\n"), want: "block-write t0 0ns v0 8192+8192\n",
		err: "line 2: its offset or its end is past 2^64 bytes", bad: "x"},
	{format: "alibaba", data: []byte("419,W,8792731648,16384,1577808144360767\n725,R,59110326272,360448,1577808144360813\n"),
		want: "block-write t0 0ns v0 8792731648+16384\nblock-read t0 46000ns v1 59110326272+360448\n",
		bad:  ",360448,", with: ",", err: "line 2: \"725,R,59110326272,1577808144360813\", expected `device,R|W,offset,length,µs`"},
	{format: "systor17", data: []byte("Timestamp,Response,IOType,LUN,Offset,Size\n1456135200.013118000,0.001,W,4,4096,4096\n1456135200.013119,,,4,4096,4096\n1456135200.013120000,0.001,R,0,81229934592,512\n"),
		want: "block-write t0 0ns v0 4096+4096\nblock-read t0 2000ns v1 81229934592+512\n",
		bad:  "R,0", with: "X,0", err: "line 4: \"1456135200.013120000,0.001,X,0,81229934592,512\", expected `seconds,response,R|W|,LUN,offset,size`"},
	{format: "k5cloud", data: []byte("7,0,R,40960,4096\n7,0.25,W,0,512\n"), want: "block-read t0 0ns v0 40960+4096\nblock-write t0 250000000ns v0 0+512\n",
		bad: "W,0,512", with: "W,0,512,1", err: "line 2: \"7,0.25,W,0,512,1\", expected `volume,seconds,R|W,offset,length`"},
	{format: "tencent", data: []byte("1538323199,105352008,584,1,1576\n1538323200,12910952,128,0,1063\n"),
		want: "block-write t0 0ns v0 53940228096+299008\nblock-read t0 1000000000ns v1 6610407424+65536\n",
		bad:  ",0,1063", with: ",2,1063", err: "line 2: \"1538323200,12910952,128,2,1063\", expected `seconds,sector,sectors,0|1,volume`"},
	{format: "disksim", data: []byte("7961.833 0 20228336 8 0\n7961.8330015 1 8 16 3\n"), want: "block-write t0 0ns v0 10356908032+4096\nblock-read t0 1ns v1 4096+8192\n",
		bad: "8 16 3", with: "8 16", err: "line 2: \"7961.8330015 1 8 16\", expected `ms device block blocks flags`"},
	{format: "mqsim", data: []byte("11413000 0 657728 16 1\n11565000 1 31244784 64 0\n"), want: "block-read t0 0ns v0 336756736+8192\nblock-write t0 152000ns v1 15997329408+32768\n",
		bad: "64 0", with: "64 2", err: "line 2: \"11565000 1 31244784 64 2\", expected `ns device sector sectors 1|0`"},
	{format: "mqsim:time=us", data: []byte("1 0 0 16 1\n3 0 8 8 1\n"), want: "block-read t0 0ns v0 0+8192\nblock-read t0 2000ns v0 4096+4096\n",
		bad: "3 0", with: "0 0", err: "line 2: its time is 1000 ns before"},
	{format: "replayer", named: true, data: []byte("12.5,0,40960,4096,1\n13,0,0,512,0\n"), want: "block-read t0 0ns v0 40960+4096\nblock-write t0 500000ns v0 0+512\n",
		bad: "512,0", with: "512,3", err: "line 2: \"13,0,0,512,3\", expected `ms,disk,offset,bytes,1|0`"},
	{format: "twitter", data: []byte("0,q:q:1:8WTfjZU14ee,17,213,4,get,0\n0,yDqF:3q:1AJrrJ1nnCJKKrnGx1A,27,27,5,set,3600\n1,q:q:1:8WTfjZU14ee,17,213,4,delete,0\n"),
		want: "mmap t0 0x692f7f9a2d690000+0x10000 anon=true w=true [synthesised]\nmmap t0 0x7c75f39a063b0000+0x10000 anon=true w=true [synthesised]\n" +
			"R 0x7c75f39a063b9000 size=0 gap=0 t0\nW 0x692f7f9a2d693000 size=0 gap=0 t0\nW 0x7c75f39a063b9000 size=0 gap=0 t0\n",
		bad: "delete", with: "touch", err: "line 3: \"1,q:q:1:8WTfjZU14ee,17,213,4,touch,0\", expected `seconds,key,key size,value size,client,operation,TTL`"},
	{format: "cachelib", data: []byte("op_time,key,key_size,op,op_count,size,cache_hits,ttl\n1,a,3,GET,2,10,2,0\n1,b,3,SET,1,10,2,0\n1,a,3,DELETE,1,10,2,0\n"),
		want: "mmap t0 0x6a47e30923300000+0x10000 anon=true w=true [synthesised]\nmmap t0 0x9c2aadd9b80d0000+0x10000 anon=true w=true [synthesised]\n" +
			"R 0x9c2aadd9b80d5000 size=0 gap=0 t0\nR 0x9c2aadd9b80d5000 size=0 gap=0 t0\nW 0x6a47e3092330b000 size=0 gap=0 t0\nW 0x9c2aadd9b80d5000 size=0 gap=0 t0\n",
		bad: "DELETE", with: "DROP", err: "line 4: \"1,a,3,DROP,1,10,2,0\", expected an op of get, set, delete and the like"},
	{format: "blktrace", data: cat(blkEvent(0, 0, 0, 1<<26|1, 5), blkEvent(2000, 2048, 4096, 2<<16|1, 0), blkEvent(1000, 8, 8192, 1<<16|1, 3), blkEvent(1000, 8, 8192, 1<<16|7, 0),
		blkEvent(3000, 0, 0, 6<<16|1, 0), blkEvent(3000, 0, 512, 1<<29|2<<16|1, 0), blkEvent(4000, 1, 512, 2<<16|1<<31|1, 0), blkEvent(5000, 1, 512, 1<<25|1<<16|1, 0)),
		want: "block-read t0 0ns v0 4096+8192\nblock-write t0 1000ns v0 1048576+4096\nblock-flush t0 2000ns v0 0+0\nblock-write t0 3000ns v0 512+512\nblock-flush t0 3000ns v0 0+0\n",
		bad:  "@53", with: "\x08", err: "record 2: version 8, expected 7", cut: "record 8: the file ends after 47 of its 48 bytes"},
	{format: "blktrace:action=D", data: cat(blkEvent(1000, 8, 8192, 1<<16|7, 0), blkEvent(1000, 8, 8192, 1<<16|1, 9)), want: "block-read t0 0ns v0 4096+8192\n",
		bad: "@23", with: "\xff", err: "record 1: its offset or its end is past 2^64 bytes", cut: "record 2: the file ends after 56 of its 57 bytes"},
	{format: "vscsi1", data: cat(le(uint32(1), uint32(512), uint32(1), uint16(0x2a), uint16(0x100), uint64(10), uint64(1000)),
		le(uint32(2), uint32(1024), uint32(1), uint16(0x88), uint16(0x100), uint64(20), uint64(1002)), le(uint32(2), uint32(0), uint32(1), uint16(0x35), uint16(0x100), uint64(20), uint64(999))),
		want: "block-write t0 0ns v0 5120+512\nblock-read t0 2000ns v0 10240+1024\nblock-flush t0 2000ns v0 0+0\n",
		bad:  "@76", with: "\x12", err: "record 3: SCSI command 0x12, expected a read (08, 28, 88, a8)", cut: "record 3: the file ends after 31 of its 32 bytes"},
	{format: "vscsi2", data: cat(le(uint16(0x28), uint16(0x200), uint32(1), uint32(512), uint32(1), uint64(10), uint64(1000), uint64(7)),
		le(uint16(0x2a), uint16(0x200), uint32(1), uint32(512), uint32(1), uint64(1), uint64(2000), uint64(7)),
		le(uint16(0x2a), uint16(0x200), uint32(1), uint32(512), uint32(1), uint64(1), uint64(2000), uint64(7)), le(uint16(0x2a), uint16(0x200), uint32(1), uint32(512), uint32(1), uint64(1), uint64(2000), uint64(7))),
		want: "block-read t0 0ns v0 5120+512\n" + strings.Repeat("block-write t0 1000000ns v0 512+512\n", 3),
		bad:  "@63", with: "\xff", err: "record 2: its offset or its end is past 2^64 bytes", cut: "record 4: the file ends after 39 of its 40 bytes"},
	{format: "oraclegeneral", data: oracleSample, want: "block-read t0 0ns v0 51200+4096\nblock-read t0 0ns v0 4096+512\nblock-read t0 2000000000ns v0 51200+4096\n",
		bad: "@24", with: "\x06", err: "record 2: its time is 1000000000 ns before the one of the record before it", cut: "record 3: the file ends after 23 of its 24 bytes"},
	{format: "oraclegeneral:id=key", data: cat(oracleSample[:4], le(uint64(0xabc0_0000_0000_1234)), oracleSample[12:52], le(uint64(0xabc0_0000_0000_1234)), oracleSample[60:]),
		want: "mmap t0 0x0+0x10000 anon=false w=true [synthesised]\nmmap t0 0x1880000+0x10000 anon=false w=true [synthesised]\nR 0x1888000 size=0 gap=0 t0\nR 0x8000 size=0 gap=0 t0\nR 0x1888000 size=0 gap=0 t0\n",
		bad:  "x"},
	{format: "oraclegeneral:id=dense", data: oracleSample, want: "mmap t0 0x0+0x10000 anon=false w=true [synthesised]\nR 0x0 size=0 gap=0 t0\nR 0x1000 size=0 gap=0 t0\nR 0x0 size=0 gap=0 t0\n",
		bad: "x", cut: "record 3: the file ends after 23 of its 24 bytes"},
	{format: "oraclegeneral:unit=4096,op=write", data: oracleSample, want: "block-write t0 0ns v0 409600+4096\nblock-write t0 0ns v0 32768+512\nblock-write t0 2000000000ns v0 409600+4096\n",
		bad: "@11", with: "\xff", err: "record 1: id 18374686479671623780: its block of 4096 B or its end is past 2^64 bytes"},
	{format: "oraclegeneral-opns", data: cat(le(uint32(7), uint64(100), uint32(4096), byte(1), uint16(3), int64(2)), le(uint32(8), uint64(100), uint32(4096), byte(3), uint16(3), int64(-1))),
		want: "block-read t0 0ns v0 51200+4096\nblock-write t0 1000000000ns v0 51200+4096\n",
		bad:  "@30", with: "\xff", err: "", cut: "record 2: the file ends after 26 of its 27 bytes"},
	{format: "lcs", data: cat(lcsHead(8192, 1, 3), oracleSample), want: "block-read t0 0ns v0 51200+4096\nblock-read t0 0ns v0 4096+512\nblock-read t0 2000000000ns v0 51200+4096\n",
		bad: "@8", with: "\x09", err: "head: version 9, expected 1 to 8", cut: "record 3: the file ends after 23 of its 24 bytes"},
	{format: "lcs", data: cat(lcsHead(1024, 2, 2), le(uint32(7), uint64(100), uint32(4096), uint32(5<<8|12), int64(2)), le(uint32(8), uint64(100), uint32(4096), uint32(6<<8|13), int64(-1))),
		want: "block-read t0 0ns v0 51200+4096\nblock-write t0 1000000000ns v1 51200+4096\n",
		bad:  "@8", with: "<", err: "head: of the kind of 2024 that has a format string", cut: "record 2: the file ends after 27 of its 28 bytes"},
	{format: "lcs", data: cat(lcsHead(8192, 3, 2), lcsRecord3(7, 100, 12, 513, 2), lcsRecord3(8, 100, 13, 513, -1)),
		want: "block-read t0 0ns v0 51200+4096\nblock-write t0 1000000000ns v0 51200+4096\n",
		bad:  "@24", with: "\x03", err: "record 3: the file ends, expected 3 records as its head says"},
	{format: "lcs", data: cat(lcsHead(8192, 5, 2), lcsRecord3(7, 100, 12, 1, 2), make([]byte, 8), lcsRecord3(8, 100, 13, 1, -1), make([]byte, 8)),
		want: "block-read t0 0ns v0 51200+4096\nblock-write t0 1000000000ns v0 51200+4096\n",
		bad:  "@8211", with: "\xff", err: "record 1: a negative size"},
	{format: "lirs2:order=big", named: true, data: []byte{0, 0, 0, 1, 0, 0, 1, 0}, want: "mmap t0 0x0+0x10000 anon=false w=true [synthesised]\nmmap t0 0x100000+0x10000 anon=false w=true [synthesised]\n" +
		"R 0x1000 size=0 gap=0 t0\nR 0x100000 size=0 gap=0 t0\n", bad: "x", cut: "record 2: the file ends after 3 of its 4 bytes"},
}

// name is the format without its settings.
func (s *blockSample) name() string { name, _, _ := strings.Cut(s.format, ":"); return name }

// spoiled is the sample with what is wrong in it.
func (s *blockSample) spoiled(t testing.TB) []byte {
	if s.bad == "x" {
		return s.data
	}
	if at, ok := strings.CutPrefix(s.bad, "@"); ok {
		b := slices.Clone(s.data)
		n, _ := dec([]byte(at), 0)
		b[n] = s.with[0]
		return b
	}
	if !strings.Contains(string(s.data), s.bad) {
		t.Fatalf("%s: no %q in the sample", s.format, s.bad)
	}
	return []byte(strings.Replace(string(s.data), s.bad, s.with, 1))
}

// Each sample reads as what it is, plain and packed, named and recognised, and where something is wrong with it the error names file
// and record.
func TestBlockFormats(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sample")
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tested := map[string]bool{}
	for _, s := range blockSamples {
		tested[s.name()] = true
		clean := s.data
		if s.bad == "x" && s.err != "" { // the last line is the bad one
			lines := strings.SplitAfter(string(s.data), "\n")
			clean = []byte(strings.Join(lines[:len(lines)-2], ""))
		}
		for _, b := range [][]byte{clean, packGzip(t, clean)} {
			write(b)
			items, h, err := read(path, s.format)
			if err != nil {
				t.Fatalf("%s: %v", s.format, err)
			}
			if got := describe(items); got != s.want {
				t.Errorf("%s:\n%swant\n%s", s.format, got, s.want)
			}
			if h.Source != s.name() || len(h.DefaultsStated) == 0 {
				t.Errorf("%s: header %+v", s.format, h)
			}
			if _, h, err := read(path, ""); (h.Source != s.name()) != s.named {
				t.Errorf("%s: recognised as %q, %v", s.format, h.Source, err)
			}
		}
		bad := func(b []byte, want string) {
			t.Helper()
			write(b)
			if _, _, err := read(path, s.format); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("%s: got %v, want %q", s.format, err, want)
			}
		}
		if s.err != "" {
			bad(s.spoiled(t), s.err)
		}
		if s.cut != "" {
			bad(s.data[:len(s.data)-1], s.cut)
		}
		// A cut packed file says where it ends, too.
		packed := packGzip(t, clean)
		bad(packed[:len(packed)-5], "file truncated: unexpected EOF")
		if err := lastError(path, s.format); !strings.Contains(err, ": line ") && !strings.Contains(err, ": record ") && !strings.Contains(err, ": head: ") {
			t.Errorf("%s: packed and cut: %s", s.format, err)
		}
	}
	for _, f := range slices.Concat(blockFormats, binaryBlockFormats) {
		if !tested[f.name] && f.name != "cloudphysics-csv" {
			t.Errorf("%s has no sample", f.name)
		}
		if (f.sniff == nil) != (f.name == "replayer" || f.name == "lirs2") {
			t.Errorf("%s: whether it is recognised is not what the docs say", f.name)
		}
	}
}

// lastError is the error of reading a file.
func lastError(path, format string) string {
	_, _, err := read(path, format)
	return fmt.Sprint(err)
}

// A record that is not of the format is passed over where that was asked for, and the next one is read.
func TestBlockSkipBad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, s := range blockSamples {
		if s.err == "" || strings.Contains(s.err, "head:") || strings.Contains(s.err, "the file ends") || strings.Contains(s.err, "version 8") ||
			strings.HasPrefix(s.with, "5.000000008") { // the bad line is one that does not count otherwise
			continue
		}
		if err := os.WriteFile(path, s.spoiled(t), 0o644); err != nil {
			t.Fatal(err)
		}
		sep := ":"
		if strings.Contains(s.format, ":") {
			sep = ","
		}
		items, h, err := read(path, s.format+sep+"skip-bad=1")
		want := strings.Count(s.want, "\n") - 1
		if s.bad == "x" {
			want++
		}
		if err != nil || h.BadRecords != 1 || len(items) != want {
			t.Errorf("%s: %d events, %d bad, %v; want %d and 1", s.format, len(items), h.BadRecords, err, want)
		}
	}
}

// Settings that a reader cannot use are refused when the file is opened.
func TestBlockKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for format, want := range map[string]string{
		"blktrace:action=X": `action: "X", want Q, I, D or C`, "blkparse:action=G": "action: ", "oraclegeneral:id=name": `id: "name", want lba, key or dense`, "twitter:id=lba": `id: "lba", want key or dense`,
		"mqsim:time=h": `time: "h", want ns, us, ms or s`, "lirs2:order=middle": "order: ", "msr:id=key": `no key "id"`,
	} {
		if err := os.WriteFile(path, blkEvent(0, 0, 0, 1, 0), 0o644); err != nil {
			t.Fatal(err)
		}
		if src, err := OpenFormat(path, format); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("%s: %v, want %q", format, err, want)
			if err == nil {
				src.Close()
			}
		}
	}
}

// Requests that processors logged out of order come in order, as far as the window reaches, and none is lost.
func TestReorder(t *testing.T) {
	const n = 3*reorderWindow + 17
	var o ordered
	spec := Spec{}
	o = spec.newOrdered()
	seen := 0
	last := uint64(0)
	take := func(ended bool) {
		for {
			var b Batch
			full := o.drain(&b, ended)
			for _, e := range b.Events {
				if e.TimeNs < last || e.TimeNs != uint64(seen)*10 {
					t.Fatalf("request %d at %d ns after one at %d", seen, e.TimeNs, last)
				}
				last = e.TimeNs
				seen++
			}
			if !full {
				return
			}
		}
	}
	for i := range uint64(n) {
		at := i ^ 0x3ff // blocks of 1024 backwards
		if at >= n {
			at = i
		}
		if i >= n&^0x3ff {
			at = i
		}
		if err := o.add(request{kind: BlockRead, ns: 5000 + at*10}); err != nil {
			t.Fatal(err)
		}
		take(false)
	}
	take(true)
	if seen != n || o.moved == 0 {
		t.Errorf("%d of %d requests, %d out of order", seen, n, o.moved)
	}
}
