package trace

import (
	"fmt"
	"io"
)

// Convert writes src to a .skt at path, its made-up maps and stated defaults
// included, and says what it wrote. It does not close src.
func Convert(path string, src Source) (Info, error) {
	w, err := Create(path, src.Header())
	if err != nil {
		return Info{}, err
	}
	defer w.Abort() // does nothing after Close
	var s statter
	for {
		b, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Info{}, err
		}
		s.batch(b)
		if err := w.batch(b, src); err != nil {
			return Info{}, err
		}
	}
	h := src.Header()
	w.h.SynthesisedMaps, w.h.DefaultsStated = h.SynthesisedMaps, h.DefaultsStated
	s.info.Header = h
	info, err := s.finish()
	if err != nil {
		return info, fmt.Errorf("%s: %w", path, err)
	}
	for v, vol := range info.Volumes {
		for v >= len(w.h.Volumes) {
			if _, err := w.AddVolume(info.Volumes[len(w.h.Volumes)]); err != nil {
				return info, err
			}
		}
		w.SetVolumeSize(uint32(v), vol.SizeBytes)
	}
	if err := w.Close(); err != nil {
		return info, err
	}
	info.Header = w.h
	return info, nil
}

// batch appends a batch of src, whose volumes may have grown.
func (w *Writer) batch(b *Batch, src Source) error {
	next := 0
	for i := range b.Events {
		e := &b.Events[i]
		for ; next < e.At; next++ {
			if err := w.Ref(b.Refs[next]); err != nil {
				return err
			}
		}
		if e.Kind.IsBlock() && int(e.Volume) >= len(w.h.Volumes) {
			for _, v := range src.Header().Volumes[len(w.h.Volumes):] {
				if _, err := w.AddVolume(v); err != nil {
					return err
				}
			}
		}
		if err := w.Event(*e); err != nil {
			return err
		}
	}
	for ; next < len(b.Refs); next++ {
		if err := w.Ref(b.Refs[next]); err != nil {
			return err
		}
	}
	return nil
}
