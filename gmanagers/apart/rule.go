package apart

import (
	"fmt"
	"slices"
	"strings"

	"splitkernel/netlayer/wire"
)

// MaxGroupBytes bounds the name of a group, without its tenant.
const MaxGroupBytes = 64

// maxQualifiedBytes bounds the name of a group with its tenant.
const maxQualifiedBytes = 4 * MaxGroupBytes

// Level says what members of a group must not share.
type Level uint8

// The levels. Numbers are wire numbers.
const (
	Component Level = 1
	Rack      Level = 2 // nor a component
)

var levelNames = [...]string{"none", "component", "rack"}

func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

// ParseLevel returns the level of a name; empty is Component.
func ParseLevel(name string) (Level, bool) {
	if name == "" {
		return Component, true
	}
	i := slices.Index(levelNames[:], name)
	return Level(max(i, 0)), i > 0
}

// Rule says what is apart from what. The zero value is no rule.
type Rule struct {
	Group string // letters, digits, '-', '_' and '.'; of a tenant, see Of
	Level Level
}

// Check says why nobody can keep the rule of a vNode or a volume, before it is qualified. Key names it in the error.
func (r Rule) Check(key string) error {
	switch {
	case r == Rule{}:
		return nil
	case r.Group == "" || len(r.Group) > MaxGroupBytes || strings.ContainsFunc(r.Group, odd):
		return fmt.Errorf("%s: group %.64q, want 1 to %d letters, digits, '-', '_' and '.'", key, r.Group, MaxGroupBytes)
	case r.Level != Component && r.Level != Rack:
		return fmt.Errorf("%s: level %d, want component (%d) or rack (%d)", key, r.Level, Component, Rack)
	}
	return nil
}

func odd(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
}

// Of qualifies the rule by the tenant, so that tenants do not keep each other's vNodes apart.
func (r Rule) Of(tenant string) Rule {
	if r.Level == 0 {
		return Rule{}
	}
	return Rule{tenant + "/" + r.Group, r.Level}
}

func (r Rule) String() string {
	if r.Level == 0 {
		return ""
	}
	return fmt.Sprintf("group %q by %v", r.Group, r.Level)
}

// CheckQualified says why a qualified rule is none that a manager of ours makes.
func (r Rule) CheckQualified() error {
	if r != (Rule{}) && (r.Group == "" || len(r.Group) > maxQualifiedBytes || r.Level != Component && r.Level != Rack) {
		return wire.Errorf(wire.KindBadRequest, "apart: group of %d bytes by level %d, want 1 to %d and level 1 or 2", len(r.Group), r.Level, maxQualifiedBytes)
	}
	return nil
}

// Member is a membership of a group.
type Member struct {
	Rule Rule   // qualified
	ID   uint64 // of a vNode its process id, of a volume see VolumeID
}

// volumes is added to the id of a volume: process ids are below it.
const volumes = 1 << 63

// Process returns the memberships of a vNode; nil without a rule.
func Process(r Rule, pid wire.PID) []Member {
	if r.Level == 0 {
		return nil
	}
	return []Member{{r, uint64(pid)}}
}

// Volume returns the memberships of a volume: that of its vNode, and that of its own group.
func Volume(vnode Rule, pid wire.PID, own Rule, v wire.VolumeID) []Member {
	out := Process(vnode, pid)
	if own.Level != 0 {
		out = append(out, Member{own, volumes | uint64(v)})
	}
	return out
}

// name says in words who a member is.
func name(id uint64) string {
	if id >= volumes {
		return fmt.Sprintf("volume %d", id&^volumes)
	}
	return fmt.Sprintf("process %d", id)
}

// Groups names the groups of memberships.
func Groups(ms []Member) string {
	var out []string
	for _, m := range ms {
		out = append(out, m.Rule.String())
	}
	return strings.Join(out, ", ")
}

// Parse makes a rule of the name of a group and of a level; an empty group is no rule, an empty level Component. Key names the level in
// the error.
func Parse(group, level, key string) (Rule, error) {
	if group == "" && level == "" {
		return Rule{}, nil
	}
	l, ok := ParseLevel(level)
	switch {
	case group == "":
		return Rule{}, wire.Errorf(wire.KindBadRequest, "%s: %q without a group", key, level)
	case !ok:
		return Rule{}, wire.Errorf(wire.KindBadRequest, "%s: %.64q, want component or rack", key, level)
	}
	return Rule{group, l}, nil
}

// Name returns the group without its tenant, and the name of the level; empty without a rule.
func (r Rule) Name() (group, level string) {
	if r.Level == 0 {
		return "", ""
	}
	return r.Group[strings.LastIndexByte(r.Group, '/')+1:], r.Level.String()
}
