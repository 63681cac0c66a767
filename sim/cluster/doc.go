// Package cluster reads traces of clusters: machines that come and go, tasks with what they ask for and how long they last, and what was used of both
// over time. Whatever the format, it is one stream of package tasks in time order.
//
// A trace is a file, several files, or a folder, plain or packed; each file is recognised by its columns, or the format is named. Files of one
// format are read one after the other, by name; formats of one trace (machines, tasks, containers) are merged by time. A table that goes by the names of
// another, or says percents of what that has, is read after it. Times begin at the
// first event. What a format does not sort is sorted, in memory as far as runEvents and from there in a temporary file; so memory does not depend on the
// length of the trace.
//
// What is assumed because a format does not say it stands in Header.Assumed; units that are fractions of a machine stay fractions, unless the spec says
// what 1.0 is. It does not place anything.
//
// Who calls: `splitkernel study`. No goroutines, except those of the SQLite driver's database handle, which Close ends; a Source belongs to one goroutine.
//
//	src, err := cluster.Open([]string{"openb_node_list_all_node.csv", "openb_pod_list_default.csv"}, "")
//	if err != nil { return err }
//	defer src.Close()
//	for {
//		e, err := src.Next() // names file and line
//		if err == io.EOF { break }
//		…
//	}
package cluster
