package volume

import (
	"encoding/binary"
	"fmt"

	"splitkernel/netlayer/wire"
)

// The checksum file `vol-<id>.crc`, version 2. All numbers are little-endian.
//
//	0        512      1024        4096
//	+--------+--------+-----------+-----------+-----------+---
//	| header | header | zeros     | block 0   | block 1   | …   64 bytes per block of the volume
//	| even   | odd    |           |           |           |
//	+--------+--------+-----------+-----------+-----------+---
//
// A header is written to the slot of its sequence number's parity, so a torn write leaves the older one whole; the valid
// header with the larger sequence counts.
//
//	0       8         12     16         24     32           40      44       46        48     112       368    384    508
//	+-------+---------+------+----------+------+------------+-------+--------+---------+------+---------+------+------+----------+
//	| magic | format  | id   | sequence | size | open       | epoch | name   | failure | name | failure | boot | copy | CRC32C   |
//	|       | version |      |          |      | generation |       | length | length  |      |         | id   |      | of 0–507 |
//	+-------+---------+------+----------+------+------------+-------+--------+---------+------+---------+------+------+----------+
//
// copy, of a volume that is one of several copies; else zeros:
//
//	384             392        400          408          412        416     420      508
//	+---------------+----------+------------+------------+----------+-------+--------+
//	| configuration | instance | synced     | epoch of   | epoch of | lossy | zeros  |
//	|               |          | generation | the latter | open     | 0, 1  |        |
//	+---------------+----------+------------+------------+----------+-------+--------+
//
// The entry of a block lies in one sector of the file:
//
//	0                    32        40        44      60         64
//	+--------------------+---------+---------+-------+----------+
//	| 8 × CRC32C of a    | version | version | zeros | CRC32C   |
//	| sector of 512 bytes| number  | epoch   |       | of 0–59  |
//	+--------------------+---------+---------+-------+----------+
//
// A sector's sum is stored XOR the CRC32C of 512 zeros, that of the entry XOR the CRC32C of 60 zeros. So a hole of the file, which
// reads as 0, is the entry of a block of zeros that was never written: it is checked like everything else. The bytes of a block are
// written before its entry, so after the death of the process between the two they do not fit, and the version is not too new.
const (
	FormatVersion = 2 // 32 bits in the file
	HeaderLen     = 512
	SumsOffset    = 4096
	EntryLen      = 64
	MaxName       = 64
	maxFailure    = 256
)

var magic = [8]byte{'S', 'K', 'V', 'O', 'L', 'U', 'M', 'E'}

// Meta is the durable knowledge about a volume.
type Meta struct {
	ID        wire.VolumeID
	Name      string
	SizeBytes uint64 // a multiple of wire.PageSize
	Epoch     wire.Epoch
	Open      uint64 // newest generation with unflushed writes at its buffer cache; 0 is none
	Failure   string // why the volume serves no more; empty while it does
	Sequence  uint64 // of the header
	Boot      BootID // of the machine when the buffer cache attached

	// Of one of several copies; of the only one 0.
	Config      uint64 // highest configuration seen, that under which it was made at first; it is one of several copies if there is one
	Instance    uint64 // of the buffer cache under Epoch; 0 if none has attached it
	Synced      uint64 // newest generation completed by a flush, under SyncedEpoch
	SyncedEpoch wire.Epoch
	OpenEpoch   wire.Epoch // of Open
	Lossy       bool       // the machine was restarted, and nothing was flushed since: what was written and not flushed may be lost
}

// BootID tells one start of a machine from another: what was written and not synced survives the death of a process, not
// that of its machine.
type BootID [16]byte

// ImageName, SumsName and NewName are the files of a volume: its bytes, its checksums, and the latter while it is made.
func ImageName(id wire.VolumeID) string { return fmt.Sprintf("vol-%d.img", id) }
func SumsName(id wire.VolumeID) string  { return fmt.Sprintf("vol-%d.crc", id) }
func NewName(id wire.VolumeID) string   { return fmt.Sprintf("vol-%d.new", id) }

// OutName and InName are the notes of a volume that is given away and of one that comes: package migrate. A note gets its
// name when it is complete; until then it is NoteNewName.
func OutName(id wire.VolumeID) string { return fmt.Sprintf("vol-%d.out", id) }
func InName(id wire.VolumeID) string  { return fmt.Sprintf("vol-%d.in", id) }

// ForgotName is the file of the moves that managers had forgotten, ForgotNewName that file while it is written.
const (
	ForgotName    = "moves.forgot"
	ForgotNewName = "moves.forgot.new"
)

func NoteNewName(id wire.VolumeID) string { return fmt.Sprintf("vol-%d.note", id) }

// ParseName gives the volume and the kind ("img", "crc", "new", "out", "in", "note") of a file; ok is false for a file that
// is none of a volume.
func ParseName(name string) (id wire.VolumeID, kind string, ok bool) {
	var n uint32
	if _, err := fmt.Sscanf(name, "vol-%d.%s", &n, &kind); err != nil {
		return 0, "", false
	}
	id = wire.VolumeID(n)
	switch kind {
	case "img", "crc", "new", "out", "in", "note":
		return id, kind, name == fmt.Sprintf("vol-%d.%s", id, kind)
	}
	return id, kind, false
}

// SumsSize is the size of the checksum file of a volume.
func SumsSize(sizeBytes uint64) int64 { return SumsOffset + int64(sizeBytes/wire.PageSize)*EntryLen }

// EntryOffset is where the entry of a block lies.
func EntryOffset(block uint64) int64 { return SumsOffset + int64(block)*EntryLen }

