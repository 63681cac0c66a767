package trace

// Skip passes over the next n batches of src, as n calls of Next would, and where the file has an index without reading them. It
// returns io.EOF if the stream ends before.
func Skip(src Source, n uint64) error {
	if s, ok := src.(*sktSource); ok && s.err == nil && s.skip == 0 {
		for ; n > 0 && s.next < len(s.blocks); s.next++ {
			if b := &s.blocks[s.next]; b.refs > 0 || b.events > 0 { // Next gives no empty batch
				n--
			}
		}
	}
	for ; n > 0; n-- {
		if _, err := src.Next(); err != nil {
			return err
		}
	}
	return nil
}
