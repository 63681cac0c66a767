package trace

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
)

// littleEndian is numbers one after the other, each in its own size.
func littleEndian(numbers ...any) string {
	var b bytes.Buffer
	for _, n := range numbers {
		if err := binary.Write(&b, binary.LittleEndian, n); err != nil {
			panic(err)
		}
	}
	return b.String()
}

// drRecords are records of drmemtrace, three numbers each.
func drRecords(numbers ...uint64) (s string) {
	for ; len(numbers) > 0; numbers = numbers[3:] {
		s += littleEndian(uint16(numbers[0]), uint16(numbers[1]), numbers[2])
	}
	return s
}

// drNarrow are those of a program of 32 bits.
func drNarrow(numbers ...uint64) (s string) {
	for ; len(numbers) > 0; numbers = numbers[3:] {
		s += littleEndian(uint16(numbers[0]), uint16(numbers[1]), uint32(numbers[2]))
	}
	return s
}

// champRecord is an instruction of ChampSim.
func champRecord(ip uint64, written [2]uint64, read [4]uint64) string {
	return littleEndian(ip, [8]uint8{1, 0, 6, 0, 25, 3}, written, read)
}

// mindAccess and mindMap are records of MIND.
func mindAccess(op byte, addr, us uint64) string {
	return littleEndian(op, addr)[:7] + littleEndian(us)
}
func mindMap(op byte, start uint64, size uint32) string {
	return littleEndian(op, uint32(1), start)[:11] + littleEndian(size)
}

// drackRecord is a record of DRackSim; the Pin tool's has a penalty and a number of blocks.
func drackRecord(pin bool, proc, thread int32, addr uint64, op byte, cycle uint64, blocks int32) string {
	s := littleEndian(proc, thread, addr, op, [7]byte{0xaa})
	if pin {
		return s + littleEndian(uint64(9), cycle, blocks, int32(-1))
	}
	return s + littleEndian(cycle)
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write([]byte(s))
	z.Close()
	return b.String()
}

// memSample is a file of a format, written by hand, with all that is peculiar to it.
type memSample struct {
	format   string
	settings string // what the format has to be told
	text     string
	want     string // without the maps
	// bad is a corrupted file, and wantBad its error behind the path.
	bad, wantBad string
	// anyCut is true where no end of a file shows that it was cut off: the last number of a line, or records without an end mark of which a
	// whole number is left.
	anyCut bool
	// packed says that text is packed already.
	packed bool
}

// oldBad gives the formats whose samples stand in `samples` what memSample has more.
var oldBad = map[string]memSample{
	"lackey":  {bad: " L 04032ffe,4\n L 04032ffe\n", wantBad: "line 2: \" L 04032ffe\", expected `I  addr,size`"},
	"rw-page": {bad: "R 1\nR x\n", wantBad: "line 2: \"R x\", expected `R hexpage`"},
	"lirs":    {bad: "1\n99999999999999999999\n", wantBad: "line 2: ", anyCut: true},
	"arc":     {bad: "1 1 0 0\n1 1 0 x\n", wantBad: "line 2: \"1 1 0 x\", expected `start count"},
}

const damoHead = `[{"kdamond_idx": null, "intervals": {"sample_us": 5000}, "target_id": 18446623438842320000, "snapshots": [{"start_time": "5", "regions": [
 {"start": "4,096", "end": "12,288", "nr_accesses": {"samples": 3, "percent": null}, "age": {"usec": null}},`

