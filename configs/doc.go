// Package configs says what a cluster and a workload are: it composes the Options of every room into the files that
// people write, reads those files strictly, and resolves them into the settings of one process.
//
// A fault is reported by file and key, all faults at once. What is read is: the defaults of the code, then the file, then
// the environment (SPLITKERNEL_*), then `--set key=value`; later wins. Byte sizes are written with their unit ("64MiB"),
// times as whole numbers of the unit in the key's name ("patience_ms: 500").
//
// It starts nothing and opens no socket. sim/cli loads, sim/launcher and sim/node consume. No goroutines. The bundled
// files are embedded, so the program works from any folder. load.go is the only importer of viper.
//
//	c, err := configs.LoadCluster("laptop", configs.Overrides{Set: []string{"nodes.m2.memory_bytes=8MiB"}})
//	w, err := configs.LoadWorkload("programs", configs.Overrides{})
//	for _, id := range c.IDs() {
//		settings := c.Resolve(id) // what `splitkernel node` gets
//	}
package configs
