package newthing // want: package mcomponent/newthing is not in the plan
