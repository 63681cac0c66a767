package placement

// random chooses each component that fits with the same chance. It reads no loads, so nothing herds to the one that
// looks best, and the fullest of n components gets about ln n / ln ln n times the mean of one per component.
//
// Source: Raab, Steger, "Balls into Bins: A Simple and Tight Analysis", RANDOM 1998, theorem 1.
var random = Policy{Name: "random", by: byNothing, choose: chooseRandom}

// draws is how often draw tries before it counts: if half of the candidates fit, one decision in 65 536 counts.
const draws = 16

func chooseRandom(a Ask, s *Set) int {
	c := chance(a.Chance)
	return s.draw(&a, &c, -1)
}

// draw chooses evenly among the candidates that fit, other than position except; -1 if there is none. A drawn one that
// does not fit is put back and another is drawn; when many do not fit they are counted instead, which is as even.
func (s *Set) draw(a *Ask, c *chance, except int) int {
	if s.n == 0 {
		return -1
	}
	for range draws {
		if i := c.below(s.n); i != except && s.fits(a, i) {
			return i
		}
	}
	room, fit := s.room[:s.n], 0
	for i, free := range room {
		if free >= a.Need && i != except && !s.barred(a, i) {
			fit++
		}
	}
	if fit == 0 {
		return -1
	}
	nth := c.below(fit)
	for i, free := range room {
		if free >= a.Need && i != except && !s.barred(a, i) {
			if nth == 0 {
				return i
			}
			nth--
		}
	}
	panic("placement: fewer candidates fit than were counted")
}
