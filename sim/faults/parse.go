package faults

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"splitkernel/netlayer/wire"
)

// words are those of the language that a component cannot be called by.
const (
	wordAt, wordFor, wordBetween, wordBy, wordJitter, wordAny, wordAll, wordRandom = "at", "for", "between", "by", "jitter", "any", "all", "random"
)

var leaders = map[string]wire.Manager{"gpm-leader": wire.GPM, "gmm-leader": wire.GMM, "gsm-leader": wire.GSM}

var letters = map[string]wire.Role{
	"p": wire.RoleCompute, "m": wire.RoleMemory, "s": wire.RoleStorage, "g": wire.RoleManager,
	"pcomponent": wire.RoleCompute, "mcomponent": wire.RoleMemory, "scomponent": wire.RoleStorage, "manager": wire.RoleManager,
}

// Parse reads a sentence. The error is a *SyntaxError.
func Parse(text string) (Fault, error) {
	p := parser{text: text, tokens: scan(text)}
	if len(text) > MaxText {
		return Fault{}, &SyntaxError{Text: text[:40] + "…", Column: MaxText + 1, Got: "more", Want: fmt.Sprintf("at most %d bytes", MaxText)}
	}
	f := p.fault()
	if p.err != nil {
		return Fault{}, p.err
	}
	return f, nil
}

// ParseList reads the faults of a run, each of which says when. Faults of the list are named by name and their number.
func ParseList(name string, texts []string) (list []Fault, errs []error) {
	if len(texts) > MaxList {
		return nil, []error{fmt.Errorf("%s: %d, want at most %d", name, len(texts), MaxList)}
	}
	for i, t := range texts {
		f, err := Parse(t)
		if err == nil && !f.At.Given {
			err = &SyntaxError{t, 1, firstWord(t), "at and a moment, as in at 30% or at 5s"}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: %w", name, i, err))
			continue
		}
		list = append(list, f)
	}
	return list, errs
}

func firstWord(t string) string { return scan(t)[0].text }

// parser goes through the tokens. After the first error nothing is read any more.
type parser struct {
	text   string
	tokens []token
	err    *SyntaxError
}

func (p *parser) peek() string { return p.tokens[0].text }

// then is the token behind the next one.
func (p *parser) then() string { return p.tokens[min(1, len(p.tokens)-1)].text }

func (p *parser) next() string {
	t := p.tokens[0]
	if len(p.tokens) > 1 {
		p.tokens = p.tokens[1:]
	}
	return t.text
}

// fail notes what was wanted where the next token is.
func (p *parser) fail(want string) {
	if p.err != nil {
		return
	}
	t := p.tokens[0]
	p.err = &SyntaxError{p.text, utf8.RuneCountInString(p.text[:t.at]) + 1, t.text, want}
}

// take takes a token if it is the one.
func (p *parser) take(word string) bool {
	if p.err != nil || p.peek() != word {
		return false
	}
	p.next()
	return true
}

func (p *parser) fault() (f Fault) {
	if p.take(wordAt) {
		f.At = p.moment()
	}
	for k := Kill; k <= DiskFull; k++ {
		if p.take(k.String()) {
			f.Kind = k
		}
		if f.Kind != 0 {
			break
		}
	}
	switch f.Kind {
	case 0:
		p.fail(oneOf(f.At.Given))
	case Partition:
		f.Link = p.link()
	case Delay:
		f.By, f.Link = p.delay()
		if p.take(wordJitter) {
			f.Jitter = p.short()
		}
		f.Link = p.between(f.Link)
	case Lose, Duplicate, Reorder:
		f.Part = p.part()
		if f.Kind == Reorder {
			if f.By = DefaultBy; p.take(wordBy) {
				f.By = p.short()
			}
		}
		f.Link = p.between(f.Link)
	default:
		f.Node = p.who(false)
	}
	switch f.Kind {
	case SlowDisk:
		f.Times, f.By = p.slower()
	case CorruptBlock:
		f.Volume, f.Block = p.block()
	}
	want := "the end"
	if f.Kind.Lasts() {
		if want = "for and a duration, or the end"; p.take(wordFor) {
			f.For = p.duration("a duration, as in 3s or 500ms")
			want = "the end"
		}
	}
	if p.peek() != "" {
		p.fail(want)
	}
	return f
}

func oneOf(given bool) string {
	want := "one of " + strings.Join(names[Kill:], ", ")
	if !given {
		want = "at and a moment, or " + want
	}
	return want
}

func (p *parser) moment() Moment {
	if n, ok := scaled(p.peek(), "%", int64(Whole)/100, int64(Whole)); ok {
		p.next()
		return Moment{Share: Share(n), Progress: true, Given: true}
	}
	for ph := Migrating; ph <= Checkpointing; ph++ {
		if p.take(ph.String()) {
			return p.phase(ph)
		}
	}
	return Moment{After: p.duration0("a part of the run from 0% to 100%, or a time since its start, as in 5s, or one of " + strings.Join(phases[Migrating:], ", ")), Given: true}
}

// phase reads the rest of a moment at which the cluster does something: for which time, and how much later.
func (p *parser) phase(of Phase) Moment {
	m := Moment{Phase: of, Given: true}
	if n, err := strconv.ParseUint(p.peek(), 10, 32); err == nil {
		if n < 1 || n > MaxNth {
			p.fail(fmt.Sprintf("for which time, 1 to %d", MaxNth))
			return m
		}
		p.next()
		m.Nth = uint32(n)
	}
	if p.take("+") {
		m.After = p.duration("a duration, as in 2ms")
	}
	return m
}

