package placement

// fewestThreads chooses the component with the fewest threads: the policy of GPM (legoos.md §2, paper).
var fewestThreads = Policy{
	Name: "fewest_threads",
	less: func(a, b Candidate) bool { return a.Threads < b.Threads },
}
