package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Name is the file of the ledger in its folder. It has pages of 512 bytes, little-endian, the first of which is the head:
//
//	0      4       8                     44     45
//	+------+-------+---------------------+------+
//	| CRC  | "SKL1"| boot id of the host | clean|  zeros
//	+------+-------+---------------------+------+
//
// and each other a file, or free:
//
//	0      4      5      6       8        16     20       22      24
//	+------+------+------+-------+--------+------+--------+--------+------+---------+
//	| CRC  | used | may  | zeros | length | sum  | bytes  | bytes  | name | to name |
//	|      |      | lack |       |        |      | of name| of to  |      |         |
//	+------+------+------+-------+--------+------+--------+--------+------+---------+
//
// CRC is CRC32C of what follows in the page. While a file is renamed it has both names; while one is removed it may lack.
const Name = "ledger"

const (
	pageBytes = 512
	magic     = "SKL1"
	bootBytes = 36
	nameAt    = 24
	// MaxFiles bounds the files that are kept account of; others are not, as are those whose names are too long.
	MaxFiles = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Damaged is the error of files that are not as they were left.
type Damaged struct {
	File string // its path
	Why  string
}

func (d *Damaged) Error() string { return fmt.Sprintf("%s is damaged: %s", d.File, d.Why) }

// account is what is known of a file.
type account struct {
	page    int // of the ledger
	name    string
	to      string // its name after the rename that is under way
	n       uint64
	sum     uint32
	mayLack bool
}

// put encodes an account, or a free page.
func (a *account) put(used bool) []byte {
	b := make([]byte, pageBytes)
	if used {
		b[4] = 1
		if a.mayLack {
			b[5] = 1
		}
		binary.LittleEndian.PutUint64(b[8:], a.n)
		binary.LittleEndian.PutUint32(b[16:], a.sum)
		binary.LittleEndian.PutUint16(b[20:], uint16(len(a.name)))
		binary.LittleEndian.PutUint16(b[22:], uint16(len(a.to)))
		copy(b[nameAt+copy(b[nameAt:], a.name):], a.to)
	}
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// fits reports whether names can be kept.
func fits(name, to string) bool { return nameAt+len(name)+len(to) <= pageBytes }

func parse(b []byte, page int) (a *account, used, ok bool) {
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil, false, false
	}
	n, m := int(binary.LittleEndian.Uint16(b[20:])), int(binary.LittleEndian.Uint16(b[22:]))
	if nameAt+n+m > pageBytes {
		return nil, false, false
	}
	return &account{
		page: page, mayLack: b[5] == 1, n: binary.LittleEndian.Uint64(b[8:]), sum: binary.LittleEndian.Uint32(b[16:]),
		name: string(b[nameAt : nameAt+n]), to: string(b[nameAt+n : nameAt+n+m]),
	}, b[4] == 1, true
}

func head(boot string, clean bool) []byte {
	b := make([]byte, pageBytes)
	copy(b[4:], magic)
	copy(b[8:8+bootBytes], boot)
	if clean {
		b[8+bootBytes] = 1
	}
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// check reads the ledger of a folder and compares the files with it. It returns nothing without an error if there is no ledger, or if
// it says nothing because the machine has stopped since.
func check(dir, boot string) ([]*account, error) {
	path := filepath.Join(dir, Name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	damaged := func(format string, args ...any) error { return &Damaged{path, fmt.Sprintf(format, args...)} }
	if len(text) < pageBytes || len(text) > (MaxFiles+1)*pageBytes || len(text)%pageBytes != 0 {
		return nil, damaged("it has %d bytes, want pages of %d", len(text), pageBytes)
	}
	if binary.LittleEndian.Uint32(text) != crc32.Checksum(text[4:pageBytes], castagnoli) || string(text[4:8]) != magic {
		return nil, damaged("its head does not fit its checksum")
	}
	if was := string(bytes.TrimRight(text[8:8+bootBytes], "\x00")); text[8+bootBytes] == 0 && (was != boot || boot == "") {
		return nil, nil
	}
	var out []*account
	for page := 1; page*pageBytes < len(text); page++ {
		a, used, ok := parse(text[page*pageBytes:(page+1)*pageBytes], page)
		if !ok {
			return nil, damaged("page %d does not fit its checksum", page)
		}
		if !used {
			continue
		}
		there, err := a.compare(dir)
		if err != nil {
			return nil, err
		}
		if there {
			out = append(out, a)
		}
	}
	return out, nil
}

// compare compares a file with its account. It is false if the file is rightly not there. A rename that was cut short is taken down.
func (a *account) compare(dir string) (bool, error) {
	path := filepath.Join(dir, a.name)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && a.to != "" {
		a.name = a.to
		path = filepath.Join(dir, a.name)
		f, err = os.Open(path)
	}
	a.to = ""
	if errors.Is(err, fs.ErrNotExist) {
		if a.mayLack {
			return false, nil
		}
		return false, &Damaged{path, fmt.Sprintf("it is gone, with the %d bytes that were written to it", a.n)}
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, io.LimitReader(f, int64(a.n)))
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: %w", path, err)
	case a.mayLack: // it was being written anew
	case uint64(n) < a.n:
		return false, &Damaged{path, fmt.Sprintf("it has %d of the %d bytes that were written to it", n, a.n)}
	case sum.Sum32() != a.sum:
		return false, &Damaged{path, fmt.Sprintf("its first %d bytes are not those that were written", a.n)}
	}
	return true, nil
}

// bootID names this run of the machine; empty if it cannot be told.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}
