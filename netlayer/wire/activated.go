package wire

// Activated is what GMM answers who asks for the owner of a vRegion.
type Activated struct {
	Owner
	Config RegionConfig // who makes the vRegion redundant; zero if nobody
	Home   HomeConfig   // who is the backup of the home of its process; zero if nobody
}
