package placement

// fewestVolumes chooses the component with the fewest volumes: the policy of GSM for buffer caches.
var fewestVolumes = Policy{
	Name: "fewest_volumes",
	less: func(a, b Candidate) bool { return a.Volumes < b.Volumes },
}
