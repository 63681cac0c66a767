package scomponent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/latency"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/blockdev"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// Component is an sComponent.
type Component struct {
	o       Options
	log     *slog.Logger
	store   blockdev.Store
	metrics *metrics
	latency *latency.Recorder
	counts  counts
	boot    volume.BootID

	// catMu is held by whoever makes a volume, or has one come or go, from the look at what is there to the last fsync. Requests of volumes do not take
	// it: they look into the maps under mu, which is never held while anything is waited for, and which only who has catMu changes.
	catMu sync.Mutex

	mu                     sync.RWMutex // no other lock is taken while it is held
	vols                   map[wire.VolumeID]*vol
	incoming               map[wire.VolumeID]*taking // those of vols that come from another sComponent and are not served yet
	reserved               uint64                    // sum of the sizes
	pastSyncs, pastRefused uint64                    // of volumes that were deleted: counters never fall

	heatMu sync.Mutex
	heat   heat.Reader
	began  time.Time // of its clock

	ordersMu sync.Mutex                   // orders to begin and to forget a move, one after the other; before catMu
	forgot   [wire.GSM + 1]wire.Forgotten // by manager
	noted    [wire.GSM + 1]uint64         // by manager, the highest number of a move that it had forgotten; durable

	movesMu   sync.Mutex // changed by who has ordersMu; no other lock but giving.mu is taken while it is held
	moves     map[wire.MoveID]*giving
	moveOrder []wire.MoveID // of moves, the first to begin first

	peersMu sync.Mutex
	peers   map[string]*netlayer.Peer

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup // goroutines of moves
}

