package trace

// memoryFormats tell of addresses, in text.
var memoryFormats = []format{
	{name: "lackey", class: MemoryClass, about: "valgrind --tool=lackey --trace-mem=yes", example: " S 1fff000728,8",
		sample: "gzip under Valgrind", sniff: sniffLackey, open: newLackeyText},
	{name: "pinatrace", class: MemoryClass, about: "Pin's example tool pinatrace", example: "0x7f2b1c0a1b44: W 0x100008",
		sample: "lines of pinatrace.out with and without values, by hand", sniff: sniffPinatrace, open: newPinatrace},
	{name: "drmemtrace-text", class: MemoryClass, about: "DynamoRIO's sample client memtrace_simple", example: "0x7ffc8a1b2c30:  8, w",
		sniff: sniffMemtrace, open: newMemtrace},
	{name: "ramulator", class: MemoryClass, about: "memory traces of Ramulator 1", example: "0x4cbd56c0 W",
		sample: "dram.trace of Ramulator", sniff: sniffRamulator, open: newRamulator},
	{name: "ramulator-ldst", class: MemoryClass, about: "load-store traces of Ramulator 2", example: "ST 0x12340",
		sniff: sniffLoadStore, open: newLoadStore},
	{name: "dramsim", class: MemoryClass, about: "DRAMSim2 and DRAMsim3 (mase, misc and k6)", example: "0x1FF96FC0 WRITE   160",
		sample: "example.trace of DRAMsim3, and by hand mase_art.trc of DRAMSim2; of k6 none was at hand", sniff: sniffDramsim, open: newDramsim},
	{name: "cse240a", class: MemoryClass, about: "UCSD's CSE 240A: instructions and data", example: "0x7fff5a8487d0 D",
		sample: "mat_20M of a course's project, by hand", sniff: sniffCSE240A, open: newCSE240A},
	{name: "ucsd-address", class: MemoryClass, about: "UCSD address traces, also with penalties", example: "s 0x1fffff50 1",
		sample: "gcc, gzip, mcf, swim and twolf of the Caffeine simulator, by hand", sniff: sniffUCSD, open: newUCSD},
	{name: "prospero", class: MemoryClass, about: "SST Prospero, text", example: "12 R 140734746854976 8",
		sniff: sniffProspero, open: newProspero},
	{name: "dracksim-text", class: MemoryClass, about: "DRackSim-Trace, text", example: "1  0  0x7ffd1c0a1b40  R  1200",
		sniff: sniffDrackText, open: newDrackText},
	{name: "damon", class: MemoryClass, about: "DAMON's tracepoints as perf script prints them", keys: damonKeys,
		example: "kdamond.0  4452 [000] 82820.952659: damon:damon_aggregated: target_id=0 nr_regions=8 94253027950592-94253031862272: 2 5",
		sample:  "perf.data.script of damo's tests, by hand; of damos_before_apply none was at hand", sniff: sniffDamon, open: newDamon},
	{name: "damo-record", class: MemoryClass, about: "damo record: JSON, as a rule in zlib", keys: damonKeys,
		example: `[{"target_id": 0, "snapshots": [{"regions": [{"start": "4,096", "end": "8,192", "nr_accesses": {"samples": 2}}]}]}]`,
		sample:  "damon.data of damo's tests, by hand", sniff: sniffDamo, open: newDamo},
	{name: "perf-script", class: MemoryClass, about: "perf script of samples with addresses (perf mem record, exceptions:page_fault_user)", keys: perfKeys,
		example: "sort 1234/1240 [003] 5678.901234: 1 cpu/mem-stores/P: 7ffd1c0a1b40", sniff: sniffPerf, open: newPerf},
	{name: "fltrace", class: MemoryClass, about: "page faults by fltrace, csv", example: "1700000000.125000,401a2c,7f2b1c0a1000,1,1,4242,0x401a2c|",
		sniff: sniffFltrace, open: newFltrace},
	{name: "ramulator-cpu", class: MemoryClass, about: "instruction traces of Ramulator 1 and 2", example: "8 20841280 20841280",
		sample: "cpu.trace of Ramulator, and by hand its cputraces", sniff: sniffRamulatorCPU, open: newRamulatorCPU},
}

// pageFormats know numbers of pages only. They come after formats whose lines say more.
var pageFormats = []format{
	{name: "rw-page", class: PageClass, about: "reads and writes of pages, as page-level tools print them", example: "W 1fff000",
		sample: "sort, PageRank and sqlite under Valgrind, page by page", sniff: sniffPages, open: newPages},
	{name: "arc", class: PageClass, about: "lists of the ARC paper (.lis): start, count, ignored, sequence", example: "186868 1 0 0",
		sample: "OLTP.lis of the ARC paper", sniff: sniffArc, open: newArc},
	{name: "lirs", class: PageClass, about: "lists of the LIRS authors: one decimal block number a line, `*` is a mark", example: "4217",
		sample: "the LIRS authors' traces", sniff: sniffLirs, open: newLirs},
	// Numbers without a mark of their own: to be named.
	{name: "netsys-swap", class: PageClass, about: "swap traces of NetSys' disaggregation study", example: "0,675722691,-95839968,8", open: newNetSwap},
}

// binaryMemoryFormats tell of addresses, in records of bytes.
var binaryMemoryFormats = []format{
	{name: "drmemtrace", class: MemoryClass, about: "DynamoRIO drmemtrace, offline, 64 bits, also .zip in chunks", example: "records of 12 bytes: type, size, address",
		sample: "drmemtrace.simple_app.trace.zip of DynamoRIO", sniff: sniffDrmemtrace, open: newDrmemtrace},
	{name: "drmemtrace-32", class: MemoryClass, about: "DynamoRIO drmemtrace, offline, 32 bits, also .zip in chunks", example: "records of 8 bytes: type, size, address", sniff: sniffDrmemtrace32, open: newDrmemtrace32},
	{name: "mind", class: MemoryClass, about: "logs of MIND's replayer", example: "records of 15 bytes: R|W|B address µs, M|U µs start length", sniff: sniffMind, open: newMind},
	{name: "champsim", class: MemoryClass, about: "ChampSim's instructions, also CloudSuite's", example: "records of 64 bytes: ip, branch, registers, 2 written and 4 read addresses",
		keys: champKeys, sniff: sniffChampsim, open: newChampsim},
	// Structures without a mark: to be named.
	{name: "dracksim-pin", class: MemoryClass, about: "DRackSim-Trace, as its Pin tool writes it", example: "records of 48 bytes: process, thread, address, R|W, penalty, cycle, blocks", open: newDrackPin},
	{name: "dracksim", class: MemoryClass, about: "DRackSim-Trace, sorted stream", example: "records of 32 bytes: process, thread, address, R|W, cycle", open: newDrackStream},
	{name: "valpin", class: MemoryClass, about: "libCacheSim's valpin: addresses of 64 bits", example: "records of 8 bytes: address", open: newValpin},
}

// genericFormats are told by the user what their columns are.
var genericFormats = []format{
	{name: "columns", class: AnyClass, about: "lines of columns that you describe", example: "12.5,W,0x7ffd1c0a1b40,8", keys: columnKeys,
		sample: "any, for you describe it", open: newColumns},
	{name: regexFormat, class: AnyClass, about: "lines that a regular expression describes, with groups named as the keys of columns", example: "[3] store @7ffd1c0a1b40",
		sample: "any, for you describe it", keys: genericKeys, open: newRegex},
}