var memSamples = []memSample{
	{format: "drmemtrace", text: drRecords(drHeader, 0, 4, 28, 12, 3, drThread, 4, 77, 24, 4, 70, 28, 2, 5, 47, 3, 0x9090, drInstr, 3, 0x401000, drRead, 8, 0x7ffc, 47, 2, 0x90,
		drInstr+1, 2, 0x401003, 29, 2, 0x401003, drInstrBundle, 3, 0, drWrite, 16, 0x7ff8, 2, 8, 0x100, drThread, 4, 78, drRead, 0, 0x10, drRead, 32, 0x2ff0,
		drTakenJump, 2, 0x401009, drThread, 4, 77, drWrite, 300, 0x3000, 23, 0, 77, drFooter, 0, 0),
		want: "R 0x7ffc size=4 gap=1 t0\nR 0x8000 size=4 gap=0 t0\nW 0x7ff8 size=8 gap=4 t0\nW 0x8000 size=8 gap=0 t0\nR 0x10 size=0 gap=0 t1\n" +
			"R 0x2ff0 size=16 gap=0 t1\nR 0x3000 size=16 gap=0 t1\nW 0x3000 size=255 gap=1 t0\n",
		bad: drRecords(drHeader, 0, 4, drThread, 4, 77, 50, 8, 1, drFooter, 0, 0), wantBad: "record 3: type 50, expected 0 to 49"},
	{format: "drmemtrace-32", text: drNarrow(drHeader, 0, 4, drMarker, 12, 3, drThread, 4, 77, drPID, 4, 70, 47, 4, 0x90909090, drInstr, 3, 0x8048000, drRead, 8, 0xffffc0, drInstrBundle, 3, 0,
		drWrite, 16, 0xbffffff8, drThread, 4, 78, drRead, 4, 0xffff0000, drFooter, 0, 0),
		want: "R 0xffffc0 size=8 gap=1 t0\nW 0xbffffff8 size=8 gap=3 t0\nW 0xc0000000 size=8 gap=0 t0\nR 0xffff0000 size=4 gap=0 t1\n",
		bad:  drNarrow(drHeader, 0, 4, drThread, 4, 77, 50, 8, 1, drFooter, 0, 0), wantBad: "record 3: type 50, expected 0 to 49"},
	{format: "champsim", text: champRecord(0x401000, [2]uint64{0x7ffc0010}, [4]uint64{0x7ffc0000, 0, 0x5008}) + champRecord(0x401003, [2]uint64{}, [4]uint64{}) +
		champRecord(0x401006, [2]uint64{0, 0x6000}, [4]uint64{}),
		want: "R 0x7ffc0000 size=0 gap=1 t0\nR 0x5008 size=0 gap=0 t0\nW 0x7ffc0010 size=0 gap=0 t0\nW 0x6000 size=0 gap=2 t0\n",
		bad:  champRecord(1, [2]uint64{}, [4]uint64{1}) + littleEndian(uint64(2), [8]uint8{2}, [6]uint64{}), wantBad: "record 2: is_branch 2, branch_taken 0, expected 0 or 1"},
	{format: "champsim", settings: "variant=cloudsuite", text: littleEndian(uint64(0x401000), [16]uint8{1, 1}, [4]uint64{0, 0, 0, 0x7ffc0010}, [4]uint64{0x7ffc0000}, [8]uint8{1, 0}),
		want: "R 0x7ffc0000 size=0 gap=1 t0\nW 0x7ffc0010 size=0 gap=0 t0\n",
		bad:  littleEndian(uint64(1), [88]uint8{0, 7}), wantBad: "record 1: is_branch 0, branch_taken 7, expected 0 or 1"},
	{format: "mind", text: mindAccess('R', 0x7f0000001234, 5) + mindMap('M', 0x10000, 0x2001) + mindAccess('W', 0x11008, 6) + mindMap('U', 0x11000, 0x1000) + mindAccess('B', 0x600000, 7) + mindAccess('B', 0x602000, 8) + mindAccess('R', 0x601000, 8),
		want: "R 0x7f0000001234 size=0 gap=0 t0\nW 0x11008 size=0 gap=0 t0\nmunmap t0 0x11000+0x1000\nbrk t0 0x600000\nbrk t0 0x602000\nR 0x601000 size=0 gap=0 t0\n",
		bad:  mindAccess('R', 1, 5) + mindAccess('X', 1, 5), wantBad: "record 2: operation 'X', expected R, W, B, M or U"},
	{format: "dracksim-pin", text: drackRecord(true, 1, 0, 0x1003f, 'R', 10, 0) + drackRecord(true, 1, 1, 0x1003f, 'W', 5, 1) + drackRecord(true, 1, 0, 0xfff, 'W', 12, 2),
		want: "R 0x10000 size=64 gap=0 t0\nW 0x10040 size=64 gap=0 t1\nW 0xfc0 size=64 gap=0 t0\nW 0x1000 size=64 gap=0 t0\n",
		bad:  drackRecord(true, 1, 0, 1, 'R', 10, 3), wantBad: "record 1: block_to_fetch 3, expected 0, 1 or 2"},
	{format: "dracksim", text: drackRecord(false, 1, 0, 0x10000, 'R', 10, 0) + drackRecord(false, 2, 0, 0x10040, 'W', 11, 0),
		want: "R 0x10000 size=64 gap=0 t0\nW 0x10040 size=64 gap=0 t1\n",
		bad:  drackRecord(false, 1, 0, 0, 'R', 10, 0) + drackRecord(false, 1, 0, 0, 'R', 9, 0), wantBad: "record 2: its time is 1 ns before"},
	{format: "valpin", text: littleEndian(uint64(0x1234), uint64(1<<48)), want: "R 0x1234 size=0 gap=0 t0\nR 0x1000000000000 size=0 gap=0 t0\n",
		bad: littleEndian(uint64(1), uint32(1)), wantBad: "record 2: the file ends after 4 of its 8 bytes"},
	{format: "valpin", settings: "unit=4096,op=write", text: littleEndian(uint64(3)), want: "W 0x3000 size=0 gap=0 t0\n",
		bad: littleEndian(uint64(1), uint64(1<<53)), wantBad: "record 2: number 9007199254740992 × 4096 bytes"},

	{format: "pinatrace", text: "#\n# Memory Access Trace Generated By Pin\n#\n0x7f2b1c0a1b40: R 0x100000\r\n0x7f2b1c0a1b44: W 0x100ffc  8                0x2a\n0x1: R           0x100008  4\n" +
		"0x7f3afa0c6055: R     0x7f3afa0dfe0e  1                  0\n0x7f3afa0c6296: W     0x7fff178fc8a0 16 0x585dafa3a7f0098d000000\nW 0xbff05e7c\n#eof\n",
		want: "R 0x100000 size=0 gap=0 t0\nW 0x100ffc size=4 gap=0 t0\nW 0x101000 size=4 gap=0 t0\nR 0x100008 size=4 gap=0 t0\n" +
			"R 0x7f3afa0dfe0e size=1 gap=0 t0\nW 0x7fff178fc8a0 size=16 gap=0 t0\nW 0xbff05e7c size=0 gap=0 t0\n",
		bad: "0x1: R 0x2\n0x1: X 0x2\n", wantBad: "line 2: \"0x1: X 0x2\", expected `0xip: R|W 0xaddress [size"},
	{format: "drmemtrace-text", text: memtraceHead + "\n0x0000000000401000:  3, mov\n0x00007ffc8a1b2c30:  8, w\n0x0000000000401003:  2, jz\n0x0000000000401005:  4, mov\n0x00007ffc8a1b2ffc:  8, r\n",
		want: "W 0x7ffc8a1b2c30 size=8 gap=1 t0\nR 0x7ffc8a1b2ffc size=4 gap=2 t0\nR 0x7ffc8a1b3000 size=4 gap=0 t0\n",
		bad:  "0x1:  3, mov\n0x1:  3 mov\n", wantBad: "line 2: \"0x1:  3 mov\", expected `0xaddress: size, r|w|opcode`"},
	{format: "ramulator", text: "0x12345680 R\n0x4cbd56c0  W\n", want: "R 0x12345680 size=0 gap=0 t0\nW 0x4cbd56c0 size=0 gap=0 t0\n",
		bad: "0x12345680 R\n0x4cbd56c0 I\n", wantBad: "line 2: \"0x4cbd56c0 I\", expected `0xaddress R|W`"},
	{format: "ramulator-ldst", text: "LD 0x12340\nST 4096\n", want: "R 0x12340 size=0 gap=0 t0\nW 0x1000 size=0 gap=0 t0\n",
		bad: "LD 0x12340\nLD 0x10000000000000000\n", wantBad: "line 2: \"LD 0x10000000000000000\", expected `LD address`"},
	{format: "ramulator-cpu", text: "3 20734016\n8 20841280 20841344\n0 0x5000 W\n", want: "R 0x13c6040 size=0 gap=4 t0\nR 0x13e0340 size=0 gap=9 t0\nW 0x13e0380 size=0 gap=0 t0\nW 0x5000 size=0 gap=1 t0\n",
		bad: "3 20734016\n8 20841280 20841344 1\n", wantBad: "line 2: \"8 20841280 20841344 1\", expected `bubbles read-address"},
	{format: "dramsim", text: "0x2000D5C0 READ  30\n0x1FF96FC0 WRITE   160\n0x2000D600 IFETCH 165\n0x00000010 P_MEM_RD 170\n0x20 P_IO_RD 180\n0x30 BOFF 1,190.500 ns\n0x40 read\n0x50 write 00ff00ff00ff00ff00ff\n",
		want: "R 0x2000d5c0 size=0 gap=0 t0\nW 0x1ff96fc0 size=0 gap=0 t0\nR 0x2000d600 size=0 gap=0 t0\nR 0x10 size=0 gap=0 t0\nW 0x30 size=0 gap=0 t0\nR 0x40 size=0 gap=0 t0\nW 0x50 size=0 gap=0 t0\n",
		bad:  "0x1 READ 30\n0x1 READ 29\n", wantBad: "line 2: its time is 1 ns before"},
	{format: "ucsd-address", text: "s 0x1fffff50 1\nl 0x1fffff58 6\nl 0x1fffff88 6 1 100\n", want: "W 0x1fffff50 size=0 gap=1 t0\nR 0x1fffff58 size=0 gap=6 t0\nR 0x1fffff88 size=0 gap=6 t0\n",
		bad: "s 0x1fffff50 1\ns 0x1fffff50 1 1\n", wantBad: "line 2: \"s 0x1fffff50 1 1\", expected `l|s 0xaddress instructions`"},
	{format: "cse240a", text: "0x401000 I\n0x401004 I\n0x7fff5a8487d0 D\n0x10 D\n", want: "R 0x7fff5a8487d0 size=0 gap=2 t0\nR 0x10 size=0 gap=0 t0\n",
		bad: "0x401000 I\n0x401004 B\n", wantBad: "line 2: \"0x401004 B\", expected `0xaddress I|D`"},
	{format: "prospero", text: "10 R 140734746854976 8\n12 W 0x1ffc 8\n", want: "R 0x7fff5c980640 size=8 gap=0 t0\nW 0x1ffc size=4 gap=0 t0\nW 0x2000 size=4 gap=0 t0\n",
		bad: "10 R 1 8\n10 R 18446744073709551615 8\n", wantBad: "line 2: 8 bytes at 0xffffffffffffffff, expected an access that ends below 2^64"},
	{format: "dracksim-text", text: "1  0  0x7ffd1c0a1b40  R  1200  \n1  2  0x7ffd1c0a1b80  W  1200  2\n", want: "R 0x7ffd1c0a1b40 size=64 gap=0 t0\nW 0x7ffd1c0a1b80 size=64 gap=0 t1\n",
		bad: "1  0  0x40  R  1200\n1  0  0x40  Q  1200\n", wantBad: "line 2: operation 'Q', expected R, W or I"},
	{format: "damon", text: "# comm\n       kdamond.0  4452 [000] 82820.952659: damon:damon_aggregated: target_id=18446623435582458880 nr_regions=2 4096-12288: 3\n" +
		"       kdamond.0  4452 [000] 82820.952660: damon:damon_aggregated: target_id=18446623435582458880 nr_regions=2 12288-9999999999999: 0 7\n" +
		"       kdamond.0  4452 [001] 82821.0: damon:damos_before_apply: ctx_idx=0 scheme_idx=0 target_idx=0 nr_regions=1 20480-24576: 1 5\n",
		want: "R 0x1000 size=0 gap=0 t0\nR 0x2000 size=0 gap=0 t0\nR 0x5000 size=0 gap=0 t1\n",
		bad:  "x 1.0: damon:damon_aggregated: target_id=1 nr_regions=2 4096-12288: 3\nx 1.0: damon:damon_aggregated: target_id=1 nr_regions=2 4096-4096: 3\n", wantBad: "line 2: a region from 4096 to 4096"},
	{format: "damon", settings: "count=2,op=write", text: "x 1.0: damon:damon_aggregated: target_id=1 nr_regions=2 4096-12288: 3\n",
		want: "W 0x1000 size=0 gap=0 t0\nW 0x2000 size=0 gap=0 t0\nW 0x1000 size=0 gap=0 t0\nW 0x2000 size=0 gap=0 t0\n",
		bad:  "x 1.0: damon:damon_aggregated: target_id=1 nr_regions=2 4096-1152921504606846976: 3\n", wantBad: "line 1: a region of 1152921504606842880 bytes with accesses, expected at most"},
	{format: "damo-record", text: damoHead + `{"start": 12288, "end": 16384, "nr_accesses": 0}], "total_bytes": "1"}]}, {"target_id": 7, "snapshots": [{"regions": [{"start": 0, "end": 4096, "nr_accesses": 1}]}]}]`,
		want: "R 0x1000 size=0 gap=0 t0\nR 0x2000 size=0 gap=0 t0\nR 0x0 size=0 gap=0 t1\n",
		bad:  damoHead + `{"start": 12288, "nr_accesses": 0}]}]}]`, wantBad: "region 2: a region without start, end or nr_accesses"},
	{format: "damo-record", packed: true, text: deflated(damoHead + `{"start": 12288, "end": 16384, "nr_accesses": 0}]}]}]`),
		want: "R 0x1000 size=0 gap=0 t0\nR 0x2000 size=0 gap=0 t0\n",
		bad:  deflated(damoHead + `{"start": 12288 "end"`), wantBad: "region 2: '\"', expected other JSON"},
	{format: "perf-script", text: "# captured\n  Web Content  1234/1240 [003]  5678.901234:          1 cpu/mem-stores/P:     7ffd1c0a1b40     401a2c main+0x1 (/a)\n" +
		" sort  1234  5678.901235:  cpu/mem-loads,ldlat=30/P:  7ffd1c0a1000 1f05080021 |OP LOAD|LVL L1 hit|\n 5679.0: ibs_op//: 5000 68100442 |OP STORE|LVL L1 hit|\n 99 5679.1: faults: 0\n" +
		" sort 1234 [001] 5679.2: exceptions:page_fault_user: address=0x7f0d3a9e0ad8 ip=0x401a2c error_code=0x6\n sort 1234 [001] 5679.2: exceptions:page_fault_user: address=0x6000 ip=0x401a2c error_code=0x14\n",
		want: "W 0x7ffd1c0a1b40 size=0 gap=0 t0\nR 0x7ffd1c0a1000 size=0 gap=0 t1\nW 0x5000 size=0 gap=0 t2\nW 0x7f0d3a9e0ad8 size=0 gap=0 t1\nR 0x6000 size=0 gap=0 t1\n",
		bad:  "a 1 1.5: faults: 5000\na 1 1.5: faults: xyz\n", wantBad: "line 2: \"a 1 1.5: faults: xyz\", expected `[program] thread [cpu]"},
	{format: "perf-script", settings: "fields=comm+pid+tid+cpu+time+addr+data_src", text: "Web Content 12/13 [001] 7.5: 5000 44 |OP STORE|\nb 12/12 [001] 7.6: 0x6000 1 x y z\n",
		want: "W 0x5000 size=0 gap=0 t0\nR 0x6000 size=0 gap=0 t1\n",
		bad:  "b 12/12 [001] 7.6: 0x6000 1\nb 12/12 [001] 7.6: 0x6000\n", wantBad: "line 2: \"b 12/12 [001] 7.6: 0x6000\", expected the columns that fields names"},
	{format: "fltrace", text: "tstamp,ip,addr,pages,flags,tid,trace\n1700000000.125000,401a2c,7f2b1c0a1000,1,1,4242,0x401a2c|0x401b00|\n1700000000.125001,0,5000,2,0,4243,\n",
		want: "W 0x7f2b1c0a1000 size=0 gap=0 t0\nR 0x5000 size=0 gap=0 t1\nR 0x6000 size=0 gap=0 t1\n",
		bad:  "tstamp,ip,addr,pages,flags,tid,trace\n1.5,0,5000,0,0,4243,\n", wantBad: "line 2: 0 pages from 0x5000, expected 1 to 4096"},
	{format: "netsys-swap", text: "0,5,+16,2\n0 6 -17 1\n1, 2, 3, 1\n", want: "W 0x10000 size=0 gap=0 t0\nW 0x11000 size=0 gap=0 t0\nR 0x11000 size=0 gap=0 t0\nW 0x3000 size=0 gap=0 t0\n",
		bad: "0,5,+16,2\n0,5,16\n", wantBad: "line 2: \"0,5,16\", expected `batch µs ±page pages`"},

	{format: "columns", settings: "sep=comma,skip=1,rw=3,addr=2,size=4,time=1,thread=5,gap=6,base=hex,comment=%", text: "t,a,op,n,th,i\n0.5, 1ffc ,W,8,3,2\n% x\n0.6,0x20,load,1,4,0,more\n",
		want: "W 0x1ffc size=4 gap=2 t0\nW 0x2000 size=4 gap=0 t0\nR 0x20 size=1 gap=0 t1\n",
		bad:  "t,a,op,n,th,i\n0.5,10,W,8,3,2\n0.5,10000000000000000,W,8,3,2\n", wantBad: "line 3: addr is \"10000000000000000\", expected a number (base=hex) of at most 64 bits"},
	{format: "columns", settings: "volume=1,rw=2,offset=3,length=4,time=5,time-unit=ms,unit=512,length-unit=512,writes=0,reads=1", text: "a 0 8 2 100\n b\t1 16 1 100.25 x\na 1 0x10 0 101\n",
		want: "block-write t0 0ns v0 4096+1024\nblock-read t0 250000ns v1 8192+512\nblock-read t0 1000000ns v0 8192+0\n",
		bad:  "a 0 8 2 100\na 2 8 2 100\n", wantBad: "line 2: rw is \"2\", expected 1 to read, or 0 to write"},
	{format: "columns", settings: "addr=2,op=write", text: "x 4096\n", want: "W 0x1000 size=0 gap=0 t0\n",
		bad: "x 4096\ny\n", wantBad: "line 2: \"y\" has 1 columns, expected at least 2"},
	{format: "regex", settings: `{base=hex}^\[(?P<thread>\d+)\] (?P<rw>\w+) @(?P<addr>\S+?)(/(?P<size>\d+))?$`, text: "[3] store @7ffd1c0a1b40/8\n[1] load @1f/4\n",
		want: "W 0x7ffd1c0a1b40 size=8 gap=0 t0\nR 0x1f size=4 gap=0 t1\n",
		bad:  "[3] store @7ffd1c0a1b40/8\n[3] store 7ffd1c0a1b40\n", wantBad: "line 2: \"[3] store 7ffd1c0a1b40\", expected a line that matches ^\\[(?P<thread>"},
}

// allMemSamples are those of all formats but the ones of blocks, whose tests are of their own.
func allMemSamples() []memSample {
	list := memSamples
	for _, s := range samples {
		if o, ok := oldBad[s.format]; ok {
			o.format, o.text = s.format, s.text
			list = append(list[:len(list):len(list)], o)
		}
	}
	return list
}

// spec is the format with its settings.
func (s memSample) spec() string {
	if s.settings == "" {
		return s.format
	}
	return s.format + ":" + s.settings
}