// Append appends the 512 bytes of a header.
func (m Meta) Append(b []byte) []byte {
	n := len(b)
	b = append(b, make([]byte, HeaderLen)...)
	h := b[n:]
	le := binary.LittleEndian
	copy(h, magic[:])
	le.PutUint32(h[8:], FormatVersion)
	le.PutUint32(h[12:], uint32(m.ID))
	le.PutUint64(h[16:], m.Sequence)
	le.PutUint64(h[24:], m.SizeBytes)
	le.PutUint64(h[32:], m.Open)
	le.PutUint32(h[40:], uint32(m.Epoch))
	le.PutUint16(h[44:], uint16(len(m.Name)))
	le.PutUint16(h[46:], uint16(len(m.Failure)))
	copy(h[48:112], m.Name)
	copy(h[112:368], m.Failure)
	copy(h[368:384], m.Boot[:])
	le.PutUint64(h[384:], m.Config)
	le.PutUint64(h[392:], m.Instance)
	le.PutUint64(h[400:], m.Synced)
	le.PutUint32(h[408:], uint32(m.SyncedEpoch))
	le.PutUint32(h[412:], uint32(m.OpenEpoch))
	if m.Lossy {
		h[416] = 1
	}
	le.PutUint32(h[508:], wire.Checksum(h[:508]))
	return b
}

// parseHeader reads one header.
func parseHeader(h []byte) (Meta, error) {
	le := binary.LittleEndian
	if len(h) != HeaderLen || [8]byte(h[:8]) != magic {
		return Meta{}, fmt.Errorf("no header of a volume")
	}
	if got, want := le.Uint32(h[508:]), wire.Checksum(h[:508]); got != want {
		return Meta{}, fmt.Errorf("header checksum %#08x, want %#08x", got, want)
	}
	if v := le.Uint32(h[8:]); v != FormatVersion {
		return Meta{}, fmt.Errorf("format version %d, want %d: it was written by another version of this program, which must be used to read it out", v, FormatVersion)
	}
	name, failure := int(le.Uint16(h[44:])), int(le.Uint16(h[46:]))
	if name > MaxName || failure > maxFailure {
		return Meta{}, fmt.Errorf("name of %d and failure of %d bytes, at most %d and %d", name, failure, MaxName, maxFailure)
	}
	return Meta{
		ID: wire.VolumeID(le.Uint32(h[12:])), Sequence: le.Uint64(h[16:]), SizeBytes: le.Uint64(h[24:]), Open: le.Uint64(h[32:]),
		Epoch: wire.Epoch(le.Uint32(h[40:])), Name: string(h[48 : 48+name]), Failure: string(h[112 : 112+failure]), Boot: BootID(h[368:384]),
		Config: le.Uint64(h[384:]), Instance: le.Uint64(h[392:]), Synced: le.Uint64(h[400:]), SyncedEpoch: wire.Epoch(le.Uint32(h[408:])),
		OpenEpoch: wire.Epoch(le.Uint32(h[412:])), Lossy: h[416] == 1,
	}, nil
}

// ParseHeaders reads the first 1024 bytes of a checksum file and gives the newer valid header.
func ParseHeaders(b []byte) (Meta, error) {
	if len(b) < 2*HeaderLen {
		return Meta{}, fmt.Errorf("%d bytes, want two headers of %d", len(b), HeaderLen)
	}
	even, err0 := parseHeader(b[:HeaderLen])
	odd, err1 := parseHeader(b[HeaderLen : 2*HeaderLen])
	m := even
	switch {
	case err0 != nil && err1 != nil:
		return Meta{}, fmt.Errorf("even: %w; odd: %w", err0, err1)
	case err0 != nil || err1 == nil && odd.Sequence > even.Sequence:
		m = odd
	}
	if m.SizeBytes == 0 || m.SizeBytes%wire.PageSize != 0 || m.SizeBytes > MaxSize {
		return Meta{}, fmt.Errorf("size of %d bytes, want a multiple of %d up to %d", m.SizeBytes, wire.PageSize, uint64(MaxSize))
	}
	return m, nil
}

// MaxSize bounds a volume, in bytes: 16 TiB, as ext4 bounds a file.
const MaxSize = 1 << 44

// Entry is what is stored beside a block.
type Entry struct {
	Sums    [wire.SectorsPerPage]uint32
	Version wire.BlockVersion
}

var zeroEntrySum = wire.Checksum(make([]byte, EntryLen-4))

// Put puts the entry into the first EntryLen bytes of b.
func (e *Entry) Put(b []byte) {
	b = b[:EntryLen]
	clear(b)
	le := binary.LittleEndian
	for i, s := range e.Sums {
		le.PutUint32(b[4*i:], s^wire.ZeroSectorChecksum)
	}
	le.PutUint64(b[32:], e.Version.No)
	le.PutUint32(b[40:], uint32(e.Version.Epoch))
	le.PutUint32(b[60:], wire.Checksum(b[:60])^zeroEntrySum)
}

// ParseEntry reads the entry that b begins with; ok is false if its own checksum does not fit, so that nothing of it can be trusted.
func ParseEntry(b []byte) (e Entry, ok bool) {
	le := binary.LittleEndian
	for i := range e.Sums {
		e.Sums[i] = le.Uint32(b[4*i:]) ^ wire.ZeroSectorChecksum
	}
	e.Version = wire.BlockVersion{Epoch: wire.Epoch(le.Uint32(b[40:])), No: le.Uint64(b[32:])}
	return e, le.Uint32(b[60:]) == wire.Checksum(b[:60])^zeroEntrySum
}

// Zeros reports whether the block of an entry holds zeros, whoever wrote them.
func (e *Entry) Zeros() bool {
	for _, s := range e.Sums {
		if s != wire.ZeroSectorChecksum {
			return false
		}
	}
	return true
}
