package wire

import (
	"math"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// TestLengthsAreCheckedBeforeAllocation: a few bytes that declare a huge list, map or text are refused; the decoder would
// take gigabytes for them.
func TestLengthsAreCheckedBeforeAllocation(t *testing.T) {
	type message struct {
		List []Member
	}
	for name, b := range map[string]string{
		"array of 4 G": "\x91\xdd\xff\xff\xff\xff", "array of 64 k": "\x91\xdc\xff\xff", "map of 4 G": "\x91\xdf\xff\xff\xff\xff\x01",
		"text of 4 G": "\x91\xdb\xff\xff\xff\xff", "bytes of 4 G": "\x91\xc6\xff\xff\xff\xff", "extension of 4 G": "\x91\xc9\xff\xff\xff\xff\x01",
		"length cut off": "\x91\xdd\xff", "array that ends": "\x93\x01\x02", "nothing": "", "lists in lists": strings.Repeat("\xdd\x7f\xff\xff\xff", 1000),
	} {
		var m message
		err := Unmarshal(append([]byte{ControlVersion}, b...), &m)
		if KindOf(err) != KindBadRequest || !strings.Contains(err.Error(), "declares more than it holds") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLengthsOfEveryForm: whatever msgpack writes is walked over to its very end.
func TestLengthsOfEveryForm(t *testing.T) {
	for _, v := range []any{
		nil, true, 0, -1, 127, -32, -33, 1 << 7, 1 << 15, 1 << 31, int64(math.MaxInt64), uint64(math.MaxUint64), int64(math.MinInt64), float32(1), 1.5,
		"", "text", strings.Repeat("x", 200), strings.Repeat("x", 70_000), []byte{}, make([]byte, 300), make([]byte, 70_000),
		[]int{1, 2}, make([]string, 20), make([]string, 70_000), map[string]int{"a": 1}, manyKeys(20), manyKeys(70_000), [][]int{{1}, {}, nil},
	} {
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkLengths(b); err != nil {
			t.Errorf("%T of %d bytes: %v", v, len(b), err)
		}
		if err := checkLengths(b[:len(b)-1]); err == nil {
			t.Errorf("%T of %d bytes: its last byte is not missed", v, len(b))
		}
	}
}

func manyKeys(n int) map[int]bool {
	m := map[int]bool{}
	for i := range n {
		m[i] = true
	}
	return m
}
