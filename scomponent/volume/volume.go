package volume

import (
	"fmt"
	"strings"

	"splitkernel/netlayer/wire"
)

// Persist says whether and how the header must be written before the request is answered.
type Persist uint8

// The ways. Larger is stronger.
const (
	Nothing Persist = 0
	Written Persist = 1 // handed to the kernel: survives the death of any process
	Synced  Persist = 2 // on the medium
)

// chunkBlocks is how many blocks share one lazily made table of versions.
const chunkBlocks = 512

// Volume is one volume. Use one goroutine at a time.
type Volume struct {
	meta Meta
	// versions of the blocks written since the volume was opened or attached: a delayed duplicate of an older write must not
	// land on a newer one. 8 bytes per block, made by chunks where something is written.
	versions map[uint64]*[chunkBlocks]uint64
	synced   uint64 // newest generation completed by a flush under this attachment
	boot     BootID // of the machine now

	// Of a volume that is made again by its tape, which may say anything: who is asked for memory, and for how many chunks it was.
	take  func(bytes int64) error
	taken int
}

// Check checks a request to make a volume and gives its first facts.
func Check(req wire.VolumeCreateReq, boot BootID) (Meta, error) {
	if err := checkName(req.Name); err != nil {
		return Meta{}, err
	}
	size := (req.SizeBytes + wire.PageSize - 1) &^ (wire.PageSize - 1)
	if req.SizeBytes == 0 || req.SizeBytes > MaxSize {
		return Meta{}, wire.Errorf(wire.KindBadRequest, "volume %d: size of %d bytes, want 1 to %d", req.Volume, req.SizeBytes, uint64(MaxSize))
	}
	return Meta{ID: req.Volume, Name: req.Name, SizeBytes: size, Epoch: req.Epoch, Boot: boot, Config: req.Config}, nil
}

// checkName accepts names that are safe in a log, a metric and a path.
func checkName(name string) error {
	ok := len(name) >= 1 && len(name) <= MaxName && name[0] != '.' && name[0] != '-'
	for _, r := range name {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	}
	if !ok {
		return wire.Errorf(wire.KindBadRequest, "volume name %.80q, want 1 to %d letters, digits, '.', '_' or '-', not beginning with '.' or '-'", name, MaxName)
	}
	return nil
}

// New makes the core of a volume from its durable facts, on a machine started under boot.
func New(m Meta, boot BootID) *Volume {
	return &Volume{meta: m, versions: map[uint64]*[chunkBlocks]uint64{}, boot: boot}
}

// Meta returns the durable facts.
func (v *Volume) Meta() Meta { return v.meta }

// Header gives the next header and the offset where it is written.
func (v *Volume) Header() (b []byte, off int64) {
	v.meta.Sequence++
	return v.meta.Append(nil), int64(v.meta.Sequence%2) * HeaderLen
}

func (v *Volume) failed() error {
	return wire.Errorf(wire.KindFailed, "volume %d (%s): %s", v.meta.ID, v.meta.Name, v.meta.Failure)
}

// Fail makes the volume serve no more, for good.
func (v *Volume) Fail(text string) (Persist, error) {
	if v.meta.Failure == "" {
		v.meta.Failure = text[:min(len(text), maxFailure)]
		return Synced, v.failed()
	}
	return Nothing, v.failed()
}

// enter checks epoch and failure. A newer epoch is a new buffer cache: if the one before announced writes that it did not
// flush, they are lost and the volume fails by name instead of serving the blocks from before them (rule 6).
func (v *Volume) enter(e wire.Epoch, fresh bool) (Persist, error) {
	if err := v.one(); err != nil {
		return Nothing, err
	}
	switch {
	case e < v.meta.Epoch:
		return Nothing, wire.Errorf(wire.KindStale, "volume %d (%s): epoch %d, want at least %d", v.meta.ID, v.meta.Name, e, v.meta.Epoch)
	case v.meta.Failure != "":
		return Nothing, v.failed()
	case e == v.meta.Epoch && !fresh:
		if v.meta.Boot != v.boot {
			// The cache wrote blocks back that were not synced when the machine went down, and may have evicted them. It must
			// not go on as if they were here; who attaches anew begins with what was flushed.
			return Nothing, wire.Errorf(wire.KindFailed, "volume %d (%s): the machine of its sComponent was restarted under epoch %d: what was not flushed is lost, attach again", v.meta.ID, v.meta.Name, e)
		}
		return Nothing, nil
	}
	if v.meta.Open != 0 {
		return v.Fail(fmt.Sprintf("its buffer cache under epoch %d held writes that were not flushed and is gone (epoch %d attaches): they are lost; delete the volume", v.meta.Epoch, e))
	}
	clear(v.versions)
	v.synced = 0
	if e == v.meta.Epoch && v.meta.Boot == v.boot {
		return Nothing, nil
	}
	v.meta.Epoch, v.meta.Boot = e, v.boot
	return Synced, nil
}

