package trace

import (
	"regexp"
	"regexp/syntax"
)

// splitter matches lines as a regular expression does, where that is of a shape that needs no search: anchored at both ends, and between them, in groups or
// not, literals, letters of a class, and runs of a class, none followed by a letter of its own class. Then there is at most one match and every byte is
// looked at once; regexp serves all others.
type splitter struct {
	steps  []splitStep
	groups int // with that of the whole
}

// splitStep is a mark, a literal, or letters of a class.
type splitStep struct {
	mark    int // if not 0, the place in what is found that is here
	literal string
	class   *[128]bool
	least   int  // letters of the class
	run     bool // as many as there are, else one
}

// newSplitter gives nil for an expression that is not of the shape.
func newSplitter(re *regexp.Regexp) *splitter {
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil || tree.Op != syntax.OpConcat {
		return nil
	}
	last := len(tree.Sub) - 1
	if tree.Sub[0].Op != syntax.OpBeginText || tree.Sub[last].Op != syntax.OpEndText {
		return nil
	}
	s := &splitter{groups: re.NumSubexp() + 1}
	for _, p := range tree.Sub[1:last] {
		if !s.add(p) {
			return nil
		}
	}
	var run *[128]bool // the class of the run before, if it is one
	for _, step := range s.steps {
		switch {
		case step.mark > 0:
			continue
		case run != nil && (step.class != nil || run[step.literal[0]]):
			return nil // where the run ends is not known when it is read
		}
		run = nil
		if step.run {
			run = step.class
		}
	}
	return s
}

// add adds the steps of a part, or reports that it is not of the shape.
func (s *splitter) add(p *syntax.Regexp) bool {
	var step splitStep
	switch p.Op {
	case syntax.OpCapture:
		s.steps = append(s.steps, splitStep{mark: 2 * p.Cap})
		ok := s.add(p.Sub[0])
		s.steps = append(s.steps, splitStep{mark: 2*p.Cap + 1})
		return ok
	case syntax.OpConcat:
		for _, q := range p.Sub {
			if !s.add(q) {
				return false
			}
		}
		return true
	case syntax.OpLiteral:
		for _, r := range p.Rune {
			if r >= 128 || p.Flags&syntax.FoldCase != 0 {
				return false
			}
		}
		s.steps = append(s.steps, splitStep{literal: string(p.Rune)})
		return true
	case syntax.OpCharClass:
		step.least = 1
	case syntax.OpPlus:
		step.least, step.run, p = 1, true, p.Sub[0]
	case syntax.OpStar:
		step.run, p = true, p.Sub[0]
	}
	if p.Op != syntax.OpCharClass {
		return false
	}
	step.class = new([128]bool)
	for i := 0; i < len(p.Rune); i += 2 {
		for r := p.Rune[i]; r <= p.Rune[i+1] && r < 128; r++ {
			step.class[r] = true
		}
	}
	s.steps = append(s.steps, step)
	return true
}

// find is what FindSubmatchIndex of the expression gives, in m, which is made if it is too small. Of a line that is not all ASCII it knows nothing.
func (s *splitter) find(line []byte, m []int) (found []int, known bool) {
	for _, c := range line {
		if c >= 128 {
			return nil, false
		}
	}
	m = append(m[:0], 0, len(line))
	for range s.groups - 1 {
		m = append(m, -1, -1)
	}
	at := 0
	for i := range s.steps {
		step := &s.steps[i]
		from := at
		switch {
		case step.mark > 0:
			m[step.mark] = at
			continue
		case step.class == nil:
			at += len(step.literal)
			if at > len(line) || string(line[from:at]) != step.literal {
				return nil, true
			}
			continue
		}
		for at < len(line) && step.class[line[at]] && (step.run || at == from) {
			at++
		}
		if at-from < step.least {
			return nil, true
		}
	}
	if at < len(line) {
		return nil, true
	}
	return m, true
}
