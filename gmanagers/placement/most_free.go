package placement

// mostFree chooses the most capacity that is not reserved: the policy of GSM for storage.
var mostFree = Policy{
	Name: "most_free",
	less: func(a, b Candidate) bool { return a.free() > b.free() },
}
