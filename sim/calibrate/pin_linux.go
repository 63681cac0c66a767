package calibrate

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// pin puts this process, and so the children that it starts, on the last processor that it may use, as taskset would before its
// start: the runtime then runs one goroutine at a time, too. The last, because much else that pins itself takes the first.
func pin() (undo func(), err error) {
	var old, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return nil, fmt.Errorf("ask for the processors of this process: %w", err)
	}
	last := -1
	for i := range 1024 {
		if old.IsSet(i) {
			last = i
		}
	}
	if last < 0 {
		return nil, errors.New("this process may use none of the first 1024 processors")
	}
	one.Set(last)
	if err := affinity(&one); err != nil {
		return nil, fmt.Errorf("pin this process to processor %d: %w", last, err)
	}
	procs := runtime.GOMAXPROCS(1)
	return func() {
		runtime.GOMAXPROCS(procs)
		_ = affinity(&old) // what was allowed before is allowed again
	}, nil
}

// affinity sets the processors of every thread of this process.
func affinity(s *unix.CPUSet) error {
	done := 0
	for range 2 { // a thread that one not yet set began meanwhile is there the second time
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range tasks {
			id, err := strconv.Atoi(t.Name())
			if err == nil && unix.SchedSetaffinity(id, s) == nil { // a thread may have ended meanwhile
				done++
			}
		}
	}
	if done == 0 {
		return errors.New("no thread took it")
	}
	return nil
}