// duration0 reads a duration that may be 0.
func (p *parser) duration0(want string) time.Duration {
	d, ok := duration(p.peek())
	if !ok {
		p.fail(fmt.Sprintf("%s, at most %dh", want, MaxDuration/time.Hour))
		return 0
	}
	p.next()
	return d
}

func (p *parser) duration(want string) time.Duration {
	if d, ok := duration(p.peek()); ok && d == 0 {
		p.fail(want + ", above 0")
	}
	return p.duration0(want)
}

// short reads a duration that a message or a disk may be late by.
func (p *parser) short() time.Duration {
	d, ok := duration(p.peek())
	if !ok || d == 0 || d > MaxDelay {
		p.fail(fmt.Sprintf("a duration above 0 to %ds, as in 20ms", MaxDelay/time.Second))
		return 0
	}
	p.next()
	return d
}

func (p *parser) part() Share {
	n, ok := scaled(p.peek(), "%", int64(Whole)/100, int64(Whole))
	if !ok || n == 0 {
		p.fail("a share above 0% to 100%, as in 1% or 0.05%")
		return 0
	}
	p.next()
	return Share(n)
}

// delay reads DURATION or LINK DURATION.
func (p *parser) delay() (by time.Duration, l Link) {
	_, ok := duration(p.peek())
	if sign := p.then(); ok && sign != "|" && sign != "->" && sign != "," {
		return p.short(), l
	}
	if p.peek() == "" {
		p.fail("a duration, or two sides as in p1 | m1")
		return 0, l
	}
	l = p.link()
	return p.short(), l
}

// between reads the optional link of a fault that has none yet.
func (p *parser) between(l Link) Link {
	if !l.Everywhere() || !p.take(wordBetween) {
		return l
	}
	return p.link()
}

func (p *parser) link() (l Link) {
	l.A = p.side()
	switch {
	case p.take("->"):
		l.OneWay = true
	case !p.take("|"):
		p.fail("| (both directions), -> (one way), or a comma and one more component")
	}
	at := p.tokens[0]
	l.B = p.side()
	if p.err == nil && l.A[0].All && l.B[0].All {
		p.tokens = append([]token{at}, p.tokens...)
		p.fail("components: all is what the other side leaves")
	}
	return l
}

func (p *parser) side() []Who {
	list := []Who{p.who(true)}
	for !list[0].All && p.take(",") {
		if len(list) == MaxSide {
			p.fail(fmt.Sprintf("at most %d components on a side", MaxSide))
		}
		list = append(list, p.who(false))
	}
	return list
}

const wantWho = "a component, as in m2, any m or gpm-leader"

func (p *parser) who(all bool) Who {
	word := p.peek()
	m, leads := leaders[word]
	switch {
	case p.err != nil:
	case word == wordAny:
		p.next()
		role, ok := letters[p.peek()]
		if !ok {
			p.fail("one of p, m, s, g")
			break
		}
		p.next()
		return Who{Any: role}
	case leads:
		p.next()
		return Who{Leader: m}
	case all && word == wordAll:
		p.next()
		return Who{All: true}
	case isName(word):
		p.next()
		return Who{ID: wire.NodeID(word)}
	case all:
		p.fail(wantWho + ", or all")
	default:
		p.fail(wantWho)
	}
	return Who{}
}

// isName reports whether a word may be a component's id, and is no word of the language.
func isName(s string) bool {
	switch s {
	case "", wordAt, wordFor, wordBetween, wordBy, wordJitter, wordAny, wordAll, wordRandom:
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s[0] != '-' && len(s) <= 32
}

// slower reads 10x or +20ms.
func (p *parser) slower() (times uint32, by time.Duration) {
	if p.take("+") {
		return 0, p.short()
	}
	n, ok := scaled(p.peek(), "x", 1000, MaxTimes)
	if !ok || n <= 1000 {
		p.fail("a factor above 1x to 1000x, or what is added, as in +20ms")
		return 0, 0
	}
	p.next()
	return uint32(n), 0
}

// block reads VOLUME/BLOCK, random, or nothing, which is random.
func (p *parser) block() (v wire.VolumeID, block uint64) {
	if p.err != nil || p.take(wordRandom) || p.peek() == "" {
		return 0, 0
	}
	const want = "volume/block as in 3/17, or random"
	n, err := strconv.ParseUint(p.peek(), 10, 32)
	if err != nil || n == 0 {
		p.fail(want)
		return 0, 0
	}
	p.next()
	if !p.take("/") {
		p.fail("/ and a block of the volume")
		return 0, 0
	}
	if block, err = strconv.ParseUint(p.peek(), 10, 51); err != nil {
		p.fail("the number of a block")
		return 0, 0
	}
	p.next()
	return wire.VolumeID(n), block
}

// ParseShare reads a part of something, as in 1.5%.
func ParseShare(s string) (Share, error) {
	n, ok := scaled(s, "%", int64(Whole)/100, int64(Whole))
	if !ok {
		return 0, fmt.Errorf("%q, want 0%% to 100%%, as in 1.5%%", s)
	}
	return Share(n), nil
}
