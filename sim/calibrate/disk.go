package calibrate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// Disk is what a file in the folder does, through the system's file cache as the blocks of an sComponent go. Times in ns.
type Disk struct {
	RandomRead      float64 `json:"random_read_ns"`      // 4 KiB
	RandomWrite     float64 `json:"random_write_ns"`     // 4 KiB
	SequentialRead  float64 `json:"sequential_read_ns"`  // 4 KiB, the next of the file
	SequentialWrite float64 `json:"sequential_write_ns"` // 4 KiB, the next of the file
	ReadBytes       float64 `json:"read_bytes_per_s"`    // in requests of 1 MiB
	WriteBytes      float64 `json:"write_bytes_per_s"`   // in requests of 1 MiB
	Sync            float64 `json:"sync_ns"`             // fdatasync after one write of 4 KiB
	SyncBytes       float64 `json:"sync_bytes_per_s"`    // fdatasync after a MiB was written
}

// Sizes of requests and of the file.
const (
	smallRequest, largeRequest = 4 << 10, 1 << 20
	fileSize                   = 32 << 20
	// diskTurns bounds how often each kind of request has its turn, whatever time there is: enough for medians, and disks wear with
	// each byte that is made durable. 64 write 97 MiB beside the file.
	diskTurns = 64
)

// measureDisk measures it for about so long at most, with a file of its own in dir.
func measureDisk(dir string, limit time.Duration) (d Disk, err error) {
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	chance := rand.New(rand.NewPCG(1, 1))
	b := make([]byte, largeRequest)
	for i := range b {
		b[i] = byte(i) // no zeros: a file system may leave these out
	}
	for at := int64(0); at < fileSize; at += largeRequest {
		if _, err := f.WriteAt(b, at); err != nil {
			return d, err
		}
	}
	if err := fdatasync(f); err != nil {
		return d, fmt.Errorf("fdatasync: %w", err)
	}
	var took [8]samples
	timed := func(into int, what func() error) error {
		began := time.Now()
		err := what()
		took[into].add(time.Since(began))
		return err
	}
	random := func(size int64) int64 { return chance.Int64N(fileSize/size) * size }
	small, next := b[:smallRequest], int64(0)
	for end := time.Now().Add(limit); len(took[7]) == 0 || len(took[7]) < diskTurns && time.Now().Before(end); {
		var errs []error
		for range turn {
			next = (next + smallRequest) % fileSize
			errs = append(errs,
				timed(0, func() error { _, err := f.ReadAt(small, random(smallRequest)); return err }),
				timed(2, func() error { _, err := f.ReadAt(small, next); return err }),
				timed(1, func() error { _, err := f.WriteAt(small, random(smallRequest)); return err }),
				timed(3, func() error { _, err := f.WriteAt(small, next); return err }))
		}
		errs = append(errs, timed(4, func() error { _, err := f.ReadAt(b, random(largeRequest)); return err }), fdatasync(f))
		_, err := f.WriteAt(small, random(smallRequest))
		errs = append(errs, err, timed(6, func() error { return fdatasync(f) }),
			timed(5, func() error { _, err := f.WriteAt(b, random(largeRequest)); return err }),
			timed(7, func() error { return fdatasync(f) }))
		if err := errors.Join(errs...); err != nil {
			return d, err
		}
	}
	rate := func(i int) float64 { return largeRequest / median(took[i]) * 1e9 }
	return Disk{
		RandomRead: median(took[0]), RandomWrite: median(took[1]), SequentialRead: median(took[2]), SequentialWrite: median(took[3]),
		ReadBytes: rate(4), WriteBytes: rate(5), Sync: median(took[6]), SyncBytes: rate(7),
	}, nil
}
