package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"splitkernel/sim/generate"
)

// generatorBase is where generated references begin: whole vRegions of any size up to 1 GiB.
const generatorBase = 1 << 30

// generatorRefs is the batch of a generator: a simulation has ten thousand of them at once.
const generatorRefs = 512

// generator is a Source of references by rule (package generate).
type generator struct {
	spec  generate.Spec
	g     *generate.Generator
	batch Batch
	made  uint64
}

// openGenerator makes the Source of a generator's spec.
func openGenerator(text string) (Source, error) {
	s, err := generate.Parse(text)
	if err != nil {
		return nil, err
	}
	if s.Block() {
		return &blockGenerator{spec: s, g: generate.NewBlocks(s)}, nil
	}
	return &generator{spec: s, g: generate.New(s)}, nil
}

// Header implements Source. All of it is known before reading.
func (g *generator) Header() Header {
	return Header{
		Program: g.spec.Kind, Args: []string{g.spec.String()}, Source: "generator", Granularity: PageBytes, HasMaps: true, HasGaps: true, HasWrites: true,
		Refs: g.spec.Refs, Instructions: g.spec.Refs * g.spec.Gap, FootprintPages: g.spec.Pages, Threads: 1, Maps: 1,
	}
}

// Next implements Source.
func (g *generator) Next() (*Batch, error) {
	if g.made == g.spec.Refs {
		return nil, io.EOF
	}
	b := &g.batch
	b.First, b.Refs, b.Events = g.made, b.Refs[:0], b.Events[:0]
	if g.made == 0 {
		b.Refs = make([]Ref, 0, min(g.spec.Refs, generatorRefs))
		b.Events = append(b.Events, Event{Kind: Mmap, Addr: generatorBase, Len: g.spec.Pages * PageBytes, Anon: true, Writable: true})
	}
	for n := min(g.spec.Refs-g.made, generatorRefs); n > 0; n-- {
		page, write := g.g.Next()
		r := Ref{Addr: generatorBase + page*PageBytes, Gap: uint32(g.spec.Gap)}
		if write {
			r.Flags = FlagWrite
		}
		b.Refs = append(b.Refs, r)
	}
	g.made += uint64(len(b.Refs))
	return b, nil
}

// Close implements Source.
func (g *generator) Close() error { return nil }

// blockGenerator is a Source of requests to a volume by rule.
type blockGenerator struct {
	spec  generate.Spec
	g     *generate.Blocks
	batch Batch
	made  uint64 // requests, flushes not counted
}

// generatorVolume is the name of the volume.
const generatorVolume = "disk"

// Header implements Source. All of it is known before reading.
func (g *blockGenerator) Header() Header {
	return Header{
		Program: g.spec.Kind, Args: []string{g.spec.String()}, Source: "generator", Granularity: 1, HasWrites: true,
		Volumes: []VolumeInfo{{Name: generatorVolume, SizeBytes: g.spec.Size}},
	}
}

// Next implements Source.
func (g *blockGenerator) Next() (*Batch, error) {
	if g.made == g.spec.IOs {
		return nil, io.EOF
	}
	b := &g.batch
	b.Events = b.Events[:0]
	for g.made < g.spec.IOs && len(b.Events) < generatorRefs {
		r := g.g.Next()
		e := Event{Kind: blockKinds[r.Op], TimeNs: uint64(r.At), Offset: r.Offset, Length: r.Length}
		if r.Op != generate.Flush {
			g.made++
		}
		b.Events = append(b.Events, e)
	}
	return b, nil
}

// blockKinds are the events of requests.
var blockKinds = [...]EventKind{generate.Read: BlockRead, generate.Write: BlockWrite, generate.Flush: BlockFlush}

// Close implements Source.
func (g *blockGenerator) Close() error { return nil }

// digestOf is the digest of a generator: that of its text, which says all.
func digestOf(spec string) string {
	sum := sha256.Sum256([]byte(spec))
	return hex.EncodeToString(sum[:])
}
