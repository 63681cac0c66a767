package tape

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestReader reads back what was appended, and finds every cut.
func TestReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, i, s, v := rapid.Uint64().Draw(t, "n"), rapid.Int64().Draw(t, "i"), rapid.String().Draw(t, "s"), rapid.Bool().Draw(t, "v")
		b := binary.AppendVarint(binary.AppendUvarint(nil, n), i)
		b = AppendBool(AppendString(AppendBytes(b, []byte(s)), s), v)
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
		read := func(b []byte) error {
			r := NewReader(b)
			gn, gi, gb, gs, gv, gw := r.Uint(), r.Int(), string(r.Bytes()), r.String(), r.Bool(), r.Word()
			if err := r.End(); err != nil {
				return err
			}
			if gn != n || gi != i || gb != s || gs != s || gv != v || gw != uint32(n) {
				t.Errorf("%d %d %q %q %t %d", gn, gi, gb, gs, gv, gw)
			}
			return nil
		}
		if err := read(b); err != nil {
			t.Error(err)
		}
		if err := read(append(bytes.Clone(b), 0)); err == nil || !strings.Contains(err.Error(), "left over") {
			t.Errorf("longer: %v", err)
		}
		for k := range b {
			if read(b[:k]) == nil {
				t.Errorf("%d of %d bytes are read", k, len(b))
			}
		}
	})
}

// TestSum: what differs in a field, or in the order of two, has another checksum.
func TestSum(t *testing.T) {
	seen := map[uint32]string{}
	for name, s := range map[string]Sum{
		"none": 0, "0": Sum(0).Uint(0), "1": Sum(0).Uint(1), "2": Sum(0).Uint(2), "1 2": Sum(0).Uint(1).Uint(2), "2 1": Sum(0).Uint(2).Uint(1),
		"a": Sum(0).String("a"), "b": Sum(0).String("b"), "aa": Sum(0).String("aa"), "eight": Sum(0).String("12345678"), "nine": Sum(0).String("123456789"),
		"a b": Sum(0).String("a").String("b"), "ab ": Sum(0).String("ab").String(""), "zeros": Sum(0).Bytes(make([]byte, 8)), "more zeros": Sum(0).Bytes(make([]byte, 9)),
	} {
		if other := seen[s.Word()]; other != "" {
			t.Errorf("%q and %q have one checksum", name, other)
		}
		seen[s.Word()] = name
	}
	if Sum(0).String("text") != Sum(0).Bytes([]byte("text")) || Sum(0).Bool(true) != Sum(0).Uint(1) {
		t.Error("one value has two checksums")
	}
}

// TestApplied reads back what Append wrote.
func TestApplied(t *testing.T) {
	for _, a := range []Applied{{Command: []byte("command"), Sum: 7}, {Restored: true, Command: []byte{}}} {
		var got Applied
		if err := got.Read(a.Append(nil)); err != nil || got.Restored != a.Restored || !bytes.Equal(got.Command, a.Command) || got.Sum != a.Sum {
			t.Errorf("%+v reads back as %+v, %v", a, got, err)
		}
	}
}
