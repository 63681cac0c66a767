package scomponent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// putNote makes a note of a move durable, in place of one of that name.
func (c *Component) putNote(id wire.VolumeID, name string, note any) error {
	return c.putFile(volume.NoteNewName(id), name, note)
}

// putFile is putNote by way of a file of the caller's choice.
func (c *Component) putFile(new, name string, note any) error {
	b := migrate.AppendNote(nil, note)
	d, err := c.store.Create(new)
	if err != nil {
		return err
	}
	_, err = d.WriteAt(b, 0)
	if err == nil {
		err = d.Sync()
	}
	return firstError(
		func() error { return errors.Join(err, d.Close()) },
		func() error { return c.store.Rename(new, name) },
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

// loadForgot reads which moves were forgotten before this start.
func (c *Component) loadForgot() error {
	var f migrate.Forgot
	err := c.readNote(volume.ForgotName, &f)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || len(f.No) != len(c.noted) {
		return fmt.Errorf("%s: %d numbers, want %d: %w", volume.ForgotName, len(f.No), len(c.noted), errors.Join(err, fs.ErrInvalid))
	}
	copy(c.noted[:], f.No)
	for g, no := range c.noted {
		c.forgot[g].ForgetUpTo(no)
	}
	return nil
}

// noteForgot makes durable that a move was forgotten: volumes outlive the process, so a copy of its order that comes after
// a restart must begin nothing either. The highest number is enough for that: after a restart all orders before it are refused, and
// ordered anew by whoever wants them. ordersMu is held.
func (c *Component) noteForgot(m wire.MoveID) error {
	if m.Manager < wire.GPM || m.Manager > wire.GSM {
		return nil
	}
	c.forgot[m.Manager].Forget(m.No)
	if m.No <= c.noted[m.Manager] {
		return nil
	}
	f := migrate.Forgot{No: append([]uint64{}, c.noted[:]...)}
	f.No[m.Manager] = m.No
	if err := c.putFile(volume.ForgotNewName, volume.ForgotName, f); err != nil {
		return wire.Errorf(wire.KindInternal, "%s: %v", volume.ForgotName, err)
	}
	c.noted[m.Manager] = m.No
	return nil
}
