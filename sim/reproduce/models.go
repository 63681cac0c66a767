package reproduce

// apps are the applications. Working sets and what is touched are published; Instructions, Hot and Scan of the first and Instructions, Hot
// and Skew of the second are fitted (Fit), everything else is stated with its source.
var apps = []App{
	{
		Name: "TensorFlow", Threads: 4, WorkingSet: 900 * mib, Touched: 4400 * mib, Seconds: 235.5, Visits: 60, Run: 100, Together: true, Writes: 0.5, ScanWrites: 0.5,
		Instructions: 19_500, Hot: 276 * mib, Scan: 0.085,
		Source: "LegoOS, OSDI'18, section 6: 4 threads, working set 0.9 GB, 4.4 GB touched; a run takes Linux 235.5 s (log of its authors, September 2018, lastweek.github.io/lego/log); guess: half of the visits write, 60 visits per page; tensors are walked in order: convolution kernels of TensorFlow's CIFAR-10 model are 5 × 5 × 64 × 64 values of 4 B, 100 pages, a part for each thread, and an operation ends when all its parts have (BlockingCounter of tensorflow/core/util/work_sharder.cc); the rest fitted to the LegoOS row of Figure 11",
	},
	{
		Name: "Phoenix", Threads: 4, WorkingSet: 1700 * mib, Touched: 1750 * mib, Visits: 31, Writes: 0.5, ScanWrites: 1,
		Instructions: 28_000, Hot: 536 * mib, Once: true, Skew: 0.12,
		Source: "LegoOS, OSDI'18, section 6: 4 threads, working set 1.7 GB, 1.75 GB touched; the text is mapped, walked once and written in place (word_count.c of Phoenix 2.0); 31 visits per page, so that a run takes 39 s, an eighth of what 4 GB take one thread of Linux (314.4 s, log of LegoOS's authors, March 2018, lastweek.github.io/lego/log); guess: half of the visits to words write; the rest fitted to the LegoOS row of Figure 12",
	},
	{
		Name: "StreamCluster", Threads: 1, WorkingSet: 107 * mib, Touched: 107 * mib, Visits: 40, ScanWrites: 0, Instructions: 30_000, Scan: 1,
		Source: "PARSEC native input: blocks of 200 000 points of 128 dimensions, 4 B each, walked again and again; guess: 30 operations per value and walk, 40 walks",
	},
	{
		Name: "Freqmine", Threads: 1, WorkingSet: 500 * mib, Touched: 500 * mib, Hot: 500 * mib, Visits: 20, Writes: 0.2, Instructions: 60_000, Skew: 0.9,
		Source: "guess: a tree of about 500 MB whose upper nodes are visited most often; PARSEC does not publish its popularity",
	},
	{
		Name: "BlackScholes", Threads: 1, WorkingSet: 270 * mib, Touched: 270 * mib, Visits: 20, ScanWrites: 1. / 7, Instructions: 60_000, Scan: 1,
		Source: "PARSEC native input: 10 million options of seven values of 4 B, one of them written, walked 100 times; guess: 400 instructions an option, so 60 000 a page; 20 walks",
	},
}
