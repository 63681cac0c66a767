package fit

// Cell is one published figure and ours.
type Cell struct {
	Figure, Case    string
	Published, Ours float64
	Unit            string
	Fitted          bool // used to find the parameters; otherwise a prediction
}

// Error is (ours − published) / published.
func (c Cell) Error() float64 { return c.Ours/c.Published - 1 }

// rpcProfile is the RPC profile of LegoOS's documentation (Documentation/profile.md of revision 1f4da865), in µs by client
// threads; one worker at the server.
var rpcProfile = []struct {
	request, reply uint64
	us             [3]float64 // of 1, 2 and 4 threads
}{
	{32, 4, [3]float64{4.20, 5.02, 9.95}},
	{32, 4096, [3]float64{6.29, 8.97, 17.88}},
	{4200, 4, [3]float64{6.16, 6.49, 12.46}},
	{4200, 4096, [3]float64{8.23, 9.00, 17.91}},
}

var rpcThreads = [3]int{1, 2, 4}

// figure7 are the LegoOS rows of Figure 7, in µs by size of the reply, read off the vector paths.
var figure7 = []struct {
	reply       uint64
	rpc, socket float64
}{
	{128, 4.6, 6.0}, {256, 4.8, 6.1}, {512, 4.9, 6.6}, {1024, 5.4, 6.9}, {2048, 6.1, 7.6}, {4096, 6.5, 8.3},
}

// figure7Request is not published; the paper's plot is by the size of the reply, so the request is taken as the smallest of
// the RPC profile.
const figure7Request = 32

// figure9 is the Linux row of Figure 9, in thousand operations a second of one thread: 4 KiB each, a flush after each write.
var figure9 = struct{ randomWrite, randomRead, sequentialWrite, sequentialRead float64 }{31.5, 10.6, 34.6, 51.8}

// figure8 is Figure 8, in thousand accesses a second: every access a cold miss. Nothing is fitted to it.
var figure8 = struct {
	threads [3]int
	pLocal  [3]float64
	rows    []struct {
		servers, workers int
		k                [3]float64
	}
}{
	threads: [3]int{1, 4, 8},
	pLocal:  [3]float64{588, 1941, 3370},
	rows: []struct {
		servers, workers int
		k                [3]float64
	}{
		{1, 4, [3]float64{126, 427, 669}},
		{2, 2, [3]float64{121, 432, 574}},
		{1, 2, [3]float64{126, 377, 386}},
		{1, 1, [3]float64{126, 203, 203}},
	},
}
