package trace

import (
	"bufio"
	"os"

	"splitkernel/sim/unpack"
)

// input is the unpacked text of a file, with what its reader is to know.
type input struct {
	*bufio.Reader
	path   string
	spec   Spec
	packed bool
	stop   func()       // frees the unpacker
	at     func() int64 // how far into the file was read; nil = its offset
}

// unpackFile finds out by its first bytes how f is packed, if at all.
func unpackFile(path string, f *os.File) (*input, error) {
	s, err := unpack.Open(path, f)
	if err != nil {
		return nil, err
	}
	return &input{Reader: s.Reader, path: path, packed: s.Packed, stop: s.Close, at: s.At}, nil
}
