// Package blockdev is what an sComponent writes on: a Store holds named Devices. Dir keeps them as files of one folder,
// Memory in memory with a write cache that a simulated power cut loses, and Faulty wraps either and injects errors, torn
// writes, lost syncs and corrupt bytes, and has a disk be slow or full while a cluster runs. Package scomponent calls it; it decides nothing.
//
// Devices may be used by several goroutines at once. Dir starts no goroutines; Memory and Faulty have one mutex each.
//
//	st, err := blockdev.OpenDir(folder)
//	d, err := st.Create("vol-1.img")
//	d.Truncate(1 << 30)
//	d.WriteAt(b, 4096)
//	d.Sync()
package blockdev
