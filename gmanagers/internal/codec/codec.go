package codec

import "splitkernel/netlayer/wire"

// Encode encodes v under a format version.
func Encode(version uint8, v any) []byte {
	return append([]byte{version}, wire.Marshal(v)...)
}

// Decode decodes b into v and refuses another version, trailing bytes and anything that is not a v. What names the
// thing in errors, which are of wire.KindBadRequest.
func Decode(b []byte, version uint8, what string, v any) error {
	if len(b) == 0 {
		return wire.Errorf(wire.KindBadRequest, "%s: no bytes, want format version %d", what, version)
	}
	if b[0] != version {
		return wire.Errorf(wire.KindBadRequest, "%s: format version %d, want %d", what, b[0], version)
	}
	if err := wire.Unmarshal(b[1:], v); err != nil {
		return wire.Errorf(wire.KindBadRequest, "%s: %v", what, err)
	}
	return nil
}
