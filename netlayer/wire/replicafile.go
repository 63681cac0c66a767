package wire

// FileReq asks GSM for the backup file of the logs that an mComponent keeps, or gives one back.
type FileReq struct {
	Holder    NodeID
	Member    Epoch    // of its membership: files of an older one are over
	SizeBytes uint64   // wanted; there may be less
	Bad       VolumeID // this one cannot be used any more
	Drop      VolumeID // give this one back, and nothing else; 0: a file is wanted
	No        uint64   // grows with each thing that the holder asks under Member; what comes after a newer one is refused. 0: not known
}

// ReplicaFile is a backup file: a volume that nobody but the mComponent uses for which it is.
type ReplicaFile struct {
	Volume    VolumeID
	Epoch     Epoch
	SizeBytes uint64
	Storage   NodeID
	Addr      string
}

// Name is the name of the volume at its sComponent.
func (f ReplicaFile) Name() string { return "log-of-copies" }
