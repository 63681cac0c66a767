package scomponent

import (
	"errors"
	"io"
	"io/fs"

	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// putNote makes a note of a move durable, in place of one of that name.
func (c *Component) putNote(id wire.VolumeID, name string, note any) error {
	b := migrate.AppendNote(nil, note)
	d, err := c.store.Create(volume.NoteNewName(id))
	if err != nil {
		return err
	}
	_, err = d.WriteAt(b, 0)
	if err == nil {
		err = d.Sync()
	}
	return firstError(
		func() error { return errors.Join(err, d.Close()) },
		func() error { return c.store.Rename(volume.NoteNewName(id), name) },
		c.store.Sync,
	)
}

// readNote reads a note.
func (c *Component) readNote(name string, note any) error {
	d, err := c.store.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	b := make([]byte, migrate.MaxNoteLen)
	n, err := d.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return migrate.ParseNote(b[:n], note)
}

// removeFiles removes what there is of names, durably and in order.
func (c *Component) removeFiles(names ...string) error {
	for _, name := range names {
		if err := c.store.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// Each before the next: a crash in between must not leave the later ones gone and this one there.
		if err := c.store.Sync(); err != nil {
			return err
		}
	}
	return nil
}
