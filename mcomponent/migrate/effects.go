package migrate

import "splitkernel/netlayer/wire"

// EffectKind says what the driver of a Giver must do.
type EffectKind uint8

// The effects. Those that are messages are answered by Giver.Answered with their ID.
const (
	Open   EffectKind = 1 // message: announce Round of the copy to the taker
	Copy   EffectKind = 2 // message: fill it by Giver.Take and Giver.Filled, and send it to the taker under Round
	Close  EffectKind = 3 // message: send the maps, and of a vRegion the page count, to the taker under Round
	Tell   EffectKind = 4 // message: tell who uses it that it is served under Epoch, by the taker, or with Undo by this giver
	Serve  EffectKind = 5 // message: the taker is to serve under Epoch
	Drop   EffectKind = 6 // message: the taker is to forget the move
	Freeze EffectKind = 7 // stop serving, at once
	Thaw   EffectKind = 8 // serve on, under Epoch, at once: the move was given up, frozen or not
	Forget EffectKind = 9 // free it: the taker serves, under Epoch; or, if Epoch is 0, its process has ended
	Lose   EffectKind = 10
)

func (k EffectKind) String() string {
	return [...]string{"?", "open", "copy", "close", "tell", "serve", "drop", "freeze", "thaw", "forget", "lose"}[min(int(k), 10)]
}

// Effect is one thing that the driver must do.
type Effect struct {
	Kind  EffectKind
	ID    uint64 // of a message
	Round uint32
	Epoch wire.Epoch
	Undo  bool // of Tell
	// Exact is of Copy: what is sent must be what was looked up. Otherwise pages may change while they are sent, if the taker then surely
	// refuses the message as corrupt: they are sent again.
	Exact bool
}
