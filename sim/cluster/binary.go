package cluster

import "bytes"

// binaryFormats are files that are sought in, so they have to be as they are, not packed.
var binaryFormats = []format{
	{
		name: "opendc-parquet", about: "OpenDC: tasks and fragments as Parquet", example: "columns id, submission_time, duration, cpu_count, mem_capacity; id, duration, cpu_usage",
		sample: "tasks.parquet and fragments.parquet of bitbrains-small of atlarge-research/opendc-traces",
		sniff:  func(h *head) bool { return bytes.HasPrefix(h.start, []byte("PAR1")) },
		keys:   []Key{{"memory-unit", "of mem_capacity (1KB, as in bitbrains-small)"}},
		open:   openParquet,
	},
	{
		name: "azure-packing", about: "Azure trace for packing 2020: SQLite", example: "tables vm and vmType",
		sniff: func(h *head) bool { return bytes.HasPrefix(h.start, []byte("SQLite format 3\x00")) },
		keys:  []Key{{"machine", "machineId of vmType whose fractions are taken (the smallest)"}},
		open:  openAzurePacking,
	},
}
