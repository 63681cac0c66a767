package trace

import (
	"bufio"
	"fmt"
	"io"
)

// jsonTokens cuts JSON into tokens, in the memory of one token and of the nesting, however long the text is.
type jsonTokens struct {
	in      *bufio.Reader
	window  []byte // what is buffered
	at      int    // of it was read
	nesting []byte // the open { and [
	state   jsonState
	text    []byte // of the last token
}

// jsonState says what may come next.
type jsonState uint8

const (
	jsonValue      jsonState = iota // a value
	jsonFirstValue                  // a value or ]
	jsonKey                         // a key
	jsonFirstKey                    // a key or }
	jsonColon
	jsonNext // a comma or the end of what is open
)

const (
	// maxJSONToken bounds a token.
	maxJSONToken = 4 << 10
	// maxJSONNesting bounds the nesting.
	maxJSONNesting = 64
)

// Kinds of tokens beside { } [ ].
const (
	jsonString  = 's'
	jsonName    = 'k' // the key of a value
	jsonLiteral = 'v' // a number, true, false or null
)

// peek returns the next byte, without blanks.
func (j *jsonTokens) peek() (byte, error) {
	for {
		for ; j.at < len(j.window); j.at++ {
			if c := j.window[j.at]; c != ' ' && c != '\n' && c != '\r' && c != '\t' {
				return c, nil
			}
		}
		if err := j.refill(); err != nil {
			return 0, err
		}
	}
}

func (j *jsonTokens) refill() error {
	if _, err := j.in.Discard(len(j.window)); err != nil {
		return err
	}
	j.window, j.at = nil, 0
	if _, err := j.in.Peek(1); err != nil {
		return err
	}
	j.window, _ = j.in.Peek(j.in.Buffered())
	return nil
}

// next returns the kind of the next token, whose text is in j.text; io.EOF after the outermost value.
func (j *jsonTokens) next() (kind byte, err error) {
	for {
		c, err := j.peek()
		if err == io.EOF && len(j.nesting) > 0 {
			return 0, fmt.Errorf("the file ends inside of the JSON text: it was cut off")
		}
		if err != nil {
			return 0, err
		}
		if len(j.nesting) == 0 && j.state == jsonNext {
			return 0, fmt.Errorf("%q after the end of the JSON text", c)
		}
		switch {
		case c == ',' && j.state == jsonNext:
			j.at++
			if j.state = jsonValue; j.open() == '{' {
				j.state = jsonKey
			}
		case c == ':' && j.state == jsonColon:
			j.at++
			j.state = jsonValue
		case c == '}' && j.open() == '{' && (j.state == jsonNext || j.state == jsonFirstKey),
			c == ']' && j.open() == '[' && (j.state == jsonNext || j.state == jsonFirstValue):
			j.at++
			j.nesting = j.nesting[:len(j.nesting)-1]
			j.state = jsonNext
			return c, nil
		case c == '"' && (j.state == jsonKey || j.state == jsonFirstKey):
			j.state = jsonColon
			return jsonName, j.quoted()
		case j.state != jsonValue && j.state != jsonFirstValue:
			return 0, fmt.Errorf("%q, expected other JSON", c)
		case c == '{' || c == '[':
			if len(j.nesting) == maxJSONNesting {
				return 0, fmt.Errorf("more than %d values inside each other", maxJSONNesting)
			}
			j.at++
			j.nesting = append(j.nesting, c)
			if j.state = jsonFirstValue; c == '{' {
				j.state = jsonFirstKey
			}
			return c, nil
		case c == '"':
			j.state = jsonNext
			return jsonString, j.quoted()
		default:
			j.state = jsonNext
			return jsonLiteral, j.literal()
		}
	}
}

// open is the innermost bracket that is open; 0 = none.
func (j *jsonTokens) open() byte {
	if len(j.nesting) == 0 {
		return 0
	}
	return j.nesting[len(j.nesting)-1]
}

// quoted reads a string, without its quotes and with its escapes as they stand.
func (j *jsonTokens) quoted() error {
	j.at++
	escaped := false
	return j.take(func(c byte) bool {
		end := c == '"' && !escaped
		escaped = c == '\\' && !escaped
		return end
	}, 1)
}

func (j *jsonTokens) literal() error {
	err := j.take(func(c byte) bool {
		return !(c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '+' || c == '.')
	}, 0)
	if err == nil && len(j.text) == 0 {
		return fmt.Errorf("%q, expected a JSON value", j.window[j.at])
	}
	return err
}

// take reads up to the byte that ends the token, and passes over so many bytes more.
func (j *jsonTokens) take(ends func(c byte) bool, over int) error {
	j.text = j.text[:0]
	for {
		for i := j.at; i < len(j.window); i++ {
			if ends(j.window[i]) {
				j.text = append(j.text, j.window[j.at:i]...)
				j.at = i + over
				return nil
			}
			if i-j.at+len(j.text) > maxJSONToken {
				return fmt.Errorf("a JSON value of more than %d bytes", maxJSONToken)
			}
		}
		j.text = append(j.text, j.window[j.at:]...)
		j.at = len(j.window)
		if err := j.refill(); err == io.EOF {
			return fmt.Errorf("the file ends inside of a JSON value: it was cut off")
		} else if err != nil {
			return err
		}
	}
}
