// Package codec puts a format version before the bytes of commands, results, queries and snapshots of the managers.
//
//	+---------+-----------------------------------------+
//	| version | wire.Marshal: control version, msgpack  |
//	+---------+-----------------------------------------+
//
// The version stands outside the msgpack because array-form structs refuse a changed number of fields: a reader must
// know the version before it decodes.
//
// It does not know what it encodes, and it does not choose versions: each format names its own. Called by the states of gpm,
// gmm and gsm and by package membership. Pure: no goroutines, no clock, no I/O.
//
//	b := codec.Encode(commandVersion, request)
//	err := codec.Decode(b, commandVersion, "gmm command", &request)
package codec
