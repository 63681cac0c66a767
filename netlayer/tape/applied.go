package tape

import "encoding/binary"

// Applied is the record of a core that takes bytes and gives bytes: the states of the managers, which apply commands.
//
//	1 byte: 1 if the state was restored from Command, which then is a snapshot   command, behind its length   checksum, 4 bytes
type Applied struct {
	Restored bool
	Command  []byte
	Sum      uint32 // of the result; of a state restored, 0
}

// Append writes the record behind b.
func (a *Applied) Append(b []byte) []byte {
	b = AppendBytes(AppendBool(b, a.Restored), a.Command)
	return binary.LittleEndian.AppendUint32(b, a.Sum)
}

// Read takes a record apart. Command is part of b.
func (a *Applied) Read(b []byte) error {
	r := NewReader(b)
	*a = Applied{Restored: r.Bool(), Command: r.Bytes(), Sum: r.Word()}
	return r.End()
}

// SumOf is the checksum of a result.
func SumOf(result []byte) uint32 { return Sum(0).Bytes(result).Word() }