// New opens the data folder and every volume in it. It panics if the options are not valid.
func New(o Options) (*Component, error) {
	if err := o.Validate(); err != nil {
		panic("scomponent: options: " + err.Error())
	}
	c := &Component{o: o, log: o.Log, store: o.Devices, metrics: newMetrics(), latency: newLatency(), boot: bootID(o.BootID), vols: map[wire.VolumeID]*vol{},
		incoming: map[wire.VolumeID]*taking{}, moves: map[wire.MoveID]*giving{}, peers: map[string]*netlayer.Peer{}, began: time.Now()}
	if c.o.Migrate == (migrate.Options{}) {
		c.o.Migrate = migrate.DefaultOptions()
	}
	if c.o.IncomingTimeout == 0 {
		c.o.IncomingTimeout = DefaultIncomingTimeout
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.store == nil {
		d, err := blockdev.OpenDir(o.DataDir)
		if err != nil {
			return nil, fmt.Errorf("%s: data_dir: %w", o.Node, err)
		}
		c.store = d
	}
	if err := c.scan(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: data_dir %s: %w", o.Node, c.store.Place(), err), c.Close(context.Background()))
	}
	return c, nil
}

// bootID gives 16 bytes that differ for another start of the machine. Where the system does not tell (it is no Linux), the
// text is empty and always the same: then a restart of the machine is not noticed.
func bootID(text string) volume.BootID {
	if text == "" {
		b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
		if err != nil {
			return volume.BootID{}
		}
		text = string(b)
	}
	sum := sha256.Sum256([]byte(text))
	return volume.BootID(sum[:16])
}

// scan opens the volumes and removes the files of volumes that were never completely made or not completely deleted. A
// checksum file is what makes a volume: it gets its name last and loses it first.
func (c *Component) scan() error {
	names, err := c.store.List()
	if err != nil {
		return err
	}
	if err := c.loadForgot(); err != nil {
		return err
	}
	c.catMu.Lock() // goroutines of moves begin below
	defer c.catMu.Unlock()
	for _, name := range names {
		id, kind, ok := volume.ParseName(name)
		has := func(name string) bool { return slices.Contains(names, name) }
		switch {
		case name == volume.ForgotName || name == volume.ForgotNewName:
		case !ok:
			c.log.Warn("a file that is none of a volume is left alone", "file", name, "folder", c.store.Place())
		case kind == "crc":
			if err := c.load(id, has); err != nil {
				return err
			}
		case kind == "out":
			if !has(volume.SumsName(id)) {
				if err := c.resume(id, nil); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		case kind == "new", kind == "note", !has(volume.SumsName(id)):
			c.log.Info("a left-over of an unfinished volume is removed", "file", name)
			if err := c.store.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// load opens a volume and goes on with its move, if it was on the move.
func (c *Component) load(id wire.VolumeID, has func(name string) bool) error {
	v := c.open(id)
	if v.broken == nil && has(volume.InName(id)) {
		if err := c.kept(v); err != nil {
			v.broken = wire.Errorf(wire.KindCorrupt, "volume %d at %s: %v: %v", id, c.o.Node, errNote, err)
		}
	}
	if has(volume.OutName(id)) && !has(volume.InName(id)) {
		var out migrate.Out
		if c.readNote(volume.OutName(id), &out) == nil && out.Mark == migrate.Given {
			v.close() // what is left of it goes
			return c.resume(id, nil)
		}
		if err := c.resume(id, v); err != nil && v.broken == nil {
			v.broken = wire.Errorf(wire.KindCorrupt, "volume %d at %s: %v", id, c.o.Node, err)
		}
	}
	if v.broken == nil {
		c.add(v, v.core.Meta().SizeBytes)
	} else {
		c.add(v, 0)
		c.log.Error("a volume cannot be served", "volume", id, "cause", v.broken)
	}
	return nil
}

// add takes a volume of so many bytes into the books. catMu is held.
func (c *Component) add(v *vol, size uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vols[v.id] = v
	c.reserved += size
}

// all gives the volumes, in no order.
func (c *Component) all() []*vol {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Values(c.vols))
}

// open opens the files of a volume. One that cannot be opened is kept as broken, so that the others are served.
func (c *Component) open(id wire.VolumeID) *vol {
	v := c.newVol(id)
	head := make([]byte, 2*volume.HeaderLen)
	var meta volume.Meta
	sums, err := c.store.Open(volume.SumsName(id))
	if err == nil {
		v.sums = sums
		_, err = sums.ReadAt(head, 0)
	}
	if err == nil {
		meta, err = volume.ParseHeaders(head)
	}
	if err == nil && meta.ID != id {
		err = fmt.Errorf("its header is that of volume %d", meta.ID)
	}
	if err == nil {
		v.core = c.volumeCore(volume.New(meta, c.boot))
		v.img, err = c.store.Open(volume.ImageName(id))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.broken = wire.Errorf(wire.KindFailed, "volume %d at %s: a file is missing: %v", id, c.o.Node, err)
	case err != nil:
		v.broken = wire.Errorf(wire.KindCorrupt, "volume %d at %s: %s: %v", id, c.o.Node, volume.SumsName(id), err)
	}
	return v
}

func (c *Component) newVol(id wire.VolumeID) *vol {
	return &vol{node: c.o.Node, id: id, sched: c.schedCore(id), waiting: map[uint64]*flushWait{}}
}

func (c *Component) find(id wire.VolumeID) (*vol, error) {
	c.mu.RLock()
	v, ok := c.vols[id]
	c.mu.RUnlock()
	if !ok {
		return nil, wire.Errorf(wire.KindNotFound, "volume %d is not at %s", id, c.o.Node)
	}
	return v, nil
}

// create makes a volume. Making it again with the same properties succeeds.
func (c *Component) create(req wire.VolumeCreateReq) error {
	meta, err := volume.Check(req, c.boot)
	if err != nil {
		return err
	}
	c.catMu.Lock()
	defer c.catMu.Unlock()
	if t := c.incoming[req.Volume]; t != nil {
		return t.v.comes(t.open.Giver)
	}
	if v, ok := c.vols[req.Volume]; ok {
		if v.broken != nil {
			return v.broken
		}
		v.st.Lock()
		old := v.core.Meta()
		v.st.Unlock()
		if old.Name != meta.Name || old.SizeBytes != meta.SizeBytes {
			return wire.Errorf(wire.KindExists, "volume %d at %s exists as %q with %d bytes, wanted is %q with %d", req.Volume, c.o.Node, old.Name, old.SizeBytes, meta.Name, meta.SizeBytes)
		}
		return nil
	}
	if err := c.room(meta.SizeBytes); err != nil {
		return err
	}
	v := c.newVol(req.Volume)
	v.core = c.volumeCore(volume.New(meta, c.boot))
	if err := c.make(v, meta); err != nil {
		err = v.ioError("it cannot be made", err)
		v.close()
		v.endTapes()
		c.store.Remove(volume.NewName(v.id)) // what stays is removed at the next start
		c.store.Remove(volume.ImageName(v.id))
		return err
	}
	c.add(v, meta.SizeBytes)
	c.log.Info("volume made", "volume", v.id, "name", meta.Name, "size_bytes", meta.SizeBytes, "epoch", meta.Epoch)
	return nil
}

// room checks that one more volume fits. catMu is held.
func (c *Component) room(size uint64) error {
	if len(c.vols) >= c.o.MaxVolumes {
		return wire.Errorf(wire.KindNoRoom, "%s holds %d volumes, at most max_volumes %d", c.o.Node, len(c.vols), c.o.MaxVolumes)
	}
	if size > c.o.CapacityBytes || c.reserved > c.o.CapacityBytes-size {
		return wire.Errorf(wire.KindNoRoom, "%s: a volume of %d bytes does not fit: %d of capacity_bytes %d are taken", c.o.Node, size, c.reserved, c.o.CapacityBytes)
	}
	return nil
}

// make writes the files; the renaming of the second makes the volume exist.
func (c *Component) make(v *vol, meta volume.Meta) error {
	return firstError(
		func() error { return c.files(v, meta) },
		v.sync,
		func() error { return c.store.Rename(volume.NewName(v.id), volume.SumsName(v.id)) },
		c.store.Sync,
	)
}

// files makes the files of a volume that does not exist yet.
func (c *Component) files(v *vol, meta volume.Meta) (err error) {
	if v.img, err = c.store.Create(volume.ImageName(v.id)); err != nil {
		return err
	}
	if v.sums, err = c.store.Create(volume.NewName(v.id)); err != nil {
		return err
	}
	head, off := v.core.Header()
	if _, err = v.sums.WriteAt(head, off); err != nil {
		return err
	}
	return firstError(
		func() error { return v.sums.Truncate(volume.SumsSize(meta.SizeBytes)) },
		func() error { return v.img.Truncate(int64(meta.SizeBytes)) },
	)
}

func firstError(steps ...func() error) error {
	for _, f := range steps {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes a volume. A request that runs ends first.
func (c *Component) remove(ref wire.VolumeRef) error {
	gone := c.gaveAway(ref.Volume)
	c.catMu.Lock()
	defer c.catMu.Unlock()
	v, ok := c.vols[ref.Volume]
	if !ok {
		if gone != nil {
			return gone
		}
		return wire.Errorf(wire.KindNotFound, "volume %d is not at %s", ref.Volume, c.o.Node)
	}
	if v.broken == nil {
		v.st.Lock()
		meta, give := v.core.Meta(), v.give
		v.st.Unlock()
		switch {
		case give != nil && give.status().State != wire.MoveLost:
			return v.moving(give.req.To)
		case c.incoming[v.id] != nil:
			return v.comes(c.incoming[v.id].open.Giver)
		case ref.Epoch < meta.Epoch:
			return wire.Errorf(wire.KindStale, "volume %d (%s): delete under epoch %d, want at least %d", v.id, meta.Name, ref.Epoch, meta.Epoch)
		}
	}
	c.forgetVol(v)
	if err := c.store.Remove(volume.SumsName(v.id)); err != nil {
		return v.ioError("delete", err)
	}
	if err := c.store.Remove(volume.ImageName(v.id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return v.ioError("delete", err)
	}
	c.log.Info("volume deleted", "volume", v.id)
	return c.removeFiles(volume.OutName(v.id)) // syncs what was removed
}

// forgetVol closes a volume and takes it out of the books. catMu is held; a request that runs ends first.
func (c *Component) forgetVol(v *vol) {
	v.close()
	var size uint64
	var st iosched.Stats
	v.st.Lock()
	v.endTapes()
	if v.broken == nil {
		size, st = v.core.Meta().SizeBytes, v.sched.Stats()
	}
	v.st.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.vols, v.id)
	c.reserved -= size
	c.pastSyncs, c.pastRefused = c.pastSyncs+st.Syncs, c.pastRefused+st.Refused
}

// Close ends what moves do, closes every file and gives up the folder. Call it after the server has ended; a request that still runs is waited
// for, which takes as long as its disk, so the context is not needed.
func (c *Component) Close(context.Context) error {
	c.stopMoves()
	c.catMu.Lock()
	defer c.catMu.Unlock()
	var errs []error
	for _, v := range c.all() {
		errs = append(errs, v.close())
	}
	c.mu.Lock()
	clear(c.vols)
	c.mu.Unlock()
	if c.store != nil {
		errs = append(errs, c.store.Close())
		c.store = nil
	}
	return errors.Join(errs...)
}
