package gsm

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// File is a backup file: a volume that holds what the logs of an mComponent have no memory for. It is no volume of a vNode: it has no buffer
// cache, does not move, and is over with the membership of its holder, which alone knows what is where in it.
type File struct {
	Volume    wire.VolumeID
	Holder    wire.NodeID
	Member    wire.Epoch // of the holder's membership
	Storage   wire.NodeID
	SizeBytes uint64
}

// Bounds of backup files.
const (
	// MaxFiles bounds those of one mComponent: the one that it writes to, and those that it left when their sComponents died.
	MaxFiles = 4
	// FileShare is of how many parts of the capacity of an sComponent a file has at most one, so that logs leave room for volumes.
	FileShare = 8
)

// QueryFiles asks for the Files. As the other queries of one manager alone it is above 16.
const QueryFiles membership.QueryKind = 18

// file gives an mComponent a backup file, the same as long as it can be used, or takes one back.
func (s *State) file(cmd Command) Result {
	q := cmd.Request.File
	switch {
	case q.Holder == "" || len(q.Holder) > membership.MaxIDBytes:
		return failed(wire.Errorf(wire.KindBadRequest, "backup file of %.64q, want an id of 1 to %d bytes", q.Holder, membership.MaxIDBytes))
	case q.Drop != 0:
		if err := s.inOrder(q); err != nil {
			return failed(err)
		}
		i, ok := s.findFile(q.Drop)
		if ok && s.files[i].Holder == q.Holder && s.files[i].Member == q.Member {
			s.dropFile(i)
		}
		return Result{}
	case q.SizeBytes == 0 || q.SizeBytes > math.MaxInt64 || q.SizeBytes%wire.PageSize != 0:
		return failed(wire.Errorf(wire.KindBadRequest, "backup file of %s: %d bytes, want a multiple of %d of at most %d", q.Holder, q.SizeBytes, wire.PageSize, int64(math.MaxInt64)))
	}
	if i, ok := s.findGate(q.Holder); ok && s.gates[i].Until != UntilOpened && q.Member <= s.gates[i].Until {
		return failed(wire.Errorf(wire.KindStale, "backup file of %s: epoch %d of its membership is over", q.Holder, q.Member))
	}
	if err := s.inOrder(q); err != nil {
		return failed(err)
	}
	n := 0
	for i := len(s.files) - 1; i >= 0; i-- { // the newest first
		switch f := s.files[i]; {
		case f.Holder != q.Holder:
		case f.Member > q.Member:
			return failed(wire.Errorf(wire.KindStale, "backup file of %s: it has one under epoch %d of its membership, not %d", q.Holder, f.Member, q.Member))
		case f.Member < q.Member:
			s.dropFile(i)
		default:
			e, ok := s.members.Entry(f.Storage)
			if n == 0 && f.Volume != q.Bad && ok && !e.Dead && !e.Drain {
				return Result{File: s.fileAt(f)}
			}
			n++
		}
	}
	if n >= MaxFiles || s.next > math.MaxUint32 {
		return failed(wire.Errorf(wire.KindNoRoom, "backup file of %s: it has %d that cannot be used or are left, at most %d", q.Holder, n, MaxFiles))
	}
	return s.newFile(q, cmd.Stamp)
}

// Asked is the newest thing that an mComponent is known to have asked about its files.
type Asked struct {
	Holder wire.NodeID
	Member wire.Epoch
	No     uint64 // of wire.FileReq
}

// inOrder refuses what comes late: its holder has given up waiting for it, and may have given back since what it would get.
func (s *State) inOrder(q wire.FileReq) error {
	if q.No == 0 {
		return nil
	}
	i, ok := slices.BinarySearchFunc(s.asked, q.Holder, func(a Asked, id wire.NodeID) int { return cmp.Compare(a.Holder, id) })
	now := Asked{q.Holder, q.Member, q.No}
	switch {
	case ok && (q.Member < s.asked[i].Member || q.Member == s.asked[i].Member && q.No < s.asked[i].No):
		return wire.Errorf(wire.KindStale, "backup file of %s: request %d under epoch %d of its membership, the newest is %d under %d", q.Holder, q.No, q.Member, s.asked[i].No, s.asked[i].Member)
	case ok:
		s.asked[i] = now
	case len(s.asked) >= MaxGates:
		return wire.Errorf(wire.KindNoRoom, "backup file of %s: %d others have asked, at most as many", q.Holder, len(s.asked))
	default:
		s.asked = slices.Insert(s.asked, i, now)
	}
	return nil
}

