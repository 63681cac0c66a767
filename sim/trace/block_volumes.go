package trace

import (
	"bytes"
	"fmt"
	"strings"
)

// volumeTable numbers the volumes of a trace as they turn up: a device, an ASU, a LUN, a file.
type volumeTable struct {
	prefix string // of the names
	list   []VolumeInfo
	byKey  map[string]uint32
	last   []byte // key that was asked for last: requests come in runs
	index  uint32 // of it
	// recent are keys of at most 7 bytes, each at the place of its hash: a key packed with its length, and its volume. It spares the map
	// where volumes take turns.
	recent []recentVolume
}

type recentVolume struct {
	key    uint64
	volume uint32
}

const recentVolumes = 1 << 12

// newVolumeTable names volumes by prefix and key.
func newVolumeTable(prefix string) volumeTable {
	return volumeTable{prefix: prefix, byKey: map[string]uint32{}}
}

// of is the volume of a key, which the table copies.
func (t *volumeTable) of(key []byte) (uint32, error) {
	if len(key) > 7 {
		return t.find(key)
	}
	packed := uint64(len(key))
	for _, c := range key {
		packed = packed<<8 | uint64(c)
	}
	if t.recent == nil {
		t.recent = make([]recentVolume, recentVolumes)
	}
	r := &t.recent[packed*0x9e3779b97f4a7c15>>(64-12)]
	if r.key != packed || packed == 0 {
		v, err := t.find(key)
		if err != nil {
			return 0, err
		}
		*r = recentVolume{packed, v}
	}
	return r.volume, nil
}

// find is of for any key.
func (t *volumeTable) find(key []byte) (uint32, error) {
	if bytes.Equal(key, t.last) && len(t.list) > 0 {
		return t.index, nil
	}
	v, ok := t.byKey[string(key)]
	if !ok {
		if len(t.list) >= MaxVolumes {
			return 0, fmt.Errorf("more than %d volumes", MaxVolumes)
		}
		name := t.prefix + strings.ReplaceAll(string(key), ",", "_")
		if len(name) > MaxNameBytes {
			return 0, fmt.Errorf("a volume name of %d bytes, at most %d", len(name), MaxNameBytes)
		}
		v = uint32(len(t.list))
		t.byKey[string(key)] = v
		t.list = append(t.list, VolumeInfo{Name: name})
	}
	t.last, t.index = append(t.last[:0], key...), v
	return v, nil
}

// infos is a copy for a header.
func (t *volumeTable) infos() []VolumeInfo { return append([]VolumeInfo(nil), t.list...) }
