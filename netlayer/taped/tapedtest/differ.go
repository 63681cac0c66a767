package tapedtest

import (
	"fmt"
	"reflect"
	"slices"

	"splitkernel/netlayer/taped"
)

// Whole checks that a snapshot has all that a core is: one that is restored is equal to the last bit of what it remembers.
func Whole(tb T, core, fresh taped.Core) {
	if err := fresh.Restore(core.Snapshot(nil)); err != nil {
		tb.Fatalf("%v", err)
	}
	if where := differ(reflect.ValueOf(core), reflect.ValueOf(fresh), nil); where != "" {
		tb.Fatalf("restored it differs in %s, of which its snapshot says nothing", where)
	}
}

// differ names a field in which two values differ; empty if none does. None and empty are the same, and so are nothing and a
// value of zeros: what is made when it is needed may be there or not. Functions are not looked at.
func differ(a, b reflect.Value, scratch []string) string {
	switch a.Kind() {
	case reflect.Func:
		return ""
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			for _, v := range []reflect.Value{a, b} {
				if !v.IsNil() && !v.Elem().IsZero() {
					return " (nothing, or something)"
				}
			}
			return ""
		}
		if a.Elem().Type() != b.Elem().Type() {
			return fmt.Sprintf(" (%v, %v)", a.Elem().Type(), b.Elem().Type())
		}
		return differ(a.Elem(), b.Elem(), scratch)
	case reflect.Struct:
		for i := range a.NumField() {
			name := a.Type().Field(i).Name
			if slices.Contains(scratch, name) {
				continue
			}
			if where := differ(a.Field(i), b.Field(i), scratch); where != "" {
				return "." + name + where
			}
		}
		return ""
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return fmt.Sprintf(" (%d, %d of them)", a.Len(), b.Len())
		}
		for i := range a.Len() {
			if where := differ(a.Index(i), b.Index(i), scratch); where != "" {
				return fmt.Sprintf("[%d]%s", i, where)
			}
		}
		return ""
	case reflect.Map:
		if a.Len() != b.Len() {
			return fmt.Sprintf(" (%d, %d of them)", a.Len(), b.Len())
		}
		for _, k := range a.MapKeys() {
			v := b.MapIndex(k)
			if !v.IsValid() {
				return fmt.Sprintf("[%v] (only one has it)", k)
			}
			if where := differ(a.MapIndex(k), v, scratch); where != "" {
				return fmt.Sprintf("[%v]%s", k, where)
			}
		}
		return ""
	}
	if !a.Equal(b) {
		return fmt.Sprintf(" (%v, %v)", a, b)
	}
	return ""
}