// newFile places a file: whole, or as much of it as an sComponent gives to one.
func (s *State) newFile(q wire.FileReq, stamp membership.Stamp) Result {
	want := uint64(0)
	for i := range s.members.View() {
		if s.members.Placeable(i) {
			want = max(want, s.members.View()[i].Capacity.StorageBytes/FileShare)
		}
	}
	want = max(min(q.SizeBytes, want)/wire.PageSize*wire.PageSize, wire.PageSize)
	m, turn, err := s.chooseStorage(choice{what: fmt.Sprintf("the backup file of %s wants %d at one sComponent", q.Holder, want), size: want, key: s.next, turn: s.storageTurn}, stamp)
	if err != nil {
		return failed(err)
	}
	f := File{Volume: wire.VolumeID(s.next), Holder: q.Holder, Member: q.Member, Storage: m.ID, SizeBytes: min(want, max(m.Capacity.StorageBytes/FileShare/wire.PageSize*wire.PageSize, wire.PageSize))}
	s.next++
	s.storageTurn = turn
	s.files = append(s.files, f) // ids only grow
	s.countFile(f, 1)
	s.refresh(f.Storage)
	return Result{File: s.fileAt(f)}
}

func (s *State) fileAt(f File) wire.ReplicaFile {
	m, _ := s.members.Get(f.Storage)
	return wire.ReplicaFile{Volume: f.Volume, Epoch: 1, SizeBytes: f.SizeBytes, Storage: f.Storage, Addr: m.Addr}
}

func (s *State) findFile(id wire.VolumeID) (int, bool) {
	return slices.BinarySearchFunc(s.files, id, func(f File, id wire.VolumeID) int { return cmp.Compare(f.Volume, id) })
}

func (s *State) countFile(f File, n uint64) {
	s.reserved[f.Storage] += n * f.SizeBytes
	s.filed[f.Storage] += n
}

func (s *State) dropFile(i int) {
	f := s.files[i]
	s.countFile(f, less)
	s.files = slices.Delete(s.files, i, i+1)
	s.refresh(f.Storage)
}

// dropFiles forgets the files of an mComponent whose membership up to an epoch is over.
func (s *State) dropFiles(holder wire.NodeID, until wire.Epoch) {
	for i := len(s.files) - 1; i >= 0; i-- {
		if f := s.files[i]; f.Holder == holder && f.Member <= until {
			s.dropFile(i)
		}
	}
	s.asked = slices.DeleteFunc(s.asked, func(a Asked) bool { return a.Holder == holder && a.Member <= until })
}

// hasFile reports whether an mComponent has a file of a membership up to an epoch.
func (s *State) hasFile(holder wire.NodeID, until wire.Epoch) bool {
	return slices.ContainsFunc(s.files, func(f File) bool { return f.Holder == holder && f.Member <= until })
}

// filedAt reports whether a volume is a backup file at an sComponent.
func (s *State) filedAt(id wire.VolumeID, at wire.NodeID) bool {
	i, ok := s.findFile(id)
	return ok && s.files[i].Storage == at
}

// Files returns the backup files, ascending by Volume.
func (s *State) Files() []File { return append([]File{}, s.files...) }

// checkFiles returns the first broken rule of the files.
func (s *State) checkFiles() error {
	for i, a := range s.asked {
		if a.Holder == "" || len(a.Holder) > membership.MaxIDBytes || a.No == 0 || i > 0 && s.asked[i-1].Holder >= a.Holder || len(s.asked) > MaxGates {
			return fmt.Errorf("gsm: asked for a backup file: %+v at %d of %d", a, i, len(s.asked))
		}
	}
	of := map[wire.NodeID]int{}
	for i, f := range s.files {
		of[f.Holder]++
		switch _, ok := s.members.Get(f.Storage); {
		case f.Volume == 0 || uint64(f.Volume) >= s.next || i > 0 && s.files[i-1].Volume >= f.Volume:
			return fmt.Errorf("gsm: backup file %d is out of order, or not given yet: the next is %d", f.Volume, s.next)
		case !ok || f.Holder == "" || len(f.Holder) > membership.MaxIDBytes || f.SizeBytes == 0 || f.SizeBytes%wire.PageSize != 0 || f.SizeBytes > math.MaxInt64:
			return fmt.Errorf("gsm: backup file %+v", f)
		case of[f.Holder] > MaxFiles:
			return fmt.Errorf("gsm: %s has %d backup files, at most %d", f.Holder, of[f.Holder], MaxFiles)
		}
		if _, ok := s.find(f.Volume); ok {
			return fmt.Errorf("gsm: volume %d is a backup file", f.Volume)
		}
	}
	return nil
}
