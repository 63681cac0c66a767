package repair

import (
	"fmt"

	"splitkernel/netlayer/wire"
)

// Verb says what becomes of a copy of a volume, or of its buffer cache.
type Verb uint8

// The verbs. Numbers are wire numbers, never reused. Each is a compare-and-set: against other books it is refused and changes nothing.
const (
	// Replace has another sComponent take the place of Node: a copy there fills, and Node leaves when it is in sync. If Node is the one
	// that fills, another fills. By Volume and Config.
	Replace Verb = 1
	// Synced says that the copy at Node, which fills, has everything: it is counted from now on, and the one that leaves, if one does, is gone. By
	// Volume and Config.
	Synced Verb = 2
	// Recache gives a volume another buffer cache, because the mComponent of the present one has lost it. By Volume and Epoch.
	Recache Verb = 3
	// Lose says that writes which were acknowledged and not flushed died with the buffer cache of before. By Volume and Epoch.
	Lose Verb = 4
	// Told says that the buffer cache which Recache chose serves, and that the pComponent knows. By Volume and Epoch.
	Told Verb = 5
	// Seen says that the copy at Node, whose sComponent registered again as Member, is there and has everything. By Volume and Config.
	Seen Verb = 6
	// Confirmed says that the buffer cache serves under the configuration, and needs not be told. By Volume, Epoch and Config.
	Confirmed Verb = 7
	// Remake is Replace of a copy that Node, which is alive, has lost: if no other sComponent has room it is made again there, and counts
	// for nothing until it was filled. By Volume and Config.
	Remake Verb = 8
)

func (v Verb) String() string {
	names := [...]string{"none", "replace", "synced", "recache", "lose", "told", "seen", "confirmed", "remake"}
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("repair(%d)", uint8(v))
}

// Change is one change of the books. Fields that its verb does not name are zero.
type Change struct {
	Verb   Verb
	Volume wire.VolumeID
	Epoch  wire.Epoch
	Config uint64
	Node   wire.NodeID
	Member wire.Epoch // of Seen
	Text   string     // why
}