// Attach begins the service of a buffer cache that holds nothing of the volume yet.
func (v *Volume) Attach(req wire.VolumeAttachReq) (Persist, error) {
	if req.SizeBytes > v.meta.SizeBytes {
		return Nothing, wire.Errorf(wire.KindBadRequest, "volume %d (%s): attached as %d bytes, its size is %d", v.meta.ID, v.meta.Name, req.SizeBytes, v.meta.SizeBytes)
	}
	return v.enter(req.Epoch, true)
}

// NewEpoch reports whether a request brings an epoch that was not seen yet: then all requests under older ones must have
// ended before it is admitted.
func (v *Volume) NewEpoch(e wire.Epoch) bool { return e > v.meta.Epoch && !v.IsCopy() }

func (v *Volume) bounds(k wire.Block) error {
	if uint64(k.Length) > v.meta.SizeBytes || k.Offset > v.meta.SizeBytes-uint64(k.Length) {
		return wire.Errorf(wire.KindBadRequest, "volume %d (%s): %d bytes at offset %d, its size is %d", v.meta.ID, v.meta.Name, k.Length, k.Offset, v.meta.SizeBytes)
	}
	return nil
}

// Read admits a read.
func (v *Volume) Read(k wire.Block) (Persist, error) {
	p, err := v.enter(k.VolumeEpoch, false)
	if err == nil {
		err = v.bounds(k)
	}
	if err == nil && k.Length == 0 {
		err = wire.Errorf(wire.KindBadRequest, "volume %d (%s): a read of 0 bytes", v.meta.ID, v.meta.Name)
	}
	return p, err
}

// Write admits a write; apply is false if a newer write of the block was admitted before. A write of length 0 is a mark:
// its version is the newest generation of writes that the buffer cache acknowledges without having flushed them.
func (v *Volume) Write(k wire.Block) (apply bool, p Persist, err error) {
	if k.Length == 0 && v.IsCopy() {
		p, err = v.markCopy(k)
		return false, p, err
	}
	if p, err = v.enter(k.VolumeEpoch, false); err != nil {
		return false, p, err
	}
	if k.Length == 0 {
		if k.Version > v.synced && k.Version > v.meta.Open {
			v.meta.Open = k.Version
			p = max(p, Written)
		}
		return false, p, nil
	}
	if err = v.bounds(k); err != nil {
		return false, p, err
	}
	n := k.Offset / wire.PageSize
	c := v.versions[n/chunkBlocks]
	if c == nil {
		c = new([chunkBlocks]uint64)
		v.versions[n/chunkBlocks] = c
	}
	if k.Version < c[n%chunkBlocks] {
		return false, p, nil
	}
	c[n%chunkBlocks] = k.Version // equal is a retry, or another sector run of the same write-back
	return true, p, nil
}

// Flush admits a flush; after the sync that covers it, Flushed is called.
func (v *Volume) Flush(k wire.Block) (Persist, error) {
	if v.IsCopy() {
		return Nothing, v.enterCopy(k.VolumeEpoch)
	}
	return v.enter(k.VolumeEpoch, false)
}

// Flushed notes that everything up to a generation is durable: its mark goes, unless a later one was set.
func (v *Volume) Flushed(k wire.Block) Persist {
	if k.VolumeEpoch != v.meta.Epoch {
		return Nothing
	}
	if v.IsCopy() {
		return v.flushedCopy(k)
	}
	v.synced = max(v.synced, k.Version)
	if v.meta.Open == 0 || v.meta.Open > k.Version {
		return Nothing
	}
	v.meta.Open = 0
	return Written
}

// CheckInvariants checks that the header can be read back and that no completed generation is marked.
func (v *Volume) CheckInvariants() error {
	b := append(v.meta.Append(nil), make([]byte, HeaderLen)...)
	m, err := ParseHeaders(b)
	if err != nil {
		return fmt.Errorf("volume %d: its header: %w", v.meta.ID, err)
	}
	if m != v.meta {
		return fmt.Errorf("volume %d: header reads back as %+v, want %+v", v.meta.ID, m, v.meta)
	}
	if v.IsCopy() && v.meta.Open != 0 && !(wire.BlockVersion{Epoch: v.meta.SyncedEpoch, No: v.meta.Synced}).Less(wire.BlockVersion{Epoch: v.meta.OpenEpoch, No: v.meta.Open}) {
		return fmt.Errorf("volume %d: generation %d/%d is marked and %d/%d is complete", v.meta.ID, v.meta.OpenEpoch, v.meta.Open, v.meta.SyncedEpoch, v.meta.Synced)
	}
	if v.meta.Open != 0 && v.meta.Open <= v.synced {
		return fmt.Errorf("volume %d: generation %d is marked and %d is complete", v.meta.ID, v.meta.Open, v.synced)
	}
	return nil
}
